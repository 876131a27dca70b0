/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <string.h>

#include "base/cleanup.h"
#include "policy/trie_node.h"

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

/*
 * The entries of `count` children of 2^width addresses each, from `base` on. Whole runs of them are of one range
 * mostly, so the ranges lead and not the children.
 */
static int write_children(const struct trie *trie, const struct part *part, address_number base, unsigned int width,
			  size_t count, bool skips, uint32_t *entries)
{
	const address_number *start = part->ranges->start;
	size_t range = part->first, i = 0;

	while (i < count) {
		address_number child = base + ((address_number)i << width), whole = count - i;
		struct part inner = *part;
		int error;

		while (range < part->last && start[range + 1] <= child)
			range++;
		if (range < part->last && (start[range + 1] - child) >> width < whole)
			whole = (start[range + 1] - child) >> width;
		for (; whole; whole--)
			entries[i++] = leaf(part->ranges->value[range]);
		if (i == count)
			break;
		inner.first = range;
		inner = narrow(&inner, base + ((address_number)i << width), width);
		error = write_entry(trie, &inner, base + ((address_number)i << width), width, skips, &entries[i]);
		if (error < 0)
			return error;
		i++;
		range = inner.last;
	}
	return 0;
}

static int write_block(const struct trie *trie, const struct part *part, address_number base, unsigned int bits,
		       bool skips, uint32_t *entry)
{
	uint32_t entries[TRIE_FAN_OUT];
	int error = write_children(trie, part, base, bits - 8, TRIE_FAN_OUT, skips, entries);

	return error < 0 ? error : trie_new_block(trie, entries, entry);
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
	return *to > 16 - bits / 8;
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
	return write_block(trie, part, base, bits, skips, entry);
}

int trie_write_ipv4(const struct trie *trie, const struct ranges *classes, uint32_t *root)
{
	const struct part all = {.ranges = classes, .first = 0, .last = classes->count - 1};
	_cleanup_free_ uint32_t *entries = calloc(TRIE_IPV4_ROOT_WORDS, sizeof(*entries));
	uint32_t address;
	int error;

	if (!entries)
		return -ENOMEM;
	error = memory_take(trie->memory, trie->bank, TRIE_IPV4_ROOT_WORDS, EGRESS_BLOCK_WORDS, &address);
	if (!error)
		error = write_children(trie, &all, 0, 16, TRIE_IPV4_ROOT_WORDS, false, entries);
	if (error < 0)
		return error;
	if (trie->memory->words)
		memcpy(trie->memory->words + address, entries, TRIE_IPV4_ROOT_WORDS * sizeof(*entries));
	*root = address;
	return 0;
}

int trie_write_ipv6(const struct trie *trie, const struct ranges *classes, uint32_t *root)
{
	const struct part all = {.ranges = classes, .first = 0, .last = classes->count - 1};

	return write_entry(trie, &all, 0, 128, true, root);
}
