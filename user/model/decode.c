/* SPDX-License-Identifier: Apache-2.0 */
#include "model/decode.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "model/decode_kind.h"
#include "model/syntax.h"

/* One file on its way to objects. */
struct decoding {
	const char *name;
	bool saved, from_api;
	struct object_list objects;
	struct problem_list *problems;
	size_t told; /* errors so far */
	bool failed; /* an object was wrong */
};

void object_list_clear(struct object_list *list)
{
	for (size_t i = 0; i < list->count; i++)
		object_unref(list->items[i]);
	free(list->items);
	*list = (struct object_list){};
}

/* Takes over the caller's reference on success. */
static int object_list_add(struct object_list *list, struct object *object)
{
	int error = array_reserve(&list->items, &list->capacity, list->count + 1, sizeof(*list->items));

	if (!error)
		list->items[list->count++] = object;
	return error;
}

/* All or nothing. */
static int object_list_move(struct object_list *to, struct object_list *from)
{
	int error = array_reserve(&to->items, &to->capacity, to->count + from->count, sizeof(*to->items));

	if (error)
		return error;
	if (from->count)
		memcpy(to->items + to->count, from->items, from->count * sizeof(*from->items));
	to->count += from->count;
	from->count = 0;
	return 0;
}

/* ------------------------------------------------------------------ kinds */

struct kind {
	const char *api_version;
	enum object_kind kind;
	bool namespaced;
	bool (*is_name)(const char *text);
	const char *name_syntax;
	void (*decode)(struct reader *reader, const struct spot *root);
	const char *fields[6]; /* at the top; ends with NULL */
};

#define SUBDOMAIN_SYNTAX "a lower-case RFC 1123 subdomain of at most 253 characters"
#define LABEL_SYNTAX "a lower-case RFC 1123 label of at most 63 characters"

static const struct kind kinds[] = {
	{ "networking.k8s.io/v1", OBJECT_NETWORK_POLICY, true, syntax_is_dns_subdomain, SUBDOMAIN_SYNTAX,
	  decode_network_policy, { "spec", "status" } },
	{ "v1", OBJECT_NAMESPACE, false, syntax_is_dns_label, LABEL_SYNTAX, NULL, { "spec", "status" } },
	{ "v1", OBJECT_POD, true, syntax_is_dns_subdomain, SUBDOMAIN_SYNTAX, decode_pod, { "spec", "status" } },
	{ "v1", OBJECT_SERVICE, true, syntax_is_dns_label, LABEL_SYNTAX, decode_service, { "spec", "status" } },
	{ "discovery.k8s.io/v1", OBJECT_ENDPOINT_SLICE, true, syntax_is_dns_subdomain, SUBDOMAIN_SYNTAX,
	  decode_endpoint_slice, { "addressType", "endpoints", "ports" } },
	{ "v1", OBJECT_NODE, false, syntax_is_dns_subdomain, SUBDOMAIN_SYNTAX, decode_node, { "spec", "status" } },
};

/* Any other group is somebody else's, and may have kinds of the same names. */
static bool is_kubernetes_group(const char *api_version)
{
	const char *slash = strchr(api_version, '/');
	size_t length = slash ? (size_t)(slash - api_version) : 0;
	static const char suffix[] = ".k8s.io";
	size_t suffix_length = sizeof(suffix) - 1;

	if (!memchr(api_version, '.', length))
		return true;
	return length > suffix_length && !strncmp(api_version + length - suffix_length, suffix, suffix_length);
}

/* In any case of letters: "networkpolicy" is a mistake, not somebody else's kind. */
static const struct kind *find_kind(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		if (!strcasecmp(object_kind_name(kinds[i].kind), name))
			return &kinds[i];
	}
	return NULL;
}

/* ------------------------------------------------------------------ places that were written down */

/* A number from 0 up to the end of the text or the stop character. */
static bool parse_position(const char *text, const char *end, unsigned int *out)
{
	unsigned int number = 0;

	if (text == end || end - text > 9)
		return false;
	for (; text < end; text++) {
		if (*text < '0' || *text > '9')
			return false;
		number = number * 10 + (unsigned int)(*text - '0');
	}
	*out = number;
	return true;
}

/* The last colon before `end`, or NULL. */
static const char *last_colon(const char *text, const char *end)
{
	while (end > text) {
		if (*--end == ':')
			return end;
	}
	return NULL;
}

