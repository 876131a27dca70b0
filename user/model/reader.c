/* SPDX-License-Identifier: Apache-2.0 */
#include "model/reader.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/text.h"
#include "model/syntax.h"

struct spot spot_field(const struct spot *parent, const char *field)
{
	struct spot spot = { .parent = parent, .field = field };

	if (parent->value && parent->value->type == VALUE_MAPPING)
		spot.value = value_get(parent->value, field);
	if (spot.value && spot.value->type == VALUE_NULL)
		spot.value = NULL;
	return spot;
}

struct spot spot_item(const struct spot *parent, size_t index)
{
	return (struct spot){ .parent = parent, .index = index, .value = parent->value->items[index] };
}

/* ------------------------------------------------------------------ errors */

/* Room for the longest path of fields that are read; longer ones, through labels' keys, are cut. */
#define PATH_SIZE 512
#define FOUND_SIZE 128
#define FOUND_TEXT_MAX 64

struct writer {
	char *text;
	size_t size, length;
};

static void write_character(struct writer *writer, char c)
{
	if (writer->length + 1 < writer->size)
		writer->text[writer->length++] = c;
	writer->text[writer->length] = '\0';
}

static void write_text(struct writer *writer, const char *text)
{
	for (; *text; text++)
		write_character(writer, *text);
}

/* In quotes, on one line whatever is in it, cut after `most` bytes. */
static void write_quoted(struct writer *writer, const char *text, size_t most)
{
	char escaped[8];

	write_character(writer, '"');
	for (; *text && most; text++, most--) {
		if ((unsigned char)*text < ' ' || *text == '\x7f') {
			snprintf(escaped, sizeof(escaped), "\\x%02x", (unsigned char)*text);
			write_text(writer, escaped);
		} else {
			if (*text == '"' || *text == '\\')
				write_character(writer, '\\');
			write_character(writer, *text);
		}
	}
	/* Not in the middle of a character. */
	while (*text && ((unsigned char)*text & 0xc0) == 0x80)
		write_character(writer, *text++);
	write_text(writer, *text ? "\"..." : "\"");
}

static bool is_plain_field(const char *field)
{
	for (; *field; field++) {
		bool letter = (*field >= 'a' && *field <= 'z') || (*field >= 'A' && *field <= 'Z');

		if (!letter && (*field < '0' || *field > '9') && *field != '_' && *field != '-')
			return false;
	}
	return true;
}

/* `spec.egress[0].ports[1].port`, `metadata.labels["example.com/app"]`. */
static void write_path(struct writer *writer, const struct spot *spot)
{
	char index[32];

	if (!spot->parent)
		return;
	write_path(writer, spot->parent);
	if (!spot->field) {
		snprintf(index, sizeof(index), "[%zu]", spot->index);
		write_text(writer, index);
	} else if (!is_plain_field(spot->field)) {
		write_character(writer, '[');
		write_quoted(writer, spot->field, FOUND_TEXT_MAX);
		write_character(writer, ']');
	} else {
		if (writer->length)
			write_character(writer, '.');
		write_text(writer, spot->field);
	}
}

static const struct value *nearest_value(const struct spot *spot)
{
	while (spot && !spot->value)
		spot = spot->parent;
	return spot ? spot->value : NULL;
}

static void add_problem(struct reader *reader, enum problem_severity severity, const struct spot *spot,
			const char *message)
{
	const struct value *value = nearest_value(spot);
	struct place place = { .file = reader->file };
	char path[PATH_SIZE] = "";
	struct writer writer = { path, sizeof(path), 0 };

	if (value) {
		place.line = value->line;
		place.column = value->column;
	}
	write_path(&writer, spot);
	if (problem_add(reader->problems, severity, "field", &place, reader->object, "%s%s%s", path,
			path[0] ? ": " : "", message))
		reader->error = -ENOMEM;
}

/* Whether there is still room for one more error of this file. */
static bool may_tell(struct reader *reader)
{
	if (!reader->error)
		reader->error = -EINVAL;
	return (*reader->told)++ < READER_ERRORS_MAX;
}

void reader_fail(struct reader *reader, const struct spot *spot, const char *format, ...)
{
	_cleanup_free_ char *message = NULL;
	va_list arguments;

	if (!may_tell(reader))
		return;
	va_start(arguments, format);
	message = text_format_list(format, arguments);
	va_end(arguments);
	if (message)
		add_problem(reader, PROBLEM_ERROR, spot, message);
	else
		reader->error = -ENOMEM;
}

