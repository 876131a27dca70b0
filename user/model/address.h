/* SPDX-License-Identifier: Apache-2.0 */
/* IP addresses and prefixes as values. */
#ifndef EGRESSD_MODEL_ADDRESS_H
#define EGRESSD_MODEL_ADDRESS_H

#include <stdbool.h>
#include <stdint.h>

struct ip_address {
	uint8_t family;    /* 4 or 6; 0: unset */
	uint8_t bytes[16]; /* network order; IPv4 in the first four, the rest zero */
};

struct ip_prefix {
	struct ip_address address; /* host bits as written */
	uint8_t length;            /* 0 .. 32 or 0 .. 128 */
};

#define IP_TEXT_SIZE 46        /* INET6_ADDRSTRLEN */
#define IP_PREFIX_TEXT_SIZE 50

/*
 * Strict forms only (RFC 4632, RFC 4291): no leading zeros in IPv4, no zone, no IPv4-mapped IPv6 written as a pod's
 * address is not refused here. Return 0 or -EINVAL; *out is untouched on failure.
 */
int ip_address_parse(const char *text, struct ip_address *out);
int ip_prefix_parse(const char *text, struct ip_prefix *out);
/*
 * As the API server reads what it has accepted ("10.0.0.01/08"): zeros before other digits mean nothing. Elsewhere such
 * numbers may be taken for octal ones.
 */
int ip_address_parse_sloppy(const char *text, struct ip_address *out);
int ip_prefix_parse_sloppy(const char *text, struct ip_prefix *out);
const char *ip_address_format(const struct ip_address *address, char text[IP_TEXT_SIZE]);
const char *ip_prefix_format(const struct ip_prefix *prefix, char text[IP_PREFIX_TEXT_SIZE]);

/* Order: family, then bytes. Unused bytes must be zero. */
int ip_address_compare(const struct ip_address *a, const struct ip_address *b);
bool ip_prefix_contains(const struct ip_prefix *prefix, const struct ip_address *address);
/* ::ffff:0:0/96: no packet has such a destination, and what else it should mean differs from program to program. */
bool address_is_mapped(const struct ip_address *address);
bool ip_prefix_covers(const struct ip_prefix *outer, const struct ip_prefix *inner);

#endif
