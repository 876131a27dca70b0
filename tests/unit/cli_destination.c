/* SPDX-License-Identifier: Apache-2.0 */
/* Destinations, protocols and ports as people write them. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <netinet/in.h>
#include <string.h>

#include "base/cleanup.h"
#include "cli/destination.h"
#include "cli/protocol.h"

struct good_case {
	const char *text;
	enum destination_kind kind;
	const char *first;  /* the address, or the namespace */
	const char *second; /* NULL, or the name */
	int port, protocol; /* -1: none */
};

static const struct good_case good_cases[] = {
	{"10.0.0.1", DESTINATION_ADDRESS, "10.0.0.1", NULL, -1, -1},
	{"10.0.0.1:80", DESTINATION_ADDRESS, "10.0.0.1", NULL, 80, IPPROTO_TCP},
	{"10.0.0.1:53/UDP", DESTINATION_ADDRESS, "10.0.0.1", NULL, 53, IPPROTO_UDP},
	{"10.0.0.1:0/sctp", DESTINATION_ADDRESS, "10.0.0.1", NULL, 0, IPPROTO_SCTP},
	{"10.0.0.1:65535/6", DESTINATION_ADDRESS, "10.0.0.1", NULL, 65535, IPPROTO_TCP},
	{"10.0.0.1/ICMP", DESTINATION_ADDRESS, "10.0.0.1", NULL, -1, IPPROTO_ICMP},
	{"10.0.0.1/47", DESTINATION_ADDRESS, "10.0.0.1", NULL, -1, 47},
	{"fd00::1", DESTINATION_ADDRESS, "fd00::1", NULL, -1, -1},
	{"fd00::1/ICMPv6", DESTINATION_ADDRESS, "fd00::1", NULL, -1, IPPROTO_ICMPV6},
	{"[fd00::1]", DESTINATION_ADDRESS, "fd00::1", NULL, -1, -1},
	{"[fd00::1]:443", DESTINATION_ADDRESS, "fd00::1", NULL, 443, IPPROTO_TCP},
	{"[fd00::1]:443/UDP", DESTINATION_ADDRESS, "fd00::1", NULL, 443, IPPROTO_UDP},
	{"[fd00::1]/58", DESTINATION_ADDRESS, "fd00::1", NULL, -1, 58},
	{"shop/web-1", DESTINATION_POD, "shop", "web-1", -1, -1},
	{"shop/web-1:80", DESTINATION_POD, "shop", "web-1", 80, IPPROTO_TCP},
	{"shop/web-1:80/SCTP", DESTINATION_POD, "shop", "web-1", 80, IPPROTO_SCTP},
	{"shop/web-1/ICMP", DESTINATION_POD, "shop", "web-1", -1, IPPROTO_ICMP},
	{"1/2", DESTINATION_POD, "1", "2", -1, -1},
	{"svc:shop/web", DESTINATION_SERVICE, "shop", "web", -1, -1},
	{"svc:shop/web:8080", DESTINATION_SERVICE, "shop", "web", 8080, IPPROTO_TCP},
	{"svc:shop/web:8080/UDP", DESTINATION_SERVICE, "shop", "web", 8080, IPPROTO_UDP},
};

static void assert_good(const struct good_case *expected)
{
	struct destination destination;
	char text[IP_TEXT_SIZE];
	const char *problem;

	if (destination_parse(expected->text, &destination, &problem))
		fail_msg("%s: %s", expected->text, problem);
	assert_int_equal(destination.kind, expected->kind);
	if (expected->second) {
		assert_string_equal(destination.object.namespace, expected->first);
		assert_string_equal(destination.object.name, expected->second);
	} else {
		assert_string_equal(ip_address_format(&destination.address, text), expected->first);
	}
	assert_int_equal(destination.has_port, expected->port >= 0);
	assert_int_equal(destination.has_protocol, expected->protocol >= 0);
	if (expected->port >= 0)
		assert_int_equal(destination.port, expected->port);
	if (expected->protocol >= 0)
		assert_int_equal(destination.protocol, expected->protocol);
}

