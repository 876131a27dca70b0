/* SPDX-License-Identifier: Apache-2.0 */
/* Host routes, neighbours and the forwarding tables of bridges, asked of rtnetlink. */
#include "datapath/address_location.h"

#include <errno.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/cleanup.h"
#include "datapath/internal.h"
#include "datapath/netlink.h"

#define MAC_LENGTH   6
#define REQUEST_SIZE (MNL_NLMSG_HDRLEN + 128)

/* A line of a bridge's forwarding table. */
struct forwarding {
	uint32_t bridge, port; /* ifindexes; port is the bridge itself for its own addresses */
	uint8_t mac[MAC_LENGTH];
};

struct address_locator {
	struct mnl_socket *socket;
	struct forwarding *forwardings; /* of all bridges */
	size_t forwarding_count;
	bool has_forwardings;
};

int address_locator_new(struct address_locator **out)
{
	struct address_locator *locator = calloc(1, sizeof(*locator));
	int error = locator ? netlink_open(NETLINK_ROUTE, 0, &locator->socket) : -ENOMEM;

	if (error) {
		free(locator);
		return fail_errno(error, "cannot ask for the routes of this machine");
	}
	*out = locator;
	return 0;
}

void address_locator_free(struct address_locator *locator)
{
	if (!locator)
		return;
	netlink_close(&locator->socket);
	free(locator->forwardings);
	free(locator);
}

static size_t address_length(uint8_t family)
{
	return family == 4 ? 4 : 16;
}

static uint8_t kernel_family(uint8_t family)
{
	return family == 4 ? AF_INET : AF_INET6;
}

/* ---------------------------------------------------------------- routes */

struct route {
	uint32_t ifindex; /* 0: it leads nowhere, or to several */
	uint8_t prefix_length;
};

static int visit_route(const struct nlmsghdr *message, void *data)
{
	const struct rtmsg *header = mnl_nlmsg_get_payload(message);
	const struct nlattr *attribute;
	struct route *route = data;

	if (header->rtm_type != RTN_UNICAST)
		return MNL_CB_OK;
	route->prefix_length = header->rtm_dst_len;
	mnl_attr_for_each(attribute, message, sizeof(*header)) {
		if (mnl_attr_get_type(attribute) == RTA_OIF && !mnl_attr_validate(attribute, MNL_TYPE_U32))
			route->ifindex = mnl_attr_get_u32(attribute);
	}
	return MNL_CB_OK;
}

/* How the kernel says that there is no route, or one that refuses. */
static bool is_no_route(int error)
{
	return error == -ENETUNREACH || error == -EHOSTUNREACH || error == -EACCES || error == -EINVAL;
}

/* The route that a packet to the address takes, as it stands in the table. */
static int find_route(struct address_locator *locator, uint8_t family, const uint8_t *address, struct route *out)
{
	char buffer[REQUEST_SIZE] __attribute__((aligned(8)));
	struct nlmsghdr *request = mnl_nlmsg_put_header(buffer);
	struct route found = {0};
	struct rtmsg *header;
	int error;

	request->nlmsg_type = RTM_GETROUTE;
	header = mnl_nlmsg_put_extra_header(request, sizeof(*header));
	header->rtm_family = kernel_family(family);
	header->rtm_dst_len = (uint8_t)(address_length(family) * 8);
	header->rtm_flags = RTM_F_FIB_MATCH;
	mnl_attr_put(request, RTA_DST, address_length(family), address);
	error = netlink_request(locator->socket, request, visit_route, &found);
	if (error && !is_no_route(error))
		return error;
	/* cppcheck-suppress internalAstError ; a literal of a structure within ?: */
	*out = error ? (struct route){0} : found;
	return 0;
}

/* ---------------------------------------------------------------- neighbours */

struct neighbour {
	bool known;
	uint8_t mac[MAC_LENGTH];
};

static int visit_neighbour(const struct nlmsghdr *message, void *data)
{
	const struct ndmsg *header = mnl_nlmsg_get_payload(message);
	const struct nlattr *attribute;
	struct neighbour *neighbour = data;

	if (header->ndm_state & (NUD_INCOMPLETE | NUD_FAILED))
		return MNL_CB_OK;
	mnl_attr_for_each(attribute, message, sizeof(*header)) {
		if (mnl_attr_get_type(attribute) != NDA_LLADDR || mnl_attr_get_payload_len(attribute) != MAC_LENGTH)
			continue;
		memcpy(neighbour->mac, mnl_attr_get_payload(attribute), MAC_LENGTH);
		neighbour->known = true;
	}
	return MNL_CB_OK;
}

static int find_neighbour(struct address_locator *locator, uint8_t family, const uint8_t *address, uint32_t ifindex,
			  struct neighbour *out)
{
	char buffer[REQUEST_SIZE] __attribute__((aligned(8)));
	struct nlmsghdr *request = mnl_nlmsg_put_header(buffer);
	struct ndmsg *header;
	int error;

