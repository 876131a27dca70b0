/* SPDX-License-Identifier: Apache-2.0 */
/* What the process may do and the kernel can, found out before anything is touched. */
#include <errno.h>
#include <linux/capability.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "datapath/internal.h"

/* linux/capability.h of a kernel before 5.8 lacks them. */
#ifndef CAP_BPF
#define CAP_PERFMON 38
#define CAP_BPF     39
#endif

static bool has_capability(const struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3], int capability)
{
	return data[CAP_TO_INDEX(capability)].effective & CAP_TO_MASK(capability);
}

static int check_capabilities(void)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {};
	bool network, bpf, tracing;

	/* glibc has no wrapper, and libcap would be a dependency for this one call. */
	if (syscall(SYS_capget, &header, data))
		return fail_errno(-errno, "cannot read this process's capabilities");
	network = has_capability(data, CAP_NET_ADMIN);
	bpf = has_capability(data, CAP_SYS_ADMIN) || has_capability(data, CAP_BPF);
	tracing = has_capability(data, CAP_SYS_ADMIN) || has_capability(data, CAP_PERFMON);
	if (network && bpf && tracing)
		return 0;
	return fail(-EPERM, "missing capabilities:%s%s%s; run as root", network ? "" : " CAP_NET_ADMIN",
		    bpf ? "" : " CAP_BPF (or CAP_SYS_ADMIN)", tracing ? "" : " CAP_PERFMON (or CAP_SYS_ADMIN)");
}

/* What the kernel does not know it calls invalid; `lacking`: what was tried, and when it came. */
static int too_old(const char *lacking)
{
	struct utsname name = {};

	uname(&name);
	return fail(-EOPNOTSUPP, "kernel %s is too old for egressd, which needs Linux 5.10 or newer: it lacks %s",
		    name.release, lacking);
}

static int explain_refusal(int error, const char *what)
{
	switch (error) {
	case -ENOSYS:
		return fail(-EOPNOTSUPP, "this kernel was built without BPF (CONFIG_BPF_SYSCALL), which egressd needs");
	case -EPERM:
	case -EACCES:
		return fail(-EPERM, "the kernel refuses BPF to this process in spite of its capabilities: seccomp, a "
				    "security module, lockdown or a user namespace forbids it");
	case -EINVAL:
		return too_old(what);
	default:
		return fail_errno(error, "BPF does not work on this machine");
	}
}

/* BTF of the kernel is not needed and not looked for: the programs use no type of the kernel's own. */
static int check_bpf(void)
{
	_cleanup_fd_ int map = -1, program = -1;
	uint32_t key, value, count = 1;
	uint64_t position;

	map = bpf_map_create(BPF_MAP_TYPE_HASH, "egress_check", sizeof(key), sizeof(value), 1, NULL);
	if (map < 0)
		return explain_refusal(-errno, "hash maps");
	if (bpf_map_lookup_batch(map, NULL, &position, &key, &value, &count, NULL) && errno != ENOENT)
		return explain_refusal(-errno, "reading maps in batches (5.6)");
	program = clock_program_load();
	if (program < 0)
		return explain_refusal(program, "a clock for programs (bpf_jiffies64, 5.6)");
	/* No call of ours, but what tells 5.10 from kernels that no test ever ran on, also where the number does not. */
	if (bpf_prog_bind_map(program, map, NULL))
		return explain_refusal(-errno, "binding maps to programs (BPF_PROG_BIND_MAP, 5.10)");
	return 0;
}

int datapath_check(void)
{
	int error;

	capture_libbpf_messages();
	error = check_capabilities();
	return error ? error : check_bpf();
}
