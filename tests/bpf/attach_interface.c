/* SPDX-License-Identifier: Apache-2.0 */
/* Interfaces found by namespace, their addresses, and the watch over them, in namespaces of the test's own. */
#include "attach.h"

#include <dlfcn.h>
#include <linux/netlink.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>

#include "../lib/short_memory.h"
#include "base/cleanup.h"
#include "datapath/links.h"
#include "datapath/netlink.h"

/* ---------------------------------------------------------------- a kernel that is slow to take a request or to answer, on order */

static time_t seconds_to_send, seconds_to_receive, seconds_gone;

/* These stand before those of the libraries. */
int clock_gettime(clockid_t clock, struct timespec *now)
{
	int status = (int)syscall(SYS_clock_gettime, clock, now);

	now->tv_sec += seconds_gone;
	return status;
}

ssize_t mnl_socket_sendto(const struct mnl_socket *socket, const void *request, size_t length)
{
	ssize_t (*real)(const struct mnl_socket *, const void *, size_t);

	*(void **)&real = dlsym(RTLD_NEXT, "mnl_socket_sendto");
	seconds_gone += seconds_to_send;
	return real(socket, request, length);
}

ssize_t recvfrom(int fd, void *buffer, size_t size, int flags, struct sockaddr *from, socklen_t *from_size)
{
	seconds_gone += seconds_to_receive;
	return syscall(SYS_recvfrom, fd, buffer, size, flags, from, from_size);
}

/* ---------------------------------------------------------------- ground */

static pid_t process;
static char path[64];

static int set_up(void **state)
{
	(void)state;
	process = namespace_start();
	snprintf(path, sizeof(path), "/proc/%d/ns/net", process);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	namespace_stop(process);
	/* The veths of a namespace go with it, but not at once. */
	(void)!system("for link in host0 host1; do ip link del $link 2>/dev/null; done");
	return 0;
}

static void add_veth(const char *name, const char *inside)
{
	command("ip link add %s type veth peer name %s address 02:00:00:00:00:0a netns %d", name, inside, process);
}

static void name_finds_interface(void **state)
{
	uint32_t ifindex = 77;

	(void)state;
	check(interface_by_name("lo", &ifindex));
	assert_int_equal(ifindex, if_nametoindex("lo"));
	ifindex = 77;
	assert_int_equal(interface_by_name("absent", &ifindex), -ENODEV);
	assert_int_equal(ifindex, 77);
	assert_non_null(strstr(datapath_error(), "absent"));
}

static void namespace_leads_to_host_side(void **state)
{
	static const uint8_t expected[6] = {0x02, 0, 0, 0, 0, 0x0a};
	char name[IF_NAMESIZE];
	uint32_t ifindex = 0;
	uint8_t mac[6];
	struct stat before, after;

	(void)state;
	add_veth("host0", "eth0");
	assert_int_equal(stat("/proc/thread-self/ns/net", &before), 0);
	check(interface_of_netns(path, NULL, &ifindex, name, mac));
	assert_int_equal(ifindex, if_nametoindex("host0"));
	assert_string_equal(name, "host0");
	assert_memory_equal(mac, expected, sizeof(mac));
	check(interface_of_netns(path, NULL, &ifindex, NULL, NULL));
	/* The caller stays where it was. */
	assert_int_equal(stat("/proc/thread-self/ns/net", &after), 0);
	assert_int_equal(before.st_ino, after.st_ino);
}

/* The same number on both sides: the kernel then needs the namespace to tell that they are two. */
static void equal_numbers_are_told_apart(void **state)
{
	uint32_t ifindex = 0;

	(void)state;
	command("ip link add host0 index 4242 type veth peer name eth0 index 4242 netns %d", process);
	check(interface_of_netns(path, NULL, &ifindex, NULL, NULL));
	assert_int_equal(ifindex, 4242);
}

/* What anybody but the kernel sends to a socket that waits for an answer: here, that there is none. */
static void send_forged_end(uint32_t port)
{
	struct {
		struct nlmsghdr header;
		int error;
	} message = {.header = {.nlmsg_len = sizeof(message), .nlmsg_type = NLMSG_DONE, .nlmsg_flags = NLM_F_MULTI}};
	struct sockaddr_nl to = {.nl_family = AF_NETLINK, .nl_pid = port};
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);

	assert_true(fd >= 0);
	assert_int_equal(sendto(fd, &message, sizeof(message), 0, (struct sockaddr *)&to, sizeof(to)), sizeof(message));
	close(fd);
}

