/* SPDX-License-Identifier: Apache-2.0 */
#ifndef EGRESSD_BASE_BASE64_H
#define EGRESSD_BASE_BASE64_H

#include <stddef.h>

/*
 * Standard base64 (RFC 4648) with or without padding; white space between is passed over. *out is the caller's to
 * free, ends with a NUL that is not counted. 0, -EINVAL, -ENOMEM.
 */
int base64_decode(const char *text, char **out, size_t *length);

#endif
