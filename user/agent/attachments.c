/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>

#include "agent/agent.h"
#include "base/cleanup.h"

/* ------------------------------------------------------------------ which interface */

static void not_found(struct endpoint *endpoint, int error)
{
	const struct pod *pod = &endpoint->pod->pod;

	if (pod->interface)
		endpoint_set_problem(endpoint, "interface %s does not exist", pod->interface);
	else if (error == -ENOENT)
		endpoint_set_problem(endpoint, "network namespace %s does not exist", pod->netns);
	else if (error == -EINVAL)
		endpoint_set_problem(endpoint, "%s is not a network namespace", pod->netns);
	else if (error == -ENODEV)
		endpoint_set_problem(endpoint, "no veth in network namespace %s leads here", pod->netns);
	else if (error == -E2BIG)
		endpoint_set_problem(endpoint,
				     "more than one veth in network namespace %s leads here: name it with the "
				     "annotation egressd.io/interface", pod->netns);
	else
		endpoint_set_problem(endpoint, "network namespace %s: %s", pod->netns, strerror(-error));
}

static int find(const struct endpoint *endpoint, uint32_t *ifindex, char name[IF_NAMESIZE], uint8_t mac[6])
{
	const struct pod *pod = &endpoint->pod->pod;
	int error;

	if (!pod->interface)
		return interface_of_netns(pod->netns, ifindex, name, mac);
	error = interface_by_name(pod->interface, ifindex);
	if (error)
		return error;
	/* An interface's name that fits an existing one fits here. */
	strncpy(name, pod->interface, IF_NAMESIZE - 1);
	return 0;
}

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
	char name[IF_NAMESIZE] = "";
	uint8_t mac[6] = {0};
	struct endpoint *owner;
	uint32_t ifindex = 0;
	int error = find(endpoint, &ifindex, name, mac);

	endpoint->wanted = 0;
	endpoint->kept = false;
	if (error) {
		not_found(endpoint, error);
		return;
	}
	owner = endpoints_wanting(&agent->endpoints, ifindex);
	if (owner) {
		endpoint_set_problem(endpoint, "interface %s is %s's already", name, owner->key);
		return;
	}
	endpoint->wanted = ifindex;
	memcpy(endpoint->interface, name, sizeof(name));
	memcpy(endpoint->mac, mac, sizeof(mac));
}

/* A look into a namespace costs more than a name, and what was found there is good until its interface is gone. */
static bool is_settled(const struct endpoint *endpoint)
{
	return endpoint->wanted && endpoint->attached && !endpoint->kept && !endpoint->pod->pod.interface;
}

void attachments_resolve(struct agent *agent, bool all)
{
	struct endpoint *endpoint;

	for (endpoint = agent->endpoints.current; endpoint; endpoint = endpoint->hh.next)
		if (all || !is_settled(endpoint))
			endpoint->wanted = 0;
	for (endpoint = agent->endpoints.current; endpoint; endpoint = endpoint->hh.next)
		if (!endpoint->wanted)
			resolve(agent, endpoint);
	for (endpoint = agent->endpoints.current; endpoint; endpoint = endpoint->hh.next)
		if (!endpoint->wanted)
			keep(agent, endpoint);
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
 * sees. Where the programs cannot be taken off the entry stays, and so does the endpoint's id.
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
	agent->generation.grace_owed = true;
	if (!left)
		return;
	if (generation_settle(&agent->generation, agent->datapath)) {
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
	agent->generation.grace_owed = true;
}

static void withdraw(struct agent *agent, struct withdrawal *withdrawal, uint32_t ifindex, struct endpoint *endpoint)
{
	if (!ifindex || endpoints_wanting(&agent->endpoints, ifindex))
		return;
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

	for (endpoint = agent->endpoints.retiring; endpoint; endpoint = endpoint->next) {
		if (endpoint->entry.ifindex)
			log_info("%s: gone, endpoint %u is given up", endpoint->key, endpoint->id);
		withdraw(agent, &withdrawal, endpoint->entry.ifindex, endpoint);
	}
	withdraw_rest(agent, &withdrawal);
}

void attachments_sweep(struct agent *agent)
{
	_cleanup_free_ struct egress_endpoint *entries = NULL;
	struct withdrawal withdrawal = {.count = 0};
	_cleanup_free_ uint32_t *interfaces = NULL;
	size_t count, i;

	agent->sweep_due = false;
	if (datapath_attached_list(agent->datapath, &interfaces, &count)) {
		log_warning("%s", datapath_error());
		agent->sweep_due = true;
		return;
	}
	for (i = 0; i < count; i++)
		withdraw(agent, &withdrawal, interfaces[i], NULL);
	withdraw_rest(agent, &withdrawal);
	if (datapath_endpoint_list(agent->datapath, &entries, &count)) {
		log_warning("%s", datapath_error());
		agent->sweep_due = true;
		return;
	}
	for (i = 0; i < count; i++)
		withdraw(agent, &withdrawal, entries[i].ifindex, NULL);
	withdraw_rest(agent, &withdrawal);
}

void attachments_vanished(struct agent *agent, uint32_t ifindex)
{
	struct endpoint *endpoint;

	for (endpoint = agent->endpoints.current; endpoint; endpoint = endpoint->hh.next) {
		struct withdrawal withdrawal = {.items = {{ifindex, endpoint}}, .count = 1};

		if (endpoint->entry.ifindex != ifindex)
			continue;
		log_info("%s: interface %s is gone", endpoint->key, endpoint->interface);
		/* An interface that takes its number afterwards is another one. */
		endpoint->wanted = 0;
		withdraw_now(agent, &withdrawal);
	}
}

/* ------------------------------------------------------------------ putting on */

static struct egress_endpoint make_entry(const struct endpoint *endpoint)
{
	const struct pod *pod = &endpoint->pod->pod;
	struct egress_endpoint entry = {
		.ifindex = endpoint->wanted,
		.id = endpoint->id,
		.flags = pod->router ? EGRESS_ENDPOINT_ROUTER : 0,
	};
	size_t i;

	memcpy(entry.mac, endpoint->mac, sizeof(entry.mac));
	for (i = 0; i < pod->address_count; i++) {
		if (pod->addresses[i].family == 4)
			memcpy(&entry.ipv4, pod->addresses[i].bytes, sizeof(entry.ipv4));
		else
			memcpy(entry.ipv6, pod->addresses[i].bytes, sizeof(entry.ipv6));
	}
	return entry;
}

static void failed(struct agent *agent, struct endpoint *endpoint)
{
	agent->attach_errors++;
	endpoint_set_problem(endpoint, "%s", datapath_error());
}

static int put_entry(struct agent *agent, struct endpoint *endpoint)
{
	struct egress_endpoint entry = make_entry(endpoint);
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
	}
	error = datapath_endpoint_put(agent->datapath, &entry);
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
		log_info("%s: attached to %s (interface %u, endpoint %u)", endpoint->key, endpoint->interface,
			 endpoint->wanted, endpoint->id);
	}
	endpoint->attached = true;
	return 0;
}

