/* SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "cli/columns.h"
#include "cli/command.h"
#include "cli/counters.h"
#include "cli/destination.h"
#include "cli/kernel.h"
#include "cli/memory.h"
#include "cli/options.h"
#include "cli/output.h"
#include "cli/protocol.h"
#include "cli/saved_state.h"
#include "report/state.h"

#define DROPS_SHOWN        50   /* without -n */
#define DROPS_READ         1024 /* records a call */
#define FOLLOW_INTERVAL_MS 100  /* the kernel never wakes a reader */
#define NANOSECONDS        1000000000ull

static const char *const titles[] = {"TIME", "POD", "REASON", "PROTOCOL", "SOURCE", "DESTINATION", ">BYTES", "WHY"};

struct drops_request {
	bool follow;
	unsigned long limit;
	const char *pod_text;
	struct object_name pod;
};

struct drops {
	struct saved_state state;
	struct datapath *datapath;
	struct drop_cursor *cursor;
	const struct drops_request *request;
	enum output_format output;
	int64_t clock_offset; /* CLOCK_REALTIME - CLOCK_MONOTONIC, nanoseconds */
	char *state_path;
	struct timespec state_changed; /* when the file that was read was written */
};

static void drops_clear(struct drops *drops)
{
	saved_state_clear(&drops->state);
	if (drops->cursor)
		drop_cursor_free(drops->cursor);
	kernel_close(&drops->datapath);
	free(drops->state_path);
}

static int64_t read_clock(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (int64_t)now.tv_sec * (int64_t)NANOSECONDS + now.tv_nsec;
}

/* RFC 3339 with milliseconds, UTC. */
#define DROP_TIME_SIZE 40
static void format_time(const struct drops *drops, uint64_t monotonic, char text[DROP_TIME_SIZE])
{
	uint64_t real = monotonic + (uint64_t)drops->clock_offset;
	time_t seconds = (time_t)(real / NANOSECONDS);
	struct tm parts;
	size_t length;

	gmtime_r(&seconds, &parts);
	length = strftime(text, DROP_TIME_SIZE, "%Y-%m-%dT%H:%M:%S", &parts);
	snprintf(text + length, DROP_TIME_SIZE - length, ".%03uZ", (unsigned int)(real % NANOSECONDS / 1000000));
}

static bool wanted(const struct drops *drops, const struct egress_drop_record *record)
{
	const struct saved_endpoint *endpoint;

	if (!drops->request->pod_text)
		return true;
	endpoint = saved_endpoint_by_id(&drops->state, record->endpoint);
	return endpoint && !strcmp(endpoint->namespace, drops->request->pod.namespace) &&
	       !strcmp(endpoint->pod, drops->request->pod.name);
}

static const char *format_address(const struct egress_drop_record *record, const uint32_t words[4],
				  char text[INET6_ADDRSTRLEN])
{
	if (!record->family)
		return NULL;
	return inet_ntop(record->family == 4 ? AF_INET : AF_INET6, words, text, INET6_ADDRSTRLEN);
}

/* "ADDRESS:PORT"; NULL where there is none. The caller frees it. */
static char *format_peer(const struct egress_drop_record *record, const uint32_t words[4], uint16_t port)
{
	char text[INET6_ADDRSTRLEN];
	const char *address = format_address(record, words, text);

	if (!address)
		return NULL;
	if (!(record->flags & EGRESS_DROP_HAS_PORTS) || !protocol_has_ports(record->protocol, NULL))
		return copy_text(address);
	return format_text(record->family == 6 ? "[%s]:%u" : "%s:%u", address, port);
}

/* What the deciding cell says, for drops by policy; NULL for others. The caller frees it. */
static char *format_cell(const struct drops *drops, const struct egress_drop_record *record)
{
	if (record->reason != EGRESS_DROP_POLICY)
		return NULL;
	/* Rule ids are those of their own generation only; the words for other cells never change. */
	if (!cell_reason(record->cell) && record->generation != drops->state.generation)
		return format_text("a rule of generation %u", record->generation);
	return rule_short_text(&drops->state.rules, record->cell);
}

static char *format_protocol(const struct egress_drop_record *record)
{
	char text[PROTOCOL_TEXT_SIZE];

	if (!record->family)
		return format_text("0x%04x", record->ethertype);
	return copy_text(protocol_format(record->protocol, text));
}

