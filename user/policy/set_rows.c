/* SPDX-License-Identifier: Apache-2.0 */
/* What every set of policies says of every class. */
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "policy/limits.h"
#include "policy/rows.h"

/* How the backends of a service's port fare with a set. */
struct outcome {
	uint32_t cell;
	uint32_t sole_denied; /* all that are denied are this point, an isolated local pod's own; else NONE */
};

struct set_compiler {
	struct compile *compile;
	struct policy *policy;
	struct row_builder row; /* scratch */
	uint32_t *state;        /* by class */
	uint32_t *service_classes, *named_classes, *node_classes;
	size_t service_class_count, named_class_count, node_class_count;
	uint32_t node_row;
	struct outcome *outcomes; /* by target list, for the set in hand */
	uint32_t *mixed_in;       /* by target list: a set that it is mixed for, or NONE */
	bool any_sole;            /* the outcomes name a sole_denied */
};

static void set_compiler_clear(struct set_compiler *compiler)
{
	row_builder_clear(&compiler->row);
	free(compiler->state);
	free(compiler->service_classes);
	free(compiler->named_classes);
	free(compiler->node_classes);
	free(compiler->outcomes);
	free(compiler->mixed_in);
}

static const struct class_key *class_key(const struct policy *policy, uint32_t class)
{
	return intern_key(&policy->class_keys, class, NULL);
}

static int set_compiler_init(struct set_compiler *compiler)
{
	struct policy *policy = compiler->policy;
	size_t classes = policy->class_keys.count, lists = (size_t)policy->target_lists.count + 1, i;

	compiler->state = calloc(classes, sizeof(*compiler->state));
	compiler->service_classes = calloc(classes, sizeof(*compiler->service_classes));
	compiler->named_classes = calloc(classes, sizeof(*compiler->named_classes));
	compiler->node_classes = calloc(classes, sizeof(*compiler->node_classes));
	compiler->outcomes = calloc(lists, sizeof(*compiler->outcomes));
	compiler->mixed_in = calloc(lists, sizeof(*compiler->mixed_in));
	if (!compiler->state || !compiler->service_classes || !compiler->named_classes || !compiler->node_classes ||
	    !compiler->outcomes || !compiler->mixed_in)
		return -ENOMEM;
	for (i = 0; i < lists; i++)
		compiler->mixed_in[i] = NONE;
	for (i = 0; i < classes; i++) {
		const struct class_key *key = class_key(policy, (uint32_t)i);

		if (key->services)
			compiler->service_classes[compiler->service_class_count++] = (uint32_t)i;
		if (key->names)
			compiler->named_classes[compiler->named_class_count++] = (uint32_t)i;
		if (key->own_node)
			compiler->node_classes[compiler->node_class_count++] = (uint32_t)i;
	}
	return 0;
}

/* Row 0 is "denied"; the one that allows a pod its node comes with it. */
static int init_rows(struct set_compiler *compiler)
{
	uint32_t denied;

	row_begin(&compiler->row);
	if (row_states_init(compiler->policy) < 0 || row_put(compiler->policy, &compiler->row, &denied) < 0 ||
	    row_add(&compiler->row, POSITION_PORTLESS, POSITION_COUNT - 1, EGRESS_CELL_ALLOW | EGRESS_RULE_NODE) < 0 ||
	    row_put(compiler->policy, &compiler->row, &compiler->node_row) < 0)
		return -ENOMEM;
	return 0;
}

/* ------------------------------------------------------------------ classes as addresses */

/* The rules of the set, in order, that hold everywhere: what every class begins with. */
static int base_state(struct set_compiler *compiler, const uint32_t *policies, size_t count, uint32_t *state)
{
	struct policy *policy = compiler->policy;
	size_t i;
	uint32_t j;

	*state = ROW_STATE_NONE;
	for (i = 0; i < count; i++) {
		const struct compiled_policy *entry = &policy->policies[policies[i]];

		for (j = entry->first_rule; j < entry->first_rule + entry->rule_count; j++) {
			if (policy->rules[j].destination == DESTINATION_EVERYWHERE &&
			    row_state_next(policy, *state, j, state) < 0)
				return -ENOMEM;
		}
	}
	return 0;
}

static int apply_rule(struct set_compiler *compiler, uint32_t rule)
{
	struct policy *policy = compiler->policy;
	const struct destination_set *destination = &policy->destinations[policy->rules[rule].destination];
	uint32_t from = NONE, to = NONE;
	size_t i;

	for (i = 0; i < destination->class_count; i++) {
		uint32_t *state = &compiler->state[destination->classes[i]];

		if (*state != from) {
			from = *state;
			if (row_state_next(policy, from, rule, &to) < 0)
				return -ENOMEM;
		}
		*state = to;
	}
	return 0;
}

