/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What this kernel's verifier spends on the programs, against the budget in tests/bench/budget, and how it attaches them.
 * Prints both as "# kernel:" lines, which tests/kernels/run collects.
 *
 * The objects are those of build/, or of the directory in $EGRESSD_BPF_OBJECTS: those of another compiler have no
 * budget, but less than half of what the oldest kernel takes must do for them too.
 */
#include <glob.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "base/cleanup.h"
#include "datapath/datapath.h"
#include "datapath/table_maps.h"

#define LOG_LEVEL_STATS  4
#define LOG_SIZE         (1u << 20)
#define PROGRAMS_MAX     32
#define SUBPROGRAMS_MAX  256 /* the kernel's own limit */
#define STACK_GRANULE    32  /* to which the verifier of 5.10 rounds every frame up */
#define INSTRUCTIONS_MAX 499999u /* under half of what a kernel takes */
#define STACK_MAX        255u    /* likewise, over all frames of a chain of calls */

struct cost {
	char name[64];
	uint32_t instructions; /* processed by the verifier, all paths */
	uint32_t stack;	       /* bytes, of the deepest chain of calls */
};

struct measured {
	struct cost cost;
	struct bpf_program *program;
	char *log;
};

/* ---------------------------------------------------------------- depth of calls */

/* The parts of a program as the verifier numbers them: by where they start. */
struct call_graph {
	const struct bpf_insn *instructions;
	size_t instruction_count;
	size_t start[SUBPROGRAMS_MAX + 1]; /* the last is the end */
	uint32_t frame[SUBPROGRAMS_MAX];   /* bytes */
	size_t count;
};

static void add_start(struct call_graph *graph, size_t start)
{
	size_t i = 0;

	while (i < graph->count && graph->start[i] < start)
		i++;
	if (i < graph->count && graph->start[i] == start)
		return;
	assert_in_range(graph->count, 0, SUBPROGRAMS_MAX - 1);
	memmove(&graph->start[i + 1], &graph->start[i], (graph->count - i) * sizeof(*graph->start));
	graph->start[i] = start;
	graph->count++;
}

/* Where the instruction calls, or hands over as a callback, a part of the program; false for any other. */
static bool call_target(const struct call_graph *graph, size_t at, size_t *target)
{
	const struct bpf_insn *instruction = &graph->instructions[at];
	bool call = instruction->code == (BPF_JMP | BPF_CALL) && instruction->src_reg == BPF_PSEUDO_CALL;
	bool callback =
		instruction->code == (BPF_LD | BPF_IMM | BPF_DW) && instruction->src_reg == BPF_PSEUDO_FUNC;

	*target = at + 1 + (size_t)instruction->imm;
	return call || callback;
}

static void find_parts(struct call_graph *graph, struct bpf_program *program)
{
	size_t at, target;

	graph->instructions = bpf_program__insns(program);
	graph->instruction_count = bpf_program__insn_cnt(program);
	add_start(graph, 0);
	for (at = 0; at < graph->instruction_count; at++)
		if (call_target(graph, at, &target))
			add_start(graph, target);
	graph->start[graph->count] = graph->instruction_count;
}

static uint32_t deepest(const struct call_graph *graph, size_t part)
{
	uint32_t below = 0, frame = graph->frame[part] ? graph->frame[part] : 1;
	size_t at, target, callee;

	for (at = graph->start[part]; at < graph->start[part + 1]; at++) {
		uint32_t depth;

		if (!call_target(graph, at, &target))
			continue;
		for (callee = 0; graph->start[callee] != target; callee++)
			;
		depth = deepest(graph, callee);
		if (depth > below)
			below = depth;
	}
	return (frame + STACK_GRANULE - 1) / STACK_GRANULE * STACK_GRANULE + below;
}

/* `frames` is "168+24+48": the bytes of each part. Newer kernels add the sum that they came to, by other rules. */
static uint32_t stack_of(struct bpf_program *program, const char *frames)
{
	struct call_graph graph = {};
	char *end;
	size_t i;

	find_parts(&graph, program);
	for (i = 0; i < graph.count; i++) {
		graph.frame[i] = (uint32_t)strtoul(frames, &end, 10);
		assert_ptr_not_equal(frames, end);
		frames = end + (*end == '+');
	}
	assert_non_null(strchr(" \n", *frames));
	return deepest(&graph, 0);
}