void reader_warn(struct reader *reader, const struct spot *spot, const char *format, ...)
{
	_cleanup_free_ char *message = NULL;
	va_list arguments;

	va_start(arguments, format);
	message = text_format_list(format, arguments);
	va_end(arguments);
	if (message)
		add_problem(reader, PROBLEM_WARNING, spot, message);
	else
		reader->error = -ENOMEM;
}

static const char *describe(const struct value *value, bool with_type, char text[FOUND_SIZE])
{
	struct writer writer = { text, FOUND_SIZE, 0 };
	char number[32];

	text[0] = '\0';
	if (!value)
		return "nothing";
	switch ((enum value_type)value->type) {
	case VALUE_NULL:
		return "null";
	case VALUE_SEQUENCE:
		return "a list";
	case VALUE_MAPPING:
		return "a mapping";
	case VALUE_BOOLEAN:
		write_text(&writer, "boolean ");
		write_text(&writer, value->text);
		break;
	case VALUE_INTEGER:
		snprintf(number, sizeof(number), "%s%" PRId64, with_type ? "number " : "", value->integer);
		write_text(&writer, number);
		break;
	case VALUE_NUMBER:
		write_text(&writer, "number ");
		write_text(&writer, value->text);
		break;
	case VALUE_STRING:
		if (with_type)
			write_text(&writer, "string ");
		write_quoted(&writer, value->text, FOUND_TEXT_MAX);
		break;
	}
	return text;
}

void reader_fail_expected(struct reader *reader, const struct spot *spot, const char *expected)
{
	char found[FOUND_SIZE];

	reader_fail(reader, spot, "expected %s, found %s", expected, describe(spot->value, false, found));
}

void reader_fail_type(struct reader *reader, const struct spot *spot, const char *expected)
{
	char found[FOUND_SIZE];

	reader_fail(reader, spot, "expected %s, found %s", expected, describe(spot->value, true, found));
}

/* ------------------------------------------------------------------ memory and places */

void *reader_array(struct reader *reader, size_t count, size_t item_size)
{
	void *items;

	if (!count)
		return NULL;
	items = arena_array(reader->arena, count, item_size);
	if (!items)
		reader->error = -ENOMEM;
	return items;
}

const char *reader_copy(struct reader *reader, const char *text)
{
	const char *copy = text[0] ? arena_string(reader->arena, text) : "";

	if (copy)
		return copy;
	reader->error = -ENOMEM;
	return "";
}

struct place reader_place(const struct reader *reader, const struct spot *spot)
{
	const struct value *value = nearest_value(spot);

	if (reader->from_api)
		return (struct place){};
	return (struct place){
		.file = reader->object->place.file,
		.line = value ? value->line : 0,
		.column = value ? value->column : 0,
	};
}

/* ------------------------------------------------------------------ types */

/* Fields of this program's own stand only in what encode.h wrote. */
static bool is_known(const struct reader *reader, const char *field, const char *const *known)
{
	for (; *known; known++) {
		if (!strcmp(*known, field))
			return true;
	}
	return reader->saved && !strncmp(field, "egressd.io/", strlen("egressd.io/"));
}

/* Longer than any list of fields here. */
#define FIELDS_SIZE 512

static void fail_unknown(struct reader *reader, const struct spot *mapping, const struct mapping_field *field,
			 const char *const *known)
{
	struct value at_key = { .type = VALUE_STRING, .line = field->line, .column = field->column,
				.text = field->key };
	struct spot spot = { .parent = mapping, .field = field->key, .value = &at_key };
	char expected[FIELDS_SIZE] = "", found[FOUND_SIZE];
	struct writer writer = { expected, sizeof(expected), 0 };

	for (size_t i = 0; known[i]; i++) {
		if (i)
			write_text(&writer, known[i + 1] ? ", " : " or ");
		write_text(&writer, known[i]);
	}
	reader_fail(reader, &spot, "expected %s, found unknown field %s", expected, describe(&at_key, false, found));
}

bool read_mapping(struct reader *reader, const struct spot *spot, const char *const *known)
{
	if (!spot->value)
		return false;
	if (spot->value->type != VALUE_MAPPING) {
		reader_fail_type(reader, spot, "a mapping");
		return false;
	}
	for (size_t i = 0; known && i < spot->value->count; i++) {
		if (!is_known(reader, spot->value->fields[i].key, known))
			fail_unknown(reader, spot, &spot->value->fields[i], known);
	}
	return true;
}

size_t read_sequence(struct reader *reader, const struct spot *spot)
{
	if (!spot->value)
		return 0;
	if (spot->value->type == VALUE_SEQUENCE)
		return spot->value->count;
	reader_fail_type(reader, spot, "a list");
	return 0;
}

