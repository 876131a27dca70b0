/* SPDX-License-Identifier: Apache-2.0 */
/* What /metrics says. Packet counters are read from the kernel's maps at every scrape, so they never lag. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <egressd/version.h>

#include "agent/agent.h"
#include "base/cleanup.h"
#include "report/metrics.h"
#include "source/kube.h"

struct pod_counters {
	const struct endpoint *endpoint; /* NULL: slot 0, packets that no pod can be blamed for */
	struct egress_counter allowed;
	struct egress_counter dropped[EGRESS_DROP_REASON_SLOTS];
};

static const char *const reason_names[] = {
#define REASON_NAME(name, label, text) [EGRESS_DROP_##name] = label,
	EGRESS_DROP_REASONS(REASON_NAME)
#undef REASON_NAME
};

/* ------------------------------------------------------------------ packets */

static int read_pod(struct agent *agent, const struct endpoint *endpoint, struct pod_counters *out)
{
	out->endpoint = endpoint;
	return datapath_counters(agent->datapath, endpoint ? endpoint->id : EGRESS_ENDPOINT_NONE, &out->allowed,
				 out->dropped);
}

/*
 * An id comes with what its last owner counted until its first entry in the kernel: a pod without one has sent nothing.
 */
static int read_all(struct agent *agent, struct pod_counters **out, size_t *count)
{
	_cleanup_free_ struct pod_counters *pods = NULL;
	struct endpoint *endpoint;
	size_t read = 0;
	int error;

	pods = calloc(HASH_COUNT(agent->endpoints.current) + 1, sizeof(*pods));
	if (!pods)
		return -ENOMEM;
	error = read_pod(agent, NULL, &pods[read++]);
	for (endpoint = agent->endpoints.current; endpoint && !error; endpoint = endpoint->hh.next) {
		if (endpoint->id && endpoint->owns_id)
			error = read_pod(agent, endpoint, &pods[read++]);
		else
			pods[read++].endpoint = endpoint;
	}
	if (error)
		return error;
	*out = take(pods);
	*count = read;
	return 0;
}

static void write_allowed(FILE *out, const char *name, const char *help, const struct pod_counters *pods, size_t count,
			  bool bytes)
{
	size_t i;

	metrics_family(out, name, METRIC_COUNTER, help);
	for (i = 0; i < count; i++) {
		const struct endpoint *endpoint = pods[i].endpoint;

		if (endpoint) {
			const struct metric_label labels[] = {
				{"namespace", endpoint->namespace}, {"pod", endpoint->name}, {NULL, NULL}};

			metrics_sample(out, name, labels, bytes ? pods[i].allowed.bytes : pods[i].allowed.packets);
		}
	}
}

/* "policy" stands from the start, so that the first drop shows as an increase; the others when they happen. */
static void write_reasons(FILE *out, const char *name, const struct pod_counters *pod, bool bytes)
{
	size_t reason;

	for (reason = EGRESS_DROP_NONE + 1; reason < EGRESS_DROP_REASON_COUNT; reason++) {
		const struct metric_label labels[] = {
			{"namespace", pod->endpoint ? pod->endpoint->namespace : ""},
			{"pod", pod->endpoint ? pod->endpoint->name : ""},
			{"reason", reason_names[reason]},
			{NULL, NULL}};

		if (pod->dropped[reason].packets || (reason == EGRESS_DROP_POLICY && pod->endpoint))
			metrics_sample(out, name, labels,
				       bytes ? pod->dropped[reason].bytes : pod->dropped[reason].packets);
	}
}

static void write_dropped(FILE *out, const char *name, const char *help, const struct pod_counters *pods, size_t count,
			  bool bytes)
{
	size_t i;

	metrics_family(out, name, METRIC_COUNTER, help);
	for (i = 0; i < count; i++)
		write_reasons(out, name, &pods[i], bytes);
}

static int write_packets(struct agent *agent, FILE *out)
{
	_cleanup_free_ struct pod_counters *pods = NULL;
	size_t count;
	int error = read_all(agent, &pods, &count);

	if (error)
		return error;
	write_allowed(out, "egressd_allowed_packets_total", "Packets from a pod that were let through.", pods, count,
		      false);
	write_allowed(out, "egressd_allowed_bytes_total", "Bytes of packets from a pod that were let through.", pods,
		      count, true);
	write_dropped(out, "egressd_dropped_packets_total", "Packets from a pod that were dropped, by reason.", pods,
		      count, false);
	write_dropped(out, "egressd_dropped_bytes_total", "Bytes of packets from a pod that were dropped, by reason.",
		      pods, count, true);
	return 0;
}

