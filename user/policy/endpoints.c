/* SPDX-License-Identifier: Apache-2.0 */
/* Pods as sources: the local ones, and the policies that isolate their egress. */
#include <errno.h>
#include <string.h>

#include "base/array.h"
#include "policy/compile.h"

/* Adds policy number `id` to the local groups that it selects; says whether there are any. */
static int isolate_groups(struct policy *policy, const struct object *object, uint32_t id, bool *any)
{
	const struct namespace_entry *entry;
	uint32_t namespace_id;
	size_t i;
	int error = 0;

	*any = false;
	if (!namespace_find(policy, object->namespace, &namespace_id))
		return 0;
	entry = &policy->namespaces[namespace_id];
	for (i = 0; i < entry->group_count && !error; i++) {
		struct pod_group *group = &policy->groups[entry->groups[i]];

		if (!group->local || !label_selector_matches(&object->policy.pod_selector, &group->pod->labels))
			continue;
		*any = true;
		error = number_sets_add(&policy->policy_sets, group->policy_set, id, &group->policy_set);
	}
	return error;
}

static int find_policies(struct compile *compile)
{
	struct policy *policy = compile->policy;
	size_t count, i;
	struct object *const *objects = store_list(compile->store, OBJECT_NETWORK_POLICY, &count);
	int error = 0;

	if (count == SIZE_MAX)
		return -ENOMEM;
	policy->policies = arena_array(policy->arena, count, sizeof(*policy->policies));
	if (!policy->policies)
		return -ENOMEM;
	for (i = 0; i < count && !error; i++) {
		bool any;

		if (!objects[i]->policy.isolates_egress)
			continue;
		error = isolate_groups(policy, objects[i], (uint32_t)policy->policy_count, &any);
		if (error == -E2BIG)
			return compile_limit(compile, objects[i], "members of policy sets", NUMBER_SETS_MEMBERS_MAX);
		if (error || !any)
			continue;
		policy->policies[policy->policy_count++].object = objects[i];
		error = policy_keep(policy, objects[i]);
	}
	return error;
}

/* The objects of a set of policies; one array for all endpoints that have the set. */
static struct object **set_objects(struct policy *policy, uint32_t set)
{
	size_t count, i;
	const uint32_t *ids = number_sets_items(&policy->policy_sets, set, &count);
	struct object **objects = arena_array(policy->arena, count, sizeof(*objects));

	for (i = 0; objects && i < count; i++)
		objects[i] = policy->policies[ids[i]].object;
	return objects;
}

static int add_endpoint(struct policy *policy, struct object *pod, struct object ***objects_of_set)
{
	struct policy_endpoint *endpoint = &policy->endpoints[policy->endpoint_count];
	struct compiled_endpoint *compiled = &policy->compiled_endpoints[policy->endpoint_count];
	uint32_t group = pod->pod.host_network ? NONE : pod_find_group(policy, pod), set = NUMBER_SET_EMPTY;

	if (group == NONE && !pod->pod.host_network)
		return -ENOMEM; /* compile_pods made a group for every local pod */
	if (group != NONE)
		set = policy->groups[group].policy_set;
	if (!objects_of_set[set])
		objects_of_set[set] = set_objects(policy, set);
	if (!objects_of_set[set])
		return -ENOMEM;

	endpoint->pod = pod;
	endpoint->isolated = set != NUMBER_SET_EMPTY;
	endpoint->policies = objects_of_set[set];
	number_sets_items(&policy->policy_sets, set, &endpoint->policy_count);
	/* Until compile_rows knows the set of rows, the number of the set of policies stands here. */
	*compiled = (struct compiled_endpoint){.set = endpoint->isolated ? set : NONE, .own = {NONE, NONE}};
	policy->endpoint_count++;
	policy->isolated_count += endpoint->isolated;
	return 0;
}

/* An isolated pod may always reach itself: its addresses are points, in case a service sends there. */
static int mark_own_addresses(struct policy *policy, size_t index)
{
	const struct object *pod = policy->endpoints[index].pod;
	size_t i;

	for (i = 0; i < pod->pod.address_count; i++) {
		const struct ip_address *address = &pod->pod.addresses[i];
		uint32_t id;
		int error = point_put(policy, address, &id);

		if (error < 0)
			return error;
		policy->points[id].isolated_local = true;
		policy->compiled_endpoints[index].own[address_family(address)] = id;
	}
	return 0;
}

int compile_endpoints(struct compile *compile)
{
	struct policy *policy = compile->policy;
	struct object ***objects_of_set;
	size_t count, i;
	struct object *const *pods;
	int error = find_policies(compile);

	if (error)
		return error;
	pods = store_list(compile->store, OBJECT_POD, &count);
	if (count == SIZE_MAX)
		return -ENOMEM;
	objects_of_set = arena_array(policy->arena, policy->policy_sets.sets.count, sizeof(*objects_of_set));
	policy->endpoints = arena_array(policy->arena, count, sizeof(*policy->endpoints));
	policy->compiled_endpoints = arena_array(policy->arena, count, sizeof(*policy->compiled_endpoints));
	if (!objects_of_set || !policy->endpoints || !policy->compiled_endpoints)
		return -ENOMEM;
	for (i = 0; i < count && !error; i++) {
		size_t index = policy->endpoint_count;

		if (!pod_is_local(policy, pods[i]))
			continue;
		error = add_endpoint(policy, pods[i], objects_of_set);
		if (!error && policy->endpoints[index].isolated)
			error = mark_own_addresses(policy, index);
	}
	return error;
}
