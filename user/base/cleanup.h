/* SPDX-License-Identifier: Apache-2.0 */
/* Ownership that ends with the scope. */
#ifndef EGRESSD_BASE_CLEANUP_H
#define EGRESSD_BASE_CLEANUP_H

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define _cleanup_(function) __attribute__((cleanup(function)))

/* Takes the value out of a variable that would be cleaned up: `*out = take(list);` */
#define take(pointer)                               \
	({                                          \
		__typeof__(pointer) *_from = &(pointer); \
		__typeof__(pointer) _value = *_from;  \
		*_from = NULL;                      \
		_value;                             \
	})

static inline int take_fd(int *fd)
{
	int value = *fd;

	*fd = -1;
	return value;
}

/* Keeps errno, so that an error path can report what went wrong first. */
static inline void close_fd(int *fd)
{
	int saved = errno;

	if (*fd >= 0)
		close(*fd);
	*fd = -1;
	errno = saved;
}

static inline void free_pointer(void *pointer)
{
	free(*(void **)pointer);
}

static inline void close_file(FILE **file)
{
	if (*file)
		fclose(*file);
}

static inline void close_directory(DIR **directory)
{
	if (*directory)
		closedir(*directory);
}

#define _cleanup_free_ _cleanup_(free_pointer)
#define _cleanup_fd_ _cleanup_(close_fd)
#define _cleanup_file_ _cleanup_(close_file)
#define _cleanup_directory_ _cleanup_(close_directory)

#define ARRAY_SIZE(array) (sizeof(array) / sizeof((array)[0]))

#endif
