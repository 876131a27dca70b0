/* SPDX-License-Identifier: Apache-2.0 */
#include "datapath/discovery.h"

#include <errno.h>
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <netinet/ip_icmp.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "datapath/internal.h"

void discovery_clear(struct discovery *discovery)
{
	connections_clear(&discovery->found);
}

/* ---------------------------------------------------------------- which */

/* Everything that is read for one pod. */
struct sources {
	struct tcp_sockets *sockets; /* NULL: they could not be read */
	struct connections tracked;
};

static void sources_clear(struct sources *sources)
{
	if (sources->sockets)
		tcp_sockets_clear(sources->sockets);
	free(sources->sockets);
	connections_clear(&sources->tracked);
}

static int read_sockets(const struct egress_endpoint *pod, const char *netns, struct sources *sources,
			struct discovery *discovery)
{
	struct tcp_sockets *sockets = calloc(1, sizeof(*sockets));

	if (!sockets)
		return -ENOMEM;
	discovery->sockets_error = tcp_sockets_read(pod, netns, sockets);
	if (discovery->sockets_error) {
		free(sockets);
		return discovery->sockets_error == -ENOMEM ? -ENOMEM : 0;
	}
	sources->sockets = sockets;
	return 0;
}

static int read_conntrack(const struct egress_endpoint *pod, struct sources *sources, struct discovery *discovery)
{
	discovery->conntrack_error = conntrack_read(pod, &sources->tracked);
	if (discovery->conntrack_error)
		connections_clear(&sources->tracked);
	return discovery->conntrack_error == -ENOMEM ? -ENOMEM : 0;
}

static bool is_served(const struct tcp_sockets *sockets, const struct egress_flow_key *key)
{
	return sockets->listening[ntohs(key->local_port)];
}

static int take_sockets(const struct sources *sources, struct connections *out)
{
	const struct connections *list = &sources->sockets->connected;
	int error = 0;

	for (size_t i = 0; !error && i < list->count; i++)
		if (is_served(sources->sockets, &list->items[i].key))
			error = connections_add(out, &list->items[i]);
	return error;
}

/*
 * Of TCP the node's tracking is believed only where the pod has a socket for the connection, at a port that is listened
 * at. Without a socket the connection was that of whoever had the address before, for days; and where tracking began in
 * the middle of a connection it takes the side that it heard first for the one that opened it. A pod that routes for
 * others has no sockets for theirs.
 */
static bool is_pods_own(const struct egress_endpoint *pod, const struct sources *sources,
			const struct egress_flow_key *key)
{
	return key->protocol != IPPROTO_TCP || !sources->sockets || pod->flags & EGRESS_ENDPOINT_ROUTER ||
	       (is_served(sources->sockets, key) && connections_find(&sources->sockets->connected, key));
}

static int take_conntrack(const struct egress_endpoint *pod, const struct sources *sources, struct connections *out)
{
	const struct connections *list = &sources->tracked;
	int error = 0;

	for (size_t i = 0; !error && i < list->count; i++) {
		if (!is_pods_own(pod, sources, &list->items[i].key))
			continue;
		error = connections_add(out, &list->items[i]);
	}
	return error;
}

/* On a node that tracks connections they only matter for those of TCP; to find them takes a look at every process. */
static bool needs_sockets(const struct sources *sources, const struct discovery *discovery)
{
	if (discovery->conntrack_error)
		return discovery->conntrack_error == -ENOENT;
	for (size_t i = 0; i < sources->tracked.count; i++)
		if (sources->tracked.items[i].key.protocol == IPPROTO_TCP)
			return true;
	return false;
}

int discovery_find(const struct egress_endpoint *pod, const char *netns, struct discovery *out)
{
	_cleanup_(sources_clear) struct sources sources = {0};
	_cleanup_(discovery_clear) struct discovery discovery = {0};
	int error = read_conntrack(pod, &sources, &discovery);

	if (!error && needs_sockets(&sources, &discovery))
		error = read_sockets(pod, netns, &sources, &discovery);
	/*
	 * What the node saw is better than what is in the pod's hands: whose port is the local one of a connection that
	 * goes out may listen at it, too.
	 */
	if (!error && sources.sockets && discovery.conntrack_error == -ENOENT)
		error = take_sockets(&sources, &discovery.found);
	if (!error)
		error = take_conntrack(pod, &sources, &discovery.found);
	if (error)
		return error;
	*out = discovery;
	discovery.found = (struct connections){0};
	return 0;
}

/* ---------------------------------------------------------------- entering */

