/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The programs' walk through tries that the compiler wrote: nodes of every kind, before and behind the border between two
 * chunks of the tables, with both in one map and in one each. Every address near a boundary is tried with a packet.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "policy/trie.h"

#include "harness.h"

#include "../unit/hash_node.h"

/* Words left of the first chunk where a trie begins. */
static const uint32_t places[] = {EGRESS_CHUNK_WORDS / 2, 4096, 64, 0};

struct list {
	enum family family;
	struct ranges ranges;
};

static void add(struct list *list, address_number start, uint32_t class)
{
	assert_int_equal(ranges_append(&list->ranges, start, class), 0);
}

/* From 20.0.0.0 on, /16s with ever more in them: single addresses, pairs, whole /24s, of two classes or of three. */
static void make_ipv4(struct list *list)
{
	uint32_t network, i;

	add(list, 0, CLASS_NOTHING);
	for (network = 0; network < 12; network++) {
		address_number base = (address_number)(20 + network) << 24;

		for (i = 0; i < (1u << network) && i < 300; i++) {
			add(list, base + 96 * i + 3, network % 2 && i % 5 == 0 ? CLASS_SERVICES : CLASS_EVERYTHING);
			add(list, base + 96 * i + 3 + (i % 3 ? 1 : 40), CLASS_NOTHING);
		}
	}
}

/* /16s with ever more addresses that stand alone, of two classes, far from each other. */
static void make_scattered_ipv4(struct list *list)
{
	uint32_t network, i;

	add(list, 0, CLASS_NOTHING);
	for (network = 0; network < 6; network++) {
		uint32_t count = 20u << network, distance = 0x10000 / count;
		address_number base = (address_number)(20 + network) << 24;

		for (i = 0; i < count; i++) {
			/* Unevenly, so that buckets overflow. */
			address_number address = base + distance * i + i * i % (distance - 1);

			add(list, address, i % 5 ? CLASS_EVERYTHING : CLASS_SERVICES);
			add(list, address + 1, CLASS_NOTHING);
		}
	}
}

static void add_32(struct list *list, uint32_t key, uint32_t class)
{
	add(list, (address_number)key << 96, class);
	add(list, (address_number)(key + 1) << 96, CLASS_NOTHING);
}

/* /32s of three keys that belong into one bucket and have one tag, in a hash node of 16 buckets, and of others far away. */
static void make_hidden_ipv6(struct list *list)
{
	const uint32_t node = EGRESS_TRIE_ENTRY(EGRESS_TRIE_TAGGED4, 16), first = 0x20010db8;
	uint32_t key, found = 0, i;

	add(list, 0, CLASS_NOTHING);
	for (key = first; found < 3; key++) {
		if (egress_hash_bucket(node, key) != egress_hash_bucket(node, first) ||
		    egress_hash_tag(key) != egress_hash_tag(first))
			continue;
		found++;
		add_32(list, key, found % 2 ? CLASS_EVERYTHING : CLASS_SERVICES);
	}
	for (i = 1; i <= 45; i++)
		add_32(list, key + i * 0x31234, i % 3 ? CLASS_EVERYTHING : CLASS_SERVICES);
}

/* Networks in scattered /32s, each with more and longer ones below it than the last. */
static void make_ipv6(struct list *list)
{
	address_number place = (address_number)0x2001 << 112;
	uint32_t network, i;

	add(list, 0, CLASS_NOTHING);
	for (network = 0; network < 150; network++) {
		place += (address_number)(1 + network * network % 977) << 96;
		for (i = 0; i < network % 12; i++) {
			address_number first = place + ((address_number)i << (92 - network % 7));

			add(list, first, i % 4 ? CLASS_EVERYTHING : CLASS_SERVICES);
			add(list, first + ((address_number)1 << (84 - network % 80)), CLASS_NOTHING);
		}
	}
}

/*
 * As published lists are: in each of `count` /32s one network, or a /48 with eight that take turns with what is around.
 * lone: two of three are alone. together: /32s in the same /16. host_bits: of the smallest of the eight.
 */
