/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Columns, lists of ports, groups of pods, selectors that imply each other: what the commands put together for
 * people.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "cli/columns.h"
#include "cli/lint.h"
#include "cli/pod_names.h"
#include "cli/port_ranges.h"

static void test_columns(void **state)
{
	static const char *const titles[] = {"NAME", ">COUNT", "REST"};
	struct columns *columns = columns_new(titles, ARRAY_SIZE(titles));
	char *text = NULL;
	size_t size;
	FILE *file = open_memstream(&text, &size);

	(void)state;
	columns_add(columns, "a→b");
	columns_format(columns, "%d", 7);
	columns_add(columns, NULL);
	columns_add(columns, "longer");
	columns_format(columns, "%d", 123456);
	columns_add(columns, "x");
	columns_print(columns, file);
	fclose(file);
	assert_string_equal(text, "NAME     COUNT  REST\n"
				  "a→b          7  -\n"
				  "longer  123456  x\n");
	free(text);
	columns_free(columns);
}

static void assert_ports(const struct port_range *list, size_t count, const char *expected)
{
	struct port_ranges ranges = {0};
	size_t i;
	char *text;

	for (i = 0; i < count; i++)
		port_ranges_append(&ranges, &list[i]);
	text = port_ranges_text(&ranges, "nothing");
	assert_string_equal(text, expected);
	free(text);
	port_ranges_clear(&ranges);
}

static void test_ports(void **state)
{
	static const struct port_range some[] = {
		{EGRESS_PORT_TCP, 80, 80, 0},
		{EGRESS_PORT_TCP, 8000, 8079, 0},
		{EGRESS_PORT_TCP, 8080, 8080, 0},
		{EGRESS_PORT_UDP, 0, 65535, 0},
		{PORTLESS, 0, 0, 0},
		{TUNNELS, 0, 0, 0},
	};
	static const struct port_range all[] = {
		{EGRESS_PORT_TCP, 0, 65535, 0},
		{EGRESS_PORT_UDP, 0, 65535, 0},
		{EGRESS_PORT_SCTP, 0, 65535, 0},
		{PORTLESS, 0, 0, 0},
		{TUNNELS, 0, 0, 0},
	};

	(void)state;
	assert_ports(some, ARRAY_SIZE(some), "TCP 80, 8000-8080; UDP all; other protocols");
	assert_ports(all, ARRAY_SIZE(all), "everything");
	assert_ports(all, 3, "TCP all; UDP all; SCTP all");
	assert_ports(all, 4, "TCP all; UDP all; SCTP all; other but tunnel protocols");
	assert_ports(all + 4, 1, "tunnel protocols");
	assert_ports(all, 0, "nothing");
}

static void assert_group(const char *const *some, const char *const *all, const char *expected)
{
	struct pod_names chosen = {0}, every = {0};
	struct pod_name items[16];
	size_t i, j;
	char *text;

	for (i = 0; some[i]; i++)
		items[i] = (struct pod_name){"shop", some[i]};
	chosen.items = items;
	chosen.count = i;
	every.items = items + i;
	for (j = 0; all[j]; j++)
		items[i + j] = (struct pod_name){"shop", all[j]};
	items[i + j++] = (struct pod_name){"web", "web-9"};
	every.count = j;
	text = pod_names_text(&chosen, 0, chosen.count, &every);
	assert_string_equal(text, expected);
	free(text);
}

static void test_pod_groups(void **state)
{
	static const char *const all[] = {"db-0", "web-1", "web-2", "web-3", "webmail-1", NULL};
	static const char *const one[] = {"web-1", NULL}, *const webs[] = {"web-1", "web-2", "web-3", NULL};
	static const char *const two[] = {"web-1", "web-2", NULL};

	(void)state;
	assert_group(one, all, "shop/web-1");
	assert_group(webs, all, "shop/web-* (3 pods)");
	/* web-* would mean one more. */
	assert_group(two, all, "shop/web-1, shop/web-2");
	assert_group(all, all, "shop/* (5 pods)");
}

struct selector_case {
	enum selector_operator narrow, wide;
	const char *narrow_values[3], *wide_values[3];
	bool implies;
};

static size_t count_values(const char *const *values)
{
	size_t count = 0;

	while (count < 3 && values[count])
		count++;
	return count;
}

static void test_selector_implies(void **state)
{
	static const struct selector_case cases[] = {
		{SELECTOR_IN, SELECTOR_EXISTS, {"a"}, {NULL}, true},
		{SELECTOR_EXISTS, SELECTOR_IN, {NULL}, {"a"}, false},
		{SELECTOR_IN, SELECTOR_IN, {"a"}, {"a", "b"}, true},
		{SELECTOR_IN, SELECTOR_IN, {"a", "b"}, {"a"}, false},
		{SELECTOR_IN, SELECTOR_NOT_IN, {"a"}, {"b"}, true},
		{SELECTOR_IN, SELECTOR_NOT_IN, {"a"}, {"a"}, false},
		{SELECTOR_NOT_IN, SELECTOR_NOT_IN, {"a", "b"}, {"a"}, true},
		{SELECTOR_NOT_IN, SELECTOR_NOT_IN, {"a"}, {"a", "b"}, false},
		{SELECTOR_NOT_IN, SELECTOR_EXISTS, {"a"}, {NULL}, false},
		{SELECTOR_DOES_NOT_EXIST, SELECTOR_NOT_IN, {NULL}, {"a"}, true},
		{SELECTOR_DOES_NOT_EXIST, SELECTOR_EXISTS, {NULL}, {NULL}, false},
		{SELECTOR_NOT_IN, SELECTOR_DOES_NOT_EXIST, {"a"}, {NULL}, false},
	};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct selector_case *c = &cases[i];
		struct selector_requirement narrow = {"k", c->narrow, (const char **)c->narrow_values,
						      count_values(c->narrow_values)};
		struct selector_requirement wide = {"k", c->wide, (const char **)c->wide_values,
						    count_values(c->wide_values)};
		const struct label_selector a = {&narrow, 1}, b = {&wide, 1}, empty = {NULL, 0};

		if (selector_implies(&a, &b) != c->implies)
			fail_msg("case %zu", i);
		assert_true(selector_implies(&a, &empty));
		assert_false(selector_implies(&empty, &b));
		wide.key = "other";
		assert_false(selector_implies(&a, &b));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_columns),
		cmocka_unit_test(test_ports),
		cmocka_unit_test(test_pod_groups),
		cmocka_unit_test(test_selector_implies),
	};

	return cmocka_run_group_tests_name("cli_texts", tests, NULL, NULL);
}