	request->nlmsg_type = RTM_GETNEIGH;
	header = mnl_nlmsg_put_extra_header(request, sizeof(*header));
	header->ndm_family = kernel_family(family);
	header->ndm_ifindex = (int)ifindex;
	mnl_attr_put(request, NDA_DST, address_length(family), address);
	error = netlink_request(locator->socket, request, visit_neighbour, out);
	return error == -ENOENT ? 0 : error;
}

/* ---------------------------------------------------------------- bridges */

/* Without NDA_MASTER it is of the table of another kind of device, such as a VXLAN's. */
static int visit_forwarding(const struct nlmsghdr *message, void *data)
{
	const struct ndmsg *header = mnl_nlmsg_get_payload(message);
	struct forwarding found = {.port = (uint32_t)header->ndm_ifindex}, *grown;
	struct address_locator *locator = data;
	const struct nlattr *attribute;
	bool has_mac = false;

	mnl_attr_for_each(attribute, message, sizeof(*header)) {
		if (mnl_attr_get_type(attribute) == NDA_MASTER && !mnl_attr_validate(attribute, MNL_TYPE_U32))
			found.bridge = mnl_attr_get_u32(attribute);
		if (mnl_attr_get_type(attribute) == NDA_LLADDR && mnl_attr_get_payload_len(attribute) == MAC_LENGTH) {
			memcpy(found.mac, mnl_attr_get_payload(attribute), MAC_LENGTH);
			has_mac = true;
		}
	}
	if (!found.bridge || !has_mac)
		return MNL_CB_OK;
	grown = reallocarray(locator->forwardings, locator->forwarding_count + 1, sizeof(*grown));
	if (!grown)
		return MNL_CB_ERROR;
	locator->forwardings = grown;
	grown[locator->forwarding_count++] = found;
	return MNL_CB_OK;
}

static int read_forwardings(struct address_locator *locator)
{
	int error = -EINTR;

	if (locator->has_forwardings)
		return 0;
	for (int i = 0; error == -EINTR && i < NETLINK_ATTEMPTS; i++) {
		char buffer[REQUEST_SIZE] __attribute__((aligned(8)));
		struct nlmsghdr *request = mnl_nlmsg_put_header(buffer);
		struct ndmsg *header;

		request->nlmsg_type = RTM_GETNEIGH;
		request->nlmsg_flags = NLM_F_DUMP;
		header = mnl_nlmsg_put_extra_header(request, sizeof(*header));
		header->ndm_family = AF_BRIDGE;
		locator->forwarding_count = 0;
		error = netlink_request(locator->socket, request, visit_forwarding, locator);
	}
	locator->has_forwardings = !error;
	return error;
}

/* Every bridge has lines of its own. */
static bool is_bridge(const struct address_locator *locator, uint32_t ifindex)
{
	for (size_t i = 0; i < locator->forwarding_count; i++)
		if (locator->forwardings[i].bridge == ifindex)
			return true;
	return false;
}

/* 0: no port, or another one in another VLAN. */
static uint32_t port_of(const struct address_locator *locator, uint32_t bridge, const uint8_t mac[MAC_LENGTH])
{
	uint32_t port = 0;

	for (size_t i = 0; i < locator->forwarding_count; i++) {
		const struct forwarding *line = &locator->forwardings[i];

		if (line->bridge != bridge || line->port == bridge || memcmp(line->mac, mac, MAC_LENGTH))
			continue;
		if (port && port != line->port)
			return 0;
		port = line->port;
	}
	return port;
}

/* ---------------------------------------------------------------- both */

/* An interface that went meanwhile is nowhere. */
static void set_location(struct address_location *out, uint32_t ifindex, uint32_t bridge)
{
	struct address_location location = {.ifindex = ifindex};

	if (ifindex && if_indextoname(ifindex, location.name) && (!bridge || if_indextoname(bridge, location.bridge)))
		*out = location;
	else
		*out = (struct address_location){0};
}

static int locate_behind_bridge(struct address_locator *locator, uint8_t family, const uint8_t *address,
				const uint8_t *mac, uint32_t bridge, struct address_location *out)
{
	struct neighbour neighbour = {0};
	int error = read_forwardings(locator);

	if (!error && is_bridge(locator, bridge))
		error = find_neighbour(locator, family, address, bridge, &neighbour);
	if (error)
		return error;
	if (neighbour.known)
		mac = neighbour.mac;
	set_location(out, mac ? port_of(locator, bridge, mac) : 0, bridge);
	return 0;
}

int address_locate(struct address_locator *locator, uint8_t family, const uint8_t *address, const uint8_t mac[6],
		   struct address_location *out)
{
	struct route route;
	int error = find_route(locator, family, address, &route);

	if (!error && route.ifindex && route.prefix_length < address_length(family) * 8)
		error = locate_behind_bridge(locator, family, address, mac, route.ifindex, out);
	else if (!error)
		set_location(out, route.ifindex, 0);
	return error ? fail_errno(error, "cannot ask where an address is") : 0;
}
