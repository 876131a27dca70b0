/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only OR BSD-2-Clause */
/*
 * What the words of the tables mean. The compiler (user/policy) writes them, the programs (bpf/) and
 * egressctl read them, both through walk.h.
 *
 * An address is the number of a word. Word address 0 is the control structure, so 0 never points to a table and
 * stands for "none".
 *
 *   control.active -> bank
 *   set word   = bank.sets + endpoint id             one of EGRESS_SET_*, or the address of a class vector
 *   class      = trie walk from bank.ipv4_root / bank.ipv6_root with the destination address
 *   row        = word at class vector + class        the address of a row
 *   port class = half-word `port` of bank.ports[protocol index], or 0 for protocols without ports
 *   cell       = word at row + port class            verdict and deciding rule
 *
 * Writing: a table is written before the word that points to it (child before parent); a bank is complete before
 * `active` names it; memory is reused only after a grace period (synchronize_rcu) since it became unreachable.
 */
#ifndef EGRESSD_TABLES_H
#define EGRESSD_TABLES_H

#include <linux/types.h>

#define EGRESS_BANKS 2

/* Protocols that have ports, in the order of bank.ports. */
enum egress_port_protocol {
	EGRESS_PORT_TCP,
	EGRESS_PORT_UDP,
	EGRESS_PORT_SCTP,
	EGRESS_PORT_PROTOCOLS
};

struct egress_bank {
	__u32 generation;                   /* counts up with every compile; 0: the bank is empty */
	__u32 sets;                         /* address of EGRESS_ENDPOINT_MAX set words */
	__u32 ipv4_root;                    /* address of 65,536 trie entries, by the first 16 bits of the address */
	__u32 ipv6_root;                    /* a trie entry (not an address), judged from byte 0 */
	__u32 ports[EGRESS_PORT_PROTOCOLS]; /* addresses of 65,536 half-words (32,768 words): the port class */
	__u32 class_count;                  /* length of every class vector */
	__u32 port_class_count;             /* length of every row; port class 0 is "no ports" */
	__u32 changes;                      /* of pods, written into it since it was complete; for the next agent */
	__u32 reserved[6];
};
_Static_assert(sizeof(struct egress_bank) == 64, "one cache line");

struct egress_control {
	__u32 magic;    /* EGRESS_TABLES_MAGIC */
	__u32 active;   /* the bank in force: 0 or 1 */
	__u32 hz;       /* jiffies a second, measured by the agent */
	__u32 flags;
	/* Idle time-outs of flows, in jiffies. */
	__u32 timeout_new;         /* state NEW, TCP */
	__u32 timeout_established; /* state ANSWERED or ESTABLISHED, TCP */
	__u32 timeout_closing;     /* TCP */
	__u32 timeout_udp_new;     /* UDP, SCTP and ICMP echo until the peer went on */
	__u32 timeout_udp;         /* UDP and SCTP after */
	__u32 reserved[7];
	struct egress_bank bank[EGRESS_BANKS];
};
#define EGRESS_TABLES_MAGIC 0x65677264u /* "egrd" */
#define EGRESS_CONTROL_WORDS 64         /* the rest of them zero; no table begins before word EGRESS_BLOCK_WORDS */
_Static_assert(sizeof(struct egress_control) <= EGRESS_CONTROL_WORDS * 4, "the control structure has its room");

/* Set words below EGRESS_SET_FIRST are not addresses. */
#define EGRESS_SET_OPEN 0    /* no policy isolates the pod's egress: everything passes */
#define EGRESS_SET_PENDING 1 /* policy not yet known: nothing passes (answers do) */
#define EGRESS_SET_FIRST 256

/*
 * Trie entries: the kind in the top four bits, below it a class or where the child is. Children are aligned to 16 words
 * (64 bytes) and named in that unit; of a hash node the entry says more, see below. A kind that one family does not have
 * shares its number with one that the other does not have.
 */
#define EGRESS_TRIE_KIND_SHIFT 28
#define EGRESS_TRIE_VALUE_MASK ((1u << EGRESS_TRIE_KIND_SHIFT) - 1)
#define EGRESS_TRIE_UNIT_SHIFT 4

