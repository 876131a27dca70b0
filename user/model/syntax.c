/* SPDX-License-Identifier: Apache-2.0 */
#include "model/syntax.h"

#include <net/if.h>
#include <string.h>

#define LABEL_MAX 63
#define SUBDOMAIN_MAX 253
#define PORT_NAME_MAX 15

/* Not <ctype.h>: those depend on the locale. */
static bool is_lower(char c)
{
	return c >= 'a' && c <= 'z';
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_letter_or_digit(char c)
{
	return is_lower(c) || is_digit(c) || (c >= 'A' && c <= 'Z');
}

static bool is_lower_or_digit(char c)
{
	return is_lower(c) || is_digit(c);
}

/* Begins and ends with a lower-case letter or digit, dashes between. */
static bool is_dns_name(const char *text, size_t length)
{
	if (!length || !is_lower_or_digit(text[0]) || !is_lower_or_digit(text[length - 1]))
		return false;
	for (size_t i = 0; i < length; i++) {
		if (!is_lower_or_digit(text[i]) && text[i] != '-')
			return false;
	}
	return true;
}

bool syntax_is_dns_label(const char *text)
{
	size_t length = strlen(text);

	return length <= LABEL_MAX && is_dns_name(text, length);
}

static bool is_dns_subdomain(const char *text, size_t length)
{
	const char *end = text + length, *dot;

	if (length > SUBDOMAIN_MAX)
		return false;
	while ((dot = memchr(text, '.', (size_t)(end - text)))) {
		if (!is_dns_name(text, (size_t)(dot - text)))
			return false;
		text = dot + 1;
	}
	return is_dns_name(text, (size_t)(end - text));
}

bool syntax_is_dns_subdomain(const char *text)
{
	return is_dns_subdomain(text, strlen(text));
}

bool syntax_is_label_value(const char *text)
{
	size_t length = strlen(text);

	if (!length)
		return true;
	if (length > LABEL_MAX || !is_letter_or_digit(text[0]) || !is_letter_or_digit(text[length - 1]))
		return false;
	for (size_t i = 0; i < length; i++) {
		if (!is_letter_or_digit(text[i]) && !strchr("-_.", text[i]))
			return false;
	}
	return true;
}

bool syntax_is_label_key(const char *text)
{
	const char *slash = strchr(text, '/');

	if (slash && !is_dns_subdomain(text, (size_t)(slash - text)))
		return false;
	if (slash)
		text = slash + 1;
	return *text && syntax_is_label_value(text);
}

bool syntax_is_port_name(const char *text)
{
	size_t length = strlen(text);
	bool has_letter = false;

	if (length > PORT_NAME_MAX || !is_dns_name(text, length) || strstr(text, "--"))
		return false;
	for (; *text; text++)
		has_letter |= is_lower(*text);
	return has_letter;
}

bool syntax_is_interface_name(const char *text)
{
	size_t length = strlen(text);

	if (!length || length >= IF_NAMESIZE || !strcmp(text, ".") || !strcmp(text, ".."))
		return false;
	for (; *text; text++) {
		if (*text <= ' ' || *text == '/' || *text == ':' || *text == '\x7f')
			return false;
	}
	return true;
}
