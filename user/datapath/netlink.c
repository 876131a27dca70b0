/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE /* setns */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <time.h>

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

static int64_t monotonic_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* The next datagram that the kernel sent, until `deadline` (monotonic, ms): its length, or negative errno. */
static ssize_t receive(struct mnl_socket *socket, char *buffer, int64_t deadline)
{
	for (;;) {
		int64_t left = deadline - monotonic_ms();
		struct timeval limit = {.tv_sec = left / 1000, .tv_usec = left % 1000 * 1000};
		struct sockaddr_nl from = {0};
		socklen_t size = sizeof(from);
		ssize_t length;

		if (left <= 0)
			return -ETIMEDOUT;
		if (setsockopt(mnl_socket_get_fd(socket), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)))
			return -errno;
		length = recvfrom(mnl_socket_get_fd(socket), buffer, NETLINK_BUFFER_SIZE, MSG_TRUNC,
				  (struct sockaddr *)&from, &size);
		if (length < 0 && errno != EINTR && errno != EAGAIN)
			return -errno;
		if (length < 0 || from.nl_pid)
			continue;
		return length > NETLINK_BUFFER_SIZE ? -ENOSPC : length;
	}
}

/*
 * Whether a message says that the answer is torn. libmnl would stop there and leave the rest of the answer in the socket,
 * in the way of the next one; so it does not get to see that.
 */
static bool take_torn(char *buffer, size_t length)
{
	struct nlmsghdr *message = (void *)buffer;
	int left = (int)length;
	bool torn = false;

	for (; mnl_nlmsg_ok(message, left); message = mnl_nlmsg_next(message, &left)) {
		torn |= message->nlmsg_flags & NLM_F_DUMP_INTR;
		message->nlmsg_flags &= (uint16_t)~NLM_F_DUMP_INTR;
	}
	return torn;
}

int64_t netlink_in(int milliseconds)
{
	return monotonic_ms() + milliseconds;
}

static int ask(struct mnl_socket *socket, struct nlmsghdr *request)
{
	static atomic_uint sequence;

	request->nlmsg_flags |= NLM_F_REQUEST | NLM_F_ACK;
	request->nlmsg_seq = atomic_fetch_add(&sequence, 1) + 1;
	return mnl_socket_sendto(socket, request, request->nlmsg_len) < 0 ? -errno : 0;
}

/* `deadline`: of the whole answer; 0: each part of it has NETLINK_ANSWER_SECONDS. */
static int read_answer(struct mnl_socket *socket, uint32_t sequence, int64_t deadline, mnl_cb_t visit, void *data)
{
	_cleanup_free_ char *buffer = malloc(NETLINK_BUFFER_SIZE);
	unsigned int port = mnl_socket_get_portid(socket);
	int status = MNL_CB_OK;
	bool torn = false;

	if (!buffer)
		return -ENOMEM;
	while (status > MNL_CB_STOP) {
		int64_t limit = deadline ? deadline : netlink_in(NETLINK_ANSWER_SECONDS * 1000);
		ssize_t length = receive(socket, buffer, limit);

		if (length < 0)
			return (int)length;
		torn |= take_torn(buffer, (size_t)length);
		status = mnl_cb_run(buffer, (size_t)length, sequence, port, visit, data);
	}
	if (status < 0)
		return -errno;
	return torn ? -EINTR : 0;
}

int netlink_request_until(struct mnl_socket *socket, struct nlmsghdr *request, int64_t deadline, mnl_cb_t visit,
			  void *data)
{
	int error = ask(socket, request);

	return error < 0 ? error : read_answer(socket, request->nlmsg_seq, deadline, visit, data);
}

int netlink_request(struct mnl_socket *socket, struct nlmsghdr *request, mnl_cb_t visit, void *data)
{
	int error = ask(socket, request);

	/*
	 * The kernel makes the answer's first part while it is asked, and each further one before it gives us the one
	 * before. It may wait for others then (rtnl_lock), seconds of them where hundreds of interfaces go at once: that is
	 * no silence of the kernel.
	 */
	return error < 0 ? error : read_answer(socket, request->nlmsg_seq, 0, visit, data);
}

int netlink_request_once(struct nlmsghdr *request, mnl_cb_t visit, void *data)
{
	_cleanup_netlink_ struct mnl_socket *socket = NULL;
	int error = netlink_open(NETLINK_ROUTE, 0, &socket);

	return error ? error : netlink_request(socket, request, visit, data);
}
