/* SPDX-License-Identifier: Apache-2.0 */
/* Egress that is written down and not in force; ports that nothing listens on. */
#include "cli/lint.h"

static int check_types(struct offline *offline, const struct object *object)
{
	const struct network_policy *policy = &object->policy;

	if (policy->isolates_egress)
		return 0;
	if (policy->rule_count)
		return problem_add(
			&offline->problems, PROBLEM_WARNING, LINT_EGRESS_IDLE, &policy->rules[0].place, object,
			"policyTypes lacks Egress, so these rules do nothing and the policy isolates nobody");
	if (policy->empty_egress)
		return problem_add(
			&offline->problems, PROBLEM_WARNING, LINT_EGRESS_IDLE, &object->place, object,
			"an empty egress without policyTypes denies nothing: for that, policyTypes must have Egress");
	return 0;
}

static int check_ports(struct offline *offline, const struct object *policy, const struct egress_rule *rule)
{
	int error = 0;
	size_t i;

	for (i = 0; !error && i < rule->port_count; i++)
		if (rule->ports[i].kind == PORT_NUMBER && !rule->ports[i].first)
			error = problem_add(&offline->problems, PROBLEM_WARNING, LINT_PORT_ZERO, &rule->ports[i].place,
					    policy, "nothing listens on port 0, and the API server refuses it");
	return error;
}

int lint_policies(struct offline *offline)
{
	size_t count, i, rule;
	struct object *const *policies = lint_list(offline, OBJECT_NETWORK_POLICY, &count);
	int error = 0;

	for (i = 0; !error && i < count; i++) {
		error = check_types(offline, policies[i]);
		for (rule = 0; !error && rule < policies[i]->policy.rule_count; rule++)
			error = check_ports(offline, policies[i], &policies[i]->policy.rules[rule]);
	}
	return error;
}
