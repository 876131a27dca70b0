/* SPDX-License-Identifier: Apache-2.0 */
/* Per-CPU counters of an endpoint, summed. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "datapath/internal.h"

static struct egress_counter *per_cpu_values(const struct datapath *datapath)
{
	return calloc((size_t)datapath->cpu_count, sizeof(struct egress_counter));
}

static int check_id(uint32_t endpoint_id)
{
	if (endpoint_id >= EGRESS_ENDPOINT_MAX)
		return fail(-EINVAL, "endpoint %u is out of range", endpoint_id);
	return 0;
}

static int read_sum(const struct datapath *datapath, int map, uint32_t index, struct egress_counter *values,
		    struct egress_counter *sum)
{
	if (bpf_map_lookup_elem(map, &index, values))
		return fail_errno(-errno, "cannot read counter %u", index);
	*sum = (struct egress_counter){};
	for (int cpu = 0; cpu < datapath->cpu_count; cpu++) {
		sum->packets += values[cpu].packets;
		sum->bytes += values[cpu].bytes;
	}
	return 0;
}

int datapath_counters(struct datapath *datapath, uint32_t endpoint_id, struct egress_counter *allowed,
		      struct egress_counter reasons[EGRESS_DROP_REASON_SLOTS])
{
	_cleanup_free_ struct egress_counter *values = per_cpu_values(datapath);
	struct egress_counter passed, dropped[EGRESS_DROP_REASON_SLOTS];
	int error;

	if (!values)
		return fail_errno(-ENOMEM, "no memory");
	error = check_id(endpoint_id);
	if (!error)
		error = read_sum(datapath, datapath->allowed, endpoint_id, values, &passed);
	for (uint32_t reason = 0; !error && reason < EGRESS_DROP_REASON_SLOTS; reason++)
		error = read_sum(datapath, datapath->dropped, endpoint_id * EGRESS_DROP_REASON_SLOTS + reason, values,
				 &dropped[reason]);
	if (error)
		return error;
	*allowed = passed;
	memcpy(reasons, dropped, sizeof(dropped));
	return 0;
}

int datapath_counters_reset(struct datapath *datapath, uint32_t endpoint_id)
{
	_cleanup_free_ struct egress_counter *zero = per_cpu_values(datapath);
	int error;

	if (!zero)
		return fail_errno(-ENOMEM, "no memory");
	error = check_id(endpoint_id);
	if (error)
		return error;
	if (bpf_map_update_elem(datapath->allowed, &endpoint_id, zero, BPF_ANY))
		return fail_errno(-errno, "cannot reset the counters of endpoint %u", endpoint_id);
	for (uint32_t reason = 0; reason < EGRESS_DROP_REASON_SLOTS; reason++) {
		uint32_t index = endpoint_id * EGRESS_DROP_REASON_SLOTS + reason;

		if (bpf_map_update_elem(datapath->dropped, &index, zero, BPF_ANY))
			return fail_errno(-errno, "cannot reset the counters of endpoint %u", endpoint_id);
	}
	return 0;
}
