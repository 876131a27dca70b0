/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A list of 1,000,000 CIDRs is replaced by another one, again and again, while packets are judged all the time: every
 * verdict is that of one list or of the other, whole. The lists hold one half of their addresses each alone, so that a
 * packet judged by a half-written table would show as an address that passes under neither list, or is denied under both,
 * or as an old verdict behind a new one.
 */
#define _GNU_SOURCE /* syscall() */
#include <linux/membarrier.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <sys/syscall.h>

#include "datapath/table_maps.h"
#include "egressd.skel.h"
#include "frame.h"

#include "../bench/world.h"

#define PREFIXES 1000000u
#define SWAPS    6
#define POD      1
#define LOOPBACK 1
#define PROBES   64
#define PAUSE    50000000 /* nanoseconds */

struct ground {
	struct egressd *skeleton;
	struct table_maps maps;
	uint32_t *words; /* of them */
	size_t word_count;
	struct tables *tables;
	struct policy *policy[2];
	struct list list[2];
	/* Addresses in list 0 alone, in list 1 alone, in both, in none. */
	struct ip_address probe[4][PROBES];
};

static struct ground ground;
static volatile int stop, in_force; /* the list that was published last */

/* Prefixes of one list that are in the other one's place: odd /24s are in list 1, even ones in list 0, 10.0.0.0/8 in both. */
static void make_list(int which)
{
	struct list *list = &ground.list[which];
	uint32_t i;

	*list = (struct list){.family = 4, .count = PREFIXES, .prefixes = calloc(PREFIXES, sizeof(*list->prefixes))};
	assert_non_null(list->prefixes);
	for (i = 0; i < PREFIXES; i++) {
		/* One /28 in each /24 of 16.0.0.0 .. 78.255.255.255 that is this list's. */
		uint32_t network = htonl((16u << 24) + ((i * 2 + (uint32_t)which) << 9 >> 1) + (i % 16) * 16);

		list->prefixes[i].address.family = 4;
		memcpy(list->prefixes[i].address.bytes, &network, 4);
		list->prefixes[i].length = 28;
	}
	list->prefixes[0].length = 8;
	memcpy(list->prefixes[0].address.bytes, "\x0a\0\0\0", 4);
}

static void make_probes(void)
{
	uint64_t random = 7;
	int i;

	for (i = 0; i < PROBES; i++) {
		uint32_t at = 1 + list_random_below(&random, PREFIXES - 1);

		ground.probe[0][i] = ground.list[0].prefixes[at].address;
		ground.probe[1][i] = ground.list[1].prefixes[at].address;
		ground.probe[2][i] = (struct ip_address){.family = 4, .bytes = {10, (uint8_t)i, 1, 1}};
		ground.probe[3][i] = (struct ip_address){.family = 4, .bytes = {200, (uint8_t)i, 1, 1}};
	}
}

static bool passes(const struct ip_address *address)
{
	char text[IP_TEXT_SIZE];
	struct frame frame = tcp("10.1.0.2", 40000, ip_address_format(address, text), 443, TCP_ACK);
	LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = frame.bytes, .data_size_in = frame.length, .repeat = 1);

	if (bpf_prog_test_run_opts(bpf_program__fd(ground.skeleton->progs.egress_from_pod), &options))
		return false;
	return options.retval == (uint32_t)-1;
}

struct tally {
	uint64_t packets, wrong, mixed;
};

/*
 * Between two looks at what was published nothing was: then all verdicts are that list's. Where something was, an address
 * of one list alone may go either way, but those in both lists pass and those in none do not, ever.
 */
static void *judge_all_the_time(void *data)
{
	struct tally *tally = data;
	int i;

	for (i = 0; !stop; i = (i + 1) % PROBES) {
		int before = __atomic_load_n(&in_force, __ATOMIC_ACQUIRE), after;
		bool only0 = passes(&ground.probe[0][i]), only1 = passes(&ground.probe[1][i]);

		after = __atomic_load_n(&in_force, __ATOMIC_ACQUIRE);
		tally->packets += 4;
		tally->wrong += !passes(&ground.probe[2][i]) + passes(&ground.probe[3][i]);
		/* A publication is announced before and after: odd while it happens. */
		if (before == after && before % 2 == 0) {
			int list = before / 2 % 2;

			tally->mixed += only0 != (list == 0);
			tally->mixed += only1 != (list == 1);
		}
	}
	return NULL;
}

