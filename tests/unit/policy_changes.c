/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Random clusters: the written tables against a plain reading of the objects, and tables changed in place against a
 * compile from scratch.
 */
#include <time.h>

#include "policy_world.h"

#define NAMESPACES  3
#define REMOTE_PODS 24
#define STEPS       60
#define PROBES      120
#define WORLDS      25
#define SERVICES    3
#define NODE_PORT   30001
#define HOST_PORT   30002
#define HOST_PORT_TEXT "30002"

static uint64_t random_state;

/* xorshift64 (Marsaglia 2003): the same sequence everywhere, from the seed that is printed. */
static unsigned int random_below(unsigned int limit)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return (unsigned int)((random_state >> 11) % limit);
}

static const char *pick(const char *const *items, unsigned int count)
{
	return items[random_below(count)];
}

#define PICK(...) pick((const char *const[]){__VA_ARGS__}, sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *))

/* Few addresses, so that pods take over from each other and blocks have boundaries among them. */
static void random_address(char *text, size_t size)
{
	if (random_below(3))
		snprintf(text, size, "10.0.%u.%u", random_below(2), random_below(32));
	else
		snprintf(text, size, "fd00::%x:%x", random_below(2), random_below(32));
}

static void random_block(char *text, size_t size)
{
	char ip[64];

	random_address(ip, sizeof(ip));
	if (strchr(ip, ':'))
		snprintf(text, size, "'%s/%u'", ip, 108 + random_below(21));
	else
		snprintf(text, size, "%s/%u", ip, 16 + random_below(17));
}

static const char *random_selector(void)
{
	return PICK("{}", "{matchLabels: {app: x}}", "{matchLabels: {app: z, tier: a}}",
		    "{matchExpressions: [{key: tier, operator: Exists}]}",
		    "{matchExpressions: [{key: app, operator: NotIn, values: [x]}]}");
}

static void random_peer(char *text, size_t size)
{
	char block[80], except[80];

	switch (random_below(5)) {
	case 0:
		random_block(block, sizeof(block));
		snprintf(text, size, "{ipBlock: {cidr: %s}}", block);
		return;
	case 1:
		snprintf(except, sizeof(except), "10.0.%u.%u/%u", random_below(2), random_below(32),
			 28 + random_below(5));
		snprintf(text, size, "{ipBlock: {cidr: 10.0.0.0/16, except: [%s]}}", except);
		return;
	case 2:
		snprintf(text, size, "{podSelector: %s}", random_selector());
		return;
	case 3:
		snprintf(text, size, "{namespaceSelector: %s}", PICK("{}", "{matchLabels: {team: t1}}"));
		return;
	default:
		snprintf(text, size, "{namespaceSelector: %s, podSelector: %s}",
			 PICK("{}", "{matchLabels: {team: t0}}"), random_selector());
	}
}

static const char *random_ports(void)
{
	return PICK("[]", "[{port: 1}]", "[{port: 2, endPort: 3}, {protocol: UDP}]", "[{port: web}]",
		    "[{port: web, protocol: UDP}, {port: 3}]");
}

static void add_random_policy(struct world *world, unsigned int number)
{
	char rules[1024] = "", peers[512], peer[256], namespace[8], name[8];
	unsigned int count = random_below(4);

	while (count--) {
		unsigned int peer_count = random_below(4);

		peers[0] = '\0';
		while (peer_count--) {
			random_peer(peer, sizeof(peer));
			strncat(peers, peer, sizeof(peers) - strlen(peers) - 3);
			strcat(peers, ", ");
		}
		snprintf(rules + strlen(rules), sizeof(rules) - strlen(rules), "{to: [%s], ports: %s}, ", peers,
			 random_ports());
	}
	snprintf(namespace, sizeof(namespace), "n%u", random_below(NAMESPACES));
	snprintf(name, sizeof(name), "p%u", number);
	add(world,
	    "{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {namespace: %s, name: %s}, "
	    "spec: {podSelector: %s, policyTypes: [Egress], egress: [%s]}}",
	    namespace, name, random_selector(), rules);
}

