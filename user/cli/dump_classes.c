/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/dump.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "cli/columns.h"
#include "cli/known_addresses.h"
#include "cli/memory.h"
#include "cli/output.h"
#include "cli/prefixes.h"

static const char *const titles[] = {">CLASS", "ADDRESSES", "WHOSE"};

/* Addresses by class; index is the class. */
struct class_list {
	struct address_set *items;
	size_t count;
};

static void class_list_clear(struct class_list *list)
{
	size_t i;

	for (i = 0; i < list->count; i++)
		address_set_clear(&list->items[i]);
	free(list->items);
}

static int collect(const struct class_range *range, void *data)
{
	struct class_list *list = data;

	if (range->class >= list->count)
		return -EINVAL;
	address_set_append(&list->items[range->class], &range->first, &range->last);
	return 0;
}

/* Whose a single address is; NULL: nobody's, or more than one address. */
static const struct object *range_owner(const struct address_range *range, const struct known_addresses *known)
{
	return address_range_is_single(range) ? known_addresses_find(known, &range->first) : NULL;
}

static json_t *encode_class(uint32_t class, const struct address_set *set, const struct known_addresses *known)
{
	json_t *object = json_new_object(), *ranges = json_new_array(), *names = json_new_array();
	char text[ADDRESS_RANGE_TEXT_SIZE];
	size_t i;

	for (i = 0; i < set->count; i++)
		json_append(ranges, json_text(address_range_text(&set->items[i], text)));
	for (i = 0; i < set->count; i++) {
		const struct object *owner = range_owner(&set->items[i], known);
		_cleanup_free_ char *name = owner ? known_object_text(owner) : NULL;

		if (name)
			json_append(names, json_text(name));
	}
	json_put_number(object, "class", class);
	json_put(object, "addresses", ranges);
	json_put(object, "objects", names);
	return object;
}

static void add_rows(struct columns *columns, uint32_t class, const struct address_set *set,
		     const struct known_addresses *known)
{
	size_t i;

	for (i = 0; i < set->count; i++) {
		const struct object *owner = range_owner(&set->items[i], known);
		_cleanup_free_ char *name = owner ? known_object_text(owner) : NULL;
		char text[ADDRESS_RANGE_TEXT_SIZE];

		columns_format(columns, "%u", class);
		columns_add(columns, address_range_text(&set->items[i], text));
		columns_add(columns, name);
	}
}

static int write_classes(const struct dump *dump, const struct class_list *list, json_t **out)
{
	_cleanup_(columns_clear) struct columns *columns = columns_new(titles, ARRAY_SIZE(titles));
	_cleanup_(known_addresses_clear) struct known_addresses known;
	_cleanup_(json_clear) json_t *array = json_new_array();
	uint32_t class;

	known_addresses_read(dump->store, &known);
	for (class = 0; class < list->count; class ++) {
		if (dump->settings->output == OUTPUT_JSON)
			json_append(array, encode_class(class, &list->items[class], &known));
		else
			add_rows(columns, class, &list->items[class], &known);
	}
	if (dump->settings->output == OUTPUT_JSON)
		*out = take(array);
	else
		columns_print(columns, stdout);
	return 0;
}

int dump_classes(struct dump *dump, json_t **out)
{
	_cleanup_(class_list_clear) struct class_list list = {0};
	struct bank bank;
	int error = kernel_bank(dump->datapath, &bank);

	if (error)
		return error;
	list.count = bank.words.class_count;
	list.items = allocate(list.count, sizeof(*list.items));
	error = bank_each_class(&bank, collect, &list);
	if (kernel_bank_check(&bank))
		return -EAGAIN;
	if (error) {
		log_error("the pinned tables do not hold together");
		return error;
	}
	return write_classes(dump, &list, out);
}
