// SPDX-License-Identifier: Apache-2.0
/* What a pod may answer, and that it may answer nothing else. The peers here are ones that policy denies. */
#include <errno.h>
#include <stdio.h>

#include "harness.h"

#define PEER  "203.0.113.200"
#define PEER6 "2001:dead::9"

static struct egress_flow only_flow(struct harness *harness)
{
	struct egress_flow_key key;
	struct egress_flow flow;
	int flows = bpf_map__fd(harness->skeleton->maps.flows);

	assert_int_equal(map_size(harness->skeleton->maps.flows), 1);
	assert_int_equal(bpf_map_get_next_key(flows, NULL, &key), 0);
	assert_int_equal(bpf_map_lookup_elem(flows, &key, &flow), 0);
	return flow;
}

/* As if nothing had been seen of any flow for so many jiffies more. An update moves an entry, so the keys come first.
 */
static void age_map(struct bpf_map *map, uint64_t jiffies)
{
	size_t count = map_size(map), i;
	struct egress_flow_name *keys = calloc(count, sizeof(*keys)); /* as large as the larger of both kinds */
	struct egress_flow flow;
	int fd = bpf_map__fd(map);

	assert_non_null(keys);
	for (i = 0; i < count; i++)
		assert_int_equal(bpf_map_get_next_key(fd, i ? &keys[i - 1] : NULL, &keys[i]), 0);
	for (i = 0; i < count; i++) {
		assert_int_equal(bpf_map_lookup_elem(fd, &keys[i], &flow), 0);
		flow.seen -= jiffies;
		assert_int_equal(bpf_map_update_elem(fd, &keys[i], &flow, BPF_EXIST), 0);
	}
	free(keys);
}

static void age_flows(struct harness *harness, uint64_t jiffies)
{
	age_map(harness->skeleton->maps.flows, jiffies);
	age_map(harness->skeleton->maps.flows_beside, jiffies);
}

static void handshake(struct harness *harness, const char *pod, const char *peer)
{
	struct frame syn = tcp(peer, 1000, pod, 80, TCP_SYN), syn_ack = tcp(pod, 80, peer, 1000, TCP_SYN | TCP_ACK);
	struct frame ack = tcp(peer, 1000, pod, 80, TCP_ACK), data = tcp(pod, 80, peer, 1000, TCP_ACK);

	to_pod(harness, &syn);
	assert_int_equal(only_flow(harness).state, EGRESS_FLOW_NEW);
	expect_pass(harness, &syn_ack);
	assert_int_equal(only_flow(harness).state, EGRESS_FLOW_ANSWERED);
	to_pod(harness, &ack);
	expect_pass(harness, &data);
	assert_int_equal(only_flow(harness).state, EGRESS_FLOW_ESTABLISHED);
}

static void tcp_is_answered(void **state)
{
	struct frame other_port = tcp("10.1.0.2", 80, PEER, 1001, TCP_ACK),
		     other_local = tcp("10.1.0.2", 81, PEER, 1000, TCP_ACK);
	struct frame other_peer = tcp("10.1.0.2", 80, "203.0.113.201", 1000, TCP_ACK);
	struct frame other_protocol = udp("10.1.0.2", 80, PEER, 1000);

	handshake(*state, "10.1.0.2", PEER);
	expect_drop(*state, &other_port, EGRESS_DROP_POLICY);
	expect_drop(*state, &other_local, EGRESS_DROP_POLICY);
	expect_drop(*state, &other_peer, EGRESS_DROP_POLICY);
	expect_drop(*state, &other_protocol, EGRESS_DROP_POLICY);
}

static void tcp_is_answered_ipv6(void **state)
{
	handshake(*state, "fd00::2", PEER6);
}

/* Packets with longer headers are judged by other code; the flow is the same. */
static void longer_headers_are_the_same_flow(void **state)
{
	static const char *const pods[] = {"10.1.0.2", "fd00::2"}, *const peers[] = {PEER, PEER6};
	struct harness *harness = *state;
	size_t i;

	for (i = 0; i < 2; i++) {
		struct frame syn = tcp(peers[i], 1000, pods[i], 80, TCP_SYN);
		struct frame ack = tcp(pods[i], 80, peers[i], 1000, TCP_ACK);
		struct frame syn_ack = tcp(pods[i], 80, peers[i], 1000, TCP_SYN | TCP_ACK);
		struct frame fin = tcp(pods[i], 80, peers[i], 1000, TCP_FIN | TCP_ACK);
		struct frame peer_ack = tcp(peers[i], 1000, pods[i], 80, TCP_ACK);
		struct frame peer_fin = tcp(peers[i], 1000, pods[i], 80, TCP_FIN | TCP_ACK);
		struct frame bare = tcp(pods[i], 80, peers[i], 1000, TCP_SYN);

		peer_ack = frame_longer(&peer_ack);
		to_pod(harness, &peer_ack);
		assert_int_equal(map_size(harness->skeleton->maps.flows), 0);
		syn = frame_longer(&syn);
		to_pod(harness, &syn);
		assert_int_equal(only_flow(harness).state, EGRESS_FLOW_NEW);
		bare = frame_longer(&bare);
		expect_drop(harness, &bare, EGRESS_DROP_POLICY);
		syn_ack = frame_longer(&syn_ack);
		expect_pass(harness, &syn_ack);
		assert_int_equal(only_flow(harness).state, EGRESS_FLOW_ANSWERED);
		expect_pass(harness, &ack);
		assert_int_equal(only_flow(harness).state, EGRESS_FLOW_ESTABLISHED);
		ack = frame_longer(&ack);
		expect_pass(harness, &ack);
		fin = frame_longer(&fin);
		expect_pass(harness, &fin);
		assert_true(only_flow(harness).flags & EGRESS_FLOW_FIN_LOCAL);
		peer_fin = frame_longer(&peer_fin);
		to_pod(harness, &peer_fin);
		assert_int_equal(only_flow(harness).state, EGRESS_FLOW_CLOSING);
		maps_clear(harness);
		setup(state);
	}
}

