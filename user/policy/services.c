/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Nodes and services: at which addresses something is served, and by whom. At the veth a packet still carries the
 * service's address, before kube-proxy rewrites it; so a service's port is judged by the backends that kube-proxy would
 * choose from. The same holds for ports of the node that it forwards to a pod of its own.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "policy/compile.h"

/* What may serve a port of a service, with what its endpoint's conditions say. */
struct candidate {
	struct ip_address address;
	uint16_t port;
	bool ready, draining;
};

struct candidates {
	struct candidate *items;
	size_t count, capacity;
};

static void candidates_clear(struct candidates *candidates)
{
	free(candidates->items);
}

static int candidates_add(struct candidates *candidates, const struct candidate *candidate)
{
	if (array_reserve(&candidates->items, &candidates->capacity, candidates->count + 1,
			  sizeof(*candidates->items)) < 0)
		return -ENOMEM;
	candidates->items[candidates->count++] = *candidate;
	return 0;
}

/* ------------------------------------------------------------------ backends from slices */

/* The endpoint slices, sorted so that those of a service stand together. */
struct slices {
	struct object **items;
	size_t count;
};

static int compare_slices(const void *left, const void *right)
{
	const struct object *a = *(struct object *const *)left, *b = *(struct object *const *)right;
	int order = strcmp(a->namespace, b->namespace);

	return order ? order : strcmp(a->slice.service, b->slice.service);
}

static int collect_slices(struct compile *compile, struct slices *out)
{
	size_t count, i;
	struct object *const *items = store_list(compile->store, OBJECT_ENDPOINT_SLICE, &count);

	if (count == SIZE_MAX)
		return -ENOMEM;
	out->items = calloc(count + 1, sizeof(*out->items));
	if (!out->items)
		return -ENOMEM;
	for (i = 0; i < count; i++)
		if (*items[i]->slice.service)
			out->items[out->count++] = items[i];
	qsort(out->items, out->count, sizeof(*out->items), compare_slices);
	return 0;
}

/* Those of the service: *first, and how many. */
static size_t slices_of(const struct slices *slices, const struct object *service, size_t *first)
{
	size_t low = 0, high = slices->count, count = 0;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		const struct object *slice = slices->items[middle];
		int order = strcmp(slice->namespace, service->namespace);

		if (!order)
			order = strcmp(slice->slice.service, service->name);
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	*first = low;
	while (low + count < slices->count && strcmp(slices->items[low + count]->namespace, service->namespace) == 0 &&
	       strcmp(slices->items[low + count]->slice.service, service->name) == 0)
		count++;
	return count;
}

/*
 * As kube-proxy reads them: the first address of an endpoint only, no slice ports without a number;
 * publishNotReadyAddresses has had its say when the slice was made, as an endpoint that is ready.
 */
static int add_slice_endpoints(struct candidates *candidates, const struct service_front *front,
			       const struct endpoint_slice *slice, uint16_t port)
{
	size_t i;
	int error = 0;

	for (i = 0; i < slice->endpoint_count && !error; i++) {
		const struct slice_endpoint *endpoint = &slice->endpoints[i];
		struct candidate candidate = {
			.port = port,
			.ready = endpoint->ready,
			.draining = endpoint->serving && endpoint->terminating,
		};

		if (!endpoint->address_count || address_family(&endpoint->addresses[0]) != front->family)
			continue;
		candidate.address = endpoint->addresses[0];
		error = candidates_add(candidates, &candidate);
	}
	return error;
}

static int add_slice(struct candidates *candidates, const struct service_front *front,
		     const struct endpoint_slice *slice)
{
	size_t i;
	int error = 0;

	for (i = 0; i < slice->port_count && !error; i++) {
		const struct slice_port *port = &slice->ports[i];

		if (port->has_port && port->transport == front->port->transport &&
		    strcmp(port->name, front->port->name) == 0)
			error = add_slice_endpoints(candidates, front, slice, port->port);
	}
	return error;
}

/* ------------------------------------------------------------------ backends from pods */

static bool target_port(const struct object *pod, const struct service_port *port, uint16_t *out)
{
	if (port->target_kind == TARGET_NAME)
		return pod_find_port(&pod->pod, port->target_name, port->transport, out);
	*out = port->target_kind == TARGET_NUMBER ? port->target_port : port->port;
	return true;
}

