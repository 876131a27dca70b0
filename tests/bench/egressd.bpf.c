// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The programs that are measured: egressd's own, behind what every measured program does first. */
#include "prepare.h"

#include "../../bpf/egressd.bpf.c"

SEC("tc")
int bench_from_pod(struct __sk_buff *skb)
{
	return bench_prepare(skb) ? TC_ACT_SHOT : from_pod(skb);
}

SEC("tc")
int bench_to_pod(struct __sk_buff *skb)
{
	return bench_prepare(skb) ? TC_ACT_SHOT : to_pod(skb);
}
