/* SPDX-License-Identifier: Apache-2.0 */
/* Reading tables that were made by hand: every kind of trie entry, rows, and tables that do not hold together. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "cli/bank.h"
#include "cli/port_ranges.h"
#include "cli/rule_book.h"
#include "policy/table_walk.h"
#include "policy/trie_hash.h"
#include "policy/trie_node.h"
#include "policy/trie_runs.h"

#include "run_list.h"

/* Word addresses of the tables below; what the walk needs aligned is. */
enum {
	SETS = 256,
	VECTOR = SETS + EGRESS_ENDPOINT_MAX,
	ROW_ONE = VECTOR + 64,
	ROW_TWO = ROW_ONE + 64,
	FULL = 1536,           /* a block */
	RANGES9 = FULL + 256, /* 64 bytes */
	RANGES18 = FULL + 512, /* 128 bytes */
	RANGES37 = FULL + 576, /* 256 bytes */
	SKIP = FULL + 768,     /* 64 bytes each */
	SKIP_BELOW = SKIP + 16,
	BITS = SKIP + 32,
	HASH = SKIP + 64, /* two buckets */
	FULL6 = FULL + 1024,
	ROWS = FULL6 + 256, /* with room for four rows */
	PORTS = FULL + 2048,
	ROOT = PORTS + 3 * 32768,
	WORDS = ROOT + 65536,
};

/* By two bytes, spread by function 1: key 0xffff is in bucket 0, the others below in bucket 1. */
#define HASH_ENTRY \
	EGRESS_TRIE_ENTRY(EGRESS_TRIE_HASH2, 1u << EGRESS_HASH_FUNCTION_SHIFT | (HASH / 16 * 2 + 2))
#define TOO_LARGE 0x10000u
#define LEAF(class)  EGRESS_TRIE_ENTRY(EGRESS_TRIE_LEAF, class)
#define CLASSES      8
#define PORT_CLASSES 4

#define LARGE_WORDS  (1u << 22)

static uint32_t *memory;
static address_number collected_end;
static unsigned int collected_family;

static struct egress_bank *bank_words(void)
{
	return &((struct egress_control *)memory)->bank[1];
}

/*
 * 10.1.0.0/16 is a FULL block: .5.0/24 class 1, .6.0/24 ranges with class 2 in .6.128/25, .7.0/24 ranges with 3 at .7.9.
 * .8.0/24 bits with class 6 at .8.31 and .8.255.
 * 10.2.0.0/16 is ranges of two bytes: from .255.255 on class 7.
 * 10.3.0.0/16 is rows: .1.0/24 class 6 but for .1.33, of .9.0/24 class 6 in .9.64/26.
 */
static void make_ranges(uint32_t address, uint32_t words, uint32_t bounds, const uint16_t *used, const uint32_t *classes,
			size_t count)
{
	uint64_t *three = (uint64_t *)&memory[address + words - (bounds + 2) / 3 * 2];
	size_t i;

	for (i = 0; i <= count; i++)
		memory[address + i] = LEAF(classes[i]);
	for (i = 0; i < (bounds + 2) / 3 * 3; i++)
		three[i / 3] |= (uint64_t)(i < count ? used[i] : EGRESS_BOUND_UNUSED) << 21 * (i % 3);
}

static void make_trie_rows(void)
{
	struct egress_trie_rows *rows = (void *)&memory[ROWS];

	memory[ROOT + 0x0a03] = EGRESS_TRIE_POINTER(EGRESS_TRIE_ROWS, ROWS);
	*rows = (struct egress_trie_rows){.entry = {LEAF(0), LEAF(6)}, .count = 3, .room = 4};
	rows->row[1] = 1;
	rows->row[9] = 2;
	memset(rows->bits[1], 0xff, sizeof(rows->bits[1]));
	rows->bits[1][1] &= ~2u;
	rows->bits[2][2] = rows->bits[2][3] = UINT32_MAX;
}

static void make_ipv4(void)
{
	unsigned int i;

	memory[ROOT + 0x0a01] = EGRESS_TRIE_POINTER(EGRESS_TRIE_FULL, FULL);
	memory[ROOT + 0x0a02] = EGRESS_TRIE_POINTER(EGRESS_TRIE_RANGES37, RANGES37);
	memory[FULL + 5] = LEAF(1);
	memory[FULL + 8] = EGRESS_TRIE_POINTER(EGRESS_TRIE_BITS, BITS);
	memory[BITS] = LEAF(0);
	memory[BITS + 1] = LEAF(6);
	memory[BITS + 8] = 1u << 31;
	memory[BITS + 15] = 1u << 31;
	memory[FULL + 6] = EGRESS_TRIE_POINTER(EGRESS_TRIE_RANGES9, RANGES9);
	memory[FULL + 7] = EGRESS_TRIE_POINTER(EGRESS_TRIE_RANGES18, RANGES18);
	make_ranges(RANGES9, EGRESS_RANGES9_WORDS, 9, (uint16_t[]){128 << 8}, (uint32_t[]){0, 2}, 1);
	make_ranges(RANGES18, EGRESS_RANGES18_WORDS, 18, (uint16_t[]){9 << 8, 10 << 8}, (uint32_t[]){0, 3, 0}, 2);
	make_ranges(RANGES37, EGRESS_RANGES37_WORDS, 37, (uint16_t[]){0xffff}, (uint32_t[]){0, 7}, 1);
	make_trie_rows();
	for (i = 0; i < 65536; i++)
		if (i >> 8 == 0xc0)
			memory[ROOT + i] = LEAF(4); /* 192.0.0.0/8 */
}

