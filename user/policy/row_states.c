/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From the rules that hold at a class to its row. The rules of a set come in order, so the list of those that hold is a
 * path in a tree, and a list that many classes share is walked once.
 */
#include <errno.h>
#include <stdlib.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "policy/rows.h"

/* A list of rules: the last one, and the list before it. */
struct state_key {
	uint32_t before;
	uint32_t rule;
};

struct row_key {
	uint32_t state;
	uint32_t names;
};

/* A span in which a rule allows. */
struct allowance {
	uint32_t first, last;
	uint32_t rule;
};

struct allowances {
	struct allowance *items;
	size_t count, capacity;
};

int row_states_init(struct policy *policy)
{
	static const struct state_key nothing = {.before = NONE, .rule = NONE};
	uint32_t state;

	if (intern_put(&policy->row_states, &nothing, sizeof(nothing), &state) < 0 ||
	    array_reserve(&policy->states, &policy->state_capacity, (size_t)state + 1, sizeof(*policy->states)) < 0)
		return -ENOMEM;
	policy->states[state] = (struct row_state){0};
	return 0;
}

int row_state_next(struct policy *policy, uint32_t state, uint32_t rule, uint32_t *next)
{
	const struct state_key key = {.before = state, .rule = rule};
	const struct compiled_rule *compiled = &policy->rules[rule];
	int added;

	/* Everything is allowed already, by a rule that comes first. */
	if (policy->states[state].total) {
		*next = state;
		return 0;
	}
	added = intern_put(&policy->row_states, &key, sizeof(key), next);
	if (added <= 0)
		return added;
	if (array_reserve(&policy->states, &policy->state_capacity, (size_t)*next + 1, sizeof(*policy->states)) < 0)
		return -ENOMEM;
	policy->states[*next] = (struct row_state){
		.names = policy->states[state].names || compiled->name_count,
		.total = compiled->every_port,
	};
	return 0;
}

static int allow(struct allowances *allowances, uint32_t first, uint32_t last, uint32_t rule)
{
	if (array_reserve(&allowances->items, &allowances->capacity, allowances->count + 1,
			  sizeof(*allowances->items)) < 0)
		return -ENOMEM;
	allowances->items[allowances->count++] = (struct allowance){.first = first, .last = last, .rule = rule};
	return 0;
}

static int allow_name(const struct policy *policy, struct allowances *allowances, uint32_t names, uint32_t name,
		      uint32_t rule)
{
	size_t length, i;
	const struct resolved_name *resolved = intern_key(&policy->name_resolutions, names, &length);

	for (i = 0; i < length / sizeof(*resolved); i++)
		if (resolved[i].name == name)
			return allow(allowances, resolved[i].position, resolved[i].position, rule);
	return 0;
}

static int allow_rule(const struct policy *policy, struct allowances *allowances, uint32_t names, uint32_t rule)
{
	const struct compiled_rule *compiled = &policy->rules[rule];
	size_t i;
	int error = 0;

	if (compiled->every_port)
		return allow(allowances, POSITION_PORTLESS, POSITION_COUNT - 1, rule);
	for (i = 0; i < compiled->span_count && !error; i++)
		error = allow(allowances, compiled->spans[i].first, compiled->spans[i].last, rule);
	for (i = 0; i < compiled->name_count && !error; i++)
		error = allow_name(policy, allowances, names, compiled->names[i], rule);
	return error;
}

static int compare_allowances(const void *left, const void *right)
{
	const struct allowance *a = left, *b = right;

	if (a->first != b->first)
		return a->first < b->first ? -1 : 1;
	return a->rule < b->rule ? -1 : a->rule > b->rule;
}

/* ------------------------------------------------------------------ the lowest rule at every position */

/* A heap of allowances by rule, the lowest on top. */
static void heap_push(const struct allowance **heap, size_t *count, const struct allowance *item)
{
	size_t i = (*count)++;

	for (; i && heap[(i - 1) / 2]->rule > item->rule; i = (i - 1) / 2)
		heap[i] = heap[(i - 1) / 2];
	heap[i] = item;
}

static void heap_pop(const struct allowance **heap, size_t *count)
{
	const struct allowance *last = heap[--*count];
	size_t i = 0;

	for (;;) {
		size_t child = 2 * i + 1;

		if (child + 1 < *count && heap[child + 1]->rule < heap[child]->rule)
			child++;
		if (child >= *count || heap[child]->rule >= last->rule)
			break;
		heap[i] = heap[child];
		i = child;
	}
	heap[i] = last;
}

static int paint(const struct allowances *allowances, struct row_builder *row)
{
	_cleanup_free_ const struct allowance **heap = calloc(allowances->count + 1, sizeof(*heap));
	size_t open = 0, i = 0;
	uint32_t position = 0;

	if (!heap)
		return -ENOMEM;
	for (;;) {
		uint32_t last;

		while (open && heap[0]->last < position)
			heap_pop(heap, &open);
		if (!open) {
			if (i == allowances->count)
				return 0;
			if (allowances->items[i].first > position)
				position = allowances->items[i].first;
		}
		while (i < allowances->count && allowances->items[i].first <= position)
			heap_push(heap, &open, &allowances->items[i++]);
		if (heap[0]->last < position)
			continue;
		last = heap[0]->last;
		if (i < allowances->count && allowances->items[i].first <= last)
			last = allowances->items[i].first - 1;
		if (row_add(row, position, last, EGRESS_CELL_ALLOW | (EGRESS_RULE_FIRST + heap[0]->rule)) < 0)
			return -ENOMEM;
		position = last + 1;
	}
}

static int build_row(struct policy *policy, struct row_builder *row, uint32_t state, uint32_t names)
{
	struct allowances allowances = {0};
	const struct state_key *key = intern_key(&policy->row_states, state, NULL);
	int error = 0;

	for (; key->rule != NONE && !error; key = intern_key(&policy->row_states, key->before, NULL))
		error = allow_rule(policy, &allowances, names, key->rule);
	if (!error) {
		if (allowances.count)
			qsort(allowances.items, allowances.count, sizeof(*allowances.items), compare_allowances);
		row_begin(row);
		error = paint(&allowances, row);
	}
	free(allowances.items);
	return error;
}

int row_of_state(struct policy *policy, struct row_builder *scratch, uint32_t state, uint32_t names, uint32_t *row)
{
	const struct row_key key = {.state = state, .names = policy->states[state].names ? names : 0};
	uint32_t number;
	int added = intern_put(&policy->row_keys, &key, sizeof(key), &number);

	if (added < 0)
		return added;
	if (added) {
		int error = array_reserve(&policy->row_of_key, &policy->row_key_capacity, (size_t)number + 1,
					  sizeof(*policy->row_of_key));

		if (!error)
			error = build_row(policy, scratch, state, names);
		if (!error)
			error = row_put(policy, scratch, &policy->row_of_key[number]);
		if (error)
			return error;
	}
	*row = policy->row_of_key[number];
	return 0;
}