static void longer_headers_are_the_same_flow_udp(void **state)
{
	struct frame request = udp(PEER6, 1000, "fd00::2", 53), answer = udp("fd00::2", 53, PEER6, 1000);
	struct frame longer = frame_longer(&request);

	to_pod(*state, &longer);
	expect_pass(*state, &answer);
	assert_int_equal(only_flow(*state).state, EGRESS_FLOW_ANSWERED);
	to_pod(*state, &request);
	assert_int_equal(only_flow(*state).state, EGRESS_FLOW_ESTABLISHED);
	longer = frame_longer(&answer);
	expect_pass(*state, &longer);
	assert_int_equal(map_size(((struct harness *)*state)->skeleton->maps.flows), 1);
}

static struct egress_flow_share share_of(struct harness *harness, uint32_t id)
{
	struct egress_flow_share share;

	assert_int_equal(bpf_map_lookup_elem(bpf_map__fd(harness->skeleton->maps.flow_shares), &id, &share), 0);
	return share;
}

static void set_share(struct harness *harness, uint32_t id, const struct egress_flow_share *share)
{
	assert_int_equal(bpf_map_update_elem(bpf_map__fd(harness->skeleton->maps.flow_shares), &id, share, BPF_ANY), 0);
}

static void expect_opened(struct harness *harness, uint8_t protocol, uint16_t port)
{
	struct egress_flow_share expected = share_of(harness, POD), found = expected;

	memset(expected.opened, 0, sizeof(expected.opened));
	expected.opened[egress_flow_port(protocol, htons(port))] = 1;
	assert_memory_equal(found.opened, expected.opened, sizeof(found.opened));
}

/* What the pod sends from other ports is denied without a look at its flows, whichever way it is judged. */
static void flows_are_looked_up_for_ports_that_were_opened(void **state)
{
	static const char *const pods[] = {"10.1.0.2", "fd00::2"}, *const peers[] = {PEER, PEER6};
	struct harness *harness = *state;
	size_t i;

	for (i = 0; i < 2; i++) {
		struct frame denied = tcp(pods[i], 1000, peers[i], 80, TCP_ACK), answer, longer;
		struct egress_flow_share share;

		expect_drop(harness, &denied, EGRESS_DROP_POLICY);
		handshake(harness, pods[i], peers[i]);
		expect_opened(harness, IPPROTO_TCP, 80);
		answer = tcp(pods[i], 80, peers[i], 1000, TCP_ACK);
		longer = frame_longer(&answer);
		share = share_of(harness, POD);
		share.opened[egress_flow_port(IPPROTO_TCP, htons(80))] = 0;
		set_share(harness, POD, &share);
		expect_drop(harness, &answer, EGRESS_DROP_POLICY);
		expect_drop(harness, &longer, EGRESS_DROP_POLICY);
		memset(share.opened, 1, sizeof(share.opened));
		set_share(harness, POD, &share);
		expect_pass(harness, &answer);
		expect_pass(harness, &longer);
		maps_clear(harness);
		setup(state);
	}
}

static void ports_are_opened_by_protocol(void **state)
{
	struct frame request = udp(PEER, 1000, "10.1.0.2", 53), answer = udp("10.1.0.2", 53, PEER, 1000);

	assert_int_not_equal(egress_flow_port(IPPROTO_UDP, htons(53)), egress_flow_port(IPPROTO_TCP, htons(53)));
	to_pod(*state, &request);
	expect_opened(*state, IPPROTO_UDP, 53);
	expect_pass(*state, &answer);
}

/* Else whoever pings a pod every minute would have all of them opened in a day. */
static void pings_open_one_port_all_together(void **state)
{
	uint16_t id;

	for (id = 1; id <= 20; id++) {
		struct frame request = icmp(PEER, "10.1.0.2", 8, 0, id), answer = icmp("10.1.0.2", PEER, 0, 0, id);

		to_pod(*state, &request);
		expect_pass(*state, &answer);
	}
	expect_opened(*state, IPPROTO_ICMP, 1);
}

static void pending_pods_answer(void **state)
{
	set_word(*state, POD, EGRESS_SET_PENDING);
	handshake(*state, "10.1.0.2", PEER);
}

static void only_a_bare_syn_opens(void **state)
{
	static const uint8_t flags[] = {TCP_ACK, TCP_SYN | TCP_ACK, TCP_FIN,          TCP_FIN | TCP_ACK, TCP_RST,
					0,       TCP_SYN | TCP_RST, TCP_SYN | TCP_FIN};
	struct harness *harness = *state;
	struct frame answer = tcp("10.1.0.2", 80, PEER, 1000, TCP_ACK), frame;
	size_t i;

	for (i = 0; i < sizeof(flags); i++) {
		frame = tcp(PEER, 1000, "10.1.0.2", 80, flags[i]);
		to_pod(harness, &frame);
		assert_int_equal(map_size(harness->skeleton->maps.flows), 0);
		expect_drop(harness, &answer, EGRESS_DROP_POLICY);
	}
}

static void a_syn_is_no_answer(void **state)
{
	struct frame syn = tcp("10.1.0.2", 80, PEER, 1000, TCP_SYN);

	handshake(*state, "10.1.0.2", PEER);
	expect_drop(*state, &syn, EGRESS_DROP_POLICY);
}

