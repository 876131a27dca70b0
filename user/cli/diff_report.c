/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/diff.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "cli/memory.h"
#include "cli/output.h"

/* A range of at most so many addresses is named by the objects that have them, if all of them are some object's. */
#define NAMED_RANGE_MAX 256
/* Prefixes that a line spells out. */
#define PREFIXES_LISTED 8

/* Destinations, those with names apart from the others. */
struct places {
	struct pod_names pods;
	const struct object **services;
	size_t service_count, service_capacity;
	struct address_set others;
};

static void places_clear(struct places *places)
{
	pod_names_clear(&places->pods);
	free(places->services);
	address_set_clear(&places->others);
}

static const struct object *find_owner(const struct diff *diff, const struct ip_address *address)
{
	const struct object *owner = known_addresses_find(&diff->new_addresses, address);

	return owner ? owner : known_addresses_find(&diff->old_addresses, address);
}

/* True where the range is short and every address has an owner. */
static bool is_owned(const struct diff *diff, const struct address_range *range)
{
	struct ip_address address = range->first;
	size_t count;

	for (count = 0; count < NAMED_RANGE_MAX; count++) {
		if (!find_owner(diff, &address))
			return false;
		if (!ip_address_compare(&address, &range->last))
			return true;
		address_next(&address, &address);
	}
	return false;
}

static void add_owner(struct places *places, const struct object *owner)
{
	struct pod_name name = {owner->namespace, owner->name};
	size_t i;

	if (owner->kind == OBJECT_POD) {
		array_push(places->pods.items, places->pods.count, places->pods.capacity, name);
		return;
	}
	for (i = 0; i < places->service_count; i++)
		if (places->services[i] == owner)
			return;
	array_push(places->services, places->service_count, places->service_capacity, owner);
}

static void add_owners(const struct diff *diff, const struct address_range *range, struct places *places)
{
	struct ip_address address = range->first;

	add_owner(places, find_owner(diff, &address));
	while (ip_address_compare(&address, &range->last) && address_next(&address, &address))
		add_owner(places, find_owner(diff, &address));
}

static void sort_out(const struct diff *diff, const struct address_set *set, struct places *out)
{
	size_t i;

	for (i = 0; i < set->count; i++) {
		if (is_owned(diff, &set->items[i]))
			add_owners(diff, &set->items[i], out);
		else
			address_set_append(&out->others, &set->items[i].first, &set->items[i].last);
	}
	pod_names_sort(&out->pods);
}

/* All of IPv4 and all of IPv6. */
static bool is_anywhere(const struct address_set *set)
{
	struct ip_address beyond;

	return set->count == 2 && set->items[0].first.family != set->items[1].first.family &&
	       !address_previous(&set->items[0].first, &beyond) && !address_next(&set->items[0].last, &beyond) &&
	       !address_previous(&set->items[1].first, &beyond) && !address_next(&set->items[1].last, &beyond);
}

static char *others_text(const struct address_set *set)
{
	return is_anywhere(set) ? copy_text("anywhere") : address_set_text(set, PREFIXES_LISTED);
}

/* The caller frees it. */
static char *places_text(const struct diff *diff, const struct places *places)
{
	const char *comma = "";
	char *text = NULL;
	size_t size, i, end;
	FILE *file = open_memstream(&text, &size);

	if (!file)
		out_of_memory();
	for (i = 0; i < places->service_count; i++, comma = ", ")
		fprintf(file, "%sservice %s/%s", comma, places->services[i]->namespace, places->services[i]->name);
	for (i = 0; i < places->pods.count; i = end, comma = ", ") {
		_cleanup_free_ char *pods = NULL;

		end = pod_names_namespace_end(&places->pods, i);
		pods = pod_names_text(&places->pods, i, end, &diff->all_pods);
		fprintf(file, "%s%s", comma, pods);
	}
	if (places->others.count) {
		_cleanup_free_ char *others = others_text(&places->others);

		fprintf(file, "%s%s", comma, others);
	}
	if (fclose(file) || !text)
		out_of_memory();
	return text;
}

