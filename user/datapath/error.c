/* SPDX-License-Identifier: Apache-2.0 */
/* The sentence that goes with the last error, and libbpf's messages on their way into it. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "datapath/internal.h"

static _Thread_local char sentence[1024];
static _Thread_local char libbpf_warning[256];

const char *datapath_error(void)
{
	return sentence;
}

int fail(int error, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(sentence, sizeof(sentence), format, arguments);
	va_end(arguments);
	forget_libbpf_warning();
	return error;
}

int fail_errno(int error, const char *format, ...)
{
	char text[sizeof(sentence) - sizeof(libbpf_warning) - 128];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	if (libbpf_warning[0])
		snprintf(sentence, sizeof(sentence), "%s: %s (%s)", text, strerror(-error), libbpf_warning);
	else
		snprintf(sentence, sizeof(sentence), "%s: %s", text, strerror(-error));
	forget_libbpf_warning();
	return error;
}

void forget_libbpf_warning(void)
{
	libbpf_warning[0] = '\0';
}

/* The first warning says what went wrong; those after it say who was affected. */
static void keep_warning(const char *line)
{
	static const char prefix[] = "libbpf: ";

	if (libbpf_warning[0])
		return;
	if (!strncmp(line, prefix, sizeof(prefix) - 1))
		line += sizeof(prefix) - 1;
	snprintf(libbpf_warning, sizeof(libbpf_warning), "%.*s", (int)strcspn(line, "\n"), line);
}

static int capture_message(enum libbpf_print_level level, const char *format, va_list arguments)
{
	char line[4096];
	int length;

	if (level != LIBBPF_WARN && !log_enabled(LOG_LEVEL_DEBUG))
		return 0;
	length = vsnprintf(line, sizeof(line), format, arguments);
	if (level == LIBBPF_WARN)
		keep_warning(line);
	log_debug("%.*s", (int)strcspn(line, "\n") == length - 1 ? length - 1 : length, line);
	return length;
}

void capture_libbpf_messages(void)
{
	libbpf_set_print(capture_message);
}
