/* SPDX-License-Identifier: Apache-2.0 */
#include "source/kube_events.h"

#include <ctype.h>
#include <errno.h>
#include <event2/event.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "base/cleanup.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/text.h"
#include "source/kube_backoff.h"

#define COMPONENT "egressd"
/* An Event is brought up to date, and one that was refused is tried again, this often. Servers keep it for an hour. */
#define UPDATE_MS 300000
/* One that says something else now, this long after it was sent. */
#define CHANGE_MS 30000
/* Between two requests: a node whose pods all have the same trouble is no burden to the server. */
#define REQUEST_PAUSE_MS 100
/* One that was not told for this long is another one when it is told again. */
#define FORGET_MS 3600000
/* More pods than a node has. */
#define TROUBLES_MAX 2048
/* What events.k8s.io allows in a note. */
#define MESSAGE_MAX 1024
/* What the API allows in a name; the pod's name may be as long. */
#define NAME_MAX_LENGTH    253
#define NAME_SUFFIX_LENGTH 17

/* What is wrong with a pod. */
struct trouble {
	char *key; /* the pod's UID, namespace and name, and the reason */
	char *namespace, *pod, *uid, *reason, *message;
	char *name;   /* the Event's */
	bool created; /* as far as is known */
	bool waits;   /* something was told that the Event does not say */
	bool changed; /* and its message is another one */
	int count;    /* how often it was told */
	time_t first, last;
	int64_t told_ms;
	int64_t due_ms;        /* not to be sent before */
	int64_t change_due_ms; /* nor, where its message is another one, before this, which may be earlier */
	UT_hash_handle hh;
};

struct kube_events {
	struct kube_client *client;
	struct event *timer;
	char *node_name;
	struct trouble *troubles;
	struct trouble *sent; /* that the request is about */
	int sent_count;       /* as the request has it */
	struct kube_request *request;
	struct kube_backoff backoff;
	int64_t due_ms; /* of the next request at the earliest */
	bool complained;
};

static int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* ------------------------------------------------------------------ what is wrong */

static void trouble_free(struct trouble *trouble)
{
	free(trouble->key);
	free(trouble->namespace);
	free(trouble->pod);
	free(trouble->uid);
	free(trouble->reason);
	free(trouble->message);
	free(trouble->name);
	free(trouble);
}

static void forget_old(struct kube_events *events)
{
	struct trouble *trouble, *next;
	int64_t now = now_ms();

	HASH_ITER(hh, events->troubles, trouble, next) {
		if (trouble == events->sent || now - trouble->told_ms < FORGET_MS)
			continue;
		HASH_DEL(events->troubles, trouble);
		trouble_free(trouble);
	}
}

/* FNV-1a: tells apart the Events of one pod's name. */
static uint64_t digest(const char *text)
{
	uint64_t value = 0xcbf29ce484222325;

	for (; *text; text++)
		value = (value ^ (unsigned char)*text) * 0x100000001b3;
	return value;
}

/* A part of the name that ends early must still end with a letter or digit. */
static char *event_name(const struct trouble *trouble)
{
	int length = strnlen(trouble->pod, NAME_MAX_LENGTH - NAME_SUFFIX_LENGTH);

	while (length && !isalnum((unsigned char)trouble->pod[length - 1]))
		length--;
	return text_format("%.*s.%016" PRIx64, length, trouble->pod, digest(trouble->key));
}

static struct trouble *trouble_new(const char *key, const struct object *pod, const char *reason)
{
	struct trouble *trouble = calloc(1, sizeof(*trouble));

	if (!trouble)
		return NULL;
	trouble->key = strdup(key);
	trouble->namespace = strdup(pod->namespace);
	trouble->pod = strdup(pod->name);
	trouble->uid = strdup(pod->uid);
	trouble->reason = strdup(reason);
	if (trouble->key && trouble->namespace && trouble->pod && trouble->uid && trouble->reason)
		trouble->name = event_name(trouble);
	if (trouble->name)
		return trouble;
	trouble_free(trouble);
	return NULL;
}

static struct trouble *find_or_add(struct kube_events *events, const struct object *pod, const char *reason)
{
	_cleanup_free_ char *key = text_format("%s %s/%s %s", pod->uid, pod->namespace, pod->name, reason);
	struct trouble *trouble;

	if (!key)
		return NULL;
	HASH_FIND_STR(events->troubles, key, trouble);
	if (trouble)
		return trouble;
	forget_old(events);
	if (HASH_COUNT(events->troubles) >= TROUBLES_MAX)
		return NULL;
	trouble = trouble_new(key, pod, reason);
	if (!trouble)
		return NULL;
	HASH_ADD_KEYPTR(hh, events->troubles, trouble->key, strlen(trouble->key), trouble);
	if (trouble->hh.tbl)
		return trouble;
	trouble_free(trouble);
	return NULL;
}

