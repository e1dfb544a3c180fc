/* Somebody's SQLite file, read: values with their class, tables with their key, errors as ours. */
#include "support/unit.h"

#include <math.h>
#include <unistd.h>

#include "source/sqlite_internal.h"

static sqlite3 *open_memory(void)
{
    struct err err = ERR_INIT;
    sqlite3 *db = NULL;

    assert_ok(
        sqlite_connect(":memory:", SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, 0, NULL, &db, &err),
        &err);
    return db;
}

static void run(sqlite3 *db, const char *sql)
{
    struct err err = ERR_INIT;

    assert_ok(sqlite_run(db, sql, &err), &err);
}

/* ---- values ---- */

/* Read it, bind what was read, and ask SQLite whether that is the same. */
static enum row_class comes_back(sqlite3 *db, const char *literal)
{
    AUTO(free_ptr) char *sql = xprintf("SELECT %s", literal);
    AUTO(free_ptr)
    char *check = xprintf("SELECT typeof(?1) = typeof(v) AND ?1 IS v AND hex(?1) = hex(v) FROM "
                          "(SELECT %s AS v)",
                          literal);
    AUTO(sqlite_stmt_done) sqlite3_stmt *asked = NULL;
    AUTO(sqlite_stmt_done) sqlite3_stmt *checked = NULL;
    AUTO(buf_done) struct buf scratch = BUF_INIT((size_t)1024 * 1024);
    struct row_value value;
    struct err err = ERR_INIT;

    assert_ok(sqlite_prepare(db, sql, &asked, &err), &err);
    assert_int_equal(sqlite_step(db, asked, &err), 1);
    assert_ok(buf_reserve(&scratch, sqlite_value_room(asked, 0), &err), &err);
    assert_ok(sqlite_value_read(asked, 0, "c", &scratch, &value, &err), &err);
    assert_true(scratch.len <= sqlite_value_room(asked, 0));
    assert_ok(sqlite_prepare(db, check, &checked, &err), &err);
    assert_ok(sqlite_value_bind(checked, 1, &value, &err), &err);
    assert_int_equal(sqlite_step(db, checked, &err), 1);
    if (sqlite3_column_int(checked, 0) != 1) {
        fail_msg("%s came back as another value", literal);
    }
    return value.class;
}

static void every_value_comes_back_with_its_class(void **state)
{
    static const struct {
        const char *literal;
        enum row_class class;
    } cases[] = {
        {"NULL", ROW_TEXT},
        {"''", ROW_TEXT},
        {"'5'", ROW_TEXT},
        {"'\xc3\xa9\xf0\x9f\x98\x80'", ROW_TEXT},
        {"CAST(x'ff00' AS TEXT)", ROW_RAW_TEXT},
        {"CAST(x'6100' AS TEXT)", ROW_RAW_TEXT},
        {"CAST(x'eda080' AS TEXT)", ROW_RAW_TEXT}, /* a lone surrogate */
        {"0", ROW_INTEGER},
        {"9223372036854775807", ROW_INTEGER},
        {"-9223372036854775808", ROW_INTEGER},
        {"5.0", ROW_REAL},
        {"0.1", ROW_REAL},
        {"1.0 / 3", ROW_REAL},
        {"1e300 * 1e10", ROW_REAL},
        {"9e999", ROW_REAL},
        {"-9e999", ROW_REAL},
        {"5e-324", ROW_REAL},
        {"2.2250738585072014e-308", ROW_REAL},
        {"x''", ROW_BLOB},
        {"x'00ff'", ROW_BLOB},
        {"zeroblob(49152)", ROW_BLOB}, /* the largest that is read */
    };
    sqlite3 *db = open_memory();

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(comes_back(db, cases[i].literal), cases[i].class);
    }
    sqlite_disconnect(&db);
}

