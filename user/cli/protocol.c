/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/protocol.h"

#include <errno.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdio.h>
#include <strings.h>

#include "base/cleanup.h"

static const struct {
	const char *name;
	uint8_t number;
} protocols[] = {
	{"TCP", IPPROTO_TCP},   {"UDP", IPPROTO_UDP},       {"SCTP", IPPROTO_SCTP},
	{"ICMP", IPPROTO_ICMP}, {"ICMPv6", IPPROTO_ICMPV6},
};

static const uint8_t with_ports[EGRESS_PORT_PROTOCOLS] = {
	[EGRESS_PORT_TCP] = IPPROTO_TCP,
	[EGRESS_PORT_UDP] = IPPROTO_UDP,
	[EGRESS_PORT_SCTP] = IPPROTO_SCTP,
};

static int parse_decimal(const char *text, unsigned int limit, unsigned int *out)
{
	unsigned int number = 0;

	if (!*text)
		return -EINVAL;
	for (; *text; text++) {
		if (*text < '0' || *text > '9')
			return -EINVAL;
		number = number * 10 + (unsigned int)(*text - '0');
		if (number > limit)
			return -EINVAL;
	}
	*out = number;
	return 0;
}

int protocol_parse(const char *text, uint8_t *out)
{
	unsigned int number;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(protocols); i++) {
		if (!strcasecmp(text, protocols[i].name)) {
			*out = protocols[i].number;
			return 0;
		}
	}
	if (parse_decimal(text, UINT8_MAX, &number))
		return -EINVAL;
	*out = (uint8_t)number;
	return 0;
}

const char *protocol_format(uint8_t protocol, char text[PROTOCOL_TEXT_SIZE])
{
	size_t i;

	snprintf(text, PROTOCOL_TEXT_SIZE, "%u", protocol);
	for (i = 0; i < ARRAY_SIZE(protocols); i++)
		if (protocols[i].number == protocol)
			snprintf(text, PROTOCOL_TEXT_SIZE, "%s", protocols[i].name);
	return text;
}

bool protocol_has_ports(uint8_t protocol, enum egress_port_protocol *index)
{
	unsigned int i;

	for (i = 0; i < EGRESS_PORT_PROTOCOLS; i++) {
		if (with_ports[i] == protocol) {
			if (index)
				*index = i;
			return true;
		}
	}
	return false;
}

uint8_t protocol_of_index(enum egress_port_protocol index)
{
	return with_ports[index];
}

int port_parse(const char *text, uint16_t *out)
{
	unsigned int number;

	if (parse_decimal(text, UINT16_MAX, &number))
		return -EINVAL;
	*out = (uint16_t)number;
	return 0;
}
