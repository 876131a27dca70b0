/* SPDX-License-Identifier: Apache-2.0 */
#include "datapath/connections.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"

void connections_clear(struct connections *list)
{
	free(list->items);
	*list = (struct connections){0};
}

int connections_add(struct connections *list, const struct connection *connection)
{
	if (list->count >= CONNECTIONS_MAX)
		return 0;
	if (array_reserve(&list->items, &list->capacity, list->count + 1, sizeof(*list->items)))
		return -ENOMEM;
	list->items[list->count++] = *connection;
	return 0;
}

static int compare_tuples(const void *a, const void *b)
{
	const struct connection *first = a, *second = b;

	return memcmp(&first->tuple, &second->tuple, sizeof(first->tuple));
}

void connections_sort(struct connections *list)
{
	if (list->count)
		qsort(list->items, list->count, sizeof(*list->items), compare_tuples);
}

const struct connection *connections_find(const struct connections *sorted, const struct flow_tuple *tuple)
{
	const struct connection wanted = {.tuple = *tuple};

	if (!sorted->count)
		return NULL;
	return bsearch(&wanted, sorted->items, sorted->count, sizeof(wanted), compare_tuples);
}

bool connections_is_own(const struct egress_endpoint *pod, uint8_t family, const uint32_t address[4])
{
	static const uint32_t none[4];

	if (family == 4)
		return pod->ipv4 && address[0] == pod->ipv4;
	return memcmp(pod->ipv6, none, sizeof(none)) && !memcmp(address, pod->ipv6, sizeof(none));
}
