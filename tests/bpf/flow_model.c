// SPDX-License-Identifier: Apache-2.0
/*
 * Random sequences of packets in both directions, with time between them, through the program that is loaded and through
 * a model of who may answer what: the program may pass no answer that nobody asked for, and cut none that was.
 *
 * For FLOW_MODEL_SECONDS (6), seed FLOW_MODEL_SEED (the time). A difference prints its sequence's seed, and the sequence as
 * short as it can be made.
 *
 * Time is made by moving the time stamps of the entries back. Steps of time and time-outs are so far from each other that
 * what the test itself takes does not matter.
 */
#include <stdio.h>
#include <time.h>

#include "datapath/flow_tuple.h"

#include "harness.h"

#define SECONDS  6
#define LENGTH   48
#define TUPLES   96
#define UNIT     100000u /* jiffies; time passes in multiples of it, and time-outs are between two of them */
#define FLOOD    1500u
#define ACK      0xfffff000u /* the numbers wrap around */
#define BEYOND   0x70000u

static const uint16_t pods[] = {POD, OTHER_POD};
static const uint8_t protocols[] = {IPPROTO_TCP, IPPROTO_UDP, IPPROTO_SCTP, IPPROTO_ICMP};
/* Denied; allowed at one port; allowed. */
static const char *const peers[2][3] = {{"203.0.113.200", "192.0.2.9", "198.51.7.7"},
					{"2001:dead::9", "2001:db8::9", "2001:db8:100::7"}};
static const char *const pod_address[2] = {"10.1.0.2", "fd00::2"};

/* ------------------------------------------------------------------ what happens */

enum kind { TO_POD, FROM_POD, ERROR_FROM_POD, TIME, POLICY, SWEEP, FLOODED, KINDS };

struct step {
	enum kind kind;
	uint8_t tuple;
	uint8_t flags;   /* TCP */
	uint8_t variant; /* which numbers, how much time */
};

static uint64_t random_state;

static uint32_t draw(uint32_t below)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return (uint32_t)((random_state >> 11) % below);
}

static enum kind draw_kind(void)
{
	uint32_t of = draw(200);

	return of < 80 ? TO_POD : of < 160 ? FROM_POD : of < 167 ? ERROR_FROM_POD : of < 188 ? TIME : of < 193 ? POLICY
	       : of < 199 || draw(8) ? SWEEP : FLOODED;
}

/* Few tuples a sequence, so that much happens to each. */
static void draw_sequence(uint64_t seed, struct step steps[LENGTH])
{
	static const uint8_t flags[] = {TCP_SYN, TCP_SYN, TCP_SYN | TCP_ACK, TCP_ACK, TCP_ACK, TCP_FIN | TCP_ACK, TCP_RST,
					TCP_RST | TCP_ACK, TCP_FIN, 0, TCP_SYN | TCP_FIN, TCP_SYN | TCP_RST};
	uint8_t tuples[4];

	random_state = seed * 0x9e3779b97f4a7c15ull + 1;
	for (size_t i = 0; i < sizeof(tuples); i++)
		tuples[i] = (uint8_t)draw(TUPLES);
	tuples[1] = (uint8_t)((tuples[0] + TUPLES / 2) % TUPLES); /* the same of the other pod */
	for (size_t i = 0; i < LENGTH; i++)
		steps[i] = (struct step){.kind = draw_kind(),
					 .tuple = tuples[draw(sizeof(tuples))],
					 .flags = flags[draw(sizeof(flags))],
					 .variant = (uint8_t)draw(6)};
}

/* ------------------------------------------------------------------ the model */

/* One exchange that the peer began. Times are in the model's jiffies. */
struct exchange {
	bool begun;
	bool could_open;          /* when it began, the pod was allowed to send there anyway */
	bool answered, confirmed; /* by the pod; and after that by the peer, or shown by the pod to be so */
	bool pod_done, peer_done; /* FIN */
	bool over;
	bool told;                /* the pod has acknowledged something: */
	uint32_t acknowledged;
	uint64_t active;
	bool unsure;              /* its room may have been given to another one */
};

struct tuple {
	uint8_t pod;      /* index into pods */
	uint8_t protocol; /* IPPROTO_* of IPv4 */
	uint8_t six, peer;
	uint16_t port;    /* of the peer; ICMP: the identifier, and no port */
};

struct model {
	struct exchange exchanges[TUPLES];
	bool pending[2]; /* policy denies everything */
	bool crowded[2]; /* so many flows came that those not yet established make room */
	uint64_t now;
};

