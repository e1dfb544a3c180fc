/* Changes of any installation, as they are or moved to another chain. */
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

/* ---- moved ---- */

struct uuid store_move_target(const struct uuid *from, const struct sha256 *first)
{
    char origin[UUID_TEXT_MAX];
    char hash[SHA256_HEX_MAX];

    uuid_format(from, origin);
    sha256_hex(first, hash);
    return uuid_derive(str_of(origin), str_of(hash));
}

static const struct store_move *move_of(const struct store_move *moves, size_t count,
                                        const struct uuid *origin, uint64_t seq)
{
    for (size_t i = 0; i < count; i++) {
        const struct store_move *move = &moves[i];
        if (seq > move->after && seq <= move->until && uuid_eq(&move->from, origin)) {
            return move;
        }
    }
    return NULL;
}

/* The last seq from `seq` on, up to `until`, that no part has. */
static uint64_t end_unmoved(const struct store_move *moves, size_t count, const struct uuid *origin,
                            uint64_t seq, uint64_t until)
{
    for (size_t i = 0; i < count; i++) {
        const struct store_move *move = &moves[i];
        if (move->after >= seq && move->after < until && uuid_eq(&move->from, origin)) {
            until = move->after;
        }
    }
    return until;
}

static void put_range(struct ranges *ranges, const struct uuid *origin, uint64_t from, uint64_t to)
{
    ranges_add(ranges, origin, from);
    ranges->items[ranges->count - 1].to = to;
}

static void move_range(const struct range *range, const struct store_move *moves, size_t count,
                       struct ranges *ret)
{
    for (uint64_t seq = range->from; seq <= range->to;) {
        const struct store_move *move = move_of(moves, count, &range->origin, seq);
        uint64_t end = range->to;
        if (move != NULL) {
            end = move->until < end ? move->until : end;
            put_range(ret, &move->to, seq - move->after, end - move->after);
        } else {
            end = end_unmoved(moves, count, &range->origin, seq, end);
            put_range(ret, &range->origin, seq, end);
        }
        seq = end + 1;
    }
}

/* The body of a decision with its ranges moved, in buf. */
static int move_decision(struct str body, const struct store_move *moves, size_t count,
                         struct buf *buf, struct err *err)
{
    AUTO(decision_done) struct decision decision;
    struct ranges moved;

    decision_init(&decision);
    ranges_init(&moved);
    int result = decision_read_body(body, &decision, err);
    for (size_t i = 0; i < decision.ranges.count && result == 0; i++) {
        move_range(&decision.ranges.items[i], moves, count, &moved);
    }
    ranges_done(&decision.ranges);
    decision.ranges = moved;
    return result < 0 ? result : decision_write_body(&decision, buf, err);
}

static int import_as(struct store *store, const struct change *change, const struct head *head,
                     bool *ret_new, struct err *err)
{
    AUTO(buf_done) struct buf record = BUF_INIT((size_t)2 * CHANGE_RECORD_MAX);
    struct change moved = *change;

    moved.prev = head->hash;
    int result = change_write_record(&moved, &record, err);
    if (result < 0) {
        return result;
    }
    moved.record = buf_str(&record);
    moved.hash = change_hash(&moved.prev, moved.record);
    return store_import(store, &moved, ret_new, err);
}

int store_import_moved(struct store *store, const struct change *change,
                       const struct store_move *moves, size_t count, bool *ret_new, struct err *err)
{
    const struct store_move *move = move_of(moves, count, &change->origin, change->seq);
    AUTO(buf_done) struct buf body = BUF_INIT((size_t)2 * CHANGE_RECORD_MAX);
    struct change moved = *change;
    int64_t no;

    if (move == NULL) {
        return store_import(store, change, ret_new, err);
    }
    int result = origins_number(&store->origins, &store->conn, &move->to, &no, err);
    if (result < 0) {
        return result;
    }
    struct head head = *origins_head(&store->origins, no);
    moved.origin = move->to;
    moved.seq = change->seq - move->after;
    *ret_new = moved.seq > head.seq;
    if (!*ret_new) {
        return 0;
    }
    if (change->kind == KIND_GUARD) {
        result = move_decision(change->body, moves, count, &body, err);
        moved.body = buf_str(&body);
    }
    return result < 0 ? result : import_as(store, &moved, &head, ret_new, err);
}
