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

/* changes[p]: by how much the column at p differs from the one before. */
static void add_row(const struct policy *policy, uint32_t row, struct column *changes)
{
	size_t count, i;
	const struct row_span *spans = row_spans(policy, row, &count);

	for (i = 0; i < count; i++) {
		const struct column hash = hash_cell(row, spans[i].cell);

		changes[spans[i].first].low += hash.low;
		changes[spans[i].first].high += hash.high;
		changes[spans[i].last + 1].low -= hash.low;
		changes[spans[i].last + 1].high -= hash.high;
	}
}

struct port_classes {
	struct intern columns; /* class less one; class 0 is the position without ports alone */
	size_t first_capacity;
};

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

static int classify_positions(struct policy *policy, struct port_classes *classes, const struct column *changes)
{
	struct column column = {0};
	uint32_t position, class = 0;

	for (position = 1; position < POSITION_COUNT; position++) {
		bool changed = changes[position].low || changes[position].high;

		column.low += changes[position].low;
		column.high += changes[position].high;
		if (changed || position == 1) {
			int error = class_of_column(policy, classes, &column, position, &class);

			if (error < 0)
				return error;
		}
		policy->port_class[position] = (uint16_t) class;
	}
	return 0;
}

static int find_classes(struct policy *policy, struct port_classes *classes)
{
	_cleanup_free_ struct column *changes = calloc(POSITION_COUNT + 1, sizeof(*changes));
	uint32_t row;

	policy->port_class = calloc(POSITION_COUNT, sizeof(*policy->port_class));
	if (!changes || !policy->port_class ||
	    array_reserve(&policy->port_class_first, &classes->first_capacity, 1, sizeof(*policy->port_class_first)) <
		    0)
		return -ENOMEM;
	policy->port_class_first[0] = POSITION_PORTLESS;
	policy->port_class_count = 1;
	for (row = 0; row < policy->rows.count; row++)
		add_row(policy, row, changes);
	/* What begins at the position without ports goes on behind it, in a class of its own. */
	changes[1].low += changes[0].low;
	changes[1].high += changes[0].high;
	return classify_positions(policy, classes, changes);
}

int compile_port_classes(struct compile *compile)
{
	struct port_classes classes = {0};
	int error = find_classes(compile->policy, &classes);

	intern_clear(&classes.columns);
	if (error == -E2BIG)
		return compile_limit(compile, largest_policy(compile->policy), "port classes", PORT_CLASSES_MAX);
	return error;
}
