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

static __always_inline _Bool neighbour_message(const struct packet *packet)
{
	__u8 type = packet_icmp_type(packet);

	return packet->protocol == PROTOCOL_ICMPV6 && packet->family == 6 && packet->fragment != FRAGMENT_LATER &&
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

/* How a message is found; the last is for one whose destination is not multicast. */
enum neighbour_form {
	NEIGHBOUR_BAD,
	NEIGHBOUR_GOOD,
	NEIGHBOUR_GOOD_IF_REACHABLE,
};

/* A source that a link-layer address may be given for: neighbours then send there what is meant for it. */
static __always_inline _Bool neighbour_may_bind(const struct egress_endpoint *endpoint, const struct packet *packet)
{
	return claims_are_free(endpoint) || !mac_known(endpoint) || neighbour_own_address(endpoint, packet->source);
}

static __always_inline _Bool router_solicitation(struct __sk_buff *skb, const struct egress_endpoint *endpoint,
						 const struct packet *packet)
{
	if (!address_link_multicast(packet->destination, GROUP_ALL_ROUTERS))
		return 0;
	if (packet->length == 8)
		return 1;
	return packet->length == 16 && neighbour_may_bind(endpoint, packet) &&
	       neighbour_option(skb, endpoint, packet->transport + 8, ND_OPTION_SOURCE_LINK_ADDRESS, 0);
}

/*
 * To the multicast group of the address that it asks about, or straight to that neighbour to see whether it is still
 * there. From the unspecified address only for an address that the pod may have.
 */
static __always_inline enum neighbour_form
neighbour_solicitation(struct __sk_buff *skb, const struct egress_endpoint *endpoint, const struct packet *packet,
		       const struct nd_message *message)
{
	_Bool probe = address_unspecified(packet->source);
	_Bool multicast = address_solicited_node(packet->destination, message->target);

	if (message->flags)
		return NEIGHBOUR_BAD;
	if (probe &&
	    (!multicast || !(claims_are_free(endpoint) || neighbour_own_address(endpoint, message->target))))
		return NEIGHBOUR_BAD;
	if (!multicast && !address_equal(packet->destination, message->target))
		return NEIGHBOUR_BAD;
	if (packet->length != sizeof(*message) &&
	    (packet->length != sizeof(*message) + sizeof(struct nd_option) ||
	     (!probe && !neighbour_may_bind(endpoint, packet)) ||
	     !neighbour_option(skb, endpoint, packet->transport + sizeof(*message),
			       probe ? ND_OPTION_NONCE : ND_OPTION_SOURCE_LINK_ADDRESS, probe)))
		return NEIGHBOUR_BAD;
	return multicast ? NEIGHBOUR_GOOD : NEIGHBOUR_GOOD_IF_REACHABLE;
}

/* Only about an address of the pod's own, never as a router. */
static __always_inline enum neighbour_form
neighbour_advertisement(struct __sk_buff *skb, const struct egress_endpoint *endpoint, const struct packet *packet,
			const struct nd_message *message)
{
	_Bool everybody = address_link_multicast(packet->destination, GROUP_ALL_NODES);

	if (message->flags & bpf_htonl(0x1fffffff) || address_unspecified(packet->source))
		return NEIGHBOUR_BAD;
	if (!claims_are_free(endpoint) &&
	    (message->flags & bpf_htonl(0x80000000) || !neighbour_own_address(endpoint, message->target)))
		return NEIGHBOUR_BAD;
	if (!everybody && address_multicast(packet->destination))
		return NEIGHBOUR_BAD;
	if (packet->length != sizeof(*message) &&
	    (packet->length != sizeof(*message) + sizeof(struct nd_option) ||
	     !neighbour_option(skb, endpoint, packet->transport + sizeof(*message), ND_OPTION_TARGET_LINK_ADDRESS, 0)))
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

static __always_inline _Bool mld_report(struct __sk_buff *skb, const struct packet *packet)
{
	struct mld_message message;

	if (packet->length != sizeof(message) ||
	    bpf_skb_load_bytes(skb, packet->transport, &message, sizeof(message)) || message.delay ||
	    message.reserved || !address_multicast(message.group))
		return 0;
	return message.type == ICMPV6_MLD_DONE ? address_link_multicast(packet->destination, GROUP_ALL_ROUTERS)
					       : address_equal(packet->destination, message.group);
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

	if (bpf_skb_load_bytes(skb, transport + 4, head, sizeof(head)) || head[0])
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

/* Reports go to multicast of the link behind a hop-by-hop header with the router alert, from a link-local address or
 * none. */
static __always_inline _Bool listener_report(struct __sk_buff *skb, const struct packet *packet)
{
	__u8 hop_by_hop[sizeof(mld_hop_by_hop)], next_header;
	__u32 i, difference = 0;

	if (packet->hop_limit != MLD_HOP_LIMIT || !packet->extensions ||
	    !(address_link_local(packet->source) || address_unspecified(packet->source)) ||
	    packet->transport != ETH_HLEN + sizeof(struct ipv6hdr) + sizeof(hop_by_hop))
		return 0;
	if (bpf_skb_load_bytes(skb, ETH_HLEN + 6, &next_header, sizeof(next_header)) ||
	    bpf_skb_load_bytes(skb, ETH_HLEN + sizeof(struct ipv6hdr), hop_by_hop, sizeof(hop_by_hop)))
		return 0;
	if (next_header != IPV6_HOP_BY_HOP)
		return 0;
#pragma clang loop unroll(full)
	for (i = 0; i < sizeof(hop_by_hop); i++)
		difference |= hop_by_hop[i] ^ mld_hop_by_hop[i];
	if (difference)
		return 0;
	if (packet_icmp_type(packet) != ICMPV6_MLD2_REPORT)
		return mld_report(skb, packet);
	return address_link_multicast(packet->destination, GROUP_MLD2) &&
	       mld2_report(skb, packet->transport, packet->transport + packet->length);
}

/* What neighbour_judge() is told beside where the message is. */
#define NEIGHBOUR_WHOLE      1u /* not a fragment */
#define NEIGHBOUR_EXTENSIONS 2u

static __always_inline __u32 neighbour_shape(const struct packet *packet)
{
	return (packet->fragment == FRAGMENT_WHOLE ? NEIGHBOUR_WHOLE : 0) |
	       (packet->extensions ? NEIGHBOUR_EXTENSIONS : 0);
}

static __always_inline enum neighbour_form
neighbour_discovery(struct __sk_buff *skb, const struct egress_endpoint *endpoint, const struct packet *packet)
{
	__u8 type = packet_icmp_type(packet);
	struct nd_message message;

	if (packet->hop_limit != ND_HOP_LIMIT || packet->extensions)
		return NEIGHBOUR_BAD;
	if (type == ICMPV6_ROUTER_SOLICITATION)
		return router_solicitation(skb, endpoint, packet) ? NEIGHBOUR_GOOD : NEIGHBOUR_BAD;
	if ((type != ICMPV6_NEIGHBOUR_SOLICITATION && type != ICMPV6_NEIGHBOUR_ADVERTISEMENT) ||
	    bpf_skb_load_bytes(skb, packet->transport, &message, sizeof(message)))
		return NEIGHBOUR_BAD;
	return type == ICMPV6_NEIGHBOUR_SOLICITATION ? neighbour_solicitation(skb, endpoint, packet, &message)
						     : neighbour_advertisement(skb, endpoint, packet, &message);
}

/* What follows are global functions: the verifier looks at each once, and none is on the stack with another. */

/* True: a report that passes. */
__noinline int listener_check(struct __sk_buff *skb, __u32 transport, __u32 length, __u32 shape)
{
	struct packet packet = {.extensions = shape & NEIGHBOUR_EXTENSIONS ? 1 : 0};

	return packet_reload(skb, &packet, transport, length, 6) && !packet_icmp_code(&packet) &&
	       shape & NEIGHBOUR_WHOLE && skb->len == transport + length && listener_report(skb, &packet);
}

/* enum neighbour_form of the message, or minus the reason to drop it. */
__noinline int neighbour_check(struct __sk_buff *skb, __u32 transport, __u32 length, __u32 shape)
{
	const struct egress_endpoint *endpoint = endpoint_find(skb->ifindex);
	struct packet packet = {.extensions = shape & NEIGHBOUR_EXTENSIONS ? 1 : 0};

	if (!endpoint || !packet_reload(skb, &packet, transport, length, 6))
		return NEIGHBOUR_BAD;
	/* Nothing behind the packet, and no fragments (RFC 6980). */
	if (packet_icmp_code(&packet) || !(shape & NEIGHBOUR_WHOLE) || skb->len != transport + length)
		return NEIGHBOUR_BAD;
	if (packet.hop_limit == ND_HOP_LIMIT && !packet.extensions && !claims_are_free(endpoint) &&
	    !address_unspecified(packet.source) && !address_link_local(packet.source) &&
	    (address_unspecified(endpoint->ipv6) || !address_equal(packet.source, endpoint->ipv6)))
		return -EGRESS_DROP_SPOOFED_SOURCE;
	return neighbour_discovery(skb, endpoint, &packet);
}

/*
 * True: the pod may send these messages to this packet's unicast destination. Neighbours of its own subnet are those
 * whose first 64 bits are the pod's (RFC 4291, 2.5.1), and they must learn where it is in order to reach it.
 */
__noinline int neighbour_reachable(struct __sk_buff *skb)
{
	const struct egress_endpoint *endpoint = endpoint_find(skb->ifindex);
	__u32 neighbour[4];
	__u64 set;

	if (!endpoint || bpf_skb_load_bytes(skb, ETH_HLEN + 24, neighbour, sizeof(neighbour)))
		return 0;
	if (address_link_local(neighbour))
		return 1;
	if (!address_unspecified(endpoint->ipv6) && neighbour[0] == endpoint->ipv6[0] &&
	    neighbour[1] == endpoint->ipv6[1])
		return 1;
	set = judge_set(skb);
	return (__u32)set == EGRESS_SET_OPEN ||
	       policy_look_up_cold(egress_address_number(neighbour), egress_address_number(neighbour + 2),
				   6u << 24 | PROTOCOL_ICMPV6 << 16, set, set >> 32) == EGRESS_DROP_NONE;
}

/* For a neighbour_message(): EGRESS_DROP_NONE, it passes; or why not. */
static __noinline int neighbour_judge(struct __sk_buff *skb, const struct packet *packet)
{
	__u32 transport = packet->transport, length = packet->length, shape = neighbour_shape(packet);
	__u8 type = packet_icmp_type(packet);
	int form;

	if (type == ICMPV6_MLD_REPORT || type == ICMPV6_MLD_DONE || type == ICMPV6_MLD2_REPORT)
		form = listener_check(skb, transport, length, shape) ? NEIGHBOUR_GOOD : NEIGHBOUR_BAD;
	else
		form = neighbour_check(skb, transport, length, shape);
	if (form < 0)
		return -form;
	if (form == NEIGHBOUR_GOOD_IF_REACHABLE)
		form = neighbour_reachable(skb) ? NEIGHBOUR_GOOD : NEIGHBOUR_BAD;
	return form == NEIGHBOUR_GOOD ? EGRESS_DROP_NONE : EGRESS_DROP_NEIGHBOUR_DISCOVERY;
}

#endif
