/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The set of objects in force, by kind, namespace and name. It holds a reference to each object. Two objects with the
 * same key cannot both be in it: a source reports that as a problem before it comes to this.
 *
 * A store that is tracked knows what changed in it: what follows from it follows the changes, and looks at nothing else.
 */
#ifndef EGRESSD_MODEL_STORE_H
#define EGRESSD_MODEL_STORE_H

#include "model/object.h"

struct store;

/* A Kubernetes name has at most 253 characters, a namespace 63; longer ones are in no store. */
#define STORE_KEY_SIZE 512
/* "namespace/name". False: longer than any in a store. */
bool store_key(const char *namespace, const char *name, char key[STORE_KEY_SIZE]);

/* 0 or -ENOMEM. */
int store_new(struct store **out);
void store_free(struct store *store);

/*
 * Takes a reference of its own. Replaces an object with the same key. 0; -ENOMEM; -ENAMETOOLONG (longer than any
 * name in Kubernetes).
 */
int store_put(struct store *store, struct object *object);
/* 0, -ENOENT, or -ENOMEM (only of a store that is tracked). */
int store_remove(struct store *store, enum object_kind kind, const char *namespace, const char *name);
/* Borrowed: valid until the store changes. NULL: not there. */
struct object *store_get(const struct store *store, enum object_kind kind, const char *namespace, const char *name);
size_t store_count(const struct store *store, enum object_kind kind);

/*
 * Objects of a kind sorted by namespace, then name; the array belongs to the store and is valid until the store
 * changes. NULL with *count == 0 if there are none or memory is short (*count is then SIZE_MAX).
 */
struct object *const *store_list(struct store *store, enum object_kind kind, size_t *count);
/* In such a list: index of the first object that is in the namespace or behind it; count if there is none. */
size_t store_first_in_namespace(struct object *const *objects, size_t count, const char *namespace);

/* ------------------------------------------------------------------ what changed */

/*
 * From now on the store remembers what it held when it was settled last; before the first time that is nothing, so
 * what it holds now came since. 0 or -ENOMEM.
 */
int store_track(struct store *store);

/* An object that came (before NULL), went (now NULL) or was replaced since. Borrowed: valid until the store changes. */
struct store_change {
	enum object_kind kind;
	struct object *before, *now;
};
/* How many there are, in no order; `index` is below that. Putting back what was there before is no change. */
size_t store_change_count(const struct store *store);
struct store_change store_change_at(const struct store *store, size_t index);

/* What the store holds now is what is asked about from here on. */
void store_settle(struct store *store);

/*
 * Objects of a kind as they were when the store was settled, in no order; the array is the caller's to free, the objects
 * are borrowed until it is settled again. 0 or -ENOMEM.
 */
int store_list_settled(struct store *store, enum object_kind kind, struct object ***out, size_t *count);

#endif
