/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/answer.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "cli/memory.h"
#include "cli/output.h"
#include "cli/port_ranges.h"
#include "cli/protocol.h"

void answer_clear(struct answer *answer)
{
	size_t i;

	for (i = 0; i < answer->note_count; i++)
		free(answer->notes[i]);
	if (answer->explained)
		explanation_clear(&answer->explanation);
	*answer = (struct answer){0};
}

void answer_note(struct answer *answer, char *text)
{
	if (answer->note_count < ANSWER_NOTES_MAX)
		answer->notes[answer->note_count++] = text;
	else
		free(text);
}

bool answer_allows(const struct answer *answer)
{
	return answer->host_network || answer->verdict.allow;
}

bool answer_contradicts(const struct answer *answer)
{
	return answer->explained && answer->explanation.allow != answer_allows(answer);
}

/* A pod's own addresses are judged before the tables are looked into. */
static bool is_to_itself(const struct answer *answer)
{
	return answer->verdict.cell == (EGRESS_CELL_ALLOW | EGRESS_RULE_SELF);
}

static bool is_judged_by_rows(const struct answer *answer)
{
	return !answer->host_network && set_is_address(answer->verdict.set) && !is_to_itself(answer);
}

char *answer_reason(const struct answer *answer)
{
	const char *builtin = cell_reason(answer->verdict.cell);
	_cleanup_free_ char *rule = NULL;

	if (answer->host_network)
		return copy_text("policy does not select hostNetwork pods: their traffic is their node's");
	if (answer->verdict.set == EGRESS_SET_OPEN)
		return copy_text("no policy isolates the pod's egress");
	if (answer->verdict.set == EGRESS_SET_PENDING && !is_to_itself(answer))
		return copy_text("the pod's policy is not yet known");
	if (builtin)
		return copy_text(builtin);
	rule = rule_short_text(answer->rules, answer->verdict.cell);
	return format_text("%s %s it", rule, answer->verdict.allow ? "allows" : "denies");
}

static const char *verdict_word(bool allow)
{
	return allow ? "allow" : "deny";
}

/* What a cell says for each range of ports. Empty where no row is read, or where the tables do not hold together. */
static void read_cells(const struct answer *answer, struct port_ranges *cells)
{
	_cleanup_(port_ranges_clear) struct port_ranges classes = {0};
	uint32_t row;

	if (!is_judged_by_rows(answer) || bank_port_classes(answer->bank, &classes) ||
	    bank_row(answer->bank, answer->verdict.set, answer->verdict.class, &row) ||
	    bank_row_cells(answer->bank, &classes, row, cells))
		port_ranges_clear(cells);
}

int answer_breadth(const struct answer *answer, enum answer_breadth *out)
{
	_cleanup_(port_ranges_clear) struct port_ranges cells = {0};
	size_t allowed = 0, i;

	if (!is_judged_by_rows(answer)) {
		*out = answer_allows(answer) ? ALLOWS_EVERYTHING : ALLOWS_NOTHING;
		return 0;
	}
	read_cells(answer, &cells);
	if (!cells.count)
		return -EINVAL;
	for (i = 0; i < cells.count; i++)
		allowed += cells.items[i].value & EGRESS_CELL_ALLOW ? 1 : 0;
	*out = !allowed ? ALLOWS_NOTHING : allowed == cells.count ? ALLOWS_EVERYTHING : ALLOWS_SOME;
	return 0;
}

static void print_range(const struct answer *answer, const struct port_ranges *cells, size_t index, const char *prefix,
			FILE *file)
{
	const struct port_range *range = &cells->items[index];
	_cleanup_free_ char *rule = rule_text(answer->rules, range->value);
	const char *protocol = port_ranges_protocol(cells, index);
	char ports[PORT_RANGE_TEXT_SIZE];

	if (!protocol)
		return;
	if (range->protocol >= PORTLESS)
		fprintf(file, "%s  %s protocols: ", prefix, protocol);
	else
		fprintf(file, "%s  %s %s: ", prefix, protocol, port_range_text(range, ports));
	fprintf(file, "%s by %s\n", verdict_word(range->value & EGRESS_CELL_ALLOW), rule);
}

