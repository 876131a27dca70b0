/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/trie_rows.h"

#include <errno.h>
#include <string.h>

/* Rows that are added at once where one is missing: it will not be the last one. */
#define ROWS_TO_GROW 16u

static size_t node_words(uint32_t room)
{
	return EGRESS_ROWS_BITS_WORD + room * EGRESS_ROWS_BIT_WORDS;
}

/* So many that no word of a unit is left. */
static uint32_t whole_units(uint32_t rows)
{
	const uint32_t unit = TRIE_UNIT_WORDS / EGRESS_ROWS_BIT_WORDS;

	return (rows + unit - 1) / unit * unit;
}

/* ------------------------------------------------------------------ as it is compiled */

static bool add_row(struct egress_trie_rows *rows, uint32_t *number)
{
	if (rows->count == EGRESS_ROWS_MAX)
		return false;
	*number = rows->count++;
	memset(rows->bits[*number], 0, sizeof(rows->bits[0]));
	return true;
}

/* The second entry is that of first .. last, two numbers with the same first byte. */
static bool put_in_byte(struct egress_trie_rows *rows, uint32_t first, uint32_t last)
{
	uint32_t byte = first >> 8, number = rows->row[byte];

	if (!number) {
		if (!add_row(rows, &number))
			return false;
		rows->row[byte] = (uint8_t)number;
	}
	trie_set_bits(rows->bits[number], first & 0xff, (last & 0xff) + 1);
	return true;
}

/* The same of whole bytes, which share a row; *number is that row, or 0 as long as there is none. */
static bool put_whole_bytes(struct egress_trie_rows *rows, uint32_t byte, uint32_t end, uint32_t *number)
{
	if (byte >= end)
		return true;
	if (!*number) {
		if (!add_row(rows, number))
			return false;
		memset(rows->bits[*number], 0xff, sizeof(rows->bits[0]));
	}
	memset(rows->row + byte, (int)*number, end - byte);
	return true;
}

static bool put_range(struct egress_trie_rows *rows, uint32_t first, uint32_t last, uint32_t *whole)
{
	uint32_t byte = (first + 0xff) >> 8, end = (last + 1) >> 8;

	if (byte > end) /* neither begins nor ends one */
		return put_in_byte(rows, first, last);
	if (first & 0xff && !put_in_byte(rows, first, first | 0xff))
		return false;
	if ((last + 1) & 0xff && !put_in_byte(rows, last & ~0xffu, last))
		return false;
	return put_whole_bytes(rows, byte, end, whole);
}

bool trie_find_rows(const struct trie_part *part, address_number base, struct trie_rows *out)
{
	uint32_t usual = trie_usual_class(part, base, 16), other = usual, whole = 0, number;
	struct egress_trie_rows *rows = trie_rows_image(out);
	address_number first, last;
	size_t i;

	memset(rows, 0, sizeof(*rows));
	add_row(rows, &number);
	for (i = part->first; i <= part->last; i++) {
		uint32_t class = part->ranges->value[i];

		if (class == usual)
			continue;
		if (other != usual && class != other)
			return false;
		other = class;
		trie_part_offsets(part, base, 16, i, &first, &last);
		if (!put_range(rows, (uint32_t)first, (uint32_t)last, &whole))
			return false;
	}
	rows->entry[0] = trie_leaf(usual);
	rows->entry[1] = trie_leaf(other);
	rows->room = whole_units(rows->count);
	return true;
}

size_t trie_rows_words(const struct trie_rows *rows)
{
	const struct egress_trie_rows *node = (const void *)rows->words;

	return node_words(node->room);
}

int trie_new_rows(const struct trie *trie, const struct trie_rows *rows, uint32_t *entry)
{
	const struct egress_trie_rows *from = (const void *)rows->words;
	uint32_t address;
	int error = memory_take_in_chunk(trie->memory, trie->bank, node_words(from->room), TRIE_UNIT_WORDS, &address);

	if (error < 0)
		return error;
	if (trie->memory->words)
		memcpy(trie->memory->words + address, from, node_words(from->count) * sizeof(uint32_t));
	*entry = EGRESS_TRIE_POINTER(EGRESS_TRIE_ROWS, address);
	return 0;
}

/* ------------------------------------------------------------------ one address of the trie in force */

static struct egress_trie_rows *rows_node(const struct trie *trie, uint32_t entry)
{
	return (void *)(trie->memory->words + EGRESS_TRIE_CHILD(entry));
}

