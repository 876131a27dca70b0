/* SPDX-License-Identifier: Apache-2.0 */
/* Long lists of peers, of which two threads read a half each: nothing of it shows. */
#define _GNU_SOURCE
#include "model_unit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "model/decode.h"

/* Above the number from which on there are two threads. */
#define PEERS 20000
#define FIRST_LINE 9

/* Peers that are wrong: every `step`th one of [begin, end). */
struct wrong {
	unsigned int begin, end, step;
};

static bool is_wrong(const struct wrong *wrong, unsigned int i)
{
	return wrong && i >= wrong->begin && i < wrong->end && (i - wrong->begin) % wrong->step == 0;
}

static void write_peer(FILE *out, unsigned int i)
{
	unsigned int a = i >> 8, b = i & 255;

	if (i % 3 == 0)
		fprintf(out, "    - ipBlock: {cidr: 10.%u.%u.0/24}\n", a, b);
	else if (i % 3 == 1)
		fprintf(out, "    - ipBlock: {cidr: 10.%u.%u.0/24, except: [10.%u.%u.16/28]}\n", a, b, a, b);
	else
		fprintf(out, "    - podSelector: {matchLabels: {app: a%u}}\n", i);
}

static void write_json_peer(FILE *out, unsigned int i)
{
	unsigned int a = i >> 8, b = i & 255;

	fprintf(out, i ? "     ,{" : "      {");
	if (i % 3 == 0)
		fprintf(out, "\"ipBlock\":{\"cidr\":\"10.%u.%u.0/24\"}}\n", a, b);
	else if (i % 3 == 1)
		fprintf(out, "\"ipBlock\":{\"cidr\":\"10.%u.%u.0/24\",\"except\":[\"10.%u.%u.16/28\"]}}\n", a, b, a, b);
	else
		fprintf(out, "\"podSelector\":{\"matchLabels\":{\"app\":\"a%u\"}}}\n", i);
}

/* Peers begin in line FIRST_LINE and column 7 of both. */
struct form {
	const char *head, *tail;
	void (*write_peer)(FILE *out, unsigned int i);
};

static const struct form yaml = {
	.head = "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: p}\nspec:\n"
		"  podSelector: {}\n  policyTypes: [Egress]\n  egress:\n  - to:\n",
	.tail = "",
	.write_peer = write_peer,
};
static const struct form json = {
	.head = "{\"apiVersion\":\"networking.k8s.io/v1\",\n\"kind\":\"NetworkPolicy\",\n\"metadata\":{\"name\":\"p\"},\n"
		"\"spec\":{\n\"podSelector\":{},\n\"policyTypes\":[\"Egress\"],\n\"egress\":[{\n\"to\":[\n",
	.tail = "]}]}}\n",
	.write_peer = write_json_peer,
};

/* Those that are wrong, in YAML alone, may be NULL. */
static char *write_policy(const struct form *form, const struct wrong *first, const struct wrong *second,
			  unsigned int count)
{
	char *text = NULL;
	size_t length;
	FILE *out = open_memstream(&text, &length);

	assert_non_null(out);
	fputs(form->head, out);
	for (unsigned int i = 0; i < count; i++) {
		if (is_wrong(first, i) || is_wrong(second, i))
			fprintf(out, "    - ipBlock: {cidr: 10.0.0.0/33}\n");
		else
			form->write_peer(out, i);
	}
	fputs(form->tail, out);
	fclose(out);
	return text;
}

/* ------------------------------------------------------------------ what is right */