/* "line:column", or "file:line:column"; *file_length only with the latter. The file's name may hold colons. */
static bool parse_place(const char *text, bool with_file, struct place *out, size_t *file_length)
{
	const char *end = text + strlen(text), *colon = last_colon(text, end), *start = text;
	const char *file_colon = NULL;

	if (colon && with_file) {
		file_colon = last_colon(text, colon);
		if (!file_colon)
			return false;
		start = file_colon + 1;
	}
	if (!colon || !parse_position(start, colon, &out->line) || !parse_position(colon + 1, end, &out->column))
		return false;
	if (with_file)
		*file_length = (size_t)(file_colon - text);
	return true;
}

struct place decode_saved_place(struct reader *reader, const struct spot *spot, struct place fallback)
{
	struct spot field = *spot;
	struct place place = fallback;
	const char *text;

	if (!reader->saved || !spot->value)
		return fallback;
	if (spot->value->type == VALUE_MAPPING)
		field = spot_field(spot, "egressd.io/place");
	text = read_string(reader, &field);
	if (!text)
		return fallback;
	if (parse_place(text, false, &place, NULL))
		return place;
	reader_fail_expected(reader, &field, "\"line:column\"");
	return fallback;
}

static void read_object_place(struct reader *reader, const struct spot *metadata)
{
	struct spot annotations = spot_field(metadata, "annotations");
	struct spot field = spot_field(&annotations, "egressd.io/place");
	struct place *place = &reader->object->place;
	const char *text = reader->saved ? read_string(reader, &field) : NULL;
	size_t length;

	if (!text)
		return;
	if (!parse_place(text, true, place, &length)) {
		reader_fail_expected(reader, &field, "\"file:line:column\"");
		return;
	}
	place->file = length ? arena_copy(reader->arena, text, length) : NULL;
	if (length && !place->file)
		reader->error = -ENOMEM;
}

/* ------------------------------------------------------------------ metadata */

static void read_name(struct reader *reader, const struct spot *metadata, const struct kind *kind)
{
	struct spot name = spot_field(metadata, "name");
	const char *text = read_string(reader, &name);

	if (text && kind->is_name(text))
		reader->object->name = reader_copy(reader, text);
	else if (text || !name.value)
		reader_fail_expected(reader, &name, kind->name_syntax);
}

static void read_namespace(struct reader *reader, const struct spot *metadata, const struct kind *kind)
{
	struct spot namespace = spot_field(metadata, "namespace");
	const char *text = read_string(reader, &namespace);

	if (!kind->namespaced)
		return;
	if (!text || !text[0])
		reader->object->namespace = "default";
	else if (syntax_is_dns_label(text))
		reader->object->namespace = reader_copy(reader, text);
	else
		reader_fail_expected(reader, &namespace, LABEL_SYNTAX);
}

static size_t find_label(const struct label_list *labels, const char *key)
{
	size_t i;

	for (i = 0; i < labels->count; i++) {
		if (strcmp(labels->items[i].key, key) >= 0)
			break;
	}
	return i;
}

static void force_name_label(struct reader *reader)
{
	struct label_list *labels = &reader->object->labels;
	size_t at = find_label(labels, NAMESPACE_NAME_LABEL);
	bool present = at < labels->count && !strcmp(labels->items[at].key, NAMESPACE_NAME_LABEL);
	struct label *items = labels->items;

	if (!present) {
		items = reader_array(reader, labels->count + 1, sizeof(*items));
		if (!items)
			return;
		for (size_t i = 0; i < labels->count; i++)
			items[i + (i >= at)] = labels->items[i];
		labels->count++;
	}
	items[at] = (struct label){ NAMESPACE_NAME_LABEL, reader->object->name };
	labels->items = items;
}

/* metav1.ObjectMeta. A misspelt "labels" or "namespace" would change what is selected. */
static const char *const metadata_fields[] = {
	"name",         "generateName",      "namespace",         "selfLink",
	"uid",          "resourceVersion",   "generation",        "creationTimestamp",
	"labels",       "deletionTimestamp", "annotations",       "deletionGracePeriodSeconds",
	"finalizers",   "ownerReferences",   "managedFields",     "clusterName",
	NULL,
};

static void read_metadata(struct reader *reader, const struct spot *root, const struct kind *kind)
{
	struct spot metadata = spot_field(root, "metadata");
	struct spot labels = spot_field(&metadata, "labels"), uid = spot_field(&metadata, "uid");
	const char *text;

	if (metadata.value && metadata.value->type != VALUE_MAPPING) {
		read_mapping(reader, &metadata, NULL);
		return;
	}
	/* The name first: later problems are told with it. */
	read_namespace(reader, &metadata, kind);
	read_name(reader, &metadata, kind);
	read_object_place(reader, &metadata);
	/* A newer API server may send fields that are not known here; a person may not. */
	read_mapping(reader, &metadata, reader->file ? metadata_fields : NULL);
	text = read_string(reader, &uid);
	reader->object->uid = reader_copy(reader, text ? text : "");
	read_labels(reader, &labels, &reader->object->labels);
}

