/* SPDX-License-Identifier: Apache-2.0 */
/* Attachment in both kinds, under real packets: what is enforced, what goes on, what is left. */
#include "attach_ground.h"

#include <dlfcn.h>
#include <linux/bpf.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "base/cleanup.h"

#define TCX_INGRESS ((enum bpf_attach_type)46)
#define TCX_NEXT    (-1)
#define TCX_PASS    0
/* Before any default priority, and after ours. */
#define FOREIGN_FIRST 1
#define FOREIGN_LAST  40000

/* ---------------------------------------------------------------- failures on order */

/* How many replacements succeed before one fails; negative: none fails. */
static int replacements_until_failure = -1;

static bool replacement_fails(void)
{
	if (replacements_until_failure < 0)
		return false;
	return replacements_until_failure-- == 0;
}

/* These two stand before those of libbpf. */
int bpf_link_update(int link_fd, int new_prog_fd, const struct bpf_link_update_opts *opts)
{
	int (*real)(int, int, const struct bpf_link_update_opts *);

	*(void **)&real = dlsym(RTLD_NEXT, "bpf_link_update");
	if (!replacement_fails())
		return real(link_fd, new_prog_fd, opts);
	errno = ENOMEM;
	return -ENOMEM;
}

int bpf_tc_attach(const struct bpf_tc_hook *hook, struct bpf_tc_opts *opts)
{
	int (*real)(const struct bpf_tc_hook *, struct bpf_tc_opts *);

	*(void **)&real = dlsym(RTLD_NEXT, "bpf_tc_attach");
	return replacement_fails() ? -ENOMEM : real(hook, opts);
}

/* ---------------------------------------------------------------- somebody else's program */

struct foreign {
	int map, program, link;
	uint32_t priority; /* clsact */
};

/* Counts packets in its map and returns the verdict. */
static int foreign_load(int map, int verdict)
{
	const struct bpf_insn program[] = {
		{.code = BPF_LD | BPF_DW | BPF_IMM, .dst_reg = BPF_REG_1, .src_reg = BPF_PSEUDO_MAP_FD, .imm = map},
		{.code = 0},
		{.code = BPF_ST | BPF_MEM | BPF_W, .dst_reg = BPF_REG_10, .off = -4, .imm = 0},
		{.code = BPF_ALU64 | BPF_MOV | BPF_X, .dst_reg = BPF_REG_2, .src_reg = BPF_REG_10},
		{.code = BPF_ALU64 | BPF_ADD | BPF_K, .dst_reg = BPF_REG_2, .imm = -4},
		{.code = BPF_JMP | BPF_CALL, .imm = BPF_FUNC_map_lookup_elem},
		{.code = BPF_JMP | BPF_JEQ | BPF_K, .dst_reg = BPF_REG_0, .off = 2, .imm = 0},
		{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_1, .imm = 1},
		{.code = BPF_STX | BPF_ATOMIC | BPF_DW, .dst_reg = BPF_REG_0, .src_reg = BPF_REG_1, .imm = BPF_ADD},
		{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = verdict},
		{.code = BPF_JMP | BPF_EXIT},
	};

	return bpf_prog_load(BPF_PROG_TYPE_SCHED_CLS, "foreign", "Apache-2.0", program, ARRAY_SIZE(program), NULL);
}

/* At the end of the TCX chain, or at a priority of the clsact qdisc, which is made if it is missing. */
static void foreign_attach(struct foreign *foreign, uint32_t priority, int verdict)
{
	LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = (int)pod.ifindex, .attach_point = BPF_TC_INGRESS);
	LIBBPF_OPTS(bpf_tc_opts, options, .handle = 1, .priority = priority);
	int error;

	foreign->priority = priority;
	foreign->link = -1;
	foreign->map = bpf_map_create(BPF_MAP_TYPE_ARRAY, "foreign", 4, 8, 1, NULL);
	assert_true(foreign->map >= 0);
	foreign->program = foreign_load(foreign->map, verdict);
	assert_true(foreign->program >= 0);
	if (kind == ATTACH_TCX) {
		foreign->link = bpf_link_create(foreign->program, (int)pod.ifindex, TCX_INGRESS, NULL);
		assert_true(foreign->link >= 0);
		return;
	}
	error = bpf_tc_hook_create(&hook);
	assert_true(!error || error == -EEXIST);
	options.prog_fd = foreign->program;
	assert_int_equal(bpf_tc_attach(&hook, &options), 0);
}

