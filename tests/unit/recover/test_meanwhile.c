/* What goes on while a recovery runs: writers, readers, a second recovery, cancellation, the index.
 */
#include "recover/world.h"

#include <pthread.h>
#include <sched.h>

struct writer;

/* Called at a step of the recovery. */
struct hook {
    struct world *world;
    const char *step;
    void (*act)(struct world *world);
    struct writer *writers; /* WRITERS of them, whose turn it is at that step; NULL: none */
    bool done;
};

static void let_write(struct writer *writers);

static void at_step(void *arg, const char *step, uint64_t done, uint64_t total)
{
    struct hook *hook = arg;

    (void)done;
    (void)total;
    if (!hook->done && strcmp(step, hook->step) == 0) {
        hook->done = true;
        if (hook->act != NULL) {
            hook->act(hook->world);
        }
        if (hook->writers != NULL) {
            let_write(hook->writers);
        }
    }
}

static int recover_hooked(struct world *world, const struct recover_request *request,
                          struct hook *hook, struct recover_report *ret, struct err *err)
{
    vault_open_on(world, true);
    hook->world = world;
    struct recover_context context = {.ledger = world->home.ledger,
                                      .index = world->index,
                                      .vault = world->vault,
                                      .vault_spec = world->vault_spec,
                                      .progress = at_step,
                                      .progress_arg = hook,
                                      .cancel = world->cancel};
    int result = recover_run(&context, request, ret, err);
    vault_shut(world);
    assert_true(hook->done);
    assert_staging_empty(world);
    return result;
}

/* ---- writers ---- */

#define WRITERS 2

struct writer {
    struct world *world;
    pthread_t thread;
    unsigned first;
    _Atomic unsigned acknowledged; /* memories first .. first + acknowledged - 1 are durable */
    _Atomic bool stop;
    _Atomic bool failed;
    char failure[256];
};

static void *write_on(void *arg)
{
    struct writer *writer = arg;
    struct err err = ERR_INIT;

    while (!writer->stop && !writer->failed) {
        struct text text = {writer->first + writer->acknowledged, "meanwhile", 9,
                            "while recovering"};
        if (put_text_result(writer->world, text, &err) < 0) {
            (void)snprintf(writer->failure, sizeof(writer->failure), "%.200s", err.message);
            writer->failed = true;
        } else {
            writer->acknowledged++;
        }
    }
    return NULL;
}

/* The recovery stands still until each writer was acknowledged something that it began while it
 * stood. */
static void let_write(struct writer *writers)
{
    for (int i = 0; i < WRITERS; i++) {
        unsigned before = writers[i].acknowledged;
        while (writers[i].acknowledged < before + 2 && !writers[i].failed) {
            (void)sched_yield();
        }
    }
}

static void what_is_remembered_while_recovering_survives(void **state)
{
    struct world *world = *state;
    struct recover_request request = all();
    struct writer writers[WRITERS] = {{.world = world, .first = 10000},
                                      {.world = world, .first = 20000}};
    struct hook hook = {.step = "import", .writers = writers};
    struct recover_report report;
    struct err err = ERR_INIT;

    put_many(world, 1000);
    sync_all(world);
    wreck(world);
    for (int i = 0; i < WRITERS; i++) {
        assert_int_equal(pthread_create(&writers[i].thread, NULL, write_on, &writers[i]), 0);
    }
    int result = recover_hooked(world, &request, &hook, &report, &err);
    for (int i = 0; i < WRITERS; i++) {
        writers[i].stop = true;
        (void)pthread_join(writers[i].thread, NULL);
        assert_string_equal(writers[i].failure, "");
    }
    assert_ok(result, &err);
    assert_int_equal(report.recovered_count, 1000);
    recover_report_done(&report);
    for (int pass = 0; pass < 2; pass++) {
        for (int i = 0; i < WRITERS; i++) {
            for (unsigned k = 0; k < writers[i].acknowledged; k++) {
                assert_content(&world->home, id_of(writers[i].first + k), "while recovering");
            }
        }
        assert_int_equal(snap(world).memories,
                         1000 + writers[0].acknowledged + writers[1].acknowledged);
        restart(world);
        (void)assert_verifies(&world->home);
    }
}

static void write_everything_anew(struct world *world)
{
    put_text(world, (struct text){1, "odd", 1, "newest"});
    put_text(world, (struct text){70, "odd", 1, "made meanwhile"});
    (void)delete_of(&world->home, id_of(4));
}

