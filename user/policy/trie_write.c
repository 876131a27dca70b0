/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <string.h>

#include "base/cleanup.h"
#include "policy/trie_choice.h"
#include "policy/trie_rows.h"

/* Larger nodes of ranges take longer to read than full blocks that are in the cache: not while tables are small. */
#define RANGES_UNPACKED 18

/* A hash node at the root of so many keys is not in the fastest cache any more. */
#define WIDE_ABOVE_KEYS 256

/* The ranges of `part` that meet base .. base + 2^bits - 1, where the first of them is at or behind part->first. */
static struct trie_part narrow(const struct trie_part *part, address_number base, unsigned int bits)
{
	const struct ranges *ranges = part->ranges;
	address_number end = base + highest_number(bits);
	struct trie_part inner = *part;

	while (inner.first < part->last && ranges_start(ranges, inner.first + 1) <= base)
		inner.first++;
	inner.last = inner.first;
	while (inner.last < part->last && ranges_start(ranges, inner.last + 1) <= end)
		inner.last++;
	return inner;
}

static int write_entry(const struct trie *trie, const struct trie_part *part, address_number base, unsigned int bits,
		       bool ipv6, uint32_t *entry);

/* Where the entries of a node go: all of them one after the other, or as ranges. */
struct children {
	uint32_t *entries;
	struct trie_ranges *ranges;
	unsigned int shift; /* from a child's number to that in the ranges */
};

static void children_put(const struct children *out, size_t index, size_t count, uint32_t entry)
{
	if (out->ranges)
		trie_ranges_append(out->ranges, (uint32_t)index << out->shift, entry);
	for (; out->entries && count; count--)
		out->entries[index++] = entry;
}

/*
 * The entries of `count` children of 2^width addresses each, from `base` on. Whole runs of them are of one range
 * mostly, so the ranges lead and not the children.
 */
static int write_children(const struct trie *trie, const struct trie_part *part, address_number base,
			  unsigned int width, size_t count, bool ipv6, const struct children *out)
{
	const struct ranges *ranges = part->ranges;
	size_t range = part->first, i = 0;

	while (i < count) {
		address_number child = base + ((address_number)i << width), whole = count - i;
		struct trie_part inner = *part;
		uint32_t entry;
		int error;

		while (range < part->last && ranges_start(ranges, range + 1) <= child)
			range++;
		if (range < part->last && (ranges_start(ranges, range + 1) - child) >> width < whole)
			whole = (ranges_start(ranges, range + 1) - child) >> width;
		if (whole)
			children_put(out, i, (size_t)whole, trie_leaf(ranges->value[range]));
		i += (size_t)whole;
		if (i == count)
			break;
		inner.first = range;
		inner = narrow(&inner, base + ((address_number)i << width), width);
		error = write_entry(trie, &inner, base + ((address_number)i << width), width, ipv6, &entry);
		if (error < 0)
			return error;
		children_put(out, i, 1, entry);
		i++;
		range = inner.last;
	}
	return 0;
}

static int write_full(const struct trie *trie, const struct trie_part *part, address_number base, unsigned int bits,
		      bool ipv6, uint32_t *entry)
{
	uint32_t entries[TRIE_FAN_OUT];
	const struct children children = {.entries = entries};
	int error = write_children(trie, part, base, bits - 8, TRIE_FAN_OUT, ipv6, &children);

	return error < 0 ? error : trie_new_full(trie, entries, entry);
}

/* The root of many networks. */
static int write_wide(const struct trie *trie, const struct trie_part *part, address_number base, uint32_t *entry)
{
	_cleanup_free_ uint32_t *entries = calloc(TRIE_WIDE_WORDS, sizeof(*entries));
	const struct children children = {.entries = entries};
	int error;

	if (!entries)
		return -ENOMEM;
	error = write_children(trie, part, base, 128 - 16, TRIE_WIDE_WORDS, true, &children);
	return error < 0 ? error : trie_new_wide(trie, entries, entry);
}

