/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Step 3b: IPv6 neighbour discovery (RFC 4861) and multicast listener discovery (RFC 2710, RFC 3810): what a pod needs
 * in order to have IPv6 at all passes whatever policy says, and nothing else.
 *
 * These messages stay on the link, but a peer on the link may be just whom policy keeps the pod from: so they go where
 * Linux sends them, carry the options that it sends and not a byte more. One with a unicast destination stays on the
 * link only if that is link-local or of the pod's own subnet; a router would pass any other on. So to others the pod may
 * speak only if policy lets it.
 */
#ifndef EGRESSD_BPF_NEIGHBOUR_H
#define EGRESSD_BPF_NEIGHBOUR_H

#include "lib/arp.h"
#include "lib/policy.h"
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

#define ND_HOP_LIMIT                   255 /* only a sender on the link can make it (RFC 4861, 7.1) */
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

static __always_inline _Bool neighbour_message(__u64 network, __u64 ports)
{
	__u8 type = ports_icmp_type(ports);

	return network_protocol(network) == PROTOCOL_ICMPV6 && network_family(network) == 6 && ports & PORTS_KNOWN &&
	       ((type >= ICMPV6_MLD_QUERY && type <= ICMPV6_REDIRECT) || type == ICMPV6_MLD2_REPORT);
}

/* ff02::<group> */
static __always_inline _Bool address_link_multicast(const __u32 address[4], __u32 group)
{
	return address[0] == bpf_htonl(0xff020000) && !(address[1] | address[2]) && address[3] == bpf_htonl(group);
}

#define GROUP_ALL_NODES   1
#define GROUP_ALL_ROUTERS 2
#define GROUP_MLD2        0x16

/* ff02::1:ffXX:XXXX with the last three bytes of the target (RFC 4291, 2.7.1) */
static __always_inline _Bool address_solicited_node(const __u32 address[4], const __u32 target[4])
{
	return address[0] == bpf_htonl(0xff020000) && !address[1] && address[2] == bpf_htonl(1) &&
	       address[3] == (target[3] | bpf_htonl(0xff000000));
}

