/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The agent: one thread, one loop. What it is made of and who may touch what:
 *
 *   start.c        checks that come before anything is changed, and what a predecessor left
 *   agent.c        the loop: events and timers call the steps below
 *   reconcile.c    source -> store -> policy -> tables -> endpoints -> programs
 *   node.c         the node's own addresses
 *   locate.c       endpoints -> interfaces
 *   cni_attachments.c, cni_server.c, cni_install.c  what egress-cni tells, and what it is answered
 *   attachments.c  endpoints -> kernel: entries, programs
 *   connections.c  connections that were opened to a pod before it was watched
 *   crosscheck.c   does the node's own network have the pods where they were found?
 *   pending.c      interfaces before their pod's policy is in force, and those that lead past it
 *   problems.c     what is wrong, told once
 *   status.c       readiness, and what is left for egressctl
 *   serve.c        HTTP; metrics.c what /metrics says
 *   accept.c       what listens while descriptors are short
 */
#ifndef EGRESSD_AGENT_AGENT_H
#define EGRESSD_AGENT_AGENT_H

#include <event2/event.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <time.h>

#include "agent/changes.h"
#include "agent/endpoints.h"
#include "agent/generation.h"
#include "agent/options.h"
#include "datapath/datapath.h"
#include "datapath/interface.h"
#include "datapath/kernel_support.h"
#include "model/problem.h"
#include "model/store.h"
#include "node/pod_processes.h"
#include "report/state.h"
#include "source/source.h"
#include "source/tree_watch.h"

struct address_locator;
struct cni_server;
struct connection_search;
struct discoveries;
struct evconnlistener;
struct http_server;
struct told_problem;

struct agent {
	const struct agent_options *options;
	time_t started;
	int state_lock, pin_lock; /* -1: none */
	int listener;             /* bound socket until serve.c takes it; -1: none */
	struct event_base *loop;
	bool loops; /* others wait for whatever takes long */
	bool superseded; /* another agent has the pins, or the state: this one ends */
	struct http_server *http; /* NULL: nothing is served */
	struct source *source;
	struct store *store; /* settled: what the generation in force is made of */
	struct kernel_support kernel; /* as it was at the start */
	struct state_view restored; /* what tables the restored objects were made into */
	bool has_objects; /* the store holds all that the source, or a predecessor, knew at some moment */
	struct datapath *datapath;
	struct interface_watch *interfaces;
	struct tree_watch *attachment_watch; /* of the directory in which egress-cni leaves what it knows */
	struct cni_server *cni;              /* answers egress-cni */
	struct tree_watch *cni_watch;        /* of the network configuration; NULL: egress-cni is not installed */
	struct event *cni_event;

	struct pod_processes processes; /* while pods are looked for by their processes */
	bool processes_read;
	struct address_locator *locator; /* while pods are looked for; NULL: not needed yet */
	int64_t processes_due; /* CLOCK_MONOTONIC, ns; processes are not looked at sooner */

	struct ip_address *node_addresses; /* sorted */
	size_t node_address_count;

	struct policy *compiled; /* by the checks of the start, for the first generation; else NULL */
	struct generation generation;
	struct endpoint_table endpoints;
	struct locality locality; /* what else than objects says which pods are of this node */
	bool recompile;           /* something beside the objects changed */
	bool sweep_due;           /* something of ours may hang where no endpoint is */
	bool attachments_news;    /* what egress-cni left was read amid a reconcile, which did not look at it yet */
	bool resolve_all;         /* interfaces may have changed without notice */
	bool links_changed;       /* interfaces came, went or have other names since pods were looked for */
	bool trim_due;            /* memory of an old generation can be given back */

	/* What is wrong now. */
	struct problem_list source_problems;
	bool problems_changed; /* the source's, since they were told */
	struct problem_list policy_problems;
	struct told_problem *told; /* those that were logged */
	size_t bad_files;
	unsigned int half_reads; /* of the source, in a row: the store may be half way; 0: it is not */
	char *source_failure; /* why the directory cannot be read, or NULL */
	char *cni_failure;        /* why egress-cni is not in the network configuration, or NULL */
	char *attachment_failure; /* why what egress-cni left cannot be read, or NULL */
	char *watch_failure;      /* why that is not watched, or NULL */
	char *socket_failure;     /* why nobody answers egress-cni, or NULL */
	bool attachments_unread;  /* what egress-cni left could not be read when that was tried last */
	char *pin_failure;    /* why what someone unpinned cannot be pinned again, or NULL */
	char *hold_failure;   /* why an interface that should be held is not, or NULL */
	char *conntrack_failure; /* why connections from before may be cut, or NULL */
	bool untracked;       /* there is no connection tracking here, which was told */
	char *build_failure;  /* why the objects in the store are not in force, or NULL */
	char *state_failure;  /* why the state on disk is not what is in force, or NULL */
	bool ready;           /* as last told */

