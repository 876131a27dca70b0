/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <string.h>

#include "base/cleanup.h"
#include "policy/trie_node.h"

/* Larger nodes of ranges take longer to read than full blocks that are in the cache: not while tables are small. */
#define RANGES_UNPACKED 18

/* The ranges first .. last (indices) that meet the part of the addresses in hand. */
struct part {
	const struct ranges *ranges;
	size_t first, last;
};

/* The ranges of `part` that meet base .. base + 2^bits - 1, where the first of them is at or behind part->first. */
static struct part narrow(const struct part *part, address_number base, unsigned int bits)
{
	const address_number *start = part->ranges->start;
	address_number end = base + highest_number(bits);
	struct part inner = *part;

	while (inner.first < part->last && start[inner.first + 1] <= base)
		inner.first++;
	inner.last = inner.first;
	while (inner.last < part->last && start[inner.last + 1] <= end)
		inner.last++;
	return inner;
}

static uint32_t leaf(uint32_t class)
{
	return EGRESS_TRIE_ENTRY(EGRESS_TRIE_LEAF, class);
}

static int write_entry(const struct trie *trie, const struct part *part, address_number base, unsigned int bits,
		       bool skips, uint32_t *entry);

/* Where the entries of a node go: all of them one after the other, or as ranges. */
struct children {
	uint32_t *entries;
	struct trie_ranges *ranges;
};

static void children_put(const struct children *out, size_t index, size_t count, uint32_t entry)
{
	if (out->ranges)
		trie_ranges_append(out->ranges, (uint32_t)index, entry);
	for (; out->entries && count; count--)
		out->entries[index++] = entry;
}

/*
 * The entries of `count` children of 2^width addresses each, from `base` on. Whole runs of them are of one range
 * mostly, so the ranges lead and not the children.
 */
static int write_children(const struct trie *trie, const struct part *part, address_number base, unsigned int width,
			  size_t count, bool skips, const struct children *out)
{
	const address_number *start = part->ranges->start;
	size_t range = part->first, i = 0;

	while (i < count) {
		address_number child = base + ((address_number)i << width), whole = count - i;
		struct part inner = *part;
		uint32_t entry;
		int error;

		while (range < part->last && start[range + 1] <= child)
			range++;
		if (range < part->last && (start[range + 1] - child) >> width < whole)
			whole = (start[range + 1] - child) >> width;
		if (whole)
			children_put(out, i, (size_t)whole, leaf(part->ranges->value[range]));
		i += (size_t)whole;
		if (i == count)
			break;
		inner.first = range;
		inner = narrow(&inner, base + ((address_number)i << width), width);
		error = write_entry(trie, &inner, base + ((address_number)i << width), width, skips, &entry);
		if (error < 0)
			return error;
		children_put(out, i, 1, entry);
		i++;
		range = inner.last;
	}
	return 0;
}

static int write_full(const struct trie *trie, const struct part *part, address_number base, unsigned int bits,
		      bool skips, uint32_t *entry)
{
	uint32_t entries[TRIE_FAN_OUT];
	const struct children children = {.entries = entries};
	int error = write_children(trie, part, base, bits - 8, TRIE_FAN_OUT, skips, &children);

	return error < 0 ? error : trie_new_full(trie, entries, entry);
}

/* Bits that a node of ranges takes. */
static unsigned int ranges_bits(unsigned int bits)
{
	return bits < 16 ? bits : 16;
}

/* Whether the entries of children of 2^width addresses change at no more than `limit` places. */
static bool changes_rarely(const struct part *part, address_number base, unsigned int width, size_t limit)
{
	address_number last = 0;
	size_t count = 0, i;

	for (i = part->first + 1; i <= part->last; i++) {
		address_number offset = part->ranges->start[i] - base, child = offset >> width, end = child;

		/* A child that is of several ranges begins and ends. */
		if (offset & highest_number(width))
			end++;
		for (; child <= end; child++) {
			count += child > last;
			last = child > last ? child : last;
		}
		if (count > limit)
			return false;
	}
	return true;
}

static int write_ranges(const struct trie *trie, const struct part *part, address_number base, unsigned int bits,
			bool skips, uint32_t *entry)
{
	struct trie_ranges ranges = {.count = 0};
	const struct children children = {.ranges = &ranges};
	unsigned int taken = ranges_bits(bits);
	int error = write_children(trie, part, base, bits - taken, (size_t)1 << taken, skips, &children);

	return error < 0 ? error : trie_new_ranges(trie, &ranges, entry);
}

/* Leading bytes in which two addresses agree. */
static unsigned int common_bytes(address_number a, address_number b)
{
	unsigned int count = 0;

	while (count < 16 && ipv6_byte(a, count) == ipv6_byte(b, count))
		count++;
	return count;
}

/*
 * Where all that is not of the class around it lies below one longer prefix, a skip node leads there. False: there is
 * no such prefix.
 */
static bool find_skip(const struct part *part, unsigned int bits, address_number *base, unsigned int *to)
{
	const struct ranges *ranges = part->ranges;
	address_number first, last;

	if (ranges->value[part->first] != ranges->value[part->last])
		return false;
	first = ranges->start[part->first + 1];
	last = ranges->start[part->last] - 1;
	*to = common_bytes(first, last);
	*base = first & ~highest_number(128 - 8 * *to);
	/* A node of ranges takes two bytes as well. */
	return *to > 16 - bits / 8 + 2;
}

static int write_skip(const struct trie *trie, const struct part *part, address_number base, unsigned int from,
		      unsigned int to, uint32_t *entry)
{
	const struct part inner = narrow(part, base, 128 - 8 * to);
	uint32_t match;
	int error = write_entry(trie, &inner, base, 128 - 8 * to, true, &match);

	if (error < 0)
		return error;
	return trie_new_skip(trie, base, from, to, match, leaf(part->ranges->value[part->first]), entry);
}

static int write_entry(const struct trie *trie, const struct part *part, address_number base, unsigned int bits,
		       bool skips, uint32_t *entry)
{
	address_number inner;
	unsigned int to;

	if (part->first == part->last) {
		*entry = leaf(part->ranges->value[part->first]);
		return 0;
	}
	if (skips && find_skip(part, bits, &inner, &to))
		return write_skip(trie, part, inner, 16 - bits / 8, to, entry);
	if (changes_rarely(part, base, bits - ranges_bits(bits), trie->packed ? TRIE_RANGES_MAX - 1 : RANGES_UNPACKED))
		return write_ranges(trie, part, base, bits, skips, entry);
	return write_full(trie, part, base, bits, skips, entry);
}

int trie_write_ipv4(const struct trie *trie, const struct ranges *classes, uint32_t root)
{
	const struct part all = {.ranges = classes, .first = 0, .last = classes->count - 1};
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
	const struct part all = {.ranges = classes, .first = 0, .last = classes->count - 1};

	return write_entry(trie, &all, 0, 128, true, root);
}