static uint64_t foreign_count(const struct foreign *foreign)
{
	uint32_t key = 0;
	uint64_t count;

	assert_int_equal(bpf_map_lookup_elem(foreign->map, &key, &count), 0);
	return count;
}

static void foreign_detach(struct foreign *foreign)
{
	LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = (int)pod.ifindex, .attach_point = BPF_TC_INGRESS);
	LIBBPF_OPTS(bpf_tc_opts, options, .handle = 1, .priority = foreign->priority);

	if (kind == ATTACH_TCX)
		close(foreign->link);
	else
		assert_int_equal(bpf_tc_detach(&hook, &options), 0);
	close(foreign->program);
	close(foreign->map);
}

/* ---------------------------------------------------------------- what is there */

/* Programs at the pod's ingress, ours and others'. */
static uint32_t programs_at_ingress(void)
{
	uint32_t ids[16], count = ARRAY_SIZE(ids), flags;
	FILE *lines;
	int found = 0;

	if (kind == ATTACH_TCX) {
		assert_int_equal(bpf_prog_query((int)pod.ifindex, TCX_INGRESS, 0, &flags, ids, &count), 0);
		return count;
	}
	lines = popen("tc filter show dev host0 ingress | grep -c ' handle '", "r");
	assert_non_null(lines);
	assert_int_equal(fscanf(lines, "%d", &found), 1);
	pclose(lines);
	return (uint32_t)found;
}

/* ---------------------------------------------------------------- tests */

static void nothing_to_attach_before_tables(void **state)
{
	(void)state;
	assert_int_equal(datapath_attach(datapath, pod.ifindex), -EINVAL);
	assert_false(datapath_attached(datapath, pod.ifindex));
}

static void attached_programs_judge(void **state)
{
	struct egress_counter allowed, dropped[EGRESS_DROP_REASON_SLOTS];

	(void)state;
	tables_commit(datapath, EGRESS_SET_PENDING, 1);
	assert_true(pod_passes(&pod));
	check(datapath_attach(datapath, pod.ifindex));
	assert_true(datapath_attached(datapath, pod.ifindex));
	assert_true(interface_in_list(datapath, pod.ifindex));
	assert_true(pod_is_cut_off(&pod));
	check(datapath_counters(datapath, ENDPOINT_ID, &allowed, dropped));
	assert_int_equal(allowed.packets, 0);
	assert_int_equal(dropped[EGRESS_DROP_PENDING].packets, 5);
	/* Ethernet, IPv4, UDP and four bytes. */
	assert_int_equal(dropped[EGRESS_DROP_PENDING].bytes, 5 * (14 + 20 + 8 + 4));
	tables_commit(datapath, EGRESS_SET_OPEN, 2);
	assert_true(datapath_attached(datapath, pod.ifindex));
	assert_true(pod_passes(&pod));
	tables_commit(datapath, EGRESS_SET_PENDING, 3);
	assert_true(pod_is_cut_off(&pod));
	check(datapath_detach(datapath, pod.ifindex));
	assert_false(datapath_attached(datapath, pod.ifindex));
	assert_false(interface_in_list(datapath, pod.ifindex));
	assert_true(pod_passes(&pod));
}

static void attaching_again_replaces(void **state)
{
	(void)state;
	tables_commit(datapath, EGRESS_SET_OPEN, 1);
	check(datapath_attach(datapath, pod.ifindex));
	check(datapath_attach(datapath, pod.ifindex));
	assert_int_equal(programs_at_ingress(), 1);
	assert_true(pod_passes(&pod));
}

static void missing_interface_is_named(void **state)
{
	(void)state;
	tables_commit(datapath, EGRESS_SET_OPEN, 1);
	assert_int_equal(datapath_attach(datapath, 123456), -ENODEV);
	assert_non_null(strstr(datapath_error(), "123456"));
	assert_false(interface_in_list(datapath, 123456));
	check(datapath_detach(datapath, 123456));
}

