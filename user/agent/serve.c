/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <event2/buffer.h>
#include <event2/http.h>
#include <event2/keyvalq_struct.h>
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

int serve_start(struct agent *agent)
{
	if (agent->listener < 0)
		return 0;
	agent->http = evhttp_new(agent->loop);
	if (!agent->http)
		return -ENOMEM;
	/* All of them, so that the answer to a wrong one is ours. */
	evhttp_set_allowed_methods(agent->http, EVHTTP_REQ_GET | EVHTTP_REQ_HEAD | EVHTTP_REQ_POST | EVHTTP_REQ_PUT |
							EVHTTP_REQ_DELETE | EVHTTP_REQ_OPTIONS | EVHTTP_REQ_TRACE |
							EVHTTP_REQ_CONNECT | EVHTTP_REQ_PATCH);
	evhttp_set_timeout(agent->http, TIMEOUT_SECONDS);
	evhttp_set_max_headers_size(agent->http, HEADERS_MAX);
	evhttp_set_max_body_size(agent->http, BODY_MAX);
	evhttp_set_gencb(agent->http, on_request, agent);
	if (!evhttp_accept_socket_with_handle(agent->http, agent->listener))
		return -ENOMEM;
	tell_address(agent->listener);
	/* evhttp_free closes it. */
	agent->listener = -1;
	return 0;
}
