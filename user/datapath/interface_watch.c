/* SPDX-License-Identifier: Apache-2.0 */
/* Notices of the kernel about links and addresses, reduced to those that change something. */
#include <errno.h>
#include <linux/net_namespace.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/cleanup.h"
#include "base/hash.h"
#include "datapath/interface.h"
#include "datapath/internal.h"
#include "datapath/netlink.h"

/* Room for the notices of some thousand links that come at once. */
#define RECEIVE_BUFFER (4 << 20)

#define WATCHED_GROUPS                                                                                                 \
	(RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR | RTMGRP_TC | 1u << (RTNLGRP_NSID - 1))

/* A link that was reported, so that a change of its flags is not taken for its appearance. */
struct known_link {
	uint32_t ifindex;
	int32_t nsid; /* IFLA_LINK_NETNSID; -1: none */
	char name[IF_NAMESIZE];
	UT_hash_handle hh;
};

struct interface_watch {
	struct mnl_socket *socket;
	struct known_link *known;
	bool listed; /* whole, when the list was last read */
	char *buffer;
	/* Of the dispatch that is running. */
	interface_visitor visit;
	void *data;
};

static void forget_links(struct interface_watch *watch)
{
	struct known_link *link, *next;

	HASH_ITER(hh, watch->known, link, next) {
		HASH_DEL(watch->known, link);
		free(link);
	}
}

void interface_watch_free(struct interface_watch *watch)
{
	if (!watch)
		return;
	forget_links(watch);
	netlink_close(&watch->socket);
	free(watch->buffer);
	free(watch);
}

static void free_watch(struct interface_watch **watch)
{
	interface_watch_free(*watch);
}

static const char *link_name(const struct nlmsghdr *message)
{
	const struct nlattr *attribute;

	mnl_attr_for_each(attribute, message, sizeof(struct ifinfomsg)) {
		if (mnl_attr_get_type(attribute) == IFLA_IFNAME && !mnl_attr_validate(attribute, MNL_TYPE_NUL_STRING))
			return mnl_attr_get_str(attribute);
	}
	return "";
}

static int32_t link_namespace(const struct nlmsghdr *message)
{
	const struct nlattr *attribute;

	mnl_attr_for_each(attribute, message, sizeof(struct ifinfomsg)) {
		if (mnl_attr_get_type(attribute) == IFLA_LINK_NETNSID && !mnl_attr_validate(attribute, MNL_TYPE_U32))
			return (int32_t)mnl_attr_get_u32(attribute);
	}
	return -1;
}

static struct known_link *find_link(const struct interface_watch *watch, uint32_t ifindex)
{
	struct known_link *link;

	HASH_FIND(hh, watch->known, &ifindex, sizeof(ifindex), link);
	return link;
}

enum news {
	NEWS_NONE,
	NEWS_LINK, /* it is new or has a new name */
	NEWS_PEER, /* it leads into another namespace */
};

/* enum news or -ENOMEM. */
static int learn_link(struct interface_watch *watch, uint32_t ifindex, const char *name, int32_t nsid)
{
	struct known_link *link = find_link(watch, ifindex);

	if (link && !strcmp(link->name, name)) {
		bool moved = link->nsid != nsid;

		link->nsid = nsid;
		return moved ? NEWS_PEER : NEWS_NONE;
	}
	if (!link) {
		link = calloc(1, sizeof(*link));
		if (!link)
			return -ENOMEM;
		link->ifindex = ifindex;
		HASH_ADD(hh, watch->known, ifindex, sizeof(link->ifindex), link);
		if (!link->hh.tbl) {
			free(link);
			return -ENOMEM;
		}
	}
	link->nsid = nsid;
	snprintf(link->name, sizeof(link->name), "%s", name);
	return NEWS_LINK;
}

/* libmnl hands on errno. */
static int callback_status(int status)
{
	if (status >= 0)
		return MNL_CB_OK;
	errno = -status;
	return MNL_CB_ERROR;
}

static int visit_listed(const struct nlmsghdr *message, void *data)
{
	const struct ifinfomsg *header = mnl_nlmsg_get_payload(message);

	return callback_status(
		learn_link(data, (uint32_t)header->ifi_index, link_name(message), link_namespace(message)));
}

/* Through a socket of its own: notices keep queueing on the watch's. */
static int list_known(struct interface_watch *watch)
{
	int error;

	do {
		char buffer[MNL_NLMSG_HDRLEN + 64] __attribute__((aligned(8)));
		struct nlmsghdr *request = mnl_nlmsg_put_header(buffer);
		struct ifinfomsg *header;

		request->nlmsg_type = RTM_GETLINK;
		request->nlmsg_flags = NLM_F_DUMP;
		header = mnl_nlmsg_put_extra_header(request, sizeof(*header));
		header->ifi_family = AF_UNSPEC;
		forget_links(watch);
		error = netlink_request_once(request, visit_listed, watch);
	} while (error == -EINTR);
	watch->listed = !error;
	return error ? fail_errno(error, "cannot list the interfaces") : 0;
}

