/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What comes before the loop. Whatever can keep the agent from starting is found here before anything in the kernel
 * changes, so that what a predecessor left in force stays as it is.
 */
#include <errno.h>
#include <linux/capability.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "agent/agent.h"
#include "base/cleanup.h"
#include "base/confine.h"
#include "base/lock.h"
#include "report/state.h"
#include "source/kube.h"
#include "source/watched_directory.h"

/* linux/capability.h of a kernel before 5.8 lacks them. */
#ifndef CAP_BPF
#define CAP_PERFMON 38
#define CAP_BPF     39
#endif

/* How long a file may stay open for writing before the start gives up on it. */
#define BUSY_ATTEMPTS 40
#define BUSY_PAUSE_NS 50000000L

/* ------------------------------------------------------------------ directories, port */

static int lock(const struct agent_options *options, const char *path, const char *what, int *out)
{
	int error = lock_directory(path, out);

	if (error == -EWOULDBLOCK && options->wait_for_lock) {
		log_info("%s: another egressd is using this %s directory: waiting until it ends", path, what);
		error = lock_directory_wait(path, out);
	}
	if (error == -EWOULDBLOCK)
		log_error("%s: another egressd is using this %s directory", path, what);
	else if (error)
		log_error("%s: cannot lock the %s directory: %s", path, what, strerror(-error));
	return error;
}

static int prepare_state(struct agent *agent)
{
	const char *state = agent->options->state;
	int error = state_directory_prepare(state);

	if (error) {
		log_error("%s: cannot create the state directory: %s", state, strerror(-error));
		return error;
	}
	return lock(agent->options, state, "state", &agent->state_lock);
}

/* Before anything there is looked at: what another agent is about to change is not to be adopted. */
static int prepare_pins(struct agent *agent)
{
	const char *pin = agent->options->pin;
	struct stat status;
	int error;

	/* Anew where `egressctl uninstall`, which had the lock, removed the directory. */
	do {
		error = datapath_prepare_pins(pin);
		if (error) {
			log_error("%s", datapath_error());
			return error;
		}
		error = lock(agent->options, pin, "pin", &agent->pin_lock);
	} while (error == -ENOENT && stat(pin, &status));
	return error;
}

static int prepare_listener(struct agent *agent)
{
	if (!agent->options->serve)
		return 0;
	return serve_bind(agent->options, &agent->listener);
}

/*
 * From here on the agent can do no more than it has to until its end; so what would fail for that fails at the start,
 * not at the first change. What came before and needed more: the limit of locked memory (before 5.11 maps count against
 * it), the directories, a port below 1024.
 */
static int give_up_privileges(const struct agent *agent)
{
	static const int kept[] = {
		CAP_NET_ADMIN,       /* tc filters and TCX links, programs of that kind, conntrack */
		CAP_BPF,             /* maps and programs */
		CAP_PERFMON,         /* the verifier without the limits for the unprivileged */
		CAP_SYS_ADMIN,       /* pods' network namespaces (setns), programs and links by id, a bpffs to mount */
		CAP_SYS_PTRACE,      /* /proc/<pid>/ns/net of a process that has what we gave up; ptrace() is filtered */
		CAP_DAC_READ_SEARCH, /* manifests that are not root's; nothing is written by it */
		CAP_LEASE,           /* whether one of these is open for writing */
	};
	/* Files in a directory need no help; other sources may need programs that get them credentials. */
	unsigned int purposes = agent->options->directory ? 0 : CONFINE_RUN_PROGRAMS;
	const char *failed = "";
	int error = confine(kept, ARRAY_SIZE(kept), purposes, &failed);

	if (error)
		log_error("privileges cannot be given up (%s): %s", failed, strerror(-error));
	return error;
}

/* ------------------------------------------------------------------ objects */

/* One line: the first error, and how many there are. */
static void tell_first_error(const struct problem_list *problems)
{
	char text[1024], more[96] = "";
	size_t i;

	for (i = 0; i < problems->count && problems->items[i].severity != PROBLEM_ERROR; i++)
		;
	if (i == problems->count)
		return;
	if (problems->errors > 1)
		snprintf(more, sizeof(more), " (and %zu more errors; `egressctl check` shows all)",
			 problems->errors - 1);
	problem_format(&problems->items[i], text, sizeof(text));
	if (problems->items[i].object)
		log_error("%s: %s%s", problems->items[i].object, text, more);
	else
		log_error("%s%s", text, more);
}

