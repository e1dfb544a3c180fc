/* struct project of session.h. */
#include "model/emit.h"
#include "model/field.h"
#include "model/session.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

void project_init(struct project *project)
{
    *project = (struct project){.created_us = TIME_NONE};
}

void project_done(struct project *project)
{
    if (project == NULL) {
        return;
    }
    free(project->id);
    free(project->name);
    free(project->description);
    project_init(project);
}

json_t *project_to_json(const struct project *project)
{
    json_t *object = json_object();

    field_put_time(object, "created_at", project->created_us);
    field_put_text(object, "description", project->description);
    field_put_text(object, "id", project->id);
    field_put_uint(object, "memory_count", project->memory_count);
    field_put_text(object, "name", project->name);
    field_put_take(object, "sync_version",
                   project->version == 0 ? json_null()
                                         : json_integer((json_int_t)project->version));
    return object;
}

/* ---- fields ---- */

static int read_created_at(const json_t *value, void *target, struct err *err)
{
    struct project *project = target;

    return field_time(value, "created_at", &project->created_us, err);
}

static int read_description(const json_t *value, void *target, struct err *err)
{
    struct project *project = target;
    struct str text;
    int result =
        field_text(value, "description",
                   (struct field_rule){0, PROJECT_DESCRIPTION_MAX_BYTES, true}, &text, err);

    if (result == 0 && text.len > 0) {
        project->description = xstrndup(text.ptr, text.len);
    }
    return result;
}

static int read_id(const json_t *value, void *target, struct err *err)
{
    struct project *project = target;

    return field_text_copy(value, "id", (struct field_rule){1, PROJECT_ID_MAX_BYTES, false},
                           &project->id, err);
}

static int read_name(const json_t *value, void *target, struct err *err)
{
    struct project *project = target;

    return field_text_copy(value, "name", (struct field_rule){1, PROJECT_NAME_MAX_BYTES, false},
                           &project->name, err);
}

static int read_sync_version(const json_t *value, void *target, struct err *err)
{
    struct project *project = target;

    return field_uint(value, "sync_version", 1, VERSION_GIVEN_MAX, &project->version, err);
}

static const struct field object_fields[] = {
    {"created_at", read_created_at},
    {"description", read_description},
    {"id", read_id},
    {"memory_count", NULL},
    {"name", read_name},
    {"origin", NULL},
    {"seq", NULL},
    {"sync_status", NULL},
    {"sync_version", read_sync_version},
};

int project_from_json(const json_t *object, struct project *ret, struct err *err)
{
    AUTO(project_done) struct project project;

    project_init(&project);
    int result =
        field_read_object(object, object_fields, COUNT(object_fields), "a project", &project, err);
    if (result == 0 && project.id == NULL) {
        result = err_set(err, ERR_INVALID, "id is missing; 1 to %d bytes are allowed",
                         PROJECT_ID_MAX_BYTES);
    }
    if (result < 0) {
        return result;
    }
    if (project.name == NULL) {
        project.name = xstrdup(project.id);
    }
    *ret = project;
    project_init(&project);
    return 0;
}

/* ---- body: created_at, description (if any), name ---- */

static const struct field body_fields[] = {
    {"created_at", read_created_at},
    {"description", read_description},
    {"name", read_name},
};

int project_write_body(const struct project *project, struct buf *buf, struct err *err)
{
    struct emit emit = emit_begin(buf, err);

    EMIT(&emit, "{\"created_at\":");
    emit_time(&emit, project->created_us);
    if (project->description != NULL) {
        EMIT(&emit, ",\"description\":");
        emit_string(&emit, str_of(project->description));
    }
    EMIT(&emit, ",\"name\":");
    emit_string(&emit, str_of(project->name));
    EMIT(&emit, "}");
    return emit_end(&emit);
}

int project_read_body(struct str body, struct project *ret, struct err *err)
{
    AUTO(json_unref) json_t *tree = NULL;
    AUTO(project_done) struct project project;

    project_init(&project);
    if (json_parse(body, &tree, err) < 0 ||
        field_read_object(tree, body_fields, COUNT(body_fields), "a project", &project, err) < 0) {
        return field_corrupt(err);
    }
    if (project.created_us == TIME_NONE || project.name == NULL) {
        return err_set(err, ERR_CORRUPT, "%s is missing in a project's body",
                       project.name == NULL ? "name" : "created_at");
    }
    *ret = project;
    project_init(&project);
    return 0;
}
