/* SPDX-License-Identifier: Apache-2.0 */
/* Address classes: addresses that no rule in force tells apart, and the class of every address. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "policy/compile.h"
#include "policy/key.h"

/* Leaves of the trie hold a class. */
#define CLASSES_MAX EGRESS_TRIE_VALUE_MASK

uint32_t blocks_at(const struct policy *policy, const struct ip_address *address)
{
	const struct ranges *blocks = &policy->blocks[address_family(address)];

	return blocks->value[ranges_find(blocks, address_to_number(address))];
}

static int class_put(struct policy *policy, const struct class_key *key, uint32_t *class)
{
	int error = intern_put(&policy->class_keys, key, sizeof(*key), class);

	if (error < 0)
		return error;
	return *class > CLASSES_MAX ? -E2BIG : 0;
}

/* What the point is as an address; the services on it are added by who wants them. */
static int point_key(struct policy *policy, struct point *point, struct class_key *key)
{
	const struct pod_group *group = point->group == NONE ? NULL : &policy->groups[point->group];

	*key = (struct class_key){
		.destinations = point->blocks,
		.names = group ? group->names : 0,
		.own_node = point->own_node,
	};
	if (!group)
		return 0;
	return number_sets_union(&policy->sets, point->blocks, group->destinations, &key->destinations);
}

static int classify_points(struct policy *policy)
{
	uint32_t i;
	int error = 0;

	for (i = 0; i < policy->point_keys.count && !error; i++) {
		struct point *point = &policy->points[i];
		struct class_key key;

		point->blocks = blocks_at(policy, &point->address);
		error = point_key(policy, point, &key);
		if (!error)
			error = class_put(policy, &key, &point->plain_class);
		point->class = point->plain_class;
	}
	return error;
}

/* ------------------------------------------------------------------ services */

static int compare_targets(const void *left, const void *right)
{
	return memcmp(left, right, sizeof(struct target));
}

/* Sorts the targets in the key and leaves each once. */
static int put_targets(struct policy *policy, struct key *key, uint32_t *id)
{
	struct target *targets = (struct target *)(void *)key->bytes;
	size_t count = key->length / sizeof(*targets), kept = 0, i;
	int error;

	if (count)
		qsort(targets, count, sizeof(*targets), compare_targets);
	for (i = 0; i < count; i++)
		if (!i || compare_targets(&targets[i], &targets[kept - 1]) != 0)
			targets[kept++] = targets[i];
	error = intern_put(&policy->target_lists, key->bytes, kept * sizeof(*targets), id);
	return error < 0 ? error : 0;
}

static int find_targets(struct policy *policy)
{
	_cleanup_(key_clear) struct key key = {0};
	size_t i, j;
	int error = key_add_number(&key, 0); /* so that an empty list has an address */

	for (i = 0; i < policy->front_count && !error; i++) {
		struct service_front *front = &policy->fronts[i];

		key.length = 0;
		for (j = 0; j < front->backend_count && !error; j++) {
			const struct backend *backend = &policy->backends[front->first_backend + j];
			const struct point *point = &policy->points[backend->point];
			const struct target target = {
				.class = point->plain_class,
				.position = backend->position,
				.self_point = point->isolated_local ? backend->point : NONE,
			};

			error = key_add(&key, &target, sizeof(target));
		}
		if (!error)
			error = put_targets(policy, &key, &front->targets);
	}
	return error;
}

/* Services that share an address and a port: all that stands behind any of them. */
static int join_targets(struct policy *policy, uint32_t a, uint32_t b, uint32_t *joined)
{
	_cleanup_(key_clear) struct key key = {0};
	size_t a_length, b_length;
	const void *a_targets = intern_key(&policy->target_lists, a, &a_length);
	const void *b_targets = intern_key(&policy->target_lists, b, &b_length);

	if (a == b) {
		*joined = a;
		return 0;
	}
	if (key_add(&key, a_targets, a_length) < 0 || key_add(&key, b_targets, b_length) < 0)
		return -ENOMEM;
	return put_targets(policy, &key, joined);
}

