/* What joins an incident, when it is over, and what a rollback leaves of it. */
#include "guard/world.h"

#include <math.h>

/* ---- joining ---- */

static void later_deletions_by_the_same_actor_join(void **state)
{
    struct world *world = *state;
    size_t demo = add_many(world, "demo", 1000);
    size_t other = add_many(world, "other", 1000);

    del_many(world, demo, 11, "mcp:x");
    for (size_t i = 0; i < 10; i++) {
        wait_ms(world, 59000);
        del(world, other + i, "mcp:x");
    }
    assert_alert(world, "deletes", 21, 21);
    assert_int_equal(world->alerts[0].decisions, 11);
    assert_int_equal(alive_among(world, other, 1000), 1000);
}

static void emptying_by_the_same_actor_joins_too(void **state)
{
    struct world *world = *state;
    size_t demo = add_many(world, "demo", 1000);

    del_many(world, demo, 11, "mcp:x");
    blank(world, demo + 500, "mcp:x");
    assert_alert(world, "deletes", 12, 12);
    assert_non_null(strstr(world->alerts[0].summary, "were deleted or emptied by mcp:x"));
}

static void other_work_of_the_same_actor_flows(void **state)
{
    struct world *world = *state;
    size_t demo = add_many(world, "demo", 1000);

    del_many(world, demo, 11, "mcp:x");
    put(world, demo + 20, "mcp:x", 350);
    tag(world, demo + 21, "mcp:x");
    size_t added = add(world, "demo", 100);
    assert_alert(world, "deletes", 11, 11);
    assert_int_equal(shown(world, demo + 20).bytes, 350);
    assert_true(is_alive(world, added));
}

static void another_actor_in_another_project_is_not_held(void **state)
{
    struct world *world = *state;
    size_t demo = add_many(world, "demo", 40);
    size_t other = add_many(world, "other", 40);

    del_many(world, demo, 40, "mcp:x");
    del(world, other, "cli");
    assert_alert(world, "deletes", 40, 40);
    assert_false(is_alive(world, other));
}

static void anybody_in_the_same_project_joins_a_share_incident(void **state)
{
    struct world *world = *state;
    size_t demo = add_many(world, "demo", 40);

    for (size_t i = 0; i < 9; i++) {
        del(world, demo + i, "mcp:x");
    }
    wait_ms(world, 59999);
    del(world, demo + 9, "mcp:y");
    assert_alert(world, "share", 10, 10);
    assert_string_equal(world->alerts[0].actor, "mcp:x");
}

static void the_same_memory_again_is_one_memory(void **state)
{
    struct world *world = *state;
    size_t demo = add_many(world, "demo", 1000);

    del_many(world, demo, 11, "mcp:x");
    for (size_t i = 0; i < 5; i++) { /* it is still shown, so an agent may try again */
        del(world, demo, "mcp:x");
    }
    assert_alert(world, "deletes", 16, 11);
}

/* ---- the end of an incident ---- */

static void after_a_quiet_window_a_burst_is_a_new_alert(void **state)
{
    struct world *world = *state;
    size_t demo = add_many(world, "demo", 1000);

    del_many(world, demo, 11, "mcp:x");
    wait_ms(world, 60000);
    del_many(world, demo + 100, 12, "mcp:x");
    assert_int_equal(world->alert_count, 2);
    assert_int_equal(world->alerts[0].changes, 11);
    assert_int_equal(world->alerts[1].changes, 12);
}

static void what_an_earlier_incident_holds_does_not_count(void **state)
{
    struct world *world = *state;
    size_t demo = add_many(world, "demo", 1000);

    del_many(world, demo, 11, "mcp:x");
    wait_ms(world, 60000);
    del_many(world, demo + 100, 10, "mcp:x");
    assert_alert(world, "deletes", 11, 11);
    assert_int_equal(alive_among(world, demo, 1000), 990);
}

