/* SPDX-License-Identifier: Apache-2.0 */
/* uthash as it is used here. HASH_FUNCTION and HASH_KEYCMP, where a table has its own, are defined before. */
#ifndef EGRESSD_BASE_HASH_H
#define EGRESSD_BASE_HASH_H

/* Memory that runs out is an error to return, not a reason to exit. */
#define HASH_NONFATAL_OOM 1
#include <uthash.h>

#endif
