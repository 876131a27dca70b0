/* SPDX-License-Identifier: Apache-2.0 */
/* model/address.h */
#include <errno.h>
#include <string.h>

#include "base/cleanup.h"
#include "model/address.h"
#include "model_unit.h"

static struct ip_address address(const char *text)
{
	struct ip_address parsed = {};

	assert_int_equal(ip_address_parse(text, &parsed), 0);
	return parsed;
}

static struct ip_prefix prefix(const char *text)
{
	struct ip_prefix parsed = {};

	assert_int_equal(ip_prefix_parse(text, &parsed), 0);
	return parsed;
}

static void addresses_parse_and_format(void **state)
{
	static const char *const cases[][2] = {
		{ "0.0.0.0", "0.0.0.0" },
		{ "255.255.255.255", "255.255.255.255" },
		{ "::", "::" },
		{ "2001:DB8:0::1", "2001:db8::1" },
		{ "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff" },
	};
	char text[IP_TEXT_SIZE];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct ip_address parsed = address(cases[i][0]);

		assert_int_equal(parsed.family, strchr(cases[i][0], ':') ? 6 : 4);
		assert_string_equal(ip_address_format(&parsed, text), cases[i][1]);
	}
}

static void bytes_are_in_network_order_and_the_rest_zero(void **state)
{
	static const uint8_t expected[16] = { 10, 1, 2, 3 };
	struct ip_address parsed = address("10.1.2.3");

	(void)state;
	assert_memory_equal(parsed.bytes, expected, 16);
}

static void other_forms_of_addresses_are_refused(void **state)
{
	static const char *const cases[] = {
		"", "1.2.3", "1.2.3.4.5", "01.2.3.4", "1.2.3.256", "1.2.3.4 ", " 1.2.3.4", "0x1.2.3.4", "1.2.3.-4",
		"fe80::1%eth0", ":::", "1::2::3", "12345::", "1.2.3.4/32", "localhost",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct ip_address parsed = { .family = 99 };

		assert_int_equal(ip_address_parse(cases[i], &parsed), -EINVAL);
		assert_int_equal(parsed.family, 99);
	}
}

static void prefixes_parse_and_keep_host_bits(void **state)
{
	static const char *const cases[] = { "0.0.0.0/0", "10.1.2.3/8", "10.1.2.3/32", "::/0", "2001:db8::1/33", "::1/128" };
	char text[IP_PREFIX_TEXT_SIZE];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct ip_prefix parsed = prefix(cases[i]);

		assert_string_equal(ip_prefix_format(&parsed, text), cases[i]);
	}
}

static void other_forms_of_prefixes_are_refused(void **state)
{
	static const char *const cases[] = {
		"10.0.0.0", "10.0.0.0/", "/8", "10.0.0.0/33", "::/129", "10.0.0.0/08", "10.0.0.0/-1", "10.0.0.0/+8",
		"10.0.0.0/8/8", "10.0.0.0/255.0.0.0", "10/8", "10.0.0.0/ 8", "::/0000",
		"2001:0db8:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000/8",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct ip_prefix parsed = { .length = 99 };

		assert_int_equal(ip_prefix_parse(cases[i], &parsed), -EINVAL);
		assert_int_equal(parsed.length, 99);
	}
}

