/* SPDX-License-Identifier: Apache-2.0 */
/* Reading a file that another process writes again and again: all of one version, or nothing. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <malloc.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/heap.h"
#include "source/manifest_file.h"

#define PIECE   4096
#define SECONDS 20
/* Of a busy machine, for as many versions as the test is worth nothing without. */
#define SECONDS_MAX 200
#define LEAST 11

static char directory[] = "/tmp/egressd-manifest-file.XXXXXX";
static char path[sizeof(directory) + 8];

/* If not 0, what fstatfs() says that the file system is. */
static long file_system;

/* Stands before that of the library. */
int fstatfs(int fd, struct statfs *status)
{
	int (*real)(int, struct statfs *);
	int error;

	*(void **)&real = dlsym(RTLD_NEXT, "fstatfs");
	error = real(fd, status);
	if (file_system)
		status->f_type = file_system;
	return error;
}

/* Over the version before. */
static int write_version(unsigned int version, size_t size)
{
	int fd = open(path, O_WRONLY | O_CREAT, 0600);
	char piece[PIECE];
	size_t done;

	memset(piece, 'a' + (int)(version % 26), sizeof(piece));
	for (done = 0; fd >= 0 && done < size; done += sizeof(piece))
		if (write(fd, piece, sizeof(piece)) != sizeof(piece))
			return -1;
	return close(fd);
}

/* Version after version, each of one letter alone, until it is killed. */
static void write_versions(size_t size)
{
	unsigned int version;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (version = 1; !write_version(version, size); version++)
		/* Up to 2 ms for a small file; for a large one as much longer as it takes to read. */
		usleep(version * 7919 % (2000 * (unsigned int)(size / (16 * PIECE))));
	_exit(1);
}

static bool is_one_version(const char *text, size_t length)
{
	return !length || !memcmp(text, text + 1, length - 1);
}

/* Until it was read `wanted` times, or the time is over. */
static void read_versions(size_t size, unsigned int wanted)
{
	time_t begin = time(NULL);
	unsigned int count = 0;

	while (count < wanted && time(NULL) < begin + (count < LEAST ? SECONDS_MAX : SECONDS)) {
		_cleanup_(manifest_content_clear) struct manifest_content content = {0};
		int error = manifest_file_read(path, MANIFEST_ANY_LINK, 2 * size, &content);

		if (error == -EBUSY)
			continue;
		assert_int_equal(error, 0);
		assert_int_equal(content.length, size);
		assert_int_equal(content.identity.size, size);
		assert_true(is_one_version(content.text, content.length));
		count++;
	}
	assert_true(count >= LEAST);
}

/* Again and again, without waiting for the reader: each time finds it at another step. Until it is killed. */
static void open_for_writing(size_t size)
{
	(void)size;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (;;) {
		int fd = open(path, O_WRONLY | O_NONBLOCK);

		if (fd >= 0)
			close(fd);
		else if (errno != EAGAIN)
			_exit(1);
	}
}

/* Does this file system tell that someone has the file open for writing? */
static bool has_leases(void)
{
	int writer = open(path, O_WRONLY | O_CREAT, 0600), reader = open(path, O_RDONLY);
	bool refused = fcntl(reader, F_SETLEASE, F_RDLCK) && errno == EAGAIN;

	close(reader);
	close(writer);
	unlink(path);
	return refused;
}

/* Beside a process that does `other`. */
static void read_beside(void (*other)(size_t size), size_t size, unsigned int wanted)
{
	pid_t writer;

	if (!has_leases())
		skip();
	assert_int_equal(write_version(0, size), 0);
	writer = fork();
	if (!writer)
		other(size);
	assert_true(writer > 0);
	read_versions(size, wanted);
	assert_int_equal(kill(writer, SIGKILL), 0);
	assert_int_equal(waitpid(writer, NULL, 0), writer);
	unlink(path);
}

static void small_files_are_read_whole(void **state)
{
	(void)state;
	read_beside(write_versions, 16 * PIECE, 2000);
}

/* Larger than what a writer is made to wait for. */
static void large_files_are_read_whole(void **state)
{
	(void)state;
	read_beside(write_versions, 1024 * PIECE, 100);
}

/* A writer that finds the file leased has a signal sent to the reader, which must live on. */
static void writers_do_not_end_the_reader(void **state)
{
	(void)state;
	read_beside(open_for_writing, 4 * PIECE, 200);
	read_beside(open_for_writing, 512 * PIECE, 200);
}

static int read_by(const char *name, enum manifest_links links)
{
	_cleanup_(manifest_content_clear) struct manifest_content content = {0};
	int error = manifest_file_read(name, links, PIECE, &content);

	assert_true(!error == !!content.text);
	return error;
}

