/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Traffic for the chaos test, as fast as one thread makes it. Each mode runs until SIGTERM and then prints one line.
 *
 *   traffic serve PORT                    TCP echo server                          "served N"
 *   traffic connect ADDRESS PORT COUNT    so many connections, each of which sends a message, waits for its echo and
 *                                         begins anew                              "exchanges N broken N stalled_ms N"
 *   traffic flood ADDRESS PORT            datagrams, and attempts to connect, to PORT .. PORT + 9
 *                                                                                  "sent N"
 *   traffic capture PORT                  watches every interface for TCP and UDP to PORT .. PORT + 9, which is not
 *                                         meant to arrive, and to PORT + 10, which is
 *                                                                                  "arrived N seen N", and of those
 *                                         that arrived "window FIRST LAST N" (seconds since the epoch), for each time
 *   traffic openings ADDRESS PORT COUNT   datagrams from so many ports, once       "sent N"
 *
 * A connection is broken when it ends, or when nothing comes back for STALL_SECONDS.
 */
#define _GNU_SOURCE /* accept4 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <netdb.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"

#define MESSAGE 64
#define STALL_SECONDS 20
#define PORTS 10
#define FLOOD_BURST 32
#define FLOOD_PAUSE_US 1000
#define GAP_NS 20000000

static volatile sig_atomic_t stopping;

static void on_signal(int number)
{
	(void)number;
	stopping = 1;
}

static double seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static int fail_with(const char *what)
{
	fprintf(stderr, "traffic: %s: %s\n", what, strerror(errno));
	return 1;
}

static bool parse(const char *address, int port, struct sockaddr_in6 *out)
{
	char text[INET6_ADDRSTRLEN + 16];

	*out = (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port)};
	snprintf(text, sizeof(text), "%s%s", strchr(address, ':') ? "" : "::ffff:", address);
	return inet_pton(AF_INET6, text, &out->sin6_addr) == 1;
}

/* ------------------------------------------------------------------ serve */

static void echo(int client, uint64_t *served)
{
	char buffer[65536];
	ssize_t length = recv(client, buffer, sizeof(buffer), MSG_DONTWAIT);

	if (length > 0 && send(client, buffer, (size_t)length, MSG_NOSIGNAL) == length)
		(*served)++;
	else if (length == 0 || (length < 0 && errno != EAGAIN && errno != EINTR))
		close(client);
}

static int serve(int port)
{
	struct sockaddr_in6 any = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port)};
	int listener = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0), poller = epoll_create1(EPOLL_CLOEXEC), yes = 1;
	struct epoll_event event = {.events = EPOLLIN, .data.fd = listener}, events[64];
	uint64_t served = 0;

	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
	if (bind(listener, (struct sockaddr *)&any, sizeof(any)) || listen(listener, 512) ||
	    epoll_ctl(poller, EPOLL_CTL_ADD, listener, &event))
		return fail_with("cannot serve");
	while (!stopping) {
		int count = epoll_wait(poller, events, 64, 500);

		for (int i = 0; i < count; i++) {
			if (events[i].data.fd != listener) {
				echo(events[i].data.fd, &served);
				continue;
			}
			event.data.fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
			if (event.data.fd >= 0)
				epoll_ctl(poller, EPOLL_CTL_ADD, event.data.fd, &event);
		}
	}
	printf("served %llu\n", (unsigned long long)served);
	return 0;
}

/* ------------------------------------------------------------------ connect */

struct connection {
	int fd;
	size_t received; /* of the echo that is awaited */
	double since;    /* when its message was sent */
};

static bool send_message(struct connection *connection)
{
	static const char message[MESSAGE] = "allowed";

	connection->received = 0;
	connection->since = seconds();
	return send(connection->fd, message, sizeof(message), MSG_NOSIGNAL) == sizeof(message);
}

/* False: it is broken. */
static bool receive_echo(struct connection *connection, uint64_t *exchanges, double *longest)
{
	char buffer[MESSAGE];
	ssize_t length = recv(connection->fd, buffer, sizeof(buffer) - connection->received, MSG_DONTWAIT);

	if (length < 0 && (errno == EAGAIN || errno == EINTR))
		return true;
	if (length <= 0)
		return false;
	connection->received += (size_t)length;
	if (connection->received < MESSAGE)
		return true;
	if (seconds() - connection->since > *longest)
		*longest = seconds() - connection->since;
	(*exchanges)++;
	return send_message(connection);
}

