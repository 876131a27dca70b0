/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/snapshot.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"

static int take_kind(struct store *store, enum object_kind kind, struct object_list *out)
{
	struct object *const *objects;
	size_t count, i;

	objects = store_list(store, kind, &count);
	if (count == SIZE_MAX)
		return -ENOMEM;
	if (!count)
		return 0;
	out->items = calloc(count, sizeof(*out->items));
	if (!out->items)
		return -ENOMEM;
	out->capacity = count;
	for (i = 0; i < count; i++)
		out->items[out->count++] = object_ref(objects[i]);
	return 0;
}

int snapshot_take(struct store *store, struct snapshot *out)
{
	_cleanup_(snapshot_clear) struct snapshot taken = {0};
	unsigned int kind;

	for (kind = 0; kind < OBJECT_KIND_COUNT; kind++)
		if (take_kind(store, kind, &taken.kinds[kind]))
			return -ENOMEM;
	*out = taken;
	taken = (struct snapshot){0};
	return 0;
}

void snapshot_clear(struct snapshot *snapshot)
{
	unsigned int kind;

	for (kind = 0; kind < OBJECT_KIND_COUNT; kind++)
		object_list_clear(&snapshot->kinds[kind]);
}

/* An object that did not change is still the same one: the source replaces only what differs. */
static bool same_objects(const struct object_list *a, const struct object_list *b)
{
	return a->count == b->count &&
	       (!a->count || !memcmp(a->items, b->items, a->count * sizeof(*a->items)));
}

static int compare_names(const struct object *a, const struct object *b)
{
	int order = strcmp(a->namespace, b->namespace);

	return order ? order : strcmp(a->name, b->name);
}

/* The order in which changes are given: an address that one pod gave up is free before another takes it. */
static int change_rank(const struct pod_change *change)
{
	if (!change->new)
		return 0;
	return change->old ? 1 : 2;
}

static int by_rank(const void *a, const void *b)
{
	return change_rank(a) - change_rank(b);
}

/* Both lists are sorted alike. */
static void merge(const struct object_list *before, const struct object_list *now, struct snapshot_changes *changes)
{
	size_t i = 0, j = 0;

	while (i < before->count || j < now->count) {
		struct pod_change change = {0};
		int order;

		if (i == before->count)
			order = 1;
		else if (j == now->count)
			order = -1;
		else
			order = compare_names(before->items[i], now->items[j]);
		if (order <= 0)
			change.old = before->items[i++];
		if (order >= 0)
			change.new = now->items[j++];
		if (change.old != change.new)
			changes->pods[changes->pod_count++] = change;
	}
}

int snapshot_compare(const struct snapshot *before, const struct snapshot *now, struct snapshot_changes *out)
{
	const struct object_list *old_pods = &before->kinds[OBJECT_POD], *new_pods = &now->kinds[OBJECT_POD];
	struct snapshot_changes changes = {0};
	unsigned int kind;

	for (kind = 0; kind < OBJECT_KIND_COUNT; kind++)
		if (kind != OBJECT_POD && !same_objects(&before->kinds[kind], &now->kinds[kind]))
			changes.others = true;
	if (!same_objects(old_pods, new_pods)) {
		changes.pods = calloc(old_pods->count + new_pods->count, sizeof(*changes.pods));
		if (!changes.pods)
			return -ENOMEM;
		merge(old_pods, new_pods, &changes);
		qsort(changes.pods, changes.pod_count, sizeof(*changes.pods), by_rank);
	}
	*out = changes;
	return 0;
}

void snapshot_changes_clear(struct snapshot_changes *changes)
{
	free(changes->pods);
	*changes = (struct snapshot_changes){0};
}
