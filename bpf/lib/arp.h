/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Step 3a: ARP (RFC 826), for the pod's own address only. */
#ifndef EGRESSD_BPF_ARP_H
#define EGRESSD_BPF_ARP_H

#include <linux/if_ether.h>
#include <stddef.h>

#include "lib/endpoint.h"

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
 * Whether the frame comes from the hardware address that it claims, and where that is known, from the pod's, and carries
 * nothing behind ARP.
 */
__noinline int arp_frame_good(struct __sk_buff *skb)
{
	const struct egress_endpoint *endpoint = endpoint_find(skb->ifindex);
	__u8 source[ETH_ALEN], sender[ETH_ALEN];

	if (!endpoint || skb->len > ARP_FRAME_MAX || bpf_skb_load_bytes(skb, ETH_ALEN, source, sizeof(source)) ||
	    bpf_skb_load_bytes(skb, ETH_HLEN + offsetof(struct arp_ethernet, sender_mac), sender, sizeof(sender)))
		return 0;
	return mac_equal(sender, source) && (!mac_known(endpoint) || mac_equal(source, endpoint->mac)) &&
	       arp_padding_is_zero(skb);
}

/*
 * Whether it is a request or answer from the pod's own address, or a probe (RFC 5227: sender 0.0.0.0) for it, in a frame
 * that is good.
 */
__noinline int arp_message_good(struct __sk_buff *skb)
{
	const struct egress_endpoint *endpoint = endpoint_find(skb->ifindex);
	struct arp_ethernet arp;
	__u32 sender, target;

	if (!endpoint || bpf_skb_load_bytes(skb, ETH_HLEN, &arp, sizeof(arp)))
		return 0;
	if (arp.hardware_type != bpf_htons(ARP_HARDWARE_ETHERNET) || arp.protocol_type != bpf_htons(ETH_P_IP) ||
	    arp.hardware_length != ETH_ALEN || arp.protocol_length != sizeof(sender))
		return 0;
	if (arp.operation != bpf_htons(ARP_REQUEST) && arp.operation != bpf_htons(ARP_REPLY))
		return 0;
	if (claims_are_free(endpoint))
		return 1;
	__builtin_memcpy(&sender, arp.sender, sizeof(sender));
	__builtin_memcpy(&target, arp.target, sizeof(target));
	if (!endpoint->ipv4)
		return 0;
	return sender == endpoint->ipv4 ||
	       (!sender && target == endpoint->ipv4 && arp.operation == bpf_htons(ARP_REQUEST));
}

static __always_inline enum egress_drop_reason arp_check(struct __sk_buff *skb)
{
	return arp_frame_good(skb) && arp_message_good(skb) ? EGRESS_DROP_NONE : EGRESS_DROP_ARP;
}

#endif