/* The slot in a key's own bucket that holds it or would: two double words. */
static uint64_t *slot_of(uint32_t key)
{
	uint32_t bucket = egress_hash_bucket(HASH_ENTRY, key);
	uint64_t *slot = (uint64_t *)&memory[HASH + EGRESS_HASH_BUCKET_WORDS * bucket];

	while (*slot && *slot >> 32 != key)
		slot += 2;
	return slot;
}

static void put_key(uint32_t key, uint32_t entry)
{
	*slot_of(key) = (uint64_t)key << 32 | (uint32_t)~entry;
}

/* By two bytes: 0x0100 is class 6, 0x0200 class 6 where a 1 bit follows, 0xffff class 7. */
static void make_hash(void)
{
	put_key(0x0100, LEAF(6));
	put_key(0x0200, LEAF(6));
	slot_of(0x0200)[1] = 0x8000000080000000ull;
	put_key(0xffff, LEAF(7));
	memory[HASH + EGRESS_HASH_OTHER_WORD] = ~LEAF(5);
	memory[HASH + EGRESS_HASH_OTHER_WORD + 1] = TOO_LARGE;
}

/* fd00:0:0:aa00::/56 leads to a FULL block by byte 7, in which 0x42 leads to a skip whose match is a leaf of a /76. */
static void make_ipv6(void)
{
	struct egress_trie_skip *skip = (void *)&memory[SKIP], *below = (void *)&memory[SKIP_BELOW];
	unsigned int i;

	skip->mask[0] = 0xffffffffffffff00;
	skip->value[0] = 0xfd0000000000aa00;
	skip->match = EGRESS_TRIE_POINTER(EGRESS_TRIE_FULL, FULL6);
	skip->other = LEAF(0);
	skip->taken = 56;
	for (i = 0; i < 256; i++)
		memory[FULL6 + i] = LEAF(5);
	memory[FULL6 + 0x42] = EGRESS_TRIE_POINTER(EGRESS_TRIE_SKIP, SKIP_BELOW);
	memory[FULL6 + 0x43] = HASH_ENTRY;
	make_hash();
	below->mask[0] = 0xfff0000000000000;
	below->value[0] = 0x8070000000000000;
	below->match = LEAF(6);
	below->other = LEAF(5);
	bank_words()->ipv6_root = EGRESS_TRIE_POINTER(EGRESS_TRIE_SKIP, SKIP);
}

/* TCP 80 is port class 1, 443 is 2, all of UDP is 3. Row two allows class 0 as the node, and TCP 80 by rule 16. */
static void make_rows(void)
{
	uint16_t *tcp = (uint16_t *)&memory[PORTS], *udp = (uint16_t *)&memory[PORTS + 32768];
	unsigned int i;

	tcp[80] = 1;
	tcp[443] = 2;
	for (i = 0; i < 65536; i++)
		udp[i] = 3;
	for (i = 0; i < CLASSES; i++)
		memory[VECTOR + i] = i == 2 ? ROW_TWO : ROW_ONE;
	memory[ROW_TWO] = EGRESS_CELL_ALLOW | EGRESS_RULE_NODE;
	memory[ROW_TWO + 1] = EGRESS_CELL_ALLOW | EGRESS_RULE_FIRST;
	memory[ROW_TWO + 2] = EGRESS_RULE_MIXED;
}

static int make_tables(void **state)
{
	struct egress_control *control;

	(void)state;
	memory = aligned_alloc(64, WORDS * sizeof(*memory));
	memset(memory, 0, WORDS * sizeof(*memory));
	control = (void *)memory;
	control->magic = EGRESS_TABLES_MAGIC;
	control->active = 1;
	*bank_words() = (struct egress_bank){
		.generation = 7,
		.sets = SETS,
		.ipv4_root = ROOT,
		.ports = {PORTS, PORTS + 32768, PORTS + 65536},
		.class_count = CLASSES,
		.port_class_count = PORT_CLASSES,
	};
	memory[SETS + 3] = VECTOR;
	make_ipv4();
	make_ipv6();
	make_rows();
	return 0;
}

static int free_tables(void **state)
{
	(void)state;
	free(memory);
	return 0;
}

static struct bank open_bank(void)
{
	struct bank bank;

	assert_int_equal(bank_open(memory, WORDS, &bank), 0);
	return bank;
}

static uint32_t class_of(const struct bank *bank, const char *text)
{
	struct ip_address address;
	uint32_t class;

	assert_int_equal(ip_address_parse(text, &address), 0);
	assert_int_equal(bank_class(bank, &address, &class), 0);
	return class;
}

static void test_single_addresses(void **state)
{
	struct bank bank = open_bank();

	(void)state;
	assert_int_equal(class_of(&bank, "10.1.5.77"), 1);
	assert_int_equal(class_of(&bank, "10.1.6.127"), 0);
	assert_int_equal(class_of(&bank, "10.1.6.128"), 2);
	assert_int_equal(class_of(&bank, "10.1.7.9"), 3);
	assert_int_equal(class_of(&bank, "10.1.7.10"), 0);
	assert_int_equal(class_of(&bank, "10.1.8.30"), 0);
	assert_int_equal(class_of(&bank, "10.1.8.31"), 6);
	assert_int_equal(class_of(&bank, "10.1.8.255"), 6);
	assert_int_equal(class_of(&bank, "10.3.1.32"), 6);
	assert_int_equal(class_of(&bank, "10.3.1.33"), 0);
	assert_int_equal(class_of(&bank, "10.3.9.127"), 6);
	assert_int_equal(class_of(&bank, "10.3.9.128"), 0);
	assert_int_equal(class_of(&bank, "fd00:0:0:aa43:100::1"), 6);
	assert_int_equal(class_of(&bank, "fd00:0:0:aa43::"), 5);
	assert_int_equal(class_of(&bank, "fd00:0:0:aa43:200:7fff::"), 5);
	assert_int_equal(class_of(&bank, "fd00:0:0:aa43:200:8000::"), 6);
	assert_int_equal(class_of(&bank, "fd00:0:0:aa43:ffff::"), 7);
	assert_int_equal(class_of(&bank, "fd00:0:0:aa01::"), 5);
	assert_int_equal(class_of(&bank, "fd00:0:0:aa42:8075::"), 6);
	assert_int_equal(class_of(&bank, "fd00:0:0:aa42:8080::"), 5);
}

