/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Step 1: which pod is behind this interface, and which policy set is it under? */
#ifndef EGRESSD_BPF_ENDPOINT_H
#define EGRESSD_BPF_ENDPOINT_H

#include "lib/packet.h"
#include "lib/tables.h"

static __always_inline const struct egress_endpoint *endpoint_find(__u32 ifindex)
{
	__u32 bucket = ifindex & (EGRESS_ENDPOINT_BUCKETS - 1);
	const struct egress_endpoint *endpoint = bpf_map_lookup_elem(&endpoints, &bucket);

	if (likely(endpoint && endpoint->ifindex == ifindex))
		return endpoint;
	return bpf_map_lookup_elem(&endpoints_overflow, &ifindex);
}

static __always_inline const struct egress_control *control_read(void)
{
	return (const void *)tables_first();
}

/*
 * `active` is read once: whatever is published meanwhile, the packet is judged by this one bank. NULL where none was
 * written yet.
 */
static __always_inline const struct egress_bank *control_bank(const struct egress_control *control)
{
	__u32 active = *(const volatile __u32 *)&control->active;
	const struct egress_bank *bank;

	/* No choice between two pointers: the verifier would follow both through all of the program. */
	barrier_var(active);
	if (unlikely(active >= EGRESS_BANKS))
		return NULL;
	bank = &control->bank[active];
	barrier_var(bank);
	return likely(bank->generation) ? bank : NULL;
}

#endif
