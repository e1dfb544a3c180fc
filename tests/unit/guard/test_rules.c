/* What trips, what doesn't, and what is held then. */
#include "guard/world.h"

/* ---- deletes ---- */

static void eleven_deletions_in_a_minute_trip_and_the_first_is_held_too(void **state)
{
    struct world *world = *state;
    size_t first = add_many(world, "demo", 1000);

    for (size_t i = 0; i < 11; i++) {
        assert_quiet(world);
        wait_ms(world, 5000);
        del(world, first + i, "mcp:claude-code");
    }
    assert_alert(world, "deletes", 11, 11);
    assert_int_equal(alive_among(world, first, 1000), 1000);
    assert_string_equal(world->alerts[0].actor, "mcp:claude-code");
    assert_string_equal(world->alerts[0].summary,
                        "11 of 1000 memories of project demo were deleted by mcp:claude-code "
                        "within 50 s; they are held: still shown, nothing is lost");
}

static void ten_deletions_in_a_minute_do_not_trip_in_a_big_project(void **state)
{
    struct world *world = *state;
    size_t first = add_many(world, "demo", 1000);

    del_many(world, first, 10, "mcp:claude-code");
    assert_quiet(world);
    assert_int_equal(alive_among(world, first, 1000), 990);
}

static void ten_more_a_minute_later_do_not_trip_either(void **state)
{
    struct world *world = *state;
    size_t first = add_many(world, "demo", 1000);

    del_many(world, first, 10, "cli");
    wait_ms(world, 60001);
    del_many(world, first + 10, 10, "cli");
    assert_quiet(world);
}

static void the_window_includes_its_sixtieth_second(void **state)
{
    struct world *world = *state;
    size_t first = add_many(world, "demo", 1000);

    del_many(world, first, 10, "cli");
    wait_ms(world, 60000);
    del(world, first + 10, "cli");
    assert_alert(world, "deletes", 11, 11);
}

static void deletions_of_one_actor_count_over_all_projects(void **state)
{
    struct world *world = *state;
    size_t a = add_many(world, "a", 100);
    size_t b = add_many(world, "b", 100);

    for (size_t i = 0; i < 6; i++) {
        del(world, a + i, "mcp:x");
        del(world, b + i, "mcp:x");
    }
    assert_alert(world, "deletes", 12, 12);
    assert_non_null(strstr(world->alerts[0].summary, "12 memories of several projects"));
}

static void two_actors_have_an_allowance_each(void **state)
{
    struct world *world = *state;
    size_t first = add_many(world, "demo", 1000);

    del_many(world, first, 10, "mcp:x");
    del_many(world, first + 10, 10, "mcp:y");
    assert_quiet(world);
}

static void delete_all_is_held_whole_under_one_alert(void **state)
{
    struct world *world = *state;
    size_t first = add_many(world, "demo", 40);

    wait_ms(world, 1000);
    del_many(world, first, 40, "mcp:claude-code");
    assert_alert(world, "deletes", 40, 40);
    assert_int_equal(alive_among(world, first, 40), 40);
    assert_string_equal(world->alerts[0].summary,
                        "40 of 40 memories of project demo were deleted by mcp:claude-code within "
                        "1 s; they are held: still shown, nothing is lost");
}

static void delete_all_one_by_one_is_one_alert_too(void **state)
{
    struct world *world = *state;
    size_t first = add_many(world, "demo", 40);

    for (size_t i = 0; i < 40; i++) {
        wait_ms(world, 100);
        del(world, first + i, "mcp:claude-code");
    }
    assert_alert(world, "share", 40, 40);
    assert_int_equal(alive_among(world, first, 40), 40);
}

/* ---- share ---- */