static const struct problem *find_busy(const struct problem_list *problems)
{
	size_t i;

	for (i = 0; i < problems->count; i++)
		if (!strcmp(problems->items[i].rule, "busy"))
			return &problems->items[i];
	return NULL;
}

/* There is no last good version yet that could stand in for a file that is just being written. */
static int read_source_when_closed(struct agent *agent)
{
	const struct timespec pause = {.tv_nsec = BUSY_PAUSE_NS};
	const struct problem *busy;
	int attempt, error;

	for (attempt = 1;; attempt++) {
		error = agent_read_source(agent);
		if (error)
			return error;
		busy = find_busy(&agent->source_problems);
		if (!busy)
			return 0;
		if (attempt == BUSY_ATTEMPTS) {
			log_error("%s: %s", busy->file, busy->message);
			return -EBUSY;
		}
		nanosleep(&pause, NULL);
	}
}

static int prepare_directory(struct agent *agent)
{
	const char *directory = agent->options->directory;
	int error = watched_directory_new(directory, &agent->source);

	if (error) {
		log_error("%s: cannot read the directory of manifests: %s", directory, strerror(-error));
		return error;
	}
	error = store_new(&agent->store);
	if (error) {
		log_error("no memory for the objects");
		return error;
	}
	error = read_source_when_closed(agent);
	if (error)
		return error;
	if (agent->source_problems.errors) {
		tell_first_error(&agent->source_problems);
		return -EINVAL;
	}
	return 0;
}

/* What was in force last, for as long as the API has not said what there is now. */
static int restore_objects(struct agent *agent)
{
	const char *state = agent->options->state;
	int error = state_read_objects(state, &agent->store, &agent->restored);

	if (!error) {
		agent->has_objects = true;
		return 0;
	}
	if (error == -EINVAL && !state_set_aside_objects(state))
		log_warning("%s/%s: damaged: set aside as %s; what there is comes from the API alone", state,
			    STATE_OBJECTS_FILE, STATE_OBJECTS_DAMAGED);
	else if (error != -ENOENT)
		log_warning("%s/%s: %s", state, STATE_OBJECTS_FILE, strerror(-error));
	error = store_new(&agent->store);
	if (error)
		log_error("no memory for the objects");
	return error;
}

static int read_kube_config(const struct agent_options *options, struct kube_config *out)
{
	_cleanup_free_ char *problem = NULL;
	int error;

	if (options->kubeconfig)
		error = kube_config_read(options->kubeconfig, options->context, out, &problem);
	else
		error = kube_config_in_cluster(NULL, out, &problem);
	if (error)
		log_error("%s", problem ? problem : "no memory to read how to reach the Kubernetes API");
	return error;
}

static int prepare_kube(struct agent *agent)
{
	_cleanup_(kube_config_clear) struct kube_config config = {0};
	struct kube_source_options options = {.node_name = agent->options->node,
					      .silence = agent->options->api_silence};
	int error = read_kube_config(agent->options, &config);

	if (error)
		return error;
	log_info("%s: the Kubernetes API at %s; this node is %s", config.origin, config.server, options.node_name);
	error = restore_objects(agent);
	if (error)
		return error;
	if (agent->has_objects)
		options.restored = agent->store;
	error = kube_source_new(&config, &options, &agent->source);
	if (error)
		log_error("no memory for the objects");
	return error;
}

static int prepare_objects(struct agent *agent)
{
	int error = agent->options->directory ? prepare_directory(agent) : prepare_kube(agent);

	if (error)
		return error;
	error = store_track(agent->store);
	if (error)
		log_error("no memory for the objects");
	return error;
}

static int prepare_policy(struct agent *agent)
{
	bool changed;
	int error = agent_find_node_addresses(agent, &changed);

	if (error) {
		log_error("the addresses of this node cannot be listed: %s", strerror(-error));
		return error;
	}
	/* What comes from the API is checked when it is there. */
	if (!agent->options->directory) {
		agent->recompile = true;
		return 0;
	}
	if (endpoints_match(&agent->endpoints, agent->store, &agent->locality)) {
		log_error("no memory for the endpoints");
		return -ENOMEM;
	}
	error = agent_compile(agent, &agent->compiled);
	if (error == -ENOMEM)
		log_error("no memory to compile the policies");
	else if (error)
		tell_first_error(&agent->policy_problems);
	agent->recompile = true;
	return error;
}

