/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/trie_node.h"

#include <string.h>

#include "base/cleanup.h"

#define UNIT_WORDS (1u << EGRESS_TRIE_UNIT_SHIFT)

/* Nodes of ranges, the smallest first: their entries, then their bounds, three to a double word, up to the end. */
static const struct ranges_kind {
	enum egress_trie_kind kind;
	uint32_t words, bounds;
} ranges_kinds[] = {
	{EGRESS_TRIE_RANGES9, EGRESS_RANGES9_WORDS, 9},
	{EGRESS_TRIE_RANGES18, EGRESS_RANGES18_WORDS, 18},
	{EGRESS_TRIE_RANGES37, EGRESS_RANGES37_WORDS, TRIE_RANGES_MAX - 1},
};

#define LANES 3u

static uint32_t *first_bounds(uint32_t *words, const struct ranges_kind *kind)
{
	return words + kind->words - (kind->bounds + LANES - 1) / LANES * 2;
}

int trie_new_full(const struct trie *trie, const uint32_t entries[TRIE_FAN_OUT], uint32_t *entry)
{
	uint32_t address;
	int error = memory_take(trie->memory, trie->bank, TRIE_FAN_OUT, UNIT_WORDS, &address);

	if (error < 0)
		return error;
	if (trie->memory->words)
		memcpy(trie->memory->words + address, entries, TRIE_FAN_OUT * sizeof(*entries));
	*entry = EGRESS_TRIE_POINTER(EGRESS_TRIE_FULL, address);
	return 0;
}

int trie_new_bits(const struct trie *trie, const struct egress_trie_bits *bits, uint32_t *entry)
{
	uint32_t address;
	int error = memory_take(trie->memory, trie->bank, UNIT_WORDS, UNIT_WORDS, &address);

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

static void write_ranges(uint32_t *words, const struct ranges_kind *kind, const struct trie_ranges *ranges)
{
	uint32_t *end = words + kind->words, *bounds = first_bounds(words, kind), i = 1, lane;

	memset(words, 0, kind->words * sizeof(*words));
	memcpy(words, ranges->entry, ranges->count * sizeof(*words));
	for (; bounds < end; bounds += 2) {
		uint64_t three = 0;

		for (lane = 0; lane < LANES; lane++, i++)
			three |= (uint64_t)(i < ranges->count ? ranges->start[i] : EGRESS_BOUND_UNUSED)
				 << EGRESS_BOUND_LANE_BITS * lane;
		memcpy(bounds, &three, sizeof(three));
	}
}

int trie_new_ranges(const struct trie *trie, const struct trie_ranges *ranges, uint32_t *entry)
{
	const struct ranges_kind *kind = ranges_kinds;
	uint32_t address;
	int error;

	while (kind->bounds + 1 < ranges->count)
		kind++;
	/* Aligned to their size, so that a node never crosses a chunk of the map. */
	error = memory_take(trie->memory, trie->bank, kind->words, kind->words, &address);
	if (error < 0)
		return error;
	if (trie->memory->words)
		write_ranges(trie->memory->words + address, kind, ranges);
	*entry = EGRESS_TRIE_POINTER(kind->kind, address);
	return 0;
}

void trie_read_ranges(const struct memory *memory, uint32_t entry, struct trie_ranges *ranges)
{
	uint32_t *words = memory->words + EGRESS_TRIE_CHILD(entry), i;
	const struct ranges_kind *kind = ranges_kinds;

	while (kind->kind != EGRESS_TRIE_KIND(entry))
		kind++;
	*ranges = (struct trie_ranges){.count = 1, .entry[0] = words[0]};
	for (i = 0; i < kind->bounds; i++) {
		uint64_t three;
		uint32_t bound;

		memcpy(&three, first_bounds(words, kind) + i / LANES * 2, sizeof(three));
		bound = three >> EGRESS_BOUND_LANE_BITS * (i % LANES) & ((1u << EGRESS_BOUND_LANE_BITS) - 1);
		if (bound < EGRESS_BOUND_UNUSED)
			trie_ranges_append(ranges, bound, words[i + 1]);
	}
}

int trie_new_skip(const struct trie *trie, address_number address, unsigned int from, unsigned int to, uint32_t match,
		  uint32_t other, uint32_t *entry)
{
	struct egress_trie_skip skip = {.match = match, .other = other, .depth = to};
	uint8_t mask[16] = {0}, value[16] = {0};
	uint32_t place;
	unsigned int i;
	int error = memory_take(trie->memory, trie->bank, UNIT_WORDS, UNIT_WORDS, &place);

	if (error < 0)
		return error;
	for (i = from; i < to; i++) {
		mask[i] = 0xff;
		value[i] = ipv6_byte(address, i);
	}
	memcpy(skip.mask, mask, sizeof(skip.mask));
	memcpy(skip.value, value, sizeof(skip.value));
	if (trie->memory->words)
		memcpy(trie->memory->words + place, &skip, sizeof(skip));
	*entry = EGRESS_TRIE_POINTER(EGRESS_TRIE_SKIP, place);
	return 0;
}
