/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/explain.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/text.h"
#include "policy/compile.h"
#include "policy/explain_rule.h"

/* Why an address passes, or does not, as it is: without services. */
enum ground { GROUND_SELF, GROUND_NODE, GROUND_RULE, GROUND_DEFAULT, GROUND_TUNNEL };

struct judgement {
	enum ground ground;
	const struct object *policy; /* GROUND_RULE */
	size_t rule;
};

static bool is_own_address(const struct object *pod, const struct ip_address *address)
{
	size_t i;

	for (i = 0; i < pod->pod.address_count; i++)
		if (ip_address_compare(&pod->pod.addresses[i], address) == 0)
			return true;
	return false;
}

static struct judgement judge_address(const struct policy *policy, const struct policy_endpoint *endpoint,
				      const struct flow *flow)
{
	const struct point *point = point_find(policy, &flow->destination);
	size_t i, j;

	if (is_own_address(endpoint->pod, &flow->destination))
		return (struct judgement){.ground = GROUND_SELF};
	if (point && point->own_node)
		return (struct judgement){
			.ground = egress_node_tunnel(flow->protocol, flow->port) ? GROUND_TUNNEL : GROUND_NODE};
	for (i = 0; i < endpoint->policy_count; i++) {
		const struct object *object = endpoint->policies[i];

		for (j = 0; j < object->policy.rule_count; j++)
			if (rule_peer_matches(policy, object, j, &flow->destination) &&
			    rule_port_matches(policy, object, j, flow))
				return (struct judgement){.ground = GROUND_RULE, .policy = object, .rule = j};
	}
	return (struct judgement){.ground = GROUND_DEFAULT};
}

static void add_judgement(struct text_buffer *buffer, const struct judgement *judgement)
{
	switch (judgement->ground) {
	case GROUND_SELF:
		text_add(buffer, "allowed: it is the pod's own address");
		return;
	case GROUND_NODE:
		text_add(buffer, "allowed: it is an address of the pod's own node");
		return;
	case GROUND_RULE:
		text_add(buffer, "allowed by NetworkPolicy %s/%s, rule %zu", judgement->policy->namespace,
			 judgement->policy->name, judgement->rule);
		return;
	case GROUND_DEFAULT:
		text_add(buffer, "denied: no rule of the policies that isolate the pod allows it");
		return;
	case GROUND_TUNNEL:
		text_add(buffer, "denied: a tunnel packet to the pod's own node, which might unpack it");
		return;
	}
}

static bool is_allowed(const struct judgement *judgement)
{
	return judgement->ground != GROUND_DEFAULT && judgement->ground != GROUND_TUNNEL;
}

/* ------------------------------------------------------------------ services */

/* The services whose port is served where the flow goes. */
struct fronts {
	uint32_t *ids;
	size_t count;
};

static void fronts_clear(struct fronts *fronts)
{
	free(fronts->ids);
}

static void collect_fronts(const struct service_listener *listeners, size_t count, uint32_t point, uint32_t position,
			   struct fronts *out)
{
	size_t i;

	for (i = 0; i < count; i++)
		if (listeners[i].point == point && listeners[i].position == position)
			out->ids[out->count++] = listeners[i].front;
}

static int find_fronts(const struct policy *policy, const struct flow *flow, struct fronts *out)
{
	const struct point *point = point_find(policy, &flow->destination);
	enum family family = address_family(&flow->destination);
	enum transport transport;
	uint32_t position;

	if (!point || !transport_of(flow->protocol, &transport))
		return 0;
	out->ids = calloc(policy->listener_count + policy->node_listener_count[family] + 1, sizeof(*out->ids));
	if (!out->ids)
		return -ENOMEM;
	position = port_position(transport, flow->port);
	if (point->service)
		collect_fronts(policy->listeners, policy->listener_count, (uint32_t)(point - policy->points), position,
			       out);
	if (point->any_node)
		collect_fronts(policy->node_listeners[family], policy->node_listener_count[family], NONE, position,
			       out);
	return 0;
}

static struct flow backend_flow(const struct policy *policy, const struct backend *backend, uint8_t protocol)
{
	return (struct flow){
		.destination = policy->points[backend->point].address,
		.protocol = protocol,
		.port = (uint16_t)(backend->position - 1),
	};
}

static void add_address(struct text_buffer *buffer, const struct flow *flow)
{
	char text[IP_TEXT_SIZE];

	text_add(buffer, flow->destination.family == 6 ? "[%s]:%u" : "%s:%u",
		 ip_address_format(&flow->destination, text), flow->port);
}

