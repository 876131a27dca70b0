/* SPDX-License-Identifier: Apache-2.0 */
/* Lists of which the compiler makes one node of runs, with all that can be below its keys. */
#ifndef EGRESSD_TESTS_RUN_LIST_H
#define EGRESSD_TESTS_RUN_LIST_H

#include <stdint.h>

#include "policy/ranges.h"

struct run_list {
	unsigned int depth; /* bytes before the key: 10 at most */
	uint32_t usual;     /* the class of what is in no network */
	uint32_t keys;
	uint64_t random;
};

static inline uint32_t run_list_random(struct run_list *of, uint32_t limit)
{
	of->random = of->random * 6364136223846793005ull + 1442695040888963407ull;
	return (uint32_t)((of->random >> 33) % limit);
}

/* `count` networks of so many values of the two bytes behind a key, each 1000 values after the last; classes take turns. */
static inline int run_list_networks(struct ranges *list, address_number place, unsigned int unit, uint32_t first,
				    uint32_t count, uint32_t usual, uint32_t classes)
{
	uint32_t i;
	int error = 0;

	for (i = 0; i < count && !error; i++) {
		address_number network = place + ((address_number)(first + 1000 * i) << unit);

		error = ranges_append(list, network, usual + 1 + i % classes);
		if (!error)
			error = ranges_append(list, network + ((address_number)300 << unit), usual);
	}
	return error;
}

/* Below one key, 2^width addresses from `place` on. */
static inline int run_list_key(struct run_list *of, struct ranges *list, address_number place, unsigned int width)
{
	unsigned int unit = width - 16;

	switch (run_list_random(of, 16)) {
	case 0: /* all of it */
		return ranges_append(list, place, of->usual + 1);
	case 1: /* one network */
		return run_list_networks(list, place, unit, 64, 1, of->usual, 1);
	case 2: /* more than two classes */
		return run_list_networks(list, place, unit, 5, 4, of->usual, 2);
	case 3: /* more bounds than there can be */
		return run_list_networks(list, place, unit, 5, 10, of->usual, 1);
	case 4: { /* a single address, where that is not a value of two bytes */
		int error = ranges_append(list, place + 5, of->usual + 1);

		return error ? error : ranges_append(list, place + 6, of->usual);
	}
	case 5: /* as many bounds as there can be */
		return run_list_networks(list, place, unit, 7, 9, of->usual, 1);
	default: /* half of all keys at least must have runs */
		return run_list_networks(list, place, unit, run_list_random(of, 2), 2 + run_list_random(of, 7), of->usual,
					 1);
	}
}

/* From key 1 to the highest there is; key 0 is not among them. 0 or -ENOMEM. */
static inline int run_list_make(struct run_list *of, struct ranges *list)
{
	const address_number before = (address_number)0x20010db8aabbccdd << 64 | (address_number)0xeeff << 48;
	address_number base = of->depth ? before & ~highest_number(128 - 8 * of->depth) : 0;
	unsigned int width = 128 - 8 * of->depth - 32;
	uint32_t spread = UINT32_MAX / of->keys, i;
	int error = ranges_append(list, 0, of->usual);

	for (i = 0; i < of->keys && !error; i++) {
		uint32_t key = i + 1 == of->keys ? UINT32_MAX : 1 + i * spread + (i ? run_list_random(of, spread) : 0);
		address_number place = base + ((address_number)key << width), end = place + highest_number(width);

		error = run_list_key(of, list, place, width);
		if (!error && end != highest_number(128))
			error = ranges_append(list, end + 1, of->usual);
	}
	return error;
}

#endif
