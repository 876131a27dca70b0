/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Step 3a: ARP (RFC 826), for the pod's own address only. */
#ifndef EGRESSD_BPF_ARP_H
#define EGRESSD_BPF_ARP_H

#include <linux/if_ether.h>

#include "lib/maps.h"
#include "lib/packet.h"

/* <linux/if_arp.h> needs the C library's headers, which the BPF target does not have. */
#define ARP_HARDWARE_ETHERNET 1
#define ARP_REQUEST           1
#define ARP_REPLY             2

/* ARP for IPv4 over Ethernet, as a whole. */
struct arp_ethernet {
	__u16 hardware_type; /* all in network order */
	__u16 protocol_type;
	__u8 hardware_length;
	__u8 protocol_length;
	__u16 operation;
	__u8 sender_mac[ETH_ALEN];
	__u8 sender[4];
	__u8 target_mac[ETH_ALEN];
	__u8 target[4];
} __attribute__((packed));

/* An Ethernet frame is padded to this much, with zeros; what is longer, or not zero, carries something else. */
#define ARP_FRAME_MAX 60
#define ARP_PADDING_MAX (ARP_FRAME_MAX - ETH_HLEN - sizeof(struct arp_ethernet))

static __always_inline _Bool mac_known(const struct egress_endpoint *endpoint)
{
	return endpoint->mac[0] | endpoint->mac[1] | endpoint->mac[2] | endpoint->mac[3] | endpoint->mac[4] |
	       endpoint->mac[5];
}

static __always_inline _Bool mac_equal(const __u8 a[ETH_ALEN], const __u8 b[ETH_ALEN])
{
	return !((a[0] ^ b[0]) | (a[1] ^ b[1]) | (a[2] ^ b[2]) | (a[3] ^ b[3]) | (a[4] ^ b[4]) | (a[5] ^ b[5]));
}

/* Whose addresses are not checked may also claim others on the link. */
static __always_inline _Bool claims_are_free(const struct egress_endpoint *endpoint)
{
	return endpoint->flags & (EGRESS_ENDPOINT_ROUTER | EGRESS_ENDPOINT_SPOOF_OFF);
}

static __always_inline _Bool arp_padding_is_zero(struct __sk_buff *skb)
{
	__u32 offset = ETH_HLEN + sizeof(struct arp_ethernet), i;
	__u16 word;

#pragma clang loop unroll(disable)
	for (i = 0; i < ARP_PADDING_MAX / sizeof(word) && offset < skb->len; i++, offset += sizeof(word)) {
		word = 0;
		if (bpf_skb_load_bytes(skb, offset, &word, sizeof(word)) &&
		    bpf_skb_load_bytes(skb, offset, &word, 1))
			return 0;
		if (word)
			return 0;
	}
	return 1;
}

/*
 * A request or answer from the pod's own address, or a probe (RFC 5227: sender 0.0.0.0) for it. The hardware address
 * that it claims is the one that the frame comes from and, where it is known, the pod's.
 */
static __noinline int arp_check(struct __sk_buff *skb, const struct egress_endpoint *endpoint, struct packet *packet)
{
	struct {
		__u8 destination[ETH_ALEN], source[ETH_ALEN];
		__u16 ethertype;
		struct arp_ethernet arp;
	} __attribute__((packed)) frame;
	__u32 sender, target;

	if (skb->len > ARP_FRAME_MAX || bpf_skb_load_bytes(skb, 0, &frame, sizeof(frame)))
		return EGRESS_DROP_ARP;
	__builtin_memcpy(&sender, frame.arp.sender, sizeof(sender));
	__builtin_memcpy(&target, frame.arp.target, sizeof(target));
	packet->source[0] = sender;
	packet->destination[0] = target;
	if (frame.arp.hardware_type != bpf_htons(ARP_HARDWARE_ETHERNET) ||
	    frame.arp.protocol_type != bpf_htons(ETH_P_IP) || frame.arp.hardware_length != ETH_ALEN ||
	    frame.arp.protocol_length != 4)
		return EGRESS_DROP_ARP;
	if (frame.arp.operation != bpf_htons(ARP_REQUEST) && frame.arp.operation != bpf_htons(ARP_REPLY))
		return EGRESS_DROP_ARP;
	if (!mac_equal(frame.arp.sender_mac, frame.source) ||
	    (mac_known(endpoint) && !mac_equal(frame.source, endpoint->mac)))
		return EGRESS_DROP_ARP;
	if (!arp_padding_is_zero(skb))
		return EGRESS_DROP_ARP;
	if (claims_are_free(endpoint))
		return EGRESS_DROP_NONE;
	if (!endpoint->ipv4)
		return EGRESS_DROP_ARP;
	if (sender == endpoint->ipv4)
		return EGRESS_DROP_NONE;
	if (!sender && target == endpoint->ipv4 && frame.arp.operation == bpf_htons(ARP_REQUEST))
		return EGRESS_DROP_NONE;
	return EGRESS_DROP_ARP;
}

#endif
