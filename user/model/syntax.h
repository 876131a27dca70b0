/* SPDX-License-Identifier: Apache-2.0 */
/* What Kubernetes allows as a name, a label and a port name (k8s.io/apimachinery, util/validation). */
#ifndef EGRESSD_MODEL_SYNTAX_H
#define EGRESSD_MODEL_SYNTAX_H

#include <stdbool.h>

/* RFC 1123 label: 1 to 63 lower-case letters, digits and inner dashes. */
bool syntax_is_dns_label(const char *text);
/* RFC 1123 subdomain: such labels (of any length) joined by dots, at most 253 characters. */
bool syntax_is_dns_subdomain(const char *text);
/* "app", "example.com/app". */
bool syntax_is_label_key(const char *text);
/* Empty, or up to 63 letters, digits, and inner dashes, underscores and dots. */
bool syntax_is_label_value(const char *text);
/* IANA_SVC_NAME of RFC 6335: 1 to 15 lower-case letters, digits and single inner dashes, a letter among them. */
bool syntax_is_port_name(const char *text);
/* What Linux allows as the name of a network interface. */
bool syntax_is_interface_name(const char *text);

#endif
