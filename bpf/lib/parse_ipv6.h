/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef EGRESSD_BPF_PARSE_IPV6_H
#define EGRESSD_BPF_PARSE_IPV6_H

#include <linux/if_ether.h>
#include <linux/ipv6.h>

#include "lib/parse_transport.h"

/* Extension headers that are followed, up to TRANSPORT_MAX; a packet with more is dropped (RFC 8504 lets a node set such
 * limits). */
#define IPV6_EXTENSIONS_MAX 8

#define IPV6_HOP_BY_HOP     0
#define IPV6_ROUTING        43
#define IPV6_FRAGMENT       44
#define IPV6_AUTHENTICATION 51
#define IPV6_DESTINATION    60
#define IPV6_MOBILITY       135
#define IPV6_HIP            139
#define IPV6_SHIM6          140

#define IPV6_JUMBO_OPTION   0xc2

static __always_inline _Bool ipv6_is_extension(__u8 protocol)
{
	switch (protocol) {
	case IPV6_HOP_BY_HOP:
	case IPV6_ROUTING:
	case IPV6_FRAGMENT:
	case IPV6_AUTHENTICATION:
	case IPV6_DESTINATION:
	case IPV6_MOBILITY:
	case IPV6_HIP:
	case IPV6_SHIM6:
		return 1;
	default:
		return 0;
	}
}

/*
 * What a walk over extension headers finds, in one number: it is a global function (which the verifier looks at once),
 * and 5.10 lets those return nothing else.
 */
#define WALK_RESULT(reason, protocol, transport, fragment) \
	((__u64)(reason) << 56 | (__u64)(protocol) << 48 | (__u64)(fragment) << 24 | (transport))
#define WALK_REASON(result)    ((result) >> 56)
#define WALK_PROTOCOL(result)  ((__u8)((result) >> 48))
#define WALK_FRAGMENT(result)  ((__u32)((result) >> 24) & 0xffffff) /* offset of the fragment header; 0: none */
#define WALK_TRANSPORT(result) ((__u32)(result)&0xffffff)

/* Bytes that an extension header takes. */
static __always_inline __u32 ipv6_extension_length(__u8 protocol, __u8 length)
{
	if (protocol == IPV6_FRAGMENT)
		return 8;
	return protocol == IPV6_AUTHENTICATION ? (length + 2) * 4 : (length + 1) * 8;
}

/*
 * From the extension header `protocol` right behind the IPv6 header to the transport header, or to the data of a later
 * fragment. `end` is the offset behind the packet.
 */
__noinline __u64 parse_ipv6_extensions(struct __sk_buff *skb, __u8 protocol, __u32 end)
{
	__u32 offset = ETH_HLEN + sizeof(struct ipv6hdr), fragment = 0, i;

#pragma clang loop unroll(disable)
	for (i = 0; i < IPV6_EXTENSIONS_MAX; i++) {
		__u8 header[4]; /* next header, length, then bytes that depend on the kind */

		if (offset + 8 > end || bpf_skb_load_bytes(skb, offset, header, sizeof(header)))
			/* RFC 7112: a first fragment holds all headers. */
			return WALK_RESULT(fragment ? EGRESS_DROP_FRAGMENT_INVALID : EGRESS_DROP_TRUNCATED, protocol,
					   offset, fragment);
		/* Hop-by-hop options stand first or not at all (RFC 8200, 4.1). */
		if (protocol == IPV6_HOP_BY_HOP && i)
			return WALK_RESULT(EGRESS_DROP_IPV6_EXTENSIONS, protocol, offset, fragment);
		/* A jumbogram's length is in the option; only the kernel's own super-packets have one here. */
		if (protocol == IPV6_HOP_BY_HOP && header[2] == IPV6_JUMBO_OPTION && !skb->gso_size)
			return WALK_RESULT(EGRESS_DROP_IPV6_EXTENSIONS, protocol, offset, fragment);
		/* Segments left: the destination in the header is not where the packet is going. */
		if (protocol == IPV6_ROUTING && header[3])
			return WALK_RESULT(EGRESS_DROP_SOURCE_ROUTE, protocol, offset, fragment);
		if (protocol == IPV6_FRAGMENT) {
			if (fragment)
				return WALK_RESULT(EGRESS_DROP_IPV6_EXTENSIONS, protocol, offset, fragment);
			fragment = offset;
			if (header[2] | (header[3] & 0xf8))
				return WALK_RESULT(EGRESS_DROP_NONE, header[0], offset + 8, fragment);
		}
		offset += ipv6_extension_length(protocol, header[1]);
		if (offset > TRANSPORT_MAX)
			return WALK_RESULT(EGRESS_DROP_IPV6_EXTENSIONS, protocol, offset, fragment);
		if (offset > end)
			return WALK_RESULT(fragment ? EGRESS_DROP_FRAGMENT_INVALID : EGRESS_DROP_IPV6_EXTENSIONS,
					   protocol, offset, fragment);
		protocol = header[0];
		if (!ipv6_is_extension(protocol))
			return WALK_RESULT(EGRESS_DROP_NONE, protocol, offset, fragment);
	}
	return WALK_RESULT(EGRESS_DROP_IPV6_EXTENSIONS, protocol, offset, fragment);
}

