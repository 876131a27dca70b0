/* SPDX-License-Identifier: Apache-2.0 */
/* A directory as a source on an event loop: when it says that a sync is worth while. */
#define _GNU_SOURCE
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "source/watched_directory.h"

struct fixture {
	char root[64];
	char directory[80], elsewhere[80], manifest[96]; /* root/manifests, root/elsewhere, root/manifests/a.yaml */
	struct event_base *loop;
	struct source *source;
	struct store *store;
	struct problem_list problems;
	unsigned int syncs;
};

static void sync_source(void *data)
{
	struct fixture *fixture = data;
	bool changed;
	size_t bad;

	fixture->syncs++;
	assert_int_equal(source_sync(fixture->source, fixture->store, &fixture->problems, &changed, &bad), 0);
}

static int set_up(void **state)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));

	assert_non_null(fixture);
	strcpy(fixture->root, "/tmp/egressd-watched.XXXXXX");
	assert_non_null(mkdtemp(fixture->root));
	snprintf(fixture->directory, sizeof(fixture->directory), "%s/manifests", fixture->root);
	snprintf(fixture->elsewhere, sizeof(fixture->elsewhere), "%s/elsewhere", fixture->root);
	snprintf(fixture->manifest, sizeof(fixture->manifest), "%s/a.yaml", fixture->directory);
	assert_int_equal(mkdir(fixture->directory, 0755), 0);
	assert_int_equal(store_new(&fixture->store), 0);
	assert_int_equal(watched_directory_new(fixture->directory, &fixture->source), 0);
	fixture->loop = event_base_new();
	assert_non_null(fixture->loop);
	assert_int_equal(source_start(fixture->source, fixture->loop, sync_source, fixture), 0);
	sync_source(fixture);
	*state = fixture;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *fixture = *state;

	source_free(fixture->source);
	event_base_free(fixture->loop);
	store_free(fixture->store);
	problem_list_clear(&fixture->problems);
	unlink(fixture->manifest);
	unlink(fixture->elsewhere);
	rmdir(fixture->directory);
	rmdir(fixture->root);
	free(fixture);
	return 0;
}

static void run_milliseconds(struct fixture *fixture, unsigned int milliseconds)
{
	struct timeval limit = {.tv_sec = milliseconds / 1000, .tv_usec = milliseconds % 1000 * 1000};

	assert_int_equal(event_base_loopexit(fixture->loop, &limit), 0);
	assert_true(event_base_dispatch(fixture->loop) >= 0);
}

static bool has_namespace(const struct fixture *fixture)
{
	return store_get(fixture->store, OBJECT_NAMESPACE, "", "a");
}

static bool is_busy(const struct fixture *fixture)
{
	return fixture->problems.count == 1 && !strcmp(fixture->problems.items[0].rule, "busy");
}

/* An open descriptor to write to the file that came into the directory, by a name that is not in it. */
static int write_elsewhere(const struct fixture *fixture)
{
	static const char text[] = "{apiVersion: v1, kind: Namespace, metadata: {name: a}}\n";
	int writer = open(fixture->elsewhere, O_WRONLY | O_CREAT, 0644);

	assert_true(writer >= 0);
	assert_int_equal(write(writer, text, strlen(text)), strlen(text));
	assert_int_equal(link(fixture->elsewhere, fixture->manifest), 0);
	return writer;
}

/* Nothing tells of the close. */
static void file_that_was_open_for_writing_is_looked_at_again(void **state)
{
	struct fixture *fixture = *state;
	int writer = write_elsewhere(fixture), attempt;

	run_milliseconds(fixture, 200);
	if (!fixture->problems.count) {
		close(writer);
		skip();
	}
	assert_true(is_busy(fixture));
	assert_false(has_namespace(fixture));
	/* cppcheck-suppress doubleFree ; skip() does not return */
	close(writer);
	for (attempt = 0; attempt < 100 && !has_namespace(fixture); attempt++)
		run_milliseconds(fixture, 100);
	assert_true(has_namespace(fixture));
	assert_int_equal(fixture->problems.count, 0);
}

/* A writer that takes its time costs little. */
static void looks_become_rare(void **state)
{
	struct fixture *fixture = *state;
	int writer = write_elsewhere(fixture);

	run_milliseconds(fixture, 3000);
	/* At the start, by the event, after 50, 150, 350, 750, 1550 ms; one more for a machine that is late. */
	assert_in_range(fixture->syncs, 2, 8);
	close(writer);
}

static void nothing_is_read_where_nothing_happens(void **state)
{
	struct fixture *fixture = *state;

	run_milliseconds(fixture, 500);
	assert_int_equal(fixture->syncs, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(file_that_was_open_for_writing_is_looked_at_again, set_up, tear_down),
		cmocka_unit_test_setup_teardown(looks_become_rare, set_up, tear_down),
		cmocka_unit_test_setup_teardown(nothing_is_read_where_nothing_happens, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
