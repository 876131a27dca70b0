/* SPDX-License-Identifier: Apache-2.0 */
/* datapath/kernel_support.h: what is read from /proc and /sys, here below a directory, and what is said of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "datapath/kernel_support.h"

static const struct kernel_support complete = {
	.name.release = "6.12.0",
	.tcx = true,
	.loop = true,
	.btf = true,
	.bpffs = true,
	.cgroup2 = true,
	.jit = KERNEL_SETTING_ON,
	.unprivileged_bpf = KERNEL_SETTING_OFF,
};

/* ------------------------------------------------------------------ notes */

/* Asserts that there is one note, of that kind and with that word in it. */
static void assert_noted(const struct kernel_support *support, bool warning, const char *word)
{
	struct kernel_note notes[KERNEL_NOTES_MAX];

	assert_int_equal(kernel_support_notes(support, notes), 1);
	assert_int_equal(notes[0].warning, warning);
	assert_non_null(strstr(notes[0].text, word));
}

static void a_kernel_that_has_everything_needs_no_word(void **state)
{
	struct kernel_support support = complete;
	struct kernel_note notes[KERNEL_NOTES_MAX];

	(void)state;
	assert_int_equal(kernel_support_notes(&support, notes), 0);
	/* What cannot be found out is no news. */
	support.jit = support.unprivileged_bpf = KERNEL_SETTING_UNKNOWN;
	assert_int_equal(kernel_support_notes(&support, notes), 0);
}

static void each_lack_has_its_note(void **state)
{
	static const struct {
		size_t member;
		bool warning;
		const char *word;
	} lacks[] = {
		{offsetof(struct kernel_support, tcx), false, "clsact"},
		{offsetof(struct kernel_support, loop), false, "bpf_loop"},
		{offsetof(struct kernel_support, btf), false, "BTF"},
		{offsetof(struct kernel_support, cgroup2), false, "cgroup2"},
		{offsetof(struct kernel_support, bpffs), true, "/sys/fs/bpf"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(lacks); i++) {
		struct kernel_support support = complete;

		*(bool *)((char *)&support + lacks[i].member) = false;
		assert_noted(&support, lacks[i].warning, lacks[i].word);
	}
}

static void each_setting_has_its_note(void **state)
{
	struct kernel_support support = complete;

	(void)state;
	support.jit = KERNEL_SETTING_OFF;
	assert_noted(&support, true, "net.core.bpf_jit_enable");
	support = complete;
	support.unprivileged_bpf = KERNEL_SETTING_ON;
	assert_noted(&support, true, "kernel.unprivileged_bpf_disabled");
	support = complete;
	support.lockdown = KERNEL_LOCKDOWN_INTEGRITY;
	assert_noted(&support, false, "(integrity)");
	support.lockdown = KERNEL_LOCKDOWN_CONFIDENTIALITY;
	assert_noted(&support, false, "(confidentiality)");
}

static void warnings_come_first(void **state)
{
	const struct kernel_support nothing = {.jit = KERNEL_SETTING_OFF,
					       .unprivileged_bpf = KERNEL_SETTING_ON,
					       .lockdown = KERNEL_LOCKDOWN_CONFIDENTIALITY};
	struct kernel_note notes[KERNEL_NOTES_MAX];
	size_t count, i;

	(void)state;
	count = kernel_support_notes(&nothing, notes);
	assert_int_equal(count, 8);
	for (i = 0; i < count; i++)
		assert_int_equal(notes[i].warning, i < 3);
}

/* ------------------------------------------------------------------ files */

static char root[] = "/tmp/egressd-kernel.XXXXXX";

static int make_root(void **state)
{
	(void)state;
	return mkdtemp(root) ? 0 : -1;
}

static int remove_root(void **state)
{
	char command[sizeof(root) + 16];

	(void)state;
	snprintf(command, sizeof(command), "rm -rf %s", root);
	return system(command);
}

/* root/path with that text, and the directories above it. */
static void put(const char *path, const char *text)
{
	char whole[256], *slash;
	FILE *file;

	snprintf(whole, sizeof(whole), "%s%s", root, path);
	for (slash = strchr(whole + sizeof(root), '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		mkdir(whole, 0700);
		*slash = '/';
	}
	file = fopen(whole, "we");
	assert_non_null(file);
	fputs(text, file);
	fclose(file);
}

static struct kernel_support probe(void)
{
	struct kernel_support support;

	kernel_support_probe(root, root, &support);
	return support;
}

static void where_nothing_can_be_read_nothing_is_claimed(void **state)
{
	struct kernel_support support = probe();

	(void)state;
	assert_false(support.btf || support.bpffs || support.cgroup2);
	assert_int_equal(support.unprivileged_bpf, KERNEL_SETTING_UNKNOWN);
	assert_int_equal(support.lockdown, KERNEL_LOCKDOWN_NONE);
	assert_string_not_equal(support.name.release, "");
}

static void mounts_are_found_by_their_type(void **state)
{
	struct kernel_support support;

	(void)state;
	put("/proc/self/mounts", "cgroup2 /cgroup2 tmpfs rw 0 0\ncgroup /sys/fs/cgroup/cpu cgroup rw 0 0\n");
	assert_false(probe().cgroup2);
	put("/proc/self/mounts", "proc /proc proc rw 0 0\nnone /sys/fs/cgroup/unified cgroup2 rw 0 0\n");
	assert_true(probe().cgroup2);
	/* Of that file system, whatever the table of mounts says of others. */
	put("/proc/self/mounts", "none /a\\040place bpf rw,mode=700 0 0\n");
	support = probe();
	assert_false(support.bpffs || support.cgroup2);
}

static void settings_are_read(void **state)
{
	(void)state;
	put("/proc/sys/kernel/unprivileged_bpf_disabled", "0\n");
	assert_int_equal(probe().unprivileged_bpf, KERNEL_SETTING_ON);
	put("/proc/sys/kernel/unprivileged_bpf_disabled", "2\n");
	assert_int_equal(probe().unprivileged_bpf, KERNEL_SETTING_OFF);
	put("/sys/kernel/security/lockdown", "[none] integrity confidentiality\n");
	assert_int_equal(probe().lockdown, KERNEL_LOCKDOWN_NONE);
	put("/sys/kernel/security/lockdown", "none [integrity] confidentiality\n");
	assert_int_equal(probe().lockdown, KERNEL_LOCKDOWN_INTEGRITY);
	put("/sys/kernel/security/lockdown", "none integrity [confidentiality]\n");
	assert_int_equal(probe().lockdown, KERNEL_LOCKDOWN_CONFIDENTIALITY);
	put("/sys/kernel/btf/vmlinux", "");
	assert_true(probe().btf);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_kernel_that_has_everything_needs_no_word),
		cmocka_unit_test(each_lack_has_its_note),
		cmocka_unit_test(each_setting_has_its_note),
		cmocka_unit_test(warnings_come_first),
		cmocka_unit_test(where_nothing_can_be_read_nothing_is_claimed),
		cmocka_unit_test(mounts_are_found_by_their_type),
		cmocka_unit_test(settings_are_read),
	};

	return cmocka_run_group_tests(tests, make_root, remove_root);
}
