/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What every measured program does first, so that the difference between two of them is the programs' own: the next
 * destination of the walk is written into the packet. BPF_PROG_TEST_RUN repeats one packet; without this every run would find
 * its tables in the cache.
 */
#ifndef EGRESSD_BENCH_PREPARE_H
#define EGRESSD_BENCH_PREPARE_H

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/pkt_cls.h>
#include <linux/tcp.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "destinations.h"

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, BENCH_DESTINATIONS);
	__type(key, __u32);
	__type(value, struct bench_destination);
} bench_destinations SEC(".maps");

/* Not among the variables that are zero: egressd's only one is there. */
struct bench_walk bench_walk SEC(".data");

/* The next source port, into the TCP header behind an IP header without options. */
static __always_inline int bench_next_port(void *transport, void *end)
{
	struct tcphdr *tcp = transport;

	if ((void *)(tcp + 1) > end)
		return -1;
	tcp->source = bench_walk.port++;
	return 0;
}

/*
 * In double words: one that is read where two smaller ones were just written waits for the processor's stores, which no
 * packet of the network's does.
 */
static __always_inline void bench_put_ipv6(void *to, const struct bench_destination *destination)
{
	const __u64 *from = (const void *)destination->address;
	__u64 *halves = to;

	halves[0] = from[0];
	halves[1] = from[1];
}

static __always_inline int bench_prepare(struct __sk_buff *skb)
{
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	__u32 index = bench_walk.next;
	struct bench_destination *destination;

	bench_walk.next = index + 1 < bench_walk.length ? index + 1 : 0;
	destination = bpf_map_lookup_elem(&bench_destinations, &index);
	if (!destination)
		return -1;
	if (bench_walk.family == 4) {
		struct iphdr *ip = data + ETH_HLEN;

		if ((void *)(ip + 1) > end)
			return -1;
		if (bench_walk.swap)
			ip->saddr = destination->address[0];
		else
			ip->daddr = destination->address[0];
		if (bench_walk.open && bench_next_port(ip + 1, end))
			return -1;
	} else {
		struct ipv6hdr *ip = data + ETH_HLEN;

		if ((void *)(ip + 1) > end)
			return -1;
		if (bench_walk.swap)
			bench_put_ipv6(&ip->saddr, destination);
		else
			bench_put_ipv6(&ip->daddr, destination);
		if (bench_walk.open && bench_next_port(ip + 1, end))
			return -1;
	}
	/* The program that follows reads the packet anew, as it would without this. */
	asm volatile("" ::: "memory");
	return 0;
}

#endif
