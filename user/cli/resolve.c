/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/resolve.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>

static bool has_family(const struct object *pod, uint8_t family)
{
	size_t i;

	for (i = 0; i < pod->pod.address_count; i++)
		if (pod->pod.addresses[i].family == family)
			return true;
	return !pod->pod.address_count;
}

/* A pod or a service has one or two addresses, one a family. */
static int common_families(const struct object *source, const struct ip_address *addresses, size_t count,
			   const struct ip_address **out, const char **problem)
{
	*problem = "source and destination have no address family in common";
	while (count && !has_family(source, addresses->family)) {
		addresses++;
		count--;
	}
	while (count && !has_family(source, addresses[count - 1].family))
		count--;
	if (!count)
		return -EINVAL;
	*out = addresses;
	return (int)count;
}

static int service_addresses(const struct object *service, const struct ip_address **out, size_t *count,
			     const char **problem)
{
	*problem = "there is no such service";
	if (!service)
		return -EINVAL;
	*problem = "an ExternalName service has no address";
	if (service->service.external_name)
		return -EINVAL;
	*problem = "a headless service has no address; name its pods";
	if (service->service.headless)
		return -EINVAL;
	*problem = "the service has no cluster address";
	if (!service->service.cluster_ip_count)
		return -EINVAL;
	*out = service->service.cluster_ips;
	*count = service->service.cluster_ip_count;
	return 0;
}

int resolve_destination(const struct store *store, const struct object *source, const struct destination *destination,
			const struct ip_address **out, const char **problem)
{
	const struct object_name *name = &destination->object;
	const struct ip_address *addresses;
	const struct object *object;
	size_t count;

	switch (destination->kind) {
	case DESTINATION_ADDRESS:
		*out = &destination->address;
		return 1;
	case DESTINATION_POD:
		object = store_get(store, OBJECT_POD, name->namespace, name->name);
		*problem = "there is no such pod";
		if (!object)
			return -EINVAL;
		*problem = "the pod has ended, so it has given up its address";
		if (object->pod.phase == POD_SUCCEEDED || object->pod.phase == POD_FAILED)
			return -EINVAL;
		*problem = "the pod has no address";
		if (!object->pod.address_count)
			return -EINVAL;
		return common_families(source, object->pod.addresses, object->pod.address_count, out, problem);
	case DESTINATION_SERVICE:
		object = store_get(store, OBJECT_SERVICE, name->namespace, name->name);
		if (service_addresses(object, &addresses, &count, problem))
			return -EINVAL;
		return common_families(source, addresses, count, out, problem);
	}
	return -EINVAL;
}
