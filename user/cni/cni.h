/* SPDX-License-Identifier: Apache-2.0 */
/*
 * egress-cni: a chained CNI plugin (specification 1.0 and 1.1). It changes nothing of what the plugins before it made;
 * it sees to it that a pod's filter is in place before the pod's first container starts.
 *
 *   request.c     the environment and the configuration on standard input
 *   result.c      prevResult: whose addresses, which interface
 *   agent.c       what the agent says
 *   hold.c        what is done when there is no agent: deny until one comes
 *   commands.c    ADD, DEL, CHECK, STATUS, GC
 *   main.c        VERSION, and the answer on standard output
 *
 * Every failure is a cni_error: the JSON that CNI wants.
 */
#ifndef EGRESSD_CNI_CNI_H
#define EGRESSD_CNI_CNI_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "node/cni_attachment.h"

/* Error codes of the specification. */
enum {
	CNI_OK = 0,
	CNI_INCOMPATIBLE_VERSION = 1,
	CNI_INVALID_ENVIRONMENT = 4,
	CNI_IO_FAILURE = 5,
	CNI_DECODING_FAILURE = 6,
	CNI_INVALID_CONFIG = 7,
	CNI_TRY_AGAIN_LATER = 11,
	CNI_PLUGIN_NOT_AVAILABLE = 50,
	/* From 100 on they are the plugin's own. */
	CNI_NO_INTERFACE = 100, /* no veth leads from the pod to this network namespace */
	CNI_ADDRESSES = 101,    /* addresses that cannot be enforced */
	CNI_NOT_ATTACHED = 102, /* the programs cannot be attached, or (CHECK) are not */
};

struct cni_error {
	int code; /* CNI_OK: none */
	char message[256];
	char details[1024];
};

/* Sets the error and returns its code. */
int cni_fail(struct cni_error *error, int code, const char *message, const char *format, ...)
	__attribute__((format(printf, 4, 5)));

enum cni_command { CNI_ADD, CNI_DEL, CNI_CHECK, CNI_STATUS, CNI_GC, CNI_VERSION };

enum on_agent_down { ON_AGENT_DOWN_DENY, ON_AGENT_DOWN_FAIL };

/* Texts are borrowed from the environment or the configuration. */
struct cni_request {
	enum cni_command command;
	const char *container, *netns, *ifname; /* "" where the command does not need it and it is not given */
	json_t *config;
	const char *version; /* cniVersion of the configuration; the newest where that cannot be told */
	const char *network;
	const char *state, *pin;
	enum on_agent_down on_agent_down;
	const json_t *previous; /* prevResult, or NULL */
	char *namespace, *pod, *uid; /* of CNI_ARGS; owned; "" where not given */
};

#define CNI_VERSION_NEWEST "1.1.0"
extern const char *const cni_versions[]; /* ends with NULL */

/* Reads all of it. The request is to be cleared also where it fails; its version then is that of the error. */
int cni_request_read(struct cni_request *request, struct cni_error *error);
void cni_request_clear(struct cni_request *request);

/* The addresses that prevResult says CNI_IFNAME has; the caller frees *out. */
int cni_result_addresses(const struct cni_request *request, struct ip_address **out, size_t *count,
			 struct cni_error *error);

/* What the agent says about an attachment. */
enum agent_state {
	AGENT_DOWN,      /* there is none */
	AGENT_SILENT,    /* there is one, but it does not answer in time */
	AGENT_REFUSED,   /* it answers, but not attached: `reason` */
	AGENT_PENDING,   /* attached, but the policy is not in force: `reason` */
	AGENT_IN_FORCE,
};

struct agent_answer {
	enum agent_state state;
	char reason[512];
};

/* Asks until the deadline (CLOCK_MONOTONIC). */
void agent_ask(const struct cni_request *request, const struct timespec *deadline, struct agent_answer *out);
/* Is one there that answers? `ready`: and every pod's policy is in force. */
void agent_status(const struct cni_request *request, const struct timespec *deadline, struct agent_answer *out);

/* Attaches what is pinned, or the programs of this build, so that nothing passes until an agent comes. */
int hold_pod(const struct cni_request *request, const struct cni_attachment *attachment, struct cni_error *error);
/* Are both programs on the interface? */
int check_attached(const struct cni_request *request, const struct cni_attachment *attachment, struct cni_error *error);

int cni_add(const struct cni_request *request, struct cni_error *error);
int cni_del(const struct cni_request *request, struct cni_error *error);
int cni_check(const struct cni_request *request, struct cni_error *error);
int cni_status(const struct cni_request *request, struct cni_error *error);
int cni_gc(const struct cni_request *request, struct cni_error *error);

#endif
