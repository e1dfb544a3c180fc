/* Restarts give nobody a fresh allowance, and end no incident. */
#include "guard/guard_internal.h"
#include "guard/place.h"

static void a_drip_from_before_a_restart_trips_after_it(void **state)
{
    struct place *place = *state;

    for (unsigned i = 1; i <= 8; i++) {
        pass_ms(place, 7000);
        delete_of(&place->home, id_of(i));
        if (i % 3 == 0) {
            restart(place);
        }
    }
    assert_alerts(place, 0);
    pass_ms(place, 7000);
    delete_of(&place->home, id_of(9));
    assert_alerts(place, 1);
    assert_intact(place, 1, PROJECT_MAX);
}

static void a_burst_from_before_a_restart_counts(void **state)
{
    struct place *place = *state;

    put_many(place, 101, 200);
    delete_many(place, 1, 10, false);
    pass_ms(place, 59000);
    restart(place);
    delete_many(place, 11, 11, true);
    AUTO(alert_done) struct alert alert = last_alert(place, true);
    assert_string_equal(alert.rule, "deletes");
    assert_int_equal(alert.changes, 11);
}

static void what_is_too_old_counts_no_more_after_a_restart(void **state)
{
    struct place *place = *state;

    delete_many(place, 1, 8, false);
    pass_ms(place, 3600001);
    restart(place);
    delete_many(place, 9, 14, false);
    assert_alerts(place, 0);
}

static void losses_from_before_a_restart_count(void **state)
{
    struct place *place = *state;
    static const char cut[] = "a hundred bytes or so are left of what were three hundred, and "
                              "nobody asked for it to be cut, no";

    for (unsigned i = 1; i <= 4; i++) {
        put(&place->home, id_of(i), cut);
    }
    restart(place);
    assert_alerts(place, 0);
    put(&place->home, id_of(5), cut);
    assert_alerts(place, 1);
    AUTO(alert_done) struct alert alert = last_alert(place, true);
    assert_string_equal(alert.rule, "content_loss");
    assert_intact(place, 1, PROJECT_MAX);
}

static void rewrites_from_before_a_restart_count(void **state)
{
    struct place *place = *state;
    char content[400];

    memset(content, 'x', sizeof(content) - 1);
    content[sizeof(content) - 1] = '\0';
    for (unsigned i = 1; i <= 20; i++) {
        put(&place->home, id_of(i), content);
    }
    restart(place);
    assert_alerts(place, 0);
    put(&place->home, id_of(21), content);
    AUTO(alert_done) struct alert alert = last_alert(place, true);
    assert_non_null(alert.rule);
    assert_string_equal(alert.rule, "bulk_update");
    assert_intact(place, 1, PROJECT_MAX);
}

static void an_incident_goes_on_after_a_restart(void **state)
{
    struct place *place = *state;

    delete_many(place, 1, 20, true);
    pass_ms(place, 30000);
    restart(place);
    delete_many(place, 20, 25, true);
    AUTO(alert_done) struct alert alert = last_alert(place, true);
    assert_int_equal(alert.version, 1);
    assert_int_equal(alert.changes, 26);
    assert_int_equal(alert.memories, 25);
    assert_intact(place, 1, PROJECT_MAX);
}

static void a_share_incident_goes_on_after_a_restart(void **state)
{
    struct place *place = *state;

    for (unsigned i = 1; i <= 9; i++) {
        pass_ms(place, 61000);
        delete_of(&place->home, id_of(i));
    }
    assert_alerts(place, 1);
    restart(place);
    pass_ms(place, 1800000);
    delete_of(&place->home, id_of(10));
    AUTO(alert_done) struct alert alert = last_alert(place, true);
    assert_int_equal(alert.version, 1);
    assert_int_equal(alert.changes, 10);
    assert_string_equal(alert.rule, "share");
}

static void an_incident_that_is_over_stays_over_after_a_restart(void **state)
{
    struct place *place = *state;

    delete_many(place, 1, 20, true);
    pass_ms(place, 60000);
    restart(place);
    delete_many(place, 21, 25, false);
    assert_alerts(place, 1);
    assert_gone(place, 21, 25);
    assert_intact(place, 1, 20);
}

