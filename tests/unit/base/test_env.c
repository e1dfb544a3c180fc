/* env - clock and chance. */
#include "support/unit.h"

#include <limits.h>
#include <time.h>

#include "base/env.h"

static void the_system_clock_tells_the_time(void **state)
{
    (void)state;
    struct env *env = env_system();

    assert_in_range(env->now_us(env) / 1000000 - (int64_t)time(NULL) + 5, 0, 10);
}

static void monotonic_time_never_goes_back(void **state)
{
    (void)state;
    struct env *env = env_system();
    int64_t before = env->mono_ms(env);

    for (int i = 0; i < 1000; i++) {
        int64_t now = env->mono_ms(env);
        assert_true(now >= before);
        before = now;
    }
}

static void random_bytes_fill_the_whole_request(void **state)
{
    (void)state;
    struct env *env = env_system();
    uint8_t bytes[1000] = {0};
    uint8_t guard[1000] = {0};
    size_t zeros = 0;

    env->random(env, bytes, 999);
    for (size_t i = 0; i < sizeof(bytes); i++) {
        zeros += bytes[i] == 0;
    }
    assert_in_range(zeros, 1, 30); /* about 4; the last one was not to be touched */
    assert_int_equal(bytes[999], 0);
    assert_memory_not_equal(bytes, guard, 16);
}

static void a_fake_stands_still_until_advanced(void **state)
{
    (void)state;
    struct env_fake fake;
    struct env *env = &fake.env;

    env_fake_init(&fake, 5000000, 1);
    assert_int_equal(env->now_us(env), 5000000);
    int64_t mono = env->mono_ms(env);
    assert_int_equal(env->now_us(env), 5000000);
    env_fake_advance_ms(&fake, 1500);
    assert_int_equal(env->now_us(env), 6500000);
    assert_int_equal(env->mono_ms(env), mono + 1500);
}

static void a_fake_repeats_its_chances_by_the_seed(void **state)
{
    (void)state;
    struct env_fake first;
    struct env_fake second;
    struct env_fake other;
    uint8_t a[20];
    uint8_t b[20];
    uint8_t c[20];

    env_fake_init(&first, 0, 7);
    env_fake_init(&second, 0, 7);
    env_fake_init(&other, 0, 8);
    first.env.random(&first.env, a, sizeof(a));
    second.env.random(&second.env, b, sizeof(b));
    other.env.random(&other.env, c, sizeof(c));
    assert_memory_equal(a, b, sizeof(a));
    assert_memory_not_equal(a, c, sizeof(a));
    first.env.random(&first.env, a, sizeof(a));
    assert_memory_not_equal(a, b, sizeof(a));
}

static void a_deadline_counts_down_to_zero(void **state)
{
    (void)state;

    assert_in_range(deadline_left_ms(deadline_in(60000)), 1, 60000);
    assert_int_equal(deadline_left_ms(deadline_in(0)), 0);
    assert_int_equal(deadline_left_ms(deadline_in(-5)), 0);
    assert_int_equal(deadline_left_ms((struct deadline){0}), 0);
}

static void never_is_never(void **state)
{
    (void)state;

    assert_true(deadline_left_ms(deadline_never()) == INT64_MAX);
    assert_true(deadline_left_ms(deadline_in(INT64_MAX)) == INT64_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_system_clock_tells_the_time),
        cmocka_unit_test(monotonic_time_never_goes_back),
        cmocka_unit_test(random_bytes_fill_the_whole_request),
        cmocka_unit_test(a_fake_stands_still_until_advanced),
        cmocka_unit_test(a_fake_repeats_its_chances_by_the_seed),
        cmocka_unit_test(a_deadline_counts_down_to_zero),
        cmocka_unit_test(never_is_never),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
