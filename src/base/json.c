#include "base/json.h"

#include <assert.h>
#include <math.h>

#include "base/utf8.h"

#define EXACT_INTEGER_MAX 9007199254740991LL /* 2^53 - 1: RFC 8785 section 3.2.2.3 */
#define STACK_KEYS 32      /* objects up to this size are sorted without allocating */
#define NUMBER_TEXT_MAX 32 /* bytes; the longest is -2.2250738585072014e-308 */

/* ---- reading ---- */

/* The quote that ends the string whose first byte is at p, or end. */
static const char *string_end(const char *p, const char *end)
{
    const char *start = p;

    for (;;) {
        const char *quote = memchr(p, '"', (size_t)(end - p));
        if (quote == NULL) {
            return end;
        }
        const char *backslash = quote;
        while (backslash > start && backslash[-1] == '\\') {
            backslash--;
        }
        if ((quote - backslash) % 2 == 0) {
            return quote;
        }
        p = quote + 1;
    }
}

static int too_deep(struct str text, const char *at, struct err *err)
{
    size_t line = 1;
    const char *line_start = text.ptr;

    for (const char *p = text.ptr; p < at; p++) {
        if (*p == '\n') {
            line++;
            line_start = p + 1;
        }
    }
    return err_set(err, ERR_INVALID, "JSON line %zu, column %zu: nested deeper than %d levels",
                   line, (size_t)(at - line_start) + 1, JSON_DEPTH_MAX);
}

static int check_depth(struct str text, struct err *err)
{
    const char *end = text.ptr + text.len;
    int depth = 0;

    for (const char *p = text.ptr; p < end; p++) {
        switch (*p) {
        case '"':
            p = string_end(p + 1, end);
            break;
        case '[':
        case '{':
            if (++depth > JSON_DEPTH_MAX) {
                return too_deep(text, p, err);
            }
            break;
        case ']':
        case '}':
            depth--;
            break;
        default:
            break;
        }
    }
    return 0;
}

/* jansson's reason in our words; what it found ("… near '1e400'") is kept. */
static int explain(const json_error_t *error, struct err *err)
{
    const char *near = strstr(error->text, " near ");
    const char *reason = NULL;

    switch (json_error_code(error)) {
    case json_error_invalid_utf8:
        reason = "this is not UTF-8";
        break;
    case json_error_null_character:
    case json_error_null_byte_in_key:
        reason = "\\u0000 (NUL) is not allowed in a text";
        break;
    case json_error_duplicate_key:
        reason = "a key appears twice in one object";
        break;
    case json_error_numeric_overflow:
        reason = "the number is too large; send it as a string";
        break;
    case json_error_premature_end_of_input:
        reason = "the text ends too early";
        break;
    case json_error_end_of_input_expected:
        reason = "there is something behind the end of the JSON value";
        break;
    case json_error_out_of_memory:
        abort();
    default:
        break;
    }
    if (reason == NULL) {
        return err_set(err, ERR_INVALID, "JSON line %d, column %d: %s", error->line, error->column,
                       error->text);
    }
    return err_set(err, ERR_INVALID, "JSON line %d, column %d: %s%s", error->line, error->column,
                   reason, near == NULL ? "" : near);
}

int json_parse(struct str text, json_t **ret, struct err *err)
{
    json_error_t error;
    int rc = check_depth(text, err);

    if (rc < 0) {
        return rc;
    }
    json_t *value = json_loadb(text.ptr == NULL ? "" : text.ptr, text.len,
                               JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &error);
    if (value == NULL) {
        return explain(&error, err);
    }
    *ret = value;
    return 0;
}

void json_unref(json_t **value)
{
    json_decref(*value);
    *value = NULL;
}

/* ---- strings ---- */

#define EACH_BYTE(b) (0x0101010101010101ULL * (b))
#define HAS_ZERO(word) (((word)-EACH_BYTE(1)) & ~(word)&EACH_BYTE(0x80))

/* True when none of the eight bytes needs an escape. May be false for eight that need none; never
 * the other way. */
static bool is_plain_word(const char *p)
{
    uint64_t word;

    memcpy(&word, p, sizeof(word));
    uint64_t control = (word - EACH_BYTE(0x20)) & ~word & EACH_BYTE(0x80);
    uint64_t quote = word ^ EACH_BYTE('"');
    uint64_t backslash = word ^ EACH_BYTE('\\');
    return (control | HAS_ZERO(quote) | HAS_ZERO(backslash)) == 0;
}

static bool is_plain(char c)
{
    return (unsigned char)c >= 0x20 && c != '"' && c != '\\';
}

/* The length of the run at the start of s that is written as it is. */
static size_t plain_run(struct str s)
{
    size_t i = 0;

    while (s.len - i >= sizeof(uint64_t) && is_plain_word(s.ptr + i)) {
        i += sizeof(uint64_t);
    }
    while (i < s.len && is_plain(s.ptr[i])) {
        i++;
    }
    return i;
}

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