static void what_was_accepted_counts_no_more_after_a_restart(void **state)
{
    struct place *place = *state;

    delete_many(place, 1, 20, true);
    resolve(place, true);
    restart(place);
    delete_many(place, 21, 24, false);
    assert_alerts(place, 1);
    assert_gone(place, 1, 24);
}

static void what_came_after_an_acceptance_counts_after_a_restart(void **state)
{
    struct place *place = *state;

    delete_many(place, 1, 20, true);
    resolve(place, true);
    delete_many(place, 21, 24, false); /* a fifth of those that are left */
    restart(place);
    assert_alerts(place, 1);
    delete_many(place, 25, 25, true);
    AUTO(alert_done) struct alert alert = last_alert(place, true);
    assert_int_equal(alert.changes, 5);
    assert_gone(place, 1, 20);
    assert_intact(place, 21, PROJECT_MAX);
}

static void a_memory_edited_since_its_loss_is_read_as_it_is(void **state)
{
    struct place *place = *state;
    char content[301];

    for (unsigned i = 1; i <= 12; i++) { /* emptied and written again: nothing is lost */
        put(&place->home, id_of(i), " ");
        content_for(i, content);
        put(&place->home, id_of(i), content);
        pass_ms(place, 61000);
    }
    restart(place);
    put(&place->home, id_of(13), " ");
    assert_alerts(place, 0);
}

/* Journal what a recovery says of the changes it made. */
static void note_recovery(struct place *place, const struct ranges *ranges)
{
    struct decision decision = {.alert = id_of(77777),
                                .kind = DECISION_ACCEPTED,
                                .ranges = *ranges,
                                .rule = (char[]){RULE_RECOVER},
                                .started_us = HOME_NOW_US};
    struct draft draft = {
        .kind = KIND_GUARD, .op = OP_RELEASE, .decision = &decision, .source = "cli"};
    struct written written;
    struct err err = ERR_INIT;

    assert_ok(ledger_write(place->home.ledger, &draft, 1, true, &written, &err), &err);
    assert_int_equal(written.code, ERR_NONE);
}

/* The writer does not judge them, either. */
static void what_a_recovery_took_back_counts_no_more_after_a_restart(void **state)
{
    AUTO(ranges_done) struct ranges ranges = {.items = NULL};
    struct place *place = *state;

    stop(place);
    place->home.judge = NULL;
    home_open(&place->home);
    for (unsigned i = 1; i <= 30; i++) {
        struct written written = put(&place->home, id_of(i), "what it was at that moment");
        ranges_add(&ranges, &written.origin, written.seq);
    }
    note_recovery(place, &ranges);
    home_close(&place->home);
    start(place);
    put(&place->home, id_of(1), "an edit after it");
    delete_of(&place->home, id_of(2));
    delete_many(place, 3, 8, false);
    assert_alerts(place, 0);
}

static void what_was_reverted_counts_no_more_after_a_restart(void **state)
{
    struct place *place = *state;

    delete_many(place, 1, 20, true);
    resolve(place, false);
    restart(place);
    delete_many(place, 1, 8, false);
    assert_alerts(place, 1);
}

static void a_wall_clock_set_back_over_a_restart_frees_nobody(void **state)
{
    struct place *place = *state;

    delete_many(place, 1, 8, false);
    stop(place);
    pass_ms(place, -86400000);
    start(place);
    delete_many(place, 9, 9, true);
    assert_intact(place, 1, PROJECT_MAX);
}

static void many_changes_before_a_restart_are_all_seen(void **state)
{
    struct place *place = *state;

    delete_many(place, 1, 8, false);
    write_interleaved(place, false); /* 12,000 new memories: several chunks of the journal */
    restart(place);
    delete_many(place, 9, 9, true);
    assert_intact(place, 1, PROJECT_MAX);
}

