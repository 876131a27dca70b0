/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>

#include "agent/agent.h"
#include "base/cleanup.h"

/* After a failure: doubled with every failure in a row, up to 32 s. */
#define RETRY_MILLISECONDS INT64_C(250)

/* ------------------------------------------------------------------ which interface */

/*
 * An interface that was renamed, or whose namespace lost its path, is still the pod's: what identifies it is its
 * number. It is not let go before it is gone or another pod's.
 */
static void keep(struct agent *agent, struct endpoint *endpoint)
{
	uint32_t ifindex = endpoint->entry.ifindex;

	if (!ifindex || endpoints_wanting(&agent->endpoints, ifindex))
		return;
	if (!endpoint->attached && !datapath_attached(agent->datapath, ifindex))
		return;
	if (!if_indextoname(ifindex, endpoint->interface))
		return;
	endpoint->wanted = ifindex;
	endpoint->kept = true;
}

static void resolve(struct agent *agent, struct endpoint *endpoint)
{
	struct located_interface found;
	struct endpoint *owner;

	endpoint->wanted = 0;
	endpoint->kept = false;
	if (locate_interface(agent, endpoint, &found))
		return;
	owner = endpoints_wanting(&agent->endpoints, found.ifindex);
	if (owner) {
		endpoint_set_problem(endpoint, "interface %s is %s's already", found.name, owner->key);
		return;
	}
	endpoint->wanted = found.ifindex;
	memcpy(endpoint->interface, found.name, sizeof(found.name));
	memcpy(endpoint->mac, found.mac, sizeof(found.mac));
}

static void learn_namespace(const struct agent *agent, struct endpoint *endpoint)
{
	int32_t nsid = interface_watch_namespace(agent->interfaces, endpoint->wanted);

	if (nsid < 0 || endpoint->nsid_of == endpoint->wanted)
		return;
	endpoint->nsid = nsid;
	endpoint->nsid_of = endpoint->wanted;
}

/* What was found in a namespace is good until its interface is gone; by name, until an interface changes. */
static bool is_settled(const struct agent *agent, const struct endpoint *endpoint)
{
	return endpoint->wanted && endpoint->attached && !endpoint->kept &&
	       (endpoint->attachment || !endpoint->pod->pod.interface || !agent->links_changed);
}

void attachments_resolve(struct agent *agent, bool all)
{
	struct endpoint *endpoint;

	for (endpoint = agent->endpoints.current; endpoint; endpoint = endpoint->hh.next)
		if (all || !is_settled(agent, endpoint))
			endpoint->wanted = 0;
	for (endpoint = agent->endpoints.current; endpoint; endpoint = endpoint->hh.next)
		if (!endpoint->wanted)
			resolve(agent, endpoint);
	locate_forget_processes(agent);
	for (endpoint = agent->endpoints.current; endpoint; endpoint = endpoint->hh.next)
		if (!endpoint->wanted)
			keep(agent, endpoint);
	for (endpoint = agent->endpoints.current; endpoint; endpoint = endpoint->hh.next)
		learn_namespace(agent, endpoint);
}

/* ------------------------------------------------------------------ taking off */

/* Interfaces that are given up together, so that one wait serves all of them. */
#define WITHDRAWAL_MAX 256

struct withdrawal {
	struct {
		uint32_t ifindex;
		struct endpoint *endpoint; /* whose entry it is, or NULL */
	} items[WITHDRAWAL_MAX];
	size_t count;
	bool told_gone; /* the kernel told that the interfaces are gone */
};

/* The kernel has nothing of it any more. */
static void forget_entry(struct endpoint *endpoint)
{
	endpoint->entry.ifindex = 0;
	endpoint->interface[0] = '\0';
	endpoint->attached = false;
}

static void remove_entry(struct agent *agent, uint32_t ifindex)
{
	int error = datapath_endpoint_remove(agent->datapath, ifindex);

	if (error && error != -ENOENT) {
		log_warning("%s", datapath_error());
		agent->sweep_due = true;
	}
}

