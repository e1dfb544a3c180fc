#include "base/json.h"

#include <float.h>
#include <math.h>

#include "base/json_scan.h"
#include "base/num.h"
#include "base/utf8.h"

#define KEY_SPACE 64 /* bytes; longer keys are held on the heap while their value is read */

_Static_assert(FLT_EVAL_METHOD == 0, "a double operation must round once, to double");

/* Readers return NULL (or false) after filling err. p is at what comes next. */
struct reader {
    const char *start;
    const char *p;
    const char *end;
    int depth;
    struct buf unescaped; /* the last string that had escapes */
    struct err *err;
};

static json_t *read_value(struct reader *in);

/* ---- refusing ---- */

/* Line and column (in characters) of `at`, both from 1, put before the message that is in err. */
static void add_place(const struct reader *in, const char *at)
{
    size_t line = 1;
    size_t column = 1;

    for (const char *p = in->start; p < at; p++) {
        if (*p == '\n') {
            line++;
            column = 1;
        } else if (((unsigned char)*p & 0xC0) != 0x80) {
            column++;
        }
    }
    (void)err_context(in->err, "JSON line %zu, column %zu", line,
                      column); /* the caller fails anyway */
}

static bool refuse(const struct reader *in, const char *at, const char *reason)
{
    (void)err_set(in->err, ERR_INVALID, "%s", reason); /* the caller fails anyway */
    add_place(in, at);
    return false;
}

/* What stands at p instead of what was expected. */
static bool refuse_here(const struct reader *in, const char *expected)
{
    if (in->p == in->end) {
        (void)err_set(in->err, ERR_INVALID, "the text ends too early; expected %s", expected);
    } else if (*in->p > ' ' && *in->p < 0x7F) {
        (void)err_set(in->err, ERR_INVALID, "found '%c'; expected %s", *in->p, expected);
    } else {
        (void)err_set(in->err, ERR_INVALID, "found byte 0x%02X; expected %s", (unsigned char)*in->p,
                      expected);
    }
    add_place(in, in->p);
    return false;
}

/* ---- pieces ---- */

static json_t *not_null(json_t *value)
{
    if (value == NULL) {
        abort(); /* only memory can be missing: what jansson would check, is checked here */
    }
    return value;
}

static json_t *take(json_t **value)
{
    json_t *taken = *value;

    *value = NULL;
    return taken;
}

static void skip_space(struct reader *in)
{
    while (in->p < in->end &&
           (*in->p == ' ' || *in->p == '\n' || *in->p == '\r' || *in->p == '\t')) {
        in->p++;
    }
}

/* Takes c, if that comes next (after white space). */
static bool take_char(struct reader *in, char c)
{
    skip_space(in);
    if (in->p == in->end || *in->p != c) {
        return false;
    }
    in->p++;
    return true;
}

static bool take_word(struct reader *in, const char *word)
{
    size_t len = strlen(word);

    if ((size_t)(in->end - in->p) < len || memcmp(in->p, word, len) != 0) {
        return false;
    }
    in->p += len;
    return true;
}

/* ---- strings ---- */

/* The XXXX of \uXXXX. */
static bool read_hex4(struct reader *in, unsigned *ret)
{
    unsigned value = 0;

    for (int i = 0; i < 4; i++) {
        int digit = in->p < in->end ? num_hex_digit(*in->p) : -1;
        if (digit < 0) {
            return refuse_here(in, "four hexadecimal digits behind \\u");
        }
        value = value << 4 | (unsigned)digit;
        in->p++;
    }
    *ret = value;
    return true;
}

