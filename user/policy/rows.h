/* SPDX-License-Identifier: Apache-2.0 */
/* Rows under construction: runs of positions with one cell. */
#ifndef EGRESSD_POLICY_ROWS_H
#define EGRESSD_POLICY_ROWS_H

#include "policy/compile.h"

struct row_builder {
	struct row_span *spans;
	size_t count, capacity;
};

void row_begin(struct row_builder *row);
/* Positions come in order; neighbours with the same cell are joined, cell 0 is left out. 0 or -ENOMEM. */
int row_add(struct row_builder *row, uint32_t first, uint32_t last, uint32_t cell);
/* Equal rows are stored once. */
int row_put(struct policy *policy, const struct row_builder *row, uint32_t *id);
void row_builder_clear(struct row_builder *row);

/* states.c: the rules of a set that hold at a class, one after the other, as a state; state 0 is "no rule". */
#define ROW_STATE_NONE 0
int row_states_init(struct policy *policy);
/* The state after one more rule, whose number is above those of the state. */
int row_state_next(struct policy *policy, uint32_t state, uint32_t rule, uint32_t *next);
/* The row that the state's rules make, where port names resolve like this. */
int row_of_state(struct policy *policy, struct row_builder *scratch, uint32_t state, uint32_t names, uint32_t *row);

#endif
