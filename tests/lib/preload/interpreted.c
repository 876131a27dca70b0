/* SPDX-License-Identifier: Apache-2.0 */
/* Programs look as they do where the JIT is off: without machine code. */
#define _GNU_SOURCE /* RTLD_NEXT */
#include <bpf/bpf.h>
#include <dlfcn.h>

int bpf_obj_get_info_by_fd(int fd, void *info, __u32 *size)
{
	int (*ask)(int fd, void *info, __u32 *size) = dlsym(RTLD_NEXT, "bpf_obj_get_info_by_fd");
	int error = ask(fd, info, size);

	if (!error && *size == sizeof(struct bpf_prog_info))
		((struct bpf_prog_info *)info)->jited_prog_len = 0;
	return error;
}