static struct tuple tuple_of(uint8_t number)
{
	static const uint16_t open_port[] = {443, 53, 5000, 7};
	struct tuple tuple = {.pod = number / (TUPLES / 2)};

	number %= TUPLES / 2;
	tuple.protocol = protocols[number % 4];
	tuple.six = number / 4 % 2;
	tuple.peer = number / 8 % 3;
	tuple.port = number / 24 ? open_port[number % 4] : 1000;
	return tuple;
}

static bool allowed(const struct model *model, const struct tuple *tuple)
{
	static const uint8_t any = 2, some = 1;

	if (model->pending[tuple->pod])
		return false;
	return tuple->peer == any || (tuple->peer == some && tuple->port != 1000 && tuple->protocol != IPPROTO_ICMP);
}

/* Whether it has ended as far as can be seen: where the pod could open it, its packets may not be. */
static bool ends(const struct exchange *exchange)
{
	return exchange->pod_done || (exchange->could_open && exchange->peer_done);
}

static uint64_t patience(const struct exchange *exchange, const struct tuple *tuple)
{
	if (tuple->protocol != IPPROTO_TCP)
		return exchange->confirmed ? 6 : 3;
	if (exchange->over || ends(exchange))
		return 2;
	return exchange->answered || exchange->could_open ? 10 : 1;
}

static bool alive(const struct model *model, const struct exchange *exchange, const struct tuple *tuple)
{
	return exchange->begun && model->now - exchange->active <= patience(exchange, tuple) * UNIT;
}

static void begin(struct model *model, uint8_t number, const struct tuple *tuple)
{
	for (size_t i = 0; i < TUPLES; i++) {
		struct exchange *other = &model->exchanges[i];

		if (i / (TUPLES / 2) == tuple->pod && (other->over || (model->crowded[tuple->pod] && !other->confirmed)))
			other->unsure = true;
	}
	model->exchanges[number] = (struct exchange){
		.begun = true, .active = model->now, .could_open = allowed(model, tuple)};
}

static void peer_sends_tcp(struct model *model, uint8_t number, const struct tuple *tuple, uint8_t flags,
			   uint32_t sequence)
{
	struct exchange *exchange = &model->exchanges[number];
	bool going = alive(model, exchange, tuple) && !exchange->over;

	if (flags == TCP_SYN && (!going || (exchange->could_open && ends(exchange))))
		begin(model, number, tuple);
	if (flags == TCP_SYN || !going || !(flags & (TCP_FIN | TCP_RST)))
		return;
	if (exchange->told && (uint32_t)(sequence - exchange->acknowledged) > 65536)
		return;
	exchange->active = model->now;
	exchange->peer_done |= (flags & TCP_FIN) != 0;
	exchange->over = flags & TCP_RST || (exchange->peer_done && exchange->pod_done);
}

static void peer_sends(struct model *model, uint8_t number, const struct tuple *tuple)
{
	struct exchange *exchange = &model->exchanges[number];

	if (allowed(model, tuple))
		return;
	if (!alive(model, exchange, tuple)) {
		begin(model, number, tuple);
		return;
	}
	exchange->active = model->now;
	exchange->confirmed |= exchange->answered;
}

/* Whether the pod's packet is to pass. */
static bool pod_sends(struct model *model, uint8_t number, const struct tuple *tuple, uint8_t flags, uint32_t acknowledged)
{
	struct exchange *exchange = &model->exchanges[number];
	bool begins;

	if (allowed(model, tuple))
		return true;
	if (!alive(model, exchange, tuple))
		return false;
	if (tuple->protocol != IPPROTO_TCP) {
		exchange->active = model->now;
		exchange->answered = true;
		return true;
	}
	if ((flags & (TCP_SYN | TCP_ACK)) == TCP_SYN)
		return false;
	if (exchange->over)
		return true;
	/* A FIN from before the pod answers the SYN is none of this connection. */
	begins = flags & TCP_SYN && !(flags & TCP_FIN) && (!exchange->answered || ends(exchange));
	exchange->active = model->now;
	if (flags & TCP_ACK) {
		exchange->told = true;
		exchange->acknowledged = acknowledged;
	}
	exchange->pod_done |= (flags & TCP_FIN) != 0;
	exchange->answered = true;
	if (flags & TCP_RST || (exchange->pod_done && exchange->peer_done))
		exchange->over = true;
	else if (!(flags & TCP_SYN))
		exchange->confirmed = true;
	else if (begins)
		exchange->pod_done = exchange->peer_done = exchange->confirmed = false;
	return true;
}

