/* Recoveries of a part, and their undoing. */
#include "recover/world.h"

static struct recover_request of_project(const char *project)
{
    struct recover_request request = all();

    request.project_id = project;
    return request;
}

static int count_session(void *arg, const struct session *session, struct err *err)
{
    (void)session;
    (void)err;
    ++*(size_t *)arg;
    return 0;
}

static size_t sessions_of(struct world *world, const char *project)
{
    struct reader *reader;
    struct err err = ERR_INIT;
    size_t count = 0;

    assert_ok(read_begin(world->home.ledger, &reader, &err), &err);
    assert_ok(read_sessions(reader, project, 1000, count_session, &count, &err), &err);
    read_end(reader);
    return count;
}

static void put_and_wreck(struct world *world, unsigned count)
{
    put_many(world, count);
    sync_all(world);
    wreck(world);
}

/* ---- filters ---- */

static void only_the_project_asked_for_appears(void **state)
{
    struct world *world = *state;

    put_and_wreck(world, 40);
    (void)expect_planned(world, of_project("odd"), 20, 0, 0);
    assert_int_equal(snap(world).memories, 20);
    assert_content(&world->home, id_of(3), "memory number 3");
    assert_content(&world->home, id_of(4), NULL);
    (void)expect_planned(world, of_project("odd"), 0, 20, 0);
}

static void a_wider_recovery_brings_the_rest(void **state)
{
    struct world *world = *state;

    put_many(world, 40);
    struct snapshot before = snap(world);
    sync_all(world);
    wreck(world);
    (void)expect_planned(world, of_project("odd"), 20, 0, 0);
    (void)expect_planned(world, of_project("even"), 20, 0, 0);
    assert_same_state(before, snap(world));
    (void)expect_planned(world, all(), 0, 40, 0);
}

static void history_comes_whole_whatever_the_filter(void **state)
{
    struct world *world = *state;
    struct uuid origin = ledger_origin(world->home.ledger);

    put_many(world, 30);
    struct head head = head_of(world, &origin);
    sync_all(world);
    wreck(world);
    (void)expect_planned(world, of_project("even"), 15, 0, 0);
    struct head back = head_of(world, &origin);
    assert_int_equal(back.seq, head.seq);
    assert_memory_equal(&back.hash, &head.hash, sizeof(head.hash));
}

static void only_the_session_asked_for_appears(void **state)
{
    struct world *world = *state;
    struct recover_request request = all();

    put_and_wreck(world, 40);
    request.session_id = id_of(1000000 + 2); /* memories 10 to 19 */
    (void)expect_planned(world, request, 10, 0, 0);
    assert_int_equal(snap(world).memories, 10);
    assert_content(&world->home, id_of(10), "memory number 10");
    assert_content(&world->home, id_of(20), NULL);
    assert_int_equal(sessions_of(world, NULL), 1);
    (void)expect_planned(world, request, 0, 10, 0);
    (void)expect_planned(world, all(), 30, 10, 0);
}

static void only_the_memory_asked_for_appears(void **state)
{
    struct world *world = *state;
    struct recover_request request = all();

    put_many(world, 40);
    put_text(world, (struct text){17, "odd", 2, "seventeen, changed"});
    sync_all(world);
    wreck(world);
    request.memory_id = id_of(17);
    (void)expect_planned(world, request, 1, 0, 0);
    assert_int_equal(snap(world).memories, 1);
    assert_content(&world->home, id_of(17), "seventeen, changed");
    (void)expect_planned(world, request, 0, 1, 0);
}

static void only_what_changed_since_appears(void **state)
{
    struct world *world = *state;
    struct recover_request request = all();

    put_many(world, 10);
    env_fake_advance_ms(&world->home.env, 60 * MINUTE_MS);
    request.since_us = HOME_NOW_US + 30 * MINUTE_MS * 1000LL;
    put_text(world, (struct text){4, "even", 1, "four, changed within the hour"});
    put_text(world, (struct text){99, "even", 1, "made within the hour"});
    sync_all(world);
    wreck(world);
    (void)expect_planned(world, request, 2, 0, 0);
    assert_int_equal(snap(world).memories, 2);
    assert_content(&world->home, id_of(4), "four, changed within the hour");
    (void)expect_planned(world, request, 0, 2, 0);
    (void)expect_planned(world, all(), 9, 2, 0);
}

static void filters_narrow_each_other(void **state)
{
    struct world *world = *state;
    struct recover_request request = of_project("odd");

    put_and_wreck(world, 40);
    request.session_id = id_of(1000000 + 3); /* 20 to 29 */
    (void)expect_planned(world, request, 5, 0, 0);
    request.memory_id = id_of(1);
    (void)expect_planned(world, request, 0, 0, 0);
}

