/* SPDX-License-Identifier: Apache-2.0 */
/*
 * jansson refuses NULL where it is given as a value, and the whole with it: one part that finds no memory makes the
 * result NULL, without a check for each part.
 */
#include "model/encode.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/text.h"
#include "base/timestamp.h"

static void json_release(json_t **json)
{
	json_decref(*json);
	*json = NULL;
}

#define _cleanup_json_ _cleanup_(json_release)

/* A list of what `encode` makes of each item; NULL when memory is short. */
typedef json_t *(*item_encoder)(const void *item);

static json_t *encode_array(const void *items, size_t count, size_t item_size, item_encoder encode)
{
	_cleanup_json_ json_t *array = json_array();

	for (size_t i = 0; array && i < count; i++) {
		if (json_array_append_new(array, encode((const char *)items + i * item_size)))
			return NULL;
	}
	return take(array);
}

/* Sets a field of an object that exists; the value's reference is taken. False when memory is short. */
static bool set(json_t *object, const char *field, json_t *value)
{
	return !json_object_set_new(object, field, value);
}

/* ------------------------------------------------------------------ small values */

static json_t *encode_place(const struct place *place)
{
	char text[32];

	snprintf(text, sizeof(text), "%u:%u", place->line, place->column);
	return json_string(text);
}

static json_t *encode_place_item(const void *item)
{
	return encode_place(item);
}

static json_t *encode_address(const void *item)
{
	char text[IP_TEXT_SIZE];

	return json_string(ip_address_format(item, text));
}

static json_t *encode_prefix(const void *item)
{
	char text[IP_PREFIX_TEXT_SIZE];

	return json_string(ip_prefix_format(item, text));
}

static json_t *encode_text_item(const void *item)
{
	return json_string(*(const char *const *)item);
}

static json_t *encode_transport(enum transport transport)
{
	return json_string(transport_name(transport));
}

static json_t *encode_labels(const struct label_list *labels)
{
	_cleanup_json_ json_t *object = json_object();

	for (size_t i = 0; object && i < labels->count; i++) {
		if (!set(object, labels->items[i].key, json_string(labels->items[i].value)))
			return NULL;
	}
	return take(object);
}

/* ------------------------------------------------------------------ policies */

static json_t *encode_requirement(const void *item)
{
	static const char *const names[] = {
		[SELECTOR_IN] = "In",
		[SELECTOR_NOT_IN] = "NotIn",
		[SELECTOR_EXISTS] = "Exists",
		[SELECTOR_DOES_NOT_EXIST] = "DoesNotExist",
	};
	const struct selector_requirement *requirement = item;

	return json_pack("{s:s, s:s, s:o}", "key", requirement->key, "operator", names[requirement->op], "values",
			 encode_array(requirement->values, requirement->value_count, sizeof(*requirement->values),
				      encode_text_item));
}

static json_t *encode_selector(const struct label_selector *selector)
{
	return json_pack("{s:o}", "matchExpressions",
			 encode_array(selector->requirements, selector->count, sizeof(*selector->requirements),
				      encode_requirement));
}

static json_t *encode_policy_port(const void *item)
{
	const struct policy_port *port = item;
	_cleanup_json_ json_t *object = json_object();

	if (!set(object, "egressd.io/place", encode_place(&port->place)) ||
	    !set(object, "protocol", encode_transport(port->transport)))
		return NULL;
	if (port->kind == PORT_NUMBER && !set(object, "port", json_integer(port->first)))
		return NULL;
	if (port->kind == PORT_NUMBER && port->last != port->first && !set(object, "endPort", json_integer(port->last)))
		return NULL;
	if (port->kind == PORT_NAME && !set(object, "port", json_string(port->name)))
		return NULL;
	return take(object);
}

