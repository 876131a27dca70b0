/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/policy.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "policy/compile.h"

int policy_keep(struct policy *policy, struct object *object)
{
	if (array_reserve(&policy->objects, &policy->object_capacity, policy->object_count + 1,
			  sizeof(*policy->objects)) < 0)
		return -ENOMEM;
	policy->objects[policy->object_count++] = object_ref(object);
	return 0;
}

const struct object *largest_policy(const struct policy *policy)
{
	const struct object *largest = NULL;
	size_t most = 0, i, j, k;

	for (i = 0; i < policy->policy_count; i++) {
		const struct network_policy *source = &policy->policies[i].object->policy;
		size_t size = 1;

		for (j = 0; j < source->rule_count; j++) {
			size += 1 + source->rules[j].port_count;
			for (k = 0; k < source->rules[j].peer_count; k++)
				size += 1 + source->rules[j].peers[k].block.except_count;
		}
		if (size > most) {
			most = size;
			largest = policy->policies[i].object;
		}
	}
	return largest;
}

int compile_limit(struct compile *compile, const struct object *object, const char *what, size_t limit)
{
	int error = problem_add(compile->problems, PROBLEM_ERROR, "limit", object ? &object->place : NULL, object,
				"more than %zu %s%s", limit, what, object ? "; this policy contributes most" : "");

	return error < 0 ? error : -E2BIG;
}

static struct policy *policy_new(const struct policy_options *options)
{
	struct arena *arena = arena_new();
	struct policy *policy = arena ? arena_allocate(arena, sizeof(*policy)) : NULL;

	if (!policy) {
		arena_free(arena);
		return NULL;
	}
	policy->arena = arena;
	policy->all_pods_local = options->all_pods_local;
	policy->is_local = options->is_local;
	policy->is_local_data = options->is_local_data;
	return policy;
}

static void free_namespaces(struct policy *policy)
{
	uint32_t i;

	/* The last name may have come without room for its namespace. */
	for (i = 0; i < policy->namespace_names.count && i < policy->namespace_capacity; i++)
		free(policy->namespaces[i].groups);
	free(policy->namespaces);
	intern_clear(&policy->namespace_names);
}

static void free_interns(struct policy *policy)
{
	intern_clear(&policy->group_keys);
	intern_clear(&policy->point_keys);
	intern_clear(&policy->destination_keys);
	intern_clear(&policy->port_names);
	intern_clear(&policy->name_resolutions);
	intern_clear(&policy->class_keys);
	intern_clear(&policy->target_lists);
	intern_clear(&policy->service_maps);
	intern_clear(&policy->rows);
	intern_clear(&policy->row_states);
	intern_clear(&policy->row_keys);
	number_sets_clear(&policy->policy_sets);
	number_sets_clear(&policy->sets);
}

static void free_arrays(struct policy *policy)
{
	enum family family;

	for (family = 0; family < FAMILY_COUNT; family++) {
		ranges_clear(&policy->blocks[family]);
		ranges_clear(&policy->classes[family]);
		free(policy->node_listeners[family]);
	}
	free(policy->objects);
	free(policy->groups);
	free(policy->points);
	free(policy->destinations);
	free(policy->fronts);
	free(policy->backends);
	free(policy->listeners);
	free(policy->derived);
	free(policy->states);
	free(policy->row_of_key);
	free(policy->sets_of_rows);
	free(policy->port_class);
	free(policy->port_class_first);
}

void policy_free(struct policy *policy)
{
	size_t i;

	if (!policy)
		return;
	for (i = 0; i < policy->object_count; i++)
		object_unref(policy->objects[i]);
	free_namespaces(policy);
	free_interns(policy);
	free_arrays(policy);
	/* The policy itself is in the arena. */
	arena_free(policy->arena);
}

static int run_steps(struct compile *compile)
{
	static int (*const steps[])(struct compile * compile) = {
		compile_namespaces, compile_pods, compile_endpoints,    compile_rules, compile_services,
		compile_classes,    compile_rows, compile_port_classes, compile_size,
	};
	size_t i;
	int error;

	if (number_sets_init(&compile->policy->sets) < 0 || number_sets_init(&compile->policy->policy_sets) < 0)
		return -ENOMEM;
	for (i = 0; i < ARRAY_SIZE(steps); i++) {
		error = steps[i](compile);
		if (error)
			return error;
	}
	return 0;
}

int policy_compile(struct store *store, const struct policy_options *options, struct policy **out,
		   struct problem_list *problems)
{
	struct compile compile = {
		.policy = policy_new(options),
		.store = store,
		.options = options,
		.problems = problems,
	};
	int error;

	if (!compile.policy)
		return -ENOMEM;
	error = run_steps(&compile);
	if (error) {
		policy_free(compile.policy);
		return error;
	}
	*out = compile.policy;
	return 0;
}

const struct policy_rule *policy_rules(const struct policy *policy, size_t *count)
{
	*count = policy->rule_count;
	return policy->rule_list;
}

const struct policy_endpoint *policy_endpoints(const struct policy *policy, size_t *count)
{
	*count = policy->endpoint_count;
	return policy->endpoints;
}

const struct policy_endpoint *policy_endpoint(const struct policy *policy, const char *namespace, const char *name)
{
	size_t low = 0, high = policy->endpoint_count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		const struct policy_endpoint *endpoint = &policy->endpoints[middle];
		int order = strcmp(namespace, endpoint->pod->namespace);

		if (!order)
			order = strcmp(name, endpoint->pod->name);
		if (!order)
			return endpoint;
		if (order < 0)
			high = middle;
		else
			low = middle + 1;
	}
	return NULL;
}

void policy_statistics(const struct policy *policy, struct policy_statistics *out)
{
	*out = (struct policy_statistics){
		.policies = policy->policy_count,
		.endpoints = policy->endpoint_count,
		.isolated = policy->isolated_count,
		.sets = policy->set_count,
		.classes = policy->class_keys.count,
		.port_classes = policy->port_class_count,
		.rows = policy->rows.count,
		.rules = policy->rule_count,
		.prefixes = policy->block_count,
		.words = policy->words,
	};
}
