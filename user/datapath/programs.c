/* SPDX-License-Identifier: Apache-2.0 */
/* Table memory and the programs that read it: made together, put in force together. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "base/text.h"
#include "datapath/internal.h"

/* The pins of one set, in the order in which they are replaced: whoever finds the tables finds their programs. */
#define SET_PINS (HOOK_COUNT + TABLE_MAP_COUNT)

/* How often a reader looks for a set whose parts belong together. */
#define READ_ATTEMPTS 5

static void close_object(struct bpf_object **object)
{
	bpf_object__close(*object);
}

static void free_set(struct table_set **set)
{
	table_set_free(*set);
}

void table_set_free(struct table_set *set)
{
	_cleanup_(close_object) struct bpf_object *object = NULL;

	if (!set)
		return;
	if (set->loading)
		loading_finish(take(set->loading), NULL, &object);
	for (int hook = 0; hook < HOOK_COUNT; hook++)
		close_fd(&set->program_fd[hook]);
	table_maps_clear(&set->tables);
	free(set);
}

static struct table_set *set_new(void)
{
	struct table_set *set = calloc(1, sizeof(*set));

	if (!set)
		return NULL;
	set->tables = (struct table_maps)TABLE_MAPS_INIT;
	for (int hook = 0; hook < HOOK_COUNT; hook++)
		set->program_fd[hook] = -1;
	return set;
}

int program_id(int fd, uint32_t *id)
{
	struct bpf_prog_info info = {};
	uint32_t size = sizeof(info);

	if (bpf_obj_get_info_by_fd(fd, &info, &size))
		return -errno;
	*id = info.id;
	return 0;
}

int map_id(int fd, uint32_t *id)
{
	struct bpf_map_info info = {};
	uint32_t size = sizeof(info);

	if (bpf_obj_get_info_by_fd(fd, &info, &size))
		return -errno;
	*id = info.id;
	return 0;
}

/* ---------------------------------------------------------------- making */

/* Takes descriptors of its own, so that the object can be closed. */
static int take_descriptors(struct table_set *set, const struct bpf_object *object)
{
	for (int hook = 0; hook < HOOK_COUNT; hook++) {
		struct bpf_program *program = bpf_object__find_program_by_name(object, hook_program_name(hook));

		if (!program)
			return fail(-EINVAL, "this binary lacks the program %s", hook_program_name(hook));
		set->program_fd[hook] = fcntl(bpf_program__fd(program), F_DUPFD_CLOEXEC, 0);
		if (set->program_fd[hook] < 0 || program_id(set->program_fd[hook], &set->program_id[hook]))
			return fail_errno(-errno, "cannot keep the program %s open", hook_program_name(hook));
	}
	return 0;
}

/* The memory of a set, and an object whose programs read it, not loaded yet. */
static int prepare_set(const struct datapath *datapath, struct table_set *set, uint32_t chunks, struct bpf_object **out)
{
	_cleanup_(close_object) struct bpf_object *object = NULL;
	int error;

	error = object_open(&object);
	if (!error)
		error = table_maps_create(&set->tables, object, chunks, true);
	if (!error)
		error = shared_maps_reuse(datapath, object);
	if (!error)
		error = table_maps_map(&set->tables, false);
	if (error)
		return error;
	*out = take(object);
	return 0;
}

/* An address in a table is a 32-bit word number. */
static int count_chunks(const struct datapath *datapath, size_t words, uint32_t *out)
{
	size_t chunks = words / EGRESS_CHUNK_WORDS + (words % EGRESS_CHUNK_WORDS || !words);

	if (datapath->read_only)
		return fail(-EROFS, "the datapath is open for reading only");
	if (chunks > UINT32_MAX >> EGRESS_CHUNK_SHIFT)
		return fail(-E2BIG, "tables of %zu words are larger than their addresses can name", words);
	*out = (uint32_t)chunks;
	return 0;
}

