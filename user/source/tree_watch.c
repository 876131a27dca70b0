/* SPDX-License-Identifier: Apache-2.0 */
#include "source/tree_watch.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

/* Memory that runs out is an error to return, not a reason to exit. */
#define HASH_NONFATAL_OOM 1
#include <uthash.h>

#include "base/cleanup.h"

/*
 * Not IN_MODIFY: a file counts when its writer closes it. IN_CREATE for directories, links and symbolic links, which
 * nobody closes; IN_ATTRIB for permissions that change.
 */
#define WATCHED                                                                                             \
	(IN_CLOSE_WRITE | IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_ATTRIB | IN_DELETE_SELF | \
	 IN_MOVE_SELF)

struct directory_watch {
	int descriptor;    /* of inotify; the key */
	unsigned int walk; /* the last one that named it */
	bool all;          /* every event counts */
	const char *entry; /* else only those about this name */
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

static void forget(struct tree_watch *watch, struct directory_watch *directory)
{
	HASH_DEL(watch->directories, directory);
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
static int add(struct tree_watch *watch, const char *path, bool all, const char *entry)
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
	if (directory->walk != watch->walk)
		directory->all = false;
	directory->walk = watch->walk;
	directory->all |= all;
	if (entry)
		directory->entry = entry;
	return 0;
}

int tree_watch_directory(struct tree_watch *watch, const char *path)
{
	return add(watch, path, true, NULL);
}

int tree_watch_entry(struct tree_watch *watch, const char *path, const char *name)
{
	return add(watch, path, false, name);
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

static bool counts(struct tree_watch *watch, const struct inotify_event *event)
{
	struct directory_watch *directory;

	if (event->mask & IN_Q_OVERFLOW)
		return true;
	HASH_FIND_INT(watch->directories, &event->wd, directory);
	if (!directory)
		return false;
	/* The directory is gone, and its watch with it; IN_DELETE_SELF came before. */
	if (event->mask & IN_IGNORED) {
		forget(watch, directory);
		return false;
	}
	if (directory->all)
		return true;
	return directory->entry && event->len && !strcmp(event->name, directory->entry);
}

bool tree_watch_dispatch(struct tree_watch *watch)
{
	char buffer[64 * (sizeof(struct inotify_event) + NAME_MAX + 1)]
		__attribute__((aligned(__alignof__(struct inotify_event))));
	bool interest = false;
	ssize_t length;

	while ((length = read(watch->fd, buffer, sizeof(buffer))) > 0 || (length < 0 && errno == EINTR)) {
		const char *next = buffer;

		while (length > 0 && next < buffer + length) {
			const struct inotify_event *event = (const void *)next;

			if (counts(watch, event))
				interest = true;
			next += sizeof(*event) + event->len;
		}
	}
	return interest;
}
