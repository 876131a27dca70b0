/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What egress-cni knows of a pod's interface, left as one file for each in <state>/attachments/: by it the agent finds
 * the interface, also after a restart, and also when it was not there while the pod was made.
 *
 *   {"version":1,"network":"…","container":"…","ifname":"eth0","namespace":"a","pod":"b","uid":"…",
 *    "netns":"/run/netns/…","interface":"veth1","ifindex":7,"mac":"02:…","addresses":["10.1.2.3"],
 *    "created":1700000000000000000,"deleted":false}
 *
 * A file is written and replaced atomically and readable to root only. CNI's DEL comes before the interface goes: the
 * attachment is marked then, so that the filter stays as long as the interface, and removed when that is gone. Where DEL
 * never came, the agent removes it when nothing is left that it says anything about.
 */
#ifndef EGRESSD_NODE_CNI_ATTACHMENT_H
#define EGRESSD_NODE_CNI_ATTACHMENT_H

#include <net/if.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model/address.h"
#include "model/object.h"

#define CNI_ATTACHMENTS_DIRECTORY "attachments"

/* Texts belong to the attachment. */
struct cni_attachment {
	char *network;                /* name of the network configuration */
	char *container;              /* container ID, as CNI gives it */
	char *ifname;                 /* inside the pod */
	char *namespace, *pod, *uid;  /* uid: "" where the runtime does not tell it */
	char *netns;                  /* path, as the runtime sees it */
	char interface[IF_NAMESIZE];  /* the host's side */
	uint32_t ifindex;             /* of that */
	uint8_t mac[6];               /* of the pod's side */
	struct ip_address *addresses; /* of the pod; at most one a family */
	size_t address_count;
	uint64_t created;             /* nanoseconds since 1970 */
	bool deleted;                 /* the pod is being torn down */
};

void cni_attachment_clear(struct cni_attachment *attachment);

/* May the texts be parts of a file name? CNI allows letters, digits, '_', '.' and '-' in a container ID. */
bool cni_is_container_id(const char *text);
bool cni_is_ifname(const char *text);

/* Writes it below `state` (made if missing). 0 or -errno. */
int cni_attachment_write(const char *state, const struct cni_attachment *attachment);
/* 0; -ENOENT; -EINVAL: the file is damaged; -errno. The caller clears *out. */
int cni_attachment_read(const char *state, const char *container, const char *ifname, struct cni_attachment *out);
/* 0 also where it is not there. */
int cni_attachment_remove(const char *state, const char *container, const char *ifname);

struct cni_attachment_list {
	struct cni_attachment *items; /* sorted by `created` */
	size_t count;
	size_t damaged; /* files that could not be read */
	char *damage;   /* what is wrong with one of them; NULL: none is */
};

/* All below `state`, an empty list where there is no directory. 0, -ENOMEM, -errno. */
int cni_attachment_list_read(const char *state, struct cni_attachment_list *out);
void cni_attachment_list_clear(struct cni_attachment_list *list);

/* Is the interface that it names still there? */
bool cni_attachment_interface_exists(const struct cni_attachment *attachment);
/*
 * Are both its interface, by number and name, and its network namespace gone? The latter is also where this process does
 * not see its path; and an interface that was renamed counts as gone.
 */
bool cni_attachment_is_over(const struct cni_attachment *attachment);

/* Removes those that are marked and whose interface is gone. 0 or the first -errno. */
int cni_attachments_prune(const char *state);
/* Removes all of them, their directory, and the agent's socket (cni_protocol.h), for uninstalling. 0 or -errno. */
int cni_attachments_remove(const char *state);

#endif
