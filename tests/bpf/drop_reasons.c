// SPDX-License-Identifier: Apache-2.0
/* Each reason for a drop: the verdict, the counter and the record. */
#include "harness.h"

#define ALLOWED_FLOW "10.1.0.2", 40000, "192.0.2.9", 443

static void policy(void **state)
{
	struct frame frame = tcp("10.1.0.2", 40000, "192.0.2.9", 80, TCP_SYN);
	struct egress_drop_record record = expect_drop_of(*state, POD, &frame, EGRESS_DROP_POLICY);

	assert_int_equal(record.generation, 42);
	assert_int_equal(record.ethertype, ETH_P_IP);
	assert_int_equal(record.family, 4);
	assert_int_equal(record.protocol, IPPROTO_TCP);
	assert_int_equal(record.flags, EGRESS_DROP_HAS_PORTS);
	assert_int_equal(record.source_port, 40000);
	assert_int_equal(record.destination_port, 80);
	assert_int_equal(record.source[0], ipv4("10.1.0.2"));
	assert_int_equal(record.destination[0], ipv4("192.0.2.9"));
}

static void policy_ipv6(void **state)
{
	struct frame frame = udp("fd00::2", 40000, "2001:db8::9", 54);
	struct egress_drop_record record = expect_drop_of(*state, POD, &frame, EGRESS_DROP_POLICY);
	uint32_t source[4], destination[4];

	ipv6("fd00::2", source);
	ipv6("2001:db8::9", destination);
	assert_int_equal(record.family, 6);
	assert_memory_equal(record.source, source, sizeof(source));
	assert_memory_equal(record.destination, destination, sizeof(destination));
}

/* Packets with longer headers are judged and reported by other code. */
static void longer_headers_are_reported_alike(void **state)
{
	const struct frame frames[] = {
		tcp("10.1.0.2", 40000, "192.0.2.9", 80, TCP_ACK),
		udp("10.1.0.2", 40000, "192.0.2.9", 54),
		tcp("fd00::2", 40000, "2001:db8::9", 80, TCP_ACK),
		udp("fd00::2", 40000, "2001:db8::9", 54),
	};
	size_t i;

	for (i = 0; i < sizeof(frames) / sizeof(frames[0]); i++) {
		struct frame longer = frame_longer(&frames[i]);
		struct egress_drop_record record = expect_drop_of(*state, POD, &frames[i], EGRESS_DROP_POLICY);
		struct egress_drop_record other = expect_drop_of(*state, POD, &longer, EGRESS_DROP_POLICY);

		other.time = record.time;
		other.length = record.length;
		assert_memory_equal(&record, &other, sizeof(record));
	}
}

static void pending(void **state)
{
	struct frame frame = tcp(ALLOWED_FLOW, TCP_SYN);

	set_word(*state, POD, EGRESS_SET_PENDING);
	expect_drop(*state, &frame, EGRESS_DROP_PENDING);
}

static void unknown_endpoint(void **state)
{
	struct frame frame = tcp(ALLOWED_FLOW, TCP_SYN);
	struct egress_endpoint other = {.ifindex = LOOPBACK + EGRESS_ENDPOINT_BUCKETS, .id = POD};

	endpoint_put(*state, &other);
	expect_drop_of(*state, EGRESS_ENDPOINT_NONE, &frame, EGRESS_DROP_UNKNOWN_ENDPOINT);
}

static void tables(void **state)
{
	struct frame frame = tcp(ALLOWED_FLOW, TCP_SYN);
	struct harness *harness = *state;

	control(harness)->active = 1; /* an empty bank */
	expect_drop(harness, &frame, EGRESS_DROP_TABLES);
	control(harness)->active = 2;
	expect_drop(harness, &frame, EGRESS_DROP_TABLES);
	control(harness)->active = 0;
	set_word(harness, POD, 0x10000000); /* beyond the memory */
	expect_drop(harness, &frame, EGRESS_DROP_TABLES);
	set_word(harness, POD, (uint32_t)(harness->bytes / 4)); /* right behind it */
	expect_drop(harness, &frame, EGRESS_DROP_TABLES);
	set_word(harness, POD, 5); /* no address, and none of the words that mean something */
	expect_drop(harness, &frame, EGRESS_DROP_TABLES);
}

