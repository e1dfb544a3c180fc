/* What can go wrong with the vault, the disk and the system: told in words, the live ledger as it
 * was. */
#include "recover/world.h"

#include <dirent.h>
#include <fcntl.h>

/* ---- a vault that lies ---- */

enum lie {
    LIE_HEAD_FAILS,
    LIE_HEAD_IO,
    LIE_SCAN_FAILS,
    LIE_SHORT,
    LIE_HASH,
    LIE_GAP,
    LIE_RECORD,
};

/* The file vault with one thing wrong. */
struct liar {
    struct vault vault; /* first, as in every driver */
    struct vault *honest;
    enum lie lie;
    vault_scan_fn *each;
    void *arg;
};

static int liar_head(struct vault *vault, struct vault_head **ret, size_t *ret_count,
                     struct deadline deadline, struct err *err)
{
    struct liar *liar = (struct liar *)vault;

    if (liar->lie == LIE_HEAD_FAILS) {
        return err_set(err, ERR_TIMEOUT, "no answer");
    }
    if (liar->lie == LIE_HEAD_IO) {
        return err_set(err, ERR_IO, "the other disk failed");
    }
    int result = liar->honest->ops->head(liar->honest, ret, ret_count, deadline, err);
    if (result == 0 && liar->lie == LIE_HASH) {
        (*ret)[0].hash.bytes[7] ^= 1;
    }
    if (result == 0 && liar->lie == LIE_SHORT) {
        (*ret)[0].seq += 3;
    }
    return result;
}

static int pass_on(void *arg, const struct change *change, struct err *err)
{
    struct liar *liar = arg;

    if (change->seq == 15 && liar->lie == LIE_SCAN_FAILS) {
        return err_set(err, ERR_NOT_FOUND, "the stick was pulled out");
    }
    if (change->seq == 15 && liar->lie == LIE_GAP) {
        return 0;
    }
    if (change->seq == 15 && liar->lie == LIE_RECORD) {
        struct change other = *change;
        other.prev.bytes[3] ^= 1;
        return liar->each(liar->arg, &other, err);
    }
    return liar->each(liar->arg, change, err);
}

static int liar_scan(struct vault *vault, const struct vault_filter *filter, vault_scan_fn *each,
                     void *arg, struct deadline deadline, struct err *err)
{
    struct liar *liar = (struct liar *)vault;

    liar->each = each;
    liar->arg = arg;
    return liar->honest->ops->scan(liar->honest, filter, pass_on, liar, deadline, err);
}

static int recover_from_liar(struct world *world, enum lie lie, struct err *err)
{
    struct vault_ops ops = vault_file_ops;
    struct recover_request request = all();
    struct recover_report report;

    vault_open_on(world, true);
    ops.head = liar_head;
    ops.scan = liar_scan;
    ops.salvage = NULL;
    struct liar liar = {.vault = {.ops = &ops}, .honest = world->vault, .lie = lie};
    struct recover_context context = {
        .ledger = world->home.ledger, .vault = &liar.vault, .vault_spec = "liar:there"};
    int result = recover_run(&context, &request, &report, err);
    if (result == 0) {
        recover_report_done(&report);
    }
    vault_shut(world);
    assert_staging_empty(world);
    return result;
}

static void a_vault_that_fails_leaves_the_ledger_alone(void **state)
{
    struct world *world = *state;
    struct err err = ERR_INIT;

    put_many(world, 20);
    sync_all(world);
    wreck(world);
    put_text(world, (struct text){900, "odd", 1, "in the new home"});
    struct snapshot before = snap(world);

    assert_refused(recover_from_liar(world, LIE_HEAD_FAILS, &err), &err, ERR_TIMEOUT, "no answer");
    assert_refused(recover_from_liar(world, LIE_HEAD_IO, &err), &err, ERR_UNAVAILABLE,
                   "liar:there: the other disk");
    assert_refused(recover_from_liar(world, LIE_SCAN_FAILS, &err), &err, ERR_UNAVAILABLE,
                   "liar:there: ");
    assert_refused(recover_from_liar(world, LIE_SHORT, &err), &err, ERR_CORRUPT, "not there");
    assert_refused(recover_from_liar(world, LIE_HASH, &err), &err, ERR_CORRUPT, "hash");
    assert_refused(recover_from_liar(world, LIE_GAP, &err), &err, ERR_CORRUPT, "change 15 ");
    assert_refused(recover_from_liar(world, LIE_RECORD, &err), &err, ERR_CORRUPT, "change 15 ");
    assert_same_state(before, snap(world));
    (void)assert_verifies(&world->home);
    (void)expect_planned(world, all(), 20, 1, 0);
}