static int explain_backend(const struct policy *policy, const struct policy_endpoint *endpoint, const struct flow *flow,
			   struct explanation *out, struct judgement *judgement)
{
	const struct object *pod = pod_at(policy, &flow->destination);
	/* The names of the pod and of the policy, each of 63 + 253 characters, and what stands between them. */
	char line[2 * (63 + 253) + 256];
	struct text_buffer buffer = text_buffer_over(line, sizeof(line));

	add_address(&buffer, flow);
	if (pod)
		text_add(&buffer, " (pod %s/%s)", pod->namespace, pod->name);
	text_add(&buffer, " ");
	*judgement = judge_address(policy, endpoint, flow);
	add_judgement(&buffer, judgement);
	out->backends[out->backend_count] = text_format("%s", line);
	if (!out->backends[out->backend_count])
		return -ENOMEM;
	out->backend_count++;
	return 0;
}

static size_t count_backends(const struct policy *policy, const struct fronts *fronts)
{
	size_t count = 0, i;

	for (i = 0; i < fronts->count; i++)
		count += policy->fronts[fronts->ids[i]].backend_count;
	return count;
}

static const char *port_words(const struct policy *policy, const struct fronts *fronts)
{
	size_t i;

	for (i = 0; i < fronts->count; i++)
		if (policy->fronts[fronts->ids[i]].object->kind == OBJECT_SERVICE)
			return "the service's port";
	return "the hostPort";
}

/* What the rule says of the backends: it decides about a service only through them. */
static void explain_service_rule(const struct policy *policy, struct object *object, size_t rule,
				 const struct fronts *fronts, uint8_t protocol, struct rule_explanation *out)
{
	size_t count = count_backends(policy, fronts), peers = 0, ports = 0, both = 0, i, j;
	struct text_buffer buffer = text_buffer_over(out->reason, sizeof(out->reason));

	for (i = 0; i < fronts->count; i++) {
		const struct service_front *front = &policy->fronts[fronts->ids[i]];

		for (j = 0; j < front->backend_count; j++) {
			const struct flow flow =
				backend_flow(policy, &policy->backends[front->first_backend + j], protocol);
			bool peer = rule_peer_matches(policy, object, rule, &flow.destination);
			bool port = rule_port_matches(policy, object, rule, &flow);

			peers += peer;
			ports += port;
			both += peer && port;
		}
	}
	out->policy = object;
	out->rule = rule;
	out->place = object->policy.rules[rule].place;
	out->peer_matches = count && peers == count;
	out->port_matches = count && ports == count;
	text_add(&buffer,
		 "allows %zu of %zu serving backends (its peers match %zu, its ports at their target ports %zu)", both,
		 count, peers, ports);
}

static int explain_fronts(const struct policy *policy, const struct policy_endpoint *endpoint, const struct flow *flow,
			  const struct fronts *fronts, struct explanation *out)
{
	struct text_buffer buffer = text_buffer_over(out->reason, sizeof(out->reason));
	size_t count = count_backends(policy, fronts), allowed = 0, by_rule = 0, on_node = 0, i, j;
	const char *words = port_words(policy, fronts);

	out->backends = calloc(count + 1, sizeof(*out->backends));
	if (!out->backends)
		return -ENOMEM;
	for (i = 0; i < fronts->count; i++) {
		const struct service_front *front = &policy->fronts[fronts->ids[i]];

		for (j = 0; j < front->backend_count; j++) {
			const struct flow to_backend =
				backend_flow(policy, &policy->backends[front->first_backend + j], flow->protocol);
			struct judgement judgement;
			int error = explain_backend(policy, endpoint, &to_backend, out, &judgement);

			if (error < 0)
				return error;
			allowed += is_allowed(&judgement);
			by_rule += judgement.ground == GROUND_RULE;
			on_node += judgement.ground == GROUND_NODE;
		}
	}
	out->allow = count && allowed == count;
	/* Nothing but the node allows it, and what the packet says until the node looks at it is a tunnel. */
	if (out->allow && on_node && !by_rule && egress_node_tunnel(flow->protocol, flow->port)) {
		out->allow = false;
		add_judgement(&buffer, &(struct judgement){.ground = GROUND_TUNNEL});
		return 0;
	}
	if (!count)
		text_add(&buffer, "denied: %s has no serving backend", words);
	else if (out->allow)
		text_add(&buffer, "allowed: the pod may reach all %zu serving backends of %s", count, words);
	else if (allowed)
		text_add(&buffer, "denied: the pod may reach only %zu of %zu serving backends of %s", allowed, count,
			 words);
	else
		text_add(&buffer, "denied: the pod may reach none of %zu serving backends of %s", count, words);
	return 0;
}

/* ------------------------------------------------------------------ rules */

