/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tables in force, step by step: class, row, port class and cell apart, where tables_verdict() gives only the
 * end. Reads the words as the kernel does (walk.h), on the mapped map of a node as well as on the heap of an offline
 * tool.
 */
#ifndef EGRESSD_CLI_BANK_H
#define EGRESSD_CLI_BANK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <egressd/tables.h>

#include "model/address.h"
#include "policy/tables.h"

/* A copy of the bank's words; the tables they point to are borrowed and change when the agent writes them. */
struct bank {
	struct table_view memory;
	struct egress_control control;
	struct egress_bank words;
};

/* 0; -ENODATA: no generation in force; -EINVAL: not tables of this version. */
int bank_open(const uint32_t *words, size_t word_count, struct bank *out);
/* False when the agent has put another generation in force since; what was read meanwhile may be of both. */
bool bank_in_force(const struct bank *bank);

/* All: 0, or -EINVAL where the tables do not hold together. `set` must be an address, not an EGRESS_SET_* word. */
int bank_set(const struct bank *bank, uint32_t endpoint_id, uint32_t *set);
int bank_class(const struct bank *bank, const struct ip_address *address, uint32_t *class);
int bank_row(const struct bank *bank, uint32_t set, uint32_t class, uint32_t *row);
int bank_cell(const struct bank *bank, uint32_t row, uint32_t port_class, uint32_t *cell);
/* The port is ignored where the protocol has none. */
int bank_port_class(const struct bank *bank, uint8_t protocol, uint16_t port, uint32_t *port_class);

bool set_is_address(uint32_t set);

/*
 * Calls back for each range of addresses of one class, in order, IPv4 first; neighbouring ranges differ in class. A
 * non-zero return ends it and is returned. -EINVAL where the tables do not hold together.
 */
struct class_range {
	struct ip_address first, last; /* of one family */
	uint32_t class;
};
typedef int (*class_visitor)(const struct class_range *range, void *data);
int bank_each_class(const struct bank *bank, class_visitor visit, void *data);

#endif
