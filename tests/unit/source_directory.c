/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
/* A directory as a source: what comes, changes, goes, is wrong, is contested, is half written, is swapped. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
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

#include "source/directory.h"

#define PATH_SIZE 256

struct fixture {
	char root[64];
	char directory[80]; /* root/manifests */
	struct directory_source *source;
	struct store *store;
	struct problem_list problems;
	bool changed;
	size_t bad;
	bool by_events;
};

/* ------------------------------------------------------------------ tools */

static int set_up(void **state)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));

	assert_non_null(fixture);
	strcpy(fixture->root, "/tmp/egressd-source.XXXXXX");
	assert_non_null(mkdtemp(fixture->root));
	snprintf(fixture->directory, sizeof(fixture->directory), "%s/manifests", fixture->root);
	assert_int_equal(mkdir(fixture->directory, 0755), 0);
	assert_int_equal(directory_source_new(fixture->directory, &fixture->source), 0);
	assert_int_equal(store_new(&fixture->store), 0);
	*state = fixture;
	return 0;
}

static int set_up_events(void **state)
{
	int error = set_up(state);

	((struct fixture *)*state)->by_events = true;
	return error;
}

static int tear_down(void **state)
{
	struct fixture *fixture = *state;
	char command[128];

	directory_source_free(fixture->source);
	store_free(fixture->store);
	problem_list_clear(&fixture->problems);
	snprintf(command, sizeof(command), "rm -rf '%s'", fixture->root);
	assert_int_equal(system(command), 0);
	free(fixture);
	return 0;
}

/* A path; good until the fourth call after. */
static const char *join(const char *directory, const char *name)
{
	static char paths[4][PATH_SIZE];
	static unsigned int next;
	char *path = paths[next++ % 4];

	assert_in_range(snprintf(path, PATH_SIZE, "%s/%s", directory, name), 1, PATH_SIZE - 1);
	return path;
}

static const char *in_root(const struct fixture *fixture, const char *name)
{
	return join(fixture->root, name);
}

static const char *in_directory(const struct fixture *fixture, const char *name)
{
	return join(fixture->directory, name);
}

static void write_text(const char *path, const char *text)
{
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	assert_true(fputs(text, file) >= 0);
	assert_int_equal(fclose(file), 0);
}

/* A namespace is the shortest manifest; its label tells one version from another. */
static void write_namespace(const char *path, const char *name, const char *version)
{
	char text[256];

	snprintf(text, sizeof(text),
		 "apiVersion: v1\nkind: Namespace\nmetadata: {name: %s, labels: {version: \"%s\"}}\n", name, version);
	write_text(path, text);
}

static void sync_source(struct fixture *fixture)
{
	/* Told by inotify what changed, or not: then it walks. */
	if (fixture->by_events)
		directory_source_dispatch(fixture->source);
	assert_int_equal(directory_source_sync(fixture->source, fixture->store, &fixture->problems, &fixture->changed,
					       &fixture->bad),
			 0);
}

/* The label "version" of a namespace in the store, or "" where it is not there. */
static const char *version_of(const struct fixture *fixture, const char *name)
{
	struct object *object = store_get(fixture->store, OBJECT_NAMESPACE, "", name);
	const char *version = object ? label_list_get(&object->labels, "version") : NULL;

	return version ? version : "";
}

static bool waits(const struct fixture *fixture, int milliseconds)
{
	struct pollfd waiting = {.fd = directory_source_fd(fixture->source), .events = POLLIN};

	return poll(&waiting, 1, milliseconds) == 1;
}

/* Something of interest happened since the last call. */
static bool noticed(struct fixture *fixture)
{
	return waits(fixture, 0) && directory_source_dispatch(fixture->source) != DIRECTORY_SAME;
}

static const struct problem *find_problem(const struct fixture *fixture, const char *rule)
{
	size_t i;

	for (i = 0; i < fixture->problems.count; i++)
		if (!strcmp(fixture->problems.items[i].rule, rule))
			return &fixture->problems.items[i];
	return NULL;
}

/* ------------------------------------------------------------------ files */

static void missing_directory_is_an_error(void **state)
{
	struct directory_source *source = (void *)state;

	assert_int_equal(directory_source_new("/nonexistent/manifests", &source), -ENOENT);
	assert_ptr_equal(source, state);
	assert_int_equal(directory_source_new("/dev/null", &source), -ENOTDIR);
}

static void files_come_change_and_go(void **state)
{
	struct fixture *fixture = *state;

	sync_source(fixture);
	assert_false(fixture->changed);
	write_namespace(in_directory(fixture, "a.yaml"), "a", "1");
	assert_true(noticed(fixture));
	sync_source(fixture);
	assert_true(fixture->changed);
	assert_string_equal(version_of(fixture, "a"), "1");
	sync_source(fixture);
	assert_false(fixture->changed);
	write_namespace(in_directory(fixture, "a.yaml"), "a", "2");
	assert_true(noticed(fixture));
	sync_source(fixture);
	assert_true(fixture->changed);
	assert_string_equal(version_of(fixture, "a"), "2");
	assert_int_equal(unlink(in_directory(fixture, "a.yaml")), 0);
	assert_true(noticed(fixture));
	sync_source(fixture);
	assert_true(fixture->changed);
	assert_string_equal(version_of(fixture, "a"), "");
	assert_int_equal(fixture->problems.count, 0);
}

