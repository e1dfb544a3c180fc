/* How the index is kept: it follows the ledger, survives damage, and fails no search that it can
 * answer. */
#include "search/world.h"

#include <sqlite3.h>

#include "search/index_file.h"

static char *path_of(const struct world *world)
{
    return xprintf("%s/live/index.db", world->home->path);
}

static ino_t inode_of(const struct world *world)
{
    AUTO(free_ptr) char *path = path_of(world);
    struct stat st;

    assert_int_equal(stat(path, &st), 0);
    return st.st_ino;
}

/* Run SQL on the file behind the index's back. */
static void sql(const struct world *world, const char *text)
{
    AUTO(free_ptr) char *path = path_of(world);
    sqlite3 *db = NULL;

    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, text, NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

/* The log's content goes into the file, so that the file is all there is. */
static void settle(struct world *world)
{
    struct err err = ERR_INIT;

    assert_ok(index_wait(world->index, deadline_in(PATIENCE_MS), &err), &err);
    world_close(world);
    sql(world, "PRAGMA wal_checkpoint(TRUNCATE)");
}

static void overwrite(const struct world *world, off_t from, off_t len, int byte)
{
    AUTO(free_ptr) char *path = path_of(world);
    FILE *file = fopen(path, "r+");

    assert_non_null(file);
    assert_int_equal(fseeko(file, from, SEEK_SET), 0);
    for (off_t i = 0; i < len; i++) {
        assert_int_equal(fputc(byte, file), byte);
    }
    assert_int_equal(fclose(file), 0);
}

static void what_came_while_it_was_away_is_found(void **state)
{
    struct world *world = *state;

    keep(world, "before", (struct about){.id = 1});
    settle(world);
    keep(world, "meanwhile", (struct about){.id = 2});
    keep(world, "changed", (struct about){.id = 1});
    world_open(world);
    assert_answer(world, "meanwhile", "meanwhile");
    assert_answer(world, "before", "");
    assert_answer(world, "changed", "changed");
}

static void a_whole_file_is_not_rebuilt(void **state)
{
    struct world *world = *state;

    keep(world, "kept", (struct about){0});
    settle(world);
    ino_t before = inode_of(world);
    world_open(world);
    assert_answer(world, "kept", "kept");
    assert_int_equal(inode_of(world), before);
}

static void a_missing_file_is_rebuilt(void **state)
{
    struct world *world = *state;
    AUTO(free_ptr) char *path = path_of(world);

    keep(world, "kept", (struct about){0});
    settle(world);
    assert_int_equal(unlink(path), 0);
    world_open(world);
    assert_answer(world, "kept", "kept");
}

static void a_file_that_is_no_database_is_rebuilt(void **state)
{
    struct world *world = *state;

    keep(world, "kept", (struct about){0});
    settle(world);
    overwrite(world, 0, 5000, 'x');
    world_open(world);
    assert_answer(world, "kept", "kept");
}

static void a_folder_in_its_place_is_replaced(void **state)
{
    struct world *world = *state;
    AUTO(free_ptr) char *path = path_of(world);

    keep(world, "kept", (struct about){0});
    settle(world);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkdir(path, 0700), 0);
    world_open(world);
    assert_answer(world, "kept", "kept");
}

static void another_programs_database_is_rebuilt(void **state)
{
    struct world *world = *state;
    AUTO(free_ptr) char *path = path_of(world);

    keep(world, "kept", (struct about){0});
    settle(world);
    assert_int_equal(unlink(path), 0);
    sql(world, "CREATE TABLE words(content); INSERT INTO words VALUES('kept')");
    world_open(world);
    assert_answer(world, "kept", "kept");
}

static int64_t version_of(const struct world *world)
{
    AUTO(free_ptr) char *path = path_of(world);
    struct conn conn;
    struct err err = ERR_INIT;
    int64_t version;

    assert_ok(conn_open(&conn, path, SQLITE_OPEN_READONLY, &err), &err);
    assert_ok(conn_pragma_i64(&conn, "user_version", &version, &err), &err);
    conn_close(&conn);
    return version;
}

static void another_version_is_rebuilt(void **state)
{
    struct world *world = *state;

    keep(world, "kept", (struct about){0});
    settle(world);
    sql(world, "PRAGMA user_version = 77");
    world_open(world);
    assert_answer(world, "kept", "kept");
    settle(world);
    assert_int_equal(version_of(world), INDEX_VERSION);
}

