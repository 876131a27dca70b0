/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/ranges.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"

address_number address_to_number(const struct ip_address *address)
{
	unsigned int bytes = family_bits(address_family(address)) / 8, i;
	address_number number = 0;

	for (i = 0; i < bytes; i++)
		number = number << 8 | address->bytes[i];
	return number;
}

void address_from_number(enum family family, address_number number, struct ip_address *out)
{
	unsigned int bytes = family_bits(family) / 8, i;

	memset(out, 0, sizeof(*out));
	out->family = family == FAMILY_IPV4 ? 4 : 6;
	for (i = bytes; i-- > 0; number >>= 8)
		out->bytes[i] = (uint8_t)number;
}

/* From the first start on that is no address of IPv4. */
static int widen(struct ranges *ranges)
{
	size_t capacity = 0, i;
	address_number *wide = NULL;

	if (array_reserve(&wide, &capacity, ranges->count + 1, sizeof(*wide)) < 0)
		return -ENOMEM;
	for (i = 0; i < ranges->count; i++)
		wide[i] = ranges->narrow[i];
	free(ranges->narrow);
	ranges->narrow = NULL;
	ranges->wide = wide;
	ranges->start_capacity = capacity;
	return 0;
}

static int append_start(struct ranges *ranges, size_t count, address_number start)
{
	if (!ranges->wide && start > UINT32_MAX && widen(ranges) < 0)
		return -ENOMEM;
	if (ranges->wide) {
		if (array_reserve(&ranges->wide, &ranges->start_capacity, count + 1, sizeof(*ranges->wide)) < 0)
			return -ENOMEM;
		ranges->wide[count] = start;
		return 0;
	}
	if (array_reserve(&ranges->narrow, &ranges->start_capacity, count + 1, sizeof(*ranges->narrow)) < 0)
		return -ENOMEM;
	ranges->narrow[count] = (uint32_t)start;
	return 0;
}

int ranges_append(struct ranges *ranges, address_number start, uint32_t value)
{
	size_t count = ranges->count;

	if (count && ranges_start(ranges, count - 1) == start)
		count--;
	if (count && ranges->value[count - 1] == value) {
		ranges->count = count;
		return 0;
	}
	if (array_reserve(&ranges->value, &ranges->value_capacity, count + 1, sizeof(*ranges->value)) < 0 ||
	    append_start(ranges, count, start) < 0)
		return -ENOMEM;
	ranges->value[count] = value;
	ranges->count = count + 1;
	return 0;
}

size_t ranges_find(const struct ranges *ranges, address_number address)
{
	size_t low = 0, high = ranges->count;

	while (high - low > 1) {
		size_t middle = low + (high - low) / 2;

		if (ranges_start(ranges, middle) <= address)
			low = middle;
		else
			high = middle;
	}
	return low;
}

void ranges_clear(struct ranges *ranges)
{
	free(ranges->narrow);
	free(ranges->wide);
	free(ranges->value);
	memset(ranges, 0, sizeof(*ranges));
}

/* A range with both ends in it. */
struct span {
	address_number first, last;
};

static struct span prefix_span(const struct ip_prefix *prefix)
{
	unsigned int bits = family_bits(address_family(&prefix->address));
	address_number host = highest_number(bits - prefix->length), address = address_to_number(&prefix->address);

	return (struct span){.first = address & ~host, .last = address | host};
}

static int add_edge(struct block_collector *collector, enum family family, const struct block_edge *edge)
{
	size_t *capacity = &collector->capacity[family], count = collector->count[family];

	if (family == FAMILY_IPV4) {
		if (array_reserve(&collector->narrow, capacity, count + 1, sizeof(*collector->narrow)) < 0)
			return -ENOMEM;
		collector->narrow[count] = (uint64_t)edge->at << 32 | (uint64_t)edge->owner << 1 | edge->opens;
	} else {
		if (array_reserve(&collector->wide, capacity, count + 1, sizeof(*collector->wide)) < 0)
			return -ENOMEM;
		collector->wide[count] = *edge;
	}
	collector->count[family]++;
	return 0;
}

static struct block_edge edge_at(const struct block_collector *collector, enum family family, size_t i)
{
	uint64_t narrow;

	if (family == FAMILY_IPV6)
		return collector->wide[i];
	narrow = collector->narrow[i];
	return (struct block_edge){
		.at = narrow >> 32,
		.owner = (uint32_t)narrow >> 1,
		.opens = narrow & 1,
	};
}

static int add_span(struct block_collector *collector, enum family family, const struct span *span, uint32_t owner)
{
	const struct block_edge first = {.at = span->first, .owner = owner, .opens = 1};
	const struct block_edge behind = {.at = span->last + 1, .owner = owner};
	int error = add_edge(collector, family, &first);

	/* What reaches the end of the family never ends. */
	if (error < 0 || span->last == highest_number(family_bits(family)))
		return error;
	return add_edge(collector, family, &behind);
}

static int compare_spans(const void *left, const void *right)
{
	const struct span *a = left, *b = right;

	if (a->first != b->first)
		return a->first < b->first ? -1 : 1;
	return a->last < b->last ? -1 : a->last > b->last;
}

/* What is left of `block` between the holes, which are sorted. */
static int add_between(struct block_collector *collector, enum family family, struct span block,
		       const struct span *holes, size_t count, uint32_t owner)
{
	size_t i;

	for (i = 0; i < count; i++) {
		if (holes[i].last < block.first || holes[i].first > block.last)
			continue;
		if (holes[i].first > block.first) {
			const struct span part = {.first = block.first, .last = holes[i].first - 1};
			int error = add_span(collector, family, &part, owner);

			if (error < 0)
				return error;
		}
		if (holes[i].last >= block.last)
			return 0;
		block.first = holes[i].last + 1;
	}
	return add_span(collector, family, &block, owner);
}

