/* SPDX-License-Identifier: Apache-2.0 */
/*
 * No entry of a long name comes into any store while the file $NO_ROOM_WHILE is there, but for the first $NO_ROOM_AFTER
 * of them: the API's objects are in a store of the source before they are in the agent's. With $NO_ROOM_BEHIND there is
 * room for the entry, and none for the next array that grows.
 */
#define _GNU_SOURCE /* RTLD_NEXT */
#include <dlfcn.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <unistd.h>

/* Of what is allocated as one piece with zeroes in it only what ends with a text has an odd size. */
#define LONG 300

static bool full;

static bool has_room(void)
{
	const char *file = getenv("NO_ROOM_WHILE"), *after = getenv("NO_ROOM_AFTER");
	static long calls;

	if (!file || access(file, F_OK))
		return true;
	return calls++ < (after ? atol(after) : 0);
}

void *calloc(size_t count, size_t size)
{
	static void *(*next)(size_t count, size_t size);
	int error = errno;

	if (count == 1 && size > LONG && size % 2 && !has_room()) {
		full = getenv("NO_ROOM_BEHIND");
		if (!full) {
			errno = ENOMEM;
			return NULL;
		}
	}
	errno = error;
	/* The sanitizer's, where there is one. */
	if (!next)
		next = dlsym(RTLD_NEXT, "calloc");
	return next(count, size);
}

void *realloc(void *old, size_t size)
{
	static void *(*next)(void *old, size_t size);

	if (full) {
		full = false;
		errno = ENOMEM;
		return NULL;
	}
	if (!next)
		next = dlsym(RTLD_NEXT, "realloc");
	return next(old, size);
}
