/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The trie alone: random ranges of addresses are written and then changed address by address, and every address near a
 * boundary is read back as the kernel's programs read it.
 */
#include <errno.h>
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

#include "base/cleanup.h"
#include "policy/table_walk.h"
#include "policy/trie_hash.h"
#include "policy/trie_node.h"
#include "policy/trie_rows.h"
#include "policy/trie_runs.h"
#include "policy/trie.h"

#include "hash_node.h"
#include "run_list.h"

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
		address_number start = ranges_start(&world->ranges, i);

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
		ranges_append(&world->ranges, ranges_start(&old, i), old.value[i]);
	ranges_append(&world->ranges, address, class);
	if (address != highest_number(family_bits(world->family)) &&
	    (at + 1 == old.count || ranges_start(&old, at + 1) != address + 1))
		ranges_append(&world->ranges, address + 1, old.value[at]);
	for (i = at + 1; i < old.count; i++)
		ranges_append(&world->ranges, ranges_start(&old, i), old.value[i]);
	ranges_clear(&old);
}

static int try_to_set(struct world *world, address_number address, uint32_t class)
{
	if (world->family == FAMILY_IPV4)
		return trie_set_ipv4(&world->trie, world->bank.ipv4_root, address, class);
	return trie_set_ipv6(&world->trie, &world->bank.ipv6_root, address, class);
}

static void set_address(struct world *world, address_number address, uint32_t class)
{
	size_t before = memory_used(&world->memory, 0);

	set_reference(world, address, class);
	assert_int_equal(try_to_set(world, address, class), 0);
	assert_true(memory_used(&world->memory, 0) - before <= TRIE_SET_WORDS);
	check_address(world, address);
}

/* As the compiler does where a node is too large to be written anew beside packets: it stayed what it was. */
static void set_or_write_anew(struct world *world, address_number address, uint32_t class)
{
	uint32_t before = class_of(world, address);
	int error = try_to_set(world, address, class);

	set_reference(world, address, class);
	if (error) {
		assert_int_equal(error, -ENOSPC);
		assert_int_equal(class_of(world, address), before);
		write_trie(world);
	}
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
		set_address(&world, ranges_start(&world.ranges, world.ranges.count / 2) + 2 * i + 1, 4 + i % 2);
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

static void start(struct world *world, enum family family)
{
	*world = (struct world){.family = family};
	assert_int_equal(memory_init(&world->memory, words, WORDS, ROOT + TRIE_IPV4_ROOT_WORDS), 0);
	world->trie = (struct trie){.memory = &world->memory};
}

static void end(struct world *world)
{
	memory_clear(&world->memory);
	ranges_clear(&world->ranges);
}

/* `count` networks of class 1 and 2^width addresses, 2^stride of them apart, from `first` on. */
static void make_networks(struct world *world, address_number first, size_t count, unsigned int stride,
			  unsigned int width)
{
	size_t i;

	assert_int_equal(ranges_append(&world->ranges, 0, 0), 0);
	for (i = 0; i < count; i++) {
		address_number network = first + ((address_number)i << stride);

		assert_int_equal(ranges_append(&world->ranges, network, 1), 0);
		assert_int_equal(ranges_append(&world->ranges, network + ((address_number)1 << width), 0), 0);
	}
}

/* Of the node of an IPv4 /16. */
static uint32_t kind_of(uint32_t number)
{
	return EGRESS_TRIE_KIND(words[ROOT + number]);
}

/* Networks of one class in a /16 are ranges that take turns: of few the first bounds say where an address is, of many all. */
static void turns_of_few_and_of_many_networks(void **state)
{
	size_t count;

	(void)state;
	for (count = 1; count <= 10; count++) {
		struct world world;

		start(&world, FAMILY_IPV4);
		/* Of more than nine only tables that are packed make ranges. */
		world.trie.packed = count > 9;
		make_networks(&world, 0x0a000400, count, 11, 10);
		write_trie(&world);
		assert_int_equal(kind_of(0x0a00), EGRESS_TRIE_TURNS);
		check_all(&world);
		end(&world);
	}
}

/* 10.0.0.0/24 alternates; its walk reads bits, flipped in place as long as there are two classes, then a full block. */
static void bits_hold_two_classes(void **state)
{
	struct world world;
	uint32_t *entry, i;

	(void)state;
	start(&world, FAMILY_IPV4);
	make_networks(&world, 0x0a000000, 64, 2, 1);
	/* More in the same /16 than ranges of two bytes hold, and more classes than rows do. */
	make_networks(&world, 0x0a000100, 64, 2, 1);
	assert_int_equal(ranges_append(&world.ranges, 0x0a000200, 2), 0);
	assert_int_equal(ranges_append(&world.ranges, 0x0a000300, 0), 0);
	write_trie(&world);
	entry = &words[EGRESS_TRIE_CHILD(words[ROOT + 0x0a00])];
	assert_int_equal(kind_of(0x0a00), EGRESS_TRIE_FULL);
	assert_int_equal(EGRESS_TRIE_KIND(entry[0]), EGRESS_TRIE_BITS);
	assert_int_equal(EGRESS_TRIE_KIND(entry[1]), EGRESS_TRIE_BITS);
	check_all(&world);
	for (i = 0; i < 256; i += 3)
		set_address(&world, 0x0a000000 + i, i & 1);
	assert_int_equal(EGRESS_TRIE_KIND(entry[0]), EGRESS_TRIE_BITS);
	check_all(&world);
	set_address(&world, 0x0a000033, 7);
	assert_int_equal(EGRESS_TRIE_KIND(entry[0]), EGRESS_TRIE_FULL);
	check_all(&world);
	end(&world);
}

/* Of addresses that stand alone a packed table takes a few words each, not a node, and takes others and other classes. */
static void scattered_ipv4_addresses_take_little_room(void **state)
{
	static const uint32_t counts[] = {20, 24, 33, 60, 120, 400};
	struct world world;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(counts) / sizeof(*counts); i++) {
		uint32_t count = counts[i], address;
		size_t before;

		start(&world, FAMILY_IPV4);
		world.trie.packed = true;
		assert_int_equal(ranges_append(&world.ranges, 0, 0), 0);
		for (address = 0; address < count; address++) {
			uint32_t start = 0x0a000000 + 0x10000 / count * address + address % 7;

			assert_int_equal(ranges_append(&world.ranges, start, 1 + address % 2), 0);
			assert_int_equal(ranges_append(&world.ranges, start + 1, 0), 0);
		}
		before = memory_used(&world.memory, 0);
		write_trie(&world);
		assert_int_equal(kind_of(0x0a00), EGRESS_TRIE_TAGGED2);
		assert_in_range(memory_used(&world.memory, 0) - before, 1, 8 * count);
		check_all(&world);
		for (address = 0; address < 300; address++)
			set_or_write_anew(&world, 0x0a000000 + random_below(0x10000), random_below(4));
		check_all(&world);
		end(&world);
	}
}