/* What it is shows by the digest alone, the same that a smaller one gets beside too much else. */
static void what_is_too_large_is_not_copied(void **state)
{
    AUTO(sqlite_stmt_done) sqlite3_stmt *asked = NULL;
    AUTO(buf_done) struct buf scratch = BUF_INIT(SHA256_HEX_MAX);
    AUTO(free_ptr) char *bytes = xmalloc(200001);
    char hex[SHA256_HEX_MAX];
    sqlite3 *db = open_memory();
    struct row_value value;
    struct err err = ERR_INIT;

    (void)state;
    memset(bytes, 'x', 200001);
    assert_ok(sqlite_prepare(db,
                             "SELECT printf('%.*c', 200001, 'x'), CAST(printf('%.*c', 49153, 'x') "
                             "AS BLOB), printf('%.*c', 200000, 'x')",
                             &asked, &err),
              &err);
    assert_int_equal(sqlite_step(db, asked, &err), 1);
    for (int i = 0; i < 2; i++) {
        struct sha256 digest = sha256_of(bytes, i == 0 ? 200001 : 49153);
        sha256_hex(&digest, hex);
        buf_reset(&scratch);
        assert_ok(sqlite_value_read(asked, i, "c", &scratch, &value, &err), &err);
        assert_int_equal(value.class, i == 0 ? ROW_TEXT : ROW_BLOB);
        assert_null(value.text.ptr);
        assert_true(str_eq_c(value.digest, hex));
        assert_true(sqlite_value_room(asked, i) >= scratch.len);
    }
    assert_ok(sqlite_value_read(asked, 2, "c", &scratch, &value, &err), &err);
    assert_null(value.digest.ptr);
    assert_int_equal(value.text.len, 200000);
    sqlite_stmt_done(&asked);
    sqlite_disconnect(&db);
}

static void prints_tell_values_and_classes_apart(void **state)
{
    static const char *const literals[] = {
        "NULL", "''", "x''", "'5'", "5", "5.0", "x'35'", "zeroblob(5000)", "zeroblob(5001)",
    };
    enum { COUNT = sizeof(literals) / sizeof(literals[0]) };
    struct buf prints[COUNT];
    sqlite3 *db = open_memory();
    struct err err = ERR_INIT;

    (void)state;
    for (size_t i = 0; i < COUNT; i++) {
        AUTO(free_ptr) char *sql = xprintf("SELECT %s", literals[i]);
        AUTO(sqlite_stmt_done) sqlite3_stmt *asked = NULL;
        buf_init(&prints[i], 8192);
        assert_ok(sqlite_prepare(db, sql, &asked, &err), &err);
        assert_int_equal(sqlite_step(db, asked, &err), 1);
        assert_ok(sqlite_value_print(asked, 0, &prints[i], &err), &err);
        for (size_t k = 0; k < i; k++) {
            assert_false(str_eq(buf_str(&prints[i]), buf_str(&prints[k])));
        }
    }
    for (size_t i = 0; i < COUNT; i++) {
        buf_done(&prints[i]);
    }
    sqlite_disconnect(&db);
}

/* ---- tables ---- */

static void read_shape(sqlite3 *db, const char *table, const struct source_mapping *mapping,
                       struct sqlite_shape *ret)
{
    AUTO(free_ptr) char *why_not = NULL;
    struct err err = ERR_INIT;

    assert_ok(sqlite_shape_read(db, table, mapping, ret, &why_not, &err), &err);
    if (why_not != NULL) {
        fail_msg("%s: %s", table, why_not);
    }
}

static void assert_left(sqlite3 *db, const char *table, const struct source_mapping *mapping,
                        const char *part)
{
    AUTO(free_ptr) char *why_not = NULL;
    struct sqlite_shape shape;
    struct err err = ERR_INIT;

    assert_ok(sqlite_shape_read(db, table, mapping, &shape, &why_not, &err), &err);
    assert_non_null(why_not);
    assert_non_null(strstr(why_not, part));
    assert_null(shape.name);
}

