/* SPDX-License-Identifier: Apache-2.0 */
/* What an engineer who was paged reads: the words of explanations. */
#include "policy_world.h"

/* One rule of policy a/p; the explanation of a flow from a/client. */
static struct explanation explain(struct world *world, const char *to, uint8_t protocol, uint16_t port)
{
	const struct flow flow = {.destination = address(to), .protocol = protocol, .port = port};
	struct explanation explanation;

	if (!world->policy)
		assert_int_equal(try_compile(world), 0);
	assert_int_equal(policy_explain(world->policy, "a", "client", &flow, &explanation), 0);
	return explanation;
}

static struct world *world_with_rule(const char *rule)
{
	struct world *world = world_new();

	add(world, POD, "a", "client", "app: client", "10.0.0.1");
	add(world, POD_WITH_PORTS, "shop", "cache-1", "app: cache", "{name: redis, containerPort: 6379}", "10.0.0.9");
	add(world, NAMESPACE, "shop", "team: retail");
	add(world,
	    "{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {namespace: a, name: p}, "
	    "spec: {podSelector: {}, policyTypes: [Egress], egress: [%s]}}",
	    rule);
	return world;
}

static void assert_rule_text(const char *rule, const char *to, uint16_t port, bool allow, const char *expected)
{
	struct world *world = world_with_rule(rule);
	struct explanation explanation = explain(world, to, TCP, port);

	assert_true(explanation.isolated);
	assert_int_equal(explanation.allow, allow);
	assert_int_equal(explanation.rule_count, 1);
	assert_string_equal(explanation.rules[0].policy->name, "p");
	if (!strstr(explanation.rules[0].reason, expected))
		fail_msg("\"%s\" does not say \"%s\"", explanation.rules[0].reason, expected);
	explanation_clear(&explanation);
	world_free(world);
}

static void selectors(void **state)
{
	(void)state;
	assert_rule_text(
		"{to: [{namespaceSelector: {matchLabels: {team: retail}}, podSelector: {matchLabels: {app: db}}}]}",
		"10.0.0.9", 1, false,
		"peer 1 selects pods app=db in namespaces team=retail; 10.0.0.9 is pod shop/cache-1, "
		"whose labels do not match (app=cache)");
	assert_rule_text("{to: [{podSelector: {}}]}", "10.0.0.9", 1, false,
			 "peer 1 selects all pods in namespace a; 10.0.0.9 is pod shop/cache-1, in another namespace");
	assert_rule_text("{to: [{namespaceSelector: {matchExpressions: [{key: x, operator: Exists}]}}]}", "10.0.0.9", 1,
			 false, "whose namespace's labels do not match");
	assert_rule_text("{to: [{podSelector: {matchExpressions: [{key: x, operator: In, values: [a, b]}]}}]}",
			 "192.0.2.1", 1, false, "peer 1 selects pods x in (a,b) in namespace a; 192.0.2.1 is no pod");
}

static void namespace_without_object(void **state)
{
	struct world *world = world_with_rule(
		"{to: [{namespaceSelector: {matchExpressions: [{key: zone, operator: NotIn, values: [pci]}]}}]}");
	struct explanation explanation;

	(void)state;
	add(world, POD, "cards", "vault", "", "10.0.0.10");
	explanation = explain(world, "10.0.0.10", TCP, 80);
	assert_false(explanation.allow);
	assert_non_null(strstr(explanation.rules[0].reason,
			       "10.0.0.10 is pod cards/vault, whose namespace has no Namespace object here, so only "
			       "its name can match"));
	explanation_clear(&explanation);
	world_free(world);
}

static void blocks(void **state)
{
	(void)state;
	assert_rule_text("{to: [{ipBlock: {cidr: 192.0.2.0/24, except: [192.0.2.0/28]}}]}", "192.0.2.7", 1, false,
			 "192.0.2.7 is in 192.0.2.0/24 but excepted by 192.0.2.0/28");
	assert_rule_text("{to: [{ipBlock: {cidr: 192.0.2.0/24}}]}", "192.0.3.7", 1, false,
			 "192.0.3.7 is not in 192.0.2.0/24");
	assert_rule_text("{to: [{ipBlock: {cidr: 198.51.100.0/24}}, {ipBlock: {cidr: 192.0.2.0/24}}]}", "192.0.2.7", 1,
			 true, "matches peer 2 (192.0.2.0/24) and every port and protocol");
}

