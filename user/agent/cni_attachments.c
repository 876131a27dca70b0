/* SPDX-License-Identifier: Apache-2.0 */
/* What egress-cni left of the pods of this node, followed as it changes. */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "agent/agent.h"
#include "base/cleanup.h"
#include "base/text.h"

/* The list that endpoints point into is about to go. */
static void forget_list(struct agent *agent)
{
	struct endpoint *endpoint;

	for (endpoint = agent->endpoints.current; endpoint; endpoint = endpoint->hh.next)
		endpoint->attachment = NULL;
	cni_attachment_list_clear(&agent->locality.attachments);
}

int agent_read_attachments(struct agent *agent)
{
	struct cni_attachment_list list;
	int error = cni_attachments_prune(agent->options->state);

	if (!error)
		error = cni_attachment_list_read(agent->options->state, &list);
	agent->attachments_unread = error != 0;
	if (error) {
		agent_set_failure(&agent->attachment_failure, "%s/%s: %s; what was read last counts",
				  agent->options->state, CNI_ATTACHMENTS_DIRECTORY, strerror(-error));
		return error;
	}
	forget_list(agent);
	agent->locality.attachments = list;
	if (list.damaged)
		agent_set_failure(&agent->attachment_failure, "%s; filters are taken off nowhere until it is removed",
				  list.damage ? list.damage : "an attachment cannot be read");
	else
		agent_set_failure(&agent->attachment_failure, NULL);
	return 0;
}

static void prune(const struct agent *agent, const struct cni_attachment *attachment)
{
	int error = cni_attachment_remove(agent->options->state, attachment->container, attachment->ifname);

	if (error)
		log_debug("%s/%s: its attachment stays: %s", attachment->namespace, attachment->pod, strerror(-error));
	else
		log_info("%s/%s: interface %s, its network namespace and its Pod are gone, though DEL never came: forgotten",
			 attachment->namespace, attachment->pod, attachment->interface);
}

void agent_prune_attachments(struct agent *agent)
{
	const struct cni_attachment_list *list = &agent->locality.attachments;
	size_t i;

	/* What is not matched, or what Pods were not read, says nothing. */
	if (agent->attachments_news || agent->half_reads)
		return;
	for (i = 0; i < list->count; i++)
		if (!list->items[i].deleted && !endpoints_need(&agent->endpoints, agent->store, &list->items[i]) &&
		    cni_attachment_is_over(&list->items[i]))
			prune(agent, &list->items[i]);
}

/* Makes the directory, and watches it. */
static int watch_directory(struct agent *agent)
{
	_cleanup_free_ char *directory = text_format("%s/%s", agent->options->state, CNI_ATTACHMENTS_DIRECTORY);
	int error = directory ? 0 : -ENOMEM;

	if (!error && mkdir(directory, 0700) && errno != EEXIST)
		error = -errno;
	if (!error) {
		tree_watch_begin(agent->attachment_watch);
		error = tree_watch_directory(agent->attachment_watch, directory);
		tree_watch_end(agent->attachment_watch);
	}
	return error;
}

int agent_watch_attachments(struct agent *agent)
{
	int error = agent->attachment_watch ? 0 : tree_watch_new(&agent->attachment_watch);

	if (!error)
		error = watch_directory(agent);
	if (error) {
		agent_set_failure(&agent->watch_failure, "%s/%s: cannot be watched: %s", agent->options->state,
				  CNI_ATTACHMENTS_DIRECTORY, strerror(-error));
		return error;
	}
	agent_set_failure(&agent->watch_failure, NULL);
	return agent_read_attachments(agent);
}

void agent_unwatch_attachments(struct agent *agent)
{
	tree_watch_begin(agent->attachment_watch);
	tree_watch_end(agent->attachment_watch);
}

bool agent_check_attachments(struct agent *agent)
{
	bool told = agent->watch_failure || agent->attachment_failure;
	int error;

	if (tree_watch_is_empty(agent->attachment_watch))
		error = agent_watch_attachments(agent);
	else if (agent->attachments_unread)
		error = agent_read_attachments(agent);
	else
		return false;
	if (error && !told)
		agent_report_state(agent);
	return !error;
}

bool agent_attachments_changed(struct agent *agent)
{
	return tree_watch_dispatch(agent->attachment_watch) && !agent_read_attachments(agent);
}
