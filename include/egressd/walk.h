/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only OR BSD-2-Clause */
/*
 * How the tables are read: one text for the kernel's programs and for user space, so that `egressctl explain` and the
 * verdict of a packet cannot differ.
 *
 * The includer defines, before including this file:
 *
 *   static inline const __u32 *egress_table_chunk(const void *tables, __u32 address);
 *       the first word of the chunk that holds the word `address`, or NULL where there is none. `tables` is what the
 *       includer makes of it: in the kernel the first map's value, so that words in it need no look-up, in user space the
 *       mapped memory.
 *
 *   EGRESS_TABLE_BEGINS_WITH(address)
 *       whether `tables` points to the first word and that address is in chunk 0: in the kernel nearly all are, and are read
 *       without the masks that other chunks need; false in user space.
 *
 *   EGRESS_TABLE_BEGINS_WITH_HALF(half)
 *       the same of a half-word, by its number.
 *
 *   EGRESS_TABLE_HOLDS(tables, address)
 *       whether it holds the word `address` of a chunk that was found; always true where chunks are whole.
 *
 * All functions return false where a table could not be read; the packet is then dropped (EGRESS_DROP_TABLES).
 */
#ifndef EGRESSD_WALK_H
#define EGRESSD_WALK_H

#include <egressd/contract.h>
#include <egressd/tables.h>

#define EGRESS_INLINE static inline __attribute__((always_inline))

/* How the BPF back end is to treat a loop; gcc, which builds user space, does not know clang's pragmas. */
#ifdef __clang__
#define EGRESS_UNROLL _Pragma("clang loop unroll(full)")
#define EGRESS_NO_UNROLL _Pragma("clang loop unroll(disable)")
#else
#define EGRESS_UNROLL
#define EGRESS_NO_UNROLL
#endif

/*
 * What was read at the beginning of the tables stays there: the compiler would read it behind both branches instead, with the
 * masks that only the other one needs, and jump over that one.
 */
#define EGRESS_READ_HERE(value) asm volatile("" : "+r"(value))

EGRESS_INLINE _Bool egress_word(const void *tables, __u32 address, __u32 *value)
{
	const __u32 *chunk;

	if (EGRESS_TABLE_BEGINS_WITH(address)) {
		__u32 word = ((const __u32 *)tables)[address];

		EGRESS_READ_HERE(word);
		*value = word;
		return 1;
	}
	chunk = egress_table_chunk(tables, address);
	if (!chunk)
		return 0;
	*value = chunk[address & (EGRESS_CHUNK_WORDS - 1)];
	return 1;
}

/* One in each lane of bounds: what is multiplied by it is in each of them, or the sum of all lanes in the highest. */
#define EGRESS_BOUND_LANES (1ull | 1ull << EGRESS_BOUND_LANE_BITS | 1ull << 2 * EGRESS_BOUND_LANE_BITS)
/* The bit of each lane that stays set in (value | it) - bound where the bound is not above the value of 16 bits. */
#define EGRESS_BOUND_BIT 0x10000ull

/* Two words of the tables, aligned as one. */
typedef __u64 __attribute__((may_alias)) egress_double_word;

/*
 * How many bounds are not above the value; `count` double words of three lanes each begin at `bounds`. Those behind the
 * first `few` are read only where the highest bound of these is not above it: for nodes that may have many bounds and mostly
 * have few. Otherwise without branches: the verifier would follow each combination of them.
 */
EGRESS_INLINE __u32 egress_bounds_below(const __u32 *bounds, __u32 few, __u32 count, __u32 value)
{
	const egress_double_word *three = (const egress_double_word *)(const void *)bounds;
	__u64 spread = (value | EGRESS_BOUND_BIT) * EGRESS_BOUND_LANES, last = 0, sum = 0;
	__u32 i;

	EGRESS_UNROLL
	for (i = 0; i < few; i++) {
		last = (spread - three[i]) & EGRESS_BOUND_BIT * EGRESS_BOUND_LANES;
		sum += last;
	}
	if (few < count && last >> (2 * EGRESS_BOUND_LANE_BITS + 16)) {
		EGRESS_UNROLL
		for (i = few; i < count; i++)
			sum += (spread - three[i]) & EGRESS_BOUND_BIT * EGRESS_BOUND_LANES;
	}
	return (__u32)(sum * EGRESS_BOUND_LANES >> (2 * EGRESS_BOUND_LANE_BITS + 16));
}

