/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A flow by all that it is of, as user space speaks of it, and the same in the words of the maps. As the pod's answers carry
 * it: local is the pod, remote the peer.
 */
#ifndef EGRESSD_DATAPATH_FLOW_TUPLE_H
#define EGRESSD_DATAPATH_FLOW_TUPLE_H

#include <stdint.h>
#include <string.h>

#include <egressd/contract.h>

/* Compared as memory: all of it is written. */
struct flow_tuple {
	uint32_t endpoint;    /* endpoint id; 0: not known yet */
	uint8_t protocol;     /* IPPROTO_* */
	uint8_t family;       /* 4 or 6 */
	uint16_t padding;
	uint16_t local_port;  /* network order; ICMP echo: the identifier */
	uint16_t remote_port; /* network order; ICMP echo: 0 */
	uint32_t local[4];    /* network order; IPv4 in [0] */
	uint32_t remote[4];   /* network order; IPv4 in [0] */
};
_Static_assert(sizeof(struct flow_tuple) == 44, "no holes");

/* Of an entry of either map. */
static inline struct flow_tuple flow_tuple_of(const struct egress_flow_key *key, const struct egress_flow *flow)
{
	struct flow_tuple tuple = {
		.endpoint = egress_flow_endpoint(key),
		.protocol = key->protocol,
		.family = key->owner & EGRESS_FLOW_OWNER_IPV6 ? 6 : 4,
		.local_port = key->local_port,
		.remote_port = key->remote_port,
	};

	if (tuple.family == 4) {
		tuple.remote[0] = key->remote[0];
		tuple.local[0] = key->remote[1];
	} else {
		memcpy(tuple.remote, key->remote, sizeof(tuple.remote));
		memcpy(tuple.local, flow->local, sizeof(tuple.local));
	}
	return tuple;
}

static inline struct egress_flow_name flow_tuple_name(const struct flow_tuple *tuple)
{
	struct egress_flow_name name = {
		.key.local_port = tuple->local_port,
		.key.remote_port = tuple->remote_port,
		.key.owner = (uint16_t)(tuple->endpoint | (tuple->family == 6 ? EGRESS_FLOW_OWNER_IPV6 : 0)),
		.key.protocol = tuple->protocol,
	};

	if (tuple->family == 4) {
		name.key.remote[0] = tuple->remote[0];
		name.key.remote[1] = tuple->local[0];
	} else {
		memcpy(name.key.remote, tuple->remote, sizeof(name.key.remote));
		memcpy(name.local, tuple->local, sizeof(name.local));
		name.key.local = ((const uint8_t *)tuple->local)[15];
	}
	return name;
}

#endif