/* 64 networks in a /16, of 2^width addresses, 2^stride apart, and below the next /16 one of another class. */
static void expect_rows(unsigned int stride, unsigned int width)
{
	struct world world;

	start(&world, FAMILY_IPV4);
	world.trie.packed = true;
	make_networks(&world, 0x0a000000, 64, stride, width);
	make_networks(&world, 0x0a010000, 64, stride, width);
	assert_int_equal(ranges_append(&world.ranges, 0x0a01ff00, 2), 0);
	assert_int_equal(ranges_append(&world.ranges, 0x0a020000, 0), 0);
	write_trie(&world);
	assert_int_equal(kind_of(0x0a00), EGRESS_TRIE_ROWS);
	assert_int_equal(kind_of(0x0a01), EGRESS_TRIE_FULL);
	check_all(&world);
	end(&world);
}

/* Addresses that stand together, and whole networks, are no keys: rows, or blocks where they are of three classes. */
static void dense_ipv4_networks_are_rows(void **state)
{
	(void)state;
	expect_rows(2, 0);
	expect_rows(10, 7);
}

/* 10.0.0.0/16: two /24s of class 1 that share a row, `mixed` ones behind them of which a part is. */
static void start_rows(struct world *world, uint32_t mixed)
{
	start(world, FAMILY_IPV4);
	assert_int_equal(ranges_append(&world->ranges, 0, 0), 0);
	assert_int_equal(ranges_append(&world->ranges, 0x0a000000, 1), 0);
	assert_int_equal(ranges_append(&world->ranges, 0x0a000200, 0), 0);
	make_networks(world, 0x0a000240, mixed, 8, 4);
	write_trie(world);
	assert_int_equal(kind_of(0x0a00), EGRESS_TRIE_ROWS);
	check_all(world);
}

/* An address in a row that is its /24's alone is flipped in place; in one that is shared, the /24 gets a row. */
static void rows_change_in_place(void **state)
{
	struct egress_trie_rows *rows;
	uint32_t entry, count, i;
	struct world world;

	(void)state;
	start_rows(&world, 21);
	entry = words[ROOT + 0x0a00];
	rows = (void *)(words + EGRESS_TRIE_CHILD(entry));
	count = rows->count;
	/* One of zeros, one of ones, and 21. */
	assert_int_equal(count, 23);
	assert_int_equal(rows->room, 24);
	for (i = 0; i < 256; i += 3)
		set_address(&world, 0x0a000200 + i, i & 1);
	assert_int_equal(rows->count, count);
	set_address(&world, 0x0a000007, 0);
	assert_int_equal(rows->count, count + 1);
	assert_int_equal(words[ROOT + 0x0a00], entry);
	/* The other /24 has that row for itself now. */
	set_address(&world, 0x0a000107, 0);
	assert_int_equal(rows->count, count + 1);
	/* What it already is. */
	set_address(&world, 0x0a00f007, 0);
	assert_int_equal(words[ROOT + 0x0a00], entry);
	check_all(&world);
	/* No room: in another place, with more. */
	set_address(&world, 0x0a00f007, 1);
	assert_int_not_equal(words[ROOT + 0x0a00], entry);
	rows = (void *)(words + EGRESS_TRIE_CHILD(words[ROOT + 0x0a00]));
	assert_int_equal(rows->count, 25);
	assert_int_equal(rows->room, 40);
	check_all(&world);
	/* The same address again and again takes nothing. */
	for (i = 0; i < 1000; i++)
		set_address(&world, 0x0a00f007, i & 1);
	assert_int_equal(rows->count, 25);
	end(&world);
}

/* A third class, or more rows than there can be, make it a block. */
static void rows_become_a_block(void **state)
{
	struct world world;
	uint32_t *entries, i;

	(void)state;
	start_rows(&world, 30);
	set_address(&world, 0x0a000245, 7);
	assert_int_equal(kind_of(0x0a00), EGRESS_TRIE_FULL);
	/* Whole /24s are leaves of it, the others nodes. */
	entries = &words[EGRESS_TRIE_CHILD(words[ROOT + 0x0a00])];
	assert_int_equal(entries[1], trie_leaf(1));
	assert_int_equal(EGRESS_TRIE_KIND(entries[3]), EGRESS_TRIE_BITS);
	assert_int_equal(entries[0xff], trie_leaf(0));
	check_all(&world);
	end(&world);
	/* The longest ranges are of class 0 and no /24 is: its row is nobody's, and one is missing in the end. */
	start(&world, FAMILY_IPV4);
	assert_int_equal(ranges_append(&world.ranges, 0, 0), 0);
	for (i = 0; i < 85; i++) {
		assert_int_equal(ranges_append(&world.ranges, 0x0a000000 + 768 * i, 1), 0);
		assert_int_equal(ranges_append(&world.ranges, 0x0a000006 + 768 * i, 0), 0);
		assert_int_equal(ranges_append(&world.ranges, 0x0a0001fa + 768 * i, 1), 0);
	}
	assert_int_equal(ranges_append(&world.ranges, 0x0a00ff80, 0), 0);
	write_trie(&world);
	for (i = 0; i < 84; i++) {
		assert_int_equal(kind_of(0x0a00), EGRESS_TRIE_ROWS);
		set_address(&world, 0x0a000277 + 768 * i, 0);
	}
	assert_int_equal(kind_of(0x0a00), EGRESS_TRIE_FULL);
	check_all(&world);
	end(&world);
}

