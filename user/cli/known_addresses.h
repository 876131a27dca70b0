/* SPDX-License-Identifier: Apache-2.0 */
/* Whose an address is, by the objects: to put a name beside it. */
#ifndef EGRESSD_CLI_KNOWN_ADDRESSES_H
#define EGRESSD_CLI_KNOWN_ADDRESSES_H

#include <stdbool.h>
#include <stddef.h>

#include "model/address.h"
#include "model/store.h"

struct known_address {
	struct ip_address address;
	const struct object *object; /* a pod or a service */
};

/* Sorted by address. Borrows the store's objects. */
struct known_addresses {
	struct known_address *items;
	size_t count, capacity;
};

/* Adds the addresses of all pods that run and of all services. store may be NULL. */
void known_addresses_read(struct store *store, struct known_addresses *out);
void known_addresses_clear(struct known_addresses *known);
/* NULL: nobody's. */
const struct object *known_addresses_find(const struct known_addresses *known, const struct ip_address *address);
/* "pod NS/NAME", "service NS/NAME"; the caller frees it. */
char *known_object_text(const struct object *object);

#endif
