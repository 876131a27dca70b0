/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Endpoints by interface: an array whose entries the programs read in place, and a hash behind it.
 *
 * An element of the hash is replaced as a whole. An entry of the array is not: a program may be reading it. So an entry
 * whose ifindex is set is never written but for its ifindex and its note, and its other fields only change a grace period
 * after the ifindex was cleared.
 */
#include <errno.h>
#include <string.h>

#include "base/cleanup.h"
#include "datapath/internal.h"

static uint32_t bucket_of(uint32_t ifindex)
{
	return ifindex & (EGRESS_ENDPOINT_BUCKETS - 1);
}

static int read_bucket(const struct datapath *datapath, uint32_t bucket, struct egress_endpoint *out)
{
	if (bpf_map_lookup_elem(datapath->endpoints, &bucket, out))
		return fail_errno(-errno, "cannot read endpoint bucket %u", bucket);
	return 0;
}

static int write_bucket(const struct datapath *datapath, uint32_t bucket, const struct egress_endpoint *endpoint)
{
	if (bpf_map_update_elem(datapath->endpoints, &bucket, endpoint, BPF_ANY))
		return fail_errno(-errno, "cannot write endpoint bucket %u", bucket);
	return 0;
}

/* Whatever looks the bucket up from now on goes on to the hash. */
static int clear_ifindex(struct datapath *datapath, uint32_t bucket, const struct egress_endpoint *old)
{
	struct egress_endpoint cleared = *old;

	cleared.ifindex = 0;
	datapath->given_up[bucket] = datapath->any_given_up = true;
	return write_bucket(datapath, bucket, &cleared);
}

/* Fills a bucket that no program is reading: the fields first, then the ifindex that makes them count. */
static int fill_bucket(struct datapath *datapath, uint32_t bucket, const struct egress_endpoint *endpoint)
{
	int error = clear_ifindex(datapath, bucket, endpoint);

	datapath->given_up[bucket] = false;
	return error ? error : write_bucket(datapath, bucket, endpoint);
}

static const struct egress_endpoint unused;

static bool bucket_is_unused(const struct egress_endpoint *bucket)
{
	return !memcmp(bucket, &unused, sizeof(unused));
}

static int tidy_bucket(struct datapath *datapath, uint32_t bucket)
{
	struct egress_endpoint found;
	int error = read_bucket(datapath, bucket, &found);

	if (!error && !found.ifindex && !bucket_is_unused(&found))
		error = write_bucket(datapath, bucket, &unused);
	if (!error)
		datapath->given_up[bucket] = false;
	return error;
}

int endpoints_tidy(struct datapath *datapath)
{
	int error = 0;

	if (!datapath->any_given_up)
		return 0;
	for (uint32_t bucket = 0; !error && bucket < EGRESS_ENDPOINT_BUCKETS; bucket++)
		if (datapath->given_up[bucket])
			error = tidy_bucket(datapath, bucket);
	if (!error)
		datapath->any_given_up = false;
	return error;
}

static int put_overflow(const struct datapath *datapath, const struct egress_endpoint *endpoint)
{
	if (!bpf_map_update_elem(datapath->endpoints_overflow, &endpoint->ifindex, endpoint, BPF_ANY))
		return 0;
	if (errno == E2BIG || errno == ENOSPC)
		return fail(-ENOSPC, "there is no room for an endpoint of interface %u", endpoint->ifindex);
	return fail_errno(-errno, "cannot write the endpoint of interface %u", endpoint->ifindex);
}

static int remove_overflow(const struct datapath *datapath, uint32_t ifindex)
{
	if (bpf_map_delete_elem(datapath->endpoints_overflow, &ifindex) && errno != ENOENT)
		return fail_errno(-errno, "cannot remove the endpoint of interface %u", ifindex);
	return 0;
}

/* An entry that is not there has ifindex 0. */
static struct egress_endpoint in_overflow(const struct datapath *datapath, uint32_t ifindex)
{
	struct egress_endpoint endpoint;

