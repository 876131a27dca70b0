/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Step 3b: IPv6 neighbour discovery (RFC 4861) and multicast listener discovery (RFC 2710, RFC 3810): what a pod needs
 * in order to have IPv6 at all passes whatever policy says, and nothing else.
 *
 * These messages stay on the link, but a peer on the link may be just whom policy keeps the pod from: so they carry the
 * options that Linux sends and not a byte more.
 */
#ifndef EGRESSD_BPF_NEIGHBOUR_H
#define EGRESSD_BPF_NEIGHBOUR_H

#include "lib/arp.h"
#include "lib/parse_ipv6.h"

#define ICMPV6_MLD_QUERY               130
#define ICMPV6_MLD_REPORT              131
#define ICMPV6_MLD_DONE                132
#define ICMPV6_ROUTER_SOLICITATION     133
#define ICMPV6_ROUTER_ADVERTISEMENT    134
#define ICMPV6_NEIGHBOUR_SOLICITATION  135
#define ICMPV6_NEIGHBOUR_ADVERTISEMENT 136
#define ICMPV6_REDIRECT                137
#define ICMPV6_MLD2_REPORT             143

#define ND_OPTION_SOURCE_LINK_ADDRESS  1
#define ND_OPTION_TARGET_LINK_ADDRESS  2
#define ND_OPTION_NONCE                14 /* RFC 3971; duplicate address detection sends it (RFC 7527) */

#define ND_HOP_LIMIT                   255
#define MLD_HOP_LIMIT                  1

/* Neighbour solicitation or advertisement with at most one option of eight bytes; a router solicitation lacks `target`.
 */
struct nd_message {
	__u8 type, code;
	__u16 checksum;
	__u32 flags; /* advertisement: R, S, O in the top bits; else reserved */
	__u32 target[4];
};

struct nd_option {
	__u8 type, length;
	__u8 data[6];
};

static __always_inline _Bool neighbour_message(const struct packet *packet)
{
	__u8 type = packet_icmp_type(packet);

	return packet->protocol == PROTOCOL_ICMPV6 && packet->family == 6 && packet->fragment != FRAGMENT_LATER &&
	       ((type >= ICMPV6_MLD_QUERY && type <= ICMPV6_REDIRECT) || type == ICMPV6_MLD2_REPORT);
}

/* ff02::/16: stays on the link. */
static __always_inline _Bool address_link_multicast(const __u32 address[4])
{
	return (address[0] & bpf_htonl(0xff0f0000)) == bpf_htonl(0xff020000);
}

/* The pod's IPv6 address, or the link-local one that belongs to its hardware address (RFC 4291, appendix A). */
static __always_inline _Bool neighbour_own_address(const struct egress_endpoint *endpoint, const __u32 address[4])
{
	const __u8 *mac = endpoint->mac;

	if (!address_unspecified(endpoint->ipv6) && address_equal(address, endpoint->ipv6))
		return 1;
	return mac_known(endpoint) && address[0] == bpf_htonl(0xfe800000) && !address[1] &&
	       address[2] == bpf_htonl((__u32)(mac[0] ^ 2) << 24 | mac[1] << 16 | mac[2] << 8 | 0xff) &&
	       address[3] == bpf_htonl(0xfe000000 | mac[3] << 16 | mac[4] << 8 | mac[5]);
}

/* The option of eight bytes behind the message: `type`, or a nonce where `nonce` allows one. */
static __always_inline _Bool neighbour_option(struct __sk_buff *skb, const struct egress_endpoint *endpoint,
					      __u32 offset, __u8 type, _Bool nonce)
{
	struct nd_option option;
	__u8 source[ETH_ALEN];

	if (bpf_skb_load_bytes(skb, offset, &option, sizeof(option)) || option.length != 1)
		return 0;
	if (option.type == ND_OPTION_NONCE)
		return nonce;
	if (option.type != type || bpf_skb_load_bytes(skb, ETH_ALEN, source, sizeof(source)))
		return 0;
	return mac_equal(option.data, source) && (!mac_known(endpoint) || mac_equal(source, endpoint->mac));
}

static __always_inline _Bool router_solicitation(struct __sk_buff *skb, const struct egress_endpoint *endpoint,
						 const struct packet *packet)
{
	if (!address_link_multicast(packet->destination) && !address_link_local(packet->destination))
		return 0;
	if (packet->length == 8)
		return 1;
	return packet->length == 16 &&
	       neighbour_option(skb, endpoint, packet->transport + 8, ND_OPTION_SOURCE_LINK_ADDRESS, 0);
}

