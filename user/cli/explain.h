/* SPDX-License-Identifier: Apache-2.0 */
/* The three faces of `egressctl explain`: this node, manifests, and many flows over manifests. */
#ifndef EGRESSD_CLI_EXPLAIN_H
#define EGRESSD_CLI_EXPLAIN_H

#include "cli/answer.h"
#include "cli/command.h"
#include "cli/destination.h"
#include "cli/offline.h"
#include "cli/options.h"

struct explain_request {
	const char *from_text, *to_text; /* as given */
	struct object_name from;
	struct destination to;
};

/* Each returns an exit code. */
int explain_node(const struct settings *settings, const struct explain_request *request);
int explain_manifests(const struct settings *settings, const struct text_list *paths, const char *node_addresses,
		      const struct explain_request *request);
/* flows_path: JSON lines, "-" for standard input; one JSON line out for each in, in order. */
int explain_flows(const struct text_list *paths, const char *node_addresses, const char *flows_path);

/* One flow of an offline source, explained. from is borrowed. 0, or -errno where the tables do not hold together. */
int offline_answer(const struct offline *offline, const char *from, const struct source *source,
		   const struct flow *flow, struct answer *out);

#endif
