/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which file has an object. Two files may hold the same one (by kind, namespace and name): the one whose path sorts
 * first has it; in one file the one that stands first.
 */
#ifndef EGRESSD_SOURCE_CLAIMS_H
#define EGRESSD_SOURCE_CLAIMS_H

#include <stddef.h>

#include "model/object.h"

struct claim;

/* All zero is empty. */
struct claims {
	struct claim *holders;
};

void claims_clear(struct claims *claims);

/*
 * The object that *slot holds is claimed from now on. The slot keeps the reference; it must stay where it is until the
 * claim is removed. 0 or -ENOMEM.
 */
int claims_add(struct claims *claims, struct object **slot);
void claims_remove(struct claims *claims, const struct object *object);

/* The object of this kind, namespace and name that counts; NULL: nobody claims it. Borrowed. */
struct object *claims_holder(const struct claims *claims, const struct object *named);
/* Puts a twin, identical to the object that counts, into that one's slot. */
void claims_replace(struct claims *claims, struct object *twin);

/* Calls `visit` for every object of this name that does not count. */
void claims_each_rival(const struct claims *claims, const struct object *named,
		       void (*visit)(const struct object *rival, void *data), void *data);

#endif
