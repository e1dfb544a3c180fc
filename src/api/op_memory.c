/* remember, recall, show, history, forget, export, log. */
#include "api/handlers.h"

#include "base/timestamp.h"
#include "model/vector.h"

#define RECALL_LIMIT_DEFAULT 10
#define RECALL_DEADLINE_MS 30000
#define LOG_LIMIT_DEFAULT 20

/* What an update leaves out stays as it is: overlay the given fields on the current memory. */
static int merge_current(struct reader *reader, const struct uuid *id, json_t *object,
                         struct err *err)
{
    struct memory current;
    struct memory_state state;
    const char *key;
    json_t *value;
    int rc = read_memory(reader, id, &current, &state, err);

    if (rc == -(int)ERR_NOT_FOUND) {
        return 0;
    }
    if (rc != 0) {
        return rc;
    }
    AUTO(json_unref) json_t *base = memory_to_json(&current);
    bool deleted = current.deleted_us != TIME_NONE;
    memory_done(&current);
    if (deleted) {
        return 0;
    }
    static const char *const renewed[] = {"id", "sync_version", "created_at", "updated_at",
                                          "deleted_at"};
    for (size_t i = 0; i < sizeof(renewed) / sizeof(renewed[0]); i++) {
        json_object_del(base, renewed[i]);
    }
    json_object_foreach (base, key, value)
        if (!json_object_get(object, key) && !json_is_null(value)) {
            json_object_set(object, key, value);
        }
    return 0;
}

/* The memory a remember call means: its parameters, over what is there, in the caller's project and
 * session. */
static int memory_from_call(const struct op_call *call, struct memory *ret, struct err *err)
{
    AUTO(json_unref) json_t *object = json_copy((json_t *)(uintptr_t)call->params);
    struct uuid id = call_uuid(call, "id");

    json_object_del(object, "ack");
    if (!uuid_is_nil(&id)) {
        AUTO(reader_done) struct reader *reader = NULL;
        if (read_begin(call->engine->ledger, &reader, err) != 0 ||
            merge_current(reader, &id, object, err) != 0) {
            return -(int)err->code;
        }
    }
    if (memory_from_json(object, ret, err) != 0) {
        return -(int)err->code;
    }
    if (!ret->project_id && call_project(call, &ret->project_id, NULL, err) != 0) {
        memory_done(ret);
        return -(int)err->code;
    }
    if (uuid_is_nil(&ret->session_id) &&
        tracker_current(call->engine->tracker, &call->caller->agent, ret->project_id,
                        &ret->session_id, err) != 0) {
        memory_done(ret);
        return -(int)err->code;
    }
    return 0;
}

static json_t *written_to_json(struct engine *engine, const struct written *written)
{
    char id[UUID_TEXT_MAX];

    uuid_format(&written->id, id);
    return json_pack("{s:s,s:I,s:I,s:s}", "id", id, "seq", (json_int_t)written->seq, "sync_version",
                     (json_int_t)written->version, "sync_status",
                     sync_status_of(engine, written->seq, written->held));
}

/* Write one draft and answer with what became of it. */
static int write_one(const struct op_call *call, const struct draft *draft, struct op_reply *reply,
                     struct err *err)
{
    struct written written = {0};
    const char *ack = call_text(call, "ack");
    bool to_vault = ack ? strcmp(ack, "vault") == 0 : call->engine->config.daemon.ack == ACK_VAULT;

    if (ledger_write(call->engine->ledger, draft, 1, false, &written, err) != 0) {
        return -(int)err->code;
    }
    if (written.code != ERR_NONE) {
        int rc = err_set(err, written.code, "%s",
                         written.message ? written.message : err_meaning((int)written.code));
        written_done(&written, 1);
        return rc;
    }
    if (to_vault && !written.held &&
        wait_for_vault(call->engine, &written.origin, written.seq, err) != 0) {
        return -(int)err->code;
    }
    reply->document = written_to_json(call->engine, &written);
    return 0;
}