/* A set whose programs are on their way. */
static int start_set(const struct datapath *datapath, uint32_t chunks, struct table_set **out)
{
	_cleanup_(free_set) struct table_set *set = set_new();
	struct bpf_object *object;
	int error;

	if (!set)
		return fail_errno(-ENOMEM, "no memory");
	error = prepare_set(datapath, set, chunks, &object);
	if (!error)
		error = loading_start(object, &set->loading);
	if (!error)
		*out = take(set);
	return error;
}

/* Waits until they are here. */
static int finish_set(const struct datapath *datapath, struct table_set *set)
{
	_cleanup_(close_object) struct bpf_object *object = NULL;
	int error = loading_finish(take(set->loading), &datapath->waiting, &object);

	return error ? error : take_descriptors(set, object);
}

int datapath_foresee_tables(struct datapath *datapath, size_t words)
{
	uint32_t chunks = 0;
	int error = count_chunks(datapath, words, &chunks);

	if (error)
		return error;
	datapath_forget_foreseen(datapath);
	return start_set(datapath, chunks, &datapath->foreseen);
}

void datapath_forget_foreseen(struct datapath *datapath)
{
	table_set_free(take(datapath->foreseen));
}

static int make_set(struct datapath *datapath, uint32_t chunks, struct table_set **out)
{
	_cleanup_(free_set) struct table_set *set = NULL;
	int error;

	if (datapath->foreseen && datapath->foreseen->tables.word_count == (size_t)chunks * EGRESS_CHUNK_WORDS) {
		*out = take(datapath->foreseen);
		return 0;
	}
	datapath_forget_foreseen(datapath);
	error = start_set(datapath, chunks, &set);
	if (!error)
		error = finish_set(datapath, set);
	if (!error)
		*out = take(set);
	return error;
}

int datapath_new_tables(struct datapath *datapath, size_t words, uint32_t **memory, size_t *word_count)
{
	uint32_t chunks = 0;
	int error = count_chunks(datapath, words, &chunks);

	if (error)
		return error;
	table_set_free(take(datapath->made));
	error = make_set(datapath, chunks, &datapath->made);
	if (error)
		return error;
	*memory = datapath->made->tables.memory;
	*word_count = datapath->made->tables.word_count;
	return 0;
}

int datapath_finish_tables(struct datapath *datapath)
{
	struct table_set *made = datapath->made;
	int error;

	if (!made)
		return fail(-EINVAL, "there are no new tables to put in force");
	if (!made->loading)
		return 0;
	error = finish_set(datapath, made);
	if (error)
		table_set_free(take(datapath->made));
	return error;
}

void datapath_while_waiting(struct datapath *datapath, void (*callback)(void *data), void *data)
{
	datapath->waiting = (struct waiting){.callback = callback, .data = data};
}

int datapath_tables(struct datapath *datapath, const uint32_t **memory, size_t *word_count)
{
	if (!datapath->in_force)
		return fail(-ENOENT, "no tables are in force");
	*memory = datapath->in_force->tables.memory;
	*word_count = datapath->in_force->tables.word_count;
	return 0;
}

/* ---------------------------------------------------------------- pinning */

static const char *set_pin(const struct table_set *set, int index, int *fd)
{
	if (index < HOOK_COUNT) {
		*fd = set->program_fd[index];
		return hook_pin_name((enum hook)index);
	}
	*fd = set->tables.fd[index - HOOK_COUNT];
	return table_map_pin((enum table_map)(index - HOOK_COUNT));
}

/* "<directory>/<name>", and beside it the name under which a new pin waits for its turn. */
static int pin_paths(const struct datapath *datapath, const char *name, char path[PATH_MAX], char next[PATH_MAX])
{
	int error = pin_path(datapath, name, path);

	if (error)
		return error;
	if (snprintf(next, PATH_MAX, "%s_next", path) >= PATH_MAX)
		return fail(-ENAMETOOLONG, "%s_next is too long for a path", path);
	return 0;
}