	return bpf_map_lookup_elem(datapath->endpoints_overflow, &ifindex, &endpoint) ? unused : endpoint;
}

static bool is_held(const struct egress_endpoint *entry)
{
	return entry->ifindex && entry->id == EGRESS_ENDPOINT_NONE;
}

/* The hash answers for the interface while its bucket is rewritten: no packet goes without an endpoint. */
static int rewrite_bucket(struct datapath *datapath, uint32_t bucket, const struct egress_endpoint *old,
			  const struct egress_endpoint *endpoint)
{
	int error;

	error = put_overflow(datapath, endpoint);
	if (!error)
		error = clear_ifindex(datapath, bucket, old);
	if (!error)
		error = datapath_grace_period(datapath);
	if (!error)
		error = fill_bucket(datapath, bucket, endpoint);
	/* A program that saw the bucket empty is about to look into the hash. */
	if (!error)
		error = datapath_grace_period(datapath);
	if (!error)
		error = remove_overflow(datapath, endpoint->ifindex);
	return error;
}

/*
 * A bucket that was given up just now is still being read, perhaps: then the hash has the entry for good. One that was
 * held is found there until the bucket has it; a packet that meets neither is of a time when it was held, and dropped.
 */
static int take_bucket(struct datapath *datapath, uint32_t bucket, const struct egress_endpoint *old,
		       const struct egress_endpoint *endpoint)
{
	int error;

	if (!bucket_is_unused(old))
		return put_overflow(datapath, endpoint);
	error = fill_bucket(datapath, bucket, endpoint);
	return error ? error : remove_overflow(datapath, endpoint->ifindex);
}

/* But for the note. */
static bool is_same(const struct egress_endpoint *a, const struct egress_endpoint *b)
{
	struct egress_endpoint noted = *a;

	noted.notes = b->notes;
	return !memcmp(&noted, b, sizeof(noted));
}

int datapath_endpoint_put(struct datapath *datapath, const struct egress_endpoint *endpoint)
{
	uint32_t bucket = bucket_of(endpoint->ifindex);
	struct egress_endpoint old, behind;
	int error;

	if (!endpoint->ifindex || endpoint->id == EGRESS_ENDPOINT_NONE || endpoint->id >= EGRESS_ENDPOINT_MAX)
		return fail(-EINVAL, "endpoint %u of interface %u is out of range", endpoint->id, endpoint->ifindex);
	error = read_bucket(datapath, bucket, &old);
	if (error)
		return error;
	if (is_same(&old, endpoint)) {
		/* What programs read of the bucket is written over with what is there. */
		if (old.notes != endpoint->notes)
			error = write_bucket(datapath, bucket, endpoint);
		return error ? error : remove_overflow(datapath, endpoint->ifindex);
	}
	if (old.ifindex == endpoint->ifindex)
		return rewrite_bucket(datapath, bucket, &old, endpoint);
	behind = in_overflow(datapath, endpoint->ifindex);
	if (old.ifindex || (behind.ifindex && !is_held(&behind)))
		return put_overflow(datapath, endpoint);
	return take_bucket(datapath, bucket, &old, endpoint);
}

int datapath_endpoint_hold(struct datapath *datapath, uint32_t ifindex)
{
	const struct egress_endpoint held = {.ifindex = ifindex, .id = EGRESS_ENDPOINT_NONE};
	uint32_t bucket = bucket_of(ifindex);
	struct egress_endpoint old;
	int error;

	if (!ifindex)
		return fail(-EINVAL, "interface 0 cannot be held");
	error = read_bucket(datapath, bucket, &old);
	if (!error)
		error = put_overflow(datapath, &held);
	if (!error && old.ifindex == ifindex)
		error = clear_ifindex(datapath, bucket, &old);
	return error;
}