static void a_drip_of_one_each_seven_seconds_trips(void **state)
{
    struct world *world = *state;
    size_t first = add_many(world, "demo", 100);

    for (size_t i = 0; i < 60; i++) {
        wait_ms(world, 7000);
        del(world, first + i, "mcp:claude-code");
    }
    assert_alert(world, "share", 60, 60);
    assert_int_equal(alive_among(world, first, 100), 100);
    assert_non_null(strstr(world->alerts[0].summary, "60 of 100 memories of project demo"));
    assert_non_null(strstr(world->alerts[0].summary, "within 7 minutes"));
}

static void a_drip_by_several_actors_trips(void **state)
{
    struct world *world = *state;
    static const char *const actors[] = {"mcp:a", "mcp:b", "http:c"};
    size_t first = add_many(world, "demo", 100);

    for (size_t i = 0; i < 21; i++) {
        wait_ms(world, 60000);
        del(world, first + i, actors[i % 3]);
    }
    assert_alert(world, "share", 21, 21);
    assert_non_null(strstr(world->alerts[0].summary, " and others "));
}

static void a_fifth_of_a_project_does_not_trip_and_one_more_does(void **state)
{
    struct world *world = *state;
    size_t first = add_many(world, "demo", 40);

    del_many(world, first, 8, "cli");
    assert_quiet(world);
    del(world, first + 8, "cli");
    assert_alert(world, "share", 9, 9);
}

static void four_of_four_are_too_few_to_trip_and_five_of_five_are_not(void **state)
{
    struct world *world = *state;
    size_t small = add_many(world, "small", 4);
    size_t other = add_many(world, "other", 5);

    del_many(world, small, 4, "cli");
    assert_quiet(world);
    del_many(world, other, 5, "someone else");
    assert_alert(world, "share", 5, 5);
}

static void blanking_thirty_percent_trips(void **state)
{
    struct world *world = *state;
    size_t first = add_many(world, "demo", 40);

    begin(world);
    for (size_t i = 0; i < 12; i++) {
        blank(world, first + i, "mcp:claude-code");
    }
    end(world);
    assert_alert(world, "share", 12, 12);
    assert_int_equal(shown(world, first).bytes, 300);
    assert_non_null(strstr(world->alerts[0].summary, "were emptied by"));
}

static void blanking_one_by_one_is_a_loss_of_content_first(void **state)
{
    struct world *world = *state;
    size_t first = add_many(world, "demo", 40);

    for (size_t i = 0; i < 12; i++) {
        wait_ms(world, 500);
        blank(world, first + i, "mcp:claude-code");
    }
    assert_alert(world, "content_loss", 12, 12);
    assert_int_equal(shown(world, first).bytes, 300);
}

static void a_drip_of_emptied_memories_trips(void **state)
{
    struct world *world = *state;
    size_t first = add_many(world, "demo", 40);

    for (size_t i = 0; i < 20; i++) {
        wait_ms(world, 61000);
        blank(world, first + i, "mcp:claude-code");
    }
    assert_alert(world, "share", 20, 20);
    assert_int_equal(shown(world, first).bytes, 300);
}

static void deleting_and_blanking_count_together(void **state)
{
    struct world *world = *state;
    size_t first = add_many(world, "demo", 40);

    for (size_t i = 0; i < 10; i += 2) {
        del(world, first + i, "mcp:x");
        blank(world, first + i + 1, "mcp:y");
    }
    assert_alert(world, "share", 10, 10);
    assert_non_null(strstr(world->alerts[0].summary, "were deleted or emptied by"));
    assert_non_null(strstr(world->alerts[0].summary, "mcp:x and mcp:y"));
}

static void emptying_in_steps_counts_as_emptying(void **state)
{
    struct world *world = *state;
    size_t first = add_many(world, "demo", 40);

    for (size_t i = 0; i < 9; i++) {
        put(world, first + i, "mcp:x", 160); /* which alone is no loss of most of it */
        put(world, first + i, "mcp:x", 20);
        wait_ms(world, 30000); /* slower than the other rules look */
    }
    assert_int_equal(world->alert_count, 1);
    assert_string_equal(world->alerts[0].rule, "share");
    assert_int_equal(world->alerts[0].held, 18);
    assert_int_equal(shown(world, first).bytes, 300);
}

