/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/rule_book.h"

#include <stdlib.h>

#include <egressd/tables.h>

#include "base/cleanup.h"
#include "cli/memory.h"
#include "cli/output.h"

/* Cells that name no rule. */
static const struct {
	const char *words, *reason;
} builtin[] = {
	[EGRESS_RULE_DEFAULT] = {"default deny", "no rule of any policy that isolates the pod matches"},
	[EGRESS_RULE_NODE] = {"own node", "a pod may always reach the addresses of its own node"},
	[EGRESS_RULE_SELF] = {"itself", "a pod may always reach itself"},
	[EGRESS_RULE_MIXED] = {"mixed service", "some backends of the service port are denied, so the port is"},
	[EGRESS_RULE_TUNNEL] = {"node_tunnel",
				"node_tunnel: the pod's own node might unpack a tunnel packet and send on what is in it"},
	[EGRESS_RULE_EMPTY] = {"empty service", "no backend serves this port of the service"},
};

void rule_book_clear(struct rule_book *book)
{
	free(book->rules);
	*book = (struct rule_book){0};
}

void rule_book_of_policy(const struct policy *policy, struct rule_book *out)
{
	const struct policy_rule *rules = policy_rules(policy, &out->count);
	size_t i;

	out->rules = allocate(out->count, sizeof(*out->rules));
	for (i = 0; i < out->count; i++) {
		const struct object *object = rules[i].policy;
		const struct place *place = &object->place;

		if (rules[i].index < object->policy.rule_count)
			place = &object->policy.rules[rules[i].index].place;
		out->rules[i] =
			(struct rule_name){object->namespace, object->name, rules[i].index, place->file, place->line};
	}
}

static void read_rule(const json_t *rule, struct rule_name *out)
{
	out->namespace = json_string_value(json_object_get(rule, "namespace"));
	out->policy = json_string_value(json_object_get(rule, "policy"));
	out->index = (size_t)json_integer_value(json_object_get(rule, "rule"));
	out->file = json_string_value(json_object_get(rule, "file"));
	out->line = (unsigned int)json_integer_value(json_object_get(rule, "line"));
	if (!out->policy)
		out->namespace = NULL;
}

void rule_book_of_state(const json_t *rules, struct rule_book *out)
{
	size_t i, count = json_array_size(rules);
	json_int_t highest = EGRESS_RULE_FIRST - 1;
	json_t *rule;

	json_array_foreach(rules, i, rule) {
		json_int_t id = json_integer_value(json_object_get(rule, "id"));

		if (id > highest && id <= (json_int_t)EGRESS_CELL_RULE_MASK)
			highest = id;
	}
	out->count = count ? (size_t)(highest - EGRESS_RULE_FIRST + 1) : 0;
	out->rules = allocate(out->count, sizeof(*out->rules));
	json_array_foreach(rules, i, rule) {
		json_int_t id = json_integer_value(json_object_get(rule, "id"));

		if (id >= EGRESS_RULE_FIRST && id <= highest)
			read_rule(rule, &out->rules[id - EGRESS_RULE_FIRST]);
	}
}

const struct rule_name *rule_book_find(const struct rule_book *book, uint32_t cell)
{
	uint32_t id = cell & EGRESS_CELL_RULE_MASK;

	if (id < EGRESS_RULE_FIRST || id - EGRESS_RULE_FIRST >= book->count)
		return NULL;
	return book->rules[id - EGRESS_RULE_FIRST].namespace ? &book->rules[id - EGRESS_RULE_FIRST] : NULL;
}

const char *cell_reason(uint32_t cell)
{
	uint32_t id = cell & EGRESS_CELL_RULE_MASK;

	return id < ARRAY_SIZE(builtin) ? builtin[id].reason : NULL;
}

char *rule_short_text(const struct rule_book *book, uint32_t cell)
{
	const struct rule_name *rule = rule_book_find(book, cell);
	uint32_t id = cell & EGRESS_CELL_RULE_MASK;

	if (rule)
		return format_text("%s/%s rule %zu", rule->namespace, rule->policy, rule->index);
	if (id < ARRAY_SIZE(builtin))
		return copy_text(builtin[id].words);
	return format_text("unknown rule %u", id);
}

char *rule_text(const struct rule_book *book, uint32_t cell)
{
	const struct rule_name *rule = rule_book_find(book, cell);
	_cleanup_free_ char *text = rule_short_text(book, cell);

	if (!rule || !rule->file)
		return take(text);
	if (!rule->line)
		return format_text("%s (%s)", text, rule->file);
	return format_text("%s (%s:%u)", text, rule->file, rule->line);
}

json_t *rule_encode(const struct rule_book *book, uint32_t cell)
{
	const struct rule_name *rule = rule_book_find(book, cell);
	_cleanup_free_ char *policy = NULL;
	json_t *object;

	if (!rule)
		return json_null();
	object = json_new_object();
	policy = format_text("%s/%s", rule->namespace, rule->policy);
	json_put_text(object, "policy", policy);
	json_put_number(object, "index", rule->index);
	json_put_text(object, "file", rule->file);
	json_put(object, "line", rule->line ? json_integer(rule->line) : json_null());
	return object;
}
