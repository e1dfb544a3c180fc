#include "base/json.h"

#include <float.h>
#include <math.h>

#define EXACT_INTEGER_MAX 9007199254740991LL /* 2^53 - 1: RFC 8785 section 3.2.2.3 */
#define NUMBER_TEXT_MAX 32                   /* bytes; the longest is -2.2250738585072014e-308 */

_Static_assert(FLT_EVAL_METHOD == 0, "a double operation must round once, to double");

/* value = 0.d1 d2 d3 … * 10^point */
struct decimal {
    char digits[20];
    int count;
    int point;
};

static int write_u64(uint64_t value, char *out)
{
    char reversed[20];
    int count = 0;

    do {
        reversed[count++] = (char)('0' + value % 10);
        value /= 10;
    } while (value > 0);
    for (int i = 0; i < count; i++) {
        out[i] = reversed[count - 1 - i];
    }
    return count;
}

static void strip_zeros(struct decimal *d)
{
    while (d->count > 1 && d->digits[d->count - 1] == '0') {
        d->count--;
    }
}

/*
 * Any number between 1e-6 and 1e15 of at most 15 digits, which are nearly all that occur, without
 * printf: scaled to 15 digits it is an integer, and that integer divided again gives the number.
 * Both steps are exact enough because powers of ten up to 22 are exact in a double, and two
 * different decimals of 15 digits are never the same double.
 */
static bool decimal_short(double x, struct decimal *ret)
{
    static const double POWERS[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                    1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
                                    1e16, 1e17, 1e18, 1e19, 1e20, 1e21};

    if (x < 1e-6 || x >= 1e15) {
        return false;
    }
    int scale = 0;
    while (x * POWERS[scale] < 1e14) {
        scale++;
    }
    double scaled = nearbyint(x * POWERS[scale]);
    if (scaled / POWERS[scale] != x) {
        return false;
    }
    ret->count = write_u64((uint64_t)scaled, ret->digits);
    ret->point = ret->count - scale;
    strip_zeros(ret);
    return true;
}

/* The digits of "d.ddde±xx", whatever the locale's decimal point. */
static void read_scientific(const char *text, struct decimal *ret)
{
    const char *p = text;

    ret->count = 0;
    for (; *p != 'e'; p++) {
        if (*p >= '0' && *p <= '9') {
            ret->digits[ret->count++] = *p;
        }
    }
    ret->point = (int)strtol(p + 1, NULL, 10) + 1;
    strip_zeros(ret);
}

/* One more in the last place of "d.ddde±xx"; false for 9.99…9, which would get another exponent. */
static bool next_up(char *text)
{
    for (char *p = strchr(text, 'e') - 1; p >= text; p--) {
        if (*p >= '0' && *p < '9') {
            ++*p;
            return true;
        }
        if (*p == '9') {
            *p = '0';
        }
    }
    return false;
}

/*
 * The shortest digits that read back as x; of several, the nearest to x. printf gives the nearest
 * of each length. At a power of two the doubles below lie closer than those above, so there the
 * next decimal above may read back when the nearest doesn't. Subnormals have fewer digits than 15.
 */
static void decimal_shortest(double x, struct decimal *ret)
{
    char text[40];
    int exponent;
    bool power_of_two = frexp(x, &exponent) == 0.5;

    for (int digits = fpclassify(x) == FP_SUBNORMAL ? 1 : 15; digits <= 17; digits++) {
        (void)snprintf(text, sizeof(text), "%.*e", digits - 1, x); /* at most 25 bytes */
        if (strtod(text, NULL) == x || (power_of_two && next_up(text) && strtod(text, NULL) == x)) {
            break;
        }
    }
    read_scientific(text, ret);
}

static char *put(char *out, const char *bytes, int len)
{
    memcpy(out, bytes, (size_t)len);
    return out + len;
}

static char *put_zeros(char *out, int count)
{
    memset(out, '0', (size_t)count);
    return out + count;
}

/* ECMA-262, Number::toString, steps 6 to 12. */
static char *put_decimal(char *out, const struct decimal *d)
{
    if (d->point > 21 || d->point <= -6) {
        int exponent = d->point - 1;
        *out++ = d->digits[0];
        if (d->count > 1) {
            *out++ = '.';
            out = put(out, d->digits + 1, d->count - 1);
        }
        *out++ = 'e';
        *out++ = exponent < 0 ? '-' : '+';
        return out + write_u64((uint64_t)(exponent < 0 ? -exponent : exponent), out);
    }
    if (d->point <= 0) {
        out = put(out, "0.", 2);
        out = put_zeros(out, -d->point);
        return put(out, d->digits, d->count);
    }
    if (d->count <= d->point) {
        out = put(out, d->digits, d->count);
        return put_zeros(out, d->point - d->count);
    }
    out = put(out, d->digits, d->point);
    *out++ = '.';
    return put(out, d->digits + d->point, d->count - d->point);
}

/* Below 2^53 in absolute value. */
static int add_integer(int64_t value, struct buf *buf, struct err *err)
{
    char text[NUMBER_TEXT_MAX];
    char *out = text;

    if (value < 0) {
        *out++ = '-';
    }
    out += write_u64(value < 0 ? 0 - (uint64_t)value : (uint64_t)value, out);
    return buf_add(buf, text, (size_t)(out - text), err);
}

int json_canonical_number(double number, struct buf *buf, struct err *err)
{
    char text[NUMBER_TEXT_MAX];
    char *out = text;
    struct decimal decimal;

    if (!isfinite(number)) {
        return err_set(err, ERR_INVALID, "%s is not a number that JSON can hold",
                       isnan(number) ? "NaN" : "infinity");
    }
    if (fabs(number) <= (double)EXACT_INTEGER_MAX && number == nearbyint(number)) {
        return add_integer((int64_t)number, buf, err);
    }
    if (number < 0) {
        *out++ = '-';
        number = -number;
    }
    if (!decimal_short(number, &decimal)) {
        decimal_shortest(number, &decimal);
    }
    out = put_decimal(out, &decimal);
    return buf_add(buf, text, (size_t)(out - text), err);
}

int json_canonical_integer(int64_t integer, struct buf *buf, struct err *err)
{
    if (integer > EXACT_INTEGER_MAX || integer < -EXACT_INTEGER_MAX) {
        return err_set(err, ERR_INVALID,
                       "the integer %lld is outside of -(2^53 - 1) to 2^53 - 1, where JSON numbers "
                       "are exact; send it as a string",
                       (long long)integer);
    }
    return add_integer(integer, buf, err);
}