static void fin_from_both_sides_ends(void **state)
{
	struct harness *harness = *state;
	struct frame theirs = tcp(PEER, 1000, "10.1.0.2", 80, TCP_FIN | TCP_ACK);
	struct frame ours = tcp("10.1.0.2", 80, PEER, 1000, TCP_FIN | TCP_ACK),
		     ack = tcp("10.1.0.2", 80, PEER, 1000, TCP_ACK);

	handshake(harness, "10.1.0.2", PEER);
	to_pod(harness, &theirs);
	assert_int_equal(only_flow(harness).state, EGRESS_FLOW_ESTABLISHED);
	expect_pass(harness, &ours);
	assert_int_equal(only_flow(harness).state, EGRESS_FLOW_CLOSING);
	expect_pass(harness, &ack); /* lingers */
	control(harness)->timeout_closing = 5;
	age_flows(harness, 100);
	expect_drop(harness, &ack, EGRESS_DROP_POLICY);
}

static void rst_ends_and_activity_does_not_prolong(void **state)
{
	struct harness *harness = *state;
	struct frame rst = tcp(PEER, 1000, "10.1.0.2", 80, TCP_RST), data = tcp("10.1.0.2", 80, PEER, 1000, TCP_ACK);
	uint64_t seen;

	handshake(harness, "10.1.0.2", PEER);
	to_pod(harness, &rst);
	assert_int_equal(only_flow(harness).state, EGRESS_FLOW_CLOSING);
	age_flows(harness, 10);
	seen = only_flow(harness).seen;
	expect_pass(harness, &data);
	assert_int_equal(only_flow(harness).seen, seen);
	control(harness)->timeout_closing = 5;
	expect_drop(harness, &data, EGRESS_DROP_POLICY);
}

static void a_syn_opens_anew_after_the_end(void **state)
{
	struct harness *harness = *state;
	struct frame rst = tcp("10.1.0.2", 80, PEER, 1000, TCP_RST | TCP_ACK);

	handshake(harness, "10.1.0.2", PEER);
	expect_pass(harness, &rst);
	assert_int_equal(only_flow(harness).state, EGRESS_FLOW_CLOSING);
	handshake(harness, "10.1.0.2", PEER);
}

static void a_syn_leaves_a_live_connection_alone(void **state)
{
	struct frame syn = tcp(PEER, 1000, "10.1.0.2", 80, TCP_SYN);

	handshake(*state, "10.1.0.2", PEER);
	to_pod(*state, &syn);
	assert_int_equal(only_flow(*state).state, EGRESS_FLOW_ESTABLISHED);
}

static void expired_entries_answer_nothing(void **state)
{
	struct frame data = tcp("10.1.0.2", 80, PEER, 1000, TCP_ACK);

	handshake(*state, "10.1.0.2", PEER);
	age_flows(*state, TIMEOUT - 10000);
	expect_pass(*state, &data); /* and is refreshed */
	age_flows(*state, TIMEOUT - 10000);
	expect_pass(*state, &data);
	age_flows(*state, TIMEOUT + 1);
	expect_drop(*state, &data, EGRESS_DROP_POLICY);
}

static void a_datagram_opens(struct harness *harness, const struct frame *request, const struct frame *answer)
{
	expect_drop(harness, answer, EGRESS_DROP_POLICY);
	to_pod(harness, request);
	expect_pass(harness, answer);
	assert_int_equal(only_flow(harness).state, EGRESS_FLOW_ANSWERED);
	to_pod(harness, request);
	assert_int_equal(only_flow(harness).state, EGRESS_FLOW_ESTABLISHED);
	age_flows(harness, TIMEOUT + 1);
	expect_drop(harness, answer, EGRESS_DROP_POLICY);
	to_pod(harness, request);
	assert_int_equal(only_flow(harness).state, EGRESS_FLOW_NEW);
	expect_pass(harness, answer);
}

static void udp_is_answered(void **state)
{
	struct frame request = udp(PEER, 1000, "10.1.0.2", 53), answer = udp("10.1.0.2", 53, PEER, 1000);

	a_datagram_opens(*state, &request, &answer);
}

static void udp_is_answered_ipv6(void **state)
{
	struct frame request = udp(PEER6, 1000, "fd00::2", 53), answer = udp("fd00::2", 53, PEER6, 1000);

	a_datagram_opens(*state, &request, &answer);
}

static void sctp_is_answered(void **state)
{
	struct frame request = sctp(PEER, 1000, "10.1.0.2", 5000), answer = sctp("10.1.0.2", 5000, PEER, 1000);

	a_datagram_opens(*state, &request, &answer);
}

static void echo_is_answered(void **state)
{
	struct frame request = icmp(PEER, "10.1.0.2", 8, 0, 77), answer = icmp("10.1.0.2", PEER, 0, 0, 77);
	struct frame other_id = icmp("10.1.0.2", PEER, 0, 0, 78), echo = icmp("10.1.0.2", PEER, 8, 0, 77);

	a_datagram_opens(*state, &request, &answer);
	expect_drop(*state, &other_id, EGRESS_DROP_POLICY);
	expect_drop(*state, &echo, EGRESS_DROP_POLICY);
}

static void echo_is_answered_ipv6(void **state)
{
	struct frame request = icmp(PEER6, "fd00::2", 128, 0, 77), answer = icmp("fd00::2", PEER6, 129, 0, 77);

	a_datagram_opens(*state, &request, &answer);
}

/* An answer to the pod's own query is no request: when policy stops allowing the resolver, the pod is cut off at once.
 */
