/* SPDX-License-Identifier: Apache-2.0 */
/* Protocols and ports as people write them. */
#ifndef EGRESSD_CLI_PROTOCOL_H
#define EGRESSD_CLI_PROTOCOL_H

#include <stdbool.h>
#include <stdint.h>

#include <egressd/tables.h>

#define PROTOCOL_TEXT_SIZE 8

/* TCP, UDP, SCTP, ICMP, ICMPv6 in any case, or 0 .. 255. 0 or -EINVAL; *out is untouched on failure. */
int protocol_parse(const char *text, uint8_t *out);
/* The name, or the number where it has none of those; returns `text`. */
const char *protocol_format(uint8_t protocol, char text[PROTOCOL_TEXT_SIZE]);

/* Does it have ports that policy judges? *index may be NULL. */
bool protocol_has_ports(uint8_t protocol, enum egress_port_protocol *index);
/* IPPROTO_* of a protocol that has ports. */
uint8_t protocol_of_index(enum egress_port_protocol index);

/* Decimal, 0 .. 65535, nothing else. 0 or -EINVAL. */
int port_parse(const char *text, uint16_t *out);

#endif
