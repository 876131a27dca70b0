/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Real traffic for the benchmark, and what is attached under it. IPv4 and IPv6 alike.
 *
 *   load serve                       echo at port 443/TCP, a sink at 444/TCP and at 443/UDP; prints "ready"
 *   load measure TARGETS MS          each measurement for MS milliseconds towards the addresses in the file; prints a line,
 *                                    a JSON object
 *   load compare NETNS INTERFACE FROM TO FROM TO TARGETS MS
 *                                    the same from the network namespace, with two pairs of programs attached to the
 *                                    interface by turns, 10 ms each: MS for each of them, a line for each
 *   load attach INTERFACE FROM TO    attaches two programs, as the agent would, until it is killed; prints "ready"
 *
 * FROM and TO are pinned programs, "empty" (does nothing), "slow" (does nothing for some microseconds) or "drop" (drops
 * everything).
 */
#define _GNU_SOURCE /* sendmmsg() */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "base/cleanup.h"
#include "result.h"

#define PORT_ECHO    443
#define PORT_SINK    444
#define TARGETS_MAX  1000
#define SAMPLES_MAX  (1u << 20)
#define DATAGRAM     (64 - 14 - 20 - 8) /* a frame of 64 bytes, the checksum of Ethernet not counted */
#define BATCH        32

/* Of either family; an IPv4 socket is what IPv4 is measured with. */
struct destination {
	union {
		struct sockaddr any;
		struct sockaddr_in ipv4;
		struct sockaddr_in6 ipv6;
	};
	socklen_t length;
};

static struct destination parse_destination(const char *text)
{
	struct destination result = {.ipv4 = {.sin_family = AF_INET}, .length = sizeof(result.ipv4)};

	if (inet_pton(AF_INET, text, &result.ipv4.sin_addr) == 1)
		return result;
	result = (struct destination){.ipv6 = {.sin6_family = AF_INET6}, .length = sizeof(result.ipv6)};
	bench_check(inet_pton(AF_INET6, text, &result.ipv6.sin6_addr) == 1, "no address: %s", text);
	return result;
}

static struct destination at_port(struct destination destination, uint16_t port)
{
	/* The port stands at the same place in both. */
	destination.ipv4.sin_port = htons(port);
	return destination;
}

/* ------------------------------------------------------------------ server */

static int listen_on(uint16_t port, int type)
{
	struct destination address = at_port(parse_destination("::"), port);
	int fd = socket(AF_INET6, type, 0), on = 1;

	bench_check(fd >= 0, "socket: %s", strerror(errno));
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	bench_check(!bind(fd, &address.any, address.length), "bind %u: %s", port, strerror(errno));
	if (type == SOCK_STREAM)
		bench_check(!listen(fd, 1024), "listen: %s", strerror(errno));
	return fd;
}

/* One connection at a time is all that the measurements open. */
static void *serve_echo(void *data)
{
	int listener = *(int *)data, on = 1;
	char buffer[64];
	ssize_t length;

	for (;;) {
		int fd = accept(listener, NULL, NULL);

		if (fd < 0)
			continue;
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
		while ((length = read(fd, buffer, sizeof(buffer))) > 0)
			if (write(fd, buffer, (size_t)length) != length)
				break;
		close(fd);
	}
	return NULL;
}

static void *serve_sink(void *data)
{
	static char buffer[1 << 18];
	int listener = *(int *)data;

	for (;;) {
		int fd = accept(listener, NULL, NULL);

		if (fd < 0)
			continue;
		while (read(fd, buffer, sizeof(buffer)) > 0)
			;
		close(fd);
	}
	return NULL;
}

static int serve(void)
{
	/* Nobody reads the datagrams: what the sender's rate tells is the way to the socket. */
	int datagrams = listen_on(PORT_ECHO, SOCK_DGRAM), echo = listen_on(PORT_ECHO, SOCK_STREAM);
	int sink = listen_on(PORT_SINK, SOCK_STREAM), room = 1;
	pthread_t thread;

	setsockopt(datagrams, SOL_SOCKET, SO_RCVBUF, &room, sizeof(room));
	bench_check(!pthread_create(&thread, NULL, serve_sink, &sink), "thread");
	bench_ready();
	serve_echo(&echo);
	return 0;
}

