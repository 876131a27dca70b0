/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Taking over from an egressd whose maps have another layout, newer or older: its directory of pins is beside ours.
 *
 *   1. Nothing is touched before it is clear that every map of theirs can be carried over (migration_check).
 *   2. Our maps are made beside theirs and filled; the pins of their links become ours. Their programs go on judging.
 *   3. The first commit of tables replaces their programs by ours, each interface atomically, as every commit does.
 *   4. What changed meanwhile is carried over too, and what was attached meanwhile; their directory is removed.
 *
 * One mark says where an attempt stands, and moves in one step: <ours>/taking_over until the commit: theirs are the maps
 * that packets are judged by; then it is <theirs>/taken_over: ours are. So whichever version starts after a crash knows.
 * The mark is the first thing in a directory and the last to go, so that a directory without it is either in force or
 * empty. Pins of links are never removed with the rest: with its pin goes the attachment.
 *
 * How values are carried: a layout that only appends fields (the rule of <egressd/contract.h>) needs nothing, the new
 * fields are zero. What those of flow shares must say is set as the flows themselves are carried, which is after them.
 * One that changes more, or a key, adds what it was to `former_layouts`. A value that is longer than ours has fields that we
 * do not know, and is refused; so is a directory with a pin whose name we do not know.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "base/text.h"
#include "datapath/internal.h"

#define MARK_TAKING_OVER "taking_over"
#define MARK_TAKEN_OVER  "taken_over"
#define BATCH_ENTRIES    1024
#define MOVE_ATTEMPTS    100

/* Makes our value (zeroed, `size` bytes) of theirs. */
typedef void (*converter)(const void *theirs, size_t their_size, void *ours, size_t size);

enum carry { CARRY_STATE, CARRY_FLOWS, CARRY_COUNTERS };

/* What is carried. Fragments and the drop log are not: they are over in seconds, or have been told. */
static const struct {
	const char *name;
	enum carry carry;
} carried[] = {
	{EGRESS_PIN_ENDPOINTS, CARRY_STATE},
	{EGRESS_PIN_ENDPOINTS_OVERFLOW, CARRY_STATE},
	{EGRESS_PIN_FLOW_SHARES, CARRY_STATE},
	{EGRESS_PIN_FLOW_RINGS_OWN, CARRY_STATE},
	{EGRESS_PIN_FLOW_RINGS_POOL, CARRY_STATE},
	{EGRESS_PIN_FLOWS, CARRY_FLOWS},
	{EGRESS_PIN_FLOWS_BESIDE, CARRY_FLOWS},
	{EGRESS_PIN_ALLOWED, CARRY_COUNTERS},
	{EGRESS_PIN_DROPPED, CARRY_COUNTERS},
};

static void append_fields(const void *theirs, size_t their_size, void *ours, size_t size)
{
	memcpy(ours, theirs, their_size < size ? their_size : size);
}

/*
 * Up to contract 13 a flow's key was all that is a flow_tuple now, in rings as well, and its value ended before `local`.
 * What a ring has before its slots is a lock, which no copy of it shows.
 */
#define SLOTS_TO_13 80
struct ring_to_13 {
	uint32_t head[2];
	struct flow_tuple slot[SLOTS_TO_13];
};
#define FLOW_SIZE_TO_13 24
_Static_assert(sizeof(struct ring_to_13) == 3528 && FLOW_SIZE_TO_13 == offsetof(struct egress_flow, local), "contract 13");

struct ring {
	uint32_t head[2];
	struct egress_flow_name slot[EGRESS_FLOW_RING_SLOTS];
};
_Static_assert(sizeof(struct ring) == EGRESS_FLOW_RING_SIZE, "as the programs have it");
_Static_assert(EGRESS_FLOW_RING_SLOTS >= SLOTS_TO_13, "a ring has room for what was in one");

