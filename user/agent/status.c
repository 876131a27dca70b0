/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <egressd/tables.h>
#include <egressd/version.h>

#include "agent/agent.h"
#include "base/cleanup.h"
#include "base/lock.h"
#include "report/state.h"

/* Writing may take this share of the agent's time: after a write that took t the next one waits for WRITE_PAUSE * t. */
#define WRITE_PAUSE 10
/* The same where only pods of other nodes changed, of which there may be many a second. */
#define WRITE_PAUSE_PODS 50
#define WRITE_PAUSE_PODS_MIN INT64_C(100000000) /* ns */
/* The loop has its turn after so long, if there are more objects to write. One object may take longer. */
#define WRITE_SLICE INT64_C(2000000) /* ns */
/* After a failure to write: doubled with every failure in a row. */
#define RETRY_SECONDS 1
#define RETRY_SECONDS_MAX 30

/* ------------------------------------------------------------------ readiness */

const char *agent_endpoint_lacks(const struct agent *agent, const struct endpoint *endpoint)
{
	if (endpoint->problem)
		return endpoint->problem;
	if (endpoint->waits)
		return "nothing of it has been started yet";
	if (!endpoint->attached)
		return "not attached yet";
	if (endpoint->finished)
		return "its Pod is finished: nothing passes as long as its interface is there";
	if (endpoint->unknown)
		return "no Pod of this name and UID has come yet: nothing passes until one does";
	if (generation_set(&agent->generation, endpoint->id) == EGRESS_SET_PENDING)
		return "its policy is not known yet";
	return NULL;
}

static bool lack(FILE *reasons, const char *what, const char *why)
{
	if (reasons)
		fprintf(reasons, "%s%s%s\n", what, *what ? ": " : "", why);
	return false;
}

/* One that is over, is being torn down, or was not started yet. */
static bool holds_nobody_up(const struct endpoint *endpoint)
{
	return endpoint->finished || endpoint->waits || (endpoint->attachment && endpoint->attachment->deleted);
}

bool agent_is_ready(const struct agent *agent, FILE *reasons)
{
	const struct endpoint *endpoint;
	bool ready = true;

	if (!agent->generation.tables)
		ready = lack(reasons, "", "no policy is in the kernel yet");
	if (source_waits(agent->source, reasons))
		ready = false;
	if (agent->half_reads)
		ready = lack(reasons, "", "the source was read in part: there was no memory for the rest");
	if (agent->build_failure)
		ready = lack(reasons, "", agent->build_failure);
	if (agent->pin_failure)
		ready = lack(reasons, "", agent->pin_failure);
	if (agent->attachment_failure)
		ready = lack(reasons, "", agent->attachment_failure);
	if (agent->watch_failure)
		ready = lack(reasons, "", agent->watch_failure);
	if (agent->socket_failure)
		ready = lack(reasons, "", agent->socket_failure);
	if (agent->hold_failure)
		ready = lack(reasons, "", agent->hold_failure);
	if (agent->state_failure)
		ready = lack(reasons, "", agent->state_failure);
	for (endpoint = agent->endpoints.current; endpoint; endpoint = endpoint->hh.next) {
		const char *why = agent_endpoint_lacks(agent, endpoint);

		if (why && !holds_nobody_up(endpoint))
			ready = lack(reasons, endpoint->key, why);
	}
	return ready;
}

/* ------------------------------------------------------------------ state.json */

static json_t *encode_addresses(const struct ip_address *addresses, size_t count)
{
	json_t *list = json_array();
	char text[IP_TEXT_SIZE];
	size_t i;

	for (i = 0; i < count; i++)
		json_array_append_new(list, json_string(ip_address_format(&addresses[i], text)));
	return list;
}

static json_t *encode_endpoint(const struct agent *agent, const struct endpoint *endpoint)
{
	const struct pod *pod = &endpoint->pod->pod;
	bool isolated = generation_set(&agent->generation, endpoint->id) != EGRESS_SET_OPEN;
	const char *why = agent_endpoint_lacks(agent, endpoint);

	if (!why)
		why = endpoint->unjudged;
	if (!why)
		why = endpoint->bypass_problem ? endpoint->bypass_problem : endpoint->mismatch;
	return json_pack("{s:i, s:i, s:o, s:s, s:s, s:s, s:o, s:b, s:b, s:o}", "id", (int)endpoint->id, "ifindex",
			 (int)endpoint->entry.ifindex, "interface", state_text(endpoint->interface), "namespace",
			 endpoint->namespace, "pod", endpoint->name, "uid", endpoint->uid, "addresses",
			 encode_addresses(pod->addresses, pod->address_count), "isolated", isolated, "attached",
			 endpoint->attached, "problem", state_text(why));
}

