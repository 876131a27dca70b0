/* SPDX-License-Identifier: Apache-2.0 */
/* Manifests named on the command line: files, directories with files below them, and "-" for standard input. */
#ifndef EGRESSD_CLI_MANIFESTS_H
#define EGRESSD_CLI_MANIFESTS_H

#include <stddef.h>

#include "model/problem.h"
#include "model/store.h"

/*
 * Decodes all of them into the store. Below a directory every .yaml, .yml and .json file counts whose path has no
 * part that begins with a dot, sorted by path; a file that is named counts whatever it is called. Of two objects with
 * one key the first stays, the other is an error. All that is wrong goes to problems; good files count though others
 * are bad. *files counts the files read. 0, also with errors in problems; -ENOMEM.
 */
int manifests_load(const char *const *paths, size_t count, struct store *store, struct problem_list *problems,
		   size_t *files);

#endif