/* As many rows as there can be are compiled, one more is not. */
static void rows_are_256_at_most(void **state)
{
	uint32_t mixed;

	(void)state;
	for (mixed = 254; mixed <= 256; mixed++) {
		struct world world;

		start(&world, FAMILY_IPV4);
		make_networks(&world, 0x0a000040, mixed, 8, 4);
		write_trie(&world);
		assert_int_equal(kind_of(0x0a00), mixed < 256 ? EGRESS_TRIE_ROWS : EGRESS_TRIE_FULL);
		check_all(&world);
		end(&world);
	}
}

/* Wherever memory begins, a node of rows is in one chunk of the map, and what it leaves before it is taken by others. */
static void rows_stay_in_a_chunk(void **state)
{
	uint32_t left;

	(void)state;
	for (left = 16; left < 4096; left += 496) {
		struct world world = {.family = FAMILY_IPV4};
		uint32_t first = 2 * EGRESS_CHUNK_WORDS - left, child, end_word, small;
		const struct egress_trie_rows *rows;

		assert_int_equal(memory_init(&world.memory, words, WORDS, first), 0);
		world.trie = (struct trie){.memory = &world.memory};
		make_networks(&world, 0x0a000040, 100, 8, 4);
		write_trie(&world);
		child = EGRESS_TRIE_CHILD(words[ROOT + 0x0a00]);
		rows = (void *)(words + child);
		end_word = child + EGRESS_ROWS_BITS_WORD + EGRESS_ROWS_BIT_WORDS * rows->room - 1;
		assert_int_equal(child >> EGRESS_CHUNK_SHIFT, end_word >> EGRESS_CHUNK_SHIFT);
		assert_int_equal(memory_take(&world.memory, 0, 16, 16, &small), 0);
		assert_int_equal(small, child == first ? end_word + 1 : first);
		check_all(&world);
		end(&world);
	}
}

/* Networks of /32 under different /16s are keys of a hash node, which takes others in place and then grows. */
static void hash_nodes_take_more_keys(void **state)
{
	struct trie_ranges root;
	struct world world;
	uint32_t i;

	(void)state;
	start(&world, FAMILY_IPV6);
	make_networks(&world, (address_number)0x2001 << 112, 100, 102, 96);
	write_trie(&world);
	assert_int_equal(EGRESS_TRIE_KIND(world.bank.ipv6_root), EGRESS_TRIE_TURNS);
	trie_read_ranges(&world.memory, world.bank.ipv6_root, &root);
	assert_int_equal(EGRESS_TRIE_KIND(root.entry[1]), EGRESS_TRIE_TAGGED2);
	check_all(&world);
	for (i = 0; i < 400; i++)
		set_address(&world, ((address_number)0x2001 << 112) + ((address_number)(2 * i + 1) << 96) + 5 * i,
			    2 + i % 2);
	check_all(&world);
	/* Another class and back. */
	for (i = 0; i < 400; i += 7)
		set_address(&world, ((address_number)0x2001 << 112) + ((address_number)(2 * i + 1) << 96) + 5 * i, 0);
	check_all(&world);
	end(&world);
}

/* As lists are: networks of /40 to /64 inside of scattered /32s, each /32 with a few. */
static void ipv6_lists_read_as_written(void **state)
{
	static const size_t counts[] = {50, 400, 3000};
	size_t i, network, inner;
	struct world world;

	(void)state;
	for (i = 0; i < 6; i++) {
		address_number place = (address_number)0x2001 << 112;

		random_state = i;
		start(&world, FAMILY_IPV6);
		world.trie.packed = i % 2;
		assert_int_equal(ranges_append(&world.ranges, 0, 0), 0);
		for (network = 0; network < counts[i / 2]; network++) {
			place += (address_number)(1 + random_below(200000)) << 96;
			for (inner = 0; inner < 1 + random_below(4); inner++) {
				address_number first = place + ((address_number)(16 * inner + 3) << 88);

				assert_int_equal(ranges_append(&world.ranges, first, 1 + random_below(2)), 0);
				first += (address_number)1 << (64 + random_below(25));
				assert_int_equal(ranges_append(&world.ranges, first, 0), 0);
			}
		}
		write_trie(&world);
		check_all(&world);
		for (network = 1; network < world.ranges.count; network += 97)
			set_or_write_anew(&world, ranges_start(&world.ranges, network) - 1 - random_below(1000), 3);
		check_all(&world);
		end(&world);
	}
}