static void spoofed_source(void **state)
{
	struct frame ipv4_frame = tcp("10.1.0.3", 40000, "192.0.2.9", 443, TCP_SYN);
	struct frame ipv6_frame = tcp("fd00::3", 40000, "2001:db8::9", 443, TCP_SYN);
	struct frame link_local = udp("fe80::2", 40000, "2001:db8::9", 53);
	struct frame unspecified = udp("0.0.0.0", 68, "198.51.100.1", 67);

	expect_drop(*state, &ipv4_frame, EGRESS_DROP_SPOOFED_SOURCE);
	expect_drop(*state, &ipv6_frame, EGRESS_DROP_SPOOFED_SOURCE);
	expect_drop(*state, &link_local, EGRESS_DROP_SPOOFED_SOURCE);
	expect_drop(*state, &unspecified, EGRESS_DROP_SPOOFED_SOURCE);
}

static void ethertype(void **state)
{
	/* LLC, MPLS, PPPoE discovery and session, QinQ of old, LLDP, PTP, loopback */
	static const uint16_t types[] = {0x0026, 0x8847, 0x8863, 0x8864, 0x9100, 0x88cc, 0x88f7, 0x9000};
	struct frame frame;
	size_t i;

	for (i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		frame = tcp(ALLOWED_FLOW, TCP_SYN);
		frame_set16(&frame, 12, types[i]);
		assert_int_equal(expect_drop_of(*state, POD, &frame, EGRESS_DROP_ETHERTYPE).ethertype, types[i]);
	}
}

static void vlan(void **state)
{
	struct frame frame = tcp(ALLOWED_FLOW, TCP_SYN);

	frame_set16(&frame, 12, ETH_P_8021Q);
	expect_drop(*state, &frame, EGRESS_DROP_VLAN);
	frame_set16(&frame, 12, ETH_P_8021AD);
	expect_drop(*state, &frame, EGRESS_DROP_VLAN);
}

static struct frame arp(uint16_t operation, const char *sender, const char *target)
{
	static const uint8_t head[] = {0, 1, 8, 0, 6, 4}, mac[] = {2, 0, 0, 0, 0, 2};
	uint32_t sender_address = ipv4(sender), target_address = ipv4(target);
	struct frame frame;

	frame_ethernet(&frame, ETH_P_ARP);
	frame_add(&frame, head, sizeof(head));
	frame_add16(&frame, operation);
	frame_add(&frame, mac, sizeof(mac));
	frame_add(&frame, &sender_address, 4);
	frame_add_zero(&frame, 6);
	frame_add(&frame, &target_address, 4);
	return frame;
}

static void arp_passes(void **state)
{
	struct frame request = arp(1, "10.1.0.2", "10.1.0.1"), reply = arp(2, "10.1.0.2", "10.1.0.1");
	struct frame announcement = arp(1, "10.1.0.2", "10.1.0.2"), probe = arp(1, "0.0.0.0", "10.1.0.2");

	expect_pass(*state, &request);
	expect_pass(*state, &reply);
	expect_pass(*state, &announcement);
	expect_pass(*state, &probe);
	frame_add_zero(&request, 18); /* padded to the least size of a frame */
	expect_pass(*state, &request);
}

static void arp_is_reported(void **state)
{
	struct frame claim = arp(2, "10.1.0.1", "10.1.0.9");
	struct egress_drop_record record = expect_drop_of(*state, POD, &claim, EGRESS_DROP_ARP);

	assert_int_equal(record.ethertype, ETH_P_ARP);
	assert_int_equal(record.family, 0);
	assert_int_equal(record.source[0], ipv4("10.1.0.1"));
	assert_int_equal(record.destination[0], ipv4("10.1.0.9"));
}