/* Same size and, on kernels before 6.13, same tick of the clock: only the content tells. */
static void quick_second_write_is_seen(void **state)
{
	struct fixture *fixture = *state;
	char version[2] = "0";
	int i;

	for (i = 0; i < 10; i++) {
		version[0] = (char)('0' + i);
		write_namespace(in_directory(fixture, "a.yaml"), "a", version);
		sync_source(fixture);
		assert_string_equal(version_of(fixture, "a"), version);
	}
}

static void touched_file_changes_nothing(void **state)
{
	struct fixture *fixture = *state;
	struct object *before;

	write_namespace(in_directory(fixture, "a.yaml"), "a", "1");
	sync_source(fixture);
	before = store_get(fixture->store, OBJECT_NAMESPACE, "", "a");
	write_namespace(in_directory(fixture, "a.yaml"), "a", "1");
	sync_source(fixture);
	assert_false(fixture->changed);
	assert_ptr_equal(store_get(fixture->store, OBJECT_NAMESPACE, "", "a"), before);
}

static void place_that_moves_is_a_change(void **state)
{
	struct fixture *fixture = *state;

	write_text(in_directory(fixture, "a.yaml"), "apiVersion: v1\nkind: Namespace\nmetadata: {name: a}\n");
	sync_source(fixture);
	write_text(in_directory(fixture, "a.yaml"), "# Moved.\napiVersion: v1\nkind: Namespace\nmetadata: {name: a}\n");
	sync_source(fixture);
	assert_true(fixture->changed);
	assert_int_equal(store_get(fixture->store, OBJECT_NAMESPACE, "", "a")->place.line, 2);
}

static void only_manifests_count(void **state)
{
	struct fixture *fixture = *state;
	static const char *const names[] = {"a.txt", "b.yaml~", ".c.yaml", "yaml", ".yaml"};
	size_t i;

	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		write_text(in_directory(fixture, names[i]), "no: [manifest");
	write_namespace(in_directory(fixture, "d.yml"), "d", "1");
	write_text(in_directory(fixture, "e.json"),
		   "{\"apiVersion\": \"v1\", \"kind\": \"Namespace\", \"metadata\": {\"name\": \"e\"}}");
	sync_source(fixture);
	assert_int_equal(store_count(fixture->store, OBJECT_NAMESPACE), 2);
	assert_int_equal(fixture->problems.count, 0);
	assert_int_equal(fixture->bad, 0);
}

static void directories_below_are_read_and_watched(void **state)
{
	struct fixture *fixture = *state;

	sync_source(fixture);
	assert_int_equal(mkdir(in_directory(fixture, "below"), 0755), 0);
	assert_true(noticed(fixture));
	sync_source(fixture);
	write_namespace(in_directory(fixture, "below/a.yaml"), "a", "1");
	assert_true(noticed(fixture));
	sync_source(fixture);
	assert_string_equal(version_of(fixture, "a"), "1");
	assert_int_equal(rename(in_directory(fixture, "below"), in_root(fixture, "elsewhere")), 0);
	assert_true(noticed(fixture));
	sync_source(fixture);
	assert_string_equal(version_of(fixture, "a"), "");
	/* It is no business of the source any more. */
	write_namespace(in_root(fixture, "elsewhere/a.yaml"), "a", "2");
	assert_false(noticed(fixture));
}

static void link_to_a_directory_around_it_ends(void **state)
{
	struct fixture *fixture = *state;

	write_namespace(in_directory(fixture, "a.yaml"), "a", "1");
	assert_int_equal(symlink(".", in_directory(fixture, "loop")), 0);
	sync_source(fixture);
	assert_string_equal(version_of(fixture, "a"), "1");
	assert_int_equal(fixture->problems.count, 0);
}

/* ------------------------------------------------------------------ wrong files */

static void wrong_file_keeps_its_last_good_version(void **state)
{
	struct fixture *fixture = *state;
	const struct problem *problem;

	write_namespace(in_directory(fixture, "a.yaml"), "a", "1");
	write_namespace(in_directory(fixture, "b.yaml"), "b", "1");
	sync_source(fixture);
	write_text(in_directory(fixture, "a.yaml"), "apiVersion: v1\nkind: Namespace\nmetadata: {name: [a]}\n");
	write_namespace(in_directory(fixture, "b.yaml"), "b", "2");
	sync_source(fixture);
	assert_string_equal(version_of(fixture, "a"), "1");
	assert_string_equal(version_of(fixture, "b"), "2");
	assert_int_equal(fixture->bad, 1);
	assert_int_equal(fixture->problems.errors, 1);
	problem = &fixture->problems.items[0];
	assert_string_equal(problem->file, in_directory(fixture, "a.yaml"));
	assert_int_equal(problem->line, 3);
	/* Still wrong, still said, although nothing changed. */
	sync_source(fixture);
	assert_false(fixture->changed);
	assert_int_equal(fixture->bad, 1);
	assert_int_equal(fixture->problems.errors, 1);
	write_namespace(in_directory(fixture, "a.yaml"), "a", "2");
	sync_source(fixture);
	assert_string_equal(version_of(fixture, "a"), "2");
	assert_int_equal(fixture->bad, 0);
	assert_int_equal(fixture->problems.count, 0);
}

