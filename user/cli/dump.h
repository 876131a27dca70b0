/* SPDX-License-Identifier: Apache-2.0 */
/* The parts of `egressctl dump`. */
#ifndef EGRESSD_CLI_DUMP_H
#define EGRESSD_CLI_DUMP_H

#include <jansson.h>

#include "cli/command.h"
#include "cli/kernel.h"
#include "cli/saved_state.h"
#include "model/store.h"

/* What the parts read. state and store may be empty: names are then left out. */
struct dump {
	const struct settings *settings;
	struct datapath *datapath;
	struct saved_state state;
	struct store *store; /* NULL: not there */
};

/*
 * Each writes its part: as text on standard output, or, with -o json, as a new reference in *out. 0, or -errno after
 * it told what is wrong.
 */
int dump_maps(struct dump *dump, json_t **out);
int dump_classes(struct dump *dump, json_t **out);
int dump_rows(struct dump *dump, json_t **out);
int dump_flows(struct dump *dump, json_t **out);
int dump_counters(struct dump *dump, json_t **out);

#endif