/* The first or the second of two words, by the lowest bit of `which`: an address to read from would come later. */
EGRESS_INLINE __u32 egress_either(const __u32 *words, __u32 which)
{
	__u64 both = *(const egress_double_word *)(const void *)words;

#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
	return (__u32)(both >> (which << 5 & 32));
#else
	return (__u32)(both >> (~which << 5 & 32));
#endif
}

/*
 * The entry for a value of 16 bits in a node of ranges. Nodes never cross a chunk: they are aligned to their size. `few`: see
 * egress_bounds_below(), of a node whose entries take turns.
 */
EGRESS_INLINE _Bool egress_ranges_entry(const void *tables, __u32 value, __u32 few, __u32 *entry)
{
	__u32 kind = EGRESS_TRIE_KIND(*entry), address = EGRESS_TRIE_CHILD(*entry), index;
	const __u32 *node = egress_table_chunk(tables, address);

	if (!node)
		return 0;
	if (kind == EGRESS_TRIE_TURNS) {
		node += address & (EGRESS_CHUNK_WORDS - EGRESS_TURNS_WORDS);
		index = egress_bounds_below(node + 2, few, EGRESS_TURNS_WORDS / 2 - 1, value);
		*entry = egress_either(node, index);
		return 1;
	}
	if (kind == EGRESS_TRIE_RANGES9) {
		node += address & (EGRESS_CHUNK_WORDS - EGRESS_RANGES9_WORDS);
		index = egress_bounds_below(node + 10, 3, 3, value);
		*entry = node[index & (EGRESS_RANGES9_WORDS - 1)];
		return 1;
	}
	if (kind == EGRESS_TRIE_RANGES18) {
		node += address & (EGRESS_CHUNK_WORDS - EGRESS_RANGES18_WORDS);
		index = egress_bounds_below(node + 20, 6, 6, value);
		*entry = node[index & (EGRESS_RANGES18_WORDS - 1)];
		return 1;
	}
	if (kind == EGRESS_TRIE_RANGES37) {
		node += address & (EGRESS_CHUNK_WORDS - EGRESS_RANGES37_WORDS);
		index = egress_bounds_below(node + 38, 13, 13, value);
		*entry = node[index & (EGRESS_RANGES37_WORDS - 1)];
		return 1;
	}
	return 0;
}

/* The entry for a byte in a node of bits. */
EGRESS_INLINE _Bool egress_bits_entry(const void *tables, __u32 byte, __u32 *entry)
{
	__u32 address = EGRESS_TRIE_CHILD(*entry);
	const __u32 *chunk = egress_table_chunk(tables, address);
	const struct egress_trie_bits *node;

	if (!chunk)
		return 0;
	node = (const void *)(chunk + (address & (EGRESS_CHUNK_WORDS - 16)));
	*entry = egress_either(node->entry, node->bits[byte >> 5 & 7] >> (byte & 31));
	return 1;
}

/* The byte of a chunk with that number, a multiple of `unit`, as it is among the bytes of all tables. */
EGRESS_INLINE const void *egress_chunk_byte(const __u32 *chunk, __u32 byte, __u32 unit)
{
	return (const __u8 *)chunk + (byte & (4 * EGRESS_CHUNK_WORDS - unit));
}

/*
 * The entry for the last two bytes of an IPv4 address in a node of rows. Counted in bytes: what is known before the row's
 * number is, is added up before.
 */
EGRESS_INLINE _Bool egress_rows_entry(const void *tables, __u32 value, __u32 *entry)
{
	__u32 address = EGRESS_TRIE_CHILD(*entry), number = 4 * (address + EGRESS_ROWS_NUMBERS_WORD) + (value >> 8),
	      bits = 4 * (address + EGRESS_ROWS_BITS_WORD) + (value >> 3 & 28);
	const __u32 *chunk = egress_table_chunk(tables, address);

	if (!chunk || !EGRESS_TABLE_HOLDS(tables, address + EGRESS_ROWS_BITS_WORD - 1))
		return 0;
	bits += 4 * EGRESS_ROWS_BIT_WORDS * *(const __u8 *)egress_chunk_byte(chunk, number, 1);
	if (!EGRESS_TABLE_HOLDS(tables, bits / 4))
		return 0;
	*entry = egress_either(egress_chunk_byte(chunk, 4 * address, 64),
			       *(const __u32 *)egress_chunk_byte(chunk, bits, 4) >> (value & 31));
	return 1;
}

