/* SPDX-License-Identifier: Apache-2.0 */
/* Table memory: banks, endpoints, publication, limits, packed tries. */
#include "policy_world.h"

/* Two pods: a/client may send to these peers, b/open anywhere. */
static struct world *world_with_peers(const char *peers)
{
	struct world *world = world_new();

	add(world, POD, "a", "client", "app: client", "10.0.0.1");
	add(world, POD, "b", "open", "", "10.0.0.2");
	add(world,
	    "{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {namespace: a, name: p}, "
	    "spec: {podSelector: {}, egress: [{to: [%s]}]}}",
	    peers);
	return world;
}

static struct world *small_world(const char *cidr)
{
	char peer[128];

	snprintf(peer, sizeof(peer), "{ipBlock: {cidr: %s}}", cidr);
	return world_with_peers(peer);
}

static bool endpoint_passes(const struct world *world, uint32_t id, const char *to)
{
	const struct table_view view = {.words = world->words, .word_count = world->word_count};
	const struct ip_address destination = address(to);
	struct table_verdict result;

	assert_int_equal(tables_verdict(&view, id, &destination, TCP, 80, &result), 0);
	return result.allow;
}

static void endpoints_are_pending_until_assigned(void **state)
{
	struct world *world = small_world("192.0.2.0/24");

	(void)state;
	compile(world);
	assert_false(endpoint_passes(world, 1, "192.0.2.1"));
	tables_assign(world->tables, 1, "a", "client");
	tables_assign(world->tables, 2, "b", "open");
	tables_assign(world->tables, 3, "b", "unknown");
	assert_true(endpoint_passes(world, 1, "192.0.2.1"));
	assert_false(endpoint_passes(world, 1, "192.0.3.1"));
	assert_true(endpoint_passes(world, 2, "192.0.3.1"));
	assert_false(endpoint_passes(world, 3, "192.0.2.1"));
	tables_assign(world->tables, 2, NULL, NULL);
	assert_false(endpoint_passes(world, 2, "192.0.2.1"));
	tables_unassign(world->tables, 1);
	assert_false(endpoint_passes(world, 1, "192.0.2.1"));
	world_free(world);
}

static void nothing_passes_before_the_first_publication(void **state)
{
	struct world *world = small_world("192.0.2.0/24");
	const size_t count = 1u << 20;
	uint32_t *words = aligned_alloc(64, count * sizeof(*words));

	(void)state;
	assert_non_null(words);
	memset(words, 0, count * sizeof(*words));
	assert_int_equal(try_compile(world), 0);
	world->words = words;
	world->word_count = count;
	assert_int_equal(tables_new(words, count, &world->tables), 0);
	assert_false(endpoint_passes(world, 1, "192.0.2.1"));
	assert_int_equal(tables_write(world->tables, world->policy, 1), 0);
	tables_assign(world->tables, 1, "a", "client");
	assert_false(endpoint_passes(world, 1, "192.0.2.1"));
	tables_publish(world->tables);
	assert_true(endpoint_passes(world, 1, "192.0.2.1"));
	world_free(world);
}

/* Many generations in one memory: the bank in force stays right while the other is written. */
static void generations_follow_each_other(void **state)
{
	struct world *world = small_world("192.0.2.0/24");
	struct world *next = small_world("198.51.100.0/24");
	uint32_t generation;

	(void)state;
	add_node_address(next, "10.9.0.1");
	compile(world);
	assert_int_equal(try_compile(next), 0);
	tables_assign(world->tables, 1, "a", "client");
	for (generation = 2; generation < 50; generation++) {
		bool even = generation % 2 == 0;

		assert_true(tables_hold_another(world->tables));
		assert_int_equal(tables_write(world->tables, even ? next->policy : world->policy, generation), 0);
		tables_assign(world->tables, 1, "a", "client");
		/* Written, but not in force. */
		assert_int_equal(endpoint_passes(world, 1, "192.0.2.1"), even);
		assert_int_equal(endpoint_passes(world, 1, "198.51.100.1"), !even);
		tables_publish(world->tables);
		assert_int_equal(endpoint_passes(world, 1, "192.0.2.1"), !even);
		assert_int_equal(endpoint_passes(world, 1, "198.51.100.1"), even);
	}
	world_free(world);
	world_free(next);
}

