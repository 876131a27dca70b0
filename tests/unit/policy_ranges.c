/* SPDX-License-Identifier: Apache-2.0 */
/* policy/ranges.h: what was appended is there, whether or not all starts are addresses of IPv4. */
#include "model_unit.h"
#include "policy/ranges.h"

#define COUNT      40
#define WIDE_FIRST ((address_number)1 << 32)
#define WIDE_STEP  (((address_number)1 << 70) + 5)

/* In order; the first one that is no address of IPv4 is number `narrow`, and the one before is the last that is. */
static address_number start_of(size_t i, size_t narrow)
{
	if (i >= narrow)
		return WIDE_FIRST + WIDE_STEP * (i - narrow);
	return i && i == narrow - 1 ? UINT32_MAX : 3 * i;
}

static void assert_ranges(const struct ranges *ranges, size_t narrow)
{
	size_t i;

	assert_int_equal(ranges->count, COUNT);
	for (i = 0; i < COUNT; i++) {
		assert_true(ranges_start(ranges, i) == start_of(i, narrow));
		assert_int_equal(ranges->value[i], i % 7);
		assert_int_equal(ranges_find(ranges, start_of(i, narrow)), i);
		if (i)
			assert_int_equal(ranges_find(ranges, start_of(i, narrow) - 1), i - 1);
	}
}

static void starts_are_kept_wherever_ipv4_ends(void **state)
{
	size_t narrow, i;

	(void)state;
	for (narrow = 1; narrow <= COUNT; narrow++) {
		struct ranges ranges = {0};

		for (i = 0; i < COUNT; i++)
			assert_int_equal(ranges_append(&ranges, start_of(i, narrow), i % 7), 0);
		assert_ranges(&ranges, narrow);
		assert_true(narrow == COUNT ? !ranges.wide : !ranges.narrow);
		ranges_clear(&ranges);
	}
}

static void equal_starts_and_values_are_one_range(void **state)
{
	struct ranges ranges = {0};

	(void)state;
	assert_int_equal(ranges_append(&ranges, 0, 1), 0);
	assert_int_equal(ranges_append(&ranges, 5, 2), 0);
	/* What 5 said first is of no account, and then it says what 0 does. */
	assert_int_equal(ranges_append(&ranges, 5, 1), 0);
	assert_int_equal(ranges.count, 1);
	assert_int_equal(ranges_append(&ranges, 7, 2), 0);
	assert_int_equal(ranges_append(&ranges, WIDE_FIRST, 2), 0);
	assert_int_equal(ranges.count, 2);
	assert_int_equal(ranges_append(&ranges, WIDE_FIRST + 1, 3), 0);
	assert_int_equal(ranges_append(&ranges, WIDE_FIRST + 1, 4), 0);
	assert_int_equal(ranges.count, 3);
	assert_int_equal(ranges.value[ranges_find(&ranges, 6)], 1);
	assert_int_equal(ranges.value[ranges_find(&ranges, WIDE_FIRST)], 2);
	assert_int_equal(ranges.value[ranges_find(&ranges, WIDE_FIRST + 1)], 4);
	ranges_clear(&ranges);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(starts_are_kept_wherever_ipv4_ends),
		cmocka_unit_test(equal_starts_and_values_are_one_range),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
