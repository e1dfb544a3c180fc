/* The state at a moment of the past. */
#include "recover/world.h"

static struct recover_request at(int64_t at_us)
{
    struct recover_request request = all();

    request.at_us = at_us;
    return request;
}

static int64_t now_us(struct world *world)
{
    return world->home.env.us;
}

static void pass(struct world *world, int64_t minutes)
{
    env_fake_advance_ms(&world->home.env, minutes * MINUTE_MS);
}

/* Ten memories; then one is changed, one deleted, one made. Returns the moment before all that. */
static int64_t a_bad_hour(struct world *world)
{
    put_many(world, 10);
    pass(world, 10);
    int64_t moment = now_us(world);
    pass(world, 10);
    put_text(world, (struct text){2, "even", 1, "overwritten"});
    (void)delete_of(&world->home, id_of(3));
    put_text(world, (struct text){50, "odd", 1, "made afterwards"});
    return moment;
}

static void assert_as_of_the_good_hour(struct world *world)
{
    assert_content(&world->home, id_of(2), "memory number 2");
    assert_content(&world->home, id_of(3), "memory number 3");
    assert_content(&world->home, id_of(50), "made afterwards");
    assert_int_equal(snap(world).memories, 11);
}

static void what_was_wrecked_after_the_moment_is_taken_back(void **state)
{
    struct world *world = *state;
    int64_t moment = a_bad_hour(world);

    sync_all(world);
    (void)expect_planned(world, at(moment), 2, 9, 0);
    assert_as_of_the_good_hour(world);
    (void)expect_planned(world, at(moment), 0, 11, 0);
    restart(world);
    assert_as_of_the_good_hour(world);
}

static void a_removed_home_comes_back_as_of_the_moment(void **state)
{
    struct world *world = *state;
    struct recover_request request = at(a_bad_hour(world));

    sync_all(world);
    wreck(world);
    AUTO(recover_report_done) struct recover_report report = recovered(world, &request);
    assert_int_equal(report.recovered_count, 11);
    uint64_t taken_back = 0;
    for (size_t i = 0; i < report.project_count; i++) {
        taken_back += report.projects[i].taken_back;
    }
    assert_int_equal(taken_back, 2);
    assert_as_of_the_good_hour(world);
    (void)expect_planned(world, request, 0, 11, 0);
}

static void the_own_journal_is_enough(void **state)
{
    struct world *world = *state;
    struct recover_request request = at(a_bad_hour(world));
    struct recover_context context = {.ledger = world->home.ledger};
    struct recover_report report;
    struct err err = ERR_INIT;

    assert_ok(recover_run(&context, &request, &report, &err), &err);
    assert_int_equal(report.recovered_count, 2);
    assert_string_equal(report.from, "journal");
    recover_report_done(&report);
    assert_as_of_the_good_hour(world);
    (void)assert_verifies(&world->home);
}

static void without_vault_and_moment_there_is_nothing_to_recover_from(void **state)
{
    struct world *world = *state;
    struct recover_request request = all();
    struct recover_context context = {.ledger = world->home.ledger};
    struct recover_report report;
    struct err err = ERR_INIT;

    assert_refused(recover_run(&context, &request, &report, &err), &err, ERR_USAGE, "no vault");
    request = at(HOME_NOW_US);
    request.source = "";
    assert_refused(recover_run(&context, &request, &report, &err), &err, ERR_USAGE, "source");
}

static void taking_back_can_be_undone(void **state)
{
    struct world *world = *state;
    int64_t moment = a_bad_hour(world);
    struct snapshot before = snap(world);

    sync_all(world);
    struct uuid id = expect_planned(world, at(moment), 2, 9, 0);
    restart(world);
    undo(world, &id, 2);
    assert_same_state(before, snap(world));
    (void)expect_planned(world, at(moment), 2, 9, 0);
    assert_as_of_the_good_hour(world);
}

static void filters_hold_for_moments_too(void **state)
{
    struct world *world = *state;
    struct recover_request request = at(a_bad_hour(world));

    sync_all(world);
    request.project_id = "even";
    (void)expect_planned(world, request, 1, 4, 0);
    assert_content(&world->home, id_of(2), "memory number 2");
    assert_content(&world->home, id_of(3), NULL);
    request.project_id = NULL;
    request.memory_id = id_of(3);
    (void)expect_planned(world, request, 1, 0, 0);
    assert_content(&world->home, id_of(3), "memory number 3");
}

