/* SPDX-License-Identifier: Apache-2.0 */
#include "source/tree_watch.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/hash.h"

/*
 * Not IN_MODIFY: a file counts when its writer closes it. IN_CREATE for directories, links and symbolic links, which
 * nobody closes; IN_ATTRIB for permissions that change.
 */
#define WATCHED                                                                                             \
	(IN_CLOSE_WRITE | IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_ATTRIB | IN_DELETE_SELF | \
	 IN_MOVE_SELF)

struct watched_name {
	struct watched_name *next;
	char text[];
};

struct directory_watch {
	int descriptor;    /* of inotify; the key */
	unsigned int walk; /* the last one that named it */
	bool all;          /* every event counts */
	bool named;        /* as one whose entries are looked at */
	struct watched_name *names; /* else only those about one of these */
	char *path;        /* of it, if it was named once */
	UT_hash_handle hh;
};

struct tree_watch {
	int fd;
	unsigned int walk;
	struct directory_watch *directories;
};

int tree_watch_new(struct tree_watch **out)
{
	_cleanup_free_ struct tree_watch *watch = calloc(1, sizeof(*watch));

	if (!watch)
		return -ENOMEM;
	watch->fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	if (watch->fd < 0)
		return -errno;
	*out = take(watch);
	return 0;
}

static void forget_names(struct directory_watch *directory)
{
	struct watched_name *name;

	while ((name = directory->names)) {
		directory->names = name->next;
		free(name);
	}
}

static bool is_named(const struct directory_watch *directory, const char *text)
{
	const struct watched_name *name;

	for (name = directory->names; name; name = name->next)
		if (!strcmp(name->text, text))
			return true;
	return false;
}

static int add_name(struct directory_watch *directory, const char *text)
{
	size_t size = strlen(text) + 1;
	struct watched_name *name;

	if (is_named(directory, text))
		return 0;
	name = malloc(sizeof(*name) + size);
	if (!name)
		return -ENOMEM;
	memcpy(name->text, text, size);
	name->next = directory->names;
	directory->names = name;
	return 0;
}

static void forget(struct tree_watch *watch, struct directory_watch *directory)
{
	HASH_DEL(watch->directories, directory);
	forget_names(directory);
	free(directory->path);
	free(directory);
}

void tree_watch_free(struct tree_watch *watch)
{
	struct directory_watch *directory, *next;

	if (!watch)
		return;
	HASH_ITER(hh, watch->directories, directory, next)
		forget(watch, directory);
	close(watch->fd);
	free(watch);
}

int tree_watch_fd(const struct tree_watch *watch)
{
	return watch->fd;
}

void tree_watch_begin(struct tree_watch *watch)
{
	watch->walk++;
}

/* inotify gives one descriptor a directory, however often and by whatever path it is added. */
static int add(struct tree_watch *watch, const char *path, bool all, struct directory_watch **out)
{
	struct directory_watch *directory;
	int descriptor = inotify_add_watch(watch->fd, path, WATCHED | IN_ONLYDIR);

	if (descriptor < 0)
		return -errno;
	HASH_FIND_INT(watch->directories, &descriptor, directory);
	if (!directory) {
		directory = calloc(1, sizeof(*directory));
		if (!directory) {
			inotify_rm_watch(watch->fd, descriptor);
			return -ENOMEM;
		}
		directory->descriptor = descriptor;
		HASH_ADD_INT(watch->directories, descriptor, directory);
		if (!directory->hh.tbl) {
			free(directory);
			inotify_rm_watch(watch->fd, descriptor);
			return -ENOMEM;
		}
	}
	if (directory->walk != watch->walk) {
		directory->all = directory->named = false;
		free(take(directory->path));
		forget_names(directory);
	}
	directory->walk = watch->walk;
	directory->all |= all;
	*out = directory;
	return 0;
}

int tree_watch_directory(struct tree_watch *watch, const char *path)
{
	struct directory_watch *directory;

	return add(watch, path, true, &directory);
}

int tree_watch_entries(struct tree_watch *watch, const char *path, int *identity)
{
	struct directory_watch *directory;
	int error = add(watch, path, true, &directory);

	if (error)
		return error;
	/* By another path its entries have other names; without memory it has none either. */
	if (directory->named)
		free(take(directory->path));
	else
		directory->path = strdup(path);
	directory->named = true;
	/* inotify never gives a number twice. */
	*identity = directory->descriptor;
	return 0;
}

