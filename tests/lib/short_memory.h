/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Allocations of the library that fail when the test says so. For programs that are linked with --wrap for the
 * functions that allocate (Makefile); those of other libraries are not touched.
 */
#ifndef EGRESSD_TESTS_LIB_SHORT_MEMORY_H
#define EGRESSD_TESTS_LIB_SHORT_MEMORY_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>

/* Allocations that succeed from now on; negative: all. */
static long left = -1;
static bool lasts; /* all that come after them fail, not one */
static bool failed;

static bool fails_now(void)
{
	if (left < 0 || left-- > 0)
		return false;
	left = lasts ? 0 : -1;
	failed = true;
	errno = ENOMEM;
	return true;
}

/* The linker's names. */
void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *old, size_t size);
void *__real_reallocarray(void *old, size_t count, size_t size);
char *__real_strdup(const char *text);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *old, size_t size);
void *__wrap_reallocarray(void *old, size_t count, size_t size);
char *__wrap_strdup(const char *text);

void *__wrap_malloc(size_t size)
{
	return fails_now() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
	return fails_now() ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *old, size_t size)
{
	return fails_now() ? NULL : __real_realloc(old, size);
}

void *__wrap_reallocarray(void *old, size_t count, size_t size)
{
	return fails_now() ? NULL : __real_reallocarray(old, count, size);
}

char *__wrap_strdup(const char *text)
{
	return fails_now() ? NULL : __real_strdup(text);
}

/* Whether the allocation that is the number'th of the next call will fail; ask had_enough() after it. */
static inline void fail_after(long number)
{
	left = number;
	lasts = failed = false;
}

/* The same for this one and all after it. */
static inline void fail_from(long number)
{
	fail_after(number);
	lasts = true;
}

static inline bool had_enough(void)
{
	left = -1;
	return !failed;
}

#endif
