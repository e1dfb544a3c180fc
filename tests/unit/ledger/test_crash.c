/*
 * What was acknowledged is there after a crash at any instruction, and nothing is there by halves.
 *
 * Crash points are read from the environment once in a process, so that everything here that opens
 * a ledger does it in a child; the parent compares.
 */
#include "ledger/chain.h"

#ifdef HOLDFAST_FAULTS

#include <fcntl.h>
#include <signal.h>

struct place {
    char home[64];
    char acked[80]; /* numbers of what was acknowledged, one byte each */
};

static int setup(void **state)
{
    struct place *place = xcalloc(1, sizeof(*place));

    (void)snprintf(place->home, sizeof(place->home), "%s/hf-crash-XXXXXX", home_tmp());
    assert_non_null(mkdtemp(place->home));
    (void)snprintf(place->acked, sizeof(place->acked), "%s/acked", place->home);
    *state = place;
    return 0;
}

static void clean(const struct place *place, const char *unused);
static int run_child(void (*run)(const struct place *, const char *), const struct place *place,
                     const char *argument);

static int teardown(void **state)
{
    struct place *place = *state;

    (void)run_child(clean, place, NULL);
    assert_int_equal(rmdir(place->home), 0);
    free(place);
    return 0;
}

/* ---- the child that writes ---- */

#define ROUNDS 60

static void must(int result, const struct err *err)
{
    if (result < 0) {
        fprintf(stderr, "child: %s\n", err->message);
        _exit(3);
    }
}

static struct ledger *open_at(const struct place *place)
{
    struct ledger_options options = {.home = place->home, .env = env_system(), .who = "a child"};
    struct ledger *ledger;
    struct err err = ERR_INIT;

    must(ledger_open(&options, &ledger, &err), &err);
    return ledger;
}

static void ack(const struct place *place, uint8_t number)
{
    int fd = open(place->acked, O_WRONLY | O_CREAT | O_APPEND, 0600);

    if (fd < 0 || write(fd, &number, 1) != 1) {
        _exit(4);
    }
    (void)close(fd);
}

/* Memory n of project n % 3: put, changed, and every fifth deleted; its last state is acknowledged
 * as n. */
static void write_round(struct ledger *ledger, uint8_t n)
{
    AUTO(memory_done) struct memory memory = memory_of("first");
    struct draft drafts[2] = {
        {.kind = KIND_MEMORY, .memory = &memory, .source = "child"},
        {.kind = KIND_MEMORY, .op = OP_DELETE, .id = id_of(n), .source = "child"}};
    struct written written[2];
    struct err err = ERR_INIT;

    memory.id = id_of(n);
    memory.project_id[0] = (char)('p' + n % 3);
    must(ledger_write(ledger, drafts, 1, false, written, &err), &err);
    change_content(&memory, "second");
    must(ledger_write(ledger, drafts, n % 5 == 0 ? 2 : 1, true, written, &err), &err);
    if (n == 7) {
        AUTO(decision_done) struct decision decision;
        decision_init(&decision);
        decision.alert = id_of(900);
        decision.rule = xstrdup("r");
        decision.actor = xstrdup("a");
        decision.summary = xstrdup("s");
        decision.person = xstrdup("");
        decision.started_us = HOME_NOW_US;
        ranges_add(&decision.ranges, &written[0].origin, written[0].seq);
        struct draft draft = {
            .kind = KIND_GUARD, .op = OP_HOLD, .decision = &decision, .source = "guard"};
        must(ledger_write(ledger, &draft, 1, false, written, &err), &err);
    }
}

static int seal_staged(void *arg, const char *live, bool *ret_exchanged, struct err *err)
{
    const struct place *place = arg;
    AUTO(free_ptr) char *staged = path_join(place->home, "staged");
    struct store *store;
    int result = store_open(staged, STORE_BULK, env_system(), &store, err);

    (void)live;
    if (result == 0) {
        result = store_seal(store, err);
        store_close(store);
    }
    *ret_exchanged = true; /* to have it opened anew */
    return result;
}

static void child_writes(const struct place *place, const char *crash_at)
{
    struct err err = ERR_INIT;

    if (crash_at != NULL) {
        (void)setenv("HOLDFAST_CRASH_AT", crash_at, 1);
    }
    struct ledger *ledger = open_at(place);
    for (uint8_t n = 1; n <= ROUNDS; n++) {
        write_round(ledger, n);
        ack(place, n);
        if (n == 30) {
            must(ledger_with_writer_paused(ledger, seal_staged, (void *)(uintptr_t)place, &err),
                 &err);
        }
    }
    ledger_close(ledger);
    _exit(0);
}