static int connect_all(struct connection *connections, struct pollfd *polls, size_t count,
		       const struct sockaddr_in6 *to)
{
	for (size_t i = 0; i < count; i++) {
		connections[i].fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
		if (connect(connections[i].fd, (const struct sockaddr *)to, sizeof(*to)) ||
		    !send_message(&connections[i]))
			return fail_with("cannot connect");
		polls[i] = (struct pollfd){.fd = connections[i].fd, .events = POLLIN};
	}
	return 0;
}

static int connect_mode(const struct sockaddr_in6 *to, size_t count)
{
	_cleanup_free_ struct connection *connections = calloc(count, sizeof(*connections));
	_cleanup_free_ struct pollfd *polls = calloc(count, sizeof(*polls));
	uint64_t exchanges = 0;
	double longest = 0;
	size_t broken = 0;

	if (!connections || !polls || connect_all(connections, polls, count, to))
		return 1;
	puts("connected");
	fflush(stdout);
	while (!stopping) {
		poll(polls, count, 500);
		for (size_t i = 0; i < count && !stopping; i++) {
			bool good = true;

			if (polls[i].fd < 0)
				continue;
			if (polls[i].revents)
				good = receive_echo(&connections[i], &exchanges, &longest);
			if (!good || seconds() - connections[i].since > STALL_SECONDS) {
				fprintf(stderr, "traffic: a connection broke: %s\n",
					good ? "no answer" : strerror(errno));
				broken++;
				close(polls[i].fd);
				polls[i].fd = -1;
			}
		}
	}
	printf("exchanges %llu broken %zu longest_ms %.0f\n", (unsigned long long)exchanges, broken, longest * 1e3);
	return 0;
}

/* ------------------------------------------------------------------ flood */

static void try_to_connect(const struct sockaddr_in6 *to)
{
	int fd = socket(AF_INET6, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	connect(fd, (const struct sockaddr *)to, sizeof(*to));
	close(fd);
}

static int flood(struct sockaddr_in6 to, int port)
{
	int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	static const char message[] = "denied";
	uint64_t sent = 0;

	while (!stopping) {
		for (int i = 0; i < FLOOD_BURST; i++, sent++) {
			to.sin6_port = htons((uint16_t)(port + (int)(sent % PORTS)));
			sendto(fd, message, sizeof(message), MSG_DONTWAIT, (struct sockaddr *)&to, sizeof(to));
		}
		try_to_connect(&to);
		usleep(FLOOD_PAUSE_US);
	}
	printf("sent %llu\n", (unsigned long long)sent);
	return 0;
}

static int openings(const struct sockaddr_in6 *to, size_t count)
{
	size_t sent = 0;

	for (size_t i = 0; i < count; i++) {
		int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);

		sent += sendto(fd, "?", 1, 0, (const struct sockaddr *)to, sizeof(*to)) == 1;
		close(fd);
	}
	printf("sent %zu\n", sent);
	return 0;
}

/* ------------------------------------------------------------------ capture */

/* Arrivals with less than GAP_NS between them. Nanoseconds since the epoch, as the kernel stamped the packets. */
struct window {
	int64_t first, last;
	uint64_t packets;
};

struct windows {
	struct window *items;
	size_t count;
};

static void clear_windows(struct windows *windows)
{
	free(windows->items);
}

static bool note_arrival(struct windows *windows, int64_t when)
{
	struct window *items;

	if (windows->count && when - windows->items[windows->count - 1].last < GAP_NS) {
		windows->items[windows->count - 1].last = when;
		windows->items[windows->count - 1].packets++;
		return true;
	}
	items = reallocarray(windows->items, windows->count + 1, sizeof(*items));
	if (!items)
		return false;
	windows->items = items;
	items[windows->count++] = (struct window){when, when, 1};
	return true;
}

/*
 * What arrives by TCP or UDP for PORT .. PORT + 10, and nothing else: whatever traffic there is, the socket's buffer is for what is
 * looked for.
 */
static int filter_ports(int fd, uint16_t port)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_B | BPF_ABS, (uint32_t)(SKF_AD_OFF + SKF_AD_PKTTYPE)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, PACKET_OUTGOING, 16, 0),
		BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 0),
		BPF_STMT(BPF_ALU | BPF_RSH | BPF_K, 4),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 6, 0, 5),
		BPF_STMT(BPF_LD | BPF_B | BPF_ABS, offsetof(struct ip6_hdr, ip6_nxt)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, IPPROTO_TCP, 1, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, IPPROTO_UDP, 0, 10),
		BPF_STMT(BPF_LD | BPF_H | BPF_ABS, sizeof(struct ip6_hdr) + 2),
		BPF_JUMP(BPF_JMP | BPF_JA, 5, 0, 0),
		BPF_STMT(BPF_LD | BPF_B | BPF_ABS, offsetof(struct iphdr, protocol)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, IPPROTO_TCP, 1, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, IPPROTO_UDP, 0, 5),
		BPF_STMT(BPF_LDX | BPF_B | BPF_MSH, 0),
		BPF_STMT(BPF_LD | BPF_H | BPF_IND, 2),
		BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, port, 0, 2),
		BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, port + PORTS, 1, 0),
		BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
		BPF_STMT(BPF_RET | BPF_K, 0),
	};
	const struct sock_fprog program = {.len = ARRAY_SIZE(filter), .filter = filter};

	return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program));
}

