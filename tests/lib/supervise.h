/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs a command some of whose system calls another process decides about: include, then call supervise(). The process
 * becomes the command; the other one ends with the last process that it watches.
 */
#ifndef EGRESSD_TESTS_SUPERVISE_H
#define EGRESSD_TESTS_SUPERVISE_H

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
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

#define SUPERVISION_FAILED 125

/*
 * 0: the call goes to the kernel; DELAYED(ms): after that time; otherwise it fails with that errno. Runs in the process that
 * decides.
 */
#define DELAYED(milliseconds) (10000 + (milliseconds))
typedef int (*supervisor)(const struct seccomp_notif *call, const void *data);

static void die(const char *what)
{
	fprintf(stderr, "%s: %s: %s\n", program_invocation_short_name, what, strerror(errno));
	_exit(SUPERVISION_FAILED);
}

/* A call whose process was killed meanwhile has nobody to answer. */
static void answer(int listener, supervisor decide, const void *data)
{
	struct seccomp_notif call = {0};
	struct seccomp_notif_resp response = {0};
	bool child = false;
	int error;

	if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &call))
		return;
	error = decide(&call, data);
	if (error >= DELAYED(0)) {
		/* Other calls go on meanwhile. */
		if (fork())
			return;
		usleep((unsigned int)(error - DELAYED(0)) * 1000);
		error = 0;
		child = true;
	}
	response.id = call.id;
	response.error = -error;
	response.flags = error ? 0 : SECCOMP_USER_NOTIF_FLAG_CONTINUE;
	(void)!ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &response);
	if (child)
		_exit(0);
}

static void answer_all(int listener, supervisor decide, const void *data)
{
	struct pollfd wait = {.fd = listener, .events = POLLIN};

	for (;;) {
		if (poll(&wait, 1, -1) < 0 && errno != EINTR)
			die("poll");
		if (wait.revents & POLLIN)
			answer(listener, decide, data);
		else if (wait.revents & (POLLHUP | POLLERR))
			_exit(0);
	}
}

/* Takes the listener over from the process that is watched, tells it so, and lets go of its output. */
static void watch(pid_t watched, int numbers, int told, supervisor decide, const void *data)
{
	int number, process, listener;

	if (read(numbers, &number, sizeof(number)) != sizeof(number))
		_exit(SUPERVISION_FAILED);
	process = (int)syscall(SYS_pidfd_open, watched, 0);
	listener = (int)syscall(SYS_pidfd_getfd, process, number, 0);
	if (listener < 0)
		die("cannot take the listener");
	close(process);
	setsid();
	signal(SIGCHLD, SIG_IGN);
	if (write(told, "", 1) != 1)
		_exit(SUPERVISION_FAILED);
	close(told);
	close(numbers);
	close(STDIN_FILENO);
	close(STDOUT_FILENO);
	close(STDERR_FILENO);
	answer_all(listener, decide, data);
}

static int install_filter(const struct sock_fprog *program)
{
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		die("no_new_privs");
	return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, program);
}

/* `filter` says which calls are decided about (SECCOMP_RET_USER_NOTIF); `data` is for `decide`. Does not return. */
static inline void supervise(const struct sock_fprog *filter, supervisor decide, const void *data, char **command)
{
	int numbers[2], told[2], listener;
	pid_t self = getpid(), child;
	char byte;

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
			watch(self, numbers[0], told[1], decide, data);
		_exit(0);
	}
	waitpid(child, NULL, 0);
	close(numbers[0]);
	close(told[1]);
	listener = install_filter(filter);
	if (listener < 0)
		die("cannot install the filter");
	if (write(numbers[1], &listener, sizeof(listener)) != sizeof(listener) || read(told[0], &byte, 1) != 1)
		die("nobody decides");
	close(numbers[1]);
	close(told[0]);
	close(listener);
	execvp(command[0], command);
	die(command[0]);
}

#endif