/* ------------------------------------------------------------------ the agent */

static void write_build(FILE *out)
{
	const struct metric_label labels[] = {{"version", EGRESSD_VERSION}, {"commit", EGRESSD_COMMIT}, {NULL, NULL}};

	metrics_family(out, "egressd_build_info", METRIC_GAUGE, "Always 1; the labels say what was built.");
	metrics_sample(out, "egressd_build_info", labels, 1);
}

static uint64_t count_without_interface(const struct agent *agent)
{
	const struct endpoint *endpoint;
	uint64_t count = 0;

	for (endpoint = agent->endpoints.current; endpoint; endpoint = endpoint->hh.next)
		count += endpoint->problem && !endpoint->wanted;
	return count;
}

static void write_policy(struct agent *agent, FILE *out)
{
	const struct generation *generation = &agent->generation;
	struct policy_statistics statistics = {0};

	if (generation->policy)
		policy_statistics(generation->policy, &statistics);
	metrics_single(out, "egressd_policies", METRIC_GAUGE, "NetworkPolicies in force, selecting a local pod or not.",
		       agent->policies_in_force);
	metrics_single(out, "egressd_policies_selecting", METRIC_GAUGE,
		       "NetworkPolicies in force that isolate a pod of this node.", statistics.policies);
	metrics_single(out, "egressd_endpoints", METRIC_GAUGE, "Pods of this node that egressd enforces policy for.",
		       HASH_COUNT(agent->endpoints.current));
	metrics_single(out, "egressd_endpoints_isolated", METRIC_GAUGE,
		       "Pods of this node that at least one policy isolates.", statistics.isolated);
	metrics_single(out, "egressd_interfaces_held", METRIC_GAUGE,
		       "Interfaces that may send nothing: until their pod's policy is in force, or as they lead past it.",
		       pending_count(agent));
	metrics_single(out, "egressd_endpoints_without_interface", METRIC_GAUGE,
		       "Pods of this node whose interface cannot be found, so that their policy is not in force.",
		       count_without_interface(agent));
	metrics_single(out, "egressd_endpoints_mismatched", METRIC_GAUGE,
		       "Pods of this node whose address its routes or bridges have behind another interface than policy.",
		       crosscheck_mismatches(agent));
	metrics_single(out, "egressd_generation", METRIC_GAUGE, "Number of the generation of tables in force.",
		       generation->number);
	metrics_single(out, "egressd_address_classes", METRIC_GAUGE, "Address classes of the tables in force.",
		       statistics.classes);
	metrics_single(out, "egressd_rows", METRIC_GAUGE, "Rows of the tables in force.", statistics.rows);
	metrics_single(out, "egressd_table_words", METRIC_GAUGE, "Words (4 bytes) of table memory in use.",
		       generation->tables ? tables_used(generation->tables) : 0);
}

static void write_health(const struct agent *agent, FILE *out)
{
	metrics_single(out, "egressd_ready", METRIC_GAUGE, "1 when every local pod's policy is in the kernel.",
		       agent_is_ready(agent, NULL));
	metrics_single(out, "egressd_source_files_bad", METRIC_GAUGE,
		       "Files that are wrong at present; their last good versions are in force.", agent->bad_files);
	metrics_single(out, "egressd_source_errors_total", METRIC_COUNTER, "Errors found in what the source holds.",
		       agent->source_errors);
	metrics_single(out, "egressd_build_errors_total", METRIC_COUNTER,
		       "Attempts to bring new objects into force that failed.", agent->build_errors);
	metrics_single(out, "egressd_attach_errors_total", METRIC_COUNTER,
		       "Attempts to attach to a pod's interface that failed.", agent->attach_errors);
	metrics_single(out, "egressd_connection_errors_total", METRIC_COUNTER,
		       "Pods, and times for all pods, whose connections from before could not be looked up.",
		       agent->connection_errors);
	metrics_single(out, "egressd_state_errors_total", METRIC_COUNTER,
		       "Attempts to write the state for egressctl and the next start that failed.", agent->state_errors);
	metrics_single(out, "egressd_repairs_total", METRIC_COUNTER,
		       "Interfaces attached again and pins made again after someone took them away.", agent->repairs);
	metrics_single(out, "egressd_pod_changes_total", METRIC_COUNTER,
		       "Changes of pods of other nodes that the tables in force followed in place.", agent->pod_changes);
	metrics_single(out, "egressd_pod_change_nanoseconds_total", METRIC_COUNTER,
		       "Processor time from the notice of such changes until they were in force.", agent->pod_change_cpu);
	metrics_single(out, "egressd_start_time_seconds", METRIC_GAUGE, "When the agent started, in Unix time.",
		       (uint64_t)agent->started);
}

