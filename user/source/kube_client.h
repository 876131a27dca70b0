/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests to the API server, on the agent's loop: libcurl's multi interface with libevent. The server's certificate is
 * always verified. Credentials and authorities are read anew for every request, so that what is rotated counts at once.
 */
#ifndef EGRESSD_SOURCE_KUBE_CLIENT_H
#define EGRESSD_SOURCE_KUBE_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "source/kube_config.h"

struct event_base;
struct kube_client;
struct kube_request;

struct kube_request_options {
	const char *method; /* NULL: GET */
	const char *path;   /* with its query, from the slash on */
	const char *body, *content_type; /* NULL: none */
	bool watch;         /* an answer without an end, that may say nothing for a while */
};

struct kube_answer {
	long status;              /* 0: there was none */
	int error;                /* 0; -errno: the transfer failed, or a piece was refused; -EACCES: no credentials */
	unsigned int retry_after; /* seconds; 0: not said */
	const char *message;      /* one line: what went wrong, also where status says so; "" where nothing did */
};

struct kube_request_handler {
	/* An answer with a status of 2xx begins. May be NULL. */
	void (*opened)(void *data);
	/* A piece of the body of an answer with a status of 2xx. 0, or -errno to end the request with. */
	int (*piece)(const char *bytes, size_t length, void *data);
	/* Exactly one call, unless the request is cancelled; the request is freed when it returns. */
	void (*done)(const struct kube_answer *answer, void *data);
	void *data;
};

/*
 * silence: seconds without a byte after which a watch counts as dead; other requests, and peers that do not acknowledge,
 * have at most 30 of them. Takes over *config (and leaves it empty) on success. 0 or -ENOMEM.
 */
int kube_client_new(struct kube_config *config, unsigned int silence, struct event_base *loop, struct kube_client **out);
/* Requests that are not done yet are dropped without a call. */
void kube_client_free(struct kube_client *client);

/* The callbacks come from the loop, never from within this call. Texts are copied. 0 or -ENOMEM. */
int kube_client_send(struct kube_client *client, const struct kube_request_options *options,
		     const struct kube_request_handler *handler, struct kube_request **out);
/* NULL is allowed. Not from within `piece` of the same request. */
void kube_request_cancel(struct kube_request *request);

/* For messages: the URL of the server. */
const char *kube_client_server(const struct kube_client *client);
/* Seconds by which the server's clock is ahead of this node's, as its last answer said; 0: it never did. */
int64_t kube_client_skew(const struct kube_client *client);

/* As a segment of a query: unreserved characters as they are, others escaped. The caller's to free; NULL: no memory. */
char *kube_escape(const char *text);

#endif
