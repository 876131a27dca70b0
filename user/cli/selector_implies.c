/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "cli/lint.h"

static bool has_value(const struct selector_requirement *requirement, const char *value)
{
	size_t i;

	for (i = 0; i < requirement->value_count; i++)
		if (!strcmp(requirement->values[i], value))
			return true;
	return false;
}

static bool all_values_in(const struct selector_requirement *some, const struct selector_requirement *all)
{
	size_t i;

	for (i = 0; i < some->value_count; i++)
		if (!has_value(all, some->values[i]))
			return false;
	return true;
}

static bool no_value_in(const struct selector_requirement *some, const struct selector_requirement *others)
{
	size_t i;

	for (i = 0; i < some->value_count; i++)
		if (has_value(others, some->values[i]))
			return false;
	return true;
}

static bool requirement_implies(const struct selector_requirement *narrow, const struct selector_requirement *wide)
{
	if (strcmp(narrow->key, wide->key))
		return false;
	switch (wide->op) {
	case SELECTOR_EXISTS:
		return narrow->op == SELECTOR_EXISTS || narrow->op == SELECTOR_IN;
	case SELECTOR_IN:
		return narrow->op == SELECTOR_IN && all_values_in(narrow, wide);
	case SELECTOR_NOT_IN:
		return narrow->op == SELECTOR_DOES_NOT_EXIST ||
		       (narrow->op == SELECTOR_NOT_IN && all_values_in(wide, narrow)) ||
		       (narrow->op == SELECTOR_IN && no_value_in(narrow, wide));
	case SELECTOR_DOES_NOT_EXIST:
		return narrow->op == SELECTOR_DOES_NOT_EXIST;
	}
	return false;
}

bool selector_implies(const struct label_selector *narrow, const struct label_selector *wide)
{
	size_t i, j;

	for (i = 0; i < wide->count; i++) {
		for (j = 0; j < narrow->count; j++)
			if (requirement_implies(&narrow->requirements[j], &wide->requirements[i]))
				break;
		if (j == narrow->count)
			return false;
	}
	return true;
}
