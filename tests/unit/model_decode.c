/* SPDX-License-Identifier: Apache-2.0 */
/* What decoding makes of good files, and the way back through object_encode. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../lib/encoded.h"
#include "base/cleanup.h"
#include "base/text.h"
#include "model/decode.h"
#include "model_unit.h"

static struct object_list decode_named(const char *name, const char *text)
{
	struct object_list objects = {};
	struct problem_list problems = {};
	char problem[1024] = "";
	int error = decode_buffer(name, text, strlen(text), &objects, &problems);

	if (problems.count)
		problem_format(&problems.items[0], problem, sizeof(problem));
	if (error)
		fail_msg("%s: %d: %s", text, error, problem);
	problem_list_clear(&problems);
	return objects;
}

static struct object_list decode(const char *text)
{
	return decode_named("good.yaml", text);
}

/* The only object of a text. */
static struct object *decode_one(const char *text)
{
	struct object_list objects = decode(text);
	struct object *object;

	assert_int_equal(objects.count, 1);
	object = object_ref(objects.items[0]);
	object_list_clear(&objects);
	assert_int_equal(object->references, 1);
	return object;
}

static void release(struct object **object)
{
	object_unref(*object);
}

#define _cleanup_object_ _cleanup_(release)
#define _cleanup_objects_ _cleanup_(object_list_clear)

static void assert_address(const struct ip_address *address, const char *expected)
{
	char text[IP_TEXT_SIZE];

	assert_string_equal(ip_address_format(address, text), expected);
}

static void assert_place(const struct place *place, unsigned int line, unsigned int column)
{
	assert_string_equal(place->file, "good.yaml");
	assert_int_equal(place->line, line);
	assert_int_equal(place->column, column);
}

/* ------------------------------------------------------------------ policies */

#define POLICY "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: a}\n"

static void a_policy_with_everything(void **state)
{
	_cleanup_object_ struct object *object = decode_one("# the policy\n"
							    "---\n"
							    "apiVersion: networking.k8s.io/v1\n"
							    "kind: NetworkPolicy\n"
							    "metadata:\n"
							    "  name: web\n"
							    "  namespace: shop\n"
							    "  uid: '1'\n"
							    "spec:\n"
							    "  podSelector:\n"
							    "    matchLabels: {b: 'y', a: x}\n"
							    "    matchExpressions:\n"
							    "    - {key: c, operator: NotIn, values: [q, p, q]}\n"
							    "    - {key: d, operator: DoesNotExist}\n"
							    "  policyTypes: [Ingress, Egress]\n"
							    "  egress:\n"
							    "  - to:\n"
							    "    - ipBlock:\n"
							    "        cidr: 10.1.2.3/8\n"
							    "        except:\n"
							    "        - 10.1.0.0/16\n"
							    "        - 192.168.0.0/16\n"
							    "    - podSelector: {}\n"
							    "      namespaceSelector: {matchLabels: {t: u}}\n"
							    "    ports:\n"
							    "    - port: 0\n"
							    "    - {port: 1000, endPort: 2000, protocol: UDP}\n"
							    "    - {port: dns, protocol: SCTP}\n"
							    "    - {}\n"
							    "  - {}\n");
	const struct network_policy *policy = &object->policy;
	const struct selector_requirement *requirements = policy->pod_selector.requirements;
	const struct egress_rule *rule = policy->rules;
	char text[IP_PREFIX_TEXT_SIZE];

	(void)state;
	assert_int_equal(object->kind, OBJECT_NETWORK_POLICY);
	assert_string_equal(object->name, "web");
	assert_string_equal(object->namespace, "shop");
	assert_string_equal(object->uid, "1");
	assert_place(&object->place, 3, 1);
	assert_true(policy->isolates_egress);

	assert_int_equal(policy->pod_selector.count, 4);
	assert_string_equal(requirements[0].key, "a");
	assert_int_equal(requirements[0].op, SELECTOR_IN);
	assert_string_equal(requirements[0].values[0], "x");
	assert_string_equal(requirements[1].key, "b");
	assert_int_equal(requirements[2].op, SELECTOR_NOT_IN);
	assert_int_equal(requirements[2].value_count, 2);
	assert_string_equal(requirements[2].values[0], "p");
	assert_string_equal(requirements[2].values[1], "q");
	assert_int_equal(requirements[3].op, SELECTOR_DOES_NOT_EXIST);
	assert_int_equal(requirements[3].value_count, 0);

	assert_int_equal(policy->rule_count, 2);
	assert_place(&rule->place, 17, 5);
	assert_int_equal(rule->peer_count, 2);
	assert_place(&rule->peers[0].place, 18, 7);
	assert_true(rule->peers[0].has_block);
	assert_false(rule->peers[0].has_pod_selector);
	assert_string_equal(ip_prefix_format(&rule->peers[0].block.cidr, text), "10.1.2.3/8");
	assert_int_equal(rule->peers[0].block.except_count, 2);
	assert_string_equal(ip_prefix_format(&rule->peers[0].block.except[1], text), "192.168.0.0/16");
	assert_place(&rule->peers[0].block.except_places[1], 22, 11);
	assert_false(rule->peers[1].has_block);
	assert_true(rule->peers[1].has_pod_selector);
	assert_int_equal(rule->peers[1].pod_selector.count, 0);
	assert_true(rule->peers[1].has_namespace_selector);
	assert_int_equal(rule->peers[1].namespace_selector.count, 1);

	assert_int_equal(rule->port_count, 4);
	assert_place(&rule->ports[0].place, 26, 7);
	assert_int_equal(rule->ports[0].kind, PORT_NUMBER);
	assert_int_equal(rule->ports[0].transport, TRANSPORT_TCP);
	assert_int_equal(rule->ports[0].first, 0);
	assert_int_equal(rule->ports[0].last, 0);
	assert_int_equal(rule->ports[1].transport, TRANSPORT_UDP);
	assert_int_equal(rule->ports[1].first, 1000);
	assert_int_equal(rule->ports[1].last, 2000);
	assert_int_equal(rule->ports[2].kind, PORT_NAME);
	assert_string_equal(rule->ports[2].name, "dns");
	assert_int_equal(rule->ports[2].transport, TRANSPORT_SCTP);
	assert_int_equal(rule->ports[3].kind, PORT_ANY);
	assert_int_equal(policy->rules[1].peer_count, 0);
	assert_int_equal(policy->rules[1].port_count, 0);
}

