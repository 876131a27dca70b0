/* SPDX-License-Identifier: Apache-2.0 */
/* v1 Pod: where it is, what it is called there, its ports with a name or on its node. Other fields are passed over. */
#include <string.h>

#include "base/cleanup.h"
#include "base/timestamp.h"
#include "model/decode_kind.h"
#include "model/syntax.h"

/* ------------------------------------------------------------------ addresses */

static void read_pod_addresses(struct reader *reader, const struct spot *status, struct pod *out)
{
	struct spot list = spot_field(status, "podIPs"), single = spot_field(status, "podIP");
	size_t count = read_sequence(reader, &list);
	bool seen[7] = {}; /* by family */

	out->addresses = reader_array(reader, count ? count : 1, sizeof(*out->addresses));
	if (!out->addresses)
		return;
	for (size_t i = 0; i < count; i++) {
		struct spot item = spot_item(&list, i), ip = spot_field(&item, "ip");
		struct ip_address address;

		if (!read_mapping(reader, &item, NULL) || !read_address(reader, &ip, &address))
			continue;
		if (seen[address.family])
			reader_fail(reader, &ip, "expected at most one IPv%u address, found another", address.family);
		seen[address.family] = true;
		address_list_add(out->addresses, &out->address_count, &address);
	}
	/* The old field holds the first of the list, or the only address where the list is absent; empty: none yet. */
	if (!count && single.value && (single.value->type != VALUE_STRING || single.value->text[0]) &&
	    read_address(reader, &single, &out->addresses[0]))
		out->address_count = 1;
}

/* ------------------------------------------------------------------ ports */

/* How many ports have the field. */
static size_t count_ports(const struct spot *containers, size_t count, const char *field)
{
	size_t ports = 0;

	for (size_t i = 0; i < count; i++) {
		struct spot container = spot_item(containers, i), list = spot_field(&container, "ports");

		if (!list.value || list.value->type != VALUE_SEQUENCE)
			continue;
		for (size_t j = 0; j < list.value->count; j++) {
			struct spot port = spot_item(&list, j);

			if (spot_field(&port, field).value)
				ports++;
		}
	}
	return ports;
}

/* The API server takes any text. What is no address may mean any of the node's; 0.0.0.0 and :: do mean all of them. */
static void read_host_ip(struct reader *reader, const struct spot *spot, struct ip_address *out)
{
	static const uint8_t unspecified[sizeof(out->bytes)];
	const char *text = read_string(reader, spot);
	struct ip_address address;

	if (!text || !text[0])
		return;
	if (ip_address_parse(text, &address) || address_is_mapped(&address))
		reader_warn(reader, spot,
			    "expected an IP address, found \"%s\": it is taken for every address of the node", text);
	else if (memcmp(address.bytes, unspecified, sizeof(unspecified)))
		*out = address;
}

static void read_host_port(struct reader *reader, const struct spot *port, const struct container_port *container,
			   struct pod *out)
{
	struct spot number = spot_field(port, "hostPort"), ip = spot_field(port, "hostIP");
	struct host_port host = { .transport = container->transport, .port = container->port };
	int64_t host_port;

	if (!read_integer(reader, &number, 0, UINT16_MAX, "0..65535", &host_port) || !host_port)
		return;
	host.host_port = (uint16_t)host_port;
	read_host_ip(reader, &ip, &host.address);
	out->host_ports[out->host_port_count++] = host;
}

static void read_container_port(struct reader *reader, const struct spot *spot, struct pod *out)
{
	struct spot name = spot_field(spot, "name"), number = spot_field(spot, "containerPort");
	struct spot protocol = spot_field(spot, "protocol");
	struct container_port port = {};
	const char *text;

	if (!read_mapping(reader, spot, NULL))
		return;
	text = read_string(reader, &name);
	port.transport = read_transport(reader, &protocol);
	port.port = read_port_number(reader, &number);
	if (!number.value)
		reader_fail_expected(reader, &number, "1..65535");
	read_host_port(reader, spot, &port, out);
	if (!text || !text[0])
		return;
	if (!syntax_is_port_name(text))
		reader_fail_expected(reader, &name, "an IANA service name");
	port.name = reader_copy(reader, text);
	out->ports[out->port_count++] = port;
}