/* ------------------------------------------------------------------ interfaces */

/* What the state of a predecessor says of a pod; NULL: nothing. Borrowed from `state`. */
static const json_t *find_saved(const json_t *state, const char *namespace, const char *name)
{
	json_t *list = json_object_get(state, "endpoints"), *entry;
	size_t i;

	json_array_foreach(list, i, entry) {
		const char *saved_namespace = json_string_value(json_object_get(entry, "namespace"));
		const char *saved_name = json_string_value(json_object_get(entry, "pod"));

		if (saved_namespace && saved_name && !strcmp(saved_namespace, namespace) && !strcmp(saved_name, name))
			return entry;
	}
	return NULL;
}

/*
 * A pod whose interface, by an annotation, cannot be found keeps the agent from starting: a name is misspelt. Not so where a predecessor
 * knew the pod: its interface went meanwhile, and the other pods must not suffer for it.
 */
static int check_interfaces(struct agent *agent, const json_t *state)
{
	struct endpoint *endpoint;

	attachments_resolve(agent, true);
	for (endpoint = agent->endpoints.current; endpoint; endpoint = endpoint->hh.next) {
		const struct place *place = &endpoint->pod->pod.interface_place;

		if (!endpoint->problem || !place->line || find_saved(state, endpoint->namespace, endpoint->name))
			continue;
		log_error("%s:%u:%u: Pod %s: %s", place->file, place->line, place->column, endpoint->key,
			  endpoint->problem);
		return -ENODEV;
	}
	return 0;
}

/* ------------------------------------------------------------------ what a predecessor left */

static bool same_addresses(const struct agent *agent, const struct endpoint *endpoint, const struct egress_endpoint *entry)
{
	struct egress_endpoint own = attachments_entry(agent, endpoint);

	return own.ipv4 == entry->ipv4 && !memcmp(own.ipv6, entry->ipv6, sizeof(own.ipv6));
}

static const json_t *find_saved_entry(const json_t *state, const struct egress_endpoint *entry)
{
	json_t *list = json_object_get(state, "endpoints"), *saved;
	size_t i;

	json_array_foreach(list, i, saved)
		if (json_integer_value(json_object_get(saved, "id")) == entry->id &&
		    json_integer_value(json_object_get(saved, "ifindex")) == entry->ifindex)
			return saved;
	return NULL;
}

static const char *saved_text(const json_t *saved, const char *member)
{
	const char *text = json_string_value(json_object_get(saved, member));

	return text ? text : "";
}

/*
 * The kernel knows which ids are in use, the state whose they are. Without state (or with one that is older than the
 * entry) a pod that has the same interface and the same addresses is taken for the owner.
 */
static int adopt(struct agent *agent, const struct endpoint_table *found, const struct egress_endpoint *entry,
		 const json_t *state)
{
	const json_t *saved = find_saved_entry(state, entry);
	const struct endpoint *owner;

	if (saved)
		return endpoints_adopt(&agent->endpoints, entry, saved_text(saved, "namespace"),
				       saved_text(saved, "pod"), saved_text(saved, "uid"));
	owner = endpoints_wanting(found, entry->ifindex);
	if (owner && same_addresses(agent, owner, entry))
		return endpoints_adopt(&agent->endpoints, entry, owner->namespace, owner->name, owner->uid);
	return endpoints_adopt(&agent->endpoints, entry, "", "", "");
}

static int adopt_endpoints(struct agent *agent, const json_t *state)
{
	_cleanup_(endpoints_clear) struct endpoint_table found = agent->endpoints;
	_cleanup_free_ struct egress_endpoint *entries = NULL;
	size_t count, i;
	int error;

	agent->endpoints = (struct endpoint_table){0};
	/* Attached but without an entry, or the second with an id: nobody's, and swept off. */
	agent->sweep_due = true;
	error = datapath_endpoint_list(agent->datapath, &entries, &count);
	if (error) {
		log_error("%s", datapath_error());
		return error;
	}
	for (i = 0; i < count; i++) {
		error = adopt(agent, &found, &entries[i], state);
		if (error && error != -EEXIST) {
			log_error("no memory for the endpoints");
			return error;
		}
	}
	return 0;
}

/* The control structure of the tables in force, all of which are `words` long; NULL: there are none. */
static const struct egress_control *tables_adopted(struct agent *agent, size_t *words)
{
	const struct egress_control *control;
	const uint32_t *memory;

	if (datapath_tables(agent->datapath, &memory, words) || *words < EGRESS_CONTROL_WORDS)
		return NULL;
	control = (const struct egress_control *)memory;
	return control->magic == EGRESS_TABLES_MAGIC && control->active < EGRESS_BANKS ? control : NULL;
}

