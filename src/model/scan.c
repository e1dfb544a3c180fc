#include "model/scan.h"

#include "base/json.h"
#include "base/num.h"
#include "base/timestamp.h"

#define TIME_LEN (sizeof("2026-11-22T18:18:43.000001Z") - 1)
#define DEPTH_MAX                                                                                  \
    (JSON_DEPTH_MAX - 1) /* of a value: the object that it stands in is a level too                \
                          */

static size_t left(const struct scan *scan)
{
    return (size_t)(scan->end - scan->at);
}

static int wrong_at(const struct scan *scan, const char *at, const char *what, struct err *err)
{
    return err_set(err, ERR_CORRUPT, "byte %zu: %s", (size_t)(at - scan->start), what);
}

int scan_wrong(const struct scan *scan, const char *what, struct err *err)
{
    return wrong_at(scan, scan->at, what, err);
}

/* Eight bytes at a time: a byte below 0x20 is one whose upper three bits are zero. */
static const char *find_control(struct str text)
{
    const char *at = text.ptr;
    const char *end = text.ptr + text.len;

    for (; end - at >= 8; at += 8) {
        uint64_t word;
        memcpy(&word, at, sizeof(word));
        if (((word - 0x2020202020202020U) & ~word & 0x8080808080808080U) != 0) {
            break;
        }
    }
    while (at < end && (unsigned char)*at >= 0x20) {
        at++;
    }
    return at < end ? at : NULL;
}

int scan_begin(struct str text, struct scan *ret, struct err *err)
{
    struct scan scan = {.start = text.ptr, .at = text.ptr, .end = text.ptr + text.len};
    const char *control = find_control(text);

    if (control != NULL) {
        return wrong_at(&scan, control, "a control character", err);
    }
    *ret = scan;
    return 0;
}

int scan_end(const struct scan *scan, struct err *err)
{
    return scan->at == scan->end ? 0 : scan_wrong(scan, "something follows the end", err);
}

int scan_expect(struct scan *scan, struct str literal, struct err *err)
{
    if (!scan_is(scan, literal)) {
        return err_set(err, ERR_CORRUPT, "byte %zu: expected " STR_FMT,
                       (size_t)(scan->at - scan->start), STR_ARG(literal));
    }
    return 0;
}

/* A quote closes a string unless an odd number of backslashes stands before it. */
static bool is_escaped(const char *quote, const char *first)
{
    const char *at = quote;

    while (at > first && at[-1] == '\\') {
        at--;
    }
    return (quote - at) % 2 == 1;
}

int scan_string(struct scan *scan, struct str *ret_escaped, struct err *err)
{
    if (!scan_is(scan, STR("\""))) {
        return scan_wrong(scan, "expected a string", err);
    }
    const char *first = scan->at;
    const char *quote = memchr(first, '"', left(scan));
    while (quote != NULL && is_escaped(quote, first)) {
        quote = memchr(quote + 1, '"', (size_t)(scan->end - quote - 1));
    }
    if (quote == NULL) {
        return scan_wrong(scan, "a string without an end", err);
    }
    *ret_escaped = (struct str){first, (size_t)(quote - first)};
    scan->at = quote + 1;
    return 0;
}

int scan_uint(struct scan *scan, uint64_t max, uint64_t *ret, struct err *err)
{
    const char *at = scan->at;
    uint64_t number = 0;

    for (; at < scan->end && *at >= '0' && *at <= '9'; at++) {
        unsigned digit = (unsigned)(*at - '0');
        if (digit > max || number > (max - digit) / 10) {
            return scan_wrong(scan, "a number that is too large", err);
        }
        number = number * 10 + digit;
    }
    if (at == scan->at || (*scan->at == '0' && at - scan->at > 1)) {
        return scan_wrong(scan, "expected a whole number", err);
    }
    scan->at = at;
    *ret = number;
    return 0;
}

/* "0." and at most 15 digits: both numbers of the division are exact, so its result is the nearest
 * double. */
