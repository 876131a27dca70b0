/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "cli/columns.h"
#include "cli/command.h"
#include "cli/kernel.h"
#include "cli/memory.h"
#include "cli/options.h"
#include "cli/output.h"
#include "cli/saved_state.h"
#include "report/state.h"

#define AGENT_PROGRAM "egressd"

/* What there is on the node; each half may be missing. */
struct node_status {
	bool has_state, has_kernel, has_tables;
	const char *state_problem, *kernel_problem; /* static */
	struct saved_state state;
	struct datapath *datapath;
	struct bank bank;
	uint64_t drops_logged, drops_suppressed;
};

static void status_clear(struct node_status *status)
{
	saved_state_clear(&status->state);
	kernel_close(&status->datapath);
}

static void read_kernel(const struct settings *settings, struct node_status *status)
{
	const uint32_t *words;
	size_t count;
	int error = kernel_open(settings, &status->datapath);

	status->has_kernel = !error;
	if (error) {
		status->kernel_problem = kernel_problem(settings, error);
		return;
	}
	status->has_tables =
		!datapath_tables(status->datapath, &words, &count) && !bank_open(words, count, &status->bank);
	if (datapath_drop_log_totals(status->datapath, &status->drops_logged, &status->drops_suppressed))
		log_warning("the drop log cannot be read: %s", datapath_error());
}

static int read_status(const struct settings *settings, struct node_status *status)
{
	int error = saved_state_read(settings->state, &status->state);

	status->has_state = !error;
	if (error)
		status->state_problem = saved_state_problem(settings->state, STATE_FILE, error);
	read_kernel(settings, status);
	if (status->has_state || status->has_kernel)
		return 0;
	log_error("%s; %s", status->state_problem, status->kernel_problem);
	return -ENOENT;
}

/* A pid may have gone to another program since the agent died. */
static bool agent_runs(pid_t pid)
{
	_cleanup_free_ char *path = format_text("/proc/%d/comm", (int)pid);
	_cleanup_file_ FILE *file = fopen(path, "re");
	char name[32] = "";

	if (!file || !fgets(name, sizeof(name), file))
		return false;
	name[strcspn(name, "\n")] = '\0';
	return !strcmp(name, AGENT_PROGRAM);
}

static pid_t agent_pid(const struct saved_state *state)
{
	return (pid_t)json_integer_value(json_object_get(json_object_get(state->root, "agent"), "pid"));
}

static size_t count_isolated(const struct saved_state *state)
{
	size_t count = 0, i;

	for (i = 0; i < state->endpoint_count; i++)
		count += state->endpoints[i].isolated;
	return count;
}

static size_t count_attached(const struct saved_state *state)
{
	size_t count = 0, i;

	for (i = 0; i < state->endpoint_count; i++)
		count += state->endpoints[i].attached;
	return count;
}

/* As the agent found it; older agents did not look. */
static void print_kernel_support(const struct saved_state *state, struct columns *columns)
{
	json_t *lacks = json_object_get(state->root, "kernel_lacks"), *lack;
	size_t i;

	if (!json_object_get(state->root, "kernel_release"))
		return;
	columns_add(columns, "Kernel");
	columns_add(columns, member_text(state->root, "kernel_release"));
	json_array_foreach(lacks, i, lack) {
		columns_add(columns, "Kernel note");
		columns_add(columns, json_string_value(lack));
	}
}

static void print_agent(const struct saved_state *state, struct columns *columns)
{
	const json_t *agent = json_object_get(state->root, "agent");

	columns_add(columns, "Agent");
	columns_format(columns, "%s (version %s, pid %d, started %s)",
		       agent_runs(agent_pid(state)) ? "running" : "not running", member_text(agent, "version"),
		       (int)agent_pid(state), member_text(agent, "started"));
	columns_add(columns, "Source");
	columns_add(columns, member_text(state->root, "source"));
	columns_add(columns, "Ready");
	columns_add(columns, json_is_true(json_object_get(state->root, "ready")) ? "yes" : "no");
	columns_add(columns, "Attached by");
	columns_add(columns, member_text(state->root, "attach"));
	print_kernel_support(state, columns);
	columns_add(columns, "Pods");
	columns_format(columns, "%zu (%zu isolated, %zu attached)", state->endpoint_count, count_isolated(state),
		       count_attached(state));
	columns_add(columns, "Generation");
	columns_format(columns, "%u", state->generation);
}

