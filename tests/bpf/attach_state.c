/* SPDX-License-Identifier: Apache-2.0 */
/* What is pinned and where, the maps' contents as user space sees them, and what is said when something is missing. */
#include "attach.h"

#include <dlfcn.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <sys/syscall.h>
#include <time.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "base/cleanup.h"
#include "base/text.h"
#include "datapath/table_maps.h"

#include "map_layout.h"

#define OTHER_ID 8

static struct datapath *datapath;

/* ---------------------------------------------------------------- one online CPU on order */

static bool pretend_one_cpu;

/* glibc's own name for what ours stands before. */
long __sysconf(int name);

long sysconf(int name)
{
	return name == _SC_NPROCESSORS_ONLN && pretend_one_cpu ? 1 : __sysconf(name);
}

/* ---------------------------------------------------------------- a kernel that takes no programs, on order */

static bool loads_fail;

/* Stands before that of libbpf. */
int bpf_object__load(struct bpf_object *object)
{
	int (*real)(struct bpf_object *);

	*(void **)&real = dlsym(RTLD_NEXT, "bpf_object__load");
	return loads_fail ? -E2BIG : real(object);
}

/* ---------------------------------------------------------------- ground */

static int set_up(void **state)
{
	(void)state;
	datapath = open_with(ATTACH_AUTO);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	if (datapath)
		check(datapath_remove(datapath));
	datapath_close(datapath);
	datapath = NULL;
	assert_int_equal(access(EGRESS_PIN_PARENT, F_OK), -1);
	return 0;
}

static int open_map(const char *name)
{
	char path[256];
	int fd;

	snprintf(path, sizeof(path), VERSIONED_DIRECTORY "/%s", name);
	fd = bpf_obj_get(path);
	assert_true(fd >= 0);
	return fd;
}

static void write_map(const char *name, const void *key, const void *value)
{
	int fd = open_map(name);

	assert_int_equal(bpf_map_update_elem(fd, key, value, BPF_ANY), 0);
	close(fd);
}

static uint32_t id_of(const char *name)
{
	int fd = open_map(name);
	uint32_t id = map_info(fd).id;

	close(fd);
	return id;
}

static mode_t mode_of(const char *path)
{
	struct stat status;

	assert_int_equal(stat(path, &status), 0);
	return status.st_mode & 0777;
}

/* ---------------------------------------------------------------- pins */

static void pins_are_for_root_only(void **state)
{
	(void)state;
	tables_commit(datapath, EGRESS_SET_OPEN, 1);
	assert_int_equal(mode_of(EGRESS_PIN_PARENT), 0700);
	assert_int_equal(mode_of(VERSIONED_DIRECTORY), 0700);
	assert_int_equal(mode_of(VERSIONED_DIRECTORY "/" EGRESS_PIN_TABLES), 0600);
	assert_int_equal(mode_of(VERSIONED_DIRECTORY "/" EGRESS_PIN_FLOWS), 0600);
	assert_int_equal(mode_of(VERSIONED_DIRECTORY "/" EGRESS_PIN_ENDPOINTS), 0600);
	/* One that was left open is closed. */
	assert_int_equal(chmod(VERSIONED_DIRECTORY, 0755), 0);
	datapath_close(datapath);
	datapath = open_with(ATTACH_AUTO);
	assert_int_equal(mode_of(VERSIONED_DIRECTORY), 0700);
}

static void maps_are_found_again(void **state)
{
	static const char *const names[] = {
		EGRESS_PIN_ENDPOINTS, EGRESS_PIN_ENDPOINTS_OVERFLOW, EGRESS_PIN_ALLOWED,       EGRESS_PIN_DROPPED,
		EGRESS_PIN_FLOWS,     EGRESS_PIN_FLOWS_BESIDE,       EGRESS_PIN_DROP_LOG,       EGRESS_PIN_DROP_LOG_STATE};
	uint32_t before[ARRAY_SIZE(names)];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		before[i] = id_of(names[i]);
	datapath_close(datapath);
	datapath = open_with(ATTACH_AUTO);
	tables_commit(datapath, EGRESS_SET_OPEN, 1);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		assert_int_equal(id_of(names[i]), before[i]);
}

static void map_of_another_layout_is_named(void **state)
{
	const struct datapath_options options = {.attach = ATTACH_AUTO};
	struct datapath *second = NULL;
	int fd;

	(void)state;
	assert_int_equal(unlink(VERSIONED_DIRECTORY "/" EGRESS_PIN_ALLOWED), 0);
	fd = bpf_map_create(BPF_MAP_TYPE_PERCPU_ARRAY, "allowed", 4, 24, EGRESS_ENDPOINT_MAX, NULL);
	assert_true(fd >= 0);
	assert_int_equal(bpf_obj_pin(fd, VERSIONED_DIRECTORY "/" EGRESS_PIN_ALLOWED), 0);
	close(fd);
	assert_int_equal(datapath_open(&options, &second), -EINVAL);
	assert_null(second);
	assert_non_null(strstr(datapath_error(), VERSIONED_DIRECTORY "/allowed"));
	assert_non_null(strstr(datapath_error(), "value 16"));
	assert_non_null(strstr(datapath_error(), "value 24"));
}

static int no_flow(const struct flow_tuple *tuple, const struct egress_flow *flow, void *data)
{
	(void)tuple;
	(void)flow;
	(void)data;
	return -EEXIST;
}

