// SPDX-License-Identifier: Apache-2.0
/* IPv6 neighbour and listener discovery: what passes, and each thing about it that must hold. */
#include "harness.h"

#define OWN_LINK_LOCAL "fe80::ff:fe00:2" /* of 02:00:00:00:00:02 */
#define REASON         EGRESS_DROP_NEIGHBOUR_DISCOVERY

/* option 0: none; else an option of eight bytes that names the pod's hardware address. */
static struct frame neighbour(const char *source, const char *destination, uint8_t type, const char *target,
			      uint8_t option)
{
	uint8_t bytes[16], options[8] = {option, 1, 2, 0, 0, 0, 0, 2};
	struct frame frame;

	frame_ip(&frame, source, destination, IPPROTO_ICMPV6);
	frame.bytes[FRAME_IP + 7] = 255;
	frame_icmp(&frame, type, 0, 0);
	if (target) {
		inet_pton(AF_INET6, target, bytes);
		frame_add(&frame, bytes, sizeof(bytes));
	}
	if (option)
		frame_add(&frame, options, sizeof(options));
	frame_end(&frame);
	return frame;
}

static const uint8_t router_alert[8] = {IPPROTO_ICMPV6, 0, 5, 2, 0, 0, 1, 0};

/* Offset of what follows the fixed part of a report. */
#define REPORT_BODY (FRAME_IP + 40 + 8 + 8)

/* MLD version 1 about `group`; type 143: version 2, two records, the second with a source. */
static struct frame report(const char *source, const char *destination, uint8_t type, const char *group)
{
	uint8_t record[20] = {4, 0, 0, 0}, listed[16] = {0x20, 1};
	struct frame frame;

	inet_pton(AF_INET6, group, record + 4);
	frame_ip(&frame, source, destination, 0);
	frame.bytes[FRAME_IP + 7] = 1;
	frame_add(&frame, router_alert, sizeof(router_alert));
	frame_icmp(&frame, type, 0, 0);
	if (type == 143) {
		frame.bytes[frame.length - 1] = 2;
		frame_add(&frame, record, sizeof(record));
		record[3] = 1;
		frame_add(&frame, record, sizeof(record));
		frame_add(&frame, listed, sizeof(listed));
	} else {
		frame_add(&frame, record + 4, 16);
	}
	frame_end(&frame);
	return frame;
}

static void what_a_pod_needs_passes(void **state)
{
	const struct frame frames[] = {
		neighbour("fd00::2", "ff02::1:ff00:1", 135, "fd00::1", 1),
		neighbour(OWN_LINK_LOCAL, "ff02::1:ff00:1", 135, "fe80::1", 1),
		neighbour("fd00::2", "fd00::1", 135, "fd00::1", 1), /* is it still there? */
		neighbour("fd00::2", "fd00::9", 136, "fd00::2", 2),
		neighbour("fd00::2", "fe80::1", 135, "fe80::1", 1),
		neighbour("fd00::2", "fe80::1", 135, "fe80::1", 0),
		neighbour("fd00::2", "2001:db8:100::1", 135, "2001:db8:100::1", 1), /* that may know where policy allows */
		neighbour("fd00::2", "2001:db8:100::1", 136, "fd00::2", 2),
		neighbour("::", "ff02::1:ff00:2", 135, "fd00::2", 0), /* duplicate address detection */
		neighbour("::", "ff02::1:ff00:2", 135, "fd00::2", 14),
		neighbour("::", "ff02::1:ff00:2", 135, OWN_LINK_LOCAL, 14),
		neighbour("fd00::2", "fe80::9", 136, "fd00::2", 2),
		neighbour(OWN_LINK_LOCAL, "ff02::1", 136, OWN_LINK_LOCAL, 2),
		neighbour("::", "ff02::2", 133, NULL, 0),
		neighbour(OWN_LINK_LOCAL, "ff02::2", 133, NULL, 1),
		report("::", "ff02::16", 143, "ff02::1:ff00:2"),
		report(OWN_LINK_LOCAL, "ff02::16", 143, "ff0e::7"),
		report(OWN_LINK_LOCAL, "ff02::1:ff00:2", 131, "ff02::1:ff00:2"),
		report(OWN_LINK_LOCAL, "ff02::2", 132, "ff02::1:ff00:2"),
	};
	size_t i;

	for (i = 0; i < sizeof(frames) / sizeof(frames[0]); i++) {
		if (from_pod(*state, &frames[i]) != VERDICT_PASS)
			fail_msg("case %zu", i);
	}
	/* A pod whose policy is not yet known needs its neighbours too. */
	set_word(*state, POD, EGRESS_SET_PENDING);
	expect_pass(*state, &frames[0]);
}

