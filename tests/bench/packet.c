/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Nanoseconds a packet with BPF_PROG_TEST_RUN: `packet [quick|smoke]`, in a sandbox. For every list of prefixes and every
 * number of destinations all programs run in turn, for IPv4 and IPv6, round after round; a figure is the median of the rounds.
 * A machine whose processors are shared is faster and slower from one millisecond to the next: so a program runs in slices
 * of less than that, each followed by one of the empty program, and what is compared are multiples of that. Time is the
 * thread's own, so that what else runs does not count. `quick` measures the designs of peers with IPv4 alone.
 *
 * That each program did what its figure claims is checked: by its verdict, and egressd's by its counters.
 */
#define _GNU_SOURCE /* sched_setaffinity() */
#include <arpa/inet.h>
#include <sched.h>
#include <sys/mman.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "base/cleanup.h"
#include "datapath/flow_tuple.h"
#include "datapath/table_maps.h"
#include "destinations.h"
#include "result.h"
#include "tests/bench/egressd.skel.h"
#include "tests/bench/peers.skel.h"
#include "world.h"

#include "../bpf/frame.h"

#define POD          1
#define LOOPBACK     1 /* the device that BPF_PROG_TEST_RUN gives a packet */
#define VERDICT_PASS ((uint32_t)-1)
#define VERDICT_DROP 2u
#define DESTINATIONS_MAX 100000
#define WALK_BYTES       ((size_t)DESTINATIONS_MAX * sizeof(struct bench_destination))
#define PORT           443   /* of the destinations */
#define POD_PORT       40000 /* of the pod, which connections are made to */
#define POD_OTHER_PORT 40001
#define ROUNDS_MAX   15
#define CALLS        51
#define CPUS_MAX     1024
#define PASSES_MAX   20
#define TIMEOUT      (1u << 30)

enum destinations { TO_ALLOWED, TO_DENIED, TO_KINDS };

/* Has the layouts of peers.bpf.c. */
struct peer_prefix {
	uint32_t length, address[4];
};
struct peer_ports {
	struct {
		uint16_t first, last;
		uint8_t protocol, used;
	} entry[24];
};
struct peer_policy_key {
	uint32_t identity;
	uint16_t port;
	uint8_t protocol, padding;
};
#define PEER_IDENTITY 7
#define PEER_ANSWERS  0xffff /* zone of the connections that the pod answers in */

struct bench {
	struct egressd *egressd;
	struct peers *peers;
	struct tables *tables;
	struct policy *policy;
	struct list list;
	struct table_maps table_maps;
	uint32_t *words; /* of them */
	size_t word_count;
	struct bench_destination *destinations[TO_KINDS], *walk;
	size_t rounds, slices, repeat_few, repeat_many;
	bool peers_of_ipv4; /* the designs that peers use are measured with IPv4 alone */
	double call; /* what a run takes besides its packets, in nanoseconds */
	struct bench_walk base_walk; /* the empty program's between slices of others, which have the same variable */
	uint32_t zone; /* of the peers' connections, but those that the pod answers in */
	uint32_t isolated; /* the set word of the pod, as compiled */
	struct egress_endpoint endpoint;
};

#define FAMILIES 2

enum kind {
	KIND_EGRESSD,
	KIND_BASE, /* what the others are compared with; it lies with the peers' programs */
	KIND_PEER,
};

/* One measured program on one path. */
struct subject {
	const char *name, *path;
	enum kind kind;
	int fd;
	enum destinations to;
	bool swap, first, open_pod;
	bool flows; /* it finds the flow, or connection, of each destination in its table, and not by its address */
	bool other_port; /* the pod has flows, but the packet comes from another port than they do */
	bool served;     /* to that port, too, others have connected before: the packet's flow is looked up, in vain */
	uint32_t verdict;
	double times[ROUNDS_MAX];
	double base_times[ROUNDS_MAX]; /* the empty program's, in slices between; none of that one itself */
};

static void die_on(int error, const char *what)
{
	bench_check(!error, "%s: %s", what, strerror(error < 0 ? -error : error));
}

/* ------------------------------------------------------------------ egressd's side */

