/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which processes are a pod's: the kubelet puts them into a control group that it names after the pod's UID. The groups
 * are read from /proc/<pid>/cgroup, so it does not matter where the hierarchies are mounted, and whether here at all:
 *
 *   cgroupfs driver   …/kubepods/burstable/pod<uid>/<container>
 *   systemd driver    …/kubepods-burstable-pod<uid with _ for ->.slice/cri-containerd-<container>.scope
 *
 * in version 1, 2 and both together, below any --cgroup-root. Of several such names in a path the outermost counts: what
 * is below it a pod may have made itself.
 */
#ifndef EGRESSD_NODE_POD_PROCESSES_H
#define EGRESSD_NODE_POD_PROCESSES_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define POD_UID_SIZE 64

/* The UID that the path of a control group names, as the API writes it, in uid; false: it is no pod's. */
bool pod_uid_of_cgroup(const char *path, char uid[POD_UID_SIZE]);

struct pod_process {
	char uid[POD_UID_SIZE];
	pid_t pid;
};

struct pod_processes {
	struct pod_process *items; /* sorted by UID, then pid */
	size_t count;
	size_t seen; /* processes that were looked at, of pods or not */
};

/* Looks at all processes of `proc` (a procfs; "/proc"). 0 or -errno. */
int pod_processes_read(const char *proc, struct pod_processes *out);
void pod_processes_clear(struct pod_processes *processes);
/* The first of the pod's, and how many there are; NULL: none. */
const struct pod_process *pod_processes_find(const struct pod_processes *processes, const char *uid, size_t *count);
/* Is it still one of the pod's? For after its number led somewhere. */
bool pod_process_is_of(const char *proc, pid_t pid, const char *uid);

#endif
