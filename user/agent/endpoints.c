/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/endpoints.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/text.h"
#include "datapath/datapath.h"

static void endpoint_free(struct endpoint *endpoint)
{
	if (!endpoint)
		return;
	object_unref(endpoint->pod);
	free(endpoint->key);
	free(endpoint->namespace);
	free(endpoint->name);
	free(endpoint->uid);
	free(endpoint->connections_problem);
	free(endpoint->problem);
	free(endpoint->mismatch);
	free(endpoint->bypass_problem);
	free(endpoint->unjudged);
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
	endpoint->nsid = -1;
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
	endpoint->attachment = NULL;
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

/* A host-network pod's traffic is its node's; a finished pod has given up its address. */
static bool can_be_endpoint(const struct object *pod)
{
	const struct pod *fields = &pod->pod;

	return !fields->host_network && fields->phase != POD_SUCCEEDED && fields->phase != POD_FAILED;
}

static bool is_local(const struct object *pod, const struct locality *locality)
{
	if (locality->node && !strcmp(pod->pod.node_name, locality->node))
		return true;
	return locality->annotations && (pod->pod.interface || pod->pod.netns);
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
	endpoint->connections_due = entry->notes & EGRESS_ENDPOINT_DUE;
	endpoint->entry.notes = 0;
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
static bool is_uid_of(const char *uid, const struct object *pod)
{
	if (!*uid || !*pod->uid || !strcmp(uid, pod->uid))
		return true;
	return pod->pod.static_uid && !strcmp(uid, pod->pod.static_uid);
}

static bool same_owner(const struct endpoint *endpoint, const struct object *pod)
{
	return is_uid_of(endpoint->uid, pod);
}

static bool same_text(const char *a, const char *b)
{
	return a && b ? !strcmp(a, b) : a == b;
}

/* Where they differ another interface may be meant. */
static bool same_annotations(const struct object *a, const struct object *b)
{
	return same_text(a->pod.interface, b->pod.interface) && same_text(a->pod.netns, b->pod.netns);
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
		if (!endpoint->pod || !same_annotations(endpoint->pod, pod))
			endpoint->wanted = 0;
		object_unref(endpoint->pod);
		endpoint->pod = object_ref(pod);
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

static int add_new(struct endpoint_table *table, const struct object *pod, const char *key, struct endpoint **out)
{
	_cleanup_(endpoint_cleanup) struct endpoint *endpoint = NULL;
	int error = endpoint_new(pod->namespace, pod->name, pod->uid, &endpoint);

	if (error)
		return error;
	free(endpoint->key);
	endpoint->key = strdup(key);
	if (!endpoint->key)
		return -ENOMEM;
	error = add_current(table, endpoint);
	if (error)
		return error;
	*out = take(endpoint);
	return 0;
}

/* The pod's endpoint, under this key, which is made if need be. */
static int match_as(struct endpoint_table *table, struct object *pod, const char *key, struct endpoint **out)
{
	struct endpoint *endpoint;
	int error;

	HASH_FIND_STR(table->current, key, endpoint);
	if (endpoint && !same_owner(endpoint, pod)) {
		retire(table, endpoint);
		endpoint = NULL;
	}
	if (!endpoint)
		endpoint = revive(table, key, pod);
	if (!endpoint) {
		error = add_new(table, pod, key, &endpoint);
		if (error)
			return error;
	}
	if (!endpoint->id) {
		endpoint->id = lowest_free_id(table);
		table->id_used[endpoint->id] = true;
	}
	error = take_pod(endpoint, pod);
	if (!error)
		*out = endpoint;
	return error;
}

static int match_pod(struct endpoint_table *table, struct object *pod, struct endpoint **out)
{
	_cleanup_free_ char *key = text_format("%s/%s", pod->namespace, pod->name);
	int error = key ? match_as(table, pod, key, out) : -ENOMEM;

	if (!error)
		(*out)->unknown = (*out)->finished = false;
	return error;
}

/* ------------------------------------------------------------------ what egress-cni told */

/* A pod whose sandbox was made anew has two attachments for a moment: the newest that is not being torn down counts. */
static void take_attachment(struct endpoint *endpoint, const struct cni_attachment *attachment)
{
	const struct cni_attachment *before = endpoint->attachment;

	if (before && attachment->deleted && !before->deleted)
		return;
	endpoint->attachment = attachment;
	if (before && before->ifindex != attachment->ifindex)
		endpoint->wanted = 0;
}

static struct object *find_pod(const struct store *store, const struct cni_attachment *attachment)
{
	struct object *pod = store_get(store, OBJECT_POD, attachment->namespace, attachment->pod);

	return pod && is_uid_of(attachment->uid, pod) ? pod : NULL;
}

/*
 * The pod's own key, unless a Pod of its name is there that is another one: then the name alone would not tell them
 * apart.
 */
static char *unknown_key(const struct endpoint_table *table, const struct object *pod)
{
	char *key = text_format("%s/%s", pod->namespace, pod->name);
	struct endpoint *other = NULL;

	if (key)
		HASH_FIND_STR(table->current, key, other);
	if (!other || !other->seen || (other->unknown && is_uid_of(other->uid, pod)))
		return key;
	free(key);
	return text_format("%s/%s (%s)", pod->namespace, pod->name, pod->uid);
}

static bool is_object_of(const struct object *pod, const struct cni_attachment *attachment)
{
	return !strcmp(pod->namespace, attachment->namespace) && !strcmp(pod->name, attachment->pod) &&
	       !strcmp(pod->uid, attachment->uid);
}

/* The stand-in that the endpoint has already, or a new one. */
static int stand_in(struct endpoint_table *table, const struct cni_attachment *attachment, struct object **out)
{
	struct endpoint *endpoint;

	for (endpoint = table->current; endpoint; endpoint = endpoint->hh.next) {
		if (endpoint->unknown && endpoint->pod && is_object_of(endpoint->pod, attachment)) {
			*out = object_ref(endpoint->pod);
			return 0;
		}
	}
	return object_new_pod(attachment->namespace, attachment->pod, attachment->uid, out);
}

static void unref_object(struct object **object)
{
	object_unref(*object);
}

static int match_unknown(struct endpoint_table *table, const struct cni_attachment *attachment, struct endpoint **out)
{
	_cleanup_(unref_object) struct object *pod = NULL;
	_cleanup_free_ char *key = NULL;
	int error = stand_in(table, attachment, &pod);

	if (error)
		return error;
	key = unknown_key(table, pod);
	error = key ? match_as(table, pod, key, out) : -ENOMEM;
	if (!error)
		(*out)->unknown = true;
	return error;
}

/*
 * Whoever may write a pod's status can say that it is finished, and the node's controller does of a pod whose node it
 * does not reach: its containers may run on. What egress-cni told stands until the interface is gone, and until then
 * nothing passes.
 */
static int match_without_policy(struct endpoint_table *table, const struct object *finished,
				const struct cni_attachment *attachment, struct endpoint **out)
{
	int error = match_unknown(table, attachment, out);

	if (!error)
		(*out)->finished = finished != NULL;
	return error;
}

static int match_attachments(struct endpoint_table *table, const struct store *store,
			     const struct cni_attachment_list *list)
{
	struct endpoint *endpoint;
	struct object *pod;
	size_t i;
	int error = 0;

	/* Those that are known first: they keep their names. */
	for (i = 0; i < list->count && !error; i++) {
		pod = find_pod(store, &list->items[i]);
		if (!pod || !can_be_endpoint(pod))
			continue;
		error = match_pod(table, pod, &endpoint);
		if (!error)
			take_attachment(endpoint, &list->items[i]);
	}
	for (i = 0; i < list->count && !error; i++) {
		pod = find_pod(store, &list->items[i]);
		if (pod && can_be_endpoint(pod))
			continue;
		error = match_without_policy(table, pod, &list->items[i], &endpoint);
		if (!error)
			take_attachment(endpoint, &list->items[i]);
	}
	return error;
}

static int match_if_local(struct endpoint_table *table, struct object *pod, const struct locality *locality)
{
	struct endpoint *endpoint;

	return can_be_endpoint(pod) && is_local(pod, locality) ? match_pod(table, pod, &endpoint) : 0;
}

/* Those that are as they were. A match adds to the table what was not in it, never what is. */
static int match_unchanged(struct endpoint_table *table, const struct store *store, const struct locality *locality)
{
	struct endpoint *endpoint;
	int error = 0;

	for (endpoint = table->current; endpoint && !error; endpoint = endpoint->hh.next)
		if (endpoint->pod && !endpoint->unknown &&
		    store_get(store, OBJECT_POD, endpoint->namespace, endpoint->name) == endpoint->pod)
			error = match_if_local(table, endpoint->pod, locality);
	return error;
}

static int match_changed(struct endpoint_table *table, const struct store *store, const struct locality *locality)
{
	size_t count = store_change_count(store), i;
	int error = 0;

	for (i = 0; i < count && !error; i++) {
		struct store_change change = store_change_at(store, i);

		if (change.kind == OBJECT_POD && change.now)
			error = match_if_local(table, change.now, locality);
	}
	return error;
}

static int match_all(struct endpoint_table *table, struct store *store, const struct locality *locality)
{
	size_t count, i;
	struct object *const *pods = store_list(store, OBJECT_POD, &count);
	int error = 0;

	if (!pods && count)
		return -ENOMEM;
	for (i = 0; i < count && !error; i++)
		error = match_if_local(table, pods[i], locality);
	return error;
}

static int match_local(struct endpoint_table *table, struct store *store, const struct locality *locality)
{
	int error;

	/* A change that was matched and then taken back is none any more: nothing would tell of the pod. */
	if (table->unsettled)
		return match_all(table, store, locality);
	error = match_unchanged(table, store, locality);
	return error ? error : match_changed(table, store, locality);
}

/* ------------------------------------------------------------------ all of them */

static int by_key(const struct endpoint *a, const struct endpoint *b)
{
	return strcmp(a->key, b->key);
}

int endpoints_match(struct endpoint_table *table, struct store *store, const struct locality *locality)
{
	struct endpoint *endpoint, *next;
	int error;

	for (endpoint = table->current; endpoint; endpoint = endpoint->hh.next) {
		endpoint->seen = false;
		endpoint->attachment = NULL;
	}
	error = match_local(table, store, locality);
	table->unsettled |= store_change_count(store) > 0;
	if (!error)
		error = match_attachments(table, store, &locality->attachments);
	if (error)
		return error;
	HASH_ITER(hh, table->current, endpoint, next)
		if (!endpoint->seen)
			retire(table, endpoint);
	HASH_SRT(hh, table->current, by_key);
	return 0;
}

void endpoints_settle(struct endpoint_table *table)
{
	table->unsettled = false;
}

static bool is_attached(const struct locality *locality, const struct object *pod)
{
	size_t i;

	for (i = 0; i < locality->attachments.count; i++)
		if (!strcmp(locality->attachments.items[i].pod, pod->name) &&
		    !strcmp(locality->attachments.items[i].namespace, pod->namespace))
			return true;
	return false;
}

/* The endpoint of the pod's name, or NULL. Every change of any pod in the cluster comes here: nothing is allocated. */
static struct endpoint *find_current(const struct endpoint_table *table, const struct object *pod)
{
	struct endpoint *endpoint = NULL;
	char key[STORE_KEY_SIZE];

	if (store_key(pod->namespace, pod->name, key))
		HASH_FIND_STR(table->current, key, endpoint);
	return endpoint;
}

bool endpoints_concern(const struct endpoint_table *table, const struct locality *locality, const struct object *pod)
{
	return is_local(pod, locality) || is_attached(locality, pod) || find_current(table, pod);
}

bool endpoints_have(const struct endpoint_table *table, const struct object *pod)
{
	const struct endpoint *endpoint = find_current(table, pod);

	return endpoint && !endpoint->unknown && endpoint->pod == pod;
}

bool endpoints_need(const struct endpoint_table *table, const struct store *store,
		    const struct cni_attachment *attachment)
{
	const struct object *pod = find_pod(store, attachment);
	const struct endpoint *endpoint;

	if (pod && can_be_endpoint(pod))
		return true;
	for (endpoint = table->current; endpoint; endpoint = endpoint->hh.next)
		if (endpoint->attachment == attachment)
			return endpoint->wanted || endpoint->entry.ifindex;
	return false;
}

struct endpoint *endpoints_entered(const struct endpoint_table *table, const struct egress_endpoint *entry)
{
	struct endpoint *endpoint;

	for (endpoint = table->current; endpoint; endpoint = endpoint->hh.next)
		if (endpoint->id == entry->id && endpoint->entry.ifindex == entry->ifindex)
			return endpoint;
	return NULL;
}

struct endpoint *endpoints_wanting(const struct endpoint_table *table, uint32_t ifindex)
{
	struct endpoint *endpoint;

	for (endpoint = table->current; endpoint && ifindex; endpoint = endpoint->hh.next)
		if (endpoint->wanted == ifindex)
			return endpoint;
	return NULL;
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
	if (!same_text(endpoint->problem, problem))
		endpoint->told = false;
	free(endpoint->problem);
	endpoint->problem = problem;
}
