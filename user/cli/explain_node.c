/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `explain` on a node: the verdict from the pinned tables, the words from the agent's state. What the state lacks
 * costs words, not the verdict.
 */
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "cli/answer.h"
#include "cli/explain.h"
#include "cli/kernel.h"
#include "cli/memory.h"
#include "cli/output.h"
#include "cli/resolve.h"
#include "cli/saved_state.h"
#include "report/state.h"

struct node_view {
	struct saved_state state;
	struct datapath *datapath;
	struct bank bank;
	struct store *store;   /* NULL: the objects could not be read; objects_problem says why */
	struct policy *policy; /* NULL likewise */
	char *objects_problem;
};

static void node_view_clear(struct node_view *node)
{
	saved_state_clear(&node->state);
	kernel_close(&node->datapath);
	policy_clear(&node->policy);
	store_clear(&node->store);
	free(node->objects_problem);
}

static void load_objects(const char *directory, struct node_view *node)
{
	int error = saved_objects_read(directory, &node->store);

	if (error) {
		node->objects_problem = copy_text(saved_state_problem(directory, STATE_OBJECTS_FILE, error));
		return;
	}
	error = saved_policy_compile(&node->state, node->store, &node->policy);
	if (error)
		node->objects_problem =
			format_text("%s/%s cannot be compiled: %s", directory, STATE_OBJECTS_FILE, strerror(-error));
}

static int load_node(const struct settings *settings, struct node_view *node)
{
	int error = kernel_load(settings, &node->datapath);

	if (!error)
		error = kernel_bank(node->datapath, &node->bank);
	if (!error)
		error = saved_state_load(settings->state, &node->state);
	if (!error)
		load_objects(settings->state, node);
	return error;
}

/* Flow table entries by which the pod may answer the destination whatever policy says. */
struct flow_search {
	uint32_t endpoint;
	const struct answer *answer;
	size_t found;
};

static int count_flow(const struct flow_tuple *tuple, const struct egress_flow *entry, void *data)
{
	struct flow_search *search = data;
	const struct flow *flow = &search->answer->flow;

	(void)entry;
	if (tuple->endpoint != search->endpoint || tuple->family != flow->destination.family ||
	    memcmp(tuple->remote, flow->destination.bytes, sizeof(tuple->remote)))
		return 0;
	if (!search->answer->any_port &&
	    (tuple->protocol != flow->protocol || (tuple->remote_port && ntohs(tuple->remote_port) != flow->port)))
		return 0;
	search->found++;
	return 0;
}

static void note_flows(struct node_view *node, uint32_t endpoint, struct answer *answer)
{
	struct flow_search search = {.endpoint = endpoint, .answer = answer};
	int error;

	if (answer->verdict.set == EGRESS_SET_OPEN)
		return;
	error = datapath_flows(node->datapath, count_flow, &search);
	if (error)
		answer_note(answer, format_text("the flow table cannot be read: %s", strerror(-error)));
	else if (search.found)
		answer_note(answer, format_text("%zu flow table %s: packets that answer them pass whatever policy says",
						search.found,
						search.found == 1 ? "entry lets the pod answer this destination"
								  : "entries let the pod answer this destination"));
}

static void explain_in_words(struct node_view *node, const struct saved_endpoint *endpoint, struct answer *answer)
{
	int error;

	if (node->objects_problem) {
		answer_note(answer, format_text("no explanation: %s", node->objects_problem));
		return;
	}
	error = policy_explain(node->policy, endpoint->namespace, endpoint->pod, &answer->flow, &answer->explanation);
	if (error)
		answer_note(answer,
			    copy_text(error == -ENOENT ? "no explanation: the pod is not among the saved objects"
						       : "no explanation: out of memory"));
	else
		answer->explained = true;
}

static void add_notes(struct node_view *node, const struct saved_endpoint *endpoint, struct answer *answer)
{
	if (answer->verdict.generation != node->state.generation)
		answer_note(
			answer,
			format_text("the tables are of generation %u, the saved state of %u: rule names may be wrong",
				    answer->verdict.generation, node->state.generation));
	if (!endpoint->attached)
		answer_note(answer, copy_text("the pod's interface has no program attached: nothing is enforced"));
	note_flows(node, endpoint->id, answer);
}