static void which_policies_isolate_egress(void **state)
{
	static const struct {
		const char *spec;
		bool isolates;
		size_t rules;
	} cases[] = {
		{ "{podSelector: {}}", false, 0 },
		{ "{policyTypes: []}", false, 0 },
		{ "{egress: []}", false, 0 },
		{ "{egress: null}", false, 0 },
		{ "{egress: [{}]}", true, 1 },
		{ "{policyTypes: [], egress: [{}]}", true, 1 },
		{ "{policyTypes: [Egress]}", true, 0 },
		{ "{policyTypes: [Egress], egress: []}", true, 0 },
		{ "{policyTypes: [Ingress]}", false, 0 },
		{ "{policyTypes: [Ingress], egress: [{}]}", false, 1 },
		{ "{policyTypes: [Ingress, Egress], ingress: [{from: [{podSelector: {}}], ports: [{port: 1}]}]}", true, 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_free_ char *text = text_format(POLICY "spec: %s\n", cases[i].spec);
		_cleanup_object_ struct object *object = decode_one(text);

		assert_int_equal(object->policy.isolates_egress, cases[i].isolates);
		assert_int_equal(object->policy.rule_count, cases[i].rules);
	}
}

static void egress_that_is_empty_without_types(void **state)
{
	static const struct {
		const char *spec;
		bool empty;
	} cases[] = {
		{ "{egress: []}", true },
		{ "{policyTypes: [], egress: []}", true },
		{ "{policyTypes: null, ingress: [{}], egress: []}", true },
		{ "{egress: null}", false },
		{ "{ingress: []}", false },
		{ "{egress: [{}]}", false },
		{ "{policyTypes: [Ingress], egress: []}", false },
		{ "{policyTypes: [Egress], egress: []}", false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_free_ char *text = text_format(POLICY "spec: %s\n", cases[i].spec);
		_cleanup_object_ struct object *object = decode_one(text);

		assert_int_equal(object->policy.empty_egress, cases[i].empty);
	}
}

static void null_is_absent_in_a_rule(void **state)
{
	_cleanup_object_ struct object *object = decode_one(
		POLICY "spec: {egress: [{to: null, ports: ~}, {to: [{podSelector: {}, ipBlock: null}]}, {ports: [{port: }]}]}\n");

	(void)state;
	assert_int_equal(object->policy.rules[0].peer_count, 0);
	assert_int_equal(object->policy.rules[0].port_count, 0);
	assert_false(object->policy.rules[1].peers[0].has_block);
	assert_int_equal(object->policy.rules[2].ports[0].kind, PORT_ANY);
}

/* ------------------------------------------------------------------ pods */

static void a_pod_with_everything(void **state)
{
	_cleanup_object_ struct object *object = decode_one(
		"apiVersion: v1\n"
		"kind: Pod\n"
		"metadata:\n"
		"  name: web-1\n"
		"  generateName: web-\n"
		"  namespace: shop\n"
		"  labels: {tier: front, app: web}\n"
		"  creationTimestamp: \"2024-05-01T12:00:00Z\"\n"
		"  deletionTimestamp: \"2024-05-01T13:00:00Z\"\n"
		"  annotations:\n"
		"    egressd.io/interface: veth1\n"
		"    egressd.io/netns: /run/netns/x\n"
		"    kubernetes.io/config.mirror: 0123456789abcdef0123456789abcdef\n"
		"    egressd.io/router: \"true\"\n"
		"    other: 5\n"
		"  managedFields: [{manager: kubelet, fieldsV1: {\"f:status\": {}}}]\n"
		"spec:\n"
		"  hostNetwork: true\n"
		"  nodeName: n1\n"
		"  tolerations: [{operator: Exists}]\n"
		"  initContainers:\n"
		"  - {name: gone, ports: [{name: gone, containerPort: 1}]}\n"
		"  - {name: side, restartPolicy: Always, ports: [{name: side, containerPort: 2, hostPort: 6, protocol: UDP}]}\n"
		"  containers:\n"
		"  - {name: a, ports: [{containerPort: 3}, {name: http, containerPort: 4, hostPort: 5}]}\n"
		"  - {name: b, ports: [{containerPort: 7, hostPort: 8, hostIP: 10.9.0.1}, {containerPort: 9, hostPort: 0}]}\n"
		"  - {name: c, ports: [{name: dns, containerPort: 53, protocol: SCTP}]}\n"
		"status:\n"
		"  phase: Pending\n"
		"  conditions: [{type: Initialized, status: \"True\"}, {type: Ready, status: \"True\"}]\n"
		"  podIP: 10.9.9.9\n"
		"  podIPs: [{ip: 10.0.0.1}, {ip: \"fd00::1\"}]\n");
	const struct pod *pod = &object->pod;

	(void)state;
	assert_int_equal(object->labels.count, 2);
	assert_string_equal(object->labels.items[0].key, "app");
	assert_string_equal(label_list_get(&object->labels, "tier"), "front");
	assert_int_equal(pod->created, 1714564800);
	assert_true(pod->terminating);
	assert_true(pod->host_network);
	assert_true(pod->router);
	assert_true(pod->ready);
	assert_string_equal(pod->interface, "veth1");
	assert_string_equal(pod->netns, "/run/netns/x");
	assert_string_equal(pod->static_uid, "0123456789abcdef0123456789abcdef");
	assert_place(&pod->interface_place, 11, 27);
	assert_string_equal(pod->node_name, "n1");
	assert_int_equal(pod->phase, POD_PENDING);
	assert_int_equal(pod->address_count, 2);
	assert_address(&pod->addresses[0], "10.0.0.1");
	assert_address(&pod->addresses[1], "fd00::1");
	assert_int_equal(pod->port_count, 3);
	assert_string_equal(pod->ports[0].name, "http");
	assert_int_equal(pod->ports[0].port, 4);
	assert_string_equal(pod->ports[1].name, "dns");
	assert_int_equal(pod->ports[1].transport, TRANSPORT_SCTP);
	assert_string_equal(pod->ports[2].name, "side");
	assert_int_equal(pod->host_port_count, 3);
	assert_int_equal(pod->host_ports[0].host_port, 5);
	assert_int_equal(pod->host_ports[0].port, 4);
	assert_int_equal(pod->host_ports[0].transport, TRANSPORT_TCP);
	assert_int_equal(pod->host_ports[0].address.family, 0);
	assert_int_equal(pod->host_ports[1].host_port, 8);
	assert_int_equal(pod->host_ports[1].port, 7);
	assert_address(&pod->host_ports[1].address, "10.9.0.1");
	assert_int_equal(pod->host_ports[2].host_port, 6);
	assert_int_equal(pod->host_ports[2].transport, TRANSPORT_UDP);
}

static void a_pod_with_nothing(void **state)
{
	_cleanup_object_ struct object *object =
		decode_one("{apiVersion: v1, kind: Pod, metadata: {name: a, creationTimestamp: null, namespace: ''}}\n");
	const struct pod *pod = &object->pod;

	(void)state;
	assert_string_equal(object->namespace, "default");
	assert_string_equal(object->uid, "");
	assert_int_equal(pod->phase, POD_RUNNING);
	assert_true(pod->ready);
	assert_int_equal(pod->address_count, 0);
	assert_int_equal(pod->port_count, 0);
	assert_int_equal(pod->created, 0);
	assert_false(pod->terminating || pod->host_network || pod->router);
	assert_string_equal(pod->node_name, "");
	assert_null(pod->interface);
	assert_null(pod->netns);
	assert_null(pod->static_uid);
}

static void variants_of_pod_status(void **state)
{
	_cleanup_object_ struct object *single =
		decode_one("{apiVersion: v1, kind: Pod, metadata: {name: a}, status: {podIP: 'fd00::2', phase: Failed}}\n");
	_cleanup_object_ struct object *none =
		decode_one("{apiVersion: v1, kind: Pod, metadata: {name: a}, status: {podIP: '', podIPs: [], phase: Unknown}}\n");
	_cleanup_object_ struct object *unready = decode_one(
		"{apiVersion: v1, kind: Pod, metadata: {name: a}, status: {conditions: [{type: Ready, status: 'False'}]}}\n");
	_cleanup_object_ struct object *by_netns = decode_one(
		"{apiVersion: v1, kind: Pod, metadata: {name: a, annotations: {egressd.io/netns: /n, egressd.io/router: 'false'}}}\n");

	(void)state;
	assert_int_equal(single->pod.address_count, 1);
	assert_address(&single->pod.addresses[0], "fd00::2");
	assert_int_equal(single->pod.phase, POD_FAILED);
	assert_false(single->pod.ready);
	assert_int_equal(none->pod.address_count, 0);
	assert_int_equal(none->pod.phase, POD_UNKNOWN);
	assert_false(unready->pod.ready);
	assert_int_equal(unready->pod.phase, POD_RUNNING);
	assert_place(&by_netns->pod.interface_place, 1, 81);
	assert_false(by_netns->pod.router);
}

/* The API server takes any text for hostIP: what cannot be read must neither keep a pod out nor hide its port. */
static void a_host_ip_that_is_no_address_of_one_interface(void **state)
{
	static const char text[] =
		"{apiVersion: v1, kind: Pod, metadata: {name: a}, spec: {containers: [{ports: [\n"
		" {containerPort: 1, hostPort: 1, hostIP: ''}, {containerPort: 1, hostPort: 2, hostIP: 0.0.0.0},\n"
		" {containerPort: 1, hostPort: 3, hostIP: '::'}, {containerPort: 1, hostPort: 4, hostIP: 010.0.0.1},\n"
		" {containerPort: 1, hostPort: 5, hostIP: '::ffff:10.0.0.1'}]}]}}\n";
	_cleanup_objects_ struct object_list objects = {};
	struct problem_list problems = {};
	const struct pod *pod;

	(void)state;
	assert_int_equal(decode_buffer("a.yaml", text, strlen(text), &objects, &problems), 0);
	pod = &objects.items[0]->pod;
	assert_int_equal(pod->host_port_count, 5);
	for (size_t i = 0; i < pod->host_port_count; i++)
		assert_int_equal(pod->host_ports[i].address.family, 0);
	assert_int_equal(problems.count, 2);
	assert_int_equal(problems.errors, 0);
	assert_string_equal(problems.items[0].message,
			    "spec.containers[0].ports[3].hostIP: expected an IP address, found \"010.0.0.1\": "
			    "it is taken for every address of the node");
	problem_list_clear(&problems);
}

static void an_unknown_annotation_of_ours_is_a_warning(void **state)
{
	static const char text[] =
		"{apiVersion: v1, kind: Pod, metadata: {name: a, annotations: {egressd.io/interfce: veth1}}}\n";
	_cleanup_objects_ struct object_list objects = {};
	struct problem_list problems = {};

	(void)state;
	assert_int_equal(decode_buffer("a.yaml", text, strlen(text), &objects, &problems), 0);
	assert_int_equal(objects.count, 1);
	assert_int_equal(problems.count, 1);
	assert_int_equal(problems.items[0].severity, PROBLEM_WARNING);
	assert_int_equal(problems.items[0].column, 63);
	problem_list_clear(&problems);
}

/* ------------------------------------------------------------------ the other kinds */

static void namespaces_have_their_name_as_a_label(void **state)
{
	static const char *const labels[] = { "", "labels: {a: b, z: x}", "labels: {kubernetes.io/metadata.name: other}" };
	static const size_t counts[] = { 1, 3, 1 };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(labels); i++) {
		_cleanup_free_ char *text =
			text_format("{apiVersion: v1, kind: Namespace, metadata: {name: shop, %s}}\n", labels[i]);
		_cleanup_object_ struct object *object = decode_one(text);

		assert_string_equal(object->namespace, "");
		assert_int_equal(object->labels.count, counts[i]);
		assert_string_equal(label_list_get(&object->labels, "kubernetes.io/metadata.name"), "shop");
		if (i == 1)
			assert_string_equal(label_list_get(&object->labels, "z"), "x");
	}
}

static void a_service_with_everything(void **state)
{
	_cleanup_object_ struct object *object = decode_one(
		"apiVersion: v1\n"
		"kind: Service\n"
		"metadata: {name: web, namespace: shop}\n"
		"spec:\n"
		"  type: LoadBalancer\n"
		"  clusterIP: 10.96.0.9\n"
		"  clusterIPs: [10.96.0.1, 'fd01::1']\n"
		"  externalIPs: [192.0.2.1, 192.0.2.1]\n"
		"  publishNotReadyAddresses: true\n"
		"  sessionAffinity: ClientIP\n"
		"  externalTrafficPolicy: Local\n"
		"  selector: {app: web}\n"
		"  ports:\n"
		"  - {name: http, port: 80, targetPort: web, nodePort: 30080}\n"
		"  - {name: dns, port: 53, targetPort: 5353, protocol: UDP, appProtocol: x}\n"
		"  - {name: same, port: 7}\n"
		"  - {name: zero, port: 8, targetPort: 0}\n"
		"status:\n"
		"  loadBalancer: {ingress: [{ip: 192.0.2.1}, {ip: 192.0.2.2, ipMode: VIP}, {hostname: x}, {ip: 192.0.2.3, ipMode: Proxy}]}\n");
	const struct service *service = &object->service;

	(void)state;
	assert_int_equal(service->cluster_ip_count, 2);
	assert_address(&service->cluster_ips[0], "10.96.0.1");
	assert_address(&service->cluster_ips[1], "fd01::1");
	assert_int_equal(service->external_ip_count, 2);
	assert_address(&service->external_ips[0], "192.0.2.1");
	assert_address(&service->external_ips[1], "192.0.2.2");
	assert_true(service->publish_not_ready);
	assert_true(service->node_local);
	assert_true(service->has_selector);
	assert_false(service->headless || service->external_name);
	assert_int_equal(service->port_count, 4);
	assert_string_equal(service->ports[0].name, "http");
	assert_int_equal(service->ports[0].target_kind, TARGET_NAME);
	assert_string_equal(service->ports[0].target_name, "web");
	assert_int_equal(service->ports[0].node_port, 30080);
	assert_int_equal(service->ports[1].target_kind, TARGET_NUMBER);
	assert_int_equal(service->ports[1].target_port, 5353);
	assert_int_equal(service->ports[1].transport, TRANSPORT_UDP);
	assert_int_equal(service->ports[2].target_kind, TARGET_SAME);
	assert_int_equal(service->ports[3].target_kind, TARGET_SAME);
}

static void variants_of_services(void **state)
{
	_cleanup_object_ struct object *headless =
		decode_one("{apiVersion: v1, kind: Service, metadata: {name: a}, spec: {clusterIP: None}}\n");
	_cleanup_object_ struct object *headless_list =
		decode_one("{apiVersion: v1, kind: Service, metadata: {name: a}, spec: {clusterIPs: [None]}}\n");
	_cleanup_object_ struct object *external = decode_one(
		"{apiVersion: v1, kind: Service, metadata: {name: a}, spec: {type: ExternalName, externalName: x.y, clusterIP: ''}}\n");
	_cleanup_object_ struct object *single =
		decode_one("{apiVersion: v1, kind: Service, metadata: {name: a}, spec: {clusterIP: 10.96.0.1, selector: {}}}\n");
	_cleanup_object_ struct object *cluster = decode_one(
		"{apiVersion: v1, kind: Service, metadata: {name: a}, spec: {internalTrafficPolicy: Cluster, externalTrafficPolicy: ''}}\n");
	_cleanup_object_ struct object *local =
		decode_one("{apiVersion: v1, kind: Service, metadata: {name: a}, spec: {internalTrafficPolicy: Local}}\n");

	(void)state;
	assert_true(headless->service.headless);
	assert_int_equal(headless->service.cluster_ip_count, 0);
	assert_true(headless_list->service.headless);
	assert_true(external->service.external_name);
	assert_int_equal(external->service.cluster_ip_count, 0);
	assert_int_equal(single->service.cluster_ip_count, 1);
	assert_false(single->service.has_selector);
	assert_false(single->service.node_local || cluster->service.node_local);
	assert_true(local->service.node_local);
}

static void an_endpoint_slice_with_everything(void **state)
{
	_cleanup_object_ struct object *object = decode_one(
		"apiVersion: discovery.k8s.io/v1\n"
		"kind: EndpointSlice\n"
		"metadata: {name: web-x, namespace: shop, labels: {kubernetes.io/service-name: web}}\n"
		"addressType: IPv4\n"
		"endpoints:\n"
		"- addresses: [10.0.0.1]\n"
		"  targetRef: {kind: Pod, name: web-1, namespace: shop}\n"
		"- addresses: [10.0.0.2]\n"
		"  conditions: {ready: false, serving: null, terminating: true}\n"
		"- addresses: [10.0.0.3]\n"
		"  conditions: {ready: true, serving: false}\n"
		"  targetRef: {kind: Node, name: 'n'}\n"
		"ports:\n"
		"- {name: http, port: 80}\n"
		"- {name: '', port: null, protocol: UDP}\n");
	const struct endpoint_slice *slice = &object->slice;

	(void)state;
	assert_string_equal(slice->service, "web");
	assert_int_equal(slice->endpoint_count, 3);
	assert_address(&slice->endpoints[0].addresses[0], "10.0.0.1");
	assert_true(slice->endpoints[0].ready && slice->endpoints[0].serving && !slice->endpoints[0].terminating);
	assert_string_equal(slice->endpoints[0].target_pod, "web-1");
	assert_true(!slice->endpoints[1].ready && slice->endpoints[1].serving && slice->endpoints[1].terminating);
	assert_null(slice->endpoints[1].target_pod);
	assert_true(slice->endpoints[2].ready && !slice->endpoints[2].serving);
	assert_null(slice->endpoints[2].target_pod);
	assert_int_equal(slice->port_count, 2);
	assert_true(slice->ports[0].has_port);
	assert_int_equal(slice->ports[0].port, 80);
	assert_false(slice->ports[1].has_port);
	assert_int_equal(slice->ports[1].transport, TRANSPORT_UDP);
}

static void host_names_of_slices_and_nodes_are_no_addresses(void **state)
{
	_cleanup_object_ struct object *slice = decode_one(
		"{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: a}, addressType: FQDN, "
		"endpoints: [{addresses: [example.com]}]}\n");
	_cleanup_object_ struct object *node = decode_one(
		"{apiVersion: v1, kind: Node, metadata: {name: n1}, status: {addresses: [{type: Hostname, address: n1}, "
		"{type: InternalIP, address: 192.0.2.1}, {type: ExternalIP, address: 'fd00::1'}, "
		"{type: InternalIP, address: 192.0.2.1}]}}\n");

	(void)state;
	assert_int_equal(slice->slice.endpoint_count, 0);
	assert_string_equal(slice->slice.service, "");
	assert_int_equal(node->node.address_count, 2);
	assert_address(&node->node.addresses[0], "192.0.2.1");
	assert_address(&node->node.addresses[1], "fd00::1");
}

/* ------------------------------------------------------------------ files */

static void documents_and_lists(void **state)
{
	_cleanup_objects_ struct object_list objects =
		decode("# nothing but a comment\n"
		       "---\n"
		       "---\n"
		       "null\n"
		       "---\n"
		       "{apiVersion: v1, kind: Node, metadata: {name: a}}\n"
		       "---\n"
		       "apiVersion: v1\n"
		       "kind: List\n"
		       "items:\n"
		       "- {apiVersion: v1, kind: Node, metadata: {name: b}}\n"
		       "- {apiVersion: v1, kind: NodeList, items: [{metadata: {name: c}}, {metadata: {name: d}}]}\n"
		       "...\n"
		       "---\n"
		       "{apiVersion: v1, kind: List, items: null}\n");

	(void)state;
	assert_int_equal(objects.count, 4);
	for (size_t i = 0; i < objects.count; i++)
		assert_int_equal(objects.items[i]->name[0], 'a' + (int)i);
	assert_place(&objects.items[3]->place, 12, 67);
}

static void unknown_kinds_are_told_once(void **state)
{
	static const char text[] = "{apiVersion: apps/v1, kind: Deployment, metadata: {name: A}}\n"
				   "---\n"
				   "{apiVersion: apps/v1, kind: Deployment}\n"
				   "---\n"
				   "{apiVersion: crd.projectcalico.org/v1, kind: NetworkPolicy, spec: {selector: all()}}\n"
				   "---\n"
				   "{apiVersion: apps/v1, kind: DeploymentList, items: [{}]}\n"
				   "---\n"
				   "{apiVersion: x.io/v1, kind: AllowList, spec: {}}\n"
				   "---\n"
				   "{apiVersion: policy.networking.k8s.io/v1alpha2, kind: ClusterNetworkPolicy}\n";
	static const char *const kinds[] = { "Deployment of apps/v1", "NetworkPolicy of crd.projectcalico.org/v1",
					     "AllowList of x.io/v1",
					     "ClusterNetworkPolicy of policy.networking.k8s.io/v1alpha2" };
	struct object_list objects = {};
	struct problem_list problems = {};

	(void)state;
	assert_int_equal(decode_buffer("a.yaml", text, strlen(text), &objects, &problems), 0);
	assert_int_equal(decode_buffer("b.yaml", text, strlen(text), &objects, &problems), 0);
	assert_int_equal(objects.count, 0);
	assert_int_equal(problems.count, ARRAY_SIZE(kinds));
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		assert_int_equal(problems.items[i].severity, PROBLEM_NOTICE);
		assert_string_equal(problems.items[i].rule, "unknown-kind");
		assert_non_null(strstr(problems.items[i].message, kinds[i]));
	}
	problem_list_clear(&problems);
}

