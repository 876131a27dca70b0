/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Towards the pod: who opened what, and the slot that each flow has in its endpoint's share (see <egressd/contract.h>).
 */
#ifndef EGRESSD_BPF_FLOW_OPEN_H
#define EGRESSD_BPF_FLOW_OPEN_H

#include "lib/flow.h"
#include "lib/source.h"

/*
 * Slots that a new flow looks at; bounds the work of a packet. Ring and slot are drawn at random: so nobody can aim at
 * one, and a flood makes a share grow by little more than its live flows ask for: a ring is added when all tries meet
 * live flows, which happens as often as their part of the slots to the eighth.
 */
#define FLOW_SLOT_TRIES 8

/* The first value of a ring; it is too large for the stack. */
static const struct flow_ring flow_ring_empty;

static __always_inline struct flow_ring *flow_ring_find(const struct egress_flow_ring_key *key)
{
	if (key->ring < EGRESS_FLOW_RINGS_OWN)
		return bpf_map_lookup_elem(&flow_rings_own, key);
	return bpf_map_lookup_elem(&flow_rings_pool, key);
}

/* One ring more for the share; false where the share or the pool is used up. */
static __noinline int flow_ring_add(__u32 endpoint, struct egress_flow_share *share)
{
	struct egress_flow_ring_key key = {.endpoint = endpoint, .ring = share->rings};

	if (key.ring >= EGRESS_FLOW_RINGS_MAX)
		return 0;
	/* That it exists already (another CPU was faster, or the share was zeroed) is as good. */
	if (key.ring < EGRESS_FLOW_RINGS_OWN)
		bpf_map_update_elem(&flow_rings_own, &key, &flow_ring_empty, BPF_NOEXIST);
	else
		bpf_map_update_elem(&flow_rings_pool, &key, &flow_ring_empty, BPF_NOEXIST);
	if (!flow_ring_find(&key))
		return 0;
	share->rings = key.ring + 1;
	return 1;
}

static __always_inline _Bool flow_key_equal(const struct egress_flow_key *a, const struct egress_flow_key *b)
{
	const __u32 *x = (const __u32 *)a, *y = (const __u32 *)b;
	__u32 difference = 0, i;

#pragma clang loop unroll(full)
	for (i = 0; i < sizeof(*a) / sizeof(*x); i++)
		difference |= x[i] ^ y[i];
	/* Not a branch for every word: the verifier would follow all of them, in each of the tries. */
	barrier_var(difference);
	return !difference;
}

enum slot_use {
	SLOT_FREE,    /* its flow is gone, expired or closing */
	SLOT_OPENING, /* its flow is not yet established */
	SLOT_IN_USE,
};

/* *created: of an opening flow, jiffies64. */
static __always_inline enum slot_use flow_slot_use(const struct egress_flow_key *occupant,
						   const struct egress_control *control, __u64 now, __u64 *created)
{
	const struct egress_flow *flow;

	if (!occupant->endpoint)
		return SLOT_FREE;
	flow = bpf_map_lookup_elem(&flows, occupant);
	if (!flow || flow->state == EGRESS_FLOW_CLOSING || flow_expired(flow, occupant->protocol, control, now))
		return SLOT_FREE;
	*created = flow->created;
	return flow->state == EGRESS_FLOW_ESTABLISHED ? SLOT_IN_USE : SLOT_OPENING;
}

/* A slot of a share, and the key in it when it was looked at. */
struct flow_slot {
	struct egress_flow_ring_key ring;
	__u32 index;
	struct egress_flow_key occupant;
};

static __always_inline _Bool flow_slot_read(struct flow_slot *slot)
{
	struct flow_ring *ring = flow_ring_find(&slot->ring);
	__u32 index = slot->index;

	/* The compiler knows that it is, the verifier does not. */
	barrier_var(index);
	if (!ring || index >= EGRESS_FLOW_RING_SLOTS)
		return 0;
	bpf_spin_lock(&ring->lock);
	slot->occupant = ring->slot[index];
	bpf_spin_unlock(&ring->lock);
	return 1;
}

/* Writes the key into the slot if the occupant is still in it, and deletes the occupant's flow. */
static __noinline int flow_slot_claim(const struct flow_slot *slot, const struct egress_flow_key *key)
{
	struct flow_ring *ring = flow_ring_find(&slot->ring);
	__u32 index = slot->index;
	_Bool same;

	if (!ring || index >= EGRESS_FLOW_RING_SLOTS)
		return 0;
	bpf_spin_lock(&ring->lock);
	same = flow_key_equal(&ring->slot[index], &slot->occupant);
	if (same)
		ring->slot[index] = *key;
	bpf_spin_unlock(&ring->lock);
	if (same && slot->occupant.endpoint)
		bpf_map_delete_elem(&flows, &slot->occupant);
	return same;
}

