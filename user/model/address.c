/* SPDX-License-Identifier: Apache-2.0 */
#include "model/address.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

/* Longest address and length: "/128" after an address of IP_TEXT_SIZE - 1 characters. */
_Static_assert(IP_TEXT_SIZE == INET6_ADDRSTRLEN, "as inet_ntop needs");
_Static_assert(IP_PREFIX_TEXT_SIZE >= IP_TEXT_SIZE + 4, "room for the length");

int ip_address_parse(const char *text, struct ip_address *out)
{
	struct ip_address address = {};

	/* glibc's inet_pton takes only four decimal numbers without leading zeros, and no zone: the strict forms. */
	if (inet_pton(AF_INET, text, address.bytes) == 1)
		address.family = 4;
	else if (inet_pton(AF_INET6, text, address.bytes) == 1)
		address.family = 6;
	else
		return -EINVAL;
	*out = address;
	return 0;
}

/* One to three digits without a leading zero. */
static int parse_length(const char *text, unsigned int limit, uint8_t *out)
{
	unsigned int length = 0;
	size_t digits = strspn(text, "0123456789");

	if (!digits || digits > 3 || text[digits] || (text[0] == '0' && digits > 1))
		return -EINVAL;
	for (; *text; text++)
		length = length * 10 + (unsigned int)(*text - '0');
	if (length > limit)
		return -EINVAL;
	*out = (uint8_t)length;
	return 0;
}

int ip_prefix_parse(const char *text, struct ip_prefix *out)
{
	const char *slash = strchr(text, '/');
	struct ip_prefix prefix = {};
	char address[IP_TEXT_SIZE];

	if (!slash || (size_t)(slash - text) >= sizeof(address))
		return -EINVAL;
	memcpy(address, text, (size_t)(slash - text));
	address[slash - text] = '\0';
	if (ip_address_parse(address, &prefix.address))
		return -EINVAL;
	if (parse_length(slash + 1, prefix.address.family == 4 ? 32 : 128, &prefix.length))
		return -EINVAL;
	*out = prefix;
	return 0;
}

/* -EINVAL: does not fit even without them. */
static int drop_leading_zeros(const char *text, char *out, size_t size)
{
	bool in_number = false;
	size_t length = 0;

	for (; *text; text++) {
		if (!in_number && *text == '0' && isxdigit((unsigned char)text[1]))
			continue;
		if (length == size - 1)
			return -EINVAL;
		in_number = isxdigit((unsigned char)*text);
		out[length++] = *text;
	}
	out[length] = '\0';
	return 0;
}

int ip_address_parse_sloppy(const char *text, struct ip_address *out)
{
	char strict[IP_TEXT_SIZE];
	int error = drop_leading_zeros(text, strict, sizeof(strict));

	return error ? error : ip_address_parse(strict, out);
}

int ip_prefix_parse_sloppy(const char *text, struct ip_prefix *out)
{
	char strict[IP_PREFIX_TEXT_SIZE];
	int error = drop_leading_zeros(text, strict, sizeof(strict));

	return error ? error : ip_prefix_parse(strict, out);
}

const char *ip_address_format(const struct ip_address *address, char text[IP_TEXT_SIZE])
{
	if (!inet_ntop(address->family == 4 ? AF_INET : AF_INET6, address->bytes, text, IP_TEXT_SIZE))
		text[0] = '\0';
	return text;
}

const char *ip_prefix_format(const struct ip_prefix *prefix, char text[IP_PREFIX_TEXT_SIZE])
{
	char address[IP_TEXT_SIZE];

	snprintf(text, IP_PREFIX_TEXT_SIZE, "%s/%u", ip_address_format(&prefix->address, address), prefix->length);
	return text;
}

int ip_address_compare(const struct ip_address *a, const struct ip_address *b)
{
	if (a->family != b->family)
		return a->family < b->family ? -1 : 1;
	return memcmp(a->bytes, b->bytes, sizeof(a->bytes));
}

static bool same_leading_bits(const uint8_t *a, const uint8_t *b, unsigned int bits)
{
	unsigned int whole = bits / 8, rest = bits % 8;
	uint8_t mask = (uint8_t)(0xff00u >> rest);

	if (memcmp(a, b, whole))
		return false;
	return !rest || !((a[whole] ^ b[whole]) & mask);
}

bool ip_prefix_contains(const struct ip_prefix *prefix, const struct ip_address *address)
{
	return prefix->address.family == address->family &&
	       same_leading_bits(prefix->address.bytes, address->bytes, prefix->length);
}

bool ip_prefix_covers(const struct ip_prefix *outer, const struct ip_prefix *inner)
{
	return inner->length >= outer->length && ip_prefix_contains(outer, &inner->address);
}

bool address_is_mapped(const struct ip_address *address)
{
	static const uint8_t prefix[12] = { [10] = 0xff, [11] = 0xff };

	return address->family == 6 && !memcmp(address->bytes, prefix, sizeof(prefix));
}