enum egress_trie_kind {
	EGRESS_TRIE_LEAF,    /* value: the address class */
	EGRESS_TRIE_FULL,    /* child: 256 entries by the next byte of the address */
	EGRESS_TRIE_SKIP,    /* child: struct egress_trie_skip */
	EGRESS_TRIE_TURNS,   /* child: ranges of the next two bytes, up to 21 bounds, two entries in turn, 64 bytes */
	EGRESS_TRIE_RANGES9, /* child: ranges of the next two bytes, up to 9 bounds between them, 64 bytes */
	EGRESS_TRIE_RANGES18, /* the same with 18 bounds, 128 bytes */
	EGRESS_TRIE_RANGES37, /* the same with 37 bounds, 256 bytes */
	EGRESS_TRIE_BITS,     /* child: struct egress_trie_bits */
	EGRESS_TRIE_ROWS,     /* child: struct egress_trie_rows, the last two bytes, IPv4 only */
	EGRESS_TRIE_RUNS = EGRESS_TRIE_ROWS, /* child: struct egress_trie_run, a hash table of them, see below, IPv6 only */
	EGRESS_TRIE_WIDE,     /* child: 65,536 entries by the next two bytes of the address, IPv6 only */
	EGRESS_TRIE_HASH2,    /* child: a hash table by the next two bytes, see below, IPv6 only */
	EGRESS_TRIE_TAGGED2,  /* the same with tags instead of masks; of IPv4 the last two bytes, all its entries leaves */
	EGRESS_TRIE_HASH3,    /* a hash table by three bytes */
	EGRESS_TRIE_TAGGED3,
	EGRESS_TRIE_HASH4, /* and by four */
	EGRESS_TRIE_TAGGED4,
};

#define EGRESS_TRIE_ENTRY(kind, value) (((__u32)(kind) << EGRESS_TRIE_KIND_SHIFT) | (__u32)(value))
#define EGRESS_TRIE_KIND(entry) ((entry) >> EGRESS_TRIE_KIND_SHIFT)
#define EGRESS_TRIE_VALUE(entry) ((entry) & EGRESS_TRIE_VALUE_MASK)
#define EGRESS_TRIE_CHILD(entry) (EGRESS_TRIE_VALUE(entry) << EGRESS_TRIE_UNIT_SHIFT)
#define EGRESS_TRIE_POINTER(kind, address) EGRESS_TRIE_ENTRY(kind, (address) >> EGRESS_TRIE_UNIT_SHIFT)

/*
 * Bits of the address that a node of IPv6 takes, by its kind, 0 for what ends the walk or takes some itself: one number of four
 * bits for each kind, of bytes. (No branch and no constant: to the verifier all nodes look alike afterwards.)
 */
static inline __u32 egress_taken_bits(__u32 kind)
{
	const __u64 bytes = 1ull << 4 * EGRESS_TRIE_FULL | 1ull << 4 * EGRESS_TRIE_BITS | 2ull << 4 * EGRESS_TRIE_TURNS |
			    2ull << 4 * EGRESS_TRIE_RANGES9 | 2ull << 4 * EGRESS_TRIE_RANGES18 |
			    2ull << 4 * EGRESS_TRIE_RANGES37 | 4ull << 4 * EGRESS_TRIE_RUNS | 2ull << 4 * EGRESS_TRIE_WIDE |
			    2ull << 4 * EGRESS_TRIE_HASH2 | 2ull << 4 * EGRESS_TRIE_TAGGED2 |
			    3ull << 4 * EGRESS_TRIE_HASH3 | 3ull << 4 * EGRESS_TRIE_TAGGED3 |
			    4ull << 4 * EGRESS_TRIE_HASH4 | 4ull << 4 * EGRESS_TRIE_TAGGED4;

	return (__u32)(bytes >> 4 * kind & 15) * 8;
}

/*
 * IPv6 only: what is left of the address, when nothing but a prefix of it matters. "Left" are the bytes that no node on the
 * way has taken, as a number of 128 bits: the next byte is its highest one, zeros follow behind the end of the address.
 * When (left & mask) == value the walk goes on with `match`; otherwise the answer is `other`, always a leaf.
 */
struct egress_trie_skip {
	__u64 mask[2];  /* leading bits, at least one; the upper half first */
	__u64 value[2];
	__u32 match; /* trie entry; one that is no leaf needs a prefix of whole bytes */
	__u32 other; /* trie entry, a leaf */
	__u32 taken; /* bits of the address that the node takes before `match` is judged, a multiple of 8 */
	__u32 reserved[5];
};
_Static_assert(sizeof(struct egress_trie_skip) == 64, "one unit");

/*
 * Ranges: the next two bytes of the address as a number (the last byte and a zero where only one is left) are in range i
 * when i bounds are not above it; the walk goes on with entry i, behind those bytes. First the entries, one more than there
 * can be bounds, then the bounds in ascending order, up to the end of the node; it is aligned to its size. Where two entries
 * take turns, as in a list of networks that policy treats alike, these two are enough.
 *
 * Bounds are three to a double word, in lanes of 21 bits from the lowest on, so that one subtraction compares three. One
 * that is not in use is EGRESS_BOUND_UNUSED, which no value reaches.
 */
