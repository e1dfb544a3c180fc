/* Many threads at one ledger: group commit, the keeper, pauses, closing. Runs under
 * ThreadSanitizer. */
#include "ledger/home.h"

#include <pthread.h>
#include <stdatomic.h>

#define THREADS 64
#define EACH 50

struct worker {
    pthread_t thread;
    struct home *home;
    unsigned number;
    unsigned rounds;
    size_t drafts; /* in each request */
    size_t refused;
    enum err_code last;
};

static atomic_uint begun; /* workers that have a request to make */

/* Puts `rounds` requests; ids say which. */
static void *work(void *arg)
{
    struct worker *worker = arg;
    AUTO(memory_done) struct memory memory = memory_of("of a worker");
    struct draft *drafts = xcalloc(worker->drafts, sizeof(*drafts));
    struct written *written = xcalloc(worker->drafts, sizeof(*written));
    struct err err = ERR_INIT;

    atomic_fetch_add(&begun, 1);
    for (unsigned round = 0; round < worker->rounds; round++) {
        for (size_t i = 0; i < worker->drafts; i++) {
            drafts[i] = (struct draft){.kind = KIND_MEMORY, .memory = &memory, .source = "worker"};
        }
        if (worker->drafts == 1) {
            memory.id = id_of(worker->number * 100000 + round);
        }
        int result = ledger_write(worker->home->ledger, drafts, worker->drafts, round % 2 == 1,
                                  written, &err);
        if (result < 0) {
            worker->refused++;
            worker->last = err.code;
        } else {
            worker->refused += written[worker->drafts - 1].code != ERR_NONE;
        }
        written_done(written, worker->drafts);
    }
    free(drafts);
    free(written);
    return NULL;
}

static void start(struct worker *worker, struct home *home, unsigned number, unsigned rounds,
                  size_t drafts)
{
    *worker = (struct worker){.home = home, .number = number, .rounds = rounds, .drafts = drafts};
    assert_int_equal(pthread_create(&worker->thread, NULL, work, worker), 0);
}

static size_t join(struct worker *workers, size_t count)
{
    size_t refused = 0;

    for (size_t i = 0; i < count; i++) {
        assert_int_equal(pthread_join(workers[i].thread, NULL), 0);
        refused += workers[i].refused;
    }
    return refused;
}

/* The judge's place is used to make commits slow, so that requests pile up behind them: the first
 * waits for all workers. */
static int slow(void *arg, const struct effect *effects, size_t count,
                const struct judge_view *view, struct decision *ret_decisions, size_t *ret_count,
                struct err *err)
{
    (void)arg;
    (void)effects;
    (void)count;
    (void)view;
    (void)ret_decisions;
    (void)ret_count;
    (void)err;
    while (atomic_load(&begun) < THREADS) {
        (void)usleep(1000);
    }
    (void)usleep(20000);
    return 0;
}

static void settled(void *arg, bool committed)
{
    (void)arg;
    (void)committed;
}

static const struct ledger_judge slow_judge = {.judge = slow, .settled = settled};

static void *delete_slowly(void *arg)
{
    struct worker *worker = arg;

    for (unsigned i = 0; i < worker->rounds; i++) {
        delete_of(worker->home, id_of(i)); /* judged slowly: all others come meanwhile */
    }
    return NULL;
}

static void callers_that_wait_share_a_commit(void **state)
{
    struct home *home = *state;
    struct worker workers[THREADS];
    struct worker slow_one = {.home = home, .rounds = 30};

    for (unsigned i = 0; i < slow_one.rounds; i++) {
        put(home, id_of(i), "to be deleted");
    }
    home_close(home);
    atomic_store(&begun, 0);
    home->judge = &slow_judge;
    home_open(home);
    assert_int_equal(pthread_create(&slow_one.thread, NULL, delete_slowly, &slow_one), 0);
    for (unsigned i = 0; i < THREADS; i++) {
        start(&workers[i], home, i + 1, 2, 1);
    }
    assert_int_equal(join(workers, THREADS), 0);
    assert_int_equal(join(&slow_one, 1), 0);
    assert_true(ledger_commits(home->ledger) < 2 * THREADS + 30); /* there were as many requests */
    assert_int_equal(counts_of(home).memories, 2 * THREADS);
    assert_verifies(home);
}

