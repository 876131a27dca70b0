/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Step 7, ICMP errors: one that the pod sends about a packet it got passes when the pod may send, or answer, to where
 * that packet came from. The quoted packet must be the pod's peer's to the pod, and the error must go back to that
 * peer.
 */
#ifndef EGRESSD_BPF_ICMP_ERROR_H
#define EGRESSD_BPF_ICMP_ERROR_H

#include <linux/ip.h>
#include <linux/ipv6.h>

#include "lib/flow.h"

#define ICMP_HEADER_LENGTH 8

static __always_inline _Bool packet_is_icmp_error(__u64 network, __u64 ports)
{
	__u8 type = ports_icmp_type(ports);

	if (!(ports & PORTS_KNOWN))
		return 0;
	if (network_family(network) == 4)
		return network_protocol(network) == IPPROTO_ICMP && (type == 3 || type == 11 || type == 12);
	return network_protocol(network) == PROTOCOL_ICMPV6 && type >= 1 && type <= 4;
}

/* Protocol of the quoted packet and where its transport header is; false where it is not the peer's to the pod. */
static __always_inline _Bool icmp_quoted_ipv4(struct __sk_buff *skb, __u32 quoted, __u8 *protocol, __u32 *transport)
{
	__u32 own[2]; /* source and destination of the packet itself */
	struct iphdr ip;

	if (bpf_skb_load_bytes(skb, IPV4_SOURCE_OFFSET, own, sizeof(own)) ||
	    bpf_skb_load_bytes(skb, quoted, &ip, sizeof(ip)) || ip.version != 4 || ip.ihl < 5 ||
	    ip.frag_off & bpf_htons(0x1fff) || ip.daddr != own[0] || ip.saddr != own[1])
		return 0;
	*protocol = ip.protocol;
	*transport = quoted + ip.ihl * 4;
	return 1;
}

static __always_inline _Bool icmp_quoted_ipv6(struct __sk_buff *skb, __u32 quoted, __u8 *protocol, __u32 *transport)
{
	struct addresses own;
	struct ipv6hdr ip;

	if (!addresses_load(skb, 6, &own) || bpf_skb_load_bytes(skb, quoted, &ip, sizeof(ip)) || ip.version != 6 ||
	    !address_equal(ip.daddr.s6_addr32, own.source) || !address_equal(ip.saddr.s6_addr32, own.destination))
		return 0;
	*protocol = ip.nexthdr;
	*transport = quoted + sizeof(ip);
	return 1;
}

/* A quoted echo request, whose flow is known by its identifier. No error is about an error, nor about a reply. */
static __always_inline _Bool icmp_quoted_echo(struct __sk_buff *skb, __u8 family, __u32 transport, __u16 *identifier)
{
	struct {
		__u8 type, code;
		__u16 checksum, id, sequence;
	} echo;

	if (bpf_skb_load_bytes(skb, transport, &echo, sizeof(echo)) || echo.code ||
	    echo.type != (family == 4 ? ICMP_ECHO_REQUEST : ICMPV6_ECHO_REQUEST))
		return 0;
	*identifier = echo.id;
	return 1;
}

/*
 * The tuple (without endpoint) of the flow that the packet quoted by an ICMP error belongs to, as the pod's answer would
 * have it; 0: the error has no business to be sent. Its addresses are those of the error itself.
 */
__noinline __u64 icmp_quoted_tuple(struct __sk_buff *skb, __u64 network)
{
	__u32 quoted = network_transport(network) + ICMP_HEADER_LENGTH, transport = 0, end = network_end(network);
	__u8 family = network_family(network), protocol = 0;
	__u16 ports[2] = {};

	if (!(family == 4 ? icmp_quoted_ipv4(skb, quoted, &protocol, &transport)
			  : icmp_quoted_ipv6(skb, quoted, &protocol, &transport)))
		return 0;
	if (protocol == network_protocol(network)) {
		if (end < transport + ICMP_HEADER_LENGTH || !icmp_quoted_echo(skb, family, transport, &ports[1]))
			return 0;
	} else if ((protocol != IPPROTO_TCP && protocol != IPPROTO_UDP && protocol != IPPROTO_SCTP) ||
		   end < transport + sizeof(ports) || bpf_skb_load_bytes(skb, transport, ports, sizeof(ports))) {
		return 0;
	}
	return tuple_make(0, network_make(family, protocol, 0, 0), ports[1], ports[0]);
}

/* Whether the pod may answer in the flow that it quotes. */
__noinline int icmp_quoted_flow(struct __sk_buff *skb, __u64 tuple)
{
	const struct egress_control *control = control_read();
	const struct egress_flow *flow;
	struct egress_flow_name name;

	if (!flow_name_load(skb, tuple, FLOW_FROM_POD, &name))
		return 0;
	flow = flow_find(&name);
	return flow && !flow_expired(flow, tuple_protocol(tuple), control, bpf_jiffies64());
}

/* True: the ICMP error passes. */
static __always_inline _Bool icmp_error_passes(struct __sk_buff *skb, const struct judge *judge, __u64 network)
{
	__u64 tuple = icmp_quoted_tuple(skb, network);

	if (!tuple)
		return 0;
	if (!POLICY_REASON(policy_ask(skb, judge, network_family(network), POLICY_DESTINATION, tuple_protocol(tuple),
				      tuple_remote_port(tuple))))
		return 1;
	return icmp_quoted_flow(skb, tuple_of_endpoint(tuple, judge->endpoint->id));
}

#endif
