#include "model/vector.h"

#include <math.h>
#include <stdlib.h>

#include "base/base64.h"
#include "base/num.h"

_Static_assert(sizeof(float) == 4, "a number is four bytes");

static int check(const float *values, size_t count, struct err *err)
{
    double norm = 0;

    if (count == 0) {
        return err_set(err, ERR_INVALID, "has no numbers");
    }
    for (size_t i = 0; i < count; i++) {
        if (!isfinite(values[i])) {
            return err_set(err, ERR_INVALID, "holds a number that is not finite");
        }
        norm += (double)values[i] * (double)values[i];
    }
    return norm > 0 ? 0 : err_set(err, ERR_INVALID, "is all zeros, which has no direction");
}

int vector_parse(struct str text, float **ret, size_t *ret_count, struct err *err)
{
    AUTO(buf_done) struct buf bytes = BUF_INIT(VECTOR_DIMENSIONS_MAX * sizeof(float));
    struct err why = ERR_INIT;

    if (text.len > VECTOR_TEXT_MAX) {
        return err_set(err, ERR_INVALID, "has more than %d numbers", VECTOR_DIMENSIONS_MAX);
    }
    if (base64_parse(text, &bytes, &why) < 0 || bytes.len % sizeof(float) != 0) {
        return err_set(err, ERR_INVALID, "is not base64 of 32-bit floats");
    }
    size_t count = bytes.len / sizeof(float);
    AUTO(free_ptr) float *values = xcalloc(count + 1, sizeof(float));
    for (size_t i = 0; i < count; i++) {
        uint32_t bits;
        memcpy(&bits, bytes.data + sizeof(bits) * i, sizeof(bits));
        bits = le32toh(bits);
        memcpy(&values[i], &bits, sizeof(bits));
    }
    int rc = check(values, count, err);
    if (rc == 0) {
        *ret = values;
        *ret_count = count;
        values = NULL;
    }
    return rc;
}
