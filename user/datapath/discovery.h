/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connections that others opened to pods while nobody watched their interfaces, so that they may go on answering them. A
 * connection that a pod opened itself is never among them as far as the kernel can tell: what it tells is from before
 * the pod was kept in.
 */
#ifndef EGRESSD_DATAPATH_DISCOVERY_H
#define EGRESSD_DATAPATH_DISCOVERY_H

#include "datapath/connections.h"
#include "datapath/datapath.h"

struct discovery {
	struct egress_endpoint pod; /* its network namespace is at the other end of this interface */
	char *netns;                /* and likely here; or NULL */
	struct connections found;
	int error;         /* 0, or -ENOMEM: nothing could be looked up */
	int sockets_error; /* why its sockets could not be read, as in connections.h; 0 also where they do not matter */
};

struct discoveries {
	size_t count;
	int conntrack_error; /* why what the node tracks could not be read; -ENOENT: it tracks nothing */
	struct discovery items[];
};

/* With room for so many pods; NULL without memory. add: 0 or -ENOMEM. */
struct discoveries *discoveries_new(size_t count);
int discoveries_add(struct discoveries *list, const struct egress_endpoint *pod, const char *netns);
void discoveries_free(struct discoveries *list);

/*
 * Looks into the connection tracking of this namespace, and into the pods' TCP sockets: these count where nothing is
 * tracked; else they only show where tracking took the wrong side for the one that began. Each is gone through once for
 * all pods, and so are the node's processes. What fails for one pod is that pod's error.
 */
void discovery_find(struct discoveries *list);

/*
 * The same beside the caller, who has no part in the list meanwhile. start takes the list, or returns -errno. fd: to be
 * read from when it is over, never sooner. wait: false where it is not over in so many ms. end waits for it and returns
 * the list.
 */
struct discovery_search;
int discovery_start(struct discoveries *list, struct discovery_search **out);
int discovery_fd(const struct discovery_search *search);
bool discovery_wait(const struct discovery_search *search, int milliseconds);
struct discoveries *discovery_end(struct discovery_search *search);

/*
 * Has egress_to_pod, whose programs and endpoint are in force, see the first packet of each, so that they are entered as
 * all others are: within the endpoint's share, and none that the pod could open itself under the policy in force.
 * *entered counts those that are in the flow table then. 0, or -errno and datapath_error().
 */
int discovery_enter(struct datapath *datapath, const struct discovery *discovery, size_t *entered);

#endif
