/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/endpoints.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/text.h"

static void endpoint_free(struct endpoint *endpoint)
{
	if (!endpoint)
		return;
	object_unref(endpoint->pod);
	free(endpoint->key);
	free(endpoint->namespace);
	free(endpoint->name);
	free(endpoint->uid);
	free(endpoint->problem);
	free(endpoint);
}

static void endpoint_cleanup(struct endpoint **endpoint)
{
	endpoint_free(*endpoint);
}

static int endpoint_new(const char *namespace, const char *name, const char *uid, struct endpoint **out)
{
	_cleanup_(endpoint_cleanup) struct endpoint *endpoint = calloc(1, sizeof(*endpoint));

	if (!endpoint)
		return -ENOMEM;
	endpoint->namespace = strdup(namespace);
	endpoint->name = strdup(name);
	endpoint->uid = strdup(uid);
	endpoint->key = text_format("%s/%s", namespace, name);
	if (!endpoint->namespace || !endpoint->name || !endpoint->uid || !endpoint->key)
		return -ENOMEM;
	*out = take(endpoint);
	return 0;
}

static int add_current(struct endpoint_table *table, struct endpoint *endpoint)
{
	HASH_ADD_KEYPTR(hh, table->current, endpoint->key, strlen(endpoint->key), endpoint);
	return endpoint->hh.tbl ? 0 : -ENOMEM;
}

static void add_retiring(struct endpoint_table *table, struct endpoint *endpoint)
{
	endpoint->next = table->retiring;
	table->retiring = endpoint;
}

static void retire(struct endpoint_table *table, struct endpoint *endpoint)
{
	HASH_DEL(table->current, endpoint);
	endpoint->wanted = 0;
	add_retiring(table, endpoint);
}

void endpoints_forget_retired(struct endpoint_table *table)
{
	struct endpoint **place = &table->retiring, *endpoint;

	while ((endpoint = *place)) {
		if (endpoint->entry.ifindex) {
			place = &endpoint->next;
			continue;
		}
		*place = endpoint->next;
		table->id_used[endpoint->id] = false;
		endpoint_free(endpoint);
	}
}

static void free_retiring(struct endpoint_table *table)
{
	while (table->retiring) {
		struct endpoint *endpoint = table->retiring;

		table->retiring = endpoint->next;
		endpoint_free(endpoint);
	}
}

void endpoints_clear(struct endpoint_table *table)
{
	struct endpoint *endpoint, *next;

	HASH_ITER(hh, table->current, endpoint, next) {
		HASH_DEL(table->current, endpoint);
		endpoint_free(endpoint);
	}
	free_retiring(table);
}

bool endpoint_is_local(const struct object *pod)
{
	const struct pod *fields = &pod->pod;

	if (!fields->interface && !fields->netns)
		return false;
	/* A host-network pod's traffic is its node's; a finished pod has given up its address. */
	return !fields->host_network && fields->phase != POD_SUCCEEDED && fields->phase != POD_FAILED;
}

int endpoints_adopt(struct endpoint_table *table, const struct egress_endpoint *entry, const char *namespace,
		    const char *name, const char *uid)
{
	struct endpoint *endpoint, *other;
	int error;

	if (!entry->id || entry->id >= EGRESS_ENDPOINT_MAX || table->id_used[entry->id])
		return -EEXIST;
	error = endpoint_new(namespace, name, uid, &endpoint);
	if (error)
		return error;
	endpoint->id = entry->id;
	endpoint->entry = *entry;
	endpoint->adopted = endpoint->owns_id = true;
	table->id_used[entry->id] = true;
	HASH_FIND_STR(table->current, endpoint->key, other);
	/* Without memory for the place it gets its id still stays taken. */
	if (!*name || other || add_current(table, endpoint))
		add_retiring(table, endpoint);
	return 0;
}

static uint32_t lowest_free_id(const struct endpoint_table *table)
{
	uint32_t id;

	for (id = 1; id < EGRESS_ENDPOINT_MAX; id++)
		if (!table->id_used[id])
			return id;
	return 0;
}

