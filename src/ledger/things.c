/* The projection of sessions, projects, tasks and embeddings: which change says what each is now.
 */
#include "base/fault.h"
#include "ledger/store_internal.h"
#include "model/session.h"

/* Where a kind's row is; kinds without a table of their own share one. */
static enum sql get_of(enum change_kind kind)
{
    return kind == KIND_SESSION   ? SQL_SESSION_GET
           : kind == KIND_PROJECT ? SQL_PROJECT_GET
                                  : SQL_THING_GET;
}

/* Bind a thing's id, the way its table has it, from index on; the next index. */
static int bind_id(struct query *query, int index, enum change_kind kind, const char *id,
                   struct uuid *uuid)
{
    struct err ignored;

    if (kind != KIND_SESSION && kind != KIND_PROJECT) {
        query_i64(query, index++, kind);
    }
    if (kind == KIND_PROJECT) {
        query_text(query, index++, str_of(id));
    } else if ((kind == KIND_SESSION || kind == KIND_EMBEDDING) &&
               uuid_parse(str_of(id), uuid, &ignored) == 0) {
        query_uuid(query, index++, uuid);
    } else {
        query_blob(query, index++, id, strlen(id));
    }
    return index;
}

int thing_find(struct store *store, enum change_kind kind, const char *id, struct thing_row *ret,
               struct err *err)
{
    AUTO(query_end) struct query query = {.conn = NULL};
    struct uuid uuid;

    *ret = (struct thing_row){.found = false};
    if (query_start(&store->conn, get_of(kind), &query, err) < 0) {
        return -(int)err->code;
    }
    (void)bind_id(&query, 1, kind, id, &uuid);
    int result = query_step(&query, err);
    if (result > 0) {
        *ret = (struct thing_row){true, query_get_i64(&query, 0), query_get_i64(&query, 1),
                                  (uint64_t)query_get_i64(&query, 2)};
    }
    return result < 0 ? result : 0;
}

static int put_session(struct store *store, const struct change *change,
                       const struct thing_row *row, struct err *err)
{
    AUTO(query_end) struct query query = {.conn = NULL};
    AUTO(session_done) struct session session;
    struct uuid uuid;

    session_init(&session);
    if (session_read_body(change->body, &session, err) < 0) {
        return err_context(err, "session %s", change->id);
    }
    int result = query_start(&store->conn, SQL_SESSION_PUT, &query, err);
    if (result < 0) {
        return result;
    }
    int next = bind_id(&query, 1, KIND_SESSION, change->id, &uuid);
    query_text(&query, next, str_of(change->project_id));
    query_i64(&query, next + 1, session.started_us);
    query_i64(&query, next + 2, row->key);
    query_i64(&query, next + 3, row->last_key);
    query_i64(&query, next + 4, (int64_t)row->version);
    return query_run(&query, err);
}

/* effective: the change that row->key names, or any of the thing's when it names none. */
static int put_row(struct store *store, const struct change *effective, const struct thing_row *row,
                   struct err *err)
{
    AUTO(query_end) struct query query = {.conn = NULL};
    struct uuid uuid;

    if (effective->kind == KIND_SESSION) {
        return put_session(store, effective, row, err);
    }
    enum sql sql = effective->kind == KIND_PROJECT ? SQL_PROJECT_PUT : SQL_THING_PUT;
    if (query_start(&store->conn, sql, &query, err) < 0) {
        return -(int)err->code;
    }
    int next = bind_id(&query, 1, effective->kind, effective->id, &uuid);
    query_i64(&query, next, row->key);
    query_i64(&query, next + 1, row->last_key);
    query_i64(&query, next + 2, (int64_t)row->version);
    return query_run(&query, err);
}

static bool wins(const struct change *a, const struct change *b)
{
    int order = change_compare(a, b);

    return order != 0 ? order > 0 : a->seq > b->seq;
}

/* Walk the thing's changes for the winner among those that count, and write its row. */
static int recompute_from(struct store *store, int64_t last_key, struct err *err)
{
    struct change change;
    AUTO(query_end) struct query best_query = {.conn = NULL};
    struct change best;
    struct thing_row row = {.found = true, .last_key = last_key};
    bool any = false;
    int result = 0;

    for (int64_t key = last_key; key != 0 && result == 0;) {
        struct query query;
        int64_t earlier = 0;
        bool held = false;
        bool open;
        result = change_of_key(&store->conn, &store->origins, key, &query, &change, &earlier, err);
        if (result == 0) {
            result = held_is(&store->conn, key, &held, &open, err);
        }
        if (result == 0 && (!any || (!held && (row.key == 0 || wins(&change, &best))))) {
            query_end(&best_query);
            best_query = query;
            best = change;
            any = true;
            row.key = held ? 0 : key;
            row.version = held ? 0 : change.version;
        } else {
            query_end(&query);
        }
        key = earlier;
    }
    return result < 0 || !any ? result : put_row(store, &best, &row, err);
}

int thing_recompute(struct store *store, enum change_kind kind, const char *id, struct err *err)
{
    struct thing_row row;

    blocks_forget(&store->blocks); /* a cached one says that its project and session are there */
    int result = thing_find(store, kind, id, &row, err);
    return result < 0 || !row.found ? result : recompute_from(store, row.last_key, err);
}

int thing_apply(struct store *store, const struct change *change, struct err *err)
{
    struct thing_row row;
    bool held = false;
    int64_t key = key_of(origins_find(&store->origins, &change->origin), change->seq);

    int result = thing_find(store, change->kind, change->id, &row, err);
    if (result == 0) {
        result = journal_append(store, change, row.last_key, err);
    }
    if (result == 0) {
        result = held_on_arrival(store, key, &held, err);
    }
    if (result == 0 && !row.found && !held) {
        struct thing_row first = {true, key, key, change->version};
        result = put_row(store, change, &first, err);
    } else if (result == 0) {
        result = recompute_from(store, key, err);
    }
    CRASH_POINT("ledger.projection.updated");
    return result;
}