static void load_egressd(struct bench *bench, size_t words)
{
	uint32_t chunks = (uint32_t)((words + EGRESS_CHUNK_WORDS - 1) / EGRESS_CHUNK_WORDS);
	struct egressd *skeleton = egressd__open();

	bench_check(skeleton != NULL, "cannot open the programs");
	die_on(table_maps_create(&bench->table_maps, skeleton->obj, chunks, true), "make tables");
	bpf_map__set_max_entries(skeleton->maps.drop_log,
				 (uint32_t)libbpf_num_possible_cpus() * EGRESS_DROP_LOG_RECORDS);
	die_on(egressd__load(skeleton), "load egressd");
	die_on(table_maps_map(&bench->table_maps, false), "map the tables");
	bench->word_count = bench->table_maps.word_count;
	bench->words = bench->table_maps.memory;
	bench->egressd = skeleton;
}

static void write_tables(struct bench *bench)
{
	struct egress_control *control;

	die_on(tables_new(bench->words, bench->word_count, &bench->tables), "tables");
	control = (struct egress_control *)bench->words;
	control->hz = 250;
	control->timeout_new = control->timeout_established = control->timeout_closing = TIMEOUT;
	control->timeout_udp_new = control->timeout_udp = TIMEOUT;
	die_on(tables_write(bench->tables, bench->policy, 1), "write tables");
	tables_assign(bench->tables, POD, "n0", "pod");
	tables_publish(bench->tables);
}

static void put_endpoint(struct bench *bench)
{
	uint32_t bucket = LOOPBACK;

	bench->endpoint = (struct egress_endpoint){.ifindex = LOOPBACK, .id = POD, .ipv4 = ipv4("10.1.0.2")};
	ipv6("fd00::2", bench->endpoint.ipv6);
	die_on(bpf_map_update_elem(bpf_map__fd(bench->egressd->maps.endpoints), &bucket, &bench->endpoint, BPF_ANY),
	       "endpoint");
}

/* Set word of the pod: isolated as compiled, or open. */
static void set_open(struct bench *bench, bool open)
{
	const struct egress_control *control = (const struct egress_control *)bench->words;
	uint32_t *word = &bench->words[control->bank[control->active].sets + POD];

	if (*word != EGRESS_SET_OPEN)
		bench->isolated = *word;
	*word = open ? EGRESS_SET_OPEN : bench->isolated;
}

/* To which ports of the pod anybody ever opened a flow: of others none is looked up. */
static void set_share(struct bench *bench, const struct subject *subject)
{
	struct egress_flow_share share = {};
	uint32_t id = POD;

	if (subject->flows || subject->other_port)
		share.opened[egress_flow_port(IPPROTO_TCP, htons(POD_PORT))] = 1;
	if (subject->served)
		share.opened[egress_flow_port(IPPROTO_TCP, htons(POD_OTHER_PORT))] = 1;
	die_on(bpf_map_update_elem(bpf_map__fd(bench->egressd->maps.flow_shares), &id, &share, BPF_ANY), "share");
}

/*
 * An entry for every denied destination, as if each had opened a connection to the pod's port 40000. Once for a list, as the
 * peers' connections are made once and then only found. From the last to the first: those that all walks begin with are
 * the newest, and first in their chains, as the peers' are.
 */
static void put_flows(struct bench *bench, size_t count)
{
	/* Last seen in the future: the first packet sets it right. */
	struct egress_flow flow = {.state = EGRESS_FLOW_ESTABLISHED, .seen = 1ull << 40};
	int fd = bpf_map__fd(bench->egressd->maps.flows);

	while (count--) {
		struct flow_tuple tuple = {.endpoint = POD, .protocol = IPPROTO_TCP,
					   .family = (uint8_t)bench->list.family,
					   .local_port = htons(POD_PORT), .remote_port = htons(PORT)};
		struct egress_flow_name name;

		if (bench->list.family == 4)
			tuple.local[0] = bench->endpoint.ipv4;
		else
			memcpy(tuple.local, bench->endpoint.ipv6, sizeof(tuple.local));
		memcpy(tuple.remote, bench->destinations[TO_DENIED][count].address, sizeof(tuple.remote));
		name = flow_tuple_name(&tuple);
		memcpy(flow.local, name.local, sizeof(flow.local));
		die_on(bpf_map_update_elem(fd, &name.key, &flow, BPF_ANY), "flow");
	}
}

