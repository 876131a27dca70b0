/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One address of the trie in force gets another class. Every function gives the entry that is to stand in its parent in
 * place of `entry`; where that is the same one, the word was changed further down. What packets see before, between and
 * after the words that are written, one but for a key of a hash node with tags or of runs, is the old class or the new
 * one.
 */
#include <errno.h>
#include <string.h>

#include "policy/trie_hash.h"
#include "policy/trie_node.h"
#include "policy/trie_rows.h"
#include "policy/trie_runs.h"

static bool is_full(uint32_t entry)
{
	return EGRESS_TRIE_KIND(entry) == EGRESS_TRIE_FULL;
}

/* ------------------------------------------------------------------ nodes of ranges */

static size_t range_of(const struct trie_ranges *ranges, uint32_t value)
{
	size_t i = ranges->count - 1;

	while (ranges->start[i] > value)
		i--;
	return i;
}

/* So many bytes of the address as what the starts of ranges are. */
static uint32_t range_number(uint32_t value, unsigned int bytes)
{
	return bytes == 1 ? value * TRIE_FAN_OUT : value;
}

/* The values from this one up to `end` get another entry. */
static void replace_values(struct trie_ranges *ranges, uint32_t value, uint32_t end, uint32_t entry)
{
	const struct trie_ranges old = *ranges;
	size_t at = range_of(&old, value), i;

	ranges->count = 0;
	for (i = 0; i <= at; i++)
		trie_ranges_append(ranges, old.start[i], old.entry[i]);
	trie_ranges_append(ranges, value, entry);
	if (end < 0x10000 && (at + 1 == old.count || old.start[at + 1] > end))
		trie_ranges_append(ranges, end, old.entry[at]);
	for (i = at + 1; i < old.count; i++)
		trie_ranges_append(ranges, old.start[i], old.entry[i]);
}

/* What the ranges say of first .. first + 255: of the second of two bytes, alone. */
static void narrow_ranges(const struct trie_ranges *ranges, uint32_t first, struct trie_ranges *out)
{
	size_t i = range_of(ranges, first);

	out->count = 0;
	trie_ranges_append(out, 0, ranges->entry[i]);
	for (i++; i < ranges->count && ranges->start[i] < first + TRIE_FAN_OUT; i++)
		trie_ranges_append(out, range_number(ranges->start[i] - first, 1), ranges->entry[i]);
}

/* A node for one byte: of ranges only where that byte is the last. */
static int new_byte_node(const struct trie *trie, const struct trie_ranges *ranges, bool is_last, uint32_t *result)
{
	uint32_t entries[TRIE_FAN_OUT], i;

	if (is_last && ranges->count <= TRIE_RANGES_MAX)
		return trie_new_ranges(trie, ranges, result);
	for (i = 0; i < TRIE_FAN_OUT; i++)
		entries[i] = ranges->entry[range_of(ranges, range_number(i, 1))];
	return trie_new_full(trie, entries, result);
}

/*
 * More ranges of two bytes than fit into a node become a full block of nodes for the second byte. is_last: that is the
 * last byte of the address.
 */
static int split_ranges(const struct trie *trie, const struct trie_ranges *ranges, bool is_last, uint32_t *result)
{
	uint32_t entries[TRIE_FAN_OUT], i;

	for (i = 0; i < TRIE_FAN_OUT; i++) {
		struct trie_ranges inner;
		int error = 0;

		narrow_ranges(ranges, i * TRIE_FAN_OUT, &inner);
		entries[i] = inner.entry[0];
		/* What is behind the second byte can only be reached through a node for it, leaves excepted. */
		if (inner.count > 1 || EGRESS_TRIE_KIND(entries[i]) != EGRESS_TRIE_LEAF)
			error = new_byte_node(trie, &inner, is_last, &entries[i]);
		if (error < 0)
			return error;
	}
	return trie_new_full(trie, entries, result);
}

