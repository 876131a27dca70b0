/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/dump.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/bpf.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "cli/columns.h"
#include "cli/memory.h"
#include "cli/options.h"
#include "cli/output.h"

static const char *const titles[] = {"MAP", ">ID", "TYPE", ">KEY", ">VALUE", ">ENTRIES", "PIN"};

/* Programs are pinned beside the maps, and the kernel would describe them just as readily. */
static bool is_map(int fd)
{
	_cleanup_free_ char *path = format_text("/proc/self/fd/%d", fd);
	char target[64] = "";

	return readlink(path, target, sizeof(target) - 1) > 0 && strstr(target, "bpf-map");
}

/* -ENOENT also where something else than a map is pinned. */
static int read_map(const char *path, struct bpf_map_info *info)
{
	_cleanup_fd_ int fd = bpf_obj_get(path);
	__u32 size = sizeof(*info);

	if (fd < 0)
		return -errno;
	if (!is_map(fd))
		return -ENOENT;
	return bpf_obj_get_info_by_fd(fd, info, &size) ? -errno : 0;
}

static const char *type_name(const struct bpf_map_info *info)
{
	const char *name = libbpf_bpf_map_type_str(info->type);

	return name ? name : "unknown";
}

static void add_row(struct columns *columns, const char *name, const char *path, const struct bpf_map_info *info)
{
	columns_add(columns, name);
	columns_format(columns, "%u", info->id);
	columns_add(columns, type_name(info));
	columns_format(columns, "%u", info->key_size);
	columns_format(columns, "%u", info->value_size);
	columns_format(columns, "%u", info->max_entries);
	columns_add(columns, path);
}

static json_t *encode_map(const char *name, const char *path, const struct bpf_map_info *info)
{
	json_t *object = json_new_object();

	json_put_text(object, "name", name);
	json_put_number(object, "id", info->id);
	json_put_text(object, "type", type_name(info));
	json_put_number(object, "key_size", info->key_size);
	json_put_number(object, "value_size", info->value_size);
	json_put_number(object, "max_entries", info->max_entries);
	json_put_text(object, "pin", path);
	return object;
}

static int compare_texts(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Everything pinned in the directory itself; links are in one below it. */
static int list_pins(const char *path, struct text_list *names)
{
	_cleanup_directory_ DIR *directory = opendir(path);
	struct dirent *entry;

	if (!directory)
		return -errno;
	while ((entry = readdir(directory)))
		if (entry->d_name[0] != '.' && entry->d_type != DT_DIR)
			array_push(names->items, names->count, names->capacity, copy_text(entry->d_name));
	if (names->count)
		qsort(names->items, names->count, sizeof(*names->items), compare_texts);
	return 0;
}

static int write_maps(const char *directory, const struct text_list *names, struct columns *columns, json_t *array)
{
	size_t i;

	for (i = 0; i < names->count; i++) {
		_cleanup_free_ char *path = format_text("%s/%s", directory, names->items[i]);
		struct bpf_map_info info = {0};
		int error = read_map(path, &info);

		/* No map, or the agent has replaced it just now. */
		if (error == -ENOENT)
			continue;
		if (error) {
			log_error("%s: %s", path, strerror(-error));
			return error;
		}
		add_row(columns, names->items[i], path, &info);
		json_append(array, encode_map(names->items[i], path, &info));
	}
	return 0;
}

int dump_maps(struct dump *dump, json_t **out)
{
	_cleanup_free_ char *directory = format_text("%s/v%d", dump->settings->pin, EGRESS_CONTRACT_VERSION);
	_cleanup_(columns_clear) struct columns *columns = columns_new(titles, ARRAY_SIZE(titles));
	_cleanup_(json_clear) json_t *array = json_new_array();
	_cleanup_(text_list_clear_owned) struct text_list names = {0};
	int error = list_pins(directory, &names);

	if (error) {
		log_error("%s: %s", directory, strerror(-error));
		return error;
	}
	error = write_maps(directory, &names, columns, array);
	if (error)
		return error;
	if (dump->settings->output == OUTPUT_JSON)
		*out = take(array);
	else
		columns_print(columns, stdout);
	return 0;
}
