/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is legal in a policy but surely a mistake. Each adds warnings to offline->problems, which the caller has
 * compiled without errors; 0 or -ENOMEM. The rules that they give to problems are listed in lint_rules.
 */
#ifndef EGRESSD_CLI_LINT_H
#define EGRESSD_CLI_LINT_H

#include <stdbool.h>
#include <stddef.h>

#include "cli/offline.h"

#define LINT_EMPTY_SELECTOR    "empty-selector"
#define LINT_UNKNOWN_NAMESPACE "unknown-namespace"
#define LINT_EXCEPT_OUTSIDE    "except-outside"
#define LINT_DNS_FORGOTTEN     "dns-forgotten"
#define LINT_REDUNDANT_RULE    "redundant-rule"
#define LINT_EGRESS_IDLE       "egress-idle"
#define LINT_PORT_ZERO         "port-zero"

int lint_selectors(struct offline *offline);
int lint_namespaces(struct offline *offline);
int lint_blocks(struct offline *offline);
int lint_dns(struct offline *offline);
int lint_redundant(struct offline *offline);
int lint_policies(struct offline *offline);

/* True when everything that matches `narrow` surely matches `wide`. */
bool selector_implies(const struct label_selector *narrow, const struct label_selector *wide);

/* Objects of a kind; ends the program where memory is short. */
struct object *const *lint_list(struct offline *offline, enum object_kind kind, size_t *count);

#endif
