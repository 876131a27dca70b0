/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The policy tables as <egressd/walk.h> reads them. The walk for IPv6 is a global function with numbers for
 * arguments: the verifier looks at it once, not once for each way to it; 5.10 allows no pointers to memory there.
 */
#ifndef EGRESSD_BPF_TABLES_H
#define EGRESSD_BPF_TABLES_H

#include "lib/maps.h"

/* What tables_first() gave. */
#define EGRESS_TABLE_BEGINS_WITH(address) likely((address) < EGRESS_CHUNK_WORDS)
#define EGRESS_TABLE_BEGINS_WITH_HALF(half) likely((half) < 2 * EGRESS_CHUNK_WORDS)
/* Chunks are whole. */
#define EGRESS_TABLE_HOLDS(tables, address) 1

#include <egressd/walk.h>

/* No trie entry is this: no table reaches so far. */
#define TABLES_NONE (~0u)

/* Class of an IPv6 address as numbers (see egress_class6_number()), or TABLES_NONE. */
__noinline __u32 tables_class6(__u32 root, __u64 first, __u64 last)
{
	__u32 class;

	return egress_class6_number(tables_first(), root, first, last, &class) ? class : TABLES_NONE;
}

#endif