/*
 * The predecessor had followed changes that it did not come to write down, or to write down as a whole: then the tables
 * are closer to what there is than the objects are, and stay as they are until the source has said what there is.
 */
static void compare_objects(struct agent *agent, const struct egress_bank *bank)
{
	const struct state_view *restored = &agent->restored;

	if (!agent->has_objects || !restored->generation || !bank->generation ||
	    (restored->generation == bank->generation && restored->changes == bank->changes))
		return;
	log_warning("%s/%s: older than what is in force, which stays as it is until the API has said what there is",
		    agent->options->state, STATE_OBJECTS_FILE);
	agent->has_objects = false;
}

/* The predecessor's generation, and which pods it left open. */
static void adopt_generation(struct agent *agent)
{
	struct endpoint *endpoint;
	size_t words;
	const struct egress_control *control = tables_adopted(agent, &words);
	const struct egress_bank *bank;

	if (!control)
		return;
	bank = &control->bank[control->active];
	compare_objects(agent, bank);
	agent->generation.number = bank->generation;
	if (!bank->generation || bank->sets > words || words - bank->sets < EGRESS_ENDPOINT_MAX)
		return;
	for (endpoint = agent->endpoints.current; endpoint; endpoint = endpoint->hh.next)
		endpoint->was_open = ((const uint32_t *)control)[bank->sets + endpoint->id] == EGRESS_SET_OPEN;
}

static int open_datapath(struct agent *agent)
{
	struct datapath_options options = {.pin = agent->options->pin, .attach = agent->options->attach, .take_over = true};
	int error = datapath_open(&options, &agent->datapath);

	if (error)
		log_error("%s", datapath_error());
	return error;
}

static int watch_interfaces(struct agent *agent)
{
	int error = interface_watch_new(&agent->interfaces);

	if (error)
		log_error("interfaces cannot be watched: %s", strerror(-error));
	return error;
}

static void free_json(json_t **json)
{
	json_decref(*json);
}

static int check_datapath(void)
{
	int error = datapath_check();

	if (error)
		log_error("%s", datapath_error());
	return error;
}

/* One line, and a warning for each thing that somebody should do something about. */
static void tell_kernel(const struct kernel_support *kernel)
{
	struct kernel_note notes[KERNEL_NOTES_MAX];
	size_t count = kernel_support_notes(kernel, notes), i;
	char line[1024] = "";

	for (i = 0; i < count; i++) {
		size_t length = strlen(line);

		if (notes[i].warning)
			log_warning("kernel %s: %s", kernel->name.release, notes[i].text);
		else
			snprintf(line + length, sizeof(line) - length, "%s%s", length ? "; " : "", notes[i].text);
	}
	log_info("kernel %s: %s", kernel->name.release, *line ? line : "nothing is missing");
}

int agent_prepare(struct agent *agent)
{
	_cleanup_(free_json) json_t *state = NULL;
	int error = check_datapath();

	/* Before the pins are prepared, which may mount a bpffs. */
	if (!error)
		kernel_support_probe("", agent->options->pin, &agent->kernel);
	if (!error)
		error = prepare_state(agent);
	if (!error)
		error = prepare_pins(agent);
	if (!error)
		error = prepare_listener(agent);
	if (!error)
		error = give_up_privileges(agent);
	if (!error)
		error = prepare_objects(agent);
	if (!error)
		error = agent_watch_attachments(agent);
	if (!error)
		error = prepare_policy(agent);
	/* Notices of interfaces count from here on; what is there already is found below. */
	if (!error)
		error = watch_interfaces(agent);
	if (error)
		return error;
	error = state_read(agent->options->state, STATE_FILE, &state);
	if (error && error != -ENOENT)
		log_warning("%s/%s: %s; it is made anew", agent->options->state, STATE_FILE,
			    error == -EINVAL ? "damaged" : strerror(-error));
	error = check_interfaces(agent, state);
	if (!error)
		error = open_datapath(agent);
	if (error)
		return error;
	/* Not sooner: an agent that cannot start says why in one line. */
	tell_kernel(&agent->kernel);
	error = adopt_endpoints(agent, state);
	if (!error)
		adopt_generation(agent);
	return error;
}
