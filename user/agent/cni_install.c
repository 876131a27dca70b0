/* SPDX-License-Identifier: Apache-2.0 */
/* --install-cni: egress-cni is, and stays, in the network configuration that runtimes take. */
#include <errno.h>
#include <string.h>

#include "agent/agent.h"
#include "node/cni_config.h"

static struct cni_config config_of(const struct agent *agent)
{
	return (struct cni_config){
		.directory = agent->options->install_cni,
		.binaries = agent->options->cni_binaries,
		.state = agent->options->state,
		.pin = agent->options->pin,
		.on_agent_down = agent->options->on_agent_down,
	};
}

void cni_install_check(struct agent *agent)
{
	const struct cni_config config = config_of(agent);
	char why[512] = "";
	bool changed = false;
	int error;

	if (!config.directory)
		return;
	/* A configuration must not name a program that is not there, nor one that nobody would take out again. */
	error = cni_binary_install(&config, why, sizeof(why));
	if (!error) {
		error = cni_config_remember(&config);
		if (error)
			snprintf(why, sizeof(why), "%s: %s", config.state, strerror(-error));
	}
	if (!error)
		error = cni_config_install(&config, &changed, why, sizeof(why));
	if (changed)
		log_info("%s: egress-cni is in the network configuration", config.directory);
	if (error)
		agent_set_failure(&agent->cni_failure, "egress-cni is not installed: %s", why);
	else
		agent_set_failure(&agent->cni_failure, NULL);
	agent_report_state(agent);
}

static void on_change(evutil_socket_t fd, short what, void *data)
{
	struct agent *agent = data;

	(void)fd;
	(void)what;
	if (tree_watch_dispatch(agent->cni_watch))
		cni_install_check(agent);
}

int cni_install_start(struct agent *agent)
{
	const char *directory = agent->options->install_cni;
	int error;

	if (!directory)
		return 0;
	error = tree_watch_new(&agent->cni_watch);
	if (!error) {
		tree_watch_begin(agent->cni_watch);
		error = tree_watch_directory(agent->cni_watch, directory);
		tree_watch_end(agent->cni_watch);
	}
	if (!error) {
		agent->cni_event =
			event_new(agent->loop, tree_watch_fd(agent->cni_watch), EV_READ | EV_PERSIST, on_change, agent);
		error = !agent->cni_event || event_add(agent->cni_event, NULL) ? -ENOMEM : 0;
	}
	if (error) {
		log_error("%s: the network configuration cannot be watched: %s", directory, strerror(-error));
		return error;
	}
	cni_install_check(agent);
	return 0;
}

void cni_install_stop(struct agent *agent)
{
	if (agent->cni_event)
		event_free(agent->cni_event);
	tree_watch_free(agent->cni_watch);
}