static void add_random_pod(struct world *world, const char *namespace, const char *name, bool local)
{
	char ip[64];

	random_address(ip, sizeof(ip));
	add(world,
	    "{apiVersion: v1, kind: Pod, metadata: {namespace: %s, name: %s, labels: {%s}%s}, "
	    "spec: {hostNetwork: %s, nodeName: '%s', containers: [{name: c, ports: [%s]}]}, "
	    "status: {phase: %s, podIP: '%s'}}",
	    namespace, name, PICK("", "app: x", "app: z", "app: z, tier: a", "tier: a"),
	    local ? ", annotations: {egressd.io/interface: veth0}" : "",
	    !local && random_below(12) == 0 ? "true" : "false", PICK("n", "m", "m", ""),
	    PICK("", "", "{name: web, containerPort: 1}", "{name: web, containerPort: 1}",
		 "{containerPort: 2, hostPort: " HOST_PORT_TEXT "}",
		 "{name: web, containerPort: 3}, {name: web, containerPort: 2, protocol: UDP}"),
	    local ? "Running" : PICK("Running", "Running", "Running", "Pending", "Failed"), ip);
}

static struct world *random_world(void)
{
	struct world *world = world_new();
	unsigned int i;

	world->options.all_pods_local = false;
	add_node_address(world, "10.9.0.1");
	for (i = 0; i < NAMESPACES; i++) {
		char namespace[8], labels[16];

		snprintf(namespace, sizeof(namespace), "n%u", i);
		snprintf(labels, sizeof(labels), "team: t%u", i % 2);
		add(world, NAMESPACE, namespace, labels);
		add_random_pod(world, namespace, "local", true);
	}
	for (i = 0; i < REMOTE_PODS; i++) {
		char name[16];

		snprintf(name, sizeof(name), "remote%u", i);
		add_random_pod(world, PICK("n0", "n1", "n2"), name, false);
	}
	for (i = 0; i < 6; i++)
		add_random_policy(world, i);
	if (random_below(2))
		add(world, SERVICE, "n0", "s", "clusterIP: 10.96.0.1, ports: [{port: 1}]");
	if (random_below(2))
		add(world, SLICE, "n0", "s", "s", "IPv4", "{port: 1}",
		    "{addresses: [10.0.0.1]}, {addresses: [10.0.1.2]}");
	if (random_below(4) == 0)
		add(world, SERVICE, "n1", "d",
		    "clusterIP: 10.96.0.2, selector: {app: x}, ports: [{port: 1, targetPort: web}]");
	return world;
}

/* ------------------------------------------------------------------ the plain reading: no services */

struct reading {
	struct object *const *pods, *const *policies;
	size_t pod_count, policy_count;
	struct store *store;
};

static const struct object *owner_of(const struct reading *reading, const struct ip_address *address)
{
	const struct object *owner = NULL;
	size_t i;

	/* Pods come in order of namespace and name, and none has a creation time: the first one has it. */
	for (i = 0; i < reading->pod_count && !owner; i++) {
		const struct object *pod = reading->pods[i];

		if (!pod->pod.host_network && pod->pod.phase != POD_SUCCEEDED && pod->pod.phase != POD_FAILED &&
		    ip_address_compare(&pod->pod.addresses[0], address) == 0)
			owner = pod;
	}
	return owner;
}

static bool peer_holds(const struct reading *reading, const struct policy_peer *peer, const char *namespace,
		       const struct ip_address *address)
{
	const struct object *pod = owner_of(reading, address);
	size_t i;

	if (peer->has_block) {
		for (i = 0; i < peer->block.except_count; i++)
			if (ip_prefix_contains(&peer->block.except[i], address))
				return false;
		return ip_prefix_contains(&peer->block.cidr, address);
	}
	if (!pod || (!peer->has_namespace_selector && strcmp(pod->namespace, namespace) != 0))
		return false;
	if (peer->has_namespace_selector &&
	    !label_selector_matches(&peer->namespace_selector,
				    &store_get(reading->store, OBJECT_NAMESPACE, "", pod->namespace)->labels))
		return false;
	return !peer->has_pod_selector || label_selector_matches(&peer->pod_selector, &pod->labels);
}

