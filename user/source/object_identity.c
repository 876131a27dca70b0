/* SPDX-License-Identifier: Apache-2.0 */
#include "source/object_identity.h"

#include <string.h>

static bool same_text(const char *a, const char *b)
{
	return a && b ? !strcmp(a, b) : a == b;
}

static bool same_place(const struct place *a, const struct place *b)
{
	return a->line == b->line && a->column == b->column && same_text(a->file, b->file);
}

static bool same_peer_places(const struct policy_peer *a, const struct policy_peer *b)
{
	size_t i;

	for (i = 0; i < a->block.except_count; i++)
		if (!same_place(&a->block.except_places[i], &b->block.except_places[i]))
			return false;
	return same_place(&a->place, &b->place);
}

static bool same_rule_places(const struct egress_rule *a, const struct egress_rule *b)
{
	size_t i;

	for (i = 0; i < a->port_count; i++)
		if (!same_place(&a->ports[i].place, &b->ports[i].place))
			return false;
	for (i = 0; i < a->peer_count; i++)
		if (!same_peer_places(&a->peers[i], &b->peers[i]))
			return false;
	return same_place(&a->place, &b->place);
}

/* object_equal may see through an order that places do not, so counts are compared here too. */
static bool same_shape(const struct network_policy *a, const struct network_policy *b)
{
	size_t i, j;

	if (a->rule_count != b->rule_count)
		return false;
	for (i = 0; i < a->rule_count; i++) {
		const struct egress_rule *left = &a->rules[i], *right = &b->rules[i];

		if (left->port_count != right->port_count || left->peer_count != right->peer_count)
			return false;
		for (j = 0; j < left->peer_count; j++)
			if (left->peers[j].block.except_count != right->peers[j].block.except_count)
				return false;
	}
	return true;
}

static bool same_policy_places(const struct network_policy *a, const struct network_policy *b)
{
	size_t i;

	if (!same_shape(a, b))
		return false;
	for (i = 0; i < a->rule_count; i++)
		if (!same_rule_places(&a->rules[i], &b->rules[i]))
			return false;
	return true;
}

bool object_identical(const struct object *a, const struct object *b)
{
	if (a == b)
		return true;
	if (!object_equal(a, b) || strcmp(a->uid, b->uid) || !same_place(&a->place, &b->place))
		return false;
	if (a->kind == OBJECT_POD)
		return same_place(&a->pod.interface_place, &b->pod.interface_place);
	if (a->kind == OBJECT_NETWORK_POLICY)
		return same_policy_places(&a->policy, &b->policy);
	return true;
}