#define EGRESS_TURNS_WORDS 16u
#define EGRESS_RANGES9_WORDS 16u
#define EGRESS_RANGES18_WORDS 32u
#define EGRESS_RANGES37_WORDS 64u

#define EGRESS_BOUND_LANE_BITS 21
#define EGRESS_BOUND_UNUSED 0x10000u

/*
 * Two entries by the next byte of the address: bit (byte & 31) of word byte / 32 says which. One cache line where a full
 * block would be sixteen, and nothing to add up.
 */
struct egress_trie_bits {
	__u32 entry[2]; /* trie entries */
	__u32 reserved[6];
	__u32 bits[8];
};
_Static_assert(sizeof(struct egress_trie_bits) == 64, "one unit");

/*
 * Two entries by the last two bytes of an IPv4 address: the first of them says which row, the second which bit of it: bit
 * (byte & 31) of word byte / 32. A list of networks that policy treats alike takes no more than this where they are many
 * in a /16, and all of it lies together: few pages and few cache lines for many destinations. Such a node has the length
 * that its rows ask for and does not cross a chunk.
 */
#define EGRESS_ROWS_MAX 256u
#define EGRESS_ROWS_NUMBERS_WORD 16u /* where the numbers of rows begin */
#define EGRESS_ROWS_BITS_WORD 80u    /* where the rows do */
#define EGRESS_ROWS_BIT_WORDS 8u

struct egress_trie_rows {
	__u32 entry[2]; /* leaves */
	__u32 count;    /* of rows in use; no packet asks for it, */
	__u32 room;     /* nor for how many there can be */
	__u32 reserved[12];
	__u8 row[256];
	__u32 bits[][EGRESS_ROWS_BIT_WORDS];
};
_Static_assert(__builtin_offsetof(struct egress_trie_rows, row) == 4 * EGRESS_ROWS_NUMBERS_WORD &&
	       __builtin_offsetof(struct egress_trie_rows, bits) == 4 * EGRESS_ROWS_BITS_WORD,
	       "as the packets read it");

/*
 * A hash table of few values of the next two to four bytes: what has an entry of its own goes on with it behind these
 * bytes, all else is `other`. The bytes as a number are the key. The node is nothing but buckets of one cache line each, 2
 * to EGRESS_HASH_BUCKETS_MAX, a power of two; it is aligned to its size. What a packet must know to find the bucket of its
 * key is in the trie entry: bits 27 .. 26 say which of four functions spreads the keys, bits 25 .. 0 are twice the number
 * of the node's unit plus the number of buckets, which so is the lowest bit that is set.
 *
 * Slots are taken from the first on. A key that has no place in its bucket is in the other one of the pair (numbers that
 * differ in bit 0), and where there are tags and that has no place either, in the one that egress_hash_third() names. More
 * than that is never needed: the writer looks for a function and a size with which it is not.
 *
 * A slot of EGRESS_TRIE_HASH* is two double words, EGRESS_HASH_SLOTS to a bucket. A packet looks into the other bucket if
 * its own has no free slot. The first double word holds the key in its upper half and the complement of the trie entry in
 * its lower one; 0 is free (no entry has all bits set: of a hash node, of two buckets at least, the lowest is not). The
 * second holds a mask in its upper half and a value in its lower one: an address of that key whose next four bytes & mask
 * are not the value is `other`, too. So the network that alone is below a key needs no node of its own. A mask other than
 * zero stands with a leaf only, and is never written while packets read.
 *
 * A slot of EGRESS_TRIE_TAGGED* is the first double word alone, EGRESS_TAGGED_SLOTS to a bucket. The last double word of
 * the bucket is its tags: lane i, of EGRESS_TAG_BITS bits from the lowest on, has the tag of slot i's key. So a packet
 * compares all slots at once, and looks at the first one whose tag is its key's; a key whose tag an earlier slot of the
 * bucket has is in another bucket, too. EGRESS_TAGS_FULL among the tags says that keys which were looked for in this bucket
 * are in the next one that a packet looks into. It is written last, and a tag after its slot.
 *
 * The last slot of bucket 0 holds `other`, a leaf, as its entry, with a key that no packet finds there: one that is too
 * large, or of another pair and with a tag that is not zero. It has no tag.
 */
