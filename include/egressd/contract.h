/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only OR BSD-2-Clause */
/*
 * The contract between the programs in the kernel and everything in user space: what the pinned maps are
 * called, what they hold, why packets are dropped.
 *
 * Rules of this header:
 *  - padding is explicit and zero; every size and offset that matters is asserted;
 *  - integers are in host byte order unless a field says "network order";
 *  - enums are append-only: a number or a name that has been released never changes its meaning;
 *  - any change of a layout raises EGRESS_CONTRACT_VERSION, and with it the directory of the pins.
 */
#ifndef EGRESSD_CONTRACT_H
#define EGRESSD_CONTRACT_H

#include <linux/types.h>

#ifndef EGRESS_CONTRACT_VERSION /* tests of upgrades build others */
#define EGRESS_CONTRACT_VERSION 14
#endif

/* Default parent of the pins; the maps are below <parent>/v<EGRESS_CONTRACT_VERSION>/. */
#define EGRESS_PIN_PARENT "/sys/fs/bpf/egressd"

/*
 * Pin names, relative to the versioned directory. Links are below "links/": "<ifindex>-from_pod", "<ifindex>-to_pod".
 */
#define EGRESS_PIN_FIRST_CHUNK "first_chunk"
#define EGRESS_PIN_TABLES "tables"
#define EGRESS_PIN_ENDPOINTS "endpoints"
#define EGRESS_PIN_ENDPOINTS_OVERFLOW "endpoints_overflow"
#define EGRESS_PIN_ALLOWED "allowed"
#define EGRESS_PIN_DROPPED "dropped"
#define EGRESS_PIN_FLOWS "flows"
#define EGRESS_PIN_FLOWS_BESIDE "flows_beside"
#define EGRESS_PIN_FLOW_SHARES "flow_shares"
#define EGRESS_PIN_FLOW_RINGS_OWN "flow_rings_own"
#define EGRESS_PIN_FLOW_RINGS_POOL "flow_rings_pool"
#define EGRESS_PIN_FRAGMENTS "fragments"
#define EGRESS_PIN_DROP_LOG "drop_log"
#define EGRESS_PIN_DROP_LOG_STATE "drop_log_state"
#define EGRESS_PIN_DROP_LOG_SHARES "drop_log_shares"
#define EGRESS_PIN_LINKS "links"

/* tc filters of the clsact fallback: a fixed place, so that a filter is found again and replaced atomically. */
#define EGRESS_TC_PRIORITY 0x6567 /* "eg" */
#define EGRESS_TC_HANDLE 0x1

/*
 * Why a packet of an isolated pod was dropped. The names are the values of the metric label "reason", of the
 * JSON that egressctl prints and of the tests: append only.
 */
#define EGRESS_DROP_REASONS(X)                                                                                 \
	X(NONE, "none", "not dropped")                                                                         \
	X(POLICY, "policy", "no rule of any policy that isolates the pod allows the destination")              \
	X(PENDING, "pending", "the pod's policy is not yet known")                                             \
	X(UNKNOWN_ENDPOINT, "unknown_endpoint", "the interface has no endpoint entry")                         \
	X(TABLES, "tables", "a table could not be read")                                                       \
	X(SPOOFED_SOURCE, "spoofed_source", "the source address is not one of the pod's own")                  \
	X(ETHERTYPE, "ethertype", "neither IPv4, IPv6 nor ARP")                                                \
	X(VLAN, "vlan", "an 802.1Q or 802.1ad tag")                                                            \
	X(ARP, "arp", "ARP that is malformed or claims an address that is not the pod's")                      \
	X(NEIGHBOUR_DISCOVERY, "neighbour_discovery",                                                          \
	  "ICMPv6 neighbour discovery that a pod may not send, or that claims an address that is not the pod's") \
	X(TRUNCATED, "truncated", "the packet ends inside a header")                                           \
	X(IP_VERSION, "ip_version", "the IP version does not fit the ethertype")                               \
	X(IP_HEADER_LENGTH, "ip_header_length", "IPv4 header shorter than 20 bytes or longer than the packet") \
	X(IP_TOTAL_LENGTH, "ip_total_length", "the IP length is shorter than its headers or beyond the packet") \
	X(IPV6_EXTENSIONS, "ipv6_extensions", "IPv6 extension headers that are malformed or nested too deep")  \
	X(FRAGMENT_UNKNOWN, "fragment_unknown", "a later fragment whose first one was not seen")               \
	X(FRAGMENT_INVALID, "fragment_invalid", "a first fragment without its ports, or an overlapping one")    \
	X(SOURCE_ROUTE, "source_route",                                                                        \
	  "an IPv4 source route option or an IPv6 routing header that names further destinations")             \
	X(NODE_TUNNEL, "node_tunnel",                                                                          \
	  "a tunnel packet to the pod's own node, which might unpack it and send on what is in it")

