#include "base/timestamp.h"

#include <assert.h>

#include "base/num.h"
#include "base/utf8.h"

#define US_PER_SECOND 1000000LL
#define SECONDS_PER_DAY 86400LL
#define US_PER_DAY (SECONDS_PER_DAY * US_PER_SECOND)

static const char EXPECTED[] = "a time like 2026-11-22T18:18:43Z or 2026-11-22T19:18:43.5+01:00";

struct date {
    int64_t year;
    int month; /* 1..12 */
    int day;   /* 1..31 */
};

static bool is_leap(int64_t year)
{
    return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

static int days_in_month(int64_t year, int month)
{
    static const int DAYS[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};

    return month == 2 && is_leap(year) ? 29 : DAYS[month - 1];
}

/* Proleptic Gregorian calendar in eras of 400 years that begin in March: "days_from_civil" of
 * Hinnant's date algorithms. */
static int64_t days_of_date(struct date date)
{
    int64_t year = date.month <= 2 ? date.year - 1 : date.year;
    int64_t era = year / 400;
    int64_t year_of_era = year - era * 400;
    int64_t month_from_march = (date.month + 9) % 12;
    int64_t day_of_year = (153 * month_from_march + 2) / 5 + date.day - 1;
    int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;

    return era * 146097 + day_of_era - 719468;
}

/* The inverse, "civil_from_days". */
static struct date date_of_days(int64_t days)
{
    int64_t shifted = days + 719468;
    int64_t era = shifted / 146097;
    int64_t day_of_era = shifted - era * 146097;
    int64_t year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    int64_t month_from_march = (5 * day_of_year + 2) / 153;
    int month = (int)(month_from_march < 10 ? month_from_march + 3 : month_from_march - 9);

    return (struct date){
        .year = year_of_era + era * 400 + (month <= 2 ? 1 : 0),
        .month = month,
        .day = (int)(day_of_year - (153 * month_from_march + 2) / 5 + 1),
    };
}

static char *put_digits(char *out, int64_t value, int digits)
{
    for (int i = digits - 1; i >= 0; i--) {
        out[i] = (char)('0' + value % 10);
        value /= 10;
    }
    return out + digits;
}

void timestamp_format(int64_t us, char ret_text[TIMESTAMP_TEXT_MAX])
{
    assert(us >= TIMESTAMP_MIN_US && us <= TIMESTAMP_MAX_US);
    int64_t in_day = us % US_PER_DAY;
    int64_t days = us / US_PER_DAY;
    if (in_day < 0) {
        in_day += US_PER_DAY;
        days--;
    }
    struct date date = date_of_days(days);
    int64_t second = in_day / US_PER_SECOND;

    char *out = put_digits(ret_text, date.year, 4);
    *out++ = '-';
    out = put_digits(out, date.month, 2);
    *out++ = '-';
    out = put_digits(out, date.day, 2);
    *out++ = 'T';
    out = put_digits(out, second / 3600, 2);
    *out++ = ':';
    out = put_digits(out, second / 60 % 60, 2);
    *out++ = ':';
    out = put_digits(out, second % 60, 2);
    *out++ = '.';
    out = put_digits(out, in_day % US_PER_SECOND, 6);
    *out++ = 'Z';
    *out = '\0';
}

/* What is left to read of a text. A reader that fails leaves it anywhere. */
struct cursor {
    const char *p;
    const char *end;
};

static bool read_digits(struct cursor *in, int digits, int max, int *ret)
{
    int value = 0;

    for (int i = 0; i < digits; i++) {
        if (in->p == in->end || *in->p < '0' || *in->p > '9') {
            return false;
        }
        value = value * 10 + (*in->p++ - '0');
    }
    *ret = value;
    return value <= max;
}

static bool read_char(struct cursor *in, char expected)
{
    if (in->p == in->end || *in->p != expected) {
        return false;
    }
    in->p++;
    return true;
}

static bool read_date(struct cursor *in, struct date *ret)
{
    int year = 0;
    int month = 0;
    int day = 0;

    if (!read_digits(in, 4, 9999, &year) || !read_char(in, '-') ||
        !read_digits(in, 2, 12, &month) || !read_char(in, '-') || !read_digits(in, 2, 31, &day)) {
        return false;
    }
    *ret = (struct date){year, month, day};
    return year >= 1 && month >= 1 && day >= 1 && day <= days_in_month(year, month);
}

/* Digits behind the point: the first six count. */
static bool read_fraction(struct cursor *in, int64_t *ret_us)
{
    int64_t us = 0;
    int64_t unit = US_PER_SECOND / 10;
    const char *start = in->p;

    while (in->p < in->end && *in->p >= '0' && *in->p <= '9') {
        us += unit * (*in->p++ - '0');
        unit /= 10;
    }
    *ret_us = us;
    return in->p > start;
}

static bool read_time_of_day(struct cursor *in, int64_t *ret_us)
{
    int hour = 0;
    int minute = 0;
    int second = 0;
    int64_t us = 0;

    if (!read_digits(in, 2, 23, &hour) || !read_char(in, ':') || !read_digits(in, 2, 59, &minute) ||
        !read_char(in, ':') || !read_digits(in, 2, 60, &second)) {
        return false;
    }
    if (read_char(in, '.') && !read_fraction(in, &us)) {
        return false;
    }
    if (second == 60) { /* a leap second: the last instant before it that we can say */
        second = 59;
        us = US_PER_SECOND - 1;
    }
    *ret_us = ((hour * 60LL + minute) * 60 + second) * US_PER_SECOND + us;
    return true;
}

static bool read_offset(struct cursor *in, int64_t *ret_us)
{
    int hour = 0;
    int minute = 0;

    if (read_char(in, 'Z') || read_char(in, 'z')) {
        *ret_us = 0;
        return true;
    }
    bool negative = read_char(in, '-');
    if ((!negative && !read_char(in, '+')) || !read_digits(in, 2, 23, &hour) ||
        !read_char(in, ':') || !read_digits(in, 2, 59, &minute)) {
        return false;
    }
    int64_t us = (hour * 60LL + minute) * 60 * US_PER_SECOND;
    *ret_us = negative ? -us : us;
    return true;
}

static int refuse(struct str s, const char *expected, struct err *err)
{
    return err_set(err, ERR_INVALID, "\"%.*s\" is not a time; expected %s", QUOTE_ARG(s), expected);
}

static int check_range(struct str s, int64_t us, int64_t *ret_us, struct err *err)
{
    if (us < TIMESTAMP_MIN_US || us > TIMESTAMP_MAX_US) {
        return err_set(err, ERR_INVALID, "\"%.*s\" is outside of the years 1 to 9999 (UTC)",
                       QUOTE_ARG(s));
    }
    *ret_us = us;
    return 0;
}

int timestamp_parse(struct str s, int64_t *ret_us, struct err *err)
{
    struct cursor in = {s.ptr, s.ptr + s.len};
    struct date date;
    int64_t in_day = 0;
    int64_t offset = 0;

    /* RFC 3339 section 5.6 allows t, and a space where people read it. */
    if (!read_date(&in, &date) ||
        !(read_char(&in, 'T') || read_char(&in, 't') || read_char(&in, ' ')) ||
        !read_time_of_day(&in, &in_day) || !read_offset(&in, &offset) || in.p != in.end) {
        return refuse(s, EXPECTED, err);
    }
    return check_range(s, days_of_date(date) * US_PER_DAY + in_day - offset, ret_us, err);
}

/* Seconds in a span's unit; 0 for no unit of ours. */
static int64_t unit_seconds(char unit)
{
    switch (unit) {
    case 's':
        return 1;
    case 'm':
        return 60;
    case 'h':
        return 3600;
    case 'd':
        return SECONDS_PER_DAY;
    case 'w':
        return 7 * SECONDS_PER_DAY;
    default:
        return 0;
    }
}

int timestamp_parse_human(struct str s, int64_t now_us, int64_t *ret_us, struct err *err)
{
    struct cursor in = {s.ptr, s.ptr + s.len};
    struct date date;
    int64_t count = 0;
    int64_t us = 0;
    struct err ignored;

    if (read_date(&in, &date) && in.p == in.end) {
        *ret_us = days_of_date(date) * US_PER_DAY;
        return 0;
    }
    if (timestamp_parse(s, ret_us, &ignored) == 0) {
        return 0;
    }
    int64_t seconds = s.len > 1 ? unit_seconds(s.ptr[s.len - 1]) : 0;
    struct str number = {s.ptr, s.len - (s.len > 0)};
    if (seconds == 0 || num_parse_i64(number, 0, INT64_MAX, "span", &count, &ignored) < 0) {
        return refuse(s,
                      "a span back from now (90s, 15m, 2h, 3d, 1w), a date (2026-11-22) or a "
                      "time (2026-11-22T18:18:43Z)",
                      err);
    }
    if (__builtin_mul_overflow(count, seconds * US_PER_SECOND, &us) ||
        __builtin_sub_overflow(now_us, us, &us)) {
        us = INT64_MIN;
    }
    return check_range(s, us, ret_us, err);
}
