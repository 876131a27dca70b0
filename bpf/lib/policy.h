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
	__u32 set;  /* set word of the endpoint */
	__u32 cell; /* the cell that decided, 0 if none was read */
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
	/* Or no number of an endpoint. */
	if (unlikely(endpoint->id - 1 >= EGRESS_ENDPOINT_MAX - 1))
		return judge_without(judge, endpoint->id == EGRESS_ENDPOINT_NONE ? EGRESS_DROP_PENDING :
										   EGRESS_DROP_TABLES);
	control = control_read();
	bank = control_bank(control);
	if (unlikely(!bank || !egress_word(control, bank->sets + endpoint->id, &judge->set)))
		return judge_without(judge, EGRESS_DROP_TABLES);
	judge->control = control;
	judge->bank = bank;
	judge->cell = 0;
	return EGRESS_DROP_NONE;
}

/* What policy_cell() finds, in one number. */
#define POLICY_RESULT(reason, cell) ((__u64)(reason) << 32 | (cell))
#define POLICY_REASON(result)       ((enum egress_drop_reason)((result) >> 32))
#define POLICY_CELL(result)         ((__u32)(result))

/*
 * The cell for a destination, off the hot path. It is an IPv4 address (network order) or, with `known`, already a class.
 * `kind`: protocol << 16 | port (host order); `active`: the bank. A global function, like the walk for IPv6.
 */
__noinline __u64 policy_cell(__u32 address, __u32 known, __u32 kind, __u32 set, __u32 active)
{
	const struct egress_control *control = control_read();
	const struct egress_bank *bank;
	__u32 class = address, port_class, cell;

	if (active >= EGRESS_BANKS)
		return POLICY_RESULT(EGRESS_DROP_TABLES, 0);
	if (set < EGRESS_SET_FIRST)
		return POLICY_RESULT(set == EGRESS_SET_PENDING ? EGRESS_DROP_PENDING : EGRESS_DROP_TABLES, 0);
	bank = &control->bank[active];
	barrier_var(bank);
	if ((!known && !egress_class4(control, bank, address, &class)) ||
	    !egress_port_class(control, bank, kind >> 16, kind, &port_class) ||
	    !egress_cell(control, set, class, port_class, &cell))
		return POLICY_RESULT(EGRESS_DROP_TABLES, 0);
	return POLICY_RESULT(cell & EGRESS_CELL_ALLOW ? EGRESS_DROP_NONE : EGRESS_DROP_POLICY, cell);
}

/* What policy_cell() takes. */
static __always_inline __u32 policy_kind(__u8 protocol, __u16 port)
{
	return (__u32)protocol << 16 | bpf_ntohs(port);
}

static __always_inline __u32 policy_active(const struct judge *judge)
{
	return judge->bank == &judge->control->bank[1];
}

/* Which address of a packet is asked about. */
enum policy_side {
	POLICY_SOURCE,
	POLICY_DESTINATION,
};

/*
 * What policy says of one of the packet's addresses with this protocol and port (network order), off the hot path. Only
 * the walk for IPv6 and the look-up of the cell are calls, one after the other: nothing is on the stack below them. The
 * address is read in registers: the frames of both programs are the first of every chain of calls.
 */
static __always_inline __u64 policy_ask(struct __sk_buff *skb, const struct judge *judge, __u8 family,
					enum policy_side side, __u8 protocol, __u16 port)
{
	__u32 ipv4_offset = side == POLICY_SOURCE ? IPV4_SOURCE_OFFSET : IPV4_DESTINATION_OFFSET;
	__u32 ipv6_offset = side == POLICY_SOURCE ? IPV6_SOURCE_OFFSET : IPV6_DESTINATION_OFFSET, address, class;
	__u64 upper, lower;

	if (family == 4) {
		if (skb->len < ipv4_offset + 4)
			return POLICY_RESULT(EGRESS_DROP_TRUNCATED, 0);
		address = second_word(packet_number(skb, ipv4_offset - 4));
		if (address == judge->endpoint->ipv4 && address)
			return POLICY_RESULT(EGRESS_DROP_NONE, 0);
		return policy_cell(address, 0, policy_kind(protocol, port), judge->set, policy_active(judge));
	}
	if (skb->len < ipv6_offset + 16)
		return POLICY_RESULT(EGRESS_DROP_TRUNCATED, 0);
	upper = packet_number(skb, ipv6_offset);
	lower = packet_number(skb, ipv6_offset + 8);
	if (upper == egress_address_number(judge->endpoint->ipv6) &&
	    lower == egress_address_number(judge->endpoint->ipv6 + 2) && (upper | lower))
		return POLICY_RESULT(EGRESS_DROP_NONE, 0);
	class = judge->set < EGRESS_SET_FIRST ? 0 : tables_class6(judge->bank->ipv6_root, upper, lower);
	if (class == TABLES_NONE)
		return POLICY_RESULT(EGRESS_DROP_TABLES, 0);
	return policy_cell(class, 1, policy_kind(protocol, port), judge->set, policy_active(judge));
}

#endif
