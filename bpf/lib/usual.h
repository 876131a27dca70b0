/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Step 1b: what nearly every packet is, TCP or UDP in IPv4 or IPv6 from the pod's own address, whole and without options,
 * is judged here with nothing but registers. What policy allows passes at once; what it denies is an answer to a flow, or
 * dropped. What is in any way unusual is left to the steps that follow, which know why a packet is dropped.
 */
#ifndef EGRESSD_BPF_USUAL_H
#define EGRESSD_BPF_USUAL_H

#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>
#include <linux/udp.h>
#include <stddef.h>

#include "lib/flow.h"
#include "lib/flow_open.h"
#include "lib/report.h"

/* Source and destination of TCP and UDP alike. */
struct usual_ports {
	__u16 source, destination; /* network order */
};

/* The index in bank.ports of TCP and UDP; false for others, and if its header does not end within the `length` bytes. */
static __always_inline _Bool usual_transport(__u8 protocol, __u32 ip_header, __u32 length,
					     enum egress_port_protocol *transport)
{
	if (likely(protocol == IPPROTO_TCP)) {
		*transport = EGRESS_PORT_TCP;
		return length >= ip_header + sizeof(struct tcphdr);
	}
	*transport = EGRESS_PORT_UDP;
	return protocol == IPPROTO_UDP && length >= ip_header + sizeof(struct udphdr);
}

/* What is found out about a packet. */
enum usual_verdict {
	USUAL_NOT,    /* nothing: the steps that follow look at it */
	USUAL_PASSES,
	USUAL_DENIED, /* policy denies it with judge->cell, and it is no answer; struct usual is written */
};

/* What the report of a drop needs, as the parser would say it. */
struct usual {
	__u64 network, ports;
};

/* The port's class, before anything else is asked of the tables: it is all that must be kept of the transport. */
static __always_inline _Bool usual_port_class(const struct judge *judge, enum egress_port_protocol transport, __u16 port,
					      __u32 *class)
{
	return egress_port_word(judge->control, judge->bank, transport, bpf_ntohs(port), class);
}

/* The protocol and the port (network order) matter to the tunnel alone. judge->cell is written only where it denies. */
static __always_inline enum usual_verdict usual_cell(struct judge *judge, __u32 class, __u32 port_class,
						     const __u8 *protocol, const __u16 *port)
{
	__u32 cell;

	if (unlikely(!egress_cell(judge->control, judge->set, class, port_class, &cell)))
		return USUAL_NOT;
	if (unlikely(!(cell & EGRESS_CELL_ALLOW))) {
		judge->cell = cell;
		return USUAL_DENIED;
	}
	if (unlikely(cell == (EGRESS_CELL_ALLOW | EGRESS_RULE_NODE)) && egress_node_tunnel(*protocol, bpf_ntohs(*port)))
		return USUAL_NOT;
	return USUAL_PASSES;
}

/*
 * A flow's key is put together in registers, in what the kernel compares it in, double words: written in smaller ones,
 * these would have to wait for the processor's stores to end.
 */
#define USUAL_KEY_NUMBERS 3
_Static_assert(sizeof(struct egress_flow_key) == USUAL_KEY_NUMBERS * sizeof(__u64) &&
	       offsetof(struct egress_flow_key, remote) == 0 && offsetof(struct egress_flow_key, local_port) == 16 &&
	       offsetof(struct egress_flow_key, remote_port) == 18 && offsetof(struct egress_flow_key, owner) == 20 &&
	       offsetof(struct egress_flow_key, protocol) == 22 && offsetof(struct egress_flow_key, local) == 23,
	       "what the functions below write");

/* Two words as they follow each other in memory. */
static __always_inline __u64 words(__u32 first, __u32 second)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
	return first | (__u64)second << 32;
#else
	return (__u64)first << 32 | second;
#endif
}

static __always_inline __u32 word_at(const void *memory)
{
	return *(const __u32 *)memory;
}

/* The last three fields, as they stand in the key. */
static __always_inline __u32 usual_owner(__u32 owner, __u8 protocol, __u8 local)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
	return owner | (__u32)protocol << 16 | (__u32)local << 24;
#else
	return owner << 16 | (__u32)protocol << 8 | local;
#endif
}

static __always_inline void usual_key_ipv4(const struct iphdr *ip, __u32 endpoint, __u64 key[USUAL_KEY_NUMBERS])
{
	key[0] = words(ip->daddr, ip->saddr);
	key[1] = 0;
	key[2] = words(word_at(ip + 1), usual_owner(endpoint, ip->protocol, 0));
}

static __always_inline void usual_key_ipv6(const struct ipv6hdr *ip, __u32 endpoint, __u64 key[USUAL_KEY_NUMBERS])
{
	const __u64 *destination = (const void *)&ip->daddr;

	key[0] = destination[0];
	key[1] = destination[1];
	key[2] = words(word_at(ip + 1),
		       usual_owner(endpoint | EGRESS_FLOW_OWNER_IPV6, ip->nexthdr, ip->saddr.s6_addr[15]));
}

