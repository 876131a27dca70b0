/* SPDX-License-Identifier: Apache-2.0 */
/*
 * appearance NAME STATE ROUNDS: how long a new interface can send unjudged. Each round makes a veth of that name, up on
 * both sides, sends through its peer without a pause until a packet is dropped (the pinned map STATE is
 * "drop_log_state"), and removes it again. Prints the median and the longest time in microseconds, from when both ends
 * are up, before which nothing can be sent, until the first drop; and the most packets that passed.
 */
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_link.h>
#include <linux/if_packet.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include <egressd/contract.h>

#include "base/cleanup.h"
#include "datapath/netlink.h"

#define PEER "apart0"
#define PATIENCE_US 2000000
#define SEND_PAUSE_US 50
/* The agent is let finish what it does about an interface that went. */
#define PAUSE_US 150000

static double microseconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

static const struct ifinfomsg up = {.ifi_flags = IFF_UP, .ifi_change = IFF_UP};

static int make_veth(const char *name)
{
	char buffer[1024] __attribute__((aligned(8)));
	struct nlmsghdr *request = mnl_nlmsg_put_header(buffer);
	struct nlattr *info, *data, *peer;

	request->nlmsg_type = RTM_NEWLINK;
	request->nlmsg_flags = NLM_F_CREATE | NLM_F_EXCL;
	memcpy(mnl_nlmsg_put_extra_header(request, sizeof(up)), &up, sizeof(up));
	mnl_attr_put_strz(request, IFLA_IFNAME, name);
	info = mnl_attr_nest_start(request, IFLA_LINKINFO);
	mnl_attr_put_strz(request, IFLA_INFO_KIND, "veth");
	data = mnl_attr_nest_start(request, IFLA_INFO_DATA);
	peer = mnl_attr_nest_start(request, VETH_INFO_PEER);
	mnl_nlmsg_put_extra_header(request, sizeof(up));
	mnl_attr_put_strz(request, IFLA_IFNAME, PEER);
	mnl_attr_nest_end(request, peer);
	mnl_attr_nest_end(request, data);
	mnl_attr_nest_end(request, info);
	return netlink_request_once(request, NULL, NULL);
}

/* A veth cannot be made with both of its ends up. */
static int raise_peer(void)
{
	char buffer[256] __attribute__((aligned(8)));
	struct nlmsghdr *request = mnl_nlmsg_put_header(buffer);

	request->nlmsg_type = RTM_NEWLINK;
	request->nlmsg_flags = 0;
	memcpy(mnl_nlmsg_put_extra_header(request, sizeof(up)), &up, sizeof(up));
	mnl_attr_put_strz(request, IFLA_IFNAME, PEER);
	return netlink_request_once(request, NULL, NULL);
}

static void remove_link(const char *name)
{
	char buffer[256] __attribute__((aligned(8)));
	struct nlmsghdr *request = mnl_nlmsg_put_header(buffer);

	request->nlmsg_type = RTM_DELLINK;
	request->nlmsg_flags = 0;
	mnl_nlmsg_put_extra_header(request, sizeof(struct ifinfomsg));
	mnl_attr_put_strz(request, IFLA_IFNAME, name);
	netlink_request_once(request, NULL, NULL);
}

/* Drops that were logged or would have been. */
static uint64_t drops(int map)
{
	int cpus = libbpf_num_possible_cpus();
	_cleanup_free_ struct egress_drop_log_state *states = calloc((size_t)cpus, sizeof(*states));
	uint64_t sum = 0;
	uint32_t zero = 0;

	if (!states || bpf_map_lookup_elem(map, &zero, states))
		return 0;
	for (int cpu = 0; cpu < cpus; cpu++)
		sum += states[cpu].sequence + states[cpu].suppressed;
	return sum;
}

/* An Ethernet frame with nothing in it that the kernel would answer. */
static int send_frame(int socket)
{
	struct sockaddr_ll to = {
		.sll_family = AF_PACKET, .sll_ifindex = (int)if_nametoindex(PEER), .sll_halen = ETH_ALEN};
	char frame[ETH_ZLEN] = {2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x88, 0xb5};

	return sendto(socket, frame, sizeof(frame), 0, (struct sockaddr *)&to, sizeof(to)) < 0 ? 0 : 1;
}

static int one_round(const char *name, int map, int socket, double *took, size_t *passed)
{
	uint64_t before = drops(map);
	int error = make_veth(name);
	size_t sent = 0;
	double start;

	if (!error)
		error = raise_peer();
	start = microseconds();
	if (error) {
		fprintf(stderr, "appearance: cannot make %s: %s\n", name, strerror(-error));
		return error;
	}
	while (drops(map) == before) {
		sent += (size_t)send_frame(socket);
		/* Not to keep a processor from the one who is awaited. */
		usleep(SEND_PAUSE_US);
		if (microseconds() - start > PATIENCE_US) {
			fprintf(stderr, "appearance: nothing from %s is dropped (%zu packets sent)\n", name, sent);
			return -ETIMEDOUT;
		}
	}
	*took = microseconds() - start;
	if (sent > *passed + 1)
		*passed = sent - 1;
	remove_link(name);
	usleep(PAUSE_US);
	return 0;
}

static int ascending(const void *a, const void *b)
{
	double difference = *(const double *)a - *(const double *)b;

	return (difference > 0) - (difference < 0);
}

int main(int argc, char **argv)
{
	size_t rounds = argc == 4 ? strtoul(argv[3], NULL, 10) : 0, passed = 0, i;
	_cleanup_fd_ int map = -1, sender = -1;
	_cleanup_free_ double *took = NULL;

	if (!rounds) {
		fprintf(stderr, "usage: appearance NAME STATE ROUNDS\n");
		return 2;
	}
	map = bpf_obj_get(argv[2]);
	sender = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
	took = calloc(rounds, sizeof(*took));
	if (map < 0 || sender < 0 || !took) {
		fprintf(stderr, "appearance: %s\n", strerror(errno));
		return 1;
	}
	for (i = 0; i < rounds; i++)
		if (one_round(argv[1], map, sender, &took[i], &passed))
			return 1;
	qsort(took, rounds, sizeof(*took), ascending);
	printf("%.0f %.0f %zu\n", took[rounds / 2], took[rounds - 1], passed);
	return 0;
}
