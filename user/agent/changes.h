/* SPDX-License-Identifier: Apache-2.0 */
/* What happened to objects since the tables in force were made of them. */
#ifndef EGRESSD_AGENT_CHANGES_H
#define EGRESSD_AGENT_CHANGES_H

#include <stdbool.h>

#include "model/store.h"

/* What happened to a pod; both are borrowed from the store. */
struct pod_change {
	struct object *old; /* NULL: came */
	struct object *new; /* NULL: went */
};

struct changes {
	bool others; /* an object that is no pod came, went or changed */
	struct pod_change *pods; /* first those that went, then those that changed, then those that came */
	size_t pod_count;
};

/* What the store, which is tracked, says changed; looks at nothing else. Valid until it changes. 0 or -ENOMEM. */
int changes_list(const struct store *store, struct changes *out);
void changes_clear(struct changes *changes);

#endif