static void a_table_is_told_apart_by_the_best_key_it_has(void **state)
{
    static const struct {
        const char *sql;
        size_t keys;
        const char *first;
        bool is_plain;
        bool has_rowid;
    } cases[] = {
        {"CREATE TABLE t (a TEXT, id INTEGER PRIMARY KEY)", 1, "id", true, true},
        {"CREATE TABLE t (a TEXT PRIMARY KEY, b)", 1, "a", true, true},
        {"CREATE TABLE t (a PRIMARY KEY, b)", 1, "a", false, true},
        {"CREATE TABLE t (a BLOB PRIMARY KEY, b)", 1, "a", false, true},
        {"CREATE TABLE t (a, b, c, PRIMARY KEY (c, a))", 2, "c", false, true},
        {"CREATE TABLE t (a TEXT PRIMARY KEY, b) WITHOUT ROWID", 1, "a", true, false},
        {"CREATE TABLE t (x, a TEXT NOT NULL UNIQUE, b)", 1, "a", true, true},
        {"CREATE TABLE t (a TEXT NOT NULL, b TEXT NOT NULL, UNIQUE (b, a))", 2, "b", false, true},
        {"CREATE TABLE t (rowid TEXT PRIMARY KEY)", 1, "rowid", true, true},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        sqlite3 *db = open_memory();
        struct sqlite_shape shape;
        run(db, cases[i].sql);
        read_shape(db, "t", NULL, &shape);
        assert_int_equal(shape.key_count, cases[i].keys);
        assert_string_equal(shape.columns[shape.keys[0]], cases[i].first);
        assert_int_equal(shape.key_is_plain, cases[i].is_plain);
        assert_int_equal(shape.rowid != NULL, cases[i].has_rowid);
        sqlite_shape_done(&shape);
        sqlite_disconnect(&db);
    }
}

static void what_can_not_be_told_apart_or_is_no_table_is_left(void **state)
{
    struct source_mapping none = {.table = (char *)"loose", .id = (char *)"id"};
    struct source_mapping by_rowid = {.table = (char *)"loose", .id = (char *)"ROWID"};
    AUTO(free_ptr) char *why_not = NULL;
    sqlite3 *db = open_memory();
    struct sqlite_shape shape;
    struct err err = ERR_INIT;

    (void)state;
    run(db, "CREATE TABLE loose (a TEXT, b TEXT UNIQUE); CREATE INDEX i ON loose (a);"
            "CREATE UNIQUE INDEX part ON loose (a) WHERE a > 'x';"
            "CREATE VIEW v AS SELECT * FROM loose; CREATE VIRTUAL TABLE f USING fts5 (a)");
    assert_left(db, "loose", NULL, "no primary key");
    assert_left(db, "loose", &none, "no column \"id\"");
    assert_left(db, "v", NULL, "a view");
    assert_left(db, "f", NULL, "a virtual table");
    assert_refused(sqlite_shape_read(db, "f_data", NULL, &shape, &why_not, &err), &err,
                   ERR_NOT_FOUND, "f_data"); /* it is the virtual table's */
    read_shape(db, "loose", &by_rowid, &shape);
    assert_int_equal(shape.key_count, 0);
    sqlite_shape_done(&shape);
    sqlite_disconnect(&db);
}

static void the_content_is_the_column_of_that_name_or_the_first_text(void **state)
{
    struct source_mapping mapping = {.table = (char *)"t",
                                     .content = (char *)"BLOB_ONE",
                                     .ignored = {(char *)"n"},
                                     .ignored_count = 1};
    sqlite3 *db = open_memory();
    struct sqlite_shape shape;

    (void)state;
    run(db,
        "CREATE TABLE t (id TEXT PRIMARY KEY, n INT, made TEXT GENERATED ALWAYS AS (n), blob_one "
        "BLOB, note VARCHAR(9));"
        "CREATE TABLE named (id INTEGER PRIMARY KEY, first TEXT, Content TEXT);"
        "CREATE TABLE numbers (id INTEGER PRIMARY KEY, n INT)");
    read_shape(db, "t", NULL, &shape);
    assert_string_equal(shape.mapping.content, "note");
    assert_int_equal(shape.column_count, 4); /* not what is made of others */
    sqlite_shape_done(&shape);
    read_shape(db, "t", &mapping, &shape);
    assert_string_equal(shape.mapping.content, "blob_one");
    assert_int_equal(shape.column_count, 3);
    sqlite_shape_done(&shape);
    read_shape(db, "named", NULL, &shape);
    assert_string_equal(shape.mapping.content, "Content");
    sqlite_shape_done(&shape);
    read_shape(db, "numbers", NULL, &shape);
    assert_null(shape.mapping.content);
    sqlite_shape_done(&shape);
    sqlite_disconnect(&db);
}

