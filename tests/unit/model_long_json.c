/* SPDX-License-Identifier: Apache-2.0 */
/* Long JSON lists, of which the parser gets one element after the other: nothing of it shows but what it takes. */
#define _GNU_SOURCE
#include "model_unit.h"

#include <dlfcn.h>
#include <errno.h>
#include <jansson.h>
#include <pthread.h>
#include <string.h>

#include "document_text.h"

/* ------------------------------------------------------------------ what jansson gets */

static pthread_mutex_t counting = PTHREAD_MUTEX_INITIALIZER;
static size_t largest_text, text_count;

/* Stands before that of the library. */
json_t *json_loadb(const char *text, size_t length, size_t flags, json_error_t *error)
{
	json_t *(*real)(const char *, size_t, size_t, json_error_t *);
	json_t *json;

	*(void **)&real = dlsym(RTLD_NEXT, "json_loadb");
	json = real(text, length, flags, error);
	pthread_mutex_lock(&counting);
	text_count++;
	if (error && error->position > 0 && (size_t)error->position > largest_text)
		largest_text = (size_t)error->position;
	pthread_mutex_unlock(&counting);
	return json;
}

static void forget_texts(void)
{
	largest_text = text_count = 0;
}

/* ------------------------------------------------------------------ texts */

#define ELEMENTS 3000

static void write_element(FILE *out, unsigned int i)
{
	static const char *const odd[] = {
		"null", "true", "-12.5e3", "{}", "[]", "\"[{\\\"\\\\\"", "[1,2,[3]]", "\"\\u00e9]\"", "{\"a\":[\"}\"]}", "17",
	};

	if (i % 7 == 3)
		fprintf(out, "%s", odd[i / 7 % ARRAY_SIZE(odd)]);
	else
		fprintf(out, "{\"ipBlock\":%s{\"cidr\" : \"10.%u.%u.0/24\"}}", i % 3 ? "" : "\n ", i >> 8, i & 255);
}

/* Of several lists, some of them in others; the brackets of the outermost object are the first and the last byte. */
static struct text long_text(unsigned int elements)
{
	struct text text = {0};
	FILE *out = open_memstream(&text.bytes, &text.length);

	assert_non_null(out);
	fprintf(out, "{\"name\": \"x\", \"empty\": [ ], \"outer\": [[1], {\"to\": [ ");
	for (unsigned int i = 0; i < elements; i++) {
		fprintf(out, "%s", i ? i % 5 ? "," : " ,\n" : "");
		write_element(out, i);
	}
	fprintf(out, " ], \"last\": 1}, \"a\", {\"more\": [");
	for (unsigned int i = 0; i < 2 * elements; i++)
		fprintf(out, "%s%u", i ? ", " : "", i * 7919 % 1000000 + 1000000000);
	fprintf(out, "]}], \"spaces\": [%*s]}", elements * 25, "");
	fclose(out);
	return text;
}

/* ------------------------------------------------------------------ trees */

static int note_tree(const struct value *root, void *data)
{
	struct text *tree = data;
	FILE *out;

	free(tree->bytes);
	out = open_memstream(&tree->bytes, &tree->length);
	assert_non_null(out);
	write_value(out, root);
	fclose(out);
	return 0;
}

static int parse(const char *name, const struct text *text, struct text *tree)
{
	_cleanup_(problem_list_clear) struct problem_list problems = {0};
	int error = document_parse(name, text->bytes, text->length, note_tree, tree, &problems);

	assert_int_equal(problems.count, error == -EINVAL);
	return error;
}

/* ------------------------------------------------------------------ tests */

/* YAML knows all of JSON; a comment in front keeps the text from being taken for that, and adds a line. */
static struct text as_yaml(const struct text *json)
{
	struct text text = {0};

	assert_true(asprintf(&text.bytes, "# x\n%.*s", (int)json->length, json->bytes) > 0);
	text.length = strlen(text.bytes);
	return text;
}

static struct text one_line_lower(const struct text *json)
{
	struct text text = {0};

	assert_true(asprintf(&text.bytes, "\n%.*s", (int)json->length, json->bytes) > 0);
	text.length = strlen(text.bytes);
	return text;
}

static void same_tree_as_in_yaml(void **state)
{
	_cleanup_text_ struct text json = long_text(ELEMENTS), lower = one_line_lower(&json), yaml = as_yaml(&json);
	_cleanup_text_ struct text json_tree = {0}, yaml_tree = {0};

	(void)state;
	forget_texts();
	assert_int_equal(parse("a.json", &lower, &json_tree), 0);
	/* The elements of both lists, two of the list around them, and the three objects around lists. */
	assert_in_range(text_count, 3 * ELEMENTS + 5, 3 * ELEMENTS + 5);
	assert_true(largest_text < 1000);
	forget_texts();
	assert_int_equal(parse("a.yaml", &yaml, &yaml_tree), 0);
	assert_int_equal(text_count, 0);
	assert_string_equal(json_tree.bytes, yaml_tree.bytes);
	/* A name that says nothing, and a text that is JSON. */
	assert_int_equal(parse("a.yaml", &lower, &json_tree), 0);
	assert_string_equal(json_tree.bytes, yaml_tree.bytes);
}

