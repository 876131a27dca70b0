/* SPDX-License-Identifier: Apache-2.0 */
/* What tests ask of a hash node's words that nothing else does. */
#ifndef EGRESSD_TESTS_HASH_NODE_H
#define EGRESSD_TESTS_HASH_NODE_H

#include <stddef.h>
#include <stdint.h>

#include <egressd/tables.h>

/* Keys of a node with tags that neither bucket of their pair had a place for. words: of all tables. */
static inline size_t keys_in_a_third_bucket(const uint32_t *words, uint32_t entry)
{
	const uint64_t *slot = (const void *)(words + egress_hash_address(entry));
	const size_t bucket = EGRESS_TAGGED_SLOTS + 1;
	size_t count = 0, i;

	/* The last double word of a bucket is its tags; what stands for all other keys is the last slot of bucket 0. */
	for (i = 0; i < bucket * egress_hash_buckets(entry); i++)
		count += i % bucket < EGRESS_TAGGED_SLOTS && i != EGRESS_TAGGED_SLOTS - 1 && slot[i] &&
			 egress_hash_third(entry, egress_hash_bucket(entry, slot[i] >> 32)) == i / bucket;
	return count;
}

/* Keys of a node of runs in the other bucket of their pair, and in the one behind that. */
static inline void count_moved_runs(const uint32_t *words, uint32_t entry, size_t *pair, size_t *third)
{
	const struct egress_trie_run *run = (const void *)(words + egress_hash_address(entry));
	uint32_t i;

	*pair = *third = 0;
	for (i = egress_run_first(entry); i < egress_hash_buckets(entry); i++) {
		uint32_t own = egress_run_bucket(entry, (uint32_t)(run[i].slot >> 32));

		if (!run[i].slot || i == own)
			continue;
		*pair += i == (own ^ 1);
		*third += i != (own ^ 1);
	}
}

#endif
