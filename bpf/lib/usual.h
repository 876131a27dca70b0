/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Step 1b: what nearly every packet is, TCP or UDP in IPv4 or IPv6 from the pod's own address, whole and without options,
 * is judged here with nothing but registers. What policy allows passes at once. What is in any way unusual is left to
 * the steps that follow, which know why a packet is dropped; what policy denies is too, with the cell that says so.
 */
#ifndef EGRESSD_BPF_USUAL_H
#define EGRESSD_BPF_USUAL_H

#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>
#include <linux/udp.h>
#include <stddef.h>

#include "lib/policy.h"

/* Source and destination of TCP and UDP alike. */
struct usual_ports {
	__u16 source, destination; /* network order */
};

/* The transport's index in bank.ports, and bytes up to the end of its header behind `ip_header` of them. */
static __always_inline _Bool usual_transport(__u8 protocol, __u32 ip_header, enum egress_port_protocol *transport,
					     __u32 *needed)
{
	if (likely(protocol == IPPROTO_TCP)) {
		*transport = EGRESS_PORT_TCP;
		*needed = ip_header + sizeof(struct tcphdr);
		return 1;
	}
	*transport = EGRESS_PORT_UDP;
	*needed = ip_header + sizeof(struct udphdr);
	return protocol == IPPROTO_UDP;
}

/* judge->cell and ->denied say what is known when it does not pass. port: network order. */
static __always_inline _Bool usual_cell(struct judge *judge, enum egress_port_protocol transport, __u32 class,
					__u16 port)
{
	__u32 port_class, cell;

	if (!egress_port_word(judge->control, judge->bank, transport, bpf_ntohs(port), &port_class) ||
	    !egress_cell(judge->control, judge->set, class, port_class, &cell))
		return 0;
	if (unlikely(!(cell & EGRESS_CELL_ALLOW))) {
		judge->cell = cell;
		judge->denied = 1;
		return 0;
	}
	return likely(cell != (EGRESS_CELL_ALLOW | EGRESS_RULE_NODE)) || transport != EGRESS_PORT_UDP ||
	       !egress_node_tunnel(IPPROTO_UDP, bpf_ntohs(port));
}

/* The header without options and the ports are in the linear part. */
static __always_inline _Bool usual_ipv4(struct __sk_buff *skb, struct judge *judge, const struct iphdr *ip)
{
	const struct usual_ports *ports = (const void *)(ip + 1);
	__u32 length, needed, class;
	enum egress_port_protocol transport;

	if (*(const __u8 *)ip != 0x45 || ip->frag_off & bpf_htons(0x3fff))
		return 0;
	length = bpf_ntohs(ip->tot_len);
	if (!usual_transport(ip->protocol, sizeof(*ip), &transport, &needed) || length < needed ||
	    length > skb->len - ETH_HLEN)
		return 0;
	if (unlikely(ip->saddr != judge->endpoint->ipv4 || !ip->saddr))
		return 0;
	return egress_class4(judge->control, judge->bank, ip->daddr, &class) &&
	       usual_cell(judge, transport, class, ports->destination);
}

static __always_inline _Bool usual_ipv6(struct __sk_buff *skb, struct judge *judge, const struct ipv6hdr *ip,
					const void *end)
{
	const struct usual_ports *ports = (const void *)(ip + 1);
	const __u64 *source = (const void *)&ip->saddr, *destination = (const void *)&ip->daddr,
		    *own = (const void *)judge->endpoint->ipv6;
	enum egress_port_protocol transport;
	__u32 length, needed, class;
	__u16 port;

	if ((const void *)(ports + 1) > end || (*(const __u8 *)ip & 0xf0) != 0x60)
		return 0;
	length = sizeof(*ip) + bpf_ntohs(ip->payload_len);
	if (!usual_transport(ip->nexthdr, sizeof(*ip), &transport, &needed) || length < needed ||
	    length > skb->len - ETH_HLEN)
		return 0;
	if (unlikely((source[0] ^ own[0]) | (source[1] ^ own[1]) || !(own[0] | own[1])))
		return 0;
	port = ports->destination;
	class = tables_class6(judge->bank->ipv6_root, 0, destination[0], destination[1]);
	return class != TABLES_NONE && usual_cell(judge, transport, class, port);
}

static __always_inline _Bool usual_passes(struct __sk_buff *skb, struct judge *judge)
{
	const __u8 *frame = (const void *)(long)skb->data, *end = (const void *)(long)skb->data_end;
	const __u8 *ip = frame + ETH_HLEN;
	__u16 ethertype;

	if (ip + sizeof(struct iphdr) + sizeof(struct usual_ports) > end ||
	    unlikely(judge->set < EGRESS_SET_FIRST) || skb->vlan_present)
		return 0;
	/* struct ethhdr is packed: the compiler would read its bytes one by one. */
	ethertype = *(const __u16 *)(frame + offsetof(struct ethhdr, h_proto));
	if (likely(ethertype == bpf_htons(ETH_P_IP)))
		return usual_ipv4(skb, judge, (const void *)ip);
	return ethertype == bpf_htons(ETH_P_IPV6) && usual_ipv6(skb, judge, (const void *)ip, end);
}

#endif
