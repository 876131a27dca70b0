/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tests of policy. A test file is YAML (or JSON):
 *
 *   tests:
 *   - name: the shop may reach its database     # optional
 *     from: shop/web-1                          # NS/POD
 *     to: shop/db-0                             # ADDRESS, NS/POD or svc:NS/NAME, with or without :PORT[/PROTOCOL]
 *     port: 5432                                # optional, unless `to` has it
 *     protocol: TCP                             # optional: TCP where there is a port
 *     expect: allow                             # or deny
 *
 * Without port and protocol a test is about everything that could be sent: allow means that all of it passes, deny
 * that none does. Several documents may stand in a file. Unknown keys are errors.
 */
#ifndef EGRESSD_CLI_VERIFY_H
#define EGRESSD_CLI_VERIFY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "cli/destination.h"

struct test_case {
	char *name;
	char *from_text, *to_text;
	struct object_name from;
	struct destination to;
	bool expect_allow;
	unsigned int line; /* from 1 */
	/* The outcome: */
	bool passed;
	char *explanation; /* of a test that failed, lines that end with '\n'; else NULL */
};

struct test_list {
	struct test_case *items;
	size_t count, capacity;
};
void test_list_clear(struct test_list *list);

/* 0, or -errno after it told what is wrong, with file:line:column. */
int test_file_read(const char *path, struct test_list *out);

/* Test Anything Protocol, version 13, and JUnit XML, on standard output. */
void verify_print_tap(const struct test_list *tests);
void verify_print_junit(const char *path, const struct test_list *tests);

#endif