static void make_published_ipv6(struct list *list, uint32_t count, bool lone, uint32_t together,
				unsigned int host_bits)
{
	uint32_t network, i;

	add(list, 0, CLASS_NOTHING);
	for (network = 0; network < count; network++) {
		address_number place = (address_number)(0x2001 + 3 * (network / together)) << 112;
		uint32_t spread = 6000 / together, number = network % together * spread;

		/* Unevenly, so that buckets overflow. */
		number += network * (lone ? 1 : network) % spread;
		place += (address_number)number << 96;
		if (lone && network % 3) {
			unsigned int host = 64 + network % 32;

			place += (address_number)(network % 7) << host;
			add(list, place, network % 3 == 1 ? CLASS_EVERYTHING : CLASS_SERVICES);
			add(list, place + ((address_number)1 << host), CLASS_NOTHING);
			continue;
		}
		for (i = 0; i < 8; i++) {
			add(list, place + ((address_number)i << 77), CLASS_EVERYTHING);
			add(list, place + ((address_number)i << 77) + ((address_number)1 << (host_bits + network % 9)),
			    CLASS_NOTHING);
		}
	}
}

static void write_list(struct harness *harness, const struct list *list, uint32_t left, bool packed)
{
	struct egress_bank *bank = &control(harness)->bank[0];
	uint32_t first = EGRESS_CHUNK_WORDS - left;
	struct memory memory;
	struct trie trie = {.memory = &memory, .packed = packed};

	assert_int_equal(memory_init(&memory, harness->words, harness->bytes / 4, first), 0);
	if (list->family == FAMILY_IPV4)
		assert_int_equal(trie_write_ipv4(&trie, &list->ranges, bank->ipv4_root), 0);
	else
		assert_int_equal(trie_write_ipv6(&trie, &list->ranges, &bank->ipv6_root), 0);
	memory_clear(&memory);
}

static void try_address(struct harness *harness, const struct list *list, address_number number)
{
	uint32_t class = list->ranges.value[ranges_find(&list->ranges, number)];
	const char *pod = list->family == FAMILY_IPV4 ? "10.1.0.2" : "fd00::2";
	struct ip_address address;
	char text[IP_TEXT_SIZE];
	struct frame frame;

	address_from_number(list->family, number, &address);
	ip_address_format(&address, text);
	frame = tcp(pod, 40000, text, 443, TCP_ACK);
	if (from_pod(harness, &frame) != (class == CLASS_NOTHING ? VERDICT_DROP : VERDICT_PASS))
		fail_msg("%s port 443 is of class %u", text, class);
	frame = tcp(pod, 40000, text, 444, TCP_ACK);
	if (from_pod(harness, &frame) != (class == CLASS_EVERYTHING ? VERDICT_PASS : VERDICT_DROP))
		fail_msg("%s port 444 is of class %u", text, class);
}

static void try_list(struct harness *harness, struct list *list)
{
	size_t place, i;

	for (place = 0; place < 2 * ARRAY_SIZE(places); place++) {
		write_list(harness, list, places[place / 2], place % 2);
		for (i = 1; i < list->ranges.count; i++) {
			try_address(harness, list, ranges_start(&list->ranges, i) - 1);
			try_address(harness, list, ranges_start(&list->ranges, i));
		}
	}
	ranges_clear(&list->ranges);
}

static void ipv4_lists_are_judged_as_written(void **state)
{
	struct harness *harness = *state;
	struct list list = {.family = FAMILY_IPV4};
	const uint32_t *root = harness->words + control(harness)->bank[0].ipv4_root;

	make_ipv4(&list);
	write_list(harness, &list, places[0], false);
	/* Of many networks: of two classes, of three. */
	assert_int_equal(EGRESS_TRIE_KIND(root[28 << 8]), EGRESS_TRIE_ROWS);
	assert_int_equal(EGRESS_TRIE_KIND(root[29 << 8]), EGRESS_TRIE_FULL);
	try_list(harness, &list);
}

static void scattered_ipv4_addresses_are_judged_as_written(void **state)
{
	struct list list = {.family = FAMILY_IPV4};

	make_scattered_ipv4(&list);
	try_list(*state, &list);
}

static void ipv6_lists_are_judged_as_written(void **state)
{
	struct list list = {.family = FAMILY_IPV6};

	make_ipv6(&list);
	try_list(*state, &list);
}

