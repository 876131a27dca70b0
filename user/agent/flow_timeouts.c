/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/flow_timeouts.h"

#include <ctype.h>
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"

static const struct {
	const char *name;
	size_t offset;
} fields[] = {
	{"tcp-new", offsetof(struct flow_timeouts, tcp_new)},
	{"tcp-established", offsetof(struct flow_timeouts, tcp_established)},
	{"tcp-closing", offsetof(struct flow_timeouts, tcp_closing)},
	{"udp-new", offsetof(struct flow_timeouts, udp_new)},
	{"udp", offsetof(struct flow_timeouts, udp)},
};

static int parse_seconds(const char *text, uint32_t *seconds)
{
	unsigned long value;
	char *end;

	if (!isdigit((unsigned char)*text))
		return -EINVAL;
	errno = 0;
	value = strtoul(text, &end, 10);
	if (*end || errno || !value || value > FLOW_TIMEOUT_SECONDS_MAX)
		return -EINVAL;
	*seconds = (uint32_t)value;
	return 0;
}

static int parse_item(char *item, struct flow_timeouts *timeouts)
{
	char *value = strchr(item, '=');
	size_t i;

	if (!value)
		return -EINVAL;
	*value++ = '\0';
	for (i = 0; i < ARRAY_SIZE(fields); i++)
		if (!strcmp(item, fields[i].name))
			return parse_seconds(value, (uint32_t *)((char *)timeouts + fields[i].offset));
	return -EINVAL;
}

int flow_timeouts_parse(const char *text, struct flow_timeouts *out)
{
	_cleanup_free_ char *copy = strdup(text);
	struct flow_timeouts timeouts = *out;
	char *rest = copy, *item;

	if (!copy)
		return -ENOMEM;
	while ((item = strsep(&rest, ",")))
		if (parse_item(item, &timeouts))
			return -EINVAL;
	*out = timeouts;
	return 0;
}

void flow_timeouts_apply(const struct flow_timeouts *timeouts, uint32_t hz, struct egress_control *control)
{
	control->hz = hz;
	control->timeout_new = timeouts->tcp_new * hz;
	control->timeout_established = timeouts->tcp_established * hz;
	control->timeout_closing = timeouts->tcp_closing * hz;
	control->timeout_udp_new = timeouts->udp_new * hz;
	control->timeout_udp = timeouts->udp * hz;
}