/* ------------------------------------------------------------------ attachment */

#define PASS (-1) /* TC_ACT_UNSPEC */
#define DROP 2    /* TC_ACT_SHOT */

enum direction { FROM_POD, TO_POD, DIRECTIONS };

/* Looks at the clock `times` times before it returns the verdict. */
static int load_constant(int verdict, int times)
{
	const struct bpf_insn program[] = {
		{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_6, .imm = times},
		{.code = BPF_JMP | BPF_CALL, .imm = BPF_FUNC_ktime_get_ns},
		{.code = BPF_ALU64 | BPF_SUB | BPF_K, .dst_reg = BPF_REG_6, .imm = 1},
		{.code = BPF_JMP | BPF_JNE | BPF_K, .dst_reg = BPF_REG_6, .off = -3},
		{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = verdict},
		{.code = BPF_JMP | BPF_EXIT},
	};
	/* Without the clock: the last two. */
	size_t skipped = times ? 0 : ARRAY_SIZE(program) - 2;
	int fd = bpf_prog_load(BPF_PROG_TYPE_SCHED_CLS, "bench_constant", "GPL", program + skipped,
			       ARRAY_SIZE(program) - skipped, NULL);

	bench_check(fd >= 0, "load a program: %s", strerror(errno));
	return fd;
}

static int open_program(const char *name)
{
	int fd;

	if (!strcmp(name, "empty"))
		return load_constant(PASS, 0);
	if (!strcmp(name, "slow"))
		return load_constant(PASS, 200);
	if (!strcmp(name, "drop"))
		return load_constant(DROP, 0);
	fd = bpf_obj_get(name);
	bench_check(fd >= 0, "%s: %s", name, strerror(errno));
	return fd;
}

struct interface {
	unsigned int ifindex;
	int link[DIRECTIONS]; /* TCX; -1: a filter at clsact */
};

static struct interface find_interface(const char *name)
{
	struct interface interface = {.ifindex = if_nametoindex(name), .link = {-1, -1}};

	bench_check(interface.ifindex != 0, "%s: %s", name, strerror(errno));
	return interface;
}

static void set_filter(const struct interface *interface, enum direction direction, int program)
{
	LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = (int)interface->ifindex,
		    .attach_point = direction == FROM_POD ? BPF_TC_INGRESS : BPF_TC_EGRESS);
	LIBBPF_OPTS(bpf_tc_opts, options, .prog_fd = program, .handle = 1, .priority = 1, .flags = BPF_TC_F_REPLACE);
	int error;

	error = bpf_tc_hook_create(&hook);
	bench_check(!error || error == -EEXIST, "clsact: %s", strerror(-error));
	error = bpf_tc_attach(&hook, &options);
	bench_check(!error, "attach: %s", strerror(-error));
}

/* TCX where the kernel has it, as the agent does; clsact, which stays with the interface, where not. */
static void attach(struct interface *interface, const int programs[DIRECTIONS])
{
	const enum bpf_attach_type tcx[DIRECTIONS] = {46, 47}; /* BPF_TCX_INGRESS, BPF_TCX_EGRESS */
	int direction;

	for (direction = 0; direction < DIRECTIONS; direction++) {
		interface->link[direction] =
			bpf_link_create(programs[direction], (int)interface->ifindex, tcx[direction], NULL);
		if (interface->link[direction] < 0)
			set_filter(interface, (enum direction)direction, programs[direction]);
	}
}

/* ------------------------------------------------------------------ turns */

/*
 * What each side gets before it is the other's turn; what slows the machine mostly lasts longer. A rate is the median of
 * those of the turns: once a second the kernel stops a process of bench_insist() for a twentieth (sched_rt_runtime_us).
 */
#define TURN_SECONDS 0.01
#define TURNS_MAX    1000 /* for each side */
#define SIDES_MAX    2