/* What was in force before takes no memory once nobody is judged by it, and its policy may go. */
static void a_bank_that_is_forgotten_gives_its_words_back(void **state)
{
	struct world *world = small_world("192.0.2.0/24");
	struct world *next = small_world("198.51.100.0/24");
	size_t used;

	(void)state;
	compile(world);
	used = tables_used(world->tables);
	assert_int_equal(try_compile(next), 0);
	assert_int_equal(tables_write(world->tables, next->policy, 2), 0);
	tables_assign(world->tables, 1, "a", "client");
	/* It waits to be published, so it is not what nobody needs any more. */
	tables_forget(world->tables);
	tables_publish(world->tables);
	assert_true(endpoint_passes(world, 1, "198.51.100.1"));
	assert_true(tables_used(world->tables) > used);
	tables_forget(world->tables);
	policy_free(world->policy);
	world->policy = next->policy;
	next->policy = NULL;
	/* But for what alignment takes. */
	assert_in_range(tables_used(world->tables), used - used / 100, used + used / 100);
	tables_assign(world->tables, 2, "b", "open");
	assert_true(endpoint_passes(world, 1, "198.51.100.1"));
	assert_false(endpoint_passes(world, 1, "192.0.2.1"));
	assert_true(endpoint_passes(world, 2, "192.0.2.1"));
	world_free(world);
	world_free(next);
}

static void memory_too_small(void **state)
{
	uint32_t words[16] = {0};
	struct tables *tables = NULL;

	(void)state;
	assert_int_equal(tables_new(words, 16, &tables), -EINVAL);
	assert_null(tables);
}

static void no_space_leaves_the_bank_in_force(void **state)
{
	struct world *world = small_world("192.0.2.0/24");
	struct policy_statistics statistics;
	unsigned int i;

	(void)state;
	/* Some blocks of trie more, so that rounding up leaves no room for another bank. */
	for (i = 0; i < 100; i++)
		add(world,
		    "{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {namespace: b, name: p%u}, "
		    "spec: {podSelector: {}, egress: [{to: [{ipBlock: {cidr: 100.64.%u.4/30}}]}]}}",
		    i, i);
	assert_int_equal(try_compile(world), 0);
	policy_statistics(world->policy, &statistics);
	/* Both banks have the fixed words; of the others there is room for one and a half. */
	world->word_count = EGRESS_BLOCK_WORDS + EGRESS_BANKS * TABLES_FIXED_WORDS +
			    ((statistics.words - TABLES_FIXED_WORDS) * 3 / 2 + 255) / 256 * 256;
	world->words = aligned_alloc(64, world->word_count * sizeof(*world->words));
	assert_non_null(world->words);
	memset(world->words, 0, world->word_count * sizeof(*world->words));
	assert_int_equal(tables_new(world->words, world->word_count, &world->tables), 0);
	assert_int_equal(tables_write(world->tables, world->policy, 1), 0);
	tables_assign(world->tables, 1, "a", "client");
	tables_publish(world->tables);
	assert_false(tables_hold_another(world->tables));
	assert_int_equal(tables_write(world->tables, world->policy, 2), -ENOSPC);
	tables_publish(world->tables);
	assert_true(endpoint_passes(world, 1, "192.0.2.1"));
	assert_false(endpoint_passes(world, 1, "192.0.3.1"));
	assert_true(tables_least_words(world->policy) > statistics.words);
	assert_true(tables_least_words(world->policy) < tables_words(world->policy));
	world_free(world);
}

static void damaged_tables_are_an_error(void **state)
{
	struct world *world = small_world("192.0.2.0/24");
	struct table_view view;
	const struct ip_address destination = address("192.0.2.1");
	struct table_verdict result;

	(void)state;
	compile(world);
	tables_assign(world->tables, 1, "a", "client");
	view = (struct table_view){.words = world->words, .word_count = 256};
	assert_int_equal(tables_verdict(&view, 1, &destination, TCP, 80, &result), -EINVAL);
	view.word_count = world->word_count;
	assert_int_equal(tables_verdict(&view, EGRESS_ENDPOINT_MAX, &destination, TCP, 80, &result), -EINVAL);
	world->words[0] = 0;
	assert_int_equal(tables_verdict(&view, 1, &destination, TCP, 80, &result), -EINVAL);
	world_free(world);
}

