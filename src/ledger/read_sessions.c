/* Questions about sessions, projects, blocks, and how much there is of everything. */
#include "ledger/ledger_internal.h"
#include "ledger/reader.h"

/* ---- blocks ---- */

int read_block(struct reader *reader, int64_t block, char **ret_project_id,
               struct uuid *ret_session_id, struct err *err)
{
    AUTO(query_end) struct query query = {.conn = NULL};

    if (query_start(&reader->conn, SQL_BLOCK_BY_NO, &query, err) < 0) {
        return -(int)err->code;
    }
    query_i64(&query, 1, block);
    int result = query_step(&query, err);
    if (result <= 0) {
        return result < 0 ? result
                          : err_set(err, ERR_NOT_FOUND, "there is no block %lld", (long long)block);
    }
    result = query_get_fixed(&query, 1, ret_session_id->bytes, sizeof(ret_session_id->bytes), err);
    if (result == 0) {
        struct str text = query_get_bytes(&query, 0);
        *ret_project_id = xstrndup(text.ptr, text.len);
    }
    return result;
}

static int start_blocks(struct reader *reader, const char *project_id,
                        const struct uuid *session_id, struct query *ret, struct err *err)
{
    enum sql sql = project_id != NULL
                       ? (session_id != NULL ? SQL_BLOCKS_OF_BOTH : SQL_BLOCKS_OF_PROJECT)
                       : (session_id != NULL ? SQL_BLOCKS_OF_SESSION : SQL_BLOCKS);
    int index = 1;

    if (query_start(&reader->conn, sql, ret, err) < 0) {
        return -(int)err->code;
    }
    if (project_id != NULL) {
        query_text(ret, index++, str_of(project_id));
    }
    if (session_id != NULL) {
        query_uuid(ret, index, session_id);
    }
    return 0;
}

int read_blocks(struct reader *reader, const char *project_id, const struct uuid *session_id,
                int64_t **ret_blocks, size_t *ret_count, struct err *err)
{
    AUTO(query_end) struct query query = {.conn = NULL};
    AUTO(free_ptr) int64_t *blocks = NULL;
    size_t count = 0;
    size_t capacity = 0;

    int result = start_blocks(reader, project_id, session_id, &query, err);
    if (result < 0) {
        return result;
    }
    while ((result = query_step(&query, err)) > 0) {
        if (count == capacity) {
            capacity = capacity == 0 ? 16 : capacity * 2;
            blocks = xrealloc(blocks, capacity * sizeof(*blocks));
        }
        blocks[count++] = query_get_i64(&query, 0);
    }
    if (result == 0) {
        *ret_blocks = blocks;
        *ret_count = count;
        blocks = NULL;
    }
    return result;
}

/* How many memories of these blocks are alive, and when the last of them was written (at least
 * *active_us). */
static int count_blocks(struct reader *reader, const char *project_id,
                        const struct uuid *session_id, uint64_t *ret_alive, int64_t *active_us,
                        struct err *err)
{
    AUTO(query_end) struct query query = {.conn = NULL};
    AUTO(free_ptr) int64_t *blocks = NULL;
    size_t count = 0;

    *ret_alive = 0;
    int result = read_blocks(reader, project_id, session_id, &blocks, &count, err);
    if (result == 0) {
        result = query_start(&reader->conn, SQL_MEMORY_RANGE_COUNT, &query, err);
    }
    for (size_t i = 0; result == 0 && i < count; i++) {
        query_again(&query);
        query_i64(&query, 1, place_first(blocks[i]));
        query_i64(&query, 2, place_last(blocks[i]));
        result = query_step(&query, err);
        if (result > 0) {
            *ret_alive += (uint64_t)query_get_i64(&query, 0);
            if (!query_is_null(&query, 1) && query_get_i64(&query, 1) > *active_us) {
                *active_us = query_get_i64(&query, 1);
            }
            result = 0;
        }
    }
    return result;
}

/* ---- sessions ---- */

static int session_of_record(struct reader *reader, struct str record, struct session *ret,
                             struct err *err)
{
    struct change change;
    struct uuid id;

    int result = change_read_record(record, &change, err);
    if (result == 0) {
        result = uuid_parse(str_of(change.id), &id, err);
    }
    if (result == 0) {
        result = session_read_body(change.body, ret, err);
    }
    if (result < 0) {
        return err_context(err, "%s: a session's change", reader->conn.path);
    }
    ret->id = id;
    ret->version = change.version;
    free(ret->project_id);
    ret->project_id = xstrdup(change.project_id);
    ret->active_us = ret->started_us;
    return count_blocks(reader, NULL, &ret->id, &ret->memory_count, &ret->active_us, err);
}

int read_session(struct reader *reader, const struct uuid *id, struct session *ret, struct err *err)
{
    AUTO(query_end) struct query query = {.conn = NULL};
    AUTO(session_done) struct session session;

    session_init(&session);
    int result = reader_find(reader, SQL_SESSION_READ, id, &query, err);
    if (result == 0) {
        char text[UUID_TEXT_MAX];
        uuid_format(id, text);
        return err_set(err, ERR_NOT_FOUND, "there is no session %s", text);
    }
    if (result > 0) {
        result = session_of_record(reader, query_get_bytes(&query, 0), &session, err);
    }
    if (result == 0) {
        *ret = session;
        session_init(&session);
    }
    return result;
}

