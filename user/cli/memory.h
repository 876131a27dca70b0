/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory for a command that runs once and ends: where there is none, it says so and exits with EXIT_ERROR, so no caller
 * checks. Everything returned belongs to the caller; free().
 */
#ifndef EGRESSD_CLI_MEMORY_H
#define EGRESSD_CLI_MEMORY_H

#include <stddef.h>

void out_of_memory(void) __attribute__((noreturn));

/* Zeroed. */
void *allocate(size_t count, size_t size);
char *copy_text(const char *text);
char *format_text(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* The array, at its old place or a new one, with room for at least one more than `count` items. */
void *array_grow(void *items, size_t count, size_t *capacity, size_t size);

/* Appends an item: array_push(list->items, list->count, list->capacity, item). */
#define array_push(items, count, capacity, item)                                       \
	do {                                                                           \
		(items) = array_grow((items), (count), &(capacity), sizeof(*(items))); \
		(items)[(count)++] = (item);                                           \
	} while (0)

#endif
