/* SPDX-License-Identifier: Apache-2.0 */
/* What both ways of attaching have in common. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "datapath/internal.h"

static const struct attachment *const attachments[] = {&tcx_attachment, &clsact_attachment};

static const struct attachment *attachment_of(enum attach_kind kind)
{
	return kind == ATTACH_TCX ? &tcx_attachment : &clsact_attachment;
}

/* ---------------------------------------------------------------- lists */

struct interface_list {
	uint32_t *items;
	size_t count;
};

static void free_list(struct interface_list *list)
{
	free(list->items);
}

static int add_interface(uint32_t ifindex, void *data)
{
	struct interface_list *list = data;
	uint32_t *items;

	for (size_t i = 0; i < list->count; i++)
		if (list->items[i] == ifindex)
			return 0;
	items = reallocarray(list->items, list->count + 1, sizeof(*items));
	if (!items)
		return fail_errno(-ENOMEM, "no memory");
	list->items = items;
	list->items[list->count++] = ifindex;
	return 0;
}

int datapath_attached_list(struct datapath *datapath, uint32_t **out, size_t *count)
{
	_cleanup_(free_list) struct interface_list list = {};

	for (size_t i = 0; i < ARRAY_SIZE(attachments); i++) {
		int error = attachments[i]->list(datapath, add_interface, &list);

		if (error)
			return error;
	}
	*count = list.count;
	*out = take(list.items);
	return 0;
}

bool datapath_has_programs(const struct datapath *datapath)
{
	return datapath->in_force;
}

bool datapath_attached(struct datapath *datapath, uint32_t ifindex)
{
	const struct attachment *attachment = attachment_of(datapath->kind);

	if (!datapath->in_force)
		return false;
	for (int hook = 0; hook < HOOK_COUNT; hook++) {
		uint32_t id;

		if (attachment->program(datapath, ifindex, (enum hook)hook, &id) ||
		    id != datapath->in_force->program_id[hook])
			return false;
	}
	return true;
}

/* ---------------------------------------------------------------- one interface */

static int detach_kind(struct datapath *datapath, const struct attachment *attachment, uint32_t ifindex)
{
	int first = 0;

	/* egress_to_pod goes last: as long as packets are judged, answers must be known. */
	for (int hook = 0; hook < HOOK_COUNT; hook++) {
		int error = attachment->detach(datapath, ifindex, (enum hook)hook);

		if (!first)
			first = error;
	}
	return first;
}

int datapath_attach_tracking(struct datapath *datapath, uint32_t ifindex)
{
	const struct attachment *attachment = attachment_of(datapath->kind);

	if (!datapath->in_force)
		return fail(-EINVAL, "there are no programs to attach before the first tables are in force");
	return attachment->attach(datapath, ifindex, HOOK_TO_POD, datapath->in_force->program_fd[HOOK_TO_POD]);
}

int datapath_attach(struct datapath *datapath, uint32_t ifindex)
{
	const struct attachment *attachment = attachment_of(datapath->kind);
	uint32_t id;
	bool had_to_pod;
	int error;

	if (!datapath->in_force)
		return fail(-EINVAL, "there are no programs to attach before the first tables are in force");
	had_to_pod = !attachment->program(datapath, ifindex, HOOK_TO_POD, &id);
	error = attachment->attach(datapath, ifindex, HOOK_TO_POD, datapath->in_force->program_fd[HOOK_TO_POD]);
	if (error)
		return error;
	error = attachment->attach(datapath, ifindex, HOOK_FROM_POD, datapath->in_force->program_fd[HOOK_FROM_POD]);
	if (error) {
		if (!had_to_pod)
			attachment->detach(datapath, ifindex, HOOK_TO_POD);
		return error;
	}
	/* A predecessor may have attached the other way; two of ours would count and judge every packet twice. */
	for (size_t i = 0; i < ARRAY_SIZE(attachments); i++) {
		if (attachments[i] == attachment)
			continue;
		error = detach_kind(datapath, attachments[i], ifindex);
		if (error)
			return error;
	}
	return 0;
}

int datapath_attach_again(struct datapath *datapath, uint32_t ifindex)
{
	int error = 0;

	if (datapath->in_force && datapath->kind == ATTACH_CLSACT)
		error = clsact_reclaim(ifindex, datapath->in_force->program_fd);
	return error ? error : datapath_attach(datapath, ifindex);
}

/*
 * The entry stands before the programs look for it. The program that drops comes first: the kernel may wait a grace
 * period before it returns from an attachment, and nothing passes yet that the other one would have to remember.
 */
int datapath_hold(struct datapath *datapath, uint32_t ifindex)
{
	const struct attachment *attachment = attachment_of(datapath->kind);
	int error = datapath_endpoint_hold(datapath, ifindex);

	if (error || datapath_attached(datapath, ifindex))
		return error;
	if (!datapath->in_force)
		return fail(-EINVAL, "there are no programs to hold interface %u with", ifindex);
	error = attachment->attach(datapath, ifindex, HOOK_FROM_POD, datapath->in_force->program_fd[HOOK_FROM_POD]);
	return error ? error : datapath_attach(datapath, ifindex);
}

