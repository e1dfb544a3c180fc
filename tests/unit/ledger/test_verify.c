/* What was altered shows: in the record, a column, a hash, the numbering, the projection. */
#include "ledger/chain.h"

/* Alter the closed ledger's file behind its back. */
static void alter(struct home *home, const char *sql)
{
    AUTO(free_ptr) char *path = xprintf("%s/live/ledger.db", home->path);
    sqlite3 *db = NULL;
    char *message = NULL;

    home_close(home);
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    if (sqlite3_exec(db, sql, NULL, NULL, &message) != SQLITE_OK) {
        print_error("%s: %s\n", sql, message);
        fail();
    }
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

static void tamper(struct home *home, const char *sql)
{
    alter(home, sql);
    home_open(home);
}

static struct verify_result verify(struct home *home)
{
    struct verify_result result;
    struct reader *reader;
    struct err err = ERR_INIT;

    assert_ok(read_begin(home->ledger, &reader, &err), &err);
    assert_ok(read_verify(reader, &result, &err), &err);
    read_end(reader);
    return result;
}

#define UNLOCK "DROP TRIGGER journal_keeps_rows; DROP TRIGGER journal_keeps_content;"

/* Memories 1 (two versions), 2 and 3: changes 2 to 5 behind the project's. */
static void fill(struct home *home)
{
    put(home, id_of(1), "one");
    put(home, id_of(1), "one more");
    put(home, id_of(2), "two");
    put(home, id_of(3), "three");
}

static void assert_found(struct home *home, const char *sql, uint64_t seq, const char *reason)
{
    fill(home);
    assert_verifies(home);
    tamper(home, sql);
    struct verify_result result = verify(home);
    if (result.ok || result.bad_seq != seq || strstr(result.reason, reason) == NULL) {
        print_error("found %d, change %llu: %s\n", !result.ok, (unsigned long long)result.bad_seq,
                    result.reason);
    }
    assert_false(result.ok);
    assert_int_equal(result.bad_seq, seq);
    assert_non_null(strstr(result.reason, reason));
}

#define KEY(seq) "(1 << 40 | " #seq ")"

static void an_altered_record_is_found(void **state)
{
    assert_found(*state,
                 UNLOCK
                 "UPDATE journal SET record = replace(record, 'two', 'owt') WHERE key = " KEY(4),
                 4, "hash");
}

static void an_altered_hash_is_found(void **state)
{
    assert_found(*state, UNLOCK "UPDATE journal SET hash = zeroblob(32) WHERE key = " KEY(3), 3,
                 "hash");
}

static void a_short_hash_is_found(void **state)
{
    assert_found(*state, UNLOCK "UPDATE journal SET hash = x'00' WHERE key = " KEY(3), 3, "hash");
}

static void a_missing_change_is_found(void **state)
{
    assert_found(*state, UNLOCK "DELETE FROM journal WHERE key = " KEY(3), 3, "missing");
}

static void an_altered_column_is_found(void **state)
{
    assert_found(*state, UNLOCK "UPDATE journal SET version = 7 WHERE key = " KEY(4), 4,
                 "than its row");
}

static void an_altered_id_is_found(void **state)
{
    assert_found(*state, UNLOCK "UPDATE journal SET id = zeroblob(16) WHERE key = " KEY(4), 4,
                 "than its row");
}

static void an_altered_link_is_found(void **state)
{
    assert_found(*state, UNLOCK "UPDATE journal SET earlier_key = " KEY(4) " WHERE key = " KEY(3),
                 4, "something else");
}

static void a_link_in_a_circle_is_found(void **state)
{
    assert_found(*state, UNLOCK "UPDATE journal SET earlier_key = key WHERE key = " KEY(2), 2,
                 "longer than the journal");
}

static void a_memory_that_shows_an_old_version_is_found(void **state)
{
    assert_found(*state, "UPDATE memory SET key = " KEY(2) ", version = 1 WHERE last_key = " KEY(3),
                 3, "not the one that wins");
}

static void altered_times_are_found(void **state)
{
    assert_found(*state, "UPDATE memory SET deleted_us = 5 WHERE key = " KEY(4), 4,
                 "version or times");
}

static void a_memory_in_a_wrong_place_is_found(void **state)
{
    assert_found(*state,
                 "INSERT INTO block(no, project_id, session_id) VALUES(77, 'q', zeroblob(16));"
                 "UPDATE memory SET place = 77 << 20 WHERE key = " KEY(4),
                 4, "place");
}

/* Counting the memories finds it already. */
static void a_memory_in_no_place_stops_the_start(void **state)
{
    struct home *home = *state;
    struct ledger_options options = {.home = home->path, .env = &home->env.env, .who = "a test"};
    struct err err = ERR_INIT;

    fill(home);
    alter(home, "UPDATE memory SET place = 78 << 20 WHERE key = " KEY(4));
    assert_refused(ledger_open(&options, &home->ledger, &err), &err, ERR_CORRUPT, "block 78");
}

static void a_memory_that_is_gone_is_found(void **state)
{
    assert_found(*state, "DELETE FROM memory WHERE key = " KEY(4), 0, "no memory leads to");
}

static void an_unknown_origin_is_found(void **state)
{
    assert_found(*state,
                 "INSERT INTO journal SELECT 9 << 40 | 1, 0, kind, id, version, at_us, hash, "
                 "record FROM journal WHERE key = " KEY(1),
                 1, "origin is unknown");
}

static void what_is_no_record_is_found(void **state)
{
    struct home *home = *state;

    fill(home);
    tamper(home, UNLOCK "UPDATE journal SET record = 'x' WHERE key = " KEY(5));
    struct verify_result result = verify(home);
    assert_false(result.ok);
    assert_int_equal(result.bad_seq, 5);
}

/* The triggers are the last thing between a careless program and the past. */
static void the_journal_refuses_to_be_changed(void **state)
{
    struct home *home = *state;
    AUTO(free_ptr) char *path = xprintf("%s/live/ledger.db", home->path);
    static const char *const statements[] = {
        "UPDATE journal SET record = ''", "DELETE FROM journal",
        "PRAGMA recursive_triggers=ON; REPLACE INTO journal SELECT * FROM journal"};
    sqlite3 *db = NULL;

    fill(home);
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(sqlite3_exec(db, statements[i], NULL, NULL, NULL), SQLITE_CONSTRAINT);
        assert_string_equal(sqlite3_errmsg(db), "the journal is append-only");
    }
    assert_int_equal(sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
    assert_verifies(home);
}

static void a_held_memory_verifies_and_an_altered_one_is_found(void **state)
{
    struct home *home = *state;

    fill(home);
    tamper(home, "INSERT INTO held VALUES(" KEY(4) ", 1)");
    struct verify_result result = verify(home);
    assert_false(result.ok);
    assert_int_equal(result.bad_seq, 4);
    tamper(home, "UPDATE memory SET key = 0 WHERE key = " KEY(4));
    assert_verifies(home);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, home_setup, home_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(an_altered_record_is_found),
        TEST(an_altered_hash_is_found),
        TEST(a_short_hash_is_found),
        TEST(a_missing_change_is_found),
        TEST(an_altered_column_is_found),
        TEST(an_altered_id_is_found),
        TEST(an_altered_link_is_found),
        TEST(a_link_in_a_circle_is_found),
        TEST(a_memory_that_shows_an_old_version_is_found),
        TEST(altered_times_are_found),
        TEST(a_memory_in_a_wrong_place_is_found),
        TEST(a_memory_in_no_place_stops_the_start),
        TEST(a_memory_that_is_gone_is_found),
        TEST(an_unknown_origin_is_found),
        TEST(what_is_no_record_is_found),
        TEST(the_journal_refuses_to_be_changed),
        TEST(a_held_memory_verifies_and_an_altered_one_is_found),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
