/* SPDX-License-Identifier: Apache-2.0 */
/* Text put together in a buffer of fixed size; what does not fit is cut off, with "..." at the end. */
#ifndef EGRESSD_POLICY_TEXT_BUFFER_H
#define EGRESSD_POLICY_TEXT_BUFFER_H

#include <stddef.h>

#include "model/object.h"

struct text_buffer {
	char *text;
	size_t size, length;
};

/* Over a buffer of at least 4 bytes; it is terminated at all times. */
struct text_buffer text_buffer_over(char *text, size_t size);
void text_add(struct text_buffer *buffer, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* "app=db,tier in (a,b)"; "all" followed by `what` where nothing is required. */
void text_add_selector(struct text_buffer *buffer, const struct label_selector *selector, const char *what);

#endif
