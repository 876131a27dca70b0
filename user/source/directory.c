/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "source/directory.h"

#include <dirent.h>
#include <errno.h>
#include <libgen.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* Memory that runs out is an error to return, not a reason to exit. */
#define HASH_NONFATAL_OOM 1
#include <uthash.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "model/decode.h"
#include "source/manifest_file.h"
#include "source/object_identity.h"
#include "source/tree_watch.h"

/* A directory that changes while it is read is read again, this often at most; then the next event leads on. */
#define SYNC_ATTEMPTS 5
#define DIRECTORY_DEPTH_MAX 32

struct source_file {
	char *path; /* the key */
	unsigned int walk; /* the last one that came by */
	bool read;         /* identity is that of the content that was last read */
	bool settled;
	bool bad;
	struct file_identity identity;
	struct object_list objects;   /* of the last good version */
	struct problem_list problems; /* of the present version */
	UT_hash_handle hh;
};

struct directory_source {
	char *path;
	char *parent, *name; /* the same, split; the parent is watched for the day when the directory is replaced */
	unsigned int walk;
	struct tree_watch *watch;
	struct source_file *files;
	struct problem_list walk_problems;
};

/* ------------------------------------------------------------------ life */

static void forget_file(struct directory_source *source, struct source_file *file)
{
	HASH_DEL(source->files, file);
	object_list_clear(&file->objects);
	problem_list_clear(&file->problems);
	free(file->path);
	free(file);
}

void directory_source_free(struct directory_source *source)
{
	struct source_file *file, *next;

	if (!source)
		return;
	HASH_ITER(hh, source->files, file, next)
		forget_file(source, file);
	problem_list_clear(&source->walk_problems);
	tree_watch_free(source->watch);
	free(source->path);
	free(source->parent);
	free(source->name);
	free(source);
}

static void directory_source_cleanup(struct directory_source **source)
{
	directory_source_free(*source);
}

static int check_directory(const char *path)
{
	_cleanup_directory_ DIR *directory = opendir(path);

	return directory ? 0 : -errno;
}

/* "a/b/" is kept as "a/b": the path is what places in messages begin with. */
static char *copy_path(const char *path)
{
	size_t length = strlen(path);

	while (length > 1 && path[length - 1] == '/')
		length--;
	return strndup(path, length);
}

/* dirname() and basename() write to what they are given. */
static int split_path(struct directory_source *source)
{
	_cleanup_free_ char *for_parent = strdup(source->path);
	_cleanup_free_ char *for_name = strdup(source->path);

	if (!for_parent || !for_name)
		return -ENOMEM;
	source->parent = strdup(dirname(for_parent));
	source->name = strdup(basename(for_name));
	return source->parent && source->name ? 0 : -ENOMEM;
}

int directory_source_new(const char *path, struct directory_source **out)
{
	_cleanup_(directory_source_cleanup) struct directory_source *source = NULL;
	int error = check_directory(path);

	if (error)
		return error;
	source = calloc(1, sizeof(*source));
	if (!source)
		return -ENOMEM;
	source->path = copy_path(path);
	if (!source->path)
		return -ENOMEM;
	error = split_path(source);
	if (error)
		return error;
	error = tree_watch_new(&source->watch);
	if (error)
		return error;
	*out = take(source);
	return 0;
}

int directory_source_fd(const struct directory_source *source)
{
	return tree_watch_fd(source->watch);
}

int directory_source_dispatch(struct directory_source *source)
{
	return tree_watch_dispatch(source->watch) ? 1 : 0;
}

/* ------------------------------------------------------------------ files */

static int file_problem(struct source_file *file, enum problem_severity severity, const char *rule, const char *text)
{
	struct place place = {.file = file->path};

	problem_list_clear(&file->problems);
	return problem_add(&file->problems, severity, rule, &place, NULL, "%s", text);
}

/* The present version cannot be had; what was read last stays in force. */
static int file_failed(struct source_file *file, int error)
{
	char text[128];

	file->read = false;
	if (error == -ENOMEM)
		return error;
	if (error == -EBUSY) {
		file->bad = false;
		return file_problem(file, PROBLEM_WARNING, "busy",
				    "open for writing by someone: read when it is closed");
	}
	file->bad = true;
	if (error == -EFBIG) {
		snprintf(text, sizeof(text), "larger than %u MB", DECODE_FILE_MAX >> 20);
		return file_problem(file, PROBLEM_ERROR, "limit", text);
	}
	if (error == -EINVAL)
		return file_problem(file, PROBLEM_ERROR, "file", "not a regular file");
	snprintf(text, sizeof(text), "cannot be read: %s", strerror(-error));
	return file_problem(file, PROBLEM_ERROR, "file", text);
}

