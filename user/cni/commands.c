/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "cni/cni.h"
#include "datapath/datapath.h"
#include "datapath/interface.h"

/* The agent gets this long; what must then be done without it takes some tens of milliseconds. */
#define AGENT_MILLISECONDS  1700
#define STATUS_MILLISECONDS 1000

static struct timespec deadline_after(long milliseconds)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	time.tv_nsec += milliseconds % 1000 * 1000000;
	time.tv_sec += milliseconds / 1000 + time.tv_nsec / 1000000000;
	time.tv_nsec %= 1000000000;
	return time;
}

static uint64_t now_nanoseconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* ------------------------------------------------------------------ the attachment */

static int find_interface(const struct cni_request *request, struct cni_attachment *out, struct cni_error *error)
{
	if (!interface_of_netns(request->netns, request->ifname, &out->ifindex, out->interface, out->mac))
		return 0;
	return cni_fail(error, CNI_NO_INTERFACE, "the pod's interface cannot be found",
			"%s (egressd enforces pods behind a veth; looked for %s)", datapath_error(), request->ifname);
}

static int copy(char **out, const char *text)
{
	*out = strdup(text);
	return *out ? 0 : -ENOMEM;
}

static int make_attachment(const struct cni_request *request, struct cni_attachment *out, struct cni_error *error)
{
	if (find_interface(request, out, error) ||
	    cni_result_addresses(request, &out->addresses, &out->address_count, error))
		return error->code;
	if (copy(&out->network, request->network) || copy(&out->container, request->container) ||
	    copy(&out->ifname, request->ifname) || copy(&out->namespace, request->namespace) ||
	    copy(&out->pod, request->pod) || copy(&out->uid, request->uid) || copy(&out->netns, request->netns))
		return cni_fail(error, CNI_IO_FAILURE, "no memory", "%s", "");
	out->created = now_nanoseconds();
	return 0;
}

static int write_attachment(const struct cni_request *request, const struct cni_attachment *attachment,
			    struct cni_error *error)
{
	int status = cni_attachment_write(request->state, attachment);

	if (!status)
		return 0;
	return cni_fail(error, CNI_IO_FAILURE, "the attachment cannot be written", "%s/%s: %s", request->state,
			CNI_ATTACHMENTS_DIRECTORY, strerror(-status));
}

/* A pod has one interface to egressd: a second one would go unjudged. */
static int refuse_second_interface(const struct cni_request *request, struct cni_error *error)
{
	_cleanup_(cni_attachment_list_clear) struct cni_attachment_list list = {0};
	int status = cni_attachment_list_read(request->state, &list);
	size_t i;

	if (status)
		return cni_fail(error, CNI_IO_FAILURE, "the attachments cannot be read", "%s", strerror(-status));
	for (i = 0; i < list.count; i++)
		if (!list.items[i].deleted && !strcmp(list.items[i].container, request->container) &&
		    strcmp(list.items[i].ifname, request->ifname))
			return cni_fail(error, CNI_INVALID_CONFIG, "the pod has an interface under egressd already",
					"%s; egressd enforces one interface a pod, not also %s", list.items[i].ifname,
					request->ifname);
	return 0;
}

/* ------------------------------------------------------------------ ADD */

static int require_pod(const struct cni_request *request, struct cni_error *error)
{
	if (!request->previous)
		return cni_fail(error, CNI_INVALID_CONFIG, "prevResult is missing",
				"egress-cni makes no interface: it belongs behind the plugin that does, in the list "
				"\"plugins\"");
	if (!*request->namespace || !*request->pod)
		return cni_fail(error, CNI_INVALID_ENVIRONMENT, "CNI_ARGS",
				"expected K8S_POD_NAMESPACE and K8S_POD_NAME: policy is about pods");
	return 0;
}

/* What follows from the agent's answer, or from there being none. */
static int follow_answer(const struct cni_request *request, const struct cni_attachment *attachment,
			 const struct agent_answer *answer, struct cni_error *error)
{
	bool fail = request->on_agent_down == ON_AGENT_DOWN_FAIL;

	switch (answer->state) {
	case AGENT_IN_FORCE:
		return 0;
	case AGENT_PENDING:
		if (fail)
			return cni_fail(error, CNI_TRY_AGAIN_LATER, "the pod's policy is not in force", "%s",
					answer->reason);
		log_warning("%s/%s: its policy is not in force yet (%s): nothing passes until it is",
			    request->namespace, request->pod, answer->reason);
		return 0;
	case AGENT_REFUSED:
		if (fail)
			return cni_fail(error, CNI_TRY_AGAIN_LATER, "the pod's filter is not attached", "%s",
					answer->reason);
		log_warning("%s/%s: not attached by the agent (%s): nothing passes until it is", request->namespace,
			    request->pod, answer->reason);
		return hold_pod(request, attachment, error);
	default:
		if (fail)
			return cni_fail(error, CNI_TRY_AGAIN_LATER, "no egressd answers on this node",
					"%s/cni.sock: %s", request->state,
					answer->state == AGENT_DOWN ? "none is running" : "no answer in time");
		log_warning("%s/%s: no egressd answers: nothing passes until one does", request->namespace,
			    request->pod);
		return hold_pod(request, attachment, error);
	}
}

/* What an ADD that failed leaves stays denied until the interface is gone. */
static void mark_deleted(const struct cni_request *request, struct cni_attachment *attachment)
{
	attachment->deleted = true;
	if (cni_attachment_write(request->state, attachment))
		log_debug("%s: the attachment cannot be marked", request->container);
}

