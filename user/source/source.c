/* SPDX-License-Identifier: Apache-2.0 */
#include "source/source.h"

int source_start(struct source *source, struct event_base *loop, source_notify notify, void *data)
{
	return source->operations->start(source, loop, notify, data);
}

int source_sync(struct source *source, struct store *store, struct problem_list *problems, bool *changed, size_t *bad)
{
	return source->operations->sync(source, store, problems, changed, bad);
}

bool source_waits(const struct source *source, FILE *reasons)
{
	return source->operations->waits(source, reasons);
}

void source_tell(struct source *source, const struct object *pod, const char *reason, const char *message)
{
	if (source->operations->tell)
		source->operations->tell(source, pod, reason, message);
}

void source_free(struct source *source)
{
	if (source)
		source->operations->free(source);
}