static void print_line(const char *pods, const char *destination, const struct port_ranges *ports, const char *change)
{
	_cleanup_free_ char *text = NULL;

	if (!ports->count)
		return;
	text = port_ranges_text(ports, "");
	printf("%s → %s %s: %s\n", pods, destination, text, change);
}

static void print_flows(const struct diff *diff, const struct pod_change *change, const char *pods)
{
	size_t i;

	for (i = 0; i < change->flow_count; i++) {
		_cleanup_(places_clear) struct places places = {0};
		_cleanup_free_ char *destination = NULL;

		sort_out(diff, &change->flows[i].destinations, &places);
		destination = places_text(diff, &places);
		print_line(pods, destination, &change->flows[i].ports->allowed, "deny → allow");
		print_line(pods, destination, &change->flows[i].ports->denied, "allow → deny");
	}
}

static void print_change(const struct diff *diff, const struct pod_change *change)
{
	size_t first, end;

	for (first = 0; first < change->pods.count; first = end) {
		_cleanup_free_ char *pods = NULL;

		end = pod_names_namespace_end(&change->pods, first);
		pods = pod_names_text(&change->pods, first, end, &diff->all_pods);
		print_flows(diff, change, pods);
	}
}

static void print_only(const struct diff *diff, const struct pod_names *names, const char *side)
{
	size_t first, end;

	for (first = 0; first < names->count; first = end) {
		_cleanup_free_ char *pods = NULL;

		end = pod_names_namespace_end(names, first);
		pods = pod_names_text(names, first, end, &diff->all_pods);
		printf("%s: only in %s\n", pods, side);
	}
}

void diff_print_text(const struct diff *diff)
{
	const struct pod_change *change;

	for (change = diff->pod_changes; change; change = change->hh.next)
		print_change(diff, change);
	print_only(diff, &diff->only_old, "OLD");
	print_only(diff, &diff->only_new, "NEW");
}

static json_t *encode_names(const struct pod_names *names)
{
	json_t *array = json_new_array();
	size_t i;

	for (i = 0; i < names->count; i++) {
		_cleanup_free_ char *text = format_text("%s/%s", names->items[i].namespace, names->items[i].name);

		json_append(array, json_text(text));
	}
	return array;
}

static json_t *encode_prefixes(const struct address_set *set)
{
	_cleanup_(prefix_list_clear) struct prefix_list prefixes = {0};
	json_t *array = json_new_array();
	size_t i;

	for (i = 0; i < set->count; i++)
		prefixes_of_range(&set->items[i], &prefixes);
	for (i = 0; i < prefixes.count; i++) {
		char text[IP_PREFIX_TEXT_SIZE];

		json_append(array, json_text(ip_prefix_format(&prefixes.items[i], text)));
	}
	return array;
}

static json_t *encode_services(const struct places *places)
{
	json_t *array = json_new_array();
	size_t i;

	for (i = 0; i < places->service_count; i++) {
		_cleanup_free_ char *text =
			format_text("%s/%s", places->services[i]->namespace, places->services[i]->name);

		json_append(array, json_text(text));
	}
	return array;
}

static json_t *encode_flow(const struct diff *diff, const struct pod_change *change, const struct flow_change *flow)
{
	_cleanup_(places_clear) struct places places = {0};
	json_t *object = json_new_object();

	sort_out(diff, &flow->destinations, &places);
	json_put(object, "pods", encode_names(&change->pods));
	json_put(object, "prefixes", encode_prefixes(&flow->destinations));
	json_put(object, "destination_pods", encode_names(&places.pods));
	json_put(object, "destination_services", encode_services(&places));
	json_put(object, "allowed", port_ranges_encode(&flow->ports->allowed));
	json_put(object, "denied", port_ranges_encode(&flow->ports->denied));
	return object;
}

void diff_print_json(const struct diff *diff)
{
	json_t *object = json_new_object(), *changes = json_new_array();
	const struct pod_change *change;
	size_t i;

	for (change = diff->pod_changes; change; change = change->hh.next)
		for (i = 0; i < change->flow_count; i++)
			json_append(changes, encode_flow(diff, change, &change->flows[i]));
	json_put(object, "changes", changes);
	json_put(object, "only_old", encode_names(&diff->only_old));
	json_put(object, "only_new", encode_names(&diff->only_new));
	json_print(object);
}