/* A slot that is free is zero in both. */
static void convert_ring(const void *theirs, size_t their_size, void *ours, size_t size)
{
	const struct ring_to_13 *from = theirs;
	struct ring *to = ours;

	(void)their_size;
	(void)size;
	for (size_t i = 0; i < SLOTS_TO_13; i++)
		if (from->slot[i].endpoint)
			to->slot[i] = flow_tuple_name(&from->slot[i]);
}

/* Layouts that are no longer, by what tells them. */
static const struct {
	const char *map;
	uint32_t key_size, value_size;
	converter convert;
} former_layouts[] = {
	{EGRESS_PIN_FLOWS, sizeof(struct flow_tuple), FLOW_SIZE_TO_13, append_fields},
	{EGRESS_PIN_FLOW_RINGS_OWN, sizeof(struct egress_flow_ring_key), sizeof(struct ring_to_13), convert_ring},
	{EGRESS_PIN_FLOW_RINGS_POOL, sizeof(struct egress_flow_ring_key), sizeof(struct ring_to_13), convert_ring},
};

/* NULL: their layout is none of those. */
static converter find_converter(const char *name, const struct bpf_map_info *theirs)
{
	for (size_t i = 0; i < ARRAY_SIZE(former_layouts); i++)
		if (theirs->type == BPF_MAP_TYPE_HASH && !strcmp(former_layouts[i].map, name) &&
		    former_layouts[i].key_size == theirs->key_size &&
		    former_layouts[i].value_size == theirs->value_size)
			return former_layouts[i].convert;
	return NULL;
}

/* ---------------------------------------------------------------- one map */

struct map_pair {
	const struct datapath *datapath;
	int theirs, ours;
	struct bpf_map_info their_info, our_info;
	converter convert;
	int cpu_count;
	struct egress_flow_share *shares; /* where it is the map of flows: ours, mapped */
};

#define SHARES_SIZE (EGRESS_ENDPOINT_MAX * sizeof(struct egress_flow_share))

static void close_pair(struct map_pair *pair)
{
	close_fd(&pair->theirs);
	if (pair->shares)
		munmap(pair->shares, SHARES_SIZE);
}

/* Our programs may be writing to them already, so no value may be written as a whole. */
static int map_shares(struct map_pair *pair)
{
	void *memory = mmap(NULL, SHARES_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, pair->datapath->flow_shares, 0);

	if (memory == MAP_FAILED)
		return fail_errno(-errno, "cannot map the map %s", EGRESS_PIN_FLOW_SHARES);
	pair->shares = memory;
	return 0;
}

static int map_info(int fd, struct bpf_map_info *info)
{
	uint32_t size = sizeof(*info);

	memset(info, 0, sizeof(*info));
	return bpf_obj_get_info_by_fd(fd, info, &size) ? fail_errno(-errno, "cannot look at a pinned map") : 0;
}

/* Opens theirs; 0 with -1 where they have no such map. */
static int open_theirs(const char *directory, const char *name, int *fd)
{
	_cleanup_free_ char *path = text_format("%s/%s", directory, name);

	if (!path)
		return fail_errno(-ENOMEM, "no memory");
	*fd = bpf_obj_get(path);
	if (*fd < 0 && errno != ENOENT)
		return fail_errno(-errno, "cannot open the pinned map %s", path);
	return 0;
}

/* error: of the write of one entry, negative errno or 0. */
static int written(const struct map_pair *pair, int error)
{
	if (!error || error == -EEXIST)
		return 0;
	/* A table of ours is full: the rest finds no room, as new flows would not. */
	if (error == -E2BIG || error == -ENOSPC)
		return 0;
	return fail_errno(error, "cannot carry over the map %s", pair->our_info.name);
}

static struct flow_tuple their_tuple(const struct map_pair *pair, const void *key, const struct egress_flow *flow)
{
	struct egress_flow_key their_key;
	struct flow_tuple tuple;

	if (pair->their_info.key_size == sizeof(tuple)) { /* up to contract 13 */
		memcpy(&tuple, key, sizeof(tuple));
		return tuple;
	}
	memcpy(&their_key, key, sizeof(their_key));
	return flow_tuple_of(&their_key, flow);
}

