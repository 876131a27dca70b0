/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "base/cleanup.h"
#include "base/text.h"
#include "cli/memory.h"
#include "cli/verify.h"

/* A description ends at '#' in TAP, and at the end of its line. */
static void print_description(const char *name)
{
	_cleanup_free_ char *line = copy_text(name);
	const char *text;

	text_make_line(line);
	for (text = line; *text; text++) {
		if (*text == '#' || *text == '\\')
			putchar('\\');
		putchar(*text);
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

/* U+FFFE and U+FFFF are characters, but not of XML 1.0. */
static bool is_no_xml(const char *text)
{
	return !strncmp(text, "\xef\xbf\xbe", 3) || !strncmp(text, "\xef\xbf\xbf", 3);
}

static void print_xml_line(const char *text)
{
	for (; *text; text++) {
		if (is_no_xml(text)) {
			putchar('?');
			text += 2;
			continue;
		}
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
			putchar(*text);
		}
	}
}

/* What is no UTF-8, and control characters other than newline, cannot stand in XML 1.0 at all. */
static void print_xml(const char *text)
{
	_cleanup_free_ char *copy = copy_text(text);
	char *line = copy, *end;

	for (;; line = end + 1) {
		end = strchr(line, '\n');
		if (end)
			*end = '\0';
		text_make_line(line);
		print_xml_line(line);
		if (!end)
			return;
		putchar('\n');
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
