/*
 * str, buf - text and bytes.
 *
 * struct str is a borrowed view, not NUL-terminated. struct buf owns its bytes, grows up to the cap
 * it was given and keeps a NUL behind the last byte, so that buf.data may be passed as a C string
 * (when it holds no NUL itself). Before anything is added (be it 0 bytes) data is NULL. Memory that
 * can't be had for a buffer under its cap ends the process: the journal makes a restart safe.
 */
#ifndef HOLDFAST_BASE_BUF_H
#define HOLDFAST_BASE_BUF_H

#include "base/err.h"

struct str {
    const char *ptr;
    size_t len;
};

#define STR(literal) ((struct str){"" literal, sizeof(literal) - 1})
#define STR_FMT "%.*s"
#define STR_ARG(s) (int)(s).len, (s).ptr

struct str str_of(const char *c_string); /* NULL gives the empty view */
bool str_eq(struct str a, struct str b);
bool str_eq_c(struct str a, const char *b);
bool str_starts(struct str s, struct str prefix);

struct buf {
    char *data;
    size_t len;
    size_t capacity;
    size_t max; /* bytes; never grows past it */
};

#define BUF_INIT(max_bytes)                                                                        \
    {                                                                                              \
        .data = NULL, .len = 0, .capacity = 0, .max = (max_bytes)                                  \
    }

void buf_init(struct buf *buf, size_t max);
void buf_done(struct buf *buf);
void buf_reset(struct buf *buf); /* len 0, memory kept */
struct str buf_str(const struct buf *buf);

/* Append. ERR_LIMIT when the cap would be passed; the buffer is then unchanged. */
int buf_add(struct buf *buf, const void *bytes, size_t len, struct err *err) MUST_CHECK;
int buf_add_str(struct buf *buf, struct str s, struct err *err) MUST_CHECK;
int buf_add_c(struct buf *buf, const char *c_string, struct err *err) MUST_CHECK;
int buf_printf(struct buf *buf, struct err *err, const char *format, ...) PRINTF(3, 4) MUST_CHECK;

/* Room for len more bytes and a NUL at data + buf->len; the caller writes them and adds to len.
 * ERR_LIMIT as above. */
int buf_reserve(struct buf *buf, size_t len, struct err *err) MUST_CHECK;

/* The bytes as a heap string of the caller's (free); buf is empty afterwards. */
char *buf_take(struct buf *buf);

/* Allocation that ends the process when memory is out. For sizes bounded by a named limit only. */
void *xmalloc(size_t size);
void *xcalloc(size_t count, size_t size);
void *xrealloc(void *ptr, size_t size);
char *xstrdup(const char *c_string);
char *xstrndup(const char *ptr, size_t len);
char *xprintf(const char *format, ...) PRINTF(1, 2);

/* Cleanup helpers: `AUTO(free_ptr) char *text = ...;` */
void free_ptr(void *pointer_to_pointer);
void close_fd(int *fd); /* closes when >= 0 */

#endif