static int give_session(struct reader *reader, struct str record, read_session_fn *each, void *arg,
                        struct err *err)
{
    AUTO(session_done) struct session session;

    session_init(&session);
    int result = session_of_record(reader, record, &session, err);
    return result < 0 ? result : each(arg, &session, err);
}

int read_sessions(struct reader *reader, const char *project_id, size_t limit,
                  read_session_fn *each, void *arg, struct err *err)
{
    AUTO(query_end) struct query query = {.conn = NULL};
    int index = 1;
    int result;

    if (query_start(&reader->conn, project_id == NULL ? SQL_SESSIONS : SQL_SESSIONS_OF_PROJECT,
                    &query, err) < 0) {
        return -(int)err->code;
    }
    if (project_id != NULL) {
        query_text(&query, index++, str_of(project_id));
    }
    query_i64(&query, index, limit > INT64_MAX ? INT64_MAX : (int64_t)limit);
    while ((result = query_step(&query, err)) > 0) {
        result = give_session(reader, query_get_bytes(&query, 0), each, arg, err);
        if (result != 0) {
            break;
        }
    }
    return result;
}

/* ---- projects ---- */

static int give_project(struct reader *reader, struct str record, read_project_fn *each, void *arg,
                        struct err *err)
{
    AUTO(project_done) struct project project;
    struct change change;
    int64_t active_us = 0;

    project_init(&project);
    int result = change_read_record(record, &change, err);
    if (result == 0) {
        result = project_read_body(change.body, &project, err);
    }
    if (result < 0) {
        return err_context(err, "%s: a project's change", reader->conn.path);
    }
    free(project.id);
    project.id = xstrdup(change.id);
    project.version = change.version;
    if (project.name == NULL) {
        project.name = xstrdup(change.id);
    }
    result = count_blocks(reader, project.id, NULL, &project.memory_count, &active_us, err);
    return result < 0 ? result : each(arg, &project, err);
}

int read_projects(struct reader *reader, read_project_fn *each, void *arg, struct err *err)
{
    AUTO(query_end) struct query query = {.conn = NULL};
    int result;

    if (query_start(&reader->conn, SQL_PROJECTS, &query, err) < 0) {
        return -(int)err->code;
    }
    while ((result = query_step(&query, err)) > 0) {
        result = give_project(reader, query_get_bytes(&query, 0), each, arg, err);
        if (result != 0) {
            break;
        }
    }
    return result;
}

/* ---- counts ---- */

static int count_memories(struct reader *reader, struct ledger_counts *ret, struct err *err)
{
    AUTO(query_end) struct query query = {.conn = NULL};
    int result;

    if (query_start(&reader->conn, SQL_MEMORY_COUNTS, &query, err) < 0) {
        return -(int)err->code;
    }
    while ((result = query_step(&query, err)) > 0) {
        uint64_t alive = (uint64_t)query_get_i64(&query, 1);
        ret->memories += alive;
        ret->deleted += (uint64_t)query_get_i64(&query, 2) - alive;
    }
    return result;
}

/* The writer keeps these two counts; a walk over a million rows is too long for a status page. */
static int take_memories(struct reader *reader, struct ledger_counts *ret, struct err *err)
{
    struct ledger *ledger = reader->ledger;

    if (ledger == NULL) {
        return count_memories(reader, ret, err);
    }
    (void)pthread_mutex_lock(&ledger->mutex);
    ret->memories = ledger->live_count;
    ret->deleted = ledger->deleted_count;
    (void)pthread_mutex_unlock(&ledger->mutex);
    return 0;
}

static int count_changes(struct reader *reader, uint64_t *ret, struct err *err)
{
    AUTO(free_ptr) struct head *heads = NULL;
    size_t count = 0;

    int result = read_heads(reader, &heads, &count, err);
    *ret = 0;
    for (size_t i = 0; result == 0 && i < count; i++) {
        *ret += heads[i].seq; /* numbers have no gaps */
    }
    return result;
}

int read_counts(struct reader *reader, struct ledger_counts *ret, struct err *err)
{
    struct ledger_counts counts = {.memories = 0};

    int result = take_memories(reader, &counts, err);
    if (result == 0) {
        result = count_changes(reader, &counts.changes, err);
    }
    if (result == 0) {
        result = reader_count(reader, SQL_SESSION_COUNT, &counts.sessions, err);
    }
    if (result == 0) {
        result = reader_count(reader, SQL_PROJECT_COUNT, &counts.projects, err);
    }
    if (result == 0) {
        result = reader_count(reader, SQL_ALERTS_OPEN_COUNT, &counts.alerts_open, err);
    }
    if (result == 0) {
        *ret = counts;
    }
    return result;
}
