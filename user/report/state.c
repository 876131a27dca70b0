/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "report/state.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"

/* Creates each directory on the way that is missing. */
int state_directory_prepare(const char *directory)
{
	_cleanup_free_ char *path = strdup(directory);
	struct stat status;
	char *slash;

	if (!path)
		return -ENOMEM;
	for (slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		if (mkdir(path, 0755) && errno != EEXIST)
			return -errno;
		*slash = '/';
	}
	if (mkdir(path, 0700) && errno != EEXIST)
		return -errno;
	if (stat(path, &status))
		return -errno;
	return S_ISDIR(status.st_mode) ? 0 : -ENOTDIR;
}

static int write_text(int fd, const char *text, size_t length)
{
	while (length) {
		ssize_t count = write(fd, text, length);

		if (count < 0 && errno == EINTR)
			continue;
		if (count < 0)
			return -errno;
		text += count;
		length -= count;
	}
	return 0;
}

static int write_callback(const char *text, size_t length, void *data)
{
	return fwrite(text, 1, length, data) == length ? 0 : -1;
}

/* Buffered: jansson hands over a few bytes at a time. */
static int write_json(int fd, const json_t *json)
{
	_cleanup_free_ char *text = NULL;
	size_t length = 0;
	FILE *memory = open_memstream(&text, &length);
	int error;

	if (!memory)
		return -ENOMEM;
	error = json_dump_callback(json, write_callback, memory, JSON_COMPACT);
	if (!error && fputc('\n', memory) == EOF)
		error = -1;
	if (fclose(memory) || error)
		return -ENOMEM;
	return write_text(fd, text, length);
}

/* What stands in a temporary file must be on disk before it gets the name of the old one. */
static int write_and_rename(int directory, const char *temporary, const char *name, const json_t *json)
{
	_cleanup_fd_ int fd = openat(directory, temporary, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
	int error;

	if (fd < 0)
		return -errno;
	error = write_json(fd, json);
	if (error)
		return error;
	if (fchmod(fd, 0600) || fsync(fd) || renameat(directory, temporary, directory, name))
		return -errno;
	fsync(directory);
	return 0;
}

int state_write(const char *directory, const char *name, const json_t *json)
{
	_cleanup_free_ char *temporary = NULL;
	_cleanup_fd_ int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int error;

	if (fd < 0)
		return -errno;
	if (asprintf(&temporary, ".%s.new", name) < 0) {
		temporary = NULL;
		return -ENOMEM;
	}
	error = write_and_rename(fd, temporary, name, json);
	if (error)
		unlinkat(fd, temporary, 0);
	return error;
}

int state_directory_remove(const char *directory)
{
	static const char *const names[] = {STATE_FILE, STATE_OBJECTS_FILE, "." STATE_FILE ".new",
					    "." STATE_OBJECTS_FILE ".new", STATE_OBJECTS_DAMAGED};
	_cleanup_fd_ int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	size_t i;

	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	for (i = 0; i < ARRAY_SIZE(names); i++)
		if (unlinkat(fd, names[i], 0) && errno != ENOENT)
			return -errno;
	/* A mount point stays, and so it does in a read-only root directory, as in the DaemonSet's containers (EROFS). */
	if (!rmdir(directory) || errno == ENOTEMPTY || errno == EEXIST || errno == EBUSY || errno == EROFS)
		return 0;
	return -errno;
}

int state_read(const char *directory, const char *name, json_t **out)
{
	_cleanup_free_ char *path = NULL;
	_cleanup_file_ FILE *file = NULL;
	json_error_t place;
	json_t *json;

	if (asprintf(&path, "%s/%s", directory, name) < 0) {
		path = NULL;
		return -ENOMEM;
	}
	file = fopen(path, "re");
	if (!file)
		return -errno;
	json = json_loadf(file, JSON_REJECT_DUPLICATES, &place);
	if (!json) {
		log_debug("%s:%d:%d: %s", path, place.line, place.column, place.text);
		return json_error_code(&place) == json_error_out_of_memory ? -ENOMEM : -EINVAL;
	}
	*out = json;
	return 0;
}

json_t *state_text(const char *text)
{
	_cleanup_free_ char *copy = NULL;
	json_t *json;
	char *next;

	if (!text)
		return json_null();
	json = json_string(text);
	if (json)
		return json;
	copy = strdup(text);
	if (!copy)
		return NULL;
	for (next = copy; *next; next++)
		if (*next & 0x80)
			*next = '?';
	return json_string(copy);
}

static const char *severity_name(enum problem_severity severity)
{
	static const char *const names[] = {
		[PROBLEM_NOTICE] = "notice",
		[PROBLEM_WARNING] = "warning",
		[PROBLEM_ERROR] = "error",
	};

	return names[severity];
}

static json_t *encode_problem(const struct problem *problem)
{
	return json_pack("{s:s, s:s, s:o, s:i, s:i, s:o, s:o}", "severity", severity_name(problem->severity), "rule",
			 problem->rule, "file", state_text(problem->file), "line", (int)problem->line, "column",
			 (int)problem->column, "object", state_text(problem->object), "message",
			 state_text(problem->message));
}

json_t *state_encode_problems(const struct problem_list *problems)
{
	json_t *list = json_array();
	size_t i;

	for (i = 0; i < problems->count; i++) {
		if (json_array_append_new(list, encode_problem(&problems->items[i]))) {
			json_decref(list);
			return NULL;
		}
	}
	return list;
}