/* What is left of an IPv6 address, see struct egress_trie_skip. */
struct egress_left {
	__u64 high, low;
};

/* bits: 63 at most. */
EGRESS_INLINE void egress_take(struct egress_left *left, __u32 bits)
{
	left->high = left->high << bits | left->low >> 1 >> (63 - bits);
	left->low <<= bits;
}

/* A skip node: where the walk goes on. */
EGRESS_INLINE _Bool egress_skip_entry(const void *tables, struct egress_left *left, __u32 *entry)
{
	__u32 at = EGRESS_TRIE_CHILD(*entry);
	const __u32 *chunk = egress_table_chunk(tables, at);
	const struct egress_trie_skip *skip;

	if (!chunk)
		return 0;
	skip = (const void *)(chunk + (at & (EGRESS_CHUNK_WORDS - 16)));
	if (((left->high & skip->mask[0]) ^ skip->value[0]) | ((left->low & skip->mask[1]) ^ skip->value[1])) {
		*entry = skip->other;
		return 1;
	}
	*entry = skip->match;
	if (skip->taken & 64) {
		left->high = left->low;
		left->low = 0;
	}
	egress_take(left, skip->taken & 63);
	return 1;
}

/*
 * Both halves of the slot with that key, or nothing. Without branches over the slots: one of them at most holds the key, so
 * what is left of the others is nothing.
 */
EGRESS_INLINE void egress_bucket_find(const egress_double_word *slot, __u64 key, __u64 *found, __u64 *rest)
{
	__u32 i;

	*found = *rest = 0;
	EGRESS_UNROLL
	for (i = 0; i < 2 * EGRESS_HASH_SLOTS; i += 2) {
		__u64 same = (__u64)((__s64)((slot[i] >> 32 ^ key) - 1) >> 63);

		*found |= slot[i] & same;
		*rest |= slot[i + 1] & same;
	}
}

/* One in each lane of tags, and the highest bit of each. */
#define EGRESS_TAG_LANES                                                                                              \
	(1ull | 1ull << EGRESS_TAG_BITS | 1ull << 2 * EGRESS_TAG_BITS | 1ull << 3 * EGRESS_TAG_BITS |                 \
	 1ull << 4 * EGRESS_TAG_BITS | 1ull << 5 * EGRESS_TAG_BITS | 1ull << 6 * EGRESS_TAG_BITS)
#define EGRESS_TAG_HIGHEST (EGRESS_TAG_LANES << (EGRESS_TAG_BITS - 1))
/* The number of a lane stands in the three bits that come out highest when this is multiplied by the lane's lowest bit. */
#define EGRESS_TAG_NUMBER(lane) ((__u64)(lane) << (61 - EGRESS_TAG_BITS * (lane)))
#define EGRESS_TAG_NUMBERS                                                                                            \
	(EGRESS_TAG_NUMBER(1) | EGRESS_TAG_NUMBER(2) | EGRESS_TAG_NUMBER(3) | EGRESS_TAG_NUMBER(4) |                  \
	 EGRESS_TAG_NUMBER(5) | EGRESS_TAG_NUMBER(6))

/* The number of the first lane that has the tag; 0, too, if none has it. */
EGRESS_INLINE __u32 egress_tag_find(__u64 tags, __u32 tag)
{
	/* A lane that differs is not zero; of lanes that are, the lowest is the lowest whose highest bit the borrow sets. */
	__u64 differ = tags ^ tag * EGRESS_TAG_LANES, same = (differ - EGRESS_TAG_LANES) & ~differ & EGRESS_TAG_HIGHEST;

	return (__u32)(((same & -same) >> (EGRESS_TAG_BITS - 1)) * EGRESS_TAG_NUMBERS >> 61);
}

/* The slot with that key in a bucket with tags, or nothing. */
EGRESS_INLINE __u64 egress_tagged_bucket_find(const egress_double_word *slot, __u64 key)
{
	__u64 found = slot[egress_tag_find(slot[EGRESS_TAGGED_SLOTS], egress_hash_tag(key))];

	return found >> 32 == key ? found : 0;
}

EGRESS_INLINE const egress_double_word *egress_hash_slots(const __u32 *chunk, __u32 bucket)
{
	return (const void *)(chunk + (bucket & (EGRESS_CHUNK_WORDS - EGRESS_HASH_BUCKET_WORDS)));
}

