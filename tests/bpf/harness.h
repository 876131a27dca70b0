/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs the programs on frames made here, over tables written here by hand: independent of the compiler and the agent.
 *
 * The pod: endpoint POD behind the loopback device of the test's network namespace (the device that BPF_PROG_TEST_RUN
 * gives a frame), 10.1.0.2, fd00::2, 02:00:00:00:00:02. What its policy says:
 *
 *   192.0.2.0/24, 203.0.113.7, 100.64.7.0/24    TCP 443, UDP 53, SCTP 5000   (the last through ranges)
 *   2001:db8::/40                               the same
 *   198.51.0.0/16, 2001:db8:100::/40            everything
 *   all else                                    nothing
 */
#ifndef EGRESSD_TESTS_BPF_HARNESS_H
#define EGRESSD_TESTS_BPF_HARNESS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/bpf.h>
#include <linux/if_ether.h>

#include <egressd/contract.h>
#include <egressd/tables.h>

#include "datapath/table_maps.h"
#include "egressd.skel.h"
#include "frame.h"

#define POD          7
#define OTHER_POD    8
#define LOOPBACK     1
#define VERDICT_PASS ((uint32_t)-1) /* TC_ACT_UNSPEC */
#define VERDICT_DROP 2u             /* TC_ACT_SHOT */
#define TIMEOUT      1000000u       /* jiffies, every time-out: an hour, so that no slow machine waits for one */

enum { CLASS_NOTHING, CLASS_SERVICES, CLASS_EVERYTHING, CLASS_COUNT };
enum { PORT_NONE, PORT_OTHER, PORT_ALLOWED, PORT_COUNT };

#define RULE_ALLOW (EGRESS_CELL_ALLOW | EGRESS_RULE_FIRST)

struct harness {
	struct egressd *skeleton;
	struct table_maps tables;
	uint32_t *words; /* of them */
	size_t bytes;
	uint32_t next; /* first free word */
	int cpus;
};

static inline struct egress_control *control(struct harness *harness)
{
	return (struct egress_control *)harness->words;
}

/* Zeroed words on a block boundary. */
static inline uint32_t table_allocate(struct harness *harness, uint32_t count)
{
	uint32_t address = harness->next;

	harness->next += (count + EGRESS_BLOCK_WORDS - 1) / EGRESS_BLOCK_WORDS * EGRESS_BLOCK_WORDS;
	assert_true(harness->next * 4ul <= harness->bytes);
	return address;
}

static inline uint32_t table_trie_block(struct harness *harness, uint32_t fill)
{
	uint32_t address = table_allocate(harness, 256), i;

	for (i = 0; i < 256; i++)
		harness->words[address + i] = fill;
	return address;
}

static inline void table_port(struct harness *harness, uint32_t address, uint16_t port)
{
	uint16_t *classes = (uint16_t *)&harness->words[address];
	uint32_t i;

	for (i = 0; i < 65536; i++)
		classes[i] = PORT_OTHER;
	classes[port] = PORT_ALLOWED;
}

static inline uint32_t table_row(struct harness *harness, uint32_t none, uint32_t other, uint32_t listed)
{
	uint32_t address = table_allocate(harness, PORT_COUNT);

	harness->words[address + PORT_NONE] = none;
	harness->words[address + PORT_OTHER] = other;
	harness->words[address + PORT_ALLOWED] = listed;
	return address;
}

/* Ranges of two bytes: from first to last `entry`, else 0. */
static inline uint32_t table_ranges(struct harness *harness, uint16_t first, uint16_t last, uint32_t entry)
{
	const uint64_t unused = EGRESS_BOUND_UNUSED;
	uint32_t address = table_allocate(harness, EGRESS_RANGES9_WORDS), i;
	uint64_t *bounds = (uint64_t *)&harness->words[address + EGRESS_RANGES9_WORDS - 6];

	harness->words[address + 1] = entry;
	for (i = 0; i < 3; i++)
		bounds[i] = unused | unused << 21 | unused << 42;
	bounds[0] = first | (last + 1ull) << 21 | unused << 42;
	return address;
}