static void reader_creates_nothing(void **state)
{
	const struct datapath_options options = {.read_only = true};
	struct egress_counter allowed, dropped[EGRESS_DROP_REASON_SLOTS];
	struct datapath *reader = NULL;
	struct drop_cursor *cursor;
	const uint32_t *seen;
	uint32_t *memory;
	size_t words, pins;

	(void)state;
	pins = entries_in(VERSIONED_DIRECTORY);
	check(datapath_open(&options, &reader));
	assert_int_equal(datapath_tables(reader, &seen, &words), -ENOENT);
	assert_int_equal(datapath_new_tables(reader, 1, &memory, &words), -EROFS);
	assert_int_equal(entries_in(VERSIONED_DIRECTORY), pins);
	check(drop_cursor_new(reader, false, &cursor));
	drop_cursor_free(cursor);
	check(datapath_counters(reader, ENDPOINT_ID, &allowed, dropped));
	assert_true(datapath_counters_reset(reader, ENDPOINT_ID) < 0);
	assert_int_equal(datapath_flows(reader, no_flow, NULL), 0);
	datapath_close(reader);
	tables_commit(datapath, EGRESS_SET_OPEN, 9);
	check(datapath_open(&options, &reader));
	check(datapath_tables(reader, &seen, &words));
	assert_int_equal(((const struct egress_control *)seen)->bank[0].generation, 9);
	datapath_close(reader);
	check(datapath_remove(datapath));
	datapath_close(datapath);
	datapath = NULL;
	reader = NULL;
	assert_int_equal(datapath_open(&options, &reader), -ENOENT);
	assert_null(reader);
	assert_int_equal(access(EGRESS_PIN_PARENT, F_OK), -1);
}

static uint32_t generation_in_force(void)
{
	const uint32_t *memory;
	size_t words;

	check(datapath_tables(datapath, &memory, &words));
	return ((const struct egress_control *)memory)->bank[0].generation;
}

#define PIN(name) VERSIONED_DIRECTORY "/" name

/* As an agent leaves the pins that is killed amid the renames of a commit: these maps' are still waiting for theirs. */
static void leave_amid_commit(const char *const *waiting)
{
	int before[TABLE_MAP_COUNT];

	tables_commit(datapath, EGRESS_SET_OPEN, 9);
	for (size_t i = 0; waiting[i]; i++)
		before[i] = open_map(waiting[i]);
	tables_commit(datapath, EGRESS_SET_OPEN, 10);
	for (size_t i = 0; waiting[i]; i++) {
		_cleanup_free_ char *path = text_format(PIN("%s"), waiting[i]), *next = text_format("%s_next", path);

		assert_int_equal(rename(path, next), 0);
		assert_int_equal(bpf_obj_pin(before[i], path), 0);
		close(before[i]);
	}
}

static void expect_reader(uint32_t generation)
{
	const struct datapath_options options = {.read_only = true};
	struct datapath *reader = NULL;
	const uint32_t *seen;
	size_t words;

	check(datapath_open(&options, &reader));
	check(datapath_tables(reader, &seen, &words));
	assert_int_equal(((const struct egress_control *)seen)->bank[0].generation, generation);
	datapath_close(reader);
}

/* Nor does the next agent. */
static void reader_never_mixes_two_sets(void **state)
{
	static const char *const waiting[][TABLE_MAP_COUNT + 1] = {
		{EGRESS_PIN_FIRST_CHUNK, EGRESS_PIN_TABLES, NULL},
		{EGRESS_PIN_TABLES, NULL},
		{EGRESS_PIN_FIRST_CHUNK, NULL},
	};
	size_t repaired;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(waiting); i++) {
		leave_amid_commit(waiting[i]);
		expect_reader(10);
		datapath_close(datapath);
		datapath = open_with(ATTACH_AUTO);
		assert_int_equal(generation_in_force(), 10);
		check(datapath_repair_pins(datapath, &repaired));
		assert_true(repaired > 0);
		expect_reader(10);
	}
}

static void first_chunk_of_another_layout_is_named(void **state)
{
	const struct datapath_options options = {.read_only = true};
	LIBBPF_OPTS(bpf_map_create_opts, flags, .map_flags = BPF_F_MMAPABLE);
	struct datapath *reader = NULL;
	int fd;

	(void)state;
	tables_commit(datapath, EGRESS_SET_OPEN, 9);
	assert_int_equal(unlink(PIN(EGRESS_PIN_FIRST_CHUNK)), 0);
	fd = bpf_map_create(BPF_MAP_TYPE_ARRAY, "first_chunk", 4, sizeof(struct egress_chunk), 2, &flags);
	assert_true(fd >= 0);
	assert_int_equal(bpf_obj_pin(fd, PIN(EGRESS_PIN_FIRST_CHUNK)), 0);
	close(fd);
	assert_int_equal(datapath_open(&options, &reader), -EINVAL);
	assert_null(reader);
	assert_non_null(strstr(datapath_error(), PIN(EGRESS_PIN_FIRST_CHUNK)));
	assert_non_null(strstr(datapath_error(), "entries 2"));
}

static void tables_have_the_size_asked_for(void **state)
{
	uint32_t *memory;
	size_t words;

	(void)state;
	check(datapath_new_tables(datapath, 0, &memory, &words));
	assert_int_equal(words, EGRESS_CHUNK_WORDS);
	check(datapath_new_tables(datapath, 2 * EGRESS_CHUNK_WORDS, &memory, &words));
	assert_int_equal(words, 2 * EGRESS_CHUNK_WORDS);
	check(datapath_new_tables(datapath, 2 * EGRESS_CHUNK_WORDS + 1, &memory, &words));
	assert_int_equal(words, 3 * EGRESS_CHUNK_WORDS);
	for (size_t i = 0; i < words; i++)
		assert_int_equal(memory[i], 0);
	memory[words - 1] = 1;
	assert_int_equal(datapath_new_tables(datapath, (size_t)UINT32_MAX + 1, &memory, &words), -E2BIG);
	/* The last one was not harmed by the refusal, and can be put in force once. */
	check(datapath_commit_tables(datapath));
	assert_int_equal(datapath_commit_tables(datapath), -EINVAL);
}

/* Chunks in each value of a map. */
static uint32_t chunks_of(const char *name)
{
	int fd = open_map(name);
	uint32_t size = map_info(fd).value_size;

	close(fd);
	return size / (uint32_t)sizeof(struct egress_chunk);
}

static uint32_t word_of(const char *name, uint32_t entry, uint32_t word)
{
	int fd = open_map(name);
	uint32_t *words = malloc(map_info(fd).value_size), value;

	assert_non_null(words);
	assert_int_equal(bpf_map_lookup_elem(fd, &entry, words), 0);
	value = words[word];
	free(words);
	close(fd);
	return value;
}

