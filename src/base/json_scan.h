/*
 * json_scan - finding what is special in the text of a JSON string, eight bytes at a time.
 *
 * Shared by json_parse.c and json_canonical.c; nobody else's. The same bytes end a plain run when
 * reading and when writing: the quote, the backslash, and control bytes, which must be escaped (RFC
 * 8259 section 7).
 */
#ifndef HOLDFAST_BASE_JSON_SCAN_H
#define HOLDFAST_BASE_JSON_SCAN_H

#include "base/buf.h"

#define JSON_EACH_BYTE(b) (0x0101010101010101ULL * (b))

/* The top bit of each byte that is below `limit` (at most 0x80). A byte above such a byte may be
 * flagged wrongly. */
static inline uint64_t json_bytes_below(uint64_t word, uint64_t limit)
{
    return (word - JSON_EACH_BYTE(limit)) & ~word & JSON_EACH_BYTE(0x80);
}

/* None of the eight bytes is special. May be false for eight plain ones, but never true wrongly. */
static inline bool json_plain_word(const char *p)
{
    uint64_t word;

    memcpy(&word, p, sizeof(word));
    return (json_bytes_below(word, 0x20) | json_bytes_below(word ^ JSON_EACH_BYTE('"'), 1) |
            json_bytes_below(word ^ JSON_EACH_BYTE('\\'), 1)) == 0;
}

static inline bool json_plain_byte(char c)
{
    return (unsigned char)c >= 0x20 && c != '"' && c != '\\';
}

/* How many bytes at the start of s are plain. */
static inline size_t json_plain_run(struct str s)
{
    size_t i = 0;

    while (s.len - i >= sizeof(uint64_t) && json_plain_word(s.ptr + i)) {
        i += sizeof(uint64_t);
    }
    while (i < s.len && json_plain_byte(s.ptr[i])) {
        i++;
    }
    return i;
}

#endif
