/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Step 4: the source address is the pod's own. */
#ifndef EGRESSD_BPF_SOURCE_H
#define EGRESSD_BPF_SOURCE_H

#include "lib/endpoint.h"

static __always_inline _Bool source_is_of(struct __sk_buff *skb, const struct egress_endpoint *endpoint, __u8 family)
{
	__u32 source[4];

	if (endpoint->flags & (EGRESS_ENDPOINT_ROUTER | EGRESS_ENDPOINT_SPOOF_OFF))
		return 1;
	if (family == 4)
		return !bpf_skb_load_bytes(skb, IPV4_SOURCE_OFFSET, source, 4) && source[0] &&
		       source[0] == endpoint->ipv4;
	return !bpf_skb_load_bytes(skb, IPV6_SOURCE_OFFSET, source, sizeof(source)) && !address_unspecified(source) &&
	       address_equal(source, endpoint->ipv6);
}

/* Whether the packet that the pod sends comes from its own address. */
__noinline int source_own(struct __sk_buff *skb, __u8 family)
{
	const struct egress_endpoint *endpoint = endpoint_find(skb->ifindex);

	return endpoint && source_is_of(skb, endpoint, family);
}

/*
 * Whether a packet comes from another pod of this node under an address that is not that pod's: it asks for nothing on
 * behalf of whom it names. A pod that no policy isolates may send it, but no other pod may answer.
 */
__noinline int source_forged(struct __sk_buff *skb, __u8 family)
{
	const struct egress_endpoint *sender = skb->ingress_ifindex ? endpoint_find(skb->ingress_ifindex) : NULL;

	return sender && !source_is_of(skb, sender, family);
}

#endif