struct expected_range {
	const char *first, *last;
	uint32_t class;
};

struct expectation {
	const struct expected_range *ranges;
	size_t count, seen;
};

static int expect_range(const struct class_range *range, void *data)
{
	struct expectation *expectation = data;
	const struct expected_range *expected = &expectation->ranges[expectation->seen];
	char first[IP_TEXT_SIZE], last[IP_TEXT_SIZE];

	assert_true(expectation->seen < expectation->count);
	assert_string_equal(ip_address_format(&range->first, first), expected->first);
	assert_string_equal(ip_address_format(&range->last, last), expected->last);
	assert_int_equal(range->class, expected->class);
	expectation->seen++;
	return 0;
}

static void test_walk(void **state)
{
	static const struct expected_range ranges[] = {
		{"0.0.0.0", "10.1.4.255", 0},
		{"10.1.5.0", "10.1.5.255", 1},
		{"10.1.6.0", "10.1.6.127", 0},
		{"10.1.6.128", "10.1.6.255", 2},
		{"10.1.7.0", "10.1.7.8", 0},
		{"10.1.7.9", "10.1.7.9", 3},
		{"10.1.7.10", "10.1.8.30", 0},
		{"10.1.8.31", "10.1.8.31", 6},
		{"10.1.8.32", "10.1.8.254", 0},
		{"10.1.8.255", "10.1.8.255", 6},
		{"10.1.9.0", "10.2.255.254", 0},
		{"10.2.255.255", "10.2.255.255", 7},
		{"10.3.0.0", "10.3.0.255", 0},
		{"10.3.1.0", "10.3.1.32", 6},
		{"10.3.1.33", "10.3.1.33", 0},
		{"10.3.1.34", "10.3.1.255", 6},
		{"10.3.2.0", "10.3.9.63", 0},
		{"10.3.9.64", "10.3.9.127", 6},
		{"10.3.9.128", "191.255.255.255", 0},
		{"192.0.0.0", "192.255.255.255", 4},
		{"193.0.0.0", "255.255.255.255", 0},
		{"::", "fd00::a9ff:ffff:ffff:ffff:ffff", 0},
		{"fd00:0:0:aa00::", "fd00::aa42:806f:ffff:ffff:ffff", 5},
		{"fd00:0:0:aa42:8070::", "fd00::aa42:807f:ffff:ffff:ffff", 6},
		{"fd00:0:0:aa42:8080::", "fd00::aa43:ff:ffff:ffff:ffff", 5},
		{"fd00:0:0:aa43:100::", "fd00::aa43:100:ffff:ffff:ffff", 6},
		{"fd00:0:0:aa43:101::", "fd00::aa43:200:7fff:ffff:ffff", 5},
		{"fd00::aa43:200:8000:0:0", "fd00::aa43:200:ffff:ffff:ffff", 6},
		{"fd00:0:0:aa43:201::", "fd00::aa43:fffe:ffff:ffff:ffff", 5},
		{"fd00:0:0:aa43:ffff::", "fd00::aa43:ffff:ffff:ffff:ffff", 7},
		{"fd00:0:0:aa44::", "fd00::aaff:ffff:ffff:ffff:ffff", 5},
		{"fd00:0:0:ab00::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", 0},
	};
	struct expectation expectation = {ranges, ARRAY_SIZE(ranges), 0};
	struct bank bank = open_bank();

	(void)state;
	assert_int_equal(bank_each_class(&bank, expect_range, &expectation), 0);
	assert_int_equal(expectation.seen, ARRAY_SIZE(ranges));
}

static int stop_at_second(const struct class_range *range, void *data)
{
	(void)range;
	return ++*(int *)data == 2 ? 42 : 0;
}

static void test_walk_stops(void **state)
{
	struct bank bank = open_bank();
	int calls = 0;

	(void)state;
	assert_int_equal(bank_each_class(&bank, stop_at_second, &calls), 42);
	assert_int_equal(calls, 2);
}

static void test_rows(void **state)
{
	struct port_ranges classes = {0}, cells = {0}, allowed = {0};
	struct rule_name rule = {"shop", "web", 2, "web.yaml", 9};
	const struct rule_book book = {&rule, 1};
	struct bank bank = open_bank();
	uint32_t set, row;
	char *text;

	(void)state;
	assert_int_equal(bank_set(&bank, 3, &set), 0);
	assert_int_equal(set, VECTOR);
	assert_int_equal(bank_row(&bank, set, 2, &row), 0);
	assert_int_equal(row, ROW_TWO);
	assert_int_equal(bank_port_classes(&bank, &classes), 0);
	assert_int_equal(bank_row_cells(&bank, &classes, row, &cells), 0);
	port_ranges_allowed(&cells, &allowed);
	text = port_ranges_text(&allowed, "nothing");
	assert_string_equal(text, "TCP 0-442, 444-65535; SCTP all; other but tunnel protocols");
	free(text);
	/* TCP 0-79 and 81-65535 but for 443 are port class 0, like the protocols without ports. */
	assert_int_equal(cells.items[0].first, 0);
	assert_int_equal(cells.items[0].last, 79);
	text = rule_text(&book, cells.items[1].value);
	assert_string_equal(text, "shop/web rule 2 (web.yaml:9)");
	free(text);
	port_ranges_clear(&classes);
	port_ranges_clear(&cells);
	port_ranges_clear(&allowed);
}

