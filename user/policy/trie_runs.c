/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/trie_runs.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "policy/trie_hash.h"

/* Where a key may be. */
#define PLACES 3u
/* Keys that make room for one another at most. */
#define MOVES_MAX 256u

/* ------------------------------------------------------------------ buckets */

static int add_bucket(struct trie_runs *runs, const struct egress_trie_run *run)
{
	if (array_reserve(&runs->items, &runs->capacity, runs->count + 1, sizeof(*runs->items)) < 0)
		return -ENOMEM;
	runs->items[runs->count++] = *run;
	return 0;
}

int trie_runs_add(struct trie_runs *runs, uint32_t key, const struct trie_ranges *ranges)
{
	struct egress_trie_run run = {.slot = trie_slot(key, ranges->entry[0])};

	if (ranges->count > 1)
		run.second = ranges->entry[1];
	trie_write_bounds(run.bounds, EGRESS_RUN_BOUNDS, ranges);
	return add_bucket(runs, &run);
}

void trie_runs_clear(struct trie_runs *runs)
{
	free(runs->items);
	*runs = (struct trie_runs){0};
}

bool trie_run_ranges(const struct egress_trie_run *run, struct trie_ranges *ranges)
{
	const uint32_t entries[] = {trie_run_entry(run), run->second};

	return trie_read_bounds(run->bounds, EGRESS_RUN_BOUNDS, entries, 1, ranges);
}

static struct egress_trie_run *node_of(const struct memory *memory, uint32_t entry)
{
	return (void *)(memory->words + egress_hash_address(entry));
}

/* The buckets that packets look into for a key, in this order. */
static void find_places(uint32_t entry, uint32_t key, uint32_t places[PLACES])
{
	places[0] = egress_run_bucket(entry, key);
	places[1] = places[0] ^ 1;
	places[2] = egress_run_third(entry, key);
}

/* That one, or the free one that it would have; NULL: there is none. */
static struct egress_trie_run *find_bucket(struct egress_trie_run *node, uint32_t entry, uint32_t key)
{
	uint32_t places[PLACES], i;

	find_places(entry, key, places);
	for (i = 0; i < PLACES; i++)
		if (!node[places[i]].slot || trie_run_key(&node[places[i]]) == key)
			return &node[places[i]];
	return NULL;
}

/* What packets need besides the slot, which is written, to find the key there: each word is right before and after. */
static void publish_place(struct egress_trie_run *node, uint32_t entry, uint32_t key, uint32_t at)
{
	uint32_t own = egress_run_bucket(entry, key), bit = egress_run_bit(entry, key);
	uint32_t *bits = (void *)node;

	if (at != own && at != (own ^ 1))
		__atomic_fetch_or(&node[own ^ 1].other, EGRESS_RUN_MOVED, __ATOMIC_RELEASE);
	if (at != own)
		__atomic_fetch_or(&node[own].other, EGRESS_RUN_MOVED, __ATOMIC_RELEASE);
	__atomic_fetch_or(&bits[bit / 32], 1u << bit % 32, __ATOMIC_RELEASE);
}

/* ------------------------------------------------------------------ making one */

/* Buckets of which about a quarter or more is free, and a power of two. */
static size_t first_buckets(size_t keys)
{
	size_t buckets = EGRESS_RUN_BUCKETS_MIN;

	while (4 * keys > 3 * buckets)
		buckets *= 2;
	return buckets;
}

size_t trie_runs_words(size_t keys)
{
	return EGRESS_HASH_BUCKET_WORDS * first_buckets(keys);
}

/* Whose bucket each is: an index, or NOBODY. */
#define NOBODY UINT32_MAX

/* A place behind `after` in the order in which the key is looked for, the first one behind the last. */
static uint32_t next_place(uint32_t entry, uint32_t key, uint32_t after)
{
	uint32_t places[PLACES], i = 0;

	find_places(entry, key, places);
	while (i < PLACES - 1 && places[i] != after)
		i++;
	return places[(i + 1) % PLACES];
}

/*
 * In the first of its places that is free. Where none is, one that is in the way goes on to its own next place, and so on.
 * False: in a circle, as it seems.
 */
static bool place_one(uint32_t *owner, uint32_t entry, const struct trie_runs *runs, uint32_t index)
{
	uint32_t at = egress_run_bucket(entry, trie_run_key(&runs->items[index])), moves, i;

	for (moves = 0; moves < MOVES_MAX; moves++) {
		uint32_t places[PLACES], evicted;

		find_places(entry, trie_run_key(&runs->items[index]), places);
		for (i = 0; i < PLACES; i++) {
			if (owner[places[i]] == NOBODY) {
				owner[places[i]] = index;
				return true;
			}
		}
		at = next_place(entry, trie_run_key(&runs->items[index]), at);
		evicted = owner[at];
		owner[at] = index;
		index = evicted;
	}
	return false;
}

/* False: there is no room. */
static bool place_all(uint32_t *owner, uint32_t entry, const struct trie_runs *runs)
{
	uint32_t i;

	for (i = 0; i < egress_hash_buckets(entry); i++)
		owner[i] = NOBODY;
	for (i = 0; i < runs->count; i++)
		if (!place_one(owner, entry, runs, i))
			return false;
	return true;
}

static void write_node(struct egress_trie_run *node, uint32_t entry, const struct trie_runs *runs, const uint32_t *owner,
		       uint32_t other)
{
	const struct egress_trie_run none = {.slot = 0};
	uint32_t first = egress_run_first(entry), i;

	memset(node, 0, first * sizeof(*node));
	for (i = first; i < egress_hash_buckets(entry); i++) {
		node[i] = owner[i] == NOBODY ? none : runs->items[owner[i]];
		node[i].other = other;
	}
	for (i = first; i < egress_hash_buckets(entry); i++)
		if (owner[i] != NOBODY)
			publish_place(node, entry, trie_run_key(&node[i]), i);
}