int json_canonical_string(struct str s, struct buf *buf, struct err *err)
{
    size_t start = buf->len;
    int rc = buf_add(buf, "\"", 1, err);

    while (rc == 0 && s.len > 0) {
        size_t run = plain_run(s);
        if (run == 0) {
            rc = add_escape((unsigned char)s.ptr[0], buf, err);
            run = 1;
        } else {
            rc = buf_add(buf, s.ptr, run, err);
        }
        s = (struct str){s.ptr + run, s.len - run};
    }
    if (rc == 0) {
        rc = buf_add(buf, "\"", 1, err);
    }
    if (rc < 0) {
        buf->len = start;
    }
    return rc;
}

/* ---- numbers ---- */

/* value = 0.d1 d2 d3 … * 10^point */
struct decimal {
    char digits[20];
    int count;
    int point;
};

static int write_u64(uint64_t value, char *out)
{
    char reversed[20];
    int count = 0;

    do {
        reversed[count++] = (char)('0' + value % 10);
        value /= 10;
    } while (value > 0);
    for (int i = 0; i < count; i++) {
        out[i] = reversed[count - 1 - i];
    }
    return count;
}

static void strip_zeros(struct decimal *d)
{
    while (d->count > 1 && d->digits[d->count - 1] == '0') {
        d->count--;
    }
}

/*
 * Any number between 1e-6 and 1e15 of at most 15 digits, which are nearly all that occur, without
 * printf: scaled to 15 digits it is an integer, and that integer divided again gives the number.
 * Both steps are exact enough because powers of ten up to 22 are exact in a double, and two
 * different decimals of 15 digits are never the same double.
 */
static bool decimal_short(double x, struct decimal *ret)
{
    static const double POWERS[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                    1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
                                    1e16, 1e17, 1e18, 1e19, 1e20, 1e21};

    if (x < 1e-6 || x >= 1e15) {
        return false;
    }
    int scale = 0;
    while (x * POWERS[scale] < 1e14) {
        scale++;
    }
    double scaled = nearbyint(x * POWERS[scale]);
    if (scaled / POWERS[scale] != x) {
        return false;
    }
    ret->count = write_u64((uint64_t)scaled, ret->digits);
    ret->point = ret->count - scale;
    strip_zeros(ret);
    return true;
}

/* The digits of "d.ddde±xx", whatever the locale's decimal point. */
static void read_scientific(const char *text, struct decimal *ret)
{
    const char *p = text;

    ret->count = 0;
    for (; *p != 'e'; p++) {
        if (*p >= '0' && *p <= '9') {
            ret->digits[ret->count++] = *p;
        }
    }
    ret->point = (int)strtol(p + 1, NULL, 10) + 1;
    strip_zeros(ret);
}

/* One more in the last place of "d.ddde±xx"; false for 9.99…9, which would get another exponent. */
static bool next_up(char *text)
{
    for (char *p = strchr(text, 'e') - 1; p >= text; p--) {
        if (*p >= '0' && *p < '9') {
            ++*p;
            return true;
        }
        if (*p == '9') {
            *p = '0';
        }
    }
    return false;
}

/*
 * The shortest digits that read back as x; of several, the nearest to x. printf gives the nearest
 * of each length. At a power of two the doubles below lie closer than those above, so there the
 * next decimal above may read back when the nearest doesn't. Subnormals have fewer digits than 15.
 */
static void decimal_shortest(double x, struct decimal *ret)
{
    char text[40];
    int exponent;
    bool power_of_two = frexp(x, &exponent) == 0.5;

    for (int digits = fpclassify(x) == FP_SUBNORMAL ? 1 : 15; digits <= 17; digits++) {
        (void)snprintf(text, sizeof(text), "%.*e", digits - 1, x); /* at most 25 bytes */
        if (strtod(text, NULL) == x || (power_of_two && next_up(text) && strtod(text, NULL) == x)) {
            break;
        }
    }
    read_scientific(text, ret);
}

static char *put(char *out, const char *bytes, int len)
{
    memcpy(out, bytes, (size_t)len);
    return out + len;
}

static char *put_zeros(char *out, int count)
{
    memset(out, '0', (size_t)count);
    return out + count;
}

/* ECMA-262, Number::toString, steps 6 to 12. */
static char *put_decimal(char *out, const struct decimal *d)
{
    if (d->point > 21 || d->point <= -6) {
        int exponent = d->point - 1;
        *out++ = d->digits[0];
        if (d->count > 1) {
            *out++ = '.';
            out = put(out, d->digits + 1, d->count - 1);
        }
        *out++ = 'e';
        *out++ = exponent < 0 ? '-' : '+';
        return out + write_u64((uint64_t)(exponent < 0 ? -exponent : exponent), out);
    }
    if (d->point <= 0) {
        out = put(out, "0.", 2);
        out = put_zeros(out, -d->point);
        return put(out, d->digits, d->count);
    }
    if (d->count <= d->point) {
        out = put(out, d->digits, d->count);
        return put_zeros(out, d->point - d->count);
    }
    out = put(out, d->digits, d->point);
    *out++ = '.';
    return put(out, d->digits + d->point, d->count - d->point);
}

