/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Step 2: Ethernet, and which parser is next. */
#ifndef EGRESSD_BPF_PARSE_H
#define EGRESSD_BPF_PARSE_H

#include "lib/parse_ipv4.h"
#include "lib/parse_ipv6.h"

/* `network` of the packet: its reason is EGRESS_DROP_NONE or why the packet is dropped, its family 0 if it is ARP. */
__noinline __u64 parse_network(struct __sk_buff *skb)
{
	__u16 ethertype;

	if (!packet_pull(skb) || bpf_skb_load_bytes(skb, ETHERTYPE_OFFSET, &ethertype, sizeof(ethertype)))
		return packet_refuse(0, EGRESS_DROP_TRUNCATED);
	if (skb->vlan_present)
		return packet_refuse(NETWORK_ETHERTYPE, EGRESS_DROP_VLAN);
	switch (bpf_ntohs(ethertype)) {
	case ETH_P_IP:
		return parse_ipv4(skb);
	case ETH_P_IPV6:
		return parse_ipv6(skb);
	case ETH_P_ARP:
		return NETWORK_ETHERTYPE;
	case ETH_P_8021Q:
	case ETH_P_8021AD:
		return packet_refuse(NETWORK_ETHERTYPE, EGRESS_DROP_VLAN);
	default:
		return packet_refuse(NETWORK_ETHERTYPE, EGRESS_DROP_ETHERTYPE);
	}
}

#endif
