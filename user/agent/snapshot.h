/* SPDX-License-Identifier: Apache-2.0 */
/* The objects that the tables in force were made of, to tell what has changed since. */
#ifndef EGRESSD_AGENT_SNAPSHOT_H
#define EGRESSD_AGENT_SNAPSHOT_H

#include <stdbool.h>

#include "model/decode.h"
#include "model/store.h"

struct snapshot {
	struct object_list kinds[OBJECT_KIND_COUNT]; /* sorted by namespace, then name */
};

/* 0 or -ENOMEM; *out is untouched on failure. */
int snapshot_take(struct store *store, struct snapshot *out);
void snapshot_clear(struct snapshot *snapshot);

/* What happened to a pod; both are borrowed from the snapshots. */
struct pod_change {
	struct object *old; /* NULL: came */
	struct object *new; /* NULL: went */
};

struct snapshot_changes {
	bool others; /* an object that is no pod came, went or changed */
	struct pod_change *pods; /* first those that went, then those that changed, then those that came */
	size_t pod_count;
};

/* 0 or -ENOMEM. */
int snapshot_compare(const struct snapshot *before, const struct snapshot *now, struct snapshot_changes *out);
void snapshot_changes_clear(struct snapshot_changes *changes);

#endif
