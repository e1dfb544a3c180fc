/* The windows' sums, kept up to date step by step, against the same counted anew; and what becomes
 * of too many events. */
#include "guard/world.h"

/* ---- counting anew ---- */

static bool is_within(const struct windows *windows, const struct window_event *event, size_t slot)
{
    return event->serial >= windows->edge[slot];
}

static void add_net(struct window_totals *totals, const struct window_net *net)
{
    totals->deleted += net->is_deleted;
    totals->destroyed += net->is_destroyed;
    totals->wrecked += net->is_wrecked;
    totals->changed += net->is_changed;
    totals->cut += net->is_cut;
    totals->replaced += net->is_replaced;
    totals->away += net->is_away;
    totals->old_bytes += net->old_bytes;
    totals->taken_bytes += net->taken_bytes;
}

static void add_totals(struct window_totals *into, const struct window_totals *totals)
{
    into->deleted += totals->deleted;
    into->destroyed += totals->destroyed;
    into->wrecked += totals->wrecked;
    into->changed += totals->changed;
    into->cut += totals->cut;
    into->replaced += totals->replaced;
    into->away += totals->away;
    into->old_bytes += totals->old_bytes;
    into->taken_bytes += totals->taken_bytes;
}

static void check_memory(const struct windows *windows, const struct window_memory *memory,
                         struct window_totals totals[LIMITS_SLOTS_MAX])
{
    const struct window_event *oldest = memory->last;

    assert_int_equal(memory->taken, 0);
    assert_non_null(oldest);
    assert_null(oldest->memory_newer);
    while (oldest->memory_older != NULL) {
        assert_ptr_equal(oldest->memory_older->memory_newer, oldest);
        assert_true(oldest->memory_older->serial < oldest->serial);
        oldest = oldest->memory_older;
    }
    for (size_t k = 0; k < windows->limits->net_count; k++) {
        const struct window_event *first = NULL;
        uint32_t counted = 0;
        for (const struct window_event *e = oldest; e != NULL; e = e->memory_newer) {
            if (is_within(windows, e, k)) {
                const struct window_slot *slot = &windows->limits->slots[k];
                bool of_updates = slot->kind == WINDOW_UPDATE || slot->kind == WINDOW_LOSS;
                first = first == NULL ? e : first;
                counted += (e->groups & slot->members) != 0 &&
                           (e->is_content || ((e->is_delete || e->is_moving) && !of_updates));
            }
        }
        assert_ptr_equal(memory->tallies[k].first, first);
        assert_int_equal(memory->tallies[k].counted, counted);
        struct window_net net = window_memory_net(windows, memory, k);
        add_net(&totals[k], &net);
    }
}

static uint64_t events_in(const struct windows *windows, const struct window_project *project)
{
    uint64_t count = 0;

    for (const struct window_event *e = windows->oldest; e != NULL; e = e->newer) {
        count += e->place == project ? 1 : 0;
    }
    return count;
}

static size_t check_projects(const struct windows *windows)
{
    struct window_totals all[LIMITS_SLOTS_MAX] = {{.deleted = 0}};
    size_t memories = 0;

    for (const struct window_project *p = windows->project_list; p != NULL; p = p->next) {
        struct window_totals totals[LIMITS_SLOTS_MAX] = {{.deleted = 0}};
        const struct window_memory *before = NULL;
        for (const struct window_memory *m = p->first; m != NULL; m = m->newer) {
            assert_ptr_equal(m->older, before);
            assert_ptr_equal(m->project, p);
            check_memory(windows, m, totals);
            before = m;
            memories++;
        }
        assert_ptr_equal(p->last, before);
        assert_int_equal(p->events, events_in(windows, p));
        for (size_t k = 0; k < windows->limits->net_count; k++) {
            assert_memory_equal(&totals[k], &p->totals[k], sizeof(totals[k]));
            add_totals(&all[k], &totals[k]);
        }
    }
    assert_memory_equal(all, windows->all.totals, windows->limits->net_count * sizeof(all[0]));
    return memories;
}