/* A transaction that serves many fails for a reason that only one of them has. */
static void what_breaks_a_batch_is_tried_one_by_one(void **state)
{
#ifdef HOLDFAST_FAULTS
    struct home *home = *state;
    struct worker workers[THREADS];
    struct worker slow_one = {.home = home, .rounds = 3};

    for (unsigned i = 0; i < slow_one.rounds; i++) {
        put(home, id_of(i), "to be deleted");
    }
    home_close(home);
    atomic_store(&begun, 0);
    home->judge = &slow_judge;
    home_open(home);
    assert_int_equal(pthread_create(&slow_one.thread, NULL, delete_slowly, &slow_one), 0);
    (void)usleep(5000);
    fault_set("ledger.sql.odd:150");
    for (unsigned i = 0; i < THREADS; i++) {
        start(&workers[i], home, i + 1, 1, 1);
    }
    size_t refused = join(workers, THREADS);
    assert_int_equal(join(&slow_one, 1), 0);
    fault_set(NULL);
    assert_true(refused <= 1); /* when it met a batch of one */
    assert_int_equal(counts_of(home).memories, THREADS - refused);
    assert_verifies(home);
#else
    (void)state;
    skip();
#endif
}

static void nobody_is_forgotten_in_the_queue(void **state)
{
    struct home *home = *state;
    struct worker workers[THREADS];

    for (unsigned i = 0; i < THREADS; i++) {
        bool large = i % 16 == 0; /* some batches overflow */
        start(&workers[i], home, i + 1, large ? 4 : EACH, large ? 1500 : i % 4 == 0 ? 3 : 1);
    }
    assert_int_equal(join(workers, THREADS), 0);
    assert_int_equal(counts_of(home).memories, 4 * 4 * 1500 + EACH * (12 * 3 + 48));
    assert_verifies(home);
}

static void a_full_queue_makes_callers_wait_at_the_door(void **state)
{
    struct home *home = *state;
    struct worker workers[4];

    for (unsigned i = 0; i < 4; i++) {
        start(&workers[i], home, i + 1, 1, 20000); /* more than LEDGER_QUEUE_MAX together */
    }
    assert_int_equal(join(workers, 4), 0);
    assert_int_equal(counts_of(home).memories, 4 * 20000);
}

/* ---- the keeper ---- */

static off_t size_of(const struct home *home, const char *name)
{
    AUTO(free_ptr) char *path = path_join(home->ledger->live, name);
    struct stat now;

    assert_int_equal(stat(path, &now), 0);
    return now.st_size;
}

static void the_log_is_brought_into_the_file(void **state)
{
    struct home *home = *state;

    for (unsigned i = 0; i < 3000; i++) {
        put(home, id_of(i),
            "a memory of some length, so that pages fill up: the tide comes and goes");
    }
    assert_true(size_of(home, "ledger.db") > 512 * 1024);
    assert_true(size_of(home, "ledger.db-wal") < 16 * 1024 * 1024);
    home_close(home);
    home_open(home);
    assert_int_equal(counts_of(home).memories, 3000);
}

/* ---- subscribers ---- */

static void subscribers_hear_of_commits_that_say_something_new(void **state)
{
    struct home *home = *state;
    struct wake wake;
    struct err err = ERR_INIT;

    assert_ok(wake_init(&wake, &err), &err);
    ledger_subscribe(home->ledger, &wake);
    put(home, id_of(1), "news");
    assert_true(wake_wait(&wake, deadline_in(0)));
    assert_false(wake_wait(&wake, deadline_in(0)));
    put(home, id_of(1), "news"); /* unchanged */
    assert_false(wake_wait(&wake, deadline_in(0)));
    ledger_unsubscribe(home->ledger, &wake);
    put(home, id_of(1), "more news");
    assert_false(wake_wait(&wake, deadline_in(0)));
    wake_done(&wake);
}

/* ---- pauses and closing ---- */

static int count_pause(void *arg, const char *live, bool *ret_exchanged, struct err *err)
{
    int *count = arg;

    (void)ret_exchanged;
    if (access(live, F_OK) != 0) {
        return err_set(err, ERR_IO, "no live folder");
    }
    (void)usleep(1000);
    ++*count;
    return 0;
}

