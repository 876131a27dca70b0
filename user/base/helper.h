/* SPDX-License-Identifier: Apache-2.0 */
/* A thread that does a part of some work beside the one that waits for all of it. */
#ifndef EGRESSD_BASE_HELPER_H
#define EGRESSD_BASE_HELPER_H

#include <pthread.h>
#include <stdbool.h>

struct helper {
	void (*work)(void *data);
	void *data;
	pthread_t thread;
	bool threaded;
};

/* Where there can be no thread, the work is done by helper_join. The helper stays where it is until then. */
void helper_start(struct helper *helper, void (*work)(void *data), void *data);
/* Returns when the work is done. */
void helper_join(struct helper *helper);

#endif
