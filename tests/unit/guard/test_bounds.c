/* Requests far above the common: many ranges, many projects, time and memory. */
#include "guard/world.h"

#include <malloc.h>

/* Every second change is somebody else's new memory, so that no two of the others make one range.
 */
static void a_hundred_thousand_interleaved_deletions_are_all_held(void **state)
{
    struct world *world = *state;
    size_t count = unit_times(LEDGER_REQUEST_MAX);
    size_t demo = add_many(world, "demo", count);

    begin(world);
    for (size_t i = 0; i < count; i++) {
        del(world, demo + i, "mcp:x");
        (void)add(world, "other", 10);
    }
    end(world);
    assert_alert(world, "deletes", count, count);
    assert_int_equal(world->alerts[0].decisions, count / RANGES_MAX);
    assert_int_equal(alive_among(world, demo, count), count);
}

static void one_range_more_than_a_decision_takes_is_two_decisions(void **state)
{
    struct world *world = *state;
    size_t demo = add_many(world, "demo", 2 * RANGES_MAX + 2);

    begin(world);
    for (size_t i = 0; i < RANGES_MAX; i++) {
        del(world, demo + i, "mcp:x");
        (void)add(world, "other", 10);
    }
    end(world);
    assert_int_equal(world->alerts[0].decisions, 1);
    wait_ms(world, 60000);
    begin(world);
    for (size_t i = 0; i < RANGES_MAX + 1; i++) {
        del(world, demo + RANGES_MAX + i, "mcp:x");
        (void)add(world, "other", 10);
    }
    end(world);
    assert_int_equal(world->alert_count, 2);
    assert_int_equal(world->alerts[1].decisions, 2);
    assert_int_equal(world->alerts[1].held, RANGES_MAX + 1);
}

static void contiguous_changes_are_one_range(void **state)
{
    struct world *world = *state;
    size_t demo = add_many(world, "demo", 1000);
    struct decision decisions[JUDGE_DECISIONS_MAX];
    struct judge_view view = {world_live, world};
    size_t count = 0;

    begin(world);
    for (size_t i = 0; i < 500; i++) {
        del(world, demo + i, "mcp:x");
    }
    assert_ok(world->judge.judge(world->judge.arg, world->effects, world->effect_count, &view,
                                 decisions, &count, &world->err),
              &world->err);
    world->judge.settled(world->judge.arg, true);
    assert_int_equal(count, 1);
    assert_int_equal(decisions[0].ranges.count, 1);
    assert_int_equal(ranges_total(&decisions[0].ranges), 500);
    decision_done(&decisions[0]);
}

static const char *project_name(char names[][16], size_t number)
{
    (void)snprintf(names[number], sizeof(names[number]), "p%zu", number);
    return names[number];
}

/* More alerts than a call has decisions: they become one, and what comes later joins it. */
static void emptying_a_hundred_projects_at_once_is_one_alert(void **state)
{
    struct world *world = *state;
    static char names[100][16];

    for (size_t p = 0; p < 100; p++) {
        (void)add_many(world, project_name(names, p), 20);
    }
    begin(world);
    for (size_t i = 0; i < 2000; i++) {
        if (i % 20 < 15) {
            blank(world, i, "mcp:x");
        }
    }
    end(world);
    assert_alert(world, "share", 1500, 1500);
    assert_non_null(strstr(world->alerts[0].summary,
                           "1500 memories of several projects were emptied by mcp:x"));
    assert_int_equal(shown(world, 1999).bytes, 300);
    blank(world, 20 * 50 + 16, "mcp:y");
    assert_alert(world, "share", 1501, 1501);
}

static void sixteen_projects_have_an_alert_each(void **state)
{
    struct world *world = *state;
    static char names[16][16];

    for (size_t p = 0; p < 16; p++) {
        (void)add_many(world, project_name(names, p), 20);
    }
    begin(world);
    for (size_t i = 0; i < 320; i++) {
        blank(world, i, "mcp:x");
    }
    end(world);
    assert_int_equal(world->alert_count, 16);
    assert_int_equal(world->held, 320);
}