static bool port_holds(const struct reading *reading, const struct policy_port *port, const struct ip_address *address,
		       uint8_t protocol, uint16_t number)
{
	static const uint8_t protocols[] = {[TRANSPORT_TCP] = TCP, [TRANSPORT_UDP] = UDP, [TRANSPORT_SCTP] = SCTP};
	const struct object *pod = owner_of(reading, address);
	size_t i;

	if (protocols[port->transport] != protocol)
		return false;
	if (port->kind != PORT_NAME)
		return port->kind == PORT_ANY || (port->first <= number && number <= port->last);
	for (i = 0; pod && i < pod->pod.port_count; i++)
		if (strcmp(pod->pod.ports[i].name, port->name) == 0 && pod->pod.ports[i].transport == port->transport)
			return pod->pod.ports[i].port == number;
	return false;
}

static bool rule_holds(const struct reading *reading, const struct egress_rule *rule, const char *namespace,
		       const struct ip_address *address, uint8_t protocol, uint16_t number)
{
	bool peer = !rule->peer_count, port = !rule->port_count;
	size_t i;

	for (i = 0; i < rule->peer_count; i++)
		peer |= peer_holds(reading, &rule->peers[i], namespace, address);
	for (i = 0; i < rule->port_count; i++)
		port |= port_holds(reading, &rule->ports[i], address, protocol, number);
	return peer && port;
}

static bool reads_allowed(const struct reading *reading, const struct object *from, const struct ip_address *address,
			  uint8_t protocol, uint16_t number)
{
	bool isolated = false, allowed = false;
	size_t i, j;

	for (i = 0; i < reading->policy_count; i++) {
		const struct object *policy = reading->policies[i];

		if (strcmp(policy->namespace, from->namespace) != 0 || !policy->policy.isolates_egress ||
		    !label_selector_matches(&policy->policy.pod_selector, &from->labels))
			continue;
		isolated = true;
		for (j = 0; j < policy->policy.rule_count; j++)
			allowed |= rule_holds(reading, &policy->policy.rules[j], policy->namespace, address, protocol,
					      number);
	}
	return !isolated || allowed || ip_address_compare(address, &from->pod.addresses[0]) == 0;
}

/* ------------------------------------------------------------------ */

static void random_flow(char *from, char *to, size_t size, uint8_t *protocol, uint16_t *port)
{
	static const uint8_t protocols[] = {TCP, TCP, UDP, SCTP, ICMP};

	snprintf(from, size, "n%u/local", random_below(NAMESPACES));
	random_address(to, size);
	*protocol = protocols[random_below(5)];
	*port = (uint16_t)random_below(5);
}

static void tables_equal_the_plain_reading(void **state)
{
	unsigned int round, i;

	(void)state;
	for (round = 0; round < WORLDS; round++) {
		struct world *world = random_world();
		struct reading reading = {.store = world->store};

		compile(world);
		reading.pods = store_list(world->store, OBJECT_POD, &reading.pod_count);
		reading.policies = store_list(world->store, OBJECT_NETWORK_POLICY, &reading.policy_count);
		for (i = 0; i < 10 * PROBES; i++) {
			char from[64], to[64], namespace[64];
			const char *name;
			struct ip_address destination;
			uint8_t protocol;
			uint16_t port;
			bool expected;

			random_flow(from, to, sizeof(from), &protocol, &port);
			destination = address(to);
			split_name(from, namespace, &name);
			expected = reads_allowed(&reading, store_get(world->store, OBJECT_POD, namespace, name),
						 &destination, protocol, port);
			if (passes(world, from, to, protocol, port) != expected)
				fail_msg("%s to %s %u/%u: %s was expected", from, to, port, protocol,
					 expected ? "allow" : "deny");
		}
		world_free(world);
	}
}

