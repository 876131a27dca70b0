/* SPDX-License-Identifier: Apache-2.0 */
/* When two versions of an object decide alike about egress. */
#include <string.h>

#include "model/object.h"

/* Strings that may be NULL. */
static bool same_text(const char *a, const char *b)
{
	if (!a || !b)
		return a == b;
	return !strcmp(a, b);
}

static bool same_labels(const struct label_list *a, const struct label_list *b)
{
	if (a->count != b->count)
		return false;
	for (size_t i = 0; i < a->count; i++) {
		if (strcmp(a->items[i].key, b->items[i].key) || strcmp(a->items[i].value, b->items[i].value))
			return false;
	}
	return true;
}

static bool same_requirement(const struct selector_requirement *a, const struct selector_requirement *b)
{
	if (a->op != b->op || strcmp(a->key, b->key) || a->value_count != b->value_count)
		return false;
	for (size_t i = 0; i < a->value_count; i++) {
		if (strcmp(a->values[i], b->values[i]))
			return false;
	}
	return true;
}

static bool same_selector(const struct label_selector *a, const struct label_selector *b)
{
	if (a->count != b->count)
		return false;
	for (size_t i = 0; i < a->count; i++) {
		if (!same_requirement(&a->requirements[i], &b->requirements[i]))
			return false;
	}
	return true;
}

static bool same_prefix(const struct ip_prefix *a, const struct ip_prefix *b)
{
	return a->length == b->length && !ip_address_compare(&a->address, &b->address);
}

static bool same_block(const struct ip_block *a, const struct ip_block *b)
{
	if (!same_prefix(&a->cidr, &b->cidr) || a->except_count != b->except_count)
		return false;
	for (size_t i = 0; i < a->except_count; i++) {
		if (!same_prefix(&a->except[i], &b->except[i]))
			return false;
	}
	return true;
}

static bool same_peer(const struct policy_peer *a, const struct policy_peer *b)
{
	if (a->has_pod_selector != b->has_pod_selector || a->has_namespace_selector != b->has_namespace_selector ||
	    a->has_block != b->has_block)
		return false;
	if (a->has_pod_selector && !same_selector(&a->pod_selector, &b->pod_selector))
		return false;
	if (a->has_namespace_selector && !same_selector(&a->namespace_selector, &b->namespace_selector))
		return false;
	return !a->has_block || same_block(&a->block, &b->block);
}

static bool same_policy_port(const struct policy_port *a, const struct policy_port *b)
{
	return a->transport == b->transport && a->kind == b->kind && a->first == b->first && a->last == b->last &&
	       same_text(a->name, b->name);
}

static bool same_rule(const struct egress_rule *a, const struct egress_rule *b)
{
	if (a->port_count != b->port_count || a->peer_count != b->peer_count)
		return false;
	for (size_t i = 0; i < a->port_count; i++) {
		if (!same_policy_port(&a->ports[i], &b->ports[i]))
			return false;
	}
	for (size_t i = 0; i < a->peer_count; i++) {
		if (!same_peer(&a->peers[i], &b->peers[i]))
			return false;
	}
	return true;
}

static bool same_policy(const struct network_policy *a, const struct network_policy *b)
{
	if (a->isolates_egress != b->isolates_egress || a->rule_count != b->rule_count ||
	    !same_selector(&a->pod_selector, &b->pod_selector))
		return false;
	for (size_t i = 0; i < a->rule_count; i++) {
		if (!same_rule(&a->rules[i], &b->rules[i]))
			return false;
	}
	return true;
}

static bool same_addresses(const struct ip_address *a, size_t a_count, const struct ip_address *b, size_t b_count)
{
	if (a_count != b_count)
		return false;
	for (size_t i = 0; i < a_count; i++) {
		if (ip_address_compare(&a[i], &b[i]))
			return false;
	}
	return true;
}

static bool same_container_ports(const struct pod *a, const struct pod *b)
{
	if (a->port_count != b->port_count)
		return false;
	for (size_t i = 0; i < a->port_count; i++) {
		const struct container_port *left = &a->ports[i], *right = &b->ports[i];

		if (left->transport != right->transport || left->port != right->port ||
		    strcmp(left->name, right->name))
			return false;
	}
	return true;
}