/* Twenty incidents are under way, and one request touches all of them. */
static void joining_more_incidents_than_decisions_holds_everything(void **state)
{
    struct world *world = *state;
    static char names[20][16];

    for (size_t p = 0; p < 20; p++) {
        size_t first = add_many(world, project_name(names, p), 40);
        begin(world);
        for (size_t i = 0; i < 20; i++) {
            blank(world, first + i, "mcp:x");
        }
        end(world);
    }
    assert_int_equal(world->alert_count, 20);
    assert_int_equal(world->held, 400);
    struct world_copy copy = world_keep(world);
    for (int round = 0; round < 2; round++) {
        begin(world);
        for (size_t i = 20; i < 800; i += 40) {
            blank(world, i, "mcp:x");
            blank(world, i + 1, "mcp:x");
        }
        assert_ok(judge_it(world), &world->err);
        assert_int_equal(world->held, 440);
        assert_int_equal(world->alert_count, 20);
        if (round == 0) {
            roll_back(world, &copy);
        }
    }
    world->judge.settled(world->judge.arg, true);
    uint64_t changes = 0;
    for (size_t i = 0; i < 20; i++) {
        changes += world->alerts[i].changes;
        assert_int_equal(world->alerts[i].held, world->alerts[i].changes);
    }
    assert_int_equal(changes, 440);
}

/* New ones and joined ones, together too many. */
static void new_and_old_incidents_together_fit(void **state)
{
    struct world *world = *state;
    static char names[40][16];

    for (size_t p = 0; p < 40; p++) {
        (void)add_many(world, project_name(names, p), 40);
    }
    for (size_t p = 0; p < 20; p++) {
        begin(world);
        for (size_t i = 0; i < 20; i++) {
            blank(world, p * 40 + i, "mcp:x");
        }
        end(world);
    }
    begin(world);
    for (size_t p = 0; p < 40; p++) {
        for (size_t i = 20; i < 35; i++) {
            blank(world, p * 40 + i, "mcp:x");
        }
    }
    end(world);
    assert_int_equal(world->held, 20 * 20 + 40 * 15);
    assert_int_equal(world->alert_count, 21);
    for (size_t i = 0; i < world->alert_count; i++) {
        assert_int_equal(world->alerts[i].held, world->alerts[i].changes);
    }
}

/* ---- beyond ---- */

static uint64_t no_live(const struct judge_view *view, const char *project_id)
{
    (void)view;
    (void)project_id;
    return 0;
}

static struct effect *interleaved(struct world *world, size_t count)
{
    struct effect *effects = xcalloc(count, sizeof(*effects));

    for (size_t i = 0; i < count; i++) {
        effects[i] = (struct effect){
            .kind = EFFECT_DELETE,
            .origin = world->origin,
            .seq = 2 * i + 1,
            .memory = memory_id(i),
            .project_id = "demo",
            .source = "mcp:x",
            .content_changed = true,
            .old_bytes = 300,
            .old_version = 1,
            .new_version = 2,
            .at_us = WORLD_NOW_US,
        };
    }
    return effects;
}

static int judge_them(struct world *world, const struct effect *effects, size_t count,
                      uint64_t *ret_held)
{
    struct decision decisions[JUDGE_DECISIONS_MAX];
    struct judge_view view = {no_live, NULL};
    size_t made = 0;

    *ret_held = 0;
    int result =
        world->judge.judge(world->judge.arg, effects, count, &view, decisions, &made, &world->err);
    for (size_t i = 0; i < made; i++) {
        *ret_held += ranges_total(&decisions[i].ranges);
        decision_done(&decisions[i]);
    }
    return result;
}

static void what_can_not_be_held_at_once_is_refused_whole(void **state)
{
    struct world *world = *state;
    size_t count = (size_t)JUDGE_DECISIONS_MAX * RANGES_MAX;
    AUTO(free_ptr) struct effect *effects = interleaved(world, count + 1);
    uint64_t held;

    assert_refused(judge_them(world, effects, count + 1, &held), &world->err, ERR_LIMIT,
                   "destroys too much");
    world->judge.settled(world->judge.arg, true);
    assert_int_equal(world->guard->windows.count, 0);
    assert_null(world->guard->incidents.list);
    assert_ok(judge_them(world, effects, count, &held), &world->err);
    world->judge.settled(world->judge.arg, true);
    assert_int_equal(held, count);
}

