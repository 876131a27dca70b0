/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <event2/listener.h>
#include <string.h>

#include "agent/agent.h"

#define TOLD_PAUSE_MS 60000

void agent_accept_failed(struct evconnlistener *listener, void *data)
{
	/* Not the agent's: evhttp hands over what is its own as `data`. */
	static int64_t quiet_until;
	const char *why = strerror(errno);

	(void)data;
	evconnlistener_disable(listener);
	if (agent_milliseconds() < quiet_until)
		return;
	log_warning("connections cannot be accepted: %s; they wait, and it is tried again", why);
	quiet_until = agent_milliseconds() + TOLD_PAUSE_MS;
}
