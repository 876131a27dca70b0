/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A directory of manifests as a source. Every file ending .yaml, .yml or .json in it and below it counts, except below
 * directories whose name begins with a dot and files whose own name does (editors' leftovers; the "..data" of a mounted
 * ConfigMap, whose files stand in the directory as symbolic links). Symbolic links are followed.
 *
 * The last good version of a file stays in force while its present one is wrong, unreadable or open for writing by
 * someone; two files that hold the same object: the one whose path sorts first has it, the other is a problem. Only
 * regular files are ever opened for reading.
 */
#ifndef EGRESSD_SOURCE_DIRECTORY_H
#define EGRESSD_SOURCE_DIRECTORY_H

#include "model/problem.h"
#include "model/store.h"

struct directory_source;

/* 0; -ENOTDIR, -ENOENT, -EACCES ... */
int directory_source_new(const char *path, struct directory_source **out);
void directory_source_free(struct directory_source *source);

/*
 * Reads what changed since the last call and brings `store` up to date, which must hold nothing but what this source
 * put there. *changed: something in the store is different now; *bad: how many files are wrong at present. `problems`
 * is replaced by all problems at present, also those of files that did not change. 0, or -errno where the directory
 * itself cannot be read (the store is then as before), -ENODATA where another one is in its place in which no manifest
 * is (likewise); -ENOMEM (call again: the store may be half way).
 */
int directory_source_sync(struct directory_source *source, struct store *store, struct problem_list *problems,
			  bool *changed, size_t *bad);

enum directory_news {
	DIRECTORY_SAME,      /* nothing of interest */
	DIRECTORY_CHANGED,   /* call sync */
	DIRECTORY_LEFT,      /* a file is gone: call sync when no other goes for a moment, as the directory may be going */
	DIRECTORY_LEFT_MANY, /* the same, and the directory is likely to be going */
	DIRECTORY_REPLACED,  /* the directory came or went: call sync when nothing has happened for a moment */
};

/*
 * inotify descriptor: readable when something may have changed. dispatch empties it. Changes that inotify does not tell
 * (network file systems, links to links elsewhere) are found by the next sync, so call it now and then anyway.
 */
int directory_source_fd(const struct directory_source *source);
enum directory_news directory_source_dispatch(struct directory_source *source);

/*
 * Were there files that the last sync found open for writing? That they are closed is told mostly, but not always
 * afterwards: the notice comes before the kernel lets go of the file, and none comes where it was opened by a name elsewhere.
 */
bool directory_source_is_busy(const struct directory_source *source);
/* The next sync looks at these files again. */
void directory_source_recall_busy(struct directory_source *source);

#endif