enum egress_drop_reason {
#define EGRESS_DROP_ENUM(name, label, text) EGRESS_DROP_##name,
	EGRESS_DROP_REASONS(EGRESS_DROP_ENUM)
#undef EGRESS_DROP_ENUM
	EGRESS_DROP_REASON_COUNT
};

/* Room per endpoint in the map of drop counters, so that a new reason does not change the layout. */
#define EGRESS_DROP_REASON_SLOTS 32
_Static_assert(EGRESS_DROP_REASON_COUNT <= EGRESS_DROP_REASON_SLOTS, "raise the slots and the contract version");

/* ------------------------------------------------------------------ endpoints */

/*
 * Slot 0 of every per-endpoint table belongs to no pod: it counts what no endpoint can be blamed for. An entry with
 * this id holds an interface whose pod is not known yet: whatever comes from it is dropped (pending), until an entry
 * with the id of a pod takes its place. Such entries are in "endpoints_overflow" only.
 */
#define EGRESS_ENDPOINT_NONE 0
#define EGRESS_ENDPOINT_MAX 1024 /* endpoint ids are 1 .. EGRESS_ENDPOINT_MAX - 1 */

/*
 * Map "endpoints": ARRAY of EGRESS_ENDPOINT_BUCKETS, entry at (ifindex & (EGRESS_ENDPOINT_BUCKETS - 1)); an entry
 * is meant only when its ifindex is the packet's. Map "endpoints_overflow": HASH by ifindex (u32), for interfaces
 * whose bucket another one holds.
 */
#define EGRESS_ENDPOINT_BUCKETS 4096

#define EGRESS_ENDPOINT_ROUTER (1u << 0)     /* may send from addresses that are not its own */
#define EGRESS_ENDPOINT_SPOOF_ALL (1u << 1)  /* source check even while not isolated */
#define EGRESS_ENDPOINT_SPOOF_OFF (1u << 2)  /* no source check at all */

struct egress_endpoint {
	__u32 ifindex;  /* host-side interface; 0: the bucket is free */
	__u32 id;       /* index of the set word, the counters and the flows; EGRESS_ENDPOINT_NONE: held */
	__u32 flags;    /* EGRESS_ENDPOINT_* */
	__u32 ipv4;     /* the pod's IPv4 address, network order; 0: none */
	__u32 ipv6[4];  /* the pod's IPv6 address, network order; all 0: none */
	__u8 mac[6];    /* the pod's own hardware address; all 0: unknown */
	__u8 padding[2];
	__u64 notes;    /* EGRESS_ENDPOINT_DUE; for the agent that comes after, the programs do not read them */
	__u64 reserved[2];
};
_Static_assert(sizeof(struct egress_endpoint) == 64, "one cache line");
#define EGRESS_ENDPOINT_DUE (1u << 0) /* connections from before it was watched are yet to be looked up */

/* ------------------------------------------------------------------ policy tables */

/*
 * Everything that policy compiles to: one memory of 32-bit words in chunks. Word W is word W & (EGRESS_CHUNK_WORDS - 1) of
 * chunk W >> EGRESS_CHUNK_SHIFT. Map "first_chunk": ARRAY (mmapable) of one value, all chunks one behind the other, from
 * number 0 on; map "tables" is then an ARRAY of one word, which nobody reads. Where the kernel takes no values of that size
 * (6.1 does, 5.10 takes 4 MB at most), "first_chunk" has chunk 0 alone, and "tables": ARRAY (mmapable) the others, chunk C
 * at C - 1. The first words are the control structure; the program reads `active` once per packet and follows only that
 * bank, so a packet sees all of one generation or all of another. See tables.h for what the words mean and walk.h for how
 * they are read.
 *
 * Words of the first map are read without a look-up, from an address that is part of the program. Where it holds chunk 0
 * alone, the tables of most nodes fit, and of larger ones what user/policy puts in front.
 */
