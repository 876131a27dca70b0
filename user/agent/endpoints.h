/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The pods of this node and what the kernel knows of them: each has an endpoint id for as long as it is the same pod
 * (namespace, name and uid), also over restarts of the agent.
 */
#ifndef EGRESSD_AGENT_ENDPOINTS_H
#define EGRESSD_AGENT_ENDPOINTS_H

#include <net/if.h>
#include <stdbool.h>
#include <stdint.h>

#include <egressd/contract.h>

#include "base/hash.h"
#include "model/object.h"
#include "model/store.h"
#include "node/cni_attachment.h"

struct endpoint {
	char *key; /* "namespace/name" */
	char *namespace, *name, *uid; /* uid: "" where unknown */
	struct object *pod; /* a reference; NULL: known only from a predecessor, or gone */
	bool unknown;       /* egress-cni told of it, but no Pod that policy could be for is there: nothing passes */
	bool finished;      /* the same, and its Pod is there, but says that it is over */
	/* What egress-cni told of it, or NULL. Borrowed: valid until the list is read anew, and set by every match. */
	const struct cni_attachment *attachment;
	uint32_t id;        /* 0: no id is free */
	bool seen;          /* by the present match */
	bool adopted;       /* a predecessor had it in the kernel */
	bool owns_id;       /* counters and flows of the id are this pod's */

	/* Where the pod's interface is now; wanted 0: nowhere. */
	uint32_t wanted;
	bool waits; /* nothing of it has been started yet */
	bool kept;  /* it cannot be found under its name any more, but the one that was found is still there */
	char interface[IF_NAMESIZE];
	uint8_t mac[6]; /* of the pod's side; all 0: unknown */

	/*
	 * Its network namespace, by the id that the node's has for it; -1: unknown. That in which the interface was
	 * first seen to end: the pod may move it elsewhere, or remove it.
	 */
	int32_t nsid;
	uint32_t nsid_of; /* interface that it was learned from */

	/* What the kernel has. */
	struct egress_endpoint entry; /* ifindex 0: nothing; without the note */
	bool stands;                  /* it was put there by the present pass, and the programs are to follow */
	uint32_t before;              /* the interface that it had until then; 0: none */
	bool attached;
	bool connections_due; /* who opened what to it before is to be looked up once policy isolates it */
	bool was_open;        /* adopted: no policy isolated it under the predecessor */

	/* What failed is not tried sooner, unless something happened to an interface. */
	unsigned int failures; /* in a row */
	int64_t due;           /* CLOCK_MONOTONIC, ms */

	char *connections_problem; /* why connections from before may be cut, or NULL */

	char *problem; /* why the pod's policy is not in force, or NULL */
	bool told;     /* the problem was logged */

	/* Where else the node's network has its address. */
	uint32_t elsewhere; /* interface, by the last look; 0: nowhere else */
	char *mismatch;     /* what stands there, as two looks in a row found it, or NULL */
	bool mismatch_told; /* it was logged */

	/* What leads into its network namespace beside its interface, while policy isolates it. */
	uint32_t bypass;     /* interface; 0: none. The first of them, by number */
	size_t bypass_count;
	char *bypass_problem; /* what stands there, or NULL */
	bool bypass_told;     /* it was logged */
	char *unjudged;       /* what leads out of it without an interface here, as the last look found it, or NULL */
	bool unjudged_told;   /* it was logged */
	UT_hash_handle hh;
	struct endpoint *next; /* in the list of those that retire */
};

struct endpoint_table {
	struct endpoint *current;  /* by key, sorted by it after endpoints_match */
	struct endpoint *retiring; /* no longer a pod's, but still in the kernel */
	bool id_used[EGRESS_ENDPOINT_MAX];
	bool unsettled; /* there was a match of changes that the store still counts as such, or that were taken back since */
};

void endpoints_clear(struct endpoint_table *table);

/* What makes a pod one of this node. */
struct locality {
	struct cni_attachment_list attachments; /* what egress-cni tells */
	const char *node; /* pods with this spec.nodeName; NULL: none. Borrowed */
	bool annotations; /* those of pods count; not from the API, where whoever may make a pod may say anything */
};

/*
 * An endpoint that a predecessor left in the kernel, with the owner that its state names, or "" for each. 0, -EEXIST
 * (the id or the owner is there already), -ENOMEM.
 */
int endpoints_adopt(struct endpoint_table *table, const struct egress_endpoint *entry, const char *namespace,
		    const char *name, const char *uid);

/*
 * Brings the table in line with the local pods: those in the store of this node or with an annotation that names an
 * interface or a namespace, without host network, and not finished; and those that egress-cni told of, whatever the
 * store says. New ones get the lowest free id; those that are gone, or were replaced by another pod of their name,
 * retire. The store is tracked, and was not settled since the last match unless everything in it had been matched: where
 * it was settled since, only its changes are looked at. 0 or -ENOMEM.
 */
int endpoints_match(struct endpoint_table *table, struct store *store, const struct locality *locality);
/* The store was settled. */
void endpoints_settle(struct endpoint_table *table);

/* Is the pod one of this node, or of the name of one? */
bool endpoints_concern(const struct endpoint_table *table, const struct locality *locality, const struct object *pod);

/* Did the last match find that this node enforces the pod? */
bool endpoints_have(const struct endpoint_table *table, const struct object *pod);

/* Of an attachment as the last match saw it: has it a Pod that is not finished, or its endpoint an interface? */
bool endpoints_need(const struct endpoint_table *table, const struct store *store,
		    const struct cni_attachment *attachment);

/* Whose entry it is; NULL: nobody's any more. */
struct endpoint *endpoints_entered(const struct endpoint_table *table, const struct egress_endpoint *entry);

/* Who wants this interface; NULL: nobody. */
struct endpoint *endpoints_wanting(const struct endpoint_table *table, uint32_t ifindex);

/* Sets or clears (format NULL) why its policy is not in force. */
void endpoint_set_problem(struct endpoint *endpoint, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The ids of those that retire and have nothing in the kernel any more are free again, and they are forgotten. */
void endpoints_forget_retired(struct endpoint_table *table);

#endif
