/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/bank.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "policy/table_walk.h"
#include "policy/trie_hash.h"
#include "policy/trie_node.h"
#include "policy/trie_rows.h"
#include "policy/trie_runs.h"

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

/* The tables for functions that read a trie; nothing is written to them. */
static struct memory walked_memory(const struct trie_walk *walk)
{
	const struct table_view *view = &walk->bank->memory;

	return (struct memory){.words = (uint32_t *)view->words, .word_count = view->word_count};
}

static void put_value(struct ip_address *address, unsigned int at, unsigned int bytes, uint32_t value)
{
	for (; bytes; bytes--)
		address->bytes[at++] = (uint8_t)(value >> 8 * (bytes - 1));
}

/* All entries of a block by so many bytes. */
static int walk_block(struct trie_walk *walk, uint32_t entry, unsigned int bytes, struct ip_address *address,
		      unsigned int depth)
{
	uint32_t value;
	int error;

	if (depth / 8 + bytes > walk->length)
		return -EINVAL;
	for (value = 0; value < 1u << 8 * bytes; value++) {
		uint32_t child;

		if (read_word(walk->bank, EGRESS_TRIE_CHILD(entry) + value, &child))
			return -EINVAL;
		put_value(address, depth / 8, bytes, value);
		error = walk_entry(walk, child, address, depth + 8 * bytes);
		if (error)
			return error;
	}
	return 0;
}

/* All addresses whose next bytes are first .. last: one class, or what is below each of them. */
static int walk_values(struct trie_walk *walk, uint32_t entry, struct ip_address *address, unsigned int depth,
		       unsigned int bytes, uint32_t first, uint32_t last)
{
	struct class_range range = {.class = EGRESS_TRIE_VALUE(entry)}, end;
	uint64_t value; /* goes beyond the last value of four bytes */
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
		put_value(address, depth / 8, bytes, (uint32_t)value);
		error = walk_entry(walk, entry, address, depth + 8 * bytes);
	}
	return error;
}

/* What the ranges say of the next bytes; of one byte that is left, their numbers are 256 times it. */
static int walk_listed_ranges(struct trie_walk *walk, const struct trie_ranges *ranges, struct ip_address *address,
			      unsigned int depth, unsigned int bytes)
{
	uint32_t step = bytes == 2 ? 1 : 256, first, end;
	size_t i;
	int error = 0;

	for (i = 0; i < ranges->count && !error; i++) {
		first = ranges->start[i];
		end = i + 1 < ranges->count ? ranges->start[i + 1] : 0x10000;
		if (first >= end || end > 0x10000 || first % step || end % step)
			return -EINVAL;
		error = walk_values(walk, ranges->entry[i], address, depth, bytes, first / step, end / step - 1);
	}
	return error;
}

