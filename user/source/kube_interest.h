/* SPDX-License-Identifier: Apache-2.0 */
/* Which objects a node has to know to enforce policy for its own pods. */
#ifndef EGRESSD_SOURCE_KUBE_INTEREST_H
#define EGRESSD_SOURCE_KUBE_INTEREST_H

#include "model/store.h"

/*
 * Do pods of other nodes matter? Only where a policy selects a pod of this node and has a peer that selects pods or
 * namespaces, or a port with a name, which means another number on each pod. Also true where memory is short.
 */
bool kube_interest_in_remote_pods(struct store *store, const char *node_name);

#endif
