/* SPDX-License-Identifier: Apache-2.0 */
#include "model/object.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/cleanup.h"

const char *object_kind_name(enum object_kind kind)
{
	static const char *const names[OBJECT_KIND_COUNT] = {
		[OBJECT_NETWORK_POLICY] = "NetworkPolicy",
		[OBJECT_NAMESPACE] = "Namespace",
		[OBJECT_POD] = "Pod",
		[OBJECT_SERVICE] = "Service",
		[OBJECT_ENDPOINT_SLICE] = "EndpointSlice",
		[OBJECT_NODE] = "Node",
	};

	return kind < OBJECT_KIND_COUNT ? names[kind] : "object";
}

const char *transport_name(enum transport transport)
{
	static const char *const names[TRANSPORT_COUNT] = {
		[TRANSPORT_TCP] = "TCP",
		[TRANSPORT_UDP] = "UDP",
		[TRANSPORT_SCTP] = "SCTP",
	};

	return transport < TRANSPORT_COUNT ? names[transport] : "unknown";
}

static int compare_key_to_label(const void *key, const void *label)
{
	return strcmp(key, ((const struct label *)label)->key);
}

const char *label_list_get(const struct label_list *labels, const char *key)
{
	const struct label *label;

	if (!labels->count)
		return NULL;
	label = bsearch(key, labels->items, labels->count, sizeof(*labels->items), compare_key_to_label);
	return label ? label->value : NULL;
}

static int compare_text_to_value(const void *text, const void *value)
{
	return strcmp(text, *(const char *const *)value);
}

static bool has_value(const struct selector_requirement *requirement, const char *value)
{
	return requirement->value_count && bsearch(value, requirement->values, requirement->value_count,
						   sizeof(*requirement->values), compare_text_to_value);
}

static bool requirement_matches(const struct selector_requirement *requirement, const struct label_list *labels)
{
	const char *value = label_list_get(labels, requirement->key);

	switch (requirement->op) {
	case SELECTOR_IN:
		return value && has_value(requirement, value);
	case SELECTOR_NOT_IN:
		return !value || !has_value(requirement, value);
	case SELECTOR_EXISTS:
		return value;
	case SELECTOR_DOES_NOT_EXIST:
		return !value;
	}
	return false;
}

bool label_selector_matches(const struct label_selector *selector, const struct label_list *labels)
{
	for (size_t i = 0; i < selector->count; i++) {
		if (!requirement_matches(&selector->requirements[i], labels))
			return false;
	}
	return true;
}

bool label_selector_matches_name(const struct label_selector *selector, const char *namespace)
{
	struct label label = { NAMESPACE_NAME_LABEL, namespace };
	const struct label_list labels = { &label, 1 };

	for (size_t i = 0; i < selector->count; i++) {
		if (strcmp(selector->requirements[i].key, NAMESPACE_NAME_LABEL))
			return false;
	}
	return label_selector_matches(selector, &labels);
}

int object_new_pod(const char *namespace, const char *name, const char *uid, struct object **out)
{
	_cleanup_(arena_free_pointer) struct arena *arena = arena_new();
	struct object *object = arena ? arena_allocate(arena, sizeof(*object)) : NULL;

	if (!object)
		return -ENOMEM;
	object->kind = OBJECT_POD;
	object->namespace = arena_string(arena, namespace);
	object->name = arena_string(arena, name);
	object->uid = arena_string(arena, uid);
	object->pod.node_name = "";
	object->pod.phase = POD_RUNNING;
	if (!object->namespace || !object->name || !object->uid)
		return -ENOMEM;
	object->references = 1;
	object->memory = take(arena);
	*out = object;
	return 0;
}

struct object *object_ref(struct object *object)
{
	object->references++;
	return object;
}

void object_unref(struct object *object)
{
	if (!object || --object->references)
		return;
	/* The decoder takes the object itself from its arena. */
	if (object->memory)
		arena_free(object->memory);
	else
		free(object);
}
