/* SPDX-License-Identifier: Apache-2.0 */
/* What the node's connection tracking knows of pods (ctnetlink). */
#include <errno.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nf_conntrack_tcp.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <linux/netlink.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/cleanup.h"
#include "datapath/connections.h"
#include "datapath/netlink.h"

/* Of this namespace. To dump what is tracked where there is no tracking would load the kernel's module. */
#define CONNTRACK_COUNT "/proc/sys/net/netfilter/nf_conntrack_count"
#define REQUEST_SIZE    (MNL_NLMSG_HDRLEN + 256)
/* Millions of connections take seconds. Nobody but their pods waits for them. */
#define ANSWER_MILLISECONDS 30000

/*
 * Since 5.8 the kernel can leave out what is not of interest; an older one sends everything. The flags name what of a
 * tuple counts, and are not in its headers for programs.
 */
#define FILTER             25
#define FILTER_ORIG_FLAGS  1
#define FILTER_REPLY_FLAGS 2
#define FILTER_SOURCE      (1u << 0)

struct tuple {
	uint32_t source[4], destination[4];
	uint16_t source_port, destination_port; /* network order; ICMP: the identifier, 0 */
	uint8_t protocol;
};

struct entry {
	struct tuple original, reply;
	uint32_t status; /* IPS_* */
	uint8_t tcp_state;
};

/* ---------------------------------------------------------------- attributes */

static void copy_address(const struct nlattr *attribute, uint32_t out[4])
{
	size_t length = mnl_attr_get_payload_len(attribute);

	if (length <= 4 * sizeof(uint32_t))
		memcpy(out, mnl_attr_get_payload(attribute), length);
}

static void copy_port(const struct nlattr *attribute, uint16_t *out)
{
	if (mnl_attr_get_payload_len(attribute) == sizeof(*out))
		memcpy(out, mnl_attr_get_payload(attribute), sizeof(*out));
}

static uint8_t get_u8(const struct nlattr *attribute)
{
	return mnl_attr_get_payload_len(attribute) ? mnl_attr_get_u8(attribute) : 0;
}

static int visit_addresses(const struct nlattr *attribute, void *data)
{
	struct tuple *tuple = data;

	switch (mnl_attr_get_type(attribute)) {
	case CTA_IP_V4_SRC:
	case CTA_IP_V6_SRC:
		copy_address(attribute, tuple->source);
		break;
	case CTA_IP_V4_DST:
	case CTA_IP_V6_DST:
		copy_address(attribute, tuple->destination);
		break;
	}
	return MNL_CB_OK;
}

static int visit_ports(const struct nlattr *attribute, void *data)
{
	struct tuple *tuple = data;

	switch (mnl_attr_get_type(attribute)) {
	case CTA_PROTO_NUM:
		tuple->protocol = get_u8(attribute);
		break;
	case CTA_PROTO_SRC_PORT:
	case CTA_PROTO_ICMP_ID:
	case CTA_PROTO_ICMPV6_ID:
		copy_port(attribute, &tuple->source_port);
		break;
	case CTA_PROTO_DST_PORT:
		copy_port(attribute, &tuple->destination_port);
		break;
	}
	return MNL_CB_OK;
}

static int visit_tuple(const struct nlattr *attribute, void *data)
{
	switch (mnl_attr_get_type(attribute)) {
	case CTA_TUPLE_IP:
		return mnl_attr_parse_nested(attribute, visit_addresses, data);
	case CTA_TUPLE_PROTO:
		return mnl_attr_parse_nested(attribute, visit_ports, data);
	default:
		return MNL_CB_OK;
	}
}

static int visit_tcp(const struct nlattr *attribute, void *data)
{
	struct entry *entry = data;

	if (mnl_attr_get_type(attribute) == CTA_PROTOINFO_TCP_STATE)
		entry->tcp_state = get_u8(attribute);
	return MNL_CB_OK;
}

static int visit_protocol(const struct nlattr *attribute, void *data)
{
	return mnl_attr_get_type(attribute) == CTA_PROTOINFO_TCP ? mnl_attr_parse_nested(attribute, visit_tcp, data)
								 : MNL_CB_OK;
}

static int visit_attribute(const struct nlattr *attribute, void *data)
{
	struct entry *entry = data;

	switch (mnl_attr_get_type(attribute)) {
	case CTA_TUPLE_ORIG:
		return mnl_attr_parse_nested(attribute, visit_tuple, &entry->original);
	case CTA_TUPLE_REPLY:
		return mnl_attr_parse_nested(attribute, visit_tuple, &entry->reply);
	case CTA_PROTOINFO:
		return mnl_attr_parse_nested(attribute, visit_protocol, entry);
	case CTA_STATUS:
		if (mnl_attr_get_payload_len(attribute) == sizeof(entry->status))
			entry->status = ntohl(mnl_attr_get_u32(attribute));
		break;
	}
	return MNL_CB_OK;
}

/* ---------------------------------------------------------------- entries */

