#include "model/emit.h"

#include "base/timestamp.h"

struct emit emit_begin(struct buf *buf, struct err *err)
{
    return (struct emit){.buf = buf, .err = err, .start = buf->len, .result = 0};
}

int emit_end(struct emit *emit)
{
    if (emit->result < 0 && emit->buf->data != NULL) {
        emit->buf->len = emit->start;
        emit->buf->data[emit->start] = '\0';
    }
    return emit->result;
}

void emit_raw(struct emit *emit, struct str s)
{
    if (emit->result == 0) {
        emit->result = buf_add_str(emit->buf, s, emit->err);
    }
}

void emit_string(struct emit *emit, struct str s)
{
    if (emit->result == 0) {
        emit->result = json_canonical_string(s, emit->buf, emit->err);
    }
}

void emit_uint(struct emit *emit, uint64_t number)
{
    char digits[20]; /* of 2^64 - 1 */
    size_t at = sizeof(digits);

    do {
        digits[--at] = (char)('0' + number % 10);
        number /= 10;
    } while (number > 0);
    emit_raw(emit, (struct str){digits + at, sizeof(digits) - at});
}

/*
 * Numbers from 0 to 1 with at most six decimals, which is what people write for an importance. If
 * millionths / 1e6 is the number, then its decimal digits are the shortest that read back as it
 * (two decimals of at most 15 digits are never the same double), and from 0.000001 up ECMAScript
 * writes no exponent.
 */
static bool emit_millionths(struct emit *emit, double number)
{
    if (!(number > 0 && number < 1)) {
        return false;
    }
    uint32_t millionths = (uint32_t)(number * 1e6 + 0.5);
    if (millionths == 0 || (double)millionths / 1e6 != number) {
        return false;
    }
    char text[] = "0.000000";
    size_t len = sizeof(text) - 1;
    for (size_t i = len; millionths > 0; millionths /= 10) {
        text[--i] = (char)('0' + millionths % 10);
    }
    while (text[len - 1] == '0') {
        len--;
    }
    emit_raw(emit, (struct str){text, len});
    return true;
}

void emit_number(struct emit *emit, double number)
{
    if (emit->result == 0 && !emit_millionths(emit, number)) {
        emit->result = json_canonical_number(number, emit->buf, emit->err);
    }
}

void emit_time(struct emit *emit, int64_t us)
{
    char text[TIMESTAMP_TEXT_MAX];

    timestamp_format(us, text);
    EMIT(emit, "\"");
    emit_raw(emit, str_of(text));
    EMIT(emit, "\"");
}

void emit_uuid(struct emit *emit, const struct uuid *uuid)
{
    char text[UUID_TEXT_MAX + 2] = "\"";

    uuid_format(uuid, text + 1);
    text[1 + UUID_TEXT_LEN] = '"';
    emit_raw(emit, (struct str){text, UUID_TEXT_LEN + 2});
}

void emit_json(struct emit *emit, const json_t *value)
{
    if (emit->result == 0) {
        emit->result = json_canonical(value, emit->buf, emit->err);
    }
}
