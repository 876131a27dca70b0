/* SPDX-License-Identifier: Apache-2.0 */
/* An interface that is to be judged before anybody knows by what policy: nothing passes but what answers. */
#include <errno.h>
#include <net/if.h>
#include <string.h>

#include <egressd/tables.h>

#include "base/cleanup.h"
#include "base/text.h"
#include "datapath/internal.h"

/* Enough for a control structure that says nothing: the programs then find no bank, and drop. */
#define EMPTY_TABLES_WORDS EGRESS_BLOCK_WORDS

/* Theirs are the maps that packets are judged by, or may be. */
static int check_other_versions(const struct datapath *datapath)
{
	_cleanup_free_ unsigned int *versions = NULL;
	size_t count = 0;
	int error = bpffs_versions(datapath->parent, &versions, &count);

	for (size_t i = 0; !error && i < count; i++) {
		_cleanup_free_ char *directory = text_format("%s/v%u", datapath->parent, versions[i]);

		if (!directory)
			error = fail_errno(-ENOMEM, "no memory");
		else if (versions[i] != EGRESS_CONTRACT_VERSION && !bpffs_is_empty(directory))
			error = fail(-EBUSY, "%s is of an egressd with another layout, which this one (v%u) leaves to an agent",
				     directory, EGRESS_CONTRACT_VERSION);
	}
	return error;
}

static int check_nothing_attached(struct datapath *datapath)
{
	_cleanup_free_ uint32_t *interfaces = NULL;
	size_t count = 0;
	int error = datapath_attached_list(datapath, &interfaces, &count);

	if (!error && count)
		error = fail(-EBUSY, "interface %u has programs of an egressd whose pins are not in %s", interfaces[0],
			     datapath->directory);
	return error;
}

int datapath_check_unused(const char *pin)
{
	_cleanup_(datapath_cleanup) struct datapath *datapath = NULL;
	int error = datapath_new(pin, EGRESS_CONTRACT_VERSION, &datapath);

	if (error)
		return error;
	datapath->read_only = true;
	error = check_other_versions(datapath);
	return error ? error : check_nothing_attached(datapath);
}

int datapath_ensure_programs(struct datapath *datapath)
{
	uint32_t *memory;
	size_t words;
	int error;

	if (datapath->in_force)
		return 0;
	error = datapath_new_tables(datapath, EMPTY_TABLES_WORDS, &memory, &words);
	return error ? error : table_set_pin_first(datapath);
}

/* ---------------------------------------------------------------- ids */

static bool is_used(const struct egress_endpoint *entries, size_t count, uint32_t id)
{
	for (size_t i = 0; i < count; i++)
		if (entries[i].id == id)
			return true;
	return false;
}

/* From the top: an agent takes the lowest. */
static uint32_t highest_free_id(const struct egress_endpoint *entries, size_t count)
{
	for (uint32_t id = EGRESS_ENDPOINT_MAX - 1; id; id--)
		if (!is_used(entries, count, id))
			return id;
	return 0;
}

/* Entries of interfaces that went while no agent ran. */
static size_t remove_stale(struct datapath *datapath, struct egress_endpoint *entries, size_t count)
{
	char name[IF_NAMESIZE];
	size_t kept = 0;

	for (size_t i = 0; i < count; i++) {
		bool stale = !if_indextoname(entries[i].ifindex, name);

		if (!stale || datapath_endpoint_remove(datapath, entries[i].ifindex))
			entries[kept++] = entries[i];
	}
	return kept;
}

static int choose_id(struct datapath *datapath, struct egress_endpoint *entries, size_t count, uint32_t *out)
{
	uint32_t id = highest_free_id(entries, count);
	int error = 0;

	if (!id) {
		count = remove_stale(datapath, entries, count);
		/* No packet may be on its way with an id that is given to someone else. */
		error = datapath_grace_period(datapath);
		id = highest_free_id(entries, count);
	}
	if (!error && !id)
		error = fail(-ENOSPC, "no endpoint id is free: a node has at most %d pods", EGRESS_ENDPOINT_MAX - 1);
	if (!error)
		*out = id;
	return error;
}

/* ---------------------------------------------------------------- the entry */

static void set_pending(const struct table_set *set, uint32_t id)
{
	struct egress_control *control = (struct egress_control *)set->tables.memory;

	for (unsigned int bank = 0; bank < EGRESS_BANKS; bank++) {
		const struct egress_bank *header = &control->bank[bank];

		if (header->generation && header->sets < set->tables.word_count &&
		    set->tables.word_count - header->sets >= EGRESS_ENDPOINT_MAX)
			__atomic_store_n(&set->tables.memory[header->sets + id], EGRESS_SET_PENDING, __ATOMIC_RELEASE);
	}
}

/* All but the id and the flags, which are whoever put it there's. */
static bool is_same(const struct egress_endpoint *a, const struct egress_endpoint *b)
{
	return a->ifindex == b->ifindex && a->ipv4 == b->ipv4 && !memcmp(a->ipv6, b->ipv6, sizeof(a->ipv6)) &&
	       !memcmp(a->mac, b->mac, sizeof(a->mac));
}

static int put_entry(struct datapath *datapath, const struct egress_endpoint *wanted)
{
	_cleanup_free_ struct egress_endpoint *entries = NULL;
	struct egress_endpoint entry = *wanted;
	size_t count;
	int error = datapath_endpoint_list(datapath, &entries, &count);

	for (size_t i = 0; !error && i < count; i++)
		if (is_same(&entries[i], wanted))
			return 0;
	if (!error)
		error = choose_id(datapath, entries, count, &entry.id);
	if (!error)
		error = datapath_counters_reset(datapath, entry.id);
	if (!error)
		error = datapath_flows_remove(datapath, entry.id);
	if (error)
		return error;
	set_pending(datapath->in_force, entry.id);
	return datapath_endpoint_put(datapath, &entry);
}

int datapath_attach_pending(struct datapath *datapath, const struct egress_endpoint *endpoint)
{
	int error = datapath_attach(datapath, endpoint->ifindex);

	/*
	 * Attached first: a program without an entry drops everything, and the other way round an entry that an agent
	 * is about to judge by would let packets pass until the program is there.
	 */
	return error ? error : put_entry(datapath, endpoint);
}
