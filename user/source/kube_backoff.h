/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How long to wait after a failure: 800 ms, doubled with every failure in a row up to 30 s, and then up to as much
 * again at random, so that the agents of a cluster do not come back all at once; never more than 30 s in all, unless
 * the server asked for longer. The times are those of client-go's reflector.
 */
#ifndef EGRESSD_SOURCE_KUBE_BACKOFF_H
#define EGRESSD_SOURCE_KUBE_BACKOFF_H

#include <stdint.h>

#define KUBE_BACKOFF_FIRST_MS 800u
#define KUBE_BACKOFF_MOST_MS 30000u
/* What a server may ask for with Retry-After at most. */
#define KUBE_RETRY_AFTER_MOST_MS 300000u

struct kube_backoff {
	unsigned int failures; /* in a row */
};

/* Counts a failure. `random` is any number; retry_after in seconds as the server asked, 0: it did not. Milliseconds. */
uint32_t kube_backoff_next(struct kube_backoff *backoff, uint32_t random, uint32_t retry_after);
void kube_backoff_reset(struct kube_backoff *backoff);

#endif
