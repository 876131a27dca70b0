/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/diff.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "cli/memory.h"

/* Stands for "allows everything" where a side has no row: a pod that nothing isolates. */
#define ROW_OPEN 0

/* Two numbers, one of each side; the key of the tables below. */
struct pair {
	uint32_t old, new;
};

/* Addresses that are of one class on each side. */
struct class_pair {
	UT_hash_handle hh;
	struct pair classes;
	struct address_set addresses;
};

/* A piece of the ports that is of one class on each side. */
struct port_piece {
	struct port_range range; /* value: unused */
	struct pair classes;
};

/* What differs between two rows; NULL: nothing. */
struct row_pair {
	UT_hash_handle hh;
	struct pair rows;
	const struct port_change *change;
};

/* What differs between two policy sets. */
struct set_pair {
	UT_hash_handle hh;
	struct pair sets;
	struct pod_change *change;
};

struct class_ranges {
	struct class_range *items;
	size_t count, capacity;
};

struct computation {
	struct diff *diff;
	struct class_pair *class_pairs;
	struct port_piece *pieces;
	size_t piece_count, piece_capacity;
	struct row_pair *row_pairs;
	struct set_pair *set_pairs;
};

static void class_ranges_clear(struct class_ranges *ranges)
{
	free(ranges->items);
}

static void computation_clear(struct computation *computation)
{
	struct class_pair *class_pair, *next_class;
	struct row_pair *row_pair, *next_row;
	struct set_pair *set_pair, *next_set;

	HASH_ITER(hh, computation->class_pairs, class_pair, next_class) {
		HASH_DEL(computation->class_pairs, class_pair);
		address_set_clear(&class_pair->addresses);
		free(class_pair);
	}
	HASH_ITER(hh, computation->row_pairs, row_pair, next_row) {
		HASH_DEL(computation->row_pairs, row_pair);
		free(row_pair);
	}
	HASH_ITER(hh, computation->set_pairs, set_pair, next_set) {
		HASH_DEL(computation->set_pairs, set_pair);
		free(set_pair);
	}
	free(computation->pieces);
}

/*
 * --- Pieces of addresses
 * --------------------------------------------------------------------------------------------
 */

static int collect_range(const struct class_range *range, void *data)
{
	struct class_ranges *ranges = data;

	array_push(ranges->items, ranges->count, ranges->capacity, *range);
	return 0;
}

static void add_addresses(struct computation *computation, struct pair classes, const struct ip_address *first,
			  const struct ip_address *last)
{
	struct class_pair *pair;

	HASH_FIND(hh, computation->class_pairs, &classes, sizeof(classes), pair);
	if (!pair) {
		pair = allocate(1, sizeof(*pair));
		pair->classes = classes;
		HASH_ADD(hh, computation->class_pairs, classes, sizeof(pair->classes), pair);
	}
	address_set_append(&pair->addresses, first, last);
}

/* Both lists cover all addresses of both families in order, so the pieces end where either side's range does. */
static int merge_classes(struct computation *computation, const struct class_ranges *old,
			 const struct class_ranges *new)
{
	struct ip_address first;
	size_t i = 0, j = 0;

	if (!old->count || !new->count)
		return -EINVAL;
	first = old->items[0].first;
	while (i < old->count && j < new->count) {
		const struct class_range *x = &old->items[i], *y = &new->items[j];
		int order = ip_address_compare(&x->last, &y->last);
		const struct ip_address *last = order < 0 ? &x->last : &y->last;

		add_addresses(computation, (struct pair){x->class, y->class}, &first, last);
		i += order <= 0;
		j += order >= 0;
		/* After the last IPv4 address comes the first of IPv6. */
		if (!address_next(last, &first) && i < old->count)
			first = old->items[i].first;
	}
	return i == old->count && j == new->count ? 0 : -EINVAL;
}

static int cut_addresses(struct computation *computation)
{
	_cleanup_(class_ranges_clear) struct class_ranges old = {0}, new = {0};
	int error = bank_each_class(&computation->diff->old.bank, collect_range, &old);

	if (!error)
		error = bank_each_class(&computation->diff->new.bank, collect_range, &new);
	return error ? error : merge_classes(computation, &old, &new);
}

/*
 * --- Pieces of ports
 * ------------------------------------------------------------------------------------------------
 */

