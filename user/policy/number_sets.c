/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/number_sets.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/cleanup.h"

enum step_kind { STEP_ADD, STEP_REMOVE, STEP_UNION };

struct step {
	uint32_t kind;
	uint32_t set;
	uint32_t operand;
};

int number_sets_init(struct number_sets *sets)
{
	uint32_t empty = 0;
	int error;

	memset(sets, 0, sizeof(*sets));
	error = intern_put(&sets->sets, &empty, 0, &empty);
	return error < 0 ? error : 0;
}

void number_sets_clear(struct number_sets *sets)
{
	intern_clear(&sets->sets);
	intern_clear(&sets->steps);
	free(sets->step_results);
	free(sets->scratch);
	memset(sets, 0, sizeof(*sets));
}

const uint32_t *number_sets_items(const struct number_sets *sets, uint32_t set, size_t *count)
{
	size_t length;
	const uint32_t *items = intern_key(&sets->sets, set, &length);

	*count = length / sizeof(*items);
	return items;
}

static size_t with_number(const uint32_t *items, size_t count, uint32_t number, uint32_t *out)
{
	size_t length = 0, i = 0;

	while (i < count && items[i] < number)
		out[length++] = items[i++];
	out[length++] = number;
	if (i < count && items[i] == number)
		i++;
	while (i < count)
		out[length++] = items[i++];
	return length;
}

static size_t without_number(const uint32_t *items, size_t count, uint32_t number, uint32_t *out)
{
	size_t length = 0, i;

	for (i = 0; i < count; i++)
		if (items[i] != number)
			out[length++] = items[i];
	return length;
}

static size_t merged(const uint32_t *a, size_t a_count, const uint32_t *b, size_t b_count, uint32_t *out)
{
	size_t length = 0, i = 0, j = 0;

	while (i < a_count || j < b_count) {
		uint32_t next;

		if (j == b_count || (i < a_count && a[i] <= b[j]))
			next = a[i++];
		else
			next = b[j++];
		if (!length || out[length - 1] != next)
			out[length++] = next;
	}
	return length;
}

/* The members of the result in sets->scratch; their number in *length. */
static int take_step(struct number_sets *sets, const struct step *step, size_t *length)
{
	size_t count, other_count = 1;
	const uint32_t *items = number_sets_items(sets, step->set, &count), *other = NULL;

	if (step->kind == STEP_UNION)
		other = number_sets_items(sets, step->operand, &other_count);
	if (array_reserve(&sets->scratch, &sets->scratch_capacity, count + other_count, sizeof(*sets->scratch)) < 0)
		return -ENOMEM;

	if (step->kind == STEP_ADD)
		*length = with_number(items, count, step->operand, sets->scratch);
	else if (step->kind == STEP_REMOVE)
		*length = without_number(items, count, step->operand, sets->scratch);
	else
		*length = merged(items, count, other, other_count, sets->scratch);
	return 0;
}

static int find_or_take_step(struct number_sets *sets, enum step_kind kind, uint32_t set, uint32_t operand,
			     uint32_t *result)
{
	const struct step key = {.kind = kind, .set = set, .operand = operand};
	uint32_t number, known;
	size_t length;
	int error;

	if (intern_find(&sets->steps, &key, sizeof(key), &number)) {
		*result = sets->step_results[number];
		return 0;
	}
	error = take_step(sets, &key, &length);
	if (error < 0)
		return error;
	error = intern_put(&sets->sets, sets->scratch, length * sizeof(*sets->scratch), &known);
	if (error < 0)
		return error;
	if (error > 0) {
		sets->members += length;
		if (sets->members > NUMBER_SETS_MEMBERS_MAX)
			return -E2BIG;
	}

	/* Room first: a step that is known must have its result. */
	if (array_reserve(&sets->step_results, &sets->step_capacity, (size_t)sets->steps.count + 1,
			  sizeof(*sets->step_results)) < 0 ||
	    intern_put(&sets->steps, &key, sizeof(key), &number) < 0)
		return -ENOMEM;
	sets->step_results[number] = known;
	*result = known;
	return 0;
}

static int step(struct number_sets *sets, enum step_kind kind, uint32_t set, uint32_t operand, uint32_t *result)
{
	uint32_t found;
	int error;

	if (sets->last_step[kind].known && sets->last_step[kind].set == set &&
	    sets->last_step[kind].operand == operand) {
		*result = sets->last_step[kind].result;
		return 0;
	}
	error = find_or_take_step(sets, kind, set, operand, &found);
	if (error < 0)
		return error;
	sets->last_step[kind].known = true;
	sets->last_step[kind].set = set;
	sets->last_step[kind].operand = operand;
	sets->last_step[kind].result = found;
	*result = found;
	return 0;
}

int number_sets_add(struct number_sets *sets, uint32_t set, uint32_t number, uint32_t *result)
{
	return step(sets, STEP_ADD, set, number, result);
}

int number_sets_remove(struct number_sets *sets, uint32_t set, uint32_t number, uint32_t *result)
{
	return step(sets, STEP_REMOVE, set, number, result);
}

int number_sets_union(struct number_sets *sets, uint32_t a, uint32_t b, uint32_t *result)
{
	if (a == b || b == NUMBER_SET_EMPTY) {
		*result = a;
		return 0;
	}
	if (a == NUMBER_SET_EMPTY) {
		*result = b;
		return 0;
	}
	return step(sets, STEP_UNION, a, b, result);
}

int number_sets_find_union(const struct number_sets *sets, uint32_t a, uint32_t b, uint32_t *result)
{
	size_t a_count, b_count, length;
	const uint32_t *a_items = number_sets_items(sets, a, &a_count), *b_items = number_sets_items(sets, b, &b_count);
	_cleanup_free_ uint32_t *both = malloc((a_count + b_count + 1) * sizeof(*both));

	if (!both)
		return -ENOMEM;
	length = merged(a_items, a_count, b_items, b_count, both);
	return intern_find(&sets->sets, both, length * sizeof(*both), result) ? 0 : -ENOENT;
}
