/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/trie_node.h"

#include <string.h>

#include "base/cleanup.h"

#define UNIT_WORDS   (1u << EGRESS_TRIE_UNIT_SHIFT)
#define BITMAP_WORDS 8u

static const struct {
	enum egress_trie_kind kind;
	size_t entries;
} packed_kinds[] = {
	{EGRESS_TRIE_PACKED8, 8},
	{EGRESS_TRIE_PACKED24, 24},
};

static size_t count_changes(const uint32_t entries[TRIE_FAN_OUT])
{
	size_t count = 1, i;

	for (i = 1; i < TRIE_FAN_OUT; i++)
		count += entries[i] != entries[i - 1];
	return count;
}

static void write_packed(uint32_t *words, const uint32_t entries[TRIE_FAN_OUT], size_t room)
{
	size_t count = 0, i;

	memset(words, 0, (BITMAP_WORDS + room) * sizeof(*words));
	for (i = 0; i < TRIE_FAN_OUT; i++) {
		if (i && entries[i] == entries[i - 1])
			continue;
		words[i / 32] |= 1u << (i % 32);
		words[BITMAP_WORDS + count++] = entries[i];
	}
}

int trie_new_block(const struct trie *trie, const uint32_t entries[TRIE_FAN_OUT], uint32_t *entry)
{
	size_t changes = trie->packed ? count_changes(entries) : TRIE_FAN_OUT, i;
	uint32_t address;
	int error;

	for (i = 0; i < ARRAY_SIZE(packed_kinds); i++) {
		/* Aligned to their size, so that a packed block never crosses a block of the map. */
		uint32_t size = (uint32_t)(BITMAP_WORDS + packed_kinds[i].entries);

		if (changes > packed_kinds[i].entries)
			continue;
		error = memory_take(trie->memory, trie->bank, size, size, &address);
		if (error < 0)
			return error;
		if (trie->memory->words)
			write_packed(trie->memory->words + address, entries, packed_kinds[i].entries);
		*entry = EGRESS_TRIE_POINTER(packed_kinds[i].kind, address);
		return 0;
	}
	error = memory_take(trie->memory, trie->bank, TRIE_FAN_OUT, UNIT_WORDS, &address);
	if (error < 0)
		return error;
	if (trie->memory->words)
		memcpy(trie->memory->words + address, entries, TRIE_FAN_OUT * sizeof(*entries));
	*entry = EGRESS_TRIE_POINTER(EGRESS_TRIE_FULL, address);
	return 0;
}

static void read_packed(const uint32_t *words, uint32_t entries[TRIE_FAN_OUT])
{
	size_t next = 0, i;

	for (i = 0; i < TRIE_FAN_OUT; i++) {
		if (words[i / 32] >> (i % 32) & 1)
			next++;
		entries[i] = words[BITMAP_WORDS + next - 1];
	}
}

void trie_read_block(const struct memory *memory, uint32_t entry, uint32_t entries[TRIE_FAN_OUT])
{
	const uint32_t *words = memory->words + EGRESS_TRIE_CHILD(entry);

	if (EGRESS_TRIE_KIND(entry) == EGRESS_TRIE_FULL)
		memcpy(entries, words, TRIE_FAN_OUT * sizeof(*entries));
	else
		read_packed(words, entries);
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
