/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernel's side: maps, programs, pins, attachments, counters. Knows nothing of Kubernetes.
 *
 * Errors are negative errno; datapath_error() gives the sentence that belongs to the last one (what was tried, on what,
 * what the kernel said), for the command to print.
 */
#ifndef EGRESSD_DATAPATH_DATAPATH_H
#define EGRESSD_DATAPATH_DATAPATH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <egressd/contract.h>

#include "datapath/flow_tuple.h"

struct datapath;

enum attach_kind { ATTACH_AUTO, ATTACH_TCX, ATTACH_CLSACT };

struct datapath_options {
	const char *pin; /* parent directory on a bpffs (EGRESS_PIN_PARENT by default); mounted if that is possible */
	enum attach_kind attach; /* AUTO: TCX where the kernel has it, found by trying */
	/*
	 * From pins of another layout, newer or older, whose agent does not run: -EPROTO, before anything is touched,
	 * where that cannot be done. What they hold is here when datapath_open returns; their programs go on judging
	 * until the first commit, which also carries over the counters and removes their pins.
	 */
	bool take_over;
	bool read_only;          /* egressctl: open what is pinned, create nothing */
};

const char *datapath_error(void);

/* Capabilities, BPF, bpffs: each failure has its own sentence. 0, -EPERM, -EOPNOTSUPP, -ENOTSUP ... */
int datapath_check(void);

/*
 * Opens the pinned state below options->pin, or creates it: endpoints, counters, flows and drop log are reused; tables
 * and programs are made new by datapath_new_tables(). read_only: -ENOENT where nothing is pinned.
 */
int datapath_open(const struct datapath_options *options, struct datapath **out);
void datapath_close(struct datapath *datapath); /* pins and attachments stay */

/* The kind that AUTO resolved to. */
enum attach_kind datapath_attach_kind(const struct datapath *datapath);
const char *attach_kind_name(enum attach_kind kind); /* "tcx", "clsact" */

/*
 * New, zeroed table memory of at least `words` words with programs that read it, not in force yet. The memory stays
 * mapped until the next successful datapath_commit_tables or close. Discards one that was made and not committed.
 */
int datapath_new_tables(struct datapath *datapath, size_t words, uint32_t **memory, size_t *word_count);
/*
 * datapath_new_tables() is going to be called for so many words: the memory is made now, and the programs are loaded
 * beside the caller from now on. Where other tables are asked for than those that were foreseen, these are discarded.
 */
int datapath_foresee_tables(struct datapath *datapath, size_t words);
void datapath_forget_foreseen(struct datapath *datapath);
/*
 * Waits until the programs of the new tables are loaded, as datapath_commit_tables() does, which changes something
 * then. On failure the new tables are gone.
 */
int datapath_finish_tables(struct datapath *datapath);
/*
 * The kernel takes a second or more to verify programs. While datapath_new_tables() or datapath_finish_tables() waits for
 * it, it calls back several times a second; what is called may look after what is in force, and must not make or commit
 * tables.
 */
void datapath_while_waiting(struct datapath *datapath, void (*callback)(void *data), void *data);
/*
 * Puts the new memory in force: every attached interface gets the new programs (each atomically), the pin is replaced,
 * then the old memory is released. On failure those already switched are switched back.
 */
int datapath_commit_tables(struct datapath *datapath);
/* The table memory in force, read-only for read_only. -ENOENT: none yet. */
int datapath_tables(struct datapath *datapath, const uint32_t **memory, size_t *word_count);

/* Waits until no packet can still be judged by what was unreachable at the call (synchronize_rcu). */
int datapath_grace_period(struct datapath *datapath);

/* Jiffies a second, measured once. */
int datapath_hz(struct datapath *datapath, uint32_t *hz);

/*
 * Endpoints. put replaces the one with the same ifindex; 0, -ENOSPC, ... No program reads its notes: a put that
 * changes nothing else costs no grace period.
 */
