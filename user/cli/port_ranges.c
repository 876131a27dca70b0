/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/port_ranges.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "cli/memory.h"
#include "cli/output.h"
#include "cli/protocol.h"

#define PROTOCOL_GROUPS (EGRESS_PORT_PROTOCOLS + 2)

static const char *const protocol_names[PROTOCOL_GROUPS] = {
	[EGRESS_PORT_TCP] = "TCP",
	[EGRESS_PORT_UDP] = "UDP",
	[EGRESS_PORT_SCTP] = "SCTP",
	[PORTLESS] = "other but tunnel",
	[TUNNELS] = "tunnel",
};

void port_ranges_clear(struct port_ranges *ranges)
{
	free(ranges->items);
	*ranges = (struct port_ranges){0};
}

void port_ranges_append(struct port_ranges *ranges, const struct port_range *range)
{
	struct port_range *last = ranges->count ? &ranges->items[ranges->count - 1] : NULL;

	if (last && last->protocol == range->protocol && last->value == range->value && last->last + 1 == range->first)
		last->last = range->last;
	else
		array_push(ranges->items, ranges->count, ranges->capacity, *range);
}

static bool has_ports(const struct port_range *range)
{
	return range->protocol < EGRESS_PORT_PROTOCOLS;
}

static bool is_tunnel(unsigned int protocol, unsigned int port)
{
	return egress_node_tunnel(protocol_of_index(protocol), (uint16_t)port);
}

int bank_port_classes(const struct bank *bank, struct port_ranges *out)
{
	const struct port_range portless = {.protocol = PORTLESS}, tunnels = {.protocol = TUNNELS};
	unsigned int protocol, port;

	for (protocol = 0; protocol < EGRESS_PORT_PROTOCOLS; protocol++) {
		for (port = 0; port <= UINT16_MAX; port++) {
			struct port_range range = {protocol, (uint16_t)port, (uint16_t)port, 0};

			if (bank_port_class(bank, protocol_of_index(protocol), (uint16_t)port, &range.value))
				return -EINVAL;
			if (port && is_tunnel(protocol, port) != is_tunnel(protocol, port - 1))
				array_push(out->items, out->count, out->capacity, range);
			else
				port_ranges_append(out, &range);
		}
	}
	port_ranges_append(out, &portless);
	port_ranges_append(out, &tunnels);
	return 0;
}

int bank_range_cell(const struct bank *bank, uint32_t row, const struct port_range *class, uint32_t *cell)
{
	uint8_t protocol = IPPROTO_ICMP;
	uint32_t found;

	if (has_ports(class))
		protocol = protocol_of_index(class->protocol);
	else if (class->protocol == TUNNELS)
		protocol = IPPROTO_GRE;
	if (bank_cell(bank, row, class->value, &found))
		return -EINVAL;
	*cell = egress_packet_cell(found, protocol, class->first);
	return 0;
}

int bank_row_cells(const struct bank *bank, const struct port_ranges *classes, uint32_t row, struct port_ranges *out)
{
	size_t i;

	for (i = 0; i < classes->count; i++) {
		struct port_range range = classes->items[i];

		if (bank_range_cell(bank, row, &classes->items[i], &range.value))
			return -EINVAL;
		port_ranges_append(out, &range);
	}
	return 0;
}

void port_ranges_allowed(const struct port_ranges *cells, struct port_ranges *out)
{
	size_t i;

	for (i = 0; i < cells->count; i++) {
		struct port_range range = cells->items[i];

		if (!(range.value & EGRESS_CELL_ALLOW))
			continue;
		range.value = 0;
		port_ranges_append(out, &range);
	}
}

static bool is_all(const struct port_range *range)
{
	return !has_ports(range) || (range->first == 0 && range->last == UINT16_MAX);
}

/* Whether this range and the next are PORTLESS and TUNNELS with one value. */
static bool is_all_portless(const struct port_ranges *ranges, size_t index)
{
	const struct port_range *range = &ranges->items[index];

	return index + 1 < ranges->count && range->protocol == PORTLESS && range[1].protocol == TUNNELS &&
	       range->value == range[1].value;
}

const char *port_ranges_protocol(const struct port_ranges *ranges, size_t index)
{
	if (is_all_portless(ranges, index))
		return "other";
	if (index && is_all_portless(ranges, index - 1))
		return NULL;
	return protocol_names[ranges->items[index].protocol];
}

const char *port_range_text(const struct port_range *range, char text[PORT_RANGE_TEXT_SIZE])
{
	if (!has_ports(range))
		snprintf(text, PORT_RANGE_TEXT_SIZE, "-");
	else if (is_all(range))
		snprintf(text, PORT_RANGE_TEXT_SIZE, "all");
	else if (range->first == range->last)
		snprintf(text, PORT_RANGE_TEXT_SIZE, "%u", range->first);
	else
		snprintf(text, PORT_RANGE_TEXT_SIZE, "%u-%u", range->first, range->last);
	return text;
}

static bool is_everything(const struct port_ranges *ranges)
{
	size_t i;

	for (i = 0; i < ranges->count; i++)
		if (!is_all(&ranges->items[i]))
			return false;
	return ranges->count == PROTOCOL_GROUPS;
}

static void print_ranges(const struct port_ranges *ranges, FILE *file)
{
	size_t i;

	for (i = 0; i < ranges->count; i++) {
		const struct port_range *range = &ranges->items[i];
		const char *protocol = port_ranges_protocol(ranges, i);
		char text[PORT_RANGE_TEXT_SIZE];

		if (i && range->protocol == range[-1].protocol)
			fprintf(file, ", %s", port_range_text(range, text));
		else if (has_ports(range))
			fprintf(file, "%s%s %s", i ? "; " : "", protocol, port_range_text(range, text));
		else if (protocol)
			fprintf(file, "%s%s protocols", i ? "; " : "", protocol);
	}
}

char *port_ranges_text(const struct port_ranges *ranges, const char *nothing)
{
	char *text = NULL;
	size_t size;
	FILE *file;

	if (!ranges->count)
		return copy_text(nothing);
	if (is_everything(ranges))
		return copy_text("everything");
	file = open_memstream(&text, &size);
	if (!file)
		out_of_memory();
	print_ranges(ranges, file);
	if (fclose(file) || !text)
		out_of_memory();
	return text;
}

json_t *port_ranges_encode(const struct port_ranges *ranges)
{
	json_t *array = json_new_array();
	size_t i;

	for (i = 0; i < ranges->count; i++) {
		const struct port_range *range = &ranges->items[i];
		const char *protocol = port_ranges_protocol(ranges, i);
		json_t *entry;

		if (!protocol)
			continue;
		entry = json_new_object();
		json_put_text(entry, "protocol", protocol);
		if (has_ports(range)) {
			json_put_number(entry, "first", range->first);
			json_put_number(entry, "last", range->last);
		}
		json_append(array, entry);
	}
	return array;
}
