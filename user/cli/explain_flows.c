/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `explain --flows`: a verdict a line for hundreds of thousands of flows a second. What depends on the source alone,
 * and the text that depends on the deciding cell alone, is made once; a flow then costs the parsing of its line, two
 * hash lookups and the same few loads as in the kernel.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

/* uthash would exit without a word. */
#define uthash_fatal(message) out_of_memory()
#include <uthash.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "cli/explain.h"
#include "cli/memory.h"
#include "cli/output.h"
#include "cli/protocol.h"
#include "cli/resolve.h"

#define OUTPUT_BUFFER (1u << 20)

/* A pod that was named as a source. */
struct known_source {
	UT_hash_handle hh;
	char *name; /* as in the line; the key */
	struct source source;
	const char *problem; /* why it cannot be one, or NULL; static */
	json_t *policies;    /* the policies that isolate it */
};

/* What is printed for a cell: for denials it depends on the source, too. */
struct known_line {
	UT_hash_handle hh;
	struct line_key {
		const struct known_source *source; /* NULL for cells that allow by a rule */
		uint32_t cell;
		uint32_t padding;
	} key;
	char *text; /* with its line end */
};

struct flow_run {
	struct offline offline;
	struct known_source *sources;
	struct known_line *lines;
	bool bad; /* a line was wrong */
};

static void run_clear(struct flow_run *run)
{
	struct known_source *source, *next_source;
	struct known_line *line, *next_line;

	HASH_ITER(hh, run->sources, source, next_source) {
		HASH_DEL(run->sources, source);
		json_decref(source->policies);
		free(source->name);
		free(source);
	}
	HASH_ITER(hh, run->lines, line, next_line) {
		HASH_DEL(run->lines, line);
		free(line->text);
		free(line);
	}
	offline_clear(&run->offline);
}

static json_t *policy_names(const struct policy_endpoint *endpoint)
{
	json_t *names = json_new_array();
	size_t i;

	for (i = 0; endpoint && i < endpoint->policy_count; i++) {
		_cleanup_free_ char *name =
			format_text("%s/%s", endpoint->policies[i]->namespace, endpoint->policies[i]->name);

		json_append(names, json_text(name));
	}
	return names;
}

static const struct known_source *find_source(struct flow_run *run, const char *text, size_t length)
{
	struct known_source *source;
	struct object_name name;

	HASH_FIND(hh, run->sources, text, length, source);
	if (source)
		return source;
	source = allocate(1, sizeof(*source));
	source->name = copy_text(text);
	if (object_name_parse(text, &name))
		source->problem = "expected NS/POD";
	else if (!offline_source(&run->offline, &name, &source->source, &source->problem))
		source->problem = NULL;
	source->policies = policy_names(source->source.endpoint);
	HASH_ADD_KEYPTR(hh, run->sources, source->name, length, source);
	return source;
}

/* One flow's answer: an allowing rule names its policy, a denial all that isolate the pod. */
static json_t *encode_line(const struct flow_run *run, const struct known_source *source, uint32_t cell)
{
	const struct rule_name *rule = rule_book_find(&run->offline.rules, cell);
	json_t *object = json_new_object(), *rule_object, *policies;
	_cleanup_free_ char *reason = NULL, *name = NULL;

	json_put_text(object, "verdict", cell & EGRESS_CELL_ALLOW ? "allow" : "deny");
	if (!rule) {
		json_put(object, "policies", json_incref(source->policies));
		json_put(object, "rule", json_null());
		json_put_text(object, "reason", cell_reason(cell));
		return object;
	}
	name = format_text("%s/%s", rule->namespace, rule->policy);
	reason = format_text("rule %zu of %s %s it", rule->index, name, cell & EGRESS_CELL_ALLOW ? "allows" : "denies");
	policies = json_new_array();
	json_append(policies, json_text(name));
	rule_object = json_new_object();
	json_put_text(rule_object, "policy", name);
	json_put_number(rule_object, "index", rule->index);
	json_put(object, "policies", policies);
	json_put(object, "rule", rule_object);
	json_put_text(object, "reason", reason);
	return object;
}

