/* SPDX-License-Identifier: Apache-2.0 */
#include "source/kube_reflector.h"

#include <errno.h>
#include <event2/event.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "base/text.h"
#include "base/json_splitter.h"
#include "source/kube_backoff.h"

#define OBJECT_SIZE_MAX (8u << 20)
#define PAGE_SIZE 500
/* Watches of many agents must not all end at once. */
#define WATCH_SECONDS_LEAST 300u
#define WATCH_SECONDS_MOST 600u
/* One that ends sooner than this has failed. */
#define WATCH_SHORTEST_MS 1000
/* One that goes on for so long, or brings something, is none that fails. */
#define WATCH_STEADY_MS 10000
/* A failure that is told only when it lasts. */
#define FAILURES_TOLD 2

#define INITIAL_EVENTS_END "k8s.io/initial-events-end"

enum phase {
	STREAM, /* a watch that begins with all that there is */
	LIST,
	WATCH,
};

struct kube_reflector {
	const struct kube_resource *resource;
	struct kube_client *client;
	struct kube_reflector_handler handler;
	struct kube_request *request;
	struct json_splitter *splitter;
	struct event *timer;
	enum phase phase;
	bool no_streams;    /* the server has refused one */
	bool whole;         /* no pages: the server has forgotten one half way */
	char *version;      /* "": none */
	char *continuation; /* of the next page; NULL: the first */
	bool list_ended;    /* the document of a page was complete */
	bool synced;
	bool retried_token; /* after a 401 */

	/* Of the present request. */
	int64_t started_ms;
	bool heard;              /* an event or bookmark */
	long error_code;         /* of an ERROR event; 0: none */
	char *complaint;         /* why a piece was refused, or what an ERROR event says */

	struct kube_backoff backoff;
	struct kube_backoff gone; /* views that were of no use: the server had forgotten their version at once */
	char *problem;
	bool told; /* the problem is worth telling */
	int64_t heard_ms; /* CLOCK_MONOTONIC; 0: never */
	struct kube_reflector_statistics statistics;
};

static void json_release(json_t **json)
{
	json_decref(*json);
}

static int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static uint32_t random_number(void)
{
	uint32_t number = 0;

	if (getrandom(&number, sizeof(number), GRND_NONBLOCK) != sizeof(number))
		number = (uint32_t)now_ms() * 2654435761u;
	return number;
}

static int replace_text(char **text, const char *new)
{
	char *copy = strdup(new);

	if (!copy)
		return -ENOMEM;
	free(*text);
	*text = copy;
	return 0;
}

static void forget(char **text)
{
	free(*text);
	*text = NULL;
}