static void what_policy_allows_leaves_no_entry(void **state)
{
	struct harness *harness = *state;
	struct frame query = udp("10.1.0.2", 4000, "192.0.2.9", 53), response = udp("192.0.2.9", 53, "10.1.0.2", 4000);

	expect_pass(harness, &query);
	to_pod(harness, &response);
	assert_int_equal(map_size(harness->skeleton->maps.flows), 0);
	set_word(harness, POD, EGRESS_SET_PENDING);
	expect_drop(harness, &query, EGRESS_DROP_PENDING);
}

/* A connection to the pod outlives the policy that lets the pod open one to that peer. */
static void answers_survive_a_policy_change(void **state)
{
	struct harness *harness = *state;
	struct frame syn = tcp("192.0.2.9", 443, "10.1.0.2", 80, TCP_SYN),
		     data = tcp("10.1.0.2", 80, "192.0.2.9", 443, TCP_ACK);

	to_pod(harness, &syn);
	assert_int_equal(only_flow(harness).flags, EGRESS_FLOW_UNSEEN);
	control(harness)->timeout_new = 1;
	age_flows(harness, 100);
	set_word(harness, POD, EGRESS_SET_PENDING);
	expect_pass(harness, &data);
	assert_int_equal(only_flow(harness).state, EGRESS_FLOW_ESTABLISHED);
}

static void flows_are_the_endpoints_own(void **state)
{
	struct frame data = tcp("10.1.0.2", 80, PEER, 1000, TCP_ACK);

	handshake(*state, "10.1.0.2", PEER);
	pod_put(*state, OTHER_POD, 0); /* the interface has a new owner with the same address */
	expect_drop_of(*state, OTHER_POD, &data, EGRESS_DROP_POLICY);
}

static void open_pods_leave_no_flows(void **state)
{
	struct harness *harness = *state;
	struct frame syn = tcp(PEER, 1000, "10.1.0.2", 80, TCP_SYN);

	set_word(harness, POD, EGRESS_SET_OPEN);
	to_pod(harness, &syn);
	assert_int_equal(map_size(harness->skeleton->maps.flows), 0);
}

/* ICMP error about a packet from peer:port to pod:port. */
static struct frame error_about(const char *pod, const char *peer, const char *quoted_peer, uint8_t protocol,
				uint16_t peer_port)
{
	_Bool six = strchr(pod, ':') != NULL;
	struct frame frame, quoted;

	frame_ip(&quoted, quoted_peer, pod, protocol);
	frame_add16(&quoted, peer_port);
	frame_add16(&quoted, 80);
	frame_add_zero(&quoted, 16);
	frame_end(&quoted);
	frame_ip(&frame, pod, peer, six ? IPPROTO_ICMPV6 : IPPROTO_ICMP);
	frame_icmp(&frame, six ? 1 : 3, six ? 4 : 3, 0);
	frame_add(&frame, quoted.bytes + ETH_HLEN, quoted.length - ETH_HLEN);
	frame_end(&frame);
	return frame;
}

static void icmp_errors(void **state)
{
	struct frame answered = error_about("10.1.0.2", PEER, PEER, IPPROTO_TCP, 1000);
	struct frame could_open = error_about("10.1.0.2", "192.0.2.9", "192.0.2.9", IPPROTO_UDP, 53);
	struct frame denied = error_about("10.1.0.2", "192.0.2.9", "192.0.2.9", IPPROTO_UDP, 54);
	struct frame elsewhere = error_about("10.1.0.2", PEER, "192.0.2.9", IPPROTO_UDP, 53);
	struct frame ipv6_good = error_about("fd00::2", "2001:db8::9", "2001:db8::9", IPPROTO_UDP, 53);
	struct frame ipv6_bad = error_about("fd00::2", PEER6, "2001:db8::9", IPPROTO_UDP, 53);
	struct frame redirect = could_open;

	expect_drop(*state, &answered, EGRESS_DROP_POLICY);
	handshake(*state, "10.1.0.2", PEER);
	expect_pass(*state, &answered);
	expect_pass(*state, &could_open);
	expect_drop(*state, &denied, EGRESS_DROP_POLICY);
	expect_drop(*state, &elsewhere, EGRESS_DROP_POLICY);
	expect_pass(*state, &ipv6_good);
	expect_drop(*state, &ipv6_bad, EGRESS_DROP_POLICY);
	redirect.bytes[FRAME_IP + 20] = 5;
	expect_drop(*state, &redirect, EGRESS_DROP_POLICY);
}

/* An error about an echo request belongs to the flow of that; errors about errors and replies do not exist. */
static void icmp_errors_about_an_echo(void **state)
{
	struct frame request = icmp(PEER, "10.1.0.2", 8, 0, 77), other = icmp(PEER, "10.1.0.2", 8, 0, 78);
	struct frame reply = icmp(PEER, "10.1.0.2", 0, 0, 77), error;
	const struct {
		const struct frame *quoted;
		_Bool passes;
	} cases[] = {{&request, 1}, {&other, 0}, {&reply, 0}};
	size_t i;

	to_pod(*state, &request);
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		frame_ip(&error, "10.1.0.2", PEER, IPPROTO_ICMP);
		frame_icmp(&error, 3, 1, 0);
		frame_add(&error, cases[i].quoted->bytes + ETH_HLEN, cases[i].quoted->length - ETH_HLEN);
		frame_end(&error);
		if (cases[i].passes)
			expect_pass(*state, &error);
		else
			expect_drop(*state, &error, EGRESS_DROP_POLICY);
	}
}

