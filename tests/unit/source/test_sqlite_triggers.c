/* Triggers for somebody's SQLite file: what they are, write and leave, and whether they still fit.
 */
#include "support/unit.h"

#include "source/sqlite_internal.h"

static const struct source_options options = {.name = "tool", .path = "/tool.db"};

static sqlite3 *open_memory(const char *sql)
{
    struct err err = ERR_INIT;
    sqlite3 *db = NULL;

    assert_ok(
        sqlite_connect(":memory:", SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, 0, NULL, &db, &err),
        &err);
    assert_ok(sqlite_run(db, sql, &err), &err);
    /* Ours run nobody's triggers; the application's do. */
    assert_int_equal(sqlite3_db_config(db, SQLITE_DBCONFIG_ENABLE_TRIGGER, 1, NULL), SQLITE_OK);
    return db;
}

static void run(sqlite3 *db, const char *sql)
{
    struct err err = ERR_INIT;

    assert_ok(sqlite_run(db, sql, &err), &err);
}

static int64_t ask(sqlite3 *db, const char *sql)
{
    struct err err = ERR_INIT;
    int64_t ret = -1;

    assert_ok(sqlite_ask(db, sql, &ret, &err), &err);
    return ret;
}

static void make_triggers(sqlite3 *db)
{
    AUTO(buf_done) struct buf sql = BUF_INIT(LITE_SQL_MAX);
    struct err err = ERR_INIT;

    assert_ok(sqlite_triggers_add(&options, db, &sql, &err), &err);
    run(db, sql.data);
}

static bool fits(sqlite3 *db, const char *table)
{
    AUTO(sqlite_shape_done) struct sqlite_shape shape = {.name = NULL};
    AUTO(free_ptr) char *why_not = NULL;
    struct err err = ERR_INIT;
    size_t columns = 0;
    bool ret = false;

    assert_ok(sqlite_shape_read(db, table, NULL, &shape, &why_not, &err), &err);
    assert_ok(sqlite_outbox_columns(db, &columns, &err), &err);
    assert_ok(sqlite_triggers_fit(db, &shape, columns, &ret, &err), &err);
    return ret;
}

static void what_was_made_fits_and_is_not_made_again(void **state)
{
    sqlite3 *db = open_memory("CREATE TABLE a (id INTEGER PRIMARY KEY, content TEXT); "
                              "CREATE TABLE b (x, y, z, PRIMARY KEY (z, x)) WITHOUT ROWID");
    AUTO(buf_done) struct buf again = BUF_INIT(LITE_SQL_MAX);
    struct err err = ERR_INIT;

    (void)state;
    assert_false(fits(db, "a"));
    make_triggers(db);
    assert_true(fits(db, "a"));
    assert_true(fits(db, "b"));
    assert_ok(sqlite_triggers_add(&options, db, &again, &err), &err);
    assert_int_equal(again.len, 0);
    sqlite_disconnect(&db);
}

static void a_table_that_changed_and_a_trigger_that_was_altered_fit_no_more(void **state)
{
    static const char altered[] = "DROP TRIGGER holdfast_delete_a; CREATE TRIGGER "
                                  "holdfast_delete_a AFTER DELETE ON a BEGIN SELECT 1; END";
    const char *const changes[] = {
        "ALTER TABLE a ADD COLUMN more",  "ALTER TABLE a RENAME COLUMN content TO body",
        "DROP TRIGGER holdfast_insert_a", altered,
        "DROP TABLE holdfast_outbox",     "ALTER TABLE holdfast_outbox ADD COLUMN v9",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
        sqlite3 *db = open_memory("CREATE TABLE a (id INTEGER PRIMARY KEY, content TEXT)");
        make_triggers(db);
        run(db, changes[i]);
        assert_false(fits(db, "a"));
        sqlite_disconnect(&db);
    }
}

static void a_tag_tells_shapes_apart(void **state)
{
    static const char *const shapes[] = {"a, b, PRIMARY KEY (a)", "b, a, PRIMARY KEY (a)",
                                         "a, b, PRIMARY KEY (a, b)", "a, bc, PRIMARY KEY (a)",
                                         "ab, c, PRIMARY KEY (ab)"};
    enum { SHAPES = sizeof(shapes) / sizeof(shapes[0]) };
    char tags[SHAPES][LITE_TAG_LEN + 1];

    (void)state;
    for (size_t i = 0; i < SHAPES; i++) {
        AUTO(sqlite_shape_done) struct sqlite_shape shape = {.name = NULL};
        AUTO(free_ptr) char *sql = xprintf("CREATE TABLE t (%s)", shapes[i]);
        AUTO(free_ptr) char *why_not = NULL;
        struct err err = ERR_INIT;
        sqlite3 *db = open_memory(sql);
        assert_ok(sqlite_shape_read(db, "t", NULL, &shape, &why_not, &err), &err);
        sqlite_shape_tag(&shape, tags[i]);
        assert_int_equal(strlen(tags[i]), LITE_TAG_LEN);
        for (size_t k = 0; k < i; k++) {
            assert_string_not_equal(tags[i], tags[k]);
        }
        sqlite_disconnect(&db);
    }
}

