/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The transport header: ports, or ICMP type, code and identifier. */
#ifndef EGRESSD_BPF_PARSE_TRANSPORT_H
#define EGRESSD_BPF_PARSE_TRANSPORT_H

#include <linux/in.h>

#include "lib/maps.h"
#include "lib/packet.h"

/* Linux gives IPPROTO_ICMPV6 only in <linux/icmpv6.h>'s user-space companions. */
#define PROTOCOL_ICMPV6 58

/* Shortest header of a protocol that is looked into; 0: it is judged as its protocol, without ports. */
static __always_inline __u32 transport_header_length(__u8 protocol)
{
	switch (protocol) {
	case IPPROTO_TCP:
		return 20;
	case IPPROTO_UDP:
	case IPPROTO_ICMP:
	case PROTOCOL_ICMPV6:
		return 8;
	case IPPROTO_SCTP:
		return 12;
	default:
		return 0;
	}
}

/*
 * packet->transport, length, family, protocol and fragment are set. `header` points to the first eight bytes of the
 * transport header, or is NULL where the caller does not have them at hand.
 */
static __always_inline enum egress_drop_reason parse_transport(struct __sk_buff *skb, struct packet *packet,
							       const __u32 *header)
{
	__u32 needed = transport_header_length(packet->protocol), copy[2], first, second;

	if (packet->fragment == FRAGMENT_LATER || !needed)
		return EGRESS_DROP_NONE;
	/* RFC 1858, RFC 7112: a first fragment without its whole transport header hides what it is. */
	if (unlikely(packet->length < needed))
		return packet->fragment == FRAGMENT_FIRST ? EGRESS_DROP_FRAGMENT_INVALID : EGRESS_DROP_TRUNCATED;
	if (likely(header != NULL)) {
		first = header[0];
		second = header[1];
	} else {
		if (bpf_skb_load_bytes(skb, packet->transport, copy, sizeof(copy)))
			return EGRESS_DROP_TRUNCATED;
		first = copy[0];
		second = copy[1];
	}
	packet->source_port = ((const __u16 *)&first)[0];
	if (packet->protocol == IPPROTO_ICMP || packet->protocol == PROTOCOL_ICMPV6)
		packet->destination_port = ((const __u16 *)&second)[0];
	else
		packet->destination_port = ((const __u16 *)&first)[1];
	packet->has_ports = 1;
	return EGRESS_DROP_NONE;
}

#endif