/* A network alone below a key is in its slot, until an address below that key gets another class. */
static void lone_networks_are_in_their_slots(void **state)
{
	const address_number first = (address_number)0x20010db8 << 96, below = (address_number)1 << 96;
	struct world world;
	struct trie_key slot;
	uint32_t i, key;

	(void)state;
	start(&world, FAMILY_IPV6);
	assert_int_equal(ranges_append(&world.ranges, 0, 0), 0);
	/* /33 to /64: at the beginning, at the end and in the middle of a /32. */
	for (i = 1; i <= 32; i++) {
		address_number size = below >> i, network = first + ((address_number)i << 112);

		network += i % 3 == 1 ? below - size : i % 3 == 2 ? below / 2 : 0;
		assert_int_equal(ranges_append(&world.ranges, network, 1), 0);
		assert_int_equal(ranges_append(&world.ranges, network + size, 0), 0);
	}
	write_trie(&world);
	check_all(&world);
	assert_int_equal(EGRESS_TRIE_KIND(world.bank.ipv6_root), EGRESS_TRIE_HASH4);
	for (i = 1; i <= 32; i++) {
		key = 0x20010db8 + (i << 16);
		slot = trie_hash_find(&world.memory, world.bank.ipv6_root, key);
		assert_int_equal(__builtin_popcount(slot.mask), i);
		/* What it has already. */
		set_address(&world, ranges_start(&world.ranges, 2 * i - 1), 1);
		set_address(&world, ranges_start(&world.ranges, 2 * i - 1) - 1, 0);
		assert_int_equal(trie_hash_find(&world.memory, world.bank.ipv6_root, key).mask, slot.mask);
	}
	for (i = 1; i <= 32; i++) {
		key = 0x20010db8 + (i << 16);
		set_address(&world, (address_number)key << 96 | (i % 2 ? below / 2 - 1 : below / 2 + 12345), 2);
		set_address(&world, (address_number)key << 96 | (i % 2 ? below / 2 + 12345 : below / 2 - 1), 3);
		assert_int_equal(trie_hash_find(&world.memory, world.bank.ipv6_root, key).mask, 0);
		check_all(&world);
	}
	end(&world);
}

/* What would be too much to write anew beside packets is left to the next compile; the node stays what it was. */
static void large_hash_nodes_say_when_they_are_full(void **state)
{
	struct world world;
	int error = 0;
	uint32_t i;

	(void)state;
	start(&world, FAMILY_IPV6);
	make_networks(&world, (address_number)0x2001 << 112, 2000, 101, 96);
	write_trie(&world);
	for (i = 0; i < 60000 && !error; i++)
		error = try_to_set(&world, ((address_number)0x2001 << 112) + ((address_number)i << 96) + 5, 1);
	assert_int_equal(error, -ENOSPC);
	check_all(&world);
	end(&world);
}

/* What alignment leaves free is taken by what is smaller, and all of it comes back. */
static void memory_between_aligned_nodes_is_used(void **state)
{
	uint32_t small, large, other, i;
	struct memory memory;

	(void)state;
	assert_int_equal(memory_init(&memory, NULL, 4096, 16), 0);
	assert_int_equal(memory_take(&memory, 0, 1024, 1024, &large), 0);
	assert_int_equal(large, 1024);
	for (i = 0; i < 1008 / 16; i++) {
		assert_int_equal(memory_take(&memory, 0, 16, 16, &small), 0);
		assert_int_equal(small, 16 + 16 * i);
	}
	assert_int_equal(memory_take(&memory, 1, 1, 1, &other), 0);
	assert_int_equal(other, 2048);
	assert_int_equal(memory_take(&memory, 0, 1024, 1024, &large), 0);
	assert_int_equal(large, 3072);
	assert_int_equal(memory_reached(&memory), 4096);
	assert_int_equal(memory_used(&memory, 0) + memory_used(&memory, 1) + memory_free(&memory), 4096 - 16);
	assert_int_equal(memory_take(&memory, 0, 1024, 1024, &large), -ENOSPC);
	assert_int_equal(memory_release(&memory, 0), 0);
	assert_int_equal(memory_free(&memory), 4096 - 16 - 1);
	assert_int_equal(memory_release(&memory, 1), 0);
	assert_true(memory_has_room(&memory, 4096 - 16));
	memory_clear(&memory);
	/* There would be room, but not in a chunk. */
	assert_int_equal(memory_init(&memory, NULL, EGRESS_CHUNK_WORDS + 128, EGRESS_CHUNK_WORDS - 64), 0);
	assert_int_equal(memory_take_in_chunk(&memory, 0, 144, 16, &large), -ENOSPC);
	assert_int_equal(memory_take_in_chunk(&memory, 0, 128, 16, &large), 0);
	assert_int_equal(large, EGRESS_CHUNK_WORDS);
	memory_clear(&memory);
}

/* However nodes of different sizes follow each other, few pieces are left between them, and none that nothing fits into. */
static void memory_stays_in_few_pieces(void **state)
{
	struct memory memory;
	uint32_t address, i;

	(void)state;
	random_state = 1;
	assert_int_equal(memory_init(&memory, NULL, 1u << 24, 16), 0);
	for (i = 0; i < 100; i++)
		assert_int_equal(memory_take(&memory, 0, 16 + random_below(100), 16, &address), 0);
	assert_int_equal(memory.free.count, 1);
	for (i = 0; i < 50000; i++) {
		uint32_t size = 16u << random_below(4);

		assert_int_equal(memory_take(&memory, 0, size, size, &address), 0);
		assert_in_range(memory.free.count, 1, 5);
	}
	assert_int_equal(memory_release(&memory, 0), 0);
	assert_true(memory_has_room(&memory, (1u << 24) - 16));
	memory_clear(&memory);
}

static void add_key(struct trie_keys *keys, uint32_t key, uint32_t class)
{
	const struct trie_key slot = {.key = key, .entry = EGRESS_TRIE_ENTRY(EGRESS_TRIE_LEAF, class)};

	assert_int_equal(trie_keys_add(keys, &slot), 0);
}

/* What a packet finds for a key of the node, with zeros behind it. */
static uint32_t class_of_key(uint32_t entry, uint32_t key)
{
	uint64_t address = (uint64_t)key << (64 - egress_hash_bits(entry));
	uint32_t class = 0;

	assert_true(egress_class6_number(&(struct table_view){words, WORDS}, entry, __builtin_bswap64(address), 0, &class));
	return class;
}