/* A table whose entries have so many values, with its rowid. */
static char *wide_table(size_t values)
{
    AUTO(buf_done) struct buf sql = BUF_INIT(LITE_SQL_MAX);
    struct err err = ERR_INIT;

    assert_ok(buf_add_c(&sql, "CREATE TABLE wide (id INTEGER PRIMARY KEY", &err), &err);
    for (size_t i = 2; i < values; i++) {
        assert_ok(buf_printf(&sql, &err, ", c%zu", i), &err);
    }
    assert_ok(buf_add_c(&sql, ")", &err), &err);
    return buf_take(&sql);
}

static void a_table_may_have_so_many_columns_and_no_more(void **state)
{
    AUTO(free_ptr) char *at = wide_table(LITE_OUTBOX_COLUMNS_MAX);
    AUTO(free_ptr) char *past = wide_table(LITE_OUTBOX_COLUMNS_MAX + 1);
    AUTO(buf_done) struct buf sql = BUF_INIT(LITE_SQL_MAX);
    struct err err = ERR_INIT;

    (void)state;
    sqlite3 *db = open_memory(at);
    make_triggers(db);
    assert_true(fits(db, "wide"));
    run(db, "INSERT INTO wide (id) VALUES (1); UPDATE wide SET c2 = 5");
    assert_int_equal(ask(db, "SELECT count(*) FROM holdfast_outbox"), 2);
    sqlite_disconnect(&db);
    db = open_memory(past);
    assert_refused(sqlite_triggers_add(&options, db, &sql, &err), &err, ERR_NOT_FOUND,
                   "no table that triggers can be made for");
    sqlite_disconnect(&db);
}

static void the_ring_keeps_the_last_entries_and_numbers_go_on(void **state)
{
    sqlite3 *db = open_memory("CREATE TABLE a (id INTEGER PRIMARY KEY, content TEXT)");
    AUTO(free_ptr)
    char *fill = xprintf("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < "
                         "%d) INSERT INTO a SELECT i, 'x' FROM n",
                         LITE_OUTBOX_RING);

    (void)state;
    make_triggers(db);
    run(db, fill);
    assert_int_equal(ask(db, "SELECT count(*) FROM holdfast_outbox"), LITE_OUTBOX_RING);
    assert_int_equal(ask(db, "SELECT min(n) FROM holdfast_outbox"), 1);
    run(db, "UPDATE a SET content = 'y' WHERE id = 1");
    assert_int_equal(ask(db, "SELECT count(*) FROM holdfast_outbox"), LITE_OUTBOX_RING);
    assert_int_equal(ask(db, "SELECT min(n) FROM holdfast_outbox"), 2);
    sqlite_disconnect(&db);
}

static void a_row_is_noted_whole_up_to_a_size_and_by_its_key_beyond(void **state)
{
    sqlite3 *db = open_memory("CREATE TABLE a (id TEXT PRIMARY KEY, content, more)");
    AUTO(free_ptr)
    char *at = xprintf("INSERT INTO a VALUES ('at', zeroblob(%d - 3), 'x')", LITE_OUTBOX_ROW_MAX);
    AUTO(free_ptr)
    char *past = xprintf("INSERT INTO a VALUES ('past', zeroblob(%d), NULL)", LITE_OUTBOX_ROW_MAX);

    (void)state;
    make_triggers(db);
    run(db, at);
    run(db, past);
    assert_int_equal(ask(db, "SELECT length(v1) FROM holdfast_outbox WHERE op = 'put' AND v0 = "
                             "'at'"),
                     LITE_OUTBOX_ROW_MAX - 3);
    assert_int_equal(ask(db, "SELECT v1 IS NULL FROM holdfast_outbox WHERE op = 'key' AND v0 = "
                             "'past'"),
                     1);
    sqlite_disconnect(&db);
}

