/* A time that was read is written, and read again as the same; people's forms stay within the years
 * we can say. */
#include <stdlib.h>

#include "base/timestamp.h"

#define NOW_US 1795371523000000 /* 2026-11-22T18:18:43Z */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str text = {(const char *)data, size};
    char written[TIMESTAMP_TEXT_MAX];
    int64_t us = 0;
    int64_t again = 0;
    struct err err;

    if (timestamp_parse(text, &us, &err) == 0) {
        timestamp_format(us, written);
        if (timestamp_parse(str_of(written), &again, &err) < 0 || again != us) {
            abort();
        }
        if (timestamp_parse_human(text, NOW_US, &again, &err) < 0 || again != us) {
            abort();
        }
    }
    if (timestamp_parse_human(text, NOW_US, &us, &err) == 0) {
        timestamp_format(us, written); /* asserts the range */
    }
    return 0;
}