/* ------------------------------------------------------------------ the program */

static uint32_t policy_word; /* the set word of both pods */
static uint8_t owner;        /* of the interface: an index into pods */

static void own_interface(struct harness *harness, uint8_t pod)
{
	if (owner == pod)
		return;
	pod_put(harness, pods[pod], 0);
	owner = pod;
}

static struct egress_flow_key key_of(const struct tuple *tuple)
{
	bool echo = tuple->protocol == IPPROTO_ICMP;
	struct flow_tuple full = {
		.endpoint = pods[tuple->pod],
		.protocol = echo && tuple->six ? IPPROTO_ICMPV6 : tuple->protocol,
		.family = tuple->six ? 6 : 4,
		.local_port = htons(echo ? tuple->port : 80),
		.remote_port = htons(echo ? 0 : tuple->port),
	};

	inet_pton(tuple->six ? AF_INET6 : AF_INET, pod_address[tuple->six], full.local);
	inet_pton(tuple->six ? AF_INET6 : AF_INET, peers[tuple->six][tuple->peer], full.remote);
	return flow_tuple_name(&full).key;
}

static struct frame frame_of(const struct tuple *tuple, bool to, uint8_t flags, uint32_t sequence, uint32_t acknowledged)
{
	const char *peer = peers[tuple->six][tuple->peer], *pod = pod_address[tuple->six];
	const char *from = to ? peer : pod, *destination = to ? pod : peer;
	uint16_t source_port = to ? tuple->port : 80, port = to ? 80 : tuple->port;
	struct frame frame;

	switch (tuple->protocol) {
	case IPPROTO_UDP:
		return udp(from, source_port, destination, port);
	case IPPROTO_SCTP:
		return sctp(from, source_port, destination, port);
	case IPPROTO_ICMP:
		return icmp(from, destination, tuple->six ? (to ? 128 : 129) : (to ? 8 : 0), 0, tuple->port);
	}
	frame = tcp(from, source_port, destination, port, flags);
	sequence = htonl(sequence);
	acknowledged = htonl(acknowledged);
	memcpy(frame.bytes + frame.length - 16, &sequence, 4);
	memcpy(frame.bytes + frame.length - 12, &acknowledged, 4);
	return frame;
}

/* An error about the tuple's packet towards the pod. */
static struct frame error_of(const struct tuple *tuple)
{
	struct frame quoted = frame_of(tuple, true, TCP_SYN, 0, 0), frame;

	frame_ip(&frame, pod_address[tuple->six], peers[tuple->six][tuple->peer],
		 tuple->six ? IPPROTO_ICMPV6 : IPPROTO_ICMP);
	frame_icmp(&frame, tuple->six ? 1 : 3, tuple->six ? 4 : 3, 0);
	frame_add(&frame, quoted.bytes + ETH_HLEN, quoted.length - ETH_HLEN);
	frame_end(&frame);
	return frame;
}

static int flow_map(struct harness *harness)
{
	return bpf_map__fd(harness->skeleton->maps.flows);
}

/* ------------------------------------------------------------------ both */

static void pass_time(struct harness *harness, struct model *model, uint8_t variant)
{
	static const uint64_t units[] = {1, 1, 2, 4, 7, 11};

	model->now += units[variant] * UNIT;
	/* Of what the model does not know there is nothing, or it passes before long. */
	for (uint8_t i = 0; i < TUPLES; i++) {
		const struct tuple tuple = tuple_of(i);
		struct egress_flow_key key = key_of(&tuple);
		struct egress_flow flow;

		if (!model->exchanges[i].begun || bpf_map_lookup_elem(flow_map(harness), &key, &flow))
			continue;
		flow.seen -= units[variant] * UNIT;
		assert_int_equal(bpf_map_update_elem(flow_map(harness), &key, &flow, BPF_EXIST), 0);
	}
}

static void change_policy(struct harness *harness, struct model *model, uint8_t pod)
{
	model->pending[pod] = !model->pending[pod];
	set_word(harness, pods[pod], model->pending[pod] ? EGRESS_SET_PENDING : policy_word);
}

/* As the agent does: what is over by time goes. */
static void sweep(struct harness *harness, struct model *model)
{
	for (uint8_t i = 0; i < TUPLES; i++) {
		const struct tuple tuple = tuple_of(i);
		struct egress_flow_key key = key_of(&tuple);

		if (model->exchanges[i].begun && !alive(model, &model->exchanges[i], &tuple))
			bpf_map_delete_elem(flow_map(harness), &key);
	}
}

