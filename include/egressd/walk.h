/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only OR BSD-2-Clause */
/*
 * How the tables are read: one text for the kernel's programs and for user space, so that `egressctl explain` and the
 * verdict of a packet cannot differ.
 *
 * The includer defines, before including this file:
 *
 *   static inline const __u32 *egress_table_block(const void *tables, __u32 block);
 *       the first word of a 1 KB block, or NULL where there is none. In the kernel a map lookup, in user space an
 *       index into the mapped memory.
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

EGRESS_INLINE _Bool egress_word(const void *tables, __u32 address, __u32 *value)
{
	const __u32 *block = egress_table_block(tables, address >> EGRESS_BLOCK_SHIFT);

	if (!block)
		return 0;
	*value = block[address & (EGRESS_BLOCK_WORDS - 1)];
	return 1;
}

/*
 * Bounds are compared four at a time, two in each of two words whose halves have a bit to spare: it stays set where the
 * bound is not above the value. Without branches: the verifier would follow each combination of them.
 */
#define EGRESS_BOUND_LANES 0x0000ffff0000ffffull
#define EGRESS_BOUND_BITS  0x0001000000010000ull

EGRESS_INLINE __u64 egress_bounds_four(const __u32 *bounds, __u64 spread)
{
	__u64 four;

	__builtin_memcpy(&four, bounds, sizeof(four));
	return ((spread - (four & EGRESS_BOUND_LANES)) & EGRESS_BOUND_BITS) +
	       ((spread - (four >> 16 & EGRESS_BOUND_LANES)) & EGRESS_BOUND_BITS);
}

EGRESS_INLINE __u64 egress_bounds_two(__u32 bounds, __u64 spread)
{
	return (spread - ((bounds & 0xffff) | (__u64)(bounds >> 16) << 32)) & EGRESS_BOUND_BITS;
}

/* How many were counted: both halves of the sum together. */
EGRESS_INLINE __u32 egress_bounds_sum(__u64 sum)
{
	return (__u32)((sum >> 16 & 0xffff) + (sum >> 48));
}

/* The entry for a value of 16 bits in a node of ranges. Nodes never cross a 1 KB block: they are aligned to their size. */
EGRESS_INLINE _Bool egress_ranges_entry(const void *tables, __u32 value, __u32 *entry)
{
	__u32 kind = EGRESS_TRIE_KIND(*entry), address = EGRESS_TRIE_CHILD(*entry), i;
	const __u32 *block = egress_table_block(tables, address >> EGRESS_BLOCK_SHIFT);
	__u64 spread = (value | 0x10000) * 0x100000001ull, sum = 0;

	if (!block)
		return 0;
	if (kind == EGRESS_TRIE_RANGES10) {
		block += address & (EGRESS_BLOCK_WORDS - EGRESS_RANGES10_WORDS);
		sum = egress_bounds_two(block[11], spread);
		EGRESS_UNROLL
		for (i = 12; i < EGRESS_RANGES10_WORDS; i += 2)
			sum += egress_bounds_four(block + i, spread);
		*entry = block[egress_bounds_sum(sum) & (EGRESS_RANGES10_WORDS - 1)];
		return 1;
	}
	if (kind == EGRESS_TRIE_RANGES20) {
		block += address & (EGRESS_BLOCK_WORDS - EGRESS_RANGES20_WORDS);
		EGRESS_UNROLL
		for (i = 22; i < EGRESS_RANGES20_WORDS; i += 2)
			sum += egress_bounds_four(block + i, spread);
		*entry = block[egress_bounds_sum(sum) & (EGRESS_RANGES20_WORDS - 1)];
		return 1;
	}
	if (kind == EGRESS_TRIE_RANGES42) {
		block += address & (EGRESS_BLOCK_WORDS - EGRESS_RANGES42_WORDS);
		sum = egress_bounds_two(block[43], spread);
		/* Unrolled, it would take more of the stack than callers can spare. */
		EGRESS_NO_UNROLL
		for (i = 44; i < EGRESS_RANGES42_WORDS; i += 2)
			sum += egress_bounds_four(block + i, spread);
		*entry = block[egress_bounds_sum(sum) & (EGRESS_RANGES42_WORDS - 1)];
		return 1;
	}
	return 0;
}

/* An includer may define EGRESS_RANGES_ENTRY to reach egress_ranges_entry() by a way of its own. */
#ifndef EGRESS_RANGES_ENTRY
#define EGRESS_RANGES_ENTRY egress_ranges_entry
#endif

/* Class of an IPv4 address (network order): at most three nodes. */
EGRESS_INLINE _Bool egress_class4(const void *tables, const struct egress_bank *bank, __u32 address, __u32 *class)
{
	__u32 host = __builtin_bswap32(address), value = host & 0xffff, entry;

	if (!egress_word(tables, bank->ipv4_root + (host >> 16), &entry))
		return 0;
	if (EGRESS_TRIE_KIND(entry) == EGRESS_TRIE_FULL) {
		if (!egress_word(tables, EGRESS_TRIE_CHILD(entry) + (value >> 8), &entry))
			return 0;
		value &= 0xff;
		if (EGRESS_TRIE_KIND(entry) == EGRESS_TRIE_FULL &&
		    !egress_word(tables, EGRESS_TRIE_CHILD(entry) + value, &entry))
			return 0;
	}
	if (EGRESS_TRIE_KIND(entry) != EGRESS_TRIE_LEAF && !egress_ranges_entry(tables, value, &entry))
		return 0;
	*class = EGRESS_TRIE_VALUE(entry);
	return EGRESS_TRIE_KIND(entry) == EGRESS_TRIE_LEAF;
}

