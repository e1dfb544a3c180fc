#include "recover/world.h"

/* ---- everything ---- */

static void a_removed_home_comes_back_whole(void **state)
{
    struct world *world = *state;
    struct uuid origin = ledger_origin(world->home.ledger);

    put_many(world, 60);
    put_text(world, (struct text){7, "odd", 1, "number seven, changed"});
    struct snapshot before = snap(world);
    struct head head = head_of(world, &origin);
    sync_all(world);
    wreck(world);
    assert_int_equal(snap(world).memories, 0);

    (void)expect_planned(world, all(), 60, 0, 0);

    assert_same_state(before, snap(world));
    struct head back = head_of(world, &origin);
    assert_int_equal(back.seq, head.seq);
    assert_memory_equal(&back.hash, &head.hash, sizeof(head.hash));
    struct uuid now = ledger_origin(world->home.ledger);
    assert_false(uuid_eq(&now, &origin));
}

static void what_came_back_is_there_after_a_restart(void **state)
{
    struct world *world = *state;

    put_many(world, 20);
    struct snapshot before = snap(world);
    sync_all(world);
    wreck(world);
    struct recover_request request = all();
    (void)expect_counts(world, &request, 20, 0, 0);
    restart(world);
    assert_same_state(before, snap(world));
    put_text(world, (struct text){500, "odd", 1, "life goes on"});
    restart(world);
    assert_content(&world->home, id_of(500), "life goes on");
    (void)assert_verifies(&world->home);
}

static void a_second_recovery_recovers_nothing(void **state)
{
    struct world *world = *state;

    put_many(world, 20);
    sync_all(world);
    wreck(world);
    (void)expect_planned(world, all(), 20, 0, 0);
    uint64_t changes = assert_verifies(&world->home);
    struct uuid id = expect_planned(world, all(), 0, 20, 0);
    assert_true(uuid_is_nil(&id));
    assert_int_equal(assert_verifies(&world->home), changes);
}

static void the_report_says_what_came_for_each_project(void **state)
{
    struct world *world = *state;
    struct recover_request request = all();

    put_many(world, 21);
    sync_all(world);
    wreck(world);
    AUTO(recover_report_done) struct recover_report report = recovered(world, &request);
    assert_int_equal(report.project_count, 2);
    for (size_t i = 0; i < 2; i++) {
        bool odd = strcmp(report.projects[i].project_id, "odd") == 0;
        assert_int_equal(report.projects[i].recovered, odd ? 11 : 10);
        assert_int_equal(report.projects[i].fresh, odd ? 11 : 10);
    }
    assert_string_equal(report.from, world->vault_spec);
    assert_true(report.changes_imported >= 21);
    assert_true(report.duration_us > 0);
    assert_false(uuid_is_nil(&report.id));
    assert_false(report.dry_run);
}

static void a_recovery_is_no_alert(void **state)
{
    struct world *world = *state;
    struct recover_request request = all();

    put_many(world, 20);
    sync_all(world);
    wreck(world);
    request.project_id = "odd";
    (void)expect_counts(world, &request, 10, 0, 0);
    undo(world, NULL, 10);
    assert_int_equal(counts_of(&world->home).alerts_open, 0);
}

static void new_memories_and_recovered_ones_live_together(void **state)
{
    struct world *world = *state;

    put_many(world, 10);
    sync_all(world);
    wreck(world);
    put_text(world, (struct text){900, "new", 5, "made in the new home"});
    (void)expect_planned(world, all(), 10, 1, 0);
    assert_int_equal(snap(world).memories, 11);
    assert_content(&world->home, id_of(900), "made in the new home");
}

static void a_large_ledger_gets_what_little_it_lacks(void **state)
{
    struct world *world = *state;
    struct recover_request request = all();

    put_many(world, 10);
    sync_all(world);
    wreck(world);
    for (unsigned i = 0; i < 100; i++) { /* more than comes: it is copied, not imported */
        put_text(world, (struct text){2000 + i, "large", 3, "already here"});
    }
    struct snapshot before = snap(world);
    struct uuid id = expect_planned(world, request, 10, 100, 0);
    assert_int_equal(snap(world).memories, 110);
    undo(world, &id, 10);
    assert_same_state(before, snap(world));
}

static void an_empty_vault_recovers_nothing(void **state)
{
    struct world *world = *state;

    vault_open_on(world, false);
    (void)expect_counts(
        world,
        &(struct recover_request){.since_us = TIME_NONE, .at_us = TIME_NONE, .source = "test"}, 0,
        0, 0);
}

/* ---- deletions and newer data ---- */

static void a_deletion_made_here_is_newer_and_stays(void **state)
{
    struct world *world = *state;

    put_many(world, 10);
    sync_all(world);
    (void)delete_of(&world->home, id_of(3));
    (void)expect_planned(world, all(), 0, 10, 0);
    assert_content(&world->home, id_of(3), NULL);
}

static void what_was_deleted_before_stays_deleted(void **state)
{
    struct world *world = *state;

    put_many(world, 10);
    (void)delete_of(&world->home, id_of(3));
    struct snapshot before = snap(world);
    sync_all(world);
    wreck(world);
    (void)expect_planned(world, all(), 9, 1, 0);
    assert_same_state(before, snap(world));
    (void)expect_planned(world, all(), 0, 10, 0);
}

static void what_is_newer_here_is_not_overwritten(void **state)
{
    struct world *world = *state;

    put_many(world, 10);
    sync_all(world);
    put_text(world, (struct text){5, "odd", 1, "newer than the vault"});
    (void)expect_planned(world, all(), 0, 10, 0);
    assert_content(&world->home, id_of(5), "newer than the vault");
}

