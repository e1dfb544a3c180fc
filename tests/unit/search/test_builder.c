/* The index that a recovery builds for a staged ledger. */
#include "search/world.h"

#include "search/index_file.h"

static char *live_of(const struct world *world)
{
    return path_join(world->home->path, "live");
}

static void build(struct world *world)
{
    AUTO(free_ptr) char *live = live_of(world);
    struct index_builder *builder;
    struct err err = ERR_INIT;

    assert_ok(index_builder_start(live, &builder, &err), &err);
    assert_ok(index_builder_run(builder, &err), &err);
    index_builder_free(builder);
}

static int64_t application_id_of(const struct world *world)
{
    AUTO(free_ptr) char *path = xprintf("%s/live/index.db", world->home->path);
    struct conn conn;
    struct err err = ERR_INIT;
    int64_t id;

    assert_ok(conn_open(&conn, path, SQLITE_OPEN_READONLY, &err), &err);
    assert_ok(conn_pragma_i64(&conn, "application_id", &id, &err), &err);
    conn_close(&conn);
    return id;
}

static void a_built_index_is_used_as_it_is(void **state)
{
    struct world *world = *state;
    AUTO(free_ptr) char *path = xprintf("%s/live/index.db", world->home->path);
    struct stat before;
    struct stat after;
    struct err err = ERR_INIT;

    for (unsigned i = 1; i <= 300; i++) {
        AUTO(free_ptr) char *text = xprintf("staged w%u", i);
        keep(world, text, (struct about){.id = i, .session = i % 7, .tag = "tagged"});
    }
    delete_of(world->home, id_of(3));
    keep(world, "changed", (struct about){.id = 4, .session = 1});
    world_close(world);
    build(world);
    assert_int_equal(application_id_of(world), INDEX_FILE_APPLICATION_ID);
    assert_int_equal(stat(path, &before), 0);
    world_open(world);
    assert_answer(world, "w300", "staged w300");
    assert_answer(world, "w3", "");
    assert_answer(world, "w4", "");
    assert_answer(world, "changed", "changed");
    assert_int_equal(stat(path, &after), 0);
    assert_int_equal(before.st_ino, after.st_ino);
    keep(world, "later", (struct about){.id = 300, .session = 300 % 7});
    assert_answer(world, "w300", "");
    assert_answer(world, "later", "later");
    assert_ok(index_wait(world->index, deadline_in(0), &err), &err);
}

static void what_was_written_after_it_was_built_is_added(void **state)
{
    struct world *world = *state;

    keep(world, "staged", (struct about){.id = 1});
    world_close(world);
    build(world);
    keep(world, "the decision of a recovery", (struct about){.id = 2});
    delete_of(world->home, id_of(1));
    world_open(world);
    assert_answer(world, "decision", "the decision of a recovery");
    assert_answer(world, "staged", "");
}

static void an_empty_ledger_gets_an_empty_index(void **state)
{
    struct world *world = *state;

    world_close(world);
    build(world);
    world_open(world);
    assert_answer(world, "anything", "");
    keep(world, "anything", (struct about){0});
    assert_answer(world, "anything", "anything");
}

static void a_builder_that_never_ran_leaves_no_index_to_be_used(void **state)
{
    struct world *world = *state;
    AUTO(free_ptr) char *live = live_of(world);
    struct index_builder *builder;
    struct err err = ERR_INIT;

    keep(world, "kept", (struct about){0});
    world_close(world);
    assert_ok(index_builder_start(live, &builder, &err), &err);
    index_builder_free(builder);
    assert_int_equal(application_id_of(world), INDEX_FILE_UNFINISHED_ID);
    world_open(world);
    assert_answer(world, "kept", "kept");
}

static void a_folder_without_a_ledger_is_an_error(void **state)
{
    struct world *world = *state;
    AUTO(free_ptr) char *empty = path_join(world->home->path, "empty");
    struct index_builder *builder;
    struct err err = ERR_INIT;

    assert_int_equal(mkdir(empty, 0700), 0);
    assert_ok(index_builder_start(empty, &builder, &err), &err);
    assert_refused(index_builder_run(builder, &err), &err, ERR_VANISHED, "ledger.db");
    index_builder_free(builder);
    assert_true(index_builder_start("/nowhere/at/all", &builder, &err) < 0);
    index_builder_free(NULL);
}

static void a_full_disk_fails_the_build(void **state)
{
    struct world *world = *state;
    AUTO(free_ptr) char *live = live_of(world);
    struct index_builder *builder;
    struct err err = ERR_INIT;

    keep(world, "kept", (struct about){0});
    world_close(world);
    assert_ok(index_builder_start(live, &builder, &err), &err);
    fault_set("index.commit:1");
    assert_refused(index_builder_run(builder, &err), &err, ERR_FULL, "full");
    fault_set(NULL);
    index_builder_free(builder);
    world_open(world);
    assert_answer(world, "kept", "kept");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_built_index_is_used_as_it_is),
        TEST(what_was_written_after_it_was_built_is_added),
        TEST(an_empty_ledger_gets_an_empty_index),
        TEST(a_builder_that_never_ran_leaves_no_index_to_be_used),
        TEST(a_folder_without_a_ledger_is_an_error),
        TEST(a_full_disk_fails_the_build),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
