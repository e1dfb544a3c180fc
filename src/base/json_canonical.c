#include "base/json.h"

#include <math.h>

#include "base/json_scan.h"

#define STACK_KEYS 32 /* objects up to this size are sorted without allocating */

/* RFC 8785 section 3.2.2.2: the short escapes where there are such, else \u00xx in lower case. */
static int add_escape(unsigned char c, struct buf *buf, struct err *err)
{
    static const char SHORT[] = {['\b'] = 'b', ['\t'] = 't', ['\n'] = 'n', ['\f'] = 'f',
                                 ['\r'] = 'r', ['"'] = '"',  ['\\'] = '\\'};
    static const char DIGITS[] = "0123456789abcdef";

    if (c < sizeof(SHORT) && SHORT[c] != 0) {
        return buf_add(buf, (char[]){'\\', SHORT[c]}, 2, err);
    }
    return buf_add(buf, (char[]){'\\', 'u', '0', '0', DIGITS[c >> 4], DIGITS[c & 0x0F]}, 6, err);
}

/* buf_add of one byte, without the call when there is room. */
static inline int add_byte(char c, struct buf *buf, struct err *err)
{
    if (buf->len + 1 < buf->capacity) {
        buf->data[buf->len++] = c;
        buf->data[buf->len] = '\0';
        return 0;
    }
    return buf_add(buf, &c, 1, err);
}

/* Back to what it was: nothing half written is left behind. */
static int undo(struct buf *buf, size_t len, const struct err *err)
{
    if (buf->data != NULL) {
        buf->len = len;
        buf->data[len] = '\0';
    }
    return -(int)err->code;
}

/* A string without anything to escape, as nearly all are. */
static int add_plain(struct str s, struct buf *buf, struct err *err)
{
    int rc = buf_reserve(buf, s.len + 2, err);

    if (rc < 0) {
        return rc;
    }
    char *out = buf->data + buf->len;
    out[0] = '"';
    memcpy(out + 1, s.ptr, s.len);
    out[s.len + 1] = '"';
    out[s.len + 2] = '\0';
    buf->len += s.len + 2;
    return 0;
}

static int add_escaped(struct str s, struct buf *buf, struct err *err)
{
    int rc = add_byte('"', buf, err);

    while (rc == 0 && s.len > 0) {
        size_t run = json_plain_run(s);
        if (run == 0) {
            rc = add_escape((unsigned char)s.ptr[0], buf, err);
            run = 1;
        } else {
            rc = buf_add(buf, s.ptr, run, err);
        }
        s = (struct str){s.ptr + run, s.len - run};
    }
    return rc == 0 ? add_byte('"', buf, err) : rc;
}

int json_canonical_string(struct str s, struct buf *buf, struct err *err)
{
    size_t start = buf->len;

    if (s.len == 0) {
        return buf_add(buf, "\"\"", 2, err);
    }
    if (json_plain_run(s) == s.len) {
        return add_plain(s, buf, err);
    }
    return add_escaped(s, buf, err) == 0 ? 0 : undo(buf, start, err);
}

static int add_value(const json_t *value, int depth, struct buf *buf, struct err *err);

struct member {
    struct str key;
    const json_t *value;
};

/*
 * By UTF-16 code units (RFC 8785 section 3.2.3). Bytes of UTF-8 sort as code points do, which is
 * the same but for one thing: the surrogates of what lies above U+FFFF (lead bytes F0 to F4) come
 * before U+E000..U+FFFF (lead bytes EE, EF).
 */
int json_compare_keys(struct str a, struct str b)
{
    size_t shorter = a.len < b.len ? a.len : b.len;

    for (size_t i = 0; i < shorter; i++) {
        unsigned char x = (unsigned char)a.ptr[i];
        unsigned char y = (unsigned char)b.ptr[i];
        if (x != y) {
            bool swapped = x >= 0xEE && y >= 0xEE && (x >= 0xF0) != (y >= 0xF0);
            return (x < y) != swapped ? -1 : 1;
        }
    }
    return (a.len > b.len) - (a.len < b.len);
}

static int compare_members(const void *left, const void *right)
{
    const struct member *a = left;
    const struct member *b = right;

    return json_compare_keys(a->key, b->key);
}

