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

struct discoveries *discoveries_new(size_t count)
{
	return calloc(1, sizeof(struct discoveries) + count * sizeof(struct discovery));
}

int discoveries_add(struct discoveries *list, const struct egress_endpoint *pod, const char *netns)
{
	struct discovery *discovery = &list->items[list->count];

	if (netns) {
		discovery->netns = strdup(netns);
		if (!discovery->netns)
			return -ENOMEM;
	}
	discovery->pod = *pod;
	list->count++;
	return 0;
}

void discoveries_free(struct discoveries *list)
{
	if (!list)
		return;
	for (size_t i = 0; i < list->count; i++) {
		connections_clear(&list->items[i].found);
		free(list->items[i].netns);
	}
	free(list);
}

/* ---------------------------------------------------------------- which */

static bool is_served(const struct tcp_sockets *sockets, const struct flow_tuple *tuple)
{
	return tcp_sockets_listen(sockets, tuple->local_port);
}

static int take_sockets(const struct tcp_sockets *sockets, struct connections *out)
{
	const struct connections *list = &sockets->connected;
	int error = 0;

	for (size_t i = 0; !error && i < list->count; i++)
		if (is_served(sockets, &list->items[i].tuple))
			error = connections_add(out, &list->items[i]);
	return error;
}

/*
 * Of TCP the node's tracking is believed only where the pod has a socket for the connection, at a port that is listened
 * at. Without a socket the connection was that of whoever had the address before, for days; and where tracking began in
 * the middle of a connection it takes the side that it heard first for the one that opened it. A pod that routes for
 * others has no sockets for theirs.
 */
static bool is_pods_own(const struct egress_endpoint *pod, const struct tcp_sockets *sockets,
			const struct flow_tuple *tuple)
{
	return tuple->protocol != IPPROTO_TCP || !sockets || pod->flags & EGRESS_ENDPOINT_ROUTER ||
	       (is_served(sockets, tuple) && connections_find(&sockets->connected, tuple));
}

/* sockets NULL: they could not be read, or do not matter. */
static int take_tracked(const struct conntrack_request *tracking, const struct tcp_sockets *sockets,
			struct connections *out)
{
	const struct connections *list = &tracking->tracked;
	int error = 0;

	for (size_t i = 0; !error && i < list->count; i++)
		if (is_pods_own(tracking->pod, sockets, &list->items[i].tuple))
			error = connections_add(out, &list->items[i]);
	return error;
}

/* Everything that is read for pods, in the order of `list`; requests are of those whose sockets matter. */
struct sources {
	struct discoveries *list;
	struct conntrack_request *tracking;
	struct socket_request *requests;
	size_t *of_request; /* index in `list` */
	size_t request_count;
};

static void sources_clear(struct sources *sources)
{
	for (size_t i = 0; sources->tracking && i < sources->list->count; i++)
		connections_clear(&sources->tracking[i].tracked);
	free(sources->tracking);
	free(sources->requests);
	free(sources->of_request);
}

static int sources_new(struct discoveries *list, struct sources *sources)
{
	sources->list = list;
	sources->tracking = calloc(list->count, sizeof(*sources->tracking));
	sources->requests = calloc(list->count, sizeof(*sources->requests));
	sources->of_request = calloc(list->count, sizeof(*sources->of_request));
	if (!sources->tracking || !sources->requests || !sources->of_request)
		return -ENOMEM;
	for (size_t i = 0; i < list->count; i++)
		sources->tracking[i].pod = &list->items[i].pod;
	return 0;
}

static void read_conntrack(struct sources *sources)
{
	struct discoveries *list = sources->list;

	list->conntrack_error = conntrack_read(sources->tracking, list->count);
	for (size_t i = 0; list->conntrack_error && i < list->count; i++)
		connections_clear(&sources->tracking[i].tracked);
}

/* Whether nothing of the pod is tracked: the node tracks nothing, or not what goes to and from this pod. */
static bool is_untracked(const struct discoveries *list, const struct conntrack_request *tracking)
{
	return list->conntrack_error == -ENOENT || (!list->conntrack_error && !tracking->known);
}

/* Where the pod is tracked they only matter for connections of TCP; to find them takes a look at every process. */
static bool needs_sockets(const struct discoveries *list, const struct conntrack_request *tracking)
{
	const struct connections *tracked = &tracking->tracked;

	if (is_untracked(list, tracking))
		return true;
	for (size_t i = 0; i < tracked->count; i++)
		if (tracked->items[i].tuple.protocol == IPPROTO_TCP)
			return true;
	return false;
}

/*
 * What the node saw is better than what is in the pod's hands: whose port is the local one of a connection that goes out
 * may listen at it, too.
 */
static int visit_sockets(struct socket_request *request, const struct tcp_sockets *sockets, void *data)
{
	const struct sources *sources = data;
	size_t index = sources->of_request[request - sources->requests];
	struct connections *found = &sources->list->items[index].found;

	return is_untracked(sources->list, &sources->tracking[index]) ?
		       take_sockets(sockets, found) : take_tracked(&sources->tracking[index], sockets, found);
}

