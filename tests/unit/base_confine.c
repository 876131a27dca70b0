/* SPDX-License-Identifier: Apache-2.0 */
/* base/confine.h: what a confined process can do and what it cannot, each tried in a process of its own. */
#define _GNU_SOURCE /* unshare, setns */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/confine.h"
#include "model_unit.h"

/* Runs `attempt` in a child that is confined first. Returns its errno, 0 where it succeeded, 255 where confine failed. */
static int confined(unsigned int purposes, int (*attempt)(void))
{
	static const int kept[] = {CAP_NET_ADMIN, CAP_SYS_ADMIN};
	int status;
	pid_t child = fork();

	if (!child) {
		const char *failed = "";

		if (confine(kept, 2, purposes, &failed)) {
			fprintf(stderr, "confine failed at %s\n", failed);
			_exit(255);
		}
		_exit(attempt() < 0 ? errno : 0);
	}
	assert_true(child > 0);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static int trace(void)
{
	return (int)syscall(SYS_ptrace, PTRACE_TRACEME, 0, 0, 0);
}

static int new_namespace(void)
{
	return unshare(CLONE_NEWNET);
}

static int new_namespace_by_clone(void)
{
	return (int)syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0);
}

static int packet_socket(void)
{
	return socket(AF_PACKET, SOCK_RAW, 0);
}

static int load_module(void)
{
	return (int)syscall(SYS_init_module, NULL, 0, "");
}

static int become_another(void)
{
	return setuid(1);
}

static int other_namespace(void)
{
	return setns(open("/proc/self/ns/uts", O_RDONLY), CLONE_NEWUTS);
}

static int run_program(void)
{
	char *arguments[] = {"true", NULL};

	return execv("/bin/true", arguments);
}

static int own_network_namespace(void)
{
	return setns(open("/proc/self/ns/net", O_RDONLY), CLONE_NEWNET);
}

static int sockets(void)
{
	int internet = socket(AF_INET, SOCK_STREAM, 0), netlink = socket(AF_NETLINK, SOCK_RAW, 0);
	int local = socket(AF_UNIX, SOCK_STREAM, 0);

	return internet < 0 || netlink < 0 || local < 0 ? -1 : 0;
}

static int child_process(void)
{
	pid_t child = fork();

	if (!child)
		_exit(0);
	return child < 0 || waitpid(child, NULL, 0) != child ? -1 : 0;
}

static void what_nobody_needs_is_not_there(void **state)
{
	(void)state;
	assert_int_equal(confined(0, new_namespace), ENOSYS);
	assert_int_equal(confined(0, new_namespace_by_clone), ENOSYS);
	assert_int_equal(confined(0, packet_socket), ENOSYS);
	assert_int_equal(confined(0, load_module), ENOSYS);
	assert_int_equal(confined(0, become_another), ENOSYS);
	assert_int_equal(confined(0, other_namespace), ENOSYS);
#ifndef __SANITIZE_ADDRESS__
	assert_int_equal(confined(0, trace), ENOSYS);
#else
	(void)trace;
#endif
}

static void what_is_needed_works(void **state)
{
	(void)state;
	assert_int_equal(confined(0, own_network_namespace), 0);
	assert_int_equal(confined(0, sockets), 0);
	assert_int_equal(confined(0, child_process), 0);
}

static void programs_run_only_on_purpose(void **state)
{
	(void)state;
	assert_int_equal(confined(0, run_program), ENOSYS);
	assert_int_equal(confined(CONFINE_RUN_PROGRAMS, run_program), 0);
}

/* "CapEff", "NoNewPrivs" ... of /proc/self/status; -1 with errno EBADMSG where it is not as expected. */
static int status_is(const char *name, unsigned long long expected, int base)
{
	FILE *file = fopen("/proc/self/status", "r");
	char line[256];
	int found = -1;

	while (file && fgets(line, sizeof(line), file))
		if (!strncmp(line, name, strlen(name)) && line[strlen(name)] == ':' &&
		    strtoull(line + strlen(name) + 1, NULL, base) == expected)
			found = 0;
	if (file)
		fclose(file);
	errno = EBADMSG;
	return found;
}

static int status_shows_it(void)
{
	unsigned long long kept = 1ull << CAP_NET_ADMIN | 1ull << CAP_SYS_ADMIN;

	return status_is("CapEff", kept, 16) || status_is("CapPrm", kept, 16) || status_is("CapBnd", kept, 16) ||
			       status_is("CapInh", 0, 16) || status_is("CapAmb", 0, 16) ||
			       status_is("NoNewPrivs", 1, 10) || status_is("Seccomp", 2, 10)
		       ? -1
		       : 0;
}

static void capabilities_are_given_up(void **state)
{
	(void)state;
	assert_int_equal(confined(0, status_shows_it), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_nobody_needs_is_not_there),
		cmocka_unit_test(what_is_needed_works),
		cmocka_unit_test(programs_run_only_on_purpose),
		cmocka_unit_test(capabilities_are_given_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
