/* One table of a ledger keeps its UUIDs as ids, and always the same. */
#include "ledger/home.h"

#include "source/ids.h"

#define KEY "00000000-0000-4000-8000-00000000abcd"

static bool claim(struct home *home, const char *source, const char *table)
{
    struct err err = ERR_INIT;
    bool keeps;

    assert_ok(ids_claim(home->ledger, source, table, &keeps, &err), &err);
    return keeps;
}

static void set_source(struct memory *memory, const char *source, const char *table,
                       const char *key)
{
    AUTO(json_unref)
    json_t *metadata =
        json_pack("{s:{s:s,s:s,s:s}}", "source", "name", source, "table", table, "key", key);
    struct err err = ERR_INIT;

    assert_ok(metadata_from_json(metadata, &memory->metadata, &err), &err);
}

/* A row as a recovery brings it: the memory is there, who keeps ids is not. */
static void put_row(struct home *home, const char *source, const char *table, const char *id)
{
    AUTO(memory_done) struct memory memory = memory_of("row");
    struct err err = ERR_INIT;

    assert_ok(uuid_parse(str_of(id), &memory.id, &err), &err);
    set_source(&memory, source, table, KEY);
    put_memory(home, &memory);
}

static void the_first_table_of_that_name_keeps_them_for_good(void **state)
{
    struct home *home = *state;

    assert_false(claim(home, "app", "public.notes"));
    assert_true(claim(home, "app", "public.memories"));
    assert_false(claim(home, "app", "other.memories"));
    assert_false(claim(home, "staging", "public.memories"));
    home_close(home);
    home_open(home);
    assert_false(claim(home, "staging", "public.memories"));
    assert_true(claim(home, "app", "public.memories"));
}

static void after_a_recovery_the_rows_tell_who_keeps_them(void **state)
{
    struct home *home = *state;

    put_row(home, "app", "public.memories", KEY);
    put_row(home, "staging", "public.memories", "00000000-0000-4000-8000-000000000001");
    assert_false(claim(home, "staging", "public.memories"));
    assert_true(claim(home, "app", "public.memories"));
}

/* What an agent writes as a memory must not take a source's ids away. */
static void a_source_whose_rows_keep_them_is_believed_before_another(void **state)
{
    struct home *home = *state;

    put_row(home, "forged", "public.memories", KEY);
    AUTO(memory_done) struct memory memory = memory_of("row");
    struct err err = ERR_INIT;
    const char *other = "00000000-0000-4000-8000-000000000002";
    assert_ok(uuid_parse(str_of(other), &memory.id, &err), &err);
    set_source(&memory, "app", "public.memories", other);
    put_memory(home, &memory);
    assert_true(claim(home, "app", "public.memories"));
}

static void a_key_is_an_id_only_as_the_server_writes_it(void **state)
{
    struct uuid id;

    (void)state;
    assert_true(ids_of_key(STR(KEY), &id));
    assert_false(ids_of_key(STR("00000000-0000-4000-8000-00000000ABCD"), &id));
    assert_false(ids_of_key(STR("{00000000-0000-4000-8000-00000000abcd}"), &id));
    assert_false(ids_of_key(STR("00000000-0000-0000-0000-000000000000"), &id));
    assert_false(ids_of_key(STR("7"), &id));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, home_setup, home_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_first_table_of_that_name_keeps_them_for_good),
        TEST(after_a_recovery_the_rows_tell_who_keeps_them),
        TEST(a_source_whose_rows_keep_them_is_believed_before_another),
        cmocka_unit_test(a_key_is_an_id_only_as_the_server_writes_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
