/* SPDX-License-Identifier: Apache-2.0 */
/* Where a flow goes, as people write it: ADDRESS, NS/POD or svc:NS/NAME, then [:PORT][/PROTOCOL]. */
#ifndef EGRESSD_CLI_DESTINATION_H
#define EGRESSD_CLI_DESTINATION_H

#include <stdbool.h>
#include <stdint.h>

#include "model/address.h"

/* A Kubernetes name has at most 253 characters. */
#define OBJECT_NAME_SIZE 254

struct object_name {
	char namespace[OBJECT_NAME_SIZE];
	char name[OBJECT_NAME_SIZE];
};

/* "NS/NAME"; 0 or -EINVAL. */
int object_name_parse(const char *text, struct object_name *out);

enum destination_kind { DESTINATION_ADDRESS, DESTINATION_POD, DESTINATION_SERVICE };

struct destination {
	enum destination_kind kind;
	struct ip_address address; /* DESTINATION_ADDRESS */
	struct object_name object; /* the others */
	bool has_port, has_protocol;
	uint16_t port;    /* host order */
	uint8_t protocol; /* IPPROTO_* */
};

/* No port: the pod's or service's name or the address, nothing behind it. */
int destination_parse_plain(const char *text, struct destination *out);

/*
 * All of it. IPv6 with a port: [ADDRESS]:PORT. A port without a protocol is TCP's; TCP, UDP and SCTP need a port,
 * other protocols must not have one. On -EINVAL *problem is a static text that says what is wrong, and *out is
 * untouched.
 */
int destination_parse(const char *text, struct destination *out, const char **problem);

#endif