/* The header behind that of Ethernet is aligned. */
struct frame {
	uint32_t length;
	uint8_t padding[2];
	uint8_t bytes[126];
};
_Static_assert((offsetof(struct frame, bytes) + sizeof(struct ethhdr)) % sizeof(uint32_t) == 0, "aligned");

static void *add(struct frame *frame, size_t length)
{
	void *place = frame->bytes + frame->length;

	frame->length += (uint32_t)length;
	return place;
}

/* The smallest packet that opens such a connection; checksums are not looked at. */
static void add_transport(struct frame *frame, const struct egress_flow_key *key)
{
	uint8_t *header;

	switch (key->protocol) {
	case IPPROTO_TCP:
		header = add(frame, 20);
		header[12] = 5 << 4;
		header[13] = 0x02; /* SYN */
		break;
	case IPPROTO_ICMP:
	case IPPROTO_ICMPV6:
		header = add(frame, 8);
		header[0] = key->family == 4 ? ICMP_ECHO : ICMP6_ECHO_REQUEST;
		memcpy(header + 4, &key->local_port, 2);
		return;
	case IPPROTO_SCTP:
		header = add(frame, 12);
		break;
	default:
		header = add(frame, 8);
		header[5] = 8;
	}
	memcpy(header, &key->remote_port, 2);
	memcpy(header + 2, &key->local_port, 2);
}

static void make_frame(const struct egress_flow_key *key, struct frame *frame)
{
	struct ethhdr *ethernet = add(frame, sizeof(*ethernet));
	uint32_t before;

	ethernet->h_proto = htons(key->family == 4 ? ETH_P_IP : ETH_P_IPV6);
	if (key->family == 4) {
		struct ip *ip = add(frame, sizeof(*ip));

		add_transport(frame, key);
		ip->ip_v = 4;
		ip->ip_hl = 5;
		ip->ip_len = htons((uint16_t)(frame->length - sizeof(*ethernet)));
		ip->ip_ttl = 64;
		ip->ip_p = key->protocol;
		memcpy(&ip->ip_src, key->remote, sizeof(ip->ip_src));
		memcpy(&ip->ip_dst, key->local, sizeof(ip->ip_dst));
	} else {
		struct ip6_hdr *ip = add(frame, sizeof(*ip));

		before = frame->length;
		add_transport(frame, key);
		ip->ip6_vfc = 6 << 4;
		ip->ip6_plen = htons((uint16_t)(frame->length - before));
		ip->ip6_nxt = key->protocol;
		ip->ip6_hlim = 64;
		memcpy(&ip->ip6_src, key->remote, sizeof(ip->ip6_src));
		memcpy(&ip->ip6_dst, key->local, sizeof(ip->ip6_dst));
	}
}

static int show_packet(const struct datapath *datapath, uint32_t ifindex, const struct egress_flow_key *key)
{
	struct __sk_buff context = {.ifindex = ifindex};
	struct frame frame = {0};
	LIBBPF_OPTS(bpf_test_run_opts, options, .ctx_in = &context, .ctx_size_in = sizeof(context));

	make_frame(key, &frame);
	options.data_in = frame.bytes;
	options.data_size_in = frame.length;
	if (bpf_prog_test_run_opts(datapath->in_force->program_fd[HOOK_TO_POD], &options))
		return fail_errno(-errno, "cannot show egress_to_pod a packet to interface %u", ifindex);
	return 0;
}

/*
 * The flow as far as it had come; false: it is not in the table. What a packet changes in the same moment may be lost:
 * a time stamp, or that one side has said FIN.
 */
static bool advance(const struct datapath *datapath, const struct connection *connection,
		    const struct egress_flow_key *key)
{
	struct egress_flow flow;

	if (bpf_map_lookup_elem(datapath->flows, key, &flow))
		return false;
	if (flow.state < connection->state) {
		flow.state = (uint16_t)connection->state;
		bpf_map_update_elem(datapath->flows, key, &flow, BPF_EXIST);
	}
	return true;
}

int discovery_enter(struct datapath *datapath, const struct egress_endpoint *pod, const struct discovery *discovery,
		    size_t *entered)
{
	size_t count = 0;

	if (!datapath->in_force)
		return fail(-EINVAL, "there are no programs in force");
	for (size_t i = 0; i < discovery->found.count; i++) {
		const struct connection *connection = &discovery->found.items[i];
		struct egress_flow_key key = connection->key;
		int error = show_packet(datapath, pod->ifindex, &key);

		if (error)
			return error;
		key.endpoint = pod->id;
		count += advance(datapath, connection, &key);
	}
	*entered = count;
	return 0;
}
