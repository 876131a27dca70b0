/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A flood of datagrams to port 443 of an address, for the benchmark: as many as one processor makes, a million a second
 * and more, which is more than sockets can do.
 *
 *   flood open INTERFACE               of a veth, the node's end of a pod: lets it take what `flood send` sends
 *   flood send INTERFACE FROM TO       in the pod, through its own end, between these addresses, until it is killed;
 *                                      prints "ready" when the first are out
 */
#define _GNU_SOURCE /* sendmmsg() */
#include <errno.h>
#include <net/if.h>
#include <stdbool.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/bpf.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "base/cleanup.h"
#include "result.h"

#include "../bpf/frame.h"

#define PORT_FROM  40000
#define PORT_TO    443
#define DATAGRAM   (64 - 14 - 20 - 8) /* a frame of 64 bytes, the checksum of Ethernet not counted */
#define BATCH      64
#define REPETITION 65536

/* With GRO a veth has a queue that frames can be put into (drivers/net/veth.c). */
static void open_interface(const char *name)
{
	_cleanup_fd_ int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ethtool_value value = {.cmd = ETHTOOL_SGRO, .data = 1};
	struct ifreq request = {};

	bench_check(strlen(name) < sizeof(request.ifr_name), "%s: too long a name", name);
	strcpy(request.ifr_name, name);
	request.ifr_data = (void *)&value;
	bench_check(fd >= 0 && !ioctl(fd, SIOCETHTOOL, &request), "%s: cannot turn GRO on: %s", name, strerror(errno));
}

static int load_redirection(unsigned int ifindex)
{
	const struct bpf_insn program[] = {
		{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_1, .imm = (int)ifindex},
		{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_2, .imm = 0},
		{.code = BPF_JMP | BPF_CALL, .imm = BPF_FUNC_redirect},
		{.code = BPF_JMP | BPF_EXIT},
	};

	return bpf_prog_load(BPF_PROG_TYPE_XDP, "bench_flood", "GPL", program, ARRAY_SIZE(program), NULL);
}

static bool send_frames(int program, struct frame *frame, int repetition)
{
	LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = frame->bytes, .data_size_in = frame->length,
		    .repeat = repetition, .flags = BPF_F_TEST_XDP_LIVE_FRAMES, .batch_size = BATCH);

	return !bpf_prog_test_run_opts(program, &options);
}

/* Returns where the kernel cannot: this came with 5.18. */
static void flood_frames(const char *interface, const char *from, const char *to)
{
	int program = load_redirection(if_nametoindex(interface));
	struct frame frame;

	frame_ip(&frame, from, to, IPPROTO_UDP);
	frame_udp(&frame, PORT_FROM, PORT_TO);
	frame_add_zero(&frame, DATAGRAM);
	frame_end(&frame);
	if (program < 0 || !send_frames(program, &frame, BATCH))
		return;
	bench_ready();
	while (send_frames(program, &frame, REPETITION))
		;
	bench_check(false, "the flood ended: %s", strerror(errno));
}

static _Noreturn void flood_datagrams(const char *text)
{
	static char payload[DATAGRAM];
	struct iovec vector = {.iov_base = payload, .iov_len = sizeof(payload)};
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(PORT_TO), .sin_addr.s_addr = ipv4(text)};
	int fd = socket(AF_INET, SOCK_DGRAM, 0), i;
	struct mmsghdr messages[BATCH];

	bench_check(fd >= 0 && !connect(fd, (struct sockaddr *)&to, sizeof(to)), "%s: %s", text, strerror(errno));
	for (i = 0; i < BATCH; i++)
		messages[i] = (struct mmsghdr){.msg_hdr = {.msg_iov = &vector, .msg_iovlen = 1}};
	bench_check(sendmmsg(fd, messages, BATCH, 0) > 0, "sendmmsg: %s", strerror(errno));
	bench_ready();
	for (;;)
		sendmmsg(fd, messages, BATCH, 0);
}

int main(int argc, char **argv)
{
	libbpf_set_print(NULL);
	bench_insist();
	if (argc == 3 && !strcmp(argv[1], "open")) {
		open_interface(argv[2]);
		return 0;
	}
	if (argc == 5 && !strcmp(argv[1], "send")) {
		bench_check(if_nametoindex(argv[2]) != 0, "%s: %s", argv[2], strerror(errno));
		flood_frames(argv[2], argv[3], argv[4]);
		flood_datagrams(argv[4]);
	}
	fprintf(stderr, "usage: flood open INTERFACE | send INTERFACE FROM TO\n");
	return 2;
}
