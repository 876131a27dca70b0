/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The maps, as <egressd/contract.h> describes them. User space sets max_entries of "drop_log" and makes those of the tables
 * before it loads the programs.
 */
#ifndef EGRESSD_BPF_MAPS_H
#define EGRESSD_BPF_MAPS_H

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include <egressd/contract.h>
#include <egressd/tables.h>

/*
 * The only variable of the programs: so the map that it is in, ".bss", holds nothing else. User space makes that map, of as
 * many chunks as there are where the kernel takes it, of the first one where it does not. (It has its full size here because
 * libbpf frees as much address space as the map has that it is given, of what it took for this.)
 */
struct egress_chunk first_chunk[EGRESS_CHUNKS_JOINED_MAX];

/*
 * Words of that map where it holds all chunks; 0 where it holds the first one. User space writes it before the programs
 * are loaded: to the verifier it is a constant, and what the other case asks for is no part of the program.
 */
const volatile __u32 joined_words SEC(".rodata.joined");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct egress_chunk);
} tables SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, EGRESS_ENDPOINT_BUCKETS);
	__type(key, __u32);
	__type(value, struct egress_endpoint);
} endpoints SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, EGRESS_ENDPOINT_MAX);
	__type(key, __u32);
	__type(value, struct egress_endpoint);
} endpoints_overflow SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, EGRESS_ENDPOINT_MAX);
	__type(key, __u32);
	__type(value, struct egress_counter);
} allowed SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, EGRESS_ENDPOINT_MAX *EGRESS_DROP_REASON_SLOTS);
	__type(key, __u32);
	__type(value, struct egress_counter);
} dropped SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, EGRESS_DROP_LOG_RECORDS);
	__type(key, __u32);
	__type(value, struct egress_drop_record);
} drop_log SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct egress_drop_log_state);
} drop_log_state SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, EGRESS_ENDPOINT_MAX);
	__type(key, __u32);
	__type(value, struct egress_drop_log_share);
} drop_log_shares SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, EGRESS_FLOW_MAX);
	__type(key, struct egress_flow_key);
	__type(value, struct egress_flow);
} flows SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, EGRESS_FLOW_BESIDE_MAX);
	__type(key, struct egress_flow_name);
	__type(value, struct egress_flow);
} flows_beside SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, EGRESS_ENDPOINT_MAX);
	__type(key, __u32);
	__type(value, struct egress_flow_share);
} flow_shares SEC(".maps");

struct flow_ring {
	struct bpf_spin_lock lock;
	__u32 padding;
	struct egress_flow_name slot[EGRESS_FLOW_RING_SLOTS];
};
_Static_assert(sizeof(struct flow_ring) == EGRESS_FLOW_RING_SIZE, "as user space has it");
_Static_assert(sizeof(struct flow_ring) + sizeof(struct egress_flow_ring_key) + 48 <= 4096,
	       "a hash element fits a page");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, EGRESS_ENDPOINT_MAX *EGRESS_FLOW_RINGS_OWN);
	__type(key, struct egress_flow_ring_key);
	__type(value, struct flow_ring);
} flow_rings_own SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, EGRESS_FLOW_RINGS_POOL);
	__type(key, struct egress_flow_ring_key);
	__type(value, struct flow_ring);
} flow_rings_pool SEC(".maps");

/* A datagram whose first fragment was judged. */
struct fragment {
	struct bpf_spin_lock lock;
	__u32 id;             /* network order */
	__u32 source[4];      /* network order */
	__u32 destination[4]; /* network order */
	__u8 family;          /* 0: the slot is free */
	__u8 protocol;        /* IPv4: IPPROTO_*; IPv6: 0, its datagrams are told apart without it */
	__u8 reason;          /* enum egress_drop_reason of the first fragment; NONE: passes */
	__u8 padding;
	__u32 end;  /* bytes of the datagram seen so far */
	__u64 seen; /* jiffies64 of the first fragment */
};
_Static_assert(sizeof(struct fragment) == 56, "no holes");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, EGRESS_ENDPOINT_MAX *EGRESS_FRAGMENT_SLOTS);
	__type(key, __u32);
	__type(value, struct fragment);
} fragments SEC(".maps");

/* What walk.h is given as the tables. */
static inline __attribute__((always_inline)) const __u32 *tables_first(void)
{
	return first_chunk[0].word;
}

/* What walk.h reads the tables through. */
static inline __attribute__((always_inline)) const __u32 *egress_table_chunk(const void *first, __u32 address)
{
	__u32 words = joined_words;

	if (words) {
		__u64 word = address, chunk;

		/* The verifier is to know the one number that is compared and used. */
		asm volatile("" : "+r"(word));
		if (__builtin_expect(word >= words, 0))
			return NULL;
		/* To it, what a mask leaves could be as large as the number was. */
		chunk = word >> EGRESS_CHUNK_SHIFT;
		asm volatile("" : "+r"(chunk));
		return (const __u32 *)first + (chunk << EGRESS_CHUNK_SHIFT);
	}
	if (__builtin_expect(address >= EGRESS_CHUNK_WORDS, 0)) {
		__u32 index = (address >> EGRESS_CHUNK_SHIFT) - 1;
		const struct egress_chunk *chunk = bpf_map_lookup_elem(&tables, &index);

		return chunk ? chunk->word : NULL;
	}
	__builtin_assume(first != NULL);
	return first;
}

#endif