static void anchors_aliases_and_merge_keys(void **state)
{
	_cleanup_objects_ struct object_list objects =
		decode("apiVersion: v1\n"
		       "kind: List\n"
		       "x-labels: &labels {app: web, tier: front}\n"
		       "items:\n"
		       "- {apiVersion: v1, kind: Pod, metadata: {name: a, labels: *labels}}\n"
		       "- {apiVersion: v1, kind: Pod, metadata: {name: &b b, labels: {<<: *labels, tier: back}}}\n"
		       "- {apiVersion: v1, kind: Pod, metadata: {name: c, labels: {<<: [{x: *b}, *labels, {x: z, app: q}]}}}\n"
		       "- {apiVersion: v1, kind: Pod, metadata: {name: d, labels: {tier: front, <<: *labels}}}\n"
		       "- {apiVersion: v1, kind: Pod, metadata: {name: e, labels: {<<: {app: x}, <<: *labels, app: z}}}\n"
		       "- {apiVersion: v1, kind: Pod, metadata: &m {name: f, labels: {f: f}}, <<: {metadata: *m}}\n");

	(void)state;
	assert_string_equal(label_list_get(&objects.items[0]->labels, "tier"), "front");
	assert_string_equal(label_list_get(&objects.items[1]->labels, "tier"), "back");
	assert_string_equal(label_list_get(&objects.items[1]->labels, "app"), "web");
	assert_string_equal(label_list_get(&objects.items[2]->labels, "x"), "b");
	assert_string_equal(label_list_get(&objects.items[2]->labels, "app"), "web");
	assert_int_equal(objects.items[2]->labels.count, 3);
	/* Where every reading is the same, the merge key may stand anywhere. */
	assert_string_equal(label_list_get(&objects.items[3]->labels, "tier"), "front");
	assert_string_equal(label_list_get(&objects.items[4]->labels, "app"), "z");
	assert_string_equal(label_list_get(&objects.items[5]->labels, "f"), "f");
}