/* A typing error in a project's name must not fill the ledger. */
static void a_filter_that_nothing_passes_leaves_the_ledger_alone(void **state)
{
    struct world *world = *state;

    put_and_wreck(world, 20);
    uint64_t changes = assert_verifies(&world->home);
    struct recover_request request = of_project("od");
    struct recover_report report;
    struct err err = ERR_INIT;
    assert_refused(run_recovery(world, &request, &report, &err), &err, ERR_NOT_FOUND, "\"od\"");
    request = of_project("odd");
    request.session_id = id_of(7);
    assert_refused(run_recovery(world, &request, &report, &err), &err, ERR_NOT_FOUND, "session");
    request = of_project("odd");
    request.memory_id = id_of(2); /* it is of another project */
    (void)expect_planned(world, request, 0, 0, 0);
    assert_staging_empty(world);
    assert_int_equal(assert_verifies(&world->home), changes);
}

static void a_memory_belongs_where_it_was_last(void **state)
{
    struct world *world = *state;

    put_many(world, 10);
    put_text(world, (struct text){3, "even", 0, "moved to the other project"});
    sync_all(world);
    wreck(world);
    (void)expect_planned(world, of_project("odd"), 4, 0, 0);
    assert_content(&world->home, id_of(3), NULL);
    (void)expect_planned(world, of_project("even"), 6, 0, 0);
    assert_content(&world->home, id_of(3), "moved to the other project");
}

static void sessions_and_projects_follow_the_filter(void **state)
{
    struct world *world = *state;

    put_text(world, (struct text){1, "one", 1, "a"});
    put_text(world, (struct text){2, "two", 2, "b"});
    sync_all(world);
    wreck(world);
    (void)expect_counts(
        world,
        &(struct recover_request){
            .project_id = "one", .since_us = TIME_NONE, .at_us = TIME_NONE, .source = "test"},
        1, 0, 0);
    assert_int_equal(sessions_of(world, "one"), 1);
    assert_int_equal(sessions_of(world, NULL), 1);
    assert_int_equal(counts_of(&world->home).projects, 1);
    (void)expect_planned(world, all(), 1, 1, 0);
    assert_int_equal(sessions_of(world, NULL), 2);
    assert_int_equal(counts_of(&world->home).projects, 2);
}

/* More ranges than one decision may name: 20,400 changes, every second one of them wanted. */
static void a_filter_may_leave_out_ten_thousands_of_ranges(void **state)
{
    struct world *world = *state;

    for (unsigned i = 0; i < 20400; i += 400) {
        struct memory memories[400];
        struct draft drafts[400];
        struct written written[400];
        struct err err = ERR_INIT;
        for (unsigned k = 0; k < 400; k++) {
            memories[k] = memory_of("short");
            memories[k].id = id_of(1 + i + k);
            memories[k].project_id[0] = k % 2 == 0 ? 'a' : 'b';
            drafts[k] = (struct draft){
                .kind = KIND_MEMORY, .op = OP_PUT, .memory = &memories[k], .source = "test"};
        }
        assert_ok(ledger_write(world->home.ledger, drafts, 400, true, written, &err), &err);
        for (unsigned k = 0; k < 400; k++) {
            assert_int_equal(written[k].code, ERR_NONE);
            memory_done(&memories[k]);
        }
    }
    sync_all(world);
    wreck(world);
    struct recover_request request = of_project("a");
    (void)expect_counts(world, &request, 10200, 0, 0);
    assert_int_equal(snap(world).memories, 10200);
    undo(world, NULL, 10200);
    assert_int_equal(snap(world).memories, 0);
    request = all();
    (void)expect_counts(world, &request, 20400, 0, 0);
    assert_int_equal(snap(world).memories, 20400);
}

/* ---- undo ---- */

static void an_undone_recovery_leaves_what_was_there(void **state)
{
    struct world *world = *state;

    put_and_wreck(world, 20);
    put_text(world, (struct text){900, "odd", 5, "made in the new home"});
    struct snapshot before = snap(world);
    struct uuid id = expect_planned(world, all(), 20, 1, 0);
    put_text(world, (struct text){901, "odd", 5, "made after the recovery"});
    put_text(world, (struct text){7, "odd", 5, "recovered, then changed"});
    restart(world);
    undo(world, &id, 20);
    assert_int_equal(snap(world).memories, before.memories + 2);
    assert_content(&world->home, id_of(7), "recovered, then changed");
    assert_content(&world->home, id_of(8), NULL);
}

static void recovering_after_an_undo_brings_it_back(void **state)
{
    struct world *world = *state;

    put_many(world, 20);
    struct snapshot before = snap(world);
    sync_all(world);
    wreck(world);
    (void)expect_planned(world, all(), 20, 0, 0);
    undo(world, NULL, 20);
    assert_int_equal(snap(world).memories, 0);
    uint64_t changes = assert_verifies(&world->home);
    (void)expect_planned(world, of_project("odd"), 10, 0, 0);
    (void)expect_planned(world, all(), 10, 10, 0);
    assert_same_state(before, snap(world));
    assert_true(assert_verifies(&world->home) < changes + 10); /* nothing was imported again */
    undo(world, NULL, 10);
    assert_int_equal(snap(world).memories, 10);
    undo(world, NULL, 10);
    assert_int_equal(snap(world).memories, 0);
}