#define EGRESS_HASH_SLOTS 4u
#define EGRESS_TAGGED_SLOTS 7u
#define EGRESS_HASH_BUCKET_WORDS (4 * EGRESS_HASH_SLOTS)
#define EGRESS_HASH_BUCKETS_MAX 32768u
#define EGRESS_HASH_FUNCTIONS 4u
#define EGRESS_HASH_FUNCTION_SHIFT 26
#define EGRESS_HASH_OTHER_WORD (EGRESS_HASH_BUCKET_WORDS - 4) /* of bucket 0: the complement of `other` */
#define EGRESS_HASH_MULTIPLIER 0x9e3779b97f4a7c15ull           /* 2^64 divided by the golden ratio */
#define EGRESS_TAG_MULTIPLIER 0x9e3779b1u                      /* a prime near 2^32 divided by it */
#define EGRESS_TAG_BITS 9
#define EGRESS_TAGS_FULL (1ull << 63)
/* Node numbers, in units of 16 words, are below this. */
#define EGRESS_HASH_UNITS_MAX (1u << (EGRESS_HASH_FUNCTION_SHIFT - 1))
_Static_assert(EGRESS_HASH_BUCKET_WORDS == 1u << EGRESS_TRIE_UNIT_SHIFT, "a bucket is a unit");
_Static_assert(EGRESS_TAGGED_SLOTS * 2 + 2 == EGRESS_HASH_BUCKET_WORDS, "a bucket of either kind has the same size");
_Static_assert(EGRESS_TAGGED_SLOTS * EGRESS_TAG_BITS == 63, "tags have the lower 63 bits");
_Static_assert(EGRESS_TRIE_TAGGED4 < 1u << (32 - EGRESS_TRIE_KIND_SHIFT), "kinds have their bits");
_Static_assert(EGRESS_TRIE_HASH2 % 2 == 0 && EGRESS_TRIE_TAGGED4 == EGRESS_TRIE_HASH2 + 5, "what tells the kinds apart");

/* Twice the number of the node's unit plus the number of buckets. */
static inline __u32 egress_hash_place(__u32 entry)
{
	return entry & ((1u << EGRESS_HASH_FUNCTION_SHIFT) - 1);
}

static inline __u32 egress_hash_buckets(__u32 entry)
{
	__u32 place = egress_hash_place(entry);

	return place & -place;
}

/* The node's address. */
static inline __u32 egress_hash_address(__u32 entry)
{
	return (egress_hash_place(entry) ^ egress_hash_buckets(entry)) << (EGRESS_TRIE_UNIT_SHIFT - 1);
}

/* Bits of the address that the node takes. */
static inline __u32 egress_hash_bits(__u32 entry)
{
	return egress_taken_bits(EGRESS_TRIE_KIND(entry));
}

static inline _Bool egress_hash_is_tagged(__u32 entry)
{
	return EGRESS_TRIE_KIND(entry) % 2;
}

/* Number of the bucket for a key. */
static inline __u32 egress_hash_bucket(__u32 entry, __u64 key)
{
	__u32 function = EGRESS_TRIE_VALUE(entry) >> EGRESS_HASH_FUNCTION_SHIFT;

	return (__u32)(key * EGRESS_HASH_MULTIPLIER >> (32 + 5 * function)) & (egress_hash_buckets(entry) - 1);
}

/* The bucket that is looked into after both of the pair; of two buckets, the same again. */
static inline __u32 egress_hash_third(__u32 entry, __u32 bucket)
{
	return (bucket ^ 2) & (egress_hash_buckets(entry) - 1);
}

/* The key's tag. */
static inline __u32 egress_hash_tag(__u64 key)
{
	return (__u32)key * EGRESS_TAG_MULTIPLIER >> (32 - EGRESS_TAG_BITS);
}

/*
 * A hash node whose buckets hold one key each, of four bytes, and with it what is in a node of turns elsewhere: of many
 * networks that have neighbours all is said in the one cache line that a packet must wait for anyway. Its trie entry is
 * that of a hash node, of EGRESS_RUN_BUCKETS_MIN buckets or more, and so is `slot`. Where the slot's entry is a leaf, the
 * next two bytes are in range i when i bounds are not above them, and the class is the slot's for an even i, `second` for
 * an odd one. Where it is none, the walk goes on with it behind the key, and what else the bucket holds is of no meaning: so
 * a network is given a node of its own by one word.
 *
 * In place of the first buckets, one in 64, is a bit for each value of egress_run_bit() that a key has: of most keys that
 * the node does not have a packet learns it there, in little memory, and all of them have the `other` of the first bucket
 * behind the bits.
 *
 * A key that has no place in its bucket is in the other one of the pair, or in the one that egress_run_third() names; bit
 * EGRESS_RUN_MOVED of `other` says that keys which were looked for in this bucket are in the next one that a packet looks
 * into. It is written behind the key, and the key's bit last.
 */
