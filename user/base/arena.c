/* SPDX-License-Identifier: Apache-2.0 */
#include "base/arena.h"

#include <stdalign.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/*
 * Chunks grow with what the arena holds: thousands of objects have an arena each, and the half that an object leaves
 * empty is memory that nobody else can have.
 */
#define FIRST_CHUNK   480
#define SMALLEST_MORE 256
#define LARGEST_CHUNK (256u << 10)

struct chunk {
	struct chunk *next;
	size_t size;
	size_t used;  /* from the front: what is aligned */
	size_t texts; /* from the back: what need not be */
	alignas(max_align_t) char data[];
};

/* The arena itself stands in its first chunk: a small object takes one allocation. */
struct arena {
	struct chunk *chunks; /* the one being filled first */
	size_t size;          /* of all of them */
};

static struct chunk *chunk_new(size_t size)
{
	struct chunk *chunk;

	if (size > SIZE_MAX - sizeof(*chunk))
		return NULL;
	/* Zeroed as a whole: large ones come so from the kernel, unless the process keeps its memory. */
	chunk = calloc(1, sizeof(*chunk) + size);
	if (chunk)
		chunk->size = size;
	return chunk;
}

static size_t round_up(size_t size)
{
	return (size + alignof(max_align_t) - 1) & ~(alignof(max_align_t) - 1);
}

static void *chunk_take(struct chunk *chunk, size_t size)
{
	void *taken;

	if (size > chunk->size - chunk->used - chunk->texts)
		return NULL;
	taken = chunk->data + chunk->used;
	chunk->used += size;
	return taken;
}

static void *chunk_take_text(struct chunk *chunk, size_t size)
{
	if (size > chunk->size - chunk->used - chunk->texts)
		return NULL;
	chunk->texts += size;
	return chunk->data + chunk->size - chunk->texts;
}

struct arena *arena_new(void)
{
	struct chunk *chunk = chunk_new(FIRST_CHUNK);
	struct arena *arena;

	if (!chunk)
		return NULL;
	arena = chunk_take(chunk, round_up(sizeof(*arena)));
	arena->chunks = chunk;
	arena->size = FIRST_CHUNK;
	return arena;
}

void arena_free(struct arena *arena)
{
	struct chunk *chunk, *next;

	if (!arena)
		return;
	for (chunk = arena->chunks; chunk; chunk = next) {
		next = chunk->next;
		free(chunk);
	}
}

void arena_free_pointer(struct arena **arena)
{
	arena_free(*arena);
	*arena = NULL;
}

/* Behind the chunk that is being filled. */
void arena_adopt(struct arena *arena, struct arena *other)
{
	struct chunk *first = other->chunks, *last;

	arena->size += other->size;
	for (last = first; last->next; last = last->next)
		;
	last->next = arena->chunks->next;
	arena->chunks->next = first;
}

static size_t next_chunk_size(const struct arena *arena, size_t needed)
{
	size_t size = round_up(arena->size / 2);

	if (size < SMALLEST_MORE)
		size = SMALLEST_MORE;
	if (size > LARGEST_CHUNK)
		size = LARGEST_CHUNK;
	return size < needed ? round_up(needed) : size;
}

static struct chunk *add_chunk(struct arena *arena, size_t needed)
{
	struct chunk *chunk = chunk_new(next_chunk_size(arena, needed));

	if (!chunk)
		return NULL;
	arena->size += chunk->size;
	if (needed > LARGEST_CHUNK) {
		/* A chunk of its own: the one being filled goes on being filled. */
		chunk->next = arena->chunks->next;
		arena->chunks->next = chunk;
	} else {
		chunk->next = arena->chunks;
		arena->chunks = chunk;
	}
	return chunk;
}

void *arena_allocate(struct arena *arena, size_t size)
{
	struct chunk *chunk;
	void *taken;

	if (size > SIZE_MAX / 2)
		return NULL;
	size = round_up(size);
	taken = chunk_take(arena->chunks, size);
	if (taken)
		return taken;
	chunk = add_chunk(arena, size);
	return chunk ? chunk_take(chunk, size) : NULL;
}

static char *allocate_text(struct arena *arena, size_t size)
{
	struct chunk *chunk;
	void *taken;

	if (size > SIZE_MAX / 2)
		return NULL;
	taken = chunk_take_text(arena->chunks, size);
	if (taken)
		return taken;
	chunk = add_chunk(arena, size);
	return chunk ? chunk_take_text(chunk, size) : NULL;
}

void *arena_array(struct arena *arena, size_t count, size_t item_size)
{
	if (item_size && count > SIZE_MAX / item_size)
		return NULL;
	return arena_allocate(arena, count * item_size);
}

char *arena_copy(struct arena *arena, const char *text, size_t length)
{
	char *copy = length < SIZE_MAX ? allocate_text(arena, length + 1) : NULL;

	/* An empty string may come without any memory. */
	if (copy && length)
		memcpy(copy, text, length);
	return copy;
}

char *arena_string(struct arena *arena, const char *text)
{
	return arena_copy(arena, text, strlen(text));
}
