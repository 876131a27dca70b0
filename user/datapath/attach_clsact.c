/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Attachment by tc filters on the clsact qdisc, at a priority and handle of our own. The filter holds the program; it
 * goes with its interface. Filters of others, and a qdisc that others made or use, are left alone.
 */
#include <errno.h>
#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "datapath/internal.h"
#include "datapath/netlink.h"

static enum bpf_tc_attach_point attach_point(enum hook hook)
{
	return hook == HOOK_FROM_POD ? BPF_TC_INGRESS : BPF_TC_EGRESS;
}

/* ---------------------------------------------------------------- what is there */

struct filter_search {
	enum hook hook;
	bool others;      /* filters elsewhere than at our priority and handle */
	bool found;       /* one there */
	bool is_bpf;      /* and it is a BPF program */
	bool ours;        /* and it is one of our programs */
	uint32_t program; /* its id */
};

static int visit_bpf_option(const struct nlattr *attribute, void *data)
{
	struct filter_search *search = data;

	if (mnl_attr_get_type(attribute) == TCA_BPF_ID && !mnl_attr_validate(attribute, MNL_TYPE_U32))
		search->program = mnl_attr_get_u32(attribute);
	if (mnl_attr_get_type(attribute) == TCA_BPF_NAME && !mnl_attr_validate(attribute, MNL_TYPE_NUL_STRING)) {
		const char *name = mnl_attr_get_str(attribute), *program = hook_program_name(search->hook);

		/* libbpf names a filter after its program: "<name>:[<id>]". */
		search->ours = !strncmp(name, program, strlen(program)) && name[strlen(program)] == ':';
	}
	return MNL_CB_OK;
}

static int visit_filter_attribute(const struct nlattr *attribute, void *data)
{
	struct filter_search *search = data;

	if (mnl_attr_get_type(attribute) == TCA_KIND && !mnl_attr_validate(attribute, MNL_TYPE_NUL_STRING))
		search->is_bpf = !strcmp(mnl_attr_get_str(attribute), "bpf");
	if (mnl_attr_get_type(attribute) == TCA_OPTIONS)
		return mnl_attr_parse_nested(attribute, visit_bpf_option, data);
	return MNL_CB_OK;
}

static int visit_filter(const struct nlmsghdr *message, void *data)
{
	const struct tcmsg *filter = mnl_nlmsg_get_payload(message);
	uint32_t priority = TC_H_MAJ(filter->tcm_info) >> 16;
	struct filter_search *search = data;

	if (priority == EGRESS_TC_PRIORITY && filter->tcm_handle == EGRESS_TC_HANDLE) {
		search->found = true;
		return mnl_attr_parse(message, sizeof(*filter), visit_filter_attribute, search);
	}
	/* Handle 0 is the head of a priority: ours comes and goes with our filter. */
	if (priority != EGRESS_TC_PRIORITY || filter->tcm_handle)
		search->others = true;
	return MNL_CB_OK;
}

/* No filter is found where there is no interface or no qdisc. */
static int find_filter(uint32_t ifindex, enum hook hook, struct filter_search *out)
{
	int error;

	do {
		char buffer[MNL_NLMSG_HDRLEN + 256] __attribute__((aligned(8)));
		struct nlmsghdr *request = mnl_nlmsg_put_header(buffer);
		struct filter_search search = {.hook = hook};
		struct tcmsg *filter;

		request->nlmsg_type = RTM_GETTFILTER;
		request->nlmsg_flags = NLM_F_DUMP;
		filter = mnl_nlmsg_put_extra_header(request, sizeof(*filter));
		filter->tcm_family = AF_UNSPEC;
		filter->tcm_ifindex = (int)ifindex;
		filter->tcm_parent = TC_H_MAKE(TC_H_CLSACT, hook == HOOK_FROM_POD ? TC_H_MIN_INGRESS : TC_H_MIN_EGRESS);
		error = netlink_request_once(request, visit_filter, &search);
		if (!error)
			*out = search;
	} while (error == -EINTR);
	if (error)
		return fail_errno(error, "cannot list the tc filters of interface %u", ifindex);
	return 0;
}

static int clsact_program(struct datapath *datapath, uint32_t ifindex, enum hook hook, uint32_t *id)
{
	struct filter_search search;
	int error;

	(void)datapath;
	error = find_filter(ifindex, hook, &search);
	if (error)
		return error;
	if (!search.found || !search.ours)
		return -ENODEV;
	*id = search.program;
	return 0;
}

/* ---------------------------------------------------------------- the qdisc */

