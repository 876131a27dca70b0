/* SPDX-License-Identifier: Apache-2.0 */
/* A pod's TCP sockets, asked from the kernel in the pod's network namespace (sock_diag). */
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

/* ---------------------------------------------------------------- the namespace */

/* What a search for the namespace has to know. */
struct namespace_search {
	struct mnl_socket *socket; /* of this namespace */
	int32_t wanted;            /* the id that this namespace has for the one that is looked for */
	ino_t *seen;
	size_t count, capacity;
};

static void search_clear(struct namespace_search *search)
{
	netlink_close(&search->socket);
	free(search->seen);
}

/* Most processes share a namespace with many others. */
static bool was_seen(struct namespace_search *search, ino_t inode)
{
	for (size_t i = 0; i < search->count; i++)
		if (search->seen[i] == inode)
			return true;
	if (!array_reserve(&search->seen, &search->capacity, search->count + 1, sizeof(*search->seen)))
		search->seen[search->count++] = inode;
	return false;
}

/* 0 and the descriptor, where the path leads to the namespace; -ENOENT where not; else why it cannot be told. */
static int try_namespace(struct namespace_search *search, const char *path, int *out)
{
	_cleanup_fd_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	int32_t found = NETNSA_NSID_NOT_ASSIGNED;
	struct stat status;
	int error;

	if (fd < 0)
		return -errno;
	if (fstat(fd, &status))
		return -errno;
	if (was_seen(search, status.st_ino))
		return -ENOENT;
	error = links_namespace_id(search->socket, fd, &found);
	if (error)
		return error;
	if (found != search->wanted)
		return -ENOENT;
	*out = fd;
	fd = -1;
	return 0;
}

static int search_processes(struct namespace_search *search, int *out)
{
	_cleanup_directory_ DIR *directory = opendir(PROC);
	struct dirent *entry;
	int denied = -ENOENT;

	if (!directory)
		return -errno;
	while ((entry = readdir(directory))) {
		char path[64];
		int error;

		if (!isdigit((unsigned char)entry->d_name[0]))
			continue;
		snprintf(path, sizeof(path), PROC "/%.20s/ns/net", entry->d_name);
		error = try_namespace(search, path, out);
		if (!error)
			return 0;
		if (error == -EACCES || error == -EPERM)
			denied = -EPERM;
	}
	return denied;
}

/* The namespace at the other end of the veth. */
static int find_namespace(uint32_t ifindex, const char *netns, int *out)
{
	_cleanup_(search_clear) struct namespace_search search = {0};
	_cleanup_(links_clear) struct link_list list = {0};
	int error = netlink_open(NETLINK_ROUTE, 0, &search.socket);

	if (!error)
		error = links_list(search.socket, ifindex, &list);
	if (error)
		return error;
	if (list.count != 1 || list.items[0].peer_nsid < 0)
		return -ENOENT;
	search.wanted = list.items[0].peer_nsid;
	if (netns && !try_namespace(&search, netns, out))
		return 0;
	return search_processes(&search, out);
}

/* ---------------------------------------------------------------- sockets */

struct reading {
	const struct egress_endpoint *pod;
	struct tcp_sockets *sockets;
	int error;
};

static bool is_mapped(const uint32_t address[4])
{
	return !address[0] && !address[1] && address[2] == htonl(0xffff);
}

/* A socket of IPv6 that speaks IPv4 has its addresses mapped. */
static void read_addresses(const struct inet_diag_msg *message, struct egress_flow_key *key)
{
	const uint32_t *local = message->id.idiag_src, *remote = message->id.idiag_dst;

	if (message->idiag_family == AF_INET6 && !(is_mapped(local) && is_mapped(remote))) {
		key->family = 6;
		memcpy(key->local, local, sizeof(key->local));
		memcpy(key->remote, remote, sizeof(key->remote));
		return;
	}
	key->family = 4;
	key->local[0] = message->idiag_family == AF_INET ? local[0] : local[3];
	key->remote[0] = message->idiag_family == AF_INET ? remote[0] : remote[3];
}

static int visit_socket(const struct nlmsghdr *header, void *data)
{
	const struct inet_diag_msg *message = mnl_nlmsg_get_payload(header);
	struct connection connection = {.key.protocol = IPPROTO_TCP, .state = EGRESS_FLOW_ESTABLISHED};
	struct reading *reading = data;

	if (mnl_nlmsg_get_payload_len(header) < sizeof(*message))
		return MNL_CB_OK;
	if (message->idiag_state == STATE_LISTEN) {
		reading->sockets->listening[ntohs(message->id.idiag_sport)] = true;
		return MNL_CB_OK;
	}
	if (message->idiag_state == STATE_SYN_RECEIVED || message->idiag_state == STATE_NEW_SYN_RECEIVED)
		connection.state = EGRESS_FLOW_ANSWERED;
	read_addresses(message, &connection.key);
	connection.key.local_port = message->id.idiag_sport;
	connection.key.remote_port = message->id.idiag_dport;
	if (!connections_is_own(reading->pod, connection.key.family, connection.key.local))
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
		error = netlink_request(socket, request, visit_socket, reading);
	}
	return reading->error ? reading->error : error;
}

int tcp_sockets_read(const struct egress_endpoint *pod, const char *netns, struct tcp_sockets *out)
{
	struct reading reading = {.pod = pod, .sockets = out};
	_cleanup_netlink_ struct mnl_socket *socket = NULL;
	_cleanup_fd_ int namespace_fd = -1;
	int error = find_namespace(pod->ifindex, netns, &namespace_fd);

	if (!error)
		error = netlink_open_in(namespace_fd, NETLINK_SOCK_DIAG, &socket);
	if (!error)
		error = read_family(socket, AF_INET, &reading);
	if (!error)
		error = read_family(socket, AF_INET6, &reading);
	if (error)
		tcp_sockets_clear(out);
	else
		connections_sort(&out->connected);
	return error;
}

void tcp_sockets_clear(struct tcp_sockets *sockets)
{
	connections_clear(&sockets->connected);
	memset(sockets->listening, 0, sizeof(sockets->listening));
}
