/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/trie_hash.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/cleanup.h"

/* Words of a node that is written anew beside packets at most; it is aligned to its size, and what is below takes words too. */
#define TRIE_HASH_SET_WORDS (TRIE_SET_WORDS / 4)
/* Buckets for each key at most. */
#define SPARSEST 16u

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

/* The entry of a node with so many buckets that is nowhere yet. */
static uint32_t make_entry(unsigned int bytes, unsigned int function, size_t buckets)
{
	return EGRESS_TRIE_ENTRY(EGRESS_TRIE_HASH2 + bytes - 2,
				 function << EGRESS_HASH_FUNCTION_SHIFT | (uint32_t)buckets);
}

/* Words of the node. */
static size_t node_size(uint32_t entry)
{
	return (size_t)EGRESS_HASH_BUCKET_WORDS * egress_hash_buckets(entry);
}

/* Slots of a bucket that keys may have. */
static unsigned int slot_count(uint32_t bucket)
{
	return bucket ? EGRESS_HASH_SLOTS : EGRESS_HASH_SLOTS - 1;
}

/* entry: of a node anywhere; used: room for a byte for each pair of buckets. */
static bool all_fit(uint32_t entry, const struct trie_keys *keys, uint8_t *used)
{
	size_t i;

	memset(used, 0, egress_hash_buckets(entry) / 2);
	for (i = 0; i < keys->count; i++) {
		uint32_t pair = egress_hash_bucket(entry, keys->items[i].key) / 2;

		if (++used[pair] > slot_count(2 * pair) + slot_count(2 * pair + 1))
			return false;
	}
	return true;
}

/* With less, no key is of another pair than the first, and all keys of four bytes can be looked for. */
static size_t fewest_buckets(unsigned int bytes)
{
	return bytes < 4 ? 2 : 4;
}