static void all_else_is_dropped(void **state)
{
	const struct frame frames[] = {
		neighbour(OWN_LINK_LOCAL, "ff02::1", 134, NULL, 0),      /* router advertisement */
		neighbour(OWN_LINK_LOCAL, "fd00::9", 137, "fd00::9", 0), /* redirect */
		neighbour("fd00::2", "ff02::1", 136, "fd00::1", 2),      /* somebody else's address */
		neighbour("fd00::2", "ff02::1", 136, "fe80::1", 2),
		neighbour("::", "ff02::1", 136, "fd00::2", 2),
		neighbour("::", "ff02::1:ff00:1", 135, "fd00::1", 0), /* keeps another from its address */
		neighbour("::", "ff02::1:ff00:2", 135, "fd00::2", 1),
		neighbour("::", "fd00::2", 135, "fd00::2", 0),
		neighbour("fd00::2", "203:db8::1", 135, "fd00::1", 1),      /* not to whom it asks about */
		neighbour("fd00::2", "ff02::1:ff00:1", 135, "fd00::1", 14), /* a nonce outside detection */
		neighbour("fd00::2", "ff02::1:ff00:1", 135, "fd00::1", 200),
		neighbour("fd00::2", "ff0e::1", 135, "fd00::1", 1), /* beyond the link */
		neighbour(OWN_LINK_LOCAL, "2001:db8::1", 133, NULL, 1),
		neighbour("fd00::2", "ff02::1:ff00:2", 135, "fd00::1", 1), /* another's group, or everybody's */
		neighbour("fd00::2", "ff02::1", 135, "fd00::1", 1),
		neighbour("fd00::2", "fd00:0:0:1::1", 135, "fd00:0:0:1::1", 1), /* a router would pass these on */
		neighbour("fd00::2", "2001:db8:bad::1", 135, "2001:db8:bad::1", 0),
		neighbour("fd00::2", "2001:db8:bad::1", 136, "fd00::2", 2),
		neighbour("fd00::2", "ff02::16", 136, "fd00::2", 2),
		neighbour("fd00::2", "ff0e::1", 136, "fd00::2", 2),
		neighbour("fe80::1", "ff02::1:ff00:9", 135, "fd00::9", 1), /* the gateway is here now, it says */
		neighbour("fe80::1", "ff02::2", 133, NULL, 1),
		neighbour(OWN_LINK_LOCAL, "fe80::1", 133, NULL, 1),
		neighbour(OWN_LINK_LOCAL, "ff02::1", 133, NULL, 0),
		report("fd00::2", "ff02::16", 143, "ff02::1:ff00:2"),
		report(OWN_LINK_LOCAL, "ff0e::16", 143, "ff02::1:ff00:2"),
		report(OWN_LINK_LOCAL, "ff02::1", 143, "ff02::1:ff00:2"),
		report(OWN_LINK_LOCAL, "ff02::16", 143, "2001:db8::7"), /* no group */
		report(OWN_LINK_LOCAL, "ff02::1:ff00:2", 131, "2001:db8::7"),
		report(OWN_LINK_LOCAL, "ff02::1:ff00:3", 131, "ff02::1:ff00:2"),
		report(OWN_LINK_LOCAL, "ff02::1:ff00:2", 132, "ff02::1:ff00:2"),
		report(OWN_LINK_LOCAL, "ff02::1", 130, "ff02::1"), /* a query is a router's */
	};
	size_t i;

	for (i = 0; i < sizeof(frames) / sizeof(frames[0]); i++) {
		drop_log_clear(*state);
		if (from_pod(*state, &frames[i]) != VERDICT_DROP || drop_log_only(*state).reason != REASON)
			fail_msg("case %zu", i);
	}
}

