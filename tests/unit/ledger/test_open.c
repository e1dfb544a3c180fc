/* Opening, and what can happen to the files: two engines, newer schemas, foreign files, no room,
 * gone, exchanged. */
#include "ledger/chain.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>

#include "ledger/schema.h"

static int try_open(struct home *home, const char *path, struct ledger **ret, struct err *err)
{
    struct ledger_options options = {
        .home = path, .env = &home->env.env, .who = "another test (pid 1)"};

    return ledger_open(&options, ret, err);
}

static void a_second_engine_is_refused_and_told_who_holds_it(void **state)
{
    struct home *home = *state;
    struct ledger *second;
    struct err err = ERR_INIT;

    assert_refused(try_open(home, home->path, &second, &err), &err, ERR_BUSY,
                   "held by a test (pid ");
    home_close(home);
    assert_ok(try_open(home, home->path, &second, &err), &err);
    ledger_close(second);
    home_open(home);
}

static void what_a_lock_says_may_be_missing(void **state)
{
    struct home *home = *state;
    AUTO(free_ptr) char *lock = path_join(home->path, "lock");
    struct ledger *second;
    struct err err = ERR_INIT;

    assert_int_equal(truncate(lock, 0), 0);
    assert_refused(try_open(home, home->path, &second, &err), &err, ERR_BUSY, "another engine");
}

static void a_home_is_made_for_its_owner_alone(void **state)
{
    struct home *home = *state;
    AUTO(free_ptr) char *deep = path_join(home->path, "a/b/c");
    AUTO(free_ptr) char *file = path_join(deep, "live/ledger.db");
    struct ledger *ledger;
    struct stat now;
    struct err err = ERR_INIT;

    assert_ok(try_open(home, deep, &ledger, &err), &err);
    assert_int_equal(stat(deep, &now), 0);
    assert_int_equal(now.st_mode & 07777, 0700);
    assert_int_equal(stat(file, &now), 0);
    assert_int_equal(now.st_mode & 07777, 0600);
    assert_string_equal(ledger_home(ledger), deep);
    assert_ptr_equal(ledger_env(ledger), &home->env.env);
    ledger_close(ledger);
}

static void a_home_that_is_a_file_is_refused(void **state)
{
    struct home *home = *state;
    AUTO(free_ptr) char *lock = path_join(home->path, "lock");
    struct ledger *ledger;
    struct err err = ERR_INIT;

    assert_int_not_equal(try_open(home, lock, &ledger, &err), 0);
    assert_non_null(strstr(err.message, "lock"));
}

static void an_installation_keeps_its_origin(void **state)
{
    struct home *home = *state;
    struct uuid first = ledger_origin(home->ledger);

    home_close(home);
    home_open(home);
    struct uuid second = ledger_origin(home->ledger);
    assert_true(uuid_eq(&first, &second));
    assert_false(uuid_is_nil(&first));
}

/* ---- schemas ---- */

