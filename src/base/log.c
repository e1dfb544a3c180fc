#include "base/log.h"

#include <errno.h>
#include <limits.h>
#include <stdatomic.h>
#include <unistd.h>

#include "base/env.h"
#include "base/timestamp.h"
#include "base/utf8.h"

#define LINE_MAX_BYTES                                                                             \
    PIPE_BUF /* up to here write(2) to a pipe is atomic: lines of two processes don't mix */
#define MESSAGE_MAX_BYTES 2048 /* before escaping */
#define END_ROOM 8             /* kept free for "…", the closing quote, brace and newline */

static _Atomic int least_level = LOG_INFO;
static _Atomic bool as_json;

static const char *const LEVELS[] = {"debug", "info", "warn", "error"};

void log_configure(enum log_level least, bool json)
{
    least_level = (int)least;
    as_json = json;
}

int log_level_parse(const char *text, enum log_level *ret, struct err *err)
{
    for (int level = LOG_DEBUG; level <= LOG_ERROR; level++) {
        if (strcmp(text, LEVELS[level]) == 0) {
            *ret = (enum log_level)level;
            return 0;
        }
    }
    return err_set(err, ERR_INVALID, "log level \"%.64s\" is not one of debug, info, warn, error",
                   text);
}

struct line {
    char bytes[LINE_MAX_BYTES];
    size_t len;
};

static void add(struct line *line, const char *text)
{
    size_t len = strlen(text);
    size_t room = sizeof(line->bytes) - line->len;

    len = len < room ? len : room;
    memcpy(line->bytes + line->len, text, len);
    line->len += len;
}

/* One character of the message as it may stand between quotes, both in logfmt and in JSON. Returns
 * the bytes read. */
static size_t escape(struct str rest, char ret_text[8])
{
    unsigned char c = (unsigned char)rest.ptr[0];
    struct err ignored;
    size_t count;

    if (c == '\n' || c == '\r' || c == '\t') {
        (void)snprintf(ret_text, 8, "\\%c", c == '\n' ? 'n' : c == '\r' ? 'r' : 't');
        return 1;
    }
    if (c == '"' || c == '\\') {
        (void)snprintf(ret_text, 8, "\\%c", c);
        return 1;
    }
    if (c < 0x20 || c == 0x7F) {
        (void)snprintf(ret_text, 8, "\\u%04x", c);
        return 1;
    }
    if (c < 0x80) {
        (void)snprintf(ret_text, 8, "%c", c);
        return 1;
    }
    for (size_t len = 2; len <= 4 && len <= rest.len; len++) {
        if (utf8_check((struct str){rest.ptr, len}, &count, &ignored) == 0) {
            if (c == 0xC2 && (unsigned char)rest.ptr[1] < 0xA0) { /* C1 controls: terminals obey */
                (void)snprintf(ret_text, 8, "\\u%04x", (unsigned char)rest.ptr[1]);
            } else {
                (void)snprintf(ret_text, 8, "%.*s", (int)len, rest.ptr);
            }
            return len;
        }
    }
    (void)snprintf(ret_text, 8, "\\ufffd"); /* not UTF-8 */
    return 1;
}

/* `cut`: text is only the beginning of what was to be said. */
static void add_quoted(struct line *line, struct str text, bool cut)
{
    char piece[8];

    add(line, "\"");
    for (size_t i = 0; i < text.len;) {
        i += escape((struct str){text.ptr + i, text.len - i}, piece);
        if (line->len + strlen(piece) + END_ROOM > sizeof(line->bytes)) {
            cut = true;
            break;
        }
        add(line, piece);
    }
    add(line, cut ? "\xe2\x80\xa6\"" : "\"");
}

static void write_line(const struct line *line)
{
    size_t done = 0;

    while (done < line->len) {
        ssize_t written = write(STDERR_FILENO, line->bytes + done, line->len - done);
        if (written < 0 && errno == EINTR) {
            continue;
        }
        if (written <= 0) {
            return; /* there is nobody left to tell */
        }
        done += (size_t)written;
    }
}

static void build(struct line *line, enum log_level level, const char *event, struct str message,
                  bool cut)
{
    char now[TIMESTAMP_TEXT_MAX];
    bool json = as_json;

    timestamp_format(env_system()->now_us(env_system()), now);
    add(line, json ? "{\"ts\":\"" : "ts=");
    add(line, now);
    add(line, json ? "\",\"level\":\"" : " level=");
    add(line, LEVELS[level]);
    add(line, json ? "\",\"event\":\"" : " event=");
    add(line, event);
    add(line, json ? "\",\"msg\":" : " msg=");
    add_quoted(line, message, cut);
    add(line, json ? "}\n" : "\n");
}

void log_line(enum log_level level, const char *event, const char *format, ...)
{
    char message[MESSAGE_MAX_BYTES];
    struct line line = {.len = 0};
    int saved = errno;
    va_list args;

    if ((int)level < least_level) {
        return;
    }
    va_start(args, format);
    int len = vsnprintf(message, sizeof(message), format, args);
    va_end(args);
    bool cut = len >= (int)sizeof(message);
    struct str shown = {message, cut ? sizeof(message) - 1 : (size_t)(len < 0 ? 0 : len)};
    if (cut) {
        shown.len =
            utf8_cut(shown, sizeof(message) - 4); /* it may have been cut inside of a character */
    }
    build(&line, level, event, shown, cut);
    write_line(&line);
    errno = saved;
}
