#include "model/field.h"

#include "base/num.h"
#include "base/timestamp.h"
#include "base/utf8.h"
#include "model/memory.h"

struct str field_shown(struct str s)
{
    return (struct str){s.ptr, utf8_cut(s, FIELD_SHOWN_MAX_BYTES)};
}

void field_grouped(uint64_t number, char ret_text[FIELD_GROUPED_MAX])
{
    char reversed[FIELD_GROUPED_MAX];
    size_t len = 0;

    for (size_t digits = 0; digits == 0 || number > 0; digits++) {
        if (digits > 0 && digits % 3 == 0) {
            reversed[len++] = ',';
        }
        reversed[len++] = (char)('0' + number % 10);
        number /= 10;
    }
    for (size_t i = 0; i < len; i++) {
        ret_text[i] = reversed[len - 1 - i];
    }
    ret_text[len] = '\0';
}

const char *field_kind(const json_t *value)
{
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        return "an object";
    case JSON_ARRAY:
        return "an array";
    case JSON_STRING:
        return "a string";
    case JSON_INTEGER:
    case JSON_REAL:
        return "a number";
    case JSON_TRUE:
    case JSON_FALSE:
        return "a boolean";
    case JSON_NULL:
        break;
    }
    return "null";
}

int field_corrupt(struct err *err)
{
    err->code = ERR_CORRUPT;
    return -ERR_CORRUPT;
}

/* ---- objects ---- */

static int compare_field(const void *name, const void *field)
{
    return strcmp(name, ((const struct field *)field)->name);
}

/* The message lists what there is: a misspelt field is seen at once. */
static int refuse_unknown(const char *name, const struct field *fields, size_t count,
                          const char *what, struct err *err)
{
    struct str shown = field_shown(str_of(name));
    AUTO(buf_done) struct buf known = BUF_INIT(ERR_MESSAGE_MAX);
    struct err full = ERR_INIT;

    for (size_t i = 0; i < count; i++) {
        if (fields[i].read != NULL &&
            buf_printf(&known, &full, "%s%s", known.len > 0 ? ", " : "", fields[i].name) < 0) {
            break; /* the message would be cut there anyway */
        }
    }
    return err_set(err, ERR_INVALID, STR_FMT " is not a field of %s; allowed are " STR_FMT,
                   STR_ARG(shown), what, STR_ARG(buf_str(&known)));
}

int field_read_object(const json_t *object, const struct field *fields, size_t count,
                      const char *what, void *target, struct err *err)
{
    /* jansson's iterators take no const; they change nothing. */
    json_t *members = (json_t *)(uintptr_t)object;

    if (!json_is_object(object)) {
        return err_set(err, ERR_INVALID, "%s is %s; an object is allowed", what,
                       field_kind(object));
    }
    for (void *at = json_object_iter(members); at != NULL;
         at = json_object_iter_next(members, at)) {
        const char *name = json_object_iter_key(at);
        const json_t *value = json_object_iter_value(at);
        const struct field *field = bsearch(name, fields, count, sizeof(*fields), compare_field);
        if (field == NULL) {
            return refuse_unknown(name, fields, count, what, err);
        }
        if (field->read != NULL && !json_is_null(value)) {
            int result = field->read(value, target, err);
            if (result < 0) {
                return result;
            }
        }
    }
    return 0;
}

/* ---- texts ---- */

static bool is_printable_ascii(struct str s)
{
    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] < 0x20 || s.ptr[i] > 0x7e) {
            return false;
        }
    }
    return true;
}

/* The first control character of valid UTF-8 that is not allowed, or 0. */
static unsigned find_control(struct str s, bool lines)
{
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.ptr[i];
        if (lines && (c == '\t' || c == '\n' || c == '\r')) {
            continue;
        }
        if (c < 0x20 || c == 0x7f) {
            return c;
        }
        if (c == 0xc2 && (unsigned char)s.ptr[i + 1] < 0xa0) {
            return (unsigned char)s.ptr[i + 1];
        }
    }
    return 0;
}

static int check_bytes(struct str s, const char *name, struct field_rule rule, struct err *err)
{
    char max[FIELD_GROUPED_MAX];
    char len[FIELD_GROUPED_MAX];

    field_grouped(rule.max_bytes, max);
    field_grouped(s.len, len);
    if (s.len < rule.min_bytes) {
        return err_set(err, ERR_INVALID, "%s is empty; %zu to %s bytes are allowed", name,
                       rule.min_bytes, max);
    }
    return err_set(err, ERR_LIMIT, "%s has %s bytes; at most %s are allowed", name, len, max);
}

int field_check_text(struct str s, const char *name, struct field_rule rule, struct err *err)
{
    size_t code_points;

    if (s.len < rule.min_bytes || s.len > rule.max_bytes) {
        return check_bytes(s, name, rule, err);
    }
    if (is_printable_ascii(s)) {
        return 0;
    }
    if (utf8_check(s, &code_points, err) < 0) {
        return err_context(err, "%s", name);
    }
    unsigned control = find_control(s, rule.lines);
    if (control != 0) {
        return err_set(err, ERR_INVALID, "%s holds the control character U+%04X; %s allowed", name,
                       control, rule.lines ? "tab and line ends are" : "none is");
    }
    return 0;
}