static void every_word_is_in_the_map_of_its_chunk(void **state)
{
	uint32_t *memory;
	size_t words;

	(void)state;
	check(datapath_new_tables(datapath, 3 * EGRESS_CHUNK_WORDS, &memory, &words));
	memory[EGRESS_CHUNK_WORDS - 1] = 1;
	memory[EGRESS_CHUNK_WORDS] = 2;
	memory[2 * EGRESS_CHUNK_WORDS + 7] = 3;
	check(datapath_commit_tables(datapath));
	assert_int_equal(word_of(EGRESS_PIN_FIRST_CHUNK, 0, EGRESS_CHUNK_WORDS - 1), 1);
	if (takes_large_values()) {
		assert_int_equal(chunks_of(EGRESS_PIN_FIRST_CHUNK), 3);
		assert_int_equal(word_of(EGRESS_PIN_FIRST_CHUNK, 0, EGRESS_CHUNK_WORDS), 2);
		assert_int_equal(word_of(EGRESS_PIN_FIRST_CHUNK, 0, 2 * EGRESS_CHUNK_WORDS + 7), 3);
		return;
	}
	assert_int_equal(word_of(EGRESS_PIN_TABLES, 0, 0), 2);
	assert_int_equal(word_of(EGRESS_PIN_TABLES, 1, 7), 3);
}

/* Tables that were foreseen are those that are given where the size is right, and none is left of others. */
static void tables_can_be_foreseen(void **state)
{
	uint32_t *memory, *again;
	const uint32_t *seen;
	size_t words, descriptors;

	(void)state;
	tables_commit(datapath, EGRESS_SET_PENDING, 1);
	assert_int_equal(datapath_finish_tables(datapath), -EINVAL);
	descriptors = entries_in("/proc/self/fd");
	check(datapath_foresee_tables(datapath, 2 * EGRESS_CHUNK_WORDS));
	datapath_forget_foreseen(datapath);
	datapath_forget_foreseen(datapath);
	assert_int_equal(entries_in("/proc/self/fd"), descriptors);
	/* Another size: new ones. */
	check(datapath_foresee_tables(datapath, 2 * EGRESS_CHUNK_WORDS));
	check(datapath_new_tables(datapath, 3 * EGRESS_CHUNK_WORDS, &memory, &words));
	assert_int_equal(words, 3 * EGRESS_CHUNK_WORDS);
	assert_int_equal(datapath_foresee_tables(datapath, (size_t)UINT32_MAX + 1), -E2BIG);
	/* What was made stays until the foreseen is asked for. */
	check(datapath_foresee_tables(datapath, 2 * EGRESS_CHUNK_WORDS));
	check(datapath_finish_tables(datapath));
	check(datapath_new_tables(datapath, 2 * EGRESS_CHUNK_WORDS - 1, &memory, &words));
	assert_int_equal(words, 2 * EGRESS_CHUNK_WORDS);
	for (size_t i = 0; i < words; i++)
		assert_int_equal(memory[i], 0);
	tables_fill(memory, EGRESS_SET_OPEN, 2);
	check(datapath_finish_tables(datapath));
	check(datapath_commit_tables(datapath));
	assert_int_equal(generation_in_force(), 2);
	check(datapath_tables(datapath, &seen, &words));
	assert_ptr_equal(seen, memory);
	/* One that is never waited for by hand. */
	check(datapath_foresee_tables(datapath, EGRESS_CHUNK_WORDS));
	check(datapath_new_tables(datapath, EGRESS_CHUNK_WORDS, &again, &words));
	tables_fill(again, EGRESS_SET_PENDING, 3);
	check(datapath_commit_tables(datapath));
	assert_int_equal(generation_in_force(), 3);
	assert_int_equal(entries_in("/proc/self/fd"), descriptors);
	/* Ends with the datapath. */
	check(datapath_foresee_tables(datapath, EGRESS_CHUNK_WORDS));
}

/* A kernel that does not take the programs says so, whoever loaded them. */
static void foreseen_programs_may_fail(void **state)
{
	uint32_t *memory;
	size_t words;

	(void)state;
	tables_commit(datapath, EGRESS_SET_PENDING, 1);
	loads_fail = true;
	check(datapath_foresee_tables(datapath, EGRESS_CHUNK_WORDS));
	check(datapath_new_tables(datapath, EGRESS_CHUNK_WORDS, &memory, &words));
	assert_int_equal(datapath_commit_tables(datapath), -E2BIG);
	assert_non_null(strstr(datapath_error(), "did not take the programs"));
	loads_fail = false;
	/* They are gone; what was in force still is, and the next are taken. */
	assert_int_equal(datapath_commit_tables(datapath), -EINVAL);
	assert_int_equal(generation_in_force(), 1);
	tables_commit(datapath, EGRESS_SET_OPEN, 2);
	assert_int_equal(generation_in_force(), 2);
}

/* ---------------------------------------------------------------- bpffs */

static int open_at(const char *pin, struct datapath **out)
{
	const struct datapath_options options = {.pin = pin};

	return datapath_open(&options, out);
}

static bool is_mounted(const char *path)
{
	char line[512];

	snprintf(line, sizeof(line), "grep -q ' %s bpf ' /proc/self/mounts", path);
	return !system(line);
}

