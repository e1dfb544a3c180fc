#include "ledger/blocks.h"

#include "ledger/key.h"

static size_t hash_text(const char *text)
{
    uint64_t hash = 0xcbf29ce484222325U; /* FNV-1a */

    for (; *text != '\0'; text++) {
        hash = (hash ^ (uint8_t)*text) * 0x100000001b3U;
    }
    return (size_t)(hash ^ hash >> 29);
}

static size_t hash_name(const char *project_id, const struct uuid *session)
{
    size_t hash = hash_text(project_id);

    for (size_t i = 0; i < sizeof(session->bytes); i++) {
        hash = (hash ^ session->bytes[i]) * 0x100000001b3U;
    }
    return (hash ^ hash >> 29) % BLOCKS_BUCKETS;
}

static size_t hash_no(int64_t no)
{
    return (size_t)no % BLOCKS_BUCKETS;
}

/* ---- life ---- */

void blocks_forget(struct blocks *blocks)
{
    for (size_t i = 0; blocks->cached > 0 && i < BLOCKS_BUCKETS; i++) {
        struct block *next;
        for (struct block *block = blocks->by_no[i]; block != NULL; block = next) {
            next = block->next_by_no;
            free(block);
        }
        blocks->by_no[i] = NULL;
        blocks->by_name[i] = NULL;
    }
    memset(blocks->by_name, 0, sizeof(blocks->by_name));
    blocks->cached = 0;
}

void blocks_done(struct blocks *blocks)
{
    blocks_forget(blocks);
    for (size_t i = 0; i < PROJECT_BUCKETS; i++) {
        struct project_count *next;
        for (struct project_count *project = blocks->projects[i]; project != NULL; project = next) {
            next = project->next;
            free(project->id);
            free(project);
        }
        blocks->projects[i] = NULL;
    }
    free(blocks->steps);
    blocks->steps = NULL;
}

/* ---- counts ---- */

struct project_count *blocks_project(struct blocks *blocks, const char *project_id)
{
    struct project_count **bucket = &blocks->projects[hash_text(project_id) % PROJECT_BUCKETS];

    for (struct project_count *project = *bucket; project != NULL; project = project->next) {
        if (strcmp(project->id, project_id) == 0) {
            return project;
        }
    }
    struct project_count *project = xmalloc(sizeof(*project));
    *project = (struct project_count){.id = xstrdup(project_id), .next = *bucket};
    *bucket = project;
    return project;
}

static void count(struct blocks *blocks, struct project_count *project, int live, int deleted)
{
    project->live += (uint64_t)live; /* wraps to a subtraction */
    blocks->live += (uint64_t)live;
    blocks->deleted += (uint64_t)deleted;
}

void blocks_count(struct blocks *blocks, struct project_count *project, int live, int deleted)
{
    if (live == 0 && deleted == 0) {
        return;
    }
    count(blocks, project, live, deleted);
    if (blocks->step_count == blocks->step_capacity) {
        blocks->step_capacity = blocks->step_capacity == 0 ? 64 : blocks->step_capacity * 2;
        blocks->steps = xrealloc(blocks->steps, blocks->step_capacity * sizeof(*blocks->steps));
    }
    blocks->steps[blocks->step_count++] = (struct count_step){project, live, deleted};
}

void blocks_keep_counts(struct blocks *blocks)
{
    blocks->step_count = 0;
}

void blocks_undo_counts(struct blocks *blocks, size_t step_count)
{
    while (blocks->step_count > step_count) {
        struct count_step *step = &blocks->steps[--blocks->step_count];
        count(blocks, step->project, -step->live, -step->deleted);
    }
}

int blocks_load_counts(struct blocks *blocks, struct conn *conn, struct err *err)
{
    AUTO(query_end) struct query query = {.conn = NULL};
    struct block *block;
    int result;

    if (query_start(conn, SQL_MEMORY_COUNTS, &query, err) < 0) {
        return -(int)err->code;
    }
    while ((result = query_step(&query, err)) > 0) {
        uint64_t live = (uint64_t)query_get_i64(&query, 1);
        if (blocks_by_no(blocks, conn, query_get_i64(&query, 0), &block, err) < 0) {
            return -(int)err->code;
        }
        block->project->live += live;
        blocks->live += live;
        blocks->deleted += (uint64_t)query_get_i64(&query, 2) - live;
    }
    return result;
}

/* ---- blocks ---- */

static struct block *cache(struct blocks *blocks, int64_t no, const char *project_id,
                           const struct uuid *session, int64_t used)
{
    struct block *block = xmalloc(sizeof(*block));

    if (blocks->cached >= BLOCKS_CACHED_MAX) {
        blocks_forget(blocks);
    }
    *block = (struct block){
        .no = no, .used = used, .project = blocks_project(blocks, project_id), .session = *session};
    block->next_by_no = blocks->by_no[hash_no(no)];
    blocks->by_no[hash_no(no)] = block;
    blocks->cached++;
    return block;
}

static void name(struct blocks *blocks, struct block *block)
{
    struct block **bucket = &blocks->by_name[hash_name(block->project->id, &block->session)];

    block->next_by_name = *bucket;
    *bucket = block;
}