static void expect_peer(const struct policy_peer *peer, unsigned int i)
{
	char text[IP_PREFIX_TEXT_SIZE], expected[64];

	assert_int_equal(peer->place.line, FIRST_LINE + i);
	assert_int_equal(peer->place.column, 7);
	assert_string_equal(peer->place.file, "a.yaml");
	assert_int_equal(peer->has_block, i % 3 != 2);
	assert_int_equal(peer->has_pod_selector, i % 3 == 2);
	assert_int_equal(peer->block.except_count, i % 3 == 1);
	if (i % 3 == 2) {
		snprintf(expected, sizeof(expected), "a%u", i);
		assert_int_equal(peer->pod_selector.count, 1);
		assert_string_equal(peer->pod_selector.requirements[0].values[0], expected);
		return;
	}
	snprintf(expected, sizeof(expected), "10.%u.%u.0/24", i >> 8, i & 255);
	assert_string_equal(ip_prefix_format(&peer->block.cidr, text), expected);
	if (i % 3 == 1) {
		snprintf(expected, sizeof(expected), "10.%u.%u.16/28", i >> 8, i & 255);
		assert_string_equal(ip_prefix_format(&peer->block.except[0], text), expected);
		assert_int_equal(peer->block.except_places[0].line, FIRST_LINE + i);
	}
}

static void expect_every_peer(const char *text)
{
	_cleanup_(object_list_clear) struct object_list objects = {0};
	_cleanup_(problem_list_clear) struct problem_list problems = {0};
	const struct egress_rule *rule;

	assert_int_equal(decode_buffer("a.yaml", text, strlen(text), &objects, &problems), 0);
	assert_int_equal(problems.count, 0);
	assert_int_equal(objects.count, 1);
	rule = &objects.items[0]->policy.rules[0];
	assert_int_equal(rule->peer_count, PEERS + 1);
	for (unsigned int i = 0; i < rule->peer_count; i++)
		expect_peer(&rule->peers[i], i);
}

static void every_peer_is_read(void **state)
{
	_cleanup_free_ char *in_yaml = write_policy(&yaml, NULL, NULL, PEERS + 1);
	_cleanup_free_ char *in_json = write_policy(&json, NULL, NULL, PEERS + 1);

	(void)state;
	expect_every_peer(in_yaml);
	expect_every_peer(in_json);
}

/* ------------------------------------------------------------------ what is wrong */

static void expect_problem(const struct problem *problem, unsigned int i)
{
	char expected[160];

	snprintf(expected, sizeof(expected),
		 "spec.egress[0].to[%u].ipBlock.cidr: expected a CIDR such as 10.0.0.0/8 or 2001:db8::/32, "
		 "found \"10.0.0.0/33\"", i);
	assert_string_equal(problem->message, expected);
	assert_int_equal(problem->line, FIRST_LINE + i);
	assert_int_equal(problem->column, 23);
}

/* In the list's order, up to as many as are told of a file. */
static void expect_problems(const struct wrong *first, const struct wrong *second, size_t told, bool cut)
{
	_cleanup_free_ char *text = write_policy(&yaml, first, second, PEERS);
	_cleanup_(object_list_clear) struct object_list objects = {0};
	_cleanup_(problem_list_clear) struct problem_list problems = {0};
	size_t found = 0;

	assert_int_equal(decode_buffer("a.yaml", text, strlen(text), &objects, &problems), -EINVAL);
	assert_int_equal(objects.count, 0);
	assert_int_equal(problems.count, told + cut);
	for (unsigned int i = 0; i < PEERS && found < told; i++) {
		if (is_wrong(first, i) || is_wrong(second, i))
			expect_problem(&problems.items[found++], i);
	}
	assert_int_equal(found, told);
	if (cut)
		assert_string_equal(problems.items[told].message,
				    "expected fewer errors: after 100 the rest is not told");
}

static void problems_are_told_in_order(void **state)
{
	const struct wrong early = {10, 11, 1}, late = {PEERS - 10, PEERS - 9, 1};
	const struct wrong many_early = {0, 600, 10}, many_late = {PEERS / 2, PEERS / 2 + 60, 1};
	const struct wrong all = {0, PEERS, 1};

	(void)state;
	expect_problems(&early, NULL, 1, false);
	expect_problems(&late, NULL, 1, false);
	expect_problems(&early, &late, 2, false);
	expect_problems(&many_early, &late, 61, false);
	expect_problems(&many_late, NULL, 60, false);
	expect_problems(&many_early, &many_late, 100, true);
	expect_problems(&all, NULL, 100, true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_peer_is_read),
		cmocka_unit_test(problems_are_told_in_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
