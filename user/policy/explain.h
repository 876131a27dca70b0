/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Why a flow gets its verdict, in words, from the objects: which policies isolate the pod, and for each why none of its
 * rules matches, or which does. The verdict itself comes from the tables (policy/tables.h); a caller compares the two.
 */
#ifndef EGRESSD_POLICY_EXPLAIN_H
#define EGRESSD_POLICY_EXPLAIN_H

#include "policy/policy.h"

struct flow {
	struct ip_address destination;
	uint8_t protocol; /* IPPROTO_* */
	uint16_t port;    /* host order; meaningless for protocols without ports */
};

struct rule_explanation {
	struct object *policy;  /* borrowed */
	size_t rule;            /* index in spec.egress; SIZE_MAX: the policy has no rule at all */
	struct place place;     /* of the rule, or of the policy; borrowed */
	bool peer_matches, port_matches;
	char reason[256];       /* "no peer matches 10.0.0.9", "port 80/TCP is not among 443/TCP", ... */
};

struct explanation {
	bool isolated;
	bool allow;
	/* What the address is: "pod shop/web-1 (10.0.0.9)", "service shop/web (10.96.0.7)", ... */
	char destination[512];  /* room for a namespace and a name of 63 + 253 characters, as below */
	char reason[512];       /* one line that sums up the verdict */
	struct rule_explanation *rules; /* every rule of every isolating policy, in order */
	size_t rule_count;
	/* A service: one line a serving backend, what it is and whether it is allowed. */
	char **backends;
	size_t backend_count;
};

/* 0, -ENOENT (not a local pod), -ENOMEM. */
int policy_explain(const struct policy *policy, const char *namespace, const char *name, const struct flow *flow,
		   struct explanation *out);
void explanation_clear(struct explanation *explanation);

#endif
