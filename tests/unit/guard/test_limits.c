/* Sources with thresholds of their own: who is judged by which, and what counts in whose sums. */
#include "guard/world.h"

#define LOOSE "app: agent (psql)" /* of source app */
#define STRICT "notes"            /* of source notes */

enum { APP, NOTES, SOURCES };

static void open_with(struct world *world, const struct guard_source sources[SOURCES])
{
    world_init_with(world, NULL, sources, SOURCES);
}

#define SOURCES_AS_ALL                                                                             \
    {                                                                                              \
        [APP] = {"app", GUARD_OPTIONS_DEFAULT}, [NOTES] = { "notes", GUARD_OPTIONS_DEFAULT }       \
    }

/* Source app may lose nine tenths of a project, fifty rows a minute; notes a twentieth, and two. */
static int setup(void **state)
{
    struct guard_source sources[SOURCES] = SOURCES_AS_ALL;
    struct world *world = xmalloc(sizeof(*world));

    sources[APP].options.share_max = 0.9;
    sources[APP].options.delete_max = 50;
    sources[APP].options.version_jump_max = 5000;
    sources[NOTES].options.share_max = 0.05;
    sources[NOTES].options.delete_max = 2;
    sources[NOTES].options.version_jump_max = 10;
    open_with(world, sources);
    *state = world;
    return 0;
}

/* ---- by itself ---- */

static void a_loose_source_may_lose_what_its_own_thresholds_allow_and_no_more(void **state)
{
    struct world *world = *state;
    size_t first = add_many(world, "demo", 60);

    del_many(world, first, 50, LOOSE);
    assert_quiet(world);
    del(world, first + 50, LOOSE);
    assert_alert(world, "deletes", 51, 51);
    assert_int_equal(alive_among(world, first, 60), 60);
}

static void a_strict_source_trips_by_its_own_thresholds(void **state)
{
    struct world *world = *state;
    size_t first = add_many(world, "demo", 1000);

    del_many(world, first, 2, STRICT);
    assert_quiet(world);
    del(world, first + 2, STRICT);
    assert_alert(world, "deletes", 3, 3);
    assert_string_equal(world->alerts[0].actor, STRICT);
}

static void all_others_are_judged_as_if_no_source_had_its_own(void **state)
{
    struct world *world = *state;
    size_t first = add_many(world, "demo", 1000);

    del_many(world, first, 10, "another: agent");
    del_many(world, first + 10, 10, "application: agent"); /* its name begins as app's does */
    assert_quiet(world);
    del(world, first + 20, "application: agent");
    assert_alert(world, "deletes", 11, 11);
}

static void the_version_is_believed_as_far_as_its_own_source_may_jump(void **state)
{
    struct world *world = *state;
    size_t first = add_many(world, "demo", 3);

    act(world, first, LOOSE, (struct action){.bytes = 300, .version = 5001});
    assert_quiet(world);
    act(world, first + 1, STRICT, (struct action){.bytes = 300, .version = 12});
    assert_alert(world, "version_jump", 1, 1);
    assert_non_null(strstr(world->alerts[0].summary, "more than 10 at once"));
}

static void how_much_must_be_gone_of_a_memory_is_its_own_sources_threshold(void **state)
{
    struct guard_source sources[SOURCES] = SOURCES_AS_ALL;
    struct world world;

    (void)state;
    sources[APP].options.loss_max = 0.7;
    sources[NOTES].options.loss_max = 0.3;
    open_with(&world, sources);
    size_t first = add_many(&world, "demo", 100);
    for (size_t i = 0; i < 5; i++) {
        edit(&world, first + i, LOOSE, 120); /* of 300: 60 % gone */
    }
    assert_quiet(&world);
    for (size_t i = 10; i < 15; i++) {
        edit(&world, first + i, STRICT, 190); /* 37 % gone */
    }
    assert_alert(&world, "content_loss", 5, 5);
    world_done(&world);
}

/* ---- sums of several ---- */

static void what_a_loose_source_may_lose_holds_nothing_that_comes_by_another_door(void **state)
{
    struct world *world = *state;
    size_t first = add_many(world, "demo", 100);

    del_many(world, first, 50, LOOSE);
    for (size_t i = 50; i < 58; i++) {
        del(world, first + i, "cli"); /* eight of the fifty that are left: no fifth */
    }
    assert_quiet(world);
}

static void a_loose_source_hides_nothing_that_comes_by_another_door(void **state)
{
    struct world *world = *state;
    size_t first = add_many(world, "demo", 100);

    del_many(world, first, 50, LOOSE);
    for (size_t i = 50; i < 61; i++) {
        del(world, first + i, i % 2 ? "mcp:a" : "mcp:b");
    }
    assert_alert(world, "share", 11, 11);
    assert_int_equal(alive_among(world, first + 50, 50), 50);
    assert_int_equal(alive_among(world, first, 50), 0); /* that was allowed */
}

