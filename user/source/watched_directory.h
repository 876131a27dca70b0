/* SPDX-License-Identifier: Apache-2.0 */
/* A directory of manifests (source/directory.h) as a source on the agent's loop. */
#ifndef EGRESSD_SOURCE_WATCHED_DIRECTORY_H
#define EGRESSD_SOURCE_WATCHED_DIRECTORY_H

#include "source/source.h"

/* 0; -errno of directory_source_new. */
int watched_directory_new(const char *path, struct source **out);

#endif
