/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/trie_hash.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/cleanup.h"

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

/* ------------------------------------------------------------------ slots */

/* A double word of the tables. A slot is one, or two where keys may have masks. */
typedef uint64_t __attribute__((may_alias)) slot_word;

static unsigned int slot_words(uint32_t entry)
{
	return egress_hash_is_tagged(entry) ? 1 : 2;
}

/* Slots of a bucket that keys may have. */
static unsigned int slot_count(uint32_t entry, uint32_t bucket)
{
	unsigned int slots = egress_hash_is_tagged(entry) ? EGRESS_TAGGED_SLOTS : EGRESS_HASH_SLOTS;

	return bucket ? slots : slots - 1;
}

/* What stands behind a slot's key; 0: no mask. */
static slot_word slot_rest(uint32_t entry, const slot_word *slot)
{
	return egress_hash_is_tagged(entry) ? 0 : slot[1];
}

static struct trie_key read_slot(uint32_t entry, const slot_word *slot)
{
	slot_word rest = slot_rest(entry, slot);

	return (struct trie_key){
		.key = (uint32_t)(slot[0] >> 32),
		.entry = ~(uint32_t)slot[0],
		.mask = (uint32_t)(rest >> 32),
		.value = (uint32_t)rest,
	};
}

static slot_word *first_slot(uint32_t *node, size_t bucket)
{
	return (slot_word *)(void *)(node + EGRESS_HASH_BUCKET_WORDS * bucket);
}

/* The bucket that a slot is in. */
static uint32_t bucket_of(uint32_t *node, const slot_word *slot)
{
	return (uint32_t)(slot - first_slot(node, 0)) / (EGRESS_HASH_BUCKET_WORDS / 2);
}

static slot_word *bucket_tags(uint32_t *node, uint32_t bucket)
{
	return first_slot(node, bucket) + EGRESS_TAGGED_SLOTS;
}

/* Bits of the tags that are to the right of the slot's. */
static unsigned int tag_shift(uint32_t *node, const slot_word *slot)
{
	return EGRESS_TAG_BITS * (unsigned int)(slot - first_slot(node, bucket_of(node, slot)));
}

/* Whether packets take a slot that is in use for that of another key. */
static bool hides(uint32_t entry, const slot_word *slot, uint32_t key)
{
	return egress_hash_is_tagged(entry) && egress_hash_tag(*slot >> 32) == egress_hash_tag(key);
}

/* The key's slot in this bucket, or else the free one that it would have there; NULL: no packet would find it here. */
static slot_word *find_slot_in(uint32_t *node, uint32_t entry, uint32_t bucket, uint32_t key)
{
	slot_word *slot = first_slot(node, bucket);
	unsigned int i;

	for (i = 0; i < slot_count(entry, bucket); i++, slot += slot_words(entry)) {
		if (!*slot || *slot >> 32 == key)
			return slot;
		if (hides(entry, slot, key))
			return NULL;
	}
	return NULL;
}

/* The same in its bucket or else in another that packets look into. */
static slot_word *find_slot(uint32_t *node, uint32_t entry, uint32_t key)
{
	uint32_t bucket = egress_hash_bucket(entry, key);
	slot_word *slot = find_slot_in(node, entry, bucket, key);

	if (!slot)
		slot = find_slot_in(node, entry, bucket ^ 1, key);
	if (!slot && egress_hash_is_tagged(entry))
		slot = find_slot_in(node, entry, egress_hash_third(entry, bucket), key);
	return slot;
}

static void publish_full(uint32_t *node, uint32_t bucket)
{
	slot_word *tags = bucket_tags(node, bucket);

	__atomic_store_n(tags, *tags | EGRESS_TAGS_FULL, __ATOMIC_RELEASE);
}

/*
 * What packets need besides the slot, which is written, to find the key there: each word is right before and after. Of a
 * key that is there already nothing changes.
 */
static void publish_tag(uint32_t *node, uint32_t entry, uint32_t key, const slot_word *slot)
{
	uint32_t in = bucket_of(node, slot), own = egress_hash_bucket(entry, key);
	slot_word *tags = bucket_tags(node, in);

	__atomic_store_n(tags, *tags | (uint64_t)egress_hash_tag(key) << tag_shift(node, slot), __ATOMIC_RELEASE);
	if (in != own && in != (own ^ 1))
		publish_full(node, own ^ 1);
	if (in != own)
		publish_full(node, own);
}

/* ------------------------------------------------------------------ making one */

/* Of a node with so many buckets that is nowhere yet. */
static uint32_t make_entry(uint32_t kind, unsigned int function, size_t buckets)
{
	return EGRESS_TRIE_ENTRY(kind, function << EGRESS_HASH_FUNCTION_SHIFT | (uint32_t)buckets);
}

/* Words of the node. */
static size_t node_size(uint32_t entry)
{
	return (size_t)EGRESS_HASH_BUCKET_WORDS * egress_hash_buckets(entry);
}