static void add_row(const struct drops *drops, const struct egress_drop_record *record, struct columns *columns)
{
	_cleanup_free_ char *pod = endpoint_text(&drops->state, record->endpoint);
	_cleanup_free_ char *source = format_peer(record, record->source, record->source_port);
	_cleanup_free_ char *destination = format_peer(record, record->destination, record->destination_port);
	_cleanup_free_ char *why = format_cell(drops, record);
	_cleanup_free_ char *protocol = format_protocol(record);
	char time[DROP_TIME_SIZE], reason[REASON_TEXT_SIZE];

	format_time(drops, record->time, time);
	columns_add(columns, time);
	columns_add(columns, pod);
	columns_add(columns, drop_reason_text(record->reason, reason));
	columns_add(columns, protocol);
	columns_add(columns, source);
	columns_add(columns, destination);
	columns_format(columns, "%u", record->length);
	columns_add(columns, why);
}

static json_t *encode_port(const struct egress_drop_record *record, uint16_t port)
{
	bool has = record->flags & EGRESS_DROP_HAS_PORTS && protocol_has_ports(record->protocol, NULL);

	return has ? json_integer(port) : json_null();
}

static json_t *encode_record(const struct drops *drops, const struct egress_drop_record *record)
{
	const struct saved_endpoint *endpoint = saved_endpoint_by_id(&drops->state, record->endpoint);
	char time[DROP_TIME_SIZE], text[INET6_ADDRSTRLEN], protocol[PROTOCOL_TEXT_SIZE], reason[REASON_TEXT_SIZE];
	_cleanup_free_ char *why = format_cell(drops, record);
	json_t *object = json_new_object();

	format_time(drops, record->time, time);
	json_put_text(object, "time", time);
	json_put_number(object, "endpoint", record->endpoint);
	json_put_text(object, "namespace", endpoint ? endpoint->namespace : NULL);
	json_put_text(object, "pod", endpoint ? endpoint->pod : NULL);
	json_put_number(object, "ifindex", record->ifindex);
	json_put_text(object, "reason", drop_reason_text(record->reason, reason));
	json_put_text(object, "why", why);
	json_put_number(object, "ethertype", record->ethertype);
	json_put_text(object, "protocol", record->family ? protocol_format(record->protocol, protocol) : NULL);
	json_put_text(object, "source", format_address(record, record->source, text));
	json_put(object, "source_port", encode_port(record, record->source_port));
	json_put_text(object, "destination", format_address(record, record->destination, text));
	json_put(object, "destination_port", encode_port(record, record->destination_port));
	json_put_number(object, "bytes", record->length);
	json_put_number(object, "generation", record->generation);
	return object;
}

struct record_list {
	struct egress_drop_record *items;
	size_t count, capacity;
	uint64_t lost;
};

static void record_list_clear(struct record_list *list)
{
	free(list->items);
}

/* Appends all wanted records that there are now. 0, or -errno after it told. */
static int read_records(struct drops *drops, struct record_list *list)
{
	_cleanup_free_ struct egress_drop_record *records = allocate(DROPS_READ, sizeof(*records));
	size_t count, i;

	do {
		uint64_t lost = 0;
		int error = drop_cursor_read(drops->cursor, records, DROPS_READ, &count, &lost);

		if (error) {
			log_error("the drop log cannot be read: %s", strerror(-error));
			return error;
		}
		list->lost += lost;
		for (i = 0; i < count; i++)
			if (wanted(drops, &records[i]))
				array_push(list->items, list->count, list->capacity, records[i]);
	} while (count == DROPS_READ);
	return 0;
}

/* Follow prints a batch at a time, each aligned in itself; only the first has the heading. */
static void print_records(const struct drops *drops, const struct record_list *list, size_t first, bool heading)
{
	_cleanup_(columns_clear) struct columns *columns = columns_new(heading ? titles : NULL, ARRAY_SIZE(titles));
	size_t i;

	for (i = first; i < list->count; i++) {
		if (drops->output == OUTPUT_JSON)
			json_print_line(encode_record(drops, &list->items[i]));
		else
			add_row(drops, &list->items[i], columns);
	}
	columns_print(columns, stdout);
}

