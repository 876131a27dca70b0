/* SPDX-License-Identifier: Apache-2.0 */
/* Memory for things that die together: many small allocations, one free. */
#ifndef EGRESSD_BASE_ARENA_H
#define EGRESSD_BASE_ARENA_H

#include <stddef.h>

struct arena;

/* NULL when memory is short. */
struct arena *arena_new(void);
/* Frees everything that was allocated from it. NULL is allowed. */
void arena_free(struct arena *arena);
void arena_free_pointer(struct arena **arena);

/* What was allocated from the other one is from now on this one's, and the other one is gone. */
void arena_adopt(struct arena *arena, struct arena *other);

/* Zeroed, aligned for any type. NULL when memory is short. A size of 0 gives a valid pointer to nothing. */
void *arena_allocate(struct arena *arena, size_t size);
/* The same for an array of `count` items; NULL also where the product overflows. */
void *arena_array(struct arena *arena, size_t count, size_t item_size);
/* Copies `length` bytes and ends them with a NUL. */
char *arena_copy(struct arena *arena, const char *text, size_t length);
char *arena_string(struct arena *arena, const char *text);

#endif
