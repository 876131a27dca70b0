/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ground for the tests of the datapath: namespaces and a bpffs of the test's own, a pod behind a veth, packets that it
 * sends, tables with one verdict for everybody. Everything ends with the process.
 */
#ifndef EGRESSD_TESTS_BPF_ATTACH_H
#define EGRESSD_TESTS_BPF_ATTACH_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include <egressd/tables.h>

#include "datapath/datapath.h"
#include "datapath/interface.h"

#define PORT                9000
#define ENDPOINT_ID         7
#define TEXT_OF(x)          #x
#define TEXT_OF_VALUE(x)    TEXT_OF(x)
#define VERSIONED_DIRECTORY EGRESS_PIN_PARENT "/v" TEXT_OF_VALUE(EGRESS_CONTRACT_VERSION)

/* A datapath call that must succeed: the failure shows its sentence. */
#define check(call)                                                                    \
	do {                                                                           \
		int check_status = (call);                                             \
                                                                                       \
		if (check_status)                                                      \
			fail_msg("%s: %d, %s", #call, check_status, datapath_error()); \
	} while (0)

static inline void command(const char *format, ...) __attribute__((format(printf, 1, 2)));
static inline void command(const char *format, ...)
{
	char line[512];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(line, sizeof(line), format, arguments);
	va_end(arguments);
	if (system(line))
		fail_msg("failed: %s", line);
}

static inline int enter_namespaces(void)
{
	if (unshare(CLONE_NEWNET | CLONE_NEWNS))
		return -errno;
	/* In a chroot the root is no mount point, and /sys is enough. */
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) && mount(NULL, "/sys", NULL, MS_REC | MS_PRIVATE, NULL))
		return -errno;
	if (mount("bpf", "/sys/fs/bpf", "bpf", 0, "mode=0700"))
		return -errno;
	return system("ip link set lo up") ? -EIO : 0;
}

/* A process that keeps a network namespace alive until it is killed, or the test dies. */
static inline pid_t namespace_start(void)
{
	int ready[2];
	pid_t child;
	char byte;

	assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
	child = fork();
	assert_true(child >= 0);
	if (!child) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (unshare(CLONE_NEWNET) || write(ready[1], "", 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	close(ready[1]);
	assert_int_equal(read(ready[0], &byte, 1), 1);
	close(ready[0]);
	return child;
}

static inline void namespace_stop(pid_t process)
{
	kill(process, SIGKILL);
	waitpid(process, NULL, 0);
}

/* A UDP socket made in the network namespace of a process. */
static inline int socket_in(pid_t process)
{
	char path[64];
	int here, there, made;

	here = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	snprintf(path, sizeof(path), "/proc/%d/ns/net", process);
	there = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(here >= 0 && there >= 0);
	assert_int_equal(setns(there, CLONE_NEWNET), 0);
	made = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	assert_int_equal(setns(here, CLONE_NEWNET), 0);
	close(there);
	close(here);
	assert_true(made >= 0);
	return made;
}

struct pod {
	pid_t process;
	uint32_t ifindex; /* the host's side */
	int sender;       /* UDP socket in the pod, connected to the host's */
	int receiver;     /* UDP socket here */
};

/*
 * 192.0.2.1 here, on the interface "host0"; 192.0.2.2 in the pod. Neighbours are fixed: only the test's packets flow.
 */
static inline void pod_start(struct pod *pod)
{
	struct sockaddr_in host = {.sin_family = AF_INET, .sin_port = htons(PORT)};
	struct timeval patience = {.tv_sec = 2};

	inet_pton(AF_INET, "192.0.2.1", &host.sin_addr);
	pod->process = namespace_start();
	command("ip link add host0 address 02:00:00:00:00:01 type veth "
		"peer name eth0 address 02:00:00:00:00:02 netns %d",
		pod->process);
	command("ip addr add 192.0.2.1/24 dev host0 && ip link set host0 up && "
		"ip neigh add 192.0.2.2 lladdr 02:00:00:00:00:02 nud permanent dev host0");
	command("nsenter -t %d -n sh -c 'echo 1 >/proc/sys/net/ipv6/conf/all/disable_ipv6; "
		"ip addr add 192.0.2.2/24 dev eth0 && "
		"ip link set eth0 up && ip neigh add 192.0.2.1 lladdr 02:00:00:00:00:01 nud permanent dev eth0'",
		pod->process);
	pod->ifindex = if_nametoindex("host0");
	pod->sender = socket_in(pod->process);
	assert_int_equal(connect(pod->sender, (struct sockaddr *)&host, sizeof(host)), 0);
	pod->receiver = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(pod->receiver, (struct sockaddr *)&host, sizeof(host)), 0);
	assert_int_equal(setsockopt(pod->receiver, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)), 0);
}

