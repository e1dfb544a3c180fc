#include "ledger/read_recover.h"

#include "ledger/reader.h"

/* ---- memories without their content ---- */

/* The columns of SQL_MEMORY_BY_ID, SQL_MEMORY_ROWS. */
enum { COLUMN_PLACE = 0, COLUMN_KEY = 1, COLUMN_DELETED = 6, COLUMN_ID = 8 };

static int fill_brief(struct reader *reader, struct query *query, struct memory_brief *ret,
                      struct err *err)
{
    int64_t key = query_get_i64(query, COLUMN_KEY);
    const struct head *origin = origins_head(&reader->origins, key_origin_no(key));

    if (origin == NULL) {
        return err_set(err, ERR_CORRUPT, "%s: a memory names origin %lld, which does not exist",
                       reader->conn.path, (long long)key_origin_no(key));
    }
    ret->origin = origin->origin;
    ret->seq = key_seq(key);
    ret->deleted = !query_is_null(query, COLUMN_DELETED);
    return 0;
}

int read_brief(struct reader *reader, const struct uuid *id, struct memory_brief *ret,
               struct err *err)
{
    AUTO(query_end) struct query query = {.conn = NULL};
    char text[UUID_TEXT_MAX];

    int result = reader_find(reader, SQL_MEMORY_BY_ID, id, &query, err);
    if (result < 0) {
        return result;
    }
    if (result == 0 || query_get_i64(&query, COLUMN_KEY) == 0) {
        uuid_format(id, text);
        return err_set(err, ERR_NOT_FOUND, "there is no memory %s", text);
    }
    *ret = (struct memory_brief){.id = *id};
    return fill_brief(reader, &query, ret, err);
}

/* The block that the walk is in. */
struct walk {
    int64_t block;
    char *project_id;
    struct uuid session_id;
};

static int enter_block(struct reader *reader, int64_t block, struct walk *walk, struct err *err)
{
    if (walk->project_id != NULL && walk->block == block) {
        return 0;
    }
    free(walk->project_id);
    walk->project_id = NULL;
    walk->block = block;
    return read_block(reader, block, &walk->project_id, &walk->session_id, err);
}

static int walk_rows(struct reader *reader, struct query *query, struct walk *walk,
                     read_brief_fn *each, void *arg, struct err *err)
{
    int result;

    while ((result = query_step(query, err)) > 0) {
        struct memory_brief brief = {.seq = 0};
        if (query_get_i64(query, COLUMN_KEY) == 0) {
            continue; /* all that was said of it is held */
        }
        result = enter_block(reader, place_block(query_get_i64(query, COLUMN_PLACE)), walk, err);
        if (result == 0) {
            result = query_get_fixed(query, COLUMN_ID, brief.id.bytes, sizeof(brief.id.bytes), err);
        }
        if (result == 0) {
            result = fill_brief(reader, query, &brief, err);
        }
        if (result == 0) {
            brief.project_id = walk->project_id;
            brief.session_id = walk->session_id;
            result = each(arg, &brief, err);
        }
        if (result != 0) {
            return result;
        }
    }
    return result;
}

int read_briefs(struct reader *reader, read_brief_fn *each, void *arg, struct err *err)
{
    AUTO(query_end) struct query query = {.conn = NULL};
    struct walk walk = {.project_id = NULL};

    int result = query_start(&reader->conn, SQL_MEMORY_ROWS, &query, err);
    if (result == 0) {
        result = walk_rows(reader, &query, &walk, each, arg, err);
    }
    free(walk.project_id);
    return result;
}

/* ---- recoveries ---- */

static int read_decision(struct reader *reader, int64_t key, struct decision *ret, struct err *err)
{
    AUTO(query_end) struct query query = {.conn = NULL};
    struct change change;
    int64_t earlier;

    int result = reader_get(reader, key, &query, &change, &earlier, err);
    return result < 0 ? result : decision_read_body(change.body, ret, err);
}

/* The decisions of one alert's row, which came in the order of their keys: all are of this
 * installation. */
static int give_decisions(struct reader *reader, const struct uuid *id, read_decision_fn *each,
                          void *arg, struct err *err)
{
    AUTO(query_end) struct query query = {.conn = NULL};
    AUTO(free_ptr) int64_t *keys = NULL;
    size_t count = 0;

    int result = reader_find(reader, SQL_ALERT_LAST_KEY, id, &query, err);
    if (result <= 0) {
        return result;
    }
    result = reader_chain(reader, query_get_i64(&query, 0), &keys, &count, err);
    for (size_t i = count; i-- > 0 && result == 0;) {
        AUTO(decision_done) struct decision decision;
        decision_init(&decision);
        if (key_origin_no(keys[i]) != reader->origins.own) {
            continue;
        }
        result = read_decision(reader, keys[i], &decision, err);
        if (result == 0) {
            result = each(arg, &decision, err);
        }
    }
    return result;
}

static int look_at_row(struct reader *reader, struct query *rows, read_decision_fn *each, void *arg,
                       struct err *err)
{
    AUTO(decision_done) struct decision decision;
    int64_t key = query_get_i64(rows, 2);
    struct uuid id;

    decision_init(&decision);
    if (key_origin_no(key) != reader->origins.own) {
        return 0; /* another installation's recovery means nothing here */
    }
    int result = query_get_fixed(rows, 0, id.bytes, sizeof(id.bytes), err);
    if (result == 0) {
        result = read_decision(reader, key, &decision, err);
    }
    if (result == 0 && rule_is_recovery(decision.rule)) {
        result = give_decisions(reader, &id, each, arg, err);
    }
    return result;
}

int read_recoveries(struct reader *reader, read_decision_fn *each, void *arg, struct err *err)
{
    AUTO(query_end) struct query rows = {.conn = NULL};
    int result = query_start(&reader->conn, SQL_ALERTS, &rows, err);

    if (result < 0) {
        return result;
    }
    while ((result = query_step(&rows, err)) > 0) {
        result = look_at_row(reader, &rows, each, arg, err);
        if (result != 0) {
            break;
        }
    }
    return result;
}
