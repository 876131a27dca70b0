// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The programs on the host side of a pod's veth. Each step of a packet has its own header in lib/:
 *
 *   endpoint  which pod, which tables             a pod that no policy isolates passes here, untouched
 *   usual     TCP or UDP without anything unusual from the pod's own address: policy, flow, report at once
 *   parse     what the packet is                  whatever cannot be parsed is dropped
 *   arp, neighbour                                what the link needs passes
 *   source    the source address is the pod's
 *   fragment  later ones follow their first
 *   policy    class, row, cell                    allowed: counted, passes; no state was read or written
 *   flow, icmp_error                              denied, unless it answers what someone opened to the pod
 *   report    counters, the record of a drop
 *
 * What is not on the usual packet's way is in functions that take and return numbers only and call nothing, or little: the
 * stack of 512 bytes that all frames of a chain of calls share on 5.10 is then more than half empty.
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
static __always_inline enum egress_drop_reason judge_packet(struct __sk_buff *skb, struct judge *judge, __u64 network,
							    __u64 ports)
{
	__u8 family = network_family(network), protocol = network_protocol(network);
	__u16 port = ports_destination(ports);
	__u64 result = policy_ask(skb, judge, family, POLICY_DESTINATION, protocol, port), tuple;

	judge->cell = POLICY_CELL(result);
	if (!POLICY_REASON(result)) {
		judge->cell = egress_packet_cell(judge->cell, protocol, bpf_ntohs(port));
		return judge->cell == EGRESS_RULE_TUNNEL ? EGRESS_DROP_NODE_TUNNEL : EGRESS_DROP_NONE;
	}
	tuple = flow_answer_tuple(network, ports, judge->endpoint->id);
	if (tuple && flow_answer(skb, tuple, network_transport(network)))
		return EGRESS_DROP_NONE;
	if (packet_is_icmp_error(network, ports) && icmp_error_passes(skb, judge, network))
		return EGRESS_DROP_NONE;
	return POLICY_REASON(result);
}

static __always_inline enum egress_drop_reason judge_ip(struct __sk_buff *skb, struct judge *judge, __u64 network,
							__u64 ports)
{
	enum egress_drop_reason reason;

	if (neighbour_message(network, ports))
		return neighbour_judge(skb, judge, network, ports);
	if (!source_own(skb, network_family(network)))
		return EGRESS_DROP_SPOOFED_SOURCE;
	if (judge->set == EGRESS_SET_OPEN) /* only the source is checked */
		return EGRESS_DROP_NONE;
	if (network_fragment(network) == FRAGMENT_LATER)
		return fragment_follow(skb, judge->endpoint->id, network, fragment_header(skb, network));
	reason = judge_packet(skb, judge, network, ports);
	if (network_fragment(network) == FRAGMENT_FIRST)
		fragment_remember(skb, judge->endpoint->id, network, fragment_header(skb, network), reason);
	return reason;
}

/*
 * Whatever was not seen to pass at once. What to judge by is found anew: the verifier then follows one way only from here
 * on, and the compiler keeps nothing for it on the usual packets' way.
 */
static __always_inline int from_pod_rest(struct __sk_buff *skb)
{
	__u64 network = 0, ports = 0;
	struct judge judge;
	enum egress_drop_reason reason = judge_find(skb, &judge);

	if (reason)
		return drop(skb, &judge, 0, 0, reason);
	network = parse_network(skb);
	reason = packet_reason(network);
	if (!reason) {
		ports = parse_transport(skb, network);
		reason = packet_reason(ports);
	}
	/* A pod whose source alone is checked may send what has none; not one that cannot be read. */
	if (reason == EGRESS_DROP_ETHERTYPE && judge.set == EGRESS_SET_OPEN)
		reason = EGRESS_DROP_NONE;
	else if (!reason)
		reason = network_family(network) ? judge_ip(skb, &judge, network, ports) : arp_check(skb);
	return reason ? drop(skb, &judge, network, ports, reason) : pass_counted(skb, judge.endpoint->id);
}

static __always_inline int from_pod(struct __sk_buff *skb)
{
	struct judge judge;
	struct usual usual;
	enum egress_drop_reason reason = judge_find(skb, &judge);
	enum usual_verdict verdict;

	if (unlikely(reason))
		return drop(skb, &judge, 0, 0, reason);
	if (likely(judge.set >= EGRESS_SET_FIRST)) {
		verdict = usual_judge(skb, &judge, &usual);
		if (likely(verdict == USUAL_PASSES))
			return pass_counted(skb, judge.endpoint->id);
		if (verdict == USUAL_DENIED)
			return drop(skb, &judge, usual.network, usual.ports, EGRESS_DROP_POLICY);
	} else if (judge.set == EGRESS_SET_OPEN && !(judge.endpoint->flags & EGRESS_ENDPOINT_SPOOF_ALL)) {
		return pass_counted(skb, judge.endpoint->id);
	}
	/* Or the compiler shares addresses of its fields between both, which the verifier refuses. */
	barrier_var(skb);
	return from_pod_rest(skb);
}

/* Drops nothing: whether a packet may reach the pod is not egress. */
static __always_inline int to_pod(struct __sk_buff *skb)
{
	struct judge judge;
	__u64 network, ports;

	if (likely(usual_between(skb)))
		return TC_ACT_UNSPEC;
	if (judge_find(skb, &judge) || judge.set == EGRESS_SET_OPEN)
		return TC_ACT_UNSPEC;
	network = parse_network(skb);
	if (packet_reason(network) || !network_family(network))
		return TC_ACT_UNSPEC;
	ports = parse_transport(skb, network);
	if (!packet_reason(ports))
		flow_track(skb, &judge, network, ports);
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