int tree_watch_entry(struct tree_watch *watch, const char *path, const char *name)
{
	struct directory_watch *directory;
	int error = add(watch, path, false, &directory);

	return error ? error : add_name(directory, name);
}

void tree_watch_end(struct tree_watch *watch)
{
	struct directory_watch *directory, *next;

	HASH_ITER(hh, watch->directories, directory, next) {
		if (directory->walk == watch->walk)
			continue;
		inotify_rm_watch(watch->fd, directory->descriptor);
		forget(watch, directory);
	}
}

bool tree_watch_is_empty(const struct tree_watch *watch)
{
	return !watch->directories;
}

/* What is told of the events of one dispatch. */
struct dispatch {
	struct tree_watch *watch;
	tree_entry_handler entry;
	void *data;
	enum tree_news news;
	bool walk;
	uint32_t leaving; /* cookie of an entry that left, until it arrives; 0: none */
};

static void note_news(struct dispatch *dispatch, enum tree_news news)
{
	if (dispatch->news < news)
		dispatch->news = news;
}

#define ABOUT_DIRECTORIES (IN_ISDIR | IN_DELETE_SELF | IN_MOVE_SELF | IN_UNMOUNT)

/* Who follows single entries must not see one gone that has another name by now. */
static void follow_move(struct dispatch *dispatch, const struct inotify_event *event)
{
	if (event->mask & IN_MOVED_TO && event->cookie == dispatch->leaving) {
		dispatch->leaving = 0;
		return;
	}
	if (dispatch->leaving)
		dispatch->walk = true;
	dispatch->leaving = event->mask & IN_MOVED_FROM ? event->cookie : 0;
}

static void tell_entry(struct dispatch *dispatch, const struct directory_watch *directory,
		       const struct inotify_event *event)
{
	char path[PATH_MAX];
	int length;

	if (!directory->path || event->mask & ABOUT_DIRECTORIES || !event->len) {
		dispatch->walk = true;
		return;
	}
	length = snprintf(path, sizeof(path), "%s/%s", strcmp(directory->path, "/") ? directory->path : "",
			  event->name);
	if (length < 0 || (size_t)length >= sizeof(path))
		dispatch->walk = true;
	else if (dispatch->entry)
		dispatch->entry(path, event->mask & (IN_DELETE | IN_MOVED_FROM), dispatch->data);
}

static void take_event(struct dispatch *dispatch, const struct inotify_event *event)
{
	struct directory_watch *directory;

	if (event->mask & IN_Q_OVERFLOW) {
		note_news(dispatch, TREE_CHANGED);
		dispatch->walk = true;
		return;
	}
	follow_move(dispatch, event);
	HASH_FIND_INT(dispatch->watch->directories, &event->wd, directory);
	if (!directory)
		return;
	/* The directory is gone, and its watch with it; IN_DELETE_SELF came before. */
	if (event->mask & IN_IGNORED) {
		forget(dispatch->watch, directory);
		return;
	}
	if (directory->all) {
		if (!(event->mask & (IN_DELETE | IN_DELETE_SELF)))
			note_news(dispatch, TREE_CHANGED);
		else
			note_news(dispatch, dispatch->news == TREE_SAME ? TREE_LEFT : TREE_LEFT_MANY);
		tell_entry(dispatch, directory, event);
	} else if (event->len && is_named(directory, event->name)) {
		note_news(dispatch, TREE_REPLACED);
		dispatch->walk = true;
	}
}

enum tree_news tree_watch_dispatch_entries(struct tree_watch *watch, tree_entry_handler entry, void *data, bool *walk)
{
	char buffer[64 * (sizeof(struct inotify_event) + NAME_MAX + 1)]
		__attribute__((aligned(__alignof__(struct inotify_event))));
	struct dispatch dispatch = {.watch = watch, .entry = entry, .data = data};
	ssize_t length;

	while ((length = read(watch->fd, buffer, sizeof(buffer))) > 0 || (length < 0 && errno == EINTR)) {
		const char *next = buffer;

		while (length > 0 && next < buffer + length) {
			const struct inotify_event *event = (const void *)next;

			take_event(&dispatch, event);
			next += sizeof(*event) + event->len;
		}
	}
	if (dispatch.walk || dispatch.leaving)
		*walk = true;
	return dispatch.news;
}

enum tree_news tree_watch_dispatch(struct tree_watch *watch)
{
	bool walk = false;

	return tree_watch_dispatch_entries(watch, NULL, NULL, &walk);
}
