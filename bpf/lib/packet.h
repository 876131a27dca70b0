/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the parser finds out about a packet, in two numbers: so all that looks at one can be global functions, which the
 * verifier looks at once and of which only one at a time is on the stack. On 5.10 these take nothing but the context and
 * numbers, and return a number. Addresses are not among it: who needs them reads them in the packet.
 *
 *   network   from Ethernet to the last header before the transport's
 *   ports     what the transport header says: ports, or ICMP's type, code and identifier; 0: none was read
 */
#ifndef EGRESSD_BPF_PACKET_H
#define EGRESSD_BPF_PACKET_H

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/types.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define likely(condition)   __builtin_expect(!!(condition), 1)
#define unlikely(condition) __builtin_expect(!!(condition), 0)

/* Linux gives IPPROTO_ICMPV6 only in <linux/icmpv6.h>'s user-space companions. */
#define PROTOCOL_ICMPV6 58

enum fragment_kind {
	FRAGMENT_WHOLE, /* not a fragment */
	FRAGMENT_FIRST,
	FRAGMENT_LATER, /* carries no transport header */
};

/*
 * The fields of `network`, from the lowest bit: 16 offset of the transport header (of a later fragment: its data) in the
 * frame, 24 offset behind the IP packet, 8 protocol after extension headers, 4 family (4, 6, or 0: not IP or not parsed
 * that far), 2 enum fragment_kind, 1 there were IPv6 extension headers, 1 there is an ethertype; the highest 8 are the
 * reason why the packet cannot be parsed. Those of `ports`: 16 destination port (ICMP echo: the identifier), 16 source
 * port (ICMP: type and code as they stand in the packet), both in network order, 1 that there are any, the highest 8 as
 * above.
 */
#define NETWORK_EXTENSIONS (1ull << 54)
#define NETWORK_ETHERTYPE  (1ull << 55)
#define PORTS_KNOWN        (1ull << 32)
#define PACKET_REASON_SHIFT 56

static __always_inline __u64 network_make(__u8 family, __u8 protocol, __u32 transport, __u32 end)
{
	return (transport & 0xffff) | (__u64)(end & 0xffffff) << 16 | (__u64)protocol << 40 | (__u64)family << 48 |
	       NETWORK_ETHERTYPE;
}

static __always_inline __u64 network_fragment_make(enum fragment_kind kind)
{
	return (__u64)kind << 52;
}

static __always_inline __u64 ports_make(__u16 source, __u16 destination)
{
	return PORTS_KNOWN | (__u64)source << 16 | destination;
}

static __always_inline __u64 packet_refuse(__u64 number, __u32 reason)
{
	return number | (__u64)reason << PACKET_REASON_SHIFT;
}

/* Of either number: why the packet is dropped. */
static __always_inline __u32 packet_reason(__u64 number)
{
	return number >> PACKET_REASON_SHIFT;
}

static __always_inline __u32 network_transport(__u64 network)
{
	return network & 0xffff;
}

static __always_inline __u32 network_end(__u64 network)
{
	return network >> 16 & 0xffffff;
}

/* Bytes from the transport header to the end of the IP packet. */
static __always_inline __u32 network_length(__u64 network)
{
	return network_end(network) - network_transport(network);
}

static __always_inline __u8 network_protocol(__u64 network)
{
	return network >> 40;
}

static __always_inline __u8 network_family(__u64 network)
{
	return network >> 48 & 0xf;
}

static __always_inline enum fragment_kind network_fragment(__u64 network)
{
	return network >> 52 & 3;
}

static __always_inline __u16 ports_source(__u64 ports)
{
	return ports >> 16;
}

static __always_inline __u16 ports_destination(__u64 ports)
{
	return ports;
}

/* ICMP type and code out of the source port. */
static __always_inline __u8 ports_icmp_type(__u64 ports)
{
	return bpf_ntohs(ports_source(ports)) >> 8;
}

static __always_inline __u8 ports_icmp_code(__u64 ports)
{
	return bpf_ntohs(ports_source(ports)) & 0xff;
}

/*
 * What is judged must be what is sent on, so it is read in the linear part only, which is the kernel's own: into pages
 * behind it the sender may still write. So much is moved there before anything is parsed, which is all but the payload of
 * super-packets; nothing behind it is looked at.
 */
#define PACKET_READ_MAX    2048
/* A transport header that begins further on is not looked for: with a quoted packet's headers behind it, it is before that. */
#define TRANSPORT_MAX      1024

/* Pointers into the packet are void after it. */
static __always_inline _Bool packet_pull(struct __sk_buff *skb)
{
	__u32 wanted = skb->len < PACKET_READ_MAX ? skb->len : PACKET_READ_MAX;

	return (void *)(long)skb->data + wanted <= (void *)(long)skb->data_end || !bpf_skb_pull_data(skb, wanted);
}

/* Network order; IPv4 in [0], the rest zero. */
struct addresses {
	__u32 source[4], destination[4];
};

#define ETHERTYPE_OFFSET        12
#define IPV4_SOURCE_OFFSET      (ETH_HLEN + 12)
#define IPV4_DESTINATION_OFFSET (ETH_HLEN + 16)
#define IPV6_SOURCE_OFFSET      (ETH_HLEN + 8)
#define IPV6_DESTINATION_OFFSET (ETH_HLEN + 24)

/* `addresses` is zero before. */
static __always_inline _Bool addresses_load(struct __sk_buff *skb, __u8 family, struct addresses *addresses)
{
	if (family == 4)
		return !bpf_skb_load_bytes(skb, IPV4_SOURCE_OFFSET, addresses->source, 4) &&
		       !bpf_skb_load_bytes(skb, IPV4_DESTINATION_OFFSET, addresses->destination, 4);
	return !bpf_skb_load_bytes(skb, IPV6_SOURCE_OFFSET, addresses, sizeof(*addresses));
}

/* Eight bytes of the packet as they lie in memory, which are known to be in it. */
__noinline __u64 packet_number(struct __sk_buff *skb, __u32 offset)
{
	__u64 number = 0;

	bpf_skb_load_bytes(skb, offset, &number, sizeof(number));
	return number;
}

/* The last four bytes of such a number, as a number of its own. */
static __always_inline __u32 second_word(__u64 number)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
	return number >> 32;
#else
	return number;
#endif
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