static void arp_drops(void **state)
{
	struct frame claim = arp(2, "10.1.0.1", "10.1.0.9"), probe = arp(1, "0.0.0.0", "10.1.0.1");
	struct frame reverse = arp(3, "10.1.0.2", "10.1.0.1"), frame = arp(1, "10.1.0.2", "10.1.0.1");
	struct frame probe_reply = arp(2, "0.0.0.0", "10.1.0.2"), longer = frame, shorter = frame, mac = frame,
		     length = frame;

	expect_drop(*state, &claim, EGRESS_DROP_ARP);
	expect_drop(*state, &probe, EGRESS_DROP_ARP);
	expect_drop(*state, &probe_reply, EGRESS_DROP_ARP);
	expect_drop(*state, &reverse, EGRESS_DROP_ARP);
	frame_add_zero(&longer, 19);
	expect_drop(*state, &longer, EGRESS_DROP_ARP);
	longer = frame;
	frame_add_zero(&longer, 18);
	longer.bytes[longer.length - 1] = 1; /* padding that says something */
	expect_drop(*state, &longer, EGRESS_DROP_ARP);
	longer.length = ETH_HLEN + 28 + 7;
	longer.bytes[longer.length - 1] = 1;
	expect_drop(*state, &longer, EGRESS_DROP_ARP);
	shorter.length--;
	expect_drop(*state, &shorter, EGRESS_DROP_ARP);
	mac.bytes[ETH_HLEN + 8 + 5]++;
	expect_drop(*state, &mac, EGRESS_DROP_ARP);
	mac.bytes[6 + 5]++; /* a frame that agrees with itself, but not with the pod */
	expect_drop(*state, &mac, EGRESS_DROP_ARP);
	length.bytes[ETH_HLEN + 5] = 16;
	expect_drop(*state, &length, EGRESS_DROP_ARP);
}

static void neighbour_discovery(void **state)
{
	struct frame advertisement = icmp("fd00::2", "ff02::1", 134, 0, 0);

	advertisement.bytes[FRAME_IP + 7] = 255;
	expect_drop(*state, &advertisement, EGRESS_DROP_NEIGHBOUR_DISCOVERY);
}

static void truncated(void **state)
{
	struct frame frame = tcp(ALLOWED_FLOW, TCP_SYN);

	frame.length -= 1;
	frame_end(&frame);
	expect_drop(*state, &frame, EGRESS_DROP_TRUNCATED);
	frame = udp("fd00::2", 40000, "2001:db8::9", 53);
	frame.length -= 1;
	frame_end(&frame);
	expect_drop(*state, &frame, EGRESS_DROP_TRUNCATED);
	/* An extension header that is announced but not there. */
	frame_ip(&frame, "fd00::2", "2001:db8::9", 60);
	frame_add_zero(&frame, 7);
	frame_end(&frame);
	expect_drop(*state, &frame, EGRESS_DROP_TRUNCATED);
}

static void ip_version(void **state)
{
	struct frame frame = tcp(ALLOWED_FLOW, TCP_SYN);

	frame.bytes[FRAME_IP] = 0x65;
	expect_drop(*state, &frame, EGRESS_DROP_IP_VERSION);
	frame = tcp("fd00::2", 40000, "2001:db8::9", 443, TCP_SYN);
	frame.bytes[FRAME_IP] = 0x45;
	expect_drop(*state, &frame, EGRESS_DROP_IP_VERSION);
}

