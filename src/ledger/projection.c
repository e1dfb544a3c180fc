/* The projection of memories: which change says what a memory is now, and where its place is. */
#include "base/fault.h"
#include "ledger/store_internal.h"

/* ---- rows ---- */

static void read_row(struct query *query, struct memory_row *ret)
{
    *ret = (struct memory_row){
        .place = query_get_i64(query, 0),
        .key = query_get_i64(query, 1),
        .last_key = query_get_i64(query, 2),
        .version = (uint64_t)query_get_i64(query, 3),
        .times = {.created_us = query_get_i64(query, 4),
                  .updated_us = query_get_i64(query, 5),
                  .deleted_us = query_is_null(query, 6) ? TIME_NONE : query_get_i64(query, 6)},
        .held = (int)query_get_i64(query, 7),
    };
}

int memory_row_find(struct store *store, const struct uuid *id, struct memory_row *ret,
                    struct err *err)
{
    AUTO(query_end) struct query query = {.conn = NULL};
    int64_t place = 0;

    if (store->ids_in_map) {
        place = idmap_get(&store->ids, id);
        if (place == 0) {
            return 0;
        }
    }
    int result =
        query_start(&store->conn, place != 0 ? SQL_MEMORY_BY_PLACE : SQL_MEMORY_BY_ID, &query, err);
    if (result < 0) {
        return result;
    }
    if (place != 0) {
        query_i64(&query, 1, place);
    } else {
        query_uuid(&query, 1, id);
    }
    result = query_step(&query, err);
    if (result > 0) {
        read_row(&query, ret);
    }
    return result;
}

bool memory_row_alive(const struct memory_row *row)
{
    return row->key != 0 && row->times.deleted_us == TIME_NONE;
}

static void bind_times(struct query *query, int index, const struct times *times)
{
    query_i64(query, index, times->created_us);
    query_i64(query, index + 1, times->updated_us);
    if (times->deleted_us == TIME_NONE) {
        query_null(query, index + 2);
    } else {
        query_i64(query, index + 2, times->deleted_us);
    }
}

static int insert_row(struct store *store, const struct uuid *id, const struct memory_row *row,
                      struct err *err)
{
    AUTO(query_end) struct query query = {.conn = NULL};

    if (query_start(&store->conn, SQL_MEMORY_INSERT, &query, err) < 0) {
        return -(int)err->code;
    }
    query_i64(&query, 1, row->place);
    query_uuid(&query, 2, id);
    query_i64(&query, 3, row->key);
    query_i64(&query, 4, row->last_key);
    query_i64(&query, 5, (int64_t)row->version);
    bind_times(&query, 6, &row->times);
    query_i64(&query, 9, row->held);
    int result = query_run(&query, err);
    if (result == 0 && store->ids_in_map) {
        idmap_put(&store->ids, id, row->place);
    }
    return result;
}

static int update_row(struct store *store, const struct memory_row *row, struct err *err)
{
    AUTO(query_end) struct query query = {.conn = NULL};

    if (query_start(&store->conn, SQL_MEMORY_UPDATE, &query, err) < 0) {
        return -(int)err->code;
    }
    query_i64(&query, 1, row->place);
    query_i64(&query, 2, row->key);
    query_i64(&query, 3, row->last_key);
    query_i64(&query, 4, (int64_t)row->version);
    bind_times(&query, 5, &row->times);
    query_i64(&query, 8, row->held);
    return query_run(&query, err);
}

static int move_row(struct store *store, const struct uuid *id, int64_t from, int64_t to,
                    struct err *err)
{
    AUTO(query_end) struct query query = {.conn = NULL};

    if (query_start(&store->conn, SQL_MEMORY_MOVE, &query, err) < 0) {
        return -(int)err->code;
    }
    query_i64(&query, 1, from);
    query_i64(&query, 2, to);
    int result = query_run(&query, err);
    if (result == 0 && store->ids_in_map) {
        idmap_put(&store->ids, id, to);
    }
    return result;
}

