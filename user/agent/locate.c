/* SPDX-License-Identifier: Apache-2.0 */
/* Where a pod's interface is: as egress-cni told, or as the pod's annotation says. */
#include <errno.h>
#include <net/if.h>
#include <string.h>

#include "agent/agent.h"

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

int locate_interface(struct endpoint *endpoint, struct located_interface *out)
{
	struct located_interface found = {0};
	int error;

	if (endpoint->attachment)
		error = locate_attached(endpoint, &found);
	else if (endpoint->pod->pod.interface)
		error = locate_named(endpoint, &found);
	else
		error = locate_in_netns(endpoint, &found);
	if (!error)
		*out = found;
	return error;
}
