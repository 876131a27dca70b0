/* SPDX-License-Identifier: Apache-2.0 */
/* Hash nodes of the trie (<egressd/tables.h>): making one, finding a key in it, adding one. */
#ifndef EGRESSD_POLICY_TRIE_HASH_H
#define EGRESSD_POLICY_TRIE_HASH_H

#include "policy/trie.h"

#define TRIE_HASH_BYTES_MAX 4u
/* Keys that a node may have: more are better divided among nodes, each of which is found in the cache more often. */
#define TRIE_HASH_KEYS_MAX 8192u

/* Bits of the address behind the key that a slot can ask for. */
#define TRIE_SLOT_BITS      32u

/*
 * Words of a node of buckets that is written anew beside packets at most; it is aligned to its size, and what is below it
 * takes words too.
 */
#define TRIE_BUCKETS_SET_WORDS (TRIE_SET_WORDS / 4)

/* The double word of a slot that holds its key and its entry. */
static inline uint64_t trie_slot(uint32_t key, uint32_t entry)
{
	return (uint64_t)key << 32 | (uint32_t)~entry;
}

/* A slot. */
struct trie_key {
	uint32_t key, entry, mask, value;
};

struct trie_keys {
	struct trie_key *items; /* each key once */
	size_t count, capacity;
};

/* 0 or -ENOMEM. */
int trie_keys_add(struct trie_keys *keys, const struct trie_key *key);
void trie_keys_clear(struct trie_keys *keys);

/* Words of a node of so many keys that have no masks, if it need not be larger for want of a function that spreads them. */
size_t trie_hash_words(size_t keys, unsigned int bytes);

/*
 * A node of these keys, of `bytes` bytes each; *entry points to it. other: a leaf. 0, -ENOSPC, -ENOMEM; -E2BIG: no size
 * within reason holds them.
 */
int trie_new_hash(const struct trie *trie, const struct trie_keys *keys, unsigned int bytes, uint32_t other,
		  uint32_t *entry);

/*
 * Memory for a node of buckets, not written. made: its entry without a place; *entry: with it. 0, -ENOSPC, -ENOMEM; -E2BIG:
 * entries cannot name the place.
 */
int trie_take_buckets(const struct trie *trie, uint32_t made, uint32_t *entry);

/* What the node `entry` of the trie in force has for a key; one without a slot: `other`, without a mask. */
struct trie_key trie_hash_find(const struct memory *memory, uint32_t entry, uint32_t key);
/* Whether packets find a key that trie_hash_keys() lists. */
bool trie_hash_has(const struct memory *memory, uint32_t entry, uint32_t key);
/* Whether the address, which has that key before byte `end`, is of the network that the slot's mask names. */
bool trie_key_matches(const struct trie_key *slot, address_number address, unsigned int end);
uint32_t trie_hash_other(const struct memory *memory, uint32_t entry);
/* Whether no packet finds this key where the node has `other`. */
bool trie_hash_is_elsewhere(uint32_t entry, uint32_t key);
/* Bytes of the address that the node takes. */
unsigned int trie_hash_bytes(uint32_t entry);
/* All keys of a node that packets can find, in no order. 0 or -ENOMEM. */
int trie_hash_keys(const struct memory *memory, uint32_t entry, struct trie_keys *keys);
/*
 * Gives a key another child, for all its addresses, while packets read the node. *result is the entry that is to stand in
 * the parent in place of `entry`: the same one where the node had room. 0, -ENOMEM, -ENOSPC: what would have to be
 * written anew is too much to do here.
 */
int trie_hash_set(const struct trie *trie, uint32_t entry, uint32_t key, uint32_t child, uint32_t *result);

#endif
