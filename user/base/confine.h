/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a process gives up once it knows what it needs: capabilities, privileges by execve, system calls.
 *
 * The filter of system calls is a list of what is allowed, by purpose (confine.c): it is the shorter list, it says what
 * the program does, and a call that a later kernel brings is outside until somebody needs it. What is not on it fails
 * with ENOSYS, as on a kernel without it, so that libraries take the older way where they know one.
 */
#ifndef EGRESSD_BASE_CONFINE_H
#define EGRESSD_BASE_CONFINE_H

#include <stddef.h>

/* Other programs may be run: with no more capabilities than are kept here, and under the same filter. */
#define CONFINE_RUN_PROGRAMS (1u << 0)

/*
 * Keeps, of the capabilities that the process has, those listed (CAP_*), in all of its sets and in the bounding set;
 * sets no_new_privs; installs the filter, for all threads and for all that they start. Cannot be undone. 0 or -errno;
 * *failed then says at what (static).
 */
int confine(const int *capabilities, size_t count, unsigned int purposes, const char **failed);

#endif
