/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A second opinion: does the node's own network, by its host routes and bridges, have the pods' addresses where the pods
 * were found? It says where an address is, not whose it is, and pods on a bridge have a say in it (a frame in a forged
 * name moves a line of the forwarding table). So what does not agree is told, and enforced stays what was found.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/agent.h"
#include "base/cleanup.h"
#include "base/text.h"
#include "datapath/address_location.h"

static bool has_mac(const struct endpoint *endpoint)
{
	static const uint8_t none[sizeof(endpoint->mac)];

	return memcmp(endpoint->mac, none, sizeof(none)) != 0;
}

/* While a pod goes, its address may be another one's already. */
static bool is_to_be_checked(const struct endpoint *endpoint)
{
	if (!endpoint->wanted || !endpoint->attached || endpoint->pod->pod.terminating)
		return false;
	return !endpoint->attachment || !endpoint->attachment->deleted;
}

static char *describe(const struct ip_address *address, const struct address_location *location)
{
	char text[IP_TEXT_SIZE];

	ip_address_format(address, text);
	if (*location->bridge)
		return text_format("the node's bridge %s has %s behind %s", location->bridge, text, location->name);
	return text_format("the node's host route for %s leads to %s", text, location->name);
}

static void set_mismatch(struct endpoint *endpoint, const struct ip_address *address,
			 const struct address_location *location)
{
	_cleanup_free_ char *elsewhere = location->ifindex ? describe(address, location) : NULL;
	char *mismatch = NULL;

	if (location->ifindex) {
		mismatch = text_format("%s, but the pod was found behind %s", elsewhere ? elsewhere : "",
				       endpoint->interface);
		/* Without memory it stays as it was. */
		if (!mismatch)
			return;
	}
	if (!mismatch || !endpoint->mismatch || strcmp(mismatch, endpoint->mismatch))
		endpoint->mismatch_told = false;
	free(endpoint->mismatch);
	endpoint->mismatch = mismatch;
}

/* The first of its addresses that is elsewhere; ifindex 0: none is, as far as is known. */
static int find_elsewhere(struct address_locator *locator, const struct endpoint *endpoint,
			  const struct ip_address **address, struct address_location *out)
{
	const struct ip_address *addresses;
	struct address_location found = {0};
	size_t count, i;
	int error;

	addresses = attachments_addresses(endpoint, &count);
	for (i = 0; i < count; i++) {
		error = address_locate(locator, addresses[i].family, addresses[i].bytes,
				       has_mac(endpoint) ? endpoint->mac : NULL, &found);
		if (error)
			return error;
		if (found.ifindex && found.ifindex != endpoint->wanted) {
			*address = &addresses[i];
			*out = found;
			return 0;
		}
	}
	return 0;
}

/* Routes and bridges follow a pod that moves a moment later: what two looks in a row say is told. */
static int check(struct address_locator *locator, struct endpoint *endpoint)
{
	struct address_location location = {0};
	const struct ip_address *address = NULL;
	uint32_t before = endpoint->elsewhere;
	int error;

	if (is_to_be_checked(endpoint)) {
		error = find_elsewhere(locator, endpoint, &address, &location);
		if (error)
			return error;
	}
	endpoint->elsewhere = location.ifindex;
	if (!location.ifindex || location.ifindex == before)
		set_mismatch(endpoint, address, &location);
	return 0;
}

void crosscheck(struct agent *agent)
{
	struct address_locator *locator;
	struct endpoint *endpoint;
	int error = address_locator_new(&locator);

	if (error) {
		log_debug("%s", datapath_error());
		return;
	}
	for (endpoint = agent->endpoints.current; endpoint && !error; endpoint = endpoint->hh.next)
		error = check(locator, endpoint);
	if (error)
		log_debug("%s", datapath_error());
	address_locator_free(locator);
}

char *crosscheck_hint(struct agent *agent, const struct endpoint *endpoint)
{
	const struct ip_address *addresses;
	struct address_location found = {0};
	size_t count, i;

	if (!agent->locator && address_locator_new(&agent->locator))
		return NULL;
	addresses = attachments_addresses(endpoint, &count);
	for (i = 0; i < count; i++) {
		if (address_locate(agent->locator, addresses[i].family, addresses[i].bytes, NULL, &found))
			return NULL;
		if (found.ifindex)
			return describe(&addresses[i], &found);
	}
	return NULL;
}

size_t crosscheck_mismatches(const struct agent *agent)
{
	const struct endpoint *endpoint;
	size_t count = 0;

	for (endpoint = agent->endpoints.current; endpoint; endpoint = endpoint->hh.next)
		count += endpoint->mismatch != NULL;
	return count;
}
