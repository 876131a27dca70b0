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
#include <time.h>

#include <utlist.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "base/hash.h"
#include "base/log.h"
#include "model/decode.h"
#include "source/claims.h"
#include "source/manifest_file.h"
#include "source/object_identity.h"
#include "source/tree_watch.h"

/* A directory that changes while it is read is read again, this often at most; then the next event leads on. */
#define SYNC_ATTEMPTS 5
#define DIRECTORY_DEPTH_MAX 32
#define LINKS_MAX 40 /* as the kernel has it */
/* More entries than these are walked to. */
#define ENTRIES_MAX 256
/* However busy it is with single entries: what inotify does not tell is found this often. */
#define WALK_SECONDS 60

struct source_file {
	char *path; /* the key */
	unsigned int walk; /* the last one that came by */
	bool read;         /* identity is that of the content that was last read */
	bool settled;
	bool bad;
	bool busy; /* someone had it open for writing */
	struct file_identity identity;
	struct object_list objects;   /* of the last good version */
	struct object_list claimed;   /* what it had when `changed` was set, which is still claimed */
	bool changed;                 /* `objects` are not claimed yet */
	bool queued;                  /* in the list of those that changed */
	struct source_file *next_changed;
	bool contested;               /* some of its objects may be another file's already */
	struct problem_list problems; /* of the present version */
	bool troubled;                /* in the list of those that have problems or are contested */
	struct source_file *prev, *next;
	UT_hash_handle hh;
};

/* That inotify told of. */
struct told_entry {
	char *path;
	bool left; /* by what was told last, it was deleted or has another name */
};

struct directory_source {
	char *path;
	int root;     /* the tree watch's number of the directory that was read last; -1: none */
	bool is_away; /* the directory cannot be read, or another one is there that is empty */
	unsigned int walk;
	struct tree_watch *watch;
	struct source_file *files;
	struct source_file *changed, *troubled;
	struct problem_list walk_problems;
	bool links; /* the walk came by symbolic links: what one entry's event means is not known then */

	/* What inotify told: entries to look at, unless all of the tree is to be walked. */
	struct told_entry entries[ENTRIES_MAX];
	size_t entry_count;
	bool walk_due;
	time_t walked; /* CLOCK_MONOTONIC */

	struct claims claims;
	bool store_unknown; /* how the store stands to the claims: not filled yet, or left half way */
	struct object_list touched; /* one object for each name whose claims changed */
};

/* ------------------------------------------------------------------ life */

static void free_file(struct source_file *file)
{
	object_list_clear(&file->objects);
	object_list_clear(&file->claimed);
	problem_list_clear(&file->problems);
	free(file->path);
	free(file);
}

static void forget_entries(struct directory_source *source)
{
	while (source->entry_count)
		free(source->entries[--source->entry_count].path);
}

void directory_source_free(struct directory_source *source)
{
	struct source_file *file, *next;

	if (!source)
		return;
	claims_clear(&source->claims);
	HASH_ITER(hh, source->files, file, next) {
		HASH_DEL(source->files, file);
		free_file(file);
	}
	object_list_clear(&source->touched);
	problem_list_clear(&source->walk_problems);
	forget_entries(source);
	tree_watch_free(source->watch);
	free(source->path);
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
	source->root = -1;
	error = tree_watch_new(&source->watch);
	if (error)
		return error;
	source->walk_due = source->store_unknown = true;
	*out = take(source);
	return 0;
}

int directory_source_fd(const struct directory_source *source)
{
	return tree_watch_fd(source->watch);
}

/* A file that is written in pieces is read once. */
static struct told_entry *find_entry(struct directory_source *source, const char *path)
{
	size_t i;

	for (i = 0; i < source->entry_count; i++)
		if (!strcmp(source->entries[i].path, path))
			return &source->entries[i];
	return NULL;
}