/* ---------------------------------------------------------------- what the verifier says */

static const char *after(const char *text, const char *word)
{
	const char *found = strstr(text, word);

	if (!found)
		fail_msg("the verifier's statistics lack \"%s\": %s", word, text);
	return found + strlen(word);
}

static void prepare(struct bpf_object *object, struct measured *measured, size_t *count)
{
	struct bpf_program *program;
	struct bpf_map *map;

	/* Sizes that are only known at run time. */
	bpf_object__for_each_map(map, object)
		if (!bpf_map__max_entries(map))
			assert_int_equal(bpf_map__set_max_entries(map, 1024), 0);
	bpf_object__for_each_program(program, object) {
		struct measured *one = &measured[*count];

		assert_in_range(*count, 0, PROGRAMS_MAX - 1);
		one->program = program;
		one->log = calloc(1, LOG_SIZE);
		assert_non_null(one->log);
		assert_int_equal(bpf_program__set_log_level(program, LOG_LEVEL_STATS), 0);
		assert_int_equal(bpf_program__set_log_buf(program, one->log, LOG_SIZE), 0);
		++*count;
	}
}

/* What programs may cost depends on whether all chunks of the tables are in one map. */
static void make_tables(struct bpf_object *object, struct table_maps *tables, bool joined)
{
	if (table_map_of(object, TABLE_MAP_FIRST))
		assert_int_equal(table_maps_create(tables, object, 3, joined), 0);
}

static void measure_object(const char *path, bool joined, struct measured *measured, size_t *count)
{
	_cleanup_(table_maps_clear) struct table_maps tables = TABLE_MAPS_INIT;
	struct bpf_object *object = bpf_object__open(path);
	size_t i = *count;

	assert_non_null(object);
	prepare(object, measured, count);
	make_tables(object, &tables, joined);
	if (bpf_object__load(object))
		fail_msg("the kernel did not take the programs of %s", path);
	for (; i < *count; i++) {
		struct measured *one = &measured[i];

		snprintf(one->cost.name, sizeof(one->cost.name), "%s", bpf_program__name(one->program));
		one->cost.instructions = (uint32_t)strtoul(after(one->log, "\nprocessed "), NULL, 10);
		one->cost.stack = stack_of(one->program, after(one->log, "stack depth "));
		free(one->log);
	}
	bpf_object__close(object);
}

/* The directory of objects that are not this build's; NULL: they are. */
static const char *other_objects(void)
{
	return getenv("EGRESSD_BPF_OBJECTS");
}

/* A kernel that takes the tables as one value may be given them as several. */
static void take_dearer(struct cost *cost, const struct cost *other)
{
	assert_string_equal(cost->name, other->name);
	if (other->instructions > cost->instructions)
		cost->instructions = other->instructions;
	if (other->stack > cost->stack)
		cost->stack = other->stack;
}

static size_t measure_all(struct measured measured[PROGRAMS_MAX])
{
	const char *directory = other_objects();
	struct measured joined[PROGRAMS_MAX] = {};
	char pattern[512];
	glob_t objects;
	size_t count = 0, joined_count = 0, i;

	snprintf(pattern, sizeof(pattern), "%s/*.bpf.o", directory ? directory : "build");
	if (glob(pattern, 0, NULL, &objects))
		fail_msg("there is no %s", pattern);
	for (i = 0; i < objects.gl_pathc; i++) {
		measure_object(objects.gl_pathv[i], false, measured, &count);
		measure_object(objects.gl_pathv[i], true, joined, &joined_count);
	}
	globfree(&objects);
	assert_int_equal(joined_count, count);
	for (i = 0; i < count; i++)
		take_dearer(&measured[i].cost, &joined[i].cost);
	return count;
}

/* ---------------------------------------------------------------- the budget */

static struct cost *budget_of(struct cost *budget, size_t *count, const char *name)
{
	size_t i;

