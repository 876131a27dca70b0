/* SPDX-License-Identifier: Apache-2.0 */
/* Rows once each, and which policy set uses which row for which address classes. */
#include "cli/dump.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "cli/columns.h"
#include "cli/memory.h"
#include "cli/output.h"
#include "cli/port_ranges.h"

static const char *const set_titles[] = {">SET", "CLASSES", ">ROW", "PODS"};
static const char *const row_titles[] = {">ROW", "PROTOCOL", "PORTS", "VERDICT", "RULE"};

/* A row that a set uses for some address classes. */
struct use {
	uint32_t set, row, class;
};

struct uses {
	struct use *items;
	size_t count, capacity;
};

struct row_dump {
	struct dump *dump;
	struct bank bank;
	struct port_ranges classes;
	uint32_t *endpoint_sets; /* by endpoint id; EGRESS_SET_PENDING where there is no endpoint */
	struct uses uses;        /* sorted by set, row, class */
};

static void row_dump_clear(struct row_dump *rows)
{
	port_ranges_clear(&rows->classes);
	free(rows->endpoint_sets);
	free(rows->uses.items);
}

static int compare_numbers(uint32_t a, uint32_t b)
{
	return (a > b) - (a < b);
}

static int compare_uses(const void *a, const void *b)
{
	const struct use *x = a, *y = b;

	if (x->set != y->set)
		return compare_numbers(x->set, y->set);
	return x->row != y->row ? compare_numbers(x->row, y->row) : compare_numbers(x->class, y->class);
}

static int compare_words(const void *a, const void *b)
{
	return compare_numbers(*(const uint32_t *)a, *(const uint32_t *)b);
}

static int read_endpoint_sets(struct row_dump *rows)
{
	_cleanup_free_ struct egress_endpoint *endpoints = NULL;
	size_t count, i;
	int error = datapath_endpoint_list(rows->dump->datapath, &endpoints, &count);

	if (error)
		return error;
	rows->endpoint_sets = allocate(EGRESS_ENDPOINT_MAX, sizeof(*rows->endpoint_sets));
	for (i = 0; i < EGRESS_ENDPOINT_MAX; i++)
		rows->endpoint_sets[i] = EGRESS_SET_PENDING;
	for (i = 0; !error && i < count; i++)
		if (endpoints[i].id < EGRESS_ENDPOINT_MAX)
			error = bank_set(&rows->bank, endpoints[i].id, &rows->endpoint_sets[endpoints[i].id]);
	return error;
}

static int read_set(struct row_dump *rows, uint32_t set)
{
	uint32_t class;

	for (class = 0; class < rows->bank.words.class_count; class ++) {
		struct use use = {.set = set, .class = class};

		if (bank_row(&rows->bank, set, class, &use.row))
			return -EINVAL;
		array_push(rows->uses.items, rows->uses.count, rows->uses.capacity, use);
	}
	return 0;
}

static int read_uses(struct row_dump *rows)
{
	_cleanup_free_ uint32_t *sets = allocate(EGRESS_ENDPOINT_MAX, sizeof(*sets));
	size_t i;
	int error = 0;

	memcpy(sets, rows->endpoint_sets, EGRESS_ENDPOINT_MAX * sizeof(*sets));
	qsort(sets, EGRESS_ENDPOINT_MAX, sizeof(*sets), compare_words);
	for (i = 0; !error && i < EGRESS_ENDPOINT_MAX; i++)
		if (set_is_address(sets[i]) && (!i || sets[i] != sets[i - 1]))
			error = read_set(rows, sets[i]);
	if (!error && rows->uses.count)
		qsort(rows->uses.items, rows->uses.count, sizeof(*rows->uses.items), compare_uses);
	return error;
}