static void a_vault_that_cannot_be_scanned_is_refused(void **state)
{
    struct world *world = *state;
    struct vault_ops ops = vault_file_ops;
    struct vault vault = {.ops = &ops};
    struct recover_context context = {
        .ledger = world->home.ledger, .vault = &vault, .vault_spec = "webhook:there"};
    struct recover_request request = all();
    struct recover_report report;
    struct err err = ERR_INIT;

    ops.caps = 0;
    assert_refused(recover_run(&context, &request, &report, &err), &err, ERR_USAGE,
                   "webhook:there");
}

/* ---- the system ---- */

/*
 * Fail the Nth passing of a fault for N = 1, 2, 3 ... until a recovery gets through. Whatever
 * happens, what is there after a restart is as before or as after, and when the recovery said that
 * it was done, as after.
 */
static unsigned fail_each(struct world *world, const char *fault, struct recover_request request,
                          unsigned step, const struct snapshot *before,
                          const struct snapshot *after)
{
    AUTO(free_ptr)
    char *save = xprintf("rm -rf '%s.save' && cp -a '%s' '%s.save'", world->home.path,
                         world->home.path, world->home.path);
    AUTO(free_ptr)
    char *back = xprintf("rm -rf '%s' && cp -a '%s.save' '%s'", world->home.path, world->home.path,
                         world->home.path);
    unsigned failed = 0;
    bool done = false;

    home_close(&world->home);
    assert_int_equal(system(save), 0);
    for (unsigned n = 1; !done; n += step) {
        AUTO(free_ptr) char *at = xprintf("%s:%u", fault, n);
        struct recover_report report;
        struct err err = ERR_INIT;
        assert_int_equal(system(back), 0);
        home_open(&world->home);
        vault_open_on(world, true);
        fault_set(at);
        int result = run_recovery(world, &request, &report, &err);
        fault_set(NULL);
        if (result == 0) {
            done = true;
            recover_report_done(&report);
        } else {
            failed++;
        }
        restart(world);
        assert_staging_empty(world);
        (void)assert_verifies(&world->home);
        struct snapshot found = snap(world);
        bool is_after = memcmp(&found.hash, &after->hash, sizeof(found.hash)) == 0;
        if (!is_after && (done || memcmp(&found.hash, &before->hash, sizeof(found.hash)) != 0)) {
            print_error("%s: neither as before nor as after (%s)\n", at, err.message);
            fail();
        }
        home_close(&world->home);
    }
    home_open(&world->home);
    return failed;
}

struct sweep {
    struct snapshot before;
    struct snapshot after;
    struct recover_request request;
};

/* Ten memories in the vault, some here; what a recovery makes of it. */
static struct sweep begin_sweep(struct world *world, unsigned here)
{
    struct sweep sweep = {.request = all()};
    struct recover_request dry = all();
    AUTO(free_ptr)
    char *keep = xprintf("rm -rf '%s.keep' && cp -a '%s' '%s.keep'", world->home.path,
                         world->home.path, world->home.path);
    AUTO(free_ptr)
    char *back = xprintf("rm -rf '%s' && mv '%s.keep' '%s'", world->home.path, world->home.path,
                         world->home.path);

