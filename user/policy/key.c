/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/key.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"

int key_add(struct key *key, const void *bytes, size_t length)
{
	/* Nothing has no address, and an empty key has none either. */
	if (!length)
		return 0;
	if (array_reserve(&key->bytes, &key->capacity, key->length + length, 1) < 0)
		return -ENOMEM;
	memcpy(key->bytes + key->length, bytes, length);
	key->length += length;
	return 0;
}

int key_add_number(struct key *key, uint32_t number)
{
	return key_add(key, &number, sizeof(number));
}

int key_add_text(struct key *key, const char *text)
{
	return key_add(key, text, strlen(text) + 1);
}

int key_add_selector(struct key *key, const struct label_selector *selector)
{
	int error = key_add_number(key, (uint32_t)selector->count);
	size_t i, j;

	for (i = 0; i < selector->count && !error; i++) {
		const struct selector_requirement *requirement = &selector->requirements[i];

		error = key_add_text(key, requirement->key);
		if (!error)
			error = key_add_number(key, requirement->op);
		if (!error)
			error = key_add_number(key, (uint32_t)requirement->value_count);
		for (j = 0; j < requirement->value_count && !error; j++)
			error = key_add_text(key, requirement->values[j]);
	}
	return error;
}

void key_clear(struct key *key)
{
	free(key->bytes);
	memset(key, 0, sizeof(*key));
}
