/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "cli/columns.h"
#include "cli/command.h"
#include "cli/memory.h"
#include "cli/options.h"
#include "cli/output.h"
#include "cli/saved_state.h"

static const char *const titles[] = {"NAMESPACE", "POLICY", "EGRESS", ">RULES", ">PODS", "FILE"};

/* Pods of this node that it selects. The caller frees the array, not the names in it. */
static size_t selected_pods(const struct saved_state *state, const struct store *store, const struct object *policy,
			    const char ***out)
{
	size_t count = 0, i;

	*out = allocate(state->endpoint_count, sizeof(**out));
	for (i = 0; i < state->endpoint_count; i++) {
		const struct saved_endpoint *endpoint = &state->endpoints[i];
		const struct object *pod = store_get(store, OBJECT_POD, endpoint->namespace, endpoint->pod);

		if (!strcmp(endpoint->namespace, policy->namespace) && pod && !pod->pod.host_network &&
		    label_selector_matches(&policy->policy.pod_selector, &pod->labels))
			(*out)[count++] = endpoint->pod;
	}
	return count;
}

static char *place_text(const struct place *place)
{
	return place->file ? format_text("%s:%u", place->file, place->line) : copy_text("");
}

static void add_row(struct columns *columns, const struct object *policy, size_t pods)
{
	_cleanup_free_ char *place = place_text(&policy->place);

	columns_add(columns, policy->namespace);
	columns_add(columns, policy->name);
	columns_add(columns, policy->policy.isolates_egress ? "isolates" : "no");
	columns_format(columns, "%zu", policy->policy.rule_count);
	columns_format(columns, "%zu", pods);
	columns_add(columns, place);
}

static json_t *encode_policy(const struct object *policy, const char *const *pods, size_t count)
{
	json_t *object = json_new_object(), *names = json_new_array();
	size_t i;

	for (i = 0; i < count; i++)
		json_append(names, json_text(pods[i]));
	json_put_text(object, "namespace", policy->namespace);
	json_put_text(object, "policy", policy->name);
	json_put_bool(object, "isolates_egress", policy->policy.isolates_egress);
	json_put_number(object, "rules", policy->policy.rule_count);
	json_put(object, "pods", names);
	json_put_text(object, "file", policy->place.file);
	json_put(object, "line", policy->place.line ? json_integer(policy->place.line) : json_null());
	return object;
}

static int print_policies(const struct settings *settings, const struct saved_state *state, struct store *store)
{
	_cleanup_(columns_clear) struct columns *columns = columns_new(titles, ARRAY_SIZE(titles));
	_cleanup_(json_clear) json_t *array = json_new_array();
	struct object *const *policies;
	size_t count, i;

	policies = store_list(store, OBJECT_NETWORK_POLICY, &count);
	if (!policies && count)
		out_of_memory();
	for (i = 0; i < count; i++) {
		_cleanup_free_ const char **pods = NULL;
		size_t selected = selected_pods(state, store, policies[i], &pods);

		if (settings->output == OUTPUT_JSON)
			json_append(array, encode_policy(policies[i], pods, selected));
		else
			add_row(columns, policies[i], selected);
	}
	if (settings->output == OUTPUT_JSON)
		json_print(take(array));
	else
		columns_print(columns, stdout);
	return EXIT_SUCCESS;
}

int command_policies(struct invocation *invocation)
{
	_cleanup_(saved_state_clear) struct saved_state state = {0};
	_cleanup_(store_clear) struct store *store = NULL;

	if (!options_parse_all(invocation, NULL, 0) || saved_state_load(invocation->settings.state, &state) ||
	    saved_objects_load(invocation->settings.state, &store))
		return EXIT_ERROR;
	return print_policies(&invocation->settings, &state, store);
}
