/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tables in force and the way from one generation to the next: prepare, assign every endpoint, publish, settle.
 * Until publish, packets see nothing of it.
 */
#ifndef EGRESSD_AGENT_GENERATION_H
#define EGRESSD_AGENT_GENERATION_H

#include <stdbool.h>
#include <stdint.h>

#include "agent/changes.h"
#include "agent/flow_timeouts.h"
#include "datapath/datapath.h"
#include "policy/policy.h"
#include "policy/tables.h"

struct generation {
	const struct flow_timeouts *flow_timeouts; /* borrowed */
	uint32_t number;        /* of the one in force; 0: none. Goes on where a predecessor stopped */
	uint32_t changes;       /* that were followed in place since, as the tables count them */
	uint32_t *memory;       /* that the programs read */
	size_t word_count;      /* of it */
	struct tables *tables;
	struct policy *policy;  /* what it was compiled to */
	struct policy *before;  /* of the bank that was in force before, until that is settled */

	/* Between prepare and publish. */
	struct policy *next_policy;
	struct tables *next_tables; /* NULL: the other bank of `tables` */
	uint32_t *next_memory;
	size_t next_word_count;
	size_t foreseen; /* words of memory that generation_foresee made; 0: none */

	const char *failure; /* the sentence for what failed last; static until the next failure */
	bool grace_owed; /* packets may still be judged by what was in force before */
};

void generation_clear(struct generation *generation);

/*
 * A policy is about to be compiled. Where one as large as that in force would need new memory, it is made now, and its
 * programs are loaded beside the compiler. forget: the compiler gave none.
 */
void generation_foresee(struct generation *generation, struct datapath *datapath);
void generation_forget(struct generation *generation, struct datapath *datapath);
/*
 * Writes the policy (which it takes, also on failure) where no packet sees it. 0, or -errno and generation->failure.
 */
int generation_prepare(struct generation *generation, struct datapath *datapath, struct policy *policy);
/* An endpoint's pod, in what was prepared or else in what is in force. NULL, NULL: nobody's. */
void generation_assign(struct generation *generation, uint32_t id, const char *namespace, const char *name);
/* On failure (0, or -errno and generation->failure) what was in force stays so, and what was prepared is gone. */
int generation_publish(struct generation *generation, struct datapath *datapath);
/* Waits until no packet is judged by anything that was in force before. 0, or -errno and generation->failure. */
int generation_settle(struct generation *generation, struct datapath *datapath);

/*
 * Follows changes of pods without a new generation. -EAGAIN: it cannot; some may have been followed, so compile. No grace
 * period is owed for it: words that a change lets go stay as they are until their bank is emptied, and a packet that reads
 * them is judged by what was in force when it came.
 */
int generation_follow(struct generation *generation, const struct changes *changes);

/* The set word of an endpoint in the bank in force: EGRESS_SET_* or an address. EGRESS_SET_PENDING where nothing is. */
uint32_t generation_set(const struct generation *generation, uint32_t id);

#endif