const char *read_string(struct reader *reader, const struct spot *spot)
{
	if (!spot->value)
		return NULL;
	if (spot->value->type == VALUE_STRING)
		return spot->value->text;
	reader_fail_type(reader, spot, "a string");
	return NULL;
}

bool read_boolean(struct reader *reader, const struct spot *spot, bool absent)
{
	if (!spot->value)
		return absent;
	if (spot->value->type == VALUE_BOOLEAN)
		return spot->value->boolean;
	reader_fail_type(reader, spot, "a boolean");
	return absent;
}

bool read_integer(struct reader *reader, const struct spot *spot, int64_t least, int64_t most, const char *expected,
		  int64_t *out)
{
	const struct value *value = spot->value;

	if (!value)
		return false;
	if (value->type != VALUE_INTEGER || value->integer < least || value->integer > most) {
		reader_fail_expected(reader, spot, expected);
		return false;
	}
	*out = value->integer;
	return true;
}

/* ------------------------------------------------------------------ shared fields */

bool read_address(struct reader *reader, const struct spot *spot, struct ip_address *out)
{
	const char *text;

	if (!spot->value)
		reader_fail_expected(reader, spot, "an IP address");
	text = read_string(reader, spot);
	if (!text)
		return false;
	if (reader->from_api ? ip_address_parse_sloppy(text, out) : ip_address_parse(text, out))
		reader_fail_expected(reader, spot, "an IP address");
	else if (address_is_mapped(out))
		reader_fail_expected(reader, spot, "an IP address, not one of IPv4 mapped into IPv6");
	else
		return true;
	return false;
}

enum transport read_transport(struct reader *reader, const struct spot *spot)
{
	const char *text = read_string(reader, spot);

	if (!text)
		return TRANSPORT_TCP;
	for (enum transport transport = 0; transport < TRANSPORT_COUNT; transport++) {
		if (!strcmp(text, transport_name(transport)))
			return transport;
	}
	reader_fail_expected(reader, spot, "TCP, UDP or SCTP");
	return TRANSPORT_TCP;
}

uint16_t read_port_number(struct reader *reader, const struct spot *spot)
{
	int64_t port;

	return read_integer(reader, spot, 1, UINT16_MAX, "1..65535", &port) ? (uint16_t)port : 0;
}

static int compare_labels(const void *left, const void *right)
{
	return strcmp(((const struct label *)left)->key, ((const struct label *)right)->key);
}

static void read_label(struct reader *reader, const struct spot *labels, const struct mapping_field *field,
		       struct label *out)
{
	struct value at_key = { .type = VALUE_STRING, .line = field->line, .column = field->column,
				.text = field->key };
	struct spot key = { .parent = labels, .field = field->key, .value = &at_key };
	struct spot spot = { .parent = labels, .field = field->key, .value = field->value };
	const char *text;

	*out = (struct label){ "", "" };
	if (field->odd_key) {
		reader_fail(reader, &key, "expected a string as key, found %s without quotes", field->key);
		return;
	}
	if (!syntax_is_label_key(field->key)) {
		reader_fail_expected(reader, &key, "a label key");
		return;
	}
	text = read_string(reader, &spot);
	if (!text)
		return;
	if (!syntax_is_label_value(text)) {
		reader_fail_expected(reader, &spot, "a label value of at most 63 letters, digits, '-', '_' and '.'");
		return;
	}
	*out = (struct label){ reader_copy(reader, field->key), reader_copy(reader, text) };
}

void read_labels(struct reader *reader, const struct spot *spot, struct label_list *out)
{
	size_t count = read_mapping(reader, spot, NULL) ? spot->value->count : 0;
	struct label *labels = reader_array(reader, count, sizeof(*labels));

	if (!labels)
		return;
	for (size_t i = 0; i < count; i++)
		read_label(reader, spot, &spot->value->fields[i], &labels[i]);
	qsort(labels, count, sizeof(*labels), compare_labels);
	*out = (struct label_list){ labels, count };
}

/* A requirement that a label has this value. */
static void require_label(struct reader *reader, const struct label *label, struct selector_requirement *out)
{
	const char **value = reader_array(reader, 1, sizeof(*value));

	if (!value)
		return;
	*value = label->value;
	*out = (struct selector_requirement){ .key = label->key, .op = SELECTOR_IN, .values = value, .value_count = 1 };
}

/* Room for `more` requirements behind those of the labels. */
static void require_labels(struct reader *reader, const struct label_list *labels, size_t more,
			   struct label_selector *out)
{
	struct selector_requirement *requirements;

	requirements = reader_array(reader, labels->count + more, sizeof(*requirements));
	if (!requirements)
		return;
	for (size_t i = 0; i < labels->count; i++)
		require_label(reader, &labels->items[i], &requirements[i]);
	*out = (struct label_selector){ requirements, labels->count };
}