/* What can fail for want of memory or room happens here, before any packet sees a change. */
static int pin_next(const struct datapath *datapath, const struct table_set *set)
{
	for (int index = 0; index < SET_PINS; index++) {
		char path[PATH_MAX], next[PATH_MAX];
		const char *name;
		int fd, error;

		name = set_pin(set, index, &fd);
		error = pin_paths(datapath, name, path, next);
		if (error)
			return error;
		if (unlink(next) && errno != ENOENT)
			return fail_errno(-errno, "cannot remove %s", next);
		if (bpf_obj_pin(fd, next))
			return fail_errno(-errno, "cannot pin %s", next);
	}
	return 0;
}

static int publish_next(const struct datapath *datapath, const struct table_set *set)
{
	for (int index = 0; index < SET_PINS; index++) {
		char path[PATH_MAX], next[PATH_MAX];
		int fd, error;

		error = pin_paths(datapath, set_pin(set, index, &fd), path, next);
		if (error)
			return error;
		if (rename(next, path))
			return fail_errno(-errno, "cannot replace %s", path);
	}
	return 0;
}

static void discard_next(const struct datapath *datapath, const struct table_set *set)
{
	for (int index = 0; index < SET_PINS; index++) {
		char path[PATH_MAX], next[PATH_MAX];
		int fd;

		if (!pin_paths(datapath, set_pin(set, index, &fd), path, next))
			unlink(next);
	}
}

/* Brings interfaces and pins back to the set in force after a failure that has its sentence already. */
static void return_to(struct datapath *datapath, const struct table_set *set)
{
	char sentence[1024];

	snprintf(sentence, sizeof(sentence), "%s", datapath_error());
	if (attachments_switch(datapath, set) || pin_next(datapath, set) || publish_next(datapath, set))
		log_debug("cannot go back to the programs before: %s", datapath_error());
	fail(0, "%s", sentence);
}

int datapath_commit_tables(struct datapath *datapath)
{
	int error;

	error = datapath_finish_tables(datapath);
	if (error)
		return error;
	error = pin_next(datapath, datapath->made);
	if (!error)
		error = attachments_switch(datapath, datapath->made);
	if (error) {
		discard_next(datapath, datapath->made);
		return error;
	}
	error = publish_next(datapath, datapath->made);
	if (error) {
		if (datapath->in_force)
			return_to(datapath, datapath->in_force);
		discard_next(datapath, datapath->made);
		return error;
	}
	table_set_free(datapath->in_force);
	datapath->in_force = take(datapath->made);
	/* The tables are in force, whatever becomes of what is left to carry over: datapath_repair_pins tries again. */
	if (migration_finish(datapath))
		log_debug("%s", datapath_error());
	return 0;
}

int table_set_pin_first(struct datapath *datapath)
{
	int error = datapath_finish_tables(datapath);

	if (error)
		return error;
	error = pin_next(datapath, datapath->made);
	if (!error)
		error = publish_next(datapath, datapath->made);
	if (error) {
		discard_next(datapath, datapath->made);
		return error;
	}
	datapath->in_force = take(datapath->made);
	return 0;
}

/* ---------------------------------------------------------------- adopting */

/* Opens a pin; 0 with -1 in *fd where there is none. */
static int open_optional(const struct datapath *datapath, const char *name, int *fd)
{
	char path[PATH_MAX];
	int error;

	error = pin_path(datapath, name, path);
	if (error)
		return error;
	*fd = bpf_obj_get(path);
	if (*fd < 0 && errno != ENOENT)
		return fail_errno(-errno, "cannot open the pin %s", path);
	return 0;
}

/* Whether the program was loaded with this map. */
static bool program_reads(int program_fd, int map_fd)
{
	uint32_t maps[64] = {0}, size = sizeof(struct bpf_prog_info), wanted = 0, i;
	struct bpf_prog_info info = {.nr_map_ids = ARRAY_SIZE(maps), .map_ids = (uintptr_t)maps};

	if (program_fd < 0 || map_fd < 0 || map_id(map_fd, &wanted) ||
	    bpf_obj_get_info_by_fd(program_fd, &info, &size))
		return false;
	for (i = 0; i < info.nr_map_ids && i < ARRAY_SIZE(maps); i++)
		/* cppcheck-suppress uninitvar ; the kernel wrote them */
		if (maps[i] == wanted)
			return true;
	return false;
}