static void ip_header_length(void **state)
{
	struct frame frame = tcp(ALLOWED_FLOW, TCP_SYN);

	frame.bytes[FRAME_IP] = 0x44;
	expect_drop(*state, &frame, EGRESS_DROP_IP_HEADER_LENGTH);
	frame.bytes[FRAME_IP] = 0x4f; /* 60 bytes of 40 */
	expect_drop(*state, &frame, EGRESS_DROP_IP_HEADER_LENGTH);
}

static void ip_total_length(void **state)
{
	struct frame frame = tcp(ALLOWED_FLOW, TCP_SYN);

	frame_set16(&frame, FRAME_IP + 2, 41);
	expect_drop(*state, &frame, EGRESS_DROP_IP_TOTAL_LENGTH);
	frame_set16(&frame, FRAME_IP + 2, 19);
	expect_drop(*state, &frame, EGRESS_DROP_IP_TOTAL_LENGTH);
	frame_set16(&frame, FRAME_IP + 2, 0);
	expect_drop(*state, &frame, EGRESS_DROP_IP_TOTAL_LENGTH);
	frame = tcp("fd00::2", 40000, "2001:db8::9", 443, TCP_SYN);
	frame_set16(&frame, FRAME_IP + 4, 21);
	expect_drop(*state, &frame, EGRESS_DROP_IP_TOTAL_LENGTH);
}

static struct frame ipv6_with(uint8_t first, const uint8_t *extensions, uint32_t length)
{
	struct frame frame;

	frame_ip(&frame, "fd00::2", "2001:db8::9", first);
	frame_add(&frame, extensions, length);
	frame_tcp(&frame, 40000, 443, TCP_SYN);
	frame_end(&frame);
	return frame;
}

static void ipv6_extensions(void **state)
{
	static const uint8_t hop_by_hop_second[16] = {0, 0, 1, 4, [8] = IPPROTO_TCP, 0, 1, 4};
	static const uint8_t too_long[8] = {IPPROTO_TCP, 200};
	static const uint8_t jumbo[8] = {IPPROTO_TCP, 0, 0xc2, 4, 0, 1, 0, 0};
	uint8_t deep[9 * 8] = {0}, far[976] = {IPPROTO_TCP};
	struct frame frame = ipv6_with(60, hop_by_hop_second, sizeof(hop_by_hop_second));
	int i;

	expect_drop(*state, &frame, EGRESS_DROP_IPV6_EXTENSIONS);
	frame = ipv6_with(60, too_long, sizeof(too_long));
	expect_drop(*state, &frame, EGRESS_DROP_IPV6_EXTENSIONS);
	frame = ipv6_with(0, jumbo, sizeof(jumbo));
	expect_drop(*state, &frame, EGRESS_DROP_IPV6_EXTENSIONS);
	for (i = 0; i < 8; i++)
		deep[8 * i] = 60;
	deep[8 * 8] = IPPROTO_TCP;
	frame = ipv6_with(60, deep, sizeof(deep));
	expect_drop(*state, &frame, EGRESS_DROP_IPV6_EXTENSIONS);
	/* One less is the limit. */
	deep[7 * 8] = IPPROTO_TCP;
	frame = ipv6_with(60, deep, sizeof(deep) - 8);
	expect_pass(*state, &frame);
	/* So is a transport header that begins within 1,024 bytes. */
	far[1] = sizeof(far) / 8 - 1;
	frame = ipv6_with(60, far, sizeof(far));
	expect_drop(*state, &frame, EGRESS_DROP_IPV6_EXTENSIONS);
	far[1]--;
	frame = ipv6_with(60, far, sizeof(far) - 8);
	expect_pass(*state, &frame);
}