/* ------------------------------------------------------------------ limits */

/* Text that grows. */
struct text {
	char *text;
	size_t size;
	FILE *file;
};

static void text_begin(struct text *text)
{
	text->file = open_memstream(&text->text, &text->size);
	assert_non_null(text->file);
}

static void add_text(struct world *world, struct text *text)
{
	fclose(text->file);
	add(world, "%s", text->text);
	free(text->text);
}

/* A policy that reaches a limit is refused with one error that names it, the limit and what there is too much of. */
static void assert_limit(struct world *world, const char *policy, const char *what)
{
	struct problem_list *problems = &world->problems;
	const struct problem *problem = NULL;
	char object[64];
	size_t i;

	snprintf(object, sizeof(object), "NetworkPolicy a/%s", policy);
	assert_int_equal(try_compile(world), -E2BIG);
	assert_null(world->policy);
	assert_int_equal(problems->errors, 1);
	for (i = 0; i < problems->count; i++)
		if (problems->items[i].severity == PROBLEM_ERROR)
			problem = &problems->items[i];
	assert_non_null(problem);
	assert_string_equal(problem->rule, "limit");
	assert_string_equal(problem->object, object);
	assert_string_equal(problem->file, "test.yaml");
	assert_non_null(strstr(problem->message, "more than "));
	if (!strstr(problem->message, what))
		fail_msg("'%s' says nothing of %s", problem->message, what);
}

#define HUGE_BEGIN                                                                                         \
	"{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {namespace: a, name: huge}, " \
	"spec: {podSelector: {}, egress: ["
#define HUGE_END "]}}\n"

/* Policy a/huge with as many rules as `put_rule` is asked for, and a pod for it. */
static struct world *world_with_huge_policy(void (*put_rule)(FILE *file, unsigned int number), unsigned int rules)
{
	struct world *world = world_new();
	struct text text;
	unsigned int i;

	text_begin(&text);
	fputs(HUGE_BEGIN, text.file);
	for (i = 0; i < rules; i++)
		put_rule(text.file, i);
	fputs(HUGE_END, text.file);
	add(world, POD, "a", "client", "", "10.0.0.1");
	add(world, POLICY, "a", "small", "podSelector: {}, egress: [{ports: [{port: 1}]}]");
	add_text(world, &text);
	return world;
}

/* More rules that differ in one port each than there are port classes. */
static void put_port_rule(FILE *file, unsigned int number)
{
	fprintf(file, "{ports: [{port: %u, protocol: %s}]}, ", number % 65535 + 1, number < 65535 ? "TCP" : "UDP");
}

static void too_many_port_classes(void **state)
{
	struct world *world = world_with_huge_policy(put_port_rule, 66000);

	(void)state;
	assert_limit(world, "huge", "port classes");
	world_free(world);
}

/* Sets of sets: what a pod is in is stored with every step that led there. */
enum { TOO_MANY_IN_A_SET = 11700 };

static void too_many_policies_on_a_pod(void **state)
{
	struct world *world = world_new();
	struct text text;
	unsigned int i;

	(void)state;
	text_begin(&text);
	for (i = 0; i < TOO_MANY_IN_A_SET; i++)
		fprintf(text.file,
			"{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {namespace: a, name: p%05u}, "
			"spec: {policyTypes: [Egress]}}\n---\n",
			i);
	add(world, POD, "a", "client", "", "10.0.0.1");
	add_text(world, &text);
	/* By name they come one after the other; one of the last is the one too many. */
	assert_int_equal(try_compile(world), -E2BIG);
	assert_int_equal(world->problems.errors, 1);
	assert_non_null(strstr(world->problems.items[0].message, "members of policy sets"));
	assert_memory_equal(world->problems.items[0].object, "NetworkPolicy a/p11", 19);
	world_free(world);
}

static void put_selector_rule(FILE *file, unsigned int number)
{
	fprintf(file, "{to: [{podSelector: {matchExpressions: [{key: k%u, operator: DoesNotExist}]}}]}, ", number);
}