/*
 * Programs first, and the entry only when none of them can still be running: a program without an entry drops what it
 * sees. Where the programs cannot be taken off the entry stays, and so does the endpoint's id. When the kernel tells that
 * an interface is gone it has waited for what was under way there: then there is nothing to wait for.
 */
static void withdraw_now(struct agent *agent, struct withdrawal *withdrawal)
{
	size_t i, left = 0;

	for (i = 0; i < withdrawal->count; i++) {
		if (datapath_detach(agent->datapath, withdrawal->items[i].ifindex)) {
			log_warning("%s", datapath_error());
			agent->sweep_due = true;
			continue;
		}
		withdrawal->items[left++] = withdrawal->items[i];
	}
	withdrawal->count = 0;
	agent->generation.grace_owed |= !withdrawal->told_gone;
	if (!left)
		return;
	if (!withdrawal->told_gone && generation_settle(&agent->generation, agent->datapath)) {
		log_warning("%s", datapath_error());
		agent->sweep_due = true;
		return;
	}
	for (i = 0; i < left; i++) {
		struct endpoint *endpoint = withdrawal->items[i].endpoint;

		remove_entry(agent, withdrawal->items[i].ifindex);
		if (endpoint)
			forget_entry(endpoint);
	}
	/* The entries: no packet may be on its way with an id that is given to someone else. */
	agent->generation.grace_owed |= !withdrawal->told_gone;
}

/* From one packet to the next it is no longer the pod's, but nobody's, and held. */
static void hold_instead(struct agent *agent, uint32_t ifindex, struct endpoint *endpoint)
{
	if (datapath_hold(agent->datapath, ifindex)) {
		log_warning("%s", datapath_error());
		agent->sweep_due = true;
		return;
	}
	if (endpoint)
		forget_entry(endpoint);
	agent->generation.grace_owed = true;
}

static void withdraw(struct agent *agent, struct withdrawal *withdrawal, uint32_t ifindex, struct endpoint *endpoint)
{
	if (!ifindex || endpoints_wanting(&agent->endpoints, ifindex))
		return;
	if (pending_holds_unknown(agent, ifindex)) {
		hold_instead(agent, ifindex, endpoint);
		return;
	}
	if (withdrawal->count == WITHDRAWAL_MAX)
		withdraw_now(agent, withdrawal);
	withdrawal->items[withdrawal->count].ifindex = ifindex;
	withdrawal->items[withdrawal->count++].endpoint = endpoint;
}

static void withdraw_rest(struct agent *agent, struct withdrawal *withdrawal)
{
	if (withdrawal->count)
		withdraw_now(agent, withdrawal);
}

void attachments_withdraw_retiring(struct agent *agent)
{
	struct withdrawal withdrawal = {.count = 0};
	struct endpoint *endpoint;

	/* It may retire because its attachment cannot be read; under its id nothing passes then. */
	if (agent->attachment_failure)
		return;
	for (endpoint = agent->endpoints.retiring; endpoint; endpoint = endpoint->next) {
		if (endpoint->entry.ifindex)
			log_info("%s: gone, endpoint %u is given up", endpoint->key, endpoint->id);
		withdraw(agent, &withdrawal, endpoint->entry.ifindex, endpoint);
	}
	withdraw_rest(agent, &withdrawal);
}

/* All that hangs or has an entry anywhere; lists belong to the caller, also where it fails. */
static int list_everything(struct agent *agent, uint32_t **interfaces, size_t *interface_count,
			   struct egress_endpoint **entries, size_t *entry_count)
{
	int error = datapath_attached_list(agent->datapath, interfaces, interface_count);

	if (!error)
		error = datapath_endpoint_list(agent->datapath, entries, entry_count);
	if (error)
		log_warning("%s", datapath_error());
	return error;
}