/* Whether the flow is to the address that the packet is from. */
static __always_inline _Bool usual_local_ipv6(const struct ipv6hdr *ip, const struct egress_flow *flow)
{
	const __u64 *source = (const void *)&ip->saddr, *local = (const void *)flow->local;

	return !((source[0] ^ local[0]) | (source[1] ^ local[1]));
}

/*
 * The packet that policy denies, from a port with flows: USUAL_PASSES if the pod answers with it. ip: its header without
 * options, of `length` bytes, behind which the ports are in the linear part. Its frame is its own, so that the usual
 * packet's is no larger.
 */
static __noinline int usual_answer(const void *ip, const void *end, __u32 length, __u32 endpoint,
				   const struct egress_control *control)
{
	_Bool ipv4 = length == sizeof(struct iphdr);
	__u8 protocol = ipv4 ? ((const struct iphdr *)ip)->protocol : ((const struct ipv6hdr *)ip)->nexthdr;
	__u64 key[USUAL_KEY_NUMBERS], segment = 0;
	const struct tcphdr *tcp = ip + length;
	struct egress_flow *flow;

	if (protocol == IPPROTO_TCP) {
		if (unlikely((const void *)(tcp + 1) > end))
			return USUAL_NOT;
		segment = SEGMENT(bpf_ntohl(tcp->ack_seq), ((const __u8 *)tcp)[TCP_FLAGS_OFFSET]);
	}
	if (unlikely(flow_answer_opens(protocol, segment)))
		return USUAL_DENIED;
	if (ipv4)
		usual_key_ipv4(ip, endpoint, key);
	else
		usual_key_ipv6(ip, endpoint, key);
	flow = bpf_map_lookup_elem(&flows, key);
	if (!flow || (!ipv4 && unlikely(!usual_local_ipv6(ip, flow))))
		return flow_beside_possible(endpoint) ? USUAL_NOT : USUAL_DENIED;
	return flow_answers(flow, protocol, control, segment) ? USUAL_PASSES : USUAL_DENIED;
}

/*
 * What policy denies: whether it is an answer, and what the report of a drop needs. The packet is looked at anew, so that the
 * usual one's way, which is not this one, keeps nothing for it.
 */
static __always_inline enum usual_verdict usual_denied_ipv4(struct __sk_buff *skb, const struct judge *judge,
							    struct usual *usual)
{
	const struct usual_ports *ports;
	const struct iphdr *ip;
	const void *end;

	barrier_var(skb);
	ip = (const void *)(long)skb->data + ETH_HLEN;
	end = (const void *)(long)skb->data_end;
	ports = (const void *)(ip + 1);
	if (unlikely((const void *)(ports + 1) > end))
		return USUAL_NOT;
	if (ip->daddr == ip->saddr) /* the pod's own */
		return USUAL_PASSES;
	usual->network = network_make(4, ip->protocol, ETH_HLEN + sizeof(*ip), ETH_HLEN + bpf_ntohs(ip->tot_len));
	usual->ports = ports_make(ports->source, ports->destination);
	if (likely(!flow_possible(judge->endpoint->id, ip->protocol, ports->source)))
		return USUAL_DENIED;
	return usual_answer(ip, end, sizeof(*ip), judge->endpoint->id, judge->control);
}

static __always_inline enum usual_verdict usual_denied_ipv6(struct __sk_buff *skb, const struct judge *judge,
							    struct usual *usual)
{
	const __u64 *source, *destination;
	const struct usual_ports *ports;
	const struct ipv6hdr *ip;
	const void *end;

	barrier_var(skb);
	ip = (const void *)(long)skb->data + ETH_HLEN;
	end = (const void *)(long)skb->data_end;
	ports = (const void *)(ip + 1);
	if (unlikely((const void *)(ports + 1) > end))
		return USUAL_NOT;
	source = (const void *)&ip->saddr;
	destination = (const void *)&ip->daddr;
	if (!((source[0] ^ destination[0]) | (source[1] ^ destination[1])))
		return USUAL_PASSES;
	usual->network = network_make(6, ip->nexthdr, ETH_HLEN + sizeof(*ip),
				      ETH_HLEN + sizeof(*ip) + bpf_ntohs(ip->payload_len));
	usual->ports = ports_make(ports->source, ports->destination);
	if (likely(!flow_possible(judge->endpoint->id, ip->nexthdr, ports->source)))
		return USUAL_DENIED;
	return usual_answer(ip, end, sizeof(*ip), judge->endpoint->id, judge->control);
}

/* The first eight bytes of an IPv4 header as they stand in it: version, length of the header, all of a fragment's place. */
#define USUAL_IPV4_MASK bpf_cpu_to_be64(0xff00000000003fffull)
#define USUAL_IPV4      bpf_cpu_to_be64(0x4500000000000000ull)

/* The header without options and the ports are in the linear part. */
static __always_inline enum usual_verdict usual_ipv4(struct __sk_buff *skb, struct judge *judge, const struct iphdr *ip,
						     struct usual *usual)
{
	const struct usual_ports *ports = (const void *)(ip + 1);
	__u64 first = *(const __u64 *)(const void *)ip;
	__u32 length = bpf_ntohs(ip->tot_len), class, port_class;
	enum egress_port_protocol transport;
	enum usual_verdict verdict;