/* Appends what a listener serves to the map; one that was there at the same position is joined with it. */
static int add_served(struct policy *policy, struct key *map, const struct service_listener *listener)
{
	const struct served_port port = {
		.position = listener->position,
		.targets = policy->fronts[listener->front].targets,
	};
	struct served_port *last;

	if (map->length) {
		last = (struct served_port *)(void *)(map->bytes + map->length) - 1;
		if (last->position == port.position)
			return join_targets(policy, last->targets, port.targets, &last->targets);
	}
	return key_add(map, &port, sizeof(port));
}

/* The two lists of listeners, each in order of position, as one map. */
static int build_map(struct policy *policy, struct key *map, const struct service_listener *a, size_t a_count,
		     const struct service_listener *b, size_t b_count, uint32_t *id)
{
	size_t i = 0, j = 0;
	int error = 0;

	map->length = 0;
	while ((i < a_count || j < b_count) && !error) {
		bool from_a = j == b_count || (i < a_count && a[i].position <= b[j].position);

		error = add_served(policy, map, from_a ? &a[i++] : &b[j++]);
	}
	if (error)
		return error;
	error = intern_put(&policy->service_maps, map->bytes, map->length, id);
	return error < 0 ? error : 0;
}

static int classify_service(struct policy *policy, struct point *point, uint32_t map)
{
	struct class_key key;
	int error = point_key(policy, point, &key);

	key.services = map;
	return error ? error : class_put(policy, &key, &point->class);
}

/* Points at which services listen, and nodes among them. */
static int classify_listeners(struct policy *policy, struct key *map)
{
	size_t i = 0;
	int error = 0;

	while (i < policy->listener_count && !error) {
		const struct service_listener *listeners = &policy->listeners[i];
		struct point *point = &policy->points[listeners->point];
		enum family family = address_family(&point->address);
		size_t count = 0;
		uint32_t id;

		while (i + count < policy->listener_count && listeners[count].point == listeners->point)
			count++;
		error = build_map(policy, map, listeners, count, policy->node_listeners[family],
				  point->any_node ? policy->node_listener_count[family] : 0, &id);
		if (!error)
			error = classify_service(policy, point, id);
		i += count;
	}
	return error;
}

/* Nodes at which only NodePorts are served: one map for all of a family. */
static int classify_nodes(struct policy *policy, struct key *map)
{
	uint32_t ids[FAMILY_COUNT], i;
	enum family family;
	int error = 0;

	for (family = 0; family < FAMILY_COUNT && !error; family++)
		error = build_map(policy, map, NULL, 0, policy->node_listeners[family],
				  policy->node_listener_count[family], &ids[family]);
	for (i = 0; i < policy->point_keys.count && !error; i++) {
		struct point *point = &policy->points[i];

		if (point->any_node && !point->service)
			error = classify_service(policy, point, ids[address_family(&point->address)]);
	}
	return error;
}

static int classify_services(struct policy *policy)
{
	_cleanup_(key_clear) struct key map = {0};
	uint32_t none;
	int error;

	/* Map 0: nothing is served. */
	if (key_add_number(&map, 0) < 0 || intern_put(&policy->service_maps, map.bytes, 0, &none) < 0)
		return -ENOMEM;
	error = find_targets(policy);
	if (!error)
		error = classify_listeners(policy, &map);
	return error ? error : classify_nodes(policy, &map);
}

/* ------------------------------------------------------------------ all addresses */

struct placed {
	address_number address;
	uint32_t class;
};

static int compare_placed(const void *left, const void *right)
{
	const struct placed *a = left, *b = right;

	return a->address < b->address ? -1 : a->address > b->address;
}

static size_t collect_points(const struct policy *policy, enum family family, struct placed *out)
{
	size_t count = 0;
	uint32_t i;

	for (i = 0; i < policy->point_keys.count; i++) {
		const struct point *point = &policy->points[i];

		if (address_family(&point->address) != family)
			continue;
		out[count].address = address_to_number(&point->address);
		out[count++].class = point->class;
	}
	if (count)
		qsort(out, count, sizeof(*out), compare_placed);
	return count;
}