static int decode(struct source_file *file, const char *text, size_t length)
{
	struct object_list objects = {0};
	int error;

	problem_list_clear(&file->problems);
	error = decode_buffer(file->path, text, length, &objects, &file->problems);
	if (error) {
		object_list_clear(&objects);
		if (error == -ENOMEM)
			return error;
		file->bad = true;
		return 0;
	}
	object_list_clear(&file->objects);
	file->objects = objects;
	file->bad = false;
	return 0;
}

/* Reads the file if it may have changed. */
static int refresh_file(struct source_file *file)
{
	_cleanup_free_ char *text = NULL;
	struct file_identity identity;
	size_t length;
	int error;

	error = manifest_file_identify(file->path, &identity);
	if (error)
		return file_failed(file, error);
	if (file->read && file->settled && file_identity_equal(&file->identity, &identity))
		return 0;
	error = manifest_file_read(file->path, DECODE_FILE_MAX, &text, &length, &identity, &file->settled);
	if (error)
		return file_failed(file, error);
	error = decode(file, text, length);
	if (error)
		return file_failed(file, error);
	file->identity = identity;
	file->read = true;
	log_debug("%s: read%s", file->path, file->bad ? ", wrong" : "");
	return 0;
}

/* ------------------------------------------------------------------ the walk */

/* A directory that the walk is in, and those around it. */
struct level {
	const struct level *outer;
	dev_t device;
	ino_t inode;
	unsigned int depth;
};

static int walk_directory(struct directory_source *source, const char *path, const struct level *outer);

static bool is_manifest(const char *name)
{
	static const char *const endings[] = {".yaml", ".yml", ".json"};
	size_t length = strlen(name), i;

	for (i = 0; i < ARRAY_SIZE(endings); i++) {
		size_t ending = strlen(endings[i]);

		if (length > ending && !strcmp(name + length - ending, endings[i]))
			return true;
	}
	return false;
}

static int walk_problem(struct directory_source *source, enum problem_severity severity, const char *rule,
			const char *path, const char *text, int error)
{
	struct place place = {.file = path};

	return problem_add(&source->walk_problems, severity, rule, &place, NULL, "%s: %s", text, strerror(-error));
}

/* Not fatal: a sync now and then finds what no event told. */
static int watch_problem(struct directory_source *source, const char *path, int error)
{
	if (!error || error == -ENOENT || error == -ENOTDIR)
		return 0;
	if (error == -ENOMEM)
		return error;
	return walk_problem(source, PROBLEM_WARNING, "watch", path, "changes are noticed late, no watch on it", error);
}

static struct source_file *add_file(struct directory_source *source, const char *path)
{
	struct source_file *file = calloc(1, sizeof(*file));

	if (!file)
		return NULL;
	file->path = strdup(path);
	if (file->path)
		HASH_ADD_KEYPTR(hh, source->files, file->path, strlen(file->path), file);
	if (!file->hh.tbl) {
		free(file->path);
		free(file);
		return NULL;
	}
	return file;
}

static int visit_file(struct directory_source *source, const char *path)
{
	struct source_file *file;

	HASH_FIND_STR(source->files, path, file);
	if (!file)
		file = add_file(source, path);
	if (!file)
		return -ENOMEM;
	file->walk = source->walk;
	return 0;
}

/* What a link leads to may be replaced where it is. */
static int watch_target(struct directory_source *source, const char *path)
{
	_cleanup_free_ char *target = realpath(path, NULL);

	if (!target)
		return 0;
	return watch_problem(source, path, tree_watch_directory(source->watch, dirname(target)));
}

static int visit(struct directory_source *source, const char *path, const char *name, const struct level *level)
{
	struct stat status;
	bool link;
	int error;

	if (lstat(path, &status))
		return errno == ENOENT ? 0 : visit_file(source, path);
	link = S_ISLNK(status.st_mode);
	/* A link that leads nowhere is a file that cannot be read, if it is called one. */
	if (link && stat(path, &status))
		status.st_mode = S_IFREG;
	if (S_ISDIR(status.st_mode))
		return walk_directory(source, path, level);
	if (!is_manifest(name))
		return 0;
	if (link) {
		error = watch_target(source, path);
		if (error)
			return error;
	}
	return visit_file(source, path);
}

static bool is_around(const struct level *level, const struct stat *status)
{
	for (; level; level = level->outer)
		if (level->device == status->st_dev && level->inode == status->st_ino)
			return true;
	return false;
}