/* To where there is room for it, whichever of their maps it is from. */
static int write_flow(const struct map_pair *pair, const void *key, const void *value)
{
	struct egress_flow flow, other;
	struct flow_tuple tuple;
	int error;

	memcpy(&flow, value, sizeof(flow));
	tuple = their_tuple(pair, key, &flow);
	if (tuple.endpoint >= EGRESS_ENDPOINT_MAX)
		return 0;
	/* The programs look no flow up whose port they have not seen opened. */
	pair->shares[tuple.endpoint].opened[egress_flow_port(tuple.protocol, tuple.local_port)] = 1;
	/* What is there already is newer, in whichever map: it must not come into the other one as well. */
	error = datapath_flow_read(pair->datapath, &tuple, &other);
	if (error != -ENOENT)
		return written(pair, error);
	error = datapath_flow_add(pair->datapath, &tuple, &flow, false);
	if (error == -EEXIST && datapath_flow_read(pair->datapath, &tuple, &other) == -ENOENT) {
		pair->shares[tuple.endpoint].beside = 1;
		error = datapath_flow_add(pair->datapath, &tuple, &flow, true);
	}
	return written(pair, error);
}

static bool is_zero(const char *bytes, size_t size)
{
	return !size || (!bytes[0] && !memcmp(bytes, bytes + 1, size - 1));
}

static int carry_value(const struct map_pair *pair, const void *key, const void *theirs, char *ours)
{
	/* NOLINTNEXTLINE(clang-analyzer-core.NonNullParamChecker): without memory nothing is carried */
	memset(ours, 0, pair->our_info.value_size);
	pair->convert(theirs, pair->their_info.value_size, ours, pair->our_info.value_size);
	if (pair->shares)
		return write_flow(pair, key, ours);
	return written(pair, bpf_map_update_elem(pair->ours, key, ours, BPF_ANY) ? -errno : 0);
}

static int carry_array(const struct map_pair *pair)
{
	_cleanup_free_ char *theirs = malloc(pair->their_info.value_size), *ours = malloc(pair->our_info.value_size);
	uint32_t count = pair->their_info.max_entries;
	int error = 0;

	if (!theirs || !ours)
		return fail_errno(-ENOMEM, "no memory");
	if (count > pair->our_info.max_entries)
		count = pair->our_info.max_entries;
	for (uint32_t key = 0; !error && key < count; key++)
		if (!bpf_map_lookup_elem(pair->theirs, &key, theirs) && !is_zero(theirs, pair->their_info.value_size))
			error = carry_value(pair, &key, theirs, ours);
	return error;
}

struct batch {
	char *keys, *values;
	uint32_t capacity, count;
};

static void clear_batch(struct batch *batch)
{
	free(batch->keys);
	free(batch->values);
}

static int size_batch(struct batch *batch, const struct map_pair *pair, uint32_t capacity)
{
	clear_batch(batch);
	batch->keys = calloc(capacity, pair->their_info.key_size);
	batch->values = calloc(capacity, pair->their_info.value_size);
	batch->capacity = capacity;
	return batch->keys && batch->values ? 0 : fail_errno(-ENOMEM, "no memory");
}

/* By buckets, since their programs go on changing it. */
static int carry_hash(const struct map_pair *pair)
{
	_cleanup_free_ char *ours = malloc(pair->our_info.value_size);
	_cleanup_(clear_batch) struct batch batch = {};
	uint64_t position = 0;
	bool first = true, last = false;
	int error = ours ? size_batch(&batch, pair, BATCH_ENTRIES) : fail_errno(-ENOMEM, "no memory");

	while (!error && !last) {
		batch.count = batch.capacity;
		if (bpf_map_lookup_batch(pair->theirs, first ? NULL : &position, &position, batch.keys, batch.values,
					 &batch.count, NULL)) {
			if (errno == ENOSPC) {
				error = size_batch(&batch, pair, batch.capacity * 2);
				continue;
			}
			if (errno != ENOENT)
				return fail_errno(-errno, "cannot read the map %s", pair->their_info.name);
			last = true;
		}
		first = false;
		for (uint32_t i = 0; !error && i < batch.count; i++)
			error = carry_value(pair, batch.keys + (size_t)i * pair->their_info.key_size,
					    batch.values + (size_t)i * pair->their_info.value_size, ours);
	}
	return error;
}

