/*
 * num - numbers from text and bytes, checked.
 */
#ifndef HOLDFAST_BASE_NUM_H
#define HOLDFAST_BASE_NUM_H

#include <endian.h>

#include "base/buf.h"

/* The whole of s must be a decimal number within [min, max]; ERR_INVALID says what is allowed.
 * `what` names the value. */
int num_parse_i64(struct str s, int64_t min, int64_t max, const char *what, int64_t *ret,
                  struct err *err) MUST_CHECK;
int num_parse_double(struct str s, double min, double max, const char *what, double *ret,
                     struct err *err) MUST_CHECK;

/* strtod as in the C locale, whatever the program's is. ret_end may be NULL. */
double num_strtod(const char *c_string, char **ret_end);

/* The value of a hex digit of either case; -1 for any other character. */
static inline int num_hex_digit(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    c = (char)(c | 0x20); /* lower case */
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Big-endian numbers at any address; inline, because decoders do little else. */
static inline uint16_t be16_get(const void *p)
{
    uint16_t v;

    memcpy(&v, p, sizeof(v));
    return be16toh(v);
}

static inline uint32_t be32_get(const void *p)
{
    uint32_t v;

    memcpy(&v, p, sizeof(v));
    return be32toh(v);
}

static inline uint64_t be64_get(const void *p)
{
    uint64_t v;

    memcpy(&v, p, sizeof(v));
    return be64toh(v);
}

static inline void be16_put(void *p, uint16_t v)
{
    v = htobe16(v);
    memcpy(p, &v, sizeof(v));
}

static inline void be32_put(void *p, uint32_t v)
{
    v = htobe32(v);
    memcpy(p, &v, sizeof(v));
}

static inline void be64_put(void *p, uint64_t v)
{
    v = htobe64(v);
    memcpy(p, &v, sizeof(v));
}

#endif