	/* Since the start. */
	uint64_t source_errors, build_errors, attach_errors, state_errors, connection_errors, repairs;
	uint64_t pod_changes, pod_change_cpu; /* in place; ns of processor time from the source's notice until in force */
	uint64_t read_cpu;                    /* ns of processor time, when the source was read last */

	size_t policies_in_force;
	bool objects_written; /* objects.json is of what is in force, or is being written of it */
	struct timespec state_due; /* CLOCK_MONOTONIC; the state is not written sooner */
	int64_t state_cost;        /* ns that it took to write it last, or so far */
	struct state_writer *state_writer; /* of the objects that are being written, or NULL */
	json_t *state_next;                /* what state.json is to be once they are; NULL: nothing is being written */
	bool state_missed, state_missed_pods; /* something changed since that began, or pods of other nodes did */
	struct connection_search *search; /* for connections from before, under way; NULL: none */
	struct event *state_timer, *retry_timer, *source_timer, *reread_timer, *interface_timer, *release_timer;
	unsigned int failures; /* to build, in a row */
	int64_t build_due;     /* CLOCK_MONOTONIC, ms; what failed is not tried sooner, unless something changed */
	int64_t hold_due;      /* the same for interfaces to hold */
	size_t held_bare;      /* interfaces that are held without an entry */
	unsigned int state_failures; /* to write the state, in a row */
};

/* Runs until it is told to stop: 0. An error, which was logged, where it could not start. */
int agent_run(const struct agent_options *options);

/*
 * After what took memory for a moment: gives it back. Where much is in use that waits for minutes in which no policy is
 * compiled: the state alone is written every minute, and has it back at once.
 */
enum memory_taker {
	MEMORY_OF_COMPILE,
	MEMORY_OF_STATE,
};
void agent_release_memory(struct agent *agent, enum memory_taker taker);

/* -------------------------------------------------------------- start.c */

/*
 * Everything that can fail, before anything is changed; then what a predecessor left. 0, or -errno after it logged why.
 */
int agent_prepare(struct agent *agent);

/* -------------------------------------------------------------- reconcile.c */

/* Keeps and, if it is news, logs why something is not as it should be; format NULL: it is again. */
void agent_set_failure(char **failure, const char *format, ...) __attribute__((format(printf, 2, 3)));
/*
 * Brings the store up to date with the source. 0 or -errno (kept in source_failure, told). Where that may have left the
 * store half way nothing is made of it before it was read again, which is seen to.
 */
int agent_read_source(struct agent *agent);
/* CLOCK_MONOTONIC. */
int64_t agent_milliseconds(void);
/* Brings the kernel up to date with the store and the interfaces; what fails is told, kept and tried again. */
void agent_reconcile(struct agent *agent);
/*
 * The same where nothing but pods of other nodes changed, and costs what those cost: no other pod, no interface and no
 * policy is looked at. False, and nothing is decided: agent_reconcile is to be called.
 */
bool agent_follow_pods(struct agent *agent);
/*
 * Who removes a directory takes its lock away with it. Another agent may have made it anew and be at work in it: then this
 * one ends, as there must not be two, and what is there is no longer its to repair. 0 or -errno.
 */
int agent_regain_lock(struct agent *agent, const char *path, int *lock);
/*
 * Pins again what someone unpinned, and locks the directory again if it was replaced; counts repairs. Ends the loop where
 * another agent has it by now.
 */
void agent_check_pins(struct agent *agent);
/* Compiles the store. 0 and *out; -errno with errors in agent->policy_problems. */
int agent_compile(struct agent *agent, struct policy **out);

/* -------------------------------------------------------------- node.c */

/* Collects this node's addresses as the options say; *changed against before. 0 or -errno. */
int agent_find_node_addresses(struct agent *agent, bool *changed);

/* -------------------------------------------------------------- locate.c */

