/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/prefixes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "cli/memory.h"

void address_set_clear(struct address_set *set)
{
	free(set->items);
	*set = (struct address_set){0};
}

void prefix_list_clear(struct prefix_list *list)
{
	free(list->items);
	*list = (struct prefix_list){0};
}

static unsigned int address_bytes(const struct ip_address *address)
{
	return address->family == 4 ? 4 : 16;
}

bool address_next(const struct ip_address *address, struct ip_address *out)
{
	struct ip_address next = *address;
	unsigned int i = address_bytes(address);

	while (i--) {
		if (++next.bytes[i]) {
			*out = next;
			return true;
		}
	}
	return false;
}

bool address_previous(const struct ip_address *address, struct ip_address *out)
{
	struct ip_address previous = *address;
	unsigned int i = address_bytes(address);

	while (i--) {
		if (previous.bytes[i]--) {
			*out = previous;
			return true;
		}
	}
	return false;
}

bool address_range_is_single(const struct address_range *range)
{
	return !ip_address_compare(&range->first, &range->last);
}

void address_set_append(struct address_set *set, const struct ip_address *first, const struct ip_address *last)
{
	struct address_range range = {*first, *last};
	struct ip_address next;

	if (set->count && set->items[set->count - 1].last.family == first->family &&
	    address_next(&set->items[set->count - 1].last, &next) && !ip_address_compare(&next, first)) {
		set->items[set->count - 1].last = *last;
		return;
	}
	array_push(set->items, set->count, set->capacity, range);
}

/* The last address of a prefix whose host bits are zero. */
static struct ip_address prefix_last(const struct ip_prefix *prefix)
{
	struct ip_address last = prefix->address;
	unsigned int bit;

	for (bit = prefix->length; bit < address_bytes(&last) * 8; bit++)
		last.bytes[bit / 8] |= (uint8_t)(0x80 >> bit % 8);
	return last;
}

static bool bit_is_set(const struct ip_address *address, unsigned int bit)
{
	return address->bytes[bit / 8] & (0x80 >> bit % 8);
}

/* The largest prefix that begins at `first` and does not go beyond `last`. */
static struct ip_prefix largest_prefix(const struct ip_address *first, const struct ip_address *last)
{
	struct ip_prefix prefix = {*first, (uint8_t)(address_bytes(first) * 8)};

	while (prefix.length && !bit_is_set(first, prefix.length - 1u)) {
		struct ip_prefix wider = {*first, (uint8_t)(prefix.length - 1)};
		struct ip_address end = prefix_last(&wider);

		if (ip_address_compare(&end, last) > 0)
			break;
		prefix = wider;
	}
	return prefix;
}

const char *address_range_text(const struct address_range *range, char text[ADDRESS_RANGE_TEXT_SIZE])
{
	struct ip_prefix prefix = largest_prefix(&range->first, &range->last);
	struct ip_address end = prefix_last(&prefix);
	char first[IP_TEXT_SIZE], last[IP_TEXT_SIZE], whole[IP_PREFIX_TEXT_SIZE];

	if (!ip_address_compare(&end, &range->last))
		snprintf(text, ADDRESS_RANGE_TEXT_SIZE, "%s", ip_prefix_format(&prefix, whole));
	else
		snprintf(text, ADDRESS_RANGE_TEXT_SIZE, "%s-%s", ip_address_format(&range->first, first),
			 ip_address_format(&range->last, last));
	return text;
}

void prefixes_of_range(const struct address_range *range, struct prefix_list *out)
{
	struct ip_address first = range->first, end;

	do {
		struct ip_prefix prefix = largest_prefix(&first, &range->last);

		array_push(out->items, out->count, out->capacity, prefix);
		end = prefix_last(&prefix);
	} while (ip_address_compare(&end, &range->last) < 0 && address_next(&end, &first));
}

/* The smallest prefix that holds both. */
static struct ip_prefix common_prefix(const struct ip_address *first, const struct ip_address *last)
{
	struct ip_prefix prefix = {*first, 0};
	unsigned int bit;

	while (prefix.length < address_bytes(first) * 8 &&
	       bit_is_set(first, prefix.length) == bit_is_set(last, prefix.length))
		prefix.length++;
	for (bit = prefix.length; bit < address_bytes(first) * 8; bit++)
		prefix.address.bytes[bit / 8] &= (uint8_t) ~(0x80 >> bit % 8);
	return prefix;
}

/* What the prefix holds beyond the ranges, which all lie in it. */
static void complement(const struct ip_prefix *prefix, const struct address_range *ranges, size_t count,
		       struct prefix_list *out)
{
	struct ip_address from = prefix->address, last = prefix_last(prefix);
	bool more = true;
	size_t i;

	for (i = 0; i < count; i++) {
		struct address_range gap = {.first = from};

		if (ip_address_compare(&from, &ranges[i].first) < 0 && address_previous(&ranges[i].first, &gap.last))
			prefixes_of_range(&gap, out);
		more = address_next(&ranges[i].last, &from);
	}
	if (more && ip_address_compare(&from, &last) <= 0) {
		struct address_range gap = {from, last};

		prefixes_of_range(&gap, out);
	}
}

static void print_prefixes(FILE *file, const struct prefix_list *list, size_t limit)
{
	char text[IP_PREFIX_TEXT_SIZE];
	size_t i;

	/* "and 1 more" would be no shorter than the one. */
	if (!limit || list->count <= limit + 1)
		limit = list->count;
	for (i = 0; i < limit; i++)
		fprintf(file, "%s%s", i ? ", " : "", ip_prefix_format(&list->items[i], text));
	if (limit < list->count)
		fprintf(file, " and %zu more", list->count - limit);
}

/* Ranges of one family. */
static void print_family(FILE *file, const struct address_range *ranges, size_t count, size_t limit)
{
	_cleanup_(prefix_list_clear) struct prefix_list inside = {0}, outside = {0}, whole = {0};
	struct ip_prefix around = common_prefix(&ranges[0].first, &ranges[count - 1].last);
	size_t i;

	for (i = 0; i < count; i++)
		prefixes_of_range(&ranges[i], &inside);
	complement(&around, ranges, count, &outside);
	if (inside.count <= outside.count + 1) {
		print_prefixes(file, &inside, limit);
		return;
	}
	array_push(whole.items, whole.count, whole.capacity, around);
	print_prefixes(file, &whole, limit);
	fprintf(file, " except ");
	print_prefixes(file, &outside, limit);
}

char *address_set_text(const struct address_set *set, size_t limit)
{
	size_t size, first, end;
	char *text = NULL;
	FILE *file = open_memstream(&text, &size);

	if (!file)
		out_of_memory();
	for (first = 0; first < set->count; first = end) {
		for (end = first; end < set->count; end++)
			if (set->items[end].first.family != set->items[first].first.family)
				break;
		if (first)
			fprintf(file, ", ");
		print_family(file, set->items + first, end - first, limit);
	}
	if (fclose(file) || !text)
		out_of_memory();
	return text;
}