int field_check_characters(struct str s, const char *name, size_t min, size_t max, struct err *err)
{
    char max_text[FIELD_GROUPED_MAX];
    char count_text[FIELD_GROUPED_MAX];
    size_t count = 0;

    if (utf8_check(s, &count, err) < 0) {
        return err_context(err, "%s", name);
    }
    if (count >= min && count <= max) {
        return 0;
    }
    field_grouped(max, max_text);
    field_grouped(count, count_text);
    if (count < min) {
        return err_set(err, ERR_INVALID, "%s is empty; %zu to %s characters are allowed", name, min,
                       max_text);
    }
    return err_set(err, ERR_LIMIT, "%s has %s characters; at most %s are allowed", name, count_text,
                   max_text);
}

/* ---- values ---- */

int field_string(const json_t *value, const char *name, struct str *ret, struct err *err)
{
    if (!json_is_string(value)) {
        return err_set(err, ERR_INVALID, "%s is %s; a string is allowed", name, field_kind(value));
    }
    *ret = (struct str){json_string_value(value), json_string_length(value)};
    return 0;
}

int field_text(const json_t *value, const char *name, struct field_rule rule, struct str *ret,
               struct err *err)
{
    struct str text;
    int result = field_string(value, name, &text, err);

    if (result == 0) {
        result = field_check_text(text, name, rule, err);
    }
    if (result == 0) {
        *ret = text;
    }
    return result;
}

int field_text_copy(const json_t *value, const char *name, struct field_rule rule, char **ret,
                    struct err *err)
{
    struct str text;
    int result = field_text(value, name, rule, &text, err);

    if (result == 0) {
        *ret = xstrndup(text.ptr, text.len);
    }
    return result;
}

int field_uuid(const json_t *value, const char *name, struct uuid *ret, struct err *err)
{
    struct str text;
    struct uuid uuid;

    if (field_string(value, name, &text, err) < 0) {
        return -ERR_INVALID;
    }
    if (uuid_parse(text, &uuid, err) < 0) {
        return err_context(err, "%s", name);
    }
    if (uuid_is_nil(&uuid)) {
        return err_set(err, ERR_INVALID,
                       "%s is the nil UUID; any other is allowed, or null for none", name);
    }
    *ret = uuid;
    return 0;
}

int field_time(const json_t *value, const char *name, int64_t *ret_us, struct err *err)
{
    struct str text;

    if (field_string(value, name, &text, err) < 0) {
        return -ERR_INVALID;
    }
    if (timestamp_parse(text, ret_us, err) < 0) {
        return err_context(err, "%s", name);
    }
    return 0;
}

int field_uint(const json_t *value, const char *name, uint64_t min, uint64_t max, uint64_t *ret,
               struct err *err)
{
    char min_text[FIELD_GROUPED_MAX];
    char max_text[FIELD_GROUPED_MAX];
    json_int_t number = json_integer_value(value);

    if (json_is_integer(value) && number >= 0 && (uint64_t)number >= min &&
        (uint64_t)number <= max) {
        *ret = (uint64_t)number;
        return 0;
    }
    field_grouped(min, min_text);
    field_grouped(max, max_text);
    if (json_is_integer(value)) {
        return err_set(err, ERR_INVALID, "%s is %lld; %s to %s is allowed", name, (long long)number,
                       min_text, max_text);
    }
    return err_set(err, ERR_INVALID, "%s is %s; a whole number from %s to %s is allowed", name,
                   json_is_real(value) ? "a fraction" : field_kind(value), min_text, max_text);
}

int field_unknown_name(struct str shown, const char *name, const char *const *names, size_t count,
                       struct err *err)
{
    AUTO(buf_done) struct buf allowed = BUF_INIT(ERR_MESSAGE_MAX);
    struct err full = ERR_INIT;

    shown = field_shown(shown);
    for (size_t i = 0; i < count; i++) {
        if (buf_printf(&allowed, &full, "%s%s", i > 0 ? ", " : "", names[i]) < 0) {
            break; /* the message would be cut there anyway */
        }
    }
    return err_set(err, ERR_INVALID, "%s is \"" STR_FMT "\"; allowed are " STR_FMT, name,
                   STR_ARG(shown), STR_ARG(buf_str(&allowed)));
}

/* ---- writing trees ---- */

void field_put_take(json_t *object, const char *name, json_t *value)
{
    if (json_object_set_new_nocheck(object, name, value) < 0) {
        abort(); /* memory is out: see buf.h */
    }
}

void field_put_text(json_t *object, const char *name, const char *text)
{
    field_put_take(object, name, text == NULL ? json_null() : json_string_nocheck(text));
}

void field_put_uuid(json_t *object, const char *name, const struct uuid *uuid)
{
    char text[UUID_TEXT_MAX];

    uuid_format(uuid, text);
    field_put_text(object, name, uuid_is_nil(uuid) ? NULL : text);
}

void field_put_time(json_t *object, const char *name, int64_t us)
{
    char text[TIMESTAMP_TEXT_MAX];

    if (us != TIME_NONE) {
        timestamp_format(us, text);
    }
    field_put_text(object, name, us == TIME_NONE ? NULL : text);
}

void field_put_uint(json_t *object, const char *name, uint64_t number)
{
    field_put_take(object, name, json_integer((json_int_t)number));
}
