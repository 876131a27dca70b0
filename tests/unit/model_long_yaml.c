/* SPDX-License-Identifier: Apache-2.0 */
/* Long YAML texts, of which two threads parse a part each: nothing of it shows. */
#define _GNU_SOURCE
#include "model_unit.h"

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <yaml.h>

#include "document_text.h"
#include "model/yaml_slice.h"

/* ------------------------------------------------------------------ parsers */

static pthread_mutex_t counting = PTHREAD_MUTEX_INITIALIZER;
static unsigned int parsers;

/* Stands before that of the library. */
int yaml_parser_initialize(yaml_parser_t *parser)
{
	int (*real)(yaml_parser_t *);

	pthread_mutex_lock(&counting);
	parsers++;
	pthread_mutex_unlock(&counting);
	*(void **)&real = dlsym(RTLD_NEXT, "yaml_parser_initialize");
	return real(parser);
}

/* ------------------------------------------------------------------ texts */

/* Where a text is not all ASCII, one parser reads all of it. */
#define ALONE "# \xc3\xa9\n"
#define SLICED "# e\n"

static const char *const items[] = {
	"- ipBlock: {cidr: 10.0.0.0/24}\n",
	"- ipBlock:\n    cidr: 10.1.0.0/24\n    except:\n    - 10.1.0.0/28\n    - 10.1.0.16/28\n",
	"- [1, [2, three],\n   4]\n",
	"- plain text that\n  goes on\n\n  and on\n",
	"- \"quoted - text\n  - that goes on\"\n",
	"- |\n  - a block\n\n  of text\n",
	"- >+\n  folded\n\n",
	"- # a comment\n  a: 1\n  # another\n  b: ~\n",
	"- !!str 17\n- yes\n- -\n",
	"- - - deep\n    - deeper\n",
	"- ? complex\n  : value\n- ''\n",
	"- a: {b: [c, d], e: 'f'}\n  g: |2\n     h\n",
};

/* Text of the item, each line of it indented. */
static void write_item(FILE *out, const char *item, unsigned int indentation)
{
	const char *end;

	for (; *item; item = end + 1) {
		end = strchr(item, '\n');
		fprintf(out, "%*s%.*s\n", item == end ? 0 : (int)indentation, "", (int)(end - item), item);
	}
}

/*
 * A list of so many bytes between two texts. `choice`: which of the items, or ARRAY_SIZE(items): all of them, one after
 * the other.
 */
static struct text long_text(const char *before, unsigned int indentation, size_t choice, size_t bytes,
			     const char *behind)
{
	struct text text = {0};
	FILE *out = open_memstream(&text.bytes, &text.length);

	assert_non_null(out);
	fprintf(out, "%s%s", ALONE, before);
	for (size_t i = 0; ftell(out) < (long)bytes; i++)
		write_item(out, items[choice < ARRAY_SIZE(items) ? choice : i * 7 % ARRAY_SIZE(items)], indentation);
	fprintf(out, "%s", behind);
	fclose(out);
	return text;
}

/* The same as a text that may be sliced, a byte shorter. */
static struct text sliced(const struct text *alone)
{
	struct text text = {0};

	assert_true(asprintf(&text.bytes, "%s%s", SLICED, alone->bytes + strlen(ALONE)) > 0);
	text.length = strlen(text.bytes);
	return text;
}

/* ------------------------------------------------------------------ what comes of them */

static int note_tree(const struct value *root, void *data)
{
	FILE *out = data;

	fprintf(out, "document ");
	write_value(out, root);
	return 0;
}

/* Documents, and what is wrong. */
static struct text parse(const struct text *text)
{
	_cleanup_(problem_list_clear) struct problem_list problems = {0};
	struct text result = {0};
	FILE *out = open_memstream(&result.bytes, &result.length);
	int error;

