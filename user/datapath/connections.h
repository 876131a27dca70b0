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

struct connection {
	struct egress_flow_key key;   /* as the pod's packets carry it; endpoint 0 */
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
/* By key, for connections_find(). */
void connections_sort(struct connections *list);
const struct connection *connections_find(const struct connections *sorted, const struct egress_flow_key *key);

/* Whether the address (network order; IPv4 in [0]) is one of the pod's. */
bool connections_is_own(const struct egress_endpoint *pod, uint8_t family, const uint32_t address[4]);

/* ---------------------------------------------------------------- sockets.c */

/* The TCP sockets of a network namespace. */
struct tcp_sockets {
	struct connections connected; /* with an address of the pod's; sorted */
	bool listening[65536];        /* by local port, host order */
};

/*
 * Of the namespace that the peer of the veth is in; `netns`: where it is likely to be found, or NULL. -ENOENT: no process
 * is in that namespace; -EPERM: it may not be entered. Only what is read in whole is in *out, which the caller clears.
 */
int tcp_sockets_read(const struct egress_endpoint *pod, const char *netns, struct tcp_sockets *out);
void tcp_sockets_clear(struct tcp_sockets *sockets);

/* ---------------------------------------------------------------- conntrack.c */

/*
 * Connections that others opened to an address of the pod, as this namespace tracks them; instead of what was in the
 * list. -ENOENT: this namespace tracks no connections.
 */
int conntrack_read(const struct egress_endpoint *pod, struct connections *list);

#endif
