/* Questions to the journal: heads, changes by number, the newest. */
#include "ledger/reader.h"

static int compare_heads(const void *a, const void *b)
{
    const struct head *x = a;
    const struct head *y = b;

    return uuid_cmp(&x->origin, &y->origin);
}

int read_heads(struct reader *reader, struct head **ret_heads, size_t *ret_count, struct err *err)
{
    size_t count = 0;

    int result = origins_load_heads(&reader->origins, &reader->conn, err);
    if (result < 0) {
        return result;
    }
    struct head *heads = xcalloc(reader->origins.count + 1, sizeof(*heads));
    for (size_t i = 0; i < reader->origins.count; i++) {
        if (reader->origins.heads[i].seq > 0) {
            heads[count++] = reader->origins.heads[i];
        }
    }
    qsort(heads, count, sizeof(*heads), compare_heads);
    *ret_heads = heads;
    *ret_count = count;
    return 0;
}

/* The hash of a change of origin no; zero bytes for seq 0. */
static int hash_of(struct reader *reader, int64_t no, uint64_t seq, struct sha256 *ret,
                   struct err *err)
{
    AUTO(query_end) struct query query = {.conn = NULL};

    *ret = (struct sha256){{0}};
    if (seq == 0) {
        return 0;
    }
    int result = query_start(&reader->conn, SQL_JOURNAL_HASH, &query, err);
    if (result == 0) {
        query_i64(&query, 1, key_of(no, seq));
        result = query_step(&query, err);
    }
    if (result > 0) {
        result = query_get_fixed(&query, 0, ret->bytes, sizeof(ret->bytes), err);
    }
    return result < 0 ? result : 0;
}

int read_changes(struct reader *reader, const struct uuid *origin, uint64_t after, size_t limit,
                 read_change_fn *each, void *arg, struct err *err)
{
    AUTO(query_end) struct query query = {.conn = NULL};
    int64_t no = origins_find(&reader->origins, origin);
    struct sha256 prev;

    if (no == 0 || after >= KEY_SEQ_MAX || limit == 0) {
        return 0;
    }
    int result = hash_of(reader, no, after, &prev, err);
    if (result == 0) {
        result = query_start(&reader->conn, SQL_JOURNAL_RANGE, &query, err);
    }
    if (result < 0) {
        return result;
    }
    query_i64(&query, 1, key_of(no, after + 1));
    query_i64(&query, 2, key_of(no, KEY_SEQ_MAX));
    query_i64(&query, 3, limit > INT64_MAX ? INT64_MAX : (int64_t)limit);
    while ((result = query_step(&query, err)) > 0) {
        struct change change;
        result = reader_change(reader, &query, query_get_i64(&query, 0), 1, &change, err);
        if (result == 0) {
            change.prev = prev;
            prev = change.hash;
            result = each(arg, &change, err);
        }
        if (result != 0) {
            break;
        }
    }
    return result;
}

/* Wraps each to see whether it was called. */
struct one {
    read_change_fn *each;
    void *arg;
    uint64_t seq;
    bool found;
};

static int give_one(void *arg, const struct change *change, struct err *err)
{
    struct one *one = arg;

    if (change->seq != one->seq) {
        return 0;
    }
    one->found = true;
    return one->each(one->arg, change, err);
}

int read_change(struct reader *reader, const struct uuid *origin, uint64_t seq,
                read_change_fn *each, void *arg, struct err *err)
{
    struct one one = {.each = each, .arg = arg, .seq = seq};

    int result = seq == 0 ? 0 : read_changes(reader, origin, seq - 1, 1, give_one, &one, err);
    if (result == 0 && !one.found) {
        char text[UUID_TEXT_MAX];
        uuid_format(origin, text);
        return err_set(err, ERR_NOT_FOUND, "there is no change %llu of origin %s",
                       (unsigned long long)seq, text);
    }
    return result;
}

/* ---- the newest of all origins ---- */

/* The newest change of an origin that was not given yet. */
struct newest {
    int64_t no;
    int64_t key; /* 0: none is left */
    int64_t at_us;
};

static int step_back(struct reader *reader, struct newest *newest, int64_t before, struct err *err)
{
    AUTO(query_end) struct query query = {.conn = NULL};

    newest->key = 0;
    if (query_start(&reader->conn, SQL_JOURNAL_BEFORE, &query, err) < 0) {
        return -(int)err->code;
    }
    query_i64(&query, 1, key_of(newest->no, 0));
    query_i64(&query, 2, before - 1);
    int result = query_step(&query, err);
    if (result > 0) {
        newest->key = query_get_i64(&query, 0);
        newest->at_us = query_get_i64(&query, 1);
    }
    return result < 0 ? result : 0;
}

static struct newest *latest(struct newest *newest, size_t count)
{
    struct newest *found = NULL;

    for (size_t i = 0; i < count; i++) {
        if (newest[i].key != 0 && (found == NULL || newest[i].at_us > found->at_us)) {
            found = &newest[i];
        }
    }
    return found;
}

/* Give it if it is of the project. */
static int give_newest(struct reader *reader, const struct newest *newest, const char *project_id,
                       read_change_fn *each, void *arg, size_t *given, struct err *err)
{
    AUTO(query_end) struct query query = {.conn = NULL};
    struct change change;
    int64_t earlier;

    int result = reader_get(reader, newest->key, &query, &change, &earlier, err);
    if (result < 0 || (project_id != NULL && strcmp(change.project_id, project_id) != 0)) {
        return result;
    }
    result = hash_of(reader, newest->no, change.seq - 1, &change.prev, err);
    if (result < 0) {
        return result;
    }
    ++*given;
    return each(arg, &change, err);
}

int read_recent_changes(struct reader *reader, const char *project_id, size_t limit,
                        read_change_fn *each, void *arg, struct err *err)
{
    size_t count = reader->origins.count;
    AUTO(free_ptr) struct newest *newest = xcalloc(count + 1, sizeof(*newest));
    struct newest *next;
    size_t given = 0;
    int result = 0;

    for (size_t i = 0; i < count && result == 0; i++) {
        newest[i].no = (int64_t)i + 1;
        result = step_back(reader, &newest[i], key_of(newest[i].no, KEY_SEQ_MAX) + 1, err);
    }
    while (result == 0 && given < limit && (next = latest(newest, count)) != NULL) {
        result = give_newest(reader, next, project_id, each, arg, &given, err);
        if (result == 0) {
            result = step_back(reader, next, next->key, err);
        }
    }
    return result;
}
