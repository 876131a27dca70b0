/* SPDX-License-Identifier: Apache-2.0 */
/* What a row says, as ranges of ports instead of 196,609 cells. */
#ifndef EGRESSD_CLI_PORT_RANGES_H
#define EGRESSD_CLI_PORT_RANGES_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <jansson.h>

#include "cli/bank.h"

/* The protocols without ports, behind the EGRESS_PORT_PROTOCOLS that have some: tunnels, and all others. */
#define PORTLESS EGRESS_PORT_PROTOCOLS
#define TUNNELS (EGRESS_PORT_PROTOCOLS + 1)

struct port_range {
	uint32_t protocol;    /* enum egress_port_protocol, or PORTLESS or TUNNELS with ports 0 .. 0 */
	uint16_t first, last; /* host order */
	uint32_t value;       /* what is the same in the whole range: a port class, a cell, ... */
};

/* By protocol, then by port. */
struct port_ranges {
	struct port_range *items;
	size_t count, capacity;
};
void port_ranges_clear(struct port_ranges *ranges);

/* A range that touches the last one and has its value is joined to it. */
void port_ranges_append(struct port_ranges *ranges, const struct port_range *range);

/*
 * Port classes of a bank, covering every port, PORTLESS and TUNNELS. Ranges end where the usual ports of tunnels are, too.
 * 0 or -EINVAL.
 */
int bank_port_classes(const struct bank *bank, struct port_ranges *out);
/* A cell of a row for a range of the bank's port classes, as packets are judged by it. 0 or -EINVAL. */
int bank_range_cell(const struct bank *bank, uint32_t row, const struct port_range *class, uint32_t *cell);
/* The cells of a row, given the bank's port classes. 0 or -EINVAL. */
int bank_row_cells(const struct bank *bank, const struct port_ranges *classes, uint32_t row, struct port_ranges *out);
/* Only the ranges whose cell allows, with value 0, so that ranges of several rules are joined. */
void port_ranges_allowed(const struct port_ranges *cells, struct port_ranges *out);

/*
 * "TCP 80, 8000-8080; UDP all", with `nothing` where there is no range and "everything" for all of them. Caller
 * frees.
 */
char *port_ranges_text(const struct port_ranges *ranges, const char *nothing);
/* [{"protocol":"TCP","first":80,"last":80}, ..., {"protocol":"other"}]; new reference. */
json_t *port_ranges_encode(const struct port_ranges *ranges);
/* "TCP", "other", ...; NULL where the range before has said it: tunnels that are treated as the others are. */
const char *port_ranges_protocol(const struct port_ranges *ranges, size_t index);
/* "80", "8000-8080", "all"; "-" where there are no ports. */
#define PORT_RANGE_TEXT_SIZE 16
const char *port_range_text(const struct port_range *range, char text[PORT_RANGE_TEXT_SIZE]);

#endif
