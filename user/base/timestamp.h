/* SPDX-License-Identifier: Apache-2.0 */
/* Points in time as Kubernetes writes them: RFC 3339. */
#ifndef EGRESSD_BASE_TIMESTAMP_H
#define EGRESSD_BASE_TIMESTAMP_H

#include <stdint.h>

#define TIMESTAMP_TEXT_SIZE 32

/*
 * "2024-05-01T12:00:00Z", with an optional fraction of a second (dropped) and Z or a numeric offset, to seconds since
 * 1970. 0 or -EINVAL; *out is untouched on failure.
 */
int timestamp_parse(const char *text, int64_t *out);
/* In UTC. "" where the year does not fit four digits. Returns text. */
const char *timestamp_format(int64_t seconds, char text[TIMESTAMP_TEXT_SIZE]);

#endif
