/* SPDX-License-Identifier: Apache-2.0 */
/* The state directory: whole files or none, for root only, and objects that come back as they went. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/text.h"
#include "model/decode.h"
#include "report/state.h"

struct fixture {
	char root[64];
	char directory[96];
};

static int set_up(void **state)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));

	assert_non_null(fixture);
	strcpy(fixture->root, "/tmp/egressd-report_state.XXXXXX");
	assert_non_null(mkdtemp(fixture->root));
	snprintf(fixture->directory, sizeof(fixture->directory), "%s/a/b", fixture->root);
	*state = fixture;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *fixture = *state;
	char command[128];

	snprintf(command, sizeof(command), "rm -rf '%s'", fixture->root);
	assert_int_equal(system(command), 0);
	free(fixture);
	return 0;
}

static mode_t mode_of(const char *directory, const char *name)
{
	struct stat status;
	char path[256];

	snprintf(path, sizeof(path), "%s/%s", directory, name);
	assert_int_equal(stat(path, &status), 0);
	return status.st_mode & 07777;
}

static void directory_is_made_for_its_owner_only(void **state)
{
	struct fixture *fixture = *state;

	assert_int_equal(state_directory_prepare(fixture->directory), 0);
	assert_int_equal(mode_of(fixture->directory, "."), 0700);
	/* Again is no error. */
	assert_int_equal(state_directory_prepare(fixture->directory), 0);
}

static void file_in_the_place_of_the_directory_is_refused(void **state)
{
	struct fixture *fixture = *state;
	char path[128];
	FILE *file;

	snprintf(path, sizeof(path), "%s/file", fixture->root);
	file = fopen(path, "w");
	assert_non_null(file);
	fclose(file);
	assert_int_equal(state_directory_prepare(path), -ENOTDIR);
}

static void what_is_written_is_read_back(void **state)
{
	struct fixture *fixture = *state;
	json_t *json = json_pack("{s:i, s:[s, s]}", "version", 1, "list", "a", "\xc3\xa4"), *back;

	assert_int_equal(state_directory_prepare(fixture->directory), 0);
	assert_int_equal(state_write(fixture->directory, STATE_FILE, json), 0);
	assert_int_equal(mode_of(fixture->directory, STATE_FILE), 0600);
	assert_int_equal(state_read(fixture->directory, STATE_FILE, &back), 0);
	assert_true(json_equal(json, back));
	json_decref(json);
	json_decref(back);
}

static void missing_and_damaged_files_are_told_apart(void **state)
{
	struct fixture *fixture = *state;
	json_t *json = (json_t *)&json;
	char path[160];
	FILE *file;

	assert_int_equal(state_directory_prepare(fixture->directory), 0);
	assert_int_equal(state_read(fixture->directory, STATE_FILE, &json), -ENOENT);
	snprintf(path, sizeof(path), "%s/%s", fixture->directory, STATE_FILE);
	file = fopen(path, "w");
	assert_non_null(file);
	fputs("{\"version\": 1, \"endpoi", file);
	fclose(file);
	assert_int_equal(state_read(fixture->directory, STATE_FILE, &json), -EINVAL);
	assert_ptr_equal(json, &json);
}

/* Where the new one cannot be written the old one stands. */
static void failed_write_leaves_the_old_file(void **state)
{
	struct fixture *fixture = *state;
	json_t *old = json_pack("{s:i}", "version", 1), *new = json_pack("{s:i}", "version", 2), *back;
	char path[160];

	assert_int_equal(state_directory_prepare(fixture->directory), 0);
	assert_int_equal(state_write(fixture->directory, STATE_FILE, old), 0);
	/* A directory stands where the temporary file is to be. */
	snprintf(path, sizeof(path), "%s/.%s.new", fixture->directory, STATE_FILE);
	assert_int_equal(mkdir(path, 0700), 0);
	assert_int_equal(state_write(fixture->directory, STATE_FILE, new), -EISDIR);
	assert_int_equal(state_read(fixture->directory, STATE_FILE, &back), 0);
	assert_true(json_equal(old, back));
	json_decref(old);
	json_decref(new);
	json_decref(back);
}

static void write_to_a_missing_directory_fails(void **state)
{
	struct fixture *fixture = *state;
	json_t *json = json_object();

	assert_int_equal(state_write(fixture->directory, STATE_FILE, json), -ENOENT);
	json_decref(json);
}

