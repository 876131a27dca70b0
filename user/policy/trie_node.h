/* SPDX-License-Identifier: Apache-2.0 */
/* Nodes of the trie: taking memory for one and writing it. For trie_write.c and trie_set.c. */
#ifndef EGRESSD_POLICY_TRIE_NODE_H
#define EGRESSD_POLICY_TRIE_NODE_H

#include "policy/trie.h"

#define TRIE_FAN_OUT 256u

/* A block with these entries, packed if the trie is and it is sparse; *entry points to it. */
int trie_new_block(const struct trie *trie, const uint32_t entries[TRIE_FAN_OUT], uint32_t *entry);

/*
 * All addresses that agree with `address` in bytes from .. to - 1 go on with `match` at byte `to`, all others are
 * `other`.
 */
int trie_new_skip(const struct trie *trie, address_number address, unsigned int from, unsigned int to, uint32_t match,
		  uint32_t other, uint32_t *entry);

/* All 256 entries of a block of any kind. */
void trie_read_block(const struct memory *memory, uint32_t entry, uint32_t entries[TRIE_FAN_OUT]);

/* Byte `index` of an IPv6 address, from 0, as on the wire. */
static inline uint8_t ipv6_byte(address_number address, unsigned int index)
{
	return (uint8_t)(address >> (120 - 8 * index));
}

#endif
