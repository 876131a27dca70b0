/* SPDX-License-Identifier: Apache-2.0 */
/* Nodes of runs of the trie (struct egress_trie_run): making one, finding a key in it, adding one. */
#ifndef EGRESSD_POLICY_TRIE_RUNS_H
#define EGRESSD_POLICY_TRIE_RUNS_H

#include "policy/trie.h"
#include "policy/trie_node.h"

/* Of a key. */
#define TRIE_RUN_BYTES 4u

/* Buckets in use, wherever they are. */
struct trie_runs {
	struct egress_trie_run *items; /* each key once; `other` is of no meaning */
	size_t count, capacity;
};

/* ranges: below the key, leaves that take turns, EGRESS_RUN_BOUNDS bounds at most; or one entry that is no leaf. 0 or -ENOMEM. */
int trie_runs_add(struct trie_runs *runs, uint32_t key, const struct trie_ranges *ranges);
void trie_runs_clear(struct trie_runs *runs);

static inline uint32_t trie_run_key(const struct egress_trie_run *run)
{
	return (uint32_t)(run->slot >> 32);
}

static inline uint32_t trie_run_entry(const struct egress_trie_run *run)
{
	return ~(uint32_t)run->slot;
}

/* Of one whose entry is a leaf: what it says of the two bytes behind the key. False: its bounds are not in order. */
bool trie_run_ranges(const struct egress_trie_run *run, struct trie_ranges *ranges);

/* Words of a node of so many keys, if it need not be larger for want of a function that spreads them. */
size_t trie_runs_words(size_t keys);

/* A node of these; *entry points to it. other: a leaf. 0, -ENOSPC, -ENOMEM; -E2BIG: no size within reason holds them. */
int trie_new_runs(const struct trie *trie, const struct trie_runs *runs, uint32_t other, uint32_t *entry);

/* Of the node `entry` of the trie in force: the key's bucket, or NULL. */
const struct egress_trie_run *trie_runs_find(const struct memory *memory, uint32_t entry, uint32_t key);
uint32_t trie_runs_other(const struct memory *memory, uint32_t entry);
/* All buckets in use that packets find, in no order. 0 or -ENOMEM. */
int trie_runs_list(const struct memory *memory, uint32_t entry, struct trie_runs *runs);
/*
 * Gives a key an entry that is no leaf, for all its addresses, while packets read the node. *result is the entry that is
 * to stand in the parent in place of `entry`: the same one where the node had room. 0, -ENOMEM, -ENOSPC: what would have
 * to be written anew is too much to do here. Of large nodes, three quarters full at most, that is so of up to every second
 * key that the node has not: the compile that follows has it.
 */
int trie_runs_set(const struct trie *trie, uint32_t entry, uint32_t key, uint32_t child, uint32_t *result);

#endif
