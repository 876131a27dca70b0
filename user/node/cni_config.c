/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/text.h"
#include "node/cni_config.h"
#include "report/state.h"

#define INSTALLED_FILE   "cni.json"
#define CONFIG_SIZE_MAX  (4 << 20)
#define PROGRAM_SIZE_MAX (64 << 20)

static void free_json(json_t **json)
{
	json_decref(*json);
}

static int explain(int error, char *why, size_t size, const char *path, const char *what)
{
	if (error)
		snprintf(why, size, "%s: %s", path, what ? what : strerror(-error));
	return error;
}

/* ------------------------------------------------------------------ files */

struct bytes {
	char *data;
	size_t length;
};

static void free_bytes(struct bytes *bytes)
{
	free(bytes->data);
}

static int read_file(const char *path, size_t limit, struct bytes *out)
{
	_cleanup_(free_bytes) struct bytes bytes = {0};
	_cleanup_file_ FILE *file = fopen(path, "re");
	struct stat status;

	if (!file || fstat(fileno(file), &status))
		return -errno;
	if (!S_ISREG(status.st_mode) || (size_t)status.st_size > limit)
		return -EINVAL;
	bytes.data = malloc((size_t)status.st_size + 1);
	if (!bytes.data)
		return -ENOMEM;
	bytes.length = fread(bytes.data, 1, (size_t)status.st_size, file);
	if (ferror(file))
		return -EIO;
	*out = bytes;
	bytes.data = NULL;
	return 0;
}

static int write_all(int fd, const char *data, size_t length)
{
	while (length) {
		ssize_t count = write(fd, data, length);

		if (count < 0 && errno != EINTR)
			return -errno;
		if (count > 0) {
			data += count;
			length -= (size_t)count;
		}
	}
	return 0;
}

/* Whoever looks at the path sees the old file or the new one, also after a crash. */
static int replace_file(const char *path, const char *data, size_t length, mode_t mode)
{
	_cleanup_free_ char *temporary = text_format("%s.egressd-new", path);
	_cleanup_fd_ int fd = -1;
	int error;

	if (!temporary)
		return -ENOMEM;
	fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, mode);
	if (fd < 0)
		return -errno;
	error = write_all(fd, data, length);
	if (!error && (fchmod(fd, mode) || fsync(fd) || rename(temporary, path)))
		error = -errno;
	if (error)
		unlink(temporary);
	return error;
}

static bool has_suffix(const char *name, const char *suffix)
{
	size_t length = strlen(name), part = strlen(suffix);

	return length > part && !strcmp(name + length - part, suffix);
}

static bool is_config_name(const char *name)
{
	return has_suffix(name, ".conflist") || has_suffix(name, ".conf") || has_suffix(name, ".json");
}

/* The file that runtimes take; the caller frees *out. */
static int find_first(const char *directory, char **out)
{
	_cleanup_directory_ DIR *stream = opendir(directory);
	_cleanup_free_ char *first = NULL;
	struct dirent *entry;

	if (!stream)
		return -errno;
	while ((entry = readdir(stream))) {
		if (!is_config_name(entry->d_name) || (first && strcmp(first, entry->d_name) <= 0))
			continue;
		free(first);
		first = strdup(entry->d_name);
		if (!first)
			return -ENOMEM;
	}
	if (!first)
		return -ENOENT;
	*out = text_format("%s/%s", directory, first);
	return *out ? 0 : -ENOMEM;
}

/* ------------------------------------------------------------------ configurations */

static json_t *make_entry(const struct cni_config *config)
{
	return json_pack("{s:s, s:s, s:s, s:s}", "type", CNI_PLUGIN, "stateDir", config->state, "pinDir", config->pin,
			 "onAgentDown", config->on_agent_down);
}

static bool is_ours(const json_t *plugin)
{
	const char *type = json_string_value(json_object_get(plugin, "type"));

	return type && !strcmp(type, CNI_PLUGIN);
}

/* Takes all of ours out; true: there was one. */
static bool take_out(json_t *network)
{
	json_t *plugins = json_object_get(network, "plugins");
	bool found = false;
	size_t i;

	for (i = json_array_size(plugins); i-- > 0;) {
		if (is_ours(json_array_get(plugins, i))) {
			json_array_remove(plugins, i);
			found = true;
		}
	}
	return found;
}

