/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How long the compiler takes, and how much memory its tables: `compile [ROUNDS]`, medians of processor time. Where a
 * shape says so, also how long it takes until a pod that comes or goes is in the tables in force.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "model/decode.h"
#include "policy/tables.h"
#include "result.h"

#define ROUNDS_MAX 101

struct shape {
	const char *name;
	unsigned int pods, local, namespaces, policies, services, blocks;
	bool changes;        /* pods come and go */
	bool all_pods_local; /* as the offline tools compile: every pod is a source */
};

static const struct shape shapes[] = {
	{.name = "250 of 20,000 pods, 1,000 policies",
	 .pods = 20000,
	 .local = 250,
	 .namespaces = 1000,
	 .policies = 1000},
	{.name = "250 of 20,000 pods, 2,000 policies, 2,000 services",
	 .pods = 20000,
	 .local = 250,
	 .namespaces = 1000,
	 .policies = 2000,
	 .services = 2000},
	{.name = "10,000 pods, all of them sources, 1,000 namespaces, 2,000 policies",
	 .pods = 10000,
	 .namespaces = 1000,
	 .policies = 2000,
	 .all_pods_local = true},
	{.name = "100 pods",
	 .pods = 100,
	 .local = 10,
	 .namespaces = 10,
	 .policies = 10,
	 .changes = true},
	{.name = "10,000 pods",
	 .pods = 10000,
	 .local = 100,
	 .namespaces = 100,
	 .policies = 200,
	 .changes = true},
	{.name = "100,000 pods",
	 .pods = 100000,
	 .local = 100,
	 .namespaces = 1000,
	 .policies = 2000,
	 .changes = true},
	{.name = "1,000,000 CIDRs in a policy",
	 .pods = 10,
	 .local = 10,
	 .namespaces = 1,
	 .policies = 1,
	 .blocks = 1000000},
};

static void check(int error, const char *what)
{
	if (error) {
		fprintf(stderr, "error: %s: %s\n", what, strerror(-error));
		exit(2);
	}
}

/* Milliseconds of processor time: what else runs on the machine does not count. */
static double now(void)
{
	return clock_seconds(CLOCK_PROCESS_CPUTIME_ID) * 1e3;
}

/* Text of YAML documents that grows. */
struct manifest {
	char *text;
	size_t size;
	FILE *file;
};

static void manifest_begin(struct manifest *manifest)
{
	manifest->file = open_memstream(&manifest->text, &manifest->size);
	check(manifest->file ? 0 : -errno, "memory");
}

static void manifest_end(struct manifest *manifest, struct store *store)
{
	struct object_list objects = {0};
	struct problem_list problems = {0};
	size_t i;

	fclose(manifest->file);
	check(decode_buffer("bench.yaml", manifest->text, manifest->size, &objects, &problems),
	      problems.count ? problems.items[0].message : "decode");
	for (i = 0; i < objects.count; i++)
		check(store_put(store, objects.items[i]), "store");
	object_list_clear(&objects);
	problem_list_clear(&problems);
	free(manifest->text);
}

static void add_namespaces(struct store *store, const struct shape *shape)
{
	struct manifest manifest;
	unsigned int i;

	manifest_begin(&manifest);
	for (i = 0; i < shape->namespaces; i++)
		fprintf(manifest.file,
			"{apiVersion: v1, kind: Namespace, metadata: {name: n%u, labels: {team: t%u}}}\n---\n", i,
			i % 20);
	manifest_end(&manifest, store);
}

/* Ten workloads a namespace; the local pods are spread over the namespaces as a scheduler would. */
static void add_pods(struct store *store, const struct shape *shape)
{
	unsigned int begin, i;

	for (begin = 0; begin < shape->pods; begin += 5000) {
		struct manifest manifest;

		manifest_begin(&manifest);
		for (i = begin; i < shape->pods && i < begin + 5000; i++)
			fprintf(manifest.file,
				"{apiVersion: v1, kind: Pod, metadata: {namespace: n%u, name: pod-%u, labels: {app: "
				"app%u, tier: t%u, "
				"pod-template-hash: h%u, version: v1}%s}, spec: {containers: [{name: c, ports: "
				"[{name: http, containerPort: 8080}]}]}, status: {phase: Running, podIP: "
				"10.%u.%u.%u}}\n---\n",
				i % shape->namespaces, i, i / shape->namespaces % 10, i % 3, i / shape->namespaces % 10,
				i < shape->local ? ", annotations: {egressd.io/interface: veth0}" : "", i >> 16,
				i >> 8 & 255, i & 255);
		manifest_end(&manifest, store);
	}
}

