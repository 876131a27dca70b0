/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ten thousand rounds of pods and interfaces coming and going, against real maps and attachments: after them there is
 * what there was before. Most rounds share interfaces that do not exist, since it is entries that are counted; every
 * REAL_EVERY-th one has an interface that is made, attached, deleted, and whose number is used again.
 */
#include "attach_ground.h"

#include <bpf/bpf.h>

#define ROUNDS     10000
#define REAL_EVERY 100
/* The agent lets go of as many interfaces with one grace period. */
#define GRACE_EVERY 250
/* Numbers of interfaces that never exist; a quarter of them share buckets with others. */
#define FIRST_NUMBER 100000u
#define NUMBERS      64u
#define SHARED_ID    100u
#define REAL_NUMBER  4321

struct holdings {
	size_t descriptors, mappings, pins, attached, endpoints, held, flows, buckets;
};

static size_t lines_of(const char *format, ...) __attribute__((format(printf, 1, 2)));
static size_t lines_of(const char *format, ...)
{
	char line[512];
	va_list arguments;
	size_t count;
	FILE *pipe;

	va_start(arguments, format);
	vsnprintf(line, sizeof(line), format, arguments);
	va_end(arguments);
	pipe = popen(line, "re");
	assert_non_null(pipe);
	assert_int_equal(fscanf(pipe, "%zu", &count), 1);
	assert_int_equal(pclose(pipe), 0);
	return count;
}

static int count_flow(const struct flow_tuple *tuple, const struct egress_flow *flow, void *data)
{
	(void)tuple;
	(void)flow;
	++*(size_t *)data;
	return 0;
}

/* Buckets that are not as good as new. */
static size_t used_buckets(int map)
{
	static const struct egress_endpoint unused;
	struct egress_endpoint found;
	size_t count = 0;

	for (uint32_t bucket = 0; bucket < EGRESS_ENDPOINT_BUCKETS; bucket++) {
		assert_int_equal(bpf_map_lookup_elem(map, &bucket, &found), 0);
		count += !!memcmp(&found, &unused, sizeof(unused));
	}
	return count;
}

static int pinned(const char *name)
{
	char path[256];
	int fd;

	snprintf(path, sizeof(path), VERSIONED_DIRECTORY "/%s", name);
	fd = bpf_obj_get(path);
	assert_true(fd >= 0);
	return fd;
}

static struct holdings take_stock(void)
{
	int endpoints = pinned(EGRESS_PIN_ENDPOINTS);
	struct holdings holdings = {};
	struct egress_endpoint *list;
	uint32_t *numbers;

	check(datapath_grace_period(datapath));
	holdings.buckets = used_buckets(endpoints);
	close(endpoints);
	holdings.descriptors = entries_in("/proc/self/fd");
	holdings.mappings = lines_of("grep -c bpf-map /proc/%d/maps", getpid());
	holdings.pins = lines_of("find %s | wc -l", EGRESS_PIN_PARENT);
	check(datapath_attached_list(datapath, &numbers, &holdings.attached));
	free(numbers);
	check(datapath_held_list(datapath, &numbers, &holdings.held));
	free(numbers);
	check(datapath_endpoint_list(datapath, &list, &holdings.endpoints));
	free(list);
	check(datapath_flows(datapath, count_flow, &holdings.flows));
	return holdings;
}

/* A connection that someone opened to the pod. */
static void add_flow(uint32_t id, uint32_t round)
{
	const struct flow_tuple tuple = {.endpoint = id, .family = 6, .remote = {round}};
	struct egress_flow flow = {};

	assert_int_equal(datapath_flow_add(datapath, &tuple, &flow, round % 4 == 3), 0);
}

/* As the agent does it for an id that comes into the kernel new. */
static void pod_comes(uint32_t ifindex, uint32_t id, uint32_t round)
{
	struct egress_endpoint endpoint = {.ifindex = ifindex, .id = id, .ipv4 = htonl(0x0a000000 + round)};

	check(datapath_counters_reset(datapath, id));
	check(datapath_flows_remove(datapath, id));
	check(datapath_endpoint_put(datapath, &endpoint));
	add_flow(id, round);
}

/* Its number and its id are another pod's at once; every other one was held before its pod was known. */
static void shared_round(uint32_t round)
{
	uint32_t number = round % NUMBERS, ifindex = FIRST_NUMBER + number;
	uint32_t id = SHARED_ID + round * 7 % NUMBERS;

	if (number % 4 == 0)
		ifindex += EGRESS_ENDPOINT_BUCKETS * (1 + number / 4 % 2);
	if (round % 2)
		check(datapath_endpoint_hold(datapath, ifindex));
	pod_comes(ifindex, id, round);
	check(datapath_endpoint_remove(datapath, ifindex));
	if (round % GRACE_EVERY == 0)
		check(datapath_grace_period(datapath));
}

static void add_interface(void)
{
	command("ip link add round0 index %d type veth peer name round1", REAL_NUMBER);
}

static void forget_shared_ids(void)
{
	for (uint32_t id = SHARED_ID; id < SHARED_ID + NUMBERS; id++)
		check(datapath_flows_remove(datapath, id));
}

/*
 * A pod on an interface, which is recreated under its name there, loses the interface and gets another one of its
 * number, and goes.
 */
static void real_round(uint32_t round)
{
	const uint32_t id = 50;

	add_interface();
	check(datapath_hold(datapath, REAL_NUMBER));
	pod_comes(REAL_NUMBER, id, round);
	pod_comes(REAL_NUMBER, id + 1, round + 1);
	check(datapath_flows_remove(datapath, id));
	command("ip link del round0");
	check(datapath_detach(datapath, REAL_NUMBER));
	check(datapath_endpoint_remove(datapath, REAL_NUMBER));
	add_interface();
	assert_false(datapath_attached(datapath, REAL_NUMBER));
	pod_comes(REAL_NUMBER, id, round + 2);
	check(datapath_attach(datapath, REAL_NUMBER));
	/* In every other round the interface goes while all is in place. */
	if (round / REAL_EVERY % 2)
		command("ip link del round0");
	check(datapath_detach(datapath, REAL_NUMBER));
	check(datapath_endpoint_remove(datapath, REAL_NUMBER));
	check(datapath_flows_remove(datapath, id));
	check(datapath_flows_remove(datapath, id + 1));
	if (round / REAL_EVERY % 2 == 0)
		command("ip link del round0");
}

static void ten_thousand_rounds_leave_nothing(void **state)
{
	struct holdings before, after;

	(void)state;
	tables_commit(datapath, EGRESS_SET_OPEN, 1);
	check(datapath_attach(datapath, pod.ifindex));
	/* Directories of pins are made with the first one in them. */
	real_round(0);
	before = take_stock();
	for (uint32_t round = 1; round <= ROUNDS; round++) {
		shared_round(round);
		if (round % REAL_EVERY == 0)
			real_round(round);
	}
	forget_shared_ids();
	after = take_stock();
	assert_int_equal(before.descriptors, after.descriptors);
	assert_int_equal(before.mappings, after.mappings);
	assert_int_equal(before.pins, after.pins);
	assert_int_equal(before.attached, after.attached);
	assert_int_equal(before.endpoints, after.endpoints);
	assert_int_equal(before.held, after.held);
	assert_int_equal(before.flows, after.flows);
	assert_int_equal(before.buckets, after.buckets);
	assert_true(pod_passes(&pod));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		test_of_both(ten_thousand_rounds_leave_nothing),
	};

	return cmocka_run_group_tests_name("rounds", tests, enter, NULL);
}