/* A sample for each resource that is followed. */
static void write_resources(FILE *out, const char *name, enum metric_type type, const char *help,
			    const struct kube_source_resource *resources, size_t count,
			    uint64_t (*value)(const struct kube_source_resource *))
{
	size_t i;

	metrics_family(out, name, type, help);
	for (i = 0; i < count; i++) {
		const struct metric_label labels[] = {{"resource", resources[i].name}, {NULL, NULL}};

		metrics_sample(out, name, labels, value(&resources[i]));
	}
}

static uint64_t resource_synced(const struct kube_source_resource *resource)
{
	return resource->synced;
}

static uint64_t resource_objects(const struct kube_source_resource *resource)
{
	return resource->objects;
}

static uint64_t resource_lists(const struct kube_source_resource *resource)
{
	return resource->lists;
}

static uint64_t resource_watches(const struct kube_source_resource *resource)
{
	return resource->watches;
}

static uint64_t resource_events(const struct kube_source_resource *resource)
{
	return resource->events;
}

static uint64_t resource_errors(const struct kube_source_resource *resource)
{
	return resource->errors;
}

/* Seconds; since the start of the agent where the API has said nothing yet. */
static uint64_t resource_staleness(const struct kube_source_resource *resource)
{
	return (uint64_t)resource->silence_ms / 1000;
}

#define RESOURCES_MAX 16

static void write_api(const struct agent *agent, FILE *out)
{
	struct kube_source_resource resources[RESOURCES_MAX];
	size_t count, i;

	if (agent->options->directory)
		return;
	count = kube_source_resources(agent->source, resources, RESOURCES_MAX);
	for (i = 0; i < count; i++)
		if (resources[i].silence_ms < 0)
			resources[i].silence_ms = (int64_t)(time(NULL) - agent->started) * 1000;
	write_resources(out, "egressd_api_staleness_seconds", METRIC_GAUGE,
			"Seconds since the API server last said something about the resource.", resources, count,
			resource_staleness);
	write_resources(out, "egressd_api_synced", METRIC_GAUGE, "1 when the resource was seen as a whole.", resources,
			count, resource_synced);
	write_resources(out, "egressd_api_objects", METRIC_GAUGE, "Objects of the resource that are kept.", resources,
			count, resource_objects);
	write_resources(out, "egressd_api_lists_total", METRIC_COUNTER, "Times that the resource was read as a whole.",
			resources, count, resource_lists);
	write_resources(out, "egressd_api_watches_total", METRIC_COUNTER, "Watches of the resource that were begun.",
			resources, count, resource_watches);
	write_resources(out, "egressd_api_events_total", METRIC_COUNTER, "Objects of the resource that came in.",
			resources, count, resource_events);
	write_resources(out, "egressd_api_errors_total", METRIC_COUNTER, "Requests for the resource that failed.",
			resources, count, resource_errors);
}

static void write_drop_log(struct agent *agent, FILE *out)
{
	uint64_t written, suppressed;

	if (datapath_drop_log_totals(agent->datapath, &written, &suppressed))
		return;
	metrics_single(out, "egressd_drop_events_total", METRIC_COUNTER, "Drops written to the drop log.", written);
	metrics_single(out, "egressd_drop_events_suppressed_total", METRIC_COUNTER,
		       "Drops not written to the drop log because of its rate limit.", suppressed);
}

int agent_write_metrics(struct agent *agent, FILE *out)
{
	int error = write_packets(agent, out);

	if (error)
		return error;
	write_build(out);
	write_policy(agent, out);
	write_health(agent, out);
	write_api(agent, out);
	write_drop_log(agent, out);
	return ferror(out) ? -ENOMEM : 0;
}
