/* Rows of the journal: appending them, and reading one back as a change. */
#include "base/fault.h"
#include "ledger/store_internal.h"

/* What the id column holds: a UUID's 16 bytes, or the text of an id that is none. */
static struct str id_bytes(const struct change *change, struct uuid *uuid)
{
    struct err ignored;

    if ((change->kind == KIND_MEMORY || change->kind == KIND_SESSION ||
         change->kind == KIND_GUARD || change->kind == KIND_EMBEDDING) &&
        uuid_parse(str_of(change->id), uuid, &ignored) == 0) {
        return (struct str){(const char *)uuid->bytes, sizeof(uuid->bytes)};
    }
    return str_of(change->id);
}

int journal_append(struct store *store, const struct change *change, int64_t earlier_key,
                   struct err *err)
{
    AUTO(query_end) struct query query = {.conn = NULL};
    int64_t no = origins_find(&store->origins, &change->origin);
    struct uuid uuid;

    if (query_start(&store->conn, SQL_JOURNAL_INSERT, &query, err) < 0) {
        return -(int)err->code;
    }
    struct str id = id_bytes(change, &uuid);
    query_i64(&query, 1, key_of(no, change->seq));
    query_i64(&query, 2, earlier_key);
    query_i64(&query, 3, change->kind);
    query_blob(&query, 4, id.ptr, id.len);
    query_i64(&query, 5, (int64_t)change->version);
    query_i64(&query, 6, change->at_us);
    query_blob(&query, 7, change->hash.bytes, sizeof(change->hash.bytes));
    query_text(&query, 8, change->record);
    int result = query_run(&query, err);
    CRASH_POINT("ledger.journal.inserted");
    if (result == 0) {
        struct head *head = origins_head(&store->origins, no);
        head->seq = change->seq;
        head->hash = change->hash;
    }
    return result;
}

int change_of_key(struct conn *conn, const struct origins *origins, int64_t key,
                  struct query *query, struct change *ret, int64_t *ret_earlier_key,
                  struct err *err)
{
    const struct head *origin = origins_head(origins, key_origin_no(key));

    if (query_start(conn, SQL_JOURNAL_GET, query, err) < 0) {
        return -(int)err->code;
    }
    query_i64(query, 1, key);
    int result = query_step(query, err);
    if (result < 0) {
        return result;
    }
    if (result == 0 || origin == NULL) {
        return err_set(
            err, ERR_CORRUPT,
            "%s: the projection names change %lld of origin %lld, which is not in the journal",
            conn->path, (long long)key_seq(key), (long long)key_origin_no(key));
    }
    if (change_read_record(query_get_bytes(query, 2), ret, err) < 0 ||
        query_get_fixed(query, 1, ret->hash.bytes, sizeof(ret->hash.bytes), err) < 0) {
        char text[UUID_TEXT_MAX];
        uuid_format(&origin->origin, text);
        return err_context(err, "change %llu of origin %s", (unsigned long long)key_seq(key), text);
    }
    *ret_earlier_key = query_get_i64(query, 0);
    return 0;
}

int own_change_finish(struct store *store, struct change *change, struct err *err)
{
    const struct head *head = origins_head(&store->origins, store->origins.own);

    if (head == NULL) {
        return err_set(err, ERR_INTERNAL, "%s: this copy has no installation of its own yet",
                       store->folder);
    }
    if (head->seq == KEY_SEQ_MAX) {
        return err_set(err, ERR_LIMIT, "%s: the journal's numbers are used up", store->folder);
    }
    change->origin = head->origin;
    change->seq = head->seq + 1;
    change->prev = head->hash;
    buf_reset(&store->record);
    int result = change_write_record(change, &store->record, err);
    if (result == 0) {
        change->record = buf_str(&store->record);
        change->hash = change_hash(&change->prev, change->record);
    }
    return result;
}
