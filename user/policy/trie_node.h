/* SPDX-License-Identifier: Apache-2.0 */
/* Nodes of the trie: taking memory for one and writing it. For trie_write.c and trie_set.c. */
#ifndef EGRESSD_POLICY_TRIE_NODE_H
#define EGRESSD_POLICY_TRIE_NODE_H

#include "policy/trie.h"

#define TRIE_FAN_OUT 256u
/* Nodes are aligned to so many words at least. */
#define TRIE_UNIT_WORDS (1u << EGRESS_TRIE_UNIT_SHIFT)

static inline uint32_t trie_leaf(uint32_t class)
{
	return EGRESS_TRIE_ENTRY(EGRESS_TRIE_LEAF, class);
}

/* A full block with these entries; *entry points to it. */
int trie_new_full(const struct trie *trie, const uint32_t entries[TRIE_FAN_OUT], uint32_t *entry);
int trie_new_wide(const struct trie *trie, const uint32_t entries[TRIE_WIDE_WORDS], uint32_t *entry);

/* A node of bits; *entry points to it. */
int trie_new_bits(const struct trie *trie, const struct egress_trie_bits *bits, uint32_t *entry);

/* The bits of the bytes from `first` up to, not including, `end`, in eight words. */
static inline void trie_set_bits(uint32_t *words, size_t first, size_t end)
{
	for (; first < end; first++)
		words[first / 32] |= 1u << first % 32;
}

static inline uint32_t trie_bits_entry(const struct egress_trie_bits *bits, unsigned int byte)
{
	return bits->entry[bits->bits[byte / 32] >> byte % 32 & 1];
}

/*
 * What a node of ranges says: from start[i] on, the entry is entry[i]; start[0] is 0, neighbours differ. Starts are numbers
 * of two bytes; where only one is left of the address, it is the upper one.
 */
#define TRIE_RANGES_MAX 38u
struct trie_ranges {
	/* Room for one address more than fits into a node. */
	uint32_t start[TRIE_RANGES_MAX + 2], entry[TRIE_RANGES_MAX + 2];
	size_t count;
};

/* Starts must come in order; an equal one overwrites. */
void trie_ranges_append(struct trie_ranges *ranges, uint32_t start, uint32_t entry);
/* The smallest node with these ranges, TRIE_RANGES_MAX at most; *entry points to it. */
int trie_new_ranges(const struct trie *trie, const struct trie_ranges *ranges, uint32_t *entry);
/* False: its bounds are not in order, as in every node that was written. */
bool trie_read_ranges(const struct memory *memory, uint32_t entry, struct trie_ranges *ranges);
/* Whether two entries take turns. */
bool trie_ranges_take_turns(const struct trie_ranges *ranges);
/* The starts as bounds, three to a double word from `words` on, with room for so many of them; the rest is unused. */
void trie_write_bounds(uint32_t *words, uint32_t bounds, const struct trie_ranges *ranges);
/* entries: one for each range, or, where last_entry is 1, two that take turns. False: the bounds are not in order. */
bool trie_read_bounds(const uint32_t *words, uint32_t bounds, const uint32_t *entries, uint32_t last_entry,
		      struct trie_ranges *ranges);

/*
 * Judged from byte `depth` on, where all that was before agrees: addresses that agree with `address` in the first
 * `length` bits go on with `match`, all others are `other`. length: more than 8 * depth; a multiple of 8 where `match` is
 * no leaf.
 */
int trie_new_skip(const struct trie *trie, address_number address, unsigned int depth, unsigned int length,
		  uint32_t match, uint32_t other, uint32_t *entry);
/* What a skip node at byte `depth` asks for: the address from that byte on, and how many bits of the whole address. */
unsigned int trie_skip_length(const struct egress_trie_skip *skip, unsigned int depth, address_number *address);

/* Makes a word, written in full, visible to packets that read the trie. */
static inline void trie_publish(uint32_t *word, uint32_t entry)
{
	__atomic_store_n(word, entry, __ATOMIC_RELEASE);
}

/* Byte `index` of an IPv6 address, from 0, as on the wire. */
static inline uint8_t ipv6_byte(address_number address, unsigned int index)
{
	return (uint8_t)(address >> (120 - 8 * index));
}

#endif
