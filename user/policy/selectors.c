/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/selectors.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"

/* So many are looked at one by one rather than through an index of their labels. */
#define SCAN_MAX 64

struct label_holders {
	uint32_t *ids;
	size_t count, capacity;
};

/* ------------------------------------------------------------------ label index */

static int label_key(struct key *key, const char *name, const char *value)
{
	key->length = 0;
	return key_add_text(key, name) < 0 || key_add_text(key, value) < 0 ? -ENOMEM : 0;
}

static int index_label(struct label_index *index, struct key *key, const struct label *label, uint32_t id)
{
	struct label_holders *holders;
	uint32_t number;
	int added = label_key(key, label->key, label->value);

	if (!added)
		added = intern_put(&index->labels, key->bytes, key->length, &number);
	if (added < 0)
		return added;
	if (added) {
		if (array_reserve(&index->holders, &index->holder_capacity, (size_t)number + 1,
				  sizeof(*index->holders)) < 0)
			return -ENOMEM;
		memset(&index->holders[number], 0, sizeof(*index->holders));
	}
	holders = &index->holders[number];
	if (array_reserve(&holders->ids, &holders->capacity, holders->count + 1, sizeof(*holders->ids)) < 0)
		return -ENOMEM;
	holders->ids[holders->count++] = id;
	return 0;
}

static int index_labels(struct label_index *index, struct key *key, const struct label_list *labels, uint32_t id)
{
	size_t i;
	int error = 0;

	for (i = 0; i < labels->count && !error; i++)
		error = index_label(index, key, &labels->items[i], id);
	return error;
}

static void index_clear(struct label_index *index)
{
	uint32_t i;

	/* The last label may have come without room for its holders. */
	for (i = 0; i < index->labels.count && i < index->holder_capacity; i++)
		free(index->holders[i].ids);
	free(index->holders);
	intern_clear(&index->labels);
}

static const struct label_holders *holders_of(const struct label_index *index, struct key *key, const char *name,
					      const char *value)
{
	static const struct label_holders nobody;
	uint32_t number;

	if (label_key(key, name, value) < 0)
		return NULL;
	return intern_find(&index->labels, key->bytes, key->length, &number) ? &index->holders[number] : &nobody;
}

/* Those for which a requirement "key In values" holds. A thing has one value of a key, so nobody comes twice. */
static int holders_in(const struct label_index *index, struct key *key, const struct selector_requirement *requirement,
		      struct selected *out)
{
	size_t i;

	out->count = 0;
	for (i = 0; i < requirement->value_count; i++) {
		const struct label_holders *holders = holders_of(index, key, requirement->key, requirement->values[i]);

		if (!holders ||
		    array_reserve(&out->ids, &out->capacity, out->count + holders->count + 1, sizeof(*out->ids)) < 0)
			return -ENOMEM;
		if (holders->count)
			memcpy(out->ids + out->count, holders->ids, holders->count * sizeof(*out->ids));
		out->count += holders->count;
	}
	return 0;
}

/* The requirement that an index can answer, or NULL. */
static const struct selector_requirement *indexed_requirement(const struct label_selector *selector)
{
	size_t i;

	for (i = 0; i < selector->count; i++)
		if (selector->requirements[i].op == SELECTOR_IN)
			return &selector->requirements[i];
	return NULL;
}

static int select_one(struct selected *selected, uint32_t id)
{
	if (array_reserve(&selected->ids, &selected->capacity, selected->count + 1, sizeof(*selected->ids)) < 0)
		return -ENOMEM;
	selected->ids[selected->count++] = id;
	return 0;
}

/* ------------------------------------------------------------------ namespaces */

/* One without an object is found by its name. */
static int index_namespace(struct selectors *selectors, const struct namespace_entry *entry, uint32_t id)
{
	const struct label name = {NAMESPACE_NAME_LABEL, entry->name};

	return entry->labels ? index_labels(&selectors->namespace_index, &selectors->key, entry->labels, id)
			     : index_label(&selectors->namespace_index, &selectors->key, &name, id);
}

