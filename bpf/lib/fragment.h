/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Step 6: a later fragment has no ports; it gets the verdict of its datagram's first one, by endpoint, address pair,
 * protocol (IPv4) and id. Fragments must come in order without overlap: each begins where the last one ended or behind
 * it.
 */
#ifndef EGRESSD_BPF_FRAGMENT_H
#define EGRESSD_BPF_FRAGMENT_H

#include "lib/policy.h"

static __always_inline struct fragment *fragment_slot(__u32 endpoint, const struct packet *packet)
{
	__u32 hash = packet->fragment_id ^ packet->destination[0] ^ packet->destination[3];
	__u32 index;

	hash *= 0x9e3779b1u; /* 2^32 / golden ratio: every bit of the id counts in the top ones */
	index = endpoint * EGRESS_FRAGMENT_SLOTS + (hash >> 28) % EGRESS_FRAGMENT_SLOTS;
	return bpf_map_lookup_elem(&fragments, &index);
}

static __always_inline __u8 fragment_protocol(const struct packet *packet)
{
	return packet->family == 4 ? packet->protocol : 0;
}

/* The verdict about a first fragment. Takes the slot's place from an older datagram, whose later fragments are then
 * unknown. */
static __noinline int fragment_remember(__u32 endpoint, const struct packet *packet, __u32 reason)
{
	struct fragment *fragment = fragment_slot(endpoint, packet);
	__u64 now = bpf_jiffies64();

	if (!fragment)
		return 0;
	bpf_spin_lock(&fragment->lock);
	fragment->id = packet->fragment_id;
	__builtin_memcpy(fragment->source, packet->source, sizeof(fragment->source));
	__builtin_memcpy(fragment->destination, packet->destination, sizeof(fragment->destination));
	fragment->family = packet->family;
	fragment->protocol = fragment_protocol(packet);
	fragment->reason = reason;
	fragment->end = packet->fragment_length;
	fragment->seen = now;
	bpf_spin_unlock(&fragment->lock);
	return 0;
}

/* The verdict for a later fragment. */
static __noinline int fragment_follow(__u32 endpoint, const struct packet *packet, __u32 hz)
{
	struct fragment *fragment = fragment_slot(endpoint, packet);
	__u64 now = bpf_jiffies64();
	int reason = EGRESS_DROP_FRAGMENT_UNKNOWN;

	if (!fragment)
		return reason;
	bpf_spin_lock(&fragment->lock);
	if (fragment->family == packet->family && fragment->id == packet->fragment_id &&
	    fragment->protocol == fragment_protocol(packet) && address_equal(fragment->source, packet->source) &&
	    address_equal(fragment->destination, packet->destination) &&
	    (__s64)(now - fragment->seen) <= (__s64)hz * EGRESS_FRAGMENT_SECONDS) {
		reason = fragment->reason;
		if (packet->fragment_offset < fragment->end) {
			reason = EGRESS_DROP_FRAGMENT_INVALID;
			/* Nothing more of a datagram that somebody plays with. */
			fragment->reason = reason;
		}
		fragment->end = packet->fragment_offset + packet->fragment_length;
	}
	bpf_spin_unlock(&fragment->lock);
	return reason;
}

#endif