/* The number of an address's word in its row. */
static uint32_t word_in_row(uint32_t value)
{
	return value / 32 % EGRESS_ROWS_BIT_WORDS;
}

static const uint32_t *bits_word(const struct egress_trie_rows *rows, uint32_t value)
{
	return &rows->bits[rows->row[value >> 8]][word_in_row(value)];
}

uint32_t trie_rows_entry(const struct egress_trie_rows *rows, uint32_t value)
{
	return rows->entry[*bits_word(rows, value) >> value % 32 & 1];
}

bool trie_rows_word_is_of_one(const struct egress_trie_rows *rows, uint32_t value)
{
	uint32_t word = *bits_word(rows, value);

	return word == 0 || word == UINT32_MAX;
}

static bool is_shared(const struct egress_trie_rows *rows, uint32_t byte)
{
	uint32_t i;

	for (i = 0; i < TRIE_FAN_OUT; i++)
		if (i != byte && rows->row[i] == rows->row[byte])
			return true;
	return false;
}

/* The byte gets a row of its own, as it was but for one address. There is room for it. */
static void split_row(struct egress_trie_rows *rows, uint32_t value)
{
	uint32_t byte = value >> 8, number = rows->count++;

	memcpy(rows->bits[number], rows->bits[rows->row[byte]], sizeof(rows->bits[0]));
	rows->bits[number][word_in_row(value)] ^= 1u << value % 32;
	__atomic_store_n(&rows->row[byte], (uint8_t)number, __ATOMIC_RELEASE);
}

static int split_row_anew(const struct trie *trie, const struct egress_trie_rows *rows, uint32_t value, uint32_t *result)
{
	uint32_t room = rows->room + ROWS_TO_GROW;
	struct trie_rows new;

	memcpy(new.words, rows, node_words(rows->count) * sizeof(uint32_t));
	trie_rows_image(&new)->room = room < EGRESS_ROWS_MAX ? room : EGRESS_ROWS_MAX;
	split_row(trie_rows_image(&new), value);
	return trie_new_rows(trie, &new, result);
}

int trie_rows_set(const struct trie *trie, uint32_t entry, uint32_t value, uint32_t leaf, uint32_t *result)
{
	struct egress_trie_rows *rows = rows_node(trie, entry);
	uint32_t *bits;

	if (leaf != rows->entry[0] && leaf != rows->entry[1])
		return -E2BIG;
	*result = entry;
	if (trie_rows_entry(rows, value) == leaf)
		return 0;
	if (!is_shared(rows, value >> 8)) {
		bits = &rows->bits[rows->row[value >> 8]][word_in_row(value)];
		trie_publish(bits, *bits ^ 1u << value % 32);
		return 0;
	}
	if (rows->count == EGRESS_ROWS_MAX)
		return -E2BIG;
	if (rows->count == rows->room)
		return split_row_anew(trie, rows, value, result);
	split_row(rows, value);
	return 0;
}

static bool is_of_one(const struct egress_trie_rows *rows, uint32_t byte)
{
	const uint32_t *words = rows->bits[rows->row[byte]];
	uint32_t i;

	for (i = 1; i < EGRESS_ROWS_BIT_WORDS; i++)
		if (words[i] != words[0])
			return false;
	return trie_rows_word_is_of_one(rows, byte << 8);
}

/* The entry for a byte of a block. */
static int byte_entry(const struct trie *trie, const struct egress_trie_rows *rows, uint32_t byte, uint32_t *entry)
{
	struct egress_trie_bits bits = {.entry = {rows->entry[0], rows->entry[1]}};

	if (is_of_one(rows, byte)) {
		*entry = trie_rows_entry(rows, byte << 8);
		return 0;
	}
	memcpy(bits.bits, rows->bits[rows->row[byte]], sizeof(bits.bits));
	return trie_new_bits(trie, &bits, entry);
}

int trie_rows_to_block(const struct trie *trie, uint32_t entry, uint32_t *block)
{
	const struct egress_trie_rows *rows = rows_node(trie, entry);
	uint32_t entries[TRIE_FAN_OUT], byte;

	for (byte = 0; byte < TRIE_FAN_OUT; byte++) {
		int error = byte_entry(trie, rows, byte, &entries[byte]);

		if (error < 0)
			return error;
	}
	return trie_new_full(trie, entries, block);
}
