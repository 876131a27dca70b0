/* SPDX-License-Identifier: Apache-2.0 */
/* The text format of metrics: what is escaped, and the shape of families and samples. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "report/metrics.h"

static char *text;
static size_t length;

static FILE *begin(void)
{
	FILE *out = open_memstream(&text, &length);

	assert_non_null(out);
	return out;
}

static void expect(FILE *out, const char *expected)
{
	assert_int_equal(fclose(out), 0);
	assert_string_equal(text, expected);
	free(text);
}

static void family_has_help_and_type(void **state)
{
	FILE *out = begin();

	(void)state;
	metrics_family(out, "egressd_things_total", METRIC_COUNTER, "How many.");
	metrics_family(out, "egressd_thing", METRIC_GAUGE, "Which.");
	expect(out, "# HELP egressd_things_total How many.\n# TYPE egressd_things_total counter\n"
		    "# HELP egressd_thing Which.\n# TYPE egressd_thing gauge\n");
}

static void help_escapes_backslash_and_line_feed_only(void **state)
{
	FILE *out = begin();

	(void)state;
	metrics_family(out, "a", METRIC_GAUGE, "one\\two\n\"three\"");
	expect(out, "# HELP a one\\\\two\\n\"three\"\n# TYPE a gauge\n");
}

static void label_values_are_escaped(void **state)
{
	const struct metric_label labels[] = {{"path", "C:\\dir\n\"x\""}, {"plain", "v"}, {NULL, NULL}};
	FILE *out = begin();

	(void)state;
	metrics_sample(out, "a", labels, 7);
	expect(out, "a{path=\"C:\\\\dir\\n\\\"x\\\"\",plain=\"v\"} 7\n");
}

static void samples_without_labels_have_no_braces(void **state)
{
	const struct metric_label none[] = {{NULL, NULL}};
	FILE *out = begin();

	(void)state;
	metrics_sample(out, "a", NULL, 0);
	metrics_sample(out, "b", none, 1);
	expect(out, "a 0\nb 1\n");
}

static void values_have_all_64_bits(void **state)
{
	FILE *out = begin();

	(void)state;
	metrics_single(out, "a", METRIC_COUNTER, "h", UINT64_MAX);
	expect(out, "# HELP a h\n# TYPE a counter\na 18446744073709551615\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(family_has_help_and_type),
		cmocka_unit_test(help_escapes_backslash_and_line_feed_only),
		cmocka_unit_test(label_values_are_escaped),
		cmocka_unit_test(samples_without_labels_have_no_braces),
		cmocka_unit_test(values_have_all_64_bits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