int cni_add(const struct cni_request *request, struct cni_error *error)
{
	_cleanup_(cni_attachment_clear) struct cni_attachment attachment = {0};
	const struct timespec deadline = deadline_after(AGENT_MILLISECONDS);
	struct agent_answer answer;

	if (require_pod(request, error) || make_attachment(request, &attachment, error) ||
	    refuse_second_interface(request, error) || write_attachment(request, &attachment, error))
		return error->code;
	agent_ask(request, &deadline, &answer);
	if (follow_answer(request, &attachment, &answer, error))
		mark_deleted(request, &attachment);
	return error->code;
}

/* ------------------------------------------------------------------ DEL, GC */

static int mark(const char *state, struct cni_attachment *attachment)
{
	if (attachment->deleted)
		return 0;
	attachment->deleted = true;
	return cni_attachment_write(state, attachment);
}

/*
 * A teardown never fails for want of what is being torn down, nor for what cannot be written: the attachment then stays,
 * and with it a filter on an interface that is going.
 */
int cni_del(const struct cni_request *request, struct cni_error *error)
{
	_cleanup_(cni_attachment_clear) struct cni_attachment attachment = {0};
	int status = cni_attachment_read(request->state, request->container, request->ifname, &attachment);

	(void)error;
	if (!status)
		status = mark(request->state, &attachment);
	else if (status == -EINVAL)
		status = cni_attachment_remove(request->state, request->container, request->ifname);
	if (status && status != -ENOENT)
		log_warning("%s: its attachment stays: %s", request->container, strerror(-status));
	/* What earlier ones left, while no agent runs that would see to it. */
	status = cni_attachments_prune(request->state);
	if (status)
		log_warning("%s: attachments stay: %s", request->state, strerror(-status));
	return 0;
}

static bool is_valid(json_t *valid, const struct cni_attachment *attachment)
{
	json_t *item;
	size_t i;

	json_array_foreach(valid, i, item) {
		const char *container = json_string_value(json_object_get(item, "containerID"));
		const char *ifname = json_string_value(json_object_get(item, "ifname"));

		if (container && ifname && !strcmp(container, attachment->container) &&
		    !strcmp(ifname, attachment->ifname))
			return true;
	}
	return false;
}

int cni_gc(const struct cni_request *request, struct cni_error *error)
{
	json_t *valid = json_object_get(request->config, "cni.dev/valid-attachments");
	_cleanup_(cni_attachment_list_clear) struct cni_attachment_list list = {0};
	size_t i;
	int status;

	if (!json_is_array(valid))
		return cni_fail(error, CNI_INVALID_CONFIG, "cni.dev/valid-attachments",
				"expected the list of attachments that are still in use");
	status = cni_attachment_list_read(request->state, &list);
	for (i = 0; i < list.count && !status; i++)
		if (!strcmp(list.items[i].network, request->network) && !is_valid(valid, &list.items[i]))
			status = mark(request->state, &list.items[i]);
	if (!status)
		status = cni_attachments_prune(request->state);
	if (status)
		return cni_fail(error, CNI_IO_FAILURE, "stale attachments cannot be removed", "%s: %s", request->state,
				strerror(-status));
	return 0;
}

/* ------------------------------------------------------------------ CHECK, STATUS */

static int check_interface(const struct cni_request *request, const struct cni_attachment *attachment,
			   struct cni_error *error)
{
	struct cni_attachment now = {0};

	if (find_interface(request, &now, error))
		return error->code;
	if (now.ifindex != attachment->ifindex)
		return cni_fail(error, CNI_NO_INTERFACE, "the pod has another interface",
				"expected %s (number %u), found %s (number %u)", attachment->interface,
				attachment->ifindex, now.interface, now.ifindex);
	return 0;
}

int cni_check(const struct cni_request *request, struct cni_error *error)
{
	_cleanup_(cni_attachment_clear) struct cni_attachment attachment = {0};
	int status;

	if (!request->previous)
		return cni_fail(error, CNI_INVALID_CONFIG, "prevResult is missing", "CHECK needs it");
	status = cni_attachment_read(request->state, request->container, request->ifname, &attachment);
	if (!status && attachment.deleted)
		status = -ENOENT;
	if (status)
		return cni_fail(error, CNI_NOT_ATTACHED, "the attachment is not known", "%s:%s in %s: %s",
				request->container, request->ifname, request->state, strerror(-status));
	if (check_interface(request, &attachment, error))
		return error->code;
	return check_attached(request, &attachment, error);
}

/* Where ADD denies without an agent, pods can always be made. */
int cni_status(const struct cni_request *request, struct cni_error *error)
{
	const struct timespec deadline = deadline_after(STATUS_MILLISECONDS);
	struct agent_answer answer;

	if (datapath_check())
		return cni_fail(error, CNI_PLUGIN_NOT_AVAILABLE, "egressd cannot enforce on this node", "%s",
				datapath_error());
	if (request->on_agent_down == ON_AGENT_DOWN_DENY)
		return 0;
	agent_status(request, &deadline, &answer);
	if (answer.state == AGENT_DOWN || answer.state == AGENT_SILENT)
		return cni_fail(error, CNI_PLUGIN_NOT_AVAILABLE, "no egressd answers on this node", "%s",
				request->state);
	return 0;
}
