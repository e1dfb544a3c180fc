/* Whatever happened to the memories, the index that followed is the one that a rebuild makes. */
#include "search/world.h"

#include <sqlite3.h>

#include "ledger/reader.h"
#include "search/feed.h"
#include "search/index_file.h"

/* Everything that the file says, as text: words with their places, docs without their keys'
 * origins, totals. */
static char *dump(struct world *world)
{
    static const char *const queries[] = {
        "SELECT group_concat(doc || ' ' || col || ' ' || offset || ' ' || term, char(10)) FROM"
        " (SELECT * FROM temp.instances ORDER BY doc, col, offset, term)",
        "SELECT group_concat(chunk || ' ' || hex(body), char(10)) FROM (SELECT * FROM docs ORDER "
        "BY chunk)",
        "SELECT docs || ' ' || words || ' ' || blocks || ' ' || sessions || ' ' || session_words "
        "FROM totals",
    };
    AUTO(free_ptr) char *folder = path_join(world->home->path, "live");
    struct buf out = BUF_INIT(64 << 20);
    struct index_file *file;
    struct err err = ERR_INIT;

    assert_ok(index_wait(world->index, deadline_in(PATIENCE_MS), &err), &err);
    assert_ok(index_file_open(folder, INDEX_FILE_SEARCH, &file, &err), &err);
    assert_ok(
        conn_exec(&file->conn,
                  "CREATE VIRTUAL TABLE temp.instances USING fts5vocab(main, words, instance)",
                  &err),
        &err);
    for (size_t i = 0; i < sizeof(queries) / sizeof(queries[0]); i++) {
        sqlite3_stmt *statement = NULL;
        assert_int_equal(sqlite3_prepare_v2(file->conn.db, queries[i], -1, &statement, NULL),
                         SQLITE_OK);
        assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
        const char *text = (const char *)sqlite3_column_text(statement, 0);
        assert_ok(buf_printf(&out, &err, "%s\n", text == NULL ? "" : text), &err);
        assert_int_equal(sqlite3_finalize(statement), SQLITE_OK);
    }
    index_file_close(file);
    return buf_take(&out);
}

static void assert_as_rebuilt(struct world *world)
{
    AUTO(free_ptr) char *path = xprintf("%s/live/index.db", world->home->path);
    AUTO(free_ptr) char *followed = dump(world);

    world_close(world);
    assert_int_equal(unlink(path), 0);
    world_open(world);
    AUTO(free_ptr) char *rebuilt = dump(world);
    if (strcmp(followed, rebuilt) != 0) {
        size_t same = 0;
        while (followed[same] == rebuilt[same]) {
            same++;
        }
        print_error("they differ at %zu: followed ...%.80s, rebuilt ...%.80s\n", same,
                    followed + same, rebuilt + same);
    }
    assert_string_equal(followed, rebuilt);
}

struct dice {
    uint64_t state;
};

static unsigned roll(struct dice *dice, unsigned sides)
{
    dice->state = dice->state * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)(dice->state >> 33) % sides;
}

#define IDS 40
#define HISTORY 64

/* One random thing happens. */
static void happen(struct world *world, struct dice *dice, struct written *history, size_t *count)
{
    static const char *const projects[] = {"p", "q"};
    unsigned id = 1 + roll(dice, IDS);
    struct written done = {.code = ERR_NONE};
    struct err err = ERR_INIT;

    if (roll(dice, 10) < 6 || *count == 0) {
        AUTO(free_ptr)
        char *text = roll(dice, 3) == 0 ? xprintf("what %u says each time", id)
                                        : xprintf("text number %u says w%u and w%u",
                                                  roll(dice, 1000), roll(dice, 50), roll(dice, 50));
        done = keep(world, text,
                    (struct about){.id = id,
                                   .session = roll(dice, 4),
                                   .project = projects[roll(dice, 2)],
                                   .importance = 0.1 + roll(dice, 9) / 10.0,
                                   .tag = roll(dice, 3) == 0 ? "some tag" : NULL});
    } else if (roll(dice, 2) == 0) {
        done = delete_of(world->home, id_of(id));
        written_done(&done, 1);
    } else {
        const struct written *change = &history[roll(dice, (unsigned)*count)];
        decide(world, roll(dice, 8), roll(dice, 2) == 0 ? DECISION_HELD : DECISION_ACCEPTED,
               change);
    }
    if (done.seq != 0 && done.code == ERR_NONE && !done.unchanged && *count < HISTORY) {
        history[(*count)++] = done;
    }
    if (roll(dice, 4) == 0) { /* else the next ones come in the same batch */
        assert_ok(index_wait(world->index, deadline_in(PATIENCE_MS), &err), &err);
    }
}