static json_t *encode_endpoints(const struct agent *agent)
{
	const struct endpoint *endpoint;
	json_t *list = json_array();

	for (endpoint = agent->endpoints.current; endpoint; endpoint = endpoint->hh.next)
		if (json_array_append_new(list, encode_endpoint(agent, endpoint)))
			log_debug("%s: not in the state", endpoint->key);
	return list;
}

static json_t *encode_rules(const struct agent *agent)
{
	const struct policy_rule *rules;
	json_t *list = json_array();
	size_t count = 0, i;

	rules = agent->generation.policy ? policy_rules(agent->generation.policy, &count) : NULL;
	for (i = 0; i < count; i++) {
		const struct object *policy = rules[i].policy;
		const struct place *place = &policy->policy.rules[rules[i].index].place;

		json_array_append_new(list, json_pack("{s:i, s:s, s:s, s:i, s:o, s:i}", "id",
						      (int)(EGRESS_RULE_FIRST + i), "namespace", policy->namespace,
						      "policy", policy->name, "rule", (int)rules[i].index, "file",
						      state_text(place->file ? place->file : policy->place.file),
						      "line", (int)place->line));
	}
	return list;
}

static int add_failure(struct problem_list *list, const char *rule, const char *failure)
{
	return failure ? problem_add(list, PROBLEM_ERROR, rule, NULL, NULL, "%s", failure) : 0;
}

static void append_all(json_t *list, json_t *more)
{
	if (more)
		json_array_extend(list, more);
	json_decref(more);
}

/* What keeps single pods from being enforced, kind by kind; it is beside each of them in `egressctl pods` too. */
static void add_endpoint_failures(struct problem_list *list, const struct agent *agent)
{
	static const struct {
		enum problem_severity severity;
		const char *rule;
		size_t text; /* where in struct endpoint */
	} kinds[] = {
		{PROBLEM_ERROR, "endpoint", offsetof(struct endpoint, problem)},
		{PROBLEM_ERROR, "mismatch", offsetof(struct endpoint, mismatch)},
		{PROBLEM_ERROR, "bypass", offsetof(struct endpoint, bypass_problem)},
		{PROBLEM_ERROR, "bypass", offsetof(struct endpoint, unjudged)},
		{PROBLEM_WARNING, "sockets", offsetof(struct endpoint, connections_problem)},
	};
	const struct endpoint *endpoint;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(kinds); i++) {
		for (endpoint = agent->endpoints.current; endpoint; endpoint = endpoint->hh.next) {
			const char *text = *(char *const *)((const char *)endpoint + kinds[i].text);

			if (text)
				problem_add(list, kinds[i].severity, kinds[i].rule, NULL, endpoint->pod, "%s", text);
		}
	}
}

/* What somebody should do something about is among the problems. */
static json_t *encode_kernel_lacks(const struct kernel_support *kernel)
{
	struct kernel_note notes[KERNEL_NOTES_MAX];
	size_t count = kernel_support_notes(kernel, notes), i;
	json_t *list = json_array();

	for (i = 0; i < count; i++)
		if (!notes[i].warning)
			json_array_append_new(list, json_string(notes[i].text));
	return list;
}

static void add_kernel_warnings(struct problem_list *list, const struct kernel_support *kernel)
{
	struct kernel_note notes[KERNEL_NOTES_MAX];
	size_t count = kernel_support_notes(kernel, notes), i;

	for (i = 0; i < count; i++)
		if (notes[i].warning)
			problem_add(list, PROBLEM_WARNING, "kernel", NULL, NULL, "%s", notes[i].text);
}

static json_t *encode_problems(const struct agent *agent)
{
	_cleanup_(problem_list_clear) struct problem_list failures = {0};
	json_t *list = json_array();

	add_failure(&failures, "source", agent->source_failure);
	add_failure(&failures, "build", agent->build_failure);
	add_failure(&failures, "pin", agent->pin_failure);
	add_failure(&failures, "attachment", agent->attachment_failure);
	add_failure(&failures, "attachment", agent->watch_failure);
	add_failure(&failures, "cni", agent->socket_failure);
	add_failure(&failures, "cni", agent->cni_failure);
	add_failure(&failures, "hold", agent->hold_failure);
	add_failure(&failures, "conntrack", agent->conntrack_failure);
	add_endpoint_failures(&failures, agent);
	add_kernel_warnings(&failures, &agent->kernel);
	append_all(list, state_encode_problems(&failures));
	append_all(list, state_encode_problems(&agent->source_problems));
	append_all(list, state_encode_problems(&agent->policy_problems));
	return list;
}