/* Keys of a hash node that are not in their own bucket; where it has tags, buckets that say so. */
static size_t keys_in_the_other_bucket(const struct harness *harness, uint32_t entry)
{
	size_t buckets = egress_hash_buckets(entry), count = 0, i;
	const uint64_t *slot = (const void *)(harness->words + egress_hash_address(entry));

	for (i = 0; i < buckets * EGRESS_HASH_SLOTS; i++, slot += 2) {
		if (egress_hash_is_tagged(entry))
			count += i % EGRESS_HASH_SLOTS == 3 && slot[1] & EGRESS_TAGS_FULL;
		else
			count += *slot && i != EGRESS_HASH_SLOTS - 1 &&
				 egress_hash_bucket(entry, *slot >> 32) != i / EGRESS_HASH_SLOTS;
	}
	return count;
}

/* Keys of a node of runs that are in the last place a packet looks into; 0 where none is in the second one. */
static size_t keys_in_other_places(const struct harness *harness, uint32_t entry)
{
	size_t pair, third;

	count_moved_runs(harness->words, entry, &pair, &third);
	return pair ? third : 0;
}

/* kind: of the nodes below the root. */
static void try_published(struct harness *harness, struct list *list, enum egress_trie_kind kind)
{
	size_t displaced = 0, nodes = 0, i;
	uint32_t root, entry;

	write_list(harness, list, places[0], false);
	root = control(harness)->bank[0].ipv6_root;
	assert_int_equal(EGRESS_TRIE_KIND(root), EGRESS_TRIE_WIDE);
	for (i = 0; i < TRIE_WIDE_WORDS; i++) {
		entry = harness->words[EGRESS_TRIE_CHILD(root) + i];
		if (EGRESS_TRIE_KIND(entry) != kind)
			continue;
		nodes++;
		displaced += kind == EGRESS_TRIE_RUNS ? keys_in_other_places(harness, entry) :
							keys_in_the_other_bucket(harness, entry);
	}
	assert_true(nodes);
	assert_true(displaced);
	try_list(harness, list);
}

static void published_ipv6_lists_are_judged_as_written(void **state)
{
	struct list list = {.family = FAMILY_IPV6};

	make_published_ipv6(&list, 500, true, 10, 64);
	try_published(*state, &list, EGRESS_TRIE_HASH4);
}

static void ipv6_lists_of_neighbours_are_judged_as_written(void **state)
{
	struct list list = {.family = FAMILY_IPV6};

	make_published_ipv6(&list, 500, false, 50, 50);
	try_published(*state, &list, EGRESS_TRIE_TAGGED4);
}

static void ipv6_lists_of_runs_are_judged_as_written(void **state)
{
	struct list list = {.family = FAMILY_IPV6};

	make_published_ipv6(&list, 900, false, 90, 64);
	try_published(*state, &list, EGRESS_TRIE_RUNS);
}

static void keys_that_are_hidden_twice_are_judged_as_written(void **state)
{
	struct harness *harness = *state;
	struct list list = {.family = FAMILY_IPV6};
	uint32_t root;

	make_hidden_ipv6(&list);
	write_list(harness, &list, places[0], false);
	root = control(harness)->bank[0].ipv6_root;
	assert_int_equal(EGRESS_TRIE_KIND(root), EGRESS_TRIE_TAGGED4);
	assert_int_equal(egress_hash_buckets(root), 16);
	assert_true(keys_in_a_third_bucket(harness->words, root) > 0);
	try_list(harness, &list);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(ipv4_lists_are_judged_as_written, setup, teardown),
		cmocka_unit_test_setup_teardown(scattered_ipv4_addresses_are_judged_as_written, setup, teardown),
		cmocka_unit_test_setup_teardown(ipv6_lists_are_judged_as_written, setup, teardown),
		cmocka_unit_test_setup_teardown(published_ipv6_lists_are_judged_as_written, setup, teardown),
		cmocka_unit_test_setup_teardown(ipv6_lists_of_neighbours_are_judged_as_written, setup, teardown),
		cmocka_unit_test_setup_teardown(ipv6_lists_of_runs_are_judged_as_written, setup, teardown),
		cmocka_unit_test_setup_teardown(keys_that_are_hidden_twice_are_judged_as_written, setup, teardown),
	};

	int failed = cmocka_run_group_tests_name("joined", tests, NULL, NULL);

	harness_unload();
	harness_apart = true;
	return cmocka_run_group_tests_name("apart", tests, NULL, NULL) + failed;
}