/* A key that the node does not have; what stands for it is in the middle of one bucket. */
static void assert_absent_is_other(struct world *world, uint32_t entry, const struct trie_keys *keys, uint32_t key)
{
	size_t i;

	for (i = 0; i < keys->count; i++)
		if (keys->items[i].key == key)
			return;
	assert_int_equal(trie_hash_find(&world->memory, entry, key).entry, 9999);
	assert_false(trie_hash_has(&world->memory, entry, key));
	assert_int_equal(class_of_key(entry, key), 9999);
}

/* Key i leads to class i, every one of them, and what the node does not have to 9999. */
static void assert_holds(struct world *world, uint32_t entry, const struct trie_keys *keys)
{
	struct trie_keys read = {0};
	size_t k;

	for (k = 0; k < keys->count; k++) {
		assert_int_equal(trie_hash_find(&world->memory, entry, keys->items[k].key).entry, k);
		assert_true(trie_hash_has(&world->memory, entry, keys->items[k].key));
		assert_int_equal(class_of_key(entry, keys->items[k].key), k);
	}
	for (k = 0; k < 1000; k++)
		assert_absent_is_other(world, entry, keys,
				       (uint32_t)k * 0x12345 & (uint32_t)(((uint64_t)1 << egress_hash_bits(entry)) - 1));
	assert_int_equal(trie_hash_keys(&world->memory, entry, &read), 0);
	assert_int_equal(read.count, keys->count);
	trie_keys_clear(&read);
}

/* Those that share their low bits, their high bits, and the first and last there can be. */
static uint32_t key_of_shape(size_t shape, unsigned int bits, uint32_t i)
{
	switch (shape) {
	case 0:
		return i;
	case 1:
		return i << (bits - 12);
	case 2:
		return (uint32_t)(((uint64_t)1 << bits) - 1) - 3 * i;
	default:
		return i << (bits - 12) | random_below(1u << (bits - 12));
	}
}

static void try_hash_node(unsigned int bytes, size_t count, size_t shape, bool mask)
{
	static const enum egress_trie_kind kinds[][2] = {{EGRESS_TRIE_TAGGED2, EGRESS_TRIE_HASH2},
							 {EGRESS_TRIE_TAGGED3, EGRESS_TRIE_HASH3},
							 {EGRESS_TRIE_TAGGED4, EGRESS_TRIE_HASH4}};
	struct trie_keys keys = {0};
	struct world world;
	uint32_t entry, k;

	start(&world, FAMILY_IPV6);
	for (k = 0; k < count; k++)
		add_key(&keys, key_of_shape(shape, 8 * bytes, k), k);
	if (mask)
		keys.items[0].mask = 0x80000000;
	assert_int_equal(trie_new_hash(&world.trie, &keys, bytes, EGRESS_TRIE_ENTRY(EGRESS_TRIE_LEAF, 9999), &entry), 0);
	assert_int_equal(EGRESS_TRIE_KIND(entry), kinds[bytes - 2][mask]);
	assert_holds(&world, entry, &keys);
	trie_keys_clear(&keys);
	end(&world);
}

static void hash_nodes_hold_all_their_keys(void **state)
{
	static const size_t counts[] = {1, 2, 5, 8, 100, 4096};
	unsigned int bytes;
	size_t i, shape;

	(void)state;
	for (bytes = 2; bytes <= 4; bytes++) {
		for (i = 0; i < sizeof(counts) / sizeof(*counts); i++) {
			for (shape = 0; shape < 4; shape++) {
				try_hash_node(bytes, counts[i], shape, false);
				try_hash_node(bytes, counts[i], shape, true);
			}
		}
	}
}

/* As many keys as are four in a bucket of seven need no larger node, however unevenly they are spread. */
static void tagged_nodes_are_dense(void **state)
{
	struct trie_keys keys = {0};
	struct world world;
	uint32_t entry;

	(void)state;
	random_state = 5;
	start(&world, FAMILY_IPV6);
	while (keys.count < 4096)
		add_key(&keys, random_below(UINT32_MAX), (uint32_t)keys.count);
	assert_int_equal(trie_new_hash(&world.trie, &keys, 4, EGRESS_TRIE_ENTRY(EGRESS_TRIE_LEAF, 9999), &entry), 0);
	assert_int_equal(egress_hash_buckets(entry), 1024);
	assert_holds(&world, entry, &keys);
	assert_true(keys_in_a_third_bucket(words, entry) > 0);
	trie_keys_clear(&keys);
	end(&world);
}

/* Keys are added beside packets until there is no room; all that time packets find each that was. */
static void tagged_nodes_take_keys_in_place(void **state)
{
	const uint32_t other = EGRESS_TRIE_ENTRY(EGRESS_TRIE_LEAF, 9999);
	struct trie_keys keys = {0};
	size_t displaced = 0;
	struct world world;
	uint32_t entry, result;

	(void)state;
	start(&world, FAMILY_IPV6);
	while (keys.count < 600)
		add_key(&keys, random_below(UINT32_MAX), (uint32_t)keys.count);
	assert_int_equal(trie_new_hash(&world.trie, &keys, 4, other, &entry), 0);
	do {
		add_key(&keys, random_below(UINT32_MAX), (uint32_t)keys.count);
		assert_int_equal(trie_hash_set(&world.trie, entry, keys.items[keys.count - 1].key,
					       (uint32_t)keys.count - 1, &result), 0);
		if (keys.count % 50 == 0 || result != entry)
			assert_holds(&world, result, &keys);
	} while (result == entry);
	for (size_t i = 0; i < egress_hash_buckets(entry); i++)
		displaced += words[egress_hash_address(entry) + EGRESS_HASH_BUCKET_WORDS * i + 15] >> 31;
	assert_true(keys.count > 700);
	assert_true(displaced > 1);
	trie_keys_clear(&keys);
	end(&world);
}

