/* SPDX-License-Identifier: Apache-2.0 */
/* Nodes of rows (<egressd/tables.h>), of the last two bytes of IPv4 addresses: making one, changing one address in it. */
#ifndef EGRESSD_POLICY_TRIE_ROWS_H
#define EGRESSD_POLICY_TRIE_ROWS_H

#include "policy/trie_choice.h"

/* A node without a place: as it would stand there, with as many rows as there can be. */
struct trie_rows {
	uint32_t words[EGRESS_ROWS_BITS_WORD + EGRESS_ROWS_MAX * EGRESS_ROWS_BIT_WORDS];
};

static inline struct egress_trie_rows *trie_rows_image(struct trie_rows *rows)
{
	return (void *)rows->words;
}

/*
 * Whether the part, 2^16 addresses from `base` on, is of two classes, and not every byte needs a row of its own; then
 * *rows is the node for it. Row 0 is the usual class alone.
 */
bool trie_find_rows(const struct trie_part *part, address_number base, struct trie_rows *rows);
/* Words that its node takes. */
size_t trie_rows_words(const struct trie_rows *rows);
/* *entry points to the node. 0, -ENOSPC, -ENOMEM. */
int trie_new_rows(const struct trie *trie, const struct trie_rows *rows, uint32_t *entry);

/* The entry for the last two bytes of an address. */
uint32_t trie_rows_entry(const struct egress_trie_rows *rows, uint32_t value);
/* Whether all 32 addresses whose bits are in one word with that one have the same entry. */
bool trie_rows_word_is_of_one(const struct egress_trie_rows *rows, uint32_t value);
/*
 * Gives one address another class, a leaf, while packets read the node. *result is the entry that is to stand in the parent
 * in place of `entry`: the same one where the node had room. 0, -ENOMEM, -ENOSPC; -E2BIG: no node of rows can say it.
 */
int trie_rows_set(const struct trie *trie, uint32_t entry, uint32_t value, uint32_t leaf, uint32_t *result);
/* The same as a full block, with nodes of bits below it; *block points to it. */
int trie_rows_to_block(const struct trie *trie, uint32_t entry, uint32_t *block);

#endif
