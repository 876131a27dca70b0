/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/trie_hash.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/cleanup.h"

/* Multipliers that are tried for a size before the next one is: a key for each bucket at first, the most that works. */
#define MULTIPLIERS 16u
/* Buckets for each key at most. */
#define SPARSEST    16u

int trie_keys_add(struct trie_keys *keys, uint32_t key, uint32_t entry)
{
	if (array_reserve(&keys->items, &keys->capacity, keys->count + 1, sizeof(*keys->items)) < 0)
		return -ENOMEM;
	keys->items[keys->count++] = (struct trie_key){.key = key, .entry = entry};
	return 0;
}

void trie_keys_clear(struct trie_keys *keys)
{
	free(keys->items);
	*keys = (struct trie_keys){0};
}

/* ------------------------------------------------------------------ making one */

/* How a node spreads its keys. */
struct spread {
	uint64_t multiplier;
	unsigned int shift;
};

static size_t bucket_count(const struct spread *spread)
{
	return (size_t)1 << (64 - spread->shift);
}

/* Words of the node. */
static size_t node_size(const struct spread *spread)
{
	return EGRESS_HASH_HEAD_WORDS + EGRESS_HASH_BUCKET_WORDS * bucket_count(spread);
}

static size_t bucket_of(const struct spread *spread, uint32_t key)
{
	return (size_t)((uint64_t)key * spread->multiplier >> spread->shift);
}

/* The attempt's multiplier: bits without a pattern (the finalizer of MurmurHash3), and odd. */
static uint64_t multiplier_of(uint64_t attempt)
{
	uint64_t bits = (attempt + 1) * 0x9e3779b97f4a7c15ull;

	bits = (bits ^ bits >> 33) * 0xff51afd7ed558ccdull;
	bits = (bits ^ bits >> 33) * 0xc4ceb9fe1a85ec53ull;
	return (bits ^ bits >> 33) | 1;
}

/* used: room for a byte for each bucket. */
static bool all_fit(const struct spread *spread, const struct trie_keys *keys, uint8_t *used)
{
	size_t i;

	memset(used, 0, bucket_count(spread));
	for (i = 0; i < keys->count; i++)
		if (++used[bucket_of(spread, keys->items[i].key)] > EGRESS_HASH_SLOTS)
			return false;
	return true;
}

static int find_spread(const struct trie_keys *keys, struct spread *out)
{
	size_t most = keys->count * SPARSEST;
	struct spread spread = {.shift = 63};
	_cleanup_free_ uint8_t *used = malloc(most + 2);
	unsigned int attempt;

	if (!used)
		return -ENOMEM;
	while (bucket_count(&spread) < keys->count)
		spread.shift--;
	for (; bucket_count(&spread) <= most + 1; spread.shift--) {
		for (attempt = 0; attempt < MULTIPLIERS; attempt++) {
			spread.multiplier = multiplier_of(attempt);
			if (all_fit(&spread, keys, used)) {
				*out = spread;
				return 0;
			}
		}
	}
	return -E2BIG;
}

/* A double word of the tables. */
typedef uint64_t __attribute__((may_alias)) slot_word;

static uint64_t slot_of(uint32_t key, uint32_t entry)
{
	return (uint64_t)key << 32 | (uint32_t)~entry;
}

static slot_word *first_slot(uint32_t *node, size_t bucket)
{
	return (slot_word *)(void *)(node + EGRESS_HASH_HEAD_WORDS + EGRESS_HASH_BUCKET_WORDS * bucket);
}

static void write_node(uint32_t *words, const struct spread *spread, const struct trie_keys *keys, unsigned int bytes,
		       uint32_t other)
{
	const struct egress_trie_hash head = {
		.multiplier = spread->multiplier,
		.bucket_shift = spread->shift,
		.key_shift = 64 - 8 * bytes,
		.bytes = bytes,
		.other = other,
	};
	size_t i;

	memset(words, 0, node_size(spread) * sizeof(*words));
	memcpy(words, &head, sizeof(head));
	for (i = 0; i < keys->count; i++) {
		slot_word *slot = first_slot(words, bucket_of(spread, keys->items[i].key));

		while (*slot)
			slot++;
		*slot = slot_of(keys->items[i].key, keys->items[i].entry);
	}
}

