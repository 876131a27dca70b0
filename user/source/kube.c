/* SPDX-License-Identifier: Apache-2.0 */
#include "source/kube.h"

#include <errno.h>
#include <event2/event.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/text.h"
#include "source/kube_events.h"
#include "source/kube_interest.h"
#include "source/kube_reflector.h"
#include "source/object_identity.h"

/* The first change is told at once; while more come in, they are told together this often. */
#define NOTIFY_PAUSE_MS 100
/* Pods of other nodes are kept for this long after the last policy that needs them has gone. */
#define DISINTEREST_SECONDS 60
/* The server's clock and this node's may differ by this much before it is told. */
#define SKEW_SECONDS 60

enum followed {
	FOLLOW_POLICIES,
	FOLLOW_NAMESPACES,
	FOLLOW_PODS,
	FOLLOW_REMOTE_PODS,
	FOLLOW_SERVICES,
	FOLLOW_SLICES,
	FOLLOW_NODES,
	FOLLOW_COUNT,
};

/* A set of texts. */
struct name {
	UT_hash_handle hh;
	char text[];
};

/* An object that is there but wrong; its last good version, if there is one, stays in force. */
struct bad_object {
	char *key;
	struct problem_list problems;
	UT_hash_handle hh;
};

struct follower {
	struct kube_source *source;
	enum followed which;
	struct kube_resource resource;
	char *selector;
	struct kube_reflector *reflector; /* NULL: not followed at present */
	bool viewing;                     /* a full view is coming in */
	struct name *seen;                /* "namespace/name" of what it has so far */
	struct bad_object *bad;
};

struct kube_source {
	struct source source;
	struct kube_config config;
	struct kube_client *client;
	struct kube_events *events; /* that it leaves on pods */
	struct event_base *loop;
	unsigned int silence; /* seconds after which a watch counts as dead */
	char *node_name;
	struct store *staged;       /* as the API says */
	struct object_list changed; /* one object for each key where the agent's store may differ from `staged` */
	/*
	 * Pods whose name a pod of the other half (this node's, other nodes') has: a StatefulSet's pod that moves is two
	 * pods for a moment, and the two halves come in without an order between them.
	 */
	struct store *shadowed;
	struct follower followers[FOLLOW_COUNT];
	source_notify notify;
	void *data;
	struct event *notify_timer;
	int64_t notified_ms;
	struct event *interest_timer; /* pending while other nodes' pods are kept without being of interest */
	int64_t disinterested_ms; /* since when they are of no interest; 0: they are */
	bool handed_over;         /* at least once */
	bool half_way;            /* since memory ran out amid handing over */
};

static const struct kube_resource resources[FOLLOW_COUNT] = {
	[FOLLOW_POLICIES] = {OBJECT_NETWORK_POLICY, "/apis/networking.k8s.io/v1/networkpolicies",
			     "networkpolicies.networking.k8s.io", NULL},
	[FOLLOW_NAMESPACES] = {OBJECT_NAMESPACE, "/api/v1/namespaces", "namespaces", NULL},
	[FOLLOW_PODS] = {OBJECT_POD, "/api/v1/pods", "pods", NULL},
	[FOLLOW_REMOTE_PODS] = {OBJECT_POD, "/api/v1/pods", "pods", NULL},
	[FOLLOW_SERVICES] = {OBJECT_SERVICE, "/api/v1/services", "services", NULL},
	[FOLLOW_SLICES] = {OBJECT_ENDPOINT_SLICE, "/apis/discovery.k8s.io/v1/endpointslices",
			   "endpointslices.discovery.k8s.io", NULL},
	[FOLLOW_NODES] = {OBJECT_NODE, "/api/v1/nodes", "nodes", NULL},
};

static struct kube_source *of(struct source *source)
{
	return (struct kube_source *)source;
}

static int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* ------------------------------------------------------------------ sets of names */

static int add_name(struct name **names, const char *namespace, const char *text)
{
	size_t length = strlen(namespace) + 1 + strlen(text);
	struct name *name = malloc(sizeof(*name) + length + 1), *present;

	if (!name)
		return -ENOMEM;
	snprintf(name->text, length + 1, "%s/%s", namespace, text);
	HASH_FIND(hh, *names, name->text, length, present);
	if (present) {
		free(name);
		return 0;
	}
	memset(&name->hh, 0, sizeof(name->hh));
	HASH_ADD(hh, *names, text, length, name);
	if (name->hh.tbl)
		return 0;
	free(name);
	return -ENOMEM;
}

