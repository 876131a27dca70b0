/* SPDX-License-Identifier: Apache-2.0 */
/* Files that are too large, too deep or too clever are refused, and fast; files that cannot be read are told. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/text.h"
#include "model/decode.h"
#include "model_unit.h"

/* Of processor time: far more than any of these takes, also with sanitizers; far less than what a bomb would. */
#define SECONDS_MAX 20

/* Decodes what must fail with this one problem. */
static void check_refused(const char *name, const char *text, size_t length, const char *rule, const char *expected)
{
	struct object_list objects = {};
	struct problem_list problems = {};
	clock_t start = clock();
	char found[512];

	assert_int_equal(decode_buffer(name, text, length, &objects, &problems), -EINVAL);
	assert_true((double)(clock() - start) / CLOCKS_PER_SEC < SECONDS_MAX);
	assert_int_equal(problems.count, 1);
	assert_string_equal(problem_format(&problems.items[0], found, sizeof(found)), expected);
	assert_string_equal(problems.items[0].rule, rule);
	problem_list_clear(&problems);
}

#define TOO_MANY "expected at most 4000000 values in a document, found more"
#define TOO_DEEP "expected at most 64 levels, found more"

/* Ten aliases to ten aliases to ... : 10^9 values in 300 bytes. */
static void alias_bomb(void **state)
{
	char text[2048] = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n";
	size_t length;

	(void)state;
	for (size_t i = 1; i < 9; i++) {
		length = strlen(text);
		snprintf(text + length, sizeof(text) - length,
			 "a%zu: &a%zu [*a%zu, *a%zu, *a%zu, *a%zu, *a%zu, *a%zu, *a%zu, *a%zu, *a%zu, *a%zu]\n", i, i, i - 1,
			 i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1);
	}
	check_refused("a.yaml", text, strlen(text), "limit", "a.yaml:7:20: " TOO_MANY);
}

/* Each mapping merges the one before it three times. */
static void merge_bomb(void **state)
{
	char text[4096] = "a0: &a0 {k0: x, l0: x, m0: x}\n";
	size_t length;

	(void)state;
	for (size_t i = 1; i < 20; i++) {
		length = strlen(text);
		snprintf(text + length, sizeof(text) - length, "a%zu: &a%zu {<<: [*a%zu, *a%zu, *a%zu], k%zu: x}\n", i, i,
			 i - 1, i - 1, i - 1, i);
	}
	check_refused("a.yaml", text, strlen(text), "limit", "a.yaml:13:29: " TOO_MANY);
}

static void many_values(void **state)
{
	size_t count = 4100000, length = 2 * count + 2;
	_cleanup_free_ char *text = malloc(length + 1);

	(void)state;
	assert_non_null(text);
	text[0] = '[';
	for (size_t i = 0; i < count; i++)
		memcpy(text + 1 + 2 * i, "1,", 2);
	text[length - 2] = ']';
	text[length - 1] = '\n';
	check_refused("a.json", text, length, "limit", "a.json:1:7999999: " TOO_MANY);
	check_refused("a.yaml", text, length, "limit", "a.yaml:1:8000000: " TOO_MANY);
}

static void deep_nesting(void **state)
{
	size_t levels = 100000;
	_cleanup_free_ char *text = malloc(levels + 1);

	(void)state;
	assert_non_null(text);
	memset(text, '[', levels);
	text[levels] = '\0';
	check_refused("a.yaml", text, levels, "limit", "a.yaml:1:65: " TOO_DEEP);
	check_refused("a.json", text, levels, "syntax", "a.json:1:2049: JSON: maximum parsing depth reached near '['");
	text[levels / 2] = '\0';
	memset(text, '[', 500);
	memset(text + 500, ']', 500);
	check_refused("a.json", text, 1000, "limit", "a.json:1:65: " TOO_DEEP);
}

static void deep_aliases(void **state)
{
	char text[8192] = "";
	size_t length;

	(void)state;
	strcat(text, "a0: &a0 [x]\n");
	for (size_t i = 1; i < 100; i++) {
		length = strlen(text);
		snprintf(text + length, sizeof(text) - length, "a%zu: &a%zu [*a%zu]\n", i, i, i - 1);
	}
	check_refused("a.yaml", text, strlen(text), "limit", "a.yaml:64:12: " TOO_DEEP);
}

