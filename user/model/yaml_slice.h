/* SPDX-License-Identifier: Apache-2.0 */
/* Lines of a YAML text that may be parsed by themselves, beside the rest. */
#ifndef EGRESSD_MODEL_YAML_SLICE_H
#define EGRESSD_MODEL_YAML_SLICE_H

#include <stdbool.h>
#include <stddef.h>

/*
 * Whole lines of a text, from one that begins with `indentation` spaces and "- " on. Each of them is blank, or is
 * indented further, or as far and begins with "- ": items of one block sequence, unless they are text in something
 * else. Which of the two it is, the events of the parser tell.
 */
struct yaml_slice {
	size_t start, end; /* bytes of the text; `end` is not in it */
	size_t indentation;
	size_t line; /* of the start, from 0 */
};

/*
 * Looks for one that begins near the middle of a long text and is worth a thread. False: there is none, or the text has
 * characters that are not ASCII, or line ends of which the parser knows more than one kind.
 */
bool yaml_slice_find(const char *text, size_t length, struct yaml_slice *out);

#endif
