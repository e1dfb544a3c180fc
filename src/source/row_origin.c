#include "source/row_origin.h"

#include "base/json.h"
#include "model/scan.h"

/* ---- strings and values ---- */

struct reading {
    struct scan scan;
    struct row_origin *origin;
    char *free; /* of the origin's text */
};

static bool take_string(struct reading *r, struct str *ret)
{
    struct err none = ERR_INIT;
    struct str escaped;
    size_t len;

    if (scan_string(&r->scan, &escaped, &none) < 0 ||
        scan_unescape(&r->scan, escaped, r->free, &len, &none) < 0) {
        return false;
    }
    *ret = (struct str){r->free, len};
    r->free += len + 1;
    return true;
}

static bool skip_value(struct reading *r)
{
    struct err none = ERR_INIT;
    struct str ignored;

    return scan_value(&r->scan, &ignored, &none) == 0;
}

static bool is_next(const struct reading *r, char c)
{
    return r->scan.at < r->scan.end && *r->scan.at == c;
}

/* Called behind a member's name, to go past its value. */
typedef bool member_fn(struct reading *r, struct str name, void *arg);

static bool each_member(struct reading *r, member_fn *each, void *arg)
{
    struct str name;

    if (!scan_is(&r->scan, STR("{"))) {
        return false;
    }
    if (scan_is(&r->scan, STR("}"))) {
        return true;
    }
    do {
        if (!take_string(r, &name) || !scan_is(&r->scan, STR(":")) || !each(r, name, arg)) {
            return false;
        }
    } while (scan_is(&r->scan, STR(",")));
    return scan_is(&r->scan, STR("}"));
}

static bool take_class(struct reading *r, struct str name, void *arg)
{
    struct row_value *value = arg;
    enum row_class class;

    if (!row_class_parse(name, &class) || value->text.ptr != NULL || !is_next(r, '"')) {
        return skip_value(r);
    }
    value->class = class;
    return take_string(r, &value->text);
}

/* A text, or {class: text}; anything else is no value. */
static bool take_value(struct reading *r, struct row_value *value)
{
    if (is_next(r, '"')) {
        return take_string(r, &value->text);
    }
    return is_next(r, '{') ? each_member(r, take_class, value) : skip_value(r);
}

/* ---- the parts ---- */

static bool take_column(struct reading *r, struct str name, void *arg)
{
    struct row_origin *origin = r->origin;
    size_t *count = arg;

    if (*count == origin->capacity) {
        origin->capacity = origin->capacity == 0 ? 16 : origin->capacity * 2;
        origin->room = xrealloc(origin->room, origin->capacity * sizeof(*origin->room));
    }
    struct row_value *value = &origin->room[(*count)++];
    *value = (struct row_value){.column = name.ptr};
    return take_value(r, value);
}

struct whose {
    struct str name;
    struct str table;
    struct str key;
};

static bool take_whose(struct reading *r, struct str name, void *arg)
{
    struct whose *whose = arg;
    struct str *to = str_eq_c(name, "name")    ? &whose->name
                     : str_eq_c(name, "table") ? &whose->table
                     : str_eq_c(name, "key")   ? &whose->key
                                               : NULL;

    return to != NULL && is_next(r, '"') ? take_string(r, to) : skip_value(r);
}

struct parts {
    struct whose whose;
    bool has_row;
    size_t row_count;
    size_t count; /* with what is too large behind the row */
};

static bool take_part(struct reading *r, struct str name, void *arg)
{
    struct parts *parts = arg;
    const char *first = r->scan.at;

    if (str_eq_c(name, "source") && is_next(r, '{')) {
        return each_member(r, take_whose, &parts->whose);
    }
    if (str_eq_c(name, "row")) { /* comes before too_large, as names are in order */
        parts->has_row = true;
        bool is_read = each_member(r, take_column, &parts->count);
        parts->row_count = parts->count;
        return is_read;
    }
    if (str_eq_c(name, "too_large") && is_next(r, '{')) {
        bool is_read = each_member(r, take_column, &parts->count);
        r->origin->too_large_json = (struct str){first, (size_t)(r->scan.at - first)};
        return is_read;
    }
    return skip_value(r);
}

