/* SPDX-License-Identifier: Apache-2.0 */
#include "source/watched_directory.h"

#include <errno.h>
#include <event2/event.h>
#include <stdlib.h>
#include <time.h>

#include "base/cleanup.h"
#include "source/directory.h"

/*
 * A directory is removed file by file, and one that takes its place is filled file by file: policies would be gone
 * before it is, or pods there before their policies. So what is gone counts when nothing more has gone for a moment, and a
 * directory that was replaced when nothing more has happened to it; but never later than the limit after it began. One
 * file that goes is rarely the first of all.
 */
#define QUIET_MILLISECONDS 20
#define QUIET_MANY_MILLISECONDS 100
#define QUIET_LIMIT_MILLISECONDS 1000
/* Files that someone has open for writing are looked at again so soon, and then after twice the time, up to the limit. */
#define BUSY_MILLISECONDS 50
#define BUSY_LIMIT_MILLISECONDS 8000

struct watched_directory {
	struct source source;
	struct directory_source *directory;
	struct event *readable;
	struct event *quiet; /* pending: that nothing more happens is waited for */
	enum directory_news awaited; /* the most that was told since that began */
	int64_t quiet_began; /* CLOCK_MONOTONIC, ms */
	struct event *busy;  /* pending: there are files to look at again */
	unsigned int busy_milliseconds; /* the pause until then */
	source_notify notify;
	void *data;
};

static struct watched_directory *of(struct source *source)
{
	return (struct watched_directory *)source;
}

static int64_t milliseconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void on_quiet(evutil_socket_t fd, short what, void *data)
{
	struct watched_directory *watched = data;

	(void)fd;
	(void)what;
	watched->notify(watched->data);
}

static void notify_now(struct watched_directory *watched)
{
	event_del(watched->quiet);
	watched->notify(watched->data);
}

static bool awaits(const struct watched_directory *watched)
{
	return event_pending(watched->quiet, EV_TIMEOUT, NULL);
}

static void notify_when_quiet(struct watched_directory *watched, enum directory_news news)
{
	struct timeval pause = {.tv_usec = QUIET_MILLISECONDS * 1000};

	if (!awaits(watched)) {
		watched->quiet_began = milliseconds();
		watched->awaited = news;
	} else if (news == DIRECTORY_LEFT) {
		news = DIRECTORY_LEFT_MANY;
	}
	if (watched->awaited < news)
		watched->awaited = news;
	if (watched->awaited > DIRECTORY_LEFT)
		pause.tv_usec = QUIET_MANY_MILLISECONDS * 1000;
	if (milliseconds() - watched->quiet_began >= QUIET_LIMIT_MILLISECONDS || event_add(watched->quiet, &pause))
		notify_now(watched);
}

static void on_readable(evutil_socket_t fd, short what, void *data)
{
	struct watched_directory *watched = data;
	enum directory_news news = directory_source_dispatch(watched->directory);

	(void)fd;
	(void)what;
	if (news == DIRECTORY_CHANGED && !(awaits(watched) && watched->awaited == DIRECTORY_REPLACED))
		notify_now(watched);
	else if (news != DIRECTORY_SAME)
		notify_when_quiet(watched, news);
}

static void on_busy(evutil_socket_t fd, short what, void *data)
{
	struct watched_directory *watched = data;

	(void)fd;
	(void)what;
	directory_source_recall_busy(watched->directory);
	watched->notify(watched->data);
}

static void wait_for_writers(struct watched_directory *watched)
{
	struct timeval pause = {.tv_sec = watched->busy_milliseconds / 1000,
				.tv_usec = watched->busy_milliseconds % 1000 * 1000};

	if (event_pending(watched->busy, EV_TIMEOUT, NULL))
		return;
	event_add(watched->busy, &pause);
	watched->busy_milliseconds *= 2;
	if (watched->busy_milliseconds > BUSY_LIMIT_MILLISECONDS)
		watched->busy_milliseconds = BUSY_LIMIT_MILLISECONDS;
}

static int start_watching(struct source *source, struct event_base *loop, source_notify notify, void *data)
{
	struct watched_directory *watched = of(source);

	watched->notify = notify;
	watched->data = data;
	watched->readable = event_new(loop, directory_source_fd(watched->directory), EV_READ | EV_PERSIST, on_readable,
				      watched);
	watched->quiet = evtimer_new(loop, on_quiet, watched);
	watched->busy = evtimer_new(loop, on_busy, watched);
	return !watched->readable || !watched->quiet || !watched->busy || event_add(watched->readable, NULL) ? -ENOMEM : 0;
}

static int sync_store(struct source *source, struct store *store, struct problem_list *problems, bool *changed,
		      size_t *bad)
{
	struct watched_directory *watched = of(source);
	int error = directory_source_sync(watched->directory, store, problems, changed, bad);

	/* Before the loop there is only the start, which waits by itself. */
	if (!watched->busy)
		return error;
	if (directory_source_is_busy(watched->directory))
		wait_for_writers(watched);
	else
		watched->busy_milliseconds = BUSY_MILLISECONDS;
	return error;
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
	if (watched->quiet)
		event_free(watched->quiet);
	if (watched->busy)
		event_free(watched->busy);
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
	watched->busy_milliseconds = BUSY_MILLISECONDS;
	error = directory_source_new(path, &watched->directory);
	if (error)
		return error;
	*out = &take(watched)->source;
	return 0;
}
