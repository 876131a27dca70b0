/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/trie_choice.h"

bool trie_changes_rarely(const struct trie_part *part, address_number base, unsigned int width, size_t limit)
{
	address_number last = 0;
	size_t count = 0, i;

	for (i = part->first + 1; i <= part->last; i++) {
		address_number offset = ranges_start(part->ranges, i) - base, child = offset >> width, end = child;

		/* A child that is of several ranges begins and ends. */
		if (offset & highest_number(width))
			end++;
		for (; child <= end; child++) {
			count += child > last;
			last = child > last ? child : last;
		}
		if (count > limit)
			return false;
	}
	return true;
}

bool trie_find_bits(const struct trie_part *part, address_number base, unsigned int width,
		    struct egress_trie_bits *out)
{
	const struct ranges *ranges = part->ranges;
	uint32_t first = ranges->value[part->first], second = ranges->value[part->first + 1];
	size_t i;

	if (part->last - part->first >= TRIE_FAN_OUT)
		return false;
	for (i = part->first + 1; i <= part->last; i++)
		if ((ranges_start(ranges, i) - base) & highest_number(width) ||
		    (ranges->value[i] != first && ranges->value[i] != second))
			return false;
	*out = (struct egress_trie_bits){.entry = {trie_leaf(first), trie_leaf(second)}};
	for (i = part->first + 1; i <= part->last; i += 2)
		trie_set_bits(out->bits, (size_t)((ranges_start(ranges, i) - base) >> width),
			      i < part->last ? (size_t)((ranges_start(ranges, i + 1) - base) >> width) : TRIE_FAN_OUT);
	return true;
}

/* Leading bytes in which two addresses agree. */
static unsigned int common_bytes(address_number a, address_number b)
{
	unsigned int count = 0;

	while (count < 16 && ipv6_byte(a, count) == ipv6_byte(b, count))
		count++;
	return count;
}

bool trie_find_skip(const struct trie_part *part, unsigned int bits, address_number *base, unsigned int *to)
{
	const struct ranges *ranges = part->ranges;
	address_number first, last;

	if (ranges->value[part->first] != ranges->value[part->last])
		return false;
	first = ranges_start(ranges, part->first + 1);
	last = ranges_start(ranges, part->last) - 1;
	*to = common_bytes(first, last);
	*base = first & ~highest_number(128 - 8 * *to);
	/* A node of ranges takes two bytes as well. */
	return *to > 16 - bits / 8 + 2;
}

/* ------------------------------------------------------------------ hash nodes */

void trie_part_offsets(const struct trie_part *part, address_number base, unsigned int bits, size_t i,
		       address_number *first, address_number *last)
{
	const struct ranges *ranges = part->ranges;

	*first = i > part->first ? ranges_start(ranges, i) - base : 0;
	*last = i < part->last ? ranges_start(ranges, i + 1) - base - 1 : highest_number(bits);
}

uint32_t trie_usual_class(const struct trie_part *part, address_number base, unsigned int bits)
{
	address_number longest = 0, first, last;
	uint32_t class = part->ranges->value[part->first];
	size_t i;

	for (i = part->first; i <= part->last; i++) {
		trie_part_offsets(part, base, bits, i, &first, &last);
		if (last - first < longest)
			continue;
		longest = last - first;
		class = part->ranges->value[i];
	}
	return class;
}

/* The length of the network that the addresses first .. last of 2^bits are; 0: they are none, or all. */
static unsigned int network_length(address_number first, address_number last, unsigned int bits)
{
	address_number differ = first ^ last;
	unsigned int host = 0;

	while (differ >> host)
		host++;
	return host < bits && !(first & differ) && differ == highest_number(host) ? bits - host : 0;
}

bool trie_find_network(const struct trie_part *part, address_number base, unsigned int bits, uint32_t usual,
		       size_t *range, unsigned int *length)
{
	size_t i, found = part->last + 1;
	address_number first, last;
	unsigned int found_length;

	if (part->last - part->first > 2)
		return false;
	for (i = part->first; i <= part->last; i++) {
		if (part->ranges->value[i] == usual)
			continue;
		if (found <= part->last)
			return false;
		found = i;
	}
	if (found > part->last)
		return false;
	trie_part_offsets(part, base, bits, found, &first, &last);
	found_length = network_length(first, last, bits);
	if (!found_length)
		return false;
	*range = found;
	*length = found_length;
	return true;
}

/* Words that a hash node may always take for each range below it: where memory is no matter, and where it is. */
#define WORDS_FOR_RANGE        3u
#define WORDS_FOR_RANGE_PACKED 2u

/*
 * Words that it takes, as far as can be seen from here: a bucket for a key, though most keys share theirs, and a small node
 * for a branch.
 */
static size_t plan_words(const struct trie_hash_plan *plan)
{
	return EGRESS_HASH_BUCKET_WORDS * plan->keys + EGRESS_TURNS_WORDS * plan->branches;
}

/*
 * Whether range i, which lies in one child of 2^width addresses behind those looked at before, is all there is in it that
 * is not usual, and what a slot can hold.
 */
