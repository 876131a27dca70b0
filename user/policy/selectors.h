/* SPDX-License-Identifier: Apache-2.0 */
/* Which pod groups a peer's selectors select, worked out once for equal peers. */
#ifndef EGRESSD_POLICY_SELECTORS_H
#define EGRESSD_POLICY_SELECTORS_H

#include "policy/compile.h"
#include "policy/key.h"

/* Which of many things with labels have a given label. */
struct label_index {
	struct intern labels;    /* key NUL value NUL */
	struct label_holders *holders; /* by label */
	size_t holder_capacity;
	bool built;
};

struct selected {
	uint32_t *ids;
	size_t count, capacity;
};

struct selectors {
	const struct policy *policy;
	struct label_index namespace_index, group_index;
	struct intern namespace_selectors, peers;
	struct selected *namespaces; /* by number of the selector */
	struct selected *groups;     /* by number of the peer */
	size_t namespaces_capacity, groups_capacity;
	bool *chosen;                /* scratch, by namespace */
	struct key key;              /* scratch */
};

/* 0 or -ENOMEM. */
int selectors_init(struct selectors *selectors, const struct policy *policy);
void selectors_clear(struct selectors *selectors);
/*
 * The number of a peer with selectors, of a policy in this namespace; its groups are then selectors->groups[*peer_id].
 */
int selectors_put(struct selectors *selectors, const struct policy_peer *peer, uint32_t namespace_id,
		  uint32_t *peer_id);

#endif