/* A code point in UTF-8. There is room: its escape was longer. */
static void put_code_point(struct buf *out, unsigned c)
{
    char *p = out->data + out->len;

    if (c < 0x80) {
        *p++ = (char)c;
    } else if (c < 0x800) {
        *p++ = (char)(0xC0 | c >> 6);
        *p++ = (char)(0x80 | (c & 0x3F));
    } else if (c < 0x10000) {
        *p++ = (char)(0xE0 | c >> 12);
        *p++ = (char)(0x80 | (c >> 6 & 0x3F));
        *p++ = (char)(0x80 | (c & 0x3F));
    } else {
        *p++ = (char)(0xF0 | c >> 18);
        *p++ = (char)(0x80 | (c >> 12 & 0x3F));
        *p++ = (char)(0x80 | (c >> 6 & 0x3F));
        *p++ = (char)(0x80 | (c & 0x3F));
    }
    out->len = (size_t)(p - out->data);
}

/* p is behind "\u". One code point may take two of them: a pair of surrogates. */
static bool read_unicode_escape(struct reader *in)
{
    const char *escape = in->p - 2;
    unsigned c = 0;
    unsigned low = 0;

    if (!read_hex4(in, &c)) {
        return false;
    }
    if (c == 0) {
        return refuse(in, escape, "\\u0000 (NUL) is not allowed in a text");
    }
    if (c >= 0xD800 && c <= 0xDFFF) {
        bool pair = c < 0xDC00 && take_word(in, "\\u");
        if (pair && !read_hex4(in, &low)) {
            return false;
        }
        if (!pair || low < 0xDC00 || low > 0xDFFF) {
            return refuse(in, escape, "half of a surrogate pair is no character");
        }
        c = 0x10000 + ((c - 0xD800) << 10) + (low - 0xDC00);
    }
    put_code_point(&in->unescaped, c);
    return true;
}

/* p is at the backslash. */
static bool read_escape(struct reader *in)
{
    static const char MEANING[] = {['"'] = '"',  ['\\'] = '\\', ['/'] = '/',  ['b'] = '\b',
                                   ['f'] = '\f', ['n'] = '\n',  ['r'] = '\r', ['t'] = '\t'};

    in->p++;
    unsigned char c = in->p < in->end ? (unsigned char)*in->p : 0;
    if (c == 'u') {
        in->p++;
        return read_unicode_escape(in);
    }
    if (c >= sizeof(MEANING) || MEANING[c] == 0) {
        return refuse_here(in, "one of \" \\ / b f n r t u behind a backslash");
    }
    in->p++;
    put_code_point(&in->unescaped, (unsigned char)MEANING[c]);
    return true;
}

/* p is at the first backslash of a string that starts at `start` (behind its quote). */
static bool unescape(struct reader *in, const char *start)
{
    struct buf *out = &in->unescaped;
    size_t room = (size_t)(in->end - start); /* nothing gets longer by unescaping */

    buf_reset(out);
    if (buf_reserve(out, room, in->err) < 0) {
        return false;
    }
    memcpy(out->data, start, (size_t)(in->p - start));
    out->len = (size_t)(in->p - start);
    while (in->p < in->end && *in->p == '\\') {
        if (!read_escape(in)) {
            return false;
        }
        size_t run = json_plain_run((struct str){in->p, (size_t)(in->end - in->p)});
        memcpy(out->data + out->len, in->p, run);
        out->len += run;
        in->p += run;
    }
    return true;
}

/* p is at the opening quote. *ret is a view of the input, or of in->unescaped until the next string
 * is read. */
static bool read_text(struct reader *in, struct str *ret)
{
    const char *start = ++in->p;
    size_t code_points;

    in->p += json_plain_run((struct str){start, (size_t)(in->end - start)});
    bool escaped = in->p < in->end && *in->p == '\\';
    if (escaped && !unescape(in, start)) {
        return false;
    }
    if (in->p == in->end) {
        return refuse(in, start - 1, "this text has no closing quote");
    }
    if (*in->p != '"') {
        return refuse_here(in, "control characters in a text to be escaped");
    }
    struct str raw = {start, (size_t)(in->p - start)};
    if (utf8_check(raw, &code_points, in->err) < 0) {
        (void)err_context(in->err, "in this text"); /* the caller fails anyway */
        add_place(in, start - 1);
        return false;
    }
    in->p++;
    *ret = escaped ? buf_str(&in->unescaped) : raw;
    return true;
}