int datapath_endpoint_put(struct datapath *datapath, const struct egress_endpoint *endpoint);
int datapath_endpoint_remove(struct datapath *datapath, uint32_t ifindex);
/* All endpoints in the maps but those held, in no order; the caller frees *out. */
int datapath_endpoint_list(struct datapath *datapath, struct egress_endpoint **out, size_t *count);

/*
 * Interfaces whose pod is not known yet. Not even answers pass, as there is no pod whose they could be; where the pod is
 * known and only its policy is not, see datapath_attach_pending().
 *
 * datapath_hold() attaches both programs to the interface, with an entry that belongs to no pod: from then on every
 * packet from it is dropped and counted as `pending` for endpoint 0, whoever lives or dies, until datapath_endpoint_put()
 * names its pod (the change is atomic for packets, and what is attached stays), or datapath_detach() and then
 * datapath_endpoint_remove() let it go. Errors are those of datapath_attach. Holding the interface of a pod takes it from the pod: packets under way may
 * still be judged by its policy until the next grace period. Holding what is held is 0.
 *
 * datapath_endpoint_hold() is the entry alone, for interfaces whose programs are attached. datapath_held_list() lists
 * ifindexes; the caller frees *out.
 */
int datapath_hold(struct datapath *datapath, uint32_t ifindex);
int datapath_endpoint_hold(struct datapath *datapath, uint32_t ifindex);
int datapath_held_list(struct datapath *datapath, uint32_t **out, size_t *count);

/* Whether there are programs to attach. */
bool datapath_has_programs(const struct datapath *datapath);

/*
 * Attachment of both programs to an interface of this network namespace, pinned (TCX) or held by the filter (clsact).
 * Attaching what is attached replaces the program in place, and an attachment of the other kind gives way.
 * -ENODEV: no such interface; -EBUSY: another program's filter has our place; -EINVAL: no tables are in force.
 * Detaching what is not attached, or what is gone, is 0. datapath_attach_tracking(): only the program that remembers who
 * opened a connection to the pod; none is dropped. datapath_attach_again(): where ours were a moment ago; a program that
 * somebody put in their place gives way.
 */
int datapath_attach_tracking(struct datapath *datapath, uint32_t ifindex);
int datapath_attach(struct datapath *datapath, uint32_t ifindex);
int datapath_attach_again(struct datapath *datapath, uint32_t ifindex);
int datapath_detach(struct datapath *datapath, uint32_t ifindex);
/* True when both programs in force are attached to it (asked from the kernel). */
bool datapath_attached(struct datapath *datapath, uint32_t ifindex);
/* Interfaces that carry our pins or filters, also ones of a predecessor; the caller frees *out. */
int datapath_attached_list(struct datapath *datapath, uint32_t **out, size_t *count);

/*
 * For whoever finds no agent running. check_unused, before anything is opened: -EBUSY where an egressd's programs may be
 * in force that are not of the pins of this build. They judge by what their agent knew, which the tables of
 * ensure_programs do not, so that it is for an agent to take over from them. ensure_programs: where no programs are
 * pinned yet, those of this build are, with tables that say nothing, and no interface gets them. For both the caller
 * holds the lock of the pins. attach_pending: attaches the programs in force to
 * endpoint->ifindex and gives it an entry with these addresses and an id of its own, under which nothing passes but
 * answers until an agent takes it over (a probe of the kubelet's is answered, which is why this is not datapath_hold());
 * where there is such an entry already it stays. One caller at a time.
 */
int datapath_check_unused(const char *pin);
int datapath_ensure_programs(struct datapath *datapath);
int datapath_attach_pending(struct datapath *datapath, const struct egress_endpoint *endpoint);

/* Sums over all CPUs. reasons: EGRESS_DROP_REASON_SLOTS entries by enum egress_drop_reason. */
int datapath_counters(struct datapath *datapath, uint32_t endpoint_id, struct egress_counter *allowed,
		      struct egress_counter reasons[EGRESS_DROP_REASON_SLOTS]);