static void leading_zeros_are_dropped(void **state)
{
	static const char *const cases[][2] = {
		{ "10.0.0.0/08", "10.0.0.0/8" },
		{ "010.00.000.01/0032", "10.0.0.1/32" },
		{ "0.0.0.0/0", "0.0.0.0/0" },
		{ "00.0.0.100/000", "0.0.0.100/0" },
		{ "192.000000000000000000000000000000000000000000000000000168.1.0/24", "192.168.1.0/24" },
		{ "2001:0db8:00000::00a0/064", "2001:db8::a0/64" },
	};
	static const char *const refused[] = {
		"", "0", "010.0.0.0", "10.0.0.0256/8", "0x10.0.0.0/8", "10.0.0.0/0x8", "10.0.0.0/033", "10.0.0.0/-08",
		"10.0.0.0/0a", "10.0.0/08", "012345::/64", "2001:db8:1111:1111:1111:1111:1111:1111:1111:1111:1111:1111:1111:1111/8",
	};
	char text[IP_PREFIX_TEXT_SIZE];
	struct ip_address parsed = {};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct ip_prefix found = {};

		assert_int_equal(ip_prefix_parse_sloppy(cases[i][0], &found), 0);
		assert_string_equal(ip_prefix_format(&found, text), cases[i][1]);
	}
	for (size_t i = 0; i < ARRAY_SIZE(refused); i++) {
		struct ip_prefix found = { .length = 99 };

		assert_int_equal(ip_prefix_parse_sloppy(refused[i], &found), -EINVAL);
		assert_int_equal(found.length, 99);
	}
	assert_int_equal(ip_address_parse_sloppy("010.0.08.1", &parsed), 0);
	assert_string_equal(ip_address_format(&parsed, text), "10.0.8.1");
	assert_int_equal(ip_address_parse_sloppy("10.0.0.1/8", &parsed), -EINVAL);
}

static void addresses_are_ordered_by_family_then_bytes(void **state)
{
	static const char *const sorted[] = { "0.0.0.1", "9.0.0.0", "10.0.0.0", "10.0.0.1", "::", "::1", "2001::" };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(sorted); i++) {
		for (size_t j = 0; j < ARRAY_SIZE(sorted); j++) {
			struct ip_address a = address(sorted[i]), b = address(sorted[j]);
			int order = ip_address_compare(&a, &b);

			assert_int_equal((order > 0) - (order < 0), (i > j) - (i < j));
		}
	}
}

static void prefixes_contain(void **state)
{
	static const struct {
		const char *prefix, *address;
		bool contains;
	} cases[] = {
		{ "0.0.0.0/0", "255.1.2.3", true },      { "0.0.0.0/0", "::", false },
		{ "10.9.9.9/8", "10.0.0.0", true },      { "10.0.0.0/8", "11.0.0.0", false },
		{ "10.0.0.128/25", "10.0.0.127", false }, { "10.0.0.128/25", "10.0.0.128", true },
		{ "10.0.0.1/32", "10.0.0.1", true },     { "10.0.0.1/32", "10.0.0.0", false },
		{ "10.0.0.0/9", "10.127.255.255", true }, { "10.0.0.0/9", "10.128.0.0", false },
		{ "2001:db8::/33", "2001:db8:7fff::", true }, { "2001:db8::/33", "2001:db8:8000::", false },
		{ "::/0", "ffff::", true },              { "::1/128", "::1", true },
		{ "::1/128", "::", false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct ip_prefix outer = prefix(cases[i].prefix);
		struct ip_address inner = address(cases[i].address);

		assert_int_equal(ip_prefix_contains(&outer, &inner), cases[i].contains);
	}
}

static void prefixes_cover(void **state)
{
	struct ip_prefix wide = prefix("10.0.0.0/8"), narrow = prefix("10.1.0.0/16"), other = prefix("11.0.0.0/16");

	(void)state;
	assert_true(ip_prefix_covers(&wide, &narrow));
	assert_true(ip_prefix_covers(&wide, &wide));
	assert_false(ip_prefix_covers(&narrow, &wide));
	assert_false(ip_prefix_covers(&wide, &other));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(addresses_parse_and_format),
		cmocka_unit_test(bytes_are_in_network_order_and_the_rest_zero),
		cmocka_unit_test(other_forms_of_addresses_are_refused),
		cmocka_unit_test(prefixes_parse_and_keep_host_bits),
		cmocka_unit_test(other_forms_of_prefixes_are_refused),
		cmocka_unit_test(leading_zeros_are_dropped),
		cmocka_unit_test(addresses_are_ordered_by_family_then_bytes),
		cmocka_unit_test(prefixes_contain),
		cmocka_unit_test(prefixes_cover),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
