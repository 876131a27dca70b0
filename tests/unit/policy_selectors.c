/* SPDX-License-Identifier: Apache-2.0 */
/* Peers by labels, and which policies isolate whom. */
#include "policy_world.h"

/* Pod a/client is isolated by one policy with this `egress`. */
static struct world *world_with_egress(const char *egress)
{
	struct world *world = world_new();

	add(world, NAMESPACE, "a", "team: one");
	add(world, NAMESPACE, "b", "team: two");
	add(world, POD, "a", "client", "app: client", "10.0.0.1");
	add(world, POD, "a", "web", "app: web, tier: front", "10.0.0.2");
	add(world, POD, "a", "db", "app: db", "10.0.0.3");
	add(world, POD, "b", "web", "app: web", "10.0.1.2");
	add(world, POD, "b", "bare", "", "10.0.1.3");
	add(world,
	    "{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {namespace: a, name: p}, "
	    "spec: {podSelector: {matchLabels: {app: client}}, policyTypes: [Egress], egress: %s}}",
	    egress);
	return world;
}

/* Which of a/web, a/db, b/web, b/bare and an address outside may be reached, as a string of digits. */
static void assert_reached(const char *egress, const char *expected)
{
	static const char *const addresses[] = {"10.0.0.2", "10.0.0.3", "10.0.1.2", "10.0.1.3", "192.0.2.1"};
	struct world *world = world_with_egress(egress);
	char reached[6] = "";
	size_t i;

	for (i = 0; i < 5; i++)
		reached[i] = passes(world, "a/client", addresses[i], TCP, 80) ? '1' : '0';
	assert_string_equal(reached, expected);
	world_free(world);
}

static void pod_selector_empty(void **state)
{
	(void)state;
	assert_reached("[{to: [{podSelector: {}}]}]", "11000");
}

static void pod_selector_match_labels(void **state)
{
	(void)state;
	assert_reached("[{to: [{podSelector: {matchLabels: {app: web}}}]}]", "10000");
	assert_reached("[{to: [{podSelector: {matchLabels: {app: web, tier: back}}}]}]", "00000");
}

static void pod_selector_expressions(void **state)
{
	(void)state;
	assert_reached("[{to: [{podSelector: {matchExpressions: [{key: app, operator: In, values: [db, x]}]}}]}]",
		       "01000");
	assert_reached("[{to: [{podSelector: {matchExpressions: [{key: tier, operator: NotIn, values: [front]}]}}]}]",
		       "01000");
	assert_reached("[{to: [{podSelector: {matchExpressions: [{key: tier, operator: Exists}]}}]}]", "10000");
	assert_reached("[{to: [{namespaceSelector: {}, podSelector: {matchExpressions: "
		       "[{key: app, operator: DoesNotExist}]}}]}]",
		       "00010");
}

static void namespace_selector_alone(void **state)
{
	(void)state;
	assert_reached("[{to: [{namespaceSelector: {}}]}]", "11110");
	assert_reached("[{to: [{namespaceSelector: {matchLabels: {team: two}}}]}]", "00110");
}

static void namespace_selector_expressions(void **state)
{
	(void)state;
	assert_reached(
		"[{to: [{namespaceSelector: {matchExpressions: [{key: team, operator: NotIn, values: [two]}]}}]}]",
		"11000");
	assert_reached("[{to: [{namespaceSelector: {matchExpressions: [{key: nope, operator: Exists}]}}]}]", "00000");
}

static void namespace_has_its_name_as_label(void **state)
{
	(void)state;
	assert_reached("[{to: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: b}}}]}]", "00110");
}

static void namespace_without_object_has_its_name_too(void **state)
{
	struct world *world = world_with_egress(
		"[{to: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: nowhere}}}]}]");

	(void)state;
	add(world, POD, "nowhere", "x", "", "10.0.2.1");
	assert_passes(world, "a/client", "10.0.2.1", TCP, 80);
	assert_denied(world, "a/client", "10.0.1.2", TCP, 80);
	world_free(world);
}

/* Its labels may be any, as while the API has told of its pods but not yet of itself. */
static void namespace_without_object_has_no_known_labels(void **state)
{
	static const char *const selectors[] = {
		"{matchExpressions: [{key: zone, operator: NotIn, values: [pci]}]}",
		"{matchExpressions: [{key: zone, operator: DoesNotExist}]}",
		"{matchExpressions: [{key: kubernetes.io/metadata.name, operator: Exists}, {key: zone, operator: DoesNotExist}]}",
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(selectors) / sizeof(selectors[0]); i++) {
		char egress[256];
		struct world *world;

		snprintf(egress, sizeof(egress), "[{to: [{namespaceSelector: %s}]}]", selectors[i]);
		world = world_with_egress(egress);
		add(world, POD, "nowhere", "x", "", "10.0.2.1");
		assert_denied(world, "a/client", "10.0.2.1", TCP, 80);
		world_forget_tables(world);
		add(world, NAMESPACE, "nowhere", "");
		assert_passes(world, "a/client", "10.0.2.1", TCP, 80);
		world_free(world);
	}
}

