/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "cli/verify.h"

/* A description ends at '#' in TAP, and at the end of its line. */
static void print_description(const char *text)
{
	for (; *text; text++) {
		if (*text == '#' || *text == '\\')
			putchar('\\');
		putchar(*text == '\n' ? ' ' : *text);
	}
}

static void print_diagnostics(const char *lines)
{
	while (*lines) {
		size_t length = strcspn(lines, "\n");

		printf("# %.*s\n", (int)length, lines);
		lines += length + (lines[length] == '\n');
	}
}

void verify_print_tap(const struct test_list *tests)
{
	size_t i;

	printf("TAP version 13\n1..%zu\n", tests->count);
	for (i = 0; i < tests->count; i++) {
		const struct test_case *test = &tests->items[i];

		printf("%s %zu - ", test->passed ? "ok" : "not ok", i + 1);
		print_description(test->name);
		printf("\n");
		if (!test->passed)
			print_diagnostics(test->explanation);
	}
}

/* Control characters other than tab and newline cannot stand in XML 1.0 at all. */
static void print_xml(const char *text)
{
	for (; *text; text++) {
		switch (*text) {
		case '&':
			fputs("&amp;", stdout);
			break;
		case '<':
			fputs("&lt;", stdout);
			break;
		case '>':
			fputs("&gt;", stdout);
			break;
		case '"':
			fputs("&quot;", stdout);
			break;
		default:
			putchar((unsigned char)*text < ' ' && *text != '\t' && *text != '\n' ? '?' : *text);
		}
	}
}

static void print_case(const char *path, const struct test_case *test)
{
	printf("    <testcase classname=\"");
	print_xml(path);
	printf("\" name=\"");
	print_xml(test->name);
	if (test->passed) {
		printf("\"/>\n");
		return;
	}
	printf("\">\n      <failure message=\"expected %s\">", test->expect_allow ? "allow" : "deny");
	print_xml(test->explanation);
	printf("</failure>\n    </testcase>\n");
}

void verify_print_junit(const char *path, const struct test_list *tests)
{
	size_t failures = 0, i;

	for (i = 0; i < tests->count; i++)
		failures += !tests->items[i].passed;
	printf("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n  <testsuite name=\"");
	print_xml(path);
	printf("\" tests=\"%zu\" failures=\"%zu\" errors=\"0\" skipped=\"0\">\n", tests->count, failures);
	for (i = 0; i < tests->count; i++)
		print_case(path, &tests->items[i]);
	printf("  </testsuite>\n</testsuites>\n");
}
