/* SPDX-License-Identifier: Apache-2.0 */
/* model/object.h, model/store.h and model/problem.h */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "model/object.h"
#include "model/problem.h"
#include "model/store.h"
#include "model_unit.h"

/* ------------------------------------------------------------------ selectors */

static struct label pod_label_items[] = { { "app", "web" }, { "tier", "front" } };
static const struct label_list pod_labels = { pod_label_items, 2 };
static const struct label_list no_labels = {};

static bool matches(const char *key, enum selector_operator op, const char **values, size_t count,
		    const struct label_list *labels)
{
	struct selector_requirement requirement = { key, op, values, count };
	struct label_selector selector = { &requirement, 1 };

	return label_selector_matches(&selector, labels);
}

static void labels_are_found_by_key(void **state)
{
	(void)state;
	assert_string_equal(label_list_get(&pod_labels, "app"), "web");
	assert_string_equal(label_list_get(&pod_labels, "tier"), "front");
	assert_null(label_list_get(&pod_labels, "ap"));
	assert_null(label_list_get(&no_labels, "app"));
}

static void operators(void **state)
{
	const char *with[] = { "db", "web" }, *without[] = { "api", "db" };

	(void)state;
	assert_true(matches("app", SELECTOR_IN, with, 2, &pod_labels));
	assert_false(matches("app", SELECTOR_IN, without, 2, &pod_labels));
	assert_false(matches("other", SELECTOR_IN, with, 2, &pod_labels));
	assert_false(matches("app", SELECTOR_NOT_IN, with, 2, &pod_labels));
	assert_true(matches("app", SELECTOR_NOT_IN, without, 2, &pod_labels));
	assert_true(matches("other", SELECTOR_NOT_IN, with, 2, &pod_labels));
	assert_true(matches("app", SELECTOR_EXISTS, NULL, 0, &pod_labels));
	assert_false(matches("other", SELECTOR_EXISTS, NULL, 0, &pod_labels));
	assert_false(matches("app", SELECTOR_DOES_NOT_EXIST, NULL, 0, &pod_labels));
	assert_true(matches("other", SELECTOR_DOES_NOT_EXIST, NULL, 0, &no_labels));
}

static void all_requirements_must_hold_and_none_matches_all(void **state)
{
	const char *web[] = { "web" }, *back[] = { "back" };
	struct selector_requirement requirements[] = { { "app", SELECTOR_IN, web, 1 }, { "tier", SELECTOR_IN, back, 1 } };
	struct label_selector both = { requirements, 2 }, first = { requirements, 1 }, empty = {};

	(void)state;
	assert_true(label_selector_matches(&first, &pod_labels));
	assert_false(label_selector_matches(&both, &pod_labels));
	assert_true(label_selector_matches(&empty, &pod_labels));
	assert_true(label_selector_matches(&empty, &no_labels));
}

static bool matches_name(const char *key, enum selector_operator op, const char **values, size_t count)
{
	struct selector_requirement requirement = { key, op, values, count };
	struct label_selector selector = { &requirement, 1 };

	return label_selector_matches_name(&selector, "shop");
}

static void nothing_but_the_name_of_an_unknown_namespace_matches(void **state)
{
	const char *shop[] = { "shop" }, *bank[] = { "bank" };
	struct label_selector empty = {};

	(void)state;
	assert_true(label_selector_matches_name(&empty, "shop"));
	assert_true(matches_name(NAMESPACE_NAME_LABEL, SELECTOR_IN, shop, 1));
	assert_false(matches_name(NAMESPACE_NAME_LABEL, SELECTOR_IN, bank, 1));
	assert_true(matches_name(NAMESPACE_NAME_LABEL, SELECTOR_NOT_IN, bank, 1));
	assert_true(matches_name(NAMESPACE_NAME_LABEL, SELECTOR_EXISTS, NULL, 0));
	assert_false(matches_name(NAMESPACE_NAME_LABEL, SELECTOR_DOES_NOT_EXIST, NULL, 0));
	assert_false(matches_name("zone", SELECTOR_IN, shop, 1));
	assert_false(matches_name("zone", SELECTOR_NOT_IN, shop, 1));
	assert_false(matches_name("zone", SELECTOR_EXISTS, NULL, 0));
	assert_false(matches_name("zone", SELECTOR_DOES_NOT_EXIST, NULL, 0));
}

/* ------------------------------------------------------------------ the store */