/* Up to INCIDENT_MEMORIES_MAX each memory counts once; beyond, each change counts as one more. */
static void memories_of_a_huge_incident_are_counted_once_up_to_the_bound(void **state)
{
    struct world *world = *state;
    size_t count = INCIDENT_MEMORIES_MAX;
    AUTO(free_ptr) struct effect *effects = interleaved(world, count + 1);
    const struct incident *incident;
    uint64_t held;

    assert_ok(judge_them(world, effects, count, &held), &world->err);
    world->judge.settled(world->judge.arg, true);
    incident = world->guard->incidents.list;
    assert_int_equal(incident_memories(incident), count);
    assert_ok(judge_them(world, effects, 1, &held), &world->err); /* the first again: known */
    world->judge.settled(world->judge.arg, true);
    assert_int_equal(incident_memories(incident), count);
    for (int round = 1; round <= 2; round++) { /* one past it, twice */
        assert_ok(judge_them(world, &effects[count], 1, &held), &world->err);
        world->judge.settled(world->judge.arg, true);
        assert_int_equal(incident_memories(incident), count + (size_t)round);
    }
    assert_int_equal(incident->state.changes, count + 3);
}

/* ---- many ---- */

static void a_hundred_thousand_deletions_are_held_to_the_last(void **state)
{
    struct world *world = *state;
    size_t many = unit_times(LEDGER_REQUEST_MAX);
    AUTO(free_ptr) struct effect *effects = interleaved(world, many);
    uint64_t held;

    assert_ok(judge_them(world, effects, many, &held), &world->err);
    world->judge.settled(world->judge.arg, true);
    assert_int_equal(held, many);
}

static uint64_t many_live(const struct judge_view *view, const char *project_id)
{
    (void)view;
    (void)project_id;
    return 1000000;
}

static void a_hundred_thousand_requests_of_one_update_are_bounded(void **state)
{
    struct world *world = *state;
    size_t many = unit_times(LEDGER_REQUEST_MAX);
    AUTO(free_ptr) struct effect *effects = interleaved(world, many);
    struct decision decisions[JUDGE_DECISIONS_MAX];
    struct judge_view view = {many_live, NULL};
    size_t made = 0;

    for (size_t i = 0; i < many; i++) {
        effects[i].kind = EFFECT_UPDATE;
        effects[i].new_bytes = 300;
        assert_ok(world->judge.judge(world->judge.arg, &effects[i], 1, &view, decisions, &made,
                                     &world->err),
                  &world->err);
        world->judge.settled(world->judge.arg, true);
        assert_int_equal(made, 0);
    }
    assert_true(world->guard->windows.count <= WINDOW_EVENTS_MAX);
}

static void an_old_burst_leaves_no_memory_behind(void **state)
{
    struct world *world = *state;
    size_t many = unit_times(LEDGER_REQUEST_MAX);
    AUTO(free_ptr) struct effect *effects = interleaved(world, many);
    uint64_t held;

    for (size_t i = 0; i < many; i++) {
        effects[i].source = "mcp:y";
    }
    size_t before = mallinfo2().uordblks;
    assert_ok(judge_them(world, effects, many, &held), &world->err);
    world->judge.settled(world->judge.arg, true);
    wait_ms(world, 7200000);
    assert_ok(judge_them(world, effects, 1, &held), &world->err);
    world->judge.settled(world->judge.arg, true);
    size_t after = mallinfo2().uordblks;
    assert_true(after < before + 256 * 1024);
}

#define WORLD_TEST(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WORLD_TEST(a_hundred_thousand_interleaved_deletions_are_all_held),
        WORLD_TEST(one_range_more_than_a_decision_takes_is_two_decisions),
        WORLD_TEST(contiguous_changes_are_one_range),
        WORLD_TEST(emptying_a_hundred_projects_at_once_is_one_alert),
        WORLD_TEST(sixteen_projects_have_an_alert_each),
        WORLD_TEST(joining_more_incidents_than_decisions_holds_everything),
        WORLD_TEST(new_and_old_incidents_together_fit),
        WORLD_TEST(what_can_not_be_held_at_once_is_refused_whole),
        WORLD_TEST(memories_of_a_huge_incident_are_counted_once_up_to_the_bound),
        WORLD_TEST(a_hundred_thousand_deletions_are_held_to_the_last),
        WORLD_TEST(a_hundred_thousand_requests_of_one_update_are_bounded),
        WORLD_TEST(an_old_burst_leaves_no_memory_behind),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
