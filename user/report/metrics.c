/* SPDX-License-Identifier: Apache-2.0 */
#include "report/metrics.h"

#include <inttypes.h>
#include <stdbool.h>

/* Label values escape \, " and the line feed; help texts only \ and the line feed. */
static void write_escaped(FILE *out, const char *text, bool quotes)
{
	for (; *text; text++) {
		if (*text == '\\')
			fputs("\\\\", out);
		else if (*text == '\n')
			fputs("\\n", out);
		else if (*text == '"' && quotes)
			fputs("\\\"", out);
		else
			fputc(*text, out);
	}
}

void metrics_family(FILE *out, const char *name, enum metric_type type, const char *help)
{
	fprintf(out, "# HELP %s ", name);
	write_escaped(out, help, false);
	fprintf(out, "\n# TYPE %s %s\n", name, type == METRIC_COUNTER ? "counter" : "gauge");
}

void metrics_sample(FILE *out, const char *name, const struct metric_label *labels, uint64_t value)
{
	const char *separator = "{";

	fputs(name, out);
	for (; labels && labels->name; labels++) {
		fprintf(out, "%s%s=\"", separator, labels->name);
		write_escaped(out, labels->value, true);
		fputc('"', out);
		separator = ",";
	}
	if (separator[0] == ',')
		fputc('}', out);
	fprintf(out, " %" PRIu64 "\n", value);
}

void metrics_single(FILE *out, const char *name, enum metric_type type, const char *help, uint64_t value)
{
	metrics_family(out, name, type, help);
	metrics_sample(out, name, NULL, value);
}
