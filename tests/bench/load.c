/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Real traffic for the benchmark, and what is attached under it. IPv4 and IPv6 alike.
 *
 *   load serve                       echo at port 443/TCP, a sink at 444/TCP and at 443/UDP; prints "ready"
 *   load measure TARGETS MS          each measurement for MS milliseconds towards the addresses in the file, a line each;
 *                                    prints a JSON object
 *   load attach INTERFACE FROM TO    attaches two pinned programs, as the agent would, until it is killed; "ready"
 *   load attach INTERFACE empty      the same with programs that do nothing
 *   load attach INTERFACE drop       the same with programs that drop everything
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

/* ------------------------------------------------------------------ client */

struct targets {
	struct destination address[TARGETS_MAX]; /* of one family */
	size_t count;
	double seconds;
};

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

/* Microseconds of a request and its response: rate, median and 99th percentile. */
static void request_response(const struct targets *targets)
{
	double *samples = calloc(SAMPLES_MAX, sizeof(*samples)), begin = clock_seconds(CLOCK_MONOTONIC), before, now;
	int fd = connect_to(targets->address[0], PORT_ECHO);
	size_t count = 0;

	bench_check(samples != NULL, "no memory");
	before = begin;
	do {
		exchange(fd);
		now = clock_seconds(CLOCK_MONOTONIC);
		samples[count++] = (now - before) * 1e6;
		before = now;
	} while (now - begin < targets->seconds && count < SAMPLES_MAX);
	close(fd);
	qsort(samples, count, sizeof(*samples), compare_doubles);
	printf("\"request rate\":%.6g,\"p50\":%.6g,\"p99\":%.6g,", (double)count / (now - begin), samples[count / 2],
	       samples[count * 99 / 100]);
	free(samples);
}

static void connection_rate(const struct targets *targets)
{
	/* Closed with a reset: ports in TIME_WAIT would run out. */
	const struct linger linger = {.l_onoff = 1};
	double begin = clock_seconds(CLOCK_MONOTONIC), now;
	size_t count = 0;

	do {
		int fd = connect_to(targets->address[count % targets->count], PORT_ECHO);

		exchange(fd);
		setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
		close(fd);
		count++;
		now = clock_seconds(CLOCK_MONOTONIC);
	} while (now - begin < targets->seconds);
	printf("\"connection rate\":%.6g,", (double)count / (now - begin));
}

/* Returns how many were sent. */
static size_t datagram_rate(const struct targets *targets, size_t destinations, const char *name)
{
	static char payload[DATAGRAM];
	struct iovec vector = {.iov_base = payload, .iov_len = sizeof(payload)};
	struct destination to[BATCH];
	struct mmsghdr messages[BATCH];
	int fd = socket(targets->address[0].any.sa_family, SOCK_DGRAM, 0), i;
	double begin = clock_seconds(CLOCK_MONOTONIC), now;
	size_t count = 0;

	bench_check(fd >= 0, "socket: %s", strerror(errno));
	do {
		for (i = 0; i < BATCH; i++) {
			to[i] = at_port(targets->address[(count + (size_t)i) % destinations], PORT_ECHO);
			messages[i] = (struct mmsghdr){.msg_hdr = {.msg_name = &to[i].any, .msg_namelen = to[i].length,
								   .msg_iov = &vector, .msg_iovlen = 1}};
		}
		i = sendmmsg(fd, messages, BATCH, 0);
		bench_check(i > 0, "sendmmsg: %s", strerror(errno));
		count += (size_t)i;
		now = clock_seconds(CLOCK_MONOTONIC);
	} while (now - begin < targets->seconds);
	close(fd);
	printf("\"%s\":%.6g,", name, (double)count / (now - begin));
	return count;
}

