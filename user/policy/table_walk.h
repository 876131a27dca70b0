/* SPDX-License-Identifier: Apache-2.0 */
/* <egressd/walk.h> for user space, where `tables` is a struct table_view. Its memory is a multiple of EGRESS_BLOCK_WORDS. */
#ifndef EGRESSD_POLICY_TABLE_WALK_H
#define EGRESSD_POLICY_TABLE_WALK_H

#include "policy/tables.h"

static inline const __u32 *egress_table_chunk(const void *tables, __u32 address)
{
	const struct table_view *view = tables;

	/*
	 * Nothing that is read as a whole crosses a block, nor do the buckets of a hash node that one key is looked for in. Of a
	 * node of rows, which may, each word is asked for, and of a node of runs the last one.
	 */
	if ((address | (EGRESS_BLOCK_WORDS - 1)) >= view->word_count)
		return NULL;
	return view->words + (address & ~(EGRESS_CHUNK_WORDS - 1));
}

#define EGRESS_TABLE_BEGINS_WITH(address) 0
#define EGRESS_TABLE_BEGINS_WITH_HALF(half) 0
#define EGRESS_TABLE_HOLDS(tables, address) (egress_table_chunk(tables, address) != NULL)

#include <egressd/walk.h>

#endif
