/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "agent/agent.h"

/* A problem that was logged, so that it is not logged again with every change elsewhere. */
struct told_problem {
	char *text; /* the key */
	bool present;
	UT_hash_handle hh;
};

static void forget(struct agent *agent, struct told_problem *told)
{
	HASH_DEL(agent->told, told);
	free(told->text);
	free(told);
}

void agent_forget_told(struct agent *agent)
{
	struct told_problem *told, *next;

	HASH_ITER(hh, agent->told, told, next)
		forget(agent, told);
}

static enum log_level level_of(const struct problem *problem)
{
	/* A file that is being written is normal; only one that stays so is worth a look, and status shows it. */
	if (!strcmp(problem->rule, "busy"))
		return LOG_LEVEL_DEBUG;
	if (problem->severity == PROBLEM_ERROR)
		return LOG_LEVEL_ERROR;
	return problem->severity == PROBLEM_WARNING ? LOG_LEVEL_WARNING : LOG_LEVEL_INFO;
}

/* Where memory is short it is told again next time. */
static void remember(struct agent *agent, const char *text)
{
	struct told_problem *told = calloc(1, sizeof(*told));

	if (told)
		told->text = strdup(text);
	if (!told || !told->text) {
		free(told);
		return;
	}
	told->present = true;
	HASH_ADD_KEYPTR(hh, agent->told, told->text, strlen(told->text), told);
	if (!told->hh.tbl) {
		free(told->text);
		free(told);
	}
}

static void tell(struct agent *agent, const struct problem *problem, uint64_t *errors)
{
	struct told_problem *told;
	char text[1024];

	problem_format(problem, text, sizeof(text));
	HASH_FIND_STR(agent->told, text, told);
	if (told) {
		told->present = true;
		return;
	}
	if (problem->object)
		log_message(level_of(problem), "%s (%s)", text, problem->object);
	else
		log_message(level_of(problem), "%s", text);
	if (problem->severity == PROBLEM_ERROR)
		(*errors)++;
	remember(agent, text);
}

static void tell_list(struct agent *agent, const struct problem_list *list, uint64_t *errors)
{
	size_t i;

	for (i = 0; i < list->count; i++)
		tell(agent, &list->items[i], errors);
}

static void tell_endpoint(struct endpoint *endpoint)
{
	if (endpoint->kept)
		log_warning("%s: %s; its policy stays in force on %s", endpoint->key, endpoint->problem,
			    endpoint->interface);
	else
		log_warning("%s: %s; its policy is not in force", endpoint->key, endpoint->problem);
	endpoint->told = true;
}

/* Once to the log, where only this tells more than `what`; and to whoever looks at the pod. */
static void tell_of(struct agent *agent, const struct endpoint *endpoint, bool *told, const char *reason, const char *what,
		    const char *more)
{
	if (!*told)
		log_error("%s: %s%s", endpoint->key, what, more);
	*told = true;
	if (!endpoint->unknown)
		source_tell(agent->source, endpoint->pod, reason, what);
}

/* The policy is in force; but perhaps not where the pod is. */
static void tell_mismatch(struct agent *agent, struct endpoint *endpoint)
{
	tell_of(agent, endpoint, &endpoint->mismatch_told, "EgressInterfaceMismatch", endpoint->mismatch,
		", where its policy stays in force");
}

/* Not what changes while it lasts: the pod could fill the log. */
static void tell_bypass(struct agent *agent, struct endpoint *endpoint)
{
	tell_of(agent, endpoint, &endpoint->bypass_told, "EgressBypassHeld", endpoint->bypass_problem, "");
}

static void tell_unjudged(struct agent *agent, struct endpoint *endpoint)
{
	tell_of(agent, endpoint, &endpoint->unjudged_told, "EgressBypassed", endpoint->unjudged, "");
}

static void tell_endpoints(struct agent *agent)
{
	struct endpoint *endpoint;

	for (endpoint = agent->endpoints.current; endpoint; endpoint = endpoint->hh.next) {
		if (endpoint->mismatch)
			tell_mismatch(agent, endpoint);
		if (endpoint->bypass_problem)
			tell_bypass(agent, endpoint);
		if (endpoint->unjudged)
			tell_unjudged(agent, endpoint);
		if (!endpoint->problem)
			continue;
		if (!endpoint->told)
			tell_endpoint(endpoint);
		/* The log says it once; where the pod's user looks it shows for as long as it lasts. */
		if (!endpoint->kept && !endpoint->unknown)
			source_tell(agent->source, endpoint->pod, "EgressNotEnforced", endpoint->problem);
	}
}

void agent_tell_problems(struct agent *agent)
{
	size_t left = agent->source_problems.errors + agent->policy_problems.errors;
	struct told_problem *told, *next;
	uint64_t policy_errors = 0;
	bool gone = false;

	for (told = agent->told; told; told = told->hh.next)
		told->present = false;
	tell_list(agent, &agent->source_problems, &agent->source_errors);
	tell_list(agent, &agent->policy_problems, &policy_errors);
	HASH_ITER(hh, agent->told, told, next) {
		if (told->present)
			continue;
		gone = true;
		forget(agent, told);
	}
	tell_endpoints(agent);
	if (gone)
		log_debug("problems were solved, %zu errors are left", left);
}