/* Over all processors; what counts packets comes first in a counter, or is all of it. */
static uint64_t counted(struct bpf_map *map, uint32_t index)
{
	uint64_t values[CPUS_MAX * sizeof(struct egress_counter) / sizeof(uint64_t)], sum = 0;
	size_t words = bpf_map__value_size(map) / sizeof(*values);
	int cpus = libbpf_num_possible_cpus(), cpu;

	bench_check(cpus <= CPUS_MAX, "%d possible processors", cpus);
	bench_check(bpf_map__value_size(map) <= sizeof(struct egress_counter), "a counter of %u bytes",
		    bpf_map__value_size(map));
	die_on(bpf_map_lookup_elem(bpf_map__fd(map), &index, values), "counter");
	for (cpu = 0; cpu < cpus; cpu++)
		sum += values[(size_t)cpu * words];
	return sum;
}

/* ------------------------------------------------------------------ the peers' side */

static bool with_peers(const struct bench *bench)
{
	return !bench->peers_of_ipv4 || bench->list.family == 4;
}

static void share_destinations(struct bench *bench)
{
	die_on(bpf_map__reuse_fd(bench->peers->maps.bench_destinations,
				 bpf_map__fd(bench->egressd->maps.bench_destinations)), "share destinations");
}

static void fill_trie(struct bench *bench, struct bpf_map *map, const void *value)
{
	size_t i;

	for (i = 0; i < bench->list.count; i++) {
		const struct ip_prefix *prefix = &bench->list.prefixes[i];
		struct peer_prefix key = {.length = prefix->length};

		memcpy(key.address, prefix->address.bytes, sizeof(key.address));
		die_on(bpf_map_update_elem(bpf_map__fd(map), &key, value, BPF_ANY), "peer's trie");
	}
}

static void load_peers(struct bench *bench)
{
	struct peer_policy_key key = {.identity = PEER_IDENTITY, .port = htons(PORT), .protocol = IPPROTO_TCP};
	struct peer_ports ports = {.entry[0] = {.first = PORT, .last = PORT, .protocol = IPPROTO_TCP, .used = 1}};
	uint32_t identity = PEER_IDENTITY, one = 1;

	bench->peers = peers__open();
	bench_check(bench->peers != NULL, "cannot open the peers' programs");
	share_destinations(bench);
	die_on(peers__load(bench->peers), "load the peers");
	if (!with_peers(bench))
		return;
	fill_trie(bench, bench->peers->maps.bench_pod_trie, &ports);
	fill_trie(bench, bench->peers->maps.bench_identities, &identity);
	die_on(bpf_map_update_elem(bpf_map__fd(bench->peers->maps.bench_policy), &key, &one, BPF_ANY),
	       "peer's policy");
}

/* ------------------------------------------------------------------ destinations */

static bool allowed(struct bench *bench, const struct ip_address *address)
{
	const struct table_view view = {.words = bench->words, .word_count = bench->word_count};
	struct table_verdict verdict;

	die_on(tables_verdict(&view, POD, address, IPPROTO_TCP, PORT, &verdict), "verdict");
	return verdict.allow;
}

/* An address in one of the prefixes, or one near them that none holds. */
static struct ip_address draw(struct bench *bench, enum destinations kind, uint64_t *random)
{
	for (;;) {
		struct ip_prefix prefix =
			bench->list.prefixes[list_random_below(random, (uint32_t)bench->list.count)];
		unsigned int keep = kind == TO_ALLOWED ? prefix.length : bench->list.family == 4 ? 12 : 36;

		list_fill_host(&prefix.address, keep, random);
		if (allowed(bench, &prefix.address) == (kind == TO_ALLOWED))
			return prefix.address;
	}
}

static void draw_destinations(struct bench *bench)
{
	enum destinations kind;
	uint64_t random = 42;
	size_t i;

	for (kind = 0; kind < TO_KINDS; kind++) {
		bench->destinations[kind] = calloc(DESTINATIONS_MAX, sizeof(struct bench_destination));
		bench_check(bench->destinations[kind] != NULL, "no memory");
		for (i = 0; i < DESTINATIONS_MAX; i++) {
			struct ip_address address = draw(bench, kind, &random);

			memcpy(bench->destinations[kind][i].address, address.bytes, sizeof(address.bytes));
		}
	}
}

