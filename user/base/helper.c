/* SPDX-License-Identifier: Apache-2.0 */
#include "base/helper.h"

#include <signal.h>

static void *run(void *data)
{
	const struct helper *helper = data;

	helper->work(helper->data);
	return NULL;
}

/* Signals are for the thread that handles them. */
void helper_start(struct helper *helper, void (*work)(void *data), void *data)
{
	sigset_t all, before;

	*helper = (struct helper){.work = work, .data = data};
	sigfillset(&all);
	if (pthread_sigmask(SIG_SETMASK, &all, &before))
		return;
	helper->threaded = !pthread_create(&helper->thread, NULL, run, helper);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
}

void helper_join(struct helper *helper)
{
	if (helper->threaded)
		pthread_join(helper->thread, NULL);
	else
		helper->work(helper->data);
}