static void writers_go_on_after_pauses(void **state)
{
    struct home *home = *state;
    struct worker workers[8];
    struct err err = ERR_INIT;
    int pauses = 0;

    for (unsigned i = 0; i < 8; i++) {
        start(&workers[i], home, i + 1, EACH, 1);
    }
    for (int i = 0; i < 20; i++) {
        assert_ok(ledger_with_writer_paused(home->ledger, count_pause, &pauses, &err), &err);
    }
    assert_int_equal(join(workers, 8), 0);
    assert_int_equal(pauses, 20);
    assert_int_equal(counts_of(home).memories, 8 * EACH);
}

static int pause_again(void *arg, const char *live, bool *ret_exchanged, struct err *err)
{
    struct home *home = arg;
    AUTO(memory_done) struct memory memory = memory_of("from a pause");
    struct draft draft = {.kind = KIND_MEMORY, .memory = &memory, .source = "test"};
    struct written written;

    (void)live;
    (void)ret_exchanged;
    assert_refused(ledger_write(home->ledger, &draft, 1, false, &written, err), err, ERR_INTERNAL,
                   "within");
    return ledger_with_writer_paused(home->ledger, pause_again, arg, err);
}

static void a_pause_within_a_pause_is_refused(void **state)
{
    struct home *home = *state;
    struct err err = ERR_INIT;

    assert_refused(ledger_with_writer_paused(home->ledger, pause_again, home, &err), &err,
                   ERR_INTERNAL, "within");
    put(home, id_of(1), "the ledger goes on");
}

static void closing_finishes_what_waits_and_refuses_what_comes(void **state)
{
    struct home *home = *state;
    struct worker workers[8];

    for (unsigned i = 0; i < 8; i++) {
        start(&workers[i], home, i + 1, 1000, 1);
    }
    (void)usleep(2000);
    (void)pthread_mutex_lock(&home->ledger->mutex);
    home->ledger->closing =
        true; /* as ledger_close begins; it can't be called while others are inside */
    (void)pthread_mutex_unlock(&home->ledger->mutex);
    size_t refused = join(workers, 8);
    home_close(home);
    home_open(home);
    assert_int_equal(counts_of(home).memories, 8 * 1000 - refused);
    for (unsigned i = 0; i < 8; i++) {
        assert_true(workers[i].refused == 0 || workers[i].last == ERR_CANCELLED);
    }
    assert_verifies(home);
}

/* ---- readers beside writers ---- */

static void *read_all_the_time(void *arg)
{
    struct worker *worker = arg;
    struct err err = ERR_INIT;

    for (unsigned i = 0; i < worker->rounds; i++) {
        struct reader *reader;
        struct ledger_counts first;
        struct ledger_counts second;
        if (read_begin(worker->home->ledger, &reader, &err) < 0 ||
            read_counts(reader, &first, &err) < 0 || read_counts(reader, &second, &err) < 0) {
            worker->refused++;
            continue;
        }
        worker->refused += first.changes != second.changes; /* a snapshot doesn't move */
        read_end(reader);
    }
    return NULL;
}

static void readers_see_snapshots_while_others_write(void **state)
{
    struct home *home = *state;
    struct worker writers[4];
    struct worker readers[12]; /* more than are kept idle */

    for (unsigned i = 0; i < 4; i++) {
        start(&writers[i], home, i + 1, 200, 1);
    }
    for (unsigned i = 0; i < 12; i++) {
        readers[i] = (struct worker){.home = home, .rounds = 100};
        assert_int_equal(pthread_create(&readers[i].thread, NULL, read_all_the_time, &readers[i]),
                         0);
    }
    assert_int_equal(join(writers, 4), 0);
    assert_int_equal(join(readers, 12), 0);
    assert_true(home->ledger->pool_idle <= READERS_IDLE_MAX);
    assert_int_equal(home->ledger->pool_out, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, home_setup, home_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(callers_that_wait_share_a_commit),
        TEST(what_breaks_a_batch_is_tried_one_by_one),
        TEST(nobody_is_forgotten_in_the_queue),
        TEST(a_full_queue_makes_callers_wait_at_the_door),
        TEST(the_log_is_brought_into_the_file),
        TEST(subscribers_hear_of_commits_that_say_something_new),
        TEST(writers_go_on_after_pauses),
        TEST(a_pause_within_a_pause_is_refused),
        TEST(closing_finishes_what_waits_and_refuses_what_comes),
        TEST(readers_see_snapshots_while_others_write),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
