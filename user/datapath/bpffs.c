/* SPDX-License-Identifier: Apache-2.0 */
/* The directory of the pins: found on a bpffs, or put on one. */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <mntent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "base/cleanup.h"
#include "datapath/internal.h"

/* Where every distribution mounts its bpffs. */
#define SYSTEM_BPFFS "/sys/fs/bpf"
/* Source of a mount of our own making, by which it is known again. */
#define MOUNT_SOURCE "egressd"

bool bpffs_is(const char *path)
{
	struct statfs filesystem;

	return !statfs(path, &filesystem) && (unsigned int)filesystem.f_type == BPF_FS_MAGIC;
}

/* Cuts the last component off; "/" stays. */
static void cut_component(char *path)
{
	char *slash = strrchr(path, '/');

	slash[slash == path] = '\0';
}

/* The longest part of an absolute path that exists, in place. */
static int nearest_existing(char *path)
{
	struct stat status;

	while (stat(path, &status)) {
		if (errno != ENOENT)
			return fail_errno(-errno, "cannot look at %s", path);
		cut_component(path);
	}
	if (!S_ISDIR(status.st_mode))
		return fail(-ENOTDIR, "%s is not a directory", path);
	return 0;
}

bool bpffs_reaches(const char *path)
{
	_cleanup_free_ char *existing = *path == '/' ? strdup(path) : NULL;

	return existing && !nearest_existing(existing) && bpffs_is(existing);
}