static void read_container_ports(struct reader *reader, const struct spot *container, struct pod *out)
{
	struct spot list = spot_field(container, "ports");
	size_t count;

	if (!read_mapping(reader, container, NULL))
		return;
	count = read_sequence(reader, &list);
	for (size_t i = 0; i < count; i++) {
		struct spot item = spot_item(&list, i);

		read_container_port(reader, &item, out);
	}
}

/* An init container with restartPolicy Always is a sidecar and runs as long as the pod; others are gone by then. */
static bool is_sidecar(struct reader *reader, const struct spot *container)
{
	struct spot restart = spot_field(container, "restartPolicy");
	const char *text;

	if (!read_mapping(reader, container, NULL))
		return false;
	text = read_string(reader, &restart);
	return text && !strcmp(text, "Always");
}

static void read_ports(struct reader *reader, const struct spot *spec, struct pod *out)
{
	struct spot containers = spot_field(spec, "containers"), init = spot_field(spec, "initContainers");
	size_t container_count = read_sequence(reader, &containers), init_count = read_sequence(reader, &init);
	size_t names = count_ports(&containers, container_count, "name") + count_ports(&init, init_count, "name");
	size_t host_ports = count_ports(&containers, container_count, "hostPort") +
			    count_ports(&init, init_count, "hostPort");

	out->ports = reader_array(reader, names, sizeof(*out->ports));
	out->host_ports = reader_array(reader, host_ports, sizeof(*out->host_ports));
	if ((names && !out->ports) || (host_ports && !out->host_ports))
		return;
	for (size_t i = 0; i < container_count; i++) {
		struct spot container = spot_item(&containers, i);

		read_container_ports(reader, &container, out);
	}
	for (size_t i = 0; i < init_count; i++) {
		struct spot container = spot_item(&init, i);

		if (is_sidecar(reader, &container))
			read_container_ports(reader, &container, out);
	}
}

/* ------------------------------------------------------------------ annotations */

#define ANNOTATION_PREFIX "egressd.io/"

static bool is_own_annotation(const char *key)
{
	static const char *const known[] = {
		"egressd.io/interface", "egressd.io/netns", "egressd.io/router",
		"egressd.io/place",     "egressd.io/interface-place",
	};

	for (size_t i = 0; i < ARRAY_SIZE(known); i++) {
		if (!strcmp(key, known[i]))
			return true;
	}
	return false;
}

/* A misspelt annotation would leave a pod without enforcement; another version may know it, so it is no error. */
static void warn_unknown_annotations(struct reader *reader, const struct spot *annotations)
{
	for (size_t i = 0; i < annotations->value->count; i++) {
		const struct mapping_field *field = &annotations->value->fields[i];
		struct value at_key = { .line = field->line, .column = field->column };
		struct spot spot = { .parent = annotations, .field = field->key, .value = &at_key };

		if (!strncmp(field->key, ANNOTATION_PREFIX, strlen(ANNOTATION_PREFIX)) &&
		    !is_own_annotation(field->key))
			reader_warn(reader, &spot, "expected an annotation of egressd, found an unknown one");
	}
}

static const char *read_interface(struct reader *reader, const struct spot *spot, struct pod *out)
{
	const char *text = read_string(reader, spot);

	if (!text)
		return NULL;
	if (!syntax_is_interface_name(text)) {
		reader_fail_expected(reader, spot, "the name of a network interface");
		return NULL;
	}
	out->interface_place = reader_place(reader, spot);
	return reader_copy(reader, text);
}

static const char *read_netns(struct reader *reader, const struct spot *spot)
{
	const char *text = read_string(reader, spot);

	if (!text)
		return NULL;
	if (text[0] == '/')
		return reader_copy(reader, text);
	reader_fail_expected(reader, spot, "the absolute path of a network namespace");
	return NULL;
}

static bool read_router(struct reader *reader, const struct spot *spot)
{
	const char *text = read_string(reader, spot);

	if (text && strcmp(text, "true") && strcmp(text, "false"))
		reader_fail_expected(reader, spot, "\"true\" or \"false\"");
	return text && !strcmp(text, "true");
}