/* Insertion sort: few keys, and mostly in order already. */
static void sort_few(struct member *members, size_t count)
{
    for (size_t i = 1; i < count; i++) {
        struct member member = members[i];
        size_t j = i;
        for (; j > 0 && compare_members(&member, &members[j - 1]) < 0; j--) {
            members[j] = members[j - 1];
        }
        members[j] = member;
    }
}

/* members has room for all; in canonical order afterwards. */
static void collect_members(const json_t *object, struct member *members, size_t count)
{
    json_t *shared =
        (json_t *)(uintptr_t)object; /* jansson's iterators want it so; nothing is changed */
    size_t i = 0;

    for (void *at = json_object_iter(shared); at != NULL; at = json_object_iter_next(shared, at)) {
        const char *key = json_object_iter_key(at);
        members[i++] = (struct member){str_of(key), json_object_iter_value(at)};
    }
    if (count <= STACK_KEYS) {
        sort_few(members, count);
    } else {
        qsort(members, count, sizeof(*members), compare_members);
    }
}

static int add_members(const struct member *members, size_t count, int depth, struct buf *buf,
                       struct err *err)
{
    int rc = add_byte('{', buf, err);

    for (size_t i = 0; rc == 0 && i < count; i++) {
        if (i > 0) {
            rc = add_byte(',', buf, err);
        }
        if (rc == 0) {
            rc = json_canonical_string(members[i].key, buf, err);
        }
        if (rc == 0) {
            rc = add_byte(':', buf, err);
        }
        if (rc == 0) {
            rc = add_value(members[i].value, depth, buf, err);
        }
    }
    return rc == 0 ? add_byte('}', buf, err) : rc;
}

static int add_object(const json_t *object, int depth, struct buf *buf, struct err *err)
{
    struct member few[STACK_KEYS];
    AUTO(free_ptr) struct member *many = NULL;
    struct member *members = few;
    size_t count = json_object_size(object);

    if (count > STACK_KEYS) {
        members = many = xcalloc(count, sizeof(*many));
    }
    collect_members(object, members, count);
    return add_members(members, count, depth, buf, err);
}

static int add_array(const json_t *array, int depth, struct buf *buf, struct err *err)
{
    size_t count = json_array_size(array);
    int rc = add_byte('[', buf, err);

    for (size_t i = 0; rc == 0 && i < count; i++) {
        if (i > 0) {
            rc = add_byte(',', buf, err);
        }
        if (rc == 0) {
            rc = add_value(json_array_get(array, i), depth, buf, err);
        }
    }
    return rc == 0 ? add_byte(']', buf, err) : rc;
}

/* Below 1e21 the canonical form has no exponent: it would be read back as an integer, and refused
 * then. */
static int add_real(double value, struct buf *buf, struct err *err)
{
    if (fabs(value) >= 0x1p53 && fabs(value) < 1e21) {
        return err_set(err, ERR_INVALID,
                       "the integer %.0f is outside of -(2^53 - 1) to 2^53 - 1, where JSON numbers "
                       "are exact; send it as a string",
                       value);
    }
    return json_canonical_number(value, buf, err);
}

static int add_value(const json_t *value, int depth, struct buf *buf, struct err *err)
{
    switch (json_typeof(value)) {
    case JSON_OBJECT:
    case JSON_ARRAY:
        if (depth == JSON_DEPTH_MAX) {
            return err_set(err, ERR_LIMIT, "JSON nested deeper than %d levels", JSON_DEPTH_MAX);
        }
        return json_is_object(value) ? add_object(value, depth + 1, buf, err)
                                     : add_array(value, depth + 1, buf, err);
    case JSON_STRING:
        return json_canonical_string(
            (struct str){json_string_value(value), json_string_length(value)}, buf, err);
    case JSON_INTEGER:
        return json_canonical_integer(json_integer_value(value), buf, err);
    case JSON_REAL:
        return add_real(json_real_value(value), buf, err);
    case JSON_TRUE:
        return buf_add(buf, "true", 4, err);
    case JSON_FALSE:
        return buf_add(buf, "false", 5, err);
    case JSON_NULL:
    default:
        return buf_add(buf, "null", 4, err);
    }
}

int json_canonical(const json_t *value, struct buf *buf, struct err *err)
{
    size_t start = buf->len;

    return add_value(value, 0, buf, err) == 0 ? 0 : undo(buf, start, err);
}