int op_remember(const struct op_call *call, struct op_reply *reply, struct err *err)
{
    struct memory memory;

    if (engine_may_write(call->engine, err) != 0 || memory_from_call(call, &memory, err) != 0) {
        return -(int)err->code;
    }
    struct draft draft = {
        .kind = KIND_MEMORY, .op = OP_PUT, .memory = &memory, .source = call->caller->source};
    int rc = write_one(call, &draft, reply, err);
    memory_done(&memory);
    return rc;
}

int op_forget(const struct op_call *call, struct op_reply *reply, struct err *err)
{
    struct draft draft = {.kind = KIND_MEMORY,
                          .op = OP_DELETE,
                          .id = call_uuid(call, "id"),
                          .source = call->caller->source};

    if (engine_may_write(call->engine, err) != 0) {
        return -(int)err->code;
    }
    return write_one(call, &draft, reply, err);
}

/* A memory as the doors show it: the object and its sync status. */
static json_t *shown_memory(struct engine *engine, const struct memory *memory,
                            const struct memory_state *state)
{
    json_t *object = memory_to_json(memory);
    struct uuid own = ledger_origin(engine->ledger);
    bool mine = uuid_eq(&own, &state->origin);

    json_object_set_new(object, "sync_status",
                        json_string(mine || state->held
                                        ? sync_status_of(engine, state->seq, state->held)
                                        : "synced"));
    return object;
}

int op_get_memory(const struct op_call *call, struct op_reply *reply, struct err *err)
{
    AUTO(reader_done) struct reader *reader = NULL;
    struct uuid id = call_uuid(call, "id");
    struct memory memory;
    struct memory_state state;

    if (read_begin(call->engine->ledger, &reader, err) != 0 ||
        read_memory(reader, &id, &memory, &state, err) != 0) {
        return -(int)err->code;
    }
    reply->document = shown_memory(call->engine, &memory, &state);
    memory_done(&memory);
    return 0;
}

struct lines {
    struct engine *engine;
    struct spool *spool;
};

static int add_version(void *arg, const struct change *change, const struct memory *memory,
                       bool held, struct err *err)
{
    struct lines *lines = arg;
    char text[TIMESTAMP_TEXT_MAX];
    char origin[UUID_TEXT_MAX];
    AUTO(json_unref) json_t *object = memory_to_json(memory);

    timestamp_format(change->at_us, text);
    uuid_format(&change->origin, origin);
    json_object_set_new(object, "change",
                        json_pack("{s:s,s:s,s:I,s:s,s:s,s:b}", "op", change_op_name(change->op),
                                  "origin", origin, "seq", (json_int_t)change->seq, "at", text,
                                  "source", change->source, "held", held));
    return spool_add_json(lines->spool, object, err);
}

int op_history(const struct op_call *call, struct op_reply *reply, struct err *err)
{
    AUTO(reader_done) struct reader *reader = NULL;
    struct uuid id = call_uuid(call, "id");
    struct lines lines = {call->engine, &reply->lines};

    if (read_begin(call->engine->ledger, &reader, err) != 0) {
        return -(int)err->code;
    }
    return read_history(reader, &id, add_version, &lines, err);
}

static int filter_from_call(const struct op_call *call, const char *tags[MEMORY_TAGS_MAX],
                            struct memory_filter *ret, struct err *err)
{
    struct memory_filter filter = MEMORY_FILTER_INIT;

    filter.session_id = call_uuid(call, "session_id");
    filter.tags = tags;
    if (call_time(call, "since", &filter.since_us, err) != 0 ||
        call_time(call, "until", &filter.until_us, err) != 0 ||
        call_tags(call, tags, &filter.tag_count, err) != 0) {
        return -(int)err->code;
    }
    *ret = filter;
    return 0;
}

/* Ask the index here, or a vault. */
static int search(const struct op_call *call, const struct search_query *query,
                  struct search_hit **ret_hits, size_t *ret_count, struct err *err)
{
    struct deadline deadline = deadline_in(RECALL_DEADLINE_MS);
    const char *text = call_text(call, "vector");
    const char *from = call_text(call, "from");
    AUTO(free_ptr) float *vector = NULL;
    struct err why = ERR_INIT;
    size_t dimensions = 0;

