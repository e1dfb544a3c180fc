/* json_parse accepts what jansson's strict reader accepts, with the same meaning, but for the
 * depth. */
#include <stdlib.h>
#include <string.h>

#include "base/json.h"

static bool too_deep(const struct err *err)
{
    return strstr(err->message, "nested deeper") != NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str text = {(const char *)data, size};
    AUTO(json_unref) json_t *ours = NULL;
    AUTO(json_unref) json_t *theirs = NULL;
    struct err err = ERR_INIT;

    int rc = json_parse(text, &ours, &err);
    if (rc < 0 && too_deep(&err)) {
        return 0;
    }
    if (size > 0 &&
        memchr(text.ptr, 0, size) != NULL) { /* jansson takes one for the end of the text */
        if (rc == 0) {
            abort();
        }
        return 0;
    }
    theirs = json_loadb(text.ptr == NULL ? "" : text.ptr, text.len,
                        JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, NULL);
    if ((rc == 0) != (theirs != NULL)) {
        abort();
    }
    if (rc == 0 && !json_equal(ours, theirs)) {
        abort();
    }
    if (rc < 0 && (rc != -ERR_INVALID || strncmp(err.message, "JSON line ", 10) != 0)) {
        abort();
    }
    return 0;
}
