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
	/* cppcheck-suppress uninitvar ; copy_name() wrote both */
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
		/* What is sent to such an address leaves the pod as IPv4, and is judged as that. */
		if (address_is_mapped(&destination.address))
			return -EINVAL;
		destination.kind = DESTINATION_ADDRESS;
	} else {
		destination.kind = DESTINATION_POD;
		if (object_name_parse(text, &destination.object))
			return -EINVAL;
	}
	*out = destination;
	return 0;
}

/* Text in three parts; port and protocol may be NULL. */
struct parts {
	char *plain, *port, *protocol;
};

/* "[ADDRESS]" at the beginning: ends it in place and returns what follows, or NULL. */
static char *cut_brackets(char *text, struct parts *parts)
{
	char *rest = strchr(text, ']');
	struct ip_address address;

	if (!rest)
		return NULL;
	*rest++ = '\0';
	parts->plain = text + 1;
	if (ip_address_parse(parts->plain, &address) || address.family != 6 || (*rest && *rest != ':' && *rest != '/'))
		return NULL;
	return rest;
}

/* True where everything before the first slash is an address, as bare IPv6, whose colons begin no port, must be. */
static bool cut_address(char *text, struct parts *parts)
{
	char *slash = strchr(text, '/');
	struct ip_address address;

	if (slash)
		*slash = '\0';
	if (!ip_address_parse(text, &address)) {
		parts->protocol = slash ? slash + 1 : NULL;
		return true;
	}
	if (slash)
		*slash = '/';
	return false;
}

/* Where the name or IPv4 address ends: the slash of NS/NAME and the colon of "svc:" end nothing. */
static char *find_suffix(char *text)
{
	bool service = !strncmp(text, SERVICE_PREFIX, strlen(SERVICE_PREFIX));
	char *rest = service ? text + strlen(SERVICE_PREFIX) : text;
	char *slash = rest + strcspn(rest, ":/");

	/* What has its slash before any colon is NS/NAME. */
	if (*slash == '/')
		rest = slash + 1;
	return rest + strcspn(rest, ":/");
}

/* Cuts text at ":PORT" and "/PROTOCOL". */
static int split(char *text, struct parts *parts)
{
	char *rest;

	*parts = (struct parts){.plain = text};
	if (*text != '[' && cut_address(text, parts))
		return 0;
	rest = *text == '[' ? cut_brackets(text, parts) : find_suffix(text);
	if (!rest)
		return -EINVAL;
	if (*rest == ':') {
		*rest++ = '\0';
		parts->port = rest;
		rest += strcspn(rest, "/");
	}
	if (*rest == '/') {
		*rest++ = '\0';
		parts->protocol = rest;
	}
	return 0;
}

static int parse_parts(const struct parts *parts, struct destination *out, const char **problem)
{
	const char *port = parts->port, *protocol = parts->protocol;
	struct destination destination;

	*problem = "expected ADDRESS, NS/POD or svc:NS/NAME, then [:PORT[/PROTOCOL]]; "
		   "IPv6 with a port is [ADDRESS]:PORT, and IPv4 is not written as IPv6";
	if (destination_parse_plain(parts->plain, &destination))
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
	char copy[DESTINATION_TEXT_MAX];
	struct parts parts;

	*problem = "it is too long";
	if (strlen(text) >= sizeof(copy))
		return -EINVAL;
	strcpy(copy, text);
	*problem = "the address in brackets is not IPv6";
	if (split(copy, &parts))
		return -EINVAL;
	return parse_parts(&parts, out, problem);
}
