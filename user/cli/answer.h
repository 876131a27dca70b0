/* SPDX-License-Identifier: Apache-2.0 */
/* One flow's verdict with everything that is to be said about it, for `explain` and `verify`. */
#ifndef EGRESSD_CLI_ANSWER_H
#define EGRESSD_CLI_ANSWER_H

#include <stdbool.h>
#include <stdio.h>

#include <jansson.h>

#include "cli/bank.h"
#include "cli/rule_book.h"
#include "policy/explain.h"
#include "policy/tables.h"

#define ANSWER_NOTES_MAX 4

struct answer {
	const char *from; /* "NS/POD", borrowed */
	struct flow flow;
	bool any_port;     /* no port was asked for: what is allowed is summed up; flow has a protocol without ports */
	bool host_network; /* the pod is not judged at all; verdict is unset */
	struct table_verdict verdict;  /* from the tables */
	const struct bank *bank;       /* borrowed */
	const struct rule_book *rules; /* borrowed */
	bool explained;                /* explanation is there */
	struct explanation explanation;
	char *notes[ANSWER_NOTES_MAX]; /* owned */
	size_t note_count;
};

void answer_clear(struct answer *answer);
/* Takes ownership of the text. */
void answer_note(struct answer *answer, char *text);

bool answer_allows(const struct answer *answer);
/* Tables and objects differ: the program is wrong, or the state is of another generation. */
bool answer_contradicts(const struct answer *answer);
/* With any_port: of everything that could be sent to the destination. -EINVAL where the tables do not hold together. */
enum answer_breadth { ALLOWS_NOTHING, ALLOWS_SOME, ALLOWS_EVERYTHING };
int answer_breadth(const struct answer *answer, enum answer_breadth *out);
/* One sentence that says why; the caller frees it. */
char *answer_reason(const struct answer *answer);

/* Every line begins with `prefix`. */
void answer_print(const struct answer *answer, const char *prefix, FILE *file);
json_t *answer_encode(const struct answer *answer);

#endif
