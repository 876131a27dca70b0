/* SPDX-License-Identifier: Apache-2.0 */
/* JSON output: thin shields over jansson that end the program where memory is short. */
#ifndef EGRESSD_CLI_OUTPUT_H
#define EGRESSD_CLI_OUTPUT_H

#include <stdio.h>

#include <jansson.h>

/* A string, or null for NULL; bytes that are not UTF-8 are replaced by '?'. New reference. */
json_t *json_text(const char *text);
json_t *json_new_object(void);
json_t *json_new_array(void);

/* Take the reference to `value`. */
void json_put(json_t *object, const char *key, json_t *value);
void json_append(json_t *array, json_t *value);

void json_put_text(json_t *object, const char *key, const char *text);
void json_put_number(json_t *object, const char *key, unsigned long long number);
void json_put_bool(json_t *object, const char *key, int truth);

/* Writes it indented on standard output and drops the reference. */
void json_print(json_t *value);
/* On one line. */
void json_print_line(json_t *value);

/* Like json_decref, for _cleanup_(json_clear). */
void json_clear(json_t **value);

#endif