static void quotes_and_tags_make_strings(void **state)
{
	_cleanup_object_ struct object *object = decode_one(
		"{apiVersion: v1, kind: Pod, metadata: {name: a, labels: {a: \"1\", b: 'true', c: !!str 3, 4: x, \"on\": 'y', 'n': z}}}\n");

	(void)state;
	assert_string_equal(label_list_get(&object->labels, "a"), "1");
	assert_string_equal(label_list_get(&object->labels, "b"), "true");
	assert_string_equal(label_list_get(&object->labels, "c"), "3");
	assert_string_equal(label_list_get(&object->labels, "4"), "x");
	assert_string_equal(label_list_get(&object->labels, "on"), "y");
	assert_string_equal(label_list_get(&object->labels, "n"), "z");
}

static void json_files(void **state)
{
	static const char text[] = "\xef\xbb\xbf\t{\"apiVersion\":\"v1\",\t\"kind\":\"Pod\",\n"
				   "\t\"metadata\":{\"name\":\"\\u0061\",\"annotations\":{\"x\":\"\\ud83d\\ude00\\/\x7f\"},"
				   "\"labels\":{\"on\":\"y\"}},\n"
				   "\t\"status\":{\"podIP\":\"10.0.0.1\"}}\n"
				   "{\"apiVersion\":\"v1\",\"kind\":\"Node\",\"metadata\":{\"name\":\"b\"}}\n";
	_cleanup_objects_ struct object_list objects = decode_named("good.json", text);

	(void)state;
	assert_int_equal(objects.count, 2);
	assert_string_equal(objects.items[0]->name, "a");
	assert_string_equal(label_list_get(&objects.items[0]->labels, "on"), "y");
	assert_int_equal(objects.items[0]->pod.address_count, 1);
	assert_int_equal(objects.items[0]->place.column, 2);
	assert_int_equal(objects.items[1]->place.line, 4);
}