/* Replaces the entry for `value`, which is so many bytes of the address; left: those behind them. */
static int set_range(const struct trie *trie, struct trie_ranges *ranges, uint32_t value, uint32_t child,
		     unsigned int bytes, unsigned int left, uint32_t *result)
{
	replace_values(ranges, range_number(value, bytes), range_number(value + 1, bytes), child);
	if (ranges->count <= TRIE_RANGES_MAX)
		return trie_new_ranges(trie, ranges, result);
	return bytes == 2 ? split_ranges(trie, ranges, !left, result) : new_byte_node(trie, ranges, true, result);
}

static void set_in_place(const struct trie *trie, uint32_t block, uint32_t index, uint32_t child)
{
	trie_publish(&trie->memory->words[EGRESS_TRIE_CHILD(block) + index], child);
}

/* ------------------------------------------------------------------ nodes of bits */

static struct egress_trie_bits *bits_node(const struct trie *trie, uint32_t entry)
{
	return (void *)(trie->memory->words + EGRESS_TRIE_CHILD(entry));
}

/* A third entry has no room: all of them in a full block. */
static int set_bits(const struct trie *trie, uint32_t entry, unsigned int byte, uint32_t child, uint32_t *result)
{
	struct egress_trie_bits *node = bits_node(trie, entry);
	uint32_t entries[TRIE_FAN_OUT], i;

	if (child == node->entry[0] || child == node->entry[1]) {
		trie_publish(&node->bits[byte / 32], node->bits[byte / 32] ^ 1u << byte % 32);
		*result = entry;
		return 0;
	}
	for (i = 0; i < TRIE_FAN_OUT; i++)
		entries[i] = trie_bits_entry(node, i);
	entries[byte] = child;
	return trie_new_full(trie, entries, result);
}

/* ------------------------------------------------------------------ IPv4 */

/* bits: below this entry, 16 or 8; value: those of the address. */
static int set4_ranges(const struct trie *trie, uint32_t entry, unsigned int bits, uint32_t value, uint32_t class,
		       uint32_t *result)
{
	struct trie_ranges ranges = {.count = 1, .entry[0] = entry};

	if (EGRESS_TRIE_KIND(entry) != EGRESS_TRIE_LEAF)
		trie_read_ranges(trie->memory, entry, &ranges);
	if (ranges.entry[range_of(&ranges, range_number(value, bits / 8))] == trie_leaf(class))
		return 0;
	return set_range(trie, &ranges, value, trie_leaf(class), bits / 8, 0, result);
}

static int set4_hash(const struct trie *trie, uint32_t entry, uint32_t value, uint32_t class, uint32_t *result)
{
	if (trie_hash_find(trie->memory, entry, value).entry == trie_leaf(class))
		return 0;
	return trie_hash_set(trie, entry, value, trie_leaf(class), result);
}

static int set4(const struct trie *trie, uint32_t entry, unsigned int bits, uint32_t value, uint32_t class,
		uint32_t *result);

/* More classes or rows than such a node has room for: a full block. */
static int set4_rows(const struct trie *trie, uint32_t entry, uint32_t value, uint32_t class, uint32_t *result)
{
	uint32_t block;
	int error = trie_rows_set(trie, entry, value, trie_leaf(class), result);

	if (error != -E2BIG)
		return error;
	error = trie_rows_to_block(trie, entry, &block);
	return error < 0 ? error : set4(trie, block, 16, value, class, result);
}

