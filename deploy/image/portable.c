/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One file that runs a program with the C library and the other libraries that it was built with, on any node: linked
 * statically, it carries them. Each goes into a file in memory, and the program's own dynamic loader is run on those, so
 * nothing is unpacked on a disk and nothing of the node's libraries is used.
 *
 * deploy/image/portable generates portable.h: PORTABLE_FILES(X), X(NAME, SYMBOL) a file, the loader first, then the
 * libraries, the program last.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "portable.h"

/* Since 6.3, and demanded where vm.memfd_noexec is set. */
#ifndef MFD_EXEC
#define MFD_EXEC 0x0010U
#endif

#define DESCRIPTOR_PATH "/proc/self/fd/%d"
#define PATH_LENGTH	(sizeof(DESCRIPTOR_PATH) + 10)

struct file {
	const char *name;
	const unsigned char *begin, *end;
};

#define DECLARE(name, symbol) extern const unsigned char symbol##_begin[], symbol##_end[];
PORTABLE_FILES(DECLARE)

#define ENTRY(name, symbol) {name, symbol##_begin, symbol##_end},
static const struct file files[] = {PORTABLE_FILES(ENTRY)};

#define FILE_COUNT (sizeof(files) / sizeof(files[0]))

/* In the form in which a CNI plugin reports errors: this one's standard output is read by a runtime. */
static _Noreturn void fail(const char *what, const char *name)
{
	printf("{\"cniVersion\":\"1.0.0\",\"code\":100,\"msg\":\"cannot start\",\"details\":\"%s %s: %s\"}\n", what, name,
	       strerror(errno));
	exit(EXIT_FAILURE);
}

/* Stays open over the exec: the loader opens it by its number. */
static int to_memory(const struct file *file)
{
	const unsigned char *next = file->begin;
	int fd = memfd_create(file->name, MFD_EXEC);

	if (fd < 0 && errno == EINVAL)
		fd = memfd_create(file->name, 0);
	if (fd < 0)
		fail("cannot create", file->name);
	while (next < file->end) {
		ssize_t written = write(fd, next, (size_t)(file->end - next));

		if (written < 0)
			fail("cannot write", file->name);
		next += written;
	}
	return fd;
}

int main(int argc, char **argv)
{
	char loader[PATH_LENGTH], program[PATH_LENGTH], libraries[FILE_COUNT * PATH_LENGTH], *end = libraries;
	char **arguments = calloc((size_t)argc + 6, sizeof(*arguments));
	size_t i;

	if (!arguments)
		fail("no memory for", "arguments");
	snprintf(loader, sizeof(loader), DESCRIPTOR_PATH, to_memory(&files[0]));
	for (i = 1; i < FILE_COUNT - 1; i++)
		end += sprintf(end, "%s" DESCRIPTOR_PATH, i > 1 ? ":" : "", to_memory(&files[i]));
	snprintf(program, sizeof(program), DESCRIPTOR_PATH, to_memory(&files[FILE_COUNT - 1]));

	arguments[0] = loader;
	arguments[1] = "--preload";
	arguments[2] = libraries;
	arguments[3] = "--argv0";
	arguments[4] = argc ? argv[0] : program;
	arguments[5] = program;
	for (i = 1; i < (size_t)argc; i++)
		arguments[5 + i] = argv[i];
	execv(loader, arguments);
	fail("cannot run", files[0].name);
}
