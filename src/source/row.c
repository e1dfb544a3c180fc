#include "source/row.h"

#include "base/hash.h"
#include "base/num.h"
#include "model/memory_field.h"
#include "source/ids.h"

#define NAMESPACE_ROW "holdfast source row"
#define NAMESPACE_DEFINITION "holdfast source definition"

/* ---- ids ---- */

static const struct row_value *find_value(const struct row *row, const char *column)
{
    for (size_t i = 0; i < row->count; i++) {
        if (strcmp(row->values[i].column, column) == 0) {
            return &row->values[i];
        }
    }
    return NULL;
}

/* The column's text; an empty view where there is none or it is NULL. */
static struct str text_of(const struct row *row, const char *column)
{
    const struct row_value *value = find_value(row, column);

    return value == NULL ? (struct str){NULL, 0} : value->text;
}

int row_key(const struct row *row, struct str *ret, struct err *err)
{
    const char *column = mapping_id(row->mapping);

    *ret = text_of(row, column);
    if (ret->ptr == NULL) {
        return err_set(err, ERR_INVALID,
                       "a row of %s has no value in \"%s\", the column that says which it is; say "
                       "another with `id:`",
                       row->table, column);
    }
    return 0;
}

struct uuid row_id(const char *source, const char *table, bool keeps_ids, struct str key)
{
    struct uuid id;

    if (keeps_ids && ids_of_key(key, &id)) {
        return id;
    }
    /* No name has a control character in it, so the parts can't run into each other. */
    AUTO(free_ptr) char *name = xprintf("%s\n%s\n" STR_FMT, source, table, STR_ARG(key));
    return uuid_derive(STR(NAMESPACE_ROW), str_of(name));
}

struct uuid definition_id(const char *source, const char *table)
{
    AUTO(free_ptr) char *name = xprintf("%s\n%s", source, table);

    return uuid_derive(STR(NAMESPACE_DEFINITION), str_of(name));
}

char *definition_actor(const char *source)
{
    return xprintf("%s: definition", source);
}

/* ---- fields that a memory has too ---- */

/* "2026-11-22 09:00:00.123+01" as RFC 3339; what has no offset is taken as UTC. */
static int64_t time_of(struct str text)
{
    char rfc[64];
    struct err err = ERR_INIT;
    int64_t us;

    if (text.ptr == NULL || text.len < sizeof("2026-11-22 09:00:00") - 1 || text.len > 48 ||
        text.ptr[10] != ' ') {
        return TIME_NONE;
    }
    memcpy(rfc, text.ptr, text.len);
    rfc[text.len] = '\0';
    rfc[10] = 'T';
    size_t sign = strcspn(rfc + 11, "+-") + 11;
    const char *rest = rfc[sign] == '\0' ? "Z" : text.len - sign == 3 ? ":00" : "";
    AUTO(free_ptr) char *full = xprintf("%s%s", rfc, rest);
    return timestamp_parse(str_of(full), &us, &err) == 0 ? us : TIME_NONE;
}

/* The elements of "{a,"b c",NULL}" or of a JSON array that can be tags. */
static void add_tag(struct memory *memory, struct str tag)
{
    struct err err = ERR_INIT;

    if (memory->tag_count < MEMORY_TAGS_MAX &&
        memory_add_tag(memory, tag, memory->tag_count, &err) < 0) {
        return; /* too long, or with control characters: it is in the row */
    }
}

static void add_json_tags(struct memory *memory, struct str text)
{
    AUTO(json_unref) json_t *array = NULL;
    struct err err = ERR_INIT;
    json_t *item;
    size_t i;

    if (json_parse(text, &array, &err) < 0 || !json_is_array(array)) {
        return;
    }
    json_array_foreach (array, i, item) {
        if (json_is_string(item)) {
            add_tag(memory, (struct str){json_string_value(item), json_string_length(item)});
        }
    }
}

static void add_array_tags(struct memory *memory, struct str text)
{
    AUTO(buf_done) struct buf tag = BUF_INIT(MEMORY_TAG_MAX_BYTES);
    struct err err = ERR_INIT;

    for (size_t i = 1; i + 1 < text.len; i++) {
        bool is_quoted = text.ptr[i] == '"';
        bool fits = true;
        buf_reset(&tag);
        for (i += is_quoted; i + 1 < text.len && text.ptr[i] != (is_quoted ? '"' : ','); i++) {
            i += text.ptr[i] == '\\' && i + 2 < text.len;
            fits = fits && buf_add(&tag, text.ptr + i, 1, &err) == 0;
        }
        i += is_quoted;
        if (fits && (is_quoted || !str_eq(buf_str(&tag), STR("NULL")))) {
            add_tag(memory, buf_str(&tag));
        }
    }
}