static void complain(struct kube_reflector *reflector, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void complain(struct kube_reflector *reflector, const char *format, ...)
{
	va_list arguments;

	free(reflector->complaint);
	va_start(arguments, format);
	reflector->complaint = text_format_list(format, arguments);
	va_end(arguments);
	if (reflector->complaint)
		text_make_line(reflector->complaint);
}

/* ------------------------------------------------------------------ what is known */

bool kube_reflector_synced(const struct kube_reflector *reflector)
{
	return reflector->synced;
}

const char *kube_reflector_problem(const struct kube_reflector *reflector)
{
	return reflector->told ? reflector->problem : NULL;
}

void kube_reflector_statistics(const struct kube_reflector *reflector, struct kube_reflector_statistics *out)
{
	*out = reflector->statistics;
	out->silence_ms = reflector->heard_ms ? now_ms() - reflector->heard_ms : -1;
}

static void note_heard(struct kube_reflector *reflector)
{
	reflector->heard_ms = now_ms();
}

static void set_problem(struct kube_reflector *reflector, char *problem, bool told)
{
	log_debug("%s: %s", reflector->resource->name, problem ? problem : "no memory");
	free(reflector->problem);
	reflector->problem = problem;
	reflector->told = told && problem;
	reflector->handler.state_changed(reflector->handler.data);
}

static void clear_problem(struct kube_reflector *reflector)
{
	bool told = reflector->told;

	forget(&reflector->problem);
	reflector->told = false;
	if (told)
		reflector->handler.state_changed(reflector->handler.data);
}

/* ------------------------------------------------------------------ objects */

static const char *text_member(const json_t *json, const char *name)
{
	const char *text = json_string_value(json_object_get(json, name));

	return text ? text : "";
}

/* 0; -EBADMSG: it cannot even be told what it is; -errno of the handler. */
static int decode(struct kube_reflector *reflector, const char *text, size_t length, struct api_object *out,
		  struct problem_list *problems)
{
	int error = decode_api_object(reflector->resource->kind, text, length, out, problems);

	if (error != -EINVAL)
		return error;
	complain(reflector, "an object cannot be read: %s", problems->count ? problems->items[0].message : "");
	return -EBADMSG;
}

static int put_text(struct kube_reflector *reflector, const char *text, size_t length, char **version)
{
	_cleanup_(problem_list_clear) struct problem_list problems = {0};
	_cleanup_(api_object_clear) struct api_object object = {0};
	int error = decode(reflector, text, length, &object, &problems);

	if (!error)
		error = reflector->handler.put(&object, &problems, reflector->handler.data);
	if (!error)
		*version = take(object.resource_version);
	return error;
}

static int remove_text(struct kube_reflector *reflector, const char *text, size_t length, char **version)
{
	_cleanup_(problem_list_clear) struct problem_list problems = {0};
	_cleanup_(api_object_clear) struct api_object object = {0};
	int error = decode(reflector, text, length, &object, &problems);

	if (!error)
		error = reflector->handler.remove(object.namespace, object.name, reflector->handler.data);
	if (!error)
		*version = take(object.resource_version);
	return error;
}

/* ------------------------------------------------------------------ lists */

static int on_element(const char *text, size_t length, void *data)
{
	struct kube_reflector *reflector = data;
	_cleanup_free_ char *version = NULL;

	reflector->statistics.events++;
	return put_text(reflector, text, length, &version);
}

static int on_page(const char *rest, size_t rest_length, const char *value, size_t value_length, void *data)
{
	_cleanup_(json_release) json_t *root = json_loadb(rest, rest_length, JSON_REJECT_DUPLICATES, NULL);
	struct kube_reflector *reflector = data;
	const json_t *metadata = json_object_get(root, "metadata"), *items = json_object_get(root, "items");
	const char *version = text_member(metadata, "resourceVersion"), *next = text_member(metadata, "continue");
	int error;

	(void)value;
	(void)value_length;
	if (reflector->list_ended || !items || !(json_is_array(items) || json_is_null(items)) || !*version) {
		complain(reflector, "expected a list with a resourceVersion, found something else");
		return -EBADMSG;
	}
	error = replace_text(&reflector->version, version);
	forget(&reflector->continuation);
	if (!error && *next) {
		reflector->continuation = strdup(next);
		error = reflector->continuation ? 0 : -ENOMEM;
	}
	reflector->list_ended = !error;
	return error;
}

/* ------------------------------------------------------------------ events */

/* A view is complete. */
static int end_view(struct kube_reflector *reflector)
{
	int error = reflector->handler.end(reflector->handler.data);

	if (error)
		return error;
	reflector->synced = true;
	reflector->phase = WATCH;
	reflector->whole = false;
	kube_backoff_reset(&reflector->backoff);
	log_debug("%s: all of it is known as of version %s", reflector->resource->name, reflector->version);
	clear_problem(reflector);
	reflector->handler.state_changed(reflector->handler.data);
	return 0;
}

/* Of two numbers without leading zeros; anything else is not compared, for versions are opaque. */
static bool is_older(const char *version, const char *than)
{
	size_t length = strlen(version), other = strlen(than);

	if (!length || !other || strspn(version, "0123456789") != length || strspn(than, "0123456789") != other ||
	    *version == '0' || *than == '0')
		return false;
	return length != other ? length < other : strcmp(version, than) < 0;
}

/*
 * Events come in the order in which things happened. One that is older than what was told before means that something
 * may be missed or undone: only a new view can tell.
 */
static int advance(struct kube_reflector *reflector, const char *version)
{
	if (!*version)
		return 0;
	if (reflector->phase == WATCH && is_older(version, reflector->version)) {
		complain(reflector, "version %s came after %s: reading everything anew", version, reflector->version);
		return -ESTALE;
	}
	return replace_text(&reflector->version, version);
}

static int on_bookmark(struct kube_reflector *reflector, const char *value, size_t length)
{
	_cleanup_(json_release) json_t *object = json_loadb(value, length, 0, NULL);
	const json_t *metadata = json_object_get(object, "metadata");
	const char *end = text_member(json_object_get(metadata, "annotations"), INITIAL_EVENTS_END);
	int error;

	if (!*text_member(metadata, "resourceVersion")) {
		complain(reflector, "expected a bookmark with a resourceVersion, found none");
		return -EBADMSG;
	}
	error = advance(reflector, text_member(metadata, "resourceVersion"));
	if (!error && reflector->phase == STREAM && !strcmp(end, "true"))
		error = end_view(reflector);
	return error;
}

static int on_error_event(struct kube_reflector *reflector, const char *value, size_t length)
{
	_cleanup_(json_release) json_t *status = json_loadb(value, length, 0, NULL);

	reflector->error_code = (long)json_integer_value(json_object_get(status, "code"));
	if (!reflector->error_code)
		reflector->error_code = 500;
	complain(reflector, "%ld: %s", reflector->error_code, text_member(status, "message"));
	return -ECANCELED;
}

static int handle_event(struct kube_reflector *reflector, const char *type, const char *value, size_t length)
{
	_cleanup_free_ char *version = NULL;
	int error;

	if (!strcmp(type, "BOOKMARK"))
		return on_bookmark(reflector, value, length);
	if (!strcmp(type, "ERROR"))
		return on_error_event(reflector, value, length);
	if (!strcmp(type, "DELETED")) {
		error = remove_text(reflector, value, length, &version);
	} else if (!strcmp(type, "ADDED") || !strcmp(type, "MODIFIED")) {
		error = put_text(reflector, value, length, &version);
	} else {
		complain(reflector, "expected an event of type ADDED, MODIFIED, DELETED, BOOKMARK or ERROR, found %s",
			 *type ? type : "none");
		return -EBADMSG;
	}
	reflector->statistics.events++;
	/* The versions of a view's objects are in no order; it ends with a bookmark that has its own. */
	if (!error && reflector->phase == WATCH)
		error = advance(reflector, version);
	return error;
}

static int on_event(const char *rest, size_t rest_length, const char *value, size_t value_length, void *data)
{
	_cleanup_(json_release) json_t *root = json_loadb(rest, rest_length, JSON_REJECT_DUPLICATES, NULL);
	struct kube_reflector *reflector = data;

	if (!root || !value) {
		complain(reflector, "expected an event with an object, found something else");
		return -EBADMSG;
	}
	reflector->heard = true;
	return handle_event(reflector, text_member(root, "type"), value, value_length);
}

/* ------------------------------------------------------------------ requests */

static void on_opened(void *data)
{
	struct kube_reflector *reflector = data;

	note_heard(reflector);
	reflector->retried_token = false;
	if (reflector->phase == WATCH)
		clear_problem(reflector);
}

static int on_piece(const char *bytes, size_t length, void *data)
{
	struct kube_reflector *reflector = data;
	int error;

	note_heard(reflector);
	error = json_splitter_feed(reflector->splitter, bytes, length);
	if (error && !reflector->complaint && *json_splitter_error(reflector->splitter))
		complain(reflector, "%s", json_splitter_error(reflector->splitter));
	return error;
}

static void on_done(const struct kube_answer *answer, void *data);

static int make_splitter(struct kube_reflector *reflector)
{
	bool list = reflector->phase == LIST;
	struct json_splitter_options options = {
		.member = list ? "items" : "object",
		.elements = list,
		.limit = OBJECT_SIZE_MAX,
		.element = on_element,
		.document = list ? on_page : on_event,
		.data = reflector,
	};

	json_splitter_free(reflector->splitter);
	reflector->splitter = NULL;
	return json_splitter_new(&options, &reflector->splitter);
}

static char *make_query(const struct kube_reflector *reflector)
{
	_cleanup_free_ char *version = kube_escape(reflector->version);
	_cleanup_free_ char *next = kube_escape(reflector->continuation ? reflector->continuation : "");
	uint32_t seconds = WATCH_SECONDS_LEAST + random_number() % (WATCH_SECONDS_MOST - WATCH_SECONDS_LEAST + 1);

	if (!version || !next)
		return NULL;
	switch (reflector->phase) {
	case STREAM:
		return text_format("watch=true&allowWatchBookmarks=true&sendInitialEvents=true"
				   "&resourceVersionMatch=NotOlderThan&timeoutSeconds=%u&resourceVersion=%s",
				   seconds, version);
	case WATCH:
		return text_format("watch=true&allowWatchBookmarks=true&timeoutSeconds=%u&resourceVersion=%s", seconds,
				   version);
	default:
		if (reflector->whole)
			return strdup("");
		return text_format("limit=%d%s%s", PAGE_SIZE, *next ? "&continue=" : "", next);
	}
}

static char *make_path(const struct kube_reflector *reflector)
{
	const char *selector = reflector->resource->field_selector;
	_cleanup_free_ char *query = make_query(reflector), *escaped = kube_escape(selector ? selector : "");

	if (!query || !escaped)
		return NULL;
	return text_format("%s?%s%s%s", reflector->resource->path, query, selector ? "&fieldSelector=" : "", escaped);
}

static int send_request(struct kube_reflector *reflector)
{
	const struct kube_request_handler handler = {on_opened, on_piece, on_done, reflector};
	_cleanup_free_ char *path = make_path(reflector);
	struct kube_request_options options = {.path = path, .watch = reflector->phase != LIST};
	int error = path ? make_splitter(reflector) : -ENOMEM;

	if (!error && reflector->phase != WATCH && !reflector->continuation)
		error = reflector->handler.begin(reflector->handler.data);
	if (error)
		return error;
	forget(&reflector->complaint);
	reflector->error_code = 0;
	reflector->heard = false;
	reflector->list_ended = false;
	reflector->started_ms = now_ms();
	if (reflector->phase == WATCH)
		reflector->statistics.watches++;
	else if (!reflector->continuation)
		reflector->statistics.lists++;
	return kube_client_send(reflector->client, &options, &handler, &reflector->request);
}

static void start_after(struct kube_reflector *reflector, uint32_t milliseconds)
{
	const struct timeval pause = {.tv_sec = milliseconds / 1000, .tv_usec = milliseconds % 1000 * 1000};

	event_add(reflector->timer, &pause);
}

static void on_timer(evutil_socket_t fd, short what, void *data)
{
	struct kube_reflector *reflector = data;
	int error = send_request(reflector);

	(void)fd;
	(void)what;
	if (!error)
		return;
	set_problem(reflector, text_format("%s: %s", reflector->resource->name, strerror(-error)), true);
	start_after(reflector, kube_backoff_next(&reflector->backoff, random_number(), 0));
}

/* ------------------------------------------------------------------ how requests end */

static void begin_view(struct kube_reflector *reflector)
{
	reflector->phase = reflector->no_streams ? LIST : STREAM;
	forget(&reflector->continuation);
}

static const char *verb(const struct kube_reflector *reflector)
{
	return reflector->phase == LIST ? "list" : "watch";
}

static char *describe(const struct kube_reflector *reflector, const struct kube_answer *answer)
{
	const char *name = reflector->resource->name, *server = kube_client_server(reflector->client);
	const char *why = reflector->complaint ? reflector->complaint : answer->message;

	if (!answer->error && answer->status == 403)
		return text_format("cannot %s %s: the API server refuses it to this account, which needs the verbs "
				   "list and watch on %s: %s", verb(reflector), name, name, why);
	if (!answer->error && answer->status == 401)
		return text_format("cannot %s %s: the API server %s does not accept the credentials: %s",
				   verb(reflector), name, server, why);
	return text_format("cannot %s %s at %s: %s", verb(reflector), name, server, *why ? why : "the answer ends early");
}

/* A refusal will not go away by itself; anything else may have by the next attempt. */
static bool worth_telling(const struct kube_reflector *reflector, const struct kube_answer *answer)
{
	return !reflector->synced || reflector->backoff.failures >= FAILURES_TOLD || answer->error == -EACCES ||
	       answer->error == -EMSGSIZE || answer->error == -EBADMSG || answer->error == -EPROTO ||
	       (answer->status >= 400 && answer->status < 500 && answer->status != 429);
}

static void fail(struct kube_reflector *reflector, const struct kube_answer *answer)
{
	uint32_t pause = kube_backoff_next(&reflector->backoff, random_number(), answer->retry_after);

	reflector->statistics.errors++;
	set_problem(reflector, describe(reflector, answer), worth_telling(reflector, answer));
	/* A page that failed is asked for again; a view that came as a stream begins again. */
	start_after(reflector, pause);
}

/* The server does not have that version any more. At once, unless it did so before. */
static void start_over(struct kube_reflector *reflector)
{
	bool again = reflector->gone.failures;
	uint32_t pause = kube_backoff_next(&reflector->gone, random_number(), 0);

	log_debug("%s: reading everything anew", reflector->resource->name);
	if (reflector->phase == LIST && reflector->continuation)
		reflector->whole = true;
	replace_text(&reflector->version, "");
	begin_view(reflector);
	start_after(reflector, again ? pause : 0);
}

static bool is_gone(const struct kube_reflector *reflector, const struct kube_answer *answer)
{
	return (!answer->error && answer->status == 410) || reflector->error_code == 410 || answer->error == -ESTALE;
}

/* What a server that has no streaming lists says to one. */
static bool stream_refused(const struct kube_reflector *reflector, const struct kube_answer *answer)
{
	return reflector->phase == STREAM &&
	       ((!answer->error && (answer->status == 400 || answer->status == 422)) ||
		reflector->error_code == 400 || reflector->error_code == 422);
}

/* One that ignores what it does not know sends no end of the initial events, and then the watch ends. */
static bool stream_without_end(const struct kube_reflector *reflector, const struct kube_answer *answer)
{
	return reflector->phase == STREAM && !answer->error && answer->status == 200 && reflector->heard;
}

static void watch_ended(struct kube_reflector *reflector, const struct kube_answer *answer)
{
	int64_t lasted = now_ms() - reflector->started_ms;

	if (reflector->phase == WATCH && (reflector->heard || lasted >= WATCH_STEADY_MS)) {
		kube_backoff_reset(&reflector->backoff);
		kube_backoff_reset(&reflector->gone);
	}
	if (!answer->error && answer->status == 200 && json_splitter_is_between(reflector->splitter) &&
	    lasted >= WATCH_SHORTEST_MS) {
		start_after(reflector, 0);
		return;
	}
	fail(reflector, answer);
}

static void list_ended(struct kube_reflector *reflector, const struct kube_answer *answer)
{
	if (answer->error || answer->status != 200 || !reflector->list_ended) {
		fail(reflector, answer);
		return;
	}
	if (!reflector->continuation && end_view(reflector)) {
		begin_view(reflector);
		fail(reflector, answer);
		return;
	}
	start_after(reflector, 0);
}

static void on_done(const struct kube_answer *answer, void *data)
{
	struct kube_reflector *reflector = data;

	reflector->request = NULL;
	if (is_gone(reflector, answer)) {
		start_over(reflector);
	} else if (stream_refused(reflector, answer) || stream_without_end(reflector, answer)) {
		log_debug("%s: no streaming lists: %s", reflector->resource->name, answer->message);
		reflector->no_streams = true;
		begin_view(reflector);
		start_after(reflector, 0);
	} else if (!answer->error && answer->status == 401 && !reflector->retried_token) {
		/* The token may have been replaced just now; the next request reads it anew. */
		reflector->retried_token = true;
		reflector->statistics.errors++;
		start_after(reflector, 0);
	} else if (reflector->phase == LIST) {
		list_ended(reflector, answer);
	} else {
		watch_ended(reflector, answer);
	}
}

/* ------------------------------------------------------------------ life */

void kube_reflector_free(struct kube_reflector *reflector)
{
	if (!reflector)
		return;
	kube_request_cancel(reflector->request);
	json_splitter_free(reflector->splitter);
	if (reflector->timer)
		event_free(reflector->timer);
	free(reflector->version);
	free(reflector->continuation);
	free(reflector->complaint);
	free(reflector->problem);
	free(reflector);
}

int kube_reflector_new(const struct kube_resource *resource, struct kube_client *client, struct event_base *loop,
		       const struct kube_reflector_handler *handler, struct kube_reflector **out)
{
	struct kube_reflector *reflector = calloc(1, sizeof(*reflector));

	if (!reflector)
		return -ENOMEM;
	reflector->resource = resource;
	reflector->client = client;
	reflector->handler = *handler;
	reflector->version = strdup("");
	reflector->timer = evtimer_new(loop, on_timer, reflector);
	if (!reflector->version || !reflector->timer) {
		kube_reflector_free(reflector);
		return -ENOMEM;
	}
	begin_view(reflector);
	start_after(reflector, 0);
	*out = reflector;
	return 0;
}