/* A double word, which is written at once, in which two versions of a node differ. */
struct difference {
	size_t at;
	uint64_t new;
};

/*
 * The last key has just been added in place; `before`: the node before that. In whichever order a packet sees
 * what was written, it finds the other keys, and this one or nothing. How many double words were written.
 */
static size_t assert_seen_in_parts(uint32_t entry, const struct trie_keys *keys, const uint64_t *before)
{
	uint64_t *node = (uint64_t *)(void *)&words[egress_hash_address(entry)];
	size_t size = egress_hash_buckets(entry) * EGRESS_HASH_BUCKET_WORDS / 2, added = keys->count - 1, count = 0, seen, i;
	struct difference differences[8] = {{0}};

	for (i = 0; i < size; i++) {
		if (node[i] == before[i])
			continue;
		assert_true(count < ARRAY_SIZE(differences));
		differences[count++] = (struct difference){i, node[i]};
	}
	for (seen = 0; seen < 1u << count; seen++) {
		for (i = 0; i < count; i++)
			node[differences[i].at] = seen >> i & 1 ? differences[i].new : before[differences[i].at];
		for (i = 0; i < added; i++)
			assert_int_equal(class_of_key(entry, keys->items[i].key), i);
		if (class_of_key(entry, keys->items[added].key) != 9999)
			assert_int_equal(class_of_key(entry, keys->items[added].key), added);
	}
	return count;
}

/*
 * Four keys of one bucket with the same tag: the bucket has room for one of them, its pair for the second, and a third bucket
 * for another.
 */
static void tagged_nodes_hide_no_key(void **state)
{
	const uint32_t other = EGRESS_TRIE_ENTRY(EGRESS_TRIE_LEAF, 9999);
	struct trie_keys keys = {0};
	uint64_t before[4 * EGRESS_HASH_BUCKET_WORDS / 2];
	uint32_t entry, result, key, found = 1;
	struct world world;

	(void)state;
	start(&world, FAMILY_IPV6);
	add_key(&keys, 0x20010db8, 0);
	assert_int_equal(trie_new_hash(&world.trie, &keys, 4, other, &entry), 0);
	assert_int_equal(egress_hash_buckets(entry) * EGRESS_HASH_BUCKET_WORDS, ARRAY_SIZE(before) * 2);
	for (key = 0; found < 4; key++) {
		if (egress_hash_bucket(entry, key) != egress_hash_bucket(entry, 0x20010db8) ||
		    egress_hash_tag(key) != egress_hash_tag(0x20010db8) || key == 0x20010db8)
			continue;
		assert_int_equal(class_of_key(entry, key), 9999);
		memcpy(before, &words[egress_hash_address(entry)], sizeof(before));
		add_key(&keys, key, found++);
		assert_int_equal(trie_hash_set(&world.trie, entry, key, found - 1, &result), 0);
		assert_int_equal(result == entry, found < 4);
		if (result == entry)
			/* The slot, its tag, and where to look for it. */
			assert_int_equal(assert_seen_in_parts(entry, &keys, before), 3);
		assert_holds(&world, result, &keys);
	}
	trie_keys_clear(&keys);
	end(&world);
}

/* ------------------------------------------------------------------ nodes of runs */

/* An even number of /48s in two /16s with `networks` of 2^host addresses each, of class 1, from address `first` on. */
static void make_runs(struct world *world, uint32_t count, address_number first, uint32_t networks, unsigned int host)
{
	uint32_t half = count / 2, spread = UINT32_MAX / half - 7, key, i;

	assert_int_equal(ranges_append(&world->ranges, 0, 0), 0);
	for (key = 0; key < count; key++) {
		address_number place = (address_number)(0x2001 + key / half) << 112;

		place += ((address_number)(key % half * spread + key % 7) << 80) + first;
		for (i = 0; i < networks; i++, place += (address_number)1 << 75) {
			assert_int_equal(ranges_append(&world->ranges, place, 1), 0);
			assert_int_equal(ranges_append(&world->ranges, place + ((address_number)1 << host), 0), 0);
		}
	}
}

/* The node of a /16 below the root, which has few of them. */
static uint32_t below_root(const struct world *world, uint32_t number)
{
	struct trie_ranges ranges;
	size_t i;

	assert_in_range(EGRESS_TRIE_KIND(world->bank.ipv6_root), EGRESS_TRIE_TURNS, EGRESS_TRIE_RANGES37);
	trie_read_ranges(&world->memory, world->bank.ipv6_root, &ranges);
	for (i = ranges.count - 1; ranges.start[i] > number; i--)
		;
	return ranges.entry[i];
}

/* What stands alone below its /48, or asks for more than two bytes or for more bounds than there are, makes no run. */
static void runs_are_of_neighbours(void **state)
{
	static const struct {
		address_number first;
		uint32_t networks;
		unsigned int host;
		bool runs;
	} cases[] = {{0, 1, 64, false}, {0, 2, 64, true},  {0, 9, 64, true}, {(address_number)1 << 64, 9, 64, true},
		     {0, 10, 64, false}, {0, 8, 74, true}, {0, 8, 60, false}};
	size_t i;

	(void)state;
	for (i = 0; i < 2 * ARRAY_SIZE(cases); i++) {
		struct world world;

		start(&world, FAMILY_IPV6);
		world.trie.packed = i % 2;
		make_runs(&world, 700, cases[i / 2].first, cases[i / 2].networks, cases[i / 2].host);
		write_trie(&world);
		/* Two networks would take too much room where memory matters. */
		assert_int_equal(EGRESS_TRIE_KIND(below_root(&world, 0x2001)) == EGRESS_TRIE_RUNS,
				 cases[i / 2].runs && !(cases[i / 2].networks == 2 && i % 2));
		check_all(&world);
		end(&world);
	}
}