static void read_known_fields(const struct row *row, struct memory *memory)
{
    struct str tags = text_of(row, "tags");
    struct err err = ERR_INIT;
    double importance;

    if (memory_type_parse(text_of(row, "memory_type"), &memory->type, &err) < 0) {
        memory->type = MEMORY_SEMANTIC;
    }
    if (num_parse_double(text_of(row, "importance"), 0, 1, "importance", &importance, &err) == 0) {
        memory->importance = importance;
    }
    struct uuid session;
    if (uuid_parse(text_of(row, "session_id"), &session, &err) == 0) {
        memory->session_id = session;
    }
    if (tags.len > 1 && tags.ptr[0] == '[') {
        add_json_tags(memory, tags);
    } else if (tags.len > 1 && tags.ptr[0] == '{') {
        add_array_tags(memory, tags);
    }
    memory->created_us = time_of(text_of(row, "created_at"));
    memory->updated_us = time_of(text_of(row, "updated_at"));
}

/* ---- the memory ---- */

static int add_value(json_t *values, const struct row_value *value, const struct row *row,
                     struct err *err)
{
    json_t *text =
        value->text.ptr == NULL ? json_null() : json_stringn(value->text.ptr, value->text.len);

    if (text == NULL) {
        return err_set(err, ERR_INVALID, "%s.%s is not UTF-8", row->table, value->column);
    }
    return json_object_set_new(values, value->column, text) == 0
               ? 0
               : err_set(err, ERR_INVALID, "a column's name of %s is not UTF-8", row->table);
}

/* ---- what is too large ---- */

#define VALUE_MIN_BYTES                                                                            \
    128 /* leaving out a shorter one gains nothing: its digest takes as much                       \
         */

static bool is_content(const struct row *row, size_t i)
{
    return strcmp(row->values[i].column, mapping_content(row->mapping)) == 0;
}

static bool is_left_out(const struct row *row, const bool *large, size_t i)
{
    return large[i] || mapping_ignores(row->mapping, row->values[i].column);
}

/* Leave out the largest value that is in metadata still. False: none is worth it. */
static bool leave_one_out(const struct row *row, bool *large)
{
    size_t most = row->count;

    for (size_t i = 0; i < row->count; i++) {
        if (!is_left_out(row, large, i) && !is_content(row, i) &&
            row->values[i].text.len >= VALUE_MIN_BYTES &&
            (most == row->count || row->values[i].text.len > row->values[most].text.len)) {
            most = i;
        }
    }
    if (most < row->count) {
        large[most] = true;
    }
    return most < row->count;
}

/* What is too large on the face of it, so that JSON is made of the rest only. */
static int find_large(const struct row *row, bool *large, struct err *err)
{
    size_t total = 0;

    for (size_t i = 0; i < row->count; i++) {
        const struct row_value *value = &row->values[i];
        large[i] = value->digest.ptr != NULL;
        if (!is_content(row, i)) {
            total += is_left_out(row, large, i) ? 0 : value->text.len;
        } else if (value->text.len > 0 && memory_content_check(value->text, err) < 0) {
            if (err->code != ERR_LIMIT) {
                return -(int)err->code;
            }
            err->code = ERR_NONE;
            large[i] = true;
        }
    }
    while (total > MEMORY_METADATA_MAX_BYTES && leave_one_out(row, large)) {
        total = 0;
        for (size_t i = 0; i < row->count; i++) {
            bool counts = !is_left_out(row, large, i) && !is_content(row, i);
            total += counts ? row->values[i].text.len : 0;
        }
    }
    return 0;
}

static int add_digest(json_t *digests, const struct row_value *value, const struct row *row,
                      struct err *err)
{
    json_t *text = NULL;

    if (value->digest.ptr != NULL) {
        text = json_stringn(value->digest.ptr, value->digest.len);
    } else {
        struct sha256 digest = sha256_of(value->text.ptr, value->text.len);
        char hex[SHA256_HEX_MAX];
        sha256_hex(&digest, hex);
        text = json_string(hex);
    }
    return json_object_set_new(digests, value->column, text) == 0
               ? 0
               : err_set(err, ERR_INVALID, "a column's name of %s is not UTF-8", row->table);
}

/* ---- metadata ---- */

static int try_metadata(const struct row *row, struct str key, const bool *large,
                        struct memory *memory, struct err *err)
{
    AUTO(json_unref) json_t *values = json_object();
    AUTO(json_unref) json_t *digests = json_object();
    int result = 0;

    for (size_t i = 0; i < row->count && result == 0; i++) {
        const struct row_value *value = &row->values[i];
        bool is_said = is_content(row, i) && value->text.len > 0; /* by the memory's content */
        if (large[i]) {
            result = add_digest(digests, value, row, err);
        } else if (!is_said && !mapping_ignores(row->mapping, value->column)) {
            result = add_value(values, value, row, err);
        }
    }
    if (result < 0) {
        return result;
    }
    AUTO(json_unref)
    json_t *metadata = json_pack("{s:{s:s,s:s,s:s%},s:O}", "source", "name", row->source, "table",
                                 row->table, "key", key.ptr, key.len, "row", values);
    if (metadata == NULL) {
        return err_set(err, ERR_INVALID, "the key of a row of %s is not UTF-8", row->table);
    }
    if (json_object_size(digests) > 0) {
        json_object_set(metadata, "too_large", digests);
    }
    return memory_read_metadata(metadata, &memory->metadata, err);
}

