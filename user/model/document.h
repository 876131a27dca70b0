/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A parsed YAML or JSON document: a tree of values that each know where they stood. What decoding makes objects of;
 * nothing here knows about Kubernetes.
 *
 * Plain YAML scalars get the type that Kubernetes' own conversion of YAML to JSON gives them (`yes` is a boolean, "yes"
 * a string). An alias is the same value once more, so a document is a graph without cycles; its size counts every use.
 */
#ifndef EGRESSD_MODEL_DOCUMENT_H
#define EGRESSD_MODEL_DOCUMENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "model/problem.h"

enum value_type {
	VALUE_NULL,
	VALUE_BOOLEAN,
	VALUE_INTEGER, /* a plain decimal, or 0x or 0o, that fits 64 bits */
	VALUE_NUMBER,  /* any other number: fractions, exponents, leading zeros; only its text is known */
	VALUE_STRING,
	VALUE_SEQUENCE,
	VALUE_MAPPING,
};

struct value;

struct mapping_field {
	const char *key;
	unsigned int line, column; /* of the key */
	bool odd_key;              /* a plain key that is no string and reads otherwise elsewhere: `yes`, `1.0`, `~` */
	const struct value *value;
};

struct value {
	uint8_t type;   /* enum value_type */
	uint8_t height; /* levels below this one: 0 for a scalar */
	bool boolean;
	unsigned int line, column; /* from 1 */
	uint32_t size;             /* values in it, itself and every use of an alias included */
	uint32_t count;            /* items or fields */
	union {
		const char *text;  /* VALUE_STRING, VALUE_BOOLEAN and VALUE_NUMBER: as written, without a NUL inside */
		int64_t integer;
		const struct value *const *items;
		const struct mapping_field *fields; /* in their order, keys unique */
	};
};

/* The value of a field, or NULL. `mapping` must be a mapping. */
const struct value *value_get(const struct value *mapping, const char *key);

/*
 * Called for every document that holds something. The root and its memory live until the call returns. A negative errno
 * ends the parse.
 */
typedef int (*document_handler)(const struct value *root, void *context);

/*
 * Parses all documents of a text. Returns 0; -EINVAL after adding an error (rule "syntax", "limit" or "unsupported") to
 * `problems`; -ENOMEM; or what the handler returned. `name` is the file in places, or NULL.
 */
int document_parse(const char *name, const char *text, size_t length, document_handler handler, void *context,
		   struct problem_list *problems);
/* The same for JSON that the agent wrote itself: it may have DECODE_SAVED_NODES_MAX values. */
int document_parse_saved(const char *name, const char *text, size_t length, document_handler handler, void *context,
			 struct problem_list *problems);
/* The same for one text of the Kubernetes API: JSON and nothing else, without places. */
int document_parse_api(const char *text, size_t length, document_handler handler, void *context,
		       struct problem_list *problems);

#endif