static void bpffs_is_mounted_where_it_is_missing(void **state)
{
	struct datapath *elsewhere;
	char directory[] = "/tmp/attach-state.XXXXXX", pin[64], file[96];

	(void)state;
	assert_non_null(mkdtemp(directory));
	snprintf(pin, sizeof(pin), "%s/a/pins", directory);
	check(open_at(pin, &elsewhere));
	assert_true(is_mounted(pin));
	datapath_close(elsewhere);
	/* Again: what is mounted is used. */
	check(open_at(pin, &elsewhere));
	check(datapath_remove(elsewhere));
	datapath_close(elsewhere);
	assert_false(is_mounted(pin));
	/* Files that a mount would hide. */
	snprintf(file, sizeof(file), "%s/file", pin);
	close(open(file, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
	assert_int_equal(open_at(pin, &elsewhere), -ENOTEMPTY);
	assert_non_null(strstr(datapath_error(), pin));
	assert_int_equal(open_at(file, &elsewhere), -ENOTDIR);
	command("rm -r %s", directory);
	assert_int_equal(open_at("relative", &elsewhere), -EINVAL);
}

static void system_bpffs_is_mounted_in_its_place(void **state)
{
	struct datapath *own;
	char path[64];

	(void)state;
	/* Below the test's own there may be the machine's: a sysfs of our own shows neither. */
	if (mount("sysfs", "/sys", "sysfs", 0, NULL))
		skip();
	assert_false(is_mounted("/sys/fs/bpf") && !entries_in("/sys/fs/bpf"));
	check(open_at(EGRESS_PIN_PARENT, &own));
	snprintf(path, sizeof(path), "%s/v%d/endpoints", EGRESS_PIN_PARENT, EGRESS_CONTRACT_VERSION);
	assert_int_equal(access(path, F_OK), 0);
	check(datapath_remove(own));
	datapath_close(own);
	assert_int_equal(umount("/sys/fs/bpf"), 0);
	assert_int_equal(umount("/sys"), 0);
}

/* ---------------------------------------------------------------- endpoints */

static struct egress_endpoint endpoint(uint32_t ifindex, uint32_t id)
{
	return (struct egress_endpoint){.ifindex = ifindex, .id = id};
}

static void put(uint32_t ifindex, uint32_t id)
{
	struct egress_endpoint item = endpoint(ifindex, id);

	check(datapath_endpoint_put(datapath, &item));
}

/* The id that the maps have for an interface; 0: none. */
static uint32_t listed(uint32_t ifindex, size_t *count)
{
	struct egress_endpoint *list;
	uint32_t id = 0;

	check(datapath_endpoint_list(datapath, &list, count));
	for (size_t i = 0; i < *count; i++)
		if (list[i].ifindex == ifindex)
			id = list[i].id;
	free(list);
	return id;
}

static void endpoints_are_kept(void **state)
{
	struct egress_endpoint wrong[] = {endpoint(0, 1), endpoint(1, 0), endpoint(1, EGRESS_ENDPOINT_MAX)};
	uint32_t collides = 5 + EGRESS_ENDPOINT_BUCKETS;
	size_t count;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++)
		assert_int_equal(datapath_endpoint_put(datapath, &wrong[i]), -EINVAL);
	put(5, 1);
	put(collides, 2);
	assert_int_equal(listed(5, &count), 1);
	assert_int_equal(listed(collides, &count), 2);
	assert_int_equal(count, 2);
	/* Rewritten in either map. */
	put(5, 3);
	put(collides, 4);
	assert_int_equal(listed(5, &count), 3);
	assert_int_equal(listed(collides, &count), 4);
	assert_int_equal(count, 2);
	/* One goes; the other stays where it is, also when it is written again. */
	check(datapath_endpoint_remove(datapath, 5));
	put(collides, 6);
	assert_int_equal(listed(5, &count), 0);
	assert_int_equal(listed(collides, &count), 6);
	assert_int_equal(count, 1);
	check(datapath_endpoint_remove(datapath, collides));
	assert_int_equal(datapath_endpoint_remove(datapath, collides), -ENOENT);
	assert_int_equal(listed(5, &count), 0);
	assert_int_equal(count, 0);
}

static void endpoints_without_room_are_refused(void **state)
{
	struct egress_endpoint item = endpoint(1, 1);
	int error = 0;
	size_t count;

	(void)state;
	for (uint32_t i = 0; !error && i <= EGRESS_ENDPOINT_MAX + 1; i++) {
		item.ifindex = 1 + i * EGRESS_ENDPOINT_BUCKETS;
		error = datapath_endpoint_put(datapath, &item);
	}
	assert_int_equal(error, -ENOSPC);
	assert_int_equal(listed(item.ifindex, &count), 0);
	/* A free bucket still takes one. */
	put(2, 2);
}

/* ---------------------------------------------------------------- counters */

static void counters_are_summed(void **state)
{
	struct egress_counter values[1024] = {}, allowed, dropped[EGRESS_DROP_REASON_SLOTS];
	uint32_t key = ENDPOINT_ID, other = ENDPOINT_ID * EGRESS_DROP_REASON_SLOTS + EGRESS_DROP_POLICY;
	int cpus = libbpf_num_possible_cpus();
	uint64_t packets = 0;

	(void)state;
	assert_true(cpus > 0 && cpus <= 1024);
	for (int cpu = 0; cpu < cpus; cpu++) {
		values[cpu] = (struct egress_counter){10 + (uint64_t)cpu, 1000};
		packets += 10 + (uint64_t)cpu;
	}
	write_map(EGRESS_PIN_ALLOWED, &key, values);
	write_map(EGRESS_PIN_DROPPED, &other, values);
	check(datapath_counters(datapath, ENDPOINT_ID, &allowed, dropped));
	assert_int_equal(allowed.packets, packets);
	assert_int_equal(allowed.bytes, 1000 * cpus);
	assert_int_equal(dropped[EGRESS_DROP_POLICY].packets, packets);
	assert_int_equal(dropped[EGRESS_DROP_PENDING].packets, 0);
	check(datapath_counters(datapath, OTHER_ID, &allowed, dropped));
	assert_int_equal(allowed.packets + dropped[EGRESS_DROP_POLICY].packets, 0);
	check(datapath_counters_reset(datapath, ENDPOINT_ID));
	check(datapath_counters(datapath, ENDPOINT_ID, &allowed, dropped));
	assert_int_equal(allowed.packets + allowed.bytes + dropped[EGRESS_DROP_POLICY].packets, 0);
	assert_int_equal(datapath_counters(datapath, EGRESS_ENDPOINT_MAX, &allowed, dropped), -EINVAL);
}

/* ---------------------------------------------------------------- flows */

/* By turns of either family. */
static struct flow_tuple tuple_of(uint32_t id, uint8_t protocol, uint16_t port)
{
	struct flow_tuple tuple = {
		.endpoint = id,
		.protocol = protocol,
		.family = port / 2 % 2 ? 6 : 4,
		.local_port = htons(80),
		.remote_port = port,
	};

	for (uint32_t i = 0; i < (tuple.family == 4 ? 1 : 4); i++) {
		tuple.local[i] = htonl(0x0a000000 + i);
		tuple.remote[i] = htonl(0xc0000200 + port + i);
	}
	return tuple;
}

static void add_flow(uint32_t id, uint8_t protocol, uint16_t port, uint64_t seen, uint32_t flow_state, uint32_t flags)
{
	const struct flow_tuple tuple = tuple_of(id, protocol, port);
	const struct egress_flow flow = {.seen = seen, .state = flow_state, .flags = flags};

	assert_int_equal(datapath_flow_add(datapath, &tuple, &flow, port % 3 == 0), 0);
}

/* Only flows of this protocol have twins, which differ in the first word of the local address. */
#define TWINS_PROTOCOL IPPROTO_SCTP

struct tally {
	size_t all, own;
	bool ports[65536];
};

static int tally_flow(const struct flow_tuple *tuple, const struct egress_flow *flow, void *data)
{
	struct flow_tuple wanted = tuple_of(tuple->endpoint, tuple->protocol, tuple->remote_port);
	struct tally *tally = data;

	(void)flow;
	if (tuple->protocol == TWINS_PROTOCOL)
		wanted.local[0] = tuple->local[0];
	assert_memory_equal(tuple, &wanted, sizeof(wanted));
	tally->all++;
	tally->own += tuple->endpoint == ENDPOINT_ID;
	tally->ports[tuple->remote_port] = true;
	return 0;
}

static int stop_at_once(const struct flow_tuple *tuple, const struct egress_flow *flow, void *data)
{
	(void)tuple;
	(void)flow;
	++*(size_t *)data;
	return 42;
}

static struct tally tally;

static void count_flows(void)
{
	memset(&tally, 0, sizeof(tally));
	check(datapath_flows(datapath, tally_flow, &tally));
}

static void every_flow_is_visited_once(void **state)
{
	size_t calls = 0;

	(void)state;
	count_flows();
	assert_int_equal(tally.all, 0);
	/* More than a batch. */
	for (uint16_t port = 1; port <= 3000; port++)
		add_flow(port % 2 ? ENDPOINT_ID : OTHER_ID, IPPROTO_TCP, port, 1, EGRESS_FLOW_NEW, 0);
	count_flows();
	assert_int_equal(tally.all, 3000);
	for (uint16_t port = 1; port <= 3000; port++)
		assert_true(tally.ports[port]);
	assert_int_equal(datapath_flows(datapath, stop_at_once, &calls), 42);
	assert_int_equal(calls, 1);
	check(datapath_flows_remove(datapath, ENDPOINT_ID));
	count_flows();
	assert_int_equal(tally.all, 1500);
	assert_int_equal(tally.own, 0);
	assert_int_equal(datapath_flows_remove(datapath, EGRESS_ENDPOINT_MAX), -EINVAL);
}

/* The key of a flow has no room for all of an IPv6 address that it is to. */
static void a_flow_is_to_all_of_its_local_address(void **state)
{
	struct flow_tuple tuple = tuple_of(ENDPOINT_ID, IPPROTO_TCP, 2);
	struct egress_flow flow = {.state = EGRESS_FLOW_ESTABLISHED, .seen = 5};

	(void)state;
	assert_int_equal(tuple.family, 6);
	assert_int_equal(datapath_flow_update(datapath, &tuple, &flow), -ENOENT);
	assert_int_equal(datapath_flow_add(datapath, &tuple, &flow, false), 0);
	assert_int_equal(datapath_flow_add(datapath, &tuple, &flow, false), -EEXIST);
	flow.seen = 0;
	assert_int_equal(datapath_flow_read(datapath, &tuple, &flow), 0);
	assert_int_equal(flow.seen, 5);
	tuple.local[0] = htonl(0x0a0000ff);
	assert_int_equal(datapath_flow_read(datapath, &tuple, &flow), -ENOENT);
	assert_int_equal(datapath_flow_update(datapath, &tuple, &flow), -ENOENT);
	assert_int_equal(datapath_flow_add(datapath, &tuple, &flow, false), -EEXIST);
	flow.seen = 7;
	assert_int_equal(datapath_flow_add(datapath, &tuple, &flow, true), 0);
	flow.seen = 8;
	assert_int_equal(datapath_flow_update(datapath, &tuple, &flow), 0);
	assert_int_equal(datapath_flow_read(datapath, &tuple, &flow), 0);
	assert_int_equal(flow.seen, 8);
	tuple = tuple_of(ENDPOINT_ID, IPPROTO_TCP, 2);
	assert_int_equal(datapath_flow_read(datapath, &tuple, &flow), 0);
	assert_int_equal(flow.seen, 5);
	check(datapath_flows_remove(datapath, ENDPOINT_ID));
	count_flows();
	assert_int_equal(tally.all, 0);
}

/* Up to contract 13 a flow's key was the whole tuple, in rings as well, and the value ended before the local address. */
#define FORMER_DIRECTORY EGRESS_PIN_PARENT "/v13"

static int former_map(const char *name, uint32_t key_size, uint32_t value_size, uint32_t entries)
{
	LIBBPF_OPTS(bpf_map_create_opts, options, .map_flags = BPF_F_NO_PREALLOC);
	int map = bpf_map_create(BPF_MAP_TYPE_HASH, name, key_size, value_size, entries, &options);
	char path[128];

	assert_true(map >= 0);
	snprintf(path, sizeof(path), FORMER_DIRECTORY "/%s", name);
	assert_int_equal(bpf_obj_pin(map, path), 0);
	return map;
}

static void put_former_flows(int flows, uint32_t id, uint16_t first, uint16_t last)
{
	const struct egress_flow flow = {.state = EGRESS_FLOW_ESTABLISHED, .seen = first};

	for (uint16_t port = first; port <= last; port++) {
		const struct flow_tuple tuple = tuple_of(id, IPPROTO_TCP, port);

		assert_int_equal(bpf_map_update_elem(flows, &tuple, &flow, BPF_ANY), 0);
	}
}

/* As the programs do when the slot of the twin that has the key is taken. */
static void free_a_key(const struct flow_tuple twins[2])
{
	const struct egress_flow_name name = flow_tuple_name(&twins[0]);
	int flows = open_map(EGRESS_PIN_FLOWS);

	assert_int_equal(bpf_map_delete_elem(flows, &name.key), 0);
	close(flows);
}

static void flows_of_a_former_layout_are_taken_over(void **state)
{
	const struct datapath_options options = {.take_over = true};
	const struct egress_flow_ring_key where = {ENDPOINT_ID, 1};
	struct {
		uint32_t head[2];
		struct flow_tuple slot[EGRESS_FLOW_RING_SLOTS];
	} former = {0};
	struct {
		uint32_t head[2];
		struct egress_flow_name slot[EGRESS_FLOW_RING_SLOTS];
	} ring = {0};
	/* In the former map each has an entry; now the key of one is the other's. */
	struct flow_tuple twins[] = {tuple_of(OTHER_ID, TWINS_PROTOCOL, 2), tuple_of(OTHER_ID, TWINS_PROTOCOL, 2)};
	struct egress_flow flow = {.state = EGRESS_FLOW_ESTABLISHED};
	struct egress_flow_share share;
	int flows, rings, shares;

	(void)state;
	check(datapath_remove(datapath));
	datapath_close(datapath);
	datapath = NULL;
	command("mkdir -p " FORMER_DIRECTORY);
	flows = former_map("flows", sizeof(struct flow_tuple), 24, EGRESS_FLOW_MAX);
	rings = former_map("flow_rings_own", sizeof(where), sizeof(former), EGRESS_ENDPOINT_MAX * EGRESS_FLOW_RINGS_OWN);
	for (uint16_t i = 0; i < EGRESS_FLOW_RING_SLOTS - 1; i++)
		former.slot[i] = tuple_of(ENDPOINT_ID, IPPROTO_TCP, i + 1);
	assert_int_equal(bpf_map_update_elem(rings, &where, &former, BPF_ANY), 0);
	close(rings);
	put_former_flows(flows, ENDPOINT_ID, 1, 3000);
	twins[1].local[0] = htonl(0x0a0000ff);
	for (size_t i = 0; i < 2; i++)
		assert_int_equal(bpf_map_update_elem(flows, &twins[i], &flow, BPF_ANY), 0);
	check(datapath_open(&options, &datapath));
	for (size_t i = 0; i < 2; i++)
		assert_int_equal(datapath_flow_read(datapath, &twins[i], &flow), 0);
	shares = open_map(EGRESS_PIN_FLOW_SHARES);
	for (uint32_t id = ENDPOINT_ID; id <= OTHER_ID; id++) {
		assert_int_equal(bpf_map_lookup_elem(shares, &id, &share), 0);
		assert_int_equal(share.beside, id == OTHER_ID);
	}
	count_flows();
	assert_int_equal(tally.all, 3002);
	assert_int_equal(tally.own, 3000);
	free_a_key(twins);
	/* What theirs record until ours are in force comes along too. */
	put_former_flows(flows, OTHER_ID, 3001, 3004);
	close(flows);
	tables_commit(datapath, EGRESS_SET_OPEN, 1);
	/* The one whose key was free is back; of the other there is none but the one that is beside. */
	for (size_t i = 0; i < 2; i++)
		assert_int_equal(datapath_flow_read(datapath, &twins[i], &flow), 0);
	count_flows();
	assert_int_equal(tally.all, 3006);
	assert_int_equal(access(FORMER_DIRECTORY, F_OK), -1);
	rings = open_map(EGRESS_PIN_FLOW_RINGS_OWN);
	assert_int_equal(bpf_map_lookup_elem(rings, &where, &ring), 0);
	close(rings);
	for (uint16_t i = 0; i < EGRESS_FLOW_RING_SLOTS; i++) {
		const struct egress_flow_name name = flow_tuple_name(&former.slot[i]), nothing = {0};

		assert_memory_equal(&ring.slot[i], former.slot[i].endpoint ? &name : &nothing, sizeof(name));
	}
	for (uint32_t id = ENDPOINT_ID; id <= OTHER_ID; id++) {
		assert_int_equal(bpf_map_lookup_elem(shares, &id, &share), 0);
		assert_int_equal(share.opened[egress_flow_port(IPPROTO_TCP, htons(80))], 1);
	}
	close(shares);
}

static void an_owner_leaves_nothing_behind(void **state)
{
	const struct egress_flow_share share = {.rings = 2, .opened = {[7] = 1}, .beside = 1}, nothing = {};
	const struct egress_flow_ring_key own = {ENDPOINT_ID, 1}, others = {OTHER_ID, 1};
	struct egress_flow_share found;
	static char ring[65536];
	uint32_t id = ENDPOINT_ID, other_id = OTHER_ID;
	int rings, shares;

	(void)state;
	rings = open_map(EGRESS_PIN_FLOW_RINGS_OWN);
	shares = open_map(EGRESS_PIN_FLOW_SHARES);
	write_map(EGRESS_PIN_FLOW_SHARES, &id, &share);
	write_map(EGRESS_PIN_FLOW_SHARES, &other_id, &share);
	write_map(EGRESS_PIN_FLOW_RINGS_OWN, &own, ring);
	write_map(EGRESS_PIN_FLOW_RINGS_OWN, &others, ring);
	check(datapath_flows_remove(datapath, ENDPOINT_ID));
	assert_int_equal(bpf_map_lookup_elem(shares, &id, &found), 0);
	assert_memory_equal(&found, &nothing, sizeof(found));
	assert_int_equal(bpf_map_lookup_elem(shares, &other_id, &found), 0);
	assert_memory_equal(&found, &share, sizeof(found));
	assert_true(bpf_map_lookup_elem(rings, &own, ring) < 0);
	assert_int_equal(bpf_map_lookup_elem(rings, &others, ring), 0);
	close(rings);
	close(shares);
}

static void flows_whose_time_is_over_go(void **state)
{
	static const struct {
		uint8_t protocol;
		uint32_t state, flags;
		uint64_t timeout;
	} cases[] = {
		{IPPROTO_TCP, EGRESS_FLOW_NEW, 0, 10000},
		{IPPROTO_TCP, EGRESS_FLOW_ANSWERED, 0, 20000},
		{IPPROTO_TCP, EGRESS_FLOW_ESTABLISHED, 0, 20000},
		{IPPROTO_TCP, EGRESS_FLOW_NEW, EGRESS_FLOW_UNSEEN, 20000},
		{IPPROTO_TCP, EGRESS_FLOW_CLOSING, EGRESS_FLOW_UNSEEN, 30000},
		{IPPROTO_TCP, EGRESS_FLOW_ENDING, EGRESS_FLOW_FIN_LOCAL, 30000},
		{IPPROTO_TCP, EGRESS_FLOW_ESTABLISHED, EGRESS_FLOW_FIN_REMOTE, 20000},
		{IPPROTO_UDP, EGRESS_FLOW_ANSWERED, 0, 40000},
		{IPPROTO_UDP, EGRESS_FLOW_ESTABLISHED, 0, 50000},
		{IPPROTO_SCTP, EGRESS_FLOW_NEW, 0, 40000},
		{IPPROTO_ICMP, EGRESS_FLOW_NEW, 0, 40000},
	};
	struct egress_control *control;
	uint64_t now;
	uint32_t *memory;
	size_t words, removed;

	(void)state;
	assert_int_equal(datapath_flows_expire(datapath, &removed), -ENOENT);
	check(datapath_new_tables(datapath, TABLE_WORDS, &memory, &words));
	tables_fill(memory, EGRESS_SET_OPEN, 1);
	control = (struct egress_control *)memory;
	control->timeout_new = 10000;
	control->timeout_established = 20000;
	control->timeout_closing = 30000;
	control->timeout_udp_new = 40000;
	control->timeout_udp = 50000;
	check(datapath_commit_tables(datapath));
	check(datapath_jiffies(datapath, &now));
	/* Five thousand jiffies, many seconds, on either side of the time-out. */
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		add_flow(ENDPOINT_ID, cases[i].protocol, 2 * i, now - cases[i].timeout - 5000, cases[i].state,
			 cases[i].flags);
		add_flow(ENDPOINT_ID, cases[i].protocol, 2 * i + 1, now - cases[i].timeout + 5000, cases[i].state,
			 cases[i].flags);
	}
	/* Seen by another CPU after the clock was read. */
	add_flow(ENDPOINT_ID, IPPROTO_TCP, 1000, now + 1000000, EGRESS_FLOW_NEW, 0);
	check(datapath_flows_expire(datapath, &removed));
	assert_int_equal(removed, ARRAY_SIZE(cases));
	count_flows();
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		assert_false(tally.ports[2 * i]);
		assert_true(tally.ports[2 * i + 1]);
	}
	assert_true(tally.ports[1000]);
}

