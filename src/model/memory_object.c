/* The object that users see: memory_from_json, memory_to_json. */
#include "model/memory_field.h"

static int read_content(const json_t *value, void *target, struct err *err)
{
    struct memory *memory = target;
    struct str text;
    int result = field_string(value, "content", &text, err);

    if (result == 0) {
        result = memory_content_check(text, err);
    }
    if (result == 0) {
        memory->content = xstrndup(text.ptr, text.len);
        memory->content_len = text.len;
    }
    return result;
}

static int read_created_at(const json_t *value, void *target, struct err *err)
{
    struct memory *memory = target;

    return field_time(value, "created_at", &memory->created_us, err);
}

static int read_deleted_at(const json_t *value, void *target, struct err *err)
{
    struct memory *memory = target;

    return field_time(value, "deleted_at", &memory->deleted_us, err);
}

static int read_id(const json_t *value, void *target, struct err *err)
{
    struct memory *memory = target;

    return field_uuid(value, "id", &memory->id, err);
}

static int refuse_importance(double number, struct err *err)
{
    AUTO(buf_done) struct buf text = BUF_INIT(FIELD_SHOWN_MAX_BYTES);

    if (json_canonical_number(number, &text, err) < 0) {
        return err_context(err, "importance");
    }
    return err_set(err, ERR_INVALID, "importance is " STR_FMT "; allowed is 0 to 1",
                   STR_ARG(buf_str(&text)));
}

static int read_importance(const json_t *value, void *target, struct err *err)
{
    struct memory *memory = target;
    double number = json_number_value(value);

    if (!json_is_number(value)) {
        return err_set(err, ERR_INVALID, "importance is %s; a number from 0 to 1 is allowed",
                       field_kind(value));
    }
    if (!(number >= 0 && number <= 1)) {
        return refuse_importance(number, err);
    }
    memory->importance = number > 0 ? number : 0; /* no -0: canonical JSON writes it as 0 */
    return 0;
}

static int read_memory_type(const json_t *value, void *target, struct err *err)
{
    struct memory *memory = target;
    struct str name;
    int result = field_string(value, "memory_type", &name, err);

    return result < 0 ? result : memory_type_parse(name, &memory->type, err);
}

static int read_metadata(const json_t *value, void *target, struct err *err)
{
    struct memory *memory = target;

    return metadata_from_json(value, &memory->metadata, err);
}

static int read_project_id(const json_t *value, void *target, struct err *err)
{
    struct memory *memory = target;

    return field_text_copy(value, "project_id", (struct field_rule){1, PROJECT_ID_MAX_BYTES, false},
                           &memory->project_id, err);
}

static int read_references(const json_t *value, void *target, struct err *err)
{
    struct memory *memory = target;

    return memory_read_references(value, &memory->references, err);
}

static int read_scope(const json_t *value, void *target, struct err *err)
{
    struct memory *memory = target;
    struct str name;
    int result = field_string(value, "scope", &name, err);

    return result < 0 ? result : memory_scope_parse(name, &memory->scope, err);
}

static int read_session_id(const json_t *value, void *target, struct err *err)
{
    struct memory *memory = target;

    return field_uuid(value, "session_id", &memory->session_id, err);
}

static int read_sync_version(const json_t *value, void *target, struct err *err)
{
    struct memory *memory = target;

    return field_uint(value, "sync_version", 1, VERSION_GIVEN_MAX, &memory->version, err);
}

static int read_tags(const json_t *value, void *target, struct err *err)
{
    size_t count = json_array_size(value);
    int result = 0;

    if (!json_is_array(value)) {
        return err_set(err, ERR_INVALID, "tags is %s; an array of strings is allowed",
                       field_kind(value));
    }
    if (count > MEMORY_TAGS_MAX) {
        return err_set(err, ERR_LIMIT, "tags[%d]: %zu tags; at most %d are allowed",
                       MEMORY_TAGS_MAX, count, MEMORY_TAGS_MAX);
    }
    for (size_t i = 0; result == 0 && i < count; i++) {
        const json_t *item = json_array_get(value, i);
        if (!json_is_string(item)) {
            return err_set(err, ERR_INVALID, "tags[%zu] is %s; a string is allowed", i,
                           field_kind(item));
        }
        struct str tag = {json_string_value(item), json_string_length(item)};
        result = memory_add_tag(target, tag, i, err);
    }
    return result;
}

static int read_task(const json_t *value, void *target, struct err *err)
{
    struct memory *memory = target;

    return memory_read_task(value, &memory->task, err);
}

static int read_updated_at(const json_t *value, void *target, struct err *err)
{
    struct memory *memory = target;

    return field_time(value, "updated_at", &memory->updated_us, err);
}

static const struct field memory_fields[] = {
    {"content", read_content},
    {"created_at", read_created_at},
    {"deleted_at", read_deleted_at},
    {"embedding", NULL},
    {"id", read_id},
    {"importance", read_importance},
    {"memory_count", NULL},
    {"memory_type", read_memory_type},
    {"metadata", read_metadata},
    {"origin", NULL},
    {"project_id", read_project_id},
    {"references", read_references},
    {"scope", read_scope},
    {"score", NULL},
    {"seq", NULL},
    {"session_id", read_session_id},
    {"snippet", NULL},
    {"sync_status", NULL},
    {"sync_version", read_sync_version},
    {"tags", read_tags},
    {"task", read_task},
    {"updated_at", read_updated_at},
};

int memory_from_json(const json_t *object, struct memory *ret, struct err *err)
{
    AUTO(memory_done) struct memory memory;

    memory_init(&memory);
    int result =
        field_read_object(object, memory_fields, sizeof(memory_fields) / sizeof(memory_fields[0]),
                          "a memory", &memory, err);
    if (result == 0 && memory.content == NULL) {
        result = err_set(err, ERR_INVALID, "content is missing; a memory needs it");
    }
    if (result == 0) {
        *ret = memory;
        memory_init(&memory);
    }
    return result;
}

static json_t *tags_to_json(const struct memory *memory)
{
    json_t *tags = json_array();

    for (size_t i = 0; i < memory->tag_count; i++) {
        if (json_array_append_new(tags, json_string_nocheck(memory->tags[i])) < 0) {
            abort(); /* memory is out: see buf.h */
        }
    }
    return tags;
}

json_t *memory_to_json(const struct memory *memory)
{
    json_t *object = json_object();

    field_put_take(object, "content",
                   memory->content == NULL
                       ? json_null()
                       : json_stringn_nocheck(memory->content, memory->content_len));
    field_put_time(object, "created_at", memory->created_us);
    field_put_time(object, "deleted_at", memory->deleted_us);
    field_put_uuid(object, "id", &memory->id);
    field_put_take(object, "importance", json_real(memory->importance));
    field_put_text(object, "memory_type", memory_type_name(memory->type));
    field_put_take(object, "metadata",
                   memory->metadata == NULL ? json_object()
                                            : json_incref(metadata_tree(memory->metadata)));
    field_put_text(object, "project_id", memory->project_id);
    field_put_take(object, "references",
                   memory->references == NULL ? json_array() : json_incref(memory->references));
    field_put_text(object, "scope", memory_scope_names[memory->scope]);
    field_put_uuid(object, "session_id", &memory->session_id);
    field_put_take(object, "sync_version",
                   memory->version == 0 ? json_null() : json_integer((json_int_t)memory->version));
    field_put_take(object, "tags", tags_to_json(memory));
    field_put_take(object, "task", memory->task == NULL ? json_null() : json_incref(memory->task));
    field_put_time(object, "updated_at", memory->updated_us);
    return object;
}
