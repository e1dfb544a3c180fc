/* Slow destruction, destruction hidden among other changes, spread over many projects, or moved out
 * of sight first: each rule on both sides of its limit. */
#include "guard/world.h"

#define MINUTE_MS 61000 /* out of every window but the hour's */

static const char *name_of(const char *prefix, size_t number)
{
    static char names[1000][16];

    assert_true(number < 1000);
    (void)snprintf(names[number], sizeof(names[number]), "%s%zu", prefix, number);
    return names[number];
}

/* ---- content_loss counts what lost content ---- */

static void a_long_note_that_is_touched_hides_no_loss(void **state)
{
    struct world *world = *state;
    size_t first = add_many(world, "demo", 100);
    size_t log = add(world, "demo", 40000);

    begin(world);
    edit(world, log, "mcp:x", 40001);
    for (size_t i = 0; i < 5; i++) {
        put(world, first + i, "mcp:x", 40);
    }
    end(world);
    assert_alert(world, "content_loss", 5, 5);
    assert_int_equal(shown(world, first).bytes, 300);
    assert_int_equal(shown(world, log).bytes, 40001);
}

/* Of the long one so much is gone that it counts as cut, but most of it is there. */
static void a_long_note_that_is_cut_a_little_hides_no_loss(void **state)
{
    struct world *world = *state;
    size_t first = add_many(world, "demo", 100);
    size_t log = add(world, "demo", 40000);

    edit(world, log, "mcp:x", 29000);
    for (size_t i = 0; i < 4; i++) {
        put(world, first + i, "mcp:x", 40);
    }
    assert_quiet(world);
    put(world, first + 4, "mcp:x", 40);
    assert_alert(world, "content_loss", 6, 6);
}

static void four_that_lost_most_are_too_few(void **state)
{
    struct world *world = *state;
    size_t first = add_many(world, "demo", 100);

    for (size_t i = 0; i < 4; i++) {
        put(world, first + i, "mcp:x", 40);
    }
    for (size_t i = 4; i < 50; i++) { /* an edit of a quarter less would count */
        edit(world, first + i, "mcp:x", 226);
    }
    assert_quiet(world);
}

/* ---- the hour: content_loss ---- */

static void four_cut_short_each_minute_are_held_to_the_first(void **state)
{
    struct world *world = *state;
    size_t first = add_many(world, "demo", 100);

    for (size_t i = 0; i < 100; i++) {
        wait_ms(world, i % 4 == 0 ? MINUTE_MS : 0);
        put(world, first + i, "mcp:x", 120);
    }
    assert_alert(world, "content_loss", 100, 100);
    assert_int_equal(shown(world, first).bytes, 300);
    assert_non_null(strstr(world->alerts[0].summary, "100 of 100 memories of project demo were cut "
                                                     "short by mcp:x within 25 minutes"));
}

static void a_fifth_may_lose_most_in_an_hour_and_one_more_not(void **state)
{
    struct world *world = *state;
    size_t first = add_many(world, "demo", 100);

    for (size_t i = 0; i < 20; i++) {
        wait_ms(world, MINUTE_MS);
        put(world, first + i, "mcp:x", 149);
    }
    assert_quiet(world);
    wait_ms(world, MINUTE_MS);
    put(world, first + 20, "mcp:x", 149);
    assert_alert(world, "content_loss", 21, 21);
}

static void half_of_a_text_is_not_most_of_it(void **state)
{
    struct world *world = *state;
    size_t first = add_many(world, "demo", 100);

    for (size_t i = 0; i < 50; i++) {
        wait_ms(world, MINUTE_MS);
        put(world, first + i, "mcp:x", 150);
    }
    assert_quiet(world);
}

static void what_was_cut_more_than_an_hour_ago_counts_no_more(void **state)
{
    struct world *world = *state;
    size_t first = add_many(world, "demo", 100);

    for (size_t i = 0; i < 40; i++) {
        wait_ms(world, 180001); /* 20 in an hour */
        put(world, first + i, "mcp:x", 120);
    }
    assert_quiet(world);
}

