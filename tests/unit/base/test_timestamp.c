/* timestamp - microseconds inside, RFC 3339 outside. */
#include "support/unit.h"

#include "base/timestamp.h"

#define SECOND 1000000LL
#define DAY (86400 * SECOND)
#define NOW (1795371523LL * SECOND) /* 2026-11-22T18:18:43Z */

static void instants_are_written_in_utc_with_six_digits(void **state)
{
    (void)state;
    static const struct {
        int64_t us;
        const char *text;
    } CASES[] = {
        {0, "1970-01-01T00:00:00.000000Z"},
        {-1, "1969-12-31T23:59:59.999999Z"},
        {NOW + 1, "2026-11-22T18:18:43.000001Z"},
        {951782400 * SECOND, "2000-02-29T00:00:00.000000Z"},
        {4107542399 * SECOND, "2100-02-28T23:59:59.000000Z"},
        {4107542400 * SECOND, "2100-03-01T00:00:00.000000Z"},
        {TIMESTAMP_MIN_US, "0001-01-01T00:00:00.000000Z"},
        {TIMESTAMP_MAX_US, "9999-12-31T23:59:59.999999Z"},
    };

    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        char text[TIMESTAMP_TEXT_MAX];
        timestamp_format(CASES[i].us, text);
        assert_string_equal(text, CASES[i].text);
    }
}

static void what_was_written_is_read_back(void **state)
{
    (void)state;
    struct err err;

    for (int64_t us = TIMESTAMP_MIN_US; us < TIMESTAMP_MAX_US - 27 * DAY;
         us += 27 * DAY + 12345678901) {
        char text[TIMESTAMP_TEXT_MAX];
        int64_t read = 0;
        timestamp_format(us, text);
        assert_ok(timestamp_parse(str_of(text), &read, &err), &err);
        assert_true(read == us);
    }
}

static void rfc_3339_is_read(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t us;
    } CASES[] = {
        {"1970-01-01T00:00:00Z", 0},
        {"1970-01-01t00:00:00z", 0},
        {"1970-01-01 00:00:00Z", 0},
        {"1970-01-01T00:00:00.5Z", SECOND / 2},
        {"1970-01-01T00:00:00.000001Z", 1},
        {"1970-01-01T00:00:00.0000019999Z", 1},
        {"1970-01-01T01:00:00+01:00", 0},
        {"1969-12-31T18:30:00-05:30", 0},
        {"1970-01-01T00:00:00-00:00", 0},
        {"1970-01-02T23:59:00+23:59", DAY},
        {"2000-02-29T00:00:00Z", 951782400 * SECOND},
        {"0001-01-01T00:00:00Z", TIMESTAMP_MIN_US},
        {"9999-12-31T23:59:59.999999Z", TIMESTAMP_MAX_US},
        {"0001-01-01T01:00:00+01:00", TIMESTAMP_MIN_US},
        /* RFC 3339 section 5.8 */
        {"1985-04-12T23:20:50.52Z", 482196050520000},
        {"1996-12-19T16:39:57-08:00", 851042397 * SECOND},
        {"1937-01-01T12:00:27.87+00:20", -1041337172130000},
    };
    struct err err;

    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        int64_t us = -7;
        assert_ok(timestamp_parse(str_of(CASES[i].text), &us, &err), &err);
        assert_true(us == CASES[i].us);
    }
}

static void a_leap_second_is_the_last_instant_before_it(void **state)
{
    (void)state;
    int64_t us = 0;
    int64_t before = 0;
    struct err err;

    assert_ok(timestamp_parse(STR("1990-12-31T23:59:59.999999Z"), &before, &err), &err);
    assert_ok(timestamp_parse(STR("1990-12-31T23:59:60Z"), &us, &err), &err);
    assert_true(us == before);
    assert_ok(timestamp_parse(STR("1990-12-31T15:59:60.5-08:00"), &us, &err), &err);
    assert_true(us == before);
}

