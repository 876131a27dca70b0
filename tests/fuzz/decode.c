/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as a file: no crash, leak or hang, and what is decoded survives the way through object_encode. The first byte
 * chooses the file's name, and so the parser.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "../lib/encoded.h"
#include "base/cleanup.h"
#include "model/decode.h"

static void require(bool condition)
{
	if (!condition)
		abort();
}

/* An object that was decoded decodes again from what it is encoded to, and is the same. */
static void check_round_trip(const struct object *object)
{
	struct object_list objects = {};
	struct problem_list problems = {};
	char *text = encoded_text(object);

	require(text);
	require(!decode_saved_buffer("saved.json", text, strlen(text), &objects, &problems));
	require(objects.count == 1 && !problems.errors);
	require(object_equal(object, objects.items[0]));
	object_list_clear(&objects);
	problem_list_clear(&problems);
	free(text);
}

/* Every failure is told, on one line. */
static void check_problems(const struct problem_list *problems, int error)
{
	char text[4096];

	require(!error == !problems->errors);
	for (size_t i = 0; i < problems->count; i++)
		require(!strpbrk(problem_format(&problems->items[i], text, sizeof(text)), "\n\r"));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const names[] = { "fuzz.yaml", "fuzz.json", NULL };
	struct object_list objects = {};
	struct problem_list problems = {};
	const char *name;
	int error;

	if (!size)
		return 0;
	name = names[data[0] % ARRAY_SIZE(names)];
	error = decode_buffer(name, (const char *)data + 1, size - 1, &objects, &problems);
	require(!error || !objects.count);
	check_problems(&problems, error);
	for (size_t i = 0; i < objects.count; i++)
		check_round_trip(objects.items[i]);
	object_list_clear(&objects);
	problem_list_clear(&problems);
	return 0;
}