/* ---- the child that looks ---- */

/* 0: not there, 1: "first", 2: as its round leaves it, 3: something else. */
static int stage_of(struct reader *reader, uint8_t n)
{
    AUTO(memory_done) struct memory memory;
    struct memory_state state;
    struct uuid id = id_of(n);
    struct err err = ERR_INIT;

    memory_init(&memory);
    if (read_memory(reader, &id, &memory, &state, &err) < 0) {
        return 0;
    }
    bool deleted = memory.deleted_us != TIME_NONE;
    if (strcmp(memory.content, "first") == 0 && !deleted) {
        return 1;
    }
    return strcmp(memory.content, "second") == 0 && deleted == (n % 5 == 0) ? 2 : 3;
}

static void check(bool ok, const char *what, int number)
{
    if (!ok) {
        fprintf(stderr, "after the crash: %s (%d)\n", what, number);
        _exit(5);
    }
}

static void child_looks(const struct place *place)
{
    uint8_t acked[256];
    int fd = open(place->acked, O_RDONLY);
    ssize_t count = fd < 0 ? 0 : read(fd, acked, sizeof(acked));
    struct ledger *ledger = open_at(place);
    struct reader *reader;
    struct verify_result result;
    struct err err = ERR_INIT;

    must(read_begin(ledger, &reader, &err), &err);
    must(read_verify(reader, &result, &err), &err);
    check(result.ok, result.reason, (int)result.bad_seq);
    for (int i = 0; i < count; i++) {
        int stage = stage_of(reader, acked[i]);
        check(stage == 2 || acked[i] == 7, "an acknowledged memory is not as it was", acked[i]);
    }
    int next = count == 0 ? 1 : acked[count - 1] + 1;
    check(stage_of(reader, (uint8_t)next) != 3, "a memory is there by halves", next);
    for (int n = next + 1; n <= ROUNDS; n++) {
        check(stage_of(reader, (uint8_t)n) == 0, "a memory is there that nobody wrote", n);
    }
    read_end(reader);
    write_round(ledger, 200); /* numbering goes on */
    must(read_begin(ledger, &reader, &err), &err);
    must(read_verify(reader, &result, &err), &err);
    check(result.ok, result.reason, (int)result.bad_seq);
    read_end(reader);
    ledger_close(ledger);
    _exit(0);
}

/* ---- the parent ---- */

static int wait_for(pid_t child)
{
    int status;

    assert_int_equal(waitpid(child, &status, 0), child);
    return status;
}

static pid_t start(void (*run)(const struct place *, const char *), const struct place *place,
                   const char *crash_at)
{
    pid_t child = fork();

    assert_true(child >= 0);
    if (child == 0) {
        run(place, crash_at);
    }
    return child;
}

static int run_child(void (*run)(const struct place *, const char *), const struct place *place,
                     const char *argument)
{
    return wait_for(start(run, place, argument));
}

static void look(const struct place *place, const char *unused)
{
    (void)unused;
    child_looks(place);
}

static void assert_whole(const struct place *place, const char *after)
{
    int status = run_child(look, place, NULL);

    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
        print_error("after a crash at %s\n", after);
        fail();
    }
}

/* An empty home again. Files have crash points, too: not in the parent, who would read the
 * environment then. */
static void clean(const struct place *place, const char *unused)
{
    struct err err = ERR_INIT;

    (void)unused;
    must(file_remove_tree(place->home, &err), &err);
    must(file_mkdirs(place->home, 0700, &err), &err);
    _exit(0);
}

static const char *const points[] = {
    "ledger.migrate.begin",       "ledger.migrate.tables",     "ledger.migrate.counted",
    "ledger.migrate.committed",   "ledger.origin.set",         "ledger.write.begin:3",
    "ledger.write.begin:40",      "ledger.journal.inserted",   "ledger.journal.inserted:2",
    "ledger.journal.inserted:50", "ledger.projection.updated", "ledger.projection.updated:31",
    "ledger.alert.updated",       "ledger.commit.before",      "ledger.commit.before:2",
    "ledger.commit.before:25",    "ledger.commit.after",       "ledger.commit.after:25",
    "ledger.answer.before",       "ledger.answer.before:20",   "ledger.log.extend",
    "ledger.log.extended",        "ledger.checkpoint.before",  "ledger.checkpoint.after",
    "ledger.checkpoint.before:2", "ledger.seal.synced",        "ledger.seal.after",
    "ledger.reopen.before",
};