static void flood(struct harness *harness, struct model *model, const struct tuple *tuple)
{
	own_interface(harness, tuple->pod);
	for (uint32_t i = 0; i < FLOOD; i++) {
		struct frame frame = tuple->protocol == IPPROTO_UDP ? udp("203.0.113.66", 2000 + i, "10.1.0.2", 80)
								    : tcp("203.0.113.66", 2000 + i, "10.1.0.2", 80, TCP_SYN);

		to_pod(harness, &frame);
	}
	model->crowded[tuple->pod] = true;
	for (size_t i = 0; i < TUPLES; i++)
		if (i / (TUPLES / 2) == tuple->pod && (model->exchanges[i].over || !model->exchanges[i].confirmed))
			model->exchanges[i].unsure = true;
}

/* Where both are right, what the program did is what goes on. */
static void make_sure(struct harness *harness, struct model *model, uint8_t number, const struct tuple *tuple)
{
	struct exchange *exchange = &model->exchanges[number];
	struct egress_flow_key key = key_of(tuple);
	struct egress_flow flow;

	if (!exchange->unsure)
		return;
	exchange->unsure = false;
	if (bpf_map_lookup_elem(flow_map(harness), &key, &flow))
		exchange->begun = false;
}

static const uint32_t sequences[] = {ACK + 20, ACK - 1, ACK + BEYOND + 20, ACK, ACK + 65536, ACK + 65537};

/* Whether the program did what the model says; *passed: what it did to a packet of the pod's. */
static bool packet(struct harness *harness, struct model *model, const struct step *step, bool *passed)
{
	const struct tuple tuple = tuple_of(step->tuple);
	uint32_t sequence = sequences[step->variant], acknowledged = step->variant & 1 ? ACK + BEYOND : ACK;
	struct frame frame = step->kind == ERROR_FROM_POD
				     ? error_of(&tuple)
				     : frame_of(&tuple, step->kind == TO_POD, step->flags, sequence, acknowledged);
	bool expected;

	own_interface(harness, tuple.pod);
	make_sure(harness, model, step->tuple, &tuple);
	if (step->kind == TO_POD) {
		to_pod(harness, &frame);
		if (tuple.protocol == IPPROTO_TCP)
			peer_sends_tcp(model, step->tuple, &tuple, step->flags, sequence);
		else
			peer_sends(model, step->tuple, &tuple);
		return true;
	}
	/* To some peers the pod may send errors as it may send everything. */
	if (step->kind == ERROR_FROM_POD)
		expected = allowed(model, &tuple) || alive(model, &model->exchanges[step->tuple], &tuple);
	else
		expected = pod_sends(model, step->tuple, &tuple, step->flags, acknowledged);
	*passed = from_pod(harness, &frame) == VERDICT_PASS;
	return *passed == expected;
}

/* A share holds for whatever comes. */
static bool shares_hold(struct harness *harness)
{
	for (size_t i = 0; i < 2; i++) {
		struct egress_flow_share share;
		uint32_t id = pods[i];

		assert_int_equal(bpf_map_lookup_elem(bpf_map__fd(harness->skeleton->maps.flow_shares), &id, &share), 0);
		if (share.rings > EGRESS_FLOW_RINGS_OPENING + 1)
			return false;
	}
	return !map_size(harness->skeleton->maps.flows_beside) &&
	       map_size(harness->skeleton->maps.flows) <= 2 * (EGRESS_FLOW_RINGS_OPENING + 1) * EGRESS_FLOW_RING_SLOTS;
}

/* A walk through the whole map would take longer than the sequence. */
static void forget(struct harness *harness, const struct model *model)
{
	const struct egress_flow_share nothing = {};

	if (model->crowded[0] || model->crowded[1])
		hash_clear(flow_map(harness), sizeof(struct egress_flow_key));
	for (uint8_t i = 0; i < TUPLES; i++) {
		const struct tuple tuple = tuple_of(i);
		struct egress_flow_key key = key_of(&tuple);

		bpf_map_delete_elem(flow_map(harness), &key);
	}
	for (size_t i = 0; i < 2; i++) {
		uint32_t id = pods[i];

		bpf_map_update_elem(bpf_map__fd(harness->skeleton->maps.flow_shares), &id, &nothing, BPF_ANY);
		for (uint32_t ring = 0; ring < EGRESS_FLOW_RINGS_OPENING + 2; ring++) {
			struct egress_flow_ring_key key = {id, ring};

			bpf_map_delete_elem(bpf_map__fd(harness->skeleton->maps.flow_rings_own), &key);
			bpf_map_delete_elem(bpf_map__fd(harness->skeleton->maps.flow_rings_pool), &key);
		}
		set_word(harness, id, policy_word);
	}
}