static void ports(void **state)
{
	(void)state;
	assert_rule_text("{ports: [{port: 80}, {port: 443}, {port: 5, endPort: 9, protocol: UDP}, {protocol: SCTP}]}",
			 "192.0.2.1", 8080, false,
			 "port 8080/TCP is not among 80/TCP, 443/TCP, 5-9/UDP, every port/SCTP");
	assert_rule_text("{ports: [{port: redis}]}", "10.0.0.9", 80, false,
			 "port 80/TCP is not among redis/TCP (there 6379)");
	assert_rule_text("{ports: [{port: http}]}", "10.0.0.9", 80, false, "http/TCP (which the pod lacks)");
	assert_rule_text("{ports: [{port: redis}]}", "10.0.0.9", 6379, true,
			 "matches every destination and port redis/TCP (there 6379)");
}

static void long_reasons_are_cut(void **state)
{
	char rule[4096] = "{to: [";
	int i;

	(void)state;
	for (i = 0; i < 50; i++)
		snprintf(rule + strlen(rule), sizeof(rule) - strlen(rule), "{ipBlock: {cidr: 198.51.100.%d/32}}, ", i);
	strcat(rule, "]}");
	assert_rule_text(rule, "192.0.2.1", 80, false, "...");
}

static void policy_without_rules(void **state)
{
	struct world *world = world_with_rule("");
	struct explanation explanation = explain(world, "192.0.2.1", TCP, 80);

	(void)state;
	assert_false(explanation.allow);
	assert_int_equal(explanation.rule_count, 1);
	assert_true(explanation.rules[0].rule == SIZE_MAX);
	assert_non_null(strstr(explanation.rules[0].reason, "no egress rule"));
	explanation_clear(&explanation);
	world_free(world);
}

static void services(void **state)
{
	struct world *world = world_with_rule("{to: [{namespaceSelector: {matchLabels: {team: retail}}}]}");
	struct explanation explanation;

	(void)state;
	add(world, SERVICE, "shop", "cache", "clusterIP: 10.96.0.1, ports: [{port: 80}]");
	add(world, SLICE, "shop", "cache", "cache", "IPv4", "{port: 6379}",
	    "{addresses: [10.0.0.9]}, {addresses: [192.0.2.1]}");
	explanation = explain(world, "10.96.0.1", TCP, 80);
	assert_false(explanation.allow);
	assert_string_equal(explanation.destination, "service shop/cache (10.96.0.1)");
	assert_non_null(strstr(explanation.reason, "only 1 of 2 serving backends"));
	assert_int_equal(explanation.backend_count, 2);
	assert_string_equal(explanation.backends[0],
			    "10.0.0.9:6379 (pod shop/cache-1) allowed by NetworkPolicy a/p, rule 0");
	assert_non_null(strstr(explanation.backends[1], "192.0.2.1:6379 denied"));
	assert_non_null(strstr(explanation.rules[0].reason, "allows 1 of 2 serving backends"));
	explanation_clear(&explanation);
	world_free(world);
}

static void host_ports(void **state)
{
	struct world *world = world_with_rule("{to: [{namespaceSelector: {matchLabels: {team: retail}}}]}");
	struct explanation explanation;
	uint32_t class;
	char text[80];

	(void)state;
	add_node_address(world, "10.9.0.1");
	add(world, POD_WITH_PORTS, "shop", "cache-2", "app: cache", "{containerPort: 6379, hostPort: 16379}",
	    "10.0.0.8");
	add(world, POD_WITH_PORTS, "a", "db", "app: db", "{containerPort: 1, hostPort: 2}", "10.0.0.7");
	explanation = explain(world, "10.9.0.1", TCP, 16379);
	assert_true(explanation.allow);
	assert_string_equal(explanation.destination, "hostPort of pod shop/cache-2 (10.9.0.1)");
	assert_string_equal(explanation.reason,
			    "allowed: the pod may reach all 1 serving backends of the hostPort");
	assert_string_equal(explanation.backends[0],
			    "10.0.0.8:6379 (pod shop/cache-2) allowed by NetworkPolicy a/p, rule 0");
	explanation_clear(&explanation);
	explanation = explain(world, "10.9.0.1", TCP, 2);
	assert_false(explanation.allow);
	assert_string_equal(explanation.reason,
			    "denied: the pod may reach none of 1 serving backends of the hostPort");
	explanation_clear(&explanation);
	/* In the words for the class it is the node's address. */
	class = verdict(world, "a/client", "10.9.0.1", TCP, 2).class;
	assert_non_null(strstr(policy_class_text(world->policy, class, text, sizeof(text)), "own node 10.9.0.1"));
	world_free(world);
}

