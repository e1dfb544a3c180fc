/* The docs and words of an index_file: what is known of each memory, and where its words are. */
#include "base/num.h"
#include "search/index_statements.h"

/* ---- docs ---- */

static void doc_decode(const unsigned char *p, struct doc *ret)
{
    uint32_t last = be32_get(p + 16);

    *ret = (struct doc){
        .key = be64_get(p),
        .created_us = (int64_t)be64_get(p + 8),
        .words = last >> 8,
        .is_private = (last & 1) != 0,
        .loose = (last & 2) != 0,
    };
}

static void doc_encode(const struct doc *doc, unsigned char *p)
{
    be64_put(p, doc->key);
    be64_put(p + 8, (uint64_t)doc->created_us);
    be32_put(p + 16, doc->words << 8 | (doc->loose ? 2u : 0u) | (doc->is_private ? 1u : 0u));
}

static int chunk_decode(struct index_file *file, sqlite3_stmt *statement, struct doc_chunk *ret,
                        struct err *err)
{
    const unsigned char *bytes = sqlite3_column_blob(statement, 1);
    size_t len = (size_t)sqlite3_column_bytes(statement, 1);

    if (len % DOC_BYTES != 0 || len > (size_t)DOCS_PER_CHUNK * DOC_BYTES) {
        return err_set(err, ERR_CORRUPT, "%s: a row of docs has %zu bytes", file->conn.path, len);
    }
    *ret = (struct doc_chunk){.no = sqlite3_column_int64(statement, 0)};
    for (size_t i = 0; i < len / DOC_BYTES; i++) {
        doc_decode(bytes + i * DOC_BYTES, &ret->docs[i]);
    }
    return 0;
}

int index_file_chunks(struct index_file *file, int64_t first, int64_t last, doc_chunk_fn *each,
                      void *arg, struct err *err)
{
    sqlite3_stmt *statement = NULL;
    struct doc_chunk chunk;
    int rc = SQLITE_ROW;

    int result = index_file_statement(file, INDEX_CHUNK_RANGE, &statement, err);
    if (result < 0) {
        return result;
    }
    (void)sqlite3_bind_int64(statement, 1, first); /* these binds can't fail */
    (void)sqlite3_bind_int64(statement, 2, last);
    while (result == 0 && (rc = sqlite3_step(statement)) == SQLITE_ROW) {
        result = chunk_decode(file, statement, &chunk, err);
        if (result == 0) {
            result = each(arg, &chunk);
        }
    }
    if (rc != SQLITE_ROW && rc != SQLITE_DONE) {
        result = conn_error(&file->conn, rc, err);
    }
    (void)sqlite3_reset(statement); /* repeats the error of the step */
    return result;
}

int index_file_chunk(struct index_file *file, int64_t no, struct doc_chunk *ret, struct err *err)
{
    sqlite3_stmt *statement = NULL;

    int result = index_file_statement(file, INDEX_CHUNK_GET, &statement, err);
    if (result < 0) {
        return result;
    }
    (void)sqlite3_bind_int64(statement, 1, no);
    int rc = sqlite3_step(statement);
    if (rc == SQLITE_ROW) {
        result = chunk_decode(file, statement, ret, err);
    } else if (rc == SQLITE_DONE) {
        *ret = (struct doc_chunk){.no = no};
    } else {
        result = conn_error(&file->conn, rc, err);
    }
    (void)sqlite3_reset(statement); /* repeats the error of the step */
    return result;
}

static int some_chunk(void *arg, const struct doc_chunk *chunk)
{
    (void)arg;
    (void)chunk;
    return 1;
}

/* The chunk in hand is the first of its block, or was the last: count the block. Called while the
 * chunk has no row. */
static int count_block(struct index_file *file, int sign, struct err *err)
{
    int64_t first = file->chunk.no / INDEX_CHUNKS_PER_BLOCK * INDEX_CHUNKS_PER_BLOCK;

    int result =
        index_file_chunks(file, first, first + INDEX_CHUNKS_PER_BLOCK - 1, some_chunk, NULL, err);
    if (result == 0) {
        file->totals.blocks += sign;
        file->totals.sessions += file->chunk_loose ? 0 : sign;
    }
    return result < 0 ? result : 0;
}

static int write_chunk(struct index_file *file, const void *bytes, int len, struct err *err)
{
    sqlite3_stmt *statement = NULL;

    int result =
        index_file_statement(file, len == 0 ? INDEX_CHUNK_DROP : INDEX_CHUNK_PUT, &statement, err);
    if (result < 0) {
        return result;
    }
    (void)sqlite3_bind_int64(statement, 1, file->chunk.no);
    if (len > 0) {
        (void)sqlite3_bind_blob(statement, 2, bytes, len, SQLITE_STATIC);
    }
    return index_file_run(file, statement, err);
}

