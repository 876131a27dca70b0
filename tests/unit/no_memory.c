/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What model/, policy/, and a directory and the API as sources do without memory: every allocation of theirs fails
 * once, the first, the second and so on. The call must say so, leave its out-parameter alone and leak nothing (the
 * sanitized build looks), and work the next time.
 */
#include <errno.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../lib/encoded.h"
#include "../lib/short_memory.h"
#include "base/cleanup.h"
#include "policy_world.h"
#include "source/directory.h"
#include "source/kube.h"
#include "source/kube_reflector.h"

#define DOCUMENTS                                                                                                     \
	"{apiVersion: v1, kind: Namespace, metadata: {name: a, labels: {team: x}}}\n---\n"                            \
	"{apiVersion: v1, kind: Node, metadata: {name: m}, status: {addresses: [{type: InternalIP, address: "         \
	"192.0.2.1}]}}\n---\n"                                                                                        \
	"{apiVersion: v1, kind: Pod, metadata: {namespace: a, name: web, labels: {app: web, tier: front}}, spec: "    \
	"{containers: [{name: main, ports: [{name: http, containerPort: 8080}]}]}, status: {phase: Running, podIPs: " \
	"[{ip: 10.0.0.1}, {ip: 'fd00::1'}]}}\n---\n"                                                                  \
	"{apiVersion: v1, kind: Pod, metadata: {namespace: a, name: db, labels: {app: db}}, spec: {containers: "      \
	"[{name: main, ports: [{name: sql, containerPort: 5432, hostPort: 15432}]}]}, status: {phase: Running, "      \
	"podIPs: [{ip: 10.0.0.2}]}}\n---\n"                                                                           \
	"{apiVersion: v1, kind: Service, metadata: {namespace: a, name: db}, spec: {selector: {app: db}, clusterIPs: " \
	"[10.9.0.1], ports: [{name: sql, port: 80, targetPort: sql}]}}\n---\n"                                        \
	"{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {namespace: a, name: db-1, labels: "        \
	"{kubernetes.io/service-name: db}}, addressType: IPv4, ports: [{name: sql, port: 5432}], endpoints: "         \
	"[{addresses: [10.0.0.2]}]}\n---\n"                                                                           \
	"{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {namespace: a, name: p}, spec: "           \
	"{podSelector: {matchExpressions: [{key: app, operator: In, values: [web, db]}]}, policyTypes: [Egress], "    \
	"egress: [{to: [{podSelector: {matchLabels: {app: db}}, namespaceSelector: {}}], ports: [{port: sql}, {port: " \
	"1000, endPort: 2000}]}, {to: [{ipBlock: {cidr: 198.51.100.0/24, except: [198.51.100.128/25]}}, {ipBlock: "   \
	"{cidr: '2001:db8::/32'}}]}, {ports: [{protocol: UDP, port: 53}]}]}}\n"

static void objects_are_decoded_whole_or_not_at_all(void **state)
{
	bool enough = false;

	(void)state;
	for (long number = 0; !enough; number++) {
		struct object_list objects = {0};
		struct problem_list problems = {0};
		int error;

		fail_after(number);
		error = decode_buffer("test.yaml", DOCUMENTS, sizeof(DOCUMENTS) - 1, &objects, &problems);
		enough = had_enough();
		assert_int_equal(error, enough ? 0 : -ENOMEM);
		assert_int_equal(objects.count, enough ? 7 : 0);
		object_list_clear(&objects);
		problem_list_clear(&problems);
	}
}

static struct world *full_world(void)
{
	struct world *world = world_new();

	add(world, "%s", DOCUMENTS);
	add_node_address(world, "192.0.2.1");
	return world;
}

static void policies_are_compiled_whole_or_not_at_all(void **state)
{
	struct world *world = full_world();
	bool enough = false;

	(void)state;
	for (long number = 0; !enough; number++) {
		int error;

		fail_after(number);
		error = try_compile(world);
		enough = had_enough();
		assert_int_equal(error, enough ? 0 : -ENOMEM);
		assert_true(enough == (world->policy != NULL));
	}
	write_tables(world);
	assert_passes(world, "a/web", "10.0.0.2", TCP, 5432);
	assert_denied(world, "a/web", "198.51.100.129", TCP, 80);
	world_free(world);
}

