/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The addresses of a family, cut into ranges that each have a value. IPv4 and IPv6 alike: an address is a number, the
 * first byte on the wire the most significant.
 */
#ifndef EGRESSD_POLICY_RANGES_H
#define EGRESSD_POLICY_RANGES_H

#include <stddef.h>
#include <stdint.h>

#include "model/address.h"
#include "model/object.h"
#include "policy/number_sets.h"

typedef unsigned __int128 address_number;

enum family { FAMILY_IPV4, FAMILY_IPV6, FAMILY_COUNT };

static inline enum family address_family(const struct ip_address *address)
{
	return address->family == 4 ? FAMILY_IPV4 : FAMILY_IPV6;
}

/* Bits of an address. */
static inline unsigned int family_bits(enum family family)
{
	return family == FAMILY_IPV4 ? 32 : 128;
}

/* The highest number that has this many bits. */
static inline address_number highest_number(unsigned int bits)
{
	return bits >= 128 ? ~(address_number)0 : ((address_number)1 << bits) - 1;
}

address_number address_to_number(const struct ip_address *address);
void address_from_number(enum family family, address_number number, struct ip_address *out);

/*
 * Range i begins at ranges_start(i) and ends where the next one begins; the first start is 0, the last range ends with
 * the family. Neighbours differ. A list of a million blocks has two million: starts are kept as addresses of IPv4 while
 * all are such numbers.
 */
struct ranges {
	uint32_t *narrow;     /* NULL where there is `wide` */
	address_number *wide; /* NULL: all starts are narrow */
	uint32_t *value;
	size_t count, start_capacity, value_capacity; /* of the starts that there are */
};

static inline address_number ranges_start(const struct ranges *ranges, size_t i)
{
	return ranges->wide ? ranges->wide[i] : ranges->narrow[i];
}

/* From `start` on the value is this; starts must come in order, an equal one overwrites. 0 or -ENOMEM. */
int ranges_append(struct ranges *ranges, address_number start, uint32_t value);
/* Index of the range that holds the address. */
size_t ranges_find(const struct ranges *ranges, address_number address);
void ranges_clear(struct ranges *ranges);

/* Which blocks hold which addresses: collects them, then gives ranges whose values are sets of owners. */
struct block_edge {
	address_number at;
	uint32_t owner;
	uint32_t opens; /* 1: a range of the owner begins here; 0: one has ended just before */
};

struct block_collector {
	/* Of IPv4, at << 32 | owner << 1 | opens: a million blocks have two million edges. */
	uint64_t *narrow;
	struct block_edge *wide; /* of IPv6 */
	size_t count[FAMILY_COUNT], capacity[FAMILY_COUNT];
};

/* The block's addresses, less those of its excepts, belong to `owner`, which is below 2^31. 0 or -ENOMEM. */
int block_collector_add(struct block_collector *collector, const struct ip_block *block, uint32_t owner);
/* owners: all owners are below it. 0, -ENOMEM or -E2BIG. */
int block_collector_ranges(struct block_collector *collector, enum family family, uint32_t owners,
			   struct number_sets *sets, struct ranges *out);
void block_collector_clear(struct block_collector *collector);

#endif
