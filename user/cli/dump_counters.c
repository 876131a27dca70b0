/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/dump.h"

#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "cli/columns.h"
#include "cli/counters.h"
#include "cli/memory.h"
#include "cli/output.h"

static const char *const titles[] = {"POD", "VERDICT", "REASON", ">PACKETS", ">BYTES"};

static void add_row(struct columns *columns, const char *pod, const char *verdict, const char *reason,
		    const struct egress_counter *counter)
{
	columns_add(columns, pod);
	columns_add(columns, verdict);
	columns_add(columns, reason);
	columns_format(columns, "%llu", (unsigned long long)counter->packets);
	columns_format(columns, "%llu", (unsigned long long)counter->bytes);
}

static void add_rows(struct columns *columns, const char *pod, const struct pod_counters *counters)
{
	char text[REASON_TEXT_SIZE];
	uint32_t reason;

	add_row(columns, pod, "allow", NULL, &counters->allowed);
	for (reason = 0; reason < EGRESS_DROP_REASON_SLOTS; reason++)
		if (counters->reasons[reason].packets)
			add_row(columns, pod, "drop", drop_reason_text(reason, text), &counters->reasons[reason]);
}

static json_t *encode_counter(const struct egress_counter *counter)
{
	json_t *object = json_new_object();

	json_put_number(object, "packets", counter->packets);
	json_put_number(object, "bytes", counter->bytes);
	return object;
}

static json_t *encode_counters(uint32_t id, const char *pod, const struct pod_counters *counters)
{
	json_t *object = json_new_object(), *reasons = json_new_object();
	char text[REASON_TEXT_SIZE];
	uint32_t reason;

	for (reason = 0; reason < EGRESS_DROP_REASON_SLOTS; reason++)
		if (counters->reasons[reason].packets)
			json_put(reasons, drop_reason_text(reason, text), encode_counter(&counters->reasons[reason]));
	json_put_number(object, "endpoint", id);
	json_put_text(object, "pod", pod);
	json_put(object, "allowed", encode_counter(&counters->allowed));
	json_put(object, "dropped", reasons);
	return object;
}

static int compare_ids(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

/* Ids of all endpoints in the maps and the one that belongs to no pod, sorted. 0 or -errno. */
static int list_ids(struct dump *dump, uint32_t **out, size_t *count)
{
	_cleanup_free_ struct egress_endpoint *endpoints = NULL;
	size_t found, i;
	int error = datapath_endpoint_list(dump->datapath, &endpoints, &found);

	if (error)
		return error;
	*out = allocate(found + 1, sizeof(**out));
	(*out)[0] = EGRESS_ENDPOINT_NONE;
	for (i = 0; i < found; i++)
		(*out)[i + 1] = endpoints[i].id;
	qsort(*out, found + 1, sizeof(**out), compare_ids);
	*count = found + 1;
	return 0;
}

static char *id_text(const struct dump *dump, uint32_t id)
{
	return id == EGRESS_ENDPOINT_NONE ? copy_text("(no pod)") : endpoint_text(&dump->state, id);
}

int dump_counters(struct dump *dump, json_t **out)
{
	_cleanup_(columns_clear) struct columns *columns = columns_new(titles, ARRAY_SIZE(titles));
	_cleanup_(json_clear) json_t *array = json_new_array();
	_cleanup_free_ uint32_t *ids = NULL;
	size_t count = 0, i;
	int error = list_ids(dump, &ids, &count);

	for (i = 0; !error && i < count; i++) {
		_cleanup_free_ char *pod = id_text(dump, ids[i]);
		struct pod_counters counters;

		error = pod_counters_read(dump->datapath, ids[i], &counters);
		if (error)
			break;
		add_rows(columns, pod, &counters);
		json_append(array, encode_counters(ids[i], pod, &counters));
	}
	if (error) {
		log_error("the counters cannot be read: %s", strerror(-error));
		return error;
	}
	if (dump->settings->output == OUTPUT_JSON)
		*out = take(array);
	else
		columns_print(columns, stdout);
	return 0;
}
