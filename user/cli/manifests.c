/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/manifests.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "cli/memory.h"
#include "cli/options.h"
#include "model/decode.h"

#define DIRECTORY_DEPTH_MAX 32

struct loader {
	struct store *store;
	struct problem_list *problems;
	size_t files;
};

static int add_problem(struct loader *loader, const char *path, const char *message)
{
	const struct place place = {.file = path};

	return problem_add(loader->problems, PROBLEM_ERROR, "file", &place, NULL, "%s", message);
}

static int put_object(struct loader *loader, struct object *object)
{
	const struct object *other = store_get(loader->store, object->kind, object->namespace, object->name);

	if (!other)
		return store_put(loader->store, object);
	return problem_add(loader->problems, PROBLEM_ERROR, "conflict", &object->place, object,
			   "the same object is already at %s:%u", other->place.file ? other->place.file : "?",
			   other->place.line);
}

static int put_objects(struct loader *loader, const struct object_list *objects)
{
	size_t i;
	int error = 0;

	for (i = 0; !error && i < objects->count; i++)
		error = put_object(loader, objects->items[i]);
	return error;
}

static int load_file(struct loader *loader, const char *path)
{
	_cleanup_(object_list_clear) struct object_list objects = {0};
	int error = decode_file(path, path, &objects, loader->problems);

	loader->files++;
	if (error == -ENOMEM)
		return error;
	/* Anything else is in problems by now. */
	return error ? 0 : put_objects(loader, &objects);
}

/* All of standard input, at most what a file may hold. */
static int read_input(char **text, size_t *length)
{
	_cleanup_free_ char *buffer = NULL;
	size_t capacity = 0, used = 0, got;

	do {
		if (used > DECODE_FILE_MAX)
			return -EFBIG;
		if (used == capacity) {
			char *grown = realloc(buffer, capacity = capacity ? capacity * 2 : 65536);

			if (!grown)
				return -ENOMEM;
			buffer = grown;
		}
		got = fread(buffer + used, 1, capacity - used, stdin);
		used += got;
	} while (got);
	if (ferror(stdin))
		return -EIO;
	*text = take(buffer);
	*length = used;
	return 0;
}

static int load_input(struct loader *loader)
{
	_cleanup_(object_list_clear) struct object_list objects = {0};
	_cleanup_free_ char *text = NULL;
	size_t length;
	int error = read_input(&text, &length);

	loader->files++;
	if (error == -ENOMEM)
		return error;
	if (error)
		return add_problem(loader, "<stdin>", strerror(-error));
	error = decode_buffer("<stdin>", text, length, &objects, loader->problems);
	if (error == -ENOMEM)
		return error;
	return error ? 0 : put_objects(loader, &objects);
}

static bool is_manifest_name(const char *name)
{
	const char *dot = strrchr(name, '.');

	return dot && (!strcmp(dot, ".yaml") || !strcmp(dot, ".yml") || !strcmp(dot, ".json"));
}

static int compare_texts(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int collect_directory(struct loader *loader, const char *path, unsigned int depth, struct text_list *files);

static int collect_entry(struct loader *loader, const char *directory, const char *name, unsigned int depth,
			 struct text_list *files)
{
	bool slash = directory[strlen(directory) - 1] == '/';
	char *path = format_text("%s%s%s", directory, slash ? "" : "/", name);
	struct stat status;
	int error = 0;

	if (stat(path, &status)) {
		if (is_manifest_name(name))
			error = add_problem(loader, path, strerror(errno));
	} else if (S_ISDIR(status.st_mode)) {
		error = collect_directory(loader, path, depth + 1, files);
	} else if (is_manifest_name(name)) {
		array_push(files->items, files->count, files->capacity, path);
		return 0;
	}
	free(path);
	return error;
}

static int collect_directory(struct loader *loader, const char *path, unsigned int depth, struct text_list *files)
{
	_cleanup_directory_ DIR *directory = NULL;
	struct dirent *entry;
	int error = 0;

	if (depth > DIRECTORY_DEPTH_MAX)
		return add_problem(loader, path, "directories are nested too deep");
	directory = opendir(path);
	if (!directory)
		return add_problem(loader, path, strerror(errno));
	while (!error && (entry = readdir(directory)))
		if (entry->d_name[0] != '.')
			error = collect_entry(loader, path, entry->d_name, depth, files);
	return error;
}

static int load_directory(struct loader *loader, const char *path)
{
	_cleanup_(text_list_clear_owned) struct text_list files = {0};
	int error = collect_directory(loader, path, 0, &files);
	size_t i;

	if (files.count)
		qsort(files.items, files.count, sizeof(*files.items), compare_texts);
	for (i = 0; !error && i < files.count; i++)
		error = load_file(loader, files.items[i]);
	return error;
}

static int load_path(struct loader *loader, const char *path)
{
	struct stat status;

	if (!strcmp(path, "-"))
		return load_input(loader);
	if (!stat(path, &status) && S_ISDIR(status.st_mode))
		return load_directory(loader, path);
	return load_file(loader, path);
}

int manifests_load(const char *const *paths, size_t count, struct store *store, struct problem_list *problems,
		   size_t *files)
{
	struct loader loader = {.store = store, .problems = problems};
	int error = 0;
	size_t i;

	for (i = 0; !error && i < count; i++)
		error = load_path(&loader, paths[i]);
	*files = loader.files;
	return error;
}
