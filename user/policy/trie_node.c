/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/trie_node.h"

#include <string.h>

#include "base/cleanup.h"

/*
 * Nodes of ranges, the one to prefer first: of two as small the one that a packet is quicker through. Their entries, then
 * their bounds, three to a double word, up to the end.
 */
static const struct ranges_kind {
	enum egress_trie_kind kind;
	uint32_t words, bounds;
	uint32_t last_entry; /* the highest number of one that is written; those behind it are the same in turn */
} ranges_kinds[] = {
	{EGRESS_TRIE_TURNS, EGRESS_TURNS_WORDS, 21, 1},
	{EGRESS_TRIE_RANGES9, EGRESS_RANGES9_WORDS, 9, 9},
	{EGRESS_TRIE_RANGES18, EGRESS_RANGES18_WORDS, 18, 18},
	{EGRESS_TRIE_RANGES37, EGRESS_RANGES37_WORDS, TRIE_RANGES_MAX - 1, TRIE_RANGES_MAX - 1},
};

#define LANES 3u

static uint32_t *first_bounds(uint32_t *words, const struct ranges_kind *kind)
{
	return words + kind->words - (kind->bounds + LANES - 1) / LANES * 2;
}

static int new_block(const struct trie *trie, enum egress_trie_kind kind, const uint32_t *entries, size_t count,
		     uint32_t *entry)
{
	uint32_t address;
	int error = memory_take(trie->memory, trie->bank, count, TRIE_UNIT_WORDS, &address);

	if (error < 0)
		return error;
	if (trie->memory->words)
		memcpy(trie->memory->words + address, entries, count * sizeof(*entries));
	*entry = EGRESS_TRIE_POINTER(kind, address);
	return 0;
}

int trie_new_full(const struct trie *trie, const uint32_t entries[TRIE_FAN_OUT], uint32_t *entry)
{
	return new_block(trie, EGRESS_TRIE_FULL, entries, TRIE_FAN_OUT, entry);
}

int trie_new_wide(const struct trie *trie, const uint32_t entries[TRIE_WIDE_WORDS], uint32_t *entry)
{
	return new_block(trie, EGRESS_TRIE_WIDE, entries, TRIE_WIDE_WORDS, entry);
}

int trie_new_bits(const struct trie *trie, const struct egress_trie_bits *bits, uint32_t *entry)
{
	uint32_t address;
	int error = memory_take(trie->memory, trie->bank, TRIE_UNIT_WORDS, TRIE_UNIT_WORDS, &address);

	if (error < 0)
		return error;
	if (trie->memory->words)
		memcpy(trie->memory->words + address, bits, sizeof(*bits));
	*entry = EGRESS_TRIE_POINTER(EGRESS_TRIE_BITS, address);
	return 0;
}

void trie_ranges_append(struct trie_ranges *ranges, uint32_t start, uint32_t entry)
{
	size_t count = ranges->count;

	if (count && ranges->start[count - 1] == start)
		count--;
	if (!count || ranges->entry[count - 1] != entry) {
		ranges->start[count] = start;
		ranges->entry[count] = entry;
		count++;
	}
	ranges->count = count;
}

void trie_write_bounds(uint32_t *words, uint32_t bounds, const struct trie_ranges *ranges)
{
	uint32_t i = 1, lane;

	for (; i <= bounds; words += 2) {
		uint64_t three = 0;

		for (lane = 0; lane < LANES; lane++, i++)
			three |= (uint64_t)(i < ranges->count ? ranges->start[i] : EGRESS_BOUND_UNUSED)
				 << EGRESS_BOUND_LANE_BITS * lane;
		memcpy(words, &three, sizeof(three));
	}
}

static void write_ranges(uint32_t *words, const struct ranges_kind *kind, const struct trie_ranges *ranges)
{
	uint32_t i;

	memset(words, 0, kind->words * sizeof(*words));
	for (i = 0; i < ranges->count && i <= kind->last_entry; i++)
		words[i] = ranges->entry[i];
	trie_write_bounds(first_bounds(words, kind), kind->bounds, ranges);
}

