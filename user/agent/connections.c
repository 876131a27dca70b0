/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A pod may answer what others opened to it. Who opened what is seen while a pod is isolated; what was opened before that
 * is looked up in the kernel, so that nothing is cut that policy allows.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/agent.h"
#include "base/cleanup.h"
#include "datapath/discovery.h"

/* ------------------------------------------------------------------ looking */

/* Where its network namespace is likely to be; NULL: nobody told. Its processes are looked through in any case. */
static const char *likely_netns(const struct agent *agent, const struct endpoint *endpoint)
{
	if (endpoint->attachment)
		return endpoint->attachment->netns;
	return agent->locality.annotations ? endpoint->pod->pod.netns : NULL;
}

/* Enforcement goes on either way: so each reason is told once, and is among the problems as long as it holds. */
static void tell_failures(struct agent *agent, const struct discovery *discovery)
{
	if (discovery->sockets_error)
		agent_set_failure(&agent->sockets_failure,
				  "the sockets of a pod cannot be listed (%s): TCP connections that were opened to it before "
				  "egressd came are known from the node's connection tracking alone",
				  discovery->sockets_error == -ENOENT ? "no process in its network namespace is to be seen"
								      : strerror(-discovery->sockets_error));
	else
		agent_set_failure(&agent->sockets_failure, NULL);
	if (discovery->conntrack_error && discovery->conntrack_error != -ENOENT)
		agent_set_failure(&agent->conntrack_failure,
				  "the node's connection tracking cannot be read (%s): connections that were opened to a "
				  "pod before egressd came are cut",
				  strerror(-discovery->conntrack_error));
	else
		agent_set_failure(&agent->conntrack_failure, NULL);
	if (discovery->conntrack_error == -ENOENT && !agent->untracked)
		log_info("this node tracks no connections: of those that were opened to a pod before egressd came, only "
			 "TCP's are known, from the pod's sockets");
	agent->untracked = discovery->conntrack_error == -ENOENT;
}

static int find(struct agent *agent, const struct endpoint *endpoint, struct discovery *out)
{
	int error = discovery_find(&endpoint->entry, likely_netns(agent, endpoint), out);

	if (error)
		log_warning("%s: connections that were opened to it before cannot be looked up: %s", endpoint->key,
			    strerror(-error));
	else
		tell_failures(agent, out);
	return error;
}

static size_t enter(struct agent *agent, const struct endpoint *endpoint, const struct discovery *discovery)
{
	size_t entered = 0;

	if (discovery_enter(agent->datapath, &endpoint->entry, discovery, &entered))
		log_warning("%s: %s", endpoint->key, datapath_error());
	return entered;
}

static void find_and_enter(struct agent *agent, const struct endpoint *endpoint)
{
	_cleanup_(discovery_clear) struct discovery discovery = {0};
	size_t entered = 0;

	if (!find(agent, endpoint, &discovery))
		entered = enter(agent, endpoint, &discovery);
	if (entered)
		log_info("%s: may go on answering %zu connections that were opened to it before", endpoint->key, entered);
}

/* ------------------------------------------------------------------ occasions */

/* What is opened from here on, the program sees; what is there, the kernel knows. Nothing is between. */
void connections_before_attachment(struct agent *agent, struct endpoint *endpoint)
{
	/* What keeps it off the interface keeps the other program off, too, and is told then. */
	if (!datapath_attached(agent->datapath, endpoint->wanted) &&
	    datapath_attach_tracking(agent->datapath, endpoint->wanted))
		return;
	find_and_enter(agent, endpoint);
}

struct isolation {
	const struct endpoint *endpoint;
	struct discovery discovery;
};

struct isolations {
	size_t count;
	struct isolation items[];
};

/* Attached, and isolated by no policy; before the first generation, under the predecessor's. */
static bool is_open(const struct agent *agent, const struct endpoint *endpoint)
{
	if (!agent->generation.memory)
		return endpoint->was_open;
	return endpoint->attached && generation_set(&agent->generation, endpoint->id) == EGRESS_SET_OPEN;
}

static bool becomes_isolated(const struct agent *agent, const struct endpoint *endpoint)
{
	const struct policy_endpoint *next;

	if (!endpoint->id || !endpoint->entry.ifindex || endpoint->unknown || !is_open(agent, endpoint))
		return false;
	next = policy_endpoint(agent->generation.next_policy, endpoint->namespace, endpoint->name);
	return next && next->isolated;
}

struct isolations *connections_before_isolation(struct agent *agent)
{
	struct isolations *isolations;
	struct endpoint *endpoint;
	size_t count = 0;

	for (endpoint = agent->endpoints.current; endpoint; endpoint = endpoint->hh.next)
		count += becomes_isolated(agent, endpoint);
	if (!count)
		return NULL;
	isolations = calloc(1, sizeof(*isolations) + count * sizeof(*isolations->items));
	if (!isolations) {
		log_warning("no memory to look up the connections of %zu pods that become isolated", count);
		return NULL;
	}
	for (endpoint = agent->endpoints.current; endpoint; endpoint = endpoint->hh.next) {
		struct isolation *isolation = &isolations->items[isolations->count];

		if (!becomes_isolated(agent, endpoint))
			continue;
		isolation->endpoint = endpoint;
		isolations->count += !find(agent, endpoint, &isolation->discovery);
	}
	return isolations;
}

/* First what is known, as fast as it goes; then what was opened meanwhile. */
void connections_after_isolation(struct agent *agent, struct isolations *isolations, bool published)
{
	size_t i;

	if (!isolations)
		return;
	for (i = 0; i < isolations->count && published; i++)
		enter(agent, isolations->items[i].endpoint, &isolations->items[i].discovery);
	for (i = 0; i < isolations->count && published; i++)
		find_and_enter(agent, isolations->items[i].endpoint);
	for (i = 0; i < isolations->count; i++)
		discovery_clear(&isolations->items[i].discovery);
	free(isolations);
}
