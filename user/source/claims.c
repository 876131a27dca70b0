/* SPDX-License-Identifier: Apache-2.0 */
#include "source/claims.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* Keys are the objects themselves: their kind, namespace and name. */
static unsigned int hash_object(const void *key);
static bool other_name(const void *left, const void *right);
#define HASH_FUNCTION(key, length, hash) ((hash) = hash_object(key))
#define HASH_KEYCMP(left, right, length) other_name(left, right)
#include "base/hash.h"

struct claim {
	UT_hash_handle hh; /* of the one that counts; the others are in its list */
	struct object **slot;
	struct claim *next; /* the rivals, in their order */
};

static unsigned int hash_object(const void *key)
{
	const struct object *object = key;
	unsigned int namespace_hash, name_hash;

	HASH_JEN(object->namespace, strlen(object->namespace), namespace_hash);
	HASH_JEN(object->name, strlen(object->name), name_hash);
	return (namespace_hash * 31 + name_hash) * 31 + object->kind;
}

static bool other_name(const void *left, const void *right)
{
	const struct object *a = left, *b = right;

	return a->kind != b->kind || strcmp(a->name, b->name) || strcmp(a->namespace, b->namespace);
}

static struct claim *find_holder(const struct claims *claims, const struct object *named)
{
	struct claim *holder;

	HASH_FIND(hh, claims->holders, named, 1, holder);
	return holder;
}

void claims_clear(struct claims *claims)
{
	struct claim *holder, *next, *rival;

	HASH_ITER(hh, claims->holders, holder, next) {
		HASH_DEL(claims->holders, holder);
		while ((rival = holder->next)) {
			holder->next = rival->next;
			free(rival);
		}
		free(holder);
	}
}

static bool stands_before(const struct claim *left, const struct claim *right)
{
	const struct place *a = &(*left->slot)->place, *b = &(*right->slot)->place;
	int order = strcmp(a->file, b->file);

	if (order)
		return order < 0;
	return a->line < b->line || (a->line == b->line && a->column < b->column);
}

/* The table finds the claim by what it holds. */
static void set_slot(struct claim *holder, struct object **slot)
{
	holder->slot = slot;
	holder->hh.key = *slot;
}

int claims_add(struct claims *claims, struct object **slot)
{
	struct claim *holder = find_holder(claims, *slot), *claim = calloc(1, sizeof(*claim)), **place;

	if (!claim)
		return -ENOMEM;
	claim->slot = slot;
	if (!holder) {
		HASH_ADD_KEYPTR(hh, claims->holders, *slot, 1, claim);
		if (claim->hh.tbl)
			return 0;
		free(claim);
		return -ENOMEM;
	}
	if (stands_before(claim, holder)) {
		claim->slot = holder->slot;
		set_slot(holder, slot);
		claim->next = holder->next;
		holder->next = claim;
		return 0;
	}
	for (place = &holder->next; *place && !stands_before(claim, *place); place = &(*place)->next)
		;
	claim->next = *place;
	*place = claim;
	return 0;
}

void claims_remove(struct claims *claims, const struct object *object)
{
	struct claim *holder = find_holder(claims, object), **place, *claim;

	if (!holder)
		return;
	claim = holder->next;
	if (*holder->slot == object) {
		if (claim) {
			set_slot(holder, claim->slot);
			holder->next = claim->next;
		} else {
			HASH_DEL(claims->holders, holder);
			claim = holder;
		}
		free(claim);
		return;
	}
	for (place = &holder->next; (claim = *place); place = &claim->next) {
		if (*claim->slot != object)
			continue;
		*place = claim->next;
		free(claim);
		return;
	}
}

struct object *claims_holder(const struct claims *claims, const struct object *named)
{
	const struct claim *holder = find_holder(claims, named);

	return holder ? *holder->slot : NULL;
}

void claims_replace(struct claims *claims, struct object *twin)
{
	struct claim *holder = find_holder(claims, twin);
	struct object *old = *holder->slot;

	*holder->slot = object_ref(twin);
	set_slot(holder, holder->slot);
	object_unref(old);
}

void claims_each_rival(const struct claims *claims, const struct object *named,
		       void (*visit)(const struct object *rival, void *data), void *data)
{
	const struct claim *holder = find_holder(claims, named), *rival;

	for (rival = holder ? holder->next : NULL; rival; rival = rival->next)
		visit(*rival->slot, data);
}