static void read_annotations(struct reader *reader, const struct spot *metadata, struct pod *out)
{
	struct spot annotations = spot_field(metadata, "annotations");
	struct spot interface = spot_field(&annotations, "egressd.io/interface");
	struct spot netns = spot_field(&annotations, "egressd.io/netns");
	struct spot router = spot_field(&annotations, "egressd.io/router");
	struct spot place = spot_field(&annotations, "egressd.io/interface-place");
	struct spot mirror = spot_field(&annotations, "kubernetes.io/config.mirror");
	const char *static_uid;

	if (!read_mapping(reader, &annotations, NULL))
		return;
	warn_unknown_annotations(reader, &annotations);
	out->interface = read_interface(reader, &interface, out);
	out->netns = read_netns(reader, &netns);
	/* Where the pod's interface is named, one way or the other. */
	if (!out->interface && out->netns)
		out->interface_place = reader_place(reader, &netns);
	out->interface_place = decode_saved_place(reader, &place, out->interface_place);
	out->router = read_router(reader, &router);
	static_uid = read_string(reader, &mirror);
	if (static_uid && static_uid[0])
		out->static_uid = reader_copy(reader, static_uid);
}

/* ------------------------------------------------------------------ the rest */

static enum pod_phase read_phase(struct reader *reader, const struct spot *spot)
{
	static const char *const names[] = {
		[POD_PENDING] = "Pending", [POD_RUNNING] = "Running", [POD_SUCCEEDED] = "Succeeded",
		[POD_FAILED] = "Failed",   [POD_UNKNOWN] = "Unknown",
	};
	const char *text = read_string(reader, spot);

	if (!text || !text[0])
		return POD_RUNNING;
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		if (!strcmp(text, names[i]))
			return (enum pod_phase)i;
	}
	reader_fail_expected(reader, spot, "Pending, Running, Succeeded, Failed or Unknown");
	return POD_RUNNING;
}

/* The Ready condition; a manifest written by hand has none, and its pod is ready when it runs. */
static bool read_ready(struct reader *reader, const struct spot *list, enum pod_phase phase)
{
	size_t count = read_sequence(reader, list);

	for (size_t i = 0; i < count; i++) {
		struct spot item = spot_item(list, i), type = spot_field(&item, "type");
		struct spot status = spot_field(&item, "status");
		const char *type_text, *status_text;

		if (!read_mapping(reader, &item, NULL))
			continue;
		type_text = read_string(reader, &type);
		status_text = read_string(reader, &status);
		if (type_text && !strcmp(type_text, "Ready"))
			return status_text && !strcmp(status_text, "True");
	}
	return phase == POD_RUNNING;
}

static int64_t read_time(struct reader *reader, const struct spot *spot)
{
	const char *text = read_string(reader, spot);
	int64_t seconds = 0;

	if (text && timestamp_parse(text, &seconds))
		reader_fail_expected(reader, spot, "a time such as 2024-05-01T12:00:00Z");
	return seconds;
}

void decode_pod(struct reader *reader, const struct spot *root)
{
	struct pod *pod = &reader->object->pod;
	struct spot metadata = spot_field(root, "metadata"), spec = spot_field(root, "spec");
	struct spot status = spot_field(root, "status"), phase = spot_field(&status, "phase");
	struct spot created = spot_field(&metadata, "creationTimestamp");
	struct spot deleted = spot_field(&metadata, "deletionTimestamp");
	struct spot conditions = spot_field(&status, "conditions");
	struct spot host_network = spot_field(&spec, "hostNetwork"), node = spot_field(&spec, "nodeName");
	const char *node_name;

	read_annotations(reader, &metadata, pod);
	pod->created = read_time(reader, &created);
	read_time(reader, &deleted);
	pod->terminating = deleted.value;

	read_mapping(reader, &spec, NULL);
	pod->host_network = read_boolean(reader, &host_network, false);
	node_name = read_string(reader, &node);
	pod->node_name = reader_copy(reader, node_name ? node_name : "");
	read_ports(reader, &spec, pod);

	read_mapping(reader, &status, NULL);
	pod->phase = read_phase(reader, &phase);
	pod->ready = read_ready(reader, &conditions, pod->phase);
	read_pod_addresses(reader, &status, pod);
}
