/* SPDX-License-Identifier: Apache-2.0 */
/* Pods' TCP sockets, asked from the kernel in each pod's network namespace (sock_diag). */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/inet_diag.h>
#include <linux/net_namespace.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "datapath/connections.h"
#include "datapath/links.h"

#define PROC         "/proc"
#define REQUEST_SIZE (MNL_NLMSG_HDRLEN + 128)
/* For the sockets of one pod, which may have made very many, so that the others wait for no longer than that. */
#define ANSWER_MILLISECONDS 1000

/* linux/tcp.h of libc and kernel cannot be included together. */
enum tcp_state {
	STATE_ESTABLISHED = 1,
	STATE_SYN_RECEIVED = 3,
	STATE_FIN_WAIT1 = 4,
	STATE_FIN_WAIT2 = 5,
	STATE_CLOSE_WAIT = 8,
	STATE_LAST_ACK = 9,
	STATE_LISTEN = 10,
	STATE_CLOSING = 11,
	STATE_NEW_SYN_RECEIVED = 12,
};

/* ---------------------------------------------------------------- sockets */

struct reading {
	const struct egress_endpoint *pod;
	struct tcp_sockets *sockets;
	int64_t deadline;
	int error;
};

static void listen_at(struct tcp_sockets *sockets, uint16_t port)
{
	sockets->listening[ntohs(port) / 8] |= (uint8_t)(1u << ntohs(port) % 8);
}

bool tcp_sockets_listen(const struct tcp_sockets *sockets, uint16_t port)
{
	return sockets->listening[ntohs(port) / 8] & 1u << ntohs(port) % 8;
}

static bool is_mapped(const uint32_t address[4])
{
	return !address[0] && !address[1] && address[2] == htonl(0xffff);
}

/* A socket of IPv6 that speaks IPv4 has its addresses mapped. */
static void read_addresses(const struct inet_diag_msg *message, struct flow_tuple *tuple)
{
	const uint32_t *local = message->id.idiag_src, *remote = message->id.idiag_dst;

	if (message->idiag_family == AF_INET6 && !(is_mapped(local) && is_mapped(remote))) {
		tuple->family = 6;
		memcpy(tuple->local, local, sizeof(tuple->local));
		memcpy(tuple->remote, remote, sizeof(tuple->remote));
		return;
	}
	tuple->family = 4;
	tuple->local[0] = message->idiag_family == AF_INET ? local[0] : local[3];
	tuple->remote[0] = message->idiag_family == AF_INET ? remote[0] : remote[3];
}

static int visit_socket(const struct nlmsghdr *header, void *data)
{
	const struct inet_diag_msg *message = mnl_nlmsg_get_payload(header);
	struct connection connection = {.tuple.protocol = IPPROTO_TCP, .state = EGRESS_FLOW_ESTABLISHED};
	struct reading *reading = data;

	if (mnl_nlmsg_get_payload_len(header) < sizeof(*message))
		return MNL_CB_OK;
	if (message->idiag_state == STATE_LISTEN) {
		listen_at(reading->sockets, message->id.idiag_sport);
		return MNL_CB_OK;
	}
	if (message->idiag_state == STATE_SYN_RECEIVED || message->idiag_state == STATE_NEW_SYN_RECEIVED)
		connection.state = EGRESS_FLOW_ANSWERED;
	read_addresses(message, &connection.tuple);
	connection.tuple.local_port = message->id.idiag_sport;
	connection.tuple.remote_port = message->id.idiag_dport;
	if (!connections_is_own(reading->pod, connection.tuple.family, connection.tuple.local))
		return MNL_CB_OK;
	reading->error = connections_add(&reading->sockets->connected, &connection);
	return reading->error ? MNL_CB_ERROR : MNL_CB_OK;
}

static int read_family(struct mnl_socket *socket, uint8_t family, struct reading *reading)
{
	const uint32_t states = 1u << STATE_ESTABLISHED | 1u << STATE_SYN_RECEIVED | 1u << STATE_FIN_WAIT1 |
				1u << STATE_FIN_WAIT2 | 1u << STATE_CLOSE_WAIT | 1u << STATE_LAST_ACK |
				1u << STATE_LISTEN | 1u << STATE_CLOSING | 1u << STATE_NEW_SYN_RECEIVED;
	int error = -EINTR;

	for (int i = 0; error == -EINTR && i < NETLINK_ATTEMPTS; i++) {
		char buffer[REQUEST_SIZE] __attribute__((aligned(8)));
		struct nlmsghdr *request = mnl_nlmsg_put_header(buffer);
		struct inet_diag_req_v2 *wanted;

		request->nlmsg_type = SOCK_DIAG_BY_FAMILY;
		request->nlmsg_flags = NLM_F_DUMP;
		wanted = mnl_nlmsg_put_extra_header(request, sizeof(*wanted));
		wanted->sdiag_family = family;
		wanted->sdiag_protocol = IPPROTO_TCP;
		wanted->idiag_states = states;
		error = netlink_request_until(socket, request, reading->deadline, visit_socket, reading);
	}
	return reading->error ? reading->error : error;
}

void tcp_sockets_clear(struct tcp_sockets *sockets)
{
	connections_clear(&sockets->connected);
	memset(sockets->listening, 0, sizeof(sockets->listening));
}

