/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What comes before policy: a new interface is held (everything from it is dropped) as soon as it is seen, until its
 * pod's policy is in force. --pending says when: always, never, or, which is the default, where policy is known to
 * exist that may be the pod's. What egress-cni attached is denied whatever it says.
 *
 * Interfaces are those that a known pod names, and those that --pod-interfaces says are pods' though none is known.
 *
 * Held is also, whatever --pending says, every other interface that leads into the network namespace of a pod that
 * policy isolates: with CAP_NET_ADMIN in the node's user namespace a pod can make itself one (RTM_NEWLINK with
 * IFLA_TARGET_NETNSID), and nothing that it sends there would be judged.
 */
#include <errno.h>
#include <fnmatch.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <egressd/tables.h>

#include "agent/agent.h"
#include "base/cleanup.h"
#include "base/text.h"

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

static bool looks_like_a_pods(const struct agent *agent, const char *name)
{
	return agent->options->pod_interfaces && matches(agent->options->pod_interfaces, name) &&
	       pending_denies(agent, NULL);
}

/* ------------------------------------------------------------------ past a pod's policy */

static bool is_isolated(const struct agent *agent, const struct endpoint *endpoint)
{
	uint32_t set;

	/* Not known yet: further interfaces of a pod that is not isolated would be cut off while an agent starts. */
	if (!agent->generation.tables)
		return false;
	set = generation_set(&agent->generation, endpoint->id);
	if (set == EGRESS_SET_PENDING)
		return endpoint->attachment || pending_denies(agent, endpoint->namespace);
	return set != EGRESS_SET_OPEN;
}

static bool is_in(const struct agent *agent, const struct endpoint *endpoint, int32_t nsid)
{
	return endpoint->nsid == nsid || interface_watch_namespace(agent->interfaces, endpoint->wanted) == nsid;
}

/* The isolated pod into whose network namespace an interface leads that is no pod's own; NULL: none. */
static struct endpoint *find_bypassed(const struct agent *agent, uint32_t ifindex)
{
	int32_t nsid = interface_watch_namespace(agent->interfaces, ifindex);
	struct endpoint *endpoint;

	for (endpoint = agent->endpoints.current; endpoint && nsid >= 0; endpoint = endpoint->hh.next)
		if (is_in(agent, endpoint, nsid) && is_isolated(agent, endpoint))
			return endpoint;
	return NULL;
}

bool pending_bypasses(const struct agent *agent, uint32_t ifindex)
{
	return !endpoints_wanting(&agent->endpoints, ifindex) && find_bypassed(agent, ifindex);
}

bool pending_holds_unknown(const struct agent *agent, uint32_t ifindex)
{
	char name[IF_NAMESIZE];

	return pending_bypasses(agent, ifindex) ||
	       (agent->options->pod_interfaces && if_indextoname(ifindex, name) && looks_like_a_pods(agent, name));
}

static void forget_bypasses(struct agent *agent)
{
	struct endpoint *endpoint;

	for (endpoint = agent->endpoints.current; endpoint; endpoint = endpoint->hh.next) {
		endpoint->bypass = 0;
		endpoint->bypass_count = 0;
	}
}

static void note_bypass(struct endpoint *endpoint, uint32_t ifindex)
{
	endpoint->bypass_count++;
	if (!endpoint->bypass || ifindex < endpoint->bypass)
		endpoint->bypass = ifindex;
}

/* One is named: a pod that makes one after the other would fill the log. */
static char *describe_bypass(const struct endpoint *endpoint)
{
	const char *own = *endpoint->interface ? endpoint->interface : "its own, which is gone";
	char name[IF_NAMESIZE] = "?", more[64] = "";

	if_indextoname(endpoint->bypass, name);
	if (endpoint->bypass_count > 1)
		snprintf(more, sizeof(more), ", and %zu more", endpoint->bypass_count - 1);
	return text_format("interface %s (%u%s) leads into its network namespace beside %s, and is held: "
			   "nothing passes there",
			   name, endpoint->bypass, more, own);
}

static void describe_bypasses(struct agent *agent)
{
	struct endpoint *endpoint;

	for (endpoint = agent->endpoints.current; endpoint; endpoint = endpoint->hh.next) {
		char *problem = endpoint->bypass ? describe_bypass(endpoint) : NULL;

		/* Without memory it stays as it was. */
		if (endpoint->bypass && !problem)
			continue;
		if (!problem)
			endpoint->bypass_told = false;
		free(endpoint->bypass_problem);
		endpoint->bypass_problem = problem;
	}
}