static void what_is_emptied_and_written_again_does_not_count(void **state)
{
    struct world *world = *state;
    size_t first = add_many(world, "demo", 40);

    for (size_t i = 0; i < 20; i++) { /* an editor that truncates, then writes */
        blank(world, first + i % 4, "file:notes");
        put(world, first + i % 4, "file:notes", 310);
        wait_ms(world, 1000);
    }
    assert_quiet(world);
}

/* ---- bulk_update and content_loss ---- */

static void overwriting_all_with_garbage_trips(void **state)
{
    struct world *world = *state;
    size_t first = add_many(world, "demo", 40);

    begin(world);
    for (size_t i = 0; i < 40; i++) {
        put(world, first + i, "mcp:claude-code", 300);
    }
    end(world);
    assert_alert(world, "bulk_update", 40, 40);
    assert_int_equal(shown(world, first).text, 0);
    assert_string_equal(world->alerts[0].summary,
                        "40 of 40 memories of project demo had their content changed by "
                        "mcp:claude-code within 1 s; the changes are held: what was there before "
                        "is still shown, nothing is lost");
}

static void overwriting_one_by_one_is_one_alert(void **state)
{
    struct world *world = *state;
    size_t first = add_many(world, "demo", 40);

    for (size_t i = 0; i < 40; i++) {
        wait_ms(world, 1000);
        put(world, first + i, "mcp:claude-code", 300);
    }
    assert_alert(world, "bulk_update", 40, 40);
    assert_int_equal(shown(world, first).text, 0);
}

static void half_of_a_project_may_be_rewritten(void **state)
{
    struct world *world = *state;
    size_t first = add_many(world, "demo", 40);

    for (size_t i = 0; i < 20; i++) {
        put(world, first + i, "mcp:x", 320);
    }
    assert_quiet(world);
    put(world, first + 20, "mcp:x", 320);
    assert_alert(world, "bulk_update", 21, 21);
}

static void nine_of_nine_may_be_rewritten(void **state)
{
    struct world *world = *state;
    size_t first = add_many(world, "demo", 9);

    for (size_t i = 0; i < 9; i++) {
        put(world, first + i, "mcp:x", 300);
    }
    assert_quiet(world);
}

static void truncating_by_sixty_percent_trips(void **state)
{
    struct world *world = *state;
    size_t first = add_many(world, "demo", 100);

    for (size_t i = 0; i < 5; i++) {
        assert_quiet(world);
        put(world, first + i, "mcp:x", 120);
    }
    assert_alert(world, "content_loss", 5, 5);
    assert_int_equal(shown(world, first).bytes, 300);
    assert_non_null(strstr(world->alerts[0].summary, "were cut short by mcp:x within 1 s (60 % of "
                                                     "their content gone)"));
}

static void truncating_to_half_does_not_trip(void **state)
{
    struct world *world = *state;
    size_t first = add_many(world, "demo", 100);

    for (size_t i = 0; i < 30; i++) {
        put(world, first + i, "mcp:x", 150);
    }
    assert_quiet(world);
}

static void a_loss_in_two_steps_is_one_loss(void **state)
{
    struct world *world = *state;
    size_t first = add_many(world, "demo", 100);

    for (size_t i = 0; i < 5; i++) {
        put(world, first + i, "mcp:x", 200);
        put(world, first + i, "mcp:x", 130);
    }
    assert_alert(world, "content_loss", 10, 5);
    assert_int_equal(shown(world, first).bytes, 300);
}