static size_t per_cpu_size(uint32_t value_size)
{
	return (value_size + 7u) & ~(size_t)7;
}

/*
 * Ours have counted since the programs were replaced: theirs come on top, and are zero then, as this may be done again
 * where it was left half way.
 */
static int add_counters(const struct map_pair *pair)
{
	size_t their_size = per_cpu_size(pair->their_info.value_size);
	_cleanup_free_ char *theirs = calloc((size_t)pair->cpu_count, their_size);
	_cleanup_free_ struct egress_counter *ours = calloc((size_t)pair->cpu_count, sizeof(*ours));
	uint32_t count = pair->their_info.max_entries;

	if (!theirs || !ours)
		return fail_errno(-ENOMEM, "no memory");
	if (count > pair->our_info.max_entries)
		count = pair->our_info.max_entries;
	for (uint32_t key = 0; key < count; key++) {
		if (bpf_map_lookup_elem(pair->theirs, &key, theirs) ||
		    is_zero(theirs, (size_t)pair->cpu_count * their_size))
			continue;
		if (bpf_map_lookup_elem(pair->ours, &key, ours))
			return fail_errno(-errno, "cannot read the map %s", pair->our_info.name);
		for (int cpu = 0; cpu < pair->cpu_count; cpu++) {
			struct egress_counter counted = {};

			pair->convert(theirs + (size_t)cpu * their_size, pair->their_info.value_size, &counted,
				      sizeof(counted));
			ours[cpu].packets += counted.packets;
			ours[cpu].bytes += counted.bytes;
		}
		if (bpf_map_update_elem(pair->ours, &key, ours, BPF_ANY))
			return fail_errno(-errno, "cannot carry over the map %s", pair->our_info.name);
		memset(theirs, 0, (size_t)pair->cpu_count * their_size);
		if (bpf_map_update_elem(pair->theirs, &key, theirs, BPF_ANY))
			return fail_errno(-errno, "cannot write the map %s", pair->their_info.name);
	}
	return 0;
}

static int carry_map(const struct datapath *datapath, const struct predecessor *from, const char *name,
		     enum carry carry)
{
	_cleanup_(close_pair) struct map_pair pair = {
		.datapath = datapath, .theirs = -1, .cpu_count = datapath->cpu_count};
	int error = open_theirs(from->directory, name, &pair.theirs);

	if (error || pair.theirs < 0)
		return error;
	pair.ours = shared_map_fd(datapath, name);
	error = map_info(pair.theirs, &pair.their_info);
	if (!error)
		error = map_info(pair.ours, &pair.our_info);
	if (error)
		return error;
	pair.convert = find_converter(name, &pair.their_info);
	if (!pair.convert)
		pair.convert = append_fields;
	if (carry == CARRY_COUNTERS)
		return add_counters(&pair);
	if (carry == CARRY_FLOWS) {
		error = map_shares(&pair);
		if (error)
			return error;
	}
	return pair.our_info.type == BPF_MAP_TYPE_ARRAY ? carry_array(&pair) : carry_hash(&pair);
}

static int carry_all(const struct datapath *datapath, const struct predecessor *from, enum carry carry)
{
	int error = 0;

	for (size_t i = 0; !error && i < ARRAY_SIZE(carried); i++)
		if (carried[i].carry == carry)
			error = carry_map(datapath, from, carried[i].name, carry);
	return error;
}

/* ---------------------------------------------------------------- whether it can be done */

