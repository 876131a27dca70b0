/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as what an API server says to a list or a watch, in any pieces: no crash or leak, and what becomes known of it,
 * and how it ends, does not depend on the pieces. The reflector is real; this stands in for the client that it asks.
 *
 * Byte 0 chooses the resource and what was asked for; byte 1 seeds the pieces; the rest is the answer's body.
 */
#include <errno.h>
#include <event2/event.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../lib/encoded.h"
#include "base/cleanup.h"
#include "source/kube_reflector.h"

static void require(bool condition)
{
	if (!condition)
		abort();
}

/* ------------------------------------------------------------------ the client */

/* The request that is not answered yet. */
struct kube_request {
	bool waits, watch;
	struct kube_request_handler handler;
};

static struct kube_request request;

int kube_client_send(struct kube_client *client, const struct kube_request_options *options,
		     const struct kube_request_handler *handler, struct kube_request **out)
{
	(void)client;
	require(!request.waits);
	request = (struct kube_request){.waits = true, .watch = options->watch, .handler = *handler};
	*out = &request;
	return 0;
}

void kube_request_cancel(struct kube_request *cancelled)
{
	if (cancelled)
		cancelled->waits = false;
}

const char *kube_client_server(const struct kube_client *client)
{
	(void)client;
	return "https://server";
}

char *kube_escape(const char *text)
{
	return strdup(text);
}

static void finish(long status, int error)
{
	const struct kube_answer answer = {.status = status, .error = error, .message = ""};

	request.waits = false;
	request.handler.done(&answer, request.handler.data);
}

/* ------------------------------------------------------------------ what becomes known */

struct trace {
	char *text;
	size_t size;
	FILE *file;
};

static int on_begin(void *data)
{
	fprintf(((struct trace *)data)->file, "begin\n");
	return 0;
}

static int on_put(struct api_object *object, struct problem_list *problems, void *data)
{
	FILE *file = ((struct trace *)data)->file;
	json_t *json = object->object ? encoded(object->object) : NULL;
	char line[4096];
	size_t i;

	fprintf(file, "put %s/%s@%s ", object->namespace, object->name, object->resource_version);
	if (json)
		require(!json_dumpf(json, file, JSON_COMPACT | JSON_SORT_KEYS));
	json_decref(json);
	for (i = 0; i < problems->count; i++)
		fprintf(file, "%s\n", problem_format(&problems->items[i], line, sizeof(line)));
	fputc('\n', file);
	return 0;
}

static int on_remove(const char *namespace, const char *name, void *data)
{
	fprintf(((struct trace *)data)->file, "remove %s/%s\n", namespace, name);
	return 0;
}

static int on_end(void *data)
{
	fprintf(((struct trace *)data)->file, "end\n");
	return 0;
}

static void on_state_changed(void *data)
{
	(void)data;
}

/* ------------------------------------------------------------------ a run */

enum asked { STREAM, WATCH, LIST, ASKED_COUNT };

static const struct kube_resource resources[] = {
	{.kind = OBJECT_POD, .path = "/api/v1/pods", .name = "pods"},
	{.kind = OBJECT_NETWORK_POLICY, .path = "/apis/networking.k8s.io/v1/networkpolicies", .name = "networkpolicies"},
	{.kind = OBJECT_SERVICE, .path = "/api/v1/services", .name = "services"},
	{.kind = OBJECT_ENDPOINT_SLICE, .path = "/apis/discovery.k8s.io/v1/endpointslices", .name = "endpointslices"},
	{.kind = OBJECT_NAMESPACE, .path = "/api/v1/namespaces", .name = "namespaces"},
};

static struct event_base *loop;

static void send_next(void)
{
	event_base_loop(loop, EVLOOP_ONCE | EVLOOP_NONBLOCK);
	require(request.waits);
}

/* The length of the next piece; seed 0: all of it, 1: a byte. */
static size_t next_piece(uint32_t *seed, size_t left)
{
	size_t length;

	if (*seed == 0)
		return left;
	if (*seed == 1)
		return 1;
	*seed = *seed * 1103515245 + 12345;
	length = 1 + (*seed >> 16) % 64;
	/* Neither of the above. */
	*seed |= 2;
	return length < left ? length : left;
}

/* 0 or what a piece was refused with. */
static int feed(const char *body, size_t size, uint32_t seed)
{
	int error = 0;

	request.handler.opened(request.handler.data);
	while (size && !error) {
		size_t length = next_piece(&seed, size);

		error = request.handler.piece(body, length, request.handler.data);
		body += length;
		size -= length;
	}
	return error;
}

/* What becomes known of the body when it comes in these pieces. */
static char *run(const struct kube_resource *resource, enum asked asked, const char *body, size_t size, uint32_t seed)
{
	static const char bookmark[] = "{\"type\":\"BOOKMARK\",\"object\":{\"metadata\":{\"resourceVersion\":\"7\","
				       "\"annotations\":{\"k8s.io/initial-events-end\":\"true\"}}}}\n";
	struct trace trace = {};
	const struct kube_reflector_handler handler = {on_begin, on_put, on_remove, on_end, on_state_changed, &trace};
	struct kube_reflector *reflector = NULL;
	struct kube_reflector_statistics statistics;
	int error;

	trace.file = open_memstream(&trace.text, &trace.size);
	require(trace.file && !kube_reflector_new(resource, NULL, loop, &handler, &reflector));
	send_next();
	if (asked == WATCH)
		require(!request.handler.piece(bookmark, strlen(bookmark), request.handler.data));
	if (asked == LIST) {
		/* A server without streams. */
		finish(400, 0);
		send_next();
		require(!request.watch);
	}
	error = feed(body, size, seed);
	finish(200, error);
	kube_reflector_statistics(reflector, &statistics);
	fprintf(trace.file, "error %d, %s, %ju events", error, kube_reflector_synced(reflector) ? "synced" : "not synced",
		(uintmax_t)statistics.events);
	/* How a stream that ends well is taken depends on how long it went on. */
	if (error && kube_reflector_problem(reflector))
		fprintf(trace.file, ", %s", kube_reflector_problem(reflector));
	kube_reflector_free(reflector);
	require(!fclose(trace.file));
	return trace.text;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct kube_resource *resource;
	const char *body;
	uint32_t seeds[2] = {1};
	enum asked asked;
	char *whole;
	size_t i;

	if (size < 2)
		return 0;
	if (!loop)
		loop = event_base_new();
	resource = &resources[data[0] / ASKED_COUNT % ARRAY_SIZE(resources)];
	asked = data[0] % ASKED_COUNT;
	seeds[1] = data[1] | 0x100u;
	body = (const char *)data + 2;
	whole = run(resource, asked, body, size - 2, 0);
	for (i = 0; i < ARRAY_SIZE(seeds); i++) {
		char *pieces = run(resource, asked, body, size - 2, seeds[i]);

		if (strcmp(whole, pieces)) {
			fprintf(stderr, "--- in one piece:\n%s\n--- in pieces (%u):\n%s\n", whole, seeds[i], pieces);
			abort();
		}
		free(pieces);
	}
	free(whole);
	return 0;
}
