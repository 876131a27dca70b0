/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The policy tables as <egressd/walk.h> reads them. Its longer functions become global ones with numbers for arguments:
 * the verifier looks at those once, not once for each way to them; 5.10 allows no pointers to memory there.
 */
#ifndef EGRESSD_BPF_TABLES_H
#define EGRESSD_BPF_TABLES_H

#include "lib/maps.h"

#define EGRESS_RANGES_ENTRY tables_ranges_entry
static inline __attribute__((always_inline)) _Bool tables_ranges_entry(const void *map, __u32 value, __u32 *entry);
#include <egressd/walk.h>

/* No trie entry is this: its kind does not exist. */
#define TABLES_NONE (~0u)

__noinline __u32 tables_ranges(__u32 entry, __u32 value)
{
	return egress_ranges_entry(&tables, value & 0xffff, &entry) ? entry : TABLES_NONE;
}

static __always_inline _Bool tables_ranges_entry(const void *map, __u32 value, __u32 *entry)
{
	(void)map;
	*entry = tables_ranges(*entry, value);
	return *entry != TABLES_NONE;
}

/* Class of an IPv6 address as numbers, or TABLES_NONE. depth: see egress_class6_number(). */
__noinline __u32 tables_class6(__u32 root, __u32 depth, __u64 high, __u64 low)
{
	__u32 class;

	return egress_class6_number(&tables, root, depth, high, low, &class) ? class : TABLES_NONE;
}

#endif
