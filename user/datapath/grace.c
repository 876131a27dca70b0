/* SPDX-License-Identifier: Apache-2.0 */
/* Waiting until no program can still hold what it read before: user space has no call for synchronize_rcu as such. */
#include <errno.h>
#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "datapath/internal.h"

/*
 * MEMBARRIER_CMD_GLOBAL is synchronize_rcu() wherever more than one CPU is online. It is refused under nohz_full, and
 * does nothing on one CPU, where a program may yet be interrupted in its middle on a kernel with preemptible softirqs.
 */
static bool barrier_done(void)
{
	return sysconf(_SC_NPROCESSORS_ONLN) > 1 && !syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0) &&
	       sysconf(_SC_NPROCESSORS_ONLN) > 1;
}

static int make_nested_maps(int grace[2])
{
	_cleanup_fd_ int inner = -1, outer = -1;

	inner = bpf_map_create(BPF_MAP_TYPE_ARRAY, "egress_grace_in", sizeof(uint32_t), sizeof(uint32_t), 1, NULL);
	if (inner < 0)
		return fail_errno(-errno, "cannot create a map to wait for a grace period");
	LIBBPF_OPTS(bpf_map_create_opts, options, .inner_map_fd = (uint32_t)inner);
	outer = bpf_map_create(BPF_MAP_TYPE_ARRAY_OF_MAPS, "egress_grace", sizeof(uint32_t), sizeof(uint32_t), 1,
			       &options);
	if (outer < 0)
		return fail_errno(-errno, "cannot create a map of maps to wait for a grace period");
	grace[0] = take_fd(&outer);
	grace[1] = take_fd(&inner);
	return 0;
}

/*
 * An update of a map of maps returns only after synchronize_rcu(), so that its caller knows the old map unused
 * (since 4.20).
 */
static int nested_update(struct datapath *datapath)
{
	uint32_t key = 0;
	int error;

	if (datapath->grace[0] < 0) {
		error = make_nested_maps(datapath->grace);
		if (error)
			return error;
	}
	if (bpf_map_update_elem(datapath->grace[0], &key, &datapath->grace[1], BPF_ANY))
		return fail_errno(-errno, "cannot wait for a grace period");
	return 0;
}

int datapath_grace_period(struct datapath *datapath)
{
	int error = barrier_done() ? 0 : nested_update(datapath);

	return error ? error : endpoints_tidy(datapath);
}