static inline void table_ipv4(struct harness *harness, uint32_t root)
{
	uint32_t leaf = EGRESS_TRIE_ENTRY(EGRESS_TRIE_LEAF, CLASS_SERVICES);
	uint32_t middle = table_trie_block(harness, 0), lower = table_trie_block(harness, 0), last;

	harness->words[middle + 2] = leaf;
	harness->words[root + (192 << 8 | 0)] = EGRESS_TRIE_POINTER(EGRESS_TRIE_FULL, middle);
	last = table_trie_block(harness, 0);
	harness->words[last + 7] = leaf;
	harness->words[lower + 113] = EGRESS_TRIE_POINTER(EGRESS_TRIE_FULL, last);
	harness->words[root + (203 << 8 | 0)] = EGRESS_TRIE_POINTER(EGRESS_TRIE_FULL, lower);
	harness->words[root + (198 << 8 | 51)] = EGRESS_TRIE_ENTRY(EGRESS_TRIE_LEAF, CLASS_EVERYTHING);
	harness->words[root + (100 << 8 | 64)] =
		EGRESS_TRIE_POINTER(EGRESS_TRIE_RANGES9, table_ranges(harness, 0x700, 0x7ff, leaf));
}

static inline uint32_t table_ipv6(struct harness *harness)
{
	uint32_t at = table_allocate(harness, 16), block = table_trie_block(harness, 0);
	struct egress_trie_skip *skip = (void *)&harness->words[at];

	skip->mask[0] = 0xffffffff00000000;
	skip->value[0] = 0x20010db800000000;
	skip->match = EGRESS_TRIE_POINTER(EGRESS_TRIE_FULL, block);
	skip->other = EGRESS_TRIE_ENTRY(EGRESS_TRIE_LEAF, CLASS_NOTHING);
	skip->taken = 32;
	harness->words[block] = EGRESS_TRIE_ENTRY(EGRESS_TRIE_LEAF, CLASS_SERVICES);
	harness->words[block + 1] = EGRESS_TRIE_ENTRY(EGRESS_TRIE_LEAF, CLASS_EVERYTHING);
	return EGRESS_TRIE_POINTER(EGRESS_TRIE_SKIP, at);
}

static inline void table_write(struct harness *harness)
{
	struct egress_bank *bank = &control(harness)->bank[0];
	uint32_t vector;

	*control(harness) = (struct egress_control){
		.magic = EGRESS_TABLES_MAGIC,
		.hz = 250,
		.timeout_new = TIMEOUT,
		.timeout_established = TIMEOUT,
		.timeout_closing = TIMEOUT,
		.timeout_udp_new = TIMEOUT,
		.timeout_udp = TIMEOUT,
	};
	bank->sets = table_allocate(harness, EGRESS_ENDPOINT_MAX);
	bank->ipv4_root = table_allocate(harness, 65536);
	table_ipv4(harness, bank->ipv4_root);
	bank->ipv6_root = table_ipv6(harness);
	bank->ports[EGRESS_PORT_TCP] = table_allocate(harness, 32768);
	bank->ports[EGRESS_PORT_UDP] = table_allocate(harness, 32768);
	bank->ports[EGRESS_PORT_SCTP] = table_allocate(harness, 32768);
	table_port(harness, bank->ports[EGRESS_PORT_TCP], 443);
	table_port(harness, bank->ports[EGRESS_PORT_UDP], 53);
	table_port(harness, bank->ports[EGRESS_PORT_SCTP], 5000);
	bank->class_count = CLASS_COUNT;
	bank->port_class_count = PORT_COUNT;
	vector = table_allocate(harness, CLASS_COUNT);
	harness->words[vector + CLASS_NOTHING] = table_row(harness, 0, 0, 0);
	harness->words[vector + CLASS_SERVICES] = table_row(harness, 0, 0, RULE_ALLOW);
	harness->words[vector + CLASS_EVERYTHING] = table_row(harness, RULE_ALLOW, RULE_ALLOW, RULE_ALLOW);
	harness->words[bank->sets + POD] = vector;
	harness->words[bank->sets + OTHER_POD] = vector;
	bank->generation = 42;
}

/* A set under which every destination is the pod's own node. */
static inline uint32_t table_node_set(struct harness *harness)
{
	const uint32_t node = EGRESS_CELL_ALLOW | EGRESS_RULE_NODE;
	uint32_t vector = table_allocate(harness, CLASS_COUNT), row = table_row(harness, node, node, node), i;

	for (i = 0; i < CLASS_COUNT; i++)
		harness->words[vector + i] = row;
	return vector;
}

static inline void endpoint_put(struct harness *harness, const struct egress_endpoint *endpoint)
{
	uint32_t bucket = endpoint->ifindex & (EGRESS_ENDPOINT_BUCKETS - 1);

	assert_int_equal(
		bpf_map_update_elem(bpf_map__fd(harness->skeleton->maps.endpoints), &bucket, endpoint, BPF_ANY), 0);
}

/* The pod as the comment at the top says, with these flags. */
static inline void pod_put(struct harness *harness, uint32_t id, uint32_t flags)
{
	struct egress_endpoint endpoint = {
		.ifindex = LOOPBACK, .id = id, .flags = flags, .ipv4 = ipv4("10.1.0.2"), .mac = {2, 0, 0, 0, 0, 2}};

	ipv6("fd00::2", endpoint.ipv6);
	endpoint_put(harness, &endpoint);
}

