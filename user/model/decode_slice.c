/* SPDX-License-Identifier: Apache-2.0 */
/* discovery.k8s.io/v1 EndpointSlice: the backends of a service. Fields that are not read are passed over. */
#include <string.h>

#include "model/decode_kind.h"
#include "model/syntax.h"

#define SERVICE_LABEL "kubernetes.io/service-name"

/* The family that addresses of this type have; 0: host names, which are no addresses. */
static uint8_t read_family(struct reader *reader, const struct spot *spot)
{
	const char *text = read_string(reader, spot);

	if (text && !strcmp(text, "IPv4"))
		return 4;
	if (text && !strcmp(text, "IPv6"))
		return 6;
	if (text ? strcmp(text, "FQDN") != 0 : !spot->value)
		reader_fail_expected(reader, spot, "IPv4, IPv6 or FQDN");
	return 0;
}

static void read_endpoint_addresses(struct reader *reader, const struct spot *spot, uint8_t family,
				    struct slice_endpoint *out)
{
	size_t count = read_sequence(reader, spot);

	out->addresses = reader_array(reader, count, sizeof(*out->addresses));
	for (size_t i = 0; out->addresses && i < count; i++) {
		struct spot item = spot_item(spot, i);
		struct ip_address address;

		if (!read_address(reader, &item, &address))
			continue;
		if (address.family != family)
			reader_fail_expected(reader, &item, family == 4 ? "an IPv4 address, as addressType says" :
									  "an IPv6 address, as addressType says");
		address_list_add(out->addresses, &out->address_count, &address);
	}
}

static const char *read_target_pod(struct reader *reader, const struct spot *spot)
{
	struct spot kind = spot_field(spot, "kind"), name = spot_field(spot, "name");
	const char *kind_text, *name_text;

	if (!read_mapping(reader, spot, NULL))
		return NULL;
	kind_text = read_string(reader, &kind);
	name_text = read_string(reader, &name);
	if (!kind_text || strcmp(kind_text, "Pod") || !name_text || !name_text[0])
		return NULL;
	return reader_copy(reader, name_text);
}

static void read_endpoint(struct reader *reader, const struct spot *spot, uint8_t family, struct slice_endpoint *out)
{
	struct spot addresses = spot_field(spot, "addresses"), conditions = spot_field(spot, "conditions");
	struct spot target = spot_field(spot, "targetRef");
	struct spot ready = spot_field(&conditions, "ready"), serving = spot_field(&conditions, "serving");
	struct spot terminating = spot_field(&conditions, "terminating");

	if (!read_mapping(reader, spot, NULL))
		return;
	read_mapping(reader, &conditions, NULL);
	/* discovery/v1 of both: "A nil value should be interpreted as true". */
	out->ready = read_boolean(reader, &ready, true);
	out->serving = read_boolean(reader, &serving, true);
	out->terminating = read_boolean(reader, &terminating, false);
	out->target_pod = read_target_pod(reader, &target);
	read_endpoint_addresses(reader, &addresses, family, out);
}

static void read_endpoints(struct reader *reader, const struct spot *spot, uint8_t family, struct endpoint_slice *out)
{
	size_t count = read_sequence(reader, spot);

	if (!family)
		return;
	out->endpoints = reader_array(reader, count, sizeof(*out->endpoints));
	if (!out->endpoints)
		return;
	out->endpoint_count = count;
	for (size_t i = 0; i < count; i++) {
		struct spot item = spot_item(spot, i);

		read_endpoint(reader, &item, family, &out->endpoints[i]);
	}
}

static void read_slice_port(struct reader *reader, const struct spot *spot, struct slice_port *out)
{
	struct spot name = spot_field(spot, "name"), protocol = spot_field(spot, "protocol");
	struct spot port = spot_field(spot, "port");
	const char *text;

	out->name = "";
	if (!read_mapping(reader, spot, NULL))
		return;
	text = read_string(reader, &name);
	if (text && text[0] && !syntax_is_dns_label(text))
		reader_fail_expected(reader, &name, "a lower-case RFC 1123 label of at most 63 characters");
	out->name = reader_copy(reader, text ? text : "");
	out->transport = read_transport(reader, &protocol);
	out->has_port = port.value;
	out->port = read_port_number(reader, &port);
}

static void read_slice_ports(struct reader *reader, const struct spot *spot, struct endpoint_slice *out)
{
	size_t count = read_sequence(reader, spot);

	out->ports = reader_array(reader, count, sizeof(*out->ports));
	if (!out->ports)
		return;
	out->port_count = count;
	for (size_t i = 0; i < count; i++) {
		struct spot item = spot_item(spot, i);

		read_slice_port(reader, &item, &out->ports[i]);
	}
}

void decode_endpoint_slice(struct reader *reader, const struct spot *root)
{
	struct endpoint_slice *slice = &reader->object->slice;
	struct spot type = spot_field(root, "addressType"), endpoints = spot_field(root, "endpoints");
	struct spot ports = spot_field(root, "ports");
	const char *service = label_list_get(&reader->object->labels, SERVICE_LABEL);

	slice->service = service ? service : "";
	read_endpoints(reader, &endpoints, read_family(reader, &type), slice);
	read_slice_ports(reader, &ports, slice);
}