static int add_pod(struct candidates *candidates, const struct service_front *front, const struct object *pod)
{
	struct candidate candidate = {
		.ready = front->object->service.publish_not_ready || (pod->pod.ready && !pod->pod.terminating),
		.draining = pod->pod.ready && pod->pod.terminating,
	};
	size_t i;
	int error = 0;

	if (!target_port(pod, front->port, &candidate.port))
		return 0;
	for (i = 0; i < pod->pod.address_count && !error; i++) {
		if (address_family(&pod->pod.addresses[i]) != front->family)
			continue;
		candidate.address = pod->pod.addresses[i];
		error = candidates_add(candidates, &candidate);
	}
	return error;
}

/* What the endpoint slices of the service would hold, for manifests that have none. */
static int add_selected_pods(struct compile *compile, struct candidates *candidates, const struct service_front *front)
{
	const struct object *service = front->object;
	size_t count, i;
	struct object *const *pods = store_list(compile->store, OBJECT_POD, &count);
	int error = 0;

	if (count == SIZE_MAX)
		return -ENOMEM;
	for (i = store_first_in_namespace(pods, count, service->namespace);
	     i < count && strcmp(pods[i]->namespace, service->namespace) == 0 && !error; i++) {
		if (pods[i]->pod.phase != POD_SUCCEEDED && pods[i]->pod.phase != POD_FAILED &&
		    label_selector_matches(&service->service.selector, &pods[i]->labels))
			error = add_pod(candidates, front, pods[i]);
	}
	return error;
}

/* ------------------------------------------------------------------ fronts */

static int keep_backend(struct policy *policy, const struct service_front *front, const struct candidate *candidate)
{
	struct backend *backend;
	uint32_t point;

	if (point_put(policy, &candidate->address, &point) < 0 ||
	    array_reserve(&policy->backends, &policy->backend_capacity, policy->backend_count + 1,
			  sizeof(*policy->backends)) < 0)
		return -ENOMEM;
	policy->points[point].backend = true;
	backend = &policy->backends[policy->backend_count++];
	backend->point = point;
	backend->position = port_position(front->port->transport, candidate->port);
	return 0;
}

/*
 * Those that are ready; where none is, those that still serve while they terminate. A node that sends only to its own
 * backends asks that of them alone: what serves while it terminates is chosen there, whatever is ready elsewhere.
 */
static int keep_serving(struct policy *policy, struct service_front *front, const struct candidates *candidates)
{
	bool any_ready = false, draining_serve;
	size_t i;
	int error = 0;

	for (i = 0; i < candidates->count; i++)
		any_ready |= candidates->items[i].ready;
	draining_serve = !any_ready || front->object->service.node_local;
	front->first_backend = (uint32_t)policy->backend_count;
	for (i = 0; i < candidates->count && !error; i++)
		if (candidates->items[i].ready || (draining_serve && candidates->items[i].draining))
			error = keep_backend(policy, front, &candidates->items[i]);
	front->backend_count = (uint32_t)policy->backend_count - front->first_backend;
	return error;
}

static int find_backends(struct compile *compile, const struct slices *slices, struct service_front *front)
{
	_cleanup_(candidates_clear) struct candidates candidates = {0};
	const struct object *service = front->object;
	size_t first, count = slices_of(slices, service, &first), i;
	int error = 0;

	for (i = 0; i < count && !error; i++)
		error = add_slice(&candidates, front, &slices->items[first + i]->slice);
	if (!count && service->service.has_selector && service->service.selector.count)
		error = add_selected_pods(compile, &candidates, front);
	return error ? error : keep_serving(compile->policy, front, &candidates);
}

static int add_listener(struct service_listener **listeners, size_t *count, size_t *capacity, uint32_t point,
			uint32_t position, uint32_t front)
{
	if (array_reserve(listeners, capacity, *count + 1, sizeof(**listeners)) < 0)
		return -ENOMEM;
	(*listeners)[(*count)++] = (struct service_listener){.point = point, .position = position, .front = front};
	return 0;
}