static void foreign_programs_go_on(void **state)
{
	struct foreign before, after;

	(void)state;
	foreign_attach(&before, FOREIGN_FIRST, TCX_NEXT);
	tables_commit(datapath, EGRESS_SET_OPEN, 1);
	check(datapath_attach(datapath, pod.ifindex));
	foreign_attach(&after, FOREIGN_LAST, TCX_NEXT);
	assert_int_equal(programs_at_ingress(), 3);
	assert_true(pod_passes(&pod));
	assert_int_equal(foreign_count(&before), 1);
	assert_int_equal(foreign_count(&after), 1);
	tables_commit(datapath, EGRESS_SET_OPEN, 2);
	assert_true(pod_passes(&pod));
	assert_int_equal(foreign_count(&before), 2);
	assert_int_equal(foreign_count(&after), 2);
	/* What we drop, those behind us do not see. */
	tables_commit(datapath, EGRESS_SET_PENDING, 3);
	assert_true(pod_is_cut_off(&pod));
	assert_int_equal(foreign_count(&after), 2);
	check(datapath_detach(datapath, pod.ifindex));
	assert_int_equal(programs_at_ingress(), 2);
	assert_true(pod_passes(&pod));
	assert_int_equal(foreign_count(&after), 3);
	foreign_detach(&before);
	foreign_detach(&after);
}

/* The pod must not get around us because a program that was there first says "pass". */
static void foreign_pass_does_not_bypass(void **state)
{
	struct foreign foreign;

	(void)state;
	foreign_attach(&foreign, FOREIGN_LAST, TCX_PASS);
	tables_commit(datapath, EGRESS_SET_PENDING, 1);
	check(datapath_attach(datapath, pod.ifindex));
	assert_true(pod_is_cut_off(&pod));
	assert_int_equal(foreign_count(&foreign), 0);
	foreign_detach(&foreign);
}

static void place_of_another_is_not_taken(void **state)
{
	struct foreign foreign;

	(void)state;
	foreign_attach(&foreign, EGRESS_TC_PRIORITY, TCX_NEXT);
	tables_commit(datapath, EGRESS_SET_PENDING, 1);
	assert_int_equal(datapath_attach(datapath, pod.ifindex), -EBUSY);
	assert_true(pod_passes(&pod));
	assert_int_equal(foreign_count(&foreign), 1);
	assert_false(interface_in_list(datapath, pod.ifindex));
	foreign_detach(&foreign);
}

/* It has one chain for both directions: a filter of ours for what goes to the pod would see what the pod sends. */
static void ingress_qdisc_is_refused_by_its_name(void **state)
{
	(void)state;
	tables_commit(datapath, EGRESS_SET_PENDING, 1);
	command("tc qdisc add dev host0 ingress");
	assert_int_equal(datapath_attach(datapath, pod.ifindex), -EBUSY);
	assert_non_null(strstr(datapath_error(), "ingress qdisc"));
	assert_int_equal(datapath_attach_tracking(datapath, pod.ifindex), -EBUSY);
	assert_int_equal(datapath_hold(datapath, pod.ifindex), -EBUSY);
	assert_int_equal(programs_at_ingress(), 0);
	assert_false(interface_in_list(datapath, pod.ifindex));
	command("tc qdisc del dev host0 ingress");
	check(datapath_attach(datapath, pod.ifindex));
	assert_true(pod_is_cut_off(&pod));
}

static void filter_on_an_ingress_qdisc_is_found(void **state)
{
	LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = (int)pod.ifindex, .attach_point = BPF_TC_EGRESS);
	LIBBPF_OPTS(bpf_tc_opts, options, .handle = EGRESS_TC_HANDLE, .priority = EGRESS_TC_PRIORITY);
	_cleanup_fd_ int program = -1;

	(void)state;
	tables_commit(datapath, EGRESS_SET_OPEN, 1);
	command("tc qdisc add dev host0 ingress");
	/* What a version left that did not look at the qdisc. */
	program = bpf_obj_get(VERSIONED_DIRECTORY "/to_pod");
	assert_true(program >= 0);
	options.prog_fd = program;
	assert_int_equal(bpf_tc_attach(&hook, &options), 0);
	assert_int_equal(programs_at_ingress(), 1);
	assert_true(interface_in_list(datapath, pod.ifindex));
	check(datapath_detach(datapath, pod.ifindex));
	assert_int_equal(programs_at_ingress(), 0);
	assert_false(interface_in_list(datapath, pod.ifindex));
	assert_false(system("tc qdisc show dev host0 | grep -q ingress"));
}

