/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Step 5: what policy says about a destination: class, row, cell. */
#ifndef EGRESSD_BPF_POLICY_H
#define EGRESSD_BPF_POLICY_H

#include <linux/if_ether.h>

#include "lib/endpoint.h"
#include "lib/packet.h"

/* What a packet is judged by, fixed for its whole way through the program. */
struct judge {
	const struct egress_endpoint *endpoint;
	const struct egress_control *control;
	const struct egress_bank *bank;
	__u32 set;    /* set word of the endpoint */
	__u32 cell;   /* the cell that decided, 0 if none was read */
	__u32 denied; /* policy denies the packet, with `cell` */
};

/* What the report of a drop reads of a judge that found nothing to judge by. */
static __always_inline enum egress_drop_reason judge_without(struct judge *judge, enum egress_drop_reason reason)
{
	judge->bank = NULL;
	judge->cell = 0;
	return reason;
}

/*
 * Finds what to judge by; the set word is in judge->set. All of `judge` is written where it succeeds, and what the
 * report of a drop reads where it does not: it need not be zero before, which costs every packet.
 */
static __always_inline enum egress_drop_reason judge_find(struct __sk_buff *skb, struct judge *judge)
{
	const struct egress_endpoint *endpoint = endpoint_find(skb->ifindex);
	const struct egress_control *control;
	const struct egress_bank *bank;

	judge->endpoint = endpoint;
	if (unlikely(!endpoint))
		return judge_without(judge, EGRESS_DROP_UNKNOWN_ENDPOINT);
	if (unlikely(endpoint->id == EGRESS_ENDPOINT_NONE))
		return judge_without(judge, EGRESS_DROP_PENDING);
	control = control_read();
	bank = control ? control_bank(control) : NULL;
	if (unlikely(!bank || endpoint->id >= EGRESS_ENDPOINT_MAX ||
		     !egress_word(control, bank->sets + endpoint->id, &judge->set)))
		return judge_without(judge, EGRESS_DROP_TABLES);
	judge->control = control;
	judge->bank = bank;
	judge->cell = 0;
	judge->denied = 0;
	return EGRESS_DROP_NONE;
}

/* The set word, and in the upper half the bank that it is of; EGRESS_SET_PENDING where there is none. */
__noinline __u64 judge_set(struct __sk_buff *skb)
{
	struct judge judge;

	if (judge_find(skb, &judge))
		return EGRESS_SET_PENDING;
	return judge.set | (__u64)(judge.bank == &judge.control->bank[1]) << 32;
}

/*
 * For global functions off the hot path, which on 5.10 take nothing but numbers beside the context: what they need of
 * the packet, read anew.
 */
static __always_inline _Bool packet_reload(struct __sk_buff *skb, struct packet *packet, __u32 transport, __u32 length,
					   __u8 family)
{
	packet->transport = transport;
	packet->length = length;
	packet->family = family;
	if (family == 4) {
		if (bpf_skb_load_bytes(skb, ETH_HLEN + 12, packet->source, 4) ||
		    bpf_skb_load_bytes(skb, ETH_HLEN + 16, packet->destination, 4))
			return 0;
	} else if (bpf_skb_load_bytes(skb, ETH_HLEN + 7, &packet->hop_limit, 1) ||
		   bpf_skb_load_bytes(skb, ETH_HLEN + 8, packet->source, 16) ||
		   bpf_skb_load_bytes(skb, ETH_HLEN + 24, packet->destination, 16)) {
		return 0;
	}
	return !bpf_skb_load_bytes(skb, transport, &packet->source_port, 2);
}

struct destination {
	const __u32 *address; /* network order; IPv4 in [0] */
	__u16 port;           /* network order */
	__u8 family;          /* 4 or 6 */
	__u8 protocol;        /* IPPROTO_* */
};

/* Destination as numbers: address (as it stands in memory; IPv4: in `high`), then the rest. */
struct destination_number {
	__u64 high, low;
	__u16 port; /* host order */
	__u8 family, protocol;
};

static __always_inline struct destination_number destination_number(const struct destination *to)
{
	struct destination_number number = {
		.port = bpf_ntohs(to->port), .family = to->family, .protocol = to->protocol};

	if (to->family == 4) {
		number.high = to->address[0];
	} else {
		number.high = egress_address_number(to->address);
		number.low = egress_address_number(to->address + 2);
	}
	return number;
}

static __always_inline enum egress_drop_reason policy_look_up(const struct egress_control *control,
							      const struct egress_bank *bank, __u32 set,
							      const struct destination_number *to, __u32 *cell)
{
	__u32 class = 0, port_class;

	if (unlikely(set < EGRESS_SET_FIRST))
		return set == EGRESS_SET_PENDING ? EGRESS_DROP_PENDING : EGRESS_DROP_TABLES;
	if (to->family == 4) {
		if (!egress_class4(control, bank, (__u32)to->high, &class))
			return EGRESS_DROP_TABLES;
	} else {
		class = tables_class6(bank->ipv6_root, 0, to->high, to->low);
		if (class == TABLES_NONE)
			return EGRESS_DROP_TABLES;
	}
	if (!egress_port_class(control, bank, to->protocol, to->port, &port_class) ||
	    !egress_cell(control, set, class, port_class, cell))
		return EGRESS_DROP_TABLES;
	return *cell & EGRESS_CELL_ALLOW ? EGRESS_DROP_NONE : EGRESS_DROP_POLICY;
}

static __always_inline _Bool policy_own_address(const struct egress_endpoint *endpoint, const struct destination *to)
{
	if (to->family == 4)
		return to->address[0] == endpoint->ipv4 && endpoint->ipv4;
	return address_equal(to->address, endpoint->ipv6) && !address_unspecified(to->address);
}

static __always_inline enum egress_drop_reason policy_judge(struct judge *judge, const struct destination *to)
{
	struct destination_number number;

	if (policy_own_address(judge->endpoint, to))
		return EGRESS_DROP_NONE;
	if (judge->denied)
		return EGRESS_DROP_POLICY;
	number = destination_number(to);
	return policy_look_up(judge->control, judge->bank, judge->set, &number, &judge->cell);
}

/* For tables_class6's reason a global function, of numbers alone: family, protocol and port are packed into `kind`. */
__noinline __u32 policy_look_up_cold(__u64 high, __u64 low, __u32 kind, __u32 set, __u32 active)
{
	struct destination_number to = {
		.high = high, .low = low, .family = kind >> 24, .protocol = kind >> 16, .port = kind};
	const struct egress_control *control = control_read();
	__u32 cell;

	if (!control || active >= EGRESS_BANKS)
		return EGRESS_DROP_TABLES;
	return policy_look_up(control, active ? &control->bank[1] : &control->bank[0], set, &to, &cell);
}

/* policy_judge() for callers off the hot path; leaves judge->cell alone. */
static __always_inline enum egress_drop_reason policy_judge_cold(const struct judge *judge,
								 const struct destination *to)
{
	struct destination_number number;

	if (policy_own_address(judge->endpoint, to))
		return EGRESS_DROP_NONE;
	number = destination_number(to);
	return policy_look_up_cold(number.high, number.low,
				   (__u32)number.family << 24 | (__u32)number.protocol << 16 | number.port, judge->set,
				   judge->bank == &judge->control->bank[1]);
}

#endif
