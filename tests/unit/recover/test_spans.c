/* Sets of changes, sets of ids, decisions cut to size. */
#include "support/unit.h"

#include "recover/decide.h"
#include "recover/idset.h"
#include "recover/spans.h"

static struct uuid origin_of(uint8_t number)
{
    struct uuid origin;

    memset(origin.bytes, number, sizeof(origin.bytes));
    return origin;
}

static void add(struct ranges *ranges, uint8_t number, uint64_t from, uint64_t to)
{
    struct uuid origin = origin_of(number);

    spans_put(ranges, &origin, from, to);
}

static void assert_range(const struct ranges *ranges, size_t i, uint8_t number, uint64_t from,
                         uint64_t to)
{
    struct uuid origin = origin_of(number);

    assert_true(i < ranges->count);
    assert_true(uuid_eq(&ranges->items[i].origin, &origin));
    assert_int_equal(ranges->items[i].from, from);
    assert_int_equal(ranges->items[i].to, to);
}

static void sorting_joins_what_touches(void **state)
{
    AUTO(ranges_done) struct ranges ranges = {.items = NULL};

    (void)state;
    ranges_sort(&ranges);
    assert_int_equal(ranges.count, 0);
    add(&ranges, 2, 5, 9);
    add(&ranges, 1, 8, 12);
    add(&ranges, 2, 1, 4);
    add(&ranges, 1, 1, 3);
    add(&ranges, 1, 2, 6);
    add(&ranges, 2, 7, 8);
    ranges_sort(&ranges);
    assert_int_equal(ranges.count, 3);
    assert_range(&ranges, 0, 1, 1, 6);
    assert_range(&ranges, 1, 1, 8, 12);
    assert_range(&ranges, 2, 2, 1, 9);
}

static void membership_is_exact_at_the_edges(void **state)
{
    AUTO(ranges_done) struct ranges ranges = {.items = NULL};
    struct uuid one = origin_of(1);
    struct uuid two = origin_of(2);

    (void)state;
    assert_false(ranges_contain(&ranges, &one, 1));
    add(&ranges, 1, 5, 9);
    add(&ranges, 1, 20, 20);
    assert_false(ranges_contain(&ranges, &one, 4));
    assert_true(ranges_contain(&ranges, &one, 5));
    assert_true(ranges_contain(&ranges, &one, 9));
    assert_false(ranges_contain(&ranges, &one, 10));
    assert_true(ranges_contain(&ranges, &one, 20));
    assert_false(ranges_contain(&ranges, &one, 21));
    assert_false(ranges_contain(&ranges, &two, 5));
}

static void subtracting_leaves_the_rest(void **state)
{
    AUTO(ranges_done) struct ranges a = {.items = NULL};
    AUTO(ranges_done) struct ranges b = {.items = NULL};
    AUTO(ranges_done) struct ranges rest = {.items = NULL};
    AUTO(ranges_done) struct ranges both = {.items = NULL};

    (void)state;
    add(&a, 1, 1, 10);
    add(&a, 1, 20, 30);
    add(&a, 3, 1, 2);
    add(&b, 1, 3, 4);
    add(&b, 1, 9, 22);
    add(&b, 2, 1, 100);
    spans_subtract(&a, &b, &rest);
    assert_int_equal(rest.count, 4);
    assert_range(&rest, 0, 1, 1, 2);
    assert_range(&rest, 1, 1, 5, 8);
    assert_range(&rest, 2, 1, 23, 30);
    assert_range(&rest, 3, 3, 1, 2);
    spans_intersect(&a, &b, &both);
    assert_int_equal(both.count, 3);
    assert_range(&both, 0, 1, 3, 4);
    assert_range(&both, 1, 1, 9, 10);
    assert_range(&both, 2, 1, 20, 22);
    assert_int_equal(ranges_total(&rest) + ranges_total(&both), ranges_total(&a));
}

static bool has(const struct ranges *ranges, const struct uuid *origin, uint64_t seq)
{
    for (size_t i = 0; i < ranges->count; i++) {
        const struct range *range = &ranges->items[i];
        if (uuid_eq(&range->origin, origin) && range->from <= seq && seq <= range->to) {
            return true;
        }
    }
    return false;
}

