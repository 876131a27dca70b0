/* SPDX-License-Identifier: Apache-2.0 */
/* The rules in force: their ports as spans of positions, their peers as destination sets. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "policy/compile.h"
#include "policy/key.h"
#include "policy/selectors.h"

#define RULES_MAX (EGRESS_CELL_RULE_MASK - EGRESS_RULE_FIRST)

struct rule_compiler {
	struct compile *compile;
	struct policy *policy;
	struct selectors selectors;
	struct block_collector blocks;
	struct key key;
	uint32_t *peers; /* scratch: numbers of a rule's selectors */
	size_t peer_capacity;
	size_t destination_capacity;
};

static void rule_compiler_clear(struct rule_compiler *compiler)
{
	selectors_clear(&compiler->selectors);
	block_collector_clear(&compiler->blocks);
	key_clear(&compiler->key);
	free(compiler->peers);
}

/* ------------------------------------------------------------------ ports */

static int port_name_key(struct key *key, const char *name, enum transport transport)
{
	key->length = 0;
	return key_add_number(key, transport) < 0 || key_add_text(key, name) < 0 ? -ENOMEM : 0;
}

int port_name_find(const struct policy *policy, const char *name, enum transport transport, uint32_t *id)
{
	_cleanup_(key_clear) struct key key = {0};

	if (port_name_key(&key, name, transport) < 0)
		return -ENOMEM;
	return intern_find(&policy->port_names, key.bytes, key.length, id) ? 0 : -ENOENT;
}

static int compare_spans(const void *left, const void *right)
{
	const struct port_span *a = left, *b = right;

	if (a->first != b->first)
		return a->first < b->first ? -1 : 1;
	return a->last < b->last ? -1 : a->last > b->last;
}

/* Sorts them and joins those that overlap or touch; returns how many are left. */
static size_t join_spans(struct port_span *spans, size_t count)
{
	size_t kept = 0, i;

	qsort(spans, count, sizeof(*spans), compare_spans);
	for (i = 1; i < count; i++) {
		if (spans[i].first > spans[kept].last + 1)
			spans[++kept] = spans[i];
		else if (spans[i].last > spans[kept].last)
			spans[kept].last = spans[i].last;
	}
	return count ? kept + 1 : 0;
}

static int compile_ports(struct rule_compiler *compiler, const struct egress_rule *source, struct compiled_rule *rule)
{
	struct arena *arena = compiler->policy->arena;
	size_t i;

	rule->every_port = !source->port_count;
	rule->spans = arena_array(arena, source->port_count, sizeof(*rule->spans));
	rule->names = arena_array(arena, source->port_count, sizeof(*rule->names));
	if (!rule->spans || !rule->names)
		return -ENOMEM;
	for (i = 0; i < source->port_count; i++) {
		const struct policy_port *port = &source->ports[i];
		bool any = port->kind == PORT_ANY;

		if (port->kind == PORT_NAME) {
			if (port_name_key(&compiler->key, port->name, port->transport) < 0 ||
			    intern_put(&compiler->policy->port_names, compiler->key.bytes, compiler->key.length,
				       &rule->names[rule->name_count++]) < 0)
				return -ENOMEM;
			continue;
		}
		rule->spans[rule->span_count++] = (struct port_span){
			.first = port_position(port->transport, any ? 0 : port->first),
			.last = port_position(port->transport, any ? UINT16_MAX : port->last),
		};
	}
	rule->span_count = join_spans(rule->spans, rule->span_count);
	return 0;
}

/* ------------------------------------------------------------------ destinations */

static int compare_numbers(const void *left, const void *right)
{
	uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;

	return a < b ? -1 : a > b;
}

/* The numbers of the rule's selectors, sorted, each once; returns how many in *count. */
static int put_selectors(struct rule_compiler *compiler, const struct egress_rule *rule, uint32_t namespace_id,
			 size_t *count)
{
	size_t length = 0, kept = 0, i;

	if (array_reserve(&compiler->peers, &compiler->peer_capacity, rule->peer_count + 1, sizeof(*compiler->peers)) <
	    0)
		return -ENOMEM;
	for (i = 0; i < rule->peer_count; i++) {
		if (rule->peers[i].has_block)
			continue;
		if (selectors_put(&compiler->selectors, &rule->peers[i], namespace_id, &compiler->peers[length++]) < 0)
			return -ENOMEM;
	}
	qsort(compiler->peers, length, sizeof(*compiler->peers), compare_numbers);
	for (i = 0; i < length; i++)
		if (!i || compiler->peers[i] != compiler->peers[kept - 1])
			compiler->peers[kept++] = compiler->peers[i];
	*count = kept;
	return 0;
}