	assert_non_null(out);
	parsers = 0;
	error = document_parse("a.yaml", text->bytes, text->length, note_tree, out, &problems);
	fprintf(out, "%d\n", error);
	for (size_t i = 0; i < problems.count; i++)
		fprintf(out, "%u:%u: %s: %s\n", problems.items[i].line, problems.items[i].column,
			problems.items[i].rule, problems.items[i].message);
	fclose(out);
	return result;
}

/* Returns how many parsers the text took that may be sliced: two, or three where it was parsed anew. */
static unsigned int expect_same(const struct text *alone)
{
	_cleanup_text_ struct text cut = sliced(alone), tree = parse(alone), cut_tree = {0};

	assert_int_equal(parsers, 1);
	cut_tree = parse(&cut);
	if (strcmp(tree.bytes, cut_tree.bytes) != 0)
		fail_msg("%zu bytes: %.300s instead of %.300s", alone->length, cut_tree.bytes, tree.bytes);
	return parsers;
}

/* ------------------------------------------------------------------ tests */

#define BYTES (100u << 10)

static void all_kinds_of_items_are_cut_out(void **state)
{
	(void)state;
	for (size_t choice = 0; choice <= ARRAY_SIZE(items); choice++) {
		_cleanup_text_ struct text flush = long_text("a:\n", 0, choice, BYTES, "b: 1\n");
		_cleanup_text_ struct text inside = long_text("- a: 1\n  b:\n", 3, choice, BYTES, "  c: 1\n- 2\n");
		_cleanup_text_ struct text root = long_text("---\n", 2, choice, BYTES, "---\n- x\n");
		_cleanup_text_ struct text last = long_text("x: y\n---\na:\n b:\n", 4, choice, BYTES, "");

		assert_int_equal(expect_same(&flush), 2);
		assert_int_equal(expect_same(&inside), 2);
		assert_int_equal(expect_same(&root), 2);
		assert_int_equal(expect_same(&last), 2);
	}
}