static void map_walk(struct bench *bench)
{
	bench->walk = mmap(NULL, WALK_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED,
			   bpf_map__fd(bench->egressd->maps.bench_destinations), 0);
	bench_check(bench->walk != MAP_FAILED, "cannot map the destinations");
}

static void aim(struct bench *bench, enum destinations kind, size_t count)
{
	memcpy(bench->walk, bench->destinations[kind], count * sizeof(*bench->walk));
}

/*
 * The first `count` of the walk in a random order. A connection table's entries lie in memory in the order in which they
 * were made; packets that come in that same order find the next entry fetched already, which those of real connections do
 * not.
 */
static void shuffle_walk(struct bench *bench, size_t count)
{
	static uint64_t random = 43;

	for (; count > 1; count--) {
		struct bench_destination *last = &bench->walk[count - 1], *other;
		struct bench_destination moved = *last;

		other = &bench->walk[list_random_below(&random, (uint32_t)count)];
		*last = *other;
		*other = moved;
	}
}

/* ------------------------------------------------------------------ running */

static struct frame frame_of(unsigned int family, const struct subject *subject)
{
	const char *pod = family == 4 ? "10.1.0.2" : "fd00::2", *other = family == 4 ? "192.0.2.1" : "2001:db8::1";
	uint16_t port = subject->other_port ? POD_OTHER_PORT : POD_PORT;

	if (subject->swap)
		return tcp(other, PORT, pod, port, subject->first ? TCP_SYN : TCP_ACK);
	return tcp(pod, port, other, PORT, TCP_ACK);
}

static void start_walk(struct bench *bench, const struct subject *subject, size_t destinations)
{
	/* Each object has its own. */
	struct bench_walk *walk = subject->kind == KIND_EGRESSD ? &bench->egressd->data->bench_walk :
								  &bench->peers->data->bench_walk;

	*walk = (struct bench_walk){
		.length = (uint32_t)destinations,
		.family = bench->list.family,
		.swap = subject->swap,
		.open = subject->first,
	};
}

/* Nanoseconds of the thread's time, of all packets. */
static double run(const struct subject *subject, const struct frame *frame, size_t repeat)
{
	LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = frame->bytes, .data_size_in = frame->length,
		    .repeat = (int)repeat);
	double begin, end;
	int error;

	bench_insist();
	begin = clock_seconds(CLOCK_THREAD_CPUTIME_ID);
	error = bpf_prog_test_run_opts(subject->fd, &options);
	end = clock_seconds(CLOCK_THREAD_CPUTIME_ID);
	bench_yield();
	die_on(error, "run");
	bench_check(options.retval == subject->verdict, "%s, %s: verdict %u instead of %u", subject->name, subject->path,
		    options.retval, subject->verdict);
	return (end - begin) * 1e9;
}

static bool all_found(uint64_t found, uint64_t packets)
{
	/* New connections take the places of some, whatever is done. */
	return found >= packets - packets / 50;
}

/*
 * Connection tables and caches as they are in the middle of traffic. A peer's table, which is full, keeps the connections
 * that answers are sent in when they have been used.
 */
static void warm_up(struct bench *bench, const struct subject *subject, const struct frame *frame, size_t destinations)
{
	size_t repeat = destinations == 1 ? 1000 : destinations;
	uint64_t found;
	int pass = 0;

	do {
		found = counted(bench->peers->maps.bench_counters, 0);
		run(subject, frame, repeat);
		found = counted(bench->peers->maps.bench_counters, 0) - found;
	} while (subject->kind == KIND_PEER && subject->flows && !all_found(found, repeat) && ++pass < PASSES_MAX);
}

/* The peers' answers: the connections were there. */
static void check_found(const struct subject *subject, uint64_t found, uint64_t packets)
{
	bench_check(!subject->flows || all_found(found, packets), "%s, %s: of %lu packets %lu were found", subject->name,
		    subject->path, packets, found);
}

