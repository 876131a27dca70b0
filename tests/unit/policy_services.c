/* SPDX-License-Identifier: Apache-2.0 */
/* A pod itself, its node, and services judged by their backends. */
#include "policy_world.h"

#define WEB_PORTS "ports: [{port: 80, targetPort: 8080}]"
#define IP        "IPv4"

/* Pod a/client is isolated: it may send to pods app=good of its namespace. */
static struct world *world_with_client(void)
{
	struct world *world = world_new();

	add(world, POD, "a", "client", "app: client", "10.0.0.1");
	add(world, POD, "a", "good1", "app: good", "10.0.0.2");
	add(world, POD, "a", "good2", "app: good", "10.0.0.3");
	add(world, POD, "a", "bad", "app: bad", "10.0.0.4");
	add(world, POLICY, "a", "p",
	    "podSelector: {matchLabels: {app: client}}, egress: [{to: [{podSelector: {matchLabels: {app: good}}}]}]");
	return world;
}

static void add_slice(struct world *world, const char *service, const char *ports, const char *endpoints)
{
	add(world, SLICE, "a", service, service, IP, ports, endpoints);
}

static void itself(void **state)
{
	struct world *world = world_with_client();

	(void)state;
	assert_passes(world, "a/client", "10.0.0.1", TCP, 80);
	assert_passes(world, "a/client", "10.0.0.1", ICMP, 0);
	assert_int_equal(deciding_rule(world, "a/client", "10.0.0.1", TCP, 80), EGRESS_RULE_SELF);
	assert_denied(world, "a/client", "10.0.0.4", TCP, 80);
	world_free(world);
}

static void own_node(void **state)
{
	struct world *world = world_with_client();

	(void)state;
	add_node_address(world, "10.9.0.1");
	add_node_address(world, "fd00:9::1");
	assert_passes(world, "a/client", "10.9.0.1", TCP, 22);
	assert_passes(world, "a/client", "10.9.0.1", ICMP, 0);
	assert_passes(world, "a/client", "fd00:9::1", UDP, 53);
	assert_int_equal(deciding_rule(world, "a/client", "10.9.0.1", TCP, 22), EGRESS_RULE_NODE);
	assert_denied(world, "a/client", "10.9.0.2", TCP, 22);
	world_free(world);
}

static void own_node_turned_off(void **state)
{
	struct world *world = world_with_client();

	(void)state;
	add(world,
	    NODE, "10.9.0.1");
	assert_denied(world, "a/client", "10.9.0.1", TCP, 22);
	world_free(world);
}

static void cluster_ip_needs_every_backend(void **state)
{
	struct world *world = world_with_client();

	(void)state;
	add(world, SERVICE, "a", "web", "clusterIP: 10.96.0.1, " WEB_PORTS);
	add_slice(world, "web", "{port: 8080}", "{addresses: [10.0.0.2]}, {addresses: [10.0.0.3]}");
	assert_passes(world, "a/client", "10.96.0.1", TCP, 80);
	assert_int_equal(deciding_rule(world, "a/client", "10.96.0.1", TCP, 80), EGRESS_RULE_FIRST);
	/* Another transport, another port: an address like any other. */
	assert_denied(world, "a/client", "10.96.0.1", UDP, 80);
	assert_denied(world, "a/client", "10.96.0.1", TCP, 8080);
	assert_denied(world, "a/client", "10.96.0.1", ICMP, 0);
	assert_null(find_problem(world, "mixed-service", ""));
	world_free(world);
}

static void mixed_service_is_denied_and_reported(void **state)
{
	struct world *world = world_with_client();
	const struct problem *problem;

	(void)state;
	add(world, SERVICE, "a", "web", "clusterIP: 10.96.0.1, " WEB_PORTS);
	add_slice(world, "web", "{port: 8080}", "{addresses: [10.0.0.2]}, {addresses: [10.0.0.4]}");
	assert_denied(world, "a/client", "10.96.0.1", TCP, 80);
	assert_int_equal(deciding_rule(world, "a/client", "10.96.0.1", TCP, 80), EGRESS_RULE_MIXED);
	problem = find_problem(world, "mixed-service", "port 80/TCP");
	assert_non_null(problem);
	assert_int_equal(problem->severity, PROBLEM_WARNING);
	assert_string_equal(problem->object, "Service a/web");
	assert_non_null(strstr(problem->message, "a/p"));
	world_free(world);
}