void attachments_sweep(struct agent *agent)
{
	_cleanup_free_ struct egress_endpoint *entries = NULL;
	struct withdrawal withdrawal = {.count = 0};
	_cleanup_free_ uint32_t *interfaces = NULL;
	size_t interface_count, entry_count, i;

	agent->sweep_due = true;
	/* What hangs where no endpoint is may be of a pod whose attachment cannot be read. */
	if (agent->attachment_failure ||
	    list_everything(agent, &interfaces, &interface_count, &entries, &entry_count))
		return;
	/* egress-cni leaves its file before it attaches: if there is a new one, the lists may have what it attached. */
	if (agent_attachments_changed(agent)) {
		agent->attachments_news = true;
		return;
	}
	agent->sweep_due = false;
	for (i = 0; i < interface_count; i++)
		if (!pending_is_held(agent, interfaces[i]) && !pending_bypasses(agent, interfaces[i]))
			withdraw(agent, &withdrawal, interfaces[i], NULL);
	withdraw_rest(agent, &withdrawal);
	for (i = 0; i < entry_count; i++)
		withdraw(agent, &withdrawal, entries[i].ifindex, NULL);
	withdraw_rest(agent, &withdrawal);
}

void attachments_let_go(struct agent *agent, uint32_t ifindex)
{
	struct withdrawal withdrawal = {.items = {{ifindex, NULL}}, .count = 1};

	withdraw_now(agent, &withdrawal);
}

void attachments_vanished(struct agent *agent, uint32_t ifindex, bool told)
{
	struct endpoint *endpoint;

	pending_vanished(agent, ifindex);
	for (endpoint = agent->endpoints.current; endpoint; endpoint = endpoint->hh.next) {
		struct withdrawal withdrawal = {
			.items = {{ifindex, endpoint}}, .count = 1, .told_gone = told};

		if (endpoint->entry.ifindex != ifindex)
			continue;
		log_info("%s: interface %s is gone", endpoint->key, endpoint->interface);
		/* An interface that takes its number afterwards is another one. */
		endpoint->wanted = 0;
		withdraw_now(agent, &withdrawal);
	}
}

void attachments_namespace_gone(struct agent *agent, int32_t nsid)
{
	struct endpoint *endpoint;

	/* It is not learned again from the same interface, which goes as well. */
	for (endpoint = agent->endpoints.current; endpoint; endpoint = endpoint->hh.next)
		if (endpoint->nsid == nsid)
			endpoint->nsid = -1;
}

/* ------------------------------------------------------------------ putting on */

/* Whoever may make a pod would exempt it: its annotation counts only where annotations do. */
static uint32_t entry_flags(const struct agent *agent, const struct pod *pod)
{
	static const uint32_t anti_spoof[] = {
		[ANTI_SPOOF_ISOLATED] = 0,
		[ANTI_SPOOF_ALL] = EGRESS_ENDPOINT_SPOOF_ALL,
		[ANTI_SPOOF_OFF] = EGRESS_ENDPOINT_SPOOF_OFF,
	};

	return anti_spoof[agent->options->anti_spoof] |
	       (pod->router && agent->locality.annotations ? EGRESS_ENDPOINT_ROUTER : 0);
}

/* What the pod was given counts; a Pod has its addresses only later, or somebody wrote them down by hand. */
const struct ip_address *attachments_addresses(const struct endpoint *endpoint, size_t *count)
{
	const struct cni_attachment *attachment = endpoint->attachment;
	const struct pod *pod = &endpoint->pod->pod;

	*count = attachment && attachment->address_count ? attachment->address_count : pod->address_count;
	return attachment && attachment->address_count ? attachment->addresses : pod->addresses;
}

struct egress_endpoint attachments_entry(const struct agent *agent, const struct endpoint *endpoint)
{
	struct egress_endpoint entry = {
		.ifindex = endpoint->wanted,
		.id = endpoint->id,
		.flags = entry_flags(agent, &endpoint->pod->pod),
	};
	size_t count, i;
	const struct ip_address *addresses = attachments_addresses(endpoint, &count);