static struct frame segment(const char *source, uint16_t source_port, const char *destination,
			    uint16_t destination_port, uint8_t flags, uint32_t sequence, uint32_t acknowledged)
{
	struct frame frame = tcp(source, source_port, destination, destination_port, flags);

	sequence = htonl(sequence);
	acknowledged = htonl(acknowledged);
	memcpy(frame.bytes + frame.length - 16, &sequence, 4);
	memcpy(frame.bytes + frame.length - 12, &acknowledged, 4);
	return frame;
}

/* Who knows the ports but not the sequence numbers cannot end another's connection. */
static void a_forged_end_ends_nothing(void **state)
{
	const uint32_t at = 0xfffffff0; /* the numbers wrap around */
	struct harness *harness = *state;
	struct frame data = segment("10.1.0.2", 80, PEER, 1000, TCP_ACK, 5, at);
	struct frame forged = segment(PEER, 1000, "10.1.0.2", 80, TCP_RST, at + 0x70000, 0);
	struct frame behind = segment(PEER, 1000, "10.1.0.2", 80, TCP_RST, at - 1, 0);
	struct frame fin = segment(PEER, 1000, "10.1.0.2", 80, TCP_FIN | TCP_ACK, at + 0x70000, 0);
	struct frame real = segment(PEER, 1000, "10.1.0.2", 80, TCP_RST, at + 20, 0);

	handshake(harness, "10.1.0.2", PEER);
	expect_pass(harness, &data);
	to_pod(harness, &forged);
	to_pod(harness, &behind);
	to_pod(harness, &fin);
	assert_int_equal(only_flow(harness).state, EGRESS_FLOW_ESTABLISHED);
	assert_int_equal(only_flow(harness).flags & EGRESS_FLOW_FIN_REMOTE, 0);
	to_pod(harness, &real);
	assert_int_equal(only_flow(harness).state, EGRESS_FLOW_CLOSING);
}

/*
 * The pod has finished a connection whose peer's FIN did not count, and the peer opens one on the same port: nothing of the
 * old one is left, neither its end nor how long it may idle.
 */
static void a_port_used_again_is_a_new_connection(void **state)
{
	struct harness *harness = *state;
	struct frame data = segment("10.1.0.2", 80, PEER, 1000, TCP_ACK, 5, 1000);
	struct frame ahead = segment(PEER, 1000, "10.1.0.2", 80, TCP_FIN | TCP_ACK, 1000 + 0x20000, 6);
	struct frame ours = segment("10.1.0.2", 80, PEER, 1000, TCP_FIN | TCP_ACK, 5, 1000);
	struct frame syn = segment(PEER, 1000, "10.1.0.2", 80, TCP_SYN, 0x30000, 0);
	struct frame syn_ack = segment("10.1.0.2", 80, PEER, 1000, TCP_SYN | TCP_ACK, 77, 0x30001);
	struct frame more = segment("10.1.0.2", 80, PEER, 1000, TCP_ACK, 78, 0x30001);
	struct frame half = segment(PEER, 1000, "10.1.0.2", 80, TCP_FIN | TCP_ACK, 0x30001, 78);

	handshake(harness, "10.1.0.2", PEER);
	expect_pass(harness, &data);
	to_pod(harness, &ahead);
	expect_pass(harness, &ours);
	assert_int_equal(only_flow(harness).state, EGRESS_FLOW_ENDING);
	/* Whoever sends a SYN says nothing yet; the pod's answer does. */
	to_pod(harness, &syn);
	assert_int_equal(only_flow(harness).state, EGRESS_FLOW_ENDING);
	expect_pass(harness, &syn_ack);
	assert_int_equal(only_flow(harness).state, EGRESS_FLOW_ANSWERED);
	assert_int_equal(only_flow(harness).flags, EGRESS_FLOW_ACKNOWLEDGED);
	expect_pass(harness, &more);
	assert_int_equal(only_flow(harness).state, EGRESS_FLOW_ESTABLISHED);
	control(harness)->timeout_closing = 1000;
	age_flows(harness, 1100);
	expect_pass(harness, &more);
	/* The pod may go on for long when the peer has said all. */
	to_pod(harness, &half);
	assert_int_equal(only_flow(harness).state, EGRESS_FLOW_ESTABLISHED);
	age_flows(harness, 1100);
	expect_pass(harness, &more);
}

/* The same of a peer that policy allows, where the pod's answers are not seen: its SYN must do. */
static void an_allowed_peers_port_used_again_is_a_new_connection(void **state)
{
	struct harness *harness = *state;
	struct frame syn = tcp("192.0.2.9", 443, "10.1.0.2", 80, TCP_SYN),
		     fin = tcp("192.0.2.9", 443, "10.1.0.2", 80, TCP_FIN | TCP_ACK),
		     syn_ack = tcp("10.1.0.2", 80, "192.0.2.9", 443, TCP_SYN | TCP_ACK),
		     data = tcp("10.1.0.2", 80, "192.0.2.9", 443, TCP_ACK);

	control(harness)->timeout_closing = 1000;
	to_pod(harness, &syn);
	expect_pass(harness, &syn_ack);
	to_pod(harness, &fin);
	assert_int_equal(only_flow(harness).state, EGRESS_FLOW_ENDING);
	age_flows(harness, 600);
	to_pod(harness, &syn);
	assert_int_equal(only_flow(harness).state, EGRESS_FLOW_NEW);
	assert_int_equal(only_flow(harness).flags, EGRESS_FLOW_UNSEEN);
	expect_pass(harness, &syn_ack);
	expect_pass(harness, &data);
	age_flows(harness, 500);
	set_word(harness, POD, EGRESS_SET_PENDING);
	expect_pass(harness, &data);
}