static void json_in_a_yaml_file_and_flow_mappings(void **state)
{
	_cleanup_objects_ struct object_list objects =
		decode("{\"apiVersion\":\"v1\",\"kind\":\"Node\",\"metadata\":{\"name\":\"a\"}}\n---\n"
		       "{apiVersion: v1, kind: Node, metadata: {name: b}} # and a comment\n");

	(void)state;
	assert_int_equal(objects.count, 2);
}

/* What the API sends may be newer than this program; what a person writes is not. */
static void unknown_metadata_is_passed_over_without_a_file(void **state)
{
	_cleanup_objects_ struct object_list objects = decode_named(
		NULL, "{\"apiVersion\":\"v1\",\"kind\":\"Node\",\"metadata\":{\"name\":\"a\",\"new\":1},\"newer\":{}}");

	(void)state;
	assert_int_equal(objects.count, 1);
	assert_null(objects.items[0]->place.file);
}

/* ------------------------------------------------------------------ the way back */

static const char everything[] =
	"{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: a, namespace: b, uid: u, labels: {l: m}},\n"
	" spec: {podSelector: {matchLabels: {a: b}, matchExpressions: [{key: c, operator: Exists}]}, egress: [\n"
	"  {ports: [{port: 1}, {port: 1, endPort: 3, protocol: UDP}, {port: x, protocol: SCTP}, {}],\n"
	"   to: [{podSelector: {}}, {namespaceSelector: {}},\n"
	"        {ipBlock: {cidr: 10.1.1.1/8, except: [10.1.0.0/16,\n"
	"                                              10.2.0.0/16]}}]}, {}]}}\n"
	"---\n"
	"{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: i}, spec: {policyTypes: [Ingress], egress: [{}]}}\n"
	"---\n"
	"{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: e}, spec: {policyTypes: [Egress]}}\n"
	"---\n"
	"{apiVersion: v1, kind: Namespace, metadata: {name: b, labels: {x: 'y'}}}\n"
	"---\n"
	"{apiVersion: v1, kind: Pod, metadata: {name: p, labels: {x: 'y'}, annotations: {\n"
	"  egressd.io/interface: veth0, egressd.io/netns: /n, egressd.io/router: 'true'},\n"
	"  creationTimestamp: '2024-05-01T12:00:00Z', deletionTimestamp: '2024-05-01T12:00:01Z'},\n"
	" spec: {hostNetwork: true, nodeName: 'n', containers: [{ports: [{name: h, containerPort: 1, hostPort: 2, protocol: UDP},\n"
	"  {containerPort: 3, hostPort: 4, hostIP: 'fd00::9'}]}]},\n"
	" status: {phase: Succeeded, podIPs: [{ip: 10.0.0.1}, {ip: 'fd00::1'}]}}\n"
	"---\n"
	"{apiVersion: v1, kind: Pod, metadata: {name: q}}\n"
	"---\n"
	"{apiVersion: v1, kind: Service, metadata: {name: s}, spec: {clusterIPs: [10.96.0.1], externalIPs: [192.0.2.1],\n"
	" publishNotReadyAddresses: true, internalTrafficPolicy: Local, selector: {a: b, c: d},\n"
	" ports: [{name: x, port: 1, targetPort: 'y', nodePort: 30000},\n"
	" {name: z, port: 2, targetPort: 3, protocol: UDP}, {name: w, port: 4}]}}\n"
	"---\n"
	"{apiVersion: v1, kind: Service, metadata: {name: h}, spec: {clusterIP: None}}\n"
	"---\n"
	"{apiVersion: v1, kind: Service, metadata: {name: 'n'}, spec: {type: ExternalName}}\n"
	"---\n"
	"{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: e, labels: {kubernetes.io/service-name: s}},\n"
	" addressType: IPv6, endpoints: [{addresses: ['fd00::1'], targetRef: {kind: Pod, name: p}},\n"
	"  {addresses: ['fd00::2'], conditions: {ready: false, serving: true, terminating: true}}],\n"
	" ports: [{name: x, port: 1, protocol: UDP}, {}]}\n"
	"---\n"
	"{apiVersion: v1, kind: Node, metadata: {name: 'n'}, status: {addresses: [{type: InternalIP, address: 10.0.0.1}]}}\n";