#define EGRESS_CHUNK_SHIFT 20
#define EGRESS_CHUNK_WORDS (1u << EGRESS_CHUNK_SHIFT)

struct egress_chunk {
	__u32 word[EGRESS_CHUNK_WORDS];
};
_Static_assert(sizeof(struct egress_chunk) == 4 << 20, "4 MB");
/* More are never in one value: while programs are loaded, libbpf takes address space for as many. */
#define EGRESS_CHUNKS_JOINED_MAX 16

/* What does not cross a multiple of this many words does not cross a chunk: nodes of ranges, skips and buckets of the tries. */
#define EGRESS_BLOCK_WORDS 256u

/* ------------------------------------------------------------------ counters */

/*
 * Map "allowed": PERCPU_ARRAY of EGRESS_ENDPOINT_MAX egress_counter, by endpoint id.
 * Map "dropped": PERCPU_ARRAY of EGRESS_ENDPOINT_MAX * EGRESS_DROP_REASON_SLOTS egress_counter, at
 * id * EGRESS_DROP_REASON_SLOTS + reason.
 * Bytes are of the whole frame (skb->len), of a GSO packet the whole super-packet; packets count its segments.
 */
struct egress_counter {
	__u64 packets;
	__u64 bytes;
};
_Static_assert(sizeof(struct egress_counter) == 16, "two words");

/* ------------------------------------------------------------------ drop log */

/*
 * Map "drop_log": ARRAY (mmapable) of EGRESS_DROP_LOG_RECORDS records for each possible CPU, CPU c's at c *
 * EGRESS_DROP_LOG_RECORDS .. + EGRESS_DROP_LOG_RECORDS - 1, each CPU's a ring that overwrites its oldest record.
 * There is no consumer state: any number of readers follow it, and none is needed. Record number n of a CPU (from 1)
 * is at (n - 1) % EGRESS_DROP_LOG_RECORDS; the writer sets `sequence` to 0, fills the record, then sets `sequence` to
 * n: a reader takes a record when `sequence` is the same before and after its copy, and sees by a gap what it lost.
 * Map "drop_log_state": PERCPU_ARRAY of one egress_drop_log_state.
 */
#define EGRESS_DROP_LOG_RECORDS 512
/* Records a CPU may write in one jiffy; drops beyond that are counted, and in `suppressed`, but not logged. */
#define EGRESS_DROP_LOG_PER_JIFFY 16
/* And of these of one endpoint, so that a pod cannot hide another's drops behind its own. */
#define EGRESS_DROP_LOG_PER_ENDPOINT 4
/*
 * And of these of all endpoints that are busy, so that several together cannot, either: the rest is for those that drop
 * seldom. An endpoint is busy for so many jiffies after its last record, and after a jiffy in which it dropped more than
 * may be logged of it.
 */
#define EGRESS_DROP_LOG_BUSY_PER_JIFFY 8
#define EGRESS_DROP_LOG_BUSY_JIFFIES 64

struct egress_drop_record {
	__u64 sequence;       /* see above */
	__u64 time;           /* CLOCK_MONOTONIC, nanoseconds */
	__u32 endpoint;       /* endpoint id */
	__u32 ifindex;
	__u32 generation;     /* of the tables that judged it */
	__u32 cell;           /* the cell that denied it, 0 if none was read */
	__u32 length;         /* skb->len */
	__u16 ethertype;      /* host order */
	__u8 reason;          /* enum egress_drop_reason */
	__u8 family;          /* 4, 6, or 0: not IP or not parsed that far */
	__u8 protocol;        /* IPPROTO_*, after extension headers */
	__u8 flags;           /* EGRESS_DROP_HAS_PORTS */
	__u16 source_port;    /* host order; ICMP: type << 8 | code */
	__u16 destination_port; /* host order */
	__u16 padding;
	__u32 source[4];      /* network order; IPv4 in [0] */
	__u32 destination[4]; /* network order; IPv4 in [0] */
};
#define EGRESS_DROP_HAS_PORTS (1u << 0)
_Static_assert(sizeof(struct egress_drop_record) == 80, "explicit padding");

struct egress_drop_log_state {
	__u64 sequence;   /* number of the last record that this CPU wrote */
	__u64 suppressed; /* drops not logged because of the limit */
	__u64 jiffy;      /* jiffies64 of the last record */
	__u64 written;    /* records written in that jiffy */
};
_Static_assert(sizeof(struct egress_drop_log_state) == 32, "four words");

