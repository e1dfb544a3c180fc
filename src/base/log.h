/*
 * log - lines for the operator, on stderr: logfmt (`ts=… level=info event=… key=value`) or JSON
 * lines.
 *
 * Only engine, api and cli log; what lies below returns errors. stdout is never touched. Values are
 * quoted and control bytes escaped, so that stored text can't forge a line. A warning says what
 * Holdfast does about it.
 *
 * Thread: any.
 */
#ifndef HOLDFAST_BASE_LOG_H
#define HOLDFAST_BASE_LOG_H

#include "base/err.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };

void log_configure(enum log_level least, bool json);
int log_level_parse(const char *text, enum log_level *ret, struct err *err) MUST_CHECK;

/* event is a fixed dotted word ("vault.append"); then the message. */
void log_line(enum log_level level, const char *event, const char *format, ...) PRINTF(3, 4);
#define log_debug(...) log_line(LOG_DEBUG, __VA_ARGS__)
#define log_info(...) log_line(LOG_INFO, __VA_ARGS__)
#define log_warn(...) log_line(LOG_WARN, __VA_ARGS__)
#define log_error(...) log_line(LOG_ERROR, __VA_ARGS__)

#endif
