/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How much of the memory that it does not use a process keeps: malloc's settings, which are the whole process's, so one
 * thread alone calls this. For a program that runs for days; in one that does not call heap_keep_small() nothing here
 * does anything.
 */
#ifndef EGRESSD_BASE_HEAP_H
#define EGRESSD_BASE_HEAP_H

#include <stdbool.h>
#include <stddef.h>

/* Before other threads are there. What is taken for a moment is to leave as little behind as can be. */
void heap_keep_small(void);

/*
 * About so many bytes will be taken for a moment. Where they are many, pieces of them that are done with are there for
 * the ones that follow, until heap_may_wait() says otherwise.
 */
void heap_expect(size_t bytes);

/*
 * After what took memory for a moment. True: so much is in use that the same once more takes long to get from the
 * kernel; it stays there for the next such moment until heap_release(), which is to be called once none has come for a
 * while. False: that is to be called now.
 */
bool heap_may_wait(void);
/* Gives back what is not used, unless it is little. */
void heap_release(void);

#endif
