/* SPDX-License-Identifier: Apache-2.0 */
#include "model/store.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* uthash exits the process when memory is short, unless told not to; with this, the element's table is NULL then. */
#define HASH_NONFATAL_OOM 1
#include <uthash.h>

#include "base/array.h"

struct entry {
	UT_hash_handle hh;
	struct object *object;
	char key[]; /* "namespace/name": neither may hold a slash */
};

struct table {
	struct entry *entries;
	struct object **sorted; /* cache of store_list */
	size_t sorted_capacity;
	bool is_sorted;
};

struct store {
	struct table tables[OBJECT_KIND_COUNT];
};

int store_new(struct store **out)
{
	struct store *store = calloc(1, sizeof(*store));

	if (!store)
		return -ENOMEM;
	*out = store;
	return 0;
}

static void entry_free(struct entry *entry)
{
	object_unref(entry->object);
	free(entry);
}

static void table_clear(struct table *table)
{
	struct entry *entry, *next;

	HASH_ITER(hh, table->entries, entry, next) {
		HASH_DEL(table->entries, entry);
		entry_free(entry);
	}
	free(table->sorted);
}

void store_free(struct store *store)
{
	if (!store)
		return;
	for (size_t kind = 0; kind < OBJECT_KIND_COUNT; kind++)
		table_clear(&store->tables[kind]);
	free(store);
}

static size_t key_length(const char *namespace, const char *name)
{
	return strlen(namespace) + 1 + strlen(name);
}

static void write_key(char *key, const char *namespace, const char *name)
{
	size_t length = strlen(namespace);

	memcpy(key, namespace, length);
	key[length] = '/';
	memcpy(key + length + 1, name, strlen(name) + 1);
}

/* A Kubernetes name has at most 253 characters, a namespace 63; longer ones are in no store. */
#define KEY_SIZE 512

static struct entry *find(const struct table *table, const char *namespace, const char *name)
{
	size_t length = key_length(namespace, name);
	struct entry *entry = NULL;
	char key[KEY_SIZE];

	if (length >= sizeof(key))
		return NULL;
	write_key(key, namespace, name);
	HASH_FIND(hh, table->entries, key, length, entry);
	return entry;
}

static int insert(struct table *table, struct object *object)
{
	size_t length = key_length(object->namespace, object->name);
	struct entry *entry;

	if (length >= KEY_SIZE)
		return -ENAMETOOLONG;
	entry = calloc(1, sizeof(*entry) + length + 1);
	if (!entry)
		return -ENOMEM;
	write_key(entry->key, object->namespace, object->name);
	HASH_ADD_KEYPTR(hh, table->entries, entry->key, length, entry);
	if (!entry->hh.tbl) {
		free(entry);
		return -ENOMEM;
	}
	entry->object = object_ref(object);
	return 0;
}

int store_put(struct store *store, struct object *object)
{
	struct table *table = &store->tables[object->kind];
	struct entry *entry = find(table, object->namespace, object->name);
	struct object *old;
	int error;

	if (!entry) {
		error = insert(table, object);
		if (error)
			return error;
	} else {
		old = entry->object;
		entry->object = object_ref(object);
		object_unref(old);
	}
	table->is_sorted = false;
	return 0;
}

int store_remove(struct store *store, enum object_kind kind, const char *namespace, const char *name)
{
	struct table *table = &store->tables[kind];
	struct entry *entry = find(table, namespace, name);

	if (!entry)
		return -ENOENT;
	HASH_DEL(table->entries, entry);
	entry_free(entry);
	table->is_sorted = false;
	return 0;
}

struct object *store_get(const struct store *store, enum object_kind kind, const char *namespace, const char *name)
{
	struct entry *entry = find(&store->tables[kind], namespace, name);

	return entry ? entry->object : NULL;
}

size_t store_count(const struct store *store, enum object_kind kind)
{
	return HASH_COUNT(store->tables[kind].entries);
}

static int compare_objects(const void *left, const void *right)
{
	const struct object *a = *(struct object *const *)left, *b = *(struct object *const *)right;
	int order = strcmp(a->namespace, b->namespace);

	return order ? order : strcmp(a->name, b->name);
}

static int sort_table(struct table *table)
{
	struct entry *entry;
	size_t count = 0;
	int error;

	error = array_reserve(&table->sorted, &table->sorted_capacity, HASH_COUNT(table->entries),
			      sizeof(*table->sorted));
	if (error)
		return error;
	for (entry = table->entries; entry; entry = entry->hh.next)
		table->sorted[count++] = entry->object;
	qsort(table->sorted, count, sizeof(*table->sorted), compare_objects);
	table->is_sorted = true;
	return 0;
}

struct object *const *store_list(struct store *store, enum object_kind kind, size_t *count)
{
	struct table *table = &store->tables[kind];

	*count = HASH_COUNT(table->entries);
	if (!*count)
		return NULL;
	if (!table->is_sorted && sort_table(table)) {
		*count = SIZE_MAX;
		return NULL;
	}
	return table->sorted;
}