/*
 * What teams write: deny by default with DNS; own namespace; another team's app; a block with an except; a port by
 * name.
 */
static void add_policies(struct store *store, const struct shape *shape)
{
	struct manifest manifest;
	unsigned int i;

	manifest_begin(&manifest);
	for (i = 0; i < shape->policies && !shape->blocks; i++)
		fprintf(manifest.file,
			"{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {namespace: n%u, name: "
			"p%u}, spec: "
			"{podSelector: %s, policyTypes: [Egress], egress: ["
			"{to: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: n0}}, podSelector: "
			"{matchLabels: "
			"{app: app0}}}], ports: [{port: 53, protocol: UDP}, {port: 53}]}, "
			"{to: [{podSelector: {matchLabels: {app: app%u}}}], ports: [{port: http}]}, "
			"{to: [{namespaceSelector: {matchLabels: {team: t%u}}, podSelector: {matchLabels: {app: "
			"app%u}}}, "
			"{ipBlock: {cidr: %u.%u.0.0/16, except: [%u.%u.%u.0/24]}}], ports: [{port: %u}]}]}}\n---\n",
			i % shape->namespaces, i, i < shape->namespaces ? "{}" : "{matchLabels: {tier: t1}}", i % 10,
			i % 20, i % 7, 20 + i % 150, i % 256, 20 + i % 150, i % 256, i % 200, 443 + i % 30);
	manifest_end(&manifest, store);
}

static void add_blocks(struct store *store, const struct shape *shape)
{
	struct manifest manifest;
	uint32_t random = 1;
	unsigned int i;

	manifest_begin(&manifest);
	fprintf(manifest.file,
		"{\"apiVersion\":\"networking.k8s.io/v1\",\"kind\":\"NetworkPolicy\","
		"\"metadata\":{\"namespace\":\"n0\","
		"\"name\":\"p\"},\"spec\":{\"podSelector\":{},\"egress\":[{\"to\":[");
	for (i = 0; i < shape->blocks; i++) {
		random = random * 1664525 + 1013904223;
		fprintf(manifest.file, "%s{\"ipBlock\":{\"cidr\":\"%u.%u.%u.%u/%u\"}}", i ? "," : "", random >> 24,
			random >> 16 & 255, random >> 8 & 255, random & 255, 20 + random % 13);
	}
	fprintf(manifest.file, "]}]}}\n");
	manifest_end(&manifest, store);
}

static void add_services(struct store *store, const struct shape *shape)
{
	struct manifest manifest;
	unsigned int i;

	manifest_begin(&manifest);
	for (i = 0; i < shape->services; i++) {
		unsigned int namespace = i % shape->namespaces, app = i / shape->namespaces % 10;
		unsigned int pod = namespace + app * shape->namespaces;

		fprintf(manifest.file,
			"{apiVersion: v1, kind: Service, metadata: {namespace: n%u, name: s%u}, spec: {clusterIP: "
			"172.16.%u.%u, "
			"selector: {app: app%u}, ports: [{port: 80, targetPort: 8080}, {name: x, port: 443, "
			"targetPort: 8443}]}}\n---\n"
			"{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {namespace: n%u, name: "
			"s%u-1, labels: "
			"{kubernetes.io/service-name: s%u}}, addressType: IPv4, ports: [{port: 8080}, {name: x, "
			"port: 8443}], "
			"endpoints: [{addresses: [10.%u.%u.%u]}]}\n---\n",
			namespace, i, i >> 8, i & 255, app, namespace, i, i, pod >> 16, pod >> 8 & 255, pod & 255);
	}
	manifest_end(&manifest, store);
}

struct times {
	double compile[ROUNDS_MAX], write[ROUNDS_MAX];
};

