/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writes compiled policies into table memory (layout: <egressd/tables.h>). The memory belongs to the caller: the
 * mmapped map "tables" in the agent, the heap in tests and offline tools. This code keeps what it knows about the
 * memory (free extents, shadow of the trie) on its own heap.
 */
#ifndef EGRESSD_POLICY_TABLES_H
#define EGRESSD_POLICY_TABLES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <egressd/contract.h>
#include <egressd/tables.h>

#include "policy/policy.h"

struct tables;

/* Of each bank: set words, port classes, the first level of the IPv4 trie. */
#define TABLES_FIXED_WORDS (EGRESS_ENDPOINT_MAX + EGRESS_PORT_PROTOCOLS * (65536u / 2) + 65536u)

/* Words needed to hold `policy` in one bank of fresh memory, control structure and room for pod changes included. */
size_t tables_words(const struct policy *policy);

/* The same without room for the policy to grow: less than this does not hold it. */
size_t tables_least_words(const struct policy *policy);

/*
 * Over zeroed memory, 64-byte aligned. Writes the control structure (no bank in force). 0, -ENOMEM, -EINVAL (too
 * small).
 */
int tables_new(uint32_t *words, size_t word_count, struct tables **out);
void tables_free(struct tables *tables); /* not the memory */

/*
 * Writes `policy` as generation `generation` into the bank that is not in force; what that bank held before is
 * overwritten, so a grace period must have passed since it was in force. Packets are not affected. The policy must live
 * until the bank is written again or the tables are freed. 0; -ENOSPC: does not fit (the bank is left empty; the caller
 * makes larger memory); -ENOMEM.
 */
int tables_write(struct tables *tables, const struct policy *policy, uint32_t generation);

/* Whether a policy that is as large as the one in force would fit beside it. */
bool tables_hold_another(const struct tables *tables);

/*
 * Endpoint `id` belongs to this pod from now on: the set word in the written bank(s). name NULL: EGRESS_SET_PENDING. A
 * pod that a bank's policy does not know is pending in that bank. Call after tables_write, before tables_publish, for
 * every endpoint.
 */
void tables_assign(struct tables *tables, uint32_t id, const char *namespace, const char *name);
void tables_unassign(struct tables *tables, uint32_t id); /* EGRESS_SET_PENDING in both banks */

/* The bank written last is in force for every packet from now on. */
void tables_publish(struct tables *tables);

/*
 * Empties the bank that is not in force; a grace period must have passed since it was. Its policy need not live any
 * longer. Nothing happens to a bank that waits to be published.
 */
void tables_forget(struct tables *tables);

/*
 * How many times tables_count_change() was called since the bank in force was published: it stands in the bank
 * (`changes`), for whoever adopts it. A count before the changes that it is for, so that none is in force without.
 */
void tables_count_change(struct tables *tables);

/*
 * A pod came (old NULL), went (new NULL) or changed, and the bank in force is to follow in place, without a new
 * generation: 0 done; -EAGAIN: needs a new compile (labels unknown to it, a local pod's set changes, ...), nothing was
 * changed. Or a large hash node has no room for one of the addresses: those before it have their new class already.
 */
int tables_pod_changed(struct tables *tables, struct object *old, struct object *new);

/* Words used now, and by the bank in force. */
size_t tables_used(const struct tables *tables);

/*
 * The verdict of a packet, read from the words as the kernel does (walk.h). set: a set word as in bank.sets. The port
 * is in host order and ignored where the protocol has none. Works on any table memory, also that of a dead agent.
 */
struct table_verdict {
	bool allow;
	uint32_t generation;
	uint32_t set;   /* EGRESS_SET_* or an address */
	uint32_t class;
	uint32_t port_class;
	uint32_t cell;
};
struct table_view {
	const uint32_t *words;
	size_t word_count;
};
/* 0; -EINVAL where the tables do not hold together. */
int tables_verdict(const struct table_view *view, uint32_t endpoint_id, const struct ip_address *destination,
		   uint8_t protocol, uint16_t port, struct table_verdict *out);
/*
 * The same for a pod by name instead of an endpoint id (offline): the set that the policy in force gives it; what the
 * policy does not know is pending, and denied. The pod's own addresses are allowed (EGRESS_RULE_SELF), which the
 * program sees from its endpoint entry and tables_verdict cannot.
 */
int tables_verdict_pod(const struct tables *tables, const char *namespace, const char *name,
		       const struct ip_address *destination, uint8_t protocol, uint16_t port,
		       struct table_verdict *out);

#endif
