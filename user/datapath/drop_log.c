/* SPDX-License-Identifier: Apache-2.0 */
/* Reading the drop log: rings of the CPUs that their writers never wait for, merged by time. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/cleanup.h"
#include "datapath/internal.h"

/* Where a reader is in the ring of one CPU. */
struct cpu_cursor {
	uint64_t last;                  /* number of the last record taken (into `head` or further) or given up */
	struct egress_drop_record head; /* the next to hand out, if there is one */
	bool has_head;
};

struct drop_cursor {
	struct datapath *datapath;
	const struct egress_drop_record *records; /* the mapped map */
	size_t mapped;
	struct egress_drop_log_state *states; /* one a CPU; refreshed by each read */
	struct cpu_cursor *cpus;
};

static int read_states(const struct datapath *datapath, struct egress_drop_log_state *states)
{
	uint32_t key = 0;

	if (bpf_map_lookup_elem(datapath->drop_log_state, &key, states))
		return fail_errno(-errno, "cannot read the state of the drop log");
	return 0;
}

int datapath_drop_log_totals(struct datapath *datapath, uint64_t *written, uint64_t *suppressed)
{
	_cleanup_free_ struct egress_drop_log_state *states = calloc((size_t)datapath->cpu_count, sizeof(*states));
	uint64_t all_written = 0, all_suppressed = 0;
	int error;

	if (!states)
		return fail_errno(-ENOMEM, "no memory");
	error = read_states(datapath, states);
	if (error)
		return error;
	for (int cpu = 0; cpu < datapath->cpu_count; cpu++) {
		all_written += states[cpu].sequence;
		all_suppressed += states[cpu].suppressed;
	}
	*written = all_written;
	*suppressed = all_suppressed;
	return 0;
}

void drop_cursor_free(struct drop_cursor *cursor)
{
	if (!cursor)
		return;
	if (cursor->records)
		munmap((void *)(uintptr_t)cursor->records, cursor->mapped);
	free(cursor->states);
	free(cursor->cpus);
	free(cursor);
}

static void free_cursor(struct drop_cursor **cursor)
{
	drop_cursor_free(*cursor);
}

static int map_records(struct drop_cursor *cursor)
{
	long page = sysconf(_SC_PAGESIZE);
	size_t size = cursor->datapath->drop_log_entries * sizeof(struct egress_drop_record);
	void *memory;

	cursor->mapped = (size + (size_t)page - 1) / (size_t)page * (size_t)page;
	memory = mmap(NULL, cursor->mapped, PROT_READ, MAP_SHARED, cursor->datapath->drop_log, 0);
	if (memory == MAP_FAILED)
		return fail_errno(-errno, "cannot map the drop log into memory");
	cursor->records = memory;
	return 0;
}

int drop_cursor_new(struct datapath *datapath, bool from_now, struct drop_cursor **out)
{
	_cleanup_(free_cursor) struct drop_cursor *cursor = calloc(1, sizeof(*cursor));
	size_t cpus = (size_t)datapath->cpu_count;
	int error;

	if (!cursor)
		return fail_errno(-ENOMEM, "no memory");
	cursor->datapath = datapath;
	cursor->states = calloc(cpus, sizeof(*cursor->states));
	cursor->cpus = calloc(cpus, sizeof(*cursor->cpus));
	if (!cursor->states || !cursor->cpus)
		return fail_errno(-ENOMEM, "no memory");
	error = map_records(cursor);
	if (!error)
		error = read_states(datapath, cursor->states);
	if (error)
		return error;
	for (size_t cpu = 0; cpu < cpus; cpu++) {
		uint64_t newest = cursor->states[cpu].sequence;

		/* What the ring has overwritten before this reader came is none of its losses. */
		if (from_now)
			cursor->cpus[cpu].last = newest;
		else if (newest > EGRESS_DROP_LOG_RECORDS)
			cursor->cpus[cpu].last = newest - EGRESS_DROP_LOG_RECORDS;
	}
	*out = take(cursor);
	return 0;
}

/* Copies record `number` of a CPU; false if it is not (or no longer) there as a whole. */
static bool copy_record(const struct drop_cursor *cursor, int cpu, uint64_t number, struct egress_drop_record *out)
{
	size_t index = (size_t)cpu * EGRESS_DROP_LOG_RECORDS + (number - 1) % EGRESS_DROP_LOG_RECORDS;
	const struct egress_drop_record *record = &cursor->records[index];

	if (__atomic_load_n(&record->sequence, __ATOMIC_ACQUIRE) != number)
		return false;
	*out = *record;
	/* The copy is complete before the sequence is read again. */
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	return __atomic_load_n(&record->sequence, __ATOMIC_RELAXED) == number;
}

/* Fetches the CPU's next record into its head, if there is one. */
static void fetch_head(struct drop_cursor *cursor, int cpu, uint64_t *lost)
{
	struct cpu_cursor *at = &cursor->cpus[cpu];
	uint64_t newest = cursor->states[cpu].sequence;

	if (newest > at->last + EGRESS_DROP_LOG_RECORDS) {
		*lost += newest - EGRESS_DROP_LOG_RECORDS - at->last;
		at->last = newest - EGRESS_DROP_LOG_RECORDS;
	}
	while (!at->has_head && at->last < newest) {
		at->has_head = copy_record(cursor, cpu, at->last + 1, &at->head);
		/* The newest may be in the making: it is there next time. Any other one was overwritten. */
		if (!at->has_head && at->last + 1 == newest)
			return;
		at->last++;
		if (!at->has_head)
			++*lost;
	}
}

/* The CPU whose head is the oldest, or -1. */
static int oldest_head(const struct drop_cursor *cursor)
{
	int oldest = -1;

	for (int cpu = 0; cpu < cursor->datapath->cpu_count; cpu++)
		if (cursor->cpus[cpu].has_head &&
		    (oldest < 0 || cursor->cpus[cpu].head.time < cursor->cpus[oldest].head.time))
			oldest = cpu;
	return oldest;
}

int drop_cursor_read(struct drop_cursor *cursor, struct egress_drop_record *records, size_t capacity, size_t *count,
		     uint64_t *lost)
{
	uint64_t missed = 0;
	size_t taken = 0;
	int cpu, error;

	error = read_states(cursor->datapath, cursor->states);
	if (error)
		return error;
	for (cpu = 0; cpu < cursor->datapath->cpu_count; cpu++)
		fetch_head(cursor, cpu, &missed);
	while (taken < capacity && (cpu = oldest_head(cursor)) >= 0) {
		records[taken++] = cursor->cpus[cpu].head;
		cursor->cpus[cpu].has_head = false;
		fetch_head(cursor, cpu, &missed);
	}
	*count = taken;
	*lost = missed;
	return 0;
}