bool trie_ranges_take_turns(const struct trie_ranges *ranges)
{
	size_t i;

	for (i = 2; i < ranges->count; i++)
		if (ranges->entry[i] != ranges->entry[i - 2])
			return false;
	return true;
}

static const struct ranges_kind *preferred_kind(const struct trie_ranges *ranges)
{
	const struct ranges_kind *kind = ranges_kinds;

	while (kind->bounds + 1 < ranges->count || (kind->kind == EGRESS_TRIE_TURNS && !trie_ranges_take_turns(ranges)))
		kind++;
	return kind;
}

int trie_new_ranges(const struct trie *trie, const struct trie_ranges *ranges, uint32_t *entry)
{
	const struct ranges_kind *kind = preferred_kind(ranges);
	uint32_t address;
	int error;

	/* Aligned to their size, so that a node never crosses a chunk of the map. */
	error = memory_take(trie->memory, trie->bank, kind->words, kind->words, &address);
	if (error < 0)
		return error;
	if (trie->memory->words)
		write_ranges(trie->memory->words + address, kind, ranges);
	*entry = EGRESS_TRIE_POINTER(kind->kind, address);
	return 0;
}

bool trie_read_bounds(const uint32_t *words, uint32_t bounds, const uint32_t *entries, uint32_t last_entry,
		      struct trie_ranges *ranges)
{
	uint32_t i, last = 0;
	bool in_order = true;

	*ranges = (struct trie_ranges){.count = 1, .entry[0] = entries[0]};
	for (i = 0; i < bounds; i++) {
		uint64_t three;
		uint32_t bound;

		memcpy(&three, words + i / LANES * 2, sizeof(three));
		bound = three >> EGRESS_BOUND_LANE_BITS * (i % LANES) & ((1u << EGRESS_BOUND_LANE_BITS) - 1);
		/* Of those in use each is above the one before. */
		in_order &= bound == EGRESS_BOUND_UNUSED || (bound < EGRESS_BOUND_UNUSED && (!i || bound > last));
		last = bound;
		if (bound < EGRESS_BOUND_UNUSED)
			trie_ranges_append(ranges, bound, entries[last_entry == 1 ? (i + 1) % 2 : i + 1]);
	}
	return in_order;
}

bool trie_read_ranges(const struct memory *memory, uint32_t entry, struct trie_ranges *ranges)
{
	uint32_t *words = memory->words + EGRESS_TRIE_CHILD(entry);
	const struct ranges_kind *kind = ranges_kinds;

	while (kind->kind != EGRESS_TRIE_KIND(entry))
		kind++;
	return trie_read_bounds(first_bounds(words, kind), kind->bounds, words, kind->last_entry, ranges);
}

static void put_halves(__u64 halves[2], address_number number)
{
	halves[0] = (__u64)(number >> 64);
	halves[1] = (__u64)number;
}

int trie_new_skip(const struct trie *trie, address_number address, unsigned int depth, unsigned int length,
		  uint32_t match, uint32_t other, uint32_t *entry)
{
	const address_number mask = ~highest_number(128 - (length - 8 * depth));
	struct egress_trie_skip skip = {.match = match, .other = other, .taken = (length / 8 - depth) * 8};
	uint32_t place;
	int error = memory_take(trie->memory, trie->bank, TRIE_UNIT_WORDS, TRIE_UNIT_WORDS, &place);

	if (error < 0)
		return error;
	put_halves(skip.mask, mask);
	put_halves(skip.value, address << 8 * depth & mask);
	if (trie->memory->words)
		memcpy(trie->memory->words + place, &skip, sizeof(skip));
	*entry = EGRESS_TRIE_POINTER(EGRESS_TRIE_SKIP, place);
	return 0;
}

unsigned int trie_skip_length(const struct egress_trie_skip *skip, unsigned int depth, address_number *address)
{
	*address = ((address_number)skip->value[0] << 64 | skip->value[1]) >> 8 * depth;
	return 8 * depth + (unsigned int)(__builtin_popcountll(skip->mask[0]) + __builtin_popcountll(skip->mask[1]));
}
