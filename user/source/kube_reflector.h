/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Follows one resource of the API: a full view of it, then what changes, for as long as it takes. The protocol is that
 * of Kubernetes' "efficient detection of changes": a streaming list (a watch with sendInitialEvents) where the server
 * has it and pages of a list where not; a watch from the version that it ended with; bookmarks; a new view where the
 * server has forgotten that version (410). Versions are opaque.
 */
#ifndef EGRESSD_SOURCE_KUBE_REFLECTOR_H
#define EGRESSD_SOURCE_KUBE_REFLECTOR_H

#include <stdbool.h>
#include <stdint.h>

#include "model/decode.h"
#include "source/kube_client.h"

struct kube_reflector;

struct kube_resource {
	enum object_kind kind;
	const char *path;           /* "/api/v1/pods" */
	const char *name;           /* as RBAC calls it: "pods", "networkpolicies.networking.k8s.io" */
	const char *field_selector; /* or NULL */
};

/* What becomes known. 0, or -errno (-ENOMEM), which has the view read anew. */
struct kube_reflector_handler {
	/* A full view begins: what is not put until it ends is not there. It may begin anew before it ended. */
	int (*begin)(void *data);
	/* object->object NULL: it is there, but wrong; `problems` say why. Both are borrowed. */
	int (*put)(struct api_object *object, struct problem_list *problems, void *data);
	int (*remove)(const char *namespace, const char *name, void *data);
	int (*end)(void *data);
	void (*state_changed)(void *data); /* synced or problem may be another one now */
	void *data;
};

struct kube_reflector_statistics {
	uint64_t lists, watches, events, errors;
	int64_t silence_ms; /* since the server last said something about it; -1: it never did */
};

/* resource and client outlive the reflector. 0 or -ENOMEM; it begins by itself, from the loop. */
int kube_reflector_new(const struct kube_resource *resource, struct kube_client *client, struct event_base *loop,
		       const struct kube_reflector_handler *handler, struct kube_reflector **out);
void kube_reflector_free(struct kube_reflector *reflector);

/* Has there been a full view? */
bool kube_reflector_synced(const struct kube_reflector *reflector);
/* Why it cannot be followed at present; NULL: it can, or has failed only once. */
const char *kube_reflector_problem(const struct kube_reflector *reflector);
void kube_reflector_statistics(const struct kube_reflector *reflector, struct kube_reflector_statistics *out);

#endif