static void wrong_file_that_is_removed_takes_its_objects_along(void **state)
{
	struct fixture *fixture = *state;

	write_namespace(in_directory(fixture, "a.yaml"), "a", "1");
	sync_source(fixture);
	write_text(in_directory(fixture, "a.yaml"), "]");
	sync_source(fixture);
	assert_int_equal(unlink(in_directory(fixture, "a.yaml")), 0);
	sync_source(fixture);
	assert_true(fixture->changed);
	assert_string_equal(version_of(fixture, "a"), "");
	assert_int_equal(fixture->bad, 0);
}

static void what_is_no_regular_file_is_never_waited_for(void **state)
{
	struct fixture *fixture = *state;

	assert_int_equal(mkfifo(in_directory(fixture, "a.yaml"), 0644), 0);
	write_namespace(in_directory(fixture, "b.yaml"), "b", "1");
	alarm(10);
	sync_source(fixture);
	alarm(0);
	assert_string_equal(version_of(fixture, "b"), "1");
	assert_int_equal(fixture->bad, 1);
	assert_non_null(strstr(find_problem(fixture, "file")->message, "not a regular file"));
}

static void link_that_leads_nowhere_is_a_wrong_file(void **state)
{
	struct fixture *fixture = *state;

	assert_int_equal(symlink("nowhere", in_directory(fixture, "a.yaml")), 0);
	sync_source(fixture);
	assert_int_equal(fixture->bad, 1);
	assert_non_null(find_problem(fixture, "file"));
}

/* Up to that size. */
static void append_comment(const char *path, off_t size)
{
	FILE *file = fopen(path, "a");

	assert_non_null(file);
	while (ftello(file) < size)
		assert_true(fputs("# nothing that counts\n", file) >= 0);
	assert_int_equal(fclose(file), 0);
}

/* Does this file system tell that someone has the file open for writing? */
static bool has_leases(const char *path)
{
	int reader = open(path, O_RDONLY);
	bool refused = fcntl(reader, F_SETLEASE, F_RDLCK) && errno == EAGAIN;

	close(reader);
	return refused;
}

/* Half a list of policies is a valid list of policies. size: of the file before. */
static void try_to_read_while_written(struct fixture *fixture, off_t size)
{
	const char *path = in_directory(fixture, "a.yaml");
	static const char half[] = "apiVersion: v1\nkind: Namespace\nmetadata: {name: b}\n";
	int writer;

	write_namespace(path, "a", "1");
	append_comment(path, size);
	sync_source(fixture);
	assert_string_equal(version_of(fixture, "a"), "1");
	noticed(fixture);
	writer = open(path, O_WRONLY | O_TRUNC);
	assert_true(writer >= 0);
	assert_int_equal(write(writer, half, strlen(half)), strlen(half));
	if (!has_leases(path)) {
		close(writer);
		skip();
	}
	sync_source(fixture);
	assert_non_null(find_problem(fixture, "busy"));
	assert_false(fixture->changed);
	assert_string_equal(version_of(fixture, "a"), "1");
	assert_int_equal(fixture->bad, 0);
	noticed(fixture);
	/* cppcheck-suppress doubleFree ; skip() does not return */
	close(writer);
	assert_true(noticed(fixture));
	sync_source(fixture);
	assert_string_equal(version_of(fixture, "a"), "");
	assert_non_null(store_get(fixture->store, OBJECT_NAMESPACE, "", "b"));
	assert_int_equal(fixture->problems.count, 0);
}

static void file_that_is_being_written_waits_for_its_writer(void **state)
{
	try_to_read_while_written(*state, 0);
}

/* No writer is made to wait while such a one is read: it is looked at again when it was. */
static void large_file_that_is_being_written_waits_for_its_writer(void **state)
{
	try_to_read_while_written(*state, 3 << 20);
}

/* ------------------------------------------------------------------ conflicts */

static void first_path_has_a_contested_object(void **state)
{
	struct fixture *fixture = *state;
	const struct problem *problem;

	write_namespace(in_directory(fixture, "b.yaml"), "x", "from-b");
	sync_source(fixture);
	assert_string_equal(version_of(fixture, "x"), "from-b");
	write_namespace(in_directory(fixture, "a.yaml"), "x", "from-a");
	sync_source(fixture);
	assert_string_equal(version_of(fixture, "x"), "from-a");
	problem = find_problem(fixture, "conflict");
	assert_non_null(problem);
	assert_int_equal(problem->severity, PROBLEM_ERROR);
	assert_string_equal(problem->file, in_directory(fixture, "b.yaml"));
	assert_non_null(strstr(problem->message, in_directory(fixture, "a.yaml")));
	assert_int_equal(fixture->bad, 1);
	assert_int_equal(unlink(in_directory(fixture, "a.yaml")), 0);
	sync_source(fixture);
	assert_string_equal(version_of(fixture, "x"), "from-b");
	assert_int_equal(fixture->problems.count, 0);
}

