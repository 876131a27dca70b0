/* SPDX-License-Identifier: Apache-2.0 */
/* Ports, protocols, port names; blocks. */
#include "policy_world.h"

static struct world *world_with_rules(const char *egress)
{
	struct world *world = world_new();

	add(world, POD, "a", "client", "app: client", "10.0.0.1");
	add(world,
	    "{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {namespace: a, name: p}, "
	    "spec: {podSelector: {matchLabels: {app: client}}, egress: [%s]}}",
	    egress);
	return world;
}

static bool outside_passes(struct world *world, uint8_t protocol, uint16_t port)
{
	return passes(world, "a/client", "192.0.2.1", protocol, port);
}

static void ports_absent_is_every_protocol(void **state)
{
	struct world *world = world_with_rules("{to: [{ipBlock: {cidr: 192.0.2.0/24}}]}");
	static const uint8_t protocols[] = {TCP, UDP, SCTP, ICMP, IPPROTO_GRE, IPPROTO_ESP, 255};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(protocols); i++) {
		assert_true(outside_passes(world, protocols[i], 0));
		assert_true(outside_passes(world, protocols[i], 65535));
		assert_denied(world, "a/client", "192.0.3.1", protocols[i], 7);
	}
	world_free(world);
}

static void ports_exclude_protocols_without_ports(void **state)
{
	struct world *world = world_with_rules("{ports: [{protocol: TCP}, {protocol: UDP}, {protocol: SCTP}]}");

	(void)state;
	assert_true(outside_passes(world, SCTP, 9));
	assert_false(outside_passes(world, ICMP, 0));
	assert_false(outside_passes(world, IPPROTO_ICMPV6, 0));
	world_free(world);
}

static void protocol_absent_is_tcp(void **state)
{
	struct world *world = world_with_rules("{ports: [{port: 80}]}");

	(void)state;
	assert_true(outside_passes(world, TCP, 80));
	assert_false(outside_passes(world, UDP, 80));
	assert_false(outside_passes(world, SCTP, 80));
	assert_false(outside_passes(world, TCP, 81));
	assert_false(outside_passes(world, TCP, 79));
	world_free(world);
}

static void port_absent_is_every_port(void **state)
{
	struct world *world = world_with_rules("{ports: [{protocol: UDP}]}");

	(void)state;
	assert_true(outside_passes(world, UDP, 0));
	assert_true(outside_passes(world, UDP, 1));
	assert_true(outside_passes(world, UDP, 65535));
	assert_false(outside_passes(world, TCP, 1));
	world_free(world);
}

static void end_port(void **state)
{
	struct world *world = world_with_rules("{ports: [{port: 1000, endPort: 2000}, {port: 65535}]}");

	(void)state;
	assert_false(outside_passes(world, TCP, 999));
	assert_true(outside_passes(world, TCP, 1000));
	assert_true(outside_passes(world, TCP, 2000));
	assert_false(outside_passes(world, TCP, 2001));
	assert_false(outside_passes(world, TCP, 65534));
	assert_true(outside_passes(world, TCP, 65535));
	/* The highest port of one transport is not the lowest of the next. */
	assert_false(outside_passes(world, UDP, 0));
	world_free(world);
}

static void port_zero(void **state)
{
	struct world *world = world_with_rules("{ports: [{port: 1}]}");

	(void)state;
	assert_false(outside_passes(world, TCP, 0));
	assert_true(outside_passes(world, TCP, 1));
	world_free(world);
}

/* Ranges of several rules that overlap, touch, nest: whatever they do, a port passes that one of them holds. */
static void ranges_overlap_touch_and_nest(void **state)
{
	struct world *world = world_with_rules("{ports: [{port: 100, endPort: 200}, {port: 150, endPort: 250}]}, "
					       "{ports: [{port: 251, endPort: 300}]}, "
					       "{ports: [{port: 120, endPort: 130}, {port: 120, endPort: 130}]}, "
					       "{ports: [{port: 301}]}");
	unsigned int port;

	(void)state;
	for (port = 90; port < 310; port++)
		assert_int_equal(outside_passes(world, TCP, (uint16_t)port), port >= 100 && port <= 301);
	assert_int_equal(deciding_rule(world, "a/client", "192.0.2.1", TCP, 125), EGRESS_RULE_FIRST);
	assert_int_equal(deciding_rule(world, "a/client", "192.0.2.1", TCP, 251), EGRESS_RULE_FIRST + 1);
	assert_int_equal(deciding_rule(world, "a/client", "192.0.2.1", TCP, 301), EGRESS_RULE_FIRST + 3);
	world_free(world);
}

