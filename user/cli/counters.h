/* SPDX-License-Identifier: Apache-2.0 */
/* Counters of one pod, summed up. */
#ifndef EGRESSD_CLI_COUNTERS_H
#define EGRESSD_CLI_COUNTERS_H

#include <stdint.h>

#include "datapath/datapath.h"

struct pod_counters {
	struct egress_counter allowed, dropped; /* dropped: all reasons together */
	struct egress_counter reasons[EGRESS_DROP_REASON_SLOTS];
};

/* 0, or -errno of datapath_counters(). */
int pod_counters_read(struct datapath *datapath, uint32_t endpoint_id, struct pod_counters *out);
/* The label of a reason; "reason 31" for one that this version does not know, in `text`. */
#define REASON_TEXT_SIZE 24
const char *drop_reason_text(uint32_t reason, char text[REASON_TEXT_SIZE]);

#endif
