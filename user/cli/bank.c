/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/bank.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "policy/table_walk.h"
#include "policy/trie_hash.h"
#include "policy/trie_node.h"

int bank_open(const uint32_t *words, size_t word_count, struct bank *out)
{
	struct bank bank = {.memory = {words, word_count}};

	if (word_count < EGRESS_CONTROL_WORDS)
		return -EINVAL;
	memcpy(&bank.control, words, sizeof(bank.control));
	if (bank.control.magic != EGRESS_TABLES_MAGIC || bank.control.active >= EGRESS_BANKS)
		return -EINVAL;
	bank.words = bank.control.bank[bank.control.active];
	if (!bank.words.generation)
		return -ENODATA;
	*out = bank;
	return 0;
}

bool bank_in_force(const struct bank *bank)
{
	const struct egress_control *control = (const void *)bank->memory.words;

	return control->active == bank->control.active &&
	       control->bank[control->active].generation == bank->words.generation;
}

bool set_is_address(uint32_t set)
{
	return set >= EGRESS_SET_FIRST;
}

static int read_word(const struct bank *bank, uint32_t address, uint32_t *value)
{
	return egress_word(&bank->memory, address, value) ? 0 : -EINVAL;
}

int bank_set(const struct bank *bank, uint32_t endpoint_id, uint32_t *set)
{
	if (endpoint_id >= EGRESS_ENDPOINT_MAX)
		return -EINVAL;
	return read_word(bank, bank->words.sets + endpoint_id, set);
}

int bank_class(const struct bank *bank, const struct ip_address *address, uint32_t *class)
{
	uint32_t words[4];
	bool found;

	memcpy(words, address->bytes, sizeof(words));
	if (address->family == 4)
		found = egress_class4(&bank->memory, &bank->words, words[0], class);
	else
		found = egress_class6(&bank->memory, &bank->words, words, class);
	return found && *class < bank->words.class_count ? 0 : -EINVAL;
}

int bank_row(const struct bank *bank, uint32_t set, uint32_t class, uint32_t *row)
{
	if (!set_is_address(set) || class >= bank->words.class_count)
		return -EINVAL;
	return read_word(bank, set + class, row);
}

int bank_cell(const struct bank *bank, uint32_t row, uint32_t port_class, uint32_t *cell)
{
	if (!row || port_class >= bank->words.port_class_count)
		return -EINVAL;
	return read_word(bank, row + port_class, cell);
}

int bank_port_class(const struct bank *bank, uint8_t protocol, uint16_t port, uint32_t *port_class)
{
	return egress_port_class(&bank->memory, &bank->words, protocol, port, port_class) ? 0 : -EINVAL;
}

/*
 * A walk over the whole trie of one family, in order, with the range that is not yet reported because the next may
 * join it.
 */
struct trie_walk {
	const struct bank *bank;
	class_visitor visit;
	void *data;
	uint8_t family, length; /* address length in bytes */
	bool pending;
	struct class_range range;
};

/* All addresses that begin with the first `depth` bits of `address`. */
static void span(const struct ip_address *address, unsigned int depth, unsigned int bits, struct class_range *out)
{
	unsigned int bit;

	out->first = out->last = *address;
	for (bit = depth; bit < bits; bit++) {
		out->first.bytes[bit / 8] &= (uint8_t) ~(0x80 >> bit % 8);
		out->last.bytes[bit / 8] |= (uint8_t)(0x80 >> bit % 8);
	}
}

static int emit(struct trie_walk *walk, const struct class_range *range)
{
	int error = 0;

	if (walk->pending && walk->range.class == range->class) {
		walk->range.last = range->last;
		return 0;
	}
	if (walk->pending)
		error = walk->visit(&walk->range, walk->data);
	walk->range = *range;
	walk->pending = true;
	return error;
}

static int emit_span(struct trie_walk *walk, const struct ip_address *address, unsigned int depth, uint32_t class)
{
	struct class_range range = {.class = class};

	span(address, depth, walk->length * 8u, &range);
	return emit(walk, &range);
}

static int walk_entry(struct trie_walk *walk, uint32_t entry, struct ip_address *address, unsigned int depth);