static int read_error(void)
{
	return read_by(path, MANIFEST_ANY_LINK);
}

static void links_are_followed_if_they_may_be(void **state)
{
	char link[sizeof(path) + 8];

	(void)state;
	snprintf(link, sizeof(link), "%s.link", path);
	assert_int_equal(write_version(0, PIECE), 0);
	assert_int_equal(symlink("file", link), 0);
	assert_int_equal(read_by(link, MANIFEST_ANY_LINK), 0);
	assert_int_equal(read_by(link, MANIFEST_NO_LINK), -ELOOP);
	assert_int_equal(read_by(path, MANIFEST_NO_LINK), 0);
	unlink(link);
	unlink(path);
}

static void read_leaves_no_trace(void **state)
{
	/* Long ago, so that a file system that writes down the first access after a change would. */
	const struct timespec times[] = {{.tv_sec = 1000000000}, {.tv_nsec = UTIME_OMIT}};
	struct stat status;

	(void)state;
	assert_int_equal(write_version(0, PIECE), 0);
	assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
	assert_int_equal(read_error(), 0);
	assert_int_equal(stat(path, &status), 0);
	assert_int_equal(status.st_atim.tv_sec, times[0].tv_sec);
	unlink(path);
}

/* Only an owner may leave no trace. */
static void files_of_others_are_read(void **state)
{
	(void)state;
	if (geteuid())
		skip();
	assert_int_equal(write_version(0, PIECE), 0);
	assert_int_equal(chmod(directory, 0755), 0);
	assert_int_equal(chmod(path, 0644), 0);
	assert_int_equal(seteuid(65534), 0);
	assert_int_equal(open(path, O_RDONLY | O_NOATIME), -1);
	assert_int_equal(errno, EPERM);
	assert_int_equal(read_error(), 0);
	assert_int_equal(seteuid(0), 0);
	unlink(path);
}

/* A client of such a server is refused a lease also where nobody has the file open for writing. */
static void served_files_are_read_without_a_lease(void **state)
{
	static const long served[] = {NFS_SUPER_MAGIC, SMB_SUPER_MAGIC, CIFS_SUPER_MAGIC, SMB2_SUPER_MAGIC};
	int writer;
	size_t i;

	(void)state;
	if (!has_leases())
		skip();
	assert_int_equal(write_version(0, PIECE), 0);
	writer = open(path, O_WRONLY);
	assert_true(writer >= 0);
	for (i = 0; i < ARRAY_SIZE(served); i++) {
		file_system = served[i];
		assert_int_equal(read_error(), 0);
	}
	file_system = EXT4_SUPER_MAGIC;
	assert_int_equal(read_error(), -EBUSY);
	file_system = 0;
	assert_int_equal(read_error(), -EBUSY);
	close(writer);
	assert_int_equal(read_error(), 0);
	unlink(path);
}

/* Sanitizers bring a malloc of their own, which is told nothing. */
#ifndef __SANITIZE_ADDRESS__

/* What comes of a text takes ten times as much: the process expects it. */
static void large_files_are_expected(void **state)
{
	_cleanup_fd_ int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	_cleanup_(manifest_content_clear) struct manifest_content content = {0};
	_cleanup_free_ char *piece = NULL;
	size_t before;

	(void)state;
	heap_keep_small();
	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, 7 << 20), 0);
	close_fd(&fd);
	assert_int_equal(manifest_file_read(path, MANIFEST_ANY_LINK, SIZE_MAX, &content), 0);
	unlink(path);
	before = mallinfo2().hblks;
	piece = malloc(16 << 20);
	assert_non_null(piece);
	memset(piece, 1, 16 << 20);
	assert_int_equal(mallinfo2().hblks, before);
	/* Now little is in use. */
	assert_false(heap_may_wait());
}

#endif

static int setup(void **state)
{
	(void)state;
	if (!mkdtemp(directory))
		return -1;
	snprintf(path, sizeof(path), "%s/file", directory);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	return rmdir(directory);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(small_files_are_read_whole),
		cmocka_unit_test(large_files_are_read_whole),
		cmocka_unit_test(writers_do_not_end_the_reader),
		cmocka_unit_test(served_files_are_read_without_a_lease),
		cmocka_unit_test(links_are_followed_if_they_may_be),
		cmocka_unit_test(read_leaves_no_trace),
		cmocka_unit_test(files_of_others_are_read),
#ifndef __SANITIZE_ADDRESS__
		cmocka_unit_test(large_files_are_expected),
#endif
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