/* With less, no key is of another pair than the first, and all keys of four bytes can be looked for. */
static size_t fewest_buckets(unsigned int bytes)
{
	return bytes < 4 ? 2 : 4;
}

/* Buckets of which about half of the slots are in use, as far as they are a power of two. */
static size_t first_buckets(size_t keys, unsigned int slots, unsigned int bytes)
{
	size_t buckets = fewest_buckets(bytes);

	while ((slots + 1) / 2 * buckets < keys)
		buckets *= 2;
	return buckets;
}

size_t trie_hash_words(size_t keys, unsigned int bytes)
{
	return EGRESS_HASH_BUCKET_WORDS * first_buckets(keys, EGRESS_TAGGED_SLOTS, bytes);
}

bool trie_hash_is_elsewhere(uint32_t entry, uint32_t key)
{
	return (uint64_t)key >> egress_hash_bits(entry) || (egress_hash_bucket(entry, key) >= 2 && egress_hash_tag(key));
}

static bool has_masks(const struct trie_keys *keys)
{
	size_t i;

	for (i = 0; i < keys->count; i++)
		if (keys->items[i].mask)
			return true;
	return false;
}

/* A key that no packet finds in the last slot of bucket 0. */
static uint32_t key_elsewhere(uint32_t entry)
{
	uint32_t key = 1;

	if (egress_hash_bits(entry) < 32)
		return 1u << egress_hash_bits(entry);
	while (!trie_hash_is_elsewhere(entry, key))
		key++;
	return key;
}

/* False: there is no room for the key. */
static bool put_new_key(uint32_t *node, uint32_t entry, const struct trie_key *key)
{
	slot_word *slot = find_slot(node, entry, key->key);

	if (!slot)
		return false;
	slot[0] = trie_slot(key->key, key->entry);
	if (egress_hash_is_tagged(entry))
		publish_tag(node, entry, key->key, slot);
	else
		slot[1] = (uint64_t)key->mask << 32 | key->value;
	return true;
}

/* node: node_size(entry) words anywhere. False: it has no room for all keys. */
static bool write_node(uint32_t *node, uint32_t entry, const struct trie_keys *keys, uint32_t other)
{
	size_t i;

	memset(node, 0, node_size(entry) * sizeof(*node));
	*(slot_word *)(void *)(node + EGRESS_HASH_OTHER_WORD) = trie_slot(key_elsewhere(entry), other);
	for (i = 0; i < keys->count; i++)
		if (!put_new_key(node, entry, &keys->items[i]))
			return false;
	return true;
}

/* 0; -E2BIG: no function spreads the keys over so many buckets. */
static int try_buckets(const struct trie_keys *keys, uint32_t kind, uint32_t other, size_t buckets, uint32_t *node,
		       uint32_t *entry)
{
	unsigned int function;

	for (function = 0; function < EGRESS_HASH_FUNCTIONS; function++) {
		*entry = make_entry(kind, function, buckets);
		if (write_node(node, *entry, keys, other))
			return 0;
	}
	return -E2BIG;
}

/*
 * A node that is nowhere yet, as small as can be but for half of its slots at first. *entry: of it; *node: its words, which
 * the caller frees.
 */
static int make_node(const struct trie_keys *keys, unsigned int bytes, uint32_t other, uint32_t **node, uint32_t *entry)
{
	uint32_t kind = (has_masks(keys) ? EGRESS_TRIE_HASH2 : EGRESS_TRIE_TAGGED2) + 2 * (bytes - 2);
	size_t most = keys->count * SPARSEST + 3;
	size_t buckets = first_buckets(keys->count, slot_count(make_entry(kind, 0, 2), 1), bytes);
	int error = -E2BIG;

	for (; error == -E2BIG && buckets <= most && buckets <= EGRESS_HASH_BUCKETS_MAX; buckets *= 2) {
		_cleanup_free_ uint32_t *words = malloc(buckets * EGRESS_HASH_BUCKET_WORDS * sizeof(*words));

		if (!words)
			return -ENOMEM;
		error = try_buckets(keys, kind, other, buckets, words, entry);
		if (!error)
			*node = take(words);
	}
	return error;
}

static uint32_t *node_words(const struct memory *memory, uint32_t entry)
{
	return memory->words + egress_hash_address(entry);
}

int trie_take_buckets(const struct trie *trie, uint32_t made, uint32_t *entry)
{
	size_t size = node_size(made);
	uint32_t address;
	int error = memory_take(trie->memory, trie->bank, size, (uint32_t)size, &address);

	if (error < 0)
		return error;
	if (address >> EGRESS_TRIE_UNIT_SHIFT >= EGRESS_HASH_UNITS_MAX)
		return -E2BIG;
	*entry = made + 2 * (address >> EGRESS_TRIE_UNIT_SHIFT);
	return 0;
}