static void object_that_moves_to_another_file_never_goes(void **state)
{
	struct fixture *fixture = *state;

	write_namespace(in_directory(fixture, "a.yaml"), "x", "1");
	sync_source(fixture);
	assert_int_equal(rename(in_directory(fixture, "a.yaml"), in_directory(fixture, "z.yaml")), 0);
	sync_source(fixture);
	assert_string_equal(version_of(fixture, "x"), "1");
	assert_string_equal(store_get(fixture->store, OBJECT_NAMESPACE, "", "x")->place.file,
			    in_directory(fixture, "z.yaml"));
}

/* ------------------------------------------------------------------ the directory itself */

/* As the kubelet updates a mounted ConfigMap: the files are links through "..data", which is replaced. */
static void swapped_link_is_noticed_and_followed(void **state)
{
	struct fixture *fixture = *state;

	assert_int_equal(mkdir(in_directory(fixture, "..one"), 0755), 0);
	write_namespace(in_directory(fixture, "..one/a.yaml"), "a", "1");
	assert_int_equal(symlink("..one", in_directory(fixture, "..data")), 0);
	assert_int_equal(symlink("..data/a.yaml", in_directory(fixture, "a.yaml")), 0);
	sync_source(fixture);
	assert_string_equal(version_of(fixture, "a"), "1");
	assert_int_equal(fixture->problems.count, 0);
	noticed(fixture);
	assert_int_equal(mkdir(in_directory(fixture, "..two"), 0755), 0);
	write_namespace(in_directory(fixture, "..two/a.yaml"), "a", "2");
	assert_int_equal(symlink("..two", in_directory(fixture, "..new")), 0);
	noticed(fixture);
	assert_int_equal(rename(in_directory(fixture, "..new"), in_directory(fixture, "..data")), 0);
	assert_true(noticed(fixture));
	sync_source(fixture);
	assert_string_equal(version_of(fixture, "a"), "2");
}

/* The next version of what a.yaml leads to. */
static void target_is_watched(struct fixture *fixture, const char *version)
{
	noticed(fixture);
	write_namespace(in_root(fixture, "elsewhere/a"), "a", version);
	assert_true(noticed(fixture));
	sync_source(fixture);
	assert_string_equal(version_of(fixture, "a"), version);
}

static void target_of_a_link_elsewhere_is_watched(void **state)
{
	struct fixture *fixture = *state;

	assert_int_equal(mkdir(in_root(fixture, "elsewhere"), 0755), 0);
	write_namespace(in_root(fixture, "elsewhere/a"), "a", "1");
	assert_int_equal(symlink("../elsewhere/a", in_directory(fixture, "a.yaml")), 0);
	sync_source(fixture);
	target_is_watched(fixture, "2");
}

/* Nobody told of the target before. */
static void link_takes_the_place_of_a_file(void **state)
{
	struct fixture *fixture = *state;

	assert_int_equal(mkdir(in_root(fixture, "elsewhere"), 0755), 0);
	write_namespace(in_root(fixture, "elsewhere/a"), "a", "2");
	write_namespace(in_directory(fixture, "a.yaml"), "a", "1");
	sync_source(fixture);
	assert_int_equal(symlink("../elsewhere/a", in_directory(fixture, ".new")), 0);
	assert_int_equal(rename(in_directory(fixture, ".new"), in_directory(fixture, "a.yaml")), 0);
	sync_source(fixture);
	assert_string_equal(version_of(fixture, "a"), "2");
	target_is_watched(fixture, "3");
}

/* Between the notice of what goes and the reading of it: never is nothing of it there. */
static void what_moves_while_it_is_looked_at_never_goes(void **state)
{
	struct fixture *fixture = *state;

	write_namespace(in_directory(fixture, "a.yaml"), "a", "1");
	write_namespace(in_directory(fixture, "c.yaml"), "c", "1");
	sync_source(fixture);
	assert_int_equal(rename(in_directory(fixture, "a.yaml"), in_root(fixture, "away")), 0);
	write_namespace(in_directory(fixture, "c.yaml"), "other", "1");
	assert_true(noticed(fixture));
	assert_int_equal(rename(in_root(fixture, "away"), in_directory(fixture, "b.yaml")), 0);
	write_namespace(in_directory(fixture, "d.yaml"), "c", "1");
	assert_int_equal(directory_source_sync(fixture->source, fixture->store, &fixture->problems, &fixture->changed,
					       &fixture->bad),
			 0);
	assert_string_equal(version_of(fixture, "a"), "1");
	assert_string_equal(version_of(fixture, "c"), "1");
}

