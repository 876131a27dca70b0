/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Step 7: is it the answer to a connection that someone opened to the pod? */
#ifndef EGRESSD_BPF_FLOW_H
#define EGRESSD_BPF_FLOW_H

#include "lib/parse_transport.h"
#include "lib/policy.h"

#define TCP_FLAG_FIN        0x01
#define TCP_FLAG_SYN        0x02
#define TCP_FLAG_RST        0x04
#define TCP_FLAG_ACK        0x10
#define TCP_SEQUENCE_OFFSET 4
#define TCP_ACK_OFFSET      8 /* the acknowledgement; offset and flags follow it */
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

/* The flags of a TCP header; out of the linear part, where most packets have it, without a call. */
static __always_inline _Bool tcp_flags(struct __sk_buff *skb, const struct packet *packet, __u8 *flags)
{
	__u32 offset = packet->transport + TCP_FLAGS_OFFSET;
	const __u8 *byte = (const __u8 *)(long)skb->data + (offset & 0xff);

	if (likely(offset <= 0xff && (void *)(byte + 1) <= (void *)(long)skb->data_end)) {
		*flags = *byte;
		return 1;
	}
	return !bpf_skb_load_bytes(skb, offset, flags, sizeof(*flags));
}

static __always_inline _Bool flow_expired(const struct egress_flow *flow, __u8 protocol,
					  const struct egress_control *control, __u64 now)
{
	_Bool lasting = flow->state == EGRESS_FLOW_ESTABLISHED || flow->flags & EGRESS_FLOW_UNSEEN;
	__u32 timeout;

	if (protocol != IPPROTO_TCP)
		timeout = lasting ? control->timeout_udp : control->timeout_udp_new;
	else if (flow->state == EGRESS_FLOW_CLOSING)
		timeout = control->timeout_closing;
	else
		timeout = lasting ? control->timeout_established : control->timeout_new;
	/* Signed: another CPU may have seen a packet since this one looked at the clock. */
	return (__s64)(now - flow->seen) > (__s64)timeout;
}

static __always_inline void flow_seen(struct egress_flow *flow, __u64 now)
{
	if (flow->seen != now)
		flow->seen = now;
}

/* The key that a packet from the pod has as an answer; false where it can be none. */
static __always_inline _Bool flow_answer_key(const struct packet *packet, __u32 endpoint, struct egress_flow_key *key)
{
	if (!packet->has_ports)
		return 0;
	key->endpoint = endpoint;
	key->protocol = packet->protocol;
	key->family = packet->family;
	__builtin_memcpy(key->local, packet->source, sizeof(key->local));
	__builtin_memcpy(key->remote, packet->destination, sizeof(key->remote));
	if (packet->protocol != IPPROTO_ICMP && packet->protocol != PROTOCOL_ICMPV6) {
		key->local_port = packet->source_port;
		key->remote_port = packet->destination_port;
		return 1;
	}
	key->local_port = packet->destination_port;
	key->remote_port = 0;
	return !packet_icmp_code(packet) &&
	       packet_icmp_type(packet) == (packet->family == 4 ? ICMP_ECHO_REPLY : ICMPV6_ECHO_REPLY) &&
	       (packet->family == 4) == (packet->protocol == IPPROTO_ICMP);
}

/* What follows the sequence number in a TCP header. */
struct tcp_answer {
	__u32 ack; /* network order */
	__u8 offset, flags;
} __attribute__((packed));

static __always_inline void flow_pod_sent_tcp(struct egress_flow *flow, const struct tcp_answer *answer, __u64 now)
{
	__u8 flags = answer->flags;
	__u32 both = EGRESS_FLOW_FIN_LOCAL | EGRESS_FLOW_FIN_REMOTE;

	if (flow->state == EGRESS_FLOW_CLOSING)
		return;
	flow_seen(flow, now);
	if (flags & TCP_FLAG_ACK) {
		flow->acknowledged = bpf_ntohl(answer->ack);
		flow->flags |= EGRESS_FLOW_ACKNOWLEDGED;
	}
	if (flags & TCP_FLAG_FIN)
		flow->flags |= EGRESS_FLOW_FIN_LOCAL;
	if (flags & TCP_FLAG_RST || (flow->flags & both) == both)
		flow->state = EGRESS_FLOW_CLOSING;
	else if (flags & TCP_FLAG_SYN)
		flow->state = flow->state == EGRESS_FLOW_NEW ? EGRESS_FLOW_ANSWERED : flow->state;
	else if (flow->state != EGRESS_FLOW_ESTABLISHED)
		/* A TCP sends nothing but SYN-ACKs until the peer has acknowledged one (RFC 9293). */
		flow->state = EGRESS_FLOW_ESTABLISHED;
}

/* True: the packet is an answer and passes. */
static __noinline int flow_answer(struct __sk_buff *skb, const struct judge *judge, const struct packet *packet)
{
	struct egress_flow_key key = {};
	const struct egress_flow_share *share;
	struct egress_flow *flow;
	__u32 id = judge->endpoint->id;
	struct tcp_answer answer = {};
	__u64 now;

	share = bpf_map_lookup_elem(&flow_shares, &id);
	if (!share || !share->rings)
		return 0;
	if (!flow_answer_key(packet, id, &key))
		return 0;
	/* A bare SYN opens a connection; it answers none, not even in a simultaneous open. */
	if (packet->protocol == IPPROTO_TCP &&
	    (bpf_skb_load_bytes(skb, packet->transport + TCP_ACK_OFFSET, &answer, sizeof(answer)) ||
	     (answer.flags & (TCP_FLAG_SYN | TCP_FLAG_ACK)) == TCP_FLAG_SYN))
		return 0;
	flow = bpf_map_lookup_elem(&flows, &key);
	now = bpf_jiffies64();
	if (!flow || flow_expired(flow, packet->protocol, judge->control, now))
		return 0;
	if (packet->protocol == IPPROTO_TCP) {
		flow_pod_sent_tcp(flow, &answer, now);
		return 1;
	}
	flow_seen(flow, now);
	if (flow->state == EGRESS_FLOW_NEW)
		flow->state = EGRESS_FLOW_ANSWERED;
	return 1;
}

#endif
