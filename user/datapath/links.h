/* SPDX-License-Identifier: Apache-2.0 */
/* Links as rtnetlink lists them, and the ids that namespaces have for each other. Errors are negative errno. */
#ifndef EGRESSD_DATAPATH_LINKS_H
#define EGRESSD_DATAPATH_LINKS_H

#include <net/if.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "datapath/netlink.h"

#define MAC_LENGTH 6

/* What a link says about itself and its peer. */
struct link {
	uint32_t ifindex;
	uint32_t peer;     /* IFLA_LINK: the peer's ifindex in the peer's namespace */
	int32_t peer_nsid; /* IFLA_LINK_NETNSID: that namespace, by the id that this one has for it; -1: this very
			      namespace */
	bool is_veth;
	bool is_stacked; /* its packets are another link's: macvlan, ipvlan, VLAN */
	bool has_peer;
	char name[IF_NAMESIZE];
	uint8_t mac[MAC_LENGTH];
};

struct link_list {
	struct link *items;
	size_t count;
};
void links_clear(struct link_list *list);

/* The links of the socket's namespace, instead of what was in the list; ifindex 0: all of them. */
int links_list(struct mnl_socket *socket, uint32_t ifindex, struct link_list *list);

/*
 * Calls back for every link of the namespace that the socket's has this id for, until `deadline` (netlink_in()). A
 * namespace that one of them leads to gets an id then, the socket's own too.
 */
int links_visit_inside(struct mnl_socket *socket, int32_t nsid, int64_t deadline,
		       void (*visit)(const struct link *link, void *data), void *data);

/*
 * The id that the socket's namespace has for the one behind the descriptor; NETNSA_NSID_NOT_ASSIGNED: none, no link of
 * the one leads to the other.
 */
int links_namespace_id(struct mnl_socket *socket, int namespace_fd, int32_t *nsid);

#endif