static void an_unfinished_one_is_rebuilt(void **state)
{
    struct world *world = *state;
    AUTO(free_ptr)
    char *unfinished = xprintf("PRAGMA application_id = %d", INDEX_FILE_UNFINISHED_ID);

    keep(world, "kept", (struct about){0});
    settle(world);
    sql(world, "DELETE FROM docs");
    sql(world, unfinished);
    world_open(world);
    assert_answer(world, "kept", "kept");
}

static void an_index_of_another_ledger_is_rebuilt(void **state)
{
    struct world *world = *state;

    keep(world, "kept", (struct about){0});
    settle(world);
    sql(world, "UPDATE cursors SET hash = zeroblob(32)");
    world_open(world);
    assert_answer(world, "kept", "kept");
    settle(world);
    sql(world, "UPDATE cursors SET seq = seq + 1000"); /* of a later state of this one */
    world_open(world);
    assert_answer(world, "kept", "kept");
    settle(world);
    sql(world, "UPDATE cursors SET origin = zeroblob(16)");
    world_open(world);
    assert_answer(world, "kept", "kept");
}

static void damage_met_by_a_search_is_repaired(void **state)
{
    struct world *world = *state;
    AUTO(free_ptr) char *path = path_of(world);
    struct stat st;

    for (unsigned i = 0; i < 300; i++) {
        AUTO(free_ptr) char *text = xprintf("kept number %u with words%u of its own", i, i);
        keep(world, text, (struct about){.session = i / 10 + 1});
    }
    settle(world);
    assert_int_equal(stat(path, &st), 0);
    world_open(world);
    AUTO(answer_done) struct answer before = ask(world, "number");
    assert_int_equal(before.count, 10);
    settle(world);
    overwrite(world, 3 * 4096, st.st_size - 3 * 4096, 0xff); /* the schema is left as it is */
    world_open(world);
    AUTO(answer_done) struct answer after = ask(world, "number");
    assert_int_equal(after.count, 10);
}

static void damage_met_by_the_feed_is_repaired(void **state)
{
    struct world *world = *state;

    keep(world, "old words", (struct about){.id = 1, .session = 1});
    keep(world, "other words", (struct about){.id = 2, .session = 1});
    settle(world);
    sql(world, "UPDATE docs SET body = x'00'");
    world_open(world);
    keep(world, "new words", (struct about){.id = 1, .session = 1});
    assert_answer(world, "new", "new words");
    assert_answer(world, "old", "");
}

/* ---- when it can't go on ---- */

static void a_full_disk_stops_the_index_until_there_is_room(void **state)
{
    struct world *world = *state;
    struct err err = ERR_INIT;

    keep(world, "before", (struct about){0});
    assert_answer(world, "before", "before");
    fault_set("index.commit:1+");
    keep(world, "after", (struct about){0});
    assert_refused(index_wait(world->index, deadline_in(PATIENCE_MS), &err), &err, ERR_FULL,
                   "full");
    assert_true(index_behind(world->index) > 0);
    assert_answer(world, "before", "before");
    assert_answer(world, "after", "");
    fault_set(NULL);
    while (index_wait(world->index, deadline_in(PATIENCE_MS), &err) == -ERR_FULL) {
        (void)usleep(10000); /* it tries again by itself, in a second */
    }
    assert_answer(world, "after", "after");
    assert_int_equal(index_behind(world->index), 0);
}

static void with_nothing_indexed_at_all_a_search_says_why(void **state)
{
    struct world *world = *state;
    struct search_query query = {.text = "kept", .limit = 10, .filter = MEMORY_FILTER_INIT};
    AUTO(free_ptr) char *path = path_of(world);
    struct answer answer;
    struct err err = ERR_INIT;

    keep(world, "kept", (struct about){0});
    settle(world);
    assert_int_equal(unlink(path), 0);
    fault_set("index.commit:1+");
    world_open(world);
    assert_refused(index_search(world->index, &query, deadline_in(PATIENCE_MS), &answer.hits,
                                &answer.count, &err),
                   &err, ERR_FULL, "full");
    fault_set(NULL);
}

/* Another connection holds the file's lock for writing. */
static sqlite3 *hold_lock(struct world *world)
{
    AUTO(free_ptr) char *path = path_of(world);
    sqlite3 *db = NULL;

    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
    return db;
}

static void a_search_does_not_wait_beyond_its_deadline(void **state)
{
    struct world *world = *state;
    struct search_query query = {.text = "before after", .limit = 10, .filter = MEMORY_FILTER_INIT};
    struct answer answer;
    struct err err = ERR_INIT;

    keep(world, "before", (struct about){.session = 1});
    assert_answer(world, "before", "before");
    sqlite3 *db = hold_lock(world);
    keep(world, "after", (struct about){.session = 2});
    assert_refused(index_wait(world->index, deadline_in(50), &err), &err, ERR_TIMEOUT,
                   "not indexed yet");
    assert_ok(
        index_search(world->index, &query, deadline_in(50), &answer.hits, &answer.count, &err),
        &err);
    assert_int_equal(answer.count, 1);
    assert_string_equal(answer.hits[0].memory.content, "before");
    answer_done(&answer);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
    assert_answer(world, "after", "after");
}

