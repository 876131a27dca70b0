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

static __always_inline _Bool icmp_is_error(const struct packet *packet)
{
	__u8 type = packet_icmp_type(packet);

	if (!packet->has_ports)
		return 0;
	if (packet->family == 4)
		return packet->protocol == IPPROTO_ICMP && (type == 3 || type == 11 || type == 12);
	return packet->protocol == PROTOCOL_ICMPV6 && type >= 1 && type <= 4;
}

/* A quoted echo request, whose flow is known by its identifier. No error is about an error, nor about a reply. */
static __always_inline _Bool icmp_quoted_echo(struct __sk_buff *skb, const struct packet *packet, __u32 offset,
					      struct egress_flow_key *key)
{
	struct {
		__u8 type, code;
		__u16 checksum, id, sequence;
	} echo;

	if (packet->transport + packet->length < offset + sizeof(echo) ||
	    bpf_skb_load_bytes(skb, offset, &echo, sizeof(echo)) || echo.code ||
	    echo.type != (packet->family == 4 ? ICMP_ECHO_REQUEST : ICMPV6_ECHO_REQUEST))
		return 0;
	key->local_port = echo.id;
	return 1;
}

/* The flow that the quoted packet belongs to, as the pod's answer would carry it. */
static __always_inline _Bool icmp_quoted_key(struct __sk_buff *skb, const struct packet *packet,
					     struct egress_flow_key *key)
{
	__u32 quoted = packet->transport + ICMP_HEADER_LENGTH, header_length;
	__u16 ports[2];

	if (packet->family == 4) {
		struct iphdr ip;

		if (bpf_skb_load_bytes(skb, quoted, &ip, sizeof(ip)) || ip.version != 4 || ip.ihl < 5 ||
		    ip.frag_off & bpf_htons(0x1fff))
			return 0;
		key->local[0] = ip.daddr;
		key->remote[0] = ip.saddr;
		key->protocol = ip.protocol;
		header_length = ip.ihl * 4;
	} else {
		struct ipv6hdr ip;

		if (bpf_skb_load_bytes(skb, quoted, &ip, sizeof(ip)) || ip.version != 6)
			return 0;
		__builtin_memcpy(key->local, &ip.daddr, sizeof(key->local));
		__builtin_memcpy(key->remote, &ip.saddr, sizeof(key->remote));
		key->protocol = ip.nexthdr;
		header_length = sizeof(ip);
	}
	key->family = packet->family;
	if (!address_equal(key->local, packet->source) || !address_equal(key->remote, packet->destination))
		return 0;
	if (key->protocol == packet->protocol)
		return icmp_quoted_echo(skb, packet, quoted + header_length, key);
	if (key->protocol != IPPROTO_TCP && key->protocol != IPPROTO_UDP && key->protocol != IPPROTO_SCTP)
		return 0;
	if (packet->length < ICMP_HEADER_LENGTH + header_length + sizeof(ports) ||
	    bpf_skb_load_bytes(skb, quoted + header_length, ports, sizeof(ports)))
		return 0;
	key->remote_port = ports[0];
	key->local_port = ports[1];
	return 1;
}

/* The same, of a packet that is read anew: its room on the stack is free again when policy is asked. */
static __noinline int icmp_quoted_flow(struct __sk_buff *skb, __u32 transport, __u32 length, __u32 family,
				       struct egress_flow_key *key)
{
	struct packet packet = {.protocol = family == 4 ? IPPROTO_ICMP : PROTOCOL_ICMPV6};

	return packet_reload(skb, &packet, transport, length, family) && icmp_quoted_key(skb, &packet, key);
}

/* True: the packet passes. A global function: the verifier looks at it once. */
__noinline int icmp_error_passes(struct __sk_buff *skb, __u32 transport, __u32 length, __u32 family)
{
	struct egress_flow_key key = {};
	struct destination back = {.address = key.remote};
	struct judge judge;
	const struct egress_flow *flow;

	if (!icmp_quoted_flow(skb, transport, length, family, &key) || judge_find(skb, &judge))
		return 0;
	key.endpoint = judge.endpoint->id;
	back.port = key.remote_port;
	back.family = key.family;
	back.protocol = key.protocol;
	if (policy_judge_cold(&judge, &back) == EGRESS_DROP_NONE)
		return 1;
	flow = bpf_map_lookup_elem(&flows, &key);
	return flow && !flow_expired(flow, key.protocol, judge.control, bpf_jiffies64());
}

#endif
