/* SPDX-License-Identifier: Apache-2.0 */
/* Address classes in words, for people who read a dump of the tables. */
#include "policy/compile.h"
#include "policy/text_buffer.h"

/* The points that have the class: the first of them, and how many. */
static const struct point *first_point(const struct policy *policy, uint32_t class, size_t *count)
{
	const struct point *first = NULL;
	uint32_t i;

	*count = 0;
	for (i = 0; i < policy->point_keys.count; i++) {
		if (policy->points[i].class != class)
			continue;
		if (!first)
			first = &policy->points[i];
		(*count)++;
	}
	return first;
}

static void describe_point(struct text_buffer *buffer, const struct policy *policy, const struct point *point)
{
	char address[IP_TEXT_SIZE];
	size_t i;

	ip_address_format(&point->address, address);
	if (point->service) {
		for (i = 0; i < policy->listener_count; i++)
			if (&policy->points[policy->listeners[i].point] == point &&
			    policy->fronts[policy->listeners[i].front].object->kind == OBJECT_SERVICE)
				break;
		if (i < policy->listener_count) {
			const struct object *service = policy->fronts[policy->listeners[i].front].object;

			text_add(buffer, "service %s/%s %s", service->namespace, service->name, address);
			return;
		}
	}
	if (point->own_node)
		text_add(buffer, "own node %s", address);
	else if (point->any_node)
		text_add(buffer, "node %s", address);
	else if (point->pod)
		text_add(buffer, "pod %s/%s", point->pod->namespace, point->pod->name);
	else
		text_add(buffer, "%s", address);
}

static void describe_ranges(struct text_buffer *buffer, const struct policy *policy, uint32_t class)
{
	size_t ranges = 0, i;
	enum family family;

	for (family = 0; family < FAMILY_COUNT; family++) {
		for (i = 0; i < policy->classes[family].count; i++) {
			struct ip_address address;
			char text[IP_TEXT_SIZE];

			if (policy->classes[family].value[i] != class || ranges++)
				continue;
			address_from_number(family, ranges_start(&policy->classes[family], i), &address);
			text_add(buffer, "addresses from %s", ip_address_format(&address, text));
		}
	}
	if (ranges > 1)
		text_add(buffer, " and %zu more ranges", ranges - 1);
	if (!ranges)
		text_add(buffer, "no address");
}

const char *policy_class_text(const struct policy *policy, uint32_t class, char *text, size_t size)
{
	struct text_buffer buffer = text_buffer_over(text, size);
	const struct class_key *key;
	const struct point *point;
	size_t count;

	if (class >= policy->class_keys.count) {
		text_add(&buffer, "unknown");
		return text;
	}
	key = intern_key(&policy->class_keys, class, NULL);
	if (!key->destinations && !key->names && !key->own_node && !key->services) {
		text_add(&buffer, "addresses that no peer in force names");
		return text;
	}
	point = first_point(policy, class, &count);
	if (!point) {
		describe_ranges(&buffer, policy, class);
		return text;
	}
	describe_point(&buffer, policy, point);
	if (count > 1)
		text_add(&buffer, " and %zu more like it", count - 1);
	return text;
}
