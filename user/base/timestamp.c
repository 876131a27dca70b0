/* SPDX-License-Identifier: Apache-2.0 */
#include "base/timestamp.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <time.h>

/* What four digits of a year can hold, in seconds since 1970. */
#define YEAR_0 INT64_C(-62167219200)
#define YEAR_10000 INT64_C(253402300800)

static bool take_number(const char **text, unsigned int digits, int *out)
{
	int number = 0;

	for (; digits; digits--, (*text)++) {
		if (**text < '0' || **text > '9')
			return false;
		number = number * 10 + (**text - '0');
	}
	*out = number;
	return true;
}

static bool take_character(const char **text, char expected)
{
	if (**text != expected)
		return false;
	(*text)++;
	return true;
}

static bool take_fraction(const char **text)
{
	int digit;

	if (!take_character(text, '.'))
		return true;
	if (!take_number(text, 1, &digit))
		return false;
	while (take_number(text, 1, &digit))
		;
	return true;
}

/* "Z" or "+01:00"; *seconds is what the time is ahead of UTC. */
static bool take_offset(const char **text, int64_t *seconds)
{
	int hours, minutes, sign;

	if (take_character(text, 'Z')) {
		*seconds = 0;
		return true;
	}
	if (take_character(text, '+'))
		sign = 1;
	else if (take_character(text, '-'))
		sign = -1;
	else
		return false;
	if (!take_number(text, 2, &hours) || !take_character(text, ':') || !take_number(text, 2, &minutes))
		return false;
	if (hours > 23 || minutes > 59)
		return false;
	*seconds = sign * (hours * 3600 + minutes * 60);
	return true;
}

static bool take_date(const char **text, struct tm *time)
{
	if (!take_number(text, 4, &time->tm_year) || !take_character(text, '-') ||
	    !take_number(text, 2, &time->tm_mon) || !take_character(text, '-') ||
	    !take_number(text, 2, &time->tm_mday))
		return false;
	time->tm_year -= 1900;
	time->tm_mon -= 1;
	return true;
}

static bool take_time(const char **text, struct tm *time)
{
	if (!take_number(text, 2, &time->tm_hour) || !take_character(text, ':') ||
	    !take_number(text, 2, &time->tm_min) || !take_character(text, ':') ||
	    !take_number(text, 2, &time->tm_sec))
		return false;
	return time->tm_hour < 24 && time->tm_min < 60 && time->tm_sec < 60;
}

int timestamp_parse(const char *text, int64_t *out)
{
	struct tm time = {}, normal;
	int64_t offset, seconds;

	if (!take_date(&text, &time) || !take_character(&text, 'T') || !take_time(&text, &time))
		return -EINVAL;
	if (!take_fraction(&text) || !take_offset(&text, &offset) || *text)
		return -EINVAL;

	/* timegm turns 30 February into March: a date that it changes does not exist. */
	normal = time;
	seconds = timegm(&normal);
	if (normal.tm_mday != time.tm_mday || normal.tm_mon != time.tm_mon)
		return -EINVAL;
	seconds -= offset;
	if (seconds < YEAR_0 || seconds >= YEAR_10000)
		return -EINVAL;
	*out = seconds;
	return 0;
}

const char *timestamp_format(int64_t seconds, char text[TIMESTAMP_TEXT_SIZE])
{
	size_t length = TIMESTAMP_TEXT_SIZE;
	time_t time = seconds;
	struct tm broken;

	text[0] = '\0';
	if (seconds < YEAR_0 || seconds >= YEAR_10000 || !gmtime_r(&time, &broken))
		return text;
	/* strftime's %Y gives early years fewer than four digits. */
	snprintf(text, length, "%04d", broken.tm_year + 1900);
	strftime(text + 4, length - 4, "-%m-%dT%H:%M:%SZ", &broken);
	return text;
}