static void a_drip_is_followed_for_an_hour(void **state)
{
    struct world *world = *state;
    size_t demo = add_many(world, "demo", 40);

    for (size_t i = 0; i < 9; i++) {
        wait_ms(world, 61000);
        del(world, demo + i, "mcp:x");
    }
    wait_ms(world, 3599999);
    del(world, demo + 9, "mcp:x");
    assert_alert(world, "share", 10, 10);
    wait_ms(world, 3600000);
    del(world, demo + 10, "mcp:x");
    assert_alert(world, "share", 10, 10);
    assert_false(is_alive(world, demo + 10));
}

static void only_the_shortest_window_that_trips_is_held(void **state)
{
    struct world *world = *state;
    size_t demo = add_many(world, "demo", 40);

    del(world, demo, "cli"); /* half an hour ago, and meant */
    wait_ms(world, 1800000);
    begin(world);
    for (size_t i = 1; i < 10; i++) {
        del(world, demo + i, "mcp:x");
    }
    end(world);
    assert_alert(world, "share", 9, 9);
    assert_false(is_alive(world, demo));
}

static void a_sealed_alert_takes_nothing_in_any_more(void **state)
{
    struct world *world = *state;
    size_t demo = add_many(world, "demo", 1000);
    struct err err = ERR_INIT;

    del_many(world, demo, 11, "mcp:x");
    assert_ok(guard_seal(world->guard, &world->alerts[0].id, &err), &err);
    del_many(world, demo + 20, 10, "mcp:x");
    assert_alert(world, "deletes", 11, 11);
    assert_false(is_alive(world, demo + 20));
    del(world, demo + 30, "mcp:x");
    assert_int_equal(world->alert_count, 2);
    assert_int_equal(world->alerts[1].changes, 11);
}

static void sealing_what_the_guard_does_not_know_is_fine(void **state)
{
    struct world *world = *state;
    struct uuid id = memory_id(1);
    struct err err = ERR_INIT;

    assert_ok(guard_seal(world->guard, &id, &err), &err);
}

static void several_projects_have_an_alert_each(void **state)
{
    struct world *world = *state;
    size_t a = add_many(world, "a", 20);
    size_t b = add_many(world, "b", 20);

    begin(world);
    for (size_t i = 0; i < 8; i++) {
        del(world, a + i, "mcp:x");
        del(world, b + i, "mcp:y");
    }
    end(world);
    assert_int_equal(world->alert_count, 2);
    assert_int_equal(world->alerts[0].changes, 8);
    assert_int_equal(world->alerts[1].changes, 8);
}

/* ---- the clock ---- */

static void setting_the_wall_clock_back_gives_no_fresh_allowance(void **state)
{
    struct world *world = *state;
    size_t demo = add_many(world, "demo", 1000);

    del_many(world, demo, 10, "mcp:x");
    world->env.wall_shift_us = -86400000000;
    del(world, demo + 10, "mcp:x");
    assert_alert(world, "deletes", 11, 11);
}

static void setting_the_wall_clock_forward_gives_none_either(void **state)
{
    struct world *world = *state;
    size_t demo = add_many(world, "demo", 1000);

    del_many(world, demo, 10, "mcp:x");
    world->env.wall_shift_us = 86400000000;
    del(world, demo + 10, "mcp:x");
    assert_alert(world, "deletes", 11, 11);
}

/* ---- rollback ---- */

static void what_was_rolled_back_counts_for_nobody(void **state)
{
    struct world *world = *state;
    size_t demo = add_many(world, "demo", 1000);

    for (int round = 0; round < 5; round++) {
        struct world_copy copy = world_keep(world);
        begin(world);
        for (size_t i = 0; i < 10; i++) {
            del(world, demo + i, "mcp:x");
        }
        assert_ok(judge_it(world), &world->err);
        roll_back(world, &copy);
    }
    del_many(world, demo, 10, "mcp:x");
    assert_quiet(world);
}