static bool has_name(const struct name *names, const struct object *object)
{
	char key[512];
	int length = snprintf(key, sizeof(key), "%s/%s", object->namespace, object->name);
	struct name *present;

	if (length < 0 || (size_t)length >= sizeof(key))
		return false;
	HASH_FIND(hh, names, key, (size_t)length, present);
	return present;
}

static void clear_names(struct name **names)
{
	struct name *name, *next;

	HASH_ITER(hh, *names, name, next) {
		HASH_DEL(*names, name);
		free(name);
	}
}

/* ------------------------------------------------------------------ wrong objects */

static void free_bad(struct follower *follower, struct bad_object *bad)
{
	HASH_DEL(follower->bad, bad);
	problem_list_clear(&bad->problems);
	free(bad->key);
	free(bad);
}

static struct bad_object *find_bad(struct follower *follower, const char *namespace, const char *name)
{
	_cleanup_free_ char *key = text_format("%s/%s", namespace, name);
	struct bad_object *bad = NULL;

	if (key)
		HASH_FIND_STR(follower->bad, key, bad);
	return bad;
}

static void forget_bad(struct follower *follower, const char *namespace, const char *name)
{
	struct bad_object *bad = follower->bad ? find_bad(follower, namespace, name) : NULL;

	if (bad)
		free_bad(follower, bad);
}

/* Takes the problems. */
static int keep_bad(struct follower *follower, const struct api_object *object, struct problem_list *problems)
{
	struct bad_object *bad = find_bad(follower, object->namespace, object->name);

	if (!bad) {
		bad = calloc(1, sizeof(*bad));
		if (!bad)
			return -ENOMEM;
		bad->key = text_format("%s/%s", object->namespace, object->name);
		if (bad->key)
			HASH_ADD_KEYPTR(hh, follower->bad, bad->key, strlen(bad->key), bad);
		if (!bad->hh.tbl) {
			free(bad->key);
			free(bad);
			return -ENOMEM;
		}
	}
	problem_list_clear(&bad->problems);
	bad->problems = *problems;
	*problems = (struct problem_list){0};
	return 0;
}

/* ------------------------------------------------------------------ telling the agent */

/* Is there something to be known that is not known yet? */
static bool is_complete(const struct kube_source *source)
{
	size_t i;

	for (i = 0; i < FOLLOW_COUNT; i++)
		if (i != FOLLOW_REMOTE_PODS || source->followers[i].reflector)
			if (!source->followers[i].reflector || !kube_reflector_synced(source->followers[i].reflector))
				return false;
	return true;
}

static void tell(struct kube_source *source)
{
	source->notified_ms = now_ms();
	source->notify(source->data);
}

static void on_notify(evutil_socket_t fd, short what, void *data)
{
	(void)fd;
	(void)what;
	tell(data);
}

static void notify_soon(struct kube_source *source)
{
	int64_t since = now_ms() - source->notified_ms;
	struct timeval pause = {0};

	if (event_pending(source->notify_timer, EV_TIMEOUT, NULL))
		return;
	if (since < NOTIFY_PAUSE_MS)
		pause.tv_usec = (NOTIFY_PAUSE_MS - since) * 1000;
	event_add(source->notify_timer, &pause);
}

/* `object` is any that has the key. */
static int note_change(struct kube_source *source, struct object *object)
{
	struct object_list *list = &source->changed;
	int error = array_reserve(&list->items, &list->capacity, list->count + 1, sizeof(*list->items));

	if (error)
		return error;
	list->items[list->count++] = object_ref(object);
	/* Nothing is handed over before everything is there: a timer for each object would be for nothing. */
	if (source->handed_over)
		notify_soon(source);
	return 0;
}

/* ------------------------------------------------------------------ what comes in */

static bool is_local(const struct kube_source *source, const struct object *pod)
{
	return !strcmp(pod->pod.node_name, source->node_name);
}

/* Is it for this follower? Of pods there are two halves; every other kind is of one piece. */
static bool in_scope(const struct follower *follower, const struct object *object)
{
	if (follower->which == FOLLOW_PODS)
		return is_local(follower->source, object);
	if (follower->which == FOLLOW_REMOTE_PODS)
		return !is_local(follower->source, object);
	return true;
}

/*
 * Noted first: what is staged and not noted would be taken for known when it comes again, and never be handed over. A
 * note without a change does no harm, for what is handed over is what differs.
 */