static void service_without_backends_is_denied(void **state)
{
	struct world *world = world_with_client();

	(void)state;
	add(world, POLICY, "a", "all", "podSelector: {}, egress: [{to: [{ipBlock: {cidr: 0.0.0.0/0}}]}]");
	add(world, SERVICE, "a", "web", "clusterIP: 10.96.0.1, " WEB_PORTS);
	assert_denied(world, "a/client", "10.96.0.1", TCP, 80);
	assert_int_equal(deciding_rule(world, "a/client", "10.96.0.1", TCP, 80), EGRESS_RULE_EMPTY);
	/* Ports that it does not define are judged by the block that covers the address. */
	assert_passes(world, "a/client", "10.96.0.1", TCP, 81);
	assert_passes(world, "a/client", "10.96.0.1", ICMP, 0);
	world_free(world);
}

static void block_over_the_cluster_ip_does_not_count(void **state)
{
	struct world *world = world_with_client();

	(void)state;
	add(world, POLICY, "a", "q", "podSelector: {}, egress: [{to: [{ipBlock: {cidr: 10.96.0.0/16}}]}]");
	add(world, SERVICE, "a", "web", "clusterIP: 10.96.0.1, " WEB_PORTS);
	add_slice(world, "web", "{port: 8080}", "{addresses: [10.0.0.4]}");
	assert_denied(world, "a/client", "10.96.0.1", TCP, 80);
	assert_passes(world, "a/client", "10.96.0.1", TCP, 443);
	world_free(world);
}

static void external_and_load_balancer_addresses(void **state)
{
	struct world *world = world_with_client();

	(void)state;
	add(world, "{apiVersion: v1, kind: Service, metadata: {namespace: a, name: web}, spec: {type: LoadBalancer, "
		   "clusterIP: 10.96.0.1, externalIPs: [192.0.2.1], " WEB_PORTS "}, "
		   "status: {loadBalancer: {ingress: [{ip: 198.51.100.1}]}}}");
	add_slice(world, "web", "{port: 8080}", "{addresses: [10.0.0.2]}");
	assert_passes(world, "a/client", "192.0.2.1", TCP, 80);
	assert_passes(world, "a/client", "198.51.100.1", TCP, 80);
	assert_denied(world, "a/client", "192.0.2.1", TCP, 8080);
	world_free(world);
}

static void services_share_an_external_address(void **state)
{
	struct world *world = world_with_client();

	(void)state;
	add(world, SERVICE, "a", "one", "clusterIP: 10.96.0.1, externalIPs: [192.0.2.1], ports: [{port: 80}]");
	add(world, SERVICE, "a", "two", "clusterIP: 10.96.0.2, externalIPs: [192.0.2.1], ports: [{port: 81}]");
	add_slice(world, "one", "{port: 80}", "{addresses: [10.0.0.2]}");
	add_slice(world, "two", "{port: 81}", "{addresses: [10.0.0.4]}");
	assert_passes(world, "a/client", "192.0.2.1", TCP, 80);
	assert_denied(world, "a/client", "192.0.2.1", TCP, 81);
	world_free(world);
}

static void services_at_one_port_need_the_backends_of_both(void **state)
{
	struct world *world = world_with_client();
	const struct problem *problem;

	(void)state;
	add(world, SERVICE, "a", "one", "clusterIP: 10.96.0.1, externalIPs: [192.0.2.1], ports: [{port: 80}]");
	add(world, SERVICE, "a", "two", "clusterIP: 10.96.0.2, externalIPs: [192.0.2.1], ports: [{port: 80}]");
	add_slice(world, "one", "{port: 80}", "{addresses: [10.0.0.2]}");
	/* One of them serves nothing: what may be reached is the other's. */
	assert_passes(world, "a/client", "192.0.2.1", TCP, 80);
	problem = find_problem(world, "conflict", "port 80/TCP of 192.0.2.1 is also served by Service a/one");
	assert_non_null(problem);
	assert_string_equal(problem->object, "Service a/two");
	assert_null(find_problem(world, "conflict", "10.96.0.1"));
	add_slice(world, "two", "{port: 80}", "{addresses: [10.0.0.4]}");
	compile(world);
	assert_denied(world, "a/client", "192.0.2.1", TCP, 80);
	assert_passes(world, "a/client", "10.96.0.1", TCP, 80);
	world_free(world);
}