static void both_selectors_are_and(void **state)
{
	(void)state;
	assert_reached(
		"[{to: [{namespaceSelector: {matchLabels: {team: two}}, podSelector: {matchLabels: {app: web}}}]}]",
		"00100");
}

static void several_peers_are_or(void **state)
{
	(void)state;
	assert_reached(
		"[{to: [{namespaceSelector: {matchLabels: {team: two}}}, {podSelector: {matchLabels: {app: db}}}, "
		"{ipBlock: {cidr: 192.0.2.0/24}}]}]",
		"01111");
}

static void several_rules_are_or(void **state)
{
	(void)state;
	assert_reached("[{to: [{podSelector: {matchLabels: {app: web}}}]}, {to: [{ipBlock: {cidr: 192.0.2.1/32}}]}]",
		       "10001");
}

static void egress_absent_or_empty(void **state)
{
	(void)state;
	assert_reached("[]", "00000");
	assert_reached("[{}]", "11111");
	assert_reached("[{to: [], ports: []}]", "11111");
}

static void egress_absent_isolates(void **state)
{
	struct world *world = world_new();

	(void)state;
	add(world, POD, "a", "client", "", "10.0.0.1");
	add(world, POLICY, "a", "p", "podSelector: {}, policyTypes: [Egress]");
	assert_denied(world, "a/client", "192.0.2.1", TCP, 80);
	world_free(world);
}

static void several_policies_are_a_union(void **state)
{
	struct world *world = world_with_egress("[{to: [{ipBlock: {cidr: 192.0.2.0/24}}]}]");

	(void)state;
	add(world, POLICY, "a", "q", "podSelector: {}, egress: [{to: [{ipBlock: {cidr: 198.51.100.0/24}}]}]");
	assert_passes(world, "a/client", "192.0.2.1", TCP, 80);
	assert_passes(world, "a/client", "198.51.100.1", TCP, 80);
	assert_denied(world, "a/client", "203.0.113.1", TCP, 80);
	/* The other pods of the namespace have only the second one. */
	assert_denied(world, "a/web", "192.0.2.1", TCP, 80);
	assert_passes(world, "a/web", "198.51.100.1", TCP, 80);
	/* And those of other namespaces none. */
	assert_passes(world, "b/web", "203.0.113.1", TCP, 80);
	world_free(world);
}

static void lowest_rule_decides(void **state)
{
	struct world *world =
		world_with_egress("[{to: [{ipBlock: {cidr: 192.0.2.0/24}}]}, {to: [{ipBlock: {cidr: 192.0.0.0/16}}]}]");

	(void)state;
	assert_int_equal(deciding_rule(world, "a/client", "192.0.2.1", TCP, 80), EGRESS_RULE_FIRST);
	assert_int_equal(deciding_rule(world, "a/client", "192.0.3.1", TCP, 80), EGRESS_RULE_FIRST + 1);
	assert_int_equal(deciding_rule(world, "a/client", "192.1.0.1", TCP, 80), EGRESS_RULE_DEFAULT);
	world_free(world);
}

static void policy_types_absent_with_rules(void **state)
{
	struct world *world = world_new();

	(void)state;
	add(world, POD, "a", "client", "", "10.0.0.1");
	add(world, POLICY, "a", "p", "podSelector: {}, egress: [{to: [{ipBlock: {cidr: 192.0.2.0/24}}]}]");
	assert_passes(world, "a/client", "192.0.2.1", TCP, 80);
	assert_denied(world, "a/client", "192.0.3.1", TCP, 80);
	world_free(world);
}

static void policy_types_absent_without_rules(void **state)
{
	struct world *world = world_new();

	(void)state;
	add(world, POD, "a", "client", "", "10.0.0.1");
	add(world, POLICY, "a", "p", "podSelector: {}");
	assert_passes(world, "a/client", "192.0.3.1", TCP, 80);
	world_free(world);
}

