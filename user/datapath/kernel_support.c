/* SPDX-License-Identifier: Apache-2.0 */
#include "datapath/kernel_support.h"

#include <mntent.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/text.h"
#include "datapath/internal.h"

/* ------------------------------------------------------------------ files */

/* The first line of a file of /proc or /sys without its end; false where there is none. */
static bool read_line(const char *root, const char *path, char *line, size_t size)
{
	_cleanup_free_ char *whole = text_format("%s%s", root, path);
	_cleanup_file_ FILE *file = whole ? fopen(whole, "re") : NULL;

	if (!file || !fgets(line, (int)size, file))
		return false;
	line[strcspn(line, "\n")] = '\0';
	return true;
}

static bool exists(const char *root, const char *path)
{
	_cleanup_free_ char *whole = text_format("%s%s", root, path);

	return whole && !access(whole, F_OK);
}

static bool is_mounted(const char *root, const char *type)
{
	_cleanup_free_ char *path = text_format("%s/proc/self/mounts", root);
	FILE *mounts = path ? setmntent(path, "re") : NULL;
	struct mntent *entry;
	bool found = false;

	if (!mounts)
		return false;
	while (!found && (entry = getmntent(mounts)))
		found = !strcmp(entry->mnt_type, type);
	endmntent(mounts);
	return found;
}

/* "none [integrity] confidentiality": the brackets are around what holds. */
static enum kernel_lockdown read_lockdown(const char *root)
{
	char line[128];

	if (!read_line(root, "/sys/kernel/security/lockdown", line, sizeof(line)))
		return KERNEL_LOCKDOWN_NONE;
	if (strstr(line, "[confidentiality]"))
		return KERNEL_LOCKDOWN_CONFIDENTIALITY;
	return strstr(line, "[integrity]") ? KERNEL_LOCKDOWN_INTEGRITY : KERNEL_LOCKDOWN_NONE;
}

/* 0: allowed; 1 and 2: not, for ever or until somebody allows it. */
static enum kernel_setting read_unprivileged_bpf(const char *root)
{
	char line[16];

	if (!read_line(root, "/proc/sys/kernel/unprivileged_bpf_disabled", line, sizeof(line)))
		return KERNEL_SETTING_UNKNOWN;
	return strcmp(line, "0") ? KERNEL_SETTING_OFF : KERNEL_SETTING_ON;
}

/* ------------------------------------------------------------------ trying */

/* net.core.bpf_jit_enable shows in the first network namespace alone; a program shows it everywhere. */
static enum kernel_setting try_jit(void)
{
	_cleanup_fd_ int program = clock_program_load();
	struct bpf_prog_info info = {};
	uint32_t size = sizeof(info);

	if (program < 0 || bpf_obj_get_info_by_fd(program, &info, &size))
		return KERNEL_SETTING_UNKNOWN;
	return info.jited_prog_len ? KERNEL_SETTING_ON : KERNEL_SETTING_OFF;
}

void kernel_support_probe(const char *root, const char *pin, struct kernel_support *out)
{
	capture_libbpf_messages();
	*out = (struct kernel_support){
		.tcx = tcx_supported(),
		.loop = libbpf_probe_bpf_helper(BPF_PROG_TYPE_SCHED_CLS, BPF_FUNC_loop, NULL) == 1,
		.btf = exists(root, "/sys/kernel/btf/vmlinux"),
		.bpffs = bpffs_reaches(pin),
		.cgroup2 = is_mounted(root, "cgroup2"),
		.jit = try_jit(),
		.unprivileged_bpf = read_unprivileged_bpf(root),
		.lockdown = read_lockdown(root),
	};
	uname(&out->name);
	forget_libbpf_warning();
}

/* ------------------------------------------------------------------ what it means */

size_t kernel_support_notes(const struct kernel_support *support, struct kernel_note notes[KERNEL_NOTES_MAX])
{
	const struct {
		bool applies, warning;
		const char *text;
	} all[] = {
		{support->jit == KERNEL_SETTING_OFF, true,
		 "BPF programs are interpreted, which makes every packet several times dearer: set "
		 "net.core.bpf_jit_enable to 1"},
		{support->unprivileged_bpf == KERNEL_SETTING_ON, true,
		 "whoever runs on this node, pods too, may load BPF programs, a way to the kernel's memory: set "
		 "kernel.unprivileged_bpf_disabled to 1 or 2"},
		{!support->bpffs, true,
		 "no bpffs is mounted where the pins go: egressd mounts one of its own, which in a container ends with "
		 "the container and takes enforcement along: mount one on the host, at /sys/fs/bpf"},
		{!support->tcx, false, "no TCX links (they came with 6.6): programs are filters of a clsact qdisc"},
		{!support->loop, false, "no bpf_loop (it came with 5.17): the programs do without"},
		{!support->btf, false, "no BTF of its types: the programs do without"},
		{!support->cgroup2, false, "no cgroup2 is mounted: pods are found by control groups of version 1"},
		{support->lockdown == KERNEL_LOCKDOWN_INTEGRITY, false,
		 "lockdown (integrity): it forbids nothing that egressd does"},
		{support->lockdown == KERNEL_LOCKDOWN_CONFIDENTIALITY, false,
		 "lockdown (confidentiality): it forbids nothing that egressd does"},
	};
	size_t count = 0;

	_Static_assert(ARRAY_SIZE(all) <= KERNEL_NOTES_MAX, "there is room for every note");
	for (size_t i = 0; i < ARRAY_SIZE(all); i++)
		if (all[i].applies)
			notes[count++] = (struct kernel_note){all[i].warning, all[i].text};
	return count;
}
