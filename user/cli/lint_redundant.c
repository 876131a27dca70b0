/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rules that another rule makes redundant: one that allows, by what is written alone, all that they allow, for all
 * pods that they are for. What only happens to coincide in these manifests is no mistake and not reported.
 */
#include "cli/lint.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "cli/memory.h"

/* A rule with its blocks sorted by prefix, so that covering ones are found without a look at each. */
struct indexed_rule {
	const struct object *policy;
	size_t index;
	const struct egress_rule *rule;
	const struct ip_block **blocks;
	size_t block_count;
};

struct rule_list {
	struct indexed_rule *items;
	size_t count, capacity;
};

static void rule_list_clear(struct rule_list *list)
{
	size_t i;

	for (i = 0; i < list->count; i++)
		free(list->items[i].blocks);
	free(list->items);
}

/* Host bits zero. */
static struct ip_prefix shorten(const struct ip_prefix *prefix, uint8_t length)
{
	struct ip_prefix shorter = {prefix->address, length};
	unsigned int bit;

	for (bit = length; bit < 128; bit++)
		shorter.address.bytes[bit / 8] &= (uint8_t) ~(0x80 >> bit % 8);
	return shorter;
}

static int compare_prefixes(const struct ip_prefix *a, const struct ip_prefix *b)
{
	struct ip_prefix x = shorten(a, a->length), y = shorten(b, b->length);
	int order = ip_address_compare(&x.address, &y.address);

	return order ? order : (a->length > b->length) - (a->length < b->length);
}

static int compare_blocks(const void *a, const void *b)
{
	const struct ip_block *x = *(const struct ip_block *const *)a, *y = *(const struct ip_block *const *)b;

	return compare_prefixes(&x->cidr, &y->cidr);
}

static void index_rule(const struct object *policy, size_t index, struct rule_list *list)
{
	struct indexed_rule rule = {.policy = policy, .index = index, .rule = &policy->policy.rules[index]};
	size_t i;

	rule.blocks = allocate(rule.rule->peer_count, sizeof(*rule.blocks));
	for (i = 0; i < rule.rule->peer_count; i++)
		if (rule.rule->peers[i].has_block)
			rule.blocks[rule.block_count++] = &rule.rule->peers[i].block;
	qsort(rule.blocks, rule.block_count, sizeof(*rule.blocks), compare_blocks);
	array_push(list->items, list->count, list->capacity, rule);
}

/* What the wide block excepts, the narrow one must not hold. */
static bool block_covers(const struct ip_block *wide, const struct ip_block *narrow)
{
	size_t i, j;

	if (!ip_prefix_covers(&wide->cidr, &narrow->cidr))
		return false;
	for (i = 0; i < wide->except_count; i++) {
		const struct ip_prefix *hole = &wide->except[i];

		if (!ip_prefix_covers(hole, &narrow->cidr) && !ip_prefix_covers(&narrow->cidr, hole))
			continue;
		for (j = 0; j < narrow->except_count; j++)
			if (ip_prefix_covers(&narrow->except[j], hole))
				break;
		if (j == narrow->except_count)
			return false;
	}
	return true;
}

