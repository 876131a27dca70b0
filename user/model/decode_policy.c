/* SPDX-License-Identifier: Apache-2.0 */
/*
 * networking.k8s.io/v1 NetworkPolicy. Strict at every level, ingress rules included: a field that this program does not
 * know may change what the others mean.
 */
#include <errno.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/helper.h"
#include "model/decode_kind.h"
#include "model/syntax.h"

/* ------------------------------------------------------------------ ports */

static void read_port(struct reader *reader, const struct spot *spot, struct policy_port *out)
{
	static const char expected[] = "0..65535 or an IANA service name";
	int64_t number;

	if (!spot->value)
		return;
	if (spot->value->type == VALUE_STRING) {
		if (!syntax_is_port_name(spot->value->text)) {
			reader_fail_expected(reader, spot, expected);
			return;
		}
		out->kind = PORT_NAME;
		out->name = reader_copy(reader, spot->value->text);
	} else if (read_integer(reader, spot, 0, UINT16_MAX, expected, &number)) {
		/* The API server refuses 0, but a packet can carry it. */
		out->kind = PORT_NUMBER;
		out->first = out->last = (uint16_t)number;
	}
}

static void read_end_port(struct reader *reader, const struct spot *spot, const struct spot *port,
			  struct policy_port *out)
{
	int64_t number;

	if (!read_integer(reader, spot, 0, UINT16_MAX, "0..65535", &number))
		return;
	if (!port->value || out->kind == PORT_NAME)
		reader_fail(reader, spot, "expected a numeric port to begin the range, found %s",
			    port->value ? "a named one" : "none");
	else if (out->kind == PORT_NUMBER && number < out->first)
		reader_fail(reader, spot, "expected at least the port, %u, found %u", out->first,
			    (unsigned int)number);
	else
		out->last = (uint16_t)number;
}

static void read_policy_port(struct reader *reader, const struct spot *spot, struct policy_port *out)
{
	static const char *const known[] = { "protocol", "port", "endPort", NULL };
	struct spot protocol = spot_field(spot, "protocol"), port = spot_field(spot, "port");
	struct spot end_port = spot_field(spot, "endPort");

	if (!read_mapping(reader, spot, known))
		return;
	out->place = decode_saved_place(reader, spot, reader_place(reader, spot));
	out->transport = read_transport(reader, &protocol);
	read_port(reader, &port, out);
	read_end_port(reader, &end_port, &port, out);
}

/* ------------------------------------------------------------------ peers */

static int parse_prefix(const struct reader *reader, const char *text, struct ip_prefix *out)
{
	return reader->from_api ? ip_prefix_parse_sloppy(text, out) : ip_prefix_parse(text, out);
}

static bool read_prefix(struct reader *reader, const struct spot *spot, struct ip_prefix *out)
{
	const char *text = read_string(reader, spot);

	if (text && !parse_prefix(reader, text, out)) {
		if (out->length < 96 || !address_is_mapped(&out->address))
			return true;
		reader_fail_expected(reader, spot, "a CIDR of IPv4 or of IPv6, not of IPv4 mapped into IPv6");
	} else if (text || !spot->value) {
		reader_fail_expected(reader, spot, "a CIDR such as 10.0.0.0/8 or 2001:db8::/32");
	}
	return false;
}

/* An except outside its cidr takes nothing away: `check` warns of it, decoding does not refuse it. */
static void read_except(struct reader *reader, const struct spot *block, struct ip_block *out)
{
	struct spot list = spot_field(block, "except"), places = spot_field(block, "egressd.io/except-places");
	size_t count = read_sequence(reader, &list);
	bool saved = reader->saved && read_sequence(reader, &places) == count;

	out->except = reader_array(reader, count, sizeof(*out->except));
	out->except_places = reader_array(reader, count, sizeof(*out->except_places));
	if (!out->except || !out->except_places)
		return;
	out->except_count = count;
	for (size_t i = 0; i < count; i++) {
		struct spot item = spot_item(&list, i);

		read_prefix(reader, &item, &out->except[i]);
		out->except_places[i] = reader_place(reader, &item);
		if (saved) {
			struct spot place = spot_item(&places, i);

			out->except_places[i] = decode_saved_place(reader, &place, out->except_places[i]);
		}
	}
}