/* An agent that died amid a commit leaves programs and tables of two sets. */
static bool fits_together(const struct table_set *set)
{
	for (int hook = 0; hook < HOOK_COUNT; hook++)
		for (int map = 0; map < TABLE_MAP_COUNT; map++)
			if (!program_reads(set->program_fd[hook], set->tables.fd[map]))
				return false;
	return true;
}

static int open_programs(const struct datapath *datapath, struct table_set *set)
{
	for (int hook = 0; hook < HOOK_COUNT; hook++) {
		int error = open_optional(datapath, hook_pin_name((enum hook)hook), &set->program_fd[hook]);

		if (error)
			return error;
		if (set->program_fd[hook] >= 0 && program_id(set->program_fd[hook], &set->program_id[hook]))
			return fail_errno(-errno, "cannot look at the pinned program %s",
					  hook_pin_name((enum hook)hook));
	}
	return 0;
}

/*
 * Amid a commit the maps are of two sets for a moment, and the program is of the new one: what it reads then waits for its
 * turn under another name. The pinned map where the program reads neither; *fd is -1 where there is none.
 */
static int open_table_map(const struct datapath *datapath, int program_fd, const char *name, int *fd)
{
	_cleanup_free_ char *next = text_format("%s_next", name);
	_cleanup_fd_ int pinned = -1, waiting = -1;
	int error;

	if (!next)
		return fail_errno(-ENOMEM, "no memory");
	/* In this order: what is renamed meanwhile is found all the same. */
	error = open_optional(datapath, next, &waiting);
	if (!error)
		error = open_optional(datapath, name, &pinned);
	if (error)
		return error;
	*fd = program_reads(program_fd, waiting) ? take_fd(&waiting) : take_fd(&pinned);
	return 0;
}

static int open_tables(const struct datapath *datapath, struct table_set *set)
{
	int error = 0;

	for (int map = 0; !error && map < TABLE_MAP_COUNT; map++)
		error = open_table_map(datapath, set->program_fd[HOOK_FROM_POD], table_map_pin((enum table_map)map),
				       &set->tables.fd[map]);
	return error;
}

static int map_adopted(const struct datapath *datapath, struct table_set *set)
{
	int error = table_maps_verify(&set->tables, datapath->directory);

	return error ? error : table_maps_map(&set->tables, datapath->read_only);
}

/* One whose tables have no descriptors where none are pinned. */
static int open_set(const struct datapath *datapath, struct table_set **out)
{
	_cleanup_(free_set) struct table_set *set = set_new();
	int error;

	if (!set)
		return fail_errno(-ENOMEM, "no memory");
	error = open_programs(datapath, set);
	if (!error)
		error = open_tables(datapath, set);
	if (!error)
		*out = take(set);
	return error;
}

static bool has_tables(const struct table_set *set)
{
	return set->tables.fd[TABLE_MAP_FIRST] >= 0 && set->tables.fd[TABLE_MAP_OTHERS] >= 0;
}

int table_set_adopt(struct datapath *datapath)
{
	_cleanup_(free_set) struct table_set *set = NULL;
	int error = open_set(datapath, &set), attempt;

	/* A reader may have come amid a commit, which does not take long. */
	for (attempt = 0; !error && datapath->read_only && attempt < READ_ATTEMPTS && !fits_together(set); attempt++) {
		table_set_free(take(set));
		error = open_set(datapath, &set);
	}
	if (error || !has_tables(set))
		return error;
	if (!fits_together(set)) {
		log_debug("the pinned tables and programs are of two commits, one unfinished: they are not adopted");
		/* A reader still shows the tables; the agent makes new ones. */
		if (!datapath->read_only)
			return 0;
	}
	error = map_adopted(datapath, set);
	if (!error)
		datapath->in_force = take(set);
	return error;
}
