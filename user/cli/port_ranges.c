/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/port_ranges.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "cli/memory.h"
#include "cli/output.h"
#include "cli/protocol.h"

static const char *const protocol_names[EGRESS_PORT_PROTOCOLS + 1] = {
	[EGRESS_PORT_TCP] = "TCP",
	[EGRESS_PORT_UDP] = "UDP",
	[EGRESS_PORT_SCTP] = "SCTP",
	[PORTLESS] = "other",
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

int bank_port_classes(const struct bank *bank, struct port_ranges *out)
{
	struct port_range portless = {.protocol = PORTLESS};
	unsigned int protocol, port;

	for (protocol = 0; protocol < EGRESS_PORT_PROTOCOLS; protocol++) {
		for (port = 0; port <= UINT16_MAX; port++) {
			struct port_range range = {protocol, (uint16_t)port, (uint16_t)port, 0};

			if (bank_port_class(bank, protocol_of_index(protocol), (uint16_t)port, &range.value))
				return -EINVAL;
			port_ranges_append(out, &range);
		}
	}
	port_ranges_append(out, &portless);
	return 0;
}

int bank_row_cells(const struct bank *bank, const struct port_ranges *classes, uint32_t row, struct port_ranges *out)
{
	size_t i;

	for (i = 0; i < classes->count; i++) {
		struct port_range range = classes->items[i];

		if (bank_cell(bank, row, range.value, &range.value))
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

const char *port_range_protocol(const struct port_range *range)
{
	return protocol_names[range->protocol];
}

static bool is_all(const struct port_range *range)
{
	return range->protocol == PORTLESS || (range->first == 0 && range->last == UINT16_MAX);
}

const char *port_range_text(const struct port_range *range, char text[PORT_RANGE_TEXT_SIZE])
{
	if (range->protocol == PORTLESS)
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
	return ranges->count == EGRESS_PORT_PROTOCOLS + 1;
}

static void print_ranges(const struct port_ranges *ranges, FILE *file)
{
	size_t i;

	for (i = 0; i < ranges->count; i++) {
		const struct port_range *range = &ranges->items[i];
		char text[PORT_RANGE_TEXT_SIZE];

		if (i && range->protocol == range[-1].protocol)
			fprintf(file, ", %s", port_range_text(range, text));
		else if (range->protocol == PORTLESS)
			fprintf(file, "%sother protocols", i ? "; " : "");
		else
			fprintf(file, "%s%s %s", i ? "; " : "", port_range_protocol(range),
				port_range_text(range, text));
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
		json_t *entry = json_new_object();

		json_put_text(entry, "protocol", port_range_protocol(range));
		if (range->protocol != PORTLESS) {
			json_put_number(entry, "first", range->first);
			json_put_number(entry, "last", range->last);
		}
		json_append(array, entry);
	}
	return array;
}