static void directory_that_disappears_leaves_its_objects(void **state)
{
	struct fixture *fixture = *state;
	bool changed = false;
	size_t bad = 77;

	write_namespace(in_directory(fixture, "a.yaml"), "a", "1");
	sync_source(fixture);
	noticed(fixture);
	assert_int_equal(rename(fixture->directory, in_root(fixture, "away")), 0);
	assert_true(noticed(fixture));
	assert_int_equal(directory_source_sync(fixture->source, fixture->store, &fixture->problems, &changed, &bad),
			 -ENOENT);
	assert_false(changed);
	assert_int_equal(bad, 77);
	assert_string_equal(version_of(fixture, "a"), "1");
	/* Another one in its place is noticed and read. */
	noticed(fixture);
	assert_int_equal(mkdir(in_root(fixture, "new"), 0755), 0);
	write_namespace(in_root(fixture, "new/a.yaml"), "a", "2");
	assert_int_equal(rename(in_root(fixture, "new"), fixture->directory), 0);
	assert_true(noticed(fixture));
	sync_source(fixture);
	assert_string_equal(version_of(fixture, "a"), "2");
}

static int failing_sync(struct fixture *fixture)
{
	bool changed;
	size_t bad;

	return directory_source_sync(fixture->source, fixture->store, &fixture->problems, &changed, &bad);
}

/* Removed file by file, made anew, and filled file by file. */
static void directory_that_is_made_anew_counts_when_it_is_filled(void **state)
{
	struct fixture *fixture = *state;

	write_namespace(in_directory(fixture, "a.yaml"), "a", "1");
	write_namespace(in_directory(fixture, "b.yaml"), "b", "1");
	sync_source(fixture);
	noticed(fixture);
	assert_int_equal(unlink(in_directory(fixture, "a.yaml")), 0);
	assert_int_equal(directory_source_dispatch(fixture->source), DIRECTORY_LEFT);
	assert_int_equal(unlink(in_directory(fixture, "b.yaml")), 0);
	assert_int_equal(rmdir(fixture->directory), 0);
	assert_int_equal(directory_source_dispatch(fixture->source), DIRECTORY_REPLACED);
	assert_int_equal(failing_sync(fixture), -ENOENT);
	assert_string_equal(version_of(fixture, "a"), "1");
	assert_int_equal(mkdir(fixture->directory, 0755), 0);
	assert_int_equal(directory_source_dispatch(fixture->source), DIRECTORY_REPLACED);
	assert_int_equal(failing_sync(fixture), -ENODATA);
	assert_string_equal(version_of(fixture, "a"), "1");
	assert_string_equal(version_of(fixture, "b"), "1");
	write_namespace(in_directory(fixture, "b.yaml"), "b", "2");
	assert_int_equal(directory_source_dispatch(fixture->source), DIRECTORY_REPLACED);
	sync_source(fixture);
	assert_string_equal(version_of(fixture, "a"), "");
	assert_string_equal(version_of(fixture, "b"), "2");
	write_namespace(in_directory(fixture, "c.yaml"), "c", "1");
	assert_int_equal(directory_source_dispatch(fixture->source), DIRECTORY_CHANGED);
	sync_source(fixture);
	/* In the directory itself all may go. */
	assert_int_equal(unlink(in_directory(fixture, "b.yaml")), 0);
	assert_int_equal(unlink(in_directory(fixture, "c.yaml")), 0);
	assert_int_equal(directory_source_dispatch(fixture->source), DIRECTORY_LEFT_MANY);
	sync_source(fixture);
	assert_string_equal(version_of(fixture, "b"), "");
}

/* Two trees, and "current", a link to the first. */
static void make_releases(const struct fixture *fixture)
{
	assert_int_equal(mkdir(in_root(fixture, "one"), 0755), 0);
	assert_int_equal(mkdir(in_root(fixture, "two"), 0755), 0);
	assert_int_equal(mkdir(in_root(fixture, "one/below"), 0755), 0);
	assert_int_equal(mkdir(in_root(fixture, "two/below"), 0755), 0);
	write_namespace(in_root(fixture, "one/below/a.yaml"), "a", "1");
	write_namespace(in_root(fixture, "two/below/a.yaml"), "a", "2");
	assert_int_equal(symlink("one", in_root(fixture, "current")), 0);
}

static void link_on_the_way_is_replaced(struct fixture *fixture)
{
	sync_source(fixture);
	assert_string_equal(version_of(fixture, "a"), "1");
	noticed(fixture);
	assert_int_equal(symlink("two", in_root(fixture, "next")), 0);
	assert_int_equal(directory_source_dispatch(fixture->source), DIRECTORY_SAME);
	assert_int_equal(rename(in_root(fixture, "next"), in_root(fixture, "current")), 0);
	assert_int_equal(directory_source_dispatch(fixture->source), DIRECTORY_REPLACED);
	sync_source(fixture);
	assert_string_equal(version_of(fixture, "a"), "2");
}

static void link_on_the_way_to_the_directory_is_followed(void **state)
{
	struct fixture *fixture = *state;

	make_releases(fixture);
	directory_source_free(fixture->source);
	assert_int_equal(directory_source_new(in_root(fixture, "current/below"), &fixture->source), 0);
	link_on_the_way_is_replaced(fixture);
}

