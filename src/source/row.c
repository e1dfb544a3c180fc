#include "source/row.h"

#include "base/base64.h"
#include "base/hash.h"
#include "base/num.h"
#include "base/utf8.h"
#include "model/emit.h"
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

    *ret = row->key.ptr != NULL ? row->key : text_of(row, column);
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
    struct str rest = rfc[sign] == '\0' ? STR("Z") : text.len - sign == 3 ? STR(":00") : STR("");
    memcpy(rfc + text.len, rest.ptr, rest.len);
    return timestamp_parse((struct str){rfc, text.len + rest.len}, &us, &err) == 0 ? us : TIME_NONE;
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
    char first = tags.ptr != NULL && tags.len > 1 ? tags.ptr[0] : '\0';
    if (first == '[') {
        add_json_tags(memory, tags);
    } else if (first == '{') {
        add_array_tags(memory, tags);
    }
    memory->created_us = time_of(text_of(row, "created_at"));
    memory->updated_us = time_of(text_of(row, "updated_at"));
}

/* ---- the memory ---- */

static const char *const class_names[ROW_CLASSES] = {
    [ROW_INTEGER] = "integer", [ROW_REAL] = "real", [ROW_BLOB] = "blob", [ROW_RAW_TEXT] = "text"};

bool row_class_parse(struct str name, enum row_class *ret)
{
    for (int class = ROW_INTEGER; class < ROW_CLASSES; class ++) {
        if (str_eq_c(name, class_names[class])) {
            *ret = (enum row_class) class;
            return true;
        }
    }
    return false;
}

/* The text as it is, or {class: text}. */
static void emit_value(struct emit *emit, enum row_class class, struct str text)
{
    if (text.ptr == NULL) {
        EMIT(emit, "null");
        return;
    }
    if (class != ROW_TEXT) {
        EMIT(emit, "{\"");
        emit_raw(emit, str_of(class_names[class]));
        EMIT(emit, "\":");
    }
    emit_string(emit, text);
    if (class != ROW_TEXT) {
        EMIT(emit, "}");
    }
}

/* ---- what is too large ---- */

/* Leaving out a shorter one gains nothing: its digest takes as much. */
#define VALUE_MIN_BYTES 128

static bool is_content(const struct row *row, size_t i)
{
    return strcmp(row->values[i].column, mapping_content(row->mapping)) == 0;
}

/* It says which row it is, so it is never left out. */
static bool is_key(const struct row *row, size_t i)
{
    return row->key.ptr != NULL ? row->values[i].is_key
                                : strcmp(row->values[i].column, mapping_id(row->mapping)) == 0;
}

/* The memory's content says it. One that is no plain text is shown there, and kept as what it is.
 */
static bool is_said(const struct row *row, size_t i)
{
    const struct row_value *value = &row->values[i];

    return is_content(row, i) && value->text.len > 0 && value->class == ROW_TEXT;
}

static bool is_in_metadata(const struct row *row, const bool *large, size_t i)
{
    return !large[i] && !is_said(row, i) && !mapping_ignores(row->mapping, row->values[i].column);
}