/* Map "drop_log_shares": PERCPU_ARRAY of EGRESS_ENDPOINT_MAX, by endpoint id; private to the programs. */
struct egress_drop_log_share {
	__u32 jiffy; /* low half of jiffies64 of the endpoint's last drop */
	__u32 drops; /* its drops in that jiffy */
	__u32 busy;  /* low half of jiffies64 when it was last busy */
};
_Static_assert(sizeof(struct egress_drop_log_share) == 12, "no holes");

/* ------------------------------------------------------------------ flows */

/*
 * Map "flows": HASH of connections that someone opened *to* an isolated pod, so that the pod may answer. The key is as
 * the pod's answer carries it: local is the pod, remote the peer. Only egress_to_pod creates entries. A UDP, SCTP or
 * echo exchange that the pod could open itself has no entry: it is judged by policy, so that revoking it is immediate.
 *
 * The kernel hashes and compares a key as a whole, which is most of what an answer costs. So the local address of IPv6,
 * which most pods have one of, is in the value, and in the key is its last byte alone. Of a pod that routes for others
 * there may be flows that differ in nothing but other bytes of it: whichever comes when the key is taken is in map
 * "flows_beside", a HASH with the same values, under its name. All endpoints share its room, which is for a quarter of
 * what their slots hold: it takes thirteen pods with as many flows as one may have, each of them like another one.
 */
#define EGRESS_FLOW_MAX 262144
#define EGRESS_FLOW_BESIDE_MAX 65536

struct egress_flow_key {
	__u32 remote[4];   /* network order; IPv4: [0] remote, [1] local address, 0, 0 */
	__u16 local_port;  /* network order; ICMP echo: the identifier */
	__u16 remote_port; /* network order; ICMP echo: 0 */
	__u16 owner;       /* endpoint id, so that one pod cannot poison another's; of IPv6 with EGRESS_FLOW_OWNER_IPV6 */
	__u8 protocol;     /* IPPROTO_* */
	__u8 local;        /* IPv6: last byte of the local address; IPv4: 0 */
};
_Static_assert(sizeof(struct egress_flow_key) == 24, "no holes");

#define EGRESS_FLOW_OWNER_IPV6 (1u << 15)
_Static_assert(EGRESS_ENDPOINT_MAX <= EGRESS_FLOW_OWNER_IPV6, "an endpoint id leaves room for it");

static inline __u32 egress_flow_endpoint(const struct egress_flow_key *key)
{
	return key->owner & ~EGRESS_FLOW_OWNER_IPV6;
}

/* All that a flow is known by. */
struct egress_flow_name {
	struct egress_flow_key key;
	__u32 local[4]; /* as in egress_flow */
};
_Static_assert(sizeof(struct egress_flow_name) == 40, "no holes");

struct egress_flow {
	__u64 seen;     /* jiffies64 of the last packet that counts as activity */
	__u64 created;  /* jiffies64 */
	__u16 state;    /* enum egress_flow_state */
	__u16 flags;    /* EGRESS_FLOW_* */
	__u32 acknowledged; /* TCP: what the pod acknowledged last, with EGRESS_FLOW_ACKNOWLEDGED */
	__u32 local[4]; /* network order; IPv6: the local address, IPv4: 0 */
#ifdef EGRESS_TEST_LAYOUT /* tests of upgrades build a layout with a field more */
	__u64 extra;
#endif
};
#ifndef EGRESS_TEST_LAYOUT
_Static_assert(sizeof(struct egress_flow) == 40, "no holes");
#endif

enum egress_flow_state {
	EGRESS_FLOW_NEW,         /* opened by the peer, the pod has not answered */
	EGRESS_FLOW_ANSWERED,    /* the pod has answered */
	EGRESS_FLOW_ESTABLISHED, /* and the peer went on */
	EGRESS_FLOW_CLOSING,     /* TCP: FIN from both sides or a RST; lingers, activity does not prolong it */
	/*
	 * TCP: it is over when it idles as long as one that closes. The pod has sent its FIN, and the peer's may have come
	 * too far ahead of what the pod had acknowledged to count; or the peer has, where the pod's packets are not seen.
	 */
	EGRESS_FLOW_ENDING,
};
#define EGRESS_FLOW_FIN_LOCAL (1u << 0)
#define EGRESS_FLOW_FIN_REMOTE (1u << 1)
/*
 * When the peer opened it, policy let the pod send there too: answers then pass without being seen here, so the entry
 * idles like an established one.
 */