static struct block *find_no(struct blocks *blocks, int64_t no)
{
    struct block *block = blocks->by_no[hash_no(no)];

    while (block != NULL && block->no != no) {
        block = block->next_by_no;
    }
    return block;
}

struct block *blocks_cached(struct blocks *blocks, const char *project_id,
                            const struct uuid *session_id)
{
    struct block *block = blocks->by_name[hash_name(project_id, session_id)];

    while (block != NULL &&
           (!uuid_eq(&block->session, session_id) || strcmp(block->project->id, project_id) != 0)) {
        block = block->next_by_name;
    }
    return block;
}

/* Positions are never given twice while a row is there: the next is behind the last row's. */
static int count_used(struct conn *conn, int64_t no, int64_t *ret, struct err *err)
{
    AUTO(query_end) struct query query = {.conn = NULL};

    if (query_start(conn, SQL_MEMORY_LAST_PLACE, &query, err) < 0) {
        return -(int)err->code;
    }
    query_i64(&query, 1, place_first(no));
    query_i64(&query, 2, place_last(no));
    int result = query_step(&query, err);
    if (result < 0) {
        return result;
    }
    *ret = result == 0 || query_is_null(&query, 0)
               ? 0
               : (query_get_i64(&query, 0) & PLACE_POSITION_MAX) + 1;
    return 0;
}

int blocks_by_no(struct blocks *blocks, struct conn *conn, int64_t no, struct block **ret,
                 struct err *err)
{
    AUTO(query_end) struct query query = {.conn = NULL};
    char project_id[PROJECT_ID_MAX_BYTES + 1] = "";
    struct uuid session;

    *ret = find_no(blocks, no);
    if (*ret != NULL) {
        return 0;
    }
    if (query_start(conn, SQL_BLOCK_BY_NO, &query, err) < 0) {
        return -(int)err->code;
    }
    query_i64(&query, 1, no);
    int result = query_step(&query, err);
    if (result < 0) {
        return result;
    }
    struct str text = query_get_bytes(&query, 0);
    if (result == 0 || text.len > PROJECT_ID_MAX_BYTES) {
        return err_set(err, ERR_CORRUPT, "%s: block %lld is missing or has no project", conn->path,
                       (long long)no);
    }
    memcpy(project_id, text.ptr, text.len);
    result = query_get_fixed(&query, 1, session.bytes, sizeof(session.bytes), err);
    if (result == 0) {
        *ret = cache(blocks, no, project_id, &session, -1);
    }
    return result;
}

/* The last block of a project and session that is on file; 0: none. */
static int find_name(struct conn *conn, const char *project_id, const struct uuid *session_id,
                     int64_t *ret_no, struct err *err)
{
    AUTO(query_end) struct query query = {.conn = NULL};

    if (query_start(conn, SQL_BLOCK_BY_NAME, &query, err) < 0) {
        return -(int)err->code;
    }
    query_text(&query, 1, str_of(project_id));
    query_uuid(&query, 2, session_id);
    int result = query_step(&query, err);
    *ret_no = result > 0 ? query_get_i64(&query, 0) : 0; /* max() of nothing is NULL, read as 0 */
    return result < 0 ? result : 0;
}

static int make(struct blocks *blocks, struct conn *conn, const char *project_id,
                const struct uuid *session_id, struct block **ret, struct err *err)
{
    AUTO(query_end) struct query query = {.conn = NULL};

    if (query_start(conn, SQL_BLOCK_INSERT, &query, err) < 0) {
        return -(int)err->code;
    }
    query_text(&query, 1, str_of(project_id));
    query_uuid(&query, 2, session_id);
    int result = query_step(&query, err);
    if (result < 0) {
        return result;
    }
    int64_t no = query_get_i64(&query, 0);
    result = query_step(&query, err);
    if (result == 0) {
        *ret = cache(blocks, no, project_id, session_id, 0);
        name(blocks, *ret);
    }
    return result;
}

/* Fetch the last block on file into the cache under its name; *ret NULL when there is none. */
static int fetch(struct blocks *blocks, struct conn *conn, const char *project_id,
                 const struct uuid *session_id, struct block **ret, struct err *err)
{
    int64_t no = 0;

    *ret = NULL;
    int result = find_name(conn, project_id, session_id, &no, err);
    if (result == 0 && no != 0) {
        result = blocks_by_no(blocks, conn, no, ret, err);
    }
    if (result < 0 || *ret == NULL) {
        return result;
    }
    name(blocks, *ret);
    return 0;
}

int blocks_open(struct blocks *blocks, struct conn *conn, const char *project_id,
                const struct uuid *session_id, struct block **ret, struct err *err)
{
    struct block *block = blocks_cached(blocks, project_id, session_id);
    int result = 0;

    if (block == NULL) {
        result = fetch(blocks, conn, project_id, session_id, &block, err);
    }
    if (result == 0 && block != NULL && block->used < 0) {
        result = count_used(conn, block->no, &block->used, err);
    }
    if (result == 0 && (block == NULL || block->used > PLACE_POSITION_MAX)) {
        result = make(blocks, conn, project_id, session_id, &block, err);
    }
    if (result == 0) {
        *ret = block;
    }
    return result;
}
