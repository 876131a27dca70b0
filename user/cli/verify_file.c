/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <yaml.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "cli/memory.h"
#include "cli/protocol.h"
#include "cli/verify.h"
#include "model/decode.h"

/* A document being read. */
struct reading {
	const char *path;
	yaml_document_t *document;
	struct test_list *tests;
};

/* The scalars of one test, as they stand; NULL where absent. */
struct fields {
	const yaml_node_t *name, *from, *to, *port, *protocol, *expect;
};

static void case_clear(struct test_case *test)
{
	free(test->name);
	free(test->from_text);
	free(test->to_text);
	free(test->explanation);
}

void test_list_clear(struct test_list *list)
{
	size_t i;

	for (i = 0; i < list->count; i++)
		case_clear(&list->items[i]);
	free(list->items);
	*list = (struct test_list){0};
}

/* Always -EINVAL. */
static int wrong(const struct reading *reading, const yaml_node_t *node, const char *message)
{
	log_error("%s:%zu:%zu: %s", reading->path, node->start_mark.line + 1, node->start_mark.column + 1, message);
	return -EINVAL;
}

static const char *text_of(const yaml_node_t *node)
{
	/* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): parse_fields() has found what is needed */
	return (const char *)node->data.scalar.value;
}

static int read_field(const struct reading *reading, const yaml_node_t *key, const yaml_node_t *value,
		      struct fields *fields)
{
	const struct {
		const char *name;
		const yaml_node_t **target;
	} known[] = {
		{"name", &fields->name}, {"from", &fields->from},         {"to", &fields->to},
		{"port", &fields->port}, {"protocol", &fields->protocol}, {"expect", &fields->expect},
	};
	size_t i;

	for (i = 0; key->type == YAML_SCALAR_NODE && i < ARRAY_SIZE(known); i++) {
		if (strcmp(text_of(key), known[i].name))
			continue;
		if (*known[i].target)
			return wrong(reading, key, "the key stands twice");
		if (value->type != YAML_SCALAR_NODE)
			return wrong(reading, value, "expected a plain value");
		*known[i].target = value;
		return 0;
	}
	return wrong(reading, key, "expected one of name, from, to, port, protocol, expect");
}

static int read_port(const struct reading *reading, const struct fields *fields, struct destination *to)
{
	bool ports;

	if (to->has_protocol && (fields->port || fields->protocol))
		return wrong(reading, fields->port ? fields->port : fields->protocol, "`to` already says it");
	if (fields->port && port_parse(text_of(fields->port), &to->port))
		return wrong(reading, fields->port, "expected a port from 0 to 65535");
	to->protocol = to->has_protocol ? to->protocol : protocol_of_index(EGRESS_PORT_TCP);
	if (fields->protocol && protocol_parse(text_of(fields->protocol), &to->protocol))
		return wrong(reading, fields->protocol,
			     "expected TCP, UDP, SCTP, ICMP, ICMPv6 or a number from 0 to 255");
	ports = protocol_has_ports(to->protocol, NULL);
	if (fields->protocol && ports && !fields->port)
		return wrong(reading, fields->protocol, "TCP, UDP and SCTP need a port");
	if (fields->port && !ports)
		return wrong(reading, fields->port, "the protocol has no ports");
	to->has_port |= fields->port != NULL;
	to->has_protocol |= fields->port || fields->protocol;
	return 0;
}

static int read_expectation(const struct reading *reading, const yaml_node_t *node, bool *out)
{
	bool allow = !strcmp(text_of(node), "allow");

	if (!allow && strcmp(text_of(node), "deny"))
		return wrong(reading, node, "expected allow or deny");
	*out = allow;
	return 0;
}

static char *default_name(const struct fields *fields)
{
	return format_text("%s to %s%s%s%s%s: %s", text_of(fields->from), text_of(fields->to),
			   fields->protocol ? " " : "", fields->protocol ? text_of(fields->protocol) : "",
			   fields->port ? " port " : "", fields->port ? text_of(fields->port) : "",
			   text_of(fields->expect));
}

static int parse_fields(const struct reading *reading, const yaml_node_t *node, const struct fields *fields,
			struct test_case *out)
{
	const char *problem;

	if (!fields->from || !fields->to || !fields->expect)
		return wrong(reading, node, "a test needs from, to and expect");
	if (object_name_parse(text_of(fields->from), &out->from))
		return wrong(reading, fields->from, "expected NS/POD");
	if (destination_parse(text_of(fields->to), &out->to, &problem))
		return wrong(reading, fields->to, problem);
	if (read_port(reading, fields, &out->to))
		return -EINVAL;
	return read_expectation(reading, fields->expect, &out->expect_allow);
}