/* What was opened to the pod got an entry. */
static void check_opened(struct bench *bench, const struct subject *subject)
{
	struct egress_flow_share share;
	uint32_t id = POD;

	if (!subject->swap || !subject->first)
		return;
	die_on(bpf_map_lookup_elem(bpf_map__fd(bench->egressd->maps.flow_shares), &id, &share), "share");
	bench_check(share.rings && !share.refused, "%s, %s: %u rings, %u flows refused", subject->name, subject->path,
		    share.rings, share.refused);
}

/* egressd's programs from the pod count every packet, under the right heading. */
static void check_counted(struct bench *bench, const struct subject *subject, uint64_t passed, uint64_t dropped,
			  uint64_t packets)
{
	uint64_t passed_now = counted(bench->egressd->maps.allowed, POD) - passed;
	uint64_t dropped_now = counted(bench->egressd->maps.dropped,
				       POD * EGRESS_DROP_REASON_SLOTS + EGRESS_DROP_POLICY) - dropped;
	bool denies = subject->verdict == VERDICT_DROP;

	if (subject->kind != KIND_EGRESSD || subject->swap)
		return;
	bench_check(passed_now == (denies ? 0 : packets) && dropped_now == (denies ? packets : 0),
		    "%s, %s: of %lu packets %lu were counted as allowed and %lu as denied", subject->name, subject->path,
		    packets, passed_now, dropped_now);
}

/* New connections of the peers' from here on: the zone is part of every one's key. */
static void set_zone(struct bench *bench, const struct subject *subject)
{
	bench->peers->bss->bench_zone = subject->flows ? PEER_ANSWERS : bench->zone;
	bench->peers->bss->bench_admit = subject->flows;
}

static void prepare(struct bench *bench, const struct subject *subject, size_t destinations)
{
	aim(bench, subject->to, destinations);
	set_open(bench, subject->open_pod);
	set_share(bench, subject);
	set_zone(bench, subject);
	start_walk(bench, subject, destinations);
	bench->base_walk = (struct bench_walk){.length = (uint32_t)destinations, .family = bench->list.family};
}

static double run_base(struct bench *bench, const struct subject *base, const struct frame *frame, size_t repeat)
{
	struct bench_walk *walk = &bench->peers->data->bench_walk, subjects = *walk;
	double time;

	*walk = bench->base_walk;
	time = run(base, frame, repeat);
	bench->base_walk = *walk;
	*walk = subjects;
	return time;
}

/* Nanoseconds a packet in this round, also of the empty program unless it is the one. */
static void run_slices(struct bench *bench, struct subject *subject, const struct frame *frame, const struct subject *base,
		       size_t repeat, size_t round)
{
	struct frame base_frame = frame_of(bench->list.family, base);
	double time = 0, base_time = 0;
	size_t slice;

	for (slice = 0; slice < bench->slices; slice++) {
		time += run(subject, frame, repeat / bench->slices) - bench->call;
		if (subject != base)
			base_time += run_base(bench, base, &base_frame, repeat / bench->slices) - bench->call;
	}
	subject->times[round] = time / (double)repeat;
	subject->base_times[round] = base_time / (double)repeat;
}

static void measure(struct bench *bench, struct subject *subject, const struct subject *base, size_t destinations,
		    size_t round)
{
	struct frame frame = frame_of(bench->list.family, subject);
	size_t repeat = destinations > 10000 ? bench->repeat_many : bench->repeat_few;
	uint64_t passed, dropped, found;

	/* The source ports of new connections are 16 bits: no more of them, so that each is new. */
	if (subject->first && repeat > 60000)
		repeat = 60000;
	prepare(bench, subject, destinations);
	warm_up(bench, subject, &frame, destinations);
	shuffle_walk(bench, destinations);
	if (subject->first) {
		bench->zone++;
		set_zone(bench, subject);
	}
	passed = counted(bench->egressd->maps.allowed, POD);
	dropped = counted(bench->egressd->maps.dropped, POD * EGRESS_DROP_REASON_SLOTS + EGRESS_DROP_POLICY);
	found = counted(bench->peers->maps.bench_counters, 0);
	run_slices(bench, subject, &frame, base, repeat, round);
	check_counted(bench, subject, passed, dropped, repeat);
	check_opened(bench, subject);
	if (subject->kind == KIND_PEER)
		check_found(subject, counted(bench->peers->maps.bench_counters, 0) - found, repeat);
	set_open(bench, false);
}