static json_t *encode_block(const struct ip_block *block)
{
	if (!block->except_count)
		return json_pack("{s:o}", "cidr", encode_prefix(&block->cidr));
	return json_pack("{s:o, s:o, s:o}", "cidr", encode_prefix(&block->cidr), "except",
			 encode_array(block->except, block->except_count, sizeof(*block->except), encode_prefix),
			 "egressd.io/except-places",
			 encode_array(block->except_places, block->except_count, sizeof(*block->except_places),
				      encode_place_item));
}

static json_t *encode_peer(const struct policy_peer *peer)
{
	_cleanup_json_ json_t *object = json_object();

	if (!set(object, "egressd.io/place", encode_place(&peer->place)))
		return NULL;
	if (peer->has_pod_selector && !set(object, "podSelector", encode_selector(&peer->pod_selector)))
		return NULL;
	if (peer->has_namespace_selector &&
	    !set(object, "namespaceSelector", encode_selector(&peer->namespace_selector)))
		return NULL;
	if (peer->has_block && !set(object, "ipBlock", encode_block(&peer->block)))
		return NULL;
	return take(object);
}

/* Without the peers, which object_encode puts in their place. */
static json_t *encode_rule(const struct egress_rule *rule)
{
	return json_pack("{s:o, s:o, s:[]}", "egressd.io/place", encode_place(&rule->place), "ports",
			 encode_array(rule->ports, rule->port_count, sizeof(*rule->ports), encode_policy_port), "to");
}

/*
 * Without the rules, which object_encode puts in their place. policyTypes is written out: what its absence means depends
 * on the rules.
 */
static bool encode_policy(json_t *object, const struct network_policy *policy)
{
	const char *type = policy->isolates_egress ? "Egress" : "Ingress";

	return set(object, "spec",
		   json_pack("{s:o, s:[s], s:[]}", "podSelector", encode_selector(&policy->pod_selector), "policyTypes",
			     type, "egress"));
}

/* ------------------------------------------------------------------ pods */

static json_t *encode_pod_address(const void *item)
{
	return json_pack("{s:o}", "ip", encode_address(item));
}

static json_t *encode_container_port(const void *item)
{
	const struct container_port *port = item;

	return json_pack("{s:s, s:o, s:i}", "name", port->name, "protocol", encode_transport(port->transport),
			 "containerPort", port->port);
}

static json_t *encode_host_port(const void *item)
{
	const struct host_port *port = item;
	_cleanup_json_ json_t *object = json_pack("{s:o, s:i, s:i}", "protocol", encode_transport(port->transport),
						  "containerPort", port->port, "hostPort", port->host_port);

	if (!object || (port->address.family && !set(object, "hostIP", encode_address(&port->address))))
		return NULL;
	return take(object);
}

/* The ports of a kind in one container: nothing here asks whose they are. */
static json_t *encode_containers(const struct pod *pod)
{
	return json_pack("[{s:o}, {s:o}]", "ports",
			 encode_array(pod->ports, pod->port_count, sizeof(*pod->ports), encode_container_port), "ports",
			 encode_array(pod->host_ports, pod->host_port_count, sizeof(*pod->host_ports),
				      encode_host_port));
}

static json_t *encode_phase(enum pod_phase phase)
{
	static const char *const names[] = {
		[POD_PENDING] = "Pending", [POD_RUNNING] = "Running", [POD_SUCCEEDED] = "Succeeded",
		[POD_FAILED] = "Failed",   [POD_UNKNOWN] = "Unknown",
	};

	return json_string(names[phase]);
}

static bool encode_times(json_t *metadata, const struct pod *pod)
{
	char text[TIMESTAMP_TEXT_SIZE];

	if (pod->created && !set(metadata, "creationTimestamp", json_string(timestamp_format(pod->created, text))))
		return false;
	/* When does not matter. */
	return !pod->terminating || set(metadata, "deletionTimestamp", json_string(timestamp_format(0, text)));
}

