/* SPDX-License-Identifier: Apache-2.0 */
/*
 * with_faults FILE COMMAND [ARGUMENT...]: runs a command whose bpf(2) calls fail while FILE says so. Each line of FILE
 * is "NUMBER ERRNO": calls with that number as their command (enum bpf_cmd) fail with that errno. A file that is
 * missing lets everything through.
 */
#define _GNU_SOURCE /* program_invocation_short_name */
#include "supervise.h"

static int fault_of(const struct seccomp_notif *call, const void *path)
{
	_cleanup_file_ FILE *file = fopen(path, "re");
	unsigned long number;
	int error;

	while (file && fscanf(file, "%lu %d", &number, &error) == 2)
		if (number == call->data.args[0])
			return error;
	return 0;
}

int main(int argc, char **argv)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_bpf, 0, 1),
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
