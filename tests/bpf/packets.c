// SPDX-License-Identifier: Apache-2.0
/* What passes: the verdicts of the tables, headers of every shape, and what a pod that is not isolated may do. */
#include "harness.h"

#include <time.h>

static void tables_decide(void **state)
{
	static const struct {
		const char *destination;
		uint16_t port;
		uint8_t protocol;
		_Bool pass;
	} cases[] = {
		/* clang-format off */
		{ "192.0.2.0", 443, IPPROTO_TCP, 1 },      { "192.0.2.255", 443, IPPROTO_TCP, 1 },
		{ "192.0.3.0", 443, IPPROTO_TCP, 0 },      { "192.0.1.255", 443, IPPROTO_TCP, 0 },
		{ "192.0.2.1", 442, IPPROTO_TCP, 0 },      { "192.0.2.1", 444, IPPROTO_TCP, 0 },
		{ "192.0.2.1", 443, IPPROTO_UDP, 0 },      { "192.0.2.1", 53, IPPROTO_UDP, 1 },
		{ "192.0.2.1", 53, IPPROTO_TCP, 0 },       { "192.0.2.1", 5000, IPPROTO_SCTP, 1 },
		{ "192.0.2.1", 5001, IPPROTO_SCTP, 0 },    { "192.0.2.1", 443, IPPROTO_UDPLITE, 0 },
		{ "203.0.113.7", 443, IPPROTO_TCP, 1 },    { "203.0.113.6", 443, IPPROTO_TCP, 0 },
		{ "203.0.113.8", 443, IPPROTO_TCP, 0 },    { "100.64.7.0", 443, IPPROTO_TCP, 1 },
		{ "100.64.6.255", 443, IPPROTO_TCP, 0 },   { "100.64.8.0", 443, IPPROTO_TCP, 0 },
		{ "100.64.255.1", 443, IPPROTO_TCP, 0 },   { "198.51.255.255", 1, IPPROTO_TCP, 1 },
		{ "198.51.100.1", 65535, IPPROTO_UDP, 1 }, { "198.51.100.1", 0, IPPROTO_TCP, 1 },
		{ "198.51.100.1", 0, IPPROTO_GRE, 1 },     { "198.51.100.1", 0, IPPROTO_IPIP, 1 },
		{ "198.51.100.1", 0, IPPROTO_ESP, 1 },     { "192.0.2.1", 0, IPPROTO_GRE, 0 },
		{ "198.50.1.1", 443, IPPROTO_TCP, 0 },     { "255.255.255.255", 67, IPPROTO_UDP, 0 },
		{ "224.0.0.1", 0, IPPROTO_IGMP, 0 },       { "10.1.0.2", 80, IPPROTO_TCP, 1 }, /* itself */
		{ "2001:db8::9", 443, IPPROTO_TCP, 1 },    { "2001:db8:ff:ffff::", 53, IPPROTO_UDP, 1 },
		{ "2001:db8::9", 444, IPPROTO_TCP, 0 },    { "2001:db8:100::1", 444, IPPROTO_TCP, 1 },
		{ "2001:db8:200::1", 443, IPPROTO_TCP, 0 },{ "2001:db9::1", 443, IPPROTO_TCP, 0 },
		{ "2001:db7:ffff::", 443, IPPROTO_TCP, 0 },{ "::1", 443, IPPROTO_TCP, 0 },
		{ "2001:db8:100::1", 0, IPPROTO_GRE, 1 },  { "2001:db8:100::1", 0, IPPROTO_ESP, 1 },
		{ "2001:db8::1", 0, IPPROTO_NONE, 0 },     { "ff02::1:2", 547, IPPROTO_UDP, 0 },
		{ "fd00::2", 80, IPPROTO_TCP, 1 },         { "::ffff:192.0.2.1", 443, IPPROTO_TCP, 0 },
		/* clang-format on */
	};
	struct frame frame;
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		frame_ip(&frame, strchr(cases[i].destination, ':') ? "fd00::2" : "10.1.0.2", cases[i].destination,
			 cases[i].protocol);
		frame_add16(&frame, 40000);
		frame_add16(&frame, cases[i].port);
		frame_add_zero(&frame, 16);
		frame_end(&frame);
		if (from_pod(*state, &frame) != (cases[i].pass ? VERDICT_PASS : VERDICT_DROP))
			fail_msg("%s port %u protocol %u", cases[i].destination, cases[i].port, cases[i].protocol);
	}
}