/* In a network, at the edges of one, behind the two bytes, in /48s with and without a run: each is changed beside packets. */
static void addresses_leave_runs(void **state)
{
	struct world world;
	uint32_t i;

	(void)state;
	start(&world, FAMILY_IPV6);
	make_runs(&world, 400, 0, 8, 70);
	write_trie(&world);
	assert_int_equal(EGRESS_TRIE_KIND(below_root(&world, 0x2001)), EGRESS_TRIE_RUNS);
	for (i = 0; i < 60; i++) {
		address_number place = ranges_start(&world.ranges, 1 + 2 * (i * 37 % 1600)), beside = place + ((address_number)7 << 80);

		/* What it is already. */
		set_address(&world, place, 1);
		set_address(&world, place + (i & 1), 2 + i % 2);
		set_address(&world, place - 1, i % 3);
		set_address(&world, beside + i, 1 + i % 3);
		set_address(&world, beside + i, 0);
	}
	assert_int_equal(EGRESS_TRIE_KIND(below_root(&world, 0x2001)), EGRESS_TRIE_RUNS);
	check_all(&world);
	end(&world);
}

/* The node that is all there is below one prefix. */
static uint32_t behind_prefix(uint32_t entry)
{
	const uint32_t *node = &words[EGRESS_TRIE_CHILD(entry)];

	if (EGRESS_TRIE_KIND(entry) == EGRESS_TRIE_SKIP)
		return ((const struct egress_trie_skip *)(const void *)node)->match;
	return EGRESS_TRIE_KIND(entry) == EGRESS_TRIE_TURNS ? node[1] : entry;
}

static void try_mixed_runs(struct run_list of)
{
	struct world world;
	size_t i;

	start(&world, FAMILY_IPV6);
	assert_int_equal(run_list_make(&of, &world.ranges), 0);
	write_trie(&world);
	assert_int_equal(EGRESS_TRIE_KIND(behind_prefix(world.bank.ipv6_root)), EGRESS_TRIE_RUNS);
	check_all(&world);
	/* Key 0, behind which there is nothing. */
	check_address(&world, ranges_start(&world.ranges, 1) & ~highest_number(128 - 8 * (of.depth + 4)));
	for (i = 0; i < 150; i++) {
		address_number edge = ranges_start(&world.ranges, 1 + random_below((uint32_t)world.ranges.count - 1));

		set_or_write_anew(&world, edge - 1 + random_below(2), random_below(5));
	}
	check_all(&world);
	end(&world);
}

/* At any depth, beside keys of which a bucket cannot hold all, and whatever is usual. */
static void runs_are_beside_others(void **state)
{
	static const unsigned int depths[] = {0, 2, 7, 10};
	uint32_t seed;

	(void)state;
	for (seed = 0; seed < 24; seed++) {
		random_state = seed;
		try_mixed_runs((struct run_list){.depth = depths[seed % 4], .usual = seed / 4 % 3,
						 .keys = 150 + 4 * seed, .random = seed});
	}
}

/* Class i for key i where zeros follow, 9999 beyond, as it is for keys that there are not. */
static void add_run(struct trie_keys *keys, struct trie_runs *runs, uint32_t key)
{
	const uint32_t class = (uint32_t)keys->count;
	const struct trie_ranges ranges = {.start = {0, 1 + class % 0xffff}, .entry = {trie_leaf(class), trie_leaf(9999)},
					   .count = 2};

	add_key(keys, key, class);
	assert_int_equal(trie_runs_add(runs, key, &ranges), 0);
}

static void assert_runs_hold(struct world *world, uint32_t entry, const struct trie_keys *keys)
{
	struct trie_runs read = {0};
	uint32_t absent, k;

	for (k = 0; k < keys->count; k++) {
		assert_non_null(trie_runs_find(&world->memory, entry, keys->items[k].key));
		assert_int_equal(class_of_key(entry, keys->items[k].key), k);
	}
	for (k = 0; k < 1000; k++) {
		absent = k * 0x12345677 | 0x40000000;
		if (!trie_runs_find(&world->memory, entry, absent))
			assert_int_equal(class_of_key(entry, absent), 9999);
	}
	assert_int_equal(trie_runs_other(&world->memory, entry), trie_leaf(9999));
	assert_int_equal(trie_runs_list(&world->memory, entry, &read), 0);
	assert_int_equal(read.count, keys->count);
	trie_runs_clear(&read);
}

static void runs_hold_all_their_keys(void **state)
{
	static const size_t counts[] = {1, 2, 94, 1000, 3000, 4096};
	size_t i, shape, k, pair, third;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(counts); i++) {
		for (shape = 0; shape < 4; shape++) {
			struct trie_keys keys = {0};
			struct trie_runs runs = {0};
			struct world world;
			uint32_t entry;

			start(&world, FAMILY_IPV6);
			for (k = 0; k < counts[i]; k++)
				add_run(&keys, &runs, key_of_shape(shape, 32, (uint32_t)k));
			assert_int_equal(trie_new_runs(&world.trie, &runs, trie_leaf(9999), &entry), 0);
			assert_in_range(egress_hash_buckets(entry) * EGRESS_HASH_BUCKET_WORDS, EGRESS_RUN_BUCKETS_MIN * 16,
					trie_runs_words(counts[i]));
			assert_runs_hold(&world, entry, &keys);
			count_moved_runs(words, entry, &pair, &third);
			/* Three of four buckets are in use: packets have to look everywhere. */
			if (shape == 3 && counts[i] == 3000)
				assert_true(pair > 100 && third > 100);
			/* Where one of two is, most keys are in their own. */
			if (shape == 3 && counts[i] == 4096)
				assert_in_range(pair + third, 1, 4096 / 3);
			trie_runs_clear(&runs);
			trie_keys_clear(&keys);
			end(&world);
		}
	}
}

