/* SPDX-License-Identifier: Apache-2.0 */
#include "model/scalar.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"

struct word {
	const char *text;
	enum value_type type;
	bool boolean;
};

static const struct word words[] = {
	{ "", VALUE_NULL, false },        { "~", VALUE_NULL, false },        { "null", VALUE_NULL, false },
	{ "Null", VALUE_NULL, false },    { "NULL", VALUE_NULL, false },

	{ "true", VALUE_BOOLEAN, true },  { "True", VALUE_BOOLEAN, true },   { "TRUE", VALUE_BOOLEAN, true },
	{ "yes", VALUE_BOOLEAN, true },   { "Yes", VALUE_BOOLEAN, true },    { "YES", VALUE_BOOLEAN, true },
	{ "on", VALUE_BOOLEAN, true },    { "On", VALUE_BOOLEAN, true },     { "ON", VALUE_BOOLEAN, true },
	{ "y", VALUE_BOOLEAN, true },     { "Y", VALUE_BOOLEAN, true },

	{ "false", VALUE_BOOLEAN, false }, { "False", VALUE_BOOLEAN, false }, { "FALSE", VALUE_BOOLEAN, false },
	{ "no", VALUE_BOOLEAN, false },   { "No", VALUE_BOOLEAN, false },    { "NO", VALUE_BOOLEAN, false },
	{ "off", VALUE_BOOLEAN, false },  { "Off", VALUE_BOOLEAN, false },   { "OFF", VALUE_BOOLEAN, false },
	{ "n", VALUE_BOOLEAN, false },    { "N", VALUE_BOOLEAN, false },

	{ ".nan", VALUE_NUMBER, false },  { ".NaN", VALUE_NUMBER, false },   { ".NAN", VALUE_NUMBER, false },
	{ ".inf", VALUE_NUMBER, false },  { ".Inf", VALUE_NUMBER, false },   { ".INF", VALUE_NUMBER, false },
	{ "+.inf", VALUE_NUMBER, false }, { "+.Inf", VALUE_NUMBER, false },  { "+.INF", VALUE_NUMBER, false },
	{ "-.inf", VALUE_NUMBER, false }, { "-.Inf", VALUE_NUMBER, false },  { "-.INF", VALUE_NUMBER, false },
};

#define LONGEST_WORD 5
/* Of all words but the empty one. */
#define FIRST_LETTERS "~nNtTyYoOfF.+-"

static const struct word *find_word(const char *text)
{
	/* Most scalars are longer than any word, or begin like none. */
	if (strnlen(text, LONGEST_WORD + 1) > LONGEST_WORD || (*text && !strchr(FIRST_LETTERS, *text)))
		return NULL;
	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		if (!strcmp(text, words[i].text))
			return &words[i];
	}
	return NULL;
}

#define DECIMAL "0123456789"
#define HEXADECIMAL "0123456789abcdefABCDEF"
#define OCTAL "01234567"
#define BINARY "01"

static bool has_sign(const char *text)
{
	return *text == '+' || *text == '-';
}

/* All of the text is one or more of these digits; with_underscores: which may have underscores among them. */
static bool only(const char *text, const char *digits, bool with_underscores)
{
	bool found = false;

	for (; *text; text++) {
		if (strchr(digits, *text))
			found = true;
		else if (!with_underscores || *text != '_')
			return false;
	}
	return found;
}

/* The digits and base of an integer that every version of YAML reads alike, or NULL. `text` has no sign. */
static const char *exact_digits(const char *text, int *base)
{
	*base = 16;
	if (text[0] == '0' && text[1] == 'x')
		return only(text + 2, HEXADECIMAL, false) ? text + 2 : NULL;
	*base = 8;
	if (text[0] == '0' && text[1] == 'o')
		return only(text + 2, OCTAL, false) ? text + 2 : NULL;
	*base = 10;
	if (text[0] == '0' && text[1])
		return NULL;
	return only(text, DECIMAL, false) ? text : NULL;
}

static int parse_integer(const char *text, int64_t *out)
{
	bool negative = *text == '-';
	unsigned long long magnitude;
	const char *digits;
	int base;

	digits = exact_digits(text + has_sign(text), &base);
	if (!digits)
		return -EINVAL;
	errno = 0;
	magnitude = strtoull(digits, NULL, base);
	if (errno || magnitude > INT64_MAX)
		return -ERANGE;
	*out = negative ? -(int64_t)magnitude : (int64_t)magnitude;
	return 0;
}

/* Of every address in a list, so without strchr. */
static const char *skip_digits(const char *text, bool *any)
{
	for (; (*text >= '0' && *text <= '9') || *text == '_'; text++)
		*any |= *text != '_';
	return text;
}

/* Digits with a fraction or an exponent or both, or a bare integer of any size. */
static bool is_decimal(const char *text)
{
	bool any = false, exponent = false;

	text = skip_digits(text, &any);
	if (*text == '.')
		text = skip_digits(text + 1, &any);
	if (!any)
		return false;
	if (*text == 'e' || *text == 'E') {
		text++;
		text = skip_digits(text + has_sign(text), &exponent);
		if (!exponent)
			return false;
	}
	return !*text;
}

static bool is_number(const char *text)
{
	text += has_sign(text);
	if ((*text < '0' || *text > '9') && *text != '.')
		return false;
	if (text[0] == '0' && (text[1] == 'x' || text[1] == 'X'))
		return only(text + 2, HEXADECIMAL, true);
	if (text[0] == '0' && (text[1] == 'o' || text[1] == 'O'))
		return only(text + 2, OCTAL, true);
	if (text[0] == '0' && (text[1] == 'b' || text[1] == 'B'))
		return only(text + 2, BINARY, true);
	return is_decimal(text);
}

struct scalar scalar_resolve(const char *text)
{
	const struct word *word = find_word(text);
	struct scalar scalar = { .type = VALUE_STRING };

	if (word) {
		scalar.type = word->type;
		scalar.boolean = word->boolean;
	} else if (is_number(text)) {
		scalar.type = parse_integer(text, &scalar.integer) ? VALUE_NUMBER : VALUE_INTEGER;
	}
	return scalar;
}