/* One plugin alone as a list of one. Takes the reference. */
static json_t *as_list(json_t *network)
{
	json_t *version = json_object_get(network, "cniVersion"), *name = json_object_get(network, "name");
	json_t *list;

	if (json_is_array(json_object_get(network, "plugins")))
		return network;
	if (!json_is_string(json_object_get(network, "type")) || !json_is_string(name)) {
		json_decref(network);
		return NULL;
	}
	list = json_pack("{s:O, s:O, s:[O]}", "cniVersion", version ? version : json_null(), "name", name, "plugins",
			 network);
	if (list && !version)
		json_object_del(list, "cniVersion");
	if (list) {
		json_object_del(network, "cniVersion");
		json_object_del(network, "name");
	}
	json_decref(network);
	return list;
}

static int parse(const struct bytes *bytes, json_t **out)
{
	json_t *network = json_loadb(bytes->data, bytes->length, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, NULL);

	network = json_is_object(network) ? as_list(network) : (json_decref(network), NULL);
	if (!network)
		return -EINVAL;
	*out = network;
	return 0;
}

static int write_network(const char *path, const json_t *network)
{
	_cleanup_free_ char *text = json_dumps(network, JSON_INDENT(2));
	_cleanup_free_ char *line = text ? text_format("%s\n", text) : NULL;

	return line ? replace_file(path, line, strlen(line), 0644) : -ENOMEM;
}

/* ------------------------------------------------------------------ installing */

/* "10-net.conf" -> "10-net.conflist" */
static char *list_path(const char *path)
{
	const char *dot = strrchr(path, '.');

	return has_suffix(path, ".conflist") ? strdup(path) : text_format("%.*s.conflist", (int)(dot - path), path);
}

static int put_in(const struct cni_config *config, const char *path, const struct bytes *original, json_t *network)
{
	_cleanup_free_ char *kept = text_format("%s" CNI_ORIGINAL_SUFFIX, path);
	_cleanup_free_ char *target = list_path(path);
	int error;

	if (!kept || !target || json_array_append_new(json_object_get(network, "plugins"), make_entry(config)))
		return -ENOMEM;
	error = replace_file(kept, original->data, original->length, 0644);
	if (!error)
		error = write_network(target, network);
	/* Until here runtimes took the old file, which comes first by name. */
	if (!error && strcmp(path, target) && unlink(path))
		error = -errno;
	return error;
}

/* Ours is there, alone and last and with these settings. */
static bool is_installed(const struct cni_config *config, const json_t *network)
{
	const json_t *plugins = json_object_get(network, "plugins");
	_cleanup_(free_json) json_t *entry = make_entry(config);
	size_t count = json_array_size(plugins), i;

	for (i = 0; i + 1 < count; i++)
		if (is_ours(json_array_get(plugins, i)))
			return false;
	return count && json_equal(json_array_get(plugins, count - 1), entry);
}

/* Ours with other settings, or in another place: what was kept stays what it is. */
static int put_right(const struct cni_config *config, const char *path, json_t *network)
{
	if (json_array_append_new(json_object_get(network, "plugins"), make_entry(config)))
		return -ENOMEM;
	return write_network(path, network);
}

int cni_config_install(const struct cni_config *config, bool *changed, char *why, size_t size)
{
	_cleanup_(free_bytes) struct bytes original = {0};
	_cleanup_(free_json) json_t *network = NULL;
	_cleanup_free_ char *path = NULL;
	int error = find_first(config->directory, &path);

	*changed = false;
	if (error)
		return explain(error, why, size, config->directory,
			       error == -ENOENT ? "holds no network configuration yet" : NULL);
	error = read_file(path, CONFIG_SIZE_MAX, &original);
	if (!error)
		error = parse(&original, &network);
	if (error)
		return explain(error, why, size, path, error == -EINVAL ? "is no network configuration" : NULL);
	if (is_installed(config, network))
		return 0;
	error = take_out(network) ? put_right(config, path, network) : put_in(config, path, &original, network);
	*changed = !error;
	return explain(error, why, size, path, NULL);
}

/* ------------------------------------------------------------------ the program */

static int find_program(char path[PATH_MAX])
{
	static const char *const places[] = {CNI_PLUGIN, "../libexec/egressd/" CNI_PLUGIN};
	char own[PATH_MAX - 64];
	ssize_t length = readlink("/proc/self/exe", own, sizeof(own) - 1);
	size_t i;

	if (length < 0)
		return -errno;
	own[length] = '\0';
	*strrchr(own, '/') = '\0';
	for (i = 0; i < ARRAY_SIZE(places); i++) {
		snprintf(path, PATH_MAX, "%s/%s", own, places[i]);
		if (!access(path, X_OK))
			return 0;
	}
	return -ENOENT;
}