/* What was written again after it was taken back is newer than what was asked for before. */
static void every_moment_can_be_gone_back_to(void **state)
{
    struct world *world = *state;
    int64_t moments[6];

    for (unsigned i = 0; i < 6; i++) {
        AUTO(free_ptr) char *content = xprintf("state %u", i);
        put_text(world, (struct text){1, "p", 0, content});
        pass(world, 5);
        moments[i] = now_us(world);
        pass(world, 5);
    }
    sync_all(world);
    for (unsigned i = 6; i-- > 0;) {
        AUTO(free_ptr) char *content = xprintf("state %u", i);
        (void)expect_planned(world, at(moments[i]), i == 5 ? 0 : 1, i == 5 ? 1 : 0, 0);
        assert_content(&world->home, id_of(1), content);
        pass(world, 1);
    }
    (void)expect_planned(world, at(moments[4]), 1, 0, 0);
    assert_content(&world->home, id_of(1), "state 4");
    struct recover_request before_all = at(HOME_NOW_US - 1);
    struct recover_report report;
    struct err err = ERR_INIT;
    assert_refused(run_recovery(world, &before_all, &report, &err), &err, ERR_NOT_FOUND,
                   "the first change is of");
}

static void a_memory_that_was_deleted_then_stays_as_it_is(void **state)
{
    struct world *world = *state;

    put_text(world, (struct text){1, "p", 0, "first life"});
    pass(world, 5);
    (void)delete_of(&world->home, id_of(1));
    pass(world, 5);
    int64_t moment = now_us(world);
    pass(world, 5);
    put_text(world, (struct text){1, "p", 0, "second life"});
    sync_all(world);
    (void)expect_planned(world, at(moment), 0, 1, 0);
    assert_content(&world->home, id_of(1), "second life");
}

static void hidden_memories_come_back_as_of_the_moment(void **state)
{
    struct world *world = *state;
    int64_t moment = a_bad_hour(world);

    sync_all(world);
    wreck(world);
    (void)expect_planned(world, all(), 10, 1, 0);
    undo(world, NULL, 10);
    assert_int_equal(snap(world).memories, 0);
    (void)expect_planned(world, at(moment), 11, 0, 0);
    assert_as_of_the_good_hour(world);
    undo(world, NULL, 11);
    assert_int_equal(snap(world).memories, 0);
}

static void a_state_taken_back_keeps_all_that_it_was(void **state)
{
    struct world *world = *state;
    AUTO(memory_done) struct memory memory = memory_of("with everything");
    AUTO(memory_done) struct memory back;
    struct memory_state where;
    struct written written;
    struct reader *reader;
    struct err err = ERR_INIT;

    memory.id = id_of(1);
    memory.session_id = id_of(2000);
    memory.importance = 0.875;
    memory.type = MEMORY_STRATEGIC;
    memory.tags = xcalloc(1, sizeof(*memory.tags));
    memory.tags[0] = xstrdup("tag");
    memory.tag_count = 1;
    AUTO(json_unref) json_t *metadata = json_pack("{s:i}", "n", 1);
    assert_ok(metadata_from_json(metadata, &memory.metadata, &err), &err);
    struct draft draft = {.kind = KIND_MEMORY, .op = OP_PUT, .memory = &memory, .source = "test"};
    assert_ok(write_draft(&world->home, &draft, &written, &err), &err);
    pass(world, 5);
    int64_t moment = now_us(world);
    pass(world, 5);
    (void)delete_of(&world->home, id_of(1));
    sync_all(world);
    (void)expect_planned(world, at(moment), 1, 0, 0);

    memory_init(&back);
    assert_ok(read_begin(world->home.ledger, &reader, &err), &err);
    assert_ok(read_memory(reader, &memory.id, &back, &where, &err), &err);
    read_end(reader);
    assert_true(memory_same(&memory, &back));
    assert_int_equal(back.version, 3);
    assert_int_equal(back.created_us, HOME_NOW_US);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)
    const struct CMUnitTest tests[] = {
        TEST(what_was_wrecked_after_the_moment_is_taken_back),
        TEST(a_removed_home_comes_back_as_of_the_moment),
        TEST(the_own_journal_is_enough),
        TEST(without_vault_and_moment_there_is_nothing_to_recover_from),
        TEST(taking_back_can_be_undone),
        TEST(filters_hold_for_moments_too),
        TEST(every_moment_can_be_gone_back_to),
        TEST(a_memory_that_was_deleted_then_stays_as_it_is),
        TEST(hidden_memories_come_back_as_of_the_moment),
        TEST(a_state_taken_back_keeps_all_that_it_was),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
