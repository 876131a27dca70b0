/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What changes between two sets of manifests, worked out from their tables: addresses and ports are cut where either
 * side's classes change, and each piece is judged once on both sides for every pair of policy sets.
 */
#ifndef EGRESSD_CLI_DIFF_H
#define EGRESSD_CLI_DIFF_H

/* uthash would exit without a word. */
#define uthash_fatal(message) out_of_memory()
#include <uthash.h>

#include "cli/known_addresses.h"
#include "cli/memory.h"
#include "cli/offline.h"
#include "cli/pod_names.h"
#include "cli/port_ranges.h"
#include "cli/prefixes.h"

/* Ports that turned from deny to allow and from allow to deny. Each distinct one exists once. */
struct port_change {
	UT_hash_handle hh;
	char *key;
	struct port_ranges allowed, denied;
};

/* One change and where it applies. */
struct flow_change {
	const struct port_change *ports;
	struct address_set destinations;
};

/* Everything that changes for some pods; pods with equal changes share it. Sorted by first destination. */
struct pod_change {
	UT_hash_handle hh;
	char *key;
	struct flow_change *flows; /* none: nothing changes for these pods */
	size_t flow_count, flow_capacity;
	struct pod_names pods;
};

struct diff {
	struct offline old, new;
	struct known_addresses old_addresses, new_addresses;
	struct pod_names all_pods;           /* of both sides */
	struct pod_names only_old, only_new; /* sources on one side only */
	size_t compared;                     /* pods that are sources on both sides */
	struct port_change *port_changes;
	struct pod_change *pod_changes; /* in order of their first pod */
};

/* diff->old and diff->new must be loaded. 0, or -EINVAL where tables do not hold together. */
int diff_compute(struct diff *diff);
void diff_clear(struct diff *diff);
bool diff_is_empty(const struct diff *diff);

void diff_print_text(const struct diff *diff);
void diff_print_json(const struct diff *diff);

#endif