/* A node that gives class k to what zeros follow behind the key. */
static uint32_t child_of(struct world *world, uint32_t key, uint32_t class)
{
	uint32_t child;

	assert_int_equal(trie_new_skip(&world->trie, (address_number)key << 96, 4, 128, trie_leaf(class), trie_leaf(9999),
				       &child), 0);
	return child;
}

/* Keys are added beside packets, or to a new node where one has no place; what packets see in between is right. */
static void runs_take_keys_in_place(void **state)
{
	uint64_t before[EGRESS_RUN_BUCKETS_MIN * EGRESS_HASH_BUCKET_WORDS / 2];
	size_t most = 0, in_place = 0, written;
	struct trie_keys keys = {0};
	struct trie_runs runs = {0};
	struct world world;
	uint32_t entry, result, key;

	(void)state;
	random_state = 3;
	start(&world, FAMILY_IPV6);
	while (keys.count < 30)
		add_run(&keys, &runs, random_below(UINT32_MAX));
	assert_int_equal(trie_new_runs(&world.trie, &runs, trie_leaf(9999), &entry), 0);
	for (; keys.count < 90; entry = result) {
		assert_int_equal(egress_hash_buckets(entry), EGRESS_RUN_BUCKETS_MIN);
		memcpy(before, &words[egress_hash_address(entry)], sizeof(before));
		key = random_below(UINT32_MAX);
		add_key(&keys, key, (uint32_t)keys.count);
		assert_int_equal(trie_runs_set(&world.trie, entry, key, child_of(&world, key, (uint32_t)keys.count - 1),
					       &result), 0);
		if (result == entry) {
			in_place++;
			written = assert_seen_in_parts(entry, &keys, before);
			most = written > most ? written : most;
		}
		assert_runs_hold(&world, result, &keys);
	}
	assert_in_range(in_place, 30, 59);
	/* The slot, both buckets that lead on to it, and the bit. */
	assert_int_equal(most, 4);
	/* Of a key that has ranges nothing but the slot is written: packets may be reading the others. */
	memcpy(before, &words[egress_hash_address(entry)], sizeof(before));
	key = keys.items[7].key;
	assert_int_equal(trie_runs_set(&world.trie, entry, key, child_of(&world, key, 7), &result), 0);
	assert_int_equal(result, entry);
	assert_int_equal(assert_seen_in_parts(entry, &keys, before), 1);
	trie_runs_clear(&runs);
	trie_keys_clear(&keys);
	end(&world);
}

/*
 * Keys for a node of so many that has `buckets`, until there is no room for one; how many it then has. anew: it may be
 * written anew, as large.
 */
static size_t fill_runs(size_t count, size_t buckets, bool anew)
{
	struct trie_keys keys = {0};
	struct trie_runs runs = {0};
	struct world world;
	uint32_t entry, result, key = 0, child;
	int error = 0;

	random_state = 4;
	start(&world, FAMILY_IPV6);
	while (keys.count < count)
		add_run(&keys, &runs, random_below(UINT32_MAX));
	assert_int_equal(trie_new_runs(&world.trie, &runs, trie_leaf(9999), &entry), 0);
	while (!error) {
		assert_int_equal(egress_hash_buckets(entry), buckets);
		key = random_below(UINT32_MAX);
		child = child_of(&world, key, (uint32_t)keys.count);
		error = trie_runs_set(&world.trie, entry, key, child, &result);
		if (error)
			break;
		assert_true(anew || result == entry);
		entry = result;
		add_key(&keys, key, (uint32_t)keys.count);
	}
	assert_int_equal(error, -ENOSPC);
	assert_null(trie_runs_find(&world.memory, entry, key));
	assert_runs_hold(&world, entry, &keys);
	count = keys.count;
	trie_runs_clear(&runs);
	trie_keys_clear(&keys);
	end(&world);
	return count;
}

/* What would be too much to write anew beside packets is left to the next compile; the node stays what it was. */
static void nodes_of_runs_say_when_they_are_full(void **state)
{
	(void)state;
	assert_in_range(fill_runs(700, 1024, false), 700, 768);
	/* The largest that may be written anew: as long as it need not be larger. */
	assert_true(fill_runs(300, 512, true) >= 384);
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
		cmocka_unit_test(ipv6_lists_read_as_written),
		cmocka_unit_test(turns_of_few_and_of_many_networks),
		cmocka_unit_test(bits_hold_two_classes),
		cmocka_unit_test(scattered_ipv4_addresses_take_little_room),
		cmocka_unit_test(dense_ipv4_networks_are_rows),
		cmocka_unit_test(rows_change_in_place),
		cmocka_unit_test(rows_become_a_block),
		cmocka_unit_test(rows_are_256_at_most),
		cmocka_unit_test(rows_stay_in_a_chunk),
		cmocka_unit_test(hash_nodes_take_more_keys),
		cmocka_unit_test(lone_networks_are_in_their_slots),
		cmocka_unit_test(large_hash_nodes_say_when_they_are_full),
		cmocka_unit_test(memory_between_aligned_nodes_is_used),
		cmocka_unit_test(memory_stays_in_few_pieces),
		cmocka_unit_test(hash_nodes_hold_all_their_keys),
		cmocka_unit_test(tagged_nodes_are_dense),
		cmocka_unit_test(tagged_nodes_take_keys_in_place),
		cmocka_unit_test(tagged_nodes_hide_no_key),
		cmocka_unit_test(runs_are_of_neighbours),
		cmocka_unit_test(addresses_leave_runs),
		cmocka_unit_test(runs_hold_all_their_keys),
		cmocka_unit_test(runs_take_keys_in_place),
		cmocka_unit_test(runs_are_beside_others),
		cmocka_unit_test(nodes_of_runs_say_when_they_are_full),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