/* ---- a memory ---- */

static void forget(struct row_origin *origin)
{
    *origin = (struct row_origin){.room = origin->room,
                                  .capacity = origin->capacity,
                                  .text = origin->text,
                                  .text_capacity = origin->text_capacity};
}

void row_origin_done(struct row_origin *origin)
{
    free(origin->room);
    free(origin->text);
    *origin = (struct row_origin){.table = NULL};
}

/* Strings lose their quotes and get a NUL, so all of them have room in as many bytes. */
static void reserve(struct row_origin *origin, size_t len)
{
    if (origin->text_capacity < len) {
        free(origin->text);
        origin->text = xmalloc(len);
        origin->text_capacity = len;
    }
    if (origin->room == NULL) {
        origin->capacity = 16;
        origin->room = xcalloc(origin->capacity, sizeof(*origin->room));
    }
}

static void fill(struct row_origin *origin, const struct parts *parts)
{
    origin->table = parts->whose.table.ptr;
    origin->key = parts->whose.key.ptr;
    origin->values = parts->has_row ? origin->room : NULL;
    origin->count = parts->row_count;
    origin->too_large = origin->room + parts->row_count;
    origin->too_large_count = parts->count - parts->row_count;
}

bool row_of_memory(const struct memory *memory, const char *source, const char *table,
                   struct row_origin *ret)
{
    struct str text = metadata_text(memory->metadata);
    struct parts parts = {.count = 0};
    const struct whose *whose = &parts.whose;

    forget(ret);
    if (text.len == 0) {
        return false;
    }
    reserve(ret, text.len);
    struct reading r = {.scan = {.start = text.ptr, .at = text.ptr, .end = text.ptr + text.len},
                        .origin = ret,
                        .free = ret->text};
    if (!each_member(&r, take_part, &parts) || whose->table.ptr == NULL ||
        whose->name.ptr == NULL || !str_eq_c(whose->name, source) ||
        (table != NULL && !str_eq_c(whose->table, table)) ||
        (parts.has_row && whose->key.ptr == NULL)) {
        forget(ret);
        return false;
    }
    fill(ret, &parts);
    return true;
}

/* ---- a column ---- */

static const struct row_value *find(const struct row_value *values, size_t count,
                                    const char *column)
{
    struct str name = str_of(column);
    size_t low = 0;
    size_t high = count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = json_compare_keys(name, str_of(values[middle].column));
        if (order == 0) {
            return &values[middle];
        }
        low = order > 0 ? middle + 1 : low;
        high = order > 0 ? high : middle;
    }
    return NULL;
}

/* Its class and digest; false: it is not too large. */
static bool read_digest(const struct row_origin *origin, const char *column, struct row_value *ret)
{
    const struct row_value *found = find(origin->too_large, origin->too_large_count, column);

    *ret = (struct row_value){.column = column};
    if (found != NULL) {
        ret->class = found->class;
        ret->digest = found->text;
    }
    return ret->digest.ptr != NULL;
}

struct str row_too_large(const struct row_origin *origin, const char *column)
{
    struct row_value value;

    (void)read_digest(origin, column, &value);
    return value.digest;
}

bool row_value(const struct memory *memory, const struct row_origin *origin,
               const struct source_mapping *mapping, const char *column, struct row_value *ret)
{
    if (read_digest(origin, column, ret)) {
        return false;
    }
    const struct row_value *found = find(origin->values, origin->count, column);
    if (found != NULL) {
        *ret = *found;
        ret->column = column;
        return true;
    }
    if (strcmp(column, mapping_content(mapping)) == 0) {
        ret->text = (struct str){memory->content, memory->content_len};
        return true;
    }
    return false;
}

bool row_text(const struct memory *memory, const struct row_origin *origin,
              const struct source_mapping *mapping, const char *column, struct str *ret_text)
{
    struct row_value value;

    bool was_captured = row_value(memory, origin, mapping, column, &value);
    *ret_text = value.text;
    return was_captured;
}
