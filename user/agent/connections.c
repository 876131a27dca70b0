/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A pod may answer what others opened to it. Who opened what is seen while a pod is isolated; what was opened before that
 * is looked up in the kernel, so that nothing is cut that policy allows.
 *
 * All pods that are due are looked up together, beside the loop. What is found within WAIT_MILLISECONDS, which is nearly
 * always, is entered when policy begins to be enforced. Enforcement waits no longer than that, as pods can make as many
 * connections as they like: what is found later is entered then, and what was dropped meanwhile is sent again by TCP.
 *
 * That a pod is due stands in the pinned entry of its endpoint, before anything of it is dropped: whoever starts after an
 * agent that was killed looks it up.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/agent.h"
#include "base/cleanup.h"
#include "base/text.h"
#include "datapath/discovery.h"

/* A change waits for two searches at most. */
#define WAIT_MILLISECONDS 200
/* At the start nothing else waits. */
#define START_MILLISECONDS 2000
/* At the end of the agent, for a search that is under way. */
#define END_MILLISECONDS 1000

struct connection_search {
	struct discovery_search *search;
	struct event *over;
	bool preliminary; /* another one follows when the pods are isolated */
};

/* ------------------------------------------------------------------ telling */

/* Enforcement goes on either way. It is among the problems until the pod is looked up again or gone. */
static void tell_sockets(struct agent *agent, struct endpoint *endpoint, const struct discovery *discovery, bool tracked)
{
	const char *why = discovery->sockets_error == -ENOENT ? "no process in its network namespace is to be seen"
							      : strerror(-discovery->sockets_error);

	free(take(endpoint->connections_problem));
	if (discovery->error)
		endpoint->connections_problem =
			text_format("connections that were opened to it before cannot be looked up (%s): they are cut",
				    strerror(-discovery->error));
	else if (discovery->sockets_error)
		endpoint->connections_problem = text_format(
			"its sockets cannot be listed (%s): TCP connections that were opened to it before %s", why,
			tracked ? "are known from the node's connection tracking alone" : "are cut");
	if (!discovery->error && !discovery->sockets_error)
		return;
	agent->connection_errors++;
	log_warning("%s: %s", endpoint->key, endpoint->connections_problem ? endpoint->connections_problem : "no memory");
}

/* The pods that suffer, as many as a line has room for. */
static void name_pods(const struct agent *agent, const struct discoveries *list, char *out, size_t size)
{
	size_t length = 0, i;

	*out = '\0';
	for (i = 0; i < list->count; i++) {
		const struct endpoint *endpoint = endpoints_entered(&agent->endpoints, &list->items[i].pod);
		size_t more = endpoint ? strlen(endpoint->key) + 2 : 0;

		if (!endpoint)
			continue;
		if (length + more + sizeof(" and more") > size) {
			snprintf(out + length, size - length, " and more");
			return;
		}
		length += (size_t)snprintf(out + length, size - length, "%s%s", length ? ", " : "", endpoint->key);
	}
}

static void tell_conntrack(struct agent *agent, const struct discoveries *list)
{
	bool untracked = list->conntrack_error == -ENOENT;
	char pods[256];

	if (list->conntrack_error && !untracked) {
		name_pods(agent, list, pods, sizeof(pods));
		agent->connection_errors++;
		agent_set_failure(&agent->conntrack_failure,
				  "the node's connection tracking cannot be read (%s): connections that were opened to pods "
				  "before are cut: %s",
				  strerror(-list->conntrack_error), pods);
	} else {
		agent_set_failure(&agent->conntrack_failure, NULL);
	}
	if (untracked && !agent->untracked)
		log_info("this node tracks no connections: of those that were opened to a pod before egressd came, only "
			 "TCP's are known, from the pod's sockets");
	agent->untracked = untracked;
}

static void tell(struct agent *agent, const struct discoveries *list)
{
	size_t i;

	for (i = 0; i < list->count; i++) {
		struct endpoint *endpoint = endpoints_entered(&agent->endpoints, &list->items[i].pod);

		if (endpoint)
			tell_sockets(agent, endpoint, &list->items[i], !list->conntrack_error);
	}
	tell_conntrack(agent, list);
}

