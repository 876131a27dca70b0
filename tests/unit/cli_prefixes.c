/* SPDX-License-Identifier: Apache-2.0 */
/* Sets of addresses and their texts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "cli/prefixes.h"

static struct ip_address parse(const char *text)
{
	struct ip_address address;

	assert_int_equal(ip_address_parse(text, &address), 0);
	return address;
}

static void append(struct address_set *set, const char *first, const char *last)
{
	struct ip_address from = parse(first), to = parse(last);

	address_set_append(set, &from, &to);
}

static void assert_text(struct address_set *set, size_t limit, const char *expected)
{
	char *text = address_set_text(set, limit);

	assert_string_equal(text, expected);
	free(text);
	address_set_clear(set);
}

static void test_neighbours_join(void **state)
{
	struct address_set set = {0};

	(void)state;
	append(&set, "10.0.0.0", "10.0.0.127");
	append(&set, "10.0.0.128", "10.0.0.255");
	append(&set, "10.0.2.0", "10.0.2.0");
	assert_int_equal(set.count, 2);
	assert_true(address_range_is_single(&set.items[1]));
	assert_text(&set, 0, "10.0.0.0/24, 10.0.2.0/32");
	/* The end of IPv4 does not touch the beginning of IPv6. */
	append(&set, "0.0.0.0", "255.255.255.255");
	append(&set, "::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff");
	assert_int_equal(set.count, 2);
	assert_text(&set, 0, "0.0.0.0/0, ::/0");
}

static void test_except_where_shorter(void **state)
{
	struct address_set set = {0};

	(void)state;
	append(&set, "0.0.0.0", "9.255.255.255");
	append(&set, "11.0.0.0", "255.255.255.255");
	assert_text(&set, 0, "0.0.0.0/0 except 10.0.0.0/8");
	append(&set, "::", "fcff:ffff:ffff:ffff:ffff:ffff:ffff:ffff");
	append(&set, "fe00::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff");
	assert_text(&set, 0, "::/0 except fd00::/8");
	/* Nothing is gained by it here. */
	append(&set, "10.0.0.0", "10.0.0.1");
	append(&set, "10.0.0.3", "10.0.0.3");
	assert_text(&set, 0, "10.0.0.0/31, 10.0.0.3/32");
}

static void test_limit(void **state)
{
	struct address_set set = {0};

	(void)state;
	append(&set, "10.0.0.1", "10.0.0.1");
	append(&set, "10.1.0.1", "10.1.0.1");
	append(&set, "10.2.0.1", "10.2.0.1");
	append(&set, "10.3.0.1", "10.3.0.1");
	assert_text(&set, 2, "10.0.0.1/32, 10.1.0.1/32 and 2 more");
	append(&set, "10.0.0.1", "10.0.0.1");
	append(&set, "10.1.0.1", "10.1.0.1");
	append(&set, "10.2.0.1", "10.2.0.1");
	assert_text(&set, 2, "10.0.0.1/32, 10.1.0.1/32, 10.2.0.1/32");
}

static uint32_t number(const struct ip_address *address)
{
	const uint8_t *b = address->bytes;

	return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
}

static struct ip_address make(uint32_t n)
{
	return (struct ip_address){.family = 4,
				   .bytes = {(uint8_t)(n >> 24), (uint8_t)(n >> 16), (uint8_t)(n >> 8), (uint8_t)n}};
}

/* Prefixes of a range must tile it: in order, aligned, without gap, and no two that could be one. */
static void assert_tiles(uint32_t first, uint32_t last)
{
	const struct address_range range = {make(first), make(last)};
	struct prefix_list list = {0};
	uint64_t next = first;
	size_t i;

	prefixes_of_range(&range, &list);
	for (i = 0; i < list.count; i++) {
		uint64_t size = 1ull << (32 - list.items[i].length);

		assert_int_equal(number(&list.items[i].address), next);
		assert_int_equal(next % size, 0);
		if (i && list.items[i - 1].length == list.items[i].length)
			assert_int_not_equal((next - size) % (2 * size), 0);
		next += size;
	}
	assert_int_equal(next, (uint64_t)last + 1);
	prefix_list_clear(&list);
}

static void test_prefixes_tile(void **state)
{
	unsigned int seed = 1, i;

	(void)state;
	assert_tiles(0, UINT32_MAX);
	assert_tiles(UINT32_MAX, UINT32_MAX);
	assert_tiles(1, UINT32_MAX - 1);
	for (i = 0; i < 20000; i++) {
		uint32_t a = (uint32_t)rand_r(&seed) << (i % 3), b = a + (uint32_t)rand_r(&seed) % (1u << (i % 24 + 1));

		assert_tiles(a < b ? a : b, a < b ? b : a);
	}
}

static void test_ends(void **state)
{
	struct ip_address address = parse("255.255.255.255"), out = parse("1.2.3.4");

	(void)state;
	assert_false(address_next(&address, &out));
	assert_int_equal(number(&out), 0x01020304);
	address = parse("0.0.255.255");
	assert_true(address_next(&address, &out));
	assert_int_equal(number(&out), 0x00010000);
	assert_true(address_previous(&out, &out));
	assert_int_equal(number(&out), 0x0000ffff);
	address = parse("::");
	assert_false(address_previous(&address, &out));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_neighbours_join),
		cmocka_unit_test(test_except_where_shorter),
		cmocka_unit_test(test_limit),
		cmocka_unit_test(test_prefixes_tile),
		cmocka_unit_test(test_ends),
	};

	return cmocka_run_group_tests_name("cli_prefixes", tests, NULL, NULL);
}