/* *entry: of a node that is nowhere yet. At first two keys a bucket, half of what it holds. */
static int find_spread(const struct trie_keys *keys, unsigned int bytes, uint32_t *entry)
{
	size_t most = keys->count * SPARSEST + 3, buckets = fewest_buckets(bytes);
	_cleanup_free_ uint8_t *used = malloc(most);
	unsigned int function;

	if (!used)
		return -ENOMEM;
	while (2 * buckets < keys->count)
		buckets *= 2;
	for (; buckets <= most && buckets <= EGRESS_HASH_BUCKETS_MAX; buckets *= 2) {
		for (function = 0; function < EGRESS_HASH_FUNCTIONS; function++) {
			uint32_t tried = make_entry(bytes, function, buckets);

			if (all_fit(tried, keys, used)) {
				*entry = tried;
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
	return (slot_word *)(void *)(node + EGRESS_HASH_BUCKET_WORDS * bucket);
}

/* A key that no packet looks for in the first pair. */
static uint32_t key_elsewhere(uint32_t entry)
{
	uint32_t key = 1;

	if (egress_hash_bits(entry) < 32)
		return 1u << egress_hash_bits(entry);
	while (egress_hash_bucket(entry, key) < 2)
		key++;
	return key;
}

/* The key's slot, or else the free one that it would have; NULL: it is in none and all are taken. */
static slot_word *find_slot(uint32_t *words, uint32_t entry, uint32_t key)
{
	uint32_t bucket = egress_hash_bucket(entry, key), tried;
	unsigned int i;

	for (tried = 0; tried < 2; tried++, bucket ^= 1) {
		slot_word *slot = first_slot(words, bucket);

		for (i = 0; i < slot_count(bucket); i++, slot += SLOT_WORDS)
			if (!*slot || *slot >> 32 == key)
				return slot;
	}
	return NULL;
}

static void write_node(uint32_t *words, uint32_t entry, const struct trie_keys *keys, uint32_t other)
{
	size_t i;

	memset(words, 0, node_size(entry) * sizeof(*words));
	*(slot_word *)(void *)(words + EGRESS_HASH_OTHER_WORD) = slot_of(key_elsewhere(entry), other);
	for (i = 0; i < keys->count; i++) {
		const struct trie_key *key = &keys->items[i];
		slot_word *slot = find_slot(words, entry, key->key);

		slot[0] = slot_of(key->key, key->entry);
		slot[1] = (uint64_t)key->mask << 32 | key->value;
	}
}

/* limit: -E2BIG where it would take more words. */
static int new_hash(const struct trie *trie, const struct trie_keys *keys, unsigned int bytes, uint32_t other,
		    size_t limit, uint32_t *entry)
{
	uint32_t address, spread;
	size_t size;
	int error = find_spread(keys, bytes, &spread);

	if (error < 0)
		return error;
	size = node_size(spread);
	if (size > limit)
		return -E2BIG;
	error = memory_take(trie->memory, trie->bank, size, (uint32_t)size, &address);
	if (error < 0)
		return error;
	if (address >> EGRESS_TRIE_UNIT_SHIFT >= EGRESS_HASH_UNITS_MAX)
		return -E2BIG;
	spread += 2 * (address >> EGRESS_TRIE_UNIT_SHIFT);
	if (trie->memory->words)
		write_node(trie->memory->words + address, spread, keys, other);
	*entry = spread;
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
	return memory->words + egress_hash_address(entry);
}

struct trie_key trie_hash_find(const struct memory *memory, uint32_t entry, uint32_t key)
{
	const slot_word *slot = find_slot(node_words(memory, entry), entry, key);

	if (slot && *slot)
		return read_slot(slot);
	return (struct trie_key){.key = key, .entry = trie_hash_other(memory, entry)};
}

bool trie_hash_has(const struct memory *memory, uint32_t entry, uint32_t key)
{
	const slot_word *slot = find_slot(node_words(memory, entry), entry, key);

	return slot && *slot;
}

bool trie_key_matches(const struct trie_key *slot, address_number address, unsigned int end)
{
	address_number left = end < 16 ? address << 8 * end : 0;

	return ((uint32_t)(left >> 96) & slot->mask) == slot->value;
}

uint32_t trie_hash_other(const struct memory *memory, uint32_t entry)
{
	return ~node_words(memory, entry)[EGRESS_HASH_OTHER_WORD];
}

unsigned int trie_hash_bytes(uint32_t entry)
{
	return egress_hash_bits(entry) / 8;
}

int trie_hash_keys(const struct memory *memory, uint32_t entry, struct trie_keys *keys)
{
	const slot_word *slot = first_slot(node_words(memory, entry), 0);
	size_t count = (size_t)egress_hash_buckets(entry) * EGRESS_HASH_SLOTS, i;

	for (i = 0; i < count; i++, slot += SLOT_WORDS) {
		const struct trie_key key = read_slot(slot);

		if (*slot && i != EGRESS_HASH_SLOTS - 1 && trie_keys_add(keys, &key) < 0)
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
	struct trie_keys keys = {0};
	int error;

	/* It will hardly be smaller. */
	if (node_size(entry) > TRIE_HASH_SET_WORDS)
		return -ENOSPC;
	error = trie_hash_keys(trie->memory, entry, &keys);
	if (!error)
		error = put_key(&keys, key);
	if (!error)
		error = new_hash(trie, &keys, trie_hash_bytes(entry), trie_hash_other(trie->memory, entry),
				 TRIE_HASH_SET_WORDS, result);
	trie_keys_clear(&keys);
	return error == -E2BIG ? -ENOSPC : error;
}

int trie_hash_set(const struct trie *trie, uint32_t entry, uint32_t key, uint32_t child, uint32_t *result)
{
	const struct trie_key new = {.key = key, .entry = child};
	slot_word *slot = find_slot(node_words(trie->memory, entry), entry, key);

	/* A packet that has read one half of a slot must not see the other one change. */
	if (!slot || slot[1])
		return write_anew(trie, entry, &new, result);
	/* Key and child at once: a packet sees the key with the old child, with the new one, or not at all. */
	__atomic_store_n(slot, slot_of(key, child), __ATOMIC_RELEASE);
	*result = entry;
	return 0;
}
