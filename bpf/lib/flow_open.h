/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Towards the pod: who opened what, and the slot that each flow has in its endpoint's share (see <egressd/contract.h>).
 */
#ifndef EGRESSD_BPF_FLOW_OPEN_H
#define EGRESSD_BPF_FLOW_OPEN_H

#include "lib/flow.h"
#include "lib/parse.h"
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

/* One ring more for the endpoint's share; false where the share or the pool is used up. */
__noinline int flow_ring_add(__u32 endpoint)
{
	struct egress_flow_share *share = bpf_map_lookup_elem(&flow_shares, &endpoint);
	struct egress_flow_ring_key key = {.endpoint = endpoint};

	if (!share || share->rings >= EGRESS_FLOW_RINGS_MAX)
		return 0;
	key.ring = share->rings;
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

static __always_inline _Bool flow_name_equal(const struct egress_flow_name *a, const struct egress_flow_name *b)
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

/*
 * A slot of a share in one number: its index, 16 bits, and the ring above that. With a rank above that it is a candidate,
 * and of two the higher one is to be taken; 0: none.
 */
#define SLOT(ring, index)          ((__u32)(ring) << 16 | (index))
#define SLOT_RING(slot)            ((__u32)(slot) >> 16)
#define SLOT_INDEX(slot)           ((slot) & 0xffff)
#define SLOT_CANDIDATE(rank, slot) ((__u64)(rank) << 32 | (__u32)(slot))
#define SLOT_RANK(candidate)       ((__u32)((candidate) >> 32))

#define SLOT_RANK_IN_USE  0u
#define SLOT_RANK_OPENING 1u    /* and what is above: its flow is not yet established, the older the higher */
#define SLOT_RANK_FREE    (~0u) /* its flow is gone, expired or closing */

static __always_inline __u32 flow_slot_rank(const struct egress_flow_name *occupant,
					    const struct egress_control *control)
{
	const struct egress_flow *found;
	__u64 now = bpf_jiffies64(), age;
	struct egress_flow flow;

	if (!occupant->key.owner)
		return SLOT_RANK_FREE;
	found = flow_find(occupant);
	if (!found)
		return SLOT_RANK_FREE;
	/* To the verifier a copy is the same from either map, so it follows what comes next once. */
	flow = *found;
	if (flow.state == EGRESS_FLOW_CLOSING || flow_expired(&flow, occupant->key.protocol, control, now))
		return SLOT_RANK_FREE;
	if (flow.state >= EGRESS_FLOW_ESTABLISHED)
		return SLOT_RANK_IN_USE;
	/* Another CPU's flow may be younger than this one's clock. */
	age = now - flow.created;
	return SLOT_RANK_OPENING + ((__s64)age < 0 ? 0 : age > 1u << 31 ? 1u << 31 : (__u32)age);
}

/*
 * From both maps: two CPUs that open it while its key becomes free may each have put it into another one. Whichever takes
 * the key meanwhile is lost with it: its sender repeats what opened it.
 */
static __always_inline void flow_delete(const struct egress_flow_name *name)
{
	const struct egress_flow *flow = bpf_map_lookup_elem(&flows, &name->key);

	if (flow && address_equal(flow->local, name->local))
		bpf_map_delete_elem(&flows, &name->key);
	if (flow_beside_possible(egress_flow_endpoint(&name->key)))
		bpf_map_delete_elem(&flows_beside, name);
}

/* Writes the name into the slot if the occupant is still in it, and deletes the occupant's flow. */
static __always_inline _Bool flow_slot_claim(struct flow_ring *ring, __u32 index,
					     const struct egress_flow_name *occupant,
					     const struct egress_flow_name *name)
{
	_Bool same;

	bpf_spin_lock(&ring->lock);
	same = flow_name_equal(&ring->slot[index], occupant);
	if (same)
		ring->slot[index] = *name;
	bpf_spin_unlock(&ring->lock);
	if (same && occupant->key.owner)
		flow_delete(occupant);
	return same;
}

/* Where to look for a slot, in one number: `rings` rings from `first` on; `push`: an opening flow may be pushed out. */
#define SLOT_RANGE(first, rings, push) ((__u64)(push) << 32 | (__u32)(first) << 16 | (rings))

static __always_inline __u32 flow_slot_draw(__u64 range)
{
	__u32 random = bpf_get_prandom_u32(), first = range >> 16 & 0xffff, rings = range & 0xffff;

	return SLOT(first + (((random >> 16) * rings) >> 16), ((random & 0xffff) * EGRESS_FLOW_RING_SLOTS) >> 16);
}

/*
 * Finds a slot for the packet's flow in a SLOT_RANGE(): a free one, else, where it may be pushed out, that of the oldest
 * opening flow among those looked at.
 */
__noinline int flow_slot_take(struct __sk_buff *skb, __u64 tuple, __u64 range)
{
	const struct egress_control *control = control_read();
	struct egress_flow_name name, occupant;
	__u64 best = 0;
	__u32 i;

	if (!flow_name_load(skb, tuple, FLOW_FROM_PEER, &name))
		return 0;
#pragma clang loop unroll(disable)
	for (i = 0; i <= FLOW_SLOT_TRIES; i++) {
		_Bool last = i == FLOW_SLOT_TRIES;
		struct egress_flow_ring_key where = {.endpoint = tuple_endpoint(tuple)};
		__u32 slot, index, rank;
		struct flow_ring *ring;

		/* Kept in one number, or its parts take more of the stack. */
		barrier_var(range);
		if (last && (!(range >> 32) || !best))
			return 0;
		slot = last ? (__u32)best : flow_slot_draw(range);
		index = SLOT_INDEX(slot);
		where.ring = SLOT_RING(slot);
		ring = flow_ring_find(&where);
		/* The compiler knows that it is, the verifier does not. */
		barrier_var(index);
		if (!ring || index >= EGRESS_FLOW_RING_SLOTS)
			continue;
		bpf_spin_lock(&ring->lock);
		occupant = ring->slot[index];
		bpf_spin_unlock(&ring->lock);
		rank = flow_slot_rank(&occupant, control);
		if ((rank == SLOT_RANK_FREE || (last && rank != SLOT_RANK_IN_USE)) &&
		    flow_slot_claim(ring, index, &occupant, &name))
			return 1;
		if (rank != SLOT_RANK_FREE && rank > SLOT_RANK(best))
			best = SLOT_CANDIDATE(rank, slot);
	}
	return 0;
}

/* For a flow whose key another one has. */
static __always_inline _Bool flow_insert_beside(const struct egress_flow_name *name, const struct egress_flow *flow)
{
	const struct egress_flow *other = bpf_map_lookup_elem(&flows, &name->key);
	__u32 endpoint = egress_flow_endpoint(&name->key);
	struct egress_flow_share *share;

	/* There is no room or memory; or another CPU was faster with this one. */
	if (!other || address_equal(other->local, name->local))
		return 0;
	share = bpf_map_lookup_elem(&flow_shares, &endpoint);
	if (!share)
		return 0;
	if (!share->beside)
		share->beside = 1;
	return !bpf_map_update_elem(&flows_beside, name, flow, BPF_NOEXIST);
}

/* Records the packet's flow, whose slot is taken, as opened just now. */
__noinline int flow_insert(struct __sk_buff *skb, __u64 tuple, __u32 flags)
{
	struct egress_flow flow = {.state = EGRESS_FLOW_NEW, .flags = flags};
	struct egress_flow_name name;

	flow.seen = flow.created = bpf_jiffies64();
	if (!flow_name_load(skb, tuple, FLOW_FROM_PEER, &name))
		return 0;
	__builtin_memcpy(flow.local, name.local, sizeof(flow.local));
	return !bpf_map_update_elem(&flows, &name.key, &flow, BPF_NOEXIST) || flow_insert_beside(&name, &flow);
}

/* What the peer opened just now gets a slot and is recorded. */
static __always_inline void flow_open(struct __sk_buff *skb, __u64 tuple, __u32 flags)
{
	__u32 endpoint = tuple_endpoint(tuple), rings;
	struct egress_flow_share *share = bpf_map_lookup_elem(&flow_shares, &endpoint);
	__u8 *opened;
	_Bool taken;

	if (!share)
		return;
	opened = &share->opened[egress_flow_port(tuple_protocol(tuple), tuple_local_port(tuple))];
	if (!*opened)
		*opened = 1;
	rings = share->rings;
	taken = rings && flow_slot_take(skb, tuple, SLOT_RANGE(0, rings, rings >= EGRESS_FLOW_RINGS_OPENING));
	/* Where there is no ring left for it, opening flows make room in those that it has, however few. */
	if (!taken)
		taken = flow_slot_take(skb, tuple, flow_ring_add(endpoint) ? SLOT_RANGE(rings, 1, 1) :
									   SLOT_RANGE(0, rings, 1));
	if (!taken || !flow_insert(skb, tuple, flags))
		/* Relaxed: for an ordered one newer compilers take an instruction that came with 5.12. */
		__atomic_fetch_add(&share->refused, 1, __ATOMIC_RELAXED);
}

/* A flow that is over or expired begins anew; it has its slot already. */
static __always_inline void flow_reopen(struct egress_flow *flow, __u32 flags, __u64 now)
{
	flow->state = EGRESS_FLOW_NEW;
	flow->flags = flags;
	flow->created = now;
	flow->seen = now;
}

/* The tuple that the pod's answer to this packet will have; 0 where the packet is none that can be answered. */
static __always_inline __u64 flow_request_tuple(__u64 network, __u64 ports, __u32 endpoint)
{
	if (!(ports & PORTS_KNOWN))
		return 0;
	if (!protocol_is_icmp(network_protocol(network)))
		return tuple_make(endpoint, network, ports_destination(ports), ports_source(ports));
	if (!packet_is_echo(network, ports, ICMP_ECHO_REQUEST, ICMPV6_ECHO_REQUEST))
		return 0;
	return tuple_make(endpoint, network, ports_destination(ports), 0);
}

/* Whether a FIN or RST is where the connection is, as far as the pod has told. */
static __always_inline _Bool flow_end_fits(const struct egress_flow *flow, __u32 sequence)
{
	return !(flow->flags & EGRESS_FLOW_ACKNOWLEDGED) || sequence - flow->acknowledged <= TCP_END_WINDOW;
}

static __always_inline void flow_peer_ends(struct egress_flow *flow, __u64 segment, __u64 now)
{
	__u32 both = EGRESS_FLOW_FIN_LOCAL | EGRESS_FLOW_FIN_REMOTE;
	__u8 flags = SEGMENT_FLAGS(segment);

	if (!flow_end_fits(flow, SEGMENT_NUMBER(segment)))
		return;
	flow_seen(flow, now);
	if (flags & TCP_FLAG_FIN)
		flow->flags |= EGRESS_FLOW_FIN_REMOTE;
	if (flags & TCP_FLAG_RST || (flow->flags & both) == both)
		flow->state = EGRESS_FLOW_CLOSING;
	else if (flow->flags & EGRESS_FLOW_UNSEEN)
		flow->state = EGRESS_FLOW_ENDING;
}

/* A datagram of a flow that lives. */
static __always_inline void flow_peer_goes_on(struct egress_flow *flow, __u64 now)
{
	flow_seen(flow, now);
	if (flow->state == EGRESS_FLOW_ANSWERED)
		flow->state = EGRESS_FLOW_ESTABLISHED;
}

/* The peer has closed, and the pod's packets are not seen: nor would be that it answers a SYN. */
static __always_inline _Bool flow_ends_unseen(const struct egress_flow *flow)
{
	return flow->state == EGRESS_FLOW_ENDING && flow->flags & EGRESS_FLOW_UNSEEN;
}

static __always_inline _Bool segment_opens(__u64 segment)
{
	return (SEGMENT_FLAGS(segment) & (TCP_FLAG_SYN | TCP_FLAG_ACK | TCP_FLAG_RST | TCP_FLAG_FIN)) == TCP_FLAG_SYN;
}

/*
 * The peer sent a SYN, FIN or RST, or a datagram (`segment` is 0), and the flow is looked up. True: there is none, and
 * this packet opens one. flags: those of a flow that it opens.
 */
__noinline int flow_peer_sent(struct __sk_buff *skb, __u64 tuple, __u64 segment, __u32 flags)
{
	const struct egress_control *control = control_read();
	_Bool tcp = tuple_protocol(tuple) == IPPROTO_TCP, opens = !tcp || segment_opens(segment), over;
	struct egress_flow_name name;
	struct egress_flow *flow;
	__u64 now = bpf_jiffies64();

	if (!flow_name_load(skb, tuple, FLOW_FROM_PEER, &name))
		return 0;
	flow = flow_find(&name);
	if (!flow)
		return opens;
	over = flow->state == EGRESS_FLOW_CLOSING || flow_expired(flow, tuple_protocol(tuple), control, now);
	if (opens && (over || flow_ends_unseen(flow)))
		flow_reopen(flow, flags, now);
	else if (!over && tcp && !opens)
		flow_peer_ends(flow, segment, now);
	else if (!over && !tcp)
		flow_peer_goes_on(flow, now);
	return 0;
}

/* Whether a packet towards the pod counts: TCP only where it opens or ends a connection. */
static __always_inline _Bool tcp_flags_count(__u8 flags)
{
	/*
	 * Everything between shows in the pod's own packets, which refresh the entry: so a connection that the pod
	 * opened itself costs no look-up here.
	 */
	return flags & (TCP_FLAG_FIN | TCP_FLAG_RST) || tcp_opens(flags);
}

/* A packet towards an isolated pod. */
static __always_inline void flow_track(struct __sk_buff *skb, const struct judge *judge, __u64 network, __u64 ports)
{
	_Bool allowed = 0;
	__u64 tuple = flow_request_tuple(network, ports, judge->endpoint->id), segment = 0;

	if (!tuple)
		return;
	if (network_protocol(network) == IPPROTO_TCP) {
		segment = tcp_segment(skb, network_transport(network), TCP_SEQUENCE_OFFSET);
		if (segment == SEGMENT_NONE || !tcp_flags_count(SEGMENT_FLAGS(segment)))
			return;
	}
	/* From here on the tuple says it all: nothing else is kept on the stack. */
	barrier_var(tuple);
	if (source_forged(skb, tuple_family(tuple)))
		return;
	/*
	 * Whether policy lets the pod send to where this packet comes from. A datagram then needs no entry, and must not
	 * have one: it would outlive the policy that allows it.
	 */
	if (tuple_protocol(tuple) != IPPROTO_TCP || segment_opens(segment))
		allowed = !POLICY_REASON(policy_ask(skb, judge, tuple_family(tuple), POLICY_SOURCE,
						    tuple_protocol(tuple), tuple_remote_port(tuple)));
	barrier_var(tuple);
	if (allowed && tuple_protocol(tuple) != IPPROTO_TCP)
		return;
	if (flow_peer_sent(skb, tuple, segment, allowed ? EGRESS_FLOW_UNSEEN : 0))
		flow_open(skb, tuple, allowed ? EGRESS_FLOW_UNSEEN : 0);
}

#endif
