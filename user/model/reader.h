/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading the fields of one Kubernetes object out of a document: types, paths and errors.
 *
 * Errors are remembered in the reader and added to its problems; readers of fields then return something harmless and
 * decoding goes on, so that one pass tells everything that is wrong with an object. Whoever decodes asks reader.error
 * at the end.
 */
#ifndef EGRESSD_MODEL_READER_H
#define EGRESSD_MODEL_READER_H

#include "base/arena.h"
#include "model/document.h"
#include "model/object.h"
#include "model/problem.h"

/* After so many errors in a file the rest of them is not told. */
#define READER_ERRORS_MAX 100

struct reader {
	struct object *object; /* being filled; its place.file is the file of every place in it */
	struct arena *arena;   /* the object's */
	const char *file;      /* for problems; NULL: none */
	bool saved;            /* what encode.h wrote: the places in it count */
	bool from_api;         /* accepted by the API server, and nobody could look up a line of it */
	struct problem_list *problems;
	size_t *told;          /* errors in this file so far */
	int error;             /* 0, -EINVAL or -ENOMEM */
};

/*
 * A place to read from: a field of a mapping, an item of a sequence, or the object itself. Made on the stack, so that a
 * path costs nothing until an error asks for it; a spot must not outlive its parent.
 */
struct spot {
	const struct spot *parent;
	const char *field; /* NULL: an item, or the object */
	size_t index;
	const struct value *value; /* NULL: absent */
};

/* null is absent, as for the API server. */
struct spot spot_field(const struct spot *parent, const char *field);
/* `parent` is a sequence with more than `index` items. */
struct spot spot_item(const struct spot *parent, size_t index);

/* Adds "<path>: <message>" and remembers it. The place is the spot's, or its nearest parent's if it is absent. */
void reader_fail(struct reader *reader, const struct spot *spot, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
void reader_warn(struct reader *reader, const struct spot *spot, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
/* "expected <expected>, found <the value>". */
void reader_fail_expected(struct reader *reader, const struct spot *spot, const char *expected);
/* The same where the type is what is wrong: names the type of what was found. */
void reader_fail_type(struct reader *reader, const struct spot *spot, const char *expected);

/* From the object's arena, zeroed. NULL with reader.error set when memory is short; also for 0 items. */
void *reader_array(struct reader *reader, size_t count, size_t item_size);
/* A copy in the object's arena; "" when memory is short. */
const char *reader_copy(struct reader *reader, const char *text);
/* Where the value stands, in the object's file. */
struct place reader_place(const struct reader *reader, const struct spot *spot);

/*
 * True if there is a mapping. With `known` (ends with NULL), every other field is an error.
 * Absent: false; anything else: false and an error.
 */
bool read_mapping(struct reader *reader, const struct spot *spot, const char *const *known);
/* How many items the sequence has; 0 if it is absent or, with an error, no sequence. */
size_t read_sequence(struct reader *reader, const struct spot *spot);
/* Borrowed from the document. NULL: absent, or an error. */
const char *read_string(struct reader *reader, const struct spot *spot);
bool read_boolean(struct reader *reader, const struct spot *spot, bool absent);
/* False: absent, or an error ("expected <expected>"). */
bool read_integer(struct reader *reader, const struct spot *spot, int64_t least, int64_t most, const char *expected,
		  int64_t *out);

/* Fields that several kinds have. */
bool read_address(struct reader *reader, const struct spot *spot, struct ip_address *out);
/* Absent: TCP. */
enum transport read_transport(struct reader *reader, const struct spot *spot);
/* 1 .. 65535; 0: absent, or an error. */
uint16_t read_port_number(struct reader *reader, const struct spot *spot);
void read_labels(struct reader *reader, const struct spot *spot, struct label_list *out);
/* A map of labels as a selector. */
void read_label_map_selector(struct reader *reader, const struct spot *spot, struct label_selector *out);
/* metav1.LabelSelector. */
void read_selector(struct reader *reader, const struct spot *spot, struct label_selector *out);

/* Appends unless it is there; the array has room. */
void address_list_add(struct ip_address *addresses, size_t *count, const struct ip_address *address);

#endif