/* The entry stands before the programs that look for it are attached. */
static void put_on(struct agent *agent, struct withdrawal *withdrawal, struct endpoint *endpoint)
{
	uint32_t old = endpoint->entry.ifindex;

	if (!endpoint->id) {
		endpoint_set_problem(endpoint, "no endpoint id is free: a node has at most %d pods",
				     EGRESS_ENDPOINT_MAX - 1);
		return;
	}
	if (old != endpoint->wanted)
		endpoint->attached = false;
	if (put_entry(agent, endpoint) || attach(agent, endpoint)) {
		failed(agent, endpoint);
		return;
	}
	if (!endpoint->kept)
		endpoint_set_problem(endpoint, NULL);
	if (old != endpoint->wanted)
		withdraw(agent, withdrawal, old, NULL);
}

/* Whose interface another endpoint took over has nothing in the kernel any more. */
static void release_taken_over(struct agent *agent, struct endpoint *endpoint)
{
	const struct endpoint *owner = endpoints_wanting(&agent->endpoints, endpoint->entry.ifindex);

	if (owner && owner != endpoint && owner->entry.ifindex == endpoint->entry.ifindex)
		forget_entry(endpoint);
}

void attachments_apply(struct agent *agent)
{
	struct withdrawal withdrawal = {.count = 0};
	struct endpoint *endpoint;

	for (endpoint = agent->endpoints.current; endpoint; endpoint = endpoint->hh.next) {
		if (endpoint->wanted)
			put_on(agent, &withdrawal, endpoint);
		else
			withdraw(agent, &withdrawal, endpoint->entry.ifindex, endpoint);
	}
	withdraw_rest(agent, &withdrawal);
	for (endpoint = agent->endpoints.current; endpoint; endpoint = endpoint->hh.next)
		release_taken_over(agent, endpoint);
	for (endpoint = agent->endpoints.retiring; endpoint; endpoint = endpoint->next)
		release_taken_over(agent, endpoint);
}

bool attachments_check(struct agent *agent)
{
	struct endpoint *endpoint;
	bool missing = false;
	char name[IF_NAMESIZE];

	for (endpoint = agent->endpoints.current; endpoint; endpoint = endpoint->hh.next) {
		uint32_t ifindex = endpoint->entry.ifindex;

		if (!endpoint->attached || datapath_attached(agent->datapath, ifindex))
			continue;
		endpoint->attached = false;
		missing = true;
		if (!if_indextoname(ifindex, name)) {
			attachments_vanished(agent, ifindex);
			continue;
		}
		agent->repairs++;
		log_warning("%s: someone took our programs off interface %s; attaching again", endpoint->key, name);
	}
	return missing;
}
