/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Flows: reading them while the programs change them, removing those whose time is over, and all that an endpoint
 * leaves behind.
 */
#include <errno.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <egressd/flow_timeout.h>

#include "base/cleanup.h"
#include "datapath/internal.h"

/* A flow's name is its key in either map: that of "flows" is how it begins. */
_Static_assert(offsetof(struct egress_flow_name, key) == 0, "the key of both maps");

/* The map that it is in and what it holds; -ENOENT where it is in none. */
static int find_flow(const struct datapath *datapath, const struct egress_flow_name *name, int *map,
		     struct egress_flow *flow)
{
	const int maps[] = {datapath->flows, datapath->flows_beside};

	for (size_t i = 0; i < ARRAY_SIZE(maps); i++) {
		struct egress_flow found;

		if (bpf_map_lookup_elem(maps[i], name, &found)) {
			if (errno != ENOENT)
				return -errno;
			continue;
		}
		/* Another one may have the same key. */
		if (memcmp(found.local, name->local, sizeof(found.local)))
			continue;
		*map = maps[i];
		*flow = found;
		return 0;
	}
	return -ENOENT;
}

int datapath_flow_read(const struct datapath *datapath, const struct flow_tuple *tuple, struct egress_flow *flow)
{
	const struct egress_flow_name name = flow_tuple_name(tuple);
	int map;

	return find_flow(datapath, &name, &map, flow);
}

static int write_flow(int map, const struct egress_flow_name *name, const struct egress_flow *flow, uint64_t flags)
{
	struct egress_flow written = *flow;

	memcpy(written.local, name->local, sizeof(written.local));
	return bpf_map_update_elem(map, name, &written, flags) ? -errno : 0;
}

int datapath_flow_update(const struct datapath *datapath, const struct flow_tuple *tuple, const struct egress_flow *flow)
{
	const struct egress_flow_name name = flow_tuple_name(tuple);
	struct egress_flow found;
	int map, error = find_flow(datapath, &name, &map, &found);

	return error ? error : write_flow(map, &name, flow, BPF_EXIST);
}

int datapath_flow_add(const struct datapath *datapath, const struct flow_tuple *tuple, const struct egress_flow *flow,
		      bool beside)
{
	const struct egress_flow_name name = flow_tuple_name(tuple);

	return write_flow(beside ? datapath->flows_beside : datapath->flows, &name, flow, BPF_NOEXIST);
}

/* ---------------------------------------------------------------- all of them */

/* Flows fetched by one call. A bucket of the hash that holds more takes a larger batch. */
#define BATCH_FLOWS 1024

/* Of one of the maps. */
struct flow_batch {
	int map;
	size_t key_size;
	char *keys;
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
	batch->keys = calloc(capacity, batch->key_size);
	batch->flows = calloc(capacity, sizeof(*batch->flows));
	batch->capacity = capacity;
	return batch->keys && batch->flows ? 0 : fail_errno(-ENOMEM, "no memory");
}

/*
 * Batches go by hash bucket: unlike a walk from key to key they neither start over nor end early when an entry is
 * deleted underneath. 0: more to come, 1: that was the last one.
 */
static int next_batch(struct flow_batch *batch, bool first, uint64_t *position)
{
	uint64_t next = 0;
	int error;

	for (;;) {
		batch->count = batch->capacity;
		error = bpf_map_lookup_batch(batch->map, first ? NULL : position, &next, batch->keys, batch->flows,
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

static int visit_map(int map, size_t key_size, datapath_flow_visitor visit, void *data)
{
	_cleanup_(clear_batch) struct flow_batch batch = {.map = map, .key_size = key_size};
	uint64_t position = 0;
	bool first = true;
	int status = size_batch(&batch, BATCH_FLOWS);

	while (!status) {
		status = next_batch(&batch, first, &position);
		first = false;
		if (status < 0)
			return status;
		for (uint32_t i = 0; i < batch.count; i++) {
			const void *key = batch.keys + i * key_size;
			const struct flow_tuple tuple = flow_tuple_of(key, &batch.flows[i]);
			int result = visit(&tuple, &batch.flows[i], data);

			if (result)
				return result;
		}
	}
	return status < 0 ? status : 0;
}

int datapath_flows(struct datapath *datapath, datapath_flow_visitor visit, void *data)
{
	int result = visit_map(datapath->flows, sizeof(struct egress_flow_key), visit, data);

	return result ? result : visit_map(datapath->flows_beside, sizeof(struct egress_flow_name), visit, data);
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

static int delete_from(int map, const struct egress_flow_name *name)
{
	if (bpf_map_delete_elem(map, name) && errno != ENOENT)
		return fail_errno(-errno, "cannot remove a flow");
	return 0;
}

/*
 * A flow that is over may be opened anew at any time. Looking again right before the deletion leaves some nanoseconds
 * for that, and a packet lost in them is one that its sender repeats.
 */
static int expire_flow(const struct flow_tuple *tuple, const struct egress_flow *flow, void *data)
{
	const struct egress_flow_name name = flow_tuple_name(tuple);
	struct expiry *expiry = data;
	struct egress_flow latest;
	int error, map;

	if (!is_over(expiry, tuple, flow))
		return 0;
	if (find_flow(expiry->datapath, &name, &map, &latest) || !is_over(expiry, tuple, &latest))
		return 0;
	error = delete_from(map, &name);
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

/* From both maps, whoever has the key in one of them: it is the endpoint's, too. */
static int remove_flow(const struct flow_tuple *tuple, const struct egress_flow *flow, void *data)
{
	const struct egress_flow_name name = flow_tuple_name(tuple);
	const struct removal *removal = data;
	int error;

	(void)flow;
	if (tuple->endpoint != removal->endpoint_id)
		return 0;
	error = delete_from(removal->datapath->flows, &name);
	return error ? error : delete_from(removal->datapath->flows_beside, &name);
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