int datapath_detach(struct datapath *datapath, uint32_t ifindex)
{
	int first = 0;

	for (size_t i = 0; i < ARRAY_SIZE(attachments); i++) {
		int error = detach_kind(datapath, attachments[i], ifindex);

		if (!first)
			first = error;
	}
	return first;
}

/* ---------------------------------------------------------------- all interfaces */

/* A program that was attached before the switch, kept alive for the way back. */
struct held_program {
	uint32_t id;
	int fd;
};

/* One attachment that was switched, and what to give back to it. */
struct switched {
	const struct attachment *attachment;
	uint32_t ifindex;
	enum hook hook;
	uint32_t program_before;
};

struct switch_log {
	struct held_program *held;
	size_t held_count;
	struct switched *switched;
	size_t switched_count;
};

static void clear_switch_log(struct switch_log *log)
{
	for (size_t i = 0; i < log->held_count; i++)
		close_fd(&log->held[i].fd);
	free(log->held);
	free(log->switched);
}

static int held_fd(const struct switch_log *log, uint32_t id)
{
	for (size_t i = 0; i < log->held_count; i++)
		if (log->held[i].id == id)
			return log->held[i].fd;
	return -1;
}

/*
 * Opens the program by its id, which takes CAP_SYS_ADMIN. Without it the programs of a predecessor that died amid a
 * commit cannot be held; they would give way for good, which is right too: that predecessor was replacing them.
 */
static int hold_program(struct switch_log *log, uint32_t id)
{
	struct held_program *held;

	for (size_t i = 0; i < log->held_count; i++)
		if (log->held[i].id == id)
			return 0;
	held = reallocarray(log->held, log->held_count + 1, sizeof(*held));
	if (!held)
		return fail_errno(-ENOMEM, "no memory");
	log->held = held;
	held[log->held_count].id = id;
	held[log->held_count].fd = bpf_prog_get_fd_by_id(id);
	if (held[log->held_count].fd < 0)
		log_debug("cannot hold on to program %u: %s", id, strerror(errno));
	log->held_count++;
	return 0;
}

static int note_switch(struct switch_log *log, const struct switched *entry)
{
	struct switched *switched;

	switched = reallocarray(log->switched, log->switched_count + 1, sizeof(*switched));
	if (!switched)
		return fail_errno(-ENOMEM, "no memory");
	log->switched = switched;
	switched[log->switched_count++] = *entry;
	return 0;
}

static void switch_back(struct datapath *datapath, const struct switch_log *log)
{
	_cleanup_free_ char *sentence = strdup(datapath_error());

	for (size_t i = log->switched_count; i-- > 0;) {
		const struct switched *entry = &log->switched[i];
		int fd = held_fd(log, entry->program_before), error;

		error = fd < 0 ? -EPERM : entry->attachment->replace(datapath, entry->ifindex, entry->hook, fd);
		if (error && error != -ENODEV)
			log_debug("cannot give interface %u its former program back: %s", entry->ifindex,
				  strerror(-error));
	}
	if (sentence)
		fail(0, "%s", sentence);
}

/* One hook of one interface; -ENODEV where it is not attached (any more). */
static int switch_hook(struct datapath *datapath, struct switch_log *log, const struct table_set *set,
		       struct switched *entry)
{
	int error;

	error = entry->attachment->program(datapath, entry->ifindex, entry->hook, &entry->program_before);
	if (!error)
		error = hold_program(log, entry->program_before);
	if (!error)
		error = note_switch(log, entry);
	if (error)
		return error;
	return entry->attachment->replace(datapath, entry->ifindex, entry->hook, set->program_fd[entry->hook]);
}

static int switch_kind(struct datapath *datapath, const struct attachment *attachment, struct switch_log *log,
		       const struct table_set *set)
{
	_cleanup_(free_list) struct interface_list list = {};
	int error;

	error = attachment->list(datapath, add_interface, &list);
	for (size_t i = 0; !error && i < list.count; i++) {
		for (int hook = 0; !error && hook < HOOK_COUNT; hook++) {
			struct switched entry = {attachment, list.items[i], (enum hook)hook, 0};

			error = switch_hook(datapath, log, set, &entry);
			/* Gone since it was listed, and nothing is left to judge. */
			if (error == -ENODEV)
				error = 0;
		}
	}
	return error;
}

int attachments_switch(struct datapath *datapath, const struct table_set *set)
{
	_cleanup_(clear_switch_log) struct switch_log log = {};
	int error = 0;

	for (size_t i = 0; !error && i < ARRAY_SIZE(attachments); i++)
		error = switch_kind(datapath, attachments[i], &log, set);
	if (error)
		switch_back(datapath, &log);
	return error;
}
