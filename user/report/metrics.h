/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writes metrics in the Prometheus text format, version 0.0.4. A family is begun once and followed by all of its
 * samples, as the format demands.
 */
#ifndef EGRESSD_REPORT_METRICS_H
#define EGRESSD_REPORT_METRICS_H

#include <stdint.h>
#include <stdio.h>

#define METRICS_CONTENT_TYPE "text/plain; version=0.0.4; charset=utf-8"

enum metric_type { METRIC_COUNTER, METRIC_GAUGE };

struct metric_label {
	const char *name;
	const char *value; /* any text; escaped where it is written */
};

/* The # HELP and # TYPE lines. Errors are those of the stream: check it at the end. */
void metrics_family(FILE *out, const char *name, enum metric_type type, const char *help);
/* `labels` is ended by one whose name is NULL, or is NULL itself. */
void metrics_sample(FILE *out, const char *name, const struct metric_label *labels, uint64_t value);
/* A family with a single sample without labels. */
void metrics_single(FILE *out, const char *name, enum metric_type type, const char *help, uint64_t value);

#endif