int cni_binary_install(const struct cni_config *config, char *why, size_t size)
{
	_cleanup_free_ char *target = text_format("%s/%s", config->binaries, CNI_PLUGIN);
	_cleanup_(free_bytes) struct bytes program = {0}, present = {0};
	char source[PATH_MAX] = CNI_PLUGIN;
	int error = target ? find_program(source) : -ENOMEM;

	if (!error)
		error = read_file(source, PROGRAM_SIZE_MAX, &program);
	if (error)
		return explain(error, why, size, source, NULL);
	if (!read_file(target, PROGRAM_SIZE_MAX, &present) && present.length == program.length &&
	    !memcmp(present.data, program.data, program.length) && !access(target, X_OK))
		return 0;
	return explain(replace_file(target, program.data, program.length, 0755), why, size, target, NULL);
}

/* ------------------------------------------------------------------ uninstalling */

int cni_config_remember(const struct cni_config *config)
{
	_cleanup_(free_json) json_t *json =
		json_pack("{s:s, s:s}", "directory", config->directory, "binaries", config->binaries);

	return json ? state_write(config->state, INSTALLED_FILE, json) : -ENOMEM;
}

/* The name without the suffix, which the caller frees; NULL: it is no kept file, or memory is short. */
static char *original_path(const char *directory, const char *name)
{
	if (!has_suffix(name, CNI_ORIGINAL_SUFFIX))
		return NULL;
	return text_format("%s/%.*s", directory, (int)(strlen(name) - strlen(CNI_ORIGINAL_SUFFIX)), name);
}

/* What was kept, if nobody changed the rest since; else what there is without ours. */
static int restore(const char *path, const char *list, const char *kept)
{
	_cleanup_(free_bytes) struct bytes original = {0}, present = {0};
	_cleanup_(free_json) json_t *before = NULL, *now = NULL;
	int error = read_file(kept, CONFIG_SIZE_MAX, &original);

	if (error)
		return error;
	error = read_file(list, CONFIG_SIZE_MAX, &present);
	/* The network was taken off the node, and with it goes what was kept of it. */
	if (error == -ENOENT)
		return unlink(kept) ? -errno : 0;
	if (!error)
		error = parse(&present, &now);
	if (error)
		return error;
	if (take_out(now)) {
		if (!parse(&original, &before) && json_equal(before, now))
			error = replace_file(path, original.data, original.length, 0644);
		else
			error = write_network(list, now);
		if (!error && before && json_equal(before, now) && strcmp(path, list) && unlink(list))
			error = -errno;
	}
	if (!error && unlink(kept))
		error = -errno;
	return error;
}

static int restore_directory(const char *directory, bool dry_run, cni_config_visitor visit, void *data)
{
	_cleanup_directory_ DIR *stream = opendir(directory);
	struct dirent *entry;
	int first = 0;

	if (!stream)
		return errno == ENOENT ? 0 : -errno;
	while ((entry = readdir(stream))) {
		_cleanup_free_ char *path = original_path(directory, entry->d_name);
		_cleanup_free_ char *list = path ? list_path(path) : NULL;
		_cleanup_free_ char *kept = text_format("%s/%s", directory, entry->d_name);
		int error;

		if (!list || !kept)
			continue;
		visit(list, data);
		error = dry_run ? 0 : restore(path, list, kept);
		if (!first)
			first = error;
	}
	return first;
}

int cni_config_uninstall(const char *state, bool dry_run, cni_config_visitor visit, void *data)
{
	_cleanup_free_ char *program = NULL, *installed = text_format("%s/%s", state, INSTALLED_FILE);
	_cleanup_(free_json) json_t *json = NULL;
	const char *directory, *binaries;
	int error = installed ? state_read(state, INSTALLED_FILE, &json) : -ENOMEM;

	if (error)
		return error == -ENOENT ? 0 : error;
	if (json_unpack(json, "{s:s, s:s}", "directory", &directory, "binaries", &binaries))
		return -EINVAL;
	program = text_format("%s/%s", binaries, CNI_PLUGIN);
	if (!program)
		return -ENOMEM;
	/* The configuration first: a plugin that it names must be there. */
	error = restore_directory(directory, dry_run, visit, data);
	if (error)
		return error;
	if (!access(program, F_OK))
		visit(program, data);
	if (dry_run)
		return 0;
	if ((unlink(program) && errno != ENOENT) || unlink(installed))
		return -errno;
	return 0;
}