static int qdisc_marker(const struct datapath *datapath, uint32_t ifindex, char path[PATH_MAX])
{
	char name[32];

	snprintf(name, sizeof(name), PIN_QDISCS "/%u", ifindex);
	return pin_path(datapath, name, path);
}

static int mark_qdisc(const struct datapath *datapath, uint32_t ifindex)
{
	char path[PATH_MAX];
	int error;

	error = pin_subdirectory(datapath, PIN_QDISCS);
	if (!error)
		error = qdisc_marker(datapath, ifindex, path);
	if (error)
		return error;
	if (mkdir(path, 0700) && errno != EEXIST)
		return fail_errno(-errno, "cannot create %s", path);
	return 0;
}

#define QDISC_KIND_SIZE 16 /* IFNAMSIZ, as the kernel has it */

static int visit_qdisc_kind(const struct nlmsghdr *message, void *data)
{
	const struct nlattr *attribute;

	mnl_attr_for_each(attribute, message, sizeof(struct tcmsg))
		if (mnl_attr_get_type(attribute) == TCA_KIND && !mnl_attr_validate(attribute, MNL_TYPE_NUL_STRING))
			snprintf(data, QDISC_KIND_SIZE, "%s", mnl_attr_get_str(attribute));
	return MNL_CB_OK;
}

/* Of the qdisc that stands where clsact would; "": the kernel says that there is none. */
static int ingress_qdisc_kind(uint32_t ifindex, char kind[QDISC_KIND_SIZE])
{
	char buffer[MNL_NLMSG_HDRLEN + 256] __attribute__((aligned(8)));
	struct nlmsghdr *request = mnl_nlmsg_put_header(buffer);
	struct tcmsg *qdisc;
	int error;

	request->nlmsg_type = RTM_GETQDISC;
	/* Without this older kernels tell everyone who listens but whoever asked. */
	request->nlmsg_flags = NLM_F_ECHO;
	qdisc = mnl_nlmsg_put_extra_header(request, sizeof(*qdisc));
	qdisc->tcm_family = AF_UNSPEC;
	qdisc->tcm_ifindex = (int)ifindex;
	qdisc->tcm_parent = TC_H_CLSACT;
	*kind = '\0';
	error = netlink_request_once(request, visit_qdisc_kind, kind);
	if (error && error != -ENOENT && error != -ENODEV)
		return fail_errno(error, "cannot look at the ingress qdisc of interface %u", ifindex);
	return 0;
}

/*
 * An ingress qdisc (the bandwidth plugin makes one) stands in the same place, and it takes a filter for either direction:
 * into its only chain, which sees what comes in. egress_to_pod would see what the pod sends.
 */
static int refuse_other_qdisc(uint32_t ifindex)
{
	char kind[QDISC_KIND_SIZE];
	int error = ingress_qdisc_kind(ifindex, kind);

	if (error || !*kind || !strcmp(kind, "clsact"))
		return error;
	return fail(-EBUSY,
		    "interface %u has another program's %s qdisc, which leaves no place for the clsact qdisc that "
		    "egressd's tc filters need",
		    ifindex, kind);
}

static int create_qdisc(const struct datapath *datapath, uint32_t ifindex)
{
	LIBBPF_OPTS(bpf_tc_hook, qdisc, .ifindex = (int)ifindex, .attach_point = BPF_TC_INGRESS | BPF_TC_EGRESS);
	int error;

	error = bpf_tc_hook_create(&qdisc);
	forget_libbpf_warning();
	if (error == -EEXIST)
		return refuse_other_qdisc(ifindex);
	if (error == -ENOENT || error == -EOPNOTSUPP)
		return fail(-EOPNOTSUPP,
			    "this kernel has neither TCX links nor the clsact qdisc (CONFIG_NET_SCH_INGRESS)");
	if (error == -EINVAL || error == -ENODEV)
		return fail(-ENODEV, "there is no interface %u to attach to", ifindex);
	if (error)
		return fail_errno(error, "cannot add a clsact qdisc to interface %u", ifindex);
	return mark_qdisc(datapath, ifindex);
}

static int unmark_qdisc(const struct datapath *datapath, uint32_t ifindex)
{
	char path[PATH_MAX];
	int error;

	error = qdisc_marker(datapath, ifindex, path);
	if (error)
		return error;
	if (rmdir(path) && errno != ENOENT)
		return fail_errno(-errno, "cannot remove %s", path);
	return 0;
}

static bool qdisc_is_marked(const struct datapath *datapath, uint32_t ifindex)
{
	char path[PATH_MAX];

	return !qdisc_marker(datapath, ifindex, path) && !access(path, F_OK);
}