static void report(const char *what, const struct shape *shape, double value, const char *unit)
{
	char name[200];
	const struct result result = {.group = "update", .program = name, .value = value, .unit = unit};

	snprintf(name, sizeof(name), "%s, %s", what, shape->name);
	result_print(&result);
}

/* A pod of the cluster's first application at an address that nobody has. */
static struct object *another_pod(const struct shape *shape)
{
	static const char format[] =
		"{apiVersion: v1, kind: Pod, metadata: {namespace: n0, name: another, labels: {app: app0, tier: t0, "
		"pod-template-hash: h0, version: v1}}, spec: {containers: [{name: c, ports: [{name: http, "
		"containerPort: 8080}]}]}, status: {phase: Running, podIP: 10.%u.255.255}}";
	struct object_list objects = {0};
	struct problem_list problems = {0};
	struct object *pod;
	char text[sizeof(format) + 16];

	snprintf(text, sizeof(text), format, shape->pods >> 16);
	check(decode_buffer("pod.yaml", text, strlen(text), &objects, &problems), "decode");
	pod = object_ref(objects.items[0]);
	object_list_clear(&objects);
	problem_list_clear(&problems);
	return pod;
}

#define CHANGES 100

/* Microseconds until a pod that came, and one that went, is in the tables that packets are judged by. */
static void run_changes(const struct shape *shape, struct tables *tables)
{
	struct object *pod = another_pod(shape);
	double added[CHANGES], removed[CHANGES], begin;
	int i;

	for (i = 0; i < CHANGES; i++) {
		begin = now();
		check(tables_pod_changed(tables, NULL, pod), "a pod comes");
		added[i] = (now() - begin) * 1e3;
		begin = now();
		check(tables_pod_changed(tables, pod, NULL), "a pod goes");
		removed[i] = (now() - begin) * 1e3;
	}
	report("pod added to the tables", shape, median(added, CHANGES), "\u00b5s");
	report("pod removed from the tables", shape, median(removed, CHANGES), "\u00b5s");
	object_unref(pod);
}

static void run_round(struct store *store, const struct shape *shape, unsigned int round, struct times *times,
		      double *megabytes)
{
	const struct policy_options options = {.all_pods_local = shape->all_pods_local};
	struct problem_list problems = {0};
	struct policy *policy;
	struct tables *tables;
	size_t words;
	uint32_t *memory;
	double begin = now();

	check(policy_compile(store, &options, &policy, &problems), "compile");
	times->compile[round] = now() - begin;
	words = (tables_words(policy) + 255) / 256 * 256;
	*megabytes = (double)words * 4 / (1 << 20);
	memory = aligned_alloc(64, words * sizeof(*memory));
	check(memory ? 0 : -ENOMEM, "memory");
	memset(memory, 0, words * sizeof(*memory));
	check(tables_new(memory, words, &tables), "tables");
	begin = now();
	check(tables_write(tables, policy, 1), "write");
	times->write[round] = now() - begin;
	tables_publish(tables);
	if (shape->changes && !round)
		run_changes(shape, tables);
	tables_free(tables);
	policy_free(policy);
	free(memory);
	problem_list_clear(&problems);
}

static void run_shape(const struct shape *shape, unsigned int rounds)
{
	double megabytes = 0;
	struct times times;
	struct store *store;
	unsigned int i;

	check(store_new(&store), "store");
	add_namespaces(store, shape);
	add_pods(store, shape);
	add_policies(store, shape);
	add_services(store, shape);
	if (shape->blocks)
		add_blocks(store, shape);
	for (i = 0; i < rounds; i++)
		run_round(store, shape, i, &times, &megabytes);
	report("full compile", shape, median(times.compile, rounds), "ms");
	report("tables written", shape, median(times.write, rounds), "ms");
	report("tables", shape, megabytes, "MB");
	store_free(store);
}

int main(int argc, char **argv)
{
	unsigned int rounds = argc > 1 ? (unsigned int)strtoul(argv[1], NULL, 10) : 5;
	size_t i;

	if (!rounds || rounds > ROUNDS_MAX || argc > 2) {
		fprintf(stderr, "usage: compile [ROUNDS], 1 to %d\n", ROUNDS_MAX);
		return 2;
	}
	for (i = 0; i < ARRAY_SIZE(shapes); i++)
		run_shape(&shapes[i], rounds);
	return 0;
}
