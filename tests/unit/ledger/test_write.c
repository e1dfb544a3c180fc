/* What ledger_write promises: versions, numbers, conflicts, what is unchanged, all or nothing. */
#include "ledger/home.h"

static void a_memory_can_be_read_back(void **state)
{
    struct written written = put(*state, (struct uuid){{0}}, "the harbour is closed on Sundays");

    assert_false(uuid_is_nil(&written.id));
    assert_int_equal(written.version, 1);
    assert_content(*state, written.id, "the harbour is closed on Sundays");
}

static void a_project_not_seen_before_is_journaled_first(void **state)
{
    struct written first = put(*state, (struct uuid){{0}}, "one");
    struct written second = put(*state, (struct uuid){{0}}, "two");

    assert_int_equal(first.seq, 2); /* the project is 1 */
    assert_int_equal(second.seq, 3);
    assert_int_equal(assert_verifies(*state), 3);
}

static void a_put_of_what_is_there_is_unchanged(void **state)
{
    struct written first = put(*state, id_of(1), "same");
    struct written second = put(*state, id_of(1), "same");

    assert_false(first.unchanged);
    assert_true(second.unchanged);
    assert_int_equal(second.seq, first.seq);
    assert_int_equal(second.version, 1);
}

static void a_delete_leaves_a_tombstone(void **state)
{
    put(*state, id_of(1), "gone soon");
    struct written deleted = delete_of(*state, id_of(1));

    assert_int_equal(deleted.version, 2);
    assert_content(*state, id_of(1), NULL);
    assert_true(delete_of(*state, id_of(1)).unchanged);
    assert_int_equal(counts_of(*state).deleted, 1);
    assert_int_equal(counts_of(*state).memories, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_memory_can_be_read_back, home_setup, home_teardown),
        cmocka_unit_test_setup_teardown(a_project_not_seen_before_is_journaled_first, home_setup,
                                        home_teardown),
        cmocka_unit_test_setup_teardown(a_put_of_what_is_there_is_unchanged, home_setup,
                                        home_teardown),
        cmocka_unit_test_setup_teardown(a_delete_leaves_a_tombstone, home_setup, home_teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