static inline void set_word(struct harness *harness, uint32_t id, uint32_t set)
{
	harness->words[control(harness)->bank[0].sets + id] = set;
}

/*
 * The programs are loaded once for all tests of a program: that takes the verifier seconds where the processor is
 * emulated. Nothing that a test left in a map may be seen by the next one, except counters, which only grow.
 */
static struct harness *shared_harness;
/* The tables' chunks are in two maps also where the kernel takes them in one. */
static bool harness_apart;

static inline struct harness *harness_load(void)
{
	struct harness *harness = calloc(1, sizeof(*harness));

	assert_non_null(harness);
	harness->cpus = libbpf_num_possible_cpus();
	harness->skeleton = egressd__open();
	assert_non_null(harness->skeleton);
	assert_int_equal(table_maps_create(&harness->tables, harness->skeleton->obj, 2, !harness_apart), 0);
	assert_int_equal(
		bpf_map__set_max_entries(harness->skeleton->maps.drop_log, harness->cpus * EGRESS_DROP_LOG_RECORDS), 0);
	assert_int_equal(egressd__load(harness->skeleton), 0);
	assert_int_equal(table_maps_map(&harness->tables, false), 0);
	harness->words = harness->tables.memory;
	harness->bytes = harness->tables.word_count * sizeof(*harness->words);
	return harness;
}

/* The next test has one of its own. */
static inline void harness_unload(void)
{
	egressd__destroy(shared_harness->skeleton);
	table_maps_clear(&shared_harness->tables);
	free(shared_harness);
	shared_harness = NULL;
}

static inline void hash_clear(int map, uint32_t key_size)
{
	uint8_t *key = malloc(key_size);

	assert_non_null(key);
	while (!bpf_map_get_next_key(map, NULL, key))
		assert_int_equal(bpf_map_delete_elem(map, key), 0);
	free(key);
}

static inline void array_clear(int map, uint32_t value_size, uint32_t count)
{
	void *zeros = calloc(count, value_size);
	uint32_t *keys = calloc(count, sizeof(*keys)), i;

	assert_non_null(zeros);
	assert_non_null(keys);
	for (i = 0; i < count; i++)
		keys[i] = i;
	i = count;
	assert_int_equal(bpf_map_update_batch(map, keys, zeros, &i, NULL), 0);
	assert_int_equal(i, count);
	free(keys);
	free(zeros);
}

static inline void maps_clear(struct harness *harness)
{
	struct bpf_map *map;

	bpf_object__for_each_map(map, harness->skeleton->obj) {
		enum bpf_map_type type = bpf_map__type(map);

		if (map == harness->skeleton->maps.tables || bpf_map__is_internal(map))
			continue;
		if (type == BPF_MAP_TYPE_HASH)
			hash_clear(bpf_map__fd(map), bpf_map__key_size(map));
		else if (type == BPF_MAP_TYPE_ARRAY)
			array_clear(bpf_map__fd(map), bpf_map__value_size(map), bpf_map__max_entries(map));
	}
	memset(harness->words, 0, harness->bytes);
}

static inline int setup(void **state)
{
	if (!shared_harness)
		shared_harness = harness_load();
	shared_harness->next = EGRESS_BLOCK_WORDS;
	table_write(shared_harness);
	pod_put(shared_harness, POD, 0);
	*state = shared_harness;
	return 0;
}

static inline int teardown(void **state)
{
	maps_clear(*state);
	return 0;
}

/* The program's answer to a frame. */
static inline uint32_t run_context(struct bpf_program *program, const struct frame *frame, struct __sk_buff *context)
{
	LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = frame->bytes, .data_size_in = frame->length, .repeat = 1);

	if (context) {
		options.ctx_in = context;
		options.ctx_size_in = sizeof(*context);
	}
	assert_int_equal(bpf_prog_test_run_opts(bpf_program__fd(program), &options), 0);
	return options.retval;
}

static inline uint32_t from_pod(struct harness *harness, const struct frame *frame)
{
	return run_context(harness->skeleton->progs.egress_from_pod, frame, NULL);
}

/* Towards the pod nothing is ever dropped. */
static inline void to_pod(struct harness *harness, const struct frame *frame)
{
	assert_int_equal(run_context(harness->skeleton->progs.egress_to_pod, frame, NULL), VERDICT_PASS);
}