/*
 * Removes the qdisc if it is our making and nobody uses it; if others do, it is theirs from now on. Someone who adds a
 * filter between our look and the removal would lose it: the kernel offers no removal that checks.
 */
int clsact_release(const struct datapath *datapath, uint32_t ifindex)
{
	LIBBPF_OPTS(bpf_tc_hook, qdisc, .ifindex = (int)ifindex, .attach_point = BPF_TC_INGRESS | BPF_TC_EGRESS);
	struct filter_search search[HOOK_COUNT];
	int error;

	if (!qdisc_is_marked(datapath, ifindex))
		return 0;
	for (int hook = 0; hook < HOOK_COUNT; hook++) {
		error = find_filter(ifindex, (enum hook)hook, &search[hook]);
		if (error)
			return error;
	}
	if (search[HOOK_FROM_POD].found || search[HOOK_TO_POD].found)
		return 0;
	if (search[HOOK_FROM_POD].others || search[HOOK_TO_POD].others)
		return unmark_qdisc(datapath, ifindex);
	error = bpf_tc_hook_destroy(&qdisc);
	forget_libbpf_warning();
	if (error && error != -ENOENT && error != -EINVAL && error != -ENODEV)
		return fail_errno(error, "cannot remove the clsact qdisc of interface %u", ifindex);
	return unmark_qdisc(datapath, ifindex);
}

/* ---------------------------------------------------------------- the filters */

static int set_filter(uint32_t ifindex, enum hook hook, int program_fd)
{
	LIBBPF_OPTS(bpf_tc_hook, point, .ifindex = (int)ifindex, .attach_point = attach_point(hook));
	LIBBPF_OPTS(bpf_tc_opts, options, .handle = EGRESS_TC_HANDLE, .priority = EGRESS_TC_PRIORITY,
		    .prog_fd = program_fd, .flags = BPF_TC_F_REPLACE);
	int error;

	error = bpf_tc_attach(&point, &options);
	if (error)
		return fail_errno(error, "cannot attach %s to interface %u by a tc filter", hook_program_name(hook),
				  ifindex);
	return 0;
}

static int clsact_attach(struct datapath *datapath, uint32_t ifindex, enum hook hook, int program_fd)
{
	struct filter_search search;
	int error;

	error = create_qdisc(datapath, ifindex);
	if (!error)
		error = find_filter(ifindex, hook, &search);
	if (error)
		return error;
	if (search.found && !search.ours)
		return fail(-EBUSY, "interface %u has another program's filter at egressd's priority %u and handle %u",
			    ifindex, EGRESS_TC_PRIORITY, EGRESS_TC_HANDLE);
	return set_filter(ifindex, hook, program_fd);
}

int clsact_reclaim(uint32_t ifindex, const int program_fd[HOOK_COUNT])
{
	int error = 0;

	for (int hook = 0; !error && hook < HOOK_COUNT; hook++) {
		struct filter_search search;

		error = find_filter(ifindex, (enum hook)hook, &search);
		if (!error && search.found && !search.ours && search.is_bpf)
			error = set_filter(ifindex, (enum hook)hook, program_fd[hook]);
	}
	return error;
}

static int clsact_replace(struct datapath *datapath, uint32_t ifindex, enum hook hook, int program_fd)
{
	uint32_t id;
	int error;

	error = clsact_program(datapath, ifindex, hook, &id);
	return error ? error : set_filter(ifindex, hook, program_fd);
}

static int clsact_detach(struct datapath *datapath, uint32_t ifindex, enum hook hook)
{
	LIBBPF_OPTS(bpf_tc_hook, point, .ifindex = (int)ifindex, .attach_point = attach_point(hook));
	LIBBPF_OPTS(bpf_tc_opts, options, .handle = EGRESS_TC_HANDLE, .priority = EGRESS_TC_PRIORITY);
	uint32_t id;
	int error;

	error = clsact_program(datapath, ifindex, hook, &id);
	if (error && error != -ENODEV)
		return error;
	if (!error) {
		error = bpf_tc_detach(&point, &options);
		if (error && error != -ENOENT && error != -EINVAL && error != -ENODEV)
			return fail_errno(error, "cannot detach %s from interface %u", hook_program_name(hook),
					  ifindex);
		forget_libbpf_warning();
	}
	return clsact_release(datapath, ifindex);
}

/* ---------------------------------------------------------------- all interfaces */

struct qdisc {
	uint32_t ifindex;
	bool clsact; /* else ingress, on which an earlier version may have left a filter */
};