static bool encode_annotations(json_t *annotations, const struct pod *pod)
{
	if (pod->interface && !set(annotations, "egressd.io/interface", json_string(pod->interface)))
		return false;
	if (pod->netns && !set(annotations, "egressd.io/netns", json_string(pod->netns)))
		return false;
	if (pod->static_uid && !set(annotations, "kubernetes.io/config.mirror", json_string(pod->static_uid)))
		return false;
	if (pod->router && !set(annotations, "egressd.io/router", json_string("true")))
		return false;
	return set(annotations, "egressd.io/interface-place", encode_place(&pod->interface_place));
}

static bool encode_pod(json_t *object, json_t *metadata, const struct pod *pod)
{
	return encode_times(metadata, pod) && encode_annotations(json_object_get(metadata, "annotations"), pod) &&
	       set(object, "spec",
		   json_pack("{s:b, s:s, s:o}", "hostNetwork", pod->host_network, "nodeName", pod->node_name,
			     "containers", encode_containers(pod))) &&
	       set(object, "status",
		   json_pack("{s:o, s:[{s:s, s:s}], s:o}", "phase", encode_phase(pod->phase), "conditions", "type",
			     "Ready", "status", pod->ready ? "True" : "False", "podIPs",
			     encode_array(pod->addresses, pod->address_count, sizeof(*pod->addresses),
					  encode_pod_address)));
}

/* ------------------------------------------------------------------ services */

static json_t *encode_service_port(const void *item)
{
	const struct service_port *port = item;
	_cleanup_json_ json_t *object = json_pack("{s:s, s:o, s:i, s:i}", "name", port->name, "protocol",
						  encode_transport(port->transport), "port", port->port, "nodePort",
						  port->node_port);

	if (!object)
		return NULL;
	if (port->target_kind == TARGET_NUMBER && !set(object, "targetPort", json_integer(port->target_port)))
		return NULL;
	if (port->target_kind == TARGET_NAME && !set(object, "targetPort", json_string(port->target_name)))
		return NULL;
	return take(object);
}

/* A service's selector has only requirements of one value. */
static json_t *encode_service_selector(const struct label_selector *selector)
{
	_cleanup_json_ json_t *object = json_object();

	for (size_t i = 0; object && i < selector->count; i++) {
		if (!set(object, selector->requirements[i].key, json_string(selector->requirements[i].values[0])))
			return NULL;
	}
	return take(object);
}

static json_t *encode_cluster_ips(const struct service *service)
{
	if (service->headless)
		return json_pack("[s]", "None");
	return encode_array(service->cluster_ips, service->cluster_ip_count, sizeof(*service->cluster_ips),
			    encode_address);
}

static bool encode_service(json_t *object, const struct service *service)
{
	return set(object, "spec",
		   json_pack("{s:s, s:o, s:o, s:o, s:o, s:b, s:s}", "type",
			     service->external_name ? "ExternalName" : "ClusterIP", "clusterIPs",
			     encode_cluster_ips(service), "externalIPs",
			     encode_array(service->external_ips, service->external_ip_count,
					  sizeof(*service->external_ips), encode_address),
			     "ports",
			     encode_array(service->ports, service->port_count, sizeof(*service->ports),
					  encode_service_port),
			     "selector", encode_service_selector(&service->selector), "publishNotReadyAddresses",
			     service->publish_not_ready, "internalTrafficPolicy",
			     service->node_local ? "Local" : "Cluster"));
}

/* ------------------------------------------------------------------ slices and nodes */

static json_t *encode_endpoint(const void *item)
{
	const struct slice_endpoint *endpoint = item;
	_cleanup_json_ json_t *object = NULL;

	object = json_pack("{s:o, s:{s:b, s:b, s:b}}", "addresses",
			   encode_array(endpoint->addresses, endpoint->address_count, sizeof(*endpoint->addresses),
					encode_address),
			   "conditions", "ready", endpoint->ready, "serving", endpoint->serving, "terminating",
			   endpoint->terminating);
	if (!object)
		return NULL;
	if (endpoint->target_pod &&
	    !set(object, "targetRef", json_pack("{s:s, s:s}", "kind", "Pod", "name", endpoint->target_pod)))
		return NULL;
	return take(object);
}