/* In the middle of traffic a connection table is full, and every new entry takes the place of an old one. */
static void fill_connections(struct bench *bench)
{
	struct subject subject = {.name = "fill", .path = "first", .kind = KIND_PEER, .first = true,
				  .fd = bpf_program__fd(bench->peers->progs.bench_lpm_per_pod),
				  .verdict = VERDICT_PASS};
	struct frame frame = frame_of(bench->list.family, &subject);
	int i;

	if (!with_peers(bench))
		return;
	aim(bench, TO_ALLOWED, 1);
	for (i = 0; i < 6; i++) {
		start_walk(bench, &subject, 1);
		bench->zone++;
		set_zone(bench, &subject);
		run(&subject, &frame, 50000);
	}
}

#define SUBJECTS_MAX 19

/* Of large lists there are two: what is measured of that of random prefixes has names of its own. */
static bool is_second_list(const struct bench *bench)
{
	return bench->list.count >= 100000 && !bench->list.clustered;
}

/* NULL: it is measured with the first list alone. */
static const char *name_of_second_list(const char *name)
{
	if (!strcmp(name, "empty"))
		return "empty, random list";
	return strcmp(name, "egressd") ? NULL : "egressd, random list";
}

/* What all others are compared with. */
static struct subject empty_program(const struct bench *bench)
{
	return (struct subject){.name = "empty", .path = "allow", .kind = KIND_BASE, .verdict = VERDICT_PASS,
				.fd = bpf_program__fd(bench->peers->progs.bench_empty)};
}

/* What is measured of one list. */
static size_t list_subjects(const struct bench *bench, struct subject *out)
{
	int from_pod = bpf_program__fd(bench->egressd->progs.bench_from_pod);
	int to_pod = bpf_program__fd(bench->egressd->progs.bench_to_pod);
	int lpm = bpf_program__fd(bench->peers->progs.bench_lpm_per_pod);
	int identity = bpf_program__fd(bench->peers->progs.bench_identity_policy);
	int jiffies = bpf_program__fd(bench->peers->progs.bench_lpm_jiffies);
	const struct subject subjects[] = {
		empty_program(bench),
		{.name = "parse only", .path = "allow", .kind = KIND_BASE,
		 .fd = bpf_program__fd(bench->peers->progs.bench_parse_only)},
		{.name = "egressd", .path = "allow", .fd = from_pod},
		{.name = "egressd", .path = "first", .fd = from_pod, .first = true},
		{.name = "egressd", .path = "reply", .fd = from_pod, .to = TO_DENIED, .flows = true},
		{.name = "egressd", .path = "deny", .fd = from_pod, .to = TO_DENIED, .verdict = VERDICT_DROP},
		{.name = "egressd, pod with flows", .path = "deny", .fd = from_pod, .to = TO_DENIED, .other_port = true,
		 .verdict = VERDICT_DROP},
		{.name = "egressd, from a port with flows", .path = "deny", .fd = from_pod, .to = TO_DENIED,
		 .other_port = true, .served = true, .verdict = VERDICT_DROP},
		{.name = "egressd, no policy", .path = "allow", .fd = from_pod, .open_pod = true},
		{.name = "egressd, towards the pod", .path = "allow", .fd = to_pod, .swap = true},
		{.name = "egressd, towards the pod", .path = "first", .fd = to_pod, .to = TO_DENIED, .swap = true,
		 .first = true},
		{.name = "egressd, towards the pod, no policy", .path = "allow", .fd = to_pod, .swap = true,
		 .open_pod = true},
		{.name = "LPM per pod + connection table", .path = "allow", .kind = KIND_PEER, .fd = lpm},
		{.name = "LPM per pod + connection table", .path = "reply", .kind = KIND_PEER, .fd = lpm, .to = TO_DENIED,
		 .flows = true},
		{.name = "LPM per pod + connection table", .path = "first", .kind = KIND_PEER, .fd = lpm, .first = true},
		{.name = "LPM per pod + connection table, jiffies", .path = "allow", .kind = KIND_PEER, .fd = jiffies},
		{.name = "LPM per pod + connection table, jiffies", .path = "reply", .kind = KIND_PEER, .fd = jiffies,
		 .to = TO_DENIED, .flows = true},
		{.name = "connection table + LPM + policy hash", .path = "allow", .kind = KIND_PEER, .fd = identity},
		{.name = "connection table + LPM + policy hash", .path = "first", .kind = KIND_PEER, .fd = identity,
		 .first = true},
	};
	size_t count = 0, i;

	_Static_assert(ARRAY_SIZE(subjects) <= SUBJECTS_MAX, "there is room for them");
	for (i = 0; i < ARRAY_SIZE(subjects); i++) {
		struct subject subject = subjects[i];

		if (is_second_list(bench)) {
			subject.name = name_of_second_list(subject.name);
			if (!subject.name)
				continue;
		}
		if (!subject.verdict)
			subject.verdict = VERDICT_PASS;
		out[count++] = subject;
	}
	return count;
}