/* The key's slot, in its bucket or the other one of the pair, where slots have masks: both halves of it, or nothing. */
EGRESS_INLINE void egress_masked_find(const __u32 *chunk, __u32 bucket, __u64 key, __u64 *found, __u64 *rest)
{
	const egress_double_word *slot = egress_hash_slots(chunk, bucket);

	egress_bucket_find(slot, key, found, rest);
	if (!(__u32)*found && slot[2 * (EGRESS_HASH_SLOTS - 1)])
		egress_bucket_find(egress_hash_slots(chunk, bucket ^ EGRESS_HASH_BUCKET_WORDS), key, found, rest);
}

/* The same where buckets have tags, and in a third bucket. number: of the key's own one. */
EGRESS_INLINE __u64 egress_tagged_find(const __u32 *chunk, __u32 entry, __u32 number, __u64 key)
{
	__u32 address = egress_hash_address(entry);
	const egress_double_word *slot = egress_hash_slots(chunk, address + number * EGRESS_HASH_BUCKET_WORDS);
	__u64 found = egress_tagged_bucket_find(slot, key);

	if ((__u32)found || !(slot[EGRESS_TAGGED_SLOTS] & EGRESS_TAGS_FULL))
		return found;
	slot = egress_hash_slots(chunk, address + (number ^ 1) * EGRESS_HASH_BUCKET_WORDS);
	found = egress_tagged_bucket_find(slot, key);
	if ((__u32)found || !(slot[EGRESS_TAGGED_SLOTS] & EGRESS_TAGS_FULL))
		return found;
	slot = egress_hash_slots(chunk, address + egress_hash_third(entry, number) * EGRESS_HASH_BUCKET_WORDS);
	return egress_tagged_bucket_find(slot, key);
}

/* The entry for the last two bytes of an IPv4 address in a hash node with tags. */
EGRESS_INLINE _Bool egress_tagged_entry(const void *tables, __u32 value, __u32 *entry)
{
	__u32 address = egress_hash_address(*entry), number = egress_hash_bucket(*entry, value);
	const __u32 *chunk = egress_table_chunk(tables, address);
	__u64 found;

	if (!chunk || !EGRESS_TABLE_HOLDS(tables, address + number * EGRESS_HASH_BUCKET_WORDS))
		return 0;
	found = egress_tagged_find(chunk, *entry, number, value);
	if (!(__u32)found)
		found = ((const __u32 *)egress_hash_slots(chunk, address))[EGRESS_HASH_OTHER_WORD];
	*entry = ~(__u32)found;
	return 1;
}

/* The entry for the `taken` first bits of `high` in a hash node. left: what is behind them. */
EGRESS_INLINE _Bool egress_hash_entry(const void *tables, __u64 high, __u32 taken, const struct egress_left *left,
				      __u32 *entry)
{
	__u32 address = egress_hash_address(*entry), number;
	const __u32 *chunk = egress_table_chunk(tables, address);
	__u64 key = high >> ((64 - taken) & 63), found, rest = 0;

	if (!chunk)
		return 0;
	number = egress_hash_bucket(*entry, key);
	if (!EGRESS_TABLE_HOLDS(tables, address + number * EGRESS_HASH_BUCKET_WORDS))
		return 0;
	if (egress_hash_is_tagged(*entry))
		found = egress_tagged_find(chunk, *entry, number, key);
	else
		egress_masked_find(chunk, address + number * EGRESS_HASH_BUCKET_WORDS, key, &found, &rest);
	if (!(__u32)found || ((left->high & rest) >> 32 ^ (__u32)rest))
		found = ((const __u32 *)egress_hash_slots(chunk, address))[EGRESS_HASH_OTHER_WORD];
	*entry = ~(__u32)found;
	return 1;
}

EGRESS_INLINE const struct egress_trie_run *egress_run(const __u32 *chunk, __u32 address, __u32 number)
{
	return (const void *)egress_hash_slots(chunk, address + number * EGRESS_HASH_BUCKET_WORDS);
}

/* Where the key is, or else where it would be. */
EGRESS_INLINE const struct egress_trie_run *egress_run_find(const __u32 *chunk, __u32 entry, __u32 key)
{
	__u32 address = egress_hash_address(entry), number = egress_run_bucket(entry, key);
	const struct egress_trie_run *run = egress_run(chunk, address, number);

	if (run->slot >> 32 == key || !(run->other & EGRESS_RUN_MOVED))
		return run;
	run = egress_run(chunk, address, number ^ 1);
	if (run->slot >> 32 == key || !(run->other & EGRESS_RUN_MOVED))
		return run;
	return egress_run(chunk, address, egress_run_third(entry, key));
}

