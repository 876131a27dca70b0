/* SPDX-License-Identifier: Apache-2.0 */
#include "source/kube_backoff.h"

/* 800 ms * 2^6 is beyond 30 s. */
#define DOUBLINGS_MAX 6u

uint32_t kube_backoff_next(struct kube_backoff *backoff, uint32_t random, uint32_t retry_after)
{
	unsigned int doublings = backoff->failures < DOUBLINGS_MAX ? backoff->failures : DOUBLINGS_MAX;
	uint32_t wait = KUBE_BACKOFF_FIRST_MS << doublings;

	backoff->failures++;
	wait += random % (wait + 1);
	if (wait > KUBE_BACKOFF_MOST_MS)
		wait = KUBE_BACKOFF_MOST_MS - random % (KUBE_BACKOFF_MOST_MS / 4);
	if (retry_after > KUBE_RETRY_AFTER_MOST_MS / 1000)
		retry_after = KUBE_RETRY_AFTER_MOST_MS / 1000;
	if (wait < retry_after * 1000)
		wait = retry_after * 1000 + random % 1000;
	return wait;
}

void kube_backoff_reset(struct kube_backoff *backoff)
{
	backoff->failures = 0;
}