static void ports_belong_to_their_rule(void **state)
{
	struct world *world = world_with_rules("{to: [{ipBlock: {cidr: 192.0.2.0/24}}], ports: [{port: 80}]}, "
					       "{to: [{ipBlock: {cidr: 192.0.3.0/24}}], ports: [{port: 443}]}");

	(void)state;
	assert_passes(world, "a/client", "192.0.2.1", TCP, 80);
	assert_denied(world, "a/client", "192.0.2.1", TCP, 443);
	assert_denied(world, "a/client", "192.0.3.1", TCP, 80);
	assert_passes(world, "a/client", "192.0.3.1", TCP, 443);
	world_free(world);
}

/* ------------------------------------------------------------------ port names */

static struct world *world_with_names(const char *egress)
{
	struct world *world = world_with_rules(egress);

	add(world, POD_WITH_PORTS, "a", "one", "app: web", "{name: http, containerPort: 8080}", "10.0.0.2");
	add(world, POD_WITH_PORTS, "a", "two", "app: web",
	    "{name: http, containerPort: 9090}, {name: http, containerPort: 5353, protocol: UDP}", "10.0.0.3");
	add(world, POD_WITH_PORTS, "a", "none", "app: web", "{name: metrics, containerPort: 8080}", "10.0.0.4");
	add(world, POD_WITH_PORTS, "a", "udp", "app: web", "{name: http, containerPort: 8080, protocol: UDP}",
	    "10.0.0.5");
	return world;
}

static void names_resolve_on_each_pod(void **state)
{
	struct world *world = world_with_names("{to: [{podSelector: {}}], ports: [{port: http}]}");

	(void)state;
	assert_passes(world, "a/client", "10.0.0.2", TCP, 8080);
	assert_denied(world, "a/client", "10.0.0.2", TCP, 9090);
	assert_passes(world, "a/client", "10.0.0.3", TCP, 9090);
	assert_denied(world, "a/client", "10.0.0.3", TCP, 8080);
	world_free(world);
}

static void name_that_a_pod_lacks(void **state)
{
	struct world *world = world_with_names("{to: [{podSelector: {}}], ports: [{port: http}]}");

	(void)state;
	assert_denied(world, "a/client", "10.0.0.4", TCP, 8080);
	world_free(world);
}

static void name_with_another_protocol(void **state)
{
	struct world *world = world_with_names("{ports: [{port: http}]}");

	(void)state;
	assert_denied(world, "a/client", "10.0.0.5", TCP, 8080);
	assert_denied(world, "a/client", "10.0.0.5", UDP, 8080);
	assert_denied(world, "a/client", "10.0.0.3", UDP, 5353);
	world_free(world);
}

static void names_mean_nothing_outside(void **state)
{
	struct world *world = world_with_names("{ports: [{port: http}]}, {to: [{ipBlock: {cidr: 192.0.2.0/24}}], "
					       "ports: [{port: http}]}");

	(void)state;
	assert_passes(world, "a/client", "10.0.0.2", TCP, 8080);
	assert_denied(world, "a/client", "192.0.2.1", TCP, 8080);
	world_free(world);
}

static void name_in_a_rule_with_a_block(void **state)
{
	struct world *world = world_with_names("{to: [{ipBlock: {cidr: 10.0.0.0/24}}], ports: [{port: http}]}");

	(void)state;
	assert_passes(world, "a/client", "10.0.0.3", TCP, 9090);
	assert_denied(world, "a/client", "10.0.0.9", TCP, 9090);
	world_free(world);
}

