/* SPDX-License-Identifier: Apache-2.0 */
/*
 * egress-cni in the node's network configuration. Of the files in the directory (".conflist", ".conf", ".json") runtimes
 * take the first by name; egress-cni becomes the last of its plugins. What stood there is kept beside it under a name
 * that runtimes pass over, and comes back when egress-cni is taken out.
 *
 * A file is replaced in one step (write, fsync, rename). One plugin alone (".conf", ".json") cannot be chained: a list
 * takes the place of the file.
 */
#ifndef EGRESSD_NODE_CNI_CONFIG_H
#define EGRESSD_NODE_CNI_CONFIG_H

#include <stdbool.h>

#define CNI_PLUGIN          "egress-cni"
#define CNI_CONFIGURATION   "/etc/cni/net.d" /* where runtimes usually look for it */
#define CNI_BINARIES        "/opt/cni/bin"
#define CNI_ORIGINAL_SUFFIX ".egressd-original"

struct cni_config {
	const char *directory;     /* of the network configuration */
	const char *binaries;      /* of the plugins */
	const char *state, *pin;   /* for the plugin */
	const char *on_agent_down; /* "deny" or "fail" */
};

/*
 * Puts egress-cni into the configuration that runtimes take, unless it is there as it should be; *changed says which.
 * 0; -ENOENT: there is no configuration yet; -EINVAL: the file is no network configuration; -errno. `why` (a buffer)
 * then names the file and the reason.
 */
int cni_config_install(const struct cni_config *config, bool *changed, char *why, size_t size);

/* Copies the program beside this one (or in ../libexec/egressd) to `binaries` if it is not the same there. */
int cni_binary_install(const struct cni_config *config, char *why, size_t size);

/* Leaves in the state directory where it was installed, for whoever uninstalls. */
int cni_config_remember(const struct cni_config *config);

/*
 * Takes egress-cni out of the network configuration, and its program away: where the state directory says that it was
 * installed, and in the given directories. Those must be there. What is not given is the usual place; there only
 * entries go that name this state directory, others are told as left. What was kept comes back, or, where the file was
 * changed since, egress-cni is taken out of it. 0 or the first -errno, then `why` (a buffer) names the file and the
 * reason; the record of where it was installed then stays.
 */
enum cni_removal_step { CNI_TAKEN_OUT, CNI_LEFT };
typedef void (*cni_removal_visitor)(enum cni_removal_step step, const char *path, void *data);
struct cni_removal {
	const char *state;
	const char *directory, *binaries; /* NULL: the usual ones */
	bool dry_run;                     /* tells, and changes nothing */
	cni_removal_visitor visit;
	void *data;
};
int cni_config_uninstall(const struct cni_removal *removal, char *why, size_t size);

#endif
