/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A remote pod that comes, goes or changes, in the bank in force: its addresses get the class that a new compile would
 * give them, if the compile in force has that class. Whatever else could change with the pod is left to a new compile.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/hash.h"
#include "policy/tables_inside.h"

/* Who has an address since a pod change. */
struct changed_address {
	UT_hash_handle hh;
	struct ip_address address;
	struct object *pod; /* a reference; NULL: nobody */
};

void forget_changes(struct bank_state *bank)
{
	struct changed_address *change, *next;

	HASH_ITER(hh, bank->changes, change, next) {
		HASH_DEL(bank->changes, change);
		object_unref(change->pod);
		free(change);
	}
}

/* An address that gets another owner. */
struct move {
	struct ip_address address;
	struct object *owner; /* NULL: nobody */
	uint32_t class;
	struct changed_address *change;
};

#define MOVES_MAX (2 * FAMILY_COUNT)

struct moves {
	struct move items[MOVES_MAX];
	size_t count;
};

static struct changed_address *find_change(const struct bank_state *bank, const struct ip_address *address)
{
	struct changed_address *change;

	HASH_FIND(hh, bank->changes, address, sizeof(*address), change);
	return change;
}

static bool same_pod(const struct object *a, const struct object *b)
{
	return a && b && strcmp(a->name, b->name) == 0 && strcmp(a->namespace, b->namespace) == 0;
}

/* Who has the address now; false where several say so, and only a compile can judge. */
static bool current_owner(const struct bank_state *bank, const struct ip_address *address, const struct object **owner)
{
	const struct changed_address *change = find_change(bank, address);
	const struct point *point = point_find(bank->policy, address);

	*owner = NULL;
	if (change) {
		*owner = change->pod;
		return true;
	}
	if (!point)
		return true;
	*owner = point->pod;
	return point->claims <= 1;
}

static bool has_address(const struct object *pod, const struct ip_address *address)
{
	size_t i;

	for (i = 0; pod && pod_is_peer(pod) && i < pod->pod.address_count; i++)
		if (ip_address_compare(&pod->pod.addresses[i], address) == 0)
			return true;
	return false;
}

/* The class of the address when `owner` has it: 0 or -EAGAIN where the compile has no such class. */
static int find_class(const struct policy *policy, const struct ip_address *address, const struct object *owner,
		      uint32_t *class)
{
	struct class_key key = {.destinations = blocks_at(policy, address)};

	if (owner) {
		uint32_t group = pod_find_group(policy, owner);

		if (group == NONE)
			return -EAGAIN;
		key.names = policy->groups[group].names;
		if (number_sets_find_union(&policy->sets, key.destinations, policy->groups[group].destinations,
					   &key.destinations) < 0)
			return -EAGAIN;
	}
	return intern_find(&policy->class_keys, &key, sizeof(key), class) ? 0 : -EAGAIN;
}

/* Does anything but the class of the address depend on who has it? */
static bool is_entangled(const struct policy *policy, const struct ip_address *address)
{
	const struct point *point = point_find(policy, address);

	return point &&
	       (point->own_node || point->any_node || point->service || point->backend || point->isolated_local);
}

static int plan_move(const struct bank_state *bank, struct moves *moves, const struct ip_address *address,
		     const struct object *old, struct object *owner)
{
	const struct object *now;
	struct move *move;
	int error;

	/* The pod may have the address already, or nobody. */
	if (!current_owner(bank, address, &now) || (now && !same_pod(now, old ? old : owner)))
		return -EAGAIN;
	if (!now && !owner)
		return 0;
	if (is_entangled(bank->policy, address) || moves->count == MOVES_MAX)
		return -EAGAIN;
	move = &moves->items[moves->count];
	*move = (struct move){.address = *address, .owner = owner};
	error = find_class(bank->policy, address, owner, &move->class);
	if (!error)
		moves->count++;
	return error;
}

static int plan_moves(const struct bank_state *bank, struct moves *moves, struct object *old, struct object *new)
{
	size_t i;
	int error = 0;

	for (i = 0; old && pod_is_peer(old) && i < old->pod.address_count && !error; i++)
		if (!has_address(new, &old->pod.addresses[i]))
			error = plan_move(bank, moves, &old->pod.addresses[i], old, NULL);
	for (i = 0; new &&pod_is_peer(new) && i < new->pod.address_count && !error; i++)
		error = plan_move(bank, moves, &new->pod.addresses[i], old, new);
	return error;
}

