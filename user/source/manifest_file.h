/* SPDX-License-Identifier: Apache-2.0 */
/* Reading one file whole, or not at all. */
#ifndef EGRESSD_SOURCE_MANIFEST_FILE_H
#define EGRESSD_SOURCE_MANIFEST_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>

/* What tells one content of a path from another without reading it. */
struct file_identity {
	dev_t device;
	ino_t inode;
	off_t size;
	struct timespec modified, changed;
};
bool file_identity_equal(const struct file_identity *a, const struct file_identity *b);
/* 0; -EINVAL: not a regular file. */
int file_identity_of(const struct stat *status, struct file_identity *identity);

/*
 * The content as it was at one moment; the caller frees *text. *settled: no later write can leave the identity as it is
 * (file systems stamp times by the clock tick, so a second write in the tick of the first may not show).
 * -EBUSY: someone has it open for writing, which of NFS and SMB is not known; -EFBIG: larger than `limit`; -EINVAL: not a
 * regular file; -errno.
 */
int manifest_file_read(const char *path, size_t limit, char **text, size_t *length, struct file_identity *identity,
		       bool *settled);
/* 0; -EINVAL: not a regular file; -errno. */
int manifest_file_identify(const char *path, struct file_identity *identity);

#endif
