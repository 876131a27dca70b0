/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the parser finds out about a packet; everything after it reads only this. */
#ifndef EGRESSD_BPF_PACKET_H
#define EGRESSD_BPF_PACKET_H

#include <linux/bpf.h>
#include <linux/types.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define likely(condition)   __builtin_expect(!!(condition), 1)
#define unlikely(condition) __builtin_expect(!!(condition), 0)

enum fragment_kind {
	FRAGMENT_WHOLE, /* not a fragment */
	FRAGMENT_FIRST,
	FRAGMENT_LATER, /* carries no transport header */
};

struct packet {
	__u32 source[4];        /* network order; IPv4 in [0] */
	__u32 destination[4];   /* network order; IPv4 in [0] */
	__u32 transport;        /* offset of the transport header (of a later fragment: its data) in the frame */
	__u32 length;           /* bytes from there to the end of the IP packet */
	__u32 fragment_id;      /* network order */
	__u32 fragment_offset;  /* bytes */
	__u32 fragment_length;  /* bytes of the datagram in this fragment */
	__u16 ethertype;        /* host order */
	__u16 source_port;      /* network order; ICMP: type and code as they stand in the packet */
	__u16 destination_port; /* network order; ICMP echo: the identifier */
	__u8 family;            /* 4, 6, or 0: not IP or not parsed that far */
	__u8 protocol;          /* IPPROTO_*, after extension headers */
	__u8 fragment;          /* enum fragment_kind */
	__u8 hop_limit;
	__u8 extensions; /* there were IPv6 extension headers */
	__u8 has_ports;  /* source_port and destination_port are set */
	__u8 padding[2];
};

/* ICMP type and code out of source_port. */
static __always_inline __u8 packet_icmp_type(const struct packet *packet)
{
	return bpf_ntohs(packet->source_port) >> 8;
}

static __always_inline __u8 packet_icmp_code(const struct packet *packet)
{
	return bpf_ntohs(packet->source_port) & 0xff;
}

/*
 * The first `length` bytes of the frame are in the linear part. Pulls them there only when they are not: that may copy
 * the head of the packet. Pointers into the packet are void after it.
 */
static __always_inline _Bool packet_linear(struct __sk_buff *skb, __u32 length)
{
	if (likely((void *)(long)skb->data + length <= (void *)(long)skb->data_end))
		return 1;
	return skb->len >= length && !bpf_skb_pull_data(skb, length);
}

static __always_inline _Bool address_equal(const __u32 a[4], const __u32 b[4])
{
	return !((a[0] ^ b[0]) | (a[1] ^ b[1]) | (a[2] ^ b[2]) | (a[3] ^ b[3]));
}

static __always_inline _Bool address_unspecified(const __u32 address[4])
{
	return !(address[0] | address[1] | address[2] | address[3]);
}

/* fe80::/10 */
static __always_inline _Bool address_link_local(const __u32 address[4])
{
	return (address[0] & bpf_htonl(0xffc00000)) == bpf_htonl(0xfe800000);
}

#endif