static void tables_that_are_not_written_whole_can_be_written_again(void **state)
{
	struct world *world = full_world();
	bool enough = false;

	(void)state;
	assert_int_equal(try_compile(world), 0);
	world->word_count = (tables_words(world->policy) + 255) / 256 * 256;
	world->words = aligned_alloc(64, world->word_count * sizeof(*world->words));
	assert_non_null(world->words);
	memset(world->words, 0, world->word_count * sizeof(*world->words));
	for (long number = 0; !enough; number++) {
		struct tables *tables = NULL;
		int error;

		fail_after(number);
		error = tables_new(world->words, world->word_count, &tables);
		if (!error)
			error = tables_write(tables, world->policy, 1);
		enough = had_enough();
		assert_int_equal(error, enough ? 0 : -ENOMEM);
		if (enough)
			world->tables = tables;
		else
			tables_free(tables);
	}
	tables_publish(world->tables);
	assert_passes(world, "a/web", "10.9.0.1", TCP, 80);
	assert_denied(world, "a/web", "10.9.0.1", TCP, 81);
	world_free(world);
}

static void flows_are_explained_whole_or_not_at_all(void **state)
{
	struct world *world = full_world();
	bool enough = false;

	(void)state;
	compile(world);
	for (long number = 0; !enough; number++) {
		const struct flow flow = {.destination = address("198.51.100.129"), .protocol = TCP, .port = 80};
		struct explanation explanation = {0};
		int error;

		fail_after(number);
		error = policy_explain(world->policy, "a", "web", &flow, &explanation);
		enough = had_enough();
		assert_int_equal(error, enough ? 0 : -ENOMEM);
		explanation_clear(&explanation);
	}
	world_free(world);
}

static void pods_are_made_whole_or_not_at_all(void **state)
{
	struct object *pod = NULL;
	bool enough = false;

	(void)state;
	for (long number = 0; !enough; number++) {
		int error;

		fail_after(number);
		error = object_new_pod("a", "web", "1-2", &pod);
		enough = had_enough();
		assert_int_equal(error, enough ? 0 : -ENOMEM);
		assert_true(enough == (pod != NULL));
	}
	assert_string_equal(pod->namespace, "a");
	assert_string_equal(pod->name, "web");
	assert_string_equal(pod->uid, "1-2");
	assert_int_equal(pod->pod.phase, POD_RUNNING);
	object_unref(pod);
}

/* Where it comes from may be lost, as with the name of a file that is no UTF-8. */
static json_t *without_place(json_t *json)
{
	json_object_del(json_object_get(json, "metadata"), "annotations");
	return json;
}

/* jansson's own allocations. What is half an object would be taken for a whole one by whoever reads it. */
static void objects_are_encoded_whole_or_not_at_all(void **state)
{
	struct object_list objects = {0};

	(void)state;
	decode_text(DOCUMENTS, &objects);
	json_set_alloc_funcs(__wrap_malloc, free);
	for (size_t i = 0; i < objects.count; i++) {
		bool enough = false;
		json_t *whole = without_place(encoded(objects.items[i]));

		assert_non_null(whole);
		for (long number = 0; !enough; number++) {
			_cleanup_free_ char *text = NULL;
			json_t *json;

			fail_after(number);
			text = encoded_text(objects.items[i]);
			enough = had_enough();
			json = text ? json_loads(text, 0, NULL) : NULL;
			if (json && !json_equal(without_place(json), whole))
				fail_msg("object %zu is not whole where allocation %ld fails", i, number);
			json_decref(json);
		}
		json_decref(whole);
	}
	json_set_alloc_funcs(malloc, free);
	object_list_clear(&objects);
}

/* ---------------------------------------------------------------- a directory */

struct manifests {
	char path[32];
	struct directory_source *source;
	struct store *store;
};