/* Leave out the largest value that is in metadata still. False: none is worth it. */
static bool leave_one_out(const struct row *row, bool *large)
{
    size_t most = row->count;

    for (size_t i = 0; i < row->count; i++) {
        if (is_in_metadata(row, large, i) && !is_key(row, i) &&
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

static size_t metadata_len(const struct row *row, const bool *large)
{
    size_t total = 0;

    for (size_t i = 0; i < row->count; i++) {
        total += is_in_metadata(row, large, i) ? row->values[i].text.len : 0;
    }
    return total;
}

static bool is_utf8(struct str text)
{
    struct err why = ERR_INIT;
    size_t characters;

    return utf8_check(text, &characters, &why) == 0;
}

/* On the face of it, so that JSON is made of the rest only. */
static bool is_large(const struct row *row, size_t i)
{
    const struct row_value *value = &row->values[i];
    struct err why = ERR_INIT;

    return value->digest.ptr != NULL ||
           (is_content(row, i) && value->text.len > 0
                ? memory_content_check(value->text, &why) < 0
                : !mapping_ignores(row->mapping, value->column) && !is_utf8(value->text));
}

static int find_large(const struct row *row, bool *large, struct err *err)
{
    for (size_t i = 0; i < row->count; i++) {
        large[i] = is_large(row, i);
        if (large[i] && is_key(row, i)) {
            return is_utf8(row->values[i].text)
                       ? err_set(err, ERR_LIMIT, "the key of a row of %s is too large", row->table)
                       : err_set(err, ERR_INVALID, "the key of a row of %s is not UTF-8",
                                 row->table);
        }
    }
    while (metadata_len(row, large) > MEMORY_METADATA_MAX_BYTES && leave_one_out(row, large)) {
    }
    return 0;
}

void row_value_digest(const struct row_value *value, char ret_hex[SHA256_HEX_MAX])
{
    AUTO(buf_done) struct buf bytes = BUF_INIT(value->text.len + 1);
    struct err err = ERR_INIT;
    struct str of = value->text;

    if ((value->class == ROW_BLOB || value->class == ROW_RAW_TEXT) &&
        base64_parse(value->text, &bytes, &err) == 0) {
        of = buf_str(&bytes);
    }
    struct sha256 digest = sha256_of(of.ptr, of.len);
    sha256_hex(&digest, ret_hex);
}

static void emit_digest(struct emit *emit, const struct row_value *value)
{
    char hex[SHA256_HEX_MAX];
    struct str text = value->digest;

    if (text.ptr == NULL) {
        row_value_digest(value, hex);
        text = str_of(hex);
    }
    emit_value(emit, value->class, text);
}

/* ---- metadata ---- */

/* The values were looked at already. */
static int check_utf8(const struct row *row, struct str key, struct err *err)
{
    if (!is_utf8(key) || !is_utf8(str_of(row->table)) || !is_utf8(str_of(row->source))) {
        return err_set(err, ERR_INVALID, "the key of a row of %s is not UTF-8", row->table);
    }
    for (size_t i = 0; i < row->count; i++) {
        if (!is_utf8(str_of(row->values[i].column))) {
            return err_set(err, ERR_INVALID, "a column's name of %s is not UTF-8", row->table);
        }
    }
    return 0;
}

/* The columns' numbers in the order of canonical JSON. */
static int sort_columns(const struct row *row, size_t *order, struct err *err)
{
    for (size_t i = 0; i < row->count; i++) {
        struct str column = str_of(row->values[i].column);
        size_t j = i;
        for (; j > 0 && json_compare_keys(column, str_of(row->values[order[j - 1]].column)) < 0;
             j--) {
            order[j] = order[j - 1];
        }
        order[j] = i;
        if (j > 0 && str_eq_c(column, row->values[order[j - 1]].column)) {
            return err_set(err, ERR_INVALID, "%s has two columns \"%.63s\"", row->table,
                           column.ptr);
        }
    }
    return 0;
}

static void emit_columns(struct emit *emit, const struct row *row, const size_t *order,
                         const bool *large, bool digests)
{
    const char *before = "{";

    for (size_t i = 0; i < row->count; i++) {
        const struct row_value *value = &row->values[order[i]];
        if (digests ? !large[order[i]] : !is_in_metadata(row, large, order[i])) {
            continue;
        }
        emit_raw(emit, str_of(before));
        emit_string(emit, str_of(value->column));
        EMIT(emit, ":");
        if (digests) {
            emit_digest(emit, value);
        } else {
            emit_value(emit, value->class, value->text);
        }
        before = ",";
    }
    emit_raw(emit, before[0] == '{' ? STR("{}") : STR("}"));
}

/* The first column that is left out; NULL: none. */
static const char *large_column(const struct row *row, const bool *large)
{
    for (size_t i = 0; i < row->count; i++) {
        if (large[i]) {
            return row->values[i].column;
        }
    }
    return NULL;
}

static int try_metadata(const struct row *row, struct str key, const size_t *order,
                        const bool *large, struct buf *text, struct err *err)
{
    struct emit emit = emit_begin(text, err);

    EMIT(&emit, "{\"row\":");
    emit_columns(&emit, row, order, large, false);
    EMIT(&emit, ",\"source\":{\"key\":");
    emit_string(&emit, key);
    EMIT(&emit, ",\"name\":");
    emit_string(&emit, str_of(row->source));
    EMIT(&emit, ",\"table\":");
    emit_string(&emit, str_of(row->table));
    EMIT(&emit, "}");
    if (large_column(row, large) != NULL) {
        EMIT(&emit, ",\"too_large\":");
        emit_columns(&emit, row, order, large, true);
    }
    EMIT(&emit, "}");
    return emit_end(&emit);
}

static int set_metadata(const struct row *row, struct str key, bool *large, struct memory *memory,
                        struct err *err)
{
    AUTO(buf_done) struct buf text = BUF_INIT(MEMORY_METADATA_MAX_BYTES);
    AUTO(free_ptr) size_t *order = xcalloc(row->count + 1, sizeof(*order));

    if (check_utf8(row, key, err) < 0 || sort_columns(row, order, err) < 0) {
        return -(int)err->code;
    }
    while (try_metadata(row, key, order, large, &text, err) < 0) {
        if (err->code != ERR_LIMIT) {
            return -(int)err->code;
        }
        if (!leave_one_out(row, large)) {
            return metadata_too_large(err);
        }
        err->code = ERR_NONE;
    }
    memory->metadata = metadata_take(&text);
    return 0;
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

static void set_content(const struct row *row, const bool *large, struct memory *memory)
{
    struct str content = STR(ROW_BLANK);

    for (size_t i = 0; i < row->count; i++) {
        if (is_content(row, i) && !large[i] && row->values[i].text.len > 0) {
            content = row->values[i].text;
        }
    }
    memory->content = xstrndup(content.ptr, content.len);
    memory->content_len = content.len;
}

static int fill_memory(const struct row *row, struct memory *memory, const char **ret_large,
                       struct err *err)
{
    AUTO(free_ptr) bool *large = xcalloc(row->count + 1, sizeof(*large));
    struct str key;

    if (find_large(row, large, err) < 0 || row_key(row, &key, err) < 0) {
        return -(int)err->code;
    }
    memory->id = row_id(row->source, row->table, row->keeps_ids, key);
    read_known_fields(row, memory);
    if (set_project(row, memory, err) < 0 || set_metadata(row, key, large, memory, err) < 0) {
        return -(int)err->code;
    }
    set_content(row, large, memory);
    *ret_large = large_column(row, large);
    return 0;
}

int row_to_memory(const struct row *row, struct memory *ret, const char **ret_large,
                  struct err *err)
{
    const char *ignored;

    memory_init(ret);
    if (fill_memory(row, ret, ret_large == NULL ? &ignored : ret_large, err) < 0) {
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
    AUTO(json_unref)
    json_t *metadata =
        json_pack("{s:{s:s,s:s,s:b}}", "source", "name", source, "table", table, "definition", 1);
    if (metadata_from_json(metadata, &ret->metadata, err) < 0) {
        memory_done(ret);
        return -(int)err->code;
    }
    return 0;
}

const char *row_key_of(const struct memory *memory)
{
    const json_t *source = json_object_get(metadata_tree(memory->metadata), "source");

    return json_string_value(json_object_get(source, "key"));
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