/*
 * The entry for a key of four bytes in a node of runs. *ends: it is the class, a leaf, by what is behind the key; otherwise
 * the walk goes on with it there. (The verifier need not follow a class that is taken for a node.)
 */
EGRESS_INLINE _Bool egress_runs_entry(const void *tables, __u32 key, const struct egress_left *left, __u32 *entry,
				      _Bool *ends)
{
	__u32 address = egress_hash_address(*entry), bit = egress_run_bit(*entry, key);
	const __u32 *chunk = egress_table_chunk(tables, address);
	const struct egress_trie_run *run;
	__u64 slot;

	*ends = 1;
	if (!chunk || !EGRESS_TABLE_HOLDS(tables, address + EGRESS_HASH_BUCKET_WORDS * egress_hash_buckets(*entry) - 1))
		return 0;
	if (!(chunk[(address + bit / 32) & (EGRESS_CHUNK_WORDS - 1)] >> (bit & 31) & 1)) {
		*entry = egress_run(chunk, address, egress_run_first(*entry))->other & ~EGRESS_RUN_MOVED;
		return 1;
	}
	run = egress_run_find(chunk, *entry, key);
	slot = run->slot;
	if (slot >> 32 != key || !(__u32)slot) {
		*entry = run->other & ~EGRESS_RUN_MOVED;
		return 1;
	}
	*entry = ~(__u32)slot;
	*ends = EGRESS_TRIE_KIND(*entry) == EGRESS_TRIE_LEAF;
	if (*ends && egress_bounds_below(run->bounds, EGRESS_RUN_BOUNDS / 3, EGRESS_RUN_BOUNDS / 3,
					 (__u32)(left->high >> 48)) & 1)
		*entry = run->second;
	return 1;
}

/* Class of an IPv4 address (network order): at most three nodes. */
EGRESS_INLINE _Bool egress_class4(const void *tables, const struct egress_bank *bank, __u32 address, __u32 *class)
{
	__u32 host = __builtin_bswap32(address), value = host & 0xffff, entry;

	if (!egress_word(tables, bank->ipv4_root + (host >> 16), &entry))
		return 0;
	if (EGRESS_TRIE_KIND(entry) == EGRESS_TRIE_ROWS) {
		if (!egress_rows_entry(tables, value, &entry))
			return 0;
	} else if (EGRESS_TRIE_KIND(entry) == EGRESS_TRIE_FULL) {
		if (!egress_word(tables, EGRESS_TRIE_CHILD(entry) + (value >> 8), &entry))
			return 0;
		value = value << 8 & 0xff00;
		if (EGRESS_TRIE_KIND(entry) == EGRESS_TRIE_BITS && !egress_bits_entry(tables, value >> 8, &entry))
			return 0;
		if (EGRESS_TRIE_KIND(entry) == EGRESS_TRIE_FULL &&
		    !egress_word(tables, EGRESS_TRIE_CHILD(entry) + (value >> 8), &entry))
			return 0;
	}
	if (EGRESS_TRIE_KIND(entry) == EGRESS_TRIE_TAGGED2) {
		if (!egress_tagged_entry(tables, value, &entry))
			return 0;
	} else if (EGRESS_TRIE_KIND(entry) != EGRESS_TRIE_LEAF && !egress_ranges_entry(tables, value, 3, &entry)) {
		return 0;
	}
	/* The kind of a leaf is 0. */
	*class = entry;
	return EGRESS_TRIE_KIND(entry) == EGRESS_TRIE_LEAF;
}

/*
 * Class of an IPv6 address, given as two numbers as they stand in memory: the first eight bytes and the others. (The
 * kernel's program passes them on like this; see bpf/lib/policy.h.) Each node takes at least one of the 16 bytes.
 */