static json_t *encode_state(const struct agent *agent)
{
	char started[32] = "";
	struct tm time;

	if (gmtime_r(&agent->started, &time))
		strftime(started, sizeof(started), "%Y-%m-%dT%H:%M:%SZ", &time);
	return json_pack("{s:i, s:{s:s, s:s, s:i, s:s}, s:I, s:s, s:s, s:o, s:o, s:o, s:o, s:b, s:o, s:o, s:o}", "version", 1, "agent",
			 "version", EGRESSD_VERSION, "commit", EGRESSD_COMMIT, "pid", (int)getpid(), "started", started,
			 "generation", (json_int_t)agent->generation.number, "attach",
			 attach_kind_name(datapath_attach_kind(agent->datapath)), "kernel_release",
			 agent->kernel.name.release, "kernel_lacks", encode_kernel_lacks(&agent->kernel), "source",
			 state_text(agent->options->from), "node", state_text(agent->locality.node), "node_addresses",
			 encode_addresses(agent->node_addresses, agent->node_address_count), "ready",
			 agent_is_ready(agent, NULL), "endpoints", encode_endpoints(agent), "rules",
			 encode_rules(agent), "problems", encode_problems(agent));
}

/* ------------------------------------------------------------------ writing */

static int write_and_release(const struct agent *agent, const char *name, json_t *json)
{
	int error = json ? state_write(agent->options->state, name, json) : -ENOMEM;

	json_decref(json);
	return error;
}

static int64_t retry_pause(unsigned int failures)
{
	int64_t seconds = failures ? (int64_t)RETRY_SECONDS << (failures < 6 ? failures - 1 : 5) : 0;

	return seconds < RETRY_SECONDS_MAX ? seconds : RETRY_SECONDS_MAX;
}

static void set_due(struct agent *agent)
{
	struct timespec now;
	int64_t pause;

	clock_gettime(CLOCK_MONOTONIC, &now);
	pause = agent->state_cost * WRITE_PAUSE + now.tv_nsec + retry_pause(agent->state_failures) * INT64_C(1000000000);
	agent->state_due.tv_sec = now.tv_sec + pause / INT64_C(1000000000);
	agent->state_due.tv_nsec = pause % INT64_C(1000000000);
}

static void tell_readiness(struct agent *agent)
{
	bool ready = agent_is_ready(agent, NULL);

	if (ready != agent->ready)
		log_info("%s", ready ? "ready: every local pod's policy is in the kernel" : "not ready");
	agent->ready = ready;
}

static void retry(struct agent *agent)
{
	const struct timeval pause = {.tv_sec = (time_t)retry_pause(agent->state_failures)};

	if (agent->state_timer)
		event_add(agent->state_timer, &pause);
}

static void note_outcome(struct agent *agent, int error)
{
	if (error) {
		agent->state_errors++;
		agent->state_failures++;
		agent_set_failure(&agent->state_failure, "%s: the state cannot be written: %s; enforcement goes on",
				  agent->options->state, strerror(-error));
		tell_readiness(agent);
		retry(agent);
		return;
	}
	if (agent->state_failures)
		log_info("%s: the state is written again", agent->options->state);
	agent->state_failures = 0;
	agent_set_failure(&agent->state_failure, NULL);
	tell_readiness(agent);
}

static int64_t nanoseconds_since(const struct timespec *then)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (now.tv_sec - then->tv_sec) * INT64_C(1000000000) + now.tv_nsec - then->tv_nsec;
}

static void write_after(struct agent *agent, int64_t nanoseconds)
{
	const struct timeval pause = {.tv_sec = nanoseconds / INT64_C(1000000000),
				      .tv_usec = nanoseconds % INT64_C(1000000000) / 1000};

	if (agent->state_timer)
		event_add(agent->state_timer, &pause);
}

/* What is in force, which is not what is in the store while that cannot be built. */
static int begin_objects(struct agent *agent)
{
	const struct state_view view = {agent->generation.number, agent->generation.changes};
	struct object_list kinds[OBJECT_KIND_COUNT] = {0};
	unsigned int kind;
	int error = 0;

	for (kind = 0; kind < OBJECT_KIND_COUNT && !error; kind++)
		error = store_list_settled(agent->store, kind, &kinds[kind].items, &kinds[kind].count);
	if (!error)
		error = state_writer_new(agent->options->state, kinds, &view, &agent->state_writer);
	for (kind = 0; kind < OBJECT_KIND_COUNT; kind++)
		free(kinds[kind].items);
	return error;
}

/* What both files will say is what is there now, whatever comes while they are written. */
static int begin_state(struct agent *agent)
{
	char *failure;
	int error = 0;

	/* What can be read on disk has been written. */
	failure = take(agent->state_failure);
	agent->state_next = encode_state(agent);
	agent->state_failure = failure;
	agent->state_cost = 0;
	agent->state_missed = agent->state_missed_pods = false;
	if (!agent->state_next)
		return -ENOMEM;
	if (!agent->objects_written)
		error = begin_objects(agent);
	if (!error)
		agent->objects_written = true;
	return error;
}