struct located_interface {
	uint32_t ifindex;
	char name[IF_NAMESIZE];
	uint8_t mac[6]; /* of the pod's side; all 0: unknown */
};

/*
 * Finds the host's side of the pod's interface. 0, or -errno: then the endpoint waits, or the reason is its problem
 * (-EAGAIN: it was not looked for, and the problem is as it was).
 */
int locate_interface(struct agent *agent, struct endpoint *endpoint, struct located_interface *out);
/* What is known of processes counts for the pods that are looked for together. */
void locate_forget_processes(struct agent *agent);

/* -------------------------------------------------------------- cni_attachments.c */

/* Reads what egress-cni left; what cannot be read is kept in attachment_failure, and told. 0 or -errno. */
int agent_read_attachments(struct agent *agent);
/* Begins to watch it, also anew where it was removed, and reads it. 0 or -errno, told and kept in watch_failure. */
int agent_watch_attachments(struct agent *agent);
/* Watches it no more, as it is not where it was. */
void agent_unwatch_attachments(struct agent *agent);
/* Watches and reads it where that is not so, or failed before; true: there is something to reconcile. */
bool agent_check_attachments(struct agent *agent);
/*
 * After a reconcile: removes what egress-cni left of pods of which nothing else is left. DEL does not come where egress-cni
 * is no longer in the network configuration. What it removes it gets notice of.
 */
void agent_prune_attachments(struct agent *agent);
/* Reads what changed; true: there is something to reconcile. */
bool agent_attachments_changed(struct agent *agent);

/* -------------------------------------------------------------- cni_install.c */

/* Installs egress-cni if that is wanted, and follows the network configuration. 0 or -errno, logged. */
int cni_install_start(struct agent *agent);
void cni_install_stop(struct agent *agent);
/* Puts it in again where it is missing; what fails is kept in cni_failure, and told. */
void cni_install_check(struct agent *agent);

/* -------------------------------------------------------------- accept.c */

/*
 * A listener's error callback; `data` is not looked at. Nothing is accepted from then on until the check that follows:
 * who waits to be accepted would wake the loop at once, again and again. Tells it.
 */
void agent_accept_failed(struct evconnlistener *listener, void *data);

/* -------------------------------------------------------------- cni_server.c */

/* Listens on the socket in the state directory. 0 or -errno, told and kept in socket_failure. */
int cni_server_start(struct agent *agent);
void cni_server_stop(struct agent *agent);
/* Listens where it does not, and accepts again after agent_accept_failed. */
void cni_server_check(struct agent *agent);
/* After every reconcile: answers those whose pod's policy is in force by now. */
void cni_server_answer(struct agent *agent);

/* -------------------------------------------------------------- attachments.c */

/* Finds the interface of every endpoint, with `all` also where it was found before. */
void attachments_resolve(struct agent *agent, bool all);
/* Its addresses; borrowed. */
const struct ip_address *attachments_addresses(const struct endpoint *endpoint, size_t *count);
/* What the kernel is to know of the endpoint. */
struct egress_endpoint attachments_entry(const struct agent *agent, const struct endpoint *endpoint);
/* Takes programs and entries from the interfaces of endpoints that retire, unless another endpoint is there now. */
void attachments_withdraw_retiring(struct agent *agent);
/* Puts entries and programs where they are wanted, and takes them from where they are not. */
void attachments_apply(struct agent *agent);
/* What failed is tried again by the next attachments_apply, however soon. */
void attachments_try_now(struct agent *agent);
/* Takes off what hangs on interfaces that no endpoint has; for the start and after lost notices. */
void attachments_sweep(struct agent *agent);
/* An interface is gone, and with it what was attached to it. told: the kernel gave notice of it. */
void attachments_vanished(struct agent *agent, uint32_t ifindex, bool told);
/* A network namespace is gone, and its id here (interface_watch_namespace()) is the next one's. */
void attachments_namespace_gone(struct agent *agent, int32_t nsid);
/*
 * Attaches again, at once, what someone else took off; counts repairs. True where there was something to do that is left
 * to attachments_apply.
 */
bool attachments_check(struct agent *agent);
/* The same amid a change, which deals with the rest. */
void attachments_look_after(struct agent *agent);

/* Takes programs and entry from an interface that is no pod's. */
void attachments_let_go(struct agent *agent, uint32_t ifindex);

