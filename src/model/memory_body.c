/*
 * The body that a change carries: canonical JSON, in this order (RFC 8785 sorts the keys):
 *   content, created_at, deleted_at (of a deleted memory), importance, memory_type, metadata,
 * references, scope ("project" only), tags, task, updated_at metadata, references, tags and task
 * are left out when empty.
 */
#include "base/utf8.h"
#include "model/change.h"
#include "model/emit.h"
#include "model/memory_field.h"
#include "model/scan.h"

static void emit_tags(struct emit *emit, const struct memory *memory)
{
    for (size_t i = 0; i < memory->tag_count; i++) {
        emit_raw(emit, i == 0 ? STR(",\"tags\":[") : STR(","));
        emit_string(emit, str_of(memory->tags[i]));
    }
    if (memory->tag_count > 0) {
        EMIT(emit, "]");
    }
}

static void emit_optional(struct emit *emit, struct str key, const json_t *value)
{
    if (value != NULL) {
        emit_raw(emit, key);
        emit_json(emit, value);
    }
}

int memory_write_body(const struct memory *memory, struct buf *buf, struct err *err)
{
    struct emit emit = emit_begin(buf, err);

    EMIT(&emit, "{\"content\":");
    emit_string(&emit, (struct str){memory->content, memory->content_len});
    EMIT(&emit, ",\"created_at\":");
    emit_time(&emit, memory->created_us);
    if (memory->deleted_us != TIME_NONE) {
        EMIT(&emit, ",\"deleted_at\":");
        emit_time(&emit, memory->deleted_us);
    }
    EMIT(&emit, ",\"importance\":");
    emit_number(&emit, memory->importance);
    EMIT(&emit, ",\"memory_type\":\"");
    emit_raw(&emit, str_of(memory_type_name(memory->type)));
    EMIT(&emit, "\"");
    if (memory->metadata != NULL) {
        EMIT(&emit, ",\"metadata\":");
        emit_raw(&emit, metadata_text(memory->metadata));
    }
    emit_optional(&emit, STR(",\"references\":"), memory->references);
    if (memory->scope == SCOPE_PROJECT) {
        EMIT(&emit, ",\"scope\":\"project\"");
    }
    emit_tags(&emit, memory);
    emit_optional(&emit, STR(",\"task\":"), memory->task);
    EMIT(&emit, ",\"updated_at\":");
    emit_time(&emit, memory->updated_us);
    EMIT(&emit, "}");
    return emit_end(&emit);
}

/* ---- reading ---- */

static int read_content(struct scan *scan, struct memory *memory, struct err *err)
{
    struct str escaped;

    int result = scan_string(scan, &escaped, err);
    if (result < 0) {
        return result;
    }
    memory->content = xmalloc(escaped.len + 1);
    result = scan_unescape(scan, escaped, memory->content, &memory->content_len, err);
    if (result == 0) {
        result = memory_content_check((struct str){memory->content, memory->content_len}, err);
    }
    return result;
}

static int read_created_at(struct scan *scan, struct memory *memory, struct err *err)
{
    return scan_time(scan, &memory->created_us, err);
}

static int read_deleted_at(struct scan *scan, struct memory *memory, struct err *err)
{
    return scan_time(scan, &memory->deleted_us, err);
}

static int read_importance(struct scan *scan, struct memory *memory, struct err *err)
{
    return scan_fraction(scan, &memory->importance, err);
}

static int read_memory_type(struct scan *scan, struct memory *memory, struct err *err)
{
    struct str name;
    int result = scan_string(scan, &name, err);

    return result < 0 ? result : memory_type_parse(name, &memory->type, err);
}

static int read_scope(struct scan *scan, struct memory *memory, struct err *err)
{
    struct str name;
    int result = scan_string(scan, &name, err);

    return result < 0 ? result : memory_scope_parse(name, &memory->scope, err);
}

static int read_tree(struct scan *scan, int (*read)(const json_t *, json_t **, struct err *),
                     json_t **ret, struct err *err)
{
    AUTO(json_unref) json_t *tree = NULL;
    struct str text;

    if (scan_value(scan, &text, err) < 0 || json_parse(text, &tree, err) < 0) {
        return -(int)err->code;
    }
    return read(tree, ret, err);
}

static int read_metadata(struct scan *scan, struct memory *memory, struct err *err)
{
    return metadata_scan(scan, &memory->metadata, err);
}

static int read_references(struct scan *scan, struct memory *memory, struct err *err)
{
    return read_tree(scan, memory_read_references, &memory->references, err);
}

static int read_task(struct scan *scan, struct memory *memory, struct err *err)
{
    return read_tree(scan, memory_read_task, &memory->task, err);
}

