/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Takes apart JSON that comes in pieces, without ever holding all of it: the elements of a list's "items" as each one
 * ends, the events of a watch one after the other. It only finds where values begin and end; what they hold is for a
 * parser, which also finds what is wrong inside of them.
 */
#ifndef EGRESSD_BASE_JSON_SPLITTER_H
#define EGRESSD_BASE_JSON_SPLITTER_H

#include <stdbool.h>
#include <stddef.h>

struct json_splitter;

/* Callbacks return 0, or a negative errno that ends json_splitter_feed. Texts are valid until they return. */
struct json_splitter_options {
	const char *member; /* of the top-level objects: what is taken out of them */
	bool elements;      /* its value is an array whose elements are handed over one by one */
	size_t limit;       /* bytes of a value, or of the rest of a top-level object */
	/* With `elements`: an element, which is an object or an array. */
	int (*element)(const char *text, size_t length, void *data);
	/*
	 * A top-level object is complete: the object with null (with `elements`: []) in the member's place, and the
	 * member's value; value NULL: it is a scalar or absent, and then as it was in the object.
	 */
	int (*document)(const char *rest, size_t rest_length, const char *value, size_t value_length, void *data);
	void *data;
};

/* 0 or -ENOMEM. The options are copied, not so the member's name. */
int json_splitter_new(const struct json_splitter_options *options, struct json_splitter **out);
void json_splitter_free(struct json_splitter *splitter);

/*
 * 0; -EINVAL: this is no sequence of JSON objects (json_splitter_error says why); -EMSGSIZE: a value is larger than the
 * limit; -ENOMEM; or what a callback returned. After an error nothing more can be fed.
 */
int json_splitter_feed(struct json_splitter *splitter, const char *bytes, size_t length);
/* Whether the last document fed is complete. */
bool json_splitter_is_between(const struct json_splitter *splitter);
/* What was expected and what was found; "" without an error. */
const char *json_splitter_error(const struct json_splitter *splitter);

#endif