static void a_key_that_changes_by_case_or_class_alone_ends_the_row(void **state)
{
    sqlite3 *db = open_memory("CREATE TABLE a (k PRIMARY KEY COLLATE NOCASE, content)");

    (void)state;
    make_triggers(db);
    run(db, "INSERT INTO a VALUES ('k', 1), (5, 2); UPDATE a SET content = 3");
    assert_int_equal(ask(db, "SELECT count(*) FROM holdfast_outbox WHERE op = 'delete'"), 0);
    run(db, "UPDATE a SET k = 'K' WHERE k = 'k'; UPDATE a SET k = 5.0 WHERE k = 5");
    assert_int_equal(ask(db, "SELECT count(*) FROM holdfast_outbox WHERE op = 'delete'"), 2);
    sqlite_disconnect(&db);
}

static void an_outbox_that_is_sound_and_wide_enough_keeps_its_entries(void **state)
{
    sqlite3 *db = open_memory("CREATE TABLE a (id INTEGER PRIMARY KEY, content TEXT)");

    (void)state;
    make_triggers(db);
    run(db, "INSERT INTO a VALUES (1, 'x'); DROP TRIGGER holdfast_insert_a");
    make_triggers(db);
    assert_true(fits(db, "a"));
    assert_int_equal(ask(db, "SELECT count(*) FROM holdfast_outbox"), 1);
    sqlite_disconnect(&db);
}

static void an_outbox_is_made_anew_for_wider_rows_and_after_a_number_of_no_triggers(void **state)
{
    static const char *const changes[] = {
        "ALTER TABLE a ADD COLUMN more",
        "INSERT INTO holdfast_outbox (n) VALUES (9007199254740993)",
        "INSERT INTO holdfast_outbox (n) VALUES (0)",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
        sqlite3 *db = open_memory("CREATE TABLE a (id INTEGER PRIMARY KEY, content TEXT)");
        make_triggers(db);
        run(db, "INSERT INTO a (id) VALUES (1)");
        run(db, changes[i]);
        make_triggers(db);
        assert_true(fits(db, "a"));
        assert_int_equal(ask(db, "SELECT count(*) FROM holdfast_outbox"), 0);
        sqlite_disconnect(&db);
    }
}

static void the_last_number_of_a_trigger_is_sound(void **state)
{
    sqlite3 *db = open_memory("CREATE TABLE a (id INTEGER PRIMARY KEY, content TEXT)");

    (void)state;
    make_triggers(db);
    run(db, "INSERT INTO holdfast_outbox (n) VALUES (9007199254740992); DROP TRIGGER "
            "holdfast_insert_a");
    make_triggers(db);
    assert_int_equal(ask(db, "SELECT max(n) FROM holdfast_outbox"), LITE_OUTBOX_NUMBER_MAX);
    sqlite_disconnect(&db);
}

static void removing_leaves_nothing_but_what_is_somebody_elses(void **state)
{
    sqlite3 *db =
        open_memory("CREATE TABLE a (id INTEGER PRIMARY KEY, content TEXT); CREATE TRIGGER "
                    "holdfast_of_theirs AFTER INSERT ON a BEGIN SELECT 1; END");
    AUTO(buf_done) struct buf sql = BUF_INIT(LITE_SQL_MAX);
    struct err err = ERR_INIT;

    (void)state;
    make_triggers(db);
    assert_ok(sqlite_triggers_remove(db, &sql, &err), &err);
    run(db, sql.data);
    assert_int_equal(ask(db, "SELECT count(*) FROM sqlite_schema WHERE name LIKE 'holdfast%'"), 1);
    assert_int_equal(ask(db, "SELECT count(*) FROM sqlite_schema"), 2);
    sqlite_disconnect(&db);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_made_fits_and_is_not_made_again),
        cmocka_unit_test(a_table_that_changed_and_a_trigger_that_was_altered_fit_no_more),
        cmocka_unit_test(a_tag_tells_shapes_apart),
        cmocka_unit_test(a_table_may_have_so_many_columns_and_no_more),
        cmocka_unit_test(the_ring_keeps_the_last_entries_and_numbers_go_on),
        cmocka_unit_test(a_row_is_noted_whole_up_to_a_size_and_by_its_key_beyond),
        cmocka_unit_test(a_key_that_changes_by_case_or_class_alone_ends_the_row),
        cmocka_unit_test(an_outbox_that_is_sound_and_wide_enough_keeps_its_entries),
        cmocka_unit_test(an_outbox_is_made_anew_for_wider_rows_and_after_a_number_of_no_triggers),
        cmocka_unit_test(the_last_number_of_a_trigger_is_sound),
        cmocka_unit_test(removing_leaves_nothing_but_what_is_somebody_elses),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
