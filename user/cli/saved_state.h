/* SPDX-License-Identifier: Apache-2.0 */
/* The agent's state.json and objects.json (report/state.h), as the commands want them. */
#ifndef EGRESSD_CLI_SAVED_STATE_H
#define EGRESSD_CLI_SAVED_STATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "cli/rule_book.h"
#include "model/store.h"
#include "policy/policy.h"

struct saved_endpoint {
	uint32_t id, ifindex;
	const char *interface; /* "" where unknown */
	const char *namespace, *pod, *uid;
	const json_t *addresses; /* array of strings */
	bool isolated, attached;
	const char *problem; /* NULL: none */
};

/* Strings and JSON are borrowed from root. */
struct saved_state {
	json_t *root;
	uint32_t generation;
	struct saved_endpoint *endpoints;
	size_t endpoint_count;
	struct rule_book rules;
};

/* 0, or -errno with *out empty; saved_state_problem() says what is wrong. */
int saved_state_read(const char *directory, struct saved_state *out);
/* The same, and tells what is wrong. */
int saved_state_load(const char *directory, struct saved_state *out);
void saved_state_clear(struct saved_state *state);

/* NULL: not there. */
const struct saved_endpoint *saved_endpoint_by_id(const struct saved_state *state, uint32_t id);
const struct saved_endpoint *saved_endpoint_by_name(const struct saved_state *state, const char *namespace,
						    const char *pod);
/* "NS/POD", or "endpoint 7" where the state does not know it; the caller frees it. */
char *endpoint_text(const struct saved_state *state, uint32_t id);

/* A string member of an object, "" where it is absent. Borrowed. */
const char *member_text(const json_t *object, const char *key);

/* The objects in force. 0, or -errno; saved_state_problem() says what is wrong. */
int saved_objects_read(const char *directory, struct store **out);
/* The same, and tells what is wrong. */
int saved_objects_load(const char *directory, struct store **out);
/* Compiles them with the node addresses of the state, for policy_explain(). 0, or as policy_compile(). */
int saved_policy_compile(const struct saved_state *state, struct store *store, struct policy **out);

/* One sentence about a file of the state that could not be read; static until the next call. */
const char *saved_state_problem(const char *directory, const char *name, int error);

/* For _cleanup_; NULL is allowed. */
void store_clear(struct store **store);
void policy_clear(struct policy **policy);

#endif
