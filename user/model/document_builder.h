/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Puts a document together from the events of a parser, and keeps the limits: depth, number of values, unique keys.
 * Shared by the YAML and the JSON side of document_parse.
 *
 * An error is remembered, and every later call does nothing: callers ask builder.error when it suits them.
 */
#ifndef EGRESSD_MODEL_DOCUMENT_BUILDER_H
#define EGRESSD_MODEL_DOCUMENT_BUILDER_H

#include "model/decode.h"
#include "model/document.h"

struct builder_entry {
	struct mapping_field field;
	bool merge; /* the key is the merge key: a plain << */
};

struct builder_level {
	struct value *collection;
	size_t first; /* its first entry, or its first item */
	bool has_key; /* the last entry is a key that waits for its value */
};

/* Of so many keys is known where they are kept: a long list of mappings has a few, over and over. */
#define BUILDER_KEYS 16

struct builder_known_key {
	const char *text; /* NULL: there is none yet */
	size_t length;
};

struct builder {
	const char *name;
	bool strict_json; /* JSON and nothing else; else a text that is not all JSON is left to the YAML side */
	struct problem_list *problems;
	struct arena *arena; /* of the present document */
	uint64_t size;       /* values in the present document */
	uint32_t size_max;   /* how many there may be */
	struct builder_level levels[DECODE_DEPTH_MAX];
	size_t depth;
	struct builder_entry *entries; /* of all open mappings */
	size_t entry_count, entry_capacity;
	struct builder_known_key keys[BUILDER_KEYS]; /* of the present document, by their length */
	const struct value **items; /* of all open sequences: millions, and an entry takes five times as much memory */
	size_t item_count, item_capacity;
	const struct value *root; /* of a finished document */
	int error;
};

void builder_clear(struct builder *builder);
/* Frees the present document and begins another. */
void builder_start(struct builder *builder);

/* True when the next value is a key of a mapping. */
bool builder_expects_key(const struct builder *builder);
/* The key is copied, unless a copy is at hand. */
void builder_key(struct builder *builder, const struct mapping_field *key, size_t length, bool merge);
/* The same for a key that lives as long as the document, without a NUL inside. */
void builder_key_kept(struct builder *builder, const struct mapping_field *key);
/* A scalar goes to its place in the open collection, or becomes the root. NULL after an error. */
void builder_value(struct builder *builder, const struct value *value);
/* The same for a finished value that stands elsewhere too; the place is the alias' own. */
void builder_alias(struct builder *builder, const struct value *value, unsigned int line, unsigned int column);
/* A collection that is not finished: an alias to it would make a cycle. */
bool builder_is_open(const struct builder *builder, const struct value *value);
/* The collection that was opened last, or NULL. */
const struct value *builder_innermost(const struct builder *builder);
/* Begins a sequence or mapping; its value, complete once it ends. NULL after an error. */
struct value *builder_open(struct builder *builder, enum value_type type, unsigned int line, unsigned int column);
void builder_close(struct builder *builder);

/* A new value without content, or NULL after an error. */
struct value *builder_new_value(struct builder *builder, enum value_type type, unsigned int line, unsigned int column);
/* A copy of the text, without a NUL inside; NULL after an error. */
const char *builder_text(struct builder *builder, const char *text, size_t length, unsigned int line,
			 unsigned int column);

/* Adds a problem and remembers -EINVAL. */
void builder_fail(struct builder *builder, const char *rule, unsigned int line, unsigned int column,
		  const char *format, ...) __attribute__((format(printf, 5, 6)));

/*
 * A long sequence may be put together in parts, by two threads at the same time: `part` has built a document of its own
 * that is a sequence; its items become the next ones of the sequence that is open in `builder`, and its error is the
 * builder's. The part is to be cleared.
 */
void builder_join(struct builder *builder, struct builder *part);

/*
 * The two sides. As document_parse; the JSON side also -ENOTSUP, without any call of the handler, for a text that is
 * not JSON, unless builder->strict_json.
 */
int document_parse_yaml(struct builder *builder, const char *text, size_t length, document_handler handler,
			void *context);
int document_parse_json(struct builder *builder, const char *text, size_t length, document_handler handler,
			void *context);

#endif