/* One reference, on the heap. */
static struct object *new_object(enum object_kind kind, const char *namespace, const char *name)
{
	struct object *object = calloc(1, sizeof(*object));

	assert_non_null(object);
	object->references = 1;
	object->kind = kind;
	object->namespace = namespace;
	object->name = name;
	object->uid = "";
	return object;
}

static void put(struct store *store, enum object_kind kind, const char *namespace, const char *name)
{
	struct object *object = new_object(kind, namespace, name);

	assert_int_equal(store_put(store, object), 0);
	object_unref(object);
}

static void store_keeps_objects_by_kind_namespace_and_name(void **state)
{
	struct store *store;
	size_t count;

	(void)state;
	assert_int_equal(store_new(&store), 0);
	assert_null(store_list(store, OBJECT_POD, &count));
	assert_int_equal(count, 0);
	put(store, OBJECT_POD, "b", "y");
	put(store, OBJECT_POD, "b", "x");
	put(store, OBJECT_POD, "a", "z");
	put(store, OBJECT_SERVICE, "b", "y");
	assert_int_equal(store_count(store, OBJECT_POD), 3);
	assert_int_equal(store_count(store, OBJECT_SERVICE), 1);
	assert_int_equal(store_get(store, OBJECT_SERVICE, "b", "y")->kind, OBJECT_SERVICE);
	assert_null(store_get(store, OBJECT_SERVICE, "b", "x"));
	assert_null(store_get(store, OBJECT_POD, "", "b/x"));
	store_free(store);
}

static void store_lists_are_sorted_and_follow_changes(void **state)
{
	struct object *const *list;
	struct store *store;
	size_t count;

	(void)state;
	assert_int_equal(store_new(&store), 0);
	put(store, OBJECT_POD, "b", "y");
	put(store, OBJECT_POD, "b", "x");
	put(store, OBJECT_POD, "a-b", "z");
	list = store_list(store, OBJECT_POD, &count);
	assert_int_equal(count, 3);
	assert_string_equal(list[0]->name, "z");
	assert_string_equal(list[1]->name, "x");
	assert_string_equal(list[2]->name, "y");

	put(store, OBJECT_POD, "a", "zz");
	assert_int_equal(store_remove(store, OBJECT_POD, "b", "x"), 0);
	assert_int_equal(store_remove(store, OBJECT_POD, "b", "x"), -ENOENT);
	list = store_list(store, OBJECT_POD, &count);
	assert_int_equal(count, 3);
	assert_string_equal(list[0]->name, "zz");
	assert_string_equal(list[1]->name, "z");
	assert_string_equal(list[2]->name, "y");

	assert_int_equal(store_remove(store, OBJECT_POD, "a-b", "z"), 0);
	list = store_list(store, OBJECT_POD, &count);
	assert_int_equal(count, 2);
	assert_string_equal(list[0]->name, "zz");
	assert_string_equal(list[1]->name, "y");
	store_free(store);
}

static void store_replaces_and_holds_references(void **state)
{
	struct object *first = new_object(OBJECT_NODE, "", "n"), *second = new_object(OBJECT_NODE, "", "n");
	struct store *store;
	size_t count;

	(void)state;
	assert_int_equal(store_new(&store), 0);
	assert_int_equal(store_put(store, first), 0);
	assert_int_equal(first->references, 2);
	assert_ptr_equal(store_list(store, OBJECT_NODE, &count)[0], first);
	assert_int_equal(store_put(store, second), 0);
	assert_int_equal(first->references, 1);
	assert_int_equal(store_count(store, OBJECT_NODE), 1);
	assert_ptr_equal(store_list(store, OBJECT_NODE, &count)[0], second);
	assert_int_equal(store_put(store, second), 0);
	assert_int_equal(second->references, 2);
	store_free(store);
	assert_int_equal(second->references, 1);
	object_unref(first);
	object_unref(second);
	object_unref(NULL);
	store_free(NULL);
}

