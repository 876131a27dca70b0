/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Step 7: is it the answer to a connection that someone opened to the pod? */
#ifndef EGRESSD_BPF_FLOW_H
#define EGRESSD_BPF_FLOW_H

#include <egressd/flow_timeout.h>

#include "lib/parse_transport.h"
#include "lib/policy.h"

#define TCP_FLAG_FIN        0x01
#define TCP_FLAG_SYN        0x02
#define TCP_FLAG_RST        0x04
#define TCP_FLAG_ACK        0x10
#define TCP_SEQUENCE_OFFSET 4
#define TCP_ACK_OFFSET      8
#define TCP_FLAGS_OFFSET    13

/*
 * A peer's FIN or RST counts within so much of what the pod acknowledged last: who cannot see the connection must guess
 * one number in 65,536 to end it (RFC 5961, 3.2 has the pod itself ask for the exact one).
 */
#define TCP_END_WINDOW      65536

#define ICMP_ECHO_REPLY     0
#define ICMP_ECHO_REQUEST   8
#define ICMPV6_ECHO_REQUEST 128
#define ICMPV6_ECHO_REPLY   129

/*
 * What counts of a TCP header in one number: a sequence number (of the pod's packets what they acknowledge) in host order,
 * and above that the flags.
 */
#define SEGMENT(number, flags)  ((__u64)(flags) << 32 | (number))
#define SEGMENT_NUMBER(segment) ((__u32)(segment))
#define SEGMENT_FLAGS(segment)  ((__u8)((segment) >> 32))
#define SEGMENT_NONE            (~0ull) /* it could not be read, which cannot be where the packet was parsed */

/* The segment in the header that begins `transport` bytes behind the frame's; `offset`: of which number. */
__noinline __u64 tcp_segment(struct __sk_buff *skb, __u32 transport, __u32 offset)
{
	__u32 number = 0;
	__u8 flags = 0;

	if (bpf_skb_load_bytes(skb, transport + offset, &number, sizeof(number)) ||
	    bpf_skb_load_bytes(skb, transport + TCP_FLAGS_OFFSET, &flags, sizeof(flags)))
		return SEGMENT_NONE;
	return SEGMENT(bpf_ntohl(number), flags);
}

static __always_inline _Bool tcp_opens(__u8 flags)
{
	return (flags & (TCP_FLAG_SYN | TCP_FLAG_ACK)) == TCP_FLAG_SYN;
}

/*
 * All of a flow's name but the addresses, in one number: these are in the packet that it is looked up for. From the lowest
 * bit: 16 remote port, 16 local port, both in network order, 8 protocol, 8 family, 16 endpoint. 0: there is none.
 */
static __always_inline __u64 tuple_make(__u32 endpoint, __u64 network, __u16 local_port, __u16 remote_port)
{
	return (__u64)endpoint << 48 | (__u64)network_family(network) << 40 | (__u64)network_protocol(network) << 32 |
	       (__u32)local_port << 16 | remote_port;
}

static __always_inline __u64 tuple_of_endpoint(__u64 tuple, __u32 endpoint)
{
	return tuple | (__u64)endpoint << 48;
}

static __always_inline __u32 tuple_endpoint(__u64 tuple)
{
	return tuple >> 48;
}

static __always_inline __u8 tuple_family(__u64 tuple)
{
	return tuple >> 40;
}

static __always_inline __u8 tuple_protocol(__u64 tuple)
{
	return tuple >> 32;
}

static __always_inline __u16 tuple_local_port(__u64 tuple)
{
	return tuple >> 16;
}

static __always_inline __u16 tuple_remote_port(__u64 tuple)
{
	return tuple;
}

/* Who sent the packet that a flow is looked up for. */
enum flow_sender {
	FLOW_FROM_POD,
	FLOW_FROM_PEER,
};

