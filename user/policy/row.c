/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "policy/rows.h"

void row_begin(struct row_builder *row)
{
	row->count = 0;
}

int row_add(struct row_builder *row, uint32_t first, uint32_t last, uint32_t cell)
{
	struct row_span *previous = row->count ? &row->spans[row->count - 1] : NULL;

	if (!cell)
		return 0;
	if (previous && previous->cell == cell && previous->last + 1 == first) {
		previous->last = last;
		return 0;
	}
	if (array_reserve(&row->spans, &row->capacity, row->count + 1, sizeof(*row->spans)) < 0)
		return -ENOMEM;
	row->spans[row->count++] = (struct row_span){.first = first, .last = last, .cell = cell};
	return 0;
}

int row_put(struct policy *policy, const struct row_builder *row, uint32_t *id)
{
	static const struct row_span nothing;
	int error = intern_put(&policy->rows, row->count ? row->spans : &nothing, row->count * sizeof(*row->spans), id);

	return error < 0 ? error : 0;
}

void row_builder_clear(struct row_builder *row)
{
	free(row->spans);
	memset(row, 0, sizeof(*row));
}

const struct row_span *row_spans(const struct policy *policy, uint32_t row, size_t *count)
{
	size_t length;
	const struct row_span *spans = intern_key(&policy->rows, row, &length);

	*count = length / sizeof(*spans);
	return spans;
}

uint32_t row_cell(const struct policy *policy, uint32_t row, uint32_t position)
{
	size_t count, low = 0;
	const struct row_span *spans = row_spans(policy, row, &count);

	while (low < count) {
		size_t middle = low + (count - low) / 2;

		if (spans[middle].last < position)
			low = middle + 1;
		else if (spans[middle].first > position)
			count = middle;
		else
			return spans[middle].cell;
	}
	return 0;
}