/* What encode.h wrote, decoded again. */
static struct object *encode_and_decode(const struct object *object)
{
	struct object_list objects = {};
	struct problem_list problems = {};
	_cleanup_free_ char *text = encoded_text(object);
	struct object *again;

	assert_non_null(text);
	assert_int_equal(decode_saved_buffer("saved.json", text, strlen(text), &objects, &problems), 0);
	assert_int_equal(problems.count, 0);
	assert_int_equal(objects.count, 1);
	again = object_ref(objects.items[0]);
	object_list_clear(&objects);
	return again;
}

/* Rules and peers are put where there are none, and nowhere else, whatever the names say. */
static void rules_with_and_without_peers_come_back(void **state)
{
	static const char text[] =
		"{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: p}, spec: {podSelector:\n"
		" {matchExpressions: [{key: to, operator: Exists}]}, egress: [\n"
		" {ports: [{port: 1}]},\n"
		" {to: [{ipBlock: {cidr: 10.0.0.0/8}}, {ipBlock: {cidr: 'fd00::/8', except: ['fd00:1::/32']}},\n"
		"  {podSelector: {matchLabels: {to: a}}}, {ipBlock: {cidr: 192.0.2.1/32}}]},\n"
		" {to: []}, {}, {to: [{namespaceSelector: {}}], ports: [{port: to}]}]}}";
	struct object_list objects = decode_named("\"egress\":[]\"to\":[].yaml", text);
	struct object *again = encode_and_decode(objects.items[0]);

	(void)state;
	assert_true(object_equal(objects.items[0], again));
	assert_int_equal(again->policy.rule_count, 5);
	assert_int_equal(again->policy.rules[1].peer_count, 4);
	assert_int_equal(again->policy.rules[1].peers[3].place.line, 5);
	assert_string_equal(again->place.file, "\"egress\":[]\"to\":[].yaml");
	object_unref(again);
	object_list_clear(&objects);
}

