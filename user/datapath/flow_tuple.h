/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A flow by all that it is of, whatever of that its key in the map "flows" holds and what its value. As the pod's answers
 * carry it: local is the pod, remote the peer.
 */
#ifndef EGRESSD_DATAPATH_FLOW_TUPLE_H
#define EGRESSD_DATAPATH_FLOW_TUPLE_H

#include <stdint.h>

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

/* Of the flow in the map. */
static inline struct flow_tuple flow_tuple_of(const struct egress_flow_key *key)
{
	return (struct flow_tuple){
		.endpoint = key->endpoint,
		.protocol = key->protocol,
		.family = key->family,
		.local_port = key->local_port,
		.remote_port = key->remote_port,
		.local = {key->local[0], key->local[1], key->local[2], key->local[3]},
		.remote = {key->remote[0], key->remote[1], key->remote[2], key->remote[3]},
	};
}

/* Its key in the map. */
static inline struct egress_flow_key flow_tuple_key(const struct flow_tuple *tuple)
{
	return (struct egress_flow_key){
		.endpoint = tuple->endpoint,
		.protocol = tuple->protocol,
		.family = tuple->family,
		.local_port = tuple->local_port,
		.remote_port = tuple->remote_port,
		.local = {tuple->local[0], tuple->local[1], tuple->local[2], tuple->local[3]},
		.remote = {tuple->remote[0], tuple->remote[1], tuple->remote[2], tuple->remote[3]},
	};
}

#endif