static void too_many_destinations_of_a_pod(void **state)
{
	struct world *world = world_with_huge_policy(put_selector_rule, TOO_MANY_IN_A_SET);

	(void)state;
	assert_limit(world, "huge", "members of sets of destinations");
	world_free(world);
}

static void put_overlapping_rule(FILE *file, unsigned int number)
{
	fprintf(file, "{to: [{ipBlock: {cidr: 0.0.0.0/1}}, {ipBlock: {cidr: '2001:db8::%x/128'}}]}, ", number);
}

static void too_many_blocks_that_overlap(void **state)
{
	struct world *world = world_with_huge_policy(put_overlapping_rule, TOO_MANY_IN_A_SET);

	(void)state;
	assert_limit(world, "huge", "members of sets of blocks that overlap");
	world_free(world);
}

/*
 * As many port classes as there are ports, by two rules that hold at a port: one for its high byte, one for its low one.
 * And a row for each rule, since each has a destination of its own.
 */
static void put_row_rule(FILE *file, unsigned int number)
{
	unsigned int low = number - 255, high;

	fprintf(file, "{to: [{ipBlock: {cidr: 192.0.%u.%u/32}}], ports: [", number >> 8, number & 255);
	if (number < 255)
		fprintf(file, "{port: %u, endPort: %u}", number << 8, number << 8 | 255);
	for (high = 0; number >= 255 && number < 511 && high < 255; high++)
		fprintf(file, "{port: %u}, ", high << 8 | low);
	fprintf(file, "%s]}, ", number < 511 ? "" : "{port: 1}");
}

static void too_many_table_words(void **state)
{
	struct world *world = world_with_huge_policy(put_row_rule, 4300);

	(void)state;
	assert_limit(world, "huge", "words of table memory");
	world_free(world);
}

static void put_empty_rule(FILE *file, unsigned int number)
{
	(void)number;
	fputs("{}, ", file);
}

/* Sixteen million rules are more than fit in a test; what counts them does not look into them. */
static void too_many_rules(void **state)
{
	struct world *world = world_with_huge_policy(put_empty_rule, 1);
	struct object *huge = store_get(world->store, OBJECT_NETWORK_POLICY, "a", "huge");
	size_t count = huge->policy.rule_count;

	(void)state;
	huge->policy.rule_count = EGRESS_CELL_RULE_MASK - EGRESS_RULE_FIRST + 1;
	assert_limit(world, "huge", "rules");
	huge->policy.rule_count = count;
	compile(world);
	world_free(world);
}

/* ------------------------------------------------------------------ how large they are */

/* 0 or -ENOSPC, in new memory with so many words for one bank. */
static int write_into(struct world *world, size_t bank_words)
{
	size_t count = EGRESS_BLOCK_WORDS + EGRESS_BANKS * TABLES_FIXED_WORDS + bank_words - TABLES_FIXED_WORDS;
	uint32_t *words = calloc(count, sizeof(*words));
	struct tables *tables;
	int error;

	assert_non_null(words);
	assert_int_equal(tables_new(words, count, &tables), 0);
	error = tables_write(tables, world->policy, 1);
	tables_free(tables);
	free(words);
	return error;
}

/*
 * What the compiler says a bank takes is what it takes, to the word, though nodes of many sizes leave room between them.
 * Networks of IPv6 in numbers that make hash nodes of all sizes, packed and not.
 */
static void words_of_a_bank_are_those_it_takes(void **state)
{
	static const unsigned int counts[] = {3, 200, 3000, 30000};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(counts) / sizeof(*counts); i++) {
		char *text = malloc(counts[i] * 64), *end = text;
		struct policy_statistics statistics;
		struct world *world;
		unsigned int network;

		assert_non_null(text);
		for (network = 0; network < counts[i]; network++)
			end += sprintf(end, "{ipBlock: {cidr: '2a%02x:%x:%x:%x::/%u'}}, ", network * 7 % 37 % 16,
				       network * network % 911, network % 2 ? network * 31 % 4093 : 0,
				       network * 4099 % 65536, 49 + network % 16);
		world = world_with_peers(text);
		free(text);
		add(world,
		    "{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {namespace: b, name: p}, "
		    "spec: {podSelector: {}, egress: [{to: [{ipBlock: {cidr: 192.0.2.0/24}}], ports: [{port: 1}]}]}}");
		assert_int_equal(try_compile(world), 0);
		policy_statistics(world->policy, &statistics);
		assert_int_equal(write_into(world, statistics.words), 0);
		assert_int_equal(write_into(world, statistics.words - 1), -ENOSPC);
		world_free(world);
	}
}

