/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/generation.h"

#include <errno.h>
#include <stddef.h>

#include "base/cleanup.h"
#include "base/log.h"

static void discard_prepared(struct generation *generation)
{
	tables_free(generation->next_tables);
	policy_free(generation->next_policy);
	generation->next_tables = NULL;
	generation->next_policy = NULL;
	generation->next_memory = NULL;
}

void generation_clear(struct generation *generation)
{
	discard_prepared(generation);
	tables_free(generation->tables);
	policy_free(generation->policy);
	policy_free(generation->before);
	*generation = (struct generation){.flow_timeouts = generation->flow_timeouts};
}

/* Only the datapath has sentences for its errors. */
static int datapath_failed(struct generation *generation, int error)
{
	if (error)
		generation->failure = datapath_error();
	return error;
}

static int tables_failed(struct generation *generation, int error)
{
	if (error)
		generation->failure = error == -ENOMEM ? "no memory for the tables" : "the tables cannot be written";
	return error;
}

static int set_timeouts(struct generation *generation, uint32_t *memory, struct datapath *datapath)
{
	uint32_t hz;
	int error = datapath_hz(datapath, &hz);

	if (error)
		return datapath_failed(generation, error);
	flow_timeouts_apply(generation->flow_timeouts, hz, (struct egress_control *)memory);
	return 0;
}

void generation_foresee(struct generation *generation, struct datapath *datapath)
{
	if (!generation->tables || tables_hold_another(generation->tables))
		return;
	if (datapath_foresee_tables(datapath, generation->word_count)) {
		/* It is asked for again when it is needed. */
		log_debug("%s", datapath_error());
		return;
	}
	generation->foreseen = generation->word_count;
}

void generation_forget(struct generation *generation, struct datapath *datapath)
{
	datapath_forget_foreseen(datapath);
	generation->foreseen = 0;
}

/* What was foreseen serves a policy that fits, unless half of it would be left over. */
static size_t new_memory_words(const struct generation *generation, const struct policy *policy)
{
	size_t words = tables_words(policy), foreseen = generation->foreseen;

	return foreseen >= tables_least_words(policy) && words > foreseen / 2 ? foreseen : words;
}

static int prepare_new_memory(struct generation *generation, struct datapath *datapath, struct policy *policy)
{
	size_t words = new_memory_words(generation, policy), foreseen = generation->foreseen;
	int error = datapath_new_tables(datapath, words, &generation->next_memory, &words);

	generation->foreseen = 0;
	if (error)
		return datapath_failed(generation, error);
	generation->next_word_count = words;
	log_debug("new table memory of %zu words, %s", words, words == foreseen ? "foreseen" : "made now");
	error = tables_failed(generation, tables_new(generation->next_memory, words, &generation->next_tables));
	if (!error)
		error = set_timeouts(generation, generation->next_memory, datapath);
	if (!error)
		error = tables_failed(generation,
				      tables_write(generation->next_tables, policy, generation->number + 1));
	return error ? error : datapath_failed(generation, datapath_finish_tables(datapath));
}

static int prepare(struct generation *generation, struct datapath *datapath, struct policy *policy)
{
	int error = generation_settle(generation, datapath);

	if (error)
		return error;
	if (!generation->tables)
		return prepare_new_memory(generation, datapath, policy);
	error = tables_write(generation->tables, policy, generation->number + 1);
	if (error && error != -ENOSPC)
		return tables_failed(generation, error);
	return error ? prepare_new_memory(generation, datapath, policy) : 0;
}

int generation_prepare(struct generation *generation, struct datapath *datapath, struct policy *policy)
{
	int error = prepare(generation, datapath, policy);

	/* It found room beside the one in force after all. */
	if (generation->foreseen)
		generation_forget(generation, datapath);
	generation->next_policy = policy;
	if (error)
		discard_prepared(generation);
	return error;
}

void generation_assign(struct generation *generation, uint32_t id, const char *namespace, const char *name)
{
	struct tables *tables = generation->next_tables ? generation->next_tables : generation->tables;

	if (!tables)
		return;
	if (namespace)
		tables_assign(tables, id, namespace, name);
	else
		tables_unassign(tables, id);
}

static int publish_new_memory(struct generation *generation, struct datapath *datapath)
{
	int error;

	tables_publish(generation->next_tables);
	error = datapath_commit_tables(datapath);
	if (error) {
		discard_prepared(generation);
		return datapath_failed(generation, error);
	}
	tables_free(generation->tables);
	policy_free(generation->policy);
	generation->tables = take(generation->next_tables);
	generation->memory = take(generation->next_memory);
	generation->word_count = generation->next_word_count;
	return 0;
}

int generation_publish(struct generation *generation, struct datapath *datapath)
{
	int error;

	if (generation->next_tables) {
		error = publish_new_memory(generation, datapath);
		if (error)
			return error;
	} else {
		tables_publish(generation->tables);
		generation->before = generation->policy;
	}
	generation->policy = take(generation->next_policy);
	generation->number++;
	generation->changes = 0;
	generation->grace_owed = true;
	return 0;
}

int generation_settle(struct generation *generation, struct datapath *datapath)
{
	int error;

	if (!generation->grace_owed)
		return 0;
	error = datapath_grace_period(datapath);
	if (error)
		return datapath_failed(generation, error);
	generation->grace_owed = false;
	/* A policy takes as much memory as the objects that it was made of. */
	if (generation->before) {
		tables_forget(generation->tables);
		policy_free(take(generation->before));
	}
	return 0;
}

int generation_follow(struct generation *generation, const struct changes *changes)
{
	size_t i;
	int error;

	if (!generation->tables || changes->others)
		return -EAGAIN;
	tables_count_change(generation->tables);
	generation->changes++;
	for (i = 0; i < changes->pod_count; i++) {
		error = tables_pod_changed(generation->tables, changes->pods[i].old, changes->pods[i].new);
		if (error)
			return error;
	}
	return 0;
}

uint32_t generation_set(const struct generation *generation, uint32_t id)
{
	const struct egress_control *control = (const struct egress_control *)generation->memory;

	if (!control || !id || id >= EGRESS_ENDPOINT_MAX)
		return EGRESS_SET_PENDING;
	return generation->memory[control->bank[control->active].sets + id];
}