/* A range of one class, with points in it that have their own. */
static int append_range(struct ranges *classes, address_number start, address_number last, uint32_t class,
			const struct placed *points, size_t count)
{
	size_t i;
	int error = ranges_append(classes, start, class);

	for (i = 0; i < count && !error; i++) {
		error = ranges_append(classes, points[i].address, points[i].class);
		if (!error && points[i].address != last)
			error = ranges_append(classes, points[i].address + 1, class);
	}
	return error;
}

/* Of sets of destinations whose classes were looked up lately: the same few follow each other all along a list. */
struct recent_classes {
	struct {
		uint32_t destinations, class;
		bool known;
	} items[8];
};

static int blocks_class(struct policy *policy, struct recent_classes *recent, uint32_t destinations, uint32_t *class)
{
	const struct class_key key = {.destinations = destinations};
	size_t i = destinations % ARRAY_SIZE(recent->items);
	int error;

	if (recent->items[i].known && recent->items[i].destinations == destinations) {
		*class = recent->items[i].class;
		return 0;
	}
	error = class_put(policy, &key, class);
	if (error)
		return error;
	recent->items[i].known = true;
	recent->items[i].destinations = destinations;
	recent->items[i].class = *class;
	return 0;
}

static int place_classes(struct policy *policy, enum family family, const struct placed *points, size_t count)
{
	const struct ranges *blocks = &policy->blocks[family];
	struct recent_classes recent = {0};
	size_t i, point = 0;

	for (i = 0; i < blocks->count; i++) {
		address_number last =
			i + 1 < blocks->count ? ranges_start(blocks, i + 1) - 1 : highest_number(family_bits(family));
		size_t end = point;
		uint32_t class;
		int error = blocks_class(policy, &recent, blocks->value[i], &class);

		while (end < count && points[end].address <= last)
			end++;
		if (!error)
			error = append_range(&policy->classes[family], ranges_start(blocks, i), last, class,
					     points + point, end - point);
		if (error)
			return error;
		point = end;
	}
	return 0;
}

static int place_points(struct policy *policy)
{
	_cleanup_free_ struct placed *points = calloc((size_t)policy->point_keys.count + 1, sizeof(*points));
	enum family family;
	int error = 0;

	if (!points)
		return -ENOMEM;
	for (family = 0; family < FAMILY_COUNT && !error; family++) {
		size_t count = collect_points(policy, family, points);

		error = place_classes(policy, family, points, count);
	}
	return error;
}

/* The other way round: for each destination set, its classes. */
static int list_classes(struct policy *policy)
{
	uint32_t class;
	size_t i, count;

	for (class = 0; class < policy->class_keys.count; class++) {
		const struct class_key *key = intern_key(&policy->class_keys, class, NULL);
		const uint32_t *items = number_sets_items(&policy->sets, key->destinations, &count);

		for (i = 0; i < count; i++)
			policy->destinations[items[i]].class_count++;
	}
	for (i = 0; i < policy->destination_keys.count; i++) {
		struct destination_set *destination = &policy->destinations[i];

		destination->classes =
			arena_array(policy->arena, destination->class_count, sizeof(*destination->classes));
		if (!destination->classes)
			return -ENOMEM;
		destination->class_count = 0;
	}
	for (class = 0; class < policy->class_keys.count; class++) {
		const struct class_key *key = intern_key(&policy->class_keys, class, NULL);
		const uint32_t *items = number_sets_items(&policy->sets, key->destinations, &count);

		for (i = 0; i < count; i++) {
			struct destination_set *destination = &policy->destinations[items[i]];

			destination->classes[destination->class_count++] = class;
		}
	}
	return 0;
}

int compile_classes(struct compile *compile)
{
	static const struct class_key nothing;
	struct policy *policy = compile->policy;
	uint32_t outside;
	int error = class_put(policy, &nothing, &outside);

	if (!error)
		error = classify_points(policy);
	if (!error)
		error = classify_services(policy);
	if (!error)
		error = place_points(policy);
	if (error == -E2BIG)
		return compile_limit(compile, largest_policy(policy), "address classes or members of their sets",
				     CLASSES_MAX);
	return error ? error : list_classes(policy);
}