/*
 * Finds a slot for the key among the first `rings` rings from `first` on: a free one, else, with `push`, that of the
 * oldest opening flow among those looked at.
 */
static __noinline int flow_slot_take(const struct egress_flow_key *key, const struct egress_control *control,
				     __u32 first, __u32 rings, _Bool push)
{
	struct flow_slot slot = {.ring.endpoint = key->endpoint};
	__u64 now = bpf_jiffies64(), created = 0, oldest_created = ~0ull;
	__u32 oldest_ring = 0, oldest_index = EGRESS_FLOW_RING_SLOTS, i;

#pragma clang loop unroll(disable)
	for (i = 0; i < FLOW_SLOT_TRIES; i++) {
		__u32 random = bpf_get_prandom_u32();
		enum slot_use use;

		slot.ring.ring = first + (((random >> 16) * rings) >> 16);
		slot.index = ((random & 0xffff) * EGRESS_FLOW_RING_SLOTS) >> 16;
		if (!flow_slot_read(&slot))
			continue;
		use = flow_slot_use(&slot.occupant, control, now, &created);
		if (use == SLOT_FREE && flow_slot_claim(&slot, key))
			return 1;
		if (use == SLOT_OPENING && created < oldest_created) {
			oldest_ring = slot.ring.ring;
			oldest_index = slot.index;
			oldest_created = created;
		}
	}
	slot.ring.ring = oldest_ring;
	slot.index = oldest_index;
	return push && flow_slot_read(&slot) && flow_slot_use(&slot.occupant, control, now, &created) != SLOT_IN_USE &&
	       flow_slot_claim(&slot, key);
}

static __always_inline _Bool flow_share_take(struct egress_flow_share *share, const struct egress_flow_key *key,
					     const struct egress_control *control)
{
	__u32 rings = share->rings;

	if (rings && flow_slot_take(key, control, 0, rings, rings >= EGRESS_FLOW_RINGS_OPENING))
		return 1;
	return flow_ring_add(key->endpoint, share) && flow_slot_take(key, control, rings, 1, 1);
}

/* Records a flow that the peer opened just now. */
static __noinline int flow_open(const struct egress_flow_key *key, const struct egress_control *control, __u32 flags)
{
	struct egress_flow flow = {.state = EGRESS_FLOW_NEW, .flags = flags};
	__u32 id = key->endpoint;
	struct egress_flow_share *share = bpf_map_lookup_elem(&flow_shares, &id);

	if (!share)
		return 0;
	flow.seen = flow.created = bpf_jiffies64();
	if (!flow_share_take(share, key, control) || bpf_map_update_elem(&flows, key, &flow, BPF_NOEXIST))
		/* Relaxed: for an ordered one newer compilers take an instruction that came with 5.12. */
		__atomic_fetch_add(&share->refused, 1, __ATOMIC_RELAXED);
	return 0;
}

/* A flow that is over or expired begins anew; it has its slot already. */
static __always_inline void flow_reopen(struct egress_flow *flow, __u32 flags, __u64 now)
{
	flow->state = EGRESS_FLOW_NEW;
	flow->flags = flags;
	flow->created = now;
	flow->seen = now;
}

/* The key as the pod's answer to this packet will carry it; false where the packet is none that can be answered. */
static __always_inline _Bool flow_request_key(const struct packet *packet, __u32 endpoint, struct egress_flow_key *key)
{
	if (!packet->has_ports)
		return 0;
	key->endpoint = endpoint;
	key->protocol = packet->protocol;
	key->family = packet->family;
	__builtin_memcpy(key->local, packet->destination, sizeof(key->local));
	__builtin_memcpy(key->remote, packet->source, sizeof(key->remote));
	if (packet->protocol != IPPROTO_ICMP && packet->protocol != PROTOCOL_ICMPV6) {
		key->local_port = packet->destination_port;
		key->remote_port = packet->source_port;
		return 1;
	}
	key->local_port = packet->destination_port;
	key->remote_port = 0;
	return !packet_icmp_code(packet) &&
	       packet_icmp_type(packet) == (packet->family == 4 ? ICMP_ECHO_REQUEST : ICMPV6_ECHO_REQUEST) &&
	       (packet->family == 4) == (packet->protocol == IPPROTO_ICMP);
}

/* Whether policy lets the pod send to where this packet comes from. */
static __always_inline _Bool flow_allowed_anyway(struct judge *judge, const struct egress_flow_key *key)
{
	struct destination back = {
		.address = key->remote, .port = key->remote_port, .family = key->family, .protocol = key->protocol};

	return policy_judge_cold(judge, &back) == EGRESS_DROP_NONE;
}

/*
 * Whether the packet comes from another pod of this node under an address that is not that pod's: it asks for nothing on
 * behalf of whom it names. A pod that no policy isolates may send it, but no other pod may answer.
 */