static void test_row_numbers_are_checked(void **state)
{
	struct bank bank = open_bank();
	uint32_t out = 99;

	(void)state;
	assert_int_equal(bank_row(&bank, EGRESS_SET_OPEN, 0, &out), -EINVAL);
	assert_int_equal(bank_row(&bank, VECTOR, CLASSES, &out), -EINVAL);
	assert_int_equal(bank_cell(&bank, ROW_ONE, PORT_CLASSES, &out), -EINVAL);
	assert_int_equal(bank_cell(&bank, WORDS, 0, &out), -EINVAL);
	assert_int_equal(bank_set(&bank, EGRESS_ENDPOINT_MAX, &out), -EINVAL);
	assert_int_equal(out, 99);
}

static int ignore_range(const struct class_range *range, void *data)
{
	(void)range;
	(void)data;
	return 0;
}

/* ------------------------------------------------------------------ tries that the compiler wrote */

static int collect_family(const struct class_range *range, void *data)
{
	struct ranges *ranges = data;

	if (range->first.family != collected_family)
		return 0;
	assert_int_equal(address_to_number(&range->first), ranges->count ? collected_end + 1 : 0);
	collected_end = address_to_number(&range->last);
	return ranges_append(ranges, address_to_number(&range->first), range->class);
}

/* In /32s of a few /16s: one network each, or eight in a /48, or networks of several classes. */
static void make_list(struct ranges *list, uint32_t count)
{
	uint32_t network, i;

	assert_int_equal(ranges_append(list, 0, 0), 0);
	for (network = 0; network < count; network++) {
		address_number place = (address_number)(0x20010000 + network * 1009) << 96;
		unsigned int host = 64 + network % 13;

		for (i = 0; i < (network % 3 ? 1 : 8); i++, place += (address_number)1 << 77) {
			assert_int_equal(ranges_append(list, place, 1 + (network % 3 ? network % 2 : i % (network % 2 + 1))), 0);
			assert_int_equal(ranges_append(list, place + ((address_number)1 << host), 0), 0);
		}
	}
}

/* Room for more behind what was made by hand, until room_end(). */
struct room {
	struct memory memory;
	uint32_t *hand_made;
};

static void room_begin(struct room *room)
{
	room->hand_made = memory;
	memory = calloc(LARGE_WORDS, sizeof(*memory));
	assert_non_null(memory);
	memcpy(memory, room->hand_made, WORDS * sizeof(*memory));
	assert_int_equal(memory_init(&room->memory, memory, LARGE_WORDS, WORDS), 0);
}

static void room_end(struct room *room)
{
	memory_clear(&room->memory);
	free(memory);
	memory = room->hand_made;
}

static void assert_walked_as(const struct ranges *list, unsigned int family)
{
	struct ranges walked = {0};
	struct bank bank;
	size_t i;

	collected_family = family;
	assert_int_equal(bank_open(memory, LARGE_WORDS, &bank), 0);
	assert_int_equal(bank_each_class(&bank, collect_family, &walked), 0);
	assert_int_equal(walked.count, list->count);
	for (i = 0; i < list->count; i++)
		assert_true(ranges_start(&walked, i) == ranges_start(list, i));
	assert_memory_equal(walked.value, list->value, list->count * sizeof(*list->value));
	ranges_clear(&walked);
}

static void walk_written(uint32_t count, bool packed)
{
	struct ranges list = {0};
	struct room room;
	const struct trie trie = {.memory = &room.memory, .packed = packed};

	make_list(&list, count);
	room_begin(&room);
	assert_int_equal(trie_write_ipv6(&trie, &list, &bank_words()->ipv6_root), 0);
	assert_walked_as(&list, 6);
	room_end(&room);
	ranges_clear(&list);
}

/* Addresses of IPv4 that stand alone, of two classes. */
static void test_written_ipv4_addresses(void **state)
{
	struct ranges list = {0};
	struct bank bank;
	struct room room;
	const struct trie trie = {.memory = &room.memory, .packed = true};
	uint32_t i;

	(void)state;
	assert_int_equal(ranges_append(&list, 0, 0), 0);
	for (i = 0; i < 60; i++) {
		assert_int_equal(ranges_append(&list, 0x0a000000 + 1092 * i, 1 + i % 2), 0);
		assert_int_equal(ranges_append(&list, 0x0a000001 + 1092 * i, 0), 0);
	}
	room_begin(&room);
	assert_int_equal(trie_write_ipv4(&trie, &list, bank_words()->ipv4_root), 0);
	assert_int_equal(EGRESS_TRIE_KIND(memory[ROOT + 0x0a00]), EGRESS_TRIE_TAGGED2);
	assert_walked_as(&list, 4);
	/* Elsewhere there is none. */
	memory[ROOT + 0x0b00] = EGRESS_TRIE_POINTER(EGRESS_TRIE_FULL, FULL);
	memory[FULL] = memory[ROOT + 0x0a00];
	assert_int_equal(bank_open(memory, LARGE_WORDS, &bank), 0);
	assert_int_equal(bank_each_class(&bank, ignore_range, NULL), -EINVAL);
	room_end(&room);
	ranges_clear(&list);
}

/* The highest key of four bytes leads to a node, and is the last. */
static void test_highest_key(void **state)
{
	const address_number network = (address_number)UINT32_MAX << 96 | (address_number)1 << 80;
	struct trie_key key = {.key = UINT32_MAX};
	struct trie_keys keys = {0};
	struct ranges list = {0};
	struct room room;
	const struct trie trie = {.memory = &room.memory};

	(void)state;
	room_begin(&room);
	assert_int_equal(trie_new_skip(&trie, network, 4, 64, LEAF(1), LEAF(0), &key.entry), 0);
	assert_int_equal(trie_keys_add(&keys, &key), 0);
	assert_int_equal(trie_new_hash(&trie, &keys, 4, LEAF(0), &bank_words()->ipv6_root), 0);
	assert_int_equal(ranges_append(&list, 0, 0), 0);
	assert_int_equal(ranges_append(&list, network, 1), 0);
	assert_int_equal(ranges_append(&list, network + ((address_number)1 << 64), 0), 0);
	assert_walked_as(&list, 6);
	ranges_clear(&list);
	trie_keys_clear(&keys);
	room_end(&room);
}