static void what_was_destroyed_while_it_was_off_counts_when_it_is_on_again(void **state)
{
    struct place *place = *state;

    place->options.enabled = false;
    restart(place);
    delete_many(place, 1, 20, false);
    assert_alerts(place, 0);
    assert_gone(place, 1, 20);
    place->options.enabled = true;
    restart(place);
    assert_gone(place, 1, 20);
    delete_many(place, 21, 21, true);
    assert_alerts(place, 1);
    assert_intact(place, 1, PROJECT_MAX);
}

/* ---- the guard after a restart against the one that saw it all ---- */

static uint64_t chance(uint64_t *seed, uint64_t below)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    return (*seed >> 11) % below;
}

static void write_one(struct place *place, const struct draft *draft)
{
    struct written written;
    struct err err = ERR_INIT;

    assert_ok(ledger_write(place->home.ledger, draft, 1, true, &written, &err), &err);
    written_done(&written, 1);
}

/* Something to a memory; one that is deleted is brought back, or its tombstone written again. */
static void act_by_chance(struct place *place, uint64_t *seed)
{
    static const char *const actors[] = {"cli", "mcp:a", "notes", "app: agent (psql)", "http:d"};
    unsigned number = 1 + (unsigned)chance(seed, PROJECT_MAX);
    AUTO(free_ptr) char *content = content_of(&place->home, id_of(number));

    AUTO(memory_done)
    struct memory memory = memory_of(content != NULL ? content : "what was deleted comes back");
    struct draft draft = {
        .kind = KIND_MEMORY, .op = OP_PUT, .memory = &memory, .source = actors[chance(seed, 5)]};
    memory.id = draft.id = id_of(number);
    memory.importance = (double)chance(seed, 100) / 100;
    if (content == NULL && chance(seed, 2) == 0) {
        memory.deleted_us = place->home.env.us;
    }
    if (chance(seed, 6) == 0) {
        free(memory.project_id);
        memory.project_id = xstrdup("elsewhere");
    }
    switch (content == NULL ? 6 : chance(seed, 7)) {
    case 0:
        draft.op = OP_DELETE;
        break;
    case 1:
        memory.content[0] = ' ';
        memory.content_len = 1;
        memory.content[1] = '\0';
        break;
    case 2:
        memory.content_len = memory.content_len * 2 / 3 + 1;
        memory.content[memory.content_len] = '\0';
        break;
    case 3:
        free(memory.content);
        memory.content =
            xprintf("%s and more of it, %llu", content, (unsigned long long)chance(seed, 1000));
        memory.content_len = strlen(memory.content);
        break;
    case 4:
        for (size_t i = 0; i < memory.content_len; i++) { /* another text */
            memory.content[i] = (char)('a' + chance(seed, 26));
        }
        break;
    default:
        break; /* its importance, its project, or that it is deleted */
    }
    write_one(place, &draft);
}

static void assert_same_incidents(const struct guard *seen, const struct guard *rebuilt)
{
    for (const struct incident *a = seen->incidents.list; a != NULL; a = a->next) {
        const struct incident *b = rebuilt->incidents.list;
        while (b != NULL && !uuid_eq(&a->alert, &b->alert)) {
            b = b->next;
        }
        if (b == NULL) {
            fail_msg("an incident of rule %s is forgotten", a->rule->name);
            return;
        }
        assert_ptr_equal(a->rule, b->rule);
        assert_int_equal(a->state.last_mono_ms, b->state.last_mono_ms);
        assert_int_equal(a->state.changes, b->state.changes);
        assert_int_equal(incident_memories(a), incident_memories(b));
    }
}

static void assert_same(struct guard *seen, struct guard *rebuilt)
{
    int64_t now_ms = seen->env->mono_ms(seen->env);

    windows_expire(&seen->windows, now_ms);
    windows_expire(&rebuilt->windows, now_ms);
    incidents_expire(&seen->incidents, &seen->windows);
    for (const struct window_project *p = seen->windows.project_list; p != NULL; p = p->next) {
        const struct window_project *q = windows_project(&rebuilt->windows, p->id);
        for (size_t k = 0; k < seen->limits.net_count; k++) {
            assert_memory_equal(&p->totals[k], &q->totals[k], sizeof(p->totals[k]));
        }
    }
    assert_memory_equal(seen->windows.all.totals, rebuilt->windows.all.totals,
                        seen->limits.net_count * sizeof(struct window_totals));
    for (const struct window_actor *a = seen->windows.actor_list; a != NULL; a = a->next) {
        const struct window_actor *b = windows_actor(&rebuilt->windows, a->name);
        assert_int_equal(a->deletes, b->deletes);
        assert_int_equal(window_actor_shown(&seen->windows, a, now_ms),
                         window_actor_shown(&rebuilt->windows, b, now_ms));
    }
    assert_same_incidents(seen, rebuilt);
}

