/*
 * scan - reading canonical JSON (RFC 8785) in one pass forward, without a tree.
 *
 * Every function leaves the position behind what it read, and answers ERR_CORRUPT with the byte
 * (from 0) when the text is not what it wants. Strings come out as views of the text, still
 * escaped; scan_unescape undoes that. UTF-8 is not checked here, nor control characters within
 * strings: scan_begin refuses those of the whole text at once.
 */
#ifndef HOLDFAST_MODEL_SCAN_H
#define HOLDFAST_MODEL_SCAN_H

#include "base/uuid.h"

struct scan {
    const char *start;
    const char *at;
    const char *end;
};

/* ERR_CORRUPT when text holds a byte below 0x20: canonical JSON has none, and a line of a file must
 * stay one line. */
int scan_begin(struct str text, struct scan *ret, struct err *err) MUST_CHECK;
int scan_end(const struct scan *scan, struct err *err) MUST_CHECK; /* nothing may be left */

/* ERR_CORRUPT: "byte N: what". */
int scan_wrong(const struct scan *scan, const char *what, struct err *err);

/* Go past literal if it comes next. */
static inline bool scan_is(struct scan *scan, struct str literal)
{
    if ((size_t)(scan->end - scan->at) < literal.len ||
        memcmp(scan->at, literal.ptr, literal.len) != 0) {
        return false;
    }
    scan->at += literal.len;
    return true;
}

int scan_expect(struct scan *scan, struct str literal, struct err *err) MUST_CHECK;

int scan_string(struct scan *scan, struct str *ret_escaped, struct err *err) MUST_CHECK;
int scan_uint(struct scan *scan, uint64_t max, uint64_t *ret, struct err *err)
    MUST_CHECK; /* no sign, no leading 0 */
int scan_fraction(struct scan *scan, double *ret, struct err *err)
    MUST_CHECK; /* a number from 0 to 1 */
int scan_time(struct scan *scan, int64_t *ret_us, struct err *err)
    MUST_CHECK; /* as timestamp_format writes it */
int scan_uuid(struct scan *scan, struct uuid *ret, struct err *err) MUST_CHECK; /* lower case */

/* Any value, which is only looked through for its end: brackets must match, strings must be closed.
 */
int scan_value(struct scan *scan, struct str *ret, struct err *err) MUST_CHECK;

/* An object in canonical form, to the last byte of what is in it, nested in at most so many levels
 * (itself is one). UTF-8 must have been checked. */
int scan_object(struct scan *scan, int levels, struct err *err) MUST_CHECK;

/*
 * Undo the escapes of a string of scan's text into out, which has room for escaped.len + 1 bytes; a
 * NUL is put behind. Only the escapes that the canonical form uses are accepted, and not that of
 * NUL.
 */
int scan_unescape(const struct scan *scan, struct str escaped, char *out, size_t *ret_len,
                  struct err *err) MUST_CHECK;

#endif