static int stage(struct kube_source *source, struct object *object)
{
	int error = note_change(source, object);

	return error ? error : store_put(source->staged, object);
}

static int unstage(struct kube_source *source, struct object *object)
{
	struct object *held = object_ref(object);
	int error = note_change(source, held);

	if (!error)
		store_remove(source->staged, held->kind, held->namespace, held->name);
	object_unref(held);
	return error;
}

/* Two pods of one name in the two halves: the one that was made later counts, the other waits for its end. */
static int stage_over_other_half(struct kube_source *source, struct object *present, struct object *object)
{
	int error;

	if (object->pod.created < present->pod.created)
		return store_put(source->shadowed, object);
	error = store_put(source->shadowed, present);
	return error ? error : stage(source, object);
}

static void unshadow(struct follower *follower, const char *namespace, const char *name)
{
	struct store *shadowed = follower->source->shadowed;
	struct object *object = store_get(shadowed, OBJECT_POD, namespace, name);

	if (object && in_scope(follower, object))
		store_remove(shadowed, OBJECT_POD, namespace, name);
}

static int put_object(struct follower *follower, struct object *object)
{
	struct kube_source *source = follower->source;
	struct object *present = store_get(source->staged, object->kind, object->namespace, object->name);

	if (present && !in_scope(follower, present))
		return stage_over_other_half(source, present, object);
	if (object->kind == OBJECT_POD)
		unshadow(follower, object->namespace, object->name);
	if (present && object_identical(present, object))
		return 0;
	return stage(source, object);
}

static int take_away(struct follower *follower, enum object_kind kind, const char *namespace, const char *name)
{
	struct kube_source *source = follower->source;
	struct object *present = store_get(source->staged, kind, namespace, name);
	struct object *other;
	int error;

	forget_bad(follower, namespace, name);
	if (kind == OBJECT_POD)
		unshadow(follower, namespace, name);
	if (!present || !in_scope(follower, present))
		return 0;
	other = kind == OBJECT_POD ? store_get(source->shadowed, kind, namespace, name) : NULL;
	if (!other)
		return unstage(source, present);
	error = stage(source, other);
	if (!error)
		store_remove(source->shadowed, kind, namespace, name);
	return error;
}

static int on_begin(void *data)
{
	struct follower *follower = data;

	clear_names(&follower->seen);
	follower->viewing = true;
	return 0;
}

static int on_put(struct api_object *object, struct problem_list *problems, void *data)
{
	struct follower *follower = data;
	int error;

	if (object->object && !in_scope(follower, object->object))
		return take_away(follower, OBJECT_POD, object->namespace, object->name);
	error = follower->viewing ? add_name(&follower->seen, object->namespace, object->name) : 0;
	if (error)
		return error;
	if (!object->object) {
		error = keep_bad(follower, object, problems);
		notify_soon(follower->source);
		return error;
	}
	if (follower->bad) {
		forget_bad(follower, object->namespace, object->name);
		notify_soon(follower->source);
	}
	return put_object(follower, object->object);
}

static int on_remove(const char *namespace, const char *name, void *data)
{
	struct follower *follower = data;

	return take_away(follower, follower->resource.kind, namespace, name);
}

/* References to those that this follower has and its view has not. */
static int list_unseen(struct follower *follower, struct store *store, struct object_list *out)
{
	struct object *const *objects;
	size_t count, i;
	int error;

	objects = store_list(store, follower->resource.kind, &count);
	if (count == SIZE_MAX)
		return -ENOMEM;
	for (i = 0; i < count; i++) {
		if (!in_scope(follower, objects[i]) || has_name(follower->seen, objects[i]))
			continue;
		error = array_reserve(&out->items, &out->capacity, out->count + 1, sizeof(*out->items));
		if (error)
			return error;
		out->items[out->count++] = object_ref(objects[i]);
	}
	return 0;
}

static int remove_unseen(struct follower *follower)
{
	_cleanup_(object_list_clear) struct object_list gone = {0};
	size_t i;
	int error = list_unseen(follower, follower->source->staged, &gone);

	if (!error && follower->resource.kind == OBJECT_POD)
		error = list_unseen(follower, follower->source->shadowed, &gone);
	for (i = 0; i < gone.count && !error; i++)
		error = take_away(follower, gone.items[i]->kind, gone.items[i]->namespace, gone.items[i]->name);
	return error;
}