static void store_refuses_names_that_no_object_has(void **state)
{
	char name[1000];
	struct object *object;
	struct store *store;

	(void)state;
	memset(name, 'a', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	object = new_object(OBJECT_POD, "a", name);
	assert_int_equal(store_new(&store), 0);
	assert_int_equal(store_put(store, object), -ENAMETOOLONG);
	assert_null(store_get(store, OBJECT_POD, "a", name));
	assert_int_equal(store_remove(store, OBJECT_POD, "a", name), -ENOENT);
	object_unref(object);
	store_free(store);
}

static void store_holds_many(void **state)
{
	static char names[20000][8];
	struct object *const *list;
	struct store *store;
	size_t count;

	(void)state;
	assert_int_equal(store_new(&store), 0);
	for (size_t i = 0; i < 20000; i++) {
		snprintf(names[i], sizeof(names[i]), "p%zu", i);
		put(store, OBJECT_POD, "a", names[i]);
	}
	for (size_t i = 0; i < 20000; i += 2)
		assert_int_equal(store_remove(store, OBJECT_POD, "a", names[i]), 0);
	list = store_list(store, OBJECT_POD, &count);
	assert_int_equal(count, 10000);
	for (size_t i = 1; i < count; i++)
		assert_true(strcmp(list[i - 1]->name, list[i]->name) < 0);
	store_free(store);
}

/* ------------------------------------------------------------------ problems */

static void problems_know_their_object_and_place(void **state)
{
	struct object *object = new_object(OBJECT_NETWORK_POLICY, "shop", "web");
	struct place place = { "a.yaml", 3, 7 };
	struct problem_list list = {};
	char text[64];

	(void)state;
	assert_int_equal(problem_add(&list, PROBLEM_ERROR, "field", &place, object, "expected %d", 5), 0);
	assert_int_equal(problem_add(&list, PROBLEM_WARNING, "file", NULL, NULL, "two\nlines"), 0);
	assert_int_equal(list.count, 2);
	assert_int_equal(list.errors, 1);
	assert_string_equal(list.items[0].object, "NetworkPolicy shop/web");
	assert_string_equal(problem_format(&list.items[0], text, sizeof(text)), "a.yaml:3:7: expected 5");
	assert_null(list.items[1].object);
	assert_string_equal(problem_format(&list.items[1], text, sizeof(text)), "two lines");
	problem_list_clear(&list);
	assert_int_equal(list.count, 0);
	object_unref(object);
}

static void unknown_parts_of_a_place_are_left_out(void **state)
{
	static const struct {
		struct place place;
		const char *text;
	} cases[] = {
		{ { "a.yaml", 3, 7 }, "a.yaml:3:7: m" }, { { "a.yaml", 3, 0 }, "a.yaml:3: m" },
		{ { "a.yaml", 0, 0 }, "a.yaml: m" },     { { NULL, 3, 7 }, "3:7: m" },
		{ { NULL, 0, 0 }, "m" },
	};
	char text[64];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct problem_list list = {};

		assert_int_equal(problem_add(&list, PROBLEM_NOTICE, "field", &cases[i].place, NULL, "m"), 0);
		assert_string_equal(problem_format(&list.items[0], text, sizeof(text)), cases[i].text);
		problem_list_clear(&list);
	}
}

static void problems_move(void **state)
{
	struct problem_list to = {}, from = {};

	(void)state;
	assert_int_equal(problem_add(&to, PROBLEM_NOTICE, "field", NULL, NULL, "first"), 0);
	assert_int_equal(problem_add(&from, PROBLEM_ERROR, "field", NULL, NULL, "second"), 0);
	assert_int_equal(problem_list_move(&to, &from), 0);
	assert_int_equal(from.count, 0);
	assert_int_equal(to.count, 2);
	assert_int_equal(to.errors, 1);
	assert_string_equal(to.items[1].message, "second");
	assert_int_equal(problem_list_move(&to, &from), 0);
	assert_int_equal(to.count, 2);
	problem_list_clear(&to);
}

static struct store_change only_change(const struct store *store)
{
	assert_int_equal(store_change_count(store), 1);
	return store_change_at(store, 0);
}

static size_t settled_count(struct store *store, enum object_kind kind)
{
	struct object **objects;
	size_t count;

	assert_int_equal(store_list_settled(store, kind, &objects, &count), 0);
	free(objects);
	return count;
}

