/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "agent/agent.h"
#include "base/cleanup.h"
#include "base/lock.h"
#include "base/text.h"

/* While a pod waits for its interface; most come with a notice, this is for those that do not. */
#define WAIT_SECONDS 0.25
/* After a failure to build, or to read the source: doubled with every failure in a row. */
#define RETRY_SECONDS 1
#define RETRY_SECONDS_MAX 30

/* ------------------------------------------------------------------ what failed */

void agent_set_failure(char **failure, const char *format, ...)
{
	char *text = NULL;
	va_list arguments;

	if (format) {
		va_start(arguments, format);
		text = text_format_list(format, arguments);
		va_end(arguments);
		if (!text)
			text = strdup("no memory");
	}
	if (text && (!*failure || strcmp(text, *failure)))
		log_error("%s", text);
	free(*failure);
	*failure = text;
}

static unsigned int retry_pause(unsigned int failures)
{
	unsigned int seconds = RETRY_SECONDS << (failures < 6 ? failures - 1 : 5);

	return seconds < RETRY_SECONDS_MAX ? seconds : RETRY_SECONDS_MAX;
}

/* ------------------------------------------------------------------ source */

static int sync_source(struct agent *agent, bool *changed)
{
	_cleanup_(problem_list_clear) struct problem_list problems = {0};
	int error = source_sync(agent->source, agent->store, &problems, changed, &agent->bad_files);
	struct problem_list before = agent->source_problems;

	if (error)
		return error;
	agent->problems_changed |= !problem_list_equal(&before, &problems);
	agent->source_problems = problems;
	problems = before;
	return 0;
}

static uint64_t cpu_nanoseconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* The source may have nothing new to tell of. */
static void read_again_later(struct agent *agent)
{
	const struct timeval pause = {.tv_sec = retry_pause(agent->half_reads)};

	if (agent->reread_timer)
		event_add(agent->reread_timer, &pause);
}

int agent_read_source(struct agent *agent)
{
	bool changed;
	int error;

	agent->read_cpu = cpu_nanoseconds();
	error = sync_source(agent, &changed);

	if (!error) {
		if (changed || agent->half_reads)
			agent->build_due = 0;
		agent->half_reads = 0;
		agent_set_failure(&agent->source_failure, NULL);
		return 0;
	}
	if (!agent->source_failure)
		agent->source_errors++;
	agent_set_failure(&agent->source_failure, "%s: %s; what was read last stays in force", agent->options->from,
		    error == -ENODATA ? "an empty directory is in its place" : strerror(-error));
	/* What cannot be read at all is no remedy for what was read in part. */
	if (error == -ENOMEM || agent->half_reads) {
		agent->half_reads++;
		read_again_later(agent);
	}
	return error;
}

/* ------------------------------------------------------------------ pins */

int agent_regain_lock(struct agent *agent, const char *path, int *lock)
{
	int regained = -1, error = lock_directory(path, &regained);

	if (error == -EWOULDBLOCK) {
		log_error("%s: another egressd took this directory while it was gone: leaving it to that one", path);
		agent->superseded = true;
		event_base_loopbreak(agent->loop);
	}
	if (error)
		return error;
	close_fd(lock);
	*lock = regained;
	return 0;
}

static int regain_pin_lock(struct agent *agent)
{
	const char *pin = agent->options->pin;
	int error = datapath_prepare_pins(pin);

	if (error) {
		agent_set_failure(&agent->pin_failure, "%s", datapath_error());
		return error;
	}
	error = agent_regain_lock(agent, pin, &agent->pin_lock);
	if (error && !agent->superseded)
		agent_set_failure(&agent->pin_failure, "%s: cannot lock the pin directory: %s", pin, strerror(-error));
	return error;
}