static void qdisc_goes_only_if_ours_and_unused(void **state)
{
	struct foreign foreign;

	(void)state;
	tables_commit(datapath, EGRESS_SET_OPEN, 1);
	/* Ours. */
	check(datapath_attach(datapath, pod.ifindex));
	assert_true(has_qdisc());
	check(datapath_detach(datapath, pod.ifindex));
	assert_false(has_qdisc());
	/* Ours, then used by another. */
	check(datapath_attach(datapath, pod.ifindex));
	foreign_attach(&foreign, FOREIGN_LAST, TCX_NEXT);
	check(datapath_detach(datapath, pod.ifindex));
	assert_true(pod_passes(&pod));
	assert_int_equal(foreign_count(&foreign), 1);
	foreign_detach(&foreign);
	command("tc qdisc del dev host0 clsact");
	/* Another's, though empty. */
	command("tc qdisc add dev host0 clsact");
	check(datapath_attach(datapath, pod.ifindex));
	check(datapath_detach(datapath, pod.ifindex));
	assert_true(has_qdisc());
}

static void vanished_interface_leaves_nothing(void **state)
{
	size_t links, qdiscs;

	(void)state;
	tables_commit(datapath, EGRESS_SET_OPEN, 1);
	links = entries_in(VERSIONED_DIRECTORY "/links");
	qdiscs = entries_in(VERSIONED_DIRECTORY "/qdiscs");
	check(datapath_attach(datapath, pod.ifindex));
	command("ip link del host0");
	tables_commit(datapath, EGRESS_SET_OPEN, 2);
	assert_false(datapath_attached(datapath, pod.ifindex));
	assert_false(interface_in_list(datapath, pod.ifindex));
	check(datapath_detach(datapath, pod.ifindex));
	/* "." and ".." once the directory has been made. */
	assert_true(entries_in(VERSIONED_DIRECTORY "/links") <= links + 2);
	assert_true(entries_in(VERSIONED_DIRECTORY "/qdiscs") <= qdiscs + 2);
	/* The number comes again with another interface, while a dead pin may be left. */
	command("ip link add host0 index %u type veth peer name other0", pod.ifindex);
	assert_false(datapath_attached(datapath, pod.ifindex));
	check(datapath_attach(datapath, pod.ifindex));
	command("ip link del host0 && ip link add host0 index %u type veth peer name other0", pod.ifindex);
	assert_false(datapath_attached(datapath, pod.ifindex));
	check(datapath_attach(datapath, pod.ifindex));
	assert_true(datapath_attached(datapath, pod.ifindex));
}

static void other_kind_of_a_predecessor_is_replaced(void **state)
{
	(void)state;
	tables_commit(datapath, EGRESS_SET_OPEN, 1);
	check(datapath_attach(datapath, pod.ifindex));
	datapath_close(datapath);
	datapath = open_with(kind == ATTACH_TCX ? ATTACH_CLSACT : ATTACH_TCX);
	assert_true(interface_in_list(datapath, pod.ifindex));
	assert_false(datapath_attached(datapath, pod.ifindex));
	/* Still attached the old way, and yet in force with what is committed. */
	tables_commit(datapath, EGRESS_SET_PENDING, 2);
	assert_true(pod_is_cut_off(&pod));
	check(datapath_attach(datapath, pod.ifindex));
	assert_true(datapath_attached(datapath, pod.ifindex));
	assert_int_equal(has_qdisc(), kind == ATTACH_TCX);
	assert_int_equal(entries_in(VERSIONED_DIRECTORY "/links"), kind == ATTACH_TCX ? 2 : 4);
	assert_true(pod_is_cut_off(&pod));
}

static void successor_adopts(void **state)
{
	const uint32_t *memory;
	size_t words;

	(void)state;
	tables_commit(datapath, EGRESS_SET_PENDING, 41);
	check(datapath_attach(datapath, pod.ifindex));
	datapath_close(datapath);
	datapath = NULL;
	assert_true(pod_is_cut_off(&pod));
	datapath = open_with(kind);
	assert_true(datapath_attached(datapath, pod.ifindex));
	check(datapath_tables(datapath, &memory, &words));
	assert_true(words >= TABLE_WORDS);
	assert_int_equal(((const struct egress_control *)memory)->bank[0].generation, 41);
	assert_true(pod_is_cut_off(&pod));
	/* The adopted memory is the one that packets are judged by. */
	((uint32_t *)(uintptr_t)memory)[EGRESS_BLOCK_WORDS + ENDPOINT_ID] = EGRESS_SET_OPEN;
	assert_true(pod_passes(&pod));
	/* The adopted programs can be attached elsewhere. */
	check(datapath_detach(datapath, pod.ifindex));
	check(datapath_attach(datapath, pod.ifindex));
	assert_true(datapath_attached(datapath, pod.ifindex));
	tables_commit(datapath, EGRESS_SET_PENDING, 42);
	assert_true(pod_is_cut_off(&pod));
}

