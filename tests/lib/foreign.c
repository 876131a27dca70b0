/* SPDX-License-Identifier: Apache-2.0 */
/*
 * foreign INTERFACE [PRIORITY [BYTES]]: attaches a program of somebody else's to an interface, where it sees what comes
 * in and hands it on: at TCX behind whatever is there, or with a priority as a filter of a clsact qdisc (made if it is
 * missing; the filter stays). Prints "ready"; on every line that it then reads it prints how many packets the program
 * has seen; with BYTES, only those of which so many are there but not in the linear part, where a program finds them
 * without help. It ends with its input. Exit status 77: this kernel has no TCX.
 */
#include <errno.h>
#include <linux/bpf.h>
#include <net/if.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "base/cleanup.h"

#define EXIT_NO_TCX 77
/* enum bpf_attach_type since Linux 6.6; the headers of older systems lack it. */
#define TCX_INGRESS 46
#define TCX_NEXT (-1)

/*
 * if (skb->len < bytes || data + bytes <= data_end) return TCX_NEXT; without the latter where bytes is 0
 * value = lookup(map, 0); if (value) atomic_add(value, 1); return TCX_NEXT;
 */
static int load_counter(int map, int bytes)
{
	const struct bpf_insn program[] = {
		{.code = BPF_LDX | BPF_MEM | BPF_W, .dst_reg = 4, .src_reg = 1, .off = offsetof(struct __sk_buff, len)},
		{.code = BPF_LDX | BPF_MEM | BPF_W, .dst_reg = 2, .src_reg = 1, .off = offsetof(struct __sk_buff, data)},
		{.code = BPF_LDX | BPF_MEM | BPF_W, .dst_reg = 3, .src_reg = 1,
		 .off = offsetof(struct __sk_buff, data_end)},
		{.code = BPF_JMP | BPF_JLT | BPF_K, .dst_reg = 4, .off = bytes ? 11 : 0, .imm = bytes},
		{.code = BPF_ALU64 | BPF_ADD | BPF_K, .dst_reg = 2, .imm = bytes},
		{.code = BPF_JMP | BPF_JLE | BPF_X, .dst_reg = 2, .src_reg = 3, .off = bytes ? 9 : 0},
		{.code = BPF_LD | BPF_DW | BPF_IMM, .dst_reg = 1, .src_reg = BPF_PSEUDO_MAP_FD, .imm = map},
		{0},
		{.code = BPF_ST | BPF_MEM | BPF_W, .dst_reg = 10, .off = -4, .imm = 0},
		{.code = BPF_ALU64 | BPF_MOV | BPF_X, .dst_reg = 2, .src_reg = 10},
		{.code = BPF_ALU64 | BPF_ADD | BPF_K, .dst_reg = 2, .imm = -4},
		{.code = BPF_JMP | BPF_CALL, .imm = BPF_FUNC_map_lookup_elem},
		{.code = BPF_JMP | BPF_JEQ | BPF_K, .dst_reg = 0, .off = 2, .imm = 0},
		{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 1, .imm = 1},
		{.code = BPF_STX | BPF_ATOMIC | BPF_DW, .dst_reg = 0, .src_reg = 1, .imm = BPF_ADD},
		{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 0, .imm = TCX_NEXT},
		{.code = BPF_JMP | BPF_EXIT},
	};

	return bpf_prog_load(BPF_PROG_TYPE_SCHED_CLS, "foreign", "Apache-2.0", program, ARRAY_SIZE(program), NULL);
}

/* Negative errno. */
static int attach_filter(int program, int ifindex, uint32_t priority)
{
	DECLARE_LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = ifindex, .attach_point = BPF_TC_INGRESS);
	DECLARE_LIBBPF_OPTS(bpf_tc_opts, options, .prog_fd = program, .priority = priority);
	int error = bpf_tc_hook_create(&hook);

	return error && error != -EEXIST ? error : bpf_tc_attach(&hook, &options);
}

/* The packets seen, once for each line of input. */
static int answer(int map)
{
	const uint32_t key = 0;
	uint64_t seen;
	char line[16];

	while (fgets(line, sizeof(line), stdin)) {
		if (bpf_map_lookup_elem(map, &key, &seen))
			return 1;
		printf("%llu\n", (unsigned long long)seen);
		fflush(stdout);
	}
	return 0;
}

int main(int argc, char **argv)
{
	_cleanup_fd_ int map = -1, program = -1, link = -1;
	int ifindex, error;

	ifindex = argc >= 2 && argc <= 4 ? (int)if_nametoindex(argv[1]) : 0;
	if (!ifindex) {
		fprintf(stderr, "usage: foreign INTERFACE [PRIORITY [BYTES]]\n");
		return 2;
	}
	map = bpf_map_create(BPF_MAP_TYPE_ARRAY, "foreign", sizeof(uint32_t), sizeof(uint64_t), 1, NULL);
	program = map < 0 ? -1 : load_counter(map, argc == 4 ? atoi(argv[3]) : 0);
	if (program < 0) {
		fprintf(stderr, "foreign: cannot load: %s\n", strerror(errno));
		return 1;
	}
	if (argc >= 3) {
		error = attach_filter(program, ifindex, (uint32_t)strtoul(argv[2], NULL, 10));
	} else {
		link = bpf_link_create(program, ifindex, TCX_INGRESS, NULL);
		error = link < 0 ? -errno : 0;
	}
	if (error) {
		fprintf(stderr, "foreign: cannot attach: %s\n", strerror(-error));
		return argc == 2 && error == -EINVAL ? EXIT_NO_TCX : 1;
	}
	printf("ready\n");
	fflush(stdout);
	return answer(map);
}