static void a_definition_makes_the_table_again_and_its_triggers_behind_the_rows(void **state)
{
    sqlite3 *db = open_memory();
    struct sqlite_shape shape;

    (void)state;
    run(db, "CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT); CREATE INDEX i ON t (a);"
            "CREATE TRIGGER g AFTER INSERT ON t BEGIN SELECT 1; END");
    read_shape(db, "t", NULL, &shape);
    const char *behind = strstr(shape.definition, LITE_BEHIND);
    assert_non_null(behind);
    assert_true(strstr(shape.definition, "CREATE INDEX i") < behind);
    assert_true(strstr(shape.definition, "CREATE TRIGGER g") > behind);
    run(db, "DROP TABLE t");
    run(db, shape.definition);
    run(db, "INSERT INTO t VALUES (1, 'x')");
    sqlite_shape_done(&shape);
    sqlite_disconnect(&db);
}

static void any_change_of_the_schema_changes_its_digest(void **state)
{
    static const char *const changes[] = {
        "CREATE TABLE a (x)",
        "CREATE INDEX i ON a (x)",
        "DROP INDEX i",
        "ALTER TABLE a ADD y",
    };
    struct sha256 last;
    struct sha256 now;
    sqlite3 *db = open_memory();
    struct err err = ERR_INIT;

    (void)state;
    assert_ok(sqlite_schema_digest(db, &last, &err), &err);
    for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
        run(db, changes[i]);
        assert_ok(sqlite_schema_digest(db, &now, &err), &err);
        assert_false(sha256_eq(&last, &now));
        last = now;
    }
    run(db, "INSERT INTO a VALUES (1, 2)");
    assert_ok(sqlite_schema_digest(db, &now, &err), &err);
    assert_true(sha256_eq(&last, &now));
    sqlite_disconnect(&db);
}

/* ---- files ---- */

static void write_file(const char *path, const char *bytes, size_t len)
{
    FILE *file = fopen(path, "w");

    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, len, file), len);
    assert_int_equal(fclose(file), 0);
}

static void errors_say_what_is_wrong_with_the_file(void **state)
{
    char path[] = "/tmp/hf-sqlite-XXXXXX";
    sqlite3 *db = NULL;
    struct err err = ERR_INIT;

    (void)state;
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    (void)close(fd);
    write_file(path,
               "this is a text, and has never been a database of any kind, nor will it be "
               "one; but it is long enough to be taken for a header of one hundred bytes",
               146);
    int rc = sqlite_connect(path, SQLITE_OPEN_READONLY, 0, NULL, &db, &err);
    rc = rc == 0 ? sqlite_run(db, "SELECT * FROM sqlite_schema", &err) : rc;
    assert_refused(rc, &err, ERR_CORRUPT, "not a database");
    sqlite_disconnect(&db);
    assert_int_equal(unlink(path), 0);
    assert_refused(sqlite_connect(path, SQLITE_OPEN_READONLY, 0, NULL, &db, &err), &err,
                   ERR_NOT_FOUND, "unable to open");
    struct sqlite_identity identity;
    assert_refused(sqlite_identify(path, &identity, &err), &err, ERR_NOT_FOUND, "there is no file");
    assert_refused(sqlite_identify("/tmp", &identity, &err), &err, ERR_CORRUPT, "is no file");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_value_comes_back_with_its_class),
        cmocka_unit_test(what_is_too_large_is_not_copied),
        cmocka_unit_test(prints_tell_values_and_classes_apart),
        cmocka_unit_test(a_table_is_told_apart_by_the_best_key_it_has),
        cmocka_unit_test(what_can_not_be_told_apart_or_is_no_table_is_left),
        cmocka_unit_test(the_content_is_the_column_of_that_name_or_the_first_text),
        cmocka_unit_test(a_definition_makes_the_table_again_and_its_triggers_behind_the_rows),
        cmocka_unit_test(any_change_of_the_schema_changes_its_digest),
        cmocka_unit_test(errors_say_what_is_wrong_with_the_file),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