static int read_rows(struct row_dump *rows)
{
	int error = kernel_bank(rows->dump->datapath, &rows->bank);

	if (error)
		return error;
	error = bank_port_classes(&rows->bank, &rows->classes);
	if (!error)
		error = read_endpoint_sets(rows);
	if (!error)
		error = read_uses(rows);
	if (kernel_bank_check(&rows->bank))
		return -EAGAIN;
	if (error)
		log_error("the pinned tables do not hold together");
	return error;
}

/* Uses from `first` on that share set and row; returns where the next begin. */
static size_t group_end(const struct row_dump *rows, size_t first)
{
	const struct use *uses = rows->uses.items;
	size_t end = first;

	while (end < rows->uses.count && uses[end].set == uses[first].set && uses[end].row == uses[first].row)
		end++;
	return end;
}

/* "0-3,7"; the caller frees it. */
static char *class_numbers(const struct use *uses, size_t count)
{
	char *text = copy_text(""), *longer;
	size_t i, last;

	for (i = 0; i < count; i = last + 1) {
		for (last = i; last + 1 < count && uses[last + 1].class == uses[last].class + 1; last++)
			;
		if (last == i)
			longer = format_text("%s%s%u", text, i ? "," : "", uses[i].class);
		else
			longer = format_text("%s%s%u-%u", text, i ? "," : "", uses[i].class, uses[last].class);
		free(text);
		text = longer;
	}
	return text;
}

static json_t *set_pods(const struct row_dump *rows, uint32_t set)
{
	json_t *pods = json_new_array();
	uint32_t id;

	for (id = 0; id < EGRESS_ENDPOINT_MAX; id++) {
		_cleanup_free_ char *name = NULL;

		if (rows->endpoint_sets[id] != set)
			continue;
		name = endpoint_text(&rows->dump->state, id);
		json_append(pods, json_text(name));
	}
	return pods;
}

static char *set_pods_text(const struct row_dump *rows, uint32_t set)
{
	_cleanup_(json_clear) json_t *pods = set_pods(rows, set);
	char *text = copy_text(""), *longer;
	size_t i;

	for (i = 0; i < json_array_size(pods); i++) {
		longer = format_text("%s%s%s", text, i ? "," : "", json_string_value(json_array_get(pods, i)));
		free(text);
		text = longer;
	}
	return text;
}

static void print_sets(const struct row_dump *rows)
{
	_cleanup_(columns_clear) struct columns *columns = columns_new(set_titles, ARRAY_SIZE(set_titles));
	size_t first, end;

	for (first = 0; first < rows->uses.count; first = end) {
		const struct use *use = &rows->uses.items[first];
		_cleanup_free_ char *pods = set_pods_text(rows, use->set), *numbers = NULL;

		end = group_end(rows, first);
		numbers = class_numbers(use, end - first);
		columns_format(columns, "%u", use->set);
		columns_add(columns, numbers);
		columns_format(columns, "%u", use->row);
		columns_add(columns, pods);
	}
	columns_print(columns, stdout);
}

/* The rows in use, sorted, each once; the caller frees it. */
static uint32_t *distinct_rows(const struct row_dump *rows, size_t *count)
{
	uint32_t *list = allocate(rows->uses.count, sizeof(*list));
	size_t i, used = 0;

	for (i = 0; i < rows->uses.count; i++)
		list[i] = rows->uses.items[i].row;
	qsort(list, rows->uses.count, sizeof(*list), compare_words);
	for (i = 0; i < rows->uses.count; i++)
		if (!used || list[used - 1] != list[i])
			list[used++] = list[i];
	*count = used;
	return list;
}

static int add_row_cells(const struct row_dump *rows, uint32_t row, struct columns *columns)
{
	_cleanup_(port_ranges_clear) struct port_ranges cells = {0};
	size_t i;

	if (bank_row_cells(&rows->bank, &rows->classes, row, &cells))
		return -EINVAL;
	for (i = 0; i < cells.count; i++) {
		const struct port_range *range = &cells.items[i];
		_cleanup_free_ char *rule = rule_text(&rows->dump->state.rules, range->value);
		const char *protocol = port_ranges_protocol(&cells, i);
		char ports[PORT_RANGE_TEXT_SIZE];

		if (!protocol)
			continue;
		columns_format(columns, "%u", row);
		columns_add(columns, protocol);
		columns_add(columns, port_range_text(range, ports));
		columns_add(columns, range->value & EGRESS_CELL_ALLOW ? "allow" : "deny");
		columns_add(columns, rule);
	}
	return 0;
}

