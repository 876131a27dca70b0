/* SPDX-License-Identifier: Apache-2.0 */
#include "source/watched_directory.h"

#include <errno.h>
#include <event2/event.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "source/directory.h"

struct watched_directory {
	struct source source;
	struct directory_source *directory;
	struct event *readable;
	source_notify notify;
	void *data;
};

static struct watched_directory *of(struct source *source)
{
	return (struct watched_directory *)source;
}

static void on_readable(evutil_socket_t fd, short what, void *data)
{
	struct watched_directory *watched = data;

	(void)fd;
	(void)what;
	if (directory_source_dispatch(watched->directory))
		watched->notify(watched->data);
}

static int start_watching(struct source *source, struct event_base *loop, source_notify notify, void *data)
{
	struct watched_directory *watched = of(source);

	watched->notify = notify;
	watched->data = data;
	watched->readable = event_new(loop, directory_source_fd(watched->directory), EV_READ | EV_PERSIST, on_readable,
				      watched);
	return !watched->readable || event_add(watched->readable, NULL) ? -ENOMEM : 0;
}

static int sync_store(struct source *source, struct store *store, struct problem_list *problems, bool *changed,
		      size_t *bad)
{
	return directory_source_sync(of(source)->directory, store, problems, changed, bad);
}

/* What a sync finds is all that there is. */
static bool waits(const struct source *source, FILE *reasons)
{
	(void)source;
	(void)reasons;
	return false;
}

static void free_watched(struct source *source)
{
	struct watched_directory *watched = of(source);

	if (watched->readable)
		event_free(watched->readable);
	directory_source_free(watched->directory);
	free(watched);
}

int watched_directory_new(const char *path, struct source **out)
{
	static const struct source_operations operations = {start_watching, sync_store, waits, NULL, free_watched};
	_cleanup_free_ struct watched_directory *watched = calloc(1, sizeof(*watched));
	int error;

	if (!watched)
		return -ENOMEM;
	watched->source.operations = &operations;
	error = directory_source_new(path, &watched->directory);
	if (error)
		return error;
	*out = &take(watched)->source;
	return 0;
}