static inline void pod_stop(struct pod *pod)
{
	close(pod->sender);
	close(pod->receiver);
	if (if_nametoindex("host0"))
		command("ip link del host0");
	namespace_stop(pod->process);
}

static inline void pod_send(const struct pod *pod, uint32_t number)
{
	/* Packets are handed over at once on a veth; ENOBUFS and the like would be a broken test, not a verdict. */
	assert_int_equal(send(pod->sender, &number, sizeof(number), 0), sizeof(number));
}

/* Whether that packet arrives; waits for it. */
static inline bool pod_arrives(const struct pod *pod, uint32_t number)
{
	uint32_t received;

	while (recv(pod->receiver, &received, sizeof(received), 0) == sizeof(received))
		if (received == number)
			return true;
	return false;
}

/* How many packets wait to be received, after time enough for those under way. */
static inline size_t pod_arrived(const struct pod *pod)
{
	uint32_t received;
	size_t count = 0;

	usleep(20000);
	while (recv(pod->receiver, &received, sizeof(received), MSG_DONTWAIT) == sizeof(received))
		count++;
	return count;
}

static inline bool pod_passes(const struct pod *pod)
{
	static uint32_t number = 1u << 31;

	pod_send(pod, ++number);
	return pod_arrives(pod, number);
}

static inline bool pod_is_cut_off(const struct pod *pod)
{
	for (uint32_t i = 0; i < 5; i++)
		pod_send(pod, i);
	return pod_arrived(pod) == 0;
}

/* ---------------------------------------------------------------- tables */

#define TABLE_WORDS (EGRESS_BLOCK_WORDS + EGRESS_ENDPOINT_MAX)

/* Every endpoint has this set word: EGRESS_SET_OPEN or EGRESS_SET_PENDING. */
static inline void tables_fill(uint32_t *memory, uint32_t set, uint32_t generation)
{
	struct egress_control *control = (struct egress_control *)memory;

	for (uint32_t id = 0; id < EGRESS_ENDPOINT_MAX; id++)
		memory[EGRESS_BLOCK_WORDS + id] = set;
	control->magic = EGRESS_TABLES_MAGIC;
	control->hz = 250;
	control->bank[0].generation = generation;
	control->bank[0].sets = EGRESS_BLOCK_WORDS;
}

static inline void tables_commit(struct datapath *datapath, uint32_t set, uint32_t generation)
{
	uint32_t *memory;
	size_t words;

	check(datapath_new_tables(datapath, TABLE_WORDS, &memory, &words));
	assert_true(words >= TABLE_WORDS);
	tables_fill(memory, set, generation);
	check(datapath_commit_tables(datapath));
}

static inline struct egress_endpoint endpoint_of(const struct pod *pod)
{
	struct egress_endpoint endpoint = {.ifindex = pod->ifindex, .id = ENDPOINT_ID};

	inet_pton(AF_INET, "192.0.2.2", &endpoint.ipv4);
	return endpoint;
}

static inline struct datapath *open_with(enum attach_kind kind)
{
	const struct datapath_options options = {.attach = kind};
	struct datapath *datapath;

	check(datapath_open(&options, &datapath));
	return datapath;
}

/* ---------------------------------------------------------------- leaks */

static inline size_t entries_in(const char *path)
{
	DIR *directory = opendir(path);
	size_t count = 0;

	if (!directory)
		return 0;
	while (readdir(directory))
		count++;
	closedir(directory);
	return count;
}

static inline bool interface_in_list(struct datapath *datapath, uint32_t ifindex)
{
	uint32_t *list;
	bool found = false;
	size_t count;

	check(datapath_attached_list(datapath, &list, &count));
	for (size_t i = 0; i < count; i++)
		found = found || list[i] == ifindex;
	free(list);
	return found;
}

#endif
