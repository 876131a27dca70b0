/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Step 4: the source address is the pod's own. */
#ifndef EGRESSD_BPF_SOURCE_H
#define EGRESSD_BPF_SOURCE_H

#include "lib/maps.h"
#include "lib/packet.h"

static __always_inline _Bool source_own(const struct egress_endpoint *endpoint, const struct packet *packet)
{
	if (endpoint->flags & (EGRESS_ENDPOINT_ROUTER | EGRESS_ENDPOINT_SPOOF_OFF))
		return 1;
	if (packet->family == 4)
		return packet->source[0] == endpoint->ipv4 && endpoint->ipv4;
	return address_equal(packet->source, endpoint->ipv6) && !address_unspecified(packet->source);
}

#endif