static const char manifests[] =
	"apiVersion: networking.k8s.io/v1\n"
	"kind: NetworkPolicy\n"
	"metadata: {name: web, namespace: shop}\n"
	"spec:\n"
	"  podSelector: {matchExpressions: [{key: app, operator: NotIn, values: [a, b]}]}\n"
	"  policyTypes: [Egress]\n"
	"  egress:\n"
	"  - to: [{ipBlock: {cidr: 10.0.0.0/8, except: [10.1.0.0/16]}}, {namespaceSelector: {}}]\n"
	"    ports: [{port: 80, endPort: 90}, {port: dns, protocol: UDP}]\n"
	"---\n"
	"apiVersion: v1\n"
	"kind: Pod\n"
	"metadata:\n"
	"  name: web-1\n"
	"  namespace: shop\n"
	"  uid: u-123\n"
	"  labels: {app: web}\n"
	"  annotations: {egressd.io/interface: web0}\n"
	"spec: {containers: [{name: c, ports: [{name: http, containerPort: 8080}]}]}\n"
	"status: {podIPs: [{ip: 10.1.1.2}, {ip: \"fd00::2\"}]}\n";

static void decode_manifests(struct object_list kinds[OBJECT_KIND_COUNT])
{
	struct object_list objects = {0};
	struct problem_list problems = {0};
	size_t i;

	assert_int_equal(decode_buffer("m.yaml", manifests, strlen(manifests), &objects, &problems), 0);
	assert_int_equal(objects.count, 2);
	for (i = 0; i < objects.count; i++) {
		struct object_list *list = &kinds[objects.items[i]->kind];

		list->items = malloc(sizeof(*list->items));
		assert_non_null(list->items);
		list->items[list->count++] = object_ref(objects.items[i]);
	}
	object_list_clear(&objects);
	problem_list_clear(&problems);
}

static void clear_kinds(struct object_list kinds[OBJECT_KIND_COUNT])
{
	unsigned int kind;

	for (kind = 0; kind < OBJECT_KIND_COUNT; kind++)
		object_list_clear(&kinds[kind]);
}

static void objects_come_back_equal(void **state)
{
	struct object_list kinds[OBJECT_KIND_COUNT] = {0};
	struct fixture *fixture = *state;
	const struct state_view view = {7, 4000000000};
	struct state_view found;
	struct store *store;
	unsigned int kind;
	size_t equal = 0;
	json_t *json;

	decode_manifests(kinds);
	assert_int_equal(state_directory_prepare(fixture->directory), 0);
	assert_int_equal(state_write_objects(fixture->directory, kinds, &view), 0);
	assert_int_equal(mode_of(fixture->directory, STATE_OBJECTS_FILE), 0600);
	assert_int_equal(state_read_objects(fixture->directory, &store, &found), 0);
	for (kind = 0; kind < OBJECT_KIND_COUNT; kind++) {
		struct object *original = kinds[kind].count ? kinds[kind].items[0] : NULL, *object;

		if (!original)
			continue;
		object = store_get(store, kind, original->namespace, original->name);
		assert_non_null(object);
		assert_true(object_equal(object, original));
		assert_string_equal(object->place.file, original->place.file);
		assert_int_equal(object->place.line, original->place.line);
		equal++;
	}
	assert_int_equal(equal, 2);
	assert_int_equal(found.generation, view.generation);
	assert_int_equal(found.changes, view.changes);
	/* It is JSON as a whole, too. */
	assert_int_equal(state_read(fixture->directory, STATE_OBJECTS_FILE, &json), 0);
	assert_int_equal(json_array_size(json_object_get(json, "items")), 2);
	json_decref(json);
	store_free(store);
	clear_kinds(kinds);
}

static int64_t size_of(const char *directory, const char *name)
{
	_cleanup_free_ char *path = text_format("%s/%s", directory, name);
	struct stat status;

	return stat(path, &status) ? -1 : status.st_size;
}

