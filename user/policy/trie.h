/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The trie of address classes in table memory (layout: <egressd/tables.h>): written whole, or changed at one address.
 */
#ifndef EGRESSD_POLICY_TRIE_H
#define EGRESSD_POLICY_TRIE_H

#include "policy/memory.h"
#include "policy/ranges.h"

struct trie {
	struct memory *memory;
	unsigned int bank;
	bool packed; /* written to take little memory, not to be read soonest */
};

/* One word for each value of two bytes: the IPv4 root, and wide blocks of IPv6. */
#define TRIE_WIDE_WORDS 65536u
#define TRIE_IPV4_ROOT_WORDS TRIE_WIDE_WORDS

/* root: the address of TRIE_IPV4_ROOT_WORDS words, which are the caller's. 0, -ENOSPC, -ENOMEM. */
int trie_write_ipv4(const struct trie *trie, const struct ranges *classes, uint32_t root);
/* *root: the root entry. */
int trie_write_ipv6(const struct trie *trie, const struct ranges *classes, uint32_t *root);

/*
 * Gives one address another class while packets read the trie: what is new is written first, then what makes it
 * visible. root: the address of the root words; or the word that holds the root entry.
 */
int trie_set_ipv4(const struct trie *trie, uint32_t root, address_number address, uint32_t class);
int trie_set_ipv6(const struct trie *trie, uint32_t *root, address_number address, uint32_t class);

/*
 * Words that one call of trie_set_* may take: a node of ranges that becomes 38 full blocks and those above it, a node of rows
 * that becomes a block with 256 nodes of bits, or a hash node anew, aligned to its size of a quarter of them at most, and
 * what is below it.
 */
#define TRIE_SET_WORDS 32768u

#endif
