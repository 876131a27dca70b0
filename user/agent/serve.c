/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/http.h>
#include <event2/keyvalq_struct.h>
#include <event2/listener.h>
#include <event2/util.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/agent.h"
#include "base/cleanup.h"
#include "report/metrics.h"

/* A scrape is one short request; whoever needs more holds a connection for nothing. */
#define TIMEOUT_SECONDS 10
#define HEADERS_MAX 8192
#define BODY_MAX 1024
/*
 * At a time: a kubelet, some Prometheus servers, someone who looks. Every pod reaches this port on its own node, and
 * could otherwise hold as many connections as the agent has descriptors, which it needs for maps, links and sockets.
 */
#define CLIENTS_MAX 16

struct http_server {
	struct evhttp *http;
	struct evconnlistener *listener; /* http's */
	struct event *accepted;          /* active after each accept, until the clients were counted */
	struct bufferevent *newest;      /* of that connection, with a reference; else NULL */
	struct evhttp_connection *clients[CLIENTS_MAX + 1]; /* oldest first; http's */
	size_t client_count;
};

/* An answer is written to `out`; returns the status code. */
typedef int (*answer)(struct agent *agent, FILE *out);

struct page {
	const char *path;
	const char *content_type;
	answer write;
};

static int write_health(struct agent *agent, FILE *out)
{
	(void)agent;
	fputs("ok\n", out);
	return HTTP_OK;
}

static int write_readiness(struct agent *agent, FILE *out)
{
	if (!agent_is_ready(agent, out))
		return HTTP_SERVUNAVAIL;
	fputs("ready\n", out);
	return HTTP_OK;
}

static int write_metrics(struct agent *agent, FILE *out)
{
	return agent_write_metrics(agent, out) ? HTTP_INTERNAL : HTTP_OK;
}

static const struct page pages[] = {
	{"/metrics", METRICS_CONTENT_TYPE, write_metrics},
	{"/healthz", "text/plain; charset=utf-8", write_health},
	{"/readyz", "text/plain; charset=utf-8", write_readiness},
};

static const struct page *find_page(const char *path)
{
	size_t i;

	for (i = 0; path && i < ARRAY_SIZE(pages); i++)
		if (!strcmp(pages[i].path, path))
			return &pages[i];
	return NULL;
}

static void reply_text(struct evhttp_request *request, int code, const char *reason, const char *content_type,
		       const char *text, size_t length)
{
	struct evkeyvalq *headers = evhttp_request_get_output_headers(request);
	struct evbuffer *body = evhttp_request_get_output_buffer(request);

	evhttp_add_header(headers, "Content-Type", content_type);
	evhttp_add_header(headers, "X-Content-Type-Options", "nosniff");
	evbuffer_add(body, text, length);
	evhttp_send_reply(request, code, reason, NULL);
}

static void reply_error(struct evhttp_request *request, int code, const char *reason)
{
	reply_text(request, code, reason, "text/plain; charset=utf-8", reason, strlen(reason));
}

static void reply_page(struct evhttp_request *request, struct agent *agent, const struct page *page)
{
	_cleanup_free_ char *text = NULL;
	size_t length = 0;
	FILE *out = open_memstream(&text, &length);
	int code;

	if (!out) {
		reply_error(request, HTTP_INTERNAL, "no memory");
		return;
	}
	code = page->write(agent, out);
	if (fclose(out) || code == HTTP_INTERNAL) {
		reply_error(request, HTTP_INTERNAL, "cannot be told");
		return;
	}
	reply_text(request, code, code == HTTP_OK ? "OK" : "Service Unavailable", page->content_type, text, length);
}

static void on_request(struct evhttp_request *request, void *data)
{
	enum evhttp_cmd_type method = evhttp_request_get_command(request);
	const struct page *page = find_page(evhttp_uri_get_path(evhttp_request_get_evhttp_uri(request)));

	if (!page) {
		reply_error(request, HTTP_NOTFOUND, "not found\n");
	} else if (method != EVHTTP_REQ_GET && method != EVHTTP_REQ_HEAD) {
		evhttp_add_header(evhttp_request_get_output_headers(request), "Allow", "GET, HEAD");
		reply_error(request, HTTP_BADMETHOD, "method not allowed\n");
	} else {
		reply_page(request, data, page);
	}
}

/* ------------------------------------------------------------------ clients */

static const char *peer_of(struct evhttp_connection *connection)
{
	char *address;
	ev_uint16_t port;

	evhttp_connection_get_peer(connection, &address, &port);
	return address;
}

static size_t count_from(const struct http_server *server, const char *peer)
{
	size_t count = 0, i;

	for (i = 0; i < server->client_count; i++)
		count += !strcmp(peer_of(server->clients[i]), peer);
	return count;
}

/* The oldest of the address that has most of them: whoever holds many takes a place from nobody else. */
static struct evhttp_connection *choose(const struct http_server *server)
{
	struct evhttp_connection *chosen = NULL;
	size_t most = 0, i;

	for (i = 0; i < server->client_count; i++) {
		size_t count = count_from(server, peer_of(server->clients[i]));

		if (count <= most)
			continue;
		most = count;
		chosen = server->clients[i];
	}
	return chosen;
}

static void on_close(struct evhttp_connection *connection, void *data)
{
	struct http_server *server = data;
	size_t i = 0;

	while (server->clients[i] != connection)
		i++;
	server->client_count--;
	memmove(&server->clients[i], &server->clients[i + 1], (server->client_count - i) * sizeof(*server->clients));
}