static void first_container_port_of_a_name_counts(void **state)
{
	struct world *world = world_with_rules("{ports: [{port: http}]}");

	(void)state;
	add(world,
	    "{apiVersion: v1, kind: Pod, metadata: {namespace: a, name: web}, spec: {containers: "
	    "[{name: x, ports: [{name: http, containerPort: 1}]}, "
	    "{name: z, ports: [{name: http, containerPort: 2}]}]}, "
	    "status: {phase: Running, podIP: 10.0.0.2}}");
	assert_passes(world, "a/client", "10.0.0.2", TCP, 1);
	assert_denied(world, "a/client", "10.0.0.2", TCP, 2);
	world_free(world);
}

static void init_and_sidecar_containers(void **state)
{
	struct world *world = world_with_rules("{ports: [{port: http}, {port: admin}]}");

	(void)state;
	add(world, "{apiVersion: v1, kind: Pod, metadata: {namespace: a, name: web}, spec: {containers: [{name: x}], "
		   "initContainers: [{name: i, ports: [{name: http, containerPort: 1}]}, "
		   "{name: s, restartPolicy: Always, ports: [{name: admin, containerPort: 2}]}]}, "
		   "status: {phase: Running, podIP: 10.0.0.2}}");
	assert_denied(world, "a/client", "10.0.0.2", TCP, 1);
	assert_passes(world, "a/client", "10.0.0.2", TCP, 2);
	world_free(world);
}

/* ------------------------------------------------------------------ blocks */

static void assert_block(const char *block, const char *const *inside, const char *const *outside)
{
	char rule[256];
	struct world *world;

	snprintf(rule, sizeof(rule), "{to: [{ipBlock: {%s}}]}", block);
	world = world_with_rules(rule);
	for (; *inside; inside++)
		if (!passes(world, "a/client", *inside, TCP, 80))
			fail_msg("%s is not in %s", *inside, block);
	for (; *outside; outside++)
		if (passes(world, "a/client", *outside, TCP, 80))
			fail_msg("%s is in %s", *outside, block);
	world_free(world);
}

#define ADDRESSES(...) ((const char *const[]){__VA_ARGS__, NULL})
#define NO_ADDRESSES   ((const char *const[]){NULL})

static void blocks_ipv4(void **state)
{
	(void)state;
	assert_block("cidr: 192.0.2.0/24", ADDRESSES("192.0.2.0", "192.0.2.255"),
		     ADDRESSES("192.0.1.255", "192.0.3.0", "::"));
	assert_block("cidr: 192.0.2.77/24", ADDRESSES("192.0.2.0", "192.0.2.255"),
		     ADDRESSES("192.0.1.255", "192.0.3.0"));
	assert_block("cidr: 192.0.2.7/32", ADDRESSES("192.0.2.7"), ADDRESSES("192.0.2.6", "192.0.2.8"));
	assert_block("cidr: 0.0.0.0/0", ADDRESSES("0.0.0.0", "255.255.255.255", "127.0.0.1"),
		     ADDRESSES("::", "::ffff:1.2.3.4"));
	assert_block("cidr: 128.0.0.0/1", ADDRESSES("128.0.0.0", "255.255.255.255"),
		     ADDRESSES("127.255.255.255", "0.0.0.0"));
	assert_block("cidr: 10.32.0.0/11", ADDRESSES("10.32.0.0", "10.63.255.255"),
		     ADDRESSES("10.31.255.255", "10.64.0.0"));
	assert_block("cidr: 10.0.16.0/20", ADDRESSES("10.0.16.0", "10.0.31.255"),
		     ADDRESSES("10.0.15.255", "10.0.32.0"));
}

