/* SPDX-License-Identifier: Apache-2.0 */
/* Arrays on the heap that grow. */
#ifndef EGRESSD_BASE_ARRAY_H
#define EGRESSD_BASE_ARRAY_H

#include <stddef.h>

/*
 * Makes room for `needed` items of `item_size` bytes in the array that *array (a pointer to any object type) points to;
 * the capacity at least doubles, so that appending one by one is linear. New room is not zeroed. 0 or -ENOMEM (then
 * nothing has changed).
 */
int array_reserve(void *array, size_t *capacity, size_t needed, size_t item_size);

#endif
