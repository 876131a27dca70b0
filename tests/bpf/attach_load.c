/* SPDX-License-Identifier: Apache-2.0 */
/* Attachment in both kinds while packets flow and things change, the agent dies, or all of it happens very often. */
#include "attach_ground.h"

#include <pthread.h>
#include <time.h>

/* Each loads the programs anew, which takes the verifier a good part of a second. */
#define COMMITS 4

static bool stop_traffic;

/* One packet after the other, each awaited: one that gets lost is missed. */
static void *send_and_await(void *data)
{
	size_t *sent = data, lost = 0;

	while (!__atomic_load_n(&stop_traffic, __ATOMIC_ACQUIRE)) {
		pod_send(&pod, (uint32_t)++ * sent);
		if (!pod_arrives(&pod, (uint32_t)*sent))
			lost++;
	}
	return (void *)lost;
}

static void *send_and_count_arrivals(void *data)
{
	size_t *sent = data, arrived = 0;
	uint32_t received;

	while (!__atomic_load_n(&stop_traffic, __ATOMIC_ACQUIRE)) {
		pod_send(&pod, (uint32_t)++ * sent);
		if (recv(pod.receiver, &received, sizeof(received), MSG_DONTWAIT) > 0)
			arrived++;
	}
	return (void *)arrived;
}

/* Runs `change` some times beside the traffic; the number of wrong verdicts. */
static size_t wrong_under_load(void *(*traffic)(void *), void (*change)(uint32_t round), uint32_t rounds)
{
	pthread_t thread;
	size_t sent = 0;
	void *wrong;

	stop_traffic = false;
	assert_int_equal(pthread_create(&thread, NULL, traffic, &sent), 0);
	for (uint32_t round = 0; round < rounds; round++)
		change(round);
	__atomic_store_n(&stop_traffic, true, __ATOMIC_RELEASE);
	pthread_join(thread, &wrong);
	assert_true(sent > 100);
	return (size_t)wrong;
}

static void commit_open(uint32_t round)
{
	tables_commit(datapath, EGRESS_SET_OPEN, round + 2);
}

static void commit_pending(uint32_t round)
{
	tables_commit(datapath, EGRESS_SET_PENDING, round + 2);
}

static void rewrite_endpoint(uint32_t round)
{
	struct egress_endpoint endpoint = endpoint_of(&pod);

	endpoint.ipv6[3] = round;
	check(datapath_endpoint_put(datapath, &endpoint));
}

static void commits_lose_nothing_that_both_allow(void **state)
{
	(void)state;
	tables_commit(datapath, EGRESS_SET_OPEN, 1);
	check(datapath_attach(datapath, pod.ifindex));
	assert_int_equal(wrong_under_load(send_and_await, commit_open, COMMITS), 0);
}

static void commits_pass_nothing_that_both_deny(void **state)
{
	(void)state;
	tables_commit(datapath, EGRESS_SET_PENDING, 1);
	check(datapath_attach(datapath, pod.ifindex));
	assert_int_equal(wrong_under_load(send_and_count_arrivals, commit_pending, COMMITS), 0);
	assert_int_equal(pod_arrived(&pod), 0);
}

static void rewritten_endpoint_is_always_known(void **state)
{
	struct egress_counter allowed, dropped[EGRESS_DROP_REASON_SLOTS];

	(void)state;
	tables_commit(datapath, EGRESS_SET_OPEN, 1);
	check(datapath_attach(datapath, pod.ifindex));
	assert_int_equal(wrong_under_load(send_and_await, rewrite_endpoint, 30), 0);
	check(datapath_counters(datapath, EGRESS_ENDPOINT_NONE, &allowed, dropped));
	assert_int_equal(dropped[EGRESS_DROP_UNKNOWN_ENDPOINT].packets, 0);
}

static void rounds_leak_nothing(void **state)
{
	size_t descriptors, pins, links, qdiscs;

	(void)state;
	tables_commit(datapath, EGRESS_SET_OPEN, 1);
	check(datapath_attach(datapath, pod.ifindex));
	check(datapath_detach(datapath, pod.ifindex));
	descriptors = entries_in("/proc/self/fd");
	pins = entries_in(VERSIONED_DIRECTORY);
	links = entries_in(VERSIONED_DIRECTORY "/links");
	qdiscs = entries_in(VERSIONED_DIRECTORY "/qdiscs");
	for (uint32_t round = 0; round < 1000; round++) {
		check(datapath_attach(datapath, pod.ifindex));
		if (round % 500 == 0)
			tables_commit(datapath, EGRESS_SET_OPEN, round);
		check(datapath_detach(datapath, pod.ifindex));
	}
	assert_int_equal(entries_in("/proc/self/fd"), descriptors);
	assert_int_equal(entries_in(VERSIONED_DIRECTORY), pins);
	assert_int_equal(entries_in(VERSIONED_DIRECTORY "/links"), links);
	assert_int_equal(entries_in(VERSIONED_DIRECTORY "/qdiscs"), qdiscs);
	assert_false(has_qdisc());
	assert_int_equal(system("test -z \"$(tc filter show dev host0 ingress)\""), 0);
}

/* Commits without end, until it is killed. */
static pid_t start_committing(void)
{
	pid_t child = fork();

	assert_true(child >= 0);
	if (child)
		return child;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (uint32_t generation = 2;; generation++)
		tables_commit(datapath, EGRESS_SET_PENDING, generation);
}

/* Microseconds. */
static uint64_t time_of_commit(void)
{
	struct timespec begin, end;

	clock_gettime(CLOCK_MONOTONIC, &begin);
	tables_commit(datapath, EGRESS_SET_PENDING, 1);
	clock_gettime(CLOCK_MONOTONIC, &end);
	return (uint64_t)((end.tv_sec - begin.tv_sec) * 1000000 + (end.tv_nsec - begin.tv_nsec) / 1000 + 1);
}

static void death_amid_commits_leaves_enforcement(void **state)
{
	const uint32_t *memory;
	uint64_t span;
	size_t words;

	(void)state;
	tables_commit(datapath, EGRESS_SET_PENDING, 1);
	check(datapath_attach(datapath, pod.ifindex));
	span = time_of_commit();
	for (int round = 0; round < 3; round++) {
		pid_t child = start_committing();

		/* Anywhere in its second or third commit. */
		usleep((useconds_t)(span + (uint64_t)rand() % (2 * span)));
		kill(child, SIGKILL);
		waitpid(child, NULL, 0);
		assert_true(pod_is_cut_off(&pod));
		datapath_close(datapath);
		datapath = open_with(kind);
		assert_true(interface_in_list(datapath, pod.ifindex));
		assert_true(pod_is_cut_off(&pod));
		/* Either it is all of one commit, or it is not adopted. */
		if (!datapath_tables(datapath, &memory, &words))
			assert_int_equal(memory[EGRESS_BLOCK_WORDS + ENDPOINT_ID], EGRESS_SET_PENDING);
		tables_commit(datapath, EGRESS_SET_PENDING, 1);
		assert_true(datapath_attached(datapath, pod.ifindex));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		test_of_both(commits_lose_nothing_that_both_allow),
		test_of_both(commits_pass_nothing_that_both_deny),
		test_of_both(rewritten_endpoint_is_always_known),
		test_of_both(death_amid_commits_leaves_enforcement),
		test_of_both(rounds_leak_nothing),
	};

	return cmocka_run_group_tests_name("attach_load", tests, enter, NULL);
}
