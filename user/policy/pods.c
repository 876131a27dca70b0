/* SPDX-License-Identifier: Apache-2.0 */
/* Pods as destinations: who has which address, and which pods no policy can tell apart. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "policy/compile.h"
#include "policy/key.h"

bool pod_is_peer(const struct object *pod)
{
	return !pod->pod.host_network && pod->pod.phase != POD_SUCCEEDED && pod->pod.phase != POD_FAILED;
}

static bool is_attached_here(const struct policy *policy, const struct object *pod)
{
	if (policy->is_local)
		return policy->is_local(pod, policy->is_local_data);
	return pod->pod.interface || pod->pod.netns;
}

bool pod_is_local(const struct policy *policy, const struct object *pod)
{
	return (policy->all_pods_local && pod->pod.address_count) || is_attached_here(policy, pod);
}

bool pod_has_host_ports_here(const struct policy *policy, const struct object *pod)
{
	const char *node = pod->pod.node_name;

	if (!pod->pod.host_port_count || !pod->pod.address_count || !pod_is_peer(pod))
		return false;
	return !policy->node_name || !node[0] || !strcmp(node, policy->node_name) || is_attached_here(policy, pod);
}

bool namespace_find(const struct policy *policy, const char *name, uint32_t *id)
{
	return intern_find(&policy->namespace_names, name, strlen(name), id);
}

bool namespace_selected(const struct policy *policy, const struct label_selector *selector, uint32_t id)
{
	const struct namespace_entry *entry = &policy->namespaces[id];

	return entry->labels ? label_selector_matches(selector, entry->labels)
			     : label_selector_matches_name(selector, entry->name);
}

/* labels NULL: it has no object, as far as is known. */
static int namespace_put(struct policy *policy, const char *name, const struct label_list *labels, uint32_t *id)
{
	int added = intern_put(&policy->namespace_names, name, strlen(name), id);
	struct namespace_entry *entry;

	if (added <= 0)
		return added;
	if (array_reserve(&policy->namespaces, &policy->namespace_capacity, (size_t)*id + 1,
			  sizeof(*policy->namespaces)) < 0)
		return -ENOMEM;
	entry = &policy->namespaces[*id];
	memset(entry, 0, sizeof(*entry));
	entry->name = name;
	entry->labels = labels;
	return 0;
}

int compile_namespaces(struct compile *compile)
{
	size_t count, i;
	struct object *const *namespaces = store_list(compile->store, OBJECT_NAMESPACE, &count);
	uint32_t id;
	int error = 0;

	if (count == SIZE_MAX)
		return -ENOMEM;
	for (i = 0; i < count && !error; i++) {
		error = policy_keep(compile->policy, namespaces[i]);
		if (!error)
			error = namespace_put(compile->policy, namespaces[i]->name, &namespaces[i]->labels, &id);
	}
	return error;
}

/* ------------------------------------------------------------------ groups */

static int build_group_key(struct key *key, uint32_t namespace_id, const struct object *pod)
{
	int error = key_add_number(key, namespace_id);
	size_t i;

	/* The number of labels says where ports begin. */
	if (!error)
		error = key_add_number(key, (uint32_t)pod->labels.count);
	for (i = 0; i < pod->labels.count && !error; i++) {
		error = key_add_text(key, pod->labels.items[i].key);
		if (!error)
			error = key_add_text(key, pod->labels.items[i].value);
	}
	for (i = 0; i < pod->pod.port_count && !error; i++) {
		const struct container_port *port = &pod->pod.ports[i];

		error = key_add_text(key, port->name);
		if (!error)
			error = key_add_number(key, port_position(port->transport, port->port));
	}
	return error;
}

uint32_t pod_find_group(const struct policy *policy, const struct object *pod)
{
	_cleanup_(key_clear) struct key key = {0};
	uint32_t namespace_id, group;

	if (!namespace_find(policy, pod->namespace, &namespace_id) || build_group_key(&key, namespace_id, pod) < 0 ||
	    !intern_find(&policy->group_keys, key.bytes, key.length, &group))
		return NONE;
	return group;
}

static int group_new(struct policy *policy, uint32_t group, uint32_t namespace_id, const struct object *pod)
{
	struct namespace_entry *entry = &policy->namespaces[namespace_id];

	if (array_reserve(&policy->groups, &policy->group_capacity, (size_t)group + 1, sizeof(*policy->groups)) < 0 ||
	    array_reserve(&entry->groups, &entry->group_capacity, entry->group_count + 1, sizeof(*entry->groups)) < 0)
		return -ENOMEM;
	policy->groups[group] = (struct pod_group){
		.namespace_id = namespace_id,
		.pod = pod,
		.policy_set = NUMBER_SET_EMPTY,
	};
	entry->groups[entry->group_count++] = group;
	return 0;
}

