/* SPDX-License-Identifier: Apache-2.0 */
/*
 * with_faults FILE COMMAND [ARGUMENT...]: runs a command whose bpf(2) calls fail while FILE says so. Each line of FILE
 * is "NUMBER ERRNO": calls with that number as their command (enum bpf_cmd) fail with that errno. A file that is
 * missing lets everything through.
 *
 * The process becomes the command; another one decides about its calls, and ends with the last process that it watches.
 */
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"

#define FAILED 125

static void die(const char *what)
{
	fprintf(stderr, "with_faults: %s: %s\n", what, strerror(errno));
	_exit(FAILED);
}

/* 0: the call goes to the kernel. */
static int fault_of(const char *path, uint64_t command)
{
	_cleanup_file_ FILE *file = fopen(path, "re");
	unsigned long number;
	int error;

	while (file && fscanf(file, "%lu %d", &number, &error) == 2)
		if (number == command)
			return error;
	return 0;
}

/* A call whose process was killed meanwhile has nobody to answer. */
static void answer(int listener, const char *path)
{
	struct seccomp_notif call = {0};
	struct seccomp_notif_resp response = {0};
	int error;

	if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &call))
		return;
	error = fault_of(path, call.data.args[0]);
	response.id = call.id;
	response.error = -error;
	response.flags = error ? 0 : SECCOMP_USER_NOTIF_FLAG_CONTINUE;
	(void)!ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &response);
}

static void decide(int listener, const char *path)
{
	struct pollfd wait = {.fd = listener, .events = POLLIN};

	for (;;) {
		if (poll(&wait, 1, -1) < 0 && errno != EINTR)
			die("poll");
		if (wait.revents & POLLIN)
			answer(listener, path);
		else if (wait.revents & (POLLHUP | POLLERR))
			_exit(0);
	}
}

/* Takes the listener over from the process that is watched, tells it so, and lets go of its output. */
static void supervise(pid_t watched, int numbers, int told, const char *path)
{
	int number, process, listener;

	if (read(numbers, &number, sizeof(number)) != sizeof(number))
		_exit(FAILED);
	process = (int)syscall(SYS_pidfd_open, watched, 0);
	listener = (int)syscall(SYS_pidfd_getfd, process, number, 0);
	if (listener < 0)
		die("cannot take the listener");
	close(process);
	setsid();
	if (write(told, "", 1) != 1)
		_exit(FAILED);
	close(told);
	close(numbers);
	close(STDIN_FILENO);
	close(STDOUT_FILENO);
	close(STDERR_FILENO);
	decide(listener, path);
}

static int install_filter(void)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_bpf, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	const struct sock_fprog program = {.len = ARRAY_SIZE(filter), .filter = filter};

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		die("no_new_privs");
	return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &program);
}

int main(int argc, char **argv)
{
	int numbers[2], told[2], listener;
	pid_t self = getpid(), child;
	char byte;

	if (argc < 3) {
		fprintf(stderr, "usage: with_faults FILE COMMAND [ARGUMENT...]\n");
		return FAILED;
	}
	if (pipe(numbers) || pipe(told))
		die("pipe");
	child = fork();
	if (child < 0)
		die("fork");
	/* Forked twice: the command has no child that it does not know of. */
	if (!child) {
		close(numbers[1]);
		close(told[0]);
		if (!fork())
			supervise(self, numbers[0], told[1], argv[1]);
		_exit(0);
	}
	waitpid(child, NULL, 0);
	close(numbers[0]);
	close(told[1]);
	listener = install_filter();
	if (listener < 0)
		die("cannot install the filter");
	if (write(numbers[1], &listener, sizeof(listener)) != sizeof(listener) || read(told[0], &byte, 1) != 1)
		die("nobody decides");
	close(numbers[1]);
	close(told[0]);
	close(listener);
	execvp(argv[2], argv + 2);
	die(argv[2]);
}