static void blocks_ipv6(void **state)
{
	(void)state;
	assert_block("cidr: '2001:db8::/32'", ADDRESSES("2001:db8::", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff"),
		     ADDRESSES("2001:db7:ffff:ffff:ffff:ffff:ffff:ffff", "2001:db9::", "32.1.13.184"));
	assert_block("cidr: '::/0'", ADDRESSES("::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "::ffff:1.2.3.4"),
		     ADDRESSES("0.0.0.0", "1.2.3.4"));
	assert_block("cidr: '2001:db8::1/128'", ADDRESSES("2001:db8::1"), ADDRESSES("2001:db8::", "2001:db8::2"));
	assert_block("cidr: '2001:db8:8000::/33'", ADDRESSES("2001:db8:8000::", "2001:db8:ffff::"),
		     ADDRESSES("2001:db8:7fff::"));
	assert_block("cidr: '2001:db8::8/125'", ADDRESSES("2001:db8::8", "2001:db8::f"),
		     ADDRESSES("2001:db8::7", "2001:db8::10"));
	assert_block("cidr: '8000::/1'", ADDRESSES("8000::", "ffff::"), ADDRESSES("7fff::", "::"));
}

static void excepts(void **state)
{
	(void)state;
	assert_block("cidr: 192.0.2.0/24, except: [192.0.2.64/26, 192.0.2.255/32]",
		     ADDRESSES("192.0.2.63", "192.0.2.128", "192.0.2.254"),
		     ADDRESSES("192.0.2.64", "192.0.2.127", "192.0.2.255"));
	assert_block("cidr: 10.0.0.0/8, except: [10.1.0.0/16, 10.1.2.0/24, 10.0.0.0/16]", ADDRESSES("10.2.0.0"),
		     ADDRESSES("10.0.0.0", "10.1.2.3", "10.1.255.255"));
	assert_block("cidr: '2001:db8::/32', except: ['2001:db8::/33']", ADDRESSES("2001:db8:8000::"),
		     ADDRESSES("2001:db8::"));
}

static void except_equal_to_the_block(void **state)
{
	(void)state;
	assert_block("cidr: 192.0.2.0/24, except: [192.0.2.0/24]", NO_ADDRESSES, ADDRESSES("192.0.2.0", "192.0.2.255"));
	assert_block("cidr: 0.0.0.0/0, except: [0.0.0.0/0]", NO_ADDRESSES, ADDRESSES("0.0.0.0", "255.255.255.255"));
	assert_block("cidr: '::/0', except: ['::/0']", NO_ADDRESSES, ADDRESSES("::", "2001:db8::", "ffff::"));
	assert_block("cidr: '::/0', except: ['8000::/1']", ADDRESSES("::", "7fff::"), ADDRESSES("8000::", "ffff::"));
}

static void except_takes_only_from_its_own_block(void **state)
{
	struct world *world = world_with_rules("{to: [{ipBlock: {cidr: 10.0.0.0/8, except: [10.1.0.0/16]}}]}");

	(void)state;
	assert_denied(world, "a/client", "10.1.2.3", TCP, 80);
	add(world, POLICY, "a", "q", "podSelector: {}, egress: [{to: [{ipBlock: {cidr: 10.1.2.0/24}}]}]");
	compile(world);
	assert_passes(world, "a/client", "10.1.2.3", TCP, 80);
	assert_denied(world, "a/client", "10.1.3.3", TCP, 80);
	world_free(world);
}

static void block_covers_pods(void **state)
{
	struct world *world = world_with_rules("{to: [{ipBlock: {cidr: 10.0.0.0/16, except: [10.0.0.3/32]}}]}");

	(void)state;
	add(world, POD, "b", "web", "", "10.0.0.2");
	add(world, POD, "b", "db", "", "10.0.0.3");
	assert_passes(world, "a/client", "10.0.0.2", TCP, 80);
	assert_denied(world, "a/client", "10.0.0.3", TCP, 80);
	world_free(world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ports_absent_is_every_protocol),
		cmocka_unit_test(ports_exclude_protocols_without_ports),
		cmocka_unit_test(protocol_absent_is_tcp),
		cmocka_unit_test(port_absent_is_every_port),
		cmocka_unit_test(end_port),
		cmocka_unit_test(port_zero),
		cmocka_unit_test(ranges_overlap_touch_and_nest),
		cmocka_unit_test(ports_belong_to_their_rule),
		cmocka_unit_test(names_resolve_on_each_pod),
		cmocka_unit_test(name_that_a_pod_lacks),
		cmocka_unit_test(name_with_another_protocol),
		cmocka_unit_test(names_mean_nothing_outside),
		cmocka_unit_test(name_in_a_rule_with_a_block),
		cmocka_unit_test(first_container_port_of_a_name_counts),
		cmocka_unit_test(init_and_sidecar_containers),
		cmocka_unit_test(blocks_ipv4),
		cmocka_unit_test(blocks_ipv6),
		cmocka_unit_test(excepts),
		cmocka_unit_test(except_equal_to_the_block),
		cmocka_unit_test(except_takes_only_from_its_own_block),
		cmocka_unit_test(block_covers_pods),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