static void each_field_counts(void **state)
{
	const struct frame good = neighbour("fd00::2", "ff02::1:ff00:1", 135, "fd00::1", 1);
	const struct frame answer = neighbour("fd00::2", "fe80::9", 136, "fd00::2", 2);
	struct frame frame = good;

	expect_pass(*state, &good);
	frame.bytes[FRAME_IP + 7] = 254; /* came over a router */
	expect_drop(*state, &frame, REASON);
	frame = good;
	frame.bytes[FRAME_IP + 41] = 1; /* code */
	expect_drop(*state, &frame, REASON);
	frame = good;
	frame.bytes[FRAME_IP + 44] = 1; /* reserved */
	expect_drop(*state, &frame, REASON);
	frame = good;
	frame.bytes[FRAME_IP + 40 + 24 + 7]++; /* somebody else's hardware address */
	expect_drop(*state, &frame, REASON);
	frame = good;
	frame.bytes[FRAME_IP + 40 + 24 + 1] = 2; /* length of the option */
	expect_drop(*state, &frame, REASON);
	frame = good;
	frame_add_zero(&frame, 1); /* something behind the packet */
	expect_drop(*state, &frame, REASON);
	frame_add_zero(&frame, 7);
	frame_end(&frame); /* or in it */
	expect_drop(*state, &frame, REASON);
	frame = answer;
	frame.bytes[FRAME_IP + 44] = 0x80; /* says that it is a router */
	expect_drop(*state, &frame, REASON);
	frame.bytes[FRAME_IP + 44] = 0x60; /* solicited, override */
	expect_pass(*state, &frame);
	frame = good;
	frame.bytes[FRAME_IP + 8 + 15]++; /* source */
	expect_drop(*state, &frame, EGRESS_DROP_SPOOFED_SOURCE);
}

static void not_behind_extension_headers(void **state)
{
	struct frame good = neighbour("fd00::2", "ff02::1:ff00:1", 135, "fd00::1", 1), frame, plain;
	static const uint8_t options[8] = {IPPROTO_ICMPV6, 0, 1, 4},
			     fragment[8] = {IPPROTO_ICMPV6, 0, 0, 1, 0, 0, 0, 1};

	frame_ip(&frame, "fd00::2", "ff02::1:ff00:1", 60);
	frame.bytes[FRAME_IP + 7] = 255;
	frame_add(&frame, options, sizeof(options));
	frame_add(&frame, good.bytes + FRAME_IP + 40, good.length - FRAME_IP - 40);
	frame_end(&frame);
	expect_drop(*state, &frame, REASON);
	frame.bytes[FRAME_IP + 6] = 44;
	memcpy(frame.bytes + FRAME_IP + 40, fragment, sizeof(fragment));
	expect_drop(*state, &frame, REASON);
	plain = report("::", "ff02::16", 143, "ff02::1");
	plain.bytes[FRAME_IP + 7] = 2;
	expect_drop(*state, &plain, REASON);
}

static void reports_say_nothing_else(void **state)
{
	const struct frame good = report("::", "ff02::16", 143, "ff02::1:ff00:2");
	const struct frame old = report(OWN_LINK_LOCAL, "ff02::1:ff00:2", 131, "ff02::1:ff00:2");
	struct frame frame = good;

	frame_add_zero(&frame, 8);
	frame_end(&frame);
	expect_drop(*state, &frame, REASON); /* more than the records */
	frame = good;
	frame.bytes[REPORT_BODY - 1] = 3; /* records that are not there */
	expect_drop(*state, &frame, REASON);
	frame = good;
	frame.bytes[REPORT_BODY - 4] = 1; /* reserved */
	expect_drop(*state, &frame, REASON);
	frame = good;
	frame.bytes[REPORT_BODY] = 7; /* type of a record */
	expect_drop(*state, &frame, REASON);
	frame = good;
	frame.bytes[REPORT_BODY + 1] = 4; /* auxiliary data */
	expect_drop(*state, &frame, REASON);
	frame = old;
	frame.bytes[REPORT_BODY - 4] = 1; /* delay */
	expect_drop(*state, &frame, REASON);
	frame = old;
	frame_add_zero(&frame, 8);
	frame_end(&frame);
	expect_drop(*state, &frame, REASON);
	frame = old;
	frame.bytes[FRAME_IP + 6] = 60; /* destination options instead of hop-by-hop ones */
	expect_drop(*state, &frame, REASON);
	frame = old;
	frame.bytes[FRAME_IP + 40 + 5] = 1; /* another router alert */
	expect_drop(*state, &frame, REASON);
	expect_pass(*state, &good);
	expect_pass(*state, &old);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(what_a_pod_needs_passes),
		TEST(all_else_is_dropped),
		TEST(each_field_counts),
		TEST(not_behind_extension_headers),
		TEST(reports_say_nothing_else),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
