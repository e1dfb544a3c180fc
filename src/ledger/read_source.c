/* What the capture of a source asks: where it stands, and what it last said. */
#include "ledger/reader.h"

int read_source_position(struct reader *reader, const char *source, char **ret, struct err *err)
{
    AUTO(query_end) struct query query = {.conn = NULL};

    if (query_start(&reader->conn, SQL_SOURCE_GET, &query, err) < 0) {
        return -(int)err->code;
    }
    query_text(&query, 1, str_of(source));
    int result = query_step(&query, err);
    if (result < 0) {
        return result;
    }
    if (result == 0) {
        return err_set(err, ERR_NOT_FOUND, "source %s was not captured yet", source);
    }
    struct str text = query_get_bytes(&query, 0);
    *ret = xstrndup(text.ptr, text.len);
    return 0;
}

/* The memory of the row that query is at; the caller's. */
static int last_of_row(struct reader *reader, struct query *query, struct memory *ret,
                       struct last_state *ret_state, struct err *err)
{
    struct change change;

    int result = reader_change(reader, query, query_get_i64(query, 1), 3, &change, err);
    if (result == 0) {
        result = memory_of_change(&change, ret, err);
    }
    *ret_state = (struct last_state){.place = query_get_i64(query, 0),
                                     .counts = query_get_i64(query, 2) != 0};
    return result;
}

int read_last(struct reader *reader, const struct uuid *id, struct memory *ret,
              struct last_state *ret_state, struct err *err)
{
    AUTO(query_end) struct query query = {.conn = NULL};
    char text[UUID_TEXT_MAX];

    int result = reader_find(reader, SQL_LAST_BY_ID, id, &query, err);
    if (result < 0) {
        return result;
    }
    if (result == 0) {
        uuid_format(id, text);
        return err_set(err, ERR_NOT_FOUND, "there is no memory %s", text);
    }
    return last_of_row(reader, &query, ret, ret_state, err);
}

static int walk(struct reader *reader, enum sql sql, read_last_fn *each, void *arg, struct err *err)
{
    AUTO(query_end) struct query query = {.conn = NULL};

    int result = query_start(&reader->conn, sql, &query, err);
    if (result < 0) {
        return result;
    }
    while ((result = query_step(&query, err)) > 0) {
        AUTO(memory_done) struct memory memory;
        struct last_state state;
        memory_init(&memory);
        result = last_of_row(reader, &query, &memory, &state, err);
        result = result == 0 ? each(arg, &memory, &state, err) : result;
        if (result != 0) {
            return result;
        }
    }
    return result;
}

int read_last_all(struct reader *reader, read_last_fn *each, void *arg, struct err *err)
{
    return walk(reader, SQL_LAST_ALL, each, arg, err);
}

int read_last_uncounted(struct reader *reader, read_last_fn *each, void *arg, struct err *err)
{
    return walk(reader, SQL_LAST_UNCOUNTED, each, arg, err);
}

int read_effective_all(struct reader *reader, read_last_fn *each, void *arg, struct err *err)
{
    return walk(reader, SQL_EFFECTIVE_ALL, each, arg, err);
}