static int build_namespace_index(struct selectors *selectors)
{
	const struct policy *policy = selectors->policy;
	uint32_t i;
	int error = 0;

	for (i = 0; i < policy->namespace_names.count && !error; i++)
		error = index_namespace(selectors, &policy->namespaces[i], i);
	selectors->namespace_index.built = !error;
	return error;
}

static int scan_namespaces(struct selectors *selectors, const struct label_selector *selector, struct selected *out)
{
	const struct policy *policy = selectors->policy;
	uint32_t i;
	int error = 0;

	for (i = 0; i < policy->namespace_names.count && !error; i++)
		if (namespace_selected(policy, selector, i))
			error = select_one(out, i);
	return error;
}

static int find_namespaces(struct selectors *selectors, const struct label_selector *selector, struct selected *out)
{
	const struct selector_requirement *requirement = indexed_requirement(selector);
	size_t kept = 0, i;
	int error = 0;

	if (!requirement || selectors->policy->namespace_names.count <= SCAN_MAX)
		return scan_namespaces(selectors, selector, out);
	if (!selectors->namespace_index.built)
		error = build_namespace_index(selectors);
	if (!error)
		error = holders_in(&selectors->namespace_index, &selectors->key, requirement, out);
	for (i = 0; i < out->count && !error; i++)
		if (namespace_selected(selectors->policy, selector, out->ids[i]))
			out->ids[kept++] = out->ids[i];
	out->count = kept;
	return error;
}

static int select_namespaces(struct selectors *selectors, const struct label_selector *selector, uint32_t *number)
{
	int added;

	selectors->key.length = 0;
	added = key_add_selector(&selectors->key, selector);
	if (!added)
		added = intern_put(&selectors->namespace_selectors, selectors->key.bytes, selectors->key.length,
				   number);
	if (added <= 0)
		return added;
	if (array_reserve(&selectors->namespaces, &selectors->namespaces_capacity, (size_t)*number + 1,
			  sizeof(*selectors->namespaces)) < 0)
		return -ENOMEM;
	memset(&selectors->namespaces[*number], 0, sizeof(*selectors->namespaces));
	return find_namespaces(selectors, selector, &selectors->namespaces[*number]);
}

/* ------------------------------------------------------------------ groups */

static int build_group_index(struct selectors *selectors)
{
	const struct policy *policy = selectors->policy;
	uint32_t i;
	int error = 0;

	for (i = 0; i < policy->group_keys.count && !error; i++)
		error = index_labels(&selectors->group_index, &selectors->key, &policy->groups[i].pod->labels, i);
	selectors->group_index.built = !error;
	return error;
}

static bool group_matches(const struct policy *policy, const struct policy_peer *peer, uint32_t group)
{
	return !peer->has_pod_selector ||
	       label_selector_matches(&peer->pod_selector, &policy->groups[group].pod->labels);
}

static int scan_groups(const struct policy *policy, const struct policy_peer *peer, const uint32_t *namespaces,
		       size_t count, struct selected *out)
{
	size_t i, j;
	int error = 0;

	for (i = 0; i < count; i++) {
		const struct namespace_entry *entry = &policy->namespaces[namespaces[i]];

		for (j = 0; j < entry->group_count && !error; j++)
			if (group_matches(policy, peer, entry->groups[j]))
				error = select_one(out, entry->groups[j]);
	}
	return error;
}

static size_t groups_in(const struct policy *policy, const uint32_t *namespaces, size_t count)
{
	size_t sum = 0, i;

	for (i = 0; i < count; i++)
		sum += policy->namespaces[namespaces[i]].group_count;
	return sum;
}

/* Through the labels of all groups, where that is shorter than through all groups of the namespaces. */
static int find_groups(struct selectors *selectors, const struct policy_peer *peer, const uint32_t *namespaces,
		       size_t count, struct selected *out)
{
	const struct policy *policy = selectors->policy;
	const struct selector_requirement *requirement =
		peer->has_pod_selector ? indexed_requirement(&peer->pod_selector) : NULL;
	size_t kept = 0, i;
	int error = 0;

	if (!requirement || groups_in(policy, namespaces, count) <= SCAN_MAX)
		return scan_groups(policy, peer, namespaces, count, out);
	if (!selectors->group_index.built)
		error = build_group_index(selectors);
	if (!error)
		error = holders_in(&selectors->group_index, &selectors->key, requirement, out);
	for (i = 0; i < count; i++)
		selectors->chosen[namespaces[i]] = true;
	for (i = 0; i < out->count && !error; i++) {
		uint32_t group = out->ids[i];

		if (selectors->chosen[policy->groups[group].namespace_id] && group_matches(policy, peer, group))
			out->ids[kept++] = group;
	}
	for (i = 0; i < count; i++)
		selectors->chosen[namespaces[i]] = false;
	out->count = kept;
	return error;
}

