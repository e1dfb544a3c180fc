/* What an index asks. */
#include "ledger/read_index.h"

#include "ledger/reader.h"

static int no_such_memory(const struct uuid *id, struct err *err)
{
    char text[UUID_TEXT_MAX];

    uuid_format(id, text);
    return err_set(err, ERR_NOT_FOUND, "there never was a memory %s", text);
}

int read_place(struct reader *reader, const struct uuid *id, struct memory_place *ret,
               struct err *err)
{
    AUTO(query_end) struct query query = {.conn = NULL};

    int result = reader_find(reader, SQL_MEMORY_BY_ID, id, &query, err);
    if (result <= 0) {
        return result < 0 ? result : no_such_memory(id, err);
    }
    int64_t key = query_get_i64(&query, 1);
    const struct head *origin =
        key == 0 ? NULL : origins_head(&reader->origins, key_origin_no(key));
    *ret = (struct memory_place){.place = query_get_i64(&query, 0)};
    if (origin != NULL) {
        ret->version = (uint64_t)query_get_i64(&query, 3);
        ret->origin = origin->origin;
        ret->seq = key_seq(key);
        ret->alive = query_is_null(&query, 6);
    }
    return 0;
}

static int give_row(struct reader *reader, struct query *query, read_memory_fn *each, void *arg,
                    struct err *err)
{
    AUTO(memory_done) struct memory memory;
    struct change change;

    memory_init(&memory);
    int result = reader_change(reader, query, query_get_i64(query, 1), 3, &change, err);
    if (result == 0) {
        result = memory_of_change(&change, &memory, err);
    }
    if (result < 0) {
        return result;
    }
    struct memory_state state = {.place = query_get_i64(query, 0),
                                 .origin = change.origin,
                                 .seq = change.seq,
                                 .held = query_get_i64(query, 2) == 2};
    return each(arg, &memory, &state, err);
}

int read_places(struct reader *reader, int64_t from, read_memory_fn *each, void *arg,
                struct err *err)
{
    AUTO(query_end) struct query query = {.conn = NULL};
    int result;

    if (query_start(&reader->conn, SQL_MEMORY_PLACES, &query, err) < 0) {
        return -(int)err->code;
    }
    query_i64(&query, 1, from);
    while ((result = query_step(&query, err)) > 0) {
        result = give_row(reader, &query, each, arg, err);
        if (result != 0) {
            break;
        }
    }
    return result;
}