/* Of one measurement with one side's programs. */
struct work {
	size_t count; /* in all turns */
	double rates[TURNS_MAX];
	size_t turns;
	double *samples; /* microseconds, where they are asked for; SAMPLES_MAX */
};

struct rates {
	double requests, p50, p99, connections, datagrams_to_one, datagrams_to_many, throughput;
	size_t datagrams;
};

struct side {
	int programs[DIRECTIONS];
	struct work work;
	struct rates rates;
};

struct traffic {
	struct destination address[TARGETS_MAX]; /* of one family */
	size_t count;
	size_t turns;        /* for each side, of each measurement */
	int fd;              /* of the measurement under way */
	size_t destinations; /* which are in turn, of datagrams */
	/* One, with whatever is attached; or two, attached by turns. */
	struct side sides[SIDES_MAX];
	size_t side_count;
	struct interface interface;
	int netns[2]; /* the node's, the pod's */
};

static void enter(int netns)
{
	bench_check(!setns(netns, CLONE_NEWNET), "setns: %s", strerror(errno));
}

static void put_under(const struct traffic *traffic, const struct side *side)
{
	const struct interface *interface = &traffic->interface;
	int direction;

	for (direction = 0; direction < DIRECTIONS; direction++) {
		int program = side->programs[direction];

		if (interface->link[direction] >= 0) {
			bench_check(!bpf_link_update(interface->link[direction], program, NULL), "update: %s",
				    strerror(errno));
			continue;
		}
		enter(traffic->netns[0]);
		set_filter(interface, (enum direction)direction, program);
		enter(traffic->netns[1]);
	}
}

/* Works until `end`, CLOCK_MONOTONIC, and returns the time at its end. */
typedef double (*work_function)(const struct traffic *traffic, double end, struct work *work);

static void take_turn(const struct traffic *traffic, work_function do_work, struct work *work)
{
	size_t before = work->count;
	double begin = clock_seconds(CLOCK_MONOTONIC), end = do_work(traffic, begin + TURN_SECONDS, work);

	work->rates[work->turns++] = (double)(work->count - before) / (end - begin);
}

/* First and second, second and first, and so on: what drifts hits both alike. */
static void by_turns(struct traffic *traffic, work_function do_work)
{
	size_t sides = traffic->side_count, turn;

	for (turn = 0; turn < sides * traffic->turns; turn++) {
		struct side *side = &traffic->sides[(turn + turn / 2) % sides];

		if (sides > 1)
			put_under(traffic, side);
		take_turn(traffic, do_work, &side->work);
	}
}

static double rate(struct work *work)
{
	return median(work->rates, work->turns);
}

/* ------------------------------------------------------------------ client */

static int connect_to(struct destination destination, uint16_t port)
{
	struct destination to = at_port(destination, port);
	int fd = socket(to.any.sa_family, SOCK_STREAM, 0), on = 1;

	bench_check(fd >= 0, "socket: %s", strerror(errno));
	bench_check(!connect(fd, &to.any, to.length), "connect: %s", strerror(errno));
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	return fd;
}

static void exchange(int fd)
{
	char byte = 'x';

	bench_check(write(fd, &byte, 1) == 1 && read(fd, &byte, 1) == 1, "exchange: %s", strerror(errno));
}

static double request(const struct traffic *traffic, double end, struct work *work)
{
	double before = clock_seconds(CLOCK_MONOTONIC), now;

	bench_check(work->count < SAMPLES_MAX, "too many samples");
	do {
		exchange(traffic->fd);
		now = clock_seconds(CLOCK_MONOTONIC);
		work->samples[work->count++] = (now - before) * 1e6;
		before = now;
	} while (now < end && work->count < SAMPLES_MAX);
	return now;
}

