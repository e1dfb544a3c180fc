#include "model/session.h"

#include "model/emit.h"
#include "model/field.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

void session_init(struct session *session)
{
    *session =
        (struct session){.started_us = TIME_NONE, .ended_us = TIME_NONE, .active_us = TIME_NONE};
}

void session_done(struct session *session)
{
    if (session == NULL) {
        return;
    }
    free(session->project_id);
    free(session->summary);
    free(session->agent);
    session_init(session);
}

static void put_version(json_t *object, uint64_t version)
{
    field_put_take(object, "sync_version",
                   version == 0 ? json_null() : json_integer((json_int_t)version));
}

json_t *session_to_json(const struct session *session)
{
    json_t *object = json_object();

    field_put_time(object, "active_at", session->active_us);
    field_put_text(object, "agent", session->agent);
    field_put_time(object, "ended_at", session->ended_us);
    field_put_uuid(object, "id", &session->id);
    field_put_uuid(object, "journey_id", &session->journey_id);
    field_put_uint(object, "memory_count", session->memory_count);
    field_put_uuid(object, "previous_id", &session->previous_id);
    field_put_text(object, "project_id", session->project_id);
    field_put_time(object, "started_at", session->started_us);
    field_put_text(object, "summary", session->summary);
    put_version(object, session->version);
    return object;
}

/* ---- fields ---- */

static int read_agent(const json_t *value, void *target, struct err *err)
{
    struct session *session = target;

    return field_text_copy(value, "agent", (struct field_rule){1, SOURCE_MAX_BYTES, false},
                           &session->agent, err);
}

static int read_ended_at(const json_t *value, void *target, struct err *err)
{
    struct session *session = target;

    return field_time(value, "ended_at", &session->ended_us, err);
}

static int read_id(const json_t *value, void *target, struct err *err)
{
    struct session *session = target;

    return field_uuid(value, "id", &session->id, err);
}

static int read_journey_id(const json_t *value, void *target, struct err *err)
{
    struct session *session = target;

    return field_uuid(value, "journey_id", &session->journey_id, err);
}

static int read_previous_id(const json_t *value, void *target, struct err *err)
{
    struct session *session = target;

    return field_uuid(value, "previous_id", &session->previous_id, err);
}

static int read_project_id(const json_t *value, void *target, struct err *err)
{
    struct session *session = target;

    return field_text_copy(value, "project_id", (struct field_rule){1, PROJECT_ID_MAX_BYTES, false},
                           &session->project_id, err);
}

static int read_started_at(const json_t *value, void *target, struct err *err)
{
    struct session *session = target;

    return field_time(value, "started_at", &session->started_us, err);
}

static int read_summary(const json_t *value, void *target, struct err *err)
{
    struct session *session = target;
    struct str text;
    int result = field_string(value, "summary", &text, err);

    if (result == 0) {
        result = field_check_characters(text, "summary", 0, SESSION_SUMMARY_MAX, err);
    }
    if (result == 0 && text.len > 0) {
        session->summary = xstrndup(text.ptr, text.len);
    }
    return result;
}

static int read_sync_version(const json_t *value, void *target, struct err *err)
{
    struct session *session = target;

    return field_uint(value, "sync_version", 1, VERSION_GIVEN_MAX, &session->version, err);
}

static const struct field object_fields[] = {
    {"active_at", NULL},
    {"agent", read_agent},
    {"ended_at", read_ended_at},
    {"id", read_id},
    {"journey_id", read_journey_id},
    {"memory_count", NULL},
    {"origin", NULL},
    {"previous_id", read_previous_id},
    {"project_id", read_project_id},
    {"seq", NULL},
    {"started_at", read_started_at},
    {"summary", read_summary},
    {"sync_status", NULL},
    {"sync_version", read_sync_version},
};

static int session_read(const json_t *object, const struct field *fields, size_t count,
                        struct session *ret, struct err *err)
{
    AUTO(session_done) struct session session;

    session_init(&session);
    int result = field_read_object(object, fields, count, "a session", &session, err);
    if (result == 0) {
        *ret = session;
        session_init(&session);
    }
    return result;
}

int session_from_json(const json_t *object, struct session *ret, struct err *err)
{
    return session_read(object, object_fields, COUNT(object_fields), ret, err);
}

/* ---- body: agent, ended_at, journey_id, previous_id, started_at, summary; each but started_at
 * only if there is one ---- */

static const struct field body_fields[] = {
    {"agent", read_agent},           {"ended_at", read_ended_at},
    {"journey_id", read_journey_id}, {"previous_id", read_previous_id},
    {"started_at", read_started_at}, {"summary", read_summary},
};

static void emit_optional_uuid(struct emit *emit, struct str key, const struct uuid *uuid)
{
    if (!uuid_is_nil(uuid)) {
        emit_raw(emit, key);
        emit_uuid(emit, uuid);
        EMIT(emit, ",");
    }
}

int session_write_body(const struct session *session, struct buf *buf, struct err *err)
{
    struct emit emit = emit_begin(buf, err);

    EMIT(&emit, "{");
    if (session->agent != NULL) {
        EMIT(&emit, "\"agent\":");
        emit_string(&emit, str_of(session->agent));
        EMIT(&emit, ",");
    }
    if (session->ended_us != TIME_NONE) {
        EMIT(&emit, "\"ended_at\":");
        emit_time(&emit, session->ended_us);
        EMIT(&emit, ",");
    }
    emit_optional_uuid(&emit, STR("\"journey_id\":"), &session->journey_id);
    emit_optional_uuid(&emit, STR("\"previous_id\":"), &session->previous_id);
    EMIT(&emit, "\"started_at\":");
    emit_time(&emit, session->started_us);
    if (session->summary != NULL) {
        EMIT(&emit, ",\"summary\":");
        emit_string(&emit, str_of(session->summary));
    }
    EMIT(&emit, "}");
    return emit_end(&emit);
}

int session_read_body(struct str body, struct session *ret, struct err *err)
{
    AUTO(json_unref) json_t *tree = NULL;
    AUTO(session_done) struct session session;

    session_init(&session);
    if (json_parse(body, &tree, err) < 0 ||
        session_read(tree, body_fields, COUNT(body_fields), &session, err) < 0) {
        return field_corrupt(err);
    }
    if (session.started_us == TIME_NONE) {
        return err_set(err, ERR_CORRUPT, "started_at is missing in a session's body");
    }
    *ret = session;
    session_init(&session);
    return 0;
}
