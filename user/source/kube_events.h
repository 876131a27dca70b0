/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Events (core/v1) on pods: where `kubectl describe pod` shows what is wrong with one. One for each pod and reason,
 * whose name follows from both, so that the agent's restart does not make a second one; while the trouble lasts its
 * count, time and message are brought up to date now and then. One request at a time, from the loop; what the server
 * refuses is logged once, and tried again later.
 */
#ifndef EGRESSD_SOURCE_KUBE_EVENTS_H
#define EGRESSD_SOURCE_KUBE_EVENTS_H

#include "model/object.h"
#include "source/kube_client.h"

struct kube_events;

/* client and loop outlive it; node_name is copied. 0 or -ENOMEM. */
int kube_events_new(struct kube_client *client, struct event_base *loop, const char *node_name,
		    struct kube_events **out);
/* What was not sent yet is dropped. NULL is allowed. */
void kube_events_free(struct kube_events *events);

/* May be called as often as it is true: source_tell() in source/source.h. Texts are copied. */
void kube_events_tell(struct kube_events *events, const struct object *pod, const char *reason, const char *message);

#endif
