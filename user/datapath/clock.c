/* SPDX-License-Identifier: Apache-2.0 */
/* The kernel's jiffies, read by a program of our own that runs on request, and how many of them make a second. */
#include <errno.h>
#include <linux/bpf.h>
#include <stddef.h>
#include <string.h>
#include <time.h>

#include "base/cleanup.h"
#include "datapath/internal.h"

#define NANOSECONDS 1000000000ull

static uint64_t monotonic_time(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * NANOSECONDS + (uint64_t)now.tv_nsec;
}

/*
 * jiffies64 into cb[0] (low) and cb[1] (high) of the context, which a test run hands back. Instructions by hand, so
 * that it loads without any of the maps.
 */
int clock_program_load(void)
{
	const struct bpf_insn instructions[] = {
		/* r6 = context */
		{.code = BPF_ALU64 | BPF_MOV | BPF_X, .dst_reg = BPF_REG_6, .src_reg = BPF_REG_1},
		/* r0 = jiffies64() */
		{.code = BPF_JMP | BPF_CALL, .imm = BPF_FUNC_jiffies64},
		/* cb[0] = r0 */
		{.code = BPF_STX | BPF_MEM | BPF_W,
		 .dst_reg = BPF_REG_6,
		 .src_reg = BPF_REG_0,
		 .off = offsetof(struct __sk_buff, cb[0])},
		/* r0 >>= 32 */
		{.code = BPF_ALU64 | BPF_RSH | BPF_K, .dst_reg = BPF_REG_0, .imm = 32},
		/* cb[1] = r0 */
		{.code = BPF_STX | BPF_MEM | BPF_W,
		 .dst_reg = BPF_REG_6,
		 .src_reg = BPF_REG_0,
		 .off = offsetof(struct __sk_buff, cb[1])},
		/* return 0 */
		{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0},
		{.code = BPF_JMP | BPF_EXIT},
	};
	int fd;

	fd = bpf_prog_load(BPF_PROG_TYPE_SCHED_CLS, "egress_clock", "Apache-2.0", instructions,
			   ARRAY_SIZE(instructions), NULL);
	return fd < 0 ? -errno : fd;
}

int datapath_jiffies(struct datapath *datapath, uint64_t *now)
{
	/* Larger than any kernel's struct __sk_buff: it refuses to cut one short. */
	union {
		struct __sk_buff skb;
		char room[1024];
	} context = {};
	char packet[64] = {};
	LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = packet, .data_size_in = sizeof(packet), .ctx_out = &context,
		    .ctx_size_out = sizeof(context));
	int fd;

	if (datapath->clock < 0) {
		fd = clock_program_load();
		if (fd < 0)
			return fail_errno(fd, "cannot load the program that reads the kernel's clock");
		datapath->clock = fd;
	}
	if (bpf_prog_test_run_opts(datapath->clock, &options))
		return fail_errno(-errno, "cannot run the program that reads the kernel's clock");
	*now = (uint64_t)context.skb.cb[1] << 32 | context.skb.cb[0];
	return 0;
}

/* A point in both times: the jiffies went on to this value no longer than TICK_WINDOW before this time. */
struct tick {
	uint64_t jiffies, time;
};
#define TICK_WINDOW   300000ull /* nanoseconds */
#define TICK_ATTEMPTS 200

/* Waits for the jiffies to go on; *window is the time between the last look before that and the first one after. */
static int await_tick(struct datapath *datapath, struct tick *out, uint64_t *window)
{
	uint64_t first, now, before, after = monotonic_time();
	int error;

	error = datapath_jiffies(datapath, &first);
	do {
		before = after;
		if (!error)
			error = datapath_jiffies(datapath, &now);
		after = monotonic_time();
	} while (!error && now == first);
	if (error)
		return error;
	*out = (struct tick){now, after};
	*window = after - before;
	return 0;
}

/* On a busy machine this process may sleep through a tick: then the time of the next one is taken. */
static int next_tick(struct datapath *datapath, struct tick *out)
{
	uint64_t window = UINT64_MAX;

	for (int i = 0; i < TICK_ATTEMPTS && window > TICK_WINDOW; i++) {
		int error = await_tick(datapath, out, &window);

		if (error)
			return error;
	}
	return 0;
}

/* Jiffies a second over about the given time, rounded. */
static int measure(struct datapath *datapath, unsigned int milliseconds, uint32_t *hz)
{
	struct timespec pause = {.tv_nsec = (long)milliseconds * 1000000};
	struct tick begin, end;
	uint64_t elapsed;
	int error;

	error = next_tick(datapath, &begin);
	if (error)
		return error;
	nanosleep(&pause, NULL);
	error = next_tick(datapath, &end);
	if (error)
		return error;
	elapsed = end.time - begin.time;
	*hz = (uint32_t)(((end.jiffies - begin.jiffies) * NANOSECONDS + elapsed / 2) / elapsed);
	return 0;
}

/* The value that a kernel can be configured for and that is within 5 % of what was measured; 0: none. */
static uint32_t configured_hz(uint32_t measured)
{
	static const uint32_t values[] = {100, 250, 300, 1000};

	for (size_t i = 0; i < ARRAY_SIZE(values); i++)
		if (measured >= values[i] - values[i] / 20 && measured <= values[i] + values[i] / 20)
			return values[i];
	return 0;
}

int datapath_hz(struct datapath *datapath, uint32_t *hz)
{
	uint32_t measured = 0, last = 0;

	/*
	 * The jiffies of a virtual machine that was not run for a while lag behind and then leap. So two measurements
	 * in a row must agree; longer ones are surer.
	 */
	for (unsigned int milliseconds = 40; !datapath->hz && milliseconds <= 640; milliseconds += milliseconds / 2) {
		uint32_t now;
		int error = measure(datapath, milliseconds, &measured);

		if (error)
			return error;
		now = configured_hz(measured);
		if (now == last)
			datapath->hz = now;
		last = now;
	}
	/* A patched kernel may tick at another rate; the longest measurement is within a percent of it. */
	if (!datapath->hz)
		datapath->hz = measured;
	if (!datapath->hz)
		return fail(-EIO, "the kernel's clock does not tick");
	*hz = datapath->hz;
	return 0;
}
