/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What comes before policy: a new interface is held (everything from it is dropped) as soon as it is seen, until its
 * pod's policy is in force. --pending says when: always, never, or, which is the default, where policy is known to
 * exist that may be the pod's. What egress-cni attached is denied whatever it says.
 *
 * Interfaces are those that a known pod names, and those that --pod-interfaces says are pods' though none is known.
 */
#include <errno.h>
#include <fnmatch.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>

#include "agent/agent.h"
#include "base/cleanup.h"

static bool has_egress_policy(const struct agent *agent, const char *namespace)
{
	struct object *const *policies;
	size_t count, i;

	/* It may be what was not read. */
	if (agent->half_reads)
		return true;
	policies = store_list(agent->store, OBJECT_NETWORK_POLICY, &count);
	/* Without memory for the list nobody knows that there is none. */
	if (count == SIZE_MAX)
		return true;
	for (i = namespace ? store_first_in_namespace(policies, count, namespace) : 0; i < count; i++) {
		if (namespace && strcmp(policies[i]->namespace, namespace))
			return false;
		if (policies[i]->policy.isolates_egress)
			return true;
	}
	return false;
}

bool pending_denies(const struct agent *agent, const char *namespace)
{
	if (agent->options->pending != PENDING_AUTO)
		return agent->options->pending == PENDING_DENY;
	return has_egress_policy(agent, namespace);
}

/* Patterns are separated by commas. */
static bool matches(const char *patterns, const char *name)
{
	_cleanup_free_ char *copy = strdup(patterns);
	char *rest = copy, *pattern;

	/* Without memory it counts as a pod's. */
	if (!copy)
		return true;
	while ((pattern = strsep(&rest, ",")))
		if (!fnmatch(pattern, name, 0))
			return true;
	return false;
}

bool pending_holds_unknown(const struct agent *agent, uint32_t ifindex)
{
	char name[IF_NAMESIZE];

	return agent->options->pod_interfaces && if_indextoname(ifindex, name) &&
	       matches(agent->options->pod_interfaces, name) && pending_denies(agent, NULL);
}

/* ------------------------------------------------------------------ what is held */

static bool is_held(const struct held_interfaces *held, uint32_t ifindex)
{
	size_t i;

	for (i = 0; i < held->count; i++)
		if (held->items[i] == ifindex)
			return true;
	return false;
}

static void clear_held(struct held_interfaces *held)
{
	free(held->items);
}

static int list_held(struct agent *agent, struct held_interfaces *out)
{
	return datapath_held_list(agent->datapath, &out->items, &out->count);
}

size_t pending_count(struct agent *agent)
{
	_cleanup_(clear_held) struct held_interfaces held = {0};

	return list_held(agent, &held) ? 0 : held.count;
}

/* After a failure to hold, unless something happens to an interface. */
#define HOLD_RETRY_MILLISECONDS 1000

static bool has_entry(const struct agent *agent, uint32_t ifindex)
{
	const struct endpoint *endpoint;

	for (endpoint = agent->endpoints.current; endpoint; endpoint = endpoint->hh.next)
		if (endpoint->entry.ifindex == ifindex)
			return true;
	for (endpoint = agent->endpoints.retiring; endpoint; endpoint = endpoint->next)
		if (endpoint->entry.ifindex == ifindex)
			return true;
	return false;
}

static int hold(struct agent *agent, uint32_t ifindex, const char *name)
{
	int error = datapath_hold(agent->datapath, ifindex);
	char now[IF_NAMESIZE];

	if (error && !if_indextoname(ifindex, now)) {
		pending_vanished(agent, ifindex);
		return 0;
	}
	if (error) {
		agent->attach_errors++;
		agent->sweep_due = true;
		agent_set_failure(&agent->hold_failure, "%s", datapath_error());
		agent->hold_due = agent_milliseconds() + HOLD_RETRY_MILLISECONDS;
		return error;
	}
	log_info("interface %s (%u) is held until its pod's policy is in force", name, ifindex);
	return 0;
}

