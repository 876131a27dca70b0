/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Step 2: Ethernet, and which parser is next. Every function returns EGRESS_DROP_NONE or why the packet is dropped. */
#ifndef EGRESSD_BPF_PARSE_H
#define EGRESSD_BPF_PARSE_H

#include <linux/if_ether.h>

#include "lib/parse_ipv4.h"
#include "lib/parse_ipv6.h"

static __always_inline enum egress_drop_reason parse_packet(struct __sk_buff *skb, struct packet *packet)
{
	const struct ethhdr *ethernet;

	if (!packet_linear(skb, sizeof(*ethernet)))
		return EGRESS_DROP_TRUNCATED;
	ethernet = (void *)(long)skb->data;
	if ((void *)(ethernet + 1) > (void *)(long)skb->data_end)
		return EGRESS_DROP_TRUNCATED;
	packet->ethertype = bpf_ntohs(ethernet->h_proto);
	if (unlikely(skb->vlan_present))
		return EGRESS_DROP_VLAN;
	switch (packet->ethertype) {
	case ETH_P_IP:
		return parse_ipv4(skb, packet);
	case ETH_P_IPV6:
		return parse_ipv6(skb, packet);
	case ETH_P_ARP:
		return EGRESS_DROP_NONE;
	case ETH_P_8021Q:
	case ETH_P_8021AD:
		return EGRESS_DROP_VLAN;
	default:
		return EGRESS_DROP_ETHERTYPE;
	}
}

#endif
