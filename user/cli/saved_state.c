/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/saved_state.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "cli/memory.h"
#include "model/decode.h"
#include "report/state.h"

const char *member_text(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text ? text : "";
}

static void read_endpoint(const json_t *json, struct saved_endpoint *out)
{
	out->id = (uint32_t)json_integer_value(json_object_get(json, "id"));
	out->ifindex = (uint32_t)json_integer_value(json_object_get(json, "ifindex"));
	out->interface = member_text(json, "interface");
	out->namespace = member_text(json, "namespace");
	out->pod = member_text(json, "pod");
	out->uid = member_text(json, "uid");
	out->addresses = json_object_get(json, "addresses");
	out->isolated = json_is_true(json_object_get(json, "isolated"));
	out->attached = json_is_true(json_object_get(json, "attached"));
	out->problem = json_string_value(json_object_get(json, "problem"));
}

static int compare_endpoints(const void *a, const void *b)
{
	const struct saved_endpoint *x = a, *y = b;
	int order = strcmp(x->namespace, y->namespace);

	return order ? order : strcmp(x->pod, y->pod);
}

int saved_state_read(const char *directory, struct saved_state *out)
{
	struct saved_state state = {0};
	json_t *endpoints, *endpoint;
	int error = state_read(directory, STATE_FILE, &state.root);
	size_t i;

	*out = (struct saved_state){0};
	if (error)
		return error;
	if (json_integer_value(json_object_get(state.root, "version")) != 1) {
		json_decref(state.root);
		return -EPROTONOSUPPORT;
	}
	state.generation = (uint32_t)json_integer_value(json_object_get(state.root, "generation"));
	endpoints = json_object_get(state.root, "endpoints");
	state.endpoint_count = json_array_size(endpoints);
	state.endpoints = allocate(state.endpoint_count, sizeof(*state.endpoints));
	json_array_foreach(endpoints, i, endpoint)
		read_endpoint(endpoint, &state.endpoints[i]);
	qsort(state.endpoints, state.endpoint_count, sizeof(*state.endpoints), compare_endpoints);
	rule_book_of_state(json_object_get(state.root, "rules"), &state.rules);
	*out = state;
	return 0;
}

const char *saved_state_problem(const char *directory, const char *name, int error)
{
	static char text[512];

	if (error == -ENOENT)
		snprintf(text, sizeof(text), "%s/%s is not there: no agent has run with this --state", directory, name);
	else if (error == -EINVAL)
		snprintf(text, sizeof(text), "%s/%s is damaged", directory, name);
	else if (error == -EPROTONOSUPPORT)
		snprintf(text, sizeof(text), "%s/%s was written by another version of the agent", directory, name);
	else
		snprintf(text, sizeof(text), "%s/%s cannot be read: %s", directory, name, strerror(-error));
	return text;
}

int saved_state_load(const char *directory, struct saved_state *out)
{
	int error = saved_state_read(directory, out);

	if (error)
		log_error("%s", saved_state_problem(directory, STATE_FILE, error));
	return error;
}

void saved_state_clear(struct saved_state *state)
{
	json_decref(state->root);
	free(state->endpoints);
	rule_book_clear(&state->rules);
	*state = (struct saved_state){0};
}

const struct saved_endpoint *saved_endpoint_by_id(const struct saved_state *state, uint32_t id)
{
	size_t i;

	for (i = 0; i < state->endpoint_count; i++)
		if (state->endpoints[i].id == id)
			return &state->endpoints[i];
	return NULL;
}

const struct saved_endpoint *saved_endpoint_by_name(const struct saved_state *state, const char *namespace,
						    const char *pod)
{
	struct saved_endpoint wanted = {.namespace = namespace, .pod = pod};

	return bsearch(&wanted, state->endpoints, state->endpoint_count, sizeof(wanted), compare_endpoints);
}

char *endpoint_text(const struct saved_state *state, uint32_t id)
{
	const struct saved_endpoint *endpoint = saved_endpoint_by_id(state, id);

	return endpoint ? format_text("%s/%s", endpoint->namespace, endpoint->pod) : format_text("endpoint %u", id);
}

void store_clear(struct store **store)
{
	store_free(*store);
}

void policy_clear(struct policy **policy)
{
	policy_free(*policy);
}

int saved_objects_read(const char *directory, struct store **out)
{
	struct state_view view;

	return state_read_objects(directory, out, &view);
}

int saved_objects_load(const char *directory, struct store **out)
{
	int error = saved_objects_read(directory, out);

	if (error)
		log_error("%s", saved_state_problem(directory, STATE_OBJECTS_FILE, error));
	return error;
}

/* The caller frees *out. Addresses that are none are left out: the tables decide, this is for the words. */
static size_t node_addresses(const struct saved_state *state, struct ip_address **out)
{
	const json_t *texts = json_object_get(state->root, "node_addresses"), *text;
	size_t count = 0, i;

	*out = allocate(json_array_size(texts), sizeof(**out));
	for (i = 0; i < json_array_size(texts); i++) {
		text = json_array_get(texts, i);
		if (json_is_string(text) && !ip_address_parse(json_string_value(text), &(*out)[count]))
			count++;
	}
	return count;
}

int saved_policy_compile(const struct saved_state *state, struct store *store, struct policy **out)
{
	_cleanup_(problem_list_clear) struct problem_list problems = {0};
	_cleanup_free_ struct ip_address *addresses = NULL;
	struct policy_options options = {.all_pods_local = true};

	options.node_address_count = node_addresses(state, &addresses);
	options.node_addresses = addresses;
	options.node_name = json_string_value(json_object_get(state->root, "node"));
	return policy_compile(store, &options, out, &problems);
}