static void put_file(const struct manifests *manifests, const char *name, const char *namespaces)
{
	char path[64];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", manifests->path, name);
	if (!namespaces) {
		unlink(path);
		return;
	}
	file = fopen(path, "we");
	assert_non_null(file);
	/* A letter each. */
	for (const char *letter = namespaces; *letter; letter++)
		fprintf(file, "---\n{apiVersion: v1, kind: Namespace, metadata: {name: n%c, labels: {of: %s}}}\n", *letter,
			namespaces);
	assert_int_equal(fclose(file), 0);
}

static void manifests_new(struct manifests *manifests)
{
	strcpy(manifests->path, "/tmp/egressd-memory.XXXXXX");
	assert_non_null(mkdtemp(manifests->path));
	assert_int_equal(directory_source_new(manifests->path, &manifests->source), 0);
	assert_int_equal(store_new(&manifests->store), 0);
}

static void manifests_free(struct manifests *manifests)
{
	static const char *const names[] = {"a.yaml", "b.yaml", "c.yaml", "d.yaml"};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		put_file(manifests, names[i], NULL);
	assert_int_equal(rmdir(manifests->path), 0);
	directory_source_free(manifests->source);
	store_free(manifests->store);
}

static int sync_manifests(struct directory_source *source, struct store *store)
{
	struct problem_list problems = {0};
	bool changed;
	size_t bad;
	int error;

	directory_source_dispatch(source);
	error = directory_source_sync(source, store, &problems, &changed, &bad);
	problem_list_clear(&problems);
	return error;
}

/* As whoever reads the directory for the first time sees it. */
static void assert_as_new(const struct manifests *manifests, long first, long second)
{
	struct object *const *found, *const *expected;
	struct directory_source *source;
	size_t found_count, count;
	struct store *store;

	assert_int_equal(directory_source_new(manifests->path, &source), 0);
	assert_int_equal(store_new(&store), 0);
	assert_int_equal(sync_manifests(source, store), 0);
	found = store_list(manifests->store, OBJECT_NAMESPACE, &found_count);
	expected = store_list(store, OBJECT_NAMESPACE, &count);
	if (found_count != count)
		fail_msg("%zu namespaces instead of %zu where allocations %ld and %ld failed", found_count, count, first,
			 second);
	for (size_t i = 0; i < count; i++)
		if (!object_equal(found[i], expected[i]) || strcmp(found[i]->place.file, expected[i]->place.file))
			fail_msg("%s is another one where allocations %ld and %ld failed", expected[i]->name, first,
				 second);
	store_free(store);
	directory_source_free(source);
}

/* Changes, one sync of which fails, then others, one sync of which fails, and others; false: the first did not fail. */
static bool changes_without_memory(long first, long second, bool *second_failed)
{
	struct manifests manifests;
	bool failed_first;

	manifests_new(&manifests);
	put_file(&manifests, "a.yaml", "uvw");
	put_file(&manifests, "b.yaml", "vwx");
	put_file(&manifests, "c.yaml", "wxy");
	assert_int_equal(sync_manifests(manifests.source, manifests.store), 0);
	put_file(&manifests, "a.yaml", "vx");
	put_file(&manifests, "b.yaml", "uwy");
	put_file(&manifests, "d.yaml", "uvz");
	fail_after(first);
	sync_manifests(manifests.source, manifests.store);
	failed_first = !had_enough();
	put_file(&manifests, "a.yaml", "uz");
	put_file(&manifests, "b.yaml", NULL);
	put_file(&manifests, "c.yaml", "wv");
	fail_after(second);
	sync_manifests(manifests.source, manifests.store);
	*second_failed = !had_enough();
	put_file(&manifests, "d.yaml", NULL);
	put_file(&manifests, "b.yaml", "vy");
	assert_int_equal(sync_manifests(manifests.source, manifests.store), 0);
	assert_as_new(&manifests, first, second);
	manifests_free(&manifests);
	return failed_first;
}

