/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages on standard error, as text ("<level>: message") or a JSON object a line. Commands log at any level; library
 * code (everything outside agent/ and cli/) at debug only, and returns errors.
 */
#ifndef EGRESSD_BASE_LOG_H
#define EGRESSD_BASE_LOG_H

#include <stdbool.h>

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARNING, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

/* "error", "warning", "info", "debug"; 0 or -EINVAL. */
int log_level_parse(const char *text, enum log_level *out);
void log_configure(enum log_level level, bool json);
bool log_enabled(enum log_level level);
void log_message(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

#define log_error(...) log_message(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warning(...) log_message(LOG_LEVEL_WARNING, __VA_ARGS__)
#define log_info(...) log_message(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...)                                             \
	do {                                                       \
		if (log_enabled(LOG_LEVEL_DEBUG))                  \
			log_message(LOG_LEVEL_DEBUG, __VA_ARGS__); \
	} while (0)

#endif