static int build_peer_key(struct key *key, const struct policy_peer *peer, uint32_t namespace_id)
{
	int error = key_add_number(key, peer->has_namespace_selector ? NONE : namespace_id);

	if (!error && peer->has_namespace_selector)
		error = key_add_selector(key, &peer->namespace_selector);
	if (!error && peer->has_pod_selector)
		error = key_add_selector(key, &peer->pod_selector);
	else if (!error) /* "every pod" is the empty selector */
		error = key_add_number(key, 0);
	return error;
}

int selectors_put(struct selectors *selectors, const struct policy_peer *peer, uint32_t namespace_id, uint32_t *peer_id)
{
	const uint32_t *namespaces = &namespace_id;
	size_t count = 1;
	uint32_t number;
	int added;

	selectors->key.length = 0;
	added = build_peer_key(&selectors->key, peer, namespace_id);
	if (!added)
		added = intern_put(&selectors->peers, selectors->key.bytes, selectors->key.length, peer_id);
	if (added <= 0)
		return added;
	if (array_reserve(&selectors->groups, &selectors->groups_capacity, (size_t)*peer_id + 1,
			  sizeof(*selectors->groups)) < 0)
		return -ENOMEM;
	memset(&selectors->groups[*peer_id], 0, sizeof(*selectors->groups));
	if (peer->has_namespace_selector) {
		int error = select_namespaces(selectors, &peer->namespace_selector, &number);

		if (error < 0)
			return error;
		namespaces = selectors->namespaces[number].ids;
		count = selectors->namespaces[number].count;
	}
	return find_groups(selectors, peer, namespaces, count, &selectors->groups[*peer_id]);
}

int selectors_init(struct selectors *selectors, const struct policy *policy)
{
	memset(selectors, 0, sizeof(*selectors));
	selectors->policy = policy;
	selectors->chosen = calloc((size_t)policy->namespace_names.count + 1, sizeof(*selectors->chosen));
	return selectors->chosen ? 0 : -ENOMEM;
}

static void clear_selected(struct selected *selected, size_t count)
{
	size_t i;

	for (i = 0; i < count; i++)
		free(selected[i].ids);
	free(selected);
}

void selectors_clear(struct selectors *selectors)
{
	size_t namespaces = selectors->namespace_selectors.count, groups = selectors->peers.count;

	/* The last one may have come without room for its result. */
	clear_selected(selectors->namespaces,
		       namespaces < selectors->namespaces_capacity ? namespaces : selectors->namespaces_capacity);
	clear_selected(selectors->groups, groups < selectors->groups_capacity ? groups : selectors->groups_capacity);
	index_clear(&selectors->namespace_index);
	index_clear(&selectors->group_index);
	intern_clear(&selectors->namespace_selectors);
	intern_clear(&selectors->peers);
	key_clear(&selectors->key);
	free(selectors->chosen);
	memset(selectors, 0, sizeof(*selectors));
}

bool peer_selects(const struct policy *policy, const struct policy_peer *peer, const char *policy_namespace,
		  const struct object *pod)
{
	uint32_t namespace_id;

	if (peer->has_block)
		return false;
	if (!peer->has_namespace_selector) {
		if (strcmp(pod->namespace, policy_namespace) != 0)
			return false;
	} else if (!namespace_find(policy, pod->namespace, &namespace_id) ||
		   !namespace_selected(policy, &peer->namespace_selector, namespace_id)) {
		return false;
	}
	return !peer->has_pod_selector || label_selector_matches(&peer->pod_selector, &pod->labels);
}