static void link_on_the_way_to_a_file_is_followed(void **state)
{
	struct fixture *fixture = *state;

	make_releases(fixture);
	assert_int_equal(symlink("../current/below/a.yaml", in_directory(fixture, "a.yaml")), 0);
	link_on_the_way_is_replaced(fixture);
}

static void link_on_the_way_to_a_directory_below_is_followed(void **state)
{
	struct fixture *fixture = *state;

	make_releases(fixture);
	assert_int_equal(symlink(in_root(fixture, "current/below"), in_directory(fixture, "below")), 0);
	link_on_the_way_is_replaced(fixture);
}

/* The directory itself stays what it is, but is another's. */
static void directory_around_is_replaced(void **state)
{
	struct fixture *fixture = *state;

	make_releases(fixture);
	directory_source_free(fixture->source);
	assert_int_equal(directory_source_new(in_root(fixture, "one/below"), &fixture->source), 0);
	sync_source(fixture);
	noticed(fixture);
	assert_int_equal(rename(in_root(fixture, "one"), in_root(fixture, "away")), 0);
	assert_int_equal(directory_source_dispatch(fixture->source), DIRECTORY_REPLACED);
	assert_int_equal(failing_sync(fixture), -ENOENT);
	assert_string_equal(version_of(fixture, "a"), "1");
	assert_int_equal(rename(in_root(fixture, "two"), in_root(fixture, "one")), 0);
	assert_int_equal(directory_source_dispatch(fixture->source), DIRECTORY_REPLACED);
	sync_source(fixture);
	assert_string_equal(version_of(fixture, "a"), "2");
}

static void neighbours_of_the_directory_are_of_no_interest(void **state)
{
	struct fixture *fixture = *state;

	sync_source(fixture);
	noticed(fixture);
	write_namespace(in_root(fixture, "other.yaml"), "a", "1");
	assert_true(waits(fixture, 1000));
	assert_int_equal(directory_source_dispatch(fixture->source), DIRECTORY_SAME);
}

static void directory_that_cannot_be_read_keeps_what_is_below(void **state)
{
	struct fixture *fixture = *state;

	if (geteuid())
		skip(); /* a directory that is another user's takes root to make */
	assert_int_equal(chmod(fixture->root, 0755), 0);
	assert_int_equal(mkdir(in_directory(fixture, "below"), 0755), 0);
	write_namespace(in_directory(fixture, "below/a.yaml"), "a", "1");
	write_namespace(in_directory(fixture, "b.yaml"), "b", "1");
	sync_source(fixture);
	assert_int_equal(chmod(in_directory(fixture, "below"), 0700), 0);
	write_namespace(in_directory(fixture, "b.yaml"), "b", "2");
	assert_int_equal(seteuid(65534), 0);
	sync_source(fixture);
	assert_int_equal(seteuid(0), 0);
	assert_string_equal(version_of(fixture, "a"), "1");
	assert_string_equal(version_of(fixture, "b"), "2");
	assert_non_null(find_problem(fixture, "file"));
	sync_source(fixture);
	assert_int_equal(fixture->problems.count, 0);
}

/* ------------------------------------------------------------------ single entries against walks */

#define NAMES 8

static void write_random_file(const char *path)
{
	char text[NAMES * 128] = "";
	size_t length = 0;
	unsigned int i;

	for (i = 0; i < NAMES; i++)
		if (rand() % 3 == 0)
			length += (size_t)snprintf(text + length, sizeof(text) - length,
						   "---\n{apiVersion: v1, kind: Namespace, metadata: {name: n%u, "
						   "labels: {version: v%d}}}\n",
						   i, rand() % 3);
	write_text(path, text);
}

/* A link to a directory elsewhere comes, has another name or goes; neither name is a manifest's. */
static void change_link(const struct fixture *fixture)
{
	const char *link = join(fixture->directory, "link"), *temporary = join(fixture->directory, "link~");

	switch (rand() % 3) {
	case 0:
		if (access(temporary, F_OK))
			assert_int_equal(symlink(join(fixture->root, "elsewhere"), temporary), 0);
		break;
	case 1:
		rename(temporary, link);
		break;
	default:
		unlink(rand() % 2 ? link : temporary);
	}
}

static void change_something(const struct fixture *fixture)
{
	static const char *const files[] = {"a.yaml", "b.yaml", "c.yaml", "below/a.yaml", "below/d.yaml", "notes"};
	const char *path = join(fixture->directory, files[rand() % 6]), *other;
	unsigned int step;

	switch (rand() % 9) {
	case 0:
		unlink(path);
		break;
	case 1:
		other = join(fixture->directory, files[rand() % 6]);
		rename(path, other);
		break;
	case 2:
		/* As an editor does it. */
		other = join(rand() % 2 ? fixture->root : fixture->directory, "new~");
		write_random_file(other);
		rename(other, path);
		break;
	case 3:
		if (rand() % 4 == 0)
			rename(join(fixture->directory, "below"), join(fixture->root, "away"));
		else
			rename(join(fixture->root, "away"), join(fixture->directory, "below"));
		break;
	case 4:
		for (step = rand() % 4 ? 0 : 4; step; step--)
			change_link(fixture);
		break;
	default:
		if (!strstr(path, "below/") || !access(join(fixture->directory, "below"), F_OK))
			write_random_file(path);
	}
}