static void check_actors(const struct windows *windows)
{
    for (const struct window_actor *a = windows->actor_list; a != NULL; a = a->next) {
        const struct window_event *before = NULL;
        uint64_t deletes = 0;
        for (const struct window_event *e = a->first; e != NULL; e = e->actor_newer) {
            assert_ptr_equal(e->actor_older, before);
            assert_ptr_equal(e->actor, a);
            assert_true(e->of_actor && e->is_destroying);
            assert_true(windows->now_ms - e->mono_ms <=
                        windows->limits->options[a->group].delete_window_ms);
            deletes += e->is_delete;
            before = e;
        }
        assert_ptr_equal(a->last, before);
        assert_int_equal(a->deletes, deletes);
    }
}

static void check(const struct windows *windows)
{
    const struct window_event *before = NULL;
    size_t count = 0;

    for (const struct window_event *e = windows->oldest; e != NULL; e = e->newer) {
        assert_ptr_equal(e->older, before);
        assert_false(e->is_taken);
        assert_true(before == NULL ||
                    (before->serial < e->serial && before->mono_ms <= e->mono_ms));
        for (size_t k = 0; k < windows->limits->slot_count; k++) {
            if (is_within(windows, e, k) && (before == NULL || !is_within(windows, before, k))) {
                assert_ptr_equal(windows->cursor[k], e);
            }
        }
        before = e;
        count++;
    }
    assert_ptr_equal(windows->newest, before);
    assert_int_equal(windows->count, count);
    assert_int_equal(windows->events.taken, count);
    assert_int_equal(windows->memories.count, check_projects(windows));
    assert_int_equal(windows->memory_pool.taken, windows->memories.count);
    check_actors(windows);
}

/* ---- chance ---- */

static uint64_t chance(uint64_t *seed, uint64_t below)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    return *seed % below;
}

static const char *const actors[] = {"cli", "mcp:a", "app: agent (psql)", "notes"};

/* Anything at all, more or less destructive. */
static void act_by_chance(struct world *world, uint64_t *seed)
{
    size_t memory = chance(seed, world->memory_count);
    const char *actor = actors[chance(seed, 4)];
    const struct world_change *now = now_of(world, memory);

    switch (chance(seed, 9)) {
    case 0:
        del(world, memory, actor);
        break;
    case 1:
        blank(world, memory, actor);
        break;
    case 2:
        put(world, memory, actor, (uint32_t)chance(seed, 400) + 1);
        break;
    case 3:
        if (now != NULL) {
            put(world, memory, actor, now->bytes * 2 / 3 + 1);
        }
        break;
    case 4:
        if (now != NULL && !now->deleted) {
            tag(world, memory, actor);
        }
        break;
    case 5:
        if (chance(seed, 10) == 0) {
            act(world, memory, actor,
                (struct action){.bytes = 300, .version = highest_version_of(world, memory) + 2000});
        }
        break;
    case 6:
        if (now != NULL && !now->deleted) {
            move(world, memory, actor, chance(seed, 2) ? "demo" : "third");
        }
        break;
    default:
        (void)add(world, chance(seed, 2) ? "demo" : "other", 300);
        break;
    }
}

static void assert_no_look_trips(const struct windows *windows, const struct watch *watch,
                                 const struct window_project *project, uint64_t live)
{
    size_t drip = watch->slots[watch->rule->look_count - 1];

    for (size_t k = 0; k < watch->rule->look_count; k++) {
        struct window_totals totals = windows_totals(windows, project, watch->slots[k], drip);
        assert_false(watch->rule->looks[k].trips(watch->options, &totals, live));
    }
}

static void assert_no_rule_trips(const struct windows *windows, enum rule_scope scope,
                                 const struct window_project *project, uint64_t live)
{
    for (size_t i = 0; i < windows->limits->watch_count; i++) {
        if (windows->limits->watches[i].rule->scope == scope) {
            assert_no_look_trips(windows, &windows->limits->watches[i], project, live);
        }
    }
}