/* ---- places and counts ---- */

static int take_place(struct store *store, const struct change *change, int64_t *ret_place,
                      struct project_count **ret_project, struct err *err)
{
    struct block *block = NULL;

    int result = blocks_open(&store->blocks, &store->conn, change->project_id, &change->session_id,
                             &block, err);
    if (result == 0) {
        *ret_place = place_first(block->no) | block->used++;
        *ret_project = block->project;
    }
    return result;
}

static void count_row(struct store *store, struct project_count *project,
                      const struct memory_row *row, int sign)
{
    if (row->key != 0) {
        bool alive = memory_row_alive(row);
        blocks_count(&store->blocks, project, alive ? sign : 0, alive ? 0 : sign);
    }
}

/*
 * Write row in place of before; change is its effective change, which says where it belongs (NULL:
 * where it is). The counts follow.
 */
static int replace_row(struct store *store, const struct uuid *id, const struct memory_row *before,
                       struct memory_row *row, const struct change *change, struct err *err)
{
    struct block *block = NULL;
    struct project_count *from;
    struct project_count *to;

    int result =
        blocks_by_no(&store->blocks, &store->conn, place_block(before->place), &block, err);
    if (result < 0) {
        return result;
    }
    from = to = block->project;
    if (change != NULL && (!uuid_eq(&block->session, &change->session_id) ||
                           strcmp(block->project->id, change->project_id) != 0)) {
        result = take_place(store, change, &row->place, &to, err);
        if (result == 0) {
            result = move_row(store, id, before->place, row->place, err);
        }
    }
    if (result == 0) {
        result = update_row(store, row, err);
    }
    if (result == 0) {
        count_row(store, from, before, -1);
        count_row(store, to, row, 1);
    }
    return result;
}

static int insert_memory(struct store *store, const struct uuid *id, const struct change *change,
                         struct memory_row *row, struct err *err)
{
    struct project_count *project = NULL;

    int result = take_place(store, change, &row->place, &project, err);
    if (result == 0) {
        result = insert_row(store, id, row, err);
    }
    if (result == 0) {
        count_row(store, project, row, 1);
    }
    return result;
}

/* ---- which change is the effective one ---- */

struct rank {
    uint64_t version;
    int64_t updated_us;
    struct uuid origin;
    uint64_t seq;
};

/* Last writer wins: as change_compare, and the later of one origin. */
static int rank_compare(const struct rank *a, const struct rank *b)
{
    if (a->version != b->version) {
        return a->version < b->version ? -1 : 1;
    }
    if (a->updated_us != b->updated_us) {
        return a->updated_us < b->updated_us ? -1 : 1;
    }
    int order = uuid_cmp(&a->origin, &b->origin);
    return order != 0 ? order : (a->seq > b->seq) - (a->seq < b->seq);
}

static struct rank rank_of_change(const struct change *change, const struct times *times)
{
    return (struct rank){change->version, times->updated_us, change->origin, change->seq};
}

static struct rank rank_of_row(const struct store *store, const struct memory_row *row)
{
    const struct head *origin = origins_head(&store->origins, key_origin_no(row->key));

    struct rank rank = {
        .version = row->version, .updated_us = row->times.updated_us, .seq = key_seq(row->key)};
    if (origin != NULL) { /* a damaged row may name one that does not exist; verify tells */
        rank.origin = origin->origin;
    }
    return rank;
}

int memory_apply(struct store *store, const struct change *change, const struct times *times,
                 struct err *err)
{
    struct memory_row before;
    struct uuid id;
    bool held = false;
    int64_t key = key_of(origins_find(&store->origins, &change->origin), change->seq);

