/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Selectors that match no pod or namespace among the manifests; namespaces whose labels are not among them; exceptions
 * that take nothing away.
 */
#include "cli/lint.h"

#include <string.h>

#include "cli/memory.h"

struct object *const *lint_list(struct offline *offline, enum object_kind kind, size_t *count)
{
	struct object *const *objects = store_list(offline->store, kind, count);

	if (!objects && *count)
		out_of_memory();
	return objects;
}

/* Also where the manifests have pods of a namespace but not the namespace: its name is known all the same. */
static bool namespace_matches(const struct offline *offline, const struct label_selector *selector, const char *name)
{
	const struct object *namespace = store_get(offline->store, OBJECT_NAMESPACE, "", name);

	return namespace ? label_selector_matches(selector, &namespace->labels)
			 : label_selector_matches_name(selector, name);
}

static bool is_selectable(const struct object *pod)
{
	return !pod->pod.host_network && pod->pod.phase != POD_SUCCEEDED && pod->pod.phase != POD_FAILED;
}

static bool peer_matches_pod(const struct offline *offline, const struct object *policy, const struct policy_peer *peer,
			     const struct object *pod)
{
	if (!is_selectable(pod))
		return false;
	if (peer->has_namespace_selector ? !namespace_matches(offline, &peer->namespace_selector, pod->namespace)
					 : strcmp(policy->namespace, pod->namespace) != 0)
		return false;
	return !peer->has_pod_selector || label_selector_matches(&peer->pod_selector, &pod->labels);
}

static bool peer_matches_any_pod(struct offline *offline, const struct object *policy, const struct policy_peer *peer)
{
	size_t count, i;
	struct object *const *pods = lint_list(offline, OBJECT_POD, &count);

	for (i = 0; i < count; i++)
		if (peer_matches_pod(offline, policy, peer, pods[i]))
			return true;
	return false;
}

static bool selects_any_namespace(struct offline *offline, const struct policy_peer *peer)
{
	size_t count, i;
	struct object *const *namespaces = lint_list(offline, OBJECT_NAMESPACE, &count);

	for (i = 0; i < count; i++)
		if (label_selector_matches(&peer->namespace_selector, &namespaces[i]->labels))
			return true;
	return false;
}

/* Manifests without any pod, or without any namespace, do not show the cluster: nothing can be said then. */
static int check_peer(struct offline *offline, const struct object *policy, const struct policy_peer *peer)
{
	bool knows_pods = store_count(offline->store, OBJECT_POD), by_pod = peer->has_pod_selector;
	bool knows_namespaces = store_count(offline->store, OBJECT_NAMESPACE);

	if (peer->has_block)
		return 0;
	if (knows_pods && peer_matches_any_pod(offline, policy, peer))
		return 0;
	if (by_pod ? !knows_pods : !knows_namespaces || selects_any_namespace(offline, peer))
		return 0;
	return problem_add(&offline->problems, PROBLEM_WARNING, LINT_EMPTY_SELECTOR, &peer->place, policy,
			   "the peer's selector matches no %s in these manifests", by_pod ? "pod" : "namespace");
}

static int check_pod_selector(struct offline *offline, const struct object *policy)
{
	size_t count, i;
	struct object *const *pods = lint_list(offline, OBJECT_POD, &count);

	for (i = 0; i < count; i++)
		if (is_selectable(pods[i]) && !strcmp(pods[i]->namespace, policy->namespace) &&
		    label_selector_matches(&policy->policy.pod_selector, &pods[i]->labels))
			return 0;
	if (!count)
		return 0;
	return problem_add(&offline->problems, PROBLEM_WARNING, LINT_EMPTY_SELECTOR, &policy->place, policy,
			   "podSelector matches no pod of namespace %s in these manifests", policy->namespace);
}

static int check_policy(struct offline *offline, const struct object *policy)
{
	int error = check_pod_selector(offline, policy);
	size_t rule, peer;

	for (rule = 0; rule < policy->policy.rule_count; rule++)
		for (peer = 0; !error && peer < policy->policy.rules[rule].peer_count; peer++)
			error = check_peer(offline, policy, &policy->policy.rules[rule].peers[peer]);
	return error;
}