static void following_and_rebuilding_come_to_the_same(void **state)
{
    struct written history[HISTORY];

    for (unsigned seed = 1; seed <= unit_times(6); seed++) {
        struct dice dice = {seed};
        size_t count = 0;
        for (unsigned i = 0; i < 120; i++) {
            happen(*state, &dice, history, &count);
        }
        assert_as_rebuilt(*state);
    }
}

/* The words as they lie in the file, and the docs. */
static void read_file(struct world *world, struct sha256 *ret_words, struct sha256 *ret_docs)
{
    static const char *const queries[] = {
        "SELECT group_concat(id || ' ' || hex(block), char(10)) FROM words_data",
        "SELECT group_concat(chunk || ' ' || hex(body), char(10)) FROM docs"};
    struct sha256 *digests[] = {ret_words, ret_docs};
    AUTO(free_ptr) char *path = xprintf("%s/live/index.db", world->home->path);
    struct err err = ERR_INIT;
    sqlite3 *db = NULL;

    assert_ok(index_wait(world->index, deadline_in(PATIENCE_MS), &err), &err);
    assert_int_equal(sqlite3_open_v2(path, &db, SQLITE_OPEN_READONLY, NULL), SQLITE_OK);
    for (size_t i = 0; i < 2; i++) {
        sqlite3_stmt *statement = NULL;
        assert_int_equal(sqlite3_prepare_v2(db, queries[i], -1, &statement, NULL), SQLITE_OK);
        assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
        assert_true(sqlite3_column_bytes(statement, 0) > 0);
        *digests[i] = sha256_of(sqlite3_column_text(statement, 0),
                                (size_t)sqlite3_column_bytes(statement, 0));
        assert_int_equal(sqlite3_finalize(statement), SQLITE_OK);
    }
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

static void words_that_stay_are_left_where_they_are(void **state)
{
    struct world *world = *state;
    struct sha256 words[3];
    struct sha256 docs[3];

    keep(world, "the harbour by night", (struct about){.id = 1, .tag = "sea", .importance = 0.3});
    read_file(world, &words[0], &docs[0]);
    keep(world, "the harbour by night", (struct about){.id = 1, .tag = "sea", .importance = 0.4});
    read_file(world, &words[1], &docs[1]);
    keep(world, "the harbour by night", (struct about){.id = 1, .tag = "dry", .importance = 0.4});
    read_file(world, &words[2], &docs[2]);
    assert_true(sha256_eq(&words[0], &words[1]));
    assert_false(sha256_eq(&docs[0], &docs[1]));
    assert_false(sha256_eq(&words[1], &words[2]));
    assert_as_rebuilt(world);
}

static void an_emptied_ledger_leaves_an_empty_index(void **state)
{
    struct world *world = *state;

    for (unsigned i = 1; i <= 200; i++) {
        keep(world, "here for now", (struct about){.id = i, .session = i % 3});
    }
    assert_answer(world, "nowhere", "");
    for (unsigned i = 1; i <= 200; i++) {
        delete_of(world->home, id_of(i));
    }
    assert_as_rebuilt(world);
    assert_answer(world, "here", "");
    AUTO(free_ptr) char *all = dump(world);
    assert_string_equal(all, "\n\n0 0 0 0 0\n");
}

static void a_decision_over_many_changes_is_followed(void **state)
{
    AUTO(decision_done) struct decision decision;
    struct world *world = *state;
    struct written written;
    struct err err = ERR_INIT;

    decision_init(&decision);
    for (unsigned i = 1; i <= 300; i++) {
        keep(world, "precious", (struct about){.id = i, .session = i % 5});
    }
    for (unsigned i = 1; i <= 300; i++) {
        struct written gone = delete_of(world->home, id_of(i));
        ranges_add(&decision.ranges, &gone.origin, gone.seq);
    }
    assert_answer(world, "precious", "");
    decision.alert = id_of(2000000);
    decision.rule = xstrdup("deletes");
    decision.actor = xstrdup("test");
    decision.summary = xstrdup("300 deletions");
    decision.person = xstrdup("");
    decision.started_us = HOME_NOW_US;
    struct draft draft = {
        .kind = KIND_GUARD, .op = OP_HOLD, .decision = &decision, .source = "test"};
    assert_ok(write_draft(world->home, &draft, &written, &err), &err);
    assert_int_equal(written.code, ERR_NONE);
    AUTO(answer_done) struct answer answer = ask(world, "precious");
    assert_int_equal(answer.count, 10);
    assert_as_rebuilt(world);
}

static uint64_t steps_of(struct reader *reader)
{
    uint64_t steps = 0;

    for (int i = 0; i < SQL_COUNT; i++) {
        sqlite3_stmt *statement = reader->conn.statements[i];
        if (statement != NULL) {
            steps += (uint64_t)sqlite3_stmt_status(statement, SQLITE_STMTSTATUS_VM_STEP, 0);
        }
    }
    return steps;
}

/* What SQLite does on the ledger while the index follows what is not in it yet. */
static uint64_t steps_to_follow(struct world *world)
{
    AUTO(free_ptr) char *folder = path_join(world->home->path, "live");
    struct cursors cursors = {.items = NULL};
    struct index_file *file;
    struct reader *reader;
    size_t changes;
    struct err err = ERR_INIT;

    assert_ok(index_file_open(folder, INDEX_FILE_KEEP, &file, &err), &err);
    assert_ok(cursors_load(&cursors, file, &err), &err);
    assert_ok(read_begin(world->home->ledger, &reader, &err), &err);
    uint64_t before = steps_of(reader);
    assert_ok(feed_batch(file, reader, &cursors, &changes, &err), &err);
    assert_int_equal(changes, 1);
    uint64_t steps = steps_of(reader) - before;
    read_end(reader);
    cursors_done(&cursors);
    index_file_close(file);
    return steps;
}

/* A recovery names all that it brought, which nobody held. */
static void what_releases_nothing_is_not_read_again(void **state)
{
    struct world *world = *state;
    struct err err = ERR_INIT;

    struct written written = keep(world, "precious", (struct about){.id = 1});
    assert_ok(index_wait(world->index, deadline_in(PATIENCE_MS), &err), &err);
    world_close(world);
    decide(world, 1, DECISION_ACCEPTED, &written);
    uint64_t alone = steps_to_follow(world);
    decide(world, 2, DECISION_HELD, &written);
    uint64_t held = steps_to_follow(world);
    decide(world, 2, DECISION_ACCEPTED, &written);
    uint64_t released = steps_to_follow(world);
    assert_true(alone < held);
    assert_true(alone < released);
    world_open(world);
    assert_as_rebuilt(world);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)
    const struct CMUnitTest tests[] = {
        TEST(following_and_rebuilding_come_to_the_same),
        TEST(words_that_stay_are_left_where_they_are),
        TEST(an_emptied_ledger_leaves_an_empty_index),
        TEST(a_decision_over_many_changes_is_followed),
        TEST(what_releases_nothing_is_not_read_again),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