    int result = uuid_parse(str_of(change->id), &id, err);
    if (result < 0) {
        return result;
    }
    int found = memory_row_find(store, &id, &before, err);
    if (found < 0) {
        return found;
    }
    result = journal_append(store, change, found > 0 ? before.last_key : 0, err);
    if (result == 0) {
        result = held_on_arrival(store, key, &held, err);
    }
    if (result < 0) {
        return result;
    }
    struct memory_row row = {.place = found > 0 ? before.place : 0,
                             .key = key,
                             .last_key = key,
                             .version = change->version,
                             .times = *times};
    if (found == 0) {
        row.key = held ? 0 : key;
        row.held = held ? HELD_OUT : HELD_NONE;
        result = insert_memory(store, &id, change, &row, err);
    } else {
        struct rank now = rank_of_change(change, times);
        struct rank then = before.key == 0 ? now : rank_of_row(store, &before);
        bool wins = !held && rank_compare(&now, &then) >= 0;
        if (!wins) {
            row = before;
            row.last_key = key;
        }
        row.held = before.held;
        result = replace_row(store, &id, &before, &row, wins ? change : NULL, err);
    }
    CRASH_POINT("ledger.projection.updated");
    return result == 0 && held ? memory_recompute(store, &id, err) : result;
}

/* ---- after what counts has changed ---- */

struct winner {
    struct memory_row row;
    char project_id[PROJECT_ID_MAX_BYTES + 1];
    struct uuid session_id;
    bool found;
};

static int weigh(struct store *store, const struct change *change, int64_t key,
                 struct winner *winner, struct err *err)
{
    struct times times;
    bool held;
    bool open;

    int result = held_is(&store->conn, key, &held, &open, err);
    if (result < 0 || held) {
        if (result == 0) {
            int state = open ? HELD_OPEN : HELD_OUT;
            winner->row.held = winner->row.held > state ? winner->row.held : state;
        }
        return result;
    }
    result = times_of_body(change, &times, err);
    if (result < 0) {
        return result;
    }
    struct rank rank = rank_of_change(change, &times);
    struct rank best = rank;
    if (winner->found) {
        best = rank_of_row(store, &winner->row);
    }
    if (!winner->found || rank_compare(&rank, &best) > 0) {
        winner->found = true;
        winner->row.key = key;
        winner->row.version = change->version;
        winner->row.times = times;
        winner->session_id = change->session_id;
        memcpy(winner->project_id, change->project_id, sizeof(winner->project_id));
    }
    return 0;
}

int memory_recompute(struct store *store, const struct uuid *id, struct err *err)
{
    struct memory_row before;
    struct change change;

    int result = memory_row_find(store, id, &before, err);
    if (result <= 0) {
        return result;
    }
    struct winner winner = {.row = before};
    winner.row.key = 0;
    winner.row.held = HELD_NONE;
    result = 0;
    for (int64_t key = before.last_key; key != 0 && result == 0;) {
        AUTO(query_end) struct query query = {.conn = NULL};
        int64_t earlier = 0;
        result = change_of_key(&store->conn, &store->origins, key, &query, &change, &earlier, err);
        if (result == 0) {
            result = weigh(store, &change, key, &winner, err);
        }
        key = earlier;
    }
    if (result < 0) {
        return result;
    }
    struct change where = {.session_id = winner.session_id};
    memcpy(where.project_id, winner.project_id, sizeof(where.project_id));
    return replace_row(store, id, &before, &winner.row, winner.found ? &where : NULL, err);
}

int highest_version(struct store *store, int64_t last_key, uint64_t *ret, struct err *err)
{
    struct change change;
    uint64_t highest = 0;
    int result = 0;

    for (int64_t key = last_key; key != 0 && result == 0;) {
        AUTO(query_end) struct query query = {.conn = NULL};
        int64_t earlier = 0;
        result = change_of_key(&store->conn, &store->origins, key, &query, &change, &earlier, err);
        if (result == 0 && change.version > highest) {
            highest = change.version;
        }
        key = earlier;
    }
    *ret = highest;
    return result;
}