/* What is wrong and gone was never in the store. */
static void forget_bad_unseen(struct follower *follower)
{
	struct bad_object *bad, *next;
	struct name *seen;

	HASH_ITER(hh, follower->bad, bad, next) {
		HASH_FIND_STR(follower->seen, bad->key, seen);
		if (!seen)
			free_bad(follower, bad);
	}
}

static int on_end(void *data)
{
	struct follower *follower = data;
	int error = remove_unseen(follower);

	if (error)
		return error;
	forget_bad_unseen(follower);
	clear_names(&follower->seen);
	follower->viewing = false;
	notify_soon(follower->source);
	return 0;
}

static void on_state(void *data)
{
	struct follower *follower = data;

	notify_soon(follower->source);
}

/* ------------------------------------------------------------------ what is followed */

static int follow(struct kube_source *source, enum followed which)
{
	struct follower *follower = &source->followers[which];
	const struct kube_reflector_handler handler = {on_begin, on_put, on_remove, on_end, on_state, follower};

	return kube_reflector_new(&follower->resource, source->client, source->loop, &handler, &follower->reflector);
}

static void unfollow(struct follower *follower)
{
	struct bad_object *bad, *next;

	kube_reflector_free(follower->reflector);
	follower->reflector = NULL;
	clear_names(&follower->seen);
	HASH_ITER(hh, follower->bad, bad, next)
		free_bad(follower, bad);
}

static void begin_interest(struct kube_source *source)
{
	int error = follow(source, FOLLOW_REMOTE_PODS);

	if (error)
		log_debug("pods of other nodes cannot be followed: %s", strerror(-error));
	else
		log_debug("policy speaks of pods: those of other nodes are followed");
}

static void end_interest(struct kube_source *source)
{
	struct follower *follower = &source->followers[FOLLOW_REMOTE_PODS];

	log_debug("no policy speaks of pods: those of other nodes are of no interest");
	unfollow(follower);
	/* An empty view: nothing of it is left. */
	if (remove_unseen(follower))
		log_debug("pods of other nodes: no memory to forget them");
}

/* Only where local pods and policies are known can it be said. */
static bool can_review(const struct kube_source *source)
{
	const struct kube_reflector *policies = source->followers[FOLLOW_POLICIES].reflector;
	const struct kube_reflector *pods = source->followers[FOLLOW_PODS].reflector;

	return policies && pods && kube_reflector_synced(policies) && kube_reflector_synced(pods);
}

/* Nothing else may happen by the time that they are to be dropped. */
static void review_interest_in(struct kube_source *source, int64_t milliseconds)
{
	const struct timeval pause = {.tv_sec = milliseconds / 1000, .tv_usec = milliseconds % 1000 * 1000};

	if (!event_pending(source->interest_timer, EV_TIMEOUT, NULL))
		event_add(source->interest_timer, &pause);
}

static void review_interest(struct kube_source *source)
{
	bool followed = source->followers[FOLLOW_REMOTE_PODS].reflector;
	int64_t left;

	if (!can_review(source))
		return;
	if (kube_interest_in_remote_pods(source->staged, source->node_name)) {
		source->disinterested_ms = 0;
		event_del(source->interest_timer);
		if (!followed)
			begin_interest(source);
		return;
	}
	if (!followed) {
		/* A predecessor's may be there. */
		if (store_count(source->staged, OBJECT_POD) && !source->handed_over)
			end_interest(source);
		return;
	}
	if (!source->disinterested_ms)
		source->disinterested_ms = now_ms();
	left = source->disinterested_ms + DISINTEREST_SECONDS * 1000 - now_ms();
	if (left > 0)
		review_interest_in(source, left);
	else
		end_interest(source);
}

/* ------------------------------------------------------------------ the source */

static int start_following(struct source *base, struct event_base *loop, source_notify notify, void *data)
{
	struct kube_source *source = of(base);
	unsigned int which;
	int error;

	source->loop = loop;
	source->notify = notify;
	source->data = data;
	source->notify_timer = evtimer_new(loop, on_notify, source);
	source->interest_timer = evtimer_new(loop, on_notify, source);
	if (!source->notify_timer || !source->interest_timer)
		return -ENOMEM;
	error = kube_client_new(&source->config, source->silence, loop, &source->client);
	if (!error)
		error = kube_events_new(source->client, loop, source->node_name, &source->events);
	for (which = 0; which < FOLLOW_COUNT && !error; which++)
		if (which != FOLLOW_REMOTE_PODS)
			error = follow(source, which);
	return error;
}

