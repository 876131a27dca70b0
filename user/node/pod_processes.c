/* SPDX-License-Identifier: Apache-2.0 */
#include "node/pod_processes.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/cleanup.h"

#define SLICE_SUFFIX ".slice"
/* A line holds a path of at most PATH_MAX. */
#define LINE_SIZE 8192

/* ------------------------------------------------------------------ names */

static bool is_uid(const char *text, size_t length)
{
	if (!length || length >= POD_UID_SIZE)
		return false;
	for (size_t i = 0; i < length; i++)
		if (!isxdigit((unsigned char)text[i]) && text[i] != '-')
			return false;
	return true;
}

/* "pod<uid>" */
static bool read_cgroupfs_name(const char *name, size_t length, char uid[POD_UID_SIZE])
{
	if (length <= 3 || strncmp(name, "pod", 3) || !is_uid(name + 3, length - 3))
		return false;
	snprintf(uid, POD_UID_SIZE, "%.*s", (int)(length - 3), name + 3);
	return true;
}

/* "kubepods-pod<uid>.slice", "kubepods-burstable-pod<uid>.slice", "kubelet-kubepods-pod<uid>.slice", ... */
static bool read_systemd_name(const char *name, size_t length, char uid[POD_UID_SIZE])
{
	char text[256], *start;
	size_t i;

	if (length >= sizeof(text) || length <= strlen(SLICE_SUFFIX) ||
	    strncmp(name + length - strlen(SLICE_SUFFIX), SLICE_SUFFIX, strlen(SLICE_SUFFIX)))
		return false;
	length -= strlen(SLICE_SUFFIX);
	snprintf(text, sizeof(text), "%.*s", (int)length, name);
	start = strstr(text, "-pod");
	if (!start || !strstr(text, "kubepods-"))
		return false;
	/* '-' divides the levels of a slice's name, so the UID has '_' for it. */
	for (i = 0; start[i + 4]; i++)
		if (start[i + 4] == '_')
			start[i + 4] = '-';
	if (!is_uid(start + 4, i))
		return false;
	snprintf(uid, POD_UID_SIZE, "%s", start + 4);
	return true;
}

bool pod_uid_of_cgroup(const char *path, char uid[POD_UID_SIZE])
{
	/* In a container, paths start at its own group: of a neighbour's, "kubepods" may be among what is left out. */
	bool below_kubepods = !strncmp(path, "/../", 4);

	while (*path) {
		size_t length = strcspn(path, "/");

		/* "pod..." alone is a name that anybody may use for anything. */
		if (below_kubepods && read_cgroupfs_name(path, length, uid))
			return true;
		if (read_systemd_name(path, length, uid))
			return true;
		if (length >= 8 && !strncmp(path, "kubepods", 8))
			below_kubepods = true;
		path += length;
		path += *path == '/';
	}
	return false;
}

/* ------------------------------------------------------------------ processes */

/* A line of /proc/<pid>/cgroup is "<hierarchy>:<controllers>:<path>". */
static bool uid_of_line(char *line, char uid[POD_UID_SIZE])
{
	char *path = strchr(line, ':');

	path = path ? strchr(path + 1, ':') : NULL;
	if (!path)
		return false;
	line[strcspn(line, "\n")] = '\0';
	return pod_uid_of_cgroup(path + 1, uid);
}

static bool uid_of_process(const char *proc, const char *pid, char uid[POD_UID_SIZE])
{
	_cleanup_file_ FILE *file = NULL;
	char line[LINE_SIZE];

	if (snprintf(line, sizeof(line), "%s/%s/cgroup", proc, pid) >= (int)sizeof(line))
		return false;
	file = fopen(line, "re");
	while (file && fgets(line, sizeof(line), file))
		if (uid_of_line(line, uid))
			return true;
	return false;
}

static int compare(const void *a, const void *b)
{
	const struct pod_process *first = a, *second = b;
	int order = strcmp(first->uid, second->uid);

	return order ? order : (first->pid > second->pid) - (first->pid < second->pid);
}

static int read_all(DIR *directory, const char *proc, struct pod_processes *out)
{
	struct dirent *entry;
	size_t capacity = 0;

	while ((entry = readdir(directory))) {
		struct pod_process process = {.pid = (pid_t)atol(entry->d_name)};

		if (!isdigit((unsigned char)entry->d_name[0]))
			continue;
		out->seen++;
		if (!uid_of_process(proc, entry->d_name, process.uid))
			continue;
		if (array_reserve(&out->items, &capacity, out->count + 1, sizeof(*out->items)))
			return -ENOMEM;
		out->items[out->count++] = process;
	}
	if (out->count)
		qsort(out->items, out->count, sizeof(*out->items), compare);
	return 0;
}

int pod_processes_read(const char *proc, struct pod_processes *out)
{
	_cleanup_(pod_processes_clear) struct pod_processes processes = {0};
	_cleanup_directory_ DIR *directory = opendir(proc);
	int error;

	if (!directory)
		return -errno;
	error = read_all(directory, proc, &processes);
	if (error)
		return error;
	*out = processes;
	processes = (struct pod_processes){0};
	return 0;
}

void pod_processes_clear(struct pod_processes *processes)
{
	free(processes->items);
	*processes = (struct pod_processes){0};
}

const struct pod_process *pod_processes_find(const struct pod_processes *processes, const char *uid, size_t *count)
{
	size_t i = 0, end;

	while (i < processes->count && strcmp(processes->items[i].uid, uid))
		i++;
	for (end = i; end < processes->count && !strcmp(processes->items[end].uid, uid); end++)
		;
	*count = end - i;
	return end > i ? &processes->items[i] : NULL;
}

bool pod_process_is_of(const char *proc, pid_t pid, const char *uid)
{
	char text[24], found[POD_UID_SIZE];

	snprintf(text, sizeof(text), "%ld", (long)pid);
	return uid_of_process(proc, text, found) && !strcmp(found, uid);
}
