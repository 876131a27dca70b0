/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Interfaces of this network namespace, and which of them leads to a pod (rtnetlink through libmnl). Failures set the
 * sentence of datapath_error().
 */
#ifndef EGRESSD_DATAPATH_INTERFACE_H
#define EGRESSD_DATAPATH_INTERFACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* 0 or -ENODEV. */
int interface_by_name(const char *name, uint32_t *ifindex);

/*
 * The host-side peer of a veth inside the network namespace at `path`: the IFLA_LINK of a veth in there whose
 * link-netnsid is this namespace. inside: the veth's name in there; NULL: the only one that leads here. 0; -ENOENT: the
 * path is not there; -EINVAL: not a network namespace; -ENODEV: no (such) veth in it leads here (yet); -E2BIG: more than
 * one does. name (IF_NAMESIZE bytes) and mac (of the pod's side) may be NULL.
 */
int interface_of_netns(const char *path, const char *inside, uint32_t *ifindex, char *name, uint8_t mac[6]);

/*
 * A link in the namespace that this one has the id `nsid` for (interface_watch_namespace()) that stands on a link of yet
 * another one (macvlan, ipvlan, VLAN): what it sends comes by no interface that leads into that namespace. name:
 * IF_NAMESIZE bytes; "": there is none. 0 or -errno; -ETIMEDOUT: it has so many links that it took too long.
 */
int interface_stacked_inside(int32_t nsid, char *name);

/*
 * All addresses of all interfaces here, loopback too; the caller frees *out. Each 17 bytes: family (4/6), then the
 * address.
 */
struct interface_address {
	uint8_t family;
	uint8_t bytes[16];
};
int interface_addresses(struct interface_address **out, size_t *count);

/*
 * Watches links and addresses come and go (RTMGRP_LINK, address groups). The descriptor becomes readable; dispatch
 * reads all that is there and calls back. APPEARED comes once for a link that was not there when the watch began, and
 * again when it gets another name; VANISHED with the last name known;
 * FILTERS_CHANGED when a qdisc went or a filter came or went; PEER_MOVED when it leads into another network namespace
 * than before. NAMESPACE_GONE is of no link: in place of the ifindex stands the id that a network namespace had here, which
 * the next one may get. -ENOBUFS from dispatch: notices were lost, list everything anew.
 */
enum interface_event {
	INTERFACE_APPEARED,
	INTERFACE_VANISHED,
	INTERFACE_ADDRESS_CHANGED,
	INTERFACE_FILTERS_CHANGED,
	INTERFACE_PEER_MOVED,
	INTERFACE_NAMESPACE_GONE,
};
typedef void (*interface_visitor)(enum interface_event event, uint32_t ifindex, const char *name, void *data);
struct interface_watch;
int interface_watch_new(struct interface_watch **out);
void interface_watch_free(struct interface_watch *watch);
int interface_watch_fd(const struct interface_watch *watch);
/* Every link that is known to be there now, in no order. */
void interface_watch_each(const struct interface_watch *watch,
			  void (*visit)(uint32_t ifindex, const char *name, void *data), void *data);
/*
 * Into which network namespace it leads (that of a veth's peer, of the link beneath a macvlan, ...), by the id that this
 * one has for it: links with the same id lead into the same one. -1: into none but this, or it is not known.
 */
int32_t interface_watch_namespace(const struct interface_watch *watch, uint32_t ifindex);
int interface_watch_dispatch(struct interface_watch *watch, interface_visitor visit, void *data);

#endif