static void deleted_and_cut_memories_count_together_in_the_hour(void **state)
{
    struct world *world = *state;
    size_t first = add_many(world, "demo", 100);

    for (size_t i = 0; i < 15; i++) {
        wait_ms(world, MINUTE_MS);
        del(world, first + i, "mcp:x");
    }
    for (size_t i = 15; i < 20; i++) {
        wait_ms(world, MINUTE_MS);
        put(world, first + i, "mcp:y", 120);
    }
    assert_quiet(world);
    wait_ms(world, MINUTE_MS);
    del(world, first + 20, "mcp:x"); /* 16 deletions are no alert by themselves, and stay */
    assert_alert(world, "content_loss", 5, 5);
    assert_int_equal(alive_among(world, first, 100), 84);
    assert_int_equal(shown(world, first + 15).bytes, 300);
}

static void small_edits_flow_while_a_slow_loss_is_held(void **state)
{
    struct world *world = *state;
    size_t first = add_many(world, "demo", 100);

    for (size_t i = 0; i < 30; i++) {
        wait_ms(world, MINUTE_MS);
        put(world, first + i, "mcp:x", 120);
    }
    assert_alert(world, "content_loss", 30, 30);
    edit(world, first + 50, "mcp:x", 260);
    edit(world, first + 51, "cli", 310);
    assert_int_equal(shown(world, first + 50).bytes, 260);
    assert_int_equal(shown(world, first + 51).bytes, 310);
    assert_int_equal(world->held, 30);
}

/* ---- the hour: bulk_update ---- */

static void half_of_a_project_replaced_each_minute_is_held(void **state)
{
    struct world *world = *state;
    size_t first = add_many(world, "demo", 40);

    for (size_t i = 0; i < 40; i++) {
        wait_ms(world, i % 20 == 0 ? MINUTE_MS : 0);
        put(world, first + i, "mcp:x", 300);
    }
    assert_alert(world, "bulk_update", 40, 40);
    for (size_t i = 0; i < 40; i++) {
        assert_int_equal(shown(world, first + i).text, 0);
    }
}

static void half_may_be_replaced_in_an_hour_and_one_more_not(void **state)
{
    struct world *world = *state;
    size_t first = add_many(world, "demo", 40);

    for (size_t i = 0; i < 20; i++) {
        wait_ms(world, MINUTE_MS);
        put(world, first + i, "mcp:x", 300);
    }
    assert_quiet(world);
    wait_ms(world, MINUTE_MS);
    put(world, first + 20, "mcp:x", 300);
    assert_alert(world, "bulk_update", 21, 21);
}

static void longer_junk_is_junk(void **state)
{
    struct world *world = *state;
    size_t first = add_many(world, "demo", 40);

    for (size_t i = 0; i < 40; i++) {
        wait_ms(world, MINUTE_MS);
        put(world, first + i, "mcp:x", 900);
    }
    assert_alert(world, "bulk_update", 40, 40);
}

static void nine_of_nine_may_be_replaced_in_an_hour(void **state)
{
    struct world *world = *state;
    size_t first = add_many(world, "demo", 9);

    for (size_t i = 0; i < 9; i++) {
        wait_ms(world, MINUTE_MS);
        put(world, first + i, "mcp:x", 300);
    }
    assert_quiet(world);
}

/* Every note of a project is edited several times in an hour: work. */
static void an_hour_of_edits_is_quiet(void **state)
{
    struct world *world = *state;
    size_t first = add_many(world, "demo", 40);

    for (size_t round = 0; round < 6; round++) {
        for (size_t i = 0; i < 40; i++) {
            wait_ms(world, 14000);
            edit(world, first + i, "mcp:x", 250 + 20 * (uint32_t)round);
        }
    }
    assert_quiet(world);
}

/* All notes of a small project are worked on, a bit each time, until little is what it was. */
static void many_small_edits_are_no_replacement(void **state)
{
    struct world *world = *state;
    size_t first = add_many(world, "demo", 12);

    for (uint32_t round = 0; round < 40; round++) {
        for (size_t i = 0; i < 12; i++) {
            wait_ms(world, 14000);
            edit(world, first + i, "mcp:x", 300 - round % 20);
        }
    }
    assert_quiet(world);
}

