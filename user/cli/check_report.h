/* SPDX-License-Identifier: Apache-2.0 */
/* The results of `egressctl check`, in three formats, on standard output. */
#ifndef EGRESSD_CLI_CHECK_REPORT_H
#define EGRESSD_CLI_CHECK_REPORT_H

#include <stddef.h>

#include "model/problem.h"

struct check_result {
	const struct problem_list *problems; /* sorted by place */
	size_t files, objects, errors, warnings;
};

void check_print_text(const struct check_result *result);
void check_print_json(const struct check_result *result);
/* Static Analysis Results Interchange Format 2.1.0 (OASIS), for code review tools. */
void check_print_sarif(const struct check_result *result);

/* "error", "warning", "notice". */
const char *severity_name(enum problem_severity severity);

#endif
