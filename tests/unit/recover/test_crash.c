/*
 * kill -9 at every crash point that a recovery passes: afterwards there is the ledger as it was, or
 * the recovered one, whole.
 *
 * The recovery runs in a process of its own (this program again), which HOLDFAST_CRASH_AT ends.
 * Which points there are is what a first run logs.
 */
#include "recover/world.h"

#include <signal.h>

#define POINTS_MAX 200

/* What the child does; the name is its argument. */
struct scenario {
    const char *name;
    struct recover_request request;
    bool undo;
};

static struct scenario scenario_of(const char *name)
{
    struct scenario scenario = {.name = name, .request = all()};

    if (strcmp(name, "part") == 0) {
        scenario.request.project_id = "odd";
    } else if (strcmp(name, "moment") == 0 || strcmp(name, "part of a moment") == 0) {
        scenario.request.at_us = HOME_NOW_US;
        scenario.request.project_id = strcmp(name, "moment") == 0 ? NULL : "odd";
    }
    scenario.undo = strcmp(name, "undo") == 0;
    return scenario;
}

/* ---- the child ---- */

static int act(struct ledger *ledger, const char *vault_path, const struct scenario *scenario,
               struct err *err)
{
    struct recover_report report;
    struct vault *vault;

    if (scenario->undo) {
        int result = recover_undo(ledger, NULL, "test", NULL, &report, err);
        if (result == 0) {
            recover_report_done(&report);
        }
        return result;
    }
    struct vault_options options = {.name = "test",
                                    .target = vault_path,
                                    .installation = ledger_origin(ledger),
                                    .env = env_system(),
                                    .read_only = true};
    int result = vault_file_ops.open(&options, &vault, err);
    if (result < 0) {
        return result;
    }
    struct recover_context context = {.ledger = ledger, .vault = vault, .vault_spec = vault_path};
    result = recover_run(&context, &scenario->request, &report, err);
    if (result == 0) {
        recover_report_done(&report);
    }
    vault->ops->close(vault);
    return result;
}

static int child(const char *name, const char *home, const char *vault_path)
{
    struct scenario scenario = scenario_of(name);
    struct env_fake env;
    struct ledger *ledger;
    struct err err = ERR_INIT;

    env_fake_init(&env, HOME_NOW_US + 3600 * 1000000LL, (uint64_t)getpid());
    struct ledger_options options = {.home = home, .env = &env.env, .who = "the child"};
    int result = recover_clean(home, &err);
    if (result == 0) {
        result = ledger_open(&options, &ledger, &err);
    }
    if (result == 0) {
        result = act(ledger, vault_path, &scenario, &err);
        ledger_close(ledger);
    }
    if (result < 0) {
        (void)fprintf(stderr, "child: %s\n", err.message);
    }
    return result == 0 ? 0 : 1;
}

/* ---- the parent ---- */

/* Run the child with one variable in its environment; how it ended, as waitpid says. */
static int run_child(struct world *world, const char *name, const char *variable, const char *value)
{
    int status = 0;
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0) {
        if (variable != NULL) {
            (void)setenv(variable, value, 1);
        }
        (void)execl("/proc/self/exe", "test_recover_crash", name, world->home.path,
                    world->vault_path, (char *)NULL);
        _exit(127);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

static void run_shell(char *command)
{
    assert_int_equal(system(command), 0);
    free(command);
}

static void put_back(struct world *world)
{
    run_shell(xprintf("rm -rf '%s' && cp -a '%s.before' '%s'", world->home.path, world->home.path,
                      world->home.path));
}

/* What the home holds now, with all proofs; opened as an engine would, and closed again. */
static struct snapshot look(struct world *world)
{
    struct err err = ERR_INIT;

    assert_ok(recover_clean(world->home.path, &err), &err);
    assert_staging_empty(world);
    home_open(&world->home);
    (void)assert_verifies(&world->home);
    struct snapshot snapshot = snap(world);
    home_close(&world->home);
    return snapshot;
}

static bool equal(const struct snapshot *a, const struct snapshot *b)
{
    return a->memories == b->memories && a->deleted == b->deleted &&
           memcmp(&a->hash, &b->hash, sizeof(a->hash)) == 0;
}

static size_t read_points(const char *path, char points[POINTS_MAX][64])
{
    FILE *file = fopen(path, "re");
    size_t count = 0;

    assert_non_null(file);
    while (count < POINTS_MAX && fscanf(file, "%63s", points[count]) == 1) {
        /* How a ledger is made is tested with the ledger. */
        count += strncmp(points[count], "ledger.migrate.", 15) == 0 ? 0 : 1;
    }
    (void)fclose(file);
    return count;
}

/* Dies at one point; what is left is old or new. From an old one a second try gets there. True: it
 * was old. */
static bool die_at(struct world *world, const char *name, const char *point,
                   const struct snapshot *before, const struct snapshot *after)
{
    put_back(world);
    int status = run_child(world, name, "HOLDFAST_CRASH_AT", point);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGKILL);
    struct snapshot found = look(world);
    bool is_old = equal(&found, before);
    if (!is_old && !equal(&found, after)) {
        print_error("%s: killed at %s: neither old nor new\n", name, point);
        fail();
    }
    if (is_old && strncmp(point, "recover.", 8) == 0) {
        assert_int_equal(run_child(world, name, NULL, NULL), 0);
        found = look(world);
        assert_true(equal(&found, after));
    }
    return is_old;
}