static void read_sockets(struct sources *sources)
{
	struct discoveries *list = sources->list;

	for (size_t i = 0; i < list->count; i++) {
		if (!needs_sockets(list, &sources->tracking[i]))
			continue;
		sources->of_request[sources->request_count] = i;
		sources->requests[sources->request_count++] =
			(struct socket_request){.pod = &list->items[i].pod, .netns = list->items[i].netns};
	}
	if (sources->request_count)
		tcp_sockets_read(sources->requests, sources->request_count, visit_sockets, sources);
	for (size_t i = 0; i < sources->request_count; i++) {
		size_t index = sources->of_request[i];
		int error = sources->requests[i].error;

		/* Without a process and without anything tracked it has not begun: there is nothing to miss. */
		if (error == -ENOENT && !list->conntrack_error && !sources->tracking[index].known)
			error = 0;
		list->items[index].sockets_error = error;
	}
}

/* Of those whose sockets do not matter, or could not be read. */
static void take_rest(const struct sources *sources)
{
	size_t next = 0;

	for (size_t i = 0; i < sources->list->count; i++) {
		struct discovery *discovery = &sources->list->items[i];
		bool asked = next < sources->request_count && sources->of_request[next] == i;

		next += asked;
		if (asked && !discovery->sockets_error)
			continue;
		discovery->found.count = 0;
		discovery->error = take_tracked(&sources->tracking[i], NULL, &discovery->found);
	}
}

void discovery_find(struct discoveries *list)
{
	_cleanup_(sources_clear) struct sources sources = {0};
	int error = sources_new(list, &sources);

	if (error) {
		for (size_t i = 0; i < list->count; i++)
			list->items[i].error = error;
		return;
	}
	read_conntrack(&sources);
	read_sockets(&sources);
	take_rest(&sources);
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
static void add_transport(struct frame *frame, const struct flow_tuple *tuple)
{
	uint8_t *header;

	switch (tuple->protocol) {
	case IPPROTO_TCP:
		header = add(frame, 20);
		header[12] = 5 << 4;
		header[13] = 0x02; /* SYN */
		break;
	case IPPROTO_ICMP:
	case IPPROTO_ICMPV6:
		header = add(frame, 8);
		header[0] = tuple->family == 4 ? ICMP_ECHO : ICMP6_ECHO_REQUEST;
		memcpy(header + 4, &tuple->local_port, 2);
		return;
	case IPPROTO_SCTP:
		header = add(frame, 12);
		break;
	default:
		header = add(frame, 8);
		header[5] = 8;
	}
	memcpy(header, &tuple->remote_port, 2);
	memcpy(header + 2, &tuple->local_port, 2);
}

static void make_frame(const struct flow_tuple *tuple, struct frame *frame)
{
	struct ethhdr *ethernet = add(frame, sizeof(*ethernet));
	uint32_t before;

	ethernet->h_proto = htons(tuple->family == 4 ? ETH_P_IP : ETH_P_IPV6);
	if (tuple->family == 4) {
		struct ip *ip = add(frame, sizeof(*ip));

		add_transport(frame, tuple);
		ip->ip_v = 4;
		ip->ip_hl = 5;
		ip->ip_len = htons((uint16_t)(frame->length - sizeof(*ethernet)));
		ip->ip_ttl = 64;
		ip->ip_p = tuple->protocol;
		memcpy(&ip->ip_src, tuple->remote, sizeof(ip->ip_src));
		memcpy(&ip->ip_dst, tuple->local, sizeof(ip->ip_dst));
	} else {
		struct ip6_hdr *ip = add(frame, sizeof(*ip));

		before = frame->length;
		add_transport(frame, tuple);
		ip->ip6_vfc = 6 << 4;
		ip->ip6_plen = htons((uint16_t)(frame->length - before));
		ip->ip6_nxt = tuple->protocol;
		ip->ip6_hlim = 64;
		memcpy(&ip->ip6_src, tuple->remote, sizeof(ip->ip6_src));
		memcpy(&ip->ip6_dst, tuple->local, sizeof(ip->ip6_dst));
	}
}

static int show_packet(const struct datapath *datapath, uint32_t ifindex, const struct flow_tuple *tuple)
{
	struct __sk_buff context = {.ifindex = ifindex};
	struct frame frame = {0};
	LIBBPF_OPTS(bpf_test_run_opts, options, .ctx_in = &context, .ctx_size_in = sizeof(context));

	make_frame(tuple, &frame);
	options.data_in = frame.bytes;
	options.data_size_in = frame.length;
	if (bpf_prog_test_run_opts(datapath->in_force->program_fd[HOOK_TO_POD], &options))
		return fail_errno(-errno, "cannot show egress_to_pod a packet to interface %u", ifindex);
	return 0;
}

/*
 * The flow as far as it had come; false: it is not in the table. What a packet changes in the same moment may be lost:
 * a time stamp, that one side has said FIN, or what took the flow's key.
 */
static bool advance(const struct datapath *datapath, const struct connection *connection,
		    const struct flow_tuple *tuple)
{
	struct egress_flow flow;

	if (datapath_flow_read(datapath, tuple, &flow))
		return false;
	if (flow.state < connection->state) {
		flow.state = (uint16_t)connection->state;
		datapath_flow_update(datapath, tuple, &flow);
	}
	return true;
}

int discovery_enter(struct datapath *datapath, const struct discovery *discovery, size_t *entered)
{
	size_t count = 0;

	if (!datapath->in_force)
		return fail(-EINVAL, "there are no programs in force");
	for (size_t i = 0; i < discovery->found.count; i++) {
		const struct connection *connection = &discovery->found.items[i];
		struct flow_tuple tuple = connection->tuple;
		int error = show_packet(datapath, discovery->pod.ifindex, &tuple);

		if (error)
			return error;
		tuple.endpoint = discovery->pod.id;
		count += advance(datapath, connection, &tuple);
	}
	*entered = count;
	return 0;
}