/* What is not held never exceeds what the rules allow, wherever something just happened. */
static void assert_within_thresholds(struct world *world)
{
    const struct windows *windows = &world->guard->windows;
    struct judge_view view = {world_live, world};

    for (const struct window_actor *a = windows->actor_list; a != NULL; a = a->next) {
        assert_true(window_actor_deletes(windows, a) <=
                    windows->limits->options[a->group].delete_max);
    }
    for (const struct window_project *p = windows->project_list; p != NULL; p = p->next) {
        if (p->touched == windows->call) {
            assert_no_rule_trips(windows, RULE_OF_PROJECT, p, world_live(&view, p->id));
        }
    }
    assert_no_rule_trips(windows, RULE_OF_ALL, &windows->all, world_live(&view, NULL));
}

static void run_by_chance_with(const struct guard_source *sources, size_t source_count,
                               uint64_t seed, size_t events_max, int64_t pause_ms, int rounds)
{
    struct world world;

    world_init_with(&world, NULL, sources, source_count);
    world.guard->windows.events_max = events_max;
    (void)add_many(&world, "demo", 60);
    (void)add_many(&world, "other", 60);
    for (int round = 0; round < rounds && world.alert_count < WORLD_ALERTS_MAX - 20; round++) {
        bool fails = chance(&seed, 4) == 0;
        struct world_copy copy = {.changes = NULL};
        wait_ms(&world, (int64_t)chance(&seed, (uint64_t)pause_ms));
        if (fails) {
            copy = world_keep(&world);
        }
        for (uint64_t requests = chance(&seed, 4) + 1; requests > 0; requests--) {
            begin(&world);
            for (uint64_t acts = chance(&seed, 6) + 1; acts > 0; acts--) {
                act_by_chance(&world, &seed);
            }
            assert_ok(judge_it(&world), &world.err);
        }
        if (fails) {
            roll_back(&world, &copy);
        } else {
            world.judge.settled(world.judge.arg, true);
        }
        check(&world.guard->windows);
        if (!fails && events_max == WINDOW_EVENTS_MAX) {
            assert_within_thresholds(&world);
        }
        assert_true(world.guard->windows.count <= 2 * events_max + 64);
    }
    world_done(&world);
}

static void run_by_chance(uint64_t seed, size_t events_max, int64_t pause_ms, int rounds)
{
    run_by_chance_with(NULL, 0, seed, events_max, pause_ms, rounds);
}

static void the_sums_agree_after_any_actions_and_rollbacks(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        run_by_chance(seed * 7919, WINDOW_EVENTS_MAX, 20000, 250);
    }
}

static void the_sums_agree_when_time_flies(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 10; seed++) {
        run_by_chance(seed * 104729, WINDOW_EVENTS_MAX, 1200000, 250);
    }
}

static void the_sums_agree_when_events_are_folded(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        run_by_chance(seed * 15485863, 16, 10000, 250);
    }
}

static void the_sums_agree_where_sources_have_thresholds_of_their_own(void **state)
{
    struct guard_source sources[] = {{"app", GUARD_OPTIONS_DEFAULT},
                                     {"notes", GUARD_OPTIONS_DEFAULT}};
    const size_t bounds[] = {WINDOW_EVENTS_MAX, 16};
    const int64_t pauses_ms[] = {20000, 1200000, 10000};

    (void)state;
    sources[0].options.share_max = 0.5;
    sources[0].options.loss_max = 0.8;
    sources[0].options.delete_max = 30;
    sources[0].options.drip_window_ms = 1200000;
    sources[0].options.total_max = 200;
    sources[1].options.delete_max = 4;
    sources[1].options.delete_window_ms = 600000;
    sources[1].options.share_max = 0.1;
    sources[1].options.update_window_ms = 300000;
    sources[1].options.update_max = 0.8;
    for (uint64_t seed = 1; seed <= 24; seed++) {
        run_by_chance_with(sources, 2, seed * 32452843, bounds[seed % 2], pauses_ms[seed % 3], 250);
    }
}

