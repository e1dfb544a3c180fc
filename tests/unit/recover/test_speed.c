/* How long a recovery takes: printed, and bounded so loosely that only a change of kind shows. */
#include "recover/world.h"

#include <time.h>

#include "base/num.h"

#define COUNT_DEFAULT 10000
#define BOUND_S 20 /* for the default count, on a slow and busy machine with sanitizers */
#define BATCH 1000

static unsigned count_wanted(void)
{
    const char *text = getenv("HOLDFAST_RECOVER_COUNT");
    struct err err = ERR_INIT;
    int64_t count = COUNT_DEFAULT;

    if (text != NULL) {
        assert_ok(num_parse_i64(str_of(text), BATCH, 10000000, "count", &count, &err), &err);
    }
    return (unsigned)count;
}

static double now_s(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static struct memory memory_at(struct world *world, unsigned number)
{
    static const char words[] =
        "the quick brown fox jumps over the lazy dog while agents remember what was decided and "
        "why: we use one writer, group commit and an append-only journal; never two words for one "
        "thing; the vault is outside of the home so that removing the home leaves it alone";
    AUTO(free_ptr) char *content = xprintf("%u %s", number, words + number % 40);
    struct memory memory = memory_of(content);

    memory.id = uuid_new(&world->home.env.env);
    memory.session_id = id_of(1000000 + number / 100);
    memory.project_id[0] = (char)('a' + number / 10000 % 20);
    return memory;
}

static void put_batch(struct world *world, unsigned from)
{
    static struct memory memories[BATCH];
    static struct draft drafts[BATCH];
    static struct written written[BATCH];
    struct err err = ERR_INIT;

    for (unsigned i = 0; i < BATCH; i++) {
        memories[i] = memory_at(world, from + i);
        drafts[i] = (struct draft){
            .kind = KIND_MEMORY, .op = OP_PUT, .memory = &memories[i], .source = "test"};
    }
    assert_ok(ledger_write(world->home.ledger, drafts, BATCH, true, written, &err), &err);
    for (unsigned i = 0; i < BATCH; i++) {
        assert_int_equal(written[i].code, ERR_NONE);
        memory_done(&memories[i]);
    }
    env_fake_advance_ms(&world->home.env, 1000);
}

static double step_began;
static const char *step_now;

static void print_step(void *arg, const char *step, uint64_t done, uint64_t total)
{
    (void)arg;
    (void)done;
    (void)total;
    if (step_now == NULL || strcmp(step, step_now) != 0) {
        double now = now_s();
        if (step_now != NULL) {
            print_message("  %-9s %7.3f s\n", step_now, now - step_began);
        }
        step_began = now;
        step_now = step;
    }
}

static double timed(struct world *world, struct recover_request request, uint64_t expected)
{
    struct recover_report report;
    struct err err = ERR_INIT;

    vault_open_on(world, true);
    struct recover_context context = {.ledger = world->home.ledger,
                                      .index = world->index,
                                      .vault = world->vault,
                                      .vault_spec = world->vault_spec,
                                      .progress = print_step};
    double started = now_s();
    step_now = NULL;
    assert_ok(recover_run(&context, &request, &report, &err), &err);
    print_step(NULL, "", 0, 0);
    double seconds = now_s() - started;
    assert_int_equal(report.recovered_count, expected);
    recover_report_done(&report);
    vault_shut(world);
    return seconds;
}

static void recovery_is_fast(void **state)
{
    struct world *world = *state;
    unsigned count = count_wanted();

    for (unsigned i = 0; i < count; i += BATCH) {
        put_batch(world, i);
    }
    struct snapshot before = snap(world);
    sync_all(world);
    wreck(world);

    index_on(world);
    double all_s = timed(world, all(), count);
    print_message("recovering %u memories: %.3f s (%.0f a second)\n", count, all_s,
                  (double)count / all_s);
    double waited = now_s();
    struct err err = ERR_INIT;
    assert_ok(index_wait(world->index, deadline_in(600000), &err), &err);
    print_message("full text ready %.3f s later\n", now_s() - waited);
    index_stop(world->index); /* what follows is about the ledger alone */
    world->index = NULL;
    assert_same_state(before, snap(world));
    double again_s = timed(world, all(), 0);
    print_message("a second time, nothing to do: %.3f s\n", again_s);
    double started = now_s();
    undo(world, NULL, count);
    print_message("undone (and verified): %.3f s\n", now_s() - started);
    double back_s = timed(world, all(), count);
    print_message("and back: %.3f s\n", back_s);
    if (count == COUNT_DEFAULT) {
        assert_true(all_s < BOUND_S);
    }
    if (count >= 20000) {
        wreck(world);
        struct recover_request request = all();
        request.project_id = "a";
        print_message("a project of it: %.3f s\n",
                      timed(world, request, 10000 * (1 + (count / 10000 - 1) / 20)));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(recovery_is_fast, world_setup, world_teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
