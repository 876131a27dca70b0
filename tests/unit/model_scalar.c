/* SPDX-License-Identifier: Apache-2.0 */
/* model/scalar.h and model/syntax.h */
#include <string.h>

#include "base/cleanup.h"
#include "model/scalar.h"
#include "model/syntax.h"
#include "model_unit.h"

static void check_type(const char *const *texts, size_t count, enum value_type type)
{
	for (size_t i = 0; i < count; i++) {
		struct scalar scalar = scalar_resolve(texts[i]);

		if (scalar.type != type)
			fail_msg("%s: type %d, expected %d", texts[i], scalar.type, type);
	}
}

static void words(void **state)
{
	static const char *const nulls[] = { "", "~", "null", "Null", "NULL" };
	static const char *const booleans[] = { "true", "True", "FALSE", "yes", "No", "on", "OFF", "y", "Y", "n", "N" };

	(void)state;
	check_type(nulls, ARRAY_SIZE(nulls), VALUE_NULL);
	check_type(booleans, ARRAY_SIZE(booleans), VALUE_BOOLEAN);
	assert_true(scalar_resolve("yes").boolean);
	assert_true(scalar_resolve("On").boolean);
	assert_true(scalar_resolve("y").boolean);
	assert_false(scalar_resolve("off").boolean);
	assert_false(scalar_resolve("No").boolean);
	assert_false(scalar_resolve("N").boolean);
}

static void integers(void **state)
{
	static const struct {
		const char *text;
		int64_t value;
	} cases[] = {
		{ "0", 0 },          { "80", 80 },          { "-1", -1 },  { "+80", 80 }, { "0x50", 80 },
		{ "0o120", 80 },     { "-0x10", -16 },      { "-0", 0 },
		{ "9223372036854775807", INT64_MAX },       { "-9223372036854775807", -INT64_MAX },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct scalar scalar = scalar_resolve(cases[i].text);

		assert_int_equal(scalar.type, VALUE_INTEGER);
		assert_true(scalar.integer == cases[i].value);
	}
}

/* Numbers that YAML's versions read differently, or that have no exact integer: never an integer, never a string. */
static void other_numbers(void **state)
{
	static const char *const texts[] = {
		"010", "08", "00", "1_000", "0b11", "0x_1", "80.0", "1e3", ".5", "1.", "-1.5E-3", ".inf", "-.INF",
		".nan", "9223372036854775808", "99999999999999999999999999",
	};

	(void)state;
	check_type(texts, ARRAY_SIZE(texts), VALUE_NUMBER);
}

static void strings(void **state)
{
	static const char *const texts[] = {
		"a", "yy", "yN", "tRUE", "nULL", "yEs", "0xg", "0o8", "0b2", "1.2.3", "10.0.0.1", "10.0.0.0/8",
		"2024-01-01", "12:30", "-", "+", ".", "1e", "e3", "_1", "-x", "0x", "::1", "1 2", "null ",
	};

	(void)state;
	check_type(texts, ARRAY_SIZE(texts), VALUE_STRING);
}

/* ------------------------------------------------------------------ names */

typedef bool (*syntax)(const char *text);

#define A63 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

static void check_syntax(syntax is, const char *const *texts, size_t count, bool expected)
{
	for (size_t i = 0; i < count; i++) {
		if (is(texts[i]) != expected)
			fail_msg("\"%s\" should be %s", texts[i], expected ? "allowed" : "refused");
	}
}

#define CHECK_SYNTAX(is, expected, ...)                                    \
	do {                                                               \
		static const char *const texts[] = { __VA_ARGS__ };        \
		check_syntax(is, texts, ARRAY_SIZE(texts), expected);      \
	} while (0)

static void names(void **state)
{
	(void)state;
	CHECK_SYNTAX(syntax_is_dns_label, true, "a", "0", "a-b", A63);
	CHECK_SYNTAX(syntax_is_dns_label, false, "", "-a", "a-", "A", "a.b", "a_b", A63 "a", "a\n", "\xc3\xa4");
	CHECK_SYNTAX(syntax_is_dns_subdomain, true, "a", "a.b", "a-b.c", A63 "a", A63 "." A63 "." A63 "." "aaaaaaaa");
	CHECK_SYNTAX(syntax_is_dns_subdomain, false, "", ".", "a.", ".a", "a..b", "a.-b", "A.b", "a/b",
		     A63 "." A63 "." A63 "." A63);
}

static void labels(void **state)
{
	(void)state;
	CHECK_SYNTAX(syntax_is_label_key, true, "app", "App.k8s_io-x", "example.com/app", "a/b", "a/" A63);
	CHECK_SYNTAX(syntax_is_label_key, false, "", "/app", "example.com/", "a/b/c", "-a", "a b", "Example.com/app",
		     "a/" A63 "a", "a/.b");
	CHECK_SYNTAX(syntax_is_label_value, true, "", "a", "A.b_c-d", "0", A63);
	CHECK_SYNTAX(syntax_is_label_value, false, "-a", "a-", ".a", "a b", "a/b", A63 "a", "\xc3\xa4");
}

static void ports_and_interfaces(void **state)
{
	(void)state;
	CHECK_SYNTAX(syntax_is_port_name, true, "a", "http", "1a", "http-alt", "a23456789012345");
	CHECK_SYNTAX(syntax_is_port_name, false, "", "80", "8-0", "a--b", "-a", "a-", "HTTP", "a.b", "a234567890123456");
	CHECK_SYNTAX(syntax_is_interface_name, true, "veth0", "a.b", "cali-1@x", "123456789012345");
	CHECK_SYNTAX(syntax_is_interface_name, false, "", ".", "..", "a b", "a/b", "a:1", "a\t", "1234567890123456");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(words),   cmocka_unit_test(integers), cmocka_unit_test(other_numbers),
		cmocka_unit_test(strings), cmocka_unit_test(names),    cmocka_unit_test(labels),
		cmocka_unit_test(ports_and_interfaces),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
