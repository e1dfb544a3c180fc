/* Sessions and projects. */
#include "api/handlers.h"

#define SESSIONS_LIMIT_DEFAULT 20

static int add_session(void *arg, const struct session *session, struct err *err)
{
    AUTO(json_unref) json_t *object = session_to_json(session);

    return spool_add_json(arg, object, err);
}

int op_list_sessions(const struct op_call *call, struct op_reply *reply, struct err *err)
{
    AUTO(reader_done) struct reader *reader = NULL;
    AUTO(free_ptr) char *project = NULL;

    if (!call_bool(call, "all_projects") && call_project(call, &project, NULL, err) != 0) {
        return -(int)err->code;
    }
    if (read_begin(call->engine->ledger, &reader, err) != 0) {
        return -(int)err->code;
    }
    return read_sessions(reader, project,
                         (size_t)call_integer(call, "limit", SESSIONS_LIMIT_DEFAULT), add_session,
                         &reply->lines, err);
}

static int collect_memory(void *arg, const struct memory *memory, const struct memory_state *state,
                          struct err *err)
{
    (void)state;
    (void)err;
    json_array_append_new(arg, memory_to_json(memory));
    return 0;
}

int op_get_session(const struct op_call *call, struct op_reply *reply, struct err *err)
{
    AUTO(reader_done) struct reader *reader = NULL;
    struct memory_filter filter = MEMORY_FILTER_INIT;
    struct uuid id = call_uuid(call, "id");
    struct session session;

    filter.session_id = id;
    if (read_begin(call->engine->ledger, &reader, err) != 0 ||
        read_session(reader, &id, &session, err) != 0) {
        return -(int)err->code;
    }
    AUTO(json_unref) json_t *object = session_to_json(&session);
    session_done(&session);
    json_t *memories = json_array();
    json_object_set_new(object, "memories", memories);
    if (read_memories(reader, &filter, collect_memory, memories, err) != 0) {
        return -(int)err->code;
    }
    reply->document = json_incref(object);
    return 0;
}

/* Answer with a session as it is now in the ledger. */
static int reply_session(const struct op_call *call, const struct uuid *id, struct op_reply *reply,
                         struct err *err)
{
    AUTO(reader_done) struct reader *reader = NULL;
    struct session session;

    if (read_begin(call->engine->ledger, &reader, err) != 0 ||
        read_session(reader, id, &session, err) != 0) {
        return -(int)err->code;
    }
    reply->document = session_to_json(&session);
    session_done(&session);
    return 0;
}

int op_start_session(const struct op_call *call, struct op_reply *reply, struct err *err)
{
    AUTO(free_ptr) char *project = NULL;
    struct uuid journey = call_uuid(call, "journey_id");
    struct uuid id;

    if (engine_may_write(call->engine, err) != 0 || call_project(call, &project, NULL, err) != 0 ||
        tracker_start(call->engine->tracker, &call->caller->agent, project, &journey, &id, err) !=
            0) {
        return -(int)err->code;
    }
    return reply_session(call, &id, reply, err);
}

int op_end_session(const struct op_call *call, struct op_reply *reply, struct err *err)
{
    struct uuid id = call_uuid(call, "id");

    if (engine_may_write(call->engine, err) != 0 ||
        tracker_end(call->engine->tracker, &id, call_text(call, "summary"), call->caller->source,
                    err) != 0) {
        return -(int)err->code;
    }
    return reply_session(call, &id, reply, err);
}

int op_agent_gone(const struct op_call *call, struct op_reply *reply, struct err *err)
{
    if (tracker_agent_gone(call->engine->tracker, &call->caller->agent, err) != 0) {
        return -(int)err->code;
    }
    reply->document = json_pack("{s:b}", "done", 1);
    return 0;
}

static int add_project(void *arg, const struct project *project, struct err *err)
{
    AUTO(json_unref) json_t *object = project_to_json(project);

    return spool_add_json(arg, object, err);
}

int op_list_projects(const struct op_call *call, struct op_reply *reply, struct err *err)
{
    AUTO(reader_done) struct reader *reader = NULL;

    if (read_begin(call->engine->ledger, &reader, err) != 0) {
        return -(int)err->code;
    }
    return read_projects(reader, add_project, &reply->lines, err);
}

int op_current_project(const struct op_call *call, struct op_reply *reply, struct err *err)
{
    AUTO(free_ptr) char *project = NULL;
    const char *why = "";

    if (call_project(call, &project, &why, err) != 0) {
        return -(int)err->code;
    }
    reply->document = json_pack("{s:s,s:s}", "project_id", project, "because", why);
    return 0;
}
