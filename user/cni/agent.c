/* SPDX-License-Identifier: Apache-2.0 */
/* Asking the agent (node/cni_protocol.h), never longer than until the deadline. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/text.h"
#include "cni/cni.h"
#include "node/cni_protocol.h"

#define CONNECT_PAUSE_NS 10000000L
/* The agent's answer has to come back before the deadline. */
#define ANSWER_MARGIN_MS 200

static long milliseconds_until(const struct timespec *deadline)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (deadline->tv_sec - now.tv_sec) * 1000 + (deadline->tv_nsec - now.tv_nsec) / 1000000;
}

/* An agent holds the lock of the pins from its first moment on, long before it listens. */
static bool agent_runs(const char *pin)
{
	_cleanup_fd_ int fd = open(pin, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	/* Shared: it does not get in the way of others who look. */
	return fd >= 0 && flock(fd, LOCK_SH | LOCK_NB) && errno == EWOULDBLOCK;
}

static int try_to_connect(const char *state, int *out)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	_cleanup_fd_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int length = snprintf(address.sun_path, sizeof(address.sun_path), "%s/%s", state, CNI_SOCKET);

	if (fd < 0)
		return -errno;
	if (length < 0 || (size_t)length >= sizeof(address.sun_path))
		return -ENAMETOOLONG;
	if (connect(fd, (const struct sockaddr *)&address, sizeof(address)))
		return -errno;
	*out = take_fd(&fd);
	return 0;
}

/* AGENT_IN_FORCE stands for "connected". */
static enum agent_state reach(const struct cni_request *request, const struct timespec *deadline, int *fd)
{
	const struct timespec pause = {.tv_nsec = CONNECT_PAUSE_NS};

	while (try_to_connect(request->state, fd)) {
		if (!agent_runs(request->pin))
			return AGENT_DOWN;
		if (milliseconds_until(deadline) <= 0)
			return AGENT_SILENT;
		nanosleep(&pause, NULL);
	}
	return AGENT_IN_FORCE;
}

static int send_line(int fd, const json_t *request)
{
	_cleanup_free_ char *text = json_dumps(request, JSON_COMPACT);
	_cleanup_free_ char *line = text ? text_format("%s\n", text) : NULL;
	size_t length;

	if (!line)
		return -ENOMEM;
	length = strlen(line);
	/* It fits the empty buffer of the socket. */
	return send(fd, line, length, MSG_NOSIGNAL) == (ssize_t)length ? 0 : -EIO;
}

/* 0 and a whole line; -EPIPE: the agent hung up; -ETIMEDOUT; -E2BIG. */
static int receive_line(int fd, const struct timespec *deadline, char line[CNI_LINE_MAX + 1])
{
	size_t length = 0;

	for (;;) {
		struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
		long left = milliseconds_until(deadline);
		ssize_t count;

		if (left <= 0 || poll(&poll_fd, 1, (int)left) == 0)
			return -ETIMEDOUT;
		count = recv(fd, line + length, CNI_LINE_MAX - length, 0);
		if (count < 0 && (errno == EAGAIN || errno == EINTR))
			continue;
		if (count <= 0)
			return -EPIPE;
		length += (size_t)count;
		line[length] = '\0';
		if (memchr(line, '\n', length))
			return 0;
		if (length == CNI_LINE_MAX)
			return -E2BIG;
	}
}

/*
 * One request and its answer, a new reference in *out. An agent that hangs up is one that is going: what comes after it
 * is waited for, like one that is starting.
 */
static enum agent_state exchange(const struct cni_request *request, json_t *(*make)(const struct cni_request *, long),
				 const struct timespec *deadline, json_t **out)
{
	for (;;) {
		_cleanup_fd_ int fd = -1;
		enum agent_state state = reach(request, deadline, &fd);
		char line[CNI_LINE_MAX + 1];
		json_t *question;
		int error;

		if (state != AGENT_IN_FORCE)
			return state;
		question = make(request, milliseconds_until(deadline) - ANSWER_MARGIN_MS);
		error = question ? send_line(fd, question) : -ENOMEM;
		json_decref(question);
		if (!error)
			error = receive_line(fd, deadline, line);
		if (!error) {
			*out = json_loads(line, JSON_REJECT_DUPLICATES, NULL);
			return json_is_object(*out) ? AGENT_IN_FORCE : AGENT_SILENT;
		}
		if (error == -ETIMEDOUT || error == -E2BIG)
			return AGENT_SILENT;
		if (milliseconds_until(deadline) <= 0)
			return AGENT_SILENT;
	}
}

static void set_reason(struct agent_answer *answer, const json_t *json)
{
	const char *text = json_string_value(json_object_get(json, "error"));

	if (!text)
		text = json_string_value(json_object_get(json, "reason"));
	snprintf(answer->reason, sizeof(answer->reason), "%s", text ? text : "the agent does not say why");
}

static json_t *make_wait(const struct cni_request *request, long milliseconds)
{
	return json_pack("{s:i, s:s, s:s, s:s, s:I}", "version", CNI_PROTOCOL_VERSION, "command", "wait", "container",
			 request->container, "ifname", request->ifname, "milliseconds",
			 (json_int_t)(milliseconds > 0 ? milliseconds : 0));
}

void agent_ask(const struct cni_request *request, const struct timespec *deadline, struct agent_answer *out)
{
	json_t *json = NULL;

	*out = (struct agent_answer){.state = exchange(request, make_wait, deadline, &json)};
	if (out->state == AGENT_IN_FORCE) {
		if (!json_is_true(json_object_get(json, "attached")))
			out->state = AGENT_REFUSED;
		else if (!json_is_true(json_object_get(json, "in_force")))
			out->state = AGENT_PENDING;
		set_reason(out, json);
	}
	json_decref(json);
}

static json_t *make_status(const struct cni_request *request, long milliseconds)
{
	(void)request;
	(void)milliseconds;
	return json_pack("{s:i, s:s}", "version", CNI_PROTOCOL_VERSION, "command", "status");
}

void agent_status(const struct cni_request *request, const struct timespec *deadline, struct agent_answer *out)
{
	json_t *json = NULL;

	*out = (struct agent_answer){.state = exchange(request, make_status, deadline, &json)};
	if (out->state == AGENT_IN_FORCE && !json_is_true(json_object_get(json, "ready"))) {
		out->state = AGENT_PENDING;
		set_reason(out, json);
	}
	json_decref(json);
}