/* How far it has come; false where it is over, or of a protocol that has no flows. */
static bool read_state(const struct entry *entry, enum egress_flow_state *out)
{
	if (entry->original.protocol == IPPROTO_TCP) {
		switch (entry->tcp_state) {
		case TCP_CONNTRACK_SYN_SENT:
			*out = EGRESS_FLOW_NEW;
			return true;
		case TCP_CONNTRACK_SYN_RECV:
			*out = EGRESS_FLOW_ANSWERED;
			return true;
		case TCP_CONNTRACK_ESTABLISHED:
		case TCP_CONNTRACK_FIN_WAIT:
		case TCP_CONNTRACK_CLOSE_WAIT:
		case TCP_CONNTRACK_LAST_ACK:
			*out = EGRESS_FLOW_ESTABLISHED;
			return true;
		default:
			return false;
		}
	}
	*out = entry->status & IPS_ASSURED      ? EGRESS_FLOW_ESTABLISHED
	       : entry->status & IPS_SEEN_REPLY ? EGRESS_FLOW_ANSWERED
						: EGRESS_FLOW_NEW;
	return entry->original.protocol == IPPROTO_UDP || entry->original.protocol == IPPROTO_SCTP ||
	       entry->original.protocol == IPPROTO_ICMP || entry->original.protocol == IPPROTO_ICMPV6;
}

static bool is_icmp(uint8_t protocol)
{
	return protocol == IPPROTO_ICMP || protocol == IPPROTO_ICMPV6;
}

/* Whose address it is. Sorted by address. */
struct owner {
	uint32_t address[4];
	uint8_t family; /* 4 or 6 */
	struct conntrack_request *request;
};

struct owners {
	struct owner *items;
	size_t count;
};

static void owners_clear(struct owners *owners)
{
	free(owners->items);
}

static int compare_addresses(const void *a, const void *b)
{
	const struct owner *first = a, *second = b;
	int order = memcmp(first->address, second->address, sizeof(first->address));

	return order ? order : first->family - second->family;
}

static bool is_set(const uint32_t address[4])
{
	static const uint32_t none[4];

	return memcmp(address, none, sizeof(none));
}

static void add_owner(struct owners *owners, struct conntrack_request *request, uint8_t family,
		      const uint32_t address[4])
{
	struct owner *owner = &owners->items[owners->count];

	if (!is_set(address))
		return;
	memcpy(owner->address, address, sizeof(owner->address));
	owner->family = family;
	owner->request = request;
	owners->count++;
}

static int list_owners(struct conntrack_request *requests, size_t count, struct owners *owners)
{
	owners->items = calloc(count, 2 * sizeof(*owners->items));
	if (!owners->items)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++) {
		const uint32_t ipv4[4] = {requests[i].pod->ipv4};

		add_owner(owners, &requests[i], 4, ipv4);
		add_owner(owners, &requests[i], 6, requests[i].pod->ipv6);
	}
	qsort(owners->items, owners->count, sizeof(*owners->items), compare_addresses);
	return 0;
}