static void note_entry(const char *path, bool left, void *data)
{
	struct directory_source *source = data;
	struct told_entry *entry;
	char *copy;

	if (source->walk_due)
		return;
	entry = find_entry(source, path);
	if (entry) {
		entry->left = left;
		return;
	}
	copy = source->entry_count < ENTRIES_MAX ? strdup(path) : NULL;
	if (copy)
		source->entries[source->entry_count++] = (struct told_entry){.path = copy, .left = left};
	else
		source->walk_due = true;
}

enum directory_news directory_source_dispatch(struct directory_source *source)
{
	switch (tree_watch_dispatch_entries(source->watch, note_entry, source, &source->walk_due)) {
	case TREE_SAME:
		return DIRECTORY_SAME;
	case TREE_LEFT:
		return DIRECTORY_LEFT;
	case TREE_LEFT_MANY:
		return DIRECTORY_LEFT_MANY;
	case TREE_CHANGED:
		/* It is there again, and is being filled. */
		return source->is_away ? DIRECTORY_REPLACED : DIRECTORY_CHANGED;
	case TREE_REPLACED:
		break;
	}
	return DIRECTORY_REPLACED;
}

bool directory_source_is_busy(const struct directory_source *source)
{
	const struct source_file *file;

	DL_FOREACH(source->troubled, file)
		if (file->busy)
			return true;
	return false;
}

void directory_source_recall_busy(struct directory_source *source)
{
	const struct source_file *file;

	DL_FOREACH(source->troubled, file)
		if (file->busy)
			note_entry(file->path, false, source);
}

/* ------------------------------------------------------------------ files */

