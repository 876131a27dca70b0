/* SPDX-License-Identifier: Apache-2.0 */
/* One rule and one address: whether it matches, and why, from the objects alone. */
#ifndef EGRESSD_POLICY_EXPLAIN_RULE_H
#define EGRESSD_POLICY_EXPLAIN_RULE_H

#include "policy/compile.h"
#include "policy/explain.h"
#include "policy/text_buffer.h"

bool rule_peer_matches(const struct policy *policy, const struct object *object, size_t rule,
		       const struct ip_address *destination);
bool rule_port_matches(const struct policy *policy, const struct object *object, size_t rule, const struct flow *flow);

/* Fills in everything of `out` for this rule, which is below rule_count. */
void explain_rule(const struct policy *policy, struct object *object, size_t rule, const struct flow *flow,
		  struct rule_explanation *out);

/* "80/TCP", or "protocol 47" for one without ports. */
void text_add_port(struct text_buffer *buffer, uint8_t protocol, uint16_t port);
/* True and the transport for a protocol that has ports. */
bool transport_of(uint8_t protocol, enum transport *out);

/* The pod that the address is, or NULL. */
const struct object *pod_at(const struct policy *policy, const struct ip_address *address);

#endif