/* limit: -E2BIG where it would take more words. */
static int new_hash(const struct trie *trie, const struct trie_keys *keys, unsigned int bytes, uint32_t other,
		    size_t limit, uint32_t *entry)
{
	_cleanup_free_ uint32_t *node = NULL;
	uint32_t made;
	int error = make_node(keys, bytes, other, &node, &made);

	if (!error && node_size(made) > limit)
		error = -E2BIG;
	if (!error)
		error = trie_take_buckets(trie, made, &made);
	if (error < 0)
		return error;
	if (trie->memory->words)
		memcpy(node_words(trie->memory, made), node, node_size(made) * sizeof(*node));
	*entry = made;
	return 0;
}

int trie_new_hash(const struct trie *trie, const struct trie_keys *keys, unsigned int bytes, uint32_t other,
		  uint32_t *entry)
{
	return new_hash(trie, keys, bytes, other, SIZE_MAX, entry);
}

/* ------------------------------------------------------------------ one in force */

struct trie_key trie_hash_find(const struct memory *memory, uint32_t entry, uint32_t key)
{
	const slot_word *slot = find_slot(node_words(memory, entry), entry, key);

	if (slot && *slot)
		return read_slot(entry, slot);
	return (struct trie_key){.key = key, .entry = trie_hash_other(memory, entry)};
}

/* The tag that packets find with a slot. */
static uint32_t read_tag(uint32_t *node, const slot_word *slot)
{
	return (uint32_t)(*bucket_tags(node, bucket_of(node, slot)) >> tag_shift(node, slot)) &
	       ((1u << EGRESS_TAG_BITS) - 1);
}

/* Packets look into the first slot if no slot has their tag. */
static bool is_untagged_first(uint32_t *node, const slot_word *slot)
{
	return slot == first_slot(node, bucket_of(node, slot)) && !read_tag(node, slot);
}

bool trie_hash_has(const struct memory *memory, uint32_t entry, uint32_t key)
{
	uint32_t *node = node_words(memory, entry);
	const slot_word *slot = find_slot(node, entry, key);

	if (!slot || !*slot)
		return false;
	return !egress_hash_is_tagged(entry) || is_untagged_first(node, slot) ||
	       read_tag(node, slot) == egress_hash_tag(key);
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

/* Whether packets that find nothing in the bucket look into the next one. */
static bool sends_on(uint32_t *node, uint32_t bucket)
{
	return *bucket_tags(node, bucket) & EGRESS_TAGS_FULL;
}

/*
 * Whether a slot in use has been published whole, with what publish_tag() writes: a writer may be on its way, or have ended
 * on it. Until then packets do not find the key.
 */
static bool is_published(uint32_t *node, uint32_t entry, const slot_word *slot)
{
	uint32_t key = (uint32_t)(*slot >> 32), own = egress_hash_bucket(entry, key), in = bucket_of(node, slot);

	if (!egress_hash_is_tagged(entry))
		return true;
	if (!read_tag(node, slot) && egress_hash_tag(key) && !is_untagged_first(node, slot))
		return false;
	return in == own || (sends_on(node, own) && (in == (own ^ 1) || sends_on(node, own ^ 1)));
}

/* One bucket's. */
static int list_keys(uint32_t *node, uint32_t entry, uint32_t bucket, struct trie_keys *keys)
{
	const slot_word *slot = first_slot(node, bucket);
	unsigned int i;
	int error = 0;

	for (i = 0; i < slot_count(entry, bucket) && !error; i++, slot += slot_words(entry)) {
		const struct trie_key key = read_slot(entry, slot);

		if (*slot && is_published(node, entry, slot))
			error = trie_keys_add(keys, &key);
	}
	return error;
}

int trie_hash_keys(const struct memory *memory, uint32_t entry, struct trie_keys *keys)
{
	uint32_t bucket;
	int error = 0;

	for (bucket = 0; bucket < egress_hash_buckets(entry) && !error; bucket++)
		error = list_keys(node_words(memory, entry), entry, bucket, keys);
	return error;
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

	/* It will seldom be smaller. */
	if (node_size(entry) > TRIE_BUCKETS_SET_WORDS)
		return -ENOSPC;
	error = trie_hash_keys(trie->memory, entry, &keys);
	if (!error)
		error = put_key(&keys, key);
	if (!error)
		error = new_hash(trie, &keys, trie_hash_bytes(entry), trie_hash_other(trie->memory, entry),
				 TRIE_BUCKETS_SET_WORDS, result);
	trie_keys_clear(&keys);
	return error == -E2BIG ? -ENOSPC : error;
}

int trie_hash_set(const struct trie *trie, uint32_t entry, uint32_t key, uint32_t child, uint32_t *result)
{
	const struct trie_key new = {.key = key, .entry = child};
	uint32_t *node = node_words(trie->memory, entry);
	slot_word *slot = find_slot(node, entry, key);

	/* A packet that has read one half of a slot must not see the other one change. */
	if (!slot || slot_rest(entry, slot))
		return write_anew(trie, entry, &new, result);
	/* Key and child at once: a packet sees the key with the old child, with the new one, or not at all. */
	__atomic_store_n(slot, trie_slot(key, child), __ATOMIC_RELEASE);
	if (egress_hash_is_tagged(entry))
		publish_tag(node, entry, key, slot);
	*result = entry;
	return 0;
}