static void test_written_tries(void **state)
{
	static const uint32_t counts[] = {1, 5, 60, 1500};
	size_t i;

	(void)state;
	for (i = 0; i < 2 * ARRAY_SIZE(counts); i++)
		walk_written(counts[i / 2], i % 2);
}

/* ------------------------------------------------------------------ tables that do not hold together */

/*
 * A hash node that cannot be: more buckets than there is memory, one, none, a key twice or where no packet looks for it,
 * or none for all the others.
 */
static void test_damaged_hash(void **state)
{
	uint32_t *entry = &memory[FULL6 + 0x43], *other = &memory[HASH + EGRESS_HASH_OTHER_WORD];
	uint64_t *lone = slot_of(0x0200), *twice = lone + 2, *elsewhere = slot_of(0xffff) + 2;
	const uint32_t entries[] = {
		EGRESS_TRIE_ENTRY(EGRESS_TRIE_HASH2, EGRESS_HASH_BUCKETS_MAX / 2),
		EGRESS_TRIE_ENTRY(EGRESS_TRIE_HASH2, 2 * EGRESS_HASH_BUCKETS_MAX),
		EGRESS_TRIE_ENTRY(EGRESS_TRIE_HASH2, HASH / 16 * 2 + 1),
		EGRESS_TRIE_ENTRY(EGRESS_TRIE_HASH2, 0),
	};
	struct bank bank = open_bank();
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(entries) / sizeof(*entries); i++) {
		*entry = entries[i];
		assert_int_equal(bank_each_class(&bank, ignore_range, NULL), -EINVAL);
	}
	*entry = HASH_ENTRY;
	assert_int_equal(bank_each_class(&bank, ignore_range, NULL), 0);
	*other = ~EGRESS_TRIE_POINTER(EGRESS_TRIE_FULL, FULL6);
	assert_int_equal(bank_each_class(&bank, ignore_range, NULL), -EINVAL);
	*other = ~LEAF(5);
	/* Key 0 is of bucket 0: a packet would take what all others get for its own. */
	other[1] = 0;
	assert_int_equal(bank_each_class(&bank, ignore_range, NULL), -EINVAL);
	other[1] = TOO_LARGE;
	*twice = *slot_of(0x0100);
	assert_int_equal(bank_each_class(&bank, ignore_range, NULL), -EINVAL);
	*twice = 0;
	*elsewhere = 0x0101ull << 32 | (uint32_t)~LEAF(6);
	assert_int_equal(bank_each_class(&bank, ignore_range, NULL), -EINVAL);
	*elsewhere = 0;
	/* A mask with a hole, a value outside of it, a mask before what is no leaf. */
	lone[1] = 0xa0000000a0000000;
	assert_int_equal(bank_each_class(&bank, ignore_range, NULL), -EINVAL);
	lone[1] = 0x8000000040000000;
	assert_int_equal(bank_each_class(&bank, ignore_range, NULL), -EINVAL);
	lone[1] = 0x8000000080000000;
	lone[0] = 0x0200ull << 32 | (uint32_t)~EGRESS_TRIE_POINTER(EGRESS_TRIE_SKIP, SKIP_BELOW);
	assert_int_equal(bank_each_class(&bank, ignore_range, NULL), -EINVAL);
	lone[0] = 0x0200ull << 32 | (uint32_t)~LEAF(6);
	assert_int_equal(bank_each_class(&bank, ignore_range, NULL), 0);
	/* IPv4 has none with masks. */
	memory[ROOT] = HASH_ENTRY;
	assert_int_equal(bank_each_class(&bank, ignore_range, NULL), -EINVAL);
	/* IPv4 has bits for its last byte only. */
	memory[ROOT] = EGRESS_TRIE_POINTER(EGRESS_TRIE_BITS, BITS);
	assert_int_equal(bank_each_class(&bank, ignore_range, NULL), -EINVAL);
}

/* Rows that the node has not, or has no room for; entries that are no leaves; where no packet looks for it. */
static void test_damaged_rows(void **state)
{
	struct egress_trie_rows *rows = (void *)&memory[ROWS];
	const struct egress_trie_rows good = *rows;
	struct bank bank = open_bank();
	const uint32_t entry = memory[ROOT + 0x0a03];
	struct ip_address address;
	uint32_t class;
	size_t i;

	(void)state;
	assert_int_equal(ip_address_parse("10.3.77.0", &address), 0);
	for (i = 0; i < 5; i++) {
		rows->row[77] = i == 0 ? 4 : 0;
		rows->room = i == 1 ? EGRESS_ROWS_MAX + 1 : i == 2 ? 2 : 4;
		rows->entry[i == 4] = i == 3 || i == 4 ? EGRESS_TRIE_POINTER(EGRESS_TRIE_BITS, BITS) : LEAF(0);
		assert_int_equal(bank_each_class(&bank, ignore_range, NULL), -EINVAL);
		*rows = good;
		assert_int_equal(bank_each_class(&bank, ignore_range, NULL), 0);
	}
	/* Behind the memory: the node, or a row of it. */
	for (i = 0; i < 2; i++) {
		uint32_t at = i == 0 ? WORDS - 64 : WORDS - 96;

		memory[ROOT + 0x0a03] = EGRESS_TRIE_POINTER(EGRESS_TRIE_ROWS, at);
		memset(&memory[at], 3, 64 * sizeof(*memory));
		assert_int_equal(bank_each_class(&bank, ignore_range, NULL), -EINVAL);
		assert_int_equal(bank_class(&bank, &address, &class), -EINVAL);
		memset(&memory[at], 0, 64 * sizeof(*memory));
	}
	/* Below a block, in IPv6. */
	memory[ROOT + 0x0a03] = 0;
	memory[FULL + 5] = entry;
	assert_int_equal(bank_each_class(&bank, ignore_range, NULL), -EINVAL);
	memory[FULL + 5] = LEAF(1);
	memory[FULL6 + 0x43] = entry;
	assert_int_equal(bank_each_class(&bank, ignore_range, NULL), -EINVAL);
}