/* 1: there are more, and it is the loop's turn, unless `all` are to be written. */
static int write_objects(struct agent *agent, bool all)
{
	struct timespec start;
	int more = 1;

	clock_gettime(CLOCK_MONOTONIC, &start);
	while (more > 0) {
		more = state_writer_go_on(agent->state_writer, 1);
		if (more > 0 && !all && nanoseconds_since(&start) > WRITE_SLICE)
			return 1;
	}
	state_writer_free(take(agent->state_writer));
	if (more)
		agent->objects_written = false;
	return more;
}

/* Begun, and not done. */
static bool is_writing(const struct agent *agent)
{
	return agent->state_next;
}

/* What is on disk stays. */
static void give_up_writing(struct agent *agent)
{
	if (agent->state_writer)
		agent->objects_written = false;
	state_writer_free(take(agent->state_writer));
	json_decref(take(agent->state_next));
}

static void end_state(struct agent *agent, int error)
{
	give_up_writing(agent);
	note_outcome(agent, error);
	/* The whole state stood in memory for a moment. */
	agent_release_memory(agent, MEMORY_OF_STATE);
	set_due(agent);
	if (error)
		return;
	if (agent->state_missed)
		agent_report_state(agent);
	else if (agent->state_missed_pods)
		agent_report_state_later(agent);
}

/* Objects first: a state never speaks of rules whose objects are not there. */
static int write_files(struct agent *agent, bool all)
{
	int error = is_writing(agent) ? 0 : begin_state(agent);

	if (!error && agent->state_writer)
		error = write_objects(agent, all);
	return error ? error : write_and_release(agent, STATE_FILE, take(agent->state_next));
}

/* A start that fails leaves a predecessor's state as it is. */
static void write_state(struct agent *agent, bool all)
{
	struct timespec start;
	int error;

	if (!agent->generation.tables)
		return;
	clock_gettime(CLOCK_MONOTONIC, &start);
	error = write_files(agent, all);
	agent->state_cost += nanoseconds_since(&start);
	if (error > 0)
		write_after(agent, 0);
	else
		end_state(agent, error);
}

void agent_go_on_with_state(struct agent *agent)
{
	/* Before the loop runs nobody is held up, and who comes then finds all of it. */
	write_state(agent, !agent->loops);
}

void agent_write_state(struct agent *agent)
{
	give_up_writing(agent);
	write_state(agent, true);
}

static int make_state_directory(struct agent *agent)
{
	const char *state = agent->options->state;
	int error = state_directory_prepare(state);

	if (!error)
		error = agent_regain_lock(agent, state, &agent->state_lock);
	if (error)
		return error;
	log_warning("%s: someone removed or replaced this directory; made anew", state);
	give_up_writing(agent);
	/* Of the directory that is gone. Their own checks find them missing, and begin them anew until that succeeds. */
	cni_server_stop(agent);
	agent_unwatch_attachments(agent);
	return 0;
}

void agent_check_state(struct agent *agent)
{
	if (agent->superseded || lock_holds(agent->options->state, agent->state_lock))
		return;
	/* What cannot be made is told where the state cannot be written. */
	if (make_state_directory(agent))
		log_debug("%s: cannot be made anew", agent->options->state);
	if (agent->superseded)
		return;
	agent->objects_written = false;
	agent_report_state(agent);
}

/* The timer may have been refused for want of memory. */
static void go_on_soon(struct agent *agent)
{
	if (agent->state_timer && !event_pending(agent->state_timer, EV_TIMEOUT, NULL))
		write_after(agent, 0);
}

void agent_report_state(struct agent *agent)
{
	int64_t pause;

	if (!agent->generation.tables)
		return;
	tell_readiness(agent);
	if (is_writing(agent)) {
		agent->state_missed = true;
		go_on_soon(agent);
		return;
	}
	pause = -nanoseconds_since(&agent->state_due);
	if (pause > 0)
		write_after(agent, pause);
	else
		agent_go_on_with_state(agent);
}

void agent_report_state_later(struct agent *agent)
{
	int64_t pause = -nanoseconds_since(&agent->state_due);

	if (is_writing(agent)) {
		agent->state_missed_pods = true;
		go_on_soon(agent);
		return;
	}
	/* state_due is WRITE_PAUSE times the cost after the last write. */
	pause += agent->state_cost * (WRITE_PAUSE_PODS - WRITE_PAUSE);
	if (!event_pending(agent->state_timer, EV_TIMEOUT, NULL))
		write_after(agent, pause > WRITE_PAUSE_PODS_MIN ? pause : WRITE_PAUSE_PODS_MIN);
}