    put_many(world, 10);
    env_fake_advance_ms(&world->home.env, MINUTE_MS);
    put_text(world, (struct text){2, "even", 1, "overwritten"});
    (void)delete_of(&world->home, id_of(3));
    sync_all(world);
    wreck(world);
    for (unsigned i = 0; i < here; i++) {
        put_text(world, (struct text){100 + i, "new", 1, "in the new home"});
    }
    sweep.request.at_us = HOME_NOW_US;
    sweep.request.project_id = here > 0 ? "odd" : NULL;
    sweep.before = snap(world);
    home_close(&world->home);
    assert_int_equal(system(keep), 0);
    home_open(&world->home);
    dry = sweep.request;
    struct recover_report report = recovered(world, &dry);
    recover_report_done(&report);
    sweep.after = snap(world);
    home_close(&world->home);
    assert_int_equal(system(back), 0);
    home_open(&world->home);
    return sweep;
}

static void sweep_fault(struct world *world, unsigned here, const char *fault, unsigned step,
                        unsigned at_least)
{
    struct sweep sweep = begin_sweep(world, here);
    unsigned failed = fail_each(world, fault, sweep.request, step, &sweep.before, &sweep.after);

    if (failed < at_least) {
        print_error("%s: only %u failed\n", fault, failed);
        fail();
    }
}

static void each_failing_statement_leaves_old_or_new(void **state)
{
    sweep_fault(*state, 0, "ledger.sql", 1, 50);
}

static void each_failing_statement_of_a_copy_leaves_old_or_new(void **state)
{
    sweep_fault(*state, 60, "ledger.sql", 1, 50);
}

static void a_full_disk_leaves_old_or_new(void **state)
{
    sweep_fault(*state, 0, "ledger.sql.full", 7, 5);
}

static void each_failing_sync_leaves_old_or_new(void **state)
{
    sweep_fault(*state, 0, "file.fsync", 1, 3);
}

static void each_failing_open_leaves_old_or_new(void **state)
{
    sweep_fault(*state, 0, "file.open", 1, 3);
}

static void each_fault_of_its_own_leaves_the_old(void **state)
{
    sweep_fault(*state, 60, "recover.copy", 1, 1);
    sweep_fault(*state, 0, "recover.scan", 1, 1);
    sweep_fault(*state, 0, "recover.thread", 1, 1);
    sweep_fault(*state, 0, "recover.verify", 1, 1);
    sweep_fault(*state, 0, "recover.exchange", 1, 1);
    sweep_fault(*state, 0, "ledger.seal.fsync", 1, 2);
    sweep_fault(*state, 0, "ledger.checkpoint", 1, 1);
}

static void a_full_disk_says_so(void **state)
{
    struct world *world = *state;
    struct recover_request request = all();
    struct recover_report report;
    struct err err = ERR_INIT;

    put_many(world, 20);
    sync_all(world);
    wreck(world);
    vault_open_on(world, true);
    fault_set("ledger.sql.full:30");
    assert_refused(run_recovery(world, &request, &report, &err), &err, ERR_FULL, "full");
    fault_set(NULL);
    assert_staging_empty(world);
    assert_int_equal(snap(world).memories, 0);
    (void)expect_counts(world, &request, 20, 0, 0);
}

/* ---- remains ---- */

static void remains_of_a_dead_recovery_are_removed(void **state)
{
    struct world *world = *state;
    AUTO(free_ptr)
    char *make =
        xprintf("mkdir -p '%s/staging/x/y' && touch '%s/staging/x/ledger.db' '%s/staging/file'",
                world->home.path, world->home.path, world->home.path);
    struct err err = ERR_INIT;

    assert_int_equal(system(make), 0);
    assert_ok(recover_clean(world->home.path, &err), &err);
    assert_staging_empty(world);
    assert_ok(recover_clean(world->home.path, &err), &err);
    assert_ok(recover_clean(world->root, &err), &err); /* no home at all */
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_vault_that_fails_leaves_the_ledger_alone),
        TEST(a_vault_that_cannot_be_scanned_is_refused),
        TEST(each_failing_statement_leaves_old_or_new),
        TEST(each_failing_statement_of_a_copy_leaves_old_or_new),
        TEST(a_full_disk_leaves_old_or_new),
        TEST(each_failing_sync_leaves_old_or_new),
        TEST(each_failing_open_leaves_old_or_new),
        TEST(each_fault_of_its_own_leaves_the_old),
        TEST(a_full_disk_says_so),
        TEST(remains_of_a_dead_recovery_are_removed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