void read_label_map_selector(struct reader *reader, const struct spot *spot, struct label_selector *out)
{
	struct label_list labels = {};

	read_labels(reader, spot, &labels);
	require_labels(reader, &labels, 0, out);
}

static bool read_operator(struct reader *reader, const struct spot *spot, enum selector_operator *out)
{
	static const char *const names[] = {
		[SELECTOR_IN] = "In",
		[SELECTOR_NOT_IN] = "NotIn",
		[SELECTOR_EXISTS] = "Exists",
		[SELECTOR_DOES_NOT_EXIST] = "DoesNotExist",
	};
	const char *text = read_string(reader, spot);

	for (size_t i = 0; text && i < ARRAY_SIZE(names); i++) {
		if (!strcmp(text, names[i])) {
			*out = (enum selector_operator)i;
			return true;
		}
	}
	if (text || !spot->value)
		reader_fail_expected(reader, spot, "In, NotIn, Exists or DoesNotExist");
	return false;
}

static int compare_values(const void *left, const void *right)
{
	return strcmp(*(const char *const *)left, *(const char *const *)right);
}

static size_t sort_unique(const char **values, size_t count)
{
	size_t kept = 0;

	qsort(values, count, sizeof(*values), compare_values);
	for (size_t i = 0; i < count; i++) {
		if (!kept || strcmp(values[kept - 1], values[i]))
			values[kept++] = values[i];
	}
	return kept;
}

static void read_selector_values(struct reader *reader, const struct spot *spot, struct selector_requirement *out)
{
	size_t count = read_sequence(reader, spot);
	const char **values = reader_array(reader, count, sizeof(*values));

	if (!values)
		return;
	for (size_t i = 0; i < count; i++) {
		struct spot item = spot_item(spot, i);
		const char *text = read_string(reader, &item);

		if (text && !syntax_is_label_value(text))
			reader_fail_expected(reader, &item,
					     "a label value of at most 63 letters, digits, '-', '_' and '.'");
		values[i] = reader_copy(reader, text ? text : "");
	}
	out->values = values;
	out->value_count = sort_unique(values, count);
}

static void check_value_count(struct reader *reader, const struct spot *values, const struct selector_requirement *read)
{
	bool needed = read->op == SELECTOR_IN || read->op == SELECTOR_NOT_IN;
	bool is_list = !values->value || values->value->type == VALUE_SEQUENCE;

	/* Another type has been told already. */
	if (!is_list)
		return;
	if (needed && !read->value_count)
		reader_fail(reader, values, "expected at least one value for In and NotIn, found none");
	if (!needed && read->value_count)
		reader_fail(reader, values, "expected no value for Exists and DoesNotExist, found %zu",
			    read->value_count);
}

static void read_requirement(struct reader *reader, const struct spot *spot, struct selector_requirement *out)
{
	static const char *const known[] = { "key", "operator", "values", NULL };
	struct spot key = spot_field(spot, "key"), operator = spot_field(spot, "operator");
	struct spot values = spot_field(spot, "values");
	const char *text;

	*out = (struct selector_requirement){ .key = "" };
	if (!read_mapping(reader, spot, known))
		return;
	text = read_string(reader, &key);
	if ((text && !syntax_is_label_key(text)) || !key.value)
		reader_fail_expected(reader, &key, "a label key");
	else if (text)
		out->key = reader_copy(reader, text);
	read_selector_values(reader, &values, out);
	if (read_operator(reader, &operator, &out->op))
		check_value_count(reader, &values, out);
}

void read_selector(struct reader *reader, const struct spot *spot, struct label_selector *out)
{
	static const char *const known[] = { "matchLabels", "matchExpressions", NULL };
	struct spot match_labels = spot_field(spot, "matchLabels");
	struct spot expressions = spot_field(spot, "matchExpressions");
	struct label_list labels = {};
	size_t count;

	if (!read_mapping(reader, spot, known))
		return;
	read_labels(reader, &match_labels, &labels);
	count = read_sequence(reader, &expressions);
	require_labels(reader, &labels, count, out);
	for (size_t i = 0; out->requirements && i < count; i++) {
		struct spot item = spot_item(&expressions, i);

		read_requirement(reader, &item, &out->requirements[out->count++]);
	}
}

void address_list_add(struct ip_address *addresses, size_t *count, const struct ip_address *address)
{
	for (size_t i = 0; i < *count; i++) {
		if (!ip_address_compare(&addresses[i], address))
			return;
	}
	addresses[(*count)++] = *address;
}
