/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Step 6: a later fragment has no ports; it gets the verdict of its datagram's first one, by endpoint, address pair,
 * protocol (IPv4) and id. Fragments must come in order without overlap: each begins where the last one ended or behind
 * it.
 */
#ifndef EGRESSD_BPF_FRAGMENT_H
#define EGRESSD_BPF_FRAGMENT_H

#include <stddef.h>

#include "lib/endpoint.h"
#include "lib/parse.h"

/* One fragment of a datagram, read anew of a packet that parse_network() takes for one. */
struct piece {
	__u32 id;             /* network order */
	__u32 offset, length; /* bytes */
};

static __always_inline _Bool piece_load_ipv4(struct __sk_buff *skb, __u64 network, struct piece *piece)
{
	__u16 id_and_bits[2];

	if (bpf_skb_load_bytes(skb, ETH_HLEN + 4, id_and_bits, sizeof(id_and_bits)))
		return 0;
	piece->id = id_and_bits[0];
	piece->offset = (bpf_ntohs(id_and_bits[1]) & IPV4_OFFSET_MASK) << 3;
	piece->length = network_length(network);
	return 1;
}

static __always_inline _Bool piece_load(struct __sk_buff *skb, __u64 network, __u32 header_offset, struct piece *piece)
{
	struct ipv6_fragment header;

	if (network_family(network) == 4)
		return piece_load_ipv4(skb, network, piece);
	if (bpf_skb_load_bytes(skb, header_offset, &header, sizeof(header)))
		return 0;
	piece->id = header.id;
	piece->offset = bpf_ntohs(header.bits) & 0xfff8;
	piece->length = network_end(network) - (header_offset + sizeof(header));
	return 1;
}

static __always_inline struct fragment *fragment_slot(__u32 endpoint, __u32 id, const struct addresses *addresses)
{
	__u32 hash = id ^ addresses->destination[0] ^ addresses->destination[3];
	__u32 index;

	hash *= 0x9e3779b1u; /* 2^32 / golden ratio: every bit of the id counts in the top ones */
	index = endpoint * EGRESS_FRAGMENT_SLOTS + (hash >> 28) % EGRESS_FRAGMENT_SLOTS;
	return bpf_map_lookup_elem(&fragments, &index);
}

static __always_inline __u8 fragment_protocol(__u64 network)
{
	return network_family(network) == 4 ? network_protocol(network) : 0;
}

/*
 * Where the fragment header of an IPv6 packet is, which parse_network() found one in; the functions below are told. 0 for
 * IPv4.
 */
__noinline __u32 fragment_header(struct __sk_buff *skb, __u64 network)
{
	__u8 protocol;

	if (network_family(network) == 4 ||
	    bpf_skb_load_bytes(skb, ETH_HLEN + offsetof(struct ipv6hdr, nexthdr), &protocol, sizeof(protocol)))
		return 0;
	return WALK_FRAGMENT(parse_ipv6_extensions(skb, protocol, network_end(network)));
}

/* The verdict about a first fragment. Takes the slot's place from an older datagram, whose later fragments are then
 * unknown. */
__noinline int fragment_remember(struct __sk_buff *skb, __u32 endpoint, __u64 network, __u32 header_offset,
				 __u32 reason)
{
	struct addresses addresses = {};
	struct fragment *fragment;
	struct piece piece;
	__u64 now = bpf_jiffies64();

	if (!piece_load(skb, network, header_offset, &piece) ||
	    !addresses_load(skb, network_family(network), &addresses))
		return 0;
	fragment = fragment_slot(endpoint, piece.id, &addresses);
	if (!fragment)
		return 0;
	bpf_spin_lock(&fragment->lock);
	fragment->id = piece.id;
	__builtin_memcpy(fragment->source, addresses.source, sizeof(fragment->source));
	__builtin_memcpy(fragment->destination, addresses.destination, sizeof(fragment->destination));
	fragment->family = network_family(network);
	fragment->protocol = fragment_protocol(network);
	fragment->reason = reason;
	fragment->end = piece.length;
	fragment->seen = now;
	bpf_spin_unlock(&fragment->lock);
	return 0;
}

/* The verdict for a later fragment. */
__noinline int fragment_follow(struct __sk_buff *skb, __u32 endpoint, __u64 network, __u32 header_offset)
{
	const struct egress_control *control;
	struct addresses addresses = {};
	struct fragment *fragment;
	struct piece piece;
	__u64 now;
	int reason = EGRESS_DROP_FRAGMENT_UNKNOWN;

	if (!piece_load(skb, network, header_offset, &piece) ||
	    !addresses_load(skb, network_family(network), &addresses))
		return reason;
	fragment = fragment_slot(endpoint, piece.id, &addresses);
	control = control_read();
	if (!fragment)
		return reason;
	now = bpf_jiffies64();
	bpf_spin_lock(&fragment->lock);
	if (fragment->family == network_family(network) && fragment->id == piece.id &&
	    fragment->protocol == fragment_protocol(network) &&
	    address_equal(fragment->source, addresses.source) &&
	    address_equal(fragment->destination, addresses.destination) &&
	    (__s64)(now - fragment->seen) <= (__s64)control->hz * EGRESS_FRAGMENT_SECONDS) {
		reason = fragment->reason;
		if (piece.offset < fragment->end) {
			reason = EGRESS_DROP_FRAGMENT_INVALID;
			/* Nothing more of a datagram that somebody plays with. */
			fragment->reason = reason;
		}
		fragment->end = piece.offset + piece.length;
	}
	bpf_spin_unlock(&fragment->lock);
	return reason;
}

#endif