/* Write the changed chunk; one that has become empty goes away. */
int index_file_flush(struct index_file *file, struct err *err)
{
    unsigned char bytes[DOCS_PER_CHUNK * DOC_BYTES];
    int used = 0;

    if (!file->chunk_changed) {
        return 0;
    }
    for (int i = 0; i < DOCS_PER_CHUNK; i++) {
        doc_encode(&file->chunk.docs[i], bytes + i * DOC_BYTES);
        used = file->chunk.docs[i].key != 0 ? i + 1 : used;
    }
    int result = 0;
    if (file->chunk_was_empty && used > 0) {
        result = count_block(file, 1, err);
    }
    if (result == 0) {
        result = write_chunk(file, bytes, used * DOC_BYTES, err);
    }
    if (result == 0 && !file->chunk_was_empty && used == 0) {
        result = count_block(file, -1, err);
    }
    file->chunk_was_empty = used == 0;
    file->chunk_changed = false;
    return result;
}

static bool chunk_empty(const struct doc_chunk *chunk)
{
    for (int i = 0; i < DOCS_PER_CHUNK; i++) {
        if (chunk->docs[i].key != 0) {
            return false;
        }
    }
    return true;
}

/* The doc of a place within the chunk in hand. */
static int doc_at(struct index_file *file, int64_t place, struct doc **ret, struct err *err)
{
    int64_t no = place / DOCS_PER_CHUNK;

    if (file->chunk.no != no) {
        int result = index_file_flush(file, err);
        if (result < 0) {
            return result;
        }
        file->chunk.no = -1;
        result = index_file_chunk(file, no, &file->chunk, err);
        if (result < 0) {
            return result;
        }
        file->chunk_was_empty = chunk_empty(&file->chunk);
    }
    *ret = &file->chunk.docs[place % DOCS_PER_CHUNK];
    return 0;
}

int index_file_doc(struct index_file *file, int64_t place, struct doc *ret, struct err *err)
{
    struct doc *doc;

    int result = doc_at(file, place, &doc, err);
    if (result == 0) {
        *ret = *doc;
    }
    return result;
}

/* ---- words ---- */

static int run_words(struct index_file *file, int which, int64_t place, struct str content,
                     struct str tags, struct err *err)
{
    sqlite3_stmt *statement = NULL;

    int result = index_file_statement(file, which, &statement, err);
    if (result < 0) {
        return result;
    }
    (void)sqlite3_bind_int64(statement, 1, place);
    (void)sqlite3_bind_text64(statement, 2, content.ptr, content.len, SQLITE_STATIC, SQLITE_UTF8);
    (void)sqlite3_bind_text64(statement, 3, tags.ptr, tags.len, SQLITE_STATIC, SQLITE_UTF8);
    file->tally.count = 0;
    result = index_file_run(file, statement, err);
    (void)sqlite3_clear_bindings(statement);
    return result;
}

static void count_doc(struct index_file *file, const struct doc *doc, int sign)
{
    file->totals.docs += sign;
    file->totals.words += sign * (int64_t)doc->words;
    file->totals.session_words += doc->loose ? 0 : sign * (int64_t)doc->words;
    file->chunk_changed = true;
    file->chunk_loose = doc->loose;
}

int index_file_put(struct index_file *file, int64_t place, const struct doc *doc,
                   struct str content, struct str tags, struct err *err)
{
    struct doc *there;

    int result = doc_at(file, place, &there, err);
    if (result == 0) {
        result = run_words(file, INDEX_PUT, place, content, tags, err);
    }
    if (result == 0) {
        *there = *doc;
        there->words =
            file->tally.count < DOC_WORDS_MAX ? (uint32_t)file->tally.count : DOC_WORDS_MAX;
        count_doc(file, there, 1);
    }
    return result;
}

int index_file_set(struct index_file *file, int64_t place, const struct doc *doc, struct err *err)
{
    struct doc *there;

    int result = doc_at(file, place, &there, err);
    if (result == 0) {
        uint32_t words = there->words;
        count_doc(file, there, -1);
        *there = *doc;
        there->words = words;
        count_doc(file, there, 1);
    }
    return result;
}

int index_file_drop(struct index_file *file, int64_t place, struct str content, struct str tags,
                    struct err *err)
{
    struct doc *there;

    int result = doc_at(file, place, &there, err);
    if (result == 0) {
        result = run_words(file, INDEX_DROP, place, content, tags, err);
    }
    if (result == 0) {
        count_doc(file, there, -1);
        *there = (struct doc){.key = 0};
    }
    return result;
}