static void read_block(struct reader *reader, const struct spot *spot, struct ip_block *out)
{
	static const char *const known[] = { "cidr", "except", NULL };
	struct spot cidr = spot_field(spot, "cidr");

	if (!read_mapping(reader, spot, known))
		return;
	read_prefix(reader, &cidr, &out->cidr);
	read_except(reader, spot, out);
}

static void read_peer(struct reader *reader, const struct spot *spot, struct policy_peer *out)
{
	static const char *const known[] = { "podSelector", "namespaceSelector", "ipBlock", NULL };
	struct spot pods = spot_field(spot, "podSelector"), namespaces = spot_field(spot, "namespaceSelector");
	struct spot block = spot_field(spot, "ipBlock");

	if (!read_mapping(reader, spot, known))
		return;
	out->place = decode_saved_place(reader, spot, reader_place(reader, spot));
	out->has_pod_selector = pods.value;
	out->has_namespace_selector = namespaces.value;
	out->has_block = block.value;
	if (!pods.value && !namespaces.value && !block.value)
		reader_fail(reader, spot, "expected podSelector, namespaceSelector or ipBlock, found none of them");
	if (block.value && (pods.value || namespaces.value))
		reader_fail(reader, &block, "expected ipBlock alone, found it together with %s",
			    pods.value ? "podSelector" : "namespaceSelector");
	read_selector(reader, &pods, &out->pod_selector);
	read_selector(reader, &namespaces, &out->namespace_selector);
	read_block(reader, &block, &out->block);
}

static void read_peers_between(struct reader *reader, const struct spot *list, size_t begin, size_t end,
			       struct policy_peer *out)
{
	for (size_t i = begin; i < end; i++) {
		struct spot item = spot_item(list, i);

		read_peer(reader, &item, &out[i]);
	}
}

/* Fewer are read before a thread would have begun to be of use. */
#define LEAST_PEERS 16384

/* The second half of a long list, which another thread reads. */
struct second_half {
	struct reader reader; /* with memory and problems of its own */
	struct arena *arena;
	struct problem_list problems;
	size_t told;
	const struct spot *list;
	size_t begin, end;
	struct policy_peer *out;
};

static void second_half_clear(struct second_half *half)
{
	arena_free(half->arena);
	problem_list_clear(&half->problems);
}

static void read_second_half(void *data)
{
	struct second_half *half = data;

	read_peers_between(&half->reader, half->list, half->begin, half->end, half->out);
}

/* False: nothing is known of it. Problems are found again by the one who tells them, in their order. */
static bool take_second_half(struct reader *reader, struct second_half *half)
{
	if (half->reader.error || half->problems.count)
		return false;
	arena_adopt(reader->arena, take(half->arena));
	return true;
}

static void read_long_list(struct reader *reader, const struct spot *list, size_t count, struct policy_peer *out)
{
	_cleanup_(second_half_clear) struct second_half half = {
		.reader = *reader,
		.arena = arena_new(),
		.list = list,
		.begin = count / 2,
		.end = count,
		.out = out,
	};
	struct helper helper;

	if (!half.arena) {
		reader->error = -ENOMEM;
		return;
	}
	half.reader.arena = half.arena;
	half.reader.problems = &half.problems;
	half.reader.told = &half.told;
	half.reader.error = 0;
	helper_start(&helper, read_second_half, &half);
	read_peers_between(reader, list, 0, half.begin, out);
	helper_join(&helper);
	if (take_second_half(reader, &half))
		return;
	memset(&out[half.begin], 0, (count - half.begin) * sizeof(*out));
	read_peers_between(reader, list, half.begin, count, out);
}