static int hand_over(struct kube_source *source, struct store *store, struct object *changed, bool *differs)
{
	struct object *staged = store_get(source->staged, changed->kind, changed->namespace, changed->name);
	struct object *present = store_get(store, changed->kind, changed->namespace, changed->name);
	int error;

	if (staged == present)
		return 0;
	if (staged)
		error = store_put(store, staged);
	else
		error = store_remove(store, changed->kind, changed->namespace, changed->name);
	if (!error)
		*differs = true;
	return error;
}

/* As much as there is memory for: a pod that is known is held, if not judged, until the policies are. */
static int hand_over_all(struct kube_source *source, struct store *store, bool *differs)
{
	size_t i;
	int error = 0;

	for (i = 0; i < source->changed.count; i++) {
		int failed = hand_over(source, store, source->changed.items[i], differs);

		error = error ? error : failed;
	}
	source->half_way = error != 0;
	if (error)
		return error;
	object_list_clear(&source->changed);
	source->handed_over = true;
	return 0;
}

static int add_problem_of(struct problem_list *list, const struct problem *problem)
{
	int error = problem_add(list, problem->severity, problem->rule, NULL, NULL, "%s", problem->message);

	if (error || !problem->object)
		return error;
	list->items[list->count - 1].object = strdup(problem->object);
	return list->items[list->count - 1].object ? 0 : -ENOMEM;
}

static int add_problems(struct follower *follower, struct problem_list *list, size_t *bad)
{
	const char *problem = follower->reflector ? kube_reflector_problem(follower->reflector) : NULL;
	struct bad_object *object;
	size_t i;
	int error = problem ? problem_add(list, PROBLEM_ERROR, "api", NULL, NULL, "%s", problem) : 0;

	for (object = follower->bad; object; object = object->hh.next) {
		(*bad)++;
		for (i = 0; i < object->problems.count && !error; i++)
			error = add_problem_of(list, &object->problems.items[i]);
	}
	return error;
}

static int add_skew(const struct kube_source *source, struct problem_list *list)
{
	int64_t skew = source->client ? kube_client_skew(source->client) : 0;

	if (skew > -SKEW_SECONDS && skew < SKEW_SECONDS)
		return 0;
	return problem_add(list, PROBLEM_WARNING, "clock", NULL, NULL, "the clock of the API server is %lld s %s this node's: "
			   "certificates and tokens may be refused for it", (long long)(skew < 0 ? -skew : skew),
			   skew < 0 ? "behind" : "ahead of");
}

static int list_problems(struct kube_source *source, struct problem_list *list, size_t *bad)
{
	unsigned int which;
	int error = add_skew(source, list);

	for (which = 0; which < FOLLOW_COUNT && !error; which++)
		error = add_problems(&source->followers[which], list, bad);
	return error;
}

static int sync_store(struct source *base, struct store *store, struct problem_list *problems, bool *changed,
		      size_t *bad)
{
	_cleanup_(problem_list_clear) struct problem_list found = {0};
	struct kube_source *source = of(base);
	bool differs = false;
	size_t wrong = 0;
	int error;

	review_interest(source);
	error = list_problems(source, &found, &wrong);
	/* What is left of an earlier time may have to wait for pods of other nodes that are of interest only now. */
	if (!error && is_complete(source))
		error = hand_over_all(source, store, &differs);
	else if (!error && source->half_way)
		error = -ENOMEM;
	if (error)
		return error;
	problem_list_clear(problems);
	*problems = found;
	found = (struct problem_list){0};
	*changed = differs;
	*bad = wrong;
	return 0;
}

static const char *follower_name(unsigned int which)
{
	return which == FOLLOW_REMOTE_PODS ? "remote-pods" : resources[which].name;
}

static bool waits(const struct source *base, FILE *reasons)
{
	const struct kube_source *source = (const struct kube_source *)base;
	bool waiting = !source->handed_over;
	unsigned int which;

	for (which = 0; which < FOLLOW_COUNT; which++) {
		const struct kube_reflector *reflector = source->followers[which].reflector;
		const char *problem;

		if ((!reflector && which == FOLLOW_REMOTE_PODS) || (reflector && kube_reflector_synced(reflector)))
			continue;
		problem = reflector ? kube_reflector_problem(reflector) : NULL;
		waiting = true;
		if (reasons)
			fprintf(reasons, "waiting for the API server's first view of %s%s%s\n", follower_name(which),
				problem ? ": " : "", problem ? problem : "");
	}
	return waiting;
}