int block_collector_add(struct block_collector *collector, const struct ip_block *block, uint32_t owner)
{
	enum family family = address_family(&block->cidr.address);
	const struct span span = prefix_span(&block->cidr);
	struct span *holes;
	size_t count = 0, i;
	int error;

	if (!block->except_count)
		return add_span(collector, family, &span, owner);
	holes = calloc(block->except_count, sizeof(*holes));
	if (!holes)
		return -ENOMEM;
	for (i = 0; i < block->except_count; i++)
		if (address_family(&block->except[i].address) == family)
			holes[count++] = prefix_span(&block->except[i]);
	qsort(holes, count, sizeof(*holes), compare_spans);
	error = add_between(collector, family, span, holes, count, owner);
	free(holes);
	return error;
}

/* Where in a number of `size` bytes the byte stands that has so many below it. */
static size_t byte_offset(size_t size, size_t below)
{
	return __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? below : size - 1 - below;
}

/*
 * A stable pass by the byte at an offset; false where that byte is the same in all, and nothing had to be done. The
 * compiler makes a function of it for each size of items.
 */
static inline __attribute__((always_inline)) bool
sort_by_byte(const unsigned char *from, unsigned char *to, size_t count, size_t size, size_t offset)
{
	size_t place[256] = {0}, sum = 0, i;

	for (i = 0; i < count; i++)
		place[from[i * size + offset]]++;
	if (place[from[offset]] == count)
		return false;
	for (i = 0; i < 256; i++) {
		size_t here = place[i];

		place[i] = sum;
		sum += here;
	}
	for (i = 0; i < count; i++)
		memcpy(to + place[from[i * size + offset]]++ * size, from + i * size, size);
	return true;
}

static bool sort_narrow_by_byte(const void *from, void *to, size_t count, unsigned int byte)
{
	return sort_by_byte(from, to, count, sizeof(uint64_t), byte_offset(sizeof(uint64_t), 4 + byte));
}

static bool sort_wide_by_byte(const void *from, void *to, size_t count, unsigned int byte)
{
	return sort_by_byte(from, to, count, sizeof(struct block_edge),
			    offsetof(struct block_edge, at) + byte_offset(sizeof(address_number), byte));
}

/* By position. A million blocks come in one policy: radix sort takes a fifth of what qsort takes. */
static int sort_edges(struct block_collector *collector, enum family family)
{
	bool narrow = family == FAMILY_IPV4;
	size_t count = collector->count[family];
	void *from = narrow ? (void *)collector->narrow : (void *)collector->wide, *to;
	unsigned int byte;

	if (count < 2)
		return 0;
	to = malloc(count * (narrow ? sizeof(*collector->narrow) : sizeof(*collector->wide)));
	if (!to)
		return -ENOMEM;
	for (byte = 0; byte < family_bits(family) / 8; byte++) {
		if (narrow ? sort_narrow_by_byte(from, to, count, byte) : sort_wide_by_byte(from, to, count, byte)) {
			void *swap = from;

			from = to;
			to = swap;
		}
	}
	if (narrow)
		collector->narrow = from;
	else
		collector->wide = from;
	collector->capacity[family] = count;
	free(to);
	return 0;
}

/* The edges that stand at one position: first what opens, so that a block that touches the next one is never left. */
static int cross_edges(const struct block_collector *collector, enum family family, size_t first, size_t end,
		       uint32_t *open, struct number_sets *sets, uint32_t *set)
{
	size_t j;
	int error = 0;

	for (j = first; j < end && !error; j++) {
		const struct block_edge edge = edge_at(collector, family, j);

		if (edge.opens && open[edge.owner]++ == 0)
			error = number_sets_add(sets, *set, edge.owner, set);
	}
	for (j = first; j < end && !error; j++) {
		const struct block_edge edge = edge_at(collector, family, j);

		if (!edge.opens && --open[edge.owner] == 0)
			error = number_sets_remove(sets, *set, edge.owner, set);
	}
	return error;
}

static int sweep(const struct block_collector *collector, enum family family, uint32_t *open, struct number_sets *sets,
		 struct ranges *out)
{
	size_t count = collector->count[family], i = 0;
	uint32_t set = NUMBER_SET_EMPTY;
	int error = ranges_append(out, 0, set);

	while (i < count && !error) {
		const address_number at = edge_at(collector, family, i).at;
		size_t end = i + 1;

		while (end < count && edge_at(collector, family, end).at == at)
			end++;
		error = cross_edges(collector, family, i, end, open, sets, &set);
		if (!error)
			error = ranges_append(out, at, set);
		i = end;
	}
	return error;
}

int block_collector_ranges(struct block_collector *collector, enum family family, uint32_t owners,
			   struct number_sets *sets, struct ranges *out)
{
	uint32_t *open = calloc((size_t)owners + 1, sizeof(*open));
	int error;

	if (!open)
		return -ENOMEM;
	error = sort_edges(collector, family);
	if (!error)
		error = sweep(collector, family, open, sets, out);
	free(open);
	return error;
}

void block_collector_clear(struct block_collector *collector)
{
	free(collector->narrow);
	free(collector->wide);
	memset(collector, 0, sizeof(*collector));
}
