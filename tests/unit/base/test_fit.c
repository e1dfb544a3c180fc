/* How much at once. */
#include "support/unit.h"

#include "base/fit.h"

#define MOST 1000

static void let_through(struct fit *fit, size_t count, size_t times)
{
    for (size_t i = 0; i < times; i++) {
        fit_passed(fit, count);
    }
}

static void what_was_too_much_is_halved_down_to_one(void **state)
{
    static const size_t sizes[] = {250, 125, 62, 31, 15, 7, 3, 1, 1};
    struct fit fit = FIT_INIT(MOST);

    (void)state;
    assert_int_equal(fit.now, MOST);
    fit_too_much(&fit, 500); /* there was no more of it */
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        assert_int_equal(fit.now, sizes[i]);
        fit_too_much(&fit, fit.now);
    }
}

static void what_goes_through_again_and_again_may_be_larger_up_to_the_maximum(void **state)
{
    struct fit fit = FIT_INIT(MOST);

    (void)state;
    fit_too_much(&fit, 600);
    let_through(&fit, 300, FIT_GROW_AFTER - 1);
    assert_int_equal(fit.now, 300);
    let_through(&fit, 300, 1);
    assert_int_equal(fit.now, 600);
    let_through(&fit, 600, FIT_GROW_AFTER);
    assert_int_equal(fit.now, MOST);
    let_through(&fit, MOST, 10 * FIT_GROW_AFTER);
    assert_int_equal(fit.now, MOST);
}

static void small_ones_say_nothing_and_a_failure_begins_the_count_anew(void **state)
{
    struct fit fit = FIT_INIT(MOST);

    (void)state;
    fit_too_much(&fit, 600);
    let_through(&fit, 299, 10 * FIT_GROW_AFTER);
    assert_int_equal(fit.now, 300);
    let_through(&fit, 300, FIT_GROW_AFTER - 1);
    fit_too_much(&fit, 300);
    let_through(&fit, 150, FIT_GROW_AFTER - 1);
    assert_int_equal(fit.now, 150);
}

int main(void)
{
    const struct CMUnitTest fit_tests[] = {
        cmocka_unit_test(what_was_too_much_is_halved_down_to_one),
        cmocka_unit_test(what_goes_through_again_and_again_may_be_larger_up_to_the_maximum),
        cmocka_unit_test(small_ones_say_nothing_and_a_failure_begins_the_count_anew),
    };

    return cmocka_run_group_tests(fit_tests, NULL, NULL);
}