static bool same_host_ports(const struct pod *a, const struct pod *b)
{
	if (a->host_port_count != b->host_port_count)
		return false;
	for (size_t i = 0; i < a->host_port_count; i++) {
		const struct host_port *left = &a->host_ports[i], *right = &b->host_ports[i];

		if (left->transport != right->transport || left->host_port != right->host_port ||
		    left->port != right->port || ip_address_compare(&left->address, &right->address))
			return false;
	}
	return true;
}

static bool same_pod(const struct pod *a, const struct pod *b)
{
	return same_addresses(a->addresses, a->address_count, b->addresses, b->address_count) &&
	       same_container_ports(a, b) && same_host_ports(a, b) && a->phase == b->phase && a->ready == b->ready &&
	       a->host_network == b->host_network && a->terminating == b->terminating && a->router == b->router &&
	       a->created == b->created &&
	       same_text(a->node_name, b->node_name) && same_text(a->interface, b->interface) &&
	       same_text(a->netns, b->netns) && same_text(a->static_uid, b->static_uid);
}

static bool same_service_port(const struct service_port *a, const struct service_port *b)
{
	return same_text(a->name, b->name) && a->transport == b->transport && a->port == b->port &&
	       a->node_port == b->node_port && a->target_kind == b->target_kind && a->target_port == b->target_port &&
	       same_text(a->target_name, b->target_name);
}

static bool same_service(const struct service *a, const struct service *b)
{
	if (!same_addresses(a->cluster_ips, a->cluster_ip_count, b->cluster_ips, b->cluster_ip_count) ||
	    !same_addresses(a->external_ips, a->external_ip_count, b->external_ips, b->external_ip_count) ||
	    !same_selector(&a->selector, &b->selector) || a->has_selector != b->has_selector ||
	    a->headless != b->headless || a->external_name != b->external_name ||
	    a->publish_not_ready != b->publish_not_ready || a->node_local != b->node_local ||
	    a->port_count != b->port_count)
		return false;
	for (size_t i = 0; i < a->port_count; i++) {
		if (!same_service_port(&a->ports[i], &b->ports[i]))
			return false;
	}
	return true;
}

static bool same_endpoint(const struct slice_endpoint *a, const struct slice_endpoint *b)
{
	return same_addresses(a->addresses, a->address_count, b->addresses, b->address_count) &&
	       a->ready == b->ready && a->serving == b->serving && a->terminating == b->terminating &&
	       same_text(a->target_pod, b->target_pod);
}

static bool same_slice_port(const struct slice_port *a, const struct slice_port *b)
{
	return same_text(a->name, b->name) && a->transport == b->transport && a->has_port == b->has_port &&
	       a->port == b->port;
}

static bool same_slice(const struct endpoint_slice *a, const struct endpoint_slice *b)
{
	if (!same_text(a->service, b->service) || a->endpoint_count != b->endpoint_count ||
	    a->port_count != b->port_count)
		return false;
	for (size_t i = 0; i < a->endpoint_count; i++) {
		if (!same_endpoint(&a->endpoints[i], &b->endpoints[i]))
			return false;
	}
	for (size_t i = 0; i < a->port_count; i++) {
		if (!same_slice_port(&a->ports[i], &b->ports[i]))
			return false;
	}
	return true;
}

/* Labels decide only where selectors look at them: on pods and namespaces. */
static bool same_content(const struct object *a, const struct object *b)
{
	switch (a->kind) {
	case OBJECT_NETWORK_POLICY:
		return same_policy(&a->policy, &b->policy);
	case OBJECT_NAMESPACE:
		return same_labels(&a->labels, &b->labels);
	case OBJECT_POD:
		return same_labels(&a->labels, &b->labels) && same_pod(&a->pod, &b->pod);
	case OBJECT_SERVICE:
		return same_service(&a->service, &b->service);
	case OBJECT_ENDPOINT_SLICE:
		return same_slice(&a->slice, &b->slice);
	case OBJECT_NODE:
		return same_addresses(a->node.addresses, a->node.address_count, b->node.addresses,
				      b->node.address_count);
	case OBJECT_KIND_COUNT:
		break;
	}
	return false;
}

bool object_equal(const struct object *a, const struct object *b)
{
	return a->kind == b->kind && !strcmp(a->namespace, b->namespace) && !strcmp(a->name, b->name) &&
	       same_content(a, b);
}
