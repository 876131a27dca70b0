/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sets of numbers, each stored once: equal sets have equal numbers, and a step from one set to the next that was
 * taken before is a look-up. Set 0 is the empty set.
 */
#ifndef EGRESSD_POLICY_NUMBER_SETS_H
#define EGRESSD_POLICY_NUMBER_SETS_H

#include "policy/intern.h"

#define NUMBER_SET_EMPTY 0

/* Members of all sets together, beyond which -E2BIG is returned: 256 MB. */
#define NUMBER_SETS_MEMBERS_MAX ((size_t)64 << 20)

struct number_sets {
	struct intern sets;
	struct intern steps;     /* (kind, set, operand) */
	uint32_t *step_results;  /* by number of the step */
	/*
	 * The last one of each kind: where blocks of one policy stand beside each other, it is the same two over and
	 * over, a million times.
	 */
	struct {
		uint32_t set, operand, result;
		bool known;
	} last_step[3];
	size_t step_capacity;
	uint32_t *scratch;
	size_t scratch_capacity;
	size_t members;
};

int number_sets_init(struct number_sets *sets);
void number_sets_clear(struct number_sets *sets);

/* 0, -E2BIG or -ENOMEM. */
int number_sets_add(struct number_sets *sets, uint32_t set, uint32_t number, uint32_t *result);
int number_sets_remove(struct number_sets *sets, uint32_t set, uint32_t number, uint32_t *result);
int number_sets_union(struct number_sets *sets, uint32_t a, uint32_t b, uint32_t *result);

/* The union if that set is known: 0, -ENOENT or -ENOMEM. */
int number_sets_find_union(const struct number_sets *sets, uint32_t a, uint32_t b, uint32_t *result);

/* Ascending. */
const uint32_t *number_sets_items(const struct number_sets *sets, uint32_t set, size_t *count);

#endif