static void report_subject(const struct bench *bench, const struct subject *subject, size_t destinations)
{
	double sorted[ROUNDS_MAX];
	struct result result = {
		.group = "packet",
		.program = subject->name,
		.path = subject->path,
		.prefixes = bench->list.count,
		.destinations = destinations,
		.family = bench->list.family,
		.rounds = subject->times,
		.base_rounds = subject->base_times[0] > 0 ? subject->base_times : NULL,
		.round_count = bench->rounds,
		.unit = "ns/packet",
	};

	memcpy(sorted, subject->times, sizeof(sorted));
	result.value = median(sorted, bench->rounds);
	result_print(&result);
}

static bool is_measured(const struct bench *bench, const struct subject *subject)
{
	return subject->kind != KIND_PEER || with_peers(bench);
}

/* What grows with a list: egressd with the smallest one, measured right beside egressd with a larger one. */
struct small_list {
	struct bench *bench; /* of IPv4 */
	struct subject empty, egressd;
};

static void start_small_list(struct small_list *small)
{
	small->empty = empty_program(small->bench);
	small->egressd = (struct subject){.name = "egressd, 10 prefixes beside", .path = "allow", .verdict = VERDICT_PASS,
					  .fd = bpf_program__fd(small->bench->egressd->progs.bench_from_pod)};
}

static bool is_allowed_egressd(const struct subject *subject)
{
	return !strcmp(subject->name, "egressd") && !strcmp(subject->path, "allow");
}

/* Each subject of one family follows that of the other, as they are compared. The first one is the empty program. */
static void measure_round(struct bench *benches, struct subject subjects[FAMILIES][SUBJECTS_MAX], size_t count,
			  struct small_list *small, size_t destinations, size_t round)
{
	size_t family, i;

	for (i = 0; i < count; i++)
		for (family = 0; family < FAMILIES; family++) {
			struct subject *subject = &subjects[family][i];

			if (is_measured(&benches[family], subject))
				measure(&benches[family], subject, &subjects[family][0], destinations, round);
			if (small && !family && is_allowed_egressd(subject))
				measure(small->bench, &small->egressd, &small->empty, destinations, round);
		}
}

/* small: NULL where nothing is compared with it. */
static void measure_all(struct bench *benches, struct small_list *small, size_t destinations)
{
	struct subject subjects[FAMILIES][SUBJECTS_MAX];
	size_t count = 0, round, family, i;

	for (family = 0; family < FAMILIES; family++)
		count = list_subjects(&benches[family], subjects[family]);
	if (small)
		start_small_list(small);
	for (round = 0; round < benches->rounds; round++)
		measure_round(benches, subjects, count, small, destinations, round);
	for (family = 0; family < FAMILIES; family++)
		for (i = 0; i < count; i++)
			if (is_measured(&benches[family], &subjects[family][i]))
				report_subject(&benches[family], &subjects[family][i], destinations);
	if (small)
		report_subject(&benches[0], &small->egressd, destinations);
}

