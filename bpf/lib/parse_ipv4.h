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

static __always_inline enum egress_drop_reason parse_ipv4_fragment(struct packet *packet, __u16 bits, __u16 id)
{
	packet->fragment_id = id;
	packet->fragment_offset = (bits & IPV4_OFFSET_MASK) << 3;
	packet->fragment_length = packet->length;
	packet->fragment = packet->fragment_offset ? FRAGMENT_LATER : FRAGMENT_FIRST;
	/* All but the last are multiples of eight bytes (RFC 791), and none reaches beyond the largest datagram. */
	if (!packet->length || ((bits & IPV4_MORE_FRAGMENTS) && (packet->length & 7)) ||
	    packet->fragment_offset + packet->length > 0xffff)
		return EGRESS_DROP_FRAGMENT_INVALID;
	return EGRESS_DROP_NONE;
}

static __always_inline enum egress_drop_reason parse_ipv4(struct __sk_buff *skb, struct packet *packet)
{
	__u32 available = skb->len - ETH_HLEN, header_length, total;
	const struct iphdr *ip;
	const void *transport;
	__u16 bits;

	if (!packet_linear(skb, ETH_HLEN + sizeof(*ip)))
		return EGRESS_DROP_TRUNCATED;
	ip = (void *)(long)skb->data + ETH_HLEN;
	if ((void *)(ip + 1) > (void *)(long)skb->data_end)
		return EGRESS_DROP_TRUNCATED;
	if (unlikely(ip->version != 4))
		return EGRESS_DROP_IP_VERSION;
	header_length = ip->ihl * 4;
	if (unlikely(header_length < sizeof(*ip) || header_length > available))
		return EGRESS_DROP_IP_HEADER_LENGTH;
	total = bpf_ntohs(ip->tot_len);
	/* A super-packet above 64 KB has no length of its own ("BIG TCP"); only the kernel makes those. */
	if (unlikely(!total && skb->gso_size))
		total = available;
	if (unlikely(total < header_length || total > available))
		return EGRESS_DROP_IP_TOTAL_LENGTH;

	packet->source[0] = ip->saddr;
	packet->destination[0] = ip->daddr;
	packet->protocol = ip->protocol;
	packet->family = 4;
	packet->transport = ETH_HLEN + header_length;
	packet->length = total - header_length;
	bits = bpf_ntohs(ip->frag_off);
	if (unlikely(bits & (IPV4_MORE_FRAGMENTS | IPV4_OFFSET_MASK))) {
		enum egress_drop_reason reason = parse_ipv4_fragment(packet, bits, ip->id);

		if (reason)
			return reason;
	}
	if (unlikely(header_length > sizeof(*ip))) {
		int reason = parse_ipv4_options(skb, ETH_HLEN + header_length);

		return reason ? (enum egress_drop_reason)reason : parse_transport(skb, packet, NULL);
	}
	transport = (const void *)(ip + 1);
	return parse_transport(skb, packet, transport + 8 <= (void *)(long)skb->data_end ? transport : NULL);
}

#endif
