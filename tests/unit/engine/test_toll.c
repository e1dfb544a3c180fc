/* toll - what small recoveries add up to. */
#include "support/unit.h"

#include "engine/toll.h"

static void harm_adds_up_by_project(void **state)
{
    struct toll toll;

    (void)state;
    toll_init(&toll);
    assert_int_equal(toll_since(&toll, "a", 0), 0);
    toll_add(&toll, "a", 2, 100);
    toll_add(&toll, "b", 7, 100);
    toll_add(&toll, "a", 1, 200);
    assert_int_equal(toll_since(&toll, "a", 0), 3);
    assert_int_equal(toll_since(&toll, "b", 0), 7);
    toll_done(&toll);
}

static void what_is_older_than_the_window_is_forgotten(void **state)
{
    struct toll toll;

    (void)state;
    toll_init(&toll);
    toll_add(&toll, "a", 2, 100);
    toll_add(&toll, "a", 1, 200);
    assert_int_equal(toll_since(&toll, "a", 100), 3);
    assert_int_equal(toll_since(&toll, "a", 101), 1);
    assert_int_equal(toll_since(&toll, "a", 0), 1);
    toll_done(&toll);
}

static void more_than_can_be_remembered_counts_as_everything(void **state)
{
    struct toll toll;

    (void)state;
    toll_init(&toll);
    for (int i = 0; i < TOLL_MAX - 1; i++) {
        toll_add(&toll, "a", 1, i);
    }
    assert_int_equal(toll_since(&toll, "a", 0), TOLL_MAX - 1);
    toll_add(&toll, "a", 1, TOLL_MAX);
    toll_add(&toll, "a", 1, TOLL_MAX);
    assert_true(toll_since(&toll, "b", 0) == TOLL_EVERYTHING);
    assert_int_equal(toll_since(&toll, "a", TOLL_MAX), 1);
    toll_done(&toll);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(harm_adds_up_by_project),
        cmocka_unit_test(what_is_older_than_the_window_is_forgotten),
        cmocka_unit_test(more_than_can_be_remembered_counts_as_everything),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