static int walk_full(struct trie_walk *walk, uint32_t entry, struct ip_address *address, unsigned int depth)
{
	unsigned int byte;
	int error;

	if (depth / 8 >= walk->length)
		return -EINVAL;
	for (byte = 0; byte < 256; byte++) {
		uint32_t child;

		if (read_word(walk->bank, EGRESS_TRIE_CHILD(entry) + byte, &child))
			return -EINVAL;
		address->bytes[depth / 8] = (uint8_t)byte;
		error = walk_entry(walk, child, address, depth + 8);
		if (error)
			return error;
	}
	return 0;
}

static void put_value(struct ip_address *address, unsigned int at, unsigned int bytes, uint32_t value)
{
	for (; bytes; bytes--)
		address->bytes[at++] = (uint8_t)(value >> 8 * (bytes - 1));
}

/* All addresses whose next bytes are first .. last: one class, or what is below each of them. */
static int walk_values(struct trie_walk *walk, uint32_t entry, struct ip_address *address, unsigned int depth,
		       unsigned int bytes, uint32_t first, uint32_t last)
{
	struct class_range range = {.class = EGRESS_TRIE_VALUE(entry)}, end;
	uint32_t value;
	int error = 0;

	if (EGRESS_TRIE_KIND(entry) == EGRESS_TRIE_LEAF) {
		put_value(address, depth / 8, bytes, first);
		span(address, depth + 8 * bytes, walk->length * 8u, &range);
		put_value(address, depth / 8, bytes, last);
		span(address, depth + 8 * bytes, walk->length * 8u, &end);
		range.last = end.last;
		return emit(walk, &range);
	}
	for (value = first; value <= last && !error; value++) {
		put_value(address, depth / 8, bytes, value);
		error = walk_entry(walk, entry, address, depth + 8 * bytes);
	}
	return error;
}

static int walk_ranges(struct trie_walk *walk, uint32_t entry, struct ip_address *address, unsigned int depth)
{
	const struct table_view *view = &walk->bank->memory;
	const struct memory memory = {.words = (uint32_t *)view->words, .word_count = view->word_count};
	unsigned int bytes = depth / 8 + 2u <= walk->length ? 2 : 1;
	uint32_t limit = 1u << (8 * bytes), last;
	struct trie_ranges ranges;
	size_t i;
	int error = 0;

	if (depth / 8 >= walk->length || EGRESS_TRIE_KIND(entry) > EGRESS_TRIE_RANGES37 ||
	    EGRESS_TRIE_CHILD(entry) + (size_t)EGRESS_RANGES37_WORDS > view->word_count)
		return -EINVAL;
	trie_read_ranges(&memory, entry, &ranges);
	for (i = 0; i < ranges.count && !error; i++) {
		last = i + 1 < ranges.count ? ranges.start[i + 1] - 1 : limit - 1;
		if (ranges.start[i] > last || last >= limit)
			return -EINVAL;
		error = walk_values(walk, ranges.entry[i], address, depth, bytes, ranges.start[i], last);
	}
	return error;
}

static int walk_bits(struct trie_walk *walk, uint32_t entry, struct ip_address *address, unsigned int depth)
{
	uint32_t at = EGRESS_TRIE_CHILD(entry);
	const uint32_t *chunk = egress_table_chunk(&walk->bank->memory, at);
	const struct egress_trie_bits *node;
	unsigned int byte;
	int error = 0;

	/* Of IPv4 it can only be the last byte's. */
	if (!chunk || depth / 8 >= walk->length || (walk->family == 4 && depth != 24))
		return -EINVAL;
	node = (const void *)(chunk + (at & (EGRESS_CHUNK_WORDS - 16)));
	for (byte = 0; byte < 256 && !error; byte++)
		error = walk_values(walk, trie_bits_entry(node, byte), address, depth, 1, byte, byte);
	return error;
}

static int compare_keys(const void *left, const void *right)
{
	const struct trie_key *a = left, *b = right;

	return a->key < b->key ? -1 : a->key > b->key;
}

