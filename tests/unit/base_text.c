/* SPDX-License-Identifier: Apache-2.0 */
/* base/text.h, base/timestamp.h and base/log.h */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "base/text.h"
#include "base/timestamp.h"
#include "model_unit.h"

static void lines_have_no_control_characters_and_are_utf8(void **state)
{
	static const char *const cases[][2] = {
		{ "", "" },
		{ "plain", "plain" },
		{ "a\nb\tc\x1b[0m\x7f", "a b c [0m " },
		{ "gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x98\x80", "gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x98\x80" },
		{ "cut \xf0\x9f\x98", "cut ???" },
		{ "alone \x80 \xff", "alone ? ?" },
		{ "long form \xc0\x80", "long form ??" },
		{ "surrogate \xed\xa0\x80", "surrogate ???" },
		{ "beyond \xf4\x90\x80\x80", "beyond ????" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_free_ char *text = strdup(cases[i][0]);

		text_make_line(text);
		assert_string_equal(text, cases[i][1]);
	}
}

static void formats_of_any_length(void **state)
{
	_cleanup_free_ char *text = text_format("%s|%300d|", "x", 7);

	(void)state;
	assert_int_equal(strlen(text), 303);
	assert_memory_equal(text, "x|  ", 4);
}

static void timestamps(void **state)
{
	static const struct {
		const char *text;
		int error;
		int64_t seconds;
	} cases[] = {
		{ "1970-01-01T00:00:00Z", 0, 0 },
		{ "2024-02-29T12:34:56Z", 0, 1709210096 },
		{ "2024-02-29T12:34:56.789012Z", 0, 1709210096 },
		{ "2024-02-29T13:34:56+01:00", 0, 1709210096 },
		{ "2024-02-29T07:04:56-05:30", 0, 1709210096 },
		{ "1969-12-31T23:59:59Z", 0, -1 },
		{ "0000-01-01T00:00:00Z", 0, INT64_C(-62167219200) },
		{ "9999-12-31T23:59:59Z", 0, INT64_C(253402300799) },
		{ "0000-01-01T00:00:00+00:01", -EINVAL, 0 },
		{ "9999-12-31T23:59:59-00:01", -EINVAL, 0 },
		{ "2023-02-29T00:00:00Z", -EINVAL, 0 },
		{ "2024-13-01T00:00:00Z", -EINVAL, 0 },
		{ "2024-01-01T24:00:00Z", -EINVAL, 0 },
		{ "2024-01-01T00:00:00", -EINVAL, 0 },
		{ "2024-01-01T00:00:00.Z", -EINVAL, 0 },
		{ "2024-01-01 00:00:00Z", -EINVAL, 0 },
		{ "2024-01-01T00:00:00Zx", -EINVAL, 0 },
		{ "2024-01-01", -EINVAL, 0 },
		{ "", -EINVAL, 0 },
	};
	char text[TIMESTAMP_TEXT_SIZE];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		int64_t seconds = 42;

		assert_int_equal(timestamp_parse(cases[i].text, &seconds), cases[i].error);
		assert_int_equal(seconds, cases[i].error ? 42 : cases[i].seconds);
	}
	assert_string_equal(timestamp_format(1709210096, text), "2024-02-29T12:34:56Z");
	assert_string_equal(timestamp_format(INT64_C(-46158249600), text), "0507-04-22T00:00:00Z");
	assert_string_equal(timestamp_format(INT64_MAX, text), "");
}

/* What a call of log_message writes to standard error. */
static void capture(char text[256], enum log_level level, const char *message)
{
	int saved = dup(STDERR_FILENO), ends[2];
	ssize_t length;

	assert_int_equal(pipe(ends), 0);
	dup2(ends[1], STDERR_FILENO);
	close(ends[1]);
	log_message(level, "%s", message);
	dup2(saved, STDERR_FILENO);
	close(saved);
	length = read(ends[0], text, 255);
	close(ends[0]);
	assert_true(length >= 0);
	text[length] = '\0';
}

static void log_writes_one_line_at_the_level_asked_for(void **state)
{
	char text[256];

	(void)state;
	log_configure(LOG_LEVEL_WARNING, false);
	capture(text, LOG_LEVEL_ERROR, "broken\nerror: forged");
	assert_string_equal(text, "error: broken error: forged\n");
	capture(text, LOG_LEVEL_INFO, "quiet");
	assert_string_equal(text, "");
	assert_false(log_enabled(LOG_LEVEL_INFO));
	assert_true(log_enabled(LOG_LEVEL_WARNING));
}

static void log_writes_json(void **state)
{
	const char *level, *message, *written_at;
	char text[256];
	int64_t seconds;
	json_t *json;

	(void)state;
	log_configure(LOG_LEVEL_DEBUG, true);
	capture(text, LOG_LEVEL_DEBUG, "say \"x\" \xff");
	json = json_loads(text, 0, NULL);
	assert_non_null(json);
	assert_int_equal(json_unpack(json, "{s:s, s:s, s:s !}", "time", &written_at, "level", &level, "message", &message), 0);
	assert_string_equal(level, "debug");
	assert_string_equal(message, "say \"x\" ?");
	assert_int_equal(timestamp_parse(written_at, &seconds), 0);
	assert_int_equal(text[strlen(text) - 1], '\n');
	json_decref(json);
}

static void log_levels_have_names(void **state)
{
	enum log_level level = LOG_LEVEL_INFO;

	(void)state;
	assert_int_equal(log_level_parse("debug", &level), 0);
	assert_int_equal(level, LOG_LEVEL_DEBUG);
	assert_int_equal(log_level_parse("error", &level), 0);
	assert_int_equal(level, LOG_LEVEL_ERROR);
	assert_int_equal(log_level_parse("Error", &level), -EINVAL);
	assert_int_equal(level, LOG_LEVEL_ERROR);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lines_have_no_control_characters_and_are_utf8),
		cmocka_unit_test(formats_of_any_length),
		cmocka_unit_test(timestamps),
		cmocka_unit_test(log_writes_one_line_at_the_level_asked_for),
		cmocka_unit_test(log_writes_json),
		cmocka_unit_test(log_levels_have_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