static void throughput(const struct targets *targets)
{
	static char buffer[1 << 16];
	int fd = connect_to(targets->address[0], PORT_SINK);
	double begin = clock_seconds(CLOCK_MONOTONIC), now, bytes = 0;

	do {
		ssize_t length = write(fd, buffer, sizeof(buffer));

		bench_check(length > 0, "write: %s", strerror(errno));
		bytes += (double)length;
		now = clock_seconds(CLOCK_MONOTONIC);
	} while (now - begin < targets->seconds);
	close(fd);
	printf("\"throughput\":%.6g", bytes * 8 / (now - begin) / 1e9);
}

static int measure(const char *path, const char *milliseconds)
{
	static struct targets targets;
	FILE *file = fopen(path, "re");
	size_t datagrams;
	char line[64];

	bench_check(file != NULL, "%s: %s", path, strerror(errno));
	targets.seconds = atof(milliseconds) / 1e3;
	while (targets.count < TARGETS_MAX && fgets(line, sizeof(line), file)) {
		line[strcspn(line, "\n")] = '\0';
		targets.address[targets.count++] = parse_destination(line);
	}
	fclose(file);
	bench_check(targets.count && targets.seconds > 0, "nothing to measure");
	printf("{");
	request_response(&targets);
	connection_rate(&targets);
	datagrams = datagram_rate(&targets, 1, "datagram rate, 1 destination");
	datagrams += datagram_rate(&targets, targets.count, "datagram rate, 1,000 destinations");
	printf("\"datagrams\":%zu,", datagrams);
	throughput(&targets);
	printf("}\n");
	return 0;
}

/* ------------------------------------------------------------------ attachment */

#define PASS (-1) /* TC_ACT_UNSPEC */
#define DROP 2    /* TC_ACT_SHOT */

static int load_constant(int verdict)
{
	const struct bpf_insn program[] = {
		{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = verdict},
		{.code = BPF_JMP | BPF_EXIT},
	};
	int fd = bpf_prog_load(BPF_PROG_TYPE_SCHED_CLS, "bench_constant", "GPL", program, ARRAY_SIZE(program), NULL);

	bench_check(fd >= 0, "load a program: %s", strerror(errno));
	return fd;
}

static int open_pinned(const char *path)
{
	int fd = bpf_obj_get(path);

	bench_check(fd >= 0, "%s: %s", path, strerror(errno));
	return fd;
}

/* TCX where the kernel has it, as the agent does; clsact, which stays with the interface, where not. */
static void attach(unsigned int ifindex, int program, bool ingress)
{
	LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = (int)ifindex,
		    .attach_point = ingress ? BPF_TC_INGRESS : BPF_TC_EGRESS);
	LIBBPF_OPTS(bpf_tc_opts, options, .prog_fd = program, .handle = 1, .priority = 1, .flags = BPF_TC_F_REPLACE);
	const enum bpf_attach_type tcx = ingress ? 46 : 47; /* BPF_TCX_INGRESS, BPF_TCX_EGRESS */
	int error;

	if (bpf_link_create(program, (int)ifindex, tcx, NULL) >= 0)
		return;
	error = bpf_tc_hook_create(&hook);
	bench_check(!error || error == -EEXIST, "clsact: %s", strerror(-error));
	error = bpf_tc_attach(&hook, &options);
	bench_check(!error, "attach: %s", strerror(-error));
}

static _Noreturn void hold(int argc, char **argv)
{
	unsigned int ifindex = if_nametoindex(argv[2]);

	bench_check(ifindex != 0, "%s: %s", argv[2], strerror(errno));
	attach(ifindex, argc == 5 ? open_pinned(argv[3]) : load_constant(strcmp(argv[3], "drop") ? PASS : DROP), true);
	attach(ifindex, argc == 5 ? open_pinned(argv[4]) : load_constant(PASS), false);
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
		return measure(argv[2], argv[3]);
	if ((argc == 5 || (argc == 4 && (!strcmp(argv[3], "empty") || !strcmp(argv[3], "drop")))) &&
	    !strcmp(argv[1], "attach"))
		hold(argc, argv);
	fprintf(stderr, "usage: load serve | measure TARGETS MS | attach INTERFACE FROM TO | attach INTERFACE empty|drop\n");
	return 2;
}