/* All of `name` is written. */
static __always_inline _Bool flow_name_load(struct __sk_buff *skb, __u64 tuple, enum flow_sender sender,
					    struct egress_flow_name *name)
{
	_Bool ipv4 = tuple_family(tuple) == 4;
	__u32 source = ipv4 ? IPV4_SOURCE_OFFSET : IPV6_SOURCE_OFFSET, destination = source + (ipv4 ? 4 : 16);
	__u32 local = sender == FLOW_FROM_POD ? source : destination;
	__u32 remote = sender == FLOW_FROM_POD ? destination : source;

	*name = (struct egress_flow_name){
		.key.local_port = tuple_local_port(tuple),
		.key.remote_port = tuple_remote_port(tuple),
		.key.owner = tuple_endpoint(tuple),
		.key.protocol = tuple_protocol(tuple),
	};
	if (ipv4)
		return !bpf_skb_load_bytes(skb, local, &name->key.remote[1], 4) &&
		       !bpf_skb_load_bytes(skb, remote, &name->key.remote[0], 4);
	if (bpf_skb_load_bytes(skb, local, name->local, 16) || bpf_skb_load_bytes(skb, remote, name->key.remote, 16))
		return 0;
	name->key.owner |= EGRESS_FLOW_OWNER_IPV6;
	name->key.local = ((const __u8 *)name->local)[15];
	return 1;
}

/* Whether there may be flows of the endpoint in "flows_beside"; most often there are none. */
static __always_inline _Bool flow_beside_possible(__u32 endpoint)
{
	const struct egress_flow_share *share = bpf_map_lookup_elem(&flow_shares, &endpoint);

	return share && share->beside;
}

static __always_inline struct egress_flow *flow_find_beside(const struct egress_flow_name *name)
{
	if (!flow_beside_possible(egress_flow_endpoint(&name->key)))
		return NULL;
	return bpf_map_lookup_elem(&flows_beside, name);
}

/* NULL: there is no such flow. */
static __always_inline struct egress_flow *flow_find(const struct egress_flow_name *name)
{
	struct egress_flow *flow = bpf_map_lookup_elem(&flows, &name->key);

	if (flow && address_equal(flow->local, name->local))
		return flow;
	return flow_find_beside(name);
}

static __always_inline _Bool flow_expired(const struct egress_flow *flow, __u8 protocol,
					  const struct egress_control *control, __u64 now)
{
	/* Most packets of a flow that is busy. */
	if (likely(flow->seen == now))
		return 0;
	/* Signed: another CPU may have seen a packet since this one looked at the clock. */
	return (__s64)(now - flow->seen) > (__s64)egress_flow_timeout(flow, protocol, control);
}

static __always_inline void flow_seen(struct egress_flow *flow, __u64 now)
{
	if (flow->seen != now)
		flow->seen = now;
}

/* Whether it is an echo of this type (of ICMP or ICMPv6) that fits its family. */
static __always_inline _Bool packet_is_echo(__u64 network, __u64 ports, __u8 icmp, __u8 icmpv6)
{
	_Bool ipv4 = network_family(network) == 4;

	return !ports_icmp_code(ports) && ports_icmp_type(ports) == (ipv4 ? icmp : icmpv6) &&
	       ipv4 == (network_protocol(network) == IPPROTO_ICMP);
}

/* The tuple that a packet from the pod has as an answer; 0 where it can be none. */
static __always_inline __u64 flow_answer_tuple(__u64 network, __u64 ports, __u32 endpoint)
{
	if (!(ports & PORTS_KNOWN))
		return 0;
	if (!protocol_is_icmp(network_protocol(network)))
		return tuple_make(endpoint, network, ports_source(ports), ports_destination(ports));
	if (!packet_is_echo(network, ports, ICMP_ECHO_REPLY, ICMPV6_ECHO_REPLY))
		return 0;
	return tuple_make(endpoint, network, ports_destination(ports), 0);
}

/* Who answers a SYN has a new connection, and be it on the port of one that had all but ended. */
static __always_inline void flow_pod_accepted(struct egress_flow *flow)
{
	if (flow->state == EGRESS_FLOW_NEW || flow->state == EGRESS_FLOW_ENDING) {
		flow->state = EGRESS_FLOW_ANSWERED;
		flow->flags &= ~(EGRESS_FLOW_FIN_LOCAL | EGRESS_FLOW_FIN_REMOTE);
	}
}