int interface_watch_new(struct interface_watch **out)
{
	_cleanup_(free_watch) struct interface_watch *watch = calloc(1, sizeof(*watch));
	int error, size = RECEIVE_BUFFER;

	if (!watch || !(watch->buffer = malloc(NETLINK_BUFFER_SIZE)))
		return fail_errno(-ENOMEM, "no memory");
	error = netlink_open(NETLINK_ROUTE, WATCHED_GROUPS, &watch->socket);
	if (error)
		return fail_errno(error, "cannot watch the interfaces");
	/* Smaller where that is not allowed: then notices are lost earlier, and told. */
	setsockopt(interface_watch_fd(watch), SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
	/* Listed after the watch is on: what comes between the two is in the queue. */
	error = list_known(watch);
	if (error)
		return error;
	*out = take(watch);
	return 0;
}

int interface_watch_fd(const struct interface_watch *watch)
{
	return mnl_socket_get_fd(watch->socket);
}

void interface_watch_each(const struct interface_watch *watch,
			  void (*visit)(uint32_t ifindex, const char *name, void *data), void *data)
{
	const struct known_link *link, *next;

	for (link = watch->known; link; link = next) {
		next = link->hh.next;
		visit(link->ifindex, link->name, data);
	}
}

int32_t interface_watch_namespace(const struct interface_watch *watch, uint32_t ifindex)
{
	const struct known_link *link = find_link(watch, ifindex);

	return link ? link->nsid : -1;
}

static int visit_new_link(struct interface_watch *watch, const struct nlmsghdr *message)
{
	const struct ifinfomsg *header = mnl_nlmsg_get_payload(message);
	const char *name = link_name(message);
	int status = learn_link(watch, (uint32_t)header->ifi_index, name, link_namespace(message));

	if (status > 0)
		watch->visit(status == NEWS_LINK ? INTERFACE_APPEARED : INTERFACE_PEER_MOVED,
			     (uint32_t)header->ifi_index, name, watch->data);
	return callback_status(status);
}

static int visit_deleted_link(struct interface_watch *watch, const struct nlmsghdr *message)
{
	const struct ifinfomsg *header = mnl_nlmsg_get_payload(message);
	struct known_link *link = find_link(watch, (uint32_t)header->ifi_index);

	if (link) {
		HASH_DEL(watch->known, link);
		watch->visit(INTERFACE_VANISHED, link->ifindex, link->name, watch->data);
		free(link);
	}
	return MNL_CB_OK;
}

static int visit_address(struct interface_watch *watch, const struct nlmsghdr *message)
{
	const struct ifaddrmsg *header = mnl_nlmsg_get_payload(message);
	const struct known_link *link = find_link(watch, header->ifa_index);

	watch->visit(INTERFACE_ADDRESS_CHANGED, header->ifa_index, link ? link->name : "", watch->data);
	return MNL_CB_OK;
}

static int visit_filters(struct interface_watch *watch, const struct nlmsghdr *message)
{
	const struct tcmsg *header = mnl_nlmsg_get_payload(message);
	const struct known_link *link = find_link(watch, (uint32_t)header->tcm_ifindex);

	watch->visit(INTERFACE_FILTERS_CHANGED, (uint32_t)header->tcm_ifindex, link ? link->name : "", watch->data);
	return MNL_CB_OK;
}

/* Links that lead into it are about to go: their notices come behind this one. */
static int visit_deleted_namespace(struct interface_watch *watch, const struct nlmsghdr *message)
{
	const struct nlattr *attribute;
	struct known_link *link, *next;
	int32_t nsid = -1;

	mnl_attr_for_each(attribute, message, sizeof(struct rtgenmsg)) {
		if (mnl_attr_get_type(attribute) == NETNSA_NSID && !mnl_attr_validate(attribute, MNL_TYPE_U32))
			nsid = (int32_t)mnl_attr_get_u32(attribute);
	}
	if (nsid < 0)
		return MNL_CB_OK;
	HASH_ITER(hh, watch->known, link, next) {
		if (link->nsid == nsid)
			link->nsid = -1;
	}
	watch->visit(INTERFACE_NAMESPACE_GONE, (uint32_t)nsid, "", watch->data);
	return MNL_CB_OK;
}

/* A bridge tells of its ports in messages that look like those of links coming and going, but for their family. */
static bool is_of_link(const struct nlmsghdr *message)
{
	const struct ifinfomsg *header = mnl_nlmsg_get_payload(message);

	return header->ifi_family == AF_UNSPEC;
}

static int visit_notice(const struct nlmsghdr *message, void *data)
{
	switch (message->nlmsg_type) {
	case RTM_NEWLINK:
		return is_of_link(message) ? visit_new_link(data, message) : MNL_CB_OK;
	case RTM_DELLINK:
		return is_of_link(message) ? visit_deleted_link(data, message) : MNL_CB_OK;
	case RTM_NEWADDR:
	case RTM_DELADDR:
		return visit_address(data, message);
	case RTM_DELNSID:
		return visit_deleted_namespace(data, message);
	case RTM_DELQDISC:
	case RTM_NEWTFILTER:
	case RTM_DELTFILTER:
		return visit_filters(data, message);
	default:
		return MNL_CB_OK;
	}
}

/* All that is there, without waiting for more. */
static int read_notices(struct interface_watch *watch)
{
	for (;;) {
		ssize_t length =
			recv(interface_watch_fd(watch), watch->buffer, NETLINK_BUFFER_SIZE, MSG_DONTWAIT | MSG_TRUNC);

		if (length < 0 && errno == EINTR)
			continue;
		if (length < 0)
			return errno == EAGAIN ? 0 : -errno;
		/* A notice that does not fit is a lost one. */
		if (length > NETLINK_BUFFER_SIZE)
			return -ENOBUFS;
		if (mnl_cb_run(watch->buffer, (size_t)length, 0, 0, visit_notice, watch) < 0)
			return -errno;
	}
}

int interface_watch_dispatch(struct interface_watch *watch, interface_visitor visit, void *data)
{
	int error, relisted;

	watch->visit = visit;
	watch->data = data;
	error = read_notices(watch);
	if (!error && watch->listed)
		return 0;
	/* Without memory for one notice, those behind it are lost. */
	if (error && error != -ENOBUFS && error != -ENOMEM)
		return fail_errno(error, "cannot read notices about interfaces");
	relisted = list_known(watch);
	return relisted ? relisted : fail(-ENOBUFS, "notices about interfaces were lost");
}
