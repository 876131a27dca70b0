// SPDX-License-Identifier: Apache-2.0
/*
 * Verdicts of the kernel: takes manifests and flows as `egressctl explain -f DIR --flows FILE` does and answers in the
 * same form, but each flow becomes a packet that the loaded program judges with the compiled tables (BPF_PROG_TEST_RUN).
 *
 *   kernel -f DIRECTORY --flows FILE [--node-addresses LIST]
 *
 * As in the agent, sources are the pods with an interface. The program sees every packet on one interface, so the
 * endpoint there is changed from pod to pod. A drop for any reason but policy is an error: the packets are well-formed.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <net/ethernet.h>
#include <netinet/icmp6.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <netinet/ip_icmp.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <jansson.h>
#include <linux/pkt_cls.h>

#include "base/cleanup.h"
#include "datapath/table_maps.h"
#include "egressd.skel.h"
#include "policy/policy.h"
#include "policy/tables.h"
#include "source/directory.h"

#define TEST_IFINDEX       1 /* what BPF_PROG_TEST_RUN takes without being told: the loopback interface */
#define GENERATION         1
#define SOURCE_PORT        40000
#define SCTP_HEADER_SIZE   12
#define GRE_HEADER_SIZE    4
#define MAX_NODE_ADDRESSES 64

struct arguments {
	const char *directory;
	const char *flows;
	const char *node_addresses;
};

struct judge {
	struct store *store;
	struct directory_source *source;
	struct policy *policy;
	struct tables *tables;
	struct egressd *bpf;
	struct table_maps maps;
	const struct policy_endpoint *current; /* the pod that the interface belongs to now */
};

struct flow {
	char namespace[256], name[256];
	struct ip_address destination;
	uint8_t protocol;
	uint16_t port; /* host order */
};

struct packet {
	uint8_t bytes[256];
	size_t length;
};

static int __attribute__((format(printf, 1, 2))) complain(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	fputc('\n', stderr);
	return -EINVAL;
}

/* ------------------------------------------------------------------ manifests to tables */

static void print_problems(const struct problem_list *problems)
{
	char text[1024];
	size_t i;

	for (i = 0; i < problems->count; i++)
		if (problems->items[i].severity == PROBLEM_ERROR)
			fprintf(stderr, "%s\n", problem_format(&problems->items[i], text, sizeof(text)));
}

static int read_manifests(struct judge *judge, const char *directory)
{
	_cleanup_(problem_list_clear) struct problem_list problems = {0};
	bool changed;
	size_t bad;
	int error;

	error = store_new(&judge->store);
	if (!error)
		error = directory_source_new(directory, &judge->source);
	if (!error)
		error = directory_source_sync(judge->source, judge->store, &problems, &changed, &bad);
	if (error)
		return complain("%s: %s", directory, strerror(-error));
	print_problems(&problems);
	return problems.errors ? -EINVAL : 0;
}

static int parse_node_addresses(const char *list, struct ip_address addresses[MAX_NODE_ADDRESSES], size_t *count)
{
	_cleanup_free_ char *copy = strdup(list ? list : "");
	char *item, *save = NULL;

	*count = 0;
	for (item = copy ? strtok_r(copy, ",", &save) : NULL; item; item = strtok_r(NULL, ",", &save))
		if (*count == MAX_NODE_ADDRESSES || ip_address_parse(item, &addresses[(*count)++]))
			return complain("node address '%s' is wrong or one too many", item);
	return 0;
}

static int compile(struct judge *judge, const char *node_addresses)
{
	_cleanup_(problem_list_clear) struct problem_list problems = {0};
	struct ip_address addresses[MAX_NODE_ADDRESSES];
	struct policy_options options = {.node_addresses = addresses};
	int error;

	error = parse_node_addresses(node_addresses, addresses, &options.node_address_count);
	if (error)
		return error;
	error = policy_compile(judge->store, &options, &judge->policy, &problems);
	print_problems(&problems);
	return error ? complain("cannot compile: %s", strerror(-error)) : 0;
}

