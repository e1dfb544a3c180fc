/* Values: SQLite keeps of each its class, whatever the column says; so do we. */
#include "source/sqlite_internal.h"

#include "base/base64.h"
#include "base/hash.h"
#include "base/num.h"
#include "base/utf8.h"

/* Digits that come back to the same double: 15 where they do, else 17. */
static void write_real(double real, char *ret, size_t size)
{
    for (int digits = 15; digits <= 17; digits++) {
        (void)snprintf(ret, size, "%.*g", digits, real);
        char *comma = strchr(ret, ','); /* the locale's */
        if (comma != NULL) {
            *comma = '.';
        }
        if (num_strtod(ret, NULL) == real) {
            return;
        }
    }
}

#define NUMBER_ROOM 40 /* of an integer's or a real's digits */

/* What no memory can hold is not copied: its digest is what is known of it (source/row.h). */
#define BYTES_MAX ((size_t)48 * 1024)             /* as base64: more than metadata takes */
#define TEXT_MAX ((size_t)MEMORY_CONTENT_MAX * 4) /* a content's, at most */

static int add_scratch(struct buf *scratch, const char *text, struct row_value *ret,
                       struct err *err)
{
    size_t at = scratch->len;

    if (buf_add_c(scratch, text, err) < 0) {
        return -(int)err->code;
    }
    ret->text = (struct str){scratch->data + at, scratch->len - at};
    return 0;
}

static int add_digest(struct buf *scratch, const void *bytes, size_t len, struct row_value *ret,
                      struct err *err)
{
    struct sha256 digest = sha256_of(bytes, len);
    size_t at = scratch->len;
    char hex[SHA256_HEX_MAX];

    sha256_hex(&digest, hex);
    if (buf_add_c(scratch, hex, err) < 0) {
        return -(int)err->code;
    }
    ret->digest = (struct str){scratch->data + at, scratch->len - at};
    return 0;
}

static int add_base64(struct buf *scratch, const void *bytes, size_t len, struct row_value *ret,
                      struct err *err)
{
    size_t at = scratch->len;

    if (len > BYTES_MAX) {
        return add_digest(scratch, bytes, len, ret, err);
    }
    if (buf_add(scratch, "", 0, err) < 0 || base64_add(scratch, bytes, len, err) < 0) {
        return -(int)err->code;
    }
    ret->text = (struct str){scratch->data + at, scratch->len - at};
    return 0;
}

size_t sqlite_value_room(sqlite3_stmt *statement, int column)
{
    int type = sqlite3_column_type(statement, column);
    size_t len = type == SQLITE_TEXT || type == SQLITE_BLOB
                     ? (size_t)sqlite3_column_bytes(statement, column)
                     : 0;

    return len > BYTES_MAX ? SHA256_HEX_MAX : NUMBER_ROOM + len / 3 * 4 + 4;
}

int sqlite_value_read(sqlite3_stmt *statement, int column, const char *name, struct buf *scratch,
                      struct row_value *ret, struct err *err)
{
    char number[NUMBER_ROOM];
    struct err none = ERR_INIT;
    const char *text;
    size_t points;
    size_t len;

    *ret = (struct row_value){.column = name};
    switch (sqlite3_column_type(statement, column)) {
    case SQLITE_NULL:
        return 0;
    case SQLITE_INTEGER:
        ret->class = ROW_INTEGER;
        (void)snprintf(number, sizeof(number), "%lld",
                       (long long)sqlite3_column_int64(statement, column));
        return add_scratch(scratch, number, ret, err);
    case SQLITE_FLOAT:
        ret->class = ROW_REAL;
        write_real(sqlite3_column_double(statement, column), number, sizeof(number));
        return add_scratch(scratch, number, ret, err);
    case SQLITE_BLOB:
        ret->class = ROW_BLOB;
        text = sqlite3_column_blob(statement, column);
        len = (size_t)sqlite3_column_bytes(statement, column);
        return add_base64(scratch, text == NULL ? "" : text, len, ret, err);
    default:
        text = (const char *)sqlite3_column_text(statement, column);
        len = (size_t)sqlite3_column_bytes(statement, column);
        if (text == NULL) {
            return sqlite_error(sqlite3_db_handle(statement), SQLITE_NOMEM, err);
        }
        if (len > TEXT_MAX) {
            return add_digest(scratch, text, len, ret, err);
        }
        ret->text = (struct str){text, len};
        if (utf8_check(ret->text, &points, &none) == 0) {
            return 0;
        }
        ret->text = (struct str){NULL, 0};
        ret->class = ROW_RAW_TEXT;
        return add_base64(scratch, text, len, ret, err);
    }
}