/* `key` is a buffer for reuse: twenty thousand pods come here. */
static int group_put(struct policy *policy, const struct object *pod, struct key *key, uint32_t *group)
{
	uint32_t namespace_id;
	int error = namespace_put(policy, pod->namespace, NULL, &namespace_id);

	key->length = 0;
	if (!error)
		error = build_group_key(key, namespace_id, pod);
	if (error < 0)
		return error;
	error = intern_put(&policy->group_keys, key->bytes, key->length, group);
	if (error <= 0)
		return error;
	return group_new(policy, *group, namespace_id, pod);
}

/* ------------------------------------------------------------------ addresses */

int point_put(struct policy *policy, const struct ip_address *address, uint32_t *id)
{
	int added = intern_put(&policy->point_keys, address, sizeof(*address), id);

	if (added <= 0)
		return added;
	if (array_reserve(&policy->points, &policy->point_capacity, (size_t)*id + 1, sizeof(*policy->points)) < 0)
		return -ENOMEM;
	policy->points[*id] = (struct point){
		.address = *address,
		.group = NONE,
		.plain_class = NONE,
		.class = NONE,
	};
	return 0;
}

const struct point *point_find(const struct policy *policy, const struct ip_address *address)
{
	uint32_t id;

	return intern_find(&policy->point_keys, address, sizeof(*address), &id) ? &policy->points[id] : NULL;
}

/*
 * Does `pod` have the address rather than `other`? The newest has it; of equals the first by namespace and name. Whether it
 * runs or is still pending does not matter: its init containers use the address, and that two pods have it only means that
 * the API has not heard of the end of the older one.
 */
static bool takes_address_from(const struct object *pod, const struct object *other)
{
	int order;

	if (pod->pod.created != other->pod.created)
		return pod->pod.created > other->pod.created;
	order = strcmp(pod->namespace, other->namespace);
	if (!order)
		order = strcmp(pod->name, other->name);
	return order < 0;
}

static int report_claims(struct compile *compile, const struct point *point, const struct object *loser)
{
	char text[IP_TEXT_SIZE];

	return problem_add(compile->problems, PROBLEM_WARNING, "conflict", &loser->place, loser,
			   "address %s is also claimed by pod %s/%s, which is taken to have it (the newest has it)",
			   ip_address_format(&point->address, text), point->pod->namespace, point->pod->name);
}

static int claim_address(struct compile *compile, const struct object *pod, uint32_t group,
			 const struct ip_address *address)
{
	const struct object *loser = pod;
	struct point *point;
	uint32_t id;
	int error = point_put(compile->policy, address, &id);

	if (error < 0)
		return error;
	point = &compile->policy->points[id];
	point->claims++;
	if (!point->pod || takes_address_from(pod, point->pod)) {
		loser = point->pod;
		point->pod = pod;
		point->group = group;
	}
	return loser ? report_claims(compile, point, loser) : 0;
}

static int add_pod(struct compile *compile, struct object *pod, struct key *key)
{
	struct policy *policy = compile->policy;
	bool local = pod_is_local(policy, pod) && !pod->pod.host_network;
	uint32_t group;
	size_t i;
	int error;

	if (!pod_is_peer(pod) && !local)
		return 0;
	error = group_put(policy, pod, key, &group);
	if (error < 0)
		return error;
	if (local)
		policy->groups[group].local = true;
	for (i = 0; i < pod->pod.address_count && pod_is_peer(pod) && !error; i++)
		error = claim_address(compile, pod, group, &pod->pod.addresses[i]);
	return error;
}

int compile_pods(struct compile *compile)
{
	_cleanup_(key_clear) struct key key = {0};
	size_t count, i;
	struct object *const *pods = store_list(compile->store, OBJECT_POD, &count);
	int error = 0;

	if (count == SIZE_MAX)
		return -ENOMEM;
	for (i = 0; i < count && !error; i++) {
		error = policy_keep(compile->policy, pods[i]);
		if (!error)
			error = add_pod(compile, pods[i], &key);
	}
	return error;
}

bool pod_find_port(const struct pod *pod, const char *name, enum transport transport, uint16_t *port)
{
	size_t i;

	for (i = 0; i < pod->port_count; i++) {
		if (pod->ports[i].transport == transport && strcmp(pod->ports[i].name, name) == 0) {
			*port = pod->ports[i].port;
			return true;
		}
	}
	return false;
}
