/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Loading the programs in a thread of its own: the verifier takes the better part of half a second, in which the policy
 * can be compiled and written.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "datapath/internal.h"

struct loading {
	struct bpf_object *object;
	pthread_t thread;
	bool threaded;
	int over; /* eventfd, readable when the thread is done */
	int error;
	char sentence[1024]; /* datapath_error() is the thread's own */
};

static int object_load(struct bpf_object *object)
{
	int error = bpf_object__load(object);

	return error ? fail_errno(error, "the kernel did not take the programs") : 0;
}

static void *load(void *data)
{
	struct loading *loading = data;

	loading->error = object_load(loading->object);
	if (loading->error)
		snprintf(loading->sentence, sizeof(loading->sentence), "%s", datapath_error());
	/* The first value of a counter that nobody has written cannot be refused. */
	if (loading->over >= 0)
		eventfd_write(loading->over, 1);
	return NULL;
}

/* The kernel gives up on a program when a signal waits for who loads it: they are for the others. */
static int start_thread(struct loading *loading)
{
	sigset_t all, before;
	int error;

	sigfillset(&all);
	error = -pthread_sigmask(SIG_SETMASK, &all, &before);
	if (error)
		return error;
	error = -pthread_create(&loading->thread, NULL, load, loading);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return error;
}

int loading_start(struct bpf_object *object, struct loading **out)
{
	struct loading *loading = calloc(1, sizeof(*loading));

	if (!loading) {
		bpf_object__close(object);
		return fail_errno(-ENOMEM, "no memory");
	}
	loading->object = object;
	loading->over = eventfd(0, EFD_CLOEXEC);
	/* Where there can be no thread it takes longer. */
	loading->threaded = loading->over >= 0 && !start_thread(loading);
	if (!loading->threaded)
		load(loading);
	*out = loading;
	return 0;
}

/* How often what waits for the kernel looks after what is in force. */
#define WAITING_MILLISECONDS 200

static void wait_for(struct loading *loading, const struct waiting *waiting)
{
	struct pollfd over = {.fd = loading->over, .events = POLLIN};

	while (waiting && waiting->callback && poll(&over, 1, WAITING_MILLISECONDS) <= 0)
		waiting->callback(waiting->data);
	pthread_join(loading->thread, NULL);
}

int loading_finish(struct loading *loading, const struct waiting *waiting, struct bpf_object **object)
{
	int error;

	if (loading->threaded)
		wait_for(loading, waiting);
	if (loading->over >= 0)
		close(loading->over);
	error = loading->error;
	if (error) {
		fail(error, "%s", loading->sentence);
		bpf_object__close(loading->object);
	} else {
		*object = loading->object;
	}
	free(loading);
	return error;
}