static void read_peers(struct reader *reader, const struct spot *list, struct egress_rule *out)
{
	size_t count = read_sequence(reader, list);

	out->peer_count = count;
	out->peers = reader_array(reader, count, sizeof(*out->peers));
	if (!out->peers)
		return;
	if (count < LEAST_PEERS)
		read_peers_between(reader, list, 0, count, out->peers);
	else
		read_long_list(reader, list, count, out->peers);
}

/* ------------------------------------------------------------------ rules */

/* A list's item that is null would be a rule that allows everything, for the API server; nobody means that. */
static void read_rule(struct reader *reader, const struct spot *spot, const char *peers_field,
		      struct egress_rule *out)
{
	const char *const known[] = { "ports", peers_field, NULL };
	struct spot ports = spot_field(spot, "ports"), peers = spot_field(spot, peers_field);

	if (!read_mapping(reader, spot, known))
		return;
	out->place = decode_saved_place(reader, spot, reader_place(reader, spot));

	out->port_count = read_sequence(reader, &ports);
	out->ports = reader_array(reader, out->port_count, sizeof(*out->ports));
	for (size_t i = 0; out->ports && i < out->port_count; i++) {
		struct spot item = spot_item(&ports, i);

		read_policy_port(reader, &item, &out->ports[i]);
	}
	read_peers(reader, &peers, out);
}

static void read_egress(struct reader *reader, const struct spot *spot, struct network_policy *out)
{
	size_t count = read_sequence(reader, spot);

	out->rules = reader_array(reader, count, sizeof(*out->rules));
	if (!out->rules)
		return;
	out->rule_count = count;
	for (size_t i = 0; i < count; i++) {
		struct spot item = spot_item(spot, i);

		read_rule(reader, &item, "to", &out->rules[i]);
	}
}

/* Ingress rules decide nothing here: they are checked and let go. */
static void check_ingress(struct reader *reader, const struct spot *spot)
{
	size_t count = read_sequence(reader, spot);
	struct arena *kept = reader->arena;

	if (!count)
		return;
	reader->arena = arena_new();
	if (!reader->arena)
		reader->error = -ENOMEM;
	for (size_t i = 0; reader->arena && i < count; i++) {
		struct spot item = spot_item(spot, i);
		struct egress_rule rule = {};

		read_rule(reader, &item, "from", &rule);
	}
	arena_free(reader->arena);
	reader->arena = kept;
}

/* Absent (or empty): a policy isolates egress if it has egress rules. */
static bool read_policy_types(struct reader *reader, const struct spot *spot, bool has_rules)
{
	size_t count = read_sequence(reader, spot);
	bool egress = false;

	if (!count)
		return has_rules;
	for (size_t i = 0; i < count; i++) {
		struct spot item = spot_item(spot, i);
		const char *text = read_string(reader, &item);

		if (!text)
			continue;
		if (!strcmp(text, "Egress"))
			egress = true;
		else if (strcmp(text, "Ingress"))
			reader_fail_expected(reader, &item, "Ingress or Egress");
	}
	return egress;
}

void decode_network_policy(struct reader *reader, const struct spot *root)
{
	static const char *const known[] = { "podSelector", "policyTypes", "ingress", "egress", NULL };
	struct network_policy *policy = &reader->object->policy;
	struct spot spec = spot_field(root, "spec");
	struct spot selector = spot_field(&spec, "podSelector"), types = spot_field(&spec, "policyTypes");
	struct spot ingress = spot_field(&spec, "ingress"), egress = spot_field(&spec, "egress");

	if (!spec.value)
		reader_fail_expected(reader, &spec, "a mapping");
	if (!read_mapping(reader, &spec, known))
		return;
	read_selector(reader, &selector, &policy->pod_selector);
	check_ingress(reader, &ingress);
	read_egress(reader, &egress, policy);
	policy->isolates_egress = read_policy_types(reader, &types, policy->rule_count);
	policy->empty_egress = egress.value && !policy->rule_count && !(types.value && types.value->count);
}
