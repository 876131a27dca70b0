/* SPDX-License-Identifier: Apache-2.0 */
#include "base/lock.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"

#define ATTEMPTS 50
#define ATTEMPT_PAUSE_NS 20000000L

bool lock_holds(const char *path, int fd)
{
	struct stat locked, present;

	return !fstat(fd, &locked) && !stat(path, &present) && locked.st_dev == present.st_dev &&
	       locked.st_ino == present.st_ino;
}

static int try_for_a_second(int fd)
{
	const struct timespec pause = {.tv_nsec = ATTEMPT_PAUSE_NS};
	int attempt;

	for (attempt = 1; flock(fd, LOCK_EX | LOCK_NB); attempt++) {
		if (errno != EWOULDBLOCK && errno != EINTR)
			return -errno;
		if (attempt == ATTEMPTS)
			return -EWOULDBLOCK;
		nanosleep(&pause, NULL);
	}
	return 0;
}

static int wait_for_it(int fd)
{
	while (flock(fd, LOCK_EX))
		if (errno != EINTR)
			return -errno;
	return 0;
}

static int lock(const char *path, int (*acquire)(int fd), int *out)
{
	for (;;) {
		_cleanup_fd_ int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		int error;

		if (fd < 0)
			return -errno;
		error = acquire(fd);
		if (error)
			return error;
		/* Who had it may have removed the directory, and another may have made it anew. */
		if (lock_holds(path, fd)) {
			*out = take_fd(&fd);
			return 0;
		}
	}
}

int lock_directory(const char *path, int *out)
{
	return lock(path, try_for_a_second, out);
}

int lock_directory_wait(const char *path, int *out)
{
	return lock(path, wait_for_it, out);
}
