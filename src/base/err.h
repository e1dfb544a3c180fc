/*
 * err - one error: a code from err.def and a message for the person who reads it.
 *
 * A fallible function returns 0 or -ERR_X and takes a `struct err *err` last, which it fills when
 * it fails (err may not be NULL). The message says what happened, where, and what is allowed or
 * what to do. Context is prepended on the way up: "vault archive: segment 0000…1.jsonl: record 17:
 * …". Codes of other libraries become ours at the driver's edge.
 *
 * A message often quotes what was refused. So it is made UTF-8 without control characters (but
 * newlines) when it is set: it may be shown on a terminal or sent as JSON as it is.
 *
 * Thread: a struct err belongs to one thread.
 */
#ifndef HOLDFAST_BASE_ERR_H
#define HOLDFAST_BASE_ERR_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MUST_CHECK __attribute__((warn_unused_result))
#define PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#define AUTO(done) __attribute__((cleanup(done)))

enum err_code {
    ERR_NONE = 0,
#define ERR(code, ...) ERR_##code,
#include "base/err.def"
#undef ERR
    ERR_CODES
};

enum err_class { ERR_CLASS_RETRY, ERR_CLASS_REJECT, ERR_CLASS_STOP };

#define ERR_MESSAGE_MAX 1024 /* bytes with the final NUL; longer messages end in "…" */

struct err {
    enum err_code code;
    char message[ERR_MESSAGE_MAX];
};

#define ERR_INIT                                                                                   \
    {                                                                                              \
        .code = ERR_NONE                                                                           \
    }

/* Fill err and return -code: `return err_set(err, ERR_INVALID, "importance is %g; allowed is 0 to
 * 1", x);` */
int err_set(struct err *err, enum err_code code, const char *format, ...) PRINTF(3, 4);

/* As err_set, with ": " and the text of errno_value appended; ENOSPC and EDQUOT become ERR_FULL,
 * whatever code says. */
int err_errno(struct err *err, enum err_code code, int errno_value, const char *format, ...)
    PRINTF(4, 5);

/* Prepend "context: " to the message and return -err->code. */
int err_context(struct err *err, const char *format, ...) PRINTF(2, 3);

/* Copy from's code and message into err and return -from->code. */
int err_copy(struct err *err, const struct err *from);

/* What err.def says of a code; `code` may be given as returned (negative). */
const char *err_name(int code);
const char *err_meaning(int code);
enum err_class err_class(int code);
int err_http_status(int code);
int err_jsonrpc_code(int code);
int err_exit_status(int code);

/* The code with this name, or ERR_NONE. For replies that came over the wire. */
enum err_code err_by_name(const char *name);

#include "base/banned.h"

#endif