static int walk_ranges(struct trie_walk *walk, uint32_t entry, struct ip_address *address, unsigned int depth)
{
	const struct memory memory = walked_memory(walk);
	unsigned int bytes = depth / 8 + 2u <= walk->length ? 2 : 1;
	struct trie_ranges ranges;

	if (depth / 8 >= walk->length || EGRESS_TRIE_KIND(entry) > EGRESS_TRIE_RANGES37 ||
	    EGRESS_TRIE_CHILD(entry) + (size_t)EGRESS_RANGES37_WORDS > memory.word_count)
		return -EINVAL;
	if (!trie_read_ranges(&memory, entry, &ranges))
		return -EINVAL;
	return walk_listed_ranges(walk, &ranges, address, depth, bytes);
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

/*
 * A node of rows as it is now, all that packets read of it. The agent may change it meanwhile: the numbers of rows come
 * first, as it writes a row before its number. False: it does not hold together.
 */
static bool read_rows(const struct trie_walk *walk, uint32_t at, struct trie_rows *out)
{
	const struct table_view *view = &walk->bank->memory;
	const struct egress_trie_rows *rows = trie_rows_image(out);
	size_t end = (size_t)at + EGRESS_ROWS_BITS_WORD, byte;

	if (end > view->word_count)
		return false;
	memcpy(out->words, view->words + at, EGRESS_ROWS_BITS_WORD * sizeof(uint32_t));
	if (rows->room > EGRESS_ROWS_MAX)
		return false;
	end += (size_t)EGRESS_ROWS_BIT_WORDS * rows->room;
	if (end > view->word_count || at >> EGRESS_CHUNK_SHIFT != (end - 1) >> EGRESS_CHUNK_SHIFT)
		return false;
	for (byte = 0; byte < TRIE_FAN_OUT; byte++)
		if (rows->row[byte] >= rows->room)
			return false;
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	memcpy(out->words + EGRESS_ROWS_BITS_WORD, view->words + at + EGRESS_ROWS_BITS_WORD,
	       EGRESS_ROWS_BIT_WORDS * rows->room * sizeof(uint32_t));
	return true;
}

static int walk_rows(struct trie_walk *walk, uint32_t entry, struct ip_address *address, unsigned int depth)
{
	struct trie_rows copy;
	const struct egress_trie_rows *rows = trie_rows_image(&copy);
	uint32_t value, end;
	int error = 0;

	if (walk->family != 4 || depth != 16 || !read_rows(walk, EGRESS_TRIE_CHILD(entry), &copy))
		return -EINVAL;
	for (value = 0; value < 0x10000 && !error; value = end) {
		end = value + (value % 32 || !trie_rows_word_is_of_one(rows, value) ? 1 : 32);
		error = walk_values(walk, trie_rows_entry(rows, value), address, depth, 2, value, end - 1);
	}
	return error;
}

/* A way down without branches: addresses that agree with `value` up to bit `end` go on with `match`. */
struct path {
	address_number value; /* of the bits from where the path begins */
	unsigned int end;
	uint32_t match, other; /* trie entries; other: a leaf */
};

/* Bit by bit: what branches off before the end is `other`, what is left at the end goes on with `match`. */
static int walk_path(struct trie_walk *walk, const struct path *path, struct ip_address *address, unsigned int depth)
{
	struct ip_address aside = *address;
	uint8_t bit = (uint8_t)(0x80 >> depth % 8);
	int error;

	if (depth == path->end)
		return EGRESS_TRIE_KIND(path->match) == EGRESS_TRIE_LEAF ?
			       emit_span(walk, address, depth, EGRESS_TRIE_VALUE(path->match)) :
			       walk_entry(walk, path->match, address, depth);
	if (path->value >> (127 - depth) & 1) {
		aside.bytes[depth / 8] &= (uint8_t)~bit;
		error = emit_span(walk, &aside, depth + 1, EGRESS_TRIE_VALUE(path->other));
		address->bytes[depth / 8] |= bit;
		return error ? error : walk_path(walk, path, address, depth + 1);
	}
	address->bytes[depth / 8] &= (uint8_t)~bit;
	error = walk_path(walk, path, address, depth + 1);
	if (error)
		return error;
	aside.bytes[depth / 8] |= bit;
	return emit_span(walk, &aside, depth + 1, EGRESS_TRIE_VALUE(path->other));
}

static int walk_skip(struct trie_walk *walk, uint32_t entry, const struct ip_address *address, unsigned int depth)
{
	uint32_t at = EGRESS_TRIE_CHILD(entry);
	const uint32_t *chunk = egress_table_chunk(&walk->bank->memory, at);
	struct ip_address below = *address;
	const struct egress_trie_skip *skip;
	address_number mask;
	struct path path;

	if (!chunk || walk->family != 6 || depth >= 128)
		return -EINVAL;
	skip = (const void *)(chunk + (at & (EGRESS_CHUNK_WORDS - 16)));
	path = (struct path){.match = skip->match, .other = skip->other};
	path.end = trie_skip_length(skip, depth / 8, &path.value);
	mask = (address_number)skip->mask[0] << 64 | skip->mask[1];
	/* Leading bits only, and at least one: two nodes at one depth could lead to each other for ever. */
	if (path.end <= depth || path.end > 128 || mask != ~highest_number(128 - (path.end - depth)) ||
	    EGRESS_TRIE_KIND(skip->other) != EGRESS_TRIE_LEAF)
		return -EINVAL;
	if (EGRESS_TRIE_KIND(skip->match) != EGRESS_TRIE_LEAF && (path.end % 8 || skip->taken != path.end - depth))
		return -EINVAL;
	return walk_path(walk, &path, &below, depth);
}

static int compare_keys(const void *left, const void *right)
{
	const struct trie_key *a = left, *b = right;

	return a->key < b->key ? -1 : a->key > b->key;
}

/* The network that is alone below a slot's key. */
static int walk_slot(struct trie_walk *walk, const struct trie_key *slot, uint32_t other, const struct ip_address *address,
		     unsigned int depth, unsigned int bytes)
{
	struct path path = {.match = slot->entry, .other = other, .end = depth + 8 * bytes};
	struct ip_address below = *address;
	unsigned int bits = (unsigned int)__builtin_popcount(slot->mask);

	if (slot->mask != ~(uint32_t)highest_number(32 - bits) || slot->value & ~slot->mask ||
	    path.end + bits > walk->length * 8u || EGRESS_TRIE_KIND(slot->entry) != EGRESS_TRIE_LEAF)
		return -EINVAL;
	put_value(&below, depth / 8, bytes, slot->key);
	path.value = (address_number)slot->value << 96 >> path.end;
	path.end += bits;
	return walk_path(walk, &path, &below, depth + 8 * bytes);
}

/* What is between the last key, behind which *next is, and this one, which may be the end of all keys: `other`. */
static int walk_gap(struct trie_walk *walk, uint32_t other, struct ip_address *address, unsigned int depth,
		    unsigned int bytes, uint64_t *next, uint64_t key)
{
	uint64_t first = *next;

	if (key < first)
		return -EINVAL;
	*next = key + 1;
	return key > first ? walk_values(walk, other, address, depth, bytes, (uint32_t)first, (uint32_t)(key - 1)) : 0;
}

/* All values of the next bytes in order: those that have a child, and what is between them. */
static int walk_keys(struct trie_walk *walk, const struct trie_keys *keys, uint32_t other, struct ip_address *address,
		     unsigned int depth, unsigned int bytes)
{
	uint64_t next = 0, end = (uint64_t)1 << 8 * bytes;
	size_t i;
	int error = 0;

	for (i = 0; i < keys->count && !error; i++) {
		const struct trie_key *slot = &keys->items[i];

		if (slot->key >= end)
			return -EINVAL;
		error = walk_gap(walk, other, address, depth, bytes, &next, slot->key);
		if (!error)
			error = slot->mask ? walk_slot(walk, slot, other, address, depth, bytes) :
					     walk_values(walk, slot->entry, address, depth, bytes, slot->key, slot->key);
	}
	return error ? error : walk_gap(walk, other, address, depth, bytes, &next, end);
}

/* Whether there can be so many buckets, and all of them are in the memory. */
static bool buckets_hold_together(const struct table_view *view, uint32_t entry)
{
	size_t at = egress_hash_address(entry), buckets = egress_hash_buckets(entry);

	return buckets >= 2 && buckets <= EGRESS_HASH_BUCKETS_MAX &&
	       at + EGRESS_HASH_BUCKET_WORDS * buckets <= view->word_count;
}

/* Whether the node is one that can be, and in the memory with all its buckets. */
static bool hash_holds_together(const struct trie_walk *walk, uint32_t entry, unsigned int depth)
{
	const struct table_view *view = &walk->bank->memory;

	/* Of IPv4 it can only be that of the last two bytes, with tags. */
	return (walk->family == 6 || (depth == 16 && EGRESS_TRIE_KIND(entry) == EGRESS_TRIE_TAGGED2)) &&
	       depth + egress_hash_bits(entry) <= walk->length * 8u && buckets_hold_together(view, entry) &&
	       EGRESS_TRIE_KIND(~view->words[egress_hash_address(entry) + EGRESS_HASH_OTHER_WORD]) == EGRESS_TRIE_LEAF;
}

/* Whether packets find each key, whatever it leads to by now, and none of them what stands for all others. */
static bool hash_is_found(const struct memory *memory, uint32_t entry, const struct trie_keys *keys)
{
	uint32_t aside = memory->words[egress_hash_address(entry) + EGRESS_HASH_OTHER_WORD + 1];
	size_t i;

	for (i = 0; i < keys->count; i++)
		if (!trie_hash_has(memory, entry, keys->items[i].key))
			return false;
	return trie_hash_is_elsewhere(entry, aside);
}

static int walk_hash(struct trie_walk *walk, uint32_t entry, struct ip_address *address, unsigned int depth)
{
	const struct memory memory = walked_memory(walk);
	struct trie_keys keys = {0};
	int error;

	if (!hash_holds_together(walk, entry, depth))
		return -EINVAL;
	error = trie_hash_keys(&memory, entry, &keys);
	if (!error && !hash_is_found(&memory, entry, &keys))
		error = -EINVAL;
	if (!error) {
		if (keys.count)
			qsort(keys.items, keys.count, sizeof(*keys.items), compare_keys);
		error = walk_keys(walk, &keys, trie_hash_other(&memory, entry), address, depth, trie_hash_bytes(entry));
	}
	trie_keys_clear(&keys);
	return error;
}

static int compare_runs(const void *left, const void *right)
{
	uint32_t a = trie_run_key(left), b = trie_run_key(right);

	return a < b ? -1 : a > b;
}

/* What a bucket says of the bytes behind its key. */
static int walk_run(struct trie_walk *walk, const struct egress_trie_run *run, struct ip_address *address,
		    unsigned int depth)
{
	struct trie_ranges ranges;

	if (EGRESS_TRIE_KIND(trie_run_entry(run)) != EGRESS_TRIE_LEAF)
		return walk_entry(walk, trie_run_entry(run), address, depth);
	if (EGRESS_TRIE_KIND(run->second) != EGRESS_TRIE_LEAF || !trie_run_ranges(run, &ranges))
		return -EINVAL;
	return walk_listed_ranges(walk, &ranges, address, depth, 2);
}

/* All keys in order: those that have a bucket, and what is between them. */
static int walk_sorted_runs(struct trie_walk *walk, const struct memory *memory, uint32_t entry,
			    const struct trie_runs *runs, struct ip_address *address, unsigned int depth)
{
	uint32_t other = trie_runs_other(memory, entry);
	uint64_t next = 0, end = (uint64_t)1 << 32; /* behind the highest key */
	size_t i;
	int error = 0;

	for (i = 0; i < runs->count && !error; i++) {
		uint32_t key = trie_run_key(&runs->items[i]);

		if (!trie_runs_find(memory, entry, key))
			return -EINVAL;
		error = walk_gap(walk, other, address, depth, TRIE_RUN_BYTES, &next, key);
		put_value(address, depth / 8, TRIE_RUN_BYTES, key);
		if (!error)
			error = walk_run(walk, &runs->items[i], address, depth + 8 * TRIE_RUN_BYTES);
	}
	return error ? error : walk_gap(walk, other, address, depth, TRIE_RUN_BYTES, &next, end);
}

/* Whether the node is one that can be, and packets find the same wherever they look for a key that it does not have. */
static bool runs_hold_together(const struct trie_walk *walk, uint32_t entry, unsigned int depth)
{
	const struct table_view *view = &walk->bank->memory;
	const struct egress_trie_run *run = (const void *)(view->words + egress_hash_address(entry));
	uint32_t first = egress_run_first(entry), other, i;

	if (walk->family != 6 || depth + 8 * (TRIE_RUN_BYTES + 2) > walk->length * 8u ||
	    !buckets_hold_together(view, entry) || egress_hash_buckets(entry) < EGRESS_RUN_BUCKETS_MIN)
		return false;
	other = run[first].other & ~EGRESS_RUN_MOVED;
	for (i = first; i < egress_hash_buckets(entry); i++)
		if ((run[i].other & ~EGRESS_RUN_MOVED) != other)
			return false;
	return EGRESS_TRIE_KIND(other) == EGRESS_TRIE_LEAF;
}

static int walk_runs(struct trie_walk *walk, uint32_t entry, struct ip_address *address, unsigned int depth)
{
	const struct memory memory = walked_memory(walk);
	struct trie_runs runs = {0};
	int error;

	if (!runs_hold_together(walk, entry, depth))
		return -EINVAL;
	error = trie_runs_list(&memory, entry, &runs);
	if (!error && runs.count)
		qsort(runs.items, runs.count, sizeof(*runs.items), compare_runs);
	if (!error)
		error = walk_sorted_runs(walk, &memory, entry, &runs, address, depth);
	trie_runs_clear(&runs);
	return error;
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
		return walk_block(walk, entry, 1, address, depth);
	case EGRESS_TRIE_WIDE:
		return walk->family == 6 ? walk_block(walk, entry, 2, address, depth) : -EINVAL;
	case EGRESS_TRIE_BITS:
		return walk_bits(walk, entry, address, depth);
	case EGRESS_TRIE_ROWS:
		/* And of runs, whose kind has the same number. */
		return walk->family == 4 ? walk_rows(walk, entry, address, depth) :
					   walk_runs(walk, entry, address, depth);
	case EGRESS_TRIE_HASH2:
	case EGRESS_TRIE_TAGGED2:
	case EGRESS_TRIE_HASH3:
	case EGRESS_TRIE_TAGGED3:
	case EGRESS_TRIE_HASH4:
	case EGRESS_TRIE_TAGGED4:
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
