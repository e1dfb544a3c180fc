/* What can't come in as it is: what is behind a gap of the vault's, and behind a fork. */
#include "recover/world.h"

#include "base/fault.h"

/* As the guard holds a change of this installation's. */
static struct written hold_one(struct home *home, uint64_t seq)
{
    struct decision decision = {.alert = id_of(4711), .started_us = HOME_NOW_US};
    struct uuid own = ledger_origin(home->ledger);
    struct written written;
    struct err err = ERR_INIT;

    ranges_add(&decision.ranges, &own, seq);
    decision.rule = xstrdup("deletes");
    struct draft draft = {
        .kind = KIND_GUARD, .op = OP_HOLD, .decision = &decision, .source = "guard"};
    assert_ok(write_draft(home, &draft, &written, &err), &err);
    decision_done(&decision);
    return written;
}

static uint64_t seq_now(struct world *world)
{
    struct uuid own = ledger_origin(world->home.ledger);

    return head_of(world, &own).seq;
}

/* ---- gaps ---- */

/* The next memory's change can't be taken. */
static uint64_t put_gap(struct world *world, size_t number, unsigned id)
{
    put_text(world, (struct text){id, "odd", 1, "never taken"});
    world->gaps[number] = seq_now(world);
    return world->gaps[number];
}

static void assert_gap(const struct recover_report *report, size_t at, const struct uuid *origin,
                       uint64_t from, uint64_t to)
{
    assert_true(at < report->gaps.count);
    assert_true(uuid_eq(&report->gaps.items[at].origin, origin));
    assert_int_equal(report->gaps.items[at].from, from);
    assert_int_equal(report->gaps.items[at].to, to);
}

static void everything_but_the_gap_comes_back(void **state)
{
    struct world *world = *state;
    struct recover_request request = all();
    struct uuid lost = ledger_origin(world->home.ledger);

    put_many(world, 10);
    uint64_t gap = put_gap(world, 0, 100);
    put_text(world, (struct text){3, "odd", 1, "changed behind the gap"});
    put_text(world, (struct text){101, "even", 7, "made behind the gap"});
    sync_all(world);
    wreck(world);
    request.dry_run = true;
    AUTO(recover_report_done) struct recover_report plan = recovered(world, &request);
    assert_int_equal(plan.recovered_count, 11);
    assert_gap(&plan, 0, &lost, gap, gap);
    request.dry_run = false;
    AUTO(recover_report_done) struct recover_report report = recovered(world, &request);
    assert_int_equal(report.recovered_count, 11);
    assert_int_equal(report.gaps.count, 1);
    assert_gap(&report, 0, &lost, gap, gap);
    assert_content(&world->home, id_of(3), "changed behind the gap");
    assert_content(&world->home, id_of(101), "made behind the gap");
    assert_content(&world->home, id_of(9), "memory number 9");
    assert_int_equal(head_of(world, &lost).seq, gap - 1); /* as it was */
    (void)assert_verifies(&world->home);
    (void)expect_counts(world, &request, 0, 11, 0); /* the second time */
    restart(world);
    (void)assert_verifies(&world->home);
}

static void several_gaps_are_named_each(void **state)
{
    struct world *world = *state;
    struct recover_request request = all();
    struct uuid lost = ledger_origin(world->home.ledger);

    put_many(world, 5);
    uint64_t first = put_gap(world, 0, 100);
    (void)put_gap(world, 1, 101); /* right behind it */
    put_text(world, (struct text){6, "odd", 1, "in between"});
    uint64_t third = put_gap(world, 2, 102);
    put_text(world, (struct text){7, "odd", 1, "behind them"});
    uint64_t last = put_gap(world, 3, 103);
    sync_all(world);
    wreck(world);
    AUTO(recover_report_done) struct recover_report report = recovered(world, &request);
    assert_int_equal(report.recovered_count, 7);
    assert_int_equal(report.gaps.count, 3);
    assert_gap(&report, 0, &lost, first, first + 1);
    assert_gap(&report, 1, &lost, third, third);
    assert_gap(&report, 2, &lost, last, last);
    assert_content(&world->home, id_of(6), "in between");
    assert_content(&world->home, id_of(7), "behind them");
    (void)assert_verifies(&world->home);
    (void)expect_counts(world, &request, 0, 7, 0);
}