static void an_alert_that_was_rolled_back_is_raised_again(void **state)
{
    struct world *world = *state;
    size_t demo = add_many(world, "demo", 1000);
    struct guard_status status;

    del_many(world, demo, 6, "mcp:x");
    struct world_copy copy = world_keep(world);
    begin(world);
    for (size_t i = 6; i < 20; i++) {
        del(world, demo + i, "mcp:x");
    }
    assert_ok(judge_it(world), &world->err);
    assert_alert(world, "deletes", 20, 20);
    struct uuid lost = world->alerts[0].id;
    roll_back(world, &copy);
    assert_quiet(world);
    guard_status(world->guard, &status);
    assert_int_equal(status.deletes_in_window, 6);
    del_many(world, demo + 100, 5, "mcp:x");
    assert_alert(world, "deletes", 11, 11);
    assert_false(uuid_eq(&lost, &world->alerts[0].id));
}

static void what_joined_and_was_rolled_back_is_not_counted(void **state)
{
    struct world *world = *state;
    size_t demo = add_many(world, "demo", 1000);

    del_many(world, demo, 11, "mcp:x");
    struct world_copy copy = world_keep(world);
    begin(world);
    for (size_t i = 11; i < 100; i++) {
        del(world, demo + i, "mcp:x");
    }
    assert_ok(judge_it(world), &world->err);
    assert_alert(world, "deletes", 100, 100);
    roll_back(world, &copy);
    del(world, demo + 11, "mcp:x");
    assert_alert(world, "deletes", 12, 12);
}

static void several_requests_of_one_transaction_go_back_together(void **state)
{
    struct world *world = *state;
    size_t demo = add_many(world, "demo", 40);

    del_many(world, demo, 4, "mcp:x");
    struct world_copy copy = world_keep(world);
    for (size_t round = 0; round < 5; round++) {
        begin(world);
        for (size_t i = 0; i < 4; i++) {
            del(world, demo + 4 + 4 * round + i, "mcp:x");
            tag(world, demo + 30 + i, "mcp:x");
        }
        assert_ok(judge_it(world), &world->err);
    }
    assert_alert(world, "deletes", 24, 24);
    roll_back(world, &copy);
    assert_quiet(world);
    del_many(world, demo + 4, 4, "mcp:x");
    assert_quiet(world);
    del(world, demo + 8, "mcp:y");
    assert_alert(world, "share", 9, 9);
}

/* ---- status, options, outside alerts ---- */

static void status_counts_the_busiest_actor_and_what_is_held(void **state)
{
    struct world *world = *state;
    size_t demo = add_many(world, "demo", 1000);
    struct guard_status status;

    guard_status(world->guard, &status);
    assert_int_equal(status.deletes_in_window, 0);
    assert_int_equal(status.threshold, 10);
    assert_int_equal(status.window_ms, 60000);
    del_many(world, demo, 3, "cli");
    wait_ms(world, 30000);
    del_many(world, demo + 3, 7, "mcp:x");
    guard_status(world->guard, &status);
    assert_int_equal(status.deletes_in_window, 7);
    for (size_t i = 0; i < 40; i++) {
        wait_ms(world, 100);
        del(world, demo + 10 + i, "mcp:x");
    }
    guard_status(world->guard, &status);
    assert_int_equal(status.deletes_in_window, 47);
    wait_ms(world,
            56100); /* only what came in the last 3.9 s is still within; it is counted in groups */
    guard_status(world->guard, &status);
    assert_true(status.deletes_in_window >= 39 && status.deletes_in_window <= 47);
    wait_ms(world, 60000);
    guard_status(world->guard, &status);
    assert_int_equal(status.deletes_in_window, 0);
}

static void a_guard_that_is_off_holds_nothing(void **state)
{
    struct guard_options options = GUARD_OPTIONS_DEFAULT;
    struct world world;

    (void)state;
    options.enabled = false;
    world_init(&world, &options);
    size_t demo = add_many(&world, "demo", 40);
    del_many(&world, demo, 40, "mcp:x");
    assert_quiet(&world);
    assert_int_equal(alive_among(&world, demo, 40), 0);
    world_done(&world);
}

