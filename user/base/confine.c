/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE /* CLONE_NEW* */
#include "base/confine.h"

#include <cap-ng.h>
#include <errno.h>
#include <sched.h>
#include <seccomp.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/socket.h>

#include "base/cleanup.h"

/* ------------------------------------------------------------------ system calls, by purpose */

/* Manifests, state, pins, /proc and /sys. Names, owners and modes, but no device nodes and no new root. */
static const char *const files[] = {
	"access", "chdir", "chmod", "chown", "close", "close_range", "copy_file_range", "creat", "dup", "dup2", "dup3",
	"faccessat", "faccessat2", "fadvise64", "fallocate", "fchdir", "fchmod", "fchmodat", "fchown", "fchownat",
	"fcntl", "fdatasync", "flock", "fstat", "fstatfs", "fsync", "ftruncate", "futimesat", "getcwd", "getdents",
	"getdents64", "getxattr", "inotify_add_watch", "inotify_init", "inotify_init1", "inotify_rm_watch", "ioctl",
	"lchown", "link", "linkat", "lseek", "lstat", "mkdir", "mkdirat", "newfstatat", "open", "openat", "openat2",
	"pread64", "preadv", "preadv2", "pwrite64", "pwritev", "pwritev2", "read", "readahead", "readlink",
	"readlinkat", "readv", "rename", "renameat", "renameat2", "rmdir", "sendfile", "splice", "stat", "statfs",
	"statx", "symlink", "symlinkat", "sync_file_range", "tee", "truncate", "umask", "unlink", "unlinkat",
	"utimensat", "write", "writev",
};

static const char *const memory[] = {
	"brk", "madvise", "membarrier", "memfd_create", "mincore", "mlock", "mmap", "mprotect", "mremap", "msync",
	"munlock", "munmap",
};

/* Threads, and what the C library does for each; new processes only as copies. clone() has a rule of its own. */
static const char *const threads[] = {
	"arch_prctl", "exit", "exit_group", "fork", "futex", "futex_waitv", "get_robust_list", "getcpu", "gettid",
	"prctl", "restart_syscall", "rseq", "sched_get_priority_max", "sched_get_priority_min", "sched_getaffinity",
	"sched_getparam", "sched_getscheduler", "sched_setaffinity", "sched_yield", "set_robust_list",
	"set_tid_address", "vfork", "wait4", "waitid",
};

static const char *const signals[] = {
	"kill", "pause", "pidfd_open", "pidfd_send_signal", "rt_sigaction", "rt_sigpending", "rt_sigprocmask",
	"rt_sigqueueinfo", "rt_sigreturn", "rt_sigsuspend", "rt_sigtimedwait", "sigaltstack", "tgkill", "tkill",
};

static const char *const time_and_events[] = {
	"alarm", "clock_getres", "clock_gettime", "clock_nanosleep", "epoll_create", "epoll_create1", "epoll_ctl",
	"epoll_pwait", "epoll_pwait2", "epoll_wait", "eventfd", "eventfd2", "getitimer", "gettimeofday", "nanosleep",
	"pipe", "pipe2", "poll", "ppoll", "pselect6", "select", "setitimer", "signalfd", "signalfd4", "time",
	"timer_create", "timer_delete", "timer_gettime", "timer_settime", "timerfd_create", "timerfd_gettime",
	"timerfd_settime", "times",
};

/* Who and where we are; none of it changes who we are. */
static const char *const identity[] = {
	"capget", "getegid", "geteuid", "getgid", "getgroups", "getpgid", "getpgrp", "getpid", "getppid", "getpriority",
	"getrandom", "getresgid", "getresuid", "getrlimit", "getrusage", "getsid", "getuid", "prlimit64", "setpgid",
	"setpriority", "setrlimit", "setsid", "sysinfo", "uname",
};

/* Of sockets that are there; socket() has a rule of its own. */
static const char *const sockets[] = {
	"accept", "accept4", "bind", "connect", "getpeername", "getsockname", "getsockopt", "listen", "recvfrom",
	"recvmmsg", "recvmsg", "sendmmsg", "sendmsg", "sendto", "setsockopt", "shutdown", "socketpair",
};

/* bpf(): what the program is for. mount() and umount2(): a bpffs for the pins, also where somebody took it away. */
static const char *const kernel[] = {"bpf", "mount", "umount2"};

static const char *const running_programs[] = {"execve", "execveat"};

/* What the sanitizers' run-time does at the end of a test. */
#if defined(__SANITIZE_ADDRESS__)
static const char *const sanitizers[] = {"personality", "ptrace"};
#else
static const char *const sanitizers[] = {"read"};
#endif