/* Files below a directory that cannot be read at present are as they were. */
static void keep_below(struct directory_source *source, const char *path)
{
	struct source_file *file;
	size_t length = strlen(path);

	for (file = source->files; file; file = file->hh.next)
		if (!strncmp(file->path, path, length) && file->path[length] == '/')
			file->walk = source->walk;
}

static int unreadable(struct directory_source *source, const char *path, const struct level *outer, int error)
{
	if (!outer)
		return error;
	if (error == -ENOENT || error == -ENOTDIR)
		return 0;
	keep_below(source, path);
	return walk_problem(source, PROBLEM_ERROR, "file", path, "directory cannot be read", error);
}

static int walk_entries(struct directory_source *source, const char *path, DIR *directory, const struct level *level)
{
	struct dirent *entry;
	int error = 0;

	while (!error) {
		_cleanup_free_ char *below = NULL;

		errno = 0;
		entry = readdir(directory);
		if (!entry)
			return errno ? unreadable(source, path, level->outer, -errno) : 0;
		if (entry->d_name[0] == '.')
			continue;
		if (asprintf(&below, "%s/%s", strcmp(path, "/") ? path : "", entry->d_name) < 0) {
			below = NULL;
			return -ENOMEM;
		}
		error = visit(source, below, entry->d_name, level);
	}
	return error;
}

static int walk_directory(struct directory_source *source, const char *path, const struct level *outer)
{
	_cleanup_directory_ DIR *directory = NULL;
	struct level level = {.outer = outer, .depth = outer ? outer->depth + 1 : 0};
	struct stat status;
	int error;

	if (level.depth > DIRECTORY_DEPTH_MAX)
		return unreadable(source, path, outer, -ELOOP);
	error = watch_problem(source, path, tree_watch_directory(source->watch, path));
	if (error)
		return error;
	directory = opendir(path);
	if (!directory || fstat(dirfd(directory), &status))
		return unreadable(source, path, outer, -errno);
	/* A link to a directory that the walk is in already. */
	if (is_around(outer, &status))
		return 0;
	level.device = status.st_dev;
	level.inode = status.st_ino;
	return walk_entries(source, path, directory, &level);
}

/* Lists the files that are there; forgets those that are gone only after all of the tree was read. */
static int walk(struct directory_source *source)
{
	struct source_file *file, *next;
	int error;

	source->walk++;
	problem_list_clear(&source->walk_problems);
	tree_watch_begin(source->watch);
	error = watch_problem(source, source->parent,
			      tree_watch_entry(source->watch, source->parent, source->name));
	if (!error)
		error = walk_directory(source, source->path, NULL);
	tree_watch_end(source->watch);
	if (error)
		return error;
	HASH_ITER(hh, source->files, file, next)
		if (file->walk != source->walk)
			forget_file(source, file);
	return 0;
}

static int refresh(struct directory_source *source)
{
	struct source_file *file;
	int error = walk(source);

	for (file = source->files; file && !error; file = file->hh.next)
		error = refresh_file(file);
	return error;
}

static bool events_wait(const struct directory_source *source)
{
	struct pollfd waiting = {.fd = tree_watch_fd(source->watch), .events = POLLIN};

	return poll(&waiting, 1, 0) > 0;
}

/*
 * A walk sees a tree at no single moment: a file renamed behind its back is missed under both names, and a mounted
 * ConfigMap swapped half way is half of each. So it counts only when no event came in meanwhile.
 */
static int refresh_until_quiet(struct directory_source *source)
{
	int attempt, error;

	for (attempt = 1;; attempt++) {
		error = refresh(source);
		if (error || attempt == SYNC_ATTEMPTS || !events_wait(source))
			return error;
		if (!tree_watch_dispatch(source->watch))
			return 0;
	}
}

/* ------------------------------------------------------------------ files to store */

/* Which file has an object. */
struct claim {
	char *key;
	struct object *object; /* borrowed from the file */
	UT_hash_handle hh;
};

static void claims_free(struct claim **claims)
{
	struct claim *claim, *next;

	HASH_ITER(hh, *claims, claim, next) {
		HASH_DEL(*claims, claim);
		free(claim->key);
		free(claim);
	}
}

/* No kind, namespace or name holds a slash. */
static char *object_key(const struct object *object)
{
	char *key;

	if (asprintf(&key, "%s/%s/%s", object_kind_name(object->kind), object->namespace, object->name) < 0)
		return NULL;
	return key;
}

