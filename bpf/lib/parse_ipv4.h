/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef EGRESSD_BPF_PARSE_IPV4_H
#define EGRESSD_BPF_PARSE_IPV4_H

#include <linux/if_ether.h>
#include <linux/ip.h>

#include "lib/parse_transport.h"

#define IPV4_MORE_FRAGMENTS             0x2000
#define IPV4_OFFSET_MASK                0x1fff

#define IPV4_OPTION_END                 0
#define IPV4_OPTION_NOP                 1
#define IPV4_OPTION_LOOSE_SOURCE_ROUTE  131
#define IPV4_OPTION_STRICT_SOURCE_ROUTE 137

/*
 * Options are passed over, but a source route says that the destination in the header is not where the packet is going
 * (RFC 791). A global function: the verifier looks at it once. `end` is the offset behind the header.
 */
__noinline int parse_ipv4_options(struct __sk_buff *skb, __u32 end)
{
	__u32 offset = ETH_HLEN + sizeof(struct iphdr), i;
	__u8 option[2];

#pragma clang loop unroll(disable)
	for (i = 0; i < 40; i++) {
		if (offset >= end)
			return EGRESS_DROP_NONE;
		if (bpf_skb_load_bytes(skb, offset, option, 1))
			return EGRESS_DROP_TRUNCATED;
		if (option[0] == IPV4_OPTION_END)
			return EGRESS_DROP_NONE;
		if (option[0] == IPV4_OPTION_NOP) {
			offset++;
			continue;
		}
		if (option[0] == IPV4_OPTION_LOOSE_SOURCE_ROUTE || option[0] == IPV4_OPTION_STRICT_SOURCE_ROUTE)
			return EGRESS_DROP_SOURCE_ROUTE;
		if (offset + 2 > end || bpf_skb_load_bytes(skb, offset, option, 2))
			return EGRESS_DROP_IP_HEADER_LENGTH;
		if (option[1] < 2 || offset + option[1] > end)
			return EGRESS_DROP_IP_HEADER_LENGTH;
		offset += option[1];
	}
	return EGRESS_DROP_NONE;
}

static __always_inline __u64 parse_ipv4_fragment(__u64 network, __u16 bits)
{
	__u32 offset = (bits & IPV4_OFFSET_MASK) << 3, length = network_length(network);

	network |= network_fragment_make(offset ? FRAGMENT_LATER : FRAGMENT_FIRST);
	/* All but the last are multiples of eight bytes (RFC 791), and none reaches beyond the largest datagram. */
	if (!length || ((bits & IPV4_MORE_FRAGMENTS) && (length & 7)) || offset + length > 0xffff)
		return packet_refuse(network, EGRESS_DROP_FRAGMENT_INVALID);
	return network;
}

static __always_inline __u64 parse_ipv4(struct __sk_buff *skb)
{
	__u32 available = skb->len - ETH_HLEN, header_length, total;
	struct iphdr ip;
	__u64 network;
	__u16 bits;

	if (bpf_skb_load_bytes(skb, ETH_HLEN, &ip, sizeof(ip)))
		return packet_refuse(NETWORK_ETHERTYPE, EGRESS_DROP_TRUNCATED);
	if (ip.version != 4)
		return packet_refuse(NETWORK_ETHERTYPE, EGRESS_DROP_IP_VERSION);
	header_length = ip.ihl * 4;
	if (header_length < sizeof(ip) || header_length > available)
		return packet_refuse(NETWORK_ETHERTYPE, EGRESS_DROP_IP_HEADER_LENGTH);
	total = bpf_ntohs(ip.tot_len);
	/* A super-packet above 64 KB has no length of its own ("BIG TCP"); only the kernel makes those. */
	if (!total && skb->gso_size)
		total = available;
	if (total < header_length || total > available)
		return packet_refuse(NETWORK_ETHERTYPE, EGRESS_DROP_IP_TOTAL_LENGTH);

	network = network_make(4, ip.protocol, ETH_HLEN + header_length, ETH_HLEN + total);
	bits = bpf_ntohs(ip.frag_off);
	if (bits & (IPV4_MORE_FRAGMENTS | IPV4_OFFSET_MASK))
		network = parse_ipv4_fragment(network, bits);
	if (header_length > sizeof(ip) && !packet_reason(network))
		return packet_refuse(network, parse_ipv4_options(skb, ETH_HLEN + header_length));
	return network;
}

#endif