/* One line of UTF-8, not longer than may be, and no character cut in two. */
static int set_message(struct trouble *trouble, const char *message)
{
	size_t length = strlen(message);
	char *copy;

	if (length > MESSAGE_MAX) {
		length = MESSAGE_MAX;
		while (length && ((unsigned char)message[length] & 0xc0) == 0x80)
			length--;
	}
	copy = strndup(message, length);
	if (!copy)
		return -ENOMEM;
	text_make_line(copy);
	if (trouble->message && strcmp(trouble->message, copy)) {
		trouble->changed = true;
		trouble->due_ms = trouble->change_due_ms;
	}
	free(trouble->message);
	trouble->message = copy;
	return 0;
}

/* ------------------------------------------------------------------ as JSON */

static json_t *time_json(time_t time)
{
	char text[sizeof("2000-01-01T00:00:00Z") + 16];
	struct tm parts;

	gmtime_r(&time, &parts);
	strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &parts);
	return json_string(text);
}

/* What an update changes; NULL: no memory. */
static json_t *changing_members(const struct trouble *trouble)
{
	return json_pack("{s:s, s:i, s:o}", "message", trouble->message, "count", trouble->count, "lastTimestamp",
			 time_json(trouble->last));
}

static json_t *lasting_members(const struct kube_events *events, const struct trouble *trouble)
{
	return json_pack("{s:s, s:s, s:{s:s, s:s}, s:{s:s, s:s, s:s, s:s, s:s}, s:s, s:s, s:{s:s, s:s}, s:o, s:s, s:s}",
			 "apiVersion", "v1", "kind", "Event", "metadata", "namespace", trouble->namespace, "name",
			 trouble->name, "involvedObject", "apiVersion", "v1", "kind", "Pod", "namespace",
			 trouble->namespace, "name", trouble->pod, "uid", trouble->uid, "type", "Warning", "reason",
			 trouble->reason, "source", "component", COMPONENT, "host", events->node_name, "firstTimestamp",
			 time_json(trouble->first), "reportingComponent", COMPONENT, "reportingInstance",
			 events->node_name);
}

static char *event_text(const struct kube_events *events, const struct trouble *trouble)
{
	json_t *event = changing_members(trouble), *lasting = NULL;
	char *text = NULL;

	if (event && !trouble->created) {
		lasting = lasting_members(events, trouble);
		if (!lasting || json_object_update(event, lasting)) {
			json_decref(event);
			event = NULL;
		}
	}
	if (event)
		text = json_dumps(event, JSON_COMPACT);
	json_decref(lasting);
	json_decref(event);
	return text;
}

/* ------------------------------------------------------------------ sending */

static void schedule(struct kube_events *events);

static int ignore_piece(const char *bytes, size_t length, void *data)
{
	(void)bytes;
	(void)length;
	(void)data;
	return 0;
}

static uint32_t any_number(void)
{
	uint32_t number = 0;

	if (getrandom(&number, sizeof(number), GRND_NONBLOCK) != sizeof(number))
		number = now_ms();
	return number;
}

static void complain(struct kube_events *events, const struct trouble *trouble, const struct kube_answer *answer)
{
	enum log_level level = events->complained ? LOG_LEVEL_DEBUG : LOG_LEVEL_WARNING;

	events->complained = true;
	log_message(level, "%s/%s: what is wrong with it cannot be told in an Event: %s%s", trouble->namespace,
		    trouble->pod, answer->message,
		    answer->status == 403 ? "; this account needs the verbs create and patch on events" : "");
}

/* The server, or the way to it, is in trouble itself: no other request would fare better. */
static bool is_general(const struct kube_answer *answer)
{
	return answer->error || !answer->status || answer->status == 429 || answer->status >= 500;
}

static void on_failure(struct kube_events *events, struct trouble *trouble, const struct kube_answer *answer)
{
	/* An Event of that name from before the agent's start; or one that the server has let expire. */
	if ((answer->status == 409 && !trouble->created) || (answer->status == 404 && trouble->created)) {
		trouble->created = !trouble->created;
		trouble->due_ms = trouble->change_due_ms = 0;
		return;
	}
	complain(events, trouble, answer);
	if (is_general(answer))
		events->due_ms = now_ms() + kube_backoff_next(&events->backoff, any_number(), answer->retry_after);
	else
		trouble->due_ms = trouble->change_due_ms = now_ms() + UPDATE_MS;
}