static void one_memory_made_short_among_small_edits_is_no_loss(void **state)
{
    struct world *world = *state;
    size_t first = add_many(world, "demo", 100);
    size_t log = add(world, "demo", 40000);

    put(world, log, "mcp:x", 5000);
    for (size_t i = 0; i < 20; i++) { /* a quarter less would count */
        put(world, first + i, "mcp:x", 226);
    }
    assert_quiet(world);
    for (size_t i = 0; i < 4; i++) {
        put(world, first + i, "mcp:x", 225);
    }
    assert_int_equal(world->alert_count, 1);
    assert_string_equal(world->alerts[0].rule, "content_loss");
    assert_int_equal(shown(world, log).bytes, 40000);
}

static void growing_memories_are_not_held_with_the_shrinking_ones(void **state)
{
    struct world *world = *state;
    size_t first = add_many(world, "demo", 100);

    put(world, first + 50, "cli", 400);
    for (size_t i = 0; i < 8; i++) {
        put(world, first + i, "mcp:x", 30);
    }
    put(world, first + 51, "mcp:x", 400);
    assert_int_equal(world->alert_count, 1);
    assert_string_equal(world->alerts[0].rule, "content_loss");
    assert_int_equal(shown(world, first + 50).bytes, 400);
    assert_int_equal(shown(world, first + 51).bytes, 400);
    assert_int_equal(shown(world, first).bytes, 300);
}

/* ---- version_jump ---- */

static void a_forged_version_is_held_at_once(void **state)
{
    struct world *world = *state;
    size_t first = add_many(world, "demo", 100);

    act(world, first, "mcp:x",
        (struct action){.bytes = 280, .other_text = true, .version = 2147483648});
    assert_alert(world, "version_jump", 1, 1);
    assert_int_equal(shown(world, first).bytes, 300);
    assert_string_equal(world->alerts[0].summary,
                        "1 of 100 memories of project demo had its sync_version raised by mcp:x "
                        "within 1 s (by up to 2147483647; more than 1000 at once is not "
                        "believed); the changes are held: what was there before is still shown, "
                        "nothing is lost");
}

static void a_version_may_rise_by_a_thousand(void **state)
{
    struct world *world = *state;
    size_t first = add_many(world, "demo", 100);

    act(world, first, "mcp:x", (struct action){.bytes = 300, .version = 1001});
    assert_quiet(world);
    act(world, first + 1, "mcp:x", (struct action){.bytes = 300, .version = 1002});
    assert_alert(world, "version_jump", 1, 1);
}

static void forged_versions_one_after_the_other_are_one_alert(void **state)
{
    struct world *world = *state;
    size_t first = add_many(world, "demo", 100);

    for (size_t i = 0; i < 8; i++) {
        act(world, first + i, "mcp:x", (struct action){.bytes = 300, .version = 1000000});
        wait_ms(world, 30000);
    }
    assert_alert(world, "version_jump", 8, 8);
}

static void forged_junk_over_a_whole_project_is_one_alert(void **state)
{
    struct world *world = *state;
    size_t first = add_many(world, "demo", 40);

    begin(world);
    for (size_t i = 0; i < 40; i++) {
        act(world, first + i, "mcp:x",
            (struct action){.bytes = 4, .other_text = true, .version = 2147483648});
    }
    end(world);
    assert_alert(world, "share", 40, 40);
    assert_int_equal(shown(world, first + 39).bytes, 300);
}

/* ---- on top of what is held ---- */

static void a_change_on_top_of_a_held_one_is_held_with_it(void **state)
{
    struct world *world = *state;
    size_t first = add_many(world, "demo", 40);

    for (size_t i = 0; i < 9; i++) { /* the second change carries the emptiness on */
        blank(world, first + i, "mcp:x");
        tag(world, first + i, "mcp:y");
    }
    assert_int_equal(world->alert_count, 1);
    for (size_t i = 0; i < 8; i++) {
        assert_int_equal(shown(world, first + i).bytes, 300);
    }
}