/* What is allowed, by which rules, and what is denied for another reason than that no rule allows it. */
static void print_summary(const struct answer *answer, const char *prefix, FILE *file)
{
	_cleanup_(port_ranges_clear) struct port_ranges cells = {0}, allowed = {0};
	_cleanup_free_ char *text = NULL, *reason = NULL;
	bool rest = false;
	size_t i;

	if (!is_judged_by_rows(answer)) {
		reason = answer_reason(answer);
		fprintf(file, "%s  %s\n", prefix, reason);
		return;
	}
	read_cells(answer, &cells);
	port_ranges_allowed(&cells, &allowed);
	text = port_ranges_text(&allowed, "nothing");
	fprintf(file, "%s  allowed: %s\n", prefix, text);
	for (i = 0; i < cells.count; i++) {
		if (cells.items[i].value == EGRESS_RULE_DEFAULT)
			rest = true;
		else
			print_range(answer, &cells, i, prefix, file);
	}
	if (rest)
		fprintf(file, "%s  everything else: deny by default deny\n", prefix);
}

static void print_headline(const struct answer *answer, const char *prefix, FILE *file)
{
	char address[IP_TEXT_SIZE], protocol[PROTOCOL_TEXT_SIZE];

	ip_address_format(&answer->flow.destination, address);
	protocol_format(answer->flow.protocol, protocol);
	fprintf(file, "%s%s → %s ", prefix, answer->from, address);
	if (answer->any_port)
		fprintf(file, "protocols without ports");
	else
		fprintf(file, "%s", protocol);
	if (!answer->any_port && protocol_has_ports(answer->flow.protocol, NULL))
		fprintf(file, " %u", answer->flow.port);
	fprintf(file, ": %s\n", verdict_word(answer_allows(answer)));
}

static void print_rule(const struct rule_explanation *rule, const char *prefix, FILE *file)
{
	fprintf(file, "%s  %s/%s", prefix, rule->policy->namespace, rule->policy->name);
	if (rule->rule != SIZE_MAX)
		fprintf(file, " rule %zu", rule->rule);
	if (rule->place.file)
		fprintf(file, " (%s:%u)", rule->place.file, rule->place.line);
	fprintf(file, ": %s\n", rule->reason);
}

static void print_explanation(const struct answer *answer, const char *prefix, FILE *file)
{
	const struct explanation *explanation = &answer->explanation;
	size_t i;

	for (i = 0; i < explanation->backend_count; i++)
		fprintf(file, "%s  backend %s\n", prefix, explanation->backends[i]);
	/* The rules were asked about one protocol, a summary is about all. */
	if (answer->any_port || (answer_allows(answer) && !answer_contradicts(answer)))
		return;
	for (i = 0; i < explanation->rule_count; i++)
		print_rule(&explanation->rules[i], prefix, file);
}

void answer_print(const struct answer *answer, const char *prefix, FILE *file)
{
	_cleanup_free_ char *reason = answer_reason(answer), *rule = NULL;
	size_t i;

	print_headline(answer, prefix, file);
	if (answer->explained && *answer->explanation.destination)
		fprintf(file, "%s  destination: %s\n", prefix, answer->explanation.destination);
	if (answer->any_port) {
		print_summary(answer, prefix, file);
	} else if (is_judged_by_rows(answer) && rule_book_find(answer->rules, answer->verdict.cell)) {
		rule = rule_text(answer->rules, answer->verdict.cell);
		fprintf(file, "%s  by %s\n", prefix, rule);
	} else {
		fprintf(file, "%s  reason: %s\n", prefix, reason);
	}
	if (answer->explained)
		print_explanation(answer, prefix, file);
	for (i = 0; i < answer->note_count; i++)
		fprintf(file, "%s  note: %s\n", prefix, answer->notes[i]);
	if (answer_contradicts(answer))
		fprintf(file, "%s  CONTRADICTION: the tables %s it, the objects %s it: %s\n", prefix,
			verdict_word(answer_allows(answer)), verdict_word(answer->explanation.allow),
			answer->explanation.reason);
}

