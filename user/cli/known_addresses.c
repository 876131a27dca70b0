/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/known_addresses.h"

#include <stdlib.h>

#include "cli/memory.h"

static void add(struct known_addresses *known, const struct object *object, const struct ip_address *addresses,
		size_t count)
{
	size_t i;

	for (i = 0; i < count; i++) {
		struct known_address entry = {addresses[i], object};

		array_push(known->items, known->count, known->capacity, entry);
	}
}

static bool has_address_of_its_own(const struct pod *pod)
{
	return !pod->host_network && pod->phase != POD_SUCCEEDED && pod->phase != POD_FAILED;
}

static void add_kind(struct known_addresses *known, struct store *store, enum object_kind kind)
{
	struct object *const *objects;
	size_t count, i;

	objects = store_list(store, kind, &count);
	if (!objects && count)
		out_of_memory();
	for (i = 0; i < count; i++) {
		const struct object *object = objects[i];

		if (kind == OBJECT_SERVICE) {
			add(known, object, object->service.cluster_ips, object->service.cluster_ip_count);
			add(known, object, object->service.external_ips, object->service.external_ip_count);
		} else if (has_address_of_its_own(&object->pod)) {
			add(known, object, object->pod.addresses, object->pod.address_count);
		}
	}
}

static int compare(const void *a, const void *b)
{
	const struct known_address *x = a, *y = b;

	return ip_address_compare(&x->address, &y->address);
}

void known_addresses_read(struct store *store, struct known_addresses *out)
{
	*out = (struct known_addresses){0};
	if (!store)
		return;
	add_kind(out, store, OBJECT_POD);
	add_kind(out, store, OBJECT_SERVICE);
	if (out->count)
		qsort(out->items, out->count, sizeof(*out->items), compare);
}

void known_addresses_clear(struct known_addresses *known)
{
	free(known->items);
	*known = (struct known_addresses){0};
}

const struct object *known_addresses_find(const struct known_addresses *known, const struct ip_address *address)
{
	const struct known_address wanted = {.address = *address}, *found;

	if (!known->count)
		return NULL;
	found = bsearch(&wanted, known->items, known->count, sizeof(wanted), compare);
	return found ? found->object : NULL;
}

char *known_object_text(const struct object *object)
{
	return format_text("%s %s/%s", object->kind == OBJECT_POD ? "pod" : "service", object->namespace, object->name);
}
