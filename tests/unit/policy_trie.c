/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The trie alone: random ranges of addresses are written and then changed address by address, and every address near a
 * boundary is read back as the kernel's programs read it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <egressd/contract.h>

#define WORDS (1u << 24)
#define ROOT  EGRESS_BLOCK_WORDS

#include "policy/table_walk.h"
#include "policy/trie.h"

static uint32_t *words;

struct world {
	enum family family;
	struct memory memory;
	struct trie trie;
	struct ranges ranges; /* what the trie is to say */
	struct egress_bank bank;
};

static uint64_t random_state;

static uint32_t random_below(uint32_t limit)
{
	random_state = random_state * 6364136223846793005ull + 1442695040888963407ull;
	return (uint32_t)((random_state >> 33) % limit);
}

/* Near others, so that nodes get full: few values for the first bytes, any for one, the edges for the rest. */
static address_number random_address(enum family family, unsigned int spread)
{
	static const uint8_t edges[] = {0, 0xff, 0x80, 1};
	unsigned int bytes = family == FAMILY_IPV4 ? 4 : 16, any = random_below(bytes), i;
	address_number address = 0;

	for (i = 0; i < bytes; i++)
		address = address << 8 | (i == any || random_below(8) == 0 ? random_below(256) :
					  i < bytes / 2 ? 10 + random_below(spread) : edges[random_below(4)]);
	return address;
}

static int compare_numbers(const void *left, const void *right)
{
	address_number a = *(const address_number *)left, b = *(const address_number *)right;

	return a < b ? -1 : a > b;
}

static void make_ranges(struct world *world, size_t count, unsigned int spread)
{
	address_number *starts = calloc(count + 1, sizeof(*starts));
	size_t i;

	assert_non_null(starts);
	for (i = 1; i <= count; i++)
		starts[i] = random_address(world->family, spread);
	qsort(starts, count + 1, sizeof(*starts), compare_numbers);
	for (i = 0; i <= count; i++)
		assert_int_equal(ranges_append(&world->ranges, starts[i], random_below(3)), 0);
	free(starts);
}

static uint32_t class_of(struct world *world, address_number address)
{
	struct ip_address bytes;
	const struct table_view table = {.words = words, .word_count = WORDS};
	uint32_t number[4], class = UINT32_MAX;

	address_from_number(world->family, address, &bytes);
	memcpy(number, bytes.bytes, sizeof(number));
	assert_true(world->family == FAMILY_IPV4 ? egress_class4(&table, &world->bank, number[0], &class) :
						   egress_class6(&table, &world->bank, number, &class));
	return class;
}

static void check_address(struct world *world, address_number address)
{
	assert_int_equal(class_of(world, address), world->ranges.value[ranges_find(&world->ranges, address)]);
}

static void check_all(struct world *world)
{
	address_number highest = highest_number(family_bits(world->family));
	size_t i;

	check_address(world, highest);
	for (i = 0; i < world->ranges.count; i++) {
		address_number start = world->ranges.start[i];

		check_address(world, start);
		if (start)
			check_address(world, start - 1);
		if (start < highest)
			check_address(world, start + 1);
	}
}

static void write_trie(struct world *world)
{
	world->bank.ipv4_root = ROOT;
	assert_int_equal(world->family == FAMILY_IPV4 ?
				 trie_write_ipv4(&world->trie, &world->ranges, ROOT) :
				 trie_write_ipv6(&world->trie, &world->ranges, &world->bank.ipv6_root), 0);
}

/* One address gets another class, in the reference: simple and slow. */
static void set_reference(struct world *world, address_number address, uint32_t class)
{
	struct ranges old = world->ranges;
	size_t at = ranges_find(&old, address), i;

	memset(&world->ranges, 0, sizeof(world->ranges));
	for (i = 0; i <= at; i++)
		ranges_append(&world->ranges, old.start[i], old.value[i]);
	ranges_append(&world->ranges, address, class);
	if (address != highest_number(family_bits(world->family)) &&
	    (at + 1 == old.count || old.start[at + 1] != address + 1))
		ranges_append(&world->ranges, address + 1, old.value[at]);
	for (i = at + 1; i < old.count; i++)
		ranges_append(&world->ranges, old.start[i], old.value[i]);
	ranges_clear(&old);
}

static void set_address(struct world *world, address_number address, uint32_t class)
{
	size_t before = memory_used(&world->memory, 0);

	set_reference(world, address, class);
	if (world->family == FAMILY_IPV4)
		assert_int_equal(trie_set_ipv4(&world->trie, world->bank.ipv4_root, address, class), 0);
	else
		assert_int_equal(trie_set_ipv6(&world->trie, &world->bank.ipv6_root, address, class), 0);
	assert_true(memory_used(&world->memory, 0) - before <= TRIE_SET_WORDS);
	check_address(world, address);
}

static void run(enum family family, size_t count, unsigned int spread, bool packed)
{
	struct world world = {.family = family};
	size_t i;

	assert_int_equal(memory_init(&world.memory, words, WORDS, ROOT + TRIE_IPV4_ROOT_WORDS), 0);
	world.trie = (struct trie){.memory = &world.memory, .packed = packed};
	make_ranges(&world, count, spread);
	write_trie(&world);
	check_all(&world);
	for (i = 0; i < 300; i++)
		set_address(&world, random_address(family, spread), random_below(4));
	/* Neighbours, until no node of ranges can hold them. */
	for (i = 0; i < 120; i++)
		set_address(&world, world.ranges.start[world.ranges.count / 2] + 2 * i + 1, 4 + i % 2);
	check_all(&world);
	memory_clear(&world.memory);
	ranges_clear(&world.ranges);
}

static void run_all(enum family family)
{
	static const size_t counts[] = {0, 1, 2, 9, 10, 11, 40, 200, 2000};
	size_t i, seed;

	for (seed = 1; seed <= 4; seed++) {
		random_state = seed;
		for (i = 0; i < sizeof(counts) / sizeof(*counts); i++) {
			run(family, counts[i], 1, i % 2);
			run(family, counts[i], 3, !(i % 2));
			run(family, counts[i], 200, i % 2);
		}
	}
}

static void ipv4_reads_as_written(void **state)
{
	(void)state;
	run_all(FAMILY_IPV4);
}

static void ipv6_reads_as_written(void **state)
{
	(void)state;
	run_all(FAMILY_IPV6);
}

static int setup(void **state)
{
	(void)state;
	words = aligned_alloc(1024, WORDS * sizeof(*words));
	return words ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	free(words);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ipv4_reads_as_written),
		cmocka_unit_test(ipv6_reads_as_written),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