#define MANY_RULES 40000

/* The agent's loop waits for it: no rule costs more because of those behind it, also where sanitizers measure strings. */
static void many_rules_are_encoded_in_time_for_each_alone(void **state)
{
	char *yaml = NULL;
	size_t length;
	FILE *file = open_memstream(&yaml, &length);
	struct object_list objects;
	struct object *again;
	clock_t before;

	(void)state;
	fputs("{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: p}, spec: {podSelector: {}, egress: [",
	      file);
	for (unsigned int i = 0; i < MANY_RULES; i++)
		fprintf(file, "%s{ports: [{port: %u}]}", i ? ",\n" : "", 1000 + i);
	fputs("]}}\n", file);
	fclose(file);
	objects = decode(yaml);
	free(yaml);
	before = clock();
	again = encode_and_decode(objects.items[0]);
	assert_true((clock() - before) / CLOCKS_PER_SEC < 10);
	assert_true(object_equal(objects.items[0], again));
	assert_int_equal(again->policy.rule_count, MANY_RULES);
	object_unref(again);
	object_list_clear(&objects);
}

/* jansson's memory is taken elsewhere while a text is parsed; what others do with jansson is not to notice. */
static void decoding_leaves_jansson_as_it_was(void **state)
{
	json_malloc_t allocate, allocate_after;
	json_free_t give_back, give_back_after;
	struct problem_list problems = {};
	struct object_list objects = {};
	json_t *before = json_pack("{s:[i, s]}", "list", 1, "text");
	static const char *const texts[] = {
		"{\"apiVersion\": \"v1\", \"kind\": \"Pod\", \"metadata\": {\"name\": \"a\"}}",
		"{\"apiVersion\": \"v1\", \"kind\": \"Pod\", \"metadata\": {\"name\": \"b\"",
	};

	(void)state;
	json_get_alloc_funcs(&allocate, &give_back);
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		int error = decode_buffer("a.json", texts[i], strlen(texts[i]), &objects, &problems);

		assert_int_equal(error, i ? -EINVAL : 0);
		json_get_alloc_funcs(&allocate_after, &give_back_after);
		assert_true(allocate == allocate_after && give_back == give_back_after);
		assert_int_equal(json_object_set_new(before, "more", json_integer((json_int_t)i)), 0);
	}
	assert_string_equal(objects.items[0]->name, "a");
	object_list_clear(&objects);
	problem_list_clear(&problems);
	json_decref(before);
}

static void objects_survive_encoding(void **state)
{
	_cleanup_objects_ struct object_list objects = decode(everything);

	(void)state;
	assert_int_equal(objects.count, 11);
	for (size_t i = 0; i < objects.count; i++) {
		_cleanup_object_ struct object *again = encode_and_decode(objects.items[i]);

		assert_true(object_equal(objects.items[i], again));
		assert_string_equal(again->uid, objects.items[i]->uid);
		assert_string_equal(again->place.file, "good.yaml");
		assert_int_equal(again->place.line, objects.items[i]->place.line);
		assert_int_equal(again->place.column, objects.items[i]->place.column);
	}
}

static void places_within_objects_survive_encoding(void **state)
{
	_cleanup_objects_ struct object_list objects = decode(everything);
	_cleanup_object_ struct object *policy = encode_and_decode(objects.items[0]);
	_cleanup_object_ struct object *pod = encode_and_decode(objects.items[4]);
	const struct egress_rule *rule = &policy->policy.rules[0];

	(void)state;
	assert_place(&rule->place, 3, 3);
	assert_place(&rule->ports[1].place, 3, 23);
	assert_place(&rule->peers[2].place, 5, 9);
	assert_place(&rule->peers[2].block.except_places[1], 6, 47);
	assert_place(&pod->pod.interface_place, 15, 25);
}

static void colons_in_a_file_name_and_no_name_at_all(void **state)
{
	static const char text[] = "{apiVersion: v1, kind: Node, metadata: {name: a}}";
	_cleanup_objects_ struct object_list odd = decode_named("C:\\x:1:2", text), none = decode_named(NULL, text);
	_cleanup_object_ struct object *odd_again = encode_and_decode(odd.items[0]);
	_cleanup_object_ struct object *none_again = encode_and_decode(none.items[0]);

	(void)state;
	assert_string_equal(odd_again->place.file, "C:\\x:1:2");
	assert_null(none_again->place.file);
	assert_int_equal(none_again->place.line, 1);
}