static int write_ranges(const struct trie *trie, const struct trie_part *part, address_number base, unsigned int bits,
			bool ipv6, uint32_t *entry)
{
	struct trie_ranges ranges = {.count = 0};
	unsigned int taken = trie_ranges_bits(bits);
	const struct children children = {.ranges = &ranges, .shift = 16 - taken};
	int error = write_children(trie, part, base, bits - taken, (size_t)1 << taken, ipv6, &children);

	return error < 0 ? error : trie_new_ranges(trie, &ranges, entry);
}

static int write_skip(const struct trie *trie, const struct trie_part *part, address_number base, unsigned int from,
		      unsigned int to, uint32_t *entry)
{
	const struct trie_part inner = narrow(part, base, 128 - 8 * to);
	uint32_t match;
	int error = write_entry(trie, &inner, base, 128 - 8 * to, true, &match);

	if (error < 0)
		return error;
	return trie_new_skip(trie, base, from, 8 * to, match, trie_leaf(part->ranges->value[part->first]), entry);
}

/* ------------------------------------------------------------------ hash nodes */

/* The first four bytes of an offset among 2^bits, zeros behind its end. */
static uint32_t first_word(address_number offset, unsigned int bits)
{
	return (uint32_t)(bits > 32 ? offset >> (bits - 32) : offset << (32 - bits));
}

/* What a slot says of range i, a network and all that is not usual below its key. */
static void put_network(const struct trie_part *part, address_number base, unsigned int bits, size_t i,
			struct trie_key *key)
{
	address_number first, last;

	trie_part_offsets(part, base, bits, i, &first, &last);
	key->entry = trie_leaf(part->ranges->value[i]);
	key->value = first_word(first, bits);
	key->mask = ~first_word(first ^ last, bits);
	if (bits < 32)
		key->mask &= ~(uint32_t)highest_number(32 - bits);
}

/* One child of 2^width addresses from `base` on, of which not all are usual; part: the ranges that meet it. */
typedef int (*child_visitor)(const struct trie_part *part, address_number base, unsigned int width, uint32_t number,
			     void *data);

/* In ascending order, as long as `visit` gives 0. */
static int each_child(const struct trie_part *part, address_number base, unsigned int bits, unsigned int bytes,
		      uint32_t usual, child_visitor visit, void *data)
{
	unsigned int width = bits - 8 * bytes;
	address_number next = 0, number, first, last;
	struct trie_part inner = *part;
	size_t i;

	for (i = part->first; i <= part->last; i++) {
		if (part->ranges->value[i] == usual)
			continue;
		trie_part_offsets(part, base, bits, i, &first, &last);
		number = first >> width < next ? next : first >> width;
		/* What is before the child's first range is behind us. */
		inner.first = i > part->first ? i - 1 : i;
		for (; number <= last >> width; number++) {
			address_number child = base + (number << width);
			struct trie_part below = narrow(&inner, child, width);
			int error = visit(&below, child, width, (uint32_t)number, data);

			if (error)
				return error;
		}
		next = number;
	}
	return 0;
}

struct hash_keys {
	const struct trie *trie;
	uint32_t usual;
	struct trie_keys keys;
};

static int add_key(const struct trie_part *part, address_number base, unsigned int width, uint32_t number, void *data)
{
	struct hash_keys *out = data;
	struct trie_key key = {.key = number};
	unsigned int length;
	size_t network;
	int error;

	if (trie_find_network(part, base, width, out->usual, &network, &length) && length <= TRIE_SLOT_BITS) {
		put_network(part, base, width, network, &key);
		return trie_keys_add(&out->keys, &key);
	}
	error = write_entry(out->trie, part, base, width, true, &key.entry);
	return error < 0 ? error : trie_keys_add(&out->keys, &key);
}