static void a_directory_is_read_whole_the_next_time(void **state)
{
	bool first_failed = true;

	(void)state;
	for (long first = 0; first_failed; first++) {
		bool second_failed = true;

		for (long second = 0; second_failed; second += 5)
			first_failed = changes_without_memory(first, second, &second_failed);
	}
}

/* Memory that is short for one object keeps no other from being known. */
static void a_directory_hands_over_all_that_it_can(void **state)
{
	bool enough = false;
	size_t short_of_one = 0;

	(void)state;
	for (long number = 0; !enough; number++) {
		struct manifests manifests;
		size_t count;

		manifests_new(&manifests);
		put_file(&manifests, "a.yaml", "uvwxyz");
		fail_after(number);
		if (sync_manifests(manifests.source, manifests.store))
			assert_false(had_enough());
		enough = had_enough();
		count = store_count(manifests.store, OBJECT_NAMESPACE);
		if (count && count < 5)
			fail_msg("%zu of 6 where allocation %ld fails", count, number);
		short_of_one += count == 5;
		manifests_free(&manifests);
	}
	assert_true(short_of_one >= 6);
}

/* ---------------------------------------------------------------- the API */

/* These stand in the place of source/kube_reflector.c: what comes from the API comes from the test. */
struct kube_reflector {
	const struct kube_resource *resource;
	struct kube_reflector_handler handler;
};

static struct kube_reflector *reflectors[8];

static struct kube_reflector **place_of(const struct kube_reflector *reflector)
{
	size_t i = 0;

	while (reflectors[i] != reflector)
		i++;
	return &reflectors[i];
}

int kube_reflector_new(const struct kube_resource *resource, struct kube_client *client, struct event_base *loop,
		       const struct kube_reflector_handler *handler, struct kube_reflector **out)
{
	struct kube_reflector *reflector = malloc(sizeof(*reflector));

	(void)client;
	(void)loop;
	if (!reflector)
		return -ENOMEM;
	*reflector = (struct kube_reflector){resource, *handler};
	*place_of(NULL) = *out = reflector;
	return 0;
}

void kube_reflector_free(struct kube_reflector *reflector)
{
	if (reflector)
		*place_of(reflector) = NULL;
	free(reflector);
}

bool kube_reflector_synced(const struct kube_reflector *reflector)
{
	(void)reflector;
	return true;
}

const char *kube_reflector_problem(const struct kube_reflector *reflector)
{
	(void)reflector;
	return NULL;
}

void kube_reflector_statistics(const struct kube_reflector *reflector, struct kube_reflector_statistics *out)
{
	(void)reflector;
	*out = (struct kube_reflector_statistics){0};
}

/* `selector`: how the selector begins; NULL: any. */
static const struct kube_reflector *reflector_of(enum object_kind kind, const char *selector)
{
	for (size_t i = 0; i < ARRAY_SIZE(reflectors); i++) {
		const struct kube_resource *resource = reflectors[i] ? reflectors[i]->resource : NULL;

		if (resource && resource->kind == kind &&
		    (!selector || !strncmp(resource->field_selector, selector, strlen(selector))))
			return reflectors[i];
	}
	fail_msg("it is not followed");
	return NULL;
}

#define HERE "spec.nodeName=here"
#define ELSEWHERE "spec.nodeName!=here"

/* What a watch of pods says of a/web. */
struct event_of_web {
	const char *half; /* HERE or ELSEWHERE; NULL: nothing is said */
	const char *pod;  /* NULL: it is gone */
};

/* Where `number` is not negative that allocation fails. */
static int tell_object(enum object_kind kind, const char *selector, const char *text, long number)
{
	const struct kube_reflector_handler *handler = &reflector_of(kind, selector)->handler;
	struct problem_list problems = {0};
	struct api_object object = {0};
	int error;

	assert_int_equal(decode_api_object(kind, text, strlen(text), &object, &problems), 0);
	assert_non_null(object.object);
	fail_after(number);
	error = handler->put(&object, &problems, handler->data);
	api_object_clear(&object);
	problem_list_clear(&problems);
	return error;
}