static bool is_lone(const struct trie_part *part, address_number base, unsigned int bits, unsigned int width,
		    uint32_t usual, size_t i)
{
	address_number first, last, next_first, next_last;
	unsigned int length;
	size_t next = i + 1;

	trie_part_offsets(part, base, bits, i, &first, &last);
	length = network_length(first & highest_number(width), last & highest_number(width), width);
	if (!length || length > TRIE_SLOT_BITS)
		return false;
	if (next <= part->last && part->ranges->value[next] == usual)
		next++;
	if (next > part->last)
		return true;
	trie_part_offsets(part, base, bits, next, &next_first, &next_last);
	return next_first >> width > last >> width;
}

/* False: they are too many. */
static bool plan_hash(const struct trie_part *part, address_number base, unsigned int bits, uint32_t usual,
		      struct trie_hash_plan *plan)
{
	size_t limit = 2 * (part->last - part->first) + TRIE_RANGES_MAX, i;
	unsigned int width = bits - 8 * plan->bytes;
	address_number next = 0, next_branch = 0, first, last;

	if (limit > TRIE_HASH_KEYS_MAX)
		limit = TRIE_HASH_KEYS_MAX;
	for (i = part->first; i <= part->last; i++) {
		address_number child, end;

		if (part->ranges->value[i] == usual)
			continue;
		trie_part_offsets(part, base, bits, i, &first, &last);
		child = first >> width;
		end = last >> width;
		if (child == end && child >= next && is_lone(part, base, bits, width, usual, i))
			next_branch = end + 1;
		if (child >= next_branch && first & highest_number(width)) {
			plan->branches++;
			next_branch = child + 1;
		}
		if (end >= next_branch && ~last & highest_number(width)) {
			plan->branches++;
			next_branch = end + 1;
		}
		child = child < next ? next : child;
		if (end + 1 - child > limit - plan->keys)
			return false;
		plan->keys += (size_t)(end + 1 - child);
		next = end + 1;
	}
	return true;
}

bool trie_find_hash(const struct trie_part *part, address_number base, unsigned int bits, uint32_t usual, bool packed,
		    struct trie_hash_plan *out)
{
	unsigned int bytes, most = bits / 8 < TRIE_HASH_BYTES_MAX ? bits / 8 : TRIE_HASH_BYTES_MAX;
	struct trie_hash_plan plans[TRIE_HASH_BYTES_MAX + 1], *best = NULL;
	size_t always = (packed ? WORDS_FOR_RANGE_PACKED : WORDS_FOR_RANGE) * (part->last - part->first);
	size_t least = SIZE_MAX;

	for (bytes = 2; bytes <= most; bytes++) {
		plans[bytes] = (struct trie_hash_plan){.bytes = bytes};
		if (!plan_hash(part, base, bits, usual, &plans[bytes]))
			break;
		if (plan_words(&plans[bytes]) < least)
			least = plan_words(&plans[bytes]);
	}
	least *= 2;
	if (least < always)
		least = always;
	for (bytes--; bytes >= 2 && !best; bytes--)
		if (plan_words(&plans[bytes]) <= least)
			best = &plans[bytes];
	if (best)
		*out = *best;
	return best;
}

bool trie_find_run(const struct trie_part *part, address_number base, unsigned int bits, struct trie_ranges *ranges)
{
	unsigned int width = bits - 16;
	size_t i;

	if (part->last - part->first > EGRESS_RUN_BOUNDS)
		return false;
	ranges->count = 0;
	for (i = part->first; i <= part->last; i++) {
		address_number first, last;

		trie_part_offsets(part, base, bits, i, &first, &last);
		if (first & highest_number(width))
			return false;
		trie_ranges_append(ranges, (uint32_t)(first >> width), trie_leaf(part->ranges->value[i]));
	}
	return trie_ranges_take_turns(ranges);
}

/* Words that a node of runs may take for each range below it: where memory is no matter, and where it is. */
#define RUN_WORDS_FOR_RANGE        8u
#define RUN_WORDS_FOR_RANGE_PACKED 3u

bool trie_wants_runs(const struct trie_runs_plan *plan, size_t ranges, bool packed)
{
	return 2 * plan->runs >= plan->keys &&
	       trie_runs_words(plan->keys) <= (packed ? RUN_WORDS_FOR_RANGE_PACKED : RUN_WORDS_FOR_RANGE) * ranges;
}

/* Values of the first of the last two bytes that are not of one class as a whole. */
static size_t count_mixed_bytes(const struct trie_part *part, address_number base)
{
	address_number next = 0;
	size_t count = 0, i;

	for (i = part->first + 1; i <= part->last; i++) {
		address_number offset = ranges_start(part->ranges, i) - base;

		if (offset % TRIE_FAN_OUT && offset / TRIE_FAN_OUT >= next) {
			count++;
			next = offset / TRIE_FAN_OUT + 1;
		}
	}
	return count;
}

size_t trie_block_words(const struct trie_part *part, address_number base)
{
	return TRIE_FAN_OUT + (sizeof(struct egress_trie_bits) / 4) * count_mixed_bytes(part, base);
}

bool trie_find_scattered(const struct trie_part *part, address_number base, uint32_t usual, size_t otherwise)
{
	struct trie_hash_plan plan = {.bytes = 2};

	return plan_hash(part, base, 16, usual, &plan) && 2 * trie_hash_words(plan.keys, plan.bytes) <= otherwise;
}
