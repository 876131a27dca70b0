/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lists of prefixes to measure with, the same ones in every run.
 *
 *   random      prefixes anywhere: IPv4 of 20 to 32 bits, IPv6 of 32 to 64 bits in the /16s that registries give out
 *   clustered   as published lists are, runs of neighbours: eight prefixes in one /24 (IPv6: /48), those in 4,096 /16s
 *               (IPv6: 2,048 /32s)
 */
#ifndef EGRESSD_BENCH_LISTS_H
#define EGRESSD_BENCH_LISTS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/address.h"

#define LIST_RUN 8 /* neighbours in a clustered list */

struct list {
	unsigned int family; /* 4 or 6 */
	bool clustered;
	struct ip_prefix *prefixes;
	size_t count;
};

/* xorshift64*: a sequence that is the same everywhere. */
static inline uint64_t list_random(uint64_t *state)
{
	*state ^= *state >> 12;
	*state ^= *state << 25;
	*state ^= *state >> 27;
	return *state * 0x2545f4914f6cdd1dull;
}

static inline uint32_t list_random_below(uint64_t *state, uint32_t limit)
{
	return (uint32_t)((list_random(state) >> 32) * limit >> 32);
}

/* What a number stands for, scattered: bijective on 32 bits. */
static inline uint32_t list_scatter(uint32_t number)
{
	number = (number ^ number >> 16) * 0x7feb352du;
	number = (number ^ number >> 15) * 0x846ca68bu;
	return number ^ number >> 16;
}

/* 2001::/16, 2400::/16 .. 2408::/16, 2600::/16 .. 2607::/16, 2a00::/16 .. 2a0f::/16 */
static inline void list_registry6(uint8_t bytes[16], uint32_t number)
{
	static const struct {
		uint16_t first, count;
	} blocks[] = {{0x2001, 1}, {0x2400, 9}, {0x2600, 8}, {0x2a00, 16}};
	uint32_t index = number % 34, i;

	for (i = 0; index >= blocks[i].count; i++)
		index -= blocks[i].count;
	bytes[0] = (uint8_t)((blocks[i].first + index) >> 8);
	bytes[1] = (uint8_t)(blocks[i].first + index);
}

/* Sets all bits behind the first `length` from `random`. */
static inline void list_fill_host(struct ip_address *address, unsigned int length, uint64_t *random)
{
	unsigned int bits = address->family == 4 ? 32 : 128, bit;

	for (bit = length; bit < bits; bit++) {
		uint8_t mask = (uint8_t)(0x80 >> (bit & 7));

		address->bytes[bit / 8] &= (uint8_t)~mask;
		if (list_random(random) >> 63)
			address->bytes[bit / 8] |= mask;
	}
}

static inline struct ip_prefix list_random_prefix(unsigned int family, uint64_t *random)
{
	struct ip_prefix prefix = {.address.family = (uint8_t)family};
	uint64_t bits = list_random(random);

	if (family == 4) {
		memcpy(prefix.address.bytes, &bits, 4);
		prefix.length = (uint8_t)(20 + list_random_below(random, 13));
	} else {
		memcpy(prefix.address.bytes + 2, &bits, 8);
		list_registry6(prefix.address.bytes, list_random_below(random, 34));
		prefix.length = (uint8_t)(32 + list_random_below(random, 33));
	}
	return prefix;
}

static inline struct ip_prefix list_clustered_prefix(unsigned int family, size_t index, uint64_t *random)
{
	struct ip_prefix prefix = {.address.family = (uint8_t)family};
	uint32_t run = (uint32_t)(index / LIST_RUN), area = list_scatter(run);
	uint8_t *bytes = prefix.address.bytes;

	if (family == 4) {
		uint32_t network = list_scatter(area % 4096) >> 16;

		bytes[0] = (uint8_t)(network >> 8);
		bytes[1] = (uint8_t)network;
		bytes[2] = (uint8_t)(area >> 12);
		bytes[3] = (uint8_t)(index % LIST_RUN * (256 / LIST_RUN));
		prefix.length = (uint8_t)(28 + list_random_below(random, 5));
	} else {
		uint32_t network = list_scatter(area % 2048);

		list_registry6(bytes, network);
		bytes[2] = (uint8_t)(network >> 24);
		bytes[3] = (uint8_t)(network >> 16);
		bytes[4] = (uint8_t)(area >> 24);
		bytes[5] = (uint8_t)(area >> 16);
		bytes[6] = (uint8_t)(index % LIST_RUN * (256 / LIST_RUN));
		prefix.length = (uint8_t)(56 + list_random_below(random, 9));
	}
	return prefix;
}

/* Some prefixes may be in the list twice or inside each other, as in real ones. The caller frees list->prefixes. */
static inline int list_make(struct list *list, uint64_t seed)
{
	uint64_t random = seed * 0x9e3779b97f4a7c15ull + 1;
	size_t i;

	list->prefixes = calloc(list->count + 1, sizeof(*list->prefixes));
	if (!list->prefixes)
		return -1;
	for (i = 0; i < list->count; i++)
		list->prefixes[i] = list->clustered ? list_clustered_prefix(list->family, i + seed * list->count, &random)
						    : list_random_prefix(list->family, &random);
	return 0;
}

/*
 * A pod, n0/pod, with an interface and an address of each family, and a policy that allows it the list's prefixes at
 * port 443/TCP, as one JSON document. The caller frees it.
 */
static inline char *list_manifest(const struct list *list)
{
	char *text = NULL, address[IP_TEXT_SIZE];
	size_t size, i;
	FILE *file = open_memstream(&text, &size);

	if (!file)
		return NULL;
	fprintf(file, "{\"apiVersion\":\"v1\",\"kind\":\"List\",\"items\":["
		      "{\"apiVersion\":\"v1\",\"kind\":\"Namespace\",\"metadata\":{\"name\":\"n0\"}},"
		      "{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"namespace\":\"n0\",\"name\":\"pod\","
		      "\"labels\":{\"app\":\"pod\"},\"annotations\":{\"egressd.io/interface\":\"lo\"}},"
		      "\"status\":{\"podIPs\":[{\"ip\":\"10.1.0.2\"},{\"ip\":\"fd00::2\"}]}},"
		      "{\"apiVersion\":\"networking.k8s.io/v1\",\"kind\":\"NetworkPolicy\",\"metadata\":{"
		      "\"namespace\":\"n0\",\"name\":\"list\"},\"spec\":{\"podSelector\":{\"matchLabels\":{"
		      "\"app\":\"pod\"}},\"policyTypes\":[\"Egress\"],\"egress\":[{\"ports\":[{\"port\":443}],"
		      "\"to\":[");
	for (i = 0; i < list->count; i++)
		fprintf(file, "%s{\"ipBlock\":{\"cidr\":\"%s/%u\"}}", i ? "," : "",
			ip_address_format(&list->prefixes[i].address, address), list->prefixes[i].length);
	fprintf(file, "]}]}}]}\n");
	fclose(file);
	return text;
}

#endif
