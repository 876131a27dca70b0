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

/* NULL: any state directory. An entry that names none means the usual one. */
static bool is_of_state(const json_t *plugin, const char *state)
{
	const char *named = json_string_value(json_object_get(plugin, "stateDir"));

	return !state || !strcmp(named ? named : STATE_DIRECTORY, state);
}

static bool names_us(const json_t *network)
{
	const json_t *plugins = json_object_get(network, "plugins");
	size_t i;

	for (i = 0; i < json_array_size(plugins); i++)
		if (is_ours(json_array_get(plugins, i)))
			return true;
	return false;
}

/* Takes all of ours out that are of this state directory (NULL: any); true: there was one. */
static bool take_out(json_t *network, const char *state)
{
	json_t *plugins = json_object_get(network, "plugins");
	bool found = false;
	size_t i;

	for (i = json_array_size(plugins); i-- > 0;) {
		const json_t *plugin = json_array_get(plugins, i);

		if (is_ours(plugin) && is_of_state(plugin, state)) {
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
	error = take_out(network, NULL) ? put_right(config, path, network) : put_in(config, path, &original, network);
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

struct undoing {
	const struct cni_removal *removal;
	const char *state; /* whose entries go; NULL: anybody's */
	bool found;        /* something of ours was there */
	bool left;         /* somebody else's entry still names the program */
	char *why;
	size_t size;
};

/* A network configuration, and what was kept of it (NULL: nothing was). */
struct network_file {
	const char *path; /* what was there before */
	const char *list; /* what is there now */
	const char *kept;
};

static int read_network(const char *path, json_t **out)
{
	_cleanup_(free_bytes) struct bytes bytes = {0};
	int error = read_file(path, CONFIG_SIZE_MAX, &bytes);

	return error ? error : parse(&bytes, out);
}

/* What was kept, if nobody changed the rest since; else what there is now, from which ours was taken out. */
static int give_back(const struct network_file *file, const json_t *now)
{
	_cleanup_(free_bytes) struct bytes original = {0};
	_cleanup_(free_json) json_t *before = NULL;
	int error = file->kept ? read_file(file->kept, CONFIG_SIZE_MAX, &original) : 0;

	if (error)
		return error;
	if (!file->kept || parse(&original, &before) || !json_equal(before, now))
		return write_network(file->list, now);
	error = replace_file(file->path, original.data, original.length, 0644);
	if (!error && strcmp(file->path, file->list) && unlink(file->list))
		error = -errno;
	return error;
}

static void tell(const struct undoing *undoing, enum cni_removal_step step, const char *path)
{
	undoing->removal->visit(step, path, undoing->removal->data);
}

static int undo_network(struct undoing *undoing, const struct network_file *file)
{
	_cleanup_(free_json) json_t *now = NULL;
	int error = read_network(file->list, &now);
	bool taken = !error && take_out(now, undoing->state), named = !error && names_us(now);

	/* The network was taken off the node, and with it goes what was kept of it. */
	if (error == -ENOENT && file->kept)
		error = 0;
	/* Not every file there is a network's; what ours was put into must be. */
	if (error)
		return file->kept ? explain(error, undoing->why, undoing->size, file->list, NULL) : 0;
	if (named) {
		undoing->left = true;
		tell(undoing, CNI_LEFT, file->list);
	}
	if (!taken && (named || !file->kept))
		return 0;
	undoing->found = true;
	if (taken && !undoing->removal->dry_run)
		error = give_back(file, now);
	if (!error && file->kept && !named && !undoing->removal->dry_run && unlink(file->kept))
		error = -errno;
	if (!error)
		tell(undoing, CNI_TAKEN_OUT, file->list);
	return explain(error, undoing->why, undoing->size, file->list, NULL);
}

/* The name without the suffix, which the caller frees; NULL: it is no kept file, or memory is short. */
static char *original_path(const char *directory, const char *name)
{
	if (!has_suffix(name, CNI_ORIGINAL_SUFFIX))
		return NULL;
	return text_format("%s/%.*s", directory, (int)(strlen(name) - strlen(CNI_ORIGINAL_SUFFIX)), name);
}

static int undo_kept(struct undoing *undoing, const char *directory, const char *name)
{
	_cleanup_free_ char *path = original_path(directory, name);
	_cleanup_free_ char *list = path ? list_path(path) : NULL;
	_cleanup_free_ char *kept = text_format("%s/%s", directory, name);
	const struct network_file file = {path, list, kept};

	if (!has_suffix(name, CNI_ORIGINAL_SUFFIX))
		return 0;
	return list && kept ? undo_network(undoing, &file) : -ENOMEM;
}

/* Whether something was kept of this network, be it a list or the plugin that a list took the place of. */
static bool has_original(const char *path)
{
	static const char *const suffixes[] = {".conflist", ".conf", ".json"};
	int stem = (int)(strrchr(path, '.') - path);
	bool found = false;
	size_t i;

	for (i = 0; i < (has_suffix(path, ".conflist") ? ARRAY_SIZE(suffixes) : 0); i++) {
		_cleanup_free_ char *kept = text_format("%.*s%s" CNI_ORIGINAL_SUFFIX, stem, path, suffixes[i]);

		found = found || (kept && !access(kept, F_OK));
	}
	return found;
}

/* An entry beside which nothing is kept: somebody wrote it, or removed what was kept. */
static int undo_unkept(struct undoing *undoing, const char *directory, const char *name)
{
	_cleanup_free_ char *path = text_format("%s/%s", directory, name);
	const struct network_file file = {path, path, NULL};

	if (!is_config_name(name))
		return 0;
	if (!path)
		return -ENOMEM;
	return has_original(path) ? 0 : undo_network(undoing, &file);
}

/* Its first error; the other files do not stay for it. */
static int undo_each(struct undoing *undoing, const char *directory,
		     int (*undo)(struct undoing *undoing, const char *directory, const char *name))
{
	_cleanup_directory_ DIR *stream = opendir(directory);
	struct dirent *entry;
	int first = 0;

	if (!stream)
		return -errno;
	while ((entry = readdir(stream))) {
		int error = undo(undoing, directory, entry->d_name);

		if (!first)
			first = error;
	}
	return first;
}

static int undo_directory(struct undoing *undoing, const char *directory)
{
	int error = undo_each(undoing, directory, undo_kept);

	return error ? error : undo_each(undoing, directory, undo_unkept);
}

/*
 * Where ours was put, or is said to be: a directory that is not there is one that is not mounted here, and to pass it over
 * would leave in force on the node what refers to a program and an agent that are gone.
 */
static int undo_known(struct undoing *undoing, const char *directory)
{
	undoing->state = NULL;
	if (access(directory, F_OK))
		return explain(-errno, undoing->why, undoing->size, directory,
			       "egress-cni was put there, but this directory is not there, or not mounted");
	return undo_directory(undoing, directory);
}

/* Where it may have been put by an agent whose record a restart of the node took away. */
static int undo_usual(struct undoing *undoing, const char *directory)
{
	undoing->state = undoing->removal->state;
	return access(directory, F_OK) ? 0 : undo_directory(undoing, directory);
}

static int remove_program(const struct undoing *undoing, const char *binaries, bool known)
{
	_cleanup_free_ char *program = text_format("%s/%s", binaries, CNI_PLUGIN);
	int error = 0;

	if (!program)
		return -ENOMEM;
	if (known && access(binaries, F_OK))
		return explain(-errno, undoing->why, undoing->size, binaries,
			       "egress-cni was put there, but this directory is not there, or not mounted");
	if (access(program, F_OK))
		return 0;
	if (!undoing->removal->dry_run && unlink(program))
		error = -errno;
	if (!error)
		tell(undoing, CNI_TAKEN_OUT, program);
	return explain(error, undoing->why, undoing->size, program, NULL);
}

struct record {
	const char *directory, *binaries; /* NULL: nothing is recorded */
};

static bool is_recorded(const char *path, const char *recorded)
{
	return recorded && !strcmp(path, recorded);
}

static int undo_networks(struct undoing *undoing, const struct record *record)
{
	const char *given = undoing->removal->directory;
	int error = record->directory ? undo_known(undoing, record->directory) : 0;

	if (!error && given && !is_recorded(given, record->directory))
		error = undo_known(undoing, given);
	if (!error && !given && !is_recorded(CNI_CONFIGURATION, record->directory))
		error = undo_usual(undoing, CNI_CONFIGURATION);
	return error;
}

/* Somebody else's network that names the program needs it; one that merely lies in the usual place may be anybody's. */
static int remove_programs(const struct undoing *undoing, const struct record *record)
{
	const char *given = undoing->removal->binaries;
	int error = 0;

	if (undoing->left)
		return 0;
	if (record->binaries)
		error = remove_program(undoing, record->binaries, true);
	if (!error && given && !is_recorded(given, record->binaries))
		error = remove_program(undoing, given, true);
	if (!error && !given && undoing->found && !is_recorded(CNI_BINARIES, record->binaries))
		error = remove_program(undoing, CNI_BINARIES, false);
	return error;
}

int cni_config_uninstall(const struct cni_removal *removal, char *why, size_t size)
{
	_cleanup_free_ char *installed = text_format("%s/%s", removal->state, INSTALLED_FILE);
	struct undoing undoing = {.removal = removal, .why = why, .size = size};
	_cleanup_(free_json) json_t *json = NULL;
	struct record record = {0};
	int error = installed ? state_read(removal->state, INSTALLED_FILE, &json) : -ENOMEM;

	snprintf(why, size, "no memory");
	if (json && json_unpack(json, "{s:s, s:s}", "directory", &record.directory, "binaries", &record.binaries))
		error = -EINVAL;
	if (error && error != -ENOENT)
		return explain(error, why, size, installed ? installed : removal->state,
			       error == -EINVAL ? "is damaged" : NULL);
	/* The configuration first: a plugin that it names must be there. */
	error = undo_networks(&undoing, &record);
	if (!error)
		error = remove_programs(&undoing, &record);
	if (!error && json && !removal->dry_run && unlink(installed))
		error = explain(-errno, why, size, installed, NULL);
	return error;
}