static void assert_same_as_walked(const struct fixture *fixture)
{
	struct fixture fresh = {0};
	char name[16];
	unsigned int i;
	size_t problem;

	assert_int_equal(directory_source_new(fixture->directory, &fresh.source), 0);
	assert_int_equal(store_new(&fresh.store), 0);
	sync_source(&fresh);
	for (i = 0; i < NAMES; i++) {
		snprintf(name, sizeof(name), "n%u", i);
		assert_string_equal(version_of(fixture, name), version_of(&fresh, name));
	}
	assert_int_equal(store_count(fixture->store, OBJECT_NAMESPACE), store_count(fresh.store, OBJECT_NAMESPACE));
	assert_int_equal(fixture->bad, fresh.bad);
	assert_int_equal(fixture->problems.count, fresh.problems.count);
	for (problem = 0; problem < fresh.problems.count; problem++) {
		assert_string_equal(fixture->problems.items[problem].file, fresh.problems.items[problem].file);
		assert_string_equal(fixture->problems.items[problem].message, fresh.problems.items[problem].message);
	}
	directory_source_free(fresh.source);
	store_free(fresh.store);
	problem_list_clear(&fresh.problems);
}

/* However files come, change, move and go: what is made of single entries is what a walk makes of the whole. */
static void entries_add_up_to_a_walk(void **state)
{
	struct fixture *fixture = *state;
	unsigned int round, change, changes;

	srand(7);
	assert_int_equal(mkdir(join(fixture->directory, "below"), 0755), 0);
	assert_int_equal(mkdir(join(fixture->root, "elsewhere"), 0755), 0);
	write_random_file(join(fixture->root, "elsewhere/e.yaml"));
	for (round = 0; round < 800; round++) {
		changes = 1 + (unsigned int)rand() % 4;
		for (change = 0; change < changes; change++)
			change_something(fixture);
		sync_source(fixture);
		assert_same_as_walked(fixture);
	}
}

static double seconds_for_a_change(struct fixture *fixture)
{
	struct timespec begin, end;
	unsigned int i;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &begin);
	for (i = 0; i < 50; i++) {
		write_namespace(join(fixture->directory, "one.yaml"), "one", i % 2 ? "1" : "2");
		sync_source(fixture);
		assert_true(fixture->changed);
	}
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &end);
	return (double)(end.tv_sec - begin.tv_sec) + (double)(end.tv_nsec - begin.tv_nsec) / 1e9;
}

static void fill(struct fixture *fixture, unsigned int file, unsigned int count)
{
	char name[32];
	FILE *out;
	unsigned int i;

	snprintf(name, sizeof(name), "many-%u.yaml", file);
	out = fopen(join(fixture->directory, name), "w");
	assert_non_null(out);
	for (i = 0; i < count; i++)
		fprintf(out, "---\n{apiVersion: v1, kind: Namespace, metadata: {name: n%u-%u}}\n", file, i);
	fclose(out);
}