static void two_kinds_of_objects_at_one_address_are_reported(void **state)
{
	struct world *world = world_with_client();
	const struct problem *problem;

	(void)state;
	add(world, SERVICE, "a", "one", "type: NodePort, clusterIP: 10.0.0.3, ports: [{port: 80, nodePort: 30080}]");
	add(world, SERVICE, "a", "two", "type: NodePort, clusterIP: 10.96.0.2, ports: [{port: 81, nodePort: 30080}]");
	add(world, NODE, "10.0.0.2");
	compile(world);
	problem = find_problem(world, "conflict", "address 10.0.0.3 is also pod a/");
	assert_non_null(problem);
	assert_string_equal(problem->object, "Service a/one");
	problem = find_problem(world, "conflict", "address 10.0.0.2 is also a node's");
	assert_non_null(problem);
	assert_memory_equal(problem->object, "Pod a/", 6);
	problem = find_problem(world, "conflict", "nodePort 30080/TCP is also served by Service a/one");
	assert_non_null(problem);
	assert_string_equal(problem->object, "Service a/two");
	world_free(world);
}

static void node_port_is_a_service(void **state)
{
	struct world *world = world_with_client();
	static const char *const nodes[] = {"10.9.0.1", "10.9.0.2"};
	size_t i;

	(void)state;
	add_node_address(world, "10.9.0.1");
	add(world,
	    NODE, "10.9.0.2");
	add(world, SERVICE, "a", "good", "type: NodePort, clusterIP: 10.96.0.1, ports: [{port: 80, nodePort: 30080}]");
	add(world, SERVICE, "a", "bad", "type: NodePort, clusterIP: 10.96.0.2, ports: [{port: 80, nodePort: 30081}]");
	add_slice(world, "good", "{port: 8080}", "{addresses: [10.0.0.2]}");
	add_slice(world, "bad", "{port: 8080}", "{addresses: [10.0.0.4]}");
	for (i = 0; i < 2; i++) {
		assert_passes(world, "a/client", nodes[i], TCP, 30080);
		assert_denied(world, "a/client", nodes[i], TCP, 30081);
		/* The rest of the own node is allowed, of other nodes not. */
		assert_int_equal(passes(world, "a/client", nodes[i], TCP, 30082), i == 0);
		assert_int_equal(passes(world, "a/client", nodes[i], UDP, 30081), i == 0);
	}
	world_free(world);
}

#define HOST_POD                                                                        \
	"{apiVersion: v1, kind: Pod, metadata: {namespace: a, name: %s, labels: {app: %s}}, "  \
	"spec: {nodeName: '%s', hostNetwork: %s, containers: [{name: c, ports: [{%s}]}]}, " \
	"status: {phase: %s, podIPs: [%s]}}"

/* An isolated pod on a node with two addresses; pods app=good may be reached on port 1. */
static struct world *world_on_node(void)
{
	struct world *world = world_new();

	add_node_address(world, "10.9.0.1");
	add_node_address(world, "fd00:9::1");
	add(world, POD, "a", "client", "app: client", "10.0.0.1");
	add(world, POLICY, "a", "p",
	    "podSelector: {}, egress: [{to: [{podSelector: {matchLabels: {app: good}}}], ports: [{port: 1}, "
	    "{port: 1, protocol: UDP}, {port: 1, protocol: SCTP}]}]");
	return world;
}

/* The node forwards them behind the veth: that its own addresses are allowed must not lead to a pod that is not. */
static void a_host_port_is_the_pod_behind_it(void **state)
{
	struct world *world = world_on_node();

	(void)state;
	add(world, HOST_POD, "bad", "bad", "", "false", "containerPort: 1, hostPort: 101", "Running",
	    "{ip: 10.0.0.2}, {ip: 'fd00::2'}");
	add(world, HOST_POD, "good", "good", "", "false", "containerPort: 1, hostPort: 102, protocol: UDP", "Running",
	    "{ip: 10.0.0.3}");
	add(world, HOST_POD, "far", "good", "", "false", "containerPort: 2, hostPort: 103, protocol: SCTP", "Running",
	    "{ip: 10.0.0.4}");
	add(world, HOST_POD, "itself", "bad", "", "false", "containerPort: 9, hostPort: 104", "Running",
	    "{ip: 10.0.0.5}");
	assert_denied(world, "a/client", "10.9.0.1", TCP, 101);
	assert_int_equal(deciding_rule(world, "a/client", "10.9.0.1", TCP, 101), EGRESS_RULE_DEFAULT);
	assert_denied(world, "a/client", "fd00:9::1", TCP, 101);
	assert_int_equal(deciding_rule(world, "a/client", "10.9.0.1", UDP, 102), EGRESS_RULE_FIRST);
	assert_denied(world, "a/client", "10.9.0.1", SCTP, 103);
	assert_denied(world, "a/client", "10.9.0.1", TCP, 104);
	assert_int_equal(deciding_rule(world, "a/itself", "10.9.0.1", TCP, 104), EGRESS_RULE_SELF);
	/* The pod has no address to forward to; another transport; the pod's own port; the rest of the node. */
	assert_int_equal(deciding_rule(world, "a/client", "fd00:9::1", SCTP, 103), EGRESS_RULE_NODE);
	assert_passes(world, "a/client", "10.9.0.1", UDP, 101);
	assert_passes(world, "a/client", "10.9.0.1", TCP, 1);
	assert_passes(world, "a/client", "10.9.0.1", TCP, 22);
	assert_int_equal(world->problems.count, 0);
	world_free(world);
}