/* A node of rows over the border between two chunks: packets would look for its end at the beginning of the first. */
static void test_rows_across_chunks(void **state)
{
	struct egress_trie_rows *rows;
	struct bank bank;
	struct room room;

	(void)state;
	room_begin(&room);
	rows = (void *)&memory[EGRESS_CHUNK_WORDS - 96];
	assert_int_equal(bank_open(memory, LARGE_WORDS, &bank), 0);
	memory[ROOT + 0x0a03] = EGRESS_TRIE_POINTER(EGRESS_TRIE_ROWS, EGRESS_CHUNK_WORDS - 96);
	*rows = (struct egress_trie_rows){.entry = {LEAF(0), LEAF(6)}, .count = 1, .room = 2};
	assert_int_equal(bank_each_class(&bank, ignore_range, NULL), 0);
	rows->room = 4;
	assert_int_equal(bank_each_class(&bank, ignore_range, NULL), -EINVAL);
	room_end(&room);
}

/* The address is of the class for packets that it is of for the walk. */
static void assert_seen(const struct table_view *view, const struct ranges *walked, address_number address)
{
	uint64_t first = (uint64_t)(address >> 64), last = (uint64_t)address;
	uint32_t class;

	assert_true(egress_class6_number(view, bank_words()->ipv6_root, __builtin_bswap64(first), __builtin_bswap64(last),
					 &class));
	assert_int_equal(walked->value[ranges_find(walked, address)], class);
}

/* Every network of two bytes, and whatever a range begins with, has in the walk what a packet finds. */
static void assert_walked_as_packets_see(void)
{
	const struct table_view view = {memory, LARGE_WORDS};
	struct ranges walked = {0};
	struct bank bank;
	uint32_t i;

	collected_family = 6;
	assert_int_equal(bank_open(memory, LARGE_WORDS, &bank), 0);
	assert_int_equal(bank_each_class(&bank, collect_family, &walked), 0);
	for (i = 0; i < 65536; i++)
		assert_seen(&view, &walked, (address_number)i << 112);
	for (i = 0; i < walked.count; i++)
		assert_seen(&view, &walked, ranges_start(&walked, i));
	ranges_clear(&walked);
}

/*
 * Tags that lead packets past a key: one that is another key's does not hold together. None yet, or none yet that says that
 * a key is in the other bucket, is a writer on its way: the key is not there.
 */
static void test_tags(void **state)
{
	uint32_t *root, bucket, displaced = 0, i;
	struct trie_keys keys = {0};
	struct bank bank;
	struct room room;
	const struct trie trie = {.memory = &room.memory};

	(void)state;
	for (i = 0; i < 256; i++)
		assert_int_equal(trie_keys_add(&keys, &(struct trie_key){.key = i * i, .entry = LEAF(1)}), 0);
	room_begin(&room);
	root = &bank_words()->ipv6_root;
	assert_int_equal(trie_new_hash(&trie, &keys, 2, LEAF(0), root), 0);
	assert_int_equal(EGRESS_TRIE_KIND(*root), EGRESS_TRIE_TAGGED2);
	assert_walked_as_packets_see();
	for (bucket = 0; bucket < egress_hash_buckets(*root); bucket++) {
		uint64_t *slot = (uint64_t *)&memory[egress_hash_address(*root) + EGRESS_HASH_BUCKET_WORDS * bucket];
		uint64_t *tags = slot + EGRESS_TAGGED_SLOTS, whole = *tags;

		*tags = (whole & ~511ull) | (egress_hash_tag(*slot >> 32) == 1 ? 2 : 1);
		assert_int_equal(bank_open(memory, LARGE_WORDS, &bank), 0);
		assert_int_equal(bank_each_class(&bank, ignore_range, NULL), *slot ? -EINVAL : 0);
		/* The last slot in use. */
		for (i = EGRESS_TAGGED_SLOTS - 1; i && (!slot[i] || (!bucket && i == EGRESS_TAGGED_SLOTS - 1)); i--)
			;
		*tags = whole & ~(511ull << EGRESS_TAG_BITS * i);
		assert_walked_as_packets_see();
		displaced += whole >> 63;
		*tags = whole & ~EGRESS_TAGS_FULL;
		assert_walked_as_packets_see();
		*tags = whole;
	}
	assert_walked_as_packets_see();
	assert_true(displaced);
	trie_keys_clear(&keys);
	room_end(&room);
}

/* ------------------------------------------------------------------ nodes of runs */

/* A root of 90 keys, the lowest and the highest among them; list: what it says. */
static void write_runs(const struct trie *trie, struct ranges *list)
{
	const struct trie_ranges two = {.start = {0, 16, 0x8000}, .entry = {LEAF(1), LEAF(0), LEAF(1)}, .count = 3};
	struct trie_runs runs = {0};
	uint32_t i;

	for (i = 0; i < 90; i++) {
		uint32_t key = i == 89 ? UINT32_MAX : i * i * 400000;
		address_number place = (address_number)key << 96;

		assert_int_equal(trie_runs_add(&runs, key, &two), 0);
		assert_int_equal(ranges_append(list, place, 1), 0);
		assert_int_equal(ranges_append(list, place + ((address_number)16 << 80), 0), 0);
		assert_int_equal(ranges_append(list, place + ((address_number)0x8000 << 80), 1), 0);
		if (key != UINT32_MAX)
			assert_int_equal(ranges_append(list, place + ((address_number)1 << 96), 0), 0);
	}
	assert_int_equal(trie_new_runs(trie, &runs, LEAF(0), &bank_words()->ipv6_root), 0);
	trie_runs_clear(&runs);
}