EGRESS_INLINE _Bool egress_class6_number(const void *tables, __u32 root, __u64 first, __u64 last, __u32 *class)
{
	struct egress_left left = {__builtin_bswap64(first), __builtin_bswap64(last)};
	__u32 entry = root;
	__u64 step; /* of a register's size: the verifier of 5.10 follows a spilled constant only then */

	EGRESS_NO_UNROLL
	for (step = 0; step < 17; step++) {
		__u32 kind = EGRESS_TRIE_KIND(entry), taken = egress_taken_bits(kind);
		__u64 high = left.high;

		if (kind == EGRESS_TRIE_LEAF) {
			*class = EGRESS_TRIE_VALUE(entry);
			return 1;
		}
		egress_take(&left, taken);
		if (kind >= EGRESS_TRIE_HASH2) {
			if (!egress_hash_entry(tables, high, taken, &left, &entry))
				return 0;
		} else if (kind == EGRESS_TRIE_RUNS) {
			_Bool ends;

			if (!egress_runs_entry(tables, (__u32)(high >> 32), &left, &entry, &ends))
				return 0;
			if (ends) {
				*class = entry;
				return EGRESS_TRIE_KIND(entry) == EGRESS_TRIE_LEAF;
			}
		} else if (kind == EGRESS_TRIE_SKIP) {
			if (!egress_skip_entry(tables, &left, &entry))
				return 0;
		} else if (kind == EGRESS_TRIE_WIDE) {
			if (!egress_word(tables, EGRESS_TRIE_CHILD(entry) + (__u32)(high >> 48), &entry))
				return 0;
		} else if (kind == EGRESS_TRIE_FULL) {
			if (!egress_word(tables, EGRESS_TRIE_CHILD(entry) + (__u32)(high >> 56), &entry))
				return 0;
		} else if (kind == EGRESS_TRIE_BITS) {
			if (!egress_bits_entry(tables, (__u32)(high >> 56), &entry))
				return 0;
		} else {
			/* All bounds: where the walk is long, a branch that is foreseen wrongly costs more than they do. */
			if (!egress_ranges_entry(tables, (__u32)(high >> 48), EGRESS_TURNS_WORDS / 2 - 1, &entry))
				return 0;
		}
	}
	return 0;
}

EGRESS_INLINE __u64 egress_address_number(const __u32 address[2])
{
	__u64 number;

	__builtin_memcpy(&number, address, sizeof(number));
	return number;
}

/* Class of an IPv6 address (network order). */
EGRESS_INLINE _Bool egress_class6(const void *tables, const struct egress_bank *bank, const __u32 address[4],
				  __u32 *class)
{
	return egress_class6_number(tables, bank->ipv6_root, egress_address_number(address),
				    egress_address_number(address + 2), class);
}

/* Index of a protocol in bank.ports; EGRESS_PORT_PROTOCOLS for protocols without ports. */
EGRESS_INLINE __u32 egress_port_protocol(__u8 protocol)
{
	switch (protocol) {
	case 6: /* IPPROTO_TCP */
		return EGRESS_PORT_TCP;
	case 17: /* IPPROTO_UDP */
		return EGRESS_PORT_UDP;
	case 132: /* IPPROTO_SCTP */
		return EGRESS_PORT_SCTP;
	default:
		return EGRESS_PORT_PROTOCOLS;
	}
}

/* Port class of a port (host order) of a protocol that has ports: an index in bank.ports. */
EGRESS_INLINE _Bool egress_port_word(const void *tables, const struct egress_bank *bank, __u32 index, __u16 port,
				     __u32 *class)
{
	__u32 half = bank->ports[index] * 2 + port, address;
	const __u32 *chunk;

	if (EGRESS_TABLE_BEGINS_WITH_HALF(half)) {
		__u32 found = ((const __u16 *)tables)[half];

		EGRESS_READ_HERE(found);
		*class = found;
		return 1;
	}
	address = bank->ports[index] + (port >> 1);
	chunk = egress_table_chunk(tables, address);
	if (!chunk)
		return 0;
	/* The word first, then its half: the verifier of 5.10 loses the bounds of an index put together of both. */
	*class = ((const __u16 *)(chunk + (address & (EGRESS_CHUNK_WORDS - 1))))[port & 1];
	return 1;
}

/* Port class of a protocol (IPPROTO_*) and a port (host order, ignored where the protocol has none). */
EGRESS_INLINE _Bool egress_port_class(const void *tables, const struct egress_bank *bank, __u8 protocol, __u16 port,
				      __u32 *class)
{
	__u32 index = egress_port_protocol(protocol);

	if (index != EGRESS_PORT_PROTOCOLS)
		return egress_port_word(tables, bank, index, port, class);
	*class = 0;
	return 1;
}

/* The cell for an address class and a port class under a set word that is an address (>= EGRESS_SET_FIRST). */
EGRESS_INLINE _Bool egress_cell(const void *tables, __u32 set, __u32 class, __u32 port_class, __u32 *cell)
{
	__u32 row;

	return egress_word(tables, set + class, &row) && egress_word(tables, row + port_class, cell);
}

#endif