static void what_comes_by_another_door_counts_in_a_loose_sources_sum(void **state)
{
    struct guard_source sources[SOURCES] = SOURCES_AS_ALL;
    struct world world;

    (void)state;
    sources[APP].options.share_max = 0.5;
    sources[APP].options.delete_max = 50;
    open_with(&world, sources);
    size_t first = add_many(&world, "demo", 100);
    del_many(&world, first, 10, "mcp:a");
    del_many(&world, first + 10, 40, LOOSE);
    assert_quiet(&world);
    del(&world, first + 50, LOOSE);
    assert_alert(&world, "share", 51, 51);
    world_done(&world);
}

static void a_strict_source_still_counts_in_the_sums_of_all(void **state)
{
    struct guard_source sources[SOURCES] = SOURCES_AS_ALL;
    struct world world;

    (void)state;
    sources[NOTES].options.share_max = 0.15;
    open_with(&world, sources);
    size_t first = add_many(&world, "demo", 100);
    del_many(&world, first, 10, STRICT);
    del_many(&world, first + 10, 10, "cli");
    assert_quiet(&world);
    del(&world, first + 20, "mcp:a");
    assert_alert(&world, "share", 21, 21);
    world_done(&world);
}

/* A loose number of one rule takes nothing from the others. */
static void who_may_delete_more_a_minute_counts_in_the_shares_as_before(void **state)
{
    struct guard_source sources[SOURCES] = SOURCES_AS_ALL;
    struct world world;

    (void)state;
    sources[APP].options.delete_max = 50;
    open_with(&world, sources);
    size_t first = add_many(&world, "demo", 100);
    del_many(&world, first, 10, LOOSE);
    del_many(&world, first + 10, 10, "cli");
    assert_quiet(&world);
    del(&world, first + 20, LOOSE);
    assert_alert(&world, "share", 21, 21);
    world_done(&world);
}

static void over_all_projects_it_is_the_same(void **state)
{
    struct guard_source sources[SOURCES] = SOURCES_AS_ALL;
    static const char *const doors[] = {"mcp:a", "mcp:b", "mcp:c", "mcp:d", "mcp:e", "mcp:f",
                                        "mcp:g", "mcp:h", "mcp:i", "mcp:j", "mcp:k"};
    struct world world;

    (void)state;
    sources[APP].options.delete_max = sources[APP].options.total_max = 150;
    open_with(&world, sources);
    size_t table = add_many(&world, "table", 2000);
    size_t demo = add_many(&world, "demo", 2000);
    del_many(&world, table, 45, LOOSE);
    for (size_t i = 0; i < 100; i++) {
        del(&world, demo + i, doors[i / 10]);
    }
    assert_quiet(&world); /* a hundred by the doors; the source's 45 are no part of it */
    del(&world, demo + 100, doors[10]);
    assert_alert(&world, "total_loss", 101, 101);
    assert_int_equal(alive_among(&world, table, 45), 0);
    world_done(&world);
}

/* Together no more than the loosest may lose alone. */
static void what_all_lose_is_bounded_by_the_loosest_thresholds(void **state)
{
    struct guard_source sources[SOURCES] = SOURCES_AS_ALL;
    struct world world;

    (void)state;
    sources[APP].options.delete_max = sources[APP].options.total_max = 150;
    open_with(&world, sources);
    size_t table = add_many(&world, "table", 2000);
    size_t demo = add_many(&world, "demo", 2000);
    del_many(&world, table, 141, LOOSE);
    for (size_t i = 0; i < 9; i++) {
        del(&world, demo + i, "cli");
    }
    assert_quiet(&world);
    del(&world, demo + 9, "cli");
    assert_alert(&world, "total_loss", 151, 151);
    world_done(&world);
}

static void a_memory_that_two_changed_counts_for_the_stricter(void **state)
{
    struct world *world = *state;
    size_t first = add_many(world, "demo", 30);

    for (size_t i = 0; i < 8; i++) {
        edit(world, first + i, "cli", 299); /* the door's word: it takes almost nothing */
        del(world, first + i, LOOSE);
    }
    assert_alert(world, "share", 15,
                 8); /* of the last one the deletion alone: the alert was open */
}

/* ---- what joins ---- */

static void only_who_counts_in_its_sum_joins_an_incident(void **state)
{
    struct world *world = *state;
    size_t first = add_many(world, "demo", 40);

    for (size_t i = 0; i < 9; i++) {
        del(world, first + i, i % 2 ? "mcp:a" : "mcp:b");
    }
    assert_alert(world, "share", 9, 9);
    del_many(world, first + 10, 5, LOOSE); /* its work goes on */
    assert_int_equal(alive_among(world, first + 10, 5), 0);
    del(world, first + 20, STRICT); /* this one counts */
    assert_alert(world, "share", 10, 10);
}