static void icmp_is_judged_without_ports(void **state)
{
	struct frame everything = icmp("10.1.0.2", "198.51.100.1", 8, 0, 1),
		     services = icmp("10.1.0.2", "192.0.2.1", 8, 0, 1);
	struct frame everything6 = icmp("fd00::2", "2001:db8:100::1", 128, 0, 1);
	struct frame services6 = icmp("fd00::2", "2001:db8::1", 128, 0, 1);

	expect_pass(*state, &everything);
	expect_drop(*state, &services, EGRESS_DROP_POLICY);
	expect_pass(*state, &everything6);
	expect_drop(*state, &services6, EGRESS_DROP_POLICY);
}

static void ipv4_options_are_passed_over(void **state)
{
	static const uint8_t options[] = {1, 1, 148, 4, 0, 0, 7, 6, 4, 0, 0, 0}; /* router alert, record route */
	struct frame frame;

	frame_ip(&frame, "10.1.0.2", "192.0.2.9", IPPROTO_TCP);
	frame.bytes[FRAME_IP] = 0x48;
	frame_add(&frame, options, sizeof(options));
	frame_tcp(&frame, 40000, 443, TCP_SYN);
	frame_end(&frame);
	expect_pass(*state, &frame);
	frame_set16(&frame, FRAME_IP + 34, 80); /* the port behind the options is the one that counts */
	expect_drop(*state, &frame, EGRESS_DROP_POLICY);
	frame.bytes[FRAME_IP + 23] = 60; /* an option longer than the header */
	expect_drop(*state, &frame, EGRESS_DROP_IP_HEADER_LENGTH);
}

static void ipv6_extensions_are_passed_over(void **state)
{
	/* hop-by-hop, destination (16 bytes), routing without segments left, AH (24), mobility, HIP, Shim6 */
	static const uint8_t headers[] = {
		60, 0, 1,   4, 0, 0,   0, 0, 43, 1, 1,   4, 0, 0, 0, 0, 1, 6, 0,           0, 0, 0, 0, 0, 51, 0, 0,
		0,  0, 0,   0, 0, 135, 4, 0, 0,  0, 0,   0, 0, 0, 0, 0, 0, 0, 0,           0, 0, 0, 0, 0, 0,  0, 0,
		0,  0, 139, 0, 0, 0,   0, 0, 0,  0, 140, 0, 0, 0, 0, 0, 0, 0, IPPROTO_TCP, 0, 0, 0, 0, 0, 0,  0,
	};
	struct frame frame;

	frame_ip(&frame, "fd00::2", "2001:db8::9", 0);
	frame_add(&frame, headers, sizeof(headers));
	frame_tcp(&frame, 40000, 443, TCP_SYN);
	frame_end(&frame);
	expect_pass(*state, &frame);
	frame_set16(&frame, FRAME_IP + 40 + sizeof(headers) + 2, 80);
	expect_drop(*state, &frame, EGRESS_DROP_POLICY);
}

static void super_packets_count_their_segments(void **state)
{
	struct harness *harness = *state;
	struct frame frame = tcp("10.1.0.2", 40000, "192.0.2.9", 443, TCP_ACK);
	struct __sk_buff context = {.gso_size = 300, .gso_segs = 4};
	struct egress_counter before = allowed_count(harness, POD), after;

	frame_add_zero(&frame, 1200);
	frame_end(&frame);
	assert_int_equal(run_context(harness->skeleton->progs.egress_from_pod, &frame, &context), VERDICT_PASS);
	after = allowed_count(harness, POD);
	assert_int_equal(after.packets - before.packets, 4);
	assert_int_equal(after.bytes - before.bytes, frame.length);
}

static void open_pods_are_not_touched(void **state)
{
	struct frame spoofed = tcp("10.1.0.3", 1, "203.0.113.1", 80, TCP_SYN), tagged = spoofed, broken = spoofed;

	set_word(*state, POD, EGRESS_SET_OPEN);
	expect_pass(*state, &spoofed);
	frame_set16(&tagged, 12, ETH_P_8021Q);
	expect_pass(*state, &tagged);
	broken.bytes[FRAME_IP] = 0;
	expect_pass(*state, &broken);
}

