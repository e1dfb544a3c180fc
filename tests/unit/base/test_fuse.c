/* fuse - rankings made one. */
#include "support/unit.h"

#include "base/fuse.h"

#define EQUAL 1e-12

static struct uuid id(unsigned char n)
{
    return (struct uuid){{[15] = n}};
}

/* The ids 1 to 9 of a text such as "312". */
static void add(struct fusion *fusion, const char *digits)
{
    struct uuid ids[16];
    size_t count = strlen(digits);

    for (size_t i = 0; i < count; i++) {
        ids[i] = id((unsigned char)(digits[i] - '0'));
    }
    fusion_add(fusion, ids, count);
}

static void assert_order(const struct fusion *fusion, const char *digits)
{
    assert_int_equal(fusion->count, strlen(digits));
    for (size_t i = 0; i < fusion->count; i++) {
        assert_int_equal(fusion->items[i].id.bytes[15], digits[i] - '0');
    }
}

static void one_ranking_keeps_its_order(void **state)
{
    AUTO(fusion_done) struct fusion fusion = FUSION_INIT;

    (void)state;
    add(&fusion, "312");
    fusion_finish(&fusion);
    assert_order(&fusion, "312");
    assert_true(fusion.items[0].score > 1 - EQUAL && fusion.items[0].score < 1 + EQUAL);
    assert_true(fusion.items[1].score > fusion.items[2].score && fusion.items[2].score > 0.9);
}

static void what_both_know_comes_before_what_one_knows(void **state)
{
    AUTO(fusion_done) struct fusion fusion = FUSION_INIT;

    (void)state;
    add(&fusion, "17");
    add(&fusion, "27");
    fusion_finish(&fusion);
    assert_order(&fusion, "712");
}

static void the_first_of_all_has_one_and_the_first_of_one_half(void **state)
{
    AUTO(fusion_done) struct fusion fusion = FUSION_INIT;

    (void)state;
    add(&fusion, "4");
    add(&fusion, "4");
    fusion_finish(&fusion);
    assert_true(fusion.items[0].score > 1 - EQUAL && fusion.items[0].score < 1 + EQUAL);
    fusion_done(&fusion);
    add(&fusion, "4");
    add(&fusion, "");
    fusion_finish(&fusion);
    assert_true(fusion.items[0].score > 0.5 - EQUAL && fusion.items[0].score < 0.5 + EQUAL);
}

static void equal_ones_come_by_id_whichever_ranking_has_them(void **state)
{
    static const char *const rankings[][2] = {{"25", "52"}, {"52", "25"}, {"5", "2"}, {"2", "5"}};

    (void)state;
    for (size_t i = 0; i < sizeof(rankings) / sizeof(rankings[0]); i++) {
        AUTO(fusion_done) struct fusion fusion = FUSION_INIT;
        add(&fusion, rankings[i][0]);
        add(&fusion, rankings[i][1]);
        fusion_finish(&fusion);
        assert_order(&fusion, "25");
    }
}

static void nothing_fused_is_nothing(void **state)
{
    AUTO(fusion_done) struct fusion fusion = FUSION_INIT;

    (void)state;
    fusion_finish(&fusion);
    assert_int_equal(fusion.count, 0);
    add(&fusion, "");
    fusion_finish(&fusion);
    assert_int_equal(fusion.count, 0);
}

int main(void)
{
    const struct CMUnitTest fuse[] = {
        cmocka_unit_test(one_ranking_keeps_its_order),
        cmocka_unit_test(what_both_know_comes_before_what_one_knows),
        cmocka_unit_test(the_first_of_all_has_one_and_the_first_of_one_half),
        cmocka_unit_test(equal_ones_come_by_id_whichever_ranking_has_them),
        cmocka_unit_test(nothing_fused_is_nothing),
    };

    return cmocka_run_group_tests(fuse, NULL, NULL);
}