static void thresholds_are_the_configurations(void **state)
{
    struct guard_options options = GUARD_OPTIONS_DEFAULT;
    struct world world;

    (void)state;
    options.delete_max = 2;
    options.delete_window_ms = 1000;
    world_init(&world, &options);
    size_t demo = add_many(&world, "demo", 1000);
    for (size_t i = 0; i < 6; i++) {
        del(&world, demo + i, "cli");
        wait_ms(&world, 501);
    }
    assert_quiet(&world);
    del_many(&world, demo + 10, 2, "cli");
    assert_alert(&world, "deletes", 3, 3);
    world_done(&world);
}

static void assert_option_refused(const struct guard_options *options, const char *part)
{
    struct env_fake env;
    struct guard *guard = NULL;
    struct err err = ERR_INIT;

    env_fake_init(&env, WORLD_NOW_US, 1);
    assert_refused(guard_open(options, NULL, 0, &env.env, &guard, &err), &err, ERR_CONFIG, part);
    assert_null(guard);
}

static void options_without_sense_are_refused_by_name(void **state)
{
    const struct guard_options defaults = GUARD_OPTIONS_DEFAULT;
    struct guard_options options = defaults;

    (void)state;
    options.share_max = 1.01;
    assert_option_refused(&options, "guard.share_max");
    options = defaults;
    options.update_max = -0.01;
    assert_option_refused(&options, "guard.update_max");
    options = defaults;
    options.loss_max = (double)NAN;
    assert_option_refused(&options, "guard.loss_max");
    options = defaults;
    options.delete_window_ms = 0;
    assert_option_refused(&options, "guard.delete_window");
    options = defaults;
    options.drip_window_ms = GUARD_WINDOW_MAX_MS + 1;
    assert_option_refused(&options, "guard.drip_window");
}

static void the_limits_of_options_are_allowed(void **state)
{
    struct guard_options options = GUARD_OPTIONS_DEFAULT;
    struct world world;

    (void)state;
    options.share_max = 1.0;
    options.update_max = 0.0;
    options.delete_window_ms = 1;
    options.drip_window_ms = GUARD_WINDOW_MAX_MS;
    world_init(&world, &options);
    world_done(&world);
    guard_close(NULL);
}

static void an_alert_from_outside_names_no_changes(void **state)
{
    struct world *world = *state;
    AUTO(decision_done) struct decision decision;

    guard_outside_alert(world_env(world), "store_vanished", "holdfast", "The store is gone.",
                        &decision);
    assert_int_equal(decision.kind, DECISION_HELD);
    assert_int_equal(decision.ranges.count, 0);
    assert_string_equal(decision.rule, "store_vanished");
    assert_string_equal(decision.actor, "holdfast");
    assert_string_equal(decision.summary, "The store is gone.");
    assert_string_equal(decision.person, "");
    assert_int_equal(decision.started_us, WORLD_NOW_US);
    assert_false(uuid_is_nil(&decision.alert));
}

static void assert_blind(const struct guard_options *options, const char *expected)
{
    AUTO(free_ptr) char *blind = guard_blind(options, NULL);

    if (expected == NULL) {
        assert_null(blind);
    } else {
        assert_non_null(blind);
        assert_string_equal(blind, expected);
    }
}

static void thresholds_that_never_trip_are_named(void **state)
{
    struct guard_options options = GUARD_OPTIONS_DEFAULT;

    (void)state;
    assert_blind(&options, NULL);
    options.delete_max = options.share_min = options.update_min = options.loss_min =
        options.total_max = options.total_min = GUARD_COUNT_BLIND;
    options.share_max = options.update_max = options.loss_max = 0.99;
    options.delete_window_ms = options.share_window_ms = options.update_window_ms =
        options.loss_window_ms = GUARD_WINDOW_BLIND_MS;
    options.drip_window_ms = GUARD_DRIP_WINDOW_BLIND_MS;
    options.version_jump_max = GUARD_VERSION_JUMP_BLIND;
    assert_blind(&options, NULL);
    options.share_max = 1.0;
    assert_blind(&options, "guard.share_max is 1 (less than 1)");
    options.share_max = 0.99;
    options.drip_window_ms--;
    assert_blind(&options, "guard.drip_window is 599.999 s (600 s at least)");
    options.drip_window_ms++;
    options.delete_max++;
    options.loss_window_ms = 1000;
    assert_blind(&options,
                 "guard.delete_max is 201 (200 at most), guard.loss_window is 1 s (10 s at least)");
}