static void only_the_kernel_is_listened_to(void **state)
{
	_cleanup_(links_clear) struct link_list list = {0};
	_cleanup_netlink_ struct mnl_socket *socket = NULL;

	(void)state;
	assert_int_equal(netlink_open(NETLINK_ROUTE, 0, &socket), 0);
	send_forged_end(mnl_socket_get_portid(socket));
	assert_int_equal(links_list(socket, 0, &list), 0);
	assert_true(list.count >= 1); /* lo at least */
}

static int list_links_slowly(time_t to_send, time_t to_receive)
{
	_cleanup_(links_clear) struct link_list list = {0};
	_cleanup_netlink_ struct mnl_socket *socket = NULL;
	int error;

	assert_int_equal(netlink_open(NETLINK_ROUTE, 0, &socket), 0);
	seconds_to_send = to_send;
	seconds_to_receive = to_receive;
	error = links_list(socket, 0, &list);
	seconds_to_send = seconds_to_receive = 0;
	return error;
}

/* Others may hold what the kernel needs to answer for longer than the answer may take. */
static void the_time_limit_is_the_answers(void **state)
{
	(void)state;
	assert_int_equal(list_links_slowly(NETLINK_ANSWER_SECONDS + 1, 0), 0);
	/* Before it gives us one part of an answer, the kernel makes the next. */
	assert_int_equal(list_links_slowly(0, NETLINK_ANSWER_SECONDS + 1), 0);
}

static void nothing_leads_here(void **state)
{
	pid_t third = namespace_start();
	uint32_t ifindex = 77;

	(void)state;
	assert_int_equal(interface_of_netns(path, NULL, &ifindex, NULL, NULL), -ENODEV);
	/* A pair inside, and a pair to somebody else. */
	command("nsenter -t %d -n ip link add name veth-a type veth peer name veth-b", process);
	assert_int_equal(interface_of_netns(path, NULL, &ifindex, NULL, NULL), -ENODEV);
	command("nsenter -t %d -n ip link add name veth-c type veth peer name veth-d netns %d", process, third);
	assert_int_equal(interface_of_netns(path, NULL, &ifindex, NULL, NULL), -ENODEV);
	assert_int_equal(ifindex, 77);
	/* With one that does lead here, the others do not confuse. */
	add_veth("host0", "eth0");
	check(interface_of_netns(path, NULL, &ifindex, NULL, NULL));
	assert_int_equal(ifindex, if_nametoindex("host0"));
	namespace_stop(third);
}

static void two_are_too_many(void **state)
{
	uint32_t ifindex = 77;

	(void)state;
	add_veth("host0", "eth0");
	add_veth("host1", "eth1");
	assert_int_equal(interface_of_netns(path, NULL, &ifindex, NULL, NULL), -E2BIG);
	assert_int_equal(ifindex, 77);
}

static void wrong_paths_are_named(void **state)
{
	uint32_t ifindex;

	(void)state;
	assert_int_equal(interface_of_netns("/proc/self/ns/absent", NULL, &ifindex, NULL, NULL), -ENOENT);
	assert_non_null(strstr(datapath_error(), "/proc/self/ns/absent"));
	assert_int_equal(interface_of_netns("/dev/null", NULL, &ifindex, NULL, NULL), -EINVAL);
	assert_int_equal(interface_of_netns("/proc/self/ns/mnt", NULL, &ifindex, NULL, NULL), -EINVAL);
	assert_int_equal(interface_of_netns("/proc", NULL, &ifindex, NULL, NULL), -EINVAL);
}

static bool has_address(const struct interface_address *list, size_t count, const char *text)
{
	struct interface_address wanted = {.family = strchr(text, ':') ? 6 : 4};

	assert_int_equal(inet_pton(wanted.family == 4 ? AF_INET : AF_INET6, text, wanted.bytes), 1);
	for (size_t i = 0; i < count; i++)
		if (!memcmp(&list[i], &wanted, sizeof(wanted)))
			return true;
	return false;
}

static void addresses_are_our_own(void **state)
{
	struct interface_address *list;
	size_t count;

	(void)state;
	add_veth("host0", "eth0");
	command("ip addr add 192.0.2.7 peer 192.0.2.8/32 dev host0 && ip addr add 2001:db8::7/64 dev host0");
	check(interface_addresses(&list, &count));
	assert_true(has_address(list, count, "127.0.0.1"));
	assert_true(has_address(list, count, "::1"));
	assert_true(has_address(list, count, "192.0.2.7"));
	assert_true(has_address(list, count, "2001:db8::7"));
	assert_false(has_address(list, count, "192.0.2.8"));
	free(list);
}

