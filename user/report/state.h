/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the agent leaves under --state for egressctl, also when the agent is dead. Two files, each replaced atomically
 * (write, fsync, rename), mode 0600 in a directory of mode 0700:
 *
 * state.json    {"version":1,"agent":{"version":…,"pid":…,"started":…},"generation":N,"attach":"tcx",
 *                "kernel_release":"5.10.0","kernel_lacks":["…"],
 *                "source":"dir:/…","node":"…","node_addresses":["…"],"ready":true,
 *                "endpoints":[{"id":1,"ifindex":7,"interface":"veth1","namespace":"a","pod":"b","uid":"…","addresses":["…"],
 *                              "isolated":true,"attached":true,"problem":null}, …],
 *                "rules":[{"id":16,"namespace":"a","policy":"p","rule":0,"file":"…","line":3}, …],
 *                "problems":[{"severity":"error","rule":"field","file":"…","line":1,"column":2,"object":null,"message":"…"}, …]}
 * objects.json  {"apiVersion":"v1","kind":"List","egressd.io/version":1,"items":[…],"egressd.io/generation":7,
 *               "egressd.io/changes":0,"egressd.io/crc32":"…"}: every object in force, as model/encode.h writes them, for
 *               the words of `explain` and for a restart without the source. The sum is that of all bytes before its
 *               comma.
 */
#ifndef EGRESSD_REPORT_STATE_H
#define EGRESSD_REPORT_STATE_H

#include <jansson.h>

#include "model/decode.h"
#include "model/problem.h"
#include "model/store.h"

#define STATE_DIRECTORY "/run/egressd"
#define STATE_FILE "state.json"
#define STATE_OBJECTS_FILE "objects.json"
#define STATE_OBJECTS_DAMAGED "objects.json.damaged"

/* Creates the directory (0700) if it is missing. -errno. */
int state_directory_prepare(const char *directory);
/* Writes JSON to directory/name atomically, mode 0600. -errno; the old file then still stands. */
int state_write(const char *directory, const char *name, const json_t *json);
/* Removes what state_write left, and the directory if nothing else is in it. 0 or -errno. */
int state_directory_remove(const char *directory);
/* New reference in *out; -ENOENT, -EINVAL (damaged) ... */
int state_read(const char *directory, const char *name, json_t **out);
/* Which tables objects were made into; generation 0: of none, or that is not known. */
struct state_view {
	uint32_t generation;
	uint32_t changes; /* that it followed in place */
};
/*
 * Writes objects.json from a list for each kind (OBJECT_KIND_COUNT of them), object by object: of a hundred thousand pods
 * that takes a second, in which others may want to have their turn. The old file stands until the new one is complete.
 */
struct state_writer;
/* Begins; the objects are held until the writer is freed, the lists are the caller's. -errno. */
int state_writer_new(const char *directory, const struct object_list *kinds, const struct state_view *view,
		     struct state_writer **out);
/* Writes `count` more of them. 1: there are more; 0: all are on disk, and the file has its name; -errno: it will not. */
int state_writer_go_on(struct state_writer *writer, size_t count);
/* What is not complete is removed. NULL is allowed. */
void state_writer_free(struct state_writer *writer);
/* All of it at once. -errno; the old file then still stands. */
int state_write_objects(const char *directory, const struct object_list *kinds, const struct state_view *view);
/* What it holds, as a new store. -ENOENT, -EINVAL (damaged, or of another version), ... */
int state_read_objects(const char *directory, struct store **out, struct state_view *view);
/* Renames it, for someone to look at. -errno. */
int state_set_aside_objects(const char *directory);
json_t *state_encode_problems(const struct problem_list *problems);
/*
 * Any text as a JSON string, NULL as null; new reference or NULL when memory is short. JSON holds UTF-8 only: in a text
 * that is not (the name of a file may be any bytes) each byte beyond ASCII becomes "?".
 */
json_t *state_text(const char *text);

#endif