static int tell(const struct event_of_web *event, long number)
{
	const struct kube_reflector_handler *handler;

	if (!event->half)
		return 0;
	if (event->pod)
		return tell_object(OBJECT_POD, event->half, event->pod, number);
	handler = &reflector_of(OBJECT_POD, event->half)->handler;
	fail_after(number);
	return handler->remove("a", "web", handler->data);
}

struct cluster {
	struct event_base *loop;
	struct source *source;
	struct store *store;
};

static void ignore(void *data)
{
	(void)data;
}

static int sync_cluster(struct cluster *cluster)
{
	struct problem_list problems = {0};
	bool changed;
	size_t bad;
	int error = source_sync(cluster->source, cluster->store, &problems, &changed, &bad);

	problem_list_clear(&problems);
	return error;
}

/* With a policy and a pod for which pods of other nodes matter. */
static void cluster_new(struct cluster *cluster)
{
	static const char policy[] = "{\"metadata\": {\"namespace\": \"a\", \"name\": \"p\"}, \"spec\": {\"podSelector\": "
				     "{}, \"policyTypes\": [\"Egress\"], \"egress\": [{\"to\": [{\"podSelector\": {}}]}]}}";
	static const char pod[] = "{\"metadata\": {\"namespace\": \"a\", \"name\": \"other\"}, \"spec\": "
				  "{\"nodeName\": \"here\"}}";
	const struct kube_source_options options = {.node_name = "here", .silence = 30};
	struct kube_config config = {0};

	cluster->loop = event_base_new();
	assert_non_null(cluster->loop);
	assert_int_equal(store_new(&cluster->store), 0);
	assert_int_equal(kube_source_new(&config, &options, &cluster->source), 0);
	assert_int_equal(source_start(cluster->source, cluster->loop, ignore, NULL), 0);
	assert_int_equal(tell_object(OBJECT_NETWORK_POLICY, NULL, policy, -1), 0);
	assert_int_equal(tell_object(OBJECT_POD, HERE, pod, -1), 0);
	assert_int_equal(sync_cluster(cluster), 0);
	assert_int_equal(store_count(cluster->store, OBJECT_POD), 1);
}

static void cluster_free(struct cluster *cluster)
{
	source_free(cluster->source);
	store_free(cluster->store);
	event_base_free(cluster->loop);
}

/* Where it fails it comes again, from a watch that begins anew. False: nothing failed. */
static bool tell_without_memory(struct cluster *cluster, const struct event_of_web *event, long number)
{
	int told = tell(event, number), synced = told ? told : sync_cluster(cluster);
	bool failed_once = !had_enough();

	/* Whoever has all of it does not wait again, which would keep it from being told of changes. */
	assert_false(source_waits(cluster->source, NULL));
	if (told)
		assert_int_equal(tell(event, -1), 0);
	if (synced)
		assert_int_equal(sync_cluster(cluster), 0);
	return failed_once;
}

static void assert_web_is(const struct cluster *cluster, const char *uid, const char *name, long number)
{
	const struct object *web = store_get(cluster->store, OBJECT_POD, "a", "web");

	if (uid ? !web || strcmp(web->uid, uid) : !!web)
		fail_msg("%s: expected %s where allocation %ld fails, found %s", name, uid ? uid : "none", number,
			 web ? web->uid : "none");
}

