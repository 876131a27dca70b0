// SPDX-License-Identifier: Apache-2.0
/* Fragments: the first is judged, the others follow it. */
#include "harness.h"

#define IPV4_MORE 0x2000
#define IPV6_MORE 1

/* `offset` in bytes; the first carries a UDP header. The data is `length` bytes in all. */
static struct frame fragment4(uint16_t id, uint16_t port, uint16_t offset, uint16_t length, _Bool more)
{
	struct frame frame;

	frame_ip(&frame, "10.1.0.2", "192.0.2.9", IPPROTO_UDP);
	if (!offset && length >= 8) {
		frame_udp(&frame, 40000, port);
		length -= 8;
	}
	frame_add_zero(&frame, length);
	frame_end(&frame);
	frame_set16(&frame, FRAME_IP + 4, id);
	frame_set16(&frame, FRAME_IP + 6, offset / 8 | (more ? IPV4_MORE : 0));
	return frame;
}

static struct frame fragment6(uint16_t id, uint16_t port, uint16_t offset, uint16_t length, _Bool more)
{
	uint8_t header[8] = {IPPROTO_UDP, 0, offset >> 8, (offset & 0xf8) | (more ? IPV6_MORE : 0),
			     0,           0, id >> 8,     id & 0xff};
	struct frame frame;

	frame_ip(&frame, "fd00::2", "2001:db8::9", 44);
	frame_add(&frame, header, sizeof(header));
	if (!offset && length >= 8) {
		frame_udp(&frame, 40000, port);
		length -= 8;
	}
	frame_add_zero(&frame, length);
	frame_end(&frame);
	return frame;
}

typedef struct frame (*maker)(uint16_t id, uint16_t port, uint16_t offset, uint16_t length, _Bool more);

static void follow(struct harness *harness, maker make)
{
	struct frame first = make(1, 53, 0, 800, 1), second = make(1, 0, 800, 800, 1), last = make(1, 0, 1600, 13, 0);
	struct frame other = make(2, 0, 800, 800, 0);

	expect_drop(harness, &second, EGRESS_DROP_FRAGMENT_UNKNOWN);
	expect_pass(harness, &first);
	expect_pass(harness, &second);
	expect_pass(harness, &last);
	expect_drop(harness, &other, EGRESS_DROP_FRAGMENT_UNKNOWN);
}

static void follow_denied(struct harness *harness, maker make)
{
	struct frame first = make(1, 54, 0, 800, 1), second = make(1, 0, 800, 800, 0), good = make(1, 53, 0, 800, 1);

	expect_drop(harness, &first, EGRESS_DROP_POLICY);
	expect_drop(harness, &second, EGRESS_DROP_POLICY);
	/* The id again, now for a datagram that may go; and back. */
	expect_pass(harness, &good);
	expect_pass(harness, &second);
	expect_drop(harness, &first, EGRESS_DROP_POLICY);
	expect_drop(harness, &second, EGRESS_DROP_POLICY);
}

static void overlap(struct harness *harness, maker make)
{
	struct frame first = make(1, 53, 0, 800, 1), over_first = make(1, 0, 792, 800, 1),
		     next = make(1, 0, 800, 800, 1);
	struct frame over_ports = make(2, 0, 8, 800, 1), again = make(2, 53, 0, 800, 1), after = make(1, 0, 1600, 8, 0);

	expect_pass(harness, &first);
	expect_drop(harness, &over_first, EGRESS_DROP_FRAGMENT_INVALID);
	expect_drop(harness, &next, EGRESS_DROP_FRAGMENT_INVALID); /* nothing more of that datagram */
	expect_pass(harness, &again);
	expect_drop(harness, &over_ports, EGRESS_DROP_FRAGMENT_INVALID);
	expect_pass(harness, &first);
	expect_pass(harness, &next);
	expect_drop(harness, &next, EGRESS_DROP_FRAGMENT_INVALID); /* twice */
	expect_drop(harness, &after, EGRESS_DROP_FRAGMENT_INVALID);
}

static void malformed(struct harness *harness, maker make)
{
	struct frame tiny = make(1, 53, 0, 0, 1), no_ports = make(1, 53, 0, 4, 1), odd = make(1, 53, 0, 801, 1);
	struct frame beyond = make(1, 0, 65528, 16, 0), empty = make(1, 0, 800, 0, 0);

	expect_drop(harness, &tiny, EGRESS_DROP_FRAGMENT_INVALID);
	expect_drop(harness, &no_ports, EGRESS_DROP_FRAGMENT_INVALID);
	expect_drop(harness, &odd, EGRESS_DROP_FRAGMENT_INVALID);
	expect_drop(harness, &beyond, EGRESS_DROP_FRAGMENT_INVALID);
	expect_drop(harness, &empty, EGRESS_DROP_FRAGMENT_INVALID);
}