static void compare_by_chance(struct place *place, uint64_t seed)
{
    size_t incidents = 0;

    for (int round = 0; round < 60; round++) {
        struct guard *rebuilt = NULL;
        struct reader *reader;
        struct err err = ERR_INIT;
        for (uint64_t acts = chance(&seed, 8); acts > 0; acts--) {
            act_by_chance(place, &seed);
            pass_ms(place, (int64_t)chance(&seed, round % 3 == 0 ? 60000 : 3000));
        }
        assert_ok(guard_open(&place->options, place->sources, place->source_count,
                             &place->home.env.env, &rebuilt, &err),
                  &err);
        assert_ok(read_begin(place->home.ledger, &reader, &err), &err);
        assert_ok(guard_rebuild(rebuilt, reader, &err), &err);
        read_end(reader);
        assert_same(place->guard, rebuilt);
        incidents += place->guard->incidents.list != NULL;
        guard_close(rebuilt);
        if (round % 10 == 9) { /* let old things go, and new bursts come */
            AUTO(alert_done) struct alert alert = last_alert(place, true);
            if (alert.version > 0) {
                resolve(place, false); /* what is accepted later changes what came before what */
            }
            pass_ms(place, 1200000);
        }
    }
    assert_true(incidents > 10);
}

static void a_rebuilt_guard_knows_what_the_other_saw(void **state)
{
    compare_by_chance(*state, 521288629);
}

static void so_it_does_of_sources_with_thresholds_of_their_own(void **state)
{
    struct place *place = *state;

    place->sources[0] = (struct guard_source){"app", place->options};
    place->sources[0].options.share_max = 0.4;
    place->sources[0].options.loss_max = 0.7;
    place->sources[0].options.delete_window_ms = 20000;
    place->sources[1] = (struct guard_source){"notes", place->options};
    place->sources[1].options.delete_max = 3;
    place->sources[1].options.drip_window_ms = 1800000;
    place->source_count = 2;
    restart(place);
    compare_by_chance(place, 88172645463325252);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        PLACE_TEST(a_drip_from_before_a_restart_trips_after_it),
        PLACE_TEST(a_burst_from_before_a_restart_counts),
        PLACE_TEST(what_is_too_old_counts_no_more_after_a_restart),
        PLACE_TEST(losses_from_before_a_restart_count),
        PLACE_TEST(rewrites_from_before_a_restart_count),
        PLACE_TEST(an_incident_goes_on_after_a_restart),
        PLACE_TEST(a_share_incident_goes_on_after_a_restart),
        PLACE_TEST(an_incident_that_is_over_stays_over_after_a_restart),
        PLACE_TEST(what_was_accepted_counts_no_more_after_a_restart),
        PLACE_TEST(what_came_after_an_acceptance_counts_after_a_restart),
        PLACE_TEST(what_a_recovery_took_back_counts_no_more_after_a_restart),
        PLACE_TEST(what_was_reverted_counts_no_more_after_a_restart),
        PLACE_TEST(a_wall_clock_set_back_over_a_restart_frees_nobody),
        PLACE_TEST(many_changes_before_a_restart_are_all_seen),
        PLACE_TEST(what_was_destroyed_while_it_was_off_counts_when_it_is_on_again),
        PLACE_TEST(a_memory_edited_since_its_loss_is_read_as_it_is),
        PLACE_TEST(a_rebuilt_guard_knows_what_the_other_saw),
        PLACE_TEST(so_it_does_of_sources_with_thresholds_of_their_own),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