/* It looks like a sequence and is none, or another one. */
static void what_is_no_sequence_is_not_cut(void **state)
{
	static const char *const around[][2] = {
		{"a: |\n", "b: 1\n"},
		{"a: >-\n  text\n", "b: 1\n"},
		{"a: \"\n", "  \"\n"},
		{"a: '\n", "  '\nb: 1\n"},
		{"a: text\n", "b: 1\n"},
		{"a: [\n", "  ]\n"},
		{"%TAG !! tag:example.com,2000:\n---\na:\n", "b: 1\n"},
		{"a: &x  \n", "b: *x\n"},
		{"a: !x\n", "b: 1\n"},
		/* The sequence is indented by one; what begins at the same column as the lines is the anchor. */
		{"- &x\n - b\n", "- c\n"},
		{"- a: &x 1\n  b: &x\n  - c\n", "  d: 1\n"},
		{"a:\n  - &x 1\n  - *x\n", "b: *x\n"},
		{"x: y\n---\nx: z\n---\na: |\n", "---\nx: a\n"},
		{"x: y\n---\na:\n", "---\nx: [\n"},
		{"x: y\n---\na:\n", "x: y\na: 1\n"},
		{"a:\n", " b: 1\n"},
		{"a:\n", "  b: 1\n"},
		{"a:\n", "   b: 1\n"},
		{"a:\n", "  -\n"},
		{"a:\n", "\t- 1\n"},
		{"a:\n", "  - \"\n"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(around); i++) {
		for (size_t choice = 0; choice <= ARRAY_SIZE(items); choice++) {
			_cleanup_text_ struct text text =
				long_text(around[i][0], 2, choice, BYTES, around[i][1]);

			expect_same(&text);
		}
	}
}

/* A name that the slice gives to another value than what is before it, and one that the slice uses. */
static void anchors_are_seen_by_all(void **state)
{
	_cleanup_text_ struct text again = long_text("x: &a 1\nb:\n", 2, 0, BYTES, "  - &a 2\nc: *a\n");
	_cleanup_text_ struct text used = long_text("x: &a 1\nb:\n", 2, 0, BYTES, "  - *a\nc: *a\n");
	_cleanup_text_ struct text behind = long_text("x: &a 1\nb:\n", 2, 0, BYTES, "c: *a\n");

	(void)state;
	assert_int_equal(expect_same(&again), 3);
	assert_int_equal(expect_same(&used), 3);
	assert_int_equal(expect_same(&behind), 2);
}

static uint32_t next_random(uint32_t *state)
{
	*state = *state * 1664525u + 1013904223u;
	return *state >> 8;
}

/* Near where the text is cut, or anywhere. */
static size_t random_place(const struct yaml_slice *slice, size_t length, uint32_t *random)
{
	const size_t places[] = {slice->start, slice->end, length / 2 + next_random(random) % (length / 2)};
	size_t at = places[next_random(random) % ARRAY_SIZE(places)];

	if (next_random(random) % 4)
		at = at - 100 + next_random(random) % 200;
	return at < length - 1 ? at : length - 2;
}

/* One byte or two are another: documents, sentences and places stay those that one parser alone has. */
static void damaged_texts_are_what_they_are(void **state)
{
	static const char bytes[] = "\n\n -:#&*!|>'\"[]{},?x1\t%~";
	uint32_t random = 7;
	unsigned int taken[4] = {0};

	(void)state;
	for (unsigned int round = 0; round < 300; round++) {
		const char *behind = round % 3 ? "  c: &b 1\n  d: *b\n" : "";
		const char *before = "x: &a 1\n---\n- a: 1\n  b:\n";
		_cleanup_text_ struct text text =
			long_text(before, round % 4, ARRAY_SIZE(items), BYTES * 2 / 3, behind);
		_cleanup_text_ struct text cut = sliced(&text);
		struct yaml_slice slice = {0};
		unsigned int count;

		if (!yaml_slice_find(cut.bytes, cut.length, &slice))
			slice.start = slice.end = text.length / 2;
		for (unsigned int i = 0; i <= round % 2; i++)
			text.bytes[random_place(&slice, text.length, &random)] =
				bytes[next_random(&random) % (sizeof(bytes) - 1)];
		count = expect_same(&text);
		assert_in_range(count, 1, 3);
		taken[count]++;
	}
	/* Both kinds came by. */
	assert_in_range(taken[2], 30, 270);
	assert_in_range(taken[3], 30, 270);
}

static void slices_are_whole_lines_of_a_list(void **state)
{
	_cleanup_text_ struct text text = long_text("a:\n", 2, 0, BYTES, "b: 1\n"), cut = sliced(&text);
	struct yaml_slice slice;

	(void)state;
	assert_false(yaml_slice_find(text.bytes, text.length, &slice));
	assert_true(yaml_slice_find(cut.bytes, cut.length, &slice));
	assert_int_equal(slice.indentation, 2);
	assert_int_equal(cut.bytes[slice.start - 1], '\n');
	assert_memory_equal(cut.bytes + slice.start, "  - ", 4);
	assert_string_equal(cut.bytes + slice.end, "b: 1\n");
	assert_in_range(slice.start, cut.length / 2, cut.length / 2 + 100);
	assert_int_equal(slice.line, 2 + (slice.start - strlen(SLICED "a:\n")) / (strlen(items[0]) + 2));
	assert_false(yaml_slice_find(cut.bytes, 1000, &slice));
	cut.bytes[cut.length - 1] = '\r';
	assert_false(yaml_slice_find(cut.bytes, cut.length, &slice));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_kinds_of_items_are_cut_out),
		cmocka_unit_test(what_is_no_sequence_is_not_cut),
		cmocka_unit_test(anchors_are_seen_by_all),
		cmocka_unit_test(damaged_texts_are_what_they_are),
		cmocka_unit_test(slices_are_whole_lines_of_a_list),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