/* A note that grows tenfold says what it said, and more. */
static void notes_that_grow_are_quiet(void **state)
{
    struct world *world = *state;
    size_t first = add_many(world, "demo", 40);

    for (size_t i = 0; i < 40; i++) {
        wait_ms(world, MINUTE_MS);
        act(world, first + i, "mcp:x",
            (struct action){.bytes = 3000, .other_text = true, .kept_percent = 15});
    }
    assert_quiet(world);
}

static void a_text_replaced_in_steps_is_replaced(void **state)
{
    struct world *world = *state;
    size_t first = add_many(world, "demo", 40);

    for (size_t i = 0; i < 40; i++) {
        for (int step = 0; step < 4; step++) {
            wait_ms(world, MINUTE_MS / 4);
            act(world, first + i, "mcp:x",
                (struct action){.bytes = 300, .other_text = true, .kept_percent = 50});
        }
    }
    assert_int_equal(world->alert_count, 1);
    assert_string_equal(world->alerts[0].rule, "bulk_update");
    assert_int_equal(shown(world, first).text, 0);
}

static void edits_flow_while_replaced_texts_are_held(void **state)
{
    struct world *world = *state;
    size_t first = add_many(world, "demo", 40);

    for (size_t i = 0; i < 25; i++) {
        wait_ms(world, MINUTE_MS);
        put(world, first + i, "mcp:x", 300);
    }
    assert_alert(world, "bulk_update", 25, 25);
    edit(world, first + 30, "mcp:x", 290);
    assert_int_equal(shown(world, first + 30).bytes, 290);
    assert_alert(world, "bulk_update", 25, 25);
}

/* ---- memories that are moved ---- */

static void a_project_that_is_renamed_is_quiet(void **state)
{
    struct world *world = *state;
    size_t first = add_many(world, "demo", 100);

    begin(world);
    for (size_t i = 0; i < 100; i++) {
        move(world, first + i, "mcp:x", "demo-2");
    }
    end(world);
    assert_quiet(world);
    del_many(world, first, 5, "cli"); /* 5 of 100, wherever they are */
    wait_ms(world, 10 * MINUTE_MS);
    del_many(world, first + 5, 5, "cli");
    assert_quiet(world);
}

static void what_is_moved_away_and_deleted_there_counts_where_it_was(void **state)
{
    struct world *world = *state;
    size_t first = add_many(world, "demo", 100);

    (void)add_many(world, "junk", 10000);
    for (size_t i = 0; i < 100; i++) {
        move(world, first + i, "mcp:x", "junk");
    }
    for (size_t i = 0; i < 20; i++) {
        wait_ms(world, MINUTE_MS);
        del(world, first + i, name_of("mcp:", i));
    }
    assert_quiet(world);
    wait_ms(world, MINUTE_MS);
    del(world, first + 20, "mcp:y");
    assert_alert(world, "share", 21, 21);
    assert_int_equal(alive_among(world, first, 100), 100);
    assert_non_null(strstr(world->alerts[0].summary, "21 of 100 memories of project demo"));
}

static void what_is_moved_away_and_emptied_there_counts_where_it_was(void **state)
{
    struct world *world = *state;
    size_t first = add_many(world, "demo", 100);

    (void)add_many(world, "junk", 10000);
    for (size_t i = 0; i < 21; i++) {
        wait_ms(world, MINUTE_MS);
        act(world, first + i, "mcp:x",
            (struct action){.bytes = 1, .other_text = true, .white = true, .project = "junk"});
    }
    assert_alert(world, "share", 21, 21);
    assert_int_equal(shown(world, first).bytes, 300);
    assert_string_equal(shown(world, first).project, "demo");
}