static void add_client(struct http_server *server, struct evhttp_connection *connection)
{
	server->clients[server->client_count++] = connection;
	evhttp_connection_set_closecb(connection, on_close, server);
	/* Its on_close takes it off the list. */
	if (server->client_count > CLIENTS_MAX)
		evhttp_connection_free(choose(server));
}

/*
 * libevent 2.1 has no limit of its own and tells of no connection before its first request. But it asks where a new
 * one's bytes are to go, and the stream that it is given then knows the connection a moment later. One is accepted at a
 * time and then everything else has its turn, also those whose requests came: libevent would go on for as long as
 * somebody connects.
 */
static struct bufferevent *on_accept(struct event_base *loop, void *data)
{
	struct http_server *server = data;

	server->newest = bufferevent_socket_new(loop, -1, 0);
	if (!server->newest)
		return NULL;
	bufferevent_incref(server->newest);
	evconnlistener_disable(server->listener);
	event_active(server->accepted, EV_TIMEOUT, 0);
	return server->newest;
}

static void on_accepted(evutil_socket_t fd, short what, void *data)
{
	struct http_server *server = data;
	void *connection;

	(void)fd;
	(void)what;
	/* None: there was no memory for it. */
	bufferevent_getcb(server->newest, NULL, NULL, NULL, &connection);
	if (connection)
		add_client(server, connection);
	bufferevent_decref(take(server->newest));
	evconnlistener_enable(server->listener);
}

/* ------------------------------------------------------------------ socket */

static const char *listen_text(const struct agent_options *options, char text[128])
{
	const struct sockaddr *address = (const struct sockaddr *)&options->listen;
	char host[INET6_ADDRSTRLEN] = "?";

	if (address->sa_family == AF_INET6) {
		const struct sockaddr_in6 *in6 = (const void *)address;

		evutil_inet_ntop(AF_INET6, &in6->sin6_addr, host, sizeof(host));
		snprintf(text, 128, "[%s]:%u", host, ntohs(in6->sin6_port));
	} else {
		const struct sockaddr_in *in = (const void *)address;

		evutil_inet_ntop(AF_INET, &in->sin_addr, host, sizeof(host));
		snprintf(text, 128, "%s:%u", host, ntohs(in->sin_port));
	}
	return text;
}

int serve_bind(const struct agent_options *options, int *out)
{
	_cleanup_fd_ int fd = socket(options->listen.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	const int one = 1;
	char text[128];

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) ||
	    bind(fd, (const struct sockaddr *)&options->listen, (socklen_t)options->listen_length) ||
	    listen(fd, SOMAXCONN)) {
		int error = -errno;

		log_error("%s: cannot listen here: %s", listen_text(options, text), strerror(-error));
		return error;
	}
	*out = take_fd(&fd);
	return 0;
}

/* With port 0 the kernel chose one: whoever asked for that needs to know which. */
static void tell_address(int fd)
{
	struct agent_options bound = {0};
	socklen_t length = sizeof(bound.listen);
	char text[128];

	if (!getsockname(fd, (struct sockaddr *)&bound.listen, &length))
		log_info("serving /metrics, /healthz and /readyz on http://%s", listen_text(&bound, text));
}

static struct evhttp *new_http(struct agent *agent)
{
	struct evhttp *http = evhttp_new(agent->loop);

	if (!http)
		return NULL;
	/* All of them, so that the answer to a wrong one is ours. */
	evhttp_set_allowed_methods(http, EVHTTP_REQ_GET | EVHTTP_REQ_HEAD | EVHTTP_REQ_POST | EVHTTP_REQ_PUT |
						 EVHTTP_REQ_DELETE | EVHTTP_REQ_OPTIONS | EVHTTP_REQ_TRACE |
						 EVHTTP_REQ_CONNECT | EVHTTP_REQ_PATCH);
	evhttp_set_timeout(http, TIMEOUT_SECONDS);
	evhttp_set_max_headers_size(http, HEADERS_MAX);
	evhttp_set_max_body_size(http, BODY_MAX);
	evhttp_set_gencb(http, on_request, agent);
	return http;
}

int serve_start(struct agent *agent)
{
	struct evhttp_bound_socket *bound;
	struct http_server *server;

	if (agent->listener < 0)
		return 0;
	agent->http = server = calloc(1, sizeof(*server));
	if (!server)
		return -ENOMEM;
	server->http = new_http(agent);
	server->accepted = event_new(agent->loop, -1, 0, on_accepted, server);
	if (!server->http || !server->accepted)
		return -ENOMEM;
	bound = evhttp_accept_socket_with_handle(server->http, agent->listener);
	if (!bound)
		return -ENOMEM;
	server->listener = evhttp_bound_socket_get_listener(bound);
	evconnlistener_set_error_cb(server->listener, agent_accept_failed);
	evhttp_set_bevcb(server->http, on_accept, server);
	tell_address(agent->listener);
	/* evhttp_free closes it. */
	agent->listener = -1;
	return 0;
}

void serve_check(struct agent *agent)
{
	if (agent->http)
		evconnlistener_enable(agent->http->listener);
}

void serve_stop(struct agent *agent)
{
	struct http_server *server = take(agent->http);

	if (!server)
		return;
	if (server->newest)
		bufferevent_decref(server->newest);
	if (server->http)
		evhttp_free(server->http);
	if (server->accepted)
		event_free(server->accepted);
	free(server);
}
