/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Flows: reading them while the programs change them, removing those whose time is over, and all that an endpoint
 * leaves behind.
 */
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>

#include <egressd/flow_timeout.h>

#include "base/cleanup.h"
#include "datapath/internal.h"

int flow_read(const struct datapath *datapath, const struct flow_tuple *tuple, struct egress_flow *flow)
{
	const struct egress_flow_key key = flow_tuple_key(tuple);

	return bpf_map_lookup_elem(datapath->flows, &key, flow) ? -errno : 0;
}

int flow_write(const struct datapath *datapath, const struct flow_tuple *tuple, const struct egress_flow *flow,
	       uint64_t flags)
{
	const struct egress_flow_key key = flow_tuple_key(tuple);

	return bpf_map_update_elem(datapath->flows, &key, flow, flags) ? -errno : 0;
}

/* ---------------------------------------------------------------- all of them */

/* Flows fetched by one call. A bucket of the hash that holds more takes a larger batch. */
#define BATCH_FLOWS 1024

struct flow_batch {
	struct egress_flow_key *keys;
	struct egress_flow *flows;
	uint32_t capacity, count;
};

static void clear_batch(struct flow_batch *batch)
{
	free(batch->keys);
	free(batch->flows);
}

static int size_batch(struct flow_batch *batch, uint32_t capacity)
{
	clear_batch(batch);
	batch->keys = calloc(capacity, sizeof(*batch->keys));
	batch->flows = calloc(capacity, sizeof(*batch->flows));
	batch->capacity = capacity;
	return batch->keys && batch->flows ? 0 : fail_errno(-ENOMEM, "no memory");
}

/*
 * Batches go by hash bucket: unlike a walk from key to key they neither start over nor end early when an entry is
 * deleted underneath. 0: more to come, 1: that was the last one.
 */
static int next_batch(struct datapath *datapath, struct flow_batch *batch, bool first, uint64_t *position)
{
	uint64_t next = 0;
	int error;

	for (;;) {
		batch->count = batch->capacity;
		error = bpf_map_lookup_batch(datapath->flows, first ? NULL : position, &next, batch->keys, batch->flows,
					     &batch->count, NULL);
		if (!error || errno != ENOSPC)
			break;
		error = size_batch(batch, batch->capacity * 2);
		if (error)
			return error;
	}
	if (error && errno != ENOENT)
		return fail_errno(-errno, "cannot read the flows");
	*position = next;
	return error ? 1 : 0;
}

int datapath_flows(struct datapath *datapath, datapath_flow_visitor visit, void *data)
{
	_cleanup_(clear_batch) struct flow_batch batch = {};
	uint64_t position = 0;
	bool first = true;
	int status = size_batch(&batch, BATCH_FLOWS);

	while (!status) {
		status = next_batch(datapath, &batch, first, &position);
		first = false;
		if (status < 0)
			return status;
		for (uint32_t i = 0; i < batch.count; i++) {
			const struct flow_tuple tuple = flow_tuple_of(&batch.keys[i]);
			int result = visit(&tuple, &batch.flows[i], data);

			if (result)
				return result;
		}
	}
	return status < 0 ? status : 0;
}

/* ---------------------------------------------------------------- removal */

struct expiry {
	struct datapath *datapath;
	const struct egress_control *control;
	uint64_t now;
	size_t removed;
};

static bool is_over(const struct expiry *expiry, const struct flow_tuple *tuple, const struct egress_flow *flow)
{
	/* A packet may have come since the clock was read. */
	return flow->seen < expiry->now &&
	       expiry->now - flow->seen > egress_flow_timeout(flow, tuple->protocol, expiry->control);
}

static int delete_flow(const struct datapath *datapath, const struct flow_tuple *tuple)
{
	const struct egress_flow_key key = flow_tuple_key(tuple);

	if (bpf_map_delete_elem(datapath->flows, &key) && errno != ENOENT)
		return fail_errno(-errno, "cannot remove a flow");
	return 0;
}

/*
 * A flow that is over may be opened anew at any time. Looking again right before the deletion leaves some nanoseconds
 * for that, and a packet lost in them is one that its sender repeats.
 */
