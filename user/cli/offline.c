/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/offline.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "cli/manifests.h"
#include "cli/memory.h"

#define OFFLINE_GENERATION 1
#define TABLE_ALIGNMENT    64

int offline_read(const struct text_list *paths, struct offline *out)
{
	struct offline offline = {0};
	int error = store_new(&offline.store);

	if (!error)
		error = manifests_load(paths->items, paths->count, offline.store, &offline.problems, &offline.files);
	if (error) {
		offline_clear(&offline);
		return error;
	}
	*out = offline;
	return 0;
}

void node_addresses_clear(struct node_addresses *addresses)
{
	free(addresses->items);
	*addresses = (struct node_addresses){0};
}

int node_addresses_parse(const char *list, struct node_addresses *out)
{
	_cleanup_(node_addresses_clear) struct node_addresses addresses = {0};
	/* "none" is what egressd calls it. */
	_cleanup_free_ char *copy = copy_text(list && strcmp(list, "none") ? list : "");
	char *save = NULL, *item;
	size_t capacity = 0;

	for (item = strtok_r(copy, ",", &save); item; item = strtok_r(NULL, ",", &save)) {
		struct ip_address address;

		if (ip_address_parse(item, &address)) {
			log_error("--node-addresses: '%s' is not an address", item);
			return -EINVAL;
		}
		array_push(addresses.items, addresses.count, capacity, address);
	}
	*out = addresses;
	addresses = (struct node_addresses){0};
	return 0;
}

static int make_tables(struct offline *offline)
{
	/* Whole blocks: nothing that is read as one reaches beyond. */
	size_t words =
		(tables_words(offline->policy) + EGRESS_BLOCK_WORDS - 1) / EGRESS_BLOCK_WORDS * EGRESS_BLOCK_WORDS;
	int error;

	offline->words = aligned_alloc(TABLE_ALIGNMENT, words * sizeof(*offline->words));
	if (!offline->words)
		return -ENOMEM;
	memset(offline->words, 0, words * sizeof(*offline->words));
	error = tables_new(offline->words, words, &offline->tables);
	if (!error)
		error = tables_write(offline->tables, offline->policy, OFFLINE_GENERATION);
	if (error)
		return error;
	tables_publish(offline->tables);
	return bank_open(offline->words, words, &offline->bank);
}

int offline_compile(struct offline *offline, const struct node_addresses *addresses)
{
	const struct policy_options options = {
		.node_addresses = addresses->items,
		.node_address_count = addresses->count,
		.all_pods_local = true,
	};
	int error = policy_compile(offline->store, &options, &offline->policy, &offline->problems);

	if (error)
		return error;
	rule_book_of_policy(offline->policy, &offline->rules);
	return make_tables(offline);
}

static void tell_problems(const struct problem_list *problems)
{
	char text[1024], more[64] = "";
	size_t i;

	if (problems->errors > 1)
		snprintf(more, sizeof(more), " (and %zu more; `egressctl check` lists them)", problems->errors - 1);
	for (i = 0; i < problems->count; i++) {
		if (problems->items[i].severity != PROBLEM_ERROR)
			continue;
		log_error("%s%s", problem_format(&problems->items[i], text, sizeof(text)), more);
		return;
	}
}

/* The first error in problems, or else what the code says. */
static void tell_failure(const struct offline *offline, int error)
{
	if (offline->problems.errors)
		tell_problems(&offline->problems);
	else
		log_error("the manifests cannot be compiled: %s", strerror(-error));
}

int offline_load(const struct text_list *paths, const char *node_addresses, struct offline *out)
{
	_cleanup_(node_addresses_clear) struct node_addresses addresses = {0};
	struct offline offline = {0};
	int error = node_addresses_parse(node_addresses, &addresses);

	if (error)
		return error;
	error = offline_read(paths, &offline);
	offline.node_addresses_given = node_addresses;
	if (!error)
		error = offline.problems.errors ? -EINVAL : offline_compile(&offline, &addresses);
	if (error) {
		tell_failure(&offline, error);
		offline_clear(&offline);
		return error;
	}
	*out = offline;
	return 0;
}

void offline_clear(struct offline *offline)
{
	rule_book_clear(&offline->rules);
	if (offline->tables)
		tables_free(offline->tables);
	free(offline->words);
	if (offline->policy)
		policy_free(offline->policy);
	if (offline->store)
		store_free(offline->store);
	problem_list_clear(&offline->problems);
	*offline = (struct offline){0};
}

/* The set does not depend on the destination; any will do. */
static int source_set(const struct offline *offline, const struct object_name *name, uint32_t *set)
{
	const struct ip_address anywhere = {.family = 4};
	struct table_verdict verdict;
	int error = tables_verdict_pod(offline->tables, name->namespace, name->name, &anywhere, 0, 0, &verdict);

	if (!error)
		*set = verdict.set;
	return error;
}

int offline_source(const struct offline *offline, const struct object_name *name, struct source *out,
		   const char **problem)
{
	struct source source = {.kind = SOURCE_JUDGED};

	source.pod = store_get(offline->store, OBJECT_POD, name->namespace, name->name);
	*problem = "there is no such pod";
	if (!source.pod)
		return -EINVAL;
	if (source.pod->pod.host_network) {
		source.kind = SOURCE_HOST;
		*out = source;
		return 0;
	}
	source.endpoint = policy_endpoint(offline->policy, name->namespace, name->name);
	*problem = "the pod has no address, so it sends nothing";
	if (source.pod->pod.phase == POD_SUCCEEDED || source.pod->pod.phase == POD_FAILED)
		*problem = "the pod has ended, so it sends nothing";
	if (!source.endpoint)
		return -EINVAL;
	*problem = "the tables do not know the pod";
	if (source_set(offline, name, &source.set) || source.set == EGRESS_SET_PENDING)
		return -EINVAL;
	if (source.set == EGRESS_SET_OPEN)
		source.kind = SOURCE_OPEN;
	*out = source;
	return 0;
}

bool source_has_address(const struct source *source, const struct ip_address *address)
{
	size_t i;

	for (i = 0; i < source->pod->pod.address_count; i++)
		if (!ip_address_compare(&source->pod->pod.addresses[i], address))
			return true;
	return false;
}