/* ---- numbers ---- */

static size_t read_digits(struct reader *in)
{
    const char *start = in->p;

    while (in->p < in->end && *in->p >= '0' && *in->p <= '9') {
        in->p++;
    }
    return (size_t)(in->p - start);
}

/* RFC 8259 section 6. Leaves p behind the number. */
static bool scan_number(struct reader *in, bool *ret_real)
{
    bool real = false;

    (void)take_word(in, "-");
    if (take_word(in, "0")) {
        if (in->p < in->end && *in->p >= '0' && *in->p <= '9') {
            return refuse_here(in, "no digit behind a leading 0");
        }
    } else if (read_digits(in) == 0) {
        return refuse_here(in, "a digit");
    }
    if (take_word(in, ".")) {
        real = true;
        if (read_digits(in) == 0) {
            return refuse_here(in, "a digit behind the decimal point");
        }
    }
    if (take_word(in, "e") || take_word(in, "E")) {
        real = true;
        if (!take_word(in, "+")) {
            (void)take_word(in, "-");
        }
        if (read_digits(in) == 0) {
            return refuse_here(in, "a digit in the exponent");
        }
    }
    *ret_real = real;
    return true;
}

/*
 * [-]digits.digits with at most 15 digits and no exponent, which nearly all are: an exact integer
 * divided by an exact power of ten, so rounded once, as strtod must.
 */
static bool short_real(struct str s, double *ret)
{
    static const double POWERS[] = {1e0, 1e1, 1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                    1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15};
    bool negative = s.ptr[0] == '-';
    int64_t digits = 0;
    size_t point = s.len;

    if (s.len > 16) {
        return false;
    }
    for (size_t i = negative ? 1 : 0; i < s.len; i++) {
        if (s.ptr[i] == '.') {
            point = i + 1;
        } else if (s.ptr[i] >= '0' && s.ptr[i] <= '9') {
            digits = digits * 10 + (s.ptr[i] - '0');
        } else {
            return false;
        }
    }
    double value = (double)digits / POWERS[s.len - point];
    *ret = negative ? -value : value;
    return true;
}

static json_t *too_large(const struct reader *in, const char *start)
{
    struct str number = {start, (size_t)(in->p - start)};

    (void)err_set(in->err, ERR_INVALID, "the number %.*s is too large; send it as a string",
                  QUOTE_ARG(number));
    add_place(in, start);
    return NULL;
}

static json_t *read_real(const struct reader *in, const char *start)
{
    struct str s = {start, (size_t)(in->p - start)};
    double value = 0;

    if (!short_real(s, &value)) {
        AUTO(free_ptr) char *copy = xstrndup(s.ptr, s.len);
        value = num_strtod(copy, NULL);
    }
    if (!isfinite(value)) {
        return too_large(in, start);
    }
    return not_null(json_real(value));
}

static json_t *read_number(struct reader *in)
{
    const char *start = in->p;
    bool real = false;
    int64_t value = 0;
    struct err ignored;

    if (!scan_number(in, &real)) {
        return NULL;
    }
    if (real) {
        return read_real(in, start);
    }
    struct str s = {start, (size_t)(in->p - start)};
    if (num_parse_i64(s, INT64_MIN, INT64_MAX, "", &value, &ignored) < 0) {
        return too_large(in, start);
    }
    return not_null(json_integer(value));
}

/* ---- values ---- */

static json_t *read_string(struct reader *in)
{
    struct str text;

    return read_text(in, &text) ? not_null(json_stringn_nocheck(text.ptr, text.len)) : NULL;
}

static json_t *read_array(struct reader *in)
{
    AUTO(json_unref) json_t *array = not_null(json_array());

    in->p++;
    if (take_char(in, ']')) {
        return take(&array);
    }
    do {
        json_t *item = read_value(in);
        if (item == NULL) {
            return NULL;
        }
        if (json_array_append_new(array, item) != 0) {
            abort(); /* memory */
        }
    } while (take_char(in, ','));
    if (!take_char(in, ']')) {
        (void)refuse_here(in, "',' or ']'");
        return NULL;
    }
    return take(&array);
}