/* The home is put back from an older copy of itself: what the vault has more comes back as it was.
 */
static void an_older_copy_of_the_home_catches_up(void **state)
{
    struct world *world = *state;
    AUTO(free_ptr) char *copy = xprintf("cp -a '%s' '%s.old'", world->home.path, world->home.path);
    AUTO(free_ptr)
    char *back = xprintf("rm -rf '%s' && mv '%s.old' '%s'", world->home.path, world->home.path,
                         world->home.path);
    struct uuid origin = ledger_origin(world->home.ledger);

    put_many(world, 10);
    home_close(&world->home);
    assert_int_equal(system(copy), 0);
    home_open(&world->home);
    put_text(world, (struct text){5, "odd", 1, "changed later"});
    put_text(world, (struct text){50, "odd", 1, "made later"});
    struct snapshot before = snap(world);
    struct head head = head_of(world, &origin);
    sync_all(world);
    home_close(&world->home);
    assert_int_equal(system(back), 0);
    home_open(&world->home);

    (void)expect_planned(world, all(), 2, 9, 0);
    assert_same_state(before, snap(world));
    assert_true(head_of(world, &origin).seq > head.seq); /* the recovery is on record behind it */
}

/* ---- two homes on one vault ---- */

static void what_both_sides_changed_is_a_conflict(void **state)
{
    struct world *world = *state;

    put_text(world, (struct text){1, "p", 0, "first"});
    put_text(world, (struct text){2, "p", 0, "second"});
    sync_all(world);
    wreck(world);
    struct recover_request request = all();
    (void)expect_counts(world, &request, 2, 0, 0);
    sync_all(world); /* this home's recovery is in the vault, too */

    AUTO(free_ptr) char *there = xprintf("%s.there", world->home.path);
    AUTO(free_ptr) char *here = xstrdup(world->home.path);
    home_close(&world->home);
    (void)snprintf(world->home.path, sizeof(world->home.path), "%s", there);
    home_open(&world->home); /* another home on the same vault */
    (void)expect_counts(world, &request, 2, 0, 0);
    env_fake_advance_ms(&world->home.env, MINUTE_MS);
    put_text(world, (struct text){1, "p", 0, "changed there"});
    put_text(world, (struct text){2, "p", 0, "changed there once"});
    put_text(world, (struct text){2, "p", 0, "changed there twice"});
    sync_all(world);
    home_close(&world->home);

    (void)snprintf(world->home.path, sizeof(world->home.path), "%s", here);
    home_open(&world->home);
    env_fake_advance_ms(&world->home.env, MINUTE_MS);
    put_text(world, (struct text){1, "p", 0, "changed here, later"});
    put_text(world, (struct text){2, "p", 0, "changed here"});
    struct uuid id = expect_planned(world, all(), 1, 1, 2);
    assert_content(&world->home, id_of(1), "changed here, later");
    assert_content(&world->home, id_of(2), "changed there twice");
    undo(world, &id, 1);
    assert_content(&world->home, id_of(2), "changed here");
}

/* What another home left out, or undid, says nothing about the view here. */
static void another_homes_recoveries_change_nothing_here(void **state)
{
    struct world *world = *state;
    struct recover_request odd = all();
    struct recover_request even = all();

    odd.project_id = "odd";
    even.project_id = "even";
    put_many(world, 20);
    struct snapshot before = snap(world);
    sync_all(world);
    wreck(world);
    (void)expect_counts(world, &odd, 10, 0, 0);
    (void)expect_counts(world, &even, 10, 0, 0);
    undo(world, NULL, 10);
    assert_int_equal(snap(world).memories, 10);
    sync_all(world);
    wreck(world);
    (void)expect_planned(world, all(), 20, 0, 0);
    assert_same_state(before, snap(world));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_removed_home_comes_back_whole, world_setup,
                                        world_teardown),
        cmocka_unit_test_setup_teardown(what_came_back_is_there_after_a_restart, world_setup,
                                        world_teardown),
        cmocka_unit_test_setup_teardown(a_second_recovery_recovers_nothing, world_setup,
                                        world_teardown),
        cmocka_unit_test_setup_teardown(the_report_says_what_came_for_each_project, world_setup,
                                        world_teardown),
        cmocka_unit_test_setup_teardown(a_recovery_is_no_alert, world_setup, world_teardown),
        cmocka_unit_test_setup_teardown(new_memories_and_recovered_ones_live_together, world_setup,
                                        world_teardown),
        cmocka_unit_test_setup_teardown(a_large_ledger_gets_what_little_it_lacks, world_setup,
                                        world_teardown),
        cmocka_unit_test_setup_teardown(an_empty_vault_recovers_nothing, world_setup,
                                        world_teardown),
        cmocka_unit_test_setup_teardown(a_deletion_made_here_is_newer_and_stays, world_setup,
                                        world_teardown),
        cmocka_unit_test_setup_teardown(what_was_deleted_before_stays_deleted, world_setup,
                                        world_teardown),
        cmocka_unit_test_setup_teardown(what_is_newer_here_is_not_overwritten, world_setup,
                                        world_teardown),
        cmocka_unit_test_setup_teardown(an_older_copy_of_the_home_catches_up, world_setup,
                                        world_teardown),
        cmocka_unit_test_setup_teardown(what_both_sides_changed_is_a_conflict, world_setup,
                                        world_teardown),
        cmocka_unit_test_setup_teardown(another_homes_recoveries_change_nothing_here, world_setup,
                                        world_teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