/* Manifests written by hand rarely have a uid: then the name is all there is to go by. */
static bool same_owner(const struct endpoint *endpoint, const struct object *pod)
{
	return !*endpoint->uid || !*pod->uid || !strcmp(endpoint->uid, pod->uid);
}

static int take_pod(struct endpoint *endpoint, struct object *pod)
{
	if (strcmp(endpoint->uid, pod->uid) && *pod->uid) {
		char *uid = strdup(pod->uid);

		if (!uid)
			return -ENOMEM;
		free(endpoint->uid);
		endpoint->uid = uid;
	}
	if (endpoint->pod != pod) {
		object_unref(endpoint->pod);
		endpoint->pod = object_ref(pod);
		/* Its annotation may name another interface now. */
		endpoint->wanted = 0;
	}
	endpoint->seen = true;
	return 0;
}

/* One that was to retire, because its pod was gone for a moment. */
static struct endpoint *revive(struct endpoint_table *table, const char *key, const struct object *pod)
{
	struct endpoint **place, *endpoint;

	for (place = &table->retiring; (endpoint = *place); place = &endpoint->next) {
		if (strcmp(endpoint->key, key) || !same_owner(endpoint, pod))
			continue;
		if (add_current(table, endpoint))
			return NULL;
		*place = endpoint->next;
		endpoint->next = NULL;
		return endpoint;
	}
	return NULL;
}

static int match_pod(struct endpoint_table *table, struct object *pod)
{
	_cleanup_free_ char *key = text_format("%s/%s", pod->namespace, pod->name);
	struct endpoint *endpoint;
	int error;

	if (!key)
		return -ENOMEM;
	HASH_FIND_STR(table->current, key, endpoint);
	if (endpoint && !same_owner(endpoint, pod)) {
		retire(table, endpoint);
		endpoint = NULL;
	}
	if (!endpoint)
		endpoint = revive(table, key, pod);
	if (!endpoint) {
		error = endpoint_new(pod->namespace, pod->name, pod->uid, &endpoint);
		if (error)
			return error;
		error = add_current(table, endpoint);
		if (error) {
			endpoint_free(endpoint);
			return error;
		}
	}
	if (!endpoint->id) {
		endpoint->id = lowest_free_id(table);
		table->id_used[endpoint->id] = true;
	}
	return take_pod(endpoint, pod);
}

static int by_key(const struct endpoint *a, const struct endpoint *b)
{
	return strcmp(a->key, b->key);
}

int endpoints_match(struct endpoint_table *table, struct store *store)
{
	struct object *const *pods;
	struct endpoint *endpoint, *next;
	size_t count, i;
	int error;

	pods = store_list(store, OBJECT_POD, &count);
	if (count == SIZE_MAX)
		return -ENOMEM;
	for (endpoint = table->current; endpoint; endpoint = endpoint->hh.next)
		endpoint->seen = false;
	for (i = 0; i < count; i++) {
		error = endpoint_is_local(pods[i]) ? match_pod(table, pods[i]) : 0;
		if (error)
			return error;
	}
	HASH_ITER(hh, table->current, endpoint, next)
		if (!endpoint->seen)
			retire(table, endpoint);
	HASH_SRT(hh, table->current, by_key);
	return 0;
}

struct endpoint *endpoints_wanting(const struct endpoint_table *table, uint32_t ifindex)
{
	struct endpoint *endpoint;

	for (endpoint = table->current; endpoint && ifindex; endpoint = endpoint->hh.next)
		if (endpoint->wanted == ifindex)
			return endpoint;
	return NULL;
}

static bool same_problem(const char *a, const char *b)
{
	return a && b ? !strcmp(a, b) : a == b;
}

void endpoint_set_problem(struct endpoint *endpoint, const char *format, ...)
{
	char *problem = NULL;
	va_list arguments;

	if (format) {
		va_start(arguments, format);
		problem = text_format_list(format, arguments);
		va_end(arguments);
		/* Without memory there is still a problem. */
		if (!problem)
			problem = strdup("");
	}
	if (!same_problem(endpoint->problem, problem))
		endpoint->told = false;
	free(endpoint->problem);
	endpoint->problem = problem;
}