static int set4(const struct trie *trie, uint32_t entry, unsigned int bits, uint32_t value, uint32_t class,
		uint32_t *result)
{
	uint32_t child, old, byte = value >> 8;
	int error;

	*result = entry;
	if (EGRESS_TRIE_KIND(entry) == EGRESS_TRIE_BITS)
		return trie_bits_entry(bits_node(trie, entry), value) == trie_leaf(class) ?
			       0 : set_bits(trie, entry, value, trie_leaf(class), result);
	if (EGRESS_TRIE_KIND(entry) == EGRESS_TRIE_ROWS)
		return set4_rows(trie, entry, value, class, result);
	if (EGRESS_TRIE_KIND(entry) == EGRESS_TRIE_TAGGED2)
		return set4_hash(trie, entry, value, class, result);
	if (!is_full(entry))
		return set4_ranges(trie, entry, bits, value, class, result);
	if (bits == 8) {
		set_in_place(trie, entry, value, trie_leaf(class));
		return 0;
	}
	old = trie->memory->words[EGRESS_TRIE_CHILD(entry) + byte];
	error = set4(trie, old, 8, value & 0xff, class, &child);
	if (!error && child != old)
		set_in_place(trie, entry, byte, child);
	return error;
}

int trie_set_ipv4(const struct trie *trie, uint32_t root, address_number address, uint32_t class)
{
	uint32_t *word = &trie->memory->words[root + (uint32_t)(address >> 16)], entry;
	int error = set4(trie, *word, 16, (uint32_t)address & 0xffff, class, &entry);

	if (!error && entry != *word)
		trie_publish(word, entry);
	return error;
}

/* ------------------------------------------------------------------ IPv6 */

/* One address of this class, from byte `depth` on; the others are `other`, a leaf. */
static int lone_address(const struct trie *trie, uint32_t other, unsigned int depth, address_number address,
			uint32_t class, uint32_t *result)
{
	*result = trie_leaf(class);
	return depth == 16 ? 0 : trie_new_skip(trie, address, depth, 128, trie_leaf(class), other, result);
}

static int set6(const struct trie *trie, uint32_t entry, unsigned int depth, address_number address, uint32_t class,
		uint32_t *result);

/*
 * The address leaves the skip node's path, of `end` whole bytes to `value`, at byte `at`: a block there, with the rest of
 * the path and the address below it, and a skip node before it for the bytes that both have.
 */
static int split_skip(const struct trie *trie, const struct egress_trie_skip *skip, unsigned int depth,
		      address_number value, unsigned int end, unsigned int at, address_number address, uint32_t class,
		      uint32_t *result)
{
	uint32_t entries[TRIE_FAN_OUT], block, i;
	uint32_t *old, *new;
	int error = 0;

	for (i = 0; i < TRIE_FAN_OUT; i++)
		entries[i] = skip->other;
	old = &entries[ipv6_byte(value, at)];
	new = &entries[ipv6_byte(address, at)];
	*old = skip->match;
	if (at + 1 < end)
		error = trie_new_skip(trie, value, at + 1, 8 * end, skip->match, skip->other, old);
	if (!error)
		error = lone_address(trie, skip->other, at + 1, address, class, new);
	if (!error)
		error = trie_new_full(trie, entries, &block);
	if (error)
		return error;
	*result = block;
	if (at == depth)
		return 0;
	return trie_new_skip(trie, address, depth, 8 * at, block, skip->other, result);
}

/*
 * A skip node to a leaf whose path ends within byte length / 8, to change something below it: a block for that byte, and a
 * skip node before it.
 */
static int skip_to_whole_bytes(const struct trie *trie, const struct egress_trie_skip *skip, unsigned int depth,
			       address_number value, unsigned int length, uint32_t *result)
{
	uint32_t entries[TRIE_FAN_OUT], block, i;
	unsigned int at = length / 8, bits = 8 - length % 8;
	int error;

	for (i = 0; i < TRIE_FAN_OUT; i++)
		entries[i] = i >> bits == (uint32_t)ipv6_byte(value, at) >> bits ? skip->match : skip->other;
	error = trie_new_full(trie, entries, &block);
	if (error < 0)
		return error;
	*result = block;
	return at == depth ? 0 : trie_new_skip(trie, value, depth, 8 * at, block, skip->other, result);
}

