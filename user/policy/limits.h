/* SPDX-License-Identifier: Apache-2.0 */
/* Where the compiler gives up, aloud. */
#ifndef EGRESSD_POLICY_LIMITS_H
#define EGRESSD_POLICY_LIMITS_H

/* Words that a bank may take: 1 GB. */
#define BANK_WORDS_MAX ((size_t)1 << 28)

/* Port classes are half-words. */
#define PORT_CLASSES_MAX 65536u

#endif