/* ---------------------------------------------------------------- drop log */

static void set_log_state(int cpu, uint64_t sequence, uint64_t suppressed)
{
	struct egress_drop_log_state states[1024] = {};
	uint32_t zero = 0;
	int fd = open_map(EGRESS_PIN_DROP_LOG_STATE);

	assert_int_equal(bpf_map_lookup_elem(fd, &zero, states), 0);
	states[cpu].sequence = sequence;
	states[cpu].suppressed = suppressed;
	assert_int_equal(bpf_map_update_elem(fd, &zero, states, BPF_ANY), 0);
	close(fd);
}

/* As a program writes it, but for `sequence`. */
static void log_record(int cpu, uint64_t number, uint64_t time, uint64_t sequence)
{
	uint32_t key = (uint32_t)cpu * EGRESS_DROP_LOG_RECORDS + (uint32_t)((number - 1) % EGRESS_DROP_LOG_RECORDS);
	const struct egress_drop_record record = {.sequence = sequence, .time = time};

	write_map(EGRESS_PIN_DROP_LOG, &key, &record);
}

static size_t read_log(struct drop_cursor *cursor, struct egress_drop_record *records, size_t capacity, uint64_t *lost)
{
	size_t count;

	check(drop_cursor_read(cursor, records, capacity, &count, lost));
	return count;
}