/* A pod comes, goes or changes in the store; *old and *new get references. */
static void change_pod(struct world *world, struct object **old, struct object **new)
{
	size_t count;
	struct object *const *pods = store_list(world->store, OBJECT_POD, &count);
	unsigned int kind = random_below(4);
	char namespace[64], name[64];

	*old = *new = NULL;
	if (kind == 0 || count < 8) {
		snprintf(namespace, sizeof(namespace), "n%u", random_below(NAMESPACES));
		snprintf(name, sizeof(name), "new%u", random_below(100000));
	} else {
		const struct object *pod = pods[random_below((unsigned int)count)];

		if (strcmp(pod->name, "local") == 0)
			pod = pods[count - 1];
		snprintf(namespace, sizeof(namespace), "%s", pod->namespace);
		snprintf(name, sizeof(name), "%s", pod->name);
	}
	*old = store_get(world->store, OBJECT_POD, namespace, name);
	if (*old)
		object_ref(*old);
	if (*old && kind == 1)
		assert_int_equal(store_remove(world->store, OBJECT_POD, namespace, name), 0);
	else
		add_random_pod(world, namespace, name, false);
	*new = store_get(world->store, OBJECT_POD, namespace, name);
	if (*new)
		object_ref(*new);
}

/* The verdict and the rule behind it: tables that name another reason have gone another way. */
static void compare_flow(const struct world *changed, const struct world *fresh, const char *from, const char *to,
			 uint8_t protocol, uint16_t port)
{
	const struct ip_address destination = address(to);
	struct table_verdict before, after;
	char namespace[64];
	const char *name;

	split_name(from, namespace, &name);
	assert_int_equal(tables_verdict_pod(changed->tables, namespace, name, &destination, protocol, port, &before), 0);
	assert_int_equal(tables_verdict_pod(fresh->tables, namespace, name, &destination, protocol, port, &after), 0);
	if (before.allow != after.allow || before.cell != after.cell)
		fail_msg("%s to %s %u/%u: %d (cell %x) after the changes, %d (%x) from scratch", from, to, port,
			 protocol, before.allow, before.cell, after.allow, after.cell);
}

static void compare_services(const struct world *changed, const struct world *fresh)
{
	static const char *const nodes[] = {"10.9.0.1", "10.0.0.30", "10.0.1.7"};
	unsigned int namespace, service, node;
	char from[64], to[64];
	uint16_t port;

	for (namespace = 0; namespace < NAMESPACES; namespace++) {
		snprintf(from, sizeof(from), "n%u/local", namespace);
		for (service = 1; service <= SERVICES; service++) {
			snprintf(to, sizeof(to), "10.96.0.%u", service);
			for (port = 1; port <= 3; port++) {
				compare_flow(changed, fresh, from, to, TCP, port);
				compare_flow(changed, fresh, from, "10.0.0.9", TCP, port);
			}
		}
		for (node = 0; node < sizeof(nodes) / sizeof(*nodes); node++) {
			compare_flow(changed, fresh, from, nodes[node], TCP, NODE_PORT);
			compare_flow(changed, fresh, from, nodes[node], TCP, HOST_PORT);
		}
	}
}

static void compare_with_compile(struct world *changed, unsigned int probes)
{
	struct world fresh = {.store = changed->store, .options = changed->options};
	unsigned int i;

	compile(&fresh);
	for (i = 0; i < probes; i++) {
		char from[64], to[64];
		uint8_t protocol;
		uint16_t port;

		random_flow(from, to, sizeof(from), &protocol, &port);
		compare_flow(changed, &fresh, from, to, protocol, port);
	}
	compare_services(changed, &fresh);
	world_forget_tables(&fresh);
	problem_list_clear(&fresh.problems);
}

static void incremental_equals_full(void **state)
{
	unsigned int round, step, in_place = 0, anew = 0;

	(void)state;
	for (round = 0; round < WORLDS; round++) {
		struct world *world = random_world();

		compile(world);
		for (step = 0; step < STEPS; step++) {
			size_t used = tables_used(world->tables);
			struct object *old, *new;
			int error;

			change_pod(world, &old, &new);
			error = tables_pod_changed(world->tables, old, new);
			if (error) {
				assert_int_equal(error, -EAGAIN);
				compile(world);
				anew++;
			} else {
				in_place++;
				/* A packet may yet read what the change let go, and nobody waits for it. */
				assert_true(tables_used(world->tables) >= used);
				compare_with_compile(world, PROBES);
			}
			object_unref(old);
			object_unref(new);
		}
		world_free(world);
	}
	print_message("%u changes in place, %u compiles\n", in_place, anew);
	/* A test of changes in place needs some. */
	assert_true(in_place > WORLDS * STEPS / 10);
}