static int load(struct judge *judge)
{
	uint32_t chunks = (uint32_t)(tables_words(judge->policy) / EGRESS_CHUNK_WORDS) + 1;
	int cpus = libbpf_num_possible_cpus();

	judge->bpf = egressd__open();
	if (!judge->bpf || cpus < 0)
		return complain("cannot open the programs");
	if (table_maps_create(&judge->maps, judge->bpf->obj, chunks, true) ||
	    bpf_map__set_max_entries(judge->bpf->maps.drop_log, (uint32_t)cpus * EGRESS_DROP_LOG_RECORDS) ||
	    bpf_program__set_autoload(judge->bpf->progs.egress_to_pod, false) ||
	    egressd__load(judge->bpf))
		return complain("cannot load the programs: %s", strerror(errno));
	if (table_maps_map(&judge->maps, false))
		return complain("cannot map the tables: %s", strerror(errno));
	return 0;
}

/* Endpoint ids are the index in policy_endpoints() plus one. */
static int write_tables(struct judge *judge)
{
	const struct policy_endpoint *endpoints;
	size_t count, i;
	int error;

	endpoints = policy_endpoints(judge->policy, &count);
	if (count >= EGRESS_ENDPOINT_MAX)
		return complain("%zu pods are more than there are endpoints", count);
	error = tables_new(judge->maps.memory, judge->maps.word_count, &judge->tables);
	if (!error)
		error = tables_write(judge->tables, judge->policy, GENERATION);
	if (error)
		return complain("cannot write the tables: %s", strerror(-error));
	for (i = 0; i < count; i++)
		tables_assign(judge->tables, (uint32_t)i + 1, endpoints[i].pod->namespace, endpoints[i].pod->name);
	tables_publish(judge->tables);
	return 0;
}

static void judge_clear(struct judge *judge)
{
	tables_free(judge->tables);
	table_maps_clear(&judge->maps);
	egressd__destroy(judge->bpf);
	policy_free(judge->policy);
	directory_source_free(judge->source);
	store_free(judge->store);
}

/* ------------------------------------------------------------------ flows to packets */

static int parse_protocol(const char *text, uint8_t *protocol)
{
	static const struct {
		const char *name;
		uint8_t number;
	} known[] = {
		{"TCP", IPPROTO_TCP},   {"UDP", IPPROTO_UDP},       {"SCTP", IPPROTO_SCTP},
		{"ICMP", IPPROTO_ICMP}, {"ICMPv6", IPPROTO_ICMPV6}, {"47", IPPROTO_GRE},
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(known); i++) {
		if (!strcasecmp(text, known[i].name)) {
			*protocol = known[i].number;
			return 0;
		}
	}
	return -EINVAL;
}

static int parse_flow(const char *line, struct flow *flow)
{
	json_t *json = json_loads(line, 0, NULL);
	const char *from, *to, *protocol = "TCP";
	int port = 0, error;

	if (!json)
		return -EINVAL;
	error = json_unpack(json, "{s:s, s:s, s?i, s?s}", "from", &from, "to", &to, "port", &port, "protocol",
			    &protocol);
	if (error || sscanf(from, "%255[^/]/%255s", flow->namespace, flow->name) != 2 || port < 0 ||
	    port > UINT16_MAX || ip_address_parse(to, &flow->destination) || parse_protocol(protocol, &flow->protocol))
		error = -EINVAL;
	flow->port = (uint16_t)port;
	json_decref(json);
	return error;
}

static const struct ip_address *address_of_family(const struct object *pod, uint8_t family)
{
	size_t i;

	for (i = 0; i < pod->pod.address_count; i++)
		if (pod->pod.addresses[i].family == family)
			return &pod->pod.addresses[i];
	return NULL;
}

/* Transport headers long enough to be taken for whole; checksums are nothing that a filter looks at. */
static size_t put_transport(uint8_t *at, const struct flow *flow)
{
	uint16_t ports[2] = {htons(SOURCE_PORT), htons(flow->port)};

	switch (flow->protocol) {
	case IPPROTO_TCP:
		memcpy(at, ports, sizeof(ports));
		((struct tcphdr *)at)->doff = sizeof(struct tcphdr) / 4;
		((struct tcphdr *)at)->syn = 1;
		return sizeof(struct tcphdr);
	case IPPROTO_UDP:
		memcpy(at, ports, sizeof(ports));
		((struct udphdr *)at)->len = htons(sizeof(struct udphdr));
		return sizeof(struct udphdr);
	case IPPROTO_SCTP:
		memcpy(at, ports, sizeof(ports));
		return SCTP_HEADER_SIZE;
	case IPPROTO_ICMP:
		((struct icmphdr *)at)->type = ICMP_ECHO;
		return sizeof(struct icmphdr);
	case IPPROTO_ICMPV6:
		((struct icmp6_hdr *)at)->icmp6_type = ICMP6_ECHO_REQUEST;
		return sizeof(struct icmp6_hdr);
	default:
		return GRE_HEADER_SIZE;
	}
}