static int refuse(const struct predecessor *from, const char *what)
{
	return fail(-EPROTO,
		    "%s is of an egressd with another layout (v%u) that this one (v%u) cannot take over from: %s. Nothing "
		    "was changed: run that version again, or `egressctl uninstall` first",
		    from->directory, from->version, EGRESS_CONTRACT_VERSION, what);
}

/* Where an array has another number of entries, what its index means is another thing. */
static bool fits(const struct bpf_map_info *theirs, const struct bpf_map *ours)
{
	bool is_array = theirs->type == BPF_MAP_TYPE_ARRAY || theirs->type == BPF_MAP_TYPE_PERCPU_ARRAY;

	return theirs->type == bpf_map__type(ours) && theirs->key_size == bpf_map__key_size(ours) &&
	       theirs->value_size <= bpf_map__value_size(ours) &&
	       (!is_array || theirs->max_entries == bpf_map__max_entries(ours));
}

static int check_map(const struct predecessor *from, const struct bpf_map *ours, const char *name)
{
	_cleanup_fd_ int fd = -1;
	struct bpf_map_info theirs;
	char what[256];
	int error = open_theirs(from->directory, name, &fd);

	if (error || fd < 0)
		return error;
	error = map_info(fd, &theirs);
	if (error)
		return error;
	if (find_converter(name, &theirs) || fits(&theirs, ours))
		return 0;
	snprintf(what, sizeof(what),
		 "map %s: expected type %u, key %u, value at most %u, entries %u; found type %u, key %u, value %u, entries %u",
		 name, bpf_map__type(ours), bpf_map__key_size(ours), bpf_map__value_size(ours),
		 bpf_map__max_entries(ours), theirs.type, theirs.key_size, theirs.value_size, theirs.max_entries);
	return refuse(from, what);
}

/* A map of this name, or one of what is replaced together, or that about to be. */
static bool is_known(const struct bpf_object *object, const char *name)
{
	static const char next[] = "_next";
	size_t length = strlen(name), suffix = sizeof(next) - 1;
	char base[NAME_MAX + 1];

	snprintf(base, sizeof(base), "%s", name);
	if (length > suffix && length < sizeof(base) && !strcmp(base + length - suffix, next))
		base[length - suffix] = '\0';
	return bpf_object__find_map_by_name(object, base) || !strcmp(base, EGRESS_PIN_FIRST_CHUNK) ||
	       !strcmp(base, PIN_FROM_POD) || !strcmp(base, PIN_TO_POD);
}

/* What this version does not know it cannot carry over, and would remove. */
static int check_names(const struct predecessor *from, const struct bpf_object *object)
{
	_cleanup_directory_ DIR *directory = opendir(from->directory);
	struct dirent *entry;
	char what[NAME_MAX + 64];

	if (!directory)
		return fail_errno(-errno, "cannot read %s", from->directory);
	while (errno = 0, (entry = readdir(directory))) {
		if (entry->d_type == DT_DIR || is_known(object, entry->d_name))
			continue;
		snprintf(what, sizeof(what), "%s in it is unknown here", entry->d_name);
		return refuse(from, what);
	}
	return errno ? fail_errno(-errno, "cannot read %s", from->directory) : 0;
}

static void close_object(struct bpf_object **object)
{
	bpf_object__close(*object);
}

static int check_maps(const struct predecessor *from)
{
	_cleanup_(close_object) struct bpf_object *object = NULL;
	int error = object_open(&object);

	if (!error)
		error = check_names(from, object);
	for (size_t i = 0; !error && i < ARRAY_SIZE(carried); i++) {
		const struct bpf_map *map = bpf_object__find_map_by_name(object, carried[i].name);

		if (map)
			error = check_map(from, map, carried[i].name);
	}
	return error;
}

static bool has_mark(const char *directory, const char *mark)
{
	_cleanup_free_ char *path = text_format("%s/%s", directory, mark);

	return path && !access(path, F_OK);
}