static int write_hash(const struct trie *trie, const struct trie_part *part, address_number base, unsigned int bits,
		      unsigned int bytes, uint32_t usual, uint32_t *entry)
{
	struct hash_keys out = {.trie = trie, .usual = usual};
	int error = each_child(part, base, bits, bytes, usual, add_key, &out);

	if (!error)
		error = trie_new_hash(trie, &out.keys, bytes, trie_leaf(usual), entry);
	trie_keys_clear(&out.keys);
	return error;
}

/* ------------------------------------------------------------------ nodes of runs */

static int count_run(const struct trie_part *part, address_number base, unsigned int width, uint32_t number, void *data)
{
	struct trie_runs_plan *plan = data;
	struct trie_ranges ranges;

	(void)number;
	plan->keys++;
	/* One network alone needs no node elsewhere either: a slot of a hash node holds it. */
	plan->runs += part->last - part->first > 2 && trie_find_run(part, base, width, &ranges);
	return 0;
}

struct run_keys {
	const struct trie *trie;
	struct trie_runs runs;
};

static int add_run(const struct trie_part *part, address_number base, unsigned int width, uint32_t number, void *data)
{
	struct run_keys *out = data;
	struct trie_ranges ranges;

	if (!trie_find_run(part, base, width, &ranges)) {
		int error = write_entry(out->trie, part, base, width, true, &ranges.entry[0]);

		if (error < 0)
			return error;
		ranges.count = 1;
	}
	return trie_runs_add(&out->runs, number, &ranges);
}

/* -E2BIG: a hash node is better. */
static int write_runs(const struct trie *trie, const struct trie_part *part, address_number base, unsigned int bits,
		      uint32_t usual, uint32_t *entry)
{
	struct run_keys out = {.trie = trie};
	struct trie_runs_plan plan = {0};
	int error = each_child(part, base, bits, TRIE_RUN_BYTES, usual, count_run, &plan);

	if (!error && !trie_wants_runs(&plan, part->last - part->first, trie->packed))
		return -E2BIG;
	if (!error)
		error = each_child(part, base, bits, TRIE_RUN_BYTES, usual, add_run, &out);
	if (!error)
		error = trie_new_runs(trie, &out.runs, trie_leaf(usual), entry);
	trie_runs_clear(&out.runs);
	return error;
}

/*
 * Whether the root is better a wide block than such a hash node. The little of a wide block that is in use is always in the
 * cache, and the hash nodes behind it, few and large, take four bytes at once.
 */
static bool wants_wide_root(unsigned int bits, const struct trie_hash_plan *plan)
{
	return bits == 128 && (plan->bytes == 2 || plan->keys > WIDE_ABOVE_KEYS);
}

static bool wants_ranges(const struct trie *trie, const struct trie_part *part, address_number base, unsigned int bits)
{
	return trie_changes_rarely(part, base, bits - trie_ranges_bits(bits),
				   trie->packed ? TRIE_RANGES_MAX - 1 : RANGES_UNPACKED);
}

/* A hash node for addresses that stand alone; -E2BIG: they do not, or are too many. */
static int write_scattered_ipv4(const struct trie *trie, const struct trie_part *part, address_number base,
				size_t otherwise, uint32_t *entry)
{
	uint32_t usual = trie_usual_class(part, base, 16);

	return trie_find_scattered(part, base, usual, otherwise) ? write_hash(trie, part, base, 16, 2, usual, entry) :
								  -E2BIG;
}

/* The last two bytes, which change more often than a node of ranges has room for. */
static int write_many_ipv4(const struct trie *trie, const struct trie_part *part, address_number base, uint32_t *entry)
{
	struct trie_rows rows;
	bool found = trie_find_rows(part, base, &rows);

	if (trie->packed) {
		int error = write_scattered_ipv4(trie, part, base,
						 found ? trie_rows_words(&rows) : trie_block_words(part, base), entry);

		if (error != -E2BIG)
			return error;
	}
	return found ? trie_new_rows(trie, &rows, entry) : write_full(trie, part, base, 16, false, entry);
}