/* Whether a walk through the tables finds that they do not hold together. */
static void assert_damaged(bool damaged)
{
	struct bank bank;

	assert_int_equal(bank_open(memory, LARGE_WORDS, &bank), 0);
	assert_int_equal(bank_each_class(&bank, ignore_range, NULL), damaged ? -EINVAL : 0);
}

static void test_runs(void **state)
{
	struct ranges list = {0};
	struct room room;
	const struct trie trie = {.memory = &room.memory};

	(void)state;
	room_begin(&room);
	write_runs(&trie, &list);
	assert_walked_as(&list, 6);
	/* In an IPv4 tree a node of that kind is one of rows. */
	memory[ROOT + 0x0a00] = bank_words()->ipv6_root;
	assert_damaged(true);
	room_end(&room);
	ranges_clear(&list);
}

/* Bounds that do not ascend, or are none, or are used behind one that is not. */
static const uint32_t wrong[][3] = {
	{7, 0, 0},
	{7, 7, EGRESS_BOUND_UNUSED},
	{9, 8, EGRESS_BOUND_UNUSED},
	{EGRESS_BOUND_UNUSED, 16, EGRESS_BOUND_UNUSED},
	{0x1fffff, EGRESS_BOUND_UNUSED, EGRESS_BOUND_UNUSED},
};

/* The first three. */
static void put_bounds(uint32_t *bounds, const uint32_t three[3])
{
	uint64_t word = 0;
	unsigned int i;

	for (i = 0; i < 3; i++)
		word |= (uint64_t)three[i] << EGRESS_BOUND_LANE_BITS * i;
	memcpy(bounds, &word, sizeof(word));
}

static bool is_place_of(uint32_t entry, uint32_t key, uint32_t bucket)
{
	uint32_t own = egress_run_bucket(entry, key);

	return bucket == own || bucket == (own ^ 1) || bucket == egress_run_third(entry, key);
}

/* What the compiler writes beside runs, and what changes of addresses make of them. */
static void test_mixed_runs(void **state)
{
	static const unsigned int depths[] = {0, 2, 7, 10};
	uint32_t seed, i;

	(void)state;
	for (seed = 0; seed < 12; seed++) {
		struct run_list of = {.depth = depths[seed % 4], .usual = seed / 4, .keys = 150, .random = seed};
		struct ranges list = {0};
		struct room room;
		const struct trie trie = {.memory = &room.memory};

		room_begin(&room);
		assert_int_equal(run_list_make(&of, &list), 0);
		assert_int_equal(trie_write_ipv6(&trie, &list, &bank_words()->ipv6_root), 0);
		assert_int_equal(EGRESS_TRIE_KIND(bank_words()->ipv6_root) == EGRESS_TRIE_RUNS, !of.depth);
		assert_walked_as(&list, 6);
		for (i = 0; i < 60; i++)
			assert_int_equal(trie_set_ipv6(&trie, &bank_words()->ipv6_root,
						       ranges_start(&list, 1 + run_list_random(&of, (uint32_t)list.count - 1)) - i % 2,
						       i % 5), 0);
		assert_walked_as_packets_see();
		room_end(&room);
		ranges_clear(&list);
	}
}

/* Each bucket with something in it that cannot be, and made good again. */
static void test_damaged_runs(void **state)
{
	struct egress_trie_run *node, good;
	struct ranges list = {0};
	struct room room;
	const struct trie trie = {.memory = &room.memory};
	uint32_t entry, free_bucket = 0, i, j;

	(void)state;
	room_begin(&room);
	write_runs(&trie, &list);
	entry = bank_words()->ipv6_root;
	node = (void *)&memory[egress_hash_address(entry)];
	/* Packets look for every key, in every place that it may have. */
	memset(node, 0xff, egress_run_first(entry) * sizeof(*node));
	for (i = egress_run_first(entry); i < egress_hash_buckets(entry); i++)
		node[i].other |= EGRESS_RUN_MOVED;
	assert_walked_as(&list, 6);
	for (i = egress_run_first(entry); i < egress_hash_buckets(entry); i++) {
		good = node[i];
		node[i].other = (good.other & EGRESS_RUN_MOVED) | LEAF(1);
		assert_damaged(true);
		node[i] = good;
		if (!good.slot) {
			free_bucket = i;
			continue;
		}
		node[i].second = EGRESS_TRIE_POINTER(EGRESS_TRIE_FULL, FULL6);
		assert_damaged(true);
		node[i] = good;
		for (j = 0; j < ARRAY_SIZE(wrong); j++) {
			put_bounds(node[i].bounds, wrong[j]);
			assert_damaged(true);
		}
		node[i] = good;
		/* A key that no packet finds there. */
		node[i].slot ^= 1ull << 32;
		if (!is_place_of(entry, trie_run_key(&node[i]), i))
			assert_damaged(true);
		node[i] = good;
		assert_damaged(false);
	}
	/* A key twice. */
	for (i = egress_run_first(entry); !node[i].slot; i++)
		;
	assert_true(free_bucket);
	node[free_bucket].slot = node[i].slot;
	assert_damaged(true);
	room_end(&room);
	ranges_clear(&list);
}

