/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The Kubernetes API as a source: NetworkPolicies, Namespaces, Services, EndpointSlices and Nodes, this node's Pods,
 * and those of other nodes as long as policy speaks of them (source/kube_interest.h).
 *
 * What comes in is kept apart and handed to the agent's store only while all that is to be known is known: a policy
 * never meets a world of which half is missing. While the API cannot be reached the store stays as it is.
 */
#ifndef EGRESSD_SOURCE_KUBE_H
#define EGRESSD_SOURCE_KUBE_H

#include "source/kube_client.h"
#include "source/source.h"

struct kube_source_options {
	const char *node_name; /* copied */
	unsigned int silence;  /* seconds: kube_client_new() */
	/* What the state of a predecessor says: objects that are there already, and are checked against the API; NULL: none */
	struct store *restored;
};

/* Takes over *config on success. 0 or -ENOMEM. */
int kube_source_new(struct kube_config *config, const struct kube_source_options *options, struct source **out);

/* One resource that is followed. */
struct kube_source_resource {
	const char *name; /* "pods" for this node's, "remote-pods" for the others; static */
	bool synced;
	size_t objects;
	uint64_t lists, watches, events, errors;
	int64_t silence_ms; /* since the API last said something about it; -1: it never did */
};

/* How many were written to `out`, which has room for `capacity`. `source` is one from kube_source_new. */
size_t kube_source_resources(const struct source *source, struct kube_source_resource *out, size_t capacity);
int64_t kube_source_skew(const struct source *source);

/* For other requests to the same server; NULL before source_start. */
struct kube_client *kube_source_client(const struct source *source);

#endif