static int set_metadata(const struct row *row, struct str key, bool *large, struct memory *memory,
                        struct err *err)
{
    for (;;) {
        int result = try_metadata(row, key, large, memory, err);
        if (result == 0 || err->code != ERR_LIMIT || !leave_one_out(row, large)) {
            return result;
        }
        err->code = ERR_NONE;
    }
}

static int set_project(const struct row *row, struct memory *memory, struct err *err)
{
    struct str project = text_of(row, mapping_project(row->mapping));
    struct err why = ERR_INIT;

    if (project.ptr == NULL || project_id_check(project, &why) < 0) {
        project = str_of(row->project);
    }
    memory->project_id = xstrndup(project.ptr, project.len);
    return project_id_check(project, err);
}

static int fill_memory(const struct row *row, struct memory *memory, struct err *err)
{
    AUTO(free_ptr) bool *large = xcalloc(row->count + 1, sizeof(*large));
    struct str content = STR(ROW_BLANK);
    struct str key;

    if (row_key(row, &key, err) < 0 || find_large(row, large, err) < 0) {
        return -(int)err->code;
    }
    for (size_t i = 0; i < row->count; i++) {
        if (is_content(row, i) && !large[i] && row->values[i].text.len > 0) {
            content = row->values[i].text;
        }
    }
    memory->id = row_id(row->source, row->table, row->keeps_ids, key);
    memory->content = xstrndup(content.ptr, content.len);
    memory->content_len = content.len;
    read_known_fields(row, memory);
    return set_project(row, memory, err) < 0 ? -(int)err->code
                                             : set_metadata(row, key, large, memory, err);
}

int row_to_memory(const struct row *row, struct memory *ret, struct err *err)
{
    memory_init(ret);
    if (fill_memory(row, ret, err) < 0) {
        memory_done(ret);
        memory_init(ret);
        return -(int)err->code;
    }
    return 0;
}

int definition_to_memory(const char *source, const char *table, const char *project, struct str sql,
                         struct memory *ret, struct err *err)
{
    memory_init(ret);
    if (memory_content_check(sql, err) < 0) {
        return err_context(err, "the definition of table %s", table);
    }
    ret->id = definition_id(source, table);
    ret->type = MEMORY_PROCEDURAL;
    ret->scope = SCOPE_PROJECT;
    ret->project_id = xstrdup(project);
    ret->content = xstrndup(sql.ptr, sql.len);
    ret->content_len = sql.len;
    ret->metadata =
        json_pack("{s:{s:s,s:s,s:b}}", "source", "name", source, "table", table, "definition", 1);
    return 0;
}

/* ---- and back ---- */

bool row_of_memory(const struct memory *memory, const char *source, const char *table,
                   struct row_origin *ret)
{
    const json_t *of = json_object_get(memory->metadata, "source");
    const char *name = json_string_value(json_object_get(of, "name"));

    *ret = (struct row_origin){.table = json_string_value(json_object_get(of, "table")),
                               .key = json_string_value(json_object_get(of, "key")),
                               .values = json_object_get(memory->metadata, "row"),
                               .too_large = json_object_get(memory->metadata, "too_large")};
    return name != NULL && ret->table != NULL && strcmp(name, source) == 0 &&
           (table == NULL || strcmp(ret->table, table) == 0) &&
           (json_is_object(ret->values) ? ret->key != NULL : ret->values == NULL);
}

struct str row_too_large(const struct row_origin *origin, const char *column)
{
    const json_t *digest = json_object_get(origin->too_large, column);

    return json_is_string(digest)
               ? (struct str){json_string_value(digest), json_string_length(digest)}
               : (struct str){NULL, 0};
}

bool row_text(const struct memory *memory, const struct row_origin *origin,
              const struct source_mapping *mapping, const char *column, struct str *ret_text)
{
    const json_t *value = json_object_get(origin->values, column);

    if (row_too_large(origin, column).ptr != NULL) {
        return false;
    }
    if (value != NULL) {
        *ret_text = json_is_string(value)
                        ? (struct str){json_string_value(value), json_string_length(value)}
                        : (struct str){NULL, 0};
        return true;
    }
    if (strcmp(column, mapping_content(mapping)) == 0) {
        *ret_text = (struct str){memory->content, memory->content_len};
        return true;
    }
    return false;
}

int row_digest(const struct memory *memory, struct buf *scratch, struct sha256 *ret,
               struct err *err)
{
    struct memory plain = *memory; /* borrows */

    plain.created_us = plain.updated_us = 0;
    plain.deleted_us = TIME_NONE;
    buf_reset(scratch);
    int result = memory_write_body(&plain, scratch, err);
    if (result == 0) {
        *ret = sha256_of(scratch->data, scratch->len);
    }
    return result;
}