static bool short_fraction(struct str s, double *ret)
{
    static const double tens[] = {1,   1e1, 1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                  1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15};
    uint64_t number = 0;

    if (s.len < 3 || s.len > 2 + 15 || s.ptr[0] != '0' || s.ptr[1] != '.') {
        return false;
    }
    for (size_t i = 2; i < s.len; i++) {
        if (s.ptr[i] < '0' || s.ptr[i] > '9') {
            return false;
        }
        number = number * 10 + (unsigned)(s.ptr[i] - '0');
    }
    *ret = (double)number / tens[s.len - 2];
    return true;
}

int scan_fraction(struct scan *scan, double *ret, struct err *err)
{
    size_t len = 0;

    while (len < left(scan) && scan->at[len] != ',' && scan->at[len] != '}') {
        len++;
    }
    struct str text = {scan->at, len};
    if (!short_fraction(text, ret)) {
        struct err why = ERR_INIT;
        if (len == 0 || text.ptr[0] < '0' || text.ptr[0] > '9' ||
            num_parse_double(text, 0, 1, "it", ret, &why) < 0) {
            return scan_wrong(scan, "expected a number from 0 to 1", err);
        }
    }
    scan->at += len;
    return 0;
}

int scan_time(struct scan *scan, int64_t *ret_us, struct err *err)
{
    struct err why = ERR_INIT;

    if (left(scan) < TIME_LEN + 2 || scan->at[0] != '"' || scan->at[1 + TIME_LEN] != '"') {
        return scan_wrong(scan, "expected a time", err);
    }
    struct str text = {scan->at + 1, TIME_LEN};
    /* Of all that RFC 3339 allows, only the one form that we write. */
    if (text.ptr[10] != 'T' || text.ptr[17] == '6' || text.ptr[19] != '.' ||
        text.ptr[TIME_LEN - 1] != 'Z' || timestamp_parse(text, ret_us, &why) < 0) {
        return scan_wrong(scan, "expected a time such as \"2026-11-22T18:18:43.000001Z\"", err);
    }
    scan->at += TIME_LEN + 2;
    return 0;
}

static bool has_upper_hex(struct str s)
{
    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] >= 'A' && s.ptr[i] <= 'F') {
            return true;
        }
    }
    return false;
}

int scan_uuid(struct scan *scan, struct uuid *ret, struct err *err)
{
    struct err why = ERR_INIT;

    if (left(scan) < UUID_TEXT_LEN + 2 || scan->at[0] != '"' ||
        scan->at[1 + UUID_TEXT_LEN] != '"') {
        return scan_wrong(scan, "expected a UUID", err);
    }
    struct str text = {scan->at + 1, UUID_TEXT_LEN};
    if (has_upper_hex(text) || uuid_parse(text, ret, &why) < 0) {
        return scan_wrong(scan, "expected a UUID in lower case", err);
    }
    scan->at += UUID_TEXT_LEN + 2;
    return 0;
}

/* A number, true, false or null: what it is exactly is for a parser to say. */
static int scan_word(struct scan *scan, struct err *err)
{
    const char *first = scan->at;

    while (scan->at < scan->end && strchr(",]}[{:\" ", *scan->at) == NULL) {
        scan->at++;
    }
    return scan->at > first ? 0 : scan_wrong(scan, "expected a value", err);
}

/* Go past the next byte, bracket or string. open has a bit for each open bracket, 1 for an object.
 */
static int scan_step(struct scan *scan, uint64_t *open, unsigned *depth, struct err *err)
{
    struct str ignored;
    char c = *scan->at;

    if (c == '"') {
        return scan_string(scan, &ignored, err);
    }
    if (c == '{' || c == '[') {
        if (++*depth > DEPTH_MAX) {
            return scan_wrong(scan, "nested too deeply", err);
        }
        *open = *open << 1 | (c == '{');
    } else if (c == '}' || c == ']') {
        if ((*open & 1) != (c == '}')) {
            return scan_wrong(scan, "a bracket that closes another kind", err);
        }
        *open >>= 1;
        --*depth;
    }
    scan->at++;
    return 0;
}

