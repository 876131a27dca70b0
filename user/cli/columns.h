/* SPDX-License-Identifier: Apache-2.0 */
/* Text in aligned columns: rows are collected, then written with every column as wide as its widest cell. */
#ifndef EGRESSD_CLI_COLUMNS_H
#define EGRESSD_CLI_COLUMNS_H

#include <stdio.h>

struct columns;

/*
 * `titles` is borrowed. A title that begins with '>' makes a column of numbers, aligned to the right. A title list of
 * NULL makes `count` columns without a heading.
 */
struct columns *columns_new(const char *const *titles, size_t count);
void columns_free(struct columns *columns);
/* For _cleanup_(columns_clear). */
void columns_clear(struct columns **columns);

/* The next cell, row by row, left to right. NULL or "" is written as "-". */
void columns_add(struct columns *columns, const char *text);
void columns_format(struct columns *columns, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Writes heading and rows. */
void columns_print(const struct columns *columns, FILE *file);

#endif