static int open_capture(uint16_t port)
{
	_cleanup_fd_ int fd = socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	const struct sockaddr_ll everything = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL)};
	const struct timeval patience = {.tv_usec = 500000};
	const int size = 64 << 20, yes = 1;

	if (fd < 0 || filter_ports(fd, port) ||
	    setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) ||
	    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) ||
	    setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPNS, &yes, sizeof(yes)) ||
	    bind(fd, (const struct sockaddr *)&everything, sizeof(everything)))
		return -1;
	return take_fd(&fd);
}

static int destination_port(const uint8_t *packet, size_t length)
{
	size_t header;

	if (length < sizeof(struct iphdr))
		return -1;
	header = packet[0] >> 4 == 6 ? sizeof(struct ip6_hdr) : (size_t)(packet[0] & 15) * 4;
	if (length < header + 4)
		return -1;
	return packet[header + 2] << 8 | packet[header + 3];
}

/* The destination port of the next packet and when it came; -1: none came for a while. */
static int next_packet(int fd, int64_t *when)
{
	uint8_t packet[256];
	char control[CMSG_SPACE(sizeof(struct timespec))] __attribute__((aligned(8)));
	struct iovec buffer = {packet, sizeof(packet)};
	struct msghdr message = {
		.msg_iov = &buffer, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)};
	ssize_t length = recvmsg(fd, &message, 0);
	struct timespec stamp = {};

	if (length < 0)
		return -1;
	for (struct cmsghdr *part = CMSG_FIRSTHDR(&message); part; part = CMSG_NXTHDR(&message, part))
		if (part->cmsg_level == SOL_SOCKET && part->cmsg_type == SO_TIMESTAMPNS)
			memcpy(&stamp, CMSG_DATA(part), sizeof(stamp));
	*when = (int64_t)stamp.tv_sec * 1000000000 + stamp.tv_nsec;
	return destination_port(packet, (size_t)length);
}

static int capture(uint16_t port)
{
	_cleanup_(clear_windows) struct windows windows = {};
	_cleanup_fd_ int fd = open_capture(port);
	uint64_t arrived = 0, seen = 0;

	if (fd < 0)
		return fail_with("cannot capture");
	while (!stopping) {
		int64_t when = 0;
		int to = next_packet(fd, &when);

		seen += to == port + PORTS;
		if (to < port || to >= port + PORTS)
			continue;
		arrived++;
		if (!note_arrival(&windows, when))
			return fail_with("no memory");
	}
	printf("arrived %llu seen %llu\n", (unsigned long long)arrived, (unsigned long long)seen);
	for (size_t i = 0; i < windows.count; i++)
		printf("window %.6f %.6f %llu\n", (double)windows.items[i].first / 1e9,
		       (double)windows.items[i].last / 1e9, (unsigned long long)windows.items[i].packets);
	return 0;
}

int main(int argc, char **argv)
{
	struct sigaction action = {.sa_handler = on_signal};
	struct sockaddr_in6 to;

	sigaction(SIGTERM, &action, NULL);
	signal(SIGPIPE, SIG_IGN);
	if (argc == 3 && !strcmp(argv[1], "serve"))
		return serve(atoi(argv[2]));
	if (argc == 3 && !strcmp(argv[1], "capture"))
		return capture((uint16_t)atoi(argv[2]));
	if (argc >= 4 && !parse(argv[2], atoi(argv[3]), &to))
		return fail_with(argv[2]);
	if (argc == 5 && !strcmp(argv[1], "connect"))
		return connect_mode(&to, strtoul(argv[4], NULL, 10));
	if (argc == 4 && !strcmp(argv[1], "flood"))
		return flood(to, atoi(argv[3]));
	if (argc == 5 && !strcmp(argv[1], "openings"))
		return openings(&to, strtoul(argv[4], NULL, 10));
	fprintf(stderr, "usage: traffic serve|connect|flood|capture|openings ...\n");
	return 2;
}
