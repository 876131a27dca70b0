/* SPDX-License-Identifier: Apache-2.0 */
/*
 * objects.json: one object a line, written and read one by one, for there may be tens of thousands. Its last member is
 * the CRC-32 of all bytes before it.
 */
#define _GNU_SOURCE
#include "report/state.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "base/cleanup.h"
#include "base/json_splitter.h"
#include "base/text.h"
#include "model/encode.h"

#define TEMPORARY "." STATE_OBJECTS_FILE ".new"
#define HEAD "{\"apiVersion\":\"v1\",\"kind\":\"List\",\"egressd.io/version\":1,\"items\":["
/* What follows the bytes that are summed up. */
#define TAIL ",\"egressd.io/crc32\":\"%08lx\"}\n"
#define TAIL_LENGTH 32
/* A file is read only where its sum is right, so an object of any size is one that was written. */
#define OBJECT_SIZE_MAX (1u << 30)
#define PIECE 65536

/* ------------------------------------------------------------------ writing */

struct sink {
	FILE *file;
	unsigned long sum;
	bool comma;
};

struct state_writer {
	int directory, fd;
	struct sink sink;
	struct state_view view;
	struct object **objects; /* references */
	size_t count, next;
	bool named; /* the file has its name */
};

/* An encode_sink. */
static int put_text(const char *text, size_t length, void *data)
{
	struct sink *sink = data;

	sink->sum = crc32(sink->sum, (const unsigned char *)text, (unsigned int)length);
	return fwrite(text, 1, length, sink->file) == length ? 0 : -errno;
}

static int put_object(struct sink *sink, const struct object *object)
{
	int error = put_text(sink->comma ? ",\n" : "\n", sink->comma ? 2 : 1, sink);

	sink->comma = true;
	return error ? error : object_encode(object, put_text, sink);
}

static int put_end(struct sink *sink, const struct state_view *view)
{
	char text[128];
	int error;

	snprintf(text, sizeof(text), "\n],\"egressd.io/generation\":%u,\"egressd.io/changes\":%u", view->generation,
		 view->changes);
	error = put_text(text, strlen(text), sink);
	if (!error && fprintf(sink->file, TAIL, sink->sum) != TAIL_LENGTH)
		error = -EIO;
	return error;
}

static int hold_objects(struct state_writer *writer, const struct object_list *kinds)
{
	size_t count = 0, i;
	unsigned int kind;

	for (kind = 0; kind < OBJECT_KIND_COUNT; kind++)
		count += kinds[kind].count;
	writer->objects = calloc(count + 1, sizeof(struct object *));
	if (!writer->objects)
		return -ENOMEM;
	for (kind = 0; kind < OBJECT_KIND_COUNT; kind++)
		for (i = 0; i < kinds[kind].count; i++)
			writer->objects[writer->count++] = object_ref(kinds[kind].items[i]);
	return 0;
}