static void undoing_a_part_leaves_the_other(void **state)
{
    struct world *world = *state;

    put_and_wreck(world, 20);
    struct uuid odd = expect_planned(world, of_project("odd"), 10, 0, 0);
    struct uuid even = expect_planned(world, of_project("even"), 10, 0, 0);
    undo(world, &odd, 10);
    assert_int_equal(snap(world).memories, 10);
    assert_content(&world->home, id_of(2), "memory number 2");
    assert_content(&world->home, id_of(1), NULL);
    undo(world, &even, 10);
    assert_int_equal(snap(world).memories, 0);
}

static void there_may_be_nothing_to_undo(void **state)
{
    struct world *world = *state;
    struct recover_report report;
    struct err err = ERR_INIT;
    struct uuid unknown = id_of(77);

    assert_refused(recover_undo(world->home.ledger, NULL, "test", NULL, &report, &err), &err,
                   ERR_NOT_FOUND, "no recovery");
    put_and_wreck(world, 5);
    struct uuid id = expect_planned(world, all(), 5, 0, 0);
    assert_refused(recover_undo(world->home.ledger, &unknown, "test", NULL, &report, &err), &err,
                   ERR_NOT_FOUND, "no recovery");
    undo(world, &id, 5);
    assert_refused(recover_undo(world->home.ledger, &id, "test", NULL, &report, &err), &err,
                   ERR_NOT_FOUND, "undone already");
    assert_refused(recover_undo(world->home.ledger, NULL, "test", NULL, &report, &err), &err,
                   ERR_NOT_FOUND, "no recovery");
}

/* ---- what the guard holds ---- */

static void decide_on(struct world *world, enum decision_kind kind, const struct written *changes,
                      size_t count)
{
    struct decision decision;
    struct written written;
    struct err err = ERR_INIT;

    decision_init(&decision);
    decision.alert = id_of(4711);
    decision.kind = kind;
    decision.rule = xstrdup("delete");
    decision.actor = xstrdup("test");
    decision.summary = xstrdup("many were deleted");
    decision.person = xstrdup("");
    decision.started_us = HOME_NOW_US;
    for (size_t i = 0; i < count; i++) {
        ranges_add(&decision.ranges, &changes[i].origin, changes[i].seq);
    }
    struct draft draft = {.kind = KIND_GUARD,
                          .op = kind == DECISION_ACCEPTED ? OP_RELEASE : OP_HOLD,
                          .decision = &decision,
                          .source = "guard"};
    assert_ok(write_draft(&world->home, &draft, &written, &err), &err);
    assert_int_equal(written.code, ERR_NONE);
    decision_done(&decision);
}

/* A mass deletion was held: its memories come back alive, the alert with them; and no undo or redo
 * lets it through. */
static void what_the_guard_held_stays_held(void **state)
{
    struct world *world = *state;
    struct written deletions[5];

    put_many(world, 20);
    struct snapshot before = snap(world);
    for (unsigned i = 0; i < 5; i++) {
        deletions[i] = delete_of(&world->home, id_of(1 + i));
    }
    decide_on(world, DECISION_HELD, deletions, 5);
    assert_same_state(before, snap(world));
    sync_all(world);
    wreck(world);
    (void)expect_planned(world, all(), 20, 0, 0);
    assert_same_state(before, snap(world));
    assert_int_equal(counts_of(&world->home).alerts_open, 1);
    undo(world, NULL, 20);
    assert_int_equal(snap(world).memories, 0);
    (void)expect_planned(world, of_project("odd"), 10, 0, 0);
    (void)expect_planned(world, all(), 10, 10, 0);
    assert_same_state(before, snap(world));
    decide_on(world, DECISION_REVERTED, deletions, 5);
    assert_same_state(before, snap(world));
    decide_on(world, DECISION_ACCEPTED, deletions, 5);
    assert_int_equal(snap(world).memories, 15);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)
    const struct CMUnitTest tests[] = {
        TEST(only_the_project_asked_for_appears),
        TEST(a_wider_recovery_brings_the_rest),
        TEST(history_comes_whole_whatever_the_filter),
        TEST(only_the_session_asked_for_appears),
        TEST(only_the_memory_asked_for_appears),
        TEST(only_what_changed_since_appears),
        TEST(filters_narrow_each_other),
        TEST(a_filter_that_nothing_passes_leaves_the_ledger_alone),
        TEST(a_memory_belongs_where_it_was_last),
        TEST(sessions_and_projects_follow_the_filter),
        TEST(a_filter_may_leave_out_ten_thousands_of_ranges),
        TEST(an_undone_recovery_leaves_what_was_there),
        TEST(recovering_after_an_undo_brings_it_back),
        TEST(undoing_a_part_leaves_the_other),
        TEST(there_may_be_nothing_to_undo),
        TEST(what_the_guard_held_stays_held),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
