/* SPDX-License-Identifier: Apache-2.0 */
#ifndef EGRESSD_SOURCE_OBJECT_IDENTITY_H
#define EGRESSD_SOURCE_OBJECT_IDENTITY_H

#include "model/object.h"

/*
 * True where nobody could tell the two apart: equal in what decides about egress (object_equal), of the same uid, and
 * each part of them stands at the same place of the same file. The one that is in the store may then stay there.
 */
bool object_identical(const struct object *a, const struct object *b);

#endif
