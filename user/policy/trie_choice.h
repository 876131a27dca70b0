/* SPDX-License-Identifier: Apache-2.0 */
/* Which node fits a part of the trie: what it would hold and cost. For trie_write.c. */
#ifndef EGRESSD_POLICY_TRIE_CHOICE_H
#define EGRESSD_POLICY_TRIE_CHOICE_H

#include "policy/trie_hash.h"
#include "policy/trie_node.h"
#include "policy/trie_runs.h"

/* The ranges first .. last (indices) that meet the part of the addresses in hand: 2^bits from `base` on. */
struct trie_part {
	const struct ranges *ranges;
	size_t first, last;
};

/* The part of range `i` that is among the addresses in hand, as offsets from `base`. */
void trie_part_offsets(const struct trie_part *part, address_number base, unsigned int bits, size_t i,
		       address_number *first, address_number *last);

/* Bits that a node of ranges takes. */
static inline unsigned int trie_ranges_bits(unsigned int bits)
{
	return bits < 16 ? bits : 16;
}

/* Whether the entries of children of 2^width addresses change at no more than `limit` places. */
bool trie_changes_rarely(const struct trie_part *part, address_number base, unsigned int width, size_t limit);

/* Whether all ranges begin with a whole value of the next byte, of 2^width addresses, and are of two classes at most. */
bool trie_find_bits(const struct trie_part *part, address_number base, unsigned int width,
		    struct egress_trie_bits *out);

/*
 * Where all that is not of the class around it lies below one longer prefix, a skip node leads there: to *base, behind
 * byte *to. False: there is no such prefix.
 */
bool trie_find_skip(const struct trie_part *part, unsigned int bits, address_number *base, unsigned int *to);

/* The class of the longest range: what most addresses have, and a hash node need not hold. */
uint32_t trie_usual_class(const struct trie_part *part, address_number base, unsigned int bits);

/*
 * Whether all of the part's addresses, 2^bits of them from `base` on, are `usual` but for one network. *range: which one;
 * *length: its bits behind those of the base.
 */
bool trie_find_network(const struct trie_part *part, address_number base, unsigned int bits, uint32_t usual,
		       size_t *range, unsigned int *length);

/* What a hash node of so many bytes would hold: keys, and of these those that do not end with it. */
struct trie_hash_plan {
	unsigned int bytes;
	size_t keys, branches;
};

/*
 * How many bytes a hash node is to take: as many as possible, since every node on the way costs a packet time, unless it
 * would be much larger than another and large beside all that is below it. False: a full block is better.
 */
bool trie_find_hash(const struct trie_part *part, address_number base, unsigned int bits, uint32_t usual, bool packed,
		    struct trie_hash_plan *out);

/*
 * Whether a bucket of a node of runs holds all there is in these addresses, 2^bits of them from `base` on: two classes in
 * turn, of whole values of the next two bytes. *ranges: by these.
 */
bool trie_find_run(const struct trie_part *part, address_number base, unsigned int bits, struct trie_ranges *ranges);

/* What a node of runs would hold: so many keys, and these of them with all that is below them. */
struct trie_runs_plan {
	size_t keys, runs;
};

/* Whether it is worth its memory, see struct egress_trie_run, where so many ranges are below it. */
bool trie_wants_runs(const struct trie_runs_plan *plan, size_t ranges, bool packed);

/* Words of a full block of these last 2^16 addresses, with a node below it for each byte that is not of one class. */
size_t trie_block_words(const struct trie_part *part, address_number base);

/*
 * Whether single addresses of these last 2^16, which are not `usual`, take half the memory in a hash node, or less, of
 * the words that they would take `otherwise`.
 */
bool trie_find_scattered(const struct trie_part *part, address_number base, uint32_t usual, size_t otherwise);

#endif