static void leave_event(struct source *base, const struct object *pod, const char *reason, const char *message)
{
	struct kube_source *source = of(base);

	if (source->events)
		kube_events_tell(source->events, pod, reason, message);
}

static void free_source(struct source *base)
{
	struct kube_source *source = of(base);
	unsigned int which;

	for (which = 0; which < FOLLOW_COUNT; which++) {
		unfollow(&source->followers[which]);
		free(source->followers[which].selector);
	}
	kube_events_free(source->events);
	kube_client_free(source->client);
	kube_config_clear(&source->config);
	if (source->notify_timer)
		event_free(source->notify_timer);
	if (source->interest_timer)
		event_free(source->interest_timer);
	object_list_clear(&source->changed);
	store_free(source->staged);
	store_free(source->shadowed);
	free(source->node_name);
	free(source);
}

static size_t count_objects(const struct follower *follower)
{
	struct store *staged = follower->source->staged;
	struct object *const *objects;
	size_t count, i, found = 0;

	if (follower->resource.kind != OBJECT_POD)
		return store_count(staged, follower->resource.kind);
	objects = store_list(staged, OBJECT_POD, &count);
	for (i = 0; objects && i < count; i++)
		if (in_scope(follower, objects[i]))
			found++;
	return found;
}

size_t kube_source_resources(const struct source *base, struct kube_source_resource *out, size_t capacity)
{
	const struct kube_source *source = (const struct kube_source *)base;
	size_t count = 0;
	unsigned int which;

	for (which = 0; which < FOLLOW_COUNT && count < capacity; which++) {
		const struct follower *follower = &source->followers[which];
		struct kube_reflector_statistics statistics;

		if (!follower->reflector)
			continue;
		kube_reflector_statistics(follower->reflector, &statistics);
		out[count++] = (struct kube_source_resource){
			.name = follower_name(which),
			.synced = kube_reflector_synced(follower->reflector),
			.objects = count_objects(follower),
			.lists = statistics.lists,
			.watches = statistics.watches,
			.events = statistics.events,
			.errors = statistics.errors,
			.silence_ms = statistics.silence_ms,
		};
	}
	return count;
}

int64_t kube_source_skew(const struct source *base)
{
	const struct kube_source *source = (const struct kube_source *)base;

	return source->client ? kube_client_skew(source->client) : 0;
}

struct kube_client *kube_source_client(const struct source *base)
{
	return ((const struct kube_source *)base)->client;
}

/* ------------------------------------------------------------------ life */

static int copy_restored(struct kube_source *source, struct store *restored)
{
	struct object *const *objects;
	size_t count, i;
	unsigned int kind;
	int error = 0;

	for (kind = 0; kind < OBJECT_KIND_COUNT && !error; kind++) {
		objects = store_list(restored, kind, &count);
		if (count == SIZE_MAX)
			return -ENOMEM;
		for (i = 0; i < count && !error; i++)
			error = store_put(source->staged, objects[i]);
	}
	return error;
}

static int prepare(struct kube_source *source, const struct kube_source_options *options)
{
	unsigned int which;

	source->silence = options->silence;
	source->node_name = strdup(options->node_name);
	if (!source->node_name || store_new(&source->staged) || store_new(&source->shadowed))
		return -ENOMEM;
	for (which = 0; which < FOLLOW_COUNT; which++) {
		struct follower *follower = &source->followers[which];

		follower->source = source;
		follower->which = which;
		follower->resource = resources[which];
		if (which != FOLLOW_PODS && which != FOLLOW_REMOTE_PODS)
			continue;
		follower->selector = text_format("spec.nodeName%s%s", which == FOLLOW_PODS ? "=" : "!=",
						 options->node_name);
		if (!follower->selector)
			return -ENOMEM;
		follower->resource.field_selector = follower->selector;
	}
	return options->restored ? copy_restored(source, options->restored) : 0;
}

int kube_source_new(struct kube_config *config, const struct kube_source_options *options, struct source **out)
{
	static const struct source_operations operations = {start_following, sync_store, waits, leave_event,
							  free_source};
	struct kube_source *source = calloc(1, sizeof(*source));
	int error;

	if (!source)
		return -ENOMEM;
	source->source.operations = &operations;
	error = prepare(source, options);
	if (error) {
		free_source(&source->source);
		return error;
	}
	source->config = *config;
	*config = (struct kube_config){0};
	*out = &source->source;
	return 0;
}