/* ------------------------------------------------------------------ objects */

/* A new object with one reference, all strings set, in an arena of its own. */
static struct object *new_object(const struct decoding *decoding, const struct value *root, enum object_kind kind)
{
	_cleanup_(arena_free_pointer) struct arena *arena = arena_new();
	struct object *object = arena ? arena_allocate(arena, sizeof(*object)) : NULL;

	if (!object)
		return NULL;
	if (decoding->name) {
		object->place.file = arena_string(arena, decoding->name);
		if (!object->place.file)
			return NULL;
	}
	object->references = 1;
	object->kind = kind;
	object->name = object->namespace = object->uid = "";
	if (!decoding->from_api) {
		object->place.line = root->line;
		object->place.column = root->column;
	}
	object->memory = take(arena);
	return object;
}

static void release_object(struct object **object)
{
	object_unref(*object);
}

static void check_top_fields(struct reader *reader, const struct spot *root, const struct kind *kind)
{
	const char *known[ARRAY_SIZE(kind->fields) + 4] = { "apiVersion", "kind", "metadata" };
	size_t count = 3;

	for (size_t i = 0; kind->fields[i]; i++)
		known[count++] = kind->fields[i];
	read_mapping(reader, root, reader->file ? known : NULL);
}

static int decode_object(struct decoding *decoding, const struct value *value, const struct kind *kind)
{
	_cleanup_(release_object) struct object *object = new_object(decoding, value, kind->kind);
	struct spot root = { .value = value };
	struct reader reader = {
		.object = object,
		.file = decoding->name,
		.saved = decoding->saved,
		.from_api = decoding->from_api,
		.problems = decoding->problems,
		.told = &decoding->told,
	};
	int error;

	if (!object)
		return -ENOMEM;
	reader.arena = object->memory;
	read_metadata(&reader, &root, kind);
	check_top_fields(&reader, &root, kind);
	if (kind->kind == OBJECT_NAMESPACE)
		force_name_label(&reader);
	if (kind->decode)
		kind->decode(&reader, &root);
	if (reader.error == -EINVAL) {
		decoding->failed = true;
		return 0;
	}
	if (reader.error)
		return reader.error;
	error = object_list_add(&decoding->objects, object);
	if (!error)
		object = NULL;
	return error;
}

/* ------------------------------------------------------------------ documents */

/* An error of a document that is no object yet. */
static int fail_document(struct decoding *decoding, const struct spot *spot, const char *expected)
{
	struct reader reader = {
		.file = decoding->name,
		.problems = decoding->problems,
		.told = &decoding->told,
	};

	if (spot->value && spot->value->type == VALUE_STRING)
		reader_fail_expected(&reader, spot, expected);
	else
		reader_fail_type(&reader, spot, expected);
	decoding->failed = true;
	return reader.error == -ENOMEM ? -ENOMEM : 0;
}

#define KIND_TEXT_MAX 64

static int note_unknown_kind(struct decoding *decoding, const struct value *value, const char *api_version,
			     const char *kind)
{
	struct place place = { decoding->name, value->line, value->column };
	struct problem_list *problems = decoding->problems;
	char message[3 * KIND_TEXT_MAX];

	snprintf(message, sizeof(message), "kind %.*s of %.*s is not one that egressd reads: skipped", KIND_TEXT_MAX,
		 kind, KIND_TEXT_MAX, api_version);
	for (size_t i = 0; i < problems->count; i++) {
		if (!strcmp(problems->items[i].rule, "unknown-kind") && !strcmp(problems->items[i].message, message))
			return 0;
	}
	return problem_add(problems, PROBLEM_NOTICE, "unknown-kind", &place, NULL, "%s", message);
}

/* What a "...List" that the API sends says once for all its items, which do not repeat it. */
struct item_type {
	const char *api_version;
	const char *kind;
};

static int decode_value(struct decoding *decoding, const struct value *value, const struct item_type *type);

static int decode_list(struct decoding *decoding, const struct spot *items, const struct item_type *type)
{
	int error = 0;

	if (items->value && items->value->type != VALUE_SEQUENCE)
		return fail_document(decoding, items, "a list");
	for (size_t i = 0; !error && items->value && i < items->value->count; i++)
		error = decode_value(decoding, items->value->items[i], type);
	return error;
}

