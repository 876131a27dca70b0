/* SPDX-License-Identifier: Apache-2.0 */
/* The programs on the pod's interface without an agent: what is pinned needs none. */
#include <errno.h>
#include <string.h>
#include <time.h>

#include "base/cleanup.h"
#include "base/lock.h"
#include "base/text.h"
#include "cni/cni.h"
#include "datapath/datapath.h"

static void close_datapath(struct datapath **datapath)
{
	datapath_close(*datapath);
}

static int failed(struct cni_error *error)
{
	return cni_fail(error, CNI_NOT_ATTACHED, "the pod's filter cannot be attached", "%s", datapath_error());
}

static int open_pins(const struct cni_request *request, bool read_only, struct datapath **out)
{
	const struct datapath_options options = {.pin = request->pin, .attach = ATTACH_AUTO, .read_only = read_only};

	return datapath_open(&options, out);
}

/* Where no agent has run since the node started: the programs of this build, with tables that say nothing. */
static int pin_own_programs(const struct cni_request *request, struct cni_error *error)
{
	_cleanup_(close_datapath) struct datapath *datapath = NULL;
	_cleanup_fd_ int lock = -1;
	int status = datapath_prepare_pins(request->pin);

	if (status)
		return failed(error);
	status = lock_directory(request->pin, &lock);
	if (status == -EWOULDBLOCK)
		return cni_fail(error, CNI_TRY_AGAIN_LATER, "an agent is starting for the first time",
				"%s is locked and nothing is pinned there yet", request->pin);
	if (status)
		return cni_fail(error, CNI_IO_FAILURE, "the directory of the pins cannot be locked", "%s: %s",
				request->pin, strerror(-status));
	status = datapath_check_unused(request->pin);
	if (status == -EBUSY)
		return cni_fail(error, CNI_TRY_AGAIN_LATER, "another egressd's programs are in force", "%s",
				datapath_error());
	if (status || open_pins(request, false, &datapath) || datapath_ensure_programs(datapath))
		return failed(error);
	return 0;
}

static bool programs_are_pinned(const struct cni_request *request)
{
	_cleanup_(close_datapath) struct datapath *datapath = NULL;
	const uint32_t *memory;
	size_t words;

	return !open_pins(request, true, &datapath) && !datapath_tables(datapath, &memory, &words);
}

static struct egress_endpoint make_entry(const struct cni_attachment *attachment)
{
	struct egress_endpoint entry = {.ifindex = attachment->ifindex};
	size_t i;

	memcpy(entry.mac, attachment->mac, sizeof(entry.mac));
	for (i = 0; i < attachment->address_count; i++) {
		const struct ip_address *address = &attachment->addresses[i];

		if (address->family == 4)
			memcpy(&entry.ipv4, address->bytes, sizeof(entry.ipv4));
		else
			memcpy(entry.ipv6, address->bytes, sizeof(entry.ipv6));
	}
	return entry;
}

int hold_pod(const struct cni_request *request, const struct cni_attachment *attachment, struct cni_error *error)
{
	_cleanup_free_ char *attachments = text_format("%s/%s", request->state, CNI_ATTACHMENTS_DIRECTORY);
	const struct egress_endpoint entry = make_entry(attachment);
	_cleanup_(close_datapath) struct datapath *datapath = NULL;
	_cleanup_fd_ int lock = -1;
	int status;

	if (!attachments)
		return cni_fail(error, CNI_IO_FAILURE, "no memory", "%s", "");
	/* One of these at a time: each takes an endpoint id that is free. */
	status = lock_directory_wait(attachments, &lock);
	if (status)
		return cni_fail(error, CNI_IO_FAILURE, "the directory of attachments cannot be locked", "%s: %s",
				attachments, strerror(-status));
	if (!programs_are_pinned(request) && pin_own_programs(request, error))
		return error->code;
	if (open_pins(request, false, &datapath) || datapath_attach_pending(datapath, &entry))
		return failed(error);
	return 0;
}

int check_attached(const struct cni_request *request, const struct cni_attachment *attachment, struct cni_error *error)
{
	_cleanup_(close_datapath) struct datapath *datapath = NULL;

	if (open_pins(request, true, &datapath))
		return cni_fail(error, CNI_NOT_ATTACHED, "the pod's filter is not attached", "%s", datapath_error());
	if (!datapath_attached(datapath, attachment->ifindex))
		return cni_fail(error, CNI_NOT_ATTACHED, "the pod's filter is not attached",
				"the programs in force are not on interface %s (number %u)", attachment->interface,
				attachment->ifindex);
	return 0;
}