static json_t *encode_slice_port(const void *item)
{
	const struct slice_port *port = item;
	_cleanup_json_ json_t *object =
		json_pack("{s:s, s:o}", "name", port->name, "protocol", encode_transport(port->transport));

	if (!object || (port->has_port && !set(object, "port", json_integer(port->port))))
		return NULL;
	return take(object);
}

/* The family of the first address; a slice of host names has none, and nothing of it was kept. */
static const char *address_type(const struct endpoint_slice *slice)
{
	for (size_t i = 0; i < slice->endpoint_count; i++) {
		if (slice->endpoints[i].address_count)
			return slice->endpoints[i].addresses[0].family == 4 ? "IPv4" : "IPv6";
	}
	return "IPv4";
}

static bool encode_slice(json_t *object, const struct endpoint_slice *slice)
{
	return set(object, "addressType", json_string(address_type(slice))) &&
	       set(object, "endpoints",
		   encode_array(slice->endpoints, slice->endpoint_count, sizeof(*slice->endpoints), encode_endpoint)) &&
	       set(object, "ports",
		   encode_array(slice->ports, slice->port_count, sizeof(*slice->ports), encode_slice_port));
}

static json_t *encode_node_address(const void *item)
{
	return json_pack("{s:s, s:o}", "type", "InternalIP", "address", encode_address(item));
}

static bool encode_node(json_t *object, const struct node *node)
{
	return set(object, "status",
		   json_pack("{s:o}", "addresses",
			     encode_array(node->addresses, node->address_count, sizeof(*node->addresses),
					  encode_node_address)));
}

/* ------------------------------------------------------------------ objects */

/* The file's name may be no UTF-8, which JSON cannot hold; the place is then lost, not the object. */
static json_t *encode_object_place(const struct place *place)
{
	_cleanup_free_ char *text = text_format("%s:%u:%u", place->file ? place->file : "", place->line, place->column);
	json_t *json = text ? json_string(text) : NULL;

	return json || !text ? json : encode_object_place(&(struct place){ NULL, place->line, place->column });
}

static json_t *encode_metadata(const struct object *object)
{
	_cleanup_json_ json_t *metadata = NULL;

	metadata = json_pack("{s:s, s:s, s:o, s:{s:o}}", "name", object->name, "uid", object->uid, "labels",
			     encode_labels(&object->labels), "annotations", "egressd.io/place",
			     encode_object_place(&object->place));
	if (!metadata)
		return NULL;
	if (object->namespace[0] && !set(metadata, "namespace", json_string(object->namespace)))
		return NULL;
	return take(metadata);
}

static const char *api_version(enum object_kind kind)
{
	switch (kind) {
	case OBJECT_NETWORK_POLICY:
		return "networking.k8s.io/v1";
	case OBJECT_ENDPOINT_SLICE:
		return "discovery.k8s.io/v1";
	default:
		return "v1";
	}
}

static bool encode_content(json_t *json, json_t *metadata, const struct object *object)
{
	switch (object->kind) {
	case OBJECT_NETWORK_POLICY:
		return encode_policy(json, &object->policy);
	case OBJECT_POD:
		return encode_pod(json, metadata, &object->pod);
	case OBJECT_SERVICE:
		return encode_service(json, &object->service);
	case OBJECT_ENDPOINT_SLICE:
		return encode_slice(json, &object->slice);
	case OBJECT_NODE:
		return encode_node(json, &object->node);
	case OBJECT_NAMESPACE:
		return true;
	case OBJECT_KIND_COUNT:
		break;
	}
	return false;
}