static __always_inline void flow_pod_sent_tcp(struct egress_flow *flow, __u64 segment, __u64 now)
{
	__u8 flags = SEGMENT_FLAGS(segment);
	__u32 both = EGRESS_FLOW_FIN_LOCAL | EGRESS_FLOW_FIN_REMOTE;

	if (flow->state == EGRESS_FLOW_CLOSING)
		return;
	flow_seen(flow, now);
	if (flags & TCP_FLAG_ACK) {
		if (flow->acknowledged != SEGMENT_NUMBER(segment))
			flow->acknowledged = SEGMENT_NUMBER(segment);
		if (!(flow->flags & EGRESS_FLOW_ACKNOWLEDGED))
			flow->flags |= EGRESS_FLOW_ACKNOWLEDGED;
	}
	if (flags & TCP_FLAG_FIN)
		flow->flags |= EGRESS_FLOW_FIN_LOCAL;
	if (flags & TCP_FLAG_RST || (flow->flags & both) == both)
		flow->state = EGRESS_FLOW_CLOSING;
	else if (flags & TCP_FLAG_FIN)
		flow->state = EGRESS_FLOW_ENDING;
	else if (flags & TCP_FLAG_SYN)
		flow_pod_accepted(flow);
	else if (flow->state < EGRESS_FLOW_ESTABLISHED)
		/* A TCP sends nothing but SYN-ACKs until the peer has acknowledged one (RFC 9293). */
		flow->state = EGRESS_FLOW_ESTABLISHED;
}

/* Whether a flow to this port of the endpoint may be there; most often none is. */
static __always_inline _Bool flow_possible(__u32 endpoint, __u8 protocol, __u16 local_port)
{
	const struct egress_flow_share *share = bpf_map_lookup_elem(&flow_shares, &endpoint);

	return share && share->opened[egress_flow_port(protocol, local_port)];
}

/* A bare SYN opens a connection; it answers none, not even in a simultaneous open. segment: of TCP. */
static __always_inline _Bool flow_answer_opens(__u8 protocol, __u64 segment)
{
	return protocol == IPPROTO_TCP && tcp_opens(SEGMENT_FLAGS(segment));
}

/*
 * True: the pod's packet, whose flow is found, is an answer and passes. segment: of TCP, with what it acknowledges. Writes
 * nothing that is as it should be, so that the flow's cache line stays clean.
 */
static __always_inline _Bool flow_answers(struct egress_flow *flow, __u8 protocol, const struct egress_control *control,
					  __u64 segment)
{
	__u64 now = bpf_jiffies64();

	if (flow_expired(flow, protocol, control, now))
		return 0;
	if (protocol == IPPROTO_TCP) {
		flow_pod_sent_tcp(flow, segment, now);
		return 1;
	}
	flow_seen(flow, now);
	if (flow->state == EGRESS_FLOW_NEW)
		flow->state = EGRESS_FLOW_ANSWERED;
	return 1;
}

/* The same for a packet that took the long way; the TCP header begins at `transport`. */
__noinline int flow_answer(struct __sk_buff *skb, __u64 tuple, __u32 transport)
{
	struct egress_flow *flow;
	struct egress_flow_name name;
	__u64 segment = 0;

	if (!flow_possible(tuple_endpoint(tuple), tuple_protocol(tuple), tuple_local_port(tuple)))
		return 0;
	/* First the calls, then what would have to be kept over them. */
	if (tuple_protocol(tuple) == IPPROTO_TCP)
		segment = tcp_segment(skb, transport, TCP_ACK_OFFSET);
	if (segment == SEGMENT_NONE || flow_answer_opens(tuple_protocol(tuple), segment) ||
	    !flow_name_load(skb, tuple, FLOW_FROM_POD, &name))
		return 0;
	flow = flow_find(&name);
	return flow && flow_answers(flow, tuple_protocol(tuple), control_read(), segment);
}

#endif
