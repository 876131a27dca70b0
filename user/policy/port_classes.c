/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Port classes: positions at which every row has the same cell. A position's column is known by a sum over the rows of
 * 128-bit hashes of (row, cell), which changes only where some row's span begins or ends; so all columns take one pass,
 * however many rows there are. Two different columns have the same sum with a probability of about 2^-90 for the
 * largest tables.
 */
#include <errno.h>
#include <stdlib.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "policy/compile.h"
#include "policy/limits.h"

struct column {
	uint64_t low, high;
};

/* The finalizer of SplitMix64 (Steele, Lea, Flood 2014), a bijection that mixes well. */
static uint64_t mix(uint64_t value)
{
	value ^= value >> 30;
	value *= 0xbf58476d1ce4e5b9u;
	value ^= value >> 27;
	value *= 0x94d049bb133111ebu;
	return value ^ value >> 31;
}

static struct column hash_cell(uint32_t row, uint32_t cell)
{
	uint64_t value = (uint64_t)row << 32 | cell;

	return (struct column){.low = mix(value + 0x9e3779b97f4a7c15u), .high = mix(mix(value) ^ 0xd1b54a32d192ed03u)};
}

struct port_classes {
	struct intern columns; /* class less one; class 0 is the position without ports alone */
	size_t first_capacity;
	struct column *changes; /* by position: by how much the column there differs from the one before */
	uint64_t *edges;        /* a bit a position: a row's span begins there or has ended before it */
};

#define EDGE_BITS 64u

static void port_classes_clear(struct port_classes *classes)
{
	intern_clear(&classes->columns);
	free(classes->changes);
	free(classes->edges);
}

static void mark_edge(struct port_classes *classes, uint32_t position)
{
	classes->edges[position / EDGE_BITS] |= UINT64_C(1) << position % EDGE_BITS;
}

/* The first edge at `position` or beyond; POSITION_COUNT: there is none. */
static uint32_t next_edge(const struct port_classes *classes, uint32_t position)
{
	uint64_t word;

	if (position >= POSITION_COUNT)
		return POSITION_COUNT;
	word = classes->edges[position / EDGE_BITS] & ~UINT64_C(0) << position % EDGE_BITS;
	while (!word) {
		position = (position / EDGE_BITS + 1) * EDGE_BITS;
		if (position >= POSITION_COUNT)
			return POSITION_COUNT;
		word = classes->edges[position / EDGE_BITS];
	}
	return position / EDGE_BITS * EDGE_BITS + (uint32_t)__builtin_ctzll(word);
}

static void add_row(const struct policy *policy, uint32_t row, struct port_classes *classes)
{
	size_t count, i;
	const struct row_span *spans = row_spans(policy, row, &count);

	for (i = 0; i < count; i++) {
		const struct column hash = hash_cell(row, spans[i].cell);
		struct column *begin = &classes->changes[spans[i].first];
		struct column *end = &classes->changes[spans[i].last + 1];

		begin->low += hash.low;
		begin->high += hash.high;
		end->low -= hash.low;
		end->high -= hash.high;
		mark_edge(classes, spans[i].first);
		mark_edge(classes, spans[i].last + 1);
	}
}

static int class_of_column(struct policy *policy, struct port_classes *classes, const struct column *column,
			   uint32_t position, uint32_t *class)
{
	int added = intern_put(&classes->columns, column, sizeof(*column), class);

	if (added < 0)
		return added;
	*class += 1;
	if (!added)
		return 0;
	if (*class >= PORT_CLASSES_MAX)
		return -E2BIG;
	if (array_reserve(&policy->port_class_first, &classes->first_capacity, (size_t) * class + 1,
			  sizeof(*policy->port_class_first)) < 0)
		return -ENOMEM;
	policy->port_class_first[*class] = position;
	policy->port_class_count = *class + 1;
	return 0;
}

/* From edge to edge: between them all positions have one column. */
static int classify_positions(struct policy *policy, struct port_classes *classes)
{
	struct column column = {0};
	uint32_t position = POSITION_PORTLESS + 1, next, i;

	/* What begins at the position without ports goes on behind it, in a class of its own. */
	classes->changes[position].low += classes->changes[POSITION_PORTLESS].low;
	classes->changes[position].high += classes->changes[POSITION_PORTLESS].high;
	for (; position < POSITION_COUNT; position = next) {
		uint32_t class;
		int error;

		column.low += classes->changes[position].low;
		column.high += classes->changes[position].high;
		error = class_of_column(policy, classes, &column, position, &class);
		if (error < 0)
			return error;
		next = next_edge(classes, position + 1);
		for (i = position; i < next; i++)
			policy->port_class[i] = (uint16_t)class;
	}
	return 0;
}

static int find_classes(struct policy *policy, struct port_classes *classes)
{
	uint32_t row;

	classes->changes = calloc(POSITION_COUNT + 1, sizeof(*classes->changes));
	classes->edges = calloc(POSITION_COUNT / EDGE_BITS + 1, sizeof(*classes->edges));
	policy->port_class = calloc(POSITION_COUNT, sizeof(*policy->port_class));
	if (!classes->changes || !classes->edges || !policy->port_class ||
	    array_reserve(&policy->port_class_first, &classes->first_capacity, 1, sizeof(*policy->port_class_first)) <
		    0)
		return -ENOMEM;
	policy->port_class_first[0] = POSITION_PORTLESS;
	policy->port_class_count = 1;
	for (row = 0; row < policy->rows.count; row++)
		add_row(policy, row, classes);
	return classify_positions(policy, classes);
}

int compile_port_classes(struct compile *compile)
{
	_cleanup_(port_classes_clear) struct port_classes classes = {0};
	int error = find_classes(compile->policy, &classes);

	if (error == -E2BIG)
		return compile_limit(compile, largest_policy(compile->policy), "port classes", PORT_CLASSES_MAX);
	return error;
}
