/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/lock.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"

#define ATTEMPTS 50
#define ATTEMPT_PAUSE_NS 20000000L

int lock_directory(const char *path, int *out)
{
	_cleanup_fd_ int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	const struct timespec pause = {.tv_nsec = ATTEMPT_PAUSE_NS};
	int attempt;

	if (fd < 0)
		return -errno;
	for (attempt = 1; flock(fd, LOCK_EX | LOCK_NB); attempt++) {
		if (errno != EWOULDBLOCK && errno != EINTR)
			return -errno;
		if (attempt == ATTEMPTS)
			return -EWOULDBLOCK;
		nanosleep(&pause, NULL);
	}
	*out = take_fd(&fd);
	return 0;
}
