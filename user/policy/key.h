/* SPDX-License-Identifier: Apache-2.0 */
/* Byte strings put together from parts, as keys for intern.h. */
#ifndef EGRESSD_POLICY_KEY_H
#define EGRESSD_POLICY_KEY_H

#include <stddef.h>
#include <stdint.h>

#include "model/object.h"

/* All zero is empty. Set length to 0 to use it again. */
struct key {
	unsigned char *bytes;
	size_t length, capacity;
};

/* 0 or -ENOMEM. */
int key_add(struct key *key, const void *bytes, size_t length);
int key_add_number(struct key *key, uint32_t number);
/* With its NUL, so that two texts never run together. */
int key_add_text(struct key *key, const char *text);
int key_add_selector(struct key *key, const struct label_selector *selector);
void key_clear(struct key *key);

#endif