int scan_value(struct scan *scan, struct str *ret, struct err *err)
{
    const char *first = scan->at;
    uint64_t open = 0;
    unsigned depth = 0;
    int result = 0;

    if (first == scan->end || strchr("{[\"", *first) == NULL) {
        result = scan_word(scan, err);
    } else {
        do {
            if (scan->at == scan->end) {
                return scan_wrong(scan, "a value without an end", err);
            }
            result = scan_step(scan, &open, &depth, err);
        } while (result == 0 && depth > 0);
    }
    if (result == 0) {
        *ret = (struct str){first, (size_t)(scan->at - first)};
    }
    return result;
}

/* \u00XX, of which the canonical form needs 01 to 1f only, in lower case, and not where a short
 * form is. */
static int unescape_code(struct str rest, char *out)
{
    static const char digits[] = "0123456789abcdef";

    if (rest.len < 6 || memcmp(rest.ptr, "\\u00", 4) != 0 ||
        (rest.ptr[4] != '0' && rest.ptr[4] != '1')) {
        return -1;
    }
    const char *low = memchr(digits, rest.ptr[5], 16);
    if (low == NULL) {
        return -1;
    }
    int code = (rest.ptr[4] - '0') * 16 + (int)(low - digits);
    if (code == 0 || strchr("\b\t\n\f\r", code) != NULL) {
        return -1;
    }
    *out = (char)code;
    return 6;
}

/* rest begins with a backslash. The length of the escape, or -1. */
static int unescape_one(struct str rest, char *out)
{
    static const char letters[] = "\"\\bfnrt";
    static const char meanings[] = "\"\\\b\f\n\r\t";

    if (rest.len < 2) {
        return -1;
    }
    const char *found = memchr(letters, rest.ptr[1], sizeof(letters) - 1);
    if (found == NULL) {
        return unescape_code(rest, out);
    }
    *out = meanings[found - letters];
    return 2;
}

int scan_unescape(const struct scan *scan, struct str escaped, char *out, size_t *ret_len,
                  struct err *err)
{
    const char *at = escaped.ptr;
    const char *end = escaped.ptr + escaped.len;
    size_t len = 0;

    while (at < end) {
        const char *slash = memchr(at, '\\', (size_t)(end - at));
        size_t plain = (size_t)((slash == NULL ? end : slash) - at);
        memcpy(out + len, at, plain);
        len += plain;
        at += plain;
        if (slash != NULL) {
            int step = unescape_one((struct str){at, (size_t)(end - at)}, out + len);
            if (step < 0) {
                return wrong_at(scan, at, "an escape that canonical JSON does not use", err);
            }
            len++;
            at += step;
        }
    }
    out[len] = '\0';
    *ret_len = len;
    return 0;
}

/* ---- canonical values ---- */

static int canonical_value(struct scan *scan, int levels, struct err *err);

/* *ret: still escaped. */
static int canonical_string(struct scan *scan, struct str *ret, struct err *err)
{
    if (scan_string(scan, ret, err) < 0) {
        return -(int)err->code;
    }
    const char *end = ret->ptr + ret->len;
    const char *at = memchr(ret->ptr, '\\', ret->len);
    while (at != NULL) {
        char meant;
        int step = unescape_one((struct str){at, (size_t)(end - at)}, &meant);
        if (step < 0) {
            return wrong_at(scan, at, "an escape that canonical JSON does not use", err);
        }
        at = memchr(at + step, '\\', (size_t)(end - at - step));
    }
    return 0;
}

