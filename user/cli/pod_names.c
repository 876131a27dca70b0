/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/pod_names.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/memory.h"

/* More names than these are counted, not listed. */
#define NAMES_LISTED 5

void pod_names_clear(struct pod_names *names)
{
	free(names->items);
	*names = (struct pod_names){0};
}

static int compare(const void *a, const void *b)
{
	const struct pod_name *x = a, *y = b;
	int order = strcmp(x->namespace, y->namespace);

	return order ? order : strcmp(x->name, y->name);
}

void pod_names_sort(struct pod_names *names)
{
	size_t used = 0, i;

	if (!names->count)
		return;
	qsort(names->items, names->count, sizeof(*names->items), compare);
	for (i = 0; i < names->count; i++)
		if (!used || compare(&names->items[used - 1], &names->items[i]))
			names->items[used++] = names->items[i];
	names->count = used;
}

size_t pod_names_namespace_end(const struct pod_names *names, size_t first)
{
	size_t end = first;

	while (end < names->count && !strcmp(names->items[end].namespace, names->items[first].namespace))
		end++;
	return end;
}

/* How many pods of the namespace have names that begin with the first `length` bytes of pod->name. */
static size_t count_matches(const struct pod_names *all, const struct pod_name *pod, size_t length)
{
	size_t count = 0, i;

	for (i = 0; i < all->count; i++)
		count += !strcmp(all->items[i].namespace, pod->namespace) &&
			 !strncmp(all->items[i].name, pod->name, length);
	return count;
}

/* What sorted names have in common is what the first and the last have; cut back to a whole word. */
static size_t common_length(const char *first, const char *last)
{
	size_t length = 0;

	while (first[length] && first[length] == last[length])
		length++;
	while (length && first[length - 1] != '-')
		length--;
	return length;
}

static char *list_names(const struct pod_names *some, size_t first, size_t end)
{
	size_t listed = end - first > NAMES_LISTED + 1 ? NAMES_LISTED : end - first, size, i;
	char *text = NULL;
	FILE *file = open_memstream(&text, &size);

	if (!file)
		out_of_memory();
	for (i = first; i < first + listed; i++)
		fprintf(file, "%s%s/%s", i > first ? ", " : "", some->items[i].namespace, some->items[i].name);
	if (first + listed < end)
		fprintf(file, " and %zu more", end - first - listed);
	if (fclose(file) || !text)
		out_of_memory();
	return text;
}

char *pod_names_text(const struct pod_names *some, size_t first, size_t end, const struct pod_names *all)
{
	const struct pod_name *pod = &some->items[first];
	size_t length;

	if (end - first == 1)
		return format_text("%s/%s", pod->namespace, pod->name);
	if (count_matches(all, pod, 0) == end - first)
		return format_text("%s/* (%zu pods)", pod->namespace, end - first);
	length = common_length(pod->name, some->items[end - 1].name);
	if (length && count_matches(all, pod, length) == end - first)
		return format_text("%s/%.*s* (%zu pods)", pod->namespace, (int)length, pod->name, end - first);
	return list_names(some, first, end);
}