static void deleting_and_writing_junk_over_it_is_held(void **state)
{
    struct world *world = *state;
    size_t first = add_many(world, "demo", 40);

    begin(world);
    for (size_t i = 0; i < 40; i++) {
        del(world, first + i, "mcp:x");
    }
    for (size_t i = 0; i < 40; i++) {
        put(world, first + i, "mcp:x", 7);
    }
    end(world);
    assert_alert(world, "deletes", 80, 40);
    assert_int_equal(shown(world, first + 20).bytes, 300);
}

static void what_is_deleted_and_brought_back_is_not_destroyed(void **state)
{
    struct world *world = *state;
    size_t first = add_many(world, "demo", 40);

    for (size_t i = 0; i < 30; i++) {
        del(world, first + i, "cli");
        act(world, first + i, "cli", (struct action){.bytes = 300});
        wait_ms(world, 7000);
    }
    assert_quiet(world);
}

static void an_update_of_a_memory_that_is_held_flows_when_it_takes_nothing(void **state)
{
    struct world *world = *state;
    size_t first = add_many(world, "demo", 40);

    del_many(world, first, 40, "mcp:x");
    put(world, first, "mcp:x", 350);
    tag(world, first + 1, "mcp:x");
    assert_alert(world, "deletes", 40, 40);
    assert_int_equal(shown(world, first).bytes, 350);
}

#define WORLD_TEST(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WORLD_TEST(eleven_deletions_in_a_minute_trip_and_the_first_is_held_too),
        WORLD_TEST(ten_deletions_in_a_minute_do_not_trip_in_a_big_project),
        WORLD_TEST(ten_more_a_minute_later_do_not_trip_either),
        WORLD_TEST(the_window_includes_its_sixtieth_second),
        WORLD_TEST(deletions_of_one_actor_count_over_all_projects),
        WORLD_TEST(two_actors_have_an_allowance_each),
        WORLD_TEST(delete_all_is_held_whole_under_one_alert),
        WORLD_TEST(delete_all_one_by_one_is_one_alert_too),
        WORLD_TEST(a_drip_of_one_each_seven_seconds_trips),
        WORLD_TEST(a_drip_by_several_actors_trips),
        WORLD_TEST(a_fifth_of_a_project_does_not_trip_and_one_more_does),
        WORLD_TEST(four_of_four_are_too_few_to_trip_and_five_of_five_are_not),
        WORLD_TEST(blanking_thirty_percent_trips),
        WORLD_TEST(blanking_one_by_one_is_a_loss_of_content_first),
        WORLD_TEST(a_drip_of_emptied_memories_trips),
        WORLD_TEST(deleting_and_blanking_count_together),
        WORLD_TEST(emptying_in_steps_counts_as_emptying),
        WORLD_TEST(what_is_emptied_and_written_again_does_not_count),
        WORLD_TEST(overwriting_all_with_garbage_trips),
        WORLD_TEST(overwriting_one_by_one_is_one_alert),
        WORLD_TEST(half_of_a_project_may_be_rewritten),
        WORLD_TEST(nine_of_nine_may_be_rewritten),
        WORLD_TEST(truncating_by_sixty_percent_trips),
        WORLD_TEST(truncating_to_half_does_not_trip),
        WORLD_TEST(a_loss_in_two_steps_is_one_loss),
        WORLD_TEST(one_memory_made_short_among_small_edits_is_no_loss),
        WORLD_TEST(growing_memories_are_not_held_with_the_shrinking_ones),
        WORLD_TEST(a_forged_version_is_held_at_once),
        WORLD_TEST(a_version_may_rise_by_a_thousand),
        WORLD_TEST(forged_versions_one_after_the_other_are_one_alert),
        WORLD_TEST(forged_junk_over_a_whole_project_is_one_alert),
        WORLD_TEST(a_change_on_top_of_a_held_one_is_held_with_it),
        WORLD_TEST(deleting_and_writing_junk_over_it_is_held),
        WORLD_TEST(what_is_deleted_and_brought_back_is_not_destroyed),
        WORLD_TEST(an_update_of_a_memory_that_is_held_flows_when_it_takes_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
