/* SPDX-License-Identifier: Apache-2.0 */
/* Names of control groups, of every driver and layout, and what only looks like one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "node/pod_processes.h"

#define UID_A   "0a1b2c3d-1111-2222-3333-444455556666"
#define UID_A_  "0a1b2c3d_1111_2222_3333_444455556666"
#define UID_B   "ffffffff-1111-2222-3333-444455556666"
#define UID_B_  "ffffffff_1111_2222_3333_444455556666"
#define STATIC  "5d41402abc4b2a76b9719d911017c592"

static const struct {
	const char *path, *uid; /* NULL: no pod's */
} names[] = {
	{"/kubepods/burstable/pod" UID_A "/0123abcd", UID_A},
	{"/kubepods/besteffort/pod" UID_A, UID_A},
	{"/kubepods/pod" UID_A "/0123abcd", UID_A},
	{"/kubepods/pod" STATIC "/0123abcd", STATIC},
	{"/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod" UID_A_ ".slice/cri-containerd-01.scope", UID_A},
	{"/kubepods.slice/kubepods-pod" UID_A_ ".slice/crio-01.scope", UID_A},
	{"/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod" STATIC ".slice/docker-01.scope", STATIC},
	{"/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-pod" UID_A_ ".slice/cri-containerd-01.scope", UID_A},
	{"/system.slice/docker-01.scope/kubelet/kubepods/burstable/pod" UID_A "/01", UID_A},
	/* As a process in a control group namespace of its own sees others. */
	{"/../../kubepods-burstable-pod" UID_A_ ".slice/cri-containerd-01.scope", UID_A},
	{"/../../pod" UID_A "/0123", UID_A},
	{"/../../../besteffort/pod" UID_A "/0123", UID_A},
	/* What a pod made below its own group. */
	{"/kubepods/burstable/pod" UID_A "/01/kubepods/pod" UID_B, UID_A},
	{"/kubepods.slice/kubepods-pod" UID_A_ ".slice/x.scope/kubepods-pod" UID_B_ ".slice", UID_A},
	{"/", NULL},
	{"", NULL},
	{"/user.slice/user-1000.slice/session-1.scope", NULL},
	{"/pod" UID_A, NULL},
	{"/user.slice/my-pod" UID_A_ ".slice", NULL},
	{"/kubepods/burstable", NULL},
	{"/kubepods/pod", NULL},
	{"/kubepods/podium", NULL},
	{"/kubepods/pod" UID_A "x", NULL},
	{"/kubepods.slice/kubepods-burstable.slice", NULL},
	{"/kubepods.slice/kubepods-pod.slice", NULL},
	{"/kubepods/pod0123456789012345678901234567890123456789012345678901234567890123456789", NULL},
};

static void test_names(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		char uid[POD_UID_SIZE] = "";
		bool found = pod_uid_of_cgroup(names[i].path, uid);

		if (found != !!names[i].uid || (found && strcmp(uid, names[i].uid)))
			fail_msg("%s: expected %s, found %s", names[i].path, names[i].uid ? names[i].uid : "none",
				 found ? uid : "none");
	}
}

static void add_process(const char *proc, const char *pid, const char *groups)
{
	char path[512];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", proc, pid);
	assert_int_equal(mkdir(path, 0700), 0);
	snprintf(path, sizeof(path), "%s/%s/cgroup", proc, pid);
	file = fopen(path, "we");
	assert_non_null(file);
	fputs(groups, file);
	fclose(file);
}

static void remove_process(const char *proc, const char *pid)
{
	char path[512];

	snprintf(path, sizeof(path), "%s/%s/cgroup", proc, pid);
	unlink(path);
	snprintf(path, sizeof(path), "%s/%s", proc, pid);
	rmdir(path);
}

static void test_processes(void **state)
{
	static const char *const pids[] = {"1", "70", "8", "900"};
	char proc[] = "/tmp/egressd-proc.XXXXXX";
	struct pod_processes processes;
	const struct pod_process *found;
	size_t count;

	(void)state;
	assert_non_null(mkdtemp(proc));
	add_process(proc, "1", "0::/init.scope\n");
	/* Version 1 with a line for each hierarchy, and a hybrid: any of them may be where the pod is. */
	add_process(proc, "70", "5:cpu,cpuacct:/\n4:memory:/kubepods/burstable/pod" UID_A "/01\n0::/\n");
	add_process(proc, "8", "1:name=systemd:/kubepods/burstable/pod" UID_A "/02\n");
	add_process(proc, "900", "0::/kubepods.slice/kubepods-pod" UID_B_ ".slice/cri-containerd-03.scope\n");
	assert_int_equal(pod_processes_read(proc, &processes), 0);
	assert_int_equal(processes.seen, 4);
	assert_int_equal(processes.count, 3);
	found = pod_processes_find(&processes, UID_A, &count);
	assert_int_equal(count, 2);
	assert_int_equal(found[0].pid, 8);
	assert_int_equal(found[1].pid, 70);
	found = pod_processes_find(&processes, UID_B, &count);
	assert_int_equal(count, 1);
	assert_int_equal(found->pid, 900);
	assert_null(pod_processes_find(&processes, STATIC, &count));
	assert_int_equal(count, 0);
	assert_true(pod_process_is_of(proc, 900, UID_B));
	assert_false(pod_process_is_of(proc, 900, UID_A));
	assert_false(pod_process_is_of(proc, 901, UID_B));
	pod_processes_clear(&processes);
	for (size_t i = 0; i < ARRAY_SIZE(pids); i++)
		remove_process(proc, pids[i]);
	rmdir(proc);
	assert_int_equal(pod_processes_read(proc, &processes), -ENOENT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_processes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