static void put_ipv4(struct packet *packet, const struct flow *flow, const struct ip_address *source)
{
	struct iphdr *ip = (struct iphdr *)(packet->bytes + ETH_HLEN);
	size_t length = sizeof(*ip) + put_transport((uint8_t *)(ip + 1), flow);

	ip->version = 4;
	ip->ihl = sizeof(*ip) / 4;
	ip->ttl = IPDEFTTL;
	ip->protocol = flow->protocol;
	ip->tot_len = htons((uint16_t)length);
	memcpy(&ip->saddr, source->bytes, sizeof(ip->saddr));
	memcpy(&ip->daddr, flow->destination.bytes, sizeof(ip->daddr));
	packet->length = ETH_HLEN + length;
}

static void put_ipv6(struct packet *packet, const struct flow *flow, const struct ip_address *source)
{
	struct ip6_hdr *ip = (struct ip6_hdr *)(packet->bytes + ETH_HLEN);
	size_t length = put_transport((uint8_t *)(ip + 1), flow);

	ip->ip6_vfc = 6 << 4;
	ip->ip6_hlim = IPDEFTTL;
	ip->ip6_nxt = flow->protocol;
	ip->ip6_plen = htons((uint16_t)length);
	memcpy(&ip->ip6_src, source->bytes, sizeof(ip->ip6_src));
	memcpy(&ip->ip6_dst, flow->destination.bytes, sizeof(ip->ip6_dst));
	packet->length = ETH_HLEN + sizeof(*ip) + length;
}

static int build_packet(struct packet *packet, const struct flow *flow, const struct object *pod)
{
	const struct ip_address *source = address_of_family(pod, flow->destination.family);
	struct ether_header *ethernet = (struct ether_header *)packet->bytes;

	if (!source)
		return complain("%s/%s has no address of family %u", pod->namespace, pod->name,
				flow->destination.family);
	*packet = (struct packet){0};
	memset(ethernet->ether_dhost, 0x02, ETH_ALEN);
	memset(ethernet->ether_shost, 0x06, ETH_ALEN);
	if (flow->destination.family == 4) {
		ethernet->ether_type = htons(ETHERTYPE_IP);
		put_ipv4(packet, flow, source);
	} else {
		ethernet->ether_type = htons(ETHERTYPE_IPV6);
		put_ipv6(packet, flow, source);
	}
	return 0;
}

/* ------------------------------------------------------------------ verdicts */

/* The interface belongs to this pod from now on. */
static int switch_endpoint(struct judge *judge, const struct policy_endpoint *wanted)
{
	struct egress_endpoint endpoint = {.ifindex = TEST_IFINDEX};
	const struct policy_endpoint *first;
	const struct ip_address *address;
	uint32_t bucket = TEST_IFINDEX & (EGRESS_ENDPOINT_BUCKETS - 1);
	size_t count;

	if (wanted == judge->current)
		return 0;
	first = policy_endpoints(judge->policy, &count);
	endpoint.id = (uint32_t)(wanted - first) + 1;
	address = address_of_family(wanted->pod, 4);
	if (address)
		memcpy(&endpoint.ipv4, address->bytes, sizeof(endpoint.ipv4));
	address = address_of_family(wanted->pod, 6);
	if (address)
		memcpy(endpoint.ipv6, address->bytes, sizeof(endpoint.ipv6));
	if (bpf_map_update_elem(bpf_map__fd(judge->bpf->maps.endpoints), &bucket, &endpoint, BPF_ANY))
		return complain("cannot write an endpoint: %s", strerror(errno));
	judge->current = wanted;
	return 0;
}