static int add_integer(int64_t value, struct buf *buf, struct err *err)
{
    char text[NUMBER_TEXT_MAX];
    char *out = text;

    if (value < 0) {
        *out++ = '-';
    }
    out += write_u64(value < 0 ? 0 - (uint64_t)value : (uint64_t)value, out);
    return buf_add(buf, text, (size_t)(out - text), err);
}

int json_canonical_number(double number, struct buf *buf, struct err *err)
{
    char text[NUMBER_TEXT_MAX];
    char *out = text;
    struct decimal decimal;

    if (!isfinite(number)) {
        return err_set(err, ERR_INVALID, "%s is not a number that JSON can hold",
                       isnan(number) ? "NaN" : "infinity");
    }
    if (fabs(number) <= (double)EXACT_INTEGER_MAX && number == nearbyint(number)) {
        return add_integer((int64_t)number, buf, err);
    }
    if (number < 0) {
        *out++ = '-';
        number = -number;
    }
    if (!decimal_short(number, &decimal)) {
        decimal_shortest(number, &decimal);
    }
    out = put_decimal(out, &decimal);
    return buf_add(buf, text, (size_t)(out - text), err);
}

/* ---- trees ---- */

static int add_value(const json_t *value, int depth, struct buf *buf, struct err *err);

struct member {
    const char *key;
    size_t key_len;
    const json_t *value;
};

/*
 * By UTF-16 code units (RFC 8785 section 3.2.3). Bytes of UTF-8 sort as code points do, which is
 * the same but for one thing: the surrogates of what lies above U+FFFF (lead bytes F0 to F4) come
 * before U+E000..U+FFFF (lead bytes EE, EF).
 */
static int compare_members(const void *left, const void *right)
{
    const struct member *a = left;
    const struct member *b = right;
    size_t shorter = a->key_len < b->key_len ? a->key_len : b->key_len;

    for (size_t i = 0; i < shorter; i++) {
        unsigned char x = (unsigned char)a->key[i];
        unsigned char y = (unsigned char)b->key[i];
        if (x != y) {
            bool swapped = x >= 0xEE && y >= 0xEE && (x >= 0xF0) != (y >= 0xF0);
            return (x < y) != swapped ? -1 : 1;
        }
    }
    return (a->key_len > b->key_len) - (a->key_len < b->key_len);
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
        members[i++] = (struct member){key, strlen(key), json_object_iter_value(at)};
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
    int rc = buf_add(buf, "{", 1, err);

    for (size_t i = 0; rc == 0 && i < count; i++) {
        if (i > 0) {
            rc = buf_add(buf, ",", 1, err);
        }
        if (rc == 0) {
            rc = json_canonical_string((struct str){members[i].key, members[i].key_len}, buf, err);
        }
        if (rc == 0) {
            rc = buf_add(buf, ":", 1, err);
        }
        if (rc == 0) {
            rc = add_value(members[i].value, depth, buf, err);
        }
    }
    return rc == 0 ? buf_add(buf, "}", 1, err) : rc;
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
    int rc = buf_add(buf, "[", 1, err);

    for (size_t i = 0; rc == 0 && i < count; i++) {
        if (i > 0) {
            rc = buf_add(buf, ",", 1, err);
        }
        if (rc == 0) {
            rc = add_value(json_array_get(array, i), depth, buf, err);
        }
    }
    return rc == 0 ? buf_add(buf, "]", 1, err) : rc;
}

static int inexact(const char *number, struct err *err)
{
    return err_set(err, ERR_INVALID,
                   "the integer %s is outside of -(2^53 - 1) to 2^53 - 1, where numbers in JSON "
                   "are exact; send it as a string",
                   number);
}

static int add_checked_integer(json_int_t value, struct buf *buf, struct err *err)
{
    if (value > EXACT_INTEGER_MAX || value < -EXACT_INTEGER_MAX) {
        char text[NUMBER_TEXT_MAX];
        (void)snprintf(text, sizeof(text), "%lld", (long long)value); /* at most 20 bytes */
        return inexact(text, err);
    }
    return add_integer(value, buf, err);
}

/* Below 1e21 the canonical form has no exponent: it would be read back as an integer, and refused
 * then. */
static int add_checked_real(double value, struct buf *buf, struct err *err)
{
    if (fabs(value) > (double)EXACT_INTEGER_MAX && fabs(value) < 1e21) {
        char text[NUMBER_TEXT_MAX];
        (void)snprintf(text, sizeof(text), "%.0f", value); /* at most 23 bytes */
        return inexact(text, err);
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
        return add_checked_integer(json_integer_value(value), buf, err);
    case JSON_REAL:
        return add_checked_real(json_real_value(value), buf, err);
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
    int rc = add_value(value, 0, buf, err);

    if (rc < 0 && buf->data != NULL) {
        buf->len = start;
        buf->data[start] = '\0';
    }
    return rc;
}