static void a_host_port_of_nobody(void **state)
{
	struct world *world = world_on_node();

	(void)state;
	add(world, HOST_POD, "host", "bad", "", "true", "containerPort: 101, hostPort: 101", "Running",
	    "{ip: 10.9.0.1}");
	add(world, HOST_POD, "ended", "bad", "", "false", "containerPort: 1, hostPort: 102", "Succeeded",
	    "{ip: 10.0.0.3}");
	add(world, HOST_POD, "coming", "bad", "", "false", "containerPort: 1, hostPort: 103", "Pending", "");
	add(world, HOST_POD, "starting", "bad", "", "false", "containerPort: 1, hostPort: 104", "Pending",
	    "{ip: 10.0.0.4}");
	assert_passes(world, "a/client", "10.9.0.1", TCP, 101);
	assert_passes(world, "a/client", "10.9.0.1", TCP, 102);
	assert_passes(world, "a/client", "10.9.0.1", TCP, 103);
	assert_denied(world, "a/client", "10.9.0.1", TCP, 104);
	world_free(world);
}

static void a_host_port_at_one_address(void **state)
{
	struct world *world = world_on_node();

	(void)state;
	add_node_address(world, "10.9.0.3");
	add(world, HOST_POD, "one", "bad", "", "false", "containerPort: 1, hostPort: 101, hostIP: 10.9.0.3", "Running",
	    "{ip: 10.0.0.2}");
	add(world, HOST_POD, "other", "bad", "", "false", "containerPort: 1, hostPort: 102, hostIP: 10.9.0.4",
	    "Running", "{ip: 10.0.0.3}");
	add(world, HOST_POD, "all", "bad", "", "false", "containerPort: 1, hostPort: 103, hostIP: 0.0.0.0", "Running",
	    "{ip: 10.0.0.4}");
	assert_passes(world, "a/client", "10.9.0.1", TCP, 101);
	assert_denied(world, "a/client", "10.9.0.3", TCP, 101);
	assert_passes(world, "a/client", "10.9.0.3", TCP, 102);
	assert_denied(world, "a/client", "10.9.0.4", TCP, 102);
	assert_denied(world, "a/client", "10.9.0.1", TCP, 103);
	assert_denied(world, "a/client", "10.9.0.3", TCP, 103);
	world_free(world);
}

/* Each of them has a hostPort, and a service a port, at the node's address. */
static void everybody_behind_a_port_of_the_node_is_asked(void **state)
{
	struct world *world = world_on_node();

	(void)state;
	add(world, HOST_POD, "good", "good", "", "false", "containerPort: 1, hostPort: 101", "Running",
	    "{ip: 10.0.0.2}");
	add(world, SERVICE, "a", "s",
	    "type: NodePort, clusterIP: 10.96.0.1, externalIPs: [10.9.0.1], "
	    "ports: [{name: a, port: 101}, {name: b, port: 9, nodePort: 101}]");
	add_slice(world, "s", "{name: a, port: 1}, {name: b, port: 1}", "{addresses: [10.0.0.2]}");
	assert_passes(world, "a/client", "10.9.0.1", TCP, 101);
	add_slice(world, "s", "{name: a, port: 1}, {name: b, port: 2}", "{addresses: [10.0.0.2]}");
	compile(world);
	assert_denied(world, "a/client", "10.9.0.1", TCP, 101);
	add_slice(world, "s", "{name: a, port: 1}, {name: b, port: 1}", "{addresses: [10.0.0.2]}");
	add(world, HOST_POD, "bad", "bad", "", "false", "containerPort: 1, hostPort: 101", "Running",
	    "{ip: 10.0.0.3}");
	compile(world);
	assert_denied(world, "a/client", "10.9.0.1", TCP, 101);
	assert_null(find_problem(world, "conflict", "Pod"));
	world_free(world);
}