#define EGRESS_FLOW_UNSEEN (1u << 2)
#define EGRESS_FLOW_ACKNOWLEDGED (1u << 3) /* `acknowledged` is set */

/*
 * Each flow has a slot in a ring of its endpoint, so that an endpoint's share of both maps is bounded without help from
 * user space. A flow that arrives takes the slot of one that is gone, expired, closing or not yet established, never
 * that of a live established one, and never that of another endpoint. A slot may name a flow that no longer exists;
 * user space may delete flows at any time and need not tidy the rings.
 *
 * Map "flow_shares": ARRAY (mmapable) of EGRESS_ENDPOINT_MAX egress_flow_share, by endpoint id. Maps "flow_rings_own" (an
 * endpoint's first EGRESS_FLOW_RINGS_OWN rings, guaranteed to every endpoint) and "flow_rings_pool" (the rest, shared):
 * HASH from egress_flow_ring_key to a ring of EGRESS_FLOW_RING_SLOTS egress_flow_name, private to the programs.
 * When an endpoint id gets a new owner: zero its share, then delete its flows and rings.
 */
#define EGRESS_FLOW_RING_SLOTS 80    /* a ring with its hash element fills 4 KB at most */
#define EGRESS_FLOW_RING_SIZE (8 + EGRESS_FLOW_RING_SLOTS * sizeof(struct egress_flow_name)) /* a lock, padding; slots */
#define EGRESS_FLOW_RINGS_OWN 2
#define EGRESS_FLOW_RINGS_OPENING 4  /* so far flows that are not yet established make a share grow */
#define EGRESS_FLOW_RINGS_MAX 64     /* an endpoint's largest share: 5,120 flows */
#define EGRESS_FLOW_RINGS_POOL 1024  /* rings beyond everybody's own */
_Static_assert((EGRESS_ENDPOINT_MAX * EGRESS_FLOW_RINGS_OWN + EGRESS_FLOW_RINGS_POOL) * EGRESS_FLOW_RING_SLOTS <=
	       EGRESS_FLOW_MAX, "every slot has room for its flow, if that is not beside");

/*
 * Most packets that policy denies come from ports that nobody connects to: `opened` says so before "flows" is looked up.
 * Whoever adds a flow sets its byte first, by a store of its own, since others do so at the same time. It stays set
 * until the endpoint id gets a new owner. So does `beside`, which says whether "flows_beside" is to be looked into.
 */
#define EGRESS_FLOW_PORTS 256
struct egress_flow_share {
	__u32 rings;   /* rings in use: 0 .. this - 1 */
	__u32 refused; /* flows not recorded for want of a slot or memory */
	__u8 opened[EGRESS_FLOW_PORTS]; /* by egress_flow_port(); 0: there is no flow of such a port */
	__u32 beside; /* 0: none is in "flows_beside" */
	__u32 padding;
};
_Static_assert(sizeof(struct egress_flow_share) == 272, "no holes; entries of a mapped array are multiples of 8 bytes");

/*
 * The index in `opened` of a flow with this protocol and local port, be its byte order what it may. Echo requests have a
 * new identifier with each ping, so all of them share one.
 */
static inline __u32 egress_flow_port(__u8 protocol, __u16 local_port)
{
	if (protocol == 1 || protocol == 58) /* ICMP, ICMPv6 */
		return protocol;
	/* A sum, whose bits beyond must be cut off: 5.10 knows no bound of what was xored. */
	return (local_port + (local_port >> 8) + protocol) % EGRESS_FLOW_PORTS;
}

struct egress_flow_ring_key {
	__u32 endpoint; /* endpoint id */
	__u32 ring;     /* 0 .. EGRESS_FLOW_RINGS_MAX - 1 */
};
_Static_assert(sizeof(struct egress_flow_ring_key) == 8, "no holes");

/* ------------------------------------------------------------------ fragments */

/*
 * Map "fragments": ARRAY of EGRESS_ENDPOINT_MAX * EGRESS_FRAGMENT_SLOTS records of datagrams whose first fragment was
 * judged, private to the programs. Each endpoint has slots of its own, so that one cannot push out another's.
 */
#define EGRESS_FRAGMENT_SLOTS 16
#define EGRESS_FRAGMENT_SECONDS 30 /* how long the verdict of a first fragment holds (reassembly time-out of Linux) */

#endif
