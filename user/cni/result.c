/* SPDX-License-Identifier: Apache-2.0 */
/* What the plugins before this one made. */
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "cni/cni.h"

/*
 * Whether an address is CNI_IFNAME's: the interface that it names has that name and is in a sandbox. One that names
 * none is of the only interface there is.
 */
static bool is_of_pod(const struct cni_request *request, const json_t *item)
{
	const json_t *index = json_object_get(item, "interface"), *interface;
	const char *name, *sandbox;

	if (!index)
		return true;
	if (!json_is_integer(index) || json_integer_value(index) < 0)
		return false;
	interface = json_array_get(json_object_get(request->previous, "interfaces"), (size_t)json_integer_value(index));
	name = json_string_value(json_object_get(interface, "name"));
	sandbox = json_string_value(json_object_get(interface, "sandbox"));
	return name && !strcmp(name, request->ifname) && sandbox && *sandbox;
}

static int read_address(const json_t *item, struct ip_address *out, struct cni_error *error)
{
	const char *text = json_string_value(json_object_get(item, "address"));
	struct ip_prefix prefix;

	if (!text || ip_prefix_parse(text, &prefix))
		return cni_fail(error, CNI_INVALID_CONFIG, "prevResult.ips",
				"expected an address with the length of its prefix, found %s", text ? text : "none");
	*out = prefix.address;
	return 0;
}

int cni_result_addresses(const struct cni_request *request, struct ip_address **out, size_t *count,
			 struct cni_error *error)
{
	json_t *list = json_object_get(request->previous, "ips"), *item;
	_cleanup_free_ struct ip_address *addresses = calloc(json_array_size(list) + 1, sizeof(*addresses));
	bool seen[7] = {0}; /* by family */
	size_t i, kept = 0;

	if (!addresses)
		return cni_fail(error, CNI_IO_FAILURE, "no memory", "%s", "");
	if (list && !json_is_array(list))
		return cni_fail(error, CNI_INVALID_CONFIG, "prevResult.ips", "expected a list");
	json_array_foreach(list, i, item) {
		if (!is_of_pod(request, item))
			continue;
		if (read_address(item, &addresses[kept], error))
			return error->code;
		if (seen[addresses[kept].family])
			return cni_fail(error, CNI_ADDRESSES, "more than one address of a family",
					"egressd enforces one IPv4 and one IPv6 address a pod; %s has two of IPv%u",
					request->ifname, addresses[kept].family);
		seen[addresses[kept++].family] = true;
	}
	*out = take(addresses);
	*count = kept;
	return 0;
}