/* ---------------------------------------------------------------- the watch */

struct seen {
	size_t appeared, vanished, addresses, moved;
	uint32_t ifindex;
	char name[IF_NAMESIZE];
};

static void see(enum interface_event event, uint32_t ifindex, const char *name, void *data)
{
	struct seen *seen = data;

	seen->appeared += event == INTERFACE_APPEARED;
	seen->vanished += event == INTERFACE_VANISHED;
	seen->addresses += event == INTERFACE_ADDRESS_CHANGED;
	seen->moved += event == INTERFACE_PEER_MOVED;
	seen->ifindex = ifindex;
	snprintf(seen->name, sizeof(seen->name), "%s", name);
}

static struct seen dispatch(struct interface_watch *watch)
{
	struct seen seen = {};

	check(interface_watch_dispatch(watch, see, &seen));
	return seen;
}

static void watch_tells_what_changes(void **state)
{
	struct interface_watch *watch;
	struct seen seen;
	uint32_t ifindex;

	(void)state;
	check(interface_watch_new(&watch));
	seen = dispatch(watch);
	assert_int_equal(seen.appeared + seen.vanished, 0);
	add_veth("host0", "eth0");
	ifindex = if_nametoindex("host0");
	seen = dispatch(watch);
	/* Once, however many notices about it there were. */
	assert_int_equal(seen.appeared, 1);
	assert_int_equal(seen.ifindex, ifindex);
	assert_string_equal(seen.name, "host0");
	command("ip link set host0 mtu 1400");
	seen = dispatch(watch);
	assert_int_equal(seen.appeared + seen.vanished, 0);
	command("ip addr add 192.0.2.7/32 dev host0");
	seen = dispatch(watch);
	assert_int_equal(seen.addresses, 1);
	assert_int_equal(seen.ifindex, ifindex);
	command("ip link set host0 down && ip link set host0 name host1");
	seen = dispatch(watch);
	assert_int_equal(seen.appeared, 1);
	assert_int_equal(seen.vanished, 0);
	assert_string_equal(seen.name, "host1");
	command("ip link del host1");
	seen = dispatch(watch);
	assert_int_equal(seen.vanished, 1);
	interface_watch_free(watch);
}

static int32_t namespace_of(const struct interface_watch *watch, const char *name)
{
	return interface_watch_namespace(watch, if_nametoindex(name));
}

/* Whether the watch listed the links or was told of them. */
static void watch_knows_where_links_lead(void **state)
{
	pid_t third = namespace_start();
	struct interface_watch *watch;
	struct seen seen;
	int32_t there;

	(void)state;
	add_veth("host0", "eth0");
	check(interface_watch_new(&watch));
	there = namespace_of(watch, "host0");
	assert_true(there >= 0);
	assert_int_equal(namespace_of(watch, "lo"), -1);
	assert_int_equal(interface_watch_namespace(watch, 4242), -1);
	command("ip link add host1 type veth peer name away1");
	dispatch(watch);
	assert_int_equal(namespace_of(watch, "host1"), -1);
	command("ip link add host2 type veth peer name eth2 netns %d", third);
	dispatch(watch);
	assert_true(namespace_of(watch, "host2") >= 0);
	assert_int_not_equal(namespace_of(watch, "host2"), there);
	/* The kernel tells when both ends are up. */
	command("ip link set away1 netns %d && ip link set host1 up && nsenter -t %d -n ip link set away1 up", process,
		process);
	seen = dispatch(watch);
	assert_int_equal(seen.appeared, 0);
	assert_int_equal(seen.moved, 1);
	assert_int_equal(namespace_of(watch, "host1"), there);
	interface_watch_free(watch);
	command("ip link del host1 && ip link del host2");
	namespace_stop(third);
}

static void leaving_a_bridge_is_not_vanishing(void **state)
{
	struct interface_watch *watch;
	struct seen seen;

	(void)state;
	if (system("ip link add bridge0 type bridge 2>/dev/null"))
		skip();
	add_veth("host0", "eth0");
	check(interface_watch_new(&watch));
	command("ip link set host0 master bridge0 && ip link set host0 nomaster");
	seen = dispatch(watch);
	assert_int_equal(seen.appeared + seen.vanished, 0);
	interface_watch_free(watch);
	command("ip link del bridge0");
}

