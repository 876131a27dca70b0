/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The set of objects in force, by kind, namespace and name. It holds a reference to each object. Two objects with the
 * same key cannot both be in it: a source reports that as a problem before it comes to this.
 */
#ifndef EGRESSD_MODEL_STORE_H
#define EGRESSD_MODEL_STORE_H

#include "model/object.h"

struct store;

/* 0 or -ENOMEM. */
int store_new(struct store **out);
void store_free(struct store *store);

/*
 * Takes a reference of its own. Replaces an object with the same key. 0; -ENOMEM; -ENAMETOOLONG (longer than any
 * name in Kubernetes).
 */
int store_put(struct store *store, struct object *object);
/* 0, or -ENOENT. */
int store_remove(struct store *store, enum object_kind kind, const char *namespace, const char *name);
/* Borrowed: valid until the store changes. NULL: not there. */
struct object *store_get(const struct store *store, enum object_kind kind, const char *namespace, const char *name);
size_t store_count(const struct store *store, enum object_kind kind);

/*
 * Objects of a kind sorted by namespace, then name; the array belongs to the store and is valid until the store
 * changes. NULL with *count == 0 if there are none or memory is short (*count is then SIZE_MAX).
 */
struct object *const *store_list(struct store *store, enum object_kind kind, size_t *count);

#endif