/* Others have their turn between two objects: they may let go of all of them. What is there is the old file, then the new. */
static void objects_are_written_one_by_one(void **state)
{
	struct object_list kinds[OBJECT_KIND_COUNT] = {0}, none[OBJECT_KIND_COUNT] = {0};
	struct fixture *fixture = *state;
	const struct state_view old = {1, 0}, new = {2, 3};
	struct state_writer *writer;
	struct state_view found;
	struct store *store;

	decode_manifests(kinds);
	assert_int_equal(state_directory_prepare(fixture->directory), 0);
	assert_int_equal(state_write_objects(fixture->directory, none, &old), 0);
	assert_int_equal(state_writer_new(fixture->directory, kinds, &new, &writer), 0);
	clear_kinds(kinds);
	assert_int_equal(state_writer_go_on(writer, 1), 1);
	assert_int_equal(state_read_objects(fixture->directory, &store, &found), 0);
	assert_int_equal(found.generation, old.generation);
	store_free(store);
	assert_int_equal(state_writer_go_on(writer, 1), 0);
	state_writer_free(writer);
	assert_int_equal(state_read_objects(fixture->directory, &store, &found), 0);
	assert_int_equal(found.generation, new.generation);
	assert_int_equal(found.changes, new.changes);
	assert_int_equal(store_count(store, OBJECT_POD) + store_count(store, OBJECT_NETWORK_POLICY), 2);
	store_free(store);
}

static void what_is_not_written_to_its_end_leaves_nothing(void **state)
{
	struct object_list kinds[OBJECT_KIND_COUNT] = {0}, none[OBJECT_KIND_COUNT] = {0};
	struct fixture *fixture = *state;
	const struct state_view old = {1, 0}, new = {2, 0};
	struct state_writer *writer;
	int64_t size;

	decode_manifests(kinds);
	assert_int_equal(state_directory_prepare(fixture->directory), 0);
	assert_int_equal(state_write_objects(fixture->directory, none, &old), 0);
	size = size_of(fixture->directory, STATE_OBJECTS_FILE);
	assert_int_equal(state_writer_new(fixture->directory, kinds, &new, &writer), 0);
	assert_int_equal(state_writer_go_on(writer, 1), 1);
	state_writer_free(writer);
	clear_kinds(kinds);
	assert_int_equal(size_of(fixture->directory, STATE_OBJECTS_FILE), size);
	assert_int_equal(size_of(fixture->directory, "." STATE_OBJECTS_FILE ".new"), -1);
	assert_int_equal(state_writer_new("/nowhere", none, &new, &writer), -ENOENT);
}

/* More networks than values, at four each, may be in a document that is read; a file may have them, at three each. */
#define NETWORKS 1050000u

static void decode_networks(struct object_list *policies)
{
	struct problem_list problems = {0};
	char *text = NULL;
	size_t length;
	unsigned int i;
	FILE *file = open_memstream(&text, &length);

	assert_non_null(file);
	fprintf(file, "{\"apiVersion\":\"networking.k8s.io/v1\",\"kind\":\"NetworkPolicy\",\"metadata\":{\"name\":"
		      "\"many\",\"namespace\":\"shop\"},\"spec\":{\"podSelector\":{},\"egress\":[{\"to\":[");
	for (i = 0; i < NETWORKS; i++)
		fprintf(file, "%s{\"ipBlock\":{\"cidr\":\"%u.%u.%u.0/24\"}}", i ? "," : "", 10 + (i >> 16), i >> 8 & 255,
			i & 255);
	fprintf(file, "]}]}}");
	fclose(file);
	assert_int_equal(decode_buffer("m.json", text, length, policies, &problems), 0);
	free(text);
	problem_list_clear(&problems);
}

static void policy_of_a_million_networks_comes_back(void **state)
{
	struct object_list kinds[OBJECT_KIND_COUNT] = {0};
	const struct state_view view = {1, 0};
	struct fixture *fixture = *state;
	struct state_view found;
	struct object *again;
	struct store *store;

	decode_networks(&kinds[OBJECT_NETWORK_POLICY]);
	assert_int_equal(state_directory_prepare(fixture->directory), 0);
	assert_int_equal(state_write_objects(fixture->directory, kinds, &view), 0);
	assert_int_equal(state_read_objects(fixture->directory, &store, &found), 0);
	again = store_get(store, OBJECT_NETWORK_POLICY, "shop", "many");
	assert_non_null(again);
	assert_true(object_equal(again, kinds[OBJECT_NETWORK_POLICY].items[0]));
	assert_int_equal(again->policy.rules[0].peers[NETWORKS - 1].place.column,
			 kinds[OBJECT_NETWORK_POLICY].items[0]->policy.rules[0].peers[NETWORKS - 1].place.column);
	store_free(store);
	clear_kinds(kinds);
}

