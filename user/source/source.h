/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where objects come from, as the agent sees it: one that brings a store up to date, and says when that is worth
 * while. What there is: source/watched_directory.h, source/kube.h.
 */
#ifndef EGRESSD_SOURCE_SOURCE_H
#define EGRESSD_SOURCE_SOURCE_H

#include <stdbool.h>
#include <stdio.h>

#include "model/problem.h"
#include "model/store.h"

struct event_base;
struct source;

typedef void (*source_notify)(void *data);

struct source_operations {
	int (*start)(struct source *source, struct event_base *loop, source_notify notify, void *data);
	int (*sync)(struct source *source, struct store *store, struct problem_list *problems, bool *changed,
		    size_t *bad);
	bool (*waits)(const struct source *source, FILE *reasons);
	/* May be NULL: a source that keeps no events. */
	void (*tell)(struct source *source, const struct object *pod, const char *reason, const char *message);
	void (*free)(struct source *source);
};

/* The first member of every source. */
struct source {
	const struct source_operations *operations;
};

/*
 * Works on the loop from here on: `notify` is called from it whenever a sync is worth while. The loop outlives the
 * source. 0 or -errno.
 */
int source_start(struct source *source, struct event_base *loop, source_notify notify, void *data);

/*
 * Brings `store` up to date, which must hold nothing but what this source put there (or what the state file said it
 * had put there). *changed: something in the store is different now; *bad: how many things (files, objects) are wrong
 * at present. `problems` is replaced by all problems at present. 0, or -errno where the source cannot be read at all
 * (the store is then as before); -ENOMEM (call again: the store may be half way, and stays so until a call succeeds).
 */
int source_sync(struct source *source, struct store *store, struct problem_list *problems, bool *changed, size_t *bad);

/*
 * True until the source has all that there is to know for the first time, so that what the store lacks may only not be
 * known yet. Writes what it waits for, a line each, to `reasons` unless that is NULL.
 */
bool source_waits(const struct source *source, FILE *reasons);

/*
 * Leaves word, where those who look at the pod will find it, that something is wrong with it: reason is one word in
 * CamelCase, message a sentence. To be called again and again while it is wrong: how often that is left is the source's
 * business. Nothing is waited for, and what cannot be left is only logged.
 */
void source_tell(struct source *source, const struct object *pod, const char *reason, const char *message);

void source_free(struct source *source);

#endif
