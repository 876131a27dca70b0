/* SPDX-License-Identifier: Apache-2.0 */
/* From what a person wrote as a destination to addresses. */
#ifndef EGRESSD_CLI_RESOLVE_H
#define EGRESSD_CLI_RESOLVE_H

#include "cli/destination.h"
#include "model/store.h"

/*
 * The addresses of a destination; for a pod or a service those of the families that the source has. *out is borrowed
 * from the destination or from the object. Returns their number, at least 1, or -EINVAL with *problem, a static text.
 */
int resolve_destination(const struct store *store, const struct object *source, const struct destination *destination,
			const struct ip_address **out, const char **problem);

#endif
