/* SPDX-License-Identifier: Apache-2.0 */
/* v1 Service: its addresses and ports. Fields that are not read are passed over. */
#include <string.h>

#include "model/decode_kind.h"
#include "model/syntax.h"

/* ------------------------------------------------------------------ ports */

/* 0 and "" mean the port itself, as for the API server's defaults. */
static void read_target(struct reader *reader, const struct spot *spot, struct service_port *out)
{
	static const char expected[] = "1..65535 or an IANA service name";
	int64_t number;

	if (!spot->value)
		return;
	if (spot->value->type == VALUE_STRING) {
		if (!spot->value->text[0])
			return;
		if (!syntax_is_port_name(spot->value->text))
			reader_fail_expected(reader, spot, expected);
		out->target_kind = TARGET_NAME;
		out->target_name = reader_copy(reader, spot->value->text);
	} else if (read_integer(reader, spot, 0, UINT16_MAX, expected, &number) && number) {
		out->target_kind = TARGET_NUMBER;
		out->target_port = (uint16_t)number;
	}
}

static void read_service_port(struct reader *reader, const struct spot *spot, struct service_port *out)
{
	struct spot name = spot_field(spot, "name"), protocol = spot_field(spot, "protocol");
	struct spot port = spot_field(spot, "port"), target = spot_field(spot, "targetPort");
	struct spot node_port = spot_field(spot, "nodePort");
	const char *text;
	int64_t number;

	out->name = "";
	if (!read_mapping(reader, spot, NULL))
		return;
	text = read_string(reader, &name);
	if (text && text[0] && !syntax_is_dns_label(text))
		reader_fail_expected(reader, &name, "a lower-case RFC 1123 label of at most 63 characters");
	out->name = reader_copy(reader, text ? text : "");
	out->transport = read_transport(reader, &protocol);
	if (!port.value)
		reader_fail_expected(reader, &port, "1..65535");
	out->port = read_port_number(reader, &port);
	read_target(reader, &target, out);
	if (read_integer(reader, &node_port, 0, UINT16_MAX, "0..65535", &number))
		out->node_port = (uint16_t)number;
}

static void read_service_ports(struct reader *reader, const struct spot *spot, struct service *out)
{
	size_t count = read_sequence(reader, spot);

	out->ports = reader_array(reader, count, sizeof(*out->ports));
	if (!out->ports)
		return;
	out->port_count = count;
	for (size_t i = 0; i < count; i++) {
		struct spot item = spot_item(spot, i);

		read_service_port(reader, &item, &out->ports[i]);
	}
}

/* ------------------------------------------------------------------ addresses */

/* A cluster IP is an address, "None" (headless), or "" (not given yet). */
static void read_cluster_ip(struct reader *reader, const struct spot *spot, struct service *out)
{
	struct ip_address address;

	if (spot->value && spot->value->type == VALUE_STRING) {
		if (!strcmp(spot->value->text, "None")) {
			out->headless = true;
			return;
		}
		if (!spot->value->text[0])
			return;
	}
	if (read_address(reader, spot, &address))
		address_list_add(out->cluster_ips, &out->cluster_ip_count, &address);
}

/* clusterIP holds the first of clusterIPs, or the only one where the list is absent. */
static void read_cluster_ips(struct reader *reader, const struct spot *spec, struct service *out)
{
	struct spot list = spot_field(spec, "clusterIPs"), single = spot_field(spec, "clusterIP");
	size_t count = read_sequence(reader, &list);

	out->cluster_ips = reader_array(reader, count ? count : 1, sizeof(*out->cluster_ips));
	if (!out->cluster_ips)
		return;
	for (size_t i = 0; i < count; i++) {
		struct spot item = spot_item(&list, i);

		read_cluster_ip(reader, &item, out);
	}
	if (!count && single.value)
		read_cluster_ip(reader, &single, out);
}