static void drop_log_is_read_in_order(void **state)
{
	struct egress_drop_record records[1024];
	struct drop_cursor *cursor, *late;
	uint64_t lost, written, suppressed;

	(void)state;
	if (libbpf_num_possible_cpus() < 2)
		skip();
	check(drop_cursor_new(datapath, false, &cursor));
	assert_int_equal(read_log(cursor, records, 8, &lost), 0);
	log_record(0, 1, 100, 1);
	log_record(0, 2, 300, 2);
	log_record(1, 1, 200, 1);
	set_log_state(0, 2, 3);
	set_log_state(1, 1, 4);
	check(datapath_drop_log_totals(datapath, &written, &suppressed));
	assert_int_equal(written, 3);
	assert_int_equal(suppressed, 7);
	check(drop_cursor_new(datapath, true, &late));
	/* Two at a time. */
	assert_int_equal(read_log(cursor, records, 2, &lost), 2);
	assert_int_equal(records[0].time, 100);
	assert_int_equal(records[1].time, 200);
	assert_int_equal(read_log(cursor, records, 2, &lost), 1);
	assert_int_equal(records[0].time, 300);
	assert_int_equal(lost, 0);
	assert_int_equal(read_log(late, records, 8, &lost), 0);
	/* One in the making is awaited, not lost. */
	set_log_state(0, 3, 3);
	log_record(0, 3, 400, 0);
	assert_int_equal(read_log(cursor, records, 8, &lost), 0);
	assert_int_equal(lost, 0);
	log_record(0, 3, 400, 3);
	assert_int_equal(read_log(cursor, records, 8, &lost), 1);
	assert_int_equal(read_log(late, records, 8, &lost), 1);
	assert_int_equal(records[0].time, 400);
	drop_cursor_free(late);
	drop_cursor_free(cursor);
}

