/* SPDX-License-Identifier: Apache-2.0 */
/* Pods whose policies together let no DNS query out. */
#include "cli/lint.h"

#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "cli/memory.h"

#define DNS_PORT 53

/* A named port is 53 where any pod calls its port 53 so; without pods in the manifests it may be. */
static bool name_may_be_dns(struct offline *offline, const struct policy_port *port)
{
	size_t count, i, j;
	struct object *const *pods = lint_list(offline, OBJECT_POD, &count);

	for (i = 0; i < count; i++) {
		for (j = 0; j < pods[i]->pod.port_count; j++) {
			const struct container_port *named = &pods[i]->pod.ports[j];

			if (named->port == DNS_PORT && named->transport == port->transport &&
			    !strcmp(named->name, port->name))
				return true;
		}
	}
	return !count;
}

static bool port_allows_dns(struct offline *offline, const struct policy_port *port)
{
	if (port->transport != TRANSPORT_UDP && port->transport != TRANSPORT_TCP)
		return false;
	switch (port->kind) {
	case PORT_ANY:
		return true;
	case PORT_NUMBER:
		return port->first <= DNS_PORT && port->last >= DNS_PORT;
	case PORT_NAME:
		return name_may_be_dns(offline, port);
	}
	return false;
}

static bool policy_allows_dns(struct offline *offline, const struct object *object)
{
	const struct network_policy *policy = &object->policy;
	size_t i, j;

	for (i = 0; i < policy->rule_count; i++) {
		if (!policy->rules[i].port_count)
			return true;
		for (j = 0; j < policy->rules[i].port_count; j++)
			if (port_allows_dns(offline, &policy->rules[i].ports[j]))
				return true;
	}
	return false;
}

static bool lacks_dns(struct offline *offline, const struct policy_endpoint *endpoint)
{
	size_t i;

	for (i = 0; i < endpoint->policy_count; i++)
		if (policy_allows_dns(offline, endpoint->policies[i]))
			return false;
	return endpoint->isolated;
}

/* Order by which pods that have the same policies stand together. */
static int compare_policies(const void *a, const void *b)
{
	const struct policy_endpoint *x = *(const struct policy_endpoint *const *)a;
	const struct policy_endpoint *y = *(const struct policy_endpoint *const *)b;
	size_t i;
	int order;

	for (i = 0; i < x->policy_count && i < y->policy_count; i++) {
		order = strcmp(x->policies[i]->namespace, y->policies[i]->namespace);
		if (!order)
			order = strcmp(x->policies[i]->name, y->policies[i]->name);
		if (order)
			return order;
	}
	return (x->policy_count > y->policy_count) - (x->policy_count < y->policy_count);
}

static int warn_pods(struct offline *offline, const struct policy_endpoint *const *endpoints, size_t count)
{
	const struct object *policy = endpoints[0]->policies[0], *pod = endpoints[0]->pod;
	_cleanup_free_ char *others = copy_text("");

	if (count > 1) {
		free(others);
		others = format_text(" and %zu more", count - 1);
	}
	return problem_add(&offline->problems, PROBLEM_WARNING, LINT_DNS_FORGOTTEN, &policy->place, policy,
			   "no policy of pod %s/%s%s allows port 53: names cannot be resolved there", pod->namespace,
			   pod->name, others);
}

static int check_pods(struct offline *offline)
{
	size_t count, i, end, found = 0;
	const struct policy_endpoint *endpoints = policy_endpoints(offline->policy, &count);
	_cleanup_free_ const struct policy_endpoint **lacking = allocate(count, sizeof(*lacking));
	int error = 0;

	for (i = 0; i < count; i++)
		if (endpoints[i].policy_count && lacks_dns(offline, &endpoints[i]))
			lacking[found++] = &endpoints[i];
	qsort(lacking, found, sizeof(*lacking), compare_policies);
	for (i = 0; !error && i < found; i = end) {
		for (end = i + 1; end < found && !compare_policies(&lacking[i], &lacking[end]); end++)
			;
		error = warn_pods(offline, lacking + i, end - i);
	}
	return error;
}

/* Without pods: one namespace's policies (sorted by namespace) of which none allows DNS. */
static int check_namespace(struct offline *offline, struct object *const *policies, size_t count)
{
	const struct object *isolating = NULL;
	size_t i;

	for (i = 0; i < count; i++) {
		if (policy_allows_dns(offline, policies[i]))
			return 0;
		if (!isolating && policies[i]->policy.isolates_egress)
			isolating = policies[i];
	}
	if (!isolating)
		return 0;
	return problem_add(&offline->problems, PROBLEM_WARNING, LINT_DNS_FORGOTTEN, &isolating->place, isolating,
			   "no policy of namespace %s allows port 53: names cannot be resolved where it applies",
			   isolating->namespace);
}

static int check_namespaces(struct offline *offline)
{
	size_t count, i, end;
	struct object *const *policies = lint_list(offline, OBJECT_NETWORK_POLICY, &count);
	int error = 0;

	for (i = 0; !error && i < count; i = end) {
		for (end = i + 1; end < count && !strcmp(policies[i]->namespace, policies[end]->namespace); end++)
			;
		error = check_namespace(offline, policies + i, end - i);
	}
	return error;
}

int lint_dns(struct offline *offline)
{
	return store_count(offline->store, OBJECT_POD) ? check_pods(offline) : check_namespaces(offline);
}