static double open_connections(const struct traffic *traffic, double end, struct work *work)
{
	/* Closed with a reset: ports in TIME_WAIT would run out. */
	const struct linger linger = {.l_onoff = 1};
	double now;

	do {
		int fd = connect_to(traffic->address[work->count % traffic->count], PORT_ECHO);

		exchange(fd);
		setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
		close(fd);
		work->count++;
		now = clock_seconds(CLOCK_MONOTONIC);
	} while (now < end);
	return now;
}

static double send_datagrams(const struct traffic *traffic, double end, struct work *work)
{
	static char payload[DATAGRAM];
	struct iovec vector = {.iov_base = payload, .iov_len = sizeof(payload)};
	struct destination to[BATCH];
	struct mmsghdr messages[BATCH];
	double now;
	int i;

	do {
		for (i = 0; i < BATCH; i++) {
			to[i] = at_port(traffic->address[(work->count + (size_t)i) % traffic->destinations], PORT_ECHO);
			messages[i] = (struct mmsghdr){.msg_hdr = {.msg_name = &to[i].any, .msg_namelen = to[i].length,
								   .msg_iov = &vector, .msg_iovlen = 1}};
		}
		i = sendmmsg(traffic->fd, messages, BATCH, 0);
		bench_check(i > 0, "sendmmsg: %s", strerror(errno));
		work->count += (size_t)i;
		now = clock_seconds(CLOCK_MONOTONIC);
	} while (now < end);
	return now;
}

/* Counts bytes. */
static double send_stream(const struct traffic *traffic, double end, struct work *work)
{
	static char buffer[1 << 16];
	double now;

	do {
		ssize_t length = write(traffic->fd, buffer, sizeof(buffer));

		bench_check(length > 0, "write: %s", strerror(errno));
		work->count += (size_t)length;
		now = clock_seconds(CLOCK_MONOTONIC);
	} while (now < end);
	return now;
}

/* ------------------------------------------------------------------ measurements */

/* Goes on with nothing done yet. */
static void start_work(struct traffic *traffic, int fd)
{
	size_t i;

	traffic->fd = fd;
	for (i = 0; i < traffic->side_count; i++)
		traffic->sides[i].work = (struct work){};
}

/* Rate, and microseconds of a request and its response: median and 99th percentile. */
static void measure_requests(struct traffic *traffic)
{
	size_t i;

	start_work(traffic, connect_to(traffic->address[0], PORT_ECHO));
	for (i = 0; i < traffic->side_count; i++) {
		traffic->sides[i].work.samples = calloc(SAMPLES_MAX, sizeof(double));
		bench_check(traffic->sides[i].work.samples != NULL, "no memory");
	}
	by_turns(traffic, request);
	close(traffic->fd);
	for (i = 0; i < traffic->side_count; i++) {
		struct side *side = &traffic->sides[i];
		struct work *work = &side->work;

		qsort(work->samples, work->count, sizeof(*work->samples), compare_doubles);
		side->rates.requests = rate(work);
		side->rates.p50 = work->samples[work->count / 2];
		side->rates.p99 = work->samples[work->count * 99 / 100];
		free(work->samples);
	}
}

static void measure_connections(struct traffic *traffic)
{
	size_t i;

	start_work(traffic, -1);
	by_turns(traffic, open_connections);
	for (i = 0; i < traffic->side_count; i++)
		traffic->sides[i].rates.connections = rate(&traffic->sides[i].work);
}

static void measure_datagrams(struct traffic *traffic, size_t destinations)
{
	size_t i;

	start_work(traffic, socket(traffic->address[0].any.sa_family, SOCK_DGRAM, 0));
	bench_check(traffic->fd >= 0, "socket: %s", strerror(errno));
	traffic->destinations = destinations;
	by_turns(traffic, send_datagrams);
	close(traffic->fd);
	for (i = 0; i < traffic->side_count; i++) {
		struct rates *rates = &traffic->sides[i].rates;

		*(destinations == 1 ? &rates->datagrams_to_one : &rates->datagrams_to_many) =
			rate(&traffic->sides[i].work);
		rates->datagrams += traffic->sides[i].work.count;
	}
}

