/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The maps that hold the tables. For the programs chunk 0 is one of its own, a variable whose place they know; the others
 * are looked up. In user space both are one memory, in which every word is at its address.
 */
#ifndef EGRESSD_DATAPATH_TABLE_MAPS_H
#define EGRESSD_DATAPATH_TABLE_MAPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <bpf/libbpf.h>

#include <egressd/contract.h>

enum table_map { TABLE_MAP_FIRST, TABLE_MAP_OTHERS, TABLE_MAP_COUNT };

/* Fewer there are not: a map has an entry. */
#define TABLE_CHUNKS_MIN 2u

struct table_maps {
	int fd[TABLE_MAP_COUNT]; /* owned; -1: not open */
	uint32_t *memory;        /* mapped; NULL: not mapped */
	size_t word_count;
};
#define TABLE_MAPS_INIT                                                                                               \
	{                                                                                                             \
		.fd = { -1, -1 }                                                                                      \
	}

const char *table_map_pin(enum table_map map); /* its name among the pins */
/* Of programs that are not loaded; NULL: they have no such map. */
struct bpf_map *table_map_of(const struct bpf_object *object, enum table_map map);

/*
 * Each returns 0 or a negative errno, with a sentence for datapath_error(). create: new maps, handed to programs that are
 * not loaded yet; chunks: TABLE_CHUNKS_MIN at least. map: of two that are open. verify: that they are such maps; *chunks is
 * how many there are.
 */
int table_maps_create(struct table_maps *maps, struct bpf_object *object, uint32_t chunks);
int table_maps_map(struct table_maps *maps, uint32_t chunks, bool read_only);
int table_maps_verify(const struct table_maps *maps, const char *directory, uint32_t *chunks);
/* Unmaps and closes what there is. */
void table_maps_clear(struct table_maps *maps);

#endif
