/* SPDX-License-Identifier: Apache-2.0 */
/* The agent's side of node/cni_protocol.h. */
#define _GNU_SOURCE /* struct ucred */
#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/listener.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "agent/agent.h"
#include "base/cleanup.h"
#include "node/cni_protocol.h"
#include "report/state.h"

/* More than a node makes at a time; beyond that egress-cni finds nobody and tries again. */
#define CLIENTS_MAX 256
/* To send the request, and to take the answer. */
#define TRANSFER_SECONDS 5

struct client {
	struct agent *agent;
	struct bufferevent *stream;
	struct event *timer; /* while it waits; else NULL */
	char *container, *ifname;
	bool answered;
	struct client *next, **place;
};

struct cni_server {
	struct evconnlistener *listener;
	struct client *clients;
	size_t client_count;
};

/* ------------------------------------------------------------------ clients */

static void client_free(struct client *client)
{
	*client->place = client->next;
	if (client->next)
		client->next->place = client->place;
	client->agent->cni->client_count--;
	if (client->timer)
		event_free(client->timer);
	bufferevent_free(client->stream);
	free(client->container);
	free(client->ifname);
	free(client);
}

static void on_sent(struct bufferevent *stream, void *data)
{
	(void)stream;
	client_free(data);
}

static void on_end(struct bufferevent *stream, short what, void *data)
{
	(void)stream;
	(void)what;
	client_free(data);
}

/* Takes the reference. The connection ends when the answer is sent. */
static void answer(struct client *client, json_t *json)
{
	char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;

	json_decref(json);
	client->answered = true;
	bufferevent_disable(client->stream, EV_READ);
	bufferevent_setcb(client->stream, NULL, on_sent, on_end, client);
	if (!text || evbuffer_add_printf(bufferevent_get_output(client->stream), "%s\n", text) < 0)
		shutdown(bufferevent_getfd(client->stream), SHUT_RDWR);
	free(text);
}

static void refuse(struct client *client, const char *why)
{
	log_debug("egress-cni: refused: %s", why);
	answer(client, json_pack("{s:s}", "error", why));
}

/* ------------------------------------------------------------------ answers */

static const struct endpoint *find_endpoint(const struct client *client)
{
	const struct endpoint *endpoint;

	for (endpoint = client->agent->endpoints.current; endpoint; endpoint = endpoint->hh.next)
		if (endpoint->attachment && !strcmp(endpoint->attachment->container, client->container) &&
		    !strcmp(endpoint->attachment->ifname, client->ifname))
			return endpoint;
	return NULL;
}

/* Answers if the policy is in force, or `now` in any case. */
static void try_to_answer(struct client *client, bool now)
{
	const struct endpoint *endpoint = find_endpoint(client);
	const char *why = endpoint ? agent_endpoint_lacks(client->agent, endpoint) : "the attachment is not known";
	bool attached = endpoint && endpoint->attached;

	if (attached && !why && client->agent->build_failure)
		why = client->agent->build_failure;
	if (!why || now)
		answer(client,
		       json_pack("{s:b, s:b, s:o}", "attached", attached, "in_force", !why, "reason", state_text(why)));
}

void cni_server_answer(struct agent *agent)
{
	struct client *client, *next;

	for (client = agent->cni ? agent->cni->clients : NULL; client; client = next) {
		next = client->next;
		if (client->timer && !client->answered)
			try_to_answer(client, false);
	}
}

static void on_time_over(evutil_socket_t fd, short what, void *data)
{
	struct client *client = data;

	(void)fd;
	(void)what;
	if (!client->answered)
		try_to_answer(client, true);
}

/* ------------------------------------------------------------------ requests */

static void start_wait(struct client *client, const json_t *request)
{
	const char *container = json_string_value(json_object_get(request, "container"));
	const char *ifname = json_string_value(json_object_get(request, "ifname"));
	const json_t *time = json_object_get(request, "milliseconds");
	json_int_t milliseconds = json_integer_value(time);
	struct timeval pause;

	if (!container || !cni_is_container_id(container) || !ifname || !cni_is_ifname(ifname) ||
	    !json_is_integer(time) || milliseconds < 0 || milliseconds > CNI_WAIT_MAX_MS) {
		refuse(client, "wait needs container, ifname and milliseconds");
		return;
	}
	client->container = strdup(container);
	client->ifname = strdup(ifname);
	client->timer = evtimer_new(client->agent->loop, on_time_over, client);
	pause = (struct timeval){.tv_sec = milliseconds / 1000, .tv_usec = milliseconds % 1000 * 1000};
	if (!client->container || !client->ifname || !client->timer || event_add(client->timer, &pause)) {
		refuse(client, "no memory");
		return;
	}
	/* The notice of the file that was just written may not have been read yet. */
	if (!find_endpoint(client)) {
		agent_read_attachments(client->agent);
		agent_reconcile(client->agent);
	}
	if (!client->answered)
		try_to_answer(client, !milliseconds);
}

static void tell_status(struct client *client)
{
	_cleanup_free_ char *text = NULL;
	size_t length = 0;
	FILE *reasons = open_memstream(&text, &length);
	bool ready;

	if (!reasons) {
		refuse(client, "no memory");
		return;
	}
	ready = agent_is_ready(client->agent, reasons);
	if (fclose(reasons)) {
		refuse(client, "no memory");
		return;
	}
	if (length)
		text[length - 1] = '\0';
	answer(client, json_pack("{s:b, s:o}", "ready", ready, "reason", state_text(ready ? NULL : text)));
}

