/* SPDX-License-Identifier: Apache-2.0 */
/* v1 Node: its addresses. Fields that are not read are passed over. */
#include <string.h>

#include "model/decode_kind.h"

static void read_node_address(struct reader *reader, const struct spot *spot, struct node *out)
{
	struct spot type = spot_field(spot, "type"), text = spot_field(spot, "address");
	struct ip_address address;
	const char *type_text;

	if (!read_mapping(reader, spot, NULL))
		return;
	type_text = read_string(reader, &type);
	/* Host names and DNS names are no addresses. */
	if (!type_text || (strcmp(type_text, "InternalIP") && strcmp(type_text, "ExternalIP")))
		return;
	if (read_address(reader, &text, &address))
		address_list_add(out->addresses, &out->address_count, &address);
}

void decode_node(struct reader *reader, const struct spot *root)
{
	struct node *node = &reader->object->node;
	struct spot status = spot_field(root, "status"), list = spot_field(&status, "addresses");
	size_t count;

	read_mapping(reader, &status, NULL);
	count = read_sequence(reader, &list);
	node->addresses = reader_array(reader, count, sizeof(*node->addresses));
	for (size_t i = 0; node->addresses && i < count; i++) {
		struct spot item = spot_item(&list, i);

		read_node_address(reader, &item, node);
	}
}
