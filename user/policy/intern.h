/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers for byte strings: equal strings have equal numbers, counted from 0 in order of first appearance. */
#ifndef EGRESSD_POLICY_INTERN_H
#define EGRESSD_POLICY_INTERN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"

struct intern_entry;

/* All zero is empty. */
struct intern {
	struct intern_entry *table;
	struct intern_entry **entries; /* by number */
	struct arena *memory;          /* of them: what has thousands of entries ends in a few pieces */
	size_t capacity;
	uint32_t count;
};

/* The string's number in *number. Returns 1 if it is new, 0 if it was known, -ENOMEM. The key is copied. */
int intern_put(struct intern *intern, const void *key, size_t length, uint32_t *number);
bool intern_find(const struct intern *intern, const void *key, size_t length, uint32_t *number);
/* Aligned as malloc aligns; valid until intern_clear. length may be NULL. */
const void *intern_key(const struct intern *intern, uint32_t number, size_t *length);
void intern_clear(struct intern *intern);

#endif