static void an_hour_after_the_move_it_counts_where_it_is(void **state)
{
    struct world *world = *state;
    size_t first = add_many(world, "demo", 40);

    (void)add_many(world, "new", 160);
    for (size_t i = 0; i < 40; i++) {
        move(world, first + i, "mcp:x", "new");
        tag(world, first + i, "mcp:x");
    }
    wait_ms(world, 3600001);
    del_many(world, first, 10, "mcp:y");
    wait_ms(world, MINUTE_MS);
    del_many(world, first + 10, 10, "mcp:y");
    wait_ms(world, MINUTE_MS);
    del_many(world, first + 20, 10, "mcp:y");
    wait_ms(world, MINUTE_MS);
    del_many(world, first + 30, 10, "mcp:y");
    assert_quiet(world); /* 40 of 200 */
}

static void a_memory_that_is_worked_on_after_its_move_is_of_the_new_project(void **state)
{
    struct world *world = *state;
    size_t first = add_many(world, "demo", 10);

    (void)add_many(world, "new", 90);
    for (size_t i = 0; i < 10; i++) {
        move(world, first + i, "mcp:x", "new");
    }
    for (int minute = 0; minute < 60; minute++) {
        wait_ms(world, MINUTE_MS);
        for (size_t i = (size_t)minute % 2; i < 10; i += 2) {
            edit(world, first + i, "mcp:x", 280 + (uint32_t)minute % 20);
        }
    }
    del_many(world, first, 8, "cli"); /* 8 of 100; of those that once were in demo most */
    assert_quiet(world);
}

/* ---- over all projects and actors ---- */

/* So many projects of four memories each; the number of the first memory. */
static size_t add_small_projects(struct world *world, size_t count, size_t each)
{
    size_t first = world->memory_count;

    for (size_t i = 0; i < count; i++) {
        (void)add_many(world, name_of("p", i), each);
    }
    return first;
}

static void many_small_projects_emptied_under_changing_names_are_held(void **state)
{
    struct world *world = *state;
    size_t first = add_small_projects(world, 100, 4);

    for (size_t i = 0; i < 80; i++) {
        wait_ms(world, 20000);
        del(world, first + i, name_of("mcp:", i));
    }
    assert_quiet(world);
    del(world, first + 80, "mcp:y");
    assert_alert(world, "total_loss", 81, 81);
    for (size_t i = 81; i < 400; i++) {
        wait_ms(world, 1000);
        del(world, first + i, name_of("mcp:", i));
    }
    assert_alert(world, "total_loss", 400, 400);
    assert_int_equal(alive_among(world, first, 400), 400);
    assert_non_null(
        strstr(world->alerts[0].summary, "400 memories of several projects were deleted by "));
}

static void nineteen_over_all_projects_are_too_few_and_twenty_are_not(void **state)
{
    struct world *world = *state;
    size_t first = add_small_projects(world, 5, 4);

    for (size_t i = 0; i < 19; i++) {
        del(world, first + i, name_of("mcp:", i));
    }
    assert_quiet(world);
    del(world, first + 19, "mcp:y");
    assert_alert(world, "total_loss", 20, 20);
}

static void a_hundred_in_a_minute_by_anybody_anywhere_do_not_trip_and_one_more_does(void **state)
{
    struct world *world = *state;
    size_t first = add_many(world, "demo", 10000);

    for (size_t i = 0; i < 100; i++) {
        del(world, first + i, name_of("mcp:", i));
    }
    assert_quiet(world);
    del(world, first + 100, "mcp:y");
    assert_alert(world, "total_loss", 101, 101);
}

static void a_hundred_in_each_of_two_minutes_do_not_trip(void **state)
{
    struct world *world = *state;
    size_t first = add_many(world, "demo", 10000);

    for (size_t i = 0; i < 200; i++) {
        wait_ms(world, i == 100 ? MINUTE_MS : 0);
        del(world, first + i, name_of("mcp:", i));
    }
    assert_quiet(world);
}

