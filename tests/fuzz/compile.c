/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any objects, compiled: no crash, leak or hang; what the tables say is what the objects say (policy_explain); a pod
 * that is changed in place leaves the tables that a compile from scratch makes.
 *
 * The first byte chooses how the rest is read: as the text of manifests, or as choices that make some. Texts reach
 * whatever the decoder lets through; choices reach deep into the compiler, since every one makes a valid object.
 */
#include <inttypes.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "model/decode.h"
#include "policy/explain.h"
#include "policy/tables.h"

#define OBJECTS_MAX   48
#define SOURCES_MAX   6
#define NODES_MAX     2
#define TEXT_MODE     0xff

static void require(bool condition)
{
	if (!condition)
		abort();
}

/* ------------------------------------------------------------------ choices */

struct choices {
	const uint8_t *data;
	size_t left;
	FILE *text; /* the manifests that they make */
};

/* 0 when there are no more bytes: the first choice is the plainest everywhere. */
static unsigned int choose(struct choices *choices, unsigned int count)
{
	unsigned int byte;

	if (!choices->left)
		return 0;
	byte = *choices->data++;
	choices->left--;
	return byte % count;
}

static unsigned int choose_16_bits(struct choices *choices)
{
	unsigned int high = choose(choices, 256);

	return high << 8 | choose(choices, 256);
}

#define CHOOSE(choices, ...)                                                                     \
	((const char *const[]){__VA_ARGS__})[choose(choices, sizeof((const char *const[]){__VA_ARGS__}) / \
								     sizeof(const char *))]

static void __attribute__((format(printf, 2, 3))) put(struct choices *choices, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vfprintf(choices->text, format, arguments);
	va_end(arguments);
}