static int expire_flow(const struct flow_tuple *tuple, const struct egress_flow *flow, void *data)
{
	struct expiry *expiry = data;
	struct egress_flow latest;
	int error;

	if (!is_over(expiry, tuple, flow))
		return 0;
	if (flow_read(expiry->datapath, tuple, &latest) || !is_over(expiry, tuple, &latest))
		return 0;
	error = delete_flow(expiry->datapath, tuple);
	if (!error)
		expiry->removed++;
	return error;
}

int datapath_flows_expire(struct datapath *datapath, size_t *removed)
{
	struct expiry expiry = {.datapath = datapath};
	const uint32_t *memory;
	size_t words;
	int error;

	error = datapath_tables(datapath, &memory, &words);
	if (!error)
		error = datapath_jiffies(datapath, &expiry.now);
	if (error)
		return error;
	expiry.control = (const struct egress_control *)memory;
	error = datapath_flows(datapath, expire_flow, &expiry);
	if (!error)
		*removed = expiry.removed;
	return error;
}

struct removal {
	struct datapath *datapath;
	uint32_t endpoint_id;
};

static int remove_flow(const struct flow_tuple *tuple, const struct egress_flow *flow, void *data)
{
	const struct removal *removal = data;

	(void)flow;
	return tuple->endpoint == removal->endpoint_id ? delete_flow(removal->datapath, tuple) : 0;
}

static int reset_share(const struct datapath *datapath, uint32_t endpoint_id)
{
	const struct egress_flow_share nothing = {};

	if (bpf_map_update_elem(datapath->flow_shares, &endpoint_id, &nothing, BPF_ANY))
		return fail_errno(-errno, "cannot reset the flow share of endpoint %u", endpoint_id);
	return 0;
}

static int remove_rings(const struct datapath *datapath, uint32_t endpoint_id)
{
	const int maps[] = {datapath->flow_rings_own, datapath->flow_rings_pool};

	for (size_t i = 0; i < ARRAY_SIZE(maps); i++) {
		for (uint32_t ring = 0; ring < EGRESS_FLOW_RINGS_MAX; ring++) {
			const struct egress_flow_ring_key key = {endpoint_id, ring};

			if (bpf_map_delete_elem(maps[i], &key) && errno != ENOENT)
				return fail_errno(-errno, "cannot remove a flow ring of endpoint %u", endpoint_id);
		}
	}
	return 0;
}

/* Verdicts on first fragments: what the next owner sends is not to be taken for the rest of those datagrams. */
static int remove_fragments(const struct datapath *datapath, uint32_t endpoint_id)
{
	_cleanup_free_ void *nothing = NULL;
	struct bpf_map_info info = {};
	uint32_t size = sizeof(info);

	if (bpf_obj_get_info_by_fd(datapath->fragments, &info, &size))
		return fail_errno(-errno, "cannot look at the map %s", EGRESS_PIN_FRAGMENTS);
	nothing = calloc(1, info.value_size);
	if (!nothing)
		return fail_errno(-ENOMEM, "no memory");
	for (uint32_t slot = 0; slot < EGRESS_FRAGMENT_SLOTS; slot++) {
		uint32_t index = endpoint_id * EGRESS_FRAGMENT_SLOTS + slot;

		if (bpf_map_update_elem(datapath->fragments, &index, nothing, BPF_ANY))
			return fail_errno(-errno, "cannot clear the fragments of endpoint %u", endpoint_id);
	}
	return 0;
}

int datapath_flows_remove(struct datapath *datapath, uint32_t endpoint_id)
{
	struct removal removal = {datapath, endpoint_id};
	int error;

	if (endpoint_id >= EGRESS_ENDPOINT_MAX)
		return fail(-EINVAL, "endpoint %u is out of range", endpoint_id);
	/*
	 * The share first: the programs then begin anew with the first ring, and a flow that is opened meanwhile is not left
	 * in the map without its port.
	 */
	error = reset_share(datapath, endpoint_id);
	if (!error)
		error = datapath_flows(datapath, remove_flow, &removal);
	if (!error)
		error = remove_rings(datapath, endpoint_id);
	return error ? error : remove_fragments(datapath, endpoint_id);
}
