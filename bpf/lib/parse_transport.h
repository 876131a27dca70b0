/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The transport header: ports, or ICMP type, code and identifier. */
#ifndef EGRESSD_BPF_PARSE_TRANSPORT_H
#define EGRESSD_BPF_PARSE_TRANSPORT_H

#include <linux/in.h>

#include "lib/maps.h"
#include "lib/packet.h"

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

static __always_inline _Bool protocol_is_icmp(__u8 protocol)
{
	return protocol == IPPROTO_ICMP || protocol == PROTOCOL_ICMPV6;
}

/* `ports` of a packet whose `network` has no reason. */
__noinline __u64 parse_transport(struct __sk_buff *skb, __u64 network)
{
	__u32 needed = transport_header_length(network_protocol(network)), transport = network_transport(network);
	__u16 word[4]; /* the first eight bytes of the header */

	if (network_fragment(network) == FRAGMENT_LATER || !needed)
		return 0;
	/* RFC 1858, RFC 7112: a first fragment without its whole transport header hides what it is. */
	if (network_length(network) < needed)
		return packet_refuse(0, network_fragment(network) == FRAGMENT_FIRST ? EGRESS_DROP_FRAGMENT_INVALID
										  : EGRESS_DROP_TRUNCATED);
	if (bpf_skb_load_bytes(skb, transport, word, sizeof(word)))
		return packet_refuse(0, EGRESS_DROP_TRUNCATED);
	return ports_make(word[0], protocol_is_icmp(network_protocol(network)) ? word[2] : word[1]);
}

#endif
