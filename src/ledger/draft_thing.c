/* Drafts of sessions and projects, and those that nobody announced. */
#include "ledger/draft.h"

/* ---- projects and sessions that nobody announced ---- */

static int journal_thing(struct store *store, struct change *change, struct err *err)
{
    change->body = buf_str(&store->body);
    int result = own_change_finish(store, change, err);
    return result < 0 ? result : thing_apply(store, change, err);
}

/* The version of a put that nobody asked for: there is no such thing yet, or all its changes are
 * held. */
static int unasked_version(struct store *store, const struct thing_row *row, uint64_t *ret,
                           struct err *err)
{
    uint64_t highest = 0;
    int result = row->found ? highest_version(store, row->last_key, &highest, err) : 0;

    return result < 0 ? result : draft_next_version(0, 0, highest, ret, err);
}

int draft_ensure_project(struct store *store, const char *id, int64_t created_us,
                         const char *source, struct err *err)
{
    struct thing_row row;
    struct change change;
    char *text = (char *)(uintptr_t)id; /* only read */

    int result = thing_find(store, KIND_PROJECT, id, &row, err);
    if (result < 0 || row.key != 0) {
        return result;
    }
    struct project project;
    project_init(&project);
    project.id = text;
    project.name = text;
    project.created_us = created_us;
    buf_reset(&store->body);
    result = project_write_body(&project, &store->body, err);
    if (result == 0) {
        result = draft_start(store, KIND_PROJECT, OP_PUT, source, &change, err);
    }
    if (result == 0) {
        result = draft_set_text(change.id, CHANGE_ID_MAX_BYTES, id, "project_id", err);
    }
    if (result < 0) {
        return result;
    }
    memcpy(change.project_id, change.id, sizeof(change.project_id));
    result = unasked_version(store, &row, &change.version, err);
    return result < 0 ? result : journal_thing(store, &change, err);
}

int draft_ensure_session(struct store *store, const struct uuid *id, const char *project_id,
                         int64_t started_us, const char *source, struct err *err)
{
    struct thing_row row;
    struct change change;
    char text[UUID_TEXT_MAX];

    uuid_format(id, text);
    int result = uuid_is_nil(id) ? 0 : thing_find(store, KIND_SESSION, text, &row, err);
    if (result < 0 || uuid_is_nil(id) || row.key != 0) {
        return result;
    }
    struct session session;
    session_init(&session);
    session.id = *id;
    session.project_id = (char *)(uintptr_t)project_id; /* only read */
    session.started_us = started_us;
    buf_reset(&store->body);
    result = session_write_body(&session, &store->body, err);
    if (result == 0) {
        result = draft_start(store, KIND_SESSION, OP_PUT, source, &change, err);
    }
    if (result == 0) {
        result =
            draft_set_text(change.project_id, PROJECT_ID_MAX_BYTES, project_id, "project_id", err);
    }
    if (result < 0) {
        return result;
    }
    memcpy(change.id, text, sizeof(text));
    change.session_id = *id;
    result = unasked_version(store, &row, &change.version, err);
    return result < 0 ? result : journal_thing(store, &change, err);
}

/* ---- sessions and projects ---- */

/* Does the effective change of a thing say what is in store->body? */
static int same_body(struct store *store, const struct thing_row *row, const char *project_id,
                     bool *ret, uint64_t *ret_version, struct err *err)
{
    AUTO(query_end) struct query query = {.conn = NULL};
    struct change change;
    int64_t earlier;

    *ret = false;
    if (!row->found || row->key == 0) {
        return 0;
    }
    int result =
        change_of_key(&store->conn, &store->origins, row->key, &query, &change, &earlier, err);
    if (result == 0) {
        *ret = str_eq(change.body, buf_str(&store->body)) &&
               strcmp(change.project_id, project_id) == 0;
        *ret_version = change.version;
    }
    return result;
}

/* Journal a session or project whose body is in store->body, unless that is what it is already. */
static int put_thing(struct store *store, struct change *change, const struct uuid *id,
                     uint64_t wanted, struct written *ret, struct err *err)
{
    struct thing_row row;
    uint64_t version = 0;
    uint64_t highest = 0;
    bool same = false;

    int result = thing_find(store, change->kind, change->id, &row, err);
    if (result == 0) {
        result = same_body(store, &row, change->project_id, &same, &version, err);
    }
    if (result == 0 && same) {
        draft_answer_unchanged(store, row.key, id, version, ret);
        return 0;
    }
    if (result == 0 && row.found) {
        result = highest_version(store, row.last_key, &highest, err);
    }
    if (result == 0) {
        result =
            draft_next_version(wanted, row.found ? row.version : 0, highest, &change->version, err);
    }
    if (result == 0) {
        result = journal_thing(store, change, err);
    }
    if (result == 0) {
        draft_answer(change, id, ret);
    }
    return result;
}

int draft_put_session(struct store *store, const struct draft *draft, struct written *ret,
                      struct err *err)
{
    struct change change;

    if (draft->session == NULL || draft->session->project_id == NULL) {
        return err_set(err, ERR_INVALID, "a session needs a project_id");
    }
    int result = project_id_check(str_of(draft->session->project_id), err);
    if (result == 0) {
        result = draft_start(store, KIND_SESSION, OP_PUT, draft->source, &change, err);
    }
    if (result == 0) {
        result = draft_set_text(change.project_id, PROJECT_ID_MAX_BYTES, draft->session->project_id,
                                "project_id", err);
    }
    if (result < 0) {
        return result;
    }
    struct session session = *draft->session;
    if (uuid_is_nil(&session.id)) {
        session.id = uuid_new(store->env);
    }
    if (session.started_us == TIME_NONE) {
        session.started_us = change.at_us;
    }
    change.session_id = session.id;
    uuid_format(&session.id, change.id);
    result =
        draft_ensure_project(store, session.project_id, session.started_us, draft->source, err);
    if (result == 0) {
        buf_reset(&store->body);
        result = session_write_body(&session, &store->body, err);
    }
    return result < 0 ? result : put_thing(store, &change, &session.id, session.version, ret, err);
}

int draft_put_project(struct store *store, const struct draft *draft, struct written *ret,
                      struct err *err)
{
    struct change change;

    if (draft->project == NULL || draft->project->id == NULL) {
        return err_set(err, ERR_INVALID, "a project needs an id");
    }
    struct project project = *draft->project;
    int result = project_id_check(str_of(project.id), err);
    if (result == 0) {
        result = draft_start(store, KIND_PROJECT, OP_PUT, draft->source, &change, err);
    }
    if (result == 0) {
        result = draft_set_text(change.id, CHANGE_ID_MAX_BYTES, project.id, "project id", err);
    }
    if (result < 0) {
        return result;
    }
    memcpy(change.project_id, change.id, sizeof(change.project_id));
    if (project.created_us == TIME_NONE) {
        project.created_us = change.at_us;
    }
    if (project.name == NULL) {
        project.name = project.id;
    }
    buf_reset(&store->body);
    result = project_write_body(&project, &store->body, err);
    return result < 0 ? result
                      : put_thing(store, &change, &(struct uuid){{0}}, project.version, ret, err);
}