/* The first of those that have the address; the others follow it. NULL: nobody. */
static const struct owner *find_owner(const struct owners *owners, uint8_t family, const uint32_t address[4])
{
	struct owner wanted = {.family = family};
	size_t low = 0, high = owners->count;

	memcpy(wanted.address, address, sizeof(wanted.address));
	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (compare_addresses(&owners->items[middle], &wanted) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low < owners->count && !compare_addresses(&owners->items[low], &wanted) ? &owners->items[low] : NULL;
}

struct dump {
	const struct owners *owners;
	int64_t deadline;
	int error;
};

/* Whoever has the address is tracked, whatever has become of the connection. */
static void note_known(const struct owners *owners, uint8_t family, const uint32_t address[4])
{
	const struct owner *first = find_owner(owners, family, address), *owner;

	for (owner = first; owner && owner < owners->items + owners->count && !compare_addresses(owner, first); owner++)
		owner->request->known = true;
}

static int note(const struct owners *owners, const struct entry *entry, const struct connection *connection)
{
	const struct owner *first = find_owner(owners, connection->tuple.family, entry->reply.source), *owner;
	int error = 0;

	for (owner = first; owner && owner < owners->items + owners->count && !compare_addresses(owner, first) && !error;
	     owner++)
		if (!connections_is_own(owner->request->pod, connection->tuple.family, entry->original.source))
			error = connections_add(&owner->request->tracked, connection);
	return error;
}

/* The answer is as the pod's packets carry it, whatever the node translates. */
static int visit_entry(const struct nlmsghdr *header, void *data)
{
	const struct nfgenmsg *family = mnl_nlmsg_get_payload(header);
	struct connection connection = {.tuple.family = family->nfgen_family == AF_INET ? 4 : 6};
	struct dump *dump = data;
	struct entry entry = {0};
	const struct tuple *answer = &entry.reply;

	if (mnl_attr_parse(header, sizeof(*family), visit_attribute, &entry) < 0)
		return MNL_CB_ERROR;
	note_known(dump->owners, connection.tuple.family, entry.original.source);
	note_known(dump->owners, connection.tuple.family, entry.reply.source);
	if (!read_state(&entry, &connection.state))
		return MNL_CB_OK;
	connection.tuple.protocol = answer->protocol;
	memcpy(connection.tuple.local, answer->source, sizeof(connection.tuple.local));
	memcpy(connection.tuple.remote, answer->destination, sizeof(connection.tuple.remote));
	connection.tuple.local_port = answer->source_port;
	connection.tuple.remote_port = is_icmp(answer->protocol) ? 0 : answer->destination_port;
	dump->error = note(dump->owners, &entry, &connection);
	return dump->error ? MNL_CB_ERROR : MNL_CB_OK;
}

/*
 * Only entries with this source in the tuple: CTA_TUPLE_REPLY, what the address answers, or CTA_TUPLE_ORIG. Of IPv6 kernels
 * leave out those that match (seen in 6.18), so not there.
 */
static void put_filter(struct nlmsghdr *request, uint16_t side, uint32_t ipv4)
{
	struct nlattr *tuple = mnl_attr_nest_start(request, side), *inner;

	inner = mnl_attr_nest_start(request, CTA_TUPLE_IP);
	mnl_attr_put(request, CTA_IP_V4_SRC, sizeof(ipv4), &ipv4);
	mnl_attr_nest_end(request, inner);
	mnl_attr_nest_end(request, tuple);
	inner = mnl_attr_nest_start(request, FILTER);
	mnl_attr_put_u32(request, FILTER_ORIG_FLAGS, side == CTA_TUPLE_ORIG ? FILTER_SOURCE : 0);
	mnl_attr_put_u32(request, FILTER_REPLY_FLAGS, side == CTA_TUPLE_REPLY ? FILTER_SOURCE : 0);
	mnl_attr_nest_end(request, inner);
}

static size_t count_family(const struct owners *owners, uint8_t family, const struct owner **one)
{
	size_t count = 0;

	for (size_t i = 0; i < owners->count; i++) {
		if (owners->items[i].family != family)
			continue;
		*one = &owners->items[i];
		count++;
	}
	return count;
}

/* What an answer that was torn said of the family is not counted twice. */
static void forget(const struct owners *owners, uint8_t family)
{
	for (size_t i = 0; i < owners->count; i++) {
		struct connections *list = &owners->items[i].request->tracked;
		size_t kept = 0;

		for (size_t j = 0; j < list->count; j++)
			if (list->items[j].tuple.family != family)
				list->items[kept++] = list->items[j];
		list->count = kept;
	}
}

/* one: the only one to ask for, as source in the tuple `side`; NULL: all. */
static int dump_part(struct mnl_socket *socket, uint8_t family, const struct owner *one, uint16_t side,
		     struct dump *dump)
{
	int error = -EINTR;

	for (int i = 0; error == -EINTR && i < NETLINK_ATTEMPTS; i++) {
		char buffer[REQUEST_SIZE] __attribute__((aligned(8)));
		struct nlmsghdr *request = mnl_nlmsg_put_header(buffer);
		struct nfgenmsg *header;

		request->nlmsg_type = NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_GET;
		request->nlmsg_flags = NLM_F_DUMP;
		header = mnl_nlmsg_put_extra_header(request, sizeof(*header));
		header->nfgen_family = family;
		header->version = NFNETLINK_V0;
		if (one)
			put_filter(request, side, one->address[0]);
		forget(dump->owners, family == AF_INET ? 4 : 6);
		error = netlink_request_until(socket, request, dump->deadline, visit_entry, dump);
	}
	return dump->error ? dump->error : error;
}

static int dump_family(struct mnl_socket *socket, uint8_t family, struct dump *dump)
{
	const struct owner *one = NULL;
	size_t count = count_family(dump->owners, family == AF_INET ? 4 : 6, &one);
	int error;

	if (!count)
		return 0;
	if (family != AF_INET || count > 1)
		return dump_part(socket, family, NULL, 0, dump);
	error = dump_part(socket, family, one, CTA_TUPLE_REPLY, dump);
	/* What the pod opened itself only matters where there is nothing else. */
	return error || one->request->known ? error : dump_part(socket, family, one, CTA_TUPLE_ORIG, dump);
}

/* The first rule that asks for it turns tracking on. */
static bool tracks(void)
{
	_cleanup_file_ FILE *file = fopen(CONNTRACK_COUNT, "re");
	unsigned int count = 0;

	return file && fscanf(file, "%u", &count) == 1 && count;
}

int conntrack_read(struct conntrack_request *requests, size_t count)
{
	_cleanup_(owners_clear) struct owners owners = {0};
	struct dump dump = {.owners = &owners, .deadline = netlink_in(ANSWER_MILLISECONDS)};
	_cleanup_netlink_ struct mnl_socket *socket = NULL;
	int error;

	if (!tracks())
		return -ENOENT;
	error = list_owners(requests, count, &owners);
	if (!error)
		error = netlink_open(NETLINK_NETFILTER, 0, &socket);
	if (!error)
		error = dump_family(socket, AF_INET, &dump);
	if (!error)
		error = dump_family(socket, AF_INET6, &dump);
	return error;
}