static void follow_ipv4(void **state)
{
	follow(*state, fragment4);
}

static void follow_ipv6(void **state)
{
	follow(*state, fragment6);
}

static void follow_denied_ipv4(void **state)
{
	follow_denied(*state, fragment4);
}

static void follow_denied_ipv6(void **state)
{
	follow_denied(*state, fragment6);
}

static void overlap_ipv4(void **state)
{
	overlap(*state, fragment4);
}

static void overlap_ipv6(void **state)
{
	overlap(*state, fragment6);
}

static void malformed_ipv4(void **state)
{
	malformed(*state, fragment4);
}

static void malformed_ipv6(void **state)
{
	malformed(*state, fragment6);
}

static void verdicts_expire(void **state)
{
	struct frame first = fragment4(1, 53, 0, 800, 1), second = fragment4(1, 0, 800, 800, 0);

	control(*state)->hz = 0; /* no time at all */
	expect_pass(*state, &first);
	usleep(50000);
	expect_drop(*state, &second, EGRESS_DROP_FRAGMENT_UNKNOWN);
}

static void fragments_are_the_endpoints_own(void **state)
{
	struct frame first = fragment4(1, 53, 0, 800, 1), second = fragment4(1, 0, 800, 800, 0);

	expect_pass(*state, &first);
	pod_put(*state, OTHER_POD, 0);
	expect_drop_of(*state, OTHER_POD, &second, EGRESS_DROP_FRAGMENT_UNKNOWN);
}

static void atomic_fragments_are_whole(void **state)
{
	struct frame allowed = fragment6(1, 53, 0, 8, 0), denied = fragment6(1, 54, 0, 8, 0),
		     later = fragment6(1, 0, 8, 8, 0);

	expect_pass(*state, &allowed);
	expect_drop(*state, &denied, EGRESS_DROP_POLICY);
	expect_drop(*state, &later, EGRESS_DROP_FRAGMENT_UNKNOWN);
}

/* The protocol of a later IPv6 fragment's header means nothing (RFC 8200): it must not find a way around. */
static void later_protocol_is_ignored_ipv6(void **state)
{
	struct frame first = fragment6(1, 54, 0, 800, 1), second = fragment6(1, 0, 800, 800, 0);

	expect_drop(*state, &first, EGRESS_DROP_POLICY);
	second.bytes[FRAME_IP + 40] = IPPROTO_TCP;
	expect_drop(*state, &second, EGRESS_DROP_POLICY);
}

static void a_fragmented_header_chain(void **state)
{
	/* The first fragment ends within the destination options. */
	uint8_t headers[16] = {60, 0, 0, IPV6_MORE, 0, 0, 0, 1, IPPROTO_UDP, 1};
	struct frame frame;

	frame_ip(&frame, "fd00::2", "2001:db8::9", 44);
	frame_add(&frame, headers, sizeof(headers));
	frame_end(&frame);
	expect_drop(*state, &frame, EGRESS_DROP_FRAGMENT_INVALID);
}

/* A pod that keeps many datagrams in flight loses its own oldest, never another's. */
static void many_datagrams(void **state)
{
	struct frame first, second = fragment4(7, 0, 800, 8, 0);
	uint32_t id;

	pod_put(*state, OTHER_POD, 0);
	first = fragment4(7, 53, 0, 800, 1);
	assert_int_equal(from_pod(*state, &first), VERDICT_PASS);
	pod_put(*state, POD, 0);
	for (id = 0; id < 1000; id++) {
		first = fragment4(id, 53, 0, 800, 1);
		expect_pass(*state, &first);
	}
	pod_put(*state, OTHER_POD, 0);
	assert_int_equal(from_pod(*state, &second), VERDICT_PASS);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(follow_ipv4),
		TEST(follow_ipv6),
		TEST(follow_denied_ipv4),
		TEST(follow_denied_ipv6),
		TEST(overlap_ipv4),
		TEST(overlap_ipv6),
		TEST(malformed_ipv4),
		TEST(malformed_ipv6),
		TEST(verdicts_expire),
		TEST(fragments_are_the_endpoints_own),
		TEST(atomic_fragments_are_whole),
		TEST(later_protocol_is_ignored_ipv6),
		TEST(a_fragmented_header_chain),
		TEST(many_datagrams),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