static void what_is_no_rfc_3339_is_refused(void **state)
{
    (void)state;
    static const char *const CASES[] = {
        "",
        "now",
        "2026-11-22",
        "2026-11-22T18:18Z",
        "2026-11-22T18:18:43",
        "2026-11-22T18:18:43.Z",
        "2026-11-22T18:18:43,5Z",
        "2026-11-22T18:18:43Zx",
        " 2026-11-22T18:18:43Z",
        "2026-11-22_18:18:43Z",
        "2026/11/22T18:18:43Z",
        "26-11-22T18:18:43Z",
        "2026-00-22T18:18:43Z",
        "2026-13-22T18:18:43Z",
        "2026-11-00T18:18:43Z",
        "2026-11-31T18:18:43Z",
        "2026-02-29T18:18:43Z",
        "2100-02-29T18:18:43Z",
        "0000-01-01T00:00:00Z",
        "2026-11-22T24:00:00Z",
        "2026-11-22T18:60:43Z",
        "2026-11-22T18:18:61Z",
        "2026-11-22T18:18:43+24:00",
        "2026-11-22T18:18:43+01:60",
        "2026-11-22T18:18:43+0100",
        "2026-11-22T18:18:43+1:00",
        "2026-11-22T18:18:4:Z",
        "-026-11-22T18:18:43Z",
    };
    int64_t us = 7;
    struct err err;

    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        assert_refused(timestamp_parse(str_of(CASES[i]), &us, &err), &err, ERR_INVALID,
                       "expected a time like 2026-11-22T18:18:43Z");
    }
    assert_true(us == 7);
}

static void instants_beyond_the_four_digit_years_are_refused(void **state)
{
    (void)state;
    int64_t us = 0;
    struct err err;

    assert_refused(timestamp_parse(STR("0001-01-01T00:00:00+00:01"), &us, &err), &err, ERR_INVALID,
                   "years 1 to 9999");
    assert_refused(timestamp_parse(STR("9999-12-31T23:59:59-00:01"), &us, &err), &err, ERR_INVALID,
                   "years 1 to 9999");
}

static void people_may_give_a_span_a_date_or_a_time(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t us;
    } CASES[] = {
        {"90s", NOW - 90 * SECOND},
        {"15m", NOW - 15 * 60 * SECOND},
        {"2h", NOW - 2 * 3600 * SECOND},
        {"3d", NOW - 3 * DAY},
        {"1w", NOW - 7 * DAY},
        {"0s", NOW},
        {"1970-01-02", DAY},
        {"2000-02-29", 951782400 * SECOND},
        {"1970-01-02T00:00:01+00:00", DAY + SECOND},
    };
    struct err err;

    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        int64_t us = -7;
        assert_ok(timestamp_parse_human(str_of(CASES[i].text), NOW, &us, &err), &err);
        assert_true(us == CASES[i].us);
    }
}

static void other_words_for_a_moment_are_refused(void **state)
{
    (void)state;
    static const char *const CASES[] = {"",   "d",    "3",  "3x",         "-3d",       "3 d",
                                        "3D", "1.5h", "1y", "2026-02-30", "yesterday", "3dd"};
    int64_t us = 0;
    struct err err;

    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        assert_refused(timestamp_parse_human(str_of(CASES[i]), NOW, &us, &err), &err, ERR_INVALID,
                       "expected a span back from now");
    }
}

static void spans_that_lead_before_the_first_year_are_refused(void **state)
{
    (void)state;
    static const char *const CASES[] = {"200000w", "9223372036854775807s", "9223372036854775807w"};
    int64_t us = 0;
    struct err err;

    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        assert_refused(timestamp_parse_human(str_of(CASES[i]), NOW, &us, &err), &err, ERR_INVALID,
                       "years 1 to 9999");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(instants_are_written_in_utc_with_six_digits),
        cmocka_unit_test(what_was_written_is_read_back),
        cmocka_unit_test(rfc_3339_is_read),
        cmocka_unit_test(a_leap_second_is_the_last_instant_before_it),
        cmocka_unit_test(what_is_no_rfc_3339_is_refused),
        cmocka_unit_test(instants_beyond_the_four_digit_years_are_refused),
        cmocka_unit_test(people_may_give_a_span_a_date_or_a_time),
        cmocka_unit_test(other_words_for_a_moment_are_refused),
        cmocka_unit_test(spans_that_lead_before_the_first_year_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