static void source_route(void **state)
{
	static const uint8_t routing[24] = {IPPROTO_TCP, 2, 0, 1};
	static const uint8_t loose[8] = {1, 131, 7, 4, 8, 8, 8, 8};
	struct frame frame = ipv6_with(43, routing, sizeof(routing));

	expect_drop(*state, &frame, EGRESS_DROP_SOURCE_ROUTE);
	frame_ip(&frame, "10.1.0.2", "192.0.2.9", IPPROTO_TCP);
	frame.bytes[FRAME_IP] = 0x47;
	frame_add(&frame, loose, sizeof(loose));
	frame_tcp(&frame, 40000, 443, TCP_SYN);
	frame_end(&frame);
	expect_drop(*state, &frame, EGRESS_DROP_SOURCE_ROUTE);
	frame.bytes[FRAME_IP + 21] = 137;
	expect_drop(*state, &frame, EGRESS_DROP_SOURCE_ROUTE);
}

static void fragment_unknown(void **state)
{
	struct frame frame = udp("10.1.0.2", 40000, "192.0.2.9", 53);

	frame_set16(&frame, FRAME_IP + 6, 100);
	expect_drop(*state, &frame, EGRESS_DROP_FRAGMENT_UNKNOWN);
}

static void fragment_invalid(void **state)
{
	struct frame frame;

	frame_ip(&frame, "10.1.0.2", "192.0.2.9", IPPROTO_TCP);
	frame_add_zero(&frame, 8);
	frame_end(&frame);
	frame_set16(&frame, FRAME_IP + 6, 0x2000);
	expect_drop(*state, &frame, EGRESS_DROP_FRAGMENT_INVALID);
}

/* The node is always allowed; what a tunnel's end on it would unpack is not the node. */
static void node_tunnel(void **state)
{
	static const uint8_t protocols[] = {4, 41, 47, 97, 115, 137};
	static const uint16_t ports[] = {4789, 8472, 4790, 6081, 6080, 4754, 6635, 1701};
	struct harness *harness = *state;
	struct frame frame;
	size_t i;

	set_word(harness, POD, table_node_set(harness));
	for (i = 0; i < sizeof(protocols); i++) {
		frame_ip(&frame, "10.1.0.2", "192.0.2.9", protocols[i]);
		frame_add_zero(&frame, 40);
		frame_end(&frame);
		expect_drop(harness, &frame, EGRESS_DROP_NODE_TUNNEL);
	}
	for (i = 0; i < sizeof(ports) / sizeof(ports[0]); i++) {
		frame = udp("fd00::2", 40000, "2001:db8::9", ports[i]);
		expect_drop(harness, &frame, EGRESS_DROP_NODE_TUNNEL);
		frame = tcp("10.1.0.2", 40000, "192.0.2.9", ports[i], TCP_SYN);
		expect_pass(harness, &frame);
	}
	frame = udp("10.1.0.2", 8472, "192.0.2.9", 53);
	expect_pass(harness, &frame);
	frame = icmp("10.1.0.2", "192.0.2.9", 8, 0, 1);
	expect_pass(harness, &frame);
	/* A policy's own rule means the outer packet. */
	set_word(harness, POD, harness->words[control(harness)->bank[0].sets + OTHER_POD]);
	frame = udp("10.1.0.2", 40000, "198.51.7.7", 8472);
	expect_pass(harness, &frame);
}

static void every_reason_is_tested(void **state)
{
	/* A reason that is added raises the count and this test with it. */
	(void)state;
	assert_int_equal(EGRESS_DROP_REASON_COUNT, 19);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(policy),
		TEST(policy_ipv6),
		TEST(longer_headers_are_reported_alike),
		TEST(pending),
		TEST(unknown_endpoint),
		TEST(tables),
		TEST(spoofed_source),
		TEST(ethertype),
		TEST(vlan),
		TEST(arp_passes),
		TEST(arp_is_reported),
		TEST(arp_drops),
		TEST(neighbour_discovery),
		TEST(truncated),
		TEST(ip_version),
		TEST(ip_header_length),
		TEST(ip_total_length),
		TEST(ipv6_extensions),
		TEST(source_route),
		TEST(fragment_unknown),
		TEST(fragment_invalid),
		TEST(node_tunnel),
		cmocka_unit_test(every_reason_is_tested),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