struct qdisc_list {
	struct qdisc *items;
	size_t count;
};

static void free_qdiscs(struct qdisc_list *list)
{
	free(list->items);
}

static int visit_qdisc(const struct nlmsghdr *message, void *data)
{
	const struct tcmsg *qdisc = mnl_nlmsg_get_payload(message);
	struct qdisc_list *list = data;
	const struct nlattr *attribute;

	mnl_attr_for_each(attribute, message, sizeof(*qdisc)) {
		struct qdisc *items;
		bool clsact;

		if (mnl_attr_get_type(attribute) != TCA_KIND || mnl_attr_validate(attribute, MNL_TYPE_NUL_STRING))
			continue;
		clsact = !strcmp(mnl_attr_get_str(attribute), "clsact");
		if (!clsact && strcmp(mnl_attr_get_str(attribute), "ingress"))
			continue;
		items = reallocarray(list->items, list->count + 1, sizeof(*items));
		if (!items)
			return MNL_CB_ERROR;
		list->items = items;
		items[list->count++] = (struct qdisc){(uint32_t)qdisc->tcm_ifindex, clsact};
	}
	return MNL_CB_OK;
}

static int list_qdiscs(struct qdisc_list *list)
{
	int error;

	do {
		char buffer[MNL_NLMSG_HDRLEN + 256] __attribute__((aligned(8)));
		struct nlmsghdr *request = mnl_nlmsg_put_header(buffer);
		struct tcmsg *qdisc;

		request->nlmsg_type = RTM_GETQDISC;
		request->nlmsg_flags = NLM_F_DUMP;
		qdisc = mnl_nlmsg_put_extra_header(request, sizeof(*qdisc));
		qdisc->tcm_family = AF_UNSPEC;
		list->count = 0;
		error = netlink_request_once(request, visit_qdisc, list);
	} while (error == -EINTR);
	if (error)
		return fail_errno(error, "cannot list the qdiscs");
	return 0;
}

struct sweep {
	const struct datapath *datapath;
	const struct qdisc_list *qdiscs;
};

/* A marker whose interface or qdisc is gone would claim the next qdisc of that number. */
static int sweep_marker(uint32_t ifindex, const char *rest, void *data)
{
	const struct sweep *sweep = data;

	(void)rest;
	for (size_t i = 0; i < sweep->qdiscs->count; i++)
		if (sweep->qdiscs->items[i].ifindex == ifindex && sweep->qdiscs->items[i].clsact)
			return 0;
	return unmark_qdisc(sweep->datapath, ifindex);
}

static int clsact_list(struct datapath *datapath, attachment_visitor visit, void *data)
{
	_cleanup_(free_qdiscs) struct qdisc_list qdiscs = {};
	struct sweep sweep = {datapath, &qdiscs};
	uint32_t id;
	int error;

	error = list_qdiscs(&qdiscs);
	if (!error && !datapath->read_only)
		error = pin_numbers(datapath, PIN_QDISCS, sweep_marker, &sweep);
	for (size_t i = 0; !error && i < qdiscs.count; i++) {
		for (int hook = 0; !error && hook < HOOK_COUNT; hook++) {
			error = clsact_program(datapath, qdiscs.items[i].ifindex, (enum hook)hook, &id);
			if (error == -ENODEV)
				error = 0;
			else if (!error)
				error = visit(qdiscs.items[i].ifindex, data);
		}
	}
	return error;
}

static int visit_marked(const struct datapath *datapath, uint32_t ifindex, qdisc_visitor visit, void *data)
{
	bool others = false;

	if (!qdisc_is_marked(datapath, ifindex))
		return 0;
	for (int hook = 0; hook < HOOK_COUNT; hook++) {
		struct filter_search search;
		int error = find_filter(ifindex, (enum hook)hook, &search);

		if (error)
			return error;
		others = others || search.others || (search.found && !search.ours);
	}
	return visit(ifindex, others, data);
}

int clsact_marked(struct datapath *datapath, qdisc_visitor visit, void *data)
{
	_cleanup_(free_qdiscs) struct qdisc_list qdiscs = {};
	int error = list_qdiscs(&qdiscs);

	for (size_t i = 0; !error && i < qdiscs.count; i++)
		if (qdiscs.items[i].clsact)
			error = visit_marked(datapath, qdiscs.items[i].ifindex, visit, data);
	return error;
}

const struct attachment clsact_attachment = {
	.kind = ATTACH_CLSACT,
	.attach = clsact_attach,
	.replace = clsact_replace,
	.detach = clsact_detach,
	.program = clsact_program,
	.list = clsact_list,
};