/* After the plan was made, so that only the catching up can know of it. */
static void what_is_written_meanwhile_is_not_taken_back(void **state)
{
    struct world *world = *state;
    struct recover_request request = all();
    struct hook hook = {.step = "activate", .act = write_everything_anew};
    struct recover_report report;
    struct err err = ERR_INIT;

    put_many(world, 10);
    env_fake_advance_ms(&world->home.env, MINUTE_MS);
    request.at_us = HOME_NOW_US + 1;
    for (unsigned i = 1; i <= 6; i++) {
        put_text(world, (struct text){i, "odd", 1, "overwritten"});
    }
    sync_all(world);
    assert_ok(recover_hooked(world, &request, &hook, &report, &err), &err);
    assert_int_equal(report.recovered_count, 4);
    assert_int_equal(report.skipped_count, 6);
    recover_report_done(&report);
    assert_content(&world->home, id_of(1), "newest");
    assert_content(&world->home, id_of(2), "memory number 2");
    assert_content(&world->home, id_of(4), NULL);
    assert_content(&world->home, id_of(70), "made meanwhile");
    (void)assert_verifies(&world->home);
}

static void make_another(struct world *world)
{
    put_text(world, (struct text){70, "odd", 1, "made meanwhile"});
}

/* Between the look at the ledger and its copy. */
static void what_is_made_meanwhile_is_not_counted_as_recovered(void **state)
{
    struct world *world = *state;
    struct recover_request request = all();
    struct hook hook = {.step = "copy", .act = make_another};
    struct recover_report report;
    struct err err = ERR_INIT;

    put_many(world, 10);
    sync_all(world);
    wreck(world);
    for (unsigned i = 0; i < 20; i++) {
        put_text(world, (struct text){100 + i, "odd", 1, "here already"});
    }
    assert_ok(recover_hooked(world, &request, &hook, &report, &err), &err);
    assert_int_equal(report.recovered_count, 10);
    recover_report_done(&report);
    assert_content(&world->home, id_of(70), "made meanwhile");
    (void)assert_verifies(&world->home);
}

static void a_staged_moment_spares_what_is_written_meanwhile(void **state)
{
    struct world *world = *state;
    struct recover_request request = all();
    struct hook hook = {.step = "activate", .act = write_everything_anew};
    struct recover_report report;
    struct err err = ERR_INIT;

    put_many(world, 10);
    env_fake_advance_ms(&world->home.env, MINUTE_MS);
    request.at_us = HOME_NOW_US + 1;
    put_text(world, (struct text){2, "odd", 1, "overwritten"});
    put_text(world, (struct text){3, "odd", 1, "overwritten"});
    sync_all(world);
    wreck(world);
    put_many(world, 4); /* the same in the new home, which the hook changes */
    assert_ok(recover_hooked(world, &request, &hook, &report, &err), &err);
    recover_report_done(&report);
    assert_content(&world->home, id_of(1), "newest");
    assert_content(&world->home, id_of(3), "memory number 3");
    assert_content(&world->home, id_of(9), "memory number 9");
    assert_content(&world->home, id_of(70), "made meanwhile");
    (void)assert_verifies(&world->home);
}

/* ---- a second one ---- */

static void try_another(struct world *world)
{
    struct vault *first = world->vault;
    struct recover_request request = all();
    struct recover_report report;
    struct err err = ERR_INIT;

    world->vault = NULL;
    assert_refused(run_recovery(world, &request, &report, &err), &err, ERR_CONFLICT,
                   "another recovery");
    assert_refused(recover_undo(world->home.ledger, NULL, "test", NULL, &report, &err), &err,
                   ERR_CONFLICT, "another recovery");
    world->vault = first;
    /* Nor does a start of another engine take its things away. */
    assert_ok(recover_clean(world->home.path, &err), &err);
}

static void one_recovery_at_a_time(void **state)
{
    struct world *world = *state;
    struct recover_request request = all();
    struct hook hook = {.step = "validate", .act = try_another};
    struct recover_report report;
    struct err err = ERR_INIT;

    put_many(world, 20);
    sync_all(world);
    wreck(world);
    assert_ok(recover_hooked(world, &request, &hook, &report, &err), &err);
    assert_int_equal(report.recovered_count, 20);
    recover_report_done(&report);
    (void)expect_counts(world, &request, 0, 20, 0);
}