static void ingress_only_never_isolates(void **state)
{
	struct world *world = world_new();

	(void)state;
	add(world, POD, "a", "client", "", "10.0.0.1");
	add(world, POLICY, "a", "p",
	    "podSelector: {}, policyTypes: [Ingress], egress: [{to: [{ipBlock: {cidr: 192.0.2.0/24}}]}]");
	assert_passes(world, "a/client", "192.0.3.1", TCP, 80);
	world_free(world);
}

static void host_network_pod_is_not_selected(void **state)
{
	struct world *world = world_new();

	(void)state;
	add(world, "{apiVersion: v1, kind: Pod, metadata: {namespace: a, name: host}, spec: {hostNetwork: true}, "
		   "status: {phase: Running, podIP: 10.9.0.1}}");
	add(world, POD, "a", "client", "", "10.0.0.1");
	add(world, POLICY, "a", "p", "podSelector: {}, egress: [{to: [{podSelector: {}}]}]");
	assert_passes(world, "a/host", "192.0.2.1", TCP, 80);
	assert_denied(world, "a/client", "192.0.2.1", TCP, 80);
	world_free(world);
}

static void host_network_pod_is_no_peer(void **state)
{
	struct world *world = world_new();

	(void)state;
	add(world, "{apiVersion: v1, kind: Pod, metadata: {namespace: a, name: host}, spec: {hostNetwork: true}, "
		   "status: {phase: Running, podIP: 10.9.0.1}}");
	add(world, POD, "a", "client", "", "10.0.0.1");
	add(world, POLICY, "a", "p", "podSelector: {}, egress: [{to: [{podSelector: {}}]}]");
	assert_denied(world, "a/client", "10.9.0.1", TCP, 80);
	/* By its node's address it can be named. */
	add(world, POLICY, "a", "q", "podSelector: {}, egress: [{to: [{ipBlock: {cidr: 10.9.0.1/32}}]}]");
	compile(world);
	assert_passes(world, "a/client", "10.9.0.1", TCP, 80);
	world_free(world);
}

static void finished_pods_give_up_their_address(void **state)
{
	static const char *const phases[] = {"Succeeded", "Failed"};
	size_t i;

	(void)state;
	for (i = 0; i < 2; i++) {
		struct world *world = world_with_egress("[{to: [{podSelector: {matchLabels: {app: job}}}]}]");

		add(world,
		    "{apiVersion: v1, kind: Pod, metadata: {namespace: a, name: job, labels: {app: job}}, "
		    "status: {phase: %s, podIP: 10.0.0.9}}",
		    phases[i]);
		assert_denied(world, "a/client", "10.0.0.9", TCP, 80);
		/* Another pod may have the address now; nobody is reported. */
		add(world, POD, "a", "next", "app: job", "10.0.0.9");
		compile(world);
		assert_passes(world, "a/client", "10.0.0.9", TCP, 80);
		assert_null(find_problem(world, "conflict", ""));
		world_free(world);
	}
}

static void newest_of_two_claims_has_the_address(void **state)
{
	struct world *world = world_with_egress("[{to: [{podSelector: {matchLabels: {app: db}}}]}]");
	static const char pod[] = "{apiVersion: v1, kind: Pod, metadata: {namespace: a, name: %s, labels: {app: %s}, "
				  "creationTimestamp: '%s'}, status: {phase: Running, podIP: 10.0.0.9}}";
	static const char pending[] = "{apiVersion: v1, kind: Pod, metadata: {namespace: a, name: starting, labels: {app: "
				      "web}, creationTimestamp: '2024-01-04T00:00:00Z'}, status: {phase: Pending, podIP: "
				      "10.0.0.9}}";
	const struct problem *problem;

	(void)state;
	add(world, pod, "older", "db", "2024-01-01T00:00:00Z");
	add(world, pod, "newer", "web", "2024-01-02T00:00:00Z");
	assert_denied(world, "a/client", "10.0.0.9", TCP, 80);
	problem = find_problem(world, "conflict", "10.0.0.9");
	assert_non_null(problem);
	assert_int_equal(problem->severity, PROBLEM_WARNING);
	assert_string_equal(problem->object, "Pod a/older");
	assert_non_null(strstr(problem->message, "a/newer"));

	add(world, pod, "newest", "db", "2024-01-03T00:00:00Z");
	compile(world);
	assert_passes(world, "a/client", "10.0.0.9", TCP, 80);
	/* Of equals the first by name. */
	add(world, pod, "even", "web", "2024-01-03T00:00:00Z");
	compile(world);
	assert_denied(world, "a/client", "10.0.0.9", TCP, 80);
	/* A pod whose init containers run has its address, and no other living pod does. */
	add(world, pod, "even-newer", "db", "2024-01-03T12:00:00Z");
	compile(world);
	assert_passes(world, "a/client", "10.0.0.9", TCP, 80);
	add(world, "%s", pending);
	compile(world);
	assert_denied(world, "a/client", "10.0.0.9", TCP, 80);
	world_free(world);
}