/* -------------------------------------------------------------- connections.c */

/*
 * Before isolated pods' interfaces get their programs for the first time, and when their entries stand: what they may go
 * on answering, for all of which connections_due says that it is to be looked up.
 */
void connections_before_attachment(struct agent *agent);
/* Enters what a search found that was not over in time, if it is now. */
void connections_take_found(struct agent *agent);
/*
 * Before a generation is published: what those pods may go on answering that it isolates and the one in force does not;
 * nobody watched who opened connections to them. Afterwards, whether it is in force or not: enters it.
 */
struct discoveries *connections_before_isolation(struct agent *agent);
void connections_after_isolation(struct agent *agent, struct discoveries *found, bool published);
/* At the end of the agent. */
void connections_stop(struct agent *agent);

/* -------------------------------------------------------------- crosscheck.c */

/* Compares where pods were found with where the node's routes and bridges have their addresses. */
void crosscheck(struct agent *agent);
/* How many pods are elsewhere by these. */
size_t crosscheck_mismatches(const struct agent *agent);
/* Where these have an address of the pod, as a clause that the caller frees; NULL: they do not say. */
char *crosscheck_hint(struct agent *agent, const struct endpoint *endpoint);

/* -------------------------------------------------------------- pending.c */

/* Interfaces that are held; items are the caller's to free. */
struct held_interfaces {
	uint32_t *items; /* ifindexes */
	size_t count;
};

/* Whether a pod of this namespace (NULL: unknown) is denied everything until its policy is in force. */
bool pending_denies(const struct agent *agent, const char *namespace);
/* Whether it leads into the network namespace of a pod that policy isolates, beside the pod's own interface. */
bool pending_bypasses(const struct agent *agent, uint32_t ifindex);
/* Whether an interface that is no known pod's own is to be held. */
bool pending_holds_unknown(const struct agent *agent, uint32_t ifindex);
/*
 * Looks into the network namespaces of isolated pods for what leads out of them without an interface of the node's, which
 * cannot be held: that is told. True: something is, or was, to tell.
 */
bool pending_look_inside(struct agent *agent);
/* Holds what is new and lets go what need not be held any more. */
void pending_hold(struct agent *agent);
/* Whether the kernel holds it; also where that cannot be told. */
bool pending_is_held(struct agent *agent, uint32_t ifindex);
size_t pending_count(struct agent *agent);
/* An interface is gone. */
void pending_vanished(struct agent *agent, uint32_t ifindex);
/* Attaches again where someone took the programs off an interface that is held; true where there was something to do. */
bool pending_check(struct agent *agent);

/* -------------------------------------------------------------- problems.c */

/* Logs problems that are new. */
void agent_tell_problems(struct agent *agent);
void agent_forget_told(struct agent *agent);

/* -------------------------------------------------------------- status.c */

/* Why the pod's policy is not in the kernel; NULL: it is. */
const char *agent_endpoint_lacks(const struct agent *agent, const struct endpoint *endpoint);
/* Is every local pod's policy in the kernel? Writes what is missing, a line each, to `reasons` unless that is NULL. */
bool agent_is_ready(const struct agent *agent, FILE *reasons);
/* Leaves the state for egressctl, at once or soon; tells a change of readiness. */
void agent_report_state(struct agent *agent);
/* Leaves the state for egressctl when there is time: only pods of other nodes are not as it says. */
void agent_report_state_later(struct agent *agent);
/* Writes the state, or more of it: the rest comes with the timer, between what else the loop has to do. */
void agent_go_on_with_state(struct agent *agent);
/* Writes all of the state now. */
void agent_write_state(struct agent *agent);
/*
 * Makes the state directory anew where someone removed it; what else belongs into it is then missing, and comes with
 * the checks that look for it. Ends the loop where another agent has it by now.
 */
void agent_check_state(struct agent *agent);

/* -------------------------------------------------------------- metrics.c */

int agent_write_metrics(struct agent *agent, FILE *out);

/* -------------------------------------------------------------- serve.c */

/* Binds the address of --listen. 0 or -errno. */
int serve_bind(const struct agent_options *options, int *out);
/* Serves on the agent's loop; takes agent->listener. 0 or -errno. */
int serve_start(struct agent *agent);
/* Accepts again after agent_accept_failed. */
void serve_check(struct agent *agent);
void serve_stop(struct agent *agent);

#endif
