/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Looking for connections takes as long as there are connections, sockets and processes, of which pods can make many; so
 * it is done in a thread of its own, which touches nothing but its list.
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/eventfd.h>

#include "base/cleanup.h"
#include "datapath/discovery.h"

struct discovery_search {
	struct discoveries *list;
	pthread_t thread;
	int fd;
};

static void *search_in_thread(void *data)
{
	const struct discovery_search *search = data;

	discovery_find(search->list);
	/* The first value of a counter that nobody reads cannot be refused. */
	eventfd_write(search->fd, 1);
	return NULL;
}

int discovery_start(struct discoveries *list, struct discovery_search **out)
{
	_cleanup_free_ struct discovery_search *search = calloc(1, sizeof(*search));
	_cleanup_fd_ int fd = eventfd(0, EFD_CLOEXEC);
	int error;

	if (!search)
		return -ENOMEM;
	if (fd < 0)
		return -errno;
	search->list = list;
	search->fd = fd;
	error = -pthread_create(&search->thread, NULL, search_in_thread, search);
	if (error)
		return error;
	take_fd(&fd);
	*out = take(search);
	return 0;
}

int discovery_fd(const struct discovery_search *search)
{
	return search->fd;
}

bool discovery_wait(const struct discovery_search *search, int milliseconds)
{
	struct pollfd wanted = {.fd = search->fd, .events = POLLIN};

	return poll(&wanted, 1, milliseconds) > 0;
}

struct discoveries *discovery_end(struct discovery_search *search)
{
	struct discoveries *list = search->list;

	pthread_join(search->thread, NULL);
	close(search->fd);
	free(search);
	return list;
}
