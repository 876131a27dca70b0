/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For valgrind, which knows no seccomp(2) and makes system calls of its own: the filter of the agent is built, and not
 * installed. tests/netns/hardening.sh is about the filter.
 */
#include <seccomp.h>
#include <stdint.h>

/* The library asks the kernel whether it has the attribute. */
int seccomp_attr_set(scmp_filter_ctx filter, enum scmp_filter_attr attribute, uint32_t value)
{
	(void)filter;
	(void)attribute;
	(void)value;
	return 0;
}

/* NOLINTNEXTLINE(misc-misplaced-const): as the library declares it */
int seccomp_load(const scmp_filter_ctx filter)
{
	(void)filter;
	return 0;
}