static int read_sockets(const struct egress_endpoint *pod, int namespace_fd, struct tcp_sockets *out)
{
	struct reading reading = {.pod = pod, .sockets = out, .deadline = netlink_in(ANSWER_MILLISECONDS)};
	_cleanup_netlink_ struct mnl_socket *socket = NULL;
	int error = netlink_open_in(namespace_fd, NETLINK_SOCK_DIAG, &socket);

	if (!error)
		error = read_family(socket, AF_INET, &reading);
	if (!error)
		error = read_family(socket, AF_INET6, &reading);
	if (!error)
		connections_sort(&out->connected);
	return error;
}

/* ---------------------------------------------------------------- the namespaces */

struct search {
	struct socket_request *requests;
	size_t count, left; /* left: whose namespace is still looked for */
	socket_visitor visit;
	void *data;
	struct mnl_socket *socket; /* of this namespace */
	ino_t *seen;               /* sorted */
	size_t seen_count, seen_capacity;
	bool denied; /* there was a namespace that cannot be looked at */
};

static void search_clear(struct search *search)
{
	netlink_close(&search->socket);
	free(search->seen);
}

/* Most processes share a namespace with others. Without memory it is looked at again. */
static bool was_seen(struct search *search, ino_t inode)
{
	size_t low = 0, high = search->seen_count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (search->seen[middle] < inode)
			low = middle + 1;
		else
			high = middle;
	}
	if (low < search->seen_count && search->seen[low] == inode)
		return true;
	if (array_reserve(&search->seen, &search->seen_capacity, search->seen_count + 1, sizeof(*search->seen)))
		return false;
	memmove(search->seen + low + 1, search->seen + low, (search->seen_count - low) * sizeof(*search->seen));
	search->seen[low] = inode;
	search->seen_count++;
	return false;
}

static int read_and_visit(struct search *search, struct socket_request *request, int namespace_fd)
{
	_cleanup_(tcp_sockets_clear) struct tcp_sockets sockets = {0};
	int error = read_sockets(request->pod, namespace_fd, &sockets);

	return error ? error : search->visit(request, &sockets, search->data);
}

static void visit_namespace(struct search *search, int32_t nsid, int namespace_fd)
{
	for (size_t i = 0; i < search->count; i++) {
		struct socket_request *request = &search->requests[i];

		if (request->found || request->nsid != nsid)
			continue;
		request->found = true;
		request->error = read_and_visit(search, request, namespace_fd);
		search->left--;
	}
}

static bool is_denied(int error)
{
	return error == -EACCES || error == -EPERM;
}

/* -errno: why it cannot be told whose namespace it is. */
static int try_namespace(struct search *search, const char *path)
{
	int32_t nsid = NETNSA_NSID_NOT_ASSIGNED;
	_cleanup_fd_ int fd = -1;
	struct stat status;
	int error;

	if (stat(path, &status))
		return -errno;
	if (was_seen(search, status.st_ino))
		return 0;
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return -errno;
	error = links_namespace_id(search->socket, fd, &nsid);
	if (!error && nsid != NETNSA_NSID_NOT_ASSIGNED)
		visit_namespace(search, nsid, fd);
	return error;
}

/* What is told of namespaces may be wrong, or of a namespace that is gone. */
static void search_likely(struct search *search)
{
	for (size_t i = 0; i < search->count; i++)
		if (search->requests[i].netns && !search->requests[i].found)
			try_namespace(search, search->requests[i].netns);
}

static int search_processes(struct search *search)
{
	_cleanup_directory_ DIR *directory = opendir(PROC);
	struct dirent *entry;

	if (!directory)
		return -errno;
	while (search->left && (entry = readdir(directory))) {
		char path[64];

		if (!isdigit((unsigned char)entry->d_name[0]))
			continue;
		snprintf(path, sizeof(path), PROC "/%.20s/ns/net", entry->d_name);
		search->denied |= is_denied(try_namespace(search, path));
	}
	return 0;
}

static const struct link *find_link(const struct link_list *list, uint32_t ifindex)
{
	for (size_t i = 0; i < list->count; i++)
		if (list->items[i].ifindex == ifindex)
			return &list->items[i];
	return NULL;
}

/* Which namespaces are looked for; one request needs no list of all links. */
static int find_peers(struct search *search)
{
	_cleanup_(links_clear) struct link_list list = {0};
	int error = links_list(search->socket, search->count == 1 ? search->requests[0].pod->ifindex : 0, &list);

	if (error)
		return error;
	for (size_t i = 0; i < search->count; i++) {
		struct socket_request *request = &search->requests[i];
		const struct link *link = find_link(&list, request->pod->ifindex);

		request->nsid = link ? link->peer_nsid : -1;
		search->left += request->nsid >= 0;
	}
	return 0;
}

void tcp_sockets_read(struct socket_request *requests, size_t count, socket_visitor visit, void *data)
{
	_cleanup_(search_clear) struct search search = {
		.requests = requests, .count = count, .visit = visit, .data = data};
	int error = netlink_open(NETLINK_ROUTE, 0, &search.socket);

	for (size_t i = 0; i < count; i++)
		requests[i].found = false;
	if (!error)
		error = find_peers(&search);
	if (!error)
		search_likely(&search);
	if (!error)
		error = search_processes(&search);
	for (size_t i = 0; i < count; i++)
		if (!requests[i].found)
			requests[i].error = error ? error : search.denied ? -EPERM : -ENOENT;
}