/* With ipMode Proxy the node leaves the packets to the load balancer: the address is then like any outside one. */
static void read_load_balancer_ip(struct reader *reader, const struct spot *spot, struct service *out)
{
	struct spot ip = spot_field(spot, "ip"), mode = spot_field(spot, "ipMode");
	struct ip_address address;
	const char *text;

	if (!read_mapping(reader, spot, NULL))
		return;
	text = read_string(reader, &mode);
	if (text && strcmp(text, "VIP") && strcmp(text, "Proxy"))
		reader_fail_expected(reader, &mode, "VIP or Proxy");
	/* One with a host name alone. */
	if (!ip.value || (ip.value->type == VALUE_STRING && !ip.value->text[0]))
		return;
	if (read_address(reader, &ip, &address) && (!text || strcmp(text, "Proxy")))
		address_list_add(out->external_ips, &out->external_ip_count, &address);
}

static void read_external_ips(struct reader *reader, const struct spot *spec, const struct spot *status,
			      struct service *out)
{
	struct spot external = spot_field(spec, "externalIPs"), balancer = spot_field(status, "loadBalancer");
	struct spot ingress = spot_field(&balancer, "ingress");
	size_t external_count = read_sequence(reader, &external), ingress_count = read_sequence(reader, &ingress);

	read_mapping(reader, &balancer, NULL);
	out->external_ips = reader_array(reader, external_count + ingress_count, sizeof(*out->external_ips));
	if (!out->external_ips)
		return;
	for (size_t i = 0; i < external_count; i++) {
		struct spot item = spot_item(&external, i);
		struct ip_address address;

		if (read_address(reader, &item, &address))
			address_list_add(out->external_ips, &out->external_ip_count, &address);
	}
	for (size_t i = 0; i < ingress_count; i++) {
		struct spot item = spot_item(&ingress, i);

		read_load_balancer_ip(reader, &item, out);
	}
}

/* ------------------------------------------------------------------ the rest */

static bool read_is_external_name(struct reader *reader, const struct spot *spot)
{
	const char *text = read_string(reader, spot);

	if (!text || !strcmp(text, "ClusterIP") || !strcmp(text, "NodePort") || !strcmp(text, "LoadBalancer"))
		return false;
	if (!strcmp(text, "ExternalName"))
		return true;
	reader_fail_expected(reader, spot, "ClusterIP, NodePort, LoadBalancer or ExternalName");
	return false;
}

/* Does a node send only to the backends that it has itself? */
static bool read_is_local(struct reader *reader, const struct spot *spot)
{
	const char *text = read_string(reader, spot);

	if (text && text[0] && strcmp(text, "Cluster") && strcmp(text, "Local"))
		reader_fail_expected(reader, spot, "Cluster or Local");
	return text && !strcmp(text, "Local");
}

void decode_service(struct reader *reader, const struct spot *root)
{
	struct service *service = &reader->object->service;
	struct spot spec = spot_field(root, "spec"), status = spot_field(root, "status");
	struct spot type = spot_field(&spec, "type"), ports = spot_field(&spec, "ports");
	struct spot selector = spot_field(&spec, "selector");
	struct spot not_ready = spot_field(&spec, "publishNotReadyAddresses");
	struct spot internal = spot_field(&spec, "internalTrafficPolicy");
	struct spot external = spot_field(&spec, "externalTrafficPolicy");

	read_mapping(reader, &spec, NULL);
	read_mapping(reader, &status, NULL);
	service->external_name = read_is_external_name(reader, &type);
	read_service_ports(reader, &ports, service);
	read_label_map_selector(reader, &selector, &service->selector);
	service->has_selector = service->selector.count;
	service->publish_not_ready = read_boolean(reader, &not_ready, false);
	service->node_local = read_is_local(reader, &internal);
	service->node_local |= read_is_local(reader, &external);
	/* A name in DNS has no address of its own, whatever is left in the field from before. */
	if (!service->external_name)
		read_cluster_ips(reader, &spec, service);
	read_external_ips(reader, &spec, &status, service);
}
