#include "base/err.h"

#include <errno.h>

#include "base/utf8.h"

struct row {
    const char *name;
    const char *meaning;
    enum err_class class;
    int http_status;
    int jsonrpc_code;
    int exit_status;
};

static const struct row ROWS[ERR_CODES] = {
    [ERR_NONE] = {"none", "no error", ERR_CLASS_REJECT, 200, 0, 0},
#define ERR(code, name, class, http, jsonrpc, exit, meaning)                                       \
    [ERR_##code] = {name, meaning, ERR_CLASS_##class, http, jsonrpc, exit},
#include "base/err.def"
#undef ERR
};

/* A code that is in no row is a defect of ours, and is treated as one. */
static const struct row *row_of(int code)
{
    unsigned index = code < 0 ? 0 - (unsigned)code : (unsigned)code;

    return &ROWS[index < ERR_CODES ? index : ERR_INTERNAL];
}

#define ELLIPSIS "\xe2\x80\xa6"

/*
 * text holds what vsnprintf left of a message of full_len bytes: when that did not fit, end it in
 * "…", between two code points.
 */
static void mark_cut(char text[ERR_MESSAGE_MAX], size_t full_len)
{
    if (full_len < ERR_MESSAGE_MAX) {
        return;
    }
    size_t end = ERR_MESSAGE_MAX - sizeof(ELLIPSIS);
    while (end > 0 && ((unsigned char)text[end] & 0xC0) == 0x80) {
        end--;
    }
    memcpy(text + end, ELLIPSIS, sizeof(ELLIPSIS));
}

/* Formatted aside first, since the arguments may point into err->message. */
PRINTF(3, 0) static int fill(struct err *err, enum err_code code, const char *format, va_list args)
{
    char text[ERR_MESSAGE_MAX];
    int len = vsnprintf(text, sizeof(text), format, args);

    if (len < 0) {
        len = snprintf(text, sizeof(text), "(the message could not be written)");
    }
    mark_cut(text, (size_t)len);
    utf8_make_printable(text, strlen(text));
    err->code = code;
    memcpy(err->message, text, strlen(text) + 1);
    return -(int)code;
}

PRINTF(3, 4) static int fill_f(struct err *err, enum err_code code, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    int rc = fill(err, code, format, args);
    va_end(args);
    return rc;
}

int err_set(struct err *err, enum err_code code, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    int rc = fill(err, code, format, args);
    va_end(args);
    return rc;
}

int err_errno(struct err *err, enum err_code code, int errno_value, const char *format, ...)
{
    char text_space[128];
    va_list args;

    if (errno_value == ENOSPC || errno_value == EDQUOT) {
        code = ERR_FULL;
    }
    va_start(args, format);
    (void)fill(err, code, format, args); /* completed below */
    va_end(args);
    return fill_f(err, code, "%s: %s", err->message,
                  strerror_r(errno_value, text_space, sizeof(text_space)));
}

int err_context(struct err *err, const char *format, ...)
{
    struct err context;
    va_list args;

    va_start(args, format);
    (void)fill(&context, err->code, format, args); /* completed below */
    va_end(args);
    return fill_f(err, err->code, "%s: %s", context.message, err->message);
}

int err_copy(struct err *err, const struct err *from)
{
    if (err != from) {
        err->code = from->code;
        memcpy(err->message, from->message, sizeof(err->message));
    }
    return -(int)err->code;
}

const char *err_name(int code)
{
    return row_of(code)->name;
}

const char *err_meaning(int code)
{
    return row_of(code)->meaning;
}

enum err_class err_class(int code)
{
    return row_of(code)->class;
}

int err_http_status(int code)
{
    return row_of(code)->http_status;
}

int err_jsonrpc_code(int code)
{
    return row_of(code)->jsonrpc_code;
}

int err_exit_status(int code)
{
    return row_of(code)->exit_status;
}

enum err_code err_by_name(const char *name)
{
    for (int code = ERR_NONE + 1; name != NULL && code < ERR_CODES; code++) {
        if (strcmp(ROWS[code].name, name) == 0) {
            return (enum err_code)code;
        }
    }
    return ERR_NONE;
}
