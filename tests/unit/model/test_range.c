/* range - sets of changes. */
#include "model/range.h"
#include "model/samples.h"

static void a_seq_that_goes_on_grows_the_last_range(void **state)
{
    (void)state;
    AUTO(ranges_done) struct ranges ranges;
    struct uuid origin = sample_uuid(SAMPLE_ORIGIN);

    ranges_init(&ranges);
    ranges_add(&ranges, &origin, 5);
    ranges_add(&ranges, &origin, 6);
    ranges_add(&ranges, &origin, 7);
    assert_int_equal(ranges.count, 1);
    assert_int_equal(ranges.items[0].from, 5);
    assert_int_equal(ranges.items[0].to, 7);
    assert_int_equal(ranges_total(&ranges), 3);
}

static void a_gap_or_another_origin_begins_a_range(void **state)
{
    (void)state;
    AUTO(ranges_done) struct ranges ranges;
    struct uuid origin = sample_uuid(SAMPLE_ORIGIN);
    struct uuid other = sample_uuid(SAMPLE_ID);

    ranges_init(&ranges);
    ranges_add(&ranges, &origin, 5);
    ranges_add(&ranges, &origin, 7);
    ranges_add(&ranges, &other, 8);
    ranges_add(&ranges, &other, 7);
    assert_int_equal(ranges.count, 4);
    assert_int_equal(ranges_total(&ranges), 4);
}

static void a_seq_added_twice_in_a_row_counts_once(void **state)
{
    (void)state;
    AUTO(ranges_done) struct ranges ranges;
    struct uuid origin = sample_uuid(SAMPLE_ORIGIN);

    ranges_init(&ranges);
    ranges_add(&ranges, &origin, 5);
    ranges_add(&ranges, &origin, 6);
    ranges_add(&ranges, &origin, 6);
    ranges_add(&ranges, &origin, 5);
    assert_int_equal(ranges_total(&ranges), 2);
}

static void ranges_contain_their_ends_and_nothing_beside(void **state)
{
    (void)state;
    AUTO(ranges_done) struct ranges ranges;
    struct uuid origin = sample_uuid(SAMPLE_ORIGIN);
    struct uuid other = sample_uuid(SAMPLE_ID);

    ranges_init(&ranges);
    assert_false(ranges_contain(&ranges, &origin, 5));
    if (uuid_cmp(&other, &origin) < 0) {
        ranges_add(&ranges, &other, 100);
    }
    ranges_add(&ranges, &origin, 5);
    ranges_add(&ranges, &origin, 6);
    ranges_add(&ranges, &origin, 9);
    assert_int_equal(ranges_find(&ranges, &origin, 7), ranges.count - 1);
    assert_int_equal(ranges_find(&ranges, &origin, 10), ranges.count);
    assert_true(ranges_contain(&ranges, &origin, 9));
    assert_false(ranges_contain(&ranges, &origin, 8));
    assert_false(ranges_contain(&ranges, &origin, 10));
    assert_false(ranges_contain(&ranges, &origin, 4));
    assert_true(ranges_contain(&ranges, &origin, 5));
    assert_true(ranges_contain(&ranges, &origin, 6));
    assert_false(ranges_contain(&ranges, &origin, 7));
    assert_false(ranges_contain(&ranges, &other, 5));
}

static void many_ranges_are_kept(void **state)
{
    (void)state;
    AUTO(ranges_done) struct ranges ranges;
    struct uuid origin = sample_uuid(SAMPLE_ORIGIN);

    ranges_init(&ranges);
    for (uint64_t i = 1; i <= 1000; i++) {
        ranges_add(&ranges, &origin, 2 * i);
    }
    assert_int_equal(ranges.count, 1000);
    assert_int_equal(ranges.items[999].from, 2000);
    ranges_done(&ranges);
    assert_int_equal(ranges_total(&ranges), 0);
    ranges_done(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_seq_that_goes_on_grows_the_last_range),
        cmocka_unit_test(a_gap_or_another_origin_begins_a_range),
        cmocka_unit_test(a_seq_added_twice_in_a_row_counts_once),
        cmocka_unit_test(ranges_contain_their_ends_and_nothing_beside),
        cmocka_unit_test(many_ranges_are_kept),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