/* Where each is, in a node of so many buckets that is nowhere yet. 0; -E2BIG: no function spreads the keys over them. */
static int try_buckets(const struct trie_runs *runs, size_t buckets, uint32_t *owner, uint32_t *entry)
{
	uint32_t function;

	for (function = 0; function < EGRESS_HASH_FUNCTIONS; function++) {
		*entry = EGRESS_TRIE_ENTRY(EGRESS_TRIE_RUNS, function << EGRESS_HASH_FUNCTION_SHIFT | (uint32_t)buckets);
		if (place_all(owner, *entry, runs))
			return 0;
	}
	return -E2BIG;
}

/* *owner: the caller frees it. limit: of the node's words. */
static int plan_node(const struct trie_runs *runs, size_t limit, uint32_t **owner, uint32_t *entry)
{
	size_t first = first_buckets(runs->count), buckets;
	int error = -E2BIG;

	if (limit > EGRESS_HASH_BUCKET_WORDS * EGRESS_HASH_BUCKETS_MAX)
		limit = EGRESS_HASH_BUCKET_WORDS * EGRESS_HASH_BUCKETS_MAX;
	for (buckets = first; error == -E2BIG && buckets <= 4 * first && EGRESS_HASH_BUCKET_WORDS * buckets <= limit;
	     buckets *= 2) {
		_cleanup_free_ uint32_t *owners = malloc(buckets * sizeof(*owners));

		if (!owners)
			return -ENOMEM;
		error = try_buckets(runs, buckets, owners, entry);
		if (!error)
			*owner = take(owners);
	}
	return error;
}

/* limit: -E2BIG where it would take more words. */
static int new_runs(const struct trie *trie, const struct trie_runs *runs, uint32_t other, size_t limit, uint32_t *entry)
{
	_cleanup_free_ uint32_t *owner = NULL;
	uint32_t made;
	int error = plan_node(runs, limit, &owner, &made);

	if (!error)
		error = trie_take_buckets(trie, made, &made);
	if (error < 0)
		return error;
	if (trie->memory->words)
		write_node(node_of(trie->memory, made), made, runs, owner, other);
	*entry = made;
	return 0;
}

int trie_new_runs(const struct trie *trie, const struct trie_runs *runs, uint32_t other, uint32_t *entry)
{
	return new_runs(trie, runs, other, SIZE_MAX, entry);
}

/* ------------------------------------------------------------------ one in force */

const struct egress_trie_run *trie_runs_find(const struct memory *memory, uint32_t entry, uint32_t key)
{
	const struct egress_trie_run *run = find_bucket(node_of(memory, entry), entry, key);

	return run && run->slot ? run : NULL;
}

uint32_t trie_runs_other(const struct memory *memory, uint32_t entry)
{
	return node_of(memory, entry)[egress_run_first(entry)].other & ~EGRESS_RUN_MOVED;
}

/*
 * Whether packets find what is in a bucket: a writer may be on its way to say where it is, or have ended on it.
 */
static bool is_published(const struct egress_trie_run *node, uint32_t entry, uint32_t at)
{
	uint32_t key = trie_run_key(&node[at]), own = egress_run_bucket(entry, key), bit = egress_run_bit(entry, key);
	const uint32_t *bits = (const void *)node;

	if (!(bits[bit / 32] >> bit % 32 & 1))
		return false;
	return at == own || (node[own].other & EGRESS_RUN_MOVED &&
			     (at == (own ^ 1) || node[own ^ 1].other & EGRESS_RUN_MOVED));
}

int trie_runs_list(const struct memory *memory, uint32_t entry, struct trie_runs *runs)
{
	const struct egress_trie_run *node = node_of(memory, entry);
	uint32_t i;
	int error = 0;

	for (i = egress_run_first(entry); i < egress_hash_buckets(entry) && !error; i++)
		if (node[i].slot && is_published(node, entry, i))
			error = add_bucket(runs, &node[i]);
	return error;
}

/* The node anew, with this key more: there was no room for it. */
static int write_anew(const struct trie *trie, uint32_t entry, uint32_t key, uint32_t child, uint32_t *result)
{
	const struct trie_ranges ranges = {.count = 1, .entry[0] = child};
	struct trie_runs runs = {0};
	int error;

	/* It will seldom be smaller. */
	if (EGRESS_HASH_BUCKET_WORDS * egress_hash_buckets(entry) > TRIE_BUCKETS_SET_WORDS)
		return -ENOSPC;
	error = trie_runs_list(trie->memory, entry, &runs);
	if (!error)
		error = trie_runs_add(&runs, key, &ranges);
	if (!error)
		error = new_runs(trie, &runs, trie_runs_other(trie->memory, entry), TRIE_BUCKETS_SET_WORDS, result);
	trie_runs_clear(&runs);
	return error == -E2BIG ? -ENOSPC : error;
}

int trie_runs_set(const struct trie *trie, uint32_t entry, uint32_t key, uint32_t child, uint32_t *result)
{
	struct egress_trie_run *node = node_of(trie->memory, entry), *run = find_bucket(node, entry, key);

	if (!run)
		return write_anew(trie, entry, key, child, result);
	/* Key and child at once: a packet sees the key with what it had, with the child, or not at all. */
	__atomic_store_n(&run->slot, trie_slot(key, child), __ATOMIC_RELEASE);
	publish_place(node, entry, key, (uint32_t)(run - node));
	*result = entry;
	return 0;
}