int datapath_endpoint_remove(struct datapath *datapath, uint32_t ifindex)
{
	uint32_t bucket = bucket_of(ifindex);
	struct egress_endpoint old;
	bool found;
	int error;

	error = read_bucket(datapath, bucket, &old);
	if (error)
		return error;
	found = in_overflow(datapath, ifindex).ifindex;
	error = remove_overflow(datapath, ifindex);
	if (!error && old.ifindex == ifindex)
		return clear_ifindex(datapath, bucket, &old);
	if (!error && !found)
		return fail(-ENOENT, "interface %u has no endpoint", ifindex);
	return error;
}

/* ---------------------------------------------------------------- listing */

struct endpoint_list {
	struct egress_endpoint *items;
	size_t count;
};

static void free_list(struct endpoint_list *list)
{
	free(list->items);
}

/* An endpoint amid a rewrite is in both maps; the hash has the newer one. */
static int add_endpoint(struct endpoint_list *list, const struct egress_endpoint *endpoint)
{
	struct egress_endpoint *items;

	for (size_t i = 0; i < list->count; i++) {
		if (list->items[i].ifindex == endpoint->ifindex) {
			list->items[i] = *endpoint;
			return 0;
		}
	}
	items = reallocarray(list->items, list->count + 1, sizeof(*items));
	if (!items)
		return fail_errno(-ENOMEM, "no memory");
	list->items = items;
	items[list->count++] = *endpoint;
	return 0;
}

/* Buckets that a predecessor gave up are found here too. */
static int list_buckets(struct datapath *datapath, struct endpoint_list *list)
{
	struct egress_endpoint endpoint;

	for (uint32_t bucket = 0; bucket < EGRESS_ENDPOINT_BUCKETS; bucket++) {
		int error = read_bucket(datapath, bucket, &endpoint);

		if (!error && endpoint.ifindex)
			error = add_endpoint(list, &endpoint);
		if (error)
			return error;
		if (!datapath->read_only && !endpoint.ifindex && !bucket_is_unused(&endpoint))
			datapath->given_up[bucket] = datapath->any_given_up = true;
	}
	return 0;
}

static int list_overflow(const struct datapath *datapath, struct endpoint_list *list)
{
	struct egress_endpoint endpoint;
	uint32_t key, *last = NULL;
	int error;

	while (!bpf_map_get_next_key(datapath->endpoints_overflow, last, &key)) {
		last = &key;
		if (bpf_map_lookup_elem(datapath->endpoints_overflow, &key, &endpoint))
			continue;
		error = add_endpoint(list, &endpoint);
		if (error)
			return error;
	}
	return errno == ENOENT ? 0 : fail_errno(-errno, "cannot list the endpoints");
}

static void keep(struct endpoint_list *list, bool held)
{
	size_t kept = 0;

	for (size_t i = 0; i < list->count; i++)
		if (is_held(&list->items[i]) == held)
			list->items[kept++] = list->items[i];
	list->count = kept;
}

int datapath_held_list(struct datapath *datapath, uint32_t **out, size_t *count)
{
	_cleanup_(free_list) struct endpoint_list list = {};
	int error = list_overflow(datapath, &list);
	uint32_t *held;

	if (error)
		return error;
	keep(&list, true);
	held = calloc(list.count + 1, sizeof(*held));
	if (!held)
		return fail_errno(-ENOMEM, "no memory");
	for (size_t i = 0; i < list.count; i++)
		held[i] = list.items[i].ifindex;
	*count = list.count;
	*out = held;
	return 0;
}

int datapath_endpoint_list(struct datapath *datapath, struct egress_endpoint **out, size_t *count)
{
	_cleanup_(free_list) struct endpoint_list list = {};
	int error;

	error = list_buckets(datapath, &list);
	if (!error)
		error = list_overflow(datapath, &list);
	if (error)
		return error;
	keep(&list, false);
	*count = list.count;
	*out = take(list.items);
	return 0;
}