/* A pod of this node that asks in another's name does not make that one a peer. */
/* Kernels before 5.12 refuse a test run that says which interface the packet came from. */
static _Bool run_takes_ingress(struct harness *harness, struct __sk_buff *context)
{
	struct frame frame = udp(PEER, 1000, "10.1.0.2", 53);
	LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = frame.bytes, .data_size_in = frame.length, .repeat = 1,
		    .ctx_in = context, .ctx_size_in = sizeof(*context));

	return bpf_prog_test_run_opts(bpf_program__fd(harness->skeleton->progs.egress_from_pod), &options) != -EINVAL;
}

static void a_neighbouring_pod_asks_for_itself_only(void **state)
{
	struct harness *harness = *state;
	struct egress_endpoint sender = {.ifindex = 55, .id = OTHER_POD, .ipv4 = ipv4("10.1.0.9")};
	struct __sk_buff context = {.ingress_ifindex = 55};
	const struct {
		const char *source;
		uint32_t flags, flows;
	} cases[] = {{PEER, 0, 0}, {PEER, EGRESS_ENDPOINT_ROUTER, 2}, {"10.1.0.9", 0, 4}};
	size_t i;

	if (!run_takes_ingress(harness, &context)) {
		print_message("# the kernel's test run takes no ingress_ifindex\n");
		skip();
	}
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct frame syn = tcp(cases[i].source, 1000, "10.1.0.2", 80, TCP_SYN),
			     datagram = udp(cases[i].source, 1000, "10.1.0.2", 53);

		sender.flags = cases[i].flags;
		endpoint_put(harness, &sender);
		run_context(harness->skeleton->progs.egress_to_pod, &syn, &context);
		run_context(harness->skeleton->progs.egress_to_pod, &datagram, &context);
		assert_int_equal(map_size(harness->skeleton->maps.flows), cases[i].flows);
	}
}

/* The peer's packet opens what the pod's then is an answer to. */
static void opens(struct harness *harness, struct frame request, struct frame answer)
{
	expect_drop(harness, &answer, EGRESS_DROP_POLICY);
	to_pod(harness, &request);
	expect_pass(harness, &answer);
}

/* The key of a flow has no room for all of an IPv6 address that it is to: of the last three the last byte is one. */
static void a_router_answers_for_each_of_its_addresses(void **state)
{
	static const char *const locals[][2] = {{"10.9.0.17", PEER},   {"10.9.1.17", PEER},   {"fd00:1::18", PEER6},
						{"fd00:1::17", PEER6}, {"fd00:2::17", PEER6}, {"fd00:3::17", PEER6}};
	struct harness *harness = *state;
	size_t count = sizeof(locals) / sizeof(locals[0]), i;
	struct frame frame;

	pod_put(harness, POD, EGRESS_ENDPOINT_ROUTER);
	for (i = 0; i < count; i++) {
		frame = error_about(locals[i][0], locals[i][1], locals[i][1], IPPROTO_TCP, 1000);
		expect_drop(harness, &frame, EGRESS_DROP_POLICY);
		assert_int_equal(share_of(harness, POD).beside, i == count - 1);
		opens(harness, tcp(locals[i][1], 1000, locals[i][0], 80, TCP_SYN),
		      tcp(locals[i][0], 80, locals[i][1], 1000, TCP_ACK));
		expect_pass(harness, &frame);
	}
	assert_int_equal(map_size(harness->skeleton->maps.flows), count - 2);
	assert_int_equal(map_size(harness->skeleton->maps.flows_beside), 2);
	/* Its own address is one among others, on whose key there is a flow as well. */
	opens(harness, tcp(PEER6, 1000, "fd00:9::2", 80, TCP_SYN), tcp("fd00:9::2", 80, PEER6, 1000, TCP_ACK));
	opens(harness, tcp(PEER6, 1000, "fd00::2", 80, TCP_SYN), tcp("fd00::2", 80, PEER6, 1000, TCP_ACK));
	assert_int_equal(map_size(harness->skeleton->maps.flows_beside), 3);
	/* The end of one is not that of another: here of the one that has the key, and of one beside. */
	for (i = count - 3; i < count - 1; i++) {
		frame = tcp(locals[i][0], 80, locals[i][1], 1000, TCP_RST);
		expect_pass(harness, &frame);
	}
	control(harness)->timeout_closing = 50;
	age_flows(harness, 60);
	for (i = 0; i < count; i++) {
		frame = tcp(locals[i][0], 80, locals[i][1], 1000, TCP_ACK);
		if (i == count - 3 || i == count - 2)
			expect_drop(harness, &frame, EGRESS_DROP_POLICY);
		else
			expect_pass(harness, &frame);
	}
	/* Each begins anew where it was. */
	for (i = count - 3; i < count - 1; i++)
		opens(harness, tcp(locals[i][1], 1000, locals[i][0], 80, TCP_SYN),
		      tcp(locals[i][0], 80, locals[i][1], 1000, TCP_ACK));
	assert_int_equal(map_size(harness->skeleton->maps.flows), count - 1);
	assert_int_equal(map_size(harness->skeleton->maps.flows_beside), 3);
	assert_int_equal(share_of(harness, POD).refused, 0);
}

