/* SPDX-License-Identifier: Apache-2.0 */
/* Interfaces by name, by network namespace, and their addresses. */
#define _GNU_SOURCE /* setns */
#include <errno.h>
#include <fcntl.h>
#include <linux/if_link.h>
#include <linux/net_namespace.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "base/cleanup.h"
#include "datapath/interface.h"
#include "datapath/internal.h"
#include "datapath/netlink.h"

#define MAC_LENGTH   6
#define REQUEST_SIZE (MNL_NLMSG_HDRLEN + 256)

/* if_nametoindex would find an interface by an alternative name too, which an annotation does not mean. */
static bool has_name(const char *name, uint32_t ifindex)
{
	char found[IF_NAMESIZE];

	return if_indextoname(ifindex, found) && !strcmp(found, name);
}

int interface_by_name(const char *name, uint32_t *ifindex)
{
	uint32_t found = if_nametoindex(name);

	if (!found || !has_name(name, found))
		return fail(-ENODEV, "there is no interface %s", name);
	*ifindex = found;
	return 0;
}

/* ---------------------------------------------------------------- links */

/* What a link says about itself and its peer. */
struct link {
	uint32_t ifindex;
	uint32_t peer;     /* IFLA_LINK: the peer's ifindex in the peer's namespace */
	int32_t peer_nsid; /* IFLA_LINK_NETNSID: that namespace, by the id that this one has for it; -1: this very
			      namespace */
	bool is_veth;
	bool has_peer;
	char name[IF_NAMESIZE];
	uint8_t mac[MAC_LENGTH];
};