static void source_check_can_be_told(void **state)
{
	struct frame spoofed = tcp("10.1.0.3", 1, "192.0.2.1", 443, TCP_SYN),
		     own = tcp("10.1.0.2", 1, "203.0.113.1", 80, TCP_SYN);
	struct frame denied = tcp("10.1.0.3", 1, "192.0.2.1", 444, TCP_SYN), tagged = spoofed, cut = spoofed, other = own;

	pod_put(*state, POD, EGRESS_ENDPOINT_ROUTER);
	expect_pass(*state, &spoofed);
	expect_drop(*state, &denied, EGRESS_DROP_POLICY);
	pod_put(*state, POD, EGRESS_ENDPOINT_SPOOF_OFF);
	expect_pass(*state, &spoofed);
	pod_put(*state, POD, EGRESS_ENDPOINT_SPOOF_ALL);
	set_word(*state, POD, EGRESS_SET_OPEN);
	expect_drop(*state, &spoofed, EGRESS_DROP_SPOOFED_SOURCE);
	expect_pass(*state, &own);
	/* Behind a tag, which the node may take off, or with part of a header, it would not be seen. */
	frame_set16(&tagged, 12, ETH_P_8021Q);
	expect_drop(*state, &tagged, EGRESS_DROP_VLAN);
	cut.length = FRAME_IP + 20 + 4;
	expect_drop(*state, &cut, EGRESS_DROP_IP_TOTAL_LENGTH);
	/* What is no IP has no such address. */
	frame_set16(&other, 12, ETH_P_LLDP);
	expect_pass(*state, &other);
}

/* A pod may always send to itself; here no table says so. */
static void a_pod_reaches_itself(void **state)
{
	struct frame frames[] = {
		tcp("10.1.0.2", 1, "10.1.0.2", 80, TCP_SYN),
		udp("10.1.0.2", 1, "10.1.0.2", 80),
		tcp("fd00::2", 1, "fd00::2", 80, TCP_SYN),
		udp("fd00::2", 1, "fd00::2", 80),
	};
	size_t i;

	for (i = 0; i < sizeof(frames) / sizeof(frames[0]); i++) {
		struct frame longer = frame_longer(&frames[i]);

		expect_pass(*state, &frames[i]);
		expect_pass(*state, &longer);
	}
}

/* No address is none, not 0.0.0.0 or ::, which the kernel takes for the nearest host. */
static void no_address_is_not_the_unspecified_one(void **state)
{
	struct egress_endpoint router = {.ifindex = LOOPBACK, .id = POD, .flags = EGRESS_ENDPOINT_ROUTER};
	struct frame to_ipv4 = tcp("10.1.0.3", 1, "0.0.0.0", 80, TCP_SYN), to_ipv6 = tcp("fd00::3", 1, "::", 80, TCP_SYN);

	endpoint_put(*state, &router);
	expect_drop(*state, &to_ipv4, EGRESS_DROP_POLICY);
	expect_drop(*state, &to_ipv6, EGRESS_DROP_POLICY);
}

static void endpoints_that_share_a_bucket(void **state)
{
	struct harness *harness = *state;
	struct frame allowed = tcp("10.1.0.2", 1, "192.0.2.1", 443, TCP_SYN),
		     denied = tcp("10.1.0.2", 1, "192.0.2.1", 80, TCP_SYN);
	struct egress_endpoint other = {.ifindex = LOOPBACK + EGRESS_ENDPOINT_BUCKETS, .id = OTHER_POD};
	struct egress_endpoint pod = {.ifindex = LOOPBACK, .id = POD, .ipv4 = ipv4("10.1.0.2")};

	endpoint_put(harness, &other);
	assert_int_equal(bpf_map_update_elem(bpf_map__fd(harness->skeleton->maps.endpoints_overflow), &pod.ifindex,
					     &pod, BPF_ANY),
			 0);
	expect_pass(harness, &allowed);
	expect_drop(harness, &denied, EGRESS_DROP_POLICY);
}

/* All of one generation or all of the other, from the moment that `active` names it. */
static void banks_are_switched_by_one_word(void **state)
{
	struct harness *harness = *state;
	struct frame frame = tcp("10.1.0.2", 1, "192.0.2.1", 443, TCP_SYN);

	control(harness)->bank[1] = control(harness)->bank[0];
	control(harness)->bank[1].generation = 43;
	control(harness)->bank[1].ipv4_root = table_allocate(harness, 65536);
	expect_pass(harness, &frame);
	control(harness)->active = 1;
	assert_int_equal(expect_drop_of(harness, POD, &frame, EGRESS_DROP_POLICY).generation, 43);
	control(harness)->active = 0;
	expect_pass(harness, &frame);
}