static int apply_rules(struct set_compiler *compiler, const uint32_t *policies, size_t count)
{
	struct policy *policy = compiler->policy;
	size_t i;
	uint32_t j;

	for (i = 0; i < count; i++) {
		const struct compiled_policy *entry = &policy->policies[policies[i]];

		for (j = entry->first_rule; j < entry->first_rule + entry->rule_count; j++)
			if (policy->rules[j].destination != DESTINATION_EVERYWHERE && apply_rule(compiler, j) < 0)
				return -ENOMEM;
	}
	return 0;
}

static int judge_addresses(struct set_compiler *compiler, struct compiled_set *set)
{
	struct policy *policy = compiler->policy;
	size_t classes = policy->class_keys.count, count, i;
	const uint32_t *policies = number_sets_items(&policy->policy_sets, set->policies, &count);
	uint32_t base, base_row;

	if (base_state(compiler, policies, count, &base) < 0)
		return -ENOMEM;
	for (i = 0; i < classes; i++)
		compiler->state[i] = base;
	if (apply_rules(compiler, policies, count) < 0 || row_of_state(policy, &compiler->row, base, 0, &base_row) < 0)
		return -ENOMEM;
	for (i = 0; i < classes; i++) {
		set->rows[i] = base_row;
		if (compiler->state[i] != base &&
		    row_of_state(policy, &compiler->row, compiler->state[i], class_key(policy, (uint32_t)i)->names,
				 &set->rows[i]) < 0)
			return -ENOMEM;
	}
	for (i = 0; i < compiler->named_class_count && policy->states[base].names; i++) {
		uint32_t class = compiler->named_classes[i];

		if (row_of_state(policy, &compiler->row, compiler->state[class], class_key(policy, class)->names,
				 &set->rows[class]) < 0)
			return -ENOMEM;
	}
	for (i = 0; i < compiler->node_class_count; i++)
		set->rows[compiler->node_classes[i]] = compiler->node_row;
	return 0;
}

/* ------------------------------------------------------------------ services */

/* The rule named for a port that several backends serve: the lowest one, a rule of a policy before any other reason. */
static uint32_t lower_cell(uint32_t a, uint32_t b)
{
	bool a_is_rule = (a & EGRESS_CELL_RULE_MASK) >= EGRESS_RULE_FIRST;
	bool b_is_rule = (b & EGRESS_CELL_RULE_MASK) >= EGRESS_RULE_FIRST;

	if (!a || (b_is_rule && !a_is_rule))
		return b;
	if (a_is_rule && !b_is_rule)
		return a;
	return a < b ? a : b;
}

static bool is_self(const struct compiled_set *set, uint32_t point)
{
	return point != NONE && (point == set->self[FAMILY_IPV4] || point == set->self[FAMILY_IPV6]);
}

/* What the cell of a backend's own address comes to for packets to this position. */
static uint32_t target_cell(uint32_t cell, uint32_t position)
{
	bool udp = position >= port_position(TRANSPORT_UDP, 0) && position <= port_position(TRANSPORT_UDP, UINT16_MAX);

	return udp ? egress_packet_cell(cell, IPPROTO_UDP, (uint16_t)(position - 1)) : cell;
}

static struct outcome judge_targets(const struct policy *policy, const struct compiled_set *set, uint32_t list)
{
	size_t length, denied = 0, i;
	const struct target *targets = intern_key(&policy->target_lists, list, &length);
	size_t count = length / sizeof(*targets);
	uint32_t allowed_by = 0, sole = NONE;

	for (i = 0; i < count; i++) {
		uint32_t row = set->rows[targets[i].class], cell = 0;

		if (is_self(set, targets[i].self_point))
			cell = EGRESS_CELL_ALLOW | EGRESS_RULE_SELF;
		else if (row != ROW_DENIED)
			cell = target_cell(row_cell(policy, row, targets[i].position), targets[i].position);
		if (cell & EGRESS_CELL_ALLOW) {
			allowed_by = lower_cell(allowed_by, cell);
			continue;
		}
		sole = !denied || sole == targets[i].self_point ? targets[i].self_point : NONE;
		denied++;
	}
	if (!count)
		return (struct outcome){.cell = EGRESS_RULE_EMPTY, .sole_denied = NONE};
	if (!denied)
		return (struct outcome){.cell = allowed_by, .sole_denied = NONE};
	return (struct outcome){.cell = denied < count ? EGRESS_RULE_MIXED : EGRESS_RULE_DEFAULT, .sole_denied = sole};
}