static void what_fills_the_gap_later_comes_back_too(void **state)
{
    struct world *world = *state;
    struct recover_request request = all();
    AUTO(free_ptr) char *away = xprintf("mv '%s' '%s.away'", world->home.path, world->home.path);
    AUTO(free_ptr) char *home = xprintf("mv '%s.away' '%s'", world->home.path, world->home.path);
    AUTO(free_ptr) char *fresh = xprintf("mv '%s' '%s.new'", world->home.path, world->home.path);
    AUTO(free_ptr)
    char *back = xprintf("rm -rf '%s' && mv '%s.new' '%s'", world->home.path, world->home.path,
                         world->home.path);

    put_many(world, 5);
    (void)put_gap(world, 0, 100);
    put_text(world, (struct text){6, "odd", 1, "behind it"});
    sync_all(world);
    world_close(world);
    assert_int_equal(system(away), 0);
    home_open(&world->home);
    AUTO(recover_report_done) struct recover_report report = recovered(world, &request);
    assert_int_equal(report.recovered_count, 6);
    world_close(world);
    assert_int_equal(system(fresh), 0);
    assert_int_equal(system(home), 0);
    home_open(&world->home); /* where it was made: the vault takes it after all */
    world->gaps[0] = 0;
    sync_all(world);
    world_close(world);
    assert_int_equal(system(back), 0);
    home_open(&world->home);
    AUTO(recover_report_done) struct recover_report rest = recovered(world, &request);
    assert_int_equal(rest.gaps.count, 0);
    assert_content(&world->home, id_of(100), "never taken");
    assert_content(&world->home, id_of(6), "behind it");
    assert_int_equal(snap(world).memories, 7);
    (void)assert_verifies(&world->home);
}

static void what_was_held_behind_a_gap_stays_held(void **state)
{
    struct world *world = *state;
    struct recover_request request = all();

    put_many(world, 5);
    (void)put_gap(world, 0, 100);
    put_text(world, (struct text){2, "odd", 1, "destroyed"});
    struct written hold = hold_one(&world->home, seq_now(world));
    assert_int_equal(hold.code, ERR_NONE);
    assert_content(&world->home, id_of(2), "memory number 2");
    sync_all(world);
    wreck(world);
    AUTO(recover_report_done) struct recover_report report = recovered(world, &request);
    assert_int_equal(report.recovered_count, 5);
    assert_content(&world->home, id_of(2), "memory number 2");
    (void)assert_verifies(&world->home);
}

static void a_recovery_behind_a_gap_is_undone(void **state)
{
    struct world *world = *state;
    struct recover_request request = all();

    put_many(world, 5);
    (void)put_gap(world, 0, 100);
    put_text(world, (struct text){6, "odd", 1, "behind it"});
    sync_all(world);
    wreck(world);
    AUTO(recover_report_done) struct recover_report report = recovered(world, &request);
    undo(world, &report.id, 6);
    assert_int_equal(snap(world).memories, 0);
    (void)expect_counts(world, &request, 6, 0, 0);
    (void)assert_verifies(&world->home);
}

/* ---- forks ---- */

struct older {
    struct world *world;
    char *copy;
    char *back;
};

/* A copy of the home as it is now. */
static struct older take_copy(struct world *world)
{
    struct older older = {world, xprintf("cp -a '%s' '%s.old'", world->home.path, world->home.path),
                          xprintf("rm -rf '%s' && mv '%s.old' '%s'", world->home.path,
                                  world->home.path, world->home.path)};

    home_close(&world->home);
    assert_int_equal(system(older.copy), 0);
    home_open(&world->home);
    return older;
}

static void put_back(struct older *older)
{
    home_close(&older->world->home);
    assert_int_equal(system(older->back), 0);
    home_open(&older->world->home);
    free(older->copy);
    free(older->back);
}