static int open_file(struct state_writer *writer, const char *directory)
{
	_cleanup_fd_ int stream = -1;

	writer->directory = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (writer->directory < 0)
		return -errno;
	writer->fd = openat(writer->directory, TEMPORARY, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (writer->fd < 0)
		return -errno;
	/* No program that is run meanwhile gets it. */
	stream = fcntl(writer->fd, F_DUPFD_CLOEXEC, 0);
	if (stream < 0)
		return -errno;
	writer->sink.file = fdopen(stream, "w");
	if (!writer->sink.file)
		return -errno;
	stream = -1;
	return 0;
}

int state_writer_new(const char *directory, const struct object_list *kinds, const struct state_view *view,
		     struct state_writer **out)
{
	struct state_writer *writer = calloc(1, sizeof(*writer));
	int error;

	if (!writer)
		return -ENOMEM;
	*writer = (struct state_writer){.directory = -1, .fd = -1, .view = *view, .sink.sum = crc32(0, NULL, 0)};
	error = hold_objects(writer, kinds);
	if (!error)
		error = open_file(writer, directory);
	if (!error)
		error = put_text(HEAD, strlen(HEAD), &writer->sink);
	if (error) {
		state_writer_free(writer);
		return error;
	}
	*out = writer;
	return 0;
}

static int finish(struct state_writer *writer)
{
	int error = put_end(&writer->sink, &writer->view);

	if (!error && fflush(writer->sink.file))
		error = -errno;
	if (error)
		return error;
	/* On disk before it gets the name of the old one. */
	if (fchmod(writer->fd, 0600) || fsync(writer->fd) ||
	    renameat(writer->directory, TEMPORARY, writer->directory, STATE_OBJECTS_FILE))
		return -errno;
	writer->named = true;
	fsync(writer->directory);
	return 0;
}

int state_writer_go_on(struct state_writer *writer, size_t count)
{
	int error;

	for (; count && writer->next < writer->count; count--) {
		error = put_object(&writer->sink, writer->objects[writer->next]);
		if (error)
			return error;
		writer->next++;
	}
	return writer->next < writer->count ? 1 : finish(writer);
}

void state_writer_free(struct state_writer *writer)
{
	size_t i;

	if (!writer)
		return;
	for (i = 0; i < writer->count; i++)
		object_unref(writer->objects[i]);
	free(writer->objects);
	if (writer->sink.file)
		fclose(writer->sink.file);
	/* Also what stood in its place. */
	if (writer->directory >= 0 && !writer->named)
		unlinkat(writer->directory, TEMPORARY, 0);
	close_fd(&writer->fd);
	close_fd(&writer->directory);
	free(writer);
}

int state_write_objects(const char *directory, const struct object_list *kinds, const struct state_view *view)
{
	struct state_writer *writer;
	int error = state_writer_new(directory, kinds, view, &writer);

	if (error)
		return error;
	error = state_writer_go_on(writer, SIZE_MAX);
	state_writer_free(writer);
	return error;
}

/* ------------------------------------------------------------------ reading */

/* The file up to `end`, piece by piece. */
typedef int (*piece_handler)(const char *bytes, size_t length, void *data);

static int each_piece(int fd, off_t end, piece_handler handle, void *data)
{
	char bytes[PIECE];
	off_t at = 0;
	int error = 0;

	while (at < end && !error) {
		size_t wanted = end - at < PIECE ? (size_t)(end - at) : PIECE;
		ssize_t count = pread(fd, bytes, wanted, at);

		if (count < 0 && errno == EINTR)
			continue;
		if (count <= 0)
			return count ? -errno : -EINVAL;
		at += count;
		error = handle(bytes, (size_t)count, data);
	}
	return error;
}

static int add_to_sum(const char *bytes, size_t length, void *data)
{
	unsigned long *sum = data;

	*sum = crc32(*sum, (const unsigned char *)bytes, (unsigned int)length);
	return 0;
}

static int check_sum(int fd, off_t size)
{
	char expected[TAIL_LENGTH + 1], found[TAIL_LENGTH];
	unsigned long sum = crc32(0, NULL, 0);
	int error;

	if (size < TAIL_LENGTH)
		return -EINVAL;
	error = each_piece(fd, size - TAIL_LENGTH, add_to_sum, &sum);
	if (error)
		return error;
	snprintf(expected, sizeof(expected), TAIL, sum);
	if (pread(fd, found, sizeof(found), size - TAIL_LENGTH) != TAIL_LENGTH)
		return -EINVAL;
	return memcmp(expected, found, TAIL_LENGTH) ? -EINVAL : 0;
}

struct reading {
	struct store *store;
	struct json_splitter *splitter;
	struct state_view view;
	bool complete;
};

static int on_element(const char *text, size_t length, void *data)
{
	_cleanup_(problem_list_clear) struct problem_list problems = {0};
	_cleanup_(object_list_clear) struct object_list objects = {0};
	struct reading *reading = data;
	size_t i;
	int error = decode_saved_buffer(STATE_OBJECTS_FILE, text, length, &objects, &problems);

	for (i = 0; i < objects.count && !error; i++)
		error = store_put(reading->store, objects.items[i]);
	return error;
}

static int on_document(const char *rest, size_t rest_length, const char *value, size_t value_length, void *data)
{
	json_t *root = json_loadb(rest, rest_length, JSON_REJECT_DUPLICATES, NULL);
	struct reading *reading = data;

	(void)value;
	(void)value_length;
	reading->complete = json_integer_value(json_object_get(root, "egressd.io/version")) == 1;
	reading->view.generation = (uint32_t)json_integer_value(json_object_get(root, "egressd.io/generation"));
	reading->view.changes = (uint32_t)json_integer_value(json_object_get(root, "egressd.io/changes"));
	json_decref(root);
	return reading->complete ? 0 : -ENOTSUP;
}

static int on_piece(const char *bytes, size_t length, void *data)
{
	struct reading *reading = data;

	return json_splitter_feed(reading->splitter, bytes, length);
}

static int read_objects(int fd, off_t size, struct store *store, struct state_view *view)
{
	struct reading reading = {.store = store};
	const struct json_splitter_options options = {
		.member = "items",
		.elements = true,
		.limit = OBJECT_SIZE_MAX,
		.element = on_element,
		.document = on_document,
		.data = &reading,
	};
	int error = json_splitter_new(&options, &reading.splitter);

	if (!error)
		error = each_piece(fd, size, on_piece, &reading);
	json_splitter_free(reading.splitter);
	if (!error && !reading.complete)
		error = -EINVAL;
	if (!error)
		*view = reading.view;
	return error;
}

int state_read_objects(const char *directory, struct store **out, struct state_view *view)
{
	_cleanup_free_ char *path = text_format("%s/%s", directory, STATE_OBJECTS_FILE);
	_cleanup_fd_ int fd = path ? open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK) : -1;
	struct stat status;
	struct store *store;
	int error;

	if (!path)
		return -ENOMEM;
	if (fd < 0 || fstat(fd, &status))
		return -errno;
	error = check_sum(fd, status.st_size);
	if (!error)
		error = store_new(&store);
	if (error)
		return error;
	error = read_objects(fd, status.st_size, store, view);
	if (error) {
		store_free(store);
		return error == -ENOMEM ? error : -EINVAL;
	}
	*out = store;
	return 0;
}

int state_set_aside_objects(const char *directory)
{
	_cleanup_fd_ int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	return renameat(fd, STATE_OBJECTS_FILE, fd, STATE_OBJECTS_DAMAGED) ? -errno : 0;
}