static int set6_part_of_byte(const struct trie *trie, uint32_t entry, unsigned int depth, address_number value,
			     unsigned int length, address_number address, uint32_t class, uint32_t *result)
{
	const struct egress_trie_skip *skip = (void *)(trie->memory->words + EGRESS_TRIE_CHILD(entry));
	/* What is before `depth` agrees, or the walk would not be here. */
	bool matches = !((address ^ value) & highest_number(128 - 8 * depth) & ~highest_number(128 - length));
	int error;

	if ((matches ? skip->match : skip->other) == trie_leaf(class))
		return 0;
	error = skip_to_whole_bytes(trie, skip, depth, value, length, &entry);
	return error < 0 ? error : set6(trie, entry, depth, address, class, result);
}

static int set6_skip(const struct trie *trie, uint32_t entry, unsigned int depth, address_number address,
		     uint32_t class, uint32_t *result)
{
	struct egress_trie_skip *skip = (void *)(trie->memory->words + EGRESS_TRIE_CHILD(entry));
	address_number value;
	unsigned int length = trie_skip_length(skip, depth, &value), end = length / 8, at;
	uint32_t match;
	int error;

	if (length % 8)
		return set6_part_of_byte(trie, entry, depth, value, length, address, class, result);
	for (at = depth; at < end; at++)
		if (ipv6_byte(address, at) != ipv6_byte(value, at))
			return skip->other == trie_leaf(class) ?
				       0 : split_skip(trie, skip, depth, value, end, at, address, class, result);
	error = set6(trie, skip->match, end, address, class, &match);
	if (!error && match != skip->match)
		trie_publish(&skip->match, match);
	return error;
}

/* Where the address leaves the ranges, *result is a node with it; elsewhere *result stays. */
static int set6_listed(const struct trie *trie, struct trie_ranges *ranges, unsigned int depth, address_number address,
		       uint32_t class, uint32_t *result)
{
	unsigned int bytes = depth < 15 ? 2 : 1;
	uint32_t value = ipv6_byte(address, depth), child, old;
	int error;

	if (bytes == 2)
		value = value << 8 | ipv6_byte(address, depth + 1);
	old = ranges->entry[range_of(ranges, range_number(value, bytes))];
	error = set6(trie, old, depth + bytes, address, class, &child);
	if (error < 0 || child == old)
		return error;
	return set_range(trie, ranges, value, child, bytes, 16 - depth - bytes, result);
}

static int set6_ranges(const struct trie *trie, uint32_t entry, unsigned int depth, address_number address,
		       uint32_t class, uint32_t *result)
{
	struct trie_ranges ranges;

	trie_read_ranges(trie->memory, entry, &ranges);
	return set6_listed(trie, &ranges, depth, address, class, result);
}

/* Below entry `index` of a block, which stays where it is; depth: behind that index. */
static int set6_block(const struct trie *trie, uint32_t block, uint32_t index, unsigned int depth, address_number address,
		      uint32_t class)
{
	uint32_t old = trie->memory->words[EGRESS_TRIE_CHILD(block) + index], child;
	int error = set6(trie, old, depth, address, class, &child);

	if (!error && child != old)
		set_in_place(trie, block, index, child);
	return error;
}

static int set6_bits(const struct trie *trie, uint32_t entry, unsigned int depth, address_number address,
		     uint32_t class, uint32_t *result)
{
	uint8_t byte = ipv6_byte(address, depth);
	uint32_t old = trie_bits_entry(bits_node(trie, entry), byte), child;
	int error = set6(trie, old, depth + 1, address, class, &child);

	return error < 0 || child == old ? error : set_bits(trie, entry, byte, child, result);
}

/* The network that is alone below a slot's key becomes a skip node, below which the address is changed. */
static int set_below_lone(const struct trie *trie, const struct trie_key *slot, uint32_t other, unsigned int depth,
			  address_number address, uint32_t class, uint32_t *child)
{
	address_number network = address & ~highest_number(128 - 8 * depth);
	unsigned int length = 8 * depth + (unsigned int)__builtin_popcount(slot->mask);
	uint32_t skip;
	int error;

	network |= (address_number)slot->value << 96 >> 8 * depth;
	error = trie_new_skip(trie, network, depth, length, slot->entry, other, &skip);
	return error < 0 ? error : set6(trie, skip, depth, address, class, child);
}