	memcpy(entry.mac, endpoint->mac, sizeof(entry.mac));
	for (i = 0; i < count; i++) {
		if (addresses[i].family == 4)
			memcpy(&entry.ipv4, addresses[i].bytes, sizeof(entry.ipv4));
		else
			memcpy(entry.ipv6, addresses[i].bytes, sizeof(entry.ipv6));
	}
	return entry;
}

static void failed(struct agent *agent, struct endpoint *endpoint)
{
	agent->attach_errors++;
	endpoint_set_problem(endpoint, "%s", datapath_error());
	endpoint->due = agent_milliseconds() + (RETRY_MILLISECONDS << (endpoint->failures < 7 ? endpoint->failures : 7));
	endpoint->failures++;
}

void attachments_try_now(struct agent *agent)
{
	struct endpoint *endpoint;

	for (endpoint = agent->endpoints.current; endpoint; endpoint = endpoint->hh.next)
		endpoint->due = 0;
	agent->hold_due = 0;
}

/*
 * The entry of a pod that policy isolates cannot be made, and it has none: a program without an entry drops what it
 * sees. When the pod goes first, what was attached is found by a sweep.
 */
static void cut_off(struct agent *agent, const struct endpoint *endpoint)
{
	agent->sweep_due = true;
	if (endpoint->entry.ifindex || generation_set(&agent->generation, endpoint->id) == EGRESS_SET_OPEN ||
	    datapath_attached(agent->datapath, endpoint->wanted))
		return;
	if (datapath_attach(agent->datapath, endpoint->wanted))
		log_warning("%s: %s", endpoint->key, datapath_error());
}

static int put_entry(struct agent *agent, struct endpoint *endpoint)
{
	struct egress_endpoint entry = attachments_entry(agent, endpoint), noted;
	int error;

	if (!memcmp(&entry, &endpoint->entry, sizeof(entry)))
		return 0;
	/* An id that comes into the kernel new: what its last owner left is not this pod's. */
	if (!endpoint->owns_id) {
		error = datapath_counters_reset(agent->datapath, endpoint->id);
		if (!error)
			error = datapath_flows_remove(agent->datapath, endpoint->id);
		if (error)
			return error;
		endpoint->owns_id = true;
		endpoint->connections_due = true;
	}
	noted = entry;
	noted.notes = endpoint->connections_due ? EGRESS_ENDPOINT_DUE : 0;
	error = datapath_endpoint_put(agent->datapath, &noted);
	if (!error)
		endpoint->entry = entry;
	return error;
}

static int attach(struct agent *agent, struct endpoint *endpoint)
{
	int error;

	if (endpoint->attached)
		return 0;
	if (!datapath_attached(agent->datapath, endpoint->wanted)) {
		error = datapath_attach(agent->datapath, endpoint->wanted);
		if (error)
			return error;
	}
	endpoint->attached = true;
	return 0;
}

/* What is opened from here on, the program sees; what is there, the kernel knows. Nothing is between. */
static int track(struct agent *agent, const struct endpoint *endpoint)
{
	if (!endpoint->connections_due || endpoint->attached ||
	    generation_set(&agent->generation, endpoint->id) == EGRESS_SET_OPEN ||
	    datapath_attached(agent->datapath, endpoint->wanted))
		return 0;
	return datapath_attach_tracking(agent->datapath, endpoint->wanted);
}

/* The entry stands before the programs that look for it are attached. */
static void put_on(struct agent *agent, struct endpoint *endpoint)
{
	endpoint->before = endpoint->entry.ifindex;
	if (!endpoint->id) {
		endpoint_set_problem(endpoint, "no endpoint id is free: a node has at most %d pods",
				     EGRESS_ENDPOINT_MAX - 1);
		return;
	}
	if (endpoint->before != endpoint->wanted)
		endpoint->attached = false;
	/* Allowed until its policy is in force, which it is not. */
	if (!endpoint->before && !endpoint->attachment &&
	    generation_set(&agent->generation, endpoint->id) == EGRESS_SET_PENDING &&
	    !pending_denies(agent, endpoint->namespace))
		return;
	if (endpoint->failures && agent_milliseconds() < endpoint->due)
		return;
	if (put_entry(agent, endpoint)) {
		failed(agent, endpoint);
		cut_off(agent, endpoint);
		return;
	}
	/* What keeps it off the interface keeps the other program off, too. */
	if (track(agent, endpoint)) {
		failed(agent, endpoint);
		return;
	}
	endpoint->stands = true;
}

