/* SPDX-License-Identifier: Apache-2.0 */
/* Interfaces by name, by network namespace, and their addresses. */
#include <errno.h>
#include <fcntl.h>
#include <linux/net_namespace.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "base/cleanup.h"
#include "datapath/interface.h"
#include "datapath/internal.h"
#include "datapath/links.h"
#include "datapath/netlink.h"

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

/* ---------------------------------------------------------------- namespaces */

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
	_cleanup_(links_clear) struct link_list list = {};
	int32_t nsid = NETNSA_NSID_NOT_ASSIGNED;
	int error;

	error = netlink_open(NETLINK_ROUTE, 0, &socket);
	if (!error)
		error = links_list(socket, inside->peer, &list);
	if (!error)
		error = links_namespace_id(socket, namespace_fd, &nsid);
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
	_cleanup_(links_clear) struct link_list list = {};
	_cleanup_fd_ int here = -1;
	const struct link *found;
	int32_t nsid = NETNSA_NSID_NOT_ASSIGNED;
	int error;

	here = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
	if (here < 0)
		return -errno;
	error = netlink_open_in(namespace_fd, NETLINK_ROUTE, &socket);
	/* In this order: the kernel gives a namespace its id when a link's peer in it is listed. */
	if (!error)
		error = links_list(socket, 0, &list);
	if (!error)
		error = links_namespace_id(socket, here, &nsid);
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

/* A pod can make links without end; others wait meanwhile. */
#define INSIDE_MILLISECONDS 200

static void note_stacked(const struct link *link, void *data)
{
	char *name = data;

	if (link->is_stacked && link->peer_nsid >= 0 && !*name)
		snprintf(name, IF_NAMESIZE, "%s", link->name);
}

int interface_stacked_inside(int32_t nsid, char *name)
{
	_cleanup_netlink_ struct mnl_socket *socket = NULL;
	char found[IF_NAMESIZE] = "";
	int error;

	error = netlink_open(NETLINK_ROUTE, 0, &socket);
	if (!error)
		error = links_visit_inside(socket, nsid, netlink_in(INSIDE_MILLISECONDS), note_stacked, found);
	/* A pod that changes its links all the time tears every answer; what one lacks, another one has. */
	if (error && error != -EINTR)
		return fail_errno(error, "cannot list the links of network namespace %d", nsid);
	memcpy(name, found, sizeof(found));
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