/* "PodList" holds Pods; "List" holds anything. */
static int decode_typed_list(struct decoding *decoding, const struct spot *items, const char *api_version,
			     const char *kind)
{
	size_t length = strlen(kind) - strlen("List");
	char item_kind[KIND_TEXT_MAX];
	struct item_type type = { .api_version = api_version, .kind = item_kind };

	if (!length)
		return decode_list(decoding, items, NULL);
	if (length >= sizeof(item_kind))
		return note_unknown_kind(decoding, items->parent->value, api_version, kind);
	memcpy(item_kind, kind, length);
	item_kind[length] = '\0';
	return decode_list(decoding, items, &type);
}

static bool is_list_kind(const char *kind)
{
	size_t length = strlen(kind);

	return length >= strlen("List") && !strcmp(kind + length - strlen("List"), "List");
}

static int decode_kind(struct decoding *decoding, const struct spot *root, const char *api_version,
		       const char *kind_name)
{
	const struct kind *kind = find_kind(kind_name);
	struct spot api_version_spot = spot_field(root, "apiVersion"), kind_spot = spot_field(root, "kind");
	struct spot items = spot_field(root, "items");
	char expected[KIND_TEXT_MAX];

	if (is_list_kind(kind_name) && (items.value || !strcmp(kind_name, "List")))
		return decode_typed_list(decoding, &items, api_version, kind_name);
	if (!kind || !is_kubernetes_group(api_version))
		return note_unknown_kind(decoding, root->value, api_version, kind_name);
	if (strcmp(kind_name, object_kind_name(kind->kind)))
		return fail_document(decoding, &kind_spot, object_kind_name(kind->kind));
	if (!strcmp(api_version, kind->api_version))
		return decode_object(decoding, root->value, kind);
	snprintf(expected, sizeof(expected), "%s for a %s", kind->api_version, kind_name);
	return fail_document(decoding, &api_version_spot, expected);
}

/* A string that must be there; the type of the list's items where it is absent. */
static const char *read_type_field(const struct spot *field, const char *inherited)
{
	if (!field->value)
		return inherited;
	return field->value->type == VALUE_STRING && field->value->text[0] ? field->value->text : NULL;
}

static int decode_value(struct decoding *decoding, const struct value *value, const struct item_type *type)
{
	struct spot root = { .value = value };
	struct spot api_version = spot_field(&root, "apiVersion"), kind = spot_field(&root, "kind");
	const char *api_version_text, *kind_text;

	if (decoding->told >= READER_ERRORS_MAX)
		return 0;
	if (value->type != VALUE_MAPPING)
		return fail_document(decoding, &root, "a Kubernetes object");
	api_version_text = read_type_field(&api_version, type ? type->api_version : NULL);
	kind_text = read_type_field(&kind, type ? type->kind : NULL);
	if (!api_version_text)
		return fail_document(decoding, &api_version, "the version of a Kubernetes API");
	if (!kind_text)
		return fail_document(decoding, &kind, "the kind of a Kubernetes object");
	return decode_kind(decoding, &root, api_version_text, kind_text);
}

static int decode_document(const struct value *root, void *context)
{
	return decode_value(context, root, NULL);
}

/* ------------------------------------------------------------------ files */

static int note_errors_cut(struct decoding *decoding)
{
	struct place place = { .file = decoding->name };

	if (decoding->told < READER_ERRORS_MAX)
		return 0;
	return problem_add(decoding->problems, PROBLEM_ERROR, "limit", &place, NULL,
			   "expected fewer errors: after %d the rest is not told", READER_ERRORS_MAX);
}

static int fail_file(struct problem_list *problems, const char *rule, const char *name, const char *message)
{
	struct place place = { .file = name };

	return problem_add(problems, PROBLEM_ERROR, rule, &place, NULL, "%s", message);
}

static int fail_size(struct problem_list *problems, const char *name)
{
	int error = fail_file(problems, "limit", name, "expected at most 64 MiB, found more");

	_Static_assert(DECODE_FILE_MAX == 64u << 20, "as the message says");
	return error ? error : -EINVAL;
}

static int decode(const char *name, bool saved, const char *text, size_t length, struct object_list *objects,
		  struct problem_list *problems)
{
	struct decoding decoding = { .name = name, .saved = saved, .problems = problems };
	int error;

	if (length > DECODE_FILE_MAX && !saved)
		return fail_size(problems, name);
	error = (saved ? document_parse_saved : document_parse)(name, text, length, decode_document, &decoding, problems);
	if (!error || error == -EINVAL) {
		int cut_error = note_errors_cut(&decoding);

		error = cut_error ? cut_error : error;
	}
	if (!error && decoding.failed)
		error = -EINVAL;
	if (!error)
		error = object_list_move(objects, &decoding.objects);
	object_list_clear(&decoding.objects);
	return error;
}

