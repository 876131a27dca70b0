/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where this node's own network has an address: behind the interface that a host route (/32, /128) leads to, or, where
 * the route leads to a bridge, behind the port that the bridge's forwarding table has for the address' neighbour. That is
 * where the node sends what is meant for the address; whose the address is it does not say.
 */
#ifndef EGRESSD_DATAPATH_ADDRESS_LOCATION_H
#define EGRESSD_DATAPATH_ADDRESS_LOCATION_H

#include <net/if.h>
#include <stdint.h>

struct address_location {
	uint32_t ifindex;         /* 0: the network does not say */
	char name[IF_NAMESIZE];   /* of that interface */
	char bridge[IF_NAMESIZE]; /* whose port it is; "": a host route leads there */
};

/* What is read of the kernel's tables for the first address counts for all that are asked for: it lives for one look. */
struct address_locator;
/* 0 or -errno. */
int address_locator_new(struct address_locator **out);
void address_locator_free(struct address_locator *locator);

/*
 * address: 4 bytes (family 4) or 16 (family 6), network byte order. mac: for a bridge that knows no neighbour of the
 * address; NULL: unknown. 0 also where the network does not say; -errno where it cannot be asked.
 */
int address_locate(struct address_locator *locator, uint8_t family, const uint8_t *address, const uint8_t mac[6],
		   struct address_location *out);

#endif
