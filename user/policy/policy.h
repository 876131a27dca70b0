/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The compiler: the objects in a store become address classes, port classes, rows and cells. Pure: no file, socket,
 * clock or BPF call here.
 *
 * A struct policy is one compile of one state of the store. It holds references to the objects that it needs, so it
 * outlives changes of the store.
 */
#ifndef EGRESSD_POLICY_POLICY_H
#define EGRESSD_POLICY_POLICY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model/object.h"
#include "model/problem.h"
#include "model/store.h"

struct policy;

struct policy_options {
	/*
	 * Addresses of this node, to which its pods may always send (Kubernetes: "traffic to and from the node where
	 * a Pod is running is always allowed"); borrowed for the call. count 0 turns the allowance off.
	 */
	const struct ip_address *node_addresses;
	size_t node_address_count;
	/*
	 * The name of this node, which says whose hostPorts are served at its addresses; borrowed for the call. NULL:
	 * that of the only Node object that has one of the addresses; where there is none, pods of every node may be
	 * here.
	 */
	const char *node_name;
	/* Compile for every pod with an address as a source (offline tools), not only for those with an interface. */
	bool all_pods_local;
	/*
	 * Which pods are local, for an agent that knows where they hang: what their annotations say may not count there.
	 * NULL: those that have such an annotation. Asked while it compiles and again for every pod that
	 * tables_pod_changed is told of.
	 */
	bool (*is_local)(const struct object *pod, void *data);
	void *is_local_data;
};

/*
 * A rule that a cell can name. Index i of policy_rules() is rule id EGRESS_RULE_FIRST + i. Borrowed from the policy.
 */
struct policy_rule {
	struct object *policy;
	size_t index; /* of the rule in spec.egress */
};

/* A local pod, and the policies that isolate it. Borrowed from the policy. */
struct policy_endpoint {
	struct object *pod;
	bool isolated;
	struct object *const *policies; /* sorted by namespace and name */
	size_t policy_count;
};

/*
 * Compiles. Returns 0 and a new policy in *out; -EINVAL where the objects hold something that cannot be enforced
 * exactly, -E2BIG where a limit of the tables is exceeded, each with at least one error in `problems` that names the
 * object; -ENOMEM. Warnings (two pods that claim one address, a service that is mixed) may be added on success too.
 */
int policy_compile(struct store *store, const struct policy_options *options, struct policy **out,
		   struct problem_list *problems);
void policy_free(struct policy *policy);

const struct policy_rule *policy_rules(const struct policy *policy, size_t *count);
/* Sorted by namespace and name. */
const struct policy_endpoint *policy_endpoints(const struct policy *policy, size_t *count);
/* NULL: not a local pod. */
const struct policy_endpoint *policy_endpoint(const struct policy *policy, const char *namespace, const char *name);

struct policy_statistics {
	size_t policies;      /* NetworkPolicies that isolate the egress of a local pod */
	size_t endpoints, isolated;
	size_t sets, classes, port_classes, rows, rules, prefixes;
	size_t words;         /* words of table memory that a bank takes */
};
void policy_statistics(const struct policy *policy, struct policy_statistics *out);

/* What an address class is, for `egressctl dump classes`: a few words in text; always terminated; returns it. */
const char *policy_class_text(const struct policy *policy, uint32_t class, char *text, size_t size);

#endif