/* Nor does what comes again and again take more than its own slot. */
static void flows_of_one_key_take_a_slot_each(void **state)
{
	struct harness *harness = *state;
	uint32_t i;

	pod_put(harness, POD, EGRESS_ENDPOINT_ROUTER);
	for (i = 0; i < 1000; i++) {
		char local[64];
		struct frame first, other;

		snprintf(local, sizeof(local), "fd00:%x::17", i % 10 + 1);
		first = udp(PEER6, 123, local, 123);
		other = udp(local, 123, PEER6, 123);
		to_pod(harness, &first);
		expect_pass(harness, &other);
	}
	assert_int_equal(map_size(harness->skeleton->maps.flows), 1);
	assert_int_equal(map_size(harness->skeleton->maps.flows_beside), 9);
	assert_int_equal(share_of(harness, POD).rings, 1);
	assert_int_equal(share_of(harness, POD).refused, 0);
}

/* A flow that is beside has a slot as others do, which is found again and makes room. */
static void flows_beside_stay_in_the_share(void **state)
{
	struct harness *harness = *state;
	struct frame established = tcp("fd00:ffff::17", 80, PEER6, 1000, TCP_ACK);
	uint32_t opening = EGRESS_FLOW_RINGS_OPENING * EGRESS_FLOW_RING_SLOTS, i;

	pod_put(harness, POD, EGRESS_ENDPOINT_ROUTER);
	opens(harness, tcp(PEER6, 1000, "fd00:ffff::17", 80, TCP_SYN), established);
	for (i = 0; i < 5000; i++) {
		char local[64];
		struct frame syn;

		snprintf(local, sizeof(local), "fd00:%x::17", i + 1);
		syn = tcp(PEER6, 1000, local, 80, TCP_SYN);
		to_pod(harness, &syn);
	}
	assert_in_range(map_size(harness->skeleton->maps.flows) + map_size(harness->skeleton->maps.flows_beside),
			opening / 2, 2 * opening);
	/* Those that made room had its key. */
	expect_pass(harness, &established);
	assert_in_range(share_of(harness, POD).rings, 1, EGRESS_FLOW_RINGS_OPENING + 1);
}

/* Opens one connection from each of `count` ports, up to `established`. */
static void open_many(struct harness *harness, const char *peer, uint32_t count, _Bool established)
{
	uint32_t port;

	for (port = 1; port <= count; port++) {
		struct frame syn = tcp(peer, port, "10.1.0.2", 80, TCP_SYN);
		struct frame data = tcp("10.1.0.2", 80, peer, port, TCP_ACK);

		to_pod(harness, &syn);
		if (established)
			assert_int_equal(from_pod(harness, &data), VERDICT_PASS);
	}
}

static uint32_t answered_of(struct harness *harness, const char *peer, uint32_t count)
{
	uint32_t port, passed = 0;

	for (port = 1; port <= count; port++) {
		struct frame data = tcp("10.1.0.2", 80, peer, port, TCP_ACK);

		passed += from_pod(harness, &data) == VERDICT_PASS;
	}
	return passed;
}

static void a_flood_stays_in_its_share(void **state)
{
	struct harness *harness = *state;
	uint32_t opening = EGRESS_FLOW_RINGS_OPENING * EGRESS_FLOW_RING_SLOTS;

	/* Connections of one pod, and established ones of the pod that is to be flooded. */
	pod_put(harness, OTHER_POD, 0);
	open_many(harness, PEER, 50, 0);
	pod_put(harness, POD, 0);
	open_many(harness, PEER, 100, 1);
	open_many(harness, "203.0.113.66", 20000, 0);
	/* The hundred live ones make the share grow a little beyond that. */
	assert_in_range(map_size(harness->skeleton->maps.flows), opening, 3 * opening);
	assert_int_equal(answered_of(harness, PEER, 100), 100);
	pod_put(harness, OTHER_POD, 0);
	assert_int_equal(answered_of(harness, PEER, 50), 50);
}

static void a_share_is_bounded(void **state)
{
	struct harness *harness = *state;
	uint32_t most = EGRESS_FLOW_RINGS_MAX * EGRESS_FLOW_RING_SLOTS, kept;
	struct egress_flow_share share;

	for (kept = 1; kept <= most + 1000; kept++) {
		struct frame syn = tcp(PEER, kept, "10.1.0.2", 80, TCP_SYN),
			     data = tcp("10.1.0.2", 80, PEER, kept, TCP_ACK);

		to_pod(harness, &syn);
		from_pod(harness, &data);
	}
	assert_true(map_size(harness->skeleton->maps.flows) <= most);
	share = share_of(harness, POD);
	assert_int_equal(share.rings, EGRESS_FLOW_RINGS_MAX);
	assert_true(share.refused >= 1000);
	/* Nobody was pushed out. */
	assert_int_equal(answered_of(harness, PEER, most + 1000), most + 1000 - share.refused);
	/* When they are over, their room is free again, without the agent. */
	age_flows(harness, TIMEOUT + 1);
	open_many(harness, "203.0.113.66", 1000, 1);
	assert_int_equal(answered_of(harness, "203.0.113.66", 1000), 1000);
}

/* Nothing is left for anybody but what each pod has of its own. */
static void exhaust_pool(struct harness *harness)
{
	int pool = bpf_map__fd(harness->skeleton->maps.flow_rings_pool);
	size_t size = bpf_map__value_size(harness->skeleton->maps.flow_rings_pool);
	struct egress_flow_ring_key key = {.endpoint = OTHER_POD};
	void *ring = calloc(1, size);

	assert_non_null(ring);
	for (key.ring = 0; !bpf_map_update_elem(pool, &key, ring, BPF_NOEXIST); key.ring++)
		;
	assert_true(key.ring > 100);
	free(ring);
}

