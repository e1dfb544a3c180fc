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

/* ---- metadata ---- */

static bool is_deeper_than(const json_t *value, int levels)
{
    /* jansson's iterators take no const; they change nothing. */
    json_t *shared = (json_t *)(uintptr_t)value;

    if (!json_is_object(value) && !json_is_array(value)) {
        return false;
    }
    if (levels == 0) {
        return true;
    }
    for (size_t i = 0; i < json_array_size(value); i++) {
        if (is_deeper_than(json_array_get(value, i), levels - 1)) {
            return true;
        }
    }
    for (void *at = json_object_iter(shared); at != NULL; at = json_object_iter_next(shared, at)) {
        if (is_deeper_than(json_object_iter_value(at), levels - 1)) {
            return true;
        }
    }
    return false;
}

static int too_large(struct err *err)
{
    char max[FIELD_GROUPED_MAX];

    field_grouped(MEMORY_METADATA_MAX_BYTES, max);
    return err_set(err, ERR_LIMIT, "metadata is too large; %s bytes of canonical JSON are allowed",
                   max);
}

static int check_shape(const json_t *value, struct err *err)
{
    if (!json_is_object(value)) {
        return err_set(err, ERR_INVALID, "metadata is %s; an object is allowed", field_kind(value));
    }
    if (is_deeper_than(value, MEMORY_METADATA_DEPTH_MAX)) {
        return err_set(err, ERR_LIMIT,
                       "metadata is nested deeper than the %d levels that are allowed",
                       MEMORY_METADATA_DEPTH_MAX);
    }
    return 0;
}

/* No more bytes of canonical JSON than this; UNBOUND where only writing it can tell, as numbers
 * have rules of their own. */
#define UNBOUND ((size_t)1 << 32)
#define ESCAPED_MAX 6 /* \u001f */

static size_t bound_of(const json_t *value)
{
    json_t *tree = (json_t *)(uintptr_t)value;
    size_t total = 2 + ESCAPED_MAX * json_string_length(value);

    if (json_is_number(value)) {
        return UNBOUND;
    }
    for (size_t i = 0; i < json_array_size(value) && total < UNBOUND; i++) {
        total += 1 + bound_of(json_array_get(value, i));
    }
    for (void *at = json_object_iter(tree); at != NULL && total < UNBOUND;
         at = json_object_iter_next(tree, at)) {
        total += 4 + ESCAPED_MAX * strlen(json_object_iter_key(at)) +
                 bound_of(json_object_iter_value(at));
    }
    return total + (json_is_null(value) || json_is_boolean(value) ? 3 : 0);
}

/* The tree is shared: counting a reference changes nothing that its other holders see. */
static json_t *shared(const json_t *value)
{
    return json_object_size(value) == 0 ? NULL : json_incref((json_t *)(uintptr_t)value);
}

int memory_read_metadata(const json_t *value, json_t **ret, struct err *err)
{
    AUTO(buf_done) struct buf canonical = BUF_INIT(MEMORY_METADATA_MAX_BYTES);

    if (check_shape(value, err) < 0) {
        return -(int)err->code;
    }
    if (bound_of(value) > MEMORY_METADATA_MAX_BYTES && json_canonical(value, &canonical, err) < 0) {
        return err->code == ERR_LIMIT ? too_large(err) : err_context(err, "metadata");
    }
    *ret = shared(value);
    return 0;
}

int memory_read_stored_metadata(const json_t *value, size_t len, json_t **ret, struct err *err)
{
    int result = len > MEMORY_METADATA_MAX_BYTES ? too_large(err) : check_shape(value, err);

    if (result == 0) {
        *ret = shared(value);
    }
    return result;
}