/* Takes the object. */
static char *dump_line(json_t *object)
{
	_cleanup_free_ char *text = json_dumps(object, JSON_COMPACT);

	json_decref(object);
	if (!text)
		out_of_memory();
	return format_text("%s\n", text);
}

static const char *find_line(struct flow_run *run, const struct known_source *source, uint32_t cell)
{
	struct line_key key = {.source = source, .cell = cell};
	struct known_line *line;

	if (rule_book_find(&run->offline.rules, cell))
		key.source = NULL;
	HASH_FIND(hh, run->lines, &key, sizeof(key), line);
	if (line)
		return line->text;
	line = allocate(1, sizeof(*line));
	line->key = key;
	line->text = dump_line(encode_line(run, source, cell));
	HASH_ADD(hh, run->lines, key, sizeof(line->key), line);
	return line->text;
}

/* A flow as its line has it. Texts are borrowed from the line's JSON. */
struct flow_line {
	const char *from, *to;
	size_t from_length;
	uint8_t protocol;
	uint16_t port;
};

static const char *parse_protocol(const json_t *protocol, bool has_port, uint8_t *out)
{
	json_int_t number = json_integer_value(protocol);

	if (!protocol || json_is_null(protocol)) {
		/*
		 * As in a manifest a port without a protocol is TCP's; with neither it is about protocols without
		 * ports.
		 */
		*out = has_port ? IPPROTO_TCP : IPPROTO_ICMP;
		return NULL;
	}
	if (json_is_integer(protocol) && number >= 0 && number <= UINT8_MAX) {
		*out = (uint8_t)number;
		return NULL;
	}
	if (json_is_string(protocol) && !protocol_parse(json_string_value(protocol), out))
		return NULL;
	return "\"protocol\" is none of TCP, UDP, SCTP, ICMP, ICMPv6 and not a number from 0 to 255";
}

/* A member that is not known may be one that is misspelt, and the answer that to another flow. */
static bool has_only_known(const json_t *object)
{
	static const char *const known[] = {"from", "to", "port", "protocol"};
	size_t found = 0, i;

	for (i = 0; i < ARRAY_SIZE(known); i++)
		found += json_object_get(object, known[i]) != NULL;
	return found == json_object_size(object);
}

/* NULL, or what is wrong with it; static. */
static const char *read_flow(const json_t *object, struct flow_line *out)
{
	json_t *from = json_object_get(object, "from"), *to = json_object_get(object, "to");
	json_t *port = json_object_get(object, "port");
	bool has_port = port && !json_is_null(port);
	const char *problem;

	if (!json_is_object(object))
		return "not a JSON object";
	if (!has_only_known(object))
		return "only \"from\", \"to\", \"port\" and \"protocol\" are expected";
	if (!json_is_string(from) || !json_is_string(to))
		return "\"from\" and \"to\" must be strings";
	if (has_port &&
	    (!json_is_integer(port) || json_integer_value(port) < 0 || json_integer_value(port) > UINT16_MAX))
		return "\"port\" is not a number from 0 to 65535";
	problem = parse_protocol(json_object_get(object, "protocol"), has_port, &out->protocol);
	if (problem)
		return problem;
	if (!has_port && protocol_has_ports(out->protocol, NULL))
		return "TCP, UDP and SCTP need a \"port\"";
	out->from = json_string_value(from);
	out->from_length = json_string_length(from);
	out->to = json_string_value(to);
	out->port = has_port ? (uint16_t)json_integer_value(port) : 0;
	return NULL;
}

static int find_cell(const struct bank *bank, const struct source *source, const struct ip_address *address,
		     const struct flow_line *flow, uint32_t *cell)
{
	uint32_t class, row, port_class, set = source->set;

	/* As in the kernel, the pod's own addresses come before the tables. */
	if (source_has_address(source, address)) {
		*cell = EGRESS_CELL_ALLOW | EGRESS_RULE_SELF;
		return 0;
	}
	if (bank_class(bank, address, &class) || bank_row(bank, set, class, &row) ||
	    bank_port_class(bank, flow->protocol, flow->port, &port_class) || bank_cell(bank, row, port_class, cell))
		return -EINVAL;
	*cell = egress_packet_cell(*cell, flow->protocol, flow->port);
	return 0;
}