/* Exact where it is known which node a pod is on; else each of them may be here. */
static void only_pods_of_the_node_have_its_ports(void **state)
{
	static const char annotated[] =
		"{apiVersion: v1, kind: Pod, metadata: {namespace: a, name: hung, labels: {app: bad}, annotations: "
		"{egressd.io/interface: veth0}}, spec: {nodeName: elsewhere, containers: [{name: c, ports: "
		"[{containerPort: 1, hostPort: 104}]}]}, status: {phase: Running, podIP: 10.0.0.5}}";
	struct world *world = world_on_node();

	(void)state;
	add(world, HOST_POD, "here", "bad", "n", "false", "containerPort: 1, hostPort: 101", "Running",
	    "{ip: 10.0.0.2}");
	add(world, HOST_POD, "there", "bad", "m", "false", "containerPort: 1, hostPort: 102", "Running",
	    "{ip: 10.0.0.3}");
	add(world, HOST_POD, "unsaid", "bad", "", "false", "containerPort: 1, hostPort: 103", "Running",
	    "{ip: 10.0.0.4}");
	add(world, "%s", annotated);
	assert_denied(world, "a/client", "10.9.0.1", TCP, 101);
	assert_denied(world, "a/client", "10.9.0.1", TCP, 102);
	assert_denied(world, "a/client", "10.9.0.1", TCP, 103);
	/* A Node object of that address says the name. */
	add(world, NODE, "10.9.0.1");
	compile(world);
	assert_denied(world, "a/client", "10.9.0.1", TCP, 101);
	assert_passes(world, "a/client", "10.9.0.1", TCP, 102);
	assert_denied(world, "a/client", "10.9.0.1", TCP, 103);
	assert_denied(world, "a/client", "10.9.0.1", TCP, 104);
	/* Who knows it says so himself. */
	world->options.node_name = "m";
	compile(world);
	assert_passes(world, "a/client", "10.9.0.1", TCP, 101);
	assert_denied(world, "a/client", "10.9.0.1", TCP, 102);
	/* Two Nodes that say they have the address. */
	world->options.node_name = NULL;
	add(world, "{apiVersion: v1, kind: Node, metadata: {name: o}, "
		   "status: {addresses: [{type: InternalIP, address: 10.9.0.1}]}}");
	compile(world);
	assert_denied(world, "a/client", "10.9.0.1", TCP, 101);
	assert_denied(world, "a/client", "10.9.0.1", TCP, 102);
	world_free(world);
}

static void dual_stack(void **state)
{
	struct world *world = world_with_client();

	(void)state;
	add(world, POD, "a", "good6", "app: good", "fd00::2");
	add(world, POD, "a", "bad6", "app: bad", "fd00::4");
	add(world, SERVICE, "a", "web", "clusterIPs: [10.96.0.1, 'fd00:96::1'], " WEB_PORTS);
	add(world, SERVICE, "a", "only4", "clusterIPs: [10.96.0.2, 'fd00:96::2'], " WEB_PORTS);
	add_slice(world, "web", "{port: 8080}", "{addresses: [10.0.0.2]}");
	add_slice(world, "only4", "{port: 8080}", "{addresses: [10.0.0.2]}");
	add(world, SLICE, "a", "web6", "web", "IPv6", "{port: 8080}",
	    "{addresses: ['fd00::2']}, {addresses: ['fd00::4']}");
	assert_passes(world, "a/client", "10.96.0.1", TCP, 80);
	assert_denied(world, "a/client", "fd00:96::1", TCP, 80);
	assert_int_equal(deciding_rule(world, "a/client", "fd00:96::1", TCP, 80), EGRESS_RULE_MIXED);
	assert_int_equal(deciding_rule(world, "a/client", "fd00:96::2", TCP, 80), EGRESS_RULE_EMPTY);
	world_free(world);
}

static void several_ports_by_number_and_name(void **state)
{
	struct world *world = world_new();

	(void)state;
	add(world, POD, "a", "client", "app: client", "10.0.0.1");
	add(world, POD_WITH_PORTS, "a", "one", "app: web", "{name: web, containerPort: 8080}", "10.0.0.2");
	add(world, POD_WITH_PORTS, "a", "two", "app: web", "{name: web, containerPort: 9090}", "10.0.0.3");
	add(world, SERVICE, "a", "web",
	    "clusterIP: 10.96.0.1, selector: {app: web}, ports: [{name: m, port: 80, targetPort: 8080}, "
	    "{name: w, port: 81, targetPort: web}, {name: s, port: 82}, {name: l, port: 83, targetPort: lacking}]");
	add(world, POLICY, "a", "p",
	    "podSelector: {matchLabels: {app: client}}, egress: [{to: [{podSelector: {}}], "
	    "ports: [{port: web}, {port: 82}]}]");
	/* 8080 is the name's number on one of the pods only. */
	assert_int_equal(deciding_rule(world, "a/client", "10.96.0.1", TCP, 80), EGRESS_RULE_MIXED);
	assert_passes(world, "a/client", "10.96.0.1", TCP, 81);
	assert_passes(world, "a/client", "10.96.0.1", TCP, 82);
	assert_int_equal(deciding_rule(world, "a/client", "10.96.0.1", TCP, 83), EGRESS_RULE_EMPTY);
	world_free(world);
}