static void as_deep_as_allowed(void **state)
{
	char text[DECODE_DEPTH_MAX * 2 + 1];

	(void)state;
	memset(text, '[', DECODE_DEPTH_MAX);
	memset(text + DECODE_DEPTH_MAX, ']', DECODE_DEPTH_MAX);
	check_refused("a.yaml", text, 2 * DECODE_DEPTH_MAX, "field",
		      "a.yaml:1:1: expected a Kubernetes object, found a list");
}

/* ------------------------------------------------------------------ files */

static void make_path(char path[64])
{
	int fd;

	strcpy(path, "/tmp/egressd-test-XXXXXX");
	fd = mkstemp(path);
	assert_true(fd >= 0);
	close(fd);
}

static void check_file(const char *path, int error, const char *rule, const char *expected)
{
	struct object_list objects = {};
	struct problem_list problems = {};
	clock_t start = clock();
	char found[512];

	assert_int_equal(decode_file(path, "x.yaml", &objects, &problems), error);
	assert_true((double)(clock() - start) / CLOCKS_PER_SEC < SECONDS_MAX);
	assert_int_equal(problems.count, 1);
	assert_string_equal(problem_format(&problems.items[0], found, sizeof(found)), expected);
	assert_string_equal(problems.items[0].rule, rule);
	problem_list_clear(&problems);
}

static void a_large_file_is_refused_unread(void **state)
{
	char path[64];

	(void)state;
	make_path(path);
	assert_int_equal(truncate(path, 100 << 20), 0);
	check_file(path, -EINVAL, "limit", "x.yaml: expected at most 64 MiB, found more");
	/* The largest one is read. It is all NUL, so it is wrong from its first byte. */
	assert_int_equal(truncate(path, DECODE_FILE_MAX), 0);
	check_file(path, -EINVAL, "syntax", "x.yaml:1:1: YAML: control characters are not allowed");
	unlink(path);
}

static void files_that_cannot_be_read(void **state)
{
	char path[64];

	(void)state;
	make_path(path);
	unlink(path);
	check_file(path, -ENOENT, "file", "x.yaml: No such file or directory");
	check_file("/tmp", -EISDIR, "file", "x.yaml: Is a directory");
	assert_int_equal(mkfifo(path, 0600), 0);
	check_file(path, -ENOTSUP, "file", "x.yaml: expected a regular file, found another kind");
	unlink(path);
}

static void a_file_is_read_whole(void **state)
{
	struct object_list objects = {};
	struct problem_list problems = {};
	_cleanup_file_ FILE *file = NULL;
	char path[64];

	(void)state;
	make_path(path);
	file = fopen(path, "w");
	assert_non_null(file);
	for (size_t i = 0; i < 3000; i++)
		fprintf(file, "---\n{apiVersion: v1, kind: Node, metadata: {name: n%zu}}\n", i);
	assert_int_equal(fflush(file), 0);
	assert_int_equal(decode_file(path, "x.yaml", &objects, &problems), 0);
	assert_int_equal(objects.count, 3000);
	assert_string_equal(objects.items[2999]->name, "n2999");
	assert_string_equal(objects.items[2999]->place.file, "x.yaml");
	assert_int_equal(objects.items[2999]->place.line, 6000);
	object_list_clear(&objects);
	unlink(path);
}

static void an_empty_file_holds_nothing(void **state)
{
	struct object_list objects = {};
	struct problem_list problems = {};
	char path[64];

	(void)state;
	make_path(path);
	assert_int_equal(decode_file(path, "x.yaml", &objects, &problems), 0);
	assert_int_equal(objects.count, 0);
	assert_int_equal(problems.count, 0);
	unlink(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(alias_bomb),
		cmocka_unit_test(merge_bomb),
		cmocka_unit_test(many_values),
		cmocka_unit_test(deep_nesting),
		cmocka_unit_test(deep_aliases),
		cmocka_unit_test(as_deep_as_allowed),
		cmocka_unit_test(a_large_file_is_refused_unread),
		cmocka_unit_test(files_that_cannot_be_read),
		cmocka_unit_test(a_file_is_read_whole),
		cmocka_unit_test(an_empty_file_holds_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