static void lost_notices_are_told(void **state)
{
	struct interface_watch *watch;
	struct seen seen = {};
	int small = 1;

	(void)state;
	check(interface_watch_new(&watch));
	assert_int_equal(setsockopt(interface_watch_fd(watch), SOL_SOCKET, SO_RCVBUFFORCE, &small, sizeof(small)), 0);
	for (int i = 0; i < 20; i++)
		command("ip addr add 192.0.2.%d/32 dev lo && ip addr del 192.0.2.%d/32 dev lo", i + 1, i + 1);
	add_veth("host0", "eth0");
	assert_int_equal(interface_watch_dispatch(watch, see, &seen), -ENOBUFS);
	/* The list was taken anew: what is there now is known, and what goes is told. */
	while (interface_watch_dispatch(watch, see, &seen) == -ENOBUFS)
		;
	memset(&seen, 0, sizeof(seen));
	command("ip link del host0");
	while (interface_watch_dispatch(watch, see, &seen) == -ENOBUFS)
		;
	assert_int_equal(seen.appeared, 0);
	interface_watch_free(watch);
}

static void count_host0(uint32_t ifindex, const char *name, void *data)
{
	size_t *count = data;

	(void)ifindex;
	*count += !strcmp(name, "host0");
}

static bool knows_host0(const struct interface_watch *watch)
{
	size_t count = 0;

	interface_watch_each(watch, count_host0, &count);
	return count == 1;
}

static void links_are_listed_whole_or_not_at_all(void **state)
{
	bool enough = false;

	(void)state;
	add_veth("host0", "eth0");
	for (long number = 0; !enough; number++) {
		struct interface_watch *watch = NULL;
		int error;

		fail_after(number);
		error = interface_watch_new(&watch);
		enough = had_enough();
		assert_int_equal(error, enough ? 0 : -ENOMEM);
		assert_true(enough ? knows_host0(watch) : !watch);
		interface_watch_free(watch);
	}
}

/* As where notices are lost; also where there is none for the new list either. */
static void notices_without_memory_are_told_as_lost(void **state)
{
	static void (*const fail_at[])(long number) = {fail_after, fail_from};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(fail_at); i++) {
		bool enough = false;

		for (long number = 0; !enough; number++) {
			struct interface_watch *watch;
			struct seen seen = {};
			int error;

			check(interface_watch_new(&watch));
			add_veth("host0", "eth0");
			fail_at[i](number);
			error = interface_watch_dispatch(watch, see, &seen);
			enough = had_enough();
			assert_true(enough == !error);
			assert_true(enough == (seen.appeared == 1));
			/* With memory again it may tell once more that something was lost. */
			error = interface_watch_dispatch(watch, see, &seen);
			assert_true(!error || error == -ENOBUFS);
			assert_true(knows_host0(watch));
			command("ip link del host0");
			seen = dispatch(watch);
			assert_int_equal(seen.vanished, 1);
			interface_watch_free(watch);
		}
	}
}

static void rounds_leak_no_descriptor(void **state)
{
	struct interface_watch *watch;
	size_t before;
	uint32_t ifindex;

	(void)state;
	add_veth("host0", "eth0");
	before = entries_in("/proc/self/fd");
	for (int round = 0; round < 200; round++) {
		check(interface_of_netns(path, NULL, &ifindex, NULL, NULL));
		assert_int_equal(interface_of_netns("/dev/null", NULL, &ifindex, NULL, NULL), -EINVAL);
		check(interface_watch_new(&watch));
		interface_watch_free(watch);
	}
	assert_int_equal(entries_in("/proc/self/fd"), before);
}

static int enter(void **state)
{
	(void)state;
	return enter_namespaces();
}

#define interface_test(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		interface_test(name_finds_interface),
		interface_test(namespace_leads_to_host_side),
		interface_test(equal_numbers_are_told_apart),
		interface_test(only_the_kernel_is_listened_to),
		interface_test(the_time_limit_is_the_answers),
		interface_test(nothing_leads_here),
		interface_test(two_are_too_many),
		interface_test(wrong_paths_are_named),
		interface_test(addresses_are_our_own),
		interface_test(watch_tells_what_changes),
		interface_test(watch_knows_where_links_lead),
		interface_test(leaving_a_bridge_is_not_vanishing),
		interface_test(lost_notices_are_told),
		interface_test(links_are_listed_whole_or_not_at_all),
		interface_test(notices_without_memory_are_told_as_lost),
		interface_test(rounds_leak_no_descriptor),
	};

	return cmocka_run_group_tests_name("interface", tests, enter, NULL);
}