/* ------------------------------------------------------------------ who is due */

/* Without it, an agent that is killed leaves the pod's connections cut. */
static void mark(struct agent *agent, struct endpoint *endpoint, bool due)
{
	struct egress_endpoint entry = endpoint->entry;

	endpoint->connections_due = due;
	entry.notes = due ? EGRESS_ENDPOINT_DUE : 0;
	if (datapath_endpoint_put(agent->datapath, &entry))
		log_warning("%s: %s", endpoint->key, datapath_error());
}

static bool is_isolated(const struct agent *agent, const struct endpoint *endpoint)
{
	return generation_set(&agent->generation, endpoint->id) != EGRESS_SET_OPEN;
}

/* Of a pod that policy isolates, with an entry, and whoever opens something to it now is seen. */
static bool is_wanted(const struct agent *agent, const struct endpoint *endpoint)
{
	return endpoint->connections_due && endpoint->stands && is_isolated(agent, endpoint);
}

/* Attached, and isolated by no policy; before the first generation, under the predecessor's. */
static bool is_open(const struct agent *agent, const struct endpoint *endpoint)
{
	if (!agent->generation.memory)
		return endpoint->was_open;
	return endpoint->attached && !is_isolated(agent, endpoint);
}

static bool becomes_isolated(const struct agent *agent, const struct endpoint *endpoint)
{
	const struct policy_endpoint *next;

	if (!endpoint->id || !endpoint->entry.ifindex || endpoint->unknown || !is_open(agent, endpoint))
		return false;
	next = policy_endpoint(agent->generation.next_policy, endpoint->namespace, endpoint->name);
	return next && next->isolated;
}

/* Where its network namespace is likely to be; NULL: nobody told. Its processes are looked through in any case. */
static const char *likely_netns(const struct agent *agent, const struct endpoint *endpoint)
{
	if (endpoint->attachment)
		return endpoint->attachment->netns;
	return agent->locality.annotations && endpoint->pod ? endpoint->pod->pod.netns : NULL;
}

typedef bool (*endpoint_filter)(const struct agent *agent, const struct endpoint *endpoint);

/* NULL and 0: nobody. */
static int list_pods(const struct agent *agent, endpoint_filter filter, struct discoveries **out)
{
	const struct endpoint *endpoint;
	struct discoveries *list;
	size_t count = 0;
	int error = 0;

	for (endpoint = agent->endpoints.current; endpoint; endpoint = endpoint->hh.next)
		count += filter(agent, endpoint);
	if (!count)
		return 0;
	list = discoveries_new(count);
	if (!list)
		return -ENOMEM;
	for (endpoint = agent->endpoints.current; endpoint && !error; endpoint = endpoint->hh.next)
		if (filter(agent, endpoint))
			error = discoveries_add(list, &endpoint->entry, likely_netns(agent, endpoint));
	if (error)
		discoveries_free(list);
	else
		*out = list;
	return error;
}

/* ------------------------------------------------------------------ what was found */

static void enter(struct agent *agent, const struct endpoint *endpoint, const struct discovery *discovery)
{
	size_t entered = 0;

	if (discovery_enter(agent->datapath, discovery, &entered))
		log_warning("%s: %s", endpoint->key, datapath_error());
	if (entered)
		log_info("%s: may go on answering %zu connections that were opened to it before", endpoint->key, entered);
}

static void enter_all(struct agent *agent, const struct discoveries *list)
{
	size_t i;

	for (i = 0; i < list->count; i++) {
		const struct endpoint *endpoint = endpoints_entered(&agent->endpoints, &list->items[i].pod);

		if (endpoint && is_isolated(agent, endpoint))
			enter(agent, endpoint, &list->items[i]);
	}
}

/* Also those of which nothing could be found out: another search would not find out more. */
static void settle(struct agent *agent, const struct discoveries *list)
{
	size_t i;

	tell(agent, list);
	enter_all(agent, list);
	for (i = 0; i < list->count; i++) {
		struct endpoint *endpoint = endpoints_entered(&agent->endpoints, &list->items[i].pod);

		if (endpoint && is_isolated(agent, endpoint))
			mark(agent, endpoint, false);
	}
}

