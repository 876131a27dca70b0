/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connections that others opened to a pod while nobody watched its interface, so that it may go on answering them. A
 * connection that the pod opened itself is never among them as far as the kernel can tell: what it tells is from before
 * the pod was kept in.
 */
#ifndef EGRESSD_DATAPATH_DISCOVERY_H
#define EGRESSD_DATAPATH_DISCOVERY_H

#include "datapath/connections.h"
#include "datapath/datapath.h"

struct discovery {
	struct connections found;
	/* Why one of the two places where they are looked for could not be read; 0 or -errno as in connections.h. */
	int sockets_error, conntrack_error;
};
void discovery_clear(struct discovery *discovery);

/*
 * Looks into the connection tracking of this namespace, and into the pod's TCP sockets (its network namespace is at the
 * other end of the endpoint's interface, and likely at `netns`, which may be NULL): these count where nothing is tracked;
 * else they only show where tracking took the wrong side for the one that began. 0 or -ENOMEM.
 */
int discovery_find(const struct egress_endpoint *pod, const char *netns, struct discovery *out);

/*
 * Has egress_to_pod, whose programs and endpoint are in force, see the first packet of each, so that they are entered as
 * all others are: within the endpoint's share, and none that the pod could open itself under the policy in force.
 * *entered counts those that are in the flow table then. 0, or -errno and datapath_error().
 */
int discovery_enter(struct datapath *datapath, const struct egress_endpoint *pod, const struct discovery *discovery,
		    size_t *entered);

#endif
