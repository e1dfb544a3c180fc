#include "base/num.h"

#include <locale.h>
#include <math.h>
#include <pthread.h>

#include "base/utf8.h"

#define DOUBLE_TEXT_MAX 64 /* bytes; 17 digits, sign, point and exponent take 24 */

static int not_a_number(struct str s, const char *what, const char *kind, struct err *err)
{
    return err_set(err, ERR_INVALID, "%s is \"%.*s\"; expected %s", what, QUOTE_ARG(s), kind);
}

/* Digits only, after an optional minus. False when s is anything else; *ret_fits tells whether
 * int64 holds it. */
static bool read_i64(struct str s, int64_t *ret, bool *ret_fits)
{
    size_t i = s.len > 0 && s.ptr[0] == '-' ? 1 : 0;
    bool negative = i == 1;
    bool fits = true;
    int64_t value = 0;

    if (i == s.len) {
        return false;
    }
    for (; i < s.len; i++) {
        int digit = s.ptr[i] - '0';
        if (digit < 0 || digit > 9) {
            return false;
        }
        fits =
            fits && !__builtin_mul_overflow(value, 10, &value) &&
            !__builtin_sub_overflow(value, digit, &value); /* downwards, so that INT64_MIN fits */
    }
    if (fits && !negative) {
        fits = !__builtin_sub_overflow((int64_t)0, value, &value);
    }
    *ret = value;
    *ret_fits = fits;
    return true;
}

int num_parse_i64(struct str s, int64_t min, int64_t max, const char *what, int64_t *ret,
                  struct err *err)
{
    int64_t value = 0;
    bool fits = false;

    if (!read_i64(s, &value, &fits)) {
        return not_a_number(s, what, "a whole number", err);
    }
    if (!fits || value < min || value > max) {
        return err_set(err, ERR_INVALID, "%s is %.*s; allowed is %lld to %lld", what, QUOTE_ARG(s),
                       (long long)min, (long long)max);
    }
    *ret = value;
    return 0;
}

static locale_t c_locale;
static pthread_once_t c_locale_once = PTHREAD_ONCE_INIT;

static void make_c_locale(void)
{
    c_locale = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    if (c_locale == (locale_t)0) {
        abort(); /* the C locale is always there; only memory can be missing */
    }
}

double num_strtod(const char *c_string, char **ret_end)
{
    (void)pthread_once(&c_locale_once, make_c_locale); /* can't fail with a valid once */
    return strtod_l(c_string, ret_end, c_locale);
}

/* strtod also takes spaces, hex, "inf" and "nan": none of them is a decimal number. */
static bool is_decimal(struct str s)
{
    if (s.len == 0 || s.len >= DOUBLE_TEXT_MAX) {
        return false;
    }
    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] == '\0' || strchr("0123456789+-.eE", s.ptr[i]) == NULL) {
            return false;
        }
    }
    return true;
}

int num_parse_double(struct str s, double min, double max, const char *what, double *ret,
                     struct err *err)
{
    char text[DOUBLE_TEXT_MAX];
    char *end = NULL;

    if (!is_decimal(s)) {
        return not_a_number(s, what, "a number", err);
    }
    memcpy(text, s.ptr, s.len);
    text[s.len] = '\0';
    double value = num_strtod(text, &end);
    if (end != text + s.len) {
        return not_a_number(s, what, "a number", err);
    }
    if (!isfinite(value) || value < min || value > max) {
        return err_set(err, ERR_INVALID, "%s is %s; allowed is %g to %g", what, text, min, max);
    }
    *ret = value;
    return 0;
}