	for (i = 0; i < *count; i++)
		if (!strcmp(budget[i].name, name))
			return &budget[i];
	assert_in_range(*count, 0, PROGRAMS_MAX - 1);
	snprintf(budget[i].name, sizeof(budget[i].name), "%s", name);
	++*count;
	return &budget[i];
}

/* "PROGRAM | WHAT | AT MOST"; what is not the verifier's is for others to check. */
static size_t read_budget(struct cost budget[PROGRAMS_MAX])
{
	static const char path[] = "tests/bench/budget";
	FILE *file = fopen(path, "r");
	char line[256], name[64], what[64];
	uint32_t most;
	size_t count = 0;

	if (!file)
		fail_msg("cannot read %s", path);
	while (fgets(line, sizeof(line), file)) {
		if (*line == '#' || *line == '\n')
			continue;
		if (sscanf(line, "%63s | %63[^|] | %u", name, what, &most) != 3)
			fail_msg("%s: expected PROGRAM | WHAT | AT MOST, found %s", path, line);
		if (!strcmp(what, "instructions verified "))
			budget_of(budget, &count, name)->instructions = most;
		else if (!strcmp(what, "bytes of stack "))
			budget_of(budget, &count, name)->stack = most;
	}
	fclose(file);
	return count;
}

static const struct cost *find_budget(const struct cost *budget, size_t count, const char *name)
{
	size_t i;

	for (i = 0; i < count; i++)
		if (!strcmp(budget[i].name, name))
			return &budget[i];
	fail_msg("tests/bench/budget has no line for the program %s", name);
	return NULL;
}

static void programs_cost_the_verifier_no_more_than_their_budget(void **state)
{
	struct measured measured[PROGRAMS_MAX] = {};
	struct cost budget[PROGRAMS_MAX] = {};
	const char *whose = other_objects() ? "other objects" : "kernel";
	size_t count, lines, i;
	bool over = false;

	(void)state;
	lines = read_budget(budget);
	for (i = 0; other_objects() && i < lines; i++) {
		budget[i].instructions = INSTRUCTIONS_MAX;
		budget[i].stack = STACK_MAX;
	}
	count = measure_all(measured);
	assert_true(count > 0);
	for (i = 0; i < count; i++) {
		const struct cost *cost = &measured[i].cost, *limit = find_budget(budget, lines, cost->name);

		printf("# %s: instructions:%s %u\n", whose, cost->name, cost->instructions);
		printf("# %s: stack:%s %u\n", whose, cost->name, cost->stack);
		if (cost->instructions > limit->instructions || cost->stack > limit->stack) {
			printf("# %s: %u instructions, %u bytes of stack; budget %u, %u\n", cost->name,
			       cost->instructions, cost->stack, limit->instructions, limit->stack);
			over = true;
		}
	}
	assert_int_equal(count, lines);
	assert_false(over);
}

static void budgets_keep_head_room(void **state)
{
	struct cost budget[PROGRAMS_MAX] = {};
	size_t lines, i;

	(void)state;
	lines = read_budget(budget);
	for (i = 0; i < lines; i++) {
		assert_in_range(budget[i].instructions, 1, INSTRUCTIONS_MAX);
		assert_in_range(budget[i].stack, 1, STACK_MAX);
	}
}

static void programs_are_attached_one_way_or_the_other(void **state)
{
	const struct datapath_options options = {.pin = "/sys/fs/bpf/verifier", .attach = ATTACH_AUTO};
	struct datapath *datapath = NULL;
	const char *kind;

	(void)state;
	if (datapath_open(&options, &datapath))
		fail_msg("%s", datapath_error());
	kind = attach_kind_name(datapath_attach_kind(datapath));
	printf("# kernel: attach %s\n", kind);
	assert_true(!strcmp(kind, "tcx") || !strcmp(kind, "clsact"));
	datapath_close(datapath);
	datapath_discard_pins(options.pin);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(programs_cost_the_verifier_no_more_than_their_budget),
		cmocka_unit_test(budgets_keep_head_room),
		cmocka_unit_test(programs_are_attached_one_way_or_the_other),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