static void failed_commit_changes_nothing(void **state)
{
	const uint32_t *memory;
	uint32_t *made;
	size_t words, pins;

	(void)state;
	tables_commit(datapath, EGRESS_SET_PENDING, 1);
	check(datapath_attach(datapath, pod.ifindex));
	pins = entries_in(VERSIONED_DIRECTORY);
	/* The first hook is switched, the second fails. */
	check(datapath_new_tables(datapath, TABLE_WORDS, &made, &words));
	tables_fill(made, EGRESS_SET_OPEN, 2);
	replacements_until_failure = 1;
	assert_int_equal(datapath_commit_tables(datapath), -ENOMEM);
	assert_true(replacements_until_failure < 0);
	assert_non_null(strstr(datapath_error(), "egress_to_pod"));
	assert_true(datapath_attached(datapath, pod.ifindex));
	assert_true(pod_is_cut_off(&pod));
	check(datapath_tables(datapath, &memory, &words));
	assert_int_equal(((const struct egress_control *)memory)->bank[0].generation, 1);
	assert_int_equal(entries_in(VERSIONED_DIRECTORY), pins);
	/* What was made is still there for another try. */
	check(datapath_commit_tables(datapath));
	assert_true(pod_passes(&pod));
}

static uint64_t pending_drops(void)
{
	struct egress_counter allowed, reasons[EGRESS_DROP_REASON_SLOTS];

	check(datapath_counters(datapath, EGRESS_ENDPOINT_NONE, &allowed, reasons));
	return reasons[EGRESS_DROP_PENDING].packets;
}

static size_t held_count(void)
{
	uint32_t *held;
	size_t count;

	check(datapath_held_list(datapath, &held, &count));
	free(held);
	return count;
}

static void held_interface_sends_nothing_until_its_pod_is_named(void **state)
{
	struct egress_endpoint endpoint = endpoint_of(&pod), *list;
	uint64_t before;
	size_t count;

	(void)state;
	check(datapath_endpoint_remove(datapath, pod.ifindex));
	assert_false(datapath_has_programs(datapath));
	tables_commit(datapath, EGRESS_SET_OPEN, 1);
	assert_true(datapath_has_programs(datapath));
	assert_true(pod_passes(&pod));
	check(datapath_hold(datapath, pod.ifindex));
	assert_true(datapath_attached(datapath, pod.ifindex));
	before = pending_drops();
	assert_true(pod_is_cut_off(&pod));
	assert_int_equal(pending_drops() - before, 5);
	assert_int_equal(held_count(), 1);
	check(datapath_endpoint_list(datapath, &list, &count));
	free(list);
	assert_int_equal(count, 0);
	check(datapath_endpoint_put(datapath, &endpoint));
	assert_int_equal(held_count(), 0);
	assert_true(pod_passes(&pod));
	/* And the way back. */
	check(datapath_hold(datapath, pod.ifindex));
	assert_true(pod_is_cut_off(&pod));
	check(datapath_endpoint_put(datapath, &endpoint));
	assert_true(pod_passes(&pod));
	check(datapath_hold(datapath, pod.ifindex));
	check(datapath_detach(datapath, pod.ifindex));
	check(datapath_endpoint_remove(datapath, pod.ifindex));
	assert_int_equal(held_count(), 0);
	assert_true(pod_passes(&pod));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		test_of_both(nothing_to_attach_before_tables),
		test_of_both(attached_programs_judge),
		test_of_both(attaching_again_replaces),
		test_of_both(missing_interface_is_named),
		test_of_both(foreign_programs_go_on),
		test_of_both(foreign_pass_does_not_bypass),
		clsact_test(place_of_another_is_not_taken),
		clsact_test(ingress_qdisc_is_refused_by_its_name),
		clsact_test(filter_on_an_ingress_qdisc_is_found),
		clsact_test(qdisc_goes_only_if_ours_and_unused),
		test_of_both(vanished_interface_leaves_nothing),
		test_of_both(other_kind_of_a_predecessor_is_replaced),
		test_of_both(successor_adopts),
		test_of_both(failed_commit_changes_nothing),
		test_of_both(held_interface_sends_nothing_until_its_pod_is_named),
	};

	return cmocka_run_group_tests_name("attach", tests, enter, NULL);
}
