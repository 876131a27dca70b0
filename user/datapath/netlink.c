/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE /* setns */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <sys/socket.h>

#include "base/cleanup.h"
#include "datapath/netlink.h"

int netlink_open(int bus, unsigned int groups, struct mnl_socket **out)
{
	struct mnl_socket *socket = mnl_socket_open2(bus, SOCK_CLOEXEC);
	int error;

	if (!socket)
		return -errno;
	if (mnl_socket_bind(socket, groups, MNL_SOCKET_AUTOPID)) {
		error = -errno;
		mnl_socket_close(socket);
		return error;
	}
	*out = socket;
	return 0;
}

struct visit_to_namespace {
	int namespace_fd, bus;
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
		visit->error = netlink_open(visit->bus, 0, &visit->socket);
	return NULL;
}

int netlink_open_in(int namespace_fd, int bus, struct mnl_socket **out)
{
	struct visit_to_namespace visit = {.namespace_fd = namespace_fd, .bus = bus};
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

void netlink_close(struct mnl_socket **socket)
{
	int saved = errno;

	if (*socket)
		mnl_socket_close(*socket);
	*socket = NULL;
	errno = saved;
}

int netlink_request(struct mnl_socket *socket, struct nlmsghdr *request, mnl_cb_t visit, void *data)
{
	static unsigned int sequence;
	_cleanup_free_ char *buffer = malloc(NETLINK_BUFFER_SIZE);
	unsigned int port = mnl_socket_get_portid(socket);
	int status = MNL_CB_OK;

	if (!buffer)
		return -ENOMEM;
	request->nlmsg_flags |= NLM_F_REQUEST | NLM_F_ACK;
	request->nlmsg_seq = ++sequence;
	if (mnl_socket_sendto(socket, request, request->nlmsg_len) < 0)
		return -errno;
	while (status > MNL_CB_STOP) {
		ssize_t length = mnl_socket_recvfrom(socket, buffer, NETLINK_BUFFER_SIZE);

		if (length < 0 && errno == EINTR)
			continue;
		if (length < 0)
			return -errno;
		status = mnl_cb_run(buffer, (size_t)length, request->nlmsg_seq, port, visit, data);
	}
	return status < 0 ? -errno : 0;
}

int netlink_request_once(struct nlmsghdr *request, mnl_cb_t visit, void *data)
{
	_cleanup_netlink_ struct mnl_socket *socket = NULL;
	int error = netlink_open(NETLINK_ROUTE, 0, &socket);

	return error ? error : netlink_request(socket, request, visit, data);
}
