/* SPDX-License-Identifier: Apache-2.0 */
/* Sets of addresses, as ranges inside and as prefixes for people. */
#ifndef EGRESSD_CLI_PREFIXES_H
#define EGRESSD_CLI_PREFIXES_H

#include <stdbool.h>
#include <stddef.h>

#include "model/address.h"

struct address_range {
	struct ip_address first, last; /* of one family */
};

/* Sorted, apart from each other. */
struct address_set {
	struct address_range *items;
	size_t count, capacity;
};

struct prefix_list {
	struct ip_prefix *items;
	size_t count, capacity;
};

void address_set_clear(struct address_set *set);
void prefix_list_clear(struct prefix_list *list);

/* Ranges must come in order; one that touches the last is joined to it. */
void address_set_append(struct address_set *set, const struct ip_address *first, const struct ip_address *last);
bool address_range_is_single(const struct address_range *range);

/* The address after this one; false after the last of its family. */
bool address_next(const struct ip_address *address, struct ip_address *out);
bool address_previous(const struct ip_address *address, struct ip_address *out);

/* "10.0.0.0/8" where a prefix says it, else "10.0.0.1-10.0.0.9". Returns text. */
#define ADDRESS_RANGE_TEXT_SIZE (2 * IP_TEXT_SIZE)
const char *address_range_text(const struct address_range *range, char text[ADDRESS_RANGE_TEXT_SIZE]);

/* The fewest prefixes that make up the range, appended in order. */
void prefixes_of_range(const struct address_range *range, struct prefix_list *out);

/*
 * The shortest text of a set: "10.0.0.0/8, 192.168.1.7/32", or "0.0.0.0/0 except 10.0.0.0/8" where that has fewer
 * prefixes. At most `limit` prefixes are spelled out, then "and N more" (0: all). The caller frees it.
 */
char *address_set_text(const struct address_set *set, size_t limit);

#endif