/* ------------------------------------------------------------------ a search */

static struct discovery_search *take_search(struct agent *agent)
{
	struct connection_search *search = take(agent->search);
	struct discovery_search *taken = search->search;

	if (search->over)
		event_free(search->over);
	free(search);
	return taken;
}

static struct discoveries *end_search(struct agent *agent)
{
	return discovery_end(take_search(agent));
}

/* What a preliminary one found is entered where it was late, and the pods stay due. */
static void finish_search(struct agent *agent)
{
	bool preliminary = agent->search->preliminary;
	struct discoveries *list = end_search(agent);

	if (preliminary)
		enter_all(agent, list);
	else
		settle(agent, list);
	discoveries_free(list);
}

static void start_search(struct agent *agent, endpoint_filter filter, bool preliminary);

/* Of the loop: later than anybody waited for it. */
static void on_over(evutil_socket_t fd, short what, void *data)
{
	struct agent *agent = data;

	(void)fd;
	(void)what;
	finish_search(agent);
	start_search(agent, is_wanted, false);
	agent_report_state(agent);
}

static int begin(struct agent *agent, struct discoveries *list, bool preliminary)
{
	struct connection_search *search = calloc(1, sizeof(*search));
	int error = search ? discovery_start(list, &search->search) : -ENOMEM;

	if (error) {
		free(search);
		return error;
	}
	search->preliminary = preliminary;
	search->over = event_new(agent->loop, discovery_fd(search->search), EV_READ, on_over, agent);
	agent->search = search;
	/* Without memory for that it is seen to be over by the next change. */
	if (search->over)
		event_add(search->over, NULL);
	return 0;
}

/* One at a time: where one is under way, the next one starts when it is over. */
static void start_search(struct agent *agent, endpoint_filter filter, bool preliminary)
{
	struct discoveries *list = NULL;
	int error;

	connections_take_found(agent);
	if (agent->search)
		return;
	error = list_pods(agent, filter, &list);
	if (error || !list) {
		if (error)
			log_warning("no memory to look up the connections of pods");
		return;
	}
	error = begin(agent, list, preliminary);
	if (!error)
		return;
	for (size_t i = 0; i < list->count; i++)
		list->items[i].error = error;
	if (!preliminary)
		settle(agent, list);
	discoveries_free(list);
}

static bool is_over_in_time(const struct agent *agent)
{
	return agent->search &&
	       discovery_wait(agent->search->search, agent->loops ? WAIT_MILLISECONDS : START_MILLISECONDS);
}

/* What is found in time is entered. Whoever became due while another search was under way is looked up after it. */
static void search_and_enter(struct agent *agent)
{
	start_search(agent, is_wanted, false);
	if (!is_over_in_time(agent))
		return;
	finish_search(agent);
	start_search(agent, is_wanted, false);
}

void connections_take_found(struct agent *agent)
{
	if (agent->search && discovery_wait(agent->search->search, 0))
		finish_search(agent);
}

void connections_stop(struct agent *agent)
{
	if (!agent->search)
		return;
	if (discovery_wait(agent->search->search, END_MILLISECONDS)) {
		discoveries_free(end_search(agent));
		return;
	}
	/* It ends with the process. */
	take_search(agent);
	log_debug("connections that were opened to pods before are still being looked up");
}

/* ------------------------------------------------------------------ occasions */

void connections_before_attachment(struct agent *agent)
{
	search_and_enter(agent);
}

struct discoveries *connections_before_isolation(struct agent *agent)
{
	struct endpoint *endpoint;

	for (endpoint = agent->endpoints.current; endpoint; endpoint = endpoint->hh.next)
		if (becomes_isolated(agent, endpoint))
			mark(agent, endpoint, true);
	if (agent->search)
		return NULL;
	start_search(agent, becomes_isolated, true);
	return is_over_in_time(agent) ? end_search(agent) : NULL;
}

/* First what is known, as fast as it goes; then what was opened meanwhile. */
void connections_after_isolation(struct agent *agent, struct discoveries *found, bool published)
{
	if (published && found)
		enter_all(agent, found);
	discoveries_free(found);
	if (published)
		search_and_enter(agent);
}
