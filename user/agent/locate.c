/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where a pod's interface is: as egress-cni told, as the pod's annotation says, or where its processes' network
 * namespace leads.
 */
#include <errno.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "agent/agent.h"
#include "base/cleanup.h"
#include "datapath/address_location.h"

#define PROC "/proc"
/* A look at all processes may take this share of the agent's time, and is not worth while more often than this. */
#define LOOK_PAUSE    20
#define LOOK_PAUSE_NS 200000000L

/* ------------------------------------------------------------------ by what egress-cni told */

/*
 * The namespace says it best, where this process sees its path. Where not, the number and the name must both fit: after
 * the interface is gone another one may have either.
 */
static int find_attached(const struct cni_attachment *attachment, struct located_interface *out)
{
	char name[IF_NAMESIZE];
	int error;

	error = interface_of_netns(attachment->netns, attachment->ifname, &out->ifindex, out->name, out->mac);
	if (!error)
		return 0;
	if (!if_indextoname(attachment->ifindex, name) || strcmp(name, attachment->interface))
		return -ENODEV;
	out->ifindex = attachment->ifindex;
	memcpy(out->name, name, sizeof(out->name));
	memcpy(out->mac, attachment->mac, sizeof(out->mac));
	return 0;
}

static int locate_attached(struct endpoint *endpoint, struct located_interface *out)
{
	const struct cni_attachment *attachment = endpoint->attachment;
	int error = find_attached(attachment, out);

	if (error)
		endpoint_set_problem(endpoint, "interface %s (number %u), which egress-cni told of, is not there",
				     attachment->interface, attachment->ifindex);
	return error;
}

/* ------------------------------------------------------------------ by annotation */

static int locate_named(struct endpoint *endpoint, struct located_interface *out)
{
	const char *name = endpoint->pod->pod.interface;
	int error = interface_by_name(name, &out->ifindex);

	if (error) {
		endpoint_set_problem(endpoint, "interface %s does not exist", name);
		return error;
	}
	/* An interface's name that fits an existing one fits here. */
	strncpy(out->name, name, IF_NAMESIZE - 1);
	return 0;
}

static int locate_in_netns(struct endpoint *endpoint, struct located_interface *out)
{
	const char *netns = endpoint->pod->pod.netns;
	int error = interface_of_netns(netns, NULL, &out->ifindex, out->name, out->mac);

	switch (error) {
	case 0:
		return 0;
	case -ENOENT:
		endpoint_set_problem(endpoint, "network namespace %s does not exist", netns);
		break;
	case -EINVAL:
		endpoint_set_problem(endpoint, "%s is not a network namespace", netns);
		break;
	case -ENODEV:
		endpoint_set_problem(endpoint, "no veth in network namespace %s leads here", netns);
		break;
	case -E2BIG:
		endpoint_set_problem(endpoint,
				     "more than one veth in network namespace %s leads here: name it with the "
				     "annotation egressd.io/interface",
				     netns);
		break;
	default:
		endpoint_set_problem(endpoint, "network namespace %s: %s", netns, strerror(-error));
	}
	return error;
}

/* ------------------------------------------------------------------ by the pod's processes */

/* Nanoseconds of CLOCK_MONOTONIC. */
static int64_t now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

/* Once for all pods that are looked for at a time. -EAGAIN: it is too early for another look. */
static int look_at_processes(struct agent *agent)
{
	int64_t start = now(), pause;
	int error;

	if (agent->processes_read)
		return 0;
	if (start < agent->processes_due)
		return -EAGAIN;
	error = pod_processes_read(PROC, &agent->processes);
	agent->processes_read = !error;
	pause = (now() - start) * LOOK_PAUSE;
	agent->processes_due = now() + (pause > LOOK_PAUSE_NS ? pause : LOOK_PAUSE_NS);
	return error;
}

void locate_forget_processes(struct agent *agent)
{
	pod_processes_clear(&agent->processes);
	agent->processes_read = false;
	address_locator_free(agent->locator);
	agent->locator = NULL;
}

/* What came of the namespaces of a pod's processes. */
struct namespace_search {
	struct located_interface found;
	size_t count;      /* different interfaces that were found */
	size_t own;        /* processes that have no namespace of their own */
	pid_t tried;       /* a process whose namespace led nowhere; 0: none */
	char failure[256]; /* why */
	ino_t last;        /* the namespace that was looked into last: most processes of a pod share it */
};