static __always_inline _Bool address_multicast(const __u32 address[4])
{
	return (address[0] & bpf_htonl(0xff000000)) == bpf_htonl(0xff000000);
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

/* How a message is found. */
enum neighbour_form {
	NEIGHBOUR_BAD,
	NEIGHBOUR_GOOD,
	NEIGHBOUR_GOOD_IF_REACHABLE, /* the pod may send to its destination, which is not multicast */
	NEIGHBOUR_GOOD_IF_RECORDS,   /* mld2_report() */
};

/* What the checks of a message read of its packet. */
struct nd_packet {
	struct addresses addresses;
	__u32 transport, length; /* of the message in the frame, bytes */
};

/* To all routers of the link. */
static __always_inline enum neighbour_form router_solicitation(const struct nd_packet *packet)
{
	return address_link_multicast(packet->addresses.destination, GROUP_ALL_ROUTERS) ? NEIGHBOUR_GOOD
											: NEIGHBOUR_BAD;
}

/*
 * To the multicast group of the address that it asks about, or straight to that neighbour to see whether it is still
 * there. From the unspecified address only for an address that the pod may have.
 */
static __always_inline enum neighbour_form neighbour_solicitation(const struct egress_endpoint *endpoint,
								  const struct nd_packet *packet,
								  const struct nd_message *message)
{
	_Bool multicast = address_solicited_node(packet->addresses.destination, message->target);

	if (message->flags)
		return NEIGHBOUR_BAD;
	if (address_unspecified(packet->addresses.source) &&
	    (!multicast || !(claims_are_free(endpoint) || neighbour_own_address(endpoint, message->target))))
		return NEIGHBOUR_BAD;
	if (!multicast && !address_equal(packet->addresses.destination, message->target))
		return NEIGHBOUR_BAD;
	return multicast ? NEIGHBOUR_GOOD : NEIGHBOUR_GOOD_IF_REACHABLE;
}

/* Only about an address of the pod's own, never as a router. */
static __always_inline enum neighbour_form neighbour_advertisement(const struct egress_endpoint *endpoint,
								   const struct nd_packet *packet,
								   const struct nd_message *message)
{
	_Bool everybody = address_link_multicast(packet->addresses.destination, GROUP_ALL_NODES);

	if (message->flags & bpf_htonl(0x1fffffff) || address_unspecified(packet->addresses.source))
		return NEIGHBOUR_BAD;
	if (!claims_are_free(endpoint) &&
	    (message->flags & bpf_htonl(0x80000000) || !neighbour_own_address(endpoint, message->target)))
		return NEIGHBOUR_BAD;
	if (!everybody && address_multicast(packet->addresses.destination))
		return NEIGHBOUR_BAD;
	return everybody ? NEIGHBOUR_GOOD : NEIGHBOUR_GOOD_IF_REACHABLE;
}

/* Hop-by-hop options with nothing but the router alert for MLD (RFC 2711), before ICMPv6. */
static const __u8 mld_hop_by_hop[8] = {PROTOCOL_ICMPV6, 0, 5, 2, 0, 0, 1, 0};

/* MLD version 1 (RFC 2710, 3): one group, and a report goes to that group. */
struct mld_message {
	__u8 type, code;
	__u16 checksum, delay, reserved;
	__u32 group[4];
};

static __always_inline _Bool mld_report(struct __sk_buff *skb, const struct nd_packet *packet)
{
	struct mld_message message;

	if (packet->length != sizeof(message) ||
	    bpf_skb_load_bytes(skb, packet->transport, &message, sizeof(message)) || message.delay ||
	    message.reserved || !address_multicast(message.group))
		return 0;
	if (message.type == ICMPV6_MLD_DONE)
		return address_link_multicast(packet->addresses.destination, GROUP_ALL_ROUTERS);
	return address_equal(packet->addresses.destination, message.group);
}

/* MLD version 2 (RFC 3810, 5.2): records of groups, each with sources. Linux sends no auxiliary data. */
struct mld2_record {
	__u8 type, auxiliary;
	__u16 sources;
	__u32 group[4];
};

#define MLD2_RECORDS_MAX 64 /* what fits a packet of 1,280 bytes */

/* A global function: the verifier looks at its loop once. The report is from `transport` to `end`. */
__noinline int mld2_report(struct __sk_buff *skb, __u32 transport, __u32 end)
{
	__u32 offset = transport + 8, i;
	struct mld2_record record;
	__u16 head[2]; /* reserved, number of records */

	if (end > PACKET_READ_MAX || bpf_skb_load_bytes(skb, transport + 4, head, sizeof(head)) || head[0])
		return 0;
#pragma clang loop unroll(disable)
	for (i = 0; i < MLD2_RECORDS_MAX && i < bpf_ntohs(head[1]); i++) {
		if (bpf_skb_load_bytes(skb, offset, &record, sizeof(record)))
			return 0;
		if (!record.type || record.type > 6 || record.auxiliary || !address_multicast(record.group))
			return 0;
		offset += sizeof(record) + 16 * bpf_ntohs(record.sources);
	}
	return i == bpf_ntohs(head[1]) && offset == end;
}

/* The hop-by-hop header that MLD has, and nothing else, between the IPv6 header and the report. */
static __always_inline _Bool mld_hop_by_hop_only(struct __sk_buff *skb, __u32 transport)
{
	__u8 hop_by_hop[sizeof(mld_hop_by_hop)], next_header;
	__u32 i, difference = 0;

	if (transport != ETH_HLEN + sizeof(struct ipv6hdr) + sizeof(hop_by_hop) ||
	    bpf_skb_load_bytes(skb, ETH_HLEN + 6, &next_header, sizeof(next_header)) ||
	    bpf_skb_load_bytes(skb, ETH_HLEN + sizeof(struct ipv6hdr), hop_by_hop, sizeof(hop_by_hop)))
		return 0;
#pragma clang loop unroll(full)
	for (i = 0; i < sizeof(hop_by_hop); i++)
		difference |= hop_by_hop[i] ^ mld_hop_by_hop[i];
	return next_header == IPV6_HOP_BY_HOP && !difference;
}

/* Of whatever kind: nothing behind the packet, no fragment (RFC 6980), no code. */
static __always_inline _Bool neighbour_packet_load(struct __sk_buff *skb, __u64 network, __u64 ports,
						   struct nd_packet *packet, __u8 *hop_limit)
{
	packet->transport = network_transport(network);
	packet->length = network_length(network);
	return !ports_icmp_code(ports) && network_fragment(network) == FRAGMENT_WHOLE &&
	       skb->len == network_end(network) && addresses_load(skb, 6, &packet->addresses) &&
	       !bpf_skb_load_bytes(skb, ETH_HLEN + 7, hop_limit, sizeof(*hop_limit));
}

/* What follows are global functions: the verifier looks at each once, and none is on the stack with another. */

/*
 * The form of a report. They go to multicast of the link behind a hop-by-hop header with the router alert, from a
 * link-local address or none.
 */
__noinline int listener_check(struct __sk_buff *skb, __u64 network, __u64 ports)
{
	struct nd_packet packet;
	__u8 hop_limit;

	if (!neighbour_packet_load(skb, network, ports, &packet, &hop_limit) || hop_limit != MLD_HOP_LIMIT ||
	    !(network & NETWORK_EXTENSIONS) ||
	    !(address_link_local(packet.addresses.source) || address_unspecified(packet.addresses.source)) ||
	    !mld_hop_by_hop_only(skb, packet.transport))
		return NEIGHBOUR_BAD;
	if (ports_icmp_type(ports) != ICMPV6_MLD2_REPORT)
		return mld_report(skb, &packet) ? NEIGHBOUR_GOOD : NEIGHBOUR_BAD;
	return address_link_multicast(packet.addresses.destination, GROUP_MLD2) ? NEIGHBOUR_GOOD_IF_RECORDS
										: NEIGHBOUR_BAD;
}

/* The endpoint and the packet of a message of neighbour discovery; NULL where no message is like that. */
static __always_inline const struct egress_endpoint *neighbour_begin(struct __sk_buff *skb, __u64 network, __u64 ports,
								      struct nd_packet *packet)
{
	__u8 hop_limit;

	if (!neighbour_packet_load(skb, network, ports, packet, &hop_limit) || hop_limit != ND_HOP_LIMIT ||
	    network & NETWORK_EXTENSIONS)
		return NULL;
	return endpoint_find(skb->ifindex);
}

/* Whether it comes from an address that the pod may have; where it is no message of this kind, that is not asked. */
__noinline int neighbour_spoofed(struct __sk_buff *skb, __u64 network, __u64 ports)
{
	struct nd_packet packet;
	const struct egress_endpoint *endpoint = neighbour_begin(skb, network, ports, &packet);
	const __u32 *source = packet.addresses.source;

	return endpoint && !claims_are_free(endpoint) && !address_unspecified(source) && !address_link_local(source) &&
	       (address_unspecified(endpoint->ipv6) || !address_equal(source, endpoint->ipv6));
}

/* The form of a message, whatever option is behind it. */
__noinline int neighbour_check(struct __sk_buff *skb, __u64 network, __u64 ports)
{
	struct nd_packet packet;
	const struct egress_endpoint *endpoint = neighbour_begin(skb, network, ports, &packet);
	struct nd_message message;
	__u8 type = ports_icmp_type(ports);

	if (!endpoint)
		return NEIGHBOUR_BAD;
	if (type == ICMPV6_ROUTER_SOLICITATION)
		return router_solicitation(&packet);
	if (bpf_skb_load_bytes(skb, packet.transport, &message, sizeof(message)))
		return NEIGHBOUR_BAD;
	if (type == ICMPV6_NEIGHBOUR_SOLICITATION)
		return neighbour_solicitation(endpoint, &packet, &message);
	return type == ICMPV6_NEIGHBOUR_ADVERTISEMENT ? neighbour_advertisement(endpoint, &packet, &message)
						      : NEIGHBOUR_BAD;
}

/*
 * A link-layer address in an option that is good: the frame's own and, where it is known, the pod's, and for an address
 * that it may be given for: neighbours then send there what is meant for that one.
 */
static __always_inline _Bool neighbour_binding(struct __sk_buff *skb, const struct egress_endpoint *endpoint,
					       const struct nd_option *option, __u8 type, const __u32 source[4])
{
	__u8 mac[ETH_ALEN];

	if (bpf_skb_load_bytes(skb, ETH_ALEN, mac, sizeof(mac)) || !mac_equal(option->data, mac) ||
	    (mac_known(endpoint) && !mac_equal(mac, endpoint->mac)))
		return 0;
	/* What an advertisement tells is about its target, which neighbour_check() looked at. */
	return type == ICMPV6_NEIGHBOUR_ADVERTISEMENT || claims_are_free(endpoint) || !mac_known(endpoint) ||
	       neighbour_own_address(endpoint, source);
}

/* Whether there is no option behind a message, or just the one that it may have. */
__noinline int neighbour_options_fit(struct __sk_buff *skb, __u64 network, __u64 ports)
{
	const struct egress_endpoint *endpoint = endpoint_find(skb->ifindex);
	__u8 type = ports_icmp_type(ports);
	__u32 header = type == ICMPV6_ROUTER_SOLICITATION ? 8 : sizeof(struct nd_message), source[4];
	struct nd_option option;

	if (network_length(network) == header)
		return 1;
	if (!endpoint || network_length(network) != header + sizeof(option) ||
	    bpf_skb_load_bytes(skb, network_transport(network) + header, &option, sizeof(option)) ||
	    bpf_skb_load_bytes(skb, IPV6_SOURCE_OFFSET, source, sizeof(source)) || option.length != 1)
		return 0;
	if (type == ICMPV6_NEIGHBOUR_SOLICITATION && address_unspecified(source))
		return option.type == ND_OPTION_NONCE;
	return option.type == (type == ICMPV6_NEIGHBOUR_ADVERTISEMENT ? ND_OPTION_TARGET_LINK_ADDRESS
								      : ND_OPTION_SOURCE_LINK_ADDRESS) &&
	       neighbour_binding(skb, endpoint, &option, type, source);
}

/*
 * Whether the packet's destination is on the link, as far as addresses say. Neighbours of its own subnet are those whose
 * first 64 bits are the pod's (RFC 4291, 2.5.1), and they must learn where it is in order to reach it.
 */
__noinline int neighbour_on_link(struct __sk_buff *skb)
{
	const struct egress_endpoint *endpoint = endpoint_find(skb->ifindex);
	__u32 neighbour[4];

	if (!endpoint || bpf_skb_load_bytes(skb, IPV6_DESTINATION_OFFSET, neighbour, sizeof(neighbour)))
		return 0;
	return address_link_local(neighbour) ||
	       (!address_unspecified(endpoint->ipv6) && neighbour[0] == endpoint->ipv6[0] &&
		neighbour[1] == endpoint->ipv6[1]);
}

/* True: the pod may send these messages to this packet's unicast destination. */
static __always_inline _Bool neighbour_reachable(struct __sk_buff *skb, const struct judge *judge)
{
	return judge->set == EGRESS_SET_OPEN || neighbour_on_link(skb) ||
	       !POLICY_REASON(policy_ask(skb, judge, 6, POLICY_DESTINATION, PROTOCOL_ICMPV6, 0));
}

static __always_inline _Bool neighbour_is_report(__u8 type)
{
	return type == ICMPV6_MLD_REPORT || type == ICMPV6_MLD_DONE || type == ICMPV6_MLD2_REPORT;
}

/* enum neighbour_form of the whole packet. */
static __always_inline int neighbour_form_of(struct __sk_buff *skb, __u64 network, __u64 ports)
{
	int form;

	if (neighbour_is_report(ports_icmp_type(ports)))
		return listener_check(skb, network, ports);
	form = neighbour_check(skb, network, ports);
	return form == NEIGHBOUR_BAD || neighbour_options_fit(skb, network, ports) ? form : NEIGHBOUR_BAD;
}

/* For a neighbour_message(): EGRESS_DROP_NONE, it passes; or why not. */
static __always_inline enum egress_drop_reason neighbour_judge(struct __sk_buff *skb, const struct judge *judge,
								__u64 network, __u64 ports)
{
	int form;

	if (!neighbour_is_report(ports_icmp_type(ports)) && neighbour_spoofed(skb, network, ports))
		return EGRESS_DROP_SPOOFED_SOURCE;
	form = neighbour_form_of(skb, network, ports);
	if (form == NEIGHBOUR_GOOD_IF_RECORDS)
		form = mld2_report(skb, network_transport(network), network_end(network)) ? NEIGHBOUR_GOOD
											   : NEIGHBOUR_BAD;
	else if (form == NEIGHBOUR_GOOD_IF_REACHABLE)
		form = neighbour_reachable(skb, judge) ? NEIGHBOUR_GOOD : NEIGHBOUR_BAD;
	return form == NEIGHBOUR_GOOD ? EGRESS_DROP_NONE : EGRESS_DROP_NEIGHBOUR_DISCOVERY;
}

#endif
