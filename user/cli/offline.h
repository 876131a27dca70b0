/* SPDX-License-Identifier: Apache-2.0 */
/* Manifests compiled into tables on the heap: the same engine as the agent's, without kernel and without root. */
#ifndef EGRESSD_CLI_OFFLINE_H
#define EGRESSD_CLI_OFFLINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cli/bank.h"
#include "cli/destination.h"
#include "cli/options.h"
#include "cli/rule_book.h"
#include "model/problem.h"
#include "model/store.h"
#include "policy/policy.h"
#include "policy/tables.h"

struct offline {
	struct store *store;
	struct policy *policy;
	uint32_t *words;
	struct tables *tables;
	struct bank bank;
	struct rule_book rules;
	struct problem_list problems; /* warnings and notices too */
	size_t files;
	bool node_addresses_given; /* by the user, "none" too */
};

/* Addresses of the node, which its pods may always reach. Owned. */
struct node_addresses {
	struct ip_address *items;
	size_t count;
};
/* Of a comma-separated list, NULL for none. 0, or -EINVAL after it told what is wrong. */
int node_addresses_parse(const char *list, struct node_addresses *out);
void node_addresses_clear(struct node_addresses *addresses);

/*
 * Loads and compiles; every pod with an address is a source. node_addresses: as node_addresses_parse() takes it.
 * 0, or -errno after it told the first error and how many there are; *out is then empty.
 */
int offline_load(const struct text_list *paths, const char *node_addresses, struct offline *out);
void offline_clear(struct offline *offline);

/*
 * The two halves of it, for `check`, which wants all problems. offline_read: 0 or -ENOMEM, errors are in out->problems.
 * offline_compile: as policy_compile().
 */
int offline_read(const struct text_list *paths, struct offline *out);
int offline_compile(struct offline *offline, const struct node_addresses *addresses);

/*
 * What a pod is as a source. OPEN: no policy isolates it. HOST: a hostNetwork pod, which policy does not select.
 * JUDGED: `set` is the address of its class vector.
 */
enum source_kind { SOURCE_OPEN, SOURCE_HOST, SOURCE_JUDGED };
struct source {
	enum source_kind kind;
	const struct object *pod;
	const struct policy_endpoint *endpoint; /* NULL for SOURCE_HOST */
	uint32_t set;
};
/* 0; -EINVAL: *problem is a static text that says why it cannot be a source. */
int offline_source(const struct offline *offline, const struct object_name *name, struct source *out,
		   const char **problem);
/* Is it one of the pod's own addresses, which an isolated pod may always reach? */
bool source_has_address(const struct source *source, const struct ip_address *address);

#endif