static void put_address(struct choices *choices, bool ipv6)
{
	unsigned int which = choose(choices, 40);

	if (which >= 36)
		put(choices, "'%s'", ipv6 ? CHOOSE(choices, "::", "::1", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff")
					  : CHOOSE(choices, "0.0.0.0", "255.255.255.255", "10.1.0.0"));
	else if (ipv6)
		put(choices, "'fd00::%x'", which);
	else
		put(choices, "10.0.%u.%u", which / 18, which % 18);
}

static void put_prefix(struct choices *choices, bool ipv6)
{
	/* Unquoted '::/0' would be a mapping's key; a quoted scalar is one in every place. */
	if (ipv6)
		put(choices, "'%s/%u'", CHOOSE(choices, "fd00::3", "fd00::10", "::", "fd00::1f", "ffff::"),
		    128 - choose(choices, 129));
	else
		put(choices, "'10.0.%u.%u/%u'", choose(choices, 2), choose(choices, 18), 32 - choose(choices, 33));
}

/* Mostly few, so that they collide. */
static unsigned int choose_port(struct choices *choices)
{
	static const unsigned int ports[] = {80, 1, 2, 79, 81, 443, 8080, 65534, 65535};
	unsigned int which = choose(choices, ARRAY_SIZE(ports) + 1), port;

	if (which < ARRAY_SIZE(ports))
		return ports[which];
	port = choose_16_bits(choices);
	return port ? port : 1;
}

static const char *choose_protocol(struct choices *choices)
{
	return CHOOSE(choices, "TCP", "UDP", "SCTP");
}

static void put_labels(struct choices *choices)
{
	put(choices, "{%s}",
	    CHOOSE(choices, "", "app: a", "app: b", "app: a, tier: x", "tier: ''", "tier: x, app: b"));
}

static void put_selector(struct choices *choices)
{
	switch (choose(choices, 4)) {
	case 0:
		put(choices, "{}");
		return;
	case 1:
		put(choices, "{matchLabels: ");
		put_labels(choices);
		put(choices, "}");
		return;
	default:
		put(choices, "{matchExpressions: [%s]}",
		    CHOOSE(choices, "{key: app, operator: Exists}", "{key: tier, operator: DoesNotExist}",
			   "{key: app, operator: In, values: [a, b]}", "{key: tier, operator: NotIn, values: [x]}",
			   "{key: kubernetes.io/metadata.name, operator: NotIn, values: [n1]}",
			   "{key: app, operator: Exists}, {key: app, operator: NotIn, values: [b]}"));
	}
}

static const char *choose_namespace(struct choices *choices)
{
	return CHOOSE(choices, "n0", "n1", "n2");
}

static void put_namespace(struct choices *choices)
{
	put(choices, "{apiVersion: v1, kind: Namespace, metadata: {name: %s, labels: ", choose_namespace(choices));
	put_labels(choices);
	put(choices, "}}");
}

static void put_pod(struct choices *choices)
{
	unsigned int number = choose(choices, 16), i, count;

	put(choices,
	    "{apiVersion: v1, kind: Pod, metadata: {namespace: %s, name: p%u, creationTimestamp: "
	    "'2024-01-0%uT00:00:00Z'%s, annotations: {%s}, labels: ",
	    choose_namespace(choices), number, 1 + choose(choices, 3),
	    CHOOSE(choices, "", "", ", deletionTimestamp: '2024-02-01T00:00:00Z'"),
	    CHOOSE(choices, "'egressd.io/interface': veth0", ""));
	put_labels(choices);
	put(choices, "}, spec: {hostNetwork: %s, %s: [{name: c%s, ports: [", CHOOSE(choices, "false", "false", "true"),
	    CHOOSE(choices, "containers", "containers", "initContainers"),
	    CHOOSE(choices, "", ", restartPolicy: Always"));
	for (i = 0, count = choose(choices, 4); i < count; i++)
		put(choices, "{name: %s, containerPort: %u, protocol: %s}, ", CHOOSE(choices, "web", "dns", "x"),
		    choose_port(choices), choose_protocol(choices));
	put(choices, "]}]}, status: {phase: %s, podIPs: [",
	    CHOOSE(choices, "Running", "Running", "Pending", "Failed", "Succeeded"));
	count = choose(choices, 4);
	if (count != 1) {
		put(choices, "{ip: ");
		put_address(choices, false);
		put(choices, "}, ");
	}
	if (count & 1) {
		put(choices, "{ip: ");
		put_address(choices, true);
		put(choices, "}");
	}
	put(choices, "], conditions: [{type: Ready, status: '%s'}]}}", CHOOSE(choices, "True", "False"));
}

static void put_policy_port(struct choices *choices)
{
	unsigned int first, last;

	put(choices, "{protocol: %s", choose_protocol(choices));
	switch (choose(choices, 5)) {
	case 0:
		break;
	case 1:
		put(choices, ", port: %s", CHOOSE(choices, "web", "dns", "x"));
		break;
	case 2:
		put(choices, ", port: 0");
		break;
	case 3:
		put(choices, ", port: %u", choose_port(choices));
		break;
	default:
		first = choose_port(choices);
		last = choose_port(choices);
		put(choices, ", port: %u, endPort: %u", first < last ? first : last, first < last ? last : first);
	}
	put(choices, "}, ");
}

static void put_peer(struct choices *choices)
{
	unsigned int kind = choose(choices, 5), count;
	bool ipv6;

	if (kind >= 3) {
		ipv6 = choose(choices, 2);
		put(choices, "{ipBlock: {cidr: ");
		put_prefix(choices, ipv6);
		put(choices, ", except: [");
		for (count = choose(choices, 4); count; count--) {
			put_prefix(choices, ipv6);
			put(choices, ", ");
		}
		put(choices, "]}}, ");
		return;
	}
	put(choices, "{");
	if (kind != 0) {
		put(choices, "namespaceSelector: ");
		put_selector(choices);
		put(choices, ", ");
	}
	if (kind != 1) {
		put(choices, "podSelector: ");
		put_selector(choices);
	}
	put(choices, "}, ");
}

static void put_policy(struct choices *choices)
{
	unsigned int number = choose(choices, 8), rules, count;

	put(choices, "{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {namespace: %s, name: np%u}, "
		     "spec: {policyTypes: [%s], podSelector: ",
	    choose_namespace(choices), number, CHOOSE(choices, "Egress", "Egress", "", "Ingress"));
	put_selector(choices);
	put(choices, ", egress: [");
	for (rules = choose(choices, 4); rules; rules--) {
		put(choices, "{to: [");
		for (count = choose(choices, 4); count; count--)
			put_peer(choices);
		put(choices, "], ports: [");
		for (count = choose(choices, 4); count; count--)
			put_policy_port(choices);
		put(choices, "]}, ");
	}
	put(choices, "]}}");
}

static void put_service(struct choices *choices)
{
	unsigned int number = choose(choices, 4), count;

	put(choices,
	    "{apiVersion: v1, kind: Service, metadata: {namespace: %s, name: s%u}, spec: {type: %s, "
	    "publishNotReadyAddresses: %s, selector: ",
	    choose_namespace(choices), number, CHOOSE(choices, "ClusterIP", "NodePort", "LoadBalancer"),
	    CHOOSE(choices, "false", "true"));
	put_labels(choices);
	put(choices, ", clusterIPs: [");
	count = choose(choices, 5);
	if (count == 4)
		put(choices, "None");
	else if (count != 1)
		put_address(choices, false);
	if (count == 2)
		put(choices, ", ");
	if (count == 1 || count == 2)
		put_address(choices, true);
	put(choices, "], externalIPs: [");
	for (count = choose(choices, 3); count; count--) {
		put_address(choices, choose(choices, 3) == 2);
		put(choices, ", ");
	}
	put(choices, "], ports: [");
	for (count = choose(choices, 4); count; count--) {
		put(choices, "{name: %s, protocol: %s, port: %u, nodePort: %u, targetPort: ",
		    CHOOSE(choices, "web", "dns", "''"), choose_protocol(choices), choose_port(choices),
		    choose(choices, 3) * 30000);
		if (choose(choices, 2))
			put(choices, "%s}, ", CHOOSE(choices, "web", "dns"));
		else
			put(choices, "%u}, ", choose_port(choices));
	}
	put(choices, "]}}");
}

static void put_slice(struct choices *choices)
{
	unsigned int number = choose(choices, 4), count;
	bool ipv6 = choose(choices, 3) == 2;

	put(choices,
	    "{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {namespace: %s, name: e%u, labels: "
	    "{kubernetes.io/service-name: s%u}}, addressType: %s, ports: [",
	    choose_namespace(choices), number, choose(choices, 4), ipv6 ? "IPv6" : "IPv4");
	for (count = choose(choices, 4); count; count--)
		put(choices, "{name: %s, protocol: %s, port: %u}, ", CHOOSE(choices, "web", "dns", "''"),
		    choose_protocol(choices), choose_port(choices));
	put(choices, "], endpoints: [");
	for (count = choose(choices, 4); count; count--) {
		put(choices, "{addresses: [");
		put_address(choices, ipv6);
		put(choices, "], conditions: {%s}}, ",
		    CHOOSE(choices, "", "ready: true", "ready: false", "ready: false, serving: true, terminating: true",
			   "ready: false, serving: false, terminating: true"));
	}
	put(choices, "]}");
}

static void put_node(struct choices *choices)
{
	put(choices, "{apiVersion: v1, kind: Node, metadata: {name: node%u}, status: {addresses: [{type: %s, address: ",
	    choose(choices, 3), CHOOSE(choices, "InternalIP", "ExternalIP"));
	put_address(choices, choose(choices, 4) == 3);
	put(choices, "}]}}");
}

static void put_object(struct choices *choices)
{
	static void (*const kinds[])(struct choices *choices) = {
		put_policy, put_pod, put_pod, put_policy, put_service, put_slice, put_namespace, put_node,
	};

	put(choices, "---\n");
	kinds[choose(choices, ARRAY_SIZE(kinds))](choices);
	put(choices, "\n");
}

/* ------------------------------------------------------------------ a cluster */

struct cluster {
	struct store *store;
	struct object_list objects;
	struct ip_address node_addresses[NODES_MAX];
	struct policy_options options;
};

/* Compiled and written. */
struct compiled {
	struct policy *policy;
	struct tables *tables;
	uint32_t *words;
};

static void cluster_clear(struct cluster *cluster)
{
	object_list_clear(&cluster->objects);
	store_free(cluster->store);
}

static void compiled_clear(struct compiled *compiled)
{
	tables_free(compiled->tables);
	policy_free(compiled->policy);
	free(compiled->words);
}

/* False: text that is no manifest, which is the decoder's to tell. */
static bool decode(struct cluster *cluster, const char *text, size_t size)
{
	struct problem_list problems = {0};
	int error = decode_buffer("fuzz.yaml", text, size, &cluster->objects, &problems);

	problem_list_clear(&problems);
	return !error && cluster->objects.count <= OBJECTS_MAX;
}

static bool build_from_choices(struct cluster *cluster, struct choices *choices)
{
	_cleanup_free_ char *text = NULL;
	size_t size, i;
	bool good;

	choices->text = open_memstream(&text, &size);
	require(choices->text);
	cluster->options.all_pods_local = choose(choices, 2);
	cluster->options.node_address_count = choose(choices, NODES_MAX + 1);
	for (i = 0; i < OBJECTS_MAX && choices->left; i++)
		put_object(choices);
	fclose(choices->text);
	good = decode(cluster, text, size);
	/* What the choices make is valid, or the corpus would wither unseen. */
	require(good);
	return good;
}

/* False where the objects exceed a limit, which is told. */
static bool compile(struct cluster *cluster, struct compiled *out)
{
	struct problem_list problems = {0};
	int error = policy_compile(cluster->store, &cluster->options, &out->policy, &problems);
	size_t count;

	require(!error || error == -E2BIG);
	require(!error == !problems.errors);
	problem_list_clear(&problems);
	if (error)
		return false;
	count = (tables_words(out->policy) + EGRESS_BLOCK_WORDS - 1) / EGRESS_BLOCK_WORDS * EGRESS_BLOCK_WORDS;
	out->words = aligned_alloc(64, count * sizeof(*out->words));
	require(out->words);
	memset(out->words, 0, count * sizeof(*out->words));
	require(!tables_new(out->words, count, &out->tables));
	require(!tables_write(out->tables, out->policy, 1));
	tables_publish(out->tables);
	return true;
}

/* ------------------------------------------------------------------ what must hold */

static const struct {
	uint8_t protocol;
	uint16_t port;
} probes[] = {
	{IPPROTO_ICMP, 0}, {IPPROTO_TCP, 80},    {IPPROTO_TCP, 0},    {IPPROTO_TCP, 1},      {IPPROTO_TCP, 443},
	{IPPROTO_UDP, 80}, {IPPROTO_TCP, 65535}, {IPPROTO_SCTP, 443}, {IPPROTO_TCP, 30000},
};

static bool allows(const struct compiled *compiled, const struct object *pod, const struct flow *flow)
{
	struct table_verdict verdict;

	require(!tables_verdict_pod(compiled->tables, pod->namespace, pod->name, &flow->destination, flow->protocol,
				    flow->port, &verdict));
	return verdict.allow;
}

static void check_explanation(const struct compiled *compiled, const struct object *pod, const struct flow *flow)
{
	struct explanation explanation;

	require(!policy_explain(compiled->policy, pod->namespace, pod->name, flow, &explanation));
	require(explanation.allow == allows(compiled, pod, flow));
	explanation_clear(&explanation);
}

/* The second one is NULL, or must give the same verdicts. */
static void check_flows(const struct compiled *compiled, const struct compiled *other, const struct ip_address *to)
{
	size_t count, i, j;
	const struct policy_endpoint *endpoints = policy_endpoints(compiled->policy, &count);

	for (i = 0; i < count && i < SOURCES_MAX; i++) {
		for (j = 0; j < ARRAY_SIZE(probes); j++) {
			const struct flow flow = {.destination = *to, probes[j].protocol, probes[j].port};

			if (other)
				require(allows(compiled, endpoints[i].pod, &flow) ==
					allows(other, endpoints[i].pod, &flow));
			else
				check_explanation(compiled, endpoints[i].pod, &flow);
		}
	}
}

/* All addresses that choices can give to anything, and those at their edges. */
static void check_all(const struct compiled *compiled, const struct compiled *other)
{
	static const char *const edges[] = {"0.0.0.0", "255.255.255.255", "10.1.0.0", "9.255.255.255", "::", "::1",
					    "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "fd00::24"};
	struct ip_address address;
	char text[64];
	size_t i;

	for (i = 0; i < ARRAY_SIZE(edges); i++) {
		require(!ip_address_parse(edges[i], &address));
		check_flows(compiled, other, &address);
	}
	for (i = 0; i < 36; i++) {
		snprintf(text, sizeof(text), "10.0.%zu.%zu", i / 18, i % 18);
		require(!ip_address_parse(text, &address));
		check_flows(compiled, other, &address);
		snprintf(text, sizeof(text), "fd00::%zx", i);
		require(!ip_address_parse(text, &address));
		check_flows(compiled, other, &address);
	}
}

static void check_class_texts(const struct policy *policy)
{
	struct policy_statistics statistics;
	char text[128];
	uint32_t class;

	policy_statistics(policy, &statistics);
	for (class = 0; class <= statistics.classes; class++)
		require(*policy_class_text(policy, class, text, sizeof(text)));
}

/* One pod after the other goes, as long as the tables can follow in place. */
static void check_changes(struct cluster *cluster, struct compiled *compiled)
{
	size_t i;

	for (i = 0; i < cluster->objects.count; i++) {
		struct object *pod = cluster->objects.items[i];
		struct compiled fresh = {0};

		if (pod->kind != OBJECT_POD || store_get(cluster->store, OBJECT_POD, pod->namespace, pod->name) != pod)
			continue;
		if (tables_pod_changed(compiled->tables, pod, NULL))
			continue;
		require(!store_remove(cluster->store, OBJECT_POD, pod->namespace, pod->name));
		require(compile(cluster, &fresh));
		check_all(compiled, &fresh);
		compiled_clear(&fresh);
	}
}

static void check(struct cluster *cluster)
{
	struct compiled compiled = {0};
	size_t i;

	require(!store_new(&cluster->store));
	for (i = 0; i < cluster->objects.count; i++)
		require(!store_put(cluster->store, cluster->objects.items[i]));
	if (compile(cluster, &compiled)) {
		check_all(&compiled, NULL);
		check_class_texts(compiled.policy);
		check_changes(cluster, &compiled);
	}
	compiled_clear(&compiled);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct cluster cluster = {0};
	struct choices choices = {.data = data + 1, .left = size ? size - 1 : 0};
	bool good;

	if (!size)
		return 0;
	require(!ip_address_parse("10.0.0.2", &cluster.node_addresses[0]));
	require(!ip_address_parse("fd00::2", &cluster.node_addresses[1]));
	cluster.options.node_addresses = cluster.node_addresses;
	if (*data == TEXT_MODE) {
		cluster.options.all_pods_local = true;
		good = decode(&cluster, (const char *)data + 1, size - 1);
	} else {
		good = build_from_choices(&cluster, &choices);
	}
	if (good)
		check(&cluster);
	cluster_clear(&cluster);
	return 0;
}