static void slice_ports_by_name(void **state)
{
	struct world *world = world_with_client();

	(void)state;
	add(world, SERVICE, "a", "web", "clusterIP: 10.96.0.1, ports: [{name: x, port: 80}, {name: z, port: 81}]");
	add_slice(world, "web", "{name: x, port: 1}, {name: z, protocol: UDP, port: 2}", "{addresses: [10.0.0.2]}");
	assert_passes(world, "a/client", "10.96.0.1", TCP, 80);
	assert_int_equal(deciding_rule(world, "a/client", "10.96.0.1", TCP, 81), EGRESS_RULE_EMPTY);
	world_free(world);
}

static void backends_without_selector(void **state)
{
	struct world *world = world_with_client();

	(void)state;
	add(world, POLICY, "a", "q",
	    "podSelector: {}, egress: [{to: [{ipBlock: {cidr: 203.0.113.0/24}}], ports: [{port: 5432}]}]");
	add(world, SERVICE, "a", "db", "clusterIP: 10.96.0.1, ports: [{port: 1}]");
	add(world, SERVICE, "a", "db2", "clusterIP: 10.96.0.2, ports: [{port: 1}]");
	add_slice(world, "db", "{port: 5432}", "{addresses: [203.0.113.5]}");
	add_slice(world, "db2", "{port: 5433}", "{addresses: [203.0.113.5]}");
	assert_passes(world, "a/client", "10.96.0.1", TCP, 1);
	assert_denied(world, "a/client", "10.96.0.2", TCP, 1);
	world_free(world);
}

static void slices_of_another_namespace(void **state)
{
	struct world *world = world_with_client();

	(void)state;
	add(world, SERVICE, "a", "web", "clusterIP: 10.96.0.1, " WEB_PORTS);
	add(world, SLICE, "b", "web", "web", IP, "{port: 8080}", "{addresses: [10.0.0.2]}");
	assert_int_equal(deciding_rule(world, "a/client", "10.96.0.1", TCP, 80), EGRESS_RULE_EMPTY);
	world_free(world);
}

#define NOT_READY "conditions: {ready: false, serving: false}"
#define DRAINING  "conditions: {ready: false, serving: true, terminating: true}"

static void not_ready_backends_do_not_count(void **state)
{
	struct world *world = world_with_client();

	(void)state;
	add(world, SERVICE, "a", "web", "clusterIP: 10.96.0.1, " WEB_PORTS);
	add_slice(world, "web", "{port: 8080}", "{addresses: [10.0.0.2]}, {addresses: [10.0.0.4], " NOT_READY "}");
	assert_passes(world, "a/client", "10.96.0.1", TCP, 80);
	add_slice(world, "web", "{port: 8080}", "{addresses: [10.0.0.2], " NOT_READY "}");
	compile(world);
	assert_int_equal(deciding_rule(world, "a/client", "10.96.0.1", TCP, 80), EGRESS_RULE_EMPTY);
	world_free(world);
}

static void terminating_backends_serve_when_none_is_ready(void **state)
{
	struct world *world = world_with_client();

	(void)state;
	add(world, SERVICE, "a", "web", "clusterIP: 10.96.0.1, " WEB_PORTS);
	add_slice(world, "web", "{port: 8080}", "{addresses: [10.0.0.2]}, {addresses: [10.0.0.4], " DRAINING "}");
	assert_passes(world, "a/client", "10.96.0.1", TCP, 80);
	add_slice(world, "web", "{port: 8080}",
		  "{addresses: [10.0.0.2], " DRAINING "}, {addresses: [10.0.0.4], " NOT_READY "}");
	compile(world);
	assert_passes(world, "a/client", "10.96.0.1", TCP, 80);
	add_slice(world, "web", "{port: 8080}",
		  "{addresses: [10.0.0.2], " DRAINING "}, {addresses: [10.0.0.4], " DRAINING "}");
	compile(world);
	assert_int_equal(deciding_rule(world, "a/client", "10.96.0.1", TCP, 80), EGRESS_RULE_MIXED);
	world_free(world);
}