static void overwritten_records_are_counted(void **state)
{
	struct egress_drop_record records[1024];
	struct drop_cursor *cursor, *fresh;
	uint64_t lost, newest = 3 + EGRESS_DROP_LOG_RECORDS + 10;

	(void)state;
	check(drop_cursor_new(datapath, false, &cursor));
	for (uint64_t number = 1; number <= 3; number++)
		log_record(0, number, number, number);
	set_log_state(0, 3, 0);
	assert_int_equal(read_log(cursor, records, ARRAY_SIZE(records), &lost), 3);
	for (uint64_t number = 4; number <= newest; number++)
		log_record(0, number, number, number);
	set_log_state(0, newest, 0);
	/* One more is being overwritten while we read. */
	log_record(0, newest + 1, newest + 1, 0);
	assert_int_equal(read_log(cursor, records, ARRAY_SIZE(records), &lost), EGRESS_DROP_LOG_RECORDS - 1);
	assert_int_equal(lost, 10 + 1);
	assert_int_equal(records[0].time, newest - EGRESS_DROP_LOG_RECORDS + 2);
	/* A reader that comes now has lost nothing but that one. */
	check(drop_cursor_new(datapath, false, &fresh));
	assert_int_equal(read_log(fresh, records, ARRAY_SIZE(records), &lost), EGRESS_DROP_LOG_RECORDS - 1);
	assert_int_equal(lost, 1);
	drop_cursor_free(fresh);
	drop_cursor_free(cursor);
}

