#include "base/buf.h"

#include <errno.h>
#include <unistd.h>

#define FIRST_CAPACITY 64 /* bytes; most texts here are short */

struct str str_of(const char *c_string)
{
    return c_string == NULL ? (struct str){"", 0} : (struct str){c_string, strlen(c_string)};
}

bool str_eq(struct str a, struct str b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

bool str_eq_c(struct str a, const char *b)
{
    return str_eq(a, str_of(b));
}

bool str_starts(struct str s, struct str prefix)
{
    return s.len >= prefix.len && str_eq((struct str){s.ptr, prefix.len}, prefix);
}

void buf_init(struct buf *buf, size_t max)
{
    *buf = (struct buf)BUF_INIT(max);
}

void buf_done(struct buf *buf)
{
    if (buf == NULL) {
        return;
    }
    free(buf->data);
    *buf = (struct buf)BUF_INIT(buf->max);
}

void buf_reset(struct buf *buf)
{
    buf->len = 0;
    if (buf->data != NULL) {
        buf->data[0] = '\0';
    }
}

struct str buf_str(const struct buf *buf)
{
    return buf->data == NULL ? (struct str){"", 0} : (struct str){buf->data, buf->len};
}

/* Doubling keeps appending linear; the last step goes to the cap exactly. One byte more than asked
 * for, for the NUL. */
static void grow(struct buf *buf, size_t needed)
{
    size_t capacity = buf->capacity < FIRST_CAPACITY ? FIRST_CAPACITY : buf->capacity;

    while (capacity <= needed) {
        capacity = capacity > SIZE_MAX / 2 ? SIZE_MAX : capacity * 2;
    }
    if (capacity > buf->max && buf->max < SIZE_MAX) {
        capacity = buf->max + 1;
    }
    buf->data = xrealloc(buf->data, capacity);
    buf->capacity = capacity;
}

int buf_reserve(struct buf *buf, size_t len, struct err *err)
{
    if (len > buf->max - buf->len) {
        return err_set(err, ERR_LIMIT, "%zu bytes and %zu more are beyond the limit of %zu bytes",
                       buf->len, len, buf->max);
    }
    if (buf->len + len >= buf->capacity) {
        grow(buf, buf->len + len);
    }
    return 0;
}

int buf_add(struct buf *buf, const void *bytes, size_t len, struct err *err)
{
    int rc = buf_reserve(buf, len, err);

    if (rc < 0) {
        return rc;
    }
    if (len > 0) {
        memcpy(buf->data + buf->len, bytes, len);
    }
    buf->len += len;
    buf->data[buf->len] = '\0';
    return 0;
}

int buf_add_str(struct buf *buf, struct str s, struct err *err)
{
    return buf_add(buf, s.ptr, s.len, err);
}

int buf_add_c(struct buf *buf, const char *c_string, struct err *err)
{
    return buf_add_str(buf, str_of(c_string), err);
}

int buf_printf(struct buf *buf, struct err *err, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    int len = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (len < 0) {
        return err_errno(err, ERR_INTERNAL, errno, "formatting a text");
    }
    int rc = buf_reserve(buf, (size_t)len, err);
    if (rc < 0) {
        return rc;
    }
    va_start(args, format);
    (void)vsnprintf(buf->data + buf->len, (size_t)len + 1, format, args); /* measured above */
    va_end(args);
    buf->len += (size_t)len;
    return 0;
}

char *buf_take(struct buf *buf)
{
    char *data = buf->data == NULL ? xstrdup("") : buf->data;

    *buf = (struct buf)BUF_INIT(buf->max);
    return data;
}

/* Memory is out: nothing that allocates may run any more, so the message goes straight to stderr.
 */
__attribute__((noreturn)) static void out_of_memory(void)
{
    static const char TEXT[] = "holdfast: out of memory; the journal makes a restart safe\n";

    (void)!write(STDERR_FILENO, TEXT, sizeof(TEXT) - 1); /* the process ends either way */
    abort();
}

void *xmalloc(size_t size)
{
    void *ptr = malloc(size == 0 ? 1 : size);

    if (ptr == NULL) {
        out_of_memory();
    }
    return ptr;
}

void *xcalloc(size_t count, size_t size)
{
    bool nothing = count == 0 || size == 0;
    void *ptr = calloc(nothing ? 1 : count, nothing ? 1 : size);

    if (ptr == NULL) {
        out_of_memory();
    }
    return ptr;
}

void *xrealloc(void *ptr, size_t size)
{
    void *grown = realloc(ptr, size == 0 ? 1 : size);

    if (grown == NULL) {
        out_of_memory();
    }
    return grown;
}

char *xstrdup(const char *c_string)
{
    return xstrndup(c_string, strlen(c_string));
}

char *xstrndup(const char *ptr, size_t len)
{
    char *copy = xmalloc(len + 1);

    if (len > 0) {
        memcpy(copy, ptr, len);
    }
    copy[len] = '\0';
    return copy;
}

char *xprintf(const char *format, ...)
{
    char *text = NULL;
    va_list args;

    va_start(args, format);
    int len = vasprintf(&text, format, args);
    va_end(args);
    if (len < 0) {
        out_of_memory();
    }
    return text;
}

void free_ptr(void *pointer_to_pointer)
{
    void **pointer = pointer_to_pointer;

    free(*pointer);
    *pointer = NULL;
}

void close_fd(int *fd)
{
    if (*fd >= 0) {
        (void)close(*fd); /* what had to be durable was synced before */
        *fd = -1;
    }
}