/* The port is served at those of the addresses that are of the front's family. */
static int listen_at(struct policy *policy, uint32_t front_id, const struct ip_address *addresses, size_t count)
{
	const struct service_front *front = &policy->fronts[front_id];
	size_t i;

	for (i = 0; i < count; i++) {
		uint32_t point;

		if (address_family(&addresses[i]) != front->family)
			continue;
		if (point_put(policy, &addresses[i], &point) < 0 ||
		    add_listener(&policy->listeners, &policy->listener_count, &policy->listener_capacity, point,
				 port_position(front->port->transport, front->port->port), front_id) < 0)
			return -ENOMEM;
		policy->points[point].service = true;
	}
	return 0;
}

static int add_front(struct compile *compile, const struct slices *slices, struct object *service,
		     const struct service_port *port, enum family family)
{
	struct policy *policy = compile->policy;
	uint32_t id = (uint32_t)policy->front_count;
	struct service_front *front;
	int error;

	if (array_reserve(&policy->fronts, &policy->front_capacity, policy->front_count + 1, sizeof(*policy->fronts)) <
	    0)
		return -ENOMEM;
	front = &policy->fronts[policy->front_count++];
	*front = (struct service_front){.object = service, .port = port, .family = family};
	error = find_backends(compile, slices, front);
	if (!error)
		error = listen_at(policy, id, service->service.cluster_ips, service->service.cluster_ip_count);
	if (!error)
		error = listen_at(policy, id, service->service.external_ips, service->service.external_ip_count);
	if (!error && port->node_port)
		error = add_listener(&policy->node_listeners[family], &policy->node_listener_count[family],
				     &policy->node_listener_capacity[family], NONE,
				     port_position(port->transport, port->node_port), id);
	return error;
}

/* An address of a family in which the service has no cluster address is not served: kube-proxy passes over it. */
static bool has_family(const struct service *service, enum family family)
{
	size_t i;

	for (i = 0; i < service->cluster_ip_count; i++)
		if (address_family(&service->cluster_ips[i]) == family)
			return true;
	return false;
}

static int note_derived(struct policy *policy, const struct slices *slices, const struct object *service)
{
	size_t first;

	if (!service->service.has_selector || slices_of(slices, service, &first))
		return 0;
	if (array_reserve(&policy->derived, &policy->derived_capacity, policy->derived_count + 1,
			  sizeof(*policy->derived)) < 0)
		return -ENOMEM;
	policy->derived[policy->derived_count++] = service;
	return 0;
}

static int add_service(struct compile *compile, const struct slices *slices, struct object *object)
{
	const struct service *service = &object->service;
	enum family family;
	size_t i;
	int error;

	/* Names in DNS, nothing that a packet could carry. */
	if (service->headless || service->external_name)
		return 0;
	error = policy_keep(compile->policy, object);
	if (!error)
		error = note_derived(compile->policy, slices, object);
	for (family = 0; family < FAMILY_COUNT; family++) {
		if (!has_family(service, family))
			continue;
		for (i = 0; i < service->port_count && !error; i++)
			error = add_front(compile, slices, object, &service->ports[i], family);
	}
	return error;
}

/* ------------------------------------------------------------------ hostPorts */

/* A front with the pod at this address as its only backend. */
static int add_host_front(struct policy *policy, const struct object *pod, const struct host_port *host,
			  const struct ip_address *address)
{
	struct service_port *port = arena_allocate(policy->arena, sizeof(*port));
	struct service_front *front;

	if (!port || array_reserve(&policy->fronts, &policy->front_capacity, policy->front_count + 1,
				   sizeof(*policy->fronts)) < 0)
		return -ENOMEM;
	*port = (struct service_port){.name = "", .transport = host->transport, .port = host->host_port};
	front = &policy->fronts[policy->front_count++];
	*front = (struct service_front){
		.object = pod,
		.port = port,
		.family = address_family(address),
		.first_backend = (uint32_t)policy->backend_count,
		.backend_count = 1,
	};
	return keep_backend(policy, front, &(struct candidate){.address = *address, .port = host->port});
}

/* At the node's addresses, or that one of them that the hostPort names; any other is out of the pods' reach. */
static int add_host_port(struct compile *compile, const struct object *pod, const struct host_port *host)
{
	const struct policy_options *options = compile->options;
	struct policy *policy = compile->policy;
	const struct ip_address *served = options->node_addresses;
	size_t served_count = options->node_address_count, i;
	int error = 0;

	if (host->address.family) {
		const struct point *point = point_find(policy, &host->address);

		if (!point || !point->own_node)
			return 0;
		served = &host->address;
		served_count = 1;
	}
	for (i = 0; i < pod->pod.address_count && !error; i++) {
		error = add_host_front(policy, pod, host, &pod->pod.addresses[i]);
		if (!error)
			error = listen_at(policy, (uint32_t)policy->front_count - 1, served, served_count);
	}
	return error;
}