void agent_check_pins(struct agent *agent)
{
	const char *pin = agent->options->pin;
	size_t repaired = 0;
	int error;

	if (agent->superseded || (!lock_holds(pin, agent->pin_lock) && regain_pin_lock(agent)))
		return;
	error = datapath_repair_pins(agent->datapath, &repaired);
	if (repaired)
		log_warning("%s: someone removed or replaced %zu pins; pinned again", pin, repaired);
	agent->repairs += repaired;
	if (error)
		agent_set_failure(&agent->pin_failure, "%s", datapath_error());
	else
		agent_set_failure(&agent->pin_failure, NULL);
}

/* ------------------------------------------------------------------ policy */

static bool is_local(const struct object *pod, void *data)
{
	const struct agent *agent = data;

	return endpoints_have(&agent->endpoints, pod);
}

int agent_compile(struct agent *agent, struct policy **out)
{
	struct policy_options options = {
		.node_addresses = agent->node_addresses,
		.node_address_count = agent->node_address_count,
		.node_name = agent->locality.node,
		.is_local = is_local,
		.is_local_data = agent,
	};

	problem_list_clear(&agent->policy_problems);
	return policy_compile(agent->store, &options, out, &agent->policy_problems);
}

/* The policy of a Pod of the same name is not that of a pod that is unknown. */
static void assign(struct agent *agent, uint32_t id, const struct endpoint *endpoint)
{
	if (endpoint->unknown)
		generation_assign(&agent->generation, id, NULL, NULL);
	else
		generation_assign(&agent->generation, id, endpoint->namespace, endpoint->name);
}

/* Who judges an interface that one pod hands over to another: from the new tables on, the new pod's policy does. */
static void assign_endpoints(struct agent *agent)
{
	struct endpoint *endpoint, *successor;

	for (endpoint = agent->endpoints.current; endpoint; endpoint = endpoint->hh.next)
		if (endpoint->id)
			assign(agent, endpoint->id, endpoint);
	for (endpoint = agent->endpoints.retiring; endpoint; endpoint = endpoint->next) {
		successor = endpoints_wanting(&agent->endpoints, endpoint->entry.ifindex);
		if (successor && endpoint->id)
			assign(agent, endpoint->id, successor);
	}
}

/* Nobody's packets carry these ids any more. */
static void unassign_retired(struct agent *agent)
{
	struct endpoint *endpoint;

	for (endpoint = agent->endpoints.retiring; endpoint; endpoint = endpoint->next)
		if (endpoint->id && !endpoint->entry.ifindex)
			generation_assign(&agent->generation, endpoint->id, NULL, NULL);
}

static int compile(struct agent *agent, struct policy **out)
{
	int error;

	if (agent->compiled) {
		*out = take(agent->compiled);
		return 0;
	}
	generation_foresee(&agent->generation, agent->datapath);
	error = agent_compile(agent, out);
	if (error)
		generation_forget(&agent->generation, agent->datapath);
	if (error == -ENOMEM)
		agent_set_failure(&agent->build_failure, "no memory to compile the policies");
	else if (error)
		agent_set_failure(&agent->build_failure, "the policies cannot be enforced as they stand; %s stays in force",
			    agent->generation.number ? "the last generation" : "nothing");
	return error;
}

/*
 * A new generation. What retires is let go before it is published: to the new policy it is no pod, and would be dropped
 * as an unknown one.
 */
static int build(struct agent *agent)
{
	struct discoveries *found;
	struct policy *policy;
	int error = compile(agent, &policy);

	if (error)
		return error;
	error = generation_prepare(&agent->generation, agent->datapath, policy);
	if (!error) {
		/* Before what endpoints gave up is given to others. */
		agent->generation.grace_owed = true;
		assign_endpoints(agent);
		attachments_withdraw_retiring(agent);
		found = connections_before_isolation(agent);
		error = generation_publish(&agent->generation, agent->datapath);
		connections_after_isolation(agent, found, !error);
	}
	if (error) {
		agent_set_failure(&agent->build_failure, "generation %u: %s", agent->generation.number + 1,
			    agent->generation.failure);
		return error;
	}
	agent_set_failure(&agent->build_failure, NULL);
	return 0;
}

static double milliseconds_since(const struct timespec *start)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)(now.tv_sec - start->tv_sec) * 1e3 + (double)(now.tv_nsec - start->tv_nsec) / 1e6;
}