/*
 * To the link's multicast, or straight to the neighbour itself to see whether it is still there (the destination is the
 * target). From the unspecified address only for an address that the pod may have.
 */
static __always_inline _Bool neighbour_solicitation(struct __sk_buff *skb, const struct egress_endpoint *endpoint,
						    const struct packet *packet, const struct nd_message *message)
{
	_Bool probe = address_unspecified(packet->source), multicast = address_link_multicast(packet->destination);

	if (message->flags)
		return 0;
	if (probe && (!multicast || !neighbour_own_address(endpoint, message->target)))
		return 0;
	if (!multicast && !address_equal(packet->destination, message->target))
		return 0;
	if (packet->length == sizeof(*message))
		return 1;
	return packet->length == sizeof(*message) + sizeof(struct nd_option) &&
	       neighbour_option(skb, endpoint, packet->transport + sizeof(*message),
				probe ? ND_OPTION_NONCE : ND_OPTION_SOURCE_LINK_ADDRESS, probe);
}

/* Only about an address of the pod's own, never as a router. */
static __always_inline _Bool neighbour_advertisement(struct __sk_buff *skb, const struct egress_endpoint *endpoint,
						     const struct packet *packet, const struct nd_message *message)
{
	if (message->flags & bpf_htonl(0x9fffffff) || !neighbour_own_address(endpoint, message->target))
		return 0;
	if (address_unspecified(packet->source))
		return 0;
	if (packet->length == sizeof(*message))
		return 1;
	return packet->length == sizeof(*message) + sizeof(struct nd_option) &&
	       neighbour_option(skb, endpoint, packet->transport + sizeof(*message), ND_OPTION_TARGET_LINK_ADDRESS, 0);
}

/* Reports go to multicast of the link behind a hop-by-hop header with the router alert, from a link-local address or
 * none. */
static __always_inline _Bool listener_report(const struct packet *packet)
{
	return packet->hop_limit == MLD_HOP_LIMIT && packet->extensions &&
	       address_link_multicast(packet->destination) &&
	       (address_link_local(packet->source) || address_unspecified(packet->source)) &&
	       packet->transport == ETH_HLEN + sizeof(struct ipv6hdr) + 8 && packet->length >= 8;
}

/* For a neighbour_message(): EGRESS_DROP_NONE, it passes; or why not. */
static __noinline int neighbour_check(struct __sk_buff *skb, const struct egress_endpoint *endpoint,
				      const struct packet *packet)
{
	struct nd_message message;
	__u8 type = packet_icmp_type(packet);
	_Bool good = 0;

	/* Nothing behind the packet, and no fragments (RFC 6980). */
	if (packet_icmp_code(packet) || packet->fragment != FRAGMENT_WHOLE ||
	    skb->len != packet->transport + packet->length)
		return EGRESS_DROP_NEIGHBOUR_DISCOVERY;
	if (type == ICMPV6_MLD_REPORT || type == ICMPV6_MLD_DONE || type == ICMPV6_MLD2_REPORT)
		return listener_report(packet) ? EGRESS_DROP_NONE : EGRESS_DROP_NEIGHBOUR_DISCOVERY;
	if (packet->hop_limit != ND_HOP_LIMIT || packet->extensions)
		return EGRESS_DROP_NEIGHBOUR_DISCOVERY;
	if (!address_unspecified(packet->source) && !address_link_local(packet->source) &&
	    (address_unspecified(endpoint->ipv6) || !address_equal(packet->source, endpoint->ipv6)))
		return EGRESS_DROP_SPOOFED_SOURCE;
	if (type == ICMPV6_ROUTER_SOLICITATION) {
		good = router_solicitation(skb, endpoint, packet);
	} else if ((type == ICMPV6_NEIGHBOUR_SOLICITATION || type == ICMPV6_NEIGHBOUR_ADVERTISEMENT) &&
		   !bpf_skb_load_bytes(skb, packet->transport, &message, sizeof(message))) {
		good = type == ICMPV6_NEIGHBOUR_SOLICITATION ? neighbour_solicitation(skb, endpoint, packet, &message)
							     : neighbour_advertisement(skb, endpoint, packet, &message);
	}
	return good ? EGRESS_DROP_NONE : EGRESS_DROP_NEIGHBOUR_DISCOVERY;
}

#endif