/* ---- windows ---- */

static void each_source_is_seen_for_as_long_as_its_own_window(void **state)
{
    struct guard_source sources[SOURCES] = SOURCES_AS_ALL;
    struct world world;

    (void)state;
    sources[APP].options.drip_window_ms = 600000;
    sources[NOTES].options.delete_window_ms = 3600000;
    open_with(&world, sources);
    size_t first = add_many(&world, "demo", 1000);
    size_t rows = add_many(&world, "rows", 100);
    for (size_t i = 0; i < 60; i++) { /* five in ten minutes, thirty in an hour */
        wait_ms(&world, 120000);
        del(&world, rows + i, LOOSE);
    }
    assert_quiet(&world);
    for (size_t i = 0; i < 11; i++) {
        assert_quiet(&world);
        wait_ms(&world, 300000);
        del(&world, first + i, STRICT);
    }
    assert_alert(&world, "deletes", 11, 11);
    world_done(&world);
}

/* ---- off ---- */

static void a_source_that_is_off_is_not_judged_and_hides_nothing(void **state)
{
    struct guard_source sources[SOURCES] = SOURCES_AS_ALL;
    struct world world;

    (void)state;
    sources[APP].options.enabled = false;
    open_with(&world, sources);
    size_t first = add_many(&world, "demo", 100);
    del_many(&world, first, 40, LOOSE);
    assert_quiet(&world);
    del_many(&world, first + 40, 11, "cli");
    assert_alert(&world, "deletes", 11, 11);
    world_done(&world);
}

/* Holding the door's change alone would show what the source made of it. */
static void what_came_on_top_by_a_source_that_is_off_is_held_too(void **state)
{
    struct guard_source sources[SOURCES] = SOURCES_AS_ALL;
    struct world world;

    (void)state;
    sources[APP].options.enabled = false;
    open_with(&world, sources);
    size_t first = add_many(&world, "demo", 40);
    for (size_t i = 0; i < 4; i++) {
        blank(&world, first + i, "cli");
        tag(&world, first + i, LOOSE);
    }
    assert_quiet(&world);
    for (size_t i = 4; i < 9; i++) {
        blank(&world, first + i, "cli");
    }
    assert_alert(&world, "content_loss", 13, 9);
    for (size_t i = 0; i < 9; i++) {
        assert_int_equal(shown(&world, first + i).bytes, 300);
    }
    world_done(&world);
}

static void one_source_is_judged_where_all_else_is_off(void **state)
{
    struct guard_source sources[SOURCES] = SOURCES_AS_ALL;
    struct guard_options off = GUARD_OPTIONS_DEFAULT;
    struct world world;

    (void)state;
    off.enabled = false;
    sources[NOTES].options.enabled = false;
    world_init_with(&world, &off, sources, SOURCES);
    size_t first = add_many(&world, "demo", 1000);
    del_many(&world, first, 40, "cli");
    assert_quiet(&world);
    del_many(&world, first + 40, 11, LOOSE);
    assert_alert(&world, "deletes", 11, 11);
    world_done(&world);
}

/* ---- in words ---- */

static void the_alert_says_how_it_is_put_back_where_it_was_lost(void **state)
{
    struct world *world = *state;
    size_t first = add_many(world, "demo", 1000);

    del_many(world, first, 3, STRICT);
    assert_string_equal(world->alerts[0].summary,
                        "3 of 1000 memories of project demo were deleted by notes within 1 s; they "
                        "are held: still shown, nothing is lost; to put it back there: holdfast "
                        "restore notes");
    del_many(world, first + 10, 11, "cli"); /* by a door: nothing is to be put back anywhere */
    assert_null(strstr(world->alerts[1].summary, "restore"));
}

static void of_several_sources_each_is_put_back(void **state)
{
    struct guard_source sources[SOURCES] = SOURCES_AS_ALL;
    struct world world;

    (void)state;
    open_with(&world, sources);
    size_t first = add_many(&world, "demo", 50);
    del_many(&world, first, 6, STRICT);
    del_many(&world, first + 6, 6, LOOSE);
    assert_non_null(strstr(world.alerts[0].summary, "by notes and app: agent (psql) within"));
    assert_non_null(
        strstr(world.alerts[0].summary, "holdfast restore app && holdfast restore notes"));
    world_done(&world);
}

/* ---- the table ---- */

