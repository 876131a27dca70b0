/* SPDX-License-Identifier: Apache-2.0 */
/*
 * killed_at NUMBER COMMAND [ARGUMENT...]: runs a command that is killed (SIGKILL) instead of its NUMBER-th system call,
 * counted from 1, of those that change what outlives it: maps, links and pins, files and directories, qdiscs and
 * filters. A command that makes fewer runs on.
 */
#define _GNU_SOURCE /* program_invocation_short_name, process_vm_readv */
#include "supervise.h"

#include <linux/bpf.h>
#include <linux/rtnetlink.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/uio.h>

static const uint32_t changing_calls[] = {
#ifdef __NR_rename
	__NR_rename,	__NR_mkdir,    __NR_unlink,   __NR_rmdir,
#endif
	__NR_renameat,	__NR_renameat2, __NR_mkdirat, __NR_unlinkat,
};

static const uint32_t changing_commands[] = {
	BPF_MAP_UPDATE_ELEM, BPF_MAP_DELETE_ELEM, BPF_OBJ_PIN, BPF_LINK_CREATE, BPF_LINK_UPDATE, BPF_LINK_DETACH,
};

static bool is_in(const uint32_t *list, size_t count, uint64_t number)
{
	for (size_t i = 0; i < count; i++)
		if (list[i] == number)
			return true;
	return false;
}

/* The type of the netlink message that is sent; 0 where it cannot be read. */
static uint16_t message_type(const struct seccomp_notif *call)
{
	struct nlmsghdr header = {0};
	const struct iovec local = {&header, sizeof(header)};
	const struct iovec remote = {(void *)(uintptr_t)call->data.args[1], sizeof(header)};

	return process_vm_readv((pid_t)call->pid, &local, 1, &remote, 1, 0) == sizeof(header) ? header.nlmsg_type : 0;
}

static bool changes(const struct seccomp_notif *call)
{
	uint16_t type;

	if (call->data.nr == __NR_bpf)
		return is_in(changing_commands, ARRAY_SIZE(changing_commands), call->data.args[0]);
	if (call->data.nr != __NR_sendto)
		return is_in(changing_calls, ARRAY_SIZE(changing_calls), (uint64_t)call->data.nr);
	type = message_type(call);
	return type == RTM_NEWQDISC || type == RTM_DELQDISC || type == RTM_NEWTFILTER || type == RTM_DELTFILTER;
}

static int kill_at(const struct seccomp_notif *call, const void *number)
{
	static unsigned long count;

	if (!changes(call) || ++count != *(const unsigned long *)number)
		return 0;
	/* Without an answer, which would let it make the call before it dies. */
	kill((pid_t)call->pid, SIGKILL);
	_exit(0);
}

/* What might change something is notified; kill_at looks closer. Of bpf(2) there are too many calls that only read. */
static size_t fill_filter(struct sock_filter *filter)
{
	size_t calls = ARRAY_SIZE(changing_calls), commands = ARRAY_SIZE(changing_commands), length = 0;

	filter[length++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
	filter[length++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_sendto,
							(uint8_t)(calls + commands + 3), 0);
	for (size_t i = 0; i < calls; i++)
		filter[length++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, changing_calls[i],
								(uint8_t)(calls + commands + 2 - i), 0);
	filter[length++] =
		(struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_bpf, 0, (uint8_t)(commands + 1));
	filter[length++] =
		(struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[0]));
	for (size_t i = 0; i < commands; i++)
		filter[length++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, changing_commands[i],
								(uint8_t)(commands - i), 0);
	filter[length++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	filter[length++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF);
	return length;
}

int main(int argc, char **argv)
{
	struct sock_filter filter[64];
	struct sock_fprog program = {.filter = filter};
	unsigned long number;

	if (argc < 3) {
		fprintf(stderr, "usage: killed_at NUMBER COMMAND [ARGUMENT...]\n");
		return SUPERVISION_FAILED;
	}
	number = strtoul(argv[1], NULL, 10);
	program.len = (unsigned short)fill_filter(filter);
	supervise(&program, kill_at, &number, argv + 2);
}