static void publish(int which)
{
	assert_int_equal(tables_write(ground.tables, ground.policy[which], (uint32_t)in_force + 1), 0);
	tables_assign(ground.tables, POD, "n0", "pod");
	__atomic_fetch_add(&in_force, 1, __ATOMIC_ACQ_REL);
	tables_publish(ground.tables);
	__atomic_fetch_add(&in_force, 1, __ATOMIC_ACQ_REL);
	/* Table memory is used again only when no packet reads it any more. */
	assert_int_equal(syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0), 0);
	nanosleep(&(struct timespec){.tv_nsec = PAUSE}, NULL);
}

static int setup(void **state)
{
	struct egress_endpoint endpoint = {.ifindex = LOOPBACK, .id = POD, .ipv4 = ipv4("10.1.0.2")};
	uint32_t bucket = LOOPBACK, chunks;
	int which;

	(void)state;
	for (which = 0; which < 2; which++) {
		make_list(which);
		assert_int_equal(world_compile(&ground.list[which], &ground.policy[which]), 0);
	}
	make_probes();
	/* Room for both lists, so that one is written while packets are judged by the other. */
	chunks = (uint32_t)((tables_words(ground.policy[0]) + tables_words(ground.policy[1])) / EGRESS_CHUNK_WORDS + 2);
	ground.word_count = (size_t)chunks * EGRESS_CHUNK_WORDS;
	ground.skeleton = egressd__open();
	assert_non_null(ground.skeleton);
	assert_int_equal(table_maps_create(&ground.maps, ground.skeleton->obj, chunks, true), 0);
	bpf_map__set_max_entries(ground.skeleton->maps.drop_log,
				 (uint32_t)libbpf_num_possible_cpus() * EGRESS_DROP_LOG_RECORDS);
	assert_int_equal(egressd__load(ground.skeleton), 0);
	assert_int_equal(table_maps_map(&ground.maps, false), 0);
	ground.words = ground.maps.memory;
	assert_int_equal(tables_new(ground.words, ground.word_count, &ground.tables), 0);
	assert_int_equal(bpf_map_update_elem(bpf_map__fd(ground.skeleton->maps.endpoints), &bucket, &endpoint, BPF_ANY), 0);
	/* in_force counts two for each publication: the first one is list 0. */
	in_force = -2;
	publish(0);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	tables_free(ground.tables);
	policy_free(ground.policy[0]);
	policy_free(ground.policy[1]);
	free(ground.list[0].prefixes);
	free(ground.list[1].prefixes);
	table_maps_clear(&ground.maps);
	egressd__destroy(ground.skeleton);
	return 0;
}

static void no_packet_is_judged_by_a_half_written_table(void **state)
{
	struct tally tally = {0};
	pthread_t judge;
	int i;

	(void)state;
	assert_int_equal(pthread_create(&judge, NULL, judge_all_the_time, &tally), 0);
	for (i = 1; i <= SWAPS; i++) {
		struct timespec begin, end;

		clock_gettime(CLOCK_MONOTONIC, &begin);
		publish(i % 2);
		clock_gettime(CLOCK_MONOTONIC, &end);
		print_message("%u CIDRs replaced in %ld ms\n", PREFIXES,
			      (end.tv_sec - begin.tv_sec) * 1000 + (end.tv_nsec - begin.tv_nsec) / 1000000 - PAUSE / 1000000);
	}
	stop = 1;
	assert_int_equal(pthread_join(judge, NULL), 0);
	print_message("%lu packets, %lu against both lists, %lu against the one in force\n", tally.packets, tally.wrong,
		      tally.mixed);
	assert_true(tally.packets > 1000);
	assert_int_equal(tally.wrong, 0);
	assert_int_equal(tally.mixed, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(no_packet_is_judged_by_a_half_written_table)};

	return cmocka_run_group_tests(tests, setup, teardown);
}