/* The row of the class's address, with the ports that are served there judged by their backends. */
static int overlay_services(struct set_compiler *compiler, uint32_t base, const struct served_port *ports, size_t count,
			    uint32_t *row)
{
	size_t span_count, i, next = 0;
	const struct row_span *spans = row_spans(compiler->policy, base, &span_count);
	int error = 0;

	row_begin(&compiler->row);
	for (i = 0; i < span_count && !error; i++) {
		uint32_t position = spans[i].first;

		for (; next < count && ports[next].position <= spans[i].last && !error; next++) {
			uint32_t at = ports[next].position;

			if (at > position)
				error = row_add(&compiler->row, position, at - 1, spans[i].cell);
			if (!error)
				error = row_add(&compiler->row, at, at, compiler->outcomes[ports[next].targets].cell);
			if (at >= position)
				position = at + 1;
		}
		if (!error && position <= spans[i].last)
			error = row_add(&compiler->row, position, spans[i].last, spans[i].cell);
	}
	for (; next < count && !error; next++)
		error = row_add(&compiler->row, ports[next].position, ports[next].position,
				compiler->outcomes[ports[next].targets].cell);
	return error ? error : row_put(compiler->policy, &compiler->row, row);
}

static const struct served_port *served_ports(const struct policy *policy, uint32_t class, size_t *count)
{
	size_t length;
	const struct served_port *ports =
		intern_key(&policy->service_maps, class_key(policy, class)->services, &length);

	*count = length / sizeof(*ports);
	return ports;
}

static bool all_denied(const struct set_compiler *compiler, const struct served_port *ports, size_t count)
{
	size_t i;

	for (i = 0; i < count; i++)
		if (compiler->outcomes[ports[i].targets].cell)
			return false;
	return true;
}

static int judge_services(struct set_compiler *compiler, struct compiled_set *set, uint32_t set_index)
{
	struct policy *policy = compiler->policy;
	uint32_t list;
	size_t i;

	compiler->any_sole = false;
	for (list = 0; list < policy->target_lists.count; list++) {
		compiler->outcomes[list] = judge_targets(policy, set, list);
		compiler->any_sole |= compiler->outcomes[list].sole_denied != NONE;
		if (compiler->outcomes[list].cell == EGRESS_RULE_MIXED && compiler->mixed_in[list] == NONE)
			compiler->mixed_in[list] = set_index;
	}
	for (i = 0; i < compiler->service_class_count; i++) {
		uint32_t class = compiler->service_classes[i];
		size_t count;
		const struct served_port *ports = served_ports(policy, class, &count);

		if (set->rows[class] == ROW_DENIED && all_denied(compiler, ports, count))
			continue;
		if (overlay_services(compiler, set->rows[class], ports, count, &set->rows[class]) < 0)
			return -ENOMEM;
	}
	return 0;
}

/* ------------------------------------------------------------------ pods that are their own backends */

static bool is_own(const struct compiled_endpoint *endpoint, uint32_t point)
{
	return point != NONE && (point == endpoint->own[FAMILY_IPV4] || point == endpoint->own[FAMILY_IPV6]);
}

/*
 * Is there a port whose backends are all allowed to the endpoint, because the only ones denied to its set are itself?
 */
static bool needs_variant(const struct set_compiler *compiler, const struct compiled_endpoint *endpoint)
{
	uint32_t list;

	if (!compiler->any_sole)
		return false;
	for (list = 0; list < compiler->policy->target_lists.count; list++)
		if (is_own(endpoint, compiler->outcomes[list].sole_denied))
			return true;
	return false;
}

static int new_set(struct set_compiler *compiler, uint32_t policies, uint32_t *index)
{
	struct policy *policy = compiler->policy;
	size_t classes = policy->class_keys.count;
	struct compiled_set *set;

	if ((policy->set_count + 1) * classes > BANK_WORDS_MAX)
		return compile_limit(compiler->compile, largest_policy(policy), "words of class vectors",
				     BANK_WORDS_MAX);
	if (array_reserve(&policy->sets_of_rows, &policy->set_capacity, policy->set_count + 1,
			  sizeof(*policy->sets_of_rows)) < 0)
		return -ENOMEM;
	set = &policy->sets_of_rows[policy->set_count];
	*set = (struct compiled_set){.policies = policies, .self = {NONE, NONE}};
	set->rows = arena_array(policy->arena, classes, sizeof(*set->rows));
	if (!set->rows)
		return -ENOMEM;
	*index = (uint32_t)policy->set_count++;
	return 0;
}