int lint_selectors(struct offline *offline)
{
	size_t count, i;
	struct object *const *policies = lint_list(offline, OBJECT_NETWORK_POLICY, &count);
	int error = 0;

	for (i = 0; !error && i < count; i++)
		if (policies[i]->policy.isolates_egress)
			error = check_policy(offline, policies[i]);
	return error;
}

/* ------------------------------------------------------------------ namespaces without an object */

static bool asks_for_labels(const struct policy_peer *peer)
{
	size_t i;

	for (i = 0; peer->has_namespace_selector && i < peer->namespace_selector.count; i++)
		if (strcmp(peer->namespace_selector.requirements[i].key, NAMESPACE_NAME_LABEL) != 0)
			return true;
	return false;
}

/* A policy in force that asks for a namespace's labels, or NULL. */
static const struct object *find_asking_policy(struct offline *offline)
{
	size_t count, i, rule, peer;
	struct object *const *policies = lint_list(offline, OBJECT_NETWORK_POLICY, &count);

	for (i = 0; i < count; i++) {
		const struct network_policy *policy = &policies[i]->policy;

		for (rule = 0; policy->isolates_egress && rule < policy->rule_count; rule++)
			for (peer = 0; peer < policy->rules[rule].peer_count; peer++)
				if (asks_for_labels(&policy->rules[rule].peers[peer]))
					return policies[i];
	}
	return NULL;
}

/* Each such namespace once, at its first pod: they are sorted by namespace. */
int lint_namespaces(struct offline *offline)
{
	const struct object *policy = find_asking_policy(offline);
	const char *told = "";
	size_t count, i;
	struct object *const *pods = lint_list(offline, OBJECT_POD, &count);
	int error = 0;

	for (i = 0; policy && !error && i < count; i++) {
		if (!is_selectable(pods[i]) || !strcmp(pods[i]->namespace, told) ||
		    store_get(offline->store, OBJECT_NAMESPACE, "", pods[i]->namespace))
			continue;
		told = pods[i]->namespace;
		error = problem_add(&offline->problems, PROBLEM_WARNING, LINT_UNKNOWN_NAMESPACE, &pods[i]->place,
				    pods[i],
				    "these manifests have no Namespace %s: selectors of its labels, as in %s/%s, do "
				    "not match it",
				    told, policy->namespace, policy->name);
	}
	return error;
}

/* ------------------------------------------------------------------ blocks */

static int check_block(struct offline *offline, const struct object *policy, const struct ip_block *block)
{
	char cidr[IP_PREFIX_TEXT_SIZE], except[IP_PREFIX_TEXT_SIZE];
	int error = 0;
	size_t i;

	ip_prefix_format(&block->cidr, cidr);
	for (i = 0; !error && i < block->except_count; i++) {
		ip_prefix_format(&block->except[i], except);
		if (ip_prefix_covers(&block->except[i], &block->cidr))
			error = problem_add(&offline->problems, PROBLEM_WARNING, LINT_EXCEPT_OUTSIDE,
					    &block->except_places[i], policy,
					    "except %s takes away all of its block %s, so the block allows nothing",
					    except, cidr);
		else if (!ip_prefix_covers(&block->cidr, &block->except[i]))
			error = problem_add(
				&offline->problems, PROBLEM_WARNING, LINT_EXCEPT_OUTSIDE, &block->except_places[i],
				policy, "except %s is outside its block %s, so it takes nothing away", except, cidr);
	}
	return error;
}

int lint_blocks(struct offline *offline)
{
	size_t count, i, rule, peer;
	struct object *const *policies = lint_list(offline, OBJECT_NETWORK_POLICY, &count);
	int error = 0;

	for (i = 0; i < count; i++) {
		const struct network_policy *policy = &policies[i]->policy;

		for (rule = 0; rule < policy->rule_count; rule++)
			for (peer = 0; !error && peer < policy->rules[rule].peer_count; peer++)
				if (policy->rules[rule].peers[peer].has_block)
					error = check_block(offline, policies[i],
							    &policy->rules[rule].peers[peer].block);
	}
	return error;
}