static int print_rows(const struct row_dump *rows)
{
	_cleanup_(columns_clear) struct columns *columns = columns_new(row_titles, ARRAY_SIZE(row_titles));
	_cleanup_free_ uint32_t *list = NULL;
	size_t count, i;
	int error = 0;

	list = distinct_rows(rows, &count);
	for (i = 0; !error && i < count; i++)
		error = add_row_cells(rows, list[i], columns);
	if (!error) {
		print_sets(rows);
		printf("\n");
		columns_print(columns, stdout);
	}
	return error;
}

static json_t *encode_uses(const struct row_dump *rows)
{
	json_t *array = json_new_array();
	size_t first, end, i;

	for (first = 0; first < rows->uses.count; first = end) {
		const struct use *use = &rows->uses.items[first];
		json_t *object = json_new_object(), *classes = json_new_array();

		end = group_end(rows, first);
		for (i = first; i < end; i++)
			json_append(classes, json_integer(rows->uses.items[i].class));
		json_put_number(object, "set", use->set);
		json_put_number(object, "row", use->row);
		json_put(object, "classes", classes);
		json_put(object, "pods", set_pods(rows, use->set));
		json_append(array, object);
	}
	return array;
}

static int encode_cells(const struct row_dump *rows, uint32_t row, json_t *array)
{
	_cleanup_(port_ranges_clear) struct port_ranges cells = {0};
	size_t i;

	if (bank_row_cells(&rows->bank, &rows->classes, row, &cells))
		return -EINVAL;
	for (i = 0; i < cells.count; i++) {
		const struct port_range *range = &cells.items[i];
		_cleanup_free_ char *words = rule_short_text(&rows->dump->state.rules, range->value);
		const char *protocol = port_ranges_protocol(&cells, i);
		json_t *object;

		if (!protocol)
			continue;
		object = json_new_object();
		json_put_number(object, "row", row);
		json_put_text(object, "protocol", protocol);
		json_put(object, "first", range->protocol >= PORTLESS ? json_null() : json_integer(range->first));
		json_put(object, "last", range->protocol >= PORTLESS ? json_null() : json_integer(range->last));
		json_put_text(object, "verdict", range->value & EGRESS_CELL_ALLOW ? "allow" : "deny");
		json_put_text(object, "by", words);
		json_put(object, "rule", rule_encode(&rows->dump->state.rules, range->value));
		json_append(array, object);
	}
	return 0;
}

static int encode_rows(const struct row_dump *rows, json_t **out)
{
	_cleanup_(json_clear) json_t *cells = json_new_array();
	_cleanup_free_ uint32_t *list = NULL;
	size_t count, i;
	int error = 0;
	json_t *object;

	list = distinct_rows(rows, &count);
	for (i = 0; !error && i < count; i++)
		error = encode_cells(rows, list[i], cells);
	if (error)
		return error;
	object = json_new_object();
	json_put_number(object, "generation", rows->bank.words.generation);
	json_put(object, "sets", encode_uses(rows));
	json_put(object, "rows", take(cells));
	*out = object;
	return 0;
}

int dump_rows(struct dump *dump, json_t **out)
{
	_cleanup_(row_dump_clear) struct row_dump rows = {.dump = dump};
	int error = read_rows(&rows);

	if (error)
		return error;
	error = dump->settings->output == OUTPUT_JSON ? encode_rows(&rows, out) : print_rows(&rows);
	if (error)
		log_error("the pinned tables do not hold together");
	return error;
}