/* ------------------------------------------------------------------ packed tries */

/* So many blocks that the trie is packed; every boundary is looked at. */
static void packed_blocks_read_the_same(void **state)
{
	enum { BLOCKS = 20000 };
	struct world *world = world_new();
	struct policy_statistics statistics;
	char *text = malloc(BLOCKS * 64), *end = text;
	unsigned int i;

	(void)state;
	assert_non_null(text);
	for (i = 0; i < BLOCKS; i++)
		end += sprintf(end, "{ipBlock: {cidr: %u.%u.%u.%u/%u}}, ", 20 + i % 100, i / 100 % 200, i * 7 % 256,
			       (i * 13 % 64) * 4, 30 + i % 3);
	add(world, POD, "a", "client", "", "10.0.0.1");
	add(world,
	    "{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {namespace: a, name: p}, "
	    "spec: {podSelector: {}, egress: [{to: [%s {ipBlock: {cidr: "
	    "'2001:db8::/44', except: ['2001:db8:1::/48']}}]}]}}",
	    text);
	free(text);
	compile(world);
	/* Each block is in a /24 of its own: unpacked, its addresses alone would take this much. */
	policy_statistics(world->policy, &statistics);
	assert_true(statistics.words < (size_t)BLOCKS * 256);
	for (i = 0; i < BLOCKS; i += 17) {
		unsigned int first = (i * 13 % 64) * 4, size = 1u << (2 - i % 3), offset;

		for (offset = 0; offset < 4; offset++) {
			struct table_verdict result;
			struct ip_address to;
			char ip[32];

			snprintf(ip, sizeof(ip), "%u.%u.%u.%u", 20 + i % 100, i / 100 % 200, i * 7 % 256,
				 first + offset);
			to = address(ip);
			/* The words alone: to explain it takes as long as there are blocks. */
			assert_int_equal(tables_verdict_pod(world->tables, "a", "client", &to, TCP, 1, &result), 0);
			/* i and the blocks of the same /24 agree modulo 20,000: there is no other. */
			assert_int_equal(result.allow, offset < size);
		}
	}
	assert_passes(world, "a/client", "2001:db8:2::", TCP, 1);
	assert_denied(world, "a/client", "2001:db8:1::", TCP, 1);
	assert_denied(world, "a/client", "2001:db8:10::", TCP, 1);
	world_free(world);
}

static void class_texts(void **state)
{
	struct world *world = small_world("192.0.2.0/24");
	struct policy_statistics statistics;
	bool found = false;
	uint32_t class;
	char text[128];

	(void)state;
	compile(world);
	policy_statistics(world->policy, &statistics);
	for (class = 0; class < statistics.classes; class++)
		found |= strstr(policy_class_text(world->policy, class, text, sizeof(text)), "192.0.2.0") != NULL;
	assert_true(found);
	assert_string_equal(policy_class_text(world->policy, (uint32_t)statistics.classes, text, sizeof(text)),
			    "unknown");
	world_free(world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(endpoints_are_pending_until_assigned),
		cmocka_unit_test(nothing_passes_before_the_first_publication),
		cmocka_unit_test(generations_follow_each_other),
		cmocka_unit_test(a_bank_that_is_forgotten_gives_its_words_back),
		cmocka_unit_test(memory_too_small),
		cmocka_unit_test(no_space_leaves_the_bank_in_force),
		cmocka_unit_test(damaged_tables_are_an_error),
		cmocka_unit_test(too_many_port_classes),
		cmocka_unit_test(too_many_policies_on_a_pod),
		cmocka_unit_test(too_many_destinations_of_a_pod),
		cmocka_unit_test(too_many_blocks_that_overlap),
		cmocka_unit_test(too_many_table_words),
		cmocka_unit_test(too_many_rules),
		cmocka_unit_test(words_of_a_bank_are_those_it_takes),
		cmocka_unit_test(packed_blocks_read_the_same),
		cmocka_unit_test(class_texts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