static void short_texts_are_parsed_as_a_whole(void **state)
{
	_cleanup_text_ struct text json = long_text(100), tree = {0};

	(void)state;
	forget_texts();
	assert_int_equal(parse("a.json", &json, &tree), 0);
	assert_int_equal(text_count, 1);
}

/* Is it JSON, in the eyes of jansson alone? */
static bool is_json(const struct text *text)
{
	json_t *json = json_loadb(text->bytes, text->length, JSON_REJECT_DUPLICATES, NULL);

	json_decref(json);
	return json;
}

static uint32_t next_random(uint32_t *state)
{
	*state = *state * 1664525u + 1013904223u;
	return *state >> 8;
}

/* One byte or two are another: what is JSON is taken, and nothing else. */
static void damaged_texts_are_what_they_are(void **state)
{
	static const char bytes[] = "[]{},:\"\\ 1etn-x\n";
	_cleanup_text_ struct text json = long_text(ELEMENTS), tree = {0};
	uint32_t random = 7;
	unsigned int right = 0;

	(void)state;
	for (unsigned int round = 0; round < 150; round++) {
		unsigned int at = next_random(&random) % (unsigned int)json.length, other = at;
		char kept = json.bytes[at], kept_other;
		bool taken;

		if (round % 2)
			other = next_random(&random) % (unsigned int)json.length;
		kept_other = json.bytes[other];
		json.bytes[at] = bytes[next_random(&random) % (sizeof(bytes) - 1)];
		if (other != at)
			json.bytes[other] = kept;
		taken = !parse("a.json", &json, &tree);
		if (is_json(&json) != taken)
			fail_msg("round %u: byte %u, %u: %staken", round, at, other, taken ? "" : "not ");
		right += taken;
		json.bytes[other] = kept_other;
		json.bytes[at] = kept;
	}
	/* Both kinds came by. */
	assert_in_range(right, 10, 140);
}

static void expect_problem(const char *text, unsigned int line, unsigned int column, const char *part)
{
	_cleanup_(problem_list_clear) struct problem_list problems = {0};
	_cleanup_text_ struct text tree = {0};

	assert_int_equal(document_parse("a.json", text, strlen(text), note_tree, &tree, &problems), -EINVAL);
	assert_null(tree.bytes);
	assert_int_equal(problems.count, 1);
	if (!strstr(problems.items[0].message, part))
		fail_msg("expected \"%s\" in \"%s\"", part, problems.items[0].message);
	assert_int_equal(problems.items[0].line, line);
	assert_int_equal(problems.items[0].column, column);
}

/* A list of ten thousand strings, one a line from line 2 on, in which line 9,000 is another. */
static void expect_problem_of(const char *line, unsigned int at_line, unsigned int column, const char *part)
{
	_cleanup_text_ struct text text = {0};
	FILE *out = open_memstream(&text.bytes, &text.length);

	assert_non_null(out);
	fprintf(out, "{\"a\": [\n");
	for (unsigned int i = 2; i < 10000; i++)
		fprintf(out, "%s\n", i == 9000 ? line : "\"0123456789\",");
	fprintf(out, "\"x\"]}");
	fclose(out);
	expect_problem(text.bytes, at_line, column, part);
}

static void problems_are_placed_as_before(void **state)
{
	(void)state;
	expect_problem_of("\"0123456789\"", 9001, 12, "']' expected near");
	expect_problem_of("\"a\" \"b\",", 9000, 7, "']' expected near");
	expect_problem_of("12x,", 9000, 3, "']' expected near 'x'");
	expect_problem_of("{\"a\":1,\"a\":2},", 9000, 10, "duplicate");
	expect_problem_of(",", 9000, 1, "unexpected token near ','");
}

/* More levels than a document may have, inside of a long list. */
static void depth_is_limited(void **state)
{
	_cleanup_free_ char *text = NULL;

	(void)state;
	assert_true(asprintf(&text, "{\"a\":[%.100s%.100s%*s]}",
			     "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[",
			     "]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]",100000, "") >0);
	expect_problem(text, 1, 69, "levels");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(same_tree_as_in_yaml),
		cmocka_unit_test(short_texts_are_parsed_as_a_whole),
		cmocka_unit_test(damaged_texts_are_what_they_are),
		cmocka_unit_test(problems_are_placed_as_before),
		cmocka_unit_test(depth_is_limited),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
