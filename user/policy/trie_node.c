/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/trie_node.h"

#include <string.h>

#include "base/cleanup.h"

#define UNIT_WORDS (1u << EGRESS_TRIE_UNIT_SHIFT)

/* Nodes of ranges, the smallest first: their entries, then their bounds, two a word, up to the end. */
static const struct ranges_kind {
	enum egress_trie_kind kind;
	uint32_t words, bounds;
} ranges_kinds[] = {
	{EGRESS_TRIE_RANGES10, EGRESS_RANGES10_WORDS, 10},
	{EGRESS_TRIE_RANGES20, EGRESS_RANGES20_WORDS, 20},
	{EGRESS_TRIE_RANGES42, EGRESS_RANGES42_WORDS, TRIE_RANGES_MAX - 1},
};

/* A bound that no value but the highest reaches, and that changes nothing for that one. */
#define BOUND_UNUSED 0xffffu

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
	uint16_t bounds[TRIE_RANGES_MAX - 1];
	uint32_t i;

	memset(words, 0, kind->words * sizeof(*words));
	for (i = 0; i <= kind->bounds; i++)
		words[i] = ranges->entry[i < ranges->count ? i : ranges->count - 1];
	for (i = 0; i < kind->bounds; i++)
		bounds[i] = (uint16_t)(i + 1 < ranges->count ? ranges->start[i + 1] : BOUND_UNUSED);
	memcpy(words + kind->words - kind->bounds / 2, bounds, kind->bounds * sizeof(*bounds));
}

int trie_new_ranges(const struct trie *trie, const struct trie_ranges *ranges, uint32_t *entry)
{
	const struct ranges_kind *kind = ranges_kinds;
	uint32_t address;
	int error;

	while (kind->bounds + 1 < ranges->count)
		kind++;
	/* Aligned to their size, so that a node never crosses a block of the map. */
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
	const uint32_t *words = memory->words + EGRESS_TRIE_CHILD(entry);
	const struct ranges_kind *kind = ranges_kinds;
	uint16_t bounds[TRIE_RANGES_MAX - 1];
	uint32_t i;

	while (kind->kind != EGRESS_TRIE_KIND(entry))
		kind++;
	memcpy(bounds, words + kind->words - kind->bounds / 2, kind->bounds * sizeof(*bounds));
	*ranges = (struct trie_ranges){.count = 1, .entry[0] = words[0]};
	for (i = 0; i < kind->bounds; i++)
		trie_ranges_append(ranges, bounds[i], words[i + 1]);
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
