/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A cluster for the tests of the compiler: objects from YAML text, compiled, written to table memory on the heap, and
 * asked for verdicts through the written words.
 */
#ifndef EGRESSD_TESTS_POLICY_WORLD_H
#define EGRESSD_TESTS_POLICY_WORLD_H

#include <errno.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model_unit.h"

#include "model/decode.h"
#include "policy/explain.h"
#include "policy/tables.h"

#define TCP  IPPROTO_TCP
#define UDP  IPPROTO_UDP
#define SCTP IPPROTO_SCTP
#define ICMP IPPROTO_ICMP

/* One line of YAML for each kind of object, to be ended by what the test is about. */
#define NAMESPACE "{apiVersion: v1, kind: Namespace, metadata: {name: %s, labels: {%s}}}"
#define POD                                                                               \
	"{apiVersion: v1, kind: Pod, metadata: {namespace: %s, name: %s, labels: {%s}}, " \
	"status: {phase: Running, podIPs: [{ip: '%s'}]}}"
#define POD_WITH_PORTS                                                                    \
	"{apiVersion: v1, kind: Pod, metadata: {namespace: %s, name: %s, labels: {%s}}, " \
	"spec: {containers: [{name: main, ports: [%s]}]}, status: {phase: Running, podIPs: [{ip: '%s'}]}}"
#define NODE                                                  \
	"{apiVersion: v1, kind: Node, metadata: {name: 'n'}, " \
	"status: {addresses: [{type: InternalIP, address: '%s'}]}}"
#define POLICY \
	"{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {namespace: %s, name: %s}, spec: {%s}}"
#define SERVICE "{apiVersion: v1, kind: Service, metadata: {namespace: %s, name: %s}, spec: {%s}}"
#define SLICE                                                                                         \
	"{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {namespace: %s, name: %s, " \
	"labels: {kubernetes.io/service-name: %s}}, addressType: %s, ports: [%s], endpoints: [%s]}"

struct world {
	struct store *store;
	struct policy *policy;
	struct tables *tables;
	uint32_t *words;
	size_t word_count;
	struct problem_list problems;
	struct ip_address node_addresses[4];
	struct policy_options options;
};

static inline struct world *world_new(void)
{
	struct world *world = calloc(1, sizeof(*world));

	assert_non_null(world);
	assert_int_equal(store_new(&world->store), 0);
	world->options.node_addresses = world->node_addresses;
	world->options.all_pods_local = true;
	return world;
}

static inline void world_forget_tables(struct world *world)
{
	tables_free(world->tables);
	policy_free(world->policy);
	free(world->words);
	world->tables = NULL;
	world->policy = NULL;
	world->words = NULL;
}

static inline void world_free(struct world *world)
{
	world_forget_tables(world);
	store_free(world->store);
	problem_list_clear(&world->problems);
	free(world);
}

/* Decodes one or more documents; the objects are the caller's to clear. */
static inline void decode_text(const char *text, struct object_list *objects)
{
	struct problem_list problems = {0};
	int error = decode_buffer("test.yaml", text, strlen(text), objects, &problems);

	if (error)
		fail_msg("%s: %s", text, problems.count ? problems.items[0].message : "no reason");
	problem_list_clear(&problems);
}

/* Adds the documents of a printf format to the store. */
static inline void __attribute__((format(printf, 2, 3))) add(struct world *world, const char *format, ...)
{
	struct object_list objects = {0};
	va_list arguments;
	char *text;
	size_t i;
	int length;

	va_start(arguments, format);
	length = vsnprintf(NULL, 0, format, arguments);
	va_end(arguments);
	text = malloc((size_t)length + 1);
	assert_non_null(text);
	va_start(arguments, format);
	vsnprintf(text, (size_t)length + 1, format, arguments);
	va_end(arguments);
	decode_text(text, &objects);
	for (i = 0; i < objects.count; i++)
		assert_int_equal(store_put(world->store, objects.items[i]), 0);
	object_list_clear(&objects);
	free(text);
}

static inline struct ip_address address(const char *text)
{
	struct ip_address result;

	assert_int_equal(ip_address_parse(text, &result), 0);
	return result;
}

static inline void add_node_address(struct world *world, const char *text)
{
	assert_true(world->options.node_address_count < 4);
	world->node_addresses[world->options.node_address_count++] = address(text);
}

static inline int try_compile(struct world *world)
{
	problem_list_clear(&world->problems);
	return policy_compile(world->store, &world->options, &world->policy, &world->problems);
}

static inline void write_tables(struct world *world)
{
	world->word_count = (tables_words(world->policy) + 255) / 256 * 256;
	world->words = aligned_alloc(64, world->word_count * sizeof(*world->words));
	assert_non_null(world->words);
	memset(world->words, 0, world->word_count * sizeof(*world->words));
	assert_int_equal(tables_new(world->words, world->word_count, &world->tables), 0);
	assert_int_equal(tables_write(world->tables, world->policy, 1), 0);
	tables_publish(world->tables);
}

static inline void compile(struct world *world)
{
	world_forget_tables(world);
	assert_int_equal(try_compile(world), 0);
	write_tables(world);
}

static inline void split_name(const char *pod, char namespace[64], const char **name)
{
	const char *slash = strchr(pod, '/');

	assert_non_null(slash);
	snprintf(namespace, 64, "%.*s", (int)(slash - pod), pod);
	*name = slash + 1;
}

/* The verdict from the words; the explanation from the objects must not contradict it. */
static inline struct table_verdict verdict(struct world *world, const char *from, const char *to, uint8_t protocol,
					   uint16_t port)
{
	const struct flow flow = {.destination = address(to), .protocol = protocol, .port = port};
	struct table_verdict result;
	struct explanation explanation;
	char namespace[64];
	const char *name;

	if (!world->tables)
		compile(world);
	split_name(from, namespace, &name);
	assert_int_equal(tables_verdict_pod(world->tables, namespace, name, &flow.destination, protocol, port, &result),
			 0);
	assert_int_equal(policy_explain(world->policy, namespace, name, &flow, &explanation), 0);
	if (explanation.allow != result.allow)
		fail_msg("%s to %s %u/%u: tables %d, explanation %d (%s)", from, to, protocol, port, result.allow,
			 explanation.allow, explanation.reason);
	explanation_clear(&explanation);
	return result;
}

static inline bool passes(struct world *world, const char *from, const char *to, uint8_t protocol, uint16_t port)
{
	return verdict(world, from, to, protocol, port).allow;
}

static inline uint32_t deciding_rule(struct world *world, const char *from, const char *to, uint8_t protocol,
				     uint16_t port)
{
	return verdict(world, from, to, protocol, port).cell & EGRESS_CELL_RULE_MASK;
}

#define assert_passes(...) assert_true(passes(__VA_ARGS__))
#define assert_denied(...) assert_false(passes(__VA_ARGS__))

/* A problem of this rule whose message holds the text. */
static inline const struct problem *find_problem(const struct world *world, const char *rule, const char *text)
{
	size_t i;

	for (i = 0; i < world->problems.count; i++)
		if (strcmp(world->problems.items[i].rule, rule) == 0 && strstr(world->problems.items[i].message, text))
			return &world->problems.items[i];
	return NULL;
}

#endif
