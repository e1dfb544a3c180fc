/* What json_canonical writes is read back, and written the same again; numbers are exact, and as
 * short as can be. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"

#define MAX_BYTES (1 << 20)

static void must(bool right)
{
    if (!right) {
        abort();
    }
}

static void check_number(const uint8_t *data)
{
    AUTO(buf_done) struct buf buf = BUF_INIT(64);
    struct err err;
    char shorter[64];
    double number;

    memcpy(&number, data, sizeof(number));
    int rc = json_canonical_number(number, &buf, &err);
    must((rc == 0) == (isfinite(number) != 0));
    if (rc < 0) {
        return;
    }
    must(strtod(buf.data, NULL) == number);
    int digits = 0;
    for (const char *p = buf.data; *p != '\0' && *p != 'e'; p++) {
        digits += (*p >= '1' && *p <= '9') || (*p == '0' && digits > 0);
    }
    if (strpbrk(buf.data, ".e") != NULL && digits > 1) { /* else trailing zeros are no digits */
        (void)snprintf(shorter, sizeof(shorter), "%.*e", digits - 2, number);
        must(strtod(shorter, NULL) != number);
    }
}

static void check_text(struct str text)
{
    AUTO(json_unref) json_t *value = NULL;
    AUTO(json_unref) json_t *again = NULL;
    AUTO(buf_done) struct buf first = BUF_INIT(MAX_BYTES);
    AUTO(buf_done) struct buf second = BUF_INIT(MAX_BYTES);
    struct err err;

    if (json_parse(text, &value, &err) < 0 || json_canonical(value, &first, &err) < 0) {
        return;
    }
    must(json_parse(buf_str(&first), &again, &err) == 0);
    must(json_canonical(again, &second, &err) == 0);
    must(str_eq(buf_str(&first), buf_str(&second)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size >= sizeof(double)) {
        check_number(data);
    }
    check_text((struct str){(const char *)data, size});
    return 0;
}