static void a_tracked_store_knows_what_changed(void **state)
{
	struct object *first, *second;
	struct store_change change;
	struct object **settled;
	struct store *store;
	size_t count;

	(void)state;
	assert_int_equal(object_new_pod("a", "x", "1", &first), 0);
	assert_int_equal(object_new_pod("a", "x", "2", &second), 0);
	assert_int_equal(store_new(&store), 0);
	assert_int_equal(store_put(store, first), 0);
	assert_int_equal(store_change_count(store), 0);

	/* What it holds when it begins came since. */
	assert_int_equal(store_track(store), 0);
	change = only_change(store);
	assert_null(change.before);
	assert_ptr_equal(change.now, first);
	assert_int_equal(settled_count(store, OBJECT_POD), 0);
	store_settle(store);
	assert_int_equal(store_change_count(store), 0);
	assert_int_equal(settled_count(store, OBJECT_POD), 1);

	/* Replaced, put back, removed, put back. */
	assert_int_equal(store_put(store, second), 0);
	change = only_change(store);
	assert_ptr_equal(change.before, first);
	assert_ptr_equal(change.now, second);
	assert_int_equal(store_put(store, first), 0);
	assert_int_equal(store_change_count(store), 0);
	assert_int_equal(store_remove(store, OBJECT_POD, "a", "x"), 0);
	change = only_change(store);
	assert_ptr_equal(change.before, first);
	assert_null(change.now);
	assert_null(store_get(store, OBJECT_POD, "a", "x"));
	assert_int_equal(store_remove(store, OBJECT_POD, "a", "x"), -ENOENT);
	assert_int_equal(store_count(store, OBJECT_POD), 0);
	assert_int_equal(store_put(store, first), 0);
	assert_int_equal(store_change_count(store), 0);

	/* What came and went since leaves no trace; others that changed stay. */
	put(store, OBJECT_SERVICE, "a", "s");
	put(store, OBJECT_SERVICE, "a", "t");
	assert_int_equal(store_put(store, second), 0);
	assert_int_equal(store_change_count(store), 3);
	assert_int_equal(store_remove(store, OBJECT_SERVICE, "a", "s"), 0);
	assert_int_equal(store_change_count(store), 2);
	assert_int_equal(store_remove(store, OBJECT_SERVICE, "a", "t"), 0);
	change = only_change(store);
	assert_ptr_equal(change.now, second);

	/* Until it is settled, what was there before can still be listed. */
	assert_int_equal(store_list_settled(store, OBJECT_POD, &settled, &count), 0);
	assert_int_equal(count, 1);
	assert_ptr_equal(settled[0], first);
	free(settled);
	assert_int_equal(store_remove(store, OBJECT_POD, "a", "x"), 0);
	assert_int_equal(settled_count(store, OBJECT_POD), 1);
	store_settle(store);
	assert_int_equal(settled_count(store, OBJECT_POD), 0);
	assert_int_equal(first->references, 1);
	assert_int_equal(second->references, 1);
	store_free(store);
	object_unref(first);
	object_unref(second);
}

/* Its place in the sorted list is the replaced object's. */
static void a_replaced_object_is_in_the_list(void **state)
{
	struct object *const *list;
	struct store *store;
	struct object *next;
	size_t count;

	(void)state;
	assert_int_equal(store_new(&store), 0);
	put(store, OBJECT_POD, "a", "x");
	put(store, OBJECT_POD, "a", "y");
	put(store, OBJECT_POD, "b", "x");
	store_list(store, OBJECT_POD, &count);
	assert_int_equal(object_new_pod("a", "y", "", &next), 0);
	assert_int_equal(store_put(store, next), 0);
	list = store_list(store, OBJECT_POD, &count);
	assert_int_equal(count, 3);
	assert_ptr_equal(list[1], next);
	assert_string_equal(list[0]->name, "x");
	assert_string_equal(list[2]->namespace, "b");
	store_free(store);
	object_unref(next);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_tracked_store_knows_what_changed),
		cmocka_unit_test(a_replaced_object_is_in_the_list),
		cmocka_unit_test(labels_are_found_by_key),
		cmocka_unit_test(operators),
		cmocka_unit_test(all_requirements_must_hold_and_none_matches_all),
		cmocka_unit_test(nothing_but_the_name_of_an_unknown_namespace_matches),
		cmocka_unit_test(store_keeps_objects_by_kind_namespace_and_name),
		cmocka_unit_test(store_lists_are_sorted_and_follow_changes),
		cmocka_unit_test(store_replaces_and_holds_references),
		cmocka_unit_test(store_refuses_names_that_no_object_has),
		cmocka_unit_test(store_holds_many),
		cmocka_unit_test(problems_know_their_object_and_place),
		cmocka_unit_test(unknown_parts_of_a_place_are_left_out),
		cmocka_unit_test(problems_move),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