static size_t count_rules(const struct policy_endpoint *endpoint)
{
	size_t count = 0, i;

	/* A policy without rules has a line that says so. */
	for (i = 0; i < endpoint->policy_count; i++)
		count += endpoint->policies[i]->policy.rule_count ? endpoint->policies[i]->policy.rule_count : 1;
	return count;
}

static void explain_empty_policy(struct object *object, struct rule_explanation *out)
{
	struct text_buffer buffer = text_buffer_over(out->reason, sizeof(out->reason));

	out->policy = object;
	out->rule = SIZE_MAX;
	out->place = object->place;
	text_add(&buffer, "has no egress rule, so it allows nothing");
}

static int explain_rules(const struct policy *policy, const struct policy_endpoint *endpoint, const struct flow *flow,
			 const struct fronts *fronts, struct explanation *out)
{
	size_t i, j;

	out->rules = calloc(count_rules(endpoint) + 1, sizeof(*out->rules));
	if (!out->rules)
		return -ENOMEM;
	for (i = 0; i < endpoint->policy_count; i++) {
		struct object *object = endpoint->policies[i];

		if (!object->policy.rule_count)
			explain_empty_policy(object, &out->rules[out->rule_count++]);
		for (j = 0; j < object->policy.rule_count; j++) {
			struct rule_explanation *rule = &out->rules[out->rule_count++];

			if (fronts->count)
				explain_service_rule(policy, object, j, fronts, flow->protocol, rule);
			else
				explain_rule(policy, object, j, flow, rule);
		}
	}
	return 0;
}

/* ------------------------------------------------------------------ the destination */

static void describe_destination(const struct policy *policy, const struct flow *flow, const struct fronts *fronts,
				 struct explanation *out)
{
	struct text_buffer buffer = text_buffer_over(out->destination, sizeof(out->destination));
	const struct point *point = point_find(policy, &flow->destination);
	char address[IP_TEXT_SIZE];
	size_t i;

	ip_address_format(&flow->destination, address);
	for (i = 0; i < fronts->count; i++) {
		const struct object *object = policy->fronts[fronts->ids[i]].object;

		text_add(&buffer, "%s%s %s/%s", i ? ", " : "",
			 object->kind == OBJECT_POD ? "hostPort of pod" : "service", object->namespace, object->name);
	}
	if (fronts->count)
		text_add(&buffer, " (%s)", address);
	else if (point && point->pod)
		text_add(&buffer, "pod %s/%s (%s)", point->pod->namespace, point->pod->name, address);
	else if (point && point->own_node)
		text_add(&buffer, "address of the pod's own node (%s)", address);
	else if (point && point->any_node)
		text_add(&buffer, "address of a node (%s)", address);
	else if (point && point->service)
		text_add(&buffer, "address of a service, but no port of it (%s)", address);
	else
		text_add(&buffer, "neither pod, service nor node (%s)", address);
}

static int explain(const struct policy *policy, const struct policy_endpoint *endpoint, const struct flow *flow,
		   const struct fronts *fronts, struct explanation *out)
{
	struct text_buffer buffer = text_buffer_over(out->reason, sizeof(out->reason));
	struct judgement judgement;
	int error;

	out->isolated = endpoint->isolated;
	describe_destination(policy, flow, fronts, out);
	if (!endpoint->isolated) {
		out->allow = true;
		text_add(&buffer, "allowed: no NetworkPolicy isolates the egress of pod %s/%s",
			 endpoint->pod->namespace, endpoint->pod->name);
		return 0;
	}
	error = explain_rules(policy, endpoint, flow, fronts, out);
	if (error)
		return error;
	judgement = judge_address(policy, endpoint, flow);
	if (fronts->count && judgement.ground != GROUND_SELF)
		return explain_fronts(policy, endpoint, flow, fronts, out);
	out->allow = is_allowed(&judgement);
	add_judgement(&buffer, &judgement);
	return 0;
}

int policy_explain(const struct policy *policy, const char *namespace, const char *name, const struct flow *flow,
		   struct explanation *out)
{
	const struct policy_endpoint *endpoint = policy_endpoint(policy, namespace, name);
	_cleanup_(fronts_clear) struct fronts fronts = {0};
	struct explanation explanation = {0};
	int error;

	if (!endpoint)
		return -ENOENT;
	error = find_fronts(policy, flow, &fronts);
	if (!error)
		error = explain(policy, endpoint, flow, &fronts, &explanation);
	if (error) {
		explanation_clear(&explanation);
		return error;
	}
	*out = explanation;
	return 0;
}

void explanation_clear(struct explanation *explanation)
{
	size_t i;

	for (i = 0; i < explanation->backend_count; i++)
		free(explanation->backends[i]);
	free(explanation->backends);
	free(explanation->rules);
	memset(explanation, 0, sizeof(*explanation));
}
