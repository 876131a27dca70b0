/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "cli/columns.h"
#include "cli/command.h"
#include "cli/counters.h"
#include "cli/kernel.h"
#include "cli/memory.h"
#include "cli/options.h"
#include "cli/output.h"
#include "cli/saved_state.h"

static const char *const titles[] = {
	"NAMESPACE", "POD", ">ID", "INTERFACE", "ADDRESSES", "ISOLATED", "ATTACHED", ">ALLOWED", ">DROPPED", "PROBLEM",
};

/* Comma-separated; the caller frees it. */
static char *join_addresses(const json_t *addresses)
{
	char *text = copy_text("");
	size_t i;

	for (i = 0; i < json_array_size(addresses); i++) {
		const char *address = json_string_value(json_array_get(addresses, i));
		char *longer = format_text("%s%s%s", text, *text ? "," : "", address ? address : "?");

		free(text);
		text = longer;
	}
	return text;
}

/* counters: NULL where they could not be read. */
static void add_row(struct columns *columns, const struct saved_endpoint *endpoint, const struct pod_counters *counters)
{
	_cleanup_free_ char *addresses = join_addresses(endpoint->addresses);

	columns_add(columns, endpoint->namespace);
	columns_add(columns, endpoint->pod);
	columns_format(columns, "%u", endpoint->id);
	columns_add(columns, endpoint->interface);
	columns_add(columns, addresses);
	columns_add(columns, endpoint->isolated ? "yes" : "no");
	columns_add(columns, endpoint->attached ? "yes" : "no");
	if (counters) {
		columns_format(columns, "%llu", (unsigned long long)counters->allowed.packets);
		columns_format(columns, "%llu", (unsigned long long)counters->dropped.packets);
	} else {
		columns_add(columns, NULL);
		columns_add(columns, NULL);
	}
	columns_add(columns, endpoint->problem);
}

static json_t *encode_counter(const struct egress_counter *counter)
{
	json_t *object = json_new_object();

	json_put_number(object, "packets", counter->packets);
	json_put_number(object, "bytes", counter->bytes);
	return object;
}

static json_t *encode_pod(const struct saved_endpoint *endpoint, const struct pod_counters *counters)
{
	json_t *object = json_new_object();

	json_put_text(object, "namespace", endpoint->namespace);
	json_put_text(object, "pod", endpoint->pod);
	json_put_text(object, "uid", endpoint->uid);
	json_put_number(object, "id", endpoint->id);
	json_put_number(object, "ifindex", endpoint->ifindex);
	json_put_text(object, "interface", endpoint->interface);
	json_put(object, "addresses", endpoint->addresses ? json_deep_copy(endpoint->addresses) : json_new_array());
	json_put_bool(object, "isolated", endpoint->isolated);
	json_put_bool(object, "attached", endpoint->attached);
	json_put(object, "allowed", counters ? encode_counter(&counters->allowed) : json_null());
	json_put(object, "dropped", counters ? encode_counter(&counters->dropped) : json_null());
	json_put_text(object, "problem", endpoint->problem);
	return object;
}

static void print_pods(const struct settings *settings, const struct saved_state *state, struct datapath *datapath)
{
	_cleanup_(columns_clear) struct columns *columns = columns_new(titles, ARRAY_SIZE(titles));
	_cleanup_(json_clear) json_t *pods = json_new_array();
	size_t i;

	for (i = 0; i < state->endpoint_count; i++) {
		const struct saved_endpoint *endpoint = &state->endpoints[i];
		struct pod_counters counters;
		bool counted = datapath && !pod_counters_read(datapath, endpoint->id, &counters);

		if (settings->output == OUTPUT_JSON)
			json_append(pods, encode_pod(endpoint, counted ? &counters : NULL));
		else
			add_row(columns, endpoint, counted ? &counters : NULL);
	}
	if (settings->output == OUTPUT_JSON)
		json_print(take(pods));
	else
		columns_print(columns, stdout);
}

int command_pods(struct invocation *invocation)
{
	_cleanup_(saved_state_clear) struct saved_state state = {0};
	_cleanup_(kernel_close) struct datapath *datapath = NULL;
	int error;

	if (!options_parse_all(invocation, NULL, 0) || saved_state_load(invocation->settings.state, &state))
		return EXIT_ERROR;
	/* The list is worth printing without its counters. */
	error = kernel_open(&invocation->settings, &datapath);
	if (error)
		log_warning("no counters: %s", kernel_problem(&invocation->settings, error));
	print_pods(&invocation->settings, &state, datapath);
	return EXIT_SUCCESS;
}