static int key_add_prefix(struct key *key, const struct ip_prefix *prefix)
{
	return key_add(key, &prefix->length, 1) < 0 ? -ENOMEM : key_add(key, &prefix->address, sizeof(prefix->address));
}

static int build_destination_key(struct rule_compiler *compiler, const struct egress_rule *rule, size_t selectors)
{
	struct key *key = &compiler->key;
	size_t i, j;
	int error;

	key->length = 0;
	error = key_add_number(key, (uint32_t)selectors);
	for (i = 0; i < selectors && !error; i++)
		error = key_add_number(key, compiler->peers[i]);
	for (i = 0; i < rule->peer_count && !error; i++) {
		const struct ip_block *block = &rule->peers[i].block;

		if (!rule->peers[i].has_block)
			continue;
		error = key_add_number(key, (uint32_t)block->except_count);
		if (!error)
			error = key_add_prefix(key, &block->cidr);
		for (j = 0; j < block->except_count && !error; j++)
			error = key_add_prefix(key, &block->except[j]);
	}
	return error;
}

/* The groups of all the selectors now belong to the destination set. */
static int add_to_groups(struct rule_compiler *compiler, size_t selectors, uint32_t destination)
{
	struct policy *policy = compiler->policy;
	uint32_t from = NONE, to = NONE;
	size_t i, j;

	for (i = 0; i < selectors; i++) {
		const struct selected *selected = &compiler->selectors.groups[compiler->peers[i]];

		for (j = 0; j < selected->count; j++) {
			uint32_t *set = &policy->groups[selected->ids[j]].destinations;
			int error;

			/* Groups in a row often come from the same set. */
			if (*set != from) {
				from = *set;
				error = number_sets_add(&policy->sets, from, destination, &to);
				if (error < 0)
					return error;
			}
			*set = to;
		}
	}
	return 0;
}

static int add_blocks(struct rule_compiler *compiler, const struct egress_rule *rule, uint32_t destination)
{
	size_t i;
	int error = 0;

	for (i = 0; i < rule->peer_count && !error; i++)
		if (rule->peers[i].has_block)
			error = block_collector_add(&compiler->blocks, &rule->peers[i].block, destination);
	return error;
}

static int compile_peers(struct rule_compiler *compiler, const struct egress_rule *source, uint32_t namespace_id,
			 struct compiled_rule *rule)
{
	struct policy *policy = compiler->policy;
	size_t selectors;
	int added;

	rule->destination = DESTINATION_EVERYWHERE;
	if (!source->peer_count)
		return 0;
	added = put_selectors(compiler, source, namespace_id, &selectors);
	if (!added)
		added = build_destination_key(compiler, source, selectors);
	if (!added)
		added = intern_put(&policy->destination_keys, compiler->key.bytes, compiler->key.length,
				   &rule->destination);
	if (added <= 0)
		return added;
	if (array_reserve(&policy->destinations, &compiler->destination_capacity, (size_t)rule->destination + 1,
			  sizeof(*policy->destinations)) < 0)
		return -ENOMEM;
	memset(&policy->destinations[rule->destination], 0, sizeof(*policy->destinations));
	added = add_to_groups(compiler, selectors, rule->destination);
	return added < 0 ? added : add_blocks(compiler, source, rule->destination);
}

/* ------------------------------------------------------------------ rules */

static int compile_rule(struct rule_compiler *compiler, struct object *object, size_t index, struct compiled_rule *rule)
{
	const struct egress_rule *source = &object->policy.rules[index];
	struct policy *policy = compiler->policy;
	uint32_t namespace_id;
	size_t i;
	int error;

	if (!namespace_find(policy, object->namespace, &namespace_id))
		return -ENOMEM; /* a policy in force has pods in its namespace */
	rule->rule = (struct policy_rule){.policy = object, .index = index};
	policy->rule_list[rule - policy->rules] = rule->rule;
	for (i = 0; i < source->peer_count; i++)
		if (source->peers[i].has_block)
			policy->block_count += 1 + source->peers[i].block.except_count;
	error = compile_ports(compiler, source, rule);
	if (!error)
		error = compile_peers(compiler, source, namespace_id, rule);
	if (error == -E2BIG)
		return compile_limit(compiler->compile, object, "members of sets of destinations",
				     NUMBER_SETS_MEMBERS_MAX);
	return error;
}

