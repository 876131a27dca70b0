/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs the program of a kubeconfig that prints credentials (client.authentication.k8s.io), without holding up the
 * loop. It gets no terminal, a minute of time, and KUBERNETES_EXEC_INFO.
 */
#ifndef EGRESSD_SOURCE_KUBE_EXEC_H
#define EGRESSD_SOURCE_KUBE_EXEC_H

#include <stdint.h>

#include "source/kube_config.h"

struct event_base;
struct kube_exec_run;

/* What it printed; texts are NULL where absent. */
struct kube_exec_credential {
	char *token;
	char *certificate, *key; /* PEM */
	int64_t expires;         /* seconds since 1970; 0: not said */
};
void kube_exec_credential_clear(struct kube_exec_credential *credential);

/* Decodes what such a program prints. 0; -EINVAL and a message in *problem, the caller's to free; -ENOMEM. */
int kube_exec_decode(const char *text, size_t length, struct kube_exec_credential *out, char **problem);

/*
 * Exactly one call, from the loop: with the credential, which the callee takes over, or with NULL and why there is
 * none. The run is freed when it returns.
 */
typedef void (*kube_exec_done)(struct kube_exec_credential *credential, const char *problem, void *data);

/* The config outlives the run. 0; -errno where it could not even be started. */
int kube_exec_start(const struct kube_config *config, struct event_base *loop, kube_exec_done done, void *data,
		    struct kube_exec_run **out);
/* Ends the program; `done` is not called any more. NULL is allowed. */
void kube_exec_cancel(struct kube_exec_run *run);

#endif
