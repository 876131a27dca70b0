/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/explain_rule.h"

#include <netinet/in.h>

bool transport_of(uint8_t protocol, enum transport *out)
{
	switch (protocol) {
	case IPPROTO_TCP:
		*out = TRANSPORT_TCP;
		return true;
	case IPPROTO_UDP:
		*out = TRANSPORT_UDP;
		return true;
	case IPPROTO_SCTP:
		*out = TRANSPORT_SCTP;
		return true;
	default:
		return false;
	}
}

const struct object *pod_at(const struct policy *policy, const struct ip_address *address)
{
	const struct point *point = point_find(policy, address);

	return point ? point->pod : NULL;
}

void text_add_port(struct text_buffer *buffer, uint8_t protocol, uint16_t port)
{
	enum transport transport;

	if (transport_of(protocol, &transport))
		text_add(buffer, "port %u/%s", port, transport_name(transport));
	else
		text_add(buffer, "protocol %u", protocol);
}

/* ------------------------------------------------------------------ peers */

static const struct ip_prefix *find_except(const struct ip_block *block, const struct ip_address *address)
{
	size_t i;

	for (i = 0; i < block->except_count; i++)
		if (ip_prefix_contains(&block->except[i], address))
			return &block->except[i];
	return NULL;
}

bool block_contains(const struct ip_block *block, const struct ip_address *address)
{
	return ip_prefix_contains(&block->cidr, address) && !find_except(block, address);
}

static bool peer_matches(const struct policy *policy, const struct policy_peer *peer, const struct object *object,
			 const struct ip_address *destination)
{
	const struct object *pod;

	if (peer->has_block)
		return block_contains(&peer->block, destination);
	pod = pod_at(policy, destination);
	return pod && peer_selects(policy, peer, object->namespace, pod);
}

bool rule_peer_matches(const struct policy *policy, const struct object *object, size_t rule,
		       const struct ip_address *destination)
{
	const struct egress_rule *source = &object->policy.rules[rule];
	size_t i;

	for (i = 0; i < source->peer_count; i++)
		if (peer_matches(policy, &source->peers[i], object, destination))
			return true;
	return !source->peer_count;
}

/* What the peer is: "10.0.0.0/8", "pods app=db in namespace shop". */
static void describe_peer(struct text_buffer *buffer, const struct policy_peer *peer, const struct object *object)
{
	static const struct label_selector everything;
	char text[IP_PREFIX_TEXT_SIZE];

	if (peer->has_block) {
		text_add(buffer, "%s", ip_prefix_format(&peer->block.cidr, text));
		return;
	}
	text_add_selector(buffer, peer->has_pod_selector ? &peer->pod_selector : &everything, "pods");
	text_add(buffer, " in ");
	if (peer->has_namespace_selector)
		text_add_selector(buffer, &peer->namespace_selector, "namespaces");
	else
		text_add(buffer, "namespace %s", object->namespace);
}

static void explain_block(struct text_buffer *buffer, const struct ip_block *block,
			  const struct ip_address *destination)
{
	const struct ip_prefix *except = find_except(block, destination);
	char address[IP_TEXT_SIZE], cidr[IP_PREFIX_TEXT_SIZE], hole[IP_PREFIX_TEXT_SIZE];

	ip_address_format(destination, address);
	ip_prefix_format(&block->cidr, cidr);
	if (!ip_prefix_contains(&block->cidr, destination))
		text_add(buffer, "%s is not in %s", address, cidr);
	else if (except)
		text_add(buffer, "%s is in %s but excepted by %s", address, cidr, ip_prefix_format(except, hole));
}

/* The pod's own values for what the selector asks. */
static void add_labels(struct text_buffer *buffer, const struct label_selector *selector,
		       const struct label_list *labels)
{
	size_t i;

	text_add(buffer, " (");
	for (i = 0; i < selector->count; i++) {
		const char *key = selector->requirements[i].key, *value = label_list_get(labels, key);

		text_add(buffer, value ? "%s%s=%s" : "%sno %s", i ? "," : "", key, value);
	}
	text_add(buffer, ")");
}

static void explain_selectors(struct text_buffer *buffer, const struct policy *policy, const struct policy_peer *peer,
			      const struct object *object, const struct ip_address *destination)
{
	const struct object *pod = pod_at(policy, destination);
	char address[IP_TEXT_SIZE];
	uint32_t namespace_id;

	text_add(buffer, "selects ");
	describe_peer(buffer, peer, object);
	ip_address_format(destination, address);
	if (!pod) {
		text_add(buffer, "; %s is no pod", address);
		return;
	}
	text_add(buffer, "; %s is pod %s/%s, ", address, pod->namespace, pod->name);
	if (peer->has_pod_selector && !label_selector_matches(&peer->pod_selector, &pod->labels)) {
		text_add(buffer, "whose labels do not match");
		add_labels(buffer, &peer->pod_selector, &pod->labels);
		return;
	}
	if (!peer->has_namespace_selector)
		text_add(buffer, "in another namespace");
	else if (namespace_find(policy, pod->namespace, &namespace_id) && policy->namespaces[namespace_id].labels)
		text_add(buffer, "whose namespace's labels do not match");
	else
		text_add(buffer, "whose namespace has no Namespace object here, so only its name can match");
}

