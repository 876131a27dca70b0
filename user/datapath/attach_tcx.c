/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Attachment by TCX links. A link is pinned at links/<ifindex>-<hook>, so that it outlives the agent; when its
 * interface goes, the kernel detaches it and reports its ifindex as 0, while the pin stays until we remove it.
 */
#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/cleanup.h"
#include "datapath/internal.h"

/* From the kernel's linux/bpf.h since 6.6; Debian 12's headers are older. */
#define TCX_INGRESS ((enum bpf_attach_type)46)
#define TCX_EGRESS  ((enum bpf_attach_type)47)
#define TCX_LINK    11
#define TCX_BEFORE  (1u << 3)

/* How long another process may take between its link and the pin of that. */
#define RACE_PAUSE_NS 2000000
#define RACE_ATTEMPTS 50

/* What comes from the pod arrives at the host's side of the veth, what goes to it is sent there. */
static enum bpf_attach_type attach_type(enum hook hook)
{
	return hook == HOOK_FROM_POD ? TCX_INGRESS : TCX_EGRESS;
}

/* A query attaches nothing and disturbs nobody; a kernel without TCX does not know its attach types. */
bool tcx_supported(void)
{
	uint32_t loopback = if_nametoindex("lo"), count = 0, flags;

	if (!bpf_prog_query((int)(loopback ? loopback : 1), TCX_INGRESS, 0, &flags, NULL, &count))
		return true;
	return errno == ENODEV || errno == ENOENT;
}

static int link_path(const struct datapath *datapath, uint32_t ifindex, enum hook hook, char path[PATH_MAX])
{
	char name[64];

	snprintf(name, sizeof(name), EGRESS_PIN_LINKS "/%u-%s", ifindex, hook_pin_name(hook));
	return pin_path(datapath, name, path);
}

static int link_info(int fd, uint32_t *ifindex, uint32_t *id)
{
	struct bpf_link_info info = {};
	uint32_t size = sizeof(info);

	if (bpf_obj_get_info_by_fd(fd, &info, &size))
		return -errno;
	if (info.type != TCX_LINK)
		return -EINVAL;
	*ifindex = info.xdp.ifindex; /* first of its union, as tcx.ifindex is in newer headers */
	*id = info.prog_id;
	return 0;
}

/*
 * The pinned link and its program; -ENODEV where there is none or its interface is gone (then *fd may still be the dead
 * link).
 */
static int open_link(const struct datapath *datapath, uint32_t ifindex, enum hook hook, int *fd, uint32_t *id)
{
	char path[PATH_MAX];
	uint32_t alive = 0;
	int error;

	error = link_path(datapath, ifindex, hook, path);
	if (error)
		return error;
	*fd = bpf_obj_get(path);
	if (*fd < 0)
		return errno == ENOENT ? -ENODEV : fail_errno(-errno, "cannot open the pinned link %s", path);
	error = link_info(*fd, &alive, id);
	if (error)
		return fail_errno(error, "cannot look at the pinned link %s", path);
	return alive ? 0 : -ENODEV;
}

static int unpin_link(const struct datapath *datapath, uint32_t ifindex, enum hook hook)
{
	char path[PATH_MAX];
	int error;

	error = link_path(datapath, ifindex, hook, path);
	if (error)
		return error;
	if (unlink(path) && errno != ENOENT)
		return fail_errno(-errno, "cannot remove the pin %s", path);
	return 0;
}

static int create_link(struct datapath *datapath, uint32_t ifindex, enum hook hook, int program_fd)
{
	/*
	 * Before all others: a program that ends the chain with TCX_PASS would keep packets from ours. Those behind it
	 * still run, since ours passes with TCX_NEXT.
	 */
	LIBBPF_OPTS(bpf_link_create_opts, options, .flags = TCX_BEFORE);
	_cleanup_fd_ int fd = -1;
	char path[PATH_MAX];
	int error;

	error = link_path(datapath, ifindex, hook, path);
	if (!error)
		error = pin_subdirectory(datapath, EGRESS_PIN_LINKS);
	if (error)
		return error;
	fd = bpf_link_create(program_fd, (int)ifindex, attach_type(hook), &options);
	if (fd < 0)
		return fail_errno(-errno, "cannot attach %s to interface %u by a TCX link", hook_program_name(hook),
				  ifindex);
	if (bpf_obj_pin(fd, path))
		return fail_errno(-errno, "cannot pin %s", path);
	return 0;
}