/* ---- too many events ---- */

static void what_was_folded_still_trips_and_is_held(void **state)
{
    struct world *world = *state;
    size_t demo = add_many(world, "demo", 1000);

    world->guard->windows.events_max = 64;
    for (size_t i = 0; i < 201; i++) { /* one each 7 s; most of them are in a summary at the end */
        wait_ms(world, 7000);
        del(world, demo + i, i % 2 ? "mcp:x" : "mcp:y");
    }
    assert_alert(world, "share", 201, 201);
    assert_int_equal(alive_among(world, demo, 1000), 1000);
    assert_int_equal(world->guard->windows.summary_count, 0);
}

static void folded_updates_still_trip_and_are_held(void **state)
{
    struct world *world = *state;
    size_t demo = add_many(world, "demo", 1000);

    world->guard->windows.events_max = 64;
    for (size_t i = 0; i < 501; i++) {
        wait_ms(world, 50);
        put(world, demo + i, "mcp:x", 310);
    }
    assert_alert(world, "bulk_update", 501, 501);
    assert_int_equal(shown(world, demo).text, 0);
}

static void folded_losses_still_trip(void **state)
{
    struct world *world = *state;
    size_t demo = add_many(world, "demo", 10000);

    world->guard->windows.events_max = 64;
    begin(world);
    for (size_t i = 0; i < 400; i++) { /* grown, so that what is lost at first is not enough */
        put(world, demo + 1000 + i, "mcp:x", 300);
    }
    end(world);
    for (size_t i = 0; i < 1000; i++) {
        put(world, demo + i, "mcp:x", 60);
        if (world->alert_count > 0) {
            break;
        }
    }
    assert_int_equal(world->alert_count, 1);
    assert_string_equal(world->alerts[0].rule, "content_loss");
    assert_int_equal(shown(world, demo).bytes, 300);
    assert_int_equal(shown(world, demo + 1000).text, 1); /* no loss: it flows */
}

static void summaries_are_forgotten_when_they_are_too_old(void **state)
{
    struct world *world = *state;
    size_t demo = add_many(world, "demo", 1000);

    world->guard->windows.events_max = 16;
    for (size_t i = 0; i < 100; i++) {
        wait_ms(world, 7000);
        del(world, demo + i, "mcp:x");
    }
    assert_true(world->guard->windows.summary_count > 0);
    assert_true(world->guard->windows.summary_count <= WINDOW_SUMMARIES_MAX);
    wait_ms(world, 3700000);
    del_many(world, demo + 100, 10, "mcp:x");
    assert_int_equal(world->guard->windows.summary_count, 0);
    assert_int_equal(world->guard->windows.summary_ranges, 0);
    assert_quiet(world);
}

static void ranges_beyond_the_bound_count_and_are_told(void **state)
{
    struct world *world = *state;
    size_t demo = add_many(world, "demo", 40000);

    world->guard->windows.events_max = 64;
    world->guard->limits.options[0].total_max = world->guard->limits.options[0].loss_min =
        10000; /* other rules */
    for (size_t i = 0; i < 8001;
         i++) { /* each second change is of another memory, so no range grows */
        (void)add(world, "other", 300);
        wait_ms(world, i % 100 == 0 ? 10 : 0);
        begin(world);
        del(world, demo + i, "mcp:x");
        world->effects[0].source = actors[i % 4];
        if (i < 8000) {
            world->effects[0].kind = EFFECT_UPDATE; /* so that no actor deletes too many */
            world->effects[0].blanked = true;
            world->effects[0].old_bytes = world->effects[0].new_bytes = 1;
        }
        end(world);
    }
    assert_int_equal(world->alert_count, 1);
    assert_string_equal(world->alerts[0].rule, "share");
    assert_true(world->alerts[0].held >= WINDOW_SUMMARY_RANGES_MAX);
    assert_true(world->alerts[0].held < 8001);
    assert_non_null(strstr(world->alerts[0].summary, "earlier changes were too many to keep"));
}