static void handle(struct client *client, const json_t *request)
{
	const char *command = json_string_value(json_object_get(request, "command"));

	if (json_integer_value(json_object_get(request, "version")) != CNI_PROTOCOL_VERSION)
		refuse(client, "expected version 1 of the protocol");
	else if (command && !strcmp(command, "wait"))
		start_wait(client, request);
	else if (command && !strcmp(command, "status"))
		tell_status(client);
	else
		refuse(client, "expected the command wait or status");
}

static void on_request(struct bufferevent *stream, void *data)
{
	struct evbuffer *input = bufferevent_get_input(stream);
	struct client *client = data;
	_cleanup_free_ char *line = NULL;
	size_t length;
	json_t *request;

	line = evbuffer_readln(input, &length, EVBUFFER_EOL_LF);
	if (!line) {
		if (evbuffer_get_length(input) > CNI_LINE_MAX)
			refuse(client, "the request is too long");
		return;
	}
	bufferevent_disable(stream, EV_READ);
	request = length <= CNI_LINE_MAX ? json_loadb(line, length, JSON_REJECT_DUPLICATES, NULL) : NULL;
	if (json_is_object(request))
		handle(client, request);
	else
		refuse(client, "expected a JSON object on one line");
	json_decref(request);
}

static bool is_root(int fd)
{
	struct ucred peer;
	socklen_t length = sizeof(peer);

	return !getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) && length == sizeof(peer) && peer.uid == 0;
}

static int add_client(struct agent *agent, evutil_socket_t fd)
{
	const struct timeval transfer = {.tv_sec = TRANSFER_SECONDS};
	struct client *client = calloc(1, sizeof(*client));

	if (!client)
		return -ENOMEM;
	client->agent = agent;
	client->stream = bufferevent_socket_new(agent->loop, fd, BEV_OPT_CLOSE_ON_FREE);
	if (!client->stream) {
		free(client);
		return -ENOMEM;
	}
	client->place = &agent->cni->clients;
	client->next = agent->cni->clients;
	if (client->next)
		client->next->place = &client->next;
	agent->cni->clients = client;
	agent->cni->client_count++;
	bufferevent_setcb(client->stream, on_request, NULL, on_end, client);
	/* A time-out for reading only counts while it is enabled: not while the client waits for its answer. */
	bufferevent_set_timeouts(client->stream, &transfer, &transfer);
	bufferevent_setwatermark(client->stream, EV_READ, 0, CNI_LINE_MAX + 1);
	bufferevent_enable(client->stream, EV_READ | EV_WRITE);
	return 0;
}

static void on_accept(struct evconnlistener *listener, evutil_socket_t fd, struct sockaddr *address, int length,
		      void *data)
{
	struct agent *agent = data;

	(void)listener;
	(void)address;
	(void)length;
	if (!is_root(fd)) {
		log_warning("the socket of egress-cni: someone who is not root was turned away");
		close(fd);
	} else if (agent->cni->client_count == CLIENTS_MAX || add_client(agent, fd)) {
		close(fd);
	}
}

/* ------------------------------------------------------------------ socket */

static int bind_socket(const char *state, int *out)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	_cleanup_fd_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int length = snprintf(address.sun_path, sizeof(address.sun_path), "%s/%s", state, CNI_SOCKET);
	mode_t mask;
	int error;

	if (fd < 0)
		return -errno;
	if (length < 0 || (size_t)length >= sizeof(address.sun_path))
		return -ENAMETOOLONG;
	/* A predecessor's; this agent has the lock of the directory. */
	if (unlink(address.sun_path) && errno != ENOENT)
		return -errno;
	mask = umask(0177);
	error = bind(fd, (const struct sockaddr *)&address, sizeof(address)) ? -errno : 0;
	umask(mask);
	if (!error && listen(fd, SOMAXCONN))
		error = -errno;
	if (!error)
		*out = take_fd(&fd);
	return error;
}

static int start(struct agent *agent)
{
	int fd = -1, error = bind_socket(agent->options->state, &fd);

	if (error)
		return error;
	agent->cni = calloc(1, sizeof(*agent->cni));
	if (agent->cni)
		agent->cni->listener = evconnlistener_new(agent->loop, on_accept, agent, LEV_OPT_CLOSE_ON_FREE, 0, fd);
	if (agent->cni && agent->cni->listener) {
		evconnlistener_set_error_cb(agent->cni->listener, agent_accept_failed);
		return 0;
	}
	free(take(agent->cni));
	close(fd);
	return -ENOMEM;
}

int cni_server_start(struct agent *agent)
{
	int error = start(agent);

	if (error)
		agent_set_failure(&agent->socket_failure, "%s/%s: cannot listen here: %s", agent->options->state,
				  CNI_SOCKET, strerror(-error));
	else
		agent_set_failure(&agent->socket_failure, NULL);
	return error;
}

void cni_server_check(struct agent *agent)
{
	bool told = agent->socket_failure;

	if (agent->cni)
		evconnlistener_enable(agent->cni->listener);
	else if (told != (cni_server_start(agent) != 0))
		agent_report_state(agent);
}

void cni_server_stop(struct agent *agent)
{
	char path[sizeof(((struct sockaddr_un *)NULL)->sun_path)];

	if (!agent->cni)
		return;
	snprintf(path, sizeof(path), "%s/%s", agent->options->state, CNI_SOCKET);
	unlink(path);
	while (agent->cni->clients)
		client_free(agent->cni->clients);
	evconnlistener_free(agent->cni->listener);
	free(take(agent->cni));
}
