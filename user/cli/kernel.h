/* SPDX-License-Identifier: Apache-2.0 */
/* The pinned maps, opened for reading only. */
#ifndef EGRESSD_CLI_KERNEL_H
#define EGRESSD_CLI_KERNEL_H

#include "cli/bank.h"
#include "cli/command.h"
#include "datapath/datapath.h"

/* 0, or -errno; kernel_problem() then says why. */
int kernel_open(const struct settings *settings, struct datapath **out);
/* One sentence for a failure of kernel_open(); static until the next call. */
const char *kernel_problem(const struct settings *settings, int error);
/* The same, and tells what is wrong. */
int kernel_load(const struct settings *settings, struct datapath **out);
/* For _cleanup_. */
void kernel_close(struct datapath **datapath);

/* The bank in force. 0, or -errno after it told what is wrong. */
int kernel_bank(struct datapath *datapath, struct bank *out);
/* Tells where the agent wrote new tables meanwhile; 0 or -EAGAIN. */
int kernel_bank_check(const struct bank *bank);

#endif