static bool take_step(struct harness *harness, struct model *model, const struct step *step, bool *passed)
{
	const struct tuple tuple = tuple_of(step->tuple);

	switch (step->kind) {
	case TIME:
		pass_time(harness, model, step->variant);
		return true;
	case POLICY:
		change_policy(harness, model, tuple.pod);
		return true;
	case SWEEP:
		sweep(harness, model);
		return true;
	case FLOODED:
		flood(harness, model, &tuple);
		return shares_hold(harness);
	default:
		return packet(harness, model, step, passed);
	}
}

/* The number of steps that went as they should; `passed` as in packet(), of the last one. */
static size_t run(struct harness *harness, const struct step *steps, size_t count, bool *passed)
{
	struct model model = {.now = 100 * UNIT};
	size_t i = 0;

	while (i < count && take_step(harness, &model, &steps[i], passed))
		i++;
	forget(harness, &model);
	return i;
}

/* ------------------------------------------------------------------ differences */

/* Leaves out what the difference does not need; the last step is where it shows. */
static size_t shrink(struct harness *harness, struct step *steps, size_t count)
{
	bool passed;

	for (size_t i = 0; i + 1 < count;) {
		struct step without[LENGTH];

		memcpy(without, steps, i * sizeof(*steps));
		memcpy(without + i, steps + i + 1, (count - i - 1) * sizeof(*steps));
		if (run(harness, without, count - 1, &passed) < count - 1) {
			count = run(harness, without, count - 1, &passed) + 1;
			memcpy(steps, without, count * sizeof(*steps));
			i = 0;
		} else {
			i++;
		}
	}
	return count;
}

static void print_step(const struct step *step)
{
	static const char *const kinds[KINDS] = {"to pod", "from pod", "error from pod", "time", "policy changes", "sweep",
						 "flood"};
	static const char *const names[] = {"TCP", "UDP", "SCTP", "echo"};
	const struct tuple tuple = tuple_of(step->tuple);

	print_message("#   %-14s pod %u, %s, peer %s port %u, flags %#04x, variant %u\n", kinds[step->kind],
		      pods[tuple.pod], names[step->tuple % (TUPLES / 2) % 4], peers[tuple.six][tuple.peer], tuple.port,
		      step->flags, step->variant);
}

static void report(struct harness *harness, uint64_t seed, struct step *steps, size_t failed)
{
	size_t count = shrink(harness, steps, failed + 1);
	bool passed = false;

	run(harness, steps, count, &passed);
	print_message("# FLOW_MODEL_SEED=%llu: the last packet %s, and should not have:\n", (unsigned long long)seed,
		      passed ? "passed" : "was dropped");
	for (size_t i = 0; i < count; i++)
		print_step(&steps[i]);
}

static uint64_t setting(const char *name, uint64_t otherwise)
{
	const char *text = getenv(name);

	return text && *text ? strtoull(text, NULL, 10) : otherwise;
}

static void the_program_does_what_the_model_says(void **state)
{
	uint64_t seed = setting("FLOW_MODEL_SEED", (uint64_t)time(NULL) * 1000000), sequences_run = 0;
	time_t end = time(NULL) + (time_t)setting("FLOW_MODEL_SECONDS", SECONDS);
	struct harness *harness = *state;

	control(harness)->timeout_new = UNIT + UNIT / 2;
	control(harness)->timeout_closing = 2 * UNIT + UNIT / 2;
	control(harness)->timeout_udp_new = 3 * UNIT + UNIT / 2;
	control(harness)->timeout_udp = 6 * UNIT + UNIT / 2;
	control(harness)->timeout_established = 10 * UNIT + UNIT / 2;
	policy_word = harness->words[control(harness)->bank[0].sets + POD];
	owner = 0;
	do {
		struct step steps[LENGTH];
		bool passed = false;
		size_t good;

		draw_sequence(seed, steps);
		good = run(harness, steps, LENGTH, &passed);
		if (good < LENGTH) {
			report(harness, seed, steps, good);
			fail();
		}
		seed++;
		sequences_run++;
	} while (time(NULL) < end);
	print_message("# %llu sequences of %d steps, seeds up to %llu\n", (unsigned long long)sequences_run, LENGTH,
		      (unsigned long long)seed - 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(the_program_does_what_the_model_says, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
