/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "cli/answer.h"
#include "cli/explain.h"
#include "cli/memory.h"
#include "cli/output.h"
#include "cli/resolve.h"

static int read_verdict(const struct offline *offline, const struct source *source, const struct flow *flow,
			struct table_verdict *out)
{
	return tables_verdict_pod(offline->tables, source->pod->namespace, source->pod->name, &flow->destination,
				  flow->protocol, flow->port, out);
}

/* Is it an address of the Node that the pod's spec.nodeName names? */
static bool is_of_its_node(const struct offline *offline, const struct object *pod, const struct ip_address *address)
{
	const struct object *node = store_get(offline->store, OBJECT_NODE, "", pod->pod.node_name);
	size_t i;

	for (i = 0; node && i < node->node.address_count; i++)
		if (!ip_address_compare(&node->node.addresses[i], address))
			return true;
	return false;
}

/* Where the manifests say which node is the pod's, a verdict that does not know of it is not given in silence. */
static void note_own_node(const struct offline *offline, const struct object *pod, struct answer *answer)
{
	char address[IP_TEXT_SIZE];

	if (offline->node_addresses_given || answer->verdict.allow || answer->explanation.backend_count ||
	    !is_of_its_node(offline, pod, &answer->flow.destination))
		return;
	ip_address_format(&answer->flow.destination, address);
	answer_note(answer, format_text("it is an address of node %s, where the pod runs, which the pod may reach; "
					"--node-addresses %s judges it so",
					pod->pod.node_name, address));
}

int offline_answer(const struct offline *offline, const char *from, const struct source *source,
		   const struct flow *flow, struct answer *out)
{
	struct answer answer = {
		.from = from,
		.flow = *flow,
		.bank = &offline->bank,
		.rules = &offline->rules,
		.host_network = source->kind == SOURCE_HOST,
	};

	if (answer.host_network) {
		*out = answer;
		return 0;
	}
	if (read_verdict(offline, source, flow, &answer.verdict))
		return -EINVAL;
	if (policy_explain(offline->policy, source->pod->namespace, source->pod->name, flow, &answer.explanation))
		return -EINVAL;
	answer.explained = true;
	note_own_node(offline, source->pod, &answer);
	*out = answer;
	return 0;
}

/* The flow to one address of the destination; without a port, the protocols without ports. */
static struct flow make_flow(const struct destination *to, const struct ip_address *address)
{
	return (struct flow){
		.destination = *address,
		.protocol = to->has_protocol ? to->protocol : IPPROTO_ICMP,
		.port = to->port,
	};
}

/* Takes the encoded answers. */
static void print_json(const struct explain_request *request, json_t *answers, bool allow)
{
	json_t *object;

	/* A dual-stack destination has two answers; a verdict stands in both shapes. */
	if (json_array_size(answers) == 1) {
		json_print(json_incref(json_array_get(answers, 0)));
		json_decref(answers);
		return;
	}
	object = json_new_object();
	json_put_text(object, "from", request->from_text);
	json_put_text(object, "to", request->to_text);
	json_put_text(object, "verdict", allow ? "allow" : "deny");
	json_put(object, "answers", answers);
	json_print(object);
}

static int answer_all(const struct settings *settings, const struct offline *offline, const struct source *source,
		      const struct explain_request *request, const struct ip_address *addresses, int count)
{
	_cleanup_(json_clear) json_t *answers = json_new_array();
	bool contradiction = false, allow = true;
	int i;

	for (i = 0; i < count; i++) {
		_cleanup_(answer_clear) struct answer answer = {0};
		struct flow flow = make_flow(&request->to, &addresses[i]);

		if (offline_answer(offline, request->from_text, source, &flow, &answer)) {
			log_error("the compiled tables do not hold together");
			return EXIT_CONTRADICTION;
		}
		answer.any_port = !request->to.has_protocol;
		contradiction |= answer_contradicts(&answer);
		allow &= answer_allows(&answer);
		if (settings->output == OUTPUT_TABLE)
			answer_print(&answer, "", stdout);
		else
			json_append(answers, answer_encode(&answer));
	}
	if (settings->output == OUTPUT_JSON)
		print_json(request, take(answers), allow);
	if (!contradiction)
		return EXIT_SUCCESS;
	log_error("tables and objects give different verdicts: please report it with the manifests");
	return EXIT_CONTRADICTION;
}

int explain_manifests(const struct settings *settings, const struct text_list *paths, const char *node_addresses,
		      const struct explain_request *request)
{
	_cleanup_(offline_clear) struct offline offline = {0};
	const struct ip_address *addresses;
	struct source source;
	const char *problem;
	int count;

	if (offline_load(paths, node_addresses, &offline))
		return EXIT_ERROR;
	if (offline_source(&offline, &request->from, &source, &problem)) {
		log_error("--from %s: %s", request->from_text, problem);
		return EXIT_ERROR;
	}
	count = resolve_destination(offline.store, source.pod, &request->to, &addresses, &problem);
	if (count < 0) {
		log_error("--to %s: %s", request->to_text, problem);
		return EXIT_ERROR;
	}
	return answer_all(settings, &offline, &source, request, addresses, count);
}
