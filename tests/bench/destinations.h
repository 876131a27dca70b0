/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The walk over destinations, shared by the measured programs and user space. */
#ifndef EGRESSD_BENCH_DESTINATIONS_H
#define EGRESSD_BENCH_DESTINATIONS_H

#include <linux/types.h>

/* A power of two at least as large as the longest walk. */
#define BENCH_DESTINATIONS (1u << 17)

struct bench_destination {
	__u32 address[4]; /* network order; IPv4 in [0] */
};

/* Set by user space before a run; the walk starts over at `length`. */
struct bench_walk {
	__u32 next;
	__u32 length;
	__u32 family;
	__u32 swap; /* write the address as the packet's source: packets towards the pod */
	__u32 open; /* every packet has the next source port: each is the first of a connection */
	__u32 port; /* the last source port, while `open` */
};

#endif