/* A key that outlives the reading of its value, with the NUL that jansson wants. */
struct key {
    char space[KEY_SPACE];
    char *heap;
    const char *text;
};

static void key_done(struct key *key)
{
    free(key->heap);
}

static bool read_key(struct reader *in, struct key *ret)
{
    struct str text;

    skip_space(in);
    if (in->p == in->end || *in->p != '"') {
        return refuse_here(in, "a key in double quotes");
    }
    if (!read_text(in, &text)) {
        return false;
    }
    if (text.len < sizeof(ret->space)) {
        memcpy(ret->space, text.ptr, text.len);
        ret->space[text.len] = '\0';
        ret->text = ret->space;
    } else {
        ret->text = ret->heap = xstrndup(text.ptr, text.len);
    }
    return take_char(in, ':') || refuse_here(in, "':' behind the key");
}

static bool read_member(struct reader *in, json_t *object)
{
    AUTO(key_done) struct key key;
    size_t count = json_object_size(object);

    key.heap = NULL;
    skip_space(in);
    const char *start = in->p;
    if (!read_key(in, &key)) {
        return false;
    }
    json_t *value = read_value(in);
    if (value == NULL) {
        return false;
    }
    if (json_object_set_new_nocheck(object, key.text, value) != 0) {
        abort(); /* memory */
    }
    if (json_object_size(object) == count) {
        (void)err_set(in->err, ERR_INVALID, "the key \"%.*s\" appears twice in one object",
                      QUOTE_ARG(str_of(key.text)));
        add_place(in, start);
        return false;
    }
    return true;
}

static json_t *read_object(struct reader *in)
{
    AUTO(json_unref) json_t *object = not_null(json_object());

    in->p++;
    if (take_char(in, '}')) {
        return take(&object);
    }
    do {
        if (!read_member(in, object)) {
            return NULL;
        }
    } while (take_char(in, ','));
    if (!take_char(in, '}')) {
        (void)refuse_here(in, "',' or '}'");
        return NULL;
    }
    return take(&object);
}

static json_t *read_nested(struct reader *in)
{
    if (in->depth == JSON_DEPTH_MAX) {
        (void)err_set(in->err, ERR_INVALID, "nested deeper than %d levels", JSON_DEPTH_MAX);
        add_place(in, in->p);
        return NULL;
    }
    in->depth++;
    json_t *value = *in->p == '{' ? read_object(in) : read_array(in);
    in->depth--;
    return value;
}

static json_t *read_word(struct reader *in)
{
    if (take_word(in, "true")) {
        return json_true();
    }
    if (take_word(in, "false")) {
        return json_false();
    }
    if (take_word(in, "null")) {
        return json_null();
    }
    (void)refuse_here(in, "a JSON value");
    return NULL;
}

static json_t *read_value(struct reader *in)
{
    skip_space(in);
    char c = '\0';
    if (in->p < in->end) {
        c = *in->p;
    }
    switch (c) {
    case '{':
    case '[':
        return read_nested(in);
    case '"':
        return read_string(in);
    case '-':
    case '0' ... '9':
        return read_number(in);
    default:
        return read_word(in);
    }
}

int json_parse(struct str text, json_t **ret, struct err *err)
{
    const char *start = text.ptr == NULL ? "" : text.ptr;
    struct reader in = {.start = start, .p = start, .end = start + text.len, .err = err};
    AUTO(json_unref) json_t *value = NULL;

    buf_init(&in.unescaped, text.len);
    value = read_value(&in);
    buf_done(&in.unescaped);
    if (value == NULL) {
        return -(int)err->code;
    }
    skip_space(&in);
    if (in.p < in.end) {
        (void)refuse_here(&in, "the end of the text");
        return -(int)err->code;
    }
    *ret = take(&value);
    return 0;
}

void json_unref(json_t **value)
{
    json_decref(*value);
    *value = NULL;
}