struct purpose {
	const char *const *names;
	size_t count;
};
#define PURPOSE(list) {list, ARRAY_SIZE(list)}

static const struct purpose always[] = {
	PURPOSE(files),    PURPOSE(memory),  PURPOSE(threads), PURPOSE(signals),    PURPOSE(time_and_events),
	PURPOSE(identity), PURPOSE(sockets), PURPOSE(kernel),  PURPOSE(sanitizers),
};

static const struct purpose run_programs = PURPOSE(running_programs);

static int allow(scmp_filter_ctx filter, const struct purpose *purpose)
{
	for (size_t i = 0; i < purpose->count; i++) {
		int number = seccomp_syscall_resolve_name(purpose->names[i]);
		int error;

		/* Not on this architecture, or not known to this libseccomp: then it stays outside. */
		if (number < 0)
			continue;
		error = seccomp_rule_add(filter, SCMP_ACT_ALLOW, number, 0);
		if (error)
			return error;
	}
	return 0;
}

/* Threads and processes, but no new namespaces. clone3() hides its flags from a filter: the C library does without. */
static int allow_clone(scmp_filter_ctx filter)
{
	const uint64_t namespaces = CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID |
				    CLONE_NEWNET | CLONE_NEWCGROUP;

	return seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1,
				SCMP_A0(SCMP_CMP_MASKED_EQ, namespaces, 0));
}

/* No packet sockets, no raw ones but for what netlink is. */
static int allow_socket(scmp_filter_ctx filter)
{
	static const int families[] = {AF_UNIX, AF_INET, AF_INET6, AF_NETLINK};
	int error = 0;

	for (size_t i = 0; !error && i < ARRAY_SIZE(families); i++)
		error = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(socket), 1,
					 SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)families[i], 0));
	return error;
}

/* Into a pod's network namespace, to see its interfaces and sockets; into no other kind. */
static int allow_setns(scmp_filter_ctx filter)
{
	return seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(setns), 1, SCMP_A1(SCMP_CMP_EQ, CLONE_NEWNET, 0));
}

static void release_filter(scmp_filter_ctx *filter)
{
	if (*filter)
		seccomp_release(*filter);
}

static int install_filter(unsigned int purposes)
{
	_cleanup_(release_filter) scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(ENOSYS));
	int error = 0;

	if (!filter)
		return -ENOMEM;
	for (size_t i = 0; !error && i < ARRAY_SIZE(always); i++)
		error = allow(filter, &always[i]);
	if (!error && purposes & CONFINE_RUN_PROGRAMS)
		error = allow(filter, &run_programs);
	if (!error)
		error = allow_clone(filter);
	if (!error)
		error = allow_socket(filter);
	if (!error)
		error = allow_setns(filter);
	if (!error)
		error = seccomp_attr_set(filter, SCMP_FLTATR_CTL_TSYNC, 1);
	return error ? error : seccomp_load(filter);
}

/* ------------------------------------------------------------------ capabilities */

/* The bounding set too: a program that root runs would have all of them again. */
static int drop_capabilities(const int *capabilities, size_t count)
{
	const capng_type_t sets = CAPNG_EFFECTIVE | CAPNG_PERMITTED | CAPNG_BOUNDING_SET;
	bool had[64] = {false}, bounding;

	if (capng_get_caps_process())
		return -EIO;
	bounding = capng_have_capability(CAPNG_EFFECTIVE, CAP_SETPCAP);
	for (size_t i = 0; i < count; i++)
		had[capabilities[i]] = capng_have_capability(CAPNG_PERMITTED, (unsigned int)capabilities[i]);
	capng_clear(CAPNG_SELECT_ALL);
	for (size_t i = 0; i < count; i++)
		if (had[capabilities[i]] && capng_update(CAPNG_ADD, sets, (unsigned int)capabilities[i]))
			return -EINVAL;
	/* Without CAP_SETPCAP the bounding set stays; no_new_privs does not stop root's execve from using it. */
	return capng_apply(bounding ? CAPNG_SELECT_BOTH : CAPNG_SELECT_CAPS) ? -EPERM : 0;
}

int confine(const int *capabilities, size_t count, unsigned int purposes, const char **failed)
{
	int error = drop_capabilities(capabilities, count);

	if (error) {
		*failed = "giving up capabilities";
		return error;
	}
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)) {
		*failed = "setting no_new_privs";
		return -errno;
	}
	error = install_filter(purposes);
	if (error)
		*failed = "installing the filter of system calls";
	return error;
}