/*
 * The node forwards them behind the veth, as it does services, so that its own address leads to a pod. At other nodes'
 * addresses they are that node's: the packet leaves for it as it is.
 */
static int compile_host_ports(struct compile *compile)
{
	size_t count, i, j;
	struct object *const *pods = store_list(compile->store, OBJECT_POD, &count);
	int error = 0;

	if (count == SIZE_MAX)
		return -ENOMEM;
	for (i = 0; i < count && compile->options->node_address_count && !error; i++) {
		if (!pod_has_host_ports_here(compile->policy, pods[i]))
			continue;
		for (j = 0; j < pods[i]->pod.host_port_count && !error; j++)
			error = add_host_port(compile, pods[i], &pods[i]->pod.host_ports[j]);
	}
	return error;
}

/* ------------------------------------------------------------------ nodes */

/* A pod that has its node's address without hostNetwork is a mistake of its manifest, or of the node's. */
static int report_node_and_pod(struct compile *compile, const struct point *point)
{
	char text[IP_TEXT_SIZE];

	return problem_add(compile->problems, PROBLEM_WARNING, "conflict", &point->pod->place, point->pod,
			   "address %s is also a node's: the pod is taken to have it, and lacks hostNetwork if it does not",
			   ip_address_format(&point->address, text));
}

static int add_node_address(struct compile *compile, const struct ip_address *address, bool own)
{
	struct policy *policy = compile->policy;
	struct point *point;
	uint32_t id;
	bool known;

	if (point_put(policy, address, &id) < 0)
		return -ENOMEM;
	point = &policy->points[id];
	known = point->any_node;
	point->any_node = true;
	point->own_node |= own;
	return point->pod && !known ? report_node_and_pod(compile, point) : 0;
}

static int compile_nodes(struct compile *compile)
{
	const struct policy_options *options = compile->options;
	size_t count, i, j;
	struct object *const *nodes = store_list(compile->store, OBJECT_NODE, &count);
	int error = 0;

	if (count == SIZE_MAX)
		return -ENOMEM;
	for (i = 0; i < count; i++)
		for (j = 0; j < nodes[i]->node.address_count && !error; j++)
			error = add_node_address(compile, &nodes[i]->node.addresses[j], false);
	for (i = 0; i < options->node_address_count && !error; i++)
		error = add_node_address(compile, &options->node_addresses[i], true);
	return error;
}

static bool has_own_address(const struct policy *policy, const struct node *node)
{
	size_t i;

	for (i = 0; i < node->address_count; i++)
		if (point_find(policy, &node->addresses[i])->own_node)
			return true;
	return false;
}

/* Of several Nodes that have this node's addresses any may be it. */
static int find_node_name(struct compile *compile)
{
	struct policy *policy = compile->policy;
	const char *name = compile->options->node_name;
	size_t count, found = 0, i;
	struct object *const *nodes = store_list(compile->store, OBJECT_NODE, &count);

	if (count == SIZE_MAX)
		return -ENOMEM;
	for (i = 0; i < count && !compile->options->node_name; i++) {
		if (!has_own_address(policy, &nodes[i]->node))
			continue;
		name = nodes[i]->name;
		found++;
	}
	if (!name || found > 1)
		return 0;
	policy->node_name = arena_string(policy->arena, name);
	return policy->node_name ? 0 : -ENOMEM;
}

static int compare_listeners(const void *left, const void *right)
{
	const struct service_listener *a = left, *b = right;

	if (a->point != b->point)
		return a->point < b->point ? -1 : 1;
	if (a->position != b->position)
		return a->position < b->position ? -1 : 1;
	return a->front < b->front ? -1 : a->front > b->front;
}

/* ------------------------------------------------------------------ two objects at one address */

static int report_service_and_pod(struct compile *compile, const struct object *service, const struct ip_address *address)
{
	const struct point *point = point_find(compile->policy, address);
	char text[IP_TEXT_SIZE];

	if (!point || !point->pod || !point->service)
		return 0;
	return problem_add(compile->problems, PROBLEM_WARNING, "conflict", &service->place, service,
			   "address %s is also pod %s/%s's: the service has the ports that it serves, the pod the others",
			   ip_address_format(address, text), point->pod->namespace, point->pod->name);
}