/* Zero, when an id gets a new owner. */
int datapath_counters_reset(struct datapath *datapath, uint32_t endpoint_id);

/* Flows: calls back for each; a non-zero return ends it and is returned. `now` is jiffies64 of the kernel. */
typedef int (*datapath_flow_visitor)(const struct flow_tuple *tuple, const struct egress_flow *flow, void *data);
int datapath_flows(struct datapath *datapath, datapath_flow_visitor visit, void *data);
int datapath_jiffies(struct datapath *datapath, uint64_t *now);
/* One flow. Errors of these three have no sentence; -ENOENT: there is no such flow. */
int datapath_flow_read(const struct datapath *datapath, const struct flow_tuple *tuple, struct egress_flow *flow);
/*
 * What flow->local says does not matter to these two: it is as the tuple says. A program may take the flow away meanwhile
 * and give its key to another one, which is lost then.
 */
int datapath_flow_update(const struct datapath *datapath, const struct flow_tuple *tuple, const struct egress_flow *flow);
/*
 * -EEXIST: it is there already, or another one has its key. In the latter case it is to be added `beside`, when the
 * endpoint's share says so.
 */
int datapath_flow_add(const struct datapath *datapath, const struct flow_tuple *tuple, const struct egress_flow *flow,
		      bool beside);
/* Deletes flows that are idle beyond the time-outs in the tables; *removed counts them. */
int datapath_flows_expire(struct datapath *datapath, size_t *removed);
/* Forgets all that an endpoint id leaves behind (flows, rings, fragments), before the id gets a new owner. */
int datapath_flows_remove(struct datapath *datapath, uint32_t endpoint_id);

/*
 * The drop log. A cursor remembers, per CPU, the last record seen; records come oldest first by time. *lost counts
 * those overwritten before they were read. from_now: skip what is there.
 */
struct drop_cursor;
int drop_cursor_new(struct datapath *datapath, bool from_now, struct drop_cursor **out);
void drop_cursor_free(struct drop_cursor *cursor);
int drop_cursor_read(struct drop_cursor *cursor, struct egress_drop_record *records, size_t capacity, size_t *count,
		     uint64_t *lost);
/* Sum over CPUs of records written and of drops not logged because of the limit. */
int datapath_drop_log_totals(struct datapath *datapath, uint64_t *written, uint64_t *suppressed);

/*
 * Pins anew what someone unpinned, or replaced by something else; *repaired counts the pins, also where it fails in the
 * middle.
 */
int datapath_repair_pins(struct datapath *datapath, size_t *repaired);

/*
 * Makes sure that `pin` is a directory on a bpffs, as datapath_open does, for its caller to lock first; and removes it
 * again if nothing is in it.
 */
int datapath_prepare_pins(const char *pin);
void datapath_discard_pins(const char *pin);

/* Takes all of it off: attachments, pins, the versioned directory. */
int datapath_remove(struct datapath *datapath);

/*
 * Takes off what agents of any version left on this node below `pin`, also where no map can be opened and where only
 * filters are left; calls back with each step before it is done. Others' filters and qdiscs stay: a qdisc that we made
 * goes unless others use it. Where something fails the rest is still done, and the first error returned. dry_run:
 * changes nothing. No agent may be running.
 */
enum uninstall_step {
	UNINSTALL_LINK,       /* a TCX link: interface and program */
	UNINSTALL_FILTER,     /* a tc filter: interface and program */
	UNINSTALL_QDISC,      /* a clsact qdisc that we made: interface */
	UNINSTALL_QDISC_LEFT, /* the same, which stays because others use it */
	UNINSTALL_PINS,       /* a directory of pins: path */
};
typedef void (*uninstall_visitor)(enum uninstall_step step, const char *what, void *data);
int datapath_uninstall(const char *pin, bool dry_run, uninstall_visitor visit, void *data);

#endif
