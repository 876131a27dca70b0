/* SPDX-License-Identifier: Apache-2.0 */
/* What the cells of a generation mean: the rule that a rule id names, and the words for those that are not rules. */
#ifndef EGRESSD_CLI_RULE_BOOK_H
#define EGRESSD_CLI_RULE_BOOK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "policy/policy.h"

/* Strings are borrowed from where the book was made of. */
struct rule_name {
	const char *namespace; /* NULL: the id names no rule */
	const char *policy;
	size_t index;     /* in spec.egress */
	const char *file; /* NULL: unknown */
	unsigned int line;
};

struct rule_book {
	struct rule_name *rules; /* index i is rule id EGRESS_RULE_FIRST + i */
	size_t count;
};

void rule_book_clear(struct rule_book *book);
void rule_book_of_policy(const struct policy *policy, struct rule_book *out);
/* Of the member "rules" of state.json. */
void rule_book_of_state(const json_t *rules, struct rule_book *out);

/* The rule that a cell names, or NULL. */
const struct rule_name *rule_book_find(const struct rule_book *book, uint32_t cell);
/* "shop/web rule 0 (policies/web.yaml:12)"; "default deny", "own node", ... ; the caller frees it. */
char *rule_text(const struct rule_book *book, uint32_t cell);
/* The same without the file. */
char *rule_short_text(const struct rule_book *book, uint32_t cell);
/* {"policy":"NS/NAME","index","file","line"}, or null where the cell names no rule. New reference. */
json_t *rule_encode(const struct rule_book *book, uint32_t cell);
/*
 * A sentence for cells that name no rule: why EGRESS_RULE_DEFAULT and the like allow or deny; NULL for rules. Static.
 */
const char *cell_reason(uint32_t cell);

#endif
