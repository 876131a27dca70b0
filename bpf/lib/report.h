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

	counter->packets += segments ? segments : 1;
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

/* Of a packet that is dropped before anybody looked into it. */
static const struct packet packet_unread;

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

static __always_inline void drop_log_write(struct __sk_buff *skb, const struct judge *judge,
					   const struct packet *packet, enum egress_drop_reason reason)
{
	__u64 sequence;
	__u32 endpoint = judge->endpoint ? judge->endpoint->id : EGRESS_ENDPOINT_NONE;
	struct egress_drop_record *record = drop_log_begin(endpoint, &sequence);

	if (!record)
		return;
	record->time = bpf_ktime_get_ns();
	record->endpoint = endpoint;
	record->ifindex = skb->ifindex;
	record->generation = judge->bank ? judge->bank->generation : 0;
	record->cell = judge->cell;
	record->length = skb->len;
	record->ethertype = packet->ethertype;
	record->reason = reason;
	record->family = packet->family;
	record->protocol = packet->protocol;
	record->flags = packet->has_ports ? EGRESS_DROP_HAS_PORTS : 0;
	record->source_port = bpf_ntohs(packet->source_port);
	record->destination_port = bpf_ntohs(packet->destination_port);
	record->padding = 0;
	__builtin_memcpy(record->source, packet->source, sizeof(record->source));
	__builtin_memcpy(record->destination, packet->destination, sizeof(record->destination));
	compiler_barrier();
	*(volatile __u64 *)&record->sequence = sequence;
}

static __noinline int drop_counted(struct __sk_buff *skb, const struct judge *judge, const struct packet *packet,
				   __u32 reason)
{
	__u32 index = judge->endpoint ? judge->endpoint->id : EGRESS_ENDPOINT_NONE;
	struct egress_counter *counter;

	index = index * EGRESS_DROP_REASON_SLOTS + (reason & (EGRESS_DROP_REASON_SLOTS - 1));
	counter = bpf_map_lookup_elem(&dropped, &index);
	if (counter)
		count(counter, skb);
	drop_log_write(skb, judge, packet, reason);
	return TC_ACT_SHOT;
}

#endif