/* The node without a ready backend of its own sends to its terminating one, whatever is ready on other nodes. */
static void terminating_backends_serve_their_node_beside_ready_ones(void **state)
{
	struct world *world = world_with_client();

	(void)state;
	add_node_address(world, "10.9.0.1");
	add(world, SERVICE, "a", "inside", "clusterIP: 10.96.0.1, internalTrafficPolicy: Local, " WEB_PORTS);
	add(world, SERVICE, "a", "outside",
	    "type: NodePort, clusterIP: 10.96.0.2, externalTrafficPolicy: Local, externalIPs: [192.0.2.1], "
	    "ports: [{port: 80, targetPort: 8080, nodePort: 30080}]");
	add(world, SERVICE, "a", "good", "clusterIP: 10.96.0.3, internalTrafficPolicy: Local, " WEB_PORTS);
	add_slice(world, "inside", "{port: 8080}", "{addresses: [10.0.0.2]}, {addresses: [10.0.0.4], " DRAINING "}");
	add_slice(world, "outside", "{port: 8080}", "{addresses: [10.0.0.2]}, {addresses: [10.0.0.4], " DRAINING "}");
	add_slice(world, "good", "{port: 8080}",
		  "{addresses: [10.0.0.2]}, {addresses: [10.0.0.3], " DRAINING "}, {addresses: [10.0.0.4], " NOT_READY "}");
	assert_denied(world, "a/client", "10.96.0.1", TCP, 80);
	assert_int_equal(deciding_rule(world, "a/client", "10.96.0.1", TCP, 80), EGRESS_RULE_MIXED);
	assert_denied(world, "a/client", "192.0.2.1", TCP, 80);
	assert_denied(world, "a/client", "10.9.0.1", TCP, 30080);
	assert_passes(world, "a/client", "10.96.0.3", TCP, 80);
	world_free(world);
}

static void pods_behind_a_service_without_slices(void **state)
{
	static const char pod[] =
		"{apiVersion: v1, kind: Pod, metadata: {namespace: a, name: x, labels: {app: good}%s}, "
		"status: {phase: Running, podIP: 10.0.0.9, conditions: [{type: Ready, status: '%s'}]}}";
	struct world *world = world_with_client();

	(void)state;
	store_remove(world->store, OBJECT_POD, "a", "good1");
	store_remove(world->store, OBJECT_POD, "a", "good2");
	add(world, SERVICE, "a", "web", "clusterIP: 10.96.0.1, selector: {app: good}, " WEB_PORTS);
	add(world, SERVICE, "a", "eager",
	    "clusterIP: 10.96.0.2, selector: {app: good}, publishNotReadyAddresses: true, " WEB_PORTS);
	add(world, pod, "", "True");
	assert_passes(world, "a/client", "10.96.0.1", TCP, 80);
	add(world, pod, "", "False");
	compile(world);
	assert_denied(world, "a/client", "10.96.0.1", TCP, 80);
	assert_passes(world, "a/client", "10.96.0.2", TCP, 80);
	add(world, pod, ", deletionTimestamp: '2024-01-01T00:00:00Z'", "True");
	compile(world);
	assert_passes(world, "a/client", "10.96.0.1", TCP, 80);
	world_free(world);
}

static void headless_services_have_no_address(void **state)
{
	struct world *world = world_with_client();

	(void)state;
	add(world, SERVICE, "a", "web", "clusterIP: None, selector: {app: good}, " WEB_PORTS);
	assert_passes(world, "a/client", "10.0.0.2", TCP, 80);
	assert_denied(world, "a/client", "10.0.0.4", TCP, 80);
	world_free(world);
}

static void session_affinity_is_irrelevant(void **state)
{
	struct world *world = world_with_client();

	(void)state;
	add(world, SERVICE, "a", "web", "clusterIP: 10.96.0.1, sessionAffinity: ClientIP, " WEB_PORTS);
	add_slice(world, "web", "{port: 8080}", "{addresses: [10.0.0.2]}, {addresses: [10.0.0.4]}");
	assert_denied(world, "a/client", "10.96.0.1", TCP, 80);
	world_free(world);
}

static void a_pod_behind_its_own_service(void **state)
{
	struct world *world = world_new();

	(void)state;
	add(world, POD, "a", "one", "app: web", "10.0.0.1");
	add(world, POD, "a", "two", "app: web", "10.0.0.2");
	add(world, POLICY, "a", "p", "podSelector: {}, policyTypes: [Egress]");
	add(world, SERVICE, "a", "lone", "clusterIP: 10.96.0.1, " WEB_PORTS);
	add_slice(world, "lone", "{port: 8080}", "{addresses: [10.0.0.1]}");
	add(world, SERVICE, "a", "both", "clusterIP: 10.96.0.2, " WEB_PORTS);
	add_slice(world, "both", "{port: 8080}", "{addresses: [10.0.0.1]}, {addresses: [10.0.0.2]}");
	assert_passes(world, "a/one", "10.96.0.1", TCP, 80);
	assert_int_equal(deciding_rule(world, "a/one", "10.96.0.1", TCP, 80), EGRESS_RULE_SELF);
	/* Another pod of the same policies may not. */
	assert_denied(world, "a/two", "10.96.0.1", TCP, 80);
	assert_denied(world, "a/one", "10.96.0.2", TCP, 80);
	world_free(world);
}