static int visit_link_kind(const struct nlattr *attribute, void *data)
{
	struct link *link = data;

	if (mnl_attr_get_type(attribute) == IFLA_INFO_KIND && !mnl_attr_validate(attribute, MNL_TYPE_STRING))
		link->is_veth = !strncmp(mnl_attr_get_str(attribute), "veth", mnl_attr_get_payload_len(attribute));
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

struct link_list {
	struct link *items;
	size_t count;
};

static void free_links(struct link_list *list)
{
	free(list->items);
}

static int visit_link(const struct nlmsghdr *message, void *data)
{
	const struct ifinfomsg *header = mnl_nlmsg_get_payload(message);
	struct link link = {.ifindex = (uint32_t)header->ifi_index, .peer_nsid = -1};
	struct link_list *list = data;
	struct link *items;

	if (mnl_attr_parse(message, sizeof(*header), visit_link_attribute, &link) < 0)
		return MNL_CB_ERROR;
	items = reallocarray(list->items, list->count + 1, sizeof(*items));
	if (!items)
		return MNL_CB_ERROR;
	list->items = items;
	items[list->count++] = link;
	return MNL_CB_OK;
}

/* The links of the socket's namespace; ifindex 0: all of them. */
static int list_links(struct mnl_socket *socket, uint32_t ifindex, struct link_list *list)
{
	int error;

	do {
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
	} while (error == -EINTR);
	return error;
}

/* ---------------------------------------------------------------- namespaces */

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

/*
 * The id that the socket's namespace has for the one behind the descriptor; -1: none, no link of the one leads to the
 * other.
 */
static int namespace_id(struct mnl_socket *socket, int namespace_fd, int32_t *nsid)
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

struct visit_to_namespace {
	int namespace_fd;
	struct mnl_socket *socket;
	int error;
};

/*
 * Runs in a thread of its own, whose namespace it changes; the socket stays in that namespace after the thread is gone.
 */
static void *open_inside(void *data)
{
	struct visit_to_namespace *visit = data;

	if (setns(visit->namespace_fd, CLONE_NEWNET))
		visit->error = -errno;
	else
		visit->error = netlink_open(0, &visit->socket);
	return NULL;
}

static int netlink_open_in(int namespace_fd, struct mnl_socket **out)
{
	struct visit_to_namespace visit = {.namespace_fd = namespace_fd};
	pthread_t thread;
	int error;

	error = -pthread_create(&thread, NULL, open_inside, &visit);
	if (error)
		return error;
	pthread_join(thread, NULL);
	if (!visit.error)
		*out = visit.socket;
	return visit.error;
}

/* The one veth among the links, of this name unless that is NULL, whose peer is in the namespace with this id. */
static int veth_leading_to(const struct link_list *list, const char *name, int32_t nsid, const struct link **out)
{
	const struct link *found = NULL;

	if (nsid == NETNSA_NSID_NOT_ASSIGNED)
		return -ENODEV;
	for (size_t i = 0; i < list->count; i++) {
		const struct link *link = &list->items[i];

		if (!link->is_veth || !link->has_peer || link->peer_nsid != nsid || (name && strcmp(link->name, name)))
			continue;
		if (found)
			return -E2BIG;
		found = link;
	}
	if (!found)
		return -ENODEV;
	*out = found;
	return 0;
}

/*
 * The host's side, asked for in the host's namespace: it must be a veth whose peer is the link inside. It may have gone
 * meanwhile, and its number may belong to another link.
 */
static int find_host_side(int namespace_fd, const struct link *inside, struct link *out)
{
	_cleanup_netlink_ struct mnl_socket *socket = NULL;
	_cleanup_(free_links) struct link_list list = {};
	int32_t nsid = NETNSA_NSID_NOT_ASSIGNED;
	int error;

	error = netlink_open(0, &socket);
	if (!error)
		error = list_links(socket, inside->peer, &list);
	if (!error)
		error = namespace_id(socket, namespace_fd, &nsid);
	if (error)
		return error;
	if (list.count != 1 || !list.items[0].is_veth || list.items[0].peer != inside->ifindex ||
	    nsid == NETNSA_NSID_NOT_ASSIGNED || list.items[0].peer_nsid != nsid)
		return -ENODEV;
	*out = list.items[0];
	return 0;
}

static int find_inside(int namespace_fd, const char *name, struct link *out)
{
	_cleanup_netlink_ struct mnl_socket *socket = NULL;
	_cleanup_(free_links) struct link_list list = {};
	_cleanup_fd_ int here = -1;
	const struct link *found;
	int32_t nsid = NETNSA_NSID_NOT_ASSIGNED;
	int error;

	here = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
	if (here < 0)
		return -errno;
	error = netlink_open_in(namespace_fd, &socket);
	/* In this order: the kernel gives a namespace its id when a link's peer in it is listed. */
	if (!error)
		error = list_links(socket, 0, &list);
	if (!error)
		error = namespace_id(socket, here, &nsid);
	if (!error)
		error = veth_leading_to(&list, name, nsid, &found);
	if (!error)
		*out = *found;
	return error;
}

static int describe_failure(int error, const char *path)
{
	switch (error) {
	case -EINVAL:
		return fail(error, "%s is not a network namespace", path);
	case -ENODEV:
		return fail(error, "no veth in the network namespace %s leads here", path);
	case -E2BIG:
		return fail(error, "more than one veth in the network namespace %s leads here", path);
	default:
		return fail_errno(error, "cannot find the interface that leads to the network namespace %s", path);
	}
}

int interface_of_netns(const char *path, const char *inside_name, uint32_t *ifindex, char *name, uint8_t mac[6])
{
	_cleanup_fd_ int namespace_fd = -1;
	struct link inside = {}, outside;
	int error;

	namespace_fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (namespace_fd < 0)
		return fail_errno(-errno, "cannot open the network namespace %s", path);
	error = find_inside(namespace_fd, inside_name, &inside);
	if (!error)
		error = find_host_side(namespace_fd, &inside, &outside);
	if (error)
		return describe_failure(error, path);
	*ifindex = outside.ifindex;
	if (name)
		memcpy(name, outside.name, sizeof(outside.name));
	if (mac)
		memcpy(mac, inside.mac, sizeof(inside.mac));
	return 0;
}

/* ---------------------------------------------------------------- addresses */

struct address_list {
	struct interface_address *items;
	size_t count;
};

static void free_addresses(struct address_list *list)
{
	free(list->items);
}

static int visit_address(const struct nlmsghdr *message, void *data)
{
	const struct ifaddrmsg *header = mnl_nlmsg_get_payload(message);
	const struct nlattr *attribute, *own = NULL;
	struct address_list *list = data;
	struct interface_address *items;
	size_t length = header->ifa_family == AF_INET ? 4 : 16;

	if (header->ifa_family != AF_INET && header->ifa_family != AF_INET6)
		return MNL_CB_OK;
	/* Where there is a peer, IFA_ADDRESS is the peer's and IFA_LOCAL our own. */
	mnl_attr_for_each(attribute, message, sizeof(*header)) {
		uint16_t type = mnl_attr_get_type(attribute);

		if (type == IFA_LOCAL || (type == IFA_ADDRESS && !own))
			own = attribute;
	}
	if (!own || mnl_attr_get_payload_len(own) != length)
		return MNL_CB_OK;
	items = reallocarray(list->items, list->count + 1, sizeof(*items));
	if (!items)
		return MNL_CB_ERROR;
	list->items = items;
	items[list->count] = (struct interface_address){.family = header->ifa_family == AF_INET ? 4 : 6};
	memcpy(items[list->count++].bytes, mnl_attr_get_payload(own), length);
	return MNL_CB_OK;
}

int interface_addresses(struct interface_address **out, size_t *count)
{
	_cleanup_(free_addresses) struct address_list list = {};
	int error;

	do {
		char buffer[REQUEST_SIZE] __attribute__((aligned(8)));
		struct nlmsghdr *request = mnl_nlmsg_put_header(buffer);
		struct ifaddrmsg *header;

		request->nlmsg_type = RTM_GETADDR;
		request->nlmsg_flags = NLM_F_DUMP;
		header = mnl_nlmsg_put_extra_header(request, sizeof(*header));
		header->ifa_family = AF_UNSPEC;
		list.count = 0;
		error = netlink_request_once(request, visit_address, &list);
	} while (error == -EINTR);
	if (error)
		return fail_errno(error, "cannot list the addresses of this machine");
	*count = list.count;
	*out = take(list.items);
	return 0;
}