/* ------------------------------------------------------------------ objects of every kind */

static void remove_if_there(struct world *world, enum object_kind kind, const char *namespace, const char *name)
{
	if (store_get(world->store, kind, namespace, name))
		assert_int_equal(store_remove(world->store, kind, namespace, name), 0);
}

static void change_service(struct world *world, const char *namespace, const char *name, unsigned int number)
{
	char rest[256];

	if (random_below(4) == 0) {
		remove_if_there(world, OBJECT_SERVICE, namespace, name);
		return;
	}
	snprintf(rest, sizeof(rest),
		 "type: NodePort, clusterIP: 10.96.0.%u, externalIPs: [%s], selector: {%s}, "
		 "ports: [{port: %u, targetPort: %s, nodePort: %u}]",
		 1 + number, PICK("", "10.0.0.9", "10.0.1.7"), PICK("", "app: x", "tier: a"), 1 + random_below(3), PICK("web", "2", "1"),
		 random_below(2) * NODE_PORT);
	add(world, SERVICE, namespace, name, rest);
}

static void change_slice(struct world *world, const char *namespace, const char *name)
{
	char endpoints[256], ip[64];

	if (random_below(4) == 0) {
		remove_if_there(world, OBJECT_ENDPOINT_SLICE, namespace, name);
		return;
	}
	do {
		random_address(ip, sizeof(ip));
	} while (strchr(ip, ':'));
	snprintf(endpoints, sizeof(endpoints), "{addresses: [%s], conditions: {%s}}, {addresses: [10.0.1.2]}", ip,
		 PICK("", "ready: false", "ready: false, serving: true, terminating: true"));
	add(world, SLICE, namespace, name, name, "IPv4", PICK("{port: 1}", "{port: 2}", "{port: 1, protocol: UDP}"),
	    endpoints);
}

static void change_other_object(struct world *world)
{
	char namespace[8], name[8], labels[16];
	unsigned int number = random_below(SERVICES);

	snprintf(namespace, sizeof(namespace), "n%u", random_below(NAMESPACES));
	switch (random_below(6)) {
	case 0:
		snprintf(labels, sizeof(labels), "team: t%u", random_below(3));
		if (random_below(4))
			add(world, NAMESPACE, namespace, labels);
		else
			remove_if_there(world, OBJECT_NAMESPACE, "", namespace);
		return;
	case 1:
		snprintf(name, sizeof(name), "p%u", number);
		if (random_below(3))
			add_random_policy(world, number);
		else
			remove_if_there(world, OBJECT_NETWORK_POLICY, namespace, name);
		return;
	case 2:
		snprintf(name, sizeof(name), "s%u", number);
		change_service(world, namespace, name, number);
		return;
	case 3:
		snprintf(name, sizeof(name), "s%u", number);
		change_slice(world, namespace, name);
		return;
	case 4:
		if (random_below(3))
			add(world, NODE, PICK("10.9.0.1", "10.0.0.30", "10.0.1.7"));
		else
			remove_if_there(world, OBJECT_NODE, "", "m");
		return;
	default:
		/* A local pod gets other labels, ports, address. */
		add_random_pod(world, namespace, "local", true);
	}
}

/* As the agent does: into the bank that is not in force, and into new memory only where that has become too small. */
static void write_next_generation(struct world *world, uint32_t generation, struct policy **before)
{
	struct policy *policy = world->policy;
	int error;

	world->policy = NULL;
	assert_int_equal(try_compile(world), 0);
	error = tables_write(world->tables, world->policy, generation);
	if (error == -ENOSPC) {
		struct policy *next = world->policy;

		world->policy = policy;
		world_forget_tables(world);
		world->policy = next;
		write_tables(world);
		policy = NULL;
	} else {
		assert_int_equal(error, 0);
		tables_publish(world->tables);
	}
	policy_free(*before);
	*before = policy;
}