static void merge_ports(struct computation *computation, const struct port_ranges *old, const struct port_ranges *new)
{
	size_t i = 0, j = 0;
	uint16_t first = 0;

	while (i < old->count && j < new->count) {
		const struct port_range *x = &old->items[i], *y = &new->items[j];
		uint16_t last = x->last < y->last ? x->last : y->last;
		struct port_piece piece = {{x->protocol, first, last, 0}, {x->value, y->value}};

		array_push(computation->pieces, computation->piece_count, computation->piece_capacity, piece);
		i += x->last == last;
		j += y->last == last;
		/* Both sides cover every protocol to its end, so a new one begins on both at 0. */
		first = i < old->count && old->items[i].protocol == x->protocol ? (uint16_t)(last + 1) : 0;
	}
}

static int cut_ports(struct computation *computation)
{
	_cleanup_(port_ranges_clear) struct port_ranges old = {0}, new = {0};

	if (bank_port_classes(&computation->diff->old.bank, &old) ||
	    bank_port_classes(&computation->diff->new.bank, &new))
		return -EINVAL;
	merge_ports(computation, &old, &new);
	return 0;
}

/*
 * --- Changes of rows
 * ------------------------------------------------------------------------------------------------
 */

static int row_allows(const struct bank *bank, uint32_t row, const struct port_piece *piece, uint32_t port_class,
		      bool *allow)
{
	struct port_range range = piece->range;
	uint32_t cell = EGRESS_CELL_ALLOW;

	range.value = port_class;
	if (row != ROW_OPEN && bank_range_cell(bank, row, &range, &cell))
		return -EINVAL;
	*allow = cell & EGRESS_CELL_ALLOW;
	return 0;
}

static int compare_rows(const struct computation *computation, struct pair rows, struct port_ranges *allowed,
			struct port_ranges *denied)
{
	size_t i;

	for (i = 0; i < computation->piece_count; i++) {
		const struct port_piece *piece = &computation->pieces[i];
		bool before, after;

		if (row_allows(&computation->diff->old.bank, rows.old, piece, piece->classes.old, &before) ||
		    row_allows(&computation->diff->new.bank, rows.new, piece, piece->classes.new, &after))
			return -EINVAL;
		if (before != after)
			port_ranges_append(after ? allowed : denied, &piece->range);
	}
	return 0;
}

/* The one that equals it; takes both lists. NULL where both are empty. */
static const struct port_change *intern_ports(struct diff *diff, struct port_ranges *allowed,
					      struct port_ranges *denied)
{
	_cleanup_free_ char *first = port_ranges_text(allowed, ""), *second = port_ranges_text(denied, "");
	_cleanup_free_ char *key = format_text("+%s -%s", first, second);
	struct port_change *change = NULL;

	if (!allowed->count && !denied->count)
		return NULL;
	HASH_FIND_STR(diff->port_changes, key, change);
	if (change)
		return change;
	change = allocate(1, sizeof(*change));
	change->key = take(key);
	change->allowed = *allowed;
	change->denied = *denied;
	*allowed = *denied = (struct port_ranges){0};
	HASH_ADD_KEYPTR(hh, diff->port_changes, change->key, strlen(change->key), change);
	return change;
}

static int change_of_rows(struct computation *computation, struct pair rows, const struct port_change **out)
{
	_cleanup_(port_ranges_clear) struct port_ranges allowed = {0}, denied = {0};
	struct row_pair *pair;

	HASH_FIND(hh, computation->row_pairs, &rows, sizeof(rows), pair);
	if (!pair) {
		if (compare_rows(computation, rows, &allowed, &denied))
			return -EINVAL;
		pair = allocate(1, sizeof(*pair));
		pair->rows = rows;
		pair->change = intern_ports(computation->diff, &allowed, &denied);
		HASH_ADD(hh, computation->row_pairs, rows, sizeof(pair->rows), pair);
	}
	*out = pair->change;
	return 0;
}

/*
 * --- Changes of policy sets
 * -----------------------------------------------------------------------------------------
 */

static int row_of(const struct bank *bank, uint32_t set, uint32_t class, uint32_t *row)
{
	if (set == EGRESS_SET_OPEN) {
		*row = ROW_OPEN;
		return 0;
	}
	return bank_row(bank, set, class, row);
}

static struct flow_change *find_flow(struct pod_change *change, const struct port_change *ports)
{
	struct flow_change flow = {.ports = ports};
	size_t i;

	for (i = 0; i < change->flow_count; i++)
		if (change->flows[i].ports == ports)
			return &change->flows[i];
	array_push(change->flows, change->flow_count, change->flow_capacity, flow);
	return &change->flows[change->flow_count - 1];
}

static int compare_address_ranges(const void *a, const void *b)
{
	const struct address_range *x = a, *y = b;

	return ip_address_compare(&x->first, &y->first);
}

