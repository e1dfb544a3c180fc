#include "model/memory_field.h"

#include "base/utf8.h"

const char *const memory_scope_names[2] = {[SCOPE_SHARED] = "shared", [SCOPE_PROJECT] = "project"};

int memory_scope_parse(struct str name, enum memory_scope *ret, struct err *err)
{
    if (str_eq_c(name, memory_scope_names[SCOPE_SHARED])) {
        *ret = SCOPE_SHARED;
    } else if (str_eq_c(name, memory_scope_names[SCOPE_PROJECT])) {
        *ret = SCOPE_PROJECT;
    } else {
        return field_unknown_name(name, "scope", memory_scope_names, 2, err);
    }
    return 0;
}

/* ---- tags ---- */

static bool has_tag(const struct memory *memory, struct str tag)
{
    for (size_t i = 0; i < memory->tag_count; i++) {
        if (str_eq_c(tag, memory->tags[i])) {
            return true;
        }
    }
    return false;
}

int memory_add_tag(struct memory *memory, struct str tag, size_t index, struct err *err)
{
    char name[FIELD_NAME_MAX];

    (void)snprintf(name, sizeof(name), "tags[%zu]", index); /* the index is below MEMORY_TAGS_MAX */
    int result =
        field_check_text(tag, name, (struct field_rule){1, MEMORY_TAG_MAX_BYTES, false}, err);
    if (result < 0 || has_tag(memory, tag)) {
        return result;
    }
    memory->tags = xrealloc(memory->tags, (memory->tag_count + 1) * sizeof(*memory->tags));
    memory->tags[memory->tag_count++] = xstrndup(tag.ptr, tag.len);
    return 0;
}

/* ---- references ---- */

struct reference {
    struct uuid id;
    struct str context; /* ptr NULL: none */
};

static int read_reference_id(const json_t *value, void *target, struct err *err)
{
    struct reference *reference = target;

    return field_uuid(value, "id", &reference->id, err);
}

static int read_reference_context(const json_t *value, void *target, struct err *err)
{
    struct reference *reference = target;

    return field_text(value, "context",
                      (struct field_rule){0, MEMORY_REFERENCE_CONTEXT_MAX_BYTES, true},
                      &reference->context, err);
}

static const struct field reference_fields[] = {
    {"context", read_reference_context},
    {"id", read_reference_id},
};

static int read_reference(const json_t *value, struct reference *ret, struct err *err)
{
    int result = field_read_object(value, reference_fields, 2, "a reference", ret, err);

    if (result == 0 && uuid_is_nil(&ret->id)) {
        result = err_set(err, ERR_INVALID, "id is missing; a memory's UUID is needed");
    }
    return result;
}

static json_t *reference_to_json(const struct reference *reference)
{
    json_t *object = json_object();

    if (reference->context.ptr != NULL) {
        field_put_take(object, "context",
                       json_stringn_nocheck(reference->context.ptr, reference->context.len));
    }
    field_put_uuid(object, "id", &reference->id);
    return object;
}

int memory_read_references(const json_t *value, json_t **ret, struct err *err)
{
    size_t count = json_array_size(value);

    if (!json_is_array(value)) {
        return err_set(err, ERR_INVALID, "references is %s; an array is allowed",
                       field_kind(value));
    }
    if (count > MEMORY_REFERENCES_MAX) {
        return err_set(err, ERR_LIMIT, "references[%d]: %zu references; at most %d are allowed",
                       MEMORY_REFERENCES_MAX, count, MEMORY_REFERENCES_MAX);
    }
    if (count == 0) {
        *ret = NULL;
        return 0;
    }
    AUTO(json_unref) json_t *references = json_array();
    for (size_t i = 0; i < count; i++) {
        struct reference reference = {.context = {NULL, 0}};
        if (read_reference(json_array_get(value, i), &reference, err) < 0) {
            return err_context(err, "references[%zu]", i);
        }
        if (json_array_append_new(references, reference_to_json(&reference)) < 0) {
            abort(); /* memory is out: see buf.h */
        }
    }
    *ret = json_incref(references);
    return 0;
}

/* ---- task ---- */

static int put_task_text(const json_t *value, const char *name, json_t *task, struct err *err)
{
    struct str text;
    int result =
        field_text(value, name, (struct field_rule){0, TASK_TEXT_MAX_BYTES, true}, &text, err);

    if (result == 0) {
        field_put_take(task, name, json_stringn_nocheck(text.ptr, text.len));
    }
    return result;
}

static int read_task_id(const json_t *value, void *target, struct err *err)
{
    struct str text;
    int result =
        field_text(value, "id", (struct field_rule){1, TASK_TEXT_MAX_BYTES, true}, &text, err);

    return result < 0 ? result : put_task_text(value, "id", target, err);
}

static int read_task_source(const json_t *value, void *target, struct err *err)
{
    return put_task_text(value, "source", target, err);
}

static int read_task_status(const json_t *value, void *target, struct err *err)
{
    return put_task_text(value, "status", target, err);
}

static int read_task_title(const json_t *value, void *target, struct err *err)
{
    return put_task_text(value, "title", target, err);
}

static const struct field task_fields[] = {
    {"id", read_task_id},
    {"source", read_task_source},
    {"status", read_task_status},
    {"title", read_task_title},
};

int memory_read_task(const json_t *value, json_t **ret, struct err *err)
{
    AUTO(json_unref) json_t *task = json_object();

    int result = field_read_object(value, task_fields, sizeof(task_fields) / sizeof(task_fields[0]),
                                   "a task", task, err);
    if (result == 0 && json_object_get(task, "id") == NULL) {
        result = err_set(err, ERR_INVALID, "id is missing; a task has id, title, status, source");
    }
    if (result < 0) {
        return err_context(err, "task");
    }
    *ret = json_incref(task);
    return 0;
}
