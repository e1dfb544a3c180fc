/* A UUID that was read is written as it was, but in lower case. */
#include <stdlib.h>
#include <strings.h>

#include "base/uuid.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str text = {(const char *)data, size};
    char written[UUID_TEXT_MAX];
    struct uuid uuid;
    struct err err;

    if (uuid_parse(text, &uuid, &err) == 0) {
        uuid_format(&uuid, written);
        if (size != UUID_TEXT_LEN || strncasecmp(text.ptr, written, size) != 0) {
            abort();
        }
    }
    return 0;
}