/* ---------------------------------------------------------------- clock and grace periods */

static double seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* The jiffies, and a time before and one after they were read: this process may be kept waiting in between. */
static uint64_t read_jiffies(double *before, double *after)
{
	uint64_t jiffies;

	*before = seconds();
	check(datapath_jiffies(datapath, &jiffies));
	*after = seconds();
	return jiffies;
}

static void jiffies_are_measured(void **state)
{
	const struct timespec pause = {.tv_nsec = 500000000};
	double begin[2], end[2];
	uint64_t ticks;
	uint32_t hz = 0;

	(void)state;
	check(datapath_hz(datapath, &hz));
	ticks = read_jiffies(&begin[0], &begin[1]);
	nanosleep(&pause, NULL);
	ticks = read_jiffies(&end[0], &end[1]) - ticks;
	assert_true(hz * (end[1] - begin[0]) * 1.03 + 1 > (double)ticks);
	assert_true(hz * (end[0] - begin[1]) * 0.97 - 1 < (double)ticks);
}

static void grace_periods_end(void **state)
{
	size_t descriptors;

	(void)state;
	if (sysconf(_SC_NPROCESSORS_ONLN) > 1)
		check(datapath_grace_period(datapath));
	descriptors = entries_in("/proc/self/fd");
	pretend_one_cpu = true;
	for (int i = 0; i < 3; i++)
		check(datapath_grace_period(datapath));
	pretend_one_cpu = false;
	/* The other way was taken: its two maps stay open. */
	assert_int_equal(entries_in("/proc/self/fd"), descriptors + 2);
}

/* ---------------------------------------------------------------- what is missing */

static int exit_status(pid_t child)
{
	int status = 0;

	assert_true(child >= 0 && waitpid(child, &status, 0) == child);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void lower_capability(int capability)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {};

	if (syscall(SYS_capget, &header, data))
		_exit(10);
	data[CAP_TO_INDEX(capability)].effective &= ~CAP_TO_MASK(capability);
	if (syscall(SYS_capset, &header, data))
		_exit(11);
}

static void missing_capabilities_are_named(void **state)
{
	pid_t child;

	(void)state;
	check(datapath_check());
	child = fork();
	if (!child) {
		lower_capability(CAP_NET_ADMIN);
		_exit(datapath_check() == -EPERM && strstr(datapath_error(), "CAP_NET_ADMIN") &&
				      !strstr(datapath_error(), "CAP_BPF")
			      ? 0
			      : 1);
	}
	assert_int_equal(exit_status(child), 0);
	child = fork();
	if (!child) {
		lower_capability(CAP_SYS_ADMIN);
		if (datapath_check())
			_exit(2);
		lower_capability(CAP_BPF);
		_exit(datapath_check() == -EPERM && strstr(datapath_error(), "CAP_BPF") &&
				      !strstr(datapath_error(), "CAP_NET_ADMIN")
			      ? 0
			      : 1);
	}
	assert_int_equal(exit_status(child), 0);
}

/* From now on bpf() fails with this error in the process. */
static void refuse_bpf(int error)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_bpf, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (uint32_t)error),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	const struct sock_fprog program = {.len = ARRAY_SIZE(filter), .filter = filter};

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program))
		_exit(10);
}

static void kernel_without_bpf_is_told(void **state)
{
	pid_t child;

	(void)state;
	child = fork();
	if (!child) {
		refuse_bpf(ENOSYS);
		_exit(datapath_check() == -EOPNOTSUPP && strstr(datapath_error(), "without BPF") ? 0 : 1);
	}
	assert_int_equal(exit_status(child), 0);
	child = fork();
	if (!child) {
		refuse_bpf(EPERM);
		_exit(datapath_check() == -EPERM && strstr(datapath_error(), "refuses BPF") ? 0 : 1);
	}
	assert_int_equal(exit_status(child), 0);
}

static int enter(void **state)
{
	(void)state;
	return enter_namespaces();
}

#define state_test(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		state_test(pins_are_for_root_only),
		state_test(maps_are_found_again),
		state_test(map_of_another_layout_is_named),
		state_test(reader_creates_nothing),
		state_test(reader_never_mixes_two_sets),
		state_test(first_chunk_of_another_layout_is_named),
		state_test(tables_have_the_size_asked_for),
		state_test(every_word_is_in_the_map_of_its_chunk),
		state_test(tables_can_be_foreseen),
		state_test(foreseen_programs_may_fail),
		cmocka_unit_test(bpffs_is_mounted_where_it_is_missing),
		cmocka_unit_test(system_bpffs_is_mounted_in_its_place),
		state_test(endpoints_are_kept),
		state_test(endpoints_without_room_are_refused),
		state_test(counters_are_summed),
		state_test(every_flow_is_visited_once),
		state_test(a_flow_is_to_all_of_its_local_address),
		state_test(flows_of_a_former_layout_are_taken_over),
		state_test(an_owner_leaves_nothing_behind),
		state_test(flows_whose_time_is_over_go),
		state_test(drop_log_is_read_in_order),
		state_test(overwritten_records_are_counted),
		state_test(jiffies_are_measured),
		state_test(grace_periods_end),
		cmocka_unit_test(missing_capabilities_are_named),
		cmocka_unit_test(kernel_without_bpf_is_told),
	};

	return cmocka_run_group_tests_name("state", tests, enter, NULL);
}