	if (unlikely((first & USUAL_IPV4_MASK) != USUAL_IPV4))
		return USUAL_NOT;
	if (unlikely(!usual_transport(ip->protocol, sizeof(*ip), length, &transport) || length > skb->len - ETH_HLEN))
		return USUAL_NOT;
	if (unlikely(ip->saddr != judge->endpoint->ipv4 || !ip->saddr))
		return USUAL_NOT;
	if (unlikely(!usual_port_class(judge, transport, ports->destination, &port_class) ||
		     !egress_class4(judge->control, judge->bank, ip->daddr, &class)))
		return USUAL_NOT;
	verdict = usual_cell(judge, class, port_class, &ip->protocol, &ports->destination);
	return likely(verdict != USUAL_DENIED) ? verdict : usual_denied_ipv4(skb, judge, usual);
}

static __always_inline enum usual_verdict usual_ipv6(struct __sk_buff *skb, struct judge *judge,
						     const struct ipv6hdr *ip, const void *end, struct usual *usual)
{
	const struct usual_ports *ports = (const void *)(ip + 1);
	const __u64 *source = (const void *)&ip->saddr, *destination = (const void *)&ip->daddr,
		    *own = (const void *)judge->endpoint->ipv6;
	enum egress_port_protocol transport;
	__u32 length, class, port_class;
	enum usual_verdict verdict;

	if (unlikely((const void *)(ports + 1) > end || (*(const __u8 *)ip & 0xf0) != 0x60))
		return USUAL_NOT;
	length = sizeof(*ip) + bpf_ntohs(ip->payload_len);
	if (unlikely(!usual_transport(ip->nexthdr, sizeof(*ip), length, &transport) || length > skb->len - ETH_HLEN))
		return USUAL_NOT;
	if (unlikely((source[0] ^ own[0]) | (source[1] ^ own[1]) || !(own[0] | own[1])))
		return USUAL_NOT;
	if (unlikely(!usual_port_class(judge, transport, ports->destination, &port_class)))
		return USUAL_NOT;
	class = tables_class6(judge->bank->ipv6_root, destination[0], destination[1]);
	if (unlikely(class == TABLES_NONE))
		return USUAL_NOT;
	verdict = usual_cell(judge, class, port_class, &ip->nexthdr, &ports->destination);
	return likely(verdict != USUAL_DENIED) ? verdict : usual_denied_ipv6(skb, judge, usual);
}

/* For a pod with tables: judge->set is an address. */
static __always_inline enum usual_verdict usual_judge(struct __sk_buff *skb, struct judge *judge, struct usual *usual)
{
	const __u8 *frame = (const void *)(long)skb->data, *end = (const void *)(long)skb->data_end;
	const __u8 *ip = frame + ETH_HLEN;
	__u16 ethertype;

	if (unlikely(ip + sizeof(struct iphdr) + sizeof(struct usual_ports) > end || skb->vlan_present))
		return USUAL_NOT;
	/* struct ethhdr is packed: the compiler would read its bytes one by one. */
	ethertype = *(const __u16 *)(frame + offsetof(struct ethhdr, h_proto));
	if (likely(ethertype == bpf_htons(ETH_P_IP)))
		return usual_ipv4(skb, judge, (const void *)ip, usual);
	if (ethertype == bpf_htons(ETH_P_IPV6))
		return usual_ipv6(skb, judge, (const void *)ip, end, usual);
	return USUAL_NOT;
}

/*
 * Of a packet towards the pod: TCP, without anything unusual about its headers, that neither opens nor ends a connection.
 * So are nearly all, and nothing more need be known. It may as well be a later fragment, whose bytes only look like that:
 * these do not count, either.
 */
static __always_inline _Bool usual_between(struct __sk_buff *skb)
{
	const __u8 *frame = (const void *)(long)skb->data, *end = (const void *)(long)skb->data_end;
	__u16 ethertype;

	if (frame + ETH_HLEN + sizeof(struct iphdr) + sizeof(struct tcphdr) > end)
		return 0;
	ethertype = *(const __u16 *)(frame + offsetof(struct ethhdr, h_proto));
	if (likely(ethertype == bpf_htons(ETH_P_IP)))
		return frame[ETH_HLEN] == 0x45 && frame[ETH_HLEN + offsetof(struct iphdr, protocol)] == IPPROTO_TCP &&
		       !tcp_flags_count(frame[ETH_HLEN + sizeof(struct iphdr) + TCP_FLAGS_OFFSET]);
	return ethertype == bpf_htons(ETH_P_IPV6) &&
	       frame + ETH_HLEN + sizeof(struct ipv6hdr) + sizeof(struct tcphdr) <= end &&
	       frame[ETH_HLEN + offsetof(struct ipv6hdr, nexthdr)] == IPPROTO_TCP &&
	       !tcp_flags_count(frame[ETH_HLEN + sizeof(struct ipv6hdr) + TCP_FLAGS_OFFSET]);
}

#endif