static size_t first_block(const struct indexed_rule *rule, const struct ip_prefix *prefix)
{
	size_t low = 0, high = rule->block_count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (compare_prefixes(&rule->blocks[middle]->cidr, prefix) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* So few are looked at one by one. */
#define SCAN_MAX 16

static bool rule_covers_block(const struct indexed_rule *wide, const struct ip_block *narrow)
{
	int length;
	size_t i;

	if (wide->block_count <= SCAN_MAX) {
		for (i = 0; i < wide->block_count; i++)
			if (block_covers(wide->blocks[i], narrow))
				return true;
		return false;
	}
	for (length = narrow->cidr.length; length >= 0; length--) {
		struct ip_prefix prefix = shorten(&narrow->cidr, (uint8_t)length);

		for (i = first_block(wide, &prefix); i < wide->block_count && !compare_prefixes(&wide->blocks[i]->cidr, &prefix); i++)
			if (block_covers(wide->blocks[i], narrow))
				return true;
	}
	return false;
}

/* Both stand in policies of one namespace, so "own namespace" means the same. */
static bool selectors_cover(const struct policy_peer *wide, const struct policy_peer *narrow)
{
	if (wide->has_block || narrow->has_block)
		return false;
	if (wide->has_namespace_selector) {
		/* An empty selector selects every namespace, one's own too. */
		if (narrow->has_namespace_selector
			    ? !selector_implies(&narrow->namespace_selector, &wide->namespace_selector)
			    : wide->namespace_selector.count != 0)
			return false;
	} else if (narrow->has_namespace_selector) {
		return false;
	}
	/* Without a pod selector it is empty, and means every pod. */
	return selector_implies(&narrow->pod_selector, &wide->pod_selector);
}

static bool rule_covers_peer(const struct indexed_rule *wide, const struct policy_peer *narrow)
{
	size_t i;

	if (narrow->has_block)
		return rule_covers_block(wide, &narrow->block);
	for (i = 0; i < wide->rule->peer_count; i++)
		if (selectors_cover(&wide->rule->peers[i], narrow))
			return true;
	return false;
}

static bool peers_cover(const struct indexed_rule *wide, const struct indexed_rule *narrow)
{
	size_t i;

	if (!wide->rule->peer_count)
		return true;
	for (i = 0; i < narrow->rule->peer_count; i++)
		if (!rule_covers_peer(wide, &narrow->rule->peers[i]))
			return false;
	return narrow->rule->peer_count;
}

static bool port_covers(const struct policy_port *wide, const struct policy_port *narrow)
{
	if (wide->transport != narrow->transport)
		return false;
	if (wide->kind == PORT_ANY)
		return true;
	if (wide->kind != narrow->kind)
		return false;
	if (wide->kind == PORT_NAME)
		return !strcmp(wide->name, narrow->name);
	return wide->first <= narrow->first && wide->last >= narrow->last;
}

static bool ports_cover(const struct egress_rule *wide, const struct egress_rule *narrow)
{
	size_t i, j;

	if (!wide->port_count)
		return true;
	for (i = 0; i < narrow->port_count; i++) {
		for (j = 0; j < wide->port_count; j++)
			if (port_covers(&wide->ports[j], &narrow->ports[i]))
				break;
		if (j == wide->port_count)
			return false;
	}
	return narrow->port_count;
}

static bool rule_covers(const struct indexed_rule *wide, const struct indexed_rule *narrow)
{
	return selector_implies(&narrow->policy->policy.pod_selector, &wide->policy->policy.pod_selector) &&
	       ports_cover(wide->rule, narrow->rule) && peers_cover(wide, narrow);
}

/* Of two rules that cover each other the later one is redundant. */
static bool makes_redundant(const struct rule_list *list, size_t wide, size_t narrow)
{
	return wide != narrow && rule_covers(&list->items[wide], &list->items[narrow]) &&
	       (wide < narrow || !rule_covers(&list->items[narrow], &list->items[wide]));
}

static int warn(struct offline *offline, const struct indexed_rule *narrow, const struct indexed_rule *wide)
{
	_cleanup_free_ char *where = wide->policy == narrow->policy
					     ? copy_text("")
					     : format_text(" of %s/%s", wide->policy->namespace, wide->policy->name);

	return problem_add(&offline->problems, PROBLEM_WARNING, LINT_REDUNDANT_RULE, &narrow->rule->place,
			   narrow->policy, "rule %zu is redundant: rule %zu%s (line %u) allows all of it",
			   narrow->index, wide->index, where, wide->rule->place.line);
}

static int check_rules(struct offline *offline, const struct rule_list *list)
{
	size_t narrow, wide;
	int error = 0;

	for (narrow = 0; !error && narrow < list->count; narrow++) {
		for (wide = 0; wide < list->count; wide++)
			if (makes_redundant(list, wide, narrow))
				break;
		if (wide < list->count)
			error = warn(offline, &list->items[narrow], &list->items[wide]);
	}
	return error;
}

/* Policies of one namespace. */
static int check_namespace(struct offline *offline, struct object *const *policies, size_t count)
{
	_cleanup_(rule_list_clear) struct rule_list list = {0};
	size_t i, rule;

	for (i = 0; i < count; i++)
		for (rule = 0; policies[i]->policy.isolates_egress && rule < policies[i]->policy.rule_count; rule++)
			index_rule(policies[i], rule, &list);
	return check_rules(offline, &list);
}

int lint_redundant(struct offline *offline)
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
