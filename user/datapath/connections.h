/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connections that others opened to a pod before its interface was watched, as the kernel knows them. Errors are negative
 * errno and set no sentence.
 */
#ifndef EGRESSD_DATAPATH_CONNECTIONS_H
#define EGRESSD_DATAPATH_CONNECTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <egressd/contract.h>

#include "datapath/flow_tuple.h"

struct connection {
	struct flow_tuple tuple;      /* as the pod's packets carry it; endpoint 0 */
	enum egress_flow_state state; /* how far it has come; never CLOSING */
};

/* Many times what an endpoint's share of the flow table holds: no pod shall make the list longer. */
#define CONNECTIONS_MAX 65536

struct connections {
	struct connection *items;
	size_t count, capacity;
};
void connections_clear(struct connections *list);
/* 0, also where the list is full and it is left out; -ENOMEM. */
int connections_add(struct connections *list, const struct connection *connection);
/* By tuple, for connections_find(). */
void connections_sort(struct connections *list);
const struct connection *connections_find(const struct connections *sorted, const struct flow_tuple *tuple);

/* Whether the address (network order; IPv4 in [0]) is one of the pod's. */
bool connections_is_own(const struct egress_endpoint *pod, uint8_t family, const uint32_t address[4]);

/* ---------------------------------------------------------------- sockets.c */

/* The TCP sockets of a network namespace. */
struct tcp_sockets {
	struct connections connected; /* with an address of the pod's; sorted */
	uint8_t listening[65536 / 8]; /* a bit for each local port */
};
void tcp_sockets_clear(struct tcp_sockets *sockets);
/* Whether somebody listens at the port (network order). */
bool tcp_sockets_listen(const struct tcp_sockets *sockets, uint16_t port);

/*
 * A pod whose sockets are asked for: those of the namespace that the peer of its veth is in. error, when all were looked
 * for: 0; -ENOENT: no process is in that namespace; -EPERM: it may not be entered; -ETIMEDOUT: it has more than can be
 * told in a second; ...
 */
struct socket_request {
	const struct egress_endpoint *pod;
	const char *netns; /* where the namespace is likely to be found, or NULL */
	int error;
	bool found;   /* private */
	int32_t nsid; /* private: the id that this namespace has for the pod's; -1: none */
};

/*
 * One look at the node's processes for all of them. Calls back for each whose sockets were read in whole; they are there
 * until it returns 0 or -errno, which is the request's error then.
 */
typedef int (*socket_visitor)(struct socket_request *request, const struct tcp_sockets *sockets, void *data);
void tcp_sockets_read(struct socket_request *requests, size_t count, socket_visitor visit, void *data);

/* ---------------------------------------------------------------- conntrack.c */

/* A pod, and the connections that others opened to an address of it; the caller clears them. */
struct conntrack_request {
	const struct egress_endpoint *pod;
	struct connections tracked;
	bool known; /* something that the pod sent or was sent is tracked */
};

/*
 * As this namespace tracks them, for all pods at once: its table is gone through once for each family. -ENOENT: this
 * namespace tracks no connections. Only where it is 0 the lists are complete.
 */
int conntrack_read(struct conntrack_request *requests, size_t count);

#endif