/* Drops beyond the limit of records are counted all the same. */
static void a_flood_of_drops_is_counted_exactly(void **state)
{
	struct harness *harness = *state;
	struct frame frame = tcp("10.1.0.2", 1, "203.0.113.1", 80, TCP_SYN);
	LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = frame.bytes, .data_size_in = frame.length, .repeat = 100000);
	struct egress_drop_log_state *states = calloc(harness->cpus, sizeof(*states));
	struct egress_counter before = dropped_count(harness, POD, EGRESS_DROP_POLICY);
	uint64_t written = 0, suppressed = 0;
	uint32_t zero = 0;
	int cpu;

	assert_non_null(states);
	drop_log_clear(harness);
	assert_int_equal(bpf_prog_test_run_opts(bpf_program__fd(harness->skeleton->progs.egress_from_pod), &options),
			 0);
	assert_int_equal(dropped_count(harness, POD, EGRESS_DROP_POLICY).packets, before.packets + 100000);
	assert_int_equal(bpf_map_lookup_elem(bpf_map__fd(harness->skeleton->maps.drop_log_state), &zero, states), 0);
	for (cpu = 0; cpu < harness->cpus; cpu++) {
		written += states[cpu].sequence;
		suppressed += states[cpu].suppressed;
	}
	free(states);
	assert_int_equal(written + suppressed, 100000);
	assert_true(suppressed > written);
}

/* How many of the records are the endpoint's, and newer than that. */
static uint32_t logged(struct harness *harness, uint32_t id, uint64_t since)
{
	struct egress_drop_record record;
	uint32_t count = 0, i;

	for (i = 0; i < (uint32_t)harness->cpus * EGRESS_DROP_LOG_RECORDS; i++) {
		assert_int_equal(bpf_map_lookup_elem(bpf_map__fd(harness->skeleton->maps.drop_log), &i, &record), 0);
		count += record.sequence && record.endpoint == id && record.time > since;
	}
	return count;
}

static void drop_some(struct harness *harness, uint32_t id, uint32_t count)
{
	struct frame frame = tcp("10.1.0.2", 1, "203.0.113.1", 80, TCP_SYN);
	LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = frame.bytes, .data_size_in = frame.length, .repeat = count);

	pod_put(harness, id, 0);
	set_word(harness, id, EGRESS_SET_PENDING);
	assert_int_equal(bpf_prog_test_run_opts(bpf_program__fd(harness->skeleton->progs.egress_from_pod), &options), 0);
}

/* Many that flood together leave room for the record of one that drops a single packet. */
static void several_floods_hide_no_single_drop(void **state)
{
	struct harness *harness = *state;
	uint32_t round, id;

	drop_log_clear(harness);
	for (round = 0; round < 50; round++)
		for (id = 100; id < 120; id++)
			drop_some(harness, id, 100);
	drop_some(harness, OTHER_POD, 1);
	assert_int_equal(logged(harness, OTHER_POD, 0), 1);
}

static uint64_t monotonic_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* Nor do they hide one that goes on dropping, but seldom enough: a record that it did not get does not count against it. */
static void floods_do_not_hide_repeated_drops(void **state)
{
	struct harness *harness = *state;
	/* At 100 jiffies a second, the slowest that a kernel has. */
	uint64_t begin = monotonic_ns(), end = begin + 3 * EGRESS_DROP_LOG_BUSY_JIFFIES * 10000000ull, before;
	uint32_t count = 0;

	drop_log_clear(harness);
	for (before = begin; before < end; before = monotonic_ns()) {
		drop_some(harness, 100, 100);
		drop_some(harness, 101, 100);
		drop_some(harness, OTHER_POD, 1);
		count += logged(harness, OTHER_POD, before);
		usleep(20000);
	}
	assert_true(count >= 3);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(tables_decide),
		TEST(icmp_is_judged_without_ports),
		TEST(ipv4_options_are_passed_over),
		TEST(ipv6_extensions_are_passed_over),
		TEST(super_packets_count_their_segments),
		TEST(open_pods_are_not_touched),
		TEST(source_check_can_be_told),
		TEST(a_pod_reaches_itself),
		TEST(no_address_is_not_the_unspecified_one),
		TEST(endpoints_that_share_a_bucket),
		TEST(banks_are_switched_by_one_word),
		TEST(a_flood_of_drops_is_counted_exactly),
		TEST(several_floods_hide_no_single_drop),
		TEST(floods_do_not_hide_repeated_drops),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