/* 1: it passes; 0: it is dropped; or a negative error. */
static int judge_packet(struct judge *judge, const struct packet *packet)
{
	LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = packet->bytes, .data_size_in = (uint32_t)packet->length);

	if (bpf_prog_test_run_opts(bpf_program__fd(judge->bpf->progs.egress_from_pod), &options))
		return complain("the program did not run: %s", strerror(errno));
	if (options.retval != TC_ACT_SHOT && options.retval != (uint32_t)TC_ACT_UNSPEC)
		return complain("the program returned %d", (int)options.retval);
	return options.retval != TC_ACT_SHOT;
}

static int answer(struct judge *judge, const char *line)
{
	const struct policy_endpoint *endpoint;
	struct packet packet;
	struct flow flow;
	int allow;

	if (parse_flow(line, &flow))
		return complain("not a flow: %s", line);
	endpoint = policy_endpoint(judge->policy, flow.namespace, flow.name);
	if (!endpoint)
		return complain("%s/%s is no pod with an interface", flow.namespace, flow.name);
	if (switch_endpoint(judge, endpoint) || build_packet(&packet, &flow, endpoint->pod))
		return -EINVAL;
	allow = judge_packet(judge, &packet);
	if (allow < 0)
		return allow;
	printf("{\"verdict\":\"%s\"}\n", allow ? "allow" : "deny");
	return 0;
}

static int answer_all(struct judge *judge, const char *path)
{
	_cleanup_file_ FILE *file = fopen(path, "re");
	_cleanup_free_ char *line = NULL;
	size_t capacity = 0;

	if (!file)
		return complain("%s: %s", path, strerror(errno));
	while (getline(&line, &capacity, file) > 0)
		if (answer(judge, line))
			return -EINVAL;
	return 0;
}

/* Sum over all CPUs, or -1. */
static long dropped_packets(const struct judge *judge, uint32_t key)
{
	int cpus = libbpf_num_possible_cpus(), cpu;
	_cleanup_free_ struct egress_counter *counters = calloc((size_t)cpus, sizeof(*counters));
	long sum = 0;

	if (!counters || bpf_map_lookup_elem(bpf_map__fd(judge->bpf->maps.dropped), &key, counters))
		return -1;
	for (cpu = 0; cpu < cpus; cpu++)
		sum += (long)counters[cpu].packets;
	return sum;
}

/* Otherwise a packet that the program cannot parse would pass for one that policy denies. */
static int check_reasons(const struct judge *judge)
{
	size_t count;
	uint32_t id, reason;

	policy_endpoints(judge->policy, &count);
	for (id = 0; id <= count; id++)
		for (reason = 0; reason < EGRESS_DROP_REASON_SLOTS; reason++)
			if (reason != EGRESS_DROP_POLICY && reason != EGRESS_DROP_NODE_TUNNEL &&
			    dropped_packets(judge, id * EGRESS_DROP_REASON_SLOTS + reason))
				return complain("endpoint %u: packets dropped for reason %u, which is neither policy nor node_tunnel", id,
						reason);
	return 0;
}

static int parse_arguments(int argc, char **argv, struct arguments *arguments)
{
	static const struct option known[] = {
		{"flows", required_argument, NULL, 'F'},
		{"node-addresses", required_argument, NULL, 'N'},
		{0},
	};
	int option;

	while ((option = getopt_long(argc, argv, "f:", known, NULL)) != -1) {
		if (option == 'f')
			arguments->directory = optarg;
		else if (option == 'F')
			arguments->flows = optarg;
		else if (option == 'N')
			arguments->node_addresses = optarg;
		else
			return -EINVAL;
	}
	if (!arguments->directory || !arguments->flows || optind != argc)
		return complain("usage: %s -f DIRECTORY --flows FILE [--node-addresses LIST]", argv[0]);
	return 0;
}

int main(int argc, char **argv)
{
	_cleanup_(judge_clear) struct judge judge = {.maps = TABLE_MAPS_INIT};
	struct arguments arguments = {0};

	if (parse_arguments(argc, argv, &arguments) || read_manifests(&judge, arguments.directory) ||
	    compile(&judge, arguments.node_addresses) || load(&judge) || write_tables(&judge) ||
	    answer_all(&judge, arguments.flows) || check_reasons(&judge))
		return 2;
	return 0;
}