/* Pieces came class by class: sorts them and joins those that touch. */
static void join_ranges(struct address_set *set)
{
	struct address_set joined = {0};
	size_t i;

	qsort(set->items, set->count, sizeof(*set->items), compare_address_ranges);
	for (i = 0; i < set->count; i++)
		address_set_append(&joined, &set->items[i].first, &set->items[i].last);
	address_set_clear(set);
	*set = joined;
}

static int compare_flows(const void *a, const void *b)
{
	const struct flow_change *x = a, *y = b;
	int order = ip_address_compare(&x->destinations.items[0].first, &y->destinations.items[0].first);

	return order ? order : strcmp(x->ports->key, y->ports->key);
}

/* Text that is equal for equal changes, and only for these. */
static char *change_key(const struct pod_change *change)
{
	char *key = NULL;
	size_t size, i;
	FILE *file = open_memstream(&key, &size);

	if (!file)
		out_of_memory();
	for (i = 0; i < change->flow_count; i++) {
		_cleanup_free_ char *destinations = address_set_text(&change->flows[i].destinations, 0);

		fprintf(file, "%s: %s\n", destinations, change->flows[i].ports->key);
	}
	if (fclose(file) || !key)
		out_of_memory();
	return key;
}

static void pod_change_free(struct pod_change *change)
{
	size_t i;

	for (i = 0; i < change->flow_count; i++)
		address_set_clear(&change->flows[i].destinations);
	free(change->flows);
	pod_names_clear(&change->pods);
	free(change->key);
	free(change);
}

/* The one that equals it; takes the change. */
static struct pod_change *intern_change(struct diff *diff, struct pod_change *change)
{
	struct pod_change *known;

	change->key = change_key(change);
	HASH_FIND_STR(diff->pod_changes, change->key, known);
	if (known) {
		pod_change_free(change);
		return known;
	}
	HASH_ADD_KEYPTR(hh, diff->pod_changes, change->key, strlen(change->key), change);
	return change;
}

static int add_class_pair(struct computation *computation, struct pair sets, const struct class_pair *classes,
			  struct pod_change *change)
{
	const struct port_change *ports;
	struct flow_change *flow;
	struct pair rows;
	size_t i;

	if (row_of(&computation->diff->old.bank, sets.old, classes->classes.old, &rows.old) ||
	    row_of(&computation->diff->new.bank, sets.new, classes->classes.new, &rows.new) ||
	    change_of_rows(computation, rows, &ports))
		return -EINVAL;
	if (!ports)
		return 0;
	flow = find_flow(change, ports);
	for (i = 0; i < classes->addresses.count; i++)
		array_push(flow->destinations.items, flow->destinations.count, flow->destinations.capacity,
			   classes->addresses.items[i]);
	return 0;
}

static int compare_sets(struct computation *computation, struct pair sets, struct pod_change **out)
{
	struct pod_change *change = allocate(1, sizeof(*change));
	struct class_pair *classes;
	size_t i;

	for (classes = computation->class_pairs; classes; classes = classes->hh.next) {
		if (add_class_pair(computation, sets, classes, change)) {
			pod_change_free(change);
			return -EINVAL;
		}
	}
	for (i = 0; i < change->flow_count; i++)
		join_ranges(&change->flows[i].destinations);
	if (change->flow_count)
		qsort(change->flows, change->flow_count, sizeof(*change->flows), compare_flows);
	*out = intern_change(computation->diff, change);
	return 0;
}

static int change_of_sets(struct computation *computation, struct pair sets, struct pod_change **out)
{
	struct set_pair *pair;

	HASH_FIND(hh, computation->set_pairs, &sets, sizeof(sets), pair);
	if (!pair) {
		struct pod_change *change;

		if (compare_sets(computation, sets, &change))
			return -EINVAL;
		pair = allocate(1, sizeof(*pair));
		pair->sets = sets;
		pair->change = change;
		HASH_ADD(hh, computation->set_pairs, sets, sizeof(pair->sets), pair);
	}
	*out = pair->change;
	return 0;
}

/*
 * --- Pods
 * -----------------------------------------------------------------------------------------------------------
 */

static void list_pods(struct offline *offline, struct pod_names *names)
{
	struct object *const *pods;
	size_t count, i;

	pods = store_list(offline->store, OBJECT_POD, &count);
	if (!pods && count)
		out_of_memory();
	for (i = 0; i < count; i++) {
		struct pod_name name = {pods[i]->namespace, pods[i]->name};

		array_push(names->items, names->count, names->capacity, name);
	}
}