static void a_crash_at_any_named_point_loses_nothing(void **state)
{
    struct place *place = *state;

    for (size_t i = 0; i < sizeof(points) / sizeof(points[0]); i++) {
        int status = run_child(child_writes, place, points[i]);
        if (!WIFSIGNALED(status)) {
            print_error("%s was not passed\n", points[i]);
            fail();
        }
        assert_whole(place, points[i]);
        assert_true(WIFEXITED(run_child(clean, place, NULL)));
    }
}

static void a_kill_at_any_moment_loses_nothing(void **state)
{
    struct place *place = *state;
    unsigned moment = 1;

    for (int i = 0; i < 20; i++) {
        pid_t child = start(child_writes, place, NULL);
        moment = moment * 1103515245 + 12345;
        (void)usleep(moment / 65536 % 40000);
        (void)kill(child, SIGKILL);
        (void)wait_for(child);
        assert_whole(place, "a random moment");
        assert_true(WIFEXITED(run_child(clean, place, NULL)));
    }
}

/* ---- SQL that fails ---- */

/* Fault number n of a put on a ledger that holds "acknowledged". 1: the put got through. */
static void child_meets_fault(const struct place *place, const char *fault_at)
{
    AUTO(memory_done) struct memory memory = memory_of("acknowledged");
    struct draft draft = {.kind = KIND_MEMORY, .memory = &memory, .source = "child"};
    struct ledger *ledger = open_at(place);
    bool full = strstr(fault_at, ".full") != NULL;
    struct written written;
    struct err err = ERR_INIT;

    memory.id = id_of(1);
    must(ledger_write(ledger, &draft, 1, false, &written, &err), &err);
    memory.id = id_of(2);
    memory.session_id = id_of(55); /* a new one, for more steps */
    fault_set(fault_at);
    int result = ledger_write(ledger, &draft, 1, false, &written, &err);
    fault_set(NULL);
    check(result == 0 || err.code == (full ? ERR_FULL : ERR_IO), err.message, (int)err.code);
    int again = ledger_write(ledger, &draft, 1, false, &written, &err);
    /* A full disk passes; a failed write or fsync is final until the next start. */
    check(again == 0 ? full || result == 0 : !full && err.code == ERR_IO, "the second try", again);
    check((ledger_health(ledger, &err) == 0) == (full || result == 0), "health", 0);
    ledger_close(ledger);

    ledger = open_at(place);
    struct reader *reader;
    struct verify_result verify;
    must(read_begin(ledger, &reader, &err), &err);
    must(read_verify(reader, &verify, &err), &err);
    check(verify.ok, verify.reason, 0);
    check(stage_of(reader, 1) == 3, "the acknowledged memory is lost", 1);
    check(verify.changes == 2 || verify.changes == 4, "half a request is there",
          (int)verify.changes);
    check(result < 0 || verify.changes == 4, "an acknowledged one is not there", 0);
    read_end(reader);
    ledger_close(ledger);
    _exit(result == 0 ? 1 : 0);
}

static void every_statement_may_fail(void **state, const char *name)
{
    struct place *place = *state;
    char fault_at[64];
    int status;
    int n = 0;

    do {
        (void)snprintf(fault_at, sizeof(fault_at), "%s:%d", name, ++n);
        status = run_child(child_meets_fault, place, fault_at);
        assert_true(WIFEXITED(status));
        if (WEXITSTATUS(status) > 1) {
            print_error("with %s\n", fault_at);
            fail();
        }
        assert_true(WIFEXITED(run_child(clean, place, NULL)));
    } while (WEXITSTATUS(status) == 0);
    assert_true(n > 8); /* begin, look-ups, rows, commit */
}

static void any_statement_of_a_write_may_fail(void **state)
{
    every_statement_may_fail(state, "ledger.sql");
}

static void the_disk_may_be_full_at_any_statement(void **state)
{
    every_statement_may_fail(state, "ledger.sql.full");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_crash_at_any_named_point_loses_nothing),
        TEST(a_kill_at_any_moment_loses_nothing),
        TEST(any_statement_of_a_write_may_fail),
        TEST(the_disk_may_be_full_at_any_statement),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

#else /* a build without crash points */

int main(void)
{
    return 0;
}

#endif
