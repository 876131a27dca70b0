/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/intern.h"

#include <errno.h>
#include <stdalign.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/hash.h"

struct intern_entry {
	UT_hash_handle hh;
	uint32_t number;
	alignas(16) unsigned char key[];
};

static struct intern_entry *find(const struct intern *intern, const void *key, size_t length, unsigned int hash)
{
	struct intern_entry *entry;

	HASH_FIND_BYHASHVALUE(hh, intern->table, key, length, hash, entry);
	return entry;
}

bool intern_find(const struct intern *intern, const void *key, size_t length, uint32_t *number)
{
	const struct intern_entry *entry;
	unsigned int hash;

	HASH_VALUE(key, length, hash);
	entry = find(intern, key, length, hash);
	if (!entry)
		return false;
	*number = entry->number;
	return true;
}

static struct intern_entry *add(struct intern *intern, const void *key, size_t length, unsigned int hash)
{
	struct intern_entry *entry;

	if (!intern->memory)
		intern->memory = arena_new();
	entry = intern->memory ? arena_allocate(intern->memory, sizeof(*entry) + length) : NULL;
	if (!entry)
		return NULL;
	if (length)
		memcpy(entry->key, key, length);
	HASH_ADD_KEYPTR_BYHASHVALUE(hh, intern->table, entry->key, length, hash, entry);
	if (!entry->hh.tbl)
		return NULL;
	entry->number = intern->count;
	intern->entries[intern->count++] = entry;
	return entry;
}

int intern_put(struct intern *intern, const void *key, size_t length, uint32_t *number)
{
	struct intern_entry *entry;
	unsigned int hash;

	HASH_VALUE(key, length, hash);
	entry = find(intern, key, length, hash);
	if (entry) {
		*number = entry->number;
		return 0;
	}
	if (intern->count == UINT32_MAX ||
	    array_reserve(&intern->entries, &intern->capacity, (size_t)intern->count + 1, sizeof(*intern->entries)) < 0)
		return -ENOMEM;
	entry = add(intern, key, length, hash);
	if (!entry)
		return -ENOMEM;
	*number = entry->number;
	return 1;
}

const void *intern_key(const struct intern *intern, uint32_t number, size_t *length)
{
	const struct intern_entry *entry = intern->entries[number];

	if (length)
		*length = entry->hh.keylen;
	return entry->key;
}

void intern_clear(struct intern *intern)
{
	HASH_CLEAR(hh, intern->table);
	arena_free(intern->memory);
	free(intern->entries);
	memset(intern, 0, sizeof(*intern));
}
