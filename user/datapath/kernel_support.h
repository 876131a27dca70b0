/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What this kernel has of what changes how egressd works or how safe its node is: found by trying, for the start to tell
 * once. What egressd cannot do without is not here but refused by datapath_check().
 */
#ifndef EGRESSD_DATAPATH_KERNEL_SUPPORT_H
#define EGRESSD_DATAPATH_KERNEL_SUPPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/utsname.h>

/* Where the kernel does not say: a container may lack the file, an old kernel the setting. */
enum kernel_setting { KERNEL_SETTING_UNKNOWN, KERNEL_SETTING_OFF, KERNEL_SETTING_ON };
enum kernel_lockdown { KERNEL_LOCKDOWN_NONE, KERNEL_LOCKDOWN_INTEGRITY, KERNEL_LOCKDOWN_CONFIDENTIALITY };

struct kernel_support {
	struct utsname name; /* all empty: not asked yet */
	bool tcx;            /* links to an interface's ingress and egress, 6.6 */
	bool loop;           /* the helper bpf_loop, 5.17 */
	bool btf;            /* of the kernel's own types */
	bool bpffs;          /* mounted where the pins go */
	bool cgroup2;        /* mounted anywhere that this process sees */
	enum kernel_setting jit;
	enum kernel_setting unprivileged_bpf;
	enum kernel_lockdown lockdown; /* none also where it cannot be seen */
};

/*
 * Tries what takes bpf(2), as whoever may load programs, and reads the rest from /proc and /sys below `root` ("": this
 * machine's own). `pin`: where the pins go. Changes nothing. What cannot be found out is left unknown, or counts as
 * missing.
 */
void kernel_support_probe(const char *root, const char *pin, struct kernel_support *out);

struct kernel_note {
	bool warning;     /* somebody should do something about it; else egressd makes do */
	const char *text; /* static */
};
#define KERNEL_NOTES_MAX 16

/* What there is to say, the most important first; nothing where nothing is missing. Returns how many notes. */
size_t kernel_support_notes(const struct kernel_support *support, struct kernel_note notes[KERNEL_NOTES_MAX]);

#endif
