/* SPDX-License-Identifier: Apache-2.0 */
/* The type of a plain YAML scalar. */
#ifndef EGRESSD_MODEL_SCALAR_H
#define EGRESSD_MODEL_SCALAR_H

#include "model/document.h"

struct scalar {
	enum value_type type;
	bool boolean;    /* VALUE_BOOLEAN */
	int64_t integer; /* VALUE_INTEGER */
};

/*
 * As Kubernetes' conversion of YAML to JSON sees it: the words of YAML 1.1 (yes, on, ~ ...), the numbers of YAML 1.1
 * and 1.2.
 *
 * Two differences, neither of which changes what an object that Kubernetes accepts means. A number that the versions of
 * YAML read differently (leading zero, underscores) or that has no exact integer is VALUE_NUMBER, not VALUE_INTEGER:
 * where an integer is needed, it is refused. And y and n alone are strings: Kubernetes refuses them as names and
 * labels, but most writers of YAML leave them without quotes.
 */
struct scalar scalar_resolve(const char *text);

#endif