static int count_rules(struct compile *compile, size_t *out)
{
	const struct policy *policy = compile->policy;
	size_t count = 0, i;

	for (i = 0; i < policy->policy_count; i++) {
		count += policy->policies[i].object->policy.rule_count;
		if (count > RULES_MAX)
			return compile_limit(compile, policy->policies[i].object, "rules", RULES_MAX);
	}
	*out = count;
	return 0;
}

/* ------------------------------------------------------------------ what port names are where */

static int resolve_names(struct policy *policy, struct pod_group *group, struct key *key)
{
	const struct pod *pod = &group->pod->pod;
	size_t i;

	key->length = 0;
	for (i = 0; i < pod->port_count; i++) {
		const struct container_port *port = &pod->ports[i];
		struct resolved_name name;
		uint16_t number;
		int error = port_name_find(policy, port->name, port->transport, &name.name);

		if (error == -ENOMEM)
			return error;
		/* The first port of a name and transport is the one that counts. */
		if (error || !pod_find_port(pod, port->name, port->transport, &number) || number != port->port)
			continue;
		name.position = port_position(port->transport, number);
		if (key_add(key, &name, sizeof(name)) < 0)
			return -ENOMEM;
	}
	return 0;
}

static int compare_names(const void *left, const void *right)
{
	const struct resolved_name *a = left, *b = right;

	return a->name < b->name ? -1 : a->name > b->name;
}

static int compile_names(struct policy *policy)
{
	_cleanup_(key_clear) struct key key = {0};
	uint32_t none, i;

	/* Resolution 0: no name means anything. */
	if (key_add_number(&key, 0) < 0 || intern_put(&policy->name_resolutions, key.bytes, 0, &none) < 0)
		return -ENOMEM;
	for (i = 0; i < policy->group_keys.count && policy->port_names.count; i++) {
		if (resolve_names(policy, &policy->groups[i], &key) < 0)
			return -ENOMEM;
		qsort(key.bytes, key.length / sizeof(struct resolved_name), sizeof(struct resolved_name),
		      compare_names);
		if (intern_put(&policy->name_resolutions, key.bytes, key.length, &policy->groups[i].names) < 0)
			return -ENOMEM;
	}
	return 0;
}

/* ------------------------------------------------------------------ */

static int compile_all_rules(struct rule_compiler *compiler)
{
	struct policy *policy = compiler->policy;
	size_t i, j;

	for (i = 0; i < policy->policy_count; i++) {
		struct compiled_policy *entry = &policy->policies[i];

		entry->first_rule = (uint32_t)policy->rule_count;
		entry->rule_count = (uint32_t)entry->object->policy.rule_count;
		for (j = 0; j < entry->rule_count; j++) {
			int error = compile_rule(compiler, entry->object, j, &policy->rules[policy->rule_count]);

			if (error < 0)
				return error;
			policy->rule_count++;
		}
	}
	return 0;
}

static int compile_blocks(struct rule_compiler *compiler)
{
	struct policy *policy = compiler->policy;
	enum family family;
	int error = 0;

	for (family = 0; family < FAMILY_COUNT && !error; family++)
		error = block_collector_ranges(&compiler->blocks, family, policy->destination_keys.count, &policy->sets,
					       &policy->blocks[family]);
	if (error == -E2BIG)
		return compile_limit(compiler->compile, largest_policy(policy),
				     "members of sets of blocks that overlap", NUMBER_SETS_MEMBERS_MAX);
	return error;
}

int compile_rules(struct compile *compile)
{
	_cleanup_(rule_compiler_clear) struct rule_compiler compiler = {.compile = compile, .policy = compile->policy};
	struct policy *policy = compile->policy;
	size_t count = 0;
	int error = count_rules(compile, &count);

	if (error)
		return error;
	policy->rules = arena_array(policy->arena, count, sizeof(*policy->rules));
	policy->rule_list = arena_array(policy->arena, count, sizeof(*policy->rule_list));
	if (!policy->rules || !policy->rule_list || selectors_init(&compiler.selectors, policy) < 0)
		return -ENOMEM;
	error = compile_all_rules(&compiler);
	if (!error)
		error = compile_blocks(&compiler);
	return error ? error : compile_names(policy);
}