/* The set as it is for one pod: other rows only where the pod is a backend. The outcomes are those of the set. */
static int add_variant(struct set_compiler *compiler, uint32_t base, struct compiled_endpoint *endpoint)
{
	struct policy *policy = compiler->policy;
	uint32_t index;
	struct compiled_set *set;
	size_t i, j;
	int error = new_set(compiler, policy->sets_of_rows[base].policies, &index);

	if (error)
		return error;
	set = &policy->sets_of_rows[index];
	memcpy(set->self, endpoint->own, sizeof(set->self));
	memcpy(set->rows, policy->sets_of_rows[base].rows, policy->class_keys.count * sizeof(*set->rows));
	for (i = 0; i < compiler->service_class_count && !error; i++) {
		uint32_t class = compiler->service_classes[i];
		size_t count;
		const struct served_port *ports = served_ports(policy, class, &count);

		for (j = 0; j < count && !error; j++) {
			struct outcome *outcome = &compiler->outcomes[ports[j].targets], of_set = *outcome;
			const struct served_port one = ports[j];

			if (!is_own(endpoint, of_set.sole_denied))
				continue;
			*outcome = judge_targets(policy, set, one.targets);
			error = overlay_services(compiler, set->rows[class], &one, 1, &set->rows[class]);
			*outcome = of_set;
		}
	}
	endpoint->set = index;
	return error;
}

/* ------------------------------------------------------------------ */

static int report_mixed(struct set_compiler *compiler)
{
	struct policy *policy = compiler->policy;
	size_t i, count;
	int error = 0;

	for (i = 0; i < policy->front_count && !error; i++) {
		const struct service_front *front = &policy->fronts[i];
		uint32_t set = compiler->mixed_in[front->targets];
		const struct object *object;

		if (set == NONE)
			continue;
		object = policy->policies[*number_sets_items(&policy->policy_sets, policy->sets_of_rows[set].policies,
							     &count)]
				 .object;
		error = problem_add(compiler->compile->problems, PROBLEM_WARNING, "mixed-service",
				    &front->object->place, front->object,
				    "port %u/%s (IPv%d) is denied to pods that NetworkPolicy %s/%s isolates: "
				    "they may reach some of its backends, but not all",
				    front->port->port, transport_name(front->port->transport),
				    front->family == FAMILY_IPV4 ? 4 : 6, object->namespace, object->name);
	}
	return error;
}

static int compare_endpoints(const void *left, const void *right)
{
	const struct compiled_endpoint *a = *(struct compiled_endpoint *const *)left;
	const struct compiled_endpoint *b = *(struct compiled_endpoint *const *)right;

	if (a->set != b->set)
		return a->set < b->set ? -1 : 1;
	return a < b ? -1 : a > b;
}

/* The endpoints that have this set of policies: judged together, then those apart that are their own backends. */
static int compile_set(struct set_compiler *compiler, struct compiled_endpoint **endpoints, size_t count)
{
	struct policy *policy = compiler->policy;
	uint32_t index;
	size_t i;
	int error = new_set(compiler, endpoints[0]->set, &index);

	if (!error)
		error = judge_addresses(compiler, &policy->sets_of_rows[index]);
	if (!error)
		error = judge_services(compiler, &policy->sets_of_rows[index], index);
	for (i = 0; i < count && !error; i++) {
		endpoints[i]->set = index;
		if (needs_variant(compiler, endpoints[i]))
			error = add_variant(compiler, index, endpoints[i]);
	}
	return error;
}

static int compile_sets(struct set_compiler *compiler)
{
	struct policy *policy = compiler->policy;
	_cleanup_free_ struct compiled_endpoint **endpoints = calloc(policy->endpoint_count + 1, sizeof(*endpoints));
	size_t count = 0, first = 0, i;
	int error = 0;

	if (!endpoints)
		return -ENOMEM;
	for (i = 0; i < policy->endpoint_count; i++)
		if (policy->endpoints[i].isolated)
			endpoints[count++] = &policy->compiled_endpoints[i];
	if (count)
		qsort(endpoints, count, sizeof(*endpoints), compare_endpoints);
	while (first < count && !error) {
		size_t same = 1;

		while (first + same < count && endpoints[first + same]->set == endpoints[first]->set)
			same++;
		error = compile_set(compiler, endpoints + first, same);
		first += same;
	}
	return error;
}

int compile_rows(struct compile *compile)
{
	_cleanup_(set_compiler_clear) struct set_compiler compiler = {.compile = compile, .policy = compile->policy};
	int error = set_compiler_init(&compiler);

	if (!error)
		error = init_rows(&compiler);
	if (!error)
		error = compile_sets(&compiler);
	return error ? error : report_mixed(&compiler);
}
