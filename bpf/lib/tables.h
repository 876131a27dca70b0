/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The policy tables as <egressd/walk.h> reads them. Its longer functions become global ones with numbers for arguments:
 * the verifier looks at those once, not once for each way to them; 5.10 allows no pointers to memory there.
 */
#ifndef EGRESSD_BPF_TABLES_H
#define EGRESSD_BPF_TABLES_H

#include "lib/maps.h"

#define EGRESS_PACKED_ENTRY tables_packed_entry
static inline __attribute__((always_inline)) _Bool tables_packed_entry(const void *map, __u32 address, __u32 byte,
								       __u32 *entry);
#include <egressd/walk.h>

/* No trie entry is this: its kind does not exist. */
#define TABLES_NONE (~0u)

__noinline __u32 tables_packed(__u32 address, __u32 byte)
{
	__u32 entry;

	return egress_packed_entry(&tables, address, byte, &entry) ? entry : TABLES_NONE;
}

static __always_inline _Bool tables_packed_entry(const void *map, __u32 address, __u32 byte, __u32 *entry)
{
	(void)map;
	*entry = tables_packed(address, byte);
	return *entry != TABLES_NONE;
}

/* Class of an IPv6 address as numbers, or TABLES_NONE. */
__noinline __u32 tables_class6(__u32 root, __u64 high, __u64 low)
{
	__u32 class;

	return egress_class6_number(&tables, root, high, low, &class) ? class : TABLES_NONE;
}

#endif
