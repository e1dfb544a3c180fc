#include "ledger/origins.h"

#include "ledger/key.h"

void origins_done(struct origins *origins)
{
    free(origins->heads);
    *origins = (struct origins){.heads = NULL};
}

static struct head *add(struct origins *origins, const struct uuid *id)
{
    if (origins->count == origins->capacity) {
        origins->capacity = origins->capacity == 0 ? 4 : origins->capacity * 2;
        origins->heads = xrealloc(origins->heads, origins->capacity * sizeof(*origins->heads));
    }
    struct head *head = &origins->heads[origins->count++];
    *head = (struct head){.origin = *id};
    return head;
}

static int load_row(struct origins *origins, struct query *query, struct err *err)
{
    struct uuid id;
    int64_t no = query_get_i64(query, 0);

    if (no != (int64_t)origins->count + 1 || no > ORIGINS_MAX) {
        return err_set(err, ERR_CORRUPT, "%s: origin %lld is out of order", query->conn->path,
                       (long long)no);
    }
    int result = query_get_fixed(query, 1, id.bytes, sizeof(id.bytes), err);
    if (result == 0) {
        (void)add(origins, &id);
        if (query_get_i64(query, 2) != 0) {
            origins->own = no;
        }
    }
    return result;
}

int origins_load(struct origins *origins, struct conn *conn, struct err *err)
{
    AUTO(query_end) struct query query = {.conn = NULL};

    int result = query_start(conn, SQL_ORIGINS, &query, err);
    if (result < 0) {
        return result;
    }
    query_i64(&query, 1, (int64_t)origins->count);
    while ((result = query_step(&query, err)) > 0) {
        result = load_row(origins, &query, err);
        if (result < 0) {
            break;
        }
    }
    return result;
}

static int load_head(struct head *head, int64_t no, struct query *query, struct err *err)
{
    query_again(query);
    query_i64(query, 1, key_of(no, 0));
    query_i64(query, 2, key_of(no, KEY_SEQ_MAX));
    int result = query_step(query, err);
    if (result > 0) {
        head->seq = key_seq(query_get_i64(query, 0));
        result = query_get_fixed(query, 1, head->hash.bytes, sizeof(head->hash.bytes), err);
    }
    return result;
}

int origins_load_heads(struct origins *origins, struct conn *conn, struct err *err)
{
    AUTO(query_end) struct query query = {.conn = NULL};

    int result = query_start(conn, SQL_HEAD, &query, err);
    for (size_t i = 0; result == 0 && i < origins->count; i++) {
        result = load_head(&origins->heads[i], (int64_t)i + 1, &query, err);
    }
    return result;
}

int origins_reload(struct origins *origins, struct conn *conn, struct err *err)
{
    origins->count = 0;
    origins->own = 0;
    origins->hint = 0;
    int result = origins_load(origins, conn, err);
    return result < 0 ? result : origins_load_heads(origins, conn, err);
}

int64_t origins_find(struct origins *origins, const struct uuid *id)
{
    if (origins->hint < origins->count && uuid_eq(&origins->heads[origins->hint].origin, id)) {
        return (int64_t)origins->hint + 1;
    }
    for (size_t i = 0; i < origins->count; i++) {
        if (uuid_eq(&origins->heads[i].origin, id)) {
            origins->hint = i;
            return (int64_t)i + 1;
        }
    }
    return 0;
}

struct head *origins_head(const struct origins *origins, int64_t no)
{
    return no < 1 || (uint64_t)no > origins->count ? NULL : &origins->heads[no - 1];
}

int origins_number(struct origins *origins, struct conn *conn, const struct uuid *id,
                   int64_t *ret_no, struct err *err)
{
    AUTO(query_end) struct query query = {.conn = NULL};

    *ret_no = origins_find(origins, id);
    if (*ret_no != 0) {
        return 0;
    }
    if (origins->count == ORIGINS_MAX) {
        return err_set(err, ERR_LIMIT,
                       "%s: changes of %d installations are here; no more are allowed", conn->path,
                       ORIGINS_MAX);
    }
    int result = query_start(conn, SQL_ORIGIN_INSERT, &query, err);
    if (result < 0) {
        return result;
    }
    query_i64(&query, 1, (int64_t)origins->count + 1);
    query_uuid(&query, 2, id);
    query_i64(&query, 3, 0);
    result = query_run(&query, err);
    if (result == 0) {
        (void)add(origins, id);
        *ret_no = (int64_t)origins->count;
    }
    return result;
}

int origins_set_own(struct origins *origins, struct conn *conn, const struct uuid *id,
                    struct err *err)
{
    AUTO(query_end) struct query query = {.conn = NULL};
    int64_t no;

    int result = origins_number(origins, conn, id, &no, err);
    if (result == 0) {
        result = query_start(conn, SQL_ORIGIN_SET_OWN, &query, err);
    }
    if (result < 0) {
        return result;
    }
    query_i64(&query, 1, no);
    result = query_run(&query, err);
    if (result == 0) {
        origins->own = no;
    }
    return result;
}