static void tell_generation(const struct agent *agent, const struct timespec *start)
{
	struct policy_statistics statistics;

	policy_statistics(agent->generation.policy, &statistics);
	log_info("generation %u in force: %zu policies for %zu of %zu pods, %zu address classes, %zu rows (%.1f ms)",
		 agent->generation.number, statistics.policies, statistics.isolated, statistics.endpoints,
		 statistics.classes, statistics.rows, milliseconds_since(start));
}

static void note_in_force(struct agent *agent)
{
	store_settle(agent->store);
	endpoints_settle(&agent->endpoints);
	agent->policies_in_force = store_count(agent->store, OBJECT_NETWORK_POLICY);
	agent->objects_written = false;
}

static int update_policy(struct agent *agent, const struct changes *changes)
{
	struct timespec start;
	int error = -EAGAIN;

	clock_gettime(CLOCK_MONOTONIC, &start);
	if (!agent->recompile)
		error = generation_follow(&agent->generation, changes);
	if (!error) {
		assign_endpoints(agent);
		attachments_withdraw_retiring(agent);
		log_debug("generation %u follows %zu changes of pods in place (%.1f ms)", agent->generation.number,
			  changes->pod_count, milliseconds_since(&start));
	} else {
		error = build(agent);
		if (error)
			return error;
		tell_generation(agent, &start);
		agent->trim_due = true;
	}
	agent->recompile = false;
	note_in_force(agent);
	return 0;
}

int64_t agent_milliseconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Objects -> tables. What fails is tried again even if no object changes: the kernel may have room by then. */
static int follow_objects(struct agent *agent)
{
	_cleanup_(changes_clear) struct changes changes = {0};
	int error;

	/* A pod may be there, and the policy that came with it not: it would be open. */
	if (agent->half_reads)
		return -EAGAIN;
	/* Whatever else there is to look at meanwhile, and however often. */
	if (agent->failures && agent_milliseconds() < agent->build_due)
		return -EAGAIN;
	error = changes_list(agent->store, &changes);
	if (!error && (agent->recompile || changes.others || changes.pod_count))
		error = update_policy(agent, &changes);
	if (error == -ENOMEM && !agent->build_failure)
		agent_set_failure(&agent->build_failure, "no memory to follow the objects");
	if (error) {
		agent->recompile = true;
		agent->build_errors++;
		agent->failures++;
		agent->build_due = agent_milliseconds() + retry_pause(agent->failures) * INT64_C(1000);
		return error;
	}
	agent->failures = 0;
	return 0;
}

/* ------------------------------------------------------------------ another try */

/* Or wait for their interface, of which no notice may come. */
static bool endpoints_have_problems(const struct agent *agent)
{
	struct endpoint *endpoint;

	for (endpoint = agent->endpoints.current; endpoint; endpoint = endpoint->hh.next)
		if (endpoint->problem || !endpoint->wanted)
			return true;
	return false;
}

static void schedule_retry(struct agent *agent)
{
	struct timeval pause = {0};
	double seconds = 0;

	/* A little later than it is due. */
	if (agent->failures)
		seconds = retry_pause(agent->failures) + 0.001;
	if (endpoints_have_problems(agent))
		seconds = WAIT_SECONDS;
	else if (agent->sweep_due)
		seconds = RETRY_SECONDS;
	if ((!seconds && !agent->attachments_news) || !agent->retry_timer)
		return;
	if (agent->attachments_news)
		seconds = 0;
	pause.tv_sec = (time_t)seconds;
	pause.tv_usec = (suseconds_t)((seconds - (double)pause.tv_sec) * 1e6);
	event_add(agent->retry_timer, &pause);
}

/* ------------------------------------------------------------------ pods of other nodes */

static bool all_elsewhere(const struct agent *agent, const struct changes *changes)
{
	size_t i;

	for (i = 0; i < changes->pod_count; i++) {
		const struct pod_change *change = &changes->pods[i];

		if ((change->old && endpoints_concern(&agent->endpoints, &agent->locality, change->old)) ||
		    (change->new && endpoints_concern(&agent->endpoints, &agent->locality, change->new)))
			return false;
	}
	return true;
}

