/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sees when a change is in force: `watch PROGRAM INTERFACE SOURCE`. PROGRAM is the pin of the program from the pod. For
 * every line "ADDRESS PORT pass|drop" on standard input it answers "watching", judges TCP packets from SOURCE to there,
 * as if they came in at the interface, until the verdict is that, and then writes when that was: CLOCK_MONOTONIC in
 * nanoseconds. A pin that is replaced meanwhile is followed.
 *
 * It looks the more rarely the longer it has waited, so that it takes little from a change that takes long: what looks
 * every 20 us keeps the scheduler from giving its processor to a thread of the agent's.
 */
#include <net/if.h>
#include <time.h>

#include <bpf/bpf.h>

#include "base/cleanup.h"
#include "result.h"

#include "../bpf/frame.h"

#define TIMEOUT_SECONDS 60

/* Until it looks again: what it writes is late by a 256th at most, or by 20 us. */
static void wait_some(double waited_seconds)
{
	const double nanoseconds = waited_seconds / 256 * 1e9;
	const struct timespec pause = {.tv_nsec = nanoseconds > 20000 ? (long)nanoseconds : 20000};

	nanosleep(&pause, NULL);
}

static bool passes(const char *pin, unsigned int ifindex, const struct frame *frame)
{
	struct __sk_buff context = {.ifindex = ifindex, .ingress_ifindex = ifindex};
	LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = frame->bytes, .data_size_in = frame->length, .repeat = 1,
		    .ctx_in = &context, .ctx_size_in = sizeof(context));
	_cleanup_fd_ int fd = bpf_obj_get(pin);

	bench_check(fd >= 0, "%s: %s", pin, strerror(errno));
	bench_check(!bpf_prog_test_run_opts(fd, &options), "run: %s", strerror(errno));
	return options.retval == (uint32_t)-1; /* TC_ACT_UNSPEC */
}

int main(int argc, char **argv)
{
	char line[128], address[64], verdict[8];
	unsigned int ifindex, port;

	bench_check(argc == 4, "usage: watch PROGRAM INTERFACE SOURCE");
	ifindex = if_nametoindex(argv[2]);
	bench_check(ifindex != 0, "%s: %s", argv[2], strerror(errno));
	bench_insist();
	while (fgets(line, sizeof(line), stdin)) {
		struct frame frame;
		double begin = clock_seconds(CLOCK_MONOTONIC);
		struct timespec now;

		bench_check(sscanf(line, "%63s %u %7s", address, &port, verdict) == 3, "what is that: %s", line);
		frame = tcp(argv[3], 40000, address, (uint16_t)port, TCP_ACK);
		printf("watching\n");
		fflush(stdout);
		while (passes(argv[1], ifindex, &frame) != !strcmp(verdict, "pass")) {
			double waited = clock_seconds(CLOCK_MONOTONIC) - begin;

			bench_check(waited < TIMEOUT_SECONDS, "no %s of %s in %d s", verdict, address,
				    TIMEOUT_SECONDS);
			wait_some(waited);
		}
		clock_gettime(CLOCK_MONOTONIC, &now);
		printf("%lld\n", (long long)now.tv_sec * 1000000000 + now.tv_nsec);
		fflush(stdout);
	}
	return 0;
}
