/* SPDX-License-Identifier: Apache-2.0 */
#include "datapath/links.h"

#include <errno.h>
#include <linux/if_link.h>
#include <linux/net_namespace.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "base/cleanup.h"

#define REQUEST_SIZE (MNL_NLMSG_HDRLEN + 256)

static const char *const stacked_kinds[] = {"macvlan", "macvtap", "ipvlan", "ipvtap", "vlan"};

static bool is_kind(const struct nlattr *attribute, const char *kind)
{
	return !strncmp(mnl_attr_get_str(attribute), kind, mnl_attr_get_payload_len(attribute));
}

static int visit_link_kind(const struct nlattr *attribute, void *data)
{
	struct link *link = data;

	if (mnl_attr_get_type(attribute) != IFLA_INFO_KIND || mnl_attr_validate(attribute, MNL_TYPE_STRING))
		return MNL_CB_OK;
	link->is_veth = is_kind(attribute, "veth");
	for (size_t i = 0; i < ARRAY_SIZE(stacked_kinds); i++)
		link->is_stacked |= is_kind(attribute, stacked_kinds[i]);
	return MNL_CB_OK;
}

static int visit_link_attribute(const struct nlattr *attribute, void *data)
{
	struct link *link = data;

	switch (mnl_attr_get_type(attribute)) {
	case IFLA_IFNAME:
		snprintf(link->name, sizeof(link->name), "%s", mnl_attr_get_str(attribute));
		break;
	case IFLA_LINK:
		link->peer = mnl_attr_get_u32(attribute);
		link->has_peer = link->peer != 0;
		break;
	case IFLA_LINK_NETNSID:
		link->peer_nsid = (int32_t)mnl_attr_get_u32(attribute);
		break;
	case IFLA_ADDRESS:
		if (mnl_attr_get_payload_len(attribute) == MAC_LENGTH)
			memcpy(link->mac, mnl_attr_get_payload(attribute), MAC_LENGTH);
		break;
	case IFLA_LINKINFO:
		return mnl_attr_parse_nested(attribute, visit_link_kind, link);
	}
	return MNL_CB_OK;
}

void links_clear(struct link_list *list)
{
	free(list->items);
}

static int read_link(const struct nlmsghdr *message, struct link *out)
{
	const struct ifinfomsg *header = mnl_nlmsg_get_payload(message);

	*out = (struct link){.ifindex = (uint32_t)header->ifi_index, .peer_nsid = -1};
	return mnl_attr_parse(message, sizeof(*header), visit_link_attribute, out);
}

static int visit_link(const struct nlmsghdr *message, void *data)
{
	struct link_list *list = data;
	struct link link, *items;

	if (read_link(message, &link) < 0)
		return MNL_CB_ERROR;
	items = reallocarray(list->items, list->count + 1, sizeof(*items));
	if (!items)
		return MNL_CB_ERROR;
	list->items = items;
	items[list->count++] = link;
	return MNL_CB_OK;
}

int links_list(struct mnl_socket *socket, uint32_t ifindex, struct link_list *list)
{
	int error = -EINTR;

	for (int i = 0; error == -EINTR && i < NETLINK_ATTEMPTS; i++) {
		char buffer[REQUEST_SIZE] __attribute__((aligned(8)));
		struct nlmsghdr *request = mnl_nlmsg_put_header(buffer);
		struct ifinfomsg *header;

		request->nlmsg_type = RTM_GETLINK;
		request->nlmsg_flags = ifindex ? 0 : NLM_F_DUMP;
		header = mnl_nlmsg_put_extra_header(request, sizeof(*header));
		header->ifi_family = AF_UNSPEC;
		header->ifi_index = (int)ifindex;
		list->count = 0;
		error = netlink_request(socket, request, visit_link, list);
	}
	return error;
}

struct inside {
	void (*visit)(const struct link *link, void *data);
	void *data;
};

static int visit_inside(const struct nlmsghdr *message, void *data)
{
	const struct inside *inside = data;
	struct link link;

	if (read_link(message, &link) < 0)
		return MNL_CB_ERROR;
	inside->visit(&link, inside->data);
	return MNL_CB_OK;
}

int links_visit_inside(struct mnl_socket *socket, int32_t nsid, int64_t deadline,
		       void (*visit)(const struct link *link, void *data), void *data)
{
	struct inside inside = {visit, data};
	char buffer[REQUEST_SIZE] __attribute__((aligned(8)));
	struct nlmsghdr *request = mnl_nlmsg_put_header(buffer);
	struct ifinfomsg *header;

	request->nlmsg_type = RTM_GETLINK;
	request->nlmsg_flags = NLM_F_DUMP;
	header = mnl_nlmsg_put_extra_header(request, sizeof(*header));
	header->ifi_family = AF_UNSPEC;
	mnl_attr_put_u32(request, IFLA_TARGET_NETNSID, (uint32_t)nsid);
	return netlink_request_until(socket, request, deadline, visit_inside, &inside);
}

static int visit_nsid(const struct nlmsghdr *message, void *data)
{
	const struct nlattr *attribute;
	int32_t *nsid = data;

	mnl_attr_for_each(attribute, message, sizeof(struct rtgenmsg)) {
		if (mnl_attr_get_type(attribute) == NETNSA_NSID)
			*nsid = (int32_t)mnl_attr_get_u32(attribute);
	}
	return MNL_CB_OK;
}

int links_namespace_id(struct mnl_socket *socket, int namespace_fd, int32_t *nsid)
{
	char buffer[REQUEST_SIZE] __attribute__((aligned(8)));
	struct nlmsghdr *request = mnl_nlmsg_put_header(buffer);
	struct rtgenmsg *header;
	int32_t found = NETNSA_NSID_NOT_ASSIGNED;
	int error;

	request->nlmsg_type = RTM_GETNSID;
	header = mnl_nlmsg_put_extra_header(request, sizeof(*header));
	header->rtgen_family = AF_UNSPEC;
	mnl_attr_put_u32(request, NETNSA_FD, (uint32_t)namespace_fd);
	error = netlink_request(socket, request, visit_nsid, &found);
	if (!error)
		*nsid = found;
	return error;
}