static int report_addresses(struct compile *compile, const struct object *service)
{
	size_t i;
	int error = 0;

	for (i = 0; i < service->service.cluster_ip_count && !error; i++)
		error = report_service_and_pod(compile, service, &service->service.cluster_ips[i]);
	for (i = 0; i < service->service.external_ip_count && !error; i++)
		error = report_service_and_pod(compile, service, &service->service.external_ips[i]);
	return error;
}

/* Which of the services a node sends to is not defined; a pod is allowed the port if it is allowed the backends of all. */
static int report_shared_port(struct compile *compile, const struct service_listener *listener,
			      const struct service_listener *other)
{
	const struct policy *policy = compile->policy;
	const struct service_front *front = &policy->fronts[listener->front], *first = &policy->fronts[other->front];
	const char *transport = transport_name(front->port->transport);
	char text[IP_TEXT_SIZE];

	if (listener->point == NONE)
		return problem_add(compile->problems, PROBLEM_WARNING, "conflict", &front->object->place,
				   front->object,
				   "nodePort %u/%s is also served by Service %s/%s: pods need to be allowed the backends of both",
				   front->port->node_port, transport, first->object->namespace, first->object->name);
	return problem_add(compile->problems, PROBLEM_WARNING, "conflict", &front->object->place, front->object,
			   "port %u/%s of %s is also served by Service %s/%s: pods need to be allowed the backends of both",
			   front->port->port, transport,
			   ip_address_format(&policy->points[listener->point].address, text), first->object->namespace,
			   first->object->name);
}

/* Pods with one hostPort are not on one node: only of those whose node is unknown are there several. */
static bool are_of_two_services(const struct service_front *a, const struct service_front *b)
{
	return a->object != b->object && a->object->kind == OBJECT_SERVICE && b->object->kind == OBJECT_SERVICE;
}

/* The listeners are sorted: those of one port at one address stand together, and services before hostPorts. */
static int report_shared_ports(struct compile *compile, const struct service_listener *listeners, size_t count)
{
	size_t first = 0, i;
	int error = 0;

	for (i = 1; i < count && !error; i++) {
		if (listeners[i].point != listeners[first].point || listeners[i].position != listeners[first].position)
			first = i;
		else if (are_of_two_services(&compile->policy->fronts[listeners[i].front],
					     &compile->policy->fronts[listeners[first].front]))
			error = report_shared_port(compile, &listeners[i], &listeners[first]);
	}
	return error;
}

static int report_conflicts(struct compile *compile, struct object *const *services, size_t count)
{
	const struct policy *policy = compile->policy;
	enum family family;
	size_t i;
	int error = report_shared_ports(compile, policy->listeners, policy->listener_count);

	for (family = 0; family < FAMILY_COUNT && !error; family++)
		error = report_shared_ports(compile, policy->node_listeners[family],
					    policy->node_listener_count[family]);
	for (i = 0; i < count && !error; i++)
		error = report_addresses(compile, services[i]);
	return error;
}

static void slices_clear(struct slices *slices)
{
	free(slices->items);
}

int compile_services(struct compile *compile)
{
	_cleanup_(slices_clear) struct slices slices = {0};
	struct policy *policy = compile->policy;
	struct object *const *services;
	enum family family;
	size_t count, i;
	int error = compile_nodes(compile);

	if (!error)
		error = find_node_name(compile);
	if (!error)
		error = collect_slices(compile, &slices);
	if (error)
		return error;
	services = store_list(compile->store, OBJECT_SERVICE, &count);
	if (count == SIZE_MAX)
		return -ENOMEM;
	for (i = 0; i < count && !error; i++)
		error = add_service(compile, &slices, services[i]);
	if (!error)
		error = compile_host_ports(compile);
	if (policy->listener_count)
		qsort(policy->listeners, policy->listener_count, sizeof(*policy->listeners), compare_listeners);
	for (family = 0; family < FAMILY_COUNT; family++)
		if (policy->node_listener_count[family])
			qsort(policy->node_listeners[family], policy->node_listener_count[family],
			      sizeof(**policy->node_listeners), compare_listeners);
	return error ? error : report_conflicts(compile, services, count);
}