static int read_test(struct reading *reading, const yaml_node_t *node)
{
	struct test_case test = {.line = (unsigned int)node->start_mark.line + 1};
	struct fields fields = {0};
	const yaml_node_pair_t *pair;
	int error = 0;

	if (node->type != YAML_MAPPING_NODE)
		return wrong(reading, node, "expected a test: from, to, expect");
	for (pair = node->data.mapping.pairs.start; !error && pair < node->data.mapping.pairs.top; pair++)
		error = read_field(reading, yaml_document_get_node(reading->document, pair->key),
				   yaml_document_get_node(reading->document, pair->value), &fields);
	if (!error)
		error = parse_fields(reading, node, &fields, &test);
	if (error)
		return error;
	test.name = fields.name ? copy_text(text_of(fields.name)) : default_name(&fields);
	test.from_text = copy_text(text_of(fields.from));
	test.to_text = copy_text(text_of(fields.to));
	array_push(reading->tests->items, reading->tests->count, reading->tests->capacity, test);
	return 0;
}

static int read_tests(struct reading *reading, const yaml_node_t *node)
{
	const yaml_node_item_t *item;
	int error = 0;

	if (node->type != YAML_SEQUENCE_NODE)
		return wrong(reading, node, "expected a list of tests");
	for (item = node->data.sequence.items.start; !error && item < node->data.sequence.items.top; item++)
		error = read_test(reading, yaml_document_get_node(reading->document, *item));
	return error;
}

static int read_document(struct reading *reading, const yaml_node_t *root)
{
	const yaml_node_pair_t *pair;
	bool seen = false;
	int error = 0;

	if (root->type != YAML_MAPPING_NODE)
		return wrong(reading, root, "expected a mapping with the key tests");
	for (pair = root->data.mapping.pairs.start; !error && pair < root->data.mapping.pairs.top; pair++) {
		const yaml_node_t *key = yaml_document_get_node(reading->document, pair->key);

		if (key->type != YAML_SCALAR_NODE || strcmp(text_of(key), "tests"))
			return wrong(reading, key, "expected the key tests");
		if (seen)
			return wrong(reading, key, "the key stands twice");
		seen = true;
		error = read_tests(reading, yaml_document_get_node(reading->document, pair->value));
	}
	return error;
}

static int tell_syntax(const char *path, const yaml_parser_t *parser)
{
	if (parser->error == YAML_MEMORY_ERROR)
		out_of_memory();
	log_error("%s:%zu:%zu: %s", path, parser->problem_mark.line + 1, parser->problem_mark.column + 1,
		  parser->problem ? parser->problem : "not YAML");
	return -EINVAL;
}

/* *done: there was no further document. */
static int read_next(const char *path, yaml_parser_t *parser, struct test_list *tests, bool *done)
{
	yaml_document_t document;
	struct reading reading = {.path = path, .document = &document, .tests = tests};
	yaml_node_t *root;
	int error = 0;

	if (!yaml_parser_load(parser, &document))
		return tell_syntax(path, parser);
	root = yaml_document_get_root_node(&document);
	*done = !root;
	if (root)
		error = read_document(&reading, root);
	yaml_document_delete(&document);
	return error;
}

static int read_all(const char *path, FILE *file, struct test_list *tests)
{
	yaml_parser_t parser;
	bool done = false;
	int error = 0;

	if (!yaml_parser_initialize(&parser))
		out_of_memory();
	yaml_parser_set_input_file(&parser, file);
	while (!error && !done)
		error = read_next(path, &parser, tests, &done);
	yaml_parser_delete(&parser);
	return error;
}

/* As large as a manifest may be; what has no size, such as a pipe, is taken as it comes. */
static int check_size(const char *path, FILE *file)
{
	struct stat status;

	if (fstat(fileno(file), &status) || status.st_size <= (off_t)DECODE_FILE_MAX)
		return 0;
	log_error("%s: expected at most %u MiB, found more", path, DECODE_FILE_MAX >> 20);
	return -EFBIG;
}

int test_file_read(const char *path, struct test_list *out)
{
	_cleanup_(test_list_clear) struct test_list tests = {0};
	_cleanup_file_ FILE *file = fopen(path, "re");
	int error;

	if (!file) {
		error = -errno;
		log_error("%s cannot be opened: %s", path, strerror(errno));
		return error;
	}
	error = check_size(path, file);
	if (!error)
		error = read_all(path, file, &tests);
	if (!error && !tests.count) {
		log_error("%s: there are no tests in it", path);
		error = -EINVAL;
	}
	if (error)
		return error;
	*out = tests;
	tests = (struct test_list){0};
	return 0;
}