static int claim_object(struct claim **claims, struct object *object, struct problem_list *problems, bool *conflict)
{
	_cleanup_free_ char *key = object_key(object);
	struct claim *claim;

	if (!key)
		return -ENOMEM;
	HASH_FIND_STR(*claims, key, claim);
	if (claim) {
		*conflict = true;
		return problem_add(problems, PROBLEM_ERROR, "conflict", &object->place, object,
				   "defined twice: the one at %s:%u counts", claim->object->place.file,
				   claim->object->place.line);
	}
	claim = calloc(1, sizeof(*claim));
	if (!claim)
		return -ENOMEM;
	claim->key = take(key);
	claim->object = object;
	HASH_ADD_KEYPTR(hh, *claims, claim->key, strlen(claim->key), claim);
	if (!claim->hh.tbl) {
		free(claim->key);
		free(claim);
		return -ENOMEM;
	}
	return 0;
}

static int copy_problem(struct problem_list *to, const struct problem *problem)
{
	struct place place = {.file = problem->file, .line = problem->line, .column = problem->column};
	int error = problem_add(to, problem->severity, problem->rule, &place, NULL, "%s", problem->message);

	if (error || !problem->object)
		return error;
	to->items[to->count - 1].object = strdup(problem->object);
	return to->items[to->count - 1].object ? 0 : -ENOMEM;
}

static int copy_problems(struct problem_list *to, const struct problem_list *from)
{
	size_t i;
	int error = 0;

	for (i = 0; i < from->count && !error; i++)
		error = copy_problem(to, &from->items[i]);
	return error;
}

static int claim_file(struct claim **claims, struct source_file *file, struct problem_list *problems, size_t *bad)
{
	bool conflict = false;
	size_t i;
	int error = copy_problems(problems, &file->problems);

	for (i = 0; i < file->objects.count && !error; i++)
		error = claim_object(claims, file->objects.items[i], problems, &conflict);
	if (file->bad || conflict)
		(*bad)++;
	return error;
}

static int by_path(const struct source_file *a, const struct source_file *b)
{
	return strcmp(a->path, b->path);
}

static int put_objects(struct store *store, struct claim *claims, bool *changed)
{
	struct claim *claim;

	for (claim = claims; claim; claim = claim->hh.next) {
		struct object *object = claim->object;
		struct object *present = store_get(store, object->kind, object->namespace, object->name);
		int error;

		if (present && object_identical(present, object))
			continue;
		error = store_put(store, object);
		if (error)
			return error;
		*changed = true;
	}
	return 0;
}

/* References to the objects of a kind that no file claims. */
static int list_unclaimed(struct store *store, enum object_kind kind, struct claim *claims, struct object_list *out)
{
	struct object *const *objects;
	size_t count, i;

	objects = store_list(store, kind, &count);
	if (count == SIZE_MAX)
		return -ENOMEM;
	if (!count)
		return 0;
	out->items = calloc(count, sizeof(*out->items));
	if (!out->items)
		return -ENOMEM;
	out->capacity = count;
	for (i = 0; i < count; i++) {
		_cleanup_free_ char *key = object_key(objects[i]);
		struct claim *claim;

		if (!key)
			return -ENOMEM;
		HASH_FIND_STR(claims, key, claim);
		if (!claim)
			out->items[out->count++] = object_ref(objects[i]);
	}
	return 0;
}

static int remove_unclaimed(struct store *store, enum object_kind kind, struct claim *claims, bool *changed)
{
	_cleanup_(object_list_clear) struct object_list gone = {0};
	size_t i;
	int error = list_unclaimed(store, kind, claims, &gone);

	if (error)
		return error;
	for (i = 0; i < gone.count; i++) {
		store_remove(store, kind, gone.items[i]->namespace, gone.items[i]->name);
		*changed = true;
	}
	return 0;
}

static int apply(struct store *store, struct claim *claims, bool *changed)
{
	unsigned int kind;
	int error = 0;

	for (kind = 0; kind < OBJECT_KIND_COUNT && !error; kind++)
		error = remove_unclaimed(store, kind, claims, changed);
	return error ? error : put_objects(store, claims, changed);
}

int directory_source_sync(struct directory_source *source, struct store *store, struct problem_list *problems,
			  bool *changed, size_t *bad)
{
	_cleanup_(problem_list_clear) struct problem_list found = {0};
	_cleanup_(claims_free) struct claim *claims = NULL;
	struct source_file *file;
	bool store_changed = false;
	size_t bad_files = 0;
	int error;

	error = refresh_until_quiet(source);
	if (error)
		return error;
	error = copy_problems(&found, &source->walk_problems);
	HASH_SRT(hh, source->files, by_path);
	for (file = source->files; file && !error; file = file->hh.next)
		error = claim_file(&claims, file, &found, &bad_files);
	if (!error)
		error = apply(store, claims, &store_changed);
	if (error)
		return error;
	problem_list_clear(problems);
	*problems = found;
	found = (struct problem_list){0};
	*changed = store_changed;
	*bad = bad_files;
	return 0;
}