static void order_of_objects_does_not_matter(void **state)
{
	static const char *const policies[] = {
		"podSelector: {}, egress: [{to: [{ipBlock: {cidr: 192.0.2.0/24, except: [192.0.2.128/25]}}]}]",
		"podSelector: {}, egress: [{to: [{ipBlock: {cidr: 192.0.2.192/26}}], ports: [{port: 80}]}]",
		"podSelector: {}, egress: [{ports: [{port: 53, protocol: UDP}]}]",
	};
	static const char *const names[] = {"a", "b", "c"};
	size_t order;

	(void)state;
	for (order = 0; order < 3; order++) {
		struct world *world = world_new();
		size_t i;

		add(world, POD, "a", "client", "", "10.0.0.1");
		for (i = 0; i < 3; i++)
			add(world, POLICY, "a", names[i], policies[(i + order) % 3]);
		assert_passes(world, "a/client", "192.0.2.1", ICMP, 0);
		assert_denied(world, "a/client", "192.0.2.129", TCP, 80);
		assert_passes(world, "a/client", "192.0.2.193", TCP, 80);
		assert_denied(world, "a/client", "192.0.2.193", TCP, 81);
		assert_passes(world, "a/client", "203.0.113.1", UDP, 53);
		world_free(world);
	}
}

/* More namespaces and groups than are looked at one by one: the index of labels must select the same. */
static void many_namespaces(void **state)
{
	struct world *world = world_new();
	int i;

	(void)state;
	add(world, POD, "n0", "client", "app: client", "10.1.0.1");
	for (i = 0; i < 100; i++) {
		char namespace[16], labels[32], ip[24];

		snprintf(namespace, sizeof(namespace), "n%d", i);
		snprintf(labels, sizeof(labels), "team: t%d", i % 3);
		add(world, NAMESPACE, namespace, labels);
		snprintf(ip, sizeof(ip), "10.2.%d.1", i);
		add(world, POD, namespace, "web", "app: web, old: 'true'", ip);
		snprintf(ip, sizeof(ip), "10.2.%d.2", i);
		add(world, POD, namespace, "db", i % 2 ? "app: db" : "app: db, old: 'true'", ip);
	}
	add(world, POLICY, "n0", "p",
	    "podSelector: {matchLabels: {app: client}}, egress: [{to: [{namespaceSelector: {matchExpressions: "
	    "[{key: team, operator: In, values: [t0, t2]}]}, podSelector: {matchExpressions: "
	    "[{key: app, operator: In, values: [db, cache]}, {key: old, operator: DoesNotExist}]}}]}]");
	for (i = 0; i < 100; i++) {
		char ip[24];

		snprintf(ip, sizeof(ip), "10.2.%d.1", i);
		assert_denied(world, "n0/client", ip, TCP, 80);
		snprintf(ip, sizeof(ip), "10.2.%d.2", i);
		assert_int_equal(passes(world, "n0/client", ip, TCP, 80), i % 3 != 1 && i % 2 == 1);
	}
	world_free(world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pod_selector_empty),
		cmocka_unit_test(pod_selector_match_labels),
		cmocka_unit_test(pod_selector_expressions),
		cmocka_unit_test(namespace_selector_alone),
		cmocka_unit_test(namespace_selector_expressions),
		cmocka_unit_test(namespace_has_its_name_as_label),
		cmocka_unit_test(namespace_without_object_has_its_name_too),
		cmocka_unit_test(namespace_without_object_has_no_known_labels),
		cmocka_unit_test(both_selectors_are_and),
		cmocka_unit_test(several_peers_are_or),
		cmocka_unit_test(several_rules_are_or),
		cmocka_unit_test(egress_absent_or_empty),
		cmocka_unit_test(egress_absent_isolates),
		cmocka_unit_test(several_policies_are_a_union),
		cmocka_unit_test(lowest_rule_decides),
		cmocka_unit_test(policy_types_absent_with_rules),
		cmocka_unit_test(policy_types_absent_without_rules),
		cmocka_unit_test(ingress_only_never_isolates),
		cmocka_unit_test(host_network_pod_is_not_selected),
		cmocka_unit_test(host_network_pod_is_no_peer),
		cmocka_unit_test(finished_pods_give_up_their_address),
		cmocka_unit_test(newest_of_two_claims_has_the_address),
		cmocka_unit_test(order_of_objects_does_not_matter),
		cmocka_unit_test(many_namespaces),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