/* Takes the text; NULL: nothing leads past. */
static void set_unjudged(struct endpoint *endpoint, char *text)
{
	if (!text)
		endpoint->unjudged_told = false;
	free(endpoint->unjudged);
	endpoint->unjudged = text;
}

static void look_inside(struct endpoint *endpoint)
{
	char name[IF_NAMESIZE], *text = NULL;
	int error = interface_stacked_inside(endpoint->nsid, name);

	if (!error && !*name) {
		set_unjudged(endpoint, NULL);
		return;
	}
	if (!error)
		text = text_format("%s in its network namespace stands on an interface outside of it: what the pod sends "
				   "there is not judged",
				   name);
	else if (error == -ETIMEDOUT)
		text = text_format("it has too many interfaces in its network namespace to look through: what it sends "
				   "by some may not be judged");
	/* Without memory, or as the namespace goes at this moment, it stays as it was. */
	if (text)
		set_unjudged(endpoint, text);
	else
		log_debug("%s: %s", endpoint->key, datapath_error());
}

bool pending_look_inside(struct agent *agent)
{
	struct endpoint *endpoint;
	bool any = false;

	for (endpoint = agent->endpoints.current; endpoint; endpoint = endpoint->hh.next) {
		any |= endpoint->unjudged != NULL;
		if (endpoint->wanted && endpoint->nsid >= 0 && is_isolated(agent, endpoint))
			look_inside(endpoint);
		else
			set_unjudged(endpoint, NULL);
		any |= endpoint->unjudged != NULL;
	}
	return any;
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

/* A program that finds no entry drops as well. */
static int hold_bare(struct agent *agent, uint32_t ifindex)
{
	return datapath_attached(agent->datapath, ifindex) ? 0 : datapath_attach(agent->datapath, ifindex);
}

static int hold(struct agent *agent, uint32_t ifindex, const char *name, bool bare)
{
	int error = bare ? hold_bare(agent, ifindex) : datapath_hold(agent->datapath, ifindex);
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
	if (!bare)
		log_info("interface %s (%u) is held%s", name, ifindex,
			 pending_bypasses(agent, ifindex) ? "" : " until its pod's policy is in force");
	return 0;
}

/* A pod can make interfaces without end: they do not take the room that the entries of others need. */
#define BYPASS_ENTRIES_MAX (EGRESS_ENDPOINT_MAX / 4)

struct hold_context {
	struct agent *agent;
	bool failed;
	bool too_soon; /* after a failure; for all of a pass, so that none waits for another's next attempt */
	const struct held_interfaces *held;
	size_t listed; /* held with an entry */
	size_t bare;   /* and without */
};

static void consider(uint32_t ifindex, const char *name, void *data)
{
	struct hold_context *context = data;
	struct agent *agent = context->agent;
	const struct endpoint *endpoint = endpoints_wanting(&agent->endpoints, ifindex);
	struct endpoint *bypassed = endpoint ? NULL : find_bypassed(agent, ifindex);
	bool denied, bare;

	if (bypassed)
		note_bypass(bypassed, ifindex);
	if (endpoint)
		denied = endpoint->attachment || pending_denies(agent, endpoint->namespace);
	else
		denied = bypassed || looks_like_a_pods(agent, name);
	/* What has a pod's entry is judged already, or handed over by whom it is taken from. */
	if (!denied || is_held(context->held, ifindex) || has_entry(agent, ifindex))
		return;
	bare = bypassed && context->listed >= BYPASS_ENTRIES_MAX;
	*(bare ? &context->bare : &context->listed) += 1;
	context->failed |= context->too_soon || hold(agent, ifindex, name, bare);
}

/* What is no longer to be held has no entry by which it could be found. */
static void count_bare(struct agent *agent, size_t bare)
{
	agent->sweep_due |= bare < agent->held_bare;
	agent->held_bare = bare;
}

static void release(struct agent *agent, uint32_t ifindex)
{
	log_info("interface %u is no longer held", ifindex);
	attachments_let_go(agent, ifindex);
}

/* Before it is known which pods are isolated, what a predecessor held stays so. */
static bool is_needless(const struct agent *agent, uint32_t ifindex)
{
	return agent->generation.tables && !endpoints_wanting(&agent->endpoints, ifindex) &&
	       !pending_holds_unknown(agent, ifindex);
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
		else if (is_needless(agent, ifindex))
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
	context.listed = held.count;
	forget_bypasses(agent);
	interface_watch_each(agent->interfaces, consider, &context);
	count_bare(agent, context.bare);
	describe_bypasses(agent);
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
			hold(agent, ifindex, name, false);
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