/* The home is closed, and as it should be before the recovery. */
static void survive_all(struct world *world, const char *name)
{
    static char points[POINTS_MAX][64];
    AUTO(free_ptr) char *log = path_join(world->root, "points");
    size_t old = 0;

    run_shell(xprintf("rm -rf '%s.before' && cp -a '%s' '%s.before'", world->home.path,
                      world->home.path, world->home.path));
    struct snapshot before = look(world);
    put_back(world);
    (void)unlink(log);
    assert_int_equal(run_child(world, name, "HOLDFAST_CRASH_LOG", log), 0);
    struct snapshot after = look(world);
    assert_false(equal(&before, &after));
    size_t count = read_points(log, points);
    assert_true(count > 3 && count < POINTS_MAX);
    for (size_t i = 0; i < count; i++) {
        old += die_at(world, name, points[i], &before, &after) ? 1 : 0;
    }
    assert_true(old > 0 && old < count);
    home_open(&world->home);
}

static void put_and_lose(struct world *world, unsigned count)
{
    put_many(world, count);
    env_fake_advance_ms(&world->home.env, MINUTE_MS);
    (void)delete_of(&world->home, id_of(1));
    put_text(world, (struct text){2, "even", 1, "overwritten"});
    sync_all(world);
    wreck(world);
}

static void a_recovery_into_an_empty_home_survives_kill_9(void **state)
{
    struct world *world = *state;

    put_and_lose(world, 12);
    home_close(&world->home);
    survive_all(world, "all");
}

static void a_recovery_into_a_larger_home_survives_kill_9(void **state)
{
    struct world *world = *state;

    put_and_lose(world, 12);
    for (unsigned i = 0; i < 80; i++) {
        put_text(world, (struct text){100 + i, "new", 1, "in the new home"});
    }
    home_close(&world->home);
    survive_all(world, "part");
}

static void a_moment_from_the_vault_survives_kill_9(void **state)
{
    struct world *world = *state;

    put_and_lose(world, 12);
    put_text(world, (struct text){900, "new", 1, "in the new home"});
    home_close(&world->home);
    survive_all(world, "part of a moment");
}

static void a_moment_of_the_own_journal_survives_kill_9(void **state)
{
    struct world *world = *state;

    put_many(world, 12);
    env_fake_advance_ms(&world->home.env, MINUTE_MS);
    (void)delete_of(&world->home, id_of(1));
    put_text(world, (struct text){2, "even", 1, "overwritten"});
    sync_all(world);
    home_close(&world->home);
    survive_all(world, "moment");
}

static void an_undo_survives_kill_9(void **state)
{
    struct world *world = *state;
    struct recover_request request = all();

    put_and_lose(world, 12);
    (void)expect_counts(world, &request, 11, 1, 0);
    home_close(&world->home);
    survive_all(world, "undo");
}

int main(int argc, char **argv)
{
    if (argc == 4) {
        return child(argv[1], argv[2], argv[3]);
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_recovery_into_an_empty_home_survives_kill_9, world_setup,
                                        world_teardown),
        cmocka_unit_test_setup_teardown(a_recovery_into_a_larger_home_survives_kill_9, world_setup,
                                        world_teardown),
        cmocka_unit_test_setup_teardown(a_moment_from_the_vault_survives_kill_9, world_setup,
                                        world_teardown),
        cmocka_unit_test_setup_teardown(a_moment_of_the_own_journal_survives_kill_9, world_setup,
                                        world_teardown),
        cmocka_unit_test_setup_teardown(an_undo_survives_kill_9, world_setup, world_teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