static void explain_peers(struct text_buffer *buffer, const struct policy *policy, const struct object *object,
			  const struct egress_rule *rule, const struct ip_address *destination)
{
	size_t i;

	for (i = 0; i < rule->peer_count; i++) {
		const struct policy_peer *peer = &rule->peers[i];

		text_add(buffer, "%speer %zu%s ", i ? "; " : "", i + 1, peer->has_block ? ":" : "");
		if (peer->has_block)
			explain_block(buffer, &peer->block, destination);
		else
			explain_selectors(buffer, policy, peer, object, destination);
	}
}

static void name_peer(struct text_buffer *buffer, const struct policy *policy, const struct object *object,
		      const struct egress_rule *rule, const struct ip_address *destination)
{
	size_t i;

	if (!rule->peer_count) {
		text_add(buffer, "every destination");
		return;
	}
	for (i = 0; i < rule->peer_count; i++) {
		if (!peer_matches(policy, &rule->peers[i], object, destination))
			continue;
		text_add(buffer, "peer %zu (", i + 1);
		describe_peer(buffer, &rule->peers[i], object);
		text_add(buffer, ")");
		return;
	}
}

/* ------------------------------------------------------------------ ports */

static bool port_matches(const struct policy *policy, const struct policy_port *port, const struct flow *flow)
{
	const struct object *pod;
	enum transport transport;
	uint16_t number;

	if (!transport_of(flow->protocol, &transport) || transport != port->transport)
		return false;
	switch (port->kind) {
	case PORT_ANY:
		return true;
	case PORT_NUMBER:
		return port->first <= flow->port && flow->port <= port->last;
	case PORT_NAME:
		pod = pod_at(policy, &flow->destination);
		return pod && pod_find_port(&pod->pod, port->name, transport, &number) && number == flow->port;
	}
	return false;
}

bool rule_port_matches(const struct policy *policy, const struct object *object, size_t rule, const struct flow *flow)
{
	const struct egress_rule *source = &object->policy.rules[rule];
	size_t i;

	for (i = 0; i < source->port_count; i++)
		if (port_matches(policy, &source->ports[i], flow))
			return true;
	return !source->port_count;
}

static void describe_port(struct text_buffer *buffer, const struct policy *policy, const struct policy_port *port,
			  const struct ip_address *destination)
{
	const char *transport = transport_name(port->transport);
	const struct object *pod;
	uint16_t number;

	switch (port->kind) {
	case PORT_ANY:
		text_add(buffer, "every port/%s", transport);
		return;
	case PORT_NUMBER:
		if (port->first == port->last)
			text_add(buffer, "%u/%s", port->first, transport);
		else
			text_add(buffer, "%u-%u/%s", port->first, port->last, transport);
		return;
	case PORT_NAME:
		pod = pod_at(policy, destination);
		text_add(buffer, "%s/%s", port->name, transport);
		if (pod && pod_find_port(&pod->pod, port->name, port->transport, &number))
			text_add(buffer, " (there %u)", number);
		else
			text_add(buffer, pod ? " (which the pod lacks)" : " (a name, and no pod to have it)");
		return;
	}
}

static void explain_ports(struct text_buffer *buffer, const struct policy *policy, const struct egress_rule *rule,
			  const struct flow *flow)
{
	size_t i;

	text_add_port(buffer, flow->protocol, flow->port);
	text_add(buffer, " is not among ");
	for (i = 0; i < rule->port_count; i++) {
		text_add(buffer, "%s", i ? ", " : "");
		describe_port(buffer, policy, &rule->ports[i], &flow->destination);
	}
}

static void name_port(struct text_buffer *buffer, const struct policy *policy, const struct egress_rule *rule,
		      const struct flow *flow)
{
	size_t i;

	if (!rule->port_count) {
		text_add(buffer, "every port and protocol");
		return;
	}
	for (i = 0; i < rule->port_count; i++) {
		if (!port_matches(policy, &rule->ports[i], flow))
			continue;
		text_add(buffer, "port ");
		describe_port(buffer, policy, &rule->ports[i], &flow->destination);
		return;
	}
}

void explain_rule(const struct policy *policy, struct object *object, size_t rule, const struct flow *flow,
		  struct rule_explanation *out)
{
	const struct egress_rule *source = &object->policy.rules[rule];
	struct text_buffer buffer = text_buffer_over(out->reason, sizeof(out->reason));

	out->policy = object;
	out->rule = rule;
	out->place = source->place;
	out->peer_matches = rule_peer_matches(policy, object, rule, &flow->destination);
	out->port_matches = rule_port_matches(policy, object, rule, flow);
	/* The port first: the list of peers may be long. */
	if (!out->port_matches)
		explain_ports(&buffer, policy, source, flow);
	if (!out->port_matches && !out->peer_matches)
		text_add(&buffer, "; ");
	if (!out->peer_matches)
		explain_peers(&buffer, policy, object, source, &flow->destination);
	if (out->port_matches && out->peer_matches) {
		text_add(&buffer, "matches ");
		name_peer(&buffer, policy, object, source, &flow->destination);
		text_add(&buffer, " and ");
		name_port(&buffer, policy, source, flow);
	}
}
