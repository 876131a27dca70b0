/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base64.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"

static int digit_value(char c)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	const char *found = c ? strchr(digits, c) : NULL;

	return found ? (int)(found - digits) : -1;
}

int base64_decode(const char *text, char **out, size_t *length)
{
	_cleanup_free_ char *bytes = malloc(strlen(text) / 4 * 3 + 4);
	size_t count = 0, digits = 0;
	uint32_t bits = 0;
	bool padded = false;

	if (!bytes)
		return -ENOMEM;
	for (; *text; text++) {
		int value = digit_value(*text);

		if (strchr(" \t\r\n", *text))
			continue;
		if (*text == '=') {
			padded = true;
			continue;
		}
		if (value < 0 || padded)
			return -EINVAL;
		bits = bits << 6 | (uint32_t)value;
		if (digits++ % 4)
			bytes[count++] = (char)(bits >> (6 - (digits - 1) % 4 * 2));
	}
	/* One digit alone holds no byte. */
	if (digits % 4 == 1)
		return -EINVAL;
	bytes[count] = '\0';
	*out = take(bytes);
	*length = count;
	return 0;
}
