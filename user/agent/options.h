/* SPDX-License-Identifier: Apache-2.0 */
/* The command line of `egressd run`. */
#ifndef EGRESSD_AGENT_OPTIONS_H
#define EGRESSD_AGENT_OPTIONS_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "agent/flow_timeouts.h"
#include "base/log.h"
#include "datapath/datapath.h"
#include "model/address.h"

#define DEFAULT_LISTEN "127.0.0.1:9711"
/* Seconds. The API server says something to every watch once a minute. */
#define API_SILENCE_DEFAULT 180
#define API_SILENCE_LEAST   5
#define API_SILENCE_MOST    3600

/* What a pod may send before its policy is in force; AUTO: nothing once policy is known to exist for its namespace. */
enum pending { PENDING_AUTO, PENDING_DENY, PENDING_ALLOW };

/* Whose source addresses are checked; routers (an annotation of the pod, where annotations count) are exempt. */
enum anti_spoof {
	ANTI_SPOOF_ISOLATED, /* pods that a policy isolates */
	ANTI_SPOOF_ALL,      /* every pod of this node */
	ANTI_SPOOF_OFF,
};

/* Texts are borrowed from argv. */
struct agent_options {
	const char *from;      /* as given: "dir:PATH" or "kube" */
	const char *directory; /* PATH; NULL: the Kubernetes API */
	const char *kubeconfig, *context; /* NULL: in-cluster; current-context */
	bool trust_annotations; /* of pods from the API: whoever may make a pod says where it hangs, and may forge sources */
	unsigned int api_silence; /* seconds */
	const char *node;      /* the name of this node; NULL: none, which only a directory allows */
	char host_name[256];   /* what `node` is where nothing says another */
	const char *pin;
	const char *state;
	const char *install_cni;   /* directory of the network configuration; NULL: egress-cni is not installed */
	const char *cni_binaries;  /* directory of the plugins */
	const char *on_agent_down; /* "deny" or "fail" */
	enum log_level log_level;
	bool log_json;
	enum attach_kind attach;
	enum pending pending;
	const char *pod_interfaces; /* patterns, separated by commas, or NULL: none */
	enum anti_spoof anti_spoof;
	struct flow_timeouts flow_timeouts;
	bool wait_for_lock; /* for the end of another agent, instead of an error */

	bool serve; /* false: --listen none */
	struct sockaddr_storage listen;
	int listen_length;

	bool node_addresses_auto; /* all addresses of this node; else the list, which may be empty */
	struct ip_address *node_addresses;
	size_t node_address_count;
};

/*
 * argv[0] is what messages begin with. 0; -EINVAL after what is wrong was told on standard error; -ENOMEM. *help:
 * --help was given, and nothing else counts.
 */
int agent_options_parse(int argc, char **argv, struct agent_options *options, bool *help);
void agent_options_clear(struct agent_options *options);
void agent_options_usage(FILE *out);

#endif