static void small_projects_cut_short_or_emptied_are_held(void **state)
{
    struct world *world = *state;
    size_t first = add_small_projects(world, 30, 4);

    for (size_t i = 0; i < 120; i++) {
        wait_ms(world, 5000);
        if (i % 2) {
            put(world, first + i, name_of("mcp:", i), 100);
        } else {
            blank(world, first + i, name_of("mcp:", i));
        }
    }
    assert_alert(world, "total_loss", 120, 120);
    assert_int_equal(shown(world, first).bytes, 300);
    assert_non_null(strstr(world->alerts[0].summary, "were emptied or cut short by"));
}

static void half_of_all_texts_may_be_replaced_in_an_hour_and_one_more_not(void **state)
{
    struct world *world = *state;
    size_t first = add_small_projects(world, 12, 9);

    for (size_t i = 0; i < 54; i++) {
        wait_ms(world, 30000);
        put(world, first + i, name_of("mcp:", i), 300);
    }
    assert_quiet(world);
    put(world, first + 54, "mcp:y", 300);
    assert_alert(world, "total_update", 55, 55);
    assert_int_equal(shown(world, first).text, 0);
    assert_non_null(strstr(world->alerts[0].summary,
                           "55 memories of several projects had their content replaced by"));
}

/* A house of agents, each tidying up a little. */
static void clean_ups_by_many_agents_are_quiet(void **state)
{
    struct world *world = *state;
    size_t first = add_small_projects(world, 40, 50);

    for (size_t i = 0; i < 40; i++) {
        for (size_t k = 0; k < 9; k++) { /* less than a fifth of its project */
            wait_ms(world, 7000);
            del(world, first + 50 * i + k, name_of("mcp:", i));
        }
    }
    assert_quiet(world);
}

#define WORLD_TEST(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WORLD_TEST(a_long_note_that_is_touched_hides_no_loss),
        WORLD_TEST(a_long_note_that_is_cut_a_little_hides_no_loss),
        WORLD_TEST(four_that_lost_most_are_too_few),
        WORLD_TEST(four_cut_short_each_minute_are_held_to_the_first),
        WORLD_TEST(a_fifth_may_lose_most_in_an_hour_and_one_more_not),
        WORLD_TEST(half_of_a_text_is_not_most_of_it),
        WORLD_TEST(what_was_cut_more_than_an_hour_ago_counts_no_more),
        WORLD_TEST(deleted_and_cut_memories_count_together_in_the_hour),
        WORLD_TEST(small_edits_flow_while_a_slow_loss_is_held),
        WORLD_TEST(half_of_a_project_replaced_each_minute_is_held),
        WORLD_TEST(half_may_be_replaced_in_an_hour_and_one_more_not),
        WORLD_TEST(longer_junk_is_junk),
        WORLD_TEST(nine_of_nine_may_be_replaced_in_an_hour),
        WORLD_TEST(an_hour_of_edits_is_quiet),
        WORLD_TEST(many_small_edits_are_no_replacement),
        WORLD_TEST(notes_that_grow_are_quiet),
        WORLD_TEST(a_text_replaced_in_steps_is_replaced),
        WORLD_TEST(edits_flow_while_replaced_texts_are_held),
        WORLD_TEST(a_project_that_is_renamed_is_quiet),
        WORLD_TEST(what_is_moved_away_and_deleted_there_counts_where_it_was),
        WORLD_TEST(what_is_moved_away_and_emptied_there_counts_where_it_was),
        WORLD_TEST(an_hour_after_the_move_it_counts_where_it_is),
        WORLD_TEST(a_memory_that_is_worked_on_after_its_move_is_of_the_new_project),
        WORLD_TEST(many_small_projects_emptied_under_changing_names_are_held),
        WORLD_TEST(nineteen_over_all_projects_are_too_few_and_twenty_are_not),
        WORLD_TEST(a_hundred_in_a_minute_by_anybody_anywhere_do_not_trip_and_one_more_does),
        WORLD_TEST(a_hundred_in_each_of_two_minutes_do_not_trip),
        WORLD_TEST(small_projects_cut_short_or_emptied_are_held),
        WORLD_TEST(half_of_all_texts_may_be_replaced_in_an_hour_and_one_more_not),
        WORLD_TEST(clean_ups_by_many_agents_are_quiet),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