static int bind_bytes(sqlite3_stmt *statement, int index, const struct row_value *value,
                      struct err *err)
{
    AUTO(buf_done) struct buf bytes = BUF_INIT((size_t)INT32_MAX);

    if (buf_add(&bytes, "", 0, err) < 0 || base64_parse(value->text, &bytes, err) < 0) {
        return -(int)err->code;
    }
    int rc = value->class == ROW_BLOB
                 ? sqlite3_bind_blob64(statement, index, bytes.data, bytes.len, SQLITE_TRANSIENT)
                 : sqlite3_bind_text64(statement, index, bytes.data, bytes.len, SQLITE_TRANSIENT,
                                       SQLITE_UTF8);
    return rc == SQLITE_OK ? 0 : sqlite_error(sqlite3_db_handle(statement), rc, err);
}

int sqlite_value_bind(sqlite3_stmt *statement, int index, const struct row_value *value,
                      struct err *err)
{
    AUTO(free_ptr) char *text = NULL;
    int64_t integer;
    int rc;

    if (value->text.ptr == NULL) {
        rc = sqlite3_bind_null(statement, index);
    } else if (value->class == ROW_INTEGER) {
        if (num_parse_i64(value->text, INT64_MIN, INT64_MAX, value->column, &integer, err) < 0) {
            return -(int)err->code;
        }
        rc = sqlite3_bind_int64(statement, index, integer);
    } else if (value->class == ROW_REAL) {
        text = xstrndup(value->text.ptr, value->text.len);
        rc = sqlite3_bind_double(statement, index, num_strtod(text, NULL));
    } else if (value->class == ROW_TEXT) {
        rc = sqlite3_bind_text64(statement, index, value->text.ptr, value->text.len,
                                 SQLITE_TRANSIENT, SQLITE_UTF8);
    } else {
        return bind_bytes(statement, index, value, err);
    }
    return rc == SQLITE_OK ? 0 : sqlite_error(sqlite3_db_handle(statement), rc, err);
}

#define PRINT_MAX ((size_t)4096) /* longer values are summed by themselves */

int sqlite_value_print(sqlite3_stmt *statement, int column, struct buf *buf, struct err *err)
{
    int type = sqlite3_column_type(statement, column);
    int64_t integer;
    double real;
    const void *bytes = "";
    size_t len = 0;

    if (type == SQLITE_INTEGER) {
        integer = sqlite3_column_int64(statement, column);
        bytes = &integer;
        len = sizeof(integer);
    } else if (type == SQLITE_FLOAT) {
        real = sqlite3_column_double(statement, column);
        bytes = &real;
        len = sizeof(real);
    } else if (type != SQLITE_NULL) {
        const void *there = type == SQLITE_TEXT
                                ? (const void *)sqlite3_column_text(statement, column)
                                : sqlite3_column_blob(statement, column);
        len = (size_t)sqlite3_column_bytes(statement, column);
        bytes = there == NULL ? "" : there;
    }
    struct sha256 sum;
    if (len > PRINT_MAX) {
        sum = sha256_of(bytes, len);
        bytes = &sum;
        len = sizeof(sum);
    }
    char head = (char)type;
    return buf_add(buf, &head, 1, err) < 0 || buf_add(buf, &len, sizeof(len), err) < 0 ||
                   buf_add(buf, bytes, len, err) < 0
               ? -(int)err->code
               : 0;
}
