/* Changes as they are, of any installation. */
#include "ledger/store_internal.h"

static int apply_change(struct store *store, const struct change *change, const struct times *times,
                        struct err *err)
{
    switch (change->kind) {
    case KIND_MEMORY:
        return memory_apply(store, change, times, err);
    case KIND_GUARD:
        return guard_apply(store, change, err);
    case KIND_SESSION:
    case KIND_PROJECT:
    case KIND_TASK:
    case KIND_EMBEDDING:
    case CHANGE_KINDS:
        break;
    }
    return thing_apply(store, change, err);
}

static int import_known(struct store *store, int64_t key, const struct change *change,
                        struct err *err)
{
    AUTO(query_end) struct query query = {.conn = NULL};
    struct sha256 hash;

    if (query_start(&store->conn, SQL_JOURNAL_HASH, &query, err) < 0) {
        return -(int)err->code;
    }
    query_i64(&query, 1, key);
    int result = query_step(&query, err);
    if (result > 0) {
        result = query_get_fixed(&query, 0, hash.bytes, sizeof(hash.bytes), err);
    }
    if (result < 0) {
        return result;
    }
    if (sha256_eq(&hash, &change->hash)) {
        return 0;
    }
    return err_set(err, ERR_CORRUPT, "a fork: two changes have this number, and different hashes");
}

static int import_new(struct store *store, const struct change *change, struct head *head,
                      struct err *err)
{
    struct times times = {0, 0, TIME_NONE};

    if (change->seq != head->seq + 1 || change->seq > KEY_SEQ_MAX) {
        return err_set(err, ERR_CORRUPT, "a gap: the last one here is %llu",
                       (unsigned long long)head->seq);
    }
    if (!sha256_eq(&change->prev, &head->hash)) {
        return err_set(err, ERR_CORRUPT, "its prev is not the hash of the change before it");
    }
    int result = change->kind == KIND_MEMORY ? times_of_body(change, &times, err) : 0;
    if (result == 0) {
        result = apply_change(store, change, &times, err);
    }
    if (result == 0 && store->ids_in_map && store->ids.count >= IDMAP_MAX) {
        result = store_make_index(store, err);
    }
    return result;
}

int store_import(struct store *store, const struct change *change, bool *ret_new, struct err *err)
{
    int64_t no;

    int result = origins_number(&store->origins, &store->conn, &change->origin, &no, err);
    if (result == 0) {
        struct head *head = origins_head(&store->origins, no);
        *ret_new = change->seq > head->seq;
        result = *ret_new ? import_new(store, change, head, err)
                          : import_known(store, key_of(no, change->seq), change, err);
    }
    if (result < 0) {
        char text[UUID_TEXT_MAX];
        uuid_format(&change->origin, text);
        return err_context(err, "change %llu of origin %s", (unsigned long long)change->seq, text);
    }
    return 0;
}