static void both_stories_of_a_fork_are_there(void **state)
{
    struct world *world = *state;
    struct recover_request request = all();

    put_many(world, 10);
    struct older older = take_copy(world);
    put_text(world, (struct text){50, "odd", 1, "one story"});
    put_text(world, (struct text){5, "odd", 1, "changed in it"});
    sync_all(world);
    put_back(&older);
    put_text(world, (struct text){60, "odd", 1, "another story"});
    put_text(world, (struct text){61, "odd", 1, "and it goes on, further than the vault"});
    put_text(world, (struct text){62, "odd", 1, "and on"});
    (void)expect_planned(world, all(), 2, 12, 0);
    assert_content(&world->home, id_of(50), "one story");
    assert_content(&world->home, id_of(5), "changed in it");
    assert_content(&world->home, id_of(60), "another story");
    assert_int_equal(snap(world).memories, 14);
    (void)expect_counts(world, &request, 0, 14, 0);
    restart(world);
    (void)assert_verifies(&world->home);
    assert_int_equal(snap(world).memories, 14);
}

static void a_fork_from_the_first_change_on_is_one_too(void **state)
{
    struct world *world = *state;
    struct older older = take_copy(world);

    put_text(world, (struct text){50, "odd", 1, "one story"});
    sync_all(world);
    put_back(&older);
    put_text(world, (struct text){60, "even", 2, "another story"});
    (void)expect_planned(world, all(), 1, 1, 0);
    assert_content(&world->home, id_of(50), "one story");
    assert_content(&world->home, id_of(60), "another story");
    (void)assert_verifies(&world->home);
}

static void both_changed_the_same_memory(void **state)
{
    struct world *world = *state;
    struct recover_request request = all();

    put_many(world, 3);
    struct older older = take_copy(world);
    env_fake_advance_ms(&world->home.env, MINUTE_MS);
    put_text(world, (struct text){1, "odd", 1, "one story"});
    sync_all(world);
    put_back(&older);
    env_fake_advance_ms(&world->home.env, MINUTE_MS);
    put_text(world, (struct text){1, "odd", 1, "another story, told later"});
    AUTO(recover_report_done) struct recover_report report = recovered(world, &request);
    assert_int_equal(report.conflict_count, 1);
    assert_content(&world->home, id_of(1), "another story, told later");
    (void)assert_verifies(&world->home);
}

static void a_fork_with_a_gap_in_it_comes_back(void **state)
{
    struct world *world = *state;
    struct uuid origin = ledger_origin(world->home.ledger);

    put_many(world, 4);
    struct older older = take_copy(world);
    put_text(world, (struct text){50, "odd", 1, "one story"});
    uint64_t gap = put_gap(world, 0, 100);
    put_text(world, (struct text){51, "odd", 1, "behind the gap"});
    sync_all(world);
    put_back(&older);
    put_text(world, (struct text){60, "odd", 1, "another story"});
    struct recover_request request = all();
    AUTO(recover_report_done) struct recover_report report = recovered(world, &request);
    assert_int_equal(report.recovered_count, 2);
    assert_int_equal(report.gaps.count, 1);
    assert_gap(&report, 0, &origin, gap, gap);
    assert_content(&world->home, id_of(51), "behind the gap");
    assert_int_equal(snap(world).memories, 7);
    (void)assert_verifies(&world->home);
    (void)expect_counts(world, &request, 0, 7, 0);
}

static void what_was_held_in_a_fork_stays_held(void **state)
{
    struct world *world = *state;
    struct recover_request request = all();

    put_many(world, 5);
    struct older older = take_copy(world);
    put_text(world, (struct text){2, "odd", 1, "destroyed"});
    struct written hold = hold_one(&world->home, seq_now(world));
    assert_int_equal(hold.code, ERR_NONE);
    sync_all(world);
    put_back(&older);
    put_text(world, (struct text){60, "odd", 1, "ours, under the number that the hold names"});
    AUTO(recover_report_done) struct recover_report report = recovered(world, &request);
    assert_int_equal(report.recovered_count, 0);
    assert_content(&world->home, id_of(2), "memory number 2");
    assert_content(&world->home, id_of(60), "ours, under the number that the hold names");
    (void)assert_verifies(&world->home);
}

