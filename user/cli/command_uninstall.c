/* SPDX-License-Identifier: Apache-2.0 */
/* Takes off the node what agents left: needs no agent, and no map that fits this version. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/lock.h"
#include "base/log.h"
#include "cli/command.h"
#include "cli/options.h"
#include "cli/output.h"
#include "datapath/datapath.h"
#include "node/cni_attachment.h"
#include "node/cni_config.h"
#include "report/state.h"

struct removal {
	const struct settings *settings;
	const char *cni_config, *cni_binaries; /* NULL: the usual ones */
	bool dry_run, stay;
	size_t count;
	json_t *steps; /* NULL: lines on standard output instead */
};

struct wording {
	const char *kind; /* in JSON */
	const char *done, *planned;
};

static const struct wording wordings[] = {
	[UNINSTALL_LINK] = {"link", "detached TCX link on", "would detach TCX link on"},
	[UNINSTALL_FILTER] = {"filter", "removed tc filter on", "would remove tc filter on"},
	[UNINSTALL_QDISC] = {"qdisc", "removed clsact qdisc of", "would remove clsact qdisc of"},
	[UNINSTALL_QDISC_LEFT] = {"qdisc_left", "left clsact qdisc, which others use, on",
				  "would leave clsact qdisc, which others use, on"},
	[UNINSTALL_PINS] = {"pins", "removed pins in", "would remove pins in"},
};
static const struct wording state_wording = {"state", "removed state in", "would remove state in"};

static void tell(struct removal *removal, const struct wording *wording, const char *what)
{
	json_t *step;

	removal->count++;
	if (!removal->steps) {
		printf("%s %s\n", removal->dry_run ? wording->planned : wording->done, what);
		return;
	}
	step = json_new_object();
	json_put_text(step, "kind", wording->kind);
	json_put_text(step, "what", what);
	json_append(removal->steps, step);
}

static void visit_step(enum uninstall_step step, const char *what, void *data)
{
	tell(data, &wordings[step], what);
}

/* An agent that runs would put everything on again. */
static int lock_out_agents(const char *path, const char *what, int *lock)
{
	int error = lock_directory(path, lock);

	if (!error || error == -ENOENT || error == -ENOTDIR)
		return 0;
	if (error == -EWOULDBLOCK)
		log_error("%s: an egressd is using this %s directory: stop it first", path, what);
	else
		log_error("%s: cannot lock the %s directory: %s", path, what, strerror(-error));
	return error;
}

static bool state_exists(const char *directory)
{
	char path[4096];

	snprintf(path, sizeof(path), "%s/%s", directory, STATE_FILE);
	return !access(path, F_OK);
}

static int remove_state(struct removal *removal)
{
	const char *directory = removal->settings->state;
	int error;

	if (state_exists(directory))
		tell(removal, &state_wording, directory);
	if (removal->dry_run)
		return 0;
	error = cni_attachments_remove(directory);
	if (!error)
		error = state_directory_remove(directory);
	if (error)
		log_error("%s: cannot remove the state: %s", directory, strerror(-error));
	return error;
}

static const struct wording cni_wordings[] = {
	[CNI_TAKEN_OUT] = {"cni", "took egress-cni out of", "would take egress-cni out of"},
	[CNI_LEFT] = {"cni_left", "left egress-cni, which names another state directory, in",
		      "would leave egress-cni, which names another state directory, in"},
};

static void visit_cni(enum cni_removal_step step, const char *path, void *data)
{
	tell(data, &cni_wordings[step], path);
}

/* First of all: no pod is to be made with a plugin that is going. */
static int remove_cni(struct removal *removal)
{
	const struct cni_removal cni = {
		.state = removal->settings->state,
		.directory = removal->cni_config,
		.binaries = removal->cni_binaries,
		.dry_run = removal->dry_run,
		.visit = visit_cni,
		.data = removal,
	};
	char why[1024] = "";
	int error = cni_config_uninstall(&cni, why, sizeof(why));

	if (error)
		log_error("egress-cni cannot be taken out of the network configuration: %s", why);
	return error;
}

static int remove_all(struct removal *removal)
{
	int error = remove_cni(removal);

	if (error)
		return error;
	error = datapath_uninstall(removal->settings->pin, removal->dry_run, visit_step, removal);
	if (error)
		log_error("%s", datapath_error());
	/* The state says what was in force; it goes last. */
	return error ? error : remove_state(removal);
}

static void print_end(struct removal *removal, int error)
{
	json_t *object;

	if (!removal->steps) {
		if (!removal->count && !error)
			printf("nothing of egressd's is on this node\n");
		return;
	}
	object = json_new_object();
	json_put_bool(object, "dry_run", removal->dry_run);
	json_put_bool(object, "complete", !error);
	json_put(object, "steps", take(removal->steps));
	json_print(object);
}

/* As process 1 of a container it would not be ended by a signal that it does not wait for. */
static int wait_for_signal(void)
{
	sigset_t ends;
	int signal;

	sigemptyset(&ends);
	sigaddset(&ends, SIGTERM);
	sigaddset(&ends, SIGINT);
	if (sigprocmask(SIG_BLOCK, &ends, NULL) || fflush(stdout))
		return -errno;
	return -sigwait(&ends, &signal);
}

int command_uninstall(struct invocation *invocation)
{
	_cleanup_fd_ int pin_lock = -1, state_lock = -1;
	struct removal removal = {.settings = &invocation->settings};
	const struct command_option options[] = {
		{"dry-run", 0, OPTION_FLAG, &removal.dry_run},
		{"stay", 0, OPTION_FLAG, &removal.stay},
		{"cni-config", 0, OPTION_TEXT, &removal.cni_config},
		{"cni-bin", 0, OPTION_TEXT, &removal.cni_binaries},
	};
	int error;

	if (!options_parse_all(invocation, options, ARRAY_SIZE(options)))
		return EXIT_ERROR;
	if (!removal.dry_run && (lock_out_agents(invocation->settings.pin, "pin", &pin_lock) ||
				 lock_out_agents(invocation->settings.state, "state", &state_lock)))
		return EXIT_ERROR;
	if (invocation->settings.output == OUTPUT_JSON)
		removal.steps = json_new_array();
	error = remove_all(&removal);
	print_end(&removal, error);
	if (!error && removal.stay)
		error = wait_for_signal();
	return error ? EXIT_ERROR : EXIT_SUCCESS;
}