/* Any bit that flips, and any end that comes early, is noticed; what is set aside is out of the way, not lost. */
static void damaged_objects_are_refused(void **state)
{
	struct object_list kinds[OBJECT_KIND_COUNT] = {0};
	const struct state_view view = {1, 0};
	struct fixture *fixture = *state;
	struct state_view found;
	struct store *store = NULL;
	char path[160], *text;
	size_t length, i;
	FILE *file;

	decode_manifests(kinds);
	assert_int_equal(state_directory_prepare(fixture->directory), 0);
	assert_int_equal(state_read_objects(fixture->directory, &store, &found), -ENOENT);
	assert_int_equal(state_write_objects(fixture->directory, kinds, &view), 0);
	snprintf(path, sizeof(path), "%s/" STATE_OBJECTS_FILE, fixture->directory);
	file = fopen(path, "r+e");
	assert_non_null(file);
	text = malloc(65536);
	assert_non_null(text);
	length = fread(text, 1, 65536, file);
	for (i = 0; i < length; i += 7) {
		text[i] ^= 4;
		rewind(file);
		assert_int_equal(fwrite(text, 1, length, file), length);
		assert_int_equal(fflush(file), 0);
		assert_int_equal(state_read_objects(fixture->directory, &store, &found), -EINVAL);
		text[i] ^= 4;
	}
	rewind(file);
	assert_int_equal(fwrite(text, 1, length, file), length);
	assert_int_equal(fflush(file), 0);
	assert_int_equal(state_read_objects(fixture->directory, &store, &found), 0);
	store_free(store);
	for (i = 1; i < length; i += length / 9) {
		assert_int_equal(ftruncate(fileno(file), (off_t)(length - i)), 0);
		assert_int_equal(state_read_objects(fixture->directory, &store, &found), -EINVAL);
	}
	fclose(file);
	assert_int_equal(state_set_aside_objects(fixture->directory), 0);
	assert_int_equal(state_read_objects(fixture->directory, &store, &found), -ENOENT);
	assert_int_equal(mode_of(fixture->directory, STATE_OBJECTS_DAMAGED), 0600);
	free(text);
	clear_kinds(kinds);
}

static void problems_are_encoded(void **state)
{
	struct place place = {.file = "a\xff.yaml", .line = 3, .column = 4};
	struct problem_list problems = {0};
	json_t *json, *expected;

	(void)state;
	assert_int_equal(problem_add(&problems, PROBLEM_ERROR, "field", &place, NULL, "expected %d", 7), 0);
	assert_int_equal(problem_add(&problems, PROBLEM_NOTICE, "unknown-kind", NULL, NULL, "x"), 0);
	json = state_encode_problems(&problems);
	expected = json_pack("[{s:s,s:s,s:s,s:i,s:i,s:n,s:s},{s:s,s:s,s:n,s:i,s:i,s:n,s:s}]", "severity", "error",
			     "rule", "field", "file", "a?.yaml", "line", 3, "column", 4, "object", "message",
			     "expected 7", "severity", "notice", "rule", "unknown-kind", "file", "line", 0, "column", 0,
			     "object", "message", "x");
	assert_non_null(expected);
	assert_true(json_equal(json, expected));
	json_decref(json);
	json_decref(expected);
	problem_list_clear(&problems);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(directory_is_made_for_its_owner_only, set_up, tear_down),
		cmocka_unit_test_setup_teardown(file_in_the_place_of_the_directory_is_refused, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_is_written_is_read_back, set_up, tear_down),
		cmocka_unit_test_setup_teardown(missing_and_damaged_files_are_told_apart, set_up, tear_down),
		cmocka_unit_test_setup_teardown(failed_write_leaves_the_old_file, set_up, tear_down),
		cmocka_unit_test_setup_teardown(write_to_a_missing_directory_fails, set_up, tear_down),
		cmocka_unit_test_setup_teardown(objects_come_back_equal, set_up, tear_down),
		cmocka_unit_test_setup_teardown(objects_are_written_one_by_one, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_is_not_written_to_its_end_leaves_nothing, set_up, tear_down),
		cmocka_unit_test_setup_teardown(policy_of_a_million_networks_comes_back, set_up, tear_down),
		cmocka_unit_test_setup_teardown(damaged_objects_are_refused, set_up, tear_down),
		cmocka_unit_test(problems_are_encoded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
