/* SPDX-License-Identifier: Apache-2.0 */
#include "model/store.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/hash.h"

struct entry {
	UT_hash_handle hh;
	struct object *object; /* NULL: it went since the store was settled */
	struct object *before; /* a reference; only of a change */
	size_t change;         /* its place among the changes, from 1; 0: it is none */
	enum object_kind kind;
	char key[]; /* "namespace/name": neither may hold a slash */
};

struct table {
	struct entry *entries;
	size_t count; /* of those that have an object */
	struct object **sorted; /* cache of store_list */
	size_t sorted_capacity;
	bool is_sorted;
};

struct store {
	struct table tables[OBJECT_KIND_COUNT];
	bool tracked;
	struct entry **changes;
	size_t change_count, change_capacity;
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
	object_unref(entry->before);
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
	free(store->changes);
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

bool store_key(const char *namespace, const char *name, char key[STORE_KEY_SIZE])
{
	if (key_length(namespace, name) >= STORE_KEY_SIZE)
		return false;
	write_key(key, namespace, name);
	return true;
}

static struct entry *find(const struct table *table, const char *namespace, const char *name)
{
	struct entry *entry = NULL;
	char key[STORE_KEY_SIZE];

	if (store_key(namespace, name, key))
		HASH_FIND(hh, table->entries, key, key_length(namespace, name), entry);
	return entry;
}

static int compare_objects(const void *left, const void *right)
{
	const struct object *a = *(struct object *const *)left, *b = *(struct object *const *)right;
	int order = strcmp(a->namespace, b->namespace);

	return order ? order : strcmp(a->name, b->name);
}

size_t store_first_in_namespace(struct object *const *objects, size_t count, const char *namespace)
{
	size_t low = 0, high = count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (strcmp(objects[middle]->namespace, namespace) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* An object that takes another's place has its place in the list too. To be called while the other one is there. */
static void replace_sorted(struct table *table, struct object *object)
{
	struct object **place;

	if (!table->is_sorted)
		return;
	place = bsearch(&object, table->sorted, table->count, sizeof(*table->sorted), compare_objects);
	if (place)
		*place = object;
	else
		table->is_sorted = false;
}

/* ------------------------------------------------------------------ what changed */

/* Room for one more change, before anything is done. */
static int reserve_change(struct store *store)
{
	if (!store->tracked)
		return 0;
	return array_reserve(&store->changes, &store->change_capacity, store->change_count + 1,
			     sizeof(*store->changes));
}

static void forget_change(struct store *store, struct entry *entry)
{
	struct entry *last = store->changes[--store->change_count];

	store->changes[entry->change - 1] = last;
	last->change = entry->change;
	entry->change = 0;
	object_unref(entry->before);
	entry->before = NULL;
}

/* The object takes the place of what the entry has; takes over that one's reference. There is room for a change. */
static void set_object(struct store *store, struct entry *entry, struct object *object)
{
	struct object *old = entry->object;

	entry->object = object;
	if (!store->tracked) {
		object_unref(old);
		return;
	}
	if (!entry->change) {
		store->changes[store->change_count++] = entry;
		entry->change = store->change_count;
		entry->before = old;
	} else {
		object_unref(old);
	}
	if (entry->before == object && object)
		forget_change(store, entry);
}

static void remove_entry(struct table *table, struct entry *entry)
{
	HASH_DEL(table->entries, entry);
	entry_free(entry);
}

int store_track(struct store *store)
{
	size_t kind, needed = 0;
	struct entry *entry;
	int error;

	for (kind = 0; kind < OBJECT_KIND_COUNT; kind++)
		needed += HASH_COUNT(store->tables[kind].entries);
	error = array_reserve(&store->changes, &store->change_capacity, needed, sizeof(*store->changes));
	if (error)
		return error;
	store->tracked = true;
	for (kind = 0; kind < OBJECT_KIND_COUNT; kind++) {
		for (entry = store->tables[kind].entries; entry; entry = entry->hh.next) {
			store->changes[store->change_count++] = entry;
			entry->change = store->change_count;
		}
	}
	return 0;
}

size_t store_change_count(const struct store *store)
{
	return store->change_count;
}

struct store_change store_change_at(const struct store *store, size_t index)
{
	const struct entry *entry = store->changes[index];

	return (struct store_change){.kind = entry->kind, .before = entry->before, .now = entry->object};
}

/* A store that held thousands of changes once need not keep their places. */
#define CHANGES_KEPT 1024

void store_settle(struct store *store)
{
	while (store->change_count) {
		struct entry *entry = store->changes[store->change_count - 1];

		forget_change(store, entry);
		if (!entry->object)
			remove_entry(&store->tables[entry->kind], entry);
	}
	if (store->change_capacity > CHANGES_KEPT) {
		free(store->changes);
		store->changes = NULL;
		store->change_capacity = 0;
	}
}

/* ------------------------------------------------------------------ objects */

static int insert(struct store *store, struct object *object)
{
	struct table *table = &store->tables[object->kind];
	size_t length = key_length(object->namespace, object->name);
	struct entry *entry;

	if (length >= STORE_KEY_SIZE)
		return -ENAMETOOLONG;
	entry = calloc(1, sizeof(*entry) + length + 1);
	if (!entry)
		return -ENOMEM;
	entry->kind = object->kind;
	write_key(entry->key, object->namespace, object->name);
	HASH_ADD_KEYPTR(hh, table->entries, entry->key, length, entry);
	if (!entry->hh.tbl) {
		free(entry);
		return -ENOMEM;
	}
	set_object(store, entry, object_ref(object));
	return 0;
}

int store_put(struct store *store, struct object *object)
{
	struct table *table = &store->tables[object->kind];
	struct entry *entry = find(table, object->namespace, object->name);
	int error = reserve_change(store);

	if (error)
		return error;
	if (entry && entry->object) {
		replace_sorted(table, object);
		set_object(store, entry, object_ref(object));
		return 0;
	}
	if (entry) {
		set_object(store, entry, object_ref(object));
	} else {
		error = insert(store, object);
		if (error)
			return error;
	}
	table->count++;
	table->is_sorted = false;
	return 0;
}

int store_remove(struct store *store, enum object_kind kind, const char *namespace, const char *name)
{
	struct table *table = &store->tables[kind];
	struct entry *entry = find(table, namespace, name);
	int error;

	if (!entry || !entry->object)
		return -ENOENT;
	error = reserve_change(store);
	if (error)
		return error;
	set_object(store, entry, NULL);
	table->count--;
	table->is_sorted = false;
	/* Nobody asks for what came and went since. */
	if (entry->change && !entry->before)
		forget_change(store, entry);
	if (!entry->change)
		remove_entry(table, entry);
	return 0;
}

struct object *store_get(const struct store *store, enum object_kind kind, const char *namespace, const char *name)
{
	struct entry *entry = find(&store->tables[kind], namespace, name);

	return entry ? entry->object : NULL;
}

size_t store_count(const struct store *store, enum object_kind kind)
{
	return store->tables[kind].count;
}

static int sort_table(struct table *table)
{
	struct entry *entry;
	size_t count = 0;
	int error;

	error = array_reserve(&table->sorted, &table->sorted_capacity, table->count, sizeof(*table->sorted));
	if (error)
		return error;
	for (entry = table->entries; entry; entry = entry->hh.next)
		if (entry->object)
			table->sorted[count++] = entry->object;
	qsort(table->sorted, count, sizeof(*table->sorted), compare_objects);
	table->is_sorted = true;
	return 0;
}

struct object *const *store_list(struct store *store, enum object_kind kind, size_t *count)
{
	struct table *table = &store->tables[kind];

	*count = table->count;
	if (!*count)
		return NULL;
	if (!table->is_sorted && sort_table(table)) {
		*count = SIZE_MAX;
		return NULL;
	}
	return table->sorted;
}

int store_list_settled(struct store *store, enum object_kind kind, struct object ***out, size_t *count)
{
	struct table *table = &store->tables[kind];
	struct object **objects = calloc(HASH_COUNT(table->entries) + 1, sizeof(*objects));
	struct entry *entry;
	size_t found = 0;

	if (!objects)
		return -ENOMEM;
	for (entry = table->entries; entry; entry = entry->hh.next) {
		struct object *object = entry->change ? entry->before : entry->object;

		if (object)
			objects[found++] = object;
	}
	*out = objects;
	*count = found;
	return 0;
}