static void any_sequence_of_changes_equals_full(void **state)
{
	unsigned int round, step, in_place = 0, anew = 0;

	(void)state;
	for (round = 0; round < WORLDS; round++) {
		struct world *world = random_world();
		struct policy *before = NULL;

		compile(world);
		for (step = 0; step < STEPS; step++) {
			struct object *old = NULL, *new = NULL;
			int error = -EAGAIN;

			if (random_below(2)) {
				change_pod(world, &old, &new);
				error = tables_pod_changed(world->tables, old, new);
			} else {
				change_other_object(world);
			}
			if (error) {
				assert_int_equal(error, -EAGAIN);
				write_next_generation(world, step + 2, &before);
				anew++;
			} else {
				in_place++;
			}
			compare_with_compile(world, PROBES / 3);
			object_unref(old);
			object_unref(new);
		}
		tables_free(world->tables);
		world->tables = NULL;
		policy_free(before);
		world_free(world);
	}
	print_message("%u changes in place, %u generations\n", in_place, anew);
	assert_true(in_place > WORLDS * STEPS / 20);
}

/* Each address of a range in turn, IPv4 and IPv6: leaves, skip nodes that split, blocks that are copied. */
static void addresses_come_and_go(void **state)
{
	struct world *world = world_new();
	static const char pod[] = "{apiVersion: v1, kind: Pod, metadata: {namespace: a, name: x%u, labels: {app: x}}, "
				  "status: {phase: Running, podIP: '%s'}}";
	static const char *const addresses[] = {
		"10.0.0.9",    "10.0.0.10",        "10.0.1.9", "10.1.0.9",
		"200.0.0.1",   "fd00::1",          "fd00::2",  "fd00::1:0",
		"fd00:1::",    "fd01::",           "ff00::",   "::",
		"::1",         "255.255.255.255",  "0.0.0.0",  "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
		"2001:db8::1", "2001:db8:8000::1",
	};
	enum { COUNT = sizeof(addresses) / sizeof(*addresses) };
	struct object *pods[COUNT];
	unsigned int i, j;

	(void)state;
	world->options.all_pods_local = false;
	add(world, "{apiVersion: v1, kind: Pod, metadata: {namespace: a, name: local, annotations: "
		   "{egressd.io/interface: veth0}}, status: {phase: Running, podIP: 10.0.0.1}}");
	add(world, pod, 1000, "10.0.0.2");
	add(world, POLICY, "a", "p",
	    "podSelector: {}, egress: [{to: [{podSelector: {matchLabels: {app: x}}}]}, "
	    "{to: [{ipBlock: {cidr: '2001:db8::/33'}}, {ipBlock: {cidr: 10.1.0.0/16}}], ports: [{port: 7}]}]");
	/* What a pod in a block is must be known. */
	add(world, pod, 1001, "10.1.0.1");
	compile(world);
	for (i = 0; i < COUNT; i++) {
		struct object_list objects = {0};
		char text[256];

		snprintf(text, sizeof(text), pod, i, addresses[i]);
		decode_text(text, &objects);
		pods[i] = object_ref(objects.items[0]);
		object_list_clear(&objects);
	}
	for (i = 0; i < COUNT; i++) {
		assert_int_equal(tables_pod_changed(world->tables, NULL, pods[i]), 0);
		for (j = 0; j < COUNT; j++) {
			const struct ip_address destination = address(addresses[j]);
			struct table_verdict result;

			assert_int_equal(
				tables_verdict_pod(world->tables, "a", "local", &destination, TCP, 80, &result), 0);
			assert_int_equal(result.allow, j <= i);
		}
	}
	for (i = 0; i < COUNT; i++) {
		assert_int_equal(tables_pod_changed(world->tables, pods[i], NULL), 0);
		for (j = 0; j < COUNT; j++) {
			const struct ip_address destination = address(addresses[j]);
			struct table_verdict result;

			assert_int_equal(
				tables_verdict_pod(world->tables, "a", "local", &destination, TCP, 80, &result), 0);
			assert_int_equal(result.allow, j > i);
			assert_int_equal(tables_verdict_pod(world->tables, "a", "local", &destination, TCP, 7, &result),
					 0);
			assert_int_equal(result.allow, j > i || strcmp(addresses[j], "10.1.0.9") == 0 ||
							       strcmp(addresses[j], "2001:db8::1") == 0);
		}
		object_unref(pods[i]);
	}
	world_free(world);
}

