/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Step 8: counters, and the record of a drop. */
#ifndef EGRESSD_BPF_REPORT_H
#define EGRESSD_BPF_REPORT_H

#include <linux/pkt_cls.h>

#include "lib/policy.h"

/* The compiler must not move or merge accesses across it; CPUs may, which a reader's second look at `sequence` finds
 * out. */
#define compiler_barrier() asm volatile("" ::: "memory")

static __always_inline void count(struct egress_counter *counter, struct __sk_buff *skb)
{
	__u32 segments = skb->gso_segs;

	counter->packets += likely(!segments) ? 1 : segments;
	counter->bytes += skb->len;
}

/* TC_ACT_UNSPEC (TCX_NEXT): other programs on the interface have their say. */
static __always_inline int pass_counted(struct __sk_buff *skb, __u32 endpoint)
{
	struct egress_counter *counter = bpf_map_lookup_elem(&allowed, &endpoint);

	if (likely(counter != NULL))
		count(counter, skb);
	return TC_ACT_UNSPEC;
}

/* How many records this jiffy may have for the endpoint to have one more. */
static __always_inline __u64 drop_log_limit(const struct egress_drop_log_share *share, __u64 now)
{
	return (__u32)now - share->busy < EGRESS_DROP_LOG_BUSY_JIFFIES ? EGRESS_DROP_LOG_BUSY_PER_JIFFY
									: EGRESS_DROP_LOG_PER_JIFFY;
}

/*
 * This CPU's next record, its `sequence` 0; NULL where this jiffy, or the endpoint in it, has had its share. *sequence is
 * what to write at the end.
 */
static __always_inline struct egress_drop_record *drop_log_begin(__u32 endpoint, __u64 *sequence)
{
	struct egress_drop_log_share *share = bpf_map_lookup_elem(&drop_log_shares, &endpoint);
	__u32 zero = 0, index;
	struct egress_drop_log_state *state = bpf_map_lookup_elem(&drop_log_state, &zero);
	struct egress_drop_record *record;
	__u64 now = bpf_jiffies64();

	if (!state || !share)
		return NULL;
	if (share->jiffy != (__u32)now) {
		share->jiffy = now;
		share->drops = 0;
	}
	if (state->jiffy != now) {
		state->jiffy = now;
		state->written = 0;
	}
	share->drops++;
	if (share->drops > EGRESS_DROP_LOG_PER_ENDPOINT)
		share->busy = now;
	if (share->drops > EGRESS_DROP_LOG_PER_ENDPOINT || state->written >= drop_log_limit(share, now)) {
		state->suppressed++;
		return NULL;
	}
	index = bpf_get_smp_processor_id() * EGRESS_DROP_LOG_RECORDS + state->sequence % EGRESS_DROP_LOG_RECORDS;
	record = bpf_map_lookup_elem(&drop_log, &index);
	if (!record)
		return NULL;
	share->busy = now;
	state->written++;
	*sequence = ++state->sequence;
	*(volatile __u64 *)&record->sequence = 0;
	compiler_barrier();
	return record;
}

/* A drop in numbers: what drop_counted() takes beside the packet's. */
#define DROP_WHAT(endpoint, reason)      ((__u64)(endpoint) << 32 | (reason))
#define DROP_ENDPOINT(what)              ((__u32)((what) >> 32))
#define DROP_REASON(what)                ((__u32)(what) & (EGRESS_DROP_REASON_SLOTS - 1))
#define DROP_VERDICT(generation, cell)   ((__u64)(generation) << 32 | (cell))
#define DROP_GENERATION(verdict)         ((__u32)((verdict) >> 32))
#define DROP_CELL(verdict)               ((__u32)(verdict))

/* Offsets of the sender's and the target's address in a frame with ARP. */
#define ARP_SENDER_OFFSET (ETH_HLEN + 14)
#define ARP_TARGET_OFFSET (ETH_HLEN + 24)

/* The ethertype and the addresses as they stand in the packet; of ARP the sender's and the target's. */
static __always_inline void drop_log_addresses(struct __sk_buff *skb, struct egress_drop_record *record, __u64 network)
{
	__u16 ethertype = 0;

	__builtin_memset(record->source, 0, sizeof(record->source));
	__builtin_memset(record->destination, 0, sizeof(record->destination));
	if (network & NETWORK_ETHERTYPE)
		bpf_skb_load_bytes(skb, ETHERTYPE_OFFSET, &ethertype, sizeof(ethertype));
	record->ethertype = bpf_ntohs(ethertype);
	if (network_family(network) == 4) {
		bpf_skb_load_bytes(skb, IPV4_SOURCE_OFFSET, record->source, 4);
		bpf_skb_load_bytes(skb, IPV4_DESTINATION_OFFSET, record->destination, 4);
	} else if (network_family(network) == 6) {
		bpf_skb_load_bytes(skb, IPV6_SOURCE_OFFSET, record->source, 16);
		bpf_skb_load_bytes(skb, IPV6_DESTINATION_OFFSET, record->destination, 16);
	} else if (ethertype == bpf_htons(ETH_P_ARP)) {
		bpf_skb_load_bytes(skb, ARP_SENDER_OFFSET, record->source, 4);
		bpf_skb_load_bytes(skb, ARP_TARGET_OFFSET, record->destination, 4);
	}
}

static __always_inline void drop_log_write(struct __sk_buff *skb, __u64 what, __u64 verdict, __u64 network, __u64 ports)
{
	__u64 sequence;
	struct egress_drop_record *record = drop_log_begin(DROP_ENDPOINT(what), &sequence);

	if (!record)
		return;
	record->time = bpf_ktime_get_ns();
	record->endpoint = DROP_ENDPOINT(what);
	record->ifindex = skb->ifindex;
	record->generation = DROP_GENERATION(verdict);
	record->cell = DROP_CELL(verdict);
	record->length = skb->len;
	record->reason = DROP_REASON(what);
	record->family = network_family(network);
	record->protocol = network_protocol(network);
	record->flags = ports & PORTS_KNOWN ? EGRESS_DROP_HAS_PORTS : 0;
	record->source_port = bpf_ntohs(ports_source(ports));
	record->destination_port = bpf_ntohs(ports_destination(ports));
	record->padding = 0;
	drop_log_addresses(skb, record, network);
	compiler_barrier();
	*(volatile __u64 *)&record->sequence = sequence;
}

/* See drop() and DROP_*. */
__noinline int drop_counted(struct __sk_buff *skb, __u64 what, __u64 verdict, __u64 network, __u64 ports)
{
	__u32 index = DROP_ENDPOINT(what) * EGRESS_DROP_REASON_SLOTS + DROP_REASON(what);
	struct egress_counter *counter = bpf_map_lookup_elem(&dropped, &index);

	if (counter)
		count(counter, skb);
	drop_log_write(skb, what, verdict, network, ports);
	return TC_ACT_SHOT;
}

/* network and ports: 0 where nobody looked into the packet. */
static __always_inline int drop(struct __sk_buff *skb, const struct judge *judge, __u64 network, __u64 ports,
				__u32 reason)
{
	__u32 endpoint = judge->endpoint ? judge->endpoint->id : EGRESS_ENDPOINT_NONE;
	__u32 generation = judge->bank ? judge->bank->generation : 0;

	return drop_counted(skb, DROP_WHAT(endpoint, reason), DROP_VERDICT(generation, judge->cell), network, ports);
}

#endif
