/* SPDX-License-Identifier: Apache-2.0 */
/* What every unit test needs of cmocka, whose header relies on others. */
#ifndef EGRESSD_TESTS_MODEL_UNIT_H
#define EGRESSD_TESTS_MODEL_UNIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#endif