static int set6_hash(const struct trie *trie, uint32_t entry, unsigned int depth, address_number address,
		     uint32_t class, uint32_t *result)
{
	unsigned int end = depth + trie_hash_bytes(entry);
	uint32_t key = (uint32_t)((address >> (128 - 8 * end)) & highest_number(8 * (end - depth)));
	struct trie_key slot = trie_hash_find(trie->memory, entry, key);
	uint32_t other = trie_hash_other(trie->memory, entry), child;
	int error;

	if (!slot.mask) {
		error = set6(trie, slot.entry, end, address, class, &child);
		return error < 0 || child == slot.entry ? error : trie_hash_set(trie, entry, key, child, result);
	}
	if ((trie_key_matches(&slot, address, end) ? slot.entry : other) == trie_leaf(class))
		return 0;
	error = set_below_lone(trie, &slot, other, end, address, class, &child);
	return error < 0 ? error : trie_hash_set(trie, entry, key, child, result);
}

static int set6_runs(const struct trie *trie, uint32_t entry, unsigned int depth, address_number address,
		     uint32_t class, uint32_t *result)
{
	unsigned int end = depth + TRIE_RUN_BYTES;
	uint32_t key = (uint32_t)((address >> (128 - 8 * end)) & UINT32_MAX), child;
	const struct egress_trie_run *run = trie_runs_find(trie->memory, entry, key);
	uint32_t old = run ? trie_run_entry(run) : trie_runs_other(trie->memory, entry);
	struct trie_ranges ranges;
	int error;

	if (run && EGRESS_TRIE_KIND(old) == EGRESS_TRIE_LEAF) {
		/* What leaves the ranges that the bucket holds gets a node with all of them. */
		trie_run_ranges(run, &ranges);
		child = old;
		error = set6_listed(trie, &ranges, end, address, class, &child);
	} else {
		error = set6(trie, old, end, address, class, &child);
	}
	return error < 0 || child == old ? error : trie_runs_set(trie, entry, key, child, result);
}

static int set6(const struct trie *trie, uint32_t entry, unsigned int depth, address_number address, uint32_t class,
		uint32_t *result)
{
	*result = entry;
	if (entry == trie_leaf(class))
		return 0;
	if (EGRESS_TRIE_KIND(entry) == EGRESS_TRIE_LEAF)
		return lone_address(trie, entry, depth, address, class, result);
	if (EGRESS_TRIE_KIND(entry) == EGRESS_TRIE_SKIP)
		return set6_skip(trie, entry, depth, address, class, result);
	if (EGRESS_TRIE_KIND(entry) == EGRESS_TRIE_BITS)
		return set6_bits(trie, entry, depth, address, class, result);
	if (EGRESS_TRIE_KIND(entry) >= EGRESS_TRIE_HASH2)
		return set6_hash(trie, entry, depth, address, class, result);
	if (EGRESS_TRIE_KIND(entry) == EGRESS_TRIE_RUNS)
		return set6_runs(trie, entry, depth, address, class, result);
	if (is_full(entry))
		return set6_block(trie, entry, ipv6_byte(address, depth), depth + 1, address, class);
	if (EGRESS_TRIE_KIND(entry) == EGRESS_TRIE_WIDE)
		return set6_block(trie, entry, (uint32_t)ipv6_byte(address, depth) << 8 | ipv6_byte(address, depth + 1),
				  depth + 2, address, class);
	return set6_ranges(trie, entry, depth, address, class, result);
}

int trie_set_ipv6(const struct trie *trie, uint32_t *root, address_number address, uint32_t class)
{
	uint32_t entry;
	int error = set6(trie, *root, 0, address, class, &entry);

	if (!error && entry != *root)
		trie_publish(root, entry);
	return error;
}