static void stopping_ends_those_who_wait(void **state)
{
    struct world *world = *state;

    keep(world, "kept", (struct about){0});
    world_close(world); /* at once, whatever it is doing */
    world_open(world);
    assert_answer(world, "kept", "kept");
}

/* ---- exchanges ---- */

struct exchange {
    const char *from; /* a folder, which becomes the live one */
    const char *to;   /* where the live one goes */
};

static int exchange(void *arg, const char *live, bool *ret_exchanged, struct err *err)
{
    const struct exchange *folders = arg;

    (void)err;
    assert_int_equal(rename(live, folders->to), 0);
    assert_int_equal(rename(folders->from, live), 0);
    *ret_exchanged = true;
    return 0;
}

static void after_an_exchange_the_new_ledger_is_searched(void **state)
{
    struct world *world = *state;
    AUTO(free_ptr) char *live = xprintf("%s/live", world->home->path);
    AUTO(free_ptr) char *copy = xprintf("%s/copy", world->home->path);
    AUTO(free_ptr) char *old = xprintf("%s/old", world->home->path);
    AUTO(free_ptr) char *command = xprintf("cp -r '%s' '%s'", live, copy);
    struct exchange folders = {copy, old};
    struct err err = ERR_INIT;

    keep(world, "in both", (struct about){0});
    settle(world);
    home_close(world->home);
    assert_int_equal(system(command), 0); /* NOLINT(cert-env33-c): a test's own folders */
    home_open(world->home);
    world_open(world);
    keep(world, "only in the old one", (struct about){0});
    assert_answer(world, "old", "only in the old one");
    assert_ok(ledger_with_writer_paused(world->home->ledger, exchange, &folders, &err), &err);
    index_reopen(world->index);
    assert_answer(world, "old", "");
    assert_answer(world, "both", "in both");
    keep(world, "only in the new one", (struct about){0});
    assert_answer(world, "new", "only in the new one");
}

/* ---- much at once ---- */

#define CROWD 8
#define EACH 50

struct member {
    pthread_t thread;
    struct world *world;
    unsigned number;
};

static void *write_and_read(void *arg)
{
    struct member *member = arg;

    for (unsigned i = 0; i < EACH; i++) {
        AUTO(free_ptr) char *text = xprintf("note w%ux%u", member->number, i);
        AUTO(free_ptr) char *word = xprintf("w%ux%u", member->number, i);
        keep(member->world, text, (struct about){.session = member->number + 1});
        assert_answer(member->world, word, text);
    }
    return NULL;
}

static void many_threads_each_find_what_they_wrote(void **state)
{
    struct world *world = *state;
    struct member members[CROWD];

    for (unsigned i = 0; i < CROWD; i++) {
        members[i] = (struct member){.world = world, .number = i};
        assert_int_equal(pthread_create(&members[i].thread, NULL, write_and_read, &members[i]), 0);
    }
    for (unsigned i = 0; i < CROWD; i++) {
        assert_int_equal(pthread_join(members[i].thread, NULL), 0);
    }
    AUTO(answer_done) struct answer answer = ask(world, "note");
    assert_int_equal(answer.count, 10);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)
    const struct CMUnitTest tests[] = {
        TEST(what_came_while_it_was_away_is_found),
        TEST(a_whole_file_is_not_rebuilt),
        TEST(a_missing_file_is_rebuilt),
        TEST(a_file_that_is_no_database_is_rebuilt),
        TEST(a_folder_in_its_place_is_replaced),
        TEST(another_programs_database_is_rebuilt),
        TEST(another_version_is_rebuilt),
        TEST(an_unfinished_one_is_rebuilt),
        TEST(an_index_of_another_ledger_is_rebuilt),
        TEST(damage_met_by_a_search_is_repaired),
        TEST(damage_met_by_the_feed_is_repaired),
        TEST(a_full_disk_stops_the_index_until_there_is_room),
        TEST(with_nothing_indexed_at_all_a_search_says_why),
        TEST(a_search_does_not_wait_beyond_its_deadline),
        TEST(stopping_ends_those_who_wait),
        TEST(after_an_exchange_the_new_ledger_is_searched),
        TEST(many_threads_each_find_what_they_wrote),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
