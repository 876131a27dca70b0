/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/agent.h"
#include "base/cleanup.h"

static int by_address(const void *a, const void *b)
{
	return ip_address_compare(a, b);
}

/* A packet to a loopback address never leaves the pod for the node. */
static bool is_loopback(const struct ip_address *address)
{
	static const struct ip_address loopback6 = {.family = 6, .bytes = {[15] = 1}};

	return address->family == 4 ? address->bytes[0] == 127 : !ip_address_compare(address, &loopback6);
}

static int collect(struct ip_address **out, size_t *count)
{
	_cleanup_free_ struct interface_address *found = NULL;
	struct ip_address *addresses;
	size_t found_count, i, kept = 0;
	int error = interface_addresses(&found, &found_count);

	if (error)
		return error;
	addresses = calloc(found_count + 1, sizeof(*addresses));
	if (!addresses)
		return -ENOMEM;
	for (i = 0; i < found_count; i++) {
		struct ip_address *address = &addresses[kept];

		*address = (struct ip_address){.family = found[i].family};
		memcpy(address->bytes, found[i].bytes, address->family == 4 ? 4 : 16);
		if (!is_loopback(address))
			kept++;
	}
	*out = addresses;
	*count = kept;
	return 0;
}

static int copy_given(const struct agent_options *options, struct ip_address **out, size_t *count)
{
	struct ip_address *addresses = calloc(options->node_address_count + 1, sizeof(*addresses));

	if (!addresses)
		return -ENOMEM;
	if (options->node_address_count)
		memcpy(addresses, options->node_addresses, options->node_address_count * sizeof(*addresses));
	*out = addresses;
	*count = options->node_address_count;
	return 0;
}

static size_t remove_doubles(struct ip_address *addresses, size_t count)
{
	size_t i, kept = 0;

	for (i = 0; i < count; i++)
		if (!kept || ip_address_compare(&addresses[kept - 1], &addresses[i]))
			addresses[kept++] = addresses[i];
	return kept;
}

int agent_find_node_addresses(struct agent *agent, bool *changed)
{
	const struct agent_options *options = agent->options;
	struct ip_address *addresses;
	size_t count;
	int error;

	if (options->node_addresses_auto)
		error = collect(&addresses, &count);
	else
		error = copy_given(options, &addresses, &count);
	if (error)
		return error;
	qsort(addresses, count, sizeof(*addresses), by_address);
	count = remove_doubles(addresses, count);
	*changed = count != agent->node_address_count ||
		   (count && memcmp(addresses, agent->node_addresses, count * sizeof(*addresses)));
	free(agent->node_addresses);
	agent->node_addresses = addresses;
	agent->node_address_count = count;
	return 0;
}