static void look_into_namespace(struct namespace_search *search, const struct pod_process *process)
{
	struct located_interface found = {0};
	struct stat theirs, ours;
	char path[64];

	snprintf(path, sizeof(path), PROC "/%ld/ns/net", (long)process->pid);
	/* It is gone, or a part of the runtime that lives in the pod's group. */
	if (stat(path, &theirs) || stat(PROC "/self/ns/net", &ours) || theirs.st_ino == search->last)
		return;
	if (theirs.st_ino == ours.st_ino) {
		search->own++;
		return;
	}
	search->last = theirs.st_ino;
	if (interface_of_netns(path, NULL, &found.ifindex, found.name, found.mac)) {
		search->tried = process->pid;
		snprintf(search->failure, sizeof(search->failure), "%s", datapath_error());
		return;
	}
	/* The number may have become another process's meanwhile. */
	if (!pod_process_is_of(PROC, process->pid, process->uid) || search->found.ifindex == found.ifindex)
		return;
	search->found = found;
	search->count++;
}

/* Without what differs at every look, such as how many processes there are: each text is told once. */
static void tell_failure(struct agent *agent, struct endpoint *endpoint, const char *uid, size_t processes,
			 const struct namespace_search *search)
{
	_cleanup_free_ char *hint = crosscheck_hint(agent, endpoint);
	const char *separator = hint ? "; " : "";

	if (!processes)
		endpoint_set_problem(
			endpoint,
			"its interface cannot be found: egress-cni told nothing of it, and none of the processes here is "
			"in a control group of a pod with the UID %s%s%s",
			uid, separator, hint ? hint : "");
	else if (search->count > 1)
		endpoint_set_problem(
			endpoint,
			"its interface cannot be told: the network namespaces of its %zu processes lead to "
			"%zu interfaces, and egress-cni told nothing of it%s%s",
			processes, search->count, separator, hint ? hint : "");
	else if (search->tried)
		endpoint_set_problem(endpoint,
				     "its interface cannot be found: egress-cni told nothing of it, and of its %zu "
				     "processes, process %ld: %s%s%s",
				     processes, (long)search->tried, search->failure, separator, hint ? hint : "");
	else
		endpoint_set_problem(
			endpoint,
			"its interface cannot be found: egress-cni told nothing of it, and none of its %zu "
			"processes (%zu of them in the node's network) has a network namespace of its own%s%s",
			processes, search->own, separator, hint ? hint : "");
}

/* One that was not started yet has neither processes nor an interface, and nothing is wrong with that. */
static bool is_starting(const struct object *pod)
{
	return pod->pod.phase == POD_PENDING && !pod->pod.address_count;
}

static int locate_by_processes(struct agent *agent, struct endpoint *endpoint, struct located_interface *out)
{
	const struct object *pod = endpoint->pod;
	const char *uid = pod->pod.static_uid ? pod->pod.static_uid : pod->uid;
	struct namespace_search search = {0};
	const struct pod_process *processes;
	int error = look_at_processes(agent);
	size_t count = 0, i;

	if (error == -EAGAIN)
		return error;
	if (error) {
		endpoint_set_problem(endpoint, "its interface cannot be found: " PROC ": %s", strerror(-error));
		return error;
	}
	processes = pod_processes_find(&agent->processes, uid, &count);
	for (i = 0; i < count; i++)
		look_into_namespace(&search, &processes[i]);
	if (search.count == 1) {
		*out = search.found;
		return 0;
	}
	endpoint->waits = !count && is_starting(pod);
	if (!endpoint->waits)
		tell_failure(agent, endpoint, uid, count, &search);
	return search.count ? -E2BIG : -ENODEV;
}

/* ------------------------------------------------------------------ in that order */

int locate_interface(struct agent *agent, struct endpoint *endpoint, struct located_interface *out)
{
	const struct pod *pod = &endpoint->pod->pod;
	bool annotations = agent->locality.annotations;
	struct located_interface found = {0};
	int error;

	endpoint->waits = false;
	if (endpoint->attachment)
		error = locate_attached(endpoint, &found);
	else if (annotations && pod->interface)
		error = locate_named(endpoint, &found);
	else if (annotations && pod->netns)
		error = locate_in_netns(endpoint, &found);
	else
		error = locate_by_processes(agent, endpoint, &found);
	if (!error)
		*out = found;
	return error;
}