static void test_good(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(good_cases); i++)
		assert_good(&good_cases[i]);
}

static void test_bad(void **state)
{
	static const char *const bad[] = {
		"",
		"web",
		":80",
		"10.0.0.1:",
		"10.0.0.1:65536",
		"10.0.0.1:-1",
		"10.0.0.1:80/",
		"10.0.0.1:80/FOO",
		"10.0.0.1:80/256",
		"10.0.0.1:80/ICMP",
		"10.0.0.1/TCP",
		"10.0.0.1:80/TCP/UDP",
		"10.0.0.1.2",
		"010.0.0.1:80",
		"fd00::1:443:",
		"[fd00::1",
		"[fd00::1]443",
		"[10.0.0.1]:80",
		"[]:80",
		"shop/",
		"/web",
		"shop/web:http",
		"svc:shop",
		"svc:",
		"svc:10.0.0.1:80",
		"shop/web:80:90",
		"::ffff:10.0.0.1",
		"[::ffff:10.0.0.1]:80",
	};
	struct destination untouched, destination;
	const char *problem;
	char longest[2000];
	size_t i;

	(void)state;
	memset(&untouched, 0x5a, sizeof(untouched));
	destination = untouched;
	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		problem = NULL;
		if (destination_parse(bad[i], &destination, &problem) != -EINVAL)
			fail_msg("'%s' was taken", bad[i]);
		assert_non_null(problem);
		assert_memory_equal(&destination, &untouched, sizeof(destination));
	}
	memset(longest, 'a', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = '\0';
	assert_int_equal(destination_parse(longest, &destination, &problem), -EINVAL);
	/* A name with one character too many. */
	longest[1] = '/';
	longest[2 + OBJECT_NAME_SIZE] = '\0';
	assert_int_equal(destination_parse(longest, &destination, &problem), -EINVAL);
	longest[2 + OBJECT_NAME_SIZE - 1] = '\0';
	assert_int_equal(destination_parse(longest, &destination, &problem), 0);
}

static void test_plain_takes_no_port(void **state)
{
	struct destination destination;

	(void)state;
	assert_int_equal(destination_parse_plain("fd00::1", &destination), 0);
	assert_int_equal(destination_parse_plain("shop/web", &destination), 0);
	assert_int_equal(destination_parse_plain("svc:shop/web", &destination), 0);
	assert_int_equal(destination_parse_plain("10.0.0.1:80", &destination), -EINVAL);
	assert_int_equal(destination_parse_plain("shop/web:80", &destination), -EINVAL);
	assert_int_equal(destination_parse_plain("svc:shop/web:80", &destination), -EINVAL);
}

static void test_protocols(void **state)
{
	char text[PROTOCOL_TEXT_SIZE];
	enum egress_port_protocol index = EGRESS_PORT_PROTOCOLS;
	uint8_t protocol = 99;

	(void)state;
	assert_int_equal(protocol_parse("256", &protocol), -EINVAL);
	assert_int_equal(protocol_parse("", &protocol), -EINVAL);
	assert_int_equal(protocol_parse("+6", &protocol), -EINVAL);
	assert_int_equal(protocol, 99);
	assert_int_equal(protocol_parse("icmpv6", &protocol), 0);
	assert_int_equal(protocol, IPPROTO_ICMPV6);
	assert_string_equal(protocol_format(protocol, text), "ICMPv6");
	assert_string_equal(protocol_format(47, text), "47");
	assert_string_equal(protocol_format(255, text), "255");
	assert_true(protocol_has_ports(IPPROTO_SCTP, &index));
	assert_int_equal(index, EGRESS_PORT_SCTP);
	assert_false(protocol_has_ports(IPPROTO_ICMP, NULL));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_bad),
		cmocka_unit_test(test_plain_takes_no_port),
		cmocka_unit_test(test_protocols),
	};

	return cmocka_run_group_tests_name("cli_destination", tests, NULL, NULL);
}