/* Where the destination has two addresses, the flow is allowed only if both are: the first denied one answers. */
static const char *judge_addresses(struct flow_run *run, const struct known_source *source,
				   const struct flow_line *flow, const struct ip_address *addresses, int count,
				   const char **line)
{
	uint32_t cell = 0;
	int i;

	for (i = 0; i < count; i++) {
		if (find_cell(&run->offline.bank, &source->source, &addresses[i], flow, &cell))
			return "the compiled tables do not hold together";
		if (!(cell & EGRESS_CELL_ALLOW))
			break;
	}
	*line = find_line(run, source, cell);
	return NULL;
}

/* NULL and the output in *line, or what is wrong; static. */
static const char *judge_flow(struct flow_run *run, const struct flow_line *flow, const char **line)
{
	const struct known_source *source = find_source(run, flow->from, flow->from_length);
	const struct ip_address *addresses;
	struct destination destination;
	const char *problem;
	int count;

	if (source->problem)
		return source->problem;
	if (destination_parse_plain(flow->to, &destination))
		return "\"to\" is neither an address nor NS/POD nor svc:NS/NAME";
	count = resolve_destination(run->offline.store, source->source.pod, &destination, &addresses, &problem);
	if (count < 0)
		return problem;
	switch (source->source.kind) {
	case SOURCE_OPEN:
		*line = "{\"verdict\":\"allow\",\"policies\":[],\"rule\":null,"
			"\"reason\":\"no policy isolates the pod's egress\"}\n";
		return NULL;
	case SOURCE_HOST:
		*line = "{\"verdict\":\"allow\",\"policies\":[],\"rule\":null,"
			"\"reason\":\"policy does not select hostNetwork pods: their traffic is their node's\"}\n";
		return NULL;
	case SOURCE_JUDGED:
		break;
	}
	return judge_addresses(run, source, flow, addresses, count, line);
}

static void print_problem(struct flow_run *run, size_t number, const char *problem)
{
	_cleanup_free_ char *text = format_text("line %zu: %s", number, problem);
	json_t *object = json_new_object();

	run->bad = true;
	json_put_text(object, "error", text);
	json_print_line(object);
}

static void judge_line(struct flow_run *run, size_t number, const char *text, size_t length)
{
	json_error_t error;
	_cleanup_(json_clear) json_t *object = json_loadb(text, length, JSON_REJECT_DUPLICATES, &error);
	const char *problem, *line = NULL;
	struct flow_line flow;

	if (!object) {
		print_problem(run, number, error.text);
		return;
	}
	problem = read_flow(object, &flow);
	if (!problem)
		problem = judge_flow(run, &flow, &line);
	if (problem)
		print_problem(run, number, problem);
	else
		fputs_unlocked(line, stdout);
}

static int judge_file(struct flow_run *run, const char *path, FILE *file)
{
	_cleanup_free_ char *text = NULL;
	size_t capacity = 0, number = 0;
	ssize_t length;

	while ((length = getline(&text, &capacity, file)) >= 0)
		judge_line(run, ++number, text, (size_t)length);
	if (!ferror(file))
		return run->bad ? EXIT_ERROR : EXIT_SUCCESS;
	log_error("%s cannot be read: %s", path, strerror(errno));
	return EXIT_ERROR;
}

int explain_flows(const struct text_list *paths, const char *node_addresses, const char *flows_path)
{
	_cleanup_(run_clear) struct flow_run run = {0};
	_cleanup_file_ FILE *opened = NULL;
	FILE *file = stdin;

	if (strcmp(flows_path, "-")) {
		file = opened = fopen(flows_path, "re");
		if (!file) {
			log_error("%s cannot be opened: %s", flows_path, strerror(errno));
			return EXIT_ERROR;
		}
	}
	if (offline_load(paths, node_addresses, &run.offline))
		return EXIT_ERROR;
	setvbuf(stdout, NULL, _IOFBF, OUTPUT_BUFFER);
	return judge_file(&run, flows_path, file);
}