static int make_directories(const char *path)
{
	_cleanup_free_ char *part = strdup(path);
	char *slash;

	if (!part)
		return fail_errno(-ENOMEM, "no memory");
	for (slash = strchr(part + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		if (mkdir(part, 0700) && errno != EEXIST)
			return fail_errno(-errno, "cannot create %s", part);
		*slash = '/';
	}
	if (mkdir(part, 0700) && errno != EEXIST)
		return fail_errno(-errno, "cannot create %s", part);
	return 0;
}

/*
 * In the root of a bpffs the kernel puts "maps.debug" and "progs.debug"; nobody else can make a name with a dot there.
 */
bool bpffs_is_empty(const char *path)
{
	_cleanup_directory_ DIR *directory = opendir(path);
	bool pins = bpffs_is(path);
	struct dirent *entry;

	if (!directory)
		return false;
	while ((entry = readdir(directory))) {
		if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
			continue;
		if (!pins || !strchr(entry->d_name, '.'))
			return false;
	}
	return true;
}

static int mount_bpffs(const char *target, const char *source)
{
	if (!mount(source, target, "bpf", MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_RELATIME, "mode=0700"))
		return 0;
	if (errno == ENODEV)
		return fail(-ENODEV, "this kernel has no BPF file system, which egressd needs for its pins");
	return fail_errno(-errno, "there is no bpffs at %s, and none can be mounted (mount -t bpf bpf %s)", target,
			  target);
}

/* The system's own place for pins below SYSTEM_BPFFS; anywhere else a mount on the very directory. */
static int mount_for(const char *parent)
{
	static const char system_prefix[] = SYSTEM_BPFFS "/";
	int error;

	if (!strncmp(parent, system_prefix, sizeof(system_prefix) - 1) && bpffs_is_empty(SYSTEM_BPFFS))
		return mount_bpffs(SYSTEM_BPFFS, "bpf");
	error = make_directories(parent);
	if (error)
		return error;
	if (!bpffs_is_empty(parent))
		return fail(-ENOTEMPTY, "%s is not on a bpffs, and files are in it that a mount would hide", parent);
	return mount_bpffs(parent, MOUNT_SOURCE);
}

int bpffs_prepare(const char *parent, const char *directory)
{
	_cleanup_free_ char *existing = strdup(parent);
	int error;

	if (!existing)
		return fail_errno(-ENOMEM, "no memory");
	error = nearest_existing(existing);
	if (!error && !bpffs_is(existing))
		error = mount_for(parent);
	if (!error)
		error = make_directories(directory);
	if (error)
		return error;
	/* It may be older than this agent, and made under another umask. */
	if (chmod(directory, 0700))
		return fail_errno(-errno, "cannot make %s accessible to root only", directory);
	return 0;
}

int pin_path(const struct datapath *datapath, const char *name, char path[PATH_MAX])
{
	if (snprintf(path, PATH_MAX, "%s/%s", datapath->directory, name) >= PATH_MAX)
		return fail(-ENAMETOOLONG, "%s/%s is too long for a path", datapath->directory, name);
	return 0;
}

int pin_subdirectory(const struct datapath *datapath, const char *name)
{
	char path[PATH_MAX];
	int error;

	error = pin_path(datapath, name, path);
	if (error)
		return error;
	if (mkdir(path, 0700) && errno != EEXIST)
		return fail_errno(-errno, "cannot create %s", path);
	return 0;
}

int pin_numbers(const struct datapath *datapath, const char *name, pin_visitor visit, void *data)
{
	_cleanup_directory_ DIR *directory = NULL;
	char path[PATH_MAX], *rest;
	struct dirent *entry;
	int error;

	error = pin_path(datapath, name, path);
	if (error)
		return error;
	directory = opendir(path);
	if (!directory)
		return errno == ENOENT ? 0 : fail_errno(-errno, "cannot read %s", path);
	while (errno = 0, (entry = readdir(directory))) {
		unsigned long number = strtoul(entry->d_name, &rest, 10);

		if (rest == entry->d_name || number == 0 || number > INT32_MAX)
			continue;
		error = visit((uint32_t)number, rest, data);
		if (error)
			return error;
	}
	return errno ? fail_errno(-errno, "cannot read %s", path) : 0;
}

static bool is_listed(const char *name, const char *const *names)
{
	for (; names && *names; names++)
		if (!strcmp(name, *names))
			return true;
	return false;
}

/* Pins are at most one directory deep below the versioned one. */
static int remove_entries(const char *path, int depth, const char *const *kept)
{
	_cleanup_directory_ DIR *directory = opendir(path);
	struct dirent *entry;

	if (!directory)
		return errno == ENOENT ? 0 : fail_errno(-errno, "cannot read %s", path);
	while (errno = 0, (entry = readdir(directory))) {
		char below[PATH_MAX];
		int error;

		if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..") || is_listed(entry->d_name, kept))
			continue;
		if (snprintf(below, sizeof(below), "%s/%s", path, entry->d_name) >= (int)sizeof(below))
			return fail(-ENAMETOOLONG, "%s/%s is too long for a path", path, entry->d_name);
		if (entry->d_type == DT_DIR && depth) {
			error = remove_entries(below, depth - 1, NULL);
			if (error)
				return error;
		}
		if (remove(below) && errno != ENOENT)
			return fail_errno(-errno, "cannot remove %s", below);
	}
	return errno ? fail_errno(-errno, "cannot read %s", path) : 0;
}

int bpffs_clear(const char *directory, const char *const *kept)
{
	return remove_entries(directory, 2, kept);
}

static bool is_our_mount(const char *path)
{
	FILE *mounts = setmntent("/proc/self/mounts", "re");
	struct mntent *entry;
	bool found = false;

	if (!mounts)
		return false;
	/* The last mount on a place is the one that is seen. */
	while ((entry = getmntent(mounts)))
		if (!strcmp(entry->mnt_dir, path))
			found = !strcmp(entry->mnt_type, "bpf") && !strcmp(entry->mnt_fsname, MOUNT_SOURCE);
	endmntent(mounts);
	return found;
}

int bpffs_remove(const char *parent, const char *directory)
{
	int error = remove_entries(directory, 2, NULL);

	if (error)
		return error;
	if (rmdir(directory) && errno != ENOENT)
		return fail_errno(-errno, "cannot remove %s", directory);
	return bpffs_remove_parent(parent);
}

int bpffs_remove_parent(const char *parent)
{
	if (!bpffs_is_empty(parent))
		return 0;
	/* Detached: whoever locks the directory has it open. */
	if (is_our_mount(parent))
		return umount2(parent, MNT_DETACH) ? fail_errno(-errno, "cannot unmount %s", parent) : 0;
	if (!bpffs_is(parent))
		return 0;
	if (rmdir(parent) && errno != ENOENT && errno != EBUSY)
		return fail_errno(-errno, "cannot remove %s", parent);
	return 0;
}

static int add_version(unsigned int **versions, size_t *count, unsigned int version)
{
	unsigned int *longer = reallocarray(*versions, *count + 1, sizeof(**versions));

	if (!longer)
		return fail_errno(-ENOMEM, "no memory");
	*versions = longer;
	longer[(*count)++] = version;
	return 0;
}

int bpffs_versions(const char *parent, unsigned int **out, size_t *count)
{
	_cleanup_directory_ DIR *directory = opendir(parent);
	_cleanup_free_ unsigned int *versions = NULL;
	struct dirent *entry;
	size_t found = 0;
	int error = 0;

	if (!directory && errno != ENOENT)
		return fail_errno(-errno, "cannot read %s", parent);
	/* Elsewhere a directory of such a name is not ours. */
	while (directory && bpffs_is(parent) && !error && (entry = readdir(directory))) {
		unsigned int version;
		int end = 0;

		if (sscanf(entry->d_name, "v%9u%n", &version, &end) == 1 && !entry->d_name[end] &&
		    entry->d_type == DT_DIR)
			error = add_version(&versions, &found, version);
	}
	if (error)
		return error;
	*out = take(versions);
	*count = found;
	return 0;
}
