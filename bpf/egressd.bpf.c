// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The programs on the host side of a pod's veth. Each step of the fast path has its own header in lib/:
 *
 *   endpoint  which pod, which tables             a pod that no policy isolates passes here, untouched
 *   usual     TCP or UDP without anything unusual from the pod's own address, which policy allows: counted, passes
 *   parse     what the packet is                  whatever cannot be parsed is dropped
 *   arp, neighbour                                what the link needs passes
 *   source    the source address is the pod's
 *   fragment  later ones follow their first
 *   policy    class, row, cell                    allowed: counted, passes; no state was read or written
 *   flow, icmp_error                              denied, unless it answers what someone opened to the pod
 *   report    counters, the record of a drop
 */
#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_helpers.h>

#include "lib/endpoint.h"
#include "lib/parse.h"
#include "lib/usual.h"
#include "lib/arp.h"
#include "lib/neighbour.h"
#include "lib/source.h"
#include "lib/policy.h"
#include "lib/fragment.h"
#include "lib/flow.h"
#include "lib/flow_open.h"
#include "lib/icmp_error.h"
#include "lib/report.h"

/* Policy, and where it denies, whether the pod may answer. */
static __always_inline enum egress_drop_reason judge_packet(struct __sk_buff *skb, struct judge *judge,
							    const struct packet *packet)
{
	struct destination to = {
		.address = packet->destination,
		.port = packet->destination_port,
		.family = packet->family,
		.protocol = packet->protocol,
	};
	enum egress_drop_reason reason = policy_judge(judge, &to);

	if (likely(!reason)) {
		judge->cell = egress_packet_cell(judge->cell, to.protocol, bpf_ntohs(to.port));
		return unlikely(judge->cell == EGRESS_RULE_TUNNEL) ? EGRESS_DROP_NODE_TUNNEL : EGRESS_DROP_NONE;
	}
	if (flow_answer(skb, judge, packet))
		return EGRESS_DROP_NONE;
	if (icmp_is_error(packet) && icmp_error_passes(skb, packet->transport, packet->length, packet->family))
		return EGRESS_DROP_NONE;
	return reason;
}

static __always_inline enum egress_drop_reason judge_ip(struct __sk_buff *skb, struct judge *judge,
							const struct packet *packet)
{
	enum egress_drop_reason reason;

	if (unlikely(neighbour_message(packet)))
		return neighbour_judge(skb, packet);
	if (unlikely(!source_own(judge->endpoint, packet)))
		return EGRESS_DROP_SPOOFED_SOURCE;
	if (unlikely(judge->set == EGRESS_SET_OPEN)) /* only the source is checked */
		return EGRESS_DROP_NONE;
	if (likely(packet->fragment == FRAGMENT_WHOLE))
		return judge_packet(skb, judge, packet);
	if (packet->fragment == FRAGMENT_LATER)
		return fragment_follow(judge->endpoint->id, packet, judge->control->hz);
	reason = judge_packet(skb, judge, packet);
	fragment_remember(judge->endpoint->id, packet, reason);
	return reason;
}

/* Whatever was not seen to pass at once. */
static __always_inline int from_pod_rest(struct __sk_buff *skb, struct judge *judge)
{
	struct packet packet = {};
	_Bool open = judge->set == EGRESS_SET_OPEN;
	enum egress_drop_reason reason = parse_packet(skb, &packet);

	if (unlikely(reason))
		reason = open ? EGRESS_DROP_NONE : reason; /* what cannot be shown to be forged passes */
	else
		reason = likely(packet.family)
				 ? judge_ip(skb, judge, &packet)
				 : (enum egress_drop_reason)arp_check(skb, judge->endpoint, &packet);
	if (unlikely(reason))
		return drop_counted(skb, judge, &packet, reason);
	return pass_counted(skb, judge->endpoint->id);
}

static __always_inline int from_pod(struct __sk_buff *skb)
{
	struct judge judge;
	enum egress_drop_reason reason = judge_find(skb, &judge);

	if (unlikely(reason))
		return drop_counted(skb, &judge, &packet_unread, reason);
	if (judge.set == EGRESS_SET_OPEN && likely(!(judge.endpoint->flags & EGRESS_ENDPOINT_SPOOF_ALL)))
		return pass_counted(skb, judge.endpoint->id);
	if (likely(usual_passes(skb, &judge)))
		return pass_counted(skb, judge.endpoint->id);
	/* Or the compiler shares addresses of its fields between both, which the verifier refuses. */
	barrier_var(skb);
	return from_pod_rest(skb, &judge);
}

/* Drops nothing: whether a packet may reach the pod is not egress. */
static __always_inline int to_pod(struct __sk_buff *skb)
{
	struct judge judge;
	struct packet packet = {};

	if (judge_find(skb, &judge) || judge.set == EGRESS_SET_OPEN)
		return TC_ACT_UNSPEC;
	if (!parse_packet(skb, &packet) && packet.family && packet.fragment != FRAGMENT_LATER)
		flow_track(skb, &judge, &packet);
	return TC_ACT_UNSPEC;
}

SEC("tc")
int egress_from_pod(struct __sk_buff *skb)
{
	return from_pod(skb);
}

SEC("tc")
int egress_to_pod(struct __sk_buff *skb)
{
	return to_pod(skb);
}

char _license[] SEC("license") = "Dual BSD/GPL";
