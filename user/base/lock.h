/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Only one program at a time acts on a pin directory or writes a state directory. A lock is on the directory itself, by
 * whatever path it was reached, until the descriptor is closed; the kernel drops a dead process's locks.
 */
#ifndef EGRESSD_BASE_LOCK_H
#define EGRESSD_BASE_LOCK_H

#include <stdbool.h>

/*
 * Locks an existing directory. An agent that was just killed may need a moment to be gone, so it tries for a second.
 * 0; -EWOULDBLOCK: another has it; -ENOENT: it is not there, or was removed by whoever had the lock; -errno.
 */
int lock_directory(const char *path, int *out);
/* The same, but waits for as long as another has it. */
int lock_directory_wait(const char *path, int *out);

/* Whether the path still leads to the directory that was locked. */
bool lock_holds(const char *path, int fd);

#endif