#define A63 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define A253 A63 "." A63 "." A63 "." "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

/* Namespaces of 63 characters and names of 253. */
static void the_longest_names_leave_room_for_the_verdict(void **state)
{
	const struct flow to_service = {.destination = address("fd00:96::1"), .protocol = TCP, .port = 80};
	const struct flow to_pod = {.destination = address("fd00::9"), .protocol = TCP, .port = 80};
	struct world *world = world_new();
	struct explanation explanation;

	(void)state;
	assert_int_equal(strlen(A253), 253);
	add(world, POD, A63, "client", "app: client", "fd00::1");
	add(world, POD, A63, A253, "app: web", "fd00::9");
	add(world, POD, A63, "b" "." A63 "." A63 "." A63, "app: other", "fd00::10");
	add(world, SERVICE, A63, "web", "clusterIP: 'fd00:96::1', ports: [{port: 80}]");
	add(world, SLICE, A63, "web", "web", "IPv6", "{port: 80}",
	    "{addresses: ['fd00::9']}, {addresses: ['fd00::10']}");
	add(world, POLICY, A63, A253,
	    "podSelector: {matchLabels: {app: client}}, egress: [{to: [{podSelector: {matchLabels: {app: web}}}]}]");
	assert_int_equal(try_compile(world), 0);
	assert_int_equal(policy_explain(world->policy, A63, "client", &to_service, &explanation), 0);
	assert_int_equal(explanation.backend_count, 2);
	assert_string_equal(explanation.backends[0], "[fd00::9]:80 (pod " A63 "/" A253 ") allowed by NetworkPolicy " A63
						     "/" A253 ", rule 0");
	assert_non_null(strstr(explanation.backends[1], ") denied: no rule of the policies that isolate the pod"));
	explanation_clear(&explanation);
	assert_int_equal(policy_explain(world->policy, A63, "client", &to_pod, &explanation), 0);
	assert_string_equal(explanation.destination, "pod " A63 "/" A253 " (fd00::9)");
	assert_string_equal(explanation.reason, "allowed by NetworkPolicy " A63 "/" A253 ", rule 0");
	explanation_clear(&explanation);
	world_free(world);
}

static void destinations(void **state)
{
	static const struct {
		const char *address, *text;
	} cases[] = {
		{"10.0.0.9", "pod shop/cache-1 (10.0.0.9)"},
		{"10.9.0.1", "address of the pod's own node (10.9.0.1)"},
		{"192.0.2.1", "neither pod, service nor node (192.0.2.1)"},
	};
	struct world *world = world_with_rule("");
	size_t i;

	(void)state;
	add_node_address(world, "10.9.0.1");
	for (i = 0; i < 3; i++) {
		struct explanation explanation = explain(world, cases[i].address, TCP, 80);

		assert_string_equal(explanation.destination, cases[i].text);
		explanation_clear(&explanation);
	}
	world_free(world);
}

static void unknown_and_open_pods(void **state)
{
	struct world *world = world_new();
	const struct flow flow = {.destination = address("192.0.2.1"), .protocol = TCP, .port = 80};
	struct explanation explanation;

	(void)state;
	add(world, POD, "a", "client", "", "10.0.0.1");
	assert_int_equal(try_compile(world), 0);
	assert_int_equal(policy_explain(world->policy, "a", "nobody", &flow, &explanation), -ENOENT);
	assert_int_equal(policy_explain(world->policy, "a", "client", &flow, &explanation), 0);
	assert_true(explanation.allow);
	assert_false(explanation.isolated);
	assert_non_null(strstr(explanation.reason, "no NetworkPolicy isolates"));
	explanation_clear(&explanation);
	world_free(world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(selectors),
		cmocka_unit_test(namespace_without_object),
		cmocka_unit_test(blocks),
		cmocka_unit_test(ports),
		cmocka_unit_test(long_reasons_are_cut),
		cmocka_unit_test(policy_without_rules),
		cmocka_unit_test(services),
		cmocka_unit_test(host_ports),
		cmocka_unit_test(the_longest_names_leave_room_for_the_verdict),
		cmocka_unit_test(destinations),
		cmocka_unit_test(unknown_and_open_pods),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