/* Against the plain definition, on many small sets. */
static void arithmetic_agrees_with_its_definition(void **state)
{
    unsigned seed = 1;

    (void)state;
    for (int round = 0; round < 2000; round++) {
        AUTO(ranges_done) struct ranges a = {.items = NULL};
        AUTO(ranges_done) struct ranges b = {.items = NULL};
        AUTO(ranges_done) struct ranges rest = {.items = NULL};
        AUTO(ranges_done) struct ranges both = {.items = NULL};
        for (int i = 0; i < 6; i++) {
            seed = seed * 1103515245 + 12345;
            uint64_t from = 1 + (seed >> 16) % 25;
            add(i % 2 == 0 ? &a : &b, (uint8_t)(1 + (seed >> 8) % 2), from,
                from + (seed >> 24) % 6);
        }
        ranges_sort(&a);
        ranges_sort(&b);
        spans_subtract(&a, &b, &rest);
        spans_intersect(&a, &b, &both);
        for (uint8_t number = 1; number <= 2; number++) {
            struct uuid origin = origin_of(number);
            for (uint64_t seq = 1; seq < 35; seq++) {
                bool in_a = has(&a, &origin, seq);
                bool in_b = has(&b, &origin, seq);
                assert_int_equal(ranges_contain(&a, &origin, seq), in_a);
                assert_int_equal(ranges_contain(&rest, &origin, seq), in_a && !in_b);
                assert_int_equal(ranges_contain(&both, &origin, seq), in_a && in_b);
            }
        }
    }
}

static void an_idset_has_what_was_added(void **state)
{
    AUTO(idset_done) struct idset set = IDSET_INIT;
    struct uuid id = origin_of(0);

    (void)state;
    id.bytes[0] = 1;
    assert_false(idset_has(&set, &id));
    for (unsigned i = 0; i < 5000; i++) {
        id.bytes[14] = (uint8_t)(i >> 8);
        id.bytes[15] = (uint8_t)i;
        idset_add(&set, &id);
        idset_add(&set, &id);
    }
    assert_int_equal(set.count, 5000);
    for (unsigned i = 0; i < 10000; i++) {
        id.bytes[14] = (uint8_t)(i >> 8);
        id.bytes[15] = (uint8_t)i;
        assert_int_equal(idset_has(&set, &id), i < 5000);
    }
}

static void decisions_are_cut_at_the_limit(void **state)
{
    AUTO(ranges_done) struct ranges ranges = {.items = NULL};
    struct decision_frame frame = {.id = origin_of(9),
                                   .kind = DECISION_UNDONE,
                                   .rule = RULE_RECOVER,
                                   .source = "test",
                                   .summary = "why",
                                   .memories = 7};
    struct decision *decisions;
    size_t count;
    uint64_t total = 0;

    (void)state;
    decisions_make(&frame, &ranges, &decisions, &count);
    assert_int_equal(count, 0);
    decisions_free(decisions, count);
    for (uint64_t i = 0; i < 2 * RANGES_MAX + 1; i++) {
        add(&ranges, 1, 1000000000000 + 2 * i, 1000000000000 + 2 * i);
    }
    decisions_make(&frame, &ranges, &decisions, &count);
    assert_int_equal(count, 3);
    for (size_t i = 0; i < count; i++) {
        AUTO(buf_done) struct buf body = BUF_INIT(CHANGE_RECORD_MAX);
        struct err err = ERR_INIT;
        assert_ok(decision_write_body(&decisions[i], &body, &err), &err);
        assert_int_equal(decisions[i].memories, i == 0 ? 7 : 0);
        total += decisions[i].changes;
    }
    assert_int_equal(total, 2 * RANGES_MAX + 1);
    assert_int_equal(decision_draft(&decisions[0], "test").op, OP_HOLD);
    decisions_free(decisions, count);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sorting_joins_what_touches),
        cmocka_unit_test(membership_is_exact_at_the_edges),
        cmocka_unit_test(subtracting_leaves_the_rest),
        cmocka_unit_test(arithmetic_agrees_with_its_definition),
        cmocka_unit_test(an_idset_has_what_was_added),
        cmocka_unit_test(decisions_are_cut_at_the_limit),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