/* All values of the next bytes in order: those that have a child, and what is between them. */
static int walk_keys(struct trie_walk *walk, const struct trie_keys *keys, uint32_t other, struct ip_address *address,
		     unsigned int depth, unsigned int bytes)
{
	uint64_t next = 0, end = (uint64_t)1 << 8 * bytes;
	size_t i;
	int error = 0;

	for (i = 0; i < keys->count && !error; i++) {
		uint32_t key = keys->items[i].key;

		if (key < next || key >= end)
			return -EINVAL;
		if (key > next)
			error = walk_values(walk, other, address, depth, bytes, (uint32_t)next, key - 1);
		if (!error)
			error = walk_values(walk, keys->items[i].entry, address, depth, bytes, key, key);
		next = (uint64_t)key + 1;
	}
	if (!error && next < end)
		error = walk_values(walk, other, address, depth, bytes, (uint32_t)next, (uint32_t)(end - 1));
	return error;
}

/* Whether the node is one that can be, and in the memory with all its buckets. */
static bool hash_holds_together(const struct trie_walk *walk, uint32_t entry, unsigned int depth)
{
	const struct table_view *view = &walk->bank->memory;
	const struct egress_trie_hash *node;
	size_t at = EGRESS_TRIE_CHILD(entry);

	if (walk->family != 6 || at + EGRESS_HASH_HEAD_WORDS > view->word_count)
		return false;
	node = (const void *)(view->words + at);
	return node->bytes >= 2 && node->bytes <= TRIE_HASH_BYTES_MAX && depth / 8 + node->bytes <= walk->length &&
	       node->key_shift == 64 - 8 * node->bytes && EGRESS_TRIE_KIND(node->other) == EGRESS_TRIE_LEAF &&
	       node->bucket_shift > 32 && node->bucket_shift < 64 &&
	       at + EGRESS_HASH_HEAD_WORDS + ((size_t)EGRESS_HASH_BUCKET_WORDS << (64 - node->bucket_shift)) <=
		       view->word_count;
}

static int walk_hash(struct trie_walk *walk, uint32_t entry, struct ip_address *address, unsigned int depth)
{
	const struct table_view *view = &walk->bank->memory;
	const struct memory memory = {.words = (uint32_t *)view->words, .word_count = view->word_count};
	const struct egress_trie_hash *node;
	struct trie_keys keys = {0};
	int error;

	if (!hash_holds_together(walk, entry, depth))
		return -EINVAL;
	node = (const void *)(view->words + EGRESS_TRIE_CHILD(entry));
	error = trie_hash_keys(&memory, entry, &keys);
	if (!error) {
		if (keys.count)
			qsort(keys.items, keys.count, sizeof(*keys.items), compare_keys);
		error = walk_keys(walk, &keys, node->other, address, depth, node->bytes);
	}
	trie_keys_clear(&keys);
	return error;
}

/* How many leading bits of the mask are set; -EINVAL where others are set behind them. `depth` bits count as set. */
static int mask_length(const uint8_t mask[16], unsigned int depth, unsigned int *out)
{
	unsigned int bit, length = depth;

	while (length < 128 && mask[length / 8] & (0x80 >> length % 8))
		length++;
	for (bit = length; bit < 128; bit++)
		if (mask[bit / 8] & (0x80 >> bit % 8))
			return -EINVAL;
	*out = length;
	return 0;
}

/* Whether the known part of the address, its first `depth` bits, can be that of the node. */
static bool known_part_fits(const struct ip_address *address, const struct egress_trie_skip *skip, unsigned int depth)
{
	const uint8_t *mask = (const uint8_t *)skip->mask, *value = (const uint8_t *)skip->value;
	unsigned int i;

	for (i = 0; i < depth / 8; i++)
		if ((address->bytes[i] & mask[i]) != value[i])
			return false;
	return true;
}

/*
 * Bit by bit along the node's value: what branches off before it is `other`, what is left at the end goes on with
 * `match`.
 */