/* ---- cancellation ---- */

static void cancel(struct world *world)
{
    wake_cancel(world->cancel);
}

static void a_cancelled_recovery_leaves_nothing(void **state)
{
    static const char *const steps[] = {"copy", "import", "validate", "plan"};
    struct world *world = *state;
    struct recover_request request = all();

    put_many(world, 200);
    sync_all(world);
    wreck(world);
    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        struct hook hook = {.step = steps[i], .act = cancel};
        struct recover_report report;
        struct wake wake;
        struct err err = ERR_INIT;
        assert_ok(wake_init(&wake, &err), &err);
        world->cancel = &wake;
        assert_refused(recover_hooked(world, &request, &hook, &report, &err), &err, ERR_CANCELLED,
                       "cancelled");
        assert_int_equal(snap(world).memories, 0);
        wake_done(&wake);
    }
    world->cancel = NULL;
    (void)expect_counts(world, &request, 200, 0, 0);
}

/* ---- readers ---- */

/* One that is open over the exchange sees what it saw, and its end does not touch the new files. */
static void a_reader_keeps_its_view_over_the_exchange(void **state)
{
    struct world *world = *state;
    struct recover_request request = all();
    struct reader *reader;
    struct err err = ERR_INIT;

    put_many(world, 20);
    sync_all(world);
    wreck(world);
    put_text(world, (struct text){300, "odd", 1, "before"});
    assert_ok(read_begin(world->home.ledger, &reader, &err), &err);
    (void)expect_counts(world, &request, 20, 1, 0);
    assert_int_equal(snap_of(reader).memories, 1);
    put_text(world, (struct text){301, "odd", 1, "after"});
    read_end(reader);
    put_text(world, (struct text){302, "odd", 1, "after that"});
    assert_int_equal(snap(world).memories, 23);
    restart(world);
    assert_int_equal(snap(world).memories, 23);
    (void)assert_verifies(&world->home);
}

/* ---- full text ---- */

static size_t hits(struct world *world, const char *words)
{
    struct search_query query = {.text = words, .limit = 100};
    struct search_hit *found;
    struct err err = ERR_INIT;
    size_t count;

    query.filter = (struct memory_filter)MEMORY_FILTER_INIT;
    assert_ok(index_search(world->index, &query, deadline_in(30000), &found, &count, &err), &err);
    search_hits_free(found, count);
    return count;
}

static void full_text_follows(struct world *world, unsigned more)
{
    struct recover_request request = all();

    put_text(world, (struct text){501, "one", 1, "kelp clings to the rock"});
    put_text(world, (struct text){502, "two", 2, "kelp lets go"});
    sync_all(world);
    wreck(world);
    for (unsigned i = 0; i < more; i++) {
        put_text(world, (struct text){1000 + i, "one", 3, "a stone in the sea"});
    }
    index_on(world);
    assert_int_equal(hits(world, "kelp"), 0);
    request.project_id = "one";
    AUTO(recover_report_done) struct recover_report part = recovered(world, &request);
    assert_int_equal(hits(world, "kelp"), 1);
    request.project_id = NULL;
    AUTO(recover_report_done) struct recover_report rest = recovered(world, &request);
    assert_int_equal(hits(world, "kelp"), 2);
    undo(world, &part.id, 1);
    assert_int_equal(hits(world, "kelp"), 1);
    undo(world, &rest.id, 1);
    assert_int_equal(hits(world, "kelp"), 0);
    assert_int_equal(hits(world, "stone"), more < 100 ? more : 100);
}

static void full_text_follows_into_an_empty_home(void **state)
{
    full_text_follows(*state, 0);
}

static void full_text_follows_into_a_larger_home(void **state)
{
    full_text_follows(*state, 90);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)
    const struct CMUnitTest tests[] = {
        TEST(what_is_remembered_while_recovering_survives),
        TEST(what_is_written_meanwhile_is_not_taken_back),
        TEST(what_is_made_meanwhile_is_not_counted_as_recovered),
        TEST(a_staged_moment_spares_what_is_written_meanwhile),
        TEST(one_recovery_at_a_time),
        TEST(a_cancelled_recovery_leaves_nothing),
        TEST(a_reader_keeps_its_view_over_the_exchange),
        TEST(full_text_follows_into_an_empty_home),
        TEST(full_text_follows_into_a_larger_home),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