static int read_tag(struct scan *scan, struct memory *memory, size_t index, struct err *err)
{
    char tag[6 * MEMORY_TAG_MAX_BYTES + 1]; /* every byte as \u00XX */
    struct str escaped;
    size_t len;

    int result = scan_string(scan, &escaped, err);
    if (result == 0 && (index >= MEMORY_TAGS_MAX || escaped.len >= sizeof(tag))) {
        result = scan_wrong(scan, "more or longer tags than are allowed", err);
    }
    if (result == 0) {
        result = scan_unescape(scan, escaped, tag, &len, err);
    }
    return result < 0 ? result : memory_add_tag(memory, (struct str){tag, len}, index, err);
}

static int read_tags(struct scan *scan, struct memory *memory, struct err *err)
{
    size_t index = 0;
    int result = scan_expect(scan, STR("["), err);

    do {
        if (result == 0) {
            result = read_tag(scan, memory, index++, err);
        }
    } while (result == 0 && scan_is(scan, STR(",")));
    return result < 0 ? result : scan_expect(scan, STR("]"), err);
}

static int read_updated_at(struct scan *scan, struct memory *memory, struct err *err)
{
    return scan_time(scan, &memory->updated_us, err);
}

static const struct body_field {
    struct str name;
    bool required;
    int (*read)(struct scan *scan, struct memory *memory, struct err *err);
} body_fields[] = {
    {{"content", 7}, true, read_content},
    {{"created_at", 10}, true, read_created_at},
    {{"deleted_at", 10}, false, read_deleted_at},
    {{"importance", 10}, true, read_importance},
    {{"memory_type", 11}, true, read_memory_type},
    {{"metadata", 8}, false, read_metadata},
    {{"references", 10}, false, read_references},
    {{"scope", 5}, false, read_scope},
    {{"tags", 4}, false, read_tags},
    {{"task", 4}, false, read_task},
    {{"updated_at", 10}, true, read_updated_at},
};

#define BODY_FIELDS (sizeof(body_fields) / sizeof(body_fields[0]))

/* The field called key, which comes at *next or behind it; what is passed over must be optional. */
static int find_field(struct str key, size_t *next, struct err *err)
{
    size_t first = *next;
    struct str shown = field_shown(key);

    for (size_t i = first; i < BODY_FIELDS; i++) {
        if (str_eq(key, body_fields[i].name)) {
            *next = i;
            return 0;
        }
        if (body_fields[i].required) {
            break;
        }
    }
    for (size_t i = 0; i < BODY_FIELDS; i++) {
        if (str_eq(key, body_fields[i].name)) {
            return err_set(err, ERR_CORRUPT,
                           STR_FMT " is out of order, or a field before it is missing",
                           STR_ARG(shown));
        }
    }
    return err_set(err, ERR_CORRUPT, STR_FMT " is not a field of a memory's body", STR_ARG(shown));
}

static int read_members(struct scan *scan, struct memory *memory, struct err *err)
{
    size_t next = 0;
    struct str key;
    int result = scan_expect(scan, STR("{"), err);

    do {
        if (result == 0) {
            result = scan_string(scan, &key, err);
        }
        if (result == 0) {
            result = scan_expect(scan, STR(":"), err);
        }
        if (result == 0) {
            result = find_field(key, &next, err);
        }
        if (result == 0 && body_fields[next].read(scan, memory, err) < 0) {
            result = err_context(err, STR_FMT, STR_ARG(body_fields[next].name));
        }
        next++;
    } while (result == 0 && scan_is(scan, STR(",")));
    if (result == 0) {
        result = scan_expect(scan, STR("}"), err);
    }
    if (result == 0 && next < BODY_FIELDS) {
        result = err_set(err, ERR_CORRUPT, "updated_at is missing");
    }
    return result < 0 ? result : scan_end(scan, err);
}

int memory_read_body(struct str body, struct memory *ret, struct err *err)
{
    AUTO(memory_done) struct memory memory;
    struct scan scan;
    size_t code_points;

    memory_init(&memory);
    if (scan_begin(body, &scan, err) < 0 || utf8_check(body, &code_points, err) < 0 ||
        read_members(&scan, &memory, err) < 0) {
        return field_corrupt(err);
    }
    *ret = memory;
    memory_init(&memory);
    return 0;
}

int memory_of_change(const struct change *change, struct memory *ret, struct err *err)
{
    struct uuid id;

    int result = uuid_parse(str_of(change->id), &id, err);
    if (result == 0) {
        result = memory_read_body(change->body, ret, err);
    }
    if (result < 0) {
        return err_context(err, "memory %s", change->id);
    }
    ret->id = id;
    ret->version = change->version;
    ret->project_id = xstrdup(change->project_id);
    ret->session_id = change->session_id;
    return 0;
}