static void a_flood_makes_room_where_no_ring_is_left(void **state)
{
	struct harness *harness = *state;
	uint32_t port;

	exhaust_pool(harness);
	open_many(harness, PEER, 50, 1);
	open_many(harness, "203.0.113.66", 2000, 0);
	assert_int_equal(answered_of(harness, PEER, 50), 50);
	/* Most of those that come then find one of the flood's slots, of which some are tried. */
	for (port = 1; port <= 50; port++) {
		struct frame syn = tcp("203.0.113.67", port, "10.1.0.2", 80, TCP_SYN),
			     data = tcp("10.1.0.2", 80, "203.0.113.67", port, TCP_ACK);

		to_pod(harness, &syn);
		from_pod(harness, &data);
	}
	assert_in_range(answered_of(harness, "203.0.113.67", 50), 30, 50);
}

/* A client may connect long before it has something to say. */
static void a_peer_may_be_silent_after_the_handshake(void **state)
{
	struct harness *harness = *state;
	struct frame syn = tcp(PEER, 1000, "10.1.0.2", 80, TCP_SYN), syn_ack = tcp("10.1.0.2", 80, PEER, 1000, TCP_SYN | TCP_ACK),
		     ack = tcp(PEER, 1000, "10.1.0.2", 80, TCP_ACK), data = tcp("10.1.0.2", 80, PEER, 1000, TCP_ACK);

	control(harness)->timeout_new = 5;
	to_pod(harness, &syn);
	expect_pass(harness, &syn_ack);
	to_pod(harness, &ack);
	age_flows(harness, 1000);
	expect_pass(harness, &data);
	assert_int_equal(only_flow(harness).state, EGRESS_FLOW_ESTABLISHED);
}

/* What is under way may be more than the window in which a FIN counts; nothing else comes of the connection then. */
static void a_fin_far_ahead_does_not_keep_the_flow(void **state)
{
	struct harness *harness = *state;
	struct frame acknowledgement = tcp("10.1.0.2", 80, PEER, 1000, TCP_ACK), fin = tcp(PEER, 1000, "10.1.0.2", 80, TCP_FIN | TCP_ACK),
		     own_fin = tcp("10.1.0.2", 80, PEER, 1000, TCP_FIN | TCP_ACK);

	control(harness)->timeout_closing = 50;
	handshake(harness, "10.1.0.2", PEER);
	frame_set16(&acknowledgement, acknowledgement.length - 12, 1);
	expect_pass(harness, &acknowledgement);
	frame_set16(&fin, fin.length - 16, 3); /* 128 KB ahead */
	to_pod(harness, &fin);
	assert_int_equal(only_flow(harness).flags & EGRESS_FLOW_FIN_REMOTE, 0);
	expect_pass(harness, &own_fin);
	expect_pass(harness, &acknowledgement);
	age_flows(harness, 60);
	expect_drop(harness, &acknowledgement, EGRESS_DROP_POLICY);
}

/* Of a peer that policy allows, the pod's FIN passes unseen. */
static void the_peers_fin_ends_what_is_not_seen(void **state)
{
	struct harness *harness = *state;
	struct frame syn = tcp("192.0.2.9", 443, "10.1.0.2", 80, TCP_SYN),
		     fin = tcp("192.0.2.9", 443, "10.1.0.2", 80, TCP_FIN | TCP_ACK),
		     data = tcp("10.1.0.2", 80, "192.0.2.9", 443, TCP_ACK);

	control(harness)->timeout_closing = 50;
	to_pod(harness, &syn);
	to_pod(harness, &fin);
	age_flows(harness, 60);
	set_word(harness, POD, EGRESS_SET_PENDING);
	expect_drop(harness, &data, EGRESS_DROP_PENDING);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(tcp_is_answered),
		TEST(tcp_is_answered_ipv6),
		TEST(longer_headers_are_the_same_flow),
		TEST(longer_headers_are_the_same_flow_udp),
		TEST(flows_are_looked_up_for_ports_that_were_opened),
		TEST(ports_are_opened_by_protocol),
		TEST(pings_open_one_port_all_together),
		TEST(pending_pods_answer),
		TEST(only_a_bare_syn_opens),
		TEST(a_syn_is_no_answer),
		TEST(fin_from_both_sides_ends),
		TEST(rst_ends_and_activity_does_not_prolong),
		TEST(a_syn_opens_anew_after_the_end),
		TEST(a_syn_leaves_a_live_connection_alone),
		TEST(expired_entries_answer_nothing),
		TEST(a_peer_may_be_silent_after_the_handshake),
		TEST(a_fin_far_ahead_does_not_keep_the_flow),
		TEST(the_peers_fin_ends_what_is_not_seen),
		TEST(a_flood_makes_room_where_no_ring_is_left),
		TEST(udp_is_answered),
		TEST(udp_is_answered_ipv6),
		TEST(sctp_is_answered),
		TEST(echo_is_answered),
		TEST(echo_is_answered_ipv6),
		TEST(what_policy_allows_leaves_no_entry),
		TEST(answers_survive_a_policy_change),
		TEST(flows_are_the_endpoints_own),
		TEST(open_pods_leave_no_flows),
		TEST(icmp_errors),
		TEST(icmp_errors_about_an_echo),
		TEST(a_forged_end_ends_nothing),
		TEST(a_port_used_again_is_a_new_connection),
		TEST(an_allowed_peers_port_used_again_is_a_new_connection),
		TEST(a_neighbouring_pod_asks_for_itself_only),
		TEST(a_router_answers_for_each_of_its_addresses),
		TEST(flows_of_one_key_take_a_slot_each),
		TEST(flows_beside_stay_in_the_share),
		TEST(a_flood_stays_in_its_share),
		TEST(a_share_is_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