/* What a fragment header says. */
struct ipv6_fragment {
	__u8 next_header, reserved;
	__u16 bits; /* network order: offset in eights, two reserved bits, more fragments */
	__u32 id;   /* network order */
};

static __always_inline __u64 parse_ipv6_fragment(struct __sk_buff *skb, __u64 network, __u32 offset)
{
	struct ipv6_fragment header;
	__u32 length, at;
	__u16 bits;

	if (bpf_skb_load_bytes(skb, offset, &header, sizeof(header)))
		return packet_refuse(network, EGRESS_DROP_TRUNCATED);
	bits = bpf_ntohs(header.bits);
	/* "Atomic" fragments are whole packets (RFC 6946). */
	if (!(bits & 0xfff9))
		return network;
	at = bits & 0xfff8;
	network |= network_fragment_make(at ? FRAGMENT_LATER : FRAGMENT_FIRST);
	/* What is fragmented begins behind the fragment header; all parts but the last are multiples of eight bytes. */
	length = network_end(network) - (offset + sizeof(header));
	if (!length || (bits & 1 && length & 7) || at + length > 0xffff)
		return packet_refuse(network, EGRESS_DROP_FRAGMENT_INVALID);
	return network;
}

/* The same packet with protocol and transport behind the extension headers. */
static __always_inline __u64 parse_ipv6_behind_extensions(struct __sk_buff *skb, __u8 protocol, __u32 end)
{
	__u64 walk = parse_ipv6_extensions(skb, protocol, end), network;

	network = network_make(6, WALK_PROTOCOL(walk), WALK_TRANSPORT(walk), end) | NETWORK_EXTENSIONS;
	if (WALK_REASON(walk))
		return packet_refuse(network, WALK_REASON(walk));
	return WALK_FRAGMENT(walk) ? parse_ipv6_fragment(skb, network, WALK_FRAGMENT(walk)) : network;
}

static __always_inline __u64 parse_ipv6(struct __sk_buff *skb)
{
	__u32 available = skb->len - ETH_HLEN - sizeof(struct ipv6hdr), payload, end;
	struct ipv6hdr ip;

	if (bpf_skb_load_bytes(skb, ETH_HLEN, &ip, sizeof(ip)))
		return packet_refuse(NETWORK_ETHERTYPE, EGRESS_DROP_TRUNCATED);
	if (ip.version != 6)
		return packet_refuse(NETWORK_ETHERTYPE, EGRESS_DROP_IP_VERSION);
	payload = bpf_ntohs(ip.payload_len);
	/* Length 0 is a jumbogram's or a super-packet's above 64 KB ("BIG TCP"); only the kernel makes the latter. */
	if (!payload && skb->gso_size)
		payload = available;
	if (payload > available || (!payload && ip.nexthdr == IPV6_HOP_BY_HOP))
		return packet_refuse(NETWORK_ETHERTYPE, EGRESS_DROP_IP_TOTAL_LENGTH);

	end = ETH_HLEN + sizeof(ip) + payload;
	if (ipv6_is_extension(ip.nexthdr))
		return parse_ipv6_behind_extensions(skb, ip.nexthdr, end);
	return network_make(6, ip.nexthdr, ETH_HLEN + sizeof(ip), end);
}

#endif