static void print_kernel(const struct node_status *status, struct columns *columns)
{
	columns_add(columns, "In the kernel");
	if (!status->has_kernel) {
		columns_add(columns, status->kernel_problem);
		return;
	}
	if (status->has_tables)
		columns_format(columns, "generation %u, %u address classes, %u port classes",
			       status->bank.words.generation, status->bank.words.class_count,
			       status->bank.words.port_class_count);
	else
		columns_add(columns, "no policy tables in force yet");
	columns_add(columns, "Drop log");
	columns_format(columns, "%llu written, %llu not written because of the limit",
		       (unsigned long long)status->drops_logged, (unsigned long long)status->drops_suppressed);
}

static void print_problems(const struct saved_state *state)
{
	json_t *problems = json_object_get(state->root, "problems"), *problem;
	size_t i;

	if (json_array_size(problems))
		printf("\nProblems:\n");
	json_array_foreach(problems, i, problem) {
		const char *file = member_text(problem, "file"), *object = member_text(problem, "object");
		long long line = json_integer_value(json_object_get(problem, "line"));
		long long column = json_integer_value(json_object_get(problem, "column"));

		printf("  %s: ", member_text(problem, "severity"));
		if (*file)
			printf("%s:", file);
		if (line)
			printf("%lld:%lld:", line, column);
		if (*file || line)
			printf(" ");
		if (*object)
			printf("%s: ", object);
		printf("%s\n", member_text(problem, "message"));
	}
}

static void print_table(const struct node_status *status)
{
	_cleanup_(columns_clear) struct columns *columns = columns_new(NULL, 2);

	if (status->has_state) {
		print_agent(&status->state, columns);
	} else {
		columns_add(columns, "Agent");
		columns_add(columns, status->state_problem);
	}
	print_kernel(status, columns);
	columns_print(columns, stdout);
	if (status->has_state && status->has_tables && status->bank.words.generation != status->state.generation)
		printf("\nThe tables in the kernel are of another generation than the saved state.\n");
	if (status->has_state)
		print_problems(&status->state);
}

static json_t *encode_kernel(const struct node_status *status)
{
	json_t *kernel = json_new_object();

	json_put(kernel, "generation", status->has_tables ? json_integer(status->bank.words.generation) : json_null());
	json_put(kernel, "address_classes",
		 status->has_tables ? json_integer(status->bank.words.class_count) : json_null());
	json_put(kernel, "port_classes",
		 status->has_tables ? json_integer(status->bank.words.port_class_count) : json_null());
	json_put_number(kernel, "drops_logged", status->drops_logged);
	json_put_number(kernel, "drops_suppressed", status->drops_suppressed);
	return kernel;
}

static json_t *encode_agent(const struct saved_state *state)
{
	json_t *agent = json_deep_copy(json_object_get(state->root, "agent"));

	if (!agent)
		agent = json_new_object();
	json_put_bool(agent, "running", agent_runs(agent_pid(state)));
	return agent;
}

/* A member of state.json as it is, or null. */
static json_t *copy_member(const struct saved_state *state, const char *key)
{
	json_t *value = json_object_get(state->root, key);

	return value ? json_incref(value) : json_null();
}

static void print_json(const struct node_status *status)
{
	static const char *const members[] = {"source",       "ready",      "attach",         "kernel_release",
					      "kernel_lacks", "generation", "node_addresses", "problems"};
	json_t *object = json_new_object();
	size_t i;

	json_put(object, "agent", status->has_state ? encode_agent(&status->state) : json_null());
	for (i = 0; i < ARRAY_SIZE(members); i++)
		json_put(object, members[i], copy_member(&status->state, members[i]));
	json_put(object, "pods",
		 status->has_state ? json_integer((json_int_t)status->state.endpoint_count) : json_null());
	json_put(object, "isolated",
		 status->has_state ? json_integer((json_int_t)count_isolated(&status->state)) : json_null());
	json_put(object, "attached",
		 status->has_state ? json_integer((json_int_t)count_attached(&status->state)) : json_null());
	json_put(object, "kernel", status->has_kernel ? encode_kernel(status) : json_null());
	json_print(object);
}

int command_status(struct invocation *invocation)
{
	_cleanup_(status_clear) struct node_status status = {0};

	if (!options_parse_all(invocation, NULL, 0) || read_status(&invocation->settings, &status))
		return EXIT_ERROR;
	if (invocation->settings.output == OUTPUT_JSON)
		print_json(&status);
	else
		print_table(&status);
	return EXIT_SUCCESS;
}