static size_t first_shown(const struct drops_request *request, size_t count)
{
	return count > request->limit ? count - request->limit : 0;
}

static int print_recent(struct drops *drops)
{
	_cleanup_(record_list_clear) struct record_list list = {0};
	json_t *object, *array;
	size_t i;

	if (read_records(drops, &list))
		return EXIT_ERROR;
	if (drops->output == OUTPUT_TABLE) {
		print_records(drops, &list, first_shown(drops->request, list.count), true);
		return EXIT_SUCCESS;
	}
	array = json_new_array();
	for (i = first_shown(drops->request, list.count); i < list.count; i++)
		json_append(array, encode_record(drops, &list.items[i]));
	object = json_new_object();
	json_put(object, "drops", array);
	json_put_number(object, "lost", list.lost);
	json_print(object);
	return EXIT_SUCCESS;
}

static void remember_state(struct drops *drops)
{
	struct stat status;

	if (!stat(drops->state_path, &status))
		drops->state_changed = status.st_mtim;
}

/* Pods come and go while one follows: the names are those of the state file as it is now. */
static void refresh_state(struct drops *drops, const char *directory)
{
	struct saved_state state;
	struct stat status;

	if (stat(drops->state_path, &status) || (status.st_mtim.tv_sec == drops->state_changed.tv_sec &&
						 status.st_mtim.tv_nsec == drops->state_changed.tv_nsec))
		return;
	drops->state_changed = status.st_mtim;
	if (saved_state_read(directory, &state))
		return;
	saved_state_clear(&drops->state);
	drops->state = state;
}

/* Until a signal ends the program or its output is closed. */
static int follow(struct drops *drops, const char *directory)
{
	const struct timespec pause = {.tv_nsec = FOLLOW_INTERVAL_MS * 1000000L};
	bool first = true;

	for (;;) {
		_cleanup_(record_list_clear) struct record_list list = {0};

		refresh_state(drops, directory);
		if (read_records(drops, &list))
			return EXIT_ERROR;
		if (list.lost)
			log_warning("%llu records were overwritten before they were read",
				    (unsigned long long)list.lost);
		print_records(drops, &list, first ? first_shown(drops->request, list.count) : 0,
			      first && drops->output == OUTPUT_TABLE);
		if (fflush(stdout))
			return EXIT_ERROR;
		first = false;
		nanosleep(&pause, NULL);
	}
}

static int open_drops(const struct settings *settings, struct drops *drops)
{
	int error;

	drops->state_path = format_text("%s/%s", settings->state, STATE_FILE);
	remember_state(drops);
	error = saved_state_read(settings->state, &drops->state);
	if (error && drops->request->pod_text) {
		log_error("--pod %s: %s", drops->request->pod_text,
			  saved_state_problem(settings->state, STATE_FILE, error));
		return error;
	}
	error = kernel_load(settings, &drops->datapath);
	if (error)
		return error;
	error = drop_cursor_new(drops->datapath, false, &drops->cursor);
	if (error)
		log_error("the drop log cannot be read: %s", strerror(-error));
	return error;
}

int command_drops(struct invocation *invocation)
{
	struct drops_request request = {.limit = DROPS_SHOWN};
	const struct command_option options[] = {
		{"follow", 'f', OPTION_FLAG, &request.follow},
		{"count", 'n', OPTION_NUMBER, &request.limit},
		{"pod", 0, OPTION_TEXT, &request.pod_text},
	};
	_cleanup_(drops_clear) struct drops drops = {.request = &request};

	if (!options_parse_all(invocation, options, ARRAY_SIZE(options)))
		return EXIT_ERROR;
	if (request.pod_text && object_name_parse(request.pod_text, &request.pod)) {
		log_error("--pod %s: expected NS/POD", request.pod_text);
		return EXIT_ERROR;
	}
	if (open_drops(&invocation->settings, &drops))
		return EXIT_ERROR;
	drops.output = invocation->settings.output;
	drops.clock_offset = read_clock(CLOCK_REALTIME) - read_clock(CLOCK_MONOTONIC);
	return request.follow ? follow(&drops, invocation->settings.state) : print_recent(&drops);
}
