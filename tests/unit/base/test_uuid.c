/* uuid - identities. */
#include "support/unit.h"

#include "base/uuid.h"

#define TEXT "0193556a-7c11-7abc-8def-0123456789ab"

static struct uuid parsed(const char *text)
{
    struct uuid uuid;
    struct err err;

    assert_ok(uuid_parse(str_of(text), &uuid, &err), &err);
    return uuid;
}

static void either_case_is_read_and_lower_case_is_written(void **state)
{
    (void)state;
    char text[UUID_TEXT_MAX];
    struct uuid lower = parsed(TEXT);
    struct uuid upper = parsed("0193556A-7C11-7ABC-8DEF-0123456789AB");

    assert_true(uuid_eq(&lower, &upper));
    uuid_format(&upper, text);
    assert_string_equal(text, TEXT);
    assert_int_equal(lower.bytes[0], 0x01);
    assert_int_equal(lower.bytes[15], 0xAB);
}

static void every_version_is_accepted(void **state)
{
    (void)state;
    struct uuid nil = parsed("00000000-0000-0000-0000-000000000000");
    struct uuid max = parsed("ffffffff-ffff-ffff-ffff-ffffffffffff");

    assert_true(uuid_is_nil(&nil));
    assert_false(uuid_is_nil(&max));
}

static void other_shapes_are_refused(void **state)
{
    (void)state;
    static const char *const CASES[] = {
        "",
        "x",
        "0193556a7c117abc8def0123456789ab",
        "{0193556a-7c11-7abc-8def-0123456789ab}",
        "0193556a-7c11-7abc-8def-0123456789a",
        "0193556a-7c11-7abc-8def-0123456789abc",
        "0193556a-7c11-7abc-8def-0123456789ag",
        "0193556a-7c11-7abc-8def_0123456789ab",
        "0193556a-7c117-abc-8def-0123456789ab",
        "0193556a-7c11-7abc-8def-01234567 9ab",
        "-193556a-7c11-7abc-8def-0123456789ab",
    };
    struct uuid uuid = {{42}};
    struct err err;

    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        assert_refused(uuid_parse(str_of(CASES[i]), &uuid, &err), &err, ERR_INVALID,
                       "is not a UUID; expected 8-4-4-4-12");
    }
    assert_int_equal(uuid.bytes[0], 42);
}

/* The time of RFC 9562 appendix A.6. */
static void a_new_one_has_version_7_and_the_time(void **state)
{
    (void)state;
    struct env_fake fake;
    char text[UUID_TEXT_MAX];

    env_fake_init(&fake, 1645557742000000, 1);
    struct uuid uuid = uuid_new(&fake.env);
    uuid_format(&uuid, text);
    assert_memory_equal(text, "017f22e2-79b0-7", 15);
    assert_true(strchr("89ab", text[19]) != NULL);
}

static void later_ones_sort_behind_earlier_ones(void **state)
{
    (void)state;
    struct env_fake fake;

    env_fake_init(&fake, 1645557742000000, 1);
    struct uuid earlier = uuid_new(&fake.env);
    for (int i = 0; i < 100; i++) {
        env_fake_advance_ms(&fake, 1);
        struct uuid later = uuid_new(&fake.env);
        assert_true(uuid_cmp(&earlier, &later) < 0);
        assert_true(uuid_cmp(&later, &earlier) > 0);
        earlier = later;
    }
}

static void two_of_the_same_instant_differ(void **state)
{
    (void)state;
    struct uuid a = uuid_new(env_system());
    struct uuid b = uuid_new(env_system());

    assert_false(uuid_eq(&a, &b));
    assert_true(uuid_eq(&a, &a));
    assert_int_equal(uuid_cmp(&a, &a), 0);
}

static void the_same_text_derives_the_same_one(void **state)
{
    (void)state;
    char text[UUID_TEXT_MAX];
    struct uuid a = uuid_derive(STR("session"), STR("claude/1"));
    struct uuid again = uuid_derive(STR("session"), STR("claude/1"));

    assert_true(uuid_eq(&a, &again));
    uuid_format(&a, text);
    assert_string_equal(text, "a2729838-cd72-8792-a073-960ffbb63116");
    assert_int_equal(text[14], '8');
}

static void derived_ones_keep_namespace_and_name_apart(void **state)
{
    (void)state;
    struct uuid a = uuid_derive(STR("ab"), STR("c"));
    struct uuid b = uuid_derive(STR("a"), STR("bc"));
    struct uuid c = uuid_derive(STR(""), STR("abc"));

    assert_false(uuid_eq(&a, &b));
    assert_false(uuid_eq(&b, &c));
    assert_false(uuid_eq(&a, &c));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(either_case_is_read_and_lower_case_is_written),
        cmocka_unit_test(every_version_is_accepted),
        cmocka_unit_test(other_shapes_are_refused),
        cmocka_unit_test(a_new_one_has_version_7_and_the_time),
        cmocka_unit_test(later_ones_sort_behind_earlier_ones),
        cmocka_unit_test(two_of_the_same_instant_differ),
        cmocka_unit_test(the_same_text_derives_the_same_one),
        cmocka_unit_test(derived_ones_keep_namespace_and_name_apart),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
