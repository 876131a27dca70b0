/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Taking everything off the node that any version of egressd left: it works from the pins and the kernel's own lists
 * alone, opens no map and needs no map to fit this version.
 */
#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "datapath/internal.h"

struct uninstall {
	bool dry_run;
	uninstall_visitor visit;
	void *data;
	struct datapath *version; /* whose pins are being removed */
	int error;                /* the first that came up; the others do not stay for it */
	char sentence[1024];
};

static void keep_error(struct uninstall *uninstall, int error)
{
	if (!error || uninstall->error)
		return;
	uninstall->error = error;
	snprintf(uninstall->sentence, sizeof(uninstall->sentence), "%s", datapath_error());
}

static void tell(struct uninstall *uninstall, enum uninstall_step step, uint32_t ifindex, const char *what)
{
	char name[IF_NAMESIZE], text[PATH_MAX + 64];

	if (!ifindex)
		snprintf(text, sizeof(text), "%s", what);
	else if (if_indextoname(ifindex, name))
		snprintf(text, sizeof(text), "%s (interface %u)%s%s", name, ifindex, *what ? " " : "", what);
	else
		snprintf(text, sizeof(text), "interface %u%s%s", ifindex, *what ? " " : "", what);
	uninstall->visit(step, text, uninstall->data);
}

/* ---------------------------------------------------------------- attachments */

static void tell_attachments(struct uninstall *uninstall, const struct attachment *attachment, uint32_t ifindex)
{
	uint32_t id;

	for (int hook = 0; hook < HOOK_COUNT; hook++)
		if (!attachment->program(uninstall->version, ifindex, (enum hook)hook, &id))
			tell(uninstall, attachment->kind == ATTACH_TCX ? UNINSTALL_LINK : UNINSTALL_FILTER, ifindex,
			     hook_program_name((enum hook)hook));
}

static void remove_attachments(struct uninstall *uninstall)
{
	_cleanup_free_ uint32_t *interfaces = NULL;
	size_t count = 0;
	int error = datapath_attached_list(uninstall->version, &interfaces, &count);

	keep_error(uninstall, error);
	for (size_t i = 0; !error && i < count; i++) {
		tell_attachments(uninstall, &tcx_attachment, interfaces[i]);
		tell_attachments(uninstall, &clsact_attachment, interfaces[i]);
		if (!uninstall->dry_run)
			keep_error(uninstall, datapath_detach(uninstall->version, interfaces[i]));
	}
}

static int remove_qdisc(uint32_t ifindex, bool others, void *data)
{
	struct uninstall *uninstall = data;

	tell(uninstall, others ? UNINSTALL_QDISC_LEFT : UNINSTALL_QDISC, ifindex, "");
	return uninstall->dry_run ? 0 : clsact_release(uninstall->version, ifindex);
}

/* ---------------------------------------------------------------- pins */

static void remove_version(struct uninstall *uninstall, const char *pin, unsigned int version)
{
	_cleanup_(datapath_cleanup) struct datapath *datapath = NULL;
	int error = datapath_new(pin, version, &datapath);

	if (error) {
		keep_error(uninstall, error);
		return;
	}
	datapath->read_only = uninstall->dry_run;
	uninstall->version = datapath;
	/* The marks of qdiscs are read before the programs: with the last filter goes the mark. */
	keep_error(uninstall, clsact_marked(datapath, remove_qdisc, uninstall));
	remove_attachments(uninstall);
	if (!bpffs_is(datapath->directory))
		return;
	tell(uninstall, UNINSTALL_PINS, 0, datapath->directory);
	/* As long as something is attached its pins are what the next attempt finds it by. */
	if (!uninstall->dry_run && !uninstall->error)
		keep_error(uninstall, bpffs_remove(datapath->parent, datapath->directory));
}

int datapath_uninstall(const char *pin, bool dry_run, uninstall_visitor visit, void *data)
{
	struct uninstall uninstall = {.dry_run = dry_run, .visit = visit, .data = data};
	_cleanup_free_ unsigned int *versions = NULL;
	bool own_seen = false;
	size_t count, i;
	int error;

	capture_libbpf_messages();
	error = bpffs_versions(pin, &versions, &count);
	if (error)
		return error;
	for (i = 0; i < count; i++) {
		own_seen = own_seen || versions[i] == EGRESS_CONTRACT_VERSION;
		remove_version(&uninstall, pin, versions[i]);
	}
	/* Filters stay when someone removes the directory of the pins. */
	if (!own_seen)
		remove_version(&uninstall, pin, EGRESS_CONTRACT_VERSION);
	if (!dry_run && !uninstall.error)
		keep_error(&uninstall, bpffs_remove_parent(pin));
	return uninstall.error ? fail(uninstall.error, "%s", uninstall.sentence) : 0;
}
