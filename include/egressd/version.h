/* SPDX-License-Identifier: Apache-2.0 */
/* What is built: the release, and the commit where the Makefile knows it. */
#ifndef EGRESSD_VERSION_H
#define EGRESSD_VERSION_H

#define EGRESSD_VERSION "0.1.0"

/* -DEGRESSD_COMMIT='"..."'; empty where the source is not a git clone. */
#ifndef EGRESSD_COMMIT
#define EGRESSD_COMMIT ""
#endif

#endif
