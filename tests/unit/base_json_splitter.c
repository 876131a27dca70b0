/* SPDX-License-Identifier: Apache-2.0 */
/* JSON that comes in pieces: the same values whatever the pieces, and an error for what is none. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/json_splitter.h"

/* All that was handed over, as one text: "element|...\n" and "rest|value\n". */
struct trace {
	char text[4096];
	size_t length;
	int refuse; /* what callbacks return */
};

static void trace_add(struct trace *trace, const char *text, size_t length)
{
	assert_true(trace->length + length < sizeof(trace->text));
	memcpy(trace->text + trace->length, text, length);
	trace->length += length;
	trace->text[trace->length] = '\0';
}

static int on_element(const char *text, size_t length, void *data)
{
	struct trace *trace = data;

	trace_add(trace, "E ", 2);
	trace_add(trace, text, length);
	trace_add(trace, "\n", 1);
	return trace->refuse;
}

static int on_document(const char *rest, size_t rest_length, const char *value, size_t value_length, void *data)
{
	struct trace *trace = data;

	trace_add(trace, "D ", 2);
	trace_add(trace, rest, rest_length);
	if (value) {
		trace_add(trace, " V ", 3);
		trace_add(trace, value, value_length);
	}
	trace_add(trace, "\n", 1);
	return trace->refuse;
}

static struct json_splitter *make(bool list, size_t limit, struct trace *trace)
{
	const struct json_splitter_options options = {
		.member = list ? "items" : "object",
		.elements = list,
		.limit = limit,
		.element = on_element,
		.document = on_document,
		.data = trace,
	};
	struct json_splitter *splitter;

	assert_int_equal(json_splitter_new(&options, &splitter), 0);
	return splitter;
}

/* Feeds the text in pieces of `piece` bytes. */
static int feed(struct json_splitter *splitter, const char *text, size_t piece)
{
	size_t length = strlen(text), at;
	int error = 0;

	for (at = 0; at < length && !error; at += piece)
		error = json_splitter_feed(splitter, text + at, length - at < piece ? length - at : piece);
	return error;
}

/* The same, whatever the size of the pieces. */
static void expect(bool list, const char *text, const char *expected)
{
	size_t piece;

	for (piece = 1; piece <= strlen(text); piece++) {
		struct trace trace = {0};
		struct json_splitter *splitter = make(list, 4096, &trace);

		assert_int_equal(feed(splitter, text, piece), 0);
		assert_true(json_splitter_is_between(splitter));
		assert_string_equal(trace.text, expected);
		json_splitter_free(splitter);
	}
}

static void lists(void **state)
{
	(void)state;
	expect(true, "{\"kind\":\"L\",\"items\":[{\"a\":1},{\"b\":[{}]}],\"x\":2}",
	       "E {\"a\":1}\nE {\"b\":[{}]}\nD {\"kind\":\"L\",\"items\":[],\"x\":2}\n");
	expect(true, " {\"items\" : [ ] }\n", "D {\"items\" :[] }\n");
	expect(true, "{\"items\":null}", "D {\"items\":null}\n");
	expect(true, "{\"metadata\":{\"items\":[{}]},\"items\":[{}]}",
	       "E {}\nD {\"metadata\":{\"items\":[{}]},\"items\":[]}\n");
	/* A value that is called so is no key. */
	expect(true, "{\"a\":\"items\",\"items\":[{}]}", "E {}\nD {\"a\":\"items\",\"items\":[]}\n");
}

static void events(void **state)
{
	(void)state;
	expect(false, "{\"type\":\"ADDED\",\"object\":{\"a\":{}}}\n{\"object\":{},\"type\":\"D\"}",
	       "D {\"type\":\"ADDED\",\"object\":null} V {\"a\":{}}\nD {\"object\":null,\"type\":\"D\"} V {}\n");
	expect(false, "{\"type\":\"X\"}{\"object\":3}", "D {\"type\":\"X\"}\nD {\"object\":3}\n");
}

/* Brackets, quotes and backslashes inside of strings, and characters of several bytes. */
static void strings(void **state)
{
	(void)state;
	expect(false, "{\"object\":{\"a\":\"}]\\\"{[\\\\\",\"\xe6\xbc\xa2\":\"\xf0\x9f\x98\x80\"},\"t\":\",:\\\"\"}",
	       "D {\"object\":null,\"t\":\",:\\\"\"} V {\"a\":\"}]\\\"{[\\\\\",\"\xe6\xbc\xa2\":\"\xf0\x9f\x98\x80\"}\n");
	expect(true, "{\"items\":[{\"a\":\"\\\\\"},{\"b\":\"]\"}]}", "E {\"a\":\"\\\\\"}\nE {\"b\":\"]\"}\nD {\"items\":[]}\n");
}

static void expect_error(bool list, const char *text, const char *message)
{
	struct trace trace = {0};
	struct json_splitter *splitter = make(list, 64, &trace);

	assert_int_equal(feed(splitter, text, 3), -EINVAL);
	assert_string_equal(json_splitter_error(splitter), message);
	json_splitter_free(splitter);
}

static void what_is_no_json(void **state)
{
	(void)state;
	expect_error(true, "<html>", "expected a JSON object, found '<'");
	expect_error(false, "{} \xff", "expected a JSON object, found byte 0xff");
	expect_error(true, "{\"items\":[1]}", "expected an object in the list, found '1'");
	expect_error(false, "{\"object\":{},\"object\":{}}", "expected the member once, found '{'");
}

static void incomplete(void **state)
{
	struct trace trace = {0};
	struct json_splitter *splitter = make(false, 64, &trace);

	(void)state;
	assert_true(json_splitter_is_between(splitter));
	assert_int_equal(feed(splitter, "{\"object\":{\"a\":\"}", 1), 0);
	assert_false(json_splitter_is_between(splitter));
	assert_string_equal(trace.text, "");
	json_splitter_free(splitter);
}

/* The limit is of what is held at once: any number of elements may come. */
static void limits(void **state)
{
	struct trace trace = {0};
	struct json_splitter *splitter = make(true, 16, &trace);
	int i;

	(void)state;
	assert_int_equal(feed(splitter, "{\"items\":[", 4), 0);
	for (i = 0; i < 100; i++)
		assert_int_equal(feed(splitter, "{\"a\":\"34567890\"},", 4), 0);
	assert_int_equal(feed(splitter, "{\"a\":\"345678901\"},", 4), -EMSGSIZE);
	assert_string_equal(json_splitter_error(splitter), "expected at most 16 bytes of an object, found more");
	json_splitter_free(splitter);
}

static void callbacks_end_it(void **state)
{
	struct trace trace = {.refuse = -ESTALE};
	struct json_splitter *splitter = make(true, 64, &trace);

	(void)state;
	assert_int_equal(feed(splitter, "{\"items\":[{},{}]}", 100), -ESTALE);
	assert_string_equal(trace.text, "E {}\n");
	json_splitter_free(splitter);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lists),
		cmocka_unit_test(events),
		cmocka_unit_test(strings),
		cmocka_unit_test(what_is_no_json),
		cmocka_unit_test(incomplete),
		cmocka_unit_test(limits),
		cmocka_unit_test(callbacks_end_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
