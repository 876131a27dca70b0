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

/* Bits set in a word; BPF has no instruction for it. */
EGRESS_INLINE __u32 egress_popcount(__u64 word)
{
	word -= (word >> 1) & 0x5555555555555555ull;
	word = (word & 0x3333333333333333ull) + ((word >> 2) & 0x3333333333333333ull);
	word = (word + (word >> 4)) & 0x0f0f0f0f0f0f0f0full;
	return (word * 0x0101010101010101ull) >> 56;
}

/*
 * The entry for `byte` in a packed block; its bitmap and entries never cross a 1 KB block (aligned to their size).
 * Without branches: the verifier would follow each combination of them.
 */
EGRESS_INLINE _Bool egress_packed_entry(const void *tables, __u32 address, __u32 byte, __u32 *entry)
{
	const __u32 *block = egress_table_block(tables, address >> EGRESS_BLOCK_SHIFT);
	__u32 base = address & (EGRESS_BLOCK_WORDS - 1), count = 0, i;
	__u64 partial = ~0ull >> (63 - (byte & 63));
	__s64 last = (byte >> 6) & 3;

	if (!block)
		return 0;
	EGRESS_UNROLL
	for (i = 0; i < 4; i++) {
		__u64 bits = block[(base + 2 * i) & (EGRESS_BLOCK_WORDS - 1)] |
			     (__u64)block[(base + 2 * i + 1) & (EGRESS_BLOCK_WORDS - 1)] << 32;
		__u64 before = ((__s64)i - last) >> 63;        /* all ones in the words before the last */
		__u64 is_last = (((__s64)i ^ last) - 1) >> 63; /* all ones in the last */

		count += egress_popcount(bits & (before | (is_last & partial)));
	}
	*entry = block[(base + 8 + count - 1) & (EGRESS_BLOCK_WORDS - 1)];
	return 1;
}

/* An includer may define EGRESS_PACKED_ENTRY to reach egress_packed_entry() by a way of its own. */
#ifndef EGRESS_PACKED_ENTRY
#define EGRESS_PACKED_ENTRY egress_packed_entry
#endif

/* One step down: the entry for `byte` in the block that `entry` points to. */
EGRESS_INLINE _Bool egress_trie_step(const void *tables, __u32 byte, __u32 *entry)
{
	__u32 kind = EGRESS_TRIE_KIND(*entry), address = EGRESS_TRIE_CHILD(*entry);

	if (kind == EGRESS_TRIE_FULL)
		return egress_word(tables, address + byte, entry);
	if (kind == EGRESS_TRIE_PACKED8 || kind == EGRESS_TRIE_PACKED24)
		return EGRESS_PACKED_ENTRY(tables, address, byte, entry);
	return 0;
}

/* Class of an IPv4 address (network order): at most three loads. */
EGRESS_INLINE _Bool egress_class4(const void *tables, const struct egress_bank *bank, __u32 address, __u32 *class)
{
	__u32 host = __builtin_bswap32(address), entry;

	if (!egress_word(tables, bank->ipv4_root + (host >> 16), &entry))
		return 0;
	if (EGRESS_TRIE_KIND(entry) != EGRESS_TRIE_LEAF) {
		if (!egress_trie_step(tables, (host >> 8) & 0xff, &entry))
			return 0;
		if (EGRESS_TRIE_KIND(entry) != EGRESS_TRIE_LEAF && !egress_trie_step(tables, host & 0xff, &entry))
			return 0;
	}
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

/*
 * Class of an IPv6 address, given as numbers: `high` is the first eight bytes, `low` the others, both in host order.
 * (The kernel's program passes them on like this; see bpf/lib/policy.h.) Each of the 16 bytes costs at most one block
 * and one skip node.
 */
EGRESS_INLINE _Bool egress_class6_number(const void *tables, __u32 root, __u64 high, __u64 low, __u32 *class)
{
	const __u32 address[4] = {__builtin_bswap32(high >> 32), __builtin_bswap32((__u32)high),
				  __builtin_bswap32(low >> 32), __builtin_bswap32((__u32)low)};
	__u32 entry = root, depth = 0, step;

	EGRESS_NO_UNROLL
	for (step = 0; step < 33; step++) {
		__u32 kind = EGRESS_TRIE_KIND(entry);

		if (kind == EGRESS_TRIE_LEAF) {
			*class = EGRESS_TRIE_VALUE(entry);
			return 1;
		}
		if (kind == EGRESS_TRIE_SKIP) {
			if (!egress_trie_skip(tables, address, &entry, &depth))
				return 0;
			continue;
		}
		if (!egress_trie_step(tables, ((depth & 8 ? low : high) >> (56 - 8 * (depth & 7))) & 0xff, &entry))
			return 0;
		depth++;
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