/* ------------------------------------------------------------------ the API */

void api_object_clear(struct api_object *object)
{
	object_unref(object->object);
	free(object->namespace);
	free(object->name);
	free(object->resource_version);
	*object = (struct api_object){};
}

struct api_decoding {
	struct decoding decoding;
	const struct kind *kind;
	struct api_object out;
};

static const struct kind *kind_of(enum object_kind kind)
{
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		if (kinds[i].kind == kind)
			return &kinds[i];
	}
	return NULL;
}

static char *copy_text_field(const struct spot *metadata, const char *field)
{
	struct spot spot = spot_field(metadata, field);

	return strdup(spot.value && spot.value->type == VALUE_STRING ? spot.value->text : "");
}

static int decode_api_value(const struct value *root, void *context)
{
	struct api_decoding *api = context;
	struct spot top = { .value = root }, metadata = spot_field(&top, "metadata");
	int error;

	if (!metadata.value || metadata.value->type != VALUE_MAPPING)
		return fail_document(&api->decoding, &metadata, "the metadata of an object");
	api->out.namespace = copy_text_field(&metadata, "namespace");
	api->out.name = copy_text_field(&metadata, "name");
	api->out.resource_version = copy_text_field(&metadata, "resourceVersion");
	if (!api->out.namespace || !api->out.name || !api->out.resource_version)
		return -ENOMEM;
	error = decode_object(&api->decoding, root, api->kind);
	if (!error && api->decoding.objects.count)
		api->out.object = object_ref(api->decoding.objects.items[0]);
	return error;
}

int decode_api_object(enum object_kind kind, const char *text, size_t length, struct api_object *out,
		      struct problem_list *problems)
{
	_cleanup_(api_object_clear) struct api_object decoded = {};
	struct api_decoding api = { .decoding = { .from_api = true, .problems = problems }, .kind = kind_of(kind) };
	int error = document_parse_api(text, length, decode_api_value, &api, problems);

	object_list_clear(&api.decoding.objects);
	decoded = api.out;
	if (!error && !decoded.name)
		error = -EINVAL;
	if (error)
		return error;
	*out = decoded;
	decoded = (struct api_object){};
	return 0;
}

int decode_buffer(const char *name, const char *text, size_t length, struct object_list *objects,
		  struct problem_list *problems)
{
	return decode(name, false, text, length, objects, problems);
}

int decode_saved_buffer(const char *name, const char *text, size_t length, struct object_list *objects,
			struct problem_list *problems)
{
	return decode(name, true, text, length, objects, problems);
}

/* Up to one byte more than a file may have, so that one that grows meanwhile is noticed. */
static int read_all(int fd, size_t expected, char **out, size_t *length)
{
	_cleanup_free_ char *text = NULL;
	size_t capacity = 0, count = 0;
	ssize_t got;

	do {
		size_t wanted = count <= expected ? expected + 1 : count + 4096;

		if (wanted > DECODE_FILE_MAX + 1)
			wanted = DECODE_FILE_MAX + 1;
		if (array_reserve(&text, &capacity, wanted, 1))
			return -ENOMEM;
		got = read(fd, text + count, wanted - count);
		if (got < 0 && errno != EINTR)
			return -errno;
		if (got > 0)
			count += (size_t)got;
	} while (got && count <= DECODE_FILE_MAX);
	*length = count;
	*out = take(text);
	return 0;
}

/* Not blocking: a FIFO without a writer would stop the agent. */
static int open_and_read(const char *path, char **out, size_t *length)
{
	_cleanup_fd_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct stat status;

	if (fd < 0)
		return -errno;
	if (fstat(fd, &status))
		return -errno;
	if (S_ISDIR(status.st_mode))
		return -EISDIR;
	if (!S_ISREG(status.st_mode))
		return -ENOTSUP;
	if (status.st_size > (off_t)DECODE_FILE_MAX)
		return -EFBIG;
	return read_all(fd, (size_t)status.st_size, out, length);
}

int decode_file(const char *path, const char *name, struct object_list *objects, struct problem_list *problems)
{
	_cleanup_free_ char *text = NULL;
	size_t length = 0;
	int error;

	error = open_and_read(path, &text, &length);
	if (!error)
		return decode(name, false, text, length, objects, problems);
	if (error == -EFBIG)
		return fail_size(problems, name);
	if (error != -ENOMEM && fail_file(problems, "file", name,
					  error == -ENOTSUP ? "expected a regular file, found another kind" :
							      strerror(-error)))
		return -ENOMEM;
	return error;
}