static void equal_numbers_share_a_watch_and_a_window(void **state)
{
    struct guard_source sources[SOURCES] = SOURCES_AS_ALL;
    struct world plain;
    struct world same;
    struct world other;

    (void)state;
    world_init(&plain, NULL);
    open_with(&same, sources);
    sources[APP].options.delete_max = 50;
    open_with(&other, sources);
    assert_int_equal(plain.guard->limits.watch_count, RULES);
    assert_int_equal(same.guard->limits.watch_count, RULES);
    assert_int_equal(other.guard->limits.watch_count, RULES + 1);
    assert_int_equal(plain.guard->limits.net_count, 4);
    assert_int_equal(other.guard->limits.net_count, 4); /* no sum knows of delete_max */
    world_done(&plain);
    world_done(&same);
    world_done(&other);
}

/* What is kept stays within its bytes however many sources have thresholds of their own. */
static void as_many_sources_as_there_may_be_are_told_apart(void **state)
{
    struct guard_source sources[GUARD_SOURCES_MAX];
    char names[GUARD_SOURCES_MAX][8];
    struct world world;

    (void)state;
    for (size_t i = 0; i < GUARD_SOURCES_MAX; i++) {
        const struct guard_options defaults = GUARD_OPTIONS_DEFAULT;
        (void)snprintf(names[i], sizeof(names[i]), "s%zu", i);
        sources[i] = (struct guard_source){names[i], defaults};
        sources[i].options.delete_max = 20 + i;
        sources[i].options.share_max = 0.3 + 0.01 * (double)i;
        sources[i].options.update_max = 0.6 + 0.01 * (double)i;
        sources[i].options.loss_max = 0.6 + 0.01 * (double)i;
        sources[i].options.drip_window_ms = 1800000 + 1000 * (int64_t)i;
        sources[i].options.delete_window_ms = 61000 + 1000 * (int64_t)i;
        sources[i].options.total_max = 101 + i;
    }
    world_init_with(&world, NULL, sources, GUARD_SOURCES_MAX);
    const struct windows *windows = &world.guard->windows;
    assert_true(world.guard->limits.slot_count <= LIMITS_SLOTS_MAX);
    assert_true(windows->events_max < WINDOW_EVENTS_MAX && windows->events_max > 1000);
    assert_true(windows->events_max *
                    (windows->events.item_size + windows->memory_pool.item_size) <=
                WINDOW_EVENTS_BYTES + windows->events_max * 32);
    size_t first = add_many(&world, "demo", 1000);
    del_many(&world, first, 35, "s15: x");
    assert_quiet(&world);
    del_many(&world, first + 35, 21, "s0");
    assert_alert(&world, "deletes", 21, 21);
    world_done(&world);
}

#define LIMITS_TEST(name_) cmocka_unit_test_setup_teardown(name_, setup, world_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        LIMITS_TEST(a_loose_source_may_lose_what_its_own_thresholds_allow_and_no_more),
        LIMITS_TEST(a_strict_source_trips_by_its_own_thresholds),
        LIMITS_TEST(all_others_are_judged_as_if_no_source_had_its_own),
        LIMITS_TEST(the_version_is_believed_as_far_as_its_own_source_may_jump),
        cmocka_unit_test(how_much_must_be_gone_of_a_memory_is_its_own_sources_threshold),
        LIMITS_TEST(what_a_loose_source_may_lose_holds_nothing_that_comes_by_another_door),
        LIMITS_TEST(a_loose_source_hides_nothing_that_comes_by_another_door),
        cmocka_unit_test(what_comes_by_another_door_counts_in_a_loose_sources_sum),
        cmocka_unit_test(a_strict_source_still_counts_in_the_sums_of_all),
        cmocka_unit_test(who_may_delete_more_a_minute_counts_in_the_shares_as_before),
        cmocka_unit_test(over_all_projects_it_is_the_same),
        cmocka_unit_test(what_all_lose_is_bounded_by_the_loosest_thresholds),
        LIMITS_TEST(a_memory_that_two_changed_counts_for_the_stricter),
        LIMITS_TEST(only_who_counts_in_its_sum_joins_an_incident),
        cmocka_unit_test(each_source_is_seen_for_as_long_as_its_own_window),
        cmocka_unit_test(a_source_that_is_off_is_not_judged_and_hides_nothing),
        cmocka_unit_test(what_came_on_top_by_a_source_that_is_off_is_held_too),
        cmocka_unit_test(one_source_is_judged_where_all_else_is_off),
        LIMITS_TEST(the_alert_says_how_it_is_put_back_where_it_was_lost),
        cmocka_unit_test(of_several_sources_each_is_put_back),
        cmocka_unit_test(equal_numbers_share_a_watch_and_a_window),
        cmocka_unit_test(as_many_sources_as_there_may_be_are_told_apart),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