static void deletions_too_many_to_keep_still_trip_the_actors_rule(void **state)
{
    struct guard_options options = GUARD_OPTIONS_DEFAULT;
    struct world world;

    (void)state;
    options.delete_max = 200;
    options.total_max = 1000; /* not the rule of this test */
    world_init(&world, &options);
    world.guard->windows.events_max = 16;
    size_t demo = add_many(&world, "demo", 5000);
    for (size_t i = 0; i < 201; i++) {
        assert_quiet(&world);
        del(&world, demo + i, "mcp:x");
        wait_ms(&world, 100);
    }
    assert_int_equal(world.alert_count, 1);
    assert_string_equal(world.alerts[0].rule, "deletes");
    assert_true(world.alerts[0].held > 0 && world.alerts[0].held < 201);
    assert_non_null(strstr(world.alerts[0].summary, "earlier changes were too many to keep"));
    world_done(&world);
}

static void nothing_is_kept_of_a_burst_that_is_over(void **state)
{
    struct world *world = *state;
    size_t demo = add_many(world, "demo", 1000);

    del_many(world, demo, 500, "mcp:x");
    wait_ms(world, 4000000);
    del(world, demo + 600, "cli");
    wait_ms(world, 4000000);
    blank(world, demo + 601, "cli");
    assert_int_equal(world->guard->windows.count, 1);
    assert_int_equal(world->guard->windows.memories.count, 1);
    assert_null(world->guard->incidents.list);
}

static void names_that_nobody_needs_any_more_go(void **state)
{
    struct world *world = *state;
    size_t demo = add_many(world, "demo", 5000);
    static char names[2000][16];

    for (size_t i = 0; i < 2000; i++) {
        (void)snprintf(names[i], sizeof(names[i]), "http:%zu", i);
        wait_ms(world, 7200000);
        del(world, demo + i, names[i]);
    }
    assert_true(world->guard->windows.actors.count < 1000);
    assert_quiet(world);
}

static void names_of_an_incident_under_way_stay(void **state)
{
    struct world *world = *state;
    size_t demo = add_many(world, "demo", 5000);
    static char names[600][16];

    world->guard->limits.options[0].total_max = 1000; /* not the rule of this test */
    del_many(world, demo, 12, "mcp:x");
    for (size_t i = 0; i < 600; i++) {
        (void)snprintf(names[i], sizeof(names[i]), "http:%zu", i);
        del(world, demo + 100 + i, names[i]);
        wait_ms(world, 50);
    }
    wait_ms(world, 29000);
    del(world, demo + 1000, "mcp:x");
    assert_alert(world, "deletes", 13, 13);
}

#define WORLD_TEST(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_sums_agree_after_any_actions_and_rollbacks),
        cmocka_unit_test(the_sums_agree_when_time_flies),
        cmocka_unit_test(the_sums_agree_when_events_are_folded),
        cmocka_unit_test(the_sums_agree_where_sources_have_thresholds_of_their_own),
        WORLD_TEST(what_was_folded_still_trips_and_is_held),
        WORLD_TEST(folded_updates_still_trip_and_are_held),
        WORLD_TEST(folded_losses_still_trip),
        WORLD_TEST(summaries_are_forgotten_when_they_are_too_old),
        WORLD_TEST(ranges_beyond_the_bound_count_and_are_told),
        cmocka_unit_test(deletions_too_many_to_keep_still_trip_the_actors_rule),
        WORLD_TEST(nothing_is_kept_of_a_burst_that_is_over),
        WORLD_TEST(names_that_nobody_needs_any_more_go),
        WORLD_TEST(names_of_an_incident_under_way_stay),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
