/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "source/manifest_file.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/heap.h"

/* Longer than any file system's time stamps are coarse: FAT counts in two seconds. */
#define SETTLED_SECONDS 3
/* A file that changes while it is read is read again, this often at most. */
#define READ_ATTEMPTS 3
/* While a file of no more bytes is read, whoever is to write it waits. */
#define HELD_MAX (1 << 20)
/* What is parsed and compiled takes about so many times the bytes of its text. */
#define TIMES_TEXT 10

static bool time_equal(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

bool file_identity_equal(const struct file_identity *a, const struct file_identity *b)
{
	return a->device == b->device && a->inode == b->inode && a->size == b->size &&
	       time_equal(&a->modified, &b->modified) && time_equal(&a->changed, &b->changed);
}

int file_identity_of(const struct stat *status, struct file_identity *identity)
{
	if (!S_ISREG(status->st_mode))
		return -EINVAL;
	*identity = (struct file_identity){
		.device = status->st_dev,
		.inode = status->st_ino,
		.size = status->st_size,
		.modified = status->st_mtim,
		.changed = status->st_ctim,
	};
	return 0;
}

int manifest_file_identify(const char *path, struct file_identity *identity)
{
	struct stat status;

	if (stat(path, &status))
		return -errno;
	return file_identity_of(&status, identity);
}

static int identify_fd(int fd, struct file_identity *identity)
{
	struct stat status;

	if (fstat(fd, &status))
		return -errno;
	return file_identity_of(&status, identity);
}

/* Where EAGAIN says that the server promises nothing, whoever writes. */
static bool is_served(int fd)
{
	struct statfs status;

	if (fstatfs(fd, &status))
		return false;
	switch ((unsigned int)status.f_type) {
	case NFS_SUPER_MAGIC:
	case SMB_SUPER_MAGIC:
	case CIFS_SUPER_MAGIC:
	case SMB2_SUPER_MAGIC:
		return true;
	default:
		return false;
	}
}

/*
 * A file that its writer has not closed may be half a file, and half a list of policies is a valid one. The kernel
 * grants a read lease only where nobody has the file open for writing; file systems without leases are taken as they
 * are. As long as it is held, whoever is to open the file for writing waits, and the kernel sends a signal: one that is
 * ignored by default, chosen for each lease anew, since letting go of one brings SIGIO back, which ends the process
 * (lease_modify() in the kernel's fs/locks.c).
 * 0; -EBUSY: someone has it open for writing. *held: the lease was granted.
 */
static int hold(int fd, bool *held)
{
	*held = !fcntl(fd, F_SETSIG, SIGURG) && !fcntl(fd, F_SETLEASE, F_RDLCK);
	return !*held && errno == EAGAIN && !is_served(fd) ? -EBUSY : 0;
}

static void let_go(int fd)
{
	fcntl(fd, F_SETLEASE, F_UNLCK);
}

static int read_all(int fd, char *text, size_t length)
{
	size_t done = 0;

	while (done < length) {
		ssize_t count = pread(fd, text + done, length - done, done);

		if (count < 0 && errno == EINTR)
			continue;
		if (count < 0)
			return -errno;
		if (!count)
			return -EAGAIN;
		done += count;
	}
	return 0;
}

/* Of what was read while no lease was held. */
static int check_unwritten(int fd)
{
	bool held;
	int error = hold(fd, &held);

	if (!error && held)
		let_go(fd);
	return error;
}

/* -EAGAIN: it changed meanwhile. A lease keeps writers away only where all of them come by this kernel, and not for ever. */
static int check_unchanged(int fd, const struct file_identity *before)
{
	struct file_identity after;
	int error = identify_fd(fd, &after);

	if (error)
		return error;
	return file_identity_equal(before, &after) ? 0 : -EAGAIN;
}

static int read_once(int fd, size_t limit, struct manifest_content *out)
{
	_cleanup_free_ char *text = NULL;
	struct file_identity before;
	bool held;
	int error = hold(fd, &held);

	if (!error)
		error = identify_fd(fd, &before);
	if (error)
		return error;
	if ((size_t)before.size > limit)
		return -EFBIG;
	if (held && before.size > HELD_MAX) {
		let_go(fd);
		held = false;
	}
	heap_expect((size_t)before.size * TIMES_TEXT);
	text = malloc(before.size + 1);
	if (!text)
		return -ENOMEM;
	error = read_all(fd, text, before.size);
	if (!error && !held)
		error = check_unwritten(fd);
	if (!error)
		error = check_unchanged(fd, &before);
	if (error)
		return error;
	text[before.size] = '\0';
	out->text = take(text);
	out->length = before.size;
	out->identity = before;
	return 0;
}

static bool is_settled(const struct file_identity *identity)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return identity->changed.tv_sec + SETTLED_SECONDS < now.tv_sec;
}

/*
 * Without O_NONBLOCK a fifo would hold the agent up until someone writes to it. That a manifest is read leaves no trace in
 * its inode, where it is ours or we may: to write down a time of access takes half as long as to read a small file.
 */
static int open_to_read(const char *path, int flags)
{
	int fd;

	flags |= O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC;
	fd = open(path, flags | O_NOATIME);
	if (fd < 0 && errno == EPERM)
		fd = open(path, flags);
	return fd;
}

int manifest_file_read(const char *path, enum manifest_links links, size_t limit, struct manifest_content *out)
{
	_cleanup_fd_ int fd = open_to_read(path, links == MANIFEST_NO_LINK ? O_NOFOLLOW : 0);
	struct manifest_content content = {0};
	int attempt, error = -EAGAIN;

	if (fd < 0)
		return errno == ENXIO ? -EINVAL : -errno;
	for (attempt = 0; error == -EAGAIN && attempt < READ_ATTEMPTS; attempt++)
		error = read_once(fd, limit, &content);
	if (error)
		return error == -EAGAIN ? -EBUSY : error;
	/* What is still held goes with the descriptor. */
	content.settled = is_settled(&content.identity);
	*out = content;
	return 0;
}

void manifest_content_clear(struct manifest_content *content)
{
	free(take(content->text));
}
