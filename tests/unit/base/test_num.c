/* num - numbers from text and bytes, checked. */
#include "support/unit.h"

#include <math.h>

#include "base/num.h"

static int parse(const char *text, int64_t *ret, struct err *err)
{
    return num_parse_i64(str_of(text), INT64_MIN, INT64_MAX, "n", ret, err);
}

static void whole_numbers_are_read(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t value;
    } CASES[] = {
        {"0", 0},
        {"-0", 0},
        {"007", 7},
        {"-12", -12},
        {"9223372036854775807", INT64_MAX},
        {"-9223372036854775808", INT64_MIN},
    };
    struct err err;

    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        int64_t value = -1;
        assert_ok(parse(CASES[i].text, &value, &err), &err);
        assert_true(value == CASES[i].value);
    }
}

static void what_is_no_whole_number_is_refused(void **state)
{
    (void)state;
    static const char *const CASES[] = {"",    "-",   "+1",  " 1",  "1 ", "1.0",
                                        "1e3", "0x1", "--1", "1-2", "ten"};
    int64_t value = 42;
    struct err err;

    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        assert_refused(parse(CASES[i], &value, &err), &err, ERR_INVALID, "expected a whole number");
    }
    assert_refused(num_parse_i64(STR("1\0"), 0, 9, "n", &value, &err), &err, ERR_INVALID,
                   "expected a whole number");
    assert_int_equal(value, 42);
}

static void numbers_beyond_64_bits_are_refused(void **state)
{
    (void)state;
    static const char *const CASES[] = {"9223372036854775808", "-9223372036854775809",
                                        "99999999999999999999999999"};
    int64_t value = 0;
    struct err err;

    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        assert_refused(parse(CASES[i], &value, &err), &err, ERR_INVALID, CASES[i]);
    }
}

static void both_ends_of_the_range_are_allowed_and_no_more(void **state)
{
    (void)state;
    int64_t value = 0;
    struct err err;

    assert_ok(num_parse_i64(STR("1"), 1, 65535, "port", &value, &err), &err);
    assert_ok(num_parse_i64(STR("65535"), 1, 65535, "port", &value, &err), &err);
    assert_int_equal(value, 65535);
    assert_refused(num_parse_i64(STR("0"), 1, 65535, "port", &value, &err), &err, ERR_INVALID,
                   "port is 0; allowed is 1 to 65535");
    assert_refused(num_parse_i64(STR("65536"), 1, 65535, "port", &value, &err), &err, ERR_INVALID,
                   "port is 65536; allowed is 1 to 65535");
}

static void decimals_are_read(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        double value;
    } CASES[] = {{"0.5", 0.5}, {"1", 1}, {"-2.5e3", -2500}, {".5", 0.5}, {"1E-2", 0.01}};
    struct err err;

    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        double value = 0;
        assert_ok(num_parse_double(str_of(CASES[i].text), -1e9, 1e9, "x", &value, &err), &err);
        assert_true(value == CASES[i].value);
    }
}

static void what_is_no_decimal_is_refused(void **state)
{
    (void)state;
    static const char *const CASES[] = {"",    " 1", "1 ", "nan",  "inf", "-inf", "0x10",
                                        "1,5", "e",  "1e", "1..2", "-",   "half"};
    double value = 0;
    struct err err;

    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        assert_refused(num_parse_double(str_of(CASES[i]), -INFINITY, INFINITY, "x", &value, &err),
                       &err, ERR_INVALID, "expected a number");
    }
}

static void decimals_out_of_range_are_refused(void **state)
{
    (void)state;
    double value = 0;
    struct err err;

    assert_ok(num_parse_double(STR("1"), 0, 1, "importance", &value, &err), &err);
    assert_refused(num_parse_double(STR("1.01"), 0, 1, "importance", &value, &err), &err,
                   ERR_INVALID, "importance is 1.01; allowed is 0 to 1");
    assert_refused(num_parse_double(STR("1e400"), 0, INFINITY, "x", &value, &err), &err,
                   ERR_INVALID, "x is 1e400");
}

static void refused_texts_are_quoted_in_part(void **state)
{
    (void)state;
    char text[2000];
    int64_t value = 0;
    struct err err;

    memset(text, 'x', sizeof(text));
    assert_refused(num_parse_i64((struct str){text, sizeof(text)}, 0, 1, "n", &value, &err), &err,
                   ERR_INVALID, "xxx\"; expected");
    assert_true(strlen(err.message) < 200);
}

static void bytes_are_in_network_order(void **state)
{
    (void)state;
    static const uint8_t BYTES[] = {0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0xF8};
    uint8_t out[8];

    assert_int_equal(be16_get(BYTES), 0x0102);
    assert_int_equal(be32_get(BYTES), 0x01020304);
    assert_true(be64_get(BYTES) == 0x01020304050607F8ULL);
    be16_put(out, 0x0102);
    assert_memory_equal(out, BYTES, 2);
    be32_put(out, 0x01020304);
    assert_memory_equal(out, BYTES, 4);
    be64_put(out, 0x01020304050607F8ULL);
    assert_memory_equal(out, BYTES, 8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whole_numbers_are_read),
        cmocka_unit_test(what_is_no_whole_number_is_refused),
        cmocka_unit_test(numbers_beyond_64_bits_are_refused),
        cmocka_unit_test(both_ends_of_the_range_are_allowed_and_no_more),
        cmocka_unit_test(decimals_are_read),
        cmocka_unit_test(what_is_no_decimal_is_refused),
        cmocka_unit_test(decimals_out_of_range_are_refused),
        cmocka_unit_test(refused_texts_are_quoted_in_part),
        cmocka_unit_test(bytes_are_in_network_order),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
