/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Only one agent at a time acts on a pin directory and writes a state directory. The kernel drops a dead agent's locks.
 */
#ifndef EGRESSD_AGENT_LOCK_H
#define EGRESSD_AGENT_LOCK_H

/*
 * Locks an existing directory for this process until the descriptor is closed. An agent that was just killed may need a
 * moment to be gone, so it tries for a second. 0; -EWOULDBLOCK: another has it; -errno.
 */
int lock_directory(const char *path, int *out);

#endif