/* As the engine does when it learns of the fork: then a home made anew gets both. */
static void a_fork_left_behind_comes_back_elsewhere(void **state)
{
    struct world *world = *state;
    struct uuid origin = ledger_origin(world->home.ledger);
    struct recover_request request = all();
    struct err err = ERR_INIT;
    bool renewed;

    put_many(world, 4);
    uint64_t common = seq_now(world);
    struct older older = take_copy(world);
    put_text(world, (struct text){50, "odd", 1, "one story"});
    sync_all(world);
    put_back(&older);
    put_text(world, (struct text){60, "odd", 1, "another story"});
    put_text(world, (struct text){2, "even", 1, "destroyed"});
    struct written hold = hold_one(&world->home, seq_now(world));
    assert_int_equal(hold.code, ERR_NONE);
    assert_ok(ledger_renew_origin(world->home.ledger, &origin, common, &renewed, &err), &err);
    assert_true(renewed);
    assert_ok(ledger_renew_origin(world->home.ledger, &origin, common, &renewed, &err), &err);
    assert_false(renewed); /* it is another one already */
    assert_int_equal(seq_now(world), 3);
    assert_content(&world->home, id_of(2), "memory number 2");
    put_text(world, (struct text){61, "odd", 1, "and it goes on"});
    (void)expect_planned(world, all(), 1, 6, 0);
    assert_int_equal(snap(world).memories, 7);
    (void)assert_verifies(&world->home);
    struct snapshot before = snap(world);

    world->left_out = origin; /* the vault has others there */
    sync_all(world);
    wreck(world);
    AUTO(recover_report_done) struct recover_report report = recovered(world, &request);
    assert_int_equal(report.recovered_count, 7);
    assert_same_state(before, snap(world));
    assert_content(&world->home, id_of(2), "memory number 2");
    (void)assert_verifies(&world->home);
}

/* Whichever statement fails, it goes on as the one that it was, with all it had. */
static void a_renewal_that_fails_changes_nothing(void **state)
{
    struct world *world = *state;
    struct uuid origin = ledger_origin(world->home.ledger);
    bool renewed = false;

    put_many(world, 3);
    uint64_t common = seq_now(world);
    put_text(world, (struct text){60, "odd", 1, "ours"});
    put_text(world, (struct text){61, "odd", 9, "ours, too"});
    struct snapshot before = snap(world);
    int n;
    for (n = 1; !renewed; n++) {
        AUTO(free_ptr) char *fault = xprintf("ledger.sql.full:%d", n);
        struct err err = ERR_INIT;
        fault_set(fault);
        int result = ledger_renew_origin(world->home.ledger, &origin, common, &renewed, &err);
        fault_set(NULL);
        struct uuid now = ledger_origin(world->home.ledger);
        assert_int_equal(result, renewed ? 0 : -ERR_FULL);
        assert_int_equal(uuid_eq(&now, &origin), !renewed);
        assert_same_state(before, snap(world));
    }
    assert_true(n > 10);
    (void)assert_verifies(&world->home);
    put_text(world, (struct text){62, "odd", 1, "and on"});
    restart(world);
    (void)assert_verifies(&world->home);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)
    const struct CMUnitTest tests[] = {
        TEST(everything_but_the_gap_comes_back),
        TEST(several_gaps_are_named_each),
        TEST(what_fills_the_gap_later_comes_back_too),
        TEST(what_was_held_behind_a_gap_stays_held),
        TEST(a_recovery_behind_a_gap_is_undone),
        TEST(both_stories_of_a_fork_are_there),
        TEST(a_fork_from_the_first_change_on_is_one_too),
        TEST(both_changed_the_same_memory),
        TEST(a_fork_with_a_gap_in_it_comes_back),
        TEST(what_was_held_in_a_fork_stays_held),
        TEST(a_fork_left_behind_comes_back_elsewhere),
        TEST(a_renewal_that_fails_changes_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
