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

/* The prefix of a block, host bits zero, and the rule, by its place in the list, that has it. */
struct placed_prefix {
	struct ip_prefix prefix;
	size_t rule;
};

struct rule_numbers {
	size_t *items;
	size_t count, capacity;
};

/*
 * The rules of a namespace. A rule covers another one only if it covers its first peer: the rules that may are found by
 * what they have, so that many rules of few blocks each are not compared each with each.
 */
struct rule_list {
	struct indexed_rule *items;
	size_t count, capacity;
	/* Sorted by prefix, then rule. */
	struct placed_prefix *prefixes;
	size_t prefix_count, prefix_capacity;
	bool has_length[129]; /* some prefix is so long */
	/* Ascending: the rules for all destinations, and those with a peer that is no block. */
	struct rule_numbers everywhere, selecting;
};

static void rule_list_clear(struct rule_list *list)
{
	size_t i;

	for (i = 0; i < list->count; i++)
		free(list->items[i].blocks);
	free(list->items);
	free(list->prefixes);
	free(list->everywhere.items);
	free(list->selecting.items);
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

/* Host bits are zero. */
static int compare_short_prefixes(const struct ip_prefix *a, const struct ip_prefix *b)
{
	int order = ip_address_compare(&a->address, &b->address);

	return order ? order : (a->length > b->length) - (a->length < b->length);
}

static int compare_prefixes(const struct ip_prefix *a, const struct ip_prefix *b)
{
	struct ip_prefix x = shorten(a, a->length), y = shorten(b, b->length);

	return compare_short_prefixes(&x, &y);
}

static int compare_blocks(const void *a, const void *b)
{
	const struct ip_block *x = *(const struct ip_block *const *)a, *y = *(const struct ip_block *const *)b;

	return compare_prefixes(&x->cidr, &y->cidr);
}

static int compare_placed_prefixes(const void *a, const void *b)
{
	const struct placed_prefix *x = a, *y = b;
	int order = compare_short_prefixes(&x->prefix, &y->prefix);

	return order ? order : (x->rule > y->rule) - (x->rule < y->rule);
}

/* For finding the rule, whose number is the count of the list. */
static void place_rule(const struct indexed_rule *rule, struct rule_list *list)
{
	size_t i;

	for (i = 0; i < rule->block_count; i++) {
		const struct ip_prefix *cidr = &rule->blocks[i]->cidr;
		struct placed_prefix placed = {shorten(cidr, cidr->length), list->count};

		list->has_length[cidr->length] = true;
		array_push(list->prefixes, list->prefix_count, list->prefix_capacity, placed);
	}
	if (!rule->rule->peer_count)
		array_push(list->everywhere.items, list->everywhere.count, list->everywhere.capacity, list->count);
	else if (rule->block_count < rule->rule->peer_count)
		array_push(list->selecting.items, list->selecting.count, list->selecting.capacity, list->count);
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
	place_rule(&rule, list);
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

		for (i = first_block(wide, &prefix);
		     i < wide->block_count && !compare_prefixes(&wide->blocks[i]->cidr, &prefix); i++)
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

/* The first of the rules that makes the narrow one redundant, if it comes before the best. */
static size_t first_of(const struct rule_list *list, const struct rule_numbers *rules, size_t narrow, size_t best)
{
	size_t i;

	for (i = 0; i < rules->count && rules->items[i] < best; i++)
		if (makes_redundant(list, rules->items[i], narrow))
			return rules->items[i];
	return best;
}

static size_t first_placed(const struct rule_list *list, const struct ip_prefix *prefix)
{
	size_t low = 0, high = list->prefix_count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (compare_short_prefixes(&list->prefixes[middle].prefix, prefix) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* As first_of(), of the rules that have a block of this prefix. */
static size_t first_with_prefix(const struct rule_list *list, const struct ip_prefix *prefix, size_t narrow,
				size_t best)
{
	size_t i;

	for (i = first_placed(list, prefix); i < list->prefix_count && list->prefixes[i].rule < best; i++) {
		if (compare_short_prefixes(&list->prefixes[i].prefix, prefix))
			break;
		if (makes_redundant(list, list->prefixes[i].rule, narrow))
			return list->prefixes[i].rule;
	}
	return best;
}

/* The first rule that makes the narrow one redundant, or the count of the list. */
static size_t find_wide(const struct rule_list *list, size_t narrow)
{
	const struct egress_rule *rule = list->items[narrow].rule;
	size_t best = first_of(list, &list->everywhere, narrow, list->count);
	const struct ip_prefix *cidr;
	int length;

	if (!rule->peer_count)
		return best;
	if (!rule->peers[0].has_block)
		return first_of(list, &list->selecting, narrow, best);
	cidr = &rule->peers[0].block.cidr;
	for (length = cidr->length; length >= 0; length--) {
		struct ip_prefix prefix;

		if (!list->has_length[length])
			continue;
		prefix = shorten(cidr, (uint8_t)length);
		best = first_with_prefix(list, &prefix, narrow, best);
	}
	return best;
}

static int check_rules(struct offline *offline, struct rule_list *list)
{
	size_t narrow, wide;
	int error = 0;

	/* No rule is a prefix where no policy has a peer by address; qsort() may not be given a null pointer. */
	if (list->prefix_count)
		qsort(list->prefixes, list->prefix_count, sizeof(*list->prefixes), compare_placed_prefixes);
	for (narrow = 0; !error && narrow < list->count; narrow++) {
		wide = find_wide(list, narrow);
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