/* Compact text; NULL when memory is short. */
static char *text_of(json_t *json)
{
	char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;

	json_decref(json);
	return text;
}

static json_t *encode_without_rules(const struct object *object)
{
	_cleanup_json_ json_t *json = json_pack("{s:s, s:s, s:o}", "apiVersion", api_version(object->kind), "kind",
						object_kind_name(object->kind), "metadata", encode_metadata(object));

	if (!json || !encode_content(json, json_object_get(json, "metadata"), object))
		return NULL;
	return take(json);
}

/* ------------------------------------------------------------------ peers */

static int put_as_json(const struct policy_peer *peer, encode_sink sink, void *data)
{
	_cleanup_free_ char *text = text_of(encode_peer(peer));

	return text ? sink(text, strlen(text), data) : -ENOMEM;
}

/* The usual peer of a long list, of numbers alone: nothing in it is to be escaped. */
static int put_network(const struct policy_peer *peer, encode_sink sink, void *data)
{
	char text[96 + IP_PREFIX_TEXT_SIZE], prefix[IP_PREFIX_TEXT_SIZE];
	int length = snprintf(text, sizeof(text), "{\"egressd.io/place\":\"%u:%u\",\"ipBlock\":{\"cidr\":\"%s\"}}",
			      peer->place.line, peer->place.column, ip_prefix_format(&peer->block.cidr, prefix));

	return sink(text, (size_t)length, data);
}

static bool is_network_alone(const struct policy_peer *peer)
{
	return peer->has_block && !peer->block.except_count && !peer->has_pod_selector && !peer->has_namespace_selector;
}

static int put_peers(const struct egress_rule *rule, encode_sink sink, void *data)
{
	size_t i;
	int error = 0;

	for (i = 0; i < rule->peer_count && !error; i++) {
		const struct policy_peer *peer = &rule->peers[i];

		if (i)
			error = sink(",", 1, data);
		if (!error)
			error = (is_network_alone(peer) ? put_network : put_as_json)(peer, sink, data);
	}
	return error;
}

/* ------------------------------------------------------------------ rules */

/*
 * The lists that are put in piece by piece, as they are in the text without them. No name or value is taken for one: a
 * quote inside of it is escaped.
 */
#define NO_RULES "\"egress\":[]"
#define NO_PEERS "\"to\":[]"

/* Behind the opening bracket. */
static size_t inside(const char *text, const char *empty_list)
{
	return (size_t)(strstr(text, empty_list) - text) + strlen(empty_list) - 1;
}

static int put_rule(const struct egress_rule *rule, encode_sink sink, void *data)
{
	_cleanup_free_ char *text = text_of(encode_rule(rule));
	size_t before;
	int error;

	if (!text)
		return -ENOMEM;
	before = inside(text, NO_PEERS);
	error = sink(text, before, data);
	if (!error)
		error = put_peers(rule, sink, data);
	return error ? error : sink(text + before, strlen(text + before), data);
}

static int put_rules(const struct network_policy *policy, encode_sink sink, void *data)
{
	size_t i;
	int error = 0;

	for (i = 0; i < policy->rule_count && !error; i++) {
		if (i)
			error = sink(",", 1, data);
		if (!error)
			error = put_rule(&policy->rules[i], sink, data);
	}
	return error;
}

static int put_policy(const char *text, const struct network_policy *policy, encode_sink sink, void *data)
{
	size_t before = inside(text, NO_RULES);
	int error = sink(text, before, data);

	if (!error)
		error = put_rules(policy, sink, data);
	return error ? error : sink(text + before, strlen(text + before), data);
}

int object_encode(const struct object *object, encode_sink sink, void *data)
{
	_cleanup_free_ char *text = text_of(encode_without_rules(object));

	if (!text)
		return -ENOMEM;
	if (object->kind == OBJECT_NETWORK_POLICY)
		return put_policy(text, &object->policy, sink, data);
	return sink(text, strlen(text), data);
}
