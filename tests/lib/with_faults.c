/* SPDX-License-Identifier: Apache-2.0 */
/*
 * with_faults FILE COMMAND [ARGUMENT...]: runs a command some of whose system calls fail while FILE says so. Its lines:
 *
 *   NUMBER ERRNO        bpf(2) with that number as its command (enum bpf_cmd) fails with that errno; 0: it is killed there
 *   NUMBER delay MS     it takes so many milliseconds longer, and holds up no other call
 *   setns INODE ERRNO   nobody enters the network namespace of that inode
 *   conntrack ERRNO     nobody opens a socket that connection tracking is read with (NETLINK_NETFILTER)
 *   unix ERRNO          nobody opens a socket that has a name in the file system
 *   watch ERRNO         nobody begins to watch a directory (inotify)
 *
 * A file that is missing lets everything through.
 */
#define _GNU_SOURCE /* program_invocation_short_name */
#include "supervise.h"

#include <linux/netlink.h>
#include <signal.h>
#include <sys/socket.h>

/* Where the descriptor of setns(2) leads; 0: nowhere. */
static unsigned long namespace_of(const struct seccomp_notif *call)
{
	char path[64], target[64] = "";
	unsigned long inode = 0;
	ssize_t length;

	snprintf(path, sizeof(path), "/proc/%u/fd/%d", call->pid, (int)call->data.args[0]);
	length = readlink(path, target, sizeof(target) - 1);
	return length > 0 && sscanf(target, "net:[%lu]", &inode) == 1 ? inode : 0;
}

/* -1: the line is not about the call. */
static int fault_of_line(const struct seccomp_notif *call, const char *line)
{
	unsigned long number;
	int error;

	if (call->data.nr == __NR_bpf && sscanf(line, "%lu delay %d", &number, &error) == 2)
		return number == call->data.args[0] ? DELAYED(error) : -1;
	if (call->data.nr == __NR_bpf)
		return sscanf(line, "%lu %d", &number, &error) == 2 && number == call->data.args[0] ? error : -1;
	if (call->data.nr == __NR_setns)
		return sscanf(line, "setns %lu %d", &number, &error) == 2 && number == namespace_of(call) ? error : -1;
	if (call->data.nr == __NR_inotify_add_watch)
		return sscanf(line, "watch %d", &error) == 1 ? error : -1;
	if (sscanf(line, "unix %d", &error) == 1)
		return call->data.args[0] == AF_UNIX ? error : -1;
	return sscanf(line, "conntrack %d", &error) == 1 && call->data.args[2] == NETLINK_NETFILTER ? error : -1;
}

static int fault_of(const struct seccomp_notif *call, const void *path)
{
	_cleanup_file_ FILE *file = fopen(path, "re");
	char line[128];

	while (file && fgets(line, sizeof(line), file)) {
		int error = fault_of_line(call, line);

		if (error > 0)
			return error;
		if (error < 0)
			continue;
		/* Without an answer, which would let it make the call before it dies. */
		kill((pid_t)call->pid, SIGKILL);
		_exit(0);
	}
	return 0;
}

int main(int argc, char **argv)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_bpf, 3, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_setns, 2, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_inotify_add_watch, 1, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_socket, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	const struct sock_fprog program = {.len = ARRAY_SIZE(filter), .filter = filter};

	if (argc < 3) {
		fprintf(stderr, "usage: with_faults FILE COMMAND [ARGUMENT...]\n");
		return SUPERVISION_FAILED;
	}
	supervise(&program, fault_of, argv[1], argv + 2);
}
