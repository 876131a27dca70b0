/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only OR BSD-2-Clause */
/* How long a flow may idle: one text for the kernel's programs and for user space. */
#ifndef EGRESSD_FLOW_TIMEOUT_H
#define EGRESSD_FLOW_TIMEOUT_H

#include <egressd/contract.h>
#include <egressd/tables.h>

/* In jiffies. protocol: IPPROTO_*. */
static inline __u32 egress_flow_timeout(const struct egress_flow *flow, __u8 protocol,
					const struct egress_control *control)
{
	_Bool unseen = flow->flags & EGRESS_FLOW_UNSEEN;

	if (protocol != 6) /* IPPROTO_TCP */
		return flow->state == EGRESS_FLOW_ESTABLISHED || unseen ? control->timeout_udp : control->timeout_udp_new;
	if (flow->state >= EGRESS_FLOW_CLOSING)
		return control->timeout_closing;
	/* The ACK that ends a handshake is not looked at, and the peer may say nothing for long after it. */
	return flow->state != EGRESS_FLOW_NEW || unseen ? control->timeout_established : control->timeout_new;
}

#endif