static void a_pod_behind_a_service_needs_a_compile(void **state)
{
	struct world *world = world_new();
	struct object *behind, *other;

	(void)state;
	world->options.all_pods_local = false;
	add(world, "{apiVersion: v1, kind: Pod, metadata: {namespace: a, name: local, annotations: "
		   "{egressd.io/interface: veth0}}, status: {phase: Running, podIP: 10.0.0.1}}");
	add(world, POD, "a", "behind", "app: x", "10.0.0.2");
	add(world, POD, "a", "other", "app: x", "10.0.0.3");
	add(world, SERVICE, "a", "s", "clusterIP: 10.96.0.1, ports: [{port: 80}]");
	add(world, SLICE, "a", "s", "s", "IPv4", "{port: 80}", "{addresses: [10.0.0.2]}");
	add(world, POLICY, "a", "p", "podSelector: {}, egress: [{to: [{podSelector: {}}]}]");
	assert_passes(world, "a/local", "10.96.0.1", TCP, 80);
	behind = store_get(world->store, OBJECT_POD, "a", "behind");
	other = store_get(world->store, OBJECT_POD, "a", "other");
	/* The service's row says what the pod behind it was. */
	assert_int_equal(tables_pod_changed(world->tables, behind, NULL), -EAGAIN);
	assert_int_equal(tables_pod_changed(world->tables, other, NULL), 0);
	world_free(world);
}

static void what_needs_a_compile_says_so(void **state)
{
	struct world *world = world_new();
	struct object_list objects = {0};
	struct object *remote, *other;

	(void)state;
	world->options.all_pods_local = false;
	add(world, "{apiVersion: v1, kind: Pod, metadata: {namespace: a, name: local, annotations: "
		   "{egressd.io/interface: veth0}}, status: {phase: Running, podIP: 10.0.0.1}}");
	add(world, POD, "a", "remote", "app: x", "10.0.0.2");
	add(world, POLICY, "a", "p", "podSelector: {}, egress: [{to: [{podSelector: {}}]}]");
	compile(world);
	remote = store_get(world->store, OBJECT_POD, "a", "remote");
	decode_text("{apiVersion: v1, kind: Pod, metadata: {namespace: a, name: other, labels: {app: new}}, "
		    "status: {phase: Running, podIP: 10.0.0.3}}\n---\n"
		    "{apiVersion: v1, kind: Pod, metadata: {namespace: a, name: thief, labels: {app: x}}, "
		    "status: {phase: Running, podIP: 10.0.0.2}}\n---\n"
		    "{apiVersion: v1, kind: Pod, metadata: {namespace: b, name: far, labels: {app: x}}, "
		    "status: {phase: Running, podIP: 10.0.0.3}}\n",
		    &objects);
	other = objects.items[0];
	assert_int_equal(tables_pod_changed(world->tables, NULL, other), -EAGAIN);            /* unknown labels */
	assert_int_equal(tables_pod_changed(world->tables, NULL, objects.items[1]), -EAGAIN); /* another's address */
	assert_int_equal(tables_pod_changed(world->tables, NULL, objects.items[2]), -EAGAIN); /* unknown namespace */
	assert_int_equal(tables_pod_changed(world->tables, store_get(world->store, OBJECT_POD, "a", "local"), NULL),
			 -EAGAIN);
	assert_int_equal(tables_pod_changed(world->tables, remote, remote), 0);
	assert_int_equal(tables_write(world->tables, world->policy, 2), 0);
	assert_int_equal(tables_pod_changed(world->tables, remote, NULL), -EAGAIN); /* a bank waits */
	tables_publish(world->tables);
	assert_int_equal(tables_pod_changed(world->tables, remote, NULL), 0);
	object_list_clear(&objects);
	world_free(world);
}