/* Keys without escapes are as they are compared. */
static int compare_escaped(const struct scan *scan, struct str a, struct str b, int *ret,
                           struct err *err)
{
    if (memchr(a.ptr, '\\', a.len) == NULL && memchr(b.ptr, '\\', b.len) == NULL) {
        *ret = json_compare_keys(a, b);
        return 0;
    }
    AUTO(free_ptr) char *plain_a = xmalloc(a.len + 1);
    AUTO(free_ptr) char *plain_b = xmalloc(b.len + 1);
    struct str x = {plain_a, 0};
    struct str y = {plain_b, 0};
    if (scan_unescape(scan, a, plain_a, &x.len, err) < 0 ||
        scan_unescape(scan, b, plain_b, &y.len, err) < 0) {
        return -(int)err->code;
    }
    *ret = json_compare_keys(x, y);
    return 0;
}

/* A key, which must come behind the one before it. */
static int canonical_key(struct scan *scan, struct str *before, struct err *err)
{
    const char *first = scan->at;
    struct str key;
    int order = -1;

    if (canonical_string(scan, &key, err) < 0 ||
        (before->ptr != NULL && compare_escaped(scan, *before, key, &order, err) < 0)) {
        return -(int)err->code;
    }
    *before = key;
    return order < 0 ? scan_expect(scan, STR(":"), err)
                     : wrong_at(scan, first, "a key that is out of order, or twice", err);
}

static int canonical_members(struct scan *scan, int levels, struct err *err)
{
    struct str key = {NULL, 0};
    int result;

    do {
        result = canonical_key(scan, &key, err);
        result = result == 0 ? canonical_value(scan, levels, err) : result;
    } while (result == 0 && scan_is(scan, STR(",")));
    return result < 0 ? result : scan_expect(scan, STR("}"), err);
}

static int canonical_items(struct scan *scan, int levels, struct err *err)
{
    int result;

    do {
        result = canonical_value(scan, levels, err);
    } while (result == 0 && scan_is(scan, STR(",")));
    return result < 0 ? result : scan_expect(scan, STR("]"), err);
}

/* What a parser and a writer make of it is the same bytes again. */
static int canonical_number(const struct scan *scan, struct str text, struct err *err)
{
    AUTO(buf_done) struct buf again = BUF_INIT(text.len);
    AUTO(json_unref) json_t *number = NULL;
    struct err why = ERR_INIT;

    if (json_parse(text, &number, &why) < 0 || json_canonical(number, &again, &why) < 0 ||
        !str_eq(buf_str(&again), text)) {
        return wrong_at(scan, text.ptr, "a value that is not canonical JSON", err);
    }
    return 0;
}

static int canonical_word(struct scan *scan, struct err *err)
{
    struct str text = {scan->at, 0};

    if (scan_is(scan, STR("null")) || scan_is(scan, STR("true")) || scan_is(scan, STR("false"))) {
        return 0;
    }
    if (scan_word(scan, err) < 0) {
        return -(int)err->code;
    }
    text.len = (size_t)(scan->at - text.ptr);
    return canonical_number(scan, text, err);
}

int scan_object(struct scan *scan, int levels, struct err *err)
{
    if (levels == 0) {
        return scan_wrong(scan, "nested too deeply", err);
    }
    if (scan_expect(scan, STR("{"), err) < 0) {
        return -(int)err->code;
    }
    return scan_is(scan, STR("}")) ? 0 : canonical_members(scan, levels - 1, err);
}

static int scan_array(struct scan *scan, int levels, struct err *err)
{
    if (levels == 0) {
        return scan_wrong(scan, "nested too deeply", err);
    }
    scan->at++; /* the bracket */
    return scan_is(scan, STR("]")) ? 0 : canonical_items(scan, levels - 1, err);
}

static int canonical_value(struct scan *scan, int levels, struct err *err)
{
    struct str ignored;

    switch (scan->at < scan->end ? *scan->at : '\0') {
    case '"':
        return canonical_string(scan, &ignored, err);
    case '{':
        return scan_object(scan, levels, err);
    case '[':
        return scan_array(scan, levels, err);
    default:
        return canonical_word(scan, err);
    }
}
