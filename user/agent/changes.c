/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/changes.h"

#include <errno.h>
#include <stdlib.h>

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

int changes_list(const struct store *store, struct changes *out)
{
	size_t count = store_change_count(store), i;
	struct changes changes = {0};

	if (count) {
		changes.pods = calloc(count, sizeof(*changes.pods));
		if (!changes.pods)
			return -ENOMEM;
	}
	for (i = 0; i < count; i++) {
		struct store_change change = store_change_at(store, i);

		if (change.kind == OBJECT_POD)
			changes.pods[changes.pod_count++] =
				(struct pod_change){.old = change.before, .new = change.now};
		else
			changes.others = true;
	}
	if (changes.pod_count)
		qsort(changes.pods, changes.pod_count, sizeof(*changes.pods), by_rank);
	*out = changes;
	return 0;
}

void changes_clear(struct changes *changes)
{
	free(changes->pods);
}