/* A service without slices has the pod among its backends, or had. */
static bool is_selected_by_service(const struct policy *policy, const struct object *pod)
{
	size_t i;

	for (i = 0; pod && i < policy->derived_count; i++)
		if (strcmp(policy->derived[i]->namespace, pod->namespace) == 0 &&
		    label_selector_matches(&policy->derived[i]->service.selector, &pod->labels))
			return true;
	return false;
}

/* The node's own addresses lead to it, or did. */
static bool has_host_ports(const struct policy *policy, const struct object *pod)
{
	return pod && pod_has_host_ports_here(policy, pod);
}

static void drop_plans(struct moves *moves)
{
	size_t i;

	for (i = 0; i < moves->count; i++)
		free(moves->items[i].change);
}

/* Room for what is to be remembered, before anything is written. */
static int prepare_changes(struct moves *moves)
{
	size_t i;

	for (i = 0; i < moves->count; i++) {
		moves->items[i].change = calloc(1, sizeof(*moves->items[i].change));
		if (!moves->items[i].change)
			return -ENOMEM;
	}
	return 0;
}

/* Takes the move's memory over; false where there is no memory to remember it. */
static bool remember(struct bank_state *bank, struct move *move)
{
	struct changed_address *change = find_change(bank, &move->address);

	if (!change) {
		change = take(move->change);
		change->address = move->address;
		HASH_ADD(hh, bank->changes, address, sizeof(change->address), change);
		if (!change->hh.tbl) {
			free(change);
			return false;
		}
	}
	object_unref(change->pod);
	change->pod = move->owner ? object_ref(move->owner) : NULL;
	return true;
}

static int set_class(struct tables *tables, unsigned int bank, const struct move *move)
{
	const struct trie trie = bank_trie(tables, bank);
	struct egress_bank *header = &tables->control->bank[bank];
	address_number address = address_to_number(&move->address);

	if (address_family(&move->address) == FAMILY_IPV4)
		return trie_set_ipv4(&trie, header->ipv4_root, address, move->class);
	return trie_set_ipv6(&trie, &header->ipv6_root, address, move->class);
}

static int make_moves(struct tables *tables, unsigned int bank, struct moves *moves)
{
	size_t i;
	int error;

	/* From here on nothing fails for want of table memory: half a change would be seen until the next compile. */
	if (!memory_has_room(&tables->memory, moves->count * TRIE_SET_WORDS))
		return -EAGAIN;
	for (i = 0; i < moves->count; i++) {
		if (!remember(&tables->banks[bank], &moves->items[i]))
			return -ENOMEM;
		error = set_class(tables, bank, &moves->items[i]);
		/* A large hash node without room for it: it is written anew by the compile that follows, and no other way. */
		if (error < 0)
			return error == -ENOSPC ? -EAGAIN : -ENOMEM;
	}
	return 0;
}

int tables_pod_changed(struct tables *tables, struct object *old, struct object *new)
{
	unsigned int active = tables->control->active;
	struct bank_state *bank = &tables->banks[active];
	struct moves moves = {.count = 0};
	int error;

	/* A bank that waits to be published would not see the change. */
	if (!bank->policy || tables->written)
		return -EAGAIN;
	if (old && new &&object_equal(old, new))
		return 0;
	if (old && policy_endpoint(bank->policy, old->namespace, old->name))
		return -EAGAIN;
	if ((old && pod_is_local(bank->policy, old)) || (new &&pod_is_local(bank->policy, new)))
		return -EAGAIN;
	if (is_selected_by_service(bank->policy, old) || is_selected_by_service(bank->policy, new))
		return -EAGAIN;
	if (has_host_ports(bank->policy, old) || has_host_ports(bank->policy, new))
		return -EAGAIN;
	error = plan_moves(bank, &moves, old, new);
	if (!error)
		error = prepare_changes(&moves);
	if (!error)
		error = make_moves(tables, active, &moves);
	drop_plans(&moves);
	return error;
}