/* A change costs what it costs, however much there is beside it. */
static void one_change_does_not_look_at_everything(void **state)
{
	struct fixture *fixture = *state;
	double few, many;
	unsigned int file;

	sync_source(fixture);
	few = seconds_for_a_change(fixture);
	for (file = 0; file < 200; file++)
		fill(fixture, file, 100);
	sync_source(fixture);
	assert_int_equal(store_count(fixture->store, OBJECT_NAMESPACE), 20001);
	many = seconds_for_a_change(fixture);
	if (many > 5 * few)
		fail_msg("a change took %.6f s beside 20,000 objects, %.6f s alone", many / 50, few / 50);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(missing_directory_is_an_error),
		cmocka_unit_test_setup_teardown(files_come_change_and_go, set_up, tear_down),
		cmocka_unit_test_setup_teardown(quick_second_write_is_seen, set_up, tear_down),
		cmocka_unit_test_setup_teardown(touched_file_changes_nothing, set_up, tear_down),
		cmocka_unit_test_setup_teardown(place_that_moves_is_a_change, set_up, tear_down),
		cmocka_unit_test_setup_teardown(only_manifests_count, set_up, tear_down),
		cmocka_unit_test_setup_teardown(directories_below_are_read_and_watched, set_up, tear_down),
		cmocka_unit_test_setup_teardown(link_to_a_directory_around_it_ends, set_up, tear_down),
		cmocka_unit_test_setup_teardown(wrong_file_keeps_its_last_good_version, set_up, tear_down),
		cmocka_unit_test_setup_teardown(wrong_file_that_is_removed_takes_its_objects_along, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_is_no_regular_file_is_never_waited_for, set_up, tear_down),
		cmocka_unit_test_setup_teardown(link_that_leads_nowhere_is_a_wrong_file, set_up, tear_down),
		cmocka_unit_test_setup_teardown(file_that_is_being_written_waits_for_its_writer, set_up, tear_down),
		cmocka_unit_test_setup_teardown(large_file_that_is_being_written_waits_for_its_writer, set_up, tear_down),
		cmocka_unit_test_setup_teardown(first_path_has_a_contested_object, set_up, tear_down),
		cmocka_unit_test_setup_teardown(object_that_moves_to_another_file_never_goes, set_up, tear_down),
		cmocka_unit_test_setup_teardown(swapped_link_is_noticed_and_followed, set_up, tear_down),
		cmocka_unit_test_setup_teardown(target_of_a_link_elsewhere_is_watched, set_up, tear_down),
		cmocka_unit_test_setup_teardown(link_takes_the_place_of_a_file, set_up, tear_down),
		cmocka_unit_test_setup_teardown(directory_that_disappears_leaves_its_objects, set_up, tear_down),
		cmocka_unit_test_setup_teardown(directory_that_is_made_anew_counts_when_it_is_filled, set_up, tear_down),
		cmocka_unit_test_setup_teardown(link_on_the_way_to_the_directory_is_followed, set_up, tear_down),
		cmocka_unit_test_setup_teardown(link_on_the_way_to_a_file_is_followed, set_up, tear_down),
		cmocka_unit_test_setup_teardown(link_on_the_way_to_a_directory_below_is_followed, set_up, tear_down),
		cmocka_unit_test_setup_teardown(directory_around_is_replaced, set_up, tear_down),
		cmocka_unit_test_setup_teardown(neighbours_of_the_directory_are_of_no_interest, set_up, tear_down),
		cmocka_unit_test_setup_teardown(directory_that_cannot_be_read_keeps_what_is_below, set_up, tear_down),
		/* The same by single entries. */
		cmocka_unit_test_setup_teardown(files_come_change_and_go, set_up_events, tear_down),
		cmocka_unit_test_setup_teardown(quick_second_write_is_seen, set_up_events, tear_down),
		cmocka_unit_test_setup_teardown(touched_file_changes_nothing, set_up_events, tear_down),
		cmocka_unit_test_setup_teardown(place_that_moves_is_a_change, set_up_events, tear_down),
		cmocka_unit_test_setup_teardown(only_manifests_count, set_up_events, tear_down),
		cmocka_unit_test_setup_teardown(directories_below_are_read_and_watched, set_up_events, tear_down),
		cmocka_unit_test_setup_teardown(link_to_a_directory_around_it_ends, set_up_events, tear_down),
		cmocka_unit_test_setup_teardown(wrong_file_keeps_its_last_good_version, set_up_events, tear_down),
		cmocka_unit_test_setup_teardown(wrong_file_that_is_removed_takes_its_objects_along, set_up_events, tear_down),
		cmocka_unit_test_setup_teardown(what_is_no_regular_file_is_never_waited_for, set_up_events, tear_down),
		cmocka_unit_test_setup_teardown(link_that_leads_nowhere_is_a_wrong_file, set_up_events, tear_down),
		cmocka_unit_test_setup_teardown(file_that_is_being_written_waits_for_its_writer, set_up_events, tear_down),
		cmocka_unit_test_setup_teardown(first_path_has_a_contested_object, set_up_events, tear_down),
		cmocka_unit_test_setup_teardown(object_that_moves_to_another_file_never_goes, set_up_events, tear_down),
		cmocka_unit_test_setup_teardown(swapped_link_is_noticed_and_followed, set_up_events, tear_down),
		cmocka_unit_test_setup_teardown(target_of_a_link_elsewhere_is_watched, set_up_events, tear_down),
		cmocka_unit_test_setup_teardown(link_takes_the_place_of_a_file, set_up_events, tear_down),
		cmocka_unit_test_setup_teardown(what_moves_while_it_is_looked_at_never_goes, set_up_events, tear_down),
		cmocka_unit_test_setup_teardown(directory_that_disappears_leaves_its_objects, set_up_events, tear_down),
		cmocka_unit_test_setup_teardown(directory_that_is_made_anew_counts_when_it_is_filled, set_up_events, tear_down),
		cmocka_unit_test_setup_teardown(link_on_the_way_to_the_directory_is_followed, set_up_events, tear_down),
		cmocka_unit_test_setup_teardown(link_on_the_way_to_a_file_is_followed, set_up_events, tear_down),
		cmocka_unit_test_setup_teardown(link_on_the_way_to_a_directory_below_is_followed, set_up_events, tear_down),
		cmocka_unit_test_setup_teardown(directory_around_is_replaced, set_up_events, tear_down),
		cmocka_unit_test_setup_teardown(neighbours_of_the_directory_are_of_no_interest, set_up_events, tear_down),
		cmocka_unit_test_setup_teardown(directory_that_cannot_be_read_keeps_what_is_below, set_up_events, tear_down),
		cmocka_unit_test_setup_teardown(entries_add_up_to_a_walk, set_up_events, tear_down),
		cmocka_unit_test_setup_teardown(one_change_does_not_look_at_everything, set_up_events, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
