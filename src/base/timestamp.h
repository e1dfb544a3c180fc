/*
 * timestamp - points in time: int64 microseconds since 1970-01-01T00:00:00Z inside, RFC 3339
 * outside.
 */
#ifndef HOLDFAST_BASE_TIMESTAMP_H
#define HOLDFAST_BASE_TIMESTAMP_H

#include "base/buf.h"

#define TIMESTAMP_TEXT_MAX 32                       /* "2026-11-22T18:18:43.000001Z" and NUL fit */
#define TIMESTAMP_MIN_US (-62135596800LL * 1000000) /* 0001-01-01T00:00:00Z */
#define TIMESTAMP_MAX_US (253402300799LL * 1000000 + 999999) /* 9999-12-31T23:59:59.999999Z */

/* Always UTC with six digits and Z, so that texts sort as times do. us must be within MIN and MAX
 * (asserted). */
void timestamp_format(int64_t us, char ret_text[TIMESTAMP_TEXT_MAX]);

/*
 * RFC 3339 date-time with any offset; digits beyond the sixth are cut; second 60 is taken
 * as 59.999999. ERR_INVALID says what was expected.
 */
int timestamp_parse(struct str s, int64_t *ret_us, struct err *err) MUST_CHECK;

/*
 * What a person types for a moment: RFC 3339 as above; a date (`2026-11-22`, its first instant in
 * UTC); or a span back from now_us: `90s`, `15m`, `2h`, `3d`, `1w`.
 */
int timestamp_parse_human(struct str s, int64_t now_us, int64_t *ret_us, struct err *err)
    MUST_CHECK;

#endif