static int write_ipv4_entry(const struct trie *trie, const struct trie_part *part, address_number base,
			    unsigned int bits, uint32_t *entry)
{
	struct egress_trie_bits node;

	/* Only the last byte has such a node: the walk has no room for more. */
	if (bits == 8 && trie_find_bits(part, base, bits - 8, &node))
		return trie_new_bits(trie, &node, entry);
	if (wants_ranges(trie, part, base, bits))
		return write_ranges(trie, part, base, bits, false, entry);
	return bits == 16 ? write_many_ipv4(trie, part, base, entry) :
			    write_full(trie, part, base, bits, false, entry);
}

/* Many networks, or scattered ones: a hash node if that can be. */
static int write_scattered(const struct trie *trie, const struct trie_part *part, address_number base,
			   unsigned int bits, uint32_t usual, uint32_t *entry)
{
	struct trie_hash_plan plan;
	bool found = trie_find_hash(part, base, bits, usual, trie->packed, &plan);
	bool at_once = found && !trie->packed && !plan.branches;
	int error;

	/* All in one step is better than ranges where memory is no matter. */
	if (!at_once && wants_ranges(trie, part, base, bits))
		return write_ranges(trie, part, base, bits, true, entry);
	if (at_once || (found && !wants_wide_root(bits, &plan))) {
		error = plan.bytes == TRIE_RUN_BYTES && bits >= 8 * TRIE_RUN_BYTES + 16 ?
				write_runs(trie, part, base, bits, usual, entry) : -E2BIG;
		if (error == -E2BIG)
			error = write_hash(trie, part, base, bits, plan.bytes, usual, entry);
		if (error != -E2BIG)
			return error;
	}
	return bits == 128 ? write_wide(trie, part, base, entry) : write_full(trie, part, base, bits, true, entry);
}

static int write_ipv6_entry(const struct trie *trie, const struct trie_part *part, address_number base,
			    unsigned int bits, uint32_t *entry)
{
	uint32_t usual = trie_usual_class(part, base, bits);
	struct egress_trie_bits node;
	address_number inner;
	unsigned int length;
	size_t network;

	if (trie_find_network(part, base, bits, usual, &network, &length))
		return trie_new_skip(trie, network > part->first ? ranges_start(part->ranges, network) : base, 16 - bits / 8,
				     128 - bits + length, trie_leaf(part->ranges->value[network]), trie_leaf(usual),
				     entry);
	if (trie_find_skip(part, bits, &inner, &length))
		return write_skip(trie, part, inner, 16 - bits / 8, length, entry);
	if (trie_find_bits(part, base, bits - 8, &node))
		return trie_new_bits(trie, &node, entry);
	return write_scattered(trie, part, base, bits, usual, entry);
}

static int write_entry(const struct trie *trie, const struct trie_part *part, address_number base, unsigned int bits,
		       bool ipv6, uint32_t *entry)
{
	if (part->first == part->last) {
		*entry = trie_leaf(part->ranges->value[part->first]);
		return 0;
	}
	return ipv6 ? write_ipv6_entry(trie, part, base, bits, entry) : write_ipv4_entry(trie, part, base, bits, entry);
}

int trie_write_ipv4(const struct trie *trie, const struct ranges *classes, uint32_t root)
{
	const struct trie_part all = {.ranges = classes, .first = 0, .last = classes->count - 1};
	_cleanup_free_ uint32_t *entries = calloc(TRIE_IPV4_ROOT_WORDS, sizeof(*entries));
	const struct children children = {.entries = entries};
	int error;

	if (!entries)
		return -ENOMEM;
	error = write_children(trie, &all, 0, 16, TRIE_IPV4_ROOT_WORDS, false, &children);
	if (error < 0)
		return error;
	if (trie->memory->words)
		memcpy(trie->memory->words + root, entries, TRIE_IPV4_ROOT_WORDS * sizeof(*entries));
	return 0;
}

int trie_write_ipv6(const struct trie *trie, const struct ranges *classes, uint32_t *root)
{
	const struct trie_part all = {.ranges = classes, .first = 0, .last = classes->count - 1};

	return write_entry(trie, &all, 0, 128, true, root);
}
