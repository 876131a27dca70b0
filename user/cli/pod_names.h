/* SPDX-License-Identifier: Apache-2.0 */
/* A set of pods in few words: "shop/web-* (3 pods)" where the pattern names these pods and no other. */
#ifndef EGRESSD_CLI_POD_NAMES_H
#define EGRESSD_CLI_POD_NAMES_H

#include <stddef.h>

struct pod_name {
	const char *namespace, *name; /* borrowed */
};

/* Sorted by namespace, then name; no name twice. */
struct pod_names {
	struct pod_name *items;
	size_t count, capacity;
};
void pod_names_clear(struct pod_names *names);
void pod_names_sort(struct pod_names *names);

/*
 * The text for items[first] .. [end - 1] of `some`, all of one namespace, where `all` holds every pod there is. The
 * caller frees it.
 */
char *pod_names_text(const struct pod_names *some, size_t first, size_t end, const struct pod_names *all);
/* Where the namespace of items[first] ends. */
size_t pod_names_namespace_end(const struct pod_names *names, size_t first);

#endif
