/* SPDX-License-Identifier: Apache-2.0 */
/* The inside of struct tables, for tables.c, pod_changes.c, size.c and verdict.c. */
#ifndef EGRESSD_POLICY_TABLES_INSIDE_H
#define EGRESSD_POLICY_TABLES_INSIDE_H

#include "policy/compile.h"
#include "policy/memory.h"
#include "policy/tables.h"
#include "policy/trie.h"

/* A cache line, which class vectors begin on. */
#define TABLES_LINE_WORDS 16u

/*
 * What every bank has and every packet reads is in front, of both banks, so that it is in the chunk that the program
 * needs no look-up for. Where it begins:
 */
#define TABLES_BANK_FIXED(bank) (EGRESS_BLOCK_WORDS + (bank) * TABLES_FIXED_WORDS)

struct changed_address;

/* What is known of a bank beside its words. */
struct bank_state {
	const struct policy *policy;     /* borrowed; NULL: the bank is empty */
	uint32_t *vectors;               /* by set: address of its class vector */
	struct changed_address *changes; /* what pod changes have made of addresses since the policy was compiled */
};

struct tables {
	struct memory memory;
	struct egress_control *control;
	struct bank_state banks[EGRESS_BANKS];
	bool written; /* the bank that is not in force was written since the last publication */
};

struct trie bank_trie(struct tables *tables, unsigned int bank);
void forget_changes(struct bank_state *bank);

#endif