/* Each pair differs in one thing that decides about egress. */
static void objects_that_differ_are_not_equal(void **state)
{
	static const struct {
		const char *before, *from, *to;
	} cases[] = {
		{ POLICY "spec: {policyTypes: [%s]}", "Egress", "Ingress" },
		{ POLICY "spec: {podSelector: {matchLabels: {%s}}}", "a: b", "a: c" },
		{ POLICY "spec: {podSelector: {matchLabels: {%s}}}", "a: b", "b: b" },
		{ POLICY "spec: {podSelector: {matchExpressions: [{key: a, operator: %s}]}}", "Exists", "DoesNotExist" },
		{ POLICY "spec: {egress: [%s]}", "{}", "{}, {}" },
		{ POLICY "spec: {egress: [{ports: [%s]}]}", "{port: 1}", "{port: 2}" },
		{ POLICY "spec: {egress: [{ports: [%s]}]}", "{port: 1}", "{port: 1, endPort: 2}" },
		{ POLICY "spec: {egress: [{ports: [%s]}]}", "{port: 1}", "{port: 1, protocol: UDP}" },
		{ POLICY "spec: {egress: [{ports: [%s]}]}", "{port: a}", "{port: b}" },
		{ POLICY "spec: {egress: [{to: [%s]}]}", "{podSelector: {}}", "{namespaceSelector: {}}" },
		{ POLICY "spec: {egress: [{to: [{ipBlock: {cidr: %s}}]}]}", "1.0.0.0/8", "1.0.0.0/9" },
		{ POLICY "spec: {egress: [{to: [{ipBlock: {cidr: 1.0.0.0/8, except: [%s]}}]}]}", "1.1.0.0/16", "1.2.0.0/16" },
		{ "{apiVersion: v1, kind: Pod, metadata: {%s}}", "name: a", "name: b" },
		{ "{apiVersion: v1, kind: Pod, metadata: {name: a, %s}}", "namespace: a", "namespace: b" },
		{ "{apiVersion: v1, kind: Pod, metadata: {name: a, %s}}", "labels: {a: b}", "labels: {a: c}" },
		{ "{apiVersion: v1, kind: Pod, metadata: {name: a, annotations: {egressd.io/interface: %s}}}", "a", "b" },
		{ "{apiVersion: v1, kind: Pod, metadata: {name: a}, status: {%s}}", "podIP: 10.0.0.1", "podIP: 10.0.0.2" },
		{ "{apiVersion: v1, kind: Pod, metadata: {name: a}, status: {%s}}", "phase: Running", "phase: Failed" },
		{ "{apiVersion: v1, kind: Pod, metadata: {name: a}, status: {conditions: [{type: Ready, status: %s}]}}",
		  "'True'", "'False'" },
		{ "{apiVersion: v1, kind: Pod, metadata: {name: a}, spec: {%s}}", "hostNetwork: true", "hostNetwork: false" },
		{ "{apiVersion: v1, kind: Pod, metadata: {name: a}, spec: {containers: [{ports: [{name: a, %s}]}]}}",
		  "containerPort: 1", "containerPort: 2" },
		{ "{apiVersion: v1, kind: Pod, metadata: {name: a}, spec: {containers: [{ports: [{containerPort: 1, %s}]}]}}",
		  "hostPort: 0", "hostPort: 1" },
		{ "{apiVersion: v1, kind: Pod, metadata: {name: a}, spec: {containers: [{ports: [{containerPort: 1, %s}]}]}}",
		  "hostPort: 2", "hostPort: 1" },
		{ "{apiVersion: v1, kind: Pod, metadata: {name: a}, spec: {containers: [{ports: [{containerPort: 1, hostPort: 1, "
		  "%s}]}]}}", "protocol: TCP", "protocol: UDP" },
		{ "{apiVersion: v1, kind: Pod, metadata: {name: a}, spec: {containers: [{ports: [{containerPort: 1, hostPort: 1, "
		  "%s}]}]}}", "hostIP: ''", "hostIP: 10.9.0.1" },
		{ "{apiVersion: v1, kind: Pod, metadata: {name: a}, spec: {containers: [{ports: [{hostPort: 1, %s}]}]}}",
		  "containerPort: 1", "containerPort: 2" },
		{ "{apiVersion: v1, kind: Namespace, metadata: {name: a, %s}}", "labels: {a: b}", "labels: {}" },
		{ "{apiVersion: v1, kind: Service, metadata: {name: a}, spec: {%s}}", "clusterIP: 10.0.0.1", "clusterIP: None" },
		{ "{apiVersion: v1, kind: Service, metadata: {name: a}, spec: {ports: [{port: 1, %s}]}}", "targetPort: 1",
		  "targetPort: a" },
		{ "{apiVersion: v1, kind: Service, metadata: {name: a}, spec: {selector: {%s}}}", "a: b", "a: c" },
		{ "{apiVersion: v1, kind: Service, metadata: {name: a}, spec: {internalTrafficPolicy: %s}}", "Local", "Cluster" },
		{ "{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: a}, addressType: IPv4, "
		  "endpoints: [{addresses: [1.1.1.1], conditions: {ready: %s}}]}", "true", "false" },
		{ "{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: a}, addressType: IPv4, "
		  "ports: [{port: %s}]}", "1", "null" },
		{ "{apiVersion: v1, kind: Node, metadata: {name: a}, status: {addresses: [{type: InternalIP, address: %s}]}}",
		  "1.1.1.1", "1.1.1.2" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const char *mark = strstr(cases[i].before, "%s");
		_cleanup_free_ char *first = text_format("%.*s%s%s", (int)(mark - cases[i].before), cases[i].before,
							 cases[i].from, mark + 2);
		_cleanup_free_ char *second = text_format("%.*s%s%s", (int)(mark - cases[i].before), cases[i].before,
							  cases[i].to, mark + 2);
		_cleanup_object_ struct object *a = decode_one(first), *b = decode_one(second), *c = decode_one(first);

		assert_true(object_equal(a, c));
		if (object_equal(a, b))
			fail_msg("%s and %s are taken for equal", first, second);
	}
}

static void places_uids_and_labels_of_policies_do_not_count(void **state)
{
	_cleanup_object_ struct object *a = decode_one(POLICY "spec: {}\n");
	_cleanup_object_ struct object *b = decode_one("\n\napiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\n"
						       "metadata: {name: a, uid: x, labels: {a: b}}\nspec: {}\n");

	(void)state;
	assert_true(object_equal(a, b));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_policy_with_everything),
		cmocka_unit_test(which_policies_isolate_egress),
		cmocka_unit_test(egress_that_is_empty_without_types),
		cmocka_unit_test(null_is_absent_in_a_rule),
		cmocka_unit_test(a_pod_with_everything),
		cmocka_unit_test(a_pod_with_nothing),
		cmocka_unit_test(variants_of_pod_status),
		cmocka_unit_test(a_host_ip_that_is_no_address_of_one_interface),
		cmocka_unit_test(an_unknown_annotation_of_ours_is_a_warning),
		cmocka_unit_test(namespaces_have_their_name_as_a_label),
		cmocka_unit_test(a_service_with_everything),
		cmocka_unit_test(variants_of_services),
		cmocka_unit_test(an_endpoint_slice_with_everything),
		cmocka_unit_test(host_names_of_slices_and_nodes_are_no_addresses),
		cmocka_unit_test(documents_and_lists),
		cmocka_unit_test(unknown_kinds_are_told_once),
		cmocka_unit_test(anchors_aliases_and_merge_keys),
		cmocka_unit_test(quotes_and_tags_make_strings),
		cmocka_unit_test(json_files),
		cmocka_unit_test(json_in_a_yaml_file_and_flow_mappings),
		cmocka_unit_test(unknown_metadata_is_passed_over_without_a_file),
		cmocka_unit_test(rules_with_and_without_peers_come_back),
		cmocka_unit_test(many_rules_are_encoded_in_time_for_each_alone),
		cmocka_unit_test(decoding_leaves_jansson_as_it_was),
		cmocka_unit_test(objects_survive_encoding),
		cmocka_unit_test(places_within_objects_survive_encoding),
		cmocka_unit_test(colons_in_a_file_name_and_no_name_at_all),
		cmocka_unit_test(objects_that_differ_are_not_equal),
		cmocka_unit_test(places_uids_and_labels_of_policies_do_not_count),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
