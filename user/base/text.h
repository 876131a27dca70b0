/* SPDX-License-Identifier: Apache-2.0 */
/* Strings: formatted on the heap, made safe to print. */
#ifndef EGRESSD_BASE_TEXT_H
#define EGRESSD_BASE_TEXT_H

#include <stdarg.h>

/* A new string, the caller's to free; NULL when memory is short. */
char *text_format(const char *format, ...) __attribute__((format(printf, 1, 2)));
char *text_format_list(const char *format, va_list arguments) __attribute__((format(printf, 1, 0)));

/*
 * Makes a text from outside one line of valid UTF-8: control characters become spaces, bytes that are no UTF-8 become
 * '?'. The length stays.
 */
void text_make_line(char *text);

#endif
