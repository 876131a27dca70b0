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

/* As it was at one moment. */
struct manifest_content {
	char *text;    /* a zero byte is behind it */
	size_t length; /* without that */
	struct file_identity identity;
	/*
	 * No later write can leave the identity as it is: file systems stamp times by the clock tick, so a second write in the
	 * tick of the first may not show.
	 */
	bool settled;
};
void manifest_content_clear(struct manifest_content *content);

/* What the last name of a path may be. */
enum manifest_links {
	MANIFEST_ANY_LINK, /* a link leads to what is read */
	MANIFEST_NO_LINK,  /* of a link the error is -ELOOP */
};

/*
 * 0: the caller clears *out. -EBUSY: someone has it open for writing, which of NFS and SMB is not known; -EFBIG: larger
 * than `limit`; -EINVAL: not a regular file; -errno.
 */
int manifest_file_read(const char *path, enum manifest_links links, size_t limit, struct manifest_content *out);
/* 0; -EINVAL: not a regular file; -errno. */
int manifest_file_identify(const char *path, struct file_identity *identity);

#endif