static void put_on_programs(struct agent *agent, struct withdrawal *withdrawal, struct endpoint *endpoint)
{
	if (attach(agent, endpoint)) {
		failed(agent, endpoint);
		return;
	}
	endpoint->failures = 0;
	if (!endpoint->kept)
		endpoint_set_problem(endpoint, NULL);
	if (endpoint->before == endpoint->wanted)
		return;
	log_info("%s: attached to %s (interface %u, endpoint %u)", endpoint->key, endpoint->interface,
		 endpoint->wanted, endpoint->id);
	withdraw(agent, withdrawal, endpoint->before, NULL);
}

/* Whose interface another endpoint took over has nothing in the kernel any more. */
static void release_taken_over(struct agent *agent, struct endpoint *endpoint)
{
	const struct endpoint *owner;

	if (!endpoint->entry.ifindex || endpoint->wanted == endpoint->entry.ifindex)
		return;
	owner = endpoints_wanting(&agent->endpoints, endpoint->entry.ifindex);
	if (owner && owner != endpoint && owner->entry.ifindex == endpoint->entry.ifindex)
		forget_entry(endpoint);
}

void attachments_apply(struct agent *agent)
{
	struct withdrawal withdrawal = {.count = 0};
	struct endpoint *endpoint;

	for (endpoint = agent->endpoints.current; endpoint; endpoint = endpoint->hh.next) {
		endpoint->stands = false;
		if (endpoint->wanted)
			put_on(agent, endpoint);
		else
			withdraw(agent, &withdrawal, endpoint->entry.ifindex, endpoint);
	}
	connections_before_attachment(agent);
	for (endpoint = agent->endpoints.current; endpoint; endpoint = endpoint->hh.next) {
		if (!endpoint->stands)
			continue;
		connections_take_found(agent);
		put_on_programs(agent, &withdrawal, endpoint);
	}
	withdraw_rest(agent, &withdrawal);
	for (endpoint = agent->endpoints.current; endpoint; endpoint = endpoint->hh.next)
		release_taken_over(agent, endpoint);
	for (endpoint = agent->endpoints.retiring; endpoint; endpoint = endpoint->next)
		release_taken_over(agent, endpoint);
}

/* What fails is told where it is tried again. -ENODEV: the interface is gone. */
static int repair(struct agent *agent, struct endpoint *endpoint)
{
	uint32_t ifindex = endpoint->entry.ifindex;
	char name[IF_NAMESIZE];
	int error;

	if (!endpoint->attached || datapath_attached(agent->datapath, ifindex))
		return 0;
	if (!if_indextoname(ifindex, name))
		return -ENODEV;
	agent->repairs++;
	log_warning("%s: someone took our programs off interface %s; attaching again", endpoint->key, name);
	error = datapath_attach_again(agent->datapath, ifindex);
	endpoint->attached = !error;
	return error == -ENODEV ? -EAGAIN : error;
}

bool attachments_check(struct agent *agent)
{
	bool missing = pending_check(agent);
	struct endpoint *endpoint;

	for (endpoint = agent->endpoints.current; endpoint; endpoint = endpoint->hh.next) {
		int error = repair(agent, endpoint);

		missing |= error != 0;
		if (error != -ENODEV)
			continue;
		endpoint->attached = false;
		attachments_vanished(agent, endpoint->entry.ifindex, false);
	}
	return missing;
}

void attachments_look_after(struct agent *agent)
{
	struct endpoint *endpoint;

	pending_check(agent);
	for (endpoint = agent->endpoints.current; endpoint; endpoint = endpoint->hh.next)
		repair(agent, endpoint);
}