static int update_link(int fd, uint32_t ifindex, enum hook hook, int program_fd)
{
	if (!bpf_link_update(fd, program_fd, NULL))
		return 0;
	/* The interface went this very moment. */
	if (errno == ENOLINK || errno == ENODEV)
		return -ENODEV;
	return fail_errno(-errno, "cannot replace %s on interface %u", hook_program_name(hook), ifindex);
}

static int tcx_replace(struct datapath *datapath, uint32_t ifindex, enum hook hook, int program_fd)
{
	_cleanup_fd_ int fd = -1;
	uint32_t id;
	int error;

	error = open_link(datapath, ifindex, hook, &fd, &id);
	return error ? error : update_link(fd, ifindex, hook, program_fd);
}

static int attach_once(struct datapath *datapath, uint32_t ifindex, enum hook hook, int program_fd)
{
	_cleanup_fd_ int fd = -1;
	uint32_t id;
	int error;

	error = open_link(datapath, ifindex, hook, &fd, &id);
	if (!error)
		error = update_link(fd, ifindex, hook, program_fd);
	if (error != -ENODEV)
		return error;
	/* A dead pin of an interface that had this number before. A pin that was not there a moment ago is no dead one. */
	error = fd >= 0 ? unpin_link(datapath, ifindex, hook) : 0;
	return error ? error : create_link(datapath, ifindex, hook, program_fd);
}

/*
 * The agent and egress-cni may attach to an interface at the same moment: one finds the other's link, which has no pin
 * yet. A moment later it has, or, where its maker died, is gone.
 */
static int tcx_attach(struct datapath *datapath, uint32_t ifindex, enum hook hook, int program_fd)
{
	const struct timespec pause = {.tv_nsec = RACE_PAUSE_NS};
	int error, attempt;

	error = attach_once(datapath, ifindex, hook, program_fd);
	for (attempt = 1; error == -EEXIST && attempt < RACE_ATTEMPTS; attempt++) {
		nanosleep(&pause, NULL);
		error = attach_once(datapath, ifindex, hook, program_fd);
	}
	return error;
}

static int tcx_detach(struct datapath *datapath, uint32_t ifindex, enum hook hook)
{
	_cleanup_fd_ int fd = -1;
	uint32_t id;
	int error;

	error = open_link(datapath, ifindex, hook, &fd, &id);
	if (error && error != -ENODEV)
		return error;
	/* Without this the kernel detaches some time after the last reference is gone. */
	if (!error && bpf_link_detach(fd) && errno != ENOLINK)
		return fail_errno(-errno, "cannot detach %s from interface %u", hook_program_name(hook), ifindex);
	return unpin_link(datapath, ifindex, hook);
}

static int tcx_program(struct datapath *datapath, uint32_t ifindex, enum hook hook, uint32_t *id)
{
	_cleanup_fd_ int fd = -1;
	uint32_t found;
	int error;

	error = open_link(datapath, ifindex, hook, &fd, &found);
	if (!error)
		*id = found;
	return error;
}

struct list_context {
	struct datapath *datapath;
	attachment_visitor visit;
	void *data;
};

static int visit_pin(uint32_t ifindex, const char *rest, void *data)
{
	const struct list_context *context = data;
	uint32_t id;

	for (int hook = 0; hook < HOOK_COUNT; hook++) {
		int error;

		if (*rest != '-' || strcmp(rest + 1, hook_pin_name((enum hook)hook)))
			continue;
		error = tcx_program(context->datapath, ifindex, (enum hook)hook, &id);
		if (error == -ENODEV)
			return context->datapath->read_only ? 0
							    : unpin_link(context->datapath, ifindex, (enum hook)hook);
		return error ? error : context->visit(ifindex, context->data);
	}
	return 0;
}

static int tcx_list(struct datapath *datapath, attachment_visitor visit, void *data)
{
	struct list_context context = {datapath, visit, data};

	return pin_numbers(datapath, EGRESS_PIN_LINKS, visit_pin, &context);
}

const struct attachment tcx_attachment = {
	.kind = ATTACH_TCX,
	.attach = tcx_attach,
	.replace = tcx_replace,
	.detach = tcx_detach,
	.program = tcx_program,
	.list = tcx_list,
};
