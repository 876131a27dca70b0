/* SPDX-License-Identifier: Apache-2.0 */
/* The flow table: connections that someone opened to an isolated pod, so that it may answer. */
#include "cli/dump.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>

#include <egressd/flow_timeout.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "cli/columns.h"
#include "cli/memory.h"
#include "cli/output.h"
#include "cli/protocol.h"

static const char *const titles[] = {"POD", "PROTOCOL", "LOCAL", "REMOTE", "STATE", ">IDLE", ">TIMEOUT"};

static const char *const state_names[] = {
	[EGRESS_FLOW_NEW] = "new",
	[EGRESS_FLOW_ANSWERED] = "answered",
	[EGRESS_FLOW_ESTABLISHED] = "established",
	[EGRESS_FLOW_CLOSING] = "closing",
	[EGRESS_FLOW_ENDING] = "ending",
};

struct flow_dump {
	struct dump *dump;
	struct egress_control control; /* zero where there are no tables: ages are then unknown */
	uint64_t now;                  /* jiffies64 */
	struct columns *columns;
	json_t *array;
};

static const char *state_name(uint32_t state)
{
	return state < ARRAY_SIZE(state_names) ? state_names[state] : "unknown";
}

static double seconds(const struct flow_dump *flows, uint64_t jiffies)
{
	return flows->control.hz ? (double)jiffies / flows->control.hz : 0;
}

/* A packet may have refreshed it after `now` was read. */
static double idle_seconds(const struct flow_dump *flows, const struct egress_flow *flow)
{
	return flows->now > flow->seen ? seconds(flows, flows->now - flow->seen) : 0;
}

static const char *format_address(const struct flow_tuple *tuple, const uint32_t words[4],
				  char text[INET6_ADDRSTRLEN])
{
	return inet_ntop(tuple->family == 4 ? AF_INET : AF_INET6, words, text, INET6_ADDRSTRLEN);
}

static char *format_peer(const struct flow_tuple *tuple, const uint32_t words[4], uint16_t port)
{
	char text[INET6_ADDRSTRLEN];

	format_address(tuple, words, text);
	return format_text(tuple->family == 6 ? "[%s]:%u" : "%s:%u", text, ntohs(port));
}

static void add_row(struct flow_dump *flows, const struct flow_tuple *tuple, const struct egress_flow *flow)
{
	_cleanup_free_ char *pod = endpoint_text(&flows->dump->state, tuple->endpoint);
	_cleanup_free_ char *local = format_peer(tuple, tuple->local, tuple->local_port);
	_cleanup_free_ char *remote = format_peer(tuple, tuple->remote, tuple->remote_port);
	char protocol[PROTOCOL_TEXT_SIZE];

	columns_add(flows->columns, pod);
	columns_add(flows->columns, protocol_format(tuple->protocol, protocol));
	columns_add(flows->columns, local);
	columns_add(flows->columns, remote);
	columns_add(flows->columns, state_name(flow->state));
	columns_format(flows->columns, "%.1f s", idle_seconds(flows, flow));
	columns_format(flows->columns, "%.0f s", seconds(flows, egress_flow_timeout(flow, tuple->protocol, &flows->control)));
}

static json_t *encode_flow(struct flow_dump *flows, const struct flow_tuple *tuple, const struct egress_flow *flow)
{
	_cleanup_free_ char *pod = endpoint_text(&flows->dump->state, tuple->endpoint);
	char protocol[PROTOCOL_TEXT_SIZE], text[INET6_ADDRSTRLEN];
	json_t *object = json_new_object();

	json_put_number(object, "endpoint", tuple->endpoint);
	json_put_text(object, "pod", pod);
	json_put_text(object, "protocol", protocol_format(tuple->protocol, protocol));
	json_put_text(object, "local", format_address(tuple, tuple->local, text));
	json_put_number(object, "local_port", ntohs(tuple->local_port));
	json_put_text(object, "remote", format_address(tuple, tuple->remote, text));
	json_put_number(object, "remote_port", ntohs(tuple->remote_port));
	json_put_text(object, "state", state_name(flow->state));
	json_put(object, "idle_seconds", json_real(idle_seconds(flows, flow)));
	json_put(object, "timeout_seconds",
		 json_real(seconds(flows, egress_flow_timeout(flow, tuple->protocol, &flows->control))));
	return object;
}

static int visit_flow(const struct flow_tuple *tuple, const struct egress_flow *flow, void *data)
{
	struct flow_dump *flows = data;

	if (flows->dump->settings->output == OUTPUT_JSON)
		json_append(flows->array, encode_flow(flows, tuple, flow));
	else
		add_row(flows, tuple, flow);
	return 0;
}

int dump_flows(struct dump *dump, json_t **out)
{
	_cleanup_(columns_clear) struct columns *columns = columns_new(titles, ARRAY_SIZE(titles));
	_cleanup_(json_clear) json_t *array = json_new_array();
	struct flow_dump flows = {.dump = dump, .columns = columns, .array = array};
	struct bank bank;
	int error = kernel_bank(dump->datapath, &bank);

	if (error)
		return error;
	flows.control = bank.control;
	error = datapath_jiffies(dump->datapath, &flows.now);
	if (!error)
		error = datapath_flows(dump->datapath, visit_flow, &flows);
	if (error) {
		log_error("the flow table cannot be read: %s", strerror(-error));
		return error;
	}
	if (dump->settings->output == OUTPUT_JSON)
		*out = take(array);
	else
		columns_print(columns, stdout);
	return 0;
}
