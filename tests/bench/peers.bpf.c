// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * What egressd is measured against: programs of the bench's own that do what the designs in wide use do for each packet, and no
 * more. None of them is any product's code.
 *
 *   empty            passes the packet
 *   parse            IPv4 or IPv6 and TCP, no tables
 *   lpm_per_pod      connection table first, and, on a miss, for the connection as its other side would have opened it;
 *                    then a longest-prefix trie of the pod whose value lists ports, an entry in the connection table, and
 *                    an event that tells user space of the new connection
 *   lpm_jiffies      the same with the clock that costs least, jiffies, in place of the usual one
 *   identity_policy  connection table first, for both directions as well; then a longest-prefix trie from address to
 *                    identity, a hash by identity, protocol and port, and an entry in the connection table
 *
 * Nobody reads the events: the buffer is full soon, and an event then costs least.
 */
#include "prepare.h"

struct bench_prefix {
	__u32 length;
	__u32 address[4];
};

struct bench_tuple {
	__u32 source[4], destination[4];
	__u16 source_port, destination_port;
	__u8 protocol;
	__u8 padding;
	__u16 zone;
};

struct bench_connection {
	__u64 seen;
	__u64 packets;
};

#define BENCH_PORTS 24

struct bench_ports {
	struct {
		__u16 first, last;
		__u8 protocol;
		__u8 used;
	} entry[BENCH_PORTS];
};

struct bench_policy_key {
	__u32 identity;
	__u16 port;
	__u8 protocol;
	__u8 padding;
};

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 2000000);
	__type(key, struct bench_prefix);
	__type(value, struct bench_ports);
} bench_pod_trie SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 2000000);
	__type(key, struct bench_prefix);
	__type(value, __u32);
} bench_identities SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16384);
	__type(key, struct bench_policy_key);
	__type(value, __u32);
} bench_policy SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 262144);
	__type(key, struct bench_tuple);
	__type(value, struct bench_connection);
} bench_connections SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, __u64);
} bench_counters SEC(".maps");

struct bench_event {
	struct bench_tuple tuple;
	__u32 length;
	__u8 verdict;
	__u8 padding[3];
};

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 256 * 1024);
} bench_events SEC(".maps");

/* Part of every connection's key: with another one, all connections are new. */
__u32 bench_zone;

/*
 * Whatever has no connection gets one, as if it had been opened to the pod: what follows is the pod's answers. It is found
 * at the first look, as in a design that keeps connections under both directions: the cheapest that an answer can be.
 */
__u32 bench_admit;

static __always_inline int bench_parse(struct __sk_buff *skb, struct bench_tuple *tuple)
{
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	struct ethhdr *ethernet = data;
	struct tcphdr *tcp;

	if ((void *)(ethernet + 1) > end)
		return -1;
	if (ethernet->h_proto == bpf_htons(ETH_P_IP)) {
		struct iphdr *ip = data + ETH_HLEN;

		if ((void *)(ip + 1) > end || ip->version != 4 || ip->ihl != 5 || ip->protocol != IPPROTO_TCP)
			return -1;
		tuple->source[0] = ip->saddr;
		tuple->destination[0] = ip->daddr;
		tcp = (void *)(ip + 1);
	} else if (ethernet->h_proto == bpf_htons(ETH_P_IPV6)) {
		struct ipv6hdr *ip = data + ETH_HLEN;

		if ((void *)(ip + 1) > end || ip->version != 6 || ip->nexthdr != IPPROTO_TCP)
			return -1;
		__builtin_memcpy(tuple->source, &ip->saddr, 16);
		__builtin_memcpy(tuple->destination, &ip->daddr, 16);
		tcp = (void *)(ip + 1);
	} else {
		return -1;
	}
	if ((void *)(tcp + 1) > end)
		return -1;
	tuple->source_port = tcp->source;
	tuple->destination_port = tcp->dest;
	tuple->protocol = IPPROTO_TCP;
	tuple->zone = bench_zone;
	return 0;
}

static __always_inline void bench_count(__u32 index)
{
	__u64 *counter = bpf_map_lookup_elem(&bench_counters, &index);

	if (counter)
		*counter += 1;
}

enum bench_clock {
	BENCH_NANOSECONDS,
	BENCH_JIFFIES,
};

static __always_inline __u64 bench_now(enum bench_clock clock)
{
	return clock == BENCH_JIFFIES ? bpf_jiffies64() : bpf_ktime_get_ns();
}

/* True: the connection is known and lives on. */
static __always_inline _Bool bench_connection_hit(const struct bench_tuple *tuple, enum bench_clock clock)
{
	struct bench_connection *connection = bpf_map_lookup_elem(&bench_connections, tuple);

	if (!connection)
		return 0;
	connection->seen = bench_now(clock);
	connection->packets++;
	return 1;
}

