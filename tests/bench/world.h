/* SPDX-License-Identifier: Apache-2.0 */
/* A list of prefixes as policy: compiled, and written into table memory as the agent does it. */
#ifndef EGRESSD_BENCH_WORLD_H
#define EGRESSD_BENCH_WORLD_H

#include <errno.h>

#include "lists.h"
#include "model/decode.h"
#include "policy/tables.h"

/* Objects of a manifest into a store. 0 or -errno. */
static inline int world_decode(const char *text, struct store *store)
{
	struct object_list objects = {0};
	struct problem_list problems = {0};
	size_t i;
	int error = decode_buffer("bench.json", text, strlen(text), &objects, &problems);

	if (error && problems.count)
		fprintf(stderr, "bench: %s\n", problems.items[0].message);
	for (i = 0; i < objects.count && !error; i++)
		error = store_put(store, objects.items[i]);
	object_list_clear(&objects);
	problem_list_clear(&problems);
	return error;
}

/* The policy of list_manifest(). 0 or -errno. */
static inline int world_compile(const struct list *list, struct policy **policy)
{
	const struct policy_options options = {.node_address_count = 0};
	struct problem_list problems = {0};
	char *text = list_manifest(list);
	struct store *store;
	int error = text ? store_new(&store) : -ENOMEM;

	if (error)
		return error;
	error = world_decode(text, store);
	free(text);
	if (!error)
		error = policy_compile(store, &options, policy, &problems);
	problem_list_clear(&problems);
	store_free(store);
	return error;
}

#endif