static void a_backend_on_the_own_node(void **state)
{
	struct world *world = world_with_client();

	(void)state;
	add_node_address(world, "10.9.0.1");
	add(world, SERVICE, "a", "api", "clusterIP: 10.96.0.1, ports: [{port: 443}]");
	add_slice(world, "api", "{port: 6443}", "{addresses: [10.9.0.1]}");
	assert_passes(world, "a/client", "10.96.0.1", TCP, 443);
	assert_int_equal(deciding_rule(world, "a/client", "10.96.0.1", TCP, 443), EGRESS_RULE_NODE);
	world_free(world);
}

/* The node is always allowed, but for tunnels: also where a service leads there. */
static void a_tunnel_on_the_own_node(void **state)
{
	struct world *world = world_with_client();

	(void)state;
	add_node_address(world, "10.9.0.1");
	add(world, SERVICE, "a", "overlay",
	    "clusterIP: 10.96.0.1, ports: [{port: 80, protocol: UDP, name: a}, {port: 8472, protocol: UDP, name: b}]");
	add_slice(world, "overlay", "{name: a, port: 8472, protocol: UDP}, {name: b, port: 53, protocol: UDP}",
		  "{addresses: [10.9.0.1]}");
	assert_passes(world, "a/client", "10.9.0.1", UDP, 53);
	assert_passes(world, "a/client", "10.9.0.1", TCP, 8472);
	assert_denied(world, "a/client", "10.9.0.1", UDP, 8472);
	assert_int_equal(deciding_rule(world, "a/client", "10.9.0.1", UDP, 8472), EGRESS_RULE_TUNNEL);
	assert_denied(world, "a/client", "10.9.0.1", 47, 0);
	assert_passes(world, "a/client", "10.9.0.1", ICMP, 0);
	assert_denied(world, "a/client", "10.96.0.1", UDP, 80);
	assert_denied(world, "a/client", "10.96.0.1", UDP, 8472);
	assert_int_equal(deciding_rule(world, "a/client", "10.96.0.1", UDP, 8472), EGRESS_RULE_TUNNEL);
	world_free(world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(itself),
		cmocka_unit_test(own_node),
		cmocka_unit_test(own_node_turned_off),
		cmocka_unit_test(cluster_ip_needs_every_backend),
		cmocka_unit_test(mixed_service_is_denied_and_reported),
		cmocka_unit_test(service_without_backends_is_denied),
		cmocka_unit_test(block_over_the_cluster_ip_does_not_count),
		cmocka_unit_test(external_and_load_balancer_addresses),
		cmocka_unit_test(services_share_an_external_address),
		cmocka_unit_test(services_at_one_port_need_the_backends_of_both),
		cmocka_unit_test(two_kinds_of_objects_at_one_address_are_reported),
		cmocka_unit_test(node_port_is_a_service),
		cmocka_unit_test(a_host_port_is_the_pod_behind_it),
		cmocka_unit_test(a_host_port_of_nobody),
		cmocka_unit_test(a_host_port_at_one_address),
		cmocka_unit_test(everybody_behind_a_port_of_the_node_is_asked),
		cmocka_unit_test(only_pods_of_the_node_have_its_ports),
		cmocka_unit_test(dual_stack),
		cmocka_unit_test(several_ports_by_number_and_name),
		cmocka_unit_test(slice_ports_by_name),
		cmocka_unit_test(backends_without_selector),
		cmocka_unit_test(slices_of_another_namespace),
		cmocka_unit_test(not_ready_backends_do_not_count),
		cmocka_unit_test(terminating_backends_serve_when_none_is_ready),
		cmocka_unit_test(terminating_backends_serve_their_node_beside_ready_ones),
		cmocka_unit_test(pods_behind_a_service_without_slices),
		cmocka_unit_test(headless_services_have_no_address),
		cmocka_unit_test(session_affinity_is_irrelevant),
		cmocka_unit_test(a_pod_behind_its_own_service),
		cmocka_unit_test(a_backend_on_the_own_node),
		cmocka_unit_test(a_tunnel_on_the_own_node),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