static void on_done(const struct kube_answer *answer, void *data)
{
	struct kube_events *events = data;
	struct trouble *trouble = events->sent;

	events->request = NULL;
	events->sent = NULL;
	events->due_ms = now_ms() + REQUEST_PAUSE_MS;
	if (!answer->error && answer->status >= 200 && answer->status < 300) {
		trouble->created = true;
		trouble->waits = trouble->count != events->sent_count;
		trouble->change_due_ms = now_ms() + CHANGE_MS;
		trouble->due_ms = trouble->changed ? trouble->change_due_ms : now_ms() + UPDATE_MS;
		kube_backoff_reset(&events->backoff);
		events->complained = false;
	} else {
		on_failure(events, trouble, answer);
	}
	schedule(events);
}

static int send_event(struct kube_events *events, struct trouble *trouble)
{
	const struct kube_request_handler handler = {.piece = ignore_piece, .done = on_done, .data = events};
	_cleanup_free_ char *namespace = kube_escape(trouble->namespace), *name = kube_escape(trouble->name);
	_cleanup_free_ char *body = event_text(events, trouble), *path = NULL;
	struct kube_request_options options = {.method = "POST", .body = body, .content_type = "application/json"};
	int error;

	if (namespace && name)
		path = text_format("/api/v1/namespaces/%s/events%s%s", namespace, trouble->created ? "/" : "",
				   trouble->created ? name : "");
	if (!body || !path)
		return -ENOMEM;
	options.path = path;
	if (trouble->created) {
		options.method = "PATCH";
		options.content_type = "application/merge-patch+json";
	}
	error = kube_client_send(events->client, &options, &handler, &events->request);
	if (error)
		return error;
	events->sent = trouble;
	events->sent_count = trouble->count;
	trouble->changed = false;
	return 0;
}

static struct trouble *next_to_send(const struct kube_events *events)
{
	struct trouble *trouble, *found = NULL;

	for (trouble = events->troubles; trouble; trouble = trouble->hh.next)
		if (trouble->waits && (!found || trouble->due_ms < found->due_ms))
			found = trouble;
	return found;
}

static void schedule(struct kube_events *events)
{
	const struct trouble *trouble = events->request ? NULL : next_to_send(events);
	struct timeval pause = {0};
	int64_t wait;

	if (!trouble)
		return;
	wait = (trouble->due_ms > events->due_ms ? trouble->due_ms : events->due_ms) - now_ms();
	if (wait > 0)
		pause = (struct timeval){wait / 1000, wait % 1000 * 1000};
	event_add(events->timer, &pause);
}

static void on_timer(evutil_socket_t fd, short what, void *data)
{
	struct kube_events *events = data;
	struct trouble *trouble = events->request ? NULL : next_to_send(events);

	(void)fd;
	(void)what;
	if (!trouble || !send_event(events, trouble))
		return;
	log_debug("%s/%s: no memory to tell in an Event what is wrong with it", trouble->namespace, trouble->pod);
	events->due_ms = now_ms() + kube_backoff_next(&events->backoff, any_number(), 0);
	schedule(events);
}

void kube_events_tell(struct kube_events *events, const struct object *pod, const char *reason, const char *message)
{
	struct trouble *trouble = find_or_add(events, pod, reason);

	if (!trouble || set_message(trouble, message)) {
		log_debug("%s/%s: no room to tell in an Event: %s", pod->namespace, pod->name, message);
		return;
	}
	if (!trouble->count)
		trouble->first = time(NULL);
	trouble->count++;
	trouble->last = time(NULL);
	trouble->told_ms = now_ms();
	trouble->waits = true;
	schedule(events);
}

/* ------------------------------------------------------------------ life */

void kube_events_free(struct kube_events *events)
{
	struct trouble *trouble, *next;

	if (!events)
		return;
	kube_request_cancel(events->request);
	HASH_ITER(hh, events->troubles, trouble, next) {
		HASH_DEL(events->troubles, trouble);
		trouble_free(trouble);
	}
	if (events->timer)
		event_free(events->timer);
	free(events->node_name);
	free(events);
}

int kube_events_new(struct kube_client *client, struct event_base *loop, const char *node_name,
		    struct kube_events **out)
{
	struct kube_events *events = calloc(1, sizeof(*events));

	if (!events)
		return -ENOMEM;
	events->client = client;
	events->node_name = strdup(node_name);
	events->timer = evtimer_new(loop, on_timer, events);
	if (!events->node_name || !events->timer) {
		kube_events_free(events);
		return -ENOMEM;
	}
	*out = events;
	return 0;
}
