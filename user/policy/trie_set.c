/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One address of the trie in force gets another class. Every function gives the entry that is to stand in its parent in
 * place of `entry`; where that is the same one, the word was changed further down. At most one word that packets can
 * read is written, and it is right before and after.
 */
#include <string.h>

#include "policy/trie_node.h"

static void publish(uint32_t *word, uint32_t entry)
{
	__atomic_store_n(word, entry, __ATOMIC_RELEASE);
}

static uint32_t leaf(uint32_t class)
{
	return EGRESS_TRIE_ENTRY(EGRESS_TRIE_LEAF, class);
}

static bool is_full(uint32_t entry)
{
	return EGRESS_TRIE_KIND(entry) == EGRESS_TRIE_FULL;
}

/* The block with another entry for `byte`: in place if it can be, else a copy. */
static int replace_entry(const struct trie *trie, uint32_t block, unsigned int byte, uint32_t child, uint32_t *result)
{
	uint32_t entries[TRIE_FAN_OUT];

	*result = block;
	if (is_full(block)) {
		publish(&trie->memory->words[EGRESS_TRIE_CHILD(block) + byte], child);
		return 0;
	}
	trie_read_block(trie->memory, block, entries);
	entries[byte] = child;
	return trie_new_block(trie, entries, result);
}

static uint32_t entry_at(const struct memory *memory, uint32_t block, unsigned int byte)
{
	uint32_t entries[TRIE_FAN_OUT];

	if (is_full(block))
		return memory->words[EGRESS_TRIE_CHILD(block) + byte];
	trie_read_block(memory, block, entries);
	return entries[byte];
}

/* ------------------------------------------------------------------ IPv4 */

/* bits: below this entry. */
static int set4(const struct trie *trie, uint32_t entry, unsigned int bits, address_number address, uint32_t class,
		uint32_t *result)
{
	unsigned int byte = (uint8_t)(address >> (bits >= 8 ? bits - 8 : 0));
	uint32_t entries[TRIE_FAN_OUT], child, old;
	int error;

	*result = entry;
	if (!bits) {
		*result = leaf(class);
		return 0;
	}
	if (EGRESS_TRIE_KIND(entry) == EGRESS_TRIE_LEAF) {
		unsigned int i;

		if (entry == leaf(class))
			return 0;
		for (i = 0; i < TRIE_FAN_OUT; i++)
			entries[i] = entry;
		error = set4(trie, entry, bits - 8, address, class, &entries[byte]);
		return error < 0 ? error : trie_new_block(trie, entries, result);
	}
	old = entry_at(trie->memory, entry, byte);
	error = set4(trie, old, bits - 8, address, class, &child);
	if (error < 0 || child == old)
		return error;
	return replace_entry(trie, entry, byte, child, result);
}

int trie_set_ipv4(const struct trie *trie, uint32_t root, address_number address, uint32_t class)
{
	uint32_t *word = &trie->memory->words[root + (uint32_t)(address >> 16)], entry;
	int error = set4(trie, *word, 16, address, class, &entry);

	if (!error && entry != *word)
		publish(word, entry);
	return error;
}

/* ------------------------------------------------------------------ IPv6 */

/* One address of this class, from byte `depth` on; the others are `other`, a leaf. */
static int lone_address(const struct trie *trie, uint32_t other, unsigned int depth, address_number address,
			uint32_t class, uint32_t *result)
{
	*result = leaf(class);
	return depth == 16 ? 0 : trie_new_skip(trie, address, depth, 16, leaf(class), other, result);
}

static int set6(const struct trie *trie, uint32_t entry, unsigned int depth, address_number address, uint32_t class,
		uint32_t *result);

/* The bytes that a skip node compares, from `depth` on, in *value; returns where they end. */
static unsigned int skip_end(const struct egress_trie_skip *skip, address_number *value)
{
	uint8_t mask[16], bytes[16];
	unsigned int end = 0, i;

	memcpy(mask, skip->mask, sizeof(mask));
	memcpy(bytes, skip->value, sizeof(bytes));
	*value = 0;
	for (i = 0; i < 16; i++) {
		*value = *value << 8 | bytes[i];
		if (mask[i])
			end = i + 1;
	}
	return end;
}

/*
 * The address leaves the skip node's path at byte `at`: a block there, with the rest of the path and the address below
 * it, and a skip node before it for the bytes that both have.
 */
static int split_skip(const struct trie *trie, const struct egress_trie_skip *skip, unsigned int depth, unsigned int at,
		      address_number address, uint32_t class, uint32_t *result)
{
	uint32_t entries[TRIE_FAN_OUT], block;
	address_number value;
	unsigned int end = skip_end(skip, &value), i;
	uint32_t *old, *new;
	int error = 0;

	for (i = 0; i < TRIE_FAN_OUT; i++)
		entries[i] = skip->other;
	old = &entries[ipv6_byte(value, at)];
	new = &entries[ipv6_byte(address, at)];
	*old = skip->match;
	if (at + 1 < end)
		error = trie_new_skip(trie, value, at + 1, end, skip->match, skip->other, old);
	if (!error)
		error = lone_address(trie, skip->other, at + 1, address, class, new);
	if (!error)
		error = trie_new_block(trie, entries, &block);
	if (error)
		return error;
	*result = block;
	if (at == depth)
		return 0;
	return trie_new_skip(trie, address, depth, at, block, skip->other, result);
}

static int set6_skip(const struct trie *trie, uint32_t entry, unsigned int depth, address_number address,
		     uint32_t class, uint32_t *result)
{
	struct egress_trie_skip *skip = (void *)(trie->memory->words + EGRESS_TRIE_CHILD(entry));
	address_number value;
	unsigned int end = skip_end(skip, &value), at;
	uint32_t match;
	int error;

	for (at = depth; at < end; at++)
		if (ipv6_byte(address, at) != ipv6_byte(value, at))
			return skip->other == leaf(class) ? 0
							  : split_skip(trie, skip, depth, at, address, class, result);
	error = set6(trie, skip->match, end, address, class, &match);
	if (!error && match != skip->match)
		publish(&skip->match, match);
	return error;
}

static int set6(const struct trie *trie, uint32_t entry, unsigned int depth, address_number address, uint32_t class,
		uint32_t *result)
{
	uint32_t child, old;
	int error;

	*result = entry;
	if (entry == leaf(class))
		return 0;
	if (EGRESS_TRIE_KIND(entry) == EGRESS_TRIE_LEAF)
		return lone_address(trie, entry, depth, address, class, result);
	if (EGRESS_TRIE_KIND(entry) == EGRESS_TRIE_SKIP)
		return set6_skip(trie, entry, depth, address, class, result);
	old = entry_at(trie->memory, entry, ipv6_byte(address, depth));
	error = set6(trie, old, depth + 1, address, class, &child);
	if (error < 0 || child == old)
		return error;
	return replace_entry(trie, entry, ipv6_byte(address, depth), child, result);
}

int trie_set_ipv6(const struct trie *trie, uint32_t *root, address_number address, uint32_t class)
{
	uint32_t entry;
	int error = set6(trie, *root, 0, address, class, &entry);

	if (!error && entry != *root)
		publish(root, entry);
	return error;
}