static void alter(struct home *home, const char *sql)
{
    AUTO(free_ptr) char *path = xprintf("%s/live/ledger.db", home->path);
    sqlite3 *db = NULL;

    home_close(home);
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

static void assert_not_opened(struct home *home, enum err_code code, const char *part)
{
    struct ledger *ledger;
    struct err err = ERR_INIT;

    assert_refused(try_open(home, home->path, &ledger, &err), &err, code, part);
}

static void a_newer_schema_is_refused_in_words(void **state)
{
    alter(*state, "PRAGMA user_version = 3");
    assert_not_opened(*state, ERR_NEWER,
                      "a newer Holdfast wrote this file (schema 3; this one knows up to 2)");
}

static void a_file_of_another_program_is_refused_and_left_alone(void **state)
{
    alter(*state, "PRAGMA application_id = 77");
    assert_not_opened(*state, ERR_CORRUPT, "not a ledger");
    alter(*state, "PRAGMA application_id = 0");
    assert_not_opened(*state, ERR_CORRUPT, "not a ledger");
}

static void a_file_that_is_no_database_is_refused(void **state)
{
    struct home *home = *state;
    AUTO(free_ptr) char *path = xprintf("%s/live/ledger.db", home->path);
    struct err err = ERR_INIT;

    home_close(home);
    assert_ok(
        file_replace(
            path,
            STR("this is no database, but it is long enough to look like one, one would think, "
                "at a first glance that does not look too closely at it at all"),
            0600, &err),
        &err);
    assert_not_opened(home, ERR_CORRUPT, "ledger.db");
}

/* A later version adds a step; a crash within it leaves the file as it was. */
static const char *const later_steps[] = {
    NULL,
    NULL, /* the real ones */
    "CREATE TABLE later(a INTEGER) STRICT; INSERT INTO later VALUES(1);",
    "ALTER TABLE later ADD COLUMN b INTEGER;",
    "this is not SQL",
};

static int64_t run_steps(struct home *home, size_t count, int expected)
{
    AUTO(free_ptr) char *path = xprintf("%s/live/ledger.db", home->path);
    const char *steps[5];
    struct conn conn;
    int64_t version = 0;
    struct err err = ERR_INIT;

    memcpy(steps, later_steps, sizeof(steps));
    memcpy(steps, schema_steps, schema_version * sizeof(*steps));
    assert_ok(conn_open(&conn, path, SQLITE_OPEN_READWRITE, &err), &err);
    assert_int_equal(schema_run(&conn, steps, count, &err), expected);
    assert_ok(conn_pragma_i64(&conn, "user_version", &version, &err), &err);
    if (expected < 0) {
        assert_non_null(strstr(err.message, "migration step 5"));
    }
    conn_close(&conn);
    return version;
}

static void an_older_file_is_migrated_step_by_step(void **state)
{
    struct home *home = *state;

    put(home, id_of(1), "from before");
    home_close(home);
    assert_int_equal(run_steps(home, 3, 0), 3);
    assert_int_equal(run_steps(home, 4, 0), 4);
    assert_int_equal(run_steps(home, 4, 0), 4);
    assert_int_equal(run_steps(home, 5, -ERR_INTERNAL), 4);
    assert_not_opened(home, ERR_NEWER, "schema 4");
    alter(home, "PRAGMA user_version = 2");
    home_open(home);
    assert_content(home, id_of(1), "from before");
}

static void a_file_from_before_there_were_sources_gets_their_table(void **state)
{
    struct source_position position = {.source = "app", .text = "0/1"};
    struct home *home = *state;
    struct err err = ERR_INIT;

    put(home, id_of(1), "from before");
    alter(home, "DROP TABLE source; PRAGMA user_version = 1");
    home_open(home);
    assert_content(home, id_of(1), "from before");
    assert_ok(ledger_write_source(home->ledger, NULL, 0, &position, NULL, &err), &err);
}

/* ---- the files go ---- */

static void run(const char *format, const char *path)
{
    AUTO(free_ptr) char *command = NULL;

    assert_true(asprintf(&command, "%s '%s'", format, path) > 0);
    assert_int_equal(system(command), 0);
}

static void assert_stopped(struct home *home, enum err_code code, const char *part)
{
    AUTO(memory_done) struct memory memory = memory_of("too late");
    struct draft draft = {.kind = KIND_MEMORY, .memory = &memory, .source = "test"};
    struct written written;
    struct err err = ERR_INIT;

    assert_refused(write_draft(home, &draft, &written, &err), &err, code, part);
    assert_refused(ledger_health(home->ledger, &err), &err, code, part);
    assert_refused(write_draft(home, &draft, &written, &err), &err, code, part);
}

static void a_removed_store_stops_writing_but_can_still_be_read(void **state)
{
    struct home *home = *state;
    struct reader *readers[2];
    struct err err = ERR_INIT;

    put(home, id_of(1), "unsent");
    assert_ok(ledger_check_store(home->ledger, &err), &err);
    assert_ok(ledger_health(home->ledger, &err), &err);
    run("rm -rf", home->ledger->live);
    assert_refused(ledger_check_store(home->ledger, &err), &err, ERR_VANISHED, "removed");
    assert_stopped(home, ERR_VANISHED, "ledger.db was removed");
    assert_content(home, id_of(1), "unsent");
    assert_int_equal(assert_verifies(home), 2);
    assert_ok(read_begin(home->ledger, &readers[0], &err), &err);
    assert_int_equal(home->ledger->pool_idle, 0);
    read_end(readers[0]);
}

static void a_removed_log_is_noticed(void **state)
{
    struct home *home = *state;

    put(home, id_of(1), "unsent");
    run("rm", home->ledger->files[1].path);
    assert_stopped(home, ERR_VANISHED, "ledger.db-wal was removed");
}

static void a_replaced_store_is_noticed(void **state)
{
    struct home *home = *state;
    struct err err = ERR_INIT;

    put(home, id_of(1), "unsent");
    run("f() { cp \"$1\" \"$1.x\" && mv \"$1.x\" \"$1\"; }; f", home->ledger->files[0].path);
    assert_refused(ledger_check_store(home->ledger, &err), &err, ERR_VANISHED, "replaced");
    assert_stopped(home, ERR_VANISHED, "replaced");
}

/* ---- no room ---- */

static void must(bool ok, const char *what)
{
    if (!ok) {
        fprintf(stderr, "child: %s\n", what);
        _exit(3);
    }
}

/* A file system of 3 MiB where we may mount one, else a limit on the length of files. */
static bool make_small(const char *path)
{
    if (unshare(CLONE_NEWNS) == 0 && mount("none", "/", "none", MS_REC | MS_PRIVATE, NULL) == 0 &&
        mount("none", path, "tmpfs", 0, "size=3m") == 0) {
        return true;
    }
    struct rlimit limit = {2 << 20, RLIM_INFINITY};
    (void)signal(SIGXFSZ, SIG_IGN);
    must(setrlimit(RLIMIT_FSIZE, &limit) == 0, "setrlimit");
    return false;
}

static void give_room(const char *ballast, bool mounted)
{
    struct rlimit none = {RLIM_INFINITY, RLIM_INFINITY};

    must(mounted ? unlink(ballast) == 0 : setrlimit(RLIMIT_FSIZE, &none) == 0, "giving room");
}

static int put_numbered(struct ledger *ledger, unsigned number, struct err *err)
{
    AUTO(memory_done) struct memory memory = memory_of("x");
    struct draft draft = {.kind = KIND_MEMORY, .memory = &memory, .source = "child"};
    struct written written;

    memory.id = id_of(number);
    free(memory.content);
    memory.content_len = 4000;
    memory.content = xcalloc(1, memory.content_len + 1);
    memset(memory.content, 'x', memory.content_len);
    return ledger_write(ledger, &draft, 1, false, &written, err);
}

static void child_fills_the_disk(const char *path)
{
    bool mounted = make_small(path);
    AUTO(free_ptr) char *home = path_join(path, "home");
    AUTO(free_ptr) char *ballast = path_join(path, "ballast");
    struct ledger_options options = {.home = home, .env = env_system(), .who = "a child"};
    struct ledger *ledger;
    struct ledger_counts counts;
    struct reader *reader;
    struct verify_result result;
    struct err err = ERR_INIT;
    unsigned n = 0;

    int fd = open(ballast, O_WRONLY | O_CREAT, 0600);
    must(fd >= 0 && posix_fallocate(fd, 0, 1 << 20) == 0 && close(fd) == 0, "ballast");
    must(ledger_open(&options, &ledger, &err) == 0, err.message);
    while (n < 5000 && put_numbered(ledger, n, &err) == 0) {
        n++;
    }
    must(n > 50 && n < 5000, "it never became full, or at once");
    must(err.code == ERR_FULL && strstr(err.message, "nothing was lost") != NULL, err.message);
    must(ledger_health(ledger, &err) == 0, "a full disk stopped the ledger");
    must(put_numbered(ledger, n, &err) == -ERR_FULL, "the second try");
    must(read_begin(ledger, &reader, &err) == 0 && read_counts(reader, &counts, &err) == 0,
         err.message);
    must(counts.memories == n, "lost or half");
    read_end(reader);
    give_room(ballast, mounted);
    must(put_numbered(ledger, n, &err) == 0, err.message);
    must(read_begin(ledger, &reader, &err) == 0 && read_verify(reader, &result, &err) == 0 &&
             result.ok,
         "verify");
    must(read_counts(reader, &counts, &err) == 0 && counts.memories == n + 1, "count");
    read_end(reader);
    ledger_close(ledger);
}

static void a_full_disk_is_told_in_words_and_passes(void **state)
{
    struct home *home = *state;
    AUTO(free_ptr) char *small = path_join(home->path, "small");
    struct err err = ERR_INIT;
    int status;

    assert_ok(file_mkdirs(small, 0700, &err), &err);
    home_close(home); /* no threads at the fork */
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        child_fills_the_disk(small);
        free_ptr(&small);
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

/* ---- a checkpoint that fails is a disk that fails ---- */

static void a_failed_checkpoint_stops_the_ledger(void **state)
{
#ifdef HOLDFAST_FAULTS
    struct home *home = *state;
    struct err err = ERR_INIT;

    fault_set("ledger.checkpoint:1");
    for (unsigned i = 0; i < 5000 && put_numbered(home->ledger, i, &err) == 0; i++) {
    }
    fault_set(NULL);
    assert_int_equal(err.code, ERR_IO);
    assert_stopped(home, ERR_IO, "ledger.db");
    home_close(home);
    home_open(home);
    assert_verifies(home);
#else
    (void)state;
    skip();
#endif
}

/* ---- the folder is exchanged under it ---- */

struct exchange {
    struct home *home;
    struct chain *chain;
    struct ledger *ledger;
    bool fail_after;
};

static int import_one(void *arg, const struct change *change, struct err *err)
{
    bool new;

    return store_import(arg, change, &new, err);
}

/* What a recovery does: stage a copy of all, with more; exchange the folders. */
static int exchange(void *arg, const char *live, bool *ret_exchanged, struct err *err)
{
    struct exchange *exchange = arg;
    AUTO(free_ptr) char *staged = path_join(exchange->home->path, "staged");
    struct uuid origin = ledger_origin(exchange->ledger);
    struct reader *reader;
    struct store *store;

    assert_ok(read_begin(exchange->ledger, &reader, err), err);
    assert_ok(store_open(staged, STORE_BULK, &exchange->home->env.env, &store, err), err);
    assert_ok(store_begin(store, err), err);
    assert_ok(store_set_origin(store, &origin, err), err);
    assert_ok(read_changes(reader, &origin, 0, SIZE_MAX, import_one, store, err), err);
    assert_ok(import_one(store, chain_memory(exchange->chain, PUT(id_of(50), "recovered", 1)), err),
              err);
    assert_ok(store_commit(store, err), err);
    assert_ok(store_seal(store, err), err);
    store_close(store);
    read_end(reader);
    assert_int_equal(renameat2(AT_FDCWD, staged, AT_FDCWD, live, RENAME_EXCHANGE), 0);
    assert_ok(file_sync_dir(exchange->home->path, err), err);
    *ret_exchanged = true;
    return exchange->fail_after ? err_set(err, ERR_CANCELLED, "on second thoughts") : 0;
}

static void a_ledger_follows_an_exchange_of_its_folder(void **state)
{
    struct home *home = *state;
    struct uuid origin = ledger_origin(home->ledger);
    struct chain chain;
    struct exchange arg = {.home = home, .chain = &chain, .ledger = home->ledger};
    struct reader *old;
    struct verify_result result;
    struct wake wake;
    struct err err = ERR_INIT;

    chain_init(&chain, 1);
    put(home, id_of(1), "mine");
    assert_ok(wake_init(&wake, &err), &err);
    ledger_subscribe(home->ledger, &wake);
    assert_ok(read_begin(home->ledger, &old, &err), &err);
    assert_ok(ledger_with_writer_paused(home->ledger, exchange, &arg, &err), &err);
    assert_true(wake_wait(&wake, deadline_in(0)));
    assert_content(home, id_of(50), "recovered");
    assert_content(home, id_of(1), "mine");
    assert_ok(ledger_check_store(home->ledger, &err), &err);
    assert_ok(read_verify(old, &result, &err), &err); /* goes on with the old files */
    assert_int_equal(result.changes, 2);
    put(home, id_of(2), "afterwards");
    read_end(old); /* must not touch the new log */
    struct uuid still = ledger_origin(home->ledger);
    assert_true(uuid_eq(&origin, &still));
    assert_int_equal(assert_verifies(home), 4);
    ledger_unsubscribe(home->ledger, &wake);
    wake_done(&wake);
    home_close(home);
    home_open(home);
    assert_content(home, id_of(2), "afterwards");
    chain_done(&chain);
}

static void an_error_after_the_exchange_does_not_hide_it(void **state)
{
    struct home *home = *state;
    struct chain chain;
    struct exchange arg = {
        .home = home, .chain = &chain, .ledger = home->ledger, .fail_after = true};
    struct err err = ERR_INIT;

    chain_init(&chain, 1);
    put(home, id_of(1), "mine");
    assert_refused(ledger_with_writer_paused(home->ledger, exchange, &arg, &err), &err,
                   ERR_CANCELLED, "second thoughts");
    assert_content(home, id_of(50), "recovered");
    assert_int_equal(put(home, id_of(2), "goes on").seq, 3);
    chain_done(&chain);
}

static int exchange_for_nothing(void *arg, const char *live, bool *ret_exchanged, struct err *err)
{
    (void)arg;
    (void)err;
    run("rm -rf", live);
    assert_int_equal(mkdir(live, 0700), 0);
    AUTO(free_ptr) char *file = path_join(live, "ledger.db");
    run("echo a file of something quite different, which is not for us to read >", file);
    *ret_exchanged = true;
    return 0;
}

static void an_exchange_for_something_unreadable_stops_the_ledger(void **state)
{
    struct home *home = *state;
    struct err err = ERR_INIT;

    put(home, id_of(1), "mine");
    assert_refused(ledger_with_writer_paused(home->ledger, exchange_for_nothing, NULL, &err), &err,
                   ERR_CORRUPT, "after the exchange");
    assert_stopped(home, ERR_CORRUPT, "after the exchange");
    assert_refused(ledger_with_writer_paused(home->ledger, exchange_for_nothing, NULL, &err), &err,
                   ERR_CORRUPT, "");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, home_setup, home_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_second_engine_is_refused_and_told_who_holds_it),
        TEST(what_a_lock_says_may_be_missing),
        TEST(a_home_is_made_for_its_owner_alone),
        TEST(a_home_that_is_a_file_is_refused),
        TEST(an_installation_keeps_its_origin),
        TEST(a_newer_schema_is_refused_in_words),
        TEST(a_file_of_another_program_is_refused_and_left_alone),
        TEST(a_file_that_is_no_database_is_refused),
        TEST(an_older_file_is_migrated_step_by_step),
        TEST(a_file_from_before_there_were_sources_gets_their_table),
        TEST(a_removed_store_stops_writing_but_can_still_be_read),
        TEST(a_removed_log_is_noticed),
        TEST(a_replaced_store_is_noticed),
        TEST(a_full_disk_is_told_in_words_and_passes),
        TEST(a_failed_checkpoint_stops_the_ledger),
        TEST(a_ledger_follows_an_exchange_of_its_folder),
        TEST(an_error_after_the_exchange_does_not_hide_it),
        TEST(an_exchange_for_something_unreadable_stops_the_ledger),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