/* The node's own address leads to such a pod, and to no other node's. */
static void a_pod_with_a_host_port_needs_a_compile_on_its_node(void **state)
{
	static const char pod[] =
		"{apiVersion: v1, kind: Pod, metadata: {namespace: a, name: %s, labels: {app: x}}, "
		"spec: {nodeName: '%s', containers: [{name: c, ports: [{containerPort: 1, hostPort: 1}]}]}, "
		"status: {phase: Running, podIP: %s}}";
	struct world *world = world_new();
	struct object *here, *elsewhere;

	(void)state;
	world->options.all_pods_local = false;
	world->options.node_name = "n";
	add_node_address(world, "10.9.0.1");
	add(world, "{apiVersion: v1, kind: Pod, metadata: {namespace: a, name: local, labels: {app: x}, annotations: "
		   "{egressd.io/interface: veth0}}, status: {phase: Running, podIP: 10.0.0.1}}");
	add(world, POD, "a", "remote", "app: x", "10.0.0.2");
	add(world, POLICY, "a", "p", "podSelector: {}, policyTypes: [Egress]");
	assert_passes(world, "a/local", "10.9.0.1", TCP, 1);
	add(world, pod, "here", "n", "10.0.0.3");
	add(world, pod, "elsewhere", "m", "10.0.0.4");
	here = store_get(world->store, OBJECT_POD, "a", "here");
	elsewhere = store_get(world->store, OBJECT_POD, "a", "elsewhere");
	assert_int_equal(tables_pod_changed(world->tables, NULL, elsewhere), 0);
	assert_int_equal(tables_pod_changed(world->tables, NULL, here), -EAGAIN);
	compile(world);
	assert_denied(world, "a/local", "10.9.0.1", TCP, 1);
	assert_int_equal(tables_pod_changed(world->tables, here, NULL), -EAGAIN);
	assert_int_equal(tables_pod_changed(world->tables, elsewhere, NULL), 0);
	world_free(world);
}

static bool is_named(const struct object *pod, void *name)
{
	return strcmp(pod->name, name) == 0;
}

static void who_says_which_pods_are_local_is_not_contradicted_by_their_annotations(void **state)
{
	static const char remote[] = "{apiVersion: v1, kind: Pod, metadata: {namespace: a, name: remote, labels: {app: %s}, "
				     "annotations: {egressd.io/interface: veth0}}, status: {phase: Running, podIP: 10.0.0.2}}";
	const struct ip_address destination = address("10.0.0.2");
	struct world *world = world_new();
	struct policy_statistics statistics;
	struct table_verdict result;
	struct object_list objects = {0};
	char relabelled[256], local[] = "local";

	(void)state;
	world->options.all_pods_local = false;
	world->options.is_local = is_named;
	world->options.is_local_data = local;
	add(world, POD, "a", "local", "app: z", "10.0.0.1");
	add(world, remote, "x");
	add(world, POLICY, "a", "p", "podSelector: {}, egress: [{to: [{podSelector: {matchLabels: {app: x}}}]}]");
	assert_passes(world, "a/local", "10.0.0.2", TCP, 80);
	policy_statistics(world->policy, &statistics);
	assert_int_equal(statistics.endpoints, 1);
	assert_null(policy_endpoint(world->policy, "a", "remote"));
	snprintf(relabelled, sizeof(relabelled), remote, "z");
	decode_text(relabelled, &objects);
	assert_int_equal(tables_pod_changed(world->tables, store_get(world->store, OBJECT_POD, "a", "remote"),
					    objects.items[0]),
			 0);
	assert_int_equal(tables_verdict_pod(world->tables, "a", "local", &destination, TCP, 80, &result), 0);
	assert_false(result.allow);
	object_list_clear(&objects);
	world_free(world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tables_equal_the_plain_reading),
		cmocka_unit_test(addresses_come_and_go),
		cmocka_unit_test(a_pod_behind_a_service_needs_a_compile),
		cmocka_unit_test(what_needs_a_compile_says_so),
		cmocka_unit_test(a_pod_with_a_host_port_needs_a_compile_on_its_node),
		cmocka_unit_test(who_says_which_pods_are_local_is_not_contradicted_by_their_annotations),
		cmocka_unit_test(incremental_equals_full),
		cmocka_unit_test(any_sequence_of_changes_equals_full),
	};
	const char *seed = getenv("SEED");

	random_state = (seed ? strtoull(seed, NULL, 10) : (uint64_t)time(NULL) * 2654435761u) | 1; /* never 0 */
	printf("# SEED=%llu\n", (unsigned long long)random_state);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