__noinline int flow_forged(struct __sk_buff *skb)
{
	const struct egress_endpoint *sender = skb->ingress_ifindex ? endpoint_find(skb->ingress_ifindex) : NULL;
	struct packet packet = {};

	/* A global function; only the addresses count. */
	return sender && (!packet_reload(skb, &packet, 0, 0, skb->protocol == bpf_htons(ETH_P_IP) ? 4 : 6) ||
			  !source_own(sender, &packet));
}

/* Whether a FIN or RST is where the connection is, as far as the pod has told. */
static __always_inline _Bool flow_end_fits(const struct egress_flow *flow, __u32 sequence)
{
	return !(flow->flags & EGRESS_FLOW_ACKNOWLEDGED) || sequence - flow->acknowledged <= TCP_END_WINDOW;
}

/* A SYN, FIN or RST towards the pod. `segment`: its sequence number in host order, and above that its flags. */
static __noinline int flow_peer_sent_tcp(struct judge *judge, const struct egress_flow_key *key, __u64 segment)
{
	__u32 both = EGRESS_FLOW_FIN_LOCAL | EGRESS_FLOW_FIN_REMOTE, unseen;
	struct egress_flow *flow = bpf_map_lookup_elem(&flows, key);
	__u64 now = bpf_jiffies64();
	__u8 flags = segment >> 32;

	if ((flags & (TCP_FLAG_SYN | TCP_FLAG_ACK | TCP_FLAG_RST | TCP_FLAG_FIN)) == TCP_FLAG_SYN) {
		if (flow && flow->state != EGRESS_FLOW_CLOSING && !flow_expired(flow, IPPROTO_TCP, judge->control, now))
			return 0;
		unseen = flow_allowed_anyway(judge, key) ? EGRESS_FLOW_UNSEEN : 0;
		if (!flow)
			return flow_open(key, judge->control, unseen);
		flow_reopen(flow, unseen, now);
		return 0;
	}
	if (!flow || flow->state == EGRESS_FLOW_CLOSING || flow_expired(flow, IPPROTO_TCP, judge->control, now) ||
	    !flow_end_fits(flow, segment))
		return 0;
	flow_seen(flow, now);
	if (flags & TCP_FLAG_FIN)
		flow->flags |= EGRESS_FLOW_FIN_REMOTE;
	if (flags & TCP_FLAG_RST || (flow->flags & both) == both)
		flow->state = EGRESS_FLOW_CLOSING;
	return 0;
}

/*
 * UDP, SCTP or an echo request towards the pod. What the pod may send anyway needs no entry, and must not have one: it
 * would outlive the policy that allows it.
 */
static __noinline int flow_peer_sent_datagram(struct judge *judge, const struct egress_flow_key *key)
{
	struct egress_flow *flow;
	__u64 now = bpf_jiffies64();

	if (flow_allowed_anyway(judge, key))
		return 0;
	flow = bpf_map_lookup_elem(&flows, key);
	if (!flow)
		return flow_open(key, judge->control, 0);
	if (flow_expired(flow, key->protocol, judge->control, now)) {
		flow_reopen(flow, 0, now);
		return 0;
	}
	flow_seen(flow, now);
	if (flow->state == EGRESS_FLOW_ANSWERED)
		flow->state = EGRESS_FLOW_ESTABLISHED;
	return 0;
}

/*
 * In host order; means nothing where it is no TCP. A global function: its room on the stack is free again when the flow
 * is looked up.
 */
__noinline __u32 tcp_sequence(struct __sk_buff *skb, __u32 transport)
{
	__u32 sequence = 0;

	/* Of TCP it is there: the flags behind it were read. */
	bpf_skb_load_bytes(skb, transport + TCP_SEQUENCE_OFFSET, &sequence, sizeof(sequence));
	return bpf_ntohl(sequence);
}

/* A packet towards an isolated pod. */
static __always_inline void flow_track(struct __sk_buff *skb, struct judge *judge, const struct packet *packet)
{
	struct egress_flow_key key = {};
	__u32 sequence;
	__u8 flags;

	if (packet->protocol == IPPROTO_TCP) {
		if (!packet->has_ports || !tcp_flags(skb, packet, &flags))
			return;
		/*
		 * Only what opens or ends a connection is looked up. Everything between shows in the pod's own packets,
		 * which refresh the entry: so a connection that the pod opened itself costs no look-up here.
		 */
		if (!(flags & (TCP_FLAG_FIN | TCP_FLAG_RST)) && (flags & (TCP_FLAG_SYN | TCP_FLAG_ACK)) != TCP_FLAG_SYN)
			return;
	}
	if (flow_forged(skb))
		return;
	sequence = tcp_sequence(skb, packet->transport);
	if (!flow_request_key(packet, judge->endpoint->id, &key))
		return;
	if (packet->protocol == IPPROTO_TCP)
		flow_peer_sent_tcp(judge, &key, (__u64)flags << 32 | sequence);
	else
		flow_peer_sent_datagram(judge, &key);
}

#endif