struct hold_context {
	struct agent *agent;
	bool failed;
	bool too_soon; /* after a failure; for all of a pass, so that none waits for another's next attempt */
	const struct held_interfaces *held;
};

static void consider(uint32_t ifindex, const char *name, void *data)
{
	struct hold_context *context = data;
	struct agent *agent = context->agent;
	const struct endpoint *endpoint = endpoints_wanting(&agent->endpoints, ifindex);
	bool denied;

	if (endpoint)
		denied = endpoint->attachment || pending_denies(agent, endpoint->namespace);
	else
		denied = agent->options->pod_interfaces && matches(agent->options->pod_interfaces, name) &&
			 pending_denies(agent, NULL);
	/* What has a pod's entry is judged already, or handed over by whom it is taken from. */
	if (denied && !is_held(context->held, ifindex) && !has_entry(agent, ifindex))
		context->failed |= context->too_soon || hold(agent, ifindex, name);
}

static void release(struct agent *agent, uint32_t ifindex)
{
	log_info("interface %u is no longer held", ifindex);
	attachments_let_go(agent, ifindex);
}

/* An interface that nobody wants, and of which nothing says any more that it is to be held. */
static void release_needless(struct agent *agent, const struct held_interfaces *held)
{
	char name[IF_NAMESIZE];
	size_t i;

	for (i = 0; i < held->count; i++) {
		uint32_t ifindex = held->items[i];

		if (!if_indextoname(ifindex, name))
			pending_vanished(agent, ifindex);
		else if (!endpoints_wanting(&agent->endpoints, ifindex) && !pending_holds_unknown(agent, ifindex))
			release(agent, ifindex);
	}
}

void pending_hold(struct agent *agent)
{
	_cleanup_(clear_held) struct held_interfaces held = {0};
	struct hold_context context = {.agent = agent, .held = &held};

	/* Before the first generation of the first agent there are no programs that could hold anything. */
	if (!datapath_has_programs(agent->datapath))
		return;
	if (list_held(agent, &held)) {
		agent_set_failure(&agent->hold_failure, "%s", datapath_error());
		return;
	}
	context.too_soon = agent->hold_failure && agent_milliseconds() < agent->hold_due;
	interface_watch_each(agent->interfaces, consider, &context);
	if (!context.failed)
		agent_set_failure(&agent->hold_failure, NULL);
	release_needless(agent, &held);
}

bool pending_check(struct agent *agent)
{
	_cleanup_(clear_held) struct held_interfaces held = {0};
	bool missing = false;
	char name[IF_NAMESIZE];
	size_t i;

	if (!datapath_has_programs(agent->datapath) || list_held(agent, &held))
		return false;
	for (i = 0; i < held.count; i++) {
		uint32_t ifindex = held.items[i];

		if (!if_indextoname(ifindex, name)) {
			pending_vanished(agent, ifindex);
		} else if (!datapath_attached(agent->datapath, ifindex)) {
			missing = true;
			agent->repairs++;
			log_warning("someone took our programs off interface %s, which is held; attaching again",
				    name);
			hold(agent, ifindex, name);
		}
	}
	return missing;
}

void pending_vanished(struct agent *agent, uint32_t ifindex)
{
	_cleanup_(clear_held) struct held_interfaces held = {0};

	if (list_held(agent, &held) || !is_held(&held, ifindex))
		return;
	if (datapath_detach(agent->datapath, ifindex) || datapath_endpoint_remove(agent->datapath, ifindex)) {
		log_warning("%s", datapath_error());
		agent->sweep_due = true;
	}
}

bool pending_is_held(struct agent *agent, uint32_t ifindex)
{
	_cleanup_(clear_held) struct held_interfaces held = {0};

	return list_held(agent, &held) || is_held(&held, ifindex);
}