static void measure_throughput(struct traffic *traffic)
{
	size_t i;

	start_work(traffic, connect_to(traffic->address[0], PORT_SINK));
	by_turns(traffic, send_stream);
	close(traffic->fd);
	for (i = 0; i < traffic->side_count; i++)
		traffic->sides[i].rates.throughput = rate(&traffic->sides[i].work) * 8 / 1e9;
}

static void read_targets(struct traffic *traffic, const char *path)
{
	FILE *file = fopen(path, "re");
	char line[64];

	bench_check(file != NULL, "%s: %s", path, strerror(errno));
	while (traffic->count < TARGETS_MAX && fgets(line, sizeof(line), file)) {
		line[strcspn(line, "\n")] = '\0';
		traffic->address[traffic->count++] = parse_destination(line);
	}
	fclose(file);
}

static void print_rates(const struct rates *rates)
{
	printf("{\"request rate\":%.6g,\"p50\":%.6g,\"p99\":%.6g,\"connection rate\":%.6g,"
	       "\"datagram rate, 1 destination\":%.6g,\"datagram rate, 1,000 destinations\":%.6g,\"datagrams\":%zu,"
	       "\"throughput\":%.6g}\n",
	       rates->requests, rates->p50, rates->p99, rates->connections, rates->datagrams_to_one,
	       rates->datagrams_to_many, rates->datagrams, rates->throughput);
}

static int measure_all(struct traffic *traffic, const char *targets, const char *milliseconds)
{
	size_t i;

	read_targets(traffic, targets);
	traffic->turns = (size_t)(atof(milliseconds) / 1e3 / TURN_SECONDS + 0.5);
	bench_check(traffic->count && traffic->turns && traffic->turns <= TURNS_MAX, "nothing to measure");
	measure_requests(traffic);
	measure_connections(traffic);
	measure_datagrams(traffic, 1);
	measure_datagrams(traffic, traffic->count);
	measure_throughput(traffic);
	for (i = 0; i < traffic->side_count; i++)
		print_rates(&traffic->sides[i].rates);
	return 0;
}

static int measure(char **argv)
{
	static struct traffic traffic = {.side_count = 1};

	return measure_all(&traffic, argv[0], argv[1]);
}

/* NETNS INTERFACE FROM TO FROM TO TARGETS MS */
static int compare(char **argv)
{
	static struct traffic traffic = {.side_count = 2};
	int i;

	traffic.netns[0] = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	traffic.netns[1] = open(argv[0], O_RDONLY | O_CLOEXEC);
	bench_check(traffic.netns[0] >= 0 && traffic.netns[1] >= 0, "%s: %s", argv[0], strerror(errno));
	traffic.interface = find_interface(argv[1]);
	for (i = 0; i < SIDES_MAX * DIRECTIONS; i++)
		traffic.sides[i / DIRECTIONS].programs[i % DIRECTIONS] = open_program(argv[2 + i]);
	attach(&traffic.interface, traffic.sides[0].programs);
	enter(traffic.netns[1]);
	return measure_all(&traffic, argv[6], argv[7]);
}

/* INTERFACE FROM TO */
static _Noreturn void hold(char **argv)
{
	const int programs[DIRECTIONS] = {open_program(argv[1]), open_program(argv[2])};
	struct interface interface = find_interface(argv[0]);

	attach(&interface, programs);
	bench_ready();
	for (;;)
		pause();
}

int main(int argc, char **argv)
{
	libbpf_set_print(NULL);
	bench_insist();
	if (argc == 2 && !strcmp(argv[1], "serve"))
		return serve();
	if (argc == 4 && !strcmp(argv[1], "measure"))
		return measure(argv + 2);
	if (argc == 10 && !strcmp(argv[1], "compare"))
		return compare(argv + 2);
	if (argc == 5 && !strcmp(argv[1], "attach"))
		hold(argv + 2);
	fprintf(stderr, "usage: load serve | measure TARGETS MS | compare NETNS INTERFACE FROM TO FROM TO TARGETS MS |\n"
			"            attach INTERFACE FROM TO\n");
	return 2;
}
