/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log.h"

#include <errno.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/cleanup.h"
#include "base/text.h"
#include "base/timestamp.h"

static const char *const level_names[] = {
	[LOG_LEVEL_ERROR] = "error",
	[LOG_LEVEL_WARNING] = "warning",
	[LOG_LEVEL_INFO] = "info",
	[LOG_LEVEL_DEBUG] = "debug",
};

static struct {
	enum log_level level;
	bool json;
} settings = { .level = LOG_LEVEL_INFO };

int log_level_parse(const char *text, enum log_level *out)
{
	for (size_t i = 0; i < ARRAY_SIZE(level_names); i++) {
		if (!strcmp(text, level_names[i])) {
			*out = (enum log_level)i;
			return 0;
		}
	}
	return -EINVAL;
}

void log_configure(enum log_level level, bool json)
{
	settings.level = level;
	settings.json = json;
}

bool log_enabled(enum log_level level)
{
	return level <= settings.level;
}

static char *encode_json(enum log_level level, const char *message)
{
	char now[TIMESTAMP_TEXT_SIZE];
	json_t *line;
	char *text;

	timestamp_format(time(NULL), now);
	line = json_pack("{s:s, s:s, s:s}", "time", now, "level", level_names[level], "message", message);
	text = line ? json_dumps(line, JSON_COMPACT) : NULL;
	json_decref(line);
	return text;
}

void log_message(enum log_level level, const char *format, ...)
{
	_cleanup_free_ char *message = NULL;
	_cleanup_free_ char *line = NULL;
	int saved = errno;
	va_list arguments;

	if (!log_enabled(level))
		return;
	va_start(arguments, format);
	message = text_format_list(format, arguments);
	va_end(arguments);

	/* Whatever came in from outside: no forged lines, no terminal escapes. */
	if (message)
		text_make_line(message);
	if (message && settings.json)
		line = encode_json(level, message);
	if (line)
		fprintf(stderr, "%s\n", line);
	else
		fprintf(stderr, "%s: %s\n", level_names[level], message ? message : "out of memory for a message");
	errno = saved;
}
