/* SPDX-License-Identifier: Apache-2.0 */
/*
 * inotify watches on the directories that a walk came through. A walk begins with tree_watch_begin, names each
 * directory before it reads it (so that no change falls between), and ends with tree_watch_end, which drops the watches
 * of directories that the walk did not name.
 */
#ifndef EGRESSD_SOURCE_TREE_WATCH_H
#define EGRESSD_SOURCE_TREE_WATCH_H

#include <stdbool.h>

struct tree_watch;

/* 0 or -errno. */
int tree_watch_new(struct tree_watch **out);
void tree_watch_free(struct tree_watch *watch);
/* Readable when events wait. */
int tree_watch_fd(const struct tree_watch *watch);

/* What events told of. Where they told of several things, the last of these. */
enum tree_news {
	TREE_SAME,     /* nothing that counts */
	TREE_LEFT,     /* an entry was deleted, and nothing else happened: perhaps all of them are going */
	TREE_LEFT_MANY, /* the same, several */
	TREE_CHANGED,  /* or events were lost */
	TREE_REPLACED, /* what tree_watch_entry named */
};

void tree_watch_begin(struct tree_watch *watch);
/* Every event in the directory counts. 0 or -errno (-ENOSPC: the user's limit of watches). */
int tree_watch_directory(struct tree_watch *watch, const char *path);
/*
 * The same; its entries are told one by one (tree_watch_dispatch_entries). *identity: a number that is the directory's
 * for as long as walks name it, and never another one's, whatever is at that path.
 */
int tree_watch_entries(struct tree_watch *watch, const char *path, int *identity);
/* Only events about `name`, and others named so, in the directory at `path` count. 0 or -errno. */
int tree_watch_entry(struct tree_watch *watch, const char *path, const char *name);
void tree_watch_end(struct tree_watch *watch);
/* Nothing is watched: no walk named a directory, or all that the last one named are gone. */
bool tree_watch_is_empty(const struct tree_watch *watch);

/* Reads all events that wait. */
enum tree_news tree_watch_dispatch(struct tree_watch *watch);

/*
 * The same for a caller who looks at single entries instead of walking: `entry` is called with the path of each that
 * came, changed or went (left: it was deleted or has another name now) in a directory that the last walk named once with
 * tree_watch_entries. *walk is set where that does not tell all
 * (a directory came or went, an entry left and did not arrive, events were lost), and left alone otherwise.
 */
typedef void (*tree_entry_handler)(const char *path, bool left, void *data);
enum tree_news tree_watch_dispatch_entries(struct tree_watch *watch, tree_entry_handler entry, void *data, bool *walk);

#endif
