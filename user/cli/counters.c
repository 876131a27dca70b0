/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/counters.h"

#include <stdio.h>

#include "base/cleanup.h"

static const char *const reason_labels[] = {
#define REASON_LABEL(name, label, text) [EGRESS_DROP_##name] = label,
	EGRESS_DROP_REASONS(REASON_LABEL)
#undef REASON_LABEL
};

int pod_counters_read(struct datapath *datapath, uint32_t endpoint_id, struct pod_counters *out)
{
	struct pod_counters counters = {0};
	int error = datapath_counters(datapath, endpoint_id, &counters.allowed, counters.reasons);
	size_t i;

	if (error)
		return error;
	for (i = 0; i < EGRESS_DROP_REASON_SLOTS; i++) {
		counters.dropped.packets += counters.reasons[i].packets;
		counters.dropped.bytes += counters.reasons[i].bytes;
	}
	*out = counters;
	return 0;
}

const char *drop_reason_text(uint32_t reason, char text[REASON_TEXT_SIZE])
{
	if (reason < ARRAY_SIZE(reason_labels))
		return reason_labels[reason];
	snprintf(text, REASON_TEXT_SIZE, "reason %u", reason);
	return text;
}