static inline struct egress_counter counter_sum(struct harness *harness, struct bpf_map *map, uint32_t index)
{
	struct egress_counter *values = calloc(harness->cpus, sizeof(*values)), sum = {};
	int cpu;

	assert_non_null(values);
	assert_int_equal(bpf_map_lookup_elem(bpf_map__fd(map), &index, values), 0);
	for (cpu = 0; cpu < harness->cpus; cpu++) {
		sum.packets += values[cpu].packets;
		sum.bytes += values[cpu].bytes;
	}
	free(values);
	return sum;
}

static inline struct egress_counter allowed_count(struct harness *harness, uint32_t id)
{
	return counter_sum(harness, harness->skeleton->maps.allowed, id);
}

static inline struct egress_counter dropped_count(struct harness *harness, uint32_t id, enum egress_drop_reason reason)
{
	return counter_sum(harness, harness->skeleton->maps.dropped, id * EGRESS_DROP_REASON_SLOTS + reason);
}

/* So that the limit of records a jiffy and what earlier tests logged are out of the way. */
static inline void drop_log_clear(struct harness *harness)
{
	struct egress_drop_log_state *states = calloc(harness->cpus, sizeof(*states));
	static const uint32_t endpoints[] = {EGRESS_ENDPOINT_NONE, POD, OTHER_POD};
	uint32_t zero = 0, i;

	assert_non_null(states);
	assert_int_equal(
		bpf_map_update_elem(bpf_map__fd(harness->skeleton->maps.drop_log_state), &zero, states, BPF_ANY), 0);
	/* An endpoint's share is smaller than that, so zeroes enough are at hand. */
	for (i = 0; i < sizeof(endpoints) / sizeof(endpoints[0]); i++)
		assert_int_equal(bpf_map_update_elem(bpf_map__fd(harness->skeleton->maps.drop_log_shares), &endpoints[i],
						     states, BPF_ANY), 0);
	free(states);
}

/* The one record since drop_log_clear(). */
static inline struct egress_drop_record drop_log_only(struct harness *harness)
{
	struct egress_drop_log_state *states = calloc(harness->cpus, sizeof(*states));
	struct egress_drop_record record = {};
	uint32_t zero = 0, found = 0;
	int cpu;

	assert_non_null(states);
	assert_int_equal(bpf_map_lookup_elem(bpf_map__fd(harness->skeleton->maps.drop_log_state), &zero, states), 0);
	for (cpu = 0; cpu < harness->cpus; cpu++) {
		uint32_t index = cpu * EGRESS_DROP_LOG_RECORDS;

		if (!states[cpu].sequence)
			continue;
		assert_int_equal(states[cpu].sequence, 1);
		assert_int_equal(bpf_map_lookup_elem(bpf_map__fd(harness->skeleton->maps.drop_log), &index, &record),
				 0);
		found++;
	}
	free(states);
	assert_int_equal(found, 1);
	return record;
}

/* The frame is dropped, counted once under this reason and endpoint and nowhere else, and recorded. */
static inline struct egress_drop_record expect_drop_of(struct harness *harness, uint32_t id, const struct frame *frame,
						       enum egress_drop_reason reason)
{
	struct egress_counter before = dropped_count(harness, id, reason), after, passed = allowed_count(harness, id);
	struct egress_drop_record record;

	drop_log_clear(harness);
	assert_int_equal(from_pod(harness, frame), VERDICT_DROP);
	record = drop_log_only(harness);
	assert_int_equal(record.reason, reason);
	after = dropped_count(harness, id, reason);
	assert_int_equal(after.packets, before.packets + 1);
	assert_int_equal(after.bytes, before.bytes + frame->length);
	assert_int_equal(allowed_count(harness, id).packets, passed.packets);
	assert_int_equal(record.sequence, 1);
	assert_int_equal(record.endpoint, id);
	assert_int_equal(record.ifindex, LOOPBACK);
	assert_int_equal(record.length, frame->length);
	assert_true(record.time > 0);
	return record;
}

static inline void expect_drop(struct harness *harness, const struct frame *frame, enum egress_drop_reason reason)
{
	expect_drop_of(harness, POD, frame, reason);
}

/* The frame passes and is counted once. */
static inline void expect_pass(struct harness *harness, const struct frame *frame)
{
	struct egress_counter before = allowed_count(harness, POD), after;

	assert_int_equal(from_pod(harness, frame), VERDICT_PASS);
	after = allowed_count(harness, POD);
	assert_int_equal(after.packets, before.packets + 1);
	assert_int_equal(after.bytes, before.bytes + frame->length);
}

static inline size_t map_size(struct bpf_map *map)
{
	uint8_t key[64];
	void *last = NULL;
	size_t count = 0;

	while (!bpf_map_get_next_key(bpf_map__fd(map), last, key)) {
		last = key;
		count++;
	}
	return count;
}

#endif
