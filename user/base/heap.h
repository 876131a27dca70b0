/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How much of the memory that it does not use a process keeps: malloc's settings, which are the whole process's, so that
 * there is one thread that calls this. For a program that runs for days; in one that does not call heap_keep_small()
 * nothing here does anything.
 */
#ifndef EGRESSD_BASE_HEAP_H
#define EGRESSD_BASE_HEAP_H

#include <stdbool.h>
#include <stddef.h>

/* Before other threads are there. What is taken for a moment is to leave as little behind as can be. */
void heap_keep_small(void);

/* About so many bytes will be taken for a moment: where they are many, they are to be there the next time too. */
void heap_expect(size_t bytes);

/*
 * After what took memory for a moment. True: it was so much that to get it again takes long; the next such moment finds
 * it there, and whoever calls this calls heap_release() once none has come for a while. False: the same, at once.
 */
bool heap_may_wait(void);
/* Gives back what is not used, but for the little that most changes take. */
void heap_release(void);

#endif
