/* SPDX-License-Identifier: Apache-2.0 */
#include "base/array.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_CAPACITY 8

int array_reserve(void *array, size_t *capacity, size_t needed, size_t item_size)
{
	size_t wanted = *capacity ? *capacity : FIRST_CAPACITY;
	void *items;

	if (needed <= *capacity)
		return 0;
	while (wanted < needed) {
		if (wanted > SIZE_MAX / 2)
			return -ENOMEM;
		wanted *= 2;
	}
	if (item_size && wanted > SIZE_MAX / item_size)
		return -ENOMEM;

	/* memcpy, because a void ** may not alias the caller's pointer type. */
	memcpy(&items, array, sizeof(items));
	/* cppcheck-suppress memleakOnRealloc ; the caller has it still */
	items = realloc(items, wanted * item_size);
	if (!items)
		return -ENOMEM;
	memcpy(array, &items, sizeof(items));
	*capacity = wanted;
	return 0;
}
