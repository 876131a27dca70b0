/* SPDX-License-Identifier: Apache-2.0 */
/* How long connections that were opened to a pod may idle before the pod may no longer answer. */
#ifndef EGRESSD_AGENT_FLOW_TIMEOUTS_H
#define EGRESSD_AGENT_FLOW_TIMEOUTS_H

#include <stdint.h>

#include <egressd/tables.h>

/*
 * As long as the kernel's own connection tracking keeps them (net.netfilter.nf_conntrack_*_timeout*), so that none ends
 * here sooner than there.
 */
#define FLOW_TIMEOUTS_DEFAULT "tcp-new=120,tcp-established=432000,tcp-closing=120,udp-new=30,udp=180"

/* More than a month is a mistake, and jiffies in 32 bits have room for it. */
#define FLOW_TIMEOUT_SECONDS_MAX (31u * 24 * 3600)

/* In seconds. */
struct flow_timeouts {
	uint32_t tcp_new, tcp_established, tcp_closing;
	uint32_t udp_new, udp; /* UDP, SCTP and ICMP echo; udp_new until the peer went on */
};

/* "NAME=SECONDS,..."; what is not named stays as it is. 0, or -EINVAL and *out is left alone. */
int flow_timeouts_parse(const char *text, struct flow_timeouts *out);
/* Writes them, in jiffies of `hz` a second. */
void flow_timeouts_apply(const struct flow_timeouts *timeouts, uint32_t hz, struct egress_control *control);

#endif