static json_t *encode_rule(const struct rule_explanation *rule)
{
	_cleanup_free_ char *policy = format_text("%s/%s", rule->policy->namespace, rule->policy->name);
	json_t *object = json_new_object();

	json_put_text(object, "policy", policy);
	json_put(object, "index", rule->rule == SIZE_MAX ? json_null() : json_integer((json_int_t)rule->rule));
	json_put_text(object, "file", rule->place.file);
	json_put(object, "line", rule->place.line ? json_integer(rule->place.line) : json_null());
	json_put_bool(object, "peer_matches", rule->peer_matches);
	json_put_bool(object, "port_matches", rule->port_matches);
	json_put_text(object, "reason", rule->reason);
	return object;
}

static void encode_explanation(const struct answer *answer, json_t *object)
{
	const struct explanation *explanation = &answer->explanation;
	json_t *rules = json_new_array(), *backends = json_new_array(), *policies = json_new_array();
	size_t i;

	for (i = 0; i < explanation->rule_count; i++) {
		const struct rule_explanation *rule = &explanation->rules[i];

		if (!answer->any_port)
			json_append(rules, encode_rule(rule));
		/* Rules come policy by policy. */
		if (!i || rule[-1].policy != rule->policy) {
			_cleanup_free_ char *name = format_text("%s/%s", rule->policy->namespace, rule->policy->name);

			json_append(policies, json_text(name));
		}
	}
	for (i = 0; i < explanation->backend_count; i++)
		json_append(backends, json_text(explanation->backends[i]));
	json_put_text(object, "destination", explanation->destination);
	json_put(object, "policies", policies);
	json_put(object, "rules", rules);
	json_put(object, "backends", backends);
}

static void encode_summary(const struct answer *answer, json_t *object)
{
	_cleanup_(port_ranges_clear) struct port_ranges cells = {0}, allowed = {0};
	size_t i;

	if (is_judged_by_rows(answer)) {
		read_cells(answer, &cells);
		port_ranges_allowed(&cells, &allowed);
	} else if (answer_allows(answer)) {
		for (i = 0; i <= TUNNELS; i++) {
			struct port_range range = {(uint32_t)i, 0, i >= PORTLESS ? 0 : UINT16_MAX, 0};

			port_ranges_append(&allowed, &range);
		}
	}
	json_put(object, "allowed", port_ranges_encode(&allowed));
}

json_t *answer_encode(const struct answer *answer)
{
	_cleanup_free_ char *reason = answer_reason(answer);
	char address[IP_TEXT_SIZE], protocol[PROTOCOL_TEXT_SIZE];
	json_t *object = json_new_object(), *notes = json_new_array();
	bool ports = !answer->any_port && protocol_has_ports(answer->flow.protocol, NULL);
	size_t i;

	json_put_text(object, "from", answer->from);
	json_put_text(object, "to", ip_address_format(&answer->flow.destination, address));
	json_put_text(object, "protocol", answer->any_port ? NULL : protocol_format(answer->flow.protocol, protocol));
	json_put(object, "port", ports ? json_integer(answer->flow.port) : json_null());
	json_put_text(object, "verdict", verdict_word(answer_allows(answer)));
	json_put(object, "rule",
		 is_judged_by_rows(answer) ? rule_encode(answer->rules, answer->verdict.cell) : json_null());
	json_put_text(object, "reason", reason);
	if (answer->any_port)
		encode_summary(answer, object);
	if (answer->explained)
		encode_explanation(answer, object);
	for (i = 0; i < answer->note_count; i++)
		json_append(notes, json_text(answer->notes[i]));
	json_put(object, "notes", notes);
	json_put_bool(object, "contradiction", answer_contradicts(answer));
	return object;
}