/* Is there anything to do but to follow changes? */
static bool is_at_rest(const struct agent *agent)
{
	return agent->ready && agent->has_objects && !source_waits(agent->source, NULL) && agent->generation.tables &&
	       !agent->recompile && !agent->resolve_all && !agent->links_changed && !agent->problems_changed &&
	       !agent->sweep_due && !agent->failures && !agent->endpoints.retiring;
}

bool agent_follow_pods(struct agent *agent)
{
	_cleanup_(changes_clear) struct changes changes = {0};

	if (!is_at_rest(agent) || changes_list(agent->store, &changes) || changes.others ||
	    !all_elsewhere(agent, &changes))
		return false;
	if (!changes.pod_count)
		return true;
	/* Some may have been followed: what is there now is to be compiled. */
	if (generation_follow(&agent->generation, &changes)) {
		agent->recompile = true;
		return false;
	}
	agent->pod_changes += changes.pod_count;
	agent->pod_change_cpu += cpu_nanoseconds() - agent->read_cpu;
	log_debug("generation %u follows %zu changes of pods in place", agent->generation.number, changes.pod_count);
	note_in_force(agent);
	agent_report_state_later(agent);
	if (generation_settle(&agent->generation, agent->datapath)) {
		log_warning("%s", agent->generation.failure);
		agent->sweep_due = true;
		schedule_retry(agent);
	}
	return true;
}

/* ------------------------------------------------------------------ all of it */

static void follow_endpoints(struct agent *agent)
{
	attachments_apply(agent);
	pending_hold(agent);
	if (agent->sweep_due)
		attachments_sweep(agent);
	if (generation_settle(&agent->generation, agent->datapath)) {
		log_warning("%s", agent->generation.failure);
		agent->sweep_due = true;
		return;
	}
	unassign_retired(agent);
	endpoints_forget_retired(&agent->endpoints);
}

/* A pod that became one of this node after its Pod was compiled as a remote one. */
static void note_new_locals(struct agent *agent)
{
	const struct endpoint *endpoint;

	if (!agent->generation.policy)
		return;
	for (endpoint = agent->endpoints.current; endpoint; endpoint = endpoint->hh.next)
		if (!endpoint->unknown &&
		    !policy_endpoint(agent->generation.policy, endpoint->namespace, endpoint->name))
			agent->recompile = true;
}

void agent_reconcile(struct agent *agent)
{
	int error;

	/* While it is not known what there is, what a predecessor left stays in force. */
	if (!agent->has_objects && source_waits(agent->source, NULL)) {
		agent_tell_problems(agent);
		return;
	}
	agent->has_objects = true;
	agent->attachments_news = false;
	if (endpoints_match(&agent->endpoints, agent->store, &agent->locality)) {
		agent->failures++;
		agent_set_failure(&agent->build_failure, "no memory for the endpoints");
		schedule_retry(agent);
		return;
	}
	note_new_locals(agent);
	attachments_resolve(agent, agent->resolve_all);
	agent->resolve_all = agent->links_changed = false;
	/* Before anything that takes time. */
	pending_hold(agent);
	error = follow_objects(agent);
	/* Before the first generation there is nothing that an interface could be judged by. */
	if (agent->generation.number && agent->generation.tables) {
		/* What retired with no object changing: its attachment went. */
		if (!error)
			attachments_withdraw_retiring(agent);
		follow_endpoints(agent);
	}
	agent_prune_attachments(agent);
	agent_tell_problems(agent);
	agent->problems_changed = false;
	schedule_retry(agent);
	agent_report_state(agent);
	cni_server_answer(agent);
	if (agent->trim_due && !agent->generation.grace_owed) {
		/* The old generation's memory is of no use until the next change. */
		agent_release_memory(agent, MEMORY_OF_COMPILE);
		agent->trim_due = false;
	}
}