/* A directory whose maps are not those that packets are judged by. */
static bool is_left_behind(const char *directory)
{
	return has_mark(directory, MARK_TAKING_OVER) || has_mark(directory, MARK_TAKEN_OVER) ||
	       bpffs_is_empty(directory);
}

static void clear_predecessor(struct predecessor *from)
{
	free(from->directory);
	from->directory = NULL;
}

/* Their directory, where one is that is not ours; directory NULL: none. */
static int find_predecessor(const struct datapath *datapath, struct predecessor *out)
{
	_cleanup_free_ unsigned int *versions = NULL;
	size_t count = 0;
	int error = bpffs_versions(datapath->parent, &versions, &count);

	for (size_t i = 0; !error && i < count; i++) {
		_cleanup_free_ char *directory = NULL;

		if (versions[i] == EGRESS_CONTRACT_VERSION)
			continue;
		directory = text_format("%s/v%u", datapath->parent, versions[i]);
		if (!directory)
			return fail_errno(-ENOMEM, "no memory");
		/* One that was left behind says nothing when another is in force. */
		if (out->directory && is_left_behind(directory))
			continue;
		clear_predecessor(out);
		*out = (struct predecessor){.version = versions[i], .directory = take(directory)};
	}
	return error;
}

/* ---------------------------------------------------------------- pins of links */

struct move {
	const struct datapath *from, *to;
	const char *subdirectory;
};

static int move_pin(uint32_t number, const char *rest, void *data)
{
	const struct move *move = data;
	char name[128], from[PATH_MAX], to[PATH_MAX];
	int error;

	snprintf(name, sizeof(name), "%s/%u%s", move->subdirectory, number, rest);
	error = pin_path(move->from, name, from);
	if (!error)
		error = pin_path(move->to, name, to);
	if (!error && rename(from, to) && errno != ENOENT)
		error = fail_errno(-errno, "cannot move %s to %s", from, to);
	return error;
}

/* What they attached is ours from now on: it is found, switched and taken off like our own. */
static int move_attachments(const struct datapath *datapath, const struct predecessor *from)
{
	const char *const subdirectories[] = {EGRESS_PIN_LINKS, PIN_QDISCS};
	_cleanup_(datapath_cleanup) struct datapath *theirs = NULL;
	int error = datapath_new(datapath->parent, from->version, &theirs);

	for (size_t i = 0; !error && i < ARRAY_SIZE(subdirectories); i++) {
		struct move move = {theirs, datapath, subdirectories[i]};

		error = pin_subdirectory(datapath, subdirectories[i]);
		if (!error)
			error = pin_numbers(theirs, subdirectories[i], move_pin, &move);
	}
	return error;
}

/* ---------------------------------------------------------------- steps */

int migration_check(struct datapath *datapath)
{
	struct predecessor *from = &datapath->predecessor;
	int error = find_predecessor(datapath, from);

	if (error || !from->directory)
		return error;
	if (is_left_behind(from->directory)) {
		from->abandoned = true;
		return 0;
	}
	return check_maps(from);
}

/* Says of our directory that theirs is in force, which it may say already: of them, or of an attempt of ours. */
static int mark_taking_over(const struct datapath *datapath)
{
	char taken[PATH_MAX], taking[PATH_MAX];
	int error = pin_path(datapath, MARK_TAKEN_OVER, taken);

	if (!error)
		error = pin_path(datapath, MARK_TAKING_OVER, taking);
	if (!error && rename(taken, taking) && errno != ENOENT)
		error = fail_errno(-errno, "cannot move %s to %s", taken, taking);
	return error ? error : pin_subdirectory(datapath, MARK_TAKING_OVER);
}

/*
 * The maps that we had pinned before they took over from us are of no use, whether or not they finished with that; so
 * are those of an attempt of ours that came to nothing. What that attempt moved here of their attachments is in force.
 */