/* They all go into one alert's summary. */
static void each_setting_is_named_and_all_of_them_fit_into_an_alert(void **state)
{
    static const char *const names[] = {
        "delete_max",    "share_min",    "update_min",    "loss_min",    "total_max",
        "total_min",     "share_max",    "update_max",    "loss_max",    "version_jump_max",
        "delete_window", "share_window", "update_window", "loss_window", "drip_window"};
    struct guard_options options = {.delete_max = 1000000,
                                    .share_min = 1000000,
                                    .update_min = 1000000,
                                    .loss_min = 1000000,
                                    .total_max = 1000000,
                                    .total_min = 1000000,
                                    .version_jump_max = 1000000000000000,
                                    .share_max = 1,
                                    .update_max = 1,
                                    .loss_max = 1,
                                    .delete_window_ms = 9999,
                                    .share_window_ms = 9999,
                                    .update_window_ms = 9999,
                                    .loss_window_ms = 9999,
                                    .drip_window_ms = 599999};
    AUTO(free_ptr) char *blind = guard_blind(&options, NULL);

    (void)state;
    assert_non_null(blind);
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        AUTO(free_ptr) char *name = xprintf("guard.%s is ", names[i]);
        assert_non_null(strstr(blind, name));
    }
    assert_true(strlen(blind) + 200 <= DECISION_TEXT_MAX_BYTES);
}

#define WORLD_TEST(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WORLD_TEST(later_deletions_by_the_same_actor_join),
        WORLD_TEST(emptying_by_the_same_actor_joins_too),
        WORLD_TEST(other_work_of_the_same_actor_flows),
        WORLD_TEST(another_actor_in_another_project_is_not_held),
        WORLD_TEST(anybody_in_the_same_project_joins_a_share_incident),
        WORLD_TEST(the_same_memory_again_is_one_memory),
        WORLD_TEST(after_a_quiet_window_a_burst_is_a_new_alert),
        WORLD_TEST(what_an_earlier_incident_holds_does_not_count),
        WORLD_TEST(a_drip_is_followed_for_an_hour),
        WORLD_TEST(only_the_shortest_window_that_trips_is_held),
        WORLD_TEST(a_sealed_alert_takes_nothing_in_any_more),
        WORLD_TEST(sealing_what_the_guard_does_not_know_is_fine),
        WORLD_TEST(several_projects_have_an_alert_each),
        WORLD_TEST(setting_the_wall_clock_back_gives_no_fresh_allowance),
        WORLD_TEST(setting_the_wall_clock_forward_gives_none_either),
        WORLD_TEST(what_was_rolled_back_counts_for_nobody),
        WORLD_TEST(an_alert_that_was_rolled_back_is_raised_again),
        WORLD_TEST(what_joined_and_was_rolled_back_is_not_counted),
        WORLD_TEST(several_requests_of_one_transaction_go_back_together),
        WORLD_TEST(status_counts_the_busiest_actor_and_what_is_held),
        cmocka_unit_test(a_guard_that_is_off_holds_nothing),
        cmocka_unit_test(thresholds_are_the_configurations),
        cmocka_unit_test(options_without_sense_are_refused_by_name),
        cmocka_unit_test(the_limits_of_options_are_allowed),
        WORLD_TEST(an_alert_from_outside_names_no_changes),
        cmocka_unit_test(thresholds_that_never_trip_are_named),
        cmocka_unit_test(each_setting_is_named_and_all_of_them_fit_into_an_alert),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