/* Without its bit, or what leads packets to where it is, a key is one that a writer has not finished: it is not there. */
static void test_unfinished_runs(void **state)
{
	struct egress_trie_run *node;
	struct ranges list = {0};
	size_t moved = 0;
	struct room room;
	const struct trie trie = {.memory = &room.memory};
	uint32_t entry, *bits, i;

	(void)state;
	room_begin(&room);
	write_runs(&trie, &list);
	entry = bank_words()->ipv6_root;
	node = (void *)(bits = &memory[egress_hash_address(entry)]);
	for (i = egress_run_first(entry); i < egress_hash_buckets(entry); i++) {
		uint32_t bit = egress_run_bit(entry, trie_run_key(&node[i])), other = node[i].other;

		if (!node[i].slot)
			continue;
		bits[bit / 32] ^= 1u << bit % 32;
		assert_walked_as_packets_see();
		bits[bit / 32] ^= 1u << bit % 32;
		moved += other >> 31;
		node[i].other &= ~EGRESS_RUN_MOVED;
		assert_walked_as_packets_see();
		node[i].other = other;
	}
	assert_true(moved);
	assert_walked_as(&list, 6);
	room_end(&room);
	ranges_clear(&list);
}

/* Nodes that cannot be: too few buckets, more than there is memory, too near to the end of the address. */
static void test_runs_that_cannot_be(void **state)
{
	struct ranges list = {0};
	struct room room;
	const struct trie trie = {.memory = &room.memory};
	uint32_t *root, entry;

	(void)state;
	room_begin(&room);
	write_runs(&trie, &list);
	root = &bank_words()->ipv6_root;
	entry = *root;
	*root = entry - egress_hash_buckets(entry) + EGRESS_RUN_BUCKETS_MIN / 2;
	assert_damaged(true);
	*root = EGRESS_TRIE_ENTRY(EGRESS_TRIE_RUNS, LARGE_WORDS / EGRESS_HASH_BUCKET_WORDS * 2 + EGRESS_RUN_BUCKETS_MIN);
	assert_damaged(true);
	/* Behind ten bytes there is room for it, behind eleven there is not. */
	assert_int_equal(trie_new_skip(&trie, 0, 0, 80, entry, LEAF(0), root), 0);
	assert_damaged(false);
	assert_int_equal(trie_new_skip(&trie, 0, 0, 88, entry, LEAF(0), root), 0);
	assert_damaged(true);
	room_end(&room);
	ranges_clear(&list);
}

/* Whatever stands in the tables, the walk ends and stays inside. */
static void test_damaged(void **state)
{
	struct egress_trie_skip *skip = (void *)&memory[SKIP];
	struct egress_control *control = (void *)memory;
	struct bank bank;

	(void)state;
	skip->match = EGRESS_TRIE_POINTER(EGRESS_TRIE_SKIP, SKIP);
	memset(skip->mask, 0, sizeof(skip->mask));
	bank = open_bank();
	assert_int_equal(bank_each_class(&bank, ignore_range, NULL), -EINVAL);
	memory[ROOT] = EGRESS_TRIE_POINTER(EGRESS_TRIE_FULL, WORDS);
	assert_int_equal(bank_each_class(&bank, ignore_range, NULL), -EINVAL);
	/* A block that holds itself. */
	memory[ROOT] = EGRESS_TRIE_POINTER(EGRESS_TRIE_FULL, FULL);
	memory[FULL] = EGRESS_TRIE_POINTER(EGRESS_TRIE_FULL, FULL);
	assert_int_equal(bank_each_class(&bank, ignore_range, NULL), -EINVAL);
	assert_true(bank_in_force(&bank));
	bank_words()->generation++;
	assert_false(bank_in_force(&bank));
	bank_words()->generation = 0;
	assert_int_equal(bank_open(memory, WORDS, &bank), -ENODATA);
	control->active = 2;
	assert_int_equal(bank_open(memory, WORDS, &bank), -EINVAL);
	control->active = 1;
	control->magic++;
	assert_int_equal(bank_open(memory, WORDS, &bank), -EINVAL);
	assert_int_equal(bank_open(memory, 8, &bank), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_single_addresses, make_tables, free_tables),
		cmocka_unit_test_setup_teardown(test_walk, make_tables, free_tables),
		cmocka_unit_test_setup_teardown(test_walk_stops, make_tables, free_tables),
		cmocka_unit_test_setup_teardown(test_rows, make_tables, free_tables),
		cmocka_unit_test_setup_teardown(test_row_numbers_are_checked, make_tables, free_tables),
		cmocka_unit_test_setup_teardown(test_written_tries, make_tables, free_tables),
		cmocka_unit_test_setup_teardown(test_written_ipv4_addresses, make_tables, free_tables),
		cmocka_unit_test_setup_teardown(test_highest_key, make_tables, free_tables),
		cmocka_unit_test_setup_teardown(test_damaged_hash, make_tables, free_tables),
		cmocka_unit_test_setup_teardown(test_damaged_rows, make_tables, free_tables),
		cmocka_unit_test_setup_teardown(test_rows_across_chunks, make_tables, free_tables),
		cmocka_unit_test_setup_teardown(test_tags, make_tables, free_tables),
		cmocka_unit_test_setup_teardown(test_runs, make_tables, free_tables),
		cmocka_unit_test_setup_teardown(test_mixed_runs, make_tables, free_tables),
		cmocka_unit_test_setup_teardown(test_damaged_runs, make_tables, free_tables),
		cmocka_unit_test_setup_teardown(test_unfinished_runs, make_tables, free_tables),
		cmocka_unit_test_setup_teardown(test_runs_that_cannot_be, make_tables, free_tables),
		cmocka_unit_test_setup_teardown(test_damaged, make_tables, free_tables),
	};

	return cmocka_run_group_tests_name("cli_bank", tests, NULL, NULL);
}
