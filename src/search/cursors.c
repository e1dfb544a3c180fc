#include "search/cursors.h"

#include "search/index_statements.h"

#define KEY_SEQ_MASK (((uint64_t)1 << DOC_KEY_SEQ_BITS) - 1)

void cursors_done(struct cursors *cursors)
{
    if (cursors != NULL) {
        free(cursors->items);
        *cursors = (struct cursors){.items = NULL};
    }
}

static int cursor_read(struct index_file *file, sqlite3_stmt *row, struct cursor *ret,
                       struct err *err)
{
    const void *origin = sqlite3_column_blob(row, 1);
    const void *hash = sqlite3_column_blob(row, 3);

    if (origin == NULL || hash == NULL ||
        sqlite3_column_bytes(row, 1) != (int)sizeof(ret->origin) ||
        sqlite3_column_bytes(row, 3) != (int)sizeof(ret->hash)) {
        return err_set(err, ERR_CORRUPT, "%s: a cursor that is none", file->conn.path);
    }
    ret->no = sqlite3_column_int64(row, 0);
    ret->seq = (uint64_t)sqlite3_column_int64(row, 2);
    memcpy(&ret->origin, origin, sizeof(ret->origin));
    memcpy(&ret->hash, hash, sizeof(ret->hash));
    return 0;
}

static int read_all(struct index_file *file, struct cursor **ret, size_t *ret_count,
                    struct err *err)
{
    sqlite3_stmt *statement = NULL;
    struct cursor *cursors = NULL;
    size_t count = 0;
    int rc;

    int result = index_file_statement(file, INDEX_CURSORS, &statement, err);
    while (result == 0 && (rc = sqlite3_step(statement)) != SQLITE_DONE) {
        if (rc != SQLITE_ROW) {
            result = conn_error(&file->conn, rc, err);
            break;
        }
        cursors = xrealloc(cursors, (count + 1) * sizeof(*cursors));
        result = cursor_read(file, statement, &cursors[count++], err);
    }
    (void)sqlite3_reset(statement); /* repeats the error of the step */
    if (result < 0) {
        free(cursors);
        return result;
    }
    *ret = cursors;
    *ret_count = count;
    return 0;
}

int cursors_load(struct cursors *cursors, struct index_file *file, struct err *err)
{
    struct cursor *items = NULL;
    size_t count = 0;

    int result = read_all(file, &items, &count, err);
    for (size_t i = 0; result == 0 && i < count; i++) {
        if (items[i].no != (int64_t)i + 1) {
            result = err_set(err, ERR_CORRUPT, "index: cursor %zu has number %lld", i + 1,
                             (long long)items[i].no);
        }
    }
    if (result < 0) {
        free(items);
        return result;
    }
    cursors_done(cursors);
    *cursors = (struct cursors){.items = items, .count = count, .capacity = count};
    return 0;
}

void cursors_copy(const struct cursors *from, struct cursors *to)
{
    struct cursors copy = {.count = from->count, .capacity = from->count};

    if (from->count > 0) {
        copy.items = xmalloc(from->count * sizeof(*copy.items));
        memcpy(copy.items, from->items, from->count * sizeof(*copy.items));
    }
    cursors_done(to);
    *to = copy;
}

struct cursor *cursors_find(const struct cursors *cursors, const struct uuid *origin)
{
    for (size_t i = 0; i < cursors->count; i++) {
        if (uuid_eq(&cursors->items[i].origin, origin)) {
            return &cursors->items[i];
        }
    }
    return NULL;
}

struct cursor *cursors_get(struct cursors *cursors, const struct uuid *origin)
{
    struct cursor *cursor = cursors_find(cursors, origin);

    if (cursor != NULL) {
        return cursor;
    }
    if (cursors->count == cursors->capacity) {
        cursors->capacity = cursors->capacity == 0 ? 4 : 2 * cursors->capacity;
        cursors->items = xrealloc(cursors->items, cursors->capacity * sizeof(*cursors->items));
    }
    cursor = &cursors->items[cursors->count++];
    *cursor = (struct cursor){.no = (int64_t)cursors->count, .origin = *origin};
    return cursor;
}

uint64_t cursors_key(const struct cursors *cursors, const struct uuid *origin, uint64_t seq)
{
    const struct cursor *cursor = cursors_find(cursors, origin);

    return cursor == NULL ? 0 : (uint64_t)cursor->no << DOC_KEY_SEQ_BITS | (seq & KEY_SEQ_MASK);
}

uint64_t cursors_seq(uint64_t key)
{
    return key & KEY_SEQ_MASK;
}

const struct uuid *cursors_origin(const struct cursors *cursors, uint64_t key)
{
    uint64_t no = key >> DOC_KEY_SEQ_BITS;

    return no == 0 || no > cursors->count ? NULL : &cursors->items[no - 1].origin;
}

uint64_t cursors_behind(const struct cursors *cursors, const struct head *heads, size_t count)
{
    uint64_t behind = 0;

    for (size_t i = 0; i < count; i++) {
        const struct cursor *cursor = cursors_find(cursors, &heads[i].origin);
        uint64_t seq = cursor == NULL ? 0 : cursor->seq;
        behind += heads[i].seq > seq ? heads[i].seq - seq : 0;
    }
    return behind;
}

static int set_cursor(struct index_file *file, const struct cursor *cursor, struct err *err)
{
    sqlite3_stmt *statement = NULL;

    int result = index_file_statement(file, INDEX_CURSOR_PUT, &statement, err);
    if (result < 0) {
        return result;
    }
    (void)sqlite3_bind_int64(statement, 1, cursor->no);
    (void)sqlite3_bind_blob(statement, 2, &cursor->origin, sizeof(cursor->origin), SQLITE_STATIC);
    (void)sqlite3_bind_int64(statement, 3, (int64_t)cursor->seq);
    (void)sqlite3_bind_blob(statement, 4, &cursor->hash, sizeof(cursor->hash), SQLITE_STATIC);
    return index_file_run(file, statement, err);
}

int cursors_save(const struct cursors *cursors, const struct cursors *before,
                 struct index_file *file, struct err *err)
{
    for (size_t i = 0; i < cursors->count; i++) {
        if (i < before->count && before->items[i].seq == cursors->items[i].seq) {
            continue;
        }
        int result = set_cursor(file, &cursors->items[i], err);
        if (result < 0) {
            return result;
        }
    }
    return 0;
}

static int same_hash(void *arg, const struct change *change, struct err *err)
{
    const struct cursor *cursor = arg;

    return sha256_eq(&cursor->hash, &change->hash)
               ? 0
               : err_set(err, ERR_CORRUPT, "index: it is of another ledger");
}

int cursors_verify(const struct cursors *cursors, struct reader *reader, struct err *err)
{
    for (size_t i = 0; i < cursors->count; i++) {
        struct cursor *cursor = &cursors->items[i];
        if (cursor->seq == 0) {
            continue;
        }
        int result = read_change(reader, &cursor->origin, cursor->seq, same_hash, cursor, err);
        if (result == -ERR_NOT_FOUND) {
            return err_set(err, ERR_CORRUPT,
                           "index: it is of another ledger, or of a later state of this one");
        }
        if (result < 0) {
            return result;
        }
    }
    return 0;
}
