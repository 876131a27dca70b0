/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/trie_hash.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/cleanup.h"

/* Multipliers that are tried for a size before the next one is: at first two keys a bucket, the most that works. */
#define MULTIPLIERS 16u
/* Words of a node that is written anew beside packets at most; what is below it takes words too. */
#define TRIE_HASH_SET_WORDS (TRIE_SET_WORDS / 2)
/* Buckets for each key at most. */
#define SPARSEST    16u

int trie_keys_add(struct trie_keys *keys, const struct trie_key *key)
{
	if (array_reserve(&keys->items, &keys->capacity, keys->count + 1, sizeof(*keys->items)) < 0)
		return -ENOMEM;
	keys->items[keys->count++] = *key;
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
	while (2 * bucket_count(&spread) < keys->count)
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

/* A double word of the tables; a slot is two. */
typedef uint64_t __attribute__((may_alias)) slot_word;
#define SLOT_WORDS 2u

static uint64_t slot_of(uint32_t key, uint32_t entry)
{
	return (uint64_t)key << 32 | (uint32_t)~entry;
}

static struct trie_key read_slot(const slot_word *slot)
{
	return (struct trie_key){
		.key = (uint32_t)(slot[0] >> 32),
		.entry = ~(uint32_t)slot[0],
		.mask = (uint32_t)(slot[1] >> 32),
		.value = (uint32_t)slot[1],
	};
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
		.taken = 8 * bytes,
		.other = other,
	};
	size_t i;

	memset(words, 0, node_size(spread) * sizeof(*words));
	memcpy(words, &head, sizeof(head));
	for (i = 0; i < keys->count; i++) {
		const struct trie_key *key = &keys->items[i];
		slot_word *slot = first_slot(words, bucket_of(spread, key->key));

		while (*slot)
			slot += SLOT_WORDS;
		slot[0] = slot_of(key->key, key->entry);
		slot[1] = (uint64_t)key->mask << 32 | key->value;
	}
}

/* limit: -E2BIG where it would take more words. */
static int new_hash(const struct trie *trie, const struct trie_keys *keys, unsigned int bytes, uint32_t other,
		    size_t limit, uint32_t *entry)
{
	struct spread spread;
	uint32_t address;
	int error = find_spread(keys, &spread);

	if (error < 0)
		return error;
	if (node_size(&spread) > limit)
		return -E2BIG;
	error = memory_take(trie->memory, trie->bank, node_size(&spread), EGRESS_HASH_HEAD_WORDS, &address);
	if (error < 0)
		return error;
	if (trie->memory->words)
		write_node(trie->memory->words + address, &spread, keys, bytes, other);
	*entry = EGRESS_TRIE_POINTER(EGRESS_TRIE_HASH, address);
	return 0;
}

int trie_new_hash(const struct trie *trie, const struct trie_keys *keys, unsigned int bytes, uint32_t other,
		  uint32_t *entry)
{
	return new_hash(trie, keys, bytes, other, SIZE_MAX, entry);
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

	for (i = 0; i < EGRESS_HASH_SLOTS; i++, slot += SLOT_WORDS)
		if (!*slot || *slot >> 32 == key)
			return slot;
	return NULL;
}

struct trie_key trie_hash_find(const struct memory *memory, uint32_t entry, uint32_t key)
{
	const slot_word *slot = find_slot(memory, entry, key);

	if (slot && *slot)
		return read_slot(slot);
	return (struct trie_key){.key = key, .entry = trie_hash_other(memory, entry)};
}

bool trie_key_matches(const struct trie_key *slot, address_number address, unsigned int end)
{
	address_number left = end < 16 ? address << 8 * end : 0;

	return ((uint32_t)(left >> 96) & slot->mask) == slot->value;
}

uint32_t trie_hash_other(const struct memory *memory, uint32_t entry)
{
	return node_head(memory, entry).other;
}

unsigned int trie_hash_bytes(const struct memory *memory, uint32_t entry)
{
	return node_head(memory, entry).taken / 8;
}

int trie_hash_keys(const struct memory *memory, uint32_t entry, struct trie_keys *keys)
{
	const struct spread spread = node_spread(memory, entry);
	const slot_word *slot = first_slot(node_words(memory, entry), 0);
	size_t i;

	for (i = 0; i < bucket_count(&spread) * EGRESS_HASH_SLOTS; i++, slot += SLOT_WORDS) {
		const struct trie_key key = read_slot(slot);

		if (*slot && trie_keys_add(keys, &key) < 0)
			return -ENOMEM;
	}
	return 0;
}

static int put_key(struct trie_keys *keys, const struct trie_key *key)
{
	size_t i;

	for (i = 0; i < keys->count; i++) {
		if (keys->items[i].key == key->key) {
			keys->items[i] = *key;
			return 0;
		}
	}
	return trie_keys_add(keys, key);
}

/* The node anew, with a key more or one that is another. */
static int write_anew(const struct trie *trie, uint32_t entry, const struct trie_key *key, uint32_t *result)
{
	const struct spread spread = node_spread(trie->memory, entry);
	const struct egress_trie_hash head = node_head(trie->memory, entry);
	struct trie_keys keys = {0};
	int error;

	/* It will hardly be smaller. */
	if (node_size(&spread) > TRIE_HASH_SET_WORDS)
		return -ENOSPC;
	error = trie_hash_keys(trie->memory, entry, &keys);
	if (!error)
		error = put_key(&keys, key);
	if (!error)
		error = new_hash(trie, &keys, head.taken / 8, head.other, TRIE_HASH_SET_WORDS, result);
	trie_keys_clear(&keys);
	return error == -E2BIG ? -ENOSPC : error;
}

int trie_hash_set(const struct trie *trie, uint32_t entry, uint32_t key, uint32_t child, uint32_t *result)
{
	const struct trie_key new = {.key = key, .entry = child};
	slot_word *slot = find_slot(trie->memory, entry, key);

	/* A packet that has read one half of a slot must not see the other one change. */
	if (!slot || slot[1])
		return write_anew(trie, entry, &new, result);
	/* Key and child at once: a packet sees the key with the old child, with the new one, or not at all. */
	__atomic_store_n(slot, slot_of(key, child), __ATOMIC_RELEASE);
	*result = entry;
	return 0;
}