static void note_trouble(struct directory_source *source, struct source_file *file)
{
	if (!file->troubled)
		DL_APPEND(source->troubled, file);
	file->troubled = true;
}

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
	file->busy = error == -EBUSY;
	if (file->busy) {
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

static int decode(struct source_file *file, const struct manifest_content *content)
{
	struct object_list objects = {0};
	int error;

	problem_list_clear(&file->problems);
	error = decode_buffer(file->path, content->text, content->length, &objects, &file->problems);
	if (error) {
		object_list_clear(&objects);
		if (error == -ENOMEM)
			return error;
		file->bad = true;
		return 0;
	}
	/* A version between that never was claimed leaves no trace. */
	if (file->changed) {
		object_list_clear(&file->objects);
	} else {
		file->claimed = file->objects;
		file->changed = true;
	}
	file->objects = objects;
	file->bad = false;
	return 0;
}

static int take_content(struct source_file *file, const struct manifest_content *content)
{
	int error = decode(file, content);

	if (error)
		return file_failed(file, error);
	file->identity = content->identity;
	file->settled = content->settled;
	file->read = true;
	file->busy = false;
	log_debug("%s: read%s", file->path, file->bad ? ", wrong" : "");
	return 0;
}

/* Reads the file if it may have changed: `found` is what is there now. */
static int read_if_changed(struct source_file *file, const struct file_identity *found)
{
	_cleanup_(manifest_content_clear) struct manifest_content content = {0};
	int error;

	if (file->read && file->settled && file_identity_equal(&file->identity, found))
		return 0;
	error = manifest_file_read(file->path, MANIFEST_ANY_LINK, DECODE_FILE_MAX, &content);
	return error ? file_failed(file, error) : take_content(file, &content);
}

static void note_refreshed(struct directory_source *source, struct source_file *file)
{
	if (file->problems.count)
		note_trouble(source, file);
	if (file->changed && !file->queued) {
		LL_PREPEND2(source->changed, file, next_changed);
		file->queued = true;
	}
}

/* error: why it is not known what is there. */
static int refresh_file(struct directory_source *source, struct source_file *file, int error,
			const struct file_identity *found)
{
	error = error ? file_failed(file, error) : read_if_changed(file, found);
	note_refreshed(source, file);
	return error;
}

/* Keeps the names in mind whose claims change. */
static int touch(struct directory_source *source, const struct object_list *objects)
{
	struct object_list *touched = &source->touched;
	size_t i;
	int error = array_reserve(&touched->items, &touched->capacity, touched->count + objects->count,
				  sizeof(*touched->items));

	for (i = 0; i < objects->count && !error; i++)
		touched->items[touched->count++] = object_ref(objects->items[i]);
	return error;
}

/* Takes back what the file claims. */
static int give_up_claims(struct directory_source *source, struct source_file *file)
{
	struct object_list *claimed = file->changed ? &file->claimed : &file->objects;
	size_t i;
	int error = touch(source, claimed);

	for (i = 0; i < claimed->count && !error; i++)
		claims_remove(&source->claims, claimed->items[i]);
	return error;
}

static int forget_file(struct directory_source *source, struct source_file *file)
{
	int error = give_up_claims(source, file);

	if (error)
		return error;
	HASH_DEL(source->files, file);
	if (file->troubled)
		DL_DELETE(source->troubled, file);
	if (file->queued)
		LL_DELETE2(source->changed, file, next_changed);
	free_file(file);
	return 0;
}

/* ------------------------------------------------------------------ the walk */

/* A directory that the walk is in, and those around it. */
struct level {
	const struct level *outer;
	dev_t device;
	ino_t inode;
	unsigned int depth;
	int identity; /* the tree watch's; -1: it cannot be watched */
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

static int visit_file(struct directory_source *source, const char *path, struct source_file **out)
{
	struct source_file *file;

	HASH_FIND_STR(source->files, path, file);
	if (!file)
		file = add_file(source, path);
	if (!file)
		return -ENOMEM;
	file->walk = source->walk;
	*out = file;
	return 0;
}

static int watch_way(struct directory_source *source, const char *path, unsigned int links);

/* Where `path` is a link: the way that it takes. What it is relative to are the first `directory` bytes. */
static int watch_way_of_link(struct directory_source *source, const char *path, size_t directory, unsigned int links)
{
	_cleanup_free_ char *way = NULL;
	char target[PATH_MAX];
	ssize_t length = readlink(path, target, sizeof(target) - 1);

	if (length < 0 || links == LINKS_MAX)
		return 0;
	target[length] = '\0';
	if (asprintf(&way, "%.*s%s", *target == '/' ? 0 : (int)directory, path, target) < 0) {
		way = NULL;
		return -ENOMEM;
	}
	return watch_way(source, way, links + 1);
}

/*
 * Any name on the way may come to lead elsewhere, where a directory or a link is replaced: each is watched in the
 * directory that it stands in, if that can be. A sync now and then finds what no event told.
 */
static int watch_way(struct directory_source *source, const char *path, unsigned int links)
{
	_cleanup_free_ char *part = strdup(path);
	size_t start = 0, end = 0;
	int error = part ? 0 : -ENOMEM;

	for (; !error && path[end]; start = end + (path[end] == '/')) {
		_cleanup_free_ char *directory = strndup(path, start);
		_cleanup_free_ char *name = NULL;

		end = start + strcspn(path + start, "/");
		name = strndup(path + start, end - start);
		if (!directory || !name)
			return -ENOMEM;
		if (!*name || !strcmp(name, ".") || !strcmp(name, ".."))
			continue;
		error = tree_watch_entry(source->watch, *directory ? directory : ".", name);
		if (error != -ENOMEM)
			error = 0;
		part[end] = '\0';
		if (!error)
			error = watch_way_of_link(source, part, start, links);
		part[end] = path[end];
	}
	return error;
}

/* Of a link in a directory that was walked to: the way there is watched already. */
static int watch_way_of_entry(struct directory_source *source, const char *path)
{
	return watch_way_of_link(source, path, (size_t)(strrchr(path, '/') + 1 - path), 0);
}

/* What a link leads to may be replaced where it is, or by what the link leads through. */
static int watch_target(struct directory_source *source, const char *path)
{
	_cleanup_free_ char *target = realpath(path, NULL);
	int error = watch_way_of_entry(source, path);

	if (error || !target)
		return error;
	return watch_problem(source, path, tree_watch_directory(source->watch, dirname(target)));
}

static int visit(struct directory_source *source, const char *path, const char *name, const struct level *level)
{
	struct source_file *file;
	struct stat status;
	bool link;
	int error;

	if (lstat(path, &status))
		return errno == ENOENT ? 0 : visit_file(source, path, &file);
	link = S_ISLNK(status.st_mode);
	source->links |= link;
	/* A link that leads nowhere is a file that cannot be read, if it is called one. */
	if (link && stat(path, &status))
		status.st_mode = S_IFREG;
	if (S_ISDIR(status.st_mode)) {
		error = link ? watch_way_of_entry(source, path) : 0;
		return error ? error : walk_directory(source, path, level);
	}
	if (!is_manifest(name))
		return 0;
	if (link) {
		error = watch_target(source, path);
		if (error)
			return error;
	}
	return visit_file(source, path, &file);
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

static bool has_manifests(const struct directory_source *source)
{
	const struct source_file *file;

	for (file = source->files; file; file = file->hh.next)
		if (file->walk == source->walk)
			return true;
	return false;
}

/*
 * A directory in the place of the one that was read before, and empty, where that was not: a mount that is gone, or one
 * that is about to be filled. What it held is not gone for that.
 */
static int take_root(struct directory_source *source, int identity)
{
	if (source->root >= 0 && identity >= 0 && identity != source->root && source->files && !has_manifests(source))
		return -ENODATA;
	source->root = identity;
	return 0;
}

static int walk_directory(struct directory_source *source, const char *path, const struct level *outer)
{
	_cleanup_directory_ DIR *directory = NULL;
	struct level level = {.outer = outer, .depth = outer ? outer->depth + 1 : 0, .identity = -1};
	struct stat status;
	int error;

	if (level.depth > DIRECTORY_DEPTH_MAX)
		return unreadable(source, path, outer, -ELOOP);
	error = watch_problem(source, path, tree_watch_entries(source->watch, path, &level.identity));
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
	error = walk_entries(source, path, directory, &level);
	return error || outer ? error : take_root(source, level.identity);
}

/* Lists the files that are there; forgets those that are gone only after all of the tree was read. */
static int walk(struct directory_source *source)
{
	struct source_file *file, *next;
	int error;

	source->walk++;
	source->links = false;
	problem_list_clear(&source->walk_problems);
	tree_watch_begin(source->watch);
	error = watch_way(source, source->path, 0);
	if (!error)
		error = walk_directory(source, source->path, NULL);
	tree_watch_end(source->watch);
	source->is_away = error && error != -ENOMEM;
	if (error)
		return error;
	HASH_ITER(hh, source->files, file, next) {
		if (file->walk == source->walk)
			continue;
		error = forget_file(source, file);
		if (error)
			return error;
	}
	return 0;
}

static int refresh(struct directory_source *source)
{
	struct file_identity found;
	struct source_file *file;
	int error = walk(source);

	for (file = source->files; file && !error; file = file->hh.next)
		error = refresh_file(source, file, manifest_file_identify(file->path, &found), &found);
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
static int walk_until_quiet(struct directory_source *source)
{
	int attempt, error;

	for (attempt = 1;; attempt++) {
		error = refresh(source);
		if (error || attempt == SYNC_ATTEMPTS || !events_wait(source))
			return error;
		if (directory_source_dispatch(source) == DIRECTORY_SAME)
			return 0;
	}
}

/* ------------------------------------------------------------------ single entries */

static time_t monotonic_seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec;
}

static int entry_is_gone(struct directory_source *source, const char *path)
{
	struct source_file *file;

	HASH_FIND_STR(source->files, path, file);
	return file ? forget_file(source, file) : 0;
}

/* As the walk would come by it. What only a walk can tell: directories, links. */
static int look_at_name(struct directory_source *source, const char *path, const char *name)
{
	struct file_identity found;
	struct source_file *file;
	struct stat status;
	int error, unknown = 0;

	if (lstat(path, &status))
		unknown = -errno;
	else if (!S_ISDIR(status.st_mode) && !S_ISLNK(status.st_mode))
		unknown = file_identity_of(&status, &found);
	else
		source->walk_due = true;
	if (unknown == -ENOENT)
		return entry_is_gone(source, path);
	if (source->walk_due || !is_manifest(name))
		return 0;
	error = visit_file(source, path, &file);
	return error ? error : refresh_file(source, file, unknown, &found);
}

/* What is most often there is a file that was just written: nobody asks for what it is before it is read. */
static int look_at(struct directory_source *source, const struct told_entry *entry)
{
	_cleanup_(manifest_content_clear) struct manifest_content content = {0};
	const char *path = entry->path, *name = strrchr(path, '/') + 1;
	struct source_file *file;
	int error;

	/* No file is known by a name that is no manifest's; and where there was a link, all of the tree is walked. */
	if (*name == '.' || (entry->left && !is_manifest(name)))
		return 0;
	if (entry->left || !is_manifest(name) ||
	    manifest_file_read(path, MANIFEST_NO_LINK, DECODE_FILE_MAX, &content))
		return look_at_name(source, path, name);
	error = visit_file(source, path, &file);
	if (error)
		return error;
	error = take_content(file, &content);
	note_refreshed(source, file);
	return error;
}

static bool may_look_at_entries(const struct directory_source *source)
{
	return source->entry_count && !source->walk_due && !source->links && !source->walk_problems.count &&
	       monotonic_seconds() - source->walked < WALK_SECONDS;
}

/*
 * As with a walk: what came in meanwhile counts too, for a file that is renamed is gone before it is there, and so is what
 * moves from one file to another.
 */
static int look_at_entries(struct directory_source *source)
{
	int attempt, error = 0;

	for (attempt = 1; !error && source->entry_count && !source->walk_due; attempt++) {
		size_t count = source->entry_count, i;

		for (i = 0; i < count && !error; i++)
			error = look_at(source, &source->entries[i]);
		forget_entries(source);
		if (attempt == SYNC_ATTEMPTS || !events_wait(source))
			break;
		directory_source_dispatch(source);
	}
	return error;
}

static int refresh_files(struct directory_source *source)
{
	int error = 0;

	if (may_look_at_entries(source)) {
		error = look_at_entries(source);
		if (!error && !source->walk_due)
			return 0;
	}
	source->walk_due = true;
	if (!error)
		error = walk_until_quiet(source);
	forget_entries(source);
	if (error)
		return error;
	source->walk_due = false;
	source->walked = monotonic_seconds();
	return 0;
}

/* ------------------------------------------------------------------ files to store */

static int claim_file(struct directory_source *source, struct source_file *file)
{
	size_t i;
	int error = give_up_claims(source, file);

	if (!error)
		error = touch(source, &file->objects);
	for (i = 0; i < file->objects.count && !error; i++)
		error = claims_add(&source->claims, &file->objects.items[i]);
	if (error)
		return error;
	object_list_clear(&file->claimed);
	file->changed = false;
	return 0;
}

static int claim_changed_files(struct directory_source *source)
{
	struct source_file *file;
	int error;

	while ((file = source->changed)) {
		error = claim_file(source, file);
		if (error)
			return error;
		source->changed = file->next_changed;
		file->queued = false;
	}
	return 0;
}

/* Every name that the store or a file has is looked at. */
static int claim_everything(struct directory_source *source, struct store *store)
{
	struct source_file *file;
	unsigned int kind;
	int error = 0;

	/* All of them are gone through here; where one fails, all of them are again. */
	while ((file = source->changed)) {
		source->changed = file->next_changed;
		file->queued = false;
	}
	claims_clear(&source->claims);
	object_list_clear(&source->touched);
	for (kind = 0; kind < OBJECT_KIND_COUNT && !error; kind++) {
		struct object_list held = {0};

		held.items = (struct object **)store_list(store, kind, &held.count);
		error = held.count == SIZE_MAX ? -ENOMEM : touch(source, &held);
	}
	for (file = source->files; file && !error; file = file->hh.next) {
		object_list_clear(&file->claimed);
		file->changed = true;
		error = claim_file(source, file);
	}
	return error;
}

static void note_rival(const struct object *rival, void *data)
{
	struct directory_source *source = data;
	struct source_file *file;

	HASH_FIND_STR(source->files, rival->place.file, file);
	if (!file)
		return;
	file->contested = true;
	note_trouble(source, file);
}

/* The store gets what counts under this name; what is there already stays, if it is a twin. */
static int settle_name(struct directory_source *source, struct store *store, const struct object *named, bool *changed)
{
	struct object *present = store_get(store, named->kind, named->namespace, named->name);
	struct object *holder = claims_holder(&source->claims, named);
	int error;

	claims_each_rival(&source->claims, named, note_rival, source);
	if (holder == present)
		return 0;
	if (holder && present && object_identical(present, holder)) {
		claims_replace(&source->claims, present);
		return 0;
	}
	if (holder)
		error = store_put(store, holder);
	else
		error = store_remove(store, named->kind, named->namespace, named->name);
	if (!error)
		*changed = true;
	return error;
}

/* As much as there is memory for: a pod that is known is held, if not judged, until the policies are. */
static int settle_names(struct directory_source *source, struct store *store, bool *changed)
{
	size_t i;
	int error = 0;

	for (i = 0; i < source->touched.count; i++) {
		int failed = settle_name(source, store, source->touched.items[i], changed);

		error = error ? error : failed;
	}
	return error;
}

static int apply(struct directory_source *source, struct store *store, bool *changed)
{
	int error;

	error = source->store_unknown ? claim_everything(source, store) : claim_changed_files(source);
	/* A file that was claimed in part may be read anew, or go, before all claims are made anew. */
	if (error)
		claims_clear(&source->claims);
	else
		error = settle_names(source, store, changed);
	source->store_unknown = error;
	object_list_clear(&source->touched);
	return error;
}

/* ------------------------------------------------------------------ problems */

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

static int add_conflicts(const struct directory_source *source, struct source_file *file, struct problem_list *problems,
			 bool *conflict)
{
	size_t i;
	int error = 0;

	for (i = 0; i < file->objects.count && !error; i++) {
		const struct object *object = file->objects.items[i];
		const struct object *holder = claims_holder(&source->claims, object);

		if (holder == object)
			continue;
		*conflict = true;
		error = problem_add(problems, PROBLEM_ERROR, "conflict", &object->place, object,
				    "defined twice: the one at %s:%u counts", holder->place.file, holder->place.line);
	}
	return error;
}

static int add_troubles(struct directory_source *source, struct source_file *file, struct problem_list *problems,
			size_t *bad)
{
	bool conflict = false;
	int error = copy_problems(problems, &file->problems);

	if (!error && file->contested)
		error = add_conflicts(source, file, problems, &conflict);
	if (error)
		return error;
	if (file->bad || conflict)
		(*bad)++;
	file->contested = conflict;
	file->troubled = file->problems.count || conflict;
	if (!file->troubled)
		DL_DELETE(source->troubled, file);
	return 0;
}

static int by_path(const struct source_file *a, const struct source_file *b)
{
	return strcmp(a->path, b->path);
}

/* Of the walk, then file by file. */
static int list_problems(struct directory_source *source, struct problem_list *problems, size_t *bad)
{
	struct source_file *file, *next;
	int error = copy_problems(problems, &source->walk_problems);

	DL_SORT(source->troubled, by_path);
	DL_FOREACH_SAFE(source->troubled, file, next) {
		if (!error)
			error = add_troubles(source, file, problems, bad);
	}
	return error;
}

int directory_source_sync(struct directory_source *source, struct store *store, struct problem_list *problems,
			  bool *changed, size_t *bad)
{
	_cleanup_(problem_list_clear) struct problem_list found = {0};
	bool store_changed = false;
	size_t bad_files = 0;
	int error;

	error = refresh_files(source);
	if (!error)
		error = apply(source, store, &store_changed);
	if (!error)
		error = list_problems(source, &found, &bad_files);
	if (error)
		return error;
	problem_list_clear(problems);
	*problems = found;
	found = (struct problem_list){0};
	*changed = store_changed;
	*bad = bad_files;
	return 0;
}