/* A skip node: where the walk goes on, and with which byte of the address. */
EGRESS_INLINE _Bool egress_trie_skip(const void *tables, const __u32 address[4], __u32 *entry, __u32 *depth)
{
	__u32 at = EGRESS_TRIE_CHILD(*entry);
	const __u32 *block = egress_table_block(tables, at >> EGRESS_BLOCK_SHIFT);
	const struct egress_trie_skip *skip;

	if (!block)
		return 0;
	skip = (const void *)(block + (at & (EGRESS_BLOCK_WORDS - 16)));
	if (((address[0] & skip->mask[0]) ^ skip->value[0]) | ((address[1] & skip->mask[1]) ^ skip->value[1]) |
	    ((address[2] & skip->mask[2]) ^ skip->value[2]) | ((address[3] & skip->mask[3]) ^ skip->value[3])) {
		*entry = skip->other;
		return 1;
	}
	*entry = skip->match;
	*depth = skip->depth;
	return 1;
}

/* The eight bytes of the address from byte `depth` on, zeros behind its end. Without branches, for the verifier. */
EGRESS_INLINE __u64 egress_bytes_from(__u64 high, __u64 low, __u32 depth)
{
	__u64 behind = depth & 8 ? 0 : low, from = depth & 8 ? low : high;
	__u32 shift = 8 * (depth & 7);

	return from << shift | behind >> 1 >> (63 - shift);
}

/*
 * Class of an IPv6 address, given as numbers: `high` is the first eight bytes, `low` the others, both in host order.
 * (The kernel's program passes them on like this; see bpf/lib/policy.h.) Each node takes at least one of the 16 bytes.
 * depth: 0; the verifier, which must not know it, then takes all ways to a step for the same.
 */
EGRESS_INLINE _Bool egress_class6_number(const void *tables, __u32 root, __u32 depth, __u64 high, __u64 low,
					 __u32 *class)
{
	const __u32 address[4] = {__builtin_bswap32(high >> 32), __builtin_bswap32((__u32)high),
				  __builtin_bswap32(low >> 32), __builtin_bswap32((__u32)low)};
	__u32 entry = root;
	__u64 step; /* of a register's size: the verifier of 5.10 follows a spilled constant only then */

	EGRESS_NO_UNROLL
	for (step = 0; step < 17; step++) {
		__u32 kind = EGRESS_TRIE_KIND(entry);
		__u64 bytes;

		if (kind == EGRESS_TRIE_LEAF) {
			*class = EGRESS_TRIE_VALUE(entry);
			return 1;
		}
		if (kind == EGRESS_TRIE_SKIP) {
			if (!egress_trie_skip(tables, address, &entry, &depth))
				return 0;
			continue;
		}
		bytes = egress_bytes_from(high, low, depth);
		if (kind == EGRESS_TRIE_FULL) {
			if (!egress_word(tables, EGRESS_TRIE_CHILD(entry) + (__u32)(bytes >> 56), &entry))
				return 0;
			depth++;
			continue;
		}
		/* The last byte is a number of its own. */
		if (!EGRESS_RANGES_ENTRY(tables, (__u32)(bytes >> 48 >> ((depth + 1) / 2 & 8)), &entry))
			return 0;
		depth += 2;
	}
	return 0;
}

EGRESS_INLINE __u64 egress_address_number(const __u32 address[2])
{
	return (__u64)__builtin_bswap32(address[0]) << 32 | __builtin_bswap32(address[1]);
}

/* Class of an IPv6 address (network order). */
EGRESS_INLINE _Bool egress_class6(const void *tables, const struct egress_bank *bank, const __u32 address[4],
				  __u32 *class)
{
	return egress_class6_number(tables, bank->ipv6_root, 0, egress_address_number(address),
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

/* Port class of a protocol (IPPROTO_*) and a port (host order, ignored where the protocol has none). */
EGRESS_INLINE _Bool egress_port_class(const void *tables, const struct egress_bank *bank, __u8 protocol, __u16 port,
				      __u32 *class)
{
	__u32 index = egress_port_protocol(protocol), address;
	const __u32 *block;

	if (index == EGRESS_PORT_PROTOCOLS) {
		*class = 0;
		return 1;
	}
	address = bank->ports[index] + (port >> 1);
	block = egress_table_block(tables, address >> EGRESS_BLOCK_SHIFT);
	if (!block)
		return 0;
	/* The word first, then its half: the verifier of 5.10 loses the bounds of an index put together of both. */
	*class = ((const __u16 *)(block + (address & (EGRESS_BLOCK_WORDS - 1))))[port & 1];
	return 1;
}

/* The cell for an address class and a port class under a set word that is an address (>= EGRESS_SET_FIRST). */
EGRESS_INLINE _Bool egress_cell(const void *tables, __u32 set, __u32 class, __u32 port_class, __u32 *cell)
{
	__u32 row;

	return egress_word(tables, set + class, &row) && egress_word(tables, row + port_class, cell);
}

#endif