    if (!from && !call_bool(call, "remote")) {
        return text ? err_set(err, ERR_USAGE,
                              "vector: only a vault ranks by vectors; ask one (--remote)")
                    : index_search(call->engine->index, query, deadline, ret_hits, ret_count, err);
    }
    if (text && vector_parse(str_of(text), &vector, &dimensions, &why) != 0) {
        return err_set(err, why.code, "vector %s", why.message);
    }
    return engine_search_vault(call->engine, from, query, vector, dimensions, deadline, ret_hits,
                               ret_count, err);
}

int op_recall(const struct op_call *call, struct op_reply *reply, struct err *err)
{
    const char *tags[MEMORY_TAGS_MAX];
    AUTO(free_ptr) char *project = NULL;
    struct search_query query = {.text = call_text(call, "query"),
                                 .limit =
                                     (size_t)call_integer(call, "limit", RECALL_LIMIT_DEFAULT)};
    struct search_hit *hits = NULL;
    size_t count = 0;
    int rc = 0;

    if (filter_from_call(call, tags, &query.filter, err) != 0 ||
        call_project(call, &project, NULL, err) != 0) {
        return -(int)err->code;
    }
    query.filter.asking_project = project;
    query.filter.project_id = call_bool(call, "all_projects") ? NULL : project;
    if (search(call, &query, &hits, &count, err) != 0) {
        return -(int)err->code;
    }
    for (size_t i = 0; i < count && rc == 0; i++) {
        AUTO(json_unref)
        json_t *object = shown_memory(call->engine, &hits[i].memory, &hits[i].state);
        json_object_set_new(object, "score", json_real(hits[i].score));
        json_object_set_new(object, "snippet", json_string(hits[i].snippet ? hits[i].snippet : ""));
        rc = spool_add_json(&reply->lines, object, err);
    }
    search_hits_free(hits, count);
    return rc;
}

static int add_exported(void *arg, const struct memory *memory, const struct memory_state *state,
                        struct err *err)
{
    struct lines *lines = arg;
    AUTO(json_unref) json_t *object = memory_to_json(memory);

    (void)state; /* an export is the data, not what this installation thinks of it */
    return spool_add_json(lines->spool, object, err);
}

int op_export(const struct op_call *call, struct op_reply *reply, struct err *err)
{
    AUTO(reader_done) struct reader *reader = NULL;
    const char *tags[MEMORY_TAGS_MAX];
    struct memory_filter filter;
    struct lines lines = {call->engine, &reply->lines};

    if (filter_from_call(call, tags, &filter, err) != 0) {
        return -(int)err->code;
    }
    filter.project_id = call_text(call, "project_id");
    filter.with_deleted = call_bool(call, "deleted");
    if (read_begin(call->engine->ledger, &reader, err) != 0) {
        return -(int)err->code;
    }
    return read_memories(reader, &filter, add_exported, &lines, err);
}

static int add_change(void *arg, const struct change *change, struct err *err)
{
    struct lines *lines = arg;
    AUTO(json_unref) json_t *object = NULL;
    char hex[SHA256_HEX_MAX];

    if (json_parse(change->record, &object, err) != 0) {
        return err_context(err, "journal, seq %llu", (unsigned long long)change->seq);
    }
    sha256_hex(&change->hash, hex);
    json_object_set_new(object, "hash", json_string(hex));
    sha256_hex(&change->prev, hex);
    json_object_set_new(object, "prev", json_string(hex));
    return spool_add_json(lines->spool, object, err);
}

int op_log(const struct op_call *call, struct op_reply *reply, struct err *err)
{
    AUTO(reader_done) struct reader *reader = NULL;
    AUTO(free_ptr) char *project = NULL;
    struct lines lines = {call->engine, &reply->lines};

    if (!call_bool(call, "all_projects") && call_project(call, &project, NULL, err) != 0) {
        return -(int)err->code;
    }
    if (read_begin(call->engine->ledger, &reader, err) != 0) {
        return -(int)err->code;
    }
    return read_recent_changes(reader, project,
                               (size_t)call_integer(call, "limit", LOG_LIMIT_DEFAULT), add_change,
                               &lines, err);
}