#define EGRESS_RUN_BUCKETS_MIN 128u
#define EGRESS_RUN_BOUND_WORDS 12u
#define EGRESS_RUN_BOUNDS      18u
#define EGRESS_RUN_MOVED       (1u << 31)

struct egress_trie_run {
	__u64 slot;   /* 0: free */
	__u32 second; /* trie entry, a leaf */
	__u32 other;  /* trie entry, a leaf, the same in all buckets of a node */
	__u32 bounds[EGRESS_RUN_BOUND_WORDS]; /* three to a double word, as in nodes of ranges */
};
_Static_assert(sizeof(struct egress_trie_run) == 4 * EGRESS_HASH_BUCKET_WORDS, "one bucket");

/* The first bucket that may have a key, behind the bits; an even number. */
static inline __u32 egress_run_first(__u32 entry)
{
	return egress_hash_buckets(entry) / 64;
}

/* One of the buckets that may have keys, for a number of 32 bits. */
static inline __u32 egress_run_spread(__u32 entry, __u32 number)
{
	__u32 first = egress_run_first(entry);

	return first + (__u32)((__u64)number * (egress_hash_buckets(entry) - first) >> 32);
}

/* Number of the bucket for a key. */
static inline __u32 egress_run_bucket(__u32 entry, __u32 key)
{
	__u32 function = EGRESS_TRIE_VALUE(entry) >> EGRESS_HASH_FUNCTION_SHIFT;

	return egress_run_spread(entry, (__u32)(key * EGRESS_HASH_MULTIPLIER >> (32 - 5 * function)));
}

/* Number of the bucket that is looked into after both of the pair. */
static inline __u32 egress_run_third(__u32 entry, __u32 key)
{
	return egress_run_spread(entry, key * EGRESS_TAG_MULTIPLIER);
}

/* Number of the key's bit: bit (number & 31) of word number / 32. */
static inline __u32 egress_run_bit(__u32 entry, __u32 key)
{
	return key * EGRESS_TAG_MULTIPLIER >> 13 & (8 * egress_hash_buckets(entry) - 1);
}

/*
 * Cells. Bit 31: the packet passes. Bits 30 .. 24: kinds of verdict to come, zero. Bits 23 .. 0: the deciding rule, an
 * index into the generation's list of rules (in the agent's state); EGRESS_RULE_* below EGRESS_RULE_FIRST are not rules.
 */
#define EGRESS_CELL_ALLOW (1u << 31)
#define EGRESS_CELL_RULE_MASK 0x00ffffffu

#define EGRESS_RULE_DEFAULT 0 /* denied: the pod is isolated and no rule matches */
#define EGRESS_RULE_NODE 1    /* allowed: an address of the pod's own node */
#define EGRESS_RULE_SELF 2    /* allowed: the pod's own address */
#define EGRESS_RULE_MIXED 3   /* denied: a service port some of whose serving backends are denied */
#define EGRESS_RULE_EMPTY 4   /* denied: a service port that no backend serves */
#define EGRESS_RULE_TUNNEL 5  /* denied: a tunnel packet to the pod's own node; in no table, see egress_packet_cell() */
#define EGRESS_RULE_FIRST 16

/*
 * What a tunnel's end on the pod's own node would unpack and send on, by protocol or by the usual UDP port (host order).
 * EGRESS_RULE_NODE does not extend to it: the node is always allowed, what is inside may not be.
 */
static inline _Bool egress_node_tunnel(__u8 protocol, __u16 port)
{
	switch (protocol) {
	case 4:   /* IPv4 in IP */
	case 41:  /* IPv6 in IP */
	case 47:  /* GRE */
	case 97:  /* Ethernet in IP */
	case 115: /* L2TP */
	case 137: /* MPLS in IP */
		return 1;
	case 17:
		return port == 4789 || port == 8472 || /* VXLAN; Linux's own default */
		       port == 4790 ||                 /* VXLAN-GPE */
		       port == 6081 ||                 /* Geneve */
		       port == 6080 || port == 4754 || /* GUE, GRE in UDP */
		       port == 6635 || port == 1701;   /* MPLS in UDP, L2TP */
	default:
		return 0;
	}
}

/* What a cell of a table comes to for a packet of this protocol and port (host order; 0 where it has none). */
static inline __u32 egress_packet_cell(__u32 cell, __u8 protocol, __u16 port)
{
	if (cell == (EGRESS_CELL_ALLOW | EGRESS_RULE_NODE) && egress_node_tunnel(protocol, port))
		return EGRESS_RULE_TUNNEL;
	return cell;
}

#endif
