/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one decoder: YAML documents, JSON files and JSON objects of the Kubernetes API become objects.
 *
 * Strict: an unknown field in the part of an object that decides about egress, a value of the wrong type or out of
 * range, or a key that stands twice is an error with its place. Fields that do not matter to egress are passed over.
 */
#ifndef EGRESSD_MODEL_DECODE_H
#define EGRESSD_MODEL_DECODE_H

#include "model/object.h"
#include "model/problem.h"

struct object_list {
	struct object **items; /* references belong to the list */
	size_t count, capacity;
};
void object_list_clear(struct object_list *list);

/* A file larger than this is refused before it is read; documents nested deeper or with more nodes, too. */
#define DECODE_FILE_MAX (64u << 20)
#define DECODE_DEPTH_MAX 64
#define DECODE_NODES_MAX 4000000u /* every use of an alias counts */
/* Of an object that object_encode wrote, which says more than the one that was read. */
#define DECODE_SAVED_NODES_MAX (8 * DECODE_NODES_MAX)

/*
 * Decodes a whole file: YAML with any number of documents, or JSON. Kinds "List" and "...List" are opened. `name` is
 * the file's name in places (copied). Objects of unknown kinds are skipped; each kind is added to `problems` once, as a
 * notice with rule "unknown-kind".
 *
 * Returns 0 when every document is good; -EINVAL when any is not, with at least one error in `problems` and nothing
 * added to `objects`; -ENOMEM.
 */
int decode_buffer(const char *name, const char *text, size_t length, struct object_list *objects,
		  struct problem_list *problems);
/* Reads the file, then as above; -errno of open/read after adding it to `problems` (rule "file"). */
int decode_file(const char *path, const char *name, struct object_list *objects, struct problem_list *problems);

/*
 * The same for what object_encode wrote (the agent's objects file), of any size: objects get the places that were written
 * down with them. Only here are the fields "egressd.io/..." known.
 */
int decode_saved_buffer(const char *name, const char *text, size_t length, struct object_list *objects,
			struct problem_list *problems);

/* One object as the Kubernetes API sends it. Strings are the caller's to free (api_object_clear). */
struct api_object {
	struct object *object; /* NULL: it is wrong; why was added to the problems */
	char *namespace, *name, *resource_version; /* "" where absent */
};
void api_object_clear(struct api_object *object);

/*
 * Decodes the JSON of one object of this kind; its own "kind" and "apiVersion" are not looked at, for the items of a
 * list do not have them. 0 also where only the object is wrong, but not its metadata; -EINVAL: not even that, and there
 * is an error in `problems`; -ENOMEM. *out is untouched on failure.
 */
int decode_api_object(enum object_kind kind, const char *text, size_t length, struct api_object *out,
		      struct problem_list *problems);

#endif
