/* SPDX-License-Identifier: Apache-2.0 */
/* What is wrong with the input: one entry a problem, each with its place, for logs, status, metrics and `check`. */
#ifndef EGRESSD_MODEL_PROBLEM_H
#define EGRESSD_MODEL_PROBLEM_H

#include <stdarg.h>

#include "model/object.h"

enum problem_severity { PROBLEM_NOTICE, PROBLEM_WARNING, PROBLEM_ERROR };

struct problem {
	enum problem_severity severity;
	const char *rule; /* a short stable word: "syntax", "field", "unsupported", "conflict", "limit", ...; static */
	char *file;       /* NULL: no file */
	unsigned int line, column; /* from 1; 0: unknown */
	char *object;     /* "NetworkPolicy default/web", or NULL */
	char *message;    /* what was expected and what was found; one line, no full stop */
};

struct problem_list {
	struct problem *items;
	size_t count, capacity;
	size_t errors; /* how many of them are PROBLEM_ERROR */
};

/* Appends; 0 or -ENOMEM. object may be NULL. */
int problem_add(struct problem_list *list, enum problem_severity severity, const char *rule, const struct place *place,
		const struct object *object, const char *format, ...) __attribute__((format(printf, 6, 7)));
void problem_list_clear(struct problem_list *list);
/* Moves all entries of `from` to the end of `to`. 0 or -ENOMEM (then both are as before). */
int problem_list_move(struct problem_list *to, struct problem_list *from);
/* The same problems in the same order. */
bool problem_list_equal(const struct problem_list *a, const struct problem_list *b);
/* "file:line:column: message" (parts that are unknown are left out) into a buffer; returns it. */
const char *problem_format(const struct problem *problem, char *text, unsigned long size);

#endif