int trie_new_hash(const struct trie *trie, const struct trie_keys *keys, unsigned int bytes, uint32_t other,
		  uint32_t *entry)
{
	struct spread spread;
	uint32_t address;
	int error = find_spread(keys, &spread);

	if (error < 0)
		return error;
	error = memory_take(trie->memory, trie->bank, node_size(&spread), EGRESS_HASH_HEAD_WORDS, &address);
	if (error < 0)
		return error;
	if (trie->memory->words)
		write_node(trie->memory->words + address, &spread, keys, bytes, other);
	*entry = EGRESS_TRIE_POINTER(EGRESS_TRIE_HASH, address);
	return 0;
}

/* ------------------------------------------------------------------ one in force */

static uint32_t *node_words(const struct memory *memory, uint32_t entry)
{
	return memory->words + EGRESS_TRIE_CHILD(entry);
}

static struct egress_trie_hash node_head(const struct memory *memory, uint32_t entry)
{
	struct egress_trie_hash head;

	memcpy(&head, node_words(memory, entry), sizeof(head));
	return head;
}

static struct spread node_spread(const struct memory *memory, uint32_t entry)
{
	const struct egress_trie_hash head = node_head(memory, entry);

	return (struct spread){.multiplier = head.multiplier, .shift = head.bucket_shift};
}

/* The key's slot, or else the first free one of its bucket; NULL: it is in none and all are taken. */
static slot_word *find_slot(const struct memory *memory, uint32_t entry, uint32_t key)
{
	const struct spread spread = node_spread(memory, entry);
	slot_word *slot = first_slot(node_words(memory, entry), bucket_of(&spread, key));
	unsigned int i;

	for (i = 0; i < EGRESS_HASH_SLOTS; i++)
		if (!slot[i] || slot[i] >> 32 == key)
			return &slot[i];
	return NULL;
}

uint32_t trie_hash_find(const struct memory *memory, uint32_t entry, uint32_t key)
{
	const slot_word *slot = find_slot(memory, entry, key);

	return slot && *slot ? ~(uint32_t)*slot : node_head(memory, entry).other;
}

unsigned int trie_hash_bytes(const struct memory *memory, uint32_t entry)
{
	return node_head(memory, entry).bytes;
}

int trie_hash_keys(const struct memory *memory, uint32_t entry, struct trie_keys *keys)
{
	const struct spread spread = node_spread(memory, entry);
	const slot_word *slot = first_slot(node_words(memory, entry), 0);
	size_t i;

	for (i = 0; i < bucket_count(&spread) * EGRESS_HASH_SLOTS; i++)
		if (slot[i] && trie_keys_add(keys, (uint32_t)(slot[i] >> 32), ~(uint32_t)slot[i]) < 0)
			return -ENOMEM;
	return 0;
}

/* The node anew, with a key more. */
static int grow(const struct trie *trie, uint32_t entry, uint32_t key, uint32_t child, uint32_t *result)
{
	const struct spread spread = node_spread(trie->memory, entry);
	const struct egress_trie_hash head = node_head(trie->memory, entry);
	struct trie_keys keys = {0};
	int error;

	/* It may become four times as large, and what is below it takes words too. */
	if (4 * node_size(&spread) > TRIE_SET_WORDS / 2)
		return -ENOSPC;
	error = trie_hash_keys(trie->memory, entry, &keys);
	if (!error)
		error = trie_keys_add(&keys, key, child);
	if (!error)
		error = trie_new_hash(trie, &keys, head.bytes, head.other, result);
	trie_keys_clear(&keys);
	return error == -E2BIG ? -ENOSPC : error;
}

int trie_hash_set(const struct trie *trie, uint32_t entry, uint32_t key, uint32_t child, uint32_t *result)
{
	slot_word *slot = find_slot(trie->memory, entry, key);

	if (!slot)
		return grow(trie, entry, key, child, result);
	/* Both halves at once: a packet sees the key with the old child, with the new one, or not at all. */
	__atomic_store_n(slot, slot_of(key, child), __ATOMIC_RELEASE);
	*result = entry;
	return 0;
}
