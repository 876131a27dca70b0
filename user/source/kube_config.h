/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where the API server is, how to know that it is the one, and how to tell it who is asking: from a kubeconfig file, or
 * from what a pod finds of its service account.
 */
#ifndef EGRESSD_SOURCE_KUBE_CONFIG_H
#define EGRESSD_SOURCE_KUBE_CONFIG_H

#include <stdbool.h>
#include <stddef.h>

/* Something in PEM: either given, or in a file that is read anew whenever it is needed. Neither: absent. */
struct kube_pem {
	char *path;
	char *data;
	size_t length; /* of data */
};

/* A program that prints credentials: client.authentication.k8s.io/v1 or v1beta1. */
struct kube_exec {
	char *command; /* NULL: none; with a slash: a path */
	char *api_version;
	char **arguments;   /* ends with NULL; without the command */
	char **environment; /* "NAME=VALUE"; ends with NULL */
	bool provide_cluster_info;
};

struct kube_config {
	char *origin;      /* for messages: the file, or "in-cluster" */
	char *server;      /* https://..., without a slash at the end */
	char *server_name; /* that the certificate must have, where it is not the host of `server`; or NULL */
	char *proxy;       /* or NULL */
	struct kube_pem ca, certificate, key; /* absent ca: those that the system trusts */
	char *token, *token_file;
	struct kube_exec exec;
};

/*
 * All texts are the config's own. 0, and the caller clears *out; or -errno, and a message in *problem that is the
 * caller's to free (NULL where even that finds no memory): what was expected where, and what was found.
 */
int kube_config_read(const char *path, const char *context, struct kube_config *out, char **problem);
/* The environment and /var/run/secrets/kubernetes.io/serviceaccount, or `directory` in its place. */
int kube_config_in_cluster(const char *directory, struct kube_config *out, char **problem);
void kube_config_clear(struct kube_config *config);

bool kube_pem_is_set(const struct kube_pem *pem);

#endif