/* Of short slices it would show. */
static void measure_call(struct bench *bench)
{
	struct subject subject = empty_program(bench);
	struct frame frame = frame_of(bench->list.family, &subject);
	double times[CALLS];
	size_t i;

	prepare(bench, &subject, 1);
	for (i = 0; i < CALLS; i++)
		times[i] = run(&subject, &frame, 1);
	bench->call = median(times, CALLS);
}

static void report_memory(const struct bench *bench)
{
	const struct result result = {
		.group = "update",
		.program = bench->list.clustered ? "egressd, table memory, clustered list" :
						   "egressd, table memory, random list",
		.prefixes = bench->list.count,
		.family = bench->list.family,
		.value = (double)bench->word_count * 4 / (double)bench->list.count,
		.unit = "bytes/prefix",
	};

	if (bench->list.count >= 100000)
		result_print(&result);
}

static void open_bench(struct bench *bench, unsigned int family, size_t prefixes, bool clustered, size_t most)
{
	bench->list = (struct list){.family = family, .count = prefixes, .clustered = clustered};
	bench_check(!list_make(&bench->list, 1), "no memory");
	die_on(world_compile(&bench->list, &bench->policy), "compile");
	load_egressd(bench, tables_words(bench->policy));
	write_tables(bench);
	put_endpoint(bench);
	map_walk(bench);
	load_peers(bench);
	draw_destinations(bench);
	put_flows(bench, most);
	fill_connections(bench);
	measure_call(bench);
	report_memory(bench);
}

static void close_bench(struct bench *bench)
{
	size_t i;

	for (i = 0; i < TO_KINDS; i++)
		free(bench->destinations[i]);
	tables_free(bench->tables);
	policy_free(bench->policy);
	munmap(bench->walk, WALK_BYTES);
	table_maps_clear(&bench->table_maps);
	peers__destroy(bench->peers);
	egressd__destroy(bench->egressd);
	free(bench->list.prefixes);
}

static void bench_list(const struct bench *settings, struct bench *small, size_t prefixes, bool clustered, size_t most)
{
	static const size_t destinations[] = {1, 1000, 100000};
	struct bench benches[FAMILIES] = {*settings, *settings};
	struct small_list beside = {.bench = small};
	size_t i;

	open_bench(&benches[0], 4, prefixes, clustered, most);
	open_bench(&benches[1], 6, prefixes, clustered, most);
	for (i = 0; i < ARRAY_SIZE(destinations); i++)
		if (destinations[i] <= most)
			measure_all(benches, small ? &beside : NULL, destinations[i]);
	close_bench(&benches[0]);
	close_bench(&benches[1]);
}

/* Two processors at most are of use, and what runs on the other one should not move this one about. */
static void stay_on_processor(void)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(sched_getcpu(), &set);
	sched_setaffinity(0, sizeof(set), &set);
}

int main(int argc, char **argv)
{
	static const size_t sizes[] = {10, 1000, 10000, 100000, 1000000};
	struct bench bench = {.rounds = 7, .slices = 5, .repeat_few = 50000, .repeat_many = 100000};
	bool quick = argc > 1 && !strcmp(argv[1], "quick"), smoke = argc > 1 && !strcmp(argv[1], "smoke");
	size_t most, i;
	struct bench small;

	if (argc > 1 && !quick && !smoke) {
		fprintf(stderr, "usage: packet [quick|smoke]\n");
		return 2;
	}
	if (quick)
		bench = (struct bench){
			.rounds = 3, .slices = 5, .repeat_few = 20000, .repeat_many = 100000, .peers_of_ipv4 = true};
	if (smoke)
		bench = (struct bench){.rounds = 1, .slices = 1, .repeat_few = 1000, .repeat_many = 1000};
	most = smoke ? 1000 : 100000;
	stay_on_processor();
	small = bench;
	open_bench(&small, 4, sizes[0], false, most);
	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		if ((quick && sizes[i] == 1000) || (smoke && sizes[i] > 1000))
			continue;
		bench_list(&bench, sizes[i] >= 1000000 ? &small : NULL, sizes[i], sizes[i] >= 100000, most);
		if (sizes[i] >= 100000 && !quick)
			bench_list(&bench, NULL, sizes[i], false, most);
	}
	close_bench(&small);
	return 0;
}