int migration_prepare(struct datapath *datapath)
{
	static const char *const kept[] = {MARK_TAKING_OVER, EGRESS_PIN_LINKS, PIN_QDISCS, NULL};
	const struct predecessor *from = &datapath->predecessor;
	int error;

	if (!from->directory || from->abandoned)
		return 0;
	error = mark_taking_over(datapath);
	return error ? error : bpffs_clear(datapath->directory, kept);
}

static int remove_empty(const struct predecessor *from, const char *subdirectory)
{
	_cleanup_free_ char *path = text_format("%s/%s", from->directory, subdirectory);

	if (!path)
		return fail_errno(-ENOMEM, "no memory");
	if (rmdir(path) && errno != ENOENT)
		return fail_errno(-errno, "cannot remove %s", path);
	return 0;
}

/* Nothing is removed but a directory that is empty: what was pinned in it since it was emptied is moved, too. */
static int move_last_attachments(const struct datapath *datapath, const struct predecessor *from)
{
	int error, attempt = 0;

	do {
		error = move_attachments(datapath, from);
		if (!error)
			error = remove_empty(from, EGRESS_PIN_LINKS);
		if (!error)
			error = remove_empty(from, PIN_QDISCS);
	} while (error == -ENOTEMPTY && ++attempt < MOVE_ATTEMPTS);
	return error;
}

/*
 * An egress-cni of their version attaches by their pins as long as they are there, and with the pin of its link the
 * attachment would go: their maps and programs go first, then what it made of them becomes ours.
 */
static int remove_theirs(struct datapath *datapath)
{
	static const char *const kept[] = {MARK_TAKING_OVER, MARK_TAKEN_OVER, EGRESS_PIN_LINKS, PIN_QDISCS, NULL};
	struct predecessor *from = &datapath->predecessor;
	int error = bpffs_clear(from->directory, kept);

	if (!error)
		error = move_last_attachments(datapath, from);
	if (error)
		return error;
	error = bpffs_remove(datapath->parent, from->directory);
	clear_predecessor(from);
	return error;
}

/* Connections that were opened while ours were filled: what is there already is newer. And what was counted till then. */
static int carry_rest(const struct datapath *datapath, const struct predecessor *from)
{
	int error = carry_all(datapath, from, CARRY_FLOWS);

	return error ? error : carry_all(datapath, from, CARRY_COUNTERS);
}

/* An attempt that never was in force, theirs or of one before us; or an egressd that we have taken over from, nearly. */
static int clear_away(struct datapath *datapath)
{
	const struct predecessor *from = &datapath->predecessor;
	int error = 0;

	log_debug("%s is what is left of an egressd that took over, or was about to", from->directory);
	if (has_mark(from->directory, MARK_TAKEN_OVER) && !check_maps(from))
		error = carry_rest(datapath, from);
	return error ? error : remove_theirs(datapath);
}

int migration_begin(struct datapath *datapath)
{
	const struct predecessor *from = &datapath->predecessor;
	int error;

	if (!from->directory)
		return 0;
	if (from->abandoned)
		return clear_away(datapath);
	log_debug("taking over from %s", from->directory);
	error = carry_all(datapath, from, CARRY_STATE);
	if (!error)
		error = carry_all(datapath, from, CARRY_FLOWS);
	return error ? error : move_attachments(datapath, from);
}

int migration_finish(struct datapath *datapath)
{
	const struct predecessor *from = &datapath->predecessor;
	_cleanup_free_ char *taken = NULL;
	char taking[PATH_MAX];
	int error;

	if (!from->directory)
		return 0;
	taken = text_format("%s/" MARK_TAKEN_OVER, from->directory);
	error = taken ? pin_path(datapath, MARK_TAKING_OVER, taking) : fail_errno(-ENOMEM, "no memory");
	/* Not there when this was tried before. */
	if (!error && rename(taking, taken) && errno != ENOENT)
		error = fail_errno(-errno, "cannot move %s to %s", taking, taken);
	if (!error)
		error = carry_rest(datapath, from);
	return error ? error : remove_theirs(datapath);
}
