/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/destination.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>

#include "cli/protocol.h"

#define SERVICE_PREFIX "svc:"

/* Enough for "svc:", two names, a port and a protocol. */
#define DESTINATION_TEXT_MAX (2 * OBJECT_NAME_SIZE + 32)

static int copy_name(const char *text, size_t length, char out[OBJECT_NAME_SIZE])
{
	if (!length || length >= OBJECT_NAME_SIZE || memchr(text, '/', length) || memchr(text, ':', length))
		return -EINVAL;
	memcpy(out, text, length);
	out[length] = '\0';
	return 0;
}

int object_name_parse(const char *text, struct object_name *out)
{
	const char *slash = strchr(text, '/');
	struct object_name name;

	if (!slash || copy_name(text, (size_t)(slash - text), name.namespace) ||
	    copy_name(slash + 1, strlen(slash + 1), name.name))
		return -EINVAL;
	*out = name;
	return 0;
}

int destination_parse_plain(const char *text, struct destination *out)
{
	struct destination destination = {0};

	if (!strncmp(text, SERVICE_PREFIX, strlen(SERVICE_PREFIX))) {
		destination.kind = DESTINATION_SERVICE;
		if (object_name_parse(text + strlen(SERVICE_PREFIX), &destination.object))
			return -EINVAL;
	} else if (!ip_address_parse(text, &destination.address)) {
		destination.kind = DESTINATION_ADDRESS;
	} else {
		destination.kind = DESTINATION_POD;
		if (object_name_parse(text, &destination.object))
			return -EINVAL;
	}
	*out = destination;
	return 0;
}

/*
 * Cuts text in three at ":PORT" and "/PROTOCOL"; both may be NULL. The slash of NS/NAME and the colons of IPv6 and "svc:" are
 * none of these.
 */
static int split(char *text, char **plain, char **port, char **protocol)
{
	struct ip_address address;
	char *slash, *colon, *rest = text;

	*port = *protocol = NULL;
	*plain = text;
	if (*text == '[') {
		rest = strchr(text, ']');
		if (!rest)
			return -EINVAL;
		*rest++ = '\0';
		*plain = text + 1;
		if (ip_address_parse(*plain, &address) || address.family != 6 || (*rest && *rest != ':' && *rest != '/'))
			return -EINVAL;
	} else {
		slash = strchr(text, '/');
		if (slash)
			*slash = '\0';
		if (!ip_address_parse(text, &address)) {
			/* "ADDRESS" or "ADDRESS/PROTOCOL". */
			*protocol = slash ? slash + 1 : NULL;
			return 0;
		}
		if (slash)
			*slash = '/';
		colon = strchr(text, ':');
		if (!strncmp(text, SERVICE_PREFIX, strlen(SERVICE_PREFIX)))
			rest = text + strlen(SERVICE_PREFIX);
		if (slash && (!colon || slash < colon || rest != text))
			rest = slash + 1;
		rest += strcspn(rest, ":/");
	}
	if (*rest == ':') {
		*rest++ = '\0';
		*port = rest;
		rest += strcspn(rest, "/");
	}
	if (*rest == '/') {
		*rest++ = '\0';
		*protocol = rest;
	}
	return 0;
}

static int parse_parts(const char *plain, const char *port, const char *protocol, struct destination *out,
		       const char **problem)
{
	struct destination destination;

	*problem = "expected ADDRESS, NS/POD or svc:NS/NAME, then [:PORT[/PROTOCOL]]; IPv6 with a port is [ADDRESS]:PORT";
	if (destination_parse_plain(plain, &destination))
		return -EINVAL;
	*problem = "the port is not a number from 0 to 65535";
	if (port && port_parse(port, &destination.port))
		return -EINVAL;
	*problem = "the protocol is none of TCP, UDP, SCTP, ICMP, ICMPv6 and not a number from 0 to 255";
	if (protocol && protocol_parse(protocol, &destination.protocol))
		return -EINVAL;
	if (port && !protocol)
		destination.protocol = IPPROTO_TCP;
	destination.has_port = port;
	destination.has_protocol = port || protocol;
	*problem = "TCP, UDP and SCTP need a port";
	if (protocol && !port && protocol_has_ports(destination.protocol, NULL))
		return -EINVAL;
	*problem = "the protocol has no ports";
	if (port && !protocol_has_ports(destination.protocol, NULL))
		return -EINVAL;
	*out = destination;
	return 0;
}

int destination_parse(const char *text, struct destination *out, const char **problem)
{
	char copy[DESTINATION_TEXT_MAX], *plain, *port, *protocol;

	*problem = "it is too long";
	if (strlen(text) >= sizeof(copy))
		return -EINVAL;
	strcpy(copy, text);
	*problem = "the address in brackets is not IPv6";
	if (split(copy, &plain, &port, &protocol))
		return -EINVAL;
	return parse_parts(plain, port, protocol, out, problem);
}
