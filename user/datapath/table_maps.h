/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The maps that hold the tables. For the programs chunk 0 is a variable whose place they know. So are the chunks behind it
 * where the kernel takes values of that size; otherwise these are looked up in a map of their own. In user space it is one
 * memory, in which every word is at its address.
 */
#ifndef EGRESSD_DATAPATH_TABLE_MAPS_H
#define EGRESSD_DATAPATH_TABLE_MAPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <bpf/libbpf.h>

#include <egressd/contract.h>

enum table_map { TABLE_MAP_FIRST, TABLE_MAP_OTHERS, TABLE_MAP_COUNT };

struct table_maps {
	int fd[TABLE_MAP_COUNT];          /* owned; -1: not open */
	uint32_t chunks[TABLE_MAP_COUNT]; /* that each holds */
	uint32_t *memory;                 /* mapped; NULL: not mapped */
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
 * not loaded yet; of one chunk more than asked for where they are not joined and it was one. may_join: whether they may be
 * one value. verify: that the two that are open are such maps. map: of two that were created or verified.
 */
int table_maps_create(struct table_maps *maps, struct bpf_object *object, uint32_t chunks, bool may_join);
int table_maps_verify(struct table_maps *maps, const char *directory);
int table_maps_map(struct table_maps *maps, bool read_only);
/* Unmaps and closes what there is. */
void table_maps_clear(struct table_maps *maps);

#endif