/* False where the pod is no source on that side. A hostNetwork pod is as one that nothing isolates. */
static bool find_set(const struct offline *offline, const struct pod_name *name, uint32_t *set)
{
	struct object_name object;
	struct source source;
	const char *problem;

	if (strlen(name->namespace) >= sizeof(object.namespace) || strlen(name->name) >= sizeof(object.name))
		return false;
	strcpy(object.namespace, name->namespace);
	strcpy(object.name, name->name);
	if (offline_source(offline, &object, &source, &problem))
		return false;
	*set = source.kind == SOURCE_JUDGED ? source.set : EGRESS_SET_OPEN;
	return true;
}

static int compare_pod(struct computation *computation, const struct pod_name *name)
{
	struct diff *diff = computation->diff;
	struct pod_change *change;
	struct pair sets;
	bool before = find_set(&diff->old, name, &sets.old), after = find_set(&diff->new, name, &sets.new);

	if (!before && !after)
		return 0;
	if (!after) {
		array_push(diff->only_old.items, diff->only_old.count, diff->only_old.capacity, *name);
		return 0;
	}
	if (!before) {
		array_push(diff->only_new.items, diff->only_new.count, diff->only_new.capacity, *name);
		return 0;
	}
	if (change_of_sets(computation, sets, &change))
		return -EINVAL;
	diff->compared++;
	array_push(change->pods.items, change->pods.count, change->pods.capacity, *name);
	return 0;
}

static bool has_address(const struct offline *offline, const struct pod_name *name, const struct ip_address *address)
{
	const struct object *pod = store_get(offline->store, OBJECT_POD, name->namespace, name->name);
	const struct source source = {.pod = pod};

	return pod && source_has_address(&source, address);
}

/* Are they on both sides the pod's own addresses and no others? */
static bool is_only_itself(const struct diff *diff, const struct pod_name *name, const struct address_set *addresses)
{
	size_t i;

	for (i = 0; i < addresses->count; i++) {
		const struct address_range *range = &addresses->items[i];

		if (ip_address_compare(&range->first, &range->last) || !has_address(&diff->old, name, &range->first) ||
		    !has_address(&diff->new, name, &range->first))
			return false;
	}
	return true;
}

/* A pod may always reach itself, whatever the rows say: for one pod alone such a flow does not change. */
static void drop_flows_to_itself(const struct diff *diff, struct pod_change *change)
{
	size_t kept = 0, i;

	if (change->pods.count != 1)
		return;
	for (i = 0; i < change->flow_count; i++) {
		struct flow_change *flow = &change->flows[i];

		if (is_only_itself(diff, &change->pods.items[0], &flow->destinations))
			address_set_clear(&flow->destinations);
		else
			change->flows[kept++] = *flow;
	}
	change->flow_count = kept;
}

int diff_compute(struct diff *diff)
{
	_cleanup_(computation_clear) struct computation computation = {.diff = diff};
	struct pod_change *change;
	size_t i;
	int error = cut_addresses(&computation);

	if (!error)
		error = cut_ports(&computation);
	known_addresses_read(diff->old.store, &diff->old_addresses);
	known_addresses_read(diff->new.store, &diff->new_addresses);
	list_pods(&diff->old, &diff->all_pods);
	list_pods(&diff->new, &diff->all_pods);
	pod_names_sort(&diff->all_pods);
	for (i = 0; !error && i < diff->all_pods.count; i++)
		error = compare_pod(&computation, &diff->all_pods.items[i]);
	for (change = diff->pod_changes; change; change = change->hh.next)
		drop_flows_to_itself(diff, change);
	return error;
}

void diff_clear(struct diff *diff)
{
	struct port_change *ports, *next_ports;
	struct pod_change *pods, *next_pods;

	HASH_ITER(hh, diff->pod_changes, pods, next_pods) {
		HASH_DEL(diff->pod_changes, pods);
		pod_change_free(pods);
	}
	HASH_ITER(hh, diff->port_changes, ports, next_ports) {
		HASH_DEL(diff->port_changes, ports);
		port_ranges_clear(&ports->allowed);
		port_ranges_clear(&ports->denied);
		free(ports->key);
		free(ports);
	}
	pod_names_clear(&diff->all_pods);
	pod_names_clear(&diff->only_old);
	pod_names_clear(&diff->only_new);
	known_addresses_clear(&diff->old_addresses);
	known_addresses_clear(&diff->new_addresses);
	offline_clear(&diff->old);
	offline_clear(&diff->new);
}

bool diff_is_empty(const struct diff *diff)
{
	const struct pod_change *change;

	for (change = diff->pod_changes; change; change = change->hh.next)
		if (change->flow_count)
			return false;
	return !diff->only_old.count && !diff->only_new.count;
}
