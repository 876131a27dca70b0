/* SPDX-License-Identifier: Apache-2.0 */
#include "source/kube_interest.h"

#include <string.h>

static bool rule_names_pods(const struct egress_rule *rule)
{
	size_t i;

	for (i = 0; i < rule->port_count; i++)
		if (rule->ports[i].kind == PORT_NAME)
			return true;
	for (i = 0; i < rule->peer_count; i++)
		if (rule->peers[i].has_pod_selector || rule->peers[i].has_namespace_selector)
			return true;
	return false;
}

static bool policy_names_pods(const struct network_policy *policy)
{
	size_t i;

	if (!policy->isolates_egress)
		return false;
	for (i = 0; i < policy->rule_count; i++)
		if (rule_names_pods(&policy->rules[i]))
			return true;
	return false;
}

static bool selects(const struct object *policy, const struct object *pod, const char *node_name)
{
	return !pod->pod.host_network && !strcmp(pod->pod.node_name, node_name) &&
	       !strcmp(pod->namespace, policy->namespace) &&
	       label_selector_matches(&policy->policy.pod_selector, &pod->labels);
}

static bool selects_local_pod(struct store *store, const struct object *policy, const char *node_name)
{
	struct object *const *pods;
	size_t count, i;

	pods = store_list(store, OBJECT_POD, &count);
	if (count == SIZE_MAX)
		return true;
	for (i = 0; i < count; i++)
		if (selects(policy, pods[i], node_name))
			return true;
	return false;
}

bool kube_interest_in_remote_pods(struct store *store, const char *node_name)
{
	struct object *const *policies;
	size_t count, i;

	policies = store_list(store, OBJECT_NETWORK_POLICY, &count);
	if (count == SIZE_MAX)
		return true;
	for (i = 0; i < count; i++)
		if (policy_names_pods(&policies[i]->policy) && selects_local_pod(store, policies[i], node_name))
			return true;
	return false;
}