/* A policy and then two pods of this node, handed over at once: memory that is short for one keeps no other away. */
static void the_api_hands_over_all_that_it_can(void **state)
{
	static const char policy[] = "{\"metadata\": {\"namespace\": \"a\", \"name\": \"q\"}, \"spec\": {\"podSelector\": "
				     "{}, \"policyTypes\": [\"Egress\"]}}";
	static const char *const pods[] = {
		"{\"metadata\": {\"namespace\": \"a\", \"name\": \"one\"}, \"spec\": {\"nodeName\": \"here\"}}",
		"{\"metadata\": {\"namespace\": \"a\", \"name\": \"two\"}, \"spec\": {\"nodeName\": \"here\"}}",
	};
	bool enough = false;
	size_t short_of_one = 0;

	(void)state;
	for (long number = 0; !enough; number++) {
		struct cluster cluster;
		size_t count;

		cluster_new(&cluster);
		assert_int_equal(tell_object(OBJECT_NETWORK_POLICY, NULL, policy, -1), 0);
		assert_int_equal(tell_object(OBJECT_POD, HERE, pods[0], -1), 0);
		assert_int_equal(tell_object(OBJECT_POD, HERE, pods[1], -1), 0);
		fail_after(number);
		if (sync_cluster(&cluster))
			assert_false(had_enough());
		enough = had_enough();
		count = store_count(cluster.store, OBJECT_NETWORK_POLICY) + store_count(cluster.store, OBJECT_POD) - 2;
		if (count && count < 2)
			fail_msg("%zu of 3 where allocation %ld fails", count, number);
		short_of_one += count == 2;
		cluster_free(&cluster);
	}
	assert_true(short_of_one >= 3);
}

#define WEB(uid, node, second)                                                                                    \
	"{\"metadata\": {\"namespace\": \"a\", \"name\": \"web\", \"uid\": \"" uid "\", \"creationTimestamp\": " \
	"\"2024-01-01T00:00:0" second "Z\"}, \"spec\": {\"nodeName\": \"" node "\"}}"

static void what_the_api_says_comes_whole_the_next_time(void **state)
{
	static const struct {
		const char *name;
		struct event_of_web before[2], event;
		const char *uid; /* after it; NULL: none */
	} changes[] = {
		{"one that comes", {{0}}, {HERE, WEB("1", "here", "1")}, "1"},
		{"one that changes", {{HERE, WEB("1", "here", "1")}}, {HERE, WEB("2", "here", "1")}, "2"},
		{"one that goes", {{HERE, WEB("1", "here", "1")}}, {HERE, NULL}, NULL},
		{"one that moves", {{HERE, WEB("1", "here", "1")}}, {ELSEWHERE, WEB("2", "there", "2")}, "2"},
		{"an older one", {{HERE, WEB("2", "here", "2")}}, {ELSEWHERE, WEB("1", "there", "1")}, "2"},
		{"one that moves back", {{HERE, WEB("1", "here", "1")}, {ELSEWHERE, WEB("2", "there", "2")}},
		 {ELSEWHERE, NULL}, "1"},
	};
	static const struct event_of_web ends[] = {{HERE, NULL}, {ELSEWHERE, NULL}};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(changes); i++) {
		bool enough = false;

		for (long number = 0; !enough; number++) {
			struct cluster cluster;

			cluster_new(&cluster);
			assert_int_equal(tell(&changes[i].before[0], -1), 0);
			assert_int_equal(tell(&changes[i].before[1], -1), 0);
			assert_int_equal(sync_cluster(&cluster), 0);
			enough = !tell_without_memory(&cluster, &changes[i].event, number);
			assert_web_is(&cluster, changes[i].uid, changes[i].name, number);
			/* And nothing is left behind. */
			assert_int_equal(tell(&ends[0], -1), 0);
			assert_int_equal(tell(&ends[1], -1), 0);
			assert_int_equal(sync_cluster(&cluster), 0);
			assert_web_is(&cluster, NULL, changes[i].name, number);
			cluster_free(&cluster);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(objects_are_decoded_whole_or_not_at_all),
		cmocka_unit_test(pods_are_made_whole_or_not_at_all),
		cmocka_unit_test(objects_are_encoded_whole_or_not_at_all),
		cmocka_unit_test(policies_are_compiled_whole_or_not_at_all),
		cmocka_unit_test(tables_that_are_not_written_whole_can_be_written_again),
		cmocka_unit_test(flows_are_explained_whole_or_not_at_all),
		cmocka_unit_test(a_directory_is_read_whole_the_next_time),
		cmocka_unit_test(a_directory_hands_over_all_that_it_can),
		cmocka_unit_test(what_the_api_says_comes_whole_the_next_time),
		cmocka_unit_test(the_api_hands_over_all_that_it_can),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
