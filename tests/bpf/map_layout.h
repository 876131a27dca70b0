/* SPDX-License-Identifier: Apache-2.0 */
/* What a map looks like to the kernel, and what this kernel takes for one. */
#ifndef EGRESSD_TEST_MAP_LAYOUT_H
#define EGRESSD_TEST_MAP_LAYOUT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <bpf/bpf.h>

#include <egressd/contract.h>

#include "base/cleanup.h"

static inline struct bpf_map_info map_info(int fd)
{
	struct bpf_map_info info = {};
	uint32_t size = sizeof(info);

	assert_int_equal(bpf_obj_get_info_by_fd(fd, &info, &size), 0);
	return info;
}

/* Whether this kernel takes values of more than 4 MB, by trying. */
static inline bool takes_large_values(void)
{
	_cleanup_fd_ int fd = bpf_map_create(BPF_MAP_TYPE_ARRAY, "large", 4, 2 * sizeof(struct egress_chunk), 1, NULL);

	return fd >= 0;
}

#endif