static bool is_own_address(const struct egress_endpoint *endpoint, const struct ip_address *address)
{
	static const uint32_t none[4];

	if (address->family == 4)
		return endpoint->ipv4 && !memcmp(&endpoint->ipv4, address->bytes, sizeof(endpoint->ipv4));
	return memcmp(endpoint->ipv6, none, sizeof(none)) && !memcmp(endpoint->ipv6, address->bytes, sizeof(none));
}

/* The programs compare the pod's own addresses, which are in its endpoint entry, before they look into the tables. */
static int judge_own_address(struct node_view *node, uint32_t id, struct answer *answer)
{
	_cleanup_free_ struct egress_endpoint *endpoints = NULL;
	size_t count, i;
	int error;

	if (answer->verdict.set == EGRESS_SET_OPEN)
		return 0;
	error = datapath_endpoint_list(node->datapath, &endpoints, &count);
	if (error) {
		log_error("the endpoints cannot be read: %s", strerror(-error));
		return error;
	}
	for (i = 0; i < count; i++) {
		if (endpoints[i].id != id || !is_own_address(&endpoints[i], &answer->flow.destination))
			continue;
		answer->verdict.allow = true;
		answer->verdict.cell = EGRESS_CELL_ALLOW | EGRESS_RULE_SELF;
	}
	return 0;
}

static int read_verdict(struct node_view *node, const struct saved_endpoint *endpoint, struct answer *answer)
{
	const struct flow *flow = &answer->flow;

	if (tables_verdict(&node->bank.memory, endpoint->id, &flow->destination, flow->protocol, flow->port,
			   &answer->verdict)) {
		log_error("the pinned tables do not hold together");
		return -EINVAL;
	}
	if (kernel_bank_check(&node->bank))
		return -EAGAIN;
	return judge_own_address(node, endpoint->id, answer);
}

/* A pod or service is looked up in the saved objects; its first address of a family that the source has is taken. */
static int destination_address(const struct node_view *node, const struct saved_endpoint *endpoint,
			       const struct explain_request *request, struct ip_address *out)
{
	const struct object *source;
	const struct ip_address *addresses;
	const char *problem;

	if (request->to.kind == DESTINATION_ADDRESS) {
		*out = request->to.address;
		return 0;
	}
	if (!node->store) {
		log_error("--to %s: %s", request->to_text, node->objects_problem);
		return -ENOENT;
	}
	source = store_get(node->store, OBJECT_POD, endpoint->namespace, endpoint->pod);
	if (!source) {
		log_error("--from %s: the pod is not among the saved objects", request->from_text);
		return -ENOENT;
	}
	if (resolve_destination(node->store, source, &request->to, &addresses, &problem) < 0) {
		log_error("--to %s: %s", request->to_text, problem);
		return -ENOENT;
	}
	*out = addresses[0];
	return 0;
}

static int report(const struct settings *settings, const struct answer *answer)
{
	if (settings->output == OUTPUT_TABLE)
		answer_print(answer, "", stdout);
	else
		json_print(answer_encode(answer));
	if (!answer_contradicts(answer))
		return EXIT_SUCCESS;
	log_error("the tables in the kernel and the saved objects give different verdicts");
	return EXIT_CONTRADICTION;
}

int explain_node(const struct settings *settings, const struct explain_request *request)
{
	_cleanup_(node_view_clear) struct node_view node = {0};
	_cleanup_(answer_clear) struct answer answer = {0};
	const struct saved_endpoint *endpoint;

	if (load_node(settings, &node))
		return EXIT_ERROR;
	endpoint = saved_endpoint_by_name(&node.state, request->from.namespace, request->from.name);
	if (!endpoint) {
		log_error("--from %s: not a pod of this node; -f PATH explains manifests", request->from_text);
		return EXIT_ERROR;
	}
	answer.from = request->from_text;
	answer.bank = &node.bank;
	answer.rules = &node.state.rules;
	answer.any_port = !request->to.has_protocol;
	answer.flow.protocol = request->to.has_protocol ? request->to.protocol : IPPROTO_ICMP;
	answer.flow.port = request->to.port;
	if (destination_address(&node, endpoint, request, &answer.flow.destination) ||
	    read_verdict(&node, endpoint, &answer))
		return EXIT_ERROR;
	explain_in_words(&node, endpoint, &answer);
	add_notes(&node, endpoint, &answer);
	return report(settings, &answer);
}
