#include "model/memory.h"

#include "model/memory_field.h"

static const char *const type_names[MEMORY_TYPES] = {
    [MEMORY_EPISODIC] = "episodic",
    [MEMORY_SEMANTIC] = "semantic",
    [MEMORY_PROCEDURAL] = "procedural",
    [MEMORY_STRATEGIC] = "strategic",
};

const char *memory_type_name(enum memory_type type)
{
    return type_names[type];
}

int memory_type_parse(struct str name, enum memory_type *ret, struct err *err)
{
    for (int i = 0; i < MEMORY_TYPES; i++) {
        if (str_eq_c(name, type_names[i])) {
            *ret = (enum memory_type)i;
            return 0;
        }
    }
    return field_unknown_name(name, "memory_type", type_names, MEMORY_TYPES, err);
}

int project_id_check(struct str id, struct err *err)
{
    return field_check_text(id, "project_id", (struct field_rule){1, PROJECT_ID_MAX_BYTES, false},
                            err);
}

int memory_content_check(struct str content, struct err *err)
{
    return field_check_characters(content, "content", 1, MEMORY_CONTENT_MAX, err);
}

void memory_init(struct memory *memory)
{
    *memory = (struct memory){
        .type = MEMORY_SEMANTIC,
        .importance = 0.5,
        .scope = SCOPE_SHARED,
        .created_us = TIME_NONE,
        .updated_us = TIME_NONE,
        .deleted_us = TIME_NONE,
    };
}

void memory_done(struct memory *memory)
{
    if (memory == NULL) {
        return;
    }
    for (size_t i = 0; i < memory->tag_count; i++) {
        free(memory->tags[i]);
    }
    free(memory->tags);
    free(memory->content);
    free(memory->project_id);
    json_decref(memory->task);
    json_decref(memory->references);
    metadata_free(memory->metadata);
    memory_init(memory);
}

static char **copy_tags(const struct memory *memory)
{
    if (memory->tag_count == 0) {
        return NULL;
    }
    char **tags = xcalloc(memory->tag_count, sizeof(*tags));
    for (size_t i = 0; i < memory->tag_count; i++) {
        tags[i] = xstrdup(memory->tags[i]);
    }
    return tags;
}

static char *copy_text(const char *text)
{
    return text == NULL ? NULL : xstrdup(text);
}

int memory_copy(const struct memory *memory, struct memory *ret, struct err *err)
{
    AUTO(memory_done) struct memory copy = *memory;

    copy.content = memory->content == NULL ? NULL : xstrndup(memory->content, memory->content_len);
    copy.project_id = copy_text(memory->project_id);
    copy.tags = copy_tags(memory);
    copy.task = json_deep_copy(memory->task);
    copy.references = json_deep_copy(memory->references);
    copy.metadata = metadata_copy(memory->metadata);
    if ((copy.task == NULL) != (memory->task == NULL) ||
        (copy.references == NULL) != (memory->references == NULL)) {
        return err_set(err, ERR_INTERNAL, "a memory could not be copied: memory is out");
    }
    *ret = copy;
    memory_init(&copy);
    return 0;
}

static bool same_text(const char *a, const char *b)
{
    return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

static bool same_json(const json_t *a, const json_t *b)
{
    /* jansson's json_equal takes no const; it changes nothing. */
    return a == b || json_equal((json_t *)(uintptr_t)a, (json_t *)(uintptr_t)b) == 1;
}

bool memory_same_tags(const struct memory *a, const struct memory *b)
{
    if (a->tag_count != b->tag_count) {
        return false;
    }
    for (size_t i = 0; i < a->tag_count; i++) {
        if (strcmp(a->tags[i], b->tags[i]) != 0) {
            return false;
        }
    }
    return true;
}

bool memory_same(const struct memory *a, const struct memory *b)
{
    return uuid_eq(&a->id, &b->id) && uuid_eq(&a->session_id, &b->session_id) &&
           a->type == b->type &&
           !(a->importance < b->importance || a->importance > b->importance) &&
           a->scope == b->scope && a->deleted_us == b->deleted_us &&
           a->content_len == b->content_len && same_text(a->content, b->content) &&
           same_text(a->project_id, b->project_id) && memory_same_tags(a, b) &&
           same_json(a->task, b->task) && same_json(a->references, b->references) &&
           metadata_same(a->metadata, b->metadata);
}