static int walk_below_skip(struct trie_walk *walk, const struct egress_trie_skip *skip, struct ip_address *address,
			   unsigned int depth, unsigned int length)
{
	const uint8_t *value = (const uint8_t *)skip->value;
	struct ip_address aside = *address;
	uint8_t bit = (uint8_t)(0x80 >> depth % 8);
	int error;

	if (depth == length) {
		/* The blocks below are judged from a whole byte; bits between are the same on every way there. */
		if (EGRESS_TRIE_KIND(skip->match) == EGRESS_TRIE_LEAF)
			return emit_span(walk, address, depth, EGRESS_TRIE_VALUE(skip->match));
		if (depth % 8 || (EGRESS_TRIE_KIND(skip->match) != EGRESS_TRIE_SKIP && skip->depth * 8 != depth))
			return -EINVAL;
		return walk_entry(walk, skip->match, address, depth);
	}
	if (value[depth / 8] & bit) {
		aside.bytes[depth / 8] &= (uint8_t)~bit;
		error = emit_span(walk, &aside, depth + 1, EGRESS_TRIE_VALUE(skip->other));
		address->bytes[depth / 8] |= bit;
		return error ? error : walk_below_skip(walk, skip, address, depth + 1, length);
	}
	address->bytes[depth / 8] &= (uint8_t)~bit;
	error = walk_below_skip(walk, skip, address, depth + 1, length);
	if (error)
		return error;
	aside.bytes[depth / 8] |= bit;
	return emit_span(walk, &aside, depth + 1, EGRESS_TRIE_VALUE(skip->other));
}

static int walk_skip(struct trie_walk *walk, uint32_t entry, const struct ip_address *address, unsigned int depth)
{
	uint32_t at = EGRESS_TRIE_CHILD(entry);
	const uint32_t *chunk = egress_table_chunk(&walk->bank->memory, at);
	struct ip_address below = *address;
	const struct egress_trie_skip *skip;
	unsigned int length;

	if (!chunk || walk->family != 6)
		return -EINVAL;
	skip = (const void *)(chunk + (at & (EGRESS_CHUNK_WORDS - 16)));
	if (mask_length((const uint8_t *)skip->mask, depth, &length) ||
	    EGRESS_TRIE_KIND(skip->other) != EGRESS_TRIE_LEAF)
		return -EINVAL;
	/* Two nodes at one depth could lead to each other for ever. */
	if (length == depth && EGRESS_TRIE_KIND(skip->match) == EGRESS_TRIE_SKIP)
		return -EINVAL;
	if (!known_part_fits(address, skip, depth))
		return emit_span(walk, &below, depth, EGRESS_TRIE_VALUE(skip->other));
	return walk_below_skip(walk, skip, &below, depth, length);
}

/* Everything below the first `depth` bits of the address; depth is a multiple of 8. */
static int walk_entry(struct trie_walk *walk, uint32_t entry, struct ip_address *address, unsigned int depth)
{
	switch (EGRESS_TRIE_KIND(entry)) {
	case EGRESS_TRIE_LEAF:
		return emit_span(walk, address, depth, EGRESS_TRIE_VALUE(entry));
	case EGRESS_TRIE_SKIP:
		return walk_skip(walk, entry, address, depth);
	case EGRESS_TRIE_FULL:
		return walk_full(walk, entry, address, depth);
	case EGRESS_TRIE_BITS:
		return walk_bits(walk, entry, address, depth);
	case EGRESS_TRIE_HASH:
		return walk_hash(walk, entry, address, depth);
	default:
		return walk_ranges(walk, entry, address, depth);
	}
}

static int walk_ipv4(struct trie_walk *walk)
{
	struct ip_address address = {.family = 4};
	uint32_t high, entry;
	int error;

	for (high = 0; high < 65536; high++) {
		if (read_word(walk->bank, walk->bank->words.ipv4_root + high, &entry))
			return -EINVAL;
		address.bytes[0] = (uint8_t)(high >> 8);
		address.bytes[1] = (uint8_t)high;
		error = walk_entry(walk, entry, &address, 16);
		if (error)
			return error;
	}
	return 0;
}

static int walk_ipv6(struct trie_walk *walk)
{
	struct ip_address address = {.family = 6};

	return walk_entry(walk, walk->bank->words.ipv6_root, &address, 0);
}

static int finish_walk(struct trie_walk *walk)
{
	return walk->pending ? walk->visit(&walk->range, walk->data) : 0;
}

int bank_each_class(const struct bank *bank, class_visitor visit, void *data)
{
	struct trie_walk ipv4 = {.bank = bank, .visit = visit, .data = data, .family = 4, .length = 4};
	struct trie_walk ipv6 = {.bank = bank, .visit = visit, .data = data, .family = 6, .length = 16};
	int error = walk_ipv4(&ipv4);

	if (!error)
		error = finish_walk(&ipv4);
	if (!error)
		error = walk_ipv6(&ipv6);
	if (!error)
		error = finish_walk(&ipv6);
	return error;
}