/* Whether the packet is an answer in a connection that the other side opened. */
static __always_inline _Bool bench_connection_answers(const struct bench_tuple *tuple, enum bench_clock clock)
{
	struct bench_tuple opened = {
		.source_port = tuple->destination_port,
		.destination_port = tuple->source_port,
		.protocol = tuple->protocol,
		.zone = tuple->zone,
	};

	__builtin_memcpy(opened.source, tuple->destination, sizeof(opened.source));
	__builtin_memcpy(opened.destination, tuple->source, sizeof(opened.destination));
	return bench_connection_hit(&opened, clock);
}

static __always_inline void bench_tell(const struct bench_tuple *tuple, __u32 length)
{
	struct bench_event event = {.tuple = *tuple, .length = length, .verdict = 1};

	bpf_ringbuf_output(&bench_events, &event, sizeof(event), 0);
}

static __always_inline void bench_connection_add(const struct bench_tuple *tuple, enum bench_clock clock)
{
	struct bench_connection connection = {.seen = bench_now(clock), .packets = 1};

	bpf_map_update_elem(&bench_connections, tuple, &connection, BPF_ANY);
}

static __always_inline void bench_prefix_of(const struct bench_tuple *tuple, struct bench_prefix *prefix)
{
	prefix->length = 128;
	__builtin_memcpy(prefix->address, tuple->destination, 16);
}

SEC("tc")
int bench_empty(struct __sk_buff *skb)
{
	return bench_prepare(skb) ? TC_ACT_SHOT : TC_ACT_UNSPEC;
}

SEC("tc")
int bench_parse_only(struct __sk_buff *skb)
{
	struct bench_tuple tuple = {};

	if (bench_prepare(skb) || bench_parse(skb, &tuple))
		return TC_ACT_SHOT;
	return tuple.destination_port ? TC_ACT_UNSPEC : TC_ACT_SHOT;
}

static __always_inline int bench_lpm(struct __sk_buff *skb, enum bench_clock clock)
{
	struct bench_tuple tuple = {};
	struct bench_prefix prefix;
	struct bench_ports *ports;
	int i;

	if (bench_prepare(skb) || bench_parse(skb, &tuple))
		return TC_ACT_SHOT;
	if (bench_connection_hit(&tuple, clock) || bench_connection_answers(&tuple, clock)) {
		bench_count(0);
		return TC_ACT_UNSPEC;
	}
	if (bench_admit) {
		bench_connection_add(&tuple, clock);
		bench_count(1);
		return TC_ACT_UNSPEC;
	}
	bench_prefix_of(&tuple, &prefix);
	ports = bpf_map_lookup_elem(&bench_pod_trie, &prefix);
	if (!ports)
		return TC_ACT_SHOT;
	for (i = 0; i < BENCH_PORTS; i++) {
		__u16 port = bpf_ntohs(tuple.destination_port);

		if (!ports->entry[i].used)
			break;
		if (ports->entry[i].protocol == tuple.protocol && port >= ports->entry[i].first &&
		    port <= ports->entry[i].last) {
			bench_connection_add(&tuple, clock);
			bench_tell(&tuple, skb->len);
			bench_count(0);
			return TC_ACT_UNSPEC;
		}
	}
	bench_count(1);
	return TC_ACT_SHOT;
}

SEC("tc")
int bench_lpm_per_pod(struct __sk_buff *skb)
{
	return bench_lpm(skb, BENCH_NANOSECONDS);
}

SEC("tc")
int bench_lpm_jiffies(struct __sk_buff *skb)
{
	return bench_lpm(skb, BENCH_JIFFIES);
}

SEC("tc")
int bench_identity_policy(struct __sk_buff *skb)
{
	struct bench_policy_key key = {};
	struct bench_tuple tuple = {};
	struct bench_prefix prefix;
	__u32 *identity;

	if (bench_prepare(skb) || bench_parse(skb, &tuple))
		return TC_ACT_SHOT;
	if (bench_connection_hit(&tuple, BENCH_NANOSECONDS) || bench_connection_answers(&tuple, BENCH_NANOSECONDS)) {
		bench_count(0);
		return TC_ACT_UNSPEC;
	}
	bench_prefix_of(&tuple, &prefix);
	identity = bpf_map_lookup_elem(&bench_identities, &prefix);
	if (!identity)
		return TC_ACT_SHOT;
	key.identity = *identity;
	key.port = tuple.destination_port;
	key.protocol = tuple.protocol;
	if (!bpf_map_lookup_elem(&bench_policy, &key)) {
		bench_count(1);
		return TC_ACT_SHOT;
	}
	bench_connection_add(&tuple, BENCH_NANOSECONDS);
	bench_count(0);
	return TC_ACT_UNSPEC;
}

char _license[] SEC("license") = "Dual BSD/GPL";
